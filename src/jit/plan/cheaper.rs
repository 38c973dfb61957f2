//! Cheaper operations in place of costly ones, where that may change the last bits of a result: not under strict math.
//!
//! - A power whose exponent is 3/2, 5/2, 7/2 or 9/2 becomes a root and products, within two units in the last place.
//! - Quotients by one denominator, if there are several, become products with its reciprocal: within 1.5 units in the
//!   last place where a quotient is within one half, unless denominator or reciprocal leave the range of normal numbers.
//!   A quotient that a comparison, a rounding or a remainder depends on stays one, since there the last bit may decide.
//!
//! The graph is rewritten before anything else is decided, so that chunks, loops and lanes all see the same operations.

use crate::expr::{BinaryOp, Dag, Node, NodeId, UnaryOp};

/// The graph with cheaper operations, and the nodes that stand for those given; `None` where nothing becomes cheaper.
pub(super) fn cheaper(dag: &Dag, first: &[NodeId], second: &[NodeId]) -> Option<(Dag, Vec<NodeId>, Vec<NodeId>)> {
    let roots = [first, second].concat();
    let n = roots.iter().map(|root| root.0 as usize + 1).max()?;
    let is_costly =
        |idx: usize| matches!(dag.node(NodeId(idx as u32)), Node::Binary(BinaryOp::Div | BinaryOp::Pow, ..));
    if !(0..n).any(is_costly) {
        return None;
    }
    let order = dag.reachable(&roots);
    let decisive = decisive(dag, &order, n);
    let mut n_quotients = vec![0_u32; n];
    let mut has_half = false;
    for &id in &order {
        match dag.node(id) {
            Node::Binary(BinaryOp::Div, _, b) if !decisive[id.0 as usize] => n_quotients[b.0 as usize] += 1,
            Node::Binary(BinaryOp::Pow, _, b) => has_half |= whole_part(dag, b).is_some(),
            Node::Binary(..)
            | Node::Const(_)
            | Node::Leaf(_)
            | Node::Unary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..)
            | Node::Select { .. } => {}
        }
    }
    if !has_half && n_quotients.iter().all(|&count| count < 2) {
        return None;
    }
    let mut new = Dag::new();
    let mut image = vec![Dag::ZERO; n];
    for id in order {
        let at = |operand: NodeId| image[operand.0 as usize];
        let node = dag.node(id);
        image[id.0 as usize] = match node {
            Node::Binary(BinaryOp::Div, a, b) if !decisive[id.0 as usize] && n_quotients[b.0 as usize] > 1 => {
                let reciprocal = new.div(Dag::ONE, at(b));
                new.mul(at(a), reciprocal)
            }
            Node::Binary(BinaryOp::Pow, a, b) => match whole_part(dag, b) {
                Some(n) => {
                    let (power, root) = (new.powi(at(a), n), new.unary(UnaryOp::Sqrt, at(a)));
                    new.mul(power, root)
                }
                None => new.pow(at(a), at(b)),
            },
            Node::Binary(..)
            | Node::Const(_)
            | Node::Leaf(_)
            | Node::Unary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..)
            | Node::Select { .. } => new.rebuild(dag, node, at),
        };
    }
    if new.is_full() {
        return None;
    }
    let images = |nodes: &[NodeId]| nodes.iter().map(|node| image[node.0 as usize]).collect();
    Some((new, images(first), images(second)))
}

/// n where the exponent is n + 1/2 and n is 1 to 4.
fn whole_part(dag: &Dag, exponent: NodeId) -> Option<i32> {
    let n = dag.as_const(exponent)? - 0.5;
    (n.fract() == 0.0 && (1.0..=4.0).contains(&n)).then_some(n as i32)
}

