//! The negative log-likelihood (with priors: the negative log-posterior) of all experiments, its gradient and its
//! Fisher information, by forward sensitivities.
//!
//! For a measurement y of an observable with median m and spread s the term is `ℓ(y, m, s)` of [`super::noise`]. With
//! outputs m = h(x, p) and s = g(x, p), sensitivities S = dx/dθ and p(θ), `m′ = h_x S + h_p p′` and likewise s′; then
//! the gradient is `ℓ_m m′ + ℓ_s s′` and the Fisher matrix `I_m m′m′ᵀ + I_s s′s′ᵀ`. For normal noise of fixed spread
//! that is Gauss–Newton; with an estimated spread the second term is the curvature a square-root residual would lack.
//!
//! θ is on the search scale, so that directions of the sensitivities carry the factor dvalue/dθ.

use crate::flat::Noise;
use crate::integrate::{Direction, Integrator, Options, Problem as Integration, Sample, Start, Status};
use crate::linalg::CscPattern;
use crate::optimize::{EvalError, Local, Objective};
use crate::system::{At, Work};

use super::experiment::{CalibrateError, Experiment, Target, check_parameter};
use super::noise::{Curvature, NoiseError, PointTerm, point_term};
use super::parameter::Parameter;
use super::prior::penalty;
use super::settings::FitSettings;

/// Parameters, experiments and settings of a fit, checked and prepared. Shared by all threads.
pub struct Problem {
    parameters: Vec<Parameter>,
    experiments: Vec<Prepared>,
    has_priors: bool,
    options: Options,
    n_measurements: usize,
}

/// An experiment with its measurements in the order of integration.
struct Prepared {
    experiment: Experiment,
    /// Distinct measurement times, ascending.
    times: Vec<f64>,
    /// Measurements by time; those of one time in the order given.
    points: Vec<Point>,
    /// The parameters that stand in this experiment; a position here is a "local" index below.
    locals: Vec<LocalParameter>,
    /// For each output, where its derivatives lie in the slices of `System::output_jacobians`.
    rows: Vec<OutputRow>,
    n_directions: usize,
}

/// A measurement with its place in the integration.
struct Point {
    sample: usize,
    measurement: usize,
    observable: usize,
    value: f64,
    noise: Noise,
    value_output: usize,
    spread_output: usize,
}

struct LocalParameter {
    parameter: usize,
    targets: Vec<Target>,
    /// Its column of the sensitivities; `None` where it stands in outputs only.
    direction: Option<usize>,
}

/// The derivatives of one output.
#[derive(Default, Clone)]
struct OutputRow {
    /// `(state, position in dy_dx)`
    by_states: Vec<(usize, usize)>,
    /// `(local parameter, position in dy_dp)`
    by_params: Vec<(usize, usize)>,
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
            prepared.push(Prepared::new(experiment));
        }
        let options = Options {
            method: settings.method,
            rtol: settings.rtol,
            max_steps: settings.max_steps,
            ..Options::default()
        };
        let problem =
            Problem { parameters, experiments: prepared, has_priors: settings.priors, options, n_measurements };
        problem.evaluators(None)?;
        Ok(problem)
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
    pub fn evaluator(
        &self,
        interrupt: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
    ) -> Result<Evaluator<'_>, CalibrateError> {
        let n = self.parameters.len();
        Ok(Evaluator {
            problem: self,
            benches: self.evaluators(interrupt)?,
            values: vec![0.0; n],
            slopes: vec![0.0; n],
        })
    }

    fn evaluators(
        &self,
        interrupt: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
    ) -> Result<Vec<Bench<'_>>, CalibrateError> {
        self.experiments.iter().map(|prepared| Bench::new(prepared, &self.options, interrupt.clone())).collect()
    }
}

impl Prepared {
    fn new(experiment: Experiment) -> Prepared {
        let mut times: Vec<f64> = experiment.measurements.iter().map(|m| m.time).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let mut points: Vec<Point> = Vec::with_capacity(experiment.measurements.len());
        for (measurement, m) in experiment.measurements.iter().enumerate() {
            let observable = &experiment.observables[m.observable];
            if let (Some(noise), Some(spread_output)) = (observable.noise, observable.spread_output) {
                points.push(Point {
                    sample: times.partition_point(|&t| t < m.time),
                    measurement,
                    observable: m.observable,
                    value: m.value,
                    noise,
                    value_output: observable.value_output,
                    spread_output,
                });
            }
        }
        points.sort_by_key(|p| p.sample);

        let mut locals: Vec<LocalParameter> = Vec::new();
        for link in &experiment.links {
            match locals.iter_mut().find(|l| l.parameter == link.parameter) {
                Some(local) => local.targets.push(link.target),
                None => locals.push(LocalParameter {
                    parameter: link.parameter,
                    targets: vec![link.target],
                    direction: None,
                }),
            }
        }
        let mut n_directions = 0;
        for local in &mut locals {
            if local.targets.iter().any(|&target| moves_states(&experiment, target)) {
                local.direction = Some(n_directions);
                n_directions += 1;
            }
        }
        let rows = output_rows(&experiment, &locals);
        Prepared { experiment, times, points, locals, rows, n_directions }
    }

