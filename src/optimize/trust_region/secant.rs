//! A secant estimate of the part of the Hessian that a Gauss–Newton matrix leaves out, and the choice between the
//! two models.
//!
//! For a Hessian `C + A` with `C` given and `A` unknown, the structured secant condition after a step `s` is
//! `A₊ s = y − C₊ s`, with `y` the change of the gradient (Dennis, Martínez and Tapia 1989, *J. Optim. Theory Appl.*
//! 61:161). The update with `y` as scaling vector, the sizing of `A` before it, and the adaptive choice of model are
//! those of NL2SOL (Dennis, Gay and Welsch 1981, ACM TOMS 7:348, sections 3 to 5).

use nalgebra::{DMatrix, DVector};

use super::subproblem::quadratic;

/// How much better the other model must have predicted before it takes over; as in NL2SOL.
const SWITCH_FACTOR: f64 = 1.5;

/// The estimate `A` and whether it is in use.
pub(super) struct Secant {
    correction: DMatrix<f64>,
    is_used: bool,
}

impl Secant {
    /// A zero estimate for `n` parameters, not in use.
    pub(super) fn new(n: usize) -> Self {
        Secant { correction: DMatrix::zeros(n, n), is_used: false }
    }

    /// The model's Hessian: `given`, or `given` plus the estimate.
    pub(super) fn hessian(&self, given: &DMatrix<f64>) -> DMatrix<f64> {
        if self.is_used { given + &self.correction } else { given.clone() }
    }

    /// Takes the model that predicted the `change` of the objective over `step` better.
    pub(super) fn choose(&mut self, given: &DMatrix<f64>, gradient: &DVector<f64>, step: &DVector<f64>, change: f64) {
        let plain = (quadratic(given, gradient, step) - change).abs();
        let corrected = (quadratic(&(given + &self.correction), gradient, step) - change).abs();
        let (current, other) = if self.is_used { (corrected, plain) } else { (plain, corrected) };
        if SWITCH_FACTOR * other < current {
            self.is_used = !self.is_used;
        }
    }

    /// Makes the estimate fulfil the secant condition of an accepted step; `given` is the matrix at its end.
    pub(super) fn update(&mut self, step: &DVector<f64>, gradient_change: &DVector<f64>, given: &DMatrix<f64>) {
        let target = gradient_change - given * step;
        let curvature = step.dot(&(&self.correction * step)).abs();
        if curvature > 0.0 {
            self.correction *= (step.dot(&target).abs() / curvature).min(1.0);
        }
        // The update divides by yᵀs; where that is not clearly positive the old estimate is the better one.
        let y = gradient_change;
        let ys = y.dot(step);
        if ys <= 1e-10 * y.norm() * step.norm() {
            return;
        }
        let residual = target - &self.correction * step;
        let weight = residual.dot(step) / (ys * ys);
        self.correction += (&residual * y.transpose() + y * residual.transpose()) / ys - y * y.transpose() * weight;
    }
}
