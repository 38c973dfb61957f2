//! The data of a quadratic problem over the nodes of a tree.

use crate::system::{Softness, StageDims, Tree};

/// A quadratic problem over the nodes of a tree.
///
/// ```text
/// minimize    Σ_nodes ½ zᵀ H z + gᵀ z + prices of left rows,     z = (x, u), in a leaf z = x
/// subject to  x_c = J_c z_i + offset_c                            for every child c of i
///             x_lower ≤ x ≤ x_upper, u_lower ≤ u ≤ u_upper        infinite where there is none
///             row_lower ≤ C z ≤ row_upper                         each hard, or soft at a price
///             x_0 given, but for the free states
/// ```
///
/// Matrices are dense and column major. A new problem has zeros everywhere, no bounds and hard rows.
#[derive(Debug, Clone)]
pub struct StageQp {
    dims: StageDims,
    tree: Tree,
    free_states: Vec<usize>,
    /// Where the rows of a node begin among all rows; one more than nodes.
    row_start: Vec<usize>,
    hessian: Vec<f64>,
    gradient: Vec<f64>,
    jacobian: Vec<f64>,
    offset: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    row_jacobian: Vec<f64>,
    row_lower: Vec<f64>,
    row_upper: Vec<f64>,
    softness: Vec<Softness>,
    root: Vec<f64>,
}

impl StageQp {
    /// A problem with `n_rows[node]` rows in each node and the `free_states` (ascending) of the root free.
    pub fn new(dims: StageDims, tree: Tree, n_rows: &[usize], free_states: &[usize]) -> StageQp {
        let (n_nodes, n, nv) = (tree.n_nodes(), dims.n_states, dims.n_vars());
        let mut row_start = vec![0];
        let mut total = 0;
        for node in 0..n_nodes {
            total += n_rows.get(node).copied().unwrap_or(0);
            row_start.push(total);
        }
        let mut free: Vec<usize> = free_states.iter().copied().filter(|&i| i < n).collect();
        free.sort_unstable();
        free.dedup();
        StageQp {
            dims,
            tree,
            free_states: free,
            row_start,
            hessian: vec![0.0; n_nodes * nv * nv],
            gradient: vec![0.0; n_nodes * nv],
            jacobian: vec![0.0; n_nodes * n * nv],
            offset: vec![0.0; n_nodes * n],
            lower: vec![f64::NEG_INFINITY; n_nodes * nv],
            upper: vec![f64::INFINITY; n_nodes * nv],
            row_jacobian: vec![0.0; total * nv],
            row_lower: vec![f64::NEG_INFINITY; total],
            row_upper: vec![f64::INFINITY; total],
            softness: vec![Softness::Hard; total],
            root: vec![0.0; n],
        }
    }

    /// The sizes.
    pub fn dims(&self) -> StageDims {
        self.dims
    }

    /// The nodes.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The free states of the root, ascending.
    pub fn free_states(&self) -> &[usize] {
        &self.free_states
    }

    /// Length of `z` in a node: `n_states` in a leaf.
    pub fn n_vars(&self, node: usize) -> usize {
        if self.tree.is_leaf(node) { self.dims.n_states } else { self.dims.n_vars() }
    }

    /// Rows of a node.
    pub fn n_rows(&self, node: usize) -> usize {
        self.row_start[node + 1] - self.row_start[node]
    }

    /// Where the rows of a node stand among all rows.
    pub(super) fn rows(&self, node: usize) -> std::ops::Range<usize> {
        self.row_start[node]..self.row_start[node + 1]
    }

    /// `n_vars × n_vars`; both triangles.
    pub fn hessian(&self, node: usize) -> &[f64] {
        let (size, nv) = (self.dims.n_vars().pow(2), self.n_vars(node));
        &self.hessian[node * size..node * size + nv * nv]
    }

    /// As [`StageQp::hessian`], to be written.
    pub fn hessian_mut(&mut self, node: usize) -> &mut [f64] {
        let (size, nv) = (self.dims.n_vars().pow(2), self.n_vars(node));
        &mut self.hessian[node * size..node * size + nv * nv]
    }

    /// `n_vars`
    pub fn gradient(&self, node: usize) -> &[f64] {
        let start = node * self.dims.n_vars();
        &self.gradient[start..start + self.n_vars(node)]
    }

    /// As [`StageQp::gradient`], to be written.
    pub fn gradient_mut(&mut self, node: usize) -> &mut [f64] {
        let (start, nv) = (node * self.dims.n_vars(), self.n_vars(node));
        &mut self.gradient[start..start + nv]
    }

    /// `n_states × n_vars` of the parent, by the child (of the root: not looked at).
    pub fn jacobian(&self, child: usize) -> &[f64] {
        let size = self.dims.n_states * self.dims.n_vars();
        &self.jacobian[child * size..(child + 1) * size]
    }

    /// As [`StageQp::jacobian`], to be written.
    pub fn jacobian_mut(&mut self, child: usize) -> &mut [f64] {
        let size = self.dims.n_states * self.dims.n_vars();
        &mut self.jacobian[child * size..(child + 1) * size]
    }

    /// `n_states`, by the child (of the root: not looked at).
    pub fn offset(&self, child: usize) -> &[f64] {
        let n = self.dims.n_states;
        &self.offset[child * n..(child + 1) * n]
    }

