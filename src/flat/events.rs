//! Events: their times and conditions, what they assign, and which assignments cannot go together.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic};
use crate::expr::{Compare, Leaf, NodeId};
use crate::hir::model::{Assign, EventDef, When};
use crate::hir::{ExprId, SymbolKind};
use crate::syntax::ast::AssignOp;
use crate::system::{Event, Trigger};

use super::discontinuity::{Crossing, Triggers, is_fixed};
use super::layout::Home;
use super::lower::{Builder, Margin, Moment};
use super::{Dilution, FlatEvent, FlatModel, Jump};

impl Builder<'_> {
    pub(super) fn events(&mut self, events: &[&EventDef], flat: &mut FlatModel) -> Option<()> {
        let mut triggers = Triggers::default();
        let mut is_good = true;
        for event in events {
            match self.event(event, &mut triggers) {
                Some(list) => flat.events.extend(list),
                None => is_good = false,
            }
        }
        self.simultaneous(&flat.events).then_some(())?;
        // Conditions inside of a `when` are breakpoints too, so that it is looked at where they change.
        let mut watched: Vec<NodeId> = flat.states.iter().map(|s| s.rhs).collect();
        watched.extend(&triggers.roots);
        flat.events.extend(self.breakpoints(&watched, &mut triggers));
        flat.times = triggers.times;
        flat.roots = triggers.roots;
        is_good.then_some(())
    }

    /// E0505 where two events at the very same time assign one state in ways that conflict.
    pub(super) fn simultaneous(&mut self, events: &[FlatEvent]) -> bool {
        let mut first: HashMap<(usize, u32), (AssignOp, &FlatEvent)> = HashMap::new();
        let mut is_good = true;
        for event in events {
            let Trigger::At { time_idx } = event.event.trigger else { continue };
            for (state, op) in assignments(event) {
                match first.get(&(time_idx, state)) {
                    Some((known, other)) if other.span != event.span && is_conflict(*known, op) && is_good => {
                        let title = format!("`{}` is assigned by two events at one instant", self.state_name(state));
                        self.diagnostics.push(
                            Diagnostic::new(Code("E0505"), event.span, title)
                                .at("this event")
                                .label(other.span, "happens at the same time")
                                .help("at one instant `+=` and `-=` add up and `*=` multiply: write one `:=`, or move one event"),
                        );
                        is_good = false;
                    }
                    Some(_) => {}
                    None => {
                        first.insert((time_idx, state), (op, event));
                    }
                }
            }
        }
        is_good
    }

    /// A time that depends on parameters and constants only.
    pub(super) fn fixed_time(&mut self, expr: ExprId) -> Option<NodeId> {
        let node = self.settle(expr, Moment::Running)?;
        if is_fixed(self.bits_of(node)) {
            if let Some(value) = self.value_of(node).filter(|v| !v.is_finite()) {
                self.not_finite(expr, "the time of an event", value);
                return None;
            }
            return Some(node);
        }
        self.diagnostics.push(
            Diagnostic::new(Code("E0507"), self.model.expr(expr).span, "the time of an event must be known in advance")
                .at("depends on states, inputs or time")
                .help("use `when condition { .. }` for an event that the state brings about"),
        );
        None
    }

    pub(super) fn event(&mut self, def: &EventDef, triggers: &mut Triggers) -> Option<Vec<FlatEvent>> {
        let mut jumps = Vec::new();
        for assign in &def.assigns {
            self.jump(assign, &mut jumps)?;
        }
        let mut dilutions = Vec::new();
        for assign in &def.assigns {
            if self.model.symbol(assign.symbol).kind == SymbolKind::Compartment {
                self.keep_amounts(assign, &jumps, &mut dilutions)?;
            }
        }
        let trigger = match &def.when {
            When::At(time) => {
                let expr = *time;
                let time = self.fixed_time(expr)?;
                if let Some(value) = self.value_of(time).filter(|value| *value < 0.0) {
                    let title = format!("a simulation starts at time 0, and this event is at {value}");
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0608"), self.model.expr(expr).span, title)
                            .at("before the start")
                            .help("let it happen at time 0 or later, or write what it does as start values"),
                    );
                    return None;
                }
                Some(Trigger::At { time_idx: triggers.time(time) })
            }
            When::Every { period, from, until } => {
                let every = self.fixed_time(*period)?;
                if self.dag.as_const(every).is_some_and(|p| p.is_nan() || p <= 0.0) {
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0602"),
                            self.model.expr(*period).span,
                            "the period of an event must be positive",
                        )
                        .at("every so often"),
                    );
                    return None;
                }
                let from = match from {
                    Some(from) => self.fixed_time(*from)?,
                    // One period after the start: times are evaluated with t at the start.
                    None => {
                        let start = self.dag.leaf(Leaf::Time);
                        self.dag.add(start, every)
                    }
                };
                let until = until.map(|u| self.fixed_time(u)).map_or(Some(None), |u| u.map(Some))?;
                Some(Trigger::Every {
                    from_idx: triggers.time(from),
                    period_idx: triggers.time(every),
                    until_idx: until.map(|u| triggers.time(u)),
                })
            }
            When::Condition(condition) => {
                let margin = self.settle_margin(*condition, Margin::Truth)?;
                match self.rising_time(margin) {
                    Some(Crossing::At(time)) => {
                        let time = self.after_start(time);
                        Some(Trigger::At { time_idx: triggers.time(time) })
                    }
                    Some(Crossing::Never) => None,
                    None => Some(Trigger::Rising { root_idx: triggers.root(margin) }),
                }
            }
        };
        // A condition that never becomes true has no event.
        Some(trigger.map_or(Vec::new(), |trigger| {
            vec![FlatEvent {
                event: Event { trigger, has_reset: !jumps.is_empty() },
                jumps,
                dilutions,
                description: def.text.clone(),
                span: def.span,
            }]
        }))
    }

    /// `time` where it is after the start, never otherwise: what is true at the start does not fire. Times are
    /// evaluated with `t` at the start.
    pub(super) fn after_start(&mut self, time: NodeId) -> NodeId {
        let start = self.dag.leaf(Leaf::Time);
        let is_ahead = self.dag.compare(Compare::Lt, start, time);
        let never = self.dag.constant(f64::INFINITY);
        self.dag.select(is_ahead, time, never)
    }

    /// When a margin of parameters and time alone becomes positive.
    pub(super) fn rising_time(&mut self, margin: NodeId) -> Option<Crossing> {
        match self.crossing_time(margin)? {
            Crossing::Never => Some(Crossing::Never),
            Crossing::At(time) => {
                let slope =
                    crate::expr::diff::gradients(&mut self.dag, &[margin], crate::expr::diff::Wrt::Time).remove(0);
                match slope.first().and_then(|(_, s)| self.dag.as_const(*s)) {
                    Some(s) if s > 0.0 => Some(Crossing::At(time)),
                    Some(_) => Some(Crossing::Never),
                    // A slope of unknown sign: found as a root.
                    None => None,
                }
            }
        }
    }

    pub(super) fn jump(&mut self, assign: &Assign, jumps: &mut Vec<Jump>) -> Option<()> {
        let offset = self.settle_member(assign.symbol, &assign.indices)?;
        let value = self.settle(assign.value, Moment::Running)?;
        let state = self.layouts[assign.symbol.0 as usize].first + offset;
        if let Some(first) = jumps.iter().find(|j| j.state == state)
            && is_conflict(first.op, assign.op)
        {
            let name = &self.model.symbol(assign.symbol).name;
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0505"),
                    assign.span,
                    format!("this event assigns `{name}` twice in ways that conflict"),
                )
                .at("again here")
                .help("right-hand sides see the values before the event: write one assignment"),
            );
            return None;
        }
        jumps.push(Jump { state, op: assign.op, value });
        Some(())
    }

    /// A volume set by an event keeps amounts: concentrations change by V/V₊, where V₊ is what all events of the
    /// instant make of it. A concentration that the event sets itself has the value that it is set to.
    fn keep_amounts(&mut self, assign: &Assign, jumps: &[Jump], dilutions: &mut Vec<Dilution>) -> Option<()> {
        let volume_offset = self.settle_member(assign.symbol, &assign.indices)?;
        let volume = self.layouts[assign.symbol.0 as usize].first + volume_offset;
        let model = self.model;
        let assigned: HashMap<u32, AssignOp> = jumps.iter().map(|j| (j.state, j.op)).collect();
        for (id, symbol) in model.symbols() {
            let SymbolKind::Species { compartment: Some(own), .. } = symbol.kind else { continue };
            let layout = &self.layouts[id.0 as usize];
            if own != assign.symbol || self.is_amount(id) || !matches!(layout.home, Home::State { .. }) {
                continue;
            }
            for offset in 0..layout.len() as u32 {
                let state = layout.first + offset;
                if self.volume_of(id, offset) != Some((own, volume_offset))
                    || dilutions.iter().any(|known| known.state == state)
                {
                    continue;
                }
                match assigned.get(&state) {
                    None => dilutions.push(Dilution { state, volume }),
                    Some(AssignOp::Set) => {}
                    Some(AssignOp::Add | AssignOp::Subtract | AssignOp::Multiply) => {
                        let (name, volume) = (&symbol.name, &model.symbol(assign.symbol).name);
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code("E0505"),
                                assign.span,
                                format!("this event changes `{name}` and the volume `{volume}` it is dissolved in"),
                            )
                            .at("a new volume keeps amounts, so it changes the concentration too")
                            .help(format!("write the concentration after the event: `{name} := ..`")),
                        );
                        return None;
                    }
                }
            }
        }
        Some(())
    }
}

/// The states that an event changes, and how; dilution multiplies.
fn assignments(event: &FlatEvent) -> impl Iterator<Item = (u32, AssignOp)> {
    let diluted = event.dilutions.iter().map(|dilution| (dilution.state, AssignOp::Multiply));
    event.jumps.iter().map(|jump| (jump.state, jump.op)).chain(diluted)
}

/// Two assignments of one state at one instant: sums and differences add up, products multiply, all else conflicts.
fn is_conflict(a: AssignOp, b: AssignOp) -> bool {
    match (a, b) {
        (AssignOp::Add | AssignOp::Subtract, AssignOp::Add | AssignOp::Subtract) => false,
        (AssignOp::Multiply, AssignOp::Multiply) => false,
        (AssignOp::Set | AssignOp::Add | AssignOp::Subtract | AssignOp::Multiply, _) => true,
    }
}
