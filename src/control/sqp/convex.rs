//! Making a symmetric matrix positive definite by its eigenvalues.
//!
//! Cyclic Jacobi rotations (Golub and Van Loan 2013, *Matrix Computations*, section 8.5) find them; those below a floor
//! are raised to it. Mirroring negative ones instead was tried and ends in worse optima of the cart-pole.

/// Buffers for matrices of up to `n` rows.
#[derive(Debug, Clone)]
pub(super) struct Convexifier {
    a: Vec<f64>,
    v: Vec<f64>,
}

impl Convexifier {
    pub(super) fn new(n: usize) -> Convexifier {
        Convexifier { a: vec![0.0; n * n], v: vec![0.0; n * n] }
    }

    /// Raises the eigenvalues of `h: n × n` to at least `floor` times the largest absolute one. True where it had to.
    pub(super) fn lift(&mut self, h: &mut [f64], n: usize, floor: f64) -> bool {
        if n == 0 {
            return false;
        }
        self.a[..n * n].copy_from_slice(h);
        self.rotate(n);
        let value = |i: usize| self.a[i + n * i];
        let largest = (0..n).fold(0.0, |m: f64, i| m.max(value(i).abs()));
        let least = floor * largest;
        if (0..n).all(|i| value(i) >= 0.0) {
            return false;
        }
        for i in 0..n {
            let lift = if super::search::knob("MIRROR", 0.0) > 0.0 { (-2.0 * value(i)).max(0.0).max(least - value(i)) } else { least - value(i) };
            if lift > 0.0 {
                for c in 0..n {
                    let vc = lift * self.v[c + n * i];
                    for r in 0..n {
                        h[r + n * c] += self.v[r + n * i] * vc;
                    }
                }
            }
        }
        true
    }

    /// Diagonalises `a`; `v` holds the eigenvectors as columns.
    fn rotate(&mut self, n: usize) {
        let (a, v) = (&mut self.a[..n * n], &mut self.v[..n * n]);
        v.fill(0.0);
        for i in 0..n {
            v[i + n * i] = 1.0;
        }
        let total: f64 = a.iter().map(|x| x * x).sum();
        for _ in 0..30 {
            let mut off = 0.0;
            for q in 1..n {
                for p in 0..q {
                    off += a[p + n * q] * a[p + n * q];
                }
            }
            if off <= 1e-30 * total {
                break;
            }
            for q in 1..n {
                for p in 0..q {
                    let apq = a[p + n * q];
                    if apq == 0.0 {
                        continue;
                    }
                    let theta = (a[q + n * q] - a[p + n * p]) / (2.0 * apq);
                    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                    let t = if theta == 0.0 { 1.0 } else { t };
                    let c = 1.0 / (t * t + 1.0).sqrt();
                    let s = t * c;
                    for k in 0..n {
                        let (x, y) = (a[k + n * p], a[k + n * q]);
                        a[k + n * p] = c * x - s * y;
                        a[k + n * q] = s * x + c * y;
                    }
                    for k in 0..n {
                        let (x, y) = (a[p + n * k], a[q + n * k]);
                        a[p + n * k] = c * x - s * y;
                        a[q + n * k] = s * x + c * y;
                    }
                    for k in 0..n {
                        let (x, y) = (v[k + n * p], v[k + n * q]);
                        v[k + n * p] = c * x - s * y;
                        v[k + n * q] = s * x + c * y;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifts_only_what_is_negative() {
        let mut h = [1.0, 2.0, 2.0, 1.0];
        assert!(Convexifier::new(2).lift(&mut h, 2, 0.0));
        // Eigenvalues 3 and -1: the projection is 1.5 everywhere.
        assert!(h.iter().all(|v| (v - 1.5).abs() < 1e-14), "{h:?}");
        let mut convex = [2.0, 0.5, 0.5, 1.0];
        assert!(!Convexifier::new(2).lift(&mut convex, 2, 0.0));
        assert_eq!(convex, [2.0, 0.5, 0.5, 1.0]);
    }
}
