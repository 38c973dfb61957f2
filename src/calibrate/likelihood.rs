//! The negative log-likelihood (with priors: the negative log-posterior) of all experiments, its gradient and its
//! Fisher information, by forward sensitivities.
//!
//! For a measurement y of an observable with median m and spread s the term is `ℓ(y, m, s)` of [`super::noise`]. With
//! outputs m = h(x, p) and s = g(x, p), sensitivities S = dx/dθ and p(θ), `m′ = h_x S + h_p p′` and likewise s′; then
//! the gradient is `ℓ_m m′ + ℓ_s s′` and the Fisher matrix `I_m m′m′ᵀ + I_s s′s′ᵀ`. For normal noise of fixed spread
//! that is Gauss–Newton; with an estimated spread the second term is the curvature a square-root residual would lack.
//!
//! θ is on the search scale, so that directions of the sensitivities carry the factor dvalue/dθ.

mod bench;
mod gradient;
mod hessian;
mod prepared;
mod split;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::integrate::Options;
use crate::optimize::{EvalError, Local, Objective};
use crate::system::{At, System};

use super::experiment::{CalibrateError, Experiment, check_parameter};
use super::noise::Curvature;
use super::parameter::Parameter;
use super::prior::{Term, penalty};
use super::settings::FitSettings;
use bench::Bench;
pub use gradient::Way;
use prepared::Prepared;

/// Parameters, experiments and settings of a fit, checked and prepared. Shared by all threads.
pub struct Problem {
    parameters: Vec<Parameter>,
    experiments: Vec<Prepared>,
    has_priors: bool,
    options: Options,
    n_measurements: usize,
}

impl Problem {
    /// Checks and prepares a fit.
    ///
    /// # Errors
    /// What is wrong with bounds, priors, links or measurements.
    pub fn new(
        parameters: Vec<Parameter>,
        experiments: Vec<Experiment>,
        settings: &FitSettings,
    ) -> Result<Problem, CalibrateError> {
        if parameters.is_empty() {
            return Err(CalibrateError::NoParameters);
        }
        parameters.iter().try_for_each(check_parameter)?;
        let n_measurements = experiments.iter().map(|e| e.measurements.len()).sum();
        if n_measurements == 0 {
            return Err(CalibrateError::NoMeasurements);
        }
        let mut prepared = Vec::with_capacity(experiments.len());
        for experiment in experiments {
            experiment.check(parameters.len())?;
            prepared.push(Prepared::new(experiment, &parameters));
        }
        let options = Options {
            method: settings.method,
            rtol: settings.rtol,
            max_steps: settings.max_steps,
            ..Options::default()
        };
        let problem =
            Problem { parameters, experiments: prepared, has_priors: settings.priors, options, n_measurements };
        problem.benches(None)?;
        Ok(problem)
    }

    /// Takes the system of each experiment beside its derivative along [`Experiment::moved_params`], in the order of the
    /// experiments, so that [`Evaluator::hessian_vector`] can be used: the kernels of [`crate::flat::tangent`].
    ///
    /// # Errors
    /// [`CalibrateError`] where one is missing or does not have twice the states and outputs of its experiment.
    pub fn with_tangents(mut self, tangents: Vec<Arc<dyn System>>) -> Result<Problem, CalibrateError> {
        let (found, expected) = (tangents.len(), self.experiments.len());
        if found != expected {
            return Err(CalibrateError::Tangents { experiment: String::new(), what: "systems", found, expected });
        }
        for (prepared, tangent) in self.experiments.iter_mut().zip(tangents) {
            let experiment = &prepared.experiment;
            let (own, doubled) = (experiment.system.dims(), tangent.dims());
            let n_params = own.n_params + experiment.moved_params().len();
            for (what, found, expected) in [
                ("states", doubled.n_states, 2 * own.n_states),
                ("outputs", doubled.n_outputs, 2 * own.n_outputs),
                ("parameters", doubled.n_params, n_params),
            ] {
                if found != expected {
                    let experiment = experiment.name.clone();
                    return Err(CalibrateError::Tangents { experiment, what, found, expected });
                }
            }
            prepared.tangent = Some(tangent);
        }
        Ok(self)
    }

