//! Sequential quadratic programming over the nodes of a horizon, its states among the unknowns (multiple shooting).
//!
//! Each iteration takes derivatives at all nodes (`linearize`), solves the quadratic problem that they make
//! ([`crate::optimize::stage_qp`]), and goes as far along its step as a filter of cost and violation allows ([`filter`]),
//! with a second-order correction where a full step is refused (Wächter and Biegler 2006, *On the implementation of an
//! interior-point filter line-search algorithm*, Math. Program. 106:25). Second derivatives are those of Gauss and Newton
//! or of the Lagrangian; where they are not convex along the constraints, their diagonals are raised until they are. A plan
//! from nothing that Gauss–Newton steps do not find soon is begun by an interior-point method ([`barrier`]).
//!
//! In real-time iteration (Diehl, Bock and Schlöder 2005, *A real-time iteration scheme for nonlinear optimization in
//! optimal feedback control*, SIAM J. Control Optim. 43:1714) a plan is one full step from the plan before;
//! [`Sqp::prepare`] does all of it that does not need the state.
//!
//! A quadratic problem without a point that keeps all bounds is answered by the point that leaves them least, so that the
//! method goes on towards feasibility ([`restore`]); where no small change violates less, the problem is called infeasible
//! and the constraint and the step of the horizon are named.
//!
//! **Invariant.** Nothing allocates after the first plan, and the work of a plan is bounded.

mod barrier;
mod chance;
mod filter;
mod iterate;
mod linearize;
mod restore;
mod search;
mod settings;
mod tightened;

use std::fmt::Write as _;

use crate::decide::{Plan, PlanStatus, Planner, Situation};
use crate::optimize::stage_qp::{Bounded, QpStatus, StageQp, StageQpSolver};
use crate::system::stages::{Instant, Stages, Tree};
use barrier::Barrier;
use chance::Margins;
pub use chance::{Chance, ChanceError};
use filter::Filter;
use iterate::{Iterate, first_children};
use linearize::{Scratch, Standing, linearize};
pub use settings::{Hessian, SETTINGS, SqpSettings};
use tightened::Tightened;

/// A constraint that no plan was found to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Node of the tree.
    pub node: usize,
    /// Steps after the start of the horizon.
    pub depth: usize,
    /// What is bounded there.
    pub bounded: Bounded,
}

/// How a plan came about and what it is worth.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    status: PlanStatus,
    cost: f64,
    violation: f64,
}

/// SQP and real-time iteration as a planner.
pub struct Sqp {
    settings: SqpSettings,
    problem: Tightened,
    tree: Tree,
    first_child: Vec<usize>,
    now: Iterate,
    trial: Iterate,
    /// The step, and the multipliers at its end.
    step: Iterate,
    /// Where a plan from nothing began.
    origin: Iterate,
    qp: StageQp,
    solver: StageQpSolver,
    scratch: Scratch,
    filter: Filter,
    barrier: Barrier,
    /// Diagonal that is added to all second derivatives, relative to the largest of them.
    damping: f64,
    /// What was last added to the diagonals to make a quadratic problem convex.
    added: f64,
    /// True before the first quadratic problem that knows nothing of which bounds hold.
    is_fresh: bool,
    conflict: Option<Conflict>,
    /// The last conflict of any quadratic problem of this plan.
    last_conflict: Option<Conflict>,
    iterations: usize,
    n_convexified: usize,
    n_fallbacks: usize,
    root: Vec<f64>,
    states: Vec<f64>,
    inputs: Vec<f64>,
    message: String,
    is_warm: bool,
    has_guess: bool,
    next_step: usize,
    prepared: Option<Standing>,
}

