//! Expressions as sums of products of powers of atoms: the normal form in which [`super::simplify`] sees zeros.
//!
//! An atom is a node that is not taken apart: a leaf, a function, a denominator with several terms, or whatever the
//! caller calls opaque. Zero in this form means zero for every value of the atoms, whatever they stand for, where all
//! denominators are different from 0. All work is bounded; past the bound a node is an atom.

use super::dag::{Dag, Node, NodeId};
use super::ops::BinaryOp;
use std::collections::{BTreeSet, HashMap};

/// Coefficients that cancel to less than this part of what was added up count as 0: their roundings.
const CANCELLATION: f64 = 64.0 * f64::EPSILON;
/// Integer powers of sums beyond this are not multiplied out.
const MAX_EXPANDED_POWER: i32 = 8;
/// Exponents of atoms; they are added and multiplied without overflow.
const MAX_EXPONENT: i32 = 1 << 14;
/// Terms of one node's polynomial.
const MAX_TERMS: usize = 20_000;
/// Terms made in one expansion.
const MAX_WORK: usize = 4_000_000;
/// How often denominators are cleared; each round removes one.
const MAX_CLEARINGS: usize = 64;

/// `(atom, exponent)` by ascending atom; exponents are not 0.
pub(super) type Factors = Vec<(NodeId, i32)>;

/// A polynomial divided by its first coefficient: its factors and the bits of its coefficients.
type Shape = Vec<(Factors, u64)>;

/// One term.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Monomial {
    pub(super) factors: Factors,
    pub(super) coefficient: f64,
    /// Σ |coefficients| that were added up.
    magnitude: f64,
}

/// Monomials with different factors, in ascending order of these.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Polynomial(pub(super) Vec<Monomial>);

impl Polynomial {
    fn constant(value: f64) -> Self {
        Self::collect(vec![Monomial { factors: Vec::new(), coefficient: value, magnitude: value.abs() }])
    }

    fn atom(id: NodeId) -> Self {
        Polynomial(vec![Monomial { factors: vec![(id, 1)], coefficient: 1.0, magnitude: 1.0 }])
    }

    /// Adds up equal monomials and drops those that cancel.
    fn collect(mut terms: Vec<Monomial>) -> Self {
        terms.sort_by(|a, b| a.factors.cmp(&b.factors));
        let mut sum: Vec<Monomial> = Vec::with_capacity(terms.len());
        for term in terms {
            match sum.last_mut() {
                Some(last) if last.factors == term.factors => {
                    last.coefficient += term.coefficient;
                    last.magnitude += term.magnitude;
                }
                _ => sum.push(term),
            }
        }
        sum.retain(|t| t.coefficient.abs() > CANCELLATION * t.magnitude || t.coefficient.is_nan());
        Polynomial(sum)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

impl Monomial {
    fn times(&self, other: &Monomial) -> Monomial {
        let mut factors = Vec::with_capacity(self.factors.len() + other.factors.len());
        let (mut i, mut j) = (0, 0);
        loop {
            match (self.factors.get(i), other.factors.get(j)) {
                (None, None) => break,
                (Some(&(a, m)), Some(&(b, n))) if a == b => {
                    if m + n != 0 {
                        factors.push((a, m + n));
                    }
                    (i, j) = (i + 1, j + 1);
                }
                (Some(&f), Some(&g)) if f.0 < g.0 => {
                    factors.push(f);
                    i += 1;
                }
                (Some(&f), None) => {
                    factors.push(f);
                    i += 1;
                }
                (_, Some(&g)) => {
                    factors.push(g);
                    j += 1;
                }
            }
        }
        Monomial {
            factors,
            coefficient: self.coefficient * other.coefficient,
            magnitude: self.magnitude * other.magnitude,
        }
    }

    fn is_bounded(&self) -> bool {
        self.factors.iter().all(|f| f.1.unsigned_abs() <= MAX_EXPONENT.unsigned_abs())
    }

    fn power(&self, n: i32) -> Monomial {
        let coefficient = super::ops::powi(self.coefficient, n);
        let factors = self.factors.iter().map(|&(a, m)| (a, m * n)).collect();
        Monomial { factors, coefficient, magnitude: coefficient.abs() }
    }
}

/// Expands nodes of one graph; remembers what is expanded.
pub(super) struct Expansion<'a> {
    dag: &'a Dag,
    opaque: BTreeSet<NodeId>,
    known: HashMap<NodeId, Polynomial>,
    /// Denominators of several terms by their shape, so that `2a + 2b` and `b + a` are one atom.
    denominators: HashMap<Shape, NodeId>,
    work_left: usize,
}

impl<'a> Expansion<'a> {
    /// `opaque` nodes are atoms.
    pub(super) fn new(dag: &'a Dag, opaque: &[NodeId]) -> Self {
        let opaque = opaque.iter().copied().collect();
        Expansion { dag, opaque, known: HashMap::new(), denominators: HashMap::new(), work_left: MAX_WORK }
    }

