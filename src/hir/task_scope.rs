//! Names that only a task knows: `k`, `step`, `previous(e)`, and measured values in `sense`.
//!
//! Each becomes a disturbance of the task's model, made where it is first named. A quantity of the model that is called
//! `k` or `step` keeps its name.

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast;
use crate::units::Unit;

use super::check_units::Additions;
use super::expr::{ExprId, ExprKind};
use super::lower::Lower;
use super::model::{SymbolId, SymbolKind};
use super::task::PreviousValue;

/// What the length of a step is.
#[derive(Debug, Clone, Copy)]
pub(super) enum StepLength {
    /// In the unit of time.
    Fixed(f64),
    /// Decided by the planner.
    Free,
}

/// What a task's expressions see beside the model.
#[derive(Debug, Default)]
pub(super) struct TaskScope {
    /// Known once `step` is read.
    pub step: Option<StepLength>,
    /// The quantity that a free step is.
    pub free_step: Option<SymbolId>,
    /// The index of the step.
    pub index: Option<SymbolId>,
    /// Values of the step before.
    pub previous: Vec<PreviousValue>,
    /// Observables with their measured values.
    pub measured: Vec<(SymbolId, SymbolId)>,
    /// Observables stand for their measured values: inside `sense`.
    pub is_sensing: bool,
}

impl Lower<'_> {
    /// A name of the task alone.
    pub(super) fn task_name(&mut self, name: &str, span: Span) -> Option<ExprKind> {
        self.task.as_ref()?;
        if self.model.names.contains_key(name) {
            return None;
        }
        match name {
            "k" => {
                let known = self.task.as_ref().and_then(|task| task.index);
                let symbol = known.unwrap_or_else(|| self.task_quantity("k", span, Some(Unit::one())));
                if let Some(task) = &mut self.task {
                    task.index = Some(symbol);
                }
                Some(ExprKind::Symbol { symbol, indices: Vec::new() })
            }
            "step" => match self.task.as_ref()?.step {
                // That there is no step is said where the task is declared.
                None => Some(ExprKind::Error),
                Some(StepLength::Fixed(value)) => Some(ExprKind::Number { value, unit: self.model.time_unit.clone() }),
                Some(StepLength::Free) => {
                    let (known, unit) = (self.task.as_ref()?.free_step, self.model.time_unit.clone());
                    let symbol = known.unwrap_or_else(|| self.task_quantity("step", span, unit));
                    if let Some(task) = &mut self.task {
                        task.free_step = Some(symbol);
                    }
                    Some(ExprKind::Symbol { symbol, indices: Vec::new() })
                }
            },
            _ => None,
        }
    }

    /// A further disturbance, without a name that expressions could use.
    fn task_quantity(&mut self, name: &str, span: Span, unit: Option<Unit>) -> SymbolId {
        let symbol = self.push_symbol(name, span, SymbolKind::Disturbance);
        self.model.symbols[symbol.0 as usize].unit = unit.filter(|_| !self.model.is_unitless);
        symbol
    }

    /// The measured value of an observable inside `sense`; any other symbol is itself.
    pub(super) fn sensed(&mut self, symbol: SymbolId) -> SymbolId {
        let Some(task) = &self.task else { return symbol };
        if !task.is_sensing || self.model.symbol(symbol).kind != SymbolKind::Observable {
            return symbol;
        }
        if let Some((_, measured)) = task.measured.iter().find(|(observable, _)| *observable == symbol) {
            return *measured;
        }
        let observable = self.model.symbol(symbol).clone();
        let measured = self.task_quantity(&format!("measured {}", observable.name), observable.span, observable.unit);
        self.model.symbols[measured.0 as usize].ranges = observable.ranges;
        if let Some(task) = &mut self.task {
            task.measured.push((symbol, measured));
        }
        measured
    }

    /// `previous(e)`, `previous(e, v)`; `None` outside of a task.
    pub(super) fn previous_value(&mut self, call: Span, args: &[ast::Arg]) -> Option<ExprKind> {
        let is_sensed = self.task.as_ref()?.is_sensing;
        let (given, initial) = match args {
            [given] if given.name.is_none() => (given, None),
            [given, initial] if given.name.is_none() && initial.name.is_none() => (given, Some(initial)),
            _ => {
                let d = Diagnostic::new(Code("E0206"), call, "`previous` takes a value, and perhaps its start")
                    .at("this call")
                    .help("write `previous(x)`, or `previous(x, 0)` where 0 stands for it at the start");
                self.report(d);
                return Some(ExprKind::Error);
            }
        };
        let place = given.value.span();
        let raw = self.value(&given.value);
        let start = initial.map(|v| (self.value(&v.value), v.value.span()));
        if self.names_an_index(raw) {
            let d = Diagnostic::new(Code("E0901"), place, "`previous` of a member chosen by a running index");
            self.report(
                d.at("which member?").help("this version knows `previous` of one member, as in `previous(h(2))`"),
            );
            return Some(ExprKind::Error);
        }
        let text = self.sources.slice(place).to_string();
        let initial_text = start.map(|(_, span)| self.sources.slice(span).to_string());
        let key = match initial_text {
            Some(initial) => format!("{text}, {initial}"),
            None => text,
        };
        let is_known = |p: &&PreviousValue| p.text == key && p.is_sensed == is_sensed;
        if let Some(known) = self.task.as_ref()?.previous.iter().find(is_known) {
            return Some(ExprKind::Symbol { symbol: known.symbol, indices: Vec::new() });
        }
        let mut units = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics);
        let (expr, unit) = units.valued(raw);
        let initial = start.map(|(e, _)| units.in_unit(unit.as_ref(), e, "the value at the start"));
        let symbol = self.task_quantity(&format!("previous({key})"), call, Some(unit.unwrap_or_else(Unit::one)));
        let value = PreviousValue { symbol, expr, initial, is_sensed, text: key, span: call };
        if let Some(task) = &mut self.task {
            task.previous.push(value);
        }
        Some(ExprKind::Symbol { symbol, indices: Vec::new() })
    }

    /// True where the value depends on an index that is bound outside of it.
    fn names_an_index(&self, expr: ExprId) -> bool {
        let (mut stack, mut own, mut named) = (vec![expr], HashSet::new(), HashSet::new());
        while let Some(id) = stack.pop() {
            let kind = &self.model.expr(id).kind;
            match kind {
                ExprKind::Index(index) => named.insert(*index),
                // The index of a sum is its own.
                ExprKind::SumOver { index, .. } => own.insert(*index),
                _ => false,
            };
            kind.for_each_operand(|e| stack.push(e));
        }
        !named.is_subset(&own)
    }
}
