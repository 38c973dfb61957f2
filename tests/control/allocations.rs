//! Nothing that a solver calls at each iteration allocates.

use twinc::system::Curvature;
use twinc::system::stages::{Instant, Stages};

use super::problems::{Problem, problem};
use super::study::Study;
use crate::integrate::allocations;
use twinc::control::closed_loop::{Broken, Ending, Trace};
use twinc::control::sqp::SqpSettings;

/// Calls everything once at every node.
fn call_all(problem: &mut Problem) {
    let Problem { stages, root, states, inputs, .. } = problem;
    let (n, m) = (stages.dims().n_states, stages.dims().n_inputs);
    const ROOM: usize = 64;
    let (mut vector, mut matrix) = ([0.0; ROOM], [0.0; ROOM * ROOM]);
    let n_model = stages.problem().system.dims().n_states;
    let mut again = [0.0; ROOM];
    let instant = Instant { step: 0, time: 0.0, state: &root[..n_model], previous: &inputs[..m], forecast: &[] };
    stages.arrive(&instant, &mut again[..n]);
    for node in 0..stages.tree().n_nodes() {
        let parent = stages.tree().parent(node);
        let x = &states[parent * n..][..n];
        let u = &inputs[parent * m..][..m];
        let n_vars = n + m;
        if node > 0 {
            stages.step(node, x, u, &mut vector[..n]).expect("a step");
            stages.step_derivatives(node, x, u, &mut vector[..n], &mut matrix[..n * n_vars]).expect("a step");
            stages.add_step_curvature(node, x, u, &[1.0; ROOM][..n], &mut matrix[..n_vars * n_vars]).expect("a step");
        }
        let u = if stages.tree().is_leaf(node) { &[][..] } else { u };
        let n_vars = n + u.len();
        stages.cost(node, x, u);
        for curvature in [Curvature::GaussNewton, Curvature::Exact] {
            stages.cost_derivatives(node, x, u, curvature, &mut vector[..n_vars], &mut matrix[..n_vars * n_vars]);
        }
        let n_rows = stages.n_rows(node);
        stages.rows(node, x, u, &mut vector[..n_rows]);
        stages.row_derivatives(node, x, u, &mut vector[..n_rows], &mut matrix[..n_rows * n_vars]);
        stages.add_row_curvature(node, x, u, &[1.0; ROOM][..n_rows], &mut matrix[..n_vars * n_vars]);
    }
}

#[test]
fn evaluating_a_problem_again_does_not_allocate() {
    for name in ["cartpole_n20", "quadrotor_n40", "glucose_n100", "cstr_robust_n20"] {
        let Some(mut problem) = problem(name) else { continue };
        call_all(&mut problem);
        let before = allocations();
        call_all(&mut problem);
        assert_eq!(allocations() - before, 0, "{name}");
    }
}

/// The whole loop: the estimator, the plan, the plant with its integrator. Glucose is estimated by simulation, the reactor
/// is seen; plans are real-time iterations, and converged ones.
#[test]
fn a_step_of_closed_loop_control_does_not_allocate_once_it_is_warm() {
    for (name, warm) in [("glucose", 5), ("cstr", 5)] {
        let study = Study::new(&format!("examples/rl_acr/{name}.twin"), "Mpc");
        for settings in [SqpSettings::real_time(), SqpSettings::default()] {
            let mut closed_loop = study.closed_loop(settings.clone());
            let mut trace = Trace {
                states: Vec::new(),
                believed: Vec::new(),
                estimated: Vec::new(),
                inputs: Vec::new(),
                measured: Vec::new(),
                moments: Vec::new(),
                parameters: Vec::new(),
                ending: Ending::Completed,
                message: String::with_capacity(4096),
                broken: Broken { name: String::with_capacity(100), ..Broken::default() },
                plans: Vec::new(),
            };
            closed_loop.begin(0);
            for step in 0..30 {
                let before = allocations();
                closed_loop.step(&mut || 0.0, &mut trace, false);
                let made = allocations() - before;
                assert!(step < warm || made == 0, "{name} allocates {made} times in step {step}: {settings:?}");
            }
        }
    }
}
