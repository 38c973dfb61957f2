//! What every path shares: state, forcing, scheduled events, conditions that become true, requested times.
//!
//! A formula moves the state from one instant to the next; here is decided what happens at each. Conditions are looked at
//! after every jump or step, which for a pure jump process is exact: nothing else changes the state.

use super::super::forcing::Segment;
use super::super::problem::{Observer, Outcome, Problem, ProblemError, Sample, Start, Statistics, Status};
use super::super::schedule::{Schedule, is_same_instant};
use super::StochasticOptions;

use crate::integrate::{Forcing, Signal};
use crate::system::{At, System, Trigger, Work};
use std::sync::atomic::Ordering;

/// Steps between two looks at the interrupt.
const STEPS_PER_LOOK: u64 = 1024;

/// What is asked for and who is told.
pub(super) struct Request<'a, 'o> {
    pub problem: &'a Problem<'a>,
    pub samples: &'a [f64],
    pub next: usize,
    pub observer: &'o mut dyn Observer,
}

/// A way of moving the state; `R` is where its random numbers come from.
pub(super) trait Advance<R: ?Sized> {
    /// The state was set or jumped, or what the law depends on did.
    fn restart(&mut self, world: &mut World<'_>, source: &mut R) -> Result<(), Status>;

    /// Goes on to `stop`, or less far where a condition is watched: then at most one jump or step. Leaves the state at
    /// the time reached in `world`, and reports the samples on the way.
    fn advance(
        &mut self,
        world: &mut World<'_>,
        stop: f64,
        request: &mut Request<'_, '_>,
        source: &mut R,
    ) -> Result<(), Status>;
}

/// A `when`: its event, its root function, and whether it holds.
struct Watch {
    event_idx: usize,
    root_idx: usize,
    holds: bool,
}

/// The state and everything around it.
pub(super) struct World<'s> {
    pub system: &'s dyn System,
    pub work: Work,
    pub options: StochasticOptions,
    pub t: f64,
    /// Where the path began.
    pub t0: f64,
    /// `n_states`, in the states' own units.
    pub x: Vec<f64>,
    pub u: Vec<f64>,
    pub d: Vec<f64>,
    pub p: Vec<f64>,
    pub statistics: Statistics,
    segment: Segment,
    schedule: Schedule,
    times: Vec<f64>,
    watches: Vec<Watch>,
    roots: Vec<f64>,
    x_new: Vec<f64>,
    which: Vec<usize>,
    occurrences: Vec<u64>,
    resets: Vec<usize>,
}

impl<'s> World<'s> {
    pub fn new(system: &'s dyn System, options: StochasticOptions) -> Self {
        let dims = system.dims();
        let watch = |(event_idx, event): (usize, &crate::system::Event)| match event.trigger {
            Trigger::Rising { root_idx } => Some(Watch { event_idx, root_idx, holds: false }),
            Trigger::At { .. } | Trigger::Every { .. } | Trigger::Crossing { .. } => None,
        };
        World {
            work: system.work(),
            options,
            t: 0.0,
            t0: 0.0,
            x: vec![0.0; dims.n_states],
            u: vec![0.0; dims.n_inputs],
            d: vec![0.0; dims.n_disturbances],
            p: vec![0.0; dims.n_params],
            statistics: Statistics::default(),
            segment: Segment::default(),
            schedule: Schedule::default(),
            times: vec![0.0; dims.n_times],
            watches: system.events().iter().enumerate().filter_map(watch).collect(),
            roots: vec![0.0; dims.n_roots],
            x_new: vec![0.0; dims.n_states],
            which: Vec::new(),
            occurrences: Vec::new(),
            resets: Vec::new(),
            system,
        }
    }

    pub fn state(&self) -> &[f64] {
        &self.x
    }

