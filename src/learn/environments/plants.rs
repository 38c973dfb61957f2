//! Copies of a plant, each with an integrator of its own.

use super::kept::{Kind, from_bytes, to_bytes};
use super::{EnvironmentError, Prepared, no_copy, no_start, of_episode};
use crate::control::plant::Plant;
use crate::decide::{Environment, Environments, Space, Step};
use crate::random::Rng;

/// Copies of the plant of a task.
pub struct Plants<'s> {
    prepared: &'s Prepared,
    copies: Vec<Plant<'s>>,
    is_waiting: Vec<bool>,
}

impl<'s> Plants<'s> {
    /// So many copies, all waiting for a reset.
    ///
    /// # Errors
    /// Where the integrator refuses the task's step.
    pub fn new(prepared: &'s Prepared, n_copies: usize) -> Result<Plants<'s>, EnvironmentError> {
        let copies = (0..n_copies).map(|_| prepared.plant()).collect::<Result<_, _>>()?;
        Ok(Plants { prepared, copies, is_waiting: vec![true; n_copies] })
    }

    /// The plants.
    pub fn copies(&self) -> &[Plant<'s>] {
        &self.copies
    }

    fn sizes(&self) -> [usize; 2] {
        [self.copies.len(), self.copies.first().map_or(0, Plant::n_words)]
    }
}

impl Environments for Plants<'_> {
    fn n_copies(&self) -> usize {
        self.copies.len()
    }

    fn observation_space(&self) -> &Space {
        &self.prepared.observation
    }

    fn action_space(&self) -> &Space {
        &self.prepared.action
    }

    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        let n_copies = self.copies.len();
        let plant = self.copies.get_mut(copy).ok_or_else(|| no_copy(copy, n_copies))?;
        plant.begin(&mut of_episode(rng));
        plant.observe(observation);
        no_start(self.prepared.task(), plant.state(), observation, &self.prepared.observation)?;
        self.is_waiting[copy] = false;
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let (n_actions, n_observed) = (self.prepared.action.len(), self.prepared.observation.len());
        for (copy, plant) in self.copies.iter_mut().enumerate().filter(|(copy, _)| !self.is_waiting[*copy]) {
            let action = &actions[copy * n_actions..][..n_actions];
            steps[copy] = plant.step(action, &mut observations[copy * n_observed..][..n_observed]);
        }
        for (is_waiting, step) in self.is_waiting.iter_mut().zip(steps) {
            *is_waiting |= step.terminated || step.truncated;
        }
    }

    fn reason(&self, copy: usize) -> &str {
        self.copies.get(copy).map_or("", Plant::message)
    }

    fn save(&self) -> Vec<u8> {
        let mut words: Vec<u64> = self.is_waiting.iter().map(|&is_waiting| u64::from(is_waiting)).collect();
        self.copies.iter().for_each(|plant| plant.save(&mut words));
        to_bytes(Kind::Plants, self.prepared.fingerprint, &self.sizes(), &words)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let [n_copies, n_words] = self.sizes();
        let words = from_bytes(Kind::Plants, self.prepared.fingerprint, &[n_copies, n_words], saved)?;
        if words.len() != n_copies * (1 + n_words) {
            return Err("the bytes of the environment are cut off".into());
        }
        let (waiting, plants) = words.split_at(n_copies);
        for (is_waiting, word) in self.is_waiting.iter_mut().zip(waiting) {
            *is_waiting = *word != 0;
        }
        let is_whole =
            self.copies.iter_mut().zip(plants.chunks_exact(n_words.max(1))).all(|(p, words)| p.restore(words));
        if is_whole { Ok(()) } else { Err("the bytes of the environment are not those of its plants".into()) }
    }
}
