//! From a flat task to what planners and the closed loop see: kernels, the problem in discrete time, rollouts, a plant.
//!
//! The one place of `control` that knows how functions are made; everything else sees [`System`],
//! [`crate::system::Stages`] and [`crate::system::Function`].

mod plant_rows;

pub use plant_rows::PlantRows;

use std::sync::Arc;

use super::estimate::{EstimateError, Readings, SystemSpace};
use super::plant::{Drawn, PlantFunctions, step_options};
use super::rollouts::{Rollouts, RowProblem, RowRollouts, RowsError, StageRollouts};
use super::shooting::{
    Bounds, ControlProblem, ControlProblemError, Discretization, FreeStep, Move, RowBound, Shooting,
};
use crate::expr::{Dag, Leaf, Node, NodeId, Wrt, gradients};
use crate::flat::FlatTask;
use crate::flat::task::{CostTerm, Keep, When};
use crate::hir::task::StepMethod;
use crate::jit::{CompileError, Kernels, Options, Square, StageKernels, StageNodes, StageTerms, row_functions};
use crate::random::stream;
use crate::system::stages::{Softness, Tree};
use crate::system::{Curvature, System, Trigger};

/// Why a task cannot be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AssembleError {
    /// No machine code.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Sizes that do not fit.
    #[error(transparent)]
    Problem(#[from] ControlProblemError),
    /// The functions over rows.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Scenarios of a parameter that is not there, or of none of its values.
    #[error("scenarios need values of a parameter of the model, and number {0} of theirs is none or has none")]
    Scenario(usize),
    /// A tree too large to be planned over.
    #[error("a tree of {n_scenarios} scenarios at each of {n_robust} steps has more than 100000 nodes")]
    Tree {
        /// Scenarios of a step.
        n_scenarios: usize,
        /// Steps at which scenarios part.
        n_robust: usize,
    },
}

/// Most nodes of a scenario tree.
const MOST_NODES: usize = 100_000;

/// What of a constraint belongs where.
#[derive(Debug, Default)]
struct Kept {
    x_lower: Vec<f64>,
    x_upper: Vec<f64>,
    x_lower_last: Vec<f64>,
    x_upper_last: Vec<f64>,
    rows: Vec<(NodeId, RowBound)>,
    rows_last: Vec<(NodeId, RowBound)>,
    /// Indices into the task's constraints, one for each of `rows`.
    of_rows: Vec<usize>,
    /// The same of `rows_last`.
    of_rows_last: Vec<usize>,
}

/// A compiled task.
pub struct Assembly {
    task: Arc<FlatTask>,
    kernels: Arc<Kernels>,
    functions: Arc<StageKernels>,
    nodes: StageNodes,
    kept: Kept,
    /// The whole cost of a step.
    cost: NodeId,
    /// What the controller sees that tells of one state: `(reading, state, value, derivative)`.
    readings: Vec<(usize, usize, NodeId, NodeId)>,
    /// What the controller sees.
    seen: Vec<NodeId>,
    collocation: Collocation,
    /// Parameters of which plans are told several values, `(param_idx, values)`.
    listed: Vec<(usize, Vec<f64>)>,
    /// Parameters of which plans are told several draws.
    drawn: Vec<Drawn>,
}

/// How plans collocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collocation {
    /// Points of Radau IIA, 1 to 3, for steps that the task leaves to error control. Default 3.
    pub n_points: usize,
    /// State bounds hold at the points inside the steps too, as do-mpc has them. Default false.
    pub bounds_inside: bool,
}

impl Default for Collocation {
    fn default() -> Self {
        Collocation { n_points: 3, bounds_inside: false }
    }
}

