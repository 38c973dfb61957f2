//! Riccati equations: doubling, then Newton steps until rounding.

use nalgebra::{Complex, DMatrix};

use super::modes::unreachable;
use super::{LinearQuadratic, LqrError};

/// Doublings allowed; each squares the closed loop's decay, so 60 are beyond any that rounding can tell from none.
const DOUBLINGS: usize = 60;
/// Newton steps after the doubling; the second finds nothing left in all problems of the tests.
const REFINEMENTS: usize = 2;
/// Moduli (or real parts, relative to the size of A) closer than this to the edge of stability do not decay.
const EDGE: f64 = 1e-10;

/// What solves a Riccati equation.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// `n × n`, symmetric: `½ x'X x` is the cost from x on.
    pub cost: DMatrix<f64>,
    /// `m × n`: the optimal input is `−K x`.
    pub gain: DMatrix<f64>,
    /// Largest entry of what is left of the equation, relative to that of X.
    pub residual: f64,
    /// Doublings made.
    pub doublings: usize,
}

/// The regulator of `x_next = A x + B u` over an infinite horizon.
///
/// # Errors
/// Matrices that do not fit, inputs without cost, and modes that cannot be stabilized or cost nothing.
pub fn discrete(problem: &LinearQuadratic) -> Result<Solution, LqrError> {
    problem.check()?;
    let plain = Plain::new(problem)?;
    check_modes(&plain, |value| value.norm() > 1.0 - EDGE)?;
    let (mut x, doublings) = double(plain.a.clone(), plain.g.clone(), plain.q.clone())?;
    for _ in 0..REFINEMENTS {
        let (gain, residual) = discrete_parts(problem, &x)?;
        let closed = &problem.a - &problem.b * gain;
        x += stein(closed, residual);
        symmetrize(&mut x);
    }
    let (gain, residual) = discrete_parts(problem, &x)?;
    finish(x, gain, residual, doublings)
}

/// The regulator of `x' = A x + B u` over an infinite horizon.
///
/// # Errors
/// As [`discrete`].
pub fn continuous(problem: &LinearQuadratic) -> Result<Solution, LqrError> {
    problem.check()?;
    let plain = Plain::new(problem)?;
    let edge = EDGE * (1.0 + plain.a.norm());
    check_modes(&plain, |value| value.re > -edge)?;
    // Any shift does that is no mode of the Hamiltonian matrix; this one is beyond all of them.
    let gamma = (2.0 * (plain.a.norm() + (plain.g.norm() * plain.q.norm()).sqrt())).max(f64::MIN_POSITIVE);
    let n = plain.a.nrows();
    let identity = DMatrix::identity(n, n);
    let shifted = inverse(&plain.a - gamma * &identity)?;
    let w = inverse(plain.a.transpose() - gamma * &identity + &plain.q * &shifted * &plain.g)?;
    let a = &identity + 2.0 * gamma * w.transpose();
    let g = 2.0 * gamma * &shifted * &plain.g * &w;
    let h = 2.0 * gamma * &w * &plain.q * &shifted;
    let (mut x, doublings) = double(a, g, h)?;
    for _ in 0..REFINEMENTS {
        let (gain, residual) = continuous_parts(problem, &x)?;
        let closed = &problem.a - &problem.b * gain;
        let shifted = inverse(&closed - gamma * &identity)?;
        let step = &shifted * (closed + gamma * &identity);
        let right = 2.0 * gamma * shifted.transpose() * residual * &shifted;
        x += stein(step, right);
        symmetrize(&mut x);
    }
    let (gain, residual) = continuous_parts(problem, &x)?;
    finish(x, gain, residual, doublings)
}

/// The gains of `x_next = A x + B u` over `horizon` steps with the last cost `½ x'F x`, first step first, and the cost
/// matrix of the whole.
///
/// # Errors
/// Matrices that do not fit, and inputs without cost.
pub fn finite(
    problem: &LinearQuadratic,
    last: &DMatrix<f64>,
    horizon: usize,
) -> Result<(Vec<DMatrix<f64>>, DMatrix<f64>), LqrError> {
    problem.check()?;
    if last.shape() != problem.q.shape() {
        return Err(LqrError::Shape("the last cost is a matrix in the states"));
    }
    let mut x = last.clone();
    let mut gains = Vec::with_capacity(horizon);
    for _ in 0..horizon {
        let (gain, residual) = discrete_parts(problem, &x)?;
        x += residual;
        symmetrize(&mut x);
        gains.push(gain);
    }
    gains.reverse();
    Ok((gains, x))
}

/// The problem with its cross costs moved into A and Q, and `G = B R⁻¹ B'`.
struct Plain {
    a: DMatrix<f64>,
    b: DMatrix<f64>,
    g: DMatrix<f64>,
    q: DMatrix<f64>,
}

