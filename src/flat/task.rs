//! A task with everything instantiated, beside its flat model: which inputs are decided, what each step costs, what is
//! kept, what is seen.
//!
//! All nodes live in the model's graph. What a task sees beside the model's own quantities are disturbances at the end of
//! `model.disturbances`, and whoever carries the task out writes their values: the index of the step
//! ([`FlatTask::index`]), values of the step before ([`FlatTask::previous`]), measured values ([`FlatTask::measured`]),
//! definitions held over the step ([`FlatTask::holds`]), and the length of a step that is decided
//! ([`FlatTask::free_step`]). A task that names none of them has none of them, so that the equations of motion never
//! depend on them but for what is held.
//!
//! The cost of a plan of N steps is Σ l(x_k, u_k) for k = 0..N−1, not scaled by the step, plus the terminal terms at x_N.
//! The moves cost weight·((u_k − u_{k−1})/scale)² for k = 0..N−1. Soft constraints are priced at k = 0..N−1; hard ones
//! hold for k = 1..N, and where they read inputs for k = 0..N−1; final ones, hard or soft, at k = N.

mod acts;
mod bounds;
mod keeps;
mod lower;
mod squares;

pub use lower::{check_tasks, flatten_task};

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Leaf, Node, NodeId};
use crate::hir::task::{COSTLESS, StepMethod, TIGHTENING_PLANNERS};
use crate::source::Span;
use crate::system::{Softness, Trigger};

use super::{Distribution, FlatModel};

/// A decided input.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Index into `model.inputs`.
    pub input: u32,
    /// The actuator's lower limit, −∞ where open.
    pub low: f64,
    /// The actuator's upper limit, +∞ where open.
    pub high: f64,
    /// What a planner may plan instead of these limits.
    pub relaxed: Option<(f64, f64)>,
    /// What acted before the first step.
    pub before: f64,
    /// Where it is named; the declaration of the input where the task does not.
    pub span: Span,
}

impl Act {
    /// The limits of a plan.
    pub fn planned(&self) -> (f64, f64) {
        self.relaxed.unwrap_or((self.low, self.high))
    }
}

/// A state whose start is drawn for each episode.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnStart {
    /// Index into `model.states`.
    pub state: u32,
    /// What it is drawn from; draws outside of the state's range are repeated.
    pub distribution: Distribution,
    /// Where it is written.
    pub span: Span,
}

/// A part of a term of the cost: `weight · value(node)`. A statement whose value is a sum of squares and a rest is one
/// part for each of them, one behind the other with the same `span`.
#[derive(Debug, Clone, PartialEq)]
pub struct CostTerm {
    /// The value.
    pub node: NodeId,
    /// A pure number; the statement's weight and scale are in it. 1 for what is no square: they are in its node.
    pub weight: f64,
    /// r where `node` is r²: what a Gauss-Newton method linearises.
    pub square_of: Option<NodeId>,
    /// The statement's expression as written.
    pub text: String,
    /// Which member of a family of terms: `i = 3`; empty where the statement is no family.
    pub member: String,
    /// The statement's weight with its scale in it.
    pub written_weight: f64,
    /// The value of the whole statement before its weight.
    pub whole: NodeId,
    /// What the statement's value counts in; empty for a pure number.
    pub unit: String,
    /// The statement.
    pub span: Span,
}

/// What a `track` follows, beside its term of the cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// What is to follow.
    pub value: NodeId,
    /// What is followed, in the same unit.
    pub target: NodeId,
    /// The term of the cost as written.
    pub text: String,
    /// The statement.
    pub span: Span,
}

/// weight · ((u_k − u_{k−1})/scale)²
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// Index into `acts`.
    pub act: u32,
    /// A pure number.
    pub weight: f64,
    /// In the input's unit.
    pub scale: f64,
    /// True where `scale` is written: the change counts as a pure number.
    pub is_scaled: bool,
    /// The statement.
    pub span: Span,
}

/// Where a constraint holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// At every step.
    Path,
    /// At the end.
    Final,
}

/// `low ≤ node ≤ high`; a condition of several parts is one of these for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    /// The name of the safe set, or the text.
    pub name: String,
    /// Which member of a family of constraints: `i = 3`; empty where the statement is no family.
    pub member: String,
    /// The value: a state alone where it is a box of a state.
    pub node: NodeId,
    /// −∞ where open.
    pub low: f64,
    /// +∞ where open.
    pub high: f64,
    /// What leaving it costs, in the unit of the value.
    pub softness: Softness,
    /// How probably it is kept where the state is uncertain, above 0.5 and below 1; each of several intervals of one
    /// statement by itself.
    pub probability: Option<f64>,
    /// Where it holds.
    pub when: When,
    /// True where the value reads a decided input.
    pub reads_inputs: bool,
    /// The unit of the value, for people.
    pub unit: String,
    /// The statement.
    pub span: Span,
}

