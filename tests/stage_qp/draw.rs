//! Random problems that have a solution.

use rand::Rng as _;
use twinc::optimize::stage_qp::StageQp;
use twinc::random::{Rng, stream};
use twinc::system::{Softness, StageDims, Tree};

/// What kinds of bounds a drawn problem has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    None,
    Inputs,
    All,
}

pub fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// A strictly convex problem with a feasible trajectory: bounds lie around one that random inputs make.
pub fn problem(seed: u64, tree: Tree, dims: StageDims, bounds: Bounds, n_free: usize) -> StageQp {
    let mut rng = stream(seed, 0);
    let rng = &mut rng;
    let (n, n_nodes) = (dims.n_states, tree.n_nodes());
    let n_rows: Vec<usize> =
        (0..n_nodes).map(|_| if bounds == Bounds::All { rng.random_range(0..4) } else { 0 }).collect();
    let free: Vec<usize> = (0..n_free.min(n)).collect();
    let mut qp = StageQp::new(dims, tree.clone(), &n_rows, &free);
    let mut x = vec![vec![0.0; n]; n_nodes];
    for node in 0..n_nodes {
        let nv = qp.n_vars(node);
        let square: Vec<f64> = (0..nv * nv).map(|_| normal(rng)).collect();
        for i in 0..nv {
            for j in 0..nv {
                let product: f64 = (0..nv).map(|k| square[i * nv + k] * square[j * nv + k]).sum();
                qp.hessian_mut(node)[j * nv + i] = product + if i == j { 0.1 } else { 0.0 };
            }
            qp.gradient_mut(node)[i] = 5.0 * normal(rng);
        }
        if node == 0 {
            x[0].iter_mut().for_each(|x| *x = normal(rng));
            qp.root_mut().copy_from_slice(&x[0]);
        }
    }
    for node in 0..n_nodes {
        if node > 0 {
            qp.jacobian_mut(node).iter_mut().for_each(|v| *v = normal(rng) / (n as f64).sqrt());
            qp.offset_mut(node).iter_mut().for_each(|v| *v = 0.3 * normal(rng));
        }
    }
    for node in 0..n_nodes {
        let nv = qp.n_vars(node);
        let u: Vec<f64> = (n..nv).map(|_| normal(rng)).collect();
        for child in (node + 1..n_nodes).filter(|&c| tree.parent(c) == node) {
            let z: Vec<f64> = x[node].iter().chain(&u).copied().collect();
            for i in 0..n {
                x[child][i] = qp.offset(child)[i] + (0..nv).map(|j| qp.jacobian(child)[j * n + i] * z[j]).sum::<f64>();
            }
        }
        let mut interval = |value: f64, rng: &mut Rng| {
            let mut side = |chance: f64| match rng.random::<f64>() {
                r if r < chance => rng.random::<f64>(),
                _ => f64::INFINITY,
            };
            (value - side(0.6), value + side(0.6))
        };
        if bounds != Bounds::None {
            for k in 0..u.len() {
                let (lower, upper) = interval(u[k], rng);
                (qp.u_lower_mut(node)[k], qp.u_upper_mut(node)[k]) = (lower, upper);
            }
        }
        if bounds == Bounds::All {
            for i in 0..n {
                if rng.random::<f64>() < 0.4 {
                    let (lower, upper) = interval(x[node][i], rng);
                    (qp.x_lower_mut(node)[i], qp.x_upper_mut(node)[i]) = (lower, upper);
                }
            }
            qp.row_jacobian_mut(node).iter_mut().for_each(|v| *v = normal(rng));
            for row in 0..n_rows[node] {
                let z = x[node].iter().chain(&u);
                let count = n_rows[node];
                let value: f64 = z.enumerate().map(|(j, z)| qp.row_jacobian(node)[j * count + row] * z).sum();
                let (lower, upper) = interval(value, rng);
                let (softness, shift) = match rng.random_range(0..4) {
                    0 => (Softness::Linear(3.0 * rng.random::<f64>() + 0.1), normal(rng)),
                    1 => (Softness::Quadratic(3.0 * rng.random::<f64>() + 0.1), normal(rng)),
                    _ => (Softness::Hard, 0.0),
                };
                qp.set_softness(node, row, softness);
                (qp.row_lower_mut(node)[row], qp.row_upper_mut(node)[row]) = (lower + shift, upper + shift);
            }
        }
    }
    qp
}
