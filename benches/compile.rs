//! What it takes from source text to ready kernels, and to check a large text.
//!
//! `cargo bench --bench compile` prints each stage; with `-- --check` it fails where STAT5 takes more than 5 ms,
//! right-hand side, Jacobian and parameter derivatives of a chain of 1000 species more than 60 ms, of 5000 species
//! more than 300 ms, of a random network of 10,000 reactions more than 500 ms, where the time grows faster than
//! size^1.1 from 1000 to 10,000 reactions, or where 16,000 statements take more than 0.5 s to parse and check. What
//! counts is this thread's time on the processor, where Linux tells it, so that other work on the machine takes little
//! part; large straight-line kernels are compiled by a second thread beside it. Bars hold for the fastest of several
//! runs; medians stand beside them.

mod clock;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clock::Stopwatch;
use twinc::diag::Diagnostics;
use twinc::flat::{FlatModel, Variation, flatten};
use twinc::hir::{self, Module};
use twinc::jit::{Kernels, Needs, Options, Part};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

const STAT5_BAR: f64 = 5e-3;
const CHAIN_1000_BAR: f64 = 60e-3;
const CHAIN_5000_BAR: f64 = 300e-3;
const NETWORK_BAR: f64 = 500e-3;
const LARGEST_EXPONENT: f64 = 1.1;
const CHECK_BAR: f64 = 0.5;

/// Texts in memory: the disk takes no part in the measurement.
struct Texts(HashMap<String, Arc<str>>);

impl Loader for Texts {
    fn load(&self, _from: &str, path: &str) -> Result<SourceFile, LoadError> {
        let text = self.0.get(path).ok_or_else(|| LoadError::new("not in memory"))?;
        Ok(SourceFile::new(path, text.clone()))
    }
}

/// The stages of one run, in seconds.
#[derive(Clone, Copy)]
struct Stages {
    /// Text to checked model.
    check: f64,
    /// Checked model to flat equations.
    flatten: f64,
    /// Flat equations to plans, derivatives included.
    plan: f64,
    /// Plans to machine code.
    code: f64,
}

impl Stages {
    fn total(self) -> f64 {
        self.check + self.flatten + self.plan + self.code
    }
}

fn check(name: &str, text: &Arc<str>, texts: &Texts) -> Module {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new(name, text.clone()));
    let module = hir::load(&mut sources, root, None, texts, false, &mut diagnostics);
    if let Some(first) = diagnostics.iter().next() {
        panic!("{name}: {} {} at `{}`", first.code, first.title, sources.slice(first.span()));
    }
    module
}

/// From text to kernels once.
fn compile(name: &str, text: &Arc<str>, texts: &Texts, needs: Needs) -> (Stages, Arc<FlatModel>, Kernels) {
    let begin = Stopwatch::start();
    let module = check(name, text, texts);
    let checked = begin.seconds();
    let model = module.models.last().or_else(|| module.studies.last().map(|s| &s.model)).expect("a model");
    let mut diagnostics = Diagnostics::default();
    let begin = Stopwatch::start();
    let flat = Arc::new(flatten(model, &Variation::default(), &mut diagnostics).expect("flat equations"));
    let flattened = begin.seconds();
    let begin = Stopwatch::start();
    let kernels = Kernels::compile(flat.clone(), &Options::default()).expect("kernels");
    kernels.prepare(needs).expect("kernels");
    let compiled = begin.seconds();
    // The share of machine code, by the wall clock.
    let (plan, code) = kernels.timings().iter().fold((1e-9, 1e-9), |(plan, code), timing| {
        (plan + timing.plan.as_secs_f64(), code + timing.compile.as_secs_f64())
    });
    let share = code / (plan + code);
    let stages = Stages { check: checked, flatten: flattened, plan: compiled * (1.0 - share), code: compiled * share };
    (stages, flat, kernels)
}

