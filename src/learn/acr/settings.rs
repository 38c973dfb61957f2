//! The settings of RL-ACR, those of the paper's runs by default, and the tables by which a checker knows them.

use super::super::sac::SacSettings;
use super::super::settings::{LR, Terminal, choice, count, layers, number, set, set_count, set_layers};
use crate::hir::settings::{SettingSpec, Settings};

/// Settings of [`super::Acr`].
#[derive(Debug, Clone, PartialEq)]
pub struct AcrSettings {
    /// Those of the policy and its critics. By default the paper's: critics' steps 1e-3, policy's 3e-4, temperature 0.2
    /// fixed, two policy updates after every second update of the critics, every end of an episode terminal.
    pub sac: SacSettings,
    /// Those of the focus network.
    pub focus: FocusSettings,
}

/// What weighs the controller against the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FocusKind {
    /// A network of the observation, one weight for each action.
    #[default]
    Network,
    /// One number.
    Scalar,
}

/// Settings of [`super::focus::Focus`].
#[derive(Debug, Clone, PartialEq)]
pub struct FocusSettings {
    /// A network or one number. Default a network.
    pub kind: FocusKind,
    /// Sizes of its hidden layers. Default 128, 32.
    pub hidden: Vec<usize>,
    /// Length of its steps. Default 5e-6.
    pub lr: f32,
    /// Weight of the controller that it is trained to before anything is done. Default 0.999.
    pub pretrain: f32,
    /// Length of the steps of that. Default 1e-5.
    pub pretrain_lr: f32,
    /// Observations, uniform over their space, of one of those steps. Default 512.
    pub pretrain_batch: usize,
    /// Mean squared error at which they end. Default 1e-8.
    pub pretrain_loss: f32,
    /// Most of those steps. Default 200,000.
    pub pretrain_most: usize,
}

impl Default for AcrSettings {
    fn default() -> Self {
        let sac = SacSettings {
            critic_lr: 1e-3,
            is_temperature_learnt: false,
            temperature: 0.2,
            is_entropy_in_units: true,
            policy_every: 2,
            policy_updates: 2,
            terminal: Terminal::Both,
            ..SacSettings::default()
        };
        AcrSettings { sac, focus: FocusSettings::default() }
    }
}

impl Default for FocusSettings {
    fn default() -> Self {
        FocusSettings {
            kind: FocusKind::Network,
            hidden: vec![128, 32],
            lr: 5e-6,
            pretrain: 0.999,
            pretrain_lr: 1e-5,
            pretrain_batch: 512,
            pretrain_loss: 1e-8,
            pretrain_most: 200_000,
        }
    }
}

impl FocusSettings {
    /// These settings with what a checked block says.
    pub fn with(mut self, block: &Settings) -> FocusSettings {
        match block.word("kind") {
            Some("network") => self.kind = FocusKind::Network,
            Some("scalar") => self.kind = FocusKind::Scalar,
            Some(_) | None => {}
        }
        set_layers(&mut self.hidden, block, "hidden");
        set(&mut self.lr, block, "lr");
        set(&mut self.pretrain, block, "pretrain");
        set(&mut self.pretrain_lr, block, "pretrain_lr");
        set_count(&mut self.pretrain_batch, block, "pretrain_batch");
        set(&mut self.pretrain_loss, block, "pretrain_loss");
        set_count(&mut self.pretrain_most, block, "pretrain_most");
        self
    }
}

/// The settings of `focus { ... }` in `acr { ... }`; those of `sac { ... }` there are [`super::super::sac::SETTINGS`].
pub const FOCUS_SETTINGS: &[SettingSpec] = &[
    choice(
        "kind",
        &["network", "scalar"],
        "network",
        "whether the weight of the controller depends on the observation or is one number",
    ),
    layers("hidden", "[128, 32]", "sizes of the hidden layers of the focus network"),
    number("lr", LR, "5e-6", "length of the steps of the focus network"),
    number("pretrain", (0.5, 0.9999), "0.999", "weight of the controller that training begins with"),
    number("pretrain_lr", LR, "1e-5", "length of the steps towards that weight, before anything is done"),
    count("pretrain_batch", "512", "observations, uniform over their space, of one of those steps"),
    number("pretrain_loss", (0.0, 1.0), "1e-8", "mean squared error of the weight at which they end"),
    count("pretrain_most", "200000", "most of those steps"),
];
