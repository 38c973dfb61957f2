//! Copies of an environment with what learning keeps beside them: what was observed last, how far each episode is, and how
//! many there were.
//!
//! The start of an episode is drawn from a generator that belongs to its number, so that it depends neither on how many
//! copies there are of other episodes nor on what was drawn for actions.

use super::learner::{Episode, LearnError, Log};
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Step};
use crate::random;

/// Generators of a learner, by what they are for; that of the start of episode `k` is `EPISODES + k`.
pub mod streams {
    /// First weights of networks.
    pub const NETWORKS: u64 = 0;
    /// Draws of actions.
    pub const ACTIONS: u64 = 1;
    /// Which experience is learnt from, and in which order.
    pub const BATCHES: u64 = 2;
    /// Start of the first episode.
    pub const EPISODES: u64 = 1 << 32;
}

/// Copies that are acted on, each in some episode.
pub struct Copies<E: Environments + ?Sized> {
    environments: Box<E>,
    seed: u64,
    n_observations: usize,
    observations: Vec<f64>,
    last: Vec<f64>,
    steps: Vec<Step>,
    lengths: Vec<u64>,
    totals: Vec<f64>,
    n_steps: u64,
    n_started: u64,
    n_ended: u64,
}

impl<E: Environments + ?Sized> Copies<E> {
    /// Copies whose first episodes have not begun; `seed` draws their starts.
    pub fn new(environments: Box<E>, seed: u64) -> Copies<E> {
        let n = environments.n_copies();
        let n_observations = environments.observation_space().len();
        let still = Step { reward: 0.0, terminated: false, truncated: false, failed: false };
        Copies {
            environments,
            seed,
            n_observations,
            observations: vec![0.0; n * n_observations],
            last: vec![0.0; n * n_observations],
            steps: vec![still; n],
            lengths: vec![0; n],
            totals: vec![0.0; n],
            n_steps: 0,
            n_started: 0,
            n_ended: 0,
        }
    }

    /// The environments themselves.
    pub fn environments(&mut self) -> &mut E {
        &mut self.environments
    }

    /// The environments themselves, to look at.
    pub fn view(&self) -> &E {
        &self.environments
    }

    /// How many copies.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// True without copies.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// `n_copies × n_observations`: what is observed now.
    pub fn observations(&self) -> &[f64] {
        &self.observations
    }

    /// `n_copies × n_observations`: what the last step gave, also where an episode ended there.
    pub fn last(&self) -> &[f64] {
        &self.last
    }

    /// `n_copies`: what the last step gave.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Steps of all copies so far.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Episodes that ended so far.
    pub fn n_ended(&self) -> u64 {
        self.n_ended
    }

    /// Begins the first episodes where they have not begun.
    ///
    /// # Errors
    /// Where an episode has no start.
    pub fn begin(&mut self) -> Result<(), LearnError> {
        if self.n_started == 0 {
            for copy in 0..self.len() {
                self.reset(copy)?;
            }
        }
        Ok(())
    }

    fn reset(&mut self, copy: usize) -> Result<(), LearnError> {
        let episode = self.n_started;
        let mut rng = random::stream(self.seed, streams::EPISODES + episode);
        let row = copy * self.n_observations..(copy + 1) * self.n_observations;
        let observation = &mut self.observations[row];
        self.environments.reset(copy, &mut rng, observation).map_err(|reason| LearnError::Reset { episode, reason })?;
        if observation.iter().any(|v| !v.is_finite()) {
            return Err(LearnError::NotFinite { what: "an observation", at_step: self.n_steps });
        }
        (self.lengths[copy], self.totals[copy]) = (0, 0.0);
        self.n_started += 1;
        Ok(())
    }

    /// Acts on all copies, `actions: n_copies × n_actions`; begins the next episode of those that ended, and tells `log`.
    ///
    /// # Errors
    /// Where a reward or an observation is not finite, or an episode has no start.
    pub fn act(&mut self, actions: &[f64], log: &mut dyn Log) -> Result<(), LearnError> {
        self.environments.step(actions, &mut self.last, &mut self.steps);
        self.n_steps += self.len() as u64;
        let at_step = self.n_steps;
        if self.steps.iter().any(|step| !step.reward.is_finite()) {
            return Err(LearnError::NotFinite { what: "the reward", at_step });
        }
        if self.last.iter().any(|v| !v.is_finite()) {
            return Err(LearnError::NotFinite { what: "an observation", at_step });
        }
        self.observations.copy_from_slice(&self.last);
        for copy in 0..self.len() {
            let step = self.steps[copy];
            self.lengths[copy] += 1;
            self.totals[copy] += step.reward;
            if step.terminated || step.truncated {
                log.episode(&Episode {
                    index: self.n_ended,
                    at_step,
                    length: self.lengths[copy],
                    total: self.totals[copy],
                    last_reward: step.reward,
                    failed: step.failed,
                    truncated: step.truncated && !step.terminated,
                });
                self.n_ended += 1;
                self.reset(copy)?;
            }
        }
        Ok(())
    }

    /// Puts everything that later steps depend on.
    pub fn save(&self, to: &mut Tensors) {
        let n = self.len();
        to.put("copies/observations", &[n, self.n_observations], &self.observations);
        to.put("copies/lengths", &[n], &self.lengths);
        to.put("copies/totals", &[n], &self.totals);
        to.put("copies/counts", &[4], &[self.seed, self.n_steps, self.n_started, self.n_ended]);
        let environments = self.environments.save();
        to.put("copies/environments", &[environments.len()], &environments);
    }

    /// Goes back to what was saved.
    ///
    /// # Errors
    /// Where it is of other environments.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        let n = self.len();
        let observations = from.get::<f64>("copies/observations", &[n, self.n_observations])?;
        let lengths = from.get::<u64>("copies/lengths", &[n])?;
        let totals = from.get::<f64>("copies/totals", &[n])?;
        let counts = from.get::<u64>("copies/counts", &[4])?;
        let (environments, _) = from.shaped::<u8>("copies/environments")?;
        self.environments.restore(environments).map_err(TensorError::Format)?;
        self.observations.copy_from_slice(observations);
        self.lengths.copy_from_slice(lengths);
        self.totals.copy_from_slice(totals);
        (self.seed, self.n_steps, self.n_started, self.n_ended) = (counts[0], counts[1], counts[2], counts[3]);
        Ok(())
    }
}
