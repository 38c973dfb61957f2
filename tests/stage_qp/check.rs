//! The optimality conditions, written out from the problem alone.

use twinc::optimize::stage_qp::{StageQp, StageQpSolver};
use twinc::system::Softness;

pub fn z(solver: &StageQpSolver, qp: &StageQp, node: usize) -> Vec<f64> {
    let mut z = solver.state(node).to_vec();
    if !qp.tree().is_leaf(node) {
        z.extend(solver.input(node));
    }
    z
}

/// Cost of the solution, prices included.
pub fn cost(solver: &StageQpSolver, qp: &StageQp) -> f64 {
    let mut cost = 0.0;
    for node in 0..qp.tree().n_nodes() {
        let (z, nv) = (z(solver, qp, node), qp.n_vars(node));
        for j in 0..nv {
            cost += qp.gradient(node)[j] * z[j];
            cost += 0.5 * z[j] * (0..nv).map(|i| qp.hessian(node)[j * nv + i] * z[i]).sum::<f64>();
        }
        for row in 0..qp.n_rows(node) {
            let excess = solver.excess(qp, node, row);
            cost += match qp.softness(node)[row] {
                Softness::Hard => 0.0,
                Softness::Linear(weight) => weight * excess,
                Softness::Quadratic(weight) => weight * excess * excess,
            };
        }
    }
    cost
}

/// The largest violation of the optimality conditions by the solver's answer, in absolute numbers.
pub fn violation(solver: &StageQpSolver, qp: &StageQp) -> f64 {
    let (n, tree) = (qp.dims().n_states, qp.tree());
    let mut worst = 0.0_f64;
    let mut note = |v: f64| worst = if v.is_nan() { f64::INFINITY } else { worst.max(v) };
    for node in 0..tree.n_nodes() {
        let (z, nv) = (z(solver, qp, node), qp.n_vars(node));
        let mut slope = qp.gradient(node).to_vec();
        for j in 0..nv {
            for i in 0..nv {
                slope[i] += qp.hessian(node)[j * nv + i] * z[j];
            }
        }
        for i in 0..n {
            slope[i] -= solver.costate(node)[i];
        }
        for child in (node + 1..tree.n_nodes()).filter(|&c| tree.parent(c) == node) {
            for i in 0..n {
                let next: f64 = (0..nv).map(|j| qp.jacobian(child)[j * n + i] * z[j]).sum();
                note((next + qp.offset(child)[i] - solver.state(child)[i]).abs());
                for j in 0..nv {
                    slope[j] += qp.jacobian(child)[j * n + i] * solver.costate(child)[i];
                }
            }
        }
        let mut pair = |value: f64, bounds: [f64; 2], multipliers: [f64; 2], softness: Softness| {
            for (sign, bound, multiplier) in [(1.0, bounds[0], multipliers[0]), (-1.0, bounds[1], multipliers[1])] {
                note(-multiplier);
                if !bound.is_finite() {
                    note(multiplier.abs());
                    continue;
                }
                let distance = sign * (value - bound);
                match softness {
                    Softness::Hard => {
                        note(-distance);
                        note((multiplier * distance).abs());
                    }
                    Softness::Linear(weight) => {
                        note(multiplier - weight);
                        note((multiplier * distance.max(0.0)).abs());
                        note(((weight - multiplier) * distance.min(0.0)).abs());
                    }
                    Softness::Quadratic(weight) => note((multiplier - 2.0 * weight * (-distance).max(0.0)).abs()),
                }
            }
            multipliers[1] - multipliers[0]
        };
        for i in 0..n {
            if node == 0 && !qp.free_states().contains(&i) {
                continue;
            }
            let multipliers = [solver.x_lower_multipliers(node)[i], solver.x_upper_multipliers(node)[i]];
            slope[i] += pair(z[i], [qp.x_lower(node)[i], qp.x_upper(node)[i]], multipliers, Softness::Hard);
        }
        for k in 0..nv - n {
            let multipliers = [solver.u_lower_multipliers(node)[k], solver.u_upper_multipliers(node)[k]];
            slope[n + k] += pair(z[n + k], [qp.u_lower(node)[k], qp.u_upper(node)[k]], multipliers, Softness::Hard);
        }
        let count = qp.n_rows(node);
        for row in 0..count {
            let value: f64 = (0..nv).map(|j| qp.row_jacobian(node)[j * count + row] * z[j]).sum();
            let multipliers = [solver.row_lower_multipliers(node)[row], solver.row_upper_multipliers(node)[row]];
            let bounds = [qp.row_lower(node)[row], qp.row_upper(node)[row]];
            let force = pair(value, bounds, multipliers, qp.softness(node)[row]);
            for j in 0..nv {
                slope[j] += qp.row_jacobian(node)[j * count + row] * force;
            }
        }
        slope.iter().for_each(|&s| note(s.abs()));
    }
    worst
}
