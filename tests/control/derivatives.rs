//! Derivatives of steps, costs and rows against dual numbers.

use rand::Rng as _;
use twinc::control::shooting::{ControlProblem, Discretization, FreeStep, Move, Shooting};
use twinc::random;
use twinc::system::Curvature;
use twinc::system::stages::Stages;

use super::dual_stages::{DualStages, What};
use super::problems::{NAMES, Problem, problem};

/// The largest difference, relative to the largest entry.
fn distance(values: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(values.len(), truth.len());
    if !values.iter().chain(truth).all(|v| v.is_finite()) {
        return f64::INFINITY;
    }
    let size = truth.iter().fold(1e-300_f64, |size, v| size.max(v.abs()));
    values.iter().zip(truth).map(|(a, b)| (a - b).abs() / size).fold(0.0, f64::max)
}

/// Compares all that a problem says at some nodes with dual numbers, at states and inputs near its guess.
fn check(name: &str, problem: &Problem, stages: &mut Shooting, nodes: &[usize]) {
    let control: ControlProblem = stages.problem().clone();
    let truth = DualStages::new(&control, &problem.kernels, &problem.nodes, stages);
    let dims = stages.dims();
    let (n, n_vars) = (dims.n_states, dims.n_vars());
    let mut rng = random::stream(7, 0);
    let mut draw = move |value: f64| value * (1.0 + 0.04 * (rng.random::<f64>() - 0.5)) + 0.1 * rng.random::<f64>();
    for &node in nodes {
        let parent = stages.tree().parent(node);
        let mut x: Vec<f64> = problem.states[parent * n..][..n].iter().map(|&v| draw(v)).collect();
        x.resize(n, 0.0);
        if let Some(last) = x.last_mut().filter(|_| control.free_step.is_some()) {
            *last = 1.1 * control.step;
        }
        let u: Vec<f64> = (0..truth.n_inputs()).map(|k| draw(problem.inputs[k])).collect();
        let z: Vec<f64> = x.iter().chain(&u).copied().collect();
        let close = |what: &str, values: &[f64], exact: &[f64], tolerance: f64| {
            let error = distance(values, exact);
            assert!(error < tolerance, "{name}, node {node}, {what}: {error:.1e}\n{values:?}\n{exact:?}");
        };

        let (mut next, mut again, mut jacobian) = (vec![0.0; n], vec![0.0; n], vec![0.0; n * n_vars]);
        stages.step(node, &x, &u, &mut next).expect("a step");
        stages.step_derivatives(node, &x, &u, &mut again, &mut jacobian).expect("a step");
        close("next", &next, &truth.values(What::Next, node, &z), 1e-13);
        close("next beside its derivatives", &again, &next, 1e-14);
        close("jacobian", &jacobian, &truth.jacobian(What::Next, node, &z).concat(), 1e-12);

        let costate: Vec<f64> = (0..n).map(|_| draw(1.0)).collect();
        let mut hessian = vec![1.0; n_vars * n_vars];
        stages.add_step_curvature(node, &x, &u, &costate, &mut hessian).expect("a step");
        hessian.iter_mut().for_each(|value| *value -= 1.0);
        close("curvature", &hessian, &truth.hessian(What::Next, node, &z, &costate), 1e-11);

        for at in [parent, node] {
            let z = if stages.tree().is_leaf(at) { &x } else { &z };
            let (u, n_vars) = (&z[n..], z.len());
            let (mut gradient, mut hessian) = (vec![f64::NAN; n_vars], vec![f64::NAN; n_vars * n_vars]);
            let cost = stages.cost_derivatives(at, &x, u, Curvature::Exact, &mut gradient, &mut hessian);
            let exact = truth.values(What::Cost, at, z)[0];
            close("cost", &[cost, stages.cost(at, &x, u)], &[exact, exact], 1e-14);
            close("gradient", &gradient, &truth.jacobian(What::Cost, at, z).concat(), 1e-12);
            close("hessian", &hessian, &truth.hessian(What::Cost, at, z, &[1.0]), 1e-12);
            stages.cost_derivatives(at, &x, u, Curvature::GaussNewton, &mut gradient, &mut hessian);
            close("Gauss–Newton gradient", &gradient, &truth.jacobian(What::Cost, at, z).concat(), 1e-12);
            close("Gauss–Newton", &hessian, &truth.gauss_newton(at, z), 1e-12);

            let n_rows = stages.n_rows(at);
            let (mut values, mut again) = (vec![f64::NAN; n_rows], vec![f64::NAN; n_rows]);
            let mut jacobian = vec![f64::NAN; n_rows * n_vars];
            stages.rows(at, &x, u, &mut values);
            stages.row_derivatives(at, &x, u, &mut again, &mut jacobian);
            close("rows", &values, &truth.values(What::Rows, at, z), 1e-13);
            close("rows beside their derivatives", &again, &values, 1e-13);
            close("row jacobian", &jacobian, &truth.jacobian(What::Rows, at, z).concat(), 1e-12);
            let multipliers: Vec<f64> = (0..n_rows).map(|_| draw(1.0)).collect();
            let mut hessian = vec![0.0; n_vars * n_vars];
            stages.add_row_curvature(at, &x, u, &multipliers, &mut hessian);
            close("row curvature", &hessian, &truth.hessian(What::Rows, at, z, &multipliers), 1e-11);
        }
    }
}

#[test]
fn derivatives_of_the_reference_problems_are_exact() {
    for name in NAMES {
        let Some(problem) = problem(name) else { continue };
        let last = problem.stages.tree().n_nodes() - 1;
        let mut stages = Shooting::new(problem.stages.problem().clone()).expect("sizes fit");
        let nodes = if stages.dims().n_states > 40 { vec![last] } else { vec![1, 5, last] };
        check(name, &problem, &mut stages, &nodes);
    }
}

/// Every rule, on models that depend on disturbances, parameters and moves, with free and with given step length.
#[test]
fn derivatives_are_exact_for_every_rule_and_with_a_free_step() {
    let rules = [
        Discretization::Map,
        Discretization::Euler { n_substeps: 3 },
        Discretization::Rk4 { n_substeps: 2 },
        Discretization::RadauIia { n_points: 1, n_substeps: 2, bounds_inside: false },
        Discretization::RadauIia { n_points: 2, n_substeps: 2, bounds_inside: true },
        Discretization::RadauIia { n_points: 3, n_substeps: 1, bounds_inside: true },
    ];
    let free = FreeStep { lower: 1e-3, upper: 1.0, weight: 0.7 };
    for name in ["cartpole_n20", "cstr_nominal_n20"] {
        for discretization in rules {
            for free_step in [None, Some(free)] {
                if free_step.is_some() && discretization == Discretization::Map {
                    continue;
                }
                let Some(mut problem) = problem(name) else { continue };
                let mut control = problem.stages.problem().clone();
                control.discretization = discretization;
                control.free_step = free_step;
                if control.moves.is_empty() {
                    control.moves.push(Move { input: 0, weight: 0.3, scale: 2.0 });
                }
                let mut stages = Shooting::new(control).expect("sizes fit");
                // The guess of the states beside the model's is zero.
                let (n, n_old) = (stages.dims().n_states, problem.stages.dims().n_states);
                problem.states = problem
                    .states
                    .chunks(n_old)
                    .flat_map(|x| x.iter().copied().chain(std::iter::repeat_n(0.0, n - n_old)).collect::<Vec<f64>>())
                    .collect();
                check(&format!("{name}, {discretization:?}, {free_step:?}"), &problem, &mut stages, &[1, 20]);
            }
        }
    }
}
