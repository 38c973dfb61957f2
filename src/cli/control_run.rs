//! Carries a task out in closed loop: every planner, every episode, each from its own seed.
//!
//! **Invariant.** An episode is made anew from its seed, so that nothing depends on which thread it runs on or what ran
//! before; only the seconds that planning took do.

use super::failure::Failure;
use super::interrupt;
use super::progress::Progress;
use crate::control::assemble::Assembly;
use crate::control::closed_loop::{ClosedLoop, Ending, Trace};
use crate::control::controller::{Belief, LoopOptions, Reads};
use crate::control::estimate::SystemSpace;
use crate::control::filters::{self, Estimand, FilterError};
use crate::control::planners::{self, PlannerError, PlannerKind};
use crate::control::plant::{Drawn, Plant, PlantFunctions, step_options};
use crate::control::sampling::SamplingError;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::FlatTask;
use crate::hir::settings::Settings;
use crate::hir::stop::{Counts, Stop};
use crate::integrate::ensemble::in_order;
use crate::source::Span;
use crate::system::{At, System};
use std::time::Instant;

/// Plans of an episode whose predictions are drawn, about.
const DRAWN_PLANS: usize = 10;

/// A task that is ready to be carried out.
pub struct Loops {
    /// The study, or the task where there is none.
    pub name: String,
    /// What it says of itself.
    pub doc: String,
    /// The task on the plant's model.
    pub plant: Assembly,
    /// What the plant evaluates.
    pub functions: PlantFunctions,
    /// What is drawn for each episode.
    pub drawn: Vec<Drawn>,
    /// Within which share of its value everything else is drawn.
    pub spread: Option<f64>,
    /// In the order asked for.
    pub planners: Vec<Entry>,
    /// What estimates the state.
    pub filter: Option<Settings>,
    /// Parameters that are estimated beside the state.
    pub estimands: Vec<Estimand>,
    /// Disturbances that the controller does not know.
    pub hidden: Vec<usize>,
    /// What stands between plant and controller, ...
    pub options: LoopOptions,
    /// ... as it is written.
    pub between: Settings,
    /// When the run ends for safety.
    pub stops: Vec<Stop>,
    /// How many episodes each planner runs.
    pub n_episodes: usize,
    /// Of the first episode.
    pub seed: u64,
}

/// A planner with the task as it believes it.
pub struct Entry {
    /// Which.
    pub kind: PlannerKind,
    /// Its settings.
    pub settings: Settings,
    /// Where it is named.
    pub span: Span,
    /// The task on the believed model.
    pub assembly: Assembly,
    /// Held definitions as the controller computes them.
    pub functions: PlantFunctions,
    /// Steps ahead.
    pub horizon: usize,
}

/// An episode that was run.
pub struct Episode {
    /// Its number.
    pub number: usize,
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub trace: Trace,
}

/// Why a run ended before its last episode.
#[derive(Debug, Clone)]
pub struct Halt {
    /// The rule, as written.
    pub rule: String,
    /// Which planner, ...
    pub planner: &'static str,
    /// ... episode ...
    pub episode: usize,
    /// ... and step it held after.
    pub step: usize,
}

/// What stands in the way of a run, episode by episode.
pub struct Watch<'a> {
    /// Told of each episode that was run.
    pub progress: &'a Progress,
    /// Episodes so far, of all planners.
    pub n_done: usize,
    /// Keeps each episode that is finished.
    pub keep: &'a mut (dyn FnMut(&Episode) -> Result<(), Failure> + Send),
}

