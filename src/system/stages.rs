//! What every optimal-control solver sees: a problem in discrete time, one node of its tree at a time.
//!
//! A node is an instant of the horizon in one scenario. It has a state x and, unless it is a leaf, an input u; the state
//! of each child is `F(x, u)` with a function of its own. A chain of nodes is an ordinary horizon; a tree is one with
//! scenarios that share the inputs up to where they part (Lucia, Finkler and Engell 2013, *Multi-stage nonlinear model
//! predictive control*, J. Process Control 23:1306).
//!
//! ```text
//! minimize    Σ_nodes l_i(x_i, u_i)
//! subject to  x_c = F_c(x_i, u_i)                        for every child c of i
//!             x_lower ≤ x_i ≤ x_upper, u_lower ≤ u_i ≤ u_upper
//!             row_lower ≤ g_i(x_i, u_i) ≤ row_upper      each hard, or soft at a price
//!             x_0 given, or given in part
//! ```
//!
//! Derivatives are with respect to `z = (x, u)`, states first; matrices are dense and column major. `control` makes such
//! problems from a model and a task; `closure` problems test solvers without the compiler.

use std::fmt;

/// Sizes that all nodes of a problem share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageDims {
    /// States of a node.
    pub n_states: usize,
    /// Inputs of a node that is not a leaf.
    pub n_inputs: usize,
}

impl StageDims {
    /// Length of `z = (x, u)`.
    pub fn n_vars(&self) -> usize {
        self.n_states + self.n_inputs
    }
}

/// Which node follows which. Node 0 is the root, and every parent stands before its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    parents: Vec<usize>,
    depths: Vec<usize>,
    is_leaf: Vec<bool>,
}

impl Tree {
    /// A chain of `horizon` steps: nodes 0 to `horizon`.
    pub fn chain(horizon: usize) -> Tree {
        Tree::branching(horizon, 0, 1)
    }

    /// A tree that branches into `n_scenarios` at each of the first `n_branching` steps and goes on in single file up to
    /// `horizon` steps.
    pub fn branching(horizon: usize, n_branching: usize, n_scenarios: usize) -> Tree {
        let mut tree = Tree { parents: vec![0], depths: vec![0], is_leaf: vec![horizon == 0] };
        let mut level = vec![0];
        for depth in 1..=horizon {
            let width = if depth <= n_branching { n_scenarios.max(1) } else { 1 };
            let mut next = Vec::with_capacity(level.len() * width);
            for &parent in &level {
                for _ in 0..width {
                    next.push(tree.parents.len());
                    tree.parents.push(parent);
                    tree.depths.push(depth);
                    tree.is_leaf.push(depth == horizon);
                }
            }
            level = next;
        }
        tree
    }

    /// Number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.parents.len()
    }

    /// The node before `node`; the root's is itself.
    pub fn parent(&self, node: usize) -> usize {
        self.parents[node]
    }

    /// How many steps after the root.
    pub fn depth(&self, node: usize) -> usize {
        self.depths[node]
    }

    /// True where nothing follows: such a node has no input.
    pub fn is_leaf(&self, node: usize) -> bool {
        self.is_leaf[node]
    }

    /// Steps from the root to the leaves.
    pub fn horizon(&self) -> usize {
        self.depths.last().copied().unwrap_or(0)
    }

    /// True where every node has one child at most.
    pub fn is_chain(&self) -> bool {
        self.n_nodes() == self.horizon() + 1
    }
}

/// What it costs to leave the interval of a row by `e ≥ 0` (measured in the row's own unit).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Softness {
    /// It may not be left.
    #[default]
    Hard,
    /// `weight · e`
    Linear(f64),
    /// `weight · e²`
    Quadratic(f64),
}

/// The bounds of one node; infinite where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// `n_states`; of the root, only those of its free states are looked at.
    pub x_lower: &'a [f64],
    /// `n_states`
    pub x_upper: &'a [f64],
    /// `n_inputs`; not looked at in a leaf.
    pub u_lower: &'a [f64],
    /// `n_inputs`
    pub u_upper: &'a [f64],
    /// One per row of this node.
    pub row_lower: &'a [f64],
    /// One per row of this node.
    pub row_upper: &'a [f64],
    /// One per row of this node.
    pub row_softness: &'a [Softness],
}

/// Which second derivatives of the costs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Curvature {
    /// Those of the squares that a cost is a sum of, without the curvature of what is squared: never indefinite. A cost
    /// that is no sum of squares gives its exact ones.
    GaussNewton,
    /// The true ones.
    #[default]
    Exact,
}

/// Why a stage function has no value, for people: `step size underflow at time 3.2 [h]; state T_R`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageFailure {
    /// The node whose function it was (of a step: the child).
    pub node: usize,
    /// One sentence without a full stop.
    pub reason: String,
}

