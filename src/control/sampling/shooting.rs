//! Random shooting: of many sequences drawn around the plan before, the best is the next plan.
//!
//! The plainest of the sampling planners, and what the others are measured against. The plan before, shifted, is among
//! the sequences.

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
}

impl Shooting {
    /// A planner for these rollouts.
    ///
    /// # Errors
    /// An input without bounds, a setting out of its range, or more than fits into memory.
    pub fn new(rollouts: Box<dyn Rollouts>, settings: ShootingSettings) -> Result<Shooting, SamplingError> {
        super::check_noise(settings.noise, settings.smoothing, settings.narrowest)?;
        let common = Common::new(rollouts, settings.samples)?;
        Ok(Shooting {
            noise: Noise::new(common.n_inputs, settings.samples, settings.smoothing, settings.narrowest),
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
        let m = common.n_inputs;
        let (plan, lower, upper) = (&common.plan, &common.lower, &common.upper);
        self.noise.fill(&mut rng, &mut common.batch, |row| Around {
            mean: plan[row],
            sd: self.settings.noise * (upper[row % m] - lower[row % m]),
            lower: lower[row % m],
            upper: upper[row % m],
        });
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
