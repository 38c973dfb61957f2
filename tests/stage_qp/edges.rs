//! Problems with corners: contradictions, no curvature, equal bounds; what a second solve costs.

use super::draw::{Bounds, problem};
use super::{check, peer};
use twinc::optimize::stage_qp::{Bounded, QpStatus, StageQp, StageQpSolver, Start};
use twinc::system::{Softness, StageDims, Tree};

/// `x' = x + u` over `horizon` steps from 0, cost u² and nothing else.
fn integrator(horizon: usize, n_rows: usize) -> StageQp {
    let dims = StageDims { n_states: 1, n_inputs: 1 };
    let mut qp = StageQp::new(dims, Tree::chain(horizon), &vec![n_rows; horizon + 1], &[]);
    for node in 0..horizon {
        qp.hessian_mut(node).copy_from_slice(&[0.0, 0.0, 0.0, 2.0]);
        qp.jacobian_mut(node + 1).copy_from_slice(&[1.0, 1.0]);
    }
    qp
}

fn solved(qp: &StageQp) -> (QpStatus, StageQpSolver) {
    let mut solver = StageQpSolver::new(qp);
    let status = solver.solve(qp, Start::Cold);
    (status, solver)
}

#[test]
fn equal_bounds_are_equations() {
    for seed in 0..10 {
        let mut qp = problem(seed, Tree::chain(6), StageDims { n_states: 4, n_inputs: 2 }, Bounds::Inputs, 0);
        // A feasible trajectory to hold on to.
        let (status, free) = solved(&qp);
        assert_eq!(status, QpStatus::Optimal);
        let (x, u) = (free.state(3)[1] + 0.1, free.input(2)[0]);
        (qp.x_lower_mut(3)[1], qp.x_upper_mut(3)[1]) = (x, x);
        (qp.u_lower_mut(2)[0], qp.u_upper_mut(2)[0]) = (u, u);
        let (status, solver) = solved(&qp);
        let Ok((z, cost)) = peer::solve(&qp) else {
            assert!(matches!(status, QpStatus::Infeasible { .. }), "seed {seed}: {status:?}");
            continue;
        };
        assert_eq!(status, QpStatus::Optimal, "seed {seed}");
        assert!(check::violation(&solver, &qp) < 1e-8, "seed {seed}: {:e}", check::violation(&solver, &qp));
        assert!((check::cost(&solver, &qp) - cost).abs() < 1e-8 * cost.abs().max(1.0), "seed {seed}");
        assert!((solver.state(3)[0] - z[3][0]).abs() < 1e-6, "seed {seed}");
        assert_eq!(solver.input(2)[0], u);
    }
}

#[test]
fn names_a_contradiction() {
    let mut qp = integrator(5, 0);
    (qp.u_lower_mut(3)[0], qp.u_upper_mut(3)[0]) = (1.0, 0.5);
    assert_eq!(solved(&qp).0, QpStatus::Infeasible { node: 3, bounded: Bounded::Input(0) });
}

/// With |u| ≤ 1 the state cannot be above 3 after three steps; of what it breaks, the most is named.
#[test]
fn names_the_state_that_cannot_be_kept() {
    let mut qp = integrator(5, 0);
    for node in 0..5 {
        (qp.u_lower_mut(node)[0], qp.u_upper_mut(node)[0]) = (-1.0, 1.0);
    }
    qp.x_lower_mut(3)[0] = 10.0;
    let (status, solver) = solved(&qp);
    assert_eq!(status, QpStatus::Infeasible { node: 3, bounded: Bounded::State(0) });
    assert!((solver.state(3)[0] - 3.0).abs() < 1e-6, "the point given leaves the bound least");
}

#[test]
fn names_the_row_that_cannot_be_kept() {
    let mut qp = integrator(4, 1);
    for node in 0..4 {
        (qp.u_lower_mut(node)[0], qp.u_upper_mut(node)[0]) = (-1.0, 1.0);
    }
    qp.row_jacobian_mut(2).copy_from_slice(&[1.0, 1.0]);
    qp.row_upper_mut(2)[0] = -20.0;
    assert_eq!(solved(&qp).0, QpStatus::Infeasible { node: 2, bounded: Bounded::Row(0) });
    qp.set_softness(2, 0, Softness::Quadratic(1.0));
    let (status, solver) = solved(&qp);
    assert_eq!(status, QpStatus::Optimal);
    assert!((solver.excess(&qp, 2, 0) - 17.0).abs() < 1e-9);
}

