//! The interpreter: a list of roots to their values, over `f64` and over the dual numbers of `num-dual`.
//!
//! Over `f64` it is the oracle of every compiled kernel: each operation is exactly [`UnaryOp::apply`],
//! [`BinaryOp::apply`] or [`powi`](super::ops::powi), and a sum is `c0·v0`, then `+ c1·v1`, and so on from left to
//! right. Over dual numbers it is the oracle of every derivative; conditionals, comparisons, `min`, `max` and `abs`
//! branch on the real part, by the same conventions as [`super::diff`].
//!
//! [`Interpreter::eval_with_scale`] carries beside each value the scale of its rounding errors; see [`super::scale`]
//! for its definition.

use super::dag::{Dag, Leaf, Node, NodeId};
use super::ops::{BinaryOp, Compare, UnaryOp};
use num_dual::DualNum;

/// The point of an evaluation. A leaf beyond the end of its slice is not-a-number.
#[derive(Debug, Clone, Copy)]
pub struct Env<'a, T> {
    /// t
    pub t: T,
    /// States.
    pub x: &'a [T],
    /// Inputs.
    pub u: &'a [T],
    /// Disturbances.
    pub d: &'a [T],
    /// Parameters.
    pub p: &'a [T],
    /// The direction in x; empty where no root has one.
    pub dx: &'a [T],
    /// The direction in t.
    pub dt: T,
}

/// One node with its operands as places in the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Const(f64),
    Leaf(Leaf),
    Unary(UnaryOp, usize),
    Binary(BinaryOp, usize, usize),
    PowI(usize, i32),
    Sum { start: usize, end: usize },
    Compare(Compare, usize, usize),
    Select(usize, usize, usize),
}

/// A program that evaluates some roots of a graph; it keeps no reference to the graph.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// In topological order; step k writes place k of the buffer.
    pub(super) steps: Vec<Step>,
    /// `(coefficient, place)` of all sums.
    pub(super) terms: Vec<(f64, usize)>,
    roots: Vec<usize>,
}

impl Interpreter {
    /// The program of `roots` and everything they depend on.
    pub fn new(dag: &Dag, roots: &[NodeId]) -> Self {
        let order = dag.reachable(roots);
        let mut places = vec![usize::MAX; order.last().map_or(0, |last| last.0 as usize + 1)];
        let mut steps = Vec::with_capacity(order.len());
        let mut terms = Vec::new();
        for (place, &id) in order.iter().enumerate() {
            places[id.0 as usize] = place;
            let at = |operand: NodeId| places[operand.0 as usize];
            steps.push(match dag.node(id) {
                Node::Const(bits) => Step::Const(f64::from_bits(bits)),
                Node::Leaf(leaf) => Step::Leaf(leaf),
                Node::Unary(op, a) => Step::Unary(op, at(a)),
                Node::Binary(op, a, b) => Step::Binary(op, at(a), at(b)),
                Node::PowI(a, n) => Step::PowI(at(a), n),
                Node::Sum(sum) => {
                    let start = terms.len();
                    terms.extend(dag.terms(sum).iter().map(|t| (t.coefficient, at(t.node))));
                    Step::Sum { start, end: terms.len() }
                }
                Node::Compare(op, a, b) => Step::Compare(op, at(a), at(b)),
                Node::Select { condition, then, otherwise } => Step::Select(at(condition), at(then), at(otherwise)),
            });
        }
        Interpreter { steps, terms, roots: roots.iter().map(|root| places[root.0 as usize]).collect() }
    }

    /// Number of roots, the length of `out`.
    pub fn n_roots(&self) -> usize {
        self.roots.len()
    }

    /// One more than the largest index among the leaves: every slice of this length is long enough.
    pub(super) fn n_leaves(&self) -> usize {
        let index = |step: &Step| match step {
            Step::Leaf(
                Leaf::State(k) | Leaf::Param(k) | Leaf::Input(k) | Leaf::Disturbance(k) | Leaf::Direction(k),
            ) => *k as usize + 1,
            _ => 0,
        };
        self.steps.iter().map(index).max().unwrap_or(0)
    }

    /// `out: n_roots` = the values of the roots. `buffer` is scratch, grown at the first call and reused.
    pub fn eval<T: DualNum<Primitive = f64> + Copy>(&self, env: &Env<'_, T>, buffer: &mut Vec<T>, out: &mut [T]) {
        self.run(env, buffer);
        for (value, &place) in out.iter_mut().zip(&self.roots) {
            *value = buffer[place];
        }
    }

    /// The values of the roots in a new vector.
    pub fn values<T: DualNum<Primitive = f64> + Copy>(&self, env: &Env<'_, T>) -> Vec<T> {
        let mut buffer = Vec::new();
        self.run(env, &mut buffer);
        self.roots.iter().map(|&place| buffer[place]).collect()
    }

    /// `out: n_roots` = the values, `scale: n_roots` = the scale of each value's rounding errors, at least its
    /// absolute value; defined in [`super::scale`]. `buffer` is scratch.
    pub fn eval_with_scale(&self, env: &Env<'_, f64>, buffer: &mut Vec<f64>, out: &mut [f64], scale: &mut [f64]) {
        self.run(env, buffer);
        let scales = self.scales(buffer);
        for (k, &place) in self.roots.iter().enumerate() {
            out[k] = buffer[place];
            scale[k] = scales[place];
        }
    }

