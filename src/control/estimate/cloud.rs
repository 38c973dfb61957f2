//! A belief made of many points, and what is measured of it: common to the ensemble and the particle filter.

use super::gauss::{Verdict, add_product, moments, square_root, whiten};
use super::{EstimateError, Interval, Prior, StateSpace};
use crate::random::{Rng, draw, stream};

/// Weighted points with their moments.
pub(super) struct Cloud<'s> {
    pub space: Box<dyn StateSpace + 's>,
    pub prior: Prior,
    pub rng: Rng,
    pub time: f64,
    /// `n × n_points`
    pub points: Vec<f64>,
    /// `n_points`; they add up to 1.
    pub weights: Vec<f64>,
    pub mean: Vec<f64>,
    pub covariance: Vec<f64>,
    /// `n_outputs × n_points`
    pub readings: Vec<f64>,
    /// Standard deviations of what is measured at each point, as `readings`.
    pub spreads: Vec<f64>,
    /// `n_outputs` each: standard deviation from the mean variance, predicted mean, innovations (NaN: not used).
    pub sd: Vec<f64>,
    pub predicted: Vec<f64>,
    pub innovations: Vec<f64>,
    u: Vec<f64>,
    d: Vec<f64>,
    next: Vec<f64>,
    normals: Vec<f64>,
    root: Vec<f64>,
    noise: Vec<f64>,
    spread: Vec<f64>,
    factor: Vec<f64>,
    whitened: Vec<f64>,
    used: Vec<usize>,
    pub message: String,
}

impl<'s> Cloud<'s> {
    /// `n_points` drawn from the prior.
    pub fn new(
        space: Box<dyn StateSpace + 's>,
        prior: Prior,
        n_points: usize,
        most: usize,
    ) -> Result<Self, EstimateError> {
        let (n, n_outputs) = (space.n_states(), space.n_outputs());
        prior.check(n)?;
        if n_points < 2 || n_points > most {
            return Err(EstimateError::Value { what: "the number of points (2 at least)" });
        }
        let mut cloud = Cloud {
            rng: stream(0, 0),
            time: prior.time,
            points: vec![0.0; n * n_points],
            weights: vec![1.0 / n_points as f64; n_points],
            mean: vec![0.0; n],
            covariance: vec![0.0; n * n],
            readings: vec![0.0; n_outputs * n_points],
            spreads: vec![0.0; n_outputs * n_points],
            sd: vec![0.0; n_outputs],
            predicted: vec![0.0; n_outputs],
            innovations: vec![0.0; n_outputs],
            u: Vec::new(),
            d: Vec::new(),
            next: vec![0.0; n],
            normals: vec![0.0; n],
            root: vec![0.0; n * n],
            noise: vec![0.0; n * n],
            spread: vec![0.0; n_outputs * n_outputs],
            factor: vec![0.0; n_outputs * n_outputs],
            whitened: vec![0.0; n_outputs],
            used: Vec::with_capacity(n_outputs),
            message: String::new(),
            space,
            prior,
        };
        cloud.reset(0);
        Ok(cloud)
    }

    /// Draws all points anew.
    pub fn reset(&mut self, seed: u64) {
        let n = self.mean.len();
        self.rng = stream(seed, 0);
        self.time = self.prior.time;
        let share = 1.0 / self.weights.len() as f64;
        self.weights.fill(share);
        self.message.clear();
        if !square_root(&self.prior.covariance, &mut self.root) {
            self.message = "the covariance of the initial belief is not positive semidefinite".to_string();
        }
        for point in self.points.chunks_exact_mut(n) {
            draw::normals(&mut self.rng, 1.0, &mut self.normals);
            point.copy_from_slice(&self.prior.mean);
            add_product(&self.root, &self.normals, point);
            self.space.confine(point);
        }
        self.take_moments();
    }

