//! Draws from the distributions that random paths need, each from uniform numbers of the caller's generator.
//!
//! Exponential by inversion; normal in pairs after G. E. P. Box and M. E. Muller, Ann. Math. Stat. 29 (1958) 610; Poisson
//! and binomial by inversion where few are expected, else by transformed rejection after W. Hörmann: The transformed
//! rejection method for generating Poisson random variables, Insur. Math. Econ. 12 (1993) 39 (algorithm PTRS), and The
//! generation of binomial random variates, J. Stat. Comput. Simul. 46 (1993) 101 (algorithm BTRS). All are exact up to the
//! rounding of the logarithms in them.

use super::Rng;
use rand::Rng as _;

/// Expected counts from which on transformed rejection is used; both algorithms ask for 10.
const MANY: f64 = 10.0;

/// An exponential number of mean 1.
#[inline]
pub fn exponential(rng: &mut Rng) -> f64 {
    // 1 − u lies in (0, 1], and ln of the smallest is −36.7.
    -(1.0 - rng.random::<f64>()).ln()
}

/// `out` = independent normal numbers of mean 0 and standard deviation `sd`.
pub fn normals(rng: &mut Rng, sd: f64, out: &mut [f64]) {
    for pair in out.chunks_mut(2) {
        let radius = sd * (2.0 * exponential(rng)).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        pair[0] = radius * cos;
        if let Some(second) = pair.get_mut(1) {
            *second = radius * sin;
        }
    }
}

/// A Poisson number of this mean; not-a-number where the mean is negative or not finite.
pub fn poisson(mean: f64, rng: &mut Rng) -> f64 {
    if !(mean >= 0.0 && mean.is_finite()) {
        return f64::NAN;
    }
    if mean < MANY {
        let (mut left, mut k, mut p) = (rng.random::<f64>(), 0.0, (-mean).exp());
        while left > p && k < 200.0 {
            left -= p;
            k += 1.0;
            p *= mean / k;
        }
        return k;
    }
    let log_mean = mean.ln();
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let log_inverse_alpha = (1.1239 + 1.1328 / (b - 3.4)).ln();
    let v_r = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let (u, v) = (rng.random::<f64>() - 0.5, rng.random::<f64>());
        let u_s = 0.5 - u.abs();
        let k = ((2.0 * a / u_s + b) * u + mean + 0.43).floor();
        if u_s >= 0.07 && v <= v_r {
            return k;
        }
        if k < 0.0 || (u_s < 0.013 && v > u_s) {
            continue;
        }
        let height = v.ln() + log_inverse_alpha - (a / (u_s * u_s) + b).ln();
        if height <= k * log_mean - mean - log_factorial(k) {
            return k;
        }
    }
}

/// How many of `n` (a whole number) happen, each with probability `p`.
pub fn binomial(n: f64, p: f64, rng: &mut Rng) -> f64 {
    if n <= 0.0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(n, 1.0 - p, rng);
    }
    let odds = p / (1.0 - p);
    if n * p < MANY {
        let (mut left, mut k, mut chance) = (rng.random::<f64>(), 0.0, (n * (-p).ln_1p()).exp());
        while left > chance && k < n {
            left -= chance;
            k += 1.0;
            chance *= odds * (n - k + 1.0) / k;
        }
        return k;
    }
    let spread = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * spread;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let alpha = (2.83 + 5.1 / b) * spread;
    let v_r = 0.92 - 4.2 / b;
    let mode = ((n + 1.0) * p).floor();
    let at_mode = log_factorial(mode) + log_factorial(n - mode);
    loop {
        let (u, v) = (rng.random::<f64>() - 0.5, rng.random::<f64>());
        let u_s = 0.5 - u.abs();
        let k = ((2.0 * a / u_s + b) * u + n * p + 0.5).floor();
        if k < 0.0 || k > n {
            continue;
        }
        if u_s >= 0.07 && v <= v_r {
            return k;
        }
        let height = (v * alpha / (a / (u_s * u_s) + b)).ln();
        if height <= at_mode - log_factorial(k) - log_factorial(n - k) + (k - mode) * odds.ln() {
            return k;
        }
    }
}

