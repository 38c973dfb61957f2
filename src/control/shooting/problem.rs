//! What is decided: [`ControlProblem`], and what follows from it once and for all.

use std::sync::{Arc, OnceLock};

use super::layout::Layout;
use super::points::{Edge, Shape};
use crate::integrate::Method;
use crate::system::stages::{Softness, StageDims, Tree};
use crate::system::{At, Curvature, StageFunctions, StageKind, System};

/// How a step is advanced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Discretization {
    /// The right-hand side is the next state.
    Map,
    /// Explicit Euler in equal substeps.
    Euler {
        /// At least one.
        n_substeps: usize,
    },
    /// The classical Runge–Kutta method of order 4 in equal substeps.
    Rk4 {
        /// At least one.
        n_substeps: usize,
    },
    /// Collocation at the points of Radau IIA, of order `2 n_points − 1`, its equations solved to rounding.
    RadauIia {
        /// 1 to 3.
        n_points: usize,
        /// At least one.
        n_substeps: usize,
        /// True where the state bounds hold at all points inside a step too.
        bounds_inside: bool,
    },
    /// An adaptive method with forward sensitivities: derivatives to its tolerance, no second ones, allocation in each
    /// step. Events inside a step happen; with the other rules they do not.
    Adaptive {
        /// Which.
        method: Method,
        /// Relative tolerance.
        rtol: f64,
        /// Absolute tolerance of every state.
        atol: f64,
    },
}

/// A price on what an input changes by: `weight · ((u_k − u_{k−1})/scale)²`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// Which input.
    pub input: usize,
    /// Not negative.
    pub weight: f64,
    /// In the input's unit; not zero.
    pub scale: f64,
}

/// A step length that is decided too, the same for all steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FreeStep {
    /// Positive.
    pub lower: f64,
    /// Not below `lower`.
    pub upper: f64,
    /// Cost per unit of time, added to every step: `weight · h`.
    pub weight: f64,
}

/// The interval of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowBound {
    /// −∞ where there is none.
    pub lower: f64,
    /// +∞ where there is none.
    pub upper: f64,
    /// What it costs to leave it, not multiplied by the node's weight.
    pub softness: Softness,
}

/// Boxes and intervals; infinite where there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// Model states after the root and before the end.
    pub x_lower: Vec<f64>,
    /// As `x_lower`.
    pub x_upper: Vec<f64>,
    /// Model states at the end.
    pub x_lower_last: Vec<f64>,
    /// As `x_lower_last`.
    pub x_upper_last: Vec<f64>,
    /// Inputs.
    pub u_lower: Vec<f64>,
    /// Inputs.
    pub u_upper: Vec<f64>,
    /// Of the running functions' rows.
    pub rows: Vec<RowBound>,
    /// Of the last functions' rows.
    pub rows_last: Vec<RowBound>,
}

/// A model to be steered.
#[derive(Clone)]
pub struct ControlProblem {
    /// The model.
    pub system: Arc<dyn System>,
    /// Cost and rows.
    pub functions: Arc<dyn StageFunctions>,
    /// How a step is advanced.
    pub discretization: Discretization,
    /// Length of a step in the model's unit of time; the guess of a free one.
    pub step: f64,
    /// Time of the root.
    pub time: f64,
    /// Which node follows which.
    pub tree: Tree,
    /// `n_scenarios × n_params`, row major.
    pub parameters: Vec<f64>,
    /// The scenario of each node, that is of the step into it and of its cost; empty where there is but one.
    pub scenarios: Vec<usize>,
    /// Factor of each node's cost; empty where all are 1.
    pub weights: Vec<f64>,
    /// The disturbances held over the steps, `n × n_disturbances` row major; the last row goes on.
    pub forecast: Vec<f64>,
    /// Prices on moves, at most one for each input.
    pub moves: Vec<Move>,
    /// Whether the step length is decided.
    pub free_step: Option<FreeStep>,
    /// Bounds.
    pub bounds: Bounds,
}