    /// Mean and covariance of the points; for equal weights the covariance has the divisor n − 1.
    pub fn take_moments(&mut self) {
        let squares: f64 = self.weights.iter().map(|w| w * w).sum();
        let correction = if squares < 1.0 { 1.0 / (1.0 - squares) } else { 1.0 };
        moments(&self.points, &self.weights, &mut self.mean, &mut self.covariance, correction);
    }

    /// Carries every point and shakes it by the process noise.
    pub fn carry(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        let n = self.mean.len();
        super::kalman::keep(&mut self.u, u);
        super::kalman::keep(&mut self.d, d);
        let over = Interval { t: self.time, dt, u, d };
        self.time += dt;
        self.space.process_noise(dt, &mut self.noise);
        if !square_root(&self.noise, &mut self.root) {
            self.message = "the covariance of the process noise is not positive semidefinite".to_string();
        }
        for point in self.points.chunks_exact_mut(n) {
            if let Err(error) = self.space.carry(over, point, &mut self.next) {
                // A point that cannot go on stays where it is; the others still tell something.
                self.message = error.to_string();
                continue;
            }
            draw::normals(&mut self.rng, 1.0, &mut self.normals);
            point.copy_from_slice(&self.next);
            add_product(&self.root, &self.normals, point);
            self.space.confine(point);
        }
        self.take_moments();
    }

    /// What each point expects to be measured, and how far the measurements `y` are from that: `innovations`, NaN where
    /// missing or gated out.
    pub fn compare(&mut self, y: &[f64]) -> Verdict {
        let (n, n_outputs) = (self.mean.len(), self.sd.len());
        if n_outputs == 0 {
            return Verdict { nis: 0.0, n_used: 0, log_likelihood: 0.0 };
        }
        let at = Interval { t: self.time, dt: 0.0, u: &self.u, d: &self.d };
        self.predicted.fill(0.0);
        self.sd.fill(0.0);
        let measured = self.readings.chunks_exact_mut(n_outputs).zip(self.spreads.chunks_exact_mut(n_outputs));
        for ((point, weight), (reading, spread)) in self.points.chunks_exact(n).zip(&self.weights).zip(measured) {
            self.space.measure(at, point, reading, spread);
            self.predicted.iter_mut().zip(&*reading).for_each(|(mean, y)| *mean += weight * y);
            self.sd.iter_mut().zip(&*spread).for_each(|(variance, sd)| *variance += weight * sd * sd);
        }
        self.sd.iter_mut().for_each(|sd| *sd = sd.sqrt());
        let squares: f64 = self.weights.iter().map(|w| w * w).sum();
        let correction = if squares < 1.0 { 1.0 / (1.0 - squares) } else { 1.0 };
        let Self { readings, predicted, weights, used, innovations, whitened, sd, .. } = self;
        let product = |a: usize, b: usize| -> f64 {
            let pairs = readings.chunks_exact(n_outputs).zip(weights.iter());
            let sum: f64 = pairs.map(|(r, w)| w * (r[a] - predicted[a]) * (r[b] - predicted[b])).sum();
            correction * sum
        };
        used.clear();
        for output in 0..n_outputs {
            let reading = y.get(output).copied().unwrap_or(f64::NAN);
            let distance = self.space.scale(output, reading) - predicted[output];
            let variance = product(output, output) + sd[output] * sd[output];
            let is_used = distance.is_finite() && distance * distance <= self.prior.gate * variance;
            innovations[output] = if is_used { distance } else { f64::NAN };
            if is_used {
                whitened[used.len()] = distance;
                used.push(output);
            }
        }
        let m = used.len();
        let spread = &mut self.spread[..m * m];
        for (j, &b) in used.iter().enumerate() {
            for (i, &a) in used.iter().enumerate() {
                spread[j * m + i] = product(a, b) + if i == j { sd[a] * sd[a] } else { 0.0 };
            }
        }
        whiten(spread, &mut self.factor[..m * m], &mut whitened[..m]).unwrap_or_else(|| {
            self.message = "the covariance of the measurements is not positive definite".to_string();
            Verdict::NONE
        })
    }
}