/// Something that the controller sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Sense {
    /// As written.
    pub name: String,
    /// Its unit, for people.
    pub unit: String,
    /// The value; measured quantities in it are disturbances ([`FlatTask::measured`]).
    pub node: NodeId,
    /// Lower end of the range it is seen in, as written, else of the quantity that it is; −∞ where open. Nothing is cut off.
    pub low: f64,
    /// Upper end; +∞ where open.
    pub high: f64,
    /// Where it is written.
    pub span: Span,
}

/// What ends an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Positive where the condition holds, its edge included, and negative where it does not.
    pub margin: NodeId,
    /// What it costs, in units of the reward.
    pub penalty: f64,
    /// As written.
    pub text: String,
    /// Where it is written.
    pub span: Span,
}

/// A definition held over the step: disturbance `disturbance` has the value of `node` at the step's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Index into `model.disturbances`.
    pub disturbance: u32,
    /// The definition, a function of time, parameters and disturbances.
    pub node: NodeId,
    /// Where it is held.
    pub span: Span,
}

/// Disturbance `disturbance` has the value that `node` had at the sampling instant before.
#[derive(Debug, Clone, PartialEq)]
pub struct Previous {
    /// Index into `model.disturbances`.
    pub disturbance: u32,
    /// The value.
    pub node: NodeId,
    /// Its value at the start; the first value of `node` where there is none.
    pub initial: Option<NodeId>,
    /// Where it is written.
    pub span: Span,
}

/// Disturbance `disturbance` has the last measured value of an observable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Index into `model.disturbances`.
    pub disturbance: u32,
    /// Index into `model.observables`.
    pub observable: u32,
}

/// A step whose length is decided, once for the whole plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FreeStep {
    /// Shortest, in the unit of time.
    pub low: f64,
    /// Longest.
    pub high: f64,
    /// What a unit of time costs, in each step: of the terms `cost step`, which stand here and not among the costs.
    pub weight: f64,
    /// The disturbance that has its value, where an expression names it.
    pub disturbance: Option<u32>,
}

/// Where the cost comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CostOrigin {
    /// The task's own terms.
    Written,
    /// The negative of the reward, at every step and at the end.
    Reward,
    /// There is none: the reward is not smooth, or looks back.
    Missing,
}

/// A flat task.
#[derive(Debug, Clone)]
pub struct FlatTask {
    /// Its name.
    pub name: String,
    /// The `"doc"`.
    pub doc: String,
    /// Where it is declared.
    pub span: Span,
    /// The model; all nodes live in its graph.
    pub model: FlatModel,
    /// Length of a step in the unit of time; of a free one, where the search starts.
    pub step: f64,
    /// The ends of a step that is decided.
    pub free_step: Option<FreeStep>,
    /// Steps of an episode.
    pub n_steps: usize,
    /// The integrator behind each step, and its equal substeps where it is a fixed method.
    pub via: (StepMethod, u32),
    /// Decided inputs, ascending; the others keep their declared value.
    pub acts: Vec<Act>,
    /// States that start anew in each episode; the others start where the model says.
    pub starts: Vec<DrawnStart>,
    /// Terms of a step.
    pub costs: Vec<CostTerm>,
    /// Terms of the end.
    pub terminal: Vec<CostTerm>,
    /// What is followed, in the order written.
    pub tracks: Vec<Track>,
    /// Where `costs` and `terminal` come from.
    pub cost_origin: CostOrigin,
    /// Costs of changes.
    pub moves: Vec<Move>,
    /// Constraints.
    pub keeps: Vec<Keep>,
    /// What the controller sees; where empty, the observables, or the states of a model without any.
    pub senses: Vec<Sense>,
    /// The reward after a step, of the new state and the input that acted; −(cost of the step + moves) where there is none.
    pub reward: Option<NodeId>,
    /// Failures.
    pub fails: Vec<Condition>,
    /// Good ends.
    pub dones: Vec<Condition>,
    /// Definitions held over a step.
    pub holds: Vec<Held>,
    /// Values of the step before.
    pub previous: Vec<Previous>,
    /// Measured values.
    pub measured: Vec<Measured>,
    /// The disturbance that is the index of the step, where it is named.
    pub index: Option<u32>,
}

