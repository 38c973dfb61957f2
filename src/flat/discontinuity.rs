//! Where the right-hand side jumps: conditions become exact breakpoints in time where they can, root functions
//! elsewhere.
//!
//! A comparison that is affine in time, with a slope and an intercept of parameters only, changes at a time that is
//! known in advance. `mod(time, period)` against such a value repeats with the period. Everything else is found as a
//! root while integrating. min, max and abs are continuous and need neither.

use std::collections::{HashMap, HashSet};

use crate::diag::{Code, Diagnostic};
use crate::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, UnaryOp};
use crate::hir::{ExprId, ExprKind, Function, Model, SymbolKind};
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

    /// What `node` depends on, as bits.
    pub(super) fn bits_of(&mut self, node: NodeId) -> u8 {
        extend_dependencies(&self.dag, &mut self.bits);
        self.bits[node.0 as usize]
    }

    fn triggers_of(&mut self, condition: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        match self.dag.node(condition) {
            Node::Compare(_, a, b) => {
                let g = self.dag.sub(a, b);
                if let Some(periodic) = self.periodic(a, b, triggers).or_else(|| self.periodic(b, a, triggers)) {
                    return vec![periodic];
                }
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
        match self.crossing_time(g) {
            Some(Crossing::At(time)) => vec![Trigger::At { time_idx: triggers.time(time) }],
            Some(Crossing::Never) => Vec::new(),
            None => vec![Trigger::Crossing { root_idx: triggers.root(g) }],
        }
    }

    /// `mod(affine in time, period)` against a fixed level.
    fn periodic(&mut self, modulo: NodeId, level: NodeId, triggers: &mut Triggers) -> Option<Trigger> {
        let Node::Binary(BinaryOp::Mod, a, period) = self.dag.node(modulo) else { return None };
        is_fixed(self.bits_of(level)).then_some(())?;
        self.repeats(a, period, level, triggers)
    }

    /// Where `mod(a, period)` or `floor(a)` jumps; W0107 where that is not known in advance.
    fn repetition(&mut self, jump: NodeId, a: NodeId, period: NodeId, triggers: &mut Triggers) -> Vec<Trigger> {
        if is_fixed(self.bits_of(a)) && is_fixed(self.bits_of(period)) {
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
        let (slope, intercept) = self.affine(a)?;
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

    /// When `g` changes its sign, if that depends on time and parameters alone.
    pub(super) fn crossing_time(&mut self, g: NodeId) -> Option<Crossing> {
        if is_fixed(self.bits_of(g)) {
            return Some(Crossing::Never);
        }
        let (slope, intercept) = self.affine(g)?;
        if slope == Dag::ZERO {
            return Some(Crossing::Never);
        }
        let minus = self.dag.neg(intercept);
        Some(Crossing::At(self.dag.div(minus, slope)))
    }

    /// `node = slope · time + intercept` with a slope and an intercept of parameters only.
    fn affine(&mut self, node: NodeId) -> Option<(NodeId, NodeId)> {
        if self.bits_of(node) & (ON_STATE | ON_FORCING) != 0 {
            return None;
        }
        let (mut moving, mut stack) = (HashSet::from([node]), vec![node]);
        while let Some(id) = stack.pop() {
            if !is_fixed(self.bits_of(id)) {
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
        let mut found: HashMap<NodeId, Option<(NodeId, NodeId)>> = HashMap::new();
        for id in order {
            let form = self.affine_node(id, &found);
            found.insert(id, form);
        }
        found.get(&node).copied().flatten()
    }

    fn affine_node(
        &mut self,
        id: NodeId,
        found: &HashMap<NodeId, Option<(NodeId, NodeId)>>,
    ) -> Option<(NodeId, NodeId)> {
        if is_fixed(self.bits_of(id)) {
            return Some((Dag::ZERO, id));
        }
        let of = |e: NodeId| found.get(&e).copied().flatten();
        match self.dag.node(id) {
            Node::Leaf(Leaf::Time) => Some((Dag::ONE, Dag::ZERO)),
            Node::Sum(sum) => {
                let terms = self.dag.terms(sum).to_vec();
                let (mut slopes, mut intercepts) = (Vec::new(), Vec::new());
                for term in terms {
                    let (s, i) = of(term.node)?;
                    slopes.push((term.coefficient, s));
                    intercepts.push((term.coefficient, i));
                }
                Some((self.dag.sum(&slopes), self.dag.sum(&intercepts)))
            }
            Node::Binary(BinaryOp::Mul, a, b) => {
                let (fixed, moving) = if is_fixed(self.bits_of(a)) { (a, b) } else { (b, a) };
                is_fixed(self.bits_of(fixed)).then_some(())?;
                let (s, i) = of(moving)?;
                Some((self.dag.mul(fixed, s), self.dag.mul(fixed, i)))
            }
            Node::Binary(BinaryOp::Div, a, b) => {
                is_fixed(self.bits_of(b)).then_some(())?;
                let (s, i) = of(a)?;
                Some((self.dag.div(s, b), self.dag.div(i, b)))
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
}

/// True where the expression names a quantity that may change while running.
fn moves(model: &Model, expr: ExprId) -> bool {
    let mut stack = vec![expr];
    while let Some(id) = stack.pop() {
        let kind = &model.expr(id).kind;
        if let ExprKind::Symbol { symbol, .. } = kind
            && !matches!(model.symbol(*symbol).kind, SymbolKind::Const | SymbolKind::Param)
        {
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
