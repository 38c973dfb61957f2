//! Machine code for a flat model.
//!
//! [`plan`] schedules what a set of outputs needs, [`emit`] turns each chunk of a plan into Cranelift IR, [`kernel`]
//! keeps the machine code and calls it, [`math`] has the functions that the code imports.

pub mod emit;
pub mod kernel;
pub mod math;
pub mod plan;

/// Why no machine code could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Cranelift or the operating system refused; the text is theirs.
    #[error("no machine code could be made: {0}")]
    Backend(String),
}
