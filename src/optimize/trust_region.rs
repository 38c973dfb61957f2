//! A trust-region method for bounded minimization with an approximate Hessian that learns what the approximation
//! leaves out.
//!
//! Each iteration minimizes a quadratic model in the intersection of a ball and the bounds ([`subproblem`]), evaluates
//! the objective there, and moves the radius by the ratio of actual to predicted decrease (Conn, Gould and Toint 2000,
//! *Trust-Region Methods*, algorithm 6.1.1). The model's Hessian is either the one the objective gives (Gauss–Newton,
//! Fisher) or that plus a secant estimate of the rest ([`secant`]); the one that predicted the last step better is
//! used, as in NL2SOL (Dennis, Gay and Welsch 1981, *An adaptive nonlinear least-squares algorithm*, ACM TOMS 7:348,
//! section 5).
//!
//! Bounds are treated by projection and an active set, not by the interior scaling of Coleman and Li (1996, *SIAM J.
//! Optim.* 6:418) that lsqnonlin and fides use. Measured on the STAT5 problem (Boehm et al. 2014; 300 uniform starts in
//! the published bounds, same radius rules and tolerances, 2026-11): projected with the secant model 19 % of the starts
//! reach the optimum in 50 evaluations each; projected Gauss–Newton 14 % in 107; projected with the exact Hessian 15 %
//! in 41; Coleman–Li Gauss–Newton 3–4 % in 114–119, with the exact Hessian 12–13 % in 41. The optimum of that problem
//! lies at two bounds, and an interior method approaches a bound only linearly while it lets go of a wrong one slowly.
//! Over 500 other starts the first of these reaches it from 17 %.
//!
//! Invariant: the iterates stay within the bounds, and the objective never rises from one to the next.

mod secant;
mod subproblem;

use std::sync::atomic::{AtomicBool, Ordering};

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::optimize::{Local, Objective};
use secant::Secant;

/// Settings of [`minimize`]. Steps and the radius are measured in units of the `scale` that is passed beside them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Most iterations, each one evaluation. Default 200.
    pub max_iterations: usize,
    /// Stop when no scaled component of the projected gradient exceeds this. Default 1e-4.
    pub gradient_tolerance: f64,
    /// Stop when three steps in a row changed the objective, and promised to change it, by less than this times
    /// (1 + |objective|). Default 1e-8.
    pub objective_tolerance: f64,
    /// Stop when the radius falls below this. Default 1e-8.
    pub step_tolerance: f64,
    /// First radius. Default 1: one e-fold of a parameter that is searched on the logarithmic scale.
    pub initial_radius: f64,
    /// Largest radius. Default 10.
    pub max_radius: f64,
    /// Learn the part of the Hessian that the objective's approximation leaves out. Default true.
    pub learn_curvature: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_iterations: 200,
            gradient_tolerance: 1e-4,
            objective_tolerance: 1e-8,
            step_tolerance: 1e-8,
            initial_radius: 1.0,
            max_radius: 10.0,
            learn_curvature: true,
        }
    }
}

/// Why a minimization stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The projected gradient is within its tolerance: a stationary point.
    Gradient,
    /// The objective no longer changes beyond its tolerance.
    Objective,
    /// The radius fell below its tolerance: no smaller step improves the objective, usually because the accuracy of
    /// its evaluation is reached.
    Step,
    /// The objective has no value in any direction tried, however short the step.
    Blocked,
    /// The iterations are used up.
    Iterations,
    /// The caller asked to stop.
    Interrupted,
    /// The objective has no value at the start; the minimum's value is +∞.
    StartFailed {
        /// Why.
        reason: String,
    },
}

impl StopReason {
    /// True where the point returned is a minimum as far as the tolerances tell.
    pub fn is_converged(&self) -> bool {
        match self {
            StopReason::Gradient | StopReason::Objective | StopReason::Step => true,
            StopReason::Blocked | StopReason::Iterations | StopReason::Interrupted | StopReason::StartFailed { .. } => {
                false
            }
        }
    }
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopReason::Gradient => f.write_str("gradient within tolerance"),
            StopReason::Objective => f.write_str("objective no longer changes"),
            StopReason::Step => f.write_str("step within tolerance"),
            StopReason::Blocked => f.write_str("no step can be evaluated"),
            StopReason::Iterations => f.write_str("iterations used up"),
            StopReason::Interrupted => f.write_str("interrupted"),
            StopReason::StartFailed { reason } => write!(f, "start failed: {reason}"),
        }
    }
}

