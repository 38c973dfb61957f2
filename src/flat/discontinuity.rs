//! Where the right-hand side jumps: conditions become exact breakpoints in time where they can, root functions
//! elsewhere.
//!
//! A comparison of what is made of pieces affine in time, with slopes and intercepts of parameters only, changes at
//! times that are known in advance ([`super::pieces`]). What is made of pieces affine in `mod(time, period)` repeats
//! with the period. Everything else is found as a root while integrating. min, max and abs themselves are continuous
//! and need neither.

use std::collections::{HashMap, HashSet};

use crate::diag::{Code, Diagnostic};
use crate::expr::diff::{Wrt, gradients};
use crate::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, Term, UnaryOp};
use crate::hir::{ExprId, ExprKind, Function, Model, SymbolKind};
use crate::system::{Event, Trigger};

use super::FlatEvent;
use super::lower::{Builder, CLOSED};
use super::pieces::Piece;
use crate::source::{SourceId, Span};

/// What a node depends on, as bits.
const ON_TIME: u8 = 1;
pub(super) const ON_STATE: u8 = 2;
pub(super) const ON_FORCING: u8 = 4;
const ON_PARAM: u8 = 8;

/// Times and root functions, each once.
#[derive(Default)]
pub(super) struct Triggers {
    pub times: Vec<NodeId>,
    pub roots: Vec<NodeId>,
    places: HashMap<(bool, NodeId), usize>,
}

impl Triggers {
    /// The position of a time.
    pub fn time(&mut self, node: NodeId) -> usize {
        position(&mut self.times, &mut self.places, (false, node))
    }

    /// The position of a root function.
    pub fn root(&mut self, node: NodeId) -> usize {
        position(&mut self.roots, &mut self.places, (true, node))
    }
}

fn position(list: &mut Vec<NodeId>, places: &mut HashMap<(bool, NodeId), usize>, key: (bool, NodeId)) -> usize {
    *places.entry(key).or_insert_with(|| {
        list.push(key.1);
        list.len() - 1
    })
}

/// Dependency bits of every node.
pub(super) fn dependencies(dag: &Dag) -> Vec<u8> {
    let mut bits = Vec::new();
    extend_dependencies(dag, &mut bits);
    bits
}

