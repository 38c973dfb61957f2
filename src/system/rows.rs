//! Functions evaluated at many points at once, each variable a row of [`ROW`] numbers, one per point.
//!
//! Where a model is followed from one state under hundreds of input sequences, its equations are the same for all: an
//! operation on whole rows costs a fraction of a nanosecond per point. What rolls sequences out keeps a block of rows per
//! function, writes the arguments into it and reads the results from it; [`crate::jit::RowKernel`] makes such functions
//! from the graph of a model.
//!
//! **Invariant.** A point's results are the same bits whatever the other points of the row hold.

use std::sync::Arc;

/// Points of a row. Chosen by benchmark (benches/sampling.rs): the rows of a small model stay in the first cache.
pub const ROW: usize = 64;

/// Points that [`Width::Few`] computes.
pub const FEW: usize = 8;

/// One number for each point.
pub type Row = [f64; ROW];

/// How many points of the rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// The first [`FEW`].
    Few,
    /// All [`ROW`].
    All,
}

/// Sizes of a function over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowDims {
    /// States.
    pub n_states: usize,
    /// Inputs.
    pub n_inputs: usize,
    /// Disturbances.
    pub n_disturbances: usize,
    /// Results.
    pub n_outputs: usize,
}

impl RowDims {
    /// The row of the first input.
    pub fn input(&self) -> usize {
        self.n_states
    }

    /// The row of the first disturbance.
    pub fn disturbance(&self) -> usize {
        self.n_states + self.n_inputs
    }

    /// The row of the time, the last of the arguments.
    pub fn time(&self) -> usize {
        self.n_states + self.n_inputs + self.n_disturbances
    }
}

/// A function of states, inputs, disturbances and time at many points at once.
pub trait RowFunction: Send + Sync {
    /// The sizes. The arguments are the first rows of a block: states, inputs, disturbances, time.
    fn dims(&self) -> RowDims;

    /// A block of rows to evaluate in, with the function's constants in place. Of these rows only the arguments are the
    /// caller's to write.
    fn block(&self) -> Vec<Row>;

    /// `n_outputs`: the row of the block that holds each result; never one of the arguments.
    fn outputs(&self) -> &[usize];

    /// Computes the results from the arguments; both stand in `block`, made by [`RowFunction::block`].
    fn evaluate(&self, block: &mut [Row], width: Width);
}

/// A model and a task as functions over rows.
#[derive(Clone)]
pub struct RowFunctions {
    /// The right-hand side, or the next state: `n_states` results.
    pub dynamics: Arc<dyn RowFunction>,
    /// Cost of an instant at which an input is chosen, then its rows.
    pub running: Arc<dyn RowFunction>,
    /// Cost of the last instant, then its rows; does not read the inputs.
    pub last: Arc<dyn RowFunction>,
}
