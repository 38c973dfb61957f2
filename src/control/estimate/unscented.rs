//! The unscented Kalman filter: a few chosen points are carried instead of a linearisation.
//!
//! S. J. Julier and J. K. Uhlmann 2004, *Unscented filtering and nonlinear estimation*, Proc. IEEE 92:401; weights of
//! E. A. Wan and R. van der Merwe 2000, *The unscented Kalman filter for nonlinear estimation*.

use super::gauss::{Verdict, moments, square_root, whiten};
use super::kalman::{keep, symmetrize};
use super::{EstimateError, Interval, Prior, StateSpace};
use crate::decide::{Belief, Estimator};

/// How far the points are spread. The default puts them √n standard deviations from the mean with equal weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnscentedOptions {
    /// α: how far the points lie from the mean. Default 1.
    pub spread: f64,
    /// β: what is known of the fourth moment; 2 is the normal distribution's. Default 2.
    pub kurtosis: f64,
    /// κ: default 0.
    pub offset: f64,
}

impl Default for UnscentedOptions {
    fn default() -> Self {
        UnscentedOptions { spread: 1.0, kurtosis: 2.0, offset: 0.0 }
    }
}

/// The unscented Kalman filter.
pub struct Unscented<'s> {
    space: Box<dyn StateSpace + 's>,
    prior: Prior,
    time: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    u: Vec<f64>,
    d: Vec<f64>,
    /// `n × (2n + 1)`
    points: Vec<f64>,
    carried: Vec<f64>,
    /// `n_outputs × (2n + 1)`
    readings: Vec<f64>,
    mean_weights: Vec<f64>,
    covariance_weights: Vec<f64>,
    /// Distance of the points in standard deviations.
    reach: f64,
    root: Vec<f64>,
    noise: Vec<f64>,
    predicted: Vec<f64>,
    sd: Vec<f64>,
    used: Vec<usize>,
    innovations: Vec<f64>,
    /// `n_used × n_used` and `n × n_used`
    spread: Vec<f64>,
    factor: Vec<f64>,
    cross: Vec<f64>,
    verdict: Verdict,
    log_likelihood: f64,
    message: String,
}

impl<'s> Unscented<'s> {
    /// A filter that starts from `prior`.
    ///
    /// # Errors
    /// Where the prior does not fit the model, or the options give no points.
    pub fn new(
        space: Box<dyn StateSpace + 's>,
        prior: Prior,
        options: UnscentedOptions,
    ) -> Result<Self, EstimateError> {
        let (n, n_outputs) = (space.n_states(), space.n_outputs());
        prior.check(n)?;
        let size = n as f64;
        let lambda = options.spread * options.spread * (size + options.offset) - size;
        let reach = (size + lambda).sqrt();
        if !(reach > 0.0 && reach.is_finite()) {
            return Err(EstimateError::Value { what: "the spread of the sigma points" });
        }
        let n_points = 2 * n + 1;
        let mut mean_weights = vec![0.5 / (size + lambda); n_points];
        mean_weights[0] = lambda / (size + lambda);
        let mut covariance_weights = mean_weights.clone();
        covariance_weights[0] += 1.0 - options.spread * options.spread + options.kurtosis;
        Ok(Unscented {
            time: prior.time,
            mean: prior.mean.clone(),
            covariance: prior.covariance.clone(),
            u: Vec::new(),
            d: Vec::new(),
            points: vec![0.0; n * n_points],
            carried: vec![0.0; n * n_points],
            readings: vec![0.0; n_outputs * n_points],
            mean_weights,
            covariance_weights,
            reach,
            root: vec![0.0; n * n],
            noise: vec![0.0; n * n],
            predicted: vec![0.0; n_outputs],
            sd: vec![0.0; n_outputs],
            used: Vec::with_capacity(n_outputs),
            innovations: vec![0.0; n_outputs],
            spread: vec![0.0; n_outputs * n_outputs],
            factor: vec![0.0; n_outputs * n_outputs],
            cross: vec![0.0; n * n_outputs],
            verdict: Verdict::NONE,
            log_likelihood: 0.0,
            message: String::new(),
            space,
            prior,
        })
    }

    /// Spreads the points around the belief. False where the covariance has lost its sign.
    fn spread_points(&mut self) -> bool {
        let n = self.mean.len();
        let is_definite = square_root(&self.covariance, &mut self.root);
        for (k, point) in self.points.chunks_exact_mut(n).enumerate() {
            point.copy_from_slice(&self.mean);
            if k > 0 {
                let (column, sign) = if k <= n { (k - 1, self.reach) } else { (k - 1 - n, -self.reach) };
                let column = &self.root[column * n..(column + 1) * n];
                point.iter_mut().zip(column).for_each(|(x, l)| *x += sign * l);
                self.space.confine(point);
            }
        }
        is_definite
    }
}

