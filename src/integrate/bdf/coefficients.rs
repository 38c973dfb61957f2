//! The coefficients of the fixed-leading-coefficient BDF on a grid of unequal steps.
//!
//! Jackson and Sacks-Davis 1980, An alternative implementation of variable step-size multistep formulas for stiff ODEs,
//! ACM Trans. Math. Softw. 6, 295–318 (the formula and its error constants); Byrne and Hindmarsh 1975, A
//! polyalgorithm for the numerical solution of ordinary differential equations, ACM Trans. Math. Softw. 1, 71–96 (the
//! Nordsieck form and the change of order).
//!
//! Times are measured from the new point in units of the step h: the older points lie at `-xi_j`, with `xi_j = (h +
//! h_1 + ... + h_{j-1})/h`, h_1 being the step before. The correction of the new point moves the whole history along
//! the polynomial `Lambda(s) = Π_{j=1}^{q-1} (1 + s/xi_j) (1 + s/xi*)`, where the last factor keeps the leading
//! coefficient `Lambda'(0) = 1 + 1/2 + ... + 1/q` that of equal steps.

/// The highest order.
pub(super) const MAX_ORDER: usize = 5;

/// What one step of one order needs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Coefficients {
    /// The coefficients of Lambda in ascending powers: what the correction adds to each scaled derivative.
    pub l: [f64; MAX_ORDER + 1],
    /// Error of the step in units of its correction.
    pub error: f64,
    /// Turns the last scaled derivative into the error of the order below; zero at order 1.
    pub lower: f64,
    /// Turns the difference of two corrections into the error of the order above.
    pub higher: f64,
    /// Turns a correction into a backward difference of order q + 1, up to a factor that depends on the order only.
    pub difference: f64,
}

/// `1/j`
const RECIPROCAL: [f64; MAX_ORDER + 2] = [1.0, 1.0, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0, 1.0 / 5.0, 1.0 / 6.0];

/// The coefficients for a step of length `h` of the given order; `past` are the lengths of the steps before, the latest
/// first, at least `order` of them. Those of other orders' errors are computed where `with_neighbors`.
pub(super) fn coefficients(order: usize, h: f64, past: &[f64; MAX_ORDER + 1], with_neighbors: bool) -> Coefficients {
    let q = order as f64;
    let mut l = [0.0; MAX_ORDER + 1];
    l[0] = 1.0;
    l[1] = 1.0;
    // -(1 + 1/2 + ... + 1/q), and the same with the points where they are; 1/xi_q and 1/xi*.
    let (mut alpha, mut alpha_hat) = (-1.0, -1.0);
    let (mut inverse, mut last) = (1.0, 1.0);
    let mut sum = h;
    for j in 2..=order {
        sum += past[j - 2];
        inverse = h / sum;
        alpha -= RECIPROCAL[j];
        if j < order {
            multiply(&mut l, j, inverse);
        } else {
            last = -l[1] - alpha;
            alpha_hat = -l[1] - inverse;
            multiply(&mut l, j, last);
        }
    }
    let a1 = 1.0 - alpha_hat + alpha;
    let a2 = 1.0 + q * a1;
    let mut c = Coefficients { l, error: (a1 / (alpha * a2)).abs(), ..Coefficients::default() };
    if with_neighbors {
        let next = h / (sum + past[order - 1]);
        let a3 = alpha + RECIPROCAL[order];
        let a4 = alpha_hat + inverse;
        let a5 = alpha - RECIPROCAL[order + 1];
        let a6 = alpha_hat - next;
        c.difference = (a2 * last / (l[order] * inverse)).abs();
        c.lower = if order > 1 { (last / l[order] * (1.0 - a4 + a3) / a3).abs() } else { 0.0 };
        c.higher = ((1.0 - a6 + a5) / (a2 * next * (q + 2.0) * a5)).abs();
    }
    c
}

/// `l` times `1 + s inverse`, the product being of degree `degree`.
fn multiply(l: &mut [f64; MAX_ORDER + 1], degree: usize, inverse: f64) {
    for i in (1..=degree).rev() {
        l[i] += l[i - 1] * inverse;
    }
}

/// What raising the order from `order` adds to the scaled derivatives 2 ... `order + 1`, per unit of the last
/// correction. `past` are the last steps, the one just made first; the history is scaled by it.
pub(super) fn raise(order: usize, past: &[f64]) -> [f64; MAX_ORDER + 1] {
    let h = past[0];
    let mut l = [0.0; MAX_ORDER + 1];
    l[2] = 1.0;
    let (mut alpha0, mut alpha1, mut product, mut before) = (-1.0, 1.0, 1.0, 1.0);
    let mut sum = h;
    for (j, step) in past.iter().enumerate().take(order).skip(1) {
        sum += step;
        let xi = sum / h;
        product *= xi;
        alpha0 -= 1.0 / (j + 1) as f64;
        alpha1 += 1.0 / xi;
        for i in (2..=j + 2).rev() {
            l[i] = l[i] * before + l[i - 1];
        }
        before = xi;
    }
    let size = (-alpha0 - alpha1) / product;
    let mut change = [0.0; MAX_ORDER + 1];
    for i in 2..=order {
        change[i] = l[i] * size;
    }
    change[order + 1] = size;
    change
}

/// What lowering the order from `order` subtracts from the scaled derivatives 2 ... `order - 1`, per unit of the one of
/// order `order`: the polynomial `s² Π (s + xi_j)`, which leaves the values at the points that remain.
pub(super) fn lower(order: usize, past: &[f64]) -> [f64; MAX_ORDER + 1] {
    let h = past[0];
    let mut l = [0.0; MAX_ORDER + 1];
    l[2] = 1.0;
    let mut sum = 0.0;
    for j in 1..order.saturating_sub(1) {
        sum += past[j - 1];
        let xi = sum / h;
        for i in (2..=j + 2).rev() {
            l[i] = l[i] * xi + l[i - 1];
        }
    }
    l
}

#[cfg(test)]
mod tests {
    use super::super::super::tsit5::tests::{row, table};
    use super::*;

    /// On equal steps the leading coefficient and the error constants are the classical ones.
    #[test]
    fn equal_steps_give_the_published_constants() {
        let Some(published) = table("ndf_bdf") else { return };
        let gamma = row(&published["gamma"]);
        let error = row(&published["error_const_bdf"]);
        for order in 1..=MAX_ORDER {
            let c = coefficients(order, 0.1, &[0.1; MAX_ORDER + 1], true);
            assert!((c.l[1] - gamma[order - 1]).abs() < 1e-14, "order {order}: {c:?}");
            // The correction is nabla^(q+1) y. The published constant is that of the residual of h y'; an error of the
            // solution is smaller by the leading coefficient.
            let constant = error[order - 1] / gamma[order - 1];
            assert!((c.error - constant).abs() < 1e-14, "order {order}: {c:?}");
        }
    }

    /// The history of a polynomial of degree q is carried over a change of order exactly.
    #[test]
    fn lowering_keeps_the_older_values() {
        // Points 0, -1, -2.5 (in steps of length 1 and 1.5), order 4 to 3: s² (s + 1) vanishes at 0 and -1.
        let l = lower(4, &[1.0, 1.5, 1.0, 1.0]);
        let value = |s: f64| l.iter().enumerate().map(|(i, c)| c * s.powi(i as i32)).sum::<f64>();
        assert!(value(0.0).abs() < 1e-14 && value(-1.0).abs() < 1e-14 && value(-2.5).abs() < 1e-12, "{l:?}");
    }
}
