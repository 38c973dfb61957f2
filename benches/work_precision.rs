//! Error against tolerance and time of the integrators, on the classical initial value problems as shipped models.
//!
//! `TWINC_REFERENCE_DIR=.. cargo bench --bench work_precision` prints the tables of `docs/performance.md`; with
//! `-- --svg FILE` it draws them, with `-- --check` it fails where an error does not fall in proportion to rtol. An
//! error is the largest over the reference times in the measure of the reference files,
//! `max_i |a_i - b_i| / (|b_i| + offset)`; times are the fastest of several solves, without compiling.

mod clock;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clock::Stopwatch;
use serde_json::Value;
use twinc::diag::Diagnostics;
use twinc::export::plot::{Axis, Figure, Panel, Series, svg};
use twinc::flat::{Variation, flatten};
use twinc::hir;
use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Start, Tolerance};
use twinc::jit::{self, Kernels, Needs};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

/// The local error is held to the tolerance, so that the error falls in proportion to rtol.
const EXPONENTS: std::ops::RangeInclusive<f64> = 0.7..=1.5;

/// The tightest tolerances, from which the exponents are taken.
const N_FITTED: usize = 5;

/// One problem: its model, and the size of each state that counts as zero, in units of rtol.
struct Case {
    title: &'static str,
    file: &'static str,
    source: &'static str,
    /// States in the order of the reference.
    states: Vec<String>,
    /// The absolute tolerance is this times rtol.
    atol: f64,
    /// The same for single states.
    fine: &'static [(&'static str, f64)],
    end: f64,
    methods: &'static [Method],
}

const STIFF: &[Method] = &[Method::Rodas5p];
const NOT_STIFF: &[Method] = &[Method::Tsit5, Method::Rodas5p];

fn numbered(name: &str, n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("{name}{i}")).collect()
}

fn families(names: &[&str], n: usize) -> Vec<String> {
    names.iter().flat_map(|name| (1..=n).map(move |i| format!("{name}({i})"))).collect()
}

fn cases() -> Vec<Case> {
    let pollution = "NO2 NO O3P O3 HO2 OH HCHO CO ALD MEO2 C2O3 CO2 PAN CH3O HNO3 O1D SO2 SO4 NO3 N2O5";
    let interleaved = (1..=20).flat_map(|i| [format!("u({i})"), format!("v({i})")]).collect();
    let case = |title, file, source, states, atol, end, methods| Case {
        title,
        file,
        source,
        states,
        atol,
        fine: &[],
        end,
        methods,
    };
    vec![
        Case {
            fine: &[("y1", 1e-8), ("y2", 1e-14)],
            ..case("Robertson, t = 1e11", "robertson", "robertson", numbered("y", 3), 1e-2, 1e11, STIFF)
        },
        case("HIRES, t = 421.8", "hires", "hires", numbered("y", 8), 1e-4, 421.8122, STIFF),
        case("OREGO, t = 360", "orego", "oregonator", numbered("y", 3), 1.0, 360.0, STIFF),
        Case {
            fine: &[("O1D", 1e-14)],
            ..case(
                "Pollution, t = 60",
                "pollution",
                "pollution",
                pollution.split(' ').map(str::to_owned).collect(),
                1e-6,
                60.0,
                STIFF,
            )
        },
        case("Van der Pol, t = 2", "vdpol", "vdpol", numbered("y", 2), 1.0, 2.0, STIFF),
        case("Brusselator, 20 cells, t = 10", "brusselator_20", "brusselator", interleaved, 1.0, 10.0, NOT_STIFF),
        case("Pleiades, t = 3", "pleiades", "pleiades", families(&["x", "y", "vx", "vy"], 7), 1.0, 3.0, NOT_STIFF),
        case(
            "Arenstorf, t = 17.07",
            "arenstorf",
            "arenstorf",
            ["x", "y", "vx", "vy"].map(str::to_owned).into(),
            1.0,
            17.065_216_560_157_964,
            NOT_STIFF,
        ),
    ]
}

/// The models import only the standard library.
struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("no file is expected"))
    }
}

fn kernels(source: &str) -> Kernels {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(source).with_extension("twin");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new(source, text));
    let module = hir::load(&mut sources, root, None, &NoFiles, false, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{source} has errors");
    let flat = flatten(&module.models[0], &Variation::default(), &mut diagnostics).expect("flat equations");
    let kernels = Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("machine code");
    kernels.prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
    kernels
}

fn number(value: &Value) -> f64 {
    value.as_str().expect("a string").parse().expect("a number")
}

/// Reference values up to an end, and the offset of their difference measure.
struct Truth {
    offset: f64,
    times: Vec<f64>,
    /// A row per time.
    values: Vec<Vec<f64>>,
}

fn reference(dir: &Path, case: &Case) -> Truth {
    let path = dir.join("reference/ivp").join(case.file).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let data: Value = serde_json::from_str(&text).expect("JSON");
    let measure = data["difference_measure"].as_str().expect("text");
    let offset = measure.rsplit(['+', ')']).nth(1).expect("an offset").trim().parse().expect("a number");
    let rows = data["reference"].as_array().expect("a list").iter();
    let (times, values) = rows
        .map(|r| (number(&r["t"]), r["y"].as_array().expect("a list").iter().map(number).collect()))
        .filter(|(t, _): &(f64, Vec<f64>)| *t <= case.end)
        .unzip();
    Truth { offset, times, values }
}

