//! The body that many trees have in common, and what each tree puts into its holes.
//!
//! A [`Body`] is made from one tree. Reading another tree walks both side by side and compares every operation, so
//! that a collision of shape hashes, or values shared in one tree and not in the other, cannot go unseen: such a tree
//! is refused.

use super::cuts::Cuts;
use super::{Op, Operand, PlanTerm, ValueId};
use crate::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, UnaryOp};

/// Larger bodies are not worth a loop: their straight-line code is as good.
const LARGEST_BODY: usize = 150;

/// What stands in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HoleKind {
    /// The bits of a number.
    Number,
    /// The index of a state.
    State,
    /// The index of a parameter.
    Param,
    /// The index of an input.
    Input,
    /// The index of a disturbance.
    Disturbance,
    /// The index of a component of the direction.
    Direction,
    /// A scratch slot.
    Slot,
    /// The index of an output; only as the place of a result.
    Output,
}

/// Where an operand of the body comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ref {
    /// Another operation of the body; `is_first` where the walk sees it for the first time.
    Inner { op: usize, is_first: bool },
    /// The next hole.
    Hole(HoleKind),
    /// t or dt.
    Same(Leaf),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Unary(UnaryOp),
    Binary(BinaryOp),
    PowI(i32),
    Compare(Compare),
    Select,
    /// Each term is a coefficient and an operand, the latter absent where the term is a number.
    Sum,
}

#[derive(Debug)]
struct BodyOp {
    kind: Kind,
    /// Range of [`Body::refs`].
    begin: usize,
    end: usize,
    /// In the first tree; ids tell in which order operations may be computed.
    node: NodeId,
}

/// An operand as the walk meets it.
#[derive(Debug, Clone, Copy)]
enum Item {
    Number(f64),
    Node(NodeId),
}

/// A tree with holes.
#[derive(Debug)]
pub(super) struct Body {
    ops: Vec<BodyOp>,
    refs: Vec<Ref>,
    top: Ref,
    kinds: Vec<HoleKind>,
}

/// Buffers of the walk.
#[derive(Default)]
pub(super) struct Walk {
    nodes: Vec<NodeId>,
    items: Vec<Item>,
}

/// The node whose tree is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Top {
    /// Computed here: its operation is the last of the body.
    Computed(NodeId),
    /// Read like any operand: it may be in a slot already.
    Read(NodeId),
}

/// Roots that no loop computes but a loop reads, with the slots they get.
pub(super) struct Slots {
    /// The next free slot.
    pub(super) next: u32,
    /// What straight-line code leaves in a slot.
    pub(super) kept: Vec<NodeId>,
}

impl Slots {
    /// The slot of a root, which it gets now if it has none.
    fn of(&mut self, cuts: &mut Cuts<'_>, id: NodeId) -> u32 {
        let slot = &mut cuts.slot[id.0 as usize];
        if *slot == super::cuts::NO_SLOT {
            *slot = self.next;
            self.next += 1;
            self.kept.push(id);
        }
        *slot
    }
}

/// A node or number as its reader sees it.
enum Seen {
    Inner(NodeId),
    Hole(HoleKind, u64),
    Same(Leaf),
}

fn see_top(cuts: &mut Cuts<'_>, slots: &mut Slots, top: Top) -> Seen {
    match top {
        Top::Computed(id) => look(cuts, id),
        Top::Read(id) => see(cuts, slots, Item::Node(id)),
    }
}

fn see(cuts: &mut Cuts<'_>, slots: &mut Slots, item: Item) -> Seen {
    let id = match item {
        Item::Number(c) => return Seen::Hole(HoleKind::Number, c.to_bits()),
        Item::Node(id) => id,
    };
    if cuts.is_in_slot(id) {
        return Seen::Hole(HoleKind::Slot, u64::from(slots.of(cuts, id)));
    }
    look(cuts, id)
}

/// A node that is not in a slot, or not yet.
fn look(cuts: &Cuts<'_>, id: NodeId) -> Seen {
    match cuts.dag.node(id) {
        Node::Const(bits) => Seen::Hole(HoleKind::Number, bits),
        Node::Leaf(leaf) => match leaf {
            Leaf::Time | Leaf::DirectionTime => Seen::Same(leaf),
            Leaf::State(k) => Seen::Hole(HoleKind::State, u64::from(k)),
            Leaf::Param(k) => Seen::Hole(HoleKind::Param, u64::from(k)),
            Leaf::Input(k) => Seen::Hole(HoleKind::Input, u64::from(k)),
            Leaf::Disturbance(k) => Seen::Hole(HoleKind::Disturbance, u64::from(k)),
            Leaf::Direction(k) => Seen::Hole(HoleKind::Direction, u64::from(k)),
        },
        Node::Unary(..)
        | Node::Binary(..)
        | Node::PowI(..)
        | Node::Sum(_)
        | Node::Compare(..)
        | Node::Select { .. } => Seen::Inner(id),
    }
}