/// What does not fit together in a [`ControlProblem`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ControlProblemError {
    /// A list has the wrong length.
    #[error("`{what}` has {given} elements instead of {expected}")]
    Length {
        /// Which list.
        what: &'static str,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        given: usize,
    },
    /// A number or an index is outside its range.
    #[error("`{what}` is {value}, but must be {expected}")]
    Range {
        /// Which.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
    /// Time cannot be stretched under functions of it.
    #[error("the step length cannot be free, because {what} depend on time")]
    ReadsTime {
        /// Which functions.
        what: &'static str,
    },
}

fn length(what: &'static str, given: usize, expected: usize) -> Result<(), ControlProblemError> {
    if given == expected { Ok(()) } else { Err(ControlProblemError::Length { what, expected, given }) }
}

fn range(what: &'static str, value: f64, expected: &'static str, holds: bool) -> Result<(), ControlProblemError> {
    if holds { Ok(()) } else { Err(ControlProblemError::Range { what, value, expected }) }
}

impl ControlProblem {
    /// Checks that all fits together.
    pub(super) fn check(&self) -> Result<(), ControlProblemError> {
        let dims = self.system.dims();
        let n_nodes = self.tree.n_nodes();
        range("step", self.step, "positive and finite", self.step > 0.0 && self.step.is_finite())?;
        let (n_substeps, n_points) = match self.discretization {
            Discretization::Map | Discretization::Adaptive { .. } => (1, 1),
            Discretization::Euler { n_substeps } | Discretization::Rk4 { n_substeps } => (n_substeps, 1),
            Discretization::RadauIia { n_points, n_substeps, bounds_inside: _ } => (n_substeps, n_points),
        };
        range("n_substeps", n_substeps as f64, "at least 1", n_substeps > 0)?;
        range("n_points", n_points as f64, "1, 2 or 3", (1..=3).contains(&n_points))?;
        let n_scenarios = self.scenarios.iter().max().map_or(1, |last| last + 1);
        let n_parameters = self.parameters.len();
        if n_parameters < n_scenarios * dims.n_params {
            length("parameters", n_parameters, n_scenarios * dims.n_params)?;
        }
        if !self.scenarios.is_empty() {
            length("scenarios", self.scenarios.len(), n_nodes)?;
        }
        if !self.weights.is_empty() {
            length("weights", self.weights.len(), n_nodes)?;
        }
        if dims.n_disturbances > 0
            && (self.forecast.is_empty() || !self.forecast.len().is_multiple_of(dims.n_disturbances))
        {
            length("forecast", self.forecast.len(), (self.tree.horizon() + 1) * dims.n_disturbances)?;
        }
        let mut is_priced = vec![false; dims.n_inputs];
        for Move { input, scale, .. } in &self.moves {
            range("moves.input", *input as f64, "an input, each once", is_priced.get(*input) == Some(&false))?;
            is_priced[*input] = true;
            range("moves.scale", *scale, "neither zero nor infinite", *scale != 0.0 && scale.is_finite())?;
        }
        if let Some(FreeStep { lower, upper, .. }) = self.free_step {
            range("free_step.lower", lower, "positive", lower > 0.0)?;
            range("free_step.upper", upper, "at least `free_step.lower`", upper >= lower)?;
            if !self.system.is_autonomous() {
                return Err(ControlProblemError::ReadsTime { what: "the equations" });
            }
            if !super::scheduled::scheduled(&*self.system).is_empty() {
                return Err(ControlProblemError::ReadsTime { what: "events of the model" });
            }
            if self.functions.reads_time() {
                return Err(ControlProblemError::ReadsTime { what: "the cost or the constraints" });
            }
            if self.discretization == Discretization::Map {
                return Err(ControlProblemError::ReadsTime { what: "the steps, which are a map, do not" });
            }
        }
        self.check_bounds(&self.bounds)
    }

