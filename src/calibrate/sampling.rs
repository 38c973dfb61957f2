//! Points from which a multi-start fit begins, drawn in the bounds on the search scale.
//!
//! [`Sampling::Uniform`] draws independent points. [`Sampling::Halton`] spreads them evenly: coordinate j of point i is
//! the radical inverse of i in the j-th prime base, each digit place passed through its own random permutation (Owen
//! 2017, *A randomized Halton algorithm in R*, arXiv:1706.02808). Each point is uniform, and a run can be extended
//! without changing the points it had.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::random::{Rng, stream};

/// How starts are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Independent and uniform.
    #[default]
    Uniform,
    /// Low discrepancy.
    Halton,
}

impl Sampling {
    /// All, in the order in which they are listed to a user.
    pub const ALL: [Sampling; 2] = [Sampling::Uniform, Sampling::Halton];

    /// The name as it is written in a study.
    pub fn name(self) -> &'static str {
        match self {
            Sampling::Uniform => "uniform",
            Sampling::Halton => "halton",
        }
    }

    /// The sampling of a name.
    pub fn from_name(name: &str) -> Option<Sampling> {
        Sampling::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Point `index` of `seed` in the box `ranges: (low, high)` per coordinate. The same whichever points were drawn
    /// before, and in whichever thread.
    pub fn point(self, seed: u64, index: u64, ranges: &[(f64, f64)]) -> Vec<f64> {
        let unit: Vec<f64> = match self {
            Sampling::Uniform => {
                let mut rng = stream(seed, index);
                ranges.iter().map(|_| rng.random::<f64>()).collect()
            }
            Sampling::Halton => {
                let bases = first_primes(ranges.len());
                bases.iter().enumerate().map(|(j, &base)| radical_inverse(seed, j as u64, base, index)).collect()
            }
        };
        ranges.iter().zip(unit).map(|(&(low, high), u)| (low + u * (high - low)).min(high).max(low)).collect()
    }
}

/// The scrambled radical inverse of `index` in `base`, in [0, 1).
fn radical_inverse(seed: u64, coordinate: u64, base: u64, index: u64) -> f64 {
    // Streams of starts are numbered from 0; those of coordinates from the top, so that the two never meet.
    let mut rng = stream(seed, u64::MAX - coordinate);
    let (mut rest, mut value, mut weight) = (index, 0.0, 1.0 / base as f64);
    // Digits below the resolution of a double do not count; leading zeros are permuted too.
    while weight > 0.5 * f64::EPSILON {
        value += weight * permuted(&mut rng, base, rest % base) as f64;
        rest /= base;
        weight /= base as f64;
    }
    value.min(1.0 - 0.5 * f64::EPSILON)
}

/// The image of `digit` under the next random permutation of 0..base (Fisher and Yates).
fn permuted(rng: &mut Rng, base: u64, digit: u64) -> u64 {
    let mut images: Vec<u64> = (0..base).collect();
    for i in (1..images.len()).rev() {
        images.swap(i, rng.random_range(0..=i));
    }
    images[digit as usize]
}

/// The first `n` primes.
fn first_primes(n: usize) -> Vec<u64> {
    let mut primes: Vec<u64> = Vec::with_capacity(n);
    let mut candidate = 2;
    while primes.len() < n {
        if primes.iter().take_while(|&&p| p * p <= candidate).all(|p| candidate % p != 0) {
            primes.push(candidate);
        }
        candidate += 1;
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: [(f64, f64); 3] = [(-1.0, 1.0), (0.0, 10.0), (5.0, 5.0)];

    #[test]
    fn points_lie_in_the_box_and_depend_on_seed_and_index_alone() {
        for sampling in Sampling::ALL {
            let points: Vec<_> = (0..50).map(|i| sampling.point(7, i, &BOX)).collect();
            for point in &points {
                assert!(point.iter().zip(BOX).all(|(v, (low, high))| (low..=high).contains(v)), "{point:?}");
            }
            assert_eq!(sampling.point(7, 31, &BOX), points[31]);
            assert_ne!(sampling.point(8, 31, &BOX), points[31]);
            assert_ne!(points[30], points[31]);
        }
    }

    /// In each coordinate, any base^k consecutive points put one into each cell of width base^-k.
    #[test]
    fn halton_points_fill_every_cell_once() {
        let unit = [(0.0, 1.0); 4];
        for (coordinate, cells) in [(0, 32), (1, 27), (2, 25), (3, 49)] {
            let mut counts = vec![0; cells];
            for i in 0..cells {
                let point = Sampling::Halton.point(3, i as u64, &unit);
                counts[(point[coordinate] * cells as f64) as usize] += 1;
            }
            assert!(counts.iter().all(|&c| c == 1), "{coordinate}: {counts:?}");
        }
    }

    #[test]
    fn uniform_points_have_the_moments_of_the_uniform_distribution() {
        let unit = [(0.0, 1.0); 2];
        let n = 20_000;
        let points: Vec<_> = (0..n).map(|i| Sampling::Uniform.point(1, i, &unit)).collect();
        let mean = points.iter().map(|p| p[0]).sum::<f64>() / n as f64;
        let covariance = points.iter().map(|p| (p[0] - 0.5) * (p[1] - 0.5)).sum::<f64>() / n as f64;
        // Four standard deviations: 1/sqrt(12 n) and 1/(12 sqrt n).
        assert!((mean - 0.5).abs() < 4.0 / (12.0 * n as f64).sqrt(), "{mean}");
        assert!(covariance.abs() < 4.0 / (12.0 * (n as f64).sqrt()), "{covariance}");
    }
}
