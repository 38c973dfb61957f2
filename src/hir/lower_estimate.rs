//! `estimate`: what a fit finds, with its bounds and prior in the units of the model.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, Directive, Flag};

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::lower::Lower;
use super::lower_expr::text;
use super::model::{SymbolId, SymbolKind};
use super::study::{Estimate, Prior};

impl Lower<'_> {
    pub(super) fn estimate(&mut self, directive: &Directive, span: Span, list: &mut Vec<Estimate>) {
        let allowed = Allowed { range: true, dist: true, flags: &[Flag::Log, Flag::Linear], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`estimate`", allowed, self.diagnostics);
        if directive.subjects.is_empty() {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`estimate` needs a quantity")
                    .at("estimate what?")
                    .help("write `estimate k in 0.1 .. 10`"),
            );
        }
        for subject in &directive.subjects {
            let ast::ExprKind::Path(path) = &subject.kind else {
                self.report(
                    Diagnostic::new(Code("E0205"), subject.span, "`estimate` takes names").at("this is not a name"),
                );
                continue;
            };
            let Some(symbol) = self.symbol(path) else { continue };
            let found = self.model.symbol(symbol);
            if !matches!(
                found.kind,
                SymbolKind::Param | SymbolKind::State | SymbolKind::Species { .. } | SymbolKind::Compartment
            ) {
                let (name, word, declared) = (found.name.clone(), found.kind.phrase(), found.span);
                self.report(
                    Diagnostic::new(Code("E0205"), subject.span, format!("`{name}` is {word} and cannot be estimated"))
                        .at("named here")
                        .label(declared, "declared here")
                        .help(format!("declare it with `param {name}`")),
                );
                continue;
            }
            if let Some(first) = list.iter().find(|e| e.symbol == symbol) {
                let (name, first) = (text(path), first.span);
                self.report(
                    Diagnostic::new(Code("E0202"), subject.span, format!("`{name}` is estimated twice"))
                        .at("again here")
                        .label(first, "first here"),
                );
                continue;
            }
            let (low, high) = match clauses.range {
                Some((low, high)) => {
                    (low.and_then(|e| self.constant_in(symbol, e)), high.and_then(|e| self.constant_in(symbol, e)))
                }
                None => (None, None),
            };
            let prior = clauses.dist.and_then(|d| self.prior(symbol, d));
            let is_log_scale = clauses.has(Flag::Log).then_some(true).or(clauses.has(Flag::Linear).then_some(false));
            list.push(Estimate { symbol, low, high, prior, is_log_scale, span: subject.span });
        }
    }

    pub(super) fn prior(&mut self, symbol: SymbolId, ast: &ast::Expr) -> Option<Prior> {
        let dist = self.distribution(ast, false)?;
        let dist = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).dist(symbol, dist);
        let mut args = [None, None];
        for (slot, arg) in args.iter_mut().zip(dist.args) {
            if let Some(expr) = arg {
                *slot = Some(self.known_constant(expr, ast.span)?);
            }
        }
        Some(Prior { kind: dist.kind, args })
    }
}
