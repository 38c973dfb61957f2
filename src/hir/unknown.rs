//! Names that nothing declares: each reported once, with the declared name that was probably meant.
//!
//! The nearest names in edits are offered. Where several are equally near, the one with which the units of the model
//! agree ranks first: `kct` in a rate is `kcat`, not `kc`.

use std::collections::HashSet;

use crate::diag::closest::edit_distance;
use crate::diag::{Code, Diagnostic, Diagnostics, Edit, Fix};
use crate::source::{SourceMap, Span};

use super::check_units;
use super::expr::ExprKind;
use super::lower::Unsettled;
use super::model::Model;

/// A name that is not declared.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    /// The name as written.
    pub name: String,
    /// Where it stands, in order.
    pub spans: Vec<Span>,
    /// The declared names nearest to it, all equally near.
    pub near: Vec<String>,
}

/// Equally near names that are tried out in the equations.
const MOST_TRIED: usize = 6;
/// Unknown names for which that is done, and the largest model, in expressions: each trial checks the whole model.
const MOST_TRIALS: usize = 8;
const LARGEST_TRIED: usize = 20_000;
/// Unknown names for which near ones are looked for; who has more has another problem than spelling.
const MOST_SUGGESTED: usize = 50;

/// The names among `candidates` that are fewest edits away from `name`, sorted; none where all are far.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let length = name.chars().count();
    // A name of one letter is not misspelt, it is another name.
    let mut best = (length / 3).max(1).min(length.saturating_sub(1));
    let mut list: Vec<String> = Vec::new();
    if length > 64 {
        return list;
    }
    for candidate in candidates {
        if candidate == name || candidate.len().abs_diff(name.len()) > 4 * best {
            continue;
        }
        let mut distance = edit_distance(name, candidate);
        if distance > 1 && candidate.to_lowercase() == name.to_lowercase() {
            distance = 1;
        }
        if distance == 1 && candidate.to_lowercase() == name.to_lowercase() {
            best = best.max(1);
        }
        if distance < best {
            list.clear();
            best = distance;
        }
        if distance == best {
            list.push(candidate.to_string());
        }
    }
    list.sort_unstable();
    list.dedup();
    list
}

/// Says which of `near` was probably meant; a machine may write it at `places` where there is only one. `None` where
/// nothing is near.
pub(super) fn did_you_mean(d: &Diagnostic, near: &[String], places: &[Span]) -> Option<Diagnostic> {
    let d = d.clone();
    let [only] = near else {
        return Some(d.help(format!("did you mean {}?", one_of(near)?)));
    };
    let edits = places.iter().map(|span| Edit { span: *span, replacement: only.clone() }).collect();
    let mut d = d.help(format!("did you mean `{only}`?"));
    d.fix = Some(Fix { title: format!("use `{only}`"), edits });
    Some(d)
}

/// `` `a`, `b` or `c` ``
fn one_of(names: &[String]) -> Option<String> {
    const MOST_SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(MOST_SHOWN).map(|name| format!("`{name}`")).collect();
    let (last, others) = shown.split_last()?;
    Some(if others.is_empty() { last.clone() } else { format!("{} or {last}", others.join(", ")) })
}

/// Reports the unknown names of `model` (E0201).
pub(super) fn report(model: &mut Model, unsettled: &mut Unsettled, sources: &SourceMap, diagnostics: &mut Diagnostics) {
    let list = std::mem::take(&mut unsettled.unknown);
    let is_small = model.exprs.len() <= LARGEST_TRIED;
    for (k, unknown) in list.iter().enumerate() {
        let is_tried = is_small && k < MOST_TRIALS && (2..=MOST_TRIED).contains(&unknown.near.len());
        let near = if is_tried { fitting(model, unsettled, unknown, sources) } else { unknown.near.clone() };
        diagnostics.push(diagnostic(model, unknown, &near, sources));
    }
}

/// The candidates that leave the fewest disagreements of units.
fn fitting(model: &Model, unsettled: &Unsettled, unknown: &Unknown, sources: &SourceMap) -> Vec<String> {
    let places: HashSet<Span> = unknown.spans.iter().copied().collect();
    let mut least = usize::MAX;
    let mut best: Vec<String> = Vec::new();
    for name in &unknown.near {
        let Some(symbol) = model.names.get(name).copied() else { continue };
        let mut trial = model.clone();
        for expr in &mut trial.exprs {
            if expr.kind == ExprKind::Error && places.contains(&expr.span) {
                expr.kind = ExprKind::Symbol { symbol, indices: Vec::new() };
            }
        }
        let mut found = Diagnostics::default();
        let quiet = Unsettled { is_quiet: true, ..unsettled.clone() };
        check_units::check(&mut trial, &quiet, false, sources, &mut Vec::new(), &mut found);
        if found.len() < least {
            least = found.len();
            best.clear();
        }
        if found.len() == least {
            best.push(name.clone());
        }
    }
    if best.is_empty() { unknown.near.clone() } else { best }
}

fn diagnostic(model: &Model, unknown: &Unknown, near: &[String], sources: &SourceMap) -> Diagnostic {
    let name = &unknown.name;
    let mut d =
        Diagnostic::new(Code("E0201"), unknown.spans[0], format!("`{name}` is not declared")).at("not known here");
    for span in unknown.spans[1..].iter().take(3) {
        d = d.label(*span, "nor here");
    }
    let Some(mut d) = did_you_mean(&d, near, &unknown.spans) else {
        return d.help(format!("declare it, for example `param {name} [unit] = 1`"));
    };
    let [only] = near else { return d };
    let what = match model.names.get(only).map(|id| model.symbol(*id)) {
        Some(symbol) => {
            let line = sources.get(symbol.span.source).line_column(symbol.span.start).0;
            format!(" ({}, line {line})", symbol.kind.word())
        }
        None => String::new(),
    };
    d = d.help(format!("did you mean `{only}`?{what}"));
    d
}

/// Adds an occurrence of an unknown name; `near` is asked for at its first one.
pub(super) fn note(list: &mut Vec<Unknown>, name: &str, span: Span, near: impl FnOnce() -> Vec<String>) {
    if let Some(known) = list.iter_mut().find(|u| u.name == name) {
        if !known.spans.contains(&span) {
            known.spans.push(span);
        }
    } else if list.len() < crate::limits::MAX_DIAGNOSTICS {
        let near = if list.len() < MOST_SUGGESTED { near() } else { Vec::new() };
        list.push(Unknown { name: name.to_string(), spans: vec![span], near });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_all_that_are_equally_near() {
        assert_eq!(nearest("kct", ["kc", "kcat", "Vmax", "koff"].into_iter()), ["kc", "kcat"]);
        assert_eq!(nearest("kct", ["kcT", "kcat"].into_iter()), ["kcT", "kcat"]);
        assert!(nearest("x", ["abc", "y"].into_iter()).is_empty());
        assert_eq!(nearest("s", ["S"].into_iter()), ["S"]);
    }
}