/// The fastest and the median of several runs, by `key`.
fn best<T: Copy>(n_runs: usize, mut run: impl FnMut() -> T, key: impl Fn(T) -> f64) -> (T, T) {
    let mut runs: Vec<T> = (0..n_runs).map(|_| run()).collect();
    runs.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
    (runs[0], runs[n_runs / 2])
}

fn report(name: &str, n_runs: usize, text: &Arc<str>, texts: &Texts, needs: Needs) -> Stages {
    let ((fast, n_states, n_params), (median, ..)) = best(
        n_runs,
        || {
            let (stages, flat, kernels) = compile(name, text, texts, needs);
            black_box(&kernels);
            (stages, flat.states.len(), flat.params.len())
        },
        |(stages, ..)| stages.total(),
    );
    println!(
        "{name}: {n_states} states, {n_params} parameters, {} bytes: check {:.2}, flatten {:.2}, \
         differentiate and plan {:.2}, machine code {:.2}, together {:.2} ms (median {:.2})",
        text.len(),
        fast.check * 1e3,
        fast.flatten * 1e3,
        fast.plan * 1e3,
        fast.code * 1e3,
        fast.total() * 1e3,
        median.total() * 1e3
    );
    fast
}

/// A chain of `n` species and n − 1 reversible reactions, each with two constants.
fn chain(n: usize) -> Arc<str> {
    let mut text = String::from("model Chain {\n  time [s]\n  species {\n    S0 [uM] = 1\n");
    for i in 1..n {
        let _ = writeln!(text, "    S{i} [uM] = 0");
    }
    text.push_str("  }\n  param {\n");
    for i in 1..n {
        let _ = writeln!(text, "    f{i} [1/s] = {}\n    b{i} [1/s] = {}.5", 1 + 10 * (i % 5), i % 3);
    }
    text.push_str("  }\n  reaction {\n");
    for i in 1..n {
        let _ = writeln!(text, "    r{i}: S{} <-> S{i} @ f{i}, b{i}", i - 1);
    }
    text.push_str("  }\n}\n");
    text.into()
}

/// A network of `n` mass-action reactions among n/4 species, drawn at random: four fifths join two species, the others
/// turn one into another.
fn network(n: usize) -> Arc<str> {
    let n_species = (n / 4).max(4);
    let mut draws = 0x9e37_79b9_u64;
    let mut draw = |below: usize| {
        // Knuth's linear congruential generator; its high bits are random enough to pick species.
        draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draws >> 33) as usize % below
    };
    let mut text = String::from("model Network {\n  time [s]\n  species {\n");
    for i in 0..n_species {
        let _ = writeln!(text, "    S{i} [uM] = 1");
    }
    text.push_str("  }\n  param {\n");
    for i in 0..n {
        let unit = if i % 5 == 0 { "1/s" } else { "1/uM/s" };
        let _ = writeln!(text, "    k{i} [{unit}] = {}.25", i % 7);
    }
    text.push_str("  }\n  reaction {\n");
    for i in 0..n {
        let a = draw(n_species);
        let b = (a + 1 + draw(n_species - 2)) % n_species;
        let c = (0..).map(|_| draw(n_species)).find(|&c| c != a && c != b).unwrap_or(0);
        let _ = if i % 5 == 0 {
            writeln!(text, "    r{i}: S{a} -> S{c} @ k{i}")
        } else {
            writeln!(text, "    r{i}: S{a} + S{b} -> S{c} @ k{i}")
        };
    }
    text.push_str("  }\n}\n");
    text.into()
}

