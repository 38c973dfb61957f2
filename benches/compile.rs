//! What it takes from source text to ready kernels, and to check a large text.
//!
//! `cargo bench --bench compile` prints each stage; with `-- --check` it fails where STAT5 takes more than 5 ms, a
//! chain of 1000 species more than 100 ms, the time of chains grows faster than size^1.1 from 100 to 10,000 reactions,
//! or 16,000 statements take more than 0.5 s to parse and check. Everything runs in one thread; where Linux tells a
//! thread's time on the processor, that is what counts, so that other work on the machine takes little part. Bars hold
//! for the fastest of several runs; medians stand beside them.

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
use twinc::jit::{Kernels, Needs, Options};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

const STAT5_BAR: f64 = 5e-3;
const CHAIN_BAR: f64 = 100e-3;
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
    /// Flat equations to kernels, derivatives included.
    compile: f64,
}

impl Stages {
    fn total(self) -> f64 {
        self.check + self.flatten + self.compile
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
    (Stages { check: checked, flatten: flattened, compile: compiled }, flat, kernels)
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
        "{name}: {n_states} states, {n_params} parameters, {} bytes: check {:.2}, flatten {:.2}, compile {:.2}, \
         together {:.2} ms (median {:.2})",
        text.len(),
        fast.check * 1e3,
        fast.flatten * 1e3,
        fast.compile * 1e3,
        fast.total() * 1e3,
        median.total() * 1e3
    );
    fast
}

/// A chain of `n` species and n − 1 reactions, half of them mass action, half saturating.
fn chain(n: usize) -> Arc<str> {
    let mut text = String::from("model Chain {\n  time [s]\n  species {\n    S0 [uM] = 10\n");
    for i in 1..n {
        let _ = writeln!(text, "    S{i} [uM] = 0");
    }
    text.push_str("  }\n  param {\n");
    for i in 1..n {
        if i % 2 == 0 {
            let _ = writeln!(text, "    k{i} [1/s] = {:.3} in 1e-3 .. 1e3", 0.5 + 0.001 * i as f64);
        } else {
            let _ = writeln!(text, "    V{i} [uM/s] = {:.3} in 1e-3 .. 1e3\n    K{i} [uM] = 2", 1.0 + 0.001 * i as f64);
        }
    }
    text.push_str("  }\n  reaction {\n");
    for i in 1..n {
        let from = i - 1;
        if i % 2 == 0 {
            let _ = writeln!(text, "    r{i}: S{from} -> S{i} @ k{i}");
        } else {
            let _ = writeln!(text, "    r{i}: S{from} -> S{i} rate V{i}*S{from}/(K{i} + S{from})");
        }
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

    let needs = Needs::SIMULATION | Needs::STIFF;
    let sizes = [100, 300, 1_000, 3_000, 10_000];
    let times: Vec<f64> = sizes
        .iter()
        .map(|&n| {
            report(
                &format!("chain of {n} (kernels of a stiff simulation)"),
                if n > 2_000 { 5 } else { 15 },
                &chain(n + 1),
                &none,
                needs,
            )
            .total()
        })
        .collect();
    hold("seconds for 1000 reactions", times[2], CHAIN_BAR);
    hold("growth exponent from 100 to 10,000 reactions", (times[4] / times[0]).log10() / 2.0, LARGEST_EXPONENT);
    let steps = sizes.windows(2).zip(times.windows(2));
    let slopes: Vec<String> =
        steps.map(|(n, t)| format!("{:.2}", (t[1] / t[0]).ln() / (n[1] as f64 / n[0] as f64).ln())).collect();
    println!("  exponents between neighbors: {}", slopes.join(", "));

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
