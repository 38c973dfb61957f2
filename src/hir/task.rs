//! A task with its names resolved: what good means for a model, and how often it is acted on.
//!
//! The task's expressions live in the arena of its own copy of the model. What a task sees beside the model's quantities
//! (the step index, values of the step before, measured values, definitions that are held) are disturbances of that
//! copy, so that every later stage needs to know nothing of them: whoever carries the task out sets their values.

use crate::source::Span;
use crate::system::Softness;
use crate::units::Unit;

use super::expr::ExprId;
use super::model::{Dist, EventDef, Model, Range, SymbolId};
use super::settings::Settings;
use super::stop::Stop;
use super::study::Prior;

/// The integrator behind each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StepMethod {
    /// By error control; which one, the model's stiffness decides.
    #[default]
    Auto,
    /// Explicit Euler.
    Euler,
    /// The classical Runge-Kutta method of order 4.
    Rk4,
    /// Radau IIA with one point: implicit Euler.
    Radau1,
    /// Radau IIA with two points, order 3.
    Radau3,
    /// Radau IIA with three points, order 5.
    Radau5,
    /// Tsitouras's explicit pair with error control.
    Tsit5,
    /// A Rosenbrock method with error control.
    Rodas5p,
    /// Backward differentiation with error control.
    Bdf,
}

impl StepMethod {
    /// Every method with its name.
    pub const ALL: [(&'static str, StepMethod); 9] = [
        ("auto", StepMethod::Auto),
        ("euler", StepMethod::Euler),
        ("rk4", StepMethod::Rk4),
        ("radau1", StepMethod::Radau1),
        ("radau3", StepMethod::Radau3),
        ("radau5", StepMethod::Radau5),
        ("tsit5", StepMethod::Tsit5),
        ("rodas5p", StepMethod::Rodas5p),
        ("bdf", StepMethod::Bdf),
    ];

    /// The method of this name.
    pub fn find(name: &str) -> Option<StepMethod> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, method)| *method)
    }

    /// As written behind `via`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }

    /// True where a step is a fixed number of equal substeps and not one of error control.
    pub fn is_fixed(self) -> bool {
        match self {
            StepMethod::Euler | StepMethod::Rk4 | StepMethod::Radau1 | StepMethod::Radau3 | StepMethod::Radau5 => true,
            StepMethod::Auto | StepMethod::Tsit5 | StepMethod::Rodas5p | StepMethod::Bdf => false,
        }
    }
}

/// `step 10 [min] via rk4 times 10`
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStep {
    /// In the unit of time; where it is free, where the search starts.
    pub length: f64,
    /// `step free in 0.01 .. 0.1 [s]`: the ends of what may be chosen.
    pub free: Option<(f64, f64)>,
    /// The quantity that a free step is for the task's expressions, where they name it.
    pub symbol: Option<SymbolId>,
    /// The integrator.
    pub method: StepMethod,
    /// Equal substeps of a fixed method.
    pub substeps: u32,
    /// The statement.
    pub span: Span,
}

/// A member of a quantity, or several of a family (`for` clauses), with a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranged {
    /// Which quantity.
    pub symbol: SymbolId,
    /// Index expressions of a family member.
    pub indices: Vec<ExprId>,
    /// Bound indices.
    pub ranges: Vec<Range>,
    /// In the quantity's unit.
    pub low: Option<ExprId>,
    /// In the quantity's unit.
    pub high: Option<ExprId>,
    /// Where it is named.
    pub span: Span,
}

/// `relax u in 0 .. 80`: plans may be wider than the actuator, and are cut off when they are acted.
#[derive(Debug, Clone, PartialEq)]
pub struct Relaxed {
    /// The input, by the name of the member.
    pub name: String,
    /// In the input's unit.
    pub low: f64,
    /// In the input's unit.
    pub high: f64,
    /// Where it is written.
    pub span: Span,
}

/// Where an episode starts.
#[derive(Debug, Clone, PartialEq)]
pub enum StartFrom {
    /// `= value`, in the quantity's unit.
    Value(ExprId),
    /// `~ distribution`, drawn for each episode.
    Drawn(Dist),
}

/// `start G ~ Uniform(90, 180)`; of an input, what acted before the first step.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStart {
    /// A state, species, parameter, disturbance or input.
    pub symbol: SymbolId,
    /// Index expressions of a family member.
    pub indices: Vec<ExprId>,
    /// With what.
    pub from: StartFrom,
    /// Where it is written.
    pub span: Span,
}