/// A model of about `n` statements as people write them: species and reactions, states and their equations, parameters
/// with units, bounds and words, named algebra without units. Returns it with the number of statements.
fn large(n: usize) -> (Arc<str>, usize) {
    let n_blocks = n.div_ceil(11);
    let mut text = String::from("model Large \"generated\" {\n  time [h]\n");
    let mut n_statements = 2;
    for i in 0..n_blocks {
        let next = (i + 1) % n_blocks;
        let _ = write!(
            text,
            "  species A{i} [uM] = {:.2} in 0 .. 500 \"substrate of step {i}\"\n\
             \x20 species B{i} [mM] = 0.5 \"product of step {i}\"\n\
             \x20 state level{i} [m] = 1.5 in 0 .. 3\n\
             \x20 param kcat{i} [1/s] = 0.25 in 1e-3 .. 1e2 \"turnover\"\n\
             \x20 param Km{i} [uM] = 12.5 in 1 .. 100\n\
             \x20 param tau{i} [min] = 30 in 1 .. 600 ~ LogNormal(median = 30, gsd = 1.5)\n\
             \x20 let occupied{i} [1] = A{i}/(Km{i} + A{i})\n\
             \x20 let fill{i} = level{i}/{:.1} [m]\n\
             \x20 step{i}: A{i} -> B{i} rate kcat{i}*A{i}*occupied{i}/(1 + B{i}/{:.1} [mM])\n\
             \x20 carry{i}: B{i} -> A{next} @ {:.3} [1/h]\n\
             \x20 level{i}' = (1 [m] + 0.1 [m]*occupied{i} - level{i})*(1 + fill{i})/tau{i}\n",
            1.0 + (i % 90) as f64 * 0.25,
            3.0 + (i % 5) as f64,
            2.0 + (i % 7) as f64,
            0.5 + (i % 11) as f64 * 0.125,
        );
        n_statements += 11;
    }
    text.push_str("}\n");
    (text.into(), n_statements)
}

fn main() -> ExitCode {
    let is_checked = std::env::args().any(|a| a == "--check");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| -> Arc<str> { std::fs::read_to_string(folder.join(path)).expect(path).into() };
    let none = Texts(HashMap::new());
    let mut failures: Vec<String> = Vec::new();
    let mut hold = |what: &str, value: f64, bar: f64| {
        println!("  {what}: {value:.4} (at most {bar})");
        if value > bar {
            failures.push(format!("{what} is {value:.4}, at most {bar} is allowed"));
        }
    };

    let stat5 = Texts(HashMap::from([("../../models/stat5.twin".to_owned(), read("models/stat5.twin"))]));
    let study = read("examples/stat5/stat5.twin");
    let needs = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    let fast = report("stat5 (study and model, all kernels of a calibration)", 41, &study, &stat5, needs);
    hold("seconds for stat5", fast.total(), STAT5_BAR);

    let needs = Needs::of(&[Part::Rhs, Part::Jacobian, Part::ParameterJacobian]);
    let exponent = |times: &[f64]| (times[times.len() - 1] / times[0]).log10();
    let runs = |n: usize| if n > 2_000 { 5 } else { 15 };
    let chain_times = [1_000, 5_000, 10_000].map(|n| {
        let name = format!("chain of {n} (f and its derivatives in x and p)");
        report(&name, runs(n), &chain(n), &none, needs).total()
    });
    hold("seconds for a chain of 1000", chain_times[0], CHAIN_1000_BAR);
    hold("seconds for a chain of 5000", chain_times[1], CHAIN_5000_BAR);
    hold("growth exponent of chains from 1000 to 10,000", exponent(&chain_times), LARGEST_EXPONENT);
    let network_times = [1_000, 3_000, 10_000].map(|n| {
        let name = format!("random network of {n} reactions (f and its derivatives in x and p)");
        report(&name, runs(n), &network(n), &none, needs).total()
    });
    hold("seconds for 10,000 random reactions", network_times[2], NETWORK_BAR);
    hold("growth exponent of networks from 1000 to 10,000", exponent(&network_times), LARGEST_EXPONENT);

    let (text, n_statements) = large(16_000);
    let run = || {
        let begin = Stopwatch::start();
        black_box(check("large", &text, &none));
        begin.seconds()
    };
    let (fast, median) = best(7, run, |t| t);
    println!("parse and check of {n_statements} statements, {} bytes: {fast:.3} s (median {median:.3})", text.len());
    hold("seconds for 16,000 statements", fast, CHECK_BAR);

    for failure in &failures {
        eprintln!("{failure}");
    }
    if is_checked && !failures.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
