//! What a step of multiple shooting costs with first and second derivatives, and how long its kernels take to compile.
//!
//! `cargo bench --bench shooting` prints for each problem of the reference data the least time of several interleaved
//! rounds over all nodes, in nanoseconds a node of processor time: the step alone, with `[A B]`, and with `[A B]` and the
//! curvature along a costate; the cost with exact derivatives; and milliseconds from the text to everything compiled.
//! Problems that need reference data are left out without `TWINC_REFERENCE_DIR`.

#[path = "clock.rs"]
mod clock;
#[path = "../tests/control/problems.rs"]
mod problems;
#[path = "../tests/reference.rs"]
mod reference;

use clock::Stopwatch;
use problems::{NAMES, Problem, problem, total_cost, trajectory};
use twinc::system::Curvature;
use twinc::system::stages::Stages;

const ROUNDS: usize = 9;

/// What is timed is what the reference data is about: the published trajectory costs what is published.
fn verify(name: &str, problem: &mut Problem) {
    let mut next = vec![0.0; problem.root.len()];
    problem.stages.step(1, &problem.root, &problem.first, &mut next).expect("a step");
    let n_model = problem.kernels.model().states.len();
    let dims = problem.stages.dims();
    if !problem.stages.tree().is_chain() {
        return;
    }
    if let Some(found) = trajectory(name, dims, n_model) {
        let cost = total_cost(&mut problem.stages, &found.states, &found.inputs);
        assert!((cost / problem.optimum - 1.0).abs() < 1e-9, "{name}: {cost}");
    }
}

/// Visits all nodes that have an input.
fn visit(problem: &mut Problem, mut call: impl FnMut(&mut dyn Stages, usize, &[f64], &[f64])) -> usize {
    let stages = &mut problem.stages;
    let (n, m) = (stages.dims().n_states, stages.dims().n_inputs);
    let mut count = 0;
    for node in 1..stages.tree().n_nodes() {
        let parent = stages.tree().parent(node);
        call(stages, node, &problem.states[parent * n..][..n], &problem.inputs[parent * m..][..m]);
        count += 1;
    }
    count
}

/// Nanoseconds a node.
fn time(problem: &mut Problem, repeats: usize, mut call: impl FnMut(&mut dyn Stages, usize, &[f64], &[f64])) -> f64 {
    let watch = Stopwatch::start();
    let count: usize = (0..repeats).map(|_| visit(problem, &mut call)).sum();
    watch.seconds() / count as f64 * 1e9
}

fn main() {
    println!(
        "{:<20}{:>9}{:>9}{:>12}{:>9}{:>10}{:>10}",
        "problem", "step", "[A B]", "curvature", "cost''", "ms GN", "ms exact"
    );
    for name in NAMES {
        let compile = |curvature| {
            let watch = Stopwatch::start();
            let problem = problem(name)?;
            problem.functions.prepare(curvature).expect("machine code");
            Some((watch.seconds() * 1e3, problem))
        };
        compile(Curvature::Exact);
        let (Some((gauss_newton, _)), Some((exact, mut problem))) =
            (compile(Curvature::GaussNewton), compile(Curvature::Exact))
        else {
            continue;
        };
        verify(name, &mut problem);
        let n_terms = problem.nodes.running.squares.len();
        // Random states would fall out of the domain of some model; the guess with different inputs will do.
        for (k, u) in problem.inputs.iter_mut().enumerate() {
            *u *= 1.0 + 1e-3 * k as f64;
        }
        let (n, m) = (problem.stages.dims().n_states, problem.stages.dims().n_inputs);
        let n_vars = n + m;
        let (mut next, mut jacobian, mut hessian) = (vec![0.0; n], vec![0.0; n * n_vars], vec![0.0; n_vars * n_vars]);
        let (mut gradient, costate) = (vec![0.0; n_vars], vec![1.0; n]);
        let mut least = [f64::INFINITY; 4];
        for _ in 0..ROUNDS {
            let repeats = 20_000 / (n * problem.stages.tree().n_nodes()) + 1;
            let step = time(&mut problem, repeats, |s, node, x, u| s.step(node, x, u, &mut next).expect("a step"));
            let first = time(&mut problem, repeats, |s, node, x, u| {
                s.step_derivatives(node, x, u, &mut next, &mut jacobian).expect("a step");
            });
            let second = time(&mut problem, repeats, |s, node, x, u| {
                s.step_derivatives(node, x, u, &mut next, &mut jacobian).expect("a step");
                s.add_step_curvature(node, x, u, &costate, &mut hessian).expect("a step");
            });
            let cost = time(&mut problem, repeats, |s, node, x, u| {
                let node = s.tree().parent(node);
                s.cost_derivatives(node, x, u, Curvature::Exact, &mut gradient, &mut hessian);
            });
            for (least, value) in least.iter_mut().zip([step, first, second, cost]) {
                *least = least.min(value);
            }
        }
        let [step, first, second, cost] = least;
        println!(
            "{name:<20}{n_terms:>7}{step:>9.0}{first:>9.0}{second:>12.0}{cost:>9.0}{gauss_newton:>10.2}{exact:>10.2}"
        );
    }
}