    /// The polynomial of `root`, cleared of denominators of several terms where `clear` says so: then it is the
    /// polynomial of `root · Π denominators`, zero exactly where that of `root` is. None past the bound of work.
    pub(super) fn run(&mut self, root: NodeId, clear: bool) -> Option<Polynomial> {
        for id in self.order(root) {
            if self.known.contains_key(&id) {
                continue;
            }
            let polynomial = self.expand(id).unwrap_or_else(|| Polynomial::atom(id));
            self.known.insert(id, polynomial);
        }
        let polynomial = self.known.get(&root)?.clone();
        if clear { self.clear_denominators(polynomial) } else { Some(polynomial) }
    }

    fn is_taken_apart(&self, id: NodeId) -> bool {
        let is_arithmetic = match self.dag.node(id) {
            Node::Const(_) | Node::Sum(_) | Node::Binary(BinaryOp::Mul | BinaryOp::Div, _, _) => true,
            Node::PowI(_, n) => n.unsigned_abs() <= MAX_EXPONENT.unsigned_abs(),
            Node::Leaf(_) | Node::Unary(..) | Node::Binary(..) | Node::Compare(..) | Node::Select { .. } => false,
        };
        is_arithmetic && !self.opaque.contains(&id)
    }

    /// The nodes to expand, operands first.
    fn order(&self, root: NodeId) -> Vec<NodeId> {
        let mut seen = BTreeSet::from([root]);
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            if self.is_taken_apart(id) {
                self.dag.for_each_operand(id, |operand| {
                    if seen.insert(operand) {
                        stack.push(operand);
                    }
                });
            }
        }
        seen.into_iter().collect()
    }

    /// None past a bound: then the node stays an atom.
    fn expand(&mut self, id: NodeId) -> Option<Polynomial> {
        if !self.is_taken_apart(id) {
            return None;
        }
        match self.dag.node(id) {
            Node::Const(bits) => Some(Polynomial::constant(f64::from_bits(bits))),
            Node::Sum(sum) => {
                let mut terms = Vec::new();
                for term in self.dag.terms(sum) {
                    let part = &self.known.get(&term.node)?.0;
                    if terms.len() + part.len() > MAX_TERMS {
                        return None;
                    }
                    terms.extend(part.iter().map(|m| Monomial {
                        factors: m.factors.clone(),
                        coefficient: term.coefficient * m.coefficient,
                        magnitude: term.coefficient.abs() * m.magnitude,
                    }));
                }
                self.spend(terms.len())?;
                Some(Polynomial::collect(terms))
            }
            Node::Binary(BinaryOp::Mul, a, b) => {
                let (a, b) = (self.known.get(&a)?.clone(), self.known.get(&b)?.clone());
                self.product(&a, &b)
            }
            Node::Binary(BinaryOp::Div, a, b) => {
                let below = self.inverse(b, 1)?;
                let above = self.known.get(&a)?.clone();
                self.product(&above, &below)
            }
            Node::PowI(a, n) if n < 0 => self.inverse(a, -n),
            Node::PowI(a, n) => {
                let base = self.known.get(&a)?.clone();
                self.power(&base, n)
            }
            Node::Leaf(_) | Node::Unary(..) | Node::Binary(..) | Node::Compare(..) | Node::Select { .. } => None,
        }
    }

