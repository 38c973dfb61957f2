//! What follows where Newton's iteration fails: pseudo-transient continuation, then plain integration.
//!
//! Kelley and Keyes 1998, Convergence analysis of pseudo-transient continuation, SIAM J. Numer. Anal. 35:508: steps of
//! the linearly implicit Euler method whose length grows as the rates fall (switched evolution relaxation), so that
//! they follow the solution at first and are Newton's corrections at the end. Integration follows it to any length, by
//! Rodas5P over horizons each ten times as long as the one before; both end with Newton's corrections where those move
//! the state by little.

use super::Reason;
use super::newton::newton;
use super::search::Search;
use crate::integrate::{Forcing, Integrator, Method, Options, Problem, ProblemError, Sample, Start, Status, Tolerance};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Steps of the continuation.
const MOST_STEPS: u64 = 500;
/// A step grows or shrinks by no more than this.
const LARGEST: f64 = 10.0;
/// The first step changes no state by more than this part of its size.
const FIRST: f64 = 0.1;
/// From this imbalance on Newton's corrections are tried.
const NEAR: f64 = 1e-3;
/// Such corrections may move no state by more than this part of its size.
const CLOSE: f64 = 0.1;
/// An integration that Newton cannot finish has settled at this imbalance ...
const SETTLED: f64 = 1e-8;
/// ... and where the last horizon, nine tenths of all time, has moved no state by more than this part of its size. What
/// decays as 1/t, along a degenerate direction, is then as near to its end.
const RESTING: f64 = 1e-9;
/// Integration steps, over all horizons.
const MOST_INTEGRATION_STEPS: u64 = 20_000;
/// Horizons.
const MOST_DECADES: usize = 40;

/// Newton's corrections from a point that is nearly steady; none where they lead away.
fn finish(search: &mut Search<'_>, x: &mut [f64]) -> bool {
    let mut end = x.to_vec();
    if newton(search, &mut end, 1.0, 30).is_err() {
        return false;
    }
    let moved: Vec<f64> = end.iter().zip(&*x).map(|(a, b)| a - b).collect();
    let is_close = search.norm(&moved, x) <= CLOSE;
    if is_close {
        x.copy_from_slice(&end);
    }
    is_close
}

/// Continues from `x`, which becomes the steady state; returns the number of steps.
///
/// # Errors
/// Why it did not converge; `x` is then where it stood.
pub(super) fn continuation(search: &mut Search<'_>, x: &mut [f64]) -> Result<u64, Reason> {
    let n = x.len();
    let [mut d, mut trial, mut next] = std::array::from_fn(|_| vec![0.0; n]);
    search.residual(x, &mut d)?;
    let fastest = search.norm(&search.f, x);
    let mut length = FIRST / fastest.max(f64::MIN_POSITIVE);
    let shortest = 1e-12 * length;
    let mut tried = NEAR;
    for k in 0..MOST_STEPS {
        search.residual(x, &mut d)?;
        let rate = largest(&d);
        let is_good = search.linearize(x, 1.0 / length).is_ok();
        search.matrix.solve(&mut d);
        let is_cut = search.step(x, 1.0, &d, &mut trial);
        let reached = search.residual(&trial, &mut next);
        if !is_good || is_cut || reached.is_err() || !trial.iter().all(|v| v.is_finite()) {
            length *= 0.25;
            if length < shortest {
                return Err(reached.err().unwrap_or(Reason::Damped));
            }
            continue;
        }
        x.copy_from_slice(&trial);
        let new_rate = largest(&next);
        length *= (rate / new_rate.max(f64::MIN_POSITIVE)).clamp(1.0 / LARGEST, LARGEST);
        let imbalance = search.imbalance(x).0;
        if imbalance <= tried {
            if finish(search, x) {
                return Ok(k + 1);
            }
            tried = 0.1 * imbalance;
        }
    }
    Err(Reason::Iterations)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |a: f64, v| a.max(v.abs()))
}

/// Integrates from `x`, which becomes the steady state; returns the number of steps and whether Newton's corrections
/// ended it.
///
/// # Errors
/// Why it did not settle; `x` is then where it stood.
pub(super) fn relaxation(
    search: &mut Search<'_>,
    x: &mut [f64],
    is_finished_by_newton: bool,
    interrupt: Option<&Arc<AtomicBool>>,
) -> Result<(u64, bool), Reason> {
    let mut b = vec![0.0; x.len()];
    search.residual(x, &mut b)?;
    let mut horizon = 1.0 / search.norm(&search.f, x).max(f64::MIN_POSITIVE);
    let mut steps = 0;
    for _ in 0..MOST_DECADES {
        let options = Options {
            method: Method::Rodas5p,
            rtol: 1e-8,
            atol: Tolerance::PerState(search.scale.iter().map(|s| 1e-12 * s).collect()),
            max_steps: MOST_INTEGRATION_STEPS - steps,
            interrupt: interrupt.cloned(),
            ..Options::default()
        };
        let problem = Problem {
            t0: 0.0,
            t1: horizon,
            start: Start::Given(x),
            p: search.p,
            forcing: &Forcing::default(),
            directions: &[],
            resumes: false,
        };
        let reached = Integrator::new(&search.held, options).and_then(|mut integrator| {
            let outcome = integrator.solve(&problem, &[], &mut |_: Sample<'_>| {})?;
            Ok((outcome, integrator.state().to_vec()))
        });
        let (outcome, state) = reached.map_err(|_: ProblemError| Reason::NoTime)?;
        let moved: Vec<f64> = state.iter().zip(&*x).map(|(a, b)| a - b).collect();
        let moved = search.norm(&moved, x);
        if state.iter().all(|v| v.is_finite()) {
            x.copy_from_slice(&state);
        }
        steps += outcome.statistics.steps + outcome.statistics.rejected;
        let imbalance = search.imbalance(x).0;
        if is_finished_by_newton && imbalance <= NEAR && finish(search, x) {
            return Ok((steps, true));
        }
        if imbalance <= SETTLED && moved <= RESTING && outcome.status.is_success() {
            return Ok((steps, false));
        }
        match outcome.status {
            Status::Success => {}
            Status::Interrupted { .. } => return Err(Reason::Interrupted),
            Status::StepLimit { .. } => return Err(Reason::Unsettled { time: outcome.t }),
            Status::NonFinite { state, .. } => return Err(Reason::NonFinite { state }),
            Status::StepSizeUnderflow { .. }
            | Status::NoConvergence { .. }
            | Status::EventStorm { .. }
            | Status::EventConflict { .. }
            | Status::NegativeCount { .. }
            | Status::BadRate { .. } => {
                return Err(Reason::Underflow { time: outcome.t });
            }
        }
        if interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Reason::Interrupted);
        }
        if steps >= MOST_INTEGRATION_STEPS || horizon > 1e250 {
            break;
        }
        horizon *= 10.0;
    }
    Err(Reason::Unsettled { time: horizon })
}
