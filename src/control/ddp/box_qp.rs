//! A small quadratic program in a box, by projected Newton steps.
//!
//! ```text
//! minimize ½ v' H v + g' v   subject to   lower ≤ v ≤ upper
//! ```
//! Tassa, Mansard and Todorov 2014, *Control-limited differential dynamic programming*, ICRA, algorithm 1. H is positive
//! definite, or the caller is told that its free part is not.

/// Buffers and result of one such program.
#[derive(Debug, Clone)]
pub(super) struct BoxQp {
    /// The solution.
    pub v: Vec<f64>,
    /// Which components lie strictly between their bounds, or leave them.
    pub free: Vec<bool>,
    /// Indices of the free ones, ascending.
    pub free_idx: Vec<usize>,
    /// Cholesky factor of the free part of H, `n_free × n_free`, column major with stride `n`.
    factor: Vec<f64>,
    gradient: Vec<f64>,
    step: Vec<f64>,
    trial: Vec<f64>,
}

/// Newton steps after which the best point is taken.
const MAX_STEPS: usize = 100;

impl BoxQp {
    pub(super) fn new(n: usize) -> Self {
        BoxQp {
            v: vec![0.0; n],
            free: vec![true; n],
            free_idx: Vec::with_capacity(n),
            factor: vec![0.0; n * n],
            gradient: vec![0.0; n],
            step: vec![0.0; n],
            trial: vec![0.0; n],
        }
    }

    /// Solves; starts from `self.v` put into the box. False where H is not positive definite on the free components.
    pub(super) fn solve(&mut self, hessian: &[f64], linear: &[f64], lower: &[f64], upper: &[f64]) -> bool {
        let n = linear.len();
        for j in 0..n {
            self.v[j] = self.v[j].max(lower[j]).min(upper[j]);
        }
        let mut value = quadratic(hessian, linear, &self.v);
        let mut factored = false;
        for _ in 0..MAX_STEPS {
            product(hessian, &self.v, &mut self.gradient);
            let mut changed = !factored;
            for j in 0..n {
                self.gradient[j] += linear[j];
                let held = (self.v[j] <= lower[j] && self.gradient[j] > 0.0)
                    || (self.v[j] >= upper[j] && self.gradient[j] < 0.0);
                changed |= self.free[j] == held;
                self.free[j] = !held;
            }
            if changed {
                self.free_idx.clear();
                self.free_idx.extend((0..n).filter(|&j| self.free[j]));
                if !self.factorise(hessian, n) {
                    return false;
                }
                factored = true;
            }
            if self.free_idx.is_empty() {
                return true;
            }
            for (at, &j) in self.free_idx.iter().enumerate() {
                self.step[at] = -self.gradient[j];
            }
            let n_free = self.free_idx.len();
            let mut step = std::mem::take(&mut self.step);
            self.back_substitute(&mut step[..n_free]);
            self.step = step;
            let slope: f64 = self.free_idx.iter().zip(&self.step).map(|(&j, s)| s * self.gradient[j]).sum();
            // The decrease that is left is below the rounding of the value.
            if -slope <= 1e-15 * (1.0 + value.abs()) {
                // The last Newton step of an interior solution is free of charge.
                for (&j, s) in self.free_idx.iter().zip(&self.step) {
                    self.v[j] = (self.v[j] + s).max(lower[j]).min(upper[j]);
                }
                return true;
            }
            let mut alpha = 1.0;
            loop {
                self.trial.copy_from_slice(&self.v);
                for (&j, s) in self.free_idx.iter().zip(&self.step) {
                    self.trial[j] = (self.v[j] + alpha * s).max(lower[j]).min(upper[j]);
                }
                let next = quadratic(hessian, linear, &self.trial);
                let promised: f64 = (0..n).map(|j| self.gradient[j] * (self.trial[j] - self.v[j])).sum();
                if next <= value + 0.1 * promised {
                    value = next;
                    std::mem::swap(&mut self.v, &mut self.trial);
                    break;
                }
                alpha *= 0.6;
                if alpha < 1e-12 {
                    return true;
                }
            }
        }
        true
    }

    /// `b: n_free` to the solution of the free part of H against it.
    pub(super) fn back_substitute(&self, b: &mut [f64]) {
        let n = self.v.len();
        let m = b.len();
        for i in 0..m {
            let done: f64 = b[..i].iter().enumerate().map(|(k, b)| self.factor[i + n * k] * b).sum();
            b[i] = (b[i] - done) / self.factor[i + n * i];
        }
        for i in (0..m).rev() {
            let done: f64 = b[i + 1..].iter().zip(&self.factor[i + 1 + n * i..]).map(|(b, f)| f * b).sum();
            b[i] = (b[i] - done) / self.factor[i + n * i];
        }
    }

    fn factorise(&mut self, hessian: &[f64], n: usize) -> bool {
        for (b, &j) in self.free_idx.iter().enumerate() {
            for (a, &i) in self.free_idx.iter().enumerate().skip(b) {
                let mut sum = hessian[i + n * j];
                for k in 0..b {
                    sum -= self.factor[a + n * k] * self.factor[b + n * k];
                }
                if a == b {
                    // A pivot below the rounding of its own sum is no pivot.
                    if sum.is_nan() || sum <= 1e-14 * hessian[i + n * j].abs() {
                        return false;
                    }
                    self.factor[a + n * b] = sum.sqrt();
                } else {
                    self.factor[a + n * b] = sum / self.factor[b + n * b];
                }
            }
        }
        true
    }
}

fn product(h: &[f64], v: &[f64], out: &mut [f64]) {
    let n = v.len();
    out.fill(0.0);
    for (j, &vj) in v.iter().enumerate() {
        for i in 0..n {
            out[i] += h[i + n * j] * vj;
        }
    }
}

fn quadratic(h: &[f64], g: &[f64], v: &[f64]) -> f64 {
    let n = v.len();
    let mut sum = 0.0;
    for j in 0..n {
        let column: f64 = h[n * j..n * (j + 1)].iter().zip(v).map(|(h, v)| h * v).sum();
        sum += v[j] * (g[j] + 0.5 * column);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_bound_that_the_minimum_lies_beyond() {
        // Minimum of the free problem at (2, -1); with v0 ≤ 1 the second moves along the valley.
        let h = [2.0, 1.0, 1.0, 3.0];
        let g = [-3.0, 1.0];
        let mut qp = BoxQp::new(2);
        assert!(qp.solve(&h, &g, &[-5.0, -5.0], &[1.0, 5.0]));
        assert_eq!(qp.v[0], 1.0);
        assert!((qp.v[1] + 2.0 / 3.0).abs() < 1e-14, "{:?}", qp.v);
        assert_eq!(qp.free, [false, true]);
    }

    #[test]
    fn says_where_the_free_part_is_indefinite() {
        let mut qp = BoxQp::new(2);
        assert!(!qp.solve(&[1.0, 2.0, 2.0, 1.0], &[0.0, 0.0], &[-1.0; 2], &[1.0; 2]));
    }
}
