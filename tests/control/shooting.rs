//! Multiple shooting: steps and their derivatives against published optima, dual numbers and differences.

use std::sync::Arc;

use twinc::control::shooting::{Bounds, ControlProblem, ControlProblemError, Discretization, FreeStep, Move, Shooting};
use twinc::integrate::Method;
use twinc::jit::{self, Kernels, StageKernels, StageNodes};
use twinc::system::stages::{Instant, Stages, Tree};
use twinc::system::{Curvature, System};

use super::problems::{NAMES, flat_model, problem, total_cost, trajectory};

/// A problem without cost and without bounds.
fn bare(text: &str, discretization: Discretization, step: f64, horizon: usize) -> ControlProblem {
    let kernels = Kernels::compile(Arc::new(flat_model(text)), &jit::Options::default()).expect("machine code");
    let kernels = Arc::new(kernels);
    let dims = kernels.dims();
    let free = |n: usize, bound: f64| vec![bound; n];
    ControlProblem {
        parameters: kernels.model().params.iter().map(|p| p.value).collect(),
        forecast: kernels.model().disturbances.iter().map(|d| d.value).collect(),
        functions: Arc::new(StageKernels::new(kernels.clone(), StageNodes::default())),
        system: kernels,
        discretization,
        step,
        time: 0.0,
        tree: Tree::chain(horizon),
        scenarios: Vec::new(),
        weights: Vec::new(),
        moves: Vec::new(),
        free_step: None,
        bounds: Bounds {
            x_lower: free(dims.n_states, f64::NEG_INFINITY),
            x_upper: free(dims.n_states, f64::INFINITY),
            x_lower_last: free(dims.n_states, f64::NEG_INFINITY),
            x_upper_last: free(dims.n_states, f64::INFINITY),
            u_lower: free(dims.n_inputs, f64::NEG_INFINITY),
            u_upper: free(dims.n_inputs, f64::INFINITY),
            rows: Vec::new(),
            rows_last: Vec::new(),
        },
    }
}

/// 1/x = 1 + sin t from x(0) = 1.
const WAVE: &str = "model Wave { time [1]; state x [1] = 1; x' = -x^2*cos(time) }";

/// Depends on everything.
const RICH: &str = "model Rich { time [1]; input u [1] = 0; disturbance d [1] = 0.5; param p [1] = 2
  state { x [1] = 1; y [1] = 0 }
  x' = -p*x*y + u + d*sin(time)
  y' = x - y + u*x
}";

#[test]
fn every_rule_has_its_order() {
    type Rule = fn(usize) -> Discretization;
    let rules: [(f64, usize, Rule); 5] = [
        (1.0, 32, |n| Discretization::Euler { n_substeps: n }),
        (4.0, 32, |n| Discretization::Rk4 { n_substeps: n }),
        (1.0, 32, |n| Discretization::RadauIia { n_points: 1, n_substeps: n, bounds_inside: false }),
        (3.0, 8, |n| Discretization::RadauIia { n_points: 2, n_substeps: n, bounds_inside: false }),
        (5.0, 4, |n| Discretization::RadauIia { n_points: 3, n_substeps: n, bounds_inside: false }),
    ];
    for (order, n, rule) in rules {
        let error = |n: usize| {
            let mut stages = Shooting::new(bare(WAVE, rule(n), 0.75, 2)).expect("sizes fit");
            let (mut states, inputs) = (vec![1.0; 3], vec![0.0; 3]);
            stages.roll_out(&mut states, &inputs).expect("steps");
            (states[2] - 1.0 / (1.0 + 1.5_f64.sin())).abs()
        };
        let observed = (error(n) / error(2 * n)).log2();
        assert!((observed - order).abs() < 0.15, "order {observed:.2} instead of {order}: {:e}", error(n));
    }
}

#[test]
fn a_map_is_its_own_step() {
    let text = "model Map { time [1]; input u [1] = 0; state x [1] = 1; x' = 0.5*x + u }";
    let mut stages = Shooting::new(bare(text, Discretization::Map, 1.0, 2)).expect("sizes fit");
    let mut states = vec![8.0, 0.0, 0.0];
    stages.roll_out(&mut states, &[1.0, 2.0, 0.0]).expect("steps");
    assert_eq!(states, [8.0, 5.0, 4.5]);
}

