//! Eigenvalues of the Jacobian at a steady state, within the plane that the conservation laws leave.
//!
//! With `x_f = T − Σ c_j x_j` for the state f of each law, the others obey `x_r' = (J_rr − J_rf C) x_r` to first order.
//! Its eigenvalues are those of J without the zeros of the laws. They are computed by the QR algorithm on that matrix,
//! scaled by the sizes of the states (Golub and Van Loan 2013, Matrix Computations, section 7.5; nalgebra's).

use super::network::Law;
use crate::linalg::CscPattern;
use nalgebra::{DMatrix, linalg::Schur};

/// Above this number of states the dense matrix costs more than it tells.
pub const MOST_STATES: usize = 300;
/// Real parts below this share of the largest eigenvalue are roundings of zero.
const ROUNDING: f64 = 1e-10;
/// Sweeps of the QR algorithm for each eigenvalue, at most.
const SWEEPS: usize = 100;

/// One eigenvalue, per unit of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eigenvalue {
    /// Growth (positive) or decay.
    pub re: f64,
    /// Angular frequency.
    pub im: f64,
}

impl Eigenvalue {
    fn size(&self) -> f64 {
        self.re.hypot(self.im)
    }
}

/// What a small displacement that keeps the conserved totals does.
#[derive(Debug, Clone, PartialEq)]
pub struct Stability {
    /// By descending real part, then descending imaginary part.
    pub eigenvalues: Vec<Eigenvalue>,
}

impl Stability {
    /// The eigenvalues for `jacobian: nnz` in the order of `pattern`. `None` for more than [`MOST_STATES`] states, values
    /// that are not finite, and where the algorithm does not converge.
    pub fn new(pattern: &CscPattern, jacobian: &[f64], laws: &[Law], scale: &[f64]) -> Option<Stability> {
        let n = pattern.n_cols();
        if n > MOST_STATES || !jacobian.iter().all(|v| v.is_finite()) {
            return None;
        }
        let mut place = vec![Some(0); n];
        laws.iter().for_each(|law| place[law.state] = None);
        let mut n_left = 0;
        for slot in place.iter_mut().flatten() {
            *slot = n_left;
            n_left += 1;
        }
        let mut matrix = DMatrix::<f64>::zeros(n_left, n_left);
        for (col, to) in place.iter().enumerate() {
            for (row, k) in pattern.column(col) {
                let Some(i) = place[row] else { continue };
                if let Some(j) = *to {
                    matrix[(i, j)] += jacobian[k] * scale[col] / scale[row];
                    continue;
                }
                for (other, c) in laws.iter().filter(|law| law.state == col).flat_map(|law| &law.terms) {
                    if let Some(j) = place[*other] {
                        matrix[(i, j)] -= jacobian[k] * c * scale[*other] / scale[row];
                    }
                }
            }
        }
        let schur = Schur::try_new(matrix, f64::EPSILON, SWEEPS * n_left.max(1))?;
        let values = schur.complex_eigenvalues();
        let mut eigenvalues: Vec<Eigenvalue> = values.iter().map(|z| Eigenvalue { re: z.re, im: z.im }).collect();
        eigenvalues.sort_by(|a, b| b.re.total_cmp(&a.re).then(b.im.total_cmp(&a.im)));
        eigenvalues.iter().all(|z| z.size().is_finite()).then_some(Stability { eigenvalues })
    }

    /// The largest real part; −∞ where the laws leave nothing to move.
    pub fn largest(&self) -> f64 {
        self.eigenvalues.first().map_or(f64::NEG_INFINITY, |z| z.re)
    }

    /// True where no displacement grows, up to rounding.
    pub fn is_stable(&self) -> bool {
        let size = self.eigenvalues.iter().map(Eigenvalue::size).fold(0.0, f64::max);
        self.largest() <= ROUNDING * size
    }
}