impl fmt::Display for StageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: {}", self.node, self.reason)
    }
}

impl std::error::Error for StageFailure {}

/// A sampling instant, as a controller is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Instant<'a> {
    /// Index of the sampling instant within the episode.
    pub step: usize,
    /// Time in the model's unit.
    pub time: f64,
    /// The state of the plant.
    pub state: &'a [f64],
    /// The inputs that act on the plant up to this instant.
    pub previous: &'a [f64],
    /// `n × n_disturbances`, row major: the disturbances of this and the following steps; empty where they are not told.
    pub forecast: &'a [f64],
}

/// A discrete-time optimal-control problem.
///
/// `x: n_states`; `u: n_inputs`, empty in a leaf; below, `n_vars` is the length of `(x, u)` in the node at hand:
/// `n_states` in a leaf. All methods write every element of their outputs, but those named `add_...`, which add. Nothing
/// allocates once every method has been called.
pub trait Stages: Send {
    /// The sizes.
    fn dims(&self) -> StageDims;

    /// The nodes.
    fn tree(&self) -> &Tree;

    /// Takes in where the root stands in time and what is known there, and writes the given states of the root,
    /// `root: n_states`, and a guess of its free ones: the plant's state, and behind it what else the problem carries.
    fn arrive(&mut self, instant: &Instant<'_>, root: &mut [f64]) {
        let known = instant.state.iter().chain(instant.previous);
        root.iter_mut().zip(known).for_each(|(to, &from)| *to = from);
    }

    /// Takes `parameters: n_params` for those of the model from now on; what differs between scenarios is kept. Problems
    /// that are made for their parameters keep them.
    fn believe(&mut self, parameters: &[f64]);

    /// Which states of the root are free, ascending; the others are given.
    fn free_states(&self) -> &[usize] {
        &[]
    }

    /// Rows `g` of a node beside the boxes.
    fn n_rows(&self, node: usize) -> usize;

    /// The bounds of a node.
    fn limits(&self, node: usize) -> Limits<'_>;

    /// A copy with scratch of its own, for another thread.
    fn fork(&self) -> Box<dyn Stages>;

    /// False where second derivatives of the steps are not known: [`Stages::add_step_curvature`] then adds nothing.
    fn has_curvature(&self) -> bool {
        true
    }

    /// `next: n_states` = F of the child `node`, from its parent's `x` and `u`.
    ///
    /// # Errors
    /// Where the step has no value.
    fn step(&mut self, node: usize, x: &[f64], u: &[f64], next: &mut [f64]) -> Result<(), StageFailure>;

    /// As [`Stages::step`], with `jacobian: n_states × n_vars` of the parent = ∂F/∂z.
    ///
    /// # Errors
    /// Where the step has no value.
    fn step_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), StageFailure>;

    /// Adds `Σ_j costate_j ∂²F_j/∂z²` to `hessian: n_vars × n_vars` of the parent (both triangles).
    ///
    /// # Errors
    /// Where the step has no value.
    fn add_step_curvature(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        costate: &[f64],
        hessian: &mut [f64],
    ) -> Result<(), StageFailure>;

    /// l of a node. Not finite where it has no value.
    fn cost(&mut self, node: usize, x: &[f64], u: &[f64]) -> f64;

    /// l, its `gradient: n_vars` and `hessian: n_vars × n_vars` (both triangles).
    fn cost_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        curvature: Curvature,
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> f64;

    /// `values: n_rows` = g of a node.
    fn rows(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64]);

    /// g and its `jacobian: n_rows × n_vars`.
    fn row_derivatives(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64], jacobian: &mut [f64]);

    /// Adds `Σ_j multipliers_j ∂²g_j/∂z²` to `hessian: n_vars × n_vars` (both triangles).
    fn add_row_curvature(&mut self, node: usize, x: &[f64], u: &[f64], multipliers: &[f64], hessian: &mut [f64]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_one_node_more_than_steps() {
        let tree = Tree::chain(3);
        assert_eq!(tree.n_nodes(), 4);
        assert!(tree.is_chain() && tree.is_leaf(3) && !tree.is_leaf(2));
        assert_eq!((tree.parent(3), tree.depth(3)), (2, 3));
    }

    #[test]
    fn scenarios_part_at_the_root_and_go_on_alone() {
        let tree = Tree::branching(4, 1, 9);
        assert_eq!(tree.n_nodes(), 1 + 9 * 4);
        assert!((1..10).all(|node| tree.parent(node) == 0));
        assert!((10..37).all(|node| tree.parent(node) == node - 9));
        assert_eq!((1..37).filter(|&node| tree.is_leaf(node)).count(), 9);
        assert!(!tree.is_chain());
    }
}