    /// Checks the lengths of bounds.
    pub(super) fn check_bounds(&self, bounds: &Bounds) -> Result<(), ControlProblemError> {
        let dims = self.system.dims();
        length("x_lower", bounds.x_lower.len(), dims.n_states)?;
        length("x_upper", bounds.x_upper.len(), dims.n_states)?;
        length("x_lower_last", bounds.x_lower_last.len(), dims.n_states)?;
        length("x_upper_last", bounds.x_upper_last.len(), dims.n_states)?;
        length("u_lower", bounds.u_lower.len(), dims.n_inputs)?;
        length("u_upper", bounds.u_upper.len(), dims.n_inputs)?;
        length("rows", bounds.rows.len(), self.functions.n_rows(StageKind::Running))?;
        length("rows_last", bounds.rows_last.len(), self.functions.n_rows(StageKind::Final))
    }
}

/// Places of sparse entries in a dense Hessian.
type Places = OnceLock<Vec<(usize, usize)>>;

/// The problem with what follows from it; shared by all copies.
pub(super) struct Fixed {
    pub problem: ControlProblem,
    pub layout: Layout,
    pub dims: StageDims,
    pub free_states: Vec<usize>,
    pub n_disturbances: usize,
    n_params: usize,
    /// The children of node i are the nodes `children[first[i]..first[i + 1]]`.
    children: Vec<usize>,
    first: Vec<usize>,
    /// By kind and curvature.
    costs: [[Places; 2]; 2],
    rows: [Places; 2],
}

impl Fixed {
    pub fn new(problem: ControlProblem) -> Fixed {
        let sizes = problem.system.dims();
        let shape =
            Shape { n_states: sizes.n_states, n_inputs: sizes.n_inputs, has_length: problem.free_step.is_some() };
        let layout = Layout { shape, carried: problem.moves.iter().map(|m| m.input).collect() };
        let tree = &problem.tree;
        let mut of_parent: Vec<Vec<usize>> = vec![Vec::new(); tree.n_nodes()];
        (1..tree.n_nodes()).for_each(|node| of_parent[tree.parent(node)].push(node));
        let mut first = vec![0];
        let mut children = Vec::with_capacity(tree.n_nodes());
        for list in of_parent {
            children.extend(list);
            first.push(children.len());
        }
        Fixed {
            dims: StageDims { n_states: layout.n_states(), n_inputs: sizes.n_inputs },
            free_states: layout.length().into_iter().collect(),
            layout,
            n_disturbances: sizes.n_disturbances,
            n_params: sizes.n_params,
            children,
            first,
            costs: Default::default(),
            rows: Default::default(),
            problem,
        }
    }

