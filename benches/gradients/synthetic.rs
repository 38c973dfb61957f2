//! Networks of any size with all rate constants free, and made-up data for them.

use std::fmt::Write as _;
use std::sync::Arc;
use twinc::calibrate::{Experiment, FitSettings, Link, Measurement, Parameter, Problem, Scale, Target};
use twinc::diag::Diagnostics;
use twinc::flat::{FlatModel, Variation, flatten};
use twinc::hir;
use twinc::integrate::{Forcing, Tolerance};
use twinc::jit::{Kernels, Needs, Options};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

/// Nothing is imported.
struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("nothing is imported"))
    }
}

/// S0 ⇌ S1 ⇌ ... with a rate constant for each direction.
pub fn chain(n_species: usize) -> String {
    let mut text = String::from("model Chain {\n");
    for i in 0..n_species - 1 {
        let (forward, backward) = (1.0 + 10.0 * (i % 5) as f64, 0.5 + (i % 3) as f64);
        writeln!(text, "  param f{i} = {forward} in 1e-3 .. 1e3\n  param b{i} = {backward} in 1e-3 .. 1e3")
            .expect("text");
    }
    for i in 0..n_species {
        writeln!(text, "  species S{i} = {}", if i == 0 { "1.0" } else { "0.0" }).expect("text");
    }
    text.push_str("  reaction {\n");
    for i in 0..n_species - 1 {
        writeln!(text, "    S{i} -> S{} @ f{i}\n    S{} -> S{i} @ b{i}", i + 1, i + 1).expect("text");
    }
    text.push_str("  }\n");
    finish(text, n_species)
}

/// `A + B -> C + D` among random species, `n_reactions` of them with a rate constant each: bounded, and not linear.
pub fn random(n_species: usize, n_reactions: usize) -> String {
    let mut seed = 20_240_501_u64;
    let mut draw = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    let mut text = String::from("model Random {\n");
    for i in 0..n_reactions {
        let rate = 10f64.powf(draw(200) as f64 / 100.0 - 1.0);
        writeln!(text, "  param k{i} = {rate} in 1e-3 .. 1e3").expect("text");
    }
    for i in 0..n_species {
        writeln!(text, "  species S{i} = {}", 0.1 + draw(100) as f64 / 100.0).expect("text");
    }
    text.push_str("  reaction {\n");
    for i in 0..n_reactions {
        let a = i % n_species;
        let mut other = |taken: &[usize]| loop {
            let species = draw(n_species);
            if !taken.contains(&species) {
                return species;
            }
        };
        let b = other(&[a]);
        let c = other(&[a, b]);
        let d = other(&[a, b, c]);
        writeln!(text, "    S{a} + S{b} -> S{c} + S{d} @ k{i}").expect("text");
    }
    text.push_str("  }\n");
    finish(text, n_species)
}

/// Ten of the species are observed.
fn finish(mut text: String, n_species: usize) -> String {
    for k in 0..n_species.min(10) {
        writeln!(text, "  observe y{k} = S{} ~ Normal(sd = 0.1)", k * n_species / n_species.min(10)).expect("text");
    }
    text.push_str("}\n");
    text
}

fn model(text: &str) -> Arc<FlatModel> {
    let mut sources = SourceMap::default();
    let mut found = Diagnostics::default();
    let root = sources.add(SourceFile::new("synthetic.twin", text));
    let module = hir::load(&mut sources, root, None, &NoFiles, false, &mut found);
    if let Some(first) = found.iter().next() {
        panic!("{} {} at `{}`", first.code, first.title, sources.slice(first.span()));
    }
    let model = module.models.last().expect("a model");
    let flat = flatten(model, &Variation::default(), &mut found);
    Arc::new(flat.unwrap_or_else(|| panic!("{}", found.iter().next().map_or("no equations", |first| &first.title))))
}

/// Number of states, and a fit of all parameters of a model to ten measurements of each observable up to `t1`.
pub fn problem(text: &str, t1: f64) -> (usize, Problem) {
    let model = model(text);
    let kernels = Kernels::compile(model.clone(), &Options::default()).expect("compiles");
    kernels.prepare(Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES).expect("compiles");
    // The spreads are parameters of the model too, and not estimated.
    let free = model.params.iter().filter(|p| p.quantity.high.is_finite() && p.quantity.low > 0.0).count();
    let parameters = model.params[..free].iter().map(|p| Parameter {
        name: p.quantity.name.clone(),
        scale: Scale::Log,
        low: p.quantity.low,
        high: p.quantity.high,
        nominal: p.value,
        prior: None,
    });
    let times = (1..=10).map(|k| t1 * f64::from(k) / 10.0);
    let n_observables = model.observables.len();
    let measurements = times.flat_map(|time| {
        (0..n_observables).map(move |observable| Measurement {
            time,
            observable,
            value: 0.1 + 0.02 * observable as f64,
        })
    });
    let experiment = Experiment {
        name: String::new(),
        observables: model.observables.clone(),
        state_names: Vec::new(),
        params: model.params.iter().map(|p| p.value).collect(),
        links: (0..free).map(|k| Link { parameter: k, target: Target::Param(k) }).collect(),
        start: Vec::new(),
        steady: None,
        forcing: Forcing::default(),
        t0: 0.0,
        tolerance: Tolerance::Scalar(1e-9),
        measurements: measurements.collect(),
        system: Arc::new(kernels),
    };
    let settings = FitSettings { rtol: 1e-6, ..FitSettings::default() };
    let problem = Problem::new(parameters.collect(), vec![experiment], &settings).expect("a fit");
    (model.states.len(), problem)
}
