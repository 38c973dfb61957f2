//! diffsol as a peer: reads one JSON request a line, answers one a line, as `benches/peers.rs` of the main package does.
//!
//! `{"do": "load", "text", "matrix", "repeats"}` compiles a model in DiffSL by the Cranelift back end; `matrix` is
//! `dense` (nalgebra) or `sparse` (faer). `{"do": "solve", "method", "rtol", "atol", "segments",
//! "seconds"}` solves it over and over: `segments` is a list of `[end, [parameter values]]`, and the solver starts anew
//! at each with the state reached. Only the state at the end is looked at. `{"do": "call"}` times single calls.

#[path = "../../../clock.rs"]
mod clock;

use std::hint::black_box;
use std::io::{BufRead, Write};

use clock::Stopwatch;
use diffsol::{
    CraneliftJitModule, DiffSl, FaerSparseLU, FaerSparseMat, MatrixCommon, NalgebraLU, NalgebraMat, NonLinearOp,
    NonLinearOpJacobian, OdeBuilder, OdeEquations, OdeSolverMethod, OdeSolverProblem, OdeSolverState,
    OdeSolverStopReason, Vector,
};
use serde_json::{Value, json};

/// Shorter measurements are repeated inside of one reading of the clock, seconds.
const SHORTEST: f64 = 2e-3;

/// Ends of segments with the parameters that hold until then.
type Segments = Vec<(f64, Vec<f64>)>;

/// What one solve tells.
struct Solution {
    y: Vec<f64>,
    steps: usize,
    rejected: usize,
    setups: usize,
}

/// A compiled model with its kind of matrix.
trait Model {
    fn set_tolerances(&mut self, rtol: f64, atol: f64);
    fn solve(&mut self, method: &str, segments: &Segments) -> Result<Solution, String>;
    /// Nanoseconds of the right-hand side and of the Jacobian.
    fn call(&self) -> Result<(f64, f64), String>;
}

/// The median time of a call, ns.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..9 {
        let begin = Stopwatch::start();
        let mut n_calls = 0_u32;
        while n_calls == 0 || begin.seconds() < SHORTEST {
            for _ in 0..100 {
                call();
            }
            n_calls += 100;
        }
        times.push(begin.seconds() * 1e9 / f64::from(n_calls));
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Steps to the end of a segment and leaves the statistics in `total`.
macro_rules! advance {
    ($solver:expr, $end:expr, $total:expr) => {{
        let mut solver = $solver.map_err(|e| e.to_string())?;
        solver.set_stop_time($end).map_err(|e| e.to_string())?;
        loop {
            match solver.step().map_err(|e| e.to_string())? {
                OdeSolverStopReason::TstopReached => break,
                OdeSolverStopReason::InternalTimestep => {}
                OdeSolverStopReason::RootFound(..) => return Err("a root".to_owned()),
            }
        }
        let statistics = solver.get_statistics();
        $total.steps += statistics.number_of_steps;
        $total.rejected += statistics.number_of_error_test_failures + statistics.number_of_nonlinear_solver_fails;
        $total.setups += statistics.number_of_linear_solver_setups;
        $total.y = solver.state().y.clone_as_vec();
    }};
}

/// The state to go on from at the start of a later segment.
macro_rules! begin {
    ($problem:expr, $state:expr, $order:expr, $t:expr, $y:expr) => {{
        let mut state = $state.map_err(|e| e.to_string())?;
        if $t > 0.0 {
            let parts = state.as_mut();
            *parts.t = $t;
            *parts.y = Vector::from_vec($y.clone(), $problem.context().clone());
            $problem.eqn.rhs().call_inplace(parts.y, $t, parts.dy);
            state.set_step_size($problem.h0, &$problem.atol, $problem.rtol, &$problem.eqn, $order);
        }
        state
    }};
}

