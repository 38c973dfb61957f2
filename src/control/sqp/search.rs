//! The iterations: quadratic problems, line search, second-order correction, and every way to end.

use super::filter::Merit;
use super::linearize::{Standing, measure};
use super::restore::{PATIENCE, PROMISE, Restored};
use super::{Conflict, Hessian, Outcome, Sqp};
use crate::decide::PlanStatus;
use crate::optimize::stage_qp::{Bounded, QpStatus, Start};
use crate::system::stages::{Softness, StageFailure, Stages};

/// Shortest step of a line search before the second derivatives are damped.
const SHORTEST: f64 = 1e-3;
/// Restorations of a descent.
const MOST_RESTORED: usize = 3;
/// Damping, relative to the largest second derivative: the first and the last.
const DAMPING: (f64, f64) = (1e-4, 1e4);
/// A violation before the last step above which what is left of it after the step is found out.
const TOLD: f64 = 1e-10;
/// Gauss–Newton iterations within which a problem that is nearly convex is solved. What takes longer is solved with
/// exact second derivatives, from a better start if there was none (chosen on the ten problems of tests/control).
const QUICK: usize = 12;

impl Sqp {
    /// Iterates until the plan is optimal or an end is reached.
    pub(super) fn converge(&mut self) -> Outcome {
        let most = self.settings.max_iterations;
        let has_curvature = self.problem.has_curvature();
        match self.settings.hessian {
            Hessian::GaussNewton => return self.descend(false, most),
            Hessian::Exact => (),
            Hessian::Auto => {
                self.origin.copy_from(&self.now);
                let outcome = self.descend(false, QUICK.min(most));
                match outcome.status {
                    PlanStatus::Optimal => return outcome,
                    // A loop cannot wait for what a closer look would find.
                    PlanStatus::Infeasible if self.is_warm => return outcome,
                    // Most of the work is left for the exact second derivatives.
                    PlanStatus::Improved
                    | PlanStatus::IterationLimit
                    | PlanStatus::Stagnated
                    | PlanStatus::Infeasible
                    | PlanStatus::Deadline
                    | PlanStatus::Failed => (),
                }
                if !has_curvature {
                    return if outcome.status == PlanStatus::IterationLimit {
                        self.descend(false, most)
                    } else {
                        outcome
                    };
                }
                if !self.is_warm || outcome.status == PlanStatus::Failed {
                    self.now.copy_from(&self.origin);
                }
            }
        }
        if !self.is_warm && !self.approach() {
            return self.failed("the start of the plan has no finite cost or step");
        }
        self.descend(has_curvature, most)
    }