/// True where an operand of another tree can stand for `operand`; notes what stands in a hole.
fn fits(operand: Ref, seen: Seen, nodes: &mut [NodeId], row: &mut Vec<u64>) -> bool {
    match (operand, seen) {
        (Ref::Same(a), Seen::Same(b)) => a == b,
        (Ref::Hole(expected), Seen::Hole(kind, value)) => {
            row.push(value);
            expected == kind
        }
        (Ref::Inner { op, is_first }, Seen::Inner(id)) => {
            let is_same = is_first || nodes[op] == id;
            nodes[op] = id;
            is_same
        }
        (Ref::Same(_) | Ref::Hole(_) | Ref::Inner { .. }, _) => false,
    }
}

/// The kind of an inner node and its operands, those of a product in the order of their shapes.
fn open(cuts: &Cuts<'_>, id: NodeId, items: &mut Vec<Item>) -> Option<Kind> {
    items.clear();
    let kind = match cuts.dag.node(id) {
        Node::Const(_) | Node::Leaf(_) => return None,
        Node::Unary(op, a) => {
            items.push(Item::Node(a));
            Kind::Unary(op)
        }
        Node::Binary(op, a, b) => {
            let is_swapped = op == BinaryOp::Mul && cuts.operand_shape(a) > cuts.operand_shape(b);
            items.extend(if is_swapped { [b, a] } else { [a, b] }.map(Item::Node));
            Kind::Binary(op)
        }
        Node::PowI(a, n) => {
            items.push(Item::Node(a));
            Kind::PowI(n)
        }
        Node::Compare(op, a, b) => {
            items.extend([a, b].map(Item::Node));
            Kind::Compare(op)
        }
        Node::Select { condition, then, otherwise } => {
            items.extend([condition, then, otherwise].map(Item::Node));
            Kind::Select
        }
        Node::Sum(sum) => {
            for term in cuts.dag.terms(sum) {
                items.push(Item::Number(term.coefficient));
                if term.node != Dag::ONE {
                    items.push(Item::Node(term.node));
                }
            }
            Kind::Sum
        }
    };
    Some(kind)
}

impl Body {
    /// The body of the tree below `top`; `None` where it is too large.
    pub(super) fn new(cuts: &mut Cuts<'_>, slots: &mut Slots, walk: &mut Walk, top: Top) -> Option<Body> {
        let mut body = Body { ops: Vec::new(), refs: Vec::new(), top: Ref::Same(Leaf::Time), kinds: Vec::new() };
        walk.nodes.clear();
        let seen = see_top(cuts, slots, top);
        body.top = body.refer(walk, seen);
        let mut idx = 0;
        while idx < walk.nodes.len() {
            if idx == LARGEST_BODY || body.refs.len() > 2 * LARGEST_BODY {
                return None;
            }
            let node = walk.nodes[idx];
            let mut items = std::mem::take(&mut walk.items);
            let kind = open(cuts, node, &mut items)?;
            let begin = body.refs.len();
            for &item in &items {
                let seen = see(cuts, slots, item);
                let operand = body.refer(walk, seen);
                body.refs.push(operand);
            }
            walk.items = items;
            body.ops.push(BodyOp { kind, begin, end: body.refs.len(), node });
            idx += 1;
        }
        Some(body)
    }

    fn refer(&mut self, walk: &mut Walk, seen: Seen) -> Ref {
        match seen {
            Seen::Same(leaf) => Ref::Same(leaf),
            Seen::Hole(kind, _) => {
                self.kinds.push(kind);
                Ref::Hole(kind)
            }
            Seen::Inner(id) => {
                // Bodies are small: looking at all operations is faster than a table.
                let known = walk.nodes.iter().position(|&node| node == id);
                let op = known.unwrap_or(walk.nodes.len());
                if known.is_none() {
                    walk.nodes.push(id);
                }
                Ref::Inner { op, is_first: known.is_none() }
            }
        }
    }

    /// Estimated instructions of one tree in straight-line code, its store among them.
    pub(super) fn n_instructions(&self) -> usize {
        let of = |op: &BodyOp| match op.kind {
            Kind::Sum => (op.end - op.begin) / 2,
            Kind::Unary(_) | Kind::Binary(_) | Kind::PowI(_) | Kind::Compare(_) | Kind::Select => 2,
        };
        1 + self.ops.iter().map(of).sum::<usize>()
    }

    /// True where nothing is computed and nothing is read but a number.
    pub(super) fn is_number(&self) -> bool {
        self.ops.is_empty() && self.kinds == [HoleKind::Number]
    }

    /// What stands in each hole, in the order of rows.
    pub(super) fn kinds(&self) -> &[HoleKind] {
        &self.kinds
    }