impl Estimator for Unscented<'_> {
    fn reset(&mut self, _seed: u64) {
        self.time = self.prior.time;
        self.mean.copy_from_slice(&self.prior.mean);
        self.covariance.copy_from_slice(&self.prior.covariance);
        self.verdict = Verdict::NONE;
        self.log_likelihood = 0.0;
        self.message.clear();
    }

    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        let n = self.mean.len();
        keep(&mut self.u, u);
        keep(&mut self.d, d);
        if !self.spread_points() {
            self.message = "the covariance of the belief is not positive definite".to_string();
        }
        let over = Interval { t: self.time, dt, u, d };
        self.time += dt;
        for (point, next) in self.points.chunks_exact(n).zip(self.carried.chunks_exact_mut(n)) {
            if let Err(error) = self.space.carry(over, point, next) {
                self.message = error.to_string();
                return;
            }
        }
        weighted(&self.carried, &self.mean_weights, &self.covariance_weights, &mut self.mean, &mut self.covariance);
        self.space.process_noise(dt, &mut self.noise);
        self.covariance.iter_mut().zip(&self.noise).for_each(|(p, q)| *p += q);
        symmetrize(&mut self.covariance, n);
    }

    fn update(&mut self, y: &[f64]) {
        let (n, n_outputs) = (self.mean.len(), self.sd.len());
        if !self.spread_points() {
            self.message = "the covariance of the belief is not positive definite".to_string();
        }
        let at = Interval { t: self.time, dt: 0.0, u: &self.u, d: &self.d };
        for (point, reading) in self.points.chunks_exact(n).zip(self.readings.chunks_exact_mut(n_outputs)).rev() {
            // The mean's is the last, so that its spreads stay in `sd`.
            self.space.measure(at, point, reading, &mut self.sd);
        }
        self.predicted.fill(0.0);
        for (reading, weight) in self.readings.chunks_exact(n_outputs).zip(&self.mean_weights) {
            self.predicted.iter_mut().zip(reading).for_each(|(mean, y)| *mean += weight * y);
        }
        let Self { readings, predicted, covariance_weights, used, innovations, .. } = self;
        let product = |a: usize, b: usize| -> f64 {
            let pairs = readings.chunks_exact(n_outputs).zip(covariance_weights.iter());
            pairs.map(|(reading, weight)| weight * (reading[a] - predicted[a]) * (reading[b] - predicted[b])).sum()
        };
        used.clear();
        for (output, expected) in predicted.iter().enumerate() {
            let reading = y.get(output).copied().unwrap_or(f64::NAN);
            let distance = self.space.scale(output, reading) - expected;
            let variance = product(output, output) + self.sd[output] * self.sd[output];
            if distance.is_finite() && distance * distance <= self.prior.gate * variance {
                innovations[used.len()] = distance;
                used.push(output);
            }
        }
        let m = used.len();
        let spread = &mut self.spread[..m * m];
        for (j, &b) in used.iter().enumerate() {
            for (i, &a) in used.iter().enumerate() {
                let noise = if i == j { self.sd[a] * self.sd[a] } else { 0.0 };
                spread[j * m + i] = product(a, b) + noise;
            }
        }
        let factor = &mut self.factor[..m * m];
        let innovations = &mut innovations[..m];
        let Some(verdict) = whiten(spread, factor, innovations) else {
            self.message = "the covariance of the measurements is not positive definite".to_string();
            self.verdict = Verdict::NONE;
            return;
        };
        // With S = L Lᵀ: W = P_xy L⁻ᵀ, z = L⁻¹ ν, mean += W z, P −= W Wᵀ.
        let cross = &mut self.cross[..n * m];
        cross.fill(0.0);
        for ((point, reading), weight) in
            self.points.chunks_exact(n).zip(readings.chunks_exact(n_outputs)).zip(covariance_weights.iter())
        {
            for (j, &output) in used.iter().enumerate() {
                let factor = weight * (reading[output] - predicted[output]);
                let column = &mut cross[j * n..(j + 1) * n];
                column
                    .iter_mut()
                    .zip(point.iter().zip(&self.mean))
                    .for_each(|(c, (x, mean))| *c += factor * (x - mean));
            }
        }
        for j in 0..m {
            let (done, rest) = cross.split_at_mut(j * n);
            for (k, earlier) in done.chunks_exact(n).enumerate() {
                let l = factor[k * m + j];
                rest[..n].iter_mut().zip(earlier).for_each(|(w, e)| *w -= l * e);
            }
            let pivot = factor[j * m + j];
            rest[..n].iter_mut().for_each(|w| *w /= pivot);
        }
        for (column, &z) in cross.chunks_exact(n).zip(innovations.iter()) {
            self.mean.iter_mut().zip(column).for_each(|(mean, w)| *mean += w * z);
            for (i, p) in self.covariance.chunks_exact_mut(n).enumerate() {
                let w = column[i];
                p.iter_mut().zip(column).for_each(|(p, c)| *p -= w * c);
            }
        }
        self.verdict = verdict;
        self.log_likelihood += verdict.log_likelihood;
        symmetrize(&mut self.covariance, n);
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

/// Moments with different weights for mean and covariance.
fn weighted(points: &[f64], for_mean: &[f64], for_covariance: &[f64], mean: &mut [f64], covariance: &mut [f64]) {
    let n = mean.len();
    moments(points, for_mean, mean, covariance, 1.0);
    covariance.fill(0.0);
    for (point, &weight) in points.chunks_exact(n).zip(for_covariance) {
        for (j, column) in covariance.chunks_exact_mut(n).enumerate() {
            let factor = weight * (point[j] - mean[j]);
            column.iter_mut().enumerate().for_each(|(i, p)| *p += factor * (point[i] - mean[i]));
        }
    }
}
