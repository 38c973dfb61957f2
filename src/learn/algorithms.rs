//! The algorithms that a study can name, each with its table of settings and the way it is made for environments.
//!
//! `algorithm sac { lr = 1e-3 }` becomes a [`Learner`] by [`make`] or [`make_advised`], a file of its policy a policy
//! again by [`policy`]; a checker gets the same tables from [`LearnerKind::settings`] and [`LearnerKind::part`].

use super::acr::{Acr, AcrSettings, Blend, FOCUS_SETTINGS, Focus};
use super::cpo::{self, Cpo, CpoSettings};
use super::distill::{self, Distill, DistillSettings};
use super::dqn::{self, Dqn, DqnSettings};
use super::greedy::Greedy;
use super::learner::{LearnError, Learner};
use super::policy::Squashed;
use super::ppo::{self, Ppo, PpoSettings};
use super::ppo_lagrangian::{self, PpoLagrangian, PpoLagrangianSettings};
use super::sac::{self, Sac, SacSettings};
use super::td3::{self, Td3, Td3Settings};
use super::tensors::{TensorError, Tensors};
use super::train::PRETRAIN;
use crate::decide::{Advised, Environments, Policy, Space};
use crate::hir::settings::{Setting, SettingSpec, SettingValue, Settings};
use crate::hir::task::Algorithm;
use crate::source::Span;

/// Seed of the weights of the controller that all trainings begin with.
const FOCUS_SEED: u64 = 0;

/// Defaults of the part `sac` of [`LearnerKind::Acr`] that differ from those of `sac` by itself: those of the paper's runs.
pub const SAC_OF_ACR: [(&str, SettingDefault); 7] = [
    ("critic_lr", SettingDefault::Number(1e-3)),
    ("learn_temperature", SettingDefault::Word("false")),
    ("temperature", SettingDefault::Number(0.2)),
    ("entropy_of", SettingDefault::Word("action")),
    ("policy_every", SettingDefault::Number(2.0)),
    ("policy_updates", SettingDefault::Number(2.0)),
    ("terminal", SettingDefault::Word("both")),
];

/// A default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingDefault {
    /// A number.
    Number(f64),
    /// A word.
    Word(&'static str),
}

/// A block for SAC as RL-ACR has it: the paper's defaults, then what `block` says.
pub fn sac_of_acr(block: &Settings, span: Span) -> Settings {
    let value = |default: SettingDefault| match default {
        SettingDefault::Number(number) => SettingValue::Number(number, None),
        SettingDefault::Word(word) => SettingValue::Word(word.to_string()),
    };
    // A length for all steps is one for the critics' too.
    let is_said = |key: &str| key == "critic_lr" && block.get("lr").is_some();
    let defaults = SAC_OF_ACR.iter().filter(|(key, _)| !is_said(key)).map(|(key, default)| Setting {
        key: (*key).to_string(),
        key_span: span,
        value: value(*default),
        value_span: span,
    });
    let list = defaults.chain(block.list.iter().cloned()).collect();
    Settings { method: Some((LearnerKind::Sac.name().to_string(), span)), list }
}

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
    /// A policy that acts like the controller.
    Distill,
}

