//! Steady states, conservation laws and stability against closed forms, long integrations and central differences.

mod fit;
mod network;
mod steady;

use std::path::Path;
use std::sync::Arc;

use twinc::analyze::{NotSteady, Steady, SteadyStart, SteadyStates, Structure};
use twinc::flat::FlatModel;
use twinc::integrate::{Direction, Forcing, Problem, Start};
use twinc::jit::{self, Kernels, Needs};

use crate::compile;

/// A compiled model with what a search of its steady states needs.
struct Subject {
    kernels: Kernels,
    structure: Structure,
    forcing: Forcing,
    p: Vec<f64>,
    scale: Vec<f64>,
}

impl Subject {
    fn new(text: &str) -> Subject {
        Subject::of(compile::read(text).flat())
    }

    /// A model of `models/`.
    fn shipped(file: &str, model: &str) -> Subject {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(file).with_extension("twin");
        let text = std::fs::read_to_string(&path).expect("a shipped model");
        let checked = compile::check(&path.to_string_lossy(), &text, false);
        Subject::of(checked.flats.into_iter().find(|m| m.name == model).expect("a model of this name"))
    }

    fn of(flat: FlatModel) -> Subject {
        let structure = Structure::of(&flat);
        let hold = |list: &[twinc::flat::Input]| list.iter().map(|i| i.value).collect::<Vec<_>>();
        let forcing = Forcing::constant(&hold(&flat.inputs), &hold(&flat.disturbances));
        let p: Vec<f64> = flat.params.iter().map(|param| param.value).collect();
        let scale = twinc::calibrate::bind::absolute_tolerances(&flat, &p, 1.0);
        let kernels = Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("machine code");
        kernels.prepare(Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES).expect("machine code");
        Subject { kernels, structure, forcing, p, scale }
    }

    fn param(&self, name: &str) -> usize {
        let params = &self.kernels.model().params;
        params.iter().position(|q| q.quantity.name == name).expect("a parameter of this name")
    }

    fn state(&self, name: &str) -> usize {
        let states = &self.kernels.model().states;
        states.iter().position(|q| q.quantity.name == name).expect("a state of this name")
    }

    fn set(mut self, name: &str, value: f64) -> Subject {
        let k = self.param(name);
        self.p[k] = value;
        self
    }

    fn start(&self, p: &[f64], start: Start<'_>, directions: &[Direction]) -> Result<SteadyStart, NotSteady> {
        let problem = Problem { t0: 0.0, t1: 0.0, start, p, forcing: &self.forcing, directions, resumes: false };
        SteadyStates::new(&self.kernels, &self.structure, &self.scale).start(&problem)
    }

    fn steady(&self) -> Steady {
        self.start(&self.p, Start::Model, &[]).map(|s| s.steady).unwrap_or_else(|e| panic!("{e:?}"))
    }

    fn value(&self, steady: &Steady, name: &str) -> f64 {
        steady.x[self.state(name)]
    }

    /// Derivatives of the steady state in every parameter and start value against central differences.
    fn check_slopes(&self, tolerance: f64) {
        let n = self.kernels.model().states.len();
        let x0: Vec<(usize, f64)> =
            twinc::calibrate::bind::start_values(self.kernels.model(), &self.p).into_iter().enumerate().collect();
        let mut directions: Vec<Direction> = (0..self.p.len()).map(Direction::parameter).collect();
        directions.extend((0..n).map(Direction::start_value));
        for (k, direction) in directions.iter().enumerate() {
            // Start values are free of the parameters where they are differentiated by themselves.
            let is_start = k >= self.p.len();
            let overrides = if is_start { x0.as_slice() } else { &[] };
            let found = self.start(&self.p, Start::Overrides(overrides), std::slice::from_ref(direction));
            let mut exact = vec![0.0; n];
            found.expect("a steady state").directions[0].start.iter().for_each(|&(i, v)| exact[i] = v);
            let at = |sign: f64| {
                let (mut p, mut x0) = (self.p.clone(), overrides.to_vec());
                let h = if is_start {
                    let state = k - self.p.len();
                    let h = 1e-5 * self.scale[state].max(x0[state].1.abs());
                    x0[state].1 += sign * h;
                    h
                } else {
                    let h = if p[k] == 0.0 { 1e-6 } else { 1e-5 * p[k].abs() };
                    p[k] += sign * h;
                    h
                };
                let end = self.start(&p, Start::Overrides(&x0), &[]).expect("a steady state").steady;
                (end.x, h)
            };
            let ((high, h), (low, _)) = (at(1.0), at(-1.0));
            let theta = if is_start { self.scale[k - self.p.len()] } else { self.p[k].abs().max(1e-3) };
            for i in 0..n {
                let difference = (high[i] - low[i]) / (2.0 * h);
                let error = (difference - exact[i]).abs() * theta / self.scale[i].max(high[i].abs());
                assert!(error < tolerance, "direction {k}, state {i}: {} against {difference}", exact[i]);
            }
        }
    }
}