/// By node: whether the value of a comparison, a rounding or a remainder depends on it. `order` ascends.
fn decisive(dag: &Dag, order: &[NodeId], n: usize) -> Vec<bool> {
    let mut decisive = vec![false; n];
    for &id in order.iter().rev() {
        let decides = match dag.node(id) {
            Node::Unary(op, _) => match op {
                UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Not => true,
                UnaryOp::Abs
                | UnaryOp::Exp
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
                | UnaryOp::Tanh => false,
            },
            Node::Binary(op, ..) => match op {
                BinaryOp::Mod | BinaryOp::And | BinaryOp::Or => true,
                BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow | BinaryOp::Min | BinaryOp::Max | BinaryOp::Atan2 => {
                    false
                }
            },
            Node::Compare(..) => true,
            Node::Select { condition, .. } => {
                decisive[condition.0 as usize] = true;
                false
            }
            Node::Const(_) | Node::Leaf(_) | Node::PowI(..) | Node::Sum(_) => false,
        };
        if decides || decisive[id.0 as usize] {
            dag.for_each_operand(id, |operand| decisive[operand.0 as usize] = true);
        }
    }
    decisive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Compare, Env, Interpreter, Leaf};

    /// Values of the nodes with cheaper operations, and without.
    fn both(dag: &Dag, nodes: &[NodeId], x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (new, images, none) = cheaper(dag, nodes, &[]).expect("something becomes cheaper");
        assert!(none.is_empty());
        let env = Env { t: 0.0, x, u: &[], d: &[], p: &[], dx: &[], dt: 0.0 };
        (Interpreter::new(&new, &images).values(&env), Interpreter::new(dag, nodes).values(&env))
    }

    fn count(dag: &Dag, roots: &[NodeId], op: BinaryOp) -> usize {
        let is_such = |id: &&NodeId| matches!(dag.node(**id), Node::Binary(found, ..) if found == op);
        dag.reachable(roots).iter().filter(is_such).count()
    }

    fn states(dag: &mut Dag) -> [NodeId; 3] {
        [0, 1, 2].map(|k| dag.leaf(Leaf::State(k)))
    }

    #[test]
    fn quotients_by_one_denominator_share_its_reciprocal() {
        let mut dag = Dag::new();
        let [a, b, d] = states(&mut dag);
        let below = dag.add(d, Dag::ONE);
        let quotients = [dag.div(a, below), dag.div(b, below), dag.div(a, b)];
        let (new, images, _) = cheaper(&dag, &quotients, &[]).expect("a reciprocal");
        // The reciprocal, and the quotient that is alone.
        assert_eq!((count(&new, &images, BinaryOp::Div), count(&new, &images, BinaryOp::Mul)), (2, 2));
        for x in [[0.3, -7.1, 2.2], [1e-200, 3.3, 1e100], [5.0, 1.0, -1.0], [0.0, 1.0, -1.0]] {
            let (got, want) = both(&dag, &quotients, &x);
            for (g, w) in got.iter().zip(&want) {
                let is_close = (g - w).abs() <= 1.5 * f64::EPSILON * w.abs();
                assert!(is_close || g == w || (g.is_nan() && w.is_nan()), "{x:?}: {g} {w}");
            }
        }
    }

    #[test]
    fn what_is_alone_or_decides_stays_as_it_is() {
        let mut dag = Dag::new();
        let [a, b, d] = states(&mut dag);
        let alone = [dag.div(a, d), dag.div(a, b)];
        assert!(cheaper(&dag, &alone, &[]).is_none());
        // 49/49 rounds to 1 as a quotient, and to less as a product with 1/49.
        let (first, second) = (dag.div(a, d), dag.div(b, d));
        let whole = dag.unary(UnaryOp::Floor, first);
        let below = dag.compare(Compare::Lt, second, Dag::ONE);
        let chosen = dag.select(below, a, b);
        assert!(cheaper(&dag, &[whole, chosen], &[]).is_none());
        let third = dag.div(Dag::ONE, d);
        let fourth = dag.binary(BinaryOp::Atan2, third, third);
        let more = [whole, chosen, fourth, dag.div(chosen, d)];
        let (got, want) = both(&dag, &more, &[49.0, 49.0, 49.0]);
        assert_eq!((got[0], got[1]), (1.0, 49.0));
        assert_eq!((want[0], want[1]), (1.0, 49.0));
    }

    #[test]
    fn half_powers_become_roots_and_products() {
        let mut dag = Dag::new();
        let [a, b, _] = states(&mut dag);
        let powers: Vec<NodeId> = [1.5, 2.5, 3.5, 4.5]
            .map(|exponent| {
                let exponent = dag.constant(exponent);
                dag.pow(a, exponent)
            })
            .into();
        let (new, images, _) = cheaper(&dag, &powers, &[]).expect("roots");
        assert_eq!(count(&new, &images, BinaryOp::Pow), 0);
        for x in [0.0, 2.0, 1e-30, 7.7e20, 1e300, f64::INFINITY, -1.0, 0.1234] {
            let (got, want) = both(&dag, &powers, &[x, 0.0, 0.0]);
            for (g, w) in got.iter().zip(&want) {
                let is_close = (g - w).abs() <= 2.0 * f64::EPSILON * w.abs();
                assert!(is_close || g == w || (g.is_nan() && w.is_nan()), "{x}: {g} {w}");
            }
        }
        let others = [-1.5, 5.5, 1.25].map(|exponent| {
            let exponent = dag.constant(exponent);
            dag.pow(a, exponent)
        });
        assert!(cheaper(&dag, &others, &[]).is_none());
        let variable = dag.pow(a, b);
        assert!(cheaper(&dag, &[variable], &[]).is_none());
    }
}