impl Assembly {
    /// Compiles what every use of the task needs; the rest when it is asked for.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn new(mut task: FlatTask, options: &Options) -> Result<Assembly, CompileError> {
        let seen = seen(&mut task);
        let dag = &mut task.model.dag;
        let running = terms(dag, &task.costs);
        let last = terms(dag, &task.terminal);
        let cost = total(dag, &running);
        let readings = readings(dag, &seen);
        let kept = kept(&task);
        let with_rows = |mut terms: StageTerms, rows: &[(NodeId, RowBound)]| {
            terms.rows = rows.iter().map(|(node, _)| *node).collect();
            terms
        };
        let nodes = StageNodes { running: with_rows(running, &kept.rows), last: with_rows(last, &kept.rows_last) };
        let kernels = Arc::new(Kernels::compile(Arc::new(task.model.clone()), options)?);
        let functions = Arc::new(StageKernels::new(Arc::clone(&kernels), nodes.clone()));
        Ok(Assembly {
            task: Arc::new(task),
            kernels,
            functions,
            nodes,
            kept,
            cost,
            readings,
            seen,
            collocation: Collocation::default(),
            listed: Vec::new(),
            drawn: Vec::new(),
        })
    }

    /// The same with another collocation in its plans.
    #[must_use]
    pub fn collocated(mut self, collocation: Collocation) -> Assembly {
        self.collocation = collocation;
        self
    }

    /// The task.
    pub fn task(&self) -> &FlatTask {
        &self.task
    }

    /// The model's kernels.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The declared values of the parameters.
    pub fn parameters(&self) -> Vec<f64> {
        self.task.model.params.iter().map(|param| param.value).collect()
    }

    /// The problem of planning `horizon` steps ahead. A step that the task leaves to error control is planned by
    /// collocation ([`Assembly::collocated`]).
    ///
    /// # Errors
    /// [`AssembleError`].
    pub fn stages(&self, horizon: usize, curvature: Curvature) -> Result<Shooting, AssembleError> {
        self.shooting(self.problem(Tree::chain(horizon), self.parameters()), curvature)
    }

    /// The stages of a problem that [`Assembly::problem`] made, perhaps changed since.
    ///
    /// # Errors
    /// [`AssembleError`].
    pub fn shooting(&self, problem: ControlProblem, curvature: Curvature) -> Result<Shooting, AssembleError> {
        self.functions.prepare(curvature)?;
        Ok(if self.task.via.0.is_fixed() { Shooting::new(problem)? } else { Shooting::cutting(problem)? })
    }

    /// The constraint of the task that a row of a node is, at the end of the horizon where `is_last`.
    pub fn keep_of_row(&self, row: usize, is_last: bool) -> Option<&Keep> {
        let list = if is_last { &self.kept.of_rows_last } else { &self.kept.of_rows };
        self.task.keeps.get(*list.get(row)?)
    }

    /// The same with parameters of which plans are told several values: each list of `listed`, `(param_idx, values)`, in
    /// every combination, the last parameter varying fastest, and each combination with every draw of `drawn`.
    ///
    /// # Errors
    /// [`AssembleError::Scenario`].
    pub fn uncertain(mut self, listed: &[(usize, &[f64])], drawn: &[Drawn]) -> Result<Assembly, AssembleError> {
        let n = self.task.model.params.len();
        let wrong = |(param, values): &(usize, &[f64])| *param >= n || values.is_empty();
        if let Some(at) = listed.iter().position(wrong) {
            return Err(AssembleError::Scenario(at));
        }
        if let Some(at) = drawn.iter().position(|drawn| drawn.param_idx >= n) {
            return Err(AssembleError::Scenario(listed.len() + at));
        }
        self.listed = listed.iter().map(|(param, values)| (*param, values.to_vec())).collect();
        self.drawn = drawn.to_vec();
        Ok(self)
    }

    /// True where plans are told several values of parameters.
    pub fn is_uncertain(&self) -> bool {
        !self.listed.is_empty() || !self.drawn.is_empty()
    }

    /// The parameters of all scenarios, `n_scenarios × n_params` row major. What is drawn has its declared values once, and
    /// `n_drawn − 1` drawn ones from `seed`.
    pub fn scenarios(&self, n_drawn: usize, seed: u64) -> Vec<f64> {
        let nominal = self.parameters();
        let n_listed: usize = self.listed.iter().map(|(_, values)| values.len()).product();
        let mut rng = stream(seed, 0);
        let mut draws = vec![nominal.clone()];
        while !self.drawn.is_empty() && draws.len() < n_drawn {
            let mut own = nominal.clone();
            for Drawn { param_idx, distribution, low, high } in &self.drawn {
                own[*param_idx] = distribution.draw_within(*low, *high, &mut rng);
            }
            draws.push(own);
        }
        let mut parameters = Vec::with_capacity(n_listed * draws.len() * nominal.len());
        for combination in 0..n_listed {
            for draw in &draws {
                let mut own = draw.clone();
                let mut rest = combination;
                for (param, values) in self.listed.iter().rev() {
                    own[*param] = values[rest % values.len()];
                    rest /= values.len();
                }
                parameters.extend(own);
            }
        }
        parameters
    }

    /// The problem of planning for several scenarios at once, `parameters: n_scenarios × n_params` row major. At each of the
    /// first `n_robust` steps every scenario may come true, and the last one goes on up to `horizon`; a plan may react to
    /// what came true, but not before (multi-stage planning; S. Lucia, T. Finkler and S. Engell 2013, J. Process Control
    /// 23:1306). Costs of nodes at one time are averaged; prices of soft constraints are paid in full at every node, as in
    /// do-mpc.
    ///
    /// # Errors
    /// [`AssembleError::Tree`].
    pub fn robust(
        &self,
        horizon: usize,
        n_robust: usize,
        parameters: Vec<f64>,
    ) -> Result<ControlProblem, AssembleError> {
        let n_robust = n_robust.min(horizon);
        let n_scenarios = (parameters.len() / self.task.model.params.len().max(1)).max(1);
        let too_large = AssembleError::Tree { n_scenarios, n_robust };
        let widest = u32::try_from(n_robust).ok().and_then(|power| n_scenarios.checked_pow(power));
        let Some(widest) = widest.filter(|widest| widest.saturating_mul(horizon) <= MOST_NODES) else {
            return Err(too_large);
        };
        let tree = Tree::branching(horizon, n_robust, n_scenarios);
        let (mut scenarios, mut weights) = (vec![0; tree.n_nodes()], vec![1.0; tree.n_nodes()]);
        let (mut depth, mut first) = (0, 0);
        for node in 1..tree.n_nodes() {
            if tree.depth(node) > depth {
                (depth, first) = (tree.depth(node), node);
            }
            // Siblings stand side by side, one for each scenario.
            let is_parting = depth <= n_robust;
            scenarios[node] = if is_parting { (node - first) % n_scenarios } else { scenarios[tree.parent(node)] };
            weights[node] =
                if is_parting { weights[tree.parent(node)] / n_scenarios as f64 } else { 1.0 / widest as f64 };
        }
        Ok(ControlProblem { scenarios, weights, ..self.problem(tree, parameters) })
    }

    /// The problem over a tree, with the parameters `n_scenarios × n_params`. The caller sets scenarios and weights.
    pub fn problem(&self, tree: Tree, parameters: Vec<f64>) -> ControlProblem {
        let task = &*self.task;
        let (method, substeps) = task.via;
        let n_substeps = substeps.max(1) as usize;
        let bounds_inside = self.collocation.bounds_inside;
        let radau = |n_points| Discretization::RadauIia { n_points, n_substeps, bounds_inside };
        let discretization = match method {
            StepMethod::Euler => Discretization::Euler { n_substeps },
            StepMethod::Rk4 => Discretization::Rk4 { n_substeps },
            StepMethod::Radau1 => radau(1),
            StepMethod::Radau3 => radau(2),
            StepMethod::Radau5 => radau(3),
            StepMethod::Auto | StepMethod::Tsit5 | StepMethod::Rodas5p | StepMethod::Bdf => {
                radau(self.collocation.n_points)
            }
        };
        let (u_lower, u_upper) = self.input_bounds();
        let bounds = |rows: &[(NodeId, RowBound)]| rows.iter().map(|(_, bound)| *bound).collect();
        ControlProblem {
            system: Arc::clone(&self.kernels) as Arc<dyn System>,
            functions: Arc::clone(&self.functions) as _,
            discretization,
            step: task.step,
            time: 0.0,
            tree,
            parameters,
            scenarios: Vec::new(),
            weights: Vec::new(),
            forecast: task.model.disturbances.iter().map(|d| d.value).collect(),
            moves: task
                .moves
                .iter()
                .map(|m| Move { input: task.acts[m.act as usize].input as usize, weight: m.weight, scale: m.scale })
                .collect(),
            free_step: task.free_step.map(|free| FreeStep { lower: free.low, upper: free.high, weight: free.weight }),
            bounds: Bounds {
                x_lower: self.kept.x_lower.clone(),
                x_upper: self.kept.x_upper.clone(),
                x_lower_last: self.kept.x_lower_last.clone(),
                x_upper_last: self.kept.x_upper_last.clone(),
                u_lower,
                u_upper,
                rows: bounds(&self.kept.rows),
                rows_last: bounds(&self.kept.rows_last),
            },
        }
    }

    /// What may be planned; inputs that are not decided keep their declared value.
    fn input_bounds(&self) -> (Vec<f64>, Vec<f64>) {
        let task = &*self.task;
        let mut lower: Vec<f64> = task.model.inputs.iter().map(|input| input.value).collect();
        let mut upper = lower.clone();
        for act in &task.acts {
            (lower[act.input as usize], upper[act.input as usize]) = act.planned();
        }
        (lower, upper)
    }

    /// Rollouts of `horizon` steps: over rows of sequences where the step is explicit, else one by one.
    ///
    /// # Errors
    /// [`AssembleError`].
    pub fn rollouts(&self, horizon: usize, price: f64, n_threads: usize) -> Result<Box<dyn Rollouts>, AssembleError> {
        self.rollouts_of(self.problem(Tree::chain(horizon), self.parameters()), price, n_threads)
    }

    /// Rollouts of a problem that [`Assembly::problem`] or [`Assembly::robust`] made, perhaps changed since. Those of a
    /// tree are made one by one.
    ///
    /// # Errors
    /// [`AssembleError`].
    pub fn rollouts_of(
        &self,
        problem: ControlProblem,
        price: f64,
        n_threads: usize,
    ) -> Result<Box<dyn Rollouts>, AssembleError> {
        match problem.discretization {
            Discretization::Map | Discretization::Euler { .. } | Discretization::Rk4 { .. }
                if problem.tree.is_chain() && !self.is_scheduled() =>
            {
                let functions = row_functions(&self.kernels, &self.nodes, &problem.parameters)?;
                let problem = RowProblem::of(&problem, functions, price)?;
                Ok(Box::new(RowRollouts::new(problem, n_threads)?))
            }
            Discretization::Map
            | Discretization::Euler { .. }
            | Discretization::Rk4 { .. }
            | Discretization::RadauIia { .. }
            | Discretization::Adaptive { .. } => {
                let stages = self.shooting(problem, Curvature::GaussNewton)?;
                Ok(Box::new(StageRollouts::new(Box::new(stages), price)))
            }
        }
    }

    /// True where the model assigns something at known times.
    fn is_scheduled(&self) -> bool {
        let is_known = |trigger| matches!(trigger, Trigger::At { .. } | Trigger::Every { .. });
        self.kernels.events().iter().any(|event| event.has_reset && is_known(event.trigger))
    }

    /// What a plant of this task evaluates.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn plant_functions(&self) -> Result<PlantFunctions, CompileError> {
        let task = &*self.task;
        let compile = |nodes: Vec<NodeId>| -> Result<Box<dyn crate::system::Function>, CompileError> {
            Ok(Box::new(self.kernels.compile_nodes(&nodes)?))
        };
        Ok(PlantFunctions {
            holds: compile(task.holds.iter().map(|held| held.node).collect())?,
            previous: compile(task.previous.iter().map(|previous| previous.node).collect())?,
            previous_start: compile(task.previous.iter().map(|p| p.initial.unwrap_or(p.node)).collect())?,
            senses: compile(task.senses.iter().map(|sense| sense.node).collect())?,
            cost: compile(vec![self.cost])?,
            reward: compile(task.reward.into_iter().collect())?,
            endings: compile(task.fails.iter().chain(&task.dones).map(|ending| ending.margin).collect())?,
            keeps: compile(task.keeps.iter().map(|keep| keep.node).collect())?,
        })
    }

    /// The model as its plant carries it over a step, without sensors and noise.
    ///
    /// # Errors
    /// Where the integrator refuses the task's step.
    pub fn simulation(&self) -> Result<SystemSpace<'_>, EstimateError> {
        let options = step_options(&self.task);
        let density = vec![0.0; self.task.model.states.len()];
        SystemSpace::new(&*self.kernels, options, &self.parameters(), Vec::new(), Vec::new(), density)
    }

    /// What the controller sees of single states, for [`super::estimate::Replace`]: indices are those of the plant's
    /// observations ([`super::plant::Plant::observe`]).
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn readings(&self) -> Result<Readings, CompileError> {
        let values = self.readings.iter().map(|reading| reading.2);
        let nodes: Vec<NodeId> = values.chain(self.readings.iter().map(|reading| reading.3)).collect();
        Ok(Readings {
            pairs: self.readings.iter().map(|reading| (reading.0, reading.1)).collect(),
            functions: Box::new(self.kernels.compile_nodes(&nodes)?),
            parameters: self.parameters(),
        })
    }

    /// The nodes that costs and rows are made of.
    pub fn nodes(&self) -> &StageNodes {
        &self.nodes
    }
}

