//! From a model, a task's functions and a rule of integration to a problem in discrete time: multiple shooting.
//!
//! [`ControlProblem`] says what is decided; [`Shooting`] evaluates it node by node as [`Stages`]. A step is advanced with
//! its exact derivatives, first ones by carrying `∂(x, u)/∂z` through the stages of the rule, second ones by one adjoint
//! pass that gathers `Sᵀ (κᵀ f'') S` at each point where f is evaluated. What the input changes by is charged for by
//! keeping the previous input among the states, so that every cost remains one of a single node.

mod adaptive;
mod collocation;
mod explicit;
mod layout;
mod nodes;
mod points;
mod problem;
mod product;
mod scheduled;
mod stepper;

pub use problem::{Bounds, ControlProblem, ControlProblemError, Discretization, FreeStep, Move, RowBound};

use std::sync::Arc;

use self::adaptive::Adaptive;
use self::collocation::Collocation;
use self::explicit::{EULER, Explicit, Map, RK4};
use self::nodes::NodeSets;
use self::points::Shape;
use self::problem::Fixed;
use self::scheduled::{Scheduled, scheduled};
use self::stepper::Stepper;
use crate::system::stages::{Instant, Limits, StageDims, StageFailure, Stages, Tree};
use crate::system::{Curvature, StageKind, System, Work};

/// A [`ControlProblem`] that is ready to be solved.
///
/// Rows of a node are those of the task's functions and then, where collocation bounds states inside the steps, for each
/// child, inner point and bounded state that state. The cost of a node is its weight times the sum of the task's cost and
/// the moves.
pub struct Shooting {
    fixed: Arc<Fixed>,
    /// Bounds, which may be changed.
    sets: NodeSets,
    stepper: Box<dyn Stepper>,
    /// The step whose sweep the stepper holds: the child, and `(x, u)` of its parent.
    swept: Option<usize>,
    swept_at: Vec<f64>,
    time: f64,
    parameters: Vec<f64>,
    forecast: Vec<f64>,
    work: Work,
    next: Vec<f64>,
    value: Vec<f64>,
    second: Vec<f64>,
    upper: Vec<f64>,
    inner: Vec<f64>,
    costate: Vec<f64>,
}

/// The rule of a discretization, with the events of the system whose times are known.
fn stepper(system: &dyn System, shape: Shape, discretization: Discretization, cuts: bool) -> Box<dyn Stepper> {
    let rule = |discretization| -> Box<dyn Stepper> {
        match discretization {
            Discretization::Map => Box::new(Map::new(system, shape)),
            Discretization::Euler { n_substeps } => Box::new(Explicit::new(system, shape, &EULER, n_substeps)),
            Discretization::Rk4 { n_substeps } => Box::new(Explicit::new(system, shape, &RK4, n_substeps)),
            Discretization::RadauIia { n_points, n_substeps, bounds_inside } => {
                Box::new(Collocation::new(system, shape, n_points, n_substeps, bounds_inside))
            }
            Discretization::Adaptive { method, rtol, atol } => {
                Box::new(Adaptive::new(system, shape, method, rtol, atol))
            }
        }
    };
    let events = scheduled(system);
    if events.is_empty() {
        return rule(discretization);
    }
    let single = match discretization {
        // Events are the integrator's business; a map has none.
        Discretization::Map | Discretization::Adaptive { .. } => return rule(discretization),
        Discretization::Euler { n_substeps } => (Discretization::Euler { n_substeps: 1 }, n_substeps),
        Discretization::Rk4 { n_substeps } => (Discretization::Rk4 { n_substeps: 1 }, n_substeps),
        Discretization::RadauIia { n_points, n_substeps, bounds_inside } => {
            (Discretization::RadauIia { n_points, n_substeps: 1, bounds_inside }, n_substeps)
        }
    };
    let single = (!cuts).then(|| (rule(single.0), single.1));
    Box::new(Scheduled::new(system, shape, (rule(discretization), single), events))
}

