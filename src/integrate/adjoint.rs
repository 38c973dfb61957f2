//! Gradients of scalar functions of a solution by as many parameters and start values as there are, at the cost of a few
//! runs whatever their number.
//!
//! For `G = Σ_k g_k(x(t_k), p)` the forward run is recorded, then the multiplier λ = dG/dx is carried back from the last
//! sample to the start, through the transpose of every operation that made the solution: steps, dense output at the
//! samples, resets, and the shift of an event's time ([`Adjoint`]).
//!
//! **Discrete, not continuous.** What is transposed are the steps themselves (Sandu 2006, On the properties of
//! Runge–Kutta discrete adjoints, LNCS 3994; Giles and Pierce 2000 for the idea), not the differential equation
//! `λ' = -J^T λ`. The gradient is then that of the computed G to rounding, at any tolerance, which line searches notice;
//! it equals forward sensitivities on the same steps digit for digit, which tests use; there is no second error control,
//! no interpolated trajectory, no quadrature. The price is the second derivatives of f in a Rosenbrock step, which forward
//! sensitivities need too and `System::jacobian_along` provides. As there, the lengths of the steps count as given. A
//! multistep formula is not transposed (its variable steps make a poor adjoint): stiff runs are made by Rodas5P here.
//!
//! **Memory.** A step is recorded by its length and its start; its stages are computed again on the way back, a fifth of
//! the work there. Half of [`Adjoint::memory`] holds the states of every so many-th step, the other half what is replayed
//! between two of them, in a binomial schedule where that does not hold them all (`replay`). A replayed state is the same
//! bits as the one that was dropped, so the gradient does not depend on the memory.
//!
//! ```
//! use twinc::integrate::adjoint::{Adjoint, Gradient};
//! use twinc::integrate::{Forcing, Options, Problem, Sample, Start};
//! use twinc::system::closure::ClosureSystem;
//! // x' = -k x, G = x(1): dG/dk = -exp(-k), dG/dx0 = exp(-k).
//! let decay = ClosureSystem::new(1, 1, |at, dx| dx[0] = -at.p[0] * at.x[0]).autonomous();
//! let problem = Problem {
//!     t0: 0.0, t1: 1.0, start: Start::Given(&[1.0]), p: &[0.5], forcing: &Forcing::default(), directions: &[], resumes: false,
//! };
//! let mut adjoint = Adjoint::new(&decay, Options { rtol: 1e-9, ..Options::default() }).unwrap();
//! let outcome = adjoint.forward(&problem, &[1.0], &mut |_: Sample<'_>| {}).unwrap();
//! assert!(outcome.status.is_success());
//! let mut gradient = Gradient::default();
//! adjoint.backward(&mut |_, by_state, _| by_state[0] = 1.0, &mut gradient).unwrap();
//! assert!((gradient.params[0] + (-0.5_f64).exp()).abs() < 1e-7 && (gradient.start[0] - (-0.5_f64).exp()).abs() < 1e-7);
//! ```

mod explicit;
mod jump;
mod replay;
mod rosenbrock;
pub(super) mod tape;

use super::field::Field;
use super::formula::explicit_table;
use super::options::{Method, Options};
use super::problem::{Observer, Outcome, Problem, ProblemError, Sample, Start, Statistics};
use super::solve::Integrator;
use crate::linalg::Singular;
use crate::system::{At, System};
use explicit::Explicit;
use jump::Jumps;
use replay::Shelf;
use rosenbrock::Rosenbrock;
use tape::{Entry, StepKind, Tape};

/// The derivative of a scalar G.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gradient {
    /// dG/dp, `n_params`; through the model's start values too, where these were used.
    pub params: Vec<f64>,
    /// dG/dx at the start, `n_states`: the derivative by a start value that is given or overridden.
    pub start: Vec<f64>,
}

/// Why a run could not be taken back.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AdjointError {
    /// There is no run that reached its end.
    #[error("there is no forward run that reached its end")]
    NoRun,
    /// A step's matrix has no factors, though it had when the step was made.
    #[error("the step at time {t} cannot be taken back: {cause}")]
    Singular {
        /// Where the step starts.
        t: f64,
        /// Where its matrix is singular.
        cause: Singular,
    },
}