    /// The nodes that follow.
    pub fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.children[self.first[node]..self.first[node + 1]].iter().copied()
    }

    /// How many they are.
    pub fn n_children(&self, node: usize) -> usize {
        self.first[node + 1] - self.first[node]
    }

    /// Which functions a node has.
    #[inline(always)]
    pub fn kind(&self, node: usize) -> StageKind {
        if self.problem.tree.is_leaf(node) { StageKind::Final } else { StageKind::Running }
    }

    /// The factor of a node's cost.
    #[inline(always)]
    pub fn weight(&self, node: usize) -> f64 {
        self.problem.weights.get(node).copied().unwrap_or(1.0)
    }

    #[inline(always)]
    fn parameters_of<'a>(&self, node: usize, parameters: &'a [f64]) -> &'a [f64] {
        let scenario = self.problem.scenarios.get(node).copied().unwrap_or(0);
        &parameters[scenario * self.n_params..][..self.n_params]
    }

    /// The step into a node.
    #[inline(always)]
    pub fn edge<'a>(
        &self,
        node: usize,
        x: &'a [f64],
        u: &'a [f64],
        time: f64,
        parameters: &'a [f64],
        forecast: &'a [f64],
    ) -> Edge<'a> {
        let depth = self.problem.tree.depth(self.problem.tree.parent(node));
        Edge {
            t: time + depth as f64 * self.problem.step,
            h: self.layout.length().map_or(self.problem.step, |length| x[length]),
            x: &x[..self.layout.shape.n_states],
            u,
            d: &forecast[depth * self.n_disturbances..][..self.n_disturbances],
            p: self.parameters_of(node, parameters),
        }
    }

    /// The point of a node's functions.
    #[inline(always)]
    pub fn at<'a>(
        &self,
        node: usize,
        x: &'a [f64],
        u: &'a [f64],
        time: f64,
        parameters: &'a [f64],
        forecast: &'a [f64],
    ) -> At<'a> {
        let depth = self.problem.tree.depth(node);
        At {
            t: time + depth as f64 * self.problem.step,
            x: &x[..self.layout.shape.n_states],
            u,
            d: &forecast[depth * self.n_disturbances..][..self.n_disturbances],
            p: self.parameters_of(node, parameters),
        }
    }

    /// The problem's state at the root from the model's and the inputs that act so far.
    pub fn write_root(&self, state: &[f64], previous: &[f64], root: &mut [f64]) {
        let n = self.layout.shape.n_states;
        root[..n].copy_from_slice(state);
        for (value, &input) in root[n..].iter_mut().zip(&self.layout.carried) {
            *value = previous[input];
        }
        if let Some(length) = self.layout.length() {
            root[length] = self.problem.step;
        }
    }

    /// What the states beside the model's become in a step.
    #[inline(always)]
    pub fn carry(&self, x: &[f64], u: &[f64], carried: &mut [f64]) {
        for (value, &input) in carried.iter_mut().zip(&self.layout.carried) {
            *value = u[input];
        }
        if let (Some(length), Some(last)) = (self.layout.length(), carried.last_mut()) {
            *last = x[length];
        }
    }

    /// Cost of the moves and of the time of a node, before its weight.
    #[inline(always)]
    pub fn move_cost(&self, node: usize, x: &[f64], u: &[f64]) -> f64 {
        if self.layout.is_plain() || self.problem.tree.is_leaf(node) {
            return 0.0;
        }
        let n = self.layout.shape.n_states;
        let mut cost = 0.0;
        for (j, Move { input, weight, scale }) in self.problem.moves.iter().enumerate() {
            let change = (u[*input] - x[n + j]) / scale;
            cost += weight * change * change;
        }
        if let (Some(free), Some(length)) = (self.problem.free_step, self.layout.length()) {
            cost += free.weight * x[length];
        }
        cost
    }

    /// Adds the derivatives of [`Fixed::move_cost`] times `factor`, and returns it.
    #[inline(always)]
    pub fn add_move_derivatives(
        &self,
        node: usize,
        x: &[f64],
        u: &[f64],
        factor: f64,
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> f64 {
        if self.layout.is_plain() || self.problem.tree.is_leaf(node) {
            return 0.0;
        }
        let (n, n_states, n_vars) = (self.layout.shape.n_states, self.dims.n_states, self.dims.n_vars());
        for (j, Move { input, weight, scale }) in self.problem.moves.iter().enumerate() {
            let (now, before) = (n_states + input, n + j);
            let slope = factor * 2.0 * weight / scale;
            let change = slope * ((u[*input] - x[before]) / scale);
            gradient[now] += change;
            gradient[before] -= change;
            let second = slope / scale;
            hessian[now * n_vars + now] += second;
            hessian[before * n_vars + before] += second;
            hessian[now * n_vars + before] -= second;
            hessian[before * n_vars + now] -= second;
        }
        if let (Some(free), Some(length)) = (self.problem.free_step, self.layout.length()) {
            gradient[length] += factor * free.weight;
        }
        self.move_cost(node, x, u)
    }

    fn n_vars(&self, kind: StageKind) -> usize {
        match kind {
            StageKind::Running => self.dims.n_vars(),
            StageKind::Final => self.dims.n_states,
        }
    }

    /// Where the entries of a cost's Hessian go.
    #[inline(always)]
    pub fn cost_places(&self, kind: StageKind, curvature: Curvature) -> &[(usize, usize)] {
        let which = match curvature {
            Curvature::GaussNewton => 0,
            Curvature::Exact => 1,
        };
        self.costs[kind as usize][which]
            .get_or_init(|| self.layout.places(self.problem.functions.cost_pattern(kind, curvature), self.n_vars(kind)))
    }

    /// Where the entries of the rows' curvature go.
    pub fn row_places(&self, kind: StageKind) -> &[(usize, usize)] {
        self.rows[kind as usize]
            .get_or_init(|| self.layout.places(self.problem.functions.row_curvature_pattern(kind), self.n_vars(kind)))
    }
}
