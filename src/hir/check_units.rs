//! Units: inferred where they are not written, checked everywhere, conversions written into the expressions.
//!
//! The same walk runs twice. First every place where two units must agree becomes an equation over the unknown units
//! ([`crate::units::infer`], solved exactly for exponents and scale). Then, with every unit known, the walk compares,
//! reports, and returns expressions in which each change of scale is an explicit [`ExprKind::Convert`].

mod conclude;
mod rates;
mod report;
mod walk;

pub(super) use report::is_molar_mass;

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::AssignOp;
use crate::units::infer::{Form, Solver};
use crate::units::{Ratio, Unit};

use super::InferredUnit;
use super::constants::constant;
use super::expr::{ExprId, ExprKind, Function};
use super::lower::Unsettled;
use super::model::{DistKind, Model, RateBasis, Symbol, SymbolId, SymbolKind, Term, When};

/// What an expression is worth.
#[derive(Debug, Clone)]
enum Type {
    /// A condition.
    Truth,
    /// A number; `None` fits every unit (zero, errors, models without units).
    Number(Option<Form>),
}

/// What an expression must be.
#[derive(Clone)]
enum Target {
    /// A number in this unit. A unit with an offset (`degC`) is converted to.
    Number(Option<Form>, f64),
    /// A difference of two numbers in this unit, such as a standard deviation: `degC` means K.
    Difference(Option<Form>),
    /// A condition.
    Truth,
    /// Any number.
    Any,
}

struct Checker<'a> {
    model: &'a mut Model,
    unsettled: &'a Unsettled,
    sources: &'a SourceMap,
    solver: Solver,
    is_inferring: bool,
    memo: HashMap<ExprId, (ExprId, Type)>,
    diagnostics: &'a mut Diagnostics,
}

/// Infers and checks all units of `model` and writes the conversions into its expressions.
pub(super) fn check(
    model: &mut Model,
    unsettled: &Unsettled,
    strict: bool,
    sources: &SourceMap,
    inferred: &mut Vec<InferredUnit>,
    diagnostics: &mut Diagnostics,
) {
    model.is_unitless = model.time_unit.is_none()
        && model.symbols.iter().all(|s| s.unit.is_none())
        && model.exprs.iter().all(|e| !matches!(&e.kind, ExprKind::Number { unit: Some(_), .. }));
    let mut checker = Checker::new(model, unsettled, sources, diagnostics);
    if checker.model.is_unitless {
        if strict {
            checker.demand_units();
        }
    } else if checker.model.symbols.iter().any(|s| s.unit.is_none()) || checker.model.time_unit.is_none() {
        checker.is_inferring = true;
        checker.definitions(inferred);
        checker.everything();
        checker.memo.clear();
        checker.conclude(strict, inferred);
        checker.is_inferring = false;
    }
    checker.everything();
}

/// Checks what a study adds to its (checked) model. Each call handles one expression.
pub(super) struct Additions<'a>(Checker<'a>);

impl<'a> Additions<'a> {
    pub(super) fn new(
        model: &'a mut Model,
        unsettled: &'a Unsettled,
        sources: &'a SourceMap,
        diagnostics: &'a mut Diagnostics,
    ) -> Self {
        let mut checker = Checker::new(model, unsettled, sources, diagnostics);
        // The conditions of safe sets, which a task names, are checked and converted already.
        for safe in &checker.model.safe {
            checker.memo.insert(safe.condition, (safe.condition, Type::Truth));
        }
        Additions(checker)
    }

    /// In the symbol's declared unit.
    pub(super) fn in_unit_of(&mut self, symbol: SymbolId, expr: ExprId) -> ExprId {
        let unit = self.0.model.symbol(symbol).unit.clone();
        let what = format!("`{}`", self.0.model.symbol(symbol).name);
        self.0.fill(expr, &slot(unit.as_ref()), &what)
    }

    /// In its own unit; `None` for a pure number.
    pub(super) fn with_unit(&mut self, expr: ExprId) -> (ExprId, Option<Unit>) {
        if is_bare(self.0.model, expr) {
            return (expr, None);
        }
        let (expr, form) = self.0.number(expr);
        (expr, form.map(|form| form.known).filter(|unit| *unit != Unit::one()))
    }

    /// A name alone as it is stored, with its declared unit; anything else as [`Additions::with_unit`].
    pub(super) fn valued(&mut self, expr: ExprId) -> (ExprId, Option<Unit>) {
        match &self.0.model.expr(expr).kind {
            ExprKind::Symbol { symbol, .. } => (expr, self.0.model.symbol(*symbol).unit.clone()),
            _ => self.with_unit(expr),
        }
    }

    /// In `unit`; a pure number where there is none.
    pub(super) fn in_unit(&mut self, unit: Option<&Unit>, expr: ExprId, what: &str) -> ExprId {
        let target = match unit {
            None if !self.0.model.is_unitless => pure(),
            Some(_) | None => slot(unit),
        };
        self.0.fill(expr, &target, what)
    }

