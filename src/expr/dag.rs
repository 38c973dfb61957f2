//! The arena of expression nodes. Equal expressions have equal ids; ids ascend from operands to results.
//!
//! All additions are n-ary [`Node::Sum`]s of `coefficient · node`, evaluated from left to right in the order they
//! were first written; products and quotients are binary. Nodes are made by the constructors of [`super::build`],
//! which fold and simplify.
//!
//! The arena is bounded: past the limit nothing is added, constructors return [`Dag::ZERO`], and [`Dag::is_full`]
//! stays true. A stage that builds expressions asks once at its end and reports E0114.

pub use super::ops::{BinaryOp, Compare, UnaryOp};
use crate::limits::MAX_DAG_NODES;

/// Index of a node; operands have smaller ids than their results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Index of the terms of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SumId(u32);

/// What an expression may depend on. Discrete states are states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leaf {
    /// t
    Time,
    /// x\[k\]
    State(u32),
    /// p\[k\]
    Param(u32),
    /// u\[k\]
    Input(u32),
    /// d\[k\]
    Disturbance(u32),
    /// Component k of a direction in x, of `System::jacobian_along`.
    Direction(u32),
    /// The direction's component in t.
    DirectionTime,
}

/// One node of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// The bits of an `f64`.
    Const(u64),
    /// A variable.
    Leaf(Leaf),
    /// A function of one argument.
    Unary(UnaryOp, NodeId),
    /// A function of two arguments.
    Binary(BinaryOp, NodeId, NodeId),
    /// `a^n` with |n| ≥ 2, evaluated as [`super::ops::powi`] says; `a^(−1)` is built as `1/a`.
    PowI(NodeId, i32),
    /// Σ coefficient · node, left to right.
    Sum(SumId),
    /// A truth value.
    Compare(Compare, NodeId, NodeId),
    /// `if condition then a else b`
    Select { condition: NodeId, then: NodeId, otherwise: NodeId },
}

/// One term of a sum. A constant term is `value · 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The factor.
    pub coefficient: f64,
    /// The node it multiplies.
    pub node: NodeId,
}

/// The graph.
#[derive(Debug, Clone)]
pub struct Dag {
    nodes: Vec<Node>,
    node_table: Table,
    /// The terms of all sums, one sum after the other.
    terms: Vec<Term>,
    /// Where each sum's terms end.
    sum_ends: Vec<usize>,
    /// The node of each sum.
    sum_nodes: Vec<NodeId>,
    sum_table: Table,
    limit: usize,
    is_full: bool,
    /// Reused by [`Dag::sum`].
    pub(super) scratch: Vec<Term>,
}

impl Default for Dag {
    fn default() -> Self {
        Self::new()
    }
}

impl Dag {
    /// The constant 0.
    pub const ZERO: NodeId = NodeId(0);
    /// The constant 1.
    pub const ONE: NodeId = NodeId(1);

    /// A graph with the constants 0 and 1.
    pub fn new() -> Self {
        Self::with_limit(MAX_DAG_NODES)
    }

    /// A graph that is full at `limit` nodes, or at as many terms of sums.
    pub fn with_limit(limit: usize) -> Self {
        let mut dag = Dag {
            nodes: Vec::new(),
            node_table: Table::new(),
            terms: Vec::new(),
            sum_ends: Vec::new(),
            sum_nodes: Vec::new(),
            sum_table: Table::new(),
            limit: limit.clamp(2, u32::MAX as usize - 1),
            is_full: false,
            scratch: Vec::new(),
        };
        dag.intern(Node::Const(0f64.to_bits()));
        dag.intern(Node::Const(1f64.to_bits()));
        dag
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: the constants 0 and 1 are always there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// True once a node was refused for want of room. What was built since then is meaningless.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id.0 as usize]
    }

    /// The terms of a sum, in evaluation order.
    pub fn terms(&self, sum: SumId) -> &[Term] {
        let idx = sum.0 as usize;
        let start = if idx == 0 { 0 } else { self.sum_ends[idx - 1] };
        &self.terms[start..self.sum_ends[idx]]
    }

