//! What the sampling planners share: the rollouts, the plan that is carried from one situation to the next, the batch of
//! sequences and their costs.

use super::{MOST_NUMBERS, SamplingError};
use crate::control::rollouts::Rollouts;
use crate::decide::{Plan, PlanStatus, Situation};
use crate::random::{Rng, stream};

/// See the module.
pub(super) struct Common {
    pub(super) rollouts: Box<dyn Rollouts>,
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
    pub(super) n_inputs: usize,
    /// `horizon × n_inputs`, row major: the plan.
    pub(super) plan: Vec<f64>,
    /// `(horizon · n_inputs) × n_samples`
    pub(super) batch: Vec<f64>,
    /// `n_samples`
    pub(super) costs: Vec<f64>,
    /// Samples, those with the lowest costs first as far as [`Common::sort_best`] was asked.
    pub(super) order: Vec<u32>,
    /// `(horizon + 1) × n_states`
    states: Vec<f64>,
    /// `horizon × n_inputs`
    candidate: Vec<f64>,
    seed: u64,
    n_plans: u64,
}

impl Common {
    pub(super) fn new(rollouts: Box<dyn Rollouts>, n_samples: usize) -> Result<Common, SamplingError> {
        let (dims, horizon) = (rollouts.dims(), rollouts.horizon());
        if horizon == 0 {
            return Err(SamplingError::NoHorizon);
        }
        if dims.n_inputs == 0 {
            return Err(SamplingError::NoInputs);
        }
        if n_samples == 0 {
            return Err(SamplingError::Setting("samples"));
        }
        let (lower, upper) = rollouts.input_bounds();
        let (lower, upper) = (lower.to_vec(), upper.to_vec());
        for (input, (low, high)) in lower.iter().zip(&upper).enumerate() {
            if !(low.is_finite() && high.is_finite()) {
                return Err(SamplingError::Unbounded(input));
            }
            if low > high {
                return Err(SamplingError::Contradictory(input));
            }
        }
        let numbers = horizon.saturating_mul(dims.n_inputs);
        if numbers.saturating_mul(n_samples) > MOST_NUMBERS {
            return Err(SamplingError::TooLarge { samples: n_samples, numbers });
        }
        Ok(Common {
            lower,
            upper,
            n_inputs: dims.n_inputs,
            plan: vec![0.0; numbers],
            batch: vec![0.0; numbers * n_samples],
            costs: vec![0.0; n_samples],
            order: Vec::with_capacity(n_samples),
            states: vec![0.0; (horizon + 1) * dims.n_states],
            candidate: vec![0.0; numbers],
            rollouts,
            seed: 1,
            n_plans: 0,
        })
    }

    pub(super) fn n_samples(&self) -> usize {
        self.costs.len()
    }

    pub(super) fn reset(&mut self, seed: u64) {
        self.seed = seed;
        self.n_plans = 0;
    }

    /// Takes in the situation: the plan becomes the one before, shifted by a step, or at first the input that acts now,
    /// held. Returns the generator of this plan.
    pub(super) fn begin(&mut self, now: &Situation<'_>) -> Rng {
        let m = self.n_inputs;
        if self.n_plans == 0 {
            for (k, value) in self.plan.iter_mut().enumerate() {
                let held = now.previous.get(k % m).copied().filter(|u| u.is_finite()).unwrap_or(0.0);
                *value = held.clamp(self.lower[k % m], self.upper[k % m]);
            }
        } else {
            self.plan.copy_within(m.., 0);
        }
        self.rollouts.begin(now);
        self.n_plans += 1;
        stream(self.seed, self.n_plans)
    }

    /// True while the first plan since the reset is made.
    pub(super) fn is_first(&self) -> bool {
        self.n_plans == 1
    }

    /// The plan becomes the candidate; returns its cost.
    pub(super) fn begin_candidate(&mut self) -> f64 {
        self.candidate.copy_from_slice(&self.plan);
        self.plan_cost()
    }

    /// An input's range, the unit of spreads.
    pub(super) fn range(&self, input: usize) -> f64 {
        self.upper[input] - self.lower[input]
    }

    /// Rolls the batch out. False where no cost is finite.
    pub(super) fn roll_out(&mut self) -> bool {
        let n = self.n_samples();
        self.rollouts.costs(n, &self.batch, &mut self.costs);
        self.costs.iter().any(|cost| cost.is_finite())
    }

    /// Puts the `n_best` samples of lowest cost first, in ascending order; of equal ones, the first drawn.
    pub(super) fn sort_best(&mut self, n_best: usize) {
        self.order.clear();
        self.order.extend(0..self.costs.len() as u32);
        let costs = &self.costs;
        let key = |a: &u32, b: &u32| costs[*a as usize].total_cmp(&costs[*b as usize]).then(a.cmp(b));
        let n_best = n_best.clamp(1, self.order.len());
        if n_best < self.order.len() {
            self.order.select_nth_unstable_by(n_best - 1, key);
        }
        self.order[..n_best].sort_unstable_by(key);
    }

    /// The sequence of one sample becomes the candidate.
    pub(super) fn keep_candidate(&mut self, sample: usize) {
        let n = self.n_samples();
        for (value, row) in self.candidate.iter_mut().zip(self.batch.chunks_exact(n)) {
            *value = row[sample];
        }
    }

    /// The candidate becomes the plan.
    pub(super) fn take_candidate(&mut self) {
        self.plan.copy_from_slice(&self.candidate);
    }

    /// The answer from the plan.
    pub(super) fn answer(&mut self, is_found: bool, iterations: usize) -> Plan<'_> {
        let outcome = self.rollouts.predict(&self.plan, &mut self.states);
        let status = if is_found && outcome.cost.is_finite() { PlanStatus::Improved } else { PlanStatus::Failed };
        let message = match status {
            PlanStatus::Improved => "",
            PlanStatus::Failed
            | PlanStatus::Optimal
            | PlanStatus::IterationLimit
            | PlanStatus::Stagnated
            | PlanStatus::Infeasible
            | PlanStatus::Deadline => "no input sequence that was drawn has a finite cost",
        };
        Plan {
            input: &self.plan[..self.n_inputs],
            states: &self.states,
            inputs: &self.plan,
            cost: outcome.cost,
            violation: outcome.violation,
            status,
            iterations,
            message,
        }
    }

    /// Cost of the plan.
    pub(super) fn plan_cost(&mut self) -> f64 {
        self.rollouts.predict(&self.plan, &mut self.states).cost
    }
}