impl Plain {
    fn new(problem: &LinearQuadratic) -> Result<Plain, LqrError> {
        let LinearQuadratic { a, b, q, r, s } = problem;
        let factor = r.clone().cholesky().ok_or(LqrError::InputCost)?;
        let (from_s, from_b) = (factor.solve(&s.transpose()), factor.solve(&b.transpose()));
        Ok(Plain { a: a - b * &from_s, b: b.clone(), g: b * from_b, q: q - s * from_s })
    }
}

fn check_modes(plain: &Plain, does_not_decay: impl Fn(Complex<f64>) -> bool) -> Result<(), LqrError> {
    if let Some(mode) = unreachable(&plain.a, &plain.b, &does_not_decay) {
        return Err(LqrError::NotStabilizable { real: mode.real, imaginary: mode.imaginary, state: mode.state });
    }
    if let Some(mode) = unreachable(&plain.a.transpose(), &plain.q, &does_not_decay) {
        return Err(LqrError::NotDetectable { real: mode.real, imaginary: mode.imaginary, state: mode.state });
    }
    Ok(())
}

/// Chu et al. 2004, algorithm SDA: the limit of H, which solves the equation.
fn double(mut a: DMatrix<f64>, mut g: DMatrix<f64>, mut h: DMatrix<f64>) -> Result<(DMatrix<f64>, usize), LqrError> {
    let n = a.nrows();
    for doubling in 1..=DOUBLINGS {
        let w = (DMatrix::identity(n, n) + &g * &h).lu();
        let (Some(wa), Some(wg)) = (w.solve(&a), w.solve(&g)) else { return Err(LqrError::NoConvergence) };
        let change = a.transpose() * &h * &wa;
        g += &a * wg * a.transpose();
        a *= wa;
        h += &change;
        symmetrize(&mut g);
        symmetrize(&mut h);
        if !h.iter().all(|value| value.is_finite()) {
            return Err(LqrError::NoConvergence);
        }
        if change.amax() <= 1e-15 * h.amax() {
            return Ok((h, doubling));
        }
    }
    Err(LqrError::NoConvergence)
}

/// Gain and what is left of `X = Q + A'X A − (A'X B + S)(R + B'X B)⁻¹(B'X A + S')`.
fn discrete_parts(problem: &LinearQuadratic, x: &DMatrix<f64>) -> Result<(DMatrix<f64>, DMatrix<f64>), LqrError> {
    let LinearQuadratic { a, b, q, r, s } = problem;
    let xa = x * a;
    let right = b.transpose() * &xa + s.transpose();
    let factor = (r + b.transpose() * x * b).cholesky().ok_or(LqrError::NoConvergence)?;
    let gain = factor.solve(&right);
    let residual = q + a.transpose() * xa - right.transpose() * &gain - x;
    Ok((gain, residual))
}

/// Gain and what is left of `0 = Q + A'X + X A − (X B + S) R⁻¹ (B'X + S')`.
fn continuous_parts(problem: &LinearQuadratic, x: &DMatrix<f64>) -> Result<(DMatrix<f64>, DMatrix<f64>), LqrError> {
    let LinearQuadratic { a, b, q, r, s } = problem;
    let right = b.transpose() * x + s.transpose();
    let gain = r.clone().cholesky().ok_or(LqrError::InputCost)?.solve(&right);
    let xa = x * a;
    let residual = q + &xa + xa.transpose() - right.transpose() * &gain;
    Ok((gain, residual))
}

/// Σ (M')ᵏ D Mᵏ, the solution of `Y = M'Y M + D`, by R. A. Smith's doubling (1968, SIAM J. Appl. Math. 16:198).
fn stein(mut m: DMatrix<f64>, mut d: DMatrix<f64>) -> DMatrix<f64> {
    for _ in 0..DOUBLINGS {
        let more = m.transpose() * &d * &m;
        d += &more;
        if more.amax() <= 1e-16 * d.amax() || !more.amax().is_finite() {
            break;
        }
        m = &m * &m;
    }
    d
}

fn inverse(matrix: DMatrix<f64>) -> Result<DMatrix<f64>, LqrError> {
    matrix.try_inverse().ok_or(LqrError::NoConvergence)
}

fn symmetrize(matrix: &mut DMatrix<f64>) {
    *matrix = 0.5 * (&*matrix + matrix.transpose());
}

fn finish(
    cost: DMatrix<f64>,
    gain: DMatrix<f64>,
    residual: DMatrix<f64>,
    doublings: usize,
) -> Result<Solution, LqrError> {
    let relative = residual.amax() / cost.amax().max(f64::MIN_POSITIVE);
    if !(relative.is_finite() && relative < 1e-6) && residual.amax() > 0.0 {
        return Err(LqrError::NoConvergence);
    }
    Ok(Solution { cost, gain, residual: relative, doublings })
}
