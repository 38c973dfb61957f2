//! Time integration of a [`System`](crate::system::System): solution, sensitivities and events, on request at any time.
//!
//! [`Integrator::solve`] takes a [`Problem`] and the times at which the solution is wanted, and tells an [`Observer`] the
//! solution there. Explicit steps are made by Tsit5 or DOP853, stiff ones by Rodas5P or BDF, and [`Method::Auto`] goes from the
//! first to one of the others when stability limits the step; [`Method::Euler`], [`Method::Rk4`] and the
//! implicit methods of `collocation` keep to a grid.
//!
//! How the parts fit together, each in its own file: `field` is the system with forcing and sensitivities; `explicit`
//! (with the tables `tsit5`, `dop853` and `fixed`), `rodas5p` and `bdf` make one step of it, `formula` chooses between them;
//! `controller` chooses the next; `lanes` adds vectors up; `schedule` and `forcing` know the breakpoints; `roots` finds
//! the others; `sensitivity` carries derivatives over them, [`Blocks`] divides their
//! directions among threads (`meeting`); `instant` carries events out; `solve` is the loop around all
//! of it. [`ensemble`] solves one problem after the other for many parameter sets, several in lockstep and on all threads.
//!
//! **Invariant.** Nothing here knows how a system was made, and the step loop does not allocate.
//!
//! ```
//! use twinc::integrate::{Forcing, Integrator, Options, Problem, Sample, Start};
//! use twinc::system::closure::ClosureSystem;
//! let decay = ClosureSystem::new(1, 1, |at, dx| dx[0] = -at.p[0] * at.x[0]).autonomous();
//! let problem = Problem {
//!     t0: 0.0, t1: 2.0, start: Start::Given(&[1.0]), p: &[0.5], forcing: &Forcing::default(), directions: &[], resumes: false,
//! };
//! let mut seen = Vec::new();
//! let mut integrator = Integrator::new(&decay, Options { rtol: 1e-8, ..Options::default() }).unwrap();
//! let outcome = integrator.solve(&problem, &[1.0, 2.0], &mut |s: Sample<'_>| seen.push(s.at.x[0])).unwrap();
//! assert!(outcome.status.is_success() && (seen[1] - (-1.0_f64).exp()).abs() < 1e-7);
//! ```

pub mod adjoint;
mod bdf;
mod blocks;
mod collocation;
mod controller;
mod dop853;
pub mod ensemble;
mod explicit;
mod field;
mod fixed;
mod forcing;
mod formula;
mod instant;
mod lanes;
mod meeting;
mod options;
mod problem;
mod rodas5p;
mod roots;
mod schedule;
mod sensitivity;
mod solve;
pub mod stochastic;
mod tsit5;

pub use blocks::Blocks;
pub use forcing::{Forcing, Signal};
pub use options::{Method, Options, Tolerance};
pub use problem::{Direction, Observer, Outcome, Problem, ProblemError, Sample, Start, Statistics, Status};
pub use sensitivity::OutputSensitivities;
pub use solve::Integrator;
