//! Our side of the comparison with other tools: `benches/peers/run.py` starts this program with `--serve` and asks it, in
//! turn with the others, to load a model and to solve it.
//!
//! One JSON object a line in, one a line out. `{"do": "load", "text", "model"?, "states", "repeats"}` compiles a text
//! and answers how long that took from the text to the kernels of a stiff simulation; `{"do": "solve", "method", "rtol",
//! "atol", "end", "seconds"}` solves the loaded model over and over for about so many seconds and answers milliseconds of
//! processor time of each, steps, and the states at the end; `{"do": "call"}` answers nanoseconds of one call of the
//! kernels at the model's start. Solving is timed without compiling, and nothing is sampled but the end.

mod clock;

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::sync::Arc;

use clock::Stopwatch;
use serde_json::{Value, json};
use twinc::diag::Diagnostics;
use twinc::flat::{Variation, flatten};
use twinc::hir;
use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Start, Tolerance};
use twinc::jit::{self, Kernels, Needs};
use twinc::source::{NoLoader, SourceFile, SourceMap};
use twinc::system::{At, System};

/// Shorter measurements are repeated inside of one reading of the clock, seconds.
const SHORTEST: f64 = 2e-3;

/// No solve may take more steps.
const MOST_STEPS: u64 = 20_000_000;

/// A compiled model and where the states that are asked for stand in it.
struct Loaded {
    kernels: Kernels,
    places: Vec<usize>,
}

/// From text to the kernels of the model `name`, or of the last one.
fn compile(text: &str, name: Option<&str>) -> Result<Kernels, String> {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new("model", text));
    let module = hir::load(&mut sources, root, None, &NoLoader, false, &mut diagnostics);
    let model = match name {
        Some(name) => module.models.iter().find(|m| m.name == name),
        None => module.models.last(),
    };
    let flat = model.and_then(|m| flatten(m, &Variation::default(), &mut diagnostics));
    if let Some(first) = diagnostics.iter().find(|_| diagnostics.has_errors()) {
        return Err(format!("{} {} at `{}`", first.code, first.title, sources.slice(first.span())));
    }
    let flat = flat.ok_or("no such model")?;
    let kernels = Kernels::compile(Arc::new(flat), &jit::Options::default()).map_err(|e| e.to_string())?;
    kernels.prepare(Needs::SIMULATION | Needs::STIFF).map_err(|e| e.to_string())?;
    Ok(kernels)
}

fn text<'a>(request: &'a Value, key: &str) -> Result<&'a str, String> {
    request[key].as_str().ok_or_else(|| format!("`{key}` is not a text"))
}

fn number(request: &Value, key: &str) -> Result<f64, String> {
    request[key].as_f64().ok_or_else(|| format!("`{key}` is not a number"))
}

fn load(request: &Value) -> Result<(Loaded, Value), String> {
    let source = text(request, "text")?;
    let name = request["model"].as_str();
    let begin = Stopwatch::start();
    let kernels = compile(source, name)?;
    let mut times = vec![begin.seconds() * 1e3];
    for _ in 1..request["repeats"].as_u64().unwrap_or(1) {
        let begin = Stopwatch::start();
        black_box(&compile(source, name)?);
        times.push(begin.seconds() * 1e3);
    }
    let names = request["states"].as_array().ok_or("`states` is not a list")?;
    let flat = kernels.model();
    let place = |name: &Value| {
        let found = flat.states.iter().position(|s| Some(s.quantity.name.as_str()) == name.as_str());
        found.ok_or_else(|| format!("the model has no state {name}"))
    };
    let places: Vec<usize> = names.iter().map(place).collect::<Result<_, _>>()?;
    let answer = json!({ "load_ms": times, "n_states": flat.states.len() });
    Ok((Loaded { kernels, places }, answer))
}

