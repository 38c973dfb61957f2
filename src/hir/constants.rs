//! Constant expressions: exponents, index ranges, bounds.

use std::collections::HashMap;

use super::expr::{ExprId, ExprKind, Function};
use super::model::{Model, SymbolKind};

/// The value of an expression that depends on numbers and `const`s only.
///
/// Constants are followed through their definitions, each expression once; a circle gives `None`.
pub(super) fn constant(model: &Model, expr: ExprId) -> Option<f64> {
    if let ExprKind::Number { value, .. } = model.expr(expr).kind {
        return Some(value);
    }
    Constants::default().value(model, expr)
}

/// Values found so far, so that many questions about one model cost no more than one walk.
#[derive(Default)]
pub(super) struct Constants {
    /// `None` while an expression is being evaluated, `Some(None)` for one that is not constant.
    known: HashMap<ExprId, Option<Option<f64>>>,
}

impl Constants {
    /// The value of `expr`, if it is constant. The model must not change between two calls.
    pub(super) fn value(&mut self, model: &Model, expr: ExprId) -> Option<f64> {
        let mut open = vec![expr];
        while let Some(&id) = open.last() {
            if matches!(self.known.get(&id), Some(Some(_))) {
                open.pop();
                continue;
            }
            let is_first = self.known.insert(id, None).is_none();
            let mut needs = Vec::new();
            let mut is_circle = false;
            each_need(model, id, |e| match self.known.get(&e) {
                None => needs.push(e),
                Some(None) => is_circle = true,
                Some(Some(_)) => {}
            });
            // On the second visit all needs are known, unless one of them is being evaluated: a circle.
            if is_first && !is_circle && !needs.is_empty() {
                open.extend(needs);
                continue;
            }
            let value = if is_circle { None } else { self.evaluate(model, id) };
            self.known.insert(id, Some(value));
            open.pop();
        }
        self.known.get(&expr).copied().flatten().flatten()
    }

    fn evaluate(&self, model: &Model, expr: ExprId) -> Option<f64> {
        let go = |e: ExprId| self.known.get(&e).copied().flatten().flatten();
        match &model.expr(expr).kind {
            ExprKind::Number { value, .. } => Some(*value),
            ExprKind::Symbol { .. } => go(definition(model, expr)?),
            ExprKind::Sum(terms) => {
                terms.iter().try_fold(0.0, |acc, (minus, e)| Some(if *minus { acc - go(*e)? } else { acc + go(*e)? }))
            }
            ExprKind::Product(factors) => factors
                .iter()
                .try_fold(1.0, |acc, (is_divisor, e)| Some(if *is_divisor { acc / go(*e)? } else { acc * go(*e)? })),
            ExprKind::Pow(a, b) => Some(go(*a)?.powf(go(*b)?)),
            ExprKind::Convert { factor, offset, operand } => Some(factor * go(*operand)? + offset),
            ExprKind::Call(function, args) => {
                let a = go(*args.first()?)?;
                match function {
                    Function::Unary(op) => Some(op.apply(a)),
                    Function::Binary(op) => Some(op.apply(a, go(*args.get(1)?)?)),
                }
            }
            ExprKind::Time
            | ExprKind::Derivative { .. }
            | ExprKind::Index(_)
            | ExprKind::Compare(..)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Not(_)
            | ExprKind::If { .. }
            | ExprKind::SumOver { .. }
            | ExprKind::Pick { .. }
            | ExprKind::Error => None,
        }
    }
}

/// The definition of the constant that `expr` names.
fn definition(model: &Model, expr: ExprId) -> Option<ExprId> {
    let ExprKind::Symbol { symbol, indices } = &model.expr(expr).kind else { return None };
    let symbol = model.symbol(*symbol);
    (indices.is_empty() && symbol.kind == SymbolKind::Const && symbol.ranges.is_empty()).then_some(())?;
    symbol.value
}

/// What the value of `expr` needs; nothing for what is never constant.
fn each_need(model: &Model, expr: ExprId, visit: impl FnMut(ExprId)) {
    match &model.expr(expr).kind {
        ExprKind::Symbol { .. } => definition(model, expr).into_iter().for_each(visit),
        kind @ (ExprKind::Sum(_)
        | ExprKind::Product(_)
        | ExprKind::Pow(..)
        | ExprKind::Convert { .. }
        | ExprKind::Call(..)) => kind.for_each_operand(visit),
        ExprKind::Number { .. }
        | ExprKind::Time
        | ExprKind::Derivative { .. }
        | ExprKind::Index(_)
        | ExprKind::Compare(..)
        | ExprKind::And(_)
        | ExprKind::Or(_)
        | ExprKind::Not(_)
        | ExprKind::If { .. }
        | ExprKind::SumOver { .. }
        | ExprKind::Pick { .. }
        | ExprKind::Error => {}
    }
}
