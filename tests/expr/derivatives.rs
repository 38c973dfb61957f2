//! Derivatives where they are special: kinks, jumps, zeros; and their structure.

use super::{env, evaluate};
use twinc::expr::{BinaryOp, Compare, Dag, Env, Interpreter, Leaf, Node, NodeId, UnaryOp, Wrt, directional, gradients};

fn derivative(dag: &mut Dag, root: NodeId, x: &[f64]) -> Vec<f64> {
    let row = gradients(dag, &[root], Wrt::States).remove(0);
    let mut dense = vec![0.0; x.len()];
    for (column, node) in row {
        dense[column as usize] = evaluate(dag, &[node], &env(0.0, x, &[], &[], 0.0)).0[0];
    }
    dense
}

fn two_states() -> (Dag, NodeId, NodeId) {
    let mut dag = Dag::new();
    let (a, b) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::State(1)));
    (dag, a, b)
}

#[test]
fn kinks_take_the_derivative_of_the_branch_the_value_takes() {
    let (mut dag, a, b) = two_states();
    let min = dag.binary(BinaryOp::Min, a, b);
    assert_eq!(derivative(&mut dag, min, &[1.0, 2.0]), [1.0, 0.0]);
    assert_eq!(derivative(&mut dag, min, &[2.0, 1.0]), [0.0, 1.0]);
    assert_eq!(derivative(&mut dag, min, &[1.0, 1.0]), [0.0, 1.0]);
    let max = dag.binary(BinaryOp::Max, a, b);
    assert_eq!(derivative(&mut dag, max, &[1.0, 2.0]), [0.0, 1.0]);
    assert_eq!(derivative(&mut dag, max, &[2.0, 1.0]), [1.0, 0.0]);
    assert_eq!(derivative(&mut dag, max, &[1.0, 1.0]), [0.0, 1.0]);
    let clipped = dag.binary(BinaryOp::Max, a, Dag::ZERO);
    assert_eq!(derivative(&mut dag, clipped, &[0.0, 0.0]), [0.0, 0.0]);
    let abs = dag.unary(UnaryOp::Abs, a);
    for (x, slope) in [(-2.0, -1.0), (0.0, 0.0), (3.0, 1.0)] {
        assert_eq!(derivative(&mut dag, abs, &[x, 0.0]), [slope, 0.0]);
    }
}

#[test]
fn conditions_and_steps_have_no_derivative_of_their_own() {
    let (mut dag, a, b) = two_states();
    let less = dag.compare(Compare::Lt, a, b);
    let choice = dag.select(less, b, a);
    assert_eq!(derivative(&mut dag, choice, &[1.0, 2.0]), [0.0, 1.0]);
    assert_eq!(derivative(&mut dag, choice, &[3.0, 2.0]), [1.0, 0.0]);
    for op in [UnaryOp::Sign, UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Not] {
        let step = dag.unary(op, a);
        assert!(gradients(&mut dag, &[step, less], Wrt::States).iter().all(Vec::is_empty));
    }
    let modulo = dag.binary(BinaryOp::Mod, a, b);
    assert_eq!(derivative(&mut dag, modulo, &[7.0, 3.0]), [1.0, -2.0]);
}

#[test]
fn powers_are_differentiable_at_zero() {
    let (mut dag, a, b) = two_states();
    let power = dag.pow(a, b);
    assert_eq!(derivative(&mut dag, power, &[0.0, 2.0]), [0.0, 0.0]);
    assert_eq!(derivative(&mut dag, power, &[0.0, 1.0]), [1.0, 0.0]);
    let fixed = dag.constant(1.5);
    let power = dag.pow(a, fixed);
    assert_eq!(derivative(&mut dag, power, &[0.0, 0.0]), [0.0, 0.0]);
    let square = dag.powi(a, 2);
    assert_eq!(derivative(&mut dag, square, &[0.0, 0.0]), [0.0, 0.0]);
    // A Hill law with a fitted exponent, at an empty pool.
    let hill = {
        let (k, s) = (dag.powi(b, 2), dag.pow(a, b));
        let below = dag.add(k, s);
        dag.div(s, below)
    };
    assert_eq!(derivative(&mut dag, hill, &[0.0, 2.0]), [0.0, 0.0]);
}

/// Where the slope of a function is infinite but its argument does not move, nothing moves: 0/0 and 0·∞ stand for 0.
#[test]
fn a_clipped_root_does_not_move() {
    let (mut dag, a, _) = two_states();
    let clipped = dag.binary(BinaryOp::Max, a, Dag::ZERO);
    let root = dag.unary(UnaryOp::Sqrt, clipped);
    let exponent = dag.constant(0.7);
    let power = dag.pow(clipped, exponent);
    for node in [root, power] {
        assert_eq!(derivative(&mut dag, node, &[-1.0, 0.0])[0], 0.0);
        assert_eq!(derivative(&mut dag, node, &[0.0, 0.0])[0], 0.0);
        assert!(derivative(&mut dag, node, &[0.25, 0.0])[0] > 0.5);
    }
}

