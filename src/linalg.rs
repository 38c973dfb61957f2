//! Linear algebra of the solvers: compressed sparse columns, dense, banded and sparse LU. Slices in, slices out.
//!
//! [`ShiftedLu`] is what the implicit methods use: it factorises `shift I - J` straight from the values of a
//! [`CscPattern`] and chooses between [`DenseLu`], [`BandedLu`], [`SparseLu`] and code made for the pattern ([`LuCode`])
//! by the work each takes. [`Symbolic`] says what elimination in a sparse pattern does.

pub mod banded;
pub mod block;
pub mod compiled;
pub mod csc;
pub mod dense;
pub mod lanes;
mod order;
pub mod pivoted;
pub mod shifted;
pub mod sparse;
pub mod symbolic;
pub mod wide;

pub use banded::BandedLu;
pub use compiled::{CompiledLu, LANES, LuCode};
pub use csc::CscPattern;
pub use dense::DenseLu;
pub use lanes::LaneLu;
pub use pivoted::DenseShifted;
pub use shifted::{LinearSolver, ShiftedLu};
pub use sparse::SparseLu;
pub use symbolic::{GROWTH, Symbolic};
pub use wide::{Wide, wide};

/// A matrix has no LU factorisation: a pivot is zero or not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is singular at column {column}")]
pub struct Singular {
    /// The elimination step at which no pivot was found.
    pub column: usize,
}
