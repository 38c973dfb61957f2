//! The settings of TD3, and the table by which a checker knows them.

use super::super::settings::{
    BATCH, CAPACITY, GAMMA, LR, SCALE_OBSERVATIONS, TAU, TERMINAL, Terminal, UPDATES, count, layers, number, set,
    set_count, set_layers, set_terminal, set_truth,
};
use crate::hir::settings::{SettingSpec, Settings};

/// Settings of [`super::Td3`].
#[derive(Debug, Clone, PartialEq)]
pub struct Td3Settings {
    /// Sizes of the hidden layers of policy and critics. Default 256, 256.
    pub hidden: Vec<usize>,
    /// Length of the critics' steps. Default 3e-4.
    pub critic_lr: f32,
    /// Length of the policy's steps. Default 3e-4.
    pub actor_lr: f32,
    /// What a reward one step later is worth of one now. Default 0.99.
    pub gamma: f32,
    /// Fraction of the way that the targets go at a time. Default 0.005.
    pub tau: f32,
    /// Transitions of an update. Default 256.
    pub batch: usize,
    /// Transitions kept. Default 1,000,000.
    pub capacity: usize,
    /// Environment steps before the first update, with uniform actions. Default 1000.
    pub start: usize,
    /// Standard deviation of what is added to actions, in half widths of the action space. Default 0.1.
    pub noise: f32,
    /// Standard deviation of what is added to the targets' actions, in half widths. Default 0.2.
    pub target_noise: f32,
    /// Most that is added to the targets' actions, in half widths. Default 0.5.
    pub target_noise_limit: f32,
    /// Updates of the critics from one update of the policy and the targets to the next. Default 2.
    pub policy_every: usize,
    /// Updates of the critics after a step of all copies. Default 1.
    pub updates: usize,
    /// After which ends of an episode nothing is to be expected. Default its own.
    pub terminal: Terminal,
    /// Networks see observations on the scale of their space. Default true.
    pub scales_observations: bool,
}

impl Default for Td3Settings {
    fn default() -> Self {
        Td3Settings {
            hidden: vec![256, 256],
            critic_lr: 3e-4,
            actor_lr: 3e-4,
            gamma: 0.99,
            tau: 0.005,
            batch: 256,
            capacity: 1_000_000,
            start: 1000,
            noise: 0.1,
            target_noise: 0.2,
            target_noise_limit: 0.5,
            policy_every: 2,
            updates: 1,
            terminal: Terminal::Terminated,
            scales_observations: true,
        }
    }
}

impl Td3Settings {
    /// These settings with what a checked block says.
    pub fn with(mut self, block: &Settings) -> Td3Settings {
        set_layers(&mut self.hidden, block, "hidden");
        for lr in [&mut self.critic_lr, &mut self.actor_lr] {
            set(lr, block, "lr");
        }
        set(&mut self.critic_lr, block, "critic_lr");
        set(&mut self.actor_lr, block, "actor_lr");
        set(&mut self.gamma, block, "gamma");
        set(&mut self.tau, block, "tau");
        set_count(&mut self.batch, block, "batch");
        set_count(&mut self.capacity, block, "capacity");
        set_count(&mut self.start, block, "start");
        set(&mut self.noise, block, "noise");
        set(&mut self.target_noise, block, "target_noise");
        set(&mut self.target_noise_limit, block, "target_noise_limit");
        set_count(&mut self.policy_every, block, "policy_every");
        set_count(&mut self.updates, block, "updates");
        set_terminal(&mut self.terminal, block);
        set_truth(&mut self.scales_observations, block, "scale_observations");
        self
    }
}

/// The settings of `td3 { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    layers("hidden", "[256, 256]", "sizes of the hidden layers of policy and critics"),
    number("lr", LR, "3e-4", "length of all steps that have none of their own"),
    number("critic_lr", LR, "3e-4", "length of the critics' steps"),
    number("actor_lr", LR, "3e-4", "length of the policy's steps"),
    GAMMA,
    TAU,
    BATCH,
    CAPACITY,
    count("start", "1000", "environment steps before the first update, with uniform actions"),
    number(
        "noise",
        (0.0, 10.0),
        "0.1",
        "standard deviation of what is added to actions, in half widths of their space",
    ),
    number(
        "target_noise",
        (0.0, 10.0),
        "0.2",
        "standard deviation of what is added to the targets' actions, in half widths of their space",
    ),
    number(
        "target_noise_limit",
        (0.0, 10.0),
        "0.5",
        "most that is added to the targets' actions, in half widths of their space",
    ),
    count("policy_every", "2", "updates of the critics from one update of policy and targets to the next"),
    UPDATES,
    TERMINAL,
    SCALE_OBSERVATIONS,
];
