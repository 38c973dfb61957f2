//! Machine code for a flat model: [`Kernels`] implements [`crate::system::System`].
//!
//! [`plan`] schedules what a set of outputs needs, [`emit`] turns each chunk of a plan into Cranelift IR, [`Compiler`]
//! has that done for all chunks, [`kernel`] keeps the machine code and calls it, [`math`] has the functions that the code
//! imports. [`kernels`] chooses what to compile for a model (every derivative is symbolic), `system` and `events` call it.
//!
//! **Invariant.** A kernel computes the interpreter's operations in the interpreter's order. With
//! [`Options::strict_math`] the results are the interpreter's bit for bit; without it, exp, ln, tanh, sin, cos and powers
//! are the routines of [`math`], which differ from the library's in the last place.
//!
//! ```
//! use twinc::expr::{Dag, Leaf};
//! use twinc::jit::{Compiler, Plan, PlanOptions};
//! use twinc::system::{At, Work};
//!
//! let mut dag = Dag::new();
//! let (x, k) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::Param(0)));
//! let rate = dag.mul(k, x);
//! let decay = dag.neg(rate);
//! let plan = Plan::new(&dag, &[decay], &PlanOptions::default());
//! let kernel = Compiler::new()?.compile(&[plan])?.remove(0);
//! let mut dx = [0.0];
//! kernel.call(At { t: 0.0, x: &[2.0], u: &[], d: &[], p: &[0.25] }, &mut Work::default(), &mut dx);
//! assert_eq!(dx, [-0.5]);
//! # Ok::<(), twinc::jit::CompileError>(())
//! ```

mod compiler;
pub mod emit;
mod events;
mod function;
pub mod kernel;
pub mod kernels;
mod lanes;
pub mod linear;
pub mod math;
pub mod parts;
pub mod plan;
pub mod rows;
mod second;
pub mod stage;
pub mod stochastic;
mod system;

pub use compiler::Compiler;
pub use kernel::{Direction, Kernel, LaneKernel};
pub use kernels::{Kernels, Options};
pub use lanes::LaneKernels;
pub use parts::{Needs, Part, Timing};
pub use plan::{OpCounts, Plan, PlanOptions};
pub use rows::{RowKernel, row_function, row_functions, row_slopes};
pub use stage::{Square, StageKernels, StageNodes, StageTerms};
pub use stochastic::{DiffusionKernels, JumpKernels};

/// Why no machine code could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Cranelift or the operating system refused; the text is theirs.
    #[error("no machine code could be made: {0}")]
    Backend(String),
    /// The derivatives need more nodes than [`crate::limits::MAX_DAG_NODES`], or a slice more than 2 GiB.
    #[error("the derivatives of the equations are larger than the limit")]
    TooLarge,
}
