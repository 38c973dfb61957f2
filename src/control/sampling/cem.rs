//! The cross-entropy method: a normal distribution of input sequences is fitted to the best that it drew, again and again.
//!
//! R. Y. Rubinstein 1999, *The cross-entropy method for combinatorial and continuous optimization*, Methodol. Comput. Appl.
//! Probab. 1:127; with inertia after P.-T. de Boer, D. P. Kroese, S. Mannor and R. Y. Rubinstein 2005, Ann. Oper. Res.
//! 134:19, remark 4.2, and correlated draws. Inputs of different steps have deviations of their own and no covariance. The
//! answer is the last mean or the best sequence drawn, whichever costs less.

use super::common::Common;
use super::noise::{Around, Noise};
use super::{CemSettings, SamplingError};
use crate::control::rollouts::Rollouts;
use crate::decide::{Plan, Planner, Situation};

/// The planner.
pub struct Cem {
    common: Common,
    noise: Noise,
    settings: CemSettings,
    n_elites: usize,
    /// `horizon × n_inputs`: standard deviations.
    sd: Vec<f64>,
}

impl Cem {
    /// A planner for these rollouts.
    ///
    /// # Errors
    /// An input without bounds, a setting out of its range, or more than fits into memory.
    pub fn new(rollouts: Box<dyn Rollouts>, settings: CemSettings) -> Result<Cem, SamplingError> {
        super::check_noise(settings.noise, settings.smoothing, settings.narrowest)?;
        if settings.iterations == 0 {
            return Err(SamplingError::Setting("iterations"));
        }
        if !(settings.elites > 0.0 && settings.elites <= 1.0) {
            return Err(SamplingError::Setting("elites"));
        }
        if !(0.0..1.0).contains(&settings.inertia) {
            return Err(SamplingError::Setting("inertia"));
        }
        if !(settings.least_noise >= 0.0 && settings.least_noise.is_finite()) {
            return Err(SamplingError::Setting("least_noise"));
        }
        let common = Common::new(rollouts, settings.samples)?;
        Ok(Cem {
            noise: Noise::new(common.n_inputs, settings.samples, settings.smoothing, settings.narrowest),
            n_elites: ((settings.elites * settings.samples as f64).round() as usize).clamp(1, settings.samples),
            sd: vec![0.0; common.plan.len()],
            common,
            settings,
        })
    }

    /// Fits mean and deviations to the best sequences.
    fn fit(&mut self) {
        let common = &mut self.common;
        let n = common.costs.len();
        let finite = common.order[..self.n_elites].iter().filter(|&&s| common.costs[s as usize].is_finite()).count();
        let elites = &common.order[..finite];
        let (stays, count) = (self.settings.inertia, finite as f64);
        for (idx, row) in common.batch.chunks_exact(n).enumerate() {
            let input = idx % common.n_inputs;
            let mean = elites.iter().map(|&s| row[s as usize]).sum::<f64>() / count;
            let variance = elites.iter().map(|&s| (row[s as usize] - mean).powi(2)).sum::<f64>() / count;
            let least = self.settings.least_noise * (common.upper[input] - common.lower[input]);
            common.plan[idx] = stays * common.plan[idx] + (1.0 - stays) * mean;
            self.sd[idx] = (stays * self.sd[idx] + (1.0 - stays) * variance.sqrt()).max(least);
        }
    }
}

impl Planner for Cem {
    fn reset(&mut self, seed: u64) {
        self.common.reset(seed);
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let mut rng = self.common.begin(now);
        let m = self.common.n_inputs;
        for (idx, sd) in self.sd.iter_mut().enumerate() {
            *sd = self.settings.noise * self.common.range(idx % m);
        }
        let mut best = self.common.begin_candidate();
        for _ in 0..self.settings.iterations {
            let common = &mut self.common;
            let (plan, lower, upper) = (&common.plan, &common.lower, &common.upper);
            self.noise.fill(&mut rng, &mut common.batch, |row| Around {
                mean: plan[row],
                sd: self.sd[row],
                lower: lower[row % m],
                upper: upper[row % m],
            });
            if !common.roll_out() {
                break;
            }
            common.sort_best(self.n_elites);
            let first = common.order[0] as usize;
            if common.costs[first] < best {
                best = common.costs[first];
                common.keep_candidate(first);
            }
            self.fit();
        }
        if self.common.plan_cost() > best {
            self.common.take_candidate();
        }
        self.common.answer(best.is_finite(), self.settings.iterations)
    }
}