    /// Sequential quadratic programming from where the iterate is, until so many quadratic problems have been solved.
    fn descend(&mut self, lagrangian: bool, most: usize) -> Outcome {
        let mut has_forces = self.is_warm || self.iterations > 0;
        self.is_fresh = !has_forces;
        self.damping = 0.0;
        self.added = 0.0;
        let mut standing = match self.linearize(lagrangian) {
            Ok(standing) => standing,
            Err(failure) => return self.failed(&failure.reason),
        };
        self.filter.restart(standing.merit.violation);
        let (mut n_empty, mut n_restored, mut n_rolled) = (0, 0, 0);
        // The least violation so far, and the iteration that it is of.
        let mut least = (standing.merit.violation, self.iterations);
        loop {
            let is_feasible = standing.relative <= self.settings.constraint_tolerance;
            let is_stationary = standing.stationarity <= self.settings.tolerance * standing.dual_scale;
            if has_forces && is_feasible && is_stationary && self.conflict.is_none() {
                return self.ended(PlanStatus::Optimal, &standing);
            }
            if self.iterations >= most {
                let status = if n_empty > 0 { PlanStatus::Infeasible } else { PlanStatus::IterationLimit };
                return self.ended(status, &standing);
            }
            self.iterations += 1;
            let has_step = match self.solve_convex() {
                QpStatus::Optimal | QpStatus::IterationLimit => {
                    self.conflict = None;
                    true
                }
                QpStatus::Infeasible { node, bounded } => {
                    self.note_conflict(node, bounded);
                    if self.is_contradiction(node, bounded) {
                        return self.ended(PlanStatus::Infeasible, &standing);
                    }
                    true
                }
                QpStatus::Indefinite { .. } | QpStatus::NotFinite if self.conflict.is_some() => false,
                QpStatus::Indefinite { .. } | QpStatus::NotFinite => {
                    return self.failed("the quadratic problem of a step has no finite solution");
                }
            };
            let slope = if has_step { self.take_step() } else { 0.0 };
            has_forces = true;
            if self.conflict.is_some() && has_step {
                n_empty = if self.promises_nothing(&standing) { n_empty + 1 } else { 0 };
                if n_empty == PATIENCE {
                    // Gaps between the steps may stand for a violation that the plan would have.
                    n_empty = 0;
                    if n_rolled < MOST_RESTORED && self.largest_gap() > TOLD && self.roll_out() {
                        n_rolled += 1;
                        standing = match self.linearize(lagrangian) {
                            Ok(standing) => standing,
                            Err(failure) => return self.failed(&failure.reason),
                        };
                        self.filter.restart(standing.merit.violation);
                        least = (standing.merit.violation, self.iterations);
                        continue;
                    }
                    return self.ended(PlanStatus::Infeasible, &standing);
                }
            } else {
                n_empty = 0;
            }
            if self.conflict.is_none() || standing.merit.violation < (1.0 - PROMISE) * least.0 {
                least = (standing.merit.violation, self.iterations);
            }
            if is_feasible && self.conflict.is_none() && self.is_negligible(&standing) {
                // The multipliers of the step fit the iterate: it was optimal before the step, and is better after.
                self.follow_step(1.0);
                std::mem::swap(&mut self.now, &mut self.trial);
                let merit = Merit { cost: standing.merit.cost + slope, ..standing.merit };
                let mut last = Standing { merit, ..standing };
                if standing.worst > TOLD
                    && let Some((merit, worst)) =
                        measure(self.problem.as_mut(), &self.tree, &self.now, &mut self.scratch, None)
                {
                    last = Standing { merit, worst, ..standing };
                }
                return self.ended(PlanStatus::Optimal, &last);
            }
            // Where bounds were left the multipliers are prices, which say nothing of curvature.
            let lagrangian = lagrangian && self.conflict.is_none();
            let is_idle = self.iterations > least.1 + QUICK;
            let next = if has_step && !is_idle { self.search(&standing, slope, lagrangian) } else { Ok(None) };
            standing = match next {
                Ok(Some(next)) => {
                    self.damping = if self.damping > 10.0 * DAMPING.0 { 0.1 * self.damping } else { 0.0 };
                    next
                }
                Ok(None) if has_step && !is_idle && self.damping < DAMPING.1 => {
                    self.damping = (10.0 * self.damping).max(DAMPING.0);
                    match self.linearize(lagrangian) {
                        Ok(standing) => standing,
                        Err(failure) => return self.failed(&failure.reason),
                    }
                }
                Ok(None) if n_empty > 0 => return self.ended(PlanStatus::Infeasible, &standing),
                Ok(None) if is_feasible || n_restored == MOST_RESTORED => {
                    return self.ended(PlanStatus::Stagnated, &standing);
                }
                // Nothing is progress in both, so first what is violated.
                Ok(None) => {
                    n_restored += 1;
                    let restored = self.restore(most);
                    match restored.and_then(|restored| Ok((restored, self.linearize(lagrangian)?))) {
                        Ok((Restored::Better, standing)) => {
                            self.filter.restart(standing.merit.violation);
                            (self.damping, self.is_fresh, has_forces) = (0.0, true, false);
                            self.conflict = None;
                            least = (standing.merit.violation, self.iterations);
                            standing
                        }
                        Ok((Restored::Stationary, standing)) => return self.ended(PlanStatus::Infeasible, &standing),
                        Ok((Restored::Stuck, standing)) => return self.ended(PlanStatus::Stagnated, &standing),
                        Err(failure) => return self.failed(&failure.reason),
                    }
                }
                Err(failure) => return self.failed(&failure.reason),
            };
        }
    }

    fn ended(&mut self, status: PlanStatus, standing: &Standing) -> Outcome {
        let is_broken = standing.relative > self.settings.constraint_tolerance.max(1e-6);
        let status = match status {
            PlanStatus::Stagnated | PlanStatus::IterationLimit if is_broken && self.is_unavoidable() => {
                PlanStatus::Infeasible
            }
            PlanStatus::Stagnated
            | PlanStatus::IterationLimit
            | PlanStatus::Infeasible
            | PlanStatus::Optimal
            | PlanStatus::Improved
            | PlanStatus::Deadline
            | PlanStatus::Failed => status,
        };
        self.conflict = match status {
            PlanStatus::Infeasible => self.conflict.or(self.last_conflict).or_else(|| self.most_broken()),
            PlanStatus::Stagnated | PlanStatus::IterationLimit if is_broken => {
                self.conflict.or(self.last_conflict).or_else(|| self.most_broken())
            }
            PlanStatus::Stagnated
            | PlanStatus::IterationLimit
            | PlanStatus::Optimal
            | PlanStatus::Improved
            | PlanStatus::Deadline
            | PlanStatus::Failed => None,
        };
        self.tell_conflict(status, standing.worst);
        Outcome { status, cost: standing.merit.cost, violation: standing.worst }
    }

