//! Proofs that an expression is zero.

use super::programs::Program;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use twinc::expr::{Dag, Leaf, NodeId, Proof, UnaryOp, expand_sum, prove_zero};

struct Enzyme {
    dag: Dag,
    /// E, S, ES, P
    x: Vec<NodeId>,
    rates: Vec<NodeId>,
}

/// E + S <-> ES -> E + P with mass action, or with net rates that are opaque functions.
fn enzyme(is_opaque: bool) -> Enzyme {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..4).map(|k| dag.leaf(Leaf::State(k))).collect();
    let k: Vec<NodeId> = (0..3).map(|k| dag.leaf(Leaf::Param(k))).collect();
    let es = dag.mul(x[0], x[1]);
    let (on, off, cat) = (dag.mul(k[0], es), dag.mul(k[1], x[2]), dag.mul(k[2], x[2]));
    let mut rates = vec![dag.sub(on, off), cat];
    if is_opaque {
        rates = rates.into_iter().map(|rate| dag.unary(UnaryOp::Tanh, rate)).collect();
    }
    Enzyme { dag, x, rates }
}

impl Enzyme {
    /// d/dt of Σ weights · x.
    fn flow(&mut self, weights: [f64; 4]) -> NodeId {
        let stoichiometry = [[-1.0, -1.0, 1.0, 0.0], [1.0, 0.0, -1.0, 1.0]];
        let rhs: Vec<NodeId> = (0..4)
            .map(|i| self.dag.sum(&[(stoichiometry[0][i], self.rates[0]), (stoichiometry[1][i], self.rates[1])]))
            .collect();
        let terms: Vec<(f64, NodeId)> = weights.into_iter().zip(rhs).collect();
        self.dag.sum(&terms)
    }
}

#[test]
fn moieties_are_conserved_whatever_the_rates_are() {
    for is_opaque in [false, true] {
        let mut network = enzyme(is_opaque);
        for weights in [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0], [0.3, 0.1, 0.4, 0.1]] {
            let flow = network.flow(weights);
            assert_eq!(prove_zero(&network.dag, flow, &network.rates), Proof::Zero, "{weights:?}");
            assert_eq!(expand_sum(&network.dag, flow), Proof::Zero, "{weights:?}");
        }
    }
}

#[test]
fn a_leak_is_named_with_its_weight() {
    let mut network = enzyme(false);
    let flow = network.flow([1.0, 0.0, 0.0, 0.0]);
    let Proof::NonZero { residual } = prove_zero(&network.dag, flow, &network.rates) else {
        panic!("E alone is not conserved");
    };
    let mut found: Vec<(f64, NodeId)> = residual.iter().map(|r| (r.coefficient, r.factors[0].0)).collect();
    found.sort_by_key(|&(_, node)| node);
    let mut want = vec![(-1.0, network.rates[0]), (1.0, network.rates[1])];
    want.sort_by_key(|&(_, node)| node);
    assert_eq!(found, want);
}

#[test]
fn rates_that_are_equal_by_form_cancel() {
    let Enzyme { mut dag, x, .. } = enzyme(false);
    let (vmax, km) = (dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::Param(1)));
    // Vmax S/(Km + S) against Vmax/(1 + Km/S) and Vmax/Km · S / (1 + S/Km).
    let below = dag.add(km, x[1]);
    let above = dag.mul(vmax, x[1]);
    let first = dag.div(above, below);
    let ratio = dag.div(km, x[1]);
    let below = dag.add(Dag::ONE, ratio);
    let second = dag.div(vmax, below);
    let (slope, part) = (dag.div(vmax, km), dag.div(x[1], km));
    let below = dag.add(part, Dag::ONE);
    let above = dag.mul(slope, x[1]);
    let third = dag.div(above, below);
    for other in [second, third] {
        let difference = dag.sub(first, other);
        assert_eq!(prove_zero(&dag, difference, &[first, other]), Proof::Zero);
        let leak = dag.sum(&[(1.0, first), (-1.0001, other)]);
        assert!(matches!(prove_zero(&dag, leak, &[first, other]), Proof::NonZero { .. }));
    }
}

#[test]
fn what_algebra_cannot_show_is_unknown_not_wrong() {
    let mut dag = Dag::new();
    let x = dag.leaf(Leaf::State(0));
    let (sin, cos) = (dag.unary(UnaryOp::Sin, x), dag.unary(UnaryOp::Cos, x));
    let (ss, cc) = (dag.powi(sin, 2), dag.powi(cos, 2));
    let zero = dag.sum(&[(1.0, ss), (1.0, cc), (-1.0, Dag::ONE)]);
    assert_eq!(expand_sum(&dag, zero), Proof::Unknown);
    assert_eq!(expand_sum(&dag, Dag::ZERO), Proof::Zero);
    assert!(matches!(expand_sum(&dag, x), Proof::NonZero { .. }));
}

#[test]
fn products_of_many_sums_do_not_blow_up() {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..40).map(|k| dag.leaf(Leaf::State(k))).collect();
    let sum = dag.sum(&x.iter().map(|&x| (1.0, x)).collect::<Vec<_>>());
    let mut product = Dag::ONE;
    for &x in &x {
        let factor = dag.add(sum, x);
        product = dag.mul(product, factor);
    }
    let (left, right) = (dag.mul(product, x[0]), dag.mul(x[0], sum));
    let (left, right) = (dag.mul(left, sum), dag.mul(product, right));
    // Equal, but only after 41^41 terms or by leaving the product alone.
    let difference = dag.sub(left, right);
    assert!(matches!(expand_sum(&dag, difference), Proof::Zero | Proof::Unknown));
}

/// `e·(a + b) − b·e − e·a` is zero for every e, a, b.
pub fn is_proved(program: &Program) -> Result<(), TestCaseError> {
    let mut dag = Dag::new();
    let e = program.build(&mut dag);
    let (a, b) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::Param(1)));
    let sum = dag.add(a, b);
    let (es, eb, ea) = (dag.mul(e, sum), dag.mul(b, e), dag.mul(e, a));
    let zero = dag.sum(&[(1.0, es), (-1.0, eb), (-1.0, ea)]);
    let proof = expand_sum(&dag, zero);
    prop_assert!(!matches!(proof, Proof::NonZero { .. }), "{proof:?}");
    let is_bounded = program.evaluate().1.is_finite();
    prop_assert!(!is_bounded || proof == Proof::Zero, "{proof:?}");
    Ok(())
}
