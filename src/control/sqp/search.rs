//! The main loop: quadratic problems, line search, second-order correction, and every way to end.

use super::filter::Merit;
use super::linearize::{Standing, measure};
use super::{Outcome, Sqp};
use crate::decide::PlanStatus;
use crate::optimize::stage_qp::{QpStatus, Start};
use crate::system::stages::Softness;

/// Shortest step of a line search before the second derivatives are damped.
const SHORTEST: f64 = 1e-3;
/// Damping, relative to the largest second derivative: the first and the last.
const DAMPING: (f64, f64) = (1e-4, 1e4);
/// Least eigenvalue of a projected second derivative, relative to the largest.
const FLOOR: f64 = 1e-8;

impl Sqp {
    /// Iterates until the plan is optimal or an end is reached.
    pub(super) fn converge(&mut self) -> Outcome {
        let lagrangian = self.is_exact();
        let mut has_forces = self.is_warm;
        let mut started = false;
        self.damping = 0.0;
        if !self.is_warm && lagrangian && knob("BARRIER", 1.0) > 0.0 {
            if !self.approach() {
                return self.failed("the start of the plan has no finite cost or step");
            }
            has_forces = self.iterations > 0;
        }
        loop {
            let standing = match self.linearize(lagrangian) {
                Ok(standing) => standing,
                Err(failure) => return self.failed(&failure.reason),
            };
            if !started {
                self.filter.restart(standing.merit.violation);
                started = true;
            }
            let is_feasible = standing.relative <= self.settings.constraint_tolerance;
            let is_stationary = standing.stationarity <= self.settings.tolerance * standing.dual_scale;
            if has_forces && is_feasible && is_stationary && self.conflict.is_none() {
                return self.ended(PlanStatus::Optimal, &standing);
            }
            if self.iterations >= self.settings.max_iterations {
                return self.ended(PlanStatus::IterationLimit, &standing);
            }
            self.iterations += 1;
            self.conflict = None;
            match self.solve_convex(lagrangian) {
                QpStatus::Optimal | QpStatus::IterationLimit => (),
                QpStatus::Infeasible { node, bounded } => self.note_conflict(node, bounded),
                QpStatus::Indefinite { .. } | QpStatus::NotFinite => {
                    return self.failed("the quadratic problem of a step has no finite solution");
                }
            }
            let slope = self.take_step();
            has_forces = true;
            if is_feasible && self.conflict.is_none() && self.is_negligible(&standing) {
                // The multipliers of the step fit the iterate: it was optimal before the step, and is better after.
                self.follow_step(1.0);
                std::mem::swap(&mut self.now, &mut self.trial);
                let merit = Merit { cost: standing.merit.cost + slope, ..standing.merit };
                return self.ended(PlanStatus::Optimal, &Standing { merit, ..standing });
            }
            if self.search(&standing, slope) {
                self.damping = if self.damping > 10.0 * DAMPING.0 { 0.1 * self.damping } else { 0.0 };
            } else {
                self.damping = (10.0 * self.damping).max(DAMPING.0);
                if self.damping > DAMPING.1 {
                    return self.stalled(&standing);
                }
            }
        }
    }

    /// Where no step is progress.
    fn stalled(&mut self, standing: &Standing) -> Outcome {
        if self.conflict.is_some() {
            return self.ended(PlanStatus::Infeasible, standing);
        }
        self.ended(PlanStatus::Stagnated, standing)
    }

    fn ended(&mut self, status: PlanStatus, standing: &Standing) -> Outcome {
        let is_feasible = standing.relative <= self.settings.constraint_tolerance.max(1e-6);
        let status = match status {
            PlanStatus::Stagnated | PlanStatus::IterationLimit if !is_feasible && self.conflict.is_some() => {
                PlanStatus::Infeasible
            }
            other => other,
        };
        if status == PlanStatus::Infeasible {
            self.tell_conflict(standing.worst);
        } else {
            self.conflict = None;
        }
        Outcome { status, cost: standing.merit.cost, violation: standing.worst }
    }

