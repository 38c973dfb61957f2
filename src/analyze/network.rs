//! Conservation laws of a flat model: the sums `x_i + Σ c_j x_j` that its equations do not change.
//!
//! Each derivative is taken apart into a sum of coefficients times rates. A rate is a product of what moves; a
//! coefficient is a number times what depends on parameters alone, so that compartments of different volume and
//! reactions of one order that share a reactant are seen through. The laws are the left null space of the matrix of
//! coefficients, found by Gauss–Jordan elimination on its sparse transpose; the law of a state that is not eliminated
//! holds no other such state (Reder 1988, Metabolic control theory: a structural approach, J. Theor. Biol. 135:175,
//! calls these the dependent species and the rest the link matrix).
//!
//! **Invariant.** A law holds for every state at the parameters it was made for. It is proved by the form of the
//! equations: a law that needs more algebra than that is not found, and then the Jacobian stays singular.

use crate::expr::{Dag, Env, Interpreter, Leaf, Node, NodeId, ops::BinaryOp};
use crate::flat::FlatModel;
use num_dual::{Dual64, DualNum};
use std::collections::{BTreeMap, HashMap};

/// Entries that cancel to less than this part of what was added up count as 0.
const CANCELLATION: f64 = 1e-12;
/// A pivot is at least this part of the largest entry of its row; among those the one that fills least is taken.
const PIVOT_SHARE: f64 = 0.1;
/// Products and sums taken apart for one derivative; past that a node is a rate as it stands.
const MAX_PARTS: usize = 100_000;

/// `x[state] + Σ coefficient · x[other]` does not change.
#[derive(Debug, Clone, PartialEq)]
pub struct Law {
    /// The state that this law determines; it stands in no other law.
    pub state: usize,
    /// `(other state, coefficient)` in ascending order.
    pub terms: Vec<(usize, f64)>,
}

impl Law {
    /// The conserved total at `x: n_states`.
    pub fn total(&self, x: &[f64]) -> f64 {
        x[self.state] + self.terms.iter().map(|&(k, c)| c * x[k]).sum::<f64>()
    }
}

/// Coefficient of one rate in one derivative.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    state: usize,
    number: f64,
    /// `(function of the parameters, exponent)`
    factors: Vec<(usize, i32)>,
}

/// What a steady state needs to know of a model beside its [`System`](crate::system::System).
#[derive(Debug, Clone)]
pub struct Structure {
    n_states: usize,
    /// The coefficients of each rate.
    rates: Vec<Vec<Entry>>,
    /// The functions of the parameters that occur among the coefficients.
    functions: Interpreter,
    /// Lower end of each state's range: 0 or more for species, −∞ where open.
    low: Vec<f64>,
}

impl Structure {
    /// The structure of a model.
    pub fn of(model: &FlatModel) -> Structure {
        let mut reader = Reader::new(&model.dag);
        for (k, state) in model.states.iter().enumerate() {
            reader.add(k, state.rhs);
        }
        let low = |s: &crate::flat::State| if s.is_species { s.quantity.low.max(0.0) } else { s.quantity.low };
        Structure {
            n_states: model.states.len(),
            functions: Interpreter::new(&model.dag, &reader.functions),
            rates: reader.rates.into_iter().filter(|entries| !entries.is_empty()).map(without_common_factor).collect(),
            low: model.states.iter().map(low).collect(),
        }
    }

    /// No law and no bound, for systems that are not made of a model.
    pub fn free(n_states: usize) -> Structure {
        let rates = (0..n_states).map(|state| vec![Entry { state, number: 1.0, factors: Vec::new() }]).collect();
        let functions = Interpreter::new(&Dag::new(), &[]);
        Structure { n_states, rates, functions, low: vec![f64::NEG_INFINITY; n_states] }
    }

    /// Lower end of each state's range, `n_states`.
    pub fn low(&self) -> &[f64] {
        &self.low
    }

