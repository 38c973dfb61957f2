//! Minimization of scalar functions of a few hundred parameters within bounds, and of quadratic ones over the stages of
//! a horizon ([`stage_qp`]).
//!
//! [`trust_region`] is for expensive smooth objectives that bring a gradient and an approximate Hessian, as a
//! likelihood with forward sensitivities does; [`cma_es`] is for cheap ones without derivatives. Invariant: a minimizer is deterministic, never panics and never gives
//! up on a failed evaluation; it returns the best point found and the reason it stopped. [`crate::calibrate`] builds
//! the objectives.

pub mod cma_es;
pub mod stage_qp;
pub mod trust_region;

pub use trust_region::{Minimum, Options, StopReason, minimize};

/// Why an objective has no value at a point, for people: `step size underflow at time 3.2; state S`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EvalError {
    /// One sentence without a full stop.
    pub reason: String,
}

impl EvalError {
    /// An error with the given reason.
    pub fn new(reason: impl Into<String>) -> Self {
        EvalError { reason: reason.into() }
    }
}

/// Value, gradient and approximate Hessian of an objective at one point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Local {
    /// The value.
    pub value: f64,
    /// `n_parameters`
    pub gradient: Vec<f64>,
    /// `n_parameters × n_parameters`, symmetric, column major. For a sum of squares: `Jᵀ J`. It need not be positive
    /// definite.
    pub hessian: Vec<f64>,
}

impl Local {
    /// Zeros for `n` parameters.
    pub fn zeros(n: usize) -> Self {
        Local { value: 0.0, gradient: vec![0.0; n], hessian: vec![0.0; n * n] }
    }

    /// Sets everything to zero; keeps the sizes.
    pub fn clear(&mut self) {
        self.value = 0.0;
        self.gradient.fill(0.0);
        self.hessian.fill(0.0);
    }

    /// True where every number is finite.
    pub fn is_finite(&self) -> bool {
        self.value.is_finite() && self.gradient.iter().chain(&self.hessian).all(|v| v.is_finite())
    }
}

/// A function to minimize.
pub trait Objective {
    /// Number of parameters.
    fn n_parameters(&self) -> usize;

    /// Writes value, gradient and approximate Hessian at `theta: n_parameters` into `local`.
    ///
    /// # Errors
    /// Where the objective has no value at `theta`, such as after a failed integration. `local` is then unspecified.
    fn evaluate(&mut self, theta: &[f64], local: &mut Local) -> Result<(), EvalError>;
}
