//! The filters that a study can name, each with its table of settings and the way it is made from a compiled task.
//!
//! `filter ukf { process = 0.01 }` becomes an [`Estimator`] by [`make`]. What is measured are the observables that the task
//! senses, all of them where it says nothing; their noise is the model's `~`. The first belief is where the task starts.
//! Parameters that a study estimates stand behind the states and walk at random.

use super::assemble::Assembly;
use super::controller::Reads;
use super::estimate::{
    Ensemble, EnsembleOptions, EstimateError, Kalman, MovingHorizon, MovingHorizonOptions, Particle, ParticleOptions,
    Prior, Replace, Sensor, SystemSpace, Unscented, UnscentedOptions, Walk,
};
use super::plant::step_options;
use crate::decide::{Belief, Estimator};
use crate::flat::{Distribution, FlatTask};
use crate::hir::settings::{SettingKind, SettingSpec, Settings};
use crate::jit::CompileError;
use crate::limits::MAX_FILTER_POINTS;
use crate::system::{At, System};

/// Standard deviation that a state gains in a step, over its size.
const PROCESS: f64 = 0.01;
/// Standard deviation that an estimated parameter gains in a step, over its declared value.
const WALK: f64 = 0.01;
/// Standard deviation of a state's first belief, over its size, where the start is not drawn.
pub(super) const START: f64 = 0.1;

const fn number(name: &'static str, low: f64, high: f64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Number(low, high), unit: "", default, doc }
}

const fn count(name: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integer(2, MAX_FILTER_POINTS as i64), unit: "", default, doc }
}

const PROCESS_SPEC: SettingSpec = number(
    "process",
    0.0,
    1e6,
    "0.01",
    "standard deviation that each state gains in a step, over its size at the start",
);
const START_SPEC: SettingSpec = number(
    "start",
    0.0,
    1e6,
    "0.1",
    "standard deviation of the first belief over the size; that of a drawn start is used",
);
const GATE_SPEC: SettingSpec = number(
    "gate",
    0.0,
    1e12,
    "0",
    "a measurement is refused where its squared distance over its variance exceeds this, such as 10.83; 0 refuses none",
);

const WALK_SPEC: SettingSpec = number(
    "walk",
    0.0,
    1e6,
    "0.01",
    "standard deviation that each estimated parameter gains in a step, over its declared value",
);

const EKF: &[SettingSpec] = &[PROCESS_SPEC, START_SPEC, GATE_SPEC, WALK_SPEC];
const UKF: &[SettingSpec] = &[
    PROCESS_SPEC,
    START_SPEC,
    GATE_SPEC,
    WALK_SPEC,
    number("spread", 1e-6, 1e3, "1", "how far the points lie from the mean (alpha)"),
    number("kurtosis", 0.0, 1e3, "2", "what is known of the fourth moment (beta); 2 is the normal distribution's"),
    number("offset", -1e3, 1e3, "0", "kappa"),
];
const ENKF: &[SettingSpec] = &[
    PROCESS_SPEC,
    START_SPEC,
    GATE_SPEC,
    WALK_SPEC,
    count("members", "100", "members of the ensemble"),
    number("inflation", 1.0, 1e3, "1", "what the members' distances from their mean are multiplied by"),
];
const MHE: &[SettingSpec] = &[
    PROCESS_SPEC,
    START_SPEC,
    GATE_SPEC,
    WALK_SPEC,
    SettingSpec {
        name: "horizon",
        kind: SettingKind::Integer(1, MAX_FILTER_POINTS as i64),
        unit: "steps",
        default: "10",
        doc: "steps back that are looked at together",
    },
    number(
        "arrival",
        1e-12,
        1e12,
        "1",
        "weight of what is known from before these steps; 1 is what the extended Kalman filter knows",
    ),
    SettingSpec {
        name: "max_iterations",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "10",
        doc: "most Gauss-Newton steps of an estimate",
    },
];
const PARTICLE: &[SettingSpec] = &[
    PROCESS_SPEC,
    START_SPEC,
    GATE_SPEC,
    WALK_SPEC,
    count("particles", "1000", "particles"),
    number("resample_below", 0.0, 1.0, "0.5", "share of effective particles below which they are drawn anew"),
    number("roughening", 0.0, 1e3, "0", "how much equal particles are shaken apart"),
];

