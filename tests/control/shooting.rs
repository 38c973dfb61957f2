//! Multiple shooting: steps and their derivatives against published optima, dual numbers and differences.

use twinc::system::stages::Stages;

use super::problems::{NAMES, problem, total_cost, trajectory};

#[test]
fn published_trajectories_are_feasible_and_cost_what_is_published() {
    for name in NAMES.into_iter().filter(|name| *name != "cstr_robust_n20") {
        let Some(mut problem) = problem(name) else { return };
        let stages = &mut problem.stages;
        let dims = stages.dims();
        let n_model = stages.problem().system.dims().n_states;
        let Some(found) = trajectory(name, dims, n_model) else { return };
        let (n, m) = (dims.n_states, dims.n_inputs);
        assert_eq!(found.states.len(), stages.tree().n_nodes() * n, "{name}");
        let mut worst = 0.0_f64;
        for node in 1..stages.tree().n_nodes() {
            let parent = node - 1;
            let mut next = vec![0.0; n];
            let (x, u) = (&found.states[parent * n..][..n], &found.inputs[parent * m..][..m]);
            stages.step(node, x, u, &mut next).expect("a step");
            for (value, truth) in next.iter().zip(&found.states[node * n..]) {
                worst = worst.max((value - truth).abs() / (1.0 + truth.abs()));
            }
        }
        // The tables have 15 digits, and a step of the unstable pole magnifies their rounding.
        assert!(worst < 1e-8, "{name}: a step misses the next state by {worst:.2e}");
        let cost = total_cost(stages, &found.states, &found.inputs);
        let error = (cost / problem.optimum - 1.0).abs();
        assert!(error < 1e-9, "{name}: cost {cost} instead of {} ({error:.1e})", problem.optimum);
    }
}