    /// True where the state must be looked at after every jump.
    pub fn is_watching(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Start values, forcing and schedule.
    pub fn begin(&mut self, problem: &Problem<'_>, samples: &[f64]) -> Result<(), ProblemError> {
        problem.check(&self.system.dims(), samples)?;
        if self.options.method.is_counting() && is_sloped(problem.forcing) {
            return Err(ProblemError::Unsuited(
                "a signal is linear between its rows, and reactions are counted with rates constant between two instants",
            ));
        }
        (self.t, self.t0) = (problem.t0, problem.t0);
        self.p.copy_from_slice(problem.p);
        self.statistics = Statistics::default();
        self.segment.start(problem.forcing, self.t);
        self.segment.values_at(self.t, &mut self.u, &mut self.d);
        match problem.start {
            Start::Given(values) => self.x.copy_from_slice(values),
            Start::Model | Start::Overrides(_) => {
                let at = At { t: self.t, x: &self.x_new, u: &self.u, d: &self.d, p: &self.p };
                self.system.initial_state(at, &mut self.work, &mut self.x);
                if let Start::Overrides(overrides) = problem.start {
                    for &(state_idx, value) in overrides {
                        self.x[state_idx] = value;
                    }
                }
            }
        }
        if !self.times.is_empty() {
            let at = At { t: self.t, x: &self.x, u: &self.u, d: &self.d, p: &self.p };
            self.system.times(at, &mut self.work, &mut self.times);
        }
        self.schedule.start(self.system.events(), &self.times, problem.t0, problem.t1, problem.resumes)
    }

    /// The whole path.
    pub fn run<R: ?Sized, F: Advance<R>>(
        &mut self,
        formula: &mut F,
        request: &mut Request<'_, '_>,
        source: &mut R,
    ) -> Outcome {
        let status = match self.path(formula, request, source) {
            Ok(()) => Status::Success,
            Err(status) => status,
        };
        Outcome { status, t: self.t, statistics: self.statistics }
    }

    fn path<R: ?Sized, F: Advance<R>>(
        &mut self,
        formula: &mut F,
        request: &mut Request<'_, '_>,
        source: &mut R,
    ) -> Result<(), Status> {
        let t1 = request.problem.t1;
        self.check_finite()?;
        formula.restart(self, source)?;
        self.look(true);
        let first = self.schedule.next();
        if first <= self.t || is_same_instant(first, self.t) {
            self.scheduled_instant(request)?;
            formula.restart(self, source)?;
        }
        self.report_present(request);
        while self.t < t1 {
            let next = self.schedule.next().min(self.segment.next_breakpoint(request.problem.forcing));
            let is_end = is_same_instant(next, t1);
            let is_break = is_end || next < t1;
            let stop = if is_break && !is_end { next } else { t1 };
            while self.t < stop {
                formula.advance(self, stop, request, source)?;
                if self.is_watching() && self.fire_conditions(request)? {
                    formula.restart(self, source)?;
                }
            }
            if is_break {
                self.scheduled_instant(request)?;
                formula.restart(self, source)?;
            }
            self.report_present(request);
        }
        Ok(())
    }

    fn check_finite(&self) -> Result<(), Status> {
        match self.x.iter().position(|value| !value.is_finite()) {
            Some(state) => Err(Status::NonFinite { t: self.t, state }),
            None => Ok(()),
        }
    }

    /// Counts one reaction, leap or step.
    pub fn count_step(&mut self) -> Result<(), Status> {
        self.statistics.steps += 1;
        if self.statistics.steps.is_multiple_of(STEPS_PER_LOOK) {
            self.look_at_limits()?;
        }
        Ok(())
    }

    /// The step limit and the interrupt; the limit is kept to the next multiple of [`STEPS_PER_LOOK`].
    fn look_at_limits(&self) -> Result<(), Status> {
        if self.options.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Status::Interrupted { t: self.t });
        }
        if self.statistics.steps >= self.options.max_steps {
            let largest = |a: &(usize, &f64), b: &(usize, &f64)| a.1.abs().total_cmp(&b.1.abs());
            let worst_state = self.x.iter().enumerate().max_by(largest).map_or(0, |(idx, _)| idx);
            return Err(Status::StepLimit { t: self.t, worst_state });
        }
        Ok(())
    }

    /// Inputs and disturbances at `t`, which lies in the present segment.
    pub fn set_forcing(&mut self, t: f64) {
        self.segment.values_at(t, &mut self.u, &mut self.d);
    }

    /// The next requested time, or infinity.
    pub fn next_sample(request: &Request<'_, '_>) -> f64 {
        request.samples.get(request.next).copied().unwrap_or(f64::INFINITY)
    }

    /// True where the next requested time stands before `t`, and not only by rounding.
    pub fn is_asked_before(request: &Request<'_, '_>, t: f64) -> bool {
        let next = Self::next_sample(request);
        next < t && !is_same_instant(next, t)
    }

    /// Tells the observer the state `x` at the next requested time.
    pub fn report(&mut self, request: &mut Request<'_, '_>, x: Option<&[f64]>) {
        let t = Self::next_sample(request);
        self.segment.values_at(t, &mut self.u, &mut self.d);
        let at = At { t, x: x.unwrap_or(&self.x), u: &self.u, d: &self.d, p: &self.p };
        request.observer.sample(Sample { idx: request.next, at, sensitivities: &[] });
        request.next += 1;
    }

    /// The requested times up to the present one.
    fn report_present(&mut self, request: &mut Request<'_, '_>) {
        while Self::next_sample(request) <= self.t || is_same_instant(Self::next_sample(request), self.t) {
            self.report(request, None);
        }
    }

    /// Evaluates the conditions; at the start they are only noted. Returns the first that has become true.
    fn look(&mut self, is_start: bool) -> Option<usize> {
        if self.watches.is_empty() {
            return None;
        }
        self.segment.values_at(self.t, &mut self.u, &mut self.d);
        let at = At { t: self.t, x: &self.x, u: &self.u, d: &self.d, p: &self.p };
        self.system.roots(at, &mut self.work, &mut self.roots);
        let mut first = None;
        for (idx, watch) in self.watches.iter_mut().enumerate() {
            let holds = self.roots[watch.root_idx] > 0.0;
            if holds && !watch.holds && !is_start {
                // Those behind it are looked at again once it was carried out.
                first = first.or(Some(idx));
                if first != Some(idx) {
                    continue;
                }
            }
            watch.holds = holds;
        }
        first
    }

    /// Carries out the events whose conditions have become true, one after the other.
    fn fire_conditions(&mut self, request: &mut Request<'_, '_>) -> Result<bool, Status> {
        let most = self.options.max_event_repeats as usize * self.watches.len();
        let mut n_fired = 0;
        while let Some(idx) = self.look(false) {
            let event = self.watches[idx].event_idx;
            n_fired += 1;
            if n_fired > most {
                return Err(Status::EventStorm { t: self.t, event });
            }
            self.statistics.events += 1;
            self.resets.clear();
            if self.system.events()[event].has_reset {
                self.resets.push(event);
            }
            self.apply(request)?;
        }
        Ok(n_fired > 0)
    }

    /// Carries out what is scheduled now, and begins the next segment of the forcing.
    fn scheduled_instant(&mut self, request: &mut Request<'_, '_>) -> Result<(), Status> {
        self.schedule.take(self.t, &mut self.which, &mut self.occurrences);
        self.segment.advance(request.problem.forcing, self.t);
        self.segment.values_at(self.t, &mut self.u, &mut self.d);
        if !self.which.is_empty() {
            let events = self.system.events();
            self.resets.clear();
            self.resets.extend(self.which.iter().copied().filter(|&idx| events[idx].has_reset));
            self.statistics.events += 1;
            self.apply(request)?;
        }
        self.fire_conditions(request)?;
        Ok(())
    }

    /// Carries out `self.resets` as one instant.
    fn apply(&mut self, request: &mut Request<'_, '_>) -> Result<(), Status> {
        if self.resets.is_empty() {
            return Ok(());
        }
        let t = self.t;
        self.x_new.copy_from_slice(&self.x);
        let at = At { t, x: &self.x, u: &self.u, d: &self.d, p: &self.p };
        if let Err(state) = self.system.reset(&self.resets, at, &mut self.work, &mut self.x_new) {
            // All together name the state; two at a time name the events.
            let all = &self.resets;
            let mut pairs = (0..all.len()).flat_map(|k| all[..k].iter().map(move |a| [*a, all[k]]));
            let events = pairs.find(|pair| self.system.reset(pair, at, &mut self.work, &mut self.x_new).is_err());
            let first = all.first().copied().unwrap_or_default();
            return Err(Status::EventConflict { t, state, events: events.unwrap_or([first, first]) });
        }
        std::mem::swap(&mut self.x, &mut self.x_new);
        self.check_finite()?;
        request.observer.event(t, &self.resets);
        Ok(())
    }
}

fn is_sloped(forcing: &Forcing) -> bool {
    forcing.inputs.iter().chain(&forcing.disturbances).any(|signal| match signal {
        Signal::Linear { .. } => true,
        Signal::Constant(_) | Signal::Held { .. } => false,
    })
}