impl Loops {
    /// Runs the episodes of a planner behind those that are `kept`, until an interrupt is asked for or a `stop` holds. The
    /// predictions of the first are kept. An episode that was interrupted stands for itself where there is no other.
    ///
    /// # Errors
    /// Why the planner or the filter cannot be made, or an episode not be kept.
    pub fn run(
        &self,
        entry: &Entry,
        kept: Vec<Episode>,
        watch: &mut Watch<'_>,
    ) -> Result<(Vec<Episode>, Option<Halt>), Failure> {
        let mut so_far = SoFar { loops: self, entry, counts: Counts::default(), halt: None, list: Vec::new() };
        watch.n_done += kept.len();
        if !kept.into_iter().all(|episode| so_far.take(episode)) {
            return Ok((so_far.list, so_far.halt));
        }
        let one = |number: usize| -> Result<Option<Episode>, Failure> {
            if interrupt::is_asked() {
                return Ok(None);
            }
            let seed = self.seed.wrapping_add(number as u64);
            Ok(Some(Episode { number, seed, trace: self.episode(entry, number, seed)? }))
        };
        let first = so_far.list.len();
        let mut trouble = None;
        let mut deliver = |_: usize, found: Result<Option<Episode>, Failure>| match found {
            Ok(None) => false,
            Ok(Some(episode)) if episode.trace.ending == Ending::Interrupted => {
                if so_far.list.is_empty() {
                    so_far.list.push(episode);
                }
                false
            }
            Ok(Some(episode)) => {
                if let Err(failure) = (watch.keep)(&episode) {
                    trouble = Some(failure);
                    return false;
                }
                watch.n_done += 1;
                watch.progress.update(watch.n_done, entry.kind.name());
                so_far.take(episode)
            }
            Err(failure) => {
                trouble = Some(failure);
                false
            }
        };
        match self.n_episodes - first.min(self.n_episodes) {
            // All threads are the planner's.
            1 => {
                deliver(0, one(first));
            }
            n => {
                in_order(n, || (), |(), piece| one(first + piece), deliver);
            }
        }
        trouble.map_or(Ok((so_far.list, so_far.halt)), Err)
    }

    fn episode(&self, entry: &Entry, number: usize, seed: u64) -> Result<Trace, Failure> {
        let task = self.plant.task();
        let believed = entry.assembly.task();
        let refused = |error: String| refused((entry.kind, entry.span), believed, &error);
        // Several episodes share the threads among them.
        let n_threads = if self.n_episodes == 1 { rayon::current_num_threads() } else { 1 };
        let planner = planners::make(entry.kind, &entry.assembly, &entry.settings, n_threads)
            .map_err(|error| refused(in_words(believed, &error)))?;
        let plant = Plant::new(task, self.plant.kernels(), &self.functions, self.drawn.clone())
            .map_err(|error| refused(error.to_string()))?;
        let plant = match self.spread {
            Some(share) => plant.vary(share),
            None => plant,
        };
        let kernels = entry.assembly.kernels();
        let parameters = entry.assembly.parameters();
        let still = vec![0.0; kernels.dims().n_states];
        let options = step_options(entry.assembly.task());
        let space = SystemSpace::new(kernels, options, &parameters, Vec::new(), Vec::new(), still)
            .map_err(|error| refused(error.to_string()))?;
        let estimator = match &self.filter {
            Some(settings) => Some(
                filters::make(settings, &entry.assembly, &self.estimands)
                    .map_err(|error| no_filter(settings, entry.span, &error))?,
            ),
            None => None,
        };
        let belief = Belief { space: Box::new(space), estimator, holds: entry.functions.holds.as_ref(), parameters };
        let reads = self.filter.as_ref().map_or(Reads::Measured, filters::reads);
        let options =
            LoopOptions { preview: entry.horizon + 1, hidden: self.hidden.clone(), reads, ..self.options.clone() };
        let mut closed = ClosedLoop::new(plant, planner, belief, options);
        let begun = Instant::now();
        let keep_every = if number == 0 { (task.n_steps / DRAWN_PLANS).max(1) } else { 0 };
        let mut clock = || begun.elapsed().as_secs_f64();
        Ok(closed.run(seed, &mut clock, keep_every, &mut |_| !interrupt::is_asked()))
    }
}

/// What a planner has against the task, with the task's own names.
pub fn in_words(task: &FlatTask, error: &PlannerError) -> String {
    let input = |k: usize| task.model.inputs.get(k).map_or(String::new(), |input| input.quantity.name.clone());
    match error {
        PlannerError::Sampling(SamplingError::Unbounded(k)) => {
            format!("`{}` has no limits on both sides to draw between", input(*k))
        }
        PlannerError::Sampling(SamplingError::Contradictory(k)) => {
            format!("the lower limit of `{}` is above the upper one", input(*k))
        }
        PlannerError::Sampling(other) => other.to_string(),
        PlannerError::Assemble(other) => other.to_string(),
        PlannerError::Ddp(other) => other.to_string(),
        PlannerError::Task(text) => text.clone(),
    }
}

