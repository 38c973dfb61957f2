//! A system evaluated at several points at once, for solvers that integrate many members of an ensemble in lockstep.
//!
//! Every argument and every result is interleaved: element k of lane i stands at `k · width + i`. A lane's results are
//! the same bits whatever the other lanes hold and however many there are.

use super::{At, System, Work};

/// An autonomous system (inputs and disturbances held) at `width` points at once.
pub trait LaneSystem: Send + Sync {
    /// The number of lanes.
    fn width(&self) -> usize;

    /// The same system at one point: its sizes, patterns and start values.
    fn single(&self) -> &dyn System;

    /// Scratch for one thread.
    fn work(&self) -> Work;

    /// `dx: n_states × width` = f, from interleaved x, u, d and p; `at.t` is not read.
    fn rhs(&self, at: At<'_>, work: &mut Work, dx: &mut [f64]);

    /// `values: nnz × width` = ∂f/∂x in the order of the single system's pattern; arguments as for
    /// [`LaneSystem::rhs`].
    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);
}
