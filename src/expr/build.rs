//! The constructors of expression nodes: they fold constants, drop neutral elements and simplify.
//!
//! What each simplification does to a value, with ε = 2⁻⁵² (overflow and the sign of a zero aside):
//!
//! | rule | change |
//! |---|---|
//! | folding of constants; `a+0`, `1·a`, `a/1`, `a^1`, `−(−a)` | none |
//! | `(±2^k a)·b = ±2^k (a·b)`, the same for quotients; `a/±2^k` as a product | none |
//! | `a·a = a^2`, `a·a^2 = a^3`, `(−a)^n = ±a^n` | none |
//! | `(b−a)^n = (a−b)^n` for even n, where the right side is there already | none |
//! | `a^m·a^n = a^(m+n)`, `(a^m)^n = a^(m n)` | at most one rounding (relative ε/2) per multiplication |
//! | repeated terms of one sum add up their coefficients | at most ε · Σ \|terms\| per repetition |
//! | `abs(abs(a))`, `abs(−a)`, `sign(sign(a))`, `floor`/`ceil` of whole numbers | none |
//! | `min(a,a)`, `max(a,a)`, `a < a`, `not not c`, `not (a == b)`, `c and c`, choices decided or equal | none |
//! | `0·a`, `0/a`, `a − a` are 0, `1^a` is 1 | an infinite or undefined `a` does not show |
//! | `a^0.5` is a square root | none but for −∞ |
//!
//! Deliberately absent: sums are never reordered or flattened (that would change roundings), `a/a`, `exp(ln a)` and
//! `sqrt(a)^2` are not touched (they would hide undefined values). Commutative operands of products are ordered by
//! id, which changes no bit of the result.

use super::dag::{Dag, Leaf, Node, NodeId, Term};
use super::ops::{BinaryOp, Compare, UnaryOp, powi};

/// Integer exponents beyond this stay real powers.
const MAX_INTEGER_EXPONENT: i32 = 64;

impl Dag {
    /// A constant. −0 is stored as 0.
    pub fn constant(&mut self, value: f64) -> NodeId {
        let value = if value == 0.0 { 0.0 } else { value };
        self.intern(Node::Const(value.to_bits()))
    }

    /// A variable.
    pub fn leaf(&mut self, leaf: Leaf) -> NodeId {
        self.intern(Node::Leaf(leaf))
    }

    /// Σ coefficient · node in the order given; repeated nodes are added up at their first place.
    ///
    /// Costs O(n log n). Build a long sum by one call: nested additions make nested sums.
    pub fn sum(&mut self, terms: &[(f64, NodeId)]) -> NodeId {
        let mut list = std::mem::take(&mut self.scratch);
        list.clear();
        list.extend(terms.iter().map(|&(coefficient, node)| match self.as_const(node) {
            Some(value) => Term { coefficient: coefficient * value, node: Self::ONE },
            None => self.merge_coefficient(coefficient, node),
        }));
        add_up_repeated(&mut list);
        list.retain(|t| t.coefficient != 0.0);
        let id = match list.as_slice() {
            [] => Self::ZERO,
            [t] if t.node == Self::ONE => self.constant(t.coefficient),
            [t] if t.coefficient == 1.0 => t.node,
            _ => self.intern_sum(&list),
        };
        self.scratch = list;
        id
    }

    /// A one-term sum `c · a` as a term folds its coefficient into the outer one where that is exact.
    fn merge_coefficient(&self, coefficient: f64, node: NodeId) -> Term {
        match self.as_scaled(node) {
            Some((inner, a)) if is_exact_factor(inner) || is_exact_factor(coefficient) => {
                Term { coefficient: coefficient * inner, node: a }
            }
            _ => Term { coefficient, node },
        }
    }

    /// `(c, a)` of a one-term sum `c · a`.
    pub fn as_scaled(&self, id: NodeId) -> Option<(f64, NodeId)> {
        match self.node(id) {
            Node::Sum(sum) => match self.terms(sum) {
                [t] => Some((t.coefficient, t.node)),
                _ => None,
            },
            _ => None,
        }
    }

