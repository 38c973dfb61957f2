//! The steady state of a system: where nothing changes, with the conserved totals of the start.
//!
//! Time, inputs and disturbances are held at their values at the start, and events wait. Three stages follow on each
//! other, each from the start values: damped Newton iteration, pseudo-transient continuation, and
//! plain integration until nothing moves. Newton's result is taken where it is isolated and stable; a stage that finds
//! an unstable point is followed by the next, and the unstable point is the answer only where the solution itself does
//! not settle, as around a limit cycle. [`Steady`] and [`NotSteady`] say what each stage did.
//!
//! Derivatives follow from the implicit function theorem: with the totals T = L(p) x0(p, θ), `J S + f_p p_θ = 0` in the
//! rows that are kept and `L S = L S0 + L_θ (x0 − x)` in those of the laws.

mod held;
mod linear;
mod newton;
mod search;
mod transient;

use super::network::{Law, Structure};
use super::stability::Stability;
use crate::integrate::{Direction, Problem, Start};
use crate::system::{At, System};
use held::Held;
use search::Search;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The first factor of Newton's iteration.
const FIRST_FACTOR: f64 = 0.01;
/// Newton iterations of the first stage.
const MOST_ITERATIONS: u64 = 100;

/// A stage of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Damped Newton iteration.
    Newton,
    /// Pseudo-transient continuation.
    Continuation,
    /// Integration over growing horizons.
    Integration,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Newton => "Newton's iteration",
            Stage::Continuation => "pseudo-transient continuation",
            Stage::Integration => "integration",
        })
    }
}

/// Why a stage gave no steady state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// The Jacobian, with the conserved totals, is singular on the way.
    Singular,
    /// No step, however short, comes nearer.
    Damped,
    /// The iterations were used up.
    Iterations,
    /// A rate is not finite.
    NonFinite {
        /// Of which state.
        state: usize,
    },
    /// It converged to a point from which displacements grow.
    Unstable {
        /// The largest real part of the eigenvalues, per unit of time.
        growth: f64,
    },
    /// It converged to a point where the Jacobian is singular: which such point is reached may depend on the way.
    NotIsolated,
    /// The integration goes on changing.
    Unsettled {
        /// The time reached.
        time: f64,
    },
    /// The integration could not be continued.
    Underflow {
        /// The time reached.
        time: f64,
    },
    /// The integration could not be begun.
    NoTime,
    /// Stopped from outside.
    Interrupted,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Singular => write!(f, "the Jacobian is singular"),
            Reason::Damped => write!(f, "no step comes nearer"),
            Reason::Iterations => write!(f, "no convergence"),
            Reason::NonFinite { state } => write!(f, "the rate of state {state} is not finite"),
            Reason::Unstable { growth } => write!(f, "an unstable point (growth {growth:.3e} per unit of time)"),
            Reason::NotIsolated => write!(f, "a point where the Jacobian is singular"),
            Reason::Unsettled { time } => write!(f, "still changing at time {time:.3e}"),
            Reason::Underflow { time } => write!(f, "step size underflow at time {time:.3e}"),
            Reason::NoTime => write!(f, "not begun"),
            Reason::Interrupted => write!(f, "interrupted"),
        }
    }
}

/// What a stage did that was not the last or did not succeed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// Which stage.
    pub stage: Stage,
    /// Why it was not the end.
    pub reason: Reason,
    /// Where it ended: the largest net rate as a part of its state's turnover.
    pub imbalance: f64,
    /// The state with that rate.
    pub worst_state: usize,
    /// That rate, in the state's unit per unit of time.
    pub rate: f64,
}

/// A steady state.
#[derive(Debug, Clone, PartialEq)]
pub struct Steady {
    /// `n_states`
    pub x: Vec<f64>,
    /// The stage that found it.
    pub stage: Stage,
    /// Its iterations or steps.
    pub iterations: u64,
    /// The largest net rate as a part of its state's turnover.
    pub imbalance: f64,
    /// The state with that rate.
    pub worst_state: usize,
    /// True where the Jacobian is regular, so that no other steady state with the same totals is near and derivatives
    /// exist.
    pub is_isolated: bool,
    /// Eigenvalues; `None` for more states than [`super::stability::MOST_STATES`].
    pub stability: Option<Stability>,
    /// The stages before.
    pub earlier: Vec<Attempt>,
}

/// No steady state.
#[derive(Debug, Clone, PartialEq)]
pub enum NotSteady {
    /// All stages failed.
    Failed(
        /// In their order; at least one.
        Vec<Attempt>,
    ),
    /// The rates depend on time itself, so that nothing settles.
    TimeDependent {
        /// The state whose rate changes with time.
        state: usize,
    },
    /// There is a steady state, but no derivative: it is not isolated.
    NoDerivative,
}

