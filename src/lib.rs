//! twinc turns `.twin` text into diagnostics, flat equations, derivatives, machine code, trajectories and fits.
//!
//! The way of the data is one line of stages, each a function from one named type to the next:
//! text → [`syntax::ast::File`] → [`hir::Module`] → [`flat::FlatModel`] → [`expr::Dag`] → [`jit::Plan`] → [`jit::Kernels`],
//! which implements [`system::System`], the only thing that [`integrate`] and [`calibrate`] see.
//! `docs/architecture.md` is the map; a test keeps every module to the ones before it.

pub mod analyze;
pub mod calibrate;
pub mod cli;
pub mod control;
pub mod decide;
pub mod diag;
pub mod export;
pub mod expr;
pub mod flat;
pub mod hir;
pub mod integrate;
pub mod jit;
pub mod learn;
pub mod limits;
pub mod linalg;
pub mod optimize;
pub mod random;
pub mod source;
pub mod syntax;
pub mod system;
pub mod units;
