//! The walk over one expression: its own unit, and the conversions inside it.

use super::*;
use crate::expr::{BinaryOp, UnaryOp};

impl Checker<'_> {
    pub(super) fn convert_factor(&mut self, from: &Form, to: &Form) -> Option<f64> {
        if self.is_inferring {
            self.solver.equate(from, to);
            return Some(1.0);
        }
        from.known.factor_to(&to.known)
    }

    /// Walks `expr` and brings it to the target; `what` names the slot in messages.
    pub(super) fn fill(&mut self, given: ExprId, target: &Target, what: &str) -> ExprId {
        let (expr, form, offset) = match target {
            Target::Number(form, offset) => (given, form, *offset),
            Target::Difference(form) => (self.difference(given), form, 0.0),
            Target::Truth => return self.condition(given, what),
            Target::Any => return self.walk(given).0,
        };
        if is_bare(self.model, expr) {
            return expr;
        }
        let span = self.model.expr(expr).span;
        if let ExprKind::Pick { index, from, list } = self.model.expr(expr).kind.clone() {
            let list = list.into_iter().map(|e| self.fill(e, target, what)).collect();
            return self.replace(expr, ExprKind::Pick { index, from, list }, span);
        }
        if let (ExprKind::Number { value, unit: Some(unit) }, Some(form), false) =
            (&self.model.expr(expr).kind, form, self.is_inferring)
            && form.known.factor_to(&unit.without_offset()) == Some(1.0)
            && unit.offset() == offset
        {
            // Written in the slot's own unit: the number as it stands.
            let value = *value;
            return self.model.add(ExprKind::Number { value, unit: None }, span);
        }
        let (id, ty) = self.walk(expr);
        let Type::Number(found) = ty else {
            self.not_a_number(expr);
            return id;
        };
        if self.model.is_unitless
            && let ExprKind::Number { unit: Some(unit), .. } = &self.model.expr(expr).kind
        {
            // Only what a study adds can get here: the model itself would not be without units.
            let d = Diagnostic::new(
                Code("E0301"),
                span,
                format!("{what} has a unit, but `{}` is without units", self.model.name),
            );
            self.diagnostics.push(d.at(format!("[{unit}]")).help("remove this unit, or give the model its units"));
            return id;
        }
        let (Some(found), Some(form)) = (found, form) else { return id };
        if self.is_inferring {
            self.solver.equate(&found, form);
            return given;
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

    fn condition(&mut self, expr: ExprId, what: &str) -> ExprId {
        let (id, ty) = self.walk(expr);
        if matches!(ty, Type::Number(_)) && !self.is_inferring && !matches!(self.model.expr(id).kind, ExprKind::Error) {
            let span = self.model.expr(expr).span;
            self.diagnostics.push(
                Diagnostic::new(Code("E0205"), span, format!("{what} needs a condition, and this is a number"))
                    .at("a number")
                    .help("compare it with something, as in `x > 0`"),
            );
        }
        id
    }

    /// A difference of temperatures written in degC is one in K.
    fn difference(&mut self, expr: ExprId) -> ExprId {
        let span = self.model.expr(expr).span;
        match self.model.expr(expr).kind.clone() {
            ExprKind::Number { value, unit: Some(unit) } if unit.offset() != 0.0 => {
                self.model.add(ExprKind::Number { value, unit: Some(unit.without_offset()) }, span)
            }
            ExprKind::Symbol { symbol, .. } => {
                let symbol = self.model.symbol(symbol);
                if symbol.unit.as_ref().is_some_and(|u| u.offset() != 0.0) && !self.is_inferring {
                    let d = Diagnostic::new(
                        Code("E0306"),
                        span,
                        format!("`{}` is a temperature in degC, and a difference is needed here", symbol.name),
                    );
                    let d = d.at("means kelvin above absolute zero").label(symbol.span, "declared here");
                    let help = format!("declare it as a difference: `{} {} [K]`", symbol.kind.word(), symbol.name);
                    self.diagnostics.push(d.help(help));
                }
                expr
            }
            ExprKind::Sum(terms) => {
                let new: Vec<(bool, ExprId)> =
                    terms.iter().map(|(minus, e)| (*minus, self.difference_term(*e))).collect();
                if new == terms { expr } else { self.model.add(ExprKind::Sum(new), span) }
            }
            _ => expr,
        }
    }

    /// A literal among the terms of a difference, such as `0.5 [degC] + 0.01*T`.
    fn difference_term(&mut self, expr: ExprId) -> ExprId {
        match self.model.expr(expr).kind {
            ExprKind::Number { .. } => self.difference(expr),
            _ => expr,
        }
    }

    pub(super) fn convert(&mut self, id: ExprId, factor: f64, offset: f64) -> ExprId {
        if self.is_inferring || (factor == 1.0 && offset == 0.0) {
            return id;
        }
        let span = self.model.expr(id).span;
        if let ExprKind::Number { value, .. } = self.model.expr(id).kind {
            return self.model.add(ExprKind::Number { value: value * factor + offset, unit: None }, span);
        }
        self.model.add(ExprKind::Convert { factor, offset, operand: id }, span)
    }

    /// The expression in its own unit, with conversions inside.
    pub(super) fn walk(&mut self, id: ExprId) -> (ExprId, Type) {
        if let Some((new, ty)) = self.memo.get(&id) {
            return (*new, ty.clone());
        }
        let (new, ty) = self.walk_new(id);
        self.memo.insert(id, (new, ty.clone()));
        (new, ty)
    }

    pub(super) fn walk_new(&mut self, id: ExprId) -> (ExprId, Type) {
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
                    if self.is_inferring {
                        return (id, Type::Number(Some(Form::known(kelvin))));
                    }
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
                    for k in 0..terms.len() {
                        self.celsius_in_sum(&terms, k);
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

    pub(super) fn pure_form(&self) -> Option<Form> {
        (!self.model.is_unitless).then(|| Form::known(Unit::one()))
    }

    /// A new node unless nothing changed; inferring changes nothing.
    pub(super) fn replace(&mut self, id: ExprId, kind: ExprKind, span: Span) -> ExprId {
        if self.is_inferring || self.model.expr(id).kind == kind { id } else { self.model.add(kind, span) }
    }

    pub(super) fn number(&mut self, id: ExprId) -> (ExprId, Option<Form>) {
        match self.walk(id) {
            (new, Type::Number(form)) => (new, form),
            (new, Type::Truth) => {
                self.not_a_number(id);
                (new, None)
            }
        }
    }

    /// Brings all to the unit of the first that has one.
    pub(super) fn unify(&mut self, list: &[ExprId], what: &str) -> (Vec<ExprId>, Option<Form>) {
        let walked: Vec<(ExprId, Option<Form>)> = list.iter().map(|e| self.number(*e)).collect();
        let Some(first) = walked.iter().position(|(_, f)| f.is_some()) else {
            return (walked.into_iter().map(|(e, _)| e).collect(), None);
        };
        let target = walked[first].1.clone();
        let Some(form) = &target else { return (Vec::new(), None) };
        let mut is_good = true;
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
                    is_good = false;
                    let d = self.disagreement((list[first], &form.known), (list[k], &found.known), what);
                    self.diagnostics.push(d);
                    ids.push(id);
                }
            }
        }
        // What has no unit fits everything, so that one disagreement is one mistake.
        (ids, target.filter(|_| is_good))
    }

    /// `T + 5 [degC]`: is a difference or a temperature meant?
    pub(super) fn celsius_in_sum(&mut self, terms: &[(bool, ExprId)], k: usize) {
        if self.is_inferring {
            return;
        }
        let term = terms[k].1;
        // Two temperatures are never added, so that beside one the other must be a difference.
        let is_temperature = |expr: ExprId| match &self.model.expr(expr).kind {
            ExprKind::Symbol { symbol, .. } => {
                self.model.symbol(*symbol).unit.as_ref().is_some_and(|unit| unit.offset() != 0.0)
            }
            _ => false,
        };
        let is_difference = terms.iter().all(|(minus, _)| !minus) && terms.iter().any(|(_, e)| is_temperature(*e));
        if let ExprKind::Number { value, unit: Some(unit) } = &self.model.expr(term).kind
            && unit.offset() != 0.0
        {
            let span = self.model.expr(term).span;
            let text = format!("{value} [K]");
            let d = Diagnostic::new(
                Code("E0306"),
                span,
                format!("`{value} [degC]` in a sum means {} K", value + unit.offset()),
            )
            .at("a temperature, not a difference")
            .help(format!(
                "write `{text}` for a difference of temperatures, `{} [K]` for a temperature",
                value + unit.offset()
            ));
            self.diagnostics.push(if is_difference { d.fix("make it a difference", span, text) } else { d });
        }
    }

    /// E0306 for `T *= 2` where `T` is in degC: twice the number on the scale is not twice the temperature.
    pub(super) fn celsius_multiplied(&mut self, assign: &super::super::model::Assign) {
        let symbol = self.model.symbol(assign.symbol);
        let offset = symbol.unit.as_ref().map_or(0.0, Unit::offset);
        if self.is_inferring || assign.op != AssignOp::Multiply || offset == 0.0 {
            return;
        }
        let name = &symbol.name;
        let factor = self.sources.slice(self.model.expr(assign.value).span);
        let is_number = matches!(self.model.expr(assign.value).kind, ExprKind::Number { .. });
        let factor = if is_number { factor.to_string() } else { format!("({factor})") };
        self.diagnostics.push(
            Diagnostic::new(
                Code("E0306"),
                assign.span,
                format!("`{name}` is a temperature in degC, and `*=` multiplies"),
            )
            .at("of which scale?")
            .label(symbol.span, "declared here")
            .help(format!(
                "write `{name} := {name}*{factor}`, which multiplies kelvin, or `{name} += ..` for a difference"
            )),
        );
    }

    pub(super) fn power(&mut self, id: ExprId, base: ExprId, exponent: ExprId, span: Span) -> (ExprId, Type) {
        let (new_base, form) = self.number(base);
        let new_exponent = self.fill(exponent, &pure(), "an exponent");
        let ratio = constant(self.model, new_exponent).map(Ratio::from_f64);
        let result = match (&form, ratio) {
            (None, _) => None,
            (Some(form), Some(Some(ratio))) => Some(form.pow(ratio)),
            (Some(form), Some(None) | None) => self.pure_base(base, form, ratio.is_some()),
        };
        // With an exponent that is a fraction the unit keeps the size of a base in, say, percent. With any other
        // exponent the power has no unit to keep it in, so that the base is brought to a pure number.
        let new_base = match (&form, ratio.flatten()) {
            (Some(f), None) if !self.is_inferring => match f.known.scale_to_one() {
                Some(factor) => self.convert(new_base, factor, 0.0),
                None => new_base,
            },
            (Some(_) | None, Some(_) | None) => new_base,
        };
        (self.replace(id, ExprKind::Pow(new_base, new_exponent), span), Type::Number(result))
    }

    /// The base of a power whose exponent is not a constant, or is no fraction that [`Ratio::from_f64`] finds.
    pub(super) fn pure_base(&mut self, base: ExprId, form: &Form, is_constant: bool) -> Option<Form> {
        if self.is_inferring {
            self.solver.equate(form, &Form::known(Unit::one()));
        } else if !form.known.is_dimensionless() {
            let span = self.model.expr(base).span;
            let wanted = if is_constant { "an exponent that is a simple fraction" } else { "a constant exponent" };
            self.diagnostics.push(
                Diagnostic::new(Code("E0307"), span, format!("a power of something in {} needs {wanted}", form.known))
                    .at(format!("[{}]", form.known))
                    .help("divide the base by a reference first, as in `(x/K)^n`"),
            );
            return None;
        }
        self.pure_form()
    }

    pub(super) fn call(&mut self, id: ExprId, function: Function, args: &[ExprId], span: Span) -> (ExprId, Type) {
        let (args, form) = match function {
            Function::Unary(op) => match op {
                UnaryOp::Exp
                | UnaryOp::Ln
                | UnaryOp::Log10
                | UnaryOp::Sin
                | UnaryOp::Cos
                | UnaryOp::Tan
                | UnaryOp::Asin
                | UnaryOp::Acos
                | UnaryOp::Atan
                | UnaryOp::Sinh
                | UnaryOp::Cosh
                | UnaryOp::Tanh
                | UnaryOp::Floor
                | UnaryOp::Ceil
                | UnaryOp::Not => (vec![self.pure_argument(function, args[0])], self.pure_form()),
                UnaryOp::Sqrt => {
                    let (arg, form) = self.number(args[0]);
                    (vec![arg], form.map(|f| f.pow(Ratio::new(1, 2))))
                }
                UnaryOp::Abs => {
                    let (arg, form) = self.number(args[0]);
                    (vec![arg], form)
                }
                UnaryOp::Sign => (vec![self.number(args[0]).0], self.pure_form()),
            },
            Function::Binary(op) => {
                let (ids, form) = self.unify(args, &format!("`{}`", function.name()));
                match op {
                    BinaryOp::Min | BinaryOp::Max | BinaryOp::Mod => (ids, form),
                    // Those with signs of their own are never written as calls.
                    BinaryOp::Atan2 | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow | BinaryOp::And | BinaryOp::Or => {
                        (ids, self.pure_form())
                    }
                }
            }
        };
        (self.replace(id, ExprKind::Call(function, args), span), Type::Number(form))
    }

    pub(super) fn pure_argument(&mut self, function: Function, arg: ExprId) -> ExprId {
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
                d = d.help(match molar(&form.known) {
                    Some(Molar::Entropy) => "divide by `R_gas`".to_string(),
                    Some(Molar::Energy) => "divide by `R_gas` times a temperature".to_string(),
                    None => format!("divide by a reference value in [{}]", form.known),
                });
                d = self.in_call(d, arg);
                self.diagnostics.push(d);
                new
            }
        }
    }
}

/// What is per amount of substance in an exponent and waits for the gas constant.
enum Molar {
    /// Energy per amount and temperature: E/T without R.
    Entropy,
    /// Energy per amount.
    Energy,
}

fn molar(unit: &Unit) -> Option<Molar> {
    let power = |name: &str| {
        let exponents = unit.dimension().exponents();
        exponents.iter().find(|(base, _)| &*base.0 == name).map_or(0.0, |(_, power)| power.to_f64())
    };
    let is_energy = power("kg") == 1.0 && power("m") == 2.0 && power("s") == -2.0 && power("mol") == -1.0;
    match (is_energy, power("K")) {
        (true, -1.0) => Some(Molar::Entropy),
        (true, 0.0) => Some(Molar::Energy),
        _ => None,
    }
}
