//! Iterative LQR and differential dynamic programming: a plan that is simulated forward and improved backward.
//!
//! A backward pass makes a feedback law from second-order models along the trajectory ([`backward`]), a forward pass
//! simulates it with ever shorter open-loop parts until the cost falls as promised. iLQR (Li and Todorov 2004, *Iterative
//! linear quadratic regulator design for nonlinear biological movement systems*, ICINCO) takes the steps as linear and
//! the costs as Gauss–Newton; DDP (Jacobson and Mayne 1970, *Differential Dynamic Programming*) takes the second
//! derivatives of both. Input bounds are kept by a program in a box ([`box_qp`]), rows and state bounds by an augmented
//! Lagrangian (`penalty`) around both passes (as in Howell, Jackson and Manchester 2019, *ALTRO*, IROS, section III).
//!
//! Every iterate is a simulation, so the steps of the plan hold exactly at any time; a plant that is hard to simulate
//! over the horizon is better planned by SQP, whose states are unknowns. A tree of scenarios is refused: its nodes share
//! inputs, which a backward pass over a chain does not know.
//!
//! **Invariant.** The augmented cost never rises from one iterate to the next of the same multipliers, and nothing
//! allocates after the first plan.

mod backward;
mod box_qp;
mod penalty;
mod settings;

use std::fmt::Write as _;

use rayon::prelude::*;

use crate::decide::{Plan, PlanStatus, Planner, Situation};
use crate::system::stages::{Curvature, Instant, Softness, Stages};
use backward::{Backward, Model, Promise};
use penalty::{penalty, violation};
pub use settings::{DdpSettings, SETTINGS};

/// Why a problem cannot be planned by this method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DdpError {
    /// Scenarios share inputs.
    #[error("iLQR and DDP plan one course of events, but the problem is a tree of scenarios; use `sqp`")]
    Tree,
    /// A free start.
    #[error("iLQR and DDP start from a given state, but {0} states of the start are free; use `sqp`")]
    FreeStates(usize),
}

/// Least regularisation that is not zero, and the largest.
const MU: (f64, f64) = (1e-6, 1e10);
/// Step lengths of a line search: 1, ½, ... in one try and then groups of this many.
const GROUP: usize = 4;
/// Groups before a line search fails.
const N_GROUPS: usize = 3;
/// Weight of the squares of violations at which a constraint counts as one that cannot be kept.
const LARGEST_PENALTY: f64 = 1e12;
/// The part of the promised decrease that must come true.
const SUFFICIENT: f64 = 1e-4;

/// One simulated course.
struct Course {
    problem: Box<dyn Stages>,
    /// `(horizon + 1) × n_states`
    x: Vec<f64>,
    /// `horizon × n_inputs`
    u: Vec<f64>,
    /// `max n_rows`
    rows: Vec<f64>,
    du: Vec<f64>,
    /// The augmented cost; infinite where the simulation failed.
    value: f64,
    cost: f64,
}

/// What all courses of a line search share.
struct Law<'a> {
    x: &'a [f64],
    u: &'a [f64],
    open: &'a [f64],
    gain: &'a [f64],
    multipliers: &'a Multipliers,
    n: usize,
    m: usize,
}

/// Multipliers of rows and state bounds, and the weight.
struct Multipliers {
    /// Per node: rows, then states.
    y: Vec<Vec<f64>>,
    rho: f64,
}

/// iLQR and DDP as a planner.
pub struct Ddp {
    settings: DdpSettings,
    n: usize,
    m: usize,
    horizon: usize,
    best: Course,
    trials: Vec<Course>,
    multipliers: Multipliers,
    pass: Backward,
    open: Vec<f64>,
    gain: Vec<f64>,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
    jacobian: Vec<f64>,
    row_jacobian: Vec<f64>,
    weights: Vec<f64>,
    down: Vec<f64>,
    up: Vec<f64>,
    leaf_hessian: Vec<f64>,
    is_warm: bool,
    next_step: usize,
    message: String,
}

