//! Model predictive path integral control: the plan is the average of all sequences drawn, weighed by `exp(-cost/λ)`.
//!
//! G. Williams, A. Aldrich and E. A. Theodorou 2017, *Model predictive path integral control: from theory to parallel
//! computation*, J. Guidance 40:344, equations 30 to 34, with the sequences as clipped to the bounds, and without the
//! term of the information-theoretic form that prices inputs beside the task's own cost. The temperature λ counts in the
//! distance between the best cost and that which a tenth of the sequences stay below: costs span orders of magnitude in
//! one episode, and a λ that suits a plant far from its aim averages everything near it.

use super::common::Common;
use super::noise::{Around, Noise};
use super::{MppiSettings, SamplingError};
use crate::control::rollouts::Rollouts;
use crate::decide::{Plan, Planner, Situation};

/// Partial sums of an average, so that it becomes vector code.
const SUMS: usize = 8;

/// The planner.
pub struct Mppi {
    common: Common,
    noise: Noise,
    settings: MppiSettings,
    weights: Vec<f64>,
}

impl Mppi {
    /// A planner for these rollouts.
    ///
    /// # Errors
    /// An input without bounds, a setting out of its range, or more than fits into memory.
    pub fn new(rollouts: Box<dyn Rollouts>, settings: MppiSettings) -> Result<Mppi, SamplingError> {
        super::check_noise(settings.noise, settings.smoothing, settings.narrowest)?;
        if settings.temperature.is_nan() || settings.temperature <= 0.0 {
            return Err(SamplingError::Setting("temperature"));
        }
        if settings.iterations == 0 {
            return Err(SamplingError::Setting("iterations"));
        }
        let common = Common::new(rollouts, settings.samples)?;
        Ok(Mppi {
            noise: Noise::new(common.n_inputs, settings.samples, settings.smoothing, settings.narrowest),
            weights: vec![0.0; settings.samples],
            common,
            settings,
        })
    }

    /// Turns the costs into weights that add up to one.
    fn weigh(&mut self) {
        let n_elites = self.weights.len().div_ceil(10);
        let common = &mut self.common;
        common.sort_best(n_elites);
        let best = common.costs[common.order[0] as usize];
        let elite = common.costs[common.order[n_elites - 1] as usize];
        let spread = if elite.is_finite() { elite - best } else { 0.0 };
        // Where a tenth are equally good, only they count.
        let lambda = (self.settings.temperature * spread).max(f64::MIN_POSITIVE);
        let mut sum = 0.0;
        for (weight, cost) in self.weights.iter_mut().zip(&common.costs) {
            *weight = (-(cost - best) / lambda).exp();
            sum += *weight;
        }
        let scale = 1.0 / sum;
        self.weights.iter_mut().for_each(|weight| *weight *= scale);
    }
}

impl Planner for Mppi {
    fn reset(&mut self, seed: u64) {
        self.common.reset(seed);
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let mut rng = self.common.begin(now);
        let mut is_found = false;
        for _ in 0..self.settings.iterations {
            let common = &mut self.common;
            let m = common.n_inputs;
            let (plan, lower, upper) = (&common.plan, &common.lower, &common.upper);
            self.noise.fill(&mut rng, &mut common.batch, |row| Around {
                mean: plan[row],
                sd: self.settings.noise * (upper[row % m] - lower[row % m]),
                lower: lower[row % m],
                upper: upper[row % m],
            });
            if !common.roll_out() {
                break;
            }
            is_found = true;
            self.weigh();
            let n = self.weights.len();
            for (value, row) in self.common.plan.iter_mut().zip(self.common.batch.chunks_exact(n)) {
                *value = dot(&self.weights, row);
            }
        }
        self.common.answer(is_found, self.settings.iterations)
    }
}

/// Σ a b by partial sums in a fixed order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; SUMS];
    let (a_chunks, b_chunks) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}