/// One solve: error, steps and seconds.
#[derive(Clone, Copy)]
struct Run {
    rtol: f64,
    error: f64,
    steps: u64,
    seconds: f64,
}

fn run(kernels: &Kernels, case: &Case, method: Method, rtol: f64, truth: &Truth) -> Option<Run> {
    let flat = kernels.model();
    let place = |name: &str| flat.states.iter().position(|s| s.quantity.name == name).expect("a state");
    let places: Vec<usize> = case.states.iter().map(|name| place(name)).collect();
    let mut atol = vec![case.atol * rtol; places.len()];
    for (name, size) in case.fine {
        atol[place(name)] = size * rtol;
    }
    let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
    let forcing = Forcing::default();
    let problem = Problem {
        t0: 0.0,
        t1: case.end,
        start: Start::Model,
        p: &p,
        forcing: &forcing,
        directions: &[],
        resumes: false,
    };
    let options = Options { method, rtol, atol: Tolerance::PerState(atol), ..Options::default() };
    let mut integrator = Integrator::new(kernels, options).expect("options");
    let mut result = Run { rtol, error: f64::NAN, steps: 0, seconds: f64::INFINITY };
    let begin = Stopwatch::start();
    for round in 0..200 {
        if round >= 5 && begin.seconds() > 0.2 {
            break;
        }
        let before = Stopwatch::start();
        let mut error = 0.0_f64;
        let outcome = integrator.solve(&problem, &truth.times, &mut |sample: Sample<'_>| {
            for (place, b) in places.iter().zip(&truth.values[sample.idx]) {
                error = error.max((sample.at.x[*place] - b).abs() / (b.abs() + truth.offset));
            }
        });
        let outcome = outcome.expect("a problem");
        if !outcome.status.is_success() {
            return None;
        }
        let seconds = before.seconds().min(result.seconds);
        result = Run { error, steps: outcome.statistics.steps, seconds, ..result };
    }
    Some(result)
}

/// How the error grows with rtol and falls with the number of steps: slopes of the logarithms by least squares over the
/// tightest tolerances.
fn exponents(runs: &[Run]) -> (f64, f64) {
    let runs = &runs[runs.len().saturating_sub(N_FITTED)..];
    let n = runs.len() as f64;
    let slope = |x: &dyn Fn(&Run) -> f64| {
        let points: Vec<(f64, f64)> = runs.iter().map(|r| (x(r).ln(), r.error.ln())).collect();
        let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let xy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        xy / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
    };
    (slope(&|r| r.rtol), -slope(&|r| r.steps as f64))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(dir) = std::env::var_os("TWINC_REFERENCE_DIR").map(PathBuf::from) else {
        println!("skipped: no reference data");
        return ExitCode::SUCCESS;
    };
    let mut panels = Vec::new();
    let mut failures = Vec::new();
    println!(
        "| problem | method | error at rtol 1e-4 | 1e-6 | 1e-8 | 1e-10 | steps | ms | exponent of rtol | of steps |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for case in cases() {
        let kernels = kernels(case.source);
        let truth = reference(&dir, &case);
        let mut series = Vec::new();
        for (color, &method) in case.methods.iter().enumerate() {
            let rtols = (3..=10).map(|k| 10f64.powi(-k));
            let runs: Vec<Run> = rtols.filter_map(|rtol| run(&kernels, &case, method, rtol, &truth)).collect();
            let (by_rtol, by_steps) = exponents(&runs);
            let of = |text: &dyn Fn(&Run) -> String| runs.iter().skip(1).step_by(2).map(text).collect::<Vec<_>>();
            println!(
                "| {} | {} | {} | {} | {} | {by_rtol:.2} | {by_steps:.1} |",
                case.title,
                method.name(),
                of(&|r| format!("{:.1e}", r.error)).join(" | "),
                of(&|r| r.steps.to_string()).join(", "),
                of(&|r| format!("{:.2}", r.seconds * 1e3)).join(", "),
            );
            // Robertson's y1 remembers early rounding: below 1e-8 its error no longer falls in proportion.
            if case.file != "robertson" && !EXPONENTS.contains(&by_rtol) {
                failures.push(format!("{} by {}: the error falls as rtol^{by_rtol:.2}", case.title, method.name()));
            }
            let (x, y) = runs.iter().map(|r| (r.seconds * 1e3, r.error)).unzip();
            let color = color + if case.methods.len() == 1 { 1 } else { 0 };
            series.push(Series::line(method.name(), x, y, color));
        }
        let axis = |label: &str| Axis { is_log: true, ..Axis::new(label) };
        panels.push(Panel { title: case.title.to_owned(), x: axis("time [ms]"), y: axis("error"), series });
    }
    if let Some(path) = arguments.iter().position(|a| a == "--svg").and_then(|k| arguments.get(k + 1)) {
        let title = "Error against time at rtol 1e-3 .. 1e-10".to_owned();
        let figure = Figure { title, panels, n_columns: 2 };
        if let Err(e) = std::fs::write(path, svg(&figure)) {
            eprintln!("{path} cannot be written: {e}");
            return ExitCode::FAILURE;
        }
    }
    for failure in &failures {
        eprintln!("{failure}");
    }
    if arguments.iter().any(|a| a == "--check") && !failures.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
