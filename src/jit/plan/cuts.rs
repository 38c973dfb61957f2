//! Where a graph is cut into trees, so that trees of one shape can become the iterations of a loop.
//!
//! A node is a *root* where its value is worth a slot: it is read by several trees and costs more to compute again
//! than to load, or it is a slice function. Every other node belongs to the trees that read it. Three passes over the
//! nodes, each in the order of ids, find costs (upwards), roots (downwards), levels and shapes (upwards).
//!
//! Invariant: a root of level n reads roots of levels below n only.

use super::schedule::slice_function;
use crate::expr::{Dag, Leaf, Node, NodeId, UnaryOp};

/// How fine the trees are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// What is cheap is computed again in each tree that reads it: neighbors of an array share little.
    Trees,
    /// Everything shared and every term of a sum is a root, and coefficients do not count as shape: networks without
    /// order still have sums of equal length.
    Terms,
}

/// A node that no tree reads.
const NOBODY: u32 = u32::MAX;
/// A node that several trees read.
const MANY: u32 = u32::MAX - 1;
/// No slot.
pub(super) const NO_SLOT: u32 = u32::MAX;
/// Operations up to which computing a shared value again is as cheap as storing and loading it; chosen by benchmark.
const CHEAP: u32 = 3;

/// The shape of a value in a slot.
const SLOT_KEY: u64 = 0x51_07;

/// What is known of each node.
pub(super) struct Cuts<'a> {
    pub(super) dag: &'a Dag,
    has_slices: bool,
    grain: Grain,
    n: usize,
    cost: Vec<u32>,
    owner: Vec<u32>,
    is_root: Vec<bool>,
    level: Vec<u32>,
    key: Vec<u64>,
    /// Where loops find the value; nodes with a slot are done.
    pub(super) slot: Vec<u32>,
}

impl<'a> Cuts<'a> {
    /// For nodes below `n`.
    pub(super) fn new(dag: &'a Dag, n: usize, has_slices: bool) -> Self {
        let mut cuts = Cuts {
            dag,
            has_slices,
            grain: Grain::Trees,
            n,
            cost: vec![0; n],
            owner: Vec::new(),
            is_root: Vec::new(),
            level: vec![0; n],
            key: vec![0; n],
            slot: vec![NO_SLOT; n],
        };
        for idx in 0..n {
            let id = NodeId(idx as u32);
            let mut cost = own_cost(dag, id);
            dag.for_each_operand(id, |operand| {
                if !cuts.is_slice(operand) {
                    cost = cost.saturating_add(cuts.cost[operand.0 as usize]);
                }
            });
            cuts.cost[idx] = cost;
        }
        cuts
    }

    /// True for a node that a slice routine computes.
    pub(super) fn is_slice(&self, id: NodeId) -> bool {
        self.has_slices && slice_function(self.dag.node(id)).is_some()
    }

    /// Finds the roots, levels and shapes of what these outputs need; `outputs` are pairs of index and node.
    pub(super) fn cut(&mut self, outputs: &[(u32, NodeId)], grain: Grain) {
        self.grain = grain;
        self.owner = vec![NOBODY; self.n];
        self.is_root = vec![false; self.n];
        for &(output, node) in outputs {
            self.claim(node, self.n as u32 + output);
        }
        for idx in (0..self.n).rev() {
            if self.owner[idx] != NOBODY && self.slot[idx] == NO_SLOT {
                self.pass_on(NodeId(idx as u32));
            }
        }
        for idx in 0..self.n {
            if self.owner[idx] != NOBODY && self.slot[idx] == NO_SLOT {
                let id = NodeId(idx as u32);
                self.level[idx] = self.level_of(id);
                self.key[idx] = self.shape_of(id);
            }
        }
    }

    /// The tree `unit` reads the node.
    fn claim(&mut self, node: NodeId, unit: u32) {
        let owner = &mut self.owner[node.0 as usize];
        *owner = if *owner == NOBODY || *owner == unit { unit } else { MANY };
    }

    /// Decides whether a node is a root, and lets its operands know which tree reads them.
    fn pass_on(&mut self, id: NodeId) {
        let (dag, idx) = (self.dag, id.0 as usize);
        let node = dag.node(id);
        if let Node::Const(_) | Node::Leaf(_) = node {
            return;
        }
        let worth = match self.grain {
            Grain::Trees => self.cost[idx] > CHEAP,
            Grain::Terms => true,
        };
        let is_root = self.is_root[idx] || self.is_slice(id) || (self.owner[idx] == MANY && worth);
        self.is_root[idx] = is_root;
        let unit = if is_root { id.0 } else { self.owner[idx] };
        let is_coarse_sum = self.grain == Grain::Terms && matches!(node, Node::Sum(_));
        dag.for_each_operand(id, |operand| {
            self.claim(operand, unit);
            if is_coarse_sum && can_be_root(dag.node(operand)) {
                self.is_root[operand.0 as usize] = true;
            }
        });
    }

    /// True where a tree finds the value of the node in a slot.
    pub(super) fn is_in_slot(&self, id: NodeId) -> bool {
        let idx = id.0 as usize;
        self.slot[idx] != NO_SLOT || self.is_root[idx]
    }

    /// The level of a root, or what a tree with this node in it must be above.
    pub(super) fn level(&self, id: NodeId) -> u32 {
        self.level[id.0 as usize]
    }

    fn level_of(&self, id: NodeId) -> u32 {
        let mut level = 0;
        self.dag.for_each_operand(id, |operand| {
            level = level.max(self.level(operand) + u32::from(self.is_in_slot(operand)));
        });
        level
    }