impl Sqp {
    /// A planner for a problem.
    pub fn new(problem: Box<dyn Stages>, settings: SqpSettings) -> Sqp {
        let (dims, tree) = (problem.dims(), problem.tree().clone());
        let n_rows: Vec<usize> = (0..tree.n_nodes()).map(|node| problem.n_rows(node)).collect();
        let qp = StageQp::new(dims, tree.clone(), &n_rows, problem.free_states());
        let solver = StageQpSolver::new(&qp);
        let now = Iterate::new(problem.as_ref());
        let horizon = tree.horizon();
        Sqp {
            first_child: first_children(&tree),
            trial: now.clone(),
            step: now.clone(),
            origin: now.clone(),
            solver,
            qp,
            scratch: Scratch::new(problem.as_ref()),
            filter: Filter::new(),
            barrier: Barrier::new(now.z.len()),
            damping: 0.0,
            added: 0.0,
            is_fresh: true,
            conflict: None,
            last_conflict: None,
            iterations: 0,
            n_convexified: 0,
            n_fallbacks: 0,
            root: vec![0.0; dims.n_states],
            states: vec![0.0; (horizon + 1) * dims.n_states],
            inputs: vec![0.0; horizon * dims.n_inputs],
            message: String::with_capacity(256),
            is_warm: false,
            has_guess: false,
            next_step: 0,
            prepared: None,
            now,
            problem: Tightened::new(problem),
            tree,
            settings,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &SqpSettings {
        &self.settings
    }

    /// Sets where the next plan starts from: states and inputs of every node of the tree, `n_nodes × n_states` and
    /// `n_nodes × n_inputs` row major (the latter's rows of leaves are not looked at). The states need not fit the inputs.
    pub fn set_guess(&mut self, states: &[f64], inputs: &[f64]) {
        let (n, m) = (self.now.n, self.now.m);
        for (node, z) in self.now.z.chunks_exact_mut(n + m).enumerate() {
            for (to, &from) in z.iter_mut().zip(states.iter().skip(node * n).take(n)) {
                *to = from;
            }
            for (to, &from) in z[n..].iter_mut().zip(inputs.iter().skip(node * m).take(m)) {
                *to = from;
            }
        }
        self.has_guess = true;
        self.is_warm = false;
        self.prepared = None;
    }

    /// Keeps bounds with a probability from now on, or as they stand again.
    ///
    /// # Errors
    /// What does not fit the problem.
    pub fn set_chance(&mut self, chance: Option<Chance>) -> Result<(), ChanceError> {
        let n_rows = self.now.row_force.len();
        let margins = chance.map(|chance| Margins::new(chance, self.problem.as_mut(), n_rows)).transpose()?;
        self.problem.set_margins(margins, &self.now.row_start);
        self.prepared = None;
        Ok(())
    }

    /// Tells the covariance of the state that the next plan begins with, `n_states × n_states`, where bounds are kept with
    /// a probability.
    pub fn set_covariance(&mut self, covariance: &[f64]) {
        if let Some(margins) = self.problem.margins_mut() {
            margins.set_start(covariance);
        }
    }

    /// The standard deviations of states along the last plan, `n_nodes × n_states`; empty where nothing is uncertain.
    pub fn deviations(&self) -> &[f64] {
        self.problem.margins().map_or(&[], |margins| &margins.states)
    }

    /// The constraint that the last plan could not keep.
    pub fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// How many quadratic problems of the last plan were made convex.
    pub fn n_convexified(&self) -> usize {
        self.n_convexified
    }

    /// How many quadratic problems of the last plan Clarabel was asked for.
    pub fn n_fallbacks(&self) -> usize {
        self.n_fallbacks
    }

    /// State and input of a node in the last plan.
    pub fn node(&self, node: usize) -> (&[f64], &[f64]) {
        self.now.xu(node, &self.tree)
    }

    /// Does the part of the next real-time iteration that does not need the state: shifts the plan, takes derivatives
    /// along it, and solves the quadratic problem of the state that the plan expects. `ahead` is the next instant as far as
    /// it is known; its state is not looked at. [`Planner::plan`] then puts the state in, in which the problem is linear:
    /// it need not be near the one expected, but the derivatives stay those of the expected course.
    pub fn prepare(&mut self, ahead: &Situation<'_>) {
        self.arrive(ahead);
        let shifted = ahead.step.saturating_sub(self.next_step);
        self.advance(shifted);
        self.next_step = ahead.step;
        self.iterations = 0;
        self.prepared = self.tighten().and_then(|()| self.linearize(self.is_exact())).ok();
        if self.prepared.is_some() {
            self.solve_convex();
        }
    }

    /// Tells the problem of an instant; writes the root's states to `root`.
    fn arrive(&mut self, now: &Situation<'_>) {
        let instant = Instant {
            step: now.step,
            time: now.time,
            state: now.state,
            previous: now.previous,
            forecast: now.forecast,
        };
        self.problem.arrive(&instant, &mut self.root);
    }

    /// Shifts the plan by so many instants, and lets the last step of every scenario follow its input.
    fn advance(&mut self, by: usize) {
        for _ in 0..by.min(self.tree.horizon()) {
            self.now.shift(&self.tree, &self.first_child);
            self.solver.shift();
            for node in 1..self.tree.n_nodes() {
                if self.tree.is_leaf(node) {
                    let parent = self.tree.parent(node);
                    let (x, u) = self.now.xu(parent, &self.tree);
                    let next = &mut self.step.z[..self.now.n];
                    if self.problem.step(node, x, u, next).is_ok() {
                        self.now.x_mut(node).copy_from_slice(next);
                    }
                }
            }
        }
    }

    /// Puts the given states of the root where the plant is.
    fn embed(&mut self) {
        let free = self.problem.free_states();
        for (j, (to, &from)) in self.now.x_mut(0).iter_mut().zip(&self.root).enumerate() {
            if free.binary_search(&j).is_err() {
                *to = from;
            }
        }
    }

    /// Whether real-time iterations have the second derivatives of the Lagrangian.
    fn is_exact(&self) -> bool {
        match self.settings.hessian {
            Hessian::Auto | Hessian::GaussNewton => false,
            Hessian::Exact => self.problem.has_curvature(),
        }
    }

    fn linearize(&mut self, lagrangian: bool) -> Result<Standing, crate::system::stages::StageFailure> {
        linearize(self.problem.as_mut(), &self.tree, &self.now, lagrangian, &mut self.qp, &mut self.scratch)
    }

    /// Moves the bounds that are kept with a probability to where the iterate says.
    fn tighten(&mut self) -> Result<(), crate::system::stages::StageFailure> {
        if self.problem.margins().is_some() {
            self.linearize(false)?;
            self.problem.tighten(&self.now, &self.qp);
        }
        Ok(())
    }

    /// Puts inputs within their bounds.
    fn clamp_inputs(&mut self) {
        let (n, m) = (self.now.n, self.now.m);
        for node in 0..self.tree.n_nodes() {
            if !self.tree.is_leaf(node) {
                let limits = self.problem.limits(node);
                let at = node * (n + m) + n;
                for (j, u) in self.now.z[at..at + m].iter_mut().enumerate() {
                    *u = u.max(limits.u_lower[j]).min(limits.u_upper[j]);
                }
            }
        }
    }

    /// Says which constraint the quadratic problem could not keep.
    fn note_conflict(&mut self, node: usize, bounded: Bounded) {
        let depth = self.tree.depth(node);
        self.conflict = Some(Conflict { node, depth, bounded });
        self.last_conflict = self.conflict;
    }

    fn tell_conflict(&mut self, status: PlanStatus, violation: f64) {
        self.message.clear();
        if let Some(Conflict { node, depth, bounded }) = self.conflict {
            let (what, index) = match bounded {
                Bounded::State(j) => ("the bounds of state", j),
                Bounded::Input(j) => ("the bounds of input", j),
                Bounded::Row(j) => ("row", j),
            };
            let subject = if status == PlanStatus::Infeasible { "no plan keeps" } else { "the plan does not yet keep" };
            // Writing to a text cannot fail.
            let _ = write!(
                self.message,
                "{subject} {what} {index} at step {depth} of the horizon (node {node}); it breaks a constraint by {violation:.3e}"
            );
        }
    }

    /// Iterates from the plan before; where there is none, once without margins for a plan that says how large they are.
    fn converge_with_margins(&mut self) -> Outcome {
        if !self.is_warm {
            self.problem.loosen();
            let outcome = self.converge();
            if self.problem.margins().is_none() || outcome.status == PlanStatus::Failed {
                return outcome;
            }
            self.conflict = None;
        }
        let was_warm = std::mem::replace(&mut self.is_warm, true);
        let outcome = match self.tighten() {
            Ok(()) => self.converge(),
            Err(failure) => self.failed(&failure.reason),
        };
        self.is_warm = was_warm;
        outcome
    }

    /// One full step of real-time iteration.
    fn iterate_once(&mut self) -> Outcome {
        let lagrangian = self.is_exact();
        let (standing, status) = match self.prepared.take() {
            Some(standing) => {
                let n = self.now.n;
                let free = self.problem.free_states();
                for j in 0..n {
                    if free.binary_search(&j).is_err() {
                        self.qp.root_mut()[j] = self.root[j] - self.now.z[j];
                    }
                }
                (standing, self.solver.solve_root(&self.qp))
            }
            None => {
                self.embed();
                match self.tighten().and_then(|()| self.linearize(lagrangian)) {
                    Ok(standing) => (standing, self.solve_convex()),
                    Err(failure) => return self.failed(&failure.reason),
                }
            }
        };
        self.iterations = 1;
        match status {
            QpStatus::Optimal | QpStatus::IterationLimit => (),
            QpStatus::Infeasible { node, bounded } => self.note_conflict(node, bounded),
            QpStatus::Indefinite { .. } | QpStatus::NotFinite => {
                return self.failed("the quadratic problem of the step has no finite solution");
            }
        }
        let slope = self.take_step();
        self.follow_step(1.0);
        self.now.copy_from(&self.trial);
        let cost = standing.merit.cost + slope + self.bend();
        if self.conflict.is_some() {
            self.tell_conflict(PlanStatus::Infeasible, standing.worst);
            return Outcome { status: PlanStatus::Infeasible, cost, violation: standing.worst };
        }
        Outcome { status: PlanStatus::Improved, cost, violation: 0.0 }
    }

    fn failed(&mut self, reason: &str) -> Outcome {
        self.message.clear();
        self.message.push_str(reason);
        Outcome { status: PlanStatus::Failed, cost: f64::NAN, violation: f64::NAN }
    }

    /// Writes the first scenario's course into the plan.
    fn write_plan(&mut self) {
        let (n, m) = (self.now.n, self.now.m);
        let mut node = 0;
        for k in 0..=self.tree.horizon() {
            let (x, u) = self.now.xu(node, &self.tree);
            self.states[k * n..(k + 1) * n].copy_from_slice(x);
            if !u.is_empty() {
                self.inputs[k * m..(k + 1) * m].copy_from_slice(u);
            }
            node = self.first_child[node];
        }
    }
}

impl Planner for Sqp {
    fn believe(&mut self, parameters: &[f64]) {
        self.problem.believe(parameters);
        self.prepared = None;
    }

    fn reset(&mut self, _seed: u64) {
        self.now.z.fill(0.0);
        self.now.clear_forces();
        self.is_warm = false;
        self.has_guess = false;
        self.next_step = 0;
        self.prepared = None;
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        self.message.clear();
        self.conflict = None;
        self.last_conflict = None;
        self.iterations = 0;
        self.n_convexified = 0;
        self.n_fallbacks = 0;
        self.arrive(now);
        if self.is_warm {
            if self.prepared.is_none() || now.step != self.next_step {
                self.prepared = None;
                self.advance(now.step.saturating_sub(self.next_step));
            }
        } else {
            self.prepared = None;
            self.now.clear_forces();
            if !self.has_guess {
                // The plant stays where it is.
                self.now.z.fill(0.0);
                for node in 0..self.tree.n_nodes() {
                    self.now.x_mut(node).copy_from_slice(&self.root);
                }
            }
        }
        self.has_guess = false;
        self.next_step = now.step;
        let outcome = if self.settings.is_real_time && self.is_warm {
            self.iterate_once()
        } else {
            self.embed();
            self.clamp_inputs();
            self.converge_with_margins()
        };
        let is_failed = outcome.status == PlanStatus::Failed;
        self.is_warm = !is_failed && self.now.z.iter().all(|v| v.is_finite());
        self.write_plan();
        Plan {
            input: &self.inputs[..self.now.m.min(self.inputs.len())],
            states: &self.states,
            inputs: &self.inputs,
            cost: outcome.cost,
            violation: outcome.violation,
            status: outcome.status,
            iterations: self.iterations,
            message: &self.message,
        }
    }
}
