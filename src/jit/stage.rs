//! Kernels of a task's functions: cost and rows of one instant with first and second derivatives, all symbolic.
//!
//! A cost is `Σ weight · residual² + Σ other`. The Gauss–Newton curvature of the first sum is `Σ 2 weight ∇r ∇rᵀ`, made
//! of first derivatives alone, so that nobody pays for second derivatives who does not use them: each kernel is compiled
//! when it is first called, or beforehand by [`StageKernels::prepare`].

use std::sync::{Arc, OnceLock};

use super::CompileError;
use super::kernel::{Direction, Kernel};
use super::kernels::{Derivative, Kernels};
use super::plan::Plan;
use super::second::{lower_triangle, point_gradients, weighted_curvature};
use crate::expr::sparsity;
use crate::expr::{Dag, NodeId};
use crate::linalg::CscPattern;
use crate::system::{At, Curvature, StageFunctions, StageKind, System, Work};

/// `weight · residual²`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// Not negative, where the Gauss–Newton curvature is to be so.
    pub weight: f64,
    /// What is squared.
    pub residual: NodeId,
}

/// The functions of one kind of instant, as nodes of the model's graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageTerms {
    /// Squares in the cost.
    pub squares: Vec<Square>,
    /// The other summands of the cost.
    pub others: Vec<NodeId>,
    /// The rows.
    pub rows: Vec<NodeId>,
}

/// The functions of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageNodes {
    /// Where an input is chosen.
    pub running: StageTerms,
    /// At the end; independent of the inputs.
    pub last: StageTerms,
}

/// One kernel, of one kind of instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Cost,
    GaussNewton,
    Exact,
    Rows,
    RowDerivatives,
    RowCurvature,
}

impl Piece {
    const ALL: [Piece; 6] =
        [Piece::Cost, Piece::GaussNewton, Piece::Exact, Piece::Rows, Piece::RowDerivatives, Piece::RowCurvature];

    /// Whether solvers with this curvature call it. Values are needed by all.
    fn is_needed(self, curvature: Curvature) -> bool {
        match self {
            Piece::Cost | Piece::Rows | Piece::RowDerivatives => true,
            Piece::GaussNewton => curvature == Curvature::GaussNewton,
            Piece::Exact | Piece::RowCurvature => curvature == Curvature::Exact,
        }
    }
}

/// What a kernel writes: `first` to one slice, a sparse matrix to the other.
#[derive(Debug, Default)]
struct Nodes {
    first: Vec<NodeId>,
    second: Derivative,
}

/// One kernel with what it computes.
#[derive(Default)]
struct Cell {
    nodes: OnceLock<Nodes>,
    kernel: OnceLock<Result<Kernel, CompileError>>,
}

/// The compiled functions of a task. Shared between threads.
pub struct StageKernels {
    kernels: Arc<Kernels>,
    nodes: StageNodes,
    reads_time: bool,
    running: [Cell; Piece::ALL.len()],
    last: [Cell; Piece::ALL.len()],
}

impl StageKernels {
    /// Takes functions whose nodes stand in the graph of the model that `kernels` was compiled from. Nothing is compiled
    /// yet.
    pub fn new(kernels: Arc<Kernels>, nodes: StageNodes) -> StageKernels {
        let all: Vec<NodeId> = [&nodes.running, &nodes.last]
            .into_iter()
            .flat_map(|terms| {
                let squared = terms.squares.iter().map(|square| square.residual);
                squared.chain(terms.others.iter().copied()).chain(terms.rows.iter().copied())
            })
            .collect();
        let dag = kernels.dag();
        let is_time = |id: &NodeId| matches!(dag.node(*id), crate::expr::Node::Leaf(crate::expr::Leaf::Time));
        let reads_time = dag.reachable(&all).iter().any(is_time);
        drop(dag);
        StageKernels { kernels, nodes, reads_time, running: Default::default(), last: Default::default() }
    }