    fn spend(&mut self, n_terms: usize) -> Option<()> {
        self.work_left = self.work_left.checked_sub(n_terms)?;
        Some(())
    }

    fn product(&mut self, a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
        let n_terms = a.0.len().checked_mul(b.0.len()).filter(|&n| n <= MAX_TERMS)?;
        self.spend(n_terms)?;
        let terms: Vec<_> = a.0.iter().flat_map(|x| b.0.iter().map(move |y| x.times(y))).collect();
        terms.iter().all(Monomial::is_bounded).then(|| Polynomial::collect(terms))
    }

    fn power(&mut self, base: &Polynomial, n: i32) -> Option<Polynomial> {
        if let [monomial] = base.0.as_slice() {
            let power = monomial.power(n);
            return power.is_bounded().then(|| Polynomial(vec![power]));
        }
        if n > MAX_EXPANDED_POWER {
            return None;
        }
        let mut result = base.clone();
        for _ in 1..n {
            result = self.product(&result, base)?;
        }
        Some(result)
    }

    /// `node^(−n)`: a monomial is inverted, several terms become one atom. None for 0.
    fn inverse(&mut self, node: NodeId, n: i32) -> Option<Polynomial> {
        let below = self.known.get(&node)?;
        match below.0.as_slice() {
            [] => None,
            [monomial] => {
                let power = monomial.power(-n);
                power.is_bounded().then(|| Polynomial(vec![power]))
            }
            [first, ..] => {
                let lead = first.coefficient;
                let key = below.0.iter().map(|m| (m.factors.clone(), (m.coefficient / lead).to_bits())).collect();
                let atom = *self.denominators.entry(key).or_insert(node);
                let atom_lead = self.known.get(&atom)?.0.first()?.coefficient;
                let coefficient = super::ops::powi(atom_lead / lead, n);
                Some(Polynomial(vec![Monomial {
                    factors: vec![(atom, -n)],
                    coefficient,
                    magnitude: coefficient.abs(),
                }]))
            }
        }
    }

    /// Multiplies by the denominators of several terms until there are none, and multiplies them out above.
    fn clear_denominators(&mut self, mut polynomial: Polynomial) -> Option<Polynomial> {
        for _ in 0..MAX_CLEARINGS {
            // The newest first: its own terms may have older denominators.
            let is_sum = |id: NodeId| self.known.get(&id).is_some_and(|p| p.0.len() > 1);
            let factors = || polynomial.0.iter().flat_map(|m| m.factors.iter());
            let Some(atom) = factors().map(|&(id, _)| id).filter(|&id| is_sum(id)).max() else {
                return Some(polynomial);
            };
            let lowest = factors().filter(|f| f.0 == atom).map(|f| f.1).min()?.min(0);
            let base = self.known.get(&atom)?.clone();
            let mut terms = Vec::new();
            for monomial in &polynomial.0 {
                let exponent = monomial.factors.iter().find(|f| f.0 == atom).map_or(0, |f| f.1) - lowest;
                let mut rest = monomial.clone();
                rest.factors.retain(|f| f.0 != atom);
                let rest = Polynomial(vec![rest]);
                let raised = if exponent == 0 {
                    rest
                } else {
                    let power = self.power(&base, exponent)?;
                    self.product(&rest, &power)?
                };
                terms.extend(raised.0);
                if terms.len() > MAX_TERMS {
                    return None;
                }
            }
            polynomial = Polynomial::collect(terms);
        }
        None
    }
}
