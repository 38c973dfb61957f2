//! SQP, real-time iteration, iLQR and DDP on the problems of the reference data: published optima, closed loops that start
//! from the plan before, and what is said where no plan keeps all constraints.

use twinc::control::ddp::{Ddp, DdpSettings};
use twinc::control::sqp::{Sqp, SqpSettings};
use twinc::decide::{PlanStatus, Planner, Situation};
use twinc::system::stages::{Instant, Stages};

use super::problems::{self, NAMES, Problem};
use crate::integrate::solve::allocations;

/// States of the model itself, and the inputs carried behind them.
fn parts(problem: &Problem) -> (Vec<f64>, Vec<f64>) {
    let n = problem.root.len();
    let n_model = if n == 6 { 4 } else { n };
    (problem.root[..n_model].to_vec(), problem.root[n_model..].to_vec())
}

fn at<'a>(step: usize, state: &'a [f64], previous: &'a [f64]) -> Situation<'a> {
    Situation { step, time: 0.0, state, previous, forecast: &[] }
}

fn sqp(problem: &Problem, settings: SqpSettings) -> Sqp {
    let mut planner = Sqp::new(problem.stages.fork(), settings);
    planner.set_guess(&problem.states, &problem.inputs);
    planner
}

/// Cost within 1e-6 of the published one or below it, first input within 1e-5 of its range, constraints within 1e-9: the
/// optima are local ones, found from the start that the reference data state (four of them from where full Gauss–Newton
/// steps end at twice to four times the cost).
#[test]
fn sqp_reaches_the_published_optima() {
    for name in NAMES {
        let Some(problem) = problems::problem(name) else { continue };
        let (state, previous) = parts(&problem);
        let mut planner = sqp(&problem, SqpSettings::default());
        let plan = planner.plan(&at(0, &state, &previous));
        assert_eq!(plan.status, PlanStatus::Optimal, "{name}: {}", plan.message);
        let excess = (plan.cost - problem.optimum) / problem.optimum;
        assert!(excess <= 1e-6, "{name}: {} is above {}", plan.cost, problem.optimum);
        assert!(plan.violation <= 1e-9, "{name}: {:e}", plan.violation);
        let limits = problem.stages.limits(0);
        for (j, (u, published)) in plan.input.iter().zip(&problem.first).enumerate() {
            let range = limits.u_upper[j] - limits.u_lower[j];
            assert!((u - published).abs() <= 1e-5 * range, "{name}: {u} instead of {published}");
        }
    }
}

/// The plant does what the plan says, so that the shifted plan is nearly optimal. After the first plan nothing allocates.
#[test]
fn warm_plans_take_few_iterations_and_no_memory() {
    for (name, most) in [("cartpole_n50", 4), ("glucose_n100", 4), ("quadrotor_n40", 5)] {
        let Some(mut problem) = problems::problem(name) else { continue };
        let (mut state, previous) = parts(&problem);
        let mut next = state.clone();
        let mut planner = sqp(&problem, SqpSettings { tolerance: 1e-6, ..SqpSettings::default() });
        for step in 0..12 {
            // The meal goes on from where the loop is.
            let meal: Vec<f64> = (step..=step + 100).map(|k| 4.0 * (-0.1 * k as f64).exp()).collect();
            let forecast = if name == "glucose_n100" { &meal[..] } else { &[] };
            let now = Situation { forecast, ..at(step, &state, &previous) };
            let before = allocations();
            let plan = planner.plan(&now);
            let allocated = allocations() - before;
            assert_eq!(plan.status, PlanStatus::Optimal, "{name} at {step}: {}", plan.message);
            if step > 1 {
                assert_eq!(allocated, 0, "{name} at {step}");
                assert!(plan.iterations <= most, "{name} at {step}: {}", plan.iterations);
            }
            let instant = Instant { step, time: 0.0, state: &state, previous: &previous, forecast };
            let mut root = state.clone();
            problem.stages.arrive(&instant, &mut root);
            problem.stages.step(1, &root, plan.input, &mut next).expect("a step");
            state.copy_from_slice(&next);
        }
    }
}

/// Real-time iteration follows the optimal plans closely where the plant does what the plan says, prepared or not.
#[test]
fn real_time_iteration_stays_near_the_optimal_closed_loop() {
    let mut costs = Vec::new();
    for (is_real_time, is_prepared) in [(false, false), (true, false), (true, true)] {
        let mut problem = problems::problem("quadrotor_n40").expect("needs no data");
        let (mut state, previous) = parts(&problem);
        let mut next = state.clone();
        let mut planner = sqp(&problem, SqpSettings { is_real_time, ..SqpSettings::default() });
        let mut cost = 0.0;
        for step in 0..40 {
            let plan = planner.plan(&at(step, &state, &previous));
            let expected = if is_real_time && step > 0 { PlanStatus::Improved } else { PlanStatus::Optimal };
            assert_eq!(plan.status, expected, "step {step}: {}", plan.message);
            cost += problem.stages.cost(0, &state, plan.input);
            problem.stages.step(1, &state, plan.input, &mut next).expect("a step");
            // The plant is not quite the model.
            next.iter_mut().enumerate().for_each(|(j, x)| *x += 1e-4 * ((step * 12 + j) as f64).sin());
            state.copy_from_slice(&next);
            if is_prepared {
                planner.prepare(&at(step + 1, &state, &previous));
            }
        }
        costs.push(cost);
    }
    for cost in &costs {
        assert!((cost / costs[0] - 1.0).abs() < 1e-3, "{costs:?}");
    }
}

/// A quadrotor that is rolled too far to be back within its bounds after one step.
#[test]
fn says_which_constraint_no_plan_keeps() {
    let problem = problems::problem("quadrotor_n40").expect("needs no data");
    let (mut state, previous) = parts(&problem);
    // Rolled beyond what one step can undo.
    state[6] = 1.0;
    let mut planner = sqp(&problem, SqpSettings::default());
    let plan = planner.plan(&at(0, &state, &previous));
    assert_eq!(plan.status, PlanStatus::Infeasible, "{}", plan.message);
    assert!(plan.violation > 0.1, "{}", plan.violation);
    assert!(plan.message.contains("the bounds of state 6 at step 1 of the horizon"), "{}", plan.message);
}

/// DDP and iLQR find the optimum of the quadrotor too, by simulation.
#[test]
fn ddp_and_ilqr_reach_the_optimum_of_the_quadrotor() {
    let mut problem = problems::problem("quadrotor_n40").expect("needs no data");
    let (state, previous) = parts(&problem);
    for settings in [DdpSettings::default(), DdpSettings::ilqr()] {
        let mut planner = Ddp::new(problem.stages.fork(), settings).expect("a chain");
        planner.set_guess(&problem.inputs);
        let plan = planner.plan(&at(0, &state, &previous));
        assert_eq!(plan.status, PlanStatus::Optimal, "{}", plan.message);
        assert!((plan.cost / problem.optimum - 1.0).abs() < 1e-6, "{}", plan.cost);
        assert!(plan.violation <= 1e-6, "{}", plan.violation);
        // The next plan starts from this one.
        let (cold, mut next) = (plan.iterations, state.clone());
        problem.stages.step(1, &state, plan.input, &mut next).expect("a step");
        let plan = planner.plan(&at(1, &next, &previous));
        assert_eq!(plan.status, PlanStatus::Optimal, "{}", plan.message);
        assert!(2 * plan.iterations < cold, "{} after {cold}", plan.iterations);
    }
}
