//! What is integrated, what the caller sees of it on the way, and how it ended.

use super::forcing::Forcing;
use crate::system::{At, Dims};

/// Start values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start<'a> {
    /// The model's own, functions of the parameters.
    Model,
    /// The model's own except for these `(state, value)`.
    Overrides(&'a [(usize, f64)]),
    /// All given, `n_states`.
    Given(&'a [f64]),
}

/// One direction `theta` along which the solution is differentiated.
///
/// The parameters and the overridden start values are functions of `theta`; a single parameter k is
/// `Direction { params: vec![(k, 1.0)], ..Default::default() }`, and its logarithm has the weight `p[k]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// The nonzero `(parameter, dp/dtheta)`.
    pub params: Vec<(usize, f64)>,
    /// The nonzero `(state, dx0/dtheta)` that come in addition to those through the model's start values; for states
    /// that [`Start`] overrides these are the whole derivative.
    pub start: Vec<(usize, f64)>,
    /// Size of `theta`: a sensitivity times this is measured by the tolerances of the state. Default 1.
    pub scale: f64,
}

impl Default for Direction {
    fn default() -> Self {
        Direction { params: Vec::new(), start: Vec::new(), scale: 1.0 }
    }
}

impl Direction {
    /// The derivative by one parameter.
    pub fn parameter(param_idx: usize) -> Self {
        Direction { params: vec![(param_idx, 1.0)], ..Direction::default() }
    }

    /// The derivative by one start value.
    pub fn start_value(state_idx: usize) -> Self {
        Direction { start: vec![(state_idx, 1.0)], ..Direction::default() }
    }
}

/// One integration.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Start, in the model's time unit.
    pub t0: f64,
    /// End, not before `t0`.
    pub t1: f64,
    /// Start values.
    pub start: Start<'a>,
    /// `n_params`
    pub p: &'a [f64],
    /// Inputs and disturbances over time.
    pub forcing: &'a Forcing,
    /// Sensitivities to compute; empty for none.
    pub directions: &'a [Direction],
    /// True where this continues a run that ended at `t0`: events scheduled at `t0` have been carried out already.
    pub resumes: bool,
}

/// The solution at one requested time.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Position of the time in the request.
    pub idx: usize,
    /// Time, state, inputs, disturbances and parameters; at the instant of an event the values after it.
    pub at: At<'a>,
    /// dx/dtheta, `n_states × n_directions`, column major.
    pub sensitivities: &'a [f64],
}

/// What the caller is told during an integration. Every closure `FnMut(Sample<'_>)` is one.
pub trait Observer {
    /// A requested time was reached; called in the order of the request.
    fn sample(&mut self, sample: Sample<'_>);

    /// The events `which` (indices into [`crate::system::System::events`]) were carried out at `t`.
    fn event(&mut self, _t: f64, _which: &[usize]) {}
}

impl<F: FnMut(Sample<'_>)> Observer for F {
    fn sample(&mut self, sample: Sample<'_>) {
        self(sample)
    }
}

/// How an integration ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Status {
    /// The end was reached.
    Success,
    /// The error could not be brought under the tolerance by any step that still advances time.
    StepSizeUnderflow {
        /// Where.
        t: f64,
        /// The state with the largest scaled error.
        worst_state: usize,
    },
    /// The equations of a step of an implicit method of the grid were not solved: a shorter step may help.
    NoConvergence {
        /// Where the step starts.
        t: f64,
        /// The state whose last correction was the largest.
        state: usize,
    },
    /// [`super::Options::max_steps`] were used up.
    StepLimit {
        /// Where.
        t: f64,
        /// The state with the largest scaled error in the last step.
        worst_state: usize,
    },
    /// The derivative or the state is not finite, however short the step.
    NonFinite {
        /// Where.
        t: f64,
        /// The state whose value or derivative is the first that is not finite; others follow from it.
        state: usize,
    },
    /// A root-found event repeats without noticeable progress in time.
    EventStorm {
        /// Where.
        t: f64,
        /// The last of them, an index into [`crate::system::System::events`].
        event: usize,
    },
    /// Simultaneous events set one state in conflicting ways.
    EventConflict {
        /// Where.
        t: f64,
        /// The state.
        state: usize,
        /// Two of the events, indices into [`crate::system::System::events`].
        events: [usize; 2],
    },
    /// A species that is counted has a negative start value, or an event gave it one.
    NegativeCount {
        /// When.
        t: f64,
        /// The species.
        state: usize,
    },
    /// The rate of a reaction that is counted is negative or not a number.
    BadRate {
        /// When.
        t: f64,
        /// An index into [`crate::system::stochastic::Jumps::channels`].
        reaction: usize,
    },
    /// [`super::Options::interrupt`] was raised.
    Interrupted {
        /// Where.
        t: f64,
    },
}

