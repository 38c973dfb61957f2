//! The first phase of a plan from nothing: a primal-dual interior-point method on the whole problem.
//!
//! Steps that stay away from bounds are short at first, so that the course follows the plant instead of jumping between
//! bounds; of the many optima of a problem such as a swing-up it finds better ones than full steps do (measured on the
//! cart-pole over 50 and 100 steps, where sequential quadratic programming alone ends at twice to four times the cost).
//! The method is that of Wächter and Biegler 2006, Math. Program. 106:25: boxes become logarithmic barriers, a filter
//! guards the line search, curvature is added where the reduced Hessian is not positive definite (their algorithm IC),
//! and the barrier falls when its problem is solved well enough. Rows stay in the quadratic problem. It ends early: which
//! bounds hold is then clear, and sequential quadratic programming finishes in a few steps.

use super::Sqp;
use super::filter::Merit;
use super::linearize::{Standing, measure};
use crate::optimize::stage_qp::{QpStatus, Start};
use crate::system::stages::Stages;

/// First barrier parameter, and the one at which the phase ends; of a cost scaled to gradients of at most 100.
const MU: (f64, f64) = (0.1, 1e-5);
/// Largest gradient of the scaled cost.
const LARGEST_GRADIENT: f64 = 100.0;
/// Relative distance from its bounds that a variable starts with at least.
const PUSH: f64 = 0.01;
/// Added curvature: first, largest.
const ADDED: (f64, f64) = (1e-4, 1e40);
/// Shortest step.
const SHORTEST: f64 = 1e-6;
/// Largest costate of the scaled problem that the first guess may have.
const LARGEST_COSTATE: f64 = 1e3;

/// Bounds and their multipliers, one per variable.
#[derive(Debug, Clone)]
pub(super) struct Barrier {
    lower: Vec<f64>,
    upper: Vec<f64>,
    /// Multipliers of the lower and upper bounds, not negative.
    force: [Vec<f64>; 2],
    d_force: [Vec<f64>; 2],
}

impl Barrier {
    pub(super) fn new(n_values: usize) -> Barrier {
        let zeros = || vec![0.0; n_values];
        Barrier { lower: zeros(), upper: zeros(), force: [zeros(), zeros()], d_force: [zeros(), zeros()] }
    }

    /// The logarithms of all distances.
    fn logarithms(&self, z: &[f64]) -> f64 {
        let mut sum = 0.0;
        for ((z, lower), upper) in z.iter().zip(&self.lower).zip(&self.upper) {
            if lower.is_finite() {
                sum += (z - lower).ln();
            }
            if upper.is_finite() {
                sum += (upper - z).ln();
            }
        }
        sum
    }
}

impl Sqp {
    /// Works until the barrier is low or progress ends; false where the problem has no finite values at the start.
    pub(super) fn approach(&mut self) -> bool {
        let has_curvature = self.problem.has_curvature();
        self.bound();
        let Ok(first) = self.linearize(has_curvature) else { return false };
        let steepest =
            (0..self.tree.n_nodes()).flat_map(|node| self.qp.gradient(node)).fold(0.0, |a: f64, g| a.max(g.abs()));
        let scale = (LARGEST_GRADIENT / steepest.max(1e-300)).min(1.0);
        let mut mu = MU.0 / scale;
        let last_mu = MU.1 / scale;
        for i in 0..self.now.z.len() {
            let at_bound = |b: f64| if b.is_finite() { 1.0 } else { 0.0 };
            self.barrier.force[0][i] = at_bound(self.barrier.lower[i]) / scale;
            self.barrier.force[1][i] = at_bound(self.barrier.upper[i]) / scale;
        }
        self.guess_costates(mu, scale);
        self.filter.restart(first.merit.violation);
        let mut last_added = 0.0;
        while self.iterations < self.settings.max_iterations {
            self.net_forces();
            let Ok(standing) = self.linearize(has_curvature) else { return true };
            while self.error(&standing, mu, scale) <= 10.0 * mu * scale {
                if mu <= last_mu {
                    return true;
                }
                mu = (0.2 * mu).min((mu * scale).powf(1.5) / scale).max(last_mu);
                self.filter.restart(first.merit.violation);
            }
            self.iterations += 1;
            self.add_barrier(mu);
            match self.solve_inertia(Start::Cold, &mut last_added, scale) {
                QpStatus::Optimal | QpStatus::IterationLimit | QpStatus::Infeasible { .. } => (),
                QpStatus::Indefinite { .. } | QpStatus::NotFinite => return true,
            }
            let slope = self.take_step();
            if !self.search_interior(&standing, slope, mu, scale) {
                return true;
            }
        }
        true
    }