impl Ddp {
    /// A planner for a chain of steps.
    ///
    /// # Errors
    /// Where the problem is a tree or has free states at its start.
    pub fn new(problem: Box<dyn Stages>, settings: DdpSettings) -> Result<Ddp, DdpError> {
        if !problem.tree().is_chain() {
            return Err(DdpError::Tree);
        }
        if !problem.free_states().is_empty() {
            return Err(DdpError::FreeStates(problem.free_states().len()));
        }
        let dims = problem.dims();
        let (n, m, horizon) = (dims.n_states, dims.n_inputs, problem.tree().horizon());
        let nv = n + m;
        let n_rows = (0..=horizon).map(|k| problem.n_rows(k)).max().unwrap_or(0);
        let y = (0..=horizon).map(|k| vec![0.0; problem.n_rows(k) + n]).collect();
        let course = |problem: Box<dyn Stages>| Course {
            problem,
            x: vec![0.0; (horizon + 1) * n],
            u: vec![0.0; horizon * m],
            rows: vec![0.0; n_rows],
            du: vec![0.0; m],
            value: f64::INFINITY,
            cost: f64::INFINITY,
        };
        let trials = (0..GROUP).map(|_| course(problem.fork())).collect();
        Ok(Ddp {
            n,
            m,
            horizon,
            best: course(problem),
            trials,
            multipliers: Multipliers { y, rho: settings.penalty },
            pass: Backward::new(n, m),
            open: vec![0.0; horizon * m],
            gain: vec![0.0; horizon * m * n],
            gradient: vec![0.0; nv],
            hessian: vec![0.0; nv * nv],
            jacobian: vec![0.0; n * nv],
            row_jacobian: vec![0.0; n_rows * nv],
            weights: vec![0.0; n_rows],
            down: vec![0.0; m],
            up: vec![0.0; m],
            leaf_hessian: vec![0.0; n * n],
            is_warm: false,
            next_step: 0,
            message: String::new(),
            settings,
        })
    }

    /// Sets the inputs that the next plan starts from, `inputs: horizon × n_inputs`, row major.
    pub fn set_guess(&mut self, inputs: &[f64]) {
        self.best.u.iter_mut().zip(inputs).for_each(|(to, &from)| *to = from);
        self.is_warm = false;
        self.multipliers.y.iter_mut().for_each(|y| y.fill(0.0));
    }

    /// `horizon × n_inputs × n_states`: the feedback of the last backward pass, column major in each step.
    pub fn gain(&self) -> &[f64] {
        &self.gain
    }

    /// One step on: what was planned for later is now planned for sooner.
    fn shift(&mut self, by: usize) {
        let by = by.min(self.horizon);
        for _ in 0..by {
            let m = self.m;
            self.best.u.copy_within(m.., 0);
            if self.horizon > 1 {
                self.multipliers.y.rotate_left(1);
                // The leaf's multipliers are its own; what is now the last step before it has nothing behind it to take
                // from and keeps what it had, which the one before it has too.
                let (last, leaf) = (self.horizon - 1, self.horizon);
                self.multipliers.y.swap(last, leaf);
                let (before, rest) = self.multipliers.y.split_at_mut(last);
                if let (Some(from), Some(to)) = (before.last(), rest.first_mut()) {
                    to.clone_from(from);
                }
            }
        }
        for (node, y) in self.multipliers.y.iter_mut().enumerate() {
            y.resize(self.best.problem.n_rows(node) + self.n, 0.0);
        }
    }