    /// Solves the quadratic problem; makes it convex where it is not.
    pub(super) fn solve_convex(&mut self, lagrangian: bool) -> QpStatus {
        if self.damping > 0.0 {
            self.damp();
        }
        let start = if self.is_warm || self.iterations > 1 { Start::Warm } else { Start::Cold };
        let mode = knob("CONVEX", 0.0);
        if mode == 1.0 && lagrangian {
            let nv = self.now.n + self.now.m;
            for node in 0..self.tree.n_nodes() {
                let size = if self.tree.is_leaf(node) { self.now.n } else { nv };
                self.convexifier.lift(self.qp.hessian_mut(node), size, knob("FLOOR", 1e-8));
            }
        }
        let mut status = self.solver.solve(&self.qp, start);
        if mode == 2.0 && lagrangian {
            let old = self.damping;
            let mut d = 1e-4;
            while matches!(status, QpStatus::Indefinite{..}) {
                self.damping = d;
                self.damp();
                status = self.solver.solve(&self.qp, start);
                d *= 4.0;
                self.n_convexified += 1;
            }
            self.damping = old;
        }
        match status {
            QpStatus::Indefinite { .. } if lagrangian => (),
            QpStatus::Optimal
            | QpStatus::IterationLimit
            | QpStatus::Infeasible { .. }
            | QpStatus::NotFinite
            | QpStatus::Indefinite { .. } => return status,
        }
        self.n_convexified += 1;
        let nv = self.now.n + self.now.m;
        for node in 0..self.tree.n_nodes() {
            let size = if self.tree.is_leaf(node) { self.now.n } else { nv };
            self.convexifier.lift(self.qp.hessian_mut(node), size, knob("FLOOR", 1e-8));
        }
        self.solver.solve(&self.qp, start)
    }

    /// Adds the damping to all second derivatives.
    fn damp(&mut self) {
        let nv = self.now.n + self.now.m;
        for node in 0..self.tree.n_nodes() {
            let size = if self.tree.is_leaf(node) { self.now.n } else { nv };
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
            let is_leaf = self.tree.is_leaf(node);
            let step = &mut self.step;
            let z = &mut step.z[node * nv..(node + 1) * nv];
            z[..n].copy_from_slice(self.solver.state(node));
            let force = &mut step.box_force[node * nv..(node + 1) * nv];
            let (lower, upper) = (self.solver.x_lower_multipliers(node), self.solver.x_upper_multipliers(node));
            for j in 0..n {
                force[j] = upper[j] - lower[j];
            }
            if !is_leaf {
                z[n..].copy_from_slice(self.solver.input(node));
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

    /// Finds a step length that the filter accepts; the iterate is then there.
    fn search(&mut self, standing: &Standing, slope: f64) -> bool {
        let noise = 1e-13 * (1.0 + standing.merit.cost.abs());
        let mut alpha = 1.0;
        while alpha >= SHORTEST {
            self.follow_step(alpha);
            let merit = measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None);
            if knob("DBG", 0.0) > 0.0 { eprintln!("  {} alpha {alpha} {merit:?} from {:?} slope {slope} stat {:e} rel {:e} damp {:e} qp {:?}", self.iterations, standing.merit, standing.stationarity/standing.dual_scale, standing.relative, self.damping, self.solver.statistics()); }
            if let Some(merit) = merit {
                if self.filter.accepts(standing.merit, merit, alpha, slope, noise) {
                    std::mem::swap(&mut self.now, &mut self.trial);
                    return true;
                }
                if alpha == 1.0 && merit.violation >= standing.merit.violation && self.correct(standing, slope, noise) {
                    return true;
                }
            }
            alpha *= 0.5;
        }
        false
    }

    /// The second-order correction of a refused full step; leaves the step as it was where it is refused too.
    fn correct(&mut self, standing: &Standing, slope: f64, noise: f64) -> bool {
        let correct = Some((&mut self.qp, &self.step.z[..]));
        if measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, correct).is_none() {
            return false;
        }
        match self.solver.solve(&self.qp, Start::Warm) {
            QpStatus::Optimal => (),
            QpStatus::IterationLimit
            | QpStatus::Infeasible { .. }
            | QpStatus::Indefinite { .. }
            | QpStatus::NotFinite => return false,
        }
        self.follow_solver();
        match measure(self.problem.as_mut(), &self.tree, &self.trial, &mut self.scratch, None) {
            Some(merit) if self.filter.accepts(standing.merit, merit, 1.0, slope, noise) => {
                std::mem::swap(&mut self.now, &mut self.trial);
                true
            }
            Some(_) | None => false,
        }
    }
}

pub(super) fn knob(name: &str, default: f64) -> f64 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default) }
