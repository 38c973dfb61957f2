//! Resolved expressions in an arena; shared nodes are written once (arguments of expanded functions).

use crate::expr::Compare;
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

/// Built-in functions of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Function {
    Exp,
    Ln,
    Log10,
    Sqrt,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Abs,
    Sign,
    Floor,
    Ceil,
    Min,
    Max,
    Mod,
    Atan2,
}

/// Name, number of arguments and meaning of each built-in function.
pub const FUNCTIONS: &[(&str, Function, usize)] = &[
    ("exp", Function::Exp, 1),
    ("ln", Function::Ln, 1),
    ("log10", Function::Log10, 1),
    ("sqrt", Function::Sqrt, 1),
    ("sin", Function::Sin, 1),
    ("cos", Function::Cos, 1),
    ("tan", Function::Tan, 1),
    ("asin", Function::Asin, 1),
    ("acos", Function::Acos, 1),
    ("atan", Function::Atan, 1),
    ("sinh", Function::Sinh, 1),
    ("cosh", Function::Cosh, 1),
    ("tanh", Function::Tanh, 1),
    ("abs", Function::Abs, 1),
    ("sign", Function::Sign, 1),
    ("floor", Function::Floor, 1),
    ("ceil", Function::Ceil, 1),
    ("min", Function::Min, 2),
    ("max", Function::Max, 2),
    ("mod", Function::Mod, 2),
    ("atan2", Function::Atan2, 2),
];

impl Function {
    /// The name in the language.
    pub fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, f, _)| *f == self).map_or("", |(name, _, _)| name)
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