    /// A difference in `unit`; a pure number where there is none.
    pub(super) fn difference_in(&mut self, unit: Option<&Unit>, expr: ExprId, what: &str) -> ExprId {
        match unit {
            Some(unit) => self.0.fill(expr, &Target::Difference(Some(known(unit))), what),
            None => self.in_unit(None, expr, what),
        }
    }

    /// A pure number.
    pub(super) fn pure(&mut self, expr: ExprId, what: &str) -> ExprId {
        self.0.fill(expr, &pure(), what)
    }

    /// A condition.
    pub(super) fn condition(&mut self, expr: ExprId, what: &str) -> ExprId {
        self.0.fill(expr, &Target::Truth, what)
    }

    /// In the unit of time.
    pub(super) fn in_time(&mut self, expr: ExprId) -> ExprId {
        let target = self.0.time_target();
        self.0.fill(expr, &target, "this time")
    }

    /// The distribution of a quantity with the symbol's unit.
    pub(super) fn dist(&mut self, symbol: SymbolId, dist: super::model::Dist) -> super::model::Dist {
        let unit = self.0.model.symbol(symbol).unit.clone();
        self.0.dist(dist, unit.as_ref().map(known), unit.as_ref().map_or(0.0, Unit::offset))
    }

    /// An event.
    pub(super) fn event(&mut self, event: super::model::EventDef) -> super::model::EventDef {
        self.0.event(event)
    }
}

fn known(unit: &Unit) -> Form {
    Form::known(unit.without_offset())
}

fn slot(unit: Option<&Unit>) -> Target {
    match unit {
        Some(unit) => Target::Number(Some(known(unit)), unit.offset()),
        None => Target::Number(None, 0.0),
    }
}

fn pure() -> Target {
    Target::Number(Some(Form::known(Unit::one())), 0.0)
}

impl<'a> Checker<'a> {
    fn new(
        model: &'a mut Model,
        unsettled: &'a Unsettled,
        sources: &'a SourceMap,
        diagnostics: &'a mut Diagnostics,
    ) -> Self {
        let (solver, memo) = (Solver::new(), HashMap::new());
        Checker { model, unsettled, sources, solver, is_inferring: false, memo, diagnostics }
    }

    /// The whole model, once.
    fn everything(&mut self) {
        // Constants first: exponents are read from them, in the units that they are stored in.
        for is_const in [true, false] {
            for k in 0..self.model.symbols.len() {
                if (self.model.symbols[k].kind == SymbolKind::Const) == is_const {
                    let id = SymbolId(k as u32);
                    self.symbol_value(id);
                    self.symbol_domain(id);
                }
            }
        }
        for k in 0..self.model.odes.len() {
            let ode = self.model.odes[k].clone();
            let target = self.per_time(ode.symbol);
            let name = format!("{}'", self.model.symbol(ode.symbol).name);
            let rhs = self.fill(ode.rhs, &target, &format!("`{name}`"));
            self.model.odes[k].rhs = rhs;
        }
        for k in 0..self.model.reactions.len() {
            self.reaction(k);
        }
        for k in 0..self.model.events.len() {
            let event = self.event(self.model.events[k].clone());
            self.model.events[k] = event;
        }
        for k in 0..self.model.safe.len() {
            let condition = self.fill(self.model.safe[k].condition, &Target::Truth, "a safe set");
            self.model.safe[k].condition = condition;
        }
        for k in 0..self.model.conserved.len() {
            let expr = self.fill(self.model.conserved[k].expr, &Target::Any, "a conserved quantity");
            self.model.conserved[k].expr = expr;
        }
        for k in 0..self.model.expects.len() {
            self.expect(k);
        }
    }

    fn form_of(&self, symbol: SymbolId) -> Option<Form> {
        if self.model.symbol(symbol).kind == SymbolKind::Noise {
            // The variance of a Wiener process is time.
            return self.time_form().map(|time| time.pow(Ratio::new(1, 2)));
        }
        match &self.model.symbol(symbol).unit {
            Some(unit) => Some(known(unit)),
            None if self.unsettled.untyped.contains(&symbol) => None,
            None if self.is_inferring => Some(Form::unknown(symbol.0)),
            None => None,
        }
    }

    /// The unknown that stands for the unit of time.
    const TIME: u32 = u32::MAX;

    fn time_form(&self) -> Option<Form> {
        match &self.model.time_unit {
            Some(unit) => Some(Form::known(unit.clone())),
            None if self.unsettled.is_time_untyped => None,
            None if self.is_inferring => Some(Form::unknown(Self::TIME)),
            None => None,
        }
    }

    fn time_target(&self) -> Target {
        Target::Number(self.time_form(), 0.0)
    }

    fn slot_of(&self, symbol: SymbolId) -> Target {
        let offset = self.model.symbol(symbol).unit.as_ref().map_or(0.0, Unit::offset);
        Target::Number(self.form_of(symbol), offset)
    }

    fn per_time(&self, symbol: SymbolId) -> Target {
        let form = self.form_of(symbol).zip(self.time_form()).map(|(x, t)| x.div(&t));
        Target::Number(form, 0.0)
    }

