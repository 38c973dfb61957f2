//! exp, ln, tanh, sin and cos of one number, written without branches so that loops over them become vector code.
//!
//! Reductions after W. J. Cody and W. Waite, *Software Manual for the Elementary Functions* (1980). The polynomials
//! of ln, sin and cos, and the constants split for exact reduction, are those of FDLIBM 5.3 (Sun Microsystems, 1993:
//! `e_log.c`, `k_sin.c`, `k_cos.c`, `e_rem_pio2.c`); exp uses its Taylor polynomial of degree 13, whose remainder on
//! |r| ≤ ln(2)/2 is below 2⁻⁵⁷. Errors are measured in `tests/jit/math.rs`.

/// Adding 1.5 · 2⁵² rounds to the nearest integer (ties to even) and leaves it in the low bits of the sum.
pub(super) const ROUND: f64 = 6_755_399_441_055_744.0;
pub(super) const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
pub(super) const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// 2^k for an integer k in −1022 ..= 1023, given as the float `k + ROUND`.
#[inline(always)]
fn power_of_two(k_rounded: f64) -> f64 {
    f64::from_bits(k_rounded.to_bits().wrapping_add(1023) << 52)
}

/// The nearest integer k to x/ln 2 (as a float), and e^r − 1 for r = x − k ln 2 as a sum of two terms, of which the
/// second is smaller than the first.
#[inline(always)]
fn exp_reduced(x: f64) -> (f64, f64, f64) {
    let k = (x * std::f64::consts::LOG2_E + ROUND) - ROUND;
    // k · LN2_HIGH is exact for |k| < 2^20, and so is the first difference.
    let high = x - k * LN2_HIGH;
    let low = k * LN2_LOW;
    let r = high - low;
    let r_error = (high - r) - low;
    let r2 = r * r;
    let r4 = r2 * r2;
    let r8 = r4 * r4;
    // Σ r^(n−2)/n! for n = 2 ..= 13, by Estrin's scheme.
    let a = (1.0 / 2.0) + r * (1.0 / 6.0);
    let b = (1.0 / 24.0) + r * (1.0 / 120.0);
    let c = (1.0 / 720.0) + r * (1.0 / 5_040.0);
    let d = (1.0 / 40_320.0) + r * (1.0 / 362_880.0);
    let e = (1.0 / 3_628_800.0) + r * (1.0 / 39_916_800.0);
    let f = (1.0 / 479_001_600.0) + r * (1.0 / 6_227_020_800.0);
    let q = ((a + r2 * b) + r4 * (c + r2 * d)) + r8 * (e + r2 * f);
    // e^(r + r_error) − 1 = r + (r² q + r_error (1 + r)) to first order in r_error.
    (k, r, r2 * q + (r_error + r_error * r))
}

/// e^x.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    // Beyond ±1000 the scaling below overflows or underflows by itself; not-a-number passes both comparisons.
    let x = if x > 1000.0 { 1000.0 } else { x };
    let x = if x < -1000.0 { -1000.0 } else { x };
    let (k, r, rest) = exp_reduced(x);
    // Scaling by 2^k in two steps keeps both factors normal, so that a subnormal result is rounded once.
    let first = k * 0.5 + ROUND;
    let second = (k - (first - ROUND)) + ROUND;
    ((1.0 + (r + rest)) * power_of_two(first)) * power_of_two(second)
}

