//! The stability limit of the high orders: found in the error of the steps, and heeded by the choice of the order.
//!
//! The formulas of order 3 to 5 amplify modes whose eigenvalue lies too near the imaginary axis (Hairer and Wanner
//! 1996, volume II, section V.2). Where such a mode holds the step down, a correction `d` consists of it alone: it
//! then obeys `J² d = p J d - q d`, and the eigenvalues are the roots of `λ² - p λ + q`. Two products with the
//! Jacobian, a fit in the norm of the tolerances and the growth of the formula on that eigenvalue so tell whether a
//! lower order would allow a longer step. The idea of watching the mode that limits a step is that of Hindmarsh 1995,
//! Avoiding BDF stability barriers in the MOL solution of advection-dominated problems, Appl. Numer. Math. 17,
//! 311–318, which fits norms of derivatives instead.

use super::coefficients::MAX_ORDER;
use crate::integrate::lanes::Lanes;
use crate::linalg::CscPattern;

/// Steps of about the same length after which the limit is looked for.
const MANY_STEPS: u32 = 24;
/// Steps are about the same length within this factor.
const SAME_LENGTH: f64 = 1.5;
/// Most of the second product's norm that the fit may leave unexplained.
const UNEXPLAINED: f64 = 0.3;
/// A formula is unstable where it amplifies by more than this in a step.
const GROWTH: f64 = 1.0005;
/// The highest order that is stable for every decaying mode.
const STABLE_ORDER: usize = 2;

/// Modes within this angle of the negative real axis are damped by every order, as tangent (Hairer and Wanner, section
/// V.2: 51.8 degrees for order 5).
const WEDGE: f64 = 1.27;
/// Sizes of `h λ` between which growth is looked for, and their ratio.
const SIZES: (f64, f64) = (0.1, 30.0);
const RATIO: f64 = 1.2;
/// A mode is another one where it differs by this share.
const OTHER: f64 = 0.1;
/// Corrections smaller than this share of the tolerance are rounding.
const NOTHING: f64 = 1e-20;

/// What limits the step, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Limit {
    /// Real part and size of the imaginary part of the mode last found.
    mode: Option<(f64, f64)>,
    /// By order, the lengths of steps between which it grows.
    growing: [(f64, f64); MAX_ORDER + 1],
    /// Steps of about the length `h`.
    steps: u32,
    h: f64,
}

impl Limit {
    /// Takes note of an accepted step.
    pub fn count(&mut self, h: f64) {
        if h > SAME_LENGTH * self.h || SAME_LENGTH * h < self.h {
            self.h = h;
            self.steps = 0;
        }
        self.steps += 1;
    }

    /// True where it is time to look for a mode.
    pub fn is_due(&self, order: usize) -> bool {
        order > STABLE_ORDER && self.steps >= MANY_STEPS
    }

    /// Looks for the mode that a correction consists of; `first` and `second` are room.
    pub fn look(
        &mut self,
        pattern: &CscPattern,
        jac: &[f64],
        delta: &[f64],
        weights: &[Lanes],
        [first, second]: [&mut [f64]; 2],
    ) {
        self.steps = 0;
        let flat = weights.as_flattened();
        // What is far below the tolerance is left out: products with it would only be slow.
        let keep = |value: f64, weight: f64| if (value * weight).abs() > NOTHING { value } else { 0.0 };
        for ((out, value), weight) in second.iter_mut().zip(delta).zip(flat) {
            *out = keep(*value, *weight);
        }
        first.fill(0.0);
        pattern.mul_add(jac, second, first);
        second.fill(0.0);
        pattern.mul_add(jac, first, second);
        let product = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).zip(flat).map(|((a, b), weight)| (a * weight) * (b * weight)).sum()
        };
        let (dd, df, ff) = (product(delta, delta), product(delta, first), product(first, first));
        let (ds, fs, ss) = (product(delta, second), product(first, second), product(second, second));
        // Normal equations of second = p first - q delta.
        let determinant = dd * ff - df * df;
        let p = (fs * dd - ds * df) / determinant;
        let q = (fs * df - ds * ff) / determinant;
        let left = ss - p * fs + q * ds;
        let imaginary = q - 0.25 * p * p;
        if left <= UNEXPLAINED * UNEXPLAINED * ss && p <= 0.0 && imaginary > (0.5 * p * WEDGE).powi(2) {
            self.learn(0.5 * p, imaginary.sqrt());
        }
    }

    /// Takes note of a mode.
    fn learn(&mut self, real: f64, imaginary: f64) {
        let is_known = self.mode.is_some_and(|(a, b)| {
            let change = (a - real).abs().max((b - imaginary).abs());
            change <= OTHER * imaginary
        });
        if is_known {
            return;
        }
        self.mode = Some((real, imaginary));
        let size = real.hypot(imaginary);
        for (order, growing) in self.growing.iter_mut().enumerate() {
            *growing = (f64::INFINITY, 0.0);
            let mut length = SIZES.0 / size;
            while order > STABLE_ORDER && length < SIZES.1 / size {
                if growth(order, (length * real, length * imaginary)) > GROWTH {
                    *growing = (growing.0.min(length / RATIO), growing.1.max(length * RATIO));
                }
                length *= RATIO;
            }
        }
    }

    /// The highest order up to `order` that does not amplify the known mode in steps of length `h`.
    pub fn highest_stable(&self, order: usize, h: f64) -> usize {
        if self.mode.is_none() {
            return order;
        }
        let is_stable = |order: &usize| !(h > self.growing[*order].0 && h < self.growing[*order].1);
        (1..=order).rev().find(is_stable).unwrap_or(1)
    }
}

