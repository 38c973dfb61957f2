//! Expressions made of pieces that are affine in time: `abs(time - a) - b`, `max(time, c)`, `min(time - a, b - time)`.
//!
//! Such an expression is everywhere equal to one of a few affine functions, and so changes its sign only where one of
//! them is zero. Which of them holds where is not asked: a breakpoint at which nothing happens costs a step, and one
//! that is missed costs the answer.

use std::collections::{HashMap, HashSet};

use crate::expr::{BinaryOp, Dag, Leaf, Node, NodeId, UnaryOp};

use super::discontinuity::{is_fixed, is_scheduled, is_timeless};
use super::lower::Builder;

/// Pieces of one expression, at most; more are left to root finding.
const MOST_PIECES: usize = 32;

/// `slope · clock + intercept` with a slope and an intercept of parameters only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub slope: NodeId,
    pub intercept: NodeId,
}

impl Piece {
    /// Does not depend on the clock.
    fn fixed(intercept: NodeId) -> Piece {
        Piece { slope: Dag::ZERO, intercept }
    }
}

impl Builder<'_> {
    /// The pieces of `node` in the `clock`, which is time or a node that stands for it; `None` where it has others.
    pub(super) fn pieces(&mut self, node: NodeId, clock: Option<NodeId>) -> Option<Vec<Piece>> {
        is_scheduled(self.bits_of(node)).then_some(())?;
        let clock = clock.unwrap_or_else(|| self.dag.leaf(Leaf::Time));
        let (mut moving, mut stack) = (HashSet::from([node]), vec![node]);
        while let Some(id) = stack.pop() {
            if id != clock && !is_fixed(self.bits_of(id)) {
                self.dag.for_each_operand(id, |e| {
                    if moving.insert(e) {
                        stack.push(e);
                    }
                });
            }
        }
        // In ascending order operands come first, so that a long chain of definitions needs no stack.
        let mut order: Vec<NodeId> = moving.into_iter().collect();
        order.sort_unstable();
        let mut found: HashMap<NodeId, Vec<Piece>> = HashMap::new();
        for id in order {
            let pieces = if id == clock {
                Some(vec![CLOCK])
            } else {
                self.pieces_of(id, &found).filter(|p| p.len() <= MOST_PIECES)
            };
            found.extend(pieces.map(|pieces| (id, pieces)));
        }
        found.remove(&node)
    }

    fn pieces_of(&mut self, id: NodeId, found: &HashMap<NodeId, Vec<Piece>>) -> Option<Vec<Piece>> {
        if is_fixed(self.bits_of(id)) {
            return Some(vec![Piece::fixed(id)]);
        }
        let mut list = match self.dag.node(id) {
            Node::Sum(sum) => {
                let terms = self.dag.terms(sum).to_vec();
                let mut sums: Vec<Vec<(f64, Piece)>> = vec![Vec::new()];
                for term in terms {
                    let pieces = found.get(&term.node)?;
                    let longer = |sum: &Vec<(f64, Piece)>, piece: &Piece| {
                        sum.iter().copied().chain([(term.coefficient, *piece)]).collect::<Vec<_>>()
                    };
                    sums = sums.iter().flat_map(|sum| pieces.iter().map(move |p| longer(sum, p))).collect();
                    (sums.len() <= MOST_PIECES).then_some(())?;
                }
                sums.into_iter().map(|terms| self.combined(&terms)).collect()
            }
            Node::Binary(BinaryOp::Mul, a, b) => {
                let (fixed, moving) = if is_fixed(self.bits_of(a)) { (a, b) } else { (b, a) };
                is_fixed(self.bits_of(fixed)).then_some(())?;
                self.each(found.get(&moving)?, |dag, e| dag.mul(fixed, e))
            }
            Node::Binary(BinaryOp::Div, a, b) => {
                is_fixed(self.bits_of(b)).then_some(())?;
                self.each(found.get(&a)?, |dag, e| dag.div(e, b))
            }
            Node::Binary(BinaryOp::Min | BinaryOp::Max, a, b) | Node::Select { then: a, otherwise: b, .. } => {
                [&found.get(&a)?[..], &found.get(&b)?[..]].concat()
            }
            Node::Unary(UnaryOp::Abs, a) => {
                let inner = found.get(&a)?;
                let negative = self.each(inner, Dag::neg);
                [&inner[..], &negative[..]].concat()
            }
            Node::Const(_)
            | Node::Leaf(_)
            | Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Compare(..) => return None,
        };
        let mut known = HashSet::new();
        list.retain(|piece: &Piece| known.insert((piece.slope, piece.intercept)));
        Some(list)
    }

    fn combined(&mut self, terms: &[(f64, Piece)]) -> Piece {
        let slopes: Vec<(f64, NodeId)> = terms.iter().map(|(c, piece)| (*c, piece.slope)).collect();
        let intercepts: Vec<(f64, NodeId)> = terms.iter().map(|(c, piece)| (*c, piece.intercept)).collect();
        Piece { slope: self.dag.sum(&slopes), intercept: self.dag.sum(&intercepts) }
    }

    fn each(&mut self, pieces: &[Piece], rule: impl Fn(&mut Dag, NodeId) -> NodeId) -> Vec<Piece> {
        let dag = &mut self.dag;
        pieces.iter().map(|p| Piece { slope: rule(dag, p.slope), intercept: rule(dag, p.intercept) }).collect()
    }

    /// Where the clock makes a piece zero; `None` where it never does.
    pub(super) fn zero_of(&mut self, piece: Piece) -> Option<NodeId> {
        if piece.slope == Dag::ZERO {
            return None;
        }
        let minus = self.dag.neg(piece.intercept);
        Some(self.dag.div(minus, piece.slope))
    }

    /// The one `mod(a, period)` through which alone `g` depends on time, with its operands.
    pub(super) fn only_modulo(&mut self, g: NodeId) -> Option<(NodeId, NodeId, NodeId)> {
        let mut found: Option<(NodeId, NodeId, NodeId)> = None;
        let (mut seen, mut stack) = (HashSet::new(), vec![g]);
        while let Some(id) = stack.pop() {
            if is_timeless(self.bits_of(id)) || !seen.insert(id) {
                continue;
            }
            match self.dag.node(id) {
                Node::Binary(BinaryOp::Mod, a, period) => match found {
                    None => found = Some((id, a, period)),
                    Some((other, ..)) if other == id => {}
                    Some(_) => return None,
                },
                Node::Leaf(Leaf::Time) => return None,
                Node::Const(_)
                | Node::Leaf(_)
                | Node::Unary(..)
                | Node::Binary(..)
                | Node::PowI(..)
                | Node::Sum(_)
                | Node::Compare(..)
                | Node::Select { .. } => self.dag.for_each_operand(id, |e| stack.push(e)),
            }
        }
        found
    }
}

/// The clock itself.
const CLOCK: Piece = Piece { slope: Dag::ONE, intercept: Dag::ZERO };
