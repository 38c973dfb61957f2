//! The columns of a study's tables: what each is bound to in the flat model, and which values it may hold.

use crate::calibrate::table::{ColumnIdx, Table};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::{FlatModel, Noise, Quantity};
use crate::hir::Study;
use crate::hir::model::SymbolKind;
use crate::hir::study::{BindTarget, Binding, DataSet};
use crate::source::Span;

/// A binding with its column and what it sets in the flat model.
pub(super) struct Bound<'a> {
    /// As the study has it.
    pub binding: &'a Binding,
    /// Where its cells stand.
    pub column: ColumnIdx,
    /// What it sets.
    pub role: Role,
    /// What its values must lie in the `in` of; measurements are what they are.
    limited: Option<&'a Quantity>,
    /// An observable with log-normal error: its values must be positive.
    positive: Option<&'a Quantity>,
}

impl Bound<'_> {
    /// E0608 at the cell for a value outside of the declared range; the conversion of its unit may round.
    pub(super) fn is_inside(&self, value: f64, cell: Span, diagnostics: &mut Diagnostics) -> bool {
        let Some(Quantity { name, low, high, span, .. }) = self.limited else { return true };
        let slack = |bound: f64| if bound.is_finite() { 1e-12 * bound.abs() } else { 0.0 };
        if value >= low - slack(*low) && value <= high + slack(*high) {
            return true;
        }
        let title = format!("a value of `{name}` is {value}, outside of its range {low} .. {high}");
        diagnostics.push(
            Diagnostic::new(Code("E0608"), cell, title)
                .at("this value, in the unit of the model")
                .label(*span, "declared with its range")
                .help("correct the value or its unit, or widen the range"),
        );
        false
    }

    /// E0606 at the cell for a measurement that log-normal error cannot give.
    pub(super) fn has_logarithm(&self, value: f64, cell: Span, diagnostics: &mut Diagnostics) -> bool {
        let Some(Quantity { name, span, .. }) = self.positive.filter(|_| value <= 0.0) else { return true };
        diagnostics.push(
            Diagnostic::new(
                Code("E0606"),
                cell,
                format!("`{name}` is measured as {value}, and its error is log-normal"),
            )
            .at("has no logarithm")
            .label(*span, "declared with `~ LogNormal(..)`")
            .help("leave the cell empty if nothing was measured, or declare the error as `Normal(sd = ..)`"),
        );
        false
    }
}

/// What a column sets; positions are those of the flat model's lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Time,
    Observable(usize),
    Start(usize),
    Param(usize),
    Input(usize),
    Disturbance(usize),
}

/// Finds each binding's column and place; reports those that are missing.
pub(super) fn columns<'a>(
    study: &Study,
    data: &'a DataSet,
    model: &'a FlatModel,
    table: &Table,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Bound<'a>>> {
    let mut bound = Vec::new();
    let mut is_whole = true;
    for binding in &data.bindings {
        let Some(column) = table.column(&binding.column) else {
            diagnostics.push(table.missing_column(&binding.column, binding.column_span));
            is_whole = false;
            continue;
        };
        match role(study, binding, model) {
            Ok(role) => bound.push(Bound {
                binding,
                column,
                role,
                limited: limited(role, model),
                positive: positive(role, model),
            }),
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                is_whole = false;
            }
        }
    }
    is_whole.then_some(bound)
}

fn role(study: &Study, binding: &Binding, model: &FlatModel) -> Result<Role, Box<Diagnostic>> {
    let BindTarget::Symbol(symbol) = binding.target else { return Ok(Role::Time) };
    let symbol = study.model.symbol(symbol);
    let state = || model.states.iter().position(|s| s.quantity.name == symbol.name);
    let param = || model.params.iter().position(|p| p.quantity.name == symbol.name);
    let observable = model.observables.iter().position(|o| o.quantity.name == symbol.name);
    let found = match symbol.kind {
        SymbolKind::Observable => observable.map(Role::Observable),
        SymbolKind::Param => param().map(Role::Param),
        SymbolKind::Input => model.inputs.iter().position(|i| i.quantity.name == symbol.name).map(Role::Input),
        SymbolKind::Disturbance => {
            model.disturbances.iter().position(|i| i.quantity.name == symbol.name).map(Role::Disturbance)
        }
        SymbolKind::State | SymbolKind::Species { .. } | SymbolKind::Discrete | SymbolKind::Compartment => {
            if binding.is_initial { state().map(Role::Start).or_else(|| param().map(Role::Param)) } else { None }
        }
        SymbolKind::Const | SymbolKind::Let | SymbolKind::Noise => None,
    };
    let word = symbol.kind.word();
    let found = found.ok_or_else(|| {
        let help = match symbol.kind {
            SymbolKind::State | SymbolKind::Species { .. } => format!(
                "for a start value write `{0} <- {1} initial`; for a measurement declare `observe y = {0} ~ Normal(sd = ...)`",
                symbol.name, binding.column
            ),
            _ => "bind an observable, a parameter, an input, or a start value with `initial`".to_string(),
        };
        Box::new(
            Diagnostic::new(Code("E0606"), binding.span, format!("a column cannot be bound to the `{word}` `{}`", symbol.name))
                .label(symbol.span, "declared here")
                .help(help),
        )
    })?;
    if let Role::Observable(k) = found
        && model.observables[k].noise.is_none()
    {
        return Err(Box::new(
            Diagnostic::new(Code("E0409"), binding.span, format!("`{}` is measured but has no noise", symbol.name))
                .label(symbol.span, "declared here without `~`")
                .help(format!("write `observe {} = ... ~ Normal(sd = ...)`", symbol.name)),
        ));
    }
    Ok(found)
}

fn limited(role: Role, model: &FlatModel) -> Option<&Quantity> {
    match role {
        Role::Time | Role::Observable(_) => None,
        Role::Start(k) => model.states.get(k).map(|state| &state.quantity),
        Role::Param(k) => model.params.get(k).map(|param| &param.quantity),
        Role::Input(k) => model.inputs.get(k).map(|input| &input.quantity),
        Role::Disturbance(k) => model.disturbances.get(k).map(|input| &input.quantity),
    }
}

fn positive(role: Role, model: &FlatModel) -> Option<&Quantity> {
    let Role::Observable(k) = role else { return None };
    model.observables.get(k).filter(|o| o.noise == Some(Noise::LogNormal)).map(|o| &o.quantity)
}