/// The episodes of a planner up to now.
struct SoFar<'a> {
    loops: &'a Loops,
    entry: &'a Entry,
    counts: Counts,
    halt: Option<Halt>,
    list: Vec<Episode>,
}

impl SoFar<'_> {
    /// Counts the next episode in; false where a `stop` held in it, and its rest is cut off.
    fn take(&mut self, mut episode: Episode) -> bool {
        let stops = &self.loops.stops;
        let holds = |counts: &Counts| stops.iter().any(|stop| stop.holds(counts));
        let is_stopped = episode.trace.count(self.loops.plant.task(), &mut self.counts, &holds);
        if is_stopped && let Some(stop) = stops.iter().find(|stop| stop.holds(&self.counts)) {
            self.halt = Some(Halt {
                rule: stop.text.clone(),
                planner: self.entry.kind.name(),
                episode: episode.number,
                step: episode.trace.moments.len().saturating_sub(1),
            });
        }
        self.list.push(episode);
        !is_stopped
    }
}

/// E0602 at the planner's name.
pub fn refused((kind, span): (PlannerKind, Span), task: &FlatTask, why: &str) -> Failure {
    let mut list = Diagnostics::default();
    let title = format!("`{}` cannot plan `{}`: {why}", kind.name(), task.name);
    list.push(Diagnostic::new(Code("E0602"), span, title).at("asked for here"));
    Failure::from_diagnostics(list)
}

/// E0409 where nothing is measured, E0901 for a filter that is not there, at its name.
fn no_filter(settings: &Settings, span: Span, error: &FilterError) -> Failure {
    let span = settings.method.as_ref().map_or(span, |(_, span)| *span);
    let (code, help) = match error {
        FilterError::Unknown(_) => {
            ("E0901", "use `ekf`, `ukf`, `enkf`, `particle`, `mhe` or `replace`, or none where the state is seen")
        }
        FilterError::NotEstimated(_) => ("E0602", "`ekf`, `ukf`, `enkf`, `particle` and `mhe` estimate parameters too"),
        FilterError::NothingMeasured | FilterError::NoNoise(_) => {
            ("E0409", "write for example `observe y = x ~ Normal(sd = 0.1)` in the model")
        }
        FilterError::NoReading => ("E0409", "name in `sense` what is measured of single states"),
        FilterError::Compile(_) => ("E0707", "no machine code could be made for what the task senses"),
        FilterError::Estimate(_) => ("E0602", "see `docs/control.md` for the settings of filters"),
    };
    let mut list = Diagnostics::default();
    let title = format!("there is nothing to estimate the state with: {error}");
    list.push(Diagnostic::new(Code(code), span, title).at("asked for here").help(help));
    Failure::from_diagnostics(list)
}

/// The terms of the cost that have no finite value at a step of an episode, as they are written; of a step that could not
/// be planned, at the state the controller took the plant to be in.
pub fn faulty_terms(entry: &Entry, trace: &Trace, k: usize) -> Vec<String> {
    let task = entry.assembly.task();
    let kernels = entry.assembly.kernels();
    let terms: Vec<_> = task.costs.iter().chain(&task.terminal).collect();
    let nodes: Vec<_> = terms.iter().map(|term| term.node).collect();
    let dims = kernels.dims();
    let row = |list: &[f64], n: usize| list.get(k * n..(k + 1) * n).map(<[f64]>::to_vec);
    let (Some(x), Some(u)) = (row(&trace.believed, dims.n_states), row(&trace.inputs, dims.n_inputs)) else {
        return Vec::new();
    };
    let d: Vec<f64> = task.model.disturbances.iter().map(|disturbance| disturbance.value).collect();
    let Ok(function) = kernels.compile_nodes(&nodes) else { return Vec::new() };
    let mut values = vec![0.0; nodes.len()];
    let at = At { t: trace.moments[k].time, x: &x, u: &u, d: &d, p: &entry.assembly.parameters() };
    crate::system::Function::call(&function, at, &mut kernels.work(), &mut values);
    let mut found: Vec<String> = Vec::new();
    for (term, value) in terms.iter().zip(&values) {
        if !value.is_finite() && !found.contains(&term.text) {
            found.push(term.text.clone());
        }
    }
    found
}