/// Names and tables of all filters.
pub const FILTERS: &[(&str, &[SettingSpec])] =
    &[("ekf", EKF), ("ukf", UKF), ("enkf", ENKF), ("particle", PARTICLE), ("mhe", MHE), (REPLACE, &[])];

/// Simulation, with what is sensed in place of the states it tells of.
const REPLACE: &str = "replace";

/// What a filter of these settings reads: noisy measurements, or what the task senses as it is.
pub fn reads(settings: &Settings) -> Reads {
    match settings.method.as_ref() {
        Some((name, _)) if name == REPLACE => Reads::Seen,
        Some(_) | None => Reads::Measured,
    }
}

/// A parameter that is estimated beside the states.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimand {
    /// The parameter's name.
    pub name: String,
    /// Lower end of where it may be, instead of its domain's.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// What is believed of it at the start. Without it, its own `~`; without that, evenly within its range; without that,
    /// its declared value with the spread of a state's start.
    pub prior: Option<Distribution>,
}

/// Why there is no filter.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// Not among [`FILTERS`], or not made by this version.
    #[error("the filter `{0}` is not supported by this version")]
    Unknown(String),
    /// Nothing to learn from.
    #[error("there is no observable with noise that the task senses")]
    NothingMeasured,
    /// An observable whose noise is not stated.
    #[error("the observable `{0}` has no noise")]
    NoNoise(String),
    /// A parameter that the model has not, or a filter that estimates none.
    #[error("the parameter `{0}` cannot be estimated by this filter")]
    NotEstimated(String),
    /// No sense is a function of one state.
    #[error("the task senses nothing that is a function of one state")]
    NoReading,
    /// No machine code.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// What the filter itself says.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
}

/// A filter for the believed model of `assembly`, whose kernels are prepared for simulation; `ekf` and `mhe` need those
/// of sensitivities too. `settings` were checked against [`FILTERS`]; `estimands` are estimated beside the states.
///
/// # Errors
/// [`FilterError`].
pub fn make<'s>(
    settings: &Settings,
    assembly: &'s Assembly,
    estimands: &[Estimand],
) -> Result<Box<dyn Estimator + 's>, FilterError> {
    let name = settings.method.as_ref().map_or("", |(name, _)| name.as_str());
    if !FILTERS.iter().any(|(known, _)| *known == name) {
        return Err(FilterError::Unknown(name.to_owned()));
    }
    let task = assembly.task();
    if name == REPLACE {
        if let Some(first) = estimands.first() {
            return Err(FilterError::NotEstimated(first.name.clone()));
        }
        let readings = assembly.readings()?;
        if readings.pairs.is_empty() {
            return Err(FilterError::NoReading);
        }
        let (start, _, _) = first_belief(assembly, START);
        return Ok(Box::new(Replace::new(Box::new(assembly.simulation()?), readings, 0.0, &start)?));
    }
    let (columns, sensors) = sensors(task)?;
    let set = |key: &str, default: f64| settings.number(key).unwrap_or(default);
    let start = set("start", START);
    let (mut mean, mut sd, sizes) = first_belief(assembly, start);
    let (process, walk) = (set("process", PROCESS), set("walk", WALK));
    let variance = |sd: f64| sd * sd / task.step;
    let mut density: Vec<f64> = sizes.iter().map(|size| variance(process * size)).collect();
    let mut walks = Vec::with_capacity(estimands.len());
    for estimand in estimands {
        let (walks_at, value, spread) = walking(task, estimand, start)?;
        let size = if value == 0.0 { spread } else { value.abs() };
        density.push(variance(walk * size));
        mean.push(value);
        sd.push(spread);
        walks.push(walks_at);
    }
    let estimated: Vec<usize> = walks.iter().map(|walk| walk.param_idx).collect();
    let make_space = || {
        let (options, parameters) = (step_options(task), assembly.parameters());
        SystemSpace::new(assembly.kernels(), options, &parameters, sensors.clone(), walks.clone(), density.clone())
    };
    let space = make_space()?;
    let gate = set("gate", 0.0);
    let prior = Prior { gate: if gate > 0.0 { gate } else { f64::INFINITY }, ..Prior::independent(0.0, &mean, &sd) };
    let whole = |key: &str, default: usize| settings.number(key).map_or(default, |value| value as usize);
    let filter: Box<dyn Estimator + 's> = match name {
        "ekf" => Box::new(Kalman::new(Box::new(space), prior)?),
        "ukf" => {
            let d = UnscentedOptions::default();
            let options = UnscentedOptions {
                spread: set("spread", d.spread),
                kurtosis: set("kurtosis", d.kurtosis),
                offset: set("offset", d.offset),
            };
            Box::new(Unscented::new(Box::new(space), prior, options)?)
        }
        "enkf" => {
            let d = EnsembleOptions::default();
            let options =
                EnsembleOptions { n_members: whole("members", d.n_members), inflation: set("inflation", d.inflation) };
            Box::new(Ensemble::new(Box::new(space), prior, options)?)
        }
        "particle" => {
            let d = ParticleOptions::default();
            let options = ParticleOptions {
                n_particles: whole("particles", d.n_particles),
                resample_below: set("resample_below", d.resample_below),
                roughening: set("roughening", d.roughening),
            };
            Box::new(Particle::new(Box::new(space), prior, options)?)
        }
        "mhe" => {
            let d = MovingHorizonOptions::default();
            let options = MovingHorizonOptions {
                window: whole("horizon", d.window),
                max_iterations: whole("max_iterations", d.max_iterations),
                arrival: set("arrival", d.arrival),
                ..d
            };
            Box::new(MovingHorizon::new(Box::new(space), Box::new(make_space()?), prior, options)?)
        }
        other => return Err(FilterError::Unknown(other.to_owned())),
    };
    Ok(Box::new(Seen { reading: vec![0.0; columns.len()], columns, estimated, filter }))
}

