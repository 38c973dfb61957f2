//! Settings of algorithms: spanned data here, checked against the table that the algorithm exports.

use super::unknown::{did_you_mean, nearest};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::units::Unit;

use super::Model;

/// A setting's value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// A number with the unit written behind it.
    Number(f64, Option<Unit>),
    /// `"text"`
    Text(String),
    /// A bare word; `true` and `false` are words too.
    Word(String),
    /// `[a, b]`
    List(Vec<SettingValue>),
}

/// `key = value`
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub key_span: Span,
    /// The value.
    pub value: SettingValue,
    /// Where it stands.
    pub value_span: Span,
}

/// A block of settings with the algorithm it is for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `trust_region` in `fit trust_region { .. }`
    pub method: Option<(String, Span)>,
    /// In the order written.
    pub list: Vec<Setting>,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingKind {
    /// A real number without a unit in the inclusive range.
    Number(f64, f64),
    /// A time in the inclusive range; a number without a unit is in the model's unit of time.
    Time(f64, f64),
    /// A whole number in the inclusive range.
    Integer(i64, i64),
    /// `true` or `false`.
    Truth,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text in quotes.
    Text,
    /// A list of whole numbers.
    Integers,
    /// A number in the inclusive range, or a list of such.
    Numbers(f64, f64),
    /// A name, or a list of names.
    Words,
}

/// One row of the table that an algorithm exports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettingSpec {
    /// The key.
    pub name: &'static str,
    /// What it may be.
    pub kind: SettingKind,
    /// Unit of a number, for the manual; empty for a pure number.
    pub unit: &'static str,
    /// The default, as text.
    pub default: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

impl Settings {
    /// Adds what a later block says; the last word counts.
    pub fn extend(&mut self, later: Settings) {
        self.method = later.method.or(self.method.take());
        self.list.extend(later.list);
    }

