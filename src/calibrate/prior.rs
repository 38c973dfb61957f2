//! What a prior adds to the negative log-likelihood (the MAP estimate).
//!
//! Log-normal and log-uniform priors are densities of ln θ, so that the mode is the median; nothing is renormalised
//! for the truncation by bounds. All constants are included.

use crate::flat::Distribution;

use super::noise::Curvature;

/// A term of the objective with its derivatives by one number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Term {
    /// −ln density.
    pub value: f64,
    /// Its first derivative.
    pub slope: f64,
    /// Its second derivative, or a positive stand-in for it.
    pub curvature: f64,
}

/// Half of ln 2π.
pub(super) const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// The penalty of a value (in the declared unit) and its derivatives by that value. The value must be positive for
/// the logarithmic ones. The curvature is that of Gauss–Newton in the prior's own scale; a Laplace prior has no second
/// derivative, and `curvature` says which stand-in is wanted.
pub fn penalty(prior: Distribution, value: f64, curvature: Curvature) -> Term {
    match prior {
        Distribution::Normal { mean, sd } => {
            let r = (value - mean) / sd;
            Term { value: HALF_LN_2PI + sd.ln() + 0.5 * r * r, slope: r / sd, curvature: 1.0 / (sd * sd) }
        }
        Distribution::LogNormal { median, gsd } => {
            let sd = gsd.ln();
            let r = (value / median).ln() / sd;
            let by_value = 1.0 / (sd * value);
            Term { value: HALF_LN_2PI + sd.ln() + 0.5 * r * r, slope: r * by_value, curvature: by_value * by_value }
        }
        Distribution::Uniform { low, high } => Term { value: (high - low).ln(), ..Term::default() },
        Distribution::LogUniform { low, high } => Term { value: (high / low).ln().ln(), ..Term::default() },
        Distribution::Laplace { location, scale } => {
            let r = (value - location) / scale;
            Term {
                value: (2.0 * scale).ln() + r.abs(),
                slope: r.signum() / scale,
                curvature: match curvature {
                    Curvature::Search => absolute_value_curvature(r),
                    Curvature::Fisher => 1.0,
                } / (scale * scale),
            }
        }
    }
}

/// A curvature for |r|, whose own is zero: that of the parabola that touches it at ±r from above (the weights of
/// iteratively reweighted least squares), kept finite where r is below a twentieth.
pub(super) fn absolute_value_curvature(r: f64) -> f64 {
    1.0 / r.abs().max(0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Distribution; 5] = [
        Distribution::Normal { mean: 1.5, sd: 0.3 },
        Distribution::LogNormal { median: 2.0, gsd: 1.7 },
        Distribution::Uniform { low: 0.5, high: 4.0 },
        Distribution::LogUniform { low: 0.5, high: 4.0 },
        Distribution::Laplace { location: 1.0, scale: 0.4 },
    ];

    /// Integrated over its support (over ln θ for the logarithmic ones), each density has mass one.
    #[test]
    fn densities_are_normalised_in_their_own_scale() {
        for prior in ALL {
            let (low, high, is_log) = match prior {
                Distribution::Normal { .. } | Distribution::Laplace { .. } => (-20.0, 20.0, false),
                Distribution::Uniform { low, high } => (low, high, false),
                Distribution::LogNormal { .. } => (-10.0, 10.0, true),
                Distribution::LogUniform { low, high } => (low.ln(), high.ln(), true),
            };
            let n = 400_000;
            let h = (high - low) / n as f64;
            let mass: f64 = (0..n)
                .map(|i| {
                    let s = low + (i as f64 + 0.5) * h;
                    (-penalty(prior, if is_log { f64::exp(s) } else { s }, Curvature::Search).value).exp() * h
                })
                .sum();
            assert!((mass - 1.0).abs() < 1e-6, "{prior:?}: {mass}");
        }
    }

    #[test]
    fn slopes_are_those_of_the_values() {
        for prior in ALL {
            for value in [0.7, 1.3, 2.9] {
                let h = 1e-6;
                let difference = (penalty(prior, value + h, Curvature::Search).value
                    - penalty(prior, value - h, Curvature::Search).value)
                    / (2.0 * h);
                assert!(
                    (penalty(prior, value, Curvature::Search).slope - difference).abs() < 1e-7,
                    "{prior:?} at {value}"
                );
            }
        }
    }

    #[test]
    fn log_normal_has_its_mode_at_the_median() {
        assert_eq!(penalty(Distribution::LogNormal { median: 2.0, gsd: 1.7 }, 2.0, Curvature::Search).slope, 0.0);
    }

    /// The Fisher information of a location is the mean of the squared slope (Lehmann and Casella 1998, Theory of Point
    /// Estimation, section 2.5): 1/sd² for a normal, 1/b² for a Laplace distribution, whose curve has none of its own.
    #[test]
    fn the_information_of_a_prior_is_the_mean_of_its_squared_slope() {
        for (prior, center) in [
            (Distribution::Normal { mean: 1.5, sd: 0.3 }, 1.5),
            (Distribution::Laplace { location: 1.0, scale: 0.4 }, 1.0),
        ] {
            let (n, h) = (200_000, 1e-4);
            let mean: f64 = (0..n)
                .map(|i| {
                    let term = penalty(prior, center + (i as f64 + 0.5) * h - 0.5 * n as f64 * h, Curvature::Fisher);
                    term.slope * term.slope * (-term.value).exp() * h
                })
                .sum();
            for value in [center, center + 1e-9, center + 0.7] {
                let information = penalty(prior, value, Curvature::Fisher).curvature;
                assert!((information - mean).abs() < 1e-5 * mean, "{prior:?} at {value}: {information} {mean}");
            }
        }
    }
}
