//! The point of rest of a task: the state and the input that cost least among those at which a step changes nothing.
//!
//! It is the solution of a problem of one node, `minimize l(x, u) subject to F(x, u) − x = 0` and the task's own
//! constraints, which is told to [`Sqp`] as a horizon of one step whose end is bounded by zero on both sides. Two starts
//! are tried, where the task starts and where the cost is least without the plant, since a pendulum rests in two places.

use nalgebra::{DMatrix, DVector};

use super::super::assemble::Assembly;
use super::super::sqp::{Sqp, SqpSettings};
use super::{PlannerError, start};
use crate::decide::{PlanStatus, Planner, Situation};
use crate::expr::{Leaf, Node};
use crate::flat::FlatTask;
use crate::system::stages::{Instant, Limits, StageDims, StageFailure, Stages, Tree};
use crate::system::{Curvature, Trigger};

/// The node of a horizon of two steps that is neither its start nor its end: its bounds are those along a plan.
const RUNNING: usize = 1;
/// Newton steps towards the least cost.
const DESCENTS: usize = 50;
/// Largest change of a state in a step from rest, relative to its size.
const STILL: f64 = 1e-6;

/// Where a task rests.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rest {
    /// The state, and behind it the inputs whose changes have a price.
    pub x: Vec<f64>,
    /// `n_inputs`
    pub u: Vec<f64>,
}

/// Finds the point of rest of `planner`'s task. Disturbances have their declared values.
pub(super) fn rest(planner: &str, assembly: &Assembly) -> Result<Rest, PlannerError> {
    let task = assembly.task();
    if let Some(what) = in_time(task) {
        let text = format!("it holds one point, and {what} changes with time; use `sqp` or `rti`");
        return Err(PlannerError::Task(text));
    }
    if task.free_step.is_some() {
        return Err(PlannerError::Task("it needs a step of fixed length".into()));
    }
    let stages = assembly.shooting(assembly.problem(Tree::chain(2), assembly.parameters()), Curvature::Exact)?;
    let mut still = Still::new(Box::new(stages));
    let (state, input) = start(assembly);
    let origin = still.origin(&state, &input);
    let lowest = still.lowest(&origin);
    let mut best: Option<(f64, Rest)> = None;
    let mut told = String::new();
    for guess in [origin, lowest] {
        let n = still.dims().n_states;
        let mut sqp = Sqp::new(still.fork(), SqpSettings::default());
        let mut states = guess.x.clone();
        states.extend(std::iter::repeat_n(0.0, n));
        sqp.set_guess(&states, &guess.u);
        let plan = sqp.plan(&Situation { step: 0, time: 0.0, state: &state, previous: &input, forecast: &[] });
        let (status, cost, message) = (plan.status, plan.cost, plan.message.to_owned());
        let (x, u) = sqp.node(0);
        let found = Rest { x: x.to_vec(), u: u.to_vec() };
        let is_plan = !matches!(status, PlanStatus::Failed | PlanStatus::Infeasible);
        if is_plan && still.is_at_rest(&found) {
            if best.as_ref().is_none_or(|(known, _)| cost < known - 1e-9 * known.abs()) {
                best = Some((cost, found));
            }
        } else if told.is_empty() {
            told = message;
        }
    }
    match best {
        Some((_, rest)) => Ok(rest),
        None => {
            let because = if status_is_told(&told) { format!(" ({told})") } else { String::new() };
            let name = &task.model.name;
            Err(PlannerError::Task(format!(
                "`{planner}` holds a point of rest, and no point was found where `{name}` rests within what is kept{because}"
            )))
        }
    }
}

/// Messages of the solver name rows and nodes of this problem, which tell a reader nothing.
fn status_is_told(message: &str) -> bool {
    !message.is_empty() && !message.starts_with("no plan keeps")
}

/// What of a task changes with time by itself.
fn in_time(task: &FlatTask) -> Option<String> {
    let dag = &task.model.dag;
    let is_scheduled = |trigger| matches!(trigger, Trigger::At { .. } | Trigger::Every { .. });
    let mut scheduled = task.model.events.iter().filter(|event| event.event.has_reset);
    if let Some(event) = scheduled.find(|event| is_scheduled(event.event.trigger)) {
        return Some(format!("`{}`", event.description));
    }
    let rates = task.model.states.iter().map(|state| (state.rhs, &state.quantity.name));
    let costs = task.costs.iter().map(|term| (term.whole, &term.text));
    for (node, name) in rates.chain(costs) {
        let changes = |id| match dag.node(id) {
            Node::Leaf(Leaf::Time) => true,
            Node::Leaf(Leaf::Disturbance(k)) => {
                task.index == Some(k) || task.holds.iter().any(|held| held.disturbance == k)
            }
            _ => false,
        };
        if dag.reachable(&[node]).into_iter().any(changes) {
            return Some(format!("`{name}`"));
        }
    }
    None
}

/// The problem of one node, as a horizon of one step: its end is how far a step leaves the point.
struct Still {
    /// A horizon of two steps.
    inner: Box<dyn Stages>,
    tree: Tree,
    free: Vec<usize>,
    zeros: Vec<f64>,
}

impl Still {
    fn new(inner: Box<dyn Stages>) -> Still {
        let n = inner.dims().n_states;
        Still { inner, tree: Tree::chain(1), free: (0..n).collect(), zeros: vec![0.0; n] }
    }

    /// The task's start with the inputs that act there.
    fn origin(&mut self, state: &[f64], input: &[f64]) -> Rest {
        let mut x = vec![0.0; self.inner.dims().n_states];
        let instant = Instant { step: 0, time: 0.0, state, previous: input, forecast: &[] };
        self.inner.arrive(&instant, &mut x);
        let limits = self.inner.limits(RUNNING);
        let within = |(u, (low, high)): (&f64, (&f64, &f64))| u.max(*low).min(*high);
        let u = input.iter().zip(limits.u_lower.iter().zip(limits.u_upper)).map(within).collect();
        Rest { x, u }
    }

