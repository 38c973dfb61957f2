//! The settings of SAC, and the table by which a checker knows them.

use super::super::gaussian::Limiter;
use super::super::settings::{
    BATCH, CAPACITY, GAMMA, LR, SCALE_OBSERVATIONS, TAU, TERMINAL, Terminal, UPDATES, choice, count, layers, number,
    set, set_count, set_layers, set_terminal, set_truth, truth,
};
use crate::hir::settings::{SettingSpec, Settings};

/// Settings of [`super::Sac`].
#[derive(Debug, Clone, PartialEq)]
pub struct SacSettings {
    /// Sizes of the hidden layers of policy and critics. Default 256, 256.
    pub hidden: Vec<usize>,
    /// Length of the critics' steps. Default 3e-4.
    pub critic_lr: f32,
    /// Length of the policy's steps. Default 3e-4.
    pub actor_lr: f32,
    /// Length of the steps of the temperature's logarithm. Default 3e-4.
    pub temperature_lr: f32,
    /// What a reward one step later is worth of one now. Default 0.99.
    pub gamma: f32,
    /// Fraction of the way that the targets go to the critics at a time. Default 0.005.
    pub tau: f32,
    /// Transitions of an update. Default 256.
    pub batch: usize,
    /// Transitions kept. Default 1,000,000.
    pub capacity: usize,
    /// Environment steps before the first update. Default 256.
    pub start: usize,
    /// Actions before the first update are uniform over the action space. Default true.
    pub is_random_at_start: bool,
    /// The temperature is learnt so that the policy has the target entropy. Default true.
    pub is_temperature_learnt: bool,
    /// Temperature, or what it begins with. Default 1.
    pub temperature: f32,
    /// Entropy that a learnt temperature is to bring about; less one per action where it is not set. Default not set.
    pub target_entropy: Option<f32>,
    /// Entropies are those of the action in its unit, not on the scale of the action space. Default false.
    pub is_entropy_in_units: bool,
    /// Updates of the critics from one round of policy updates to the next. Default 1.
    pub policy_every: usize,
    /// Policy updates of a round. Default 1.
    pub policy_updates: usize,
    /// Updates of the critics from one following of the targets to the next. Default 1.
    pub target_every: usize,
    /// Updates of the critics after a step of all copies. Default 1.
    pub updates: usize,
    /// How the logarithm of the standard deviation is kept between its limits. Default squashed.
    pub limiter: Limiter,
    /// Its lower limit. Default −5.
    pub log_sd_low: f32,
    /// Its upper limit. Default 2.
    pub log_sd_high: f32,
    /// After which ends of an episode nothing is to be expected. Default its own.
    pub terminal: Terminal,
    /// Networks see observations on the scale of their space. Default true.
    pub scales_observations: bool,
}

impl Default for SacSettings {
    fn default() -> Self {
        SacSettings {
            hidden: vec![256, 256],
            critic_lr: 3e-4,
            actor_lr: 3e-4,
            temperature_lr: 3e-4,
            gamma: 0.99,
            tau: 0.005,
            batch: 256,
            capacity: 1_000_000,
            start: 256,
            is_random_at_start: true,
            is_temperature_learnt: true,
            temperature: 1.0,
            target_entropy: None,
            is_entropy_in_units: false,
            policy_every: 1,
            policy_updates: 1,
            target_every: 1,
            updates: 1,
            limiter: Limiter::Squash,
            log_sd_low: -5.0,
            log_sd_high: 2.0,
            terminal: Terminal::Terminated,
            scales_observations: true,
        }
    }
}