/// A state far below the rounding of the others settles as well as they do: elimination takes the equation of x for the
/// pivot of y, and leaves in y the rounding of what x lacks.
#[test]
fn collocation_settles_states_below_the_rounding_of_others() {
    let text = "model Mix { time [1]; state x [1] = 1.3; state y [1] = 0; x' = 0.12 - 0.1*x + y*x; y' = -0.074*y }";
    let rule = Discretization::RadauIia { n_points: 2, n_substeps: 1, bounds_inside: false };
    let mut stages = Shooting::new(bare(text, rule, 10.0, 1)).expect("sizes fit");
    for small in [1e-24, 1e-28, 3e-31, 7e-34, 1e-40, 0.0] {
        for x in [1.3, 1.3252136884075478, 0.7, 1.1] {
            let (mut next, mut jacobian) = ([0.0; 2], [0.0; 4]);
            let state = [x, small];
            stages.step(1, &state, &[], &mut next).expect("a step");
            stages.step_derivatives(1, &state, &[], &mut next, &mut jacobian).expect("a step with derivatives");
            // The stability function of Radau IIA with two points.
            let decay = |z: f64| (1.0 + z / 3.0) / (1.0 - 2.0 * z / 3.0 + z * z / 6.0);
            assert!((next[1] - decay(-0.74) * small).abs() < 1e-6 * small + 1e-31, "{small}: {next:?}");
            assert!((next[0] - 1.2 - decay(-1.0) * (x - 1.2)).abs() < 1e-14, "{next:?}");
            assert!((jacobian[3] - decay(-0.74)).abs() < 1e-14, "{jacobian:?}");
        }
    }
}

/// Adaptive methods agree with collocation of order 5 in many substeps.
#[test]
fn adaptive_steps_have_the_derivatives_of_the_exact_solution() {
    let fine = Discretization::RadauIia { n_points: 3, n_substeps: 64, bounds_inside: false };
    let run = |discretization: Discretization, is_free: bool| {
        let mut problem = bare(RICH, discretization, 0.8, 3);
        if is_free {
            let text = RICH.replace("sin(time)", "1");
            problem = ControlProblem {
                free_step: Some(FreeStep { lower: 0.1, upper: 2.0, weight: 0.0 }),
                ..bare(&text, discretization, 0.8, 3)
            };
        }
        let mut stages = Shooting::new(problem).expect("sizes fit");
        let n = stages.dims().n_states;
        let (mut next, mut jacobian) = (vec![0.0; n], vec![0.0; n * (n + 1)]);
        let x = [1.0, 0.3, 0.8];
        stages.step_derivatives(2, &x[..n], &[0.4], &mut next, &mut jacobian).expect("a step");
        (stages.has_curvature(), [next, jacobian].concat())
    };
    for is_free in [false, true] {
        let (has_curvature, truth) = run(fine, is_free);
        assert!(has_curvature);
        for method in [Method::Tsit5, Method::Rodas5p] {
            let (has_curvature, values) = run(Discretization::Adaptive { method, rtol: 1e-9, atol: 1e-11 }, is_free);
            assert!(!has_curvature);
            for (value, truth) in values.iter().zip(&truth) {
                assert!((value - truth).abs() < 1e-7, "{method:?}, free {is_free}: {value} instead of {truth}");
            }
        }
    }
}

#[test]
fn equations_of_collocation_without_a_solution_name_the_node() {
    // X = x + h X² has no real solution for 4 h x > 1.
    let text = "model Blast { time [1]; state x [1] = 1; x' = x^2 }";
    let rule = Discretization::RadauIia { n_points: 1, n_substeps: 1, bounds_inside: false };
    let mut stages = Shooting::new(bare(text, rule, 1.0, 3)).expect("sizes fit");
    let failure = stages.step(2, &[1.0], &[], &mut [0.0]).expect_err("no solution");
    assert_eq!(failure.to_string(), "node 2: the equations of collocation were not solved; state 0");
    assert!(stages.step(2, &[0.1], &[], &mut [0.0]).is_ok(), "the next call starts anew");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let rk4 = Discretization::Rk4 { n_substeps: 1 };
    let refused = |change: &dyn Fn(&mut ControlProblem)| {
        let mut problem = bare(RICH, rk4, 0.1, 3);
        change(&mut problem);
        match Shooting::new(problem) {
            Ok(_) => panic!("it should have been refused"),
            Err(error) => error.to_string(),
        }
    };
    let messages = [
        refused(&|p| p.step = 0.0),
        refused(&|p| p.discretization = Discretization::Rk4 { n_substeps: 0 }),
        refused(&|p| p.discretization = Discretization::RadauIia { n_points: 4, n_substeps: 1, bounds_inside: false }),
        refused(&|p| p.parameters.clear()),
        refused(&|p| p.forecast.clear()),
        refused(&|p| p.scenarios = vec![0, 1]),
        refused(&|p| p.moves = vec![Move { input: 0, weight: 1.0, scale: 0.0 }]),
        refused(&|p| p.moves = vec![Move { input: 1, weight: 1.0, scale: 1.0 }]),
        refused(&|p| p.bounds.u_lower.clear()),
        refused(&|p| p.free_step = Some(FreeStep { lower: 0.1, upper: 1.0, weight: 0.0 })),
    ];
    insta::assert_snapshot!(messages.join("\n"));
    let error = ControlProblemError::ReadsTime { what: "the cost or the constraints" };
    assert!(error.to_string().contains("the cost or the constraints depend on time"));
}