    /// The value of a constant node.
    pub fn as_const(&self, id: NodeId) -> Option<f64> {
        match self.node(id) {
            Node::Const(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Calls `visit` with each operand.
    pub fn for_each_operand(&self, id: NodeId, mut visit: impl FnMut(NodeId)) {
        match self.node(id) {
            Node::Const(_) | Node::Leaf(_) => {}
            Node::Unary(_, a) | Node::PowI(a, _) => visit(a),
            Node::Binary(_, a, b) | Node::Compare(_, a, b) => {
                visit(a);
                visit(b);
            }
            Node::Sum(sum) => self.terms(sum).iter().for_each(|t| visit(t.node)),
            Node::Select { condition, then, otherwise } => {
                visit(condition);
                visit(then);
                visit(otherwise);
            }
        }
    }

    /// The nodes that `roots` depend on, themselves included, in ascending order (so operands stand before results).
    pub fn reachable(&self, roots: &[NodeId]) -> Vec<NodeId> {
        let mut seen = vec![false; roots.iter().map(|r| r.0 as usize + 1).max().unwrap_or(0)];
        let mut stack = Vec::new();
        for &root in roots {
            if !std::mem::replace(&mut seen[root.0 as usize], true) {
                stack.push(root);
            }
        }
        while let Some(id) = stack.pop() {
            self.for_each_operand(id, |operand| {
                if !std::mem::replace(&mut seen[operand.0 as usize], true) {
                    stack.push(operand);
                }
            });
        }
        seen.iter().enumerate().filter(|(_, is_seen)| **is_seen).map(|(i, _)| NodeId(i as u32)).collect()
    }

    /// The id of a node that is not a sum.
    pub(super) fn intern(&mut self, node: Node) -> NodeId {
        let nodes = &self.nodes;
        match self.node_table.find(hash_node(node), |idx| nodes[idx as usize] == node) {
            Ok(idx) => NodeId(idx),
            Err(_) if nodes.len() >= self.limit => {
                self.is_full = true;
                Self::ZERO
            }
            Err(slot) => {
                let idx = nodes.len() as u32;
                self.nodes.push(node);
                let nodes = &self.nodes;
                self.node_table.insert(slot, idx, |idx| hash_node(nodes[idx as usize]));
                NodeId(idx)
            }
        }
    }

    /// The id of a node that is not a sum, if it is there.
    pub(super) fn known(&self, node: Node) -> Option<NodeId> {
        self.node_table.find(hash_node(node), |idx| self.nodes[idx as usize] == node).ok().map(NodeId)
    }

    /// The id of the sum of these terms, if it is there.
    pub(super) fn known_sum(&self, list: &[Term]) -> Option<NodeId> {
        self.find_sum(list).ok().map(|idx| self.sum_nodes[idx as usize])
    }

    /// The index of the sum of these terms, or the free slot where it belongs.
    fn find_sum(&self, list: &[Term]) -> Result<u32, usize> {
        let same = |t: &Term, u: &Term| t.node == u.node && t.coefficient.to_bits() == u.coefficient.to_bits();
        self.sum_table.find(hash_terms(list), |idx| {
            let known = self.terms(SumId(idx));
            known.len() == list.len() && known.iter().zip(list).all(|(t, u)| same(t, u))
        })
    }

    /// The id of the sum of these terms, which are simplified already.
    pub(super) fn intern_sum(&mut self, list: &[Term]) -> NodeId {
        match self.find_sum(list) {
            Ok(idx) => self.sum_nodes[idx as usize],
            Err(_) if self.nodes.len() >= self.limit || self.terms.len() + list.len() > self.limit => {
                self.is_full = true;
                Self::ZERO
            }
            Err(slot) => {
                let idx = self.sum_ends.len() as u32;
                let id = NodeId(self.nodes.len() as u32);
                self.terms.extend_from_slice(list);
                self.sum_ends.push(self.terms.len());
                self.sum_nodes.push(id);
                self.nodes.push(Node::Sum(SumId(idx)));
                let mut table = std::mem::replace(&mut self.sum_table, Table { slots: Vec::new(), len: 0 });
                table.insert(slot, idx, |idx| hash_terms(self.terms(SumId(idx))));
                self.sum_table = table;
                id
            }
        }
    }
}

/// A hash table of indices into an arena: open addressing with linear probing, at most half full. The arena holds
/// the keys. Chosen over a general hash set for a third of its time on networks of 10,000 reactions.
#[derive(Debug, Clone)]
struct Table {
    slots: Vec<u32>,
    len: usize,
}

impl Table {
    const FREE: u32 = u32::MAX;

    fn new() -> Self {
        Table { slots: vec![Self::FREE; 64], len: 0 }
    }

    /// The known index, or the free slot where it belongs.
    fn find(&self, hash: u64, is_same: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                Self::FREE => return Err(slot),
                idx if is_same(idx) => return Ok(idx),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Puts a new index into the free slot that [`Table::find`] gave, and grows.
    fn insert(&mut self, slot: usize, idx: u32, hash_of: impl Fn(u32) -> u64) {
        self.slots[slot] = idx;
        self.len += 1;
        if self.len * 2 <= self.slots.len() {
            return;
        }
        let mask = self.slots.len() * 2 - 1;
        let old = std::mem::replace(&mut self.slots, vec![Self::FREE; mask + 1]);
        for idx in old.into_iter().filter(|&idx| idx != Self::FREE) {
            let mut slot = hash_of(idx) as usize & mask;
            while self.slots[slot] != Self::FREE {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = idx;
        }
    }
}

/// Mixes two words: both halves of their product, so that every bit of either reaches the low bits of the result.
fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    (wide as u64) ^ ((wide >> 64) as u64)
}

fn pair(a: NodeId, b: NodeId) -> u64 {
    u64::from(a.0) << 32 | u64::from(b.0)
}

fn hash_node(node: Node) -> u64 {
    match node {
        Node::Const(bits) => mix(1, bits),
        Node::Leaf(leaf) => {
            let (kind, idx) = match leaf {
                Leaf::Time => (0, 0),
                Leaf::State(k) => (1, k),
                Leaf::Param(k) => (2, k),
                Leaf::Input(k) => (3, k),
                Leaf::Disturbance(k) => (4, k),
                Leaf::Direction(k) => (5, k),
                Leaf::DirectionTime => (6, 0),
            };
            mix(2 | kind << 8, u64::from(idx))
        }
        Node::Unary(op, a) => mix(3 | (op as u64) << 8, u64::from(a.0)),
        Node::Binary(op, a, b) => mix(4 | (op as u64) << 8, pair(a, b)),
        Node::PowI(a, n) => mix(5 | u64::from(n as u32) << 8, u64::from(a.0)),
        Node::Sum(sum) => mix(6, u64::from(sum.0)),
        Node::Compare(op, a, b) => mix(7 | (op as u64) << 8, pair(a, b)),
        Node::Select { condition, then, otherwise } => mix(8 | u64::from(condition.0) << 8, pair(then, otherwise)),
    }
}

fn hash_terms(terms: &[Term]) -> u64 {
    terms.iter().fold(terms.len() as u64, |hash, t| mix(hash ^ u64::from(t.node.0), t.coefficient.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_expressions_have_equal_ids() {
        let mut dag = Dag::new();
        for k in 0..1000 {
            let (a, b) = (dag.leaf(Leaf::State(k)), dag.leaf(Leaf::Param(k)));
            let first = (dag.mul(a, b), dag.add(a, b), dag.div(a, b));
            assert_eq!(first, (dag.mul(b, a), dag.add(a, b), dag.div(a, b)));
        }
        let len = dag.len();
        for k in 0..1000 {
            let (a, b) = (dag.leaf(Leaf::State(k)), dag.leaf(Leaf::Param(k)));
            dag.add(a, b);
        }
        assert_eq!(dag.len(), len);
    }

    #[test]
    fn operands_come_before_results() {
        let mut dag = Dag::new();
        let (a, b) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::Time));
        let sum = dag.add(a, b);
        let root = dag.mul(sum, b);
        for id in dag.reachable(&[root]) {
            dag.for_each_operand(id, |operand| assert!(operand < id));
        }
        assert_eq!(dag.reachable(&[root]).len(), 4);
    }

    #[test]
    fn a_full_graph_says_so_and_stops_growing() {
        let mut dag = Dag::with_limit(10);
        let mut last = dag.leaf(Leaf::Time);
        for _ in 0..100 {
            last = dag.unary(UnaryOp::Exp, last);
            dag.sum(&[(2.0, last), (1.0, Dag::ONE)]);
        }
        assert!(dag.is_full());
        assert_eq!(dag.len(), 10);
    }
}
