//! Where the right-hand side jumps: conditions become exact breakpoints in time where they can, root functions
//! elsewhere.
//!
//! A comparison that is affine in time, with a slope and an intercept of parameters only, changes at a time that is
//! known in advance. `mod(time, period)` against such a value repeats with the period. Everything else is found as a
//! root while integrating. min, max and abs are continuous and need neither.

use std::collections::HashSet;

use crate::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, UnaryOp};
use crate::system::{Event, Trigger};

use super::FlatEvent;
use super::lower::Builder;
use crate::source::{SourceId, Span};

/// What a node depends on, as bits.
const ON_TIME: u8 = 1;
const ON_STATE: u8 = 2;
const ON_FORCING: u8 = 4;
const ON_PARAM: u8 = 8;

/// Times and root functions, each once.
#[derive(Default)]
pub(super) struct Triggers {
    pub times: Vec<NodeId>,
    pub roots: Vec<NodeId>,
}

impl Triggers {
    /// The position of a time.
    pub fn time(&mut self, node: NodeId) -> usize {
        position(&mut self.times, node)
    }

    /// The position of a root function.
    pub fn root(&mut self, node: NodeId) -> usize {
        position(&mut self.roots, node)
    }
}

fn position(list: &mut Vec<NodeId>, node: NodeId) -> usize {
    list.iter().position(|n| *n == node).unwrap_or_else(|| {
        list.push(node);
        list.len() - 1
    })
}

/// Dependency bits of every node.
pub(super) fn dependencies(dag: &Dag) -> Vec<u8> {
    let mut bits = vec![0u8; dag.len()];
    for k in 0..dag.len() {
        let id = NodeId(k as u32);
        bits[k] = match dag.node(id) {
            Node::Leaf(Leaf::Time) => ON_TIME,
            Node::Leaf(Leaf::State(_)) => ON_STATE,
            Node::Leaf(Leaf::Input(_) | Leaf::Disturbance(_)) => ON_FORCING,
            Node::Leaf(Leaf::Param(_)) => ON_PARAM,
            Node::Leaf(Leaf::Direction(_) | Leaf::DirectionTime) => ON_STATE,
            Node::Const(_)
            | Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..)
            | Node::Select { .. } => {
                let mut all = 0;
                dag.for_each_operand(id, |a| all |= bits[a.0 as usize]);
                all
            }
        };
    }
    bits
}

/// True where the node is a function of parameters only.
pub(super) fn is_fixed(bits: u8) -> bool {
    bits & (ON_TIME | ON_STATE | ON_FORCING) == 0
}

/// True where the node does not depend on time explicitly.
pub(super) fn is_timeless(bits: u8) -> bool {
    bits & ON_TIME == 0
}

