//! Units: inferred where they are not written, checked everywhere, conversions written into the expressions.
//!
//! The same walk runs twice. First every place where two units must agree becomes an equation over the unknown units
//! ([`crate::units::infer`], solved exactly for exponents and scale). Then, with every unit known, the walk compares,
//! reports, and returns expressions in which each change of scale is an explicit [`ExprKind::Convert`].

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::AssignOp;
use crate::units::infer::{Form, Solver};
use crate::units::{Ratio, Unit};

use super::InferredUnit;
use super::constants::constant;
use super::expr::{ExprId, ExprKind, Function};
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
    /// A condition.
    Truth,
    /// Any number.
    Any,
}

struct Checker<'a> {
    model: &'a mut Model,
    call_sites: &'a HashMap<ExprId, Span>,
    solver: Solver,
    is_inferring: bool,
    memo: HashMap<ExprId, (ExprId, Type)>,
    diagnostics: &'a mut Diagnostics,
}

/// Infers and checks all units of `model` and writes the conversions into its expressions.
pub(super) fn check(
    model: &mut Model,
    call_sites: &HashMap<ExprId, Span>,
    strict: bool,
    inferred: &mut Vec<InferredUnit>,
    diagnostics: &mut Diagnostics,
) {
    model.is_unitless = model.time_unit.is_none()
        && model.symbols.iter().all(|s| s.unit.is_none())
        && model.exprs.iter().all(|e| !matches!(&e.kind, ExprKind::Number { unit: Some(_), .. }));
    let mut checker =
        Checker { model, call_sites, solver: Solver::new(), is_inferring: true, memo: HashMap::new(), diagnostics };
    if checker.model.is_unitless {
        if strict {
            checker.demand_units();
        }
    } else if checker.model.symbols.iter().any(|s| s.unit.is_none()) || checker.model.time_unit.is_none() {
        checker.everything();
        checker.memo.clear();
        checker.conclude(inferred);
    }
    checker.is_inferring = false;
    checker.everything();
}

/// Checks what a study adds to its (checked) model. Each call handles one expression.
pub(super) struct Additions<'a>(Checker<'a>);

impl<'a> Additions<'a> {
    pub(super) fn new(
        model: &'a mut Model,
        sites: &'a HashMap<ExprId, Span>,
        diagnostics: &'a mut Diagnostics,
    ) -> Self {
        Additions(Checker {
            model,
            call_sites: sites,
            solver: Solver::new(),
            is_inferring: false,
            memo: HashMap::new(),
            diagnostics,
        })
    }

    /// In the symbol's declared unit.
    pub(super) fn in_unit_of(&mut self, symbol: SymbolId, expr: ExprId) -> ExprId {
        let unit = self.0.model.symbol(symbol).unit.clone();
        self.0.fill(expr, &slot(unit.as_ref()), "this value")
    }

    /// In the unit of time.
    pub(super) fn in_time(&mut self, expr: ExprId) -> ExprId {
        let target = self.0.time_target();
        self.0.fill(expr, &target, "this time")
    }