/// x/K moves with x wherever it is, so only its slope in K is guarded; values are what they were.
#[test]
fn an_argument_that_always_moves_is_not_guarded() {
    let (mut dag, x, _) = two_states();
    let (k, n) = (dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::Param(1)));
    let scaled = dag.div(x, k);
    let (power, root) = (dag.pow(scaled, n), dag.unary(UnaryOp::Sqrt, scaled));
    let by_state = gradients(&mut dag, &[power, root], Wrt::States);
    let by_param = gradients(&mut dag, &[power, root], Wrt::Params);
    let nodes: Vec<NodeId> = by_state.iter().chain(&by_param).map(|row| row[0].1).collect();
    let at = |x: f64, n: f64| {
        let env = Env { t: 0.0, x: &[x, 0.0], u: &[], d: &[], p: &[2.0, n], dx: &[], dt: 0.0 };
        Interpreter::new(&dag, &nodes).values::<f64>(&env)
    };
    assert_eq!(at(0.0, 0.5), [f64::INFINITY, f64::INFINITY, 0.0, 0.0]);
    assert_eq!(at(0.0, 2.0)[..1], [0.0]);
    assert_eq!(at(0.0, 0.0)[..1], [0.0]);
    assert_eq!(at(8.0, 0.5), [0.125, 0.125, -0.5, -0.5]);
    let selects = |node: NodeId| {
        let order = dag.reachable(&[node]);
        order.iter().filter(|id| matches!(dag.node(**id), Node::Select { .. })).count()
    };
    assert_eq!(nodes.iter().map(|n| selects(*n)).collect::<Vec<_>>(), [1, 0, 2, 1]);
}

/// 1/(1 + exp(z)) is 0 and flat where the exponential overflows.
#[test]
fn a_saturated_sigmoid_is_flat() {
    let (mut dag, a, _) = two_states();
    let exponential = dag.unary(UnaryOp::Exp, a);
    let below = dag.add(Dag::ONE, exponential);
    let sigmoid = dag.div(Dag::ONE, below);
    assert_eq!(derivative(&mut dag, sigmoid, &[800.0, 0.0])[0], 0.0);
    assert_eq!(derivative(&mut dag, sigmoid, &[0.0, 0.0])[0], -0.25);
}

/// The second derivative of a Hill law of exponent 1 at an empty pool: b (b − 1) a^(b−2) is 0·∞ there, and worth 0.
#[test]
fn second_derivatives_of_powers_are_finite_at_zero() {
    let (mut dag, a, b) = two_states();
    let power = dag.pow(a, b);
    let (da, db) = (dag.leaf(Leaf::Direction(0)), dag.leaf(Leaf::Direction(1)));
    let first = gradients(&mut dag, &[power], Wrt::States).remove(0);
    let second = directional(&mut dag, &[first[0].1], |leaf| match leaf {
        Leaf::State(0) => Some(da),
        Leaf::State(1) => Some(db),
        _ => None,
    })[0];
    let value = Interpreter::new(&dag, &[second]).values::<f64>(&Env {
        t: 0.0,
        x: &[0.0, 1.0],
        u: &[],
        d: &[],
        p: &[],
        dx: &[1.0, 0.0],
        dt: 0.0,
    })[0];
    assert_eq!(value, 0.0);
}

#[test]
fn structural_zeros_are_left_out() {
    let (mut dag, a, b) = two_states();
    let k = dag.leaf(Leaf::Param(3));
    let rate = dag.mul(a, b);
    let difference = dag.sum(&[(1.0, rate), (2.0, k), (-1.0, rate)]);
    let rows = gradients(&mut dag, &[difference, rate], Wrt::States);
    assert_eq!(rows, [vec![], vec![(0, b), (1, a)]]);
    let two = dag.constant(2.0);
    assert_eq!(gradients(&mut dag, &[difference], Wrt::Params), [vec![(3, two)]]);
    assert_eq!(gradients(&mut dag, &[difference], Wrt::Time), [vec![]]);
    assert_eq!(gradients(&mut dag, &[difference], Wrt::Inputs), [vec![]]);
}

#[test]
fn derivatives_share_what_the_function_computes() {
    let (mut dag, s, _) = two_states();
    let (vmax, km) = (dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::Param(1)));
    let (above, below) = (dag.mul(vmax, s), dag.add(km, s));
    let rate = dag.div(above, below);
    let before = dag.len();
    let row = gradients(&mut dag, &[rate], Wrt::States).remove(0);
    // vmax − rate, and that over km + s.
    assert_eq!(dag.len(), before + 2);
    assert_eq!(row.len(), 1);
}

#[test]
fn deep_graphs_do_not_exhaust_the_stack() {
    let (mut dag, a, b) = two_states();
    let mut root = a;
    for _ in 0..100_000 {
        let sine = dag.unary(UnaryOp::Sin, root);
        root = dag.add(sine, b);
    }
    let rows = gradients(&mut dag, &[root], Wrt::States);
    assert_eq!(rows[0].len(), 2);
    let value = evaluate(&dag, &[root, rows[0][0].1], &env(0.0, &[0.1, 0.2], &[], &[], 0.0)).0;
    assert!(value.iter().all(|v| v.is_finite()));
}

#[test]
fn the_angle_of_the_origin_has_no_slope() {
    let (mut dag, a, b) = two_states();
    let angle = dag.binary(BinaryOp::Atan2, a, b);
    assert_eq!(derivative(&mut dag, angle, &[0.0, 0.0]), [0.0, 0.0]);
    assert_eq!(derivative(&mut dag, angle, &[-0.0, 0.0]), [0.0, 0.0]);
    // Elsewhere (b da - a db)/(a² + b²), also where one of the two is zero.
    assert_eq!(derivative(&mut dag, angle, &[3.0, 4.0]), [4.0 / 25.0, -3.0 / 25.0]);
    assert_eq!(derivative(&mut dag, angle, &[0.0, -2.0]), [-0.5, 0.0]);
    assert_eq!(derivative(&mut dag, angle, &[2.0, 0.0]), [0.0, -0.5]);
}
