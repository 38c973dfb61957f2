//! The algorithms that a study can name, each with its table of settings and the way it is made for environments.
//!
//! `algorithm sac { lr = 1e-3 }` becomes a [`Learner`] by [`make`] or [`make_advised`], a file of its policy becomes a policy
//! again by [`policy`]; a checker gets the same tables from [`LearnerKind::settings`] and [`LearnerKind::part`].

use super::learner::{LearnError, Learner};
use super::policy::Squashed;
use super::sac::{self, Sac, SacSettings};
use super::tensors::{TensorError, Tensors};
use super::train::PRETRAIN;
use crate::decide::{Advised, Environments, Policy, Space};
use crate::hir::settings::SettingSpec;
use crate::hir::task::Algorithm;

/// An algorithm that learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LearnerKind {
    /// A policy blended with a planner.
    Acr,
    /// Soft actor-critic.
    Sac,
    /// Twin delayed deterministic policy gradients.
    Td3,
    /// Proximal policy optimisation.
    Ppo,
    /// The same with a price on failures.
    PpoLagrangian,
    /// Constrained policy optimisation.
    Cpo,
    /// Deep Q-learning.
    Dqn,
}

impl LearnerKind {
    /// All of them, in the order of the manual.
    pub const ALL: [LearnerKind; 7] = [
        LearnerKind::Acr,
        LearnerKind::Sac,
        LearnerKind::Td3,
        LearnerKind::Ppo,
        LearnerKind::PpoLagrangian,
        LearnerKind::Cpo,
        LearnerKind::Dqn,
    ];

    /// The algorithm of this name.
    pub fn find(name: &str) -> Option<LearnerKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As written behind `algorithm`.
    pub const fn name(self) -> &'static str {
        match self {
            LearnerKind::Acr => "acr",
            LearnerKind::Sac => "sac",
            LearnerKind::Td3 => "td3",
            LearnerKind::Ppo => "ppo",
            LearnerKind::PpoLagrangian => "ppo_lagrangian",
            LearnerKind::Cpo => "cpo",
            LearnerKind::Dqn => "dqn",
        }
    }

    /// Its table of settings.
    pub const fn settings(self) -> &'static [SettingSpec] {
        match self {
            LearnerKind::Sac => sac::SETTINGS,
            _ => &[],
        }
    }

    /// Names of its parts, beside those that plan.
    pub const fn parts(self) -> &'static [&'static str] {
        match self {
            LearnerKind::Acr => &["focus", "sac"],
            LearnerKind::Sac | LearnerKind::Cpo | LearnerKind::Td3 | LearnerKind::Ppo => &["pretrain"],
            LearnerKind::PpoLagrangian | LearnerKind::Dqn => &["pretrain"],
        }
    }

    /// The table of settings of one of its parts.
    pub fn part(self, name: &str) -> Option<&'static [SettingSpec]> {
        match name {
            "pretrain" if self != LearnerKind::Acr => Some(PRETRAIN),
            _ => None,
        }
    }

    /// Copies of the plant that it acts on together unless a study says otherwise.
    pub const fn n_copies(self) -> usize {
        match self {
            LearnerKind::Ppo | LearnerKind::PpoLagrangian => 8,
            LearnerKind::Acr | LearnerKind::Sac | LearnerKind::Td3 | LearnerKind::Cpo | LearnerKind::Dqn => 1,
        }
    }

    /// True where a controller stands beside it.
    pub const fn is_advised(self) -> bool {
        match self {
            LearnerKind::Acr => true,
            LearnerKind::Sac
            | LearnerKind::Td3
            | LearnerKind::Ppo
            | LearnerKind::PpoLagrangian
            | LearnerKind::Cpo
            | LearnerKind::Dqn => false,
        }
    }
}

/// What a learner is made with.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// Its settings and parts.
    pub algorithm: &'a Algorithm,
    /// Of all its draws.
    pub seed: u64,
    /// Environment steps that are planned, for what changes with time; 0 where that is not known.
    pub total_steps: u64,
    /// The policy of an earlier training to begin from.
    pub start: Option<&'a Tensors>,
}

/// A learner of a kind that has no controller beside it.
///
/// # Errors
/// [`LearnError::Unsuited`] where the task, its settings, or the policy to begin from do not fit.
pub fn make(
    kind: LearnerKind,
    making: Making<'_>,
    environments: Box<dyn Environments>,
) -> Result<Box<dyn Learner>, LearnError> {
    let Making { algorithm, seed, total_steps, start } = making;
    let block = &algorithm.settings;
    let _ = total_steps;
    match kind {
        LearnerKind::Sac => {
            let mut learner = Sac::new(environments, SacSettings::default().with(block), seed);
            if let Some(start) = start {
                learner.start_from(start).map_err(unsuited)?;
            }
            Ok(Box::new(learner))
        }
        _ => Err(LearnError::Reset { episode: 0, reason: String::new() }),
    }
}

fn unsuited(error: TensorError) -> LearnError {
    LearnError::Reset { episode: 0, reason: error.to_string() }
}

/// A learner with a controller beside it.
///
/// # Errors
/// As [`make`].
pub fn make_advised(making: Making<'_>, environments: Box<dyn Advised>) -> Result<Box<dyn Learner>, LearnError> {
    let _ = (making, environments);
    Err(LearnError::Reset { episode: 0, reason: String::new() })
}

/// The policy in a file, for a task with these spaces. Of a kind with a controller beside it, the policy sees behind an
/// observation what the controller advises.
///
/// # Errors
/// Where an array is missing or of another shape.
pub fn policy(
    kind: LearnerKind,
    saved: &Tensors,
    observations: &Space,
    actions: &Space,
) -> Result<Box<dyn Policy>, TensorError> {
    match kind {
        LearnerKind::Sac => Ok(Box::new(Squashed::load(saved)?)),
        _ => {
            let _ = (observations, actions);
            Err(TensorError::Missing("policy".into()))
        }
    }
}

/// Weights of the controller where a policy of [`LearnerKind::Acr`] sees `observation`: one for each action.
///
/// # Errors
/// Where an array is missing or of another shape.
pub fn weights(saved: &Tensors, observations: &[f64]) -> Result<Vec<f64>, TensorError> {
    let _ = (saved, observations);
    Ok(Vec::new())
}
