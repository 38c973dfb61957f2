//! x^y of a positive base, without branches so that loops over it become vector code: e^(y ln x), the logarithm carried
//! with some 15 bits more than a number has.
//!
//! Reductions by tables after P. T. P. Tang, "Table-driven implementation of the logarithm function in IEEE
//! floating-point arithmetic", ACM Trans. Math. Softw. 16 (1990), and "Table-driven implementation of the exponential
//! function", 15 (1989); sums and products with their rounding errors after T. J. Dekker, Numer. Math. 18 (1971). The
//! polynomial of the logarithm interpolates at Chebyshev points (error of ln 2⁻⁷²), that of the exponential is Taylor's.
//! Errors are measured in `tests/jit/power.rs`.
//!
//! Unlike [`super::elementary`] this uses fused multiply-adds, by name: a rounding error costs one instruction instead
//! of seventeen, without which the slice would not be faster than the library. The fused product is rounded once
//! on every machine, so the bits are the same where it is emulated, only much slower.

mod tables;

use super::elementary::{LN2_HIGH, LN2_LOW, ROUND};
use tables::{FIRST, LOGARITHMS, POWERS};

/// x^y, or not-a-number where the short way does not lead: unless 2⁻¹⁰²² ≤ x < ∞ and |y ln x| < 700, or x = +0 and
/// y > 0.
#[inline(always)]
pub fn pow_short(x: f64, y: f64) -> f64 {
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    // x = 2^k m with m in 181/256 .. 181/128; k is turned into a float through the bits of 2^52.
    let moved = x.to_bits().wrapping_sub(FIRST).wrapping_add(1023 << 52);
    let k = f64::from_bits((moved >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let m = f64::from_bits((moved & 0x000f_ffff_ffff_ffff).wrapping_add(FIRST));
    let [inverse, log, log_rest] = LOGARITHMS[(moved >> 45) as usize & 127];

    // ln x = k ln 2 − ln c + ln(1 + r). Exact: r (|r| < 2⁻⁷, a multiple of 2⁻⁶⁰), and the leading sum, a multiple of 2⁻⁴².
    let r = m.mul_add(inverse, -1.0);
    let leading = k.mul_add(LN2_HIGH, log);
    let so_far = leading + r;
    let so_far_rest = k.mul_add(LN2_LOW, log_rest) + ((leading - so_far) + r);
    // ln(1 + r) = r − r²/2 + r³ q(r)
    let half = -0.5 * r;
    let square = half * r;
    let high = so_far + square;
    let high_rest = half.mul_add(r, -square) + ((so_far - high) + square);
    let r2 = r * r;
    let a = r.mul_add(-0.250_000_000_000_002_5, 1.0 / 3.0);
    let b = r.mul_add(-0.166_666_666_340_676_8, 0.200_000_000_000_002_26);
    let c = r.mul_add(-0.125_010_681_831_472_2, 0.142_857_142_560_788_08);
    let q = r2.mul_add(r2.mul_add(r2.mul_add(0.111_120_821_876_493_64, c), b), a);
    let low = (r2 * r).mul_add(q, so_far_rest + high_rest);
    let log = high + low;
    let log_rest = (high - log) + low;

    // y ln x with its rest, and n = 128 y ln x / ln 2 rounded; n is in the low bits of `rounded`.
    let exponent = y * log;
    let exponent_rest = y.mul_add(log, -exponent) + y * log_rest;
    let rounded = exponent.mul_add(128.0 * std::f64::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let near = n.mul_add(-LN2_LOW / 128.0, n.mul_add(-LN2_HIGH / 128.0, exponent)) + exponent_rest;
    let (bits, rest) = POWERS[rounded.to_bits() as usize & 127];
    let scale = f64::from_bits(bits.wrapping_add(rounded.to_bits() << 45));
    let near2 = near * near;
    let upper = near.mul_add(1.0 / 120.0, 1.0 / 24.0);
    let lower = near.mul_add(1.0 / 6.0, 0.5);
    let tail = near2.mul_add(near2.mul_add(upper, lower), near + rest);
    let power = scale.mul_add(tail, scale);

    let is_short = (exponent.abs() < 700.0) & (f64::MIN_POSITIVE..f64::INFINITY).contains(&x);
    let power = if is_short { power } else { f64::NAN };
    // By bits, since −0 is not +0 here.
    if (x.to_bits() == 0) & (y > 0.0) { 0.0 } else { power }
}

/// x^y for all numbers: the library's where the short way does not lead.
#[inline(always)]
pub fn pow(x: f64, y: f64) -> f64 {
    let power = pow_short(x, y);
    if power.is_nan() { x.powf(y) } else { power }
}

/// Replaces every base by its power, four at once where there are as many; `exponents` is as long as `bases`.
#[inline(always)]
pub fn pow_loop(bases: &mut [f64], exponents: &[f64]) {
    let (fours, others) = bases.as_chunks_mut::<4>();
    let (four_exponents, other_exponents) = exponents.as_chunks::<4>();
    for (x, y) in fours.iter_mut().zip(four_exponents) {
        let mut powers = [0.0; 4];
        for lane in 0..4 {
            powers[lane] = pow_short(x[lane], y[lane]);
        }
        if powers.iter().fold(false, |is_any, power| is_any | power.is_nan()) {
            mend(&mut powers, x, y);
        }
        *x = powers;
    }
    for (x, y) in others.iter_mut().zip(other_exponents) {
        *x = pow(*x, *y);
    }
}

#[cold]
#[inline(never)]
fn mend(powers: &mut [f64; 4], x: &[f64; 4], y: &[f64; 4]) {
    for ((power, x), y) in powers.iter_mut().zip(x).zip(y) {
        if power.is_nan() {
            *power = x.powf(*y);
        }
    }
}
