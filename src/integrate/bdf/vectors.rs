//! The loops over vectors between two evaluations of the field, each one pass over its operands.

use crate::integrate::lanes::{Lanes, WIDTH, ZERO, across};

/// Norms of a correction in units of the tolerance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Of the last increment.
    pub increment: f64,
    /// Of all increments together.
    pub total: f64,
}

/// A component is near zero where its size in units of the tolerance lies between these: smaller ones are rounding, and
/// the sign of larger ones is beyond doubt. Over the tolerances of tests/integrate/tolerances.rs Robertson's problem is
/// lost at times with 10 for the second, and never with 30 or 100.
const UNCERTAIN: (f64, f64) = (1e-3, 100.0);

/// A norm of squares over `n` components: their root mean square, or half of the largest where that is more. The mean
/// alone would allow one moving front an error that grows with the number of states at rest around it.
#[derive(Debug, Clone, Copy)]
struct Square {
    sum: Lanes,
    largest: Lanes,
}

impl Square {
    const NONE: Square = Square { sum: ZERO, largest: ZERO };

    #[inline(always)]
    fn add(&mut self, i: usize, value: f64) {
        let square = value * value;
        self.sum[i] += square;
        self.largest[i] = if square > self.largest[i] { square } else { self.largest[i] };
    }

    fn norm(self, n: usize) -> f64 {
        let mean = across(self.sum) / n.max(1) as f64;
        let largest = self.largest.iter().fold(0.0, |a: f64, b| a.max(*b));
        // Written so that a mean which is not a number stays one.
        if 0.25 * largest > mean { 0.5 * largest.sqrt() } else { mean.sqrt() }
    }
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

/// The first increment: `delta = factor r`, `y += delta`. Returns its norm over `n` components.
pub(super) fn first_correction(
    n: usize,
    factor: f64,
    r: &[Lanes],
    weights: &[Lanes],
    y: &mut [Lanes],
    delta: &mut [Lanes],
) -> Sizes {
    let mut square = Square::NONE;
    for (((r, weights), y), delta) in r.iter().zip(weights).zip(y).zip(delta) {
        for i in 0..WIDTH {
            let increment = factor * r[i];
            delta[i] = increment;
            y[i] += increment;
            square.add(i, increment * weights[i]);
        }
    }
    let increment = square.norm(n);
    Sizes { increment, total: increment }
}

/// A further increment: `delta += factor r`, `y += factor r`. Returns the norms over `n` components.
pub(super) fn correct(
    n: usize,
    factor: f64,
    r: &[Lanes],
    weights: &[Lanes],
    y: &mut [Lanes],
    delta: &mut [Lanes],
) -> Sizes {
    let (mut last, mut total) = (Square::NONE, Square::NONE);
    for (((r, weights), y), delta) in r.iter().zip(weights).zip(y).zip(delta) {
        for i in 0..WIDTH {
            let increment = factor * r[i];
            delta[i] += increment;
            y[i] += increment;
            last.add(i, increment * weights[i]);
            total.add(i, delta[i] * weights[i]);
        }
    }
    Sizes { increment: last.norm(n), total: total.norm(n) }
}

/// The norm over `n` components of `value(k)` in units of the tolerance.
pub(super) fn norm(n: usize, weights: &[Lanes], value: impl Fn(usize) -> Lanes) -> f64 {
    let mut square = Square::NONE;
    for (k, weights) in weights.iter().enumerate() {
        let value = value(k);
        for i in 0..WIDTH {
            square.add(i, value[i] * weights[i]);
        }
    }
    square.norm(n)
}

/// `out` = the components of `y` that have changed their sign since `before(k)` and lie near zero, zero for all others.
/// Returns whether there are any.
pub(super) fn crossings(weights: &[Lanes], y: &[Lanes], before: impl Fn(usize) -> Lanes, out: &mut [Lanes]) -> bool {
    let mut any = false;
    for (k, ((weights, y), out)) in weights.iter().zip(y).zip(out).enumerate() {
        let before = before(k);
        for i in 0..WIDTH {
            let size = (y[i] * weights[i]).abs();
            let is_lost = y[i] * before[i] < 0.0 && size > UNCERTAIN.0 && size < UNCERTAIN.1;
            out[i] = if is_lost { y[i] } else { 0.0 };
            any |= is_lost;
        }
    }
    any
}
