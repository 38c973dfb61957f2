//! The arena of expression nodes. Equal expressions have equal ids; ids ascend from operands to results.
//!
//! All additions are n-ary [`Node::Sum`]s of `coefficient · node`, evaluated from left to right in the order they
//! were first written; products and quotients are binary. Constructors fold constants and drop neutral elements. They
//! never reorder a sum; they add up the coefficients of a repeated term, and treat `0 · a` as 0 and `a − a` as 0
//! (so an infinite or undefined `a` does not show there). Commutative operands of products are ordered by id, which
//! changes no bit of the result.

use indexmap::IndexSet;

/// Index of a node; operands have smaller ids than their results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Index of the terms of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SumId(u32);

/// What an expression may depend on. Discrete states are states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leaf {
    /// t
    Time,
    /// x\[k\]
    State(u32),
    /// p\[k\]
    Param(u32),
    /// u\[k\]
    Input(u32),
    /// d\[k\]
    Disturbance(u32),
    /// Component k of a direction in x, of `System::jacobian_along`.
    Direction(u32),
    /// The direction's component in t.
    DirectionTime,
}

/// Functions of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum UnaryOp {
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
    /// Logical negation of a truth value.
    Not,
}

/// Functions of two arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Mul,
    Div,
    /// `a^b` with a real exponent.
    Pow,
    Min,
    Max,
    /// Floored modulo: the result has the sign of the divisor.
    Mod,
    Atan2,
    /// Of truth values.
    And,
    /// Of truth values.
    Or,
}

/// Comparisons; their results are truth values (1 or 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Compare {
    Lt,
    Le,
    Eq,
    Ne,
}

/// One node of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// The bits of an `f64`.
    Const(u64),
    /// A variable.
    Leaf(Leaf),
    /// A function of one argument.
    Unary(UnaryOp, NodeId),
    /// A function of two arguments.
    Binary(BinaryOp, NodeId, NodeId),
    /// `a^n` with |n| ≥ 2 or n = −1.
    PowI(NodeId, i32),
    /// Σ coefficient · node, left to right.
    Sum(SumId),
    /// A truth value.
    Compare(Compare, NodeId, NodeId),
    /// `if condition then a else b`
    Select { condition: NodeId, then: NodeId, otherwise: NodeId },
}

/// One term of a sum. A constant term is `value · 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The factor.
    pub coefficient: f64,
    /// The node it multiplies.
    pub node: NodeId,
}

/// The graph.
#[derive(Debug, Clone)]
pub struct Dag {
    nodes: IndexSet<Node>,
    sums: IndexSet<Box<[(u64, NodeId)]>>,
    terms: Vec<Box<[Term]>>,
}

impl Default for Dag {
    fn default() -> Self {
        Self::new()
    }
}

impl Dag {
    /// The constant 0.
    pub const ZERO: NodeId = NodeId(0);
    /// The constant 1.
    pub const ONE: NodeId = NodeId(1);