    /// True where the laws are the same for all parameters.
    pub fn is_fixed(&self) -> bool {
        self.functions.n_roots() == 0 || self.rates.iter().flatten().all(|entry| entry.factors.is_empty())
    }

    /// The laws at `p: n_params`, by ascending state.
    pub fn laws(&self, p: &[f64]) -> Vec<Law> {
        let of = |terms: Vec<(usize, f64)>, state| Law { state, terms };
        self.solutions(p).into_iter().map(|(state, terms)| of(terms, state)).collect()
    }

    /// Derivatives of the coefficients of [`Structure::laws`] along `dp: n_params`, in the order of their terms.
    pub fn laws_along(&self, p: &[f64], dp: &[f64]) -> Vec<Law> {
        let p: Vec<Dual64> = p.iter().zip(dp).map(|(&re, &eps)| Dual64::new(re, eps)).collect();
        let of = |(state, terms): (usize, Vec<(usize, Dual64)>)| Law {
            state,
            terms: terms.into_iter().map(|(k, c)| (k, c.eps)).collect(),
        };
        self.solutions(&p).into_iter().map(of).collect()
    }

    /// The null space over any number: `(free state, coefficients of the others)`.
    fn solutions<T: DualNum<Primitive = f64> + Copy>(&self, p: &[T]) -> Vec<(usize, Vec<(usize, T)>)> {
        let env = Env { t: T::zero(), x: &[], u: &[], d: &[], p, dx: &[], dt: T::zero() };
        let values = self.functions.values(&env);
        let mut elimination = Elimination::new(self.n_states);
        for entries in &self.rates {
            let mut row: BTreeMap<usize, Sum<T>> = BTreeMap::new();
            for entry in entries {
                let factors = entry.factors.iter().map(|&(k, exponent)| values[k].powi(exponent));
                let value = factors.fold(T::from(entry.number), |product, factor| product * factor);
                elimination.scatter(entry.state, value, &mut row);
            }
            elimination.add(row);
        }
        elimination.solutions()
    }
}

/// A rate whose coefficients share a factor is as good as one without it.
fn without_common_factor(mut entries: Vec<Entry>) -> Vec<Entry> {
    let Some(common) = entries.first().map(|entry| entry.factors.clone()) else { return entries };
    if entries.iter().all(|entry| entry.factors == common) {
        entries.iter_mut().for_each(|entry| entry.factors.clear());
    }
    entries
}

/// Takes derivatives apart.
struct Reader<'a> {
    dag: &'a Dag,
    /// True for nodes that depend on nothing but parameters.
    is_fixed: Vec<bool>,
    rates: Vec<Vec<Entry>>,
    by_product: HashMap<Vec<(NodeId, i32)>, usize>,
    functions: Vec<NodeId>,
    by_function: HashMap<NodeId, usize>,
}

/// A product of nodes.
#[derive(Debug, Clone)]
struct Product {
    number: f64,
    /// What depends on parameters alone.
    fixed: BTreeMap<NodeId, i32>,
    /// What moves.
    moving: BTreeMap<NodeId, i32>,
}

impl<'a> Reader<'a> {
    fn new(dag: &'a Dag) -> Self {
        let mut is_fixed = Vec::with_capacity(dag.len());
        for k in 0..dag.len() {
            let id = NodeId(k as u32);
            is_fixed.push(match dag.node(id) {
                Node::Leaf(Leaf::Param(_)) | Node::Const(_) => true,
                Node::Leaf(
                    Leaf::Time
                    | Leaf::State(_)
                    | Leaf::Input(_)
                    | Leaf::Disturbance(_)
                    | Leaf::Direction(_)
                    | Leaf::DirectionTime,
                ) => false,
                Node::Unary(..)
                | Node::Binary(..)
                | Node::PowI(..)
                | Node::Sum(_)
                | Node::Compare(..)
                | Node::Select { .. } => {
                    let mut is_all = true;
                    dag.for_each_operand(id, |operand| is_all &= is_fixed[operand.0 as usize]);
                    is_all
                }
            });
        }
        let (by_product, by_function) = (HashMap::new(), HashMap::new());
        Reader { dag, is_fixed, rates: Vec::new(), by_product, functions: Vec::new(), by_function }
    }