    /// As [`StageQp::offset`], to be written.
    pub fn offset_mut(&mut self, child: usize) -> &mut [f64] {
        let n = self.dims.n_states;
        &mut self.offset[child * n..(child + 1) * n]
    }

    /// Gradient and Hessian of a node, both to be written.
    pub fn cost_mut(&mut self, node: usize) -> (&mut [f64], &mut [f64]) {
        let (stride, nv) = (self.dims.n_vars(), self.n_vars(node));
        let (at, block) = (node * stride, node * stride * stride);
        (&mut self.gradient[at..at + nv], &mut self.hessian[block..block + nv * nv])
    }

    /// Offset and Jacobian of the step that leads to `child`, both to be written.
    pub fn step_mut(&mut self, child: usize) -> (&mut [f64], &mut [f64]) {
        let n = self.dims.n_states;
        let size = n * self.dims.n_vars();
        (&mut self.offset[child * n..(child + 1) * n], &mut self.jacobian[child * size..(child + 1) * size])
    }

    /// `n_vars`: lower bounds of `z`.
    pub(super) fn lower(&self, node: usize) -> &[f64] {
        let start = node * self.dims.n_vars();
        &self.lower[start..start + self.n_vars(node)]
    }

    /// `n_vars`: upper bounds of `z`.
    pub(super) fn upper(&self, node: usize) -> &[f64] {
        let start = node * self.dims.n_vars();
        &self.upper[start..start + self.n_vars(node)]
    }

    /// `n_states`; of the root, only those of its free states are looked at.
    pub fn x_lower(&self, node: usize) -> &[f64] {
        &self.lower(node)[..self.dims.n_states]
    }

    /// As [`StageQp::x_lower`], to be written.
    pub fn x_lower_mut(&mut self, node: usize) -> &mut [f64] {
        let start = node * self.dims.n_vars();
        &mut self.lower[start..start + self.dims.n_states]
    }

    /// `n_states`; of the root, only those of its free states are looked at.
    pub fn x_upper(&self, node: usize) -> &[f64] {
        &self.upper(node)[..self.dims.n_states]
    }

    /// As [`StageQp::x_upper`], to be written.
    pub fn x_upper_mut(&mut self, node: usize) -> &mut [f64] {
        let start = node * self.dims.n_vars();
        &mut self.upper[start..start + self.dims.n_states]
    }

    /// `n_inputs`; empty in a leaf.
    pub fn u_lower(&self, node: usize) -> &[f64] {
        &self.lower(node)[self.dims.n_states..]
    }

    /// As [`StageQp::u_lower`], to be written.
    pub fn u_lower_mut(&mut self, node: usize) -> &mut [f64] {
        let (start, nv) = (node * self.dims.n_vars(), self.n_vars(node));
        &mut self.lower[start + self.dims.n_states..start + nv]
    }

    /// `n_inputs`; empty in a leaf.
    pub fn u_upper(&self, node: usize) -> &[f64] {
        &self.upper(node)[self.dims.n_states..]
    }

    /// As [`StageQp::u_upper`], to be written.
    pub fn u_upper_mut(&mut self, node: usize) -> &mut [f64] {
        let (start, nv) = (node * self.dims.n_vars(), self.n_vars(node));
        &mut self.upper[start + self.dims.n_states..start + nv]
    }

    /// `n_rows × n_vars`
    pub fn row_jacobian(&self, node: usize) -> &[f64] {
        let start = self.row_start[node] * self.dims.n_vars();
        &self.row_jacobian[start..start + self.n_rows(node) * self.n_vars(node)]
    }

    /// As [`StageQp::row_jacobian`], to be written.
    pub fn row_jacobian_mut(&mut self, node: usize) -> &mut [f64] {
        let start = self.row_start[node] * self.dims.n_vars();
        let len = self.n_rows(node) * self.n_vars(node);
        &mut self.row_jacobian[start..start + len]
    }

    /// `n_rows`
    pub fn row_lower(&self, node: usize) -> &[f64] {
        &self.row_lower[self.rows(node)]
    }

    /// As [`StageQp::row_lower`], to be written.
    pub fn row_lower_mut(&mut self, node: usize) -> &mut [f64] {
        let rows = self.rows(node);
        &mut self.row_lower[rows]
    }

    /// `n_rows`
    pub fn row_upper(&self, node: usize) -> &[f64] {
        &self.row_upper[self.rows(node)]
    }

    /// As [`StageQp::row_upper`], to be written.
    pub fn row_upper_mut(&mut self, node: usize) -> &mut [f64] {
        let rows = self.rows(node);
        &mut self.row_upper[rows]
    }

    /// `n_rows`: what it costs to leave the interval of each row.
    pub fn softness(&self, node: usize) -> &[Softness] {
        &self.softness[self.rows(node)]
    }

    /// Sets what it costs to leave the interval of a row.
    pub fn set_softness(&mut self, node: usize, row: usize, softness: Softness) {
        let rows = self.rows(node);
        self.softness[rows][row] = softness;
    }

    /// `n_states`: the given states of the root; the free ones are not looked at.
    pub fn root(&self) -> &[f64] {
        &self.root
    }

    /// As [`StageQp::root`], to be written.
    pub fn root_mut(&mut self) -> &mut [f64] {
        &mut self.root
    }
}
