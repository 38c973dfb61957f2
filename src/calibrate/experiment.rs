//! An experiment: a system under given conditions, what was measured of it, and which estimated parameter stands
//! where.

use std::sync::Arc;

use crate::analyze::Structure;
use crate::flat::{Distribution, Noise, Observable};
use crate::integrate::{Forcing, ProblemError, Tolerance};
use crate::system::System;

use super::parameter::{Parameter, Scale};

/// What an estimated parameter sets in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A runtime parameter of the system.
    Param(usize),
    /// The start value of a state.
    Start(usize),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Param(param) => write!(f, "parameter {param}"),
            Target::Start(state) => write!(f, "the start of state {state}"),
        }
    }
}

/// An estimated parameter stands at a place of the system. One parameter may stand at several places, and in several
/// experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Position in the problem's parameters.
    pub parameter: usize,
    /// What it sets.
    pub target: Target,
}

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// In the model's time unit; may repeat (replicates) and stand in any order.
    pub time: f64,
    /// Position in the experiment's observables.
    pub observable: usize,
    /// In the observable's unit.
    pub value: f64,
}

/// A system, its conditions and its data.
#[derive(Clone)]
pub struct Experiment {
    /// As the user knows it; empty where there is only one.
    pub name: String,
    /// The system. Experiments of one model share it.
    pub system: Arc<dyn System>,
    /// What can be measured.
    pub observables: Vec<Observable>,
    /// Names of the states for messages: `n_states`, or empty.
    pub state_names: Vec<String>,
    /// `n_params`: the parameters before the estimated ones are set.
    pub params: Vec<f64>,
    /// Where the estimated parameters stand.
    pub links: Vec<Link>,
    /// Start values `(state, value)` that replace the model's.
    pub start: Vec<(usize, f64)>,
    /// Where given, the experiment starts at the steady state that belongs to these start values.
    pub steady: Option<Arc<Structure>>,
    /// Inputs and disturbances.
    pub forcing: Forcing,
    /// Start in the model's time unit; not after the first measurement.
    pub t0: f64,
    /// Absolute tolerance of the integration, in the states' units.
    pub tolerance: Tolerance,
    /// The data.
    pub measurements: Vec<Measurement>,
}

