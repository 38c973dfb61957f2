//! Where everything stands in the padded vectors of the solver.

use super::problem::StageQp;
use crate::linalg::block::padded;

/// Sizes and positions. A node's `z` takes `stride` numbers: `np` of the state, `n` rounded up, then those of the input.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub n: usize,
    pub m: usize,
    pub np: usize,
    pub stride: usize,
    pub n_nodes: usize,
    pub n_rows: usize,
    pub is_leaf: Vec<bool>,
    pub parent: Vec<usize>,
    /// Where the rows of a node begin; one more than nodes.
    pub row_start: Vec<usize>,
    /// The free states of the root.
    pub free: Vec<usize>,
    child_start: Vec<usize>,
    child_list: Vec<usize>,
}

impl Layout {
    pub(super) fn new(qp: &StageQp) -> Layout {
        let (dims, tree) = (qp.dims(), qp.tree());
        let (n, m, n_nodes) = (dims.n_states, dims.n_inputs, tree.n_nodes());
        let np = padded(n);
        let mut row_start: Vec<usize> = (0..n_nodes).map(|node| qp.rows(node).start).collect();
        let n_rows = qp.rows(n_nodes - 1).end;
        row_start.push(n_rows);
        let mut child_start = vec![0];
        let mut child_list = Vec::with_capacity(n_nodes);
        let mut lists = vec![Vec::new(); n_nodes];
        for node in 1..n_nodes {
            lists[tree.parent(node)].push(node);
        }
        for list in lists {
            child_list.extend(list);
            child_start.push(child_list.len());
        }
        Layout {
            n,
            m,
            np,
            stride: np + padded(m),
            n_nodes,
            n_rows,
            is_leaf: (0..n_nodes).map(|node| tree.is_leaf(node)).collect(),
            parent: (0..n_nodes).map(|node| tree.parent(node)).collect(),
            row_start,
            free: qp.free_states().to_vec(),
            child_start,
            child_list,
        }
    }

    /// The children of a node, ascending.
    #[inline(always)]
    pub(super) fn children(&self, node: usize) -> &[usize] {
        &self.child_list[self.child_start[node]..self.child_start[node + 1]]
    }

    /// Position of variable `j` within a node.
    #[inline(always)]
    pub(super) fn padded_index(&self, j: usize) -> usize {
        if j < self.n { j } else { self.np + j - self.n }
    }

    /// The rows of a node among all rows.
    #[inline(always)]
    pub(super) fn rows(&self, node: usize) -> std::ops::Range<usize> {
        self.row_start[node]..self.row_start[node + 1]
    }
}

/// One number per padded variable and one per row, in one list.
#[derive(Debug, Clone)]
pub(super) struct Vector {
    /// `n_nodes × stride`, then the rows.
    pub all: Vec<f64>,
    n_z: usize,
}

impl Vector {
    pub(super) fn new(layout: &Layout) -> Vector {
        let n_z = layout.n_nodes * layout.stride;
        Vector { all: vec![0.0; n_z + layout.n_rows], n_z }
    }

    /// The numbers of the variables and those of the rows.
    #[inline(always)]
    pub(super) fn parts(&self) -> (&[f64], &[f64]) {
        self.all.split_at(self.n_z)
    }

    /// As [`Vector::parts`], to be written.
    #[inline(always)]
    pub(super) fn parts_mut(&mut self) -> (&mut [f64], &mut [f64]) {
        self.all.split_at_mut(self.n_z)
    }
}
