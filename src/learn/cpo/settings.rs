//! The settings of CPO, and the table by which a checker knows them.
//!
//! Defaults are those of A. Ray, J. Achiam and D. Amodei, Benchmarking safe exploration in deep reinforcement learning (2019),
//! section 5 and its published agents, but for the limit: a cost there counts contacts, here it is whether an episode fails.

use super::super::actor_critic::Shape;
use super::super::greedy::activation;
use super::super::network::Activation;
use super::super::scaler::Scaling;
use crate::hir::settings::{SettingKind, SettingSpec, Settings};

/// Settings of [`super::Cpo`].
#[derive(Debug, Clone, PartialEq)]
pub struct CpoSettings {
    /// Steps of each copy between updates. Default 4000.
    pub n_steps: usize,
    /// Most failures per episode, on average. Default 0.
    pub cost_limit: f64,
    /// Radius of the trust region as a mean divergence. Default 0.01.
    pub target_kl: f64,
    /// Added to the diagonal of the Fisher information. Default 0.1.
    pub damping: f64,
    /// Conjugate gradients per direction. Default 10.
    pub conjugate_gradients: usize,
    /// Factor on a step that is not accepted. Default 0.8.
    pub backtrack: f64,
    /// Lengths of step that are tried. Default 10.
    pub backtracks: usize,
    /// Length of a step of Adam of the value networks. Default 1e-3.
    pub value_lr: f64,
    /// Steps of the value networks per update, each over all experience. Default 80.
    pub value_steps: usize,
    /// Discount of rewards and costs. Default 0.99.
    pub gamma: f64,
    /// Decay of differences in advantages of both. Default 0.97.
    pub lambda: f64,
    /// Sizes of hidden layers. Default 64, 64.
    pub hidden: Vec<usize>,
    /// What follows them. Default tanh.
    pub activation: Activation,
    /// Values of each axis of the action to choose from; 0 draws real actions. Default 0.
    pub levels: usize,
    /// Logarithm of the first spread of real actions, where half the range is 1. Default -0.5.
    pub log_spread: f64,
    /// How observations are scaled. Default by their ranges.
    pub observations: Scaling,
    /// Factor on rewards before they are learnt from. Default 1.
    pub reward_scale: f64,
}

impl Default for CpoSettings {
    fn default() -> Self {
        CpoSettings {
            n_steps: 4000,
            cost_limit: 0.0,
            target_kl: 0.01,
            damping: 0.1,
            conjugate_gradients: 10,
            backtrack: 0.8,
            backtracks: 10,
            value_lr: 1e-3,
            value_steps: 80,
            gamma: 0.99,
            lambda: 0.97,
            hidden: vec![64, 64],
            activation: Activation::Tanh,
            levels: 0,
            log_spread: -0.5,
            observations: Scaling::Range,
            reward_scale: 1.0,
        }
    }
}

impl CpoSettings {
    /// What a block of settings says, which was checked against [`SETTINGS`]; defaults elsewhere.
    pub fn from_settings(settings: &Settings) -> CpoSettings {
        let mut own = CpoSettings::default();
        let number = |key: &str, field: &mut f64| *field = settings.number(key).unwrap_or(*field);
        number("cost_limit", &mut own.cost_limit);
        number("target_kl", &mut own.target_kl);
        number("damping", &mut own.damping);
        number("backtrack", &mut own.backtrack);
        number("value_lr", &mut own.value_lr);
        number("gamma", &mut own.gamma);
        number("lambda", &mut own.lambda);
        number("log_spread", &mut own.log_spread);
        number("reward_scale", &mut own.reward_scale);
        let count = |key: &str, field: &mut usize| *field = settings.number(key).map_or(*field, |v| v as usize);
        count("n_steps", &mut own.n_steps);
        count("conjugate_gradients", &mut own.conjugate_gradients);
        count("backtracks", &mut own.backtracks);
        count("value_steps", &mut own.value_steps);
        count("levels", &mut own.levels);
        own.hidden = super::super::ppo::settings::hidden(settings).unwrap_or(own.hidden);
        own.activation = settings.word("activation").and_then(activation).unwrap_or(own.activation);
        own.observations = settings.word("observations").and_then(Scaling::from_name).unwrap_or(own.observations);
        own
    }

    /// What the networks look like.
    pub fn shape(&self) -> Shape {
        Shape {
            hidden: self.hidden.clone(),
            activation: self.activation,
            levels: self.levels,
            log_spread: self.log_spread,
            scaling: self.observations,
            reward_scale: self.reward_scale,
            gamma: self.gamma,
            lambda: self.lambda,
            cost_gamma: self.gamma,
            cost_lambda: self.lambda,
            has_costs: true,
        }
    }
}

const fn number(name: &'static str, low: f64, high: f64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Number(low, high), unit: "", default, doc }
}

const fn count(name: &'static str, low: i64, high: i64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integer(low, high), unit: "", default, doc }
}

/// The settings of `cpo { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    count("n_steps", 2, 1_000_000, "4000", "steps of each copy between updates"),
    number("cost_limit", 0.0, 1.0, "0", "most failures per episode, on average"),
    number("target_kl", 1e-9, 10.0, "0.01", "radius of the trust region as a mean divergence"),
    number("damping", 0.0, 1e3, "0.1", "added to the diagonal of the Fisher information"),
    count("conjugate_gradients", 1, 1000, "10", "conjugate gradients per direction"),
    number("backtrack", 1e-3, 0.999, "0.8", "factor on a step that is not accepted"),
    count("backtracks", 1, 1000, "10", "lengths of step that are tried"),
    number("value_lr", 1e-12, 1.0, "1e-3", "length of a step of Adam of the value networks"),
    count("value_steps", 1, 100_000, "80", "steps of the value networks per update, each over all experience"),
    number("gamma", 0.0, 1.0, "0.99", "discount of rewards and costs"),
    number("lambda", 0.0, 1.0, "0.97", "decay of differences in advantages of both"),
    SettingSpec {
        name: "hidden",
        kind: SettingKind::Integers,
        unit: "",
        default: "[64, 64]",
        doc: "sizes of the hidden layers",
    },
    SettingSpec {
        name: "activation",
        kind: SettingKind::Choice(&["relu", "tanh"]),
        unit: "",
        default: "tanh",
        doc: "what follows the hidden layers",
    },
    count("levels", 0, 10_000, "0", "values of each axis of the action to choose from; 0 draws real actions"),
    number("log_spread", -20.0, 5.0, "-0.5", "logarithm of the first spread of actions, where half the range is 1"),
    SettingSpec {
        name: "observations",
        kind: SettingKind::Choice(Scaling::NAMES),
        unit: "",
        default: "range",
        doc: "how observations are scaled: not, by their ranges, or by what was met",
    },
    number("reward_scale", 1e-12, 1e12, "1", "factor on rewards before they are learnt from"),
];
