//! What sampling planners ask for: the costs of many input sequences from one state.
//!
//! [`RowRollouts`] follows them through functions over rows, 64 at a time; [`StageRollouts`] one by one through any
//! [`crate::system::Stages`], and is what the former is checked against. Both price broken constraints, so that a planner
//! minimizes one number.

mod advance;
mod rows;
mod stages;

pub use advance::Advance;
pub use rows::{RowProblem, RowRollouts, RowsError};
pub use stages::StageRollouts;

use crate::decide::Situation;
use crate::system::{Softness, StageDims};

/// What comes of one input sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Cost with the prices of broken constraints; infinite where the sequence has no finite one.
    pub cost: f64,
    /// Largest amount by which a hard constraint is broken.
    pub violation: f64,
}

/// Costs of input sequences from one state. Nothing allocates after the first call of each method.
pub trait Rollouts: Send {
    /// Sizes: the states that [`Rollouts::predict`] tells, the inputs of a step.
    fn dims(&self) -> StageDims;

    /// Steps of a sequence.
    fn horizon(&self) -> usize;

    /// `n_inputs` each: lower and upper bounds of the inputs, infinite where there is none.
    fn input_bounds(&self) -> (&[f64], &[f64]);

    /// Takes the situation that the following sequences start from.
    fn begin(&mut self, now: &Situation<'_>);

    /// `costs: n` of n sequences, `inputs: (horizon · n_inputs) × n`, row major: the values of one input at one step stand
    /// side by side. Inputs are taken as they are. A cost that is not finite is infinite.
    fn costs(&mut self, n: usize, inputs: &[f64], costs: &mut [f64]);

    /// Follows one sequence, `inputs: horizon × n_inputs`; writes `states: (horizon + 1) × n_states`, row major.
    fn predict(&mut self, inputs: &[f64], states: &mut [f64]) -> Outcome;
}

/// What it costs to break a constraint by `e ≥ 0`, where a hard one has the price `price` per unit.
#[inline(always)]
fn penalty(softness: Softness, price: f64, e: f64) -> f64 {
    match softness {
        Softness::Hard => price * e,
        Softness::Linear(weight) => weight * e,
        Softness::Quadratic(weight) => weight * e * e,
    }
}

/// By how much a value is outside its interval; not-a-number stays one.
#[inline(always)]
fn excess(value: f64, lower: f64, upper: f64) -> f64 {
    let below = lower - value;
    let above = value - upper;
    let larger = if below > above { below } else { above };
    if larger < 0.0 { 0.0 } else { larger }
}
