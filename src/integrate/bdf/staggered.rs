//! Sensitivities beside the state: corrected after it, on the same factors.
//!
//! Feehery, Tolsma and Barton 1997, Efficient sensitivity analysis of large-scale differential-algebraic systems, Appl.
//! Numer. Math. 25, 41–54: once the state of a step is known, `s' = J s + f_p q` is linear in s, and the iteration of
//! the state's corrector solves it for all directions at once. It converges at the rate at which the factors differ
//! from those of `shift I - J` at the new state, mostly in one or two rounds.

use super::coefficients::MAX_ORDER;
use super::corrector::{Convergence, Corrector};
use super::history::History;
use super::vectors::residual;
use crate::integrate::controller::Norm;
use crate::integrate::field::Field;
use crate::integrate::lanes::{Lanes, WIDTH, n_groups};
use crate::integrate::meeting::Meeting;
use crate::linalg::ShiftedLu;
use std::sync::Arc;

/// Histories and vectors of `n × m` sensitivities, row major.
#[derive(Default)]
pub(super) struct Staggered {
    pub history: History,
    pub y: Vec<Lanes>,
    slope: Vec<Lanes>,
    pub delta: Vec<Lanes>,
    pub delta_before: Vec<Lanes>,
    weights: Vec<Lanes>,
    pub residual: Vec<Lanes>,
    len: usize,
    m: usize,
    sums: Vec<f64>,
    meeting: Option<Arc<Meeting>>,
}

impl Staggered {
    /// Sizes the buffers, and takes note of where the threads with further directions meet.
    pub fn resize(&mut self, n: usize, m: usize, meeting: Option<Arc<Meeting>>) {
        self.meeting = meeting;
        (self.len, self.m) = (n * m, m);
        let count = n_groups(n * m);
        self.history.resize(n * m);
        for vector in [&mut self.y, &mut self.slope, &mut self.delta, &mut self.delta_before] {
            vector.clear();
            vector.resize(count, [0.0; WIDTH]);
        }
        for vector in [&mut self.weights, &mut self.residual] {
            vector.clear();
            vector.resize(count, [0.0; WIDTH]);
        }
        self.sums.resize(m, 0.0);
    }

    /// The field of the sensitivities `s` for the Jacobians in `corrector`, into `residual`.
    fn field(&mut self, field: &Field<'_>, corrector: &Corrector, s: &[f64]) {
        let rate = &mut self.residual.as_flattened_mut()[..self.len];
        rate.fill(0.0);
        field.add_linear(&corrector.jac, &corrector.par, 1.0, s, rate);
    }

    /// Begins histories with values and scaled derivatives.
    pub fn start(&mut self, values: &[f64], derivatives: impl Fn(usize) -> [f64; 4]) {
        self.history.start(values, derivatives);
    }

    /// Takes the tolerances at the start of the histories.
    pub fn weigh_start(&mut self, norm: &Norm, scales: &[f64]) {
        self.history.values(&mut self.y);
        self.weigh(norm, scales);
    }

    /// Solves for the sensitivities at the new state, whose Jacobians must be in `corrector`.
    #[expect(clippy::too_many_arguments, reason = "the constants of one step, used here only")]
    pub fn solve(
        &mut self,
        lu: &mut ShiftedLu,
        field: &mut Field<'_>,
        corrector: &mut Corrector,
        norm: &Norm,
        order: usize,
        (ratio, scale): (f64, f64),
        shift: f64,
        error: f64,
    ) -> Convergence {
        self.history.predict(order, ratio, scale, &mut self.y, &mut self.slope);
        self.weigh(norm, &field.directions.scales);
        let relaxation = corrector.relaxation(shift);
        let mut before = 0.0;
        let mut iteration = 0;
        loop {
            let y = std::mem::take(&mut self.y);
            self.field(field, corrector, &y.as_flattened()[..self.len]);
            self.y = y;
            residual(&mut self.residual, &self.slope, shift, &self.delta, iteration == 0);
            lu.solve_rows(&mut self.residual.as_flattened_mut()[..self.len], self.m);
            field.statistics.solves += self.m as u64;
            for ((r, y), delta) in self.residual.iter_mut().zip(&mut self.y).zip(&mut self.delta) {
                for i in 0..WIDTH {
                    r[i] *= relaxation;
                    y[i] += r[i];
                    delta[i] = if iteration == 0 { r[i] } else { delta[i] + r[i] };
                }
            }
            let size = self.norm_of_residual();
            match corrector.judge(iteration, size, before, error) {
                Some(true) => {
                    return Convergence::Reached(self.norm_of_correction());
                }
                Some(false) => return corrector.failure(shift),
                None => before = size,
            }
            iteration += 1;
        }
    }

    /// Advances the histories by the correction last solved for.
    pub fn advance(&mut self, order: usize, ratio: f64, l: &[f64; MAX_ORDER + 1]) {
        self.history.advance(order, ratio, l, &self.delta, &self.y);
    }

    /// Keeps the correction for the next step.
    pub fn keep_correction(&mut self) {
        std::mem::swap(&mut self.delta, &mut self.delta_before);
    }

    fn weigh(&mut self, norm: &Norm, scales: &[f64]) {
        let (y, weights) = (self.y.as_flattened(), self.weights.as_flattened_mut());
        let rows = y[..self.len].chunks_exact(self.m.max(1)).zip(weights.chunks_exact_mut(self.m.max(1)));
        for ((y, weights), atol) in rows.zip(&norm.atol) {
            for ((weight, y), scale) in weights.iter_mut().zip(y).zip(scales) {
                *weight = scale / (atol + norm.rtol * scale * y.abs()).max(f64::MIN_POSITIVE);
            }
        }
    }

    fn norm_of_residual(&mut self) -> f64 {
        let own = norm_of(self.residual.as_flattened(), self.weights.as_flattened(), self.len, &mut self.sums);
        self.agree(own)
    }

    fn norm_of_correction(&mut self) -> f64 {
        let own = norm_of(self.delta.as_flattened(), self.weights.as_flattened(), self.len, &mut self.sums);
        self.agree(own)
    }

    /// The largest of the norms that the threads with the same state have.
    fn agree(&self, own: f64) -> f64 {
        self.meeting.as_ref().map_or(own, |meeting| meeting.agree(own))
    }

    /// The norm of the last coefficients.
    pub fn norm_of_last(&mut self, order: usize) -> f64 {
        for (k, out) in self.residual.iter_mut().enumerate() {
            *out = self.history.last(order, k);
        }
        self.norm_of_residual()
    }

    /// The norm of the correction less `share` of the one before.
    pub fn norm_of_change(&mut self, share: f64) -> f64 {
        for ((out, delta), before) in self.residual.iter_mut().zip(&self.delta).zip(&self.delta_before) {
            for i in 0..WIDTH {
                out[i] = delta[i] - share * before[i];
            }
        }
        self.norm_of_residual()
    }
}

/// The largest over the directions of the root mean square over the states; infinite where something is not finite.
fn norm_of(values: &[f64], weights: &[f64], len: usize, sums: &mut [f64]) -> f64 {
    let m = sums.len().max(1);
    sums.fill(0.0);
    for (values, weights) in values[..len].chunks_exact(m).zip(weights.chunks_exact(m)) {
        for ((sum, value), weight) in sums.iter_mut().zip(values).zip(weights) {
            *sum += (value * weight).powi(2);
        }
    }
    let n = (len / m).max(1) as f64;
    sums.iter().fold(0.0, |largest: f64, sum| if sum.is_nan() { f64::INFINITY } else { largest.max((sum / n).sqrt()) })
}
