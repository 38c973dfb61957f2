//! The best and the worst episode of a training, step by step, taken from between a learner and its environments.
//!
//! [`Observed`] passes everything on unchanged. What it has seen lies in an [`Album`] that the caller shares with it and
//! keeps in a checkpoint, so that a training that goes on draws the same pictures.

use super::play::{Course, MOST_STEPS};
use crate::decide::{Advised, Environments, Space, Step};
use crate::random::Rng;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// An episode with its course.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Picture {
    /// Which, in the order of their ends.
    pub index: u64,
    /// It failed.
    pub failed: bool,
    /// Mean reward of its steps, the failing one left out.
    pub reward_per_step: f64,
    /// As long as it was, up to [`MOST_STEPS`].
    pub length: u64,
    /// Its course.
    pub course: Course,
}

/// What is kept of a training's episodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Album {
    /// The best episode that did not fail, by mean reward.
    pub best: Option<Picture>,
    /// The first failure, else the worst by mean reward.
    pub worst: Option<Picture>,
    n_episodes: u64,
    /// The episode of each copy so far.
    open: Vec<Course>,
}

/// An album that an environment and its owner share.
pub type Shared = Arc<Mutex<Album>>;

/// Environments whose episodes go into an album.
pub struct Observed<E: ?Sized> {
    album: Shared,
    inner: Box<E>,
}

impl<E: Environments + ?Sized> Observed<E> {
    /// Looks at `inner`.
    pub fn new(inner: Box<E>, album: Shared) -> Observed<E> {
        let open = vec![Course::default(); inner.n_copies()];
        album.lock().unwrap_or_else(PoisonError::into_inner).open = open;
        Observed { album, inner }
    }
}

impl Album {
    fn close(&mut self, copy: usize, failed: bool) {
        let course = std::mem::take(&mut self.open[copy]);
        let index = self.n_episodes;
        self.n_episodes += 1;
        let counted =
            if failed { course.rewards.split_last().map_or(&[][..], |(_, rest)| rest) } else { &course.rewards };
        let reward_per_step = counted.iter().sum::<f64>() / counted.len().max(1) as f64;
        let is_worse = self.worst.as_ref().is_none_or(|worst| match (failed, worst.failed) {
            (true, false) => true,
            (false, false) => reward_per_step < worst.reward_per_step,
            (true, true) | (false, true) => false,
        });
        let is_better = !failed && self.best.as_ref().is_none_or(|best| reward_per_step > best.reward_per_step);
        if !reward_per_step.is_finite() || !is_worse && !is_better {
            return;
        }
        let picture = Picture { index, failed, reward_per_step, length: course.rewards.len() as u64, course };
        if is_better {
            self.best = Some(picture.clone());
        }
        if is_worse {
            self.worst = Some(picture);
        }
    }
}

impl<E: Environments + ?Sized> Environments for Observed<E> {
    fn n_copies(&self) -> usize {
        self.inner.n_copies()
    }

    fn observation_space(&self) -> &Space {
        self.inner.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.inner.action_space()
    }

    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        self.inner.reset(copy, rng, observation)?;
        let mut album = self.album.lock().unwrap_or_else(PoisonError::into_inner);
        album.open[copy] = Course { observations: observation.to_vec(), ..Course::default() };
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        self.inner.step(actions, observations, steps);
        let (n_acted, n_observed) = (self.action_space().len(), self.observation_space().len());
        let mut album = self.album.lock().unwrap_or_else(PoisonError::into_inner);
        for (copy, step) in steps.iter().enumerate() {
            let open = &mut album.open[copy];
            // A copy that waits for its reset has no course.
            if open.observations.is_empty() {
                continue;
            }
            if open.rewards.len() < MOST_STEPS {
                open.observations.extend(&observations[copy * n_observed..(copy + 1) * n_observed]);
                open.actions.extend(&actions[copy * n_acted..(copy + 1) * n_acted]);
                open.rewards.push(step.reward);
            }
            if step.terminated || step.truncated {
                album.close(copy, step.failed);
            }
        }
    }

    fn reason(&self, copy: usize) -> &str {
        self.inner.reason(copy)
    }

    fn save(&self) -> Vec<u8> {
        self.inner.save()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        self.inner.restore(saved)
    }
}

impl<E: Advised + ?Sized> Advised for Observed<E> {
    fn advise(&mut self, advice: &mut [f64]) {
        self.inner.advise(advice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rewards: &[f64]) -> Course {
        Course { observations: vec![0.0; rewards.len() + 1], rewards: rewards.to_vec(), ..Course::default() }
    }

    #[test]
    fn keeps_the_first_failure_and_the_best_success() {
        let mut album = Album { open: vec![Course::default()], ..Album::default() };
        let episodes =
            [(&[-2.0, -2.0][..], false), (&[-1.0, -1e5], true), (&[-9.0, -1e5], true), (&[-1.5, -0.5], false)];
        for (rewards, failed) in episodes {
            album.open[0] = with(rewards);
            album.close(0, failed);
        }
        let of = |picture: &Option<Picture>| picture.as_ref().map(|p| (p.index, p.reward_per_step));
        assert_eq!((of(&album.best), of(&album.worst)), (Some((3, -1.0)), Some((1, -1.0))));
    }
}