    fn symbol_value(&mut self, id: SymbolId) {
        if let Some(value) = self.model.symbol(id).value {
            let target = self.slot_of(id);
            let what = format!("`{}`", self.model.symbol(id).name);
            let value = self.fill(value, &target, &what);
            self.model.symbols[id.0 as usize].value = Some(value);
        }
    }

    fn symbol_domain(&mut self, id: SymbolId) {
        let Symbol { low, high, dist, .. } = self.model.symbol(id).clone();
        let target = self.slot_of(id);
        let what = format!("the range of `{}`", self.model.symbol(id).name);
        let low = low.map(|e| self.fill(e, &target, &what));
        let high = high.map(|e| self.fill(e, &target, &what));
        let (form, offset) = (self.form_of(id), self.model.symbol(id).unit.as_ref().map_or(0.0, Unit::offset));
        let dist = dist.map(|d| self.dist(d, form, offset));
        let symbol = &mut self.model.symbols[id.0 as usize];
        (symbol.low, symbol.high, symbol.dist) = (low, high, dist);
    }

    fn dist(&mut self, mut dist: super::model::Dist, form: Option<Form>, offset: f64) -> super::model::Dist {
        let (location, spread) = (Target::Number(form.clone(), offset), Target::Difference(form));
        let targets = match dist.kind {
            DistKind::LogNormal => [location, pure()],
            DistKind::Normal | DistKind::Laplace => [location, spread],
            DistKind::Uniform | DistKind::LogUniform => [location.clone(), location],
        };
        let names = dist.kind.arguments();
        for ((arg, target), name) in dist.args.iter_mut().zip(&targets).zip(names) {
            *arg = arg.map(|e| self.fill(e, target, &format!("`{name}`")));
        }
        dist
    }

    fn event(&mut self, mut event: super::model::EventDef) -> super::model::EventDef {
        let time = self.time_target();
        event.when = match event.when {
            When::At(t) => When::At(self.fill(t, &time, "the time of an event")),
            When::Every { period, from, until } => When::Every {
                period: self.fill(period, &time, "the period of an event"),
                from: from.map(|e| self.fill(e, &time, "`from`")),
                until: until.map(|e| self.fill(e, &time, "`until`")),
            },
            When::Condition(c) => When::Condition(self.fill(c, &Target::Truth, "`when`")),
        };
        for assign in &mut event.assigns {
            self.celsius_multiplied(assign);
            let target = match assign.op {
                AssignOp::Set => self.slot_of(assign.symbol),
                AssignOp::Add | AssignOp::Subtract => Target::Difference(self.form_of(assign.symbol)),
                AssignOp::Multiply => pure(),
            };
            let name = &self.model.symbol(assign.symbol).name;
            let what = match assign.op {
                AssignOp::Set | AssignOp::Add | AssignOp::Subtract => format!("`{name}`"),
                AssignOp::Multiply => format!("the factor of `{name}`"),
            };
            assign.value = self.fill(assign.value, &target, &what);
        }
        event
    }

    fn expect(&mut self, k: usize) {
        let mut expect = self.model.expects[k].clone();
        let ExprKind::Symbol { symbol, .. } = &self.model.expr(expect.expr).kind else { return };
        let symbol = *symbol;
        let time = self.time_target();
        expect.time = self.fill(expect.time, &time, "the time of an assertion");
        expect.value = self.fill(expect.value, &self.slot_of(symbol), "the value expected");
        let is_relative = match (&self.model.expr(expect.tolerance).kind, &self.model.symbol(symbol).unit) {
            (ExprKind::Number { unit: Some(unit), .. }, Some(own)) => {
                unit.is_dimensionless() && !own.is_dimensionless()
            }
            _ => false,
        };
        let target = if is_relative { pure() } else { Target::Difference(self.form_of(symbol)) };
        expect.tolerance = self.fill(expect.tolerance, &target, "the tolerance");
        expect.is_relative |= is_relative;
        if !self.is_inferring {
            self.model.expects[k] = expect;
        }
    }
}

/// A bare number, or arithmetic of bare numbers: takes the unit of the slot it fills.
pub(super) fn is_bare(model: &Model, expr: ExprId) -> bool {
    let mut stack = vec![expr];
    while let Some(id) = stack.pop() {
        match &model.expr(id).kind {
            ExprKind::Number { unit: None, .. } | ExprKind::Error => {}
            ExprKind::Sum(list) | ExprKind::Product(list) => stack.extend(list.iter().map(|(_, e)| *e)),
            ExprKind::Pow(a, b) => stack.extend([*a, *b]),
            ExprKind::Number { .. }
            | ExprKind::Time
            | ExprKind::Symbol { .. }
            | ExprKind::Derivative { .. }
            | ExprKind::Index(_)
            | ExprKind::Call(..)
            | ExprKind::Compare(..)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Not(_)
            | ExprKind::If { .. }
            | ExprKind::SumOver { .. }
            | ExprKind::Pick { .. }
            | ExprKind::Convert { .. } => return false,
        }
    }
    true
}

/// True where a species of this unit counts an amount: no length in its dimension, and not a pure number.
pub(crate) fn is_amount(unit: &Unit) -> bool {
    !unit.is_dimensionless() && unit.dimension().exponents().iter().all(|(base, _)| &*base.0 != "m")
}