    /// The backward pass; the largest relative input step, or nothing where the model has no minimum at this `mu`.
    fn backward(&mut self, mu: f64, promise: &mut Promise) -> Result<Option<f64>, String> {
        let (n, m, horizon) = (self.n, self.m, self.horizon);
        let nv = n + m;
        *promise = Promise::default();
        let mut change: f64 = 0.0;
        self.model(horizon, nv).map_err(|e| e.to_string())?;
        self.pass.slope.copy_from_slice(&self.gradient[..n]);
        self.pass.curvature.copy_from_slice(&self.leaf_hessian);
        for k in (0..horizon).rev() {
            self.model(k, nv).map_err(|e| e.to_string())?;
            let limits = self.best.problem.limits(k);
            let u = &self.best.u[k * m..(k + 1) * m];
            for (j, u) in u.iter().enumerate() {
                self.down[j] = (limits.u_lower[j] - u).min(0.0);
                self.up[j] = (limits.u_upper[j] - u).max(0.0);
            }
            let model = Model {
                jacobian: &self.jacobian,
                gradient: &self.gradient,
                hessian: &self.hessian,
                down: &self.down,
                up: &self.up,
            };
            let open = &mut self.open[k * m..(k + 1) * m];
            let gain = &mut self.gain[k * m * n..(k + 1) * m * n];
            if !self.pass.step(&model, mu, open, gain, promise) {
                return Ok(None);
            }
            for (o, u) in open.iter().zip(u) {
                change = change.max(o.abs() / (1.0 + u.abs()));
            }
        }
        Ok(Some(change))
    }

    /// Derivatives of one node's augmented cost, and of the step after it.
    fn model(&mut self, k: usize, nv: usize) -> Result<(), crate::system::stages::StageFailure> {
        let (n, m) = (self.n, self.m);
        let is_leaf = k == self.horizon;
        let course = &mut self.best;
        let x = &course.x[k * n..(k + 1) * n];
        let u = if is_leaf { &[][..] } else { &course.u[k * m..(k + 1) * m] };
        let size = if is_leaf { n } else { nv };
        let gradient = &mut self.gradient[..size];
        let hessian = if is_leaf { &mut self.leaf_hessian[..] } else { &mut self.hessian[..] };
        course.problem.cost_derivatives(k, x, u, self.settings.curvature, gradient, hessian);
        if !is_leaf {
            // The trial's x buffer of the next state is free here.
            let next = &mut self.trials[0].x[..n];
            course.problem.step_derivatives(k + 1, x, u, next, &mut self.jacobian)?;
            match self.settings.curvature {
                Curvature::GaussNewton => {}
                Curvature::Exact => course.problem.add_step_curvature(k + 1, x, u, &self.pass.slope, hessian)?,
            }
        }
        let n_rows = course.problem.n_rows(k);
        if n_rows > 0 {
            let jacobian = &mut self.row_jacobian[..n_rows * size];
            course.problem.row_derivatives(k, x, u, &mut course.rows[..n_rows], jacobian);
            let limits = course.problem.limits(k);
            for r in 0..n_rows {
                let p = penalty(
                    course.rows[r],
                    limits.row_lower[r],
                    limits.row_upper[r],
                    limits.row_softness[r],
                    self.multipliers.y[k][r],
                    self.multipliers.rho,
                );
                self.weights[r] = p.slope;
                for a in 0..size {
                    let d = jacobian[r + n_rows * a];
                    gradient[a] += p.slope * d;
                    for b in 0..size {
                        hessian[a + size * b] += p.curvature * d * jacobian[r + n_rows * b];
                    }
                }
            }
            match self.settings.curvature {
                Curvature::GaussNewton => {}
                Curvature::Exact => {
                    course.problem.add_row_curvature(k, x, u, &self.weights[..n_rows], hessian);
                }
            }
        }
        if k > 0 {
            let limits = course.problem.limits(k);
            let y = &self.multipliers.y[k][n_rows..];
            for j in 0..n {
                let (lower, upper) = (limits.x_lower[j], limits.x_upper[j]);
                let p = penalty(x[j], lower, upper, Softness::Hard, y[j], self.multipliers.rho);
                gradient[j] += p.slope;
                hessian[j + size * j] += p.curvature;
            }
        }
        Ok(())
    }

