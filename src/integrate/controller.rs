//! How long the next step is: the scaled norm of an error, a proportional–integral controller, and the first step.
//!
//! Hairer, Nørsett and Wanner 1993, Solving Ordinary Differential Equations I, section II.4 (norm, first step); Hairer
//! and Wanner 1996, volume II, section IV.2 (the proportional–integral controller and its exponents).

use super::field::Field;
use super::meeting::Meeting;
use std::sync::Arc;

/// Factor that keeps the next step from being rejected.
const SAFETY: f64 = 0.9;
/// A step shrinks at most to this share ...
const SMALLEST: f64 = 0.2;
/// ... and grows at most by this factor.
const LARGEST: f64 = 8.0;
/// Rodas5P's embedded solution is of order 4, so the error of a step goes with its fifth power ...
pub(super) const EXPONENT: f64 = 0.2;
/// ... and the previous error has this weight in the exponent.
pub(super) const BETA: f64 = 0.04;

/// Tolerances, one absolute for each state.
#[derive(Debug, Clone, Default)]
pub(super) struct Norm {
    pub rtol: f64,
    pub atol: Vec<f64>,
    pub with_sensitivities: bool,
    /// Where other threads carry the same state with further directions.
    pub meeting: Option<Arc<Meeting>>,
}

impl Norm {
    /// The largest of the numbers that all threads with this state have.
    pub fn agree(&self, value: f64) -> f64 {
        self.meeting.as_ref().map_or(value, |meeting| meeting.agree(value))
    }

    /// True where another thread with this state has ended without success.
    pub fn is_left(&self) -> bool {
        self.meeting.as_ref().is_some_and(|meeting| meeting.is_broken())
    }

    /// The error of a step in units of the tolerance: the largest root mean square over the state and each
    /// sensitivity, of all threads. Infinite where something is not finite.
    pub fn of(&self, error: &[f64], z: &[f64], z_new: &[f64], scales: &[f64]) -> f64 {
        self.agree(self.of_own(error, z, z_new, scales))
    }

    fn of_own(&self, error: &[f64], z: &[f64], z_new: &[f64], scales: &[f64]) -> f64 {
        let n = self.atol.len();
        let mut largest: f64 = 0.0;
        let m = scales.len();
        let blocks = if self.with_sensitivities { 1 + m } else { 1 };
        for block in 0..blocks {
            // A sensitivity times the size of theta compares with the state.
            let scale = if block == 0 { 1.0 } else { scales[block - 1] };
            let mut sum = 0.0;
            for i in 0..n {
                let k = if block == 0 { i } else { n + i * m + block - 1 };
                let tolerance = self.atol[i] + self.rtol * scale * z[k].abs().max(z_new[k].abs());
                let ratio = scale * error[k] / tolerance.max(f64::MIN_POSITIVE);
                sum += ratio * ratio;
            }
            let norm = (sum / n.max(1) as f64).sqrt();
            if !norm.is_finite() {
                return f64::INFINITY;
            }
            largest = largest.max(norm);
        }
        if z_new.iter().all(|v| v.is_finite()) { largest } else { f64::INFINITY }
    }

    /// The state with the largest scaled error.
    pub fn worst_state(&self, error: &[f64], z: &[f64]) -> usize {
        let ratio = |i: usize| error[i].abs() / (self.atol[i] + self.rtol * z[i].abs()).max(f64::MIN_POSITIVE);
        (0..self.atol.len()).fold(0, |worst, i| if ratio(i) > ratio(worst) { i } else { worst })
    }

    fn of_state(&self, value: impl Fn(usize) -> f64, x: &[f64]) -> f64 {
        let n = self.atol.len();
        let sum: f64 =
            (0..n).map(|i| (value(i) / (self.atol[i] + self.rtol * x[i].abs()).max(f64::MIN_POSITIVE)).powi(2)).sum();
        (sum / n.max(1) as f64).sqrt()
    }
}

/// The proportional–integral controller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Controller {
    exponent: f64,
    beta: f64,
    previous: f64,
    was_rejected: bool,
}

impl Controller {
    /// For a formula whose error goes with the power `1/exponent` of the step, `beta` being the weight of the previous
    /// error.
    pub fn new(exponent: f64, beta: f64) -> Self {
        Controller { exponent, beta, previous: 1e-4, was_rejected: false }
    }

    /// The factor to the next step after an accepted one with scaled error `norm`.
    pub fn accept(&mut self, norm: f64) -> f64 {
        let factor = SAFETY * norm.max(1e-10).powf(0.75 * self.beta - self.exponent) * self.previous.powf(self.beta);
        let limit = if self.was_rejected { 1.0 } else { LARGEST };
        self.previous = norm.max(1e-4);
        self.was_rejected = false;
        factor.clamp(SMALLEST, limit)
    }

    /// The factor to the next attempt after a rejected step.
    pub fn reject(&mut self, norm: f64) -> f64 {
        self.was_rejected = true;
        if norm.is_finite() { (SAFETY * norm.powf(-self.exponent)).clamp(SMALLEST, SAFETY) } else { SMALLEST }
    }
}

/// Where a step of about the wanted length from `t` ends: at `stop` if that is near, and never just before it.
pub(super) fn end_of_step(t: f64, wanted: f64, stop: f64) -> f64 {
    let remaining = stop - t;
    // Time advances, however short the step that is wanted.
    let wanted = wanted.max(4.0 * f64::EPSILON * t.abs());
    if wanted >= remaining * (1.0 - 1e-9) {
        stop
    } else if 2.0 * wanted > remaining {
        t + 0.5 * remaining
    } else {
        t + wanted
    }
}

/// The length of a first step from `(t, x)`, at most `longest`, of a formula whose error goes with its power
/// `1/exponent`; `f0`, `x1` and `f1` are scratch of `n_states`.
pub(super) fn first_step(
    field: &mut Field<'_>,
    norm: &Norm,
    t: f64,
    x: &[f64],
    longest: f64,
    exponent: f64,
    [f0, x1, f1]: [&mut [f64]; 3],
) -> f64 {
    let n = field.n;
    field.rhs(t, x, f0);
    let d0 = norm.of_state(|i| x[i], x);
    let d1 = norm.of_state(|i| f0[i], x);
    let probe = if d0 < 1e-5 || d1 < 1e-5 { 1e-6 * longest } else { 0.01 * d0 / d1 };
    let probe = if probe.is_finite() { probe.min(longest) } else { 1e-6 * longest };
    for i in 0..n {
        x1[i] = x[i] + probe * f0[i];
    }
    field.rhs(t + probe, x1, f1);
    let d2 = norm.of_state(|i| f1[i] - f0[i], x) / probe;
    let step = if !d2.is_finite() {
        1e-3 * probe
    } else if d1.max(d2) <= 1e-15 {
        (1e-3 * probe).max(1e-3 * longest)
    } else {
        (0.01 / d1.max(d2)).powf(exponent)
    };
    step.min(100.0 * probe).min(longest)
}