    /// The constraint that the iterate breaks most.
    fn most_broken(&self) -> Option<Conflict> {
        let mut most = (0.0, None);
        for node in 0..self.tree.n_nodes() {
            let limits = self.problem.limits(node);
            let mut look = |value: f64, lower: f64, upper: f64, bounded: Bounded| {
                let out = (lower - value).max(value - upper) / value.abs().max(1.0);
                if out > most.0 {
                    most = (out, Some(Conflict { node, depth: self.tree.depth(node), bounded }));
                }
            };
            if node > 0 {
                for (j, &x) in self.now.x(node).iter().enumerate() {
                    look(x, limits.x_lower[j], limits.x_upper[j], Bounded::State(j));
                }
            }
            let rows = self.now.row_start[node]..self.now.row_start[node + 1];
            for (r, &value) in self.scratch.rows[rows].iter().enumerate() {
                if limits.row_softness[r] == Softness::Hard {
                    look(value, limits.row_lower[r], limits.row_upper[r], Bounded::Row(r));
                }
            }
        }
        most.1
    }

    /// Solves the quadratic problem, with as much curvature added as it takes.
    pub(super) fn solve_convex(&mut self) -> QpStatus {
        if self.damping > 0.0 {
            self.damp();
        }
        let start = if self.is_fresh { Start::Cold } else { Start::Warm };
        self.is_fresh = false;
        let mut added = self.added;
        let status = self.solve_inertia(start, &mut added, 1.0);
        self.added = added;
        status
    }

    /// Adds the damping to all second derivatives.
    fn damp(&mut self) {
        for node in 0..self.tree.n_nodes() {
            let size = self.qp.gradient(node).len();
            let hessian = self.qp.hessian_mut(node);
            let largest = (0..size).fold(1e-12, |a: f64, i| a.max(hessian[i + size * i].abs()));
            for i in 0..size {
                hessian[i + size * i] += self.damping * largest;
            }
        }
    }

    /// Takes step and multipliers from the solver; how much the model says that the cost changes to first order.
    pub(super) fn take_step(&mut self) -> f64 {
        let (n, m) = (self.now.n, self.now.m);
        let nv = n + m;
        let mut slope = 0.0;
        for node in 0..self.tree.n_nodes() {
            let step = &mut self.step;
            let z = &mut step.z[node * nv..(node + 1) * nv];
            z[..n].copy_from_slice(self.solver.state(node));
            let force = &mut step.box_force[node * nv..(node + 1) * nv];
            let (lower, upper) = (self.solver.x_lower_multipliers(node), self.solver.x_upper_multipliers(node));
            for j in 0..n {
                force[j] = upper[j] - lower[j];
            }
            if !self.tree.is_leaf(node) {
                // Even where the solver found no more than what leaves bounds least, inputs stay within theirs.
                let bounds = self.qp.u_lower(node).iter().zip(self.qp.u_upper(node));
                for ((du, &found), (&low, &high)) in z[n..].iter_mut().zip(self.solver.input(node)).zip(bounds) {
                    *du = found.max(low).min(high);
                }
                let (lower, upper) = (self.solver.u_lower_multipliers(node), self.solver.u_upper_multipliers(node));
                for j in 0..m {
                    force[n + j] = upper[j] - lower[j];
                }
            }
            step.costate[node * n..(node + 1) * n].copy_from_slice(self.solver.costate(node));
            slope += self.qp.gradient(node).iter().zip(z.iter()).map(|(g, d)| g * d).sum::<f64>();
            let rows = step.row_start[node]..step.row_start[node + 1];
            if !rows.is_empty() {
                let (lower, upper) = (self.solver.row_lower_multipliers(node), self.solver.row_upper_multipliers(node));
                let limits = self.problem.limits(node);
                let values = self.solver.rows(node);
                for (r, force) in step.row_force[rows.clone()].iter_mut().enumerate() {
                    *force = upper[r] - lower[r];
                    let before = self.scratch.rows[rows.start + r];
                    let out = |v: f64| (limits.row_lower[r] - v).max(v - limits.row_upper[r]).max(0.0);
                    let (old, new) = (out(before), out(before + values[r]));
                    slope += match limits.row_softness[r] {
                        Softness::Hard => 0.0,
                        Softness::Linear(w) => w * (new - old),
                        Softness::Quadratic(w) => w * (new * new - old * old),
                    };
                }
            }
        }
        slope
    }

