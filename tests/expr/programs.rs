//! Random straight-line programs: built as a graph, and evaluated plainly without any simplification.

use proptest::prelude::*;
use twinc::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, UnaryOp, ops::powi};

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
    /// True with functions that are flat between jumps, where differences over a step tell nothing.
    pub fn has_steps(&self) -> bool {
        self.ops
            .iter()
            .any(|op| matches!(op, Op::Unary(UnaryOp::Floor | UnaryOp::Ceil, _) | Op::Binary(BinaryOp::Mod, _, _)))
    }

    /// The last result as a node.
    pub fn build(&self, dag: &mut Dag) -> NodeId {
        self.build_at(dag, |k| k, |k| k)
    }

    /// The last result as a node, where `state` and `param` say which elements stand for the first few.
    pub fn build_at(&self, dag: &mut Dag, state: impl Fn(u32) -> u32, param: impl Fn(u32) -> u32) -> NodeId {
        let mut pool = vec![dag.leaf(Leaf::Time)];
        pool.extend((0..N_STATES as u32).map(|k| dag.leaf(Leaf::State(state(k)))));
        pool.extend((0..N_PARAMS as u32).map(|k| dag.leaf(Leaf::Param(param(k)))));
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
                Op::Unary(op, a) => {
                    let (value, scale) = function(|x| op.apply(x), at(a));
                    let jumps = *op == UnaryOp::Not && is_doubtful(at(a));
                    (value, if jumps { f64::INFINITY } else { scale })
                }
                Op::Binary(op, a, b) => {
                    let (a, b) = (at(a), at(b));
                    let by_a = function(|x| op.apply(x, b.0), a);
                    let by_b = function(|x| op.apply(a.0, x), b);
                    let jumps = match op {
                        // The sign of a zero is not kept, but `atan2` looks at it.
                        BinaryOp::Atan2 => a.0 == 0.0,
                        BinaryOp::Mod => (a.0 / b.0).abs() > 1e12,
                        BinaryOp::And | BinaryOp::Or => is_doubtful(a) || is_doubtful(b),
                        _ => false,
                    };
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
                    let taken = if at(c).0 != 0.0 { at(a) } else { at(b) };
                    (taken.0, if is_doubtful(at(c)) { f64::INFINITY } else { taken.1 })
                }
            };
            pool.push(result);
        }
        let (value, scale) = pool[pool.len() - 1];
        (value, if pool.iter().all(|(v, s)| v.is_finite() && s.is_finite()) { scale } else { f64::INFINITY })
    }
}

/// True where rounding may decide whether a truth value is 0.
fn is_doubtful((x, scale): (f64, f64)) -> bool {
    scale != 0.0 && x.abs() <= 64.0 * f64::EPSILON * scale
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

/// The value of `root` where every library function and real power is off by up to ε of itself, as in a kernel with
/// vectorized functions; arithmetic is exact to the bit. `salt` chooses the errors.
pub fn evaluate_with_poor_functions(dag: &Dag, root: NodeId, program: &Program, salt: u64) -> f64 {
    let order = dag.reachable(&[root]);
    let mut values = vec![0.0; root.0 as usize + 1];
    for id in order {
        let at = |id: NodeId| values[id.0 as usize];
        let choice = salt.wrapping_mul(2 * u64::from(id.0) + 1) >> 61;
        let poor = |v: f64| v * (1.0 + f64::EPSILON * (choice as f64 - 3.5) / 3.5);
        let value = match dag.node(id) {
            Node::Const(bits) => f64::from_bits(bits),
            Node::Leaf(Leaf::State(k)) => program.x[k as usize],
            Node::Leaf(Leaf::Param(k)) => program.p[k as usize],
            Node::Leaf(_) => program.t,
            Node::Unary(op, a) => match op {
                UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Not | UnaryOp::Sqrt => {
                    op.apply(at(a))
                }
                _ => poor(op.apply(at(a))),
            },
            Node::Binary(op, a, b) => match op {
                BinaryOp::Pow | BinaryOp::Atan2 => poor(op.apply(at(a), at(b))),
                _ => op.apply(at(a), at(b)),
            },
            Node::PowI(a, n) => powi(at(a), n),
            Node::Sum(sum) => {
                let mut terms = dag.terms(sum).iter().map(|t| t.coefficient * at(t.node));
                let first = terms.next().unwrap_or(0.0);
                terms.fold(first, |sum, term| sum + term)
            }
            Node::Compare(op, a, b) => f64::from(op.apply(at(a), at(b))),
            Node::Select { condition, then, otherwise } => at(if at(condition) != 0.0 { then } else { otherwise }),
        };
        values[id.0 as usize] = value;
    }
    values[root.0 as usize]
}