    /// Tries ever shorter steps; true where one keeps the promise, which is then the best course.
    fn search(&mut self, promise: &Promise) -> bool {
        let mut alpha = 1.0;
        for group in 0..=N_GROUPS {
            let size = if group == 0 { 1 } else { GROUP };
            let law = Law {
                x: &self.best.x,
                u: &self.best.u,
                open: &self.open,
                gain: &self.gain,
                multipliers: &self.multipliers,
                n: self.n,
                m: self.m,
            };
            let first = alpha;
            let run = |(i, trial): (usize, &mut Course)| trial.follow(&law, first * 0.5f64.powi(i as i32));
            if self.settings.parallel && size > 1 {
                self.trials[..size].par_iter_mut().enumerate().for_each(run);
            } else {
                for (i, trial) in self.trials[..size].iter_mut().enumerate() {
                    run((i, trial));
                    let a = first * 0.5f64.powi(i as i32);
                    if keeps(trial.value, self.best.value, promise, a) {
                        break;
                    }
                }
            }
            for i in 0..size {
                let trial = &mut self.trials[i];
                if keeps(trial.value, self.best.value, promise, alpha) {
                    std::mem::swap(&mut trial.x, &mut self.best.x);
                    std::mem::swap(&mut trial.u, &mut self.best.u);
                    self.best.value = trial.value;
                    self.best.cost = trial.cost;
                    return true;
                }
                alpha *= 0.5;
            }
        }
        false
    }

    /// Moves the multipliers of the best course; the largest violation, and the largest amount by which the course does
    /// not fit them (violation, or distance from a bound whose multiplier was not zero).
    fn update_multipliers(&mut self) -> (f64, f64) {
        let (n, m, rho) = (self.n, self.m, self.multipliers.rho);
        let (mut worst, mut residual): (f64, f64) = (0.0, 0.0);
        let mut update = |y: &mut f64, c: f64, lower: f64, upper: f64, softness: Softness| {
            let next = penalty(c, lower, upper, softness, *y, rho).slope;
            match softness {
                Softness::Hard => {
                    worst = worst.max(violation(c, lower, upper));
                    residual = residual.max((next - *y).abs() / rho);
                }
                Softness::Linear(_) => residual = residual.max((next - *y).abs() / rho),
                Softness::Quadratic(_) => (),
            }
            *y = next;
        };
        for k in 0..=self.horizon {
            let course = &mut self.best;
            let n_rows = course.problem.n_rows(k);
            let x = &course.x[k * n..(k + 1) * n];
            let u = if k == self.horizon { &[][..] } else { &course.u[k * m..(k + 1) * m] };
            course.problem.rows(k, x, u, &mut course.rows[..n_rows]);
            let limits = course.problem.limits(k);
            let (of_rows, of_states) = self.multipliers.y[k].split_at_mut(n_rows);
            for (r, y) in of_rows.iter_mut().enumerate() {
                update(y, course.rows[r], limits.row_lower[r], limits.row_upper[r], limits.row_softness[r]);
            }
            if k > 0 {
                for (j, y) in of_states.iter_mut().enumerate() {
                    update(y, x[j], limits.x_lower[j], limits.x_upper[j], Softness::Hard);
                }
            }
        }
        (worst, residual)
    }