/// Dependency bits of the nodes that `bits` does not cover yet; operands stand before what is made of them.
pub(super) fn extend_dependencies(dag: &Dag, bits: &mut Vec<u8>) {
    for k in bits.len()..dag.len() {
        let id = NodeId(k as u32);
        let own = match dag.node(id) {
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
        bits.push(own);
    }
}

/// True where the node is a function of parameters only.
pub(super) fn is_fixed(bits: u8) -> bool {
    bits & (ON_TIME | ON_STATE | ON_FORCING) == 0
}

/// True where the node is a function of parameters and time only.
pub(super) fn is_scheduled(bits: u8) -> bool {
    bits & (ON_STATE | ON_FORCING) == 0
}

/// True where the node does not depend on time explicitly.
pub(super) fn is_timeless(bits: u8) -> bool {
    bits & ON_TIME == 0
}

impl Builder<'_> {
    /// Breakpoints and crossings of the conditions that the nodes in `of` contain, and of the margins among the roots.
    pub(super) fn breakpoints(&mut self, of: &[NodeId], triggers: &mut Triggers) -> Vec<FlatEvent> {
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
        let mut push = |list: Vec<Trigger>, description: &str, span: Span| {
            events.extend(list.into_iter().filter(|trigger| known.insert(*trigger)).map(|trigger| FlatEvent {
                event: Event { trigger, has_reset: false },
                jumps: Vec::new(),
                dilutions: Vec::new(),
                description: description.to_string(),
                span,
            }));
        };
        let span = self.model.span.unwrap_or(Span::new(SourceId(0), 0, 0));
        // Those that root functions were made for before are margins of `when`.
        for root in triggers.roots.clone() {
            push(self.known_instants(root, triggers), "a moment of a `when`", span);
        }
        for condition in conditions {
            push(self.triggers_of(condition, triggers), "a branch of an `if`", span);
        }
        events
    }

    /// What `node` depends on, as bits.
    pub(super) fn bits_of(&mut self, node: NodeId) -> u8 {
        extend_dependencies(&self.dag, &mut self.bits);
        self.bits[node.0 as usize]
    }

    fn triggers_of(&mut self, condition: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        match self.dag.node(condition) {
            Node::Compare(_, a, b) => {
                let g = self.dag.sub(a, b);
                self.crossing(g, triggers)
            }
            Node::Binary(BinaryOp::Mod, a, period) => self.repetition(condition, a, period, triggers),
            Node::Unary(UnaryOp::Floor | UnaryOp::Ceil, a) => self.repetition(condition, a, Dag::ONE, triggers),
            Node::Unary(UnaryOp::Sign, a) => self.crossing(a, triggers),
            Node::Const(_)
            | Node::Leaf(_)
            | Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Select { .. } => Vec::new(),
        }
    }

    /// Where `g` changes its sign.
    fn crossing(&mut self, g: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        if is_fixed(self.bits_of(g)) {
            return Vec::new();
        }
        match self.instants(g, triggers) {
            Some(instants) => instants,
            None => vec![Trigger::Crossing { root_idx: triggers.root(g) }],
        }
    }

    /// Breakpoints where the margin of a `when` may change its sign, as far as they are known in advance: it is looked
    /// at there, so that it cannot be true for a moment that no step sees.
    pub(super) fn known_instants(&mut self, margin: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        let (mut list, mut stack, mut seen) = (Vec::new(), vec![margin], HashSet::new());
        while let Some(id) = stack.pop() {
            if is_timeless(self.bits_of(id)) || !seen.insert(id) {
                continue;
            }
            if let Some(instants) = self.instants(id, triggers) {
                list.extend(instants);
                continue;
            }
            match self.dag.node(id) {
                // The sign of the whole is that of one of the two.
                Node::Binary(BinaryOp::Min | BinaryOp::Max, a, b) => stack.extend([b, a]),
                Node::Sum(sum) => {
                    // `−g`, and `g + 1e-300`, which holds on the edge too.
                    let is_edge = |t: &&Term| t.node != Dag::ONE || t.coefficient.abs() > CLOSED;
                    if let [only] = self.dag.terms(sum).iter().filter(is_edge).collect::<Vec<_>>()[..] {
                        stack.push(only.node);
                    }
                }
                Node::Const(_)
                | Node::Leaf(_)
                | Node::Unary(..)
                | Node::Binary(..)
                | Node::PowI(..)
                | Node::Compare(..)
                | Node::Select { .. } => {}
            }
        }
        list
    }

    /// The instants at which `g` may change its sign, if parameters and time alone decide that.
    fn instants(&mut self, g: NodeId, triggers: &mut Triggers) -> Option<Vec<Trigger>> {
        is_scheduled(self.bits_of(g)).then_some(())?;
        if let Some(pieces) = self.pieces(g, None) {
            let times: Vec<NodeId> = pieces.into_iter().filter_map(|piece| self.zero_of(piece)).collect();
            return Some(times.into_iter().map(|time| Trigger::At { time_idx: triggers.time(time) }).collect());
        }
        let (clock, a, period) = self.only_modulo(g)?;
        let pieces = self.pieces(g, Some(clock))?;
        let levels: Vec<NodeId> = pieces.into_iter().filter_map(|piece| self.zero_of(piece)).collect();
        levels.into_iter().map(|level| self.repeats(a, period, level, triggers)).collect()
    }

    /// Where `mod(a, period)` or `floor(a)` jumps; W0107 where that is not known in advance.
    fn repetition(&mut self, jump: NodeId, a: NodeId, period: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        if is_fixed(self.bits_of(a)) && is_fixed(self.bits_of(period)) {
            return Vec::new();
        }
        if is_fixed(self.bits_of(period)) && self.is_flat(a) {
            return Vec::new();
        }
        match self.repeats(a, period, Dag::ZERO, triggers) {
            Some(trigger) => vec![trigger],
            None => {
                self.jumps_unseen(jump);
                Vec::new()
            }
        }
    }

    /// True where `a` changes only where parts of it jump, such as `floor(time)`: those are breakpoints themselves, or
    /// warned about themselves.
    fn is_flat(&mut self, a: NodeId) -> bool {
        if self.bits_of(a) & ON_FORCING != 0 {
            return false;
        }
        [Wrt::Time, Wrt::States].into_iter().all(|wrt| {
            let slopes = gradients(&mut self.dag, &[a], wrt).remove(0);
            slopes.iter().all(|(_, slope)| *slope == Dag::ZERO)
        })
    }

    fn jumps_unseen(&mut self, node: NodeId) {
        let wanted = match self.dag.node(node) {
            Node::Unary(op, _) => Function::Unary(op),
            _ => Function::Binary(BinaryOp::Mod),
        };
        // The graph does not know where its nodes are written; the first such call that is not constant is shown.
        let model = self.model;
        let call = model.exprs.iter().find(|e| match &e.kind {
            ExprKind::Call(function, args) => *function == wanted && args.iter().any(|a| moves(model, *a)),
            _ => false,
        });
        let Some(span) = call.map(|e| e.span).or(model.span) else { return };
        self.diagnostics.push(
            Diagnostic::new(
                Code("W0107"),
                span,
                format!("`{}` jumps here, and the solver is not told when", wanted.name()),
            )
            .at("jumps as its argument moves")
            .help("let an event (`when`, `every`) change a `discrete` quantity instead"),
        );
    }

    /// The times at which `a − level` is a multiple of `period`, `a` affine in time.
    fn repeats(&mut self, a: NodeId, period: NodeId, level: NodeId, triggers: &mut Triggers) -> Option<Trigger> {
        is_fixed(self.bits_of(period)).then_some(())?;
        let [Piece { slope, intercept }] = self.pieces(a, None)?[..] else { return None };
        if slope == Dag::ZERO {
            return None;
        }
        let shifted = self.dag.sub(level, intercept);
        let from = self.dag.div(shifted, slope);
        let every = self.dag.div(period, slope);
        let every = self.dag.unary(UnaryOp::Abs, every);
        let from = self.at_or_before_start(from, every);
        Some(Trigger::Every { from_idx: triggers.time(from), period_idx: triggers.time(every), until_idx: None })
    }

    /// `from` moved back by whole periods to the start or before it. Times are evaluated with `t` at the start.
    fn at_or_before_start(&mut self, from: NodeId, every: NodeId) -> NodeId {
        let start = self.dag.leaf(Leaf::Time);
        let ahead = self.dag.sub(from, start);
        let periods = self.dag.div(ahead, every);
        let periods = self.dag.unary(UnaryOp::Ceil, periods);
        let back = self.dag.mul(periods, every);
        let moved = self.dag.sub(from, back);
        let is_ahead = self.dag.compare(Compare::Lt, start, from);
        self.dag.select(is_ahead, moved, from)
    }

    /// When `g` changes its sign, if that is one time of parameters alone.
    pub(super) fn crossing_time(&mut self, g: NodeId) -> Option<Crossing> {
        if is_fixed(self.bits_of(g)) {
            return Some(Crossing::Never);
        }
        match self.pieces(g, None)?[..] {
            [piece] => Some(self.zero_of(piece).map_or(Crossing::Never, Crossing::At)),
            _ => None,
        }
    }
}

/// True where the expression names a quantity that may change while running.
fn moves(model: &Model, expr: ExprId) -> bool {
    let mut stack = vec![expr];
    while let Some(id) = stack.pop() {
        let kind = &model.expr(id).kind;
        let is_moving = match kind {
            ExprKind::Time => true,
            ExprKind::Symbol { symbol, .. } => {
                !matches!(model.symbol(*symbol).kind, SymbolKind::Const | SymbolKind::Param)
            }
            _ => false,
        };
        if is_moving {
            return true;
        }
        kind.for_each_operand(|e| stack.push(e));
    }
    false
}

/// When a condition changes.
pub(super) enum Crossing {
    /// Once, at this time.
    At(NodeId),
    /// It does not depend on time.
    Never,
}