impl Status {
    /// True for [`Status::Success`].
    pub fn is_success(&self) -> bool {
        matches!(self, Status::Success)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Status::Success => write!(f, "success"),
            Status::StepSizeUnderflow { t, worst_state } => {
                write!(f, "step size underflow at time {t} (state {worst_state} has the largest error)")
            }
            Status::NoConvergence { t, state } => {
                write!(f, "the equations of the step from time {t} are not solved (state {state} changed last)")
            }
            Status::StepLimit { t, worst_state } => {
                write!(f, "step limit reached at time {t} (state {worst_state} has the largest error)")
            }
            Status::NonFinite { t, state } => write!(f, "state {state} is not finite after time {t}"),
            Status::EventStorm { t, event } => write!(f, "event {event} repeats without end at time {t}"),
            Status::EventConflict { t, state, events: [a, b] } => {
                write!(f, "events {a} and {b} at time {t} set state {state} in conflicting ways")
            }
            Status::NegativeCount { t, state } => write!(f, "state {state} has a negative count at time {t}"),
            Status::BadRate { t, reaction } => {
                write!(f, "the rate of reaction {reaction} is negative or not a number at time {t}")
            }
            Status::Interrupted { t } => write!(f, "interrupted at time {t}"),
        }
    }
}

/// Work done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Accepted steps.
    pub steps: u64,
    /// Rejected steps.
    pub rejected: u64,
    /// Evaluations of the right-hand side, without those that only dense output needs.
    pub rhs: u64,
    /// Evaluations of ∂f/∂x, those for sensitivities included.
    pub jacobians: u64,
    /// LU factorisations.
    pub factorizations: u64,
    /// Solves with the factors.
    pub solves: u64,
    /// Instants at which events were carried out; branches of conditions that were located count too.
    pub events: u64,
    /// Steps, accepted or not, that were made by the implicit method.
    pub implicit_steps: u64,
}

/// The end of an integration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// The time reached.
    pub t: f64,
    /// Work done.
    pub statistics: Statistics,
}

/// A mistake in the question itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProblemError {
    /// A slice has a length other than the system's.
    #[error("{what} has {found} values, but the system has {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The system's.
        expected: usize,
    },
    /// An index is outside the system.
    #[error("{what} {index} does not exist; the system has {count}")]
    Index {
        /// Index of what.
        what: &'static str,
        /// The index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A number lies outside its range.
    #[error("{what} is {value}, but must be {must}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The range in words.
        must: &'static str,
    },
    /// The requested times do not ascend from `t0` to `t1`.
    #[error("the requested time {time} (number {index}) is out of order or outside the interval")]
    Samples {
        /// Position in the request.
        index: usize,
        /// The time.
        time: f64,
    },
    /// A grid method without a step.
    #[error("method `{method}` needs a fixed step")]
    NoStep {
        /// The method's name.
        method: &'static str,
    },
    /// The method does not go with the problem; the text says what it needs.
    #[error("{0}")]
    Unsuited(&'static str),
    /// More scheduled events than [`crate::limits::MAX_SCHEDULED_EVENTS`].
    #[error("event {event_idx} would happen {count} times, more than {limit}")]
    TooManyEvents {
        /// Index into [`crate::system::System::events`].
        event_idx: usize,
        /// How often.
        count: f64,
        /// The limit.
        limit: usize,
    },
}

pub(super) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), ProblemError> {
    if found == expected { Ok(()) } else { Err(ProblemError::Length { what, found, expected }) }
}

pub(super) fn check_index(what: &'static str, index: usize, count: usize) -> Result<(), ProblemError> {
    if index < count { Ok(()) } else { Err(ProblemError::Index { what, index, count }) }
}

pub(super) fn check_range(what: &'static str, value: f64, holds: bool, must: &'static str) -> Result<(), ProblemError> {
    if holds { Ok(()) } else { Err(ProblemError::Range { what, value, must }) }
}

impl Problem<'_> {
    /// Holds lengths, indices, interval, forcing and the requested times against a system's sizes.
    pub(super) fn check(&self, dims: &Dims, samples: &[f64]) -> Result<(), ProblemError> {
        check_length("the parameter vector", self.p.len(), dims.n_params)?;
        check_length("the forcing of inputs", self.forcing.inputs.len(), dims.n_inputs)?;
        check_length("the forcing of disturbances", self.forcing.disturbances.len(), dims.n_disturbances)?;
        check_range("the start time", self.t0, self.t0.is_finite(), "finite")?;
        let is_after = self.t1.is_finite() && self.t1 >= self.t0;
        check_range("the end time", self.t1, is_after, "finite and not before the start")?;
        for signal in self.forcing.inputs.iter().chain(&self.forcing.disturbances) {
            let must = "as many finite values as strictly ascending times, at least one";
            check_range("a signal", f64::NAN, signal.is_well_formed(), must)?;
        }
        match self.start {
            Start::Model => {}
            Start::Overrides(overrides) => {
                for &(state_idx, _) in overrides {
                    check_index("state", state_idx, dims.n_states)?;
                }
            }
            Start::Given(values) => check_length("the start vector", values.len(), dims.n_states)?,
        }
        for direction in self.directions {
            for &(param_idx, _) in &direction.params {
                check_index("parameter", param_idx, dims.n_params)?;
            }
            for &(state_idx, _) in &direction.start {
                check_index("state", state_idx, dims.n_states)?;
            }
            let is_scale = direction.scale > 0.0 && direction.scale.is_finite();
            check_range("the scale of a direction", direction.scale, is_scale, "positive and finite")?;
        }
        let mut last = self.t0;
        for (index, &time) in samples.iter().enumerate() {
            if !(time >= last && time <= self.t1) {
                return Err(ProblemError::Samples { index, time });
            }
            last = time;
        }
        Ok(())
    }
}
