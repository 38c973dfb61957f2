//! What a forward run leaves behind for the way back: its steps, its samples, and its jumps, in the order they came.
//!
//! Of a step only its start, its length and the state it started from are kept; the stages are computed again on the way
//! back. Where the states would outgrow [`Tape::limit`], every second one is dropped, again and again, and the missing
//! ones are replayed from the last one kept. The state before and after a jump is always kept, and so is the first one
//! after it: no replay crosses a jump.

use crate::integrate::field::Field;
use crate::integrate::forcing::Segment;
use std::ops::Range;

/// Which formula made a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::integrate) enum StepKind {
    /// The explicit method of the run.
    Explicit,
    /// Rodas5P.
    Rosenbrock,
}

/// One accepted step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub t: f64,
    pub h: f64,
    pub kind: StepKind,
    /// Where an event ended the step early, as a part of `h`.
    pub end: Option<f64>,
    pub span: usize,
    /// Its samples, in [`Tape::inside`].
    pub samples: Range<usize>,
    /// Where the state it started from is kept.
    state: Option<usize>,
    /// Its number after the last jump.
    ordinal: usize,
}

/// A stretch of time between breakpoints.
#[derive(Debug, Clone)]
pub(super) struct Span {
    segment: Segment,
    t_low: f64,
    t_high: f64,
}

/// On what the time of an instant depends.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::integrate) enum Cause {
    /// On nothing.
    Fixed,
    /// On the schedule: the events taken with the number of each one's occurrence.
    Scheduled(Vec<(usize, u64)>),
    /// On a root function.
    Root(usize),
}

/// Simultaneous jumps.
#[derive(Debug, Clone)]
pub(super) struct Instant {
    pub t: f64,
    pub cause: Cause,
    pub jumps: Range<usize>,
}

/// One reset of the state or change of the field.
#[derive(Debug, Clone)]
pub(super) struct Jump {
    pub resets: Vec<usize>,
    pub span: usize,
}

/// One entry of the tape.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry {
    Step(usize),
    /// A sample of the state as it stands: its position in the request, its time, and the span it lies in.
    Sample {
        idx: usize,
        t: f64,
        span: usize,
    },
    Instant(usize),
}

/// The record of one run.
#[derive(Debug, Clone, Default)]
pub(in crate::integrate) struct Tape {
    n: usize,
    /// Most states of steps that are kept.
    limit: usize,
    pub(super) entries: Vec<Entry>,
    pub(super) steps: Vec<Step>,
    /// Samples within steps: position in the request and time.
    pub(super) inside: Vec<(usize, f64)>,
    pub(super) spans: Vec<Span>,
    pub(super) instants: Vec<Instant>,
    pub(super) jumps: Vec<Jump>,
    /// Of each jump the state before, the state after, and the field before: `3 n`.
    jump_values: Vec<f64>,
    states: Vec<f64>,
    /// Every how many-th state after a jump is kept.
    stride: usize,
    ordinal: usize,
    n_inside: usize,
    pending: Option<(f64, Cause)>,
    most: usize,
}

impl Tape {
    /// Begins the record of a run with `n` states that keeps at most `bytes` of the states of steps.
    pub fn start(&mut self, n: usize, bytes: usize) {
        self.n = n;
        self.limit = (bytes / (8 * n.max(1))).max(2);
        self.entries.clear();
        self.steps.clear();
        self.inside.clear();
        self.spans.clear();
        self.instants.clear();
        self.jumps.clear();
        self.jump_values.clear();
        self.states.clear();
        self.stride = 1;
        self.ordinal = 0;
        self.n_inside = 0;
        self.pending = None;
        self.most = 0;
    }

    /// A sample within the step that will be recorded next.
    pub fn sample_inside(&mut self, idx: usize, t: f64) {
        self.inside.push((idx, t));
    }

    /// A sample of the present state.
    pub fn sample(&mut self, field: &Field<'_>, idx: usize, t: f64) {
        let span = self.span(field);
        self.entries.push(Entry::Sample { idx, t, span });
    }

