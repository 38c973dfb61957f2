//! Optimal control, milliseconds a plan: the ten reference problems from nothing and along a closed loop.
//!
//! `cargo bench --bench planners` solves each problem of `tests/control/problems.rs` from its stated start, from source
//! text to the first input, and then lets the plant do what the plans say: every plan starts from the one before. It
//! prints times of one thread (the median of a loop's plans: of two loops, one in processor time, which counts no other
//! work but loses the caches when it is read, and one in wall time, the smaller), iterations, and the times that were
//! published with the reference problems for acados (SQP and real-time iteration) and do-mpc, in milliseconds on another
//! machine. The tolerance of warm plans is 1e-6, acados' own. The last table has the feedback phase of real-time iterations
//! alone. `-- --check` fails where a plan is slower than that. The
//! first line is a measure of the machine: a dense product and a step of RK4 in plain Rust.
//!
//! `-- --serve` answers `benches/peers/control.py`, one JSON object a line in, one a line out: `{"do": "cold", "problem"}`
//! solves a problem from its text, `{"do": "loop", "problem", "is_real_time"}` goes through the closed loop and tells times
//! and what was asked and answered at each step, `{"do": "machine"}` the measure of the machine.

mod clock;

#[path = "../tests/control/problems.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod problems;
#[path = "../tests/reference.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod reference;

use clock::Stopwatch;
use problems::Problem;
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;
use twinc::control::sqp::{Sqp, SqpSettings};
use twinc::decide::{PlanStatus, Planner, Situation};
use twinc::system::stages::{self, Stages};

/// Milliseconds of a plan that others take: with SQP to convergence, in real-time iteration; NaN where unknown.
fn published(name: &str) -> (f64, f64) {
    match name {
        "cartpole_n20" => (0.14, 0.071),
        "cartpole_n50" => (f64::NAN, 0.16),
        "glucose_n100" => (3.2, 1.24),
        "chain_m9_n40" => (17.0, f64::NAN),
        "quadrotor_n40" => (0.47, 0.31),
        // A twentieth of do-mpc's 19 and 125 ms.
        "cstr_nominal_n20" => (0.95, f64::NAN),
        "cstr_robust_n20" => (6.25, f64::NAN),
        _ => (f64::NAN, f64::NAN),
    }
}

/// What a closed loop took, and what was asked and answered at each of its steps.
struct Run {
    median: f64,
    largest: f64,
    iterations: usize,
    cost: f64,
    /// Milliseconds of each plan but the first, in order.
    times: Vec<f64>,
    states: Vec<Vec<f64>>,
    inputs: Vec<Vec<f64>>,
    /// The planned cost of each step.
    plans: Vec<f64>,
}

const N_STEPS: usize = 60;

fn planner(problem: &Problem, settings: SqpSettings) -> Sqp {
    let mut planner = Sqp::new(problem.stages.fork(), settings);
    planner.set_guess(&problem.states, &problem.inputs);
    planner
}

/// States of the model, and the inputs carried behind them.
fn parts(problem: &Problem) -> (Vec<f64>, Vec<f64>) {
    let n = problem.root.len();
    let n_model = if n == 6 { 4 } else { n };
    (problem.root[..n_model].to_vec(), problem.root[n_model..].to_vec())
}

fn closed_loop(name: &str, problem: &mut Problem, is_real_time: bool, is_processor_time: bool) -> Run {
    let (mut state, mut previous) = parts(problem);
    let n = state.len();
    let settings = SqpSettings { tolerance: 1e-6, constraint_tolerance: 1e-6, is_real_time, ..SqpSettings::default() };
    let mut planner = planner(problem, settings);
    let (mut root, mut next) = (problem.root.clone(), problem.root.clone());
    let (mut times, mut iterations, mut cost) = (Vec::new(), 0, 0.0);
    let (mut states, mut inputs, mut plans) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..N_STEPS {
        // The meal goes on from where the loop is.
        let meal: Vec<f64> = (step..=step + 100).map(|k| 4.0 * (-0.1 * k as f64).exp()).collect();
        let forecast = if name.starts_with("glucose") { &meal[..] } else { &[] };
        let watch = is_processor_time.then(Stopwatch::start);
        let begin = Instant::now();
        let plan = planner.plan(&Situation { step, time: 0.0, state: &state, previous: &previous, forecast });
        let milliseconds = 1e3 * watch.map_or_else(|| begin.elapsed().as_secs_f64(), |watch| watch.seconds());
        if step > 0 {
            times.push(milliseconds);
            iterations += plan.iterations;
        }
        if !matches!(plan.status, PlanStatus::Optimal | PlanStatus::Improved) {
            eprintln!("  {name}, step {step}: {:?} {}", plan.status, plan.message);
        }
        states.push(state.clone());
        inputs.push(plan.input.to_vec());
        plans.push(plan.cost);
        let instant = stages::Instant { step, time: 0.0, state: &state, previous: &previous, forecast };
        problem.stages.arrive(&instant, &mut root);
        cost += problem.stages.cost(0, &root, plan.input);
        problem.stages.step(1, &root, plan.input, &mut next).expect("the plant goes on");
        if !previous.is_empty() {
            previous.copy_from_slice(plan.input);
        }
        state.copy_from_slice(&next[..n]);
    }
    let mut sorted = times.clone();
    sorted.sort_by(f64::total_cmp);
    let (median, largest) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    Run { median, largest, iterations, cost, times, states, inputs, plans }
}