/// Which bound a parameter ended at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// At the lower bound.
    Low,
    /// At the upper bound.
    High,
}

/// What a minimization found.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The best point, within the bounds.
    pub theta: Vec<f64>,
    /// Value, gradient and approximate Hessian there; the value is +∞ where the start failed.
    pub local: Local,
    /// Largest scaled component of the projected gradient, `|P(theta − g) − theta|`.
    pub gradient_norm: f64,
    /// For each parameter, the bound it lies on.
    pub at_bounds: Vec<Option<Side>>,
    /// Why it stopped.
    pub stop: StopReason,
    /// Iterations made.
    pub n_iterations: usize,
    /// Evaluations of the objective, the failed ones among them.
    pub n_evaluations: usize,
    /// Evaluations that failed.
    pub n_failures: usize,
    /// Objective after each accepted step, the start first.
    pub history: Vec<f64>,
}

/// The objective at one point in scaled coordinates `z = theta / scale`.
struct Point {
    z: DVector<f64>,
    local: Local,
    gradient: DVector<f64>,
    hessian: DMatrix<f64>,
}

/// The bounds in scaled coordinates.
struct Bounds {
    low: DVector<f64>,
    high: DVector<f64>,
}

impl Bounds {
    /// Largest component of `P(z − g) − z`: zero exactly at a stationary point.
    fn projected_gradient_norm(&self, point: &Point) -> f64 {
        (0..point.z.len()).fold(0.0, |norm: f64, i| {
            let moved = (point.z[i] - point.gradient[i]).min(self.high[i]).max(self.low[i]);
            norm.max((moved - point.z[i]).abs())
        })
    }
}

/// Minimizes `objective` within `low <= theta <= high` from `start` (moved into the bounds where it lies outside).
///
/// All slices have `n_parameters` entries; bounds may be infinite; `scale` holds the positive typical size of a change
/// of each parameter (1 for logarithms). `interrupt` is looked at once per iteration.
///
/// A failed evaluation shrinks the radius as a bad step does; only a failure at the start ends the search, with
/// [`StopReason::StartFailed`].
pub fn minimize(
    objective: &mut dyn Objective,
    low: &[f64],
    high: &[f64],
    scale: &[f64],
    start: &[f64],
    options: &Options,
    interrupt: &AtomicBool,
) -> Minimum {
    let n = start.len();
    let bounds = Bounds {
        low: DVector::from_fn(n, |i, _| low[i] / scale[i]),
        high: DVector::from_fn(n, |i, _| high[i] / scale[i]),
    };
    let mut search = Search { objective, low, high, scale, theta: vec![0.0; n], n_evaluations: 0, n_failures: 0 };
    let z = DVector::from_fn(n, |i, _| (start[i] / scale[i]).min(bounds.high[i]).max(bounds.low[i]));
    let mut point = match search.evaluate(z.clone()) {
        Ok(point) => point,
        Err(reason) => {
            let mut local = Local::zeros(n);
            local.value = f64::INFINITY;
            let failed = Point { z, local, gradient: DVector::zeros(n), hessian: DMatrix::zeros(n, n) };
            return search.minimum(failed, &bounds, StopReason::StartFailed { reason }, 0, Vec::new());
        }
    };

    let mut history = vec![point.local.value];
    let mut secant = Secant::new(n);
    let mut radius = options.initial_radius.min(options.max_radius);
    let mut n_small = 0;
    let mut n_iterations = 0;
    let stop = loop {
        if interrupt.load(Ordering::Relaxed) {
            break StopReason::Interrupted;
        }
        if bounds.projected_gradient_norm(&point) <= options.gradient_tolerance {
            break StopReason::Gradient;
        }
        if n_iterations >= options.max_iterations {
            break StopReason::Iterations;
        }
        n_iterations += 1;

        let model = secant.hessian(&point.hessian);
        let step = subproblem::solve(&model, &point.gradient, &point.z, &bounds.low, &bounds.high, radius);
        let predicted = subproblem::quadratic(&model, &point.gradient, &step);
        let length = step.norm();
        // Rounding can leave nothing to gain: the point is stationary to working accuracy.
        if predicted >= 0.0 || predicted.is_nan() {
            break StopReason::Step;
        }
        let z = DVector::from_fn(n, |i, _| (point.z[i] + step[i]).min(bounds.high[i]).max(bounds.low[i]));
        let trial = search.evaluate(z).ok();
        let has_value = trial.is_some();

        let change = trial.as_ref().map_or(f64::INFINITY, |t| t.local.value - point.local.value);
        let ratio = change / predicted;
        if ratio > 0.75 && length >= 0.9 * radius {
            radius = (2.0 * radius).min(options.max_radius);
        } else if ratio.is_nan() || ratio < 0.25 {
            radius = 0.25 * radius.min(length);
        }
        if let Some(trial) = trial {
            if options.learn_curvature {
                secant.choose(&point.hessian, &point.gradient, &step, change);
            }
            let negligible = options.objective_tolerance * (1.0 + point.local.value.abs());
            n_small = if change.abs().max(-predicted) <= negligible { n_small + 1 } else { 0 };
            if change < 0.0 {
                if options.learn_curvature {
                    secant.update(&step, &(&trial.gradient - &point.gradient), &trial.hessian);
                }
                point = trial;
                history.push(point.local.value);
            }
        }
        if n_small >= 3 {
            break StopReason::Objective;
        }
        if radius < options.step_tolerance {
            break if has_value { StopReason::Step } else { StopReason::Blocked };
        }
    };
    search.minimum(point, &bounds, stop, n_iterations, history)
}