/// ln k! of a whole number k ≥ 0: the product up to 15, Stirling's series beyond, whose first term left out is below
/// 1e-12 there.
fn log_factorial(k: f64) -> f64 {
    if k < 16.0 {
        let (mut product, mut j) = (1.0, 2.0);
        while j <= k {
            product *= j;
            j += 1.0;
        }
        return product.ln();
    }
    let inverse = 1.0 / k;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (k + 0.5) * k.ln() - k + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn log_factorials_are_sums_of_logarithms() {
        let mut sum = 0.0;
        for k in 1..400 {
            sum += f64::from(k).ln();
            assert!((log_factorial(f64::from(k)) - sum).abs() < 1e-11 * sum.max(1.0), "{k}");
        }
    }

    /// Pearson's statistic over single values with at least 20 expected has the mean `classes` and variance `2 classes`.
    fn assert_follows(draw: impl Fn(&mut Rng) -> f64, log_probability: impl Fn(f64) -> f64, most: usize, what: &str) {
        let n = 200_000;
        let mut rng = stream(11, 0);
        let mut seen = vec![0.0; most + 1];
        for _ in 0..n {
            let k = draw(&mut rng);
            assert!(k >= 0.0 && k.fract() == 0.0, "{what}: {k}");
            seen[(k as usize).min(most)] += 1.0;
        }
        let (mut statistic, mut classes) = (0.0, 0.0);
        for (k, seen) in seen.iter().enumerate().take(most) {
            let expected = f64::from(n) * log_probability(k as f64).exp();
            if expected >= 20.0 {
                statistic += (seen - expected).powi(2) / expected;
                classes += 1.0;
            }
        }
        assert!(classes > 2.0 && statistic < classes + 5.0 * f64::sqrt(2.0 * classes), "{what}: {statistic}/{classes}");
    }

    #[test]
    fn poisson_numbers_follow_their_distribution() {
        for mean in [0.3, 4.0, 9.99, 10.0, 23.5, 400.0] {
            let law = |k: f64| k * f64::ln(mean) - mean - log_factorial(k);
            assert_follows(|rng| poisson(mean, rng), law, 1000, &format!("mean {mean}"));
        }
        let mut rng = stream(1, 0);
        assert_eq!(poisson(0.0, &mut rng), 0.0);
        assert!(poisson(f64::INFINITY, &mut rng).is_nan() && poisson(-1.0, &mut rng).is_nan());
        let large = poisson(1e15, &mut rng);
        assert!((large - 1e15).abs() < 6.0 * 1e15_f64.sqrt(), "{large}");
    }

    #[test]
    fn binomial_numbers_follow_their_distribution() {
        for (n, p) in [(5.0, 0.3), (40.0, 0.2), (40.0, 0.7), (100.0, 0.1), (900.0, 0.37), (1000.0, 0.995)] {
            let law = |k: f64| {
                if k > n {
                    return f64::NEG_INFINITY;
                }
                let choose = log_factorial(n) - log_factorial(k) - log_factorial(n - k);
                choose + k * f64::ln(p) + (n - k) * f64::ln(1.0 - p)
            };
            assert_follows(|rng| binomial(n, p, rng), law, n as usize + 1, &format!("{n} at {p}"));
        }
        let mut rng = stream(1, 0);
        assert_eq!(
            (binomial(7.0, 0.0, &mut rng), binomial(7.0, 1.0, &mut rng), binomial(0.0, 0.5, &mut rng)),
            (0.0, 7.0, 0.0)
        );
    }

    #[test]
    fn normal_and_exponential_numbers_have_their_moments() {
        let mut rng = stream(5, 0);
        let mut values = vec![0.0; 100_001];
        normals(&mut rng, 2.0, &mut values);
        let n = values.len() as f64;
        let moment = |k: i32| values.iter().map(|v| (v / 2.0).powi(k)).sum::<f64>() / n;
        for (k, exact, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            assert!((moment(k) - exact).abs() < 5.0 * f64::sqrt(variance / n), "moment {k}: {}", moment(k));
        }
        // The two of a pair are independent.
        let product: f64 = values.chunks_exact(2).map(|pair| pair[0] * pair[1] / 4.0).sum::<f64>() / (n / 2.0);
        assert!(product.abs() < 5.0 / (n / 2.0).sqrt(), "{product}");
        let waits: Vec<f64> = (0..100_000).map(|_| exponential(&mut rng)).collect();
        let mean = waits.iter().sum::<f64>() / 1e5;
        let above = waits.iter().filter(|w| **w > 3.0).count() as f64 / 1e5;
        assert!((mean - 1.0).abs() < 5.0 / 1e5_f64.sqrt(), "{mean}");
        assert!((above - (-3.0_f64).exp()).abs() < 5.0 * (0.05_f64 / 1e5).sqrt(), "{above}");
    }
}
