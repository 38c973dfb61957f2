//! Sequences drawn around a plan: normal noise whose steps are correlated, clipped to the bounds.
//!
//! `ε_k = β ε_(k−1) + √(1 − β²) ξ_k` with independent normal ξ has the same spread at every step; β > 0 lets a deviation
//! last, without which the drawn inputs cancel out in a plant that integrates them (compare Pinneri et al. 2020,
//! *Sample-efficient cross-entropy method for real-time planning*, Conf. on Robot Learning, section 3.1).
//!
//! Each sequence has its own share of the spread, from one down to a stated least one, evenly in the logarithm: wide
//! sequences find a way, narrow ones improve it. In an unstable plant wide noise over a whole horizon leads nowhere, and
//! narrow noise never leaves a valley: on the cart-pole of the tests no single spread both swings up and holds.

use crate::linalg::{Wide, wide};
use crate::random::Rng;
use crate::random::ziggurat::Ziggurat;

/// What draws.
#[derive(Debug)]
pub(super) struct Noise {
    table: Ziggurat,
    /// `n_inputs × n_samples`: ε of the step at hand.
    deviations: Vec<f64>,
    /// `n_samples`
    draws: Vec<f64>,
    /// `n_samples`: each sequence's share of the spread.
    shares: Vec<f64>,
    smoothing: f64,
}

/// Bounds and spread of the draws of one input at one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) mean: f64,
    pub(super) sd: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

impl Noise {
    pub(super) fn new(n_inputs: usize, n_samples: usize, smoothing: f64, narrowest: f64) -> Noise {
        Noise {
            table: Ziggurat::new(),
            deviations: vec![0.0; n_inputs * n_samples],
            draws: vec![0.0; n_samples],
            shares: (0..n_samples).map(|k| narrowest.powf(k as f64 / n_samples as f64)).collect(),
            smoothing,
        }
    }

    /// Fills `batch: (horizon · n_inputs) × n_samples`; `around` tells of each of its rows. Sequence 0 is the mean itself.
    pub(super) fn fill(&mut self, rng: &mut Rng, batch: &mut [f64], mut around: impl FnMut(usize) -> Around) {
        let n = self.draws.len();
        let n_inputs = self.deviations.len() / n.max(1);
        for (idx, row) in batch.chunks_exact_mut(n).enumerate() {
            let input = idx % n_inputs;
            self.table.fill(rng, &mut self.draws);
            let (keep, fresh) = match idx < n_inputs {
                true => (0.0, 1.0),
                false => (self.smoothing, (1.0 - self.smoothing * self.smoothing).sqrt()),
            };
            let deviations = &mut self.deviations[input * n..(input + 1) * n];
            let around = around(idx);
            wide(Spread { keep, fresh, around, draws: &self.draws, shares: &self.shares, deviations, row });
            row[0] = around.mean.clamp(around.lower, around.upper);
        }
    }
}

struct Spread<'a> {
    keep: f64,
    fresh: f64,
    around: Around,
    draws: &'a [f64],
    shares: &'a [f64],
    deviations: &'a mut [f64],
    row: &'a mut [f64],
}

impl Wide for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Around { mean, sd, lower, upper } = self.around;
        let draws = self.draws.iter().zip(self.shares);
        for ((value, deviation), (&draw, &share)) in self.row.iter_mut().zip(self.deviations).zip(draws) {
            *deviation = self.keep * *deviation + self.fresh * draw;
            let drawn = mean + sd * share * *deviation;
            let drawn = if drawn < lower { lower } else { drawn };
            *value = if drawn > upper { upper } else { drawn };
        }
    }
}
