//! The step of a trust-region iteration: the least value of a quadratic in the intersection of a ball and a box.
//!
//! In the ball alone the problem is solved to rounding by the eigenvalues of the matrix (Moré and Sorensen 1983,
//! *Computing a trust region step*, SIAM J. Sci. Stat. Comput. 4:553), which need not be positive definite: with a
//! few hundred parameters an eigendecomposition costs nothing beside one integration. The box is met by an active
//! set: the component that the step carries through its bound first is fixed there and the rest solved again, at most
//! once per parameter. A projected gradient step (Moré and Toraldo 1991, *SIAM J. Optim.* 1:93) guards the decrease
//! that convergence rests on.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// Value of `gᵀs + ½ sᵀHs`.
pub(super) fn quadratic(hessian: &DMatrix<f64>, gradient: &DVector<f64>, step: &DVector<f64>) -> f64 {
    gradient.dot(step) + 0.5 * step.dot(&(hessian * step))
}

/// A step from `z` with `|step| <= radius` and `low <= z + step <= high` (to rounding) that makes the quadratic at
/// least as small as a projected gradient step does.
pub(super) fn solve(
    hessian: &DMatrix<f64>,
    gradient: &DVector<f64>,
    z: &DVector<f64>,
    low: &DVector<f64>,
    high: &DVector<f64>,
    radius: f64,
) -> DVector<f64> {
    let guard = projected_gradient_step(hessian, gradient, z, low, high, radius);
    let step = active_set_step(hessian, gradient, z, low, high, radius);
    if quadratic(hessian, gradient, &step) <= quadratic(hessian, gradient, &guard) { step } else { guard }
}

/// Solves in the ball over the free components and fixes them one by one at the bounds they cross.
fn active_set_step(
    hessian: &DMatrix<f64>,
    gradient: &DVector<f64>,
    z: &DVector<f64>,
    low: &DVector<f64>,
    high: &DVector<f64>,
    radius: f64,
) -> DVector<f64> {
    let n = z.len();
    let mut step = DVector::zeros(n);
    let is_held = |i: usize| (z[i] <= low[i] && gradient[i] >= 0.0) || (z[i] >= high[i] && gradient[i] <= 0.0);
    let mut free: Vec<usize> = (0..n).filter(|&i| !is_held(i)).collect();
    while !free.is_empty() {
        let rest = radius * radius - step.norm_squared();
        if rest <= (1e-12 * radius).powi(2) {
            break;
        }
        let slope = gradient + hessian * &step;
        let reduced_hessian = DMatrix::from_fn(free.len(), free.len(), |a, b| hessian[(free[a], free[b])]);
        let reduced_gradient = DVector::from_fn(free.len(), |a, _| slope[free[a]]);
        let part = ball_step(&reduced_hessian, &reduced_gradient, rest.sqrt());
        let mut first: Option<(f64, usize, f64)> = None;
        for (a, &i) in free.iter().enumerate() {
            let room = if part[a] > 0.0 { high[i] - z[i] } else { low[i] - z[i] };
            if part[a].abs() > room.abs() && first.is_none_or(|(fraction, _, _)| room / part[a] < fraction) {
                first = Some((room / part[a], a, room));
            }
        }
        match first {
            Some((_, a, room)) => {
                step[free[a]] = room;
                free.remove(a);
            }
            None => {
                for (a, &i) in free.iter().enumerate() {
                    step[i] = part[a];
                }
                break;
            }
        }
    }
    step
}

/// The least value of the quadratic in the ball `|s| <= radius`.
fn ball_step(hessian: &DMatrix<f64>, gradient: &DVector<f64>, radius: f64) -> DVector<f64> {
    let n = gradient.len();
    let Some(eigen) = SymmetricEigen::try_new(hessian.clone(), f64::EPSILON, 1000 * n) else {
        // The iteration for eigenvalues does not end; the steepest descent to the edge is a valid step.
        return gradient * (-radius / gradient.norm().max(f64::MIN_POSITIVE));
    };
    let vectors = &eigen.eigenvectors;
    let values = &eigen.eigenvalues;
    let slope = vectors.transpose() * gradient;
    let size = values.amax().max(f64::MIN_POSITIVE);
    let lowest = values.min();
    // (H + shift I)⁻¹ (−g) in eigenvectors; a vanishing pivot gives no component.
    let at = |shift: f64| {
        DVector::from_fn(n, |i, _| {
            let pivot = values[i] + shift;
            if pivot.abs() <= 1e-14 * size { 0.0 } else { -slope[i] / pivot }
        })
    };
    if lowest > 1e-12 * size {
        let newton = at(0.0);
        if newton.norm() <= radius {
            return vectors * newton;
        }
    }
    let floor = (-lowest).max(0.0);
    if lowest <= 1e-12 * size && at(floor + 1e-13 * size).norm() < radius {
        // The hard case: even at the smallest admissible shift the step is inside, and the rest of the way goes
        // along the direction of least curvature, downhill.
        let mut inner = at(floor);
        let least = values.imin();
        let reach = (radius * radius - inner.norm_squared()).max(0.0).sqrt();
        inner[least] += if slope[least] > 0.0 { -reach } else { reach };
        return vectors * inner;
    }
    // |s(shift)| falls with the shift; bisection to rounding is cheap in eigenvectors and cannot fail.
    let (mut below, mut above) = (floor, floor + gradient.norm() / radius);
    for _ in 0..200 {
        let middle = 0.5 * (below + above);
        if at(middle).norm() > radius {
            below = middle;
        } else {
            above = middle;
        }
        if above - below <= 4.0 * f64::EPSILON * above {
            break;
        }
    }
    vectors * at(above)
}

/// The projected gradient step with sufficient decrease, halved from the longest that fits the ball.
fn projected_gradient_step(
    hessian: &DMatrix<f64>,
    gradient: &DVector<f64>,
    z: &DVector<f64>,
    low: &DVector<f64>,
    high: &DVector<f64>,
    radius: f64,
) -> DVector<f64> {
    let n = z.len();
    let at = |length: f64| DVector::from_fn(n, |i, _| (z[i] - length * gradient[i]).min(high[i]).max(low[i]) - z[i]);
    let mut length = radius / gradient.norm().max(f64::MIN_POSITIVE);
    let mut step = at(length);
    for _ in 0..60 {
        if quadratic(hessian, gradient, &step) <= 0.01 * gradient.dot(&step) {
            break;
        }
        length *= 0.5;
        step = at(length);
    }
    step
}