    /// A graph with the constants 0 and 1.
    pub fn new() -> Self {
        let mut dag = Dag { nodes: IndexSet::new(), sums: IndexSet::new(), terms: Vec::new() };
        dag.intern(Node::Const(0f64.to_bits()));
        dag.intern(Node::Const(1f64.to_bits()));
        dag
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: the constants 0 and 1 are always there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id.0 as usize]
    }

    /// The terms of a sum, in evaluation order.
    pub fn terms(&self, sum: SumId) -> &[Term] {
        &self.terms[sum.0 as usize]
    }

    /// The value of a constant node.
    pub fn as_const(&self, id: NodeId) -> Option<f64> {
        match self.node(id) {
            Node::Const(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Calls `visit` with each operand.
    pub fn for_each_operand(&self, id: NodeId, mut visit: impl FnMut(NodeId)) {
        match self.node(id) {
            Node::Const(_) | Node::Leaf(_) => {}
            Node::Unary(_, a) | Node::PowI(a, _) => visit(a),
            Node::Binary(_, a, b) | Node::Compare(_, a, b) => {
                visit(a);
                visit(b);
            }
            Node::Sum(sum) => self.terms(sum).iter().for_each(|t| visit(t.node)),
            Node::Select { condition, then, otherwise } => {
                visit(condition);
                visit(then);
                visit(otherwise);
            }
        }
    }

    fn intern(&mut self, node: Node) -> NodeId {
        NodeId(self.nodes.insert_full(node).0 as u32)
    }

    /// A constant.
    pub fn constant(&mut self, value: f64) -> NodeId {
        let value = if value == 0.0 { 0.0 } else { value };
        self.intern(Node::Const(value.to_bits()))
    }

    /// A variable.
    pub fn leaf(&mut self, leaf: Leaf) -> NodeId {
        self.intern(Node::Leaf(leaf))
    }

    /// Σ coefficient · node in the order given; repeated nodes are added up at their first place.
    pub fn sum(&mut self, terms: &[(f64, NodeId)]) -> NodeId {
        let mut list: Vec<Term> = Vec::with_capacity(terms.len());
        let mut index = std::collections::HashMap::new();
        for &(coefficient, node) in terms {
            let (coefficient, node) = match self.as_const(node) {
                Some(value) => (coefficient * value, Self::ONE),
                None => self.peel_coefficient(coefficient, node),
            };
            let known = if terms.len() <= 16 {
                list.iter().position(|t| t.node == node)
            } else {
                match index.entry(node) {
                    std::collections::hash_map::Entry::Occupied(e) => Some(*e.get()),
                    std::collections::hash_map::Entry::Vacant(e) => {
                        e.insert(list.len());
                        None
                    }
                }
            };
            match known {
                Some(i) => list[i].coefficient += coefficient,
                None => list.push(Term { coefficient, node }),
            }
        }
        list.retain(|t| t.coefficient != 0.0);
        match list.as_slice() {
            [] => Self::ZERO,
            [t] if t.node == Self::ONE => self.constant(t.coefficient),
            [t] if t.coefficient == 1.0 => t.node,
            _ => self.intern_sum(list),
        }
    }

    /// A single-term sum `c · a` used as a term folds its coefficient into the outer one.
    fn peel_coefficient(&self, coefficient: f64, node: NodeId) -> (f64, NodeId) {
        if let Node::Sum(sum) = self.node(node)
            && let [t] = self.terms(sum)
            && (t.coefficient == -1.0 || coefficient.abs() == 1.0)
        {
            return (coefficient * t.coefficient, t.node);
        }
        (coefficient, node)
    }

    fn intern_sum(&mut self, list: Vec<Term>) -> NodeId {
        let key: Box<[(u64, NodeId)]> = list.iter().map(|t| (t.coefficient.to_bits(), t.node)).collect();
        let (idx, is_new) = self.sums.insert_full(key);
        if is_new {
            self.terms.push(list.into_boxed_slice());
        }
        self.intern(Node::Sum(SumId(idx as u32)))
    }

    /// `a + b`
    pub fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.sum(&[(1.0, a), (1.0, b)])
    }

    /// `a − b`
    pub fn sub(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.sum(&[(1.0, a), (-1.0, b)])
    }

    /// `−a`
    pub fn neg(&mut self, a: NodeId) -> NodeId {
        self.sum(&[(-1.0, a)])
    }

    /// `c · a` as a one-term sum.
    pub fn scale(&mut self, c: f64, a: NodeId) -> NodeId {
        self.sum(&[(c, a)])
    }

    /// `a · b`
    pub fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) => self.constant(x * y),
            (Some(0.0), _) | (_, Some(0.0)) => Self::ZERO,
            (Some(x), None) => self.scale(x, b),
            (None, Some(y)) => self.scale(y, a),
            (None, None) => {
                let (a, b) = if a <= b { (a, b) } else { (b, a) };
                self.intern(Node::Binary(BinaryOp::Mul, a, b))
            }
        }
    }

    /// `a / b`
    pub fn div(&mut self, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if y != 0.0 => self.constant(x / y),
            (Some(0.0), _) => Self::ZERO,
            (_, Some(1.0)) => a,
            (_, Some(-1.0)) => self.neg(a),
            _ => self.intern(Node::Binary(BinaryOp::Div, a, b)),
        }
    }

    /// `a^n`
    pub fn powi(&mut self, a: NodeId, n: i32) -> NodeId {
        if let Some(x) = self.as_const(a) {
            return self.constant(powi(x, n));
        }
        match n {
            0 => Self::ONE,
            1 => a,
            _ => self.intern(Node::PowI(a, n)),
        }
    }

    /// `a^b`; constant integer exponents up to 64 become [`Node::PowI`], one half becomes a square root.
    pub fn pow(&mut self, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) => self.constant(x.powf(y)),
            (_, Some(y)) if y.fract() == 0.0 && y.abs() <= 64.0 => self.powi(a, y as i32),
            (_, Some(0.5)) => self.unary(UnaryOp::Sqrt, a),
            (Some(1.0), _) => Self::ONE,
            _ => self.intern(Node::Binary(BinaryOp::Pow, a, b)),
        }
    }

    /// A function of one argument.
    pub fn unary(&mut self, op: UnaryOp, a: NodeId) -> NodeId {
        match self.as_const(a) {
            Some(x) => self.constant(op.apply(x)),
            None => self.intern(Node::Unary(op, a)),
        }
    }

    /// A function of two arguments; arithmetic goes through the simplifying constructors.
    pub fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> NodeId {
        match op {
            BinaryOp::Mul => self.mul(a, b),
            BinaryOp::Div => self.div(a, b),
            BinaryOp::Pow => self.pow(a, b),
            BinaryOp::Min | BinaryOp::Max | BinaryOp::Mod | BinaryOp::Atan2 | BinaryOp::And | BinaryOp::Or => {
                match (self.as_const(a), self.as_const(b)) {
                    (Some(x), Some(y)) => self.constant(op.apply(x, y)),
                    _ => self.intern(Node::Binary(op, a, b)),
                }
            }
        }
    }

    /// A comparison.
    pub fn compare(&mut self, op: Compare, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) => self.constant(f64::from(op.apply(x, y))),
            _ => self.intern(Node::Compare(op, a, b)),
        }
    }

    /// `if condition then a else b`
    pub fn select(&mut self, condition: NodeId, then: NodeId, otherwise: NodeId) -> NodeId {
        match self.as_const(condition) {
            Some(c) if c != 0.0 => then,
            Some(_) => otherwise,
            None if then == otherwise => then,
            None => self.intern(Node::Select { condition, then, otherwise }),
        }
    }
}

