//! Symbolic derivatives: expressions to the nodes of their gradients and directional derivatives.
//!
//! Sparse forward accumulation: one pass over the reachable nodes in ascending order carries for each node the list
//! of `(column, derivative)` that are not structurally zero. Nothing recurses, so deep graphs are safe, and shared
//! subexpressions are differentiated once. Forward, not reverse: models have about as many roots as leaves and short
//! chains between them, so that the lists stay as short as the rows of the result.
//!
//! Where a function has a kink or a jump, the derivative is that of the branch the interpreter takes:
//!
//! | function | derivative |
//! |---|---|
//! | `min(a, b)` | a' where a < b, else b' (so the second argument's at a tie) |
//! | `max(a, b)` | a' where a > b, else b' |
//! | `abs(a)` | sign(a) a', 0 at a = 0 |
//! | `if c then a else b` | a' where c holds, else b' |
//! | `mod(a, b)` | a' − floor(a/b) b' |
//! | `sign`, `floor`, `ceil`, comparisons, logic | 0 |
//! | `a^b` by a | b a^(b−1) a', right at a = 0 for b ≥ 1, 0 at 0^0 |
//! | `sqrt`, `asin`, `acos`, `a^b` with b < 1 where their slope is infinite | 0 if the argument does not move |
//! | `atan2(a, b)` | 0 at the origin |
//! | `a^b` by b | a^b ln(a) b' where a > 0, else 0 |

use super::dag::{Dag, Leaf, Node, NodeId};
use super::ops::{BinaryOp, Compare, UnaryOp};

/// What to differentiate by; the columns of the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrt {
    /// Column k is x\[k\].
    States,
    /// Column k is p\[k\].
    Params,
    /// Column k is u\[k\].
    Inputs,
    /// Column k is d\[k\].
    Disturbances,
    /// Column 0 is t.
    Time,
    /// Column k is x\[k\] below `n_states`, column `n_states + k` is u\[k\].
    StatesAndInputs { n_states: u32 },
}

impl Wrt {
    /// The column of a leaf, if it is one of these.
    pub fn column(self, leaf: Leaf) -> Option<u32> {
        match (self, leaf) {
            (Wrt::States, Leaf::State(k))
            | (Wrt::Params, Leaf::Param(k))
            | (Wrt::Inputs, Leaf::Input(k))
            | (Wrt::Disturbances, Leaf::Disturbance(k)) => Some(k),
            (Wrt::Time, Leaf::Time) => Some(0),
            (Wrt::StatesAndInputs { n_states }, Leaf::State(k)) => (k < n_states).then_some(k),
            (Wrt::StatesAndInputs { n_states }, Leaf::Input(k)) => Some(n_states + k),
            _ => None,
        }
    }
}

/// The gradient of each root: `(column, derivative)` ascending by column, structural zeros left out.
///
/// Differentiate all roots in one call: a call costs time in the number of reachable nodes and in the length of their
/// gradients.
pub fn gradients(dag: &mut Dag, roots: &[NodeId], wrt: Wrt) -> Vec<Vec<(u32, NodeId)>> {
    let forward = Forward::run(dag, roots, |leaf| wrt.column(leaf).map(|column| (column, Dag::ONE)));
    roots.iter().map(|&root| forward.list(root).to_vec()).collect()
}

/// The derivative of each root along a direction: `seeds` gives each leaf's component, a node made before.
///
/// For `System::jacobian_along` the seed of `State(k)` is `Direction(k)` and that of `Time` is `DirectionTime`.
pub fn directional(dag: &mut Dag, roots: &[NodeId], seeds: impl Fn(Leaf) -> Option<NodeId>) -> Vec<NodeId> {
    let forward = Forward::run(dag, roots, |leaf| seeds(leaf).map(|node| (0, node)));
    roots.iter().map(|&root| forward.list(root).first().map_or(Dag::ZERO, |&(_, node)| node)).collect()
}

/// The lists of derivatives of all visited nodes, one after the other.
struct Forward {
    /// Where each node's list lies in `entries`.
    ranges: Vec<(usize, usize)>,
    entries: Vec<(u32, NodeId)>,
}