/// What takes the steps of one formula back.
trait Reversed {
    /// Computes the stages of the step of length `h` from `(t, x)` and where it ends, by the operations of the forward run.
    /// `first` is the time at which the field was evaluated for the first stage: `t`, but for the rounding of the step
    /// before where that has left its last stage.
    fn stages(
        &mut self,
        field: &mut Field<'_>,
        at: (f64, f64),
        first: f64,
        x: &[f64],
        x_new: &mut [f64],
    ) -> Result<(), Singular>;

    /// `out` = the dense output of the step at `theta`.
    fn interpolate(&self, theta: f64, h: f64, x: &[f64], x_new: &[f64], out: &mut [f64]);

    /// Forgets the seeds of the step before.
    fn begin(&mut self);

    /// Adds what depends on the dense output at `theta`, of which G has the derivative `g`.
    fn seed(&mut self, theta: f64, h: f64, g: &[f64], by_start: &mut [f64], by_end: &mut [f64]);

    /// Adds to `by_start` and `by_params` what depends on the step by its end and its seeds.
    fn back(
        &mut self,
        field: &mut Field<'_>,
        at: (f64, f64),
        x: &[f64],
        by_end: &[f64],
        by_start: &mut [f64],
        by_params: &mut [f64],
    ) -> Result<(), Singular>;
}

/// The derivative of G by one sample: `slopes(sample, by_state, by_params)` writes ∂g_k/∂x and ∂g_k/∂p, given as zeros.
/// Called from the last sample to the first.
pub type Slopes<'a> = dyn FnMut(Sample<'_>, &mut [f64], &mut [f64]) + 'a;

/// Records runs of one system and takes them back.
///
/// One run may be taken back several times, for several functions of its samples.
pub struct Adjoint<'s> {
    integrator: Integrator<'s>,
    memory: usize,
    formulas: Formulas,
    jumps: Jumps,
    start: StartKind,
    is_complete: bool,
    t0: f64,
    /// States that were not kept, replayed.
    shelf: Shelf,
    x: Vec<f64>,
    x_new: Vec<f64>,
    between: Vec<f64>,
    lambda: Vec<f64>,
    by_start: Vec<f64>,
    by_state: Vec<f64>,
    by_sample_params: Vec<f64>,
    initial: Vec<f64>,
}

/// The formulas of a run.
struct Formulas {
    explicit: Explicit,
    rosenbrock: Option<Box<Rosenbrock>>,
}

impl Formulas {
    fn of(&mut self, kind: StepKind) -> &mut dyn Reversed {
        match (kind, &mut self.rosenbrock) {
            (StepKind::Rosenbrock, Some(rosenbrock)) => &mut **rosenbrock,
            (StepKind::Explicit | StepKind::Rosenbrock, _) => &mut self.explicit,
        }
    }
}

/// Where start values came from.
#[derive(Debug, Clone, PartialEq)]
enum StartKind {
    Given,
    /// The model, but for these states.
    Model(Vec<usize>),
}

/// Bytes that the states of a record take at most, if nothing else is said.
const MEMORY: usize = 256 << 20;

