//! What is kept: ranges and conditions as intervals of nodes, and whether they leave anything.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Dag, Leaf, Node, NodeId};
use crate::hir::ExprId;
use crate::hir::task::{KeepWhat, Task};
use crate::source::Span;
use crate::system::Softness;

use super::super::discontinuity;
use super::super::layout::Home;
use super::super::lower::{Builder, Moment};
use super::bounds::{Interval, boxed};
use super::lower::shown;
use super::{FlatTask, Keep, When};

impl Builder<'_> {
    pub(super) fn keeps(&mut self, task: &Task, flat: &mut FlatTask) -> Option<()> {
        for keep in &task.keeps {
            let when = if keep.is_final { When::Final } else { When::Path };
            self.each_member(&keep.ranges, |b| {
                let (intervals, unit) = match &keep.what {
                    KeepWhat::Condition(condition) => (b.intervals(*condition, false, keep.span)?, String::new()),
                    KeepWhat::Range { expr, unit, low, high } => {
                        let node = b.settle(*expr, Moment::Running)?;
                        let mut end = |e: &Option<ExprId>, open: f64| match e {
                            Some(e) => b.constant(*e, "the end of a range"),
                            None => Some(open),
                        };
                        let (low, high) = (end(low, f64::NEG_INFINITY)?, end(high, f64::INFINITY)?);
                        (vec![boxed(&b.dag, Interval { node, low, high, scale: 1.0 })], shown(unit.as_ref()))
                    }
                };
                for Interval { node, low, high, scale } in intervals {
                    let bits = b.bits_of(node);
                    let reads_inputs = b.reads_acts(node, &flat.acts);
                    if bits & discontinuity::ON_STATE == 0 && !reads_inputs {
                        let name = &keep.name;
                        b.diagnostics.push(
                            Diagnostic::new(
                                Code("E0205"),
                                keep.span,
                                format!(
                                    "`{name}` depends on no state and on nothing that is decided, so it cannot be kept"
                                ),
                            )
                            .at("the same whatever is done")
                            .help("keep states, definitions of states, or decided inputs"),
                        );
                        return None;
                    }
                    if keep.probability.is_some() && bits & discontinuity::ON_STATE == 0 {
                        let title =
                            format!("`{}` depends on no state, so it is as certain as what is decided", keep.name);
                        b.diagnostics.push(
                            Diagnostic::new(Code("E0205"), keep.span, title)
                                .at("`probability`")
                                .help("leave `probability` out"),
                        );
                        return None;
                    }
                    if reads_inputs && when == When::Final {
                        let title = format!("`{}` reads inputs, and at the end nothing is decided any more", keep.name);
                        b.diagnostics.push(
                            Diagnostic::new(Code("E0615"), keep.span, title)
                                .at("`final`")
                                .help("keep states at the end, or leave `final` out"),
                        );
                        return None;
                    }
                    if low > high {
                        let title = format!("`{}` cannot be from {low} to {high}", keep.name);
                        b.diagnostics.push(Diagnostic::new(Code("E0613"), keep.span, title).at("no value is inside"));
                        return None;
                    }
                    let softness = match keep.softness {
                        Softness::Hard => Softness::Hard,
                        Softness::Linear(price) => Softness::Linear(price * scale),
                        Softness::Quadratic(price) => Softness::Quadratic(price * scale * scale),
                    };
                    let (name, member) = (keep.name.clone(), b.member_of(&keep.ranges));
                    let (unit, span) = (b.own_unit(node).unwrap_or_else(|| unit.clone()), keep.span);
                    let probability = keep.probability;
                    flat.keeps.push(Keep {
                        name,
                        member,
                        node,
                        low,
                        high,
                        softness,
                        probability,
                        when,
                        reads_inputs,
                        unit,
                        span,
                    });
                }
                Some(())
            })?;
        }
        Some(())
    }

    /// The unit of a state or input.
    fn own_unit(&self, node: NodeId) -> Option<String> {
        let (place, is_input) = match self.dag.node(node) {
            Node::Leaf(Leaf::State(k)) => (k, false),
            Node::Leaf(Leaf::Input(k)) => (k, true),
            _ => return None,
        };
        for ((_, symbol), layout) in self.model.symbols().zip(&self.layouts) {
            let is_home = match layout.home {
                Home::State { .. } => !is_input,
                Home::Input => is_input,
                Home::Const | Home::Param | Home::Disturbance | Home::Let | Home::Observable | Home::Noise => false,
            };
            if is_home && (layout.first..layout.first + layout.len() as u32).contains(&place) {
                return Some(symbol.unit.as_ref().map(ToString::to_string).unwrap_or_default());
            }
        }
        None
    }
}

/// E0613 where hard boxes and actuator limits leave nothing.
pub(super) fn contradictions(flat: &FlatTask, diagnostics: &mut Diagnostics) {
    let dag: &Dag = &flat.model.dag;
    let mut known: HashMap<NodeId, (f64, f64, Span)> = HashMap::new();
    for act in &flat.acts {
        let leaf = Node::Leaf(Leaf::Input(act.input));
        let (low, high) = act.planned();
        if low > high {
            let title = format!("`{}` cannot be from {low} to {high}", flat.input_name(act));
            diagnostics.push(Diagnostic::new(Code("E0613"), act.span, title).at("no value is inside"));
        }
        if let Some(keep) = flat.keeps.iter().find(|keep| dag.node(keep.node) == leaf) {
            known.insert(keep.node, (low, high, act.span));
        }
    }
    for keep in flat.keeps.iter().filter(|keep| keep.softness == Softness::Hard) {
        let (low, high, span) = known.get(&keep.node).copied().unwrap_or((keep.low, keep.high, keep.span));
        let both = (low.max(keep.low), high.min(keep.high));
        if both.0 > both.1 {
            let title = format!("`{}` cannot be kept: at least {} and at most {}", keep.name, both.0, both.1);
            diagnostics.push(
                Diagnostic::new(Code("E0613"), keep.span, title)
                    .at("no value is left")
                    .label(span, "by this and others before it")
                    .help("widen one of the ranges, or make one of them `soft`"),
            );
            continue;
        }
        known.insert(keep.node, (both.0, both.1, keep.span));
    }
}
