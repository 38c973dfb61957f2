//! Numbers drawn from the distributions that are written behind `~`.

use rand::Rng as _;

use super::Distribution;
use crate::random::Rng;

/// Draws that are repeated until one lies within its range.
const MOST_REDRAWS: usize = 1000;

impl Distribution {
    /// One draw. Normal deviates by Box and Muller (1958).
    pub fn draw(self, rng: &mut Rng) -> f64 {
        let normal = |rng: &mut Rng| {
            let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        };
        match self {
            Distribution::Normal { mean, sd } => mean + sd * normal(rng),
            Distribution::LogNormal { median, gsd } => median * (gsd.ln() * normal(rng)).exp(),
            Distribution::Uniform { low, high } => low + (high - low) * rng.random::<f64>(),
            Distribution::LogUniform { low, high } => low * (high / low).powf(rng.random::<f64>()),
            Distribution::Laplace { location, scale } => {
                let u = rng.random::<f64>() - 0.5;
                location - scale * u.signum() * (1.0 - 2.0 * u.abs()).max(f64::MIN_POSITIVE).ln()
            }
        }
    }

    /// One draw within `low` to `high`: repeated until it lies there, and clamped where that takes too long.
    pub fn draw_within(self, low: f64, high: f64, rng: &mut Rng) -> f64 {
        for _ in 0..MOST_REDRAWS {
            let value = self.draw(rng);
            if value >= low && value <= high {
                return value;
            }
        }
        self.draw(rng).clamp(low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    /// Means over 40,000 draws, against the distributions' own, within five standard errors.
    #[test]
    fn draws_have_the_right_centers() {
        let n = 40_000;
        for (distribution, map, mean, sd) in [
            (Distribution::Normal { mean: 3.0, sd: 2.0 }, (|x| x) as fn(f64) -> f64, 3.0, 2.0),
            (Distribution::LogNormal { median: 2.0, gsd: 1.5 }, f64::ln, 2.0_f64.ln(), 1.5_f64.ln()),
            (Distribution::Uniform { low: 1.0, high: 3.0 }, |x| x, 2.0, 2.0 / 12.0_f64.sqrt()),
            (
                Distribution::LogUniform { low: 1.0, high: 100.0 },
                f64::ln,
                10.0_f64.ln(),
                100.0_f64.ln() / 12.0_f64.sqrt(),
            ),
            (Distribution::Laplace { location: -1.0, scale: 2.0 }, |x| x, -1.0, 2.0 * 2.0_f64.sqrt()),
        ] {
            let mut rng = stream(7, 0);
            let values: Vec<f64> = (0..n).map(|_| map(distribution.draw(&mut rng))).collect();
            let found = values.iter().sum::<f64>() / f64::from(n);
            let spread = (values.iter().map(|v| (v - found).powi(2)).sum::<f64>() / f64::from(n)).sqrt();
            assert!((found - mean).abs() < 5.0 * sd / f64::from(n).sqrt(), "{distribution:?}: {found}");
            assert!((spread / sd - 1.0).abs() < 0.03, "{distribution:?}: {spread}");
        }
    }

    #[test]
    fn a_draw_keeps_to_its_range() {
        let mut rng = stream(1, 0);
        let normal = Distribution::Normal { mean: 0.0, sd: 1.0 };
        assert!((0..100).all(|_| (0.5..=0.7).contains(&normal.draw_within(0.5, 0.7, &mut rng))));
        assert_eq!(normal.draw_within(40.0, 41.0, &mut rng), 40.0);
    }
}
