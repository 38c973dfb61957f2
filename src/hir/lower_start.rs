//! Quantities that a study names, the values it gives them, and `start`.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, Directive};

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::constants::constant;
use super::expr::{ExprId, ExprKind};
use super::lower::Lower;
use super::lower_expr::text;
use super::model::{SymbolId, SymbolKind};
use super::study::Start;

impl Lower<'_> {
    /// `start steady`, which is noted in `place`. False for any other start: a quantity of that name has a value.
    pub(super) fn steady(&mut self, directive: &Directive, span: Span, place: &mut Option<Span>) -> bool {
        let is_steady = |e: &ast::Expr| matches!(&e.kind, ast::ExprKind::Path(p) if text(p) == "steady");
        let has_value = directive.clauses.iter().any(|clause| matches!(clause.kind, ast::ClauseKind::Init(_)));
        if has_value || !directive.subjects.first().is_some_and(is_steady) {
            return false;
        }
        self.no_clauses(directive);
        if let Some(block) = &directive.block {
            let d = Diagnostic::new(Code("E0107"), block.span, "`start steady` takes no block").at("remove this");
            self.report(d.label(span, "this statement"));
        }
        // The command line may ask for what the file says.
        if let Some(first) = place.filter(|first| first.source == span.source) {
            let d = Diagnostic::new(Code("E0202"), span, "`start steady` is written twice").at("again here");
            self.report(d.label(first, "first here"));
        }
        place.get_or_insert(span);
        true
    }

    /// `start S = 20 [uM]`
    pub(super) fn start(&mut self, directive: &Directive, span: Span) -> Option<Start> {
        let allowed = Allowed { init: true, dist: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`start`", allowed, self.diagnostics);
        let [subject] = directive.subjects.as_slice() else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`start` needs one quantity")
                    .at("this statement")
                    .help("write `start S = 20 [uM]`"),
            );
            return None;
        };
        if clauses.dist.is_some() {
            self.report(
                Diagnostic::new(Code("E0901"), span, "a drawn start is not supported by this version")
                    .at("nothing of this statement is used")
                    .help("write `start S = 20 [uM]`"),
            );
            return None;
        }
        let (symbol, indices) = self.quantity(subject)?;
        let Some(value) = clauses.init else {
            self.report(
                Diagnostic::new(Code("E0409"), span, "`start` has no value")
                    .at("starts where?")
                    .help("write `start S = 20 [uM]`"),
            );
            return None;
        };
        let kind = self.model.symbol(symbol).kind;
        if matches!(kind, SymbolKind::Const | SymbolKind::Let | SymbolKind::Observable) {
            let name = self.model.symbol(symbol).name.clone();
            let model = self.model.name.clone();
            let d = Diagnostic::new(
                Code("E0205"),
                subject.span,
                format!("`{name}` is {} and has no start value", kind.phrase()),
            )
            .at("started here");
            self.report(if kind == SymbolKind::Const {
                d.help(format!(
                    "a constant is folded into the equations: declare `model Other = {model}({name} = ..)` and let the \
                     study be of `Other`"
                ))
            } else {
                d.help("states, species, parameters and inputs have one")
            });
            return None;
        }
        let value = self.value(value);
        let value =
            Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).in_unit_of(symbol, value);
        // What acted before a task need not be within the limits of what may be decided: a pump was off.
        if self.task.is_none() || kind != SymbolKind::Input {
            self.in_range(symbol, value);
        }
        Some(Start { symbol, indices, value, span })
    }

    /// E0608 for a constant start value outside of the declared range.
    fn in_range(&mut self, symbol: SymbolId, value: ExprId) {
        if let Some(start) = constant(&self.model, value) {
            self.is_inside(symbol, "starts at", start, self.model.expr(value).span);
        }
    }

    /// E0608 where a value lies outside of the declared range: the symbol `does` it, as in `starts at`.
    pub(super) fn is_inside(&mut self, symbol: SymbolId, does: &str, value: f64, span: Span) {
        let found = self.model.symbol(symbol);
        let of = |e: Option<ExprId>| e.and_then(|e| constant(&self.model, e));
        let (low, high) = (of(found.low), of(found.high));
        if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
            let shown = |e: Option<f64>| e.map(|e| e.to_string()).unwrap_or_default();
            let title =
                format!("`{}` {does} {value}, outside of its range {} .. {}", found.name, shown(low), shown(high));
            let d = Diagnostic::new(Code("E0608"), span, title).at("given here");
            let d = d.label(found.span, "declared with its range").help("give a value inside, or widen the range");
            self.report(d);
        }
    }

    /// E0205 where the symbol is of a kind that `what` is not for.
    pub(super) fn is_kind(
        &mut self,
        symbol: SymbolId,
        span: Span,
        what: &str,
        is_good: impl Fn(SymbolKind) -> bool,
    ) -> bool {
        let found = self.model.symbol(symbol);
        if is_good(found.kind) {
            return true;
        }
        let d = Diagnostic::new(
            Code("E0205"),
            span,
            format!("`{}` is {} and cannot be {what}", found.name, found.kind.phrase()),
        );
        let d = d.at("named here").label(found.span, "declared here");
        self.report(d);
        false
    }

    /// A name with the indices of a family member.
    pub(super) fn quantity(&mut self, subject: &ast::Expr) -> Option<(SymbolId, Vec<ExprId>)> {
        match &subject.kind {
            ast::ExprKind::Path(path) => {
                let symbol = self.symbol(path)?;
                self.check_indices(symbol, 0, path);
                Some((symbol, Vec::new()))
            }
            ast::ExprKind::Call { function, args } => {
                let symbol = self.symbol(function)?;
                let indices: Vec<ExprId> = args.iter().map(|a| self.value(&a.value)).collect();
                self.check_indices(symbol, indices.len(), function);
                Some((symbol, indices))
            }
            _ => {
                self.report(
                    Diagnostic::new(Code("E0205"), subject.span, "a quantity of the model is needed here")
                        .at("this is not a name"),
                );
                None
            }
        }
    }

    /// The name of the member that constant `indices` choose, as in `h(2)`; what is no member is reported.
    pub(super) fn member(&mut self, symbol: SymbolId, indices: &[ExprId]) -> Option<String> {
        let found = self.model.symbol(symbol);
        let (name, declared, ranges) = (found.name.clone(), found.span, found.ranges.clone());
        if indices.is_empty() {
            return ranges.is_empty().then_some(name);
        }
        let mut values = Vec::with_capacity(indices.len());
        for (index, range) in indices.iter().zip(&ranges) {
            let span = self.model.expr(*index).span;
            let value = self.known_constant(*index, span)?;
            let (low, high) = (constant(&self.model, range.from)?, constant(&self.model, range.to)?);
            if value.fract() != 0.0 || value < low || value > high {
                self.report(
                    Diagnostic::new(
                        Code("E0405"),
                        span,
                        format!("`{name}` has members {low} .. {high}, and {value} is asked for"),
                    )
                    .at(format!("is {value} here"))
                    .label(declared, format!("declared for {low} .. {high}")),
                );
                return None;
            }
            values.push(value.to_string());
        }
        Some(format!("{name}({})", values.join(",")))
    }

    /// A constant in the unit of a symbol.
    pub(super) fn constant_in(&mut self, symbol: SymbolId, ast: &ast::Expr) -> Option<f64> {
        let expr = self.expr(ast);
        let expr =
            Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).in_unit_of(symbol, expr);
        self.known_constant(expr, ast.span)
    }

    /// A constant in the unit of time.
    pub(super) fn constant_time(&mut self, ast: &ast::Expr) -> Option<f64> {
        let expr = self.expr(ast);
        let expr = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).in_time(expr);
        self.known_constant(expr, ast.span)
    }

    pub(super) fn known_constant(&mut self, expr: ExprId, span: Span) -> Option<f64> {
        let value = constant(&self.model, expr);
        if value.is_none() && !matches!(self.model.expr(expr).kind, ExprKind::Error) {
            self.report(
                Diagnostic::new(Code("E0407"), span, "this value must be a constant").at("depends on what may change"),
            );
        }
        value
    }
}