impl Forward {
    fn run(dag: &mut Dag, roots: &[NodeId], seed: impl Fn(Leaf) -> Option<(u32, NodeId)>) -> Forward {
        let order = dag.reachable(roots);
        let n_known = order.last().map_or(0, |last| last.0 as usize + 1);
        let mut forward = Forward { ranges: vec![(0, 0); n_known], entries: Vec::new() };
        let mut gathered = Vec::new();
        for id in order {
            let start = forward.entries.len();
            match dag.node(id) {
                Node::Const(_) | Node::Compare(..) => {}
                Node::Leaf(leaf) => {
                    forward.entries.extend(seed(leaf).filter(|&(_, derivative)| derivative != Dag::ZERO));
                }
                Node::Unary(op, a) => forward.unary(dag, id, op, a),
                Node::PowI(a, n) => {
                    if !forward.list(a).is_empty() {
                        let power = dag.powi(a, n.saturating_sub(1));
                        let slope = dag.scale(f64::from(n), power);
                        forward.one(dag, a, |dag, da| dag.mul(slope, da));
                    }
                }
                Node::Binary(op, a, b) => forward.binary(dag, id, op, a, b),
                Node::Sum(sum) => {
                    gathered.clear();
                    for term in dag.terms(sum) {
                        let list = forward.list(term.node);
                        gathered.extend(list.iter().map(|&(column, node)| (column, (term.coefficient, node))));
                    }
                    forward.gathered(dag, &mut gathered);
                }
                Node::Select { condition, then, otherwise } => {
                    forward.two(dag, then, otherwise, |dag, da, db| {
                        dag.select(condition, da.unwrap_or(Dag::ZERO), db.unwrap_or(Dag::ZERO))
                    });
                }
            }
            forward.ranges[id.0 as usize] = (start, forward.entries.len());
        }
        forward
    }

    fn list(&self, id: NodeId) -> &[(u32, NodeId)] {
        let (start, end) = self.ranges[id.0 as usize];
        &self.entries[start..end]
    }

    fn push(&mut self, column: u32, derivative: NodeId) {
        if derivative != Dag::ZERO {
            self.entries.push((column, derivative));
        }
    }

    /// The sums of gathered terms, column by column; the terms of a column keep their order.
    fn gathered(&mut self, dag: &mut Dag, gathered: &mut [(u32, (f64, NodeId))]) {
        gathered.sort_by_key(|&(column, _)| column);
        let mut terms = Vec::new();
        for group in gathered.chunk_by(|(c, _), (d, _)| c == d) {
            terms.clear();
            terms.extend(group.iter().map(|&(_, term)| term));
            let derivative = dag.sum(&terms);
            self.push(group[0].0, derivative);
        }
    }

    /// The list of a function of `a` alone.
    fn one(&mut self, dag: &mut Dag, a: NodeId, rule: impl Fn(&mut Dag, NodeId) -> NodeId) {
        let (start, end) = self.ranges[a.0 as usize];
        for k in start..end {
            let (column, da) = self.entries[k];
            let derivative = rule(dag, da);
            self.push(column, derivative);
        }
    }

    /// The list of a function of `a` and `b`: their lists merged.
    fn two(
        &mut self,
        dag: &mut Dag,
        a: NodeId,
        b: NodeId,
        rule: impl Fn(&mut Dag, Option<NodeId>, Option<NodeId>) -> NodeId,
    ) {
        let (mut i, end_a) = self.ranges[a.0 as usize];
        let (mut j, end_b) = self.ranges[b.0 as usize];
        loop {
            let next_a = (i < end_a).then(|| self.entries[i]);
            let next_b = (j < end_b).then(|| self.entries[j]);
            let column = match (next_a, next_b) {
                (None, None) => return,
                (Some((c, _)), None) | (None, Some((c, _))) => c,
                (Some((c, _)), Some((d, _))) => c.min(d),
            };
            let da = next_a.filter(|&(c, _)| c == column).map(|(_, node)| node);
            let db = next_b.filter(|&(c, _)| c == column).map(|(_, node)| node);
            i += usize::from(da.is_some());
            j += usize::from(db.is_some());
            let derivative = rule(dag, da, db);
            self.push(column, derivative);
        }
    }

