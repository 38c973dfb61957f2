//! `sweep`: the values of one quantity over which a simulation is repeated.

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{Directive, Flag, Value};

use super::clauses::{Allowed, Clauses};
use super::hold::names_one_of;
use super::lower::Lower;
use super::model::SymbolKind;
use super::study::{Study, Sweep};

/// E0606 where the start of a state is swept through which that of another is written: a sweep gives it from outside,
/// and would leave the other behind.
pub(super) fn check_starts(study: &Study, diagnostics: &mut Diagnostics) {
    let model = &study.model;
    let is_state = |kind| matches!(kind, SymbolKind::State | SymbolKind::Species { .. } | SymbolKind::Discrete);
    for sweep in study.sweeps.iter().filter(|sweep| is_state(model.symbol(sweep.symbol).kind)) {
        let swept = HashSet::from([sweep.symbol]);
        let is_replaced = |id| study.starts.iter().any(|start| start.symbol == id && start.indices.is_empty());
        let states = model.symbols().filter(|(id, s)| is_state(s.kind) && !is_replaced(*id));
        let declared = states.filter_map(|(_, s)| s.value);
        let mut starts = declared.chain(study.starts.iter().map(|start| start.value));
        if starts.any(|start| names_one_of(model, start, &swept).is_some()) {
            let name = &model.symbol(sweep.symbol).name;
            diagnostics.push(
                Diagnostic::new(
                    Code("E0606"),
                    sweep.span,
                    format!("the start of another state is written through that of `{name}`"),
                )
                .at("a start given here would leave that one behind")
                .help(format!(
                    "write both through a parameter: `param {name}_0 = ..` and `state {name} = {name}_0`, and sweep that one"
                )),
            );
        }
    }
}

impl Lower<'_> {
    pub(super) fn sweep(&mut self, directive: &Directive, span: Span) -> Option<Sweep> {
        let allowed = Allowed { range: true, choices: true, flags: &[Flag::Log, Flag::Linear], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`sweep`", allowed, self.diagnostics);
        let [subject] = directive.subjects.as_slice() else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`sweep` needs one quantity")
                    .at("sweep what?")
                    .help("write `sweep k in 0.1 .. 10 { points = 21 }`"),
            );
            return None;
        };
        let (symbol, indices) = self.quantity(subject)?;
        let is_swept = |kind| !matches!(kind, SymbolKind::Const | SymbolKind::Let | SymbolKind::Observable);
        self.is_kind(symbol, subject.span, "swept", is_swept).then_some(())?;
        let name = self.member(symbol, &indices)?;
        let settings = self.method_settings(&Directive { subjects: Vec::new(), ..directive.clone() });
        const TABLE: &[super::settings::SettingSpec] = &[super::settings::SettingSpec {
            name: "points",
            kind: super::settings::SettingKind::Integer(1, 1_000_000),
            unit: "",
            default: "11",
            doc: "how many values, ends included",
        }];
        settings.check("sweep", TABLE, self.diagnostics);
        if let Some(choices) = clauses.choices {
            let points = settings.get("points").map(|setting| ("points", setting.key_span));
            let flag = clauses.flags.first().map(|(_, span)| ("a scale", *span));
            for (what, at) in points.into_iter().chain(flag) {
                self.report(
                    Diagnostic::new(Code("E0107"), at, format!("{what} has no meaning beside a list of values"))
                        .at("remove this"),
                );
            }
            let mut values = Vec::with_capacity(choices.len());
            for choice in choices {
                match choice {
                    Value::Expr(e) => {
                        let value = self.constant_in(symbol, e)?;
                        self.is_inside(symbol, "is swept at", value, e.span);
                        values.push(value);
                    }
                    Value::List(_, at) => {
                        self.report(
                            Diagnostic::new(Code("E0205"), *at, "a sweep takes a list of numbers")
                                .at("a list in a list"),
                        );
                        return None;
                    }
                }
            }
            return Some(Sweep { symbol, name, values, span });
        }
        let Some((Some(low), Some(high))) = clauses.range else {
            self.report(
                Diagnostic::new(Code("E0409"), span, "`sweep` needs both ends of its range")
                    .at("from where to where?")
                    .help("write `in low .. high`, or `in [a, b, c]`"),
            );
            return None;
        };
        let (first, last) = (low, high);
        let (low, high) = (self.constant_in(symbol, low)?, self.constant_in(symbol, high)?);
        self.is_inside(symbol, "is swept from", low, first.span);
        self.is_inside(symbol, "is swept to", high, last.span);
        let n = settings.number("points").unwrap_or(11.0) as usize;
        let is_log = clauses.has(Flag::Log);
        if is_log && !(low > 0.0 && high > 0.0) {
            self.report(
                Diagnostic::new(Code("E0608"), span, "a logarithmic sweep needs positive ends")
                    .at(format!("{low} .. {high}")),
            );
            return None;
        }
        let at = |k: usize| {
            let s = if n == 1 { 0.0 } else { k as f64 / (n - 1) as f64 };
            match k {
                // The ends are exact whatever the rounding between them.
                _ if k == 0 => low,
                _ if k + 1 == n => high,
                _ if is_log => (low.ln() + s * (high.ln() - low.ln())).exp(),
                _ => low + s * (high - low),
            }
        };
        Some(Sweep { symbol, name, values: (0..n).map(at).collect(), span })
    }
}