/// A steady state as the start of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct SteadyStart {
    /// The state.
    pub steady: Steady,
    /// The directions of the problem with the state's derivatives as those of start values that are given.
    pub directions: Vec<Direction>,
}

/// Finds steady states of one system.
pub struct SteadyStates<'s> {
    system: &'s dyn System,
    structure: &'s Structure,
    scale: Vec<f64>,
    /// The laws, where they are the same for all parameters.
    laws: Option<Vec<Law>>,
    interrupt: Option<Arc<AtomicBool>>,
}

impl<'s> SteadyStates<'s> {
    /// For a system with the given structure; `scale: n_states` are typical sizes of the states, positive. A size that is
    /// not is taken as 1.
    pub fn new(system: &'s dyn System, structure: &'s Structure, scale: &[f64]) -> Self {
        let positive = |s: &f64| if *s > 0.0 && s.is_finite() { *s } else { 1.0 };
        SteadyStates {
            scale: scale.iter().map(positive).collect(),
            laws: structure.is_fixed().then(|| structure.laws(&[])),
            interrupt: None,
            system,
            structure,
        }
    }

    /// The same, ended early where `interrupt` is raised.
    pub fn with_interrupt(self, interrupt: Option<Arc<AtomicBool>>) -> Self {
        SteadyStates { interrupt, ..self }
    }

    /// The conservation laws at `p: n_params`.
    pub fn laws(&self, p: &[f64]) -> Vec<Law> {
        self.laws.clone().unwrap_or_else(|| self.structure.laws(p))
    }

    /// The steady state that belongs to the start of `problem`, with its derivatives along the problem's directions.
    ///
    /// # Errors
    /// What each stage met.
    pub fn start(&self, problem: &Problem<'_>) -> Result<SteadyStart, NotSteady> {
        let held = self.held(problem);
        let x0 = self.start_values(&held, problem);
        self.check_time(&held, problem.p, &x0)?;
        let laws = self.laws(problem.p);
        let mut search = Search::new(held, problem.p, laws, self.structure.low(), &self.scale, &x0);
        let steady = self.stages(&mut search, &x0)?;
        // A rate may show its dependence on time only away from the start.
        self.check_time(&search.held, problem.p, &steady.x)?;
        if problem.directions.is_empty() {
            return Ok(SteadyStart { steady, directions: Vec::new() });
        }
        if !steady.is_isolated {
            return Err(NotSteady::NoDerivative);
        }
        let directions = self.slopes(&mut search, problem, &x0, &steady.x)?;
        Ok(SteadyStart { steady, directions })
    }

