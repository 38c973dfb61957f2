//! Drawn problems of many shapes.

use super::draw::{Bounds, problem};
use super::{check, peer};
use twinc::optimize::stage_qp::{QpStatus, StageQpSolver, Start};
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

/// Every kind of bound, every shape: the optimality conditions hold and a conic solver finds the same point.
#[test]
fn agrees_with_a_conic_solver() {
    let mut lines = String::new();
    for (shape, (tree, dims, n_free)) in shapes().into_iter().enumerate() {
        for bounds in [Bounds::None, Bounds::Inputs, Bounds::All] {
            for seed in 0..12 {
                let qp = problem(100 * shape as u64 + seed, tree.clone(), dims, bounds, n_free);
                let mut solver = StageQpSolver::new(&qp);
                let name = format!("shape {shape}, {bounds:?}, seed {seed}");
                let status = solver.solve(&qp, Start::Cold);
                if std::env::var("QP_SHOW").is_ok() {
                    eprintln!(
                        "{name}: {status:?} {:?} {:?} kkt {:e}",
                        solver.statistics(),
                        solver.residuals(),
                        check::violation(&solver, &qp)
                    );
                }
                if status != QpStatus::Optimal {
                    lines += &format!("{name}: {status:?} {:?}\n", peer::solve(&qp).err());
                    continue;
                }
                let violation = check::violation(&solver, &qp);
                if violation > 1e-8 {
                    lines += &format!("{name}: violation {violation:e}\n");
                }
                let (z, cost) = peer::solve(&qp).expect("Clarabel solves it");
                let own = check::cost(&solver, &qp);
                if (own - cost).abs() > 1e-8 * (1.0 + cost.abs()) {
                    lines += &format!("{name}: {own} against {cost}\n");
                }
                let mut worst = 0.0_f64;
                for (node, z) in z.iter().enumerate() {
                    for (own, peer) in check::z(&solver, &qp, node).iter().zip(z) {
                        worst = worst.max((own - peer).abs() / (1.0 + peer.abs()));
                    }
                }
                if worst > 1e-6 {
                    lines += &format!("{name}: z differs by {worst:e}\n");
                }
            }
        }
    }
    assert!(lines.is_empty(), "\n{lines}");
}
