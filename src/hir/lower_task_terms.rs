//! What a task costs and keeps: `cost`, `terminal`, `track`, `move`, `keep`.
//!
//! Terms of cost differ in unit, so each counts by its value in its own unit; weights are pure numbers, and `scale`
//! divides by a quantity of the term's unit.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, Flag};
use crate::system::Softness;
use crate::units::{Ratio, Unit};

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::expr::{ExprId, ExprKind};
use super::lower::Lower;
use super::lower_expr::text;
use super::model::Range;
use super::task::{Cost, Keep, KeepWhat, MoveCost};

impl Lower<'_> {
    /// The ranges of a statement's `for` clauses.
    fn statement_ranges(&mut self, clauses: &Clauses<'_>) -> Vec<Range> {
        clauses.families.iter().map(|f| self.range(f)).collect()
    }

    /// The one expression that a statement is about.
    fn one_subject<'b>(&mut self, directive: &'b Directive, span: Span, example: &str) -> Option<&'b ast::Expr> {
        let word = &directive.word.text;
        match directive.subjects.as_slice() {
            [subject] => Some(subject),
            [] => {
                let d = Diagnostic::new(Code("E0101"), span, format!("`{word}` needs an expression"));
                self.report(d.at("this statement").help(format!("write for example `{example}`")));
                None
            }
            [_, second, ..] => {
                let d = Diagnostic::new(Code("E0107"), second.span, format!("`{word}` takes one expression"));
                self.report(d.at("one too many").help(format!("write a second `{word}`")));
                None
            }
        }
    }

    /// The factor that `weight` gives, 1 where it is not written.
    fn weight(&mut self, clauses: &Clauses<'_>, what: &str) -> Option<f64> {
        let Some(weight) = clauses.word_arg(ClauseWord::Weight) else { return Some(1.0) };
        let value = self.pure_constant(weight, "a weight")?;
        if value.is_finite() {
            return Some(value);
        }
        let d = Diagnostic::new(Code("E0608"), weight.span, format!("the weight of this {what} is {value}"));
        self.report(d.at("not a finite number"));
        None
    }

    /// The quantity that `scale` gives in `unit`, 1 where it is not written.
    fn scale(&mut self, clauses: &Clauses<'_>, unit: Option<&Unit>) -> Option<f64> {
        let Some(scale) = clauses.word_arg(ClauseWord::Scale) else { return Some(1.0) };
        let expr = self.expr(scale);
        let expr = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).difference_in(
            unit,
            expr,
            "this scale",
        );
        let value = self.known_constant(expr, scale.span)?;
        if value.is_finite() && value > 0.0 {
            return Some(value);
        }
        let d = Diagnostic::new(Code("E0608"), scale.span, format!("a scale is positive, and this is {value}"));
        self.report(d.at("divides by this"));
        None
    }

    /// `cost (C_b - 0.6 [mol/L])^2 weight 2 for i in 1 .. 4`
    pub(super) fn cost(&mut self, directive: &Directive, span: Span) -> Option<Cost> {
        let allowed = Allowed { family: true, words: &[ClauseWord::Weight, ClauseWord::Scale], ..Allowed::default() };
        let what = format!("`{}`", directive.word.text);
        let clauses = Clauses::sort(&directive.clauses, &what, allowed, self.diagnostics);
        let subject = self.one_subject(directive, span, "cost (x - 1)^2 weight 10")?;
        let ranges = self.statement_ranges(&clauses);
        let n = self.bind(&ranges);
        let expr = self.expr(subject);
        self.unbind(n);
        let (expr, unit) =
            Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).with_unit(expr);
        let weight = self.weight(&clauses, "term")?;
        let scale = self.scale(&clauses, unit.as_ref())?;
        let is_scaled = clauses.word(ClauseWord::Scale).is_some();
        Some(Cost {
            expr,
            is_square: false,
            unit: unit.filter(|_| !is_scaled),
            weight: weight / scale,
            ranges,
            tracked: None,
            text: self.sources.slice(subject.span).to_string(),
            span,
        })
    }

    /// `track T_R to 135 [degC] weight 2`: the square of the distance, at every step and at the end.
    pub(super) fn track(&mut self, directive: &Directive, span: Span) -> Option<Cost> {
        let allowed = Allowed {
            family: true,
            words: &[ClauseWord::To, ClauseWord::Weight, ClauseWord::Scale],
            ..Allowed::default()
        };
        let clauses = Clauses::sort(&directive.clauses, "`track`", allowed, self.diagnostics);
        let subject = self.one_subject(directive, span, "track x to 1 [m]")?;
        let Some(to) = clauses.word_arg(ClauseWord::To) else {
            let d = Diagnostic::new(Code("E0101"), span, "`track` needs what is followed");
            self.report(d.at("to what?").help("write `track x to 1 [m]`, or `track x to r` with a `let` of time"));
            return None;
        };
        let ranges = self.statement_ranges(&clauses);
        let n = self.bind(&ranges);
        let (y, r) = (self.expr(subject), self.expr(to));
        self.unbind(n);
        let mut units = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics);
        let (y, unit) = units.valued(y);
        let what = format!("what `{}` follows", self.sources.slice(subject.span));
        let r = units.in_unit(unit.as_ref(), r, &what);
        let expr = self.model.add(ExprKind::Sum(vec![(false, y), (true, r)]), subject.span);
        let weight = self.weight(&clauses, "term")?;
        let scale = self.scale(&clauses, unit.as_ref())?;
        let is_scaled = clauses.word(ClauseWord::Scale).is_some();
        let (own, wanted) = (self.sources.slice(subject.span), self.sources.slice(to.span));
        let wanted = if self.is_sum(to) { format!("({wanted})") } else { wanted.to_string() };
        Some(Cost {
            expr,
            is_square: true,
            unit: unit.filter(|_| !is_scaled).map(|unit| unit.without_offset().pow(Ratio::new(2, 1))),
            weight: weight / (scale * scale),
            ranges,
            tracked: Some((y, r)),
            text: format!("({own} - {wanted})^2"),
            span,
        })
    }

    fn is_sum(&self, ast: &ast::Expr) -> bool {
        matches!(
            &ast.kind,
            ast::ExprKind::Infix { op: ast::InfixOp::Add | ast::InfixOp::Sub, .. } | ast::ExprKind::Prefix { .. }
        )
    }

    /// `move F weight 0.1 scale 100 [1/h]`
    pub(super) fn move_cost(&mut self, directive: &Directive, span: Span) -> Option<MoveCost> {
        let allowed = Allowed { family: true, words: &[ClauseWord::Weight, ClauseWord::Scale], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`move`", allowed, self.diagnostics);
        let subject = self.one_subject(directive, span, "move F weight 0.1 scale 100 [1/h]")?;
        let input = self.input_of(subject, directive, "moved by a controller")?;
        let unit = self.model.symbol(input.symbol).unit.clone();
        let weight = self.weight(&clauses, "move")?;
        let scale = self.scale(&clauses, unit.as_ref())?;
        if weight < 0.0 {
            let at = clauses.word(ClauseWord::Weight).map_or(span, |(_, at)| at);
            let d = Diagnostic::new(Code("E0608"), at, format!("the weight of a move is {weight}, below zero"));
            self.report(d.at("would reward changes").help("give a weight that is not negative"));
            return None;
        }
        let is_scaled = clauses.word(ClauseWord::Scale).is_some();
        Some(MoveCost { input, weight, scale, is_scaled, span })
    }

    /// A condition, in which safe sets may be named.
    pub(super) fn condition_or_safe(&mut self, ast: &ast::Expr, what: &str) -> ExprId {
        let expr = self.expr(ast);
        Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).condition(expr, what)
    }

    /// `keep C_a in 0.1 .. 2`, `keep hot soft 100`, `keep x^2 + y^2 <= 4 [m^2] final`
    pub(super) fn keep(&mut self, directive: &Directive, span: Span) -> Option<Keep> {
        let allowed = Allowed {
            range: true,
            family: true,
            words: &[ClauseWord::Soft, ClauseWord::Probability],
            flags: &[Flag::Final, Flag::Linear, Flag::Quadratic],
            ..Allowed::default()
        };
        let clauses = Clauses::sort(&directive.clauses, "`keep`", allowed, self.diagnostics);
        let subject = self.one_subject(directive, span, "keep x in 0 .. 2")?;
        let softness = self.softness(&clauses, span)?;
        let probability = self.probability(&clauses)?;
        let ranges = self.statement_ranges(&clauses);
        let n = self.bind(&ranges);
        let expr = self.expr(subject);
        let ends = clauses.range.map(|(low, high)| (low.map(|e| self.expr(e)), high.map(|e| self.expr(e))));
        self.unbind(n);
        let name = match &subject.kind {
            ast::ExprKind::Path(path) => text(path),
            _ => self.sources.slice(subject.span).to_string(),
        };
        if matches!(self.model.expr(expr).kind, ExprKind::Error) {
            return None;
        }
        let is_safe = self.model.safe.iter().any(|safe| safe.condition == expr);
        let is_condition = is_safe
            || matches!(
                self.model.expr(expr).kind,
                ExprKind::Compare(..) | ExprKind::And(_) | ExprKind::Or(_) | ExprKind::Not(_)
            );
        let is_final = clauses.has(Flag::Final);
        let mut units = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics);
        let what = if is_condition {
            let condition = units.condition(expr, "`keep`");
            if let Some((low, high)) = clauses.range {
                let at = low.or(high).map_or(span, |e| e.span);
                let d = Diagnostic::new(Code("E0107"), at, "a condition has its ends already");
                self.report(d.at("remove `in`").label(subject.span, "a condition"));
            }
            KeepWhat::Condition(condition)
        } else {
            let (expr, unit) = units.valued(expr);
            let what = format!("the range of `{name}`");
            let mut end = |e: Option<ExprId>| e.map(|e| units.in_unit(unit.as_ref(), e, &what));
            match ends {
                Some((low, high)) => KeepWhat::Range { low: end(low), high: end(high), expr, unit },
                None => {
                    // Alone, a name means its own range.
                    let own = match &self.model.expr(expr).kind {
                        ExprKind::Symbol { symbol, .. } => {
                            let symbol = self.model.symbol(*symbol);
                            (symbol.ranges.is_empty()).then_some((symbol.low, symbol.high))
                        }
                        _ => None,
                    };
                    match own {
                        Some((low, high)) if low.is_some() || high.is_some() => {
                            KeepWhat::Range { low, high, expr, unit }
                        }
                        Some(_) | None => {
                            let d = Diagnostic::new(Code("E0409"), span, format!("`keep {name}` has no range"));
                            self.report(d.at("within what?").help(format!(
                                "write `keep {name} in low .. high`, a condition, or the name of a safe set"
                            )));
                            return None;
                        }
                    }
                }
            }
        };
        Some(Keep { name, what, softness, probability, is_final, ranges, span })
    }

    /// `probability 0.95`
    fn probability(&mut self, clauses: &Clauses<'_>) -> Option<Option<f64>> {
        let Some(written) = clauses.word_arg(ClauseWord::Probability) else { return Some(None) };
        let value = self.pure_constant(written, "a probability")?;
        if let Some((_, soft)) = clauses.word(ClauseWord::Soft) {
            let d = Diagnostic::new(Code("E0107"), soft, "what has a price is not kept with a probability");
            self.report(d.at("a price").label(written.span, "a probability").help("keep one of the two"));
            return None;
        }
        if value > 0.5 && value < 1.0 {
            return Some(Some(value));
        }
        let d = Diagnostic::new(Code("E0608"), written.span, format!("the probability of a constraint is {value}"));
        self.report(d.at("above 0.5 and below 1").help("for certainty leave `probability` out"));
        None
    }

    /// `soft 100`, `soft 100 quadratic`
    fn softness(&mut self, clauses: &Clauses<'_>, span: Span) -> Option<Softness> {
        let is_quadratic = clauses.has(Flag::Quadratic);
        let Some(soft) = clauses.word_arg(ClauseWord::Soft) else {
            let stray = clauses.flags.iter().find(|(flag, _)| matches!(flag, Flag::Linear | Flag::Quadratic));
            if let Some((_, at)) = stray {
                let d = Diagnostic::new(Code("E0107"), *at, "this constraint is hard and has no price");
                self.report(d.at("the form of a price").label(span, "no `soft`").help("write `soft 100 quadratic`"));
                return None;
            }
            return Some(Softness::Hard);
        };
        if is_quadratic && clauses.has(Flag::Linear) {
            let d = Diagnostic::new(Code("E0107"), span, "a price is `linear` or `quadratic`, not both");
            self.report(d.at("both are written"));
            return None;
        }
        let price = self.pure_constant(soft, "a price")?;
        if !(price.is_finite() && price > 0.0) {
            let d = Diagnostic::new(Code("E0608"), soft.span, format!("the price of a soft constraint is {price}"));
            self.report(d.at("must be positive").help("without a price, leave the constraint out"));
            return None;
        }
        Some(if is_quadratic { Softness::Quadratic(price) } else { Softness::Linear(price) })
    }
}
