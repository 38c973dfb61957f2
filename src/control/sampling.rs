//! Planners that draw input sequences, roll them out and learn from their costs. They need no derivative.
//!
//! [`Shooting`] keeps the best of all drawn, [`Mppi`] averages them by their costs, [`Cem`] fits a normal distribution to
//! the best again and again, [`Cma`] adapts its covariance too. Each starts from its plan before, shifted by a step, and
//! draws within the bounds of the inputs, which all must have. Every number drawn comes from the seed of
//! [`crate::decide::Planner::reset`] and the count of plans since.

mod cem;
mod cma;
mod common;
mod mppi;
mod noise;
pub mod settings;
mod shooting;

pub use cem::Cem;
pub use cma::Cma;
pub use mppi::Mppi;
pub use settings::{CemSettings, CmaSettings, MppiSettings, ShootingSettings};
pub use shooting::Shooting;

/// Numbers of all sequences drawn at once (samples × steps × inputs) that a planner may hold: 1 GiB.
const MOST_NUMBERS: usize = 1 << 27;

/// Why a problem cannot be planned for by sampling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// An input has no finite bounds on both sides, so there is nothing to draw from.
    #[error("input {0} has no bounds on both sides, which a planner that samples draws between")]
    Unbounded(usize),
    /// Lower bound above the upper one.
    #[error("the lower bound of input {0} is above its upper bound")]
    Contradictory(usize),
    /// There is nothing to plan.
    #[error("the horizon has no steps")]
    NoHorizon,
    /// There is nothing to decide.
    #[error("the problem has no inputs")]
    NoInputs,
    /// A setting is out of its range.
    #[error("`{0}` is out of its range")]
    Setting(&'static str),
    /// samples × steps × inputs is beyond what is held in memory.
    #[error("{samples} sequences of {numbers} numbers each are more than the limit of 134217728 numbers")]
    TooLarge {
        /// Sequences drawn at once.
        samples: usize,
        /// Steps × inputs.
        numbers: usize,
    },
}

/// Spread and correlation of draws are in their ranges.
fn check_noise(noise: f64, smoothing: f64, narrowest: f64) -> Result<(), SamplingError> {
    if !(noise > 0.0 && noise.is_finite()) {
        return Err(SamplingError::Setting("noise"));
    }
    if !(narrowest > 0.0 && narrowest <= 1.0) {
        return Err(SamplingError::Setting("narrowest"));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(SamplingError::Setting("smoothing"));
    }
    Ok(())
}