/// Milliseconds from the state to the input in real-time iterations prepared before it, the median of a loop.
fn feedback(name: &str, problem: &mut Problem) -> f64 {
    let (mut state, mut previous) = parts(problem);
    let n = state.len();
    let mut planner = planner(problem, SqpSettings { tolerance: 1e-6, is_real_time: true, ..SqpSettings::default() });
    let (mut root, mut next) = (problem.root.clone(), problem.root.clone());
    let mut times = Vec::new();
    for step in 0..N_STEPS {
        let meal: Vec<f64> = (step..=step + 101).map(|k| 4.0 * (-0.1 * k as f64).exp()).collect();
        let forecast = |from: usize| if name.starts_with("glucose") { &meal[from..] } else { &[] };
        let begin = Instant::now();
        let now = Situation { step, time: 0.0, state: &state, previous: &previous, forecast: forecast(0) };
        let plan = planner.plan(&now);
        times.push(1e3 * begin.elapsed().as_secs_f64());
        let instant = stages::Instant { step, time: 0.0, state: &state, previous: &previous, forecast: forecast(0) };
        problem.stages.arrive(&instant, &mut root);
        problem.stages.step(1, &root, plan.input, &mut next).expect("the plant goes on");
        if !previous.is_empty() {
            previous.copy_from_slice(plan.input);
        }
        state.copy_from_slice(&next[..n]);
        planner.prepare(&Situation {
            step: step + 1,
            time: 0.0,
            state: &state,
            previous: &previous,
            forecast: forecast(1),
        });
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The same loop in processor time and in wall time, whichever had the smaller median.
fn faster_loop(name: &str, problem: &mut Problem, is_real_time: bool) -> Run {
    let processor = closed_loop(name, problem, is_real_time, true);
    let wall = closed_loop(name, problem, is_real_time, false);
    if wall.median < processor.median { wall } else { processor }
}

/// Milliseconds from text to kernels and of the first plan, the plan's cost and input, and its other results.
fn cold(name: &str) -> Option<(f64, f64, Cold)> {
    let watch = Stopwatch::start();
    let problem = problems::problem(name)?;
    let build = 1e3 * watch.seconds();
    let (state, previous) = parts(&problem);
    let watch = Stopwatch::start();
    let mut planner = planner(&problem, SqpSettings::default());
    let plan = planner.plan(&Situation { step: 0, time: 0.0, state: &state, previous: &previous, forecast: &[] });
    let milliseconds = 1e3 * watch.seconds();
    let (cost, iterations, status) = (plan.cost, plan.iterations, plan.status);
    let cold = Cold { cost, input: plan.input.to_vec(), iterations, status, optimum: problem.optimum };
    Some((build, milliseconds, cold))
}

/// A first plan.
struct Cold {
    cost: f64,
    input: Vec<f64>,
    iterations: usize,
    status: PlanStatus,
    optimum: f64,
}

/// Nanoseconds of the processor for a call, the least of nine rounds.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    const N_CALLS: u32 = 20_000;
    let rounds = (0..9).map(|_| {
        let begin = Stopwatch::start();
        (0..N_CALLS).for_each(|_| call());
        begin.seconds() * 1e9 / f64::from(N_CALLS)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// Nanoseconds of `C += A B` with 16 rows and columns, and of a step of RK4 of the cart-pole, both in plain Rust.
fn machine() -> (f64, f64) {
    const N: usize = 16;
    let a: [[f64; N]; N] = std::array::from_fn(|i| std::array::from_fn(|j| 1.0 / (1 + i + j) as f64));
    let mut c = [[0.0; N]; N];
    let product = nanoseconds(|| {
        let (a, b) = (black_box(&a), black_box(&a));
        for (row, target) in a.iter().zip(&mut c) {
            for (factor, values) in row.iter().zip(b) {
                target.iter_mut().zip(values).for_each(|(t, v)| *t += factor * v);
            }
        }
        black_box(&mut c);
    });
    let slope = |x: [f64; 4], force: f64| -> [f64; 4] {
        let (s, c) = x[1].sin_cos();
        let den = 1.0 + 0.1 - 0.1 * c * c;
        let swing = 0.1 * 0.8 * s * x[3] * x[3];
        [x[2], x[3], (force - swing + 0.1 * 9.81 * c * s) / den, ((force - swing) * c + 1.1 * 9.81 * s) / (0.8 * den)]
    };
    let moved = |x: [f64; 4], k: [f64; 4], h: f64| -> [f64; 4] { std::array::from_fn(|i| x[i] + h * k[i]) };
    let step = nanoseconds(|| {
        let (x, force) = black_box(([0.1, 2.0, 0.3, 0.4], 5.0));
        let a = slope(x, force);
        let b = slope(moved(x, a, 0.025), force);
        let c = slope(moved(x, b, 0.025), force);
        let d = slope(moved(x, c, 0.05), force);
        black_box(moved(x, std::array::from_fn(|i| a[i] + 2.0 * (b[i] + c[i]) + d[i]), 0.05 / 6.0));
    });
    (product, step)
}

fn answer(request: &Value) -> Result<Value, String> {
    let name = request["problem"].as_str().unwrap_or_default();
    match request["do"].as_str() {
        Some("machine") => {
            let (product, step) = machine();
            Ok(json!({ "product_ns": product, "step_ns": step }))
        }
        Some("cold") => {
            let (build, milliseconds, cold) = cold(name).ok_or_else(|| format!("no problem `{name}`"))?;
            Ok(json!({
                "build_ms": build, "plan_ms": milliseconds, "cost": cold.cost, "input": cold.input,
                "iterations": cold.iterations, "status": format!("{:?}", cold.status), "optimum": cold.optimum,
            }))
        }
        Some("loop") => {
            let mut problem = problems::problem(name).ok_or_else(|| format!("no problem `{name}`"))?;
            let run = faster_loop(name, &mut problem, request["is_real_time"] == true);
            Ok(json!({
                "ms": run.times, "median_ms": run.median, "iterations": run.iterations, "cost": run.cost,
                "states": run.states, "inputs": run.inputs, "plans": run.plans,
            }))
        }
        _ => Err(format!("cannot do {request}")),
    }
}

fn serve() {
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let request = serde_json::from_str::<Value>(&line).map_err(|e| e.to_string());
        let result = request.and_then(|request| answer(&request)).unwrap_or_else(|error| json!({ "error": error }));
        if writeln!(out, "{result}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn main() -> ExitCode {
    let is_check = std::env::args().any(|argument| argument == "--check");
    if std::env::args().any(|argument| argument == "--serve") {
        serve();
        return ExitCode::SUCCESS;
    }
    let mut is_slow = false;
    let (product, step) = machine();
    println!("this machine: {product:.0} ns for a product of 16 by 16 matrices, {step:.0} ns for a step of RK4");
    println!("from source text to the first input");
    println!("{:20} {:>9} {:>9} {:>4}  {:>22}  {:>9}  status", "", "build ms", "plan ms", "its", "cost", "excess");
    for name in problems::NAMES {
        let Some((build, milliseconds, cold)) = cold(name) else { continue };
        let excess = (cold.cost - cold.optimum) / cold.optimum;
        println!(
            "{name:20} {build:9.2} {milliseconds:9.2} {:4}  {:22.12}  {excess:9.1e}  {:?}",
            cold.iterations, cold.cost, cold.status
        );
    }
    println!("\na plan of a closed loop of {N_STEPS} steps, median");
    println!("{:20} {:>10} {:>10} {:>8} {:>9} {:>14}", "", "ms", "largest", "its/plan", "others ms", "loop's cost");
    for name in problems::NAMES {
        for is_real_time in [false, true] {
            let Some(mut problem) = problems::problem(name) else { continue };
            let run = faster_loop(name, &mut problem, is_real_time);
            let others = if is_real_time { published(name).1 } else { published(name).0 };
            is_slow |= run.median > others;
            println!(
                "{:20} {:10.4} {:10.4} {:8.2} {others:9.3} {:14.6}",
                format!("{}{}", name, if is_real_time { " rti" } else { "" }),
                run.median,
                run.largest,
                run.iterations as f64 / (N_STEPS - 1) as f64,
                run.cost
            );
        }
    }
    println!("\nfrom the state to the input where the iteration was prepared before, median");
    for name in problems::NAMES {
        if let Some(mut problem) = problems::problem(name) {
            println!("{name:20} {:10.4} ms", feedback(name, &mut problem));
        }
    }
    if is_check && is_slow { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