    /// True where the step is within rounding of nothing: the second derivatives times it are within the tolerance.
    fn is_negligible(&self, standing: &Standing) -> bool {
        let nv = self.now.n + self.now.m;
        let bound = self.settings.tolerance * standing.dual_scale;
        (0..self.tree.n_nodes()).all(|node| {
            let hessian = self.qp.hessian(node);
            let size = self.qp.gradient(node).len();
            let z = &self.step.z[node * nv..node * nv + size];
            (0..size).all(|i| (0..size).map(|j| hessian[i + size * j] * z[j]).sum::<f64>().abs() <= bound)
        })
    }

    /// What the second derivatives of the quadratic problem add to the cost of the whole step.
    pub(super) fn bend(&self) -> f64 {
        let nv = self.now.n + self.now.m;
        let of_node = |node: usize| {
            let size = self.qp.gradient(node).len();
            let z = &self.step.z[node * nv..node * nv + size];
            let columns = self.qp.hessian(node).chunks_exact(size.max(1)).zip(z);
            columns.map(|(column, dz)| dz * column.iter().zip(z).map(|(h, d)| h * d).sum::<f64>()).sum::<f64>()
        };
        0.5 * (0..self.tree.n_nodes()).map(of_node).sum::<f64>()
    }

    /// Writes `trial` = the iterate, so far along the step.
    pub(super) fn follow_step(&mut self, alpha: f64) {
        let blend = |to: &mut [f64], from: &[f64], target: &[f64]| {
            for ((t, &a), &b) in to.iter_mut().zip(from).zip(target) {
                *t = a + alpha * (b - a);
            }
        };
        for ((t, &z), &dz) in self.trial.z.iter_mut().zip(&self.now.z).zip(&self.step.z) {
            *t = z + alpha * dz;
        }
        blend(&mut self.trial.costate, &self.now.costate, &self.step.costate);
        blend(&mut self.trial.box_force, &self.now.box_force, &self.step.box_force);
        blend(&mut self.trial.row_force, &self.now.row_force, &self.step.row_force);
    }

    /// Writes the variables of `trial` = the iterate and the solver's whole step; multipliers stay.
    pub(super) fn follow_solver(&mut self) {
        let (n, m) = (self.now.n, self.now.m);
        for node in 0..self.tree.n_nodes() {
            let at = node * (n + m);
            for (j, dx) in self.solver.state(node).iter().enumerate() {
                self.trial.z[at + j] = self.now.z[at + j] + dx;
            }
            if !self.tree.is_leaf(node) {
                for (j, du) in self.solver.input(node).iter().enumerate() {
                    self.trial.z[at + n + j] = self.now.z[at + n + j] + du;
                }
            }
        }
    }

    /// Finds a step length that the filter accepts; the iterate and its derivatives are then there. A full Gauss–Newton
    /// step is judged by its derivatives, which are needed next in nearly all cases; else they come last.
    fn search(&mut self, standing: &Standing, slope: f64, lagrangian: bool) -> Result<Option<Standing>, StageFailure> {
        let noise = 1e-13 * (1.0 + standing.merit.cost.abs());
        let mut alpha = 1.0;
        if !lagrangian {
            self.follow_step(1.0);
            std::mem::swap(&mut self.now, &mut self.trial);
            if let Ok(next) = self.linearize(false)
                && self.filter.accepts(standing.merit, next.merit, 1.0, slope, noise)
            {
                return Ok(Some(next));
            }
            std::mem::swap(&mut self.now, &mut self.trial);
            alpha = 0.5;
        }
        while alpha >= SHORTEST {
            self.follow_step(alpha);
            let merit = measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None);
            if let Some((merit, _)) = merit {
                if self.filter.accepts(standing.merit, merit, alpha, slope, noise) {
                    std::mem::swap(&mut self.now, &mut self.trial);
                    return self.linearize(lagrangian).map(Some);
                }
                let may_correct = alpha == 1.0 && merit.violation >= standing.merit.violation;
                if may_correct && self.correct(standing, slope, noise) {
                    return self.linearize(lagrangian).map(Some);
                }
            }
            alpha *= 0.5;
        }
        Ok(None)
    }

    /// The second-order correction of a refused full step.
    fn correct(&mut self, standing: &Standing, slope: f64, noise: f64) -> bool {
        let correct = Some((&mut self.qp, &self.step.z[..]));
        if measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, correct).is_none()
            || self.solver.solve(&self.qp, Start::Warm) != QpStatus::Optimal
        {
            return false;
        }
        self.follow_solver();
        match measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None) {
            Some((merit, _)) if self.filter.accepts(standing.merit, merit, 1.0, slope, noise) => {
                std::mem::swap(&mut self.now, &mut self.trial);
                true
            }
            Some(_) | None => false,
        }
    }
}
