//! Resolved expressions in an arena; shared nodes are written once (arguments of expanded functions).

use crate::expr::{BinaryOp, Compare, UnaryOp};
use crate::source::Span;
use crate::units::Unit;

use super::model::SymbolId;

/// Index of an expression in its model's arena. Operands of a lowered expression have smaller ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExprId(pub u32);

/// A bound index of a family or a `sum(... for j in ...)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexId(pub u32);

/// An expression with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Which expression.
    pub kind: ExprKind,
    /// Where it is written; for an expanded function, where its body is.
    pub span: Span,
}

/// A built-in function of numbers: the operation of the expression graph that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Of one argument.
    Unary(UnaryOp),
    /// Of two arguments.
    Binary(BinaryOp),
}

/// Every built-in function. The operations that are missing have signs of their own: products, powers, logic.
pub const FUNCTIONS: &[Function] = &[
    Function::Unary(UnaryOp::Exp),
    Function::Unary(UnaryOp::Ln),
    Function::Unary(UnaryOp::Log10),
    Function::Unary(UnaryOp::Sqrt),
    Function::Unary(UnaryOp::Sin),
    Function::Unary(UnaryOp::Cos),
    Function::Unary(UnaryOp::Tan),
    Function::Unary(UnaryOp::Asin),
    Function::Unary(UnaryOp::Acos),
    Function::Unary(UnaryOp::Atan),
    Function::Unary(UnaryOp::Sinh),
    Function::Unary(UnaryOp::Cosh),
    Function::Unary(UnaryOp::Tanh),
    Function::Unary(UnaryOp::Abs),
    Function::Unary(UnaryOp::Sign),
    Function::Unary(UnaryOp::Floor),
    Function::Unary(UnaryOp::Ceil),
    Function::Binary(BinaryOp::Min),
    Function::Binary(BinaryOp::Max),
    Function::Binary(BinaryOp::Mod),
    Function::Binary(BinaryOp::Atan2),
];

impl Function {
    /// The function of this name.
    pub fn find(name: &str) -> Option<Function> {
        FUNCTIONS.iter().copied().find(|function| function.name() == name)
    }

    /// The name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Function::Unary(op) => op.name(),
            Function::Binary(op) => op.name(),
        }
    }

    /// How many arguments it takes.
    pub fn n_args(self) -> usize {
        match self {
            Function::Unary(_) => 1,
            Function::Binary(_) => 2,
        }
    }
}

/// The forms of a resolved expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number in `unit`; without one it is a pure number (or takes the unit of the slot that it fills).
    Number { value: f64, unit: Option<Unit> },
    /// The model's time.
    Time,
    /// A declared quantity; `indices` are those of a family member.
    Symbol { symbol: SymbolId, indices: Vec<ExprId> },
    /// `x'`
    Derivative { symbol: SymbolId, indices: Vec<ExprId> },
    /// A bound index.
    Index(IndexId),
    /// Σ ±e, left to right.
    Sum(Vec<(bool, ExprId)>),
    /// e · e / e ..., left to right; true marks a divisor.
    Product(Vec<(bool, ExprId)>),
    /// `a^b`
    Pow(ExprId, ExprId),
    /// A built-in function.
    Call(Function, Vec<ExprId>),
    /// A comparison; `a > b` is stored as `b < a`.
    Compare(Compare, ExprId, ExprId),
    /// All of.
    And(Vec<ExprId>),
    /// Any of.
    Or(Vec<ExprId>),
    /// `not a`
    Not(ExprId),
    /// `if condition then a else b`
    If { condition: ExprId, then: ExprId, otherwise: ExprId },
    /// `sum(body for index in from .. to if condition)`
    SumOver { index: IndexId, from: ExprId, to: ExprId, condition: Option<ExprId>, body: ExprId },
    /// One of `list` for each member of a family: element `index − from`.
    Pick { index: IndexId, from: ExprId, list: Vec<ExprId> },
    /// `factor · e + offset`: a change of unit, written by the unit checker.
    Convert { factor: f64, offset: f64, operand: ExprId },
    /// Stands where an error was reported; fits everything.
    Error,
}

impl ExprKind {
    /// Calls `visit` with each operand, indices included.
    pub fn for_each_operand(&self, mut visit: impl FnMut(ExprId)) {
        match self {
            ExprKind::Number { .. } | ExprKind::Time | ExprKind::Index(_) | ExprKind::Error => {}
            ExprKind::Symbol { indices, .. } | ExprKind::Derivative { indices, .. } => {
                indices.iter().for_each(|e| visit(*e))
            }
            ExprKind::Sum(terms) | ExprKind::Product(terms) => terms.iter().for_each(|(_, e)| visit(*e)),
            ExprKind::Pow(a, b) | ExprKind::Compare(_, a, b) => {
                visit(*a);
                visit(*b);
            }
            ExprKind::Call(_, args) | ExprKind::And(args) | ExprKind::Or(args) => args.iter().for_each(|e| visit(*e)),
            ExprKind::Pick { from, list, .. } => {
                visit(*from);
                list.iter().for_each(|e| visit(*e));
            }
            ExprKind::Not(a) | ExprKind::Convert { operand: a, .. } => visit(*a),
            ExprKind::If { condition, then, otherwise } => {
                visit(*condition);
                visit(*then);
                visit(*otherwise);
            }
            ExprKind::SumOver { from, to, condition, body, .. } => {
                visit(*from);
                visit(*to);
                if let Some(c) = condition {
                    visit(*c);
                }
                visit(*body);
            }
        }
    }
}
