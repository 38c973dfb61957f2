//! The settings of distilling, and the table by which a checker knows them.

use super::super::scaler::Scaling;
use crate::hir::settings::{SettingKind, SettingSpec, Settings};

/// Settings of [`super::Distill`].
#[derive(Debug, Clone, PartialEq)]
pub struct DistillSettings {
    /// The policy acts in its own rounds (DAgger), so that it is advised where it gets to; else the controller always acts
    /// (behaviour cloning). Default true.
    pub dagger: bool,
    /// Probability that the controller acts after the first round, to the power of the round. Default 0.
    pub mix: f64,
    /// Steps of each copy per round. Default 1000.
    pub n_steps: usize,
    /// Passes over all advice per round. Default 20.
    pub epochs: usize,
    /// Pieces of advice that a gradient is taken over. Default 64.
    pub batch: usize,
    /// Most pieces of advice that are remembered, the latest. Default 1,000,000.
    pub buffer: usize,
    /// Length of a step of Adam. Default 1e-3.
    pub lr: f64,
    /// Sizes of hidden layers, with ReLU. Default 256, 256.
    pub hidden: Vec<usize>,
    /// How observations are scaled. Default by their ranges.
    pub observations: Scaling,
}

impl Default for DistillSettings {
    fn default() -> Self {
        DistillSettings {
            dagger: true,
            mix: 0.0,
            n_steps: 1000,
            epochs: 20,
            batch: 64,
            buffer: 1_000_000,
            lr: 1e-3,
            hidden: vec![256, 256],
            observations: Scaling::Range,
        }
    }
}

impl DistillSettings {
    /// What a block of settings says, which was checked against [`SETTINGS`]; defaults elsewhere.
    pub fn from_settings(settings: &Settings) -> DistillSettings {
        let mut own = DistillSettings::default();
        own.dagger = settings.truth("dagger").unwrap_or(own.dagger);
        own.mix = settings.number("mix").unwrap_or(own.mix);
        own.lr = settings.number("lr").unwrap_or(own.lr);
        let count = |key: &str, field: &mut usize| *field = settings.number(key).map_or(*field, |v| v as usize);
        count("n_steps", &mut own.n_steps);
        count("epochs", &mut own.epochs);
        count("batch", &mut own.batch);
        count("buffer", &mut own.buffer);
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

/// The settings of `distill { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    SettingSpec {
        name: "dagger",
        kind: SettingKind::Truth,
        unit: "",
        default: "true",
        doc: "the policy acts and is advised where it gets to; else the controller always acts",
    },
    number(
        "mix",
        0.0,
        1.0,
        "0",
        "probability that the controller acts after the first round, to the power of the round",
    ),
    count("n_steps", 1, 1_000_000, "1000", "steps of each copy per round"),
    count("epochs", 1, 10_000, "20", "passes over all advice per round"),
    count("batch", 1, 1_000_000, "64", "pieces of advice that a gradient is taken over"),
    count("buffer", 1, 100_000_000, "1000000", "most pieces of advice that are remembered, the latest"),
    number("lr", 1e-12, 1.0, "1e-3", "length of a step of Adam"),
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
];