    fn run<T: DualNum<Primitive = f64> + Copy>(&self, env: &Env<'_, T>, buffer: &mut Vec<T>) {
        buffer.clear();
        buffer.reserve(self.steps.len());
        for &step in &self.steps {
            let value = match step {
                Step::Const(value) => T::from(value),
                Step::Leaf(leaf) => env.leaf(leaf),
                Step::Unary(op, a) => unary(op, buffer[a]),
                Step::Binary(op, a, b) => binary(op, buffer[a], buffer[b]),
                Step::PowI(a, n) => power_of_integer(buffer[a], n),
                Step::Sum { start, end } => {
                    let mut terms = self.terms[start..end].iter().map(|&(c, place)| buffer[place] * c);
                    // A sum has at least one term.
                    let first = terms.next().unwrap_or_else(T::zero);
                    terms.fold(first, |sum, term| sum + term)
                }
                Step::Compare(op, a, b) => T::from(f64::from(op.apply(buffer[a].re(), buffer[b].re()))),
                Step::Select(c, a, b) => {
                    if buffer[c].re() != 0.0 {
                        buffer[a]
                    } else {
                        buffer[b]
                    }
                }
            };
            buffer.push(value);
        }
    }
}

impl<T: DualNum<Primitive = f64> + Copy> Env<'_, T> {
    /// The value of a leaf.
    pub fn leaf(&self, leaf: Leaf) -> T {
        let of = |slice: &[T], k: u32| slice.get(k as usize).copied().unwrap_or_else(|| T::from(f64::NAN));
        match leaf {
            Leaf::Time => self.t,
            Leaf::State(k) => of(self.x, k),
            Leaf::Param(k) => of(self.p, k),
            Leaf::Input(k) => of(self.u, k),
            Leaf::Disturbance(k) => of(self.d, k),
            Leaf::Direction(k) => of(self.dx, k),
            Leaf::DirectionTime => self.dt,
        }
    }
}

fn unary<T: DualNum<Primitive = f64> + Copy>(op: UnaryOp, x: T) -> T {
    match op {
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
        // Dual numbers take sinh/cosh, which overflows long after tanh has become ±1.
        UnaryOp::Tanh if x.re().abs() > 300.0 => T::from(x.re().tanh()),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Abs if x.re() > 0.0 => x,
        UnaryOp::Abs if x.re() < 0.0 => -x,
        UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Not => T::from(op.apply(x.re())),
    }
}

fn binary<T: DualNum<Primitive = f64> + Copy>(op: BinaryOp, x: T, y: T) -> T {
    match op {
        BinaryOp::Mul => x * y,
        BinaryOp::Div => x / y,
        BinaryOp::Pow => power(x, y),
        BinaryOp::Min if x.re() < y.re() => x,
        BinaryOp::Max if x.re() > y.re() => x,
        BinaryOp::Min | BinaryOp::Max => y,
        BinaryOp::Mod => x - y * (x.re() / y.re()).floor(),
        BinaryOp::Atan2 => angle(x, y),
        BinaryOp::And | BinaryOp::Or => T::from(op.apply(x.re(), y.re())),
    }
}

/// `x^n` by the products of [`super::ops::powi`].
fn power_of_integer<T: DualNum<Primitive = f64> + Copy>(x: T, n: i32) -> T {
    let mut rest = n.unsigned_abs();
    let mut square = x;
    let mut result = T::one();
    while rest != 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        rest >>= 1;
        if rest != 0 {
            square *= square;
        }
    }
    if n < 0 { T::one() / result } else { result }
}

/// `a^b`: the Taylor polynomial in the infinitesimal part of a, times exp(db ln a) for that of b where a > 0.
///
/// `num-dual`'s own `powd` is not-a-number at a = 0, and less accurate than the real power elsewhere.
fn power<T: DualNum<Primitive = f64> + Copy>(a: T, b: T) -> T {
    if T::NDERIV == 0 {
        return a.powd(b);
    }
    let (base, exponent) = (a.re(), b.re());
    let step = a - base;
    let mut result = T::from(base.powf(exponent));
    let mut binomial = 1.0;
    let mut infinitesimal = T::one();
    for k in 0..T::NDERIV {
        binomial *= (exponent - k as f64) / (k as f64 + 1.0);
        if binomial == 0.0 {
            break;
        }
        infinitesimal *= step;
        let slope = binomial * base.powf(exponent - k as f64 - 1.0);
        // A singular slope counts as the largest number, so that a part that is 0 stays 0.
        result += infinitesimal * if slope.is_infinite() { f64::MAX.copysign(slope) } else { slope };
    }
    if base > 0.0 { result * ((b - exponent) * a.ln()).exp() } else { result }
}

/// `atan2(a, b)`; derivatives come from the quotient that does not divide by the smaller argument, and are 0 at the
/// origin, where there are none.
fn angle<T: DualNum<Primitive = f64> + Copy>(a: T, b: T) -> T {
    if T::NDERIV == 0 {
        return a.atan2(b);
    }
    let part = if b.re().abs() >= a.re().abs() { (a / b).atan() } else { -(b / a).atan() };
    let value = a.re().atan2(b.re());
    if part.re().is_nan() { T::from(value) } else { part + (value - part.re()) }
}