    fn unary(&mut self, dag: &mut Dag, id: NodeId, op: UnaryOp, a: NodeId) {
        if self.list(a).is_empty() {
            return;
        }
        match op {
            UnaryOp::Exp => self.one(dag, a, |dag, da| dag.mul(id, da)),
            UnaryOp::Ln => self.one(dag, a, |dag, da| dag.div(da, a)),
            UnaryOp::Log10 => self.one(dag, a, |dag, da| {
                let quotient = dag.div(da, a);
                dag.scale(std::f64::consts::LOG10_E, quotient)
            }),
            UnaryOp::Sqrt => {
                let twice = dag.scale(2.0, id);
                let is_singular = dag.compare(Compare::Eq, id, Dag::ZERO);
                self.one(dag, a, |dag, da| {
                    let slope = dag.div(da, twice);
                    unless_still(dag, is_singular, da, slope)
                });
            }
            UnaryOp::Sin => {
                let slope = dag.unary(UnaryOp::Cos, a);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Cos => {
                let sine = dag.unary(UnaryOp::Sin, a);
                let slope = dag.neg(sine);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Tan => {
                let square = dag.powi(id, 2);
                let slope = dag.add(Dag::ONE, square);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Asin | UnaryOp::Acos => {
                let square = dag.powi(a, 2);
                let rest = dag.sub(Dag::ONE, square);
                let root = dag.unary(UnaryOp::Sqrt, rest);
                let sign = if op == UnaryOp::Asin { 1.0 } else { -1.0 };
                let is_singular = dag.compare(Compare::Eq, root, Dag::ZERO);
                self.one(dag, a, |dag, da| {
                    let quotient = dag.div(da, root);
                    let slope = dag.scale(sign, quotient);
                    unless_still(dag, is_singular, da, slope)
                });
            }
            UnaryOp::Atan => {
                let square = dag.powi(a, 2);
                let below = dag.add(Dag::ONE, square);
                self.one(dag, a, |dag, da| dag.div(da, below));
            }
            UnaryOp::Sinh => {
                let slope = dag.unary(UnaryOp::Cosh, a);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Cosh => {
                let slope = dag.unary(UnaryOp::Sinh, a);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Tanh => {
                let square = dag.powi(id, 2);
                let slope = dag.sub(Dag::ONE, square);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Abs => {
                let slope = dag.unary(UnaryOp::Sign, a);
                self.one(dag, a, |dag, da| dag.mul(slope, da));
            }
            UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Not => {}
        }
    }

    fn binary(&mut self, dag: &mut Dag, id: NodeId, op: BinaryOp, a: NodeId, b: NodeId) {
        if self.list(a).is_empty() && self.list(b).is_empty() {
            return;
        }
        match op {
            BinaryOp::Mul => self.two(dag, a, b, |dag, da, db| {
                let left = da.map_or(Dag::ZERO, |da| dag.mul(da, b));
                let right = db.map_or(Dag::ZERO, |db| dag.mul(a, db));
                dag.add(left, right)
            }),
            // (a' − (a/b) b')/b shares the quotient, and does not square b.
            BinaryOp::Div => {
                // An exponential below that overflowed has made the quotient 0, and flat.
                let is_over = has_exponential(dag, b).then(|| {
                    let (largest, size) = (dag.constant(f64::MAX), dag.unary(UnaryOp::Abs, b));
                    dag.compare(Compare::Lt, largest, size)
                });
                self.two(dag, a, b, |dag, da, db| {
                    let moved = db.map_or(Dag::ZERO, |db| dag.mul(id, db));
                    let above = dag.sub(da.unwrap_or(Dag::ZERO), moved);
                    let slope = dag.div(above, b);
                    is_over.map_or(slope, |over| dag.select(over, Dag::ZERO, slope))
                });
            }
            BinaryOp::Pow => self.power(dag, id, a, b),
            BinaryOp::Min | BinaryOp::Max => {
                let first = match op {
                    BinaryOp::Min => dag.compare(Compare::Lt, a, b),
                    _ => dag.compare(Compare::Lt, b, a),
                };
                self.two(dag, a, b, |dag, da, db| dag.select(first, da.unwrap_or(Dag::ZERO), db.unwrap_or(Dag::ZERO)));
            }
            BinaryOp::Mod => {
                let quotient = dag.div(a, b);
                let whole = dag.unary(UnaryOp::Floor, quotient);
                self.two(dag, a, b, |dag, da, db| {
                    let moved = db.map_or(Dag::ZERO, |db| dag.mul(whole, db));
                    dag.sub(da.unwrap_or(Dag::ZERO), moved)
                });
            }
            BinaryOp::Atan2 => {
                let (aa, bb) = (dag.powi(a, 2), dag.powi(b, 2));
                let below = dag.add(aa, bb);
                let is_origin = dag.compare(Compare::Eq, below, Dag::ZERO);
                self.two(dag, a, b, |dag, da, db| {
                    let left = da.map_or(Dag::ZERO, |da| dag.mul(b, da));
                    let right = db.map_or(Dag::ZERO, |db| dag.mul(a, db));
                    let above = dag.sub(left, right);
                    let slope = dag.div(above, below);
                    dag.select(is_origin, Dag::ZERO, slope)
                });
            }
            BinaryOp::And | BinaryOp::Or => {}
        }
    }

    /// a^b: the slopes are built only for the arguments that vary.
    fn power(&mut self, dag: &mut Dag, id: NodeId, a: NodeId, b: NodeId) {
        let at_zero = dag.compare(Compare::Eq, a, Dag::ZERO);
        let by_base = (!self.list(a).is_empty()).then(|| {
            let less = dag.sub(b, Dag::ONE);
            let power = dag.pow(a, less);
            let slope = dag.mul(b, power);
            // 0 · 0^(−1) is the slope of a constant.
            let no_exponent = dag.compare(Compare::Eq, b, Dag::ZERO);
            let is_constant = dag.binary(BinaryOp::And, at_zero, no_exponent);
            dag.select(is_constant, Dag::ZERO, slope)
        });
        let below_one = dag.compare(Compare::Lt, b, Dag::ONE);
        let is_singular = dag.binary(BinaryOp::And, at_zero, below_one);
        let by_exponent = (!self.list(b).is_empty()).then(|| {
            let log = dag.unary(UnaryOp::Ln, a);
            let slope = dag.mul(id, log);
            let is_positive = dag.compare(Compare::Lt, Dag::ZERO, a);
            dag.select(is_positive, slope, Dag::ZERO)
        });
        self.two(dag, a, b, |dag, da, db| {
            let left = by_base.zip(da).map_or(Dag::ZERO, |(slope, da)| {
                let product = dag.mul(slope, da);
                unless_still(dag, is_singular, da, product)
            });
            let right = by_exponent.zip(db).map_or(Dag::ZERO, |(slope, db)| dag.mul(slope, db));
            dag.add(left, right)
        });
    }
}

/// `derivative`, but 0 where it is singular and its argument does not move: 0/0 and 0·∞ stand for 0 there. An argument
/// that always moves needs no such choice.
fn unless_still(dag: &mut Dag, is_singular: NodeId, da: NodeId, derivative: NodeId) -> NodeId {
    if cannot_vanish(dag, da) {
        return derivative;
    }
    let is_still = dag.compare(Compare::Eq, da, Dag::ZERO);
    let both = dag.binary(BinaryOp::And, is_singular, is_still);
    dag.select(both, Dag::ZERO, derivative)
}

/// True where a node is never zero at finite values of its leaves: a constant over, or a negative power of, whatever
/// has a value at all, and products of such. An exponential is not among them, for it underflows soon.
fn cannot_vanish(dag: &Dag, id: NodeId) -> bool {
    let mut stack = vec![id];
    while let Some(id) = stack.pop() {
        match dag.node(id) {
            Node::Const(bits) => {
                if f64::from_bits(bits) == 0.0 {
                    return false;
                }
            }
            // A quotient is as far from zero as its numerator; its denominator is finite.
            Node::Binary(BinaryOp::Div, above, _) => stack.push(above),
            Node::Binary(BinaryOp::Mul, a, b) => stack.extend([a, b]),
            Node::PowI(a, n) => {
                if n >= 0 {
                    stack.push(a);
                }
            }
            Node::Sum(sum) => match dag.terms(sum) {
                [only] => stack.push(only.node),
                _ => return false,
            },
            Node::Unary(UnaryOp::Cosh, _) => {}
            Node::Leaf(_) | Node::Unary(..) | Node::Binary(..) | Node::Compare(..) | Node::Select { .. } => {
                return false;
            }
        }
    }
    true
}

/// True where a divisor is, or adds, an exponential that may overflow.
fn has_exponential(dag: &Dag, b: NodeId) -> bool {
    let is = |id| matches!(dag.node(id), Node::Unary(UnaryOp::Exp | UnaryOp::Sinh | UnaryOp::Cosh, _));
    match dag.node(b) {
        Node::Sum(sum) => dag.terms(sum).iter().any(|term| is(term.node)),
        _ => is(b),
    }
}
