//! Linear algebra of the solvers: compressed sparse columns, dense and sparse LU. Slices in, slices out.
//!
//! [`ShiftedLu`] is what the implicit methods use: it factorises `shift I - J` straight from the values of a
//! [`CscPattern`] and chooses between [`DenseLu`] and [`SparseLu`] by the work each takes.

pub mod csc;
pub mod dense;
mod elimination;
pub mod shifted;
pub mod sparse;

pub use csc::CscPattern;
pub use dense::DenseLu;
pub use shifted::{LinearSolver, ShiftedLu};
pub use sparse::SparseLu;

/// A matrix has no LU factorisation: a pivot is zero or not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is singular at column {column}")]
pub struct Singular {
    /// The elimination step at which no pivot was found.
    pub column: usize,
}
