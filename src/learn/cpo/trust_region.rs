//! The step of constrained policy optimisation: up a linear gain, within a quadratic trust region, on the right side of a
//! linear constraint.
//!
//! `max g·x` where `c + b·x ≤ 0` and `½ x·H x ≤ δ` has the dual `min D(λ, ν)` over λ, ν ≥ 0,
//! `D = (q − 2 ν r + ν² s) / 2λ + λ δ − ν c` with `q = g·H⁻¹g`, `r = g·H⁻¹b`, `s = b·H⁻¹b` (J. Achiam, D. Held, A. Tamar and
//! P. Abbeel, Constrained policy optimization, ICML 2017, theorem 2, there for a minimum). For a λ the best
//! `ν = max(0, (λ c + r) / s)`, which leaves two convex pieces in λ, each with its minimum in closed form.

/// A direction `x = along_gain · H⁻¹g − along_cost · H⁻¹b`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    /// Factor on H⁻¹g.
    pub along_gain: f64,
    /// Factor on H⁻¹b.
    pub along_cost: f64,
    /// Nothing within the trust region keeps the constraint: this is the way back, and gives up gain for it.
    pub is_recovery: bool,
    /// The constraint was kept before, or can be missed by no step of the trust region: gain must not be lost.
    pub must_gain: bool,
}

/// Products of the gradients through the inverse of H, and the constraint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Products {
    /// g·H⁻¹g.
    pub q: f64,
    /// g·H⁻¹b.
    pub r: f64,
    /// b·H⁻¹b; 0 where nothing changes the cost.
    pub s: f64,
    /// Cost above its limit.
    pub c: f64,
}

/// Smallest λ and curvature that are told from 0.
const TINY: f64 = 1e-12;

/// The best step for a trust region of radius `delta`, δ.
pub fn direction(products: Products, delta: f64) -> Direction {
    let Products { q, r, s, c } = products;
    let free = |must_gain| Direction {
        along_gain: if q > TINY { (2.0 * delta / q).sqrt() } else { 0.0 },
        along_cost: 0.0,
        is_recovery: false,
        must_gain,
    };
    if s <= TINY {
        return free(true);
    }
    // Square of the distance between the constraint's plane and the trust region's edge.
    let left = 2.0 * delta - c * c / s;
    if left <= 0.0 {
        if c <= 0.0 {
            return free(true);
        }
        return Direction {
            along_gain: 0.0,
            along_cost: (2.0 * delta / s).sqrt(),
            is_recovery: true,
            must_gain: false,
        };
    }
    let a = (q - r * r / s).max(0.0);
    let on_plane = |lambda: f64| 0.5 * (a / lambda + left * lambda) - r * c / s;
    let off_plane = |lambda: f64| 0.5 * q / lambda + delta * lambda;
    // The constraint is active where λ c + r > 0.
    let split = if c.abs() > TINY { -r / c } else { f64::INFINITY };
    let below = (split > TINY).then_some((TINY, split));
    let above = split.is_finite().then_some((split.max(TINY), f64::INFINITY));
    let everywhere = Some((TINY, f64::INFINITY));
    let (active, inactive) = if c.abs() <= TINY {
        if r > 0.0 { (everywhere, None) } else { (None, everywhere) }
    } else if c > 0.0 {
        (above, below)
    } else {
        (below, above)
    };
    let best = |range: Option<(f64, f64)>, free: f64, cost: &dyn Fn(f64) -> f64| {
        range.map(|(low, high)| free.max(low).min(high)).map(|lambda| (cost(lambda), lambda))
    };
    let active = best(active, (a / left).sqrt(), &on_plane);
    let inactive = best(inactive, (q / (2.0 * delta)).sqrt(), &off_plane);
    let lambda = match (active, inactive) {
        (Some((on, lambda)), Some((off, _))) if on <= off => lambda,
        (_, Some((_, lambda))) | (Some((_, lambda)), None) => lambda,
        (None, None) => return free(true),
    };
    let nu = ((lambda * c + r) / s).max(0.0);
    Direction { along_gain: 1.0 / lambda, along_cost: nu / lambda, is_recovery: false, must_gain: c < 0.0 }
}

