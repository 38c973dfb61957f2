//! What a model does in the long run: its conservation laws, its steady states, their derivatives and their stability.
//!
//! [`network`] reads the laws off the equations of a flat model; [`steady_state`] finds the state that does not change,
//! for any [`System`](crate::system::System) with such laws; [`stability`] says whether it comes back to it.
//!
//! **Invariant.** A steady state belongs to start values: the conserved totals are theirs. Nothing is random here.

pub mod network;
pub mod stability;
pub mod steady_state;

pub use network::{Law, Structure};
pub use stability::{Eigenvalue, Stability};
pub use steady_state::{Attempt, NotSteady, Reason, Stage, Steady, SteadyStart, SteadyStates};