    /// The roots that the last cut found, in ascending order.
    pub(super) fn roots(&self) -> impl Iterator<Item = NodeId> + '_ {
        let is_new = |&idx: &usize| self.is_root[idx] && self.owner[idx] != NOBODY && self.slot[idx] == NO_SLOT;
        (0..self.n).filter(is_new).map(|idx| NodeId(idx as u32))
    }

    /// A hash of the shape of a tree at its top: equal for trees that may become iterations of one loop.
    pub(super) fn shape(&self, id: NodeId) -> u64 {
        self.key[id.0 as usize]
    }

    /// A hash of what an operand looks like to its reader.
    pub(super) fn operand_shape(&self, id: NodeId) -> u64 {
        if self.is_in_slot(id) { SLOT_KEY } else { self.inner_shape(id) }
    }

    fn inner_shape(&self, id: NodeId) -> u64 {
        match self.dag.node(id) {
            Node::Const(_) => 1,
            Node::Leaf(leaf) => match leaf {
                Leaf::Time => 2,
                Leaf::State(_) => 3,
                Leaf::Param(_) => 4,
                Leaf::Input(_) => 5,
                Leaf::Disturbance(_) => 6,
                Leaf::Direction(_) => 7,
                Leaf::DirectionTime => 8,
            },
            Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..)
            | Node::Select { .. } => self.key[id.0 as usize],
        }
    }

    fn shape_of(&self, id: NodeId) -> u64 {
        let operand = |id: NodeId| self.operand_shape(id);
        match self.dag.node(id) {
            Node::Const(_) | Node::Leaf(_) => self.inner_shape(id),
            Node::Unary(op, a) => mix(mix(10, op as u64), operand(a)),
            Node::Binary(op, a, b) => {
                let (a, b) = (operand(a), operand(b));
                // The operands of a product are ordered by id, which says nothing.
                let (a, b) = if op == crate::expr::BinaryOp::Mul { (a.min(b), a.max(b)) } else { (a, b) };
                mix(mix(mix(11, op as u64), a), b)
            }
            Node::PowI(a, n) => mix(mix(12, u64::from(n as u32)), operand(a)),
            Node::Compare(op, a, b) => mix(mix(mix(13, op as u64), operand(a)), operand(b)),
            Node::Select { condition, then, otherwise } => {
                mix(mix(mix(14, operand(condition)), operand(then)), operand(otherwise))
            }
            Node::Sum(sum) => self.dag.terms(sum).iter().fold(15, |hash, term| {
                let kind = match self.grain {
                    Grain::Trees => coefficient_kind(term.coefficient),
                    Grain::Terms => 0,
                };
                mix(mix(hash, kind), operand(term.node))
            }),
        }
    }
}

/// True where a term of a sum may wait in a slot; among them are leaves, so that all terms look alike.
fn can_be_root(node: Node) -> bool {
    match node {
        Node::Const(_) | Node::Leaf(Leaf::Time | Leaf::DirectionTime) => false,
        Node::Leaf(Leaf::State(_) | Leaf::Param(_) | Leaf::Input(_) | Leaf::Disturbance(_) | Leaf::Direction(_))
        | Node::Unary(..)
        | Node::Binary(..)
        | Node::PowI(..)
        | Node::Sum(_)
        | Node::Compare(..)
        | Node::Select { .. } => true,
    }
}

/// Coefficients that are computed alike.
fn coefficient_kind(c: f64) -> u64 {
    u64::from(c < 0.0) << 1 | u64::from(c.abs() == 1.0)
}

/// Mixes a word into a hash: both halves of a product.
fn mix(hash: u64, word: u64) -> u64 {
    let wide = u128::from(hash ^ 0x2545_f491_4f6c_dd1d) * u128::from(word ^ 0x9e6c_63d0_676a_9a99);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Operations of a node without its operands, in those of an addition.
fn own_cost(dag: &Dag, id: NodeId) -> u32 {
    match dag.node(id) {
        Node::Const(_) | Node::Leaf(_) => 0,
        Node::Unary(op, _) => match op {
            UnaryOp::Abs | UnaryOp::Not => 1,
            UnaryOp::Sqrt | UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil => 4,
            UnaryOp::Exp
            | UnaryOp::Ln
            | UnaryOp::Log10
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Asin
            | UnaryOp::Acos
            | UnaryOp::Atan
            | UnaryOp::Sinh
            | UnaryOp::Cosh
            | UnaryOp::Tanh => 40,
        },
        Node::Binary(op, ..) => {
            use crate::expr::BinaryOp;
            match op {
                BinaryOp::Mul | BinaryOp::And | BinaryOp::Or => 1,
                BinaryOp::Min | BinaryOp::Max => 2,
                BinaryOp::Div => 4,
                BinaryOp::Mod => 8,
                BinaryOp::Pow | BinaryOp::Atan2 => 40,
            }
        }
        Node::PowI(_, n) => {
            let m = n.unsigned_abs().max(1);
            m.ilog2() + m.count_ones() - 1 + if n < 0 { 4 } else { 0 }
        }
        Node::Sum(sum) => {
            let terms = dag.terms(sum);
            let products = terms.iter().filter(|t| t.coefficient.abs() != 1.0 && t.node != Dag::ONE).count();
            (terms.len() - 1 + products) as u32
        }
        Node::Compare(..) => 1,
        Node::Select { .. } => 3,
    }
}