/// `x` with `H x = b`, by conjugate gradients (M. R. Hestenes and E. Stiefel, J. Res. Natl. Bur. Stand. 49 (1952) 409), at most
/// `n_iterations` of them; `apply` writes the product of H with a vector.
pub fn conjugate_gradient(b: &[f64], n_iterations: usize, mut apply: impl FnMut(&[f64], &mut [f64])) -> Vec<f64> {
    let mut x = vec![0.0; b.len()];
    let (mut residual, mut along, mut product) = (b.to_vec(), b.to_vec(), vec![0.0; b.len()]);
    let mut square = dot(&residual, &residual);
    for _ in 0..n_iterations {
        if square <= 1e-20 {
            break;
        }
        apply(&along, &mut product);
        let curvature = dot(&along, &product);
        if curvature <= 0.0 {
            break;
        }
        let length = square / curvature;
        x.iter_mut().zip(&along).for_each(|(x, p)| *x += length * p);
        residual.iter_mut().zip(&product).for_each(|(r, h)| *r -= length * h);
        let next = dot(&residual, &residual);
        let factor = next / square;
        along.iter_mut().zip(&residual).for_each(|(p, r)| *p = r + factor * *p);
        square = next;
    }
    x
}

/// Sum of products.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{draw, stream};

    /// The same in plain geometry, where H is the identity: the end of the ball towards g, where that keeps the constraint;
    /// else the point of the circle, in which plane and ball meet, that lies furthest along g.
    fn by_geometry(g: &[f64], b: &[f64], c: f64, delta: f64) -> Option<Vec<f64>> {
        let radius = (2.0 * delta).sqrt();
        let norm = dot(g, g).sqrt();
        let end: Vec<f64> = g.iter().map(|g| radius * g / norm).collect();
        if c + dot(b, &end) <= 0.0 {
            return Some(end);
        }
        let s = dot(b, b);
        let circle = radius * radius - c * c / s;
        if circle < 0.0 {
            return None;
        }
        let along = dot(g, b) / s;
        let within: Vec<f64> = g.iter().zip(b).map(|(g, b)| g - along * b).collect();
        let length = dot(&within, &within).sqrt();
        Some(within.iter().zip(b).map(|(w, b)| -c / s * b + circle.sqrt() * w / length).collect())
    }

    #[test]
    fn steps_are_those_of_plain_geometry() {
        let mut rng = stream(3, 0);
        let (mut n_recoveries, mut n_bound) = (0, 0);
        for k in 0..2000 {
            let mut numbers = [0.0; 9];
            draw::normals(&mut rng, 1.0, &mut numbers);
            let (g, b) = (&numbers[..4], &numbers[4..8]);
            let c = if k % 10 == 0 { 0.0 } else { 0.5 * numbers[8] };
            let delta = 0.02;
            let products = Products { q: dot(g, g), r: dot(g, b), s: dot(b, b), c };
            let told = direction(products, delta);
            let x: Vec<f64> = g.iter().zip(b).map(|(g, b)| told.along_gain * g - told.along_cost * b).collect();
            assert!(dot(&x, &x) <= 2.0 * delta * (1.0 + 1e-9));
            match by_geometry(g, b, c, delta) {
                Some(exact) => {
                    assert!(!told.is_recovery, "{k}");
                    n_bound += usize::from(told.along_cost > 0.0);
                    for (x, e) in x.iter().zip(&exact) {
                        assert!((x - e).abs() < 1e-7, "{k}: {x} {e}");
                    }
                }
                None => {
                    assert!(told.is_recovery && c > 0.0, "{k}");
                    n_recoveries += 1;
                    // Straight to the plane, as far as the ball reaches.
                    assert!((dot(b, &x) + (2.0 * delta * dot(b, b)).sqrt()).abs() < 1e-9);
                }
            }
        }
        assert!(n_recoveries > 100 && n_bound > 100);
    }

    #[test]
    fn conjugate_gradients_solve_in_as_many_steps_as_there_are_unknowns() {
        let h = [[4.0, 1.0, 0.5], [1.0, 3.0, -0.25], [0.5, -0.25, 2.0]];
        let apply = |v: &[f64], out: &mut [f64]| (0..3).for_each(|i| out[i] = dot(&h[i], v));
        let b = [1.0, -2.0, 0.75];
        let x = conjugate_gradient(&b, 3, apply);
        for (row, b) in h.iter().zip(b) {
            assert!((dot(row, &x) - b).abs() < 1e-12);
        }
    }
}
