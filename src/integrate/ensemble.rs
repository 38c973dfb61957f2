//! Many members of one ensemble: the same system with other parameters or start values, on all threads.
//!
//! [`solve`] hands the members out in blocks, integrates several of a block in lockstep where that can be done
//! ([`Engine::Lanes`]), and delivers the results in the order of the members. Memory depends on the threads and on the
//! size of one result, not on the number of members.
//!
//! Lockstep is by Tsit5 or Rodas5P with one step length for each member, for autonomous systems without events whose inputs
//! and disturbances are constant; anything else is integrated one member at a time. By Tsit5 a member has the bits that it
//! has by itself; by Rodas5P, whose linear systems are eliminated in another order, it agrees to the tolerance. With
//! [`Method::Auto`] members that turn out to be stiff are started over by themselves, so that bits are the same too.
//!
//! **Invariant.** A member's result depends on the member and the options only: not on its neighbors, the number of
//! lanes, the threads, or where the range begins.

mod batch;
mod explicit;
mod formula;
mod order;
mod rosenbrock;
mod single;

use std::ops::Range;

use super::forcing::Forcing;
use super::formula::begins_tight;
use super::options::{Method, Options};
use super::problem::{Outcome, ProblemError};
use super::solve::Integrator;
use crate::system::{LaneSystem, System};
use batch::Batch;
pub use order::in_order;
use single::Single;

/// Members of one block, at most. Lanes run idle at the end of a block, which this makes a few steps in a hundred; results
/// wait for their turn by blocks, which it keeps small.
const BLOCK: usize = 128;
/// Members of one block, at least, where there are as many: those of the most lanes.
const SMALLEST_BLOCK: usize = 8;
/// Numbers of a block's samples, at most, where that leaves it [`SMALLEST_BLOCK`] members.
const BLOCK_NUMBERS: usize = 1 << 18;
/// Blocks for each thread, where there are enough members: at the end no thread is idle for long.
const BLOCKS_PER_THREAD: usize = 8;

/// Members of one block of `count` with so many numbers each. No result depends on it.
fn block_of(count: usize, numbers: usize) -> usize {
    let fair = count.div_ceil(BLOCKS_PER_THREAD * rayon::current_num_threads());
    (BLOCK_NUMBERS / numbers.max(1)).min(fair).clamp(SMALLEST_BLOCK, BLOCK)
}

/// What all members have in common.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Start, in the model's time unit.
    pub t0: f64,
    /// End, not before `t0`.
    pub t1: f64,
    /// Ascending times at which the solution is wanted.
    pub samples: &'a [f64],
    /// Inputs and disturbances over time.
    pub forcing: &'a Forcing,
    /// Settings of the integration.
    pub options: &'a Options,
}

/// The members by their number.
pub trait Members: Sync {
    /// `p: n_params` = the member's parameters, every one; `start` = its `(state, value)` that replace the model's.
    fn member(&self, idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>);

    /// `inputs` = the member's constant `(input, value)` that replace signals of [`Run::forcing`]; every member replaces
    /// the same ones. Default: none.
    fn inputs(&self, _idx: usize, inputs: &mut Vec<(usize, f64)>) {
        inputs.clear();
    }
}

/// A member that has been integrated.
#[derive(Debug, Clone, Copy)]
pub struct Solved<'a> {
    /// Its number.
    pub member: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Its parameters.
    pub p: &'a [f64],
    /// The requested times that were reached.
    pub times: &'a [f64],
    /// The states there, `n_states` for each time.
    pub states: &'a [f64],
    /// The state at the end of its integration, `n_states`.
    pub end: &'a [f64],
}

/// How members are integrated.
#[derive(Clone, Copy)]
pub enum Engine<'s> {
    /// One at a time.
    Single(&'s dyn System),
    /// As many at once as the system has lanes (2, 4 or 8) where [`is_lockstep`] says so; otherwise one at a time.
    Lanes(&'s dyn LaneSystem),
}

impl<'s> Engine<'s> {
    fn system(self) -> &'s dyn System {
        match self {
            Engine::Single(system) => system,
            Engine::Lanes(lanes) => lanes.single(),
        }
    }
}