    /// Adds the derivative of a state.
    fn add(&mut self, state: usize, rhs: NodeId) {
        let one = Product { number: 1.0, fixed: BTreeMap::new(), moving: BTreeMap::new() };
        let mut open = vec![(one, rhs)];
        let mut n_parts = 0;
        while let Some((outer, node)) = open.pop() {
            n_parts += 1;
            let mut product = outer;
            self.multiply(&mut product, node, n_parts > MAX_PARTS);
            if product.number == 0.0 {
                continue;
            }
            // A sum times what is fixed is a sum again.
            if let (1, Some((&inner, 1))) = (product.moving.len(), product.moving.iter().next().map(|(n, e)| (n, *e)))
                && let Node::Sum(sum) = self.dag.node(inner)
                && n_parts <= MAX_PARTS
            {
                product.moving.clear();
                for term in self.dag.terms(sum) {
                    let number = product.number * term.coefficient;
                    open.push((Product { number, ..product.clone() }, term.node));
                }
                continue;
            }
            self.enter(state, product);
        }
    }

    /// Multiplies `product` by the factors of `root`; as one factor where it `is_whole`.
    fn multiply(&self, product: &mut Product, root: NodeId, is_whole: bool) {
        let mut open = vec![(root, 1_i32)];
        let mut n_parts = 0;
        while let Some((id, exponent)) = open.pop() {
            n_parts += 1;
            let is_atom = is_whole || n_parts > MAX_PARTS || exponent.unsigned_abs() > 1000;
            match self.dag.node(id) {
                Node::Const(bits) => product.number *= f64::from_bits(bits).powi(exponent),
                _ if self.is_fixed[id.0 as usize] => *product.fixed.entry(id).or_default() += exponent,
                Node::Binary(BinaryOp::Mul, a, b) if !is_atom => open.extend([(a, exponent), (b, exponent)]),
                Node::Binary(BinaryOp::Div, a, b) if !is_atom => open.extend([(a, exponent), (b, -exponent)]),
                Node::PowI(a, n) if !is_atom && n.unsigned_abs() < 1000 => open.push((a, exponent * n)),
                Node::Sum(sum) if !is_atom && self.dag.terms(sum).len() == 1 => {
                    for term in self.dag.terms(sum) {
                        product.number *= term.coefficient.powi(exponent);
                        open.push((term.node, exponent));
                    }
                }
                Node::Leaf(_)
                | Node::Unary(..)
                | Node::Binary(..)
                | Node::PowI(..)
                | Node::Sum(_)
                | Node::Compare(..)
                | Node::Select { .. } => *product.moving.entry(id).or_default() += exponent,
            }
        }
        product.moving.retain(|_, exponent| *exponent != 0);
        product.fixed.retain(|_, exponent| *exponent != 0);
    }

    fn enter(&mut self, state: usize, product: Product) {
        let key: Vec<(NodeId, i32)> = product.moving.into_iter().collect();
        let n_rates = self.rates.len();
        let rate = *self.by_product.entry(key).or_insert(n_rates);
        if rate == n_rates {
            self.rates.push(Vec::new());
        }
        let mut factors = Vec::with_capacity(product.fixed.len());
        for (node, exponent) in product.fixed {
            let n_functions = self.functions.len();
            let k = *self.by_function.entry(node).or_insert(n_functions);
            if k == n_functions {
                self.functions.push(node);
            }
            factors.push((k, exponent));
        }
        let entries = &mut self.rates[rate];
        match entries.iter_mut().find(|e| e.state == state && e.factors == factors) {
            Some(entry) => entry.number += product.number,
            None => entries.push(Entry { state, number: product.number, factors }),
        }
        entries.retain(|entry| entry.number != 0.0);
    }
}

