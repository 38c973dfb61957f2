//! What all learning algorithms have in common: they go on by units of work, tell what happens, and can be kept.

use super::tensors::{TensorError, Tensors};
use crate::decide::Policy;

/// An episode that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Which, in the order of their ends, from 0.
    pub index: u64,
    /// Environment steps of all copies at its end.
    pub at_step: u64,
    /// Its own steps.
    pub length: u64,
    /// Sum of its rewards.
    pub total: f64,
    /// The last reward, which a failure's penalty is part of.
    pub last_reward: f64,
    /// It ended as a failure.
    pub failed: bool,
    /// Its time was up.
    pub truncated: bool,
}

/// Told of what happens while something learns.
pub trait Log {
    /// An episode ended.
    fn episode(&mut self, episode: &Episode);

    /// Something was measured, by names such as `loss/critic`, after so many environment steps.
    fn measured(&mut self, at_step: u64, values: &[(&'static str, f64)]);
}

/// Why learning cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// An episode could not begin.
    #[error("episode {episode} could not begin: {reason}")]
    Reset {
        /// Which, from 0.
        episode: u64,
        /// Why.
        reason: String,
    },
    /// A task that the algorithm is not for, or settings that do not fit it; one sentence without a full stop.
    #[error("{0}")]
    Unsuited(String),
    /// A number that is not finite.
    #[error("{what} is not finite after {at_step} steps")]
    NotFinite {
        /// What, such as `the reward` or `the loss of the critics`.
        what: &'static str,
        /// Environment steps until then.
        at_step: u64,
    },
}

/// Learns from acting.
pub trait Learner: Send {
    /// Goes on by one unit: a step of every copy with the updates that belong to it, or a rollout with its epochs.
    ///
    /// # Errors
    /// Where learning cannot go on. The networks are those before the unit, and can be kept.
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError>;

    /// Environment steps of all copies so far.
    fn n_steps(&self) -> u64;

    /// Episodes that ended so far.
    fn n_episodes(&self) -> u64;

    /// True where [`Learner::save`] holds everything that later units depend on, so that going on from it gives the same
    /// bytes as never having stopped: between episodes or between rollouts.
    fn is_between(&self) -> bool;

    /// Everything that later units depend on.
    fn save(&self) -> Tensors;

    /// Goes back to what was saved.
    ///
    /// # Errors
    /// Where it is of another algorithm, task or size.
    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError>;

    /// The policy as it stands, deterministic.
    fn policy(&self) -> Box<dyn Policy>;

    /// The networks of the policy alone, for a file.
    fn save_policy(&self) -> Tensors;
}
