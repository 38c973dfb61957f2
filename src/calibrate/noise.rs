//! The likelihood of one measurement, given the median and the spread of its observable.
//!
//! All constants are included, so that values compare with those of other tools: for a normal measurement
//! `ln σ + ½ ln 2π + ½ ((y − m)/σ)²`, for a log-normal one the density of y and not of ln y.

use super::prior::{HALF_LN_2PI, absolute_value_curvature};
use crate::flat::Noise;

/// Which curvature a likelihood gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curvature {
    /// For steps of a minimizer. Differs from Fisher's where that would be a poor model of the objective: Laplace.
    Search,
    /// Fisher's information: the expected second derivative, from which confidence intervals follow.
    Fisher,
}

/// −ln density of a measurement with its derivatives by the median m and the spread s.
///
/// Mixed second derivatives are left out: they vanish in expectation for all noises here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointTerm {
    /// −ln density.
    pub value: f64,
    /// ∂/∂m
    pub by_median: f64,
    /// ∂/∂s
    pub by_spread: f64,
    /// Curvature by m.
    pub median_curvature: f64,
    /// Curvature by s.
    pub spread_curvature: f64,
    /// The residual in units of the spread, positive where the measurement lies above the median.
    pub residual: f64,
}

/// Why a measurement has no likelihood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoiseError {
    /// The median is not finite, or not positive for log-normal noise.
    Median(f64),
    /// The spread is not finite, not positive, or not above one for log-normal noise.
    Spread(f64),
}

/// The term of a measurement `y` of an observable with the given median and spread.
///
/// The Fisher information of the normal distribution is 1/σ² for the median and 2/σ² for σ; with m and σ functions
/// of θ the matrix is `Σ m′m′ᵀ/σ² + 2 σ′σ′ᵀ/σ²`. The log-normal is the normal of ln y with σ = ln gsd; the Laplace
/// distribution of scale b has 1/b² for both.
///
/// # Errors
/// Where median or spread lie outside the distribution's range. `y` must be finite, and positive for log-normal.
pub fn point_term(
    noise: Noise,
    y: f64,
    median: f64,
    spread: f64,
    curvature: Curvature,
) -> Result<PointTerm, NoiseError> {
    if !median.is_finite() {
        return Err(NoiseError::Median(median));
    }
    if !spread.is_finite() || spread <= 0.0 {
        return Err(NoiseError::Spread(spread));
    }
    match noise {
        Noise::Normal => {
            let residual = (y - median) / spread;
            Ok(PointTerm {
                value: spread.ln() + HALF_LN_2PI + 0.5 * residual * residual,
                by_median: -residual / spread,
                by_spread: (1.0 - residual * residual) / spread,
                median_curvature: 1.0 / (spread * spread),
                spread_curvature: 2.0 / (spread * spread),
                residual,
            })
        }
        Noise::LogNormal => {
            if median <= 0.0 {
                return Err(NoiseError::Median(median));
            }
            if spread <= 1.0 {
                return Err(NoiseError::Spread(spread));
            }
            let sd = spread.ln();
            let residual = (y / median).ln() / sd;
            let sd_by_spread = 1.0 / spread;
            Ok(PointTerm {
                value: y.ln() + sd.ln() + HALF_LN_2PI + 0.5 * residual * residual,
                by_median: -residual / (sd * median),
                by_spread: (1.0 - residual * residual) / sd * sd_by_spread,
                median_curvature: 1.0 / (sd * median).powi(2),
                spread_curvature: 2.0 * (sd_by_spread / sd).powi(2),
                residual,
            })
        }
        Noise::Laplace => {
            let residual = (y - median) / spread;
            let weight = match curvature {
                Curvature::Search => absolute_value_curvature(residual),
                Curvature::Fisher => 1.0,
            };
            Ok(PointTerm {
                value: (2.0 * spread).ln() + residual.abs(),
                by_median: -residual.signum() / spread,
                by_spread: (1.0 - residual.abs()) / spread,
                median_curvature: weight / (spread * spread),
                spread_curvature: 1.0 / (spread * spread),
                residual,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Noise; 3] = [Noise::Normal, Noise::LogNormal, Noise::Laplace];

    fn term(noise: Noise, y: f64, m: f64, s: f64) -> PointTerm {
        point_term(noise, y, m, s, Curvature::Fisher).unwrap()
    }

    #[test]
    fn derivatives_are_those_of_the_value() {
        for noise in ALL {
            for (y, m, s) in [(1.2, 0.8, 1.4), (0.3, 2.0, 1.1), (5.0, 4.0, 3.0)] {
                let h = 1e-6;
                let by_median = (term(noise, y, m + h, s).value - term(noise, y, m - h, s).value) / (2.0 * h);
                let by_spread = (term(noise, y, m, s + h).value - term(noise, y, m, s - h).value) / (2.0 * h);
                let t = term(noise, y, m, s);
                assert!((t.by_median - by_median).abs() < 1e-6 * (1.0 + by_median.abs()), "{noise:?}");
                assert!((t.by_spread - by_spread).abs() < 1e-6 * (1.0 + by_spread.abs()), "{noise:?}");
            }
        }
    }

    /// Over the distribution of y: mass one, expected slopes zero, expected products of slopes the curvatures, and
    /// the mixed one zero.
    #[test]
    fn densities_and_fisher_information_integrate() {
        let (m, s) = (2.0, 1.3);
        for noise in ALL {
            let (low, high) = match noise {
                Noise::Normal => (m - 12.0 * s, m + 12.0 * s),
                Noise::Laplace => (m - 45.0 * s, m + 45.0 * s),
                Noise::LogNormal => (m / f64::powi(s, 12), m * f64::powi(s, 12)),
            };
            // Steps in ln y for the log-normal; the kink of the Laplace density lies on a cell's edge.
            let n = 200_000;
            let mut sums = [0.0; 6];
            for i in 0..n {
                let part = (f64::from(i) + 0.5) / f64::from(n);
                let (y, width) = match noise {
                    Noise::Normal | Noise::Laplace => (low + part * (high - low), (high - low) / f64::from(n)),
                    Noise::LogNormal => {
                        let ratio: f64 = (high / low).ln();
                        let y = low * (part * ratio).exp();
                        (y, y * ratio / f64::from(n))
                    }
                };
                let t = term(noise, y, m, s);
                let mass = (-t.value).exp() * width;
                let products = [
                    1.0,
                    t.by_median,
                    t.by_spread,
                    t.by_median * t.by_median,
                    t.by_spread * t.by_spread,
                    t.by_median * t.by_spread,
                ];
                sums.iter_mut().zip(products).for_each(|(sum, v)| *sum += mass * v);
            }
            let t = term(noise, 2.5, m, s);
            let expected = [1.0, 0.0, 0.0, t.median_curvature, t.spread_curvature, 0.0];
            for (found, expected) in sums.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{noise:?}: {sums:?} {expected:?}");
            }
        }
    }

    #[test]
    fn impossible_medians_and_spreads_are_reported() {
        assert_eq!(point_term(Noise::LogNormal, 1.0, -0.1, 1.5, Curvature::Search), Err(NoiseError::Median(-0.1)));
        assert_eq!(point_term(Noise::LogNormal, 1.0, 1.0, 1.0, Curvature::Search), Err(NoiseError::Spread(1.0)));
        assert_eq!(point_term(Noise::Normal, 1.0, 1.0, 0.0, Curvature::Search), Err(NoiseError::Spread(0.0)));
        assert!(point_term(Noise::Normal, 1.0, f64::NAN, 1.0, Curvature::Search).is_err());
    }
}
