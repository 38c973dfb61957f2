//! Second derivatives in (x, u) as nodes of a graph, and the kernels that solvers of control problems call beside those
//! of [`super::parts`]: f with its derivatives at one point, and the curvature of f along multipliers.

use super::CompileError;
use super::kernel::{Direction, Kernel};
use super::kernels::{Derivative, Kernels};
use super::plan::Plan;
use crate::expr::sparsity;
use crate::expr::{Dag, Leaf, NodeId, Wrt, gradients};
use crate::linalg::CscPattern;
use crate::system::{At, Work};

/// The gradient of each root in `z = (x, u)`.
pub(super) fn point_gradients(dag: &mut Dag, roots: &[NodeId], n_states: usize) -> Vec<Vec<(u32, NodeId)>> {
    gradients(dag, roots, Wrt::StatesAndInputs { n_states: n_states as u32 })
}

/// The lower triangle of a symmetric matrix of order `n_vars` whose row k is the gradient of `slopes[k]` in z.
pub(super) fn lower_triangle(dag: &mut Dag, slopes: &[NodeId], n_states: usize, n_vars: usize) -> Derivative {
    let mut rows = point_gradients(dag, slopes, n_states);
    for (k, row) in rows.iter_mut().enumerate() {
        row.retain(|&(column, _)| column as usize <= k);
    }
    let (pattern, nodes) = sparsity::pattern(&rows, n_vars);
    Derivative { pattern, nodes }
}

/// The lower triangle of `Σ_i m_i ∂²root_i/∂z²`, where the leaf `Direction(i)` stands for the multiplier `m_i`.
pub(super) fn weighted_curvature(dag: &mut Dag, roots: &[NodeId], n_states: usize, n_vars: usize) -> Derivative {
    let mut terms: Vec<Vec<(f64, NodeId)>> = vec![Vec::new(); n_vars];
    for (i, row) in point_gradients(dag, roots, n_states).into_iter().enumerate() {
        let multiplier = dag.leaf(Leaf::Direction(i as u32));
        for (column, slope) in row {
            // A constant slope has no derivative.
            if dag.as_const(slope).is_none() {
                terms[column as usize].push((1.0, dag.mul(multiplier, slope)));
            }
        }
    }
    let slopes: Vec<NodeId> = terms.iter().map(|terms| dag.sum(terms)).collect();
    lower_triangle(dag, &slopes, n_states, n_vars)
}

impl Kernels {
    /// The kernel of f, ∂f/∂x and ∂f/∂u; compiled at the first call.
    fn linearization(&self) -> Option<&Kernel> {
        let compile = || {
            let derivatives = [&*self.jacobian_derivative().nodes, &*self.input_derivative().nodes].concat();
            let plan = Plan::new_split(&self.dag(), &self.rhs_nodes(), &derivatives, &self.options);
            self.compile_plan(&plan)
        };
        self.linearization.get_or_init(compile).as_ref().ok()
    }

    /// The kernel of the curvature of f; compiled at the first call.
    fn curvature_kernel(&self) -> Option<&Kernel> {
        let compile = || {
            let nodes = &self.curvature_derivative().nodes;
            let plan = Plan::new(&self.dag(), nodes, &self.options);
            self.compile_plan(&plan)
        };
        self.curvature_kernel.get_or_init(compile).as_ref().ok()
    }

    fn curvature_derivative(&self) -> &Derivative {
        self.curvature.get_or_init(|| {
            let dims = self.sizes();
            let n_vars = dims.n_states + dims.n_inputs;
            weighted_curvature(&mut self.dag(), &self.rhs_nodes(), dims.n_states, n_vars)
        })
    }

    pub(super) fn compile_plan(&self, plan: &Plan) -> Result<Kernel, CompileError> {
        if self.dag().is_full() {
            return Err(CompileError::TooLarge);
        }
        let kernel = self.compiler.compile(std::slice::from_ref(plan))?.pop();
        kernel.ok_or_else(|| CompileError::Backend("no kernel came out".to_owned()))
    }

    #[inline(always)]
    pub(super) fn run_linearization(&self, at: At<'_>, work: &mut Work, dx: &mut [f64], values: &mut [f64]) {
        match self.linearization() {
            Some(kernel) => kernel.call_along(at, Direction::default(), work, dx, values),
            None => {
                dx.fill(f64::NAN);
                values.fill(f64::NAN);
            }
        }
    }

    pub(super) fn pattern_of_curvature(&self) -> &CscPattern {
        &self.curvature_derivative().pattern
    }

    #[inline(always)]
    pub(super) fn run_curvature(&self, at: At<'_>, multipliers: &[f64], work: &mut Work, values: &mut [f64]) {
        match self.curvature_kernel() {
            Some(kernel) => kernel.call_along(at, Direction { dx: multipliers, dt: 0.0 }, work, values, &mut []),
            None => values.fill(f64::NAN),
        }
    }

    /// Compiles now what control problems call: f with its first derivatives, and its curvature where `is_exact`.
    ///
    /// # Errors
    /// Where one of them could not be compiled, now or before.
    pub fn prepare_control(&self, is_exact: bool) -> Result<(), CompileError> {
        self.linearization();
        let mut results = vec![&self.linearization];
        if is_exact {
            self.curvature_kernel();
            results.push(&self.curvature_kernel);
        }
        for cell in results {
            if let Some(Err(error)) = cell.get() {
                return Err(error.clone());
            }
        }
        Ok(())
    }
}
