//! Transitions to learn from again: a ring that keeps the latest.
//!
//! Numbers are kept in `f32`, as networks see them, 4 bytes each: a row has two observations, what was done, a reward and
//! whether the future ends there, and what a controller advised where there is one, so a million transitions of three observations and one action take 36 MB. Memory grows
//! as the ring fills.

use rand::Rng as _;

use super::tensors::{TensorError, Tensors};
use crate::random::Rng;

/// The latest transitions.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    n_observations: usize,
    n_actions: usize,
    n_advice: usize,
    capacity: usize,
    /// Row that the next transition is written to once the ring is full.
    next: usize,
    rows: Vec<f32>,
}

/// One transition, in the units of the networks.
#[derive(Debug, Clone, Copy)]
pub struct Transition<'a> {
    /// `n_observations`: what was observed before.
    pub observation: &'a [f32],
    /// `n_actions`: what was done.
    pub action: &'a [f32],
    /// `n_advice`: what a controller would have done; empty where none was asked.
    pub advice: &'a [f32],
    /// What it earned.
    pub reward: f32,
    /// `n_observations`: what was observed after.
    pub next_observation: &'a [f32],
    /// Nothing is to be expected from there on.
    pub is_terminal: bool,
}

/// Transitions drawn from a replay, column by column.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// `batch × n_observations`, row major.
    pub observations: Vec<f32>,
    /// `batch × n_actions`, row major.
    pub actions: Vec<f32>,
    /// `batch × n_advice`, row major.
    pub advice: Vec<f32>,
    /// `batch`.
    pub rewards: Vec<f32>,
    /// `batch × n_observations`, row major.
    pub next_observations: Vec<f32>,
    /// `batch`: 0 where nothing is to be expected from there on, else 1.
    pub goes_on: Vec<f32>,
}

impl Replay {
    /// Empty, for at most `capacity` transitions.
    pub fn new(n_observations: usize, n_actions: usize, n_advice: usize, capacity: usize) -> Replay {
        Replay { n_observations, n_actions, n_advice, capacity: capacity.max(1), next: 0, rows: Vec::new() }
    }

    fn width(&self) -> usize {
        2 * self.n_observations + self.n_actions + self.n_advice + 2
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.width()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds one; the oldest goes where the ring is full.
    pub fn push(&mut self, one: &Transition<'_>) {
        let goes_on = if one.is_terminal { 0.0 } else { 1.0 };
        let row = one.observation.iter().chain(one.action).chain(one.advice).chain(one.next_observation);
        let row = row.copied().chain([one.reward, goes_on]);
        if self.len() < self.capacity {
            self.rows.extend(row);
            return;
        }
        let start = self.next * self.width();
        for (place, value) in self.rows[start..].iter_mut().zip(row) {
            *place = value;
        }
        self.next = (self.next + 1) % self.capacity;
    }

    /// Fills `batch` with `n` transitions, each any of those there with the same chance. Does nothing where there are none.
    pub fn draw(&self, n: usize, rng: &mut Rng, batch: &mut Batch) {
        batch.clear();
        let (n_o, n_a) = (self.n_observations, self.n_actions);
        if self.is_empty() {
            return;
        }
        for _ in 0..n {
            let start = rng.random_range(0..self.len()) * self.width();
            let (observation, rest) = self.rows[start..start + self.width()].split_at(n_o);
            let (action, rest) = rest.split_at(n_a);
            let (advice, rest) = rest.split_at(self.n_advice);
            let (next_observation, last) = rest.split_at(n_o);
            batch.observations.extend_from_slice(observation);
            batch.actions.extend_from_slice(action);
            batch.advice.extend_from_slice(advice);
            batch.next_observations.extend_from_slice(next_observation);
            batch.rewards.push(last[0]);
            batch.goes_on.push(last[1]);
        }
    }

    /// Writes it as `<name>/rows` and `<name>/next`.
    pub fn save(&self, name: &str, to: &mut Tensors) {
        to.put(&format!("{name}/rows"), &[self.len(), self.width()], &self.rows);
        to.put_one(&format!("{name}/next"), self.next as u64);
    }

    /// Reads what [`Replay::save`] wrote; nothing changes where it does not fit.
    ///
    /// # Errors
    /// Where an array is missing, of another shape, or longer than this ring.
    pub fn load(&mut self, name: &str, from: &Tensors) -> Result<(), TensorError> {
        let rows = format!("{name}/rows");
        let n = from.shaped::<f32>(&rows)?.1.first().copied().unwrap_or(0);
        let list = from.get::<f32>(&rows, &[n.min(self.capacity), self.width()])?;
        let next = from.get_one::<u64>(&format!("{name}/next"))? as usize;
        self.next = if n < self.capacity { 0 } else { next % self.capacity };
        self.rows = list.to_vec();
        Ok(())
    }
}

impl Batch {
    fn clear(&mut self) {
        self.observations.clear();
        self.actions.clear();
        self.advice.clear();
        self.rewards.clear();
        self.next_observations.clear();
        self.goes_on.clear();
    }

    /// How many transitions.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    fn push(replay: &mut Replay, k: usize) {
        let v = k as f32;
        replay.push(&Transition {
            observation: &[v, v + 0.25],
            action: &[-v],
            advice: &[0.5 * v],
            reward: 2.0 * v,
            next_observation: &[v + 1.0, v + 1.25],
            is_terminal: k.is_multiple_of(3),
        });
    }

    #[test]
    fn the_latest_are_kept_whole() {
        let mut replay = Replay::new(2, 1, 1, 10);
        for k in 0..27 {
            push(&mut replay, k);
            assert_eq!(replay.len(), (k + 1).min(10));
        }
        let mut batch = Batch::default();
        replay.draw(1000, &mut stream(1, 0), &mut batch);
        assert_eq!(batch.len(), 1000);
        let mut counts = [0; 27];
        for (i, action) in batch.actions.iter().enumerate() {
            let v = -action;
            counts[v as usize] += 1;
            assert_eq!(batch.observations[2 * i..2 * i + 2], [v, v + 0.25]);
            assert_eq!(batch.next_observations[2 * i..2 * i + 2], [v + 1.0, v + 1.25]);
            assert_eq!((batch.advice[i], batch.rewards[i]), (0.5 * v, 2.0 * v));
            assert_eq!(batch.goes_on[i], if (v as usize).is_multiple_of(3) { 0.0 } else { 1.0 });
        }
        assert!(counts[..17].iter().all(|n| *n == 0), "{counts:?}");
        // Of binomial(1000, 0.1), 60 and 140 are four standard deviations away.
        assert!(counts[17..].iter().all(|n| (60..140).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_kept_ring_goes_on_as_if_never_kept() {
        let mut replay = Replay::new(2, 1, 1, 10);
        (0..13).for_each(|k| push(&mut replay, k));
        let mut kept = Tensors::default();
        replay.save("replay", &mut kept);
        let mut again = Replay::new(2, 1, 1, 10);
        again.load("replay", &kept).expect("the same sizes");
        (13..20).for_each(|k| [&mut replay, &mut again].into_iter().for_each(|r| push(r, k)));
        assert_eq!(replay, again);
        assert!(Replay::new(2, 1, 1, 9).load("replay", &kept).is_err());
        assert!(Replay::new(3, 1, 1, 10).load("replay", &kept).is_err());
    }
}
