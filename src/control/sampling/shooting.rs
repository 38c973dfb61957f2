//! Random shooting: of many sequences drawn around the plan before, the best is the next plan.
//!
//! The plainest of the sampling planners, and what the others are measured against. Sequences are drawn with spreads from
//! a hundredth to the whole of the stated one, evenly in the logarithm: wide ones find a way, narrow ones improve it.

use super::common::Common;
use super::noise::{Around, Noise};
use super::{SamplingError, ShootingSettings};
use crate::control::rollouts::Rollouts;
use crate::decide::{Plan, Planner, Situation};

/// The planner.
pub struct Shooting {
    common: Common,
    noise: Noise,
    settings: ShootingSettings,
    /// Each sequence's share of the spread.
    shares: Vec<f64>,
}

impl Shooting {
    /// A planner for these rollouts.
    ///
    /// # Errors
    /// An input without bounds, a setting out of its range, or more than fits into memory.
    pub fn new(rollouts: Box<dyn Rollouts>, settings: ShootingSettings) -> Result<Shooting, SamplingError> {
        super::check_noise(settings.noise, settings.smoothing)?;
        let common = Common::new(rollouts, settings.samples)?;
        Ok(Shooting {
            noise: Noise::new(common.n_inputs, settings.samples, settings.smoothing),
            shares: (0..settings.samples).map(|k| 10f64.powf(-2.0 * k as f64 / settings.samples as f64)).collect(),
            common,
            settings,
        })
    }
}

impl Planner for Shooting {
    fn reset(&mut self, seed: u64) {
        self.common.reset(seed);
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let mut rng = self.common.begin(now);
        let common = &mut self.common;
        let (m, n) = (common.n_inputs, common.n_samples());
        let (plan, lower, upper) = (&common.plan, &common.lower, &common.upper);
        self.noise.fill(&mut rng, &mut common.batch, |row| Around {
            mean: plan[row],
            sd: self.settings.noise * (upper[row % m] - lower[row % m]),
            lower: f64::NEG_INFINITY,
            upper: f64::INFINITY,
        });
        for (idx, row) in common.batch.chunks_exact_mut(n).enumerate() {
            let (mean, lower, upper) = (common.plan[idx], common.lower[idx % m], common.upper[idx % m]);
            for (value, share) in row.iter_mut().zip(&self.shares) {
                *value = (mean + share * (*value - mean)).clamp(lower, upper);
            }
        }
        let is_found = common.roll_out();
        if is_found {
            common.sort_best(1);
            let best = common.order[0] as usize;
            common.keep_candidate(best);
            common.take_candidate();
        }
        common.answer(is_found, 1)
    }
}
