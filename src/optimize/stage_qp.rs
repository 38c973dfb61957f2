//! Quadratic problems over the nodes of a tree: what every step of sequential quadratic programming solves.
//!
//! [`StageQp`] holds the data, [`StageQpSolver`] solves. It first guesses which bounds hold with equality, from the last
//! solution if there was one, and corrects the guess: each guess costs one Riccati recursion over the nodes
//! (`riccati`). Where guesses do not settle, a primal-dual interior-point method takes over (`interior`) until its
//! iterates say which bounds hold. Where no point keeps all bounds, the one that leaves them least is found and the bound
//! that is left most is named. Where that gives up too, Clarabel is asked (`fallback`).
//!
//! **Invariant.** The work is bounded, deterministic, and allocates nothing after [`StageQpSolver::new`] but where Clarabel
//! is asked.

mod active;
mod fallback;
mod interior;
mod layout;
mod problem;
mod riccati;
mod sides;
mod solver;

pub use problem::StageQp;
pub use solver::StageQpSolver;

/// Where a solve starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// From nothing.
    #[default]
    Cold,
    /// From the bounds that held at the end of the last solve, as shifted since.
    Warm,
}

/// Something that has a lower and an upper bound in a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bounded {
    /// A state.
    State(usize),
    /// An input.
    Input(usize),
    /// A row.
    Row(usize),
}

/// How a solve ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QpStatus {
    /// The optimality conditions hold within the tolerance.
    Optimal,
    /// They do not after as many iterations as are allowed; the point is the best found.
    IterationLimit,
    /// No point keeps all hard bounds. The point given leaves them least, and these most.
    Infeasible {
        /// Node of the bound.
        node: usize,
        /// What it bounds.
        bounded: Bounded,
    },
    /// The cost has a direction of negative curvature in this node, along what dynamics and active bounds leave free.
    Indefinite {
        /// The first such node from the leaves.
        node: usize,
    },
    /// The data or the iterates have numbers that are not finite.
    NotFinite,
}

/// Settings of a solve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QpOptions {
    /// Largest residual, relative to the largest number that it is the difference of. Default 1e-10.
    pub tolerance: f64,
    /// Interior-point iterations. Default 60.
    pub max_iterations: usize,
    /// Guesses of the active bounds before the interior-point method takes over. Default 8.
    pub max_guesses: usize,
    /// A pivot within this of zero, relative to its diagonal element, is taken for a direction without curvature, not
    /// for a negative one. Default 1e-12.
    pub flat: f64,
}

impl Default for QpOptions {
    fn default() -> Self {
        QpOptions { tolerance: 1e-10, max_iterations: 60, max_guesses: 8, flat: 1e-12 }
    }
}

/// What is left of the optimality conditions, largest absolute values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QpResiduals {
    /// Gradient of the Lagrangian.
    pub stationarity: f64,
    /// `J z + offset - x_child`
    pub dynamics: f64,
    /// Amount by which a hard bound is left, or a soft one by more than its excess.
    pub bounds: f64,
    /// Product of a multiplier and the distance from its bound.
    pub complementarity: f64,
}

/// Work of a solve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QpStatistics {
    /// Guesses of the active bounds.
    pub guesses: usize,
    /// Interior-point iterations.
    pub iterations: usize,
    /// Riccati recursions from leaves to root, partial ones counted as whole.
    pub factorizations: usize,
    /// Right-hand sides solved for.
    pub solves: usize,
    /// Problems that the method over nodes gave up and Clarabel was asked for.
    pub fallbacks: usize,
}
