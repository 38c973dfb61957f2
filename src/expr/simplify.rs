//! Proofs that an expression is identically zero, used for `conserved`.
//!
//! The expression is expanded to a sum of products of powers of atoms. First the caller's opaque nodes (the rates of
//! reactions) are atoms: that shows laws of the stoichiometry, whatever the rates are, and names the rates that are
//! left. Then everything is multiplied out, and denominators are cleared, which shows laws that need the rates' form.
//! What is still not zero is evaluated at a few points: a value beyond its rounding errors there disproves it.

use super::dag::{Dag, NodeId};
use super::eval::{Env, Interpreter};
use super::polynomial::Expansion;
use crate::random::stream;
use rand::Rng as _;

/// A value beyond this part of its scale is not a rounding error. Chosen far above 2⁻⁵² for long sums, far below any
/// real leak.
const DISPROOF: f64 = 1e-9;
/// Points at which a disproof is tried.
const N_POINTS: u64 = 12;

/// Whether an expression is zero for all values of its leaves.
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// It is, up to the rounding of its coefficients (64 ε of the terms that cancel), wherever it is defined.
    Zero,
    /// It is not: at some point its value is far beyond rounding errors.
    NonZero {
        /// What is left when opaque nodes are atoms, in canonical order; for a wrong conservation law these are the
        /// rates that change it. Empty where the expression is too large to expand.
        residual: Vec<Residual>,
    },
    /// Neither is shown.
    Unknown,
}

/// One term `coefficient · Π node^exponent` that does not cancel.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// The factor.
    pub coefficient: f64,
    /// `(node, exponent)` by ascending node; exponents are not 0.
    pub factors: Vec<(NodeId, i32)>,
}

/// [`prove_zero`] without opaque nodes.
pub fn expand_sum(dag: &Dag, node: NodeId) -> Proof {
    prove_zero(dag, node, &[])
}

/// Tries to show that `node` is identically zero; `opaque` nodes are first taken as unrelated unknowns.
pub fn prove_zero(dag: &Dag, node: NodeId, opaque: &[NodeId]) -> Proof {
    let linear = Expansion::new(dag, opaque).run(node, false);
    if linear.as_ref().is_some_and(|p| p.is_zero()) {
        return Proof::Zero;
    }
    if is_nonzero_somewhere(dag, node) {
        let terms = linear.map(|p| p.0).unwrap_or_default();
        let residual = |m: super::polynomial::Monomial| Residual { coefficient: m.coefficient, factors: m.factors };
        return Proof::NonZero { residual: terms.into_iter().map(residual).collect() };
    }
    match Expansion::new(dag, &[]).run(node, true) {
        Some(polynomial) if polynomial.is_zero() => Proof::Zero,
        _ => Proof::Unknown,
    }
}

/// Evaluates at points of different size and sign.
fn is_nonzero_somewhere(dag: &Dag, node: NodeId) -> bool {
    let interpreter = Interpreter::new(dag, &[node]);
    let n_leaves = interpreter.n_leaves();
    let (mut value, mut scale) = ([0.0], [0.0]);
    let mut buffer = Vec::new();
    (0..N_POINTS).any(|point| {
        let mut rng = stream(0, point);
        let spread = [1.0, 0.1, 3.0][point as usize % 3];
        let negative = if point < N_POINTS / 2 { 0.0 } else { 0.3 };
        let values: Vec<f64> = (0..6 * n_leaves + 2)
            .map(|_| {
                let size = 10f64.powf(rng.random_range(-spread..spread));
                if rng.random_bool(negative) { -size } else { size }
            })
            .collect();
        let slice = |k: usize| &values[k * n_leaves..(k + 1) * n_leaves];
        let env = Env {
            t: values[6 * n_leaves],
            x: slice(0),
            u: slice(1),
            d: slice(2),
            p: slice(3),
            dx: slice(4),
            dt: values[6 * n_leaves + 1],
        };
        interpreter.eval_with_scale(&env, &mut buffer, &mut value, &mut scale);
        value[0].is_finite() && scale[0].is_finite() && value[0].abs() > DISPROOF * scale[0]
    })
}