    /// Where the cost alone is least, near a point: damped Newton steps with the curvature of Gauss and Newton.
    fn lowest(&mut self, from: &Rest) -> Rest {
        let (n, nv) = (from.x.len(), from.x.len() + from.u.len());
        let mut z: Vec<f64> = from.x.iter().chain(&from.u).copied().collect();
        let (mut gradient, mut hessian) = (vec![0.0; nv], vec![0.0; nv * nv]);
        for _ in 0..DESCENTS {
            let curvature = Curvature::GaussNewton;
            let cost = self.inner.cost_derivatives(RUNNING, &z[..n], &z[n..], curvature, &mut gradient, &mut hessian);
            let mut matrix = DMatrix::from_column_slice(nv, nv, &hessian);
            let raised = 1e-9 * matrix.diagonal().amax().max(f64::MIN_POSITIVE);
            (0..nv).for_each(|j| matrix[(j, j)] += raised);
            let Some(factor) = matrix.cholesky() else { break };
            let step = factor.solve(&DVector::from_column_slice(&gradient));
            let mut length = 1.0;
            let next = loop {
                let trial: Vec<f64> = z.iter().zip(step.iter()).map(|(z, d)| z - length * d).collect();
                let limits = self.inner.limits(RUNNING);
                let low = limits.x_lower.iter().chain(limits.u_lower);
                let high = limits.x_upper.iter().chain(limits.u_upper);
                let trial: Vec<f64> = trial.iter().zip(low.zip(high)).map(|(z, (l, h))| z.max(*l).min(*h)).collect();
                if self.inner.cost(RUNNING, &trial[..n], &trial[n..]) < cost {
                    break Some(trial);
                }
                length *= 0.5;
                if length < 1e-6 {
                    break None;
                }
            };
            match next {
                Some(next) => z = next,
                None => break,
            }
        }
        let u = z.split_off(n);
        Rest { x: z, u }
    }

    /// True where a step ends where it began.
    fn is_at_rest(&mut self, at: &Rest) -> bool {
        let mut next = self.zeros.clone();
        let is_close = |(next, x): (&f64, &f64)| (next - x).abs() <= STILL * (1.0 + x.abs());
        self.inner.step(RUNNING + 1, &at.x, &at.u, &mut next).is_ok() && next.iter().zip(&at.x).all(is_close)
    }
}

impl Stages for Still {
    fn dims(&self) -> StageDims {
        self.inner.dims()
    }

    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn arrive(&mut self, instant: &Instant<'_>, root: &mut [f64]) {
        self.inner.arrive(instant, root);
    }

    fn believe(&mut self, parameters: &[f64]) {
        self.inner.believe(parameters);
    }

    fn free_states(&self) -> &[usize] {
        &self.free
    }

    fn n_rows(&self, node: usize) -> usize {
        if node == 0 { self.inner.n_rows(RUNNING) } else { 0 }
    }

    fn limits(&self, node: usize) -> Limits<'_> {
        let own = self.inner.limits(RUNNING);
        if node == 0 {
            return own;
        }
        let none = Limits { row_lower: &[], row_upper: &[], row_softness: &[], ..own };
        Limits { x_lower: &self.zeros, x_upper: &self.zeros, ..none }
    }

    fn fork(&self) -> Box<dyn Stages> {
        Box::new(Still::new(self.inner.fork()))
    }

    fn has_curvature(&self) -> bool {
        self.inner.has_curvature()
    }

    fn step(&mut self, _node: usize, x: &[f64], u: &[f64], next: &mut [f64]) -> Result<(), StageFailure> {
        self.inner.step(RUNNING + 1, x, u, next)?;
        next.iter_mut().zip(x).for_each(|(next, x)| *next -= x);
        Ok(())
    }

    fn step_derivatives(
        &mut self,
        _node: usize,
        x: &[f64],
        u: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), StageFailure> {
        self.inner.step_derivatives(RUNNING + 1, x, u, next, jacobian)?;
        let n = x.len();
        next.iter_mut().zip(x).for_each(|(next, x)| *next -= x);
        (0..n).for_each(|j| jacobian[j * n + j] -= 1.0);
        Ok(())
    }

    fn add_step_curvature(
        &mut self,
        _node: usize,
        x: &[f64],
        u: &[f64],
        costate: &[f64],
        hessian: &mut [f64],
    ) -> Result<(), StageFailure> {
        self.inner.add_step_curvature(RUNNING + 1, x, u, costate, hessian)
    }

    fn cost(&mut self, node: usize, x: &[f64], u: &[f64]) -> f64 {
        if node == 0 { self.inner.cost(RUNNING, x, u) } else { 0.0 }
    }

    fn cost_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        curvature: Curvature,
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> f64 {
        if node == 0 {
            return self.inner.cost_derivatives(RUNNING, x, u, curvature, gradient, hessian);
        }
        gradient.fill(0.0);
        hessian.fill(0.0);
        0.0
    }

    fn rows(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64]) {
        if node == 0 {
            self.inner.rows(RUNNING, x, u, values);
        }
    }

    fn row_derivatives(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64], jacobian: &mut [f64]) {
        if node == 0 {
            self.inner.row_derivatives(RUNNING, x, u, values, jacobian);
        }
    }

    fn add_row_curvature(&mut self, node: usize, x: &[f64], u: &[f64], multipliers: &[f64], hessian: &mut [f64]) {
        if node == 0 {
            self.inner.add_row_curvature(RUNNING, x, u, multipliers, hessian);
        }
    }
}
