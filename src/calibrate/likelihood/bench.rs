//! One experiment on one thread: integrates, reads the outputs at the measurements, and adds up the likelihood.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::analyze::{NotSteady, SteadyStates};
use crate::calibrate::experiment::{CalibrateError, Experiment, place};
use crate::calibrate::noise::{Curvature, NoiseError, PointTerm, point_term};
use crate::flat::Noise;
use crate::integrate::{
    Direction, Integrator, Options, Outcome, Problem as Integration, ProblemError, Sample, Start, Status,
};
use crate::optimize::{EvalError, Local};
use crate::system::{At, System, Work};

use super::gradient::Backward;
use super::hessian::Curved;
use super::prepared::{Point, Prepared};
use super::split::Split;

/// One experiment with its integrator and buffers.
pub(super) struct Bench<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) integrator: Integrator<'a>,
    /// For an experiment that starts at its steady state.
    pub(super) steady: Option<SteadyStates<'a>>,
    pub(super) conditions: (Vec<f64>, Vec<(usize, f64)>),
    pub(super) directions: Vec<Direction>,
    pub(super) outputs: Outputs,
    /// m′ and s′ by local parameter.
    pub(super) by_median: Vec<f64>,
    pub(super) by_spread: Vec<f64>,
    /// For sensitivities on several threads, where that pays.
    pub(super) split: Option<Box<Split<'a>>>,
    /// Made where the adjoint is first asked for.
    pub(super) backward: Option<Box<Backward<'a>>>,
    /// Made where a Hessian is first multiplied.
    pub(super) curved: Option<Box<Curved<'a>>>,
}

/// Outputs and their derivatives at one sample.
pub(super) struct Outputs {
    pub(super) work: Work,
    pub(super) y: Vec<f64>,
    pub(super) dy_dx: Vec<f64>,
    pub(super) dy_dp: Vec<f64>,
}

impl Outputs {
    /// Buffers for a system.
    pub(super) fn new(system: &dyn System) -> Self {
        let (by_states, by_params) = system.output_patterns();
        Outputs {
            work: system.work(),
            y: vec![0.0; system.dims().n_outputs],
            dy_dx: vec![0.0; by_states.nnz()],
            dy_dp: vec![0.0; by_params.nnz()],
        }
    }

    /// Adds to `by_state` and `by_params` the derivative of a function of the outputs at a point, of which `weights` is the
    /// derivative by each output.
    pub(super) fn pull_back(
        &mut self,
        system: &dyn System,
        at: At<'_>,
        weights: &[f64],
        by_state: &mut [f64],
        by_params: &mut [f64],
    ) {
        system.output_jacobians(at, &mut self.work, &mut self.dy_dx, &mut self.dy_dp);
        let (states, params) = system.output_patterns();
        states.mul_transposed_add(&self.dy_dx, weights, by_state);
        params.mul_transposed_add(&self.dy_dp, weights, by_params);
    }

    /// Evaluates the outputs at a point, and their derivatives where these are wanted.
    pub(super) fn evaluate(&mut self, system: &dyn System, at: At<'_>, with_derivatives: bool) {
        system.outputs(at, &mut self.work, &mut self.y);
        if with_derivatives {
            system.output_jacobians(at, &mut self.work, &mut self.dy_dx, &mut self.dy_dp);
        }
    }

    /// The outputs, `n_outputs`.
    pub(super) fn values(&self) -> &[f64] {
        &self.y
    }
}

/// What solves the problem that an experiment poses.
pub(super) type Solve<'f, 'a> =
    dyn FnMut(&Integration<'_>, &mut Integrator<'a>, &mut Outputs) -> Result<Outcome, ProblemError> + 'f;

/// A measurement beside the model's median and spread.
pub(super) struct Visit<'v> {
    pub(super) point: &'v Point,
    pub(super) term: PointTerm,
    pub(super) median: f64,
    pub(super) spread: f64,
    pub(super) sensitivities: &'v [f64],
}

