//! The squares that a cost is a sum of, so that a method that needs positive curvature can leave out what is indefinite.
//!
//! `2*(x - 1)^2 + y^2/4 + u` is the square of x − 1 with weight 2, that of y with 1/4, and a rest u.

use crate::expr::{BinaryOp, Dag, Node, NodeId};

/// Nodes looked at in one cost. Sums and products that share parts have more terms written out than nodes; a cost beyond
/// this is left whole.
const MOST_VISITS: usize = 100_000;
/// Factors of one product looked at, which bounds the recursion.
const MOST_FACTORS: usize = 200;

/// One part of a cost: weight · value(node), and r where the node is r². What is no square has weight 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    pub weight: f64,
    pub node: NodeId,
    pub square_of: Option<NodeId>,
}

/// The parts of `weight · node`, squares in the order they stand in, one rest behind them.
pub(super) fn pieces(dag: &mut Dag, node: NodeId, weight: f64) -> Vec<Piece> {
    let mut squares: Vec<Piece> = Vec::new();
    let mut rest: Vec<(f64, NodeId)> = Vec::new();
    let whole = Piece { weight: 1.0, node: dag.scale(weight, node), square_of: None };
    let mut open = vec![(weight, node)];
    let mut n_visits = 0;
    while let Some((weight, node)) = open.pop() {
        n_visits += 1;
        if n_visits + open.len() > MOST_VISITS {
            return vec![whole];
        }
        if let Node::Sum(sum) = dag.node(node) {
            open.extend(dag.terms(sum).iter().rev().map(|term| (weight * term.coefficient, term.node)));
            continue;
        }
        match root(dag, node, &mut MOST_FACTORS.clone()).filter(|_| weight >= 0.0) {
            Some(r) => squares.push(Piece { weight, node, square_of: Some(r) }),
            None => rest.push((weight, node)),
        }
    }
    if !rest.is_empty() {
        let node = dag.sum(&rest);
        squares.push(Piece { weight: 1.0, node, square_of: None });
    }
    squares
}

/// r with r² = `node`, for powers and for products and quotients of squares, of `n_left` factors at most.
fn root(dag: &mut Dag, node: NodeId, n_left: &mut usize) -> Option<NodeId> {
    *n_left = n_left.checked_sub(1)?;
    match dag.node(node) {
        Node::PowI(base, n) if n % 2 == 0 => Some(dag.powi(base, n / 2)),
        Node::Binary(BinaryOp::Mul, a, b) => {
            let (a, b) = (factor_root(dag, a, n_left)?, factor_root(dag, b, n_left)?);
            Some(dag.mul(a, b))
        }
        Node::Binary(BinaryOp::Div, a, b) => {
            let (a, b) = (factor_root(dag, a, n_left)?, factor_root(dag, b, n_left)?);
            Some(dag.div(a, b))
        }
        Node::Const(bits) if f64::from_bits(bits) == 0.0 => None,
        Node::Const(_)
        | Node::Leaf(_)
        | Node::Unary(..)
        | Node::Binary(..)
        | Node::PowI(..)
        | Node::Sum(_)
        | Node::Compare(..)
        | Node::Select { .. } => None,
    }
}

/// The root of a factor: of a square, of a positive number, of a positive number times a square.
fn factor_root(dag: &mut Dag, node: NodeId, n_left: &mut usize) -> Option<NodeId> {
    if let Some(value) = dag.as_const(node) {
        return (value > 0.0).then(|| dag.constant(value.sqrt()));
    }
    if let Some((c, inner)) = dag.as_scaled(node) {
        let inner = root(dag, inner, n_left)?;
        return (c > 0.0).then(|| dag.scale(c.sqrt(), inner));
    }
    root(dag, node, n_left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Env, Interpreter, Leaf};

    /// A sum that would have 2^60 terms written out, and a product of as many factors.
    #[test]
    fn what_shares_its_parts_is_left_whole() {
        let mut dag = Dag::new();
        let (mut sum, mut product) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::State(0)));
        product = dag.powi(product, 2);
        for k in 1..60 {
            let leaf = dag.leaf(Leaf::State(k));
            let other = dag.sum(&[(3.0, sum), (0.1, leaf)]);
            sum = dag.sum(&[(0.7, sum), (1.3, other)]);
            let square = dag.powi(leaf, 2);
            let more = dag.mul(product, square);
            product = dag.mul(more, product);
        }
        assert_eq!(pieces(&mut dag, sum, 2.0).len(), 1);
        assert_eq!(pieces(&mut dag, product, 2.0).len(), 1);
    }

    #[test]
    fn finds_the_squares_of_a_sum_and_keeps_its_value() {
        let mut dag = Dag::new();
        let (x, y, u) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::State(1)), dag.leaf(Leaf::Input(0)));
        let shifted = dag.sum(&[(1.0, x), (-1.0, Dag::ONE)]);
        let (a, b, c) = (dag.powi(shifted, 2), dag.powi(y, 2), dag.powi(u, 2));
        let inner = dag.sum(&[(1.0, a), (0.25, b)]);
        let quotient = dag.div(c, b);
        let cost = dag.sum(&[(2.0, inner), (1.0, u), (3.0, quotient), (-1.0, b), (7.0, Dag::ONE)]);
        let found = pieces(&mut dag, cost, 10.0);
        let weights: Vec<f64> = found.iter().map(|p| p.weight).collect();
        assert_eq!(weights, [20.0, 5.0, 30.0, 1.0]);
        assert_eq!(found.iter().filter(|p| p.square_of.is_some()).count(), 3);
        let env = Env { t: 0.0, x: &[3.0, 2.0], u: &[5.0], d: &[], p: &[], dx: &[], dt: 0.0 };
        let value = |node| Interpreter::new(&dag, &[node]).values::<f64>(&env)[0];
        let total: f64 = found.iter().map(|p| p.weight * value(p.node)).sum();
        assert!((total - 10.0 * value(cost)).abs() < 1e-12 * total.abs());
        for piece in &found {
            if let Some(r) = piece.square_of {
                assert!((value(r).powi(2) - value(piece.node)).abs() < 1e-14 * value(piece.node));
            }
        }
    }
}
