//! The settings of DQN, and the table by which a checker knows them. The defaults are those that RL Baselines3 Zoo publishes
//! for CartPole-v1, a task of the size of most plants.

use super::super::scaler::Scaling;
use crate::hir::settings::{SettingKind, SettingSpec, Settings};

/// Settings of [`super::Dqn`].
#[derive(Debug, Clone, PartialEq)]
pub struct DqnSettings {
    /// Values of each axis of the action to choose from. Default 2, its ends.
    pub levels: usize,
    /// Length of a step of Adam. Default 2.3e-3.
    pub lr: f64,
    /// Discount. Default 0.99.
    pub gamma: f64,
    /// Steps that a gradient is taken over. Default 64.
    pub batch: usize,
    /// Most steps that are remembered. Default 100,000.
    pub buffer: usize,
    /// Steps of random actions before anything is learnt. Default 1000.
    pub learning_starts: u64,
    /// Steps of all copies between trainings. Default 256.
    pub train_every: u64,
    /// Gradients of a training. Default 128.
    pub gradient_steps: usize,
    /// Steps of all copies between updates of the target. Default 10.
    pub target_every: u64,
    /// Part of the steps planned over which random actions become rare. Default 0.16.
    pub exploration: f64,
    /// Part of actions that stay random. Default 0.04.
    pub exploration_end: f64,
    /// Actions are chosen by the network that learns and judged by the target. Default false.
    pub double: bool,
    /// Values are learnt apart from advantages. Default false.
    pub dueling: bool,
    /// Rewards that are summed before a value stands for the rest. Default 1.
    pub returns_over: usize,
    /// Norm at which gradients are cut. Default 10.
    pub gradient_norm: f64,
    /// Sizes of hidden layers, with ReLU. Default 256, 256.
    pub hidden: Vec<usize>,
    /// How observations are scaled. Default by their ranges.
    pub observations: Scaling,
    /// Factor on rewards before they are learnt from. Default 1.
    pub reward_scale: f64,
    /// Steps of all copies that are planned, for `exploration`. Default 50,000.
    pub total_steps: u64,
}

impl Default for DqnSettings {
    fn default() -> Self {
        DqnSettings {
            levels: 2,
            lr: 2.3e-3,
            gamma: 0.99,
            batch: 64,
            buffer: 100_000,
            learning_starts: 1000,
            train_every: 256,
            gradient_steps: 128,
            target_every: 10,
            exploration: 0.16,
            exploration_end: 0.04,
            double: false,
            dueling: false,
            returns_over: 1,
            gradient_norm: 10.0,
            hidden: vec![256, 256],
            observations: Scaling::Range,
            reward_scale: 1.0,
            total_steps: 50_000,
        }
    }
}

impl DqnSettings {
    /// What a block of settings says, which was checked against [`SETTINGS`]; defaults elsewhere.
    pub fn from_settings(settings: &Settings) -> DqnSettings {
        let mut own = DqnSettings::default();
        let number = |key: &str, field: &mut f64| *field = settings.number(key).unwrap_or(*field);
        number("lr", &mut own.lr);
        number("gamma", &mut own.gamma);
        number("exploration", &mut own.exploration);
        number("exploration_end", &mut own.exploration_end);
        number("gradient_norm", &mut own.gradient_norm);
        number("reward_scale", &mut own.reward_scale);
        let size = |key: &str, field: &mut usize| *field = settings.number(key).map_or(*field, |v| v as usize);
        size("levels", &mut own.levels);
        size("batch", &mut own.batch);
        size("buffer", &mut own.buffer);
        size("gradient_steps", &mut own.gradient_steps);
        size("returns_over", &mut own.returns_over);
        let steps = |key: &str, field: &mut u64| *field = settings.number(key).map_or(*field, |v| v as u64);
        steps("learning_starts", &mut own.learning_starts);
        steps("train_every", &mut own.train_every);
        steps("target_every", &mut own.target_every);
        own.double = settings.truth("double").unwrap_or(own.double);
        own.dueling = settings.truth("dueling").unwrap_or(own.dueling);
        own.hidden = super::super::ppo::settings::hidden(settings).unwrap_or(own.hidden);
        own.observations = settings.word("observations").and_then(Scaling::from_name).unwrap_or(own.observations);
        own
    }
}

const fn number(name: &'static str, low: f64, high: f64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Number(low, high), unit: "", default, doc }
}

const fn count(name: &'static str, low: i64, high: i64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integer(low, high), unit: "", default, doc }
}

const fn truth(name: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Truth, unit: "", default, doc }
}

/// The settings of `dqn { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    count("levels", 2, 10_000, "2", "values of each axis of the action to choose from; 2 are its ends"),
    number("lr", 1e-12, 1.0, "2.3e-3", "length of a step of Adam"),
    number("gamma", 0.0, 1.0, "0.99", "discount"),
    count("batch", 1, 100_000, "64", "steps that a gradient is taken over"),
    count("buffer", 1, 100_000_000, "100000", "most steps that are remembered"),
    count("learning_starts", 0, 1_000_000_000, "1000", "steps of random actions before anything is learnt"),
    count("train_every", 1, 1_000_000, "256", "steps of all copies between trainings"),
    count("gradient_steps", 1, 100_000, "128", "gradients of a training"),
    count("target_every", 1, 1_000_000_000, "10", "steps of all copies between updates of the target"),
    number("exploration", 0.0, 1.0, "0.16", "part of the planned steps over which random actions become rare"),
    number("exploration_end", 0.0, 1.0, "0.04", "part of actions that stay random"),
    truth("double", "false", "actions are chosen by the network that learns and judged by the target"),
    truth("dueling", "false", "values are learnt apart from advantages"),
    count("returns_over", 1, 1000, "1", "rewards that are summed before a value stands for the rest"),
    number("gradient_norm", 1e-9, 1e9, "10", "norm at which gradients are cut"),
    SettingSpec {
        name: "hidden",
        kind: SettingKind::Integers,
        unit: "",
        default: "[256, 256]",
        doc: "sizes of the hidden layers, with ReLU",
    },
    SettingSpec {
        name: "observations",
        kind: SettingKind::Choice(Scaling::NAMES),
        unit: "",
        default: "range",
        doc: "how observations are scaled: not, by their ranges, or by what was met",
    },
    number("reward_scale", 1e-12, 1e12, "1", "factor on rewards before they are learnt from"),
];