    /// Improves the best course until it is optimal; how that ended, the iterations, the largest violation.
    fn improve(&mut self) -> (PlanStatus, usize, f64) {
        let mut iterations = 0;
        let mut mu: f64 = 0.0;
        let mut growth: f64 = 1.0;
        let mut last_residual = f64::INFINITY;
        let mut promise = Promise::default();
        loop {
            let mut stalled = false;
            // Descends with the multipliers as they are.
            loop {
                if iterations >= self.settings.max_iterations {
                    let (violation, _) = self.update_multipliers();
                    return (PlanStatus::IterationLimit, iterations, violation);
                }
                iterations += 1;
                let change = match self.backward(mu, &mut promise) {
                    Ok(change) => change,
                    Err(reason) => {
                        self.message = reason;
                        return (PlanStatus::Failed, iterations, f64::NAN);
                    }
                };
                let lower = |mu: &mut f64, growth: &mut f64| {
                    *growth = (*growth / 1.6).min(1.0 / 1.6);
                    *mu = if *mu * *growth > MU.0 { *mu * *growth } else { 0.0 };
                };
                match change {
                    Some(change) if change <= self.settings.tolerance && mu <= 1e-5 => {
                        // The step is taken where it is an improvement; it is the last one.
                        self.search(&promise);
                        break;
                    }
                    Some(_) if self.search(&promise) => lower(&mut mu, &mut growth),
                    Some(change)
                        if change <= 1e3 * self.settings.tolerance
                            && -promise.linear <= 1e-12 * self.best.value.abs() =>
                    {
                        stalled = change > self.settings.tolerance;
                        break;
                    }
                    Some(_) | None => {
                        growth = (growth * 1.6).max(1.6);
                        mu = (mu * growth).max(MU.0);
                        if mu > MU.1 {
                            stalled = true;
                            break;
                        }
                    }
                }
            }
            let (violation, residual) = self.update_multipliers();
            if residual <= self.settings.constraint_tolerance {
                let status = if stalled { PlanStatus::Stagnated } else { PlanStatus::Optimal };
                return (status, iterations, violation);
            }
            if residual > 0.25 * last_residual {
                self.multipliers.rho *= 10.0;
                if self.multipliers.rho > LARGEST_PENALTY {
                    if violation <= self.settings.constraint_tolerance {
                        return (PlanStatus::Stagnated, iterations, violation);
                    }
                    // Writing to a text cannot fail.
                    let _ = write!(
                        self.message,
                        "no plan was found that keeps all constraints; the given one breaks one by {violation:.3e}"
                    );
                    return (PlanStatus::Infeasible, iterations, violation);
                }
            }
            last_residual = residual;
            mu = 0.0;
            growth = 1.0;
            self.best.evaluate(&self.multipliers, self.n, self.m);
        }
    }
}

/// Whether a decrease is what was promised of it. Rounding of the value is forgiven.
fn keeps(value: f64, before: f64, promise: &Promise, alpha: f64) -> bool {
    let promised = -(alpha * promise.linear + 0.5 * alpha * alpha * promise.quadratic);
    value.is_finite() && before - value >= SUFFICIENT * promised && before >= value
}

impl Course {
    /// Simulates `u = u₀ + α open + gain (x − x₀)` within the input bounds.
    fn follow(&mut self, law: &Law<'_>, alpha: f64) {
        let (n, m) = (law.n, law.m);
        let horizon = law.u.len() / m.max(1);
        self.x[..n].copy_from_slice(&law.x[..n]);
        for k in 0..horizon {
            let (past, future) = self.x.split_at_mut((k + 1) * n);
            let x = &past[k * n..];
            let gain = &law.gain[k * m * n..(k + 1) * m * n];
            let limits = self.problem.limits(k);
            for j in 0..m {
                self.du[j] = alpha * law.open[k * m + j];
            }
            for i in 0..n {
                let dx = x[i] - law.x[k * n + i];
                for j in 0..m {
                    self.du[j] += gain[j + m * i] * dx;
                }
            }
            for j in 0..m {
                let u = law.u[k * m + j] + self.du[j];
                self.u[k * m + j] = u.max(limits.u_lower[j]).min(limits.u_upper[j]);
            }
            let u = &self.u[k * m..(k + 1) * m];
            if self.problem.step(k + 1, x, u, &mut future[..n]).is_err() {
                self.value = f64::INFINITY;
                return;
            }
        }
        self.evaluate(law.multipliers, n, m);
    }

