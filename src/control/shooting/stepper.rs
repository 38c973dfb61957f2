//! What every rule that advances a system by one step gives: the next state, its derivatives and their curvature.

use super::points::{Edge, Points};
use crate::system::System;

/// A rule with its scratch.
pub(super) trait Stepper: Send {
    /// A copy for another thread.
    fn fork(&self) -> Box<dyn Stepper>;

    /// `next: n_states`
    ///
    /// # Errors
    /// Why there is none, in one sentence.
    fn advance(&mut self, system: &dyn System, edge: &Edge<'_>, next: &mut [f64]) -> Result<(), String>;

    /// The step with first derivatives: afterwards [`Stepper::points`] has the next state and its derivatives at point
    /// [`Stepper::end`].
    ///
    /// # Errors
    /// Why there is none, in one sentence.
    fn sweep(&mut self, system: &dyn System, edge: &Edge<'_>) -> Result<(), String>;

    /// The points of the last sweep.
    fn points(&self) -> &Points;

    /// The point that is the end of the step.
    fn end(&self) -> usize;

    /// The points inside the step at which states are bounded too.
    fn inner(&self) -> std::ops::Range<usize> {
        0..0
    }

    /// False where second derivatives are not known.
    fn has_curvature(&self) -> bool {
        true
    }

    /// Adds the second derivatives of `costateᵀ x⁺ + Σ innerᵀ X_inner` to the upper triangle of `out: n_cols × width`, at
    /// the edge of the last sweep; `inner: n_inner × n_states` may be empty.
    fn add_curvature(&mut self, system: &dyn System, edge: &Edge<'_>, costate: &[f64], inner: &[f64], out: &mut [f64]);
}