impl FlatTask {
    /// Reports why a planner of the name `planner` cannot plan this task: E0409 where there is no cost, or for a controller
    /// that needs none nothing to follow, E0901 where the cost or a constraint looks back, and with `needs_bounds` E0612
    /// for an input without limits.
    pub fn check_planner(&self, planner: &str, needs_bounds: bool, diagnostics: &mut Diagnostics) {
        if COSTLESS.contains(&planner) {
            if self.tracks.is_empty() {
                let title = format!("`{planner}` follows what `track` names, and `{}` has none", self.name);
                diagnostics.push(
                    Diagnostic::new(Code("E0409"), self.span, title)
                        .at("no `track`")
                        .help("write for example `track x to 1`; such a term is `cost (x - 1)^2` for other planners"),
                );
            }
            return;
        }
        if self.cost_origin == CostOrigin::Missing {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0409"),
                    self.span,
                    format!("`{planner}` needs a `cost`, and `{}` has a `reward` that cannot stand for one", self.name),
                )
                .at("no `cost`")
                .help("write a `cost` that is smooth and does not look back at the step before"),
            );
        }
        if !TIGHTENING_PLANNERS.contains(&planner)
            && let Some(keep) = self.keeps.iter().find(|keep| keep.probability.is_some())
        {
            let title = format!("`{planner}` keeps no constraint with a probability");
            let d = Diagnostic::new(Code("E0901"), keep.span, title).at("`probability`");
            diagnostics.push(d.help("use `sqp` or `rti`, or leave `probability` out"));
        }
        self.check_events(planner, diagnostics);
        let back: Vec<NodeId> = self.previous.iter().filter_map(|p| self.disturbance_leaf(p.disturbance)).collect();
        let costs = self.costs.iter().chain(&self.terminal).map(|term| (term.whole, term.span));
        let keeps = self.keeps.iter().map(|keep| (keep.node, keep.span));
        for (node, span) in costs.chain(keeps) {
            let looks_back = !back.is_empty() && self.model.dag.reachable(&[node]).iter().any(|n| back.contains(n));
            if looks_back && !diagnostics.iter().any(|d| d.span() == span) {
                let title = format!("`{planner}` does not look back at the step before");
                diagnostics.push(
                    Diagnostic::new(Code("E0901"), span, title).at("names `previous`").help(
                        "write `move u` for the change of an input; `previous` may stand in `sense` and `reward`",
                    ),
                );
            }
        }
        for act in &self.acts {
            let (low, high) = act.planned();
            if needs_bounds && !(low.is_finite() && high.is_finite()) {
                let name = self.input_name(act);
                diagnostics.push(
                    Diagnostic::new(
                        Code("E0612"),
                        act.span,
                        format!("`{planner}` draws `{name}`, which has no limits"),
                    )
                    .at("drawn from what?")
                    .help(format!("write `act {name} in low .. high`, or give the input its limits")),
                );
            }
        }
    }

    /// W0112 for events that the state brings about, which a plan has not; E0901 for ones at known times that read a
    /// decided input.
    fn check_events(&self, planner: &str, diagnostics: &mut Diagnostics) {
        let dag = &self.model.dag;
        for event in self.model.events.iter().filter(|event| event.event.has_reset) {
            match event.event.trigger {
                Trigger::At { .. } | Trigger::Every { .. } => {
                    let values: Vec<NodeId> = event.jumps.iter().map(|jump| jump.value).collect();
                    let is_decided = |input: u32| self.acts.iter().any(|act| act.input == input);
                    let reads = dag
                        .reachable(&values)
                        .into_iter()
                        .any(|id| matches!(dag.node(id), Node::Leaf(Leaf::Input(input)) if is_decided(input)));
                    if reads {
                        let title = format!("what `{}` assigns depends on what `{planner}` decides", event.description);
                        diagnostics.push(
                            Diagnostic::new(Code("E0901"), event.span, title)
                                .at("reads a decided input")
                                .help("let a rate of the model depend on the input, and the event on states"),
                        );
                    }
                }
                Trigger::Rising { .. } | Trigger::Crossing { .. } => {
                    let title = format!("`{planner}` does not foresee `{}`", event.description);
                    diagnostics.push(
                        Diagnostic::new(Code("W0112"), event.span, title)
                            .at("brought about by the state")
                            .help("it happens to the plant, and the next plan starts from what it leaves; events at known times are planned"),
                    );
                }
            }
        }
    }

    /// The name of a decided input.
    pub fn input_name(&self, act: &Act) -> &str {
        self.model.inputs.get(act.input as usize).map_or("", |input| input.quantity.name.as_str())
    }

    fn disturbance_leaf(&self, disturbance: u32) -> Option<NodeId> {
        let leaf = Node::Leaf(Leaf::Disturbance(disturbance));
        (0..self.model.dag.len() as u32).map(NodeId).find(|id| self.model.dag.node(*id) == leaf)
    }
}
