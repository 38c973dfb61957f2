//! What tells a problem whose constraints cannot be kept from one whose linearisation cannot keep them.
//!
//! A quadratic problem without a point that keeps all bounds gives the step that leaves them least; such steps go on for as
//! long as they promise less violation. Where they promise none, the iterate is a stationary point of the violation, and
//! only then is a problem called infeasible (Fletcher and Leyffer 2002, *Nonlinear programming without a penalty function*,
//! Math. Program. 91:239, section 3). Where the filter refuses every step although something is violated, steps that look
//! at the violation alone lead to where it is less, as the restoration phase of Wächter and Biegler 2006, Math. Program.
//! 106:25, section 3.3, does.

use super::Sqp;
use super::linearize::{Standing, measure, outside};
use crate::optimize::stage_qp::{QpStatus, Start};
use crate::system::stages::{Softness, StageFailure};

/// Share of the violation that a step has to promise to take away.
const PROMISE: f64 = 1e-3;
/// Share of the violation that restoration leaves.
const LEFT: f64 = 0.1;
/// Steps in a row that promise nothing before a problem is called infeasible: the cost falls meanwhile.
pub(super) const PATIENCE: usize = 5;
/// Shortest step of restoration.
const SHORTEST: f64 = 1e-6;

/// How a restoration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restored {
    /// Much less is violated.
    Better,
    /// No small change of the plan violates less.
    Stationary,
    /// Neither was found.
    Stuck,
}

impl Sqp {
    /// True where the step that was just taken from the solver leaves of the violation all but a trifle.
    pub(super) fn promises_nothing(&self, standing: &Standing) -> bool {
        self.left() >= (1.0 - PROMISE) * standing.merit.violation
    }

    /// The violation after the whole step as the quadratic problem has it, measured as the filter measures.
    fn left(&self) -> f64 {
        let (n, m) = (self.now.n, self.now.m);
        let mut sum = 0.0;
        for node in 0..self.tree.n_nodes() {
            let limits = self.problem.limits(node);
            let mut add = |value: f64, lower: f64, upper: f64| {
                sum += outside(value, lower, upper) / value.abs().max(1.0);
            };
            let at = node * (n + m);
            for j in (0..n).filter(|j| node > 0 || self.problem.free_states().binary_search(j).is_ok()) {
                add(self.now.z[at + j] + self.step.z[at + j], limits.x_lower[j], limits.x_upper[j]);
            }
            let rows = self.now.row_start[node]..self.now.row_start[node + 1];
            for (r, (&value, &change)) in self.scratch.rows[rows].iter().zip(self.solver.rows(node)).enumerate() {
                if limits.row_softness[r] == Softness::Hard {
                    add(value + change, limits.row_lower[r], limits.row_upper[r]);
                }
            }
        }
        sum
    }

    /// Steps towards what violates less, whatever it costs. The multipliers are forgotten.
    pub(super) fn restore(&mut self, most: usize) -> Result<Restored, StageFailure> {
        let mut target = None;
        let mut empty = 0;
        loop {
            let standing = self.linearize(false)?;
            let now = standing.merit.violation;
            if now <= *target.get_or_insert(LEFT * now) || standing.relative <= self.settings.constraint_tolerance {
                self.now.clear_forces();
                return Ok(Restored::Better);
            }
            if self.iterations >= most {
                return Ok(Restored::Stuck);
            }
            self.iterations += 1;
            self.forget_costs();
            match self.solver.solve(&self.qp, Start::Cold) {
                QpStatus::Optimal | QpStatus::IterationLimit => self.conflict = None,
                QpStatus::Infeasible { node, bounded } => self.note_conflict(node, bounded),
                QpStatus::Indefinite { .. } | QpStatus::NotFinite => return Ok(Restored::Stuck),
            }
            self.take_step();
            let left = self.left();
            empty = if self.conflict.is_some() && left >= (1.0 - PROMISE) * now { empty + 1 } else { 0 };
            if empty == PATIENCE {
                return Ok(Restored::Stationary);
            }
            let mut alpha = 1.0;
            loop {
                self.follow_step(alpha);
                let merit = measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None);
                if merit.is_some_and(|(merit, _)| merit.violation <= now - 1e-4 * alpha * (now - left).max(0.0)) {
                    break;
                }
                alpha *= 0.5;
                if alpha < SHORTEST {
                    return Ok(if empty > 0 { Restored::Stationary } else { Restored::Stuck });
                }
            }
            std::mem::swap(&mut self.now, &mut self.trial);
        }
    }

    /// Puts the square of the step in place of the costs, and lets soft rows go.
    fn forget_costs(&mut self) {
        let nv = self.now.n + self.now.m;
        for node in 0..self.tree.n_nodes() {
            let (gradient, hessian) = self.qp.cost_mut(node);
            let size = gradient.len();
            gradient.fill(0.0);
            hessian.fill(0.0);
            for (i, z) in self.now.z[node * nv..][..size].iter().enumerate() {
                hessian[i + size * i] = 1.0 / z.abs().max(1.0).powi(2);
            }
            for r in 0..self.qp.n_rows(node) {
                if self.qp.softness(node)[r] != Softness::Hard {
                    self.qp.row_lower_mut(node)[r] = f64::NEG_INFINITY;
                    self.qp.row_upper_mut(node)[r] = f64::INFINITY;
                }
            }
        }
    }
}