/// `x^n` by repeated squaring, from the lowest bit of |n| up: the product starts at the lowest set bit's square and
/// takes each further one on its left; a negative exponent ends in one division 1/x^|n|. `x^0` is 1.
///
/// This order is part of the language's arithmetic: constant folding, the interpreter and the kernels share it, which
/// `f64::powi` would not allow (its order is the compiler's choice).
pub fn powi(x: f64, n: i32) -> f64 {
    let mut bits = n.unsigned_abs();
    let mut square = x;
    let mut product = None;
    while bits != 0 {
        if bits & 1 == 1 {
            product = Some(product.map_or(square, |p: f64| p * square));
        }
        bits >>= 1;
        if bits != 0 {
            square *= square;
        }
    }
    let product = product.unwrap_or(1.0);
    if n < 0 { 1.0 / product } else { product }
}

impl UnaryOp {
    /// The value on a plain number.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            UnaryOp::Exp => x.exp(),
            UnaryOp::Ln => x.ln(),
            UnaryOp::Log10 => x.log10(),
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            UnaryOp::Tan => x.tan(),
            UnaryOp::Asin => x.asin(),
            UnaryOp::Acos => x.acos(),
            UnaryOp::Atan => x.atan(),
            UnaryOp::Sinh => x.sinh(),
            UnaryOp::Cosh => x.cosh(),
            UnaryOp::Tanh => x.tanh(),
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sign => {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            }
            UnaryOp::Floor => x.floor(),
            UnaryOp::Ceil => x.ceil(),
            UnaryOp::Not => f64::from(x == 0.0),
        }
    }
}

impl BinaryOp {
    /// The value on plain numbers.
    pub fn apply(self, x: f64, y: f64) -> f64 {
        match self {
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Pow => x.powf(y),
            // As written, so that the compiled select gives the same bits for ties and not-a-number.
            BinaryOp::Min => {
                if x < y {
                    x
                } else {
                    y
                }
            }
            BinaryOp::Max => {
                if x > y {
                    x
                } else {
                    y
                }
            }
            BinaryOp::Mod => x - y * (x / y).floor(),
            BinaryOp::Atan2 => x.atan2(y),
            BinaryOp::And => f64::from(x != 0.0 && y != 0.0),
            BinaryOp::Or => f64::from(x != 0.0 || y != 0.0),
        }
    }
}

impl Compare {
    /// The truth value on plain numbers.
    pub fn apply(self, x: f64, y: f64) -> bool {
        match self {
            Compare::Lt => x < y,
            Compare::Le => x <= y,
            Compare::Eq => x == y,
            Compare::Ne => x != y,
        }
    }
}