impl Shooting {
    /// Checks the sizes and takes room. Events at known times happen on the grid of the substeps, as a plant of fixed steps
    /// has them.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn new(problem: ControlProblem) -> Result<Shooting, ControlProblemError> {
        Shooting::made(problem, false)
    }

    /// As [`Shooting::new`], with steps that are cut at the very instants of events, as a plant of controlled error has
    /// them.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn cutting(problem: ControlProblem) -> Result<Shooting, ControlProblemError> {
        Shooting::made(problem, true)
    }

    fn made(problem: ControlProblem, cuts: bool) -> Result<Shooting, ControlProblemError> {
        problem.check()?;
        let ControlProblem { parameters, forecast, time, .. } = &problem;
        let (parameters, given, time) = (parameters.clone(), forecast.clone(), *time);
        let fixed = Fixed::new(problem);
        let shape = fixed.layout.shape;
        let system = &*fixed.problem.system;
        let stepper = stepper(system, shape, fixed.problem.discretization, cuts);
        let sets = NodeSets::new(&fixed, stepper.inner().len());
        let n_vars = fixed.dims.n_vars();
        let n_rows =
            fixed.problem.functions.n_rows(StageKind::Running).max(fixed.problem.functions.n_rows(StageKind::Final));
        let mut shooting = Shooting {
            sets,
            swept: None,
            swept_at: vec![0.0; n_vars],
            time,
            parameters,
            forecast: vec![0.0; (fixed.problem.tree.horizon() + 1) * fixed.n_disturbances],
            work: fixed.problem.functions.work(),
            next: vec![0.0; shape.n_states],
            value: vec![0.0; (1 + n_vars).max(n_rows)],
            second: Vec::new(),
            upper: vec![0.0; shape.n_cols() * shape.width()],
            inner: vec![0.0; stepper.inner().len() * shape.n_states],
            costate: vec![0.0; shape.n_states],
            stepper,
            fixed: Arc::new(fixed),
        };
        shooting.set_forecast(&given);
        Ok(shooting)
    }

    /// What the problem was made of.
    pub fn problem(&self) -> &ControlProblem {
        &self.fixed.problem
    }

    /// Time of the root.
    pub fn set_time(&mut self, time: f64) {
        self.time = time;
        self.swept = None;
    }

    /// The disturbances of the steps, `n × n_disturbances` row major, the last row going on; nothing changes where it is
    /// empty.
    pub fn set_forecast(&mut self, forecast: &[f64]) {
        let n = self.fixed.n_disturbances;
        let Some(last) = forecast.len().checked_sub(n).filter(|_| n > 0) else { return };
        for (k, row) in self.forecast.chunks_exact_mut(n).enumerate() {
            row.copy_from_slice(&forecast[(k * n).min(last)..][..n]);
        }
        self.swept = None;
    }

    /// The parameters of all scenarios, `n_scenarios × n_params` row major; what is missing stays as it is.
    pub fn set_parameters(&mut self, parameters: &[f64]) {
        self.parameters.iter_mut().zip(parameters).for_each(|(own, given)| *own = *given);
        self.swept = None;
    }

    /// Replaces the bounds.
    ///
    /// # Errors
    /// Where their lengths do not fit.
    pub fn set_bounds(&mut self, bounds: Bounds) -> Result<(), ControlProblemError> {
        self.fixed.problem.check_bounds(&bounds)?;
        self.sets.fill(&self.fixed, &bounds);
        Ok(())
    }

    /// Steps beyond the root's to the states `states` (`n_nodes × n_states`) and inputs of all nodes, from the root's state
    /// and inputs that are there: node by node, each state is overwritten by the step from its parent.
    ///
    /// # Errors
    /// The first step that has no value.
    pub fn roll_out(&mut self, states: &mut [f64], inputs: &[f64]) -> Result<(), StageFailure> {
        let StageDims { n_states: n, n_inputs: m } = self.fixed.dims;
        let fixed = self.fixed.clone();
        for node in 1..fixed.problem.tree.n_nodes() {
            let parent = fixed.problem.tree.parent(node);
            let (before, after) = states.split_at_mut(node * n);
            self.step(node, &before[parent * n..][..n], &inputs[parent * m..][..m], &mut after[..n])?;
        }
        Ok(())
    }

    /// Makes the stepper hold the sweep of the step into `node`.
    fn sweep(&mut self, node: usize, x: &[f64], u: &[f64]) -> Result<(), StageFailure> {
        let n = x.len();
        let z = &mut self.swept_at[..n + u.len()];
        if self.swept == Some(node) && z[..n] == *x && z[n..] == *u {
            return Ok(());
        }
        z[..n].copy_from_slice(x);
        z[n..].copy_from_slice(u);
        let fixed = &*self.fixed;
        let edge = fixed.edge(node, x, u, self.time, &self.parameters, &self.forecast);
        let swept = self.stepper.sweep(&*fixed.problem.system, &edge);
        self.swept = swept.is_ok().then_some(node);
        swept.map_err(|reason| StageFailure { node, reason })
    }

    /// Adds the curvature of `costateᵀ x⁺ + innerᵀ X` of the step into `node`; a step without value adds not-a-number.
    fn add_edge_curvature(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        has_inner: bool,
        hessian: &mut [f64],
    ) -> Result<(), StageFailure> {
        self.sweep(node, x, u)?;
        let fixed = &*self.fixed;
        let edge = fixed.edge(node, x, u, self.time, &self.parameters, &self.forecast);
        let inner = if has_inner { &*self.inner } else { &[] };
        self.upper.fill(0.0);
        self.stepper.add_curvature(&*fixed.problem.system, &edge, &self.costate, inner, &mut self.upper);
        fixed.layout.add_upper(&self.upper, hessian, fixed.dims.n_vars());
        Ok(())
    }

    /// Writes the row multipliers of a child's inner points to `inner`; false where all are zero.
    fn take_inner(&mut self, multipliers: &[f64]) -> bool {
        let n = self.fixed.layout.shape.n_states;
        let bounded = &self.sets.bounded;
        self.inner.fill(0.0);
        for (point, multipliers) in multipliers.chunks_exact(bounded.len()).enumerate() {
            bounded.iter().zip(multipliers).for_each(|(&state, m)| self.inner[point * n + state] = *m);
        }
        multipliers.iter().any(|&m| m != 0.0)
    }
}

