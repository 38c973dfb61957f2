//! Constant expressions: exponents, index ranges, bounds.

use super::expr::{ExprId, ExprKind, Function};
use super::model::{Model, SymbolKind};
use crate::expr::{BinaryOp, UnaryOp};

/// The value of an expression that depends on numbers and `const`s only.
///
/// Constants are followed through their definitions; a circle or a chain deeper than the limit gives `None`.
pub(super) fn constant(model: &Model, expr: ExprId) -> Option<f64> {
    evaluate(model, expr, 0)
}

fn evaluate(model: &Model, expr: ExprId, depth: usize) -> Option<f64> {
    if depth > crate::limits::MAX_LOWERING_DEPTH {
        return None;
    }
    let go = |e: ExprId| evaluate(model, e, depth + 1);
    match &model.expr(expr).kind {
        ExprKind::Number { value, .. } => Some(*value),
        ExprKind::Symbol { symbol, indices } if indices.is_empty() => {
            let symbol = model.symbol(*symbol);
            (symbol.kind == SymbolKind::Const && symbol.ranges.is_empty()).then_some(())?;
            go(symbol.value?)
        }
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
            match apply(*function) {
                Applied::Unary(op) => Some(op.apply(a)),
                Applied::Binary(op) => Some(op.apply(a, go(*args.get(1)?)?)),
            }
        }
        ExprKind::Symbol { .. }
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
        | ExprKind::Error => None,
    }
}

/// The node of the expression graph that a built-in function is.
pub(crate) enum Applied {
    /// Of one argument.
    Unary(UnaryOp),
    /// Of two arguments.
    Binary(BinaryOp),
}

/// What `function` is in the expression graph.
pub(crate) fn apply(function: Function) -> Applied {
    match function {
        Function::Exp => Applied::Unary(UnaryOp::Exp),
        Function::Ln => Applied::Unary(UnaryOp::Ln),
        Function::Log10 => Applied::Unary(UnaryOp::Log10),
        Function::Sqrt => Applied::Unary(UnaryOp::Sqrt),
        Function::Sin => Applied::Unary(UnaryOp::Sin),
        Function::Cos => Applied::Unary(UnaryOp::Cos),
        Function::Tan => Applied::Unary(UnaryOp::Tan),
        Function::Asin => Applied::Unary(UnaryOp::Asin),
        Function::Acos => Applied::Unary(UnaryOp::Acos),
        Function::Atan => Applied::Unary(UnaryOp::Atan),
        Function::Sinh => Applied::Unary(UnaryOp::Sinh),
        Function::Cosh => Applied::Unary(UnaryOp::Cosh),
        Function::Tanh => Applied::Unary(UnaryOp::Tanh),
        Function::Abs => Applied::Unary(UnaryOp::Abs),
        Function::Sign => Applied::Unary(UnaryOp::Sign),
        Function::Floor => Applied::Unary(UnaryOp::Floor),
        Function::Ceil => Applied::Unary(UnaryOp::Ceil),
        Function::Min => Applied::Binary(BinaryOp::Min),
        Function::Max => Applied::Binary(BinaryOp::Max),
        Function::Mod => Applied::Binary(BinaryOp::Mod),
        Function::Atan2 => Applied::Binary(BinaryOp::Atan2),
    }
}
