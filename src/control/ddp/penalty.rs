//! The augmented Lagrangian of intervals: rows and state bounds that a method without constraints keeps.
//!
//! For `lower ≤ c ≤ upper` with one multiplier y and weight ρ (Bertsekas 1982, *Constrained Optimization and Lagrange
//! Multiplier Methods*, section 3.1, both sides at once):
//!
//! ```text
//! ψ(c) = ρ/2 (c + y/ρ − Π(c + y/ρ))² − y²/(2ρ),   y⁺ = ρ (c + y/ρ − Π(c + y/ρ)),   Π onto [lower, upper]
//! ```
//! A linear price w of leaving the interval bounds the multiplier by w; a quadratic one is ψ with y = 0 and ρ = 2 w.

use crate::system::stages::Softness;

/// ψ, ψ' and ψ'' at one value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Penalty {
    pub value: f64,
    pub slope: f64,
    pub curvature: f64,
}

/// ψ of an interval.
pub(super) fn penalty(c: f64, lower: f64, upper: f64, softness: Softness, y: f64, rho: f64) -> Penalty {
    let (y, rho, cap) = match softness {
        Softness::Hard => (y, rho, f64::INFINITY),
        Softness::Linear(w) => (y, rho, w),
        Softness::Quadratic(w) => (0.0, 2.0 * w, f64::INFINITY),
    };
    if rho <= 0.0 {
        return Penalty { value: 0.0, slope: 0.0, curvature: 0.0 };
    }
    let shifted = c + y / rho;
    let out = shifted - shifted.max(lower).min(upper);
    let base = y * y / (2.0 * rho);
    if out == 0.0 {
        return Penalty { value: -base, slope: 0.0, curvature: 0.0 };
    }
    let slope = rho * out;
    if slope.abs() <= cap {
        Penalty { value: 0.5 * rho * out * out - base, slope, curvature: rho }
    } else {
        Penalty { value: cap * out.abs() - cap * cap / (2.0 * rho) - base, slope: cap.copysign(slope), curvature: 0.0 }
    }
}

/// By how much a value leaves its interval.
pub(super) fn violation(c: f64, lower: f64, upper: f64) -> f64 {
    (lower - c).max(c - upper).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_and_curvature_are_those_of_the_value() {
        let f = |c: f64, s| penalty(c, -1.0, 2.0, s, 0.7, 3.0);
        for softness in [Softness::Hard, Softness::Linear(1.5), Softness::Quadratic(4.0)] {
            for c in [-2.0, -1.1, 0.0, 1.9, 2.1, 4.0] {
                let h = 1e-5;
                let (a, b, p) = (f(c - h, softness), f(c + h, softness), f(c, softness));
                assert!(((b.value - a.value) / (2.0 * h) - p.slope).abs() < 1e-8, "{softness:?} {c}");
                assert!(((b.slope - a.slope) / (2.0 * h) - p.curvature).abs() < 1e-8, "{softness:?} {c}");
            }
        }
    }

    #[test]
    fn slope_is_the_next_multiplier_and_a_linear_price_bounds_it() {
        let p = penalty(5.0, -1.0, 2.0, Softness::Linear(1.5), 0.7, 3.0);
        assert_eq!(p.slope, 1.5);
        assert_eq!(violation(5.0, -1.0, 2.0), 3.0);
    }
}