/// Natural logarithm.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const TWO_54: f64 = 18_014_398_509_481_984.0;
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    let is_small = x < f64::MIN_POSITIVE;
    let scaled = if is_small { x * TWO_54 } else { x };
    let shift = if is_small { 1023.0 + 54.0 } else { 1023.0 };
    // x = 2^k m with m in √½ .. √2; the biased exponent is turned into a float through the bits of 2^52.
    let moved = scaled.to_bits().wrapping_sub(SQRT_HALF).wrapping_add(1023 << 52);
    let k = (f64::from_bits((moved >> 52) | TWO_52.to_bits()) - TWO_52) - shift;
    let m = f64::from_bits((moved & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = z
        * (6.666_666_666_666_735e-1
            + w * (2.857_142_874_366_239e-1 + w * (1.818_357_216_161_805e-1 + w * 1.479_819_860_511_658_6e-1)));
    let even = w * (3.999_999_999_940_942e-1 + w * (2.222_219_843_214_978_4e-1 + w * 1.531_383_769_920_937_3e-1));
    let half = 0.5 * f * f;
    let y = k * LN2_HIGH - ((half - (s * (half + (odd + even)) + k * LN2_LOW)) - f);
    let y = if x == f64::INFINITY { f64::INFINITY } else { y };
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    // False for negative numbers and for not-a-number.
    if x >= 0.0 { y } else { f64::NAN }
}

/// Hyperbolic tangent: (e^2|x| − 1)/(e^2|x| + 1) with the sign of x.
#[inline(always)]
pub fn tanh(x: f64) -> f64 {
    // tanh 22 rounds to 1; not-a-number passes the comparison.
    let a = x.abs();
    let a = if a > 22.0 { 22.0 } else { a };
    let (k, r, rest) = exp_reduced(2.0 * a);
    let em1 = r + rest;
    let em1_error = (r - em1) + rest;
    // m = e^2a − 1 = 2^k (e^r − 1) + (2^k − 1) with its rounding error (Knuth's two-sum); both terms are exact.
    let scale = power_of_two(k + ROUND);
    let (b, c) = (scale * em1, scale - 1.0);
    let m = b + c;
    let from_b = m - c;
    let m_error = ((b - from_b) + (c - (m - from_b))) + scale * em1_error;
    // m/(m + 2), and what the errors of both sides change in it.
    let bottom = m + 2.0;
    let bottom_error = if m > 2.0 { (m - bottom) + 2.0 } else { (2.0 - bottom) + m };
    let y = m / bottom;
    (y + ((1.0 - y) * m_error - y * bottom_error) / bottom).copysign(x)
}

/// True where [`sin`] and [`cos`] may be used: |x| ≤ 2²⁰ (false for infinities and not-a-number).
#[inline(always)]
pub fn is_in_short_reduction(x: f64) -> bool {
    x.abs() <= 1_048_576.0
}

/// Sine for |x| ≤ 2²⁰; see [`is_in_short_reduction`].
#[inline(always)]
pub fn sin(x: f64) -> f64 {
    let (k, r, r_error) = quarter_turns(x);
    let y = sin_or_cos(k, r, r_error);
    // The sum of quarters would turn −0 into 0.
    if x == 0.0 { x } else { y }
}

/// Cosine for |x| ≤ 2²⁰; see [`is_in_short_reduction`].
#[inline(always)]
pub fn cos(x: f64) -> f64 {
    let (k, r, r_error) = quarter_turns(x);
    sin_or_cos(k.wrapping_add(1), r, r_error)
}

/// x = k π/2 + r + r_error with |r| ≤ π/4; the low bits of the first result are k modulo 4.
#[inline(always)]
fn quarter_turns(x: f64) -> (u64, f64, f64) {
    // π/2 as 33 + 33 + 53 bits: k times the first two is exact for |k| < 2^20.
    const HALF_PI_1: f64 = f64::from_bits(0x3ff9_21fb_5440_0000);
    const HALF_PI_2: f64 = f64::from_bits(0x3dd0_b461_1a60_0000);
    const HALF_PI_3: f64 = f64::from_bits(0x3ba3_198a_2e03_7073);
    let rounded = x * std::f64::consts::FRAC_2_PI + ROUND;
    let k = rounded - ROUND;
    let a = x - k * HALF_PI_1;
    let b = k * HALF_PI_2;
    let high = a - b;
    // Exact error of a − b (Knuth's two-sum), since k π/2 may be close to x.
    let virtual_b = a - high;
    let high_error = (a - (high + virtual_b)) + (virtual_b - b);
    let tail = high_error - k * HALF_PI_3;
    let r = high + tail;
    (rounded.to_bits(), r, (high - r) + tail)
}

/// sin(r + k π/2) for |r| ≤ π/4.
#[inline(always)]
fn sin_or_cos(k: u64, r: f64, r_error: f64) -> f64 {
    let z = r * r;
    let s = 8.333_333_333_322_49e-3
        + z * (-1.984_126_982_985_795e-4
            + z * (2.755_731_370_707_006_8e-6 + z * (-2.505_076_025_340_686_3e-8 + z * 1.589_690_995_211_55e-10)));
    let cubed = z * r;
    let sine = r - ((z * (0.5 * r_error - cubed * s) - r_error) - cubed * -1.666_666_666_666_663_2e-1);
    let c = z
        * (4.166_666_666_666_66e-2
            + z * (-1.388_888_888_887_411e-3
                + z * (2.480_158_728_947_673e-5
                    + z * (-2.755_731_435_139_066_3e-7
                        + z * (2.087_572_321_298_175e-9 + z * -1.135_964_755_778_819_5e-11)))));
    let half = 0.5 * z;
    let w = 1.0 - half;
    let cosine = w + (((1.0 - w) - half) + (z * c - r * r_error));
    let y = if k & 1 == 0 { sine } else { cosine };
    f64::from_bits(y.to_bits() ^ ((k & 2) << 62))
}
