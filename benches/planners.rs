//! Optimal control, milliseconds a plan: the ten reference problems from nothing and along a closed loop.
//!
//! `cargo bench --bench planners` solves each problem of `tests/control/problems.rs` from its stated start, from source
//! text to the first input, and then lets the plant do what the plans say: every plan starts from the one before. It
//! prints times of one thread (the median of a loop's plans: of two loops, one in processor time, which counts no other
//! work but loses the caches when it is read, and one in wall time, the smaller), iterations, and the times that were
//! published with the reference problems for acados (SQP and real-time iteration) and do-mpc, in milliseconds on another
//! machine. The tolerance of warm plans is 1e-6, acados' own. `-- --check` fails where a plan is slower than that.

mod clock;

#[path = "../tests/control/problems.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod problems;
#[path = "../tests/reference.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod reference;

use clock::Stopwatch;
use problems::Problem;
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

/// What a closed loop took.
struct Run {
    median: f64,
    largest: f64,
    iterations: usize,
    cost: f64,
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
            println!("  {name}, step {step}: {:?} {}", plan.status, plan.message);
        }
        let instant = stages::Instant { step, time: 0.0, state: &state, previous: &previous, forecast };
        problem.stages.arrive(&instant, &mut root);
        cost += problem.stages.cost(0, &root, plan.input);
        problem.stages.step(1, &root, plan.input, &mut next).expect("the plant goes on");
        if !previous.is_empty() {
            previous.copy_from_slice(plan.input);
        }
        state.copy_from_slice(&next[..n]);
    }
    times.sort_by(f64::total_cmp);
    Run { median: times[times.len() / 2], largest: times[times.len() - 1], iterations, cost }
}

fn main() -> ExitCode {
    let is_check = std::env::args().any(|argument| argument == "--check");
    let mut is_slow = false;
    println!("from source text to the first input");
    println!("{:20} {:>9} {:>9} {:>4}  {:>22}  {:>9}  status", "", "build ms", "plan ms", "its", "cost", "excess");
    for name in problems::NAMES {
        let watch = Stopwatch::start();
        let Some(problem) = problems::problem(name) else { continue };
        let build = 1e3 * watch.seconds();
        let (state, previous) = parts(&problem);
        let mut planner = planner(&problem, SqpSettings::default());
        let watch = Stopwatch::start();
        let plan = planner.plan(&Situation { step: 0, time: 0.0, state: &state, previous: &previous, forecast: &[] });
        let milliseconds = 1e3 * watch.seconds();
        let excess = (plan.cost - problem.optimum) / problem.optimum;
        println!(
            "{name:20} {build:9.2} {milliseconds:9.2} {:4}  {:22.12}  {excess:9.1e}  {:?}",
            plan.iterations, plan.cost, plan.status
        );
    }
    println!("\na plan of a closed loop of {N_STEPS} steps, median");
    println!("{:20} {:>10} {:>10} {:>8} {:>9} {:>14}", "", "ms", "largest", "its/plan", "others ms", "loop's cost");
    for name in problems::NAMES {
        for is_real_time in [false, true] {
            let Some(mut problem) = problems::problem(name) else { continue };
            let processor = closed_loop(name, &mut problem, is_real_time, true);
            let wall = closed_loop(name, &mut problem, is_real_time, false);
            let run = if wall.median < processor.median { wall } else { processor };
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
    if is_check && is_slow { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
