//! Error against tolerance and time of the integrators, on the classical initial value problems as shipped models.
//!
//! `TWINC_REFERENCE_DIR=.. cargo bench --bench work_precision` prints the tables of `docs/performance.md`; with
//! `-- --svg FILE` it draws them, with `-- --check` it fails where an error does not fall with the number of steps as
//! an order of 5 says. Errors are at the end points, in the measure of the reference files,
//! `max_i |a_i - b_i| / (|b_i| + offset)`; times are the fastest of several solves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use twinc::diag::Diagnostics;
use twinc::export::plot::{Axis, Figure, Panel, Series, svg};
use twinc::flat::{Variation, flatten};
use twinc::hir;
use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Start, Tolerance};
use twinc::jit::{self, Kernels, Needs};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

/// Both methods are of order 5: the error falls with the fifth power of the number of steps. Measured orders of a
/// controlled step scatter around it.
const ORDERS: std::ops::RangeInclusive<f64> = 4.0..=7.0;

/// Errors below this are rounding.
const ROUNDING: f64 = 1e-11;

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
        Err(LoadError { reason: "no file is expected".to_owned() })
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

/// The offset of the difference measure and the last reference up to `end`.
fn reference(dir: &Path, case: &Case) -> (f64, Vec<f64>) {
    let path = dir.join("reference/ivp").join(case.file).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let data: Value = serde_json::from_str(&text).expect("JSON");
    let measure = data["difference_measure"].as_str().expect("text");
    let offset = measure.rsplit(['+', ')']).nth(1).expect("an offset").trim().parse().expect("a number");
    let rows = data["reference"].as_array().expect("a list");
    let row = rows.iter().find(|r| number(&r["t"]) == case.end).expect("the end point");
    (offset, row["y"].as_array().expect("a list").iter().map(number).collect())
}

/// One solve: error, steps and seconds.
#[derive(Clone, Copy)]
struct Run {
    rtol: f64,
    error: f64,
    steps: u64,
    seconds: f64,
}

fn run(kernels: &Kernels, case: &Case, method: Method, rtol: f64, truth: &(f64, Vec<f64>)) -> Option<Run> {
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
    let begin = Instant::now();
    for round in 0..200 {
        if round >= 5 && begin.elapsed().as_secs_f64() > 0.2 {
            break;
        }
        let before = Instant::now();
        let mut error = 0.0_f64;
        let outcome = integrator.solve(&problem, &[case.end], &mut |sample: Sample<'_>| {
            for (place, b) in places.iter().zip(&truth.1) {
                error = error.max((sample.at.x[*place] - b).abs() / (b.abs() + truth.0));
            }
        });
        let outcome = outcome.expect("a problem");
        if !outcome.status.is_success() {
            return None;
        }
        let seconds = before.elapsed().as_secs_f64().min(result.seconds);
        result = Run { error, steps: outcome.statistics.steps, seconds, ..result };
    }
    Some(result)
}

/// The slope of the error over the number of steps in logarithms, by least squares, where the error is small and above
/// rounding.
fn order(runs: &[Run]) -> Option<f64> {
    let is_asymptotic = |r: &&Run| r.error > ROUNDING && r.error < 1e-3;
    let points: Vec<(f64, f64)> =
        runs.iter().filter(is_asymptotic).map(|r| ((r.steps as f64).ln(), r.error.ln())).collect();
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let xy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let xx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    (points.len() >= 3).then_some(-xy / xx)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(dir) = std::env::var_os("TWINC_REFERENCE_DIR").map(PathBuf::from) else {
        println!("skipped: no reference data");
        return ExitCode::SUCCESS;
    };
    let mut panels = Vec::new();
    let mut failures = Vec::new();
    println!("| problem | method | rtol | error | steps | ms | order |\n|---|---|---|---|---|---|---|");
    for case in cases() {
        let kernels = kernels(case.source);
        let truth = reference(&dir, &case);
        let mut series = Vec::new();
        for (color, &method) in case.methods.iter().enumerate() {
            let rtols = (3..=10).map(|k| 10f64.powi(-k));
            let runs: Vec<Run> = rtols.filter_map(|rtol| run(&kernels, &case, method, rtol, &truth)).collect();
            let order = order(&runs);
            for (k, r) in runs.iter().enumerate() {
                let slope = if k + 1 == runs.len() {
                    order.map_or(String::new(), |o| format!("{o:.1}"))
                } else {
                    String::new()
                };
                println!(
                    "| {} | {} | {:.0e} | {:.1e} | {} | {:.3} | {slope} |",
                    case.title,
                    method.name(),
                    r.rtol,
                    r.error,
                    r.steps,
                    r.seconds * 1e3
                );
            }
            if !order.is_some_and(|o| ORDERS.contains(&o)) {
                failures.push(format!("{} by {}: order {order:?}", case.title, method.name()));
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