#[test]
fn tells_where_curvature_is_negative() {
    let mut qp = integrator(6, 0);
    qp.hessian_mut(4)[3] = -1.0;
    assert_eq!(solved(&qp).0, QpStatus::Indefinite { node: 4 });
    // The bounds of the input do not make it convex.
    (qp.u_lower_mut(4)[0], qp.u_upper_mut(4)[0]) = (-1.0, 1.0);
    assert_eq!(solved(&qp).0, QpStatus::Indefinite { node: 4 });
}

/// A negative curvature of the state that the inputs before it outweigh leaves the problem convex.
#[test]
fn curvature_counts_along_the_dynamics_only() {
    let mut qp = integrator(2, 0);
    qp.hessian_mut(2)[0] = -0.4;
    qp.gradient_mut(2)[0] = 1.0;
    let (status, solver) = solved(&qp);
    assert_eq!(status, QpStatus::Optimal);
    // minimize u0² + u1² - 0.2 (u0 + u1)² + u0 + u1
    assert!((solver.input(0)[0] + 1.0 / 1.2).abs() < 1e-12, "{}", solver.input(0)[0]);
    qp.hessian_mut(2)[0] = -1.1;
    assert!(matches!(solved(&qp).0, QpStatus::Indefinite { .. }));
}

/// A linear programme: no curvature anywhere, all inputs at their bounds.
#[test]
fn bounds_decide_where_there_is_no_curvature() {
    let mut qp = integrator(5, 0);
    for node in 0..5 {
        qp.hessian_mut(node).fill(0.0);
        qp.gradient_mut(node)[1] = 0.5;
        (qp.u_lower_mut(node)[0], qp.u_upper_mut(node)[0]) = (-1.0, 2.0);
    }
    qp.gradient_mut(5)[0] = -1.0;
    let (status, solver) = solved(&qp);
    assert_eq!(status, QpStatus::Optimal);
    for node in 0..5 {
        assert!((solver.input(node)[0] - 2.0).abs() < 1e-8, "{:?}", solver.input(node));
    }
}

/// More bounds than freedom meet in one point, and bounds that hold without a force.
#[test]
fn degenerate_corners_are_found() {
    let mut qp = integrator(4, 2);
    qp.x_lower_mut(4)[0] = 2.0;
    for node in 0..4 {
        qp.u_upper_mut(node)[0] = 0.5;
        qp.row_jacobian_mut(node).copy_from_slice(&[0.0, 0.0, 1.0, 2.0]);
        qp.row_upper_mut(node).copy_from_slice(&[0.5, 1.0]);
    }
    let (status, solver) = solved(&qp);
    assert_eq!(status, QpStatus::Optimal);
    for node in 0..4 {
        assert!((solver.input(node)[0] - 0.5).abs() < 1e-7, "{}", solver.input(node)[0]);
    }
}

#[test]
fn numbers_that_are_not_finite_are_told() {
    let mut qp = integrator(3, 0);
    qp.gradient_mut(2)[1] = f64::NAN;
    assert_eq!(solved(&qp).0, QpStatus::NotFinite);
    let mut qp = integrator(3, 0);
    qp.jacobian_mut(2)[1] = f64::INFINITY;
    assert_eq!(solved(&qp).0, QpStatus::NotFinite);
}

#[test]
fn the_tightest_tolerance_is_reached() {
    for seed in 0..20 {
        let qp = problem(seed, Tree::chain(8), StageDims { n_states: 4, n_inputs: 2 }, Bounds::All, 0);
        let mut solver = StageQpSolver::new(&qp);
        solver.options_mut().tolerance = 1e-12;
        assert_eq!(solver.solve(&qp, Start::Cold), QpStatus::Optimal, "seed {seed}");
        assert!(check::violation(&solver, &qp) < 1e-9, "seed {seed}: {:e}", check::violation(&solver, &qp));
    }
}