    /// The estimated parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The experiments, in the order given.
    pub fn experiments(&self) -> impl ExactSizeIterator<Item = &Experiment> {
        self.experiments.iter().map(|p| &p.experiment)
    }

    /// Measurements of all experiments.
    pub fn n_measurements(&self) -> usize {
        self.n_measurements
    }

    /// The declared values on the search scale, moved into the bounds.
    pub fn nominal(&self) -> Vec<f64> {
        let within = |p: &Parameter| {
            let (low, high) = p.search_bounds();
            p.scale.to_search(p.nominal).max(low).min(high)
        };
        self.parameters.iter().map(within).collect()
    }

    /// Values in declared units at a point of the search scale.
    pub fn values(&self, theta: &[f64]) -> Vec<f64> {
        self.parameters.iter().zip(theta).map(|(p, &t)| p.value(t)).collect()
    }

    /// Parameters `p` and start overrides of an experiment at a point of the search scale, for a simulation of the
    /// caller's own.
    pub fn conditions(&self, experiment_idx: usize, theta: &[f64]) -> (Vec<f64>, Vec<(usize, f64)>) {
        let prepared = &self.experiments[experiment_idx];
        let (mut p, mut start) = (Vec::new(), Vec::new());
        prepared.write_conditions(&self.values(theta), &mut p, &mut start);
        (p, start)
    }

    /// The objective with the buffers of one thread. When `interrupt` is raised, evaluations fail soon after.
    ///
    /// # Errors
    /// What the integrator finds wrong with an experiment; not after [`Problem::new`] has succeeded.
    pub fn evaluator(&self, interrupt: Option<Arc<AtomicBool>>) -> Result<Evaluator<'_>, CalibrateError> {
        let n = self.parameters.len();
        Ok(Evaluator { problem: self, benches: self.benches(interrupt)?, values: vec![0.0; n], slopes: vec![0.0; n] })
    }

    fn benches(&self, interrupt: Option<Arc<AtomicBool>>) -> Result<Vec<Bench<'_>>, CalibrateError> {
        self.experiments.iter().map(|prepared| Bench::new(prepared, &self.options, interrupt.clone())).collect()
    }
}

/// A measurement beside what the model says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Position of the experiment.
    pub experiment: usize,
    /// Position of the measurement in the experiment.
    pub measurement: usize,
    /// Position of the observable in the experiment.
    pub observable: usize,
    /// In the model's time unit.
    pub time: f64,
    /// What was measured.
    pub measured: f64,
    /// The observable's median.
    pub median: f64,
    /// Its spread.
    pub spread: f64,
    /// Residual in units of the spread (of ln y for log-normal noise); positive where measured above the median.
    pub residual: f64,
    /// The measurement's share of the negative log-likelihood.
    pub value: f64,
}

/// The objective of a fit with the buffers of one thread.
pub struct Evaluator<'a> {
    problem: &'a Problem,
    benches: Vec<Bench<'a>>,
    values: Vec<f64>,
    slopes: Vec<f64>,
}

