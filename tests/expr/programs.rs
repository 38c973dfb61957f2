//! Random straight-line programs: built as a graph, and evaluated plainly without any simplification.

use proptest::prelude::*;
use twinc::expr::{BinaryOp, Compare, Dag, Leaf, NodeId, UnaryOp};

pub const N_STATES: usize = 4;
pub const N_PARAMS: usize = 3;

/// One instruction on earlier results.
#[derive(Debug, Clone)]
pub enum Op {
    Constant(f64),
    Unary(UnaryOp, usize),
    Binary(BinaryOp, usize, usize),
    PowI(usize, i32),
    Sum(Vec<(f64, usize)>),
    Compare(Compare, usize, usize),
    Select(usize, usize, usize),
}

/// Operands count back from the newest result; the oldest results are t, x and p.
#[derive(Debug, Clone)]
pub struct Program {
    pub ops: Vec<Op>,
    pub t: f64,
    pub x: Vec<f64>,
    pub p: Vec<f64>,
}

pub fn programs() -> impl Strategy<Value = Program> {
    let point = |n| prop::collection::vec(prop_oneof![4 => 0.1..3.0f64, 1 => -3.0..-0.1f64], n);
    (prop::collection::vec(op(), 1..14), 0.1..3.0f64, point(N_STATES), point(N_PARAMS))
        .prop_map(|(ops, t, x, p)| Program { ops, t, x, p })
}

fn op() -> impl Strategy<Value = Op> {
    let back = || prop_oneof![2 => 0..4usize, 1 => 0..24usize];
    let coefficient = || prop_oneof![Just(1.0), Just(-1.0), Just(2.0), -3.0..3.0f64];
    let unary = prop::sample::select(vec![
        UnaryOp::Exp,
        UnaryOp::Ln,
        UnaryOp::Log10,
        UnaryOp::Sqrt,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Tan,
        UnaryOp::Asin,
        UnaryOp::Acos,
        UnaryOp::Atan,
        UnaryOp::Sinh,
        UnaryOp::Cosh,
        UnaryOp::Tanh,
        UnaryOp::Abs,
        UnaryOp::Sign,
        UnaryOp::Floor,
        UnaryOp::Ceil,
        UnaryOp::Not,
    ]);
    let binary = prop::sample::select(vec![
        BinaryOp::Mul,
        BinaryOp::Mul,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Div,
        BinaryOp::Pow,
        BinaryOp::Min,
        BinaryOp::Max,
        BinaryOp::Mod,
        BinaryOp::Atan2,
        BinaryOp::And,
        BinaryOp::Or,
    ]);
    let compare = prop::sample::select(vec![Compare::Lt, Compare::Le, Compare::Eq, Compare::Ne]);
    prop_oneof![
        1 => (-4.0..4.0f64).prop_map(Op::Constant),
        4 => (unary, back()).prop_map(|(op, a)| Op::Unary(op, a)),
        8 => (binary, back(), back()).prop_map(|(op, a, b)| Op::Binary(op, a, b)),
        2 => (back(), -4..6i32).prop_map(|(a, n)| Op::PowI(a, n)),
        6 => prop::collection::vec((coefficient(), back()), 1..5).prop_map(Op::Sum),
        1 => (compare, back(), back()).prop_map(|(op, a, b)| Op::Compare(op, a, b)),
        1 => (back(), back(), back()).prop_map(|(c, a, b)| Op::Select(c, a, b)),
    ]
}

impl Program {
    /// The last result as a node.
    pub fn build(&self, dag: &mut Dag) -> NodeId {
        let mut pool = vec![dag.leaf(Leaf::Time)];
        pool.extend((0..N_STATES as u32).map(|k| dag.leaf(Leaf::State(k))));
        pool.extend((0..N_PARAMS as u32).map(|k| dag.leaf(Leaf::Param(k))));
        for op in &self.ops {
            let at = |back: usize| pool[pool.len() - 1 - back % pool.len()];
            let node = match op {
                Op::Constant(value) => dag.constant(*value),
                Op::Unary(op, a) => dag.unary(*op, at(*a)),
                Op::Binary(op, a, b) => dag.binary(*op, at(*a), at(*b)),
                Op::PowI(a, n) => dag.powi(at(*a), *n),
                Op::Sum(terms) => dag.sum(&terms.iter().map(|&(c, a)| (c, at(a))).collect::<Vec<_>>()),
                Op::Compare(op, a, b) => dag.compare(*op, at(*a), at(*b)),
                Op::Select(c, a, b) => dag.select(at(*c), at(*a), at(*b)),
            };
            pool.push(node);
        }
        pool[pool.len() - 1]
    }

    /// The last result in plain arithmetic and a first-order bound of its rounding errors in units of ε, every
    /// operation counted. Infinite where an intermediate result is not finite (simplification may hide it) or jumps
    /// within its rounding error (so that rounding may change it altogether).
    pub fn evaluate(&self) -> (f64, f64) {
        let exact = |v: f64| (v, v.abs());
        let mut pool = vec![exact(self.t)];
        pool.extend(self.x.iter().chain(&self.p).map(|&v| exact(v)));
        for op in &self.ops {
            let at = |back: &usize| pool[pool.len() - 1 - back % pool.len()];
            let result = match op {
                Op::Constant(value) => exact(*value),
                Op::Unary(op, a) => function(|x| op.apply(x), at(a)),
                Op::Binary(op, a, b) => {
                    let (a, b) = (at(a), at(b));
                    let by_a = function(|x| op.apply(x, b.0), a);
                    let by_b = function(|x| op.apply(a.0, x), b);
                    // The sign of a zero is not kept, but `atan2` looks at it.
                    let jumps = *op == BinaryOp::Atan2 && a.0 == 0.0;
                    (by_a.0, if jumps { f64::INFINITY } else { by_a.1 + by_b.1 })
                }
                Op::PowI(a, n) => function(|x| x.powf(f64::from(*n)), at(a)),
                Op::Sum(terms) => {
                    let mut sum = (0.0, 0.0);
                    for (c, a) in terms {
                        sum = (sum.0 + c * at(a).0, sum.1 + 2.0 * c.abs() * at(a).1);
                    }
                    sum
                }
                Op::Compare(op, a, b) => {
                    let (a, b) = (at(a), at(b));
                    function(|d| f64::from(op.apply(a.0 + d, b.0)), (0.0, a.1 + b.1))
                }
                Op::Select(c, a, b) => {
                    let (value, doubt) = function(|x| f64::from(x != 0.0), at(c));
                    let taken = if value != 0.0 { at(a) } else { at(b) };
                    (taken.0, if doubt > 1.5 { f64::INFINITY } else { taken.1 })
                }
            };
            pool.push(result);
        }
        let (value, scale) = pool[pool.len() - 1];
        (value, if pool.iter().all(|(v, s)| v.is_finite() && s.is_finite()) { scale } else { f64::INFINITY })
    }
}

/// A function of one argument: the bound follows from how far the value moves over the argument's error.
fn function(f: impl Fn(f64) -> f64, (x, scale): (f64, f64)) -> (f64, f64) {
    let value = f(x);
    let step = 64.0 * f64::EPSILON * scale;
    let moved = (f(x + step) - value).abs().max((f(x - step) - value).abs()) / (64.0 * f64::EPSILON);
    // A change of more than a ten-thousandth over a rounding error is a jump.
    let jumps = !moved.is_finite() || 64.0 * f64::EPSILON * moved > 1e-4 * (1.0 + value.abs());
    (value, if jumps { f64::INFINITY } else { value.abs() + 2.0 * moved })
}
