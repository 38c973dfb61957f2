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
use crate::optimize::stage_qp::{Bounded, QpStatus, Start};
use crate::system::stages::{Softness, StageFailure, Stages};

/// Share of the violation that a step has to promise to take away.
pub(super) const PROMISE: f64 = 1e-3;
/// Share of the violation that restoration leaves.
const LEFT: f64 = 0.1;
/// Steps in a row that promise nothing before a problem is called infeasible: the cost falls meanwhile.
pub(super) const PATIENCE: usize = 5;
/// Most steps of a restoration.
const MOST_STEPS: usize = 30;
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

    /// Largest gap between a step and the state that it leads to, relative to states above 1.
    pub(super) fn largest_gap(&self) -> f64 {
        let of_node = |node: usize| {
            let gaps = self.qp.offset(node).iter().zip(self.now.x(node));
            gaps.fold(0.0_f64, |a, (gap, x)| a.max(gap.abs() / x.abs().max(1.0)))
        };
        (1..self.tree.n_nodes()).map(of_node).fold(0.0, f64::max)
    }

    /// Lets the states follow from the inputs. False, and nothing changed, where they have no value.
    pub(super) fn roll_out(&mut self) -> bool {
        self.trial.copy_from(&self.now);
        for node in 1..self.tree.n_nodes() {
            let (x, u) = self.trial.xu(self.tree.parent(node), &self.tree);
            let next = &mut self.step.z[..self.now.n];
            if self.problem.step(node, x, u, next).is_err() || !next.iter().all(|x| x.is_finite()) {
                return false;
            }
            self.trial.x_mut(node).copy_from_slice(next);
        }
        std::mem::swap(&mut self.now, &mut self.trial);
        true
    }

    /// True of bounds that exclude each other.
    pub(super) fn is_contradiction(&self, node: usize, bounded: Bounded) -> bool {
        let limits = self.problem.limits(node);
        let (lower, upper, at) = match bounded {
            Bounded::State(j) => (limits.x_lower, limits.x_upper, j),
            Bounded::Input(j) => (limits.u_lower, limits.u_upper, j),
            Bounded::Row(j) => (limits.row_lower, limits.row_upper, j),
        };
        lower[at] > upper[at]
    }

    /// True where a hard row of the root is broken that no input moves.
    pub(super) fn is_unavoidable(&self) -> bool {
        let (n, limits) = (self.now.n, self.problem.limits(0));
        let n_rows = self.problem.n_rows(0);
        let jacobian = self.qp.row_jacobian(0);
        let is_given = |column: usize| column < n && self.problem.free_states().binary_search(&column).is_err();
        (0..n_rows).any(|r| {
            let value = self.scratch.rows[r];
            let out = outside(value, limits.row_lower[r], limits.row_upper[r]);
            limits.row_softness[r] == Softness::Hard
                && out > self.settings.constraint_tolerance.max(1e-6) * value.abs().max(1.0)
                && (0..self.qp.n_vars(0)).all(|column| is_given(column) || jacobian[column * n_rows + r] == 0.0)
        })
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
        let first = self.linearize(false)?.merit.violation;
        let (mut now, mut empty) = (first, 0);
        for _ in 0..MOST_STEPS.min(most.saturating_sub(self.iterations)) {
            let standing = self.linearize(false)?;
            now = standing.merit.violation;
            if now <= LEFT * first || standing.relative <= self.settings.constraint_tolerance {
                self.now.clear_forces();
                return Ok(Restored::Better);
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
                    return Ok(if self.conflict.is_some() { Restored::Stationary } else { Restored::Stuck });
                }
            }
            std::mem::swap(&mut self.now, &mut self.trial);
        }
        // So many steps for so little: there is no more to be had.
        let is_stationary = self.conflict.is_some() && now >= (1.0 - PROMISE) * first;
        Ok(if is_stationary { Restored::Stationary } else { Restored::Stuck })
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

#[cfg(test)]
mod tests {
    use crate::control::sqp::{Hessian, Sqp, SqpSettings};
    use crate::control::tests::{Bounds, Number, Toy, ToyStages};
    use crate::decide::{PlanStatus, Planner, Situation};
    use crate::optimize::stage_qp::Bounded;
    use crate::system::stages::{Softness, StageDims, Tree};

    /// A position that the input moves by at most `reach` a step; at the end its square is to be 1 at least.
    #[derive(Clone)]
    struct Away;

    impl Toy for Away {
        fn dims(&self) -> StageDims {
            StageDims { n_states: 1, n_inputs: 1 }
        }

        fn step<D: Number>(&self, _node: usize, x: &[D], u: &[D], next: &mut [D]) {
            next[0] = x[0] + u[0];
        }

        fn residuals<D: Number>(&self, _leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
            out.push(x[0]);
            out.extend(u.iter().map(|u| *u * 0.1));
        }

        fn rows<D: Number>(&self, leaf: bool, x: &[D], _u: &[D], out: &mut Vec<D>) {
            out.push(if leaf { x[0] * x[0] } else { D::from(2.0) });
        }
    }

    fn away(reach: f64, horizon: usize) -> ToyStages<Away> {
        let free = (f64::NEG_INFINITY, f64::INFINITY);
        let bounds =
            Bounds { x: vec![free], u: vec![(-reach, reach)], rows: vec![(1.0, f64::INFINITY, Softness::Hard)] };
        ToyStages::new(Away, Tree::chain(horizon), &bounds)
    }

    const START: Situation<'_> = Situation { step: 0, time: 0.0, state: &[0.1], previous: &[], forecast: &[] };

    /// From 0.1 the square's tangent reaches 1 at 5.05, which three steps of 0.5 do not reach; the square does at 1.
    #[test]
    fn goes_on_where_only_the_linearisation_is_infeasible() {
        for hessian in [Hessian::Auto, Hessian::GaussNewton, Hessian::Exact] {
            let settings = SqpSettings { hessian, ..SqpSettings::default() };
            let mut planner = Sqp::new(Box::new(away(0.5, 3)), settings);
            let plan = planner.plan(&START);
            assert_eq!(plan.status, PlanStatus::Optimal, "{hessian:?}: {}", plan.message);
            assert!((plan.states[3].abs() - 1.0).abs() < 1e-8, "{:?}", plan.states);
        }
    }

    /// Three steps of 0.1 end at 0.4 at most: the violation is least there, and the row of the last step is named.
    #[test]
    fn calls_infeasible_what_violates_least_and_names_it() {
        let mut planner = Sqp::new(Box::new(away(0.1, 3)), SqpSettings::default());
        let plan = planner.plan(&START);
        assert_eq!(plan.status, PlanStatus::Infeasible, "{}", plan.message);
        assert!((plan.violation - (1.0 - 0.16)).abs() < 1e-5, "{}", plan.violation);
        assert!((plan.states[3] - 0.4).abs() < 1e-5, "{:?}", plan.states);
        let conflict = planner.conflict().expect("a conflict");
        assert_eq!((conflict.bounded, conflict.depth), (Bounded::Row(0), 3));
        // A loop that can do no better learns it soon.
        let plan = planner.plan(&Situation { step: 1, state: &[0.2], ..START });
        assert_eq!(plan.status, PlanStatus::Infeasible, "{}", plan.message);
        assert!(plan.iterations <= 12, "{}", plan.iterations);
    }
}
