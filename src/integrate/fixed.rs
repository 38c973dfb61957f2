//! The methods of the grid `t0 + k step`: explicit Euler and the classical Runge–Kutta method of order 4.
//!
//! W. Kutta 1901, Beitrag zur näherungsweisen Integration totaler Differentialgleichungen. Between grid instants Euler
//! is linear; Runge–Kutta has the cubic interpolant of Hairer, Nørsett and Wanner 1993, section II.6.

use super::explicit::{Dense, Tableau};

/// What the tables of a grid have in common: no control of the step.
const GRID: Tableau = Tableau {
    stages: 0,
    is_first_same_as_last: false,
    exponent: 0.2,
    beta: 0.0,
    stability: f64::INFINITY,
    c: &[],
    a: &[],
    b: &[],
    error: None,
    second_error: None,
    dense: Dense::Powers(&[]),
};

/// Explicit Euler.
pub(super) const EULER: Tableau =
    Tableau { stages: 1, c: &[0.0], a: &[&[]], b: &[1.0], dense: Dense::Powers(&[&[1.0]]), ..GRID };

/// The classical Runge–Kutta method.
pub(super) const RK4: Tableau = Tableau {
    stages: 4,
    c: &[0.0, 0.5, 0.5, 1.0],
    a: &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    b: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    dense: Dense::Powers(&[
        &[1.0, -1.5, 2.0 / 3.0],
        &[0.0, 1.0, -2.0 / 3.0],
        &[0.0, 1.0, -2.0 / 3.0],
        &[0.0, -0.5, 2.0 / 3.0],
    ]),
    ..GRID
};