    fn held(&self, problem: &Problem<'_>) -> Held<'s> {
        let values = |signals: &[crate::integrate::Signal]| signals.iter().map(|s| s.value(problem.t0)).collect();
        Held {
            system: self.system,
            t0: problem.t0,
            u: values(&problem.forcing.inputs),
            d: values(&problem.forcing.disturbances),
        }
    }

    fn start_values(&self, held: &Held<'_>, problem: &Problem<'_>) -> Vec<f64> {
        let mut x = vec![0.0; self.scale.len()];
        let given = match problem.start {
            Start::Given(values) => {
                x.copy_from_slice(values);
                return x;
            }
            Start::Model => &[],
            Start::Overrides(overrides) => overrides,
        };
        let none = vec![0.0; x.len()];
        self.system.initial_state(held.at(&none, problem.p), &mut self.system.work(), &mut x);
        given.iter().for_each(|&(state, value)| x[state] = value);
        x
    }

    /// Rates that drift with time have no steady state.
    fn check_time(&self, held: &Held<'_>, p: &[f64], x: &[f64]) -> Result<(), NotSteady> {
        if self.system.is_autonomous() {
            return Ok(());
        }
        let mut slopes = vec![0.0; x.len()];
        self.system.time_derivative(held.at(x, p), &mut self.system.work(), &mut slopes);
        match slopes.iter().position(|slope| *slope != 0.0) {
            Some(state) => Err(NotSteady::TimeDependent { state }),
            None => Ok(()),
        }
    }

    /// The stages in their order.
    fn stages(&self, search: &mut Search<'_>, x0: &[f64]) -> Result<Steady, NotSteady> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut unstable: Option<Steady> = None;
        let mut is_isolated = true;
        for stage in [Stage::Newton, Stage::Continuation, Stage::Integration] {
            // Of steady states that are not isolated only integration knows which one is reached.
            if stage == Stage::Continuation && !is_isolated {
                continue;
            }
            let mut x = x0.to_vec();
            let ended = match stage {
                Stage::Newton => newton::newton(search, &mut x, FIRST_FACTOR, MOST_ITERATIONS),
                Stage::Continuation => transient::continuation(search, &mut x),
                Stage::Integration => {
                    transient::relaxation(search, &mut x, is_isolated, self.interrupt.as_ref()).map(|end| end.0)
                }
            };
            let iterations = match ended {
                Ok(iterations) => iterations,
                Err(reason) => {
                    attempts.push(search.attempt(stage, reason, &x));
                    if reason == Reason::Interrupted {
                        return Err(NotSteady::Failed(attempts));
                    }
                    continue;
                }
            };
            let here = search.is_isolated(&x);
            if !here && stage != Stage::Integration {
                is_isolated = false;
                attempts.push(search.attempt(stage, Reason::NotIsolated, &x));
                continue;
            }
            let (imbalance, worst_state) = search.imbalance(&x);
            let pattern = self.system.jacobian_pattern();
            let stability = Stability::new(pattern, &search.jacobian, &search.laws, search.scale);
            let growth = stability.as_ref().filter(|s| !s.is_stable()).map(Stability::largest);
            let earlier = attempts.clone();
            let steady = Steady { x, stage, iterations, imbalance, worst_state, is_isolated: here, stability, earlier };
            match growth {
                Some(growth) => {
                    attempts.push(search.attempt(stage, Reason::Unstable { growth }, &steady.x));
                    unstable = unstable.or(Some(steady));
                }
                None => return Ok(steady),
            }
        }
        match unstable {
            Some(steady) => {
                // The point itself is no attempt that failed.
                attempts.retain(|a| a.stage != steady.stage);
                Ok(Steady { earlier: attempts, ..steady })
            }
            None => Err(NotSteady::Failed(attempts)),
        }
    }

    /// The directions of `problem` with the derivatives of the steady state `x` as those of its start.
    fn slopes(
        &self,
        search: &mut Search<'_>,
        problem: &Problem<'_>,
        x0: &[f64],
        x: &[f64],
    ) -> Result<Vec<Direction>, NotSteady> {
        let n = x.len();
        let (system, p) = (self.system, problem.p);
        let (by_parameter, by_start) = (system.parameter_pattern(), system.initial_pattern());
        let (mut rates, mut starts) = (vec![0.0; by_parameter.nnz()], vec![0.0; by_start.nnz()]);
        let at: At<'_> = search.held.at(x, p);
        system.parameter_jacobian(at, &mut search.work, &mut rates);
        system.initial_jacobian(search.held.at(x0, p), &mut search.work, &mut starts);
        search.linearize(x, 0.0).map_err(|_| NotSteady::NoDerivative)?;
        let rows = search.matrix.rows().to_vec();
        let mut directions = Vec::with_capacity(problem.directions.len());
        for direction in problem.directions {
            let (mut b, mut s0) = (vec![0.0; n], vec![0.0; n]);
            for &(k, weight) in &direction.params {
                by_parameter.column(k).for_each(|(row, place)| b[row] += weight * rates[place]);
                if !matches!(problem.start, Start::Given(_)) {
                    by_start.column(k).for_each(|(row, place)| s0[row] += weight * starts[place]);
                }
            }
            if let Start::Overrides(overrides) = problem.start {
                overrides.iter().for_each(|&(state, _)| s0[state] = 0.0);
            }
            direction.start.iter().for_each(|&(state, weight)| s0[state] += weight);
            b.iter_mut().zip(&rows).for_each(|(value, row)| *value *= row);
            let along = self.laws_along(p, &direction.params, search.laws.len());
            for (k, law) in search.laws.iter().enumerate() {
                let drift = |d: &Law| d.terms.iter().map(|&(j, c)| c * (x0[j] - x[j])).sum::<f64>();
                b[law.state] = (law.total(&s0) + along.get(k).map_or(0.0, drift)) * rows[law.state];
            }
            search.matrix.solve(&mut b);
            if !b.iter().all(|v| v.is_finite()) {
                return Err(NotSteady::NoDerivative);
            }
            let start = b.into_iter().enumerate().filter(|(_, v)| *v != 0.0).collect();
            directions.push(Direction { start, ..direction.clone() });
        }
        Ok(directions)
    }

    /// The derivatives of the laws' coefficients; empty where they have none.
    fn laws_along(&self, p: &[f64], weights: &[(usize, f64)], n_laws: usize) -> Vec<Law> {
        if self.laws.is_some() || n_laws == 0 {
            return Vec::new();
        }
        let mut dp = vec![0.0; p.len()];
        weights.iter().for_each(|&(k, weight)| dp[k] += weight);
        self.structure.laws_along(p, &dp)
    }
}