/// What the controller sees: the task's senses, else the observables, else the states.
fn seen(task: &mut FlatTask) -> Vec<NodeId> {
    let model = &mut task.model;
    if !task.senses.is_empty() {
        task.senses.iter().map(|sense| sense.node).collect()
    } else if !model.observables.is_empty() {
        model.observables.iter().map(|observable| model.outputs[observable.value_output]).collect()
    } else {
        (0..model.states.len() as u32).map(|state| model.dag.leaf(Leaf::State(state))).collect()
    }
}

/// Those of `seen` that are functions of one state, of parameters and of time, with their derivatives by that state.
fn readings(dag: &mut Dag, seen: &[NodeId]) -> Vec<(usize, usize, NodeId, NodeId)> {
    let mut found = Vec::new();
    for (reading, &node) in seen.iter().enumerate() {
        let mut states = Vec::new();
        let mut others = 0;
        for id in dag.reachable(&[node]) {
            if let Node::Leaf(leaf) = dag.node(id) {
                match leaf {
                    Leaf::State(state) => states.push(state as usize),
                    Leaf::Time | Leaf::Param(_) => {}
                    Leaf::Input(_) | Leaf::Disturbance(_) | Leaf::Direction(_) | Leaf::DirectionTime => others += 1,
                }
            }
        }
        let derivative = gradients(dag, &[node], Wrt::States).pop().and_then(|list| list.first().copied());
        if let (&[state], 0, Some((_, derivative))) = (&states[..], others, derivative) {
            found.push((reading, state, node, derivative));
        }
    }
    found
}

