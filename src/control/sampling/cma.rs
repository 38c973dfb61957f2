//! CMA-ES as a planner: the whole input sequence is one point of [`crate::optimize::cma_es`].
//!
//! Each plan begins at the one before, shifted, with the stated spread and the correlation of neighboring steps that
//! `smoothing` says; what was learnt of the covariance is of the landscape before and is not kept. The answer is the last
//! mean or the best sequence drawn, whichever costs less.

use super::common::Common;
use super::{CmaSettings, SamplingError};
use crate::control::rollouts::Rollouts;
use crate::decide::{Plan, Planner, Situation};
use crate::optimize::cma_es::CmaEs;

/// Steps × inputs beyond which the covariance would be too large.
const MOST_VARIABLES: usize = 2000;

/// The planner.
pub struct Cma {
    common: Common,
    strategy: CmaEs,
    settings: CmaSettings,
}

impl Cma {
    /// A planner for these rollouts.
    ///
    /// # Errors
    /// An input without bounds or with equal ones, a setting out of its range, or more than 2000 numbers to decide.
    pub fn new(rollouts: Box<dyn Rollouts>, settings: CmaSettings) -> Result<Cma, SamplingError> {
        super::check_noise(settings.noise, settings.smoothing, settings.later_noise)?;
        if settings.iterations == 0 {
            return Err(SamplingError::Setting("iterations"));
        }
        if settings.samples < 4 {
            return Err(SamplingError::Setting("samples"));
        }
        let common = Common::new(rollouts, settings.samples)?;
        let n = common.plan.len();
        if n > MOST_VARIABLES {
            return Err(SamplingError::TooLarge { samples: settings.samples, numbers: n });
        }
        if let Some(input) = (0..common.n_inputs).find(|&input| common.range(input) == 0.0) {
            return Err(SamplingError::Unbounded(input));
        }
        let repeated = |bounds: &[f64]| bounds.iter().copied().cycle().take(n).collect::<Vec<f64>>();
        let strategy = CmaEs::new(&repeated(&common.lower), &repeated(&common.upper), settings.samples);
        Ok(Cma { common, strategy, settings })
    }
}

impl Planner for Cma {
    fn reset(&mut self, seed: u64) {
        self.common.reset(seed);
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let mut rng = self.common.begin(now);
        let CmaSettings { iterations, noise, later_noise, smoothing, .. } = self.settings;
        let noise = if self.common.is_first() { noise } else { later_noise };
        let m = self.common.n_inputs;
        let correlation =
            |i: usize, j: usize| if (j - i).is_multiple_of(m) { smoothing.powi(((j - i) / m) as i32) } else { 0.0 };
        let mut best = self.common.begin_candidate();
        let mut done = 0;
        let mut goes_on = self.strategy.start(&self.common.plan, noise, correlation);
        while goes_on && done < iterations {
            self.strategy.ask(&mut rng, &mut self.common.batch);
            goes_on = self.common.roll_out();
            if goes_on {
                self.common.sort_best(1);
                let first = self.common.order[0] as usize;
                if self.common.costs[first] < best {
                    best = self.common.costs[first];
                    self.common.keep_candidate(first);
                }
                goes_on = self.strategy.tell(&self.common.batch, &self.common.costs);
            }
            done += 1;
        }
        let is_found = best.is_finite();
        if is_found {
            self.common.plan.copy_from_slice(self.strategy.mean());
            if self.common.plan_cost() > best {
                self.common.take_candidate();
            }
        }
        self.common.answer(is_found, done)
    }
}
