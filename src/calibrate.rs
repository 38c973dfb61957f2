//! Fits the parameters of models to measurements and says how well they are known.
//!
//! The way of a fit: [`Parameter`]s (bounds, search scale, prior) and [`Experiment`]s (a system, its data, and which
//! parameter stands where) make a [`Problem`]; its [`Evaluator`] gives the negative log-likelihood with gradient and
//! Fisher matrix by forward sensitivities; [`multistart::run`] minimizes it from many points; [`confidence::assess`]
//! turns the Fisher matrix at the best point into intervals and a verdict on identifiability.
//!
//! Invariant: θ inside is always on the search scale (natural logarithm or linear) and within the bounds; values in
//! declared units appear only where a system is called and where a result is reported. Nothing here reads a clock or
//! a file: [`multistart::Watch`] is how a caller measures time and writes checkpoints.

pub mod bind;
pub mod confidence;
pub mod experiment;
pub mod likelihood;
pub mod multistart;
pub mod noise;
pub mod parameter;
pub mod prior;
pub mod sampling;
pub mod settings;
pub mod table;

pub use confidence::{Confidence, Interval};
pub use experiment::{CalibrateError, Experiment, Link, Measurement, Target};
pub use likelihood::{Evaluator, Prediction, Problem, Way};
pub use multistart::{MultiStart, StartRecord, Watch};
pub use parameter::{Parameter, Scale};
pub use sampling::Sampling;
pub use settings::{FitSettings, SETTINGS};
