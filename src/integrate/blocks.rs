//! Sensitivities along many directions, divided among threads: each carries the state and a block of the directions.
//!
//! Every thread makes the same steps. What decides about one, the error and in BDF the convergence of the corrector and the
//! choice of the order, is the largest of numbers over the state and the directions, and the threads meet for it
//! ([`super::meeting`]): one meeting a step or some. All else about one direction does not know the others. So a solution
//! and its sensitivities are **the same bits as those of [`Integrator::solve`], whatever the number of blocks**, under the
//! same control of errors; events are met at the same instants. What is done more than once is the work on the state:
//! right-hand side, Jacobians, factorisation.
//!
//! Rejected: blocks with steps of their own, which need no meeting. Their states differ within the tolerance, so that a
//! result would depend on how directions are divided, and every number of threads would have to pay for the same division.

use std::ops::Range;
use std::sync::Arc;

use super::meeting::Meeting;
use super::options::Options;
use super::problem::{Observer, Outcome, Problem, ProblemError, Statistics, Status, check_length};
use super::solve::Integrator;
use crate::system::System;

/// Linear solvers take directions in groups of so many; a block begins where a group does, so that a direction is
/// treated alike in all divisions.
const GROUP: usize = 4;

/// The fewest directions of a block.
const FEWEST: usize = 2 * GROUP;

/// Numbers, states times directions, that a block should have: at this size a thread of two still has some 0.6 of the work
/// of one (benches/gradients.rs, the chain with 100 rates). Smaller blocks were not measured.
const SHARE: usize = 2500;

/// Integrators of one system that carry blocks of directions, with all buffers; reusable over many solves.
pub struct Blocks<'s> {
    integrators: Vec<Integrator<'s>>,
}

/// Breaks the meetings off unless the thread has succeeded, also where it panics.
struct Leaving<'a> {
    meeting: &'a Meeting,
    is_success: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.is_success {
            self.meeting.break_off();
        }
    }
}

impl<'s> Blocks<'s> {
    /// Prepares for a system and `n_blocks` blocks, at least one.
    ///
    /// # Errors
    /// As [`Integrator::new`].
    pub fn new(system: &'s dyn System, options: &Options, n_blocks: usize) -> Result<Self, ProblemError> {
        let integrators = (0..n_blocks.max(1)).map(|_| Integrator::new(system, options.clone()));
        Ok(Blocks { integrators: integrators.collect::<Result<_, _>>()? })
    }

    /// The number of blocks, at most `n_threads`, in which `n_directions` of a system with `n_states` are worth carrying.
    pub fn advisable(n_states: usize, n_directions: usize, n_threads: usize) -> usize {
        let by_size = n_states * n_directions / SHARE;
        n_threads.min(by_size).min(n_directions / FEWEST).max(1)
    }

    /// The directions of each block, where there are `n_directions`: at most as many ranges as blocks.
    pub fn ranges(&self, n_directions: usize) -> Vec<Range<usize>> {
        let n_groups = n_directions.div_ceil(GROUP);
        let n_blocks = self.integrators.len().min(n_directions / FEWEST).max(1);
        let begin = |block: usize| (n_groups * block / n_blocks * GROUP).min(n_directions);
        (0..n_blocks).map(|block| begin(block)..begin(block + 1)).collect()
    }

    /// Integrates `problem` as [`Integrator::solve`] does, one thread to a block. The observer of a block sees every sample
    /// and every event, with the sensitivities along the block's directions: those of [`Blocks::ranges`], as many as there
    /// are `observers`. The first block is carried by the calling thread.
    ///
    /// The work done is that of all blocks together, the steps are those that each has made.
    ///
    /// # Errors
    /// As [`Integrator::solve`], and where the number of observers is not that of the blocks or the machine has no thread
    /// left.
    pub fn solve<O: Observer + Send>(
        &mut self,
        problem: &Problem<'_>,
        samples: &[f64],
        observers: &mut [O],
    ) -> Result<Outcome, ProblemError> {
        let ranges = self.ranges(problem.directions.len());
        check_length("the list of observers", observers.len(), ranges.len())?;
        let meeting = Arc::new(Meeting::new(ranges.len()));
        let is_shared = ranges.len() > 1;
        let blocks = self.integrators.iter_mut().zip(observers).zip(ranges);
        let calls = blocks.map(|((integrator, observer), range)| {
            integrator.norm.meeting = is_shared.then(|| Arc::clone(&meeting));
            let (meeting, directions) = (&*meeting, &problem.directions[range]);
            move || {
                let mut leaving = Leaving { meeting, is_success: false };
                let result = integrator.solve(&Problem { directions, ..*problem }, samples, observer);
                leaving.is_success = result.as_ref().is_ok_and(|outcome| outcome.status.is_success());
                result
            }
        });
        let mut calls: Vec<_> = calls.collect();
        let mut first = calls.remove(0);
        let results = std::thread::scope(|scope| {
            let mut threads = Vec::with_capacity(calls.len());
            for call in calls {
                match std::thread::Builder::new().spawn_scoped(scope, call) {
                    Ok(thread) => threads.push(thread),
                    Err(_) => {
                        meeting.break_off();
                        return vec![Err(ProblemError::Unsuited("each block of directions needs a thread"))];
                    }
                }
            }
            let mut results = vec![first()];
            for thread in threads {
                match thread.join() {
                    Ok(result) => results.push(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        });
        common(results)
    }
}

/// What the ends of all blocks are together.
fn common(results: Vec<Result<Outcome, ProblemError>>) -> Result<Outcome, ProblemError> {
    let outcomes = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut outcomes = outcomes.into_iter();
    let Some(mut all) = outcomes.next() else {
        return Err(ProblemError::Unsuited("there is no block of directions"));
    };
    for other in outcomes {
        if explains(&other.status) > explains(&all.status) {
            (all.status, all.t) = (other.status, other.t);
        }
        all.statistics = together(all.statistics, other.statistics);
    }
    Ok(all)
}

/// How much a status says of why a run has ended: a block is interrupted where another one fails, and which state a run
/// breaks down at stands in one block, while the others only see that no step is short enough.
fn explains(status: &Status) -> u8 {
    match status {
        Status::Success => 0,
        Status::Interrupted { .. } => 1,
        Status::StepSizeUnderflow { .. } | Status::StepLimit { .. } => 2,
        Status::NonFinite { .. }
        | Status::NoConvergence { .. }
        | Status::EventStorm { .. }
        | Status::EventConflict { .. }
        | Status::NegativeCount { .. }
        | Status::BadRate { .. } => 3,
    }
}

/// The work of two blocks on the same steps.
fn together(first: Statistics, other: Statistics) -> Statistics {
    Statistics {
        rhs: first.rhs + other.rhs,
        jacobians: first.jacobians + other.jacobians,
        factorizations: first.factorizations + other.factorizations,
        solves: first.solves + other.solves,
        ..first
    }
}
