//! Where the method stands: variables and multipliers of all nodes, and their shift by a sampling instant.

use crate::system::stages::{Stages, Tree};

/// Variables and multipliers. Multipliers are net: positive at an upper bound, negative at a lower one.
#[derive(Debug, Clone)]
pub(super) struct Iterate {
    pub n: usize,
    pub m: usize,
    /// `n_nodes × n_vars`: x, then u.
    pub z: Vec<f64>,
    /// `n_nodes × n_states`: derivatives of the remaining cost with respect to the state.
    pub costate: Vec<f64>,
    /// `n_nodes × n_vars`: of the boxes.
    pub box_force: Vec<f64>,
    /// Of the rows.
    pub row_force: Vec<f64>,
    /// Where the rows of a node begin; one more than nodes.
    pub row_start: Vec<usize>,
}

impl Iterate {
    pub(super) fn new(problem: &dyn Stages) -> Iterate {
        let (dims, n_nodes) = (problem.dims(), problem.tree().n_nodes());
        let mut row_start = vec![0];
        for node in 0..n_nodes {
            row_start.push(row_start[node] + problem.n_rows(node));
        }
        Iterate {
            n: dims.n_states,
            m: dims.n_inputs,
            z: vec![0.0; n_nodes * dims.n_vars()],
            costate: vec![0.0; n_nodes * dims.n_states],
            box_force: vec![0.0; n_nodes * dims.n_vars()],
            row_force: vec![0.0; row_start[n_nodes]],
            row_start,
        }
    }

    pub(super) fn copy_from(&mut self, other: &Iterate) {
        self.z.copy_from_slice(&other.z);
        self.costate.copy_from_slice(&other.costate);
        self.box_force.copy_from_slice(&other.box_force);
        self.row_force.copy_from_slice(&other.row_force);
    }

    /// `n_states` of a node.
    pub(super) fn x(&self, node: usize) -> &[f64] {
        let at = node * (self.n + self.m);
        &self.z[at..at + self.n]
    }

    /// `n_inputs` of a node; empty in a leaf.
    pub(super) fn u(&self, node: usize, tree: &Tree) -> &[f64] {
        let at = node * (self.n + self.m) + self.n;
        &self.z[at..at + if tree.is_leaf(node) { 0 } else { self.m }]
    }

    /// x and u of a node, the latter empty in a leaf.
    pub(super) fn xu(&self, node: usize, tree: &Tree) -> (&[f64], &[f64]) {
        (self.x(node), self.u(node, tree))
    }

    pub(super) fn x_mut(&mut self, node: usize) -> &mut [f64] {
        let at = node * (self.n + self.m);
        &mut self.z[at..at + self.n]
    }

    /// Forgets the multipliers.
    pub(super) fn clear_forces(&mut self) {
        self.costate.fill(0.0);
        self.box_force.fill(0.0);
        self.row_force.fill(0.0);
    }

    /// One sampling instant on: every node takes what its first child had. A leaf keeps its own; its parent keeps its
    /// input.
    pub(super) fn shift(&mut self, tree: &Tree, first_child: &[usize]) {
        let (n, m) = (self.n, self.m);
        let nv = n + m;
        for (node, &child) in first_child.iter().enumerate() {
            if tree.is_leaf(node) {
                continue;
            }
            let size = if tree.is_leaf(child) { n } else { nv };
            self.z.copy_within(child * nv..child * nv + size, node * nv);
            self.box_force.copy_within(child * nv..child * nv + size, node * nv);
            self.costate.copy_within(child * n..(child + 1) * n, node * n);
            let (from, to) = (self.row_start[child]..self.row_start[child + 1], self.row_start[node]);
            if from.len() == self.row_start[node + 1] - to {
                self.row_force.copy_within(from, to);
            }
        }
    }
}

/// The first child of every node; of a leaf, itself.
pub(super) fn first_children(tree: &Tree) -> Vec<usize> {
    let mut first: Vec<usize> = (0..tree.n_nodes()).collect();
    for node in (1..tree.n_nodes()).rev() {
        first[tree.parent(node)] = node;
    }
    first
}
