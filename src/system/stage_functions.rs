//! The functions of a task at one instant: what a state and an input cost, and the rows that are kept within bounds.
//!
//! [`crate::jit::StageKernels`] implements it from compiled code. A problem in discrete time
//! ([`crate::system::Stages`]) is made of these functions, a [`crate::system::System`] and a rule that advances it.

use super::{At, Curvature, Work};
use crate::linalg::CscPattern;

/// Which functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageKind {
    /// Those of an instant at which an input is chosen.
    Running,
    /// Those of the last instant; they do not depend on the input.
    Final,
}

/// Cost l(t, x, u, d, p) and rows g(t, x, u, d, p) with derivatives in `z = (x, u)`; of [`StageKind::Final`] in `z = x`.
///
/// Second derivatives are given as the lower triangle in the order of a pattern. All methods write every element of
/// their outputs. Called from many threads at once, each with its own [`Work`].
pub trait StageFunctions: Send + Sync {
    /// Scratch for one thread.
    fn work(&self) -> Work;

    /// True where some function depends on t, so that the length of a step must not be free.
    fn reads_time(&self) -> bool;

    /// l; not finite where it has no value.
    fn cost(&self, kind: StageKind, at: At<'_>, work: &mut Work) -> f64;

    /// The lower triangle of ∂²l/∂z².
    fn cost_pattern(&self, kind: StageKind, curvature: Curvature) -> &CscPattern;

    /// `value: 1 + n_vars` = l, then its gradient; `hessian` in the order of [`StageFunctions::cost_pattern`].
    fn cost_derivatives(
        &self,
        kind: StageKind,
        at: At<'_>,
        curvature: Curvature,
        work: &mut Work,
        value: &mut [f64],
        hessian: &mut [f64],
    );

    /// How many rows.
    fn n_rows(&self, kind: StageKind) -> usize;

    /// `values: n_rows` = g.
    fn rows(&self, kind: StageKind, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// Pattern of ∂g/∂z, `n_rows × n_vars`.
    fn row_pattern(&self, kind: StageKind) -> &CscPattern;

    /// g, and `jacobian` in the order of [`StageFunctions::row_pattern`].
    fn row_derivatives(&self, kind: StageKind, at: At<'_>, work: &mut Work, values: &mut [f64], jacobian: &mut [f64]);

    /// The lower triangle of the second derivatives of `Σ_i multipliers_i g_i` in z.
    fn row_curvature_pattern(&self, kind: StageKind) -> &CscPattern;

    /// These, in the order of [`StageFunctions::row_curvature_pattern`]; `multipliers: n_rows`.
    fn row_curvature(&self, kind: StageKind, at: At<'_>, multipliers: &[f64], work: &mut Work, hessian: &mut [f64]);
}