    /// Compiles, together, what solvers with this curvature call: the functions here and those of the model.
    ///
    /// # Errors
    /// Where something could not be compiled, now or before.
    pub fn prepare(&self, curvature: Curvature) -> Result<(), CompileError> {
        self.kernels.prepare_control(curvature == Curvature::Exact)?;
        let all = [StageKind::Running, StageKind::Final].into_iter().flat_map(|kind| Piece::ALL.map(|p| (kind, p)));
        let needed: Vec<(StageKind, Piece)> = all.filter(|(_, piece)| piece.is_needed(curvature)).collect();
        let missing = needed.iter().filter(|&&(kind, piece)| self.cell(kind, piece).kernel.get().is_none());
        let missing: Vec<(StageKind, Piece)> = missing.copied().collect();
        let plans: Vec<Plan> = missing.iter().map(|&(kind, piece)| self.plan(kind, piece)).collect();
        if self.kernels.dag().is_full() {
            return Err(CompileError::TooLarge);
        }
        for (&(kind, piece), kernel) in missing.iter().zip(self.kernels.compiler.compile(&plans)?) {
            // Another thread may have been faster; its kernel is as good.
            self.cell(kind, piece).kernel.get_or_init(|| Ok(kernel));
        }
        for (kind, piece) in needed {
            if let Some(Err(error)) = self.cell(kind, piece).kernel.get() {
                return Err(error.clone());
            }
        }
        Ok(())
    }

    fn terms(&self, kind: StageKind) -> &StageTerms {
        match kind {
            StageKind::Running => &self.nodes.running,
            StageKind::Final => &self.nodes.last,
        }
    }

    fn cell(&self, kind: StageKind, piece: Piece) -> &Cell {
        let cells = match kind {
            StageKind::Running => &self.running,
            StageKind::Final => &self.last,
        };
        &cells[piece as usize]
    }

    /// States, and length of z.
    fn sizes(&self, kind: StageKind) -> (usize, usize) {
        let dims = self.kernels.dims();
        match kind {
            StageKind::Running => (dims.n_states, dims.n_states + dims.n_inputs),
            StageKind::Final => (dims.n_states, dims.n_states),
        }
    }

    fn nodes(&self, kind: StageKind, piece: Piece) -> &Nodes {
        self.cell(kind, piece).nodes.get_or_init(|| {
            let (n_states, n_vars) = self.sizes(kind);
            let terms = self.terms(kind);
            let dag = &mut *self.kernels.dag();
            match piece {
                Piece::Cost => Nodes { first: vec![cost(dag, terms)], second: Derivative::default() },
                Piece::GaussNewton | Piece::Exact => {
                    let cost = cost(dag, terms);
                    let mut first = vec![Dag::ZERO; 1 + n_vars];
                    first[0] = cost;
                    for (column, slope) in point_gradients(dag, &[cost], n_states).swap_remove(0) {
                        // The last cost does not depend on inputs.
                        if let Some(entry) = first.get_mut(1 + column as usize) {
                            *entry = slope;
                        }
                    }
                    let second = match piece {
                        Piece::GaussNewton => gauss_newton(dag, terms, n_states, n_vars),
                        Piece::Cost | Piece::Exact | Piece::Rows | Piece::RowDerivatives | Piece::RowCurvature => {
                            lower_triangle(dag, &first[1..], n_states, n_vars)
                        }
                    };
                    Nodes { first, second }
                }
                Piece::Rows => Nodes { first: terms.rows.clone(), second: Derivative::default() },
                Piece::RowDerivatives => {
                    let mut rows = point_gradients(dag, &terms.rows, n_states);
                    rows.iter_mut().for_each(|row| row.retain(|&(column, _)| (column as usize) < n_vars));
                    let (pattern, nodes) = sparsity::pattern(&rows, n_vars);
                    Nodes { first: terms.rows.clone(), second: Derivative { pattern, nodes } }
                }
                Piece::RowCurvature => {
                    let second = weighted_curvature(dag, &terms.rows, n_states, n_vars);
                    Nodes { first: Vec::new(), second }
                }
            }
        })
    }

    fn plan(&self, kind: StageKind, piece: Piece) -> Plan {
        let Nodes { first, second } = self.nodes(kind, piece);
        Plan::new_split(&self.kernels.dag(), first, &second.nodes, &self.kernels.options)
    }

    /// Runs a kernel; not-a-number where it could not be compiled.
    #[inline(always)]
    fn run(
        &self,
        (kind, piece): (StageKind, Piece),
        at: At<'_>,
        direction: Direction<'_>,
        work: &mut Work,
        first: &mut [f64],
        second: &mut [f64],
    ) {
        let kernel = &self.cell(kind, piece).kernel;
        match kernel.get_or_init(|| self.kernels.compile_plan(&self.plan(kind, piece))) {
            Ok(kernel) => kernel.call_along(at, direction, work, first, second),
            Err(_) => {
                first.fill(f64::NAN);
                second.fill(f64::NAN);
            }
        }
    }

    fn pattern(&self, kind: StageKind, piece: Piece) -> &CscPattern {
        &self.nodes(kind, piece).second.pattern
    }
}

