//! The stiff rows of the comparison with other solvers: time, steps and error per problem, method and tolerance.
//!
//! The error is the largest over the states at the end of |x - reference| / (1e-9 + 1e-6 |reference|), whatever the
//! tolerance. References are those of the files, the exponential of the chain's matrix by uniformisation (Jensen 1953),
//! and for the large Brusselator a solution at rtol 1e-11.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use twinc::diag::Diagnostics;
use twinc::flat::{Variation, flatten};
use twinc::hir;
use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Start, Statistics, Tolerance};
use twinc::jit::{self, Kernels, Needs};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

use crate::clock::Stopwatch;

struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("no file is expected"))
    }
}

fn kernels(text: String) -> Kernels {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new("model", text));
    let module = hir::load(&mut sources, root, None, &NoFiles, false, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "the model has errors");
    let flat = flatten(&module.models[0], &Variation::default(), &mut diagnostics).expect("flat equations");
    let kernels = Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("machine code");
    kernels.prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
    kernels
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).with_extension("twin");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn brusselator(cells: usize) -> String {
    shipped("brusselator").replace("N [1] = 20 ", &format!("N [1] = {cells} "))
}

fn chain(n: usize) -> String {
    format!(
        "model Chain {{\n  time [1]\n  const N [1] = {n}\n  species S(i) [1] = if i == 0 then 1 else 0 for i in 0 .. N - 1\n  \
         step: S(i) <-> S(i + 1) @ 1 + 10*mod(i, 5), 0.5 + mod(i, 3) for i in 0 .. N - 2\n}}\n"
    )
}

/// Medical Akzo Nobel of the IVP test set (CWI Amsterdam and University of Bari).
const AKZO: &str = "model Akzo {
  time [1]
  const {
    N [1] = 200
    k [1] = 100
    c [1] = 4
    dz [1] = 1/N
  }
  state {
    u(i) [1] = 0 for i in 1 .. N
    v(i) [1] = 1 for i in 1 .. N
  }
  let left [1] = if time <= 5 then 2 else 0
  let a(i) [1] = 2*(i*dz - 1)^3/c^2/(2*dz) for i in 1 .. N
  let b(i) [1] = (i*dz - 1)^4/c^2/dz^2 for i in 1 .. N
  u(1)' = a(1)*(u(2) - left) + b(1)*(left - 2*u(1) + u(2)) - k*u(1)*v(1)
  u(i)' = a(i)*(u(i + 1) - u(i - 1)) + b(i)*(u(i - 1) - 2*u(i) + u(i + 1)) - k*u(i)*v(i) for i in 2 .. N - 1
  u(N)' = -k*u(N)*v(N)
  v(i)' = -k*u(i)*v(i) for i in 1 .. N
}
";

struct Row {
    name: &'static str,
    text: String,
    states: Vec<String>,
    end: f64,
    truth: Truth,
}

enum Truth {
    File(&'static str),
    Chain(usize),
    Tight,
}

fn numbered(name: &str, n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("{name}{i}")).collect()
}

fn pairs(n: usize) -> Vec<String> {
    (1..=n).flat_map(|i| [format!("u({i})"), format!("v({i})")]).collect()
}

fn rows() -> Vec<Row> {
    let pollution = "NO2 NO O3P O3 HO2 OH HCHO CO ALD MEO2 C2O3 CO2 PAN CH3O HNO3 O1D SO2 SO4 NO3 N2O5";
    let pollution = pollution.split(' ').map(str::to_owned).collect();
    let row = |name, text, states, end, truth| Row { name, text, states, end, truth };
    let chain_row =
        |name, n: usize| row(name, chain(n), (0..n).map(|i| format!("S({i})")).collect(), 10.0, Truth::Chain(n));
    vec![
        row("robertson", shipped("robertson"), numbered("y", 3), 1e11, Truth::File("robertson")),
        row("hires", shipped("hires"), numbered("y", 8), 321.8122, Truth::File("hires")),
        row("orego", shipped("oregonator"), numbered("y", 3), 360.0, Truth::File("orego")),
        row("pollution", shipped("pollution"), pollution, 60.0, Truth::File("pollution")),
        row("akzo", AKZO.to_owned(), pairs(200), 20.0, Truth::File("medakzo")),
        row("brusselator 20", brusselator(20), pairs(20), 10.0, Truth::File("brusselator_20")),
        row("brusselator 200", brusselator(200), pairs(200), 10.0, Truth::File("brusselator_200")),
        row("brusselator 2000", brusselator(2000), pairs(2000), 10.0, Truth::Tight),
        chain_row("chain 100", 100),
        chain_row("chain 1000", 1000),
        chain_row("chain 5000", 5000),
    ]
}

fn number(value: &Value) -> f64 {
    value.as_str().expect("a string").parse().expect("a number")
}

