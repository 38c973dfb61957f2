//! What a model does in the long run: its conservation laws, its steady states, their derivatives and their stability.
//!
//! [`network`] reads the laws off the equations of a flat model; [`steady_state`] finds the state that does not change,
//! for any [`System`](crate::system::System) with such laws; [`stability`] says whether it comes back to it.
//!
//! ```
//! use twinc::analyze::{SteadyStates, Structure};
//! use twinc::integrate::{Forcing, Problem, Start};
//! use twinc::system::closure::ClosureSystem;
//! let pool = ClosureSystem::new(1, 2, |at, dx| dx[0] = at.p[0] - at.p[1] * at.x[0]).autonomous();
//! let problem = Problem {
//!     t0: 0.0, t1: 0.0, start: Start::Given(&[0.0]), p: &[2.0, 0.5], forcing: &Forcing::default(), directions: &[], resumes: false,
//! };
//! let structure = Structure::free(1);
//! let found = SteadyStates::new(&pool, &structure, &[1.0]).start(&problem).unwrap();
//! assert!((found.steady.x[0] - 4.0).abs() < 1e-9);
//! ```
//!
//! **Invariant.** A steady state belongs to start values: the conserved totals are theirs. Nothing is random here.

pub mod network;
pub mod stability;
pub mod steady_state;

pub use network::{Law, Structure};
pub use stability::{Eigenvalue, Stability};
pub use steady_state::{Attempt, NotSteady, Reason, Stage, Steady, SteadyStart, SteadyStates};
