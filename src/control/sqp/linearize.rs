//! From an iterate to a quadratic problem in the step from it, and what the iterate is worth.

use super::filter::Merit;
use super::iterate::Iterate;
use crate::optimize::stage_qp::StageQp;
use crate::system::stages::{Curvature, Limits, Softness, StageFailure, Stages, Tree};

/// What is known of an iterate after its derivatives were taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub merit: Merit,
    /// Largest violation of a step or a hard constraint, in its unit.
    pub worst: f64,
    /// The same, relative to numbers above 1.
    pub relative: f64,
    /// Largest component of the Lagrangian's gradient.
    pub stationarity: f64,
    /// Largest component of the costs' gradients and of the costates, at least 1.
    pub dual_scale: f64,
}

/// Violations of an iterate, collected.
#[derive(Debug, Clone, Copy, Default)]
struct Broken {
    sum: f64,
    worst: f64,
    relative: f64,
}

impl Broken {
    fn add(&mut self, amount: f64, size: f64) {
        let relative = amount / size.abs().max(1.0);
        self.sum += relative;
        self.worst = self.worst.max(amount);
        self.relative = self.relative.max(relative);
    }

    /// State bounds of a node: those of the root count where they are free.
    fn add_states(&mut self, problem: &dyn Stages, node: usize, x: &[f64]) {
        let limits = problem.limits(node);
        let mut add = |j: usize| self.add(outside(x[j], limits.x_lower[j], limits.x_upper[j]), x[j]);
        if node == 0 {
            problem.free_states().iter().for_each(|&j| add(j));
        } else {
            (0..x.len()).for_each(add);
        }
    }
}

/// By how much a value leaves an interval.
pub(super) fn outside(value: f64, lower: f64, upper: f64) -> f64 {
    (lower - value).max(value - upper).max(0.0)
}

/// What soft rows cost; hard ones are added to what is broken.
fn price_rows(values: &[f64], limits: &Limits<'_>, broken: &mut Broken) -> f64 {
    let mut price = 0.0;
    for (r, &value) in values.iter().enumerate() {
        let out = outside(value, limits.row_lower[r], limits.row_upper[r]);
        match limits.row_softness[r] {
            Softness::Hard => broken.add(out, value),
            Softness::Linear(w) => price += w * out,
            Softness::Quadratic(w) => price += w * out * out,
        }
    }
    price
}

/// Buffers of both evaluations.
#[derive(Debug, Clone)]
pub(super) struct Scratch {
    next: Vec<f64>,
    /// Values of all rows at the iterate last linearised.
    pub rows: Vec<f64>,
    /// `n_nodes × n_vars`: the Lagrangian's gradient.
    residual: Vec<f64>,
    rows_now: Vec<f64>,
}

impl Scratch {
    pub(super) fn new(problem: &dyn Stages) -> Scratch {
        let (dims, n_nodes) = (problem.dims(), problem.tree().n_nodes());
        let counts = || (0..n_nodes).map(|node| problem.n_rows(node));
        Scratch {
            next: vec![0.0; dims.n_states],
            rows: vec![0.0; counts().sum()],
            residual: vec![0.0; n_nodes * dims.n_vars()],
            rows_now: vec![0.0; counts().max().unwrap_or(0)],
        }
    }
}