    /// Takes the bounds of all variables and puts the iterate between them.
    fn bound(&mut self) {
        let (n, m) = (self.now.n, self.now.m);
        let nv = n + m;
        for node in 0..self.tree.n_nodes() {
            let limits = self.problem.limits(node);
            for j in 0..nv {
                let i = node * nv + j;
                let is_there = if j < n {
                    node > 0 || self.problem.free_states().binary_search(&j).is_ok()
                } else {
                    !self.tree.is_leaf(node)
                };
                let (lower, upper) = match (is_there, j < n) {
                    (false, _) => (f64::NEG_INFINITY, f64::INFINITY),
                    (true, true) => (limits.x_lower[j], limits.x_upper[j]),
                    (true, false) => (limits.u_lower[j - n], limits.u_upper[j - n]),
                };
                // Equal bounds have no interior; they stay in the quadratic problem.
                let is_open = lower < upper;
                self.barrier.lower[i] = if is_open { lower } else { f64::NEG_INFINITY };
                self.barrier.upper[i] = if is_open { upper } else { f64::INFINITY };
                if is_open {
                    let width = upper - lower;
                    let room = |bound: f64| (PUSH * bound.abs().max(1.0)).min(PUSH * width);
                    let z = &mut self.now.z[i];
                    if lower.is_finite() {
                        *z = z.max(lower + room(lower));
                    }
                    if upper.is_finite() {
                        *z = z.min(upper - room(upper));
                    }
                }
            }
        }
    }

    /// The costates that fit the gradients best (least squares), unless they are very large.
    fn guess_costates(&mut self, mu: f64, scale: f64) {
        let nv = self.now.n + self.now.m;
        self.add_barrier(mu);
        for node in 0..self.tree.n_nodes() {
            let size = self.qp.gradient(node).len();
            let hessian = self.qp.hessian_mut(node);
            hessian.fill(0.0);
            for i in 0..size {
                hessian[i + size * i] = 1.0;
            }
            for i in 0..size {
                let at = node * nv + i;
                let d = self.distances(at);
                // The gradient with the multipliers themselves in place of the barrier's.
                let force = self.barrier.force[1][at] - self.barrier.force[0][at];
                self.qp.gradient_mut(node)[i] += force + mu / d.0 - mu / d.1;
            }
            if node > 0 {
                self.qp.offset_mut(node).fill(0.0);
            }
        }
        if self.solver.solve(&self.qp, Start::Cold) == QpStatus::Optimal {
            let n = self.now.n;
            for node in 0..self.tree.n_nodes() {
                self.now.costate[node * n..(node + 1) * n].copy_from_slice(self.solver.costate(node));
            }
            if !self.now.costate.iter().all(|c| c.abs() * scale <= LARGEST_COSTATE) {
                self.now.costate.fill(0.0);
            }
        }
    }

    /// Distances of a variable from its bounds, infinite where there is none.
    fn distances(&self, i: usize) -> (f64, f64) {
        (self.now.z[i] - self.barrier.lower[i], self.barrier.upper[i] - self.now.z[i])
    }

    fn net_forces(&mut self) {
        for (i, net) in self.now.box_force.iter_mut().enumerate() {
            *net = self.barrier.force[1][i] - self.barrier.force[0][i];
        }
    }

    /// How far the iterate is from solving the problem of this barrier, in the scaled problem.
    fn error(&self, standing: &Standing, mu: f64, scale: f64) -> f64 {
        let mut gap: f64 = 0.0;
        let (mut sum, mut count) = (0.0, 0.0);
        for i in 0..self.now.z.len() {
            let (down, up) = self.distances(i);
            for (d, force) in [(down, self.barrier.force[0][i]), (up, self.barrier.force[1][i])] {
                if d.is_finite() {
                    gap = gap.max((d * force - mu).abs());
                    sum += force;
                    count += 1.0;
                }
            }
        }
        let sum_all = sum + self.now.costate.iter().map(|c| c.abs()).sum::<f64>();
        let relax = |sum: f64, count: f64| (scale * sum / (100.0 * f64::max(count, 1.0))).max(1.0);
        let stationarity = scale * standing.stationarity / relax(sum_all, count + self.now.costate.len() as f64);
        stationarity.max(standing.relative).max(scale * gap / relax(sum, count))
    }

    /// Puts the barrier into the quadratic problem in place of the bounds.
    fn add_barrier(&mut self, mu: f64) {
        let n = self.now.n;
        let nv = n + self.now.m;
        for node in 0..self.tree.n_nodes() {
            let size = self.qp.gradient(node).len();
            for j in 0..size {
                let i = node * nv + j;
                let (down, up) = self.distances(i);
                let sigma = self.barrier.force[0][i] / down + self.barrier.force[1][i] / up;
                self.qp.hessian_mut(node)[j + size * j] += sigma;
                self.qp.gradient_mut(node)[j] += mu / up - mu / down;
                if down.is_finite() || up.is_finite() {
                    if j < n {
                        self.qp.x_lower_mut(node)[j] = f64::NEG_INFINITY;
                        self.qp.x_upper_mut(node)[j] = f64::INFINITY;
                    } else {
                        self.qp.u_lower_mut(node)[j - n] = f64::NEG_INFINITY;
                        self.qp.u_upper_mut(node)[j - n] = f64::INFINITY;
                    }
                }
            }
        }
    }