impl LearnerKind {
    /// All of them, in the order of the manual.
    pub const ALL: [LearnerKind; 8] = [
        LearnerKind::Acr,
        LearnerKind::Sac,
        LearnerKind::Td3,
        LearnerKind::Ppo,
        LearnerKind::PpoLagrangian,
        LearnerKind::Cpo,
        LearnerKind::Dqn,
        LearnerKind::Distill,
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
            LearnerKind::Distill => "distill",
        }
    }

    /// Its table of settings.
    pub const fn settings(self) -> &'static [SettingSpec] {
        match self {
            LearnerKind::Sac => sac::SETTINGS,
            LearnerKind::Ppo => ppo::SETTINGS,
            LearnerKind::PpoLagrangian => ppo_lagrangian::SETTINGS,
            LearnerKind::Cpo => cpo::SETTINGS,
            LearnerKind::Dqn => dqn::SETTINGS,
            LearnerKind::Distill => distill::SETTINGS,
            LearnerKind::Td3 => td3::SETTINGS,
            // All it has stands in its parts.
            LearnerKind::Acr => &[],
        }
    }

    /// Names of its parts, beside those that plan.
    pub const fn parts(self) -> &'static [&'static str] {
        match self {
            LearnerKind::Acr => &["focus", "sac"],
            LearnerKind::Distill => &[],
            LearnerKind::Sac
            | LearnerKind::Td3
            | LearnerKind::Ppo
            | LearnerKind::PpoLagrangian
            | LearnerKind::Cpo
            | LearnerKind::Dqn => &["pretrain"],
        }
    }

    /// The table of settings of one of its parts.
    pub fn part(self, name: &str) -> Option<&'static [SettingSpec]> {
        match name {
            "pretrain" if !self.is_advised() => Some(PRETRAIN),
            "focus" if self == LearnerKind::Acr => Some(FOCUS_SETTINGS),
            "sac" if self == LearnerKind::Acr => Some(sac::SETTINGS),
            _ => None,
        }
    }

    /// Copies of the plant that it acts on together unless a study says otherwise.
    pub const fn n_copies(self) -> usize {
        match self {
            LearnerKind::Ppo | LearnerKind::PpoLagrangian => 8,
            LearnerKind::Acr
            | LearnerKind::Sac
            | LearnerKind::Td3
            | LearnerKind::Cpo
            | LearnerKind::Dqn
            | LearnerKind::Distill => 1,
        }
    }

    /// True where a controller stands beside it while it learns.
    pub const fn is_advised(self) -> bool {
        match self {
            LearnerKind::Acr | LearnerKind::Distill => true,
            LearnerKind::Sac
            | LearnerKind::Td3
            | LearnerKind::Ppo
            | LearnerKind::PpoLagrangian
            | LearnerKind::Cpo
            | LearnerKind::Dqn => false,
        }
    }

    /// True where its policy needs the controller too, whose advice it sees.
    pub const fn sees_advice(self) -> bool {
        match self {
            LearnerKind::Acr => true,
            LearnerKind::Distill
            | LearnerKind::Sac
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
    match kind {
        LearnerKind::Sac => {
            let mut learner = Sac::new(environments, SacSettings::default().with(block), seed);
            begun_from(start, |saved| learner.start_from(saved))?;
            Ok(Box::new(learner))
        }
        LearnerKind::Ppo => {
            let settings = PpoSettings { total_steps, ..PpoSettings::from_settings(block) };
            let mut learner = Ppo::new(environments, settings, seed)?;
            begun_from(start, |saved| learner.start_from(saved))?;
            Ok(Box::new(learner))
        }
        LearnerKind::PpoLagrangian => {
            let mut settings = PpoLagrangianSettings::from_settings(block);
            settings.ppo.total_steps = total_steps;
            let mut learner = PpoLagrangian::new(environments, settings, seed)?;
            begun_from(start, |saved| learner.start_from(saved))?;
            Ok(Box::new(learner))
        }
        LearnerKind::Cpo => {
            let mut learner = Cpo::new(environments, CpoSettings::from_settings(block), seed)?;
            begun_from(start, |saved| learner.start_from(saved))?;
            Ok(Box::new(learner))
        }
        LearnerKind::Dqn => {
            let mut settings = DqnSettings::from_settings(block);
            if total_steps > 0 {
                settings.total_steps = total_steps;
            }
            let mut learner = Dqn::new(environments, settings, seed)?;
            begun_from(start, |saved| learner.start_from(saved))?;
            Ok(Box::new(learner))
        }
        LearnerKind::Td3 => {
            let mut learner = Td3::new(environments, Td3Settings::default().with(block), seed);
            begun_from(start, |saved| learner.start_from(saved))?;
            Ok(Box::new(learner))
        }
        LearnerKind::Acr | LearnerKind::Distill => {
            Err(LearnError::Unsuited(format!("`{}` needs a controller beside it", kind.name())))
        }
    }
}

/// Hands the policy to begin from to a learner.
fn begun_from(
    start: Option<&Tensors>,
    mut take: impl FnMut(&Tensors) -> Result<(), TensorError>,
) -> Result<(), LearnError> {
    let Some(saved) = start else { return Ok(()) };
    take(saved).map_err(|error| LearnError::Unsuited(format!("the policy to begin from does not fit: {error}")))
}

/// The weights of the controller that a learner of [`LearnerKind::Acr`] begins with: a network that was trained towards it,
/// one for all seeds. Takes up to minutes.
pub fn focus(algorithm: &Algorithm, observations: &Space, actions: &Space) -> Focus {
    Focus::pretrained((observations.len(), actions.len()), &acr_settings(algorithm).focus, FOCUS_SEED).0
}

/// The same as kept in a file.
///
/// # Errors
/// Where an array is missing or of another shape.
pub fn read_focus(algorithm: &Algorithm, saved: &Tensors, actions: &Space) -> Result<Focus, TensorError> {
    Focus::read(actions.len(), &acr_settings(algorithm).focus, saved)
}

fn acr_settings(algorithm: &Algorithm) -> AcrSettings {
    let own = AcrSettings::default();
    let none = Settings::default();
    let block = |name: &str| algorithm.part(name).map_or(&none, |part| &part.settings);
    AcrSettings { sac: own.sac.with(block("sac")), focus: own.focus.with(block("focus")) }
}

/// A learner with a controller beside it; [`focus`] is asked for by [`LearnerKind::Acr`] alone.
///
/// # Errors
/// [`LearnError::Unsuited`] where the task does not fit, or the kind has no controller beside it.
pub fn make_advised(
    kind: LearnerKind,
    making: Making<'_>,
    focus: impl FnOnce() -> Focus,
    environments: Box<dyn Advised>,
) -> Result<Box<dyn Learner>, LearnError> {
    let Making { algorithm, seed, .. } = making;
    match kind {
        LearnerKind::Acr => Ok(Box::new(Acr::new(environments, acr_settings(algorithm), focus(), seed))),
        LearnerKind::Distill => {
            let settings = DistillSettings::from_settings(&algorithm.settings);
            Ok(Box::new(Distill::new(environments, settings, seed)?))
        }
        LearnerKind::Sac
        | LearnerKind::Td3
        | LearnerKind::Ppo
        | LearnerKind::PpoLagrangian
        | LearnerKind::Cpo
        | LearnerKind::Dqn => Err(LearnError::Unsuited(format!("`{}` learns without a controller", kind.name()))),
    }
}

/// The policy in a file, for a task with these spaces. Of [`LearnerKind::sees_advice`], the policy sees behind an observation what the
/// controller advises.
///
/// # Errors
/// Where an array is missing or of another shape.
pub fn policy(
    kind: LearnerKind,
    saved: &Tensors,
    observations: &Space,
    actions: &Space,
) -> Result<Box<dyn Policy>, TensorError> {
    let unfit = |n_observed: usize, n_acted: usize| {
        let (n, m) = (observations.len(), actions.len());
        TensorError::Format(format!(
            "it sees {n_observed} and acts on {n_acted} quantities, and the task has {n} and {m}"
        ))
    };
    match kind {
        LearnerKind::Sac | LearnerKind::Td3 => {
            let policy = Squashed::load(saved)?;
            let sizes = (policy.scales().n_observations(), policy.scales().n_actions());
            if sizes != (observations.len(), actions.len()) {
                return Err(unfit(sizes.0, sizes.1));
            }
            Ok(Box::new(policy))
        }
        LearnerKind::Ppo | LearnerKind::PpoLagrangian | LearnerKind::Cpo | LearnerKind::Dqn | LearnerKind::Distill => {
            let policy = Greedy::load(saved)?;
            let sizes = (policy.n_observations(), policy.action_space().len());
            if sizes != (observations.len(), actions.len()) {
                return Err(unfit(sizes.0, sizes.1));
            }
            Ok(Box::new(policy))
        }
        LearnerKind::Acr => {
            let policy = Blend::load(saved)?;
            let sizes = (policy.scales().n_observations(), policy.scales().n_actions());
            if sizes != (observations.len(), actions.len()) {
                return Err(unfit(sizes.0, sizes.1));
            }
            Ok(Box::new(policy))
        }
    }
}

/// Weights of the controller where a policy of [`LearnerKind::Acr`] sees these `observations: n × n_observations`:
/// `n × n_actions`.
///
/// # Errors
/// Where an array is missing or of another shape.
pub fn weights(saved: &Tensors, observations: &[f64]) -> Result<Vec<f64>, TensorError> {
    let mut policy = Blend::load(saved)?;
    let n = policy.scales().n_observations().max(1);
    let rows = observations.chunks_exact(n);
    Ok(rows.flat_map(|row| policy.weights(row).iter().map(|w| f64::from(*w)).collect::<Vec<f64>>()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hir::task::LEARNERS;

    fn rows(name: &str, table: &[SettingSpec]) -> String {
        let mut out = format!("### `{name}`\n\n| setting | default | |\n|---|---|---|\n");
        for spec in table {
            out.push_str(&format!("| `{}` | {} | {} |\n", spec.name, spec.default, spec.doc));
        }
        out
    }

    #[test]
    fn every_word_for_a_learner_makes_one() {
        assert_eq!(LearnerKind::ALL.map(LearnerKind::name), LEARNERS);
        for kind in LearnerKind::ALL {
            assert_eq!(LearnerKind::find(kind.name()), Some(kind));
            assert!(kind.parts().iter().all(|part| kind.part(part).is_some()));
        }
    }

    #[test]
    fn the_policy_beside_a_controller_has_the_defaults_of_the_paper() {
        let span = Span::new(crate::source::SourceId(0), 0, 0);
        let block = sac_of_acr(&Settings::default(), span);
        assert_eq!(SacSettings::default().with(&block), AcrSettings::default().sac);
    }

    /// What is to stand in the manual is told where it does not.
    #[test]
    fn the_manual_lists_every_setting() {
        let manual = include_str!("../../docs/train.md");
        let own = LearnerKind::ALL.into_iter().filter(|kind| !kind.settings().is_empty());
        let mut tables: Vec<String> = own.map(|kind| rows(kind.name(), kind.settings())).collect();
        tables.push(rows("focus", FOCUS_SETTINGS));
        tables.push(rows("pretrain", PRETRAIN));
        tables.push(rows("budget", super::super::train::BUDGET));
        tables.push(rows("evaluate", super::super::train::EVALUATE));
        let missing: Vec<&String> = tables.iter().filter(|table| !manual.contains(table.as_str())).collect();
        assert!(missing.is_empty(), "docs/train.md is to end with\n{}", tables.join("\n"));
    }
}
