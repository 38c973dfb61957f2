//! Carries out the runs of a simulation on all threads, and hands them on in their order.
//!
//! Runs of one system without events, whose inputs are constant, go several at once through
//! [`crate::integrate::ensemble`]; all others go one at a time ([`super::single_run`]). Each run is handed on and
//! forgotten, so that memory does not depend on how many there are.

use super::failure::Failure;
use super::paths::{Chance, Moments};
use super::recorder::Recorder;
use super::runs::{Run, Runs};
use super::sim_result::{Done, Ended, Layout, Shared};
use super::simulation::Plan;
use super::single_run::Worker;
use super::verdict::{self, MOST_WARNINGS};
use crate::diag::{Diagnostic, Diagnostics};
use crate::export::table::{Column, Table};
use crate::integrate::ensemble::{self, Engine, Members, Solved, in_order};
use crate::integrate::{Forcing, Signal};
use crate::jit::LaneKernels;
use crate::system::At;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Lanes of an ensemble; no result depends on it (chosen by benches/ensemble.rs).
const LANES: usize = 4;
/// Runs from which on the kernels of the lanes are worth compiling.
const FEWEST_IN_LANES: usize = 16;
/// States up to which they are: their code has no loops, and a full elimination is a list of n³/3 multiplications.
const MOST_STATES_IN_LANES: usize = 100;
/// Runs that one thread takes at a time, at most, where they go one by one, ...
const MOST_AT_A_TIME: usize = 32;
/// ... and numbers in the rows of these, at most.
const MOST_NUMBERS: usize = 1 << 18;
/// Paths whose moments one thread collects before they are joined, in order, with those of others.
const PATHS_PER_BLOCK: usize = 64;
/// Lines about steady starts, at most.
const MOST_STARTS: usize = 1000;

/// A simulation as far as it got.
pub struct Finished {
    /// Labels of the run, time, states, inputs, disturbances, lets, observables of the runs that are kept.
    pub table: Table,
    /// Number of label columns at the front.
    pub n_labels: usize,
    /// Runs that were carried out, ...
    pub n_runs: usize,
    /// ... and those of them with problems.
    pub n_failed: usize,
    /// Steps of all runs.
    pub steps: u64,
    /// How steady starts were found, a line each.
    pub starts: Vec<String>,
    /// What went wrong; rows up to there are in the table.
    pub problems: Diagnostics,
    /// States that left their range, safe sets that were left.
    pub warnings: Diagnostics,
    /// Warnings of that kind beyond the most that are kept.
    pub n_hidden: usize,
    /// True where Ctrl-C ended it.
    pub is_interrupted: bool,
}

impl Finished {
    /// Nothing yet.
    pub fn new(layout: &Layout) -> Finished {
        Finished {
            table: layout.table(),
            n_labels: layout.labels.len(),
            n_runs: 0,
            n_failed: 0,
            steps: 0,
            starts: Vec::new(),
            problems: Diagnostics::default(),
            warnings: Diagnostics::default(),
            n_hidden: 0,
            is_interrupted: false,
        }
    }

    /// Takes the next run in, of whose problems no more than `most` are kept.
    pub fn take(&mut self, layout: &Layout, done: Done, most: usize) {
        self.n_runs += 1;
        self.n_failed += usize::from(done.is_failed());
        self.steps += done.steps;
        self.is_interrupted |= done.is_interrupted;
        if let Some(line) = done.start.filter(|_| self.starts.len() < MOST_STARTS) {
            self.starts.push(line);
        }
        if let Some(columns) = &done.columns {
            layout.add(&mut self.table, &done.labels, columns);
        }
        push_some(&mut self.problems, done.problems, most);
        let n_kept = self.warnings.len();
        push_some(&mut self.warnings, done.warnings, MOST_WARNINGS);
        self.n_hidden += done.n_warnings - (self.warnings.len() - n_kept);
    }
}

fn push_some(list: &mut Diagnostics, more: Vec<Diagnostic>, most: usize) {
    for diagnostic in more {
        if list.len() < most {
            list.push(diagnostic);
        }
    }
}