    /// `±2^k · a` apart; any other node is `1 · a`.
    fn split_exact_factor(&self, id: NodeId) -> (f64, NodeId) {
        match self.as_scaled(id) {
            Some((c, a)) if is_exact_factor(c) => (c, a),
            _ => (1.0, id),
        }
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
        if c == 1.0 { a } else { self.sum(&[(c, a)]) }
    }

    /// `a · b`
    pub fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) => self.constant(x * y),
            (Some(0.0), _) | (_, Some(0.0)) => Self::ZERO,
            (Some(x), None) => self.scale(x, b),
            (None, Some(y)) => self.scale(y, a),
            (None, None) => {
                let ((ca, a), (cb, b)) = (self.split_exact_factor(a), self.split_exact_factor(b));
                let product = self.mul_plain(a, b);
                self.scale(ca * cb, product)
            }
        }
    }

    /// The product of two nodes that are neither constant nor scaled: powers of one base join.
    fn mul_plain(&mut self, a: NodeId, b: NodeId) -> NodeId {
        let ((base_a, m), (base_b, n)) = (self.as_power(a), self.as_power(b));
        if base_a == base_b && m > 0 && n > 0 && m.saturating_add(n) <= MAX_INTEGER_EXPONENT {
            return self.powi(base_a, m + n);
        }
        self.intern(Node::Binary(BinaryOp::Mul, a.min(b), a.max(b)))
    }

    /// `a^n` apart; any other node is `a^1`.
    fn as_power(&self, id: NodeId) -> (NodeId, i32) {
        match self.node(id) {
            Node::PowI(a, n) => (a, n),
            _ => (id, 1),
        }
    }

    /// `a / b`. A division by the constant 0 stays, and gives ±∞ or not-a-number.
    pub fn div(&mut self, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) if y != 0.0 => self.constant(x / y),
            (Some(0.0), None) => Self::ZERO,
            (_, Some(1.0)) => a,
            (_, Some(y)) if is_exact_factor(y) => self.scale(1.0 / y, a),
            _ => {
                let ((ca, a), (cb, b)) = (self.split_exact_factor(a), self.split_exact_factor(b));
                let factor = ca / cb;
                match self.as_const(a) {
                    Some(x) => {
                        let a = self.constant(factor * x);
                        self.intern(Node::Binary(BinaryOp::Div, a, b))
                    }
                    None => {
                        let quotient = self.intern(Node::Binary(BinaryOp::Div, a, b));
                        self.scale(factor, quotient)
                    }
                }
            }
        }
    }

    /// `a^n`
    pub fn powi(&mut self, a: NodeId, n: i32) -> NodeId {
        if let Some(x) = self.as_const(a) {
            return self.constant(powi(x, n));
        }
        match n {
            0 => return Self::ONE,
            1 => return a,
            -1 => return self.div(Self::ONE, a),
            _ => {}
        }
        if let (base, m) = self.as_power(a)
            && let Some(product) = m.checked_mul(n)
            && m != 1
            && product.unsigned_abs() <= MAX_INTEGER_EXPONENT.unsigned_abs()
        {
            return self.powi(base, product);
        }
        match self.as_scaled(a) {
            Some((-1.0, inner)) => {
                let power = self.intern(Node::PowI(inner, n));
                if n % 2 == 0 { power } else { self.neg(power) }
            }
            _ if n % 2 == 0 => self.mirrored_power(a, n).unwrap_or_else(|| self.intern(Node::PowI(a, n))),
            _ => self.intern(Node::PowI(a, n)),
        }
    }

    /// The even power, if it is there, of what has the same bits as a sum `a` of two terms but for the sign: its negative, and
    /// both with their terms exchanged.
    fn mirrored_power(&self, a: NodeId, n: i32) -> Option<NodeId> {
        let Node::Sum(sum) = self.node(a) else { return None };
        let &[s, t] = self.terms(sum) else { return None };
        let minus = |term: Term| Term { coefficient: -term.coefficient, ..term };
        let mirrored = [[minus(t), minus(s)], [minus(s), minus(t)], [t, s]];
        mirrored.iter().find_map(|list| self.known(Node::PowI(self.known_sum(list)?, n)))
    }

    /// `a^b`; constant integer exponents up to 64 become [`Node::PowI`], one half becomes a square root.
    pub fn pow(&mut self, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) => self.constant(x.powf(y)),
            (_, Some(y)) if y.fract() == 0.0 && y.abs() <= f64::from(MAX_INTEGER_EXPONENT) => self.powi(a, y as i32),
            (_, Some(0.5)) => self.unary(UnaryOp::Sqrt, a),
            (Some(1.0), _) => Self::ONE,
            _ => self.intern(Node::Binary(BinaryOp::Pow, a, b)),
        }
    }

    /// A function of one argument.
    pub fn unary(&mut self, op: UnaryOp, a: NodeId) -> NodeId {
        if let Some(x) = self.as_const(a) {
            return self.constant(op.apply(x));
        }
        let inner = self.node(a);
        match op {
            UnaryOp::Abs => match (inner, self.as_scaled(a)) {
                (Node::Unary(UnaryOp::Abs, _), _) => a,
                (_, Some((-1.0, b))) => self.unary(UnaryOp::Abs, b),
                _ => self.intern(Node::Unary(op, a)),
            },
            UnaryOp::Sign if matches!(inner, Node::Unary(UnaryOp::Sign, _)) => a,
            UnaryOp::Floor | UnaryOp::Ceil
                if self.is_truth(a)
                    || matches!(inner, Node::Unary(UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Sign, _)) =>
            {
                a
            }
            UnaryOp::Not => match inner {
                Node::Unary(UnaryOp::Not, b) if self.is_truth(b) => b,
                Node::Compare(Compare::Eq, x, y) => self.compare(Compare::Ne, x, y),
                Node::Compare(Compare::Ne, x, y) => self.compare(Compare::Eq, x, y),
                _ => self.intern(Node::Unary(op, a)),
            },
            UnaryOp::Exp
            | UnaryOp::Ln
            | UnaryOp::Log10
            | UnaryOp::Sqrt
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Asin
            | UnaryOp::Acos
            | UnaryOp::Atan
            | UnaryOp::Sinh
            | UnaryOp::Cosh
            | UnaryOp::Tanh
            | UnaryOp::Sign
            | UnaryOp::Floor
            | UnaryOp::Ceil => self.intern(Node::Unary(op, a)),
        }
    }

    /// True where the node's value is always 1 or 0.
    pub fn is_truth(&self, id: NodeId) -> bool {
        match self.node(id) {
            Node::Compare(..)
            | Node::Unary(UnaryOp::Not, _)
            | Node::Binary(BinaryOp::And | BinaryOp::Or, _, _)
            | Node::Const(0) => true,
            Node::Const(_) => id == Self::ONE,
            Node::Leaf(_) | Node::Unary(..) | Node::Binary(..) | Node::PowI(..) | Node::Sum(_) => false,
            Node::Select { .. } => false,
        }
    }

    /// A function of two arguments; arithmetic goes through the simplifying constructors.
    pub fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> NodeId {
        if let (Some(x), Some(y)) = (self.as_const(a), self.as_const(b))
            && !matches!(op, BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow)
        {
            return self.constant(op.apply(x, y));
        }
        match op {
            BinaryOp::Mul => self.mul(a, b),
            BinaryOp::Div => self.div(a, b),
            BinaryOp::Pow => self.pow(a, b),
            BinaryOp::Min | BinaryOp::Max if a == b => a,
            BinaryOp::And | BinaryOp::Or => {
                let absorbing = op == BinaryOp::Or;
                for (x, other) in [(a, b), (b, a)] {
                    match self.as_const(x) {
                        Some(value) if (value != 0.0) == absorbing => return self.constant(f64::from(absorbing)),
                        Some(_) if self.is_truth(other) => return other,
                        _ => {}
                    }
                }
                if a == b && self.is_truth(a) { a } else { self.intern(Node::Binary(op, a, b)) }
            }
            BinaryOp::Min | BinaryOp::Max | BinaryOp::Mod | BinaryOp::Atan2 => self.intern(Node::Binary(op, a, b)),
        }
    }

    /// A node of the graph `other` again, in this one, by the constructors: `at` tells where its operands are here.
    pub fn rebuild(&mut self, other: &Dag, node: Node, at: impl Fn(NodeId) -> NodeId) -> NodeId {
        match node {
            Node::Const(bits) => self.constant(f64::from_bits(bits)),
            Node::Leaf(leaf) => self.leaf(leaf),
            Node::Unary(op, a) => self.unary(op, at(a)),
            Node::Binary(op, a, b) => self.binary(op, at(a), at(b)),
            Node::PowI(a, n) => self.powi(at(a), n),
            Node::Sum(sum) => {
                let terms: Vec<(f64, NodeId)> = other.terms(sum).iter().map(|t| (t.coefficient, at(t.node))).collect();
                self.sum(&terms)
            }
            Node::Compare(op, a, b) => self.compare(op, at(a), at(b)),
            Node::Select { condition, then, otherwise } => self.select(at(condition), at(then), at(otherwise)),
        }
    }

    /// A comparison.
    pub fn compare(&mut self, op: Compare, a: NodeId, b: NodeId) -> NodeId {
        match (self.as_const(a), self.as_const(b)) {
            (Some(x), Some(y)) => self.constant(f64::from(op.apply(x, y))),
            _ if a == b && op == Compare::Lt => Self::ZERO,
            _ => self.intern(Node::Compare(op, a, b)),
        }
    }

    /// `if condition then a else b`; a condition other than 0 counts as true.
    pub fn select(&mut self, condition: NodeId, then: NodeId, otherwise: NodeId) -> NodeId {
        match (self.as_const(condition), self.node(condition)) {
            (Some(c), _) => {
                if c != 0.0 {
                    then
                } else {
                    otherwise
                }
            }
            (None, _) if then == otherwise => then,
            (None, Node::Unary(UnaryOp::Not, inner)) => self.select(inner, otherwise, then),
            _ => self.intern(Node::Select { condition, then, otherwise }),
        }
    }
}

