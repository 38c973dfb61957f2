//! Shipped models as the compiler makes them, and points at which to look at them.

use std::path::Path;
use std::sync::Arc;

use rand::Rng as _;
use twinc::flat::{FlatModel, Input};
use twinc::integrate::{Forcing, Integrator, Options, Problem, Sample, Start};
use twinc::jit::{self, Kernels, Needs, Part};
use twinc::random;

use crate::compile;

/// All models of a text, flat; an error fails the test.
pub fn flat_models(name: &str, text: &str) -> Vec<Arc<FlatModel>> {
    let checked = compile::check(name, text, false);
    assert!(!checked.diagnostics.has_errors(), "{}", compile::render(&checked));
    assert_eq!(checked.flats.len(), checked.module.models.len());
    checked.flats.into_iter().map(Arc::new).collect()
}

/// All models of a file of `models/`, flat.
pub fn shipped_models(file: &str) -> Vec<Arc<FlatModel>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(file).with_extension("twin");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    flat_models(&path.to_string_lossy(), &text)
}

/// One model of a file of `models/`, compiled for simulation by any method.
pub fn shipped_kernels(file: &str, model: &str) -> Kernels {
    let flat = shipped_models(file).into_iter().find(|m| m.name == model);
    let kernels = kernels(&flat.unwrap_or_else(|| panic!("{file} declares no `{model}`")), false);
    kernels.prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
    kernels
}

/// A model compiled, all its kernels included.
pub fn all_kernels(flat: &Arc<FlatModel>, strict_math: bool) -> Kernels {
    let kernels = kernels(flat, strict_math);
    kernels.prepare(Needs::of(&Part::ALL)).expect("machine code");
    kernels
}

fn kernels(flat: &Arc<FlatModel>, strict_math: bool) -> Kernels {
    Kernels::compile(flat.clone(), &jit::Options { strict_math }).expect("machine code")
}

/// Position of a state.
pub fn state(flat: &FlatModel, name: &str) -> usize {
    let found = flat.states.iter().position(|s| s.quantity.name == name);
    found.unwrap_or_else(|| panic!("`{}` has no state `{name}`", flat.name))
}

/// Declared values.
pub fn values(inputs: &[Input]) -> Vec<f64> {
    inputs.iter().map(|i| i.value).collect()
}

/// Everything that a kernel reads, with a direction for second derivatives.
#[derive(Debug, Clone)]
pub struct Point {
    pub t: f64,
    pub x: Vec<f64>,
    pub u: Vec<f64>,
    pub d: Vec<f64>,
    pub p: Vec<f64>,
    pub dx: Vec<f64>,
    pub dt: f64,
}

/// The declared start, states along the trajectory from there (declared values, up to the last assertion of the model),
/// and random points around them within the declared domains.
pub fn points(flat: &FlatModel, kernels: &Kernels, n_random: usize) -> Vec<Point> {
    let mut rng = random::stream(11, 0);
    let (u, d) = (values(&flat.inputs), values(&flat.disturbances));
    let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
    let end = flat.expectations.iter().map(|e| e.time).filter(|t| *t > 0.0).fold(f64::INFINITY, f64::min);
    let end = if end.is_finite() { end } else { 1.0 };
    let times: Vec<f64> = [0.0, 1e-3, 0.01, 0.1, 0.3, 0.6, 1.0].iter().map(|s| s * end).collect();
    let mut list = Vec::new();
    let forcing = Forcing::constant(&u, &d);
    let problem =
        Problem { t0: 0.0, t1: end, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let mut integrator = Integrator::new(kernels, Options::default()).expect("options");
    let outcome = integrator.solve(&problem, &times, &mut |s: Sample<'_>| {
        let (x, u, d) = (s.at.x.to_vec(), u.clone(), d.clone());
        list.push(Point { t: s.at.t, x, u, d, p: p.clone(), dx: Vec::new(), dt: 0.0 });
    });
    assert!(outcome.expect("a problem").status.is_success(), "{}", flat.name);

    let n_on_trajectory = list.len();
    for k in 0..n_random {
        let near = list[k % n_on_trajectory].clone();
        let mut within = |near: f64, low: f64, high: f64, largest: f64| {
            let value = if near == 0.0 {
                largest * rng.random_range(0.01..1.0)
            } else {
                near * 10f64.powf(rng.random_range(-0.5..0.5))
            };
            value.clamp(low, high)
        };
        let x = (0..near.x.len()).map(|i| {
            let q = &flat.states[i].quantity;
            let largest = list[..n_on_trajectory].iter().map(|point| point.x[i].abs()).fold(0.0, f64::max);
            within(near.x[i], q.low, q.high, if largest == 0.0 { 1.0 } else { largest })
        });
        let x = x.collect();
        let u = flat.inputs.iter().map(|i| within(i.value, i.quantity.low, i.quantity.high, 1.0)).collect();
        let d = flat.disturbances.iter().map(|i| within(i.value, i.quantity.low, i.quantity.high, 1.0)).collect();
        let p = flat.params.iter().map(|p| within(p.value, p.quantity.low, p.quantity.high, 1.0)).collect();
        let t = end * rng.random_range(0.0..1.0);
        list.push(Point { t, x, u, d, p, dx: Vec::new(), dt: 0.0 });
    }
    for point in &mut list {
        point.dx = point.x.iter().map(|x| (x.abs() + 0.1) * rng.random_range(-1.0..1.0)).collect();
        point.dt = rng.random_range(-1.0..1.0);
    }
    list
}