impl SacSettings {
    /// These settings with what a checked block says.
    pub fn with(mut self, block: &Settings) -> SacSettings {
        set_layers(&mut self.hidden, block, "hidden");
        for lr in [&mut self.critic_lr, &mut self.actor_lr, &mut self.temperature_lr] {
            set(lr, block, "lr");
        }
        set(&mut self.critic_lr, block, "critic_lr");
        set(&mut self.actor_lr, block, "actor_lr");
        set(&mut self.temperature_lr, block, "temperature_lr");
        set(&mut self.gamma, block, "gamma");
        set(&mut self.tau, block, "tau");
        set_count(&mut self.batch, block, "batch");
        set_count(&mut self.capacity, block, "capacity");
        set_count(&mut self.start, block, "start");
        set_truth(&mut self.is_random_at_start, block, "random_start");
        set_truth(&mut self.is_temperature_learnt, block, "learn_temperature");
        set(&mut self.temperature, block, "temperature");
        self.target_entropy = block.number("target_entropy").map(|h| h as f32).or(self.target_entropy);
        match block.word("entropy_of") {
            Some("scaled") => self.is_entropy_in_units = false,
            Some("action") => self.is_entropy_in_units = true,
            Some(_) | None => {}
        }
        set_count(&mut self.policy_every, block, "policy_every");
        set_count(&mut self.policy_updates, block, "policy_updates");
        set_count(&mut self.target_every, block, "target_every");
        set_count(&mut self.updates, block, "updates");
        match block.word("log_sd") {
            Some("squash") => self.limiter = Limiter::Squash,
            Some("clip") => self.limiter = Limiter::Clip,
            Some(_) | None => {}
        }
        set(&mut self.log_sd_low, block, "log_sd_low");
        set(&mut self.log_sd_high, block, "log_sd_high");
        set_terminal(&mut self.terminal, block);
        set_truth(&mut self.scales_observations, block, "scale_observations");
        self
    }
}

/// The settings of `sac { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    layers("hidden", "[256, 256]", "sizes of the hidden layers of policy and critics"),
    number("lr", LR, "3e-4", "length of all steps that have none of their own"),
    number("critic_lr", LR, "3e-4", "length of the critics' steps"),
    number("actor_lr", LR, "3e-4", "length of the policy's steps"),
    number("temperature_lr", LR, "3e-4", "length of the steps of the temperature's logarithm"),
    GAMMA,
    TAU,
    BATCH,
    CAPACITY,
    count("start", "256", "environment steps before the first update"),
    RANDOM_START,
    truth("learn_temperature", "true", "whether the temperature is learnt so that the policy has the target entropy"),
    number("temperature", (0.0, 1e6), "1", "what a unit of entropy is worth in rewards, or what that begins with"),
    TARGET_ENTROPY,
    ENTROPY_OF,
    count("policy_every", "1", "updates of the critics from one round of policy updates to the next"),
    count("policy_updates", "1", "policy updates of a round"),
    TARGET_EVERY,
    UPDATES,
    LOG_SD,
    LOG_SD_LOW,
    LOG_SD_HIGH,
    TERMINAL,
    SCALE_OBSERVATIONS,
];

/// Whether actions are uniform at first.
const RANDOM_START: SettingSpec =
    truth("random_start", "true", "whether actions before the first update are uniform over the action space");

/// Entropy to be brought about.
pub(in super::super) const TARGET_ENTROPY: SettingSpec = number(
    "target_entropy",
    (-1e6, 1e6),
    "less one per action",
    "entropy of the policy that a learnt temperature is to bring about",
);

/// What entropies are of.
pub(in super::super) const ENTROPY_OF: SettingSpec = choice(
    "entropy_of",
    &["scaled", "action"],
    "scaled",
    "whether entropies are those of actions on the scale of their space or in their units",
);

/// Following of the targets.
pub(in super::super) const TARGET_EVERY: SettingSpec =
    count("target_every", "1", "updates of the critics from one following of the targets to the next");

/// Limits of standard deviations.
pub(in super::super) const LOG_SD: SettingSpec = choice(
    "log_sd",
    &["squash", "clip"],
    "squash",
    "how the logarithm of the policy's standard deviation is kept between its limits",
);

/// Lower limit of standard deviations.
pub(in super::super) const LOG_SD_LOW: SettingSpec =
    number("log_sd_low", (-50.0, 10.0), "-5", "lower limit of the logarithm of the policy's standard deviation");

/// Upper limit of standard deviations.
pub(in super::super) const LOG_SD_HIGH: SettingSpec =
    number("log_sd_high", (-50.0, 10.0), "2", "upper limit of the logarithm of the policy's standard deviation");
