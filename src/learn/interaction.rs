//! Interaction on copies of an environment one step at a time: episodes begin, go on and end, and are told of.
//!
//! The start of an episode is drawn from the generator of its number, so it does not depend on what was drawn before. A copy
//! whose episode ended waits until [`Interaction::begin`], so between episodes there is nothing of it to be kept.

use super::learner::{Episode, LearnError, Log};
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Step};
use crate::random::stream;

/// Index of the generator of episode 0; those below are the learners' own.
const EPISODES: u64 = 1 << 32;

/// Copies of an environment with the episodes they are in.
pub struct Interaction<E: Environments + ?Sized> {
    seed: u64,
    n_steps: u64,
    n_begun: u64,
    n_ended: u64,
    /// `n_copies × n_observations`: what is observed now.
    observations: Vec<f64>,
    /// What was observed after the last step, before any reset.
    next_observations: Vec<f64>,
    /// `n_copies × n_actions`: what is done now.
    actions: Vec<f64>,
    steps: Vec<Step>,
    copies: Vec<Copy>,
    environments: Box<E>,
}

/// The episode that a copy is in.
#[derive(Debug, Clone, Default)]
struct Copy {
    /// It is over, or none began yet.
    is_over: bool,
    length: u64,
    total: f64,
}

impl<E: Environments + ?Sized> Interaction<E> {
    /// Before the first episode.
    pub fn new(environments: Box<E>, seed: u64) -> Interaction<E> {
        let n = environments.n_copies();
        let (n_o, n_a) = (environments.observation_space().len(), environments.action_space().len());
        let nothing = Step { reward: 0.0, terminated: false, truncated: false, failed: false };
        Interaction {
            seed,
            n_steps: 0,
            n_begun: 0,
            n_ended: 0,
            observations: vec![0.0; n * n_o],
            next_observations: vec![0.0; n * n_o],
            actions: vec![0.0; n * n_a],
            steps: vec![nothing; n],
            copies: vec![Copy { is_over: true, ..Copy::default() }; n],
            environments,
        }
    }

    /// The environments.
    pub fn environments(&mut self) -> &mut E {
        &mut self.environments
    }

    /// How many copies.
    pub fn n_copies(&self) -> usize {
        self.copies.len()
    }

    /// Steps of all copies so far.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Episodes that ended.
    pub fn n_episodes(&self) -> u64 {
        self.n_ended
    }

    /// True where a copy waits for its next episode; the environments keep what the others are in the middle of.
    pub fn is_between(&self) -> bool {
        self.copies.iter().any(|copy| copy.is_over)
    }

    /// `n_copies × n_observations`: what is observed now.
    pub fn observations(&self) -> &[f64] {
        &self.observations
    }

    /// `n_copies × n_observations`: what was observed after the last step.
    pub fn next_observations(&self) -> &[f64] {
        &self.next_observations
    }

    /// `n_copies × n_actions`: what is done by the next step.
    pub fn actions_mut(&mut self) -> &mut [f64] {
        &mut self.actions
    }

    /// `n_copies`: what the last step gave.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Begins an episode of every copy that waits for one.
    ///
    /// # Errors
    /// Where an episode has no start, or one that is not finite.
    pub fn begin(&mut self) -> Result<(), LearnError> {
        let n_o = self.observations.len() / self.copies.len().max(1);
        for (k, copy) in self.copies.iter_mut().enumerate().filter(|(_, copy)| copy.is_over) {
            let observation = &mut self.observations[k * n_o..(k + 1) * n_o];
            let mut rng = stream(self.seed, EPISODES + self.n_begun);
            let begun = self.environments.reset(k, &mut rng, observation);
            begun.map_err(|reason| LearnError::Reset { episode: self.n_begun, reason })?;
            if observation.iter().any(|o| !o.is_finite()) {
                return Err(LearnError::NotFinite { what: "the observation at a start", at_step: self.n_steps });
            }
            self.n_begun += 1;
            *copy = Copy::default();
        }
        Ok(())
    }

    /// Does what [`Interaction::actions_mut`] holds on every copy, and tells of the episodes that ended.
    /// [`Interaction::next_observations`] and [`Interaction::steps`] then hold what came of it; [`Interaction::go_on`] makes it the present.
    ///
    /// # Errors
    /// Where a reward or an observation is not finite.
    pub fn step(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        self.environments.step(&self.actions, &mut self.next_observations, &mut self.steps);
        self.n_steps += self.copies.len() as u64;
        let at_step = self.n_steps;
        if self.steps.iter().any(|step| !step.reward.is_finite()) {
            return Err(LearnError::NotFinite { what: "the reward", at_step });
        }
        if self.next_observations.iter().any(|o| !o.is_finite()) {
            return Err(LearnError::NotFinite { what: "the observation", at_step });
        }
        for (copy, step) in self.copies.iter_mut().zip(&self.steps) {
            copy.length += 1;
            copy.total += step.reward;
            if step.terminated || step.truncated {
                copy.is_over = true;
                let (index, length) = (self.n_ended, copy.length);
                self.n_ended += 1;
                log.episode(&Episode {
                    index,
                    at_step,
                    length,
                    total: copy.total,
                    last_reward: step.reward,
                    failed: step.failed,
                    truncated: step.truncated,
                });
            }
        }
        Ok(())
    }

    /// What was observed after the last step is what is observed now.
    pub fn go_on(&mut self) {
        self.observations.copy_from_slice(&self.next_observations);
    }

    /// Writes everything that later steps depend on.
    pub fn save(&self, to: &mut Tensors) {
        to.put("acting/counts", &[4], &[self.seed, self.n_steps, self.n_begun, self.n_ended]);
        to.put("acting/observations", &[self.observations.len()], &self.observations);
        let over: Vec<u8> = self.copies.iter().map(|copy| u8::from(copy.is_over)).collect();
        let lengths: Vec<u64> = self.copies.iter().map(|copy| copy.length).collect();
        let totals: Vec<f64> = self.copies.iter().map(|copy| copy.total).collect();
        to.put("acting/over", &[over.len()], &over);
        to.put("acting/lengths", &[lengths.len()], &lengths);
        to.put("acting/totals", &[totals.len()], &totals);
        let environments = self.environments.save();
        to.put("acting/environments", &[environments.len()], &environments);
    }

    /// Reads what [`Interaction::save`] wrote.
    ///
    /// # Errors
    /// Where something is missing, of another size, or not of such an environment.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        let n = self.copies.len();
        let counts = from.get::<u64>("acting/counts", &[4])?;
        let observations = from.get::<f64>("acting/observations", &[self.observations.len()])?;
        let over = from.get::<u8>("acting/over", &[n])?;
        let lengths = from.get::<u64>("acting/lengths", &[n])?;
        let totals = from.get::<f64>("acting/totals", &[n])?;
        self.environments.restore(from.shaped::<u8>("acting/environments")?.0).map_err(TensorError::Format)?;
        [self.seed, self.n_steps, self.n_begun, self.n_ended] = [counts[0], counts[1], counts[2], counts[3]];
        self.observations.copy_from_slice(observations);
        let each = over.iter().zip(lengths).zip(totals);
        self.copies =
            each.map(|((over, length), total)| Copy { is_over: *over != 0, length: *length, total: *total }).collect();
        Ok(())
    }
}
