//! Minimizes a fit's objective from many points in parallel and keeps the story of every start.
//!
//! Invariant: a start's record depends on the problem, the settings and its index alone, never on threads or on other
//! starts; so a run may be stopped and resumed with the records that were finished, and ends with the same bytes. A
//! failure is a record too: its objective is +∞ and its stop reason says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::optimize::trust_region::Side;
use crate::optimize::{Options, StopReason, minimize};

use super::experiment::CalibrateError;
use super::likelihood::{Evaluator, Problem};
use super::settings::FitSettings;

/// The story of one start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartRecord {
    /// Its number, from 0.
    pub index: usize,
    /// Where it began, on the search scale.
    pub start: Vec<f64>,
    /// Where it ended, on the search scale.
    pub theta: Vec<f64>,
    /// Where it ended, in declared units.
    pub values: Vec<f64>,
    /// The objective there, +∞ for a failed start (`null` in JSON).
    #[serde(serialize_with = "write_infinite", deserialize_with = "read_infinite")]
    pub objective: f64,
    /// Why it stopped.
    pub stop: StopReason,
    /// Largest component of the projected gradient, in units of [`super::Parameter::search_size`].
    pub gradient_norm: f64,
    /// For each parameter, the bound it ended on.
    pub at_bounds: Vec<Option<Side>>,
    /// Iterations.
    pub n_iterations: usize,
    /// Evaluations of the objective.
    pub n_evaluations: usize,
    /// Evaluations that failed.
    pub n_failures: usize,
    /// Objective after each accepted step, the start first.
    pub history: Vec<f64>,
}

fn write_infinite<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.is_finite().then_some(*value).serialize(serializer)
}

fn read_infinite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

/// Follows a run. Both calls come from the thread that works on the start, so that what lies between them is the
/// start's time; the order of starts is that of finishing.
pub trait Watch: Sync {
    /// A start begins.
    fn started(&self, _index: usize) {}

    /// A start has finished. Not called for starts that an interrupt ended.
    fn finished(&self, _record: &StartRecord) {}
}

impl Watch for () {}

/// All starts of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiStart {
    /// Finished starts, by index.
    pub starts: Vec<StartRecord>,
    /// Positions in `starts` by ascending objective, equal ones by index: the waterfall.
    pub ranking: Vec<usize>,
    /// False where an interrupt left starts undone.
    pub is_complete: bool,
}

impl MultiStart {
    /// The finished start with the least objective; `None` where every start failed.
    pub fn best(&self) -> Option<&StartRecord> {
        self.ranking.first().map(|&i| &self.starts[i]).filter(|record| record.objective.is_finite())
    }

    /// Starts whose objective is within `tolerance` of the best.
    pub fn n_at_best(&self, tolerance: f64) -> usize {
        let best = self.best().map_or(f64::INFINITY, |b| b.objective);
        self.starts.iter().filter(|s| s.objective.is_finite() && s.objective <= best + tolerance).count()
    }
}

/// The point on the search scale from which start `index` begins.
///
/// # Errors
/// Where a parameter has an open bound and no prior to draw from.
pub fn start_point(problem: &Problem, settings: &FitSettings, index: usize) -> Result<Vec<f64>, CalibrateError> {
    if settings.nominal && index == 0 {
        return Ok(problem.nominal());
    }
    let ranges: Result<Vec<_>, _> = problem
        .parameters()
        .iter()
        .map(|p| p.start_range().ok_or_else(|| CalibrateError::OpenBounds { name: p.name.clone() }))
        .collect();
    Ok(settings.sampling.point(settings.seed, index as u64, &ranges?))
}

/// Runs all starts that are not among `finished` on the current rayon pool and returns all of them.
///
/// `finished` are records of an earlier run with the same problem and settings; others are ignored where their index
/// lies beyond `settings.starts`. When `interrupt` is raised, starts at work are dropped and the rest is not begun.
///
/// # Errors
/// Mistakes in the description of the problem; never a failed start.
pub fn run(
    problem: &Problem,
    settings: &FitSettings,
    finished: Vec<StartRecord>,
    interrupt: &Arc<AtomicBool>,
    watch: &dyn Watch,
) -> Result<MultiStart, CalibrateError> {
    let mut starts: Vec<Option<StartRecord>> = vec![None; settings.starts];
    for record in finished {
        let index = record.index;
        if let Some(slot) = starts.get_mut(index) {
            *slot = Some(record);
        }
    }
    let points = (0..settings.starts)
        .filter(|&i| starts[i].is_none())
        .map(|i| Ok((i, start_point(problem, settings, i)?)))
        .collect::<Result<Vec<_>, CalibrateError>>()?;
    // Threads that would have no start of their own carry sensitivities for the others.
    let n_threads = rayon::current_num_threads() / points.len().max(1);
    let evaluator = || problem.evaluator(Some(interrupt.clone()))?.on_threads(n_threads);
    let records: Vec<Option<StartRecord>> = points
        .into_par_iter()
        .with_max_len(1)
        .map_init(evaluator, |evaluator, (index, start)| {
            if interrupt.load(Ordering::Relaxed) {
                return None;
            }
            watch.started(index);
            // The problem was checked by building one evaluator; a failure here would be the same again.
            let record = run_start(problem, settings, evaluator.as_mut().ok()?, index, start, interrupt)?;
            watch.finished(&record);
            Some(record)
        })
        .collect();
    for record in records.into_iter().flatten() {
        let index = record.index;
        starts[index] = Some(record);
    }
    let is_complete = starts.iter().all(Option::is_some);
    let starts: Vec<StartRecord> = starts.into_iter().flatten().collect();
    let mut ranking: Vec<usize> = (0..starts.len()).collect();
    ranking.sort_by(|&a, &b| starts[a].objective.total_cmp(&starts[b].objective).then(a.cmp(&b)));
    Ok(MultiStart { starts, ranking, is_complete })
}

/// One start; `None` where it was interrupted.
fn run_start(
    problem: &Problem,
    settings: &FitSettings,
    evaluator: &mut Evaluator<'_>,
    index: usize,
    start: Vec<f64>,
    interrupt: &AtomicBool,
) -> Option<StartRecord> {
    let parameters = problem.parameters();
    let (low, high): (Vec<f64>, Vec<f64>) = parameters.iter().map(|p| p.search_bounds()).unzip();
    let scale: Vec<f64> = parameters.iter().map(|p| p.search_size()).collect();
    let options = Options {
        max_iterations: settings.max_iterations,
        gradient_tolerance: settings.tolerance.sqrt(),
        objective_tolerance: settings.tolerance,
        step_tolerance: settings.tolerance,
        ..Options::default()
    };
    let minimum = minimize(evaluator, &low, &high, &scale, &start, &options, interrupt);
    if interrupt.load(Ordering::Relaxed) {
        return None;
    }
    Some(StartRecord {
        index,
        start,
        values: problem.values(&minimum.theta),
        theta: minimum.theta,
        objective: minimum.local.value,
        stop: minimum.stop,
        gradient_norm: minimum.gradient_norm,
        at_bounds: minimum.at_bounds,
        n_iterations: minimum.n_iterations,
        n_evaluations: minimum.n_evaluations,
        n_failures: minimum.n_failures,
        history: minimum.history,
    })
}