/// One term of the cost of a step or of the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// The term, or where `is_square` what is squared, in `unit`.
    pub expr: ExprId,
    /// The term is the square of `expr`: what `track` makes.
    pub is_square: bool,
    /// What the term counts in: the unit of `expr`, or its square; `None` for a pure number.
    pub unit: Option<Unit>,
    /// Factor on the value in `unit`; what `scale` divides by is in it.
    pub weight: f64,
    /// Bound indices: one term for each.
    pub ranges: Vec<Range>,
    /// What `track` names, and what it is to follow: `expr` is their difference.
    pub tracked: Option<(ExprId, ExprId)>,
    /// The term as written.
    pub text: String,
    /// The statement.
    pub span: Span,
}

/// `move F weight 0.1 scale 100 [1/h]`: weight · (change/scale)²
#[derive(Debug, Clone, PartialEq)]
pub struct MoveCost {
    /// Which input.
    pub input: Ranged,
    /// Factor.
    pub weight: f64,
    /// In the input's unit.
    pub scale: f64,
    /// True where `scale` is written.
    pub is_scaled: bool,
    /// The statement.
    pub span: Span,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum KeepWhat {
    /// `keep e in low .. high`, all in the unit of e.
    Range {
        /// What.
        expr: ExprId,
        /// Its unit.
        unit: Option<Unit>,
        /// Lower end.
        low: Option<ExprId>,
        /// Upper end.
        high: Option<ExprId>,
    },
    /// `keep hot`, `keep T <= 140 [degC]`: a condition.
    Condition(ExprId),
}

/// `keep ..`
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    /// The name of a safe set, or the text.
    pub name: String,
    /// What.
    pub what: KeepWhat,
    /// What breaking it costs.
    pub softness: Softness,
    /// `probability 0.95`: how probably it is kept, above 0.5 and below 1.
    pub probability: Option<f64>,
    /// At the end only.
    pub is_final: bool,
    /// Bound indices.
    pub ranges: Vec<Range>,
    /// The statement.
    pub span: Span,
}

/// An expression of a task with its unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Valued {
    /// The expression.
    pub expr: ExprId,
    /// Its unit; `None` for a pure number.
    pub unit: Option<Unit>,
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// `sense G in 0 .. 1000`: what the controller sees, and the range that it is seen in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sense {
    /// What.
    pub value: Valued,
    /// Lower end, in the unit of the value.
    pub low: Option<ExprId>,
    /// Upper end.
    pub high: Option<ExprId>,
}

/// `fail when condition penalty 1e5`, `done when condition`
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The condition.
    pub condition: ExprId,
    /// What it costs to end so, in units of the reward.
    pub penalty: f64,
    /// The condition as written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A definition that is held over each step.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldLet {
    /// Once the definition, now a disturbance.
    pub symbol: SymbolId,
    /// Its value at the start of a step.
    pub value: ExprId,
    /// Where it is held.
    pub span: Span,
}

/// `previous(e)`, `previous(e, v)`: the value of e at the sampling instant before.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviousValue {
    /// The disturbance that has it.
    pub symbol: SymbolId,
    /// e
    pub expr: ExprId,
    /// v: the value at the start; the first value of e where it is not given.
    pub initial: Option<ExprId>,
    /// True where observables in e stand for their measured values.
    pub is_sensed: bool,
    /// e as written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// `"doc"`
    pub doc: String,
    /// Where it is declared.
    pub span: Span,
    /// The model, with the task's expressions in its arena and its further disturbances among the symbols.
    pub model: Model,
    /// How often it is acted.
    pub step: TaskStep,
    /// Steps of an episode.
    pub n_steps: usize,
    /// What is decided; every input where it is empty.
    pub acts: Vec<Ranged>,
    /// What a planner may plan instead of the actuator's limits.
    pub relaxed: Vec<Relaxed>,
    /// Where an episode starts, the last word on a quantity last.
    pub starts: Vec<TaskStart>,
    /// What the controller sees; the observables, or the states where there are none, where it is empty.
    pub senses: Vec<Sense>,
    /// Terms of the cost of a step.
    pub costs: Vec<Cost>,
    /// Terms of the cost of the end.
    pub terminal: Vec<Cost>,
    /// Costs of changing inputs.
    pub moves: Vec<MoveCost>,
    /// Constraints.
    pub keeps: Vec<Keep>,
    /// The reward of a step.
    pub reward: Option<Valued>,
    /// What ends an episode as a failure.
    pub fails: Vec<Ending>,
    /// What ends an episode well.
    pub dones: Vec<Ending>,
    /// Definitions that are held over a step.
    pub holds: Vec<HeldLet>,
    /// Events beside the model's.
    pub events: Vec<EventDef>,
    /// Values of the step before.
    pub previous: Vec<PreviousValue>,
    /// The disturbance that is the index of the step, where it is named.
    pub index: Option<SymbolId>,
    /// Observables with the disturbances that are their measured values.
    pub measured: Vec<(SymbolId, SymbolId)>,
}

/// `randomize n ~ Uniform(0.1, 0.3)`: drawn anew for each episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Randomize {
    /// A parameter of the plant, by the name of the member.
    pub name: String,
    /// What it is drawn from.
    pub prior: Prior,
    /// Where it is written.
    pub span: Span,
}