    /// Appends what the tree below `top` has in the holes. False, with `row` as it was, where it has another shape.
    pub(super) fn read(
        &self,
        cuts: &mut Cuts<'_>,
        slots: &mut Slots,
        walk: &mut Walk,
        top: Top,
        row: &mut Vec<u64>,
    ) -> bool {
        let begin = row.len();
        walk.nodes.clear();
        walk.nodes.resize(self.ops.len(), Dag::ZERO);
        let mut items = std::mem::take(&mut walk.items);
        let mut is_same = fits(self.top, see_top(cuts, slots, top), &mut walk.nodes, row);
        for (idx, op) in self.ops.iter().enumerate() {
            let refs = &self.refs[op.begin..op.end];
            if !is_same || open(cuts, walk.nodes[idx], &mut items) != Some(op.kind) || items.len() != refs.len() {
                is_same = false;
                break;
            }
            for (&operand, &item) in refs.iter().zip(&items) {
                is_same = is_same && fits(operand, see(cuts, slots, item), &mut walk.nodes, row);
            }
        }
        walk.items = items;
        if !is_same {
            row.truncate(begin);
        }
        is_same
    }

    /// The body's operations with `holes` filled in, numbered from 0, and the operand that is the result.
    pub(super) fn fill(&self, holes: &[Operand]) -> (Vec<Op>, Operand) {
        let mut order: Vec<usize> = (0..self.ops.len()).collect();
        order.sort_unstable_by_key(|&idx| self.ops[idx].node);
        // Holes are numbered in the order of the walk, not of execution.
        let mut first_hole = vec![0; self.ops.len()];
        let mut n_holes = usize::from(matches!(self.top, Ref::Hole(_)));
        for (idx, op) in self.ops.iter().enumerate() {
            first_hole[idx] = n_holes;
            n_holes += self.refs[op.begin..op.end].iter().filter(|r| matches!(r, Ref::Hole(_))).count();
        }
        let mut ops: Vec<Op> = Vec::with_capacity(self.ops.len());
        let mut values = vec![ValueId(0); self.ops.len()];
        let resolve = |r: Ref, hole: &mut usize, values: &[ValueId]| match r {
            Ref::Same(leaf) => Operand::Leaf(leaf),
            Ref::Inner { op, .. } => Operand::Value(values[op]),
            Ref::Hole(_) => {
                *hole += 1;
                holes[*hole - 1]
            }
        };
        for idx in order {
            let BodyOp { kind, begin, end, .. } = self.ops[idx];
            let mut hole = first_hole[idx];
            let refs = &self.refs[begin..end];
            let operands: Vec<Operand> = refs.iter().map(|&r| resolve(r, &mut hole, &values)).collect();
            let op = match (kind, operands.as_slice()) {
                (Kind::Unary(op), [a]) => Op::Unary(op, *a),
                (Kind::Binary(op), [a, b]) => Op::Binary(op, *a, *b),
                (Kind::PowI(n), [a]) => Op::PowI(*a, n),
                (Kind::Compare(op), [a, b]) => Op::Compare(op, *a, *b),
                (Kind::Select, &[condition, then, otherwise]) => Op::Select { condition, then, otherwise },
                (Kind::Sum, operands) => sum(operands, refs, &mut ops),
                (Kind::Unary(_) | Kind::Binary(_) | Kind::PowI(_) | Kind::Compare(_) | Kind::Select, _) => continue,
            };
            values[idx] = ValueId(ops.len() as u32);
            ops.push(op);
        }
        let operand = resolve(self.top, &mut 0, &values);
        (ops, operand)
    }
}

/// A sum of coefficients and operands in turn. A coefficient that differs between trees becomes a product.
fn sum(operands: &[Operand], refs: &[Ref], ops: &mut Vec<Op>) -> Op {
    let mut terms = Vec::with_capacity(operands.len() / 2);
    let mut idx = 0;
    while idx < operands.len() {
        let factor = operands[idx];
        // The next coefficient follows at once where the term is a number; operands of sums are never numbers.
        let is_number = refs.get(idx + 1).is_none_or(|next| *next == Ref::Hole(HoleKind::Number));
        let operand = if is_number { Operand::Const(1.0) } else { operands[idx + 1] };
        idx += if is_number { 1 } else { 2 };
        terms.push(match factor {
            Operand::Const(coefficient) => PlanTerm { coefficient, operand },
            Operand::Leaf(_) | Operand::Value(_) | Operand::Slot(_) | Operand::Each(_) if is_number => {
                PlanTerm { coefficient: 1.0, operand: factor }
            }
            Operand::Leaf(_) | Operand::Value(_) | Operand::Slot(_) | Operand::Each(_) => {
                ops.push(Op::Binary(BinaryOp::Mul, factor, operand));
                PlanTerm { coefficient: 1.0, operand: Operand::Value(ValueId(ops.len() as u32 - 1)) }
            }
        });
    }
    Op::Sum { start: None, terms: terms.into_boxed_slice() }
}
