//! Nothing that a solver calls at each iteration allocates.

use twinc::system::Curvature;
use twinc::system::stages::{Instant, Stages};

use super::problems::{Problem, problem};
use crate::integrate::allocations;

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
