//! Integrators against exact solutions, closed forms and published end values.

mod adjoint;
mod allocations;
mod bdf;
mod blocks;
mod collocation;
mod dual_system;
mod edges;
mod ensemble;
mod events;
mod ivp;
mod order;
mod samples;
mod sensitivity;
pub mod solve;
mod tolerances;

use twinc::integrate::{Forcing, Integrator, Options, Outcome, Problem, Sample, Start};
use twinc::system::System;

pub use solve::allocations;

/// Solves from `x0` without inputs and returns the state and the sensitivities at each sample.
fn solve(
    system: &dyn System,
    options: Options,
    (t0, t1): (f64, f64),
    start: Start<'_>,
    p: &[f64],
    directions: &[twinc::integrate::Direction],
    samples: &[f64],
) -> (Outcome, Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let forcing = Forcing::default();
    let problem = Problem { t0, t1, start, p, forcing: &forcing, directions, resumes: false };
    run(system, options, &problem, samples)
}

/// Solves and returns the state and the sensitivities at each sample.
fn run(
    system: &dyn System,
    options: Options,
    problem: &Problem<'_>,
    samples: &[f64],
) -> (Outcome, Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (mut x, mut s) = (Vec::new(), Vec::new());
    let mut integrator = Integrator::new(system, options).expect("valid options");
    let outcome = integrator
        .solve(problem, samples, &mut |sample: Sample<'_>| {
            assert_eq!(sample.idx, x.len(), "samples come in order");
            x.push(sample.at.x.to_vec());
            s.push(sample.sensitivities.to_vec());
        })
        .expect("valid problem");
    (outcome, x, s)
}

/// Asserts that the outcome is a success, telling the status otherwise.
fn assert_success(outcome: &Outcome) {
    assert!(outcome.status.is_success(), "{}: {:?}", outcome.status, outcome.statistics);
}
