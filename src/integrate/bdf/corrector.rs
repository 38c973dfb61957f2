//! The corrector: Newton's iteration for the implicit equation of a step, with factors kept over many steps.
//!
//! With `y = y_predicted + delta` the equation of a step is `f(t, y) - slope - shift delta = 0`, `shift = l_1/h`.
//! Factors of `shift' I - J'` from an earlier step serve as long as the shift has not moved much and the iteration
//! converges; where the shift moved, increments are scaled between what slow and fast components would need (Brown,
//! Byrne and Hindmarsh 1989, VODE: a variable-coefficient ODE solver, SIAM J. Sci. Stat. Comput. 10, 1038–1051,
//! section 4). The rate of convergence is measured and carried from step to step, so that most steps take one
//! iteration.

use super::vectors::{Sizes, correct, first_correction, residual};
use crate::integrate::field::Field;
use crate::integrate::lanes::Lanes;
use crate::linalg::ShiftedLu;

/// Most iterations of one attempt.
const MOST_ITERATIONS: u32 = 4;
/// The error left by the iteration is at most this share of the tolerance of a step.
const SHARE: f64 = 0.2;
/// Factors serve at most this many steps ...
const OLDEST: u32 = 20;
/// ... and shifts that differ from their own by this factor at most.
const DRIFT: f64 = 0.2;
/// An increment this much larger than the one before ends the iteration.
const DIVERGENCE: f64 = 2.0;
/// The measured rate of convergence forgets a faster one by this factor for each iteration.
const MEMORY: f64 = 0.3;

/// How an iteration ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Convergence {
    /// With a correction of this scaled norm.
    Reached(f64),
    /// The factors are old; new ones may help.
    Stale,
    /// Not with these, which are new.
    Failed,
}

/// The vectors of one step of the state.
pub(super) struct Step<'a> {
    pub t: f64,
    /// Error of the step in units of the correction.
    pub error: f64,
    pub shift: f64,
    pub slope: &'a [Lanes],
    pub weights: &'a [Lanes],
    /// The prediction at first, the solution at last.
    pub y: &'a mut [Lanes],
    pub delta: &'a mut [Lanes],
    pub residual: &'a mut [Lanes],
}

/// What is known of the factors, which other formulas may overwrite after [`Corrector::restart`].
pub(super) struct Corrector {
    pub jac: Vec<f64>,
    pub par: Vec<f64>,
    /// The shift of the factors; not a number where there are none.
    shift: f64,
    /// Steps since the factors were made.
    age: u32,
    rate: f64,
}

impl Corrector {
    pub fn new(field: &Field<'_>) -> Self {
        let pattern = field.system.jacobian_pattern();
        Corrector {
            jac: vec![0.0; pattern.nnz()],
            par: vec![0.0; field.system.parameter_pattern().nnz()],
            shift: f64::NAN,
            age: 0,
            rate: 1.0,
        }
    }

    /// Forgets the factors.
    pub fn restart(&mut self) {
        self.shift = f64::NAN;
        self.rate = 1.0;
    }

    /// The shift of the factors.
    pub fn shift(&self) -> f64 {
        self.shift
    }

    /// Says that a step was accepted.
    pub fn accept(&mut self) {
        self.age += 1;
    }

    /// True where factors should be made before a step with this shift is tried.
    pub fn is_stale(&self, shift: f64) -> bool {
        // Written so that it holds for missing factors.
        !((self.shift / shift - 1.0).abs() <= DRIFT && self.age < OLDEST)
    }

    /// Makes factors for a step to `(t, y)`. Returns false where there are none.
    pub fn refresh(&mut self, lu: &mut ShiftedLu, field: &mut Field<'_>, t: f64, y: &[f64], shift: f64) -> bool {
        field.jacobians(t, y, &mut self.jac, &mut self.par);
        self.factorize(lu, field, shift)
    }

    /// Makes factors of the Jacobian already in `jac`. Returns false where there are none.
    pub fn factorize(&mut self, lu: &mut ShiftedLu, field: &mut Field<'_>, shift: f64) -> bool {
        field.statistics.factorizations += 1;
        self.age = 0;
        self.rate = 1.0;
        let is_regular = self.jac.iter().all(|v| v.is_finite()) && lu.factorize(shift, &self.jac).is_ok();
        self.shift = if is_regular { shift } else { f64::NAN };
        is_regular
    }

    /// What increments are multiplied by where the factors are those of another shift.
    pub fn relaxation(&self, shift: f64) -> f64 {
        2.0 * self.shift / (self.shift + shift)
    }

    /// What the iteration says of an increment of the given norm; `error` as in [`Step`].
    pub fn judge(&mut self, iteration: u32, size: f64, before: f64, error: f64) -> Option<bool> {
        if iteration > 0 {
            self.rate = (MEMORY * self.rate).max(size / before);
        }
        if size * self.rate.min(1.0) * error <= SHARE {
            Some(true)
        } else if iteration + 1 >= MOST_ITERATIONS || !size.is_finite() || (iteration > 0 && size > DIVERGENCE * before)
        {
            Some(false)
        } else {
            None
        }
    }

    /// What a failed iteration means.
    pub fn failure(&self, shift: f64) -> Convergence {
        if self.age > 0 || self.shift != shift { Convergence::Stale } else { Convergence::Failed }
    }

    /// Solves for the state.
    pub fn solve(&mut self, lu: &mut ShiftedLu, field: &mut Field<'_>, step: Step<'_>) -> Convergence {
        let Step { t, error, shift, slope, weights, y, delta, residual: r } = step;
        let n = field.n;
        let relaxation = self.relaxation(shift);
        let mut before = 0.0;
        for iteration in 0..MOST_ITERATIONS {
            field.rhs(t, y.as_flattened(), r.as_flattened_mut());
            residual(r, slope, shift, delta, iteration == 0);
            lu.solve(&mut r.as_flattened_mut()[..n]);
            field.statistics.solves += 1;
            let Sizes { increment: size, total } = if iteration == 0 {
                first_correction(n, relaxation, r, weights, y, delta)
            } else {
                correct(n, relaxation, r, weights, y, delta)
            };
            match self.judge(iteration, size, before, error) {
                Some(true) => return Convergence::Reached(total),
                Some(false) => return self.failure(shift),
                None => before = size,
            }
        }
        self.failure(shift)
    }
}