/// The end of the chain: `exp(10 Q) e_0 = Σ Poisson(k; 10 Λ) (I + Q/Λ)^k e_0`, all terms positive.
fn chain_end(n: usize) -> Vec<f64> {
    let forward = |i: usize| if i + 1 < n { 1.0 + 10.0 * (i % 5) as f64 } else { 0.0 };
    let backward = |i: usize| if i > 0 { 0.5 + ((i - 1) % 3) as f64 } else { 0.0 };
    let (rate, time) = (50.0, 10.0);
    let mut x = vec![0.0; n];
    let mut next = vec![0.0; n];
    let mut sum = vec![0.0; n];
    x[0] = 1.0;
    let mut log_weight = -rate * time;
    for k in 0..1100 {
        let weight = f64::exp(log_weight);
        for (sum, x) in sum.iter_mut().zip(&x) {
            *sum += weight * x;
        }
        for i in 0..n {
            let stay = 1.0 - (forward(i) + backward(i)) / rate;
            let from_left = if i > 0 { forward(i - 1) / rate * x[i - 1] } else { 0.0 };
            let from_right = if i + 1 < n { backward(i + 1) / rate * x[i + 1] } else { 0.0 };
            next[i] = stay * x[i] + from_left + from_right;
        }
        std::mem::swap(&mut x, &mut next);
        log_weight += f64::ln(rate * time / f64::from(k + 1));
    }
    sum
}

/// Solves once and then for a quarter of a second; the end, the work, and the median of the times in milliseconds.
fn solve(
    kernels: &Kernels,
    end: f64,
    method: Method,
    rtol: f64,
    atol: f64,
    is_timed: bool,
) -> Option<(Vec<f64>, Statistics, f64)> {
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    let forcing = Forcing::default();
    let problem =
        Problem { t0: 0.0, t1: end, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let options = Options { method, rtol, atol: Tolerance::Scalar(atol), ..Options::default() };
    let mut integrator = Integrator::new(kernels, options).expect("options");
    let mut x = Vec::new();
    let outcome = integrator.solve(&problem, &[end], &mut |s: Sample<'_>| x = s.at.x.to_vec()).expect("a problem");
    if !outcome.status.is_success() {
        println!("{}", outcome.status);
        return None;
    }
    let mut times = Vec::new();
    let begin = Stopwatch::start();
    while is_timed && (times.len() < 3 || (begin.seconds() < 0.25 && times.len() < 400)) {
        let watch = Stopwatch::start();
        integrator.solve(&problem, &[], &mut |_: Sample<'_>| {}).expect("a problem");
        times.push(watch.seconds() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Some((x, outcome.statistics, times.get(times.len() / 2).copied().unwrap_or(0.0)))
}

/// Prints the table for the problems whose name contains `filter`; `exponents` are those of rtol.
pub fn table(filter: &str, methods: &[Method], exponents: &[i32]) {
    let Some(dir) = std::env::var_os("TWINC_REFERENCE_DIR").map(PathBuf::from) else {
        println!("skipped: no reference data");
        return;
    };
    println!("| problem | method | rtol | ms | steps | rejected | rhs | jacobians | factors | solves | error |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows().into_iter().filter(|row| row.name.contains(filter)) {
        let kernels = kernels(row.text);
        let names: HashMap<&str, usize> =
            kernels.model().states.iter().enumerate().map(|(i, s)| (s.quantity.name.as_str(), i)).collect();
        let places: Vec<usize> = row.states.iter().map(|name| names[name.as_str()]).collect();
        let truth: Vec<f64> = match row.truth {
            Truth::Chain(n) => chain_end(n),
            Truth::Tight => {
                let Some((x, ..)) = solve(&kernels, row.end, Method::Rodas5p, 1e-11, 1e-13, false) else { continue };
                places.iter().map(|&place| x[place]).collect()
            }
            Truth::File(file) => {
                let path = dir.join("reference/ivp").join(file).with_extension("json");
                let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let data: Value = serde_json::from_str(&text).expect("JSON");
                let list = data["reference"].as_array().expect("a list");
                let at_end = list.iter().find(|r| number(&r["t"]) == row.end).expect("the end");
                at_end["y"].as_array().expect("a list").iter().map(number).collect()
            }
        };
        for &method in methods {
            for &exponent in exponents {
                let rtol = 10.0_f64.powi(-exponent);
                let Some((x, work, ms)) = solve(&kernels, row.end, method, rtol, rtol * 1e-3, true) else { continue };
                let errors = places.iter().zip(&truth).map(|(&p, b)| (x[p] - b).abs() / (1e-9 + 1e-6 * b.abs()));
                println!(
                    "| {} | {} | {rtol:.0e} | {ms:.3} | {} | {} | {} | {} | {} | {} | {:.2} |",
                    row.name,
                    method.name(),
                    work.steps,
                    work.rejected,
                    work.rhs,
                    work.jacobians,
                    work.factorizations,
                    work.solves,
                    errors.fold(0.0, f64::max),
                );
            }
        }
    }
}
