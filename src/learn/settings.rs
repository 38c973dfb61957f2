//! Rows that the tables of settings of several algorithms share, and how they are read.

use crate::decide::Step;
use crate::hir::settings::{SettingKind, SettingSpec, SettingValue, Settings};

/// Which ends of an episode mean that nothing is to be expected from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminal {
    /// Those of the episode itself; where its time was up, the future is what the critics say.
    #[default]
    Terminated,
    /// Those, and where its time was up.
    Both,
}

impl Terminal {
    /// Whether this step was such an end.
    pub fn is_end(self, step: &Step) -> bool {
        match self {
            Terminal::Terminated => step.terminated,
            Terminal::Both => step.terminated || step.truncated,
        }
    }
}

/// A row of a number.
pub(super) const fn number(
    name: &'static str,
    (low, high): (f64, f64),
    default: &'static str,
    doc: &'static str,
) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Number(low, high), unit: "", default, doc }
}

/// A row of a whole number of at least 1.
pub(super) const fn count(name: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integer(1, 1_000_000_000), unit: "", default, doc }
}

/// A row of `true` or `false`.
pub(super) const fn truth(name: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Truth, unit: "", default, doc }
}

/// A row of one of some words.
pub(super) const fn choice(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
    doc: &'static str,
) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Choice(words), unit: "", default, doc }
}

/// A row of sizes of hidden layers.
pub(super) const fn layers(name: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integers, unit: "", default, doc }
}

/// Lengths of steps of Adam that a setting may have.
pub(super) const LR: (f64, f64) = (0.0, 1.0);

/// The discount.
pub(super) const GAMMA: SettingSpec =
    number("gamma", (0.0, 1.0), "0.99", "what a reward one step later is worth of one now");

/// The rate of targets.
pub(super) const TAU: SettingSpec =
    number("tau", (0.0, 1.0), "0.005", "fraction of the way that the targets go to the critics at a time");

/// Transitions of an update.
pub(super) const BATCH: SettingSpec = count("batch", "256", "transitions of an update");

/// Transitions kept.
pub(super) const CAPACITY: SettingSpec = count("capacity", "1000000", "transitions that are kept, the latest");

/// Updates of a step.
pub(super) const UPDATES: SettingSpec = count("updates", "1", "updates of the critics after a step of all copies");

/// What ends the future.
pub(super) const TERMINAL: SettingSpec = choice(
    "terminal",
    &["terminated", "both"],
    "terminated",
    "after which ends of an episode nothing is to be expected: its own, or also that of its time",
);

/// Whether observations are scaled.
pub(super) const SCALE_OBSERVATIONS: SettingSpec = truth(
    "scale_observations",
    "true",
    "whether networks see observations on the scale of their space, where it is closed",
);

/// The number with this key, else `value`.
pub(super) fn set(value: &mut f32, settings: &Settings, key: &str) {
    if let Some(number) = settings.number(key) {
        *value = number as f32;
    }
}

/// The whole number with this key, else `value`.
pub(super) fn set_count(value: &mut usize, settings: &Settings, key: &str) {
    if let Some(number) = settings.number(key) {
        *value = number as usize;
    }
}

/// The truth value with this key, else `value`.
pub(super) fn set_truth(value: &mut bool, settings: &Settings, key: &str) {
    if let Some(truth) = settings.truth(key) {
        *value = truth;
    }
}

/// The list of sizes with this key, those below 1 as 1, else `value`.
pub(super) fn set_layers(value: &mut Vec<usize>, settings: &Settings, key: &str) {
    let Some(SettingValue::List(list)) = settings.get(key).map(|setting| &setting.value) else { return };
    *value = list
        .iter()
        .filter_map(|entry| match entry {
            SettingValue::Number(size, _) => Some((*size as usize).max(1)),
            SettingValue::Text(_) | SettingValue::Word(_) | SettingValue::List(_) => None,
        })
        .collect();
}

/// The ends with the key `terminal`, else `value`.
pub(super) fn set_terminal(value: &mut Terminal, settings: &Settings) {
    match settings.word("terminal") {
        Some("terminated") => *value = Terminal::Terminated,
        Some("both") => *value = Terminal::Both,
        Some(_) | None => {}
    }
}
