//! What the filters have in common: taking in measurements one by one, square roots of covariances, moments of samples.

/// What an update found out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// Normalised innovation squared.
    pub nis: f64,
    /// Measurements used.
    pub n_used: usize,
    /// ln of their likelihood.
    pub log_likelihood: f64,
}

impl Verdict {
    /// Before the first update.
    pub const NONE: Verdict = Verdict { nis: f64::NAN, n_used: 0, log_likelihood: 0.0 };
}

/// ln √(2π)
pub(super) const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// −ln of the normal density at a distance, given its square over the variance.
pub(super) fn surprise(square: f64, variance: f64) -> f64 {
    HALF_LN_2PI + 0.5 * variance.ln() + 0.5 * square
}

/// The Kalman update with independent measurements, one after the other: the same as all at once, without the inverse of
/// a matrix (Maybeck 1979, *Stochastic Models, Estimation, and Control* 1, section 7.2).
///
/// `innovations: n_outputs` are `y − h(mean)`, NaN to leave one out; `jacobian: n_outputs × n`.
pub(super) fn update(
    mean: &mut [f64],
    covariance: &mut [f64],
    jacobian: &[f64],
    innovations: &[f64],
    sd: &[f64],
    start: &[f64],
    gain: &mut [f64],
) -> Verdict {
    let (n, n_outputs) = (mean.len(), innovations.len());
    let mut verdict = Verdict { nis: 0.0, n_used: 0, log_likelihood: 0.0 };
    for (output, &innovation) in innovations.iter().enumerate() {
        if innovation.is_nan() {
            continue;
        }
        let row = |state: usize| jacobian[state * n_outputs + output];
        // What earlier measurements moved is what the linearised one expects already.
        let moved: f64 = (0..n).map(|state| row(state) * (mean[state] - start[state])).sum();
        let distance = innovation - moved;
        gain.fill(0.0);
        for (state, column) in covariance.chunks_exact(n).enumerate() {
            let weight = row(state);
            if weight != 0.0 {
                gain.iter_mut().zip(column).for_each(|(gain, p)| *gain += weight * p);
            }
        }
        let variance = (0..n).map(|state| row(state) * gain[state]).sum::<f64>() + sd[output] * sd[output];
        if !(variance > 0.0 && variance.is_finite()) {
            continue;
        }
        let square = distance * distance / variance;
        for (state, column) in covariance.chunks_exact_mut(n).enumerate() {
            let weight = gain[state] / variance;
            mean[state] += weight * distance;
            column.iter_mut().zip(gain.iter()).for_each(|(p, gain)| *p -= weight * gain);
        }
        verdict.nis += square;
        verdict.n_used += 1;
        verdict.log_likelihood -= surprise(square, variance);
    }
    verdict
}

/// `diagonal: n_outputs` of `H P Hᵀ + R`: how far each measurement alone may lie off.
pub(super) fn innovation_variances(covariance: &[f64], jacobian: &[f64], sd: &[f64], diagonal: &mut [f64]) {
    let (n, n_outputs) = (covariance.len().isqrt(), sd.len());
    for (output, variance) in diagonal.iter_mut().enumerate() {
        let row = |state: usize| jacobian[state * n_outputs + output];
        *variance = sd[output] * sd[output];
        for (i, column) in covariance.chunks_exact(n).enumerate() {
            *variance += row(i) * column.iter().enumerate().map(|(j, p)| row(j) * p).sum::<f64>();
        }
    }
}

/// `lower: n × n`, column major = L with `L Lᵀ = covariance`; a direction without variance has a zero column. Returns
/// false where the matrix is indefinite beyond rounding.
pub(super) fn square_root(covariance: &[f64], lower: &mut [f64]) -> bool {
    let n = covariance.len().isqrt();
    lower.copy_from_slice(covariance);
    let mut is_definite = true;
    for k in 0..n {
        let (done, rest) = lower.split_at_mut(k * n);
        let column = &mut rest[..n];
        column[..k].fill(0.0);
        for earlier in done.chunks_exact(n) {
            let factor = earlier[k];
            column[k..].iter_mut().zip(&earlier[k..]).for_each(|(value, l)| *value -= factor * l);
        }
        let (pivot, size) = (column[k], covariance[k * n + k].abs());
        // A pivot at rounding level of its own diagonal says that the direction has no variance left.
        if pivot > 1e-14 * size {
            let root = pivot.sqrt();
            column[k..].iter_mut().for_each(|value| *value /= root);
        } else {
            is_definite &= pivot >= -1e-9 * size;
            column[k..].fill(0.0);
        }
    }
    is_definite
}