/// Squares apart from the rest, weights multiplied in.
fn terms(dag: &mut Dag, costs: &[CostTerm]) -> StageTerms {
    let mut terms = StageTerms::default();
    for term in costs {
        match term.square_of {
            Some(residual) => terms.squares.push(Square { weight: term.weight, residual }),
            None => terms.others.push(dag.scale(term.weight, term.node)),
        }
    }
    terms
}

/// The sum of all terms.
fn total(dag: &mut Dag, terms: &StageTerms) -> NodeId {
    let squares: Vec<(f64, NodeId)> =
        terms.squares.iter().map(|square| (square.weight, dag.powi(square.residual, 2))).collect();
    let all: Vec<(f64, NodeId)> = squares.into_iter().chain(terms.others.iter().map(|&node| (1.0, node))).collect();
    dag.sum(&all)
}

/// Hard constraints of one state are boxes, unless they are kept with a probability; all others are rows.
fn kept(task: &FlatTask) -> Kept {
    let n = task.model.states.len();
    let mut kept = Kept {
        x_lower: vec![f64::NEG_INFINITY; n],
        x_upper: vec![f64::INFINITY; n],
        x_lower_last: vec![f64::NEG_INFINITY; n],
        x_upper_last: vec![f64::INFINITY; n],
        ..Kept::default()
    };
    for (k, keep) in task.keeps.iter().enumerate() {
        let bound = RowBound { lower: keep.low, upper: keep.high, softness: keep.softness };
        let state = match task.model.dag.node(keep.node) {
            Node::Leaf(Leaf::State(state)) if keep.softness == Softness::Hard && keep.probability.is_none() => {
                Some(state as usize)
            }
            _ => None,
        };
        if let Some(state) = state {
            let narrow = |lower: &mut [f64], upper: &mut [f64]| {
                lower[state] = lower[state].max(keep.low);
                upper[state] = upper[state].min(keep.high);
            };
            if keep.when == When::Path {
                narrow(&mut kept.x_lower, &mut kept.x_upper);
            }
            narrow(&mut kept.x_lower_last, &mut kept.x_upper_last);
            continue;
        }
        match keep.when {
            When::Path => {
                kept.rows.push((keep.node, bound));
                kept.of_rows.push(k);
                if keep.softness == Softness::Hard && !keep.reads_inputs {
                    kept.rows_last.push((keep.node, bound));
                    kept.of_rows_last.push(k);
                }
            }
            When::Final => {
                kept.rows_last.push((keep.node, bound));
                kept.of_rows_last.push(k);
            }
        }
    }
    kept
}