    /// Solves, with as much added to the diagonals as it takes; begins near what was `last` needed, and keeps that.
    pub(super) fn solve_inertia(&mut self, start: Start, last: &mut f64, scale: f64) -> QpStatus {
        let mut added = 0.0;
        let mut next = if *last == 0.0 { ADDED.0 / scale } else { (*last / 3.0).max(1e-20) };
        let growth = if *last == 0.0 { 100.0 } else { 8.0 };
        let mut start = start;
        loop {
            let status = self.solver.solve(&self.qp, start);
            self.n_fallbacks += self.solver.statistics().fallbacks;
            match status {
                QpStatus::Optimal | QpStatus::IterationLimit | QpStatus::Infeasible { .. } | QpStatus::NotFinite => {
                    if added > 0.0 {
                        *last = added;
                        self.n_convexified += 1;
                    }
                    return status;
                }
                QpStatus::Indefinite { .. } => {
                    if next > ADDED.1 {
                        return status;
                    }
                    self.add_diagonal(next - added);
                    added = next;
                    next *= growth;
                    start = Start::Cold;
                }
            }
        }
    }

    /// Adds the same to the diagonals of all second derivatives.
    fn add_diagonal(&mut self, amount: f64) {
        for node in 0..self.tree.n_nodes() {
            let size = self.qp.gradient(node).len();
            let hessian = self.qp.hessian_mut(node);
            for i in 0..size {
                hessian[i + size * i] += amount;
            }
        }
    }

    /// A line search that keeps away from the bounds.
    fn search_interior(&mut self, standing: &Standing, slope: f64, mu: f64, scale: f64) -> bool {
        let keep = (1.0 - mu * scale).max(0.99);
        let (mut alpha, mut alpha_force) = (1.0_f64, 1.0_f64);
        for i in 0..self.now.z.len() {
            let (down, up) = self.distances(i);
            let dz = self.step.z[i];
            for (side, (d, dd)) in [(down, dz), (up, -dz)].into_iter().enumerate() {
                self.barrier.d_force[side][i] = 0.0;
                if d.is_finite() {
                    if dd < 0.0 {
                        alpha = alpha.min(-keep * d / dd);
                    }
                    let force = self.barrier.force[side][i];
                    let change = mu / d - force - force / d * dd;
                    if change < 0.0 {
                        alpha_force = alpha_force.min(-keep * force / change);
                    }
                    self.barrier.d_force[side][i] = change;
                }
            }
        }
        let merit = |merit: Merit, logs: f64| Merit { cost: scale * (merit.cost - mu * logs), ..merit };
        let now = merit(standing.merit, self.barrier.logarithms(&self.now.z));
        let noise = 1e-14 * now.cost.abs();
        let mut is_first = true;
        while alpha >= SHORTEST {
            self.follow_step(alpha);
            let found = measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None);
            if let Some((found, _)) = found {
                let trial = merit(found, self.barrier.logarithms(&self.trial.z));
                if self.filter.accepts(now, trial, alpha, scale * slope, noise) {
                    std::mem::swap(&mut self.now, &mut self.trial);
                    self.move_forces(alpha_force, mu);
                    return true;
                }
                if is_first
                    && found.violation >= standing.merit.violation
                    && self.correct_interior(&now, alpha, slope, mu, scale)
                {
                    self.move_forces(alpha_force, mu);
                    return true;
                }
            }
            is_first = false;
            alpha *= 0.5;
        }
        false
    }

    /// The second-order correction of a refused step.
    fn correct_interior(&mut self, now: &Merit, alpha: f64, slope: f64, mu: f64, scale: f64) -> bool {
        if alpha < 1.0 {
            return false;
        }
        let correct = Some((&mut self.qp, &self.step.z[..]));
        if measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, correct).is_none()
            || self.solver.solve(&self.qp, Start::Warm) != QpStatus::Optimal
        {
            return false;
        }
        self.follow_solver();
        let keep = (1.0 - mu * scale).max(0.99);
        for i in 0..self.trial.z.len() {
            let (down, up) = self.distances(i);
            let dz = self.trial.z[i] - self.now.z[i];
            if -dz > keep * down || dz > keep * up {
                return false;
            }
        }
        let Some((found, _)) = measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None) else {
            return false;
        };
        let trial = Merit { cost: scale * (found.cost - mu * self.barrier.logarithms(&self.trial.z)), ..found };
        if self.filter.accepts(*now, trial, alpha, scale * slope, 1e-14 * now.cost.abs()) {
            std::mem::swap(&mut self.now, &mut self.trial);
            return true;
        }
        false
    }

    /// Moves the multipliers of the bounds, and keeps them within reach of what the distances say.
    fn move_forces(&mut self, alpha: f64, mu: f64) {
        for i in 0..self.now.z.len() {
            let (down, up) = self.distances(i);
            for (side, d) in [down, up].into_iter().enumerate() {
                if d.is_finite() {
                    let ideal = mu / d;
                    let force = self.barrier.force[side][i] + alpha * self.barrier.d_force[side][i];
                    self.barrier.force[side][i] = force.max(1e-10 * ideal).min(1e10 * ideal);
                }
            }
        }
    }
}