/// A sum with the size of what was added up.
#[derive(Debug, Clone, Copy)]
struct Sum<T> {
    value: T,
    size: f64,
}

/// Gauss–Jordan elimination of rows that say `Σ v_k l_k = 0` of a law's coefficients l.
struct Elimination<T> {
    /// `l_k = Σ c · l_free`, for the columns that are eliminated.
    solved: Vec<Option<BTreeMap<usize, T>>>,
    /// Which solved columns a free column stands in.
    users: Vec<Vec<usize>>,
}

impl<T: DualNum<Primitive = f64> + Copy> Elimination<T> {
    fn new(n: usize) -> Self {
        Elimination { solved: vec![None; n], users: vec![Vec::new(); n] }
    }

    /// Adds `value · l_column` to a row, in terms of free columns.
    fn scatter(&self, column: usize, value: T, row: &mut BTreeMap<usize, Sum<T>>) {
        let mut add = |column: usize, value: T| {
            let sum = row.entry(column).or_insert(Sum { value: T::zero(), size: 0.0 });
            sum.value += value;
            sum.size += value.re().abs();
        };
        match &self.solved[column] {
            Some(free) => free.iter().for_each(|(&k, &c)| add(k, value * c)),
            None => add(column, value),
        }
    }

    /// Solves a row for one of its columns.
    fn add(&mut self, row: BTreeMap<usize, Sum<T>>) {
        let row = kept(row);
        let largest = row.values().map(|v| v.re().abs()).fold(0.0, f64::max);
        let is_large = |v: &T| v.re().abs() >= PIVOT_SHARE * largest && largest > 0.0;
        let candidates = row.iter().filter(|(_, v)| is_large(v));
        let Some((&pivot, &value)) = candidates.min_by_key(|&(&k, _)| (self.users[k].len(), k)) else { return };
        let others: BTreeMap<usize, T> =
            row.into_iter().filter(|(k, _)| *k != pivot).map(|(k, v)| (k, -v / value)).collect();
        for &k in others.keys() {
            self.users[k].push(pivot);
        }
        self.solved[pivot] = Some(others);
        for user in std::mem::take(&mut self.users[pivot]) {
            let Some(free) = self.solved[user].take() else { continue };
            let mut sums: BTreeMap<usize, Sum<T>> = BTreeMap::new();
            for (&k, &c) in &free {
                self.scatter(k, c, &mut sums);
            }
            let made = kept(sums);
            for &k in made.keys().filter(|k| !free.contains_key(k)) {
                self.users[k].push(user);
            }
            for k in free.keys().filter(|k| !made.contains_key(k)) {
                self.users[*k].retain(|u| *u != user);
            }
            self.solved[user] = Some(made);
        }
    }

    fn solutions(self) -> Vec<(usize, Vec<(usize, T)>)> {
        let mut list = Vec::new();
        for (state, users) in self.users.iter().enumerate().filter(|(state, _)| self.solved[*state].is_none()) {
            let coefficient = |&user: &usize| Some((user, *self.solved[user].as_ref()?.get(&state)?));
            let mut terms: Vec<(usize, T)> = users.iter().filter_map(coefficient).collect();
            terms.sort_by_key(|term| term.0);
            list.push((state, terms));
        }
        list
    }
}

/// What has not cancelled.
fn kept<T: DualNum<Primitive = f64> + Copy>(row: BTreeMap<usize, Sum<T>>) -> BTreeMap<usize, T> {
    let is_kept = |sum: &Sum<T>| sum.value.re().abs() > CANCELLATION * sum.size;
    row.into_iter().filter(|(_, sum)| is_kept(sum)).map(|(k, sum)| (k, sum.value)).collect()
}