    /// Writes `p` and the start overrides for the given values of the parameters.
    fn write_conditions(&self, values: &[f64], p: &mut Vec<f64>, start: &mut Vec<(usize, f64)>) {
        p.clear();
        p.extend_from_slice(&self.experiment.params);
        start.clear();
        start.extend_from_slice(&self.experiment.start);
        for local in &self.locals {
            for &target in &local.targets {
                match target {
                    Target::Param(param) => p[param] = values[local.parameter],
                    Target::Start(state) => {
                        start.retain(|&(s, _)| s != state);
                        start.push((state, values[local.parameter]));
                    }
                }
            }
        }
    }
}

/// True where the target can change the trajectory. Systems with events are taken to depend on every parameter.
fn moves_states(experiment: &Experiment, target: Target) -> bool {
    let system = &experiment.system;
    match target {
        Target::Start(_) => true,
        Target::Param(param) => {
            !system.events().is_empty()
                || system.parameter_pattern().column(param).next().is_some()
                || system.initial_pattern().column(param).next().is_some()
        }
    }
}

/// The output derivatives by rows, since the patterns are by columns.
fn output_rows(experiment: &Experiment, locals: &[LocalParameter]) -> Vec<OutputRow> {
    let (by_states, by_params) = experiment.system.output_patterns();
    let mut rows = vec![OutputRow::default(); experiment.system.dims().n_outputs];
    let entries = |pattern: &CscPattern, col: usize| pattern.column(col).collect::<Vec<_>>();
    for state in 0..by_states.n_cols() {
        for (output, k) in entries(by_states, state) {
            rows[output].by_states.push((state, k));
        }
    }
    for (local_idx, local) in locals.iter().enumerate() {
        for &target in &local.targets {
            match target {
                Target::Param(param) => {
                    for (output, k) in entries(by_params, param) {
                        rows[output].by_params.push((local_idx, k));
                    }
                }
                Target::Start(_) => {}
            }
        }
    }
    rows
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
    /// The negative log-likelihood (with priors: log-posterior) alone.
    ///
    /// # Errors
    /// Where an integration fails or a measurement has no likelihood.
    pub fn value(&mut self, theta: &[f64]) -> Result<f64, EvalError> {
        self.write_values(theta);
        let mut value = 0.0;
        for bench in &mut self.benches {
            bench.measure(&self.values, None, Curvature::Search, &mut |_, term, _| value += term.value)?;
        }
        Ok(value + self.prior(None))
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
            let times = &bench.prepared.times;
            bench.measure(&self.values, None, Curvature::Search, &mut |point, term, (median, spread)| {
                predictions.push(Prediction {
                    experiment,
                    measurement: point.measurement,
                    observable: point.observable,
                    time: times[point.sample],
                    measured: point.value,
                    median,
                    spread,
                    residual: term.residual,
                    value: term.value,
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
            row(sample.at, &outputs.y);
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
        local.value += self.prior(Some(local));
        Ok(())
    }

    /// The priors' part of the objective; adds their derivatives to `local`.
    fn prior(&self, mut local: Option<&mut Local>) -> f64 {
        let n = self.values.len();
        let mut value = 0.0;
        for (i, parameter) in self.problem.parameters.iter().enumerate() {
            let Some(prior) = parameter.prior.filter(|_| self.problem.has_priors) else { continue };
            let term = penalty(prior, self.values[i]);
            value += term.value;
            if let Some(local) = local.as_deref_mut() {
                local.gradient[i] += term.slope * self.slopes[i];
                local.hessian[i * n + i] += term.curvature * self.slopes[i] * self.slopes[i];
            }
        }
        value
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

/// One experiment with its integrator and buffers.
struct Bench<'a> {
    prepared: &'a Prepared,
    integrator: Integrator<'a>,
    conditions: (Vec<f64>, Vec<(usize, f64)>),
    directions: Vec<Direction>,
    outputs: Outputs,
    /// m′ and s′ by local parameter.
    by_median: Vec<f64>,
    by_spread: Vec<f64>,
}

/// Outputs and their derivatives at one sample.
struct Outputs {
    work: Work,
    y: Vec<f64>,
    dy_dx: Vec<f64>,
    dy_dp: Vec<f64>,
}

impl<'a> Bench<'a> {
    fn new(
        prepared: &'a Prepared,
        options: &Options,
        interrupt: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
    ) -> Result<Bench<'a>, CalibrateError> {
        let experiment = &prepared.experiment;
        let system = &*experiment.system;
        let options = Options { atol: experiment.tolerance.clone(), interrupt, ..options.clone() };
        let integrator = Integrator::new(system, options)
            .map_err(|error| CalibrateError::Integration { experiment: experiment.name.clone(), error })?;
        let (by_states, by_params) = system.output_patterns();
        let n_locals = prepared.locals.len();
        Ok(Bench {
            prepared,
            integrator,
            conditions: (Vec::new(), Vec::new()),
            directions: vec![Direction::default(); prepared.n_directions],
            outputs: Outputs {
                work: system.work(),
                y: vec![0.0; system.dims().n_outputs],
                dy_dx: vec![0.0; by_states.nnz()],
                dy_dp: vec![0.0; by_params.nnz()],
            },
            by_median: vec![0.0; n_locals],
            by_spread: vec![0.0; n_locals],
        })
    }

    /// Integrates and calls `at_sample` at each time; with sensitivities and output derivatives where `slopes` are
    /// given.
    fn simulate(
        &mut self,
        values: &[f64],
        slopes: Option<&[f64]>,
        times: &[f64],
        at_sample: &mut dyn FnMut(Sample<'_>, &mut Outputs),
    ) -> Result<(), EvalError> {
        let Bench { prepared, integrator, conditions, directions, outputs, .. } = self;
        let experiment = &prepared.experiment;
        let system = &*experiment.system;
        prepared.write_conditions(values, &mut conditions.0, &mut conditions.1);
        if let Some(slopes) = slopes {
            for local in &prepared.locals {
                let Some(direction) = local.direction.map(|d| &mut directions[d]) else { continue };
                let slope = slopes[local.parameter];
                direction.params.clear();
                direction.start.clear();
                direction.scale = 1.0;
                for &target in &local.targets {
                    match target {
                        Target::Param(param) => direction.params.push((param, slope)),
                        Target::Start(state) => direction.start.push((state, slope)),
                    }
                }
            }
        }
        let problem = Integration {
            t0: experiment.t0,
            t1: times.last().copied().unwrap_or(experiment.t0),
            start: Start::Overrides(&conditions.1),
            p: &conditions.0,
            forcing: &experiment.forcing,
            directions: if slopes.is_some() { directions } else { &[] },
            resumes: false,
        };
        let mut observer = |sample: Sample<'_>| {
            system.outputs(sample.at, &mut outputs.work, &mut outputs.y);
            if slopes.is_some() {
                system.output_jacobians(sample.at, &mut outputs.work, &mut outputs.dy_dx, &mut outputs.dy_dp);
            }
            at_sample(sample, outputs);
        };
        match integrator.solve(&problem, times, &mut observer) {
            Ok(outcome) if outcome.status.is_success() => Ok(()),
            Ok(outcome) => Err(experiment.failure(&outcome.status)),
            Err(error) => Err(experiment.error(&error.to_string())),
        }
    }

    /// Calls `each(measurement, term, (median, spread))` for every measurement, in the order of time.
    fn measure(
        &mut self,
        values: &[f64],
        slopes: Option<&[f64]>,
        curvature: Curvature,
        each: &mut dyn FnMut(&Point, PointTerm, (f64, f64)),
    ) -> Result<(), EvalError> {
        let prepared = self.prepared;
        let mut failure = None;
        let mut next = 0;
        self.simulate(values, slopes, &prepared.times, &mut |sample, outputs| {
            while let Some(point) = prepared.points.get(next).filter(|p| p.sample == sample.idx) {
                next += 1;
                let (median, spread) = (outputs.y[point.value_output], outputs.y[point.spread_output]);
                match point_term(point.noise, point.value, median, spread, curvature) {
                    Ok(term) => each(point, term, (median, spread)),
                    Err(error) => failure = failure.take().or(Some((point, error))),
                }
            }
        })?;
        match failure {
            Some((point, error)) => Err(prepared.no_likelihood(point, error)),
            None => Ok(()),
        }
    }

    /// Adds value, gradient and curvature of this experiment to `local`.
    fn accumulate(
        &mut self,
        values: &[f64],
        slopes: &[f64],
        curvature: Curvature,
        local: &mut Local,
    ) -> Result<(), EvalError> {
        let prepared = self.prepared;
        let (n, n_states) = (values.len(), prepared.experiment.system.dims().n_states);
        let mut by_median = std::mem::take(&mut self.by_median);
        let mut by_spread = std::mem::take(&mut self.by_spread);
        let mut failure = None;
        let mut next = 0;
        let result = self.simulate(values, Some(slopes), &prepared.times, &mut |sample, outputs| {
            while let Some(point) = prepared.points.get(next).filter(|p| p.sample == sample.idx) {
                next += 1;
                let (median, spread) = (outputs.y[point.value_output], outputs.y[point.spread_output]);
                let term = match point_term(point.noise, point.value, median, spread, curvature) {
                    Ok(term) => term,
                    Err(error) => {
                        failure = failure.take().or(Some((point, error)));
                        continue;
                    }
                };
                let sensitivities = sample.sensitivities;
                prepared.derivative(point.value_output, outputs, sensitivities, n_states, slopes, &mut by_median);
                prepared.derivative(point.spread_output, outputs, sensitivities, n_states, slopes, &mut by_spread);
                local.value += term.value;
                for (a, row) in prepared.locals.iter().enumerate() {
                    local.gradient[row.parameter] += term.by_median * by_median[a] + term.by_spread * by_spread[a];
                    for (b, col) in prepared.locals.iter().enumerate() {
                        local.hessian[col.parameter * n + row.parameter] +=
                            term.median_curvature * by_median[a] * by_median[b]
                                + term.spread_curvature * by_spread[a] * by_spread[b];
                    }
                }
            }
        });
        self.by_median = by_median;
        self.by_spread = by_spread;
        result?;
        match failure {
            Some((point, error)) => Err(prepared.no_likelihood(point, error)),
            None => Ok(()),
        }
    }
}

impl Prepared {
    /// `out` = d output/dθ by local parameter.
    fn derivative(
        &self,
        output: usize,
        outputs: &Outputs,
        sensitivities: &[f64],
        n_states: usize,
        slopes: &[f64],
        out: &mut [f64],
    ) {
        let row = &self.rows[output];
        for (local, slot) in self.locals.iter().zip(out.iter_mut()) {
            *slot = local.direction.map_or(0.0, |d| {
                let column = &sensitivities[d * n_states..(d + 1) * n_states];
                row.by_states.iter().map(|&(state, k)| outputs.dy_dx[k] * column[state]).sum()
            });
        }
        for &(local, k) in &row.by_params {
            out[local] += outputs.dy_dp[k] * slopes[self.locals[local].parameter];
        }
    }

    fn no_likelihood(&self, point: &Point, error: NoiseError) -> EvalError {
        let name = &self.experiment.observables[point.observable].quantity.name;
        let time = self.times[point.sample];
        let reason = match (error, point.noise) {
            (NoiseError::Median(m), Noise::Normal | Noise::Laplace) => {
                format!("`{name}` is {m} at time {time}, but must be finite")
            }
            (NoiseError::Median(m), Noise::LogNormal) => {
                format!("`{name}` is {m} at time {time}, but log-normal noise needs a positive median")
            }
            (NoiseError::Spread(s), Noise::Normal | Noise::Laplace) => {
                format!("the spread of `{name}` is {s} at time {time}, but must be positive")
            }
            (NoiseError::Spread(s), Noise::LogNormal) => {
                format!("the geometric standard deviation of `{name}` is {s} at time {time}, but must be above 1")
            }
        };
        self.experiment.error(&reason)
    }
}

impl Experiment {
    /// An error that names the experiment, where there is a name.
    fn error(&self, reason: &str) -> EvalError {
        match self.name.as_str() {
            "" => EvalError::new(reason),
            name => EvalError::new(format!("{reason} in experiment `{name}`")),
        }
    }

    /// A failed integration in words, with the state's name.
    fn failure(&self, status: &Status) -> EvalError {
        let state = |idx: usize| match self.state_names.get(idx) {
            Some(name) => format!("`{name}`"),
            None => format!("state {idx}"),
        };
        let reason = match *status {
            Status::StepSizeUnderflow { t, worst_state } => {
                format!("step size underflow at time {t}: {} has the largest error", state(worst_state))
            }
            Status::NonFinite { t, state: idx } => format!("{} is not finite after time {t}", state(idx)),
            Status::EventConflict { t, state: idx } => {
                format!("events at time {t} set {} in conflicting ways", state(idx))
            }
            Status::Success | Status::StepLimit { .. } | Status::EventStorm { .. } | Status::Interrupted { .. } => {
                status.to_string()
            }
        };
        self.error(&reason)
    }
}