impl<'s> Adjoint<'s> {
    /// Prepares for a system, with the options of the forward runs. What [`Method::Bdf`] and, in large systems,
    /// [`Method::Auto`] would integrate by multistep formulas is integrated by Rodas5P.
    ///
    /// # Errors
    /// As [`Integrator::new`].
    pub fn new(system: &'s dyn System, options: Options) -> Result<Self, ProblemError> {
        let method = match options.method {
            Method::Bdf => Method::Rodas5p,
            Method::ImplicitEuler | Method::Radau3 | Method::Radau5 => {
                return Err(ProblemError::Unsuited(
                    "implicit steps on a grid have no adjoint; take `rodas5p`, `rk4` or forward sensitivities",
                ));
            }
            method
            @ (Method::Auto | Method::Tsit5 | Method::Dop853 | Method::Rodas5p | Method::Euler | Method::Rk4) => method,
        };
        let mut integrator = Integrator::new(system, Options { method, ..options })?;
        integrator.tape = Some(Box::default());
        integrator.formula.leave_out_multistep();
        let field = &integrator.field;
        let table = explicit_table(&integrator.options);
        let is_implicit = match method {
            Method::Euler
            | Method::Rk4
            | Method::Tsit5
            | Method::Dop853
            | Method::ImplicitEuler
            | Method::Radau3
            | Method::Radau5 => false,
            Method::Auto | Method::Rodas5p | Method::Bdf => true,
        };
        let (n, n_params) = (field.n, field.dims.n_params);
        let state = || vec![0.0; n];
        Ok(Adjoint {
            memory: MEMORY,
            formulas: Formulas {
                explicit: Explicit::new(field, table),
                rosenbrock: is_implicit.then(|| Box::new(Rosenbrock::new(field))),
            },
            jumps: Jumps::default(),
            start: StartKind::Given,
            is_complete: false,
            t0: 0.0,
            shelf: Shelf::default(),
            x: state(),
            x_new: state(),
            between: state(),
            lambda: state(),
            by_start: state(),
            by_state: state(),
            by_sample_params: vec![0.0; n_params],
            initial: vec![0.0; system.initial_pattern().nnz()],
            integrator,
        })
    }

    /// Keeps at most `bytes` of the states of a run's steps; default 256 MiB. At least four states are kept, and in addition
    /// the first state of all and after each jump, those before and after jumps, and some 200 bytes a step.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Integrates `problem` as [`Integrator::solve`] does and records it. [`Problem::directions`] are not computed.
    ///
    /// # Errors
    /// As [`Integrator::solve`].
    pub fn forward(
        &mut self,
        problem: &Problem<'_>,
        samples: &[f64],
        observer: &mut dyn Observer,
    ) -> Result<Outcome, ProblemError> {
        self.is_complete = false;
        if let Some(tape) = &mut self.integrator.tape {
            tape.start(self.x.len(), self.memory / 2);
        }
        let outcome = self.integrator.solve(&Problem { directions: &[], ..*problem }, samples, observer)?;
        self.is_complete = outcome.status.is_success();
        self.t0 = problem.t0;
        self.start = match problem.start {
            Start::Model => StartKind::Model(Vec::new()),
            Start::Overrides(overrides) => StartKind::Model(overrides.iter().map(|&(state, _)| state).collect()),
            Start::Given(_) => StartKind::Given,
        };
        Ok(outcome)
    }

    /// Carries the derivative of `G = Σ_k g_k` from the samples of the last run back to its start, and writes `gradient`.
    /// Returns the work done.
    ///
    /// # Errors
    /// [`AdjointError`] without a run that reached its end, or where a step's matrix cannot be factorised.
    pub fn backward(&mut self, slopes: &mut Slopes<'_>, gradient: &mut Gradient) -> Result<Statistics, AdjointError> {
        if !self.is_complete {
            return Err(AdjointError::NoRun);
        }
        let Some(tape) = self.integrator.tape.take() else { return Err(AdjointError::NoRun) };
        let result = self.take_back(&tape, slopes, gradient);
        self.integrator.tape = Some(tape);
        result.map(|()| self.integrator.field.statistics)
    }

    /// Most states that were kept at once of the last run's steps, recorded or replayed, and the number of the steps.
    pub fn n_kept(&self) -> (usize, usize) {
        self.integrator.tape.as_ref().map_or((0, 0), |tape| (tape.most_kept() + self.shelf.most(), tape.steps.len()))
    }