#[test]
fn forecast_parameters_time_and_copies_are_each_problem_s_own() {
    let mut problem = bare(RICH, Discretization::Rk4 { n_substeps: 2 }, 0.1, 3);
    problem.moves = vec![Move { input: 0, weight: 1.0, scale: 2.0 }];
    let mut stages = Shooting::new(problem).expect("sizes fit");
    let step = |stages: &mut dyn Stages, node: usize| {
        let mut next = [0.0; 3];
        stages.step(node, &[1.0, 0.2, 0.0], &[0.3], &mut next).expect("a step");
        next
    };
    let before = step(&mut stages, 1);
    let mut copy = stages.fork();
    assert_eq!(step(&mut *copy, 1), before);
    fn instant(time: f64, forecast: &[f64]) -> Instant<'_> {
        Instant { step: 0, time, state: &[1.0, 0.2], previous: &[0.7], forecast }
    }
    // Rows hold from their step on, and the last goes on.
    let mut root = [0.0; 3];
    copy.arrive(&instant(0.0, &[0.5, 0.9]), &mut root);
    assert_eq!(root, [1.0, 0.2, 0.7]);
    assert_eq!(step(&mut *copy, 1), before, "the first row is as it was");
    assert_ne!(step(&mut *copy, 2), step(&mut stages, 2));
    copy.arrive(&instant(0.1, &[0.9]), &mut root);
    let later = step(&mut *copy, 1);
    stages.set_time(0.0);
    stages.set_forecast(&[0.9]);
    assert_eq!(step(&mut stages, 2), later, "the second step from 0 is the first from 0.1");
    stages.set_parameters(&[3.0]);
    assert_ne!(step(&mut stages, 2), later);
    assert_eq!(step(&mut *copy, 1), later);
    // The move is from 0 to 0.3.
    assert_eq!(stages.cost(0, &[1.0, 0.2, 0.0], &[0.3]), 0.15 * 0.15);
}

#[test]
fn the_guess_begins_at_the_root_and_the_published_input_is_within_bounds() {
    for name in NAMES {
        let Some(mut problem) = problem(name) else { continue };
        let (n, m) = (problem.stages.dims().n_states, problem.stages.dims().n_inputs);
        assert_eq!(problem.states[..n], problem.root);
        let limits = problem.stages.limits(0);
        assert!((0..m).all(|k| limits.u_lower[k] <= problem.first[k] && problem.first[k] <= limits.u_upper[k]));
        problem.functions.prepare(Curvature::GaussNewton).expect("machine code");
        problem.functions.prepare(Curvature::Exact).expect("machine code");
        assert!(problem.stages.step(1, &problem.root, &problem.first, &mut vec![0.0; n]).is_ok());
    }
}

#[test]
fn scenarios_share_the_root_and_bound_its_children_inside_their_steps() {
    let Some(mut problem) = problem("cstr_robust_n20") else { return };
    let stages = &mut problem.stages;
    assert_eq!(stages.tree().n_nodes(), 1 + 9 * 20);
    let n_inner = 4;
    assert_eq!((stages.n_rows(0), stages.n_rows(1), stages.n_rows(180)), (1 + 9 * n_inner, 1 + n_inner, 0));
    let mut next = vec![vec![0.0; 6]; 9];
    for (k, next) in next.iter_mut().enumerate() {
        stages.step(1 + k, &problem.root, &problem.first, next).expect("a step");
    }
    assert!((1..9).all(|k| next[k][..4] != next[0][..4]), "each scenario has parameters of its own");
    assert!(next.iter().all(|x| x[4..] == problem.first[..]), "the previous input is carried");
}

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