/// ±2^k with |k| ≤ 64: multiplying by it rounds nothing.
fn is_exact_factor(c: f64) -> bool {
    const MANTISSA: u64 = (1 << 52) - 1;
    let exponent = c.to_bits() >> 52 & 0x7ff;
    c.to_bits() & MANTISSA == 0 && (1023 - 64..=1023 + 64).contains(&exponent)
}

/// Adds the coefficients of each node's later terms to its first one, and leaves 0 in the later ones.
fn add_up_repeated(list: &mut [Term]) {
    // Below this length looking at all pairs is faster than sorting.
    if list.len() <= 16 {
        for i in 1..list.len() {
            if let Some(first) = (0..i).find(|&j| list[j].node == list[i].node) {
                list[first].coefficient += std::mem::take(&mut list[i].coefficient);
            }
        }
        return;
    }
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|&i| list[i].node);
    let mut first = order[0];
    for &i in &order[1..] {
        if list[i].node == list[first].node {
            list[first].coefficient += std::mem::take(&mut list[i].coefficient);
        } else {
            first = i;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Env, Interpreter};

    /// A graph with two states a and b.
    fn graph() -> (Dag, NodeId, NodeId) {
        let mut dag = Dag::new();
        let (a, b) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::State(1)));
        (dag, a, b)
    }

    fn value(dag: &Dag, id: NodeId, a: f64, b: f64) -> f64 {
        let env = Env { t: 0.0, x: &[a, b], u: &[], d: &[], p: &[], dx: &[], dt: 0.0 };
        Interpreter::new(dag, &[id]).values(&env)[0]
    }

    /// Pairs of different size and sign, none special.
    const POINTS: [(f64, f64); 6] =
        [(1.7, 0.3), (-2.1, 4.4), (3.3e5, -7.1e-7), (-0.11, -9.3), (6.1e-200, 3.7), (1e9, 1.1e-9)];

    /// The node has the same bits as the plain computation.
    fn is_exact(dag: &Dag, id: NodeId, plain: impl Fn(f64, f64) -> f64) {
        for (a, b) in POINTS {
            assert_eq!(value(dag, id, a, b).to_bits(), plain(a, b).to_bits(), "at ({a}, {b})");
        }
    }

    /// The node is within `ulps` half-epsilons of the plain computation.
    fn is_within(dag: &Dag, id: NodeId, roundings: f64, plain: impl Fn(f64, f64) -> f64) {
        for (a, b) in POINTS {
            let (got, want) = (value(dag, id, a, b), plain(a, b));
            assert!((got - want).abs() <= roundings * f64::EPSILON / 2.0 * want.abs() || got == want, "{got} {want}");
        }
    }

    #[test]
    fn constants_fold_to_the_bits_of_the_operation() {
        let mut dag = Dag::new();
        let (x, y) = (dag.constant(0.3), dag.constant(-1.7));
        let folded = |dag: &Dag, id: NodeId| dag.as_const(id).map(f64::to_bits);
        let sum = dag.sum(&[(2.0, x), (0.7, y)]);
        assert_eq!(folded(&dag, sum), Some((2.0 * 0.3 + 0.7 * -1.7f64).to_bits()));
        let product = dag.mul(x, y);
        assert_eq!(folded(&dag, product), Some((0.3 * -1.7f64).to_bits()));
        let quotient = dag.div(x, y);
        assert_eq!(folded(&dag, quotient), Some((0.3 / -1.7f64).to_bits()));
        let sine = dag.unary(UnaryOp::Sin, x);
        assert_eq!(folded(&dag, sine), Some(0.3f64.sin().to_bits()));
        let modulo = dag.binary(BinaryOp::Mod, y, x);
        assert_eq!(folded(&dag, modulo), Some(BinaryOp::Mod.apply(-1.7, 0.3).to_bits()));
        let less = dag.compare(Compare::Lt, y, x);
        assert_eq!(less, Dag::ONE);
        let power = dag.powi(y, 3);
        assert_eq!(folded(&dag, power), Some((-1.7f64 * (-1.7 * -1.7)).to_bits()));
    }

    #[test]
    fn division_by_the_constant_zero_is_not_folded() {
        let (mut dag, a, _) = graph();
        let zero_over_zero = dag.div(Dag::ZERO, Dag::ZERO);
        assert!(value(&dag, zero_over_zero, 1.0, 1.0).is_nan());
        let over_zero = dag.div(a, Dag::ZERO);
        assert_eq!(value(&dag, over_zero, 2.0, 1.0), f64::INFINITY);
    }

    #[test]
    fn neutral_elements_vanish() {
        let (mut dag, a, b) = graph();
        assert_eq!(dag.add(a, Dag::ZERO), a);
        assert_eq!(dag.mul(a, Dag::ONE), a);
        assert_eq!(dag.div(a, Dag::ONE), a);
        assert_eq!(dag.powi(a, 1), a);
        assert_eq!(dag.powi(a, 0), Dag::ONE);
        assert_eq!(dag.mul(a, Dag::ZERO), Dag::ZERO);
        assert_eq!(dag.sub(a, a), Dag::ZERO);
        let minus = dag.neg(a);
        assert_eq!(dag.neg(minus), a);
        assert_eq!(dag.select(Dag::ONE, a, b), a);
        assert_eq!(dag.select(Dag::ZERO, a, b), b);
        let less = dag.compare(Compare::Lt, a, b);
        assert_eq!(dag.select(less, a, a), a);
    }

    #[test]
    fn undefined_values_are_not_hidden_by_inverse_functions() {
        let (mut dag, a, _) = graph();
        let quotient = dag.div(a, a);
        assert!(value(&dag, quotient, 0.0, 0.0).is_nan());
        let log = dag.unary(UnaryOp::Ln, a);
        let exp = dag.unary(UnaryOp::Exp, log);
        assert!(value(&dag, exp, -1.0, 0.0).is_nan());
        let root = dag.unary(UnaryOp::Sqrt, a);
        let square = dag.mul(root, root);
        assert!(value(&dag, square, -1.0, 0.0).is_nan());
    }

    #[test]
    fn signs_and_powers_of_two_leave_products_without_rounding() {
        let (mut dag, a, b) = graph();
        let (minus_a, half_b, third_a) = (dag.neg(a), dag.scale(0.5, b), dag.scale(0.3, a));
        let plain = dag.mul(a, b);
        let product = dag.mul(minus_a, half_b);
        assert_eq!(dag.as_scaled(product), Some((-0.5, plain)));
        is_exact(&dag, product, |a, b| -a * (0.5 * b));
        let quotient = dag.div(minus_a, half_b);
        is_exact(&dag, quotient, |a, b| -a / (0.5 * b));
        let eighth = dag.constant(-8.0);
        let over_eight = dag.div(a, eighth);
        assert_eq!(dag.as_scaled(over_eight), Some((-0.125, a)));
        is_exact(&dag, over_eight, |a, _| a / -8.0);
        let three = dag.constant(3.0);
        let over_three = dag.div(a, three);
        is_exact(&dag, over_three, |a, _| a / 3.0);
        let one_over = dag.div(Dag::ONE, half_b);
        is_exact(&dag, one_over, |_, b| 1.0 / (0.5 * b));
        // Rounding would change here, so the coefficient stays inside.
        let kept = dag.mul(third_a, b);
        is_exact(&dag, kept, |a, b| (0.3 * a) * b);
        let twice = dag.scale(0.7, third_a);
        is_exact(&dag, twice, |a, _| 0.7 * (0.3 * a));
    }

    #[test]
    fn products_of_one_base_are_powers() {
        let (mut dag, a, b) = graph();
        let square = dag.mul(a, a);
        assert_eq!(square, dag.powi(a, 2));
        is_exact(&dag, square, |a, _| a * a);
        let cube = dag.mul(square, a);
        assert_eq!(cube, dag.powi(a, 3));
        is_exact(&dag, cube, |a, _| a * (a * a));
        let fifth = dag.mul(square, cube);
        is_within(&dag, fifth, 5.0, |a, _| (a * a) * (a * (a * a)));
        let nested = dag.powi(square, 3);
        assert_eq!(nested, dag.powi(a, 6));
        is_within(&dag, nested, 6.0, |a, _| powi(a * a, 3));
        let minus_b = dag.neg(b);
        let (even, odd) = (dag.powi(minus_b, 4), dag.powi(minus_b, 3));
        is_exact(&dag, even, |_, b| powi(-b, 4));
        is_exact(&dag, odd, |_, b| powi(-b, 3));
        let inverse = dag.powi(b, -1);
        assert_eq!(inverse, dag.div(Dag::ONE, b));
        dag.powi(a, i32::MIN);
    }

    #[test]
    fn even_powers_of_differences_do_not_ask_for_the_order() {
        let (mut dag, a, b) = graph();
        let (there, back) = (dag.sum(&[(1.0, a), (-0.3, b)]), dag.sum(&[(0.3, b), (-1.0, a)]));
        let square = dag.powi(there, 2);
        assert_eq!(dag.mul(back, back), square);
        let (minus, exchanged) = (dag.sum(&[(-1.0, a), (0.3, b)]), dag.sum(&[(-0.3, b), (1.0, a)]));
        assert_eq!((dag.powi(minus, 2), dag.powi(exchanged, 2)), (square, square));
        is_exact(&dag, square, |a, b| (0.3 * b - a) * (0.3 * b - a));
        let (cube, other_cube) = (dag.powi(there, 3), dag.powi(back, 3));
        assert_ne!(cube, other_cube);
        is_exact(&dag, other_cube, |a, b| powi(0.3 * b - a, 3));
        let other = dag.sum(&[(1.0, a), (0.3, b)]);
        assert_ne!(dag.powi(other, 2), square);
    }

    #[test]
    fn sums_add_up_repeated_terms_and_keep_their_order() {
        let (mut dag, a, b) = graph();
        let sum = dag.sum(&[(1.0, b), (0.3, a), (1.0, Dag::ONE), (0.4, b), (2.0, Dag::ONE)]);
        is_exact(&dag, sum, |a, b| (1.0 + 0.4) * b + 0.3 * a + 3.0);
        let many: Vec<(f64, NodeId)> = (0..40).map(|k| (f64::from(k), if k % 2 == 0 { b } else { a })).collect();
        let long = dag.sum(&many);
        is_exact(&dag, long, |a, b| 380.0 * b + 400.0 * a);
        let cancelled: Vec<(f64, NodeId)> = many.iter().map(|&(_, node)| (1.0, node)).collect();
        let minus = [&cancelled[..], &[(-20.0, a), (-20.0, b)]].concat();
        assert_eq!(dag.sum(&minus), Dag::ZERO);
    }

    #[test]
    fn idempotent_functions_and_logic_fold_exactly() {
        let (mut dag, a, b) = graph();
        let minus_a = dag.neg(a);
        let abs = dag.unary(UnaryOp::Abs, a);
        assert_eq!(dag.unary(UnaryOp::Abs, abs), abs);
        assert_eq!(dag.unary(UnaryOp::Abs, minus_a), abs);
        let floor = dag.unary(UnaryOp::Floor, a);
        assert_eq!(dag.unary(UnaryOp::Ceil, floor), floor);
        let sign = dag.unary(UnaryOp::Sign, a);
        assert_eq!(dag.unary(UnaryOp::Sign, sign), sign);
        assert_eq!(dag.binary(BinaryOp::Min, a, a), a);
        assert_eq!(dag.binary(BinaryOp::Max, a, a), a);
        let (less, equal) = (dag.compare(Compare::Lt, a, b), dag.compare(Compare::Eq, a, b));
        let not_less = dag.unary(UnaryOp::Not, less);
        assert_eq!(dag.unary(UnaryOp::Not, not_less), less);
        assert_eq!(dag.unary(UnaryOp::Not, equal), dag.compare(Compare::Ne, a, b));
        assert_eq!(dag.binary(BinaryOp::And, less, less), less);
        assert_eq!(dag.binary(BinaryOp::And, less, Dag::ONE), less);
        assert_eq!(dag.binary(BinaryOp::And, less, Dag::ZERO), Dag::ZERO);
        assert_eq!(dag.binary(BinaryOp::Or, Dag::ZERO, less), less);
        assert_eq!(dag.binary(BinaryOp::Or, less, Dag::ONE), Dag::ONE);
        assert_eq!(dag.compare(Compare::Lt, a, a), Dag::ZERO);
        let chosen = dag.select(not_less, a, b);
        assert_eq!(chosen, dag.select(less, b, a));
        // A number that is not a truth value must become one: these do not fold.
        let not_a = dag.unary(UnaryOp::Not, a);
        let twice = dag.unary(UnaryOp::Not, not_a);
        is_exact(&dag, twice, |_, _| 1.0);
        let both = dag.binary(BinaryOp::And, a, a);
        is_exact(&dag, both, |_, _| 1.0);
        let not_a_number = f64::NAN;
        assert_eq!(value(&dag, chosen, not_a_number, 2.0).to_bits(), not_a_number.to_bits());
    }

    #[test]
    fn real_powers_become_products_and_roots() {
        let (mut dag, a, b) = graph();
        let (half, four, other) = (dag.constant(0.5), dag.constant(4.0), dag.constant(1.5));
        assert_eq!(dag.pow(a, half), dag.unary(UnaryOp::Sqrt, a));
        assert_eq!(dag.pow(a, four), dag.powi(a, 4));
        assert_eq!(dag.pow(Dag::ONE, b), Dag::ONE);
        let power = dag.pow(b, other);
        assert_eq!(value(&dag, power, 0.0, 2.0), 2f64.powf(1.5));
    }
}
