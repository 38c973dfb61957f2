//! Linear algebra of the solvers: compressed sparse columns, dense and sparse LU. Slices in, slices out.

pub mod csc;
pub use csc::CscPattern;
