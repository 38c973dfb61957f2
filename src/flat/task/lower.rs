//! From a [`hir::Task`](crate::hir::Task) to a [`FlatTask`].

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{BinaryOp, Leaf, Node, NodeId, UnaryOp};
use crate::hir::model::Range;
use crate::hir::study::Start;
use crate::hir::task::{self as hir, StartFrom, Task};
use crate::hir::{ExprId, ExprKind, Module, SymbolId, SymbolKind};
use crate::units::Unit;

use super::super::flatten::{Variation, finish};
use super::super::layout::{Home, member_name, tuples};
use super::super::lower::{Builder, Margin, Moment};
use super::super::{FlatModel, discontinuity};
use super::squares;
use super::*;

/// Flattens a task with its model; `None` where errors were reported.
pub fn flatten_task(task: &Task, diagnostics: &mut Diagnostics) -> Option<FlatTask> {
    let n_errors = |d: &Diagnostics| d.iter().filter(|d| d.severity == crate::diag::Severity::Error).count();
    let before = n_errors(diagnostics);
    let starts: Vec<Start> = task.starts.iter().filter_map(|start| given(task, start)).collect();
    let mut builder = Builder::new(&task.model, diagnostics);
    let mut model = builder.flatten(&Variation { starts: &starts, events: &task.events })?;
    builder.dag = std::mem::take(&mut model.dag);
    let flat = builder.task(task, &mut model);
    model.dag = std::mem::take(&mut builder.dag);
    let movers = builder.movers();
    let model = finish(model, &movers, diagnostics);
    let mut flat = flat?;
    flat.model = model;
    super::keeps::contradictions(&flat, diagnostics);
    (n_errors(diagnostics) == before).then_some(flat)
}

/// What flattening finds in each task of `module` and of its studies, and why the algorithms of those cannot plan them;
/// what has errors already is left out.
pub fn check_tasks(module: &Module, diagnostics: &mut Diagnostics) {
    let mut list = Diagnostics::default();
    for task in module.tasks.iter().filter(|task| !task.model.is_faulty) {
        flatten_task(task, &mut list);
    }
    for control in module.studies.iter().filter_map(|study| study.control.as_ref()) {
        for task in [&control.belief, &control.plant].into_iter().filter(|task| !task.model.is_faulty) {
            flatten_task(task, &mut list);
        }
        for algorithm in control.algorithms.iter().filter(|a| !a.is_learner() && !control.belief.model.is_faulty) {
            let name = algorithm.name();
            let Some(flat) = flatten_task(&control.task_for(algorithm), &mut list) else { continue };
            flat.check_planner(name, hir::DRAWING_PLANNERS.contains(&name), &mut list);
        }
    }
    for d in list {
        if !diagnostics.iter().any(|known| *known == d) {
            diagnostics.push(d);
        }
    }
}

/// A start with a value of anything but an input, as a study has them. The last word on a quantity counts.
fn given(task: &Task, start: &hir::TaskStart) -> Option<Start> {
    let is_input = task.model.symbol(start.symbol).kind == SymbolKind::Input;
    match &start.from {
        StartFrom::Value(value) if !is_input => {
            Some(Start { symbol: start.symbol, indices: start.indices.clone(), value: *value, span: start.span })
        }
        StartFrom::Value(_) | StartFrom::Drawn(_) => None,
    }
}

/// A unit for people; nothing for a pure number.
pub(super) fn shown(unit: Option<&Unit>) -> String {
    unit.filter(|unit| !unit.is_one()).map(ToString::to_string).unwrap_or_default()
}