    fn take_back(&mut self, tape: &Tape, slopes: &mut Slopes<'_>, gradient: &mut Gradient) -> Result<(), AdjointError> {
        let n = self.x.len();
        self.integrator.field.statistics = Statistics::default();
        self.jumps.start(&self.integrator.field);
        self.lambda.fill(0.0);
        self.x.copy_from_slice(&self.integrator.z[..n]);
        self.shelf.start(n, self.memory / 2);
        gradient.params.clear();
        gradient.params.resize(self.by_sample_params.len(), 0.0);
        for entry in tape.entries.iter().rev() {
            match *entry {
                Entry::Sample { idx, t, span } => {
                    tape.enter(span, &mut self.integrator.field);
                    self.between.copy_from_slice(&self.x);
                    self.sample(idx, t, slopes, &mut gradient.params);
                    self.lambda.iter_mut().zip(&self.by_state).for_each(|(value, g)| *value += g);
                }
                Entry::Instant(instant) => {
                    let instant = &tape.instants[instant];
                    let field = &mut self.integrator.field;
                    self.jumps.back(tape, field, instant, &mut self.lambda, &mut gradient.params);
                    self.x.copy_from_slice(tape.jump_values(instant.jumps.start)[0]);
                }
                Entry::Step(step) => self.step(tape, step, slopes, &mut gradient.params)?,
            }
        }
        self.finish(gradient);
        Ok(())
    }

    /// Asks for the derivative by the sample of `self.between`; leaves that by the state in `self.by_state`.
    fn sample(&mut self, idx: usize, t: f64, slopes: &mut Slopes<'_>, by_params: &mut [f64]) {
        let field = &mut self.integrator.field;
        field.set_forcing(t);
        self.by_state.fill(0.0);
        self.by_sample_params.fill(0.0);
        let at = field.at(t, &self.between);
        slopes(Sample { idx, at, sensitivities: &[] }, &mut self.by_state, &mut self.by_sample_params);
        by_params.iter_mut().zip(&self.by_sample_params).for_each(|(sum, slope)| *sum += slope);
    }

    fn step(
        &mut self,
        tape: &Tape,
        step_idx: usize,
        slopes: &mut Slopes<'_>,
        by_params: &mut [f64],
    ) -> Result<(), AdjointError> {
        self.find_state(tape, step_idx)?;
        let step = &tape.steps[step_idx];
        let (t, h) = (step.t, step.h);
        let singular = |cause| AdjointError::Singular { t, cause };
        tape.enter(step.span, &mut self.integrator.field);
        let formula = self.formulas.of(step.kind);
        let first = tape.first_time(step_idx);
        formula.stages(&mut self.integrator.field, (t, h), first, &self.x, &mut self.x_new).map_err(singular)?;
        formula.begin();
        self.by_start.fill(0.0);
        if let Some(theta) = step.end {
            let by_end = std::mem::replace(&mut self.between, std::mem::take(&mut self.lambda));
            self.lambda = by_end;
            self.lambda.fill(0.0);
            formula.seed(theta, h, &self.between, &mut self.by_start, &mut self.lambda);
        }
        for k in step.samples.clone().rev() {
            let (idx, time) = tape.inside[k];
            let theta = (time - t) / h;
            self.formulas.of(step.kind).interpolate(theta, h, &self.x, &self.x_new, &mut self.between);
            self.sample(idx, time, slopes, by_params);
            self.formulas.of(step.kind).seed(theta, h, &self.by_state, &mut self.by_start, &mut self.lambda);
        }
        let formula = self.formulas.of(step.kind);
        let field = &mut self.integrator.field;
        formula.back(field, (t, h), &self.x, &self.lambda, &mut self.by_start, by_params).map_err(singular)?;
        std::mem::swap(&mut self.lambda, &mut self.by_start);
        Ok(())
    }

    /// Goes through the start values.
    fn finish(&mut self, gradient: &mut Gradient) {
        gradient.start.clear();
        gradient.start.extend_from_slice(&self.lambda);
        let StartKind::Model(overridden) = &self.start else { return };
        overridden.iter().for_each(|&state| self.lambda[state] = 0.0);
        let field = &mut self.integrator.field;
        field.set_forcing(self.t0);
        let at = At { t: self.t0, x: &self.x, u: &field.u, d: &field.d, p: &field.p };
        field.system.initial_jacobian(at, &mut field.work, &mut self.initial);
        let pattern = field.system.initial_pattern();
        pattern.mul_transposed_add(&self.initial, &self.lambda, &mut gradient.params);
    }
}