/// The objective with its scaling and its counters.
struct Search<'a> {
    objective: &'a mut dyn Objective,
    low: &'a [f64],
    high: &'a [f64],
    scale: &'a [f64],
    theta: Vec<f64>,
    n_evaluations: usize,
    n_failures: usize,
}

impl Search<'_> {
    /// The objective at scaled coordinates, with scaled derivatives; the reason where it has no finite value.
    fn evaluate(&mut self, z: DVector<f64>) -> Result<Point, String> {
        let n = z.len();
        self.write_theta(&z);
        let mut local = Local::zeros(n);
        self.n_evaluations += 1;
        let reason = match self.objective.evaluate(&self.theta, &mut local) {
            Ok(()) if local.is_finite() => None,
            Ok(()) => Some("the objective or its derivatives are not finite".to_owned()),
            Err(error) => Some(error.reason),
        };
        if let Some(reason) = reason {
            self.n_failures += 1;
            return Err(reason);
        }
        let s = self.scale;
        let gradient = DVector::from_fn(n, |i, _| s[i] * local.gradient[i]);
        let hessian = DMatrix::from_fn(n, n, |i, j| s[i] * local.hessian[j * n + i] * s[j]);
        Ok(Point { z, local, gradient, hessian })
    }

    /// `theta` from scaled coordinates; rounding must not carry it over a bound.
    fn write_theta(&mut self, z: &DVector<f64>) {
        for (i, theta) in self.theta.iter_mut().enumerate() {
            *theta = (z[i] * self.scale[i]).min(self.high[i]).max(self.low[i]);
        }
    }

    fn minimum(
        mut self,
        point: Point,
        bounds: &Bounds,
        stop: StopReason,
        n_iterations: usize,
        history: Vec<f64>,
    ) -> Minimum {
        self.write_theta(&point.z);
        let side = |i: usize| match () {
            () if point.z[i] <= bounds.low[i] => Some(Side::Low),
            () if point.z[i] >= bounds.high[i] => Some(Side::High),
            () => None,
        };
        Minimum {
            at_bounds: (0..point.z.len()).map(side).collect(),
            gradient_norm: bounds.projected_gradient_norm(&point),
            theta: self.theta,
            local: point.local,
            stop,
            n_iterations,
            n_evaluations: self.n_evaluations,
            n_failures: self.n_failures,
            history,
        }
    }
}

#[cfg(test)]
mod tests;