/// Fills `qp` with the derivatives at `at`. With `lagrangian`, the second derivatives are those of the Lagrangian; else
/// Gauss–Newton ones.
///
/// # Errors
/// Where a step or a cost has no value.
pub(super) fn linearize(
    problem: &mut dyn Stages,
    tree: &Tree,
    at: &Iterate,
    lagrangian: bool,
    qp: &mut StageQp,
    scratch: &mut Scratch,
) -> Result<Standing, StageFailure> {
    let (n, m) = (at.n, at.m);
    let nv = n + m;
    let curvature = if lagrangian { Curvature::Exact } else { Curvature::GaussNewton };
    let (mut cost, mut broken) = (0.0, Broken::default());
    let mut dual_scale: f64 = 1.0;
    scratch.residual.fill(0.0);
    for node in 0..tree.n_nodes() {
        let (x, u) = at.xu(node, tree);
        let size = n + u.len();
        let (gradient, hessian) = qp.cost_mut(node);
        cost += problem.cost_derivatives(node, x, u, curvature, gradient, hessian);
        let residual = &mut scratch.residual[node * nv..node * nv + size];
        let forces = &at.box_force[node * nv..node * nv + size];
        for ((r, g), f) in residual.iter_mut().zip(gradient.iter()).zip(forces) {
            *r += g + f;
            dual_scale = dual_scale.max(g.abs());
        }
        let rows = at.row_start[node]..at.row_start[node + 1];
        if !rows.is_empty() {
            let values = &mut scratch.rows[rows.clone()];
            let forces = &at.row_force[rows];
            problem.row_derivatives(node, x, u, values, qp.row_jacobian_mut(node));
            if lagrangian {
                problem.add_row_curvature(node, x, u, forces, qp.hessian_mut(node));
            }
            let limits = problem.limits(node);
            cost += price_rows(values, &limits, &mut broken);
            let n_rows = forces.len();
            for (c, r) in residual.iter_mut().enumerate() {
                let column = &qp.row_jacobian(node)[c * n_rows..(c + 1) * n_rows];
                *r += column.iter().zip(forces).map(|(d, f)| d * f).sum::<f64>();
            }
            for (r, value) in values.iter().enumerate() {
                qp.row_lower_mut(node)[r] = limits.row_lower[r] - value;
                qp.row_upper_mut(node)[r] = limits.row_upper[r] - value;
                qp.set_softness(node, r, limits.row_softness[r]);
            }
        }
        let limits = problem.limits(node);
        for (j, &v) in x.iter().enumerate() {
            qp.x_lower_mut(node)[j] = limits.x_lower[j] - v;
            qp.x_upper_mut(node)[j] = limits.x_upper[j] - v;
        }
        for (j, &v) in u.iter().enumerate() {
            qp.u_lower_mut(node)[j] = limits.u_lower[j] - v;
            qp.u_upper_mut(node)[j] = limits.u_upper[j] - v;
        }
        broken.add_states(problem, node, x);
        if node > 0 {
            let parent = tree.parent(node);
            let (px, pu) = at.xu(parent, tree);
            let costate = &at.costate[node * n..(node + 1) * n];
            let (offset, jacobian) = qp.step_mut(node);
            problem.step_derivatives(node, px, pu, offset, jacobian)?;
            for (gap, &v) in offset.iter_mut().zip(x) {
                *gap -= v;
                broken.add(gap.abs(), v);
            }
            if lagrangian {
                problem.add_step_curvature(node, px, pu, costate, qp.hessian_mut(parent))?;
            }
            let jacobian = qp.jacobian(node);
            let residual = &mut scratch.residual[parent * nv..(parent + 1) * nv];
            for (r, column) in residual.iter_mut().zip(jacobian.chunks_exact(n)) {
                *r += column.iter().zip(costate).map(|(d, c)| d * c).sum::<f64>();
            }
            let residual = &mut scratch.residual[node * nv..node * nv + n];
            for (r, c) in residual.iter_mut().zip(costate) {
                *r -= c;
                dual_scale = dual_scale.max(c.abs());
            }
        }
    }
    qp.root_mut().fill(0.0);
    // The given states of the root need not be stationary.
    let free = problem.free_states();
    for j in 0..n {
        if free.binary_search(&j).is_err() {
            scratch.residual[j] = 0.0;
        }
    }
    let stationarity = scratch.residual.iter().fold(0.0, |a: f64, r| a.max(r.abs()));
    if !(cost.is_finite() && broken.sum.is_finite()) {
        return Err(StageFailure { node: 0, reason: "the cost of the plan is not finite".into() });
    }
    let merit = Merit { violation: broken.sum, cost };
    Ok(Standing { merit, worst: broken.worst, relative: broken.relative, stationarity, dual_scale })
}

/// Cost and violation of an iterate, and its largest violation; nothing where it has none. With `correct`, what the linear problem does not know of
/// the constraints is added to its offsets and taken from its row bounds: the second-order correction of the step `dz`
/// that led here.
pub(super) fn measure(
    problem: &mut dyn Stages,
    tree: &Tree,
    at: &Iterate,
    scratch: &mut Scratch,
    mut correct: Option<(&mut StageQp, &[f64])>,
) -> Option<(Merit, f64)> {
    let n = at.n;
    let nv = n + at.m;
    let (mut cost, mut broken) = (0.0, Broken::default());
    for node in 0..tree.n_nodes() {
        let (x, u) = at.xu(node, tree);
        cost += problem.cost(node, x, u);
        let rows = at.row_start[node]..at.row_start[node + 1];
        if !rows.is_empty() {
            let values = &mut scratch.rows_now[..rows.len()];
            problem.rows(node, x, u, values);
            cost += price_rows(values, &problem.limits(node), &mut broken);
            if let Some((qp, dz)) = &mut correct {
                let n_rows = rows.len();
                for (r, &value) in values.iter().enumerate() {
                    let linear: f64 =
                        (0..n + u.len()).map(|c| qp.row_jacobian(node)[r + n_rows * c] * dz[node * nv + c]).sum();
                    let error = value - scratch.rows[rows.start + r] - linear;
                    qp.row_lower_mut(node)[r] -= error;
                    qp.row_upper_mut(node)[r] -= error;
                }
            }
        }
        broken.add_states(problem, node, x);
        if node > 0 {
            let (px, pu) = at.xu(tree.parent(node), tree);
            problem.step(node, px, pu, &mut scratch.next).ok()?;
            for (&next, &v) in scratch.next.iter().zip(x) {
                broken.add((next - v).abs(), v);
            }
            if let Some((qp, _)) = &mut correct {
                // The linear step leads to x exactly, so the gap is all that it does not know.
                for ((offset, &next), &v) in qp.offset_mut(node).iter_mut().zip(&scratch.next).zip(x) {
                    *offset += next - v;
                }
            }
        }
    }
    (cost.is_finite() && broken.sum.is_finite()).then_some((Merit { violation: broken.sum, cost }, broken.worst))
}