/// Carries out the runs of `range` and gives each to `take`, in order, until it says no or an interrupt is asked for. An
/// interrupted run is not given, unless there is no other.
///
/// # Errors
/// A mistake in the plan that the integrator finds.
pub fn run(
    shared: Shared<'_>,
    range: Range<usize>,
    take: &mut (dyn FnMut(Done) -> bool + Send),
) -> Result<(), Failure> {
    match lanes(&shared)? {
        Some(lanes) => together(shared, &lanes, range, take),
        None => one_by_one(shared, range, take),
    }
}

/// The kernels of several runs at once, where these can go together. It does not depend on the range, so that a run that
/// is taken up again has the same bytes.
fn lanes<'a>(shared: &Shared<'a>) -> Result<Option<LaneKernels<'a>>, Failure> {
    let Shared { plan, kernels, .. } = *shared;
    let is_plain = plan.paths.is_none() && plan.steady.is_none();
    let is_small = kernels.model().states.len() <= MOST_STATES_IN_LANES;
    if !is_plain || !is_small || plan.runs.len() < FEWEST_IN_LANES || !ensemble::is_lockstep(kernels, &of(plan)) {
        return Ok(None);
    }
    let compiled = LaneKernels::compile(kernels, LANES);
    compiled.map(Some).map_err(|error| Failure::new("E0707", error.to_string()))
}

fn of(plan: &Plan) -> ensemble::Run<'_> {
    ensemble::Run {
        t0: plan.times.first().copied().unwrap_or(0.0),
        t1: plan.times.last().copied().unwrap_or(0.0),
        samples: &plan.times,
        forcing: &plan.forcing,
        options: &plan.options,
    }
}

struct Numbered<'a>(&'a Runs);

impl Members for Numbered<'_> {
    fn member(&self, idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>) {
        let mut run = Run::default();
        self.0.fill(idx, &mut run);
        p.copy_from_slice(&run.params);
        start.clone_from(&run.start);
    }

    fn inputs(&self, idx: usize, inputs: &mut Vec<(usize, f64)>) {
        inputs.clear();
        if self.0.swept_inputs().next().is_some() {
            let mut run = Run::default();
            self.0.fill(idx, &mut run);
            inputs.clone_from(&run.inputs);
        }
    }
}

/// What turns a solution into rows, beside it.
struct Desk<'a> {
    recorder: Recorder<'a>,
    run: Run,
    u: Vec<f64>,
    d: Vec<f64>,
}

fn together(
    shared: Shared<'_>,
    lanes: &LaneKernels<'_>,
    range: Range<usize>,
    take: &mut (dyn FnMut(Done) -> bool + Send),
) -> Result<(), Failure> {
    let plan = shared.plan;
    let Forcing { inputs, disturbances } = &plan.forcing;
    let values = |signals: &[Signal]| signals.iter().map(|signal| signal.value(0.0)).collect::<Vec<f64>>();
    // Threads take what they need from here and put it back.
    let desks: Mutex<Vec<Desk<'_>>> = Mutex::new(Vec::new());
    let open = || desks.lock().unwrap_or_else(PoisonError::into_inner);
    let summarize = |solved: Solved<'_>| {
        let free = open().pop();
        let mut desk = free.unwrap_or_else(|| Desk {
            recorder: shared.recorder(),
            run: Run::default(),
            u: values(inputs),
            d: values(disturbances),
        });
        let Desk { recorder, run, u, d } = &mut desk;
        plan.runs.fill(solved.member, run);
        for &(k, value) in &run.inputs {
            u[k] = value;
        }
        recorder.start(solved.member);
        let n = shared.kernels.model().states.len();
        for (row, &t) in solved.times.iter().enumerate() {
            recorder.add(At { t, x: &solved.states[row * n..(row + 1) * n], u, d, p: solved.p });
        }
        let ended = Ended { status: solved.outcome.status, statistics: solved.outcome.statistics, steady: None };
        let done = Done::new(&shared, solved.member, run, recorder, &ended);
        open().push(desk);
        done
    };
    let members = Numbered(&plan.runs);
    let mut deliver = |_: usize, done: Done| take(done);
    let solved = ensemble::solve(Engine::Lanes(lanes), &of(plan), &members, range, &summarize, &mut deliver);
    solved.map(|_| ()).map_err(|error| verdict::mistake(&error, shared.kernels.model()))
}