/// Where a parameter walks, its first value and the standard deviation of that.
fn walking(task: &FlatTask, estimand: &Estimand, start: f64) -> Result<(Walk, f64, f64), FilterError> {
    let params = &task.model.params;
    let Some(param_idx) = params.iter().position(|param| param.quantity.name == estimand.name) else {
        return Err(FilterError::NotEstimated(estimand.name.clone()));
    };
    let param = &params[param_idx];
    let low = estimand.low.unwrap_or(param.quantity.low);
    let high = estimand.high.unwrap_or(param.quantity.high);
    let is_given = estimand.low.is_some() && estimand.high.is_some();
    let within = |low: f64, high: f64| Distribution::Uniform { low, high };
    // What the study says of it comes before what the model does.
    let belief = match (estimand.prior, param.prior) {
        (Some(prior), _) => Some(prior),
        (None, _) if is_given => Some(within(low, high)),
        (None, Some(prior)) => Some(prior),
        (None, None) if low.is_finite() && high.is_finite() => Some(within(low, high)),
        (None, None) => None,
    };
    let value = match estimand.prior {
        Some(prior) => moments(prior).0,
        None => param.value,
    };
    let size = if value == 0.0 { 1.0 } else { value.abs() };
    let spread = belief.map_or(start * size, |distribution| moments(distribution).1);
    Ok((Walk { param_idx, low, high }, value.max(low).min(high), spread))
}

/// Which observables are sensed, and how.
fn sensors(task: &FlatTask) -> Result<(Vec<usize>, Vec<Sensor>), FilterError> {
    let all = 0..task.model.observables.len();
    let columns: Vec<usize> = match task.senses.is_empty() {
        true => all.collect(),
        false => all.filter(|&k| task.measured.iter().any(|m| m.observable as usize == k)).collect(),
    };
    if columns.is_empty() {
        return Err(FilterError::NothingMeasured);
    }
    let sensor = |&k: &usize| {
        let observable = &task.model.observables[k];
        match (observable.noise, observable.spread_output) {
            (Some(noise), Some(spread_output)) => {
                Ok(Sensor { value_output: observable.value_output, spread_output, noise })
            }
            (None, _) | (_, None) => Err(FilterError::NoNoise(observable.quantity.name.clone())),
        }
    };
    let sensors = columns.iter().map(sensor).collect::<Result<Vec<Sensor>, FilterError>>()?;
    Ok((columns, sensors))
}