impl Stages for Shooting {
    fn dims(&self) -> StageDims {
        self.fixed.dims
    }

    fn tree(&self) -> &Tree {
        &self.fixed.problem.tree
    }

    fn free_states(&self) -> &[usize] {
        &self.fixed.free_states
    }

    fn n_rows(&self, node: usize) -> usize {
        self.sets.of(node).row_lower.len()
    }

    fn limits(&self, node: usize) -> Limits<'_> {
        self.sets.of(node).limits()
    }

    fn fork(&self) -> Box<dyn Stages> {
        Box::new(Shooting {
            fixed: self.fixed.clone(),
            sets: self.sets.clone(),
            stepper: self.stepper.fork(),
            swept: None,
            swept_at: self.swept_at.clone(),
            time: self.time,
            parameters: self.parameters.clone(),
            forecast: self.forecast.clone(),
            work: self.work.clone(),
            next: self.next.clone(),
            value: self.value.clone(),
            second: self.second.clone(),
            upper: self.upper.clone(),
            inner: self.inner.clone(),
            costate: self.costate.clone(),
        })
    }

    fn arrive(&mut self, instant: &Instant<'_>, root: &mut [f64]) {
        self.set_time(instant.time);
        self.set_forecast(instant.forecast);
        self.fixed.write_root(instant.state, instant.previous, root);
    }

    fn believe(&mut self, parameters: &[f64]) {
        let n = parameters.len();
        for (j, &value) in parameters.iter().enumerate() {
            let (first, rest) = self.parameters.split_at(n.min(self.parameters.len()));
            if first.get(j).is_some_and(|own| rest.iter().skip(j).step_by(n).all(|other| other == own)) {
                self.parameters.iter_mut().skip(j).step_by(n).for_each(|own| *own = value);
            }
        }
        self.swept = None;
    }

    fn has_curvature(&self) -> bool {
        self.stepper.has_curvature() && self.fixed.problem.system.curvature_pattern().is_some()
    }

    fn step(&mut self, node: usize, x: &[f64], u: &[f64], next: &mut [f64]) -> Result<(), StageFailure> {
        let fixed = &*self.fixed;
        let edge = fixed.edge(node, x, u, self.time, &self.parameters, &self.forecast);
        let (system_next, carried) = next.split_at_mut(fixed.layout.shape.n_states);
        self.swept = None;
        let advanced = self.stepper.advance(&*fixed.problem.system, &edge, system_next);
        fixed.carry(x, u, carried);
        advanced.map_err(|reason| StageFailure { node, reason })
    }

    fn step_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), StageFailure> {
        self.sweep(node, x, u)?;
        let (points, end) = (self.stepper.points(), self.stepper.end());
        let (system_next, carried) = next.split_at_mut(points.shape.n_states);
        system_next.copy_from_slice(points.x(end));
        self.fixed.carry(x, u, carried);
        self.fixed.layout.write_jacobian(points.rows(end), jacobian);
        Ok(())
    }

    fn add_step_curvature(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        costate: &[f64],
        hessian: &mut [f64],
    ) -> Result<(), StageFailure> {
        // What is carried is linear.
        self.costate.copy_from_slice(&costate[..self.fixed.layout.shape.n_states]);
        self.add_edge_curvature(node, x, u, false, hessian)
    }

    fn cost(&mut self, node: usize, x: &[f64], u: &[f64]) -> f64 {
        let fixed = &*self.fixed;
        let at = fixed.at(node, x, u, self.time, &self.parameters, &self.forecast);
        let cost = fixed.problem.functions.cost(fixed.kind(node), at, &mut self.work);
        fixed.weight(node) * (cost + fixed.move_cost(node, x, u))
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
        let fixed = &*self.fixed;
        let (kind, weight) = (fixed.kind(node), fixed.weight(node));
        let at = fixed.at(node, x, u, self.time, &self.parameters, &self.forecast);
        let places = fixed.cost_places(kind, curvature);
        if self.second.len() < places.len() {
            self.second.resize(places.len(), 0.0);
        }
        let (second, n) = (&mut self.second[..places.len()], fixed.layout.shape.n_states);
        fixed.problem.functions.cost_derivatives(kind, at, curvature, &mut self.work, &mut self.value, second);
        gradient.fill(0.0);
        let (by_states, by_inputs) = self.value[1..].split_at(n);
        gradient[..n].iter_mut().zip(by_states).for_each(|(g, value)| *g = weight * value);
        gradient[x.len()..].iter_mut().zip(by_inputs).for_each(|(g, value)| *g = weight * value);
        hessian.fill(0.0);
        layout::scatter(places, second, weight, hessian);
        weight * (self.value[0] + fixed.add_move_derivatives(node, x, u, weight, gradient, hessian))
    }

    fn rows(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64]) {
        let fixed = self.fixed.clone();
        let n_own = fixed.problem.functions.n_rows(fixed.kind(node));
        let (own, mut rest) = values.split_at_mut(n_own);
        if n_own > 0 {
            let at = fixed.at(node, x, u, self.time, &self.parameters, &self.forecast);
            fixed.problem.functions.rows(fixed.kind(node), at, &mut self.work, own);
        }
        if rest.is_empty() {
            return;
        }
        for child in fixed.children(node) {
            let has_value = self.sweep(child, x, u).is_ok();
            for q in self.stepper.inner() {
                let (mine, others) = rest.split_at_mut(self.sets.bounded.len());
                let x = self.stepper.points().x(q);
                for (value, &state) in mine.iter_mut().zip(&self.sets.bounded) {
                    *value = if has_value { x[state] } else { f64::NAN };
                }
                rest = others;
            }
        }
    }

    fn row_derivatives(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64], jacobian: &mut [f64]) {
        let fixed = self.fixed.clone();
        let (kind, n_rows) = (fixed.kind(node), values.len());
        let n_own = fixed.problem.functions.n_rows(kind);
        jacobian.fill(0.0);
        if n_own > 0 {
            let pattern = fixed.problem.functions.row_pattern(kind);
            if self.second.len() < pattern.nnz() {
                self.second.resize(pattern.nnz(), 0.0);
            }
            let at = fixed.at(node, x, u, self.time, &self.parameters, &self.forecast);
            let second = &mut self.second[..pattern.nnz()];
            fixed.problem.functions.row_derivatives(kind, at, &mut self.work, &mut values[..n_own], second);
            for column in 0..pattern.n_cols() {
                let variable = fixed.layout.variable(column);
                pattern.column(column).for_each(|(row, k)| jacobian[variable * n_rows + row] = second[k]);
            }
        }
        if n_rows == n_own {
            return;
        }
        let mut row = n_own;
        let shape = fixed.layout.shape;
        for child in fixed.children(node) {
            let has_value = self.sweep(child, x, u).is_ok();
            let points = self.stepper.points();
            for q in self.stepper.inner() {
                for &state in &self.sets.bounded {
                    values[row] = if has_value { points.x(q)[state] } else { f64::NAN };
                    let slopes = &points.rows(q)[state * shape.width()..][..shape.n_cols()];
                    for (column, slope) in slopes.iter().enumerate() {
                        jacobian[fixed.layout.variable(column) * n_rows + row] = *slope;
                    }
                    row += 1;
                }
            }
        }
    }

    fn add_row_curvature(&mut self, node: usize, x: &[f64], u: &[f64], multipliers: &[f64], hessian: &mut [f64]) {
        let fixed = self.fixed.clone();
        let kind = fixed.kind(node);
        let (own, inner) = multipliers.split_at(fixed.problem.functions.n_rows(kind));
        if own.iter().any(|&m| m != 0.0) {
            let places = fixed.row_places(kind);
            if self.second.len() < places.len() {
                self.second.resize(places.len(), 0.0);
            }
            let at = fixed.at(node, x, u, self.time, &self.parameters, &self.forecast);
            let second = &mut self.second[..places.len()];
            fixed.problem.functions.row_curvature(kind, at, own, &mut self.work, second);
            layout::scatter(places, second, 1.0, hessian);
        }
        if inner.is_empty() {
            return;
        }
        let n_inner = self.stepper.inner().len() * self.sets.bounded.len();
        for (child, multipliers) in fixed.children(node).zip(inner.chunks_exact(n_inner)) {
            if self.take_inner(multipliers) {
                self.costate.fill(0.0);
                // A step without value has said so where its rows were asked for.
                if self.add_edge_curvature(child, x, u, true, hessian).is_err() {
                    hessian.fill(f64::NAN);
                }
            }
        }
    }
}