impl Builder<'_> {
    fn task(&mut self, task: &Task, model: &mut FlatModel) -> Option<FlatTask> {
        let acts = self.acts(task, model);
        let mut flat = FlatTask {
            name: task.name.clone(),
            doc: task.doc.clone(),
            span: task.span,
            model: FlatModel::empty(),
            step: task.step.length,
            free_step: None,
            n_steps: task.n_steps,
            via: (task.step.method, task.step.substeps),
            acts: Vec::new(),
            starts: Vec::new(),
            costs: Vec::new(),
            terminal: Vec::new(),
            tracks: Vec::new(),
            cost_origin: CostOrigin::Written,
            moves: Vec::new(),
            keeps: Vec::new(),
            senses: Vec::new(),
            reward: None,
            fails: Vec::new(),
            dones: Vec::new(),
            holds: Vec::new(),
            previous: Vec::new(),
            measured: Vec::new(),
            index: None,
        };
        let is_good = [
            self.drawn_starts(task, &mut flat).is_some(),
            self.extras(task, model, &mut flat).is_some(),
            self.costs(&task.costs, &mut flat.costs).is_some(),
            self.costs(&task.terminal, &mut flat.terminal).is_some(),
            self.tracks(&task.costs, &mut flat.tracks).is_some(),
            self.values(task, model, &mut flat).is_some(),
        ];
        flat.acts = acts?;
        let is_kept = [self.moves(task, &mut flat).is_some(), self.keeps(task, &mut flat).is_some()];
        if !is_good.iter().chain(&is_kept).all(|good| *good) {
            return None;
        }
        self.default_cost(task, &mut flat);
        self.time_cost(&mut flat)?;
        Some(flat)
    }

    /// Visits every value of the indices of `ranges`.
    pub(super) fn each_member(
        &mut self,
        ranges: &[Range],
        mut visit: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let shape = self.shape(ranges)?;
        for values in tuples(&shape) {
            for (range, value) in ranges.iter().zip(&values) {
                self.set_index(range.index, *value);
            }
            visit(self)?;
        }
        Some(())
    }

    fn drawn_starts(&mut self, task: &Task, flat: &mut FlatTask) -> Option<()> {
        for start in &task.starts {
            let offset = self.settle_member(start.symbol, &start.indices)?;
            let layout = &self.layouts[start.symbol.0 as usize];
            let Home::State { .. } = layout.home else { continue };
            let state = layout.first + offset;
            // A later word on the same state replaces an earlier one.
            flat.starts.retain(|known| known.state != state);
            if let StartFrom::Drawn(dist) = &start.from {
                self.enter_member(start.symbol, offset);
                let declared = task.model.symbol(start.symbol).value;
                let declared = match declared {
                    Some(value) => match self.settle(value, Moment::Start) {
                        Some(node) => self.value_of(node).unwrap_or(0.0),
                        None => return None,
                    },
                    None => 0.0,
                };
                let distribution = self.distribution(dist, declared)?;
                flat.starts.push(DrawnStart { state, distribution, span: start.span });
            }
        }
        flat.starts.sort_unstable_by_key(|start| start.state);
        Some(())
    }

    /// What the task sees beside the model.
    fn extras(&mut self, task: &Task, model: &FlatModel, flat: &mut FlatTask) -> Option<()> {
        let place = |b: &Self, symbol: SymbolId| b.layouts[symbol.0 as usize].first;
        flat.index = task.index.map(|symbol| place(self, symbol));
        flat.free_step = task.step.free.map(|(low, high)| FreeStep {
            low,
            high,
            weight: 0.0,
            disturbance: task.step.symbol.map(|symbol| place(self, symbol)),
        });
        for (observable, leaf) in &task.measured {
            let (first, n) = (place(self, *leaf), self.layouts[leaf.0 as usize].len() as u32);
            let name = &task.model.symbol(*observable).name;
            for offset in 0..n {
                let member = member_name(name, &self.layouts[observable.0 as usize].indices(offset as usize));
                let found = model.observables.iter().position(|o| o.quantity.name == member)?;
                flat.measured.push(Measured { disturbance: first + offset, observable: found as u32 });
            }
        }
        for held in &task.holds {
            let node = self.settle(held.value, Moment::Running)?;
            if !discontinuity::is_scheduled(self.bits_of(node) & !discontinuity::ON_FORCING) {
                let name = &task.model.symbol(held.symbol).name;
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0901"),
                        held.span,
                        format!("`{name}` depends on states, and this version holds what depends on time alone"),
                    )
                    .at("held here")
                    .help("hold a part of it that follows from time, parameters and disturbances"),
                );
                return None;
            }
            flat.holds.push(Held { disturbance: place(self, held.symbol), node, span: held.span });
        }
        for previous in &task.previous {
            let node = self.settle(previous.expr, Moment::Running)?;
            let initial = match previous.initial {
                Some(e) => Some(self.settle(e, Moment::Running)?),
                None => None,
            };
            let disturbance = place(self, previous.symbol);
            flat.previous.push(Previous { disturbance, node, initial, span: previous.span });
        }
        Some(())
    }

    fn costs(&mut self, costs: &[hir::Cost], list: &mut Vec<CostTerm>) -> Option<()> {
        for cost in costs {
            self.each_member(&cost.ranges, |b| {
                let value = b.settle(cost.expr, Moment::Running)?;
                let whole = if cost.is_square { b.dag.powi(value, 2) } else { value };
                if let Some(value) = b.value_of(whole).filter(|v| !v.is_finite()) {
                    b.not_finite(cost.expr, "this term of the cost", value);
                    return None;
                }
                let member = b.member_of(&cost.ranges);
                for piece in squares::pieces(&mut b.dag, whole, cost.weight) {
                    list.push(CostTerm {
                        node: piece.node,
                        weight: piece.weight,
                        square_of: piece.square_of,
                        text: cost.text.clone(),
                        member: member.clone(),
                        written_weight: cost.weight,
                        whole,
                        unit: shown(cost.unit.as_ref()),
                        span: cost.span,
                    });
                }
                Some(())
            })?;
        }
        Some(())
    }

    /// What is followed.
    fn tracks(&mut self, costs: &[hir::Cost], list: &mut Vec<Track>) -> Option<()> {
        for cost in costs {
            let Some((value, target)) = cost.tracked else { continue };
            self.each_member(&cost.ranges, |b| {
                let (value, target) = (b.settle(value, Moment::Running)?, b.settle(target, Moment::Running)?);
                list.push(Track { value, target, text: cost.text.clone(), span: cost.span });
                Some(())
            })?;
        }
        Some(())
    }

    /// `i = 3`
    pub(super) fn member_of(&self, ranges: &[Range]) -> String {
        let value = |r: &Range| self.indices[r.index.0 as usize].map_or(String::new(), |v| v.to_string());
        let list: Vec<String> = ranges.iter().map(|r| format!("{} = {}", r.name, value(r))).collect();
        list.join(", ")
    }

    /// True where the value depends on an input that is decided.
    pub(super) fn reads_acts(&mut self, node: NodeId, acts: &[Act]) -> bool {
        if self.bits_of(node) & discontinuity::ON_FORCING == 0 {
            return false;
        }
        self.dag.reachable(&[node]).iter().any(|id| match self.dag.node(*id) {
            Node::Leaf(Leaf::Input(k)) => acts.iter().any(|a| a.input == k),
            _ => false,
        })
    }

    /// What is seen, the reward, and the ends.
    fn values(&mut self, task: &Task, model: &FlatModel, flat: &mut FlatTask) -> Option<()> {
        for sense in &task.senses {
            let hir::Sense { value, low, high } = sense;
            let node = self.settle(value.expr, Moment::Running)?;
            let own = self.own_range(node, model, flat);
            let mut end = |e: &Option<ExprId>, open: f64| match e {
                Some(e) => self.constant(*e, "the end of a range"),
                None if low.is_none() && high.is_none() => Some(open),
                None => Some(f64::INFINITY.copysign(open)),
            };
            let (low, high) = (end(low, own.0)?, end(high, own.1)?);
            if low >= high {
                let title = format!("`{}` cannot be seen from {low} to {high}", value.text);
                let d = Diagnostic::new(Code("E0613"), value.span, title);
                self.diagnostics.push(d.at("no range").help("the lower end is below the upper one"));
                return None;
            }
            let (name, unit) = (value.text.clone(), shown(value.unit.as_ref()));
            flat.senses.push(Sense { name, unit, node, low, high, span: value.span });
        }
        if let Some(reward) = &task.reward {
            flat.reward = Some(self.settle(reward.expr, Moment::Running)?);
        }
        for (endings, is_fail) in [(&task.fails, true), (&task.dones, false)] {
            for ending in endings {
                let margin = self.settle_margin(ending.condition, Margin::Truth)?;
                let (penalty, text, span) = (ending.penalty, ending.text.clone(), ending.span);
                let list = if is_fail { &mut flat.fails } else { &mut flat.dones };
                list.push(Condition { margin, penalty, text, span });
            }
        }
        Some(())
    }

    /// The declared range of the state, input, disturbance or measured quantity that a node is; the index of the step is at
    /// most that of the last. Open for anything else.
    fn own_range(&self, node: NodeId, model: &FlatModel, flat: &FlatTask) -> (f64, f64) {
        let of = |quantity: Option<&super::super::Quantity>| {
            quantity.map_or((f64::NEG_INFINITY, f64::INFINITY), |quantity| (quantity.low, quantity.high))
        };
        match self.dag.node(node) {
            Node::Leaf(Leaf::State(k)) => of(model.states.get(k as usize).map(|state| &state.quantity)),
            Node::Leaf(Leaf::Input(k)) => of(model.inputs.get(k as usize).map(|input| &input.quantity)),
            Node::Leaf(Leaf::Disturbance(k)) if flat.index == Some(k) => (0.0, flat.n_steps as f64),
            Node::Leaf(Leaf::Disturbance(k)) => match flat.measured.iter().find(|m| m.disturbance == k) {
                Some(m) => of(model.observables.get(m.observable as usize).map(|observable| &observable.quantity)),
                None => of(model.disturbances.get(k as usize).map(|disturbance| &disturbance.quantity)),
            },
            _ => of(None),
        }
    }

    /// Takes `cost step` out of the costs of a task whose step is decided; E0901 where the step stands in any other way.
    fn time_cost(&mut self, flat: &mut FlatTask) -> Option<()> {
        let Some(FreeStep { disturbance: Some(place), .. }) = flat.free_step else { return Some(()) };
        let leaf = self.dag.leaf(Leaf::Disturbance(place));
        let mut weight = 0.0;
        let dag = &self.dag;
        flat.costs.retain(|term| {
            let own = match dag.as_scaled(term.node) {
                Some((own, node)) if node == leaf => own,
                _ if term.node == leaf => 1.0,
                _ => return true,
            };
            weight += own * term.weight;
            false
        });
        if let Some(free) = &mut flat.free_step {
            free.weight = weight;
        }
        let costs = flat.costs.iter().chain(&flat.terminal).map(|term| (term.node, term.span));
        let others = costs.chain(flat.keeps.iter().map(|keep| (keep.node, keep.span)));
        for (node, span) in others {
            if self.dag.reachable(&[node]).contains(&leaf) {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0901"), span, "a step that is decided has a price by itself alone")
                        .at("names `step` among others")
                        .help("write `cost step weight 10` for the price of time"),
                );
                return None;
            }
        }
        Some(())
    }

    /// −reward as the cost, where the task has none of its own: at every step, and at the end without what reads inputs.
    fn default_cost(&mut self, task: &Task, flat: &mut FlatTask) {
        let (Some(reward), Some(node)) = (&task.reward, flat.reward) else { return };
        if !flat.costs.is_empty() || !flat.terminal.is_empty() || !flat.moves.is_empty() {
            return;
        }
        let leaves: HashSet<u32> =
            flat.previous.iter().map(|p| p.disturbance).chain(flat.measured.iter().map(|m| m.disturbance)).collect();
        let is_smooth = self.dag.reachable(&[node]).iter().all(|id| match self.dag.node(*id) {
            Node::Compare(..) | Node::Select { .. } => false,
            Node::Unary(UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Sign | UnaryOp::Not, _) => false,
            Node::Binary(BinaryOp::Mod | BinaryOp::And | BinaryOp::Or, ..) => false,
            Node::Leaf(Leaf::Disturbance(k)) => !leaves.contains(&k),
            Node::Const(_) | Node::Leaf(_) | Node::Unary(..) | Node::Binary(..) | Node::PowI(..) | Node::Sum(_) => true,
        });
        if !is_smooth {
            flat.cost_origin = CostOrigin::Missing;
            return;
        }
        flat.cost_origin = CostOrigin::Reward;
        let whole = self.dag.neg(node);
        let text = match task.model.expr(reward.expr).kind {
            ExprKind::Symbol { .. } | ExprKind::Number { .. } | ExprKind::Call(..) => format!("-{}", reward.text),
            _ => format!("-({})", reward.text),
        };
        let terms: Vec<CostTerm> = squares::pieces(&mut self.dag, whole, 1.0)
            .into_iter()
            .map(|piece| CostTerm {
                node: piece.node,
                weight: piece.weight,
                square_of: piece.square_of,
                text: text.clone(),
                member: String::new(),
                written_weight: 1.0,
                whole,
                unit: shown(reward.unit.as_ref()),
                span: reward.span,
            })
            .collect();
        let mut end = terms.clone();
        end.retain(|term| !self.reads_acts(term.node, &flat.acts));
        let kept: Vec<(f64, NodeId)> = end.iter().map(|term| (term.weight, term.node)).collect();
        let whole = self.dag.sum(&kept);
        end.iter_mut().for_each(|term| term.whole = whole);
        (flat.costs, flat.terminal) = (terms, end);
    }
}
