//! A problem whose bounds have been moved by margins; all else is the problem itself.

use super::chance::Margins;
use super::iterate::Iterate;
use crate::optimize::stage_qp::StageQp;
use crate::system::stages::{Curvature, Instant, Limits, StageDims, StageFailure, Stages, Tree};

/// Bounds of all nodes after their margins.
#[derive(Debug, Clone)]
struct Moved {
    margins: Margins,
    /// `n_nodes × n_states`
    x_lower: Vec<f64>,
    x_upper: Vec<f64>,
    /// Of all rows.
    row_lower: Vec<f64>,
    row_upper: Vec<f64>,
    row_start: Vec<usize>,
}

/// A problem with or without margins.
pub(super) struct Tightened {
    problem: Box<dyn Stages>,
    moved: Option<Moved>,
}

impl Tightened {
    pub(super) fn new(problem: Box<dyn Stages>) -> Tightened {
        Tightened { problem, moved: None }
    }

    /// The problem as the solvers see it.
    pub(super) fn as_mut(&mut self) -> &mut dyn Stages {
        self
    }

    pub(super) fn margins(&self) -> Option<&Margins> {
        self.moved.as_ref().map(|moved| &moved.margins)
    }

    pub(super) fn margins_mut(&mut self) -> Option<&mut Margins> {
        self.moved.as_mut().map(|moved| &mut moved.margins)
    }

    /// From now on bounds move by these margins; none do until [`Tightened::tighten`].
    pub(super) fn set_margins(&mut self, margins: Option<Margins>, row_start: &[usize]) {
        self.moved = margins.map(|margins| Moved {
            x_lower: vec![0.0; margins.states.len()],
            x_upper: vec![0.0; margins.states.len()],
            row_lower: vec![0.0; margins.rows.len()],
            row_upper: vec![0.0; margins.rows.len()],
            row_start: row_start.to_vec(),
            margins,
        });
        self.place();
    }

    /// Finds the margins along an iterate whose derivatives `qp` holds, and moves the bounds.
    pub(super) fn tighten(&mut self, at: &Iterate, qp: &StageQp) {
        if let Some(moved) = &mut self.moved {
            moved.margins.find(self.problem.tree(), at, qp);
        }
        self.place();
    }

    /// Moves nothing until the next plan is known.
    pub(super) fn loosen(&mut self) {
        if let Some(Moved { margins, .. }) = &mut self.moved {
            margins.states.fill(0.0);
            margins.rows.fill(0.0);
        }
        self.place();
    }

    /// Moves the bounds by the margins.
    fn place(&mut self) {
        let Some(moved) = &mut self.moved else { return };
        let n = self.problem.dims().n_states;
        for node in 0..self.problem.tree().n_nodes() {
            let limits = self.problem.limits(node);
            for j in 0..n {
                let (lower, upper) = (limits.x_lower[j], limits.x_upper[j]);
                let margin = moved.margins.of_state(node, j, lower.is_finite() && upper.is_finite());
                (moved.x_lower[node * n + j], moved.x_upper[node * n + j]) = narrowed(lower, upper, margin);
            }
            for (r, (&lower, &upper)) in limits.row_lower.iter().zip(limits.row_upper).enumerate() {
                let at = moved.row_start[node] + r;
                let is_leaf = self.problem.tree().is_leaf(node);
                let margin = moved.margins.of_row(is_leaf, r, at, lower.is_finite() && upper.is_finite());
                (moved.row_lower[at], moved.row_upper[at]) = narrowed(lower, upper, margin);
            }
        }
    }
}

/// An interval without a margin at both ends; its middle where that leaves nothing, which is where least can happen.
fn narrowed(lower: f64, upper: f64, margin: f64) -> (f64, f64) {
    let (low, high) = (lower + margin, upper - margin);
    if margin > 0.0 && low > high {
        let middle = 0.5 * (lower + upper);
        return (middle, middle);
    }
    (low, high)
}

impl Stages for Tightened {
    fn dims(&self) -> StageDims {
        self.problem.dims()
    }

    fn tree(&self) -> &Tree {
        self.problem.tree()
    }

    fn arrive(&mut self, instant: &Instant<'_>, root: &mut [f64]) {
        self.problem.arrive(instant, root);
    }

    fn believe(&mut self, parameters: &[f64]) {
        self.problem.believe(parameters);
    }

    fn free_states(&self) -> &[usize] {
        self.problem.free_states()
    }

    fn n_rows(&self, node: usize) -> usize {
        self.problem.n_rows(node)
    }

    fn limits(&self, node: usize) -> Limits<'_> {
        let limits = self.problem.limits(node);
        let Some(moved) = &self.moved else { return limits };
        let n = self.problem.dims().n_states;
        let (states, rows) = (node * n..(node + 1) * n, moved.row_start[node]..moved.row_start[node + 1]);
        Limits {
            x_lower: &moved.x_lower[states.clone()],
            x_upper: &moved.x_upper[states],
            row_lower: &moved.row_lower[rows.clone()],
            row_upper: &moved.row_upper[rows],
            ..limits
        }
    }

    fn fork(&self) -> Box<dyn Stages> {
        Box::new(Tightened { problem: self.problem.fork(), moved: self.moved.clone() })
    }

    fn has_curvature(&self) -> bool {
        self.problem.has_curvature()
    }

    fn step(&mut self, node: usize, x: &[f64], u: &[f64], next: &mut [f64]) -> Result<(), StageFailure> {
        self.problem.step(node, x, u, next)
    }

    fn step_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), StageFailure> {
        self.problem.step_derivatives(node, x, u, next, jacobian)
    }

    fn add_step_curvature(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        costate: &[f64],
        hessian: &mut [f64],
    ) -> Result<(), StageFailure> {
        self.problem.add_step_curvature(node, x, u, costate, hessian)
    }

    fn cost(&mut self, node: usize, x: &[f64], u: &[f64]) -> f64 {
        self.problem.cost(node, x, u)
    }

    fn cost_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        curvature: Curvature,
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> f64 {
        self.problem.cost_derivatives(node, x, u, curvature, gradient, hessian)
    }

    fn rows(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64]) {
        self.problem.rows(node, x, u, values);
    }

    fn row_derivatives(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64], jacobian: &mut [f64]) {
        self.problem.row_derivatives(node, x, u, values, jacobian);
    }

    fn add_row_curvature(&mut self, node: usize, x: &[f64], u: &[f64], multipliers: &[f64], hessian: &mut [f64]) {
        self.problem.add_row_curvature(node, x, u, multipliers, hessian);
    }
}
