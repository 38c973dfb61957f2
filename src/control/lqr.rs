//! The linear-quadratic regulator: Riccati equations in discrete and continuous time, over an infinite or a finite horizon,
//! and the linearization of a control problem at a point of rest.
//!
//! Infinite horizons by structure-preserving doubling: E. K.-W. Chu, H.-Y. Fan, W.-W. Lin and C.-S. Wang 2004,
//! *Structure-preserving algorithms for periodic discrete-time algebraic Riccati equations*, Int. J. Control 77:767, and,
//! after a Cayley transformation, E. K.-W. Chu, H.-Y. Fan and W.-W. Lin 2005, *A structure-preserving doubling algorithm for
//! continuous-time algebraic Riccati equations*, Linear Algebra Appl. 396:55. It converges quadratically and needs no
//! eigenvalues. Newton steps (D. L. Kleinman 1968, IEEE Trans. Autom. Control 13:114; G. A. Hewer 1971, 16:382), whose linear
//! equations are solved by Smith's doubling, take what rounding left. What cannot be stabilized or is not seen by the cost
//! is found before, by the rank test of Popov, Belevitch and Hautus at every mode that does not decay.

mod modes;
mod regulator;
mod solve;

use nalgebra::DMatrix;

pub use regulator::Regulator;
pub use solve::{Solution, continuous, discrete, finite};

use crate::system::{Curvature, StageFailure, Stages};

/// `x' = A x + B u` or `x_next = A x + B u` with the cost `½ Σ or ∫ (x'Q x + 2 x'S u + u'R u)`; deviations from rest.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearQuadratic {
    /// `n × n`
    pub a: DMatrix<f64>,
    /// `n × m`
    pub b: DMatrix<f64>,
    /// `n × n`, symmetric.
    pub q: DMatrix<f64>,
    /// `m × m`, symmetric, positive definite.
    pub r: DMatrix<f64>,
    /// `n × m`
    pub s: DMatrix<f64>,
}

/// Why there is no regulator.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LqrError {
    /// Sizes that do not fit.
    #[error("{0}")]
    Shape(&'static str),
    /// A number that is not finite.
    #[error("a matrix of the problem has an entry that is not finite")]
    NotFinite,
    /// The cost of the inputs is not positive definite.
    #[error("the cost of the inputs is not positive definite: every input needs a cost of its own")]
    InputCost,
    /// A mode that does not decay and that no input reaches.
    #[error("no input reaches the mode {real} ± {imaginary}i, which does not decay; it is mostly in state {state}")]
    NotStabilizable {
        /// Real part of the eigenvalue.
        real: f64,
        /// Its imaginary part, not negative.
        imaginary: f64,
        /// The state with the largest part in it.
        state: usize,
    },
    /// A mode that does not decay and that costs nothing.
    #[error(
        "the cost does not see the mode {real} ± {imaginary}i, which does not decay; it is mostly in state {state}"
    )]
    NotDetectable {
        /// Real part of the eigenvalue.
        real: f64,
        /// Its imaginary part, not negative.
        imaginary: f64,
        /// The state with the largest part in it.
        state: usize,
    },
    /// The doubling did not converge: such problems lie next to those that have no solution, or their modes are so
    /// unstable and so hard to reach that rounding hides the solution.
    #[error("the Riccati equation could not be solved: its closed loop is at the edge of stability, or hardly reached")]
    NoConvergence,
}

impl LinearQuadratic {
    /// The problem without cross costs.
    pub fn new(a: DMatrix<f64>, b: DMatrix<f64>, q: DMatrix<f64>, r: DMatrix<f64>) -> LinearQuadratic {
        let s = DMatrix::zeros(b.nrows(), b.ncols());
        LinearQuadratic { a, b, q, r, s }
    }

    /// A step of a control problem and its cost with the second derivatives of `curvature`, linearized at the state
    /// `x: n_states` and the input `u: n_inputs` of its root, which should be at rest there: `step(x, u) = x`.
    ///
    /// # Errors
    /// Where the step has no value there.
    pub fn linearize(
        stages: &mut dyn Stages,
        x: &[f64],
        u: &[f64],
        curvature: Curvature,
    ) -> Result<LinearQuadratic, StageFailure> {
        let dims = stages.dims();
        let (n, m, nv) = (dims.n_states, dims.n_inputs, dims.n_vars());
        let (mut next, mut jacobian) = (vec![0.0; n], vec![0.0; n * nv]);
        stages.step_derivatives(1, x, u, &mut next, &mut jacobian)?;
        let (mut gradient, mut hessian) = (vec![0.0; nv], vec![0.0; nv * nv]);
        stages.cost_derivatives(0, x, u, curvature, &mut gradient, &mut hessian);
        let jacobian = DMatrix::from_column_slice(n, nv, &jacobian);
        let hessian = DMatrix::from_column_slice(nv, nv, &hessian);
        Ok(LinearQuadratic {
            a: jacobian.columns(0, n).into_owned(),
            b: jacobian.columns(n, m).into_owned(),
            q: hessian.view((0, 0), (n, n)).into_owned(),
            r: hessian.view((n, n), (m, m)).into_owned(),
            s: hessian.view((0, n), (n, m)).into_owned(),
        })
    }

    fn check(&self) -> Result<(), LqrError> {
        let (n, m) = (self.a.nrows(), self.b.ncols());
        if self.a.ncols() != n || self.b.nrows() != n || self.q.shape() != (n, n) {
            return Err(LqrError::Shape("A and Q are square, and B has a row for each of their rows"));
        }
        if m == 0 || self.r.shape() != (m, m) || self.s.shape() != (n, m) {
            return Err(LqrError::Shape("there is an input, R is square in the inputs, and S is states by inputs"));
        }
        let all = [&self.a, &self.b, &self.q, &self.r, &self.s];
        if all.iter().any(|matrix| matrix.iter().any(|value| !value.is_finite())) {
            return Err(LqrError::NotFinite);
        }
        if self.r.clone().cholesky().is_none() {
            return Err(LqrError::InputCost);
        }
        Ok(())
    }
}