/// A compiled model with one kind of matrix and its linear solver.
macro_rules! compiled {
    ($name:ident, $matrix:ty, $solver:ty) => {
        struct $name(OdeSolverProblem<DiffSl<$matrix, CraneliftJitModule>>);

        impl $name {
            fn compile(text: &str, n_params: usize) -> Result<Box<dyn Model>, String> {
                let builder = OdeBuilder::<$matrix>::new().p(vec![0.0; n_params]).rtol(1e-6).atol([1e-9]);
                let mut problem = builder.build_from_diffsl::<CraneliftJitModule>(text).map_err(|e| e.to_string())?;
                // Failures in a row beside which a solve would be given up; the others have no such limit.
                problem.ode_options.max_nonlinear_solver_failures = 1_000_000;
                problem.ode_options.max_error_test_failures = 1_000_000;
                Ok(Box::new($name(problem)))
            }
        }

        impl Model for $name {
            fn set_tolerances(&mut self, rtol: f64, atol: f64) {
                self.0.rtol = rtol;
                self.0.atol.fill(atol);
            }

            fn solve(&mut self, method: &str, segments: &Segments) -> Result<Solution, String> {
                if method != "bdf" && segments.len() > 1 {
                    return Err("only bdf goes on from a state here".to_owned());
                }
                let mut total = Solution { y: Vec::new(), steps: 0, rejected: 0, setups: 0 };
                let mut t = 0.0;
                for (end, parameters) in segments {
                    let p = <$matrix as MatrixCommon>::V::from_vec(parameters.clone(), self.0.context().clone());
                    self.0.eqn_mut().set_params(&p);
                    let problem = &self.0;
                    let y = std::mem::take(&mut total.y);
                    match method {
                        "bdf" => {
                            let state = begin!(problem, problem.bdf_state::<$solver>(), 1, t, y);
                            advance!(problem.bdf_solver::<$solver>(state), *end, total);
                        }
                        "tr_bdf2" => advance!(problem.tr_bdf2::<$solver>(), *end, total),
                        "esdirk34" => advance!(problem.esdirk34::<$solver>(), *end, total),
                        "tsit45" => advance!(problem.tsit45(), *end, total),
                        other => return Err(format!("no method `{other}`")),
                    }
                    t = *end;
                }
                Ok(total)
            }

            fn call(&self) -> Result<(f64, f64), String> {
                let problem = &self.0;
                let state = problem.bdf_state::<$solver>().map_err(|e| e.to_string())?;
                let (y, rhs) = (state.as_ref().y.clone(), problem.eqn.rhs());
                let mut dy = y.clone();
                let mut jacobian = rhs.jacobian(&y, 0.0);
                let value = nanoseconds(|| rhs.call_inplace(black_box(&y), 0.0, &mut dy));
                Ok((value, nanoseconds(|| rhs.jacobian_inplace(black_box(&y), 0.0, &mut jacobian))))
            }
        }
    };
}

compiled!(Dense, NalgebraMat<f64>, NalgebraLU<f64>);
compiled!(Sparse, FaerSparseMat<f64>, FaerSparseLU<f64>);

fn load(request: &Value) -> Result<(Box<dyn Model>, Value), String> {
    let text = request["text"].as_str().ok_or("no text")?;
    let n_params = request["n_params"].as_u64().unwrap_or(0) as usize;
    let mut times = Vec::new();
    let mut model = None;
    for _ in 0..request["repeats"].as_u64().unwrap_or(1) {
        let begin = Stopwatch::start();
        let compiled = match request["matrix"].as_str().unwrap_or("dense") {
            "dense" => Dense::compile(text, n_params)?,
            "sparse" => Sparse::compile(text, n_params)?,
            other => return Err(format!("no matrix `{other}`")),
        };
        times.push(begin.seconds() * 1e3);
        model = Some(compiled);
    }
    Ok((model.ok_or("no repeats")?, json!({ "load_ms": times })))
}

fn solve(model: &mut dyn Model, request: &Value) -> Result<Value, String> {
    let number = |key: &str| request[key].as_f64().ok_or(format!("`{key}` is not a number"));
    let method = request["method"].as_str().ok_or("no method")?;
    let seconds = number("seconds")?;
    let rows = request["segments"].as_array().ok_or("no segments")?;
    let mut segments = Segments::new();
    for row in rows {
        let parameters = row[1].as_array().ok_or("no parameters")?.iter().filter_map(Value::as_f64).collect();
        segments.push((row[0].as_f64().ok_or("no end")?, parameters));
    }
    model.set_tolerances(number("rtol")?, number("atol")?);
    let warm = Stopwatch::start();
    let mut solution = model.solve(method, &segments)?;
    let first = warm.seconds();
    let n_inside = if first >= SHORTEST { 1 } else { (SHORTEST / first.max(1e-7)).ceil() as u32 };
    let mut times = Vec::new();
    let begin = Stopwatch::start();
    while times.is_empty() || begin.seconds() < seconds {
        let before = Stopwatch::start();
        for _ in 0..n_inside {
            solution = black_box(model.solve(method, &segments)?);
        }
        times.push(before.seconds() * 1e3 / f64::from(n_inside));
    }
    let Solution { y, steps, rejected, setups } = solution;
    Ok(json!({ "ms": times, "steps": steps, "rejected": rejected, "factorizations": setups, "y": y }))
}

fn answer(request: &Value, model: &mut Option<Box<dyn Model>>) -> Result<Value, String> {
    match request["do"].as_str() {
        Some("load") => {
            *model = None;
            let (loaded, answer) = load(request)?;
            *model = Some(loaded);
            Ok(answer)
        }
        Some("call") => {
            let (rhs, jacobian) = model.as_ref().ok_or("nothing is loaded")?.call()?;
            Ok(json!({ "rhs_ns": rhs, "jacobian_ns": jacobian }))
        }
        Some("solve") => solve(model.as_mut().ok_or("nothing is loaded")?.as_mut(), request),
        Some(_) | None => Err("cannot do this".to_owned()),
    }
}

fn main() {
    let mut model = None;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let request = serde_json::from_str::<Value>(&line).map_err(|e| e.to_string());
        let result = request.and_then(|request| answer(&request, &mut model));
        let result = result.unwrap_or_else(|error| json!({ "error": error }));
        if writeln!(out, "{result}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
