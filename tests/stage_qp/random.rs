//! Drawn problems of many shapes.

use rand::Rng as _;

use super::draw::{Bounds, normal, problem};
use super::{check, peer};
use clarabel::solver::SolverStatus;
use twinc::optimize::stage_qp::{QpStatus, StageQpSolver, Start};
use twinc::random::stream;
use twinc::system::{StageDims, Tree};

fn shapes() -> Vec<(Tree, StageDims, usize)> {
    let dims = |n_states, n_inputs| StageDims { n_states, n_inputs };
    vec![
        (Tree::chain(0), dims(3, 2), 3),
        (Tree::chain(1), dims(1, 1), 0),
        (Tree::chain(5), dims(2, 1), 0),
        (Tree::chain(8), dims(4, 2), 0),
        (Tree::chain(6), dims(5, 3), 2),
        (Tree::chain(6), dims(3, 0), 3),
        (Tree::branching(4, 1, 3), dims(2, 2), 0),
        (Tree::branching(5, 2, 2), dims(4, 1), 4),
        (Tree::chain(4), dims(9, 5), 0),
        (Tree::chain(3), dims(14, 4), 1),
    ]
}

/// Every kind of bound, every shape: the optimality conditions hold and a conic solver finds the same point, with
/// guesses of the active bounds and without.
#[test]
fn agrees_with_a_conic_solver() {
    for (shape, (tree, dims, n_free)) in shapes().into_iter().enumerate() {
        for bounds in [Bounds::None, Bounds::Inputs, Bounds::All] {
            for seed in 0..12 {
                let qp = problem(100 * shape as u64 + seed, tree.clone(), dims, bounds, n_free);
                let (z, cost) = peer::solve(&qp).expect("Clarabel solves it");
                for max_guesses in [0, 8] {
                    let name = format!("shape {shape}, {bounds:?}, seed {seed}, {max_guesses} guesses");
                    let mut solver = StageQpSolver::new(&qp);
                    solver.options_mut().tolerance = 1e-12;
                    solver.options_mut().max_guesses = max_guesses;
                    assert_eq!(solver.solve(&qp, Start::Cold), QpStatus::Optimal, "{name}");
                    let violation = check::violation(&solver, &qp);
                    assert!(violation < 1e-8, "{name}: {violation:e}");
                    let own = check::cost(&solver, &qp);
                    assert!((own - cost).abs() <= 1e-8 * (1.0 + cost.abs()), "{name}: {own} against {cost}");
                    for (node, z) in z.iter().enumerate() {
                        for (own, peer) in check::z(&solver, &qp, node).iter().zip(z) {
                            // As exact as Clarabel's own answer is where the cost is flat.
                            assert!((own - peer).abs() <= 1e-6 * (1.0 + peer.abs()), "{name}: {own} against {peer}");
                        }
                    }
                }
            }
        }
    }
}

/// Bounds of states moved about at random: both say of the same problems that they have no solution.
#[test]
fn agrees_on_what_is_infeasible() {
    let mut n_infeasible = 0;
    for seed in 0..120 {
        let dims = StageDims { n_states: 3, n_inputs: 1 };
        let mut qp = problem(1000 + seed, Tree::chain(6), dims, Bounds::All, 0);
        let mut rng = stream(seed, 1);
        for node in 1..=6 {
            let shift = if rng.random::<f64>() < 0.3 { 0.7 * normal(&mut rng) } else { 0.0 };
            qp.x_lower_mut(node).iter_mut().for_each(|v| *v += shift);
            qp.x_upper_mut(node).iter_mut().for_each(|v| *v += shift);
        }
        let mut solver = StageQpSolver::new(&qp);
        let status = solver.solve(&qp, Start::Cold);
        match peer::solve(&qp) {
            Ok((_, cost)) => {
                assert_eq!(status, QpStatus::Optimal, "seed {seed}");
                let own = check::cost(&solver, &qp);
                assert!((own - cost).abs() <= 1e-7 * (1.0 + cost.abs()), "seed {seed}: {own} against {cost}");
            }
            Err(SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible) => {
                assert!(matches!(status, QpStatus::Infeasible { .. }), "seed {seed}: {status:?}");
                n_infeasible += 1;
            }
            Err(other) => panic!("seed {seed}: Clarabel says {other:?}, we {status:?}"),
        }
    }
    assert!((20..100).contains(&n_infeasible), "{n_infeasible} of 120");
}