/// A mistake in the description of a fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrateError {
    /// Nothing to estimate.
    #[error("there is no parameter to estimate")]
    NoParameters,
    /// Nothing to compare with.
    #[error("there is no measurement")]
    NoMeasurements,
    /// Bounds that contain nothing.
    #[error("the bounds of `{name}` are {low} .. {high}, but the lower must be below the upper")]
    Bounds {
        /// The parameter.
        name: String,
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// A logarithmic search below zero.
    #[error("`{name}` is searched on the logarithmic scale, but its lower bound is {low}; it must not be negative")]
    LogBounds {
        /// The parameter.
        name: String,
        /// Lower bound.
        low: f64,
    },
    /// No range to draw starts from.
    #[error("`{name}` has an open bound and no prior, so that no start can be drawn for it")]
    OpenBounds {
        /// The parameter.
        name: String,
    },
    /// A prior with arguments outside their range.
    #[error("the prior of `{name}` is {}, but {must}", written(*.prior))]
    Prior {
        /// The parameter.
        name: String,
        /// The prior.
        prior: Distribution,
        /// The range in words.
        must: &'static str,
    },
    /// An index without its thing.
    #[error("{what} {index} is named{}, but there are {count}", place(.experiment))]
    Index {
        /// The experiment.
        experiment: String,
        /// Index of what.
        what: &'static str,
        /// The index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A system of derivatives that does not belong to its experiment.
    #[error("the derivative along a direction has {found} {what}{}, but needs {expected}", place(.experiment))]
    Tangents {
        /// The experiment.
        experiment: String,
        /// Of what there are too many or too few.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The wrong number of parameters.
    #[error("{found} parameters are given{}, but the system has {expected}", place(.experiment))]
    Params {
        /// The experiment.
        experiment: String,
        /// How many are given.
        found: usize,
        /// The system's.
        expected: usize,
    },
    /// A target set twice.
    #[error("two estimated parameters set {target}{}", place(.experiment))]
    Twice {
        /// The experiment.
        experiment: String,
        /// What is set.
        target: Target,
    },
    /// Data for an observable without a distribution.
    #[error("`{observable}` has data{}, but no noise such as `~ Normal(sd = ...)`", place(.experiment))]
    NoNoise {
        /// The experiment.
        experiment: String,
        /// The observable.
        observable: String,
    },
    /// A value that its distribution cannot give.
    #[error("`{observable}` is {value} at time {time}{}, but must be {must}", place(.experiment))]
    Value {
        /// The experiment.
        experiment: String,
        /// The observable.
        observable: String,
        /// When.
        time: f64,
        /// The measurement.
        value: f64,
        /// The range in words.
        must: &'static str,
    },
    /// A measurement before the start.
    #[error("`{observable}` is measured at time {time}, before the start at {t0}{}", place(.experiment))]
    BeforeStart {
        /// The experiment.
        experiment: String,
        /// The observable.
        observable: String,
        /// When.
        time: f64,
        /// The start.
        t0: f64,
    },
    /// The integration's own check.
    #[error("{error}{}", place(.experiment))]
    Integration {
        /// The experiment.
        experiment: String,
        /// What is wrong.
        error: ProblemError,
    },
}

/// ` in experiment ...`, where it has a name.
pub(super) fn place(experiment: &str) -> String {
    if experiment.is_empty() { String::new() } else { format!(" in experiment `{experiment}`") }
}

/// A distribution as a model writes it.
pub(super) fn written(distribution: Distribution) -> String {
    match distribution {
        Distribution::Normal { mean, sd } => format!("Normal(mean = {mean}, sd = {sd})"),
        Distribution::LogNormal { median, gsd } => format!("LogNormal(median = {median}, gsd = {gsd})"),
        Distribution::Uniform { low, high } => format!("Uniform({low}, {high})"),
        Distribution::LogUniform { low, high } => format!("LogUniform({low}, {high})"),
        Distribution::Laplace { location, scale } => format!("Laplace(location = {location}, scale = {scale})"),
    }
}

/// Checks bounds and prior.
pub(super) fn check_parameter(parameter: &Parameter) -> Result<(), CalibrateError> {
    let name = parameter.name.clone();
    let (low, high) = parameter.bounds();
    if low.is_nan() || high.is_nan() || low >= high {
        return Err(CalibrateError::Bounds { name, low, high });
    }
    if parameter.scale == Scale::Log && low < 0.0 {
        return Err(CalibrateError::LogBounds { name, low });
    }
    let Some(prior) = parameter.prior else { return Ok(()) };
    let must = match prior_rule(prior) {
        Some(rule) => rule,
        None if matches!(prior, Distribution::LogNormal { .. }) && low < 0.0 => {
            "the parameter's lower bound is negative"
        }
        None => return Ok(()),
    };
    Err(CalibrateError::Prior { name, prior, must })
}

/// What a prior's arguments must be; `None` where they are.
pub(super) fn prior_rule(prior: Distribution) -> Option<&'static str> {
    let (is_good, rule) = match prior {
        Distribution::Normal { mean, sd } => {
            (mean.is_finite() && sd > 0.0 && sd.is_finite(), "its standard deviation must be positive")
        }
        Distribution::Laplace { location, scale } => {
            (location.is_finite() && scale > 0.0 && scale.is_finite(), "its scale must be positive")
        }
        Distribution::LogNormal { median, gsd } => (
            median > 0.0 && median.is_finite() && gsd > 1.0 && gsd.is_finite(),
            "its median must be positive and its geometric standard deviation above 1",
        ),
        Distribution::Uniform { low, high } => {
            (low.is_finite() && high.is_finite() && low < high, "its ends must be finite and ascend")
        }
        Distribution::LogUniform { low, high } => {
            (low > 0.0 && high.is_finite() && low < high, "its ends must be positive, finite and ascend")
        }
    };
    (!is_good).then_some(rule)
}

impl Experiment {
    /// Checks indices, links and data against the system and `n_parameters` estimated parameters.
    pub(super) fn check(&self, n_parameters: usize) -> Result<(), CalibrateError> {
        let dims = self.system.dims();
        let index = |what: &'static str, index: usize, count: usize| match index < count {
            true => Ok(()),
            false => Err(CalibrateError::Index { experiment: self.name.clone(), what, index, count }),
        };
        if self.params.len() != dims.n_params {
            let (found, expected) = (self.params.len(), dims.n_params);
            return Err(CalibrateError::Params { experiment: self.name.clone(), found, expected });
        }
        let mut targets = Vec::new();
        for link in &self.links {
            index("estimated parameter", link.parameter, n_parameters)?;
            match link.target {
                Target::Param(param) => index("parameter", param, self.params.len())?,
                Target::Start(state) => index("state", state, dims.n_states)?,
            }
            if targets.contains(&link.target) {
                return Err(CalibrateError::Twice { experiment: self.name.clone(), target: link.target });
            }
            targets.push(link.target);
        }
        for &(state, _) in &self.start {
            index("state", state, dims.n_states)?;
        }
        for m in &self.measurements {
            index("observable", m.observable, self.observables.len())?;
            self.check_measurement(m)?;
        }
        for observable in &self.observables {
            for output in [Some(observable.value_output), observable.spread_output].into_iter().flatten() {
                index("output", output, dims.n_outputs)?;
            }
        }
        Ok(())
    }

    fn check_measurement(&self, m: &Measurement) -> Result<(), CalibrateError> {
        let observable = &self.observables[m.observable];
        let (experiment, name) = (self.name.clone(), observable.quantity.name.clone());
        let (Some(noise), Some(_)) = (observable.noise, observable.spread_output) else {
            return Err(CalibrateError::NoNoise { experiment, observable: name });
        };
        let must = match noise {
            Noise::Normal | Noise::Laplace if !m.value.is_finite() => "finite",
            Noise::LogNormal if !(m.value.is_finite() && m.value > 0.0) => "positive, because its noise is log-normal",
            Noise::Normal | Noise::LogNormal | Noise::Laplace if !m.time.is_finite() => "measured at a finite time",
            Noise::Normal | Noise::LogNormal | Noise::Laplace if m.time < self.t0 => {
                return Err(CalibrateError::BeforeStart { experiment, observable: name, time: m.time, t0: self.t0 });
            }
            Noise::Normal | Noise::LogNormal | Noise::Laplace => return Ok(()),
        };
        Err(CalibrateError::Value { experiment, observable: name, time: m.time, value: m.value, must })
    }
}
