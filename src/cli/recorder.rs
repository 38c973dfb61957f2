//! What is written of a run, column by column: time, states, inputs, disturbances, `let`s, observables with their errors.

use super::simulation::Plan;
use super::verdict::when;
use crate::diag::{Code, Diagnostic};
use crate::export::table::number;
use crate::flat::{Distribution, FlatModel, Noise, Quantity};
use crate::jit::{Kernel, Kernels};
use crate::random::{Rng, stream};
use crate::system::{At, System, Work};

/// Streams of noise begin here, apart from those of draws.
const NOISE_STREAM: u64 = 1 << 40;

/// Names and units of the columns.
pub fn names(model: &FlatModel) -> Vec<(String, String)> {
    let of = |quantity: &Quantity| (quantity.name.clone(), quantity.unit.clone());
    let mut names = vec![("time".to_string(), model.time_unit.clone())];
    names.extend(model.states.iter().map(|state| of(&state.quantity)));
    names.extend(model.inputs.iter().chain(&model.disturbances).map(|input| of(&input.quantity)));
    names.extend(model.lets.iter().map(|item| of(&item.quantity)));
    names.extend(model.observables.iter().map(|observable| of(&observable.quantity)));
    names
}

/// Takes the solution of one run after another in, row by row.
pub struct Recorder<'a> {
    kernels: &'a Kernels,
    /// Computes the `let`s, then the margins of the safe sets.
    extras: &'a Kernel,
    /// The seed of errors, where they are drawn.
    noise: Option<u64>,
    rng: Rng,
    work: Work,
    extra_work: Work,
    outputs: Vec<f64>,
    extra: Vec<f64>,
    /// The largest median of each observable so far.
    sizes: Vec<f64>,
    /// The first error that could not be drawn.
    pub undrawn: Option<Undrawn>,
    /// As [`names`] says, then the margins of the safe sets.
    pub columns: Vec<Vec<f64>>,
}

impl<'a> Recorder<'a> {
    /// For the runs of a plan.
    pub fn new(plan: &Plan, kernels: &'a Kernels, extras: &'a Kernel) -> Recorder<'a> {
        let model = kernels.model();
        Recorder {
            noise: plan.has_noise.then_some(plan.seed),
            rng: stream(plan.seed, NOISE_STREAM),
            work: kernels.work(),
            extra_work: Work::default(),
            outputs: vec![0.0; kernels.dims().n_outputs],
            extra: vec![0.0; extras.n_outputs()],
            sizes: vec![0.0; model.observables.len()],
            undrawn: None,
            columns: vec![Vec::with_capacity(plan.times.len()); names(model).len() + model.safe.len()],
            kernels,
            extras,
        }
    }

    /// Forgets what was recorded, and begins the run of this number.
    pub fn start(&mut self, idx: usize) {
        self.columns.iter_mut().for_each(Vec::clear);
        self.sizes.fill(0.0);
        self.undrawn = None;
        if let Some(seed) = self.noise {
            self.rng = stream(seed, NOISE_STREAM + idx as u64);
        }
    }

    /// Adds a row.
    pub fn add(&mut self, at: At<'_>) {
        let model = self.kernels.model();
        self.kernels.outputs(at, &mut self.work, &mut self.outputs);
        self.extras.call(at, &mut self.extra_work, &mut self.extra);
        let (outputs, rng, undrawn) = (&self.outputs, &mut self.rng, &mut self.undrawn);
        let has_noise = self.noise.is_some();
        let observed = model.observables.iter().zip(&mut self.sizes).enumerate().map(|(k, (observable, size))| {
            let median = outputs[observable.value_output];
            match (observable.noise, observable.spread_output) {
                (Some(noise), Some(spread)) if has_noise => {
                    *size = size.max(median.abs());
                    let (median, spread) = (positive_part(noise, median, *size), outputs[spread]);
                    if can_be_drawn(noise, median, spread) {
                        measured(noise, median, spread, rng)
                    } else {
                        undrawn.get_or_insert(Undrawn { observable: k, noise, time: at.t, median, spread });
                        f64::NAN
                    }
                }
                (_, _) => median,
            }
        });
        let (lets, margins) = self.extra.split_at(model.lets.len());
        let row = std::iter::once(at.t)
            .chain([at.x, at.u, at.d, lets].into_iter().flatten().copied())
            .chain(observed)
            .chain(margins.iter().copied());
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
}

/// An error that no distribution has.
pub struct Undrawn {
    observable: usize,
    noise: Noise,
    /// When it was to be drawn.
    pub time: f64,
    median: f64,
    spread: f64,
}

impl Undrawn {
    /// E0609 at the observable.
    pub fn diagnostic(&self, model: &FlatModel) -> Diagnostic {
        let quantity = &model.observables[self.observable].quantity;
        let (median, spread, name) = (number(self.median), number(self.spread), &quantity.name);
        let (what, must) = match self.noise {
            Noise::LogNormal if self.median.is_nan() || self.median < 0.0 => {
                (format!("`{name}` is {median}"), "a log-normal error needs a median that is not negative")
            }
            Noise::LogNormal => (format!("the gsd of `{name}` is {spread}"), "it must be 1 or more"),
            Noise::Normal => (format!("the sd of `{name}` is {spread}"), "it must not be negative"),
            Noise::Laplace => (format!("the scale of `{name}` is {spread}"), "it must not be negative"),
        };
        let title = format!("no error of `{name}` can be drawn at time {}: {what}", when(model, self.time));
        Diagnostic::new(Code("E0609"), quantity.span, title)
            .at(must)
            .help("cells without a possible error are empty; correct the `~` of the observable, or leave `noise` out")
    }
}

/// A log-normal median below zero by no more than the rounding of a run is zero.
fn positive_part(noise: Noise, median: f64, size: f64) -> f64 {
    match noise {
        Noise::LogNormal if median < 0.0 && median >= -1e-9 * size => 0.0,
        Noise::Normal | Noise::LogNormal | Noise::Laplace => median,
    }
}

/// A spread of zero is an error that is always nothing.
fn can_be_drawn(noise: Noise, median: f64, spread: f64) -> bool {
    match noise {
        Noise::Normal | Noise::Laplace => spread >= 0.0 && spread.is_finite(),
        Noise::LogNormal => median >= 0.0 && spread >= 1.0 && spread.is_finite(),
    }
}

/// A measurement of an observable.
fn measured(noise: Noise, median: f64, spread: f64, rng: &mut crate::random::Rng) -> f64 {
    let distribution = match noise {
        Noise::Normal => Distribution::Normal { mean: median, sd: spread },
        Noise::LogNormal => Distribution::LogNormal { median, gsd: spread },
        Noise::Laplace => Distribution::Laplace { location: median, scale: spread },
    };
    distribution.draw(rng)
}