/// `Σ weight · residual² + Σ other`, in this order.
fn cost(dag: &mut Dag, terms: &StageTerms) -> NodeId {
    let squares: Vec<(f64, NodeId)> = terms.squares.iter().map(|s| (s.weight, dag.powi(s.residual, 2))).collect();
    let all: Vec<(f64, NodeId)> = squares.into_iter().chain(terms.others.iter().map(|&node| (1.0, node))).collect();
    dag.sum(&all)
}

/// The lower triangle of `Σ 2 weight ∇r ∇rᵀ` and of the true curvature of the other summands.
fn gauss_newton(dag: &mut Dag, terms: &StageTerms, n_states: usize, n_vars: usize) -> Derivative {
    let mut entries: Vec<(u32, u32, NodeId)> = Vec::new();
    let residuals: Vec<NodeId> = terms.squares.iter().map(|square| square.residual).collect();
    for (square, slopes) in terms.squares.iter().zip(point_gradients(dag, &residuals, n_states)) {
        for (k, &(row, left)) in slopes.iter().enumerate() {
            for &(column, right) in &slopes[..=k] {
                let product = dag.mul(left, right);
                entries.push((row, column, dag.scale(2.0 * square.weight, product)));
            }
        }
    }
    let others: Vec<(f64, NodeId)> = terms.others.iter().map(|&node| (1.0, node)).collect();
    let others = dag.sum(&others);
    let slopes = point_gradients(dag, &[others], n_states).swap_remove(0);
    let nodes: Vec<NodeId> = slopes.iter().map(|&(_, slope)| slope).collect();
    for (&(row, _), second) in slopes.iter().zip(point_gradients(dag, &nodes, n_states)) {
        entries
            .extend(second.into_iter().filter(|&(column, _)| column <= row).map(|(column, node)| (row, column, node)));
    }
    // The terms of an entry keep their order.
    entries.sort_by_key(|&(row, column, _)| (row, column));
    let mut rows = vec![Vec::new(); n_vars];
    for group in entries.chunk_by(|(r, c, _), (s, d, _)| (r, c) == (s, d)) {
        let (row, column, _) = group[0];
        let terms: Vec<(f64, NodeId)> = group.iter().map(|&(.., node)| (1.0, node)).collect();
        if let Some(entries) = rows.get_mut(row as usize) {
            entries.push((column, dag.sum(&terms)));
        }
    }
    let (pattern, nodes) = sparsity::pattern(&rows, n_vars);
    Derivative { pattern, nodes }
}

impl StageFunctions for StageKernels {
    fn work(&self) -> Work {
        self.kernels.work()
    }

    fn reads_time(&self) -> bool {
        self.reads_time
    }

    fn cost(&self, kind: StageKind, at: At<'_>, work: &mut Work) -> f64 {
        let mut value = [0.0];
        self.run((kind, Piece::Cost), at, Direction::default(), work, &mut value, &mut []);
        value[0]
    }

    fn cost_pattern(&self, kind: StageKind, curvature: Curvature) -> &CscPattern {
        self.pattern(kind, piece_of(curvature))
    }

    fn cost_derivatives(
        &self,
        kind: StageKind,
        at: At<'_>,
        curvature: Curvature,
        work: &mut Work,
        value: &mut [f64],
        hessian: &mut [f64],
    ) {
        self.run((kind, piece_of(curvature)), at, Direction::default(), work, value, hessian);
    }

    fn n_rows(&self, kind: StageKind) -> usize {
        self.terms(kind).rows.len()
    }

    fn rows(&self, kind: StageKind, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.run((kind, Piece::Rows), at, Direction::default(), work, values, &mut []);
    }

    fn row_pattern(&self, kind: StageKind) -> &CscPattern {
        self.pattern(kind, Piece::RowDerivatives)
    }

    fn row_derivatives(&self, kind: StageKind, at: At<'_>, work: &mut Work, values: &mut [f64], jacobian: &mut [f64]) {
        self.run((kind, Piece::RowDerivatives), at, Direction::default(), work, values, jacobian);
    }

    fn row_curvature_pattern(&self, kind: StageKind) -> &CscPattern {
        self.pattern(kind, Piece::RowCurvature)
    }

    fn row_curvature(&self, kind: StageKind, at: At<'_>, multipliers: &[f64], work: &mut Work, hessian: &mut [f64]) {
        let direction = Direction { dx: multipliers, dt: 0.0 };
        self.run((kind, Piece::RowCurvature), at, direction, work, &mut [], hessian);
    }
}

fn piece_of(curvature: Curvature) -> Piece {
    match curvature {
        Curvature::GaussNewton => Piece::GaussNewton,
        Curvature::Exact => Piece::Exact,
    }
}