/// `out += L z` with L lower triangular.
pub(super) fn add_product(lower: &[f64], z: &[f64], out: &mut [f64]) {
    let n = z.len();
    for (k, (column, &value)) in lower.chunks_exact(n).zip(z).enumerate() {
        out[k..].iter_mut().zip(&column[k..]).for_each(|(out, l)| *out += l * value);
    }
}

/// Mean and covariance of weighted points, `n` numbers each; `correction` multiplies the covariance.
pub(super) fn moments(points: &[f64], weights: &[f64], mean: &mut [f64], covariance: &mut [f64], correction: f64) {
    let n = mean.len();
    mean.fill(0.0);
    covariance.fill(0.0);
    for (point, &weight) in points.chunks_exact(n).zip(weights) {
        mean.iter_mut().zip(point).for_each(|(mean, x)| *mean += weight * x);
    }
    for (point, &weight) in points.chunks_exact(n).zip(weights) {
        for (j, column) in covariance.chunks_exact_mut(n).enumerate() {
            let factor = weight * (point[j] - mean[j]) * correction;
            column.iter_mut().enumerate().for_each(|(i, p)| *p += factor * (point[i] - mean[i]));
        }
    }
}

/// Replaces `innovations: m` by `L⁻¹ ν` with `L Lᵀ = spread: m × m`; their squares add up to ν's normalised square.
/// `None` where the matrix is not positive definite.
pub(super) fn whiten(spread: &[f64], lower: &mut [f64], innovations: &mut [f64]) -> Option<Verdict> {
    let m = innovations.len();
    if !square_root(spread, lower) || (0..m).any(|k| lower[k * m + k] == 0.0) {
        return None;
    }
    let mut verdict = Verdict { nis: 0.0, n_used: m, log_likelihood: 0.0 };
    for k in 0..m {
        let pivot = lower[k * m + k];
        innovations[k] /= pivot;
        let z = innovations[k];
        for i in k + 1..m {
            innovations[i] -= lower[k * m + i] * z;
        }
        verdict.nis += z * z;
        verdict.log_likelihood -= HALF_LN_2PI + pivot.ln() + 0.5 * z * z;
    }
    Some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_root_squares_to_the_covariance_even_where_it_is_singular() {
        // Rank two of three: the last is the sum of the others.
        let covariance = [4.0, 1.0, 5.0, 1.0, 3.0, 4.0, 5.0, 4.0, 9.0];
        let mut lower = [0.0; 9];
        assert!(square_root(&covariance, &mut lower));
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| lower[k * 3 + i] * lower[k * 3 + j]).sum();
                assert!((product - covariance[j * 3 + i]).abs() < 1e-12, "{i} {j}");
            }
        }
        assert!(!square_root(&[1.0, 2.0, 2.0, 1.0], &mut [0.0; 4]));
    }

    #[test]
    fn two_measurements_one_by_one_equal_both_at_once() {
        // Both at once, by hand: P = I, H = [1 0; 1 1], R = diag(1, 2), innovations (1, 2).
        let (mut mean, mut covariance) = ([0.0; 2], [1.0, 0.0, 0.0, 1.0]);
        let verdict = update(
            &mut mean,
            &mut covariance,
            &[1.0, 1.0, 0.0, 1.0],
            &[1.0, 2.0],
            &[1.0, 2.0_f64.sqrt()],
            &[0.0; 2],
            &mut [0.0; 2],
        );
        // S = [2 1; 1 4], S⁻¹ = [4 −1; −1 2]/7, S⁻¹ν = (2, 3)/7, Hᵀ of that = (5, 3)/7, νᵀS⁻¹ν = 8/7.
        assert!((mean[0] - 5.0 / 7.0).abs() < 1e-15 && (mean[1] - 3.0 / 7.0).abs() < 1e-15, "{mean:?}");
        assert!((verdict.nis - 8.0 / 7.0).abs() < 1e-15);
        let expected = -(2.0 * HALF_LN_2PI + 0.5 * 7.0_f64.ln() + 4.0 / 7.0);
        assert!((verdict.log_likelihood - expected).abs() < 1e-14);
    }
}