/// Mean and standard deviations of the start, and the sizes of the states.
pub(super) fn first_belief(assembly: &Assembly, start: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let task = assembly.task();
    let kernels = assembly.kernels();
    let n = task.model.states.len();
    let u: Vec<f64> = task.model.inputs.iter().map(|input| input.value).collect();
    let d: Vec<f64> = task.model.disturbances.iter().map(|disturbance| disturbance.value).collect();
    let (mut mean, zeros) = (vec![0.0; n], vec![0.0; n]);
    let at = At { t: 0.0, x: &zeros, u: &u, d: &d, p: &assembly.parameters() };
    kernels.initial_state(at, &mut kernels.work(), &mut mean);
    let mut drawn = vec![None; n];
    for one in &task.starts {
        let (center, sd) = moments(one.distribution);
        mean[one.state as usize] = center;
        drawn[one.state as usize] = (sd > 0.0).then_some(sd);
    }
    let sizes: Vec<f64> = mean.iter().map(|x| if *x == 0.0 { 1.0 } else { x.abs() }).collect();
    let sd = sizes.iter().zip(&drawn).map(|(size, drawn)| drawn.unwrap_or(start * size)).collect();
    (mean, sd, sizes)
}

/// Center and standard deviation; of distributions in the logarithm, the median and the first order.
fn moments(distribution: Distribution) -> (f64, f64) {
    match distribution {
        Distribution::Normal { mean, sd } => (mean, sd),
        Distribution::LogNormal { median, gsd } => (median, median * gsd.ln()),
        Distribution::Uniform { low, high } => (0.5 * (low + high), (high - low) / 12.0_f64.sqrt()),
        Distribution::LogUniform { low, high } => {
            let median = (low * high).sqrt();
            (median, median * (high / low).ln() / 12.0_f64.sqrt())
        }
        Distribution::Laplace { location, scale } => (location, std::f64::consts::SQRT_2 * scale),
    }
}

/// A filter that is shown some of the observables.
struct Seen<'s> {
    columns: Vec<usize>,
    /// Parameters behind the states.
    estimated: Vec<usize>,
    reading: Vec<f64>,
    filter: Box<dyn Estimator + 's>,
}

impl Estimator for Seen<'_> {
    fn reset(&mut self, seed: u64) {
        self.filter.reset(seed);
    }

    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        self.filter.predict(dt, u, d);
    }

    fn update(&mut self, y: &[f64]) {
        for (to, &column) in self.reading.iter_mut().zip(&self.columns) {
            *to = y[column];
        }
        self.filter.update(&self.reading);
    }

    fn belief(&self) -> Belief<'_> {
        self.filter.belief()
    }

    fn estimated(&self) -> &[usize] {
        &self.estimated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_starts_have_their_moments() {
        let (center, sd) = moments(Distribution::Uniform { low: 1.0, high: 3.0 });
        assert!((center - 2.0).abs() < 1e-15 && (sd - 1.0 / 3.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(moments(Distribution::LogUniform { low: 1.0, high: 100.0 }).0, 10.0);
    }

    /// The numbers that the tables print are those in force.
    #[test]
    fn tables_state_the_defaults_in_force() {
        let of = |name: &str, key: &str| {
            let (_, table) = FILTERS.iter().find(|(known, _)| *known == name)?;
            table.iter().find(|spec| spec.name == key)?.default.parse::<f64>().ok()
        };
        let (u, e, p) = (UnscentedOptions::default(), EnsembleOptions::default(), ParticleOptions::default());
        let m = MovingHorizonOptions::default();
        for (name, key, value) in [
            ("ekf", "process", PROCESS),
            ("ekf", "start", START),
            ("ekf", "walk", WALK),
            ("mhe", "horizon", m.window as f64),
            ("mhe", "arrival", m.arrival),
            ("mhe", "max_iterations", m.max_iterations as f64),
            ("ukf", "spread", u.spread),
            ("ukf", "kurtosis", u.kurtosis),
            ("ukf", "offset", u.offset),
            ("enkf", "members", e.n_members as f64),
            ("enkf", "inflation", e.inflation),
            ("particle", "particles", p.n_particles as f64),
            ("particle", "resample_below", p.resample_below),
            ("particle", "roughening", p.roughening),
        ] {
            assert_eq!(of(name, key), Some(value), "{name} {key}");
        }
    }
}