    /// The last setting with this key.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.list.iter().rev().find(|s| s.key == key)
    }

    /// The number with this key; `None` where it is not set.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)?.value {
            SettingValue::Number(value, _) => Some(value),
            SettingValue::Text(_) | SettingValue::Word(_) | SettingValue::List(_) => None,
        }
    }

    /// The time with this key in the unit of time of `model`; `None` where it is not set. [`Settings::check_times`] has
    /// looked at its unit.
    pub fn time(&self, key: &str, model: &Model) -> Option<f64> {
        match &self.get(key)?.value {
            SettingValue::Number(value, unit) => Some(match (unit, &model.time_unit) {
                (Some(unit), Some(time)) => value * unit.factor_to(time)?,
                (None, _) | (_, None) => *value,
            }),
            SettingValue::Text(_) | SettingValue::Word(_) | SettingValue::List(_) => None,
        }
    }

    /// Reports times whose unit is none of time (E0301).
    pub fn check_times(&self, table: &[SettingSpec], model: &Model, diagnostics: &mut Diagnostics) {
        let is_time = |key: &str| table.iter().any(|s| s.name == key && matches!(s.kind, SettingKind::Time(..)));
        for setting in self.list.iter().filter(|setting| is_time(&setting.key)) {
            let SettingValue::Number(_, Some(unit)) = &setting.value else { continue };
            let key = &setting.key;
            let (title, help) = match &model.time_unit {
                None if model.is_unitless => (
                    format!("`{key}` has a unit, but `{}` is without units", model.name),
                    "remove this unit, or give the model its units".to_string(),
                ),
                Some(time) if unit.factor_to(time).is_none() => (
                    format!("`{key}` is a time, and this is in {unit}"),
                    format!("write a time, as in `{key} = 5 [{time}]`"),
                ),
                None | Some(_) => continue,
            };
            diagnostics
                .push(Diagnostic::new(Code("E0301"), setting.value_span, title).at(format!("[{unit}]")).help(help));
        }
    }

    /// The truth value with this key.
    pub fn truth(&self, key: &str) -> Option<bool> {
        match &self.get(key)?.value {
            SettingValue::Word(word) => Some(word == "true"),
            SettingValue::Number(..) | SettingValue::Text(_) | SettingValue::List(_) => None,
        }
    }

    /// The word or text with this key.
    pub fn word(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            SettingValue::Word(word) | SettingValue::Text(word) => Some(word),
            SettingValue::Number(..) | SettingValue::List(_) => None,
        }
    }

    /// The numbers with this key, one where no list is written; empty where it is not set.
    pub fn numbers(&self, key: &str) -> Vec<f64> {
        let number = |value: &SettingValue| match value {
            SettingValue::Number(value, _) => Some(*value),
            SettingValue::Text(_) | SettingValue::Word(_) | SettingValue::List(_) => None,
        };
        self.values(key).iter().filter_map(number).collect()
    }

    /// The names with this key, one where no list is written; empty where it is not set.
    pub fn words(&self, key: &str) -> Vec<&str> {
        self.values(key)
            .iter()
            .filter_map(|value| match value {
                SettingValue::Text(word) | SettingValue::Word(word) => Some(word.as_str()),
                SettingValue::Number(..) | SettingValue::List(_) => None,
            })
            .collect()
    }

    /// The members of a list, or the one value where none is written.
    fn values(&self, key: &str) -> &[SettingValue] {
        match self.get(key).map(|setting| &setting.value) {
            Some(SettingValue::List(list)) => list,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    /// Reports keys that `table` does not have (E0603), values that do not fit (E0602), and keys given twice in one text
    /// (E0202); what another text says, such as a command line, replaces the file's.
    pub fn check(&self, what: &str, table: &[SettingSpec], diagnostics: &mut Diagnostics) {
        self.check_beside(what, table, &[], diagnostics);
    }

    /// [`Settings::check`] of a block that has further keys, which are read elsewhere: they are offered as repairs.
    pub fn check_beside(
        &self,
        what: &str,
        table: &[SettingSpec],
        beside: &[&'static str],
        diagnostics: &mut Diagnostics,
    ) {
        for (k, setting) in self.list.iter().enumerate() {
            let is_same = |s: &&Setting| s.key == setting.key && s.key_span.source == setting.key_span.source;
            if let Some(first) = self.list[..k].iter().find(is_same) {
                diagnostics.push(given_twice(&setting.key, setting.key_span, first.key_span));
            }
            let Some(spec) = table.iter().find(|s| s.name == setting.key) else {
                let mut d = Diagnostic::new(
                    Code("E0603"),
                    setting.key_span,
                    format!("`{what}` has no setting `{}`", setting.key),
                )
                .at("not known");
                let near = nearest(&setting.key, table.iter().map(|s| s.name).chain(beside.iter().copied()));
                d = match did_you_mean(&d, &near, &[setting.key_span]) {
                    Some(d) => d,
                    None => d.help(format!(
                        "its settings are {}",
                        beside.iter().copied().chain(table.iter().map(|s| s.name)).collect::<Vec<_>>().join(", ")
                    )),
                };
                diagnostics.push(d);
                continue;
            };
            if let Err(expected) = fits(&setting.value, spec.kind) {
                let mut d =
                    Diagnostic::new(Code("E0602"), setting.value_span, format!("`{}` expects {expected}", spec.name))
                        .at("does not fit")
                        .help(spec.doc);
                if let (
                    SettingValue::Text(text),
                    SettingKind::Number(..) | SettingKind::Time(..) | SettingKind::Integer(..),
                ) = (&setting.value, spec.kind)
                    && text.trim().parse::<f64>().is_ok()
                {
                    d = d.fix("remove the quotes", setting.value_span, text.trim());
                }
                diagnostics.push(d);
            }
        }
    }
}

/// E0202 for a key that one text gives twice.
pub(super) fn given_twice(key: &str, again: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0202"), again, format!("`{key}` is given twice"))
        .at("again here")
        .label(first, "first here")
        .help("keep one of the two")
}

fn fits(value: &SettingValue, kind: SettingKind) -> Result<(), String> {
    let is_good = match (value, kind) {
        (SettingValue::Number(v, None), SettingKind::Number(low, high))
        | (SettingValue::Number(v, _), SettingKind::Time(low, high)) => *v >= low && *v <= high,
        (SettingValue::Number(v, None), SettingKind::Integer(low, high)) => {
            v.fract() == 0.0 && *v >= low as f64 && *v <= high as f64
        }
        (SettingValue::Word(word), SettingKind::Truth) => word == "true" || word == "false",
        (SettingValue::Word(word) | SettingValue::Text(word), SettingKind::Choice(words)) => {
            words.contains(&word.as_str())
        }
        (SettingValue::Text(_), SettingKind::Text) => true,
        (SettingValue::List(list), SettingKind::Integers) => {
            list.iter().all(|v| matches!(v, SettingValue::Number(v, None) if v.fract() == 0.0))
        }
        (SettingValue::List(list), SettingKind::Numbers(low, high)) => {
            !list.is_empty() && list.iter().all(|v| fits(v, SettingKind::Number(low, high)).is_ok())
        }
        (one, SettingKind::Numbers(low, high)) => fits(one, SettingKind::Number(low, high)).is_ok(),
        (SettingValue::List(list), SettingKind::Words) => {
            !list.is_empty() && list.iter().all(|v| matches!(v, SettingValue::Text(_) | SettingValue::Word(_)))
        }
        (SettingValue::Text(_) | SettingValue::Word(_), SettingKind::Words) => true,
        _ => false,
    };
    if is_good {
        return Ok(());
    }
    Err(match kind {
        SettingKind::Number(low, high) => {
            let without = if matches!(value, SettingValue::Number(_, Some(_))) { " without a unit" } else { "" };
            format!("a number{without}{}", within(low, high))
        }
        SettingKind::Time(low, high) if low >= 0.0 && high.is_infinite() => "a positive time".to_string(),
        SettingKind::Time(low, high) => format!("a time{}", within(low, high)),
        SettingKind::Integer(low, high) => format!("a whole number from {low} to {high}"),
        SettingKind::Truth => "`true` or `false`".to_string(),
        SettingKind::Choice(words) => format!("one of {}", words.join(", ")),
        SettingKind::Text => "text in quotes".to_string(),
        SettingKind::Integers => "a list of whole numbers".to_string(),
        SettingKind::Numbers(low, high) => format!("a number{}, or a list of such", within(low, high)),
        SettingKind::Words => "a name, or a list of names".to_string(),
    })
}

fn within(low: f64, high: f64) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) => format!(" from {} to {}", bound(low), bound(high)),
        (true, false) => format!(" of at least {}", bound(low)),
        (false, true) => format!(" of at most {}", bound(high)),
        (false, false) => String::new(),
    }
}

/// A bound as one would type it.
fn bound(value: f64) -> String {
    if value == 0.0 || (1e-4..1e9).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}
