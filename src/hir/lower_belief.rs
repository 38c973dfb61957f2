//! What a study of a task says of parameters that its controller does not know: `estimate`, `scenario`.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{Directive, Value};

use super::clauses::{Allowed, Clauses};
use super::lower::Lower;
use super::model::{SymbolId, SymbolKind};
use super::study::Estimate;
use super::task::{Estimated, Scenario, Scenarios};

impl Lower<'_> {
    /// What a study of a task estimates, for its filter: every member of a family.
    pub(super) fn estimated(&mut self, estimates: &[Estimate], list: &mut Vec<Estimated>) {
        for estimate in estimates {
            let symbol = self.model.symbol(estimate.symbol).clone();
            if symbol.kind != SymbolKind::Param {
                let title =
                    format!("`{}` is {}, and a filter estimates all states anyway", symbol.name, symbol.kind.phrase());
                let d = Diagnostic::new(Code("E0205"), estimate.span, title).at("named here");
                self.report(d.label(symbol.span, "declared here").help("name parameters, or remove this"));
                continue;
            }
            let Estimate { low, high, prior, span, .. } = *estimate;
            if !symbol.ranges.is_empty() {
                let title = format!("`{}` is a family, and a filter estimates parameters one by one", symbol.name);
                let d = Diagnostic::new(Code("E0901"), span, title).at("a family");
                self.report(d.help("declare what is estimated as a `param` of its own"));
                continue;
            }
            if let (Some(low), Some(high)) = (low, high)
                && low >= high
            {
                let title = format!("`{}` cannot be estimated from {low} to {high}", symbol.name);
                self.report(Diagnostic::new(Code("E0613"), span, title).at("no value is inside"));
                continue;
            }
            list.push(Estimated { name: symbol.name, low, high, prior, span });
        }
    }

    /// `scenario alpha in [1, 1.05, 0.95]`, `scenario n, p2`, `scenario beta ~ Uniform(0.9, 1.1)`
    pub(super) fn scenario(&mut self, directive: &Directive, span: Span, list: &mut Vec<Scenario>) {
        let allowed = Allowed { range: true, choices: true, dist: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`scenario`", allowed, self.diagnostics);
        if directive.subjects.is_empty() {
            let d = Diagnostic::new(Code("E0101"), span, "`scenario` does not say of what").at("which parameter?");
            self.report(d.help("write `scenario k in [1, 0.9, 1.1]`"));
        }
        for subject in &directive.subjects {
            let Some((symbol, indices)) = self.quantity(subject) else { continue };
            let is_param = self.is_kind(symbol, subject.span, "uncertain", |kind| kind == SymbolKind::Param);
            if !is_param {
                continue;
            }
            let found = self.model.symbol(symbol);
            let name = match indices.as_slice() {
                [] if found.ranges.is_empty() => Some(found.name.clone()),
                _ => self.member(symbol, &indices),
            };
            let Some(name) = name else { continue };
            if let Some(first) = list.iter().find(|s| s.name == name).map(|s| s.span) {
                let d = Diagnostic::new(Code("E0202"), subject.span, format!("`{name}` has its scenarios twice"));
                self.report(d.at("again here").label(first, "first here").help("give all its values in one list"));
                continue;
            }
            let values = match clauses.choices {
                Some(choices) => self.scenario_values(symbol, choices, span).map(Scenarios::Listed),
                None => self.drawn_from(symbol, &name, subject.span, &clauses, "scenario").map(Scenarios::Drawn),
            };
            list.extend(values.map(|values| Scenario { name, values, span: subject.span }));
        }
    }

    fn scenario_values(&mut self, symbol: SymbolId, choices: &[Value], span: Span) -> Option<Vec<f64>> {
        if choices.is_empty() {
            let d = Diagnostic::new(Code("E0101"), span, "a list of scenarios has a value").at("nothing in the list");
            self.report(d.help("write `scenario k in [1, 0.9, 1.1]`, what is most likely first"));
            return None;
        }
        let mut values = Vec::with_capacity(choices.len());
        for choice in choices {
            match choice {
                Value::Expr(e) => values.push(self.constant_in(symbol, e)?),
                Value::List(_, at) => {
                    let d = Diagnostic::new(Code("E0205"), *at, "scenarios are a list of numbers");
                    self.report(d.at("a list in a list"));
                    return None;
                }
            }
        }
        Some(values)
    }
}
