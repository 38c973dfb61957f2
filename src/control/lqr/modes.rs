//! Which modes that do not decay are out of reach of the inputs, or of sight of the cost.

use nalgebra::{Complex, DMatrix};

/// A mode of a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mode {
    pub(super) real: f64,
    pub(super) imaginary: f64,
    /// The state with the largest part in it.
    pub(super) state: usize,
}

/// Singular values of the pencil below this fraction of its size count as zero: a mode that an input reaches by less is
/// out of its reach in practice.
const RANK: f64 = 1e-11;

/// The first mode λ of `a` with `does_not_decay(λ)` at which `[A − λI, B]` has no full rank: its left vector is orthogonal to
/// all of B.
pub(super) fn unreachable(
    a: &DMatrix<f64>,
    b: &DMatrix<f64>,
    does_not_decay: impl Fn(Complex<f64>) -> bool,
) -> Option<Mode> {
    let (n, m) = (a.nrows(), b.ncols());
    let size = 1.0 + a.norm();
    let scale = if b.norm() > 0.0 { size / b.norm() } else { 1.0 };
    for value in a.clone().complex_eigenvalues().iter().filter(|value| value.im >= 0.0 && does_not_decay(**value)) {
        let pencil = DMatrix::from_fn(n, n + m, |i, j| match j.checked_sub(n) {
            None => Complex::from(a[(i, j)]) - if i == j { *value } else { Complex::from(0.0) },
            Some(input) => Complex::from(scale * b[(i, input)]),
        });
        let svd = pencil.svd(true, false);
        let (least, at) = svd
            .singular_values
            .iter()
            .zip(0..)
            .fold((f64::INFINITY, 0), |best, (&value, at)| if value < best.0 { (value, at) } else { best });
        if let Some(vectors) = svd.u.filter(|_| least < RANK * size) {
            let part = |i: &usize| vectors[(*i, at)].norm();
            let state = (0..n).max_by(|i, j| part(i).total_cmp(&part(j))).unwrap_or(0);
            return Some(Mode { real: value.re, imaginary: value.im, state });
        }
    }
    None
}