/// `estimate beta in 0.8 .. 1.2`: a parameter that a filter estimates beside the state, as a slow random walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// A parameter of the believed model, by the name of the member.
    pub name: String,
    /// Ends in its unit that replace the model's.
    pub low: Option<f64>,
    /// Ends in its unit that replace the model's.
    pub high: Option<f64>,
    /// What is believed of it at the start instead of the model's `~`.
    pub prior: Option<Prior>,
    /// Where it is written.
    pub span: Span,
}

/// The values that a parameter may have in the scenarios of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Scenarios {
    /// `in [1, 1.05, 0.95]`, in its unit: every combination with those of others.
    Listed(Vec<f64>),
    /// Drawn, together with the others that are.
    Drawn(Prior),
}

/// `scenario alpha in [1, 1.05, 0.95]`: plans hold for each of several values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// A parameter of the believed model, by the name of the member.
    pub name: String,
    /// Its values.
    pub values: Scenarios,
    /// Where it is written.
    pub span: Span,
}

/// `algorithm sqp { horizon = 20; relax u in 0 .. 80 }`
#[derive(Debug, Clone)]
pub struct Algorithm {
    /// The method and its settings.
    pub settings: Settings,
    /// What this planner may plan instead of the actuator's limits; goes before what the task says.
    pub relaxed: Vec<Relaxed>,
    /// What a learner says of its parts: `mpc { horizon = 20 }`, each under its name.
    pub parts: Vec<Algorithm>,
    /// The statement.
    pub span: Span,
}

/// What a study of a task says about its control.
#[derive(Debug, Clone)]
pub struct Control {
    /// The task for the model that the controller believes in.
    pub belief: Task,
    /// The task for the model that is acted on.
    pub plant: Task,
    /// What is drawn for each episode.
    pub randomize: Vec<Randomize>,
    /// `randomize within 0.1`: parameters and starts of the plant that nothing else draws are drawn for each episode,
    /// evenly within this share of their values.
    pub spread: Option<(f64, Span)>,
    /// What plans, in the order written; the first is taken where nothing else is asked for.
    pub algorithms: Vec<Algorithm>,
    /// What learns, in the order written; the others are trained beside the first.
    pub learners: Vec<Algorithm>,
    /// What estimates the state; the true state is seen where nothing does.
    pub filter: Option<Settings>,
    /// Parameters that the filter estimates beside the state.
    pub estimates: Vec<Estimated>,
    /// Parameters whose several values a plan is to hold for.
    pub scenarios: Vec<Scenario>,
    /// Disturbances that the controller does not know, by the name of the member.
    pub hidden: Vec<(String, Span)>,
    /// How many episodes, and their seeds.
    pub budget: Settings,
    /// `loop { .. }`: what stands between the plant and its controller.
    pub closed_loop: Settings,
    /// `evaluate { .. }`: how what was trained is judged.
    pub evaluation: Settings,
    /// When the run ends for safety; any of them.
    pub stops: Vec<Stop>,
}

/// Planners that draw inputs between their limits.
pub const DRAWING_PLANNERS: [&str; 4] = ["shooting", "cem", "mppi", "cma"];
/// Algorithms that learn a policy; all others plan.
pub const LEARNERS: [&str; 8] = ["acr", "sac", "td3", "ppo", "ppo_lagrangian", "cpo", "dqn", "distill"];
/// Planners that keep constraints with a probability, or that look at no constraint of states at all.
pub const TIGHTENING_PLANNERS: [&str; 3] = ["sqp", "rti", "lqr"];
/// Controllers that need no cost.
pub const COSTLESS: [&str; 1] = ["pid"];

impl Algorithm {
    /// Its name.
    pub fn name(&self) -> &str {
        self.settings.method.as_ref().map_or("", |(name, _)| name)
    }

    /// True where it learns a policy instead of planning.
    pub fn is_learner(&self) -> bool {
        LEARNERS.contains(&self.name())
    }

    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&Algorithm> {
        self.parts.iter().find(|part| part.name() == name)
    }

    /// Takes in what a later text says of the same algorithm.
    pub fn extend(&mut self, later: Algorithm) {
        self.settings.extend(later.settings);
        self.relaxed.extend(later.relaxed);
        for part in later.parts {
            match self.parts.iter_mut().find(|known| known.name() == part.name()) {
                Some(known) => known.extend(part),
                None => self.parts.push(part),
            }
        }
    }
}

impl Control {
    /// The task as `algorithm` plans it: with its own relaxed limits.
    pub fn task_for(&self, algorithm: &Algorithm) -> Task {
        let mut task = self.belief.clone();
        task.relaxed.extend(algorithm.relaxed.iter().cloned());
        task
    }
}