/// The bounds that held are guessed right; from a root a little off, few guesses mend it.
#[test]
fn a_warm_start_takes_few_factorizations() {
    for seed in 0..20 {
        let mut qp = problem(seed, Tree::chain(20), StageDims { n_states: 4, n_inputs: 2 }, Bounds::Inputs, 0);
        let (status, mut solver) = solved(&qp);
        assert_eq!(status, QpStatus::Optimal, "seed {seed}");
        assert_eq!(solver.solve(&qp, Start::Warm), QpStatus::Optimal);
        assert_eq!((solver.statistics().guesses, solver.statistics().iterations), (1, 0), "seed {seed}");
        qp.root_mut().iter_mut().for_each(|x| *x += 0.02);
        assert_eq!(solver.solve(&qp, Start::Warm), QpStatus::Optimal);
        assert!(solver.statistics().factorizations <= 4, "seed {seed}: {:?}", solver.statistics());
    }
}

/// Where inputs are free and nothing else is bounded, one factorisation and one solve are the answer.
#[test]
fn a_problem_without_active_bounds_takes_one_factorization() {
    let qp = problem(7, Tree::chain(30), StageDims { n_states: 6, n_inputs: 2 }, Bounds::None, 0);
    let (status, solver) = solved(&qp);
    assert_eq!(status, QpStatus::Optimal);
    assert_eq!((solver.statistics().factorizations, solver.statistics().solves), (1, 1));
}

#[test]
fn the_same_problem_gives_the_same_bits() {
    let qp = problem(3, Tree::branching(5, 2, 3), StageDims { n_states: 5, n_inputs: 2 }, Bounds::All, 0);
    let (first, second) = (solved(&qp).1, solved(&qp).1);
    for node in 0..qp.tree().n_nodes() {
        let bits = |s: &StageQpSolver| check::z(s, &qp, node).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&first), bits(&second));
    }
}

#[test]
fn a_solve_does_not_allocate() {
    let qp = problem(5, Tree::chain(8), StageDims { n_states: 4, n_inputs: 2 }, Bounds::All, 0);
    let mut infeasible = integrator(5, 0);
    infeasible.u_upper_mut(0)[0] = 1.0;
    infeasible.x_upper_mut(2)[0] = -1.0;
    infeasible.x_lower_mut(2)[0] = -0.5;
    for qp in [&qp, &infeasible] {
        let mut solver = StageQpSolver::new(qp);
        let before = crate::integrate::solve::allocations();
        for start in [Start::Cold, Start::Warm] {
            solver.solve(qp, start);
            solver.shift();
        }
        assert_eq!(crate::integrate::solve::allocations() - before, 0);
    }
}

/// The multipliers of the given states are the slope of the optimal cost.
#[test]
fn the_costate_of_the_root_is_the_slope_of_the_optimum() {
    let mut qp = problem(11, Tree::chain(6), StageDims { n_states: 3, n_inputs: 2 }, Bounds::Inputs, 0);
    let (_, solver) = solved(&qp);
    let slope = solver.costate(0)[1];
    let mut cost = |shift: f64| {
        qp.root_mut()[1] += shift;
        let cost = check::cost(&solved(&qp).1, &qp);
        qp.root_mut()[1] -= shift;
        cost
    };
    let difference = (cost(1e-5) - cost(-1e-5)) / 2e-5;
    assert!((slope - difference).abs() < 1e-5 * slope.abs().max(1.0), "{slope} against {difference}");
}

/// Nothing to decide, or nothing that moves: still an answer.
#[test]
fn problems_without_states_or_inputs_are_solved() {
    for (n_states, n_inputs) in [(0, 2), (2, 0), (0, 0)] {
        let mut qp = StageQp::new(StageDims { n_states, n_inputs }, Tree::chain(3), &[0; 4], &[]);
        for node in 0..4 {
            let nv = qp.n_vars(node);
            (0..nv).for_each(|j| qp.hessian_mut(node)[j * nv + j] = 1.0);
            qp.gradient_mut(node).fill(-1.0);
            qp.u_upper_mut(node).fill(0.5);
        }
        let (status, solver) = solved(&qp);
        assert_eq!(status, QpStatus::Optimal, "{n_states} states, {n_inputs} inputs");
        assert!(solver.input(1).iter().all(|&u| u == 0.5));
    }
}
