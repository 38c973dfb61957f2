//! Random paths from models in the language, against closed forms, exact master equations and exact solutions.
//!
//! Seeds are fixed, so nothing here is a matter of luck from run to run; the bounds are those that a right program passes
//! with another seed too: five standard errors for a mean, and for a variance.

mod allocations;
mod counted;
mod leaps;
mod meaning;
mod noise;

use std::sync::Arc;

use crate::compile::read;
use twinc::flat::{FlatModel, Variation, flatten_counting};
use twinc::integrate::stochastic::{Law, Selection, Stochastic, StochasticMethod, StochasticOptions};
use twinc::integrate::{Forcing, Outcome, Problem, Sample, Start};
use twinc::jit::{DiffusionKernels, JumpKernels, Kernels, Options};
use twinc::random::stream;

/// A compiled model with its reactions.
pub struct Counted {
    pub kernels: Kernels,
    pub jumps: JumpKernels,
}

/// The last model of a text, counted; panics where it cannot be.
pub fn counted(text: &str) -> Counted {
    let checked = read(text);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    let model = checked.module.models.last().expect("a model");
    let mut found = twinc::diag::Diagnostics::default();
    let flat = flatten_counting(model, &Variation::default(), &mut found).expect("flat");
    flat.check_jumps(&mut found);
    assert!(!found.has_errors(), "{found:?}");
    let kernels = Kernels::compile(Arc::new(flat), &Options::default()).expect("compiled");
    let jumps = JumpKernels::compile(&kernels).expect("compiled");
    Counted { kernels, jumps }
}

/// A compiled model with its noise.
pub struct Noisy {
    pub kernels: Kernels,
    pub noise: DiffusionKernels,
}

/// The last model of a text with its noise.
pub fn noisy(text: &str) -> Noisy {
    let flat = read(text).flat();
    let kernels = Kernels::compile(Arc::new(flat), &Options::default()).expect("compiled");
    let noise = DiffusionKernels::compile(&kernels).expect("compiled");
    Noisy { kernels, noise }
}

/// Declared parameters and inputs.
fn declared(model: &FlatModel) -> (Vec<f64>, Forcing) {
    let of = |inputs: &[twinc::flat::Input]| inputs.iter().map(|i| i.value).collect::<Vec<_>>();
    let params = model.params.iter().map(|p| p.value).collect();
    (params, Forcing::constant(&of(&model.inputs), &of(&model.disturbances)))
}

/// One path: the states at each of `samples`.
pub fn path(
    solver: &mut Stochastic<'_>,
    model: &FlatModel,
    samples: &[f64],
    seed: u64,
    k: u64,
) -> (Outcome, Vec<Vec<f64>>) {
    let (p, forcing) = declared(model);
    let t1 = samples.last().copied().unwrap_or(0.0);
    let problem =
        Problem { t0: 0.0, t1, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let mut seen = Vec::new();
    let mut rng = stream(seed, k);
    let outcome = solver
        .solve(&problem, samples, &mut rng, &mut |sample: Sample<'_>| {
            assert_eq!((sample.idx, sample.at.t), (seen.len(), samples[seen.len()]), "samples come in order");
            seen.push(sample.at.x.to_vec());
        })
        .expect("a valid problem");
    (outcome, seen)
}

impl Counted {
    pub fn solver(&self, method: StochasticMethod, selection: Selection) -> Stochastic<'_> {
        self.solver_with(StochasticOptions { selection, ..StochasticOptions::new(method) })
    }

    pub fn solver_with(&self, options: StochasticOptions) -> Stochastic<'_> {
        Stochastic::new(&self.kernels, Law::Jumps(&self.jumps), options).expect("valid options")
    }

    /// The place of a state.
    pub fn state(&self, name: &str) -> usize {
        self.kernels.model().states.iter().position(|s| s.quantity.name == name).expect("a state")
    }

    /// `values[k][row]` of one state over `n` paths.
    pub fn paths(&self, options: StochasticOptions, state: &str, samples: &[f64], n: u64) -> Vec<Vec<f64>> {
        let mut solver = self.solver_with(options);
        let state = self.state(state);
        let one = |k| {
            let (outcome, seen) = path(&mut solver, self.kernels.model(), samples, 17, k);
            assert!(outcome.status.is_success(), "{}", outcome.status);
            seen.iter().map(|x| x[state]).collect()
        };
        (0..n).map(one).collect()
    }
}

/// Mean, variance and fourth central moment.
pub fn moments(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let central = |power: i32| values.iter().map(|v| (v - mean).powi(power)).sum::<f64>() / n;
    (mean, central(2) * n / (n - 1.0), central(4))
}

/// Asserts mean and variance within five standard errors of the exact ones.
#[track_caller]
pub fn assert_moments(values: &[f64], mean: f64, variance: f64, what: &str) {
    let n = values.len() as f64;
    let (found, spread, fourth) = moments(values);
    let of_mean = 5.0 * (variance / n).sqrt() + 1e-12;
    let of_variance = 5.0 * ((fourth - spread * spread).max(0.0) / n).sqrt() + 1e-12;
    assert!((found - mean).abs() < of_mean, "{what}: mean {found}, exactly {mean} ± {of_mean}");
    assert!((spread - variance).abs() < of_variance, "{what}: variance {spread}, exactly {variance} ± {of_variance}");
}

/// Asserts that whole numbers follow a distribution, by Pearson's statistic over classes of at least ten expected. Its
/// mean is the number of classes − 1 and its variance twice that; the bound is five standard deviations above.
#[track_caller]
pub fn assert_distribution(values: &[f64], probability: impl Fn(usize) -> f64, n_classes: usize, what: &str) {
    let n = values.len() as f64;
    let (mut statistic, mut classes) = (0.0, 0.0);
    let (mut expected, mut seen, mut total) = (0.0, 0.0, 0.0);
    for k in 0..n_classes {
        expected += n * probability(k);
        seen += values.iter().filter(|v| **v == k as f64).count() as f64;
        let is_rest_small = n - total - expected < 10.0;
        if expected >= 10.0 && !is_rest_small {
            statistic += (seen - expected).powi(2) / expected;
            classes += 1.0;
            total += expected;
            (expected, seen) = (0.0, 0.0);
        }
    }
    let outside = values.iter().filter(|v| v.fract() != 0.0 || **v < 0.0 || **v >= n_classes as f64).count();
    assert_eq!(outside, 0, "{what}: counts outside of 0 .. {n_classes}");
    // What is left over is the last class.
    let rest = n - total;
    statistic += (seen - rest).powi(2) / rest.max(1e-300);
    let freedom: f64 = classes;
    let bound = freedom + 5.0 * (2.0 * freedom).sqrt();
    assert!(statistic < bound, "{what}: Pearson's statistic {statistic} over {} classes", classes + 1.0);
}
