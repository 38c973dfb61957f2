//! The bootstrap particle filter with systematic resampling.
//!
//! N. J. Gordon, D. J. Salmond and A. F. M. Smith 1993, *Novel approach to nonlinear/non-Gaussian Bayesian state
//! estimation*, IEE Proc. F 140:107 (roughening: section 3.3); resampling after G. Kitagawa 1996, *Monte Carlo filter and
//! smoother*, J. Comput. Graph. Stat. 5:1, when fewer than half of the particles carry weight.

use super::cloud::Cloud;
use super::gauss::{Verdict, surprise};
use super::{EstimateError, Prior, StateSpace};
use crate::decide::{Belief, Estimator};
use crate::limits::MAX_FILTER_POINTS;
use crate::random::draw;
use rand::Rng as _;

/// Size of the cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParticleOptions {
    /// Default 1000.
    pub n_particles: usize,
    /// Resample where the effective number of particles falls below this share. Default 0.5.
    pub resample_below: f64,
    /// After resampling each component is shaken by this times its range over the particles times
    /// `n_particles^(−1/n)`, which keeps quantities without process noise apart. Default 0.
    pub roughening: f64,
}

impl Default for ParticleOptions {
    fn default() -> Self {
        ParticleOptions { n_particles: 1000, resample_below: 0.5, roughening: 0.0 }
    }
}

/// The bootstrap particle filter.
pub struct Particle<'s> {
    cloud: Cloud<'s>,
    options: ParticleOptions,
    surprises: Vec<f64>,
    survivors: Vec<f64>,
    shaken: Vec<f64>,
    verdict: Verdict,
    log_likelihood: f64,
}

impl<'s> Particle<'s> {
    /// A filter whose particles are drawn from `prior`.
    ///
    /// # Errors
    /// Where the prior does not fit the model, or an option is out of its range.
    pub fn new(space: Box<dyn StateSpace + 's>, prior: Prior, options: ParticleOptions) -> Result<Self, EstimateError> {
        if !(0.0..=1.0).contains(&options.resample_below) {
            return Err(EstimateError::Value { what: "the share below which to resample (0 to 1)" });
        }
        if !(options.roughening >= 0.0 && options.roughening.is_finite()) {
            return Err(EstimateError::Value { what: "the roughening (0 at least)" });
        }
        let cloud = Cloud::new(space, prior, options.n_particles, MAX_FILTER_POINTS)?;
        Ok(Particle {
            surprises: vec![0.0; options.n_particles],
            survivors: vec![0.0; cloud.points.len()],
            shaken: vec![0.0; options.n_particles],
            verdict: Verdict::NONE,
            log_likelihood: 0.0,
            options,
            cloud,
        })
    }

    /// Draws as many particles as there are, each as often as its weight says, by one uniform number.
    fn resample(&mut self) {
        let n = self.cloud.mean.len();
        let count = self.cloud.weights.len();
        let share = 1.0 / count as f64;
        let mut level = self.cloud.rng.random::<f64>() * share;
        let (mut reached, mut source) = (self.cloud.weights[0], 0);
        for survivor in self.survivors.chunks_exact_mut(n) {
            while level > reached && source + 1 < count {
                source += 1;
                reached += self.cloud.weights[source];
            }
            survivor.copy_from_slice(&self.cloud.points[source * n..(source + 1) * n]);
            level += share;
        }
        if self.options.roughening > 0.0 {
            let factor = self.options.roughening * (count as f64).powf(-1.0 / n as f64);
            for state in 0..n {
                let values = || self.survivors.chunks_exact(n).map(|point| point[state]);
                let range = values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min);
                draw::normals(&mut self.cloud.rng, factor * range, &mut self.shaken);
                self.survivors.chunks_exact_mut(n).zip(&self.shaken).for_each(|(point, shake)| point[state] += shake);
            }
            self.survivors.chunks_exact_mut(n).for_each(|point| self.cloud.space.confine(point));
        }
        self.cloud.points.copy_from_slice(&self.survivors);
        self.cloud.weights.fill(share);
    }
}

impl Estimator for Particle<'_> {
    fn reset(&mut self, seed: u64) {
        self.cloud.reset(seed);
        self.verdict = Verdict::NONE;
        self.log_likelihood = 0.0;
    }

    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        self.cloud.carry(dt, u, d);
    }

    fn update(&mut self, y: &[f64]) {
        let cloud = &mut self.cloud;
        let n_outputs = cloud.sd.len();
        self.verdict = cloud.compare(y);
        if self.verdict.n_used == 0 {
            return;
        }
        let measured = cloud.readings.chunks_exact(n_outputs).zip(cloud.spreads.chunks_exact(n_outputs));
        for (total, (reading, spread)) in self.surprises.iter_mut().zip(measured) {
            *total = 0.0;
            for (output, (expected, sd)) in reading.iter().zip(spread).enumerate() {
                let innovation = cloud.innovations[output];
                if !innovation.is_nan() {
                    let distance = (cloud.predicted[output] + innovation - expected) / sd;
                    *total += surprise(distance * distance, sd * sd);
                }
            }
        }
        let least = self.surprises.iter().copied().fold(f64::INFINITY, f64::min);
        if !least.is_finite() {
            cloud.message = "no particle explains the measurements".to_string();
            return;
        }
        let mut total = 0.0;
        for (weight, surprise) in cloud.weights.iter_mut().zip(&self.surprises) {
            let likelihood = if surprise.is_nan() { 0.0 } else { (least - surprise).exp() };
            *weight *= likelihood;
            total += *weight;
        }
        if total.is_nan() || total <= 0.0 {
            let share = 1.0 / cloud.weights.len() as f64;
            cloud.weights.fill(share);
            cloud.message = "no particle explains the measurements".to_string();
            return;
        }
        self.verdict.log_likelihood = total.ln() - least;
        self.log_likelihood += self.verdict.log_likelihood;
        cloud.weights.iter_mut().for_each(|weight| *weight /= total);
        cloud.take_moments();
        let effective = 1.0 / cloud.weights.iter().map(|w| w * w).sum::<f64>();
        if effective < self.options.resample_below * cloud.weights.len() as f64 {
            self.resample();
        }
    }

    fn belief(&self) -> Belief<'_> {
        Belief {
            mean: &self.cloud.mean,
            covariance: &self.cloud.covariance,
            nis: self.verdict.nis,
            n_used: self.verdict.n_used,
            log_likelihood: self.log_likelihood,
            message: &self.cloud.message,
        }
    }
}
