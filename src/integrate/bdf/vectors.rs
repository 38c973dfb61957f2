//! The loops over vectors between two evaluations of the field, each one pass over its operands.

use crate::integrate::lanes::{Lanes, WIDTH, across};

/// Sums of squares of a correction in units of the tolerance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// Of the last increment.
    pub increment: f64,
    /// Of all increments together.
    pub total: f64,
}

/// `weights` = reciprocals of the tolerances at the larger of two values.
pub(super) fn weigh(rtol: f64, atol: &[Lanes], y: &[Lanes], weights: &mut [Lanes]) {
    for ((weights, atol), y) in weights.iter_mut().zip(atol).zip(y) {
        for i in 0..WIDTH {
            weights[i] = 1.0 / (atol[i] + rtol * y[i].abs()).max(f64::MIN_POSITIVE);
        }
    }
}

/// `r`, which is the field, becomes `r - slope - shift delta`; `delta` is not read where it is zero.
pub(super) fn residual(r: &mut [Lanes], slope: &[Lanes], shift: f64, delta: &[Lanes], is_first: bool) {
    if is_first {
        for (r, slope) in r.iter_mut().zip(slope) {
            for i in 0..WIDTH {
                r[i] -= slope[i];
            }
        }
        return;
    }
    for ((r, slope), delta) in r.iter_mut().zip(slope).zip(delta) {
        for i in 0..WIDTH {
            r[i] -= slope[i] + shift * delta[i];
        }
    }
}

/// The first increment: `delta = factor r`, `y += delta`.
pub(super) fn first_correction(
    factor: f64,
    r: &[Lanes],
    weights: &[Lanes],
    y: &mut [Lanes],
    delta: &mut [Lanes],
) -> Sums {
    let mut sum = [0.0; WIDTH];
    for (((r, weights), y), delta) in r.iter().zip(weights).zip(y).zip(delta) {
        for i in 0..WIDTH {
            let increment = factor * r[i];
            delta[i] = increment;
            y[i] += increment;
            sum[i] += (increment * weights[i]).powi(2);
        }
    }
    let increment = across(sum);
    Sums { increment, total: increment }
}

/// A further increment: `delta += factor r`, `y += factor r`.
pub(super) fn correct(factor: f64, r: &[Lanes], weights: &[Lanes], y: &mut [Lanes], delta: &mut [Lanes]) -> Sums {
    let (mut sum, mut total) = ([0.0; WIDTH], [0.0; WIDTH]);
    for (((r, weights), y), delta) in r.iter().zip(weights).zip(y).zip(delta) {
        for i in 0..WIDTH {
            let increment = factor * r[i];
            delta[i] += increment;
            y[i] += increment;
            sum[i] += (increment * weights[i]).powi(2);
            total[i] += (delta[i] * weights[i]).powi(2);
        }
    }
    Sums { increment: across(sum), total: across(total) }
}

/// The sum of squares of `value(k)` in units of the tolerance.
pub(super) fn sum_of_squares(weights: &[Lanes], value: impl Fn(usize) -> Lanes) -> f64 {
    let mut sum = [0.0; WIDTH];
    for (k, weights) in weights.iter().enumerate() {
        let value = value(k);
        for i in 0..WIDTH {
            sum[i] += (value[i] * weights[i]).powi(2);
        }
    }
    across(sum)
}