    /// A step of length `h` from `(t, x)`, ended early at the part `end` of it.
    pub fn step(&mut self, field: &Field<'_>, kind: StepKind, (t, h): (f64, f64), end: Option<f64>, x: &[f64]) {
        let span = self.span(field);
        let state = self.ordinal.is_multiple_of(self.stride).then(|| {
            self.states.extend_from_slice(&x[..self.n]);
            self.states.len() / self.n.max(1) - 1
        });
        let samples = self.n_inside..self.inside.len();
        self.n_inside = self.inside.len();
        self.entries.push(Entry::Step(self.steps.len()));
        self.steps.push(Step { t, h, kind, end, span, samples, state, ordinal: self.ordinal });
        self.ordinal += 1;
        if state.is_some_and(|state| state + 1 >= self.limit) {
            self.most = self.most.max(self.n_kept());
            self.thin();
        }
    }

    /// The jumps that follow lie at the instant `t`.
    pub fn begin_instant(&mut self, t: f64, cause: Cause) {
        self.pending = Some((t, cause));
    }

    /// A jump from `x` to `x_new` by `resets`, into the field as it stands.
    pub fn jump(&mut self, field: &Field<'_>, resets: &[usize], x: &[f64], x_new: &[f64], f_before: &[f64]) {
        let span = self.span(field);
        if let Some((t, cause)) = self.pending.take() {
            self.entries.push(Entry::Instant(self.instants.len()));
            self.instants.push(Instant { t, cause, jumps: self.jumps.len()..self.jumps.len() });
        }
        self.jumps.push(Jump { resets: resets.to_vec(), span });
        for values in [x, x_new, f_before] {
            self.jump_values.extend_from_slice(&values[..self.n]);
        }
        if let Some(instant) = self.instants.last_mut() {
            instant.jumps.end = self.jumps.len();
        }
        self.ordinal = 0;
    }

    /// Drops every second state.
    fn thin(&mut self) {
        let n_before = self.states.len();
        self.stride *= 2;
        let mut n_kept = 0;
        for step in &mut self.steps {
            let Some(state) = step.state else { continue };
            step.state = step.ordinal.is_multiple_of(self.stride).then(|| {
                self.states.copy_within(state * self.n..(state + 1) * self.n, n_kept * self.n);
                n_kept += 1;
                n_kept - 1
            });
        }
        self.states.truncate(n_kept * self.n);
        // First states after jumps stay: where there is little else, the limit gives way.
        if 4 * self.states.len() > 3 * n_before {
            self.limit *= 2;
        }
    }

    /// The span that the field lies in.
    fn span(&mut self, field: &Field<'_>) -> usize {
        let is_same = |span: &Span| {
            span.t_low == field.t_low && span.t_high == field.t_high && span.segment.begin() == field.segment.begin()
        };
        if !self.spans.last().is_some_and(is_same) {
            self.spans.push(Span { segment: field.segment.clone(), t_low: field.t_low, t_high: field.t_high });
        }
        self.spans.len() - 1
    }

    /// Puts a field back into a span.
    pub(super) fn enter(&self, span: usize, field: &mut Field<'_>) {
        let span = &self.spans[span];
        field.segment.clone_from(&span.segment);
        field.t_low = span.t_low;
        field.t_high = span.t_high;
    }

    /// The state that step `idx` started from, if it was kept.
    pub(super) fn state(&self, idx: usize) -> Option<&[f64]> {
        self.steps[idx].state.map(|state| &self.states[state * self.n..(state + 1) * self.n])
    }

    /// The state before a jump, the state after it, and the field before it.
    pub(super) fn jump_values(&self, jump: usize) -> [&[f64]; 3] {
        let (n, start) = (self.n, 3 * self.n * jump);
        let part = |k: usize| &self.jump_values[start + k * n..start + (k + 1) * n];
        [part(0), part(1), part(2)]
    }

    /// Number of states of steps that are kept.
    fn n_kept(&self) -> usize {
        self.states.len() / self.n.max(1)
    }

    /// Most of them at once.
    pub(super) fn most_kept(&self) -> usize {
        self.most.max(self.n_kept())
    }

    /// The time at which the field was evaluated for the first stage of step `idx`: an explicit step that follows on another
    /// takes over the stage at that one's end.
    pub(super) fn first_time(&self, idx: usize) -> f64 {
        let step = &self.steps[idx];
        let before = idx.checked_sub(1).map(|before| &self.steps[before]);
        let follows = |before: &&Step| {
            let is_explicit = (before.kind, step.kind) == (StepKind::Explicit, StepKind::Explicit);
            is_explicit && before.end.is_none() && before.span == step.span && step.ordinal > 0
        };
        before.filter(follows).map_or(step.t, |before| before.t + before.h)
    }
}
