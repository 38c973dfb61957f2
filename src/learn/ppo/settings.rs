//! The settings of PPO, and the table by which a checker knows them.

use super::super::actor_critic::Shape;
use super::super::greedy::activation;
use super::super::network::Activation;
use super::super::scaler::Scaling;
use crate::hir::settings::{SettingKind, SettingSpec, SettingValue, Settings};

/// Settings of [`super::Ppo`].
#[derive(Debug, Clone, PartialEq)]
pub struct PpoSettings {
    /// Steps of each copy between updates. Default 2048.
    pub n_steps: usize,
    /// Steps that a gradient is taken over. Default 64.
    pub batch: usize,
    /// Passes over the experience. Default 10.
    pub epochs: usize,
    /// Length of a step of Adam. Default 3e-4.
    pub lr: f64,
    /// Discount. Default 0.99.
    pub gamma: f64,
    /// Decay of differences in advantages. Default 0.95.
    pub lambda: f64,
    /// Part by which the probability of an action may change before its gain ends. Default 0.2.
    pub clip: f64,
    /// Amount by which a value may change before its gain ends; 0 for any. Default 0.
    pub value_clip: f64,
    /// Weight of the entropy. Default 0.
    pub entropy: f64,
    /// Weight of the loss of the values. Default 0.5.
    pub value_weight: f64,
    /// Norm at which gradients are cut. Default 0.5.
    pub gradient_norm: f64,
    /// Divergence from the policy of the rollout at which passes end, at 1.5 times this; 0 for never. Default 0.
    pub target_kl: f64,
    /// `lr` and `clip` go to 0 along a line over `total_steps`. Default false.
    pub anneal: bool,
    /// Sizes of hidden layers. Default 64, 64.
    pub hidden: Vec<usize>,
    /// What follows them. Default tanh.
    pub activation: Activation,
    /// Values of each axis of the action to choose from; 0 draws real actions. Default 0.
    pub levels: usize,
    /// Logarithm of the first spread of real actions, where half the range is 1. Default 0.
    pub log_spread: f64,
    /// How observations are scaled. Default by their ranges.
    pub observations: Scaling,
    /// Factor on rewards before they are learnt from. Default 1.
    pub reward_scale: f64,
    /// Steps of all copies that are planned, for `anneal`; 0 where that is not known. Default 0.
    pub total_steps: u64,
}

impl Default for PpoSettings {
    fn default() -> Self {
        PpoSettings {
            n_steps: 2048,
            batch: 64,
            epochs: 10,
            lr: 3e-4,
            gamma: 0.99,
            lambda: 0.95,
            clip: 0.2,
            value_clip: 0.0,
            entropy: 0.0,
            value_weight: 0.5,
            gradient_norm: 0.5,
            target_kl: 0.0,
            anneal: false,
            hidden: vec![64, 64],
            activation: Activation::Tanh,
            levels: 0,
            log_spread: 0.0,
            observations: Scaling::Range,
            reward_scale: 1.0,
            total_steps: 0,
        }
    }
}

impl PpoSettings {
    /// What a block of settings says, which was checked against [`SETTINGS`]; defaults elsewhere.
    pub fn from_settings(settings: &Settings) -> PpoSettings {
        let mut own = PpoSettings::default();
        own.read(settings);
        own
    }

    /// Takes over what a block of settings says.
    pub fn read(&mut self, settings: &Settings) {
        let number = |key: &str, field: &mut f64| *field = settings.number(key).unwrap_or(*field);
        number("lr", &mut self.lr);
        number("gamma", &mut self.gamma);
        number("lambda", &mut self.lambda);
        number("clip", &mut self.clip);
        number("value_clip", &mut self.value_clip);
        number("entropy", &mut self.entropy);
        number("value_weight", &mut self.value_weight);
        number("gradient_norm", &mut self.gradient_norm);
        number("target_kl", &mut self.target_kl);
        number("log_spread", &mut self.log_spread);
        number("reward_scale", &mut self.reward_scale);
        let count = |key: &str, field: &mut usize| *field = settings.number(key).map_or(*field, |v| v as usize);
        count("n_steps", &mut self.n_steps);
        count("batch", &mut self.batch);
        count("epochs", &mut self.epochs);
        count("levels", &mut self.levels);
        self.anneal = settings.truth("anneal").unwrap_or(self.anneal);
        self.hidden = hidden(settings).unwrap_or(std::mem::take(&mut self.hidden));
        self.activation = settings.word("activation").and_then(activation).unwrap_or(self.activation);
        self.observations = settings.word("observations").and_then(Scaling::from_name).unwrap_or(self.observations);
    }

    /// What the networks look like; with costs judged as rewards are.
    pub fn shape(&self, has_costs: bool) -> Shape {
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
            has_costs,
        }
    }

    /// Factor on `lr` and `clip` after so many steps.
    pub fn part_left(&self, n_steps: u64) -> f64 {
        if self.anneal && self.total_steps > 0 {
            (1.0 - n_steps as f64 / self.total_steps as f64).max(0.0)
        } else {
            1.0
        }
    }
}

/// The list `hidden`, where it is given.
pub fn hidden(settings: &Settings) -> Option<Vec<usize>> {
    match &settings.get("hidden")?.value {
        SettingValue::List(list) => Some(
            list.iter()
                .filter_map(|item| match item {
                    SettingValue::Number(size, _) => Some((*size as usize).max(1)),
                    SettingValue::Text(_) | SettingValue::Word(_) | SettingValue::List(_) => None,
                })
                .collect(),
        ),
        SettingValue::Number(..) | SettingValue::Text(_) | SettingValue::Word(_) => None,
    }
}

const fn number(name: &'static str, low: f64, high: f64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Number(low, high), unit: "", default, doc }
}

const fn count(name: &'static str, low: i64, high: i64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integer(low, high), unit: "", default, doc }
}

/// The settings of `ppo { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    count("n_steps", 1, 1_000_000, "2048", "steps of each copy between updates"),
    count("batch", 2, 1_000_000, "64", "steps that a gradient is taken over"),
    count("epochs", 1, 10_000, "10", "passes over the experience of a rollout"),
    number("lr", 1e-12, 1.0, "3e-4", "length of a step of Adam"),
    number("gamma", 0.0, 1.0, "0.99", "discount"),
    number("lambda", 0.0, 1.0, "0.95", "decay of differences in advantages"),
    number("clip", 1e-6, 10.0, "0.2", "part by which the probability of an action may change before its gain ends"),
    number("value_clip", 0.0, 1e9, "0", "amount by which a value may change before its gain ends; 0 for any"),
    number("entropy", 0.0, 10.0, "0", "weight of the entropy"),
    number("value_weight", 0.0, 100.0, "0.5", "weight of the loss of the values"),
    number("gradient_norm", 1e-9, 1e9, "0.5", "norm at which gradients are cut"),
    number("target_kl", 0.0, 100.0, "0", "divergence at 1.5 times which the passes end; 0 for never"),
    SettingSpec {
        name: "anneal",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "lr and clip go to 0 along a line over the budget of steps",
    },
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
    number("log_spread", -20.0, 5.0, "0", "logarithm of the first spread of actions, where half the range is 1"),
    SettingSpec {
        name: "observations",
        kind: SettingKind::Choice(Scaling::NAMES),
        unit: "",
        default: "range",
        doc: "how observations are scaled: not, by their ranges, or by what was met",
    },
    number("reward_scale", 1e-12, 1e12, "1", "factor on rewards before they are learnt from"),
];