    /// Cost and augmented cost of the course.
    fn evaluate(&mut self, multipliers: &Multipliers, n: usize, m: usize) {
        let horizon = self.x.len() / n.max(1) - 1;
        (self.cost, self.value) = (0.0, 0.0);
        for k in 0..=horizon {
            let x = &self.x[k * n..(k + 1) * n];
            let u = if k == horizon { &[][..] } else { &self.u[k * m..(k + 1) * m] };
            self.cost += self.problem.cost(k, x, u);
            let n_rows = self.problem.n_rows(k);
            if n_rows > 0 {
                self.problem.rows(k, x, u, &mut self.rows[..n_rows]);
            }
            let limits = self.problem.limits(k);
            for r in 0..n_rows {
                let (c, lower, upper) = (self.rows[r], limits.row_lower[r], limits.row_upper[r]);
                let softness = limits.row_softness[r];
                self.value += penalty(c, lower, upper, softness, multipliers.y[k][r], multipliers.rho).value;
                let out = violation(c, lower, upper);
                self.cost += match softness {
                    Softness::Hard => 0.0,
                    Softness::Linear(w) => w * out,
                    Softness::Quadratic(w) => w * out * out,
                };
                self.value -= match softness {
                    Softness::Hard => 0.0,
                    Softness::Linear(w) => w * out,
                    Softness::Quadratic(w) => w * out * out,
                };
            }
            if k > 0 {
                for (j, &x) in x.iter().enumerate() {
                    let (lower, upper) = (limits.x_lower[j], limits.x_upper[j]);
                    let y = multipliers.y[k][n_rows + j];
                    self.value += penalty(x, lower, upper, Softness::Hard, y, multipliers.rho).value;
                }
            }
        }
        self.value += self.cost;
        if !self.value.is_finite() {
            self.value = f64::INFINITY;
        }
    }
}

impl Planner for Ddp {
    fn believe(&mut self, parameters: &[f64]) {
        self.trials.iter_mut().for_each(|trial| trial.problem.believe(parameters));
        self.best.problem.believe(parameters);
    }

    fn reset(&mut self, _seed: u64) {
        self.best.u.fill(0.0);
        self.set_guess(&[]);
        self.next_step = 0;
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let (n, m) = (self.n, self.m);
        self.message.clear();
        let instant = Instant {
            step: now.step,
            time: now.time,
            state: now.state,
            previous: now.previous,
            forecast: now.forecast,
        };
        if self.is_warm {
            self.shift(now.step.saturating_sub(self.next_step));
        }
        self.next_step = now.step;
        for trial in &mut self.trials {
            trial.problem.arrive(&instant, &mut trial.x[..n]);
        }
        self.best.problem.arrive(&instant, &mut self.best.x[..n]);
        self.multipliers.rho = self.settings.penalty;
        self.open.fill(0.0);
        self.gain.fill(0.0);
        // The guess is simulated with neither step nor feedback.
        let law = Law {
            x: &self.best.x,
            u: &self.best.u,
            open: &self.open,
            gain: &self.gain,
            multipliers: &self.multipliers,
            n,
            m,
        };
        let first = &mut self.trials[0];
        first.follow(&law, 0.0);
        std::mem::swap(&mut first.x, &mut self.best.x);
        std::mem::swap(&mut first.u, &mut self.best.u);
        (self.best.value, self.best.cost) = (first.value, first.cost);
        let (status, iterations, violation) = if self.best.value.is_finite() {
            self.improve()
        } else {
            self.message.push_str("the guess of the inputs cannot be simulated to a finite cost");
            (PlanStatus::Failed, 0, f64::NAN)
        };
        self.is_warm = status != PlanStatus::Failed;
        Plan {
            input: &self.best.u[..m.min(self.best.u.len())],
            states: &self.best.x,
            inputs: &self.best.u,
            cost: self.best.cost,
            violation,
            status,
            iterations,
            message: &self.message,
        }
    }
}