impl<'a> Bench<'a> {
    /// The integrator and the buffers for one thread.
    ///
    /// # Errors
    /// What the integrator finds wrong with the tolerances.
    pub(super) fn new(
        prepared: &'a Prepared,
        options: &Options,
        interrupt: Option<Arc<AtomicBool>>,
    ) -> Result<Bench<'a>, CalibrateError> {
        let experiment = &prepared.experiment;
        let system = &*experiment.system;
        let options = Options { atol: experiment.tolerance.clone(), interrupt, ..options.clone() };
        let steady = experiment.steady.as_deref().map(|structure| {
            let sizes = experiment.tolerance.sizes(options.rtol, system.dims().n_states);
            SteadyStates::new(system, structure, &sizes).with_interrupt(options.interrupt.clone())
        });
        let integrator = Integrator::new(system, options)
            .map_err(|error| CalibrateError::Integration { experiment: experiment.name.clone(), error })?;
        let n_locals = prepared.locals.len();
        Ok(Bench {
            prepared,
            integrator,
            steady,
            conditions: (Vec::new(), Vec::new()),
            directions: vec![Direction::default(); prepared.n_directions],
            outputs: Outputs::new(system),
            by_median: vec![0.0; n_locals],
            by_spread: vec![0.0; n_locals],
            split: None,
            backward: None,
            curved: None,
        })
    }

    /// Lets at most `n_threads` carry sensitivities.
    ///
    /// # Errors
    /// What the integrator finds wrong with the tolerances.
    pub(super) fn share(&mut self, n_threads: usize) -> Result<(), CalibrateError> {
        let split = Split::new(self.prepared, self.integrator.options(), n_threads);
        let experiment = &self.prepared.experiment;
        let failed = |error| CalibrateError::Integration { experiment: experiment.name.clone(), error };
        self.split = split.map_err(failed)?.map(Box::new);
        Ok(())
    }

    /// Integrates and calls `at_sample` at each time; with sensitivities and output derivatives where `slopes` are
    /// given.
    pub(super) fn simulate(
        &mut self,
        values: &[f64],
        slopes: Option<&[f64]>,
        times: &[f64],
        at_sample: &mut dyn FnMut(Sample<'_>, &mut Outputs),
    ) -> Result<(), EvalError> {
        let system = &*self.prepared.experiment.system;
        self.integrate(values, slopes, times, &mut |problem, integrator, outputs| {
            let mut observer = |sample: Sample<'_>| {
                outputs.evaluate(system, sample.at, slopes.is_some());
                at_sample(sample, outputs);
            };
            integrator.solve(problem, times, &mut observer)
        })
    }

    /// Poses the problem up to the last of `times`, with directions where `slopes` are given, and solves it.
    pub(super) fn integrate(
        &mut self,
        values: &[f64],
        slopes: Option<&[f64]>,
        times: &[f64],
        solve: &mut Solve<'_, 'a>,
    ) -> Result<(), EvalError> {
        let Bench { prepared, integrator, steady, conditions, directions, outputs, .. } = self;
        let experiment = &prepared.experiment;
        prepared.write_conditions(values, &mut conditions.0, &mut conditions.1);
        if let Some(slopes) = slopes {
            prepared.write_directions(slopes, directions);
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
        let found = match steady {
            Some(steady) => Some(steady.start(&problem).map_err(|error| experiment.unsteady(&error))?),
            None => None,
        };
        let problem = match &found {
            Some(found) => {
                Integration { start: Start::Given(&found.steady.x), directions: &found.directions, ..problem }
            }
            None => problem,
        };
        match solve(&problem, integrator, outputs) {
            Ok(outcome) if outcome.status.is_success() => Ok(()),
            Ok(outcome) => Err(experiment.failure(&outcome.status)),
            Err(error) => Err(experiment.error(&error.to_string())),
        }
    }

    /// The distinct measurement times, ascending.
    pub(super) fn times(&self) -> &'a [f64] {
        &self.prepared.times
    }

    /// Calls `each` for every measurement, in the order of time; with sensitivities and output derivatives where
    /// `slopes` are given.
    pub(super) fn visit(
        &mut self,
        values: &[f64],
        slopes: Option<&[f64]>,
        curvature: Curvature,
        each: &mut dyn FnMut(Visit<'_>, &Outputs),
    ) -> Result<(), EvalError> {
        let prepared = self.prepared;
        let mut failure = None;
        let mut next = 0;
        self.simulate(values, slopes, &prepared.times, &mut |sample, outputs| {
            while let Some(point) = prepared.points.get(next).filter(|p| p.sample == sample.idx) {
                next += 1;
                let (median, spread) = (outputs.y[point.value_output], outputs.y[point.spread_output]);
                match point_term(point.noise, point.value, median, spread, curvature) {
                    Ok(term) => {
                        each(Visit { point, term, median, spread, sensitivities: sample.sensitivities }, outputs);
                    }
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
    pub(super) fn accumulate(
        &mut self,
        values: &[f64],
        slopes: &[f64],
        curvature: Curvature,
        local: &mut Local,
    ) -> Result<(), EvalError> {
        let prepared = self.prepared;
        let n = values.len();
        self.differentiate(values, slopes, curvature, &mut |term, by_median, by_spread| {
            local.value += term.value;
            for (a, row) in prepared.locals.iter().enumerate() {
                local.gradient[row.parameter] += term.by_median * by_median[a] + term.by_spread * by_spread[a];
                for (b, col) in prepared.locals.iter().enumerate() {
                    local.hessian[col.parameter * n + row.parameter] +=
                        term.median_curvature * by_median[a] * by_median[b]
                            + term.spread_curvature * by_spread[a] * by_spread[b];
                }
            }
        })
    }
}

impl Prepared {
    /// `out` = d output/dθ by the local parameters `locals`, from the sensitivities from direction `first` on.
    pub(super) fn derivative(
        &self,
        output: usize,
        outputs: &Outputs,
        sensitivities: &[f64],
        slopes: &[f64],
        (locals, first): (Range<usize>, usize),
        out: &mut [f64],
    ) {
        let row = &self.rows[output];
        let n_states = self.experiment.system.dims().n_states;
        for (local, slot) in self.locals[locals.clone()].iter().zip(out.iter_mut()) {
            *slot = local.direction.map_or(0.0, |d| {
                let column = &sensitivities[(d - first) * n_states..(d - first + 1) * n_states];
                row.by_states.iter().map(|&(state, k)| outputs.dy_dx[k] * column[state]).sum()
            });
        }
        for &(local, k) in row.by_params.iter().filter(|(local, _)| locals.contains(local)) {
            out[local - locals.start] += outputs.dy_dp[k] * slopes[self.locals[local].parameter];
        }
    }

    pub(super) fn no_likelihood(&self, point: &Point, error: NoiseError) -> EvalError {
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
    pub(super) fn error(&self, reason: &str) -> EvalError {
        EvalError::new(format!("{reason}{}", place(&self.name)))
    }

    fn state_name(&self, idx: usize) -> String {
        match self.state_names.get(idx) {
            Some(name) => format!("`{name}`"),
            None => format!("state {idx}"),
        }
    }

    /// A start that is not steady in words.
    pub(super) fn unsteady(&self, error: &NotSteady) -> EvalError {
        let reason = match error {
            NotSteady::Failed(attempts) => match attempts.last() {
                Some(last) => {
                    let (name, stage, reason) = (self.state_name(last.worst_state), last.stage, last.reason);
                    format!("no steady state to start from: {stage} ends with {reason}, and {name} still changes")
                }
                None => "no steady state to start from".to_string(),
            },
            NotSteady::TimeDependent { state } => {
                format!("no steady state to start from: the rate of {} depends on time", self.state_name(*state))
            }
            NotSteady::NoDerivative => {
                "the Jacobian is singular at the steady state, which has no derivative in the parameters".to_string()
            }
        };
        self.error(&reason)
    }

    /// A failed integration in words, with the state's name.
    pub(super) fn failure(&self, status: &Status) -> EvalError {
        let state = |idx: usize| self.state_name(idx);
        let reason = match *status {
            Status::StepSizeUnderflow { t, worst_state } => {
                format!("step size underflow at time {t}: {} has the largest error", state(worst_state))
            }
            Status::NoConvergence { t, state: idx } => {
                format!("the equations of the step from time {t} are not solved: {} changed last", state(idx))
            }
            Status::StepLimit { t, worst_state } => {
                format!("step limit reached at time {t}: {} has the largest error", state(worst_state))
            }
            Status::NonFinite { t, state: idx } => format!("{} is not finite after time {t}", state(idx)),
            Status::EventConflict { t, state: idx, .. } => {
                format!("events at time {t} set {} in conflicting ways", state(idx))
            }
            Status::Success
            | Status::EventStorm { .. }
            | Status::Interrupted { .. }
            | Status::NegativeCount { .. }
            | Status::BadRate { .. } => status.to_string(),
        };
        self.error(&reason)
    }
}