    /// The distribution of a quantity with the symbol's unit.
    pub(super) fn dist(&mut self, symbol: SymbolId, dist: super::model::Dist) -> super::model::Dist {
        let unit = self.0.model.symbol(symbol).unit.clone();
        self.0.dist(dist, unit.as_ref().map(known))
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

impl Checker<'_> {
    /// The whole model, once.
    fn everything(&mut self) {
        for k in 0..self.model.symbols.len() {
            let id = SymbolId(k as u32);
            self.symbol_value(id);
            self.symbol_domain(id);
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
        match &self.model.symbol(symbol).unit {
            Some(unit) => Some(known(unit)),
            None if self.is_inferring => Some(Form::unknown(symbol.0)),
            None => None,
        }
    }

    /// The unknown that stands for the unit of time.
    const TIME: u32 = u32::MAX;

    fn time_form(&self) -> Option<Form> {
        match &self.model.time_unit {
            Some(unit) => Some(Form::known(unit.clone())),
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
        let form = self.form_of(id);
        let dist = dist.map(|d| self.dist(d, form));
        let symbol = &mut self.model.symbols[id.0 as usize];
        (symbol.low, symbol.high, symbol.dist) = (low, high, dist);
    }

    fn dist(&mut self, mut dist: super::model::Dist, form: Option<Form>) -> super::model::Dist {
        let location = Target::Number(form, 0.0);
        let targets = match dist.kind {
            DistKind::LogNormal => [location, pure()],
            DistKind::Normal | DistKind::Uniform | DistKind::LogUniform | DistKind::Laplace => {
                [location.clone(), location]
            }
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
            let target = match assign.op {
                AssignOp::Set => self.slot_of(assign.symbol),
                AssignOp::Add | AssignOp::Subtract => Target::Number(self.form_of(assign.symbol), 0.0),
                AssignOp::Multiply => pure(),
            };
            let what = format!("`{}`", self.model.symbol(assign.symbol).name);
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
        let target = if is_relative { pure() } else { Target::Number(self.form_of(symbol), 0.0) };
        expect.tolerance = self.fill(expect.tolerance, &target, "the tolerance");
        expect.is_relative |= is_relative;
        if !self.is_inferring {
            self.model.expects[k] = expect;
        }
    }

    /// The unit in which a species' concentration enters mass action, and whether it is counted as an amount.
    fn concentration(&self, term: &Term) -> (Option<Form>, bool) {
        let form = self.form_of(term.symbol);
        let symbol = self.model.symbol(term.symbol);
        let SymbolKind::Species { compartment: Some(volume), .. } = symbol.kind else { return (form, false) };
        let is_amount = symbol.unit.as_ref().is_some_and(is_amount);
        let form = if is_amount { form.zip(self.form_of(volume)).map(|(x, v)| x.div(&v)) } else { form };
        (form, is_amount)
    }

    fn compartment(&self, symbol: SymbolId) -> Option<SymbolId> {
        match self.model.symbol(symbol).kind {
            SymbolKind::Species { compartment, .. } => compartment,
            _ => None,
        }
    }

    /// Rates: `factor` of each direction and term such that the species' own units result.
    fn reaction(&mut self, k: usize) {
        let mut reaction = self.model.reactions[k].clone();
        let all: Vec<Term> = reaction.reactants.iter().chain(&reaction.products).cloned().collect();
        let Some(reference) = all.first() else { return };
        let (ref_conc, _) = self.concentration(reference);
        let home = self.compartment(reference.symbol);
        let is_one_place = all.iter().all(|t| self.compartment(t.symbol) == home);
        if !is_one_place
            && !self.is_inferring
            && let Some(outside) = all.iter().find(|t| self.compartment(t.symbol).is_none())
        {
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0504"),
                    outside.span,
                    "some species of this reaction are in a compartment, and this one is in none",
                )
                .at("in no compartment")
                .help("declare it inside `compartment V [L] = .. { .. }`"),
            );
        }
        let time = self.time_form();
        for is_reverse in [false, true] {
            let side = if is_reverse { &reaction.products } else { &reaction.reactants };
            let consumed = side.clone();
            let Some(direction) = (if is_reverse { reaction.reverse.as_mut() } else { Some(&mut reaction.forward) })
            else {
                continue;
            };
            let (law, ty) = self.walk(direction.law);
            direction.law = law;
            let law_form = match ty {
                Type::Number(form) => form,
                Type::Truth => {
                    self.not_a_number(law);
                    None
                }
            };
            // The place whose concentrations drive this direction.
            let place = consumed.first().map_or(home, |t| self.compartment(t.symbol));
            let driver = consumed.first().unwrap_or(reference);
            let driver_conc = self.concentration(driver).0.or_else(|| ref_conc.clone());
            let conc_rate = driver_conc.clone().zip(time.clone()).map(|(c, t)| c.div(&t));
            if direction.is_mass_action {
                if let Some(other) = consumed.iter().find(|t| self.compartment(t.symbol) != place) {
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0504"),
                            other.span,
                            "the reactants of mass action are in different compartments",
                        )
                        .at("not in the same compartment")
                        .label(driver.span, "as this one")
                        .help("write the full law as `rate law`, in amount per time"),
                    );
                }
                direction.basis = RateBasis::Concentration(place);
                let mut driven = Some(Form::known(Unit::one()));
                for term in &consumed {
                    let power = Ratio::from_f64(term.coefficient).unwrap_or(Ratio::integer(1));
                    let conc = self.concentration(term).0;
                    driven = driven.zip(conc).map(|(acc, c)| acc.mul(&c.pow(power)));
                }
                let wanted = conc_rate.clone().zip(driven).map(|(r, d)| r.div(&d));
                direction.factor = self.law_factor(law, law_form, &[wanted], true).map_or(1.0, |(_, f)| f);
            } else {
                let volume = place.and_then(|v| self.form_of(v));
                let is_in_volume = place.is_some();
                let amount_rate =
                    if is_in_volume { conc_rate.clone().zip(volume).map(|(r, v)| r.mul(&v)) } else { None };
                let is_across = !is_one_place;
                let candidates: Vec<Option<Form>> = match (is_across, is_in_volume) {
                    (false, false) => vec![conc_rate.clone()],
                    (false, true) => vec![conc_rate.clone(), amount_rate],
                    (true, _) => vec![amount_rate],
                };
                let is_amount_only = is_across;
                match self.law_factor(law, law_form, &candidates, false) {
                    Some((which, factor)) => {
                        let is_amount = is_amount_only || which == 1;
                        direction.basis = if is_amount { RateBasis::Amount } else { RateBasis::Concentration(place) };
                        direction.factor = factor;
                    }
                    None => {
                        direction.basis =
                            if is_amount_only { RateBasis::Amount } else { RateBasis::Concentration(place) }
                    }
                }
            }
        }
        // From the reference concentration to each species' own unit.
        for term in reaction.reactants.iter_mut().chain(&mut reaction.products) {
            let (conc, is_amount) = self.concentration(term);
            term.is_amount = is_amount;
            if let (Some(reference), Some(conc)) = (&ref_conc, &conc) {
                match self.convert_factor(reference, conc) {
                    Some(factor) => term.factor = factor,
                    None => self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0301"),
                            term.span,
                            format!(
                                "`{}` is measured in {}, but this reaction moves {}",
                                self.model.symbol(term.symbol).name,
                                conc.known,
                                reference.known
                            ),
                        )
                        .at(format!("[{}]", conc.known))
                        .label(all[0].span, format!("[{}]", reference.known))
                        .help("a reaction moves one kind of amount: bring both to one unit, or write `x' = ..` with the conversion"),
                    ),
                }
            }
        }
        if !self.is_inferring {
            // Directions are driven by their own side; their rates are brought to the reference's unit here.
            for is_reverse in [false, true] {
                let side = if is_reverse { &reaction.products } else { &reaction.reactants };
                let factor = side.first().map_or(1.0, |t| 1.0 / t.factor);
                if let Some(direction) =
                    if is_reverse { reaction.reverse.as_mut() } else { Some(&mut reaction.forward) }
                {
                    direction.factor *= factor;
                }
            }
            self.model.reactions[k] = reaction;
        }
    }

    /// Which of the `wanted` units the law has, and the factor to it.
    fn law_factor(
        &mut self,
        law: ExprId,
        form: Option<Form>,
        wanted: &[Option<Form>],
        is_mass_action: bool,
    ) -> Option<(usize, f64)> {
        let Some(form) = form else { return Some((0, 1.0)) };
        let first = wanted.iter().find_map(|w| w.clone())?;
        if self.is_inferring {
            self.solver.equate(&form, &first);
            return None;
        }
        for (k, wanted) in wanted.iter().enumerate() {
            if let Some(wanted) = wanted
                && let Some(factor) = form.known.factor_to(&wanted.known)
            {
                return Some((k, factor));
            }
        }
        let span = self.model.expr(law).span;
        let (what, rule) =
            if is_mass_action { ("rate constant", "mass action expects") } else { ("rate", "this reaction expects") };
        let choices = wanted.iter().flatten().map(|f| format!("[{}]", f.known)).collect::<Vec<_>>().join(" or ");
        let mut d = Diagnostic::new(Code("E0501"), span, format!("{what} has the wrong unit"))
            .at(format!("[{}], but {rule} {choices}", form.known));
        d = if is_mass_action {
            let rate_like = self.model.time_unit.as_ref().is_some_and(|_| self.is_full_law(law));
            if rate_like {
                d.help("`@` takes only the constant: write `@ k`, or `rate law` for a full law")
            } else {
                d.help(format!("give the constant the unit {choices}"))
            }
        } else {
            d.help("check the units of what the law multiplies")
        };
        self.diagnostics.push(d);
        None
    }

    /// True where the law mentions a species: it is then not a constant.
    fn is_full_law(&self, law: ExprId) -> bool {
        let mut stack = vec![law];
        while let Some(id) = stack.pop() {
            let kind = &self.model.expr(id).kind;
            if let ExprKind::Symbol { symbol, .. } = kind
                && matches!(self.model.symbol(*symbol).kind, SymbolKind::Species { .. } | SymbolKind::State)
            {
                return true;
            }
            kind.for_each_operand(|e| stack.push(e));
        }
        false
    }

    fn convert_factor(&mut self, from: &Form, to: &Form) -> Option<f64> {
        if self.is_inferring {
            self.solver.equate(from, to);
            return Some(1.0);
        }
        from.known.factor_to(&to.known)
    }

    /// Walks `expr` and brings it to the target; `what` names the slot in messages.
    fn fill(&mut self, expr: ExprId, target: &Target, what: &str) -> ExprId {
        match target {
            Target::Number(form, offset) => {
                if is_bare(self.model, expr) {
                    return expr;
                }
                if let ExprKind::Pick { index, from, list } = self.model.expr(expr).kind.clone() {
                    let span = self.model.expr(expr).span;
                    let list = list.into_iter().map(|e| self.fill(e, target, what)).collect();
                    return self.replace(expr, ExprKind::Pick { index, from, list }, span);
                }
                if let (ExprKind::Number { value, unit: Some(unit) }, Some(form), false) =
                    (&self.model.expr(expr).kind, form, self.is_inferring)
                    && form.known.factor_to(&unit.without_offset()) == Some(1.0)
                    && unit.offset() == *offset
                {
                    // Written in the slot's own unit: the number as it stands.
                    let (value, span) = (*value, self.model.expr(expr).span);
                    return self.model.add(ExprKind::Number { value, unit: None }, span);
                }
                let (id, ty) = self.walk(expr);
                let Type::Number(found) = ty else {
                    self.not_a_number(expr);
                    return id;
                };
                let (Some(found), Some(form)) = (found, form) else { return id };
                if self.is_inferring {
                    self.solver.equate(&found, form);
                    return id;
                }
                match found.known.factor_to(&form.known) {
                    Some(factor) => self.convert(id, factor, -offset),
                    None => {
                        let d = self.mismatch(expr, &found, form, what);
                        self.diagnostics.push(d);
                        id
                    }
                }
            }
            Target::Truth => {
                let (id, ty) = self.walk(expr);
                if matches!(ty, Type::Number(_))
                    && !self.is_inferring
                    && !matches!(self.model.expr(id).kind, ExprKind::Error)
                {
                    let span = self.model.expr(expr).span;
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0205"), span, format!("{what} needs a condition, and this is a number"))
                            .at("a number")
                            .help("compare it with something, as in `x > 0`"),
                    );
                }
                id
            }
            Target::Any => self.walk(expr).0,
        }
    }

    fn convert(&mut self, id: ExprId, factor: f64, offset: f64) -> ExprId {
        if factor == 1.0 && offset == 0.0 {
            return id;
        }
        let span = self.model.expr(id).span;
        if let ExprKind::Number { value, .. } = self.model.expr(id).kind {
            return self.model.add(ExprKind::Number { value: value * factor + offset, unit: None }, span);
        }
        self.model.add(ExprKind::Convert { factor, offset, operand: id }, span)
    }

    fn mismatch(&self, expr: ExprId, found: &Form, wanted: &Form, what: &str) -> Diagnostic {
        let span = self.model.expr(expr).span;
        let mut d = Diagnostic::new(
            Code("E0301"),
            span,
            format!("this has unit {}, but {what} is in {}", found.known, wanted.known),
        )
        .at(format!("[{}]", found.known));
        for part in self.parts(expr) {
            d.labels.push(part);
        }
        if let Some(site) = self.call_sites.get(&expr) {
            d = d.label(*site, "called here");
        }
        d
    }

    /// The names in a short expression with their units, to show where a unit comes from.
    fn parts(&self, expr: ExprId) -> Vec<crate::diag::Label> {
        let mut labels: Vec<crate::diag::Label> = Vec::new();
        let mut stack = vec![expr];
        let whole = self.model.expr(expr).span;
        while let Some(id) = stack.pop() {
            let node = self.model.expr(id);
            if let ExprKind::Symbol { symbol, .. } = &node.kind
                && let Some(unit) = &self.model.symbol(*symbol).unit
                && node.span != whole
                && labels.len() < 4
                && labels.iter().all(|l| l.span != node.span)
            {
                labels.push(crate::diag::Label { span: node.span, text: format!("[{unit}]") });
            }
            node.kind.for_each_operand(|e| stack.push(e));
            if stack.len() > 64 {
                break;
            }
        }
        labels.sort_by_key(|l| l.span);
        labels
    }

    fn not_a_number(&mut self, expr: ExprId) {
        if self.is_inferring {
            return;
        }
        let span = self.model.expr(expr).span;
        self.diagnostics.push(
            Diagnostic::new(Code("E0205"), span, "a number is needed here, and this is a condition")
                .at("true or false")
                .help("write `if condition then a else b` for a number"),
        );
    }

    /// The expression in its own unit, with conversions inside.
    fn walk(&mut self, id: ExprId) -> (ExprId, Type) {
        if let Some((new, ty)) = self.memo.get(&id) {
            return (*new, ty.clone());
        }
        let (new, ty) = self.walk_new(id);
        self.memo.insert(id, (new, ty.clone()));
        (new, ty)
    }

    fn walk_new(&mut self, id: ExprId) -> (ExprId, Type) {
        let span = self.model.expr(id).span;
        let kind = self.model.expr(id).kind.clone();
        let any = Type::Number(None);
        match kind {
            ExprKind::Error => (id, any),
            ExprKind::Number { value, unit } => match unit {
                None if value == 0.0 || self.model.is_unitless => (id, any),
                None => (id, Type::Number(Some(Form::known(Unit::one())))),
                Some(unit) if unit.offset() != 0.0 => {
                    let kelvin = unit.without_offset();
                    let number = ExprKind::Number { value: value + unit.offset(), unit: Some(kelvin.clone()) };
                    (self.model.add(number, span), Type::Number(Some(Form::known(kelvin))))
                }
                Some(unit) => (id, Type::Number(Some(Form::known(unit)))),
            },
            ExprKind::Time => (id, Type::Number(self.time_form())),
            ExprKind::Index(_) => (id, Type::Number(self.pure_form())),
            ExprKind::Symbol { symbol, .. } => {
                let form = self.form_of(symbol);
                let offset = self.model.symbol(symbol).unit.as_ref().map_or(0.0, Unit::offset);
                (self.convert(id, 1.0, offset), Type::Number(form))
            }
            ExprKind::Derivative { symbol, .. } => {
                let Target::Number(form, _) = self.per_time(symbol) else { return (id, any) };
                (id, Type::Number(form))
            }
            ExprKind::Convert { .. } | ExprKind::Pick { .. } => (id, any),
            ExprKind::Sum(terms) => {
                if terms.len() > 1 {
                    for (_, term) in &terms {
                        self.celsius_in_sum(*term);
                    }
                }
                let (ids, form) = self.unify(&terms.iter().map(|(_, e)| *e).collect::<Vec<_>>(), "this sum");
                let kind = ExprKind::Sum(terms.iter().zip(ids).map(|((minus, _), e)| (*minus, e)).collect());
                (self.replace(id, kind, span), Type::Number(form))
            }
            ExprKind::Product(factors) => {
                let mut form = self.pure_form();
                let mut new = Vec::with_capacity(factors.len());
                for (is_divisor, factor) in factors {
                    let (e, f) = self.number(factor);
                    new.push((is_divisor, e));
                    form = form.zip(f).map(|(acc, f)| if is_divisor { acc.div(&f) } else { acc.mul(&f) });
                }
                (self.replace(id, ExprKind::Product(new), span), Type::Number(form))
            }
            ExprKind::Pow(base, exponent) => self.power(id, base, exponent, span),
            ExprKind::Call(function, args) => self.call(id, function, &args, span),
            ExprKind::Compare(op, a, b) => {
                let (ids, _) = self.unify(&[a, b], "this comparison");
                (self.replace(id, ExprKind::Compare(op, ids[0], ids[1]), span), Type::Truth)
            }
            ExprKind::And(list) => {
                let list = list.into_iter().map(|e| self.fill(e, &Target::Truth, "`and`")).collect();
                (self.replace(id, ExprKind::And(list), span), Type::Truth)
            }
            ExprKind::Or(list) => {
                let list = list.into_iter().map(|e| self.fill(e, &Target::Truth, "`or`")).collect();
                (self.replace(id, ExprKind::Or(list), span), Type::Truth)
            }
            ExprKind::Not(a) => {
                let a = self.fill(a, &Target::Truth, "`not`");
                (self.replace(id, ExprKind::Not(a), span), Type::Truth)
            }
            ExprKind::If { condition, then, otherwise } => {
                let condition = self.fill(condition, &Target::Truth, "`if`");
                let (ids, form) = self.unify(&[then, otherwise], "this `if`");
                let kind = ExprKind::If { condition, then: ids[0], otherwise: ids[1] };
                (self.replace(id, kind, span), Type::Number(form))
            }
            ExprKind::SumOver { index, from, to, condition, body } => {
                let (body, form) = self.number(body);
                (self.replace(id, ExprKind::SumOver { index, from, to, condition, body }, span), Type::Number(form))
            }
        }
    }

    fn pure_form(&self) -> Option<Form> {
        (!self.model.is_unitless).then(|| Form::known(Unit::one()))
    }

    /// A new node unless nothing changed.
    fn replace(&mut self, id: ExprId, kind: ExprKind, span: Span) -> ExprId {
        if self.model.expr(id).kind == kind { id } else { self.model.add(kind, span) }
    }

    fn number(&mut self, id: ExprId) -> (ExprId, Option<Form>) {
        match self.walk(id) {
            (new, Type::Number(form)) => (new, form),
            (new, Type::Truth) => {
                self.not_a_number(id);
                (new, None)
            }
        }
    }

    /// Brings all to the unit of the first that has one.
    fn unify(&mut self, list: &[ExprId], what: &str) -> (Vec<ExprId>, Option<Form>) {
        let walked: Vec<(ExprId, Option<Form>)> = list.iter().map(|e| self.number(*e)).collect();
        let Some(first) = walked.iter().position(|(_, f)| f.is_some()) else {
            return (walked.into_iter().map(|(e, _)| e).collect(), None);
        };
        let target = walked[first].1.clone();
        let Some(form) = &target else { return (Vec::new(), None) };
        let mut ids = Vec::with_capacity(walked.len());
        for (k, (id, found)) in walked.into_iter().enumerate() {
            let Some(found) = found.filter(|_| k != first) else {
                ids.push(id);
                continue;
            };
            if self.is_inferring {
                self.solver.equate(&found, form);
                ids.push(id);
                continue;
            }
            match found.known.factor_to(&form.known) {
                Some(factor) => ids.push(self.convert(id, factor, 0.0)),
                None => {
                    let (a, b) = (self.model.expr(list[first]).span, self.model.expr(list[k]).span);
                    let d = Diagnostic::new(
                        Code("E0301"),
                        b,
                        format!("{what} needs one unit, but {} and {} do not agree", form.known, found.known),
                    )
                    .at(format!("[{}]", found.known))
                    .label(a, format!("[{}]", form.known));
                    let d = match self.call_sites.get(&list[k]) {
                        Some(site) => d.label(*site, "called here"),
                        None => d,
                    };
                    self.diagnostics.push(d);
                    ids.push(id);
                }
            }
        }
        (ids, target)
    }

    /// `T + 5 [degC]`: is a difference or a temperature meant?
    fn celsius_in_sum(&mut self, term: ExprId) {
        if self.is_inferring {
            return;
        }
        if let ExprKind::Number { value, unit: Some(unit) } = &self.model.expr(term).kind
            && unit.offset() != 0.0
        {
            let span = self.model.expr(term).span;
            let text = format!("{value} [K]");
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0306"),
                    span,
                    format!("`{value} [degC]` in a sum means {} K", value + unit.offset()),
                )
                .at("a temperature, not a difference")
                .help(format!("write `{text}` for a difference of temperatures"))
                .fix("make it a difference", span, text),
            );
        }
    }

    fn power(&mut self, id: ExprId, base: ExprId, exponent: ExprId, span: Span) -> (ExprId, Type) {
        let (new_base, form) = self.number(base);
        let new_exponent = self.fill(exponent, &pure(), "an exponent");
        let value = constant(self.model, new_exponent);
        let result = match (&form, value) {
            (None, _) => None,
            (Some(form), Some(value)) => match Ratio::from_f64(value) {
                Some(ratio) => Some(form.pow(ratio)),
                None => self.pure_base(base, form),
            },
            (Some(form), None) => self.pure_base(base, form),
        };
        // A base in, say, percent is brought to a pure number only where the exponent is not a constant.
        let new_base = match (&form, value) {
            (Some(f), None) if !self.is_inferring => match f.known.scale_to_one() {
                Some(factor) => self.convert(new_base, factor, 0.0),
                None => new_base,
            },
            _ => new_base,
        };
        (self.replace(id, ExprKind::Pow(new_base, new_exponent), span), Type::Number(result))
    }

    /// The base of a power whose exponent is not a constant.
    fn pure_base(&mut self, base: ExprId, form: &Form) -> Option<Form> {
        if self.is_inferring {
            self.solver.equate(form, &Form::known(Unit::one()));
        } else if !form.known.is_dimensionless() {
            let span = self.model.expr(base).span;
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0307"),
                    span,
                    format!("a power of something in {} needs a constant exponent", form.known),
                )
                .at(format!("[{}]", form.known))
                .help("divide the base by a reference first, as in `(x/K)^n`"),
            );
        }
        self.pure_form()
    }

    fn call(&mut self, id: ExprId, function: Function, args: &[ExprId], span: Span) -> (ExprId, Type) {
        match function {
            Function::Exp
            | Function::Ln
            | Function::Log10
            | Function::Sin
            | Function::Cos
            | Function::Tan
            | Function::Asin
            | Function::Acos
            | Function::Atan
            | Function::Sinh
            | Function::Cosh
            | Function::Tanh
            | Function::Floor
            | Function::Ceil => {
                let arg = self.pure_argument(function, args[0]);
                (self.replace(id, ExprKind::Call(function, vec![arg]), span), Type::Number(self.pure_form()))
            }
            Function::Sqrt => {
                let (arg, form) = self.number(args[0]);
                let form = form.map(|f| f.pow(Ratio::new(1, 2)));
                (self.replace(id, ExprKind::Call(function, vec![arg]), span), Type::Number(form))
            }
            Function::Abs => {
                let (arg, form) = self.number(args[0]);
                (self.replace(id, ExprKind::Call(function, vec![arg]), span), Type::Number(form))
            }
            Function::Sign => {
                let (arg, _) = self.number(args[0]);
                (self.replace(id, ExprKind::Call(function, vec![arg]), span), Type::Number(self.pure_form()))
            }
            Function::Min | Function::Max | Function::Mod => {
                let (ids, form) = self.unify(args, &format!("`{}`", function.name()));
                (self.replace(id, ExprKind::Call(function, ids), span), Type::Number(form))
            }
            Function::Atan2 => {
                let (ids, _) = self.unify(args, "`atan2`");
                (self.replace(id, ExprKind::Call(function, ids), span), Type::Number(self.pure_form()))
            }
        }
    }

    fn pure_argument(&mut self, function: Function, arg: ExprId) -> ExprId {
        let (new, form) = self.number(arg);
        let Some(form) = form else { return new };
        if self.is_inferring {
            self.solver.equate(&form, &Form::known(Unit::one()));
            return new;
        }
        match form.known.scale_to_one().filter(|_| form.known.is_dimensionless()) {
            Some(factor) => self.convert(new, factor, 0.0),
            None => {
                let span = self.model.expr(arg).span;
                let mut d = Diagnostic::new(
                    Code("E0302"),
                    span,
                    format!("`{}` needs a pure number, got [{}]", function.name(), form.known),
                )
                .at(format!("[{}]", form.known));
                d.labels.extend(self.parts(arg));
                if let Some(site) = self.call_sites.get(&arg) {
                    d = d.label(*site, "called here");
                }
                d = d.help(if looks_molar(&form.known) {
                    "divide by `R_gas` to turn an energy per mole into a temperature".to_string()
                } else {
                    format!("divide by a reference value in [{}]", form.known)
                });
                self.diagnostics.push(d);
                new
            }
        }
    }

    /// Writes down what the equations say about unknown units.
    fn conclude(&mut self, inferred: &mut Vec<InferredUnit>) {
        let used = self.used_symbols();
        for k in 0..self.model.symbols.len() {
            if self.model.symbols[k].unit.is_some() {
                continue;
            }
            let symbol = &self.model.symbols[k];
            match self.solver.solution(k as u32) {
                Some(unit) => {
                    if !symbol.name.contains('.')
                        && symbol.span.source == self.model.span.map_or(symbol.span.source, |s| s.source)
                    {
                        inferred.push(InferredUnit {
                            name: format!("{}.{}", self.model.name, symbol.name),
                            unit: unit.to_string(),
                            span: symbol.span,
                        });
                    }
                    self.model.symbols[k].unit = Some(unit);
                }
                None if used.contains(&(k as u32)) => {
                    let (name, word) = (symbol.name.clone(), symbol.kind.word());
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0304"), symbol.span, format!("the unit of `{name}` cannot be inferred"))
                            .at("more than one unit would fit")
                            .help(format!("write it: `{word} {name} [unit]`, or `[1]` for a pure number")),
                    );
                }
                None => {}
            }
        }
        if self.model.time_unit.is_none() {
            self.model.time_unit = self.solver.solution(Self::TIME);
            if self.model.time_unit.is_none()
                && let Some(span) = self.model.span
                && !self.model.odes.is_empty()
            {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0304"),
                        span,
                        format!("the unit of time of `{}` cannot be inferred", self.model.name),
                    )
                    .at("this model has units but no `time`")
                    .help("write for example `time [s]`"),
                );
            }
        }
    }

    /// Symbols that stand in an expression or have an equation.
    fn used_symbols(&self) -> std::collections::HashSet<u32> {
        let mut used: std::collections::HashSet<u32> = self
            .model
            .exprs
            .iter()
            .filter_map(|e| match &e.kind {
                ExprKind::Symbol { symbol, .. } | ExprKind::Derivative { symbol, .. } => Some(symbol.0),
                _ => None,
            })
            .collect();
        used.extend(self.model.odes.iter().map(|o| o.symbol.0));
        used
    }

    /// `--strict` and no unit anywhere.
    fn demand_units(&mut self) {
        if let Some(span) = self.model.span {
            self.diagnostics.push(
                Diagnostic::new(Code("E0305"), span, format!("the model `{}` has no units", self.model.name))
                    .at("strict checking needs them")
                    .help("write `time [s]` and a unit behind each name, `[1]` for pure numbers"),
            );
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

fn looks_molar(unit: &Unit) -> bool {
    unit.dimension().exponents().iter().any(|(base, power)| &*base.0 == "mol" && power.is_negative())
}
