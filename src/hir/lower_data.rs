//! Data of a study: which column is what, and how its cells become the model's units.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, BindSource, ClauseWord, Directive, Flag, StatementKind};
use crate::units::Unit;

use super::clauses::{Allowed, Clauses};
use super::lower::Lower;
use super::lower_expr::text;
use super::model::{SymbolId, SymbolKind};
use super::study::{BindTarget, Binding, DataSet};

impl Lower<'_> {
    /// `data "file.csv" by run { time <- t [min]; P_obs <- product [mM] }`
    pub(super) fn data_set(&mut self, directive: &Directive, span: Span) -> Option<DataSet> {
        let allowed = Allowed { words: &[ClauseWord::By], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`data`", allowed, self.diagnostics);
        let (path, path_span) = match directive.subjects.as_slice() {
            [ast::Expr { kind: ast::ExprKind::Text(path), span }] => (path.clone(), *span),
            _ => {
                self.report(
                    Diagnostic::new(Code("E0101"), span, "`data` needs a file in quotes")
                        .at("which file?")
                        .help("write `data \"data.csv\" { time <- t [s]; y <- signal [mV] }`"),
                );
                return None;
            }
        };
        let by = clauses.word_arg(ClauseWord::By).and_then(|e| match &e.kind {
            ast::ExprKind::Path(p) => Some((text(p), e.span)),
            ast::ExprKind::Text(t) => Some((t.clone(), e.span)),
            _ => None,
        });
        let mut bindings: Vec<Binding> = Vec::new();
        for statement in directive.block.iter().flat_map(|b| &b.statements) {
            let StatementKind::Bind(bind) = &statement.kind else {
                self.report(
                    Diagnostic::new(Code("E0208"), statement.span, "a `data` block says what each column is")
                        .at("expected `quantity <- column [unit]`"),
                );
                continue;
            };
            let Some(binding) = self.binding(bind, statement.span) else { continue };
            if let Some(first) =
                bindings.iter().find(|b| b.target == binding.target && b.is_initial == binding.is_initial)
            {
                let first = first.span;
                self.report(
                    Diagnostic::new(Code("E0202"), statement.span, format!("`{}` is bound twice", binding.name))
                        .at("again here")
                        .label(first, "first here"),
                );
                continue;
            }
            bindings.push(binding);
        }
        if !bindings.iter().any(|b| b.target == BindTarget::Time) {
            self.report(
                Diagnostic::new(Code("E0409"), path_span, "no column of this file is bound to `time`")
                    .at("when were these measured?")
                    .help("write `time <- column [s]` in its block"),
            );
        }
        Some(DataSet { path, path_span, by, bindings })
    }

    pub(super) fn binding(&mut self, bind: &ast::Bind, span: Span) -> Option<Binding> {
        let allowed = Allowed {
            unit: true,
            words: &[ClauseWord::Times],
            flags: &[Flag::Initial, Flag::Linear],
            ..Allowed::default()
        };
        let clauses = Clauses::sort(&bind.clauses, "a column", allowed, self.diagnostics);
        let (column, column_span) = match &bind.source {
            BindSource::FromPath(path) => (text(path), path.span),
            BindSource::FromText(text) => (text.text.clone(), text.span),
            BindSource::ToText(text) => {
                self.report(
                    Diagnostic::new(Code("E0208"), text.span, "data flows into the model: `<-`, not `->`")
                        .at("the arrow points outwards"),
                );
                return None;
            }
        };
        let name = text(&bind.target);
        let (target, slot) = if name == "time" {
            (BindTarget::Time, self.model.time_unit.clone())
        } else {
            let symbol = self.symbol(&bind.target)?;
            self.check_indices(symbol, 0, &bind.target);
            (BindTarget::Symbol(symbol), self.model.symbol(symbol).unit.clone())
        };
        let (is_initial, is_linear) = (clauses.has(Flag::Initial), clauses.has(Flag::Linear));
        if let BindTarget::Symbol(symbol) = target {
            self.check_bound_kind(symbol, is_initial, &bind.target)?;
        }
        let unit = clauses.unit.and_then(|u| self.unit(u));
        let times = match clauses.word_arg(ClauseWord::Times).map(|e| (&e.kind, e.span)) {
            None => None,
            Some((ast::ExprKind::Quantity { value, unit }, _)) => {
                Some((*value, unit.as_ref().and_then(|u| self.unit(u)).unwrap_or_else(Unit::one)))
            }
            Some((_, at)) => {
                self.report(
                    Diagnostic::new(Code("E0407"), at, "`times` takes a number with a unit").at("expected a number"),
                );
                None
            }
        };
        let (factor, offset) =
            self.column_conversion(unit, times, slot.as_ref(), &name, clauses.unit.map_or(span, |u| u.span))?;
        Some(Binding { target, name, column, column_span, factor, offset, is_initial, is_linear, span })
    }

    /// From a cell to the slot's unit: `factor · cell + offset`.
    pub(super) fn column_conversion(
        &mut self,
        unit: Option<Unit>,
        times: Option<(f64, Unit)>,
        slot: Option<&Unit>,
        name: &str,
        span: Span,
    ) -> Option<(f64, f64)> {
        if let (Some(unit), None, true) = (&unit, slot, self.model.is_unitless) {
            let d = Diagnostic::new(Code("E0301"), span, format!("the column has unit {unit}, but `{name}` has none"));
            self.report(d.at(format!("[{unit}]")).help("give the model its units, or remove this one"));
            return None;
        }
        let (Some(unit), Some(slot)) = (unit, slot) else { return Some((times.map_or(1.0, |(v, _)| v), 0.0)) };
        if let Some((value, by)) = times {
            let product = unit.without_offset().mul(&by);
            return match product.factor_to(&slot.without_offset()) {
                Some(factor) => Some((value * factor, 0.0)),
                None => {
                    self.report(
                        Diagnostic::new(
                            Code("E0301"),
                            span,
                            format!("the column has unit {unit}, times {by}, but `{name}` is in {slot}"),
                        )
                        .at(format!("[{product}] after `times`")),
                    );
                    None
                }
            };
        }
        match unit.without_offset().factor_to(&slot.without_offset()) {
            Some(factor) => Some((factor, factor * unit.offset() - slot.offset())),
            None => {
                let mut d = Diagnostic::new(
                    Code("E0301"),
                    span,
                    format!("the column has unit {unit}, but `{name}` is in {slot}"),
                )
                .at(format!("[{unit}]"));
                let ratio = slot.without_offset().div(&unit.without_offset());
                let is_molar = super::check_units::is_molar_mass(&ratio);
                d = if is_molar {
                    d.note("one is an amount and the other a mass: a molar mass is missing")
                        .help(format!("write the molar mass, as in `{name} <- .. [{unit}] times 180.16 [g/mol]`"))
                } else {
                    d.help(format!("write the unit the column really has, or `times` a factor in [{ratio}]"))
                };
                self.report(d);
                None
            }
        }
    }

    pub(super) fn check_bound_kind(&mut self, symbol: SymbolId, is_initial: bool, target: &ast::Path) -> Option<()> {
        let found = self.model.symbol(symbol);
        let is_good = match found.kind {
            SymbolKind::Observable | SymbolKind::Param | SymbolKind::Input | SymbolKind::Disturbance => !is_initial,
            SymbolKind::State | SymbolKind::Species { .. } => is_initial,
            SymbolKind::Const
            | SymbolKind::Compartment
            | SymbolKind::Discrete
            | SymbolKind::Let
            | SymbolKind::Noise => false,
        };
        if is_good {
            return Some(());
        }
        let (name, word, declared) = (found.name.clone(), found.kind.phrase(), found.span);
        let mut d = Diagnostic::new(
            Code("E0606"),
            target.span,
            format!("a column cannot be bound to `{name}`, which is {word}"),
        )
        .at("bound here")
        .label(declared, "declared here");
        d = match found.kind {
            SymbolKind::State | SymbolKind::Species { .. } => d.help(format!(
                "measured? declare `observe {name}_obs = {name} ~ Normal(sd = ..)`; a start value? add `initial`"
            )),
            _ if is_initial => d.help("`initial` is for states and species"),
            _ => d.help("columns are observables, start values, parameters, inputs or disturbances"),
        };
        self.report(d);
        None
    }

    /// `F <- "inputs.csv"`: the columns `time` and `F` of that file.
    pub(super) fn forcing_file(&mut self, bind: &ast::Bind, span: Span) -> Option<DataSet> {
        let BindSource::FromText(file) = &bind.source else {
            self.report(
                Diagnostic::new(Code("E0606"), span, "an input is read from a file in quotes")
                    .at("which file?")
                    .help("write `F <- \"inputs.csv\"`"),
            );
            return None;
        };
        let column = ast::Text { text: text(&bind.target), span: bind.target.span };
        let named = ast::Bind {
            target: bind.target.clone(),
            source: BindSource::FromText(column),
            clauses: bind.clauses.clone(),
        };
        let target = self.binding(&named, span)?;
        if let BindTarget::Symbol(symbol) = target.target {
            let is_forced = |kind| matches!(kind, SymbolKind::Input | SymbolKind::Disturbance);
            self.is_kind(symbol, bind.target.span, "read from a file over time", is_forced).then_some(())?;
        }
        let time = Binding {
            target: BindTarget::Time,
            name: "time".to_string(),
            column: "time".to_string(),
            column_span: file.span,
            factor: 1.0,
            offset: 0.0,
            is_initial: false,
            is_linear: false,
            span,
        };
        Some(DataSet { path: file.text.clone(), path_span: file.span, by: None, bindings: vec![time, target] })
    }
}
