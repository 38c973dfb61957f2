//! From a flat task to what planners and the closed loop see: kernels, the problem in discrete time, rollouts, a plant.
//!
//! The one place of `control` that knows how functions are made; everything else sees [`System`], [`Stages`] and
//! [`Function`].

use std::sync::Arc;

use super::plant::PlantFunctions;
use super::rollouts::{Rollouts, RowProblem, RowRollouts, RowsError, StageRollouts};
use super::shooting::{
    Bounds, ControlProblem, ControlProblemError, Discretization, FreeStep, Move, RowBound, Shooting,
};
use crate::expr::{Dag, Leaf, Node, NodeId};
use crate::flat::FlatTask;
use crate::flat::task::{CostTerm, Keep, When};
use crate::hir::task::StepMethod;
use crate::jit::{CompileError, Kernels, Options, Square, StageKernels, StageNodes, StageTerms, row_functions};
use crate::system::stages::{Softness, Tree};
use crate::system::{Curvature, System};

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
}

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
}

impl Assembly {
    /// Compiles what every use of the task needs; the rest when it is asked for.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn new(mut task: FlatTask, options: &Options) -> Result<Assembly, CompileError> {
        let dag = &mut task.model.dag;
        let running = terms(dag, &task.costs);
        let last = terms(dag, &task.terminal);
        let cost = total(dag, &running);
        let kept = kept(&task);
        let with_rows = |mut terms: StageTerms, rows: &[(NodeId, RowBound)]| {
            terms.rows = rows.iter().map(|(node, _)| *node).collect();
            terms
        };
        let nodes = StageNodes { running: with_rows(running, &kept.rows), last: with_rows(last, &kept.rows_last) };
        let kernels = Arc::new(Kernels::compile(Arc::new(task.model.clone()), options)?);
        let functions = Arc::new(StageKernels::new(Arc::clone(&kernels), nodes.clone()));
        Ok(Assembly { task: Arc::new(task), kernels, functions, nodes, kept, cost })
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
    /// collocation at three points.
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
        Ok(Shooting::new(problem)?)
    }

    /// The constraint of the task that a row of a node is, at the end of the horizon where `is_last`.
    pub fn keep_of_row(&self, row: usize, is_last: bool) -> Option<&Keep> {
        let list = if is_last { &self.kept.of_rows_last } else { &self.kept.of_rows };
        self.task.keeps.get(*list.get(row)?)
    }

    /// The problem over a tree, with the parameters `n_scenarios × n_params`. The caller sets scenarios and weights.
    pub fn problem(&self, tree: Tree, parameters: Vec<f64>) -> ControlProblem {
        let task = &*self.task;
        let (method, substeps) = task.via;
        let n_substeps = substeps.max(1) as usize;
        let radau = |n_points| Discretization::RadauIia { n_points, n_substeps, bounds_inside: false };
        let discretization = match method {
            StepMethod::Euler => Discretization::Euler { n_substeps },
            StepMethod::Rk4 => Discretization::Rk4 { n_substeps },
            StepMethod::Radau1 => radau(1),
            StepMethod::Radau3 => radau(2),
            StepMethod::Radau5 | StepMethod::Auto | StepMethod::Tsit5 | StepMethod::Rodas5p | StepMethod::Bdf => {
                radau(3)
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

    /// Rollouts of a problem that [`Assembly::problem`] made over a chain, perhaps changed since.
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
            Discretization::Map | Discretization::Euler { .. } | Discretization::Rk4 { .. } => {
                let functions = row_functions(&self.kernels, &self.nodes, &problem.parameters)?;
                let problem = RowProblem::of(&problem, functions, price)?;
                Ok(Box::new(RowRollouts::new(problem, n_threads)?))
            }
            Discretization::RadauIia { .. } | Discretization::Adaptive { .. } => {
                let stages = self.shooting(problem, Curvature::GaussNewton)?;
                Ok(Box::new(StageRollouts::new(Box::new(stages), price)))
            }
        }
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

    /// The nodes that costs and rows are made of.
    pub fn nodes(&self) -> &StageNodes {
        &self.nodes
    }
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

/// Hard constraints of one state are boxes; all others are rows.
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
            Node::Leaf(Leaf::State(state)) if keep.softness == Softness::Hard => Some(state as usize),
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