fn solve(loaded: &Loaded, request: &Value) -> Result<Value, String> {
    let Loaded { kernels, places } = loaded;
    let name = text(request, "method")?;
    let method = Method::from_name(name).ok_or_else(|| format!("no method `{name}`"))?;
    let end = number(request, "end")?;
    let seconds = number(request, "seconds")?;
    let options = Options {
        method,
        rtol: number(request, "rtol")?,
        atol: Tolerance::Scalar(number(request, "atol")?),
        max_steps: MOST_STEPS,
        ..Options::default()
    };
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    let forcing = Forcing::default();
    let problem =
        Problem { t0: 0.0, t1: end, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let mut integrator = Integrator::new(kernels, options).map_err(|e| e.to_string())?;
    let mut once = || {
        let outcome = integrator.solve(&problem, &[], &mut |_: Sample<'_>| {}).map_err(|e| e.to_string())?;
        if outcome.status.is_success() { Ok(outcome) } else { Err(outcome.status.to_string()) }
    };
    let warm = Stopwatch::start();
    let mut outcome = once()?;
    let first = warm.seconds();
    let n_inside = if first >= SHORTEST { 1 } else { (SHORTEST / first.max(1e-7)).ceil() as u32 };
    let mut times = Vec::new();
    let begin = Stopwatch::start();
    while times.is_empty() || begin.seconds() < seconds {
        let before = Stopwatch::start();
        for _ in 0..n_inside {
            outcome = once()?;
        }
        times.push(before.seconds() * 1e3 / f64::from(n_inside));
    }
    let state = integrator.state();
    let y: Vec<f64> = places.iter().map(|&k| state[k]).collect();
    let s = outcome.statistics;
    Ok(json!({
        "ms": times, "steps": s.steps, "rejected": s.rejected, "rhs": s.rhs, "jacobians": s.jacobians,
        "factorizations": s.factorizations, "solves": s.solves, "y": y,
    }))
}

/// The median time of a call, ns.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..9 {
        let begin = Stopwatch::start();
        let mut n_calls = 0_u32;
        // The clock costs as much as hundreds of calls, so it is read after twice as many each time.
        while n_calls == 0 || begin.seconds() < SHORTEST {
            let n_more = n_calls.max(1000);
            (0..n_more).for_each(|_| call());
            n_calls += n_more;
        }
        times.push(begin.seconds() * 1e9 / f64::from(n_calls));
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn call(loaded: &Loaded) -> Value {
    let kernels = &loaded.kernels;
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    let mut work = kernels.work();
    let mut x = vec![0.0; kernels.dims().n_states];
    kernels.initial_state(At { t: 0.0, x: &x.clone(), u: &[], d: &[], p: &p }, &mut work, &mut x);
    let mut dx = vec![0.0; x.len()];
    let mut values = vec![0.0; kernels.jacobian_pattern().nnz()];
    let system: &dyn System = black_box(kernels);
    let rhs = nanoseconds(|| system.rhs(At { t: 0.0, x: &x, u: &[], d: &[], p: &p }, &mut work, &mut dx));
    let jacobian = nanoseconds(|| system.jacobian(At { t: 0.0, x: &x, u: &[], d: &[], p: &p }, &mut work, &mut values));
    json!({ "rhs_ns": rhs, "jacobian_ns": jacobian, "nonzeros": values.len() })
}

fn answer(request: &Value, loaded: &mut Option<Loaded>) -> Result<Value, String> {
    let missing = "nothing is loaded";
    match text(request, "do")? {
        "methods" => {
            let adaptive = Method::ALL.into_iter().filter(|m| !m.is_grid());
            Ok(json!({ "methods": adaptive.map(Method::name).collect::<Vec<_>>() }))
        }
        "load" => {
            let (model, answer) = load(request)?;
            *loaded = Some(model);
            Ok(answer)
        }
        "solve" => solve(loaded.as_ref().ok_or(missing)?, request),
        "call" => Ok(call(loaded.as_ref().ok_or(missing)?)),
        other => Err(format!("cannot do `{other}`")),
    }
}

fn main() {
    if !std::env::args().any(|a| a == "--serve") {
        println!("the comparison with other tools: python3 benches/peers/run.py");
        return;
    }
    let mut loaded = None;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let request = serde_json::from_str::<Value>(&line).map_err(|e| e.to_string());
        let result = request.and_then(|request| answer(&request, &mut loaded));
        let result = result.unwrap_or_else(|error| json!({ "error": error }));
        if writeln!(out, "{result}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