impl Builder<'_> {
    /// Breakpoints and crossings of the conditions that the nodes in `of` contain.
    pub(super) fn discontinuities(&mut self, of: &[NodeId], triggers: &mut Triggers) -> Vec<FlatEvent> {
        let mut conditions = Vec::new();
        let mut seen: HashSet<NodeId> = HashSet::new();
        let mut stack: Vec<NodeId> = of.to_vec();
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.dag.node(id) {
                Node::Compare(Compare::Lt | Compare::Le, ..)
                | Node::Binary(BinaryOp::Mod, ..)
                | Node::Unary(UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Sign, _) => conditions.push(id),
                Node::Const(_)
                | Node::Leaf(_)
                | Node::Unary(..)
                | Node::Binary(..)
                | Node::PowI(..)
                | Node::Sum(_)
                | Node::Compare(..)
                | Node::Select { .. } => {}
            }
            self.dag.for_each_operand(id, |a| stack.push(a));
        }
        conditions.sort_unstable();
        let mut events = Vec::new();
        let mut known = HashSet::new();
        for condition in conditions {
            for trigger in self.triggers_of(condition, triggers) {
                if known.insert(trigger) {
                    let span = self.model.span.unwrap_or(Span::new(SourceId(0), 0, 0));
                    events.push(FlatEvent {
                        event: Event { trigger, has_reset: false },
                        jumps: Vec::new(),
                        description: "a branch of an `if`".to_string(),
                        span,
                    });
                }
            }
        }
        events
    }

    fn triggers_of(&mut self, condition: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        match self.dag.node(condition) {
            Node::Compare(_, a, b) => {
                let g = self.dag.sub(a, b);
                if let Some(periodic) = self.periodic(a, b, triggers).or_else(|| self.periodic(b, a, triggers)) {
                    return vec![periodic];
                }
                match self.crossing_time(g) {
                    Some(Crossing::At(time)) => vec![Trigger::At { time_idx: triggers.time(time) }],
                    Some(Crossing::Never) => Vec::new(),
                    None => vec![Trigger::Crossing { root_idx: triggers.root(g) }],
                }
            }
            Node::Binary(BinaryOp::Mod, a, period) => {
                self.repeats(a, period, Dag::ZERO, triggers).into_iter().collect()
            }
            Node::Unary(UnaryOp::Floor | UnaryOp::Ceil, a) => {
                self.repeats(a, Dag::ONE, Dag::ZERO, triggers).into_iter().collect()
            }
            Node::Unary(UnaryOp::Sign, a) => match self.crossing_time(a) {
                Some(Crossing::At(time)) => vec![Trigger::At { time_idx: triggers.time(time) }],
                Some(Crossing::Never) => Vec::new(),
                None => vec![Trigger::Crossing { root_idx: triggers.root(a) }],
            },
            Node::Const(_)
            | Node::Leaf(_)
            | Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Select { .. } => Vec::new(),
        }
    }

    /// `mod(affine in time, period)` against a fixed level.
    fn periodic(&mut self, modulo: NodeId, level: NodeId, triggers: &mut Triggers) -> Option<Trigger> {
        let Node::Binary(BinaryOp::Mod, a, period) = self.dag.node(modulo) else { return None };
        let bits = dependencies(&self.dag);
        is_fixed(bits[level.0 as usize]).then_some(())?;
        self.repeats(a, period, level, triggers)
    }

    /// The times at which `a − level` is a multiple of `period`, `a` affine in time.
    fn repeats(&mut self, a: NodeId, period: NodeId, level: NodeId, triggers: &mut Triggers) -> Option<Trigger> {
        let bits = dependencies(&self.dag);
        is_fixed(bits[period.0 as usize]).then_some(())?;
        let (slope, intercept) = affine(&mut self.dag, &bits, a)?;
        if slope == Dag::ZERO {
            return None;
        }
        let shifted = self.dag.sub(level, intercept);
        let from = self.dag.div(shifted, slope);
        let every = self.dag.div(period, slope);
        let every = self.dag.unary(UnaryOp::Abs, every);
        Some(Trigger::Every { from_idx: triggers.time(from), period_idx: triggers.time(every), until_idx: None })
    }

    /// When `g` changes its sign, if that depends on time and parameters alone.
    pub(super) fn crossing_time(&mut self, g: NodeId) -> Option<Crossing> {
        let bits = dependencies(&self.dag);
        if is_fixed(bits[g.0 as usize]) {
            return Some(Crossing::Never);
        }
        let (slope, intercept) = affine(&mut self.dag, &bits, g)?;
        if slope == Dag::ZERO {
            return Some(Crossing::Never);
        }
        let minus = self.dag.neg(intercept);
        Some(Crossing::At(self.dag.div(minus, slope)))
    }
}

/// When a condition changes.
pub(super) enum Crossing {
    /// Once, at this time.
    At(NodeId),
    /// It does not depend on time.
    Never,
}

/// `node = slope · time + intercept` with a slope and an intercept of parameters only.
fn affine(dag: &mut Dag, bits: &[u8], node: NodeId) -> Option<(NodeId, NodeId)> {
    let own = bits.get(node.0 as usize).copied().unwrap_or(ON_STATE);
    if is_fixed(own) {
        return Some((Dag::ZERO, node));
    }
    if own & (ON_STATE | ON_FORCING) != 0 {
        return None;
    }
    match dag.node(node) {
        Node::Leaf(Leaf::Time) => Some((Dag::ONE, Dag::ZERO)),
        Node::Sum(sum) => {
            let terms = dag.terms(sum).to_vec();
            let (mut slopes, mut intercepts) = (Vec::new(), Vec::new());
            for term in terms {
                let (s, i) = affine(dag, bits, term.node)?;
                slopes.push((term.coefficient, s));
                intercepts.push((term.coefficient, i));
            }
            Some((dag.sum(&slopes), dag.sum(&intercepts)))
        }
        Node::Binary(BinaryOp::Mul, a, b) => {
            let (fixed, moving) = if is_fixed(bits[a.0 as usize]) { (a, b) } else { (b, a) };
            is_fixed(bits[fixed.0 as usize]).then_some(())?;
            let (s, i) = affine(dag, bits, moving)?;
            Some((dag.mul(fixed, s), dag.mul(fixed, i)))
        }
        Node::Binary(BinaryOp::Div, a, b) => {
            is_fixed(bits[b.0 as usize]).then_some(())?;
            let (s, i) = affine(dag, bits, a)?;
            Some((dag.div(s, b), dag.div(i, b)))
        }
        Node::Const(_)
        | Node::Leaf(_)
        | Node::Unary(..)
        | Node::Binary(..)
        | Node::PowI(..)
        | Node::Compare(..)
        | Node::Select { .. } => None,
    }
}