/// True where members of this run can be integrated in lockstep: an autonomous system without events, constant inputs
/// and disturbances, and Tsit5, Rodas5P or the choice between them, with steps of their own.
pub fn is_lockstep(system: &dyn System, run: &Run<'_>) -> bool {
    let is_method = match run.options.method {
        Method::Auto => run.options.fixed_step.is_none() && !begins_tight(run.options),
        Method::Tsit5 | Method::Rodas5p => run.options.fixed_step.is_none(),
        Method::Dop853
        | Method::Bdf
        | Method::Euler
        | Method::Rk4
        | Method::ImplicitEuler
        | Method::Radau3
        | Method::Radau5 => false,
    };
    is_method && system.is_autonomous() && system.events().is_empty() && run.forcing.is_constant()
}

/// The buffers of one thread.
enum Worker<'s> {
    Single(Box<Single<'s>>),
    Two(Box<Batch<'s, 2>>),
    Four(Box<Batch<'s, 4>>),
    Eight(Box<Batch<'s, 8>>),
}

impl<'s> Worker<'s> {
    fn new(engine: Engine<'s>, run: &Run<'_>) -> Result<Self, ProblemError> {
        let integrator = || Integrator::new(engine.system(), run.options.clone());
        let in_lanes = match engine {
            Engine::Lanes(lanes) if is_lockstep(lanes.single(), run) => match lanes.width() {
                2 => Batch::new(lanes, integrator()?, run).map(|b| Worker::Two(Box::new(b))),
                4 => Batch::new(lanes, integrator()?, run).map(|b| Worker::Four(Box::new(b))),
                8 => Batch::new(lanes, integrator()?, run).map(|b| Worker::Eight(Box::new(b))),
                _ => None,
            },
            Engine::Lanes(_) | Engine::Single(_) => None,
        };
        match in_lanes {
            Some(worker) => Ok(worker),
            None => Ok(Worker::Single(Box::new(Single::new(integrator()?, run)))),
        }
    }

    fn solve(
        &mut self,
        run: &Run<'_>,
        members: &dyn Members,
        range: Range<usize>,
        take: &mut dyn FnMut(Solved<'_>),
    ) -> Result<(), ProblemError> {
        match self {
            Worker::Single(single) => range.into_iter().try_for_each(|member| single.solve(run, members, member, take)),
            Worker::Two(batch) => batch.solve(run, members, range, take),
            Worker::Four(batch) => batch.solve(run, members, range, take),
            Worker::Eight(batch) => batch.solve(run, members, range, take),
        }
    }
}

/// Integrates the members of `range` on the threads of the current pool.
///
/// `summarize` makes of each member what is to be kept, on the thread that integrated it; `deliver` gets that in the
/// order of the members, and returns false to refuse one and end there. A raised [`Options::interrupt`] ends early too: members that
/// did not reach their end are not delivered. Returns the end of the range that was delivered.
///
/// # Errors
/// [`ProblemError`] where the question itself is wrong; what was delivered before it was found stays delivered.
pub fn solve<T: Send>(
    engine: Engine<'_>,
    run: &Run<'_>,
    members: &dyn Members,
    range: Range<usize>,
    summarize: &(dyn Fn(Solved<'_>) -> T + Sync),
    deliver: &mut (dyn FnMut(usize, T) -> bool + Send),
) -> Result<usize, ProblemError> {
    let end = range.end.max(range.start);
    let count = end - range.start;
    let size = block_of(count, engine.system().dims().n_states.saturating_mul(run.samples.len()));
    let n_blocks = count.div_ceil(size);
    let mut delivered = range.start;
    let mut mistake = None;
    let work = |worker: &mut Result<Worker<'_>, ProblemError>, block: usize| -> Result<Vec<Option<T>>, ProblemError> {
        let first = range.start + block * size;
        let of_block = first..end.min(first + size);
        let mut results: Vec<Option<T>> = of_block.clone().map(|_| None).collect();
        let worker = worker.as_mut().map_err(|error| error.clone())?;
        worker.solve(run, members, of_block, &mut |solved| {
            let place = solved.member - first;
            let is_interrupted = matches!(solved.outcome.status, super::Status::Interrupted { .. });
            results[place] = if is_interrupted { None } else { Some(summarize(solved)) };
        })?;
        Ok(results)
    };
    let take = |_, results: Result<Vec<Option<T>>, ProblemError>| {
        let results = match results {
            Ok(results) => results,
            Err(error) => {
                mistake = Some(error);
                return false;
            }
        };
        for result in results {
            let Some(result) = result else { return false };
            if !deliver(delivered, result) {
                return false;
            }
            delivered += 1;
        }
        true
    };
    in_order(n_blocks, || Worker::new(engine, run), work, take);
    match mistake {
        Some(error) => Err(error),
        None => Ok(delivered),
    }
}
