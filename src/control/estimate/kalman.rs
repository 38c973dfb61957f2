//! The Kalman filter; on a model that is not linear the extended one, linearised where the belief is.
//!
//! R. E. Kalman 1960, *A new approach to linear filtering and prediction problems*, J. Basic Eng. 82:35; A. H. Jazwinski
//! 1970, *Stochastic Processes and Filtering Theory*, section 8.3.

use super::gauss::{Verdict, innovation_variances, update};
use super::{EstimateError, Interval, Prior, StateSpace};
use crate::decide::{Belief, Estimator};

/// The (extended) Kalman filter.
pub struct Kalman<'s> {
    space: Box<dyn StateSpace + 's>,
    prior: Prior,
    time: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    /// The inputs and disturbances of the last interval, at which measurements are predicted.
    u: Vec<f64>,
    d: Vec<f64>,
    next: Vec<f64>,
    jacobian: Vec<f64>,
    product: Vec<f64>,
    noise: Vec<f64>,
    predicted: Vec<f64>,
    sd: Vec<f64>,
    measured_by: Vec<f64>,
    innovations: Vec<f64>,
    variances: Vec<f64>,
    verdict: Verdict,
    log_likelihood: f64,
    message: String,
}

impl<'s> Kalman<'s> {
    /// A filter that starts from `prior`.
    ///
    /// # Errors
    /// Where the prior does not fit the model.
    pub fn new(space: Box<dyn StateSpace + 's>, prior: Prior) -> Result<Self, EstimateError> {
        let (n, n_outputs) = (space.n_states(), space.n_outputs());
        prior.check(n)?;
        Ok(Kalman {
            time: prior.time,
            mean: prior.mean.clone(),
            covariance: prior.covariance.clone(),
            u: Vec::new(),
            d: Vec::new(),
            next: vec![0.0; n],
            jacobian: vec![0.0; n * n],
            product: vec![0.0; n * n],
            noise: vec![0.0; n * n],
            predicted: vec![0.0; n_outputs],
            sd: vec![0.0; n_outputs],
            measured_by: vec![0.0; n_outputs * n],
            innovations: vec![0.0; n_outputs],
            variances: vec![0.0; n_outputs],
            verdict: Verdict::NONE,
            log_likelihood: 0.0,
            message: String::new(),
            space,
            prior,
        })
    }
}

impl Estimator for Kalman<'_> {
    fn reset(&mut self, _seed: u64) {
        self.time = self.prior.time;
        self.mean.copy_from_slice(&self.prior.mean);
        self.covariance.copy_from_slice(&self.prior.covariance);
        self.verdict = Verdict::NONE;
        self.log_likelihood = 0.0;
        self.message.clear();
    }

    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        keep(&mut self.u, u);
        keep(&mut self.d, d);
        let over = Interval { t: self.time, dt, u, d };
        self.time += dt;
        if let Err(error) = self.space.carry_derivatives(over, &self.mean, &mut self.next, &mut self.jacobian) {
            self.message = error.to_string();
            return;
        }
        self.mean.copy_from_slice(&self.next);
        self.space.process_noise(dt, &mut self.noise);
        carry_covariance(&self.jacobian, &self.noise, &mut self.covariance, &mut self.product);
    }

    fn update(&mut self, y: &[f64]) {
        let at = Interval { t: self.time, dt: 0.0, u: &self.u, d: &self.d };
        let Self { predicted, sd, measured_by, .. } = self;
        self.space.measure_derivatives(at, &self.mean, predicted, sd, measured_by);
        innovation_variances(&self.covariance, measured_by, sd, &mut self.variances);
        for (output, innovation) in self.innovations.iter_mut().enumerate() {
            let reading = y.get(output).copied().unwrap_or(f64::NAN);
            let distance = self.space.scale(output, reading) - predicted[output];
            let is_used = distance.is_finite() && distance * distance <= self.prior.gate * self.variances[output];
            *innovation = if is_used { distance } else { f64::NAN };
        }
        self.next.copy_from_slice(&self.mean);
        let gain = &mut self.product[..self.mean.len()];
        self.verdict =
            update(&mut self.mean, &mut self.covariance, measured_by, &self.innovations, sd, &self.next, gain);
        self.log_likelihood += self.verdict.log_likelihood;
        symmetrize(&mut self.covariance, self.mean.len());
        self.space.confine(&mut self.mean);
    }

    fn belief(&self) -> Belief<'_> {
        Belief {
            mean: &self.mean,
            covariance: &self.covariance,
            nis: self.verdict.nis,
            n_used: self.verdict.n_used,
            log_likelihood: self.log_likelihood,
            message: &self.message,
        }
    }
}

/// Keeps a copy without allocating, once it was of that length.
pub(super) fn keep(into: &mut Vec<f64>, values: &[f64]) {
    into.clear();
    into.extend_from_slice(values);
}

/// `P ← F P Fᵀ + Q`, all `n × n`; `product` is scratch.
pub(super) fn carry_covariance(jacobian: &[f64], noise: &[f64], covariance: &mut [f64], product: &mut [f64]) {
    let n = jacobian.len().isqrt();
    multiply(jacobian, covariance, product);
    covariance.copy_from_slice(noise);
    for (k, left) in product.chunks_exact(n).enumerate() {
        for (j, column) in covariance.chunks_exact_mut(n).enumerate() {
            let factor = jacobian[k * n + j];
            if factor != 0.0 {
                column.iter_mut().zip(left).for_each(|(p, l)| *p += factor * l);
            }
        }
    }
    symmetrize(covariance, n);
}

/// `out = a b`, all `n × n`.
fn multiply(a: &[f64], b: &[f64], out: &mut [f64]) {
    let n = a.len().isqrt();
    out.fill(0.0);
    for (out, b) in out.chunks_exact_mut(n).zip(b.chunks_exact(n)) {
        for (column, &factor) in a.chunks_exact(n).zip(b) {
            if factor != 0.0 {
                out.iter_mut().zip(column).for_each(|(out, a)| *out += factor * a);
            }
        }
    }
}

/// Takes the mean of each pair of entries that should be equal.
pub(super) fn symmetrize(matrix: &mut [f64], n: usize) {
    for j in 0..n {
        for i in 0..j {
            let mean = 0.5 * (matrix[j * n + i] + matrix[i * n + j]);
            matrix[j * n + i] = mean;
            matrix[i * n + j] = mean;
        }
    }
}