fn one_by_one(
    shared: Shared<'_>,
    range: Range<usize>,
    take: &mut (dyn FnMut(Done) -> bool + Send),
) -> Result<(), Failure> {
    let numbers = shared.plan.times.len().saturating_mul(shared.layout.names.len());
    let fair = range.len() / (8 * rayon::current_num_threads());
    let at_a_time = (MOST_NUMBERS / numbers.max(1)).min(fair).clamp(1, MOST_AT_A_TIME);
    let has_others = shared.plan.runs.len() > 1;
    let mut mistake = None;
    let work = |worker: &mut Result<Worker<'_>, Failure>, piece: usize| -> Result<Vec<Done>, Failure> {
        let worker = worker.as_mut().map_err(|failure| failure.clone())?;
        let first = range.start + piece * at_a_time;
        (first..range.end.min(first + at_a_time)).map(|idx| worker.carry_out(idx)).collect()
    };
    let deliver = |_: usize, piece: Result<Vec<Done>, Failure>| match piece {
        Ok(list) => list.into_iter().all(|done| !(has_others && done.is_interrupted) && take(done)),
        Err(failure) => {
            mistake = Some(failure);
            false
        }
    };
    in_order(range.len().div_ceil(at_a_time), || Worker::new(shared), work, deliver);
    mistake.map_or(Ok(()), Err)
}

/// Mean and variance over the paths of each run. Blocks of paths are joined in their order, so that the sums do not
/// depend on threads.
///
/// # Errors
/// A mistake in the plan that the integrator finds.
pub fn moments(shared: Shared<'_>) -> Result<Finished, Failure> {
    let Shared { plan, layout, .. } = shared;
    let mut finished = Finished::new(layout);
    let names = super::recorder::names(shared.kernels.model());
    // The last label is the number of the path.
    finished.n_labels = layout.labels.len().saturating_sub(1);
    finished.table.columns.truncate(finished.n_labels);
    let n_paths = plan.n_paths;
    for first in (0..plan.runs.len()).step_by(n_paths) {
        let block = |from: usize| -> Result<(Moments, Finished), Failure> {
            let mut worker = Worker::new(shared)?;
            let (mut moments, mut found) = (Moments::default(), Finished::new(layout));
            for idx in from..(from + PATHS_PER_BLOCK).min(first + n_paths) {
                let mut done = worker.carry_out(idx)?;
                if let Some(columns) = done.columns.take().filter(|_| done.is_complete) {
                    moments.add(&columns[1..]);
                }
                done.warnings.clear();
                done.n_warnings = 0;
                found.take(layout, done, MOST_WARNINGS);
                if found.is_interrupted {
                    break;
                }
            }
            Ok((moments, found))
        };
        let starts: Vec<usize> = (first..first + n_paths).step_by(PATHS_PER_BLOCK).collect();
        let blocks: Vec<Result<_, Failure>> = starts.into_par_iter().map(block).collect();
        let mut all = Moments::default();
        for done in blocks {
            let (moments, found) = done?;
            all.join(moments);
            finished.n_runs += found.n_runs;
            finished.n_failed += found.n_failed;
            finished.steps += found.steps;
            finished.is_interrupted |= found.is_interrupted;
            push_some(&mut finished.problems, found.problems.into_iter().collect(), MOST_WARNINGS);
        }
        let mut run = Run::default();
        plan.runs.fill(first, &mut run);
        let column =
            |(name, unit): &(String, String), values| Column { name: name.clone(), unit: unit.clone(), values };
        let fixed = layout.labels.iter().zip(&run.labels[..finished.n_labels]);
        let fixed = fixed.map(|(label, value)| column(label, vec![*value; plan.times.len()]));
        let columns = fixed.chain([column(&names[0], plan.times.clone())]);
        let columns = columns.chain(all.columns(&names[1..], plan.times.len()));
        if first == 0 {
            finished.table.columns = columns.collect();
        } else {
            for (into, from) in finished.table.columns.iter_mut().zip(columns) {
                into.values.extend(from.values);
            }
        }
    }
    Ok(finished)
}

/// What moves the paths of a plan, compiled.
///
/// # Errors
/// As [`Chance::compile`].
pub fn chance(plan: &Plan, kernels: &crate::jit::Kernels) -> Result<Option<Chance>, Failure> {
    plan.paths.as_ref().map(|options| Chance::compile(kernels, options)).transpose()
}