type Complex = (f64, f64);

/// The factor by which BDF of this order on equal steps multiplies a solution of `y' = λ y` in the long run, `z = h λ`:
/// the formula is carried out.
fn growth(order: usize, z: Complex) -> f64 {
    const SETTLE: usize = 40;
    const MEASURE: usize = 40;
    // Σ_j (1/j) ∇^j y = z y
    let mut weights = [0.0; MAX_ORDER + 1];
    for j in 1..=order {
        let mut binomial = 1.0;
        for (i, weight) in weights.iter_mut().enumerate().take(j + 1) {
            *weight += binomial / j as f64;
            binomial *= -((j - i) as f64) / (i + 1) as f64;
        }
    }
    let (a, b) = (weights[0] - z.0, -z.1);
    let size = a * a + b * b;
    // The latest first; nothing special, so that every root takes part.
    let mut y: [Complex; MAX_ORDER] = [(1.0, 0.3), (-0.4, 0.8), (0.6, -0.5), (-0.2, -0.9), (0.7, 0.1)];
    let mut sum_of_logarithms = 0.0;
    for step in 0..SETTLE + MEASURE {
        let mut side = (0.0, 0.0);
        for (weight, y) in weights[1..=order].iter().zip(&y) {
            side = (side.0 - weight * y.0, side.1 - weight * y.1);
        }
        let new = ((side.0 * a + side.1 * b) / size, (side.1 * a - side.0 * b) / size);
        y.rotate_right(1);
        y[0] = new;
        let length = y[..order].iter().map(|y| y.0 * y.0 + y.1 * y.1).sum::<f64>().sqrt();
        if !(length > 0.0 && length.is_finite()) {
            return 0.0;
        }
        y.iter_mut().for_each(|y| *y = (y.0 / length, y.1 / length));
        if step >= SETTLE {
            sum_of_logarithms += length.ln();
        }
    }
    (sum_of_logarithms / MEASURE as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_grow_where_their_stability_regions_end() {
        // On the imaginary axis order 2 decays and order 5 grows; far from it, and far out, all decay.
        for order in 1..=MAX_ORDER {
            assert!(growth(order, (-0.5, 0.0)) < 0.8, "order {order}");
            assert!(growth(order, (-20.0, 20.0)) < 1.0, "order {order}");
            assert!(growth(order, (0.0, 100.0)) < 1.0, "order {order}");
        }
        assert!(growth(2, (0.0, 0.6)) < 1.0 && growth(5, (0.0, 0.9)) > 1.0 && growth(4, (0.0, 1.5)) > 1.0);
        // The exact root of order 1 is 1/(1 - z).
        assert!((growth(1, (-0.3, 0.4)) - (1.3_f64.powi(2) + 0.16).powf(-0.5)).abs() < 1e-12);
    }

    #[test]
    fn the_mode_of_a_correction_is_found() {
        // Two oscillators, -1 ± 50 i and -3 ± 2 i; the correction lies in the first.
        let pattern = CscPattern::from_entries(4, 4, [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2), (3, 2), (2, 3), (3, 3)]);
        let jac = [-1.0, 50.0, -50.0, -1.0, -3.0, 2.0, -2.0, -3.0];
        let mut limit = Limit::default();
        let (mut first, mut second) = ([0.0; 4], [0.0; 4]);
        limit.look(&pattern, &jac, &[0.3, 0.8, 1e-3, 0.0], &[[1.0; 4]], [&mut first, &mut second]);
        let (real, imaginary) = limit.mode.expect("a mode");
        assert!((real + 1.0).abs() < 0.1 && (imaginary - 50.0).abs() < 0.1, "{real} {imaginary}");
        assert_eq!(limit.highest_stable(5, 0.02), 2);
        assert_eq!(limit.highest_stable(5, 1e-3), 5);
    }
}
