//! The same problem for Clarabel, written as one large sparse quadratic programme.

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT};
use twinc::optimize::stage_qp::StageQp;
use twinc::system::Softness;

/// Clarabel's `z` of every node and the cost, or its status where it found none.
pub fn solve(qp: &StageQp) -> Result<(Vec<Vec<f64>>, f64), SolverStatus> {
    let (n, n_nodes) = (qp.dims().n_states, qp.tree().n_nodes());
    let mut start = vec![0];
    (0..n_nodes).for_each(|node| start.push(start[node] + qp.n_vars(node)));
    let mut n_vars = start[n_nodes];
    let (mut p, mut q) = ((Vec::new(), Vec::new(), Vec::new()), Vec::new());
    let mut equal: Vec<(Vec<(usize, f64)>, f64)> = Vec::new();
    let mut below: Vec<(Vec<(usize, f64)>, f64)> = Vec::new();
    for node in 0..n_nodes {
        let nv = qp.n_vars(node);
        for j in 0..nv {
            for i in 0..=j {
                p.0.push(start[node] + i);
                p.1.push(start[node] + j);
                p.2.push(qp.hessian(node)[j * nv + i]);
            }
            q.push(qp.gradient(node)[j]);
        }
    }
    let free = qp.free_states().to_vec();
    for i in (0..n).filter(|i| !free.contains(i)) {
        equal.push((vec![(i, 1.0)], qp.root()[i]));
    }
    for node in 0..n_nodes {
        let nv = qp.n_vars(node);
        if node > 0 {
            let parent = qp.tree().parent(node);
            for i in 0..n {
                let mut row: Vec<_> =
                    (0..qp.n_vars(parent)).map(|j| (start[parent] + j, qp.jacobian(node)[j * n + i])).collect();
                row.push((start[node] + i, -1.0));
                equal.push((row, -qp.offset(node)[i]));
            }
        }
        for j in 0..nv {
            if node == 0 && j < n && !free.contains(&j) {
                continue;
            }
            let (lower, upper) = if j < n {
                (qp.x_lower(node)[j], qp.x_upper(node)[j])
            } else {
                (qp.u_lower(node)[j - n], qp.u_upper(node)[j - n])
            };
            if upper.is_finite() {
                below.push((vec![(start[node] + j, 1.0)], upper));
            }
            if lower.is_finite() {
                below.push((vec![(start[node] + j, -1.0)], -lower));
            }
        }
        let count = qp.n_rows(node);
        for row in 0..count {
            for (sign, bound) in [(1.0, qp.row_upper(node)[row]), (-1.0, -qp.row_lower(node)[row])] {
                if !bound.is_finite() {
                    continue;
                }
                let mut terms: Vec<_> =
                    (0..nv).map(|j| (start[node] + j, sign * qp.row_jacobian(node)[j * count + row])).collect();
                let mut soften = |quadratic: f64, linear: f64| {
                    p.0.push(n_vars);
                    p.1.push(n_vars);
                    p.2.push(quadratic);
                    q.push(linear);
                    terms.push((n_vars, -1.0));
                    below.push((vec![(n_vars, -1.0)], 0.0));
                    n_vars += 1;
                };
                match qp.softness(node)[row] {
                    Softness::Hard => (),
                    Softness::Linear(weight) => soften(0.0, weight),
                    Softness::Quadratic(weight) => soften(2.0 * weight, 0.0),
                }
                below.push((terms, bound));
            }
        }
    }
    let p = CscMatrix::new_from_triplets(n_vars, n_vars, p.0, p.1, p.2);
    let (mut a, mut b) = ((Vec::new(), Vec::new(), Vec::new()), Vec::new());
    for (at, (terms, bound)) in equal.iter().chain(&below).enumerate() {
        for &(col, value) in terms {
            a.0.push(at);
            a.1.push(col);
            a.2.push(value);
        }
        b.push(*bound);
    }
    let a = CscMatrix::new_from_triplets(b.len(), n_vars, a.0, a.1, a.2);
    let cones = [SupportedConeT::ZeroConeT(equal.len()), SupportedConeT::NonnegativeConeT(below.len())];
    let settings = DefaultSettings {
        verbose: false,
        tol_gap_abs: 1e-12,
        tol_gap_rel: 1e-12,
        tol_feas: 1e-12,
        ..DefaultSettings::default()
    };
    let mut solver = DefaultSolver::new(&p, &q, &a, &b, &cones, settings).expect("a well-formed problem");
    solver.solve();
    match solver.solution.status {
        SolverStatus::Solved | SolverStatus::AlmostSolved | SolverStatus::InsufficientProgress => {
            let z = (0..n_nodes).map(|i| solver.solution.x[start[i]..start[i + 1]].to_vec()).collect();
            Ok((z, solver.solution.obj_val))
        }
        status => Err(status),
    }
}