impl Evaluator<'_> {
    /// Lets at most `n_threads` carry the sensitivities of an experiment, in blocks of directions, where there are enough of
    /// them to gain by it. Results are the same bits for any number. Default 1.
    ///
    /// # Errors
    /// What the integrator finds wrong with an experiment; not after [`Problem::new`] has succeeded.
    pub fn on_threads(mut self, n_threads: usize) -> Result<Self, CalibrateError> {
        self.benches.iter_mut().try_for_each(|bench| bench.share(n_threads))?;
        Ok(self)
    }

    /// The negative log-likelihood (with priors: log-posterior) alone.
    ///
    /// # Errors
    /// Where an integration fails or a measurement has no likelihood.
    pub fn value(&mut self, theta: &[f64]) -> Result<f64, EvalError> {
        self.write_values(theta);
        let mut value = 0.0;
        for bench in &mut self.benches {
            bench.visit(&self.values, None, Curvature::Search, &mut |visit, _| value += visit.term.value)?;
        }
        self.priors(Curvature::Search, &mut |_, term| value += term.value);
        Ok(value)
    }

    /// Value and gradient, with Fisher's information in place of the Hessian.
    ///
    /// # Errors
    /// As [`Evaluator::value`].
    pub fn information(&mut self, theta: &[f64], local: &mut Local) -> Result<(), EvalError> {
        self.evaluate_with(theta, Curvature::Fisher, local)
    }

    /// What the model says about every measurement; experiments in order, measurements by time.
    ///
    /// # Errors
    /// As [`Evaluator::value`].
    pub fn predictions(&mut self, theta: &[f64]) -> Result<Vec<Prediction>, EvalError> {
        self.write_values(theta);
        let mut predictions = Vec::with_capacity(self.problem.n_measurements);
        for (experiment, bench) in self.benches.iter_mut().enumerate() {
            let times = bench.times();
            bench.visit(&self.values, None, Curvature::Search, &mut |visit, _| {
                predictions.push(Prediction {
                    experiment,
                    measurement: visit.point.measurement,
                    observable: visit.point.observable,
                    time: times[visit.point.sample],
                    measured: visit.point.value,
                    median: visit.median,
                    spread: visit.spread,
                    residual: visit.term.residual,
                    value: visit.term.value,
                });
            })?;
        }
        Ok(predictions)
    }

    /// Simulates an experiment and calls `row(at, outputs)` at each of the ascending `times`, for plots and tables.
    ///
    /// # Errors
    /// Where the integration fails.
    pub fn trajectory(
        &mut self,
        experiment_idx: usize,
        theta: &[f64],
        times: &[f64],
        row: &mut dyn FnMut(At<'_>, &[f64]),
    ) -> Result<(), EvalError> {
        self.write_values(theta);
        self.benches[experiment_idx].simulate(&self.values, None, times, &mut |sample, outputs| {
            row(sample.at, outputs.values());
        })
    }

    fn write_values(&mut self, theta: &[f64]) {
        for (i, parameter) in self.problem.parameters.iter().enumerate() {
            self.values[i] = parameter.value(theta[i]);
            self.slopes[i] = parameter.slope(self.values[i]);
        }
    }

    fn evaluate_with(&mut self, theta: &[f64], curvature: Curvature, local: &mut Local) -> Result<(), EvalError> {
        local.clear();
        self.write_values(theta);
        for bench in &mut self.benches {
            bench.accumulate(&self.values, &self.slopes, curvature, local)?;
        }
        let n = self.values.len();
        self.priors(curvature, &mut |i, term| {
            local.value += term.value;
            local.gradient[i] += term.slope * self.slopes[i];
            local.hessian[i * n + i] += term.curvature * self.slopes[i] * self.slopes[i];
        });
        Ok(())
    }

    /// Calls `each` with the priors' terms by parameter, differentiated by the value in the declared unit.
    fn priors(&self, curvature: Curvature, each: &mut dyn FnMut(usize, Term)) {
        for (i, parameter) in self.problem.parameters.iter().enumerate() {
            if let Some(prior) = parameter.prior.filter(|_| self.problem.has_priors) {
                each(i, penalty(prior, self.values[i], curvature));
            }
        }
    }
}

impl Objective for Evaluator<'_> {
    fn n_parameters(&self) -> usize {
        self.values.len()
    }

    fn evaluate(&mut self, theta: &[f64], local: &mut Local) -> Result<(), EvalError> {
        self.evaluate_with(theta, Curvature::Search, local)
    }
}
