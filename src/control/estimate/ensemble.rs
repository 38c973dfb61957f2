//! The ensemble Kalman filter with perturbed measurements.
//!
//! G. Burgers, P. J. van Leeuwen and G. Evensen 1998, *Analysis scheme in the ensemble Kalman filter*, Mon. Weather Rev.
//! 126:1719. Measurements are taken in one by one; what a point expects of the later ones is moved along with it, which
//! is the same as taking all in at once.

use super::cloud::Cloud;
use super::gauss::Verdict;
use super::{EstimateError, Prior, StateSpace};
use crate::decide::{Belief, Estimator};
use crate::limits::MAX_FILTER_POINTS;
use crate::random::draw;

/// Size of the ensemble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnsembleOptions {
    /// Default 100.
    pub n_members: usize,
    /// The members' distances from their mean are multiplied by this before an update, against too much confidence
    /// of a small ensemble. Default 1.
    pub inflation: f64,
}

impl Default for EnsembleOptions {
    fn default() -> Self {
        EnsembleOptions { n_members: 100, inflation: 1.0 }
    }
}

/// The ensemble Kalman filter.
pub struct Ensemble<'s> {
    cloud: Cloud<'s>,
    inflation: f64,
    /// Perturbations of one measurement, then its distances from what the members expect.
    distances: Vec<f64>,
    gain: Vec<f64>,
    /// How much the expectation of each output moves with that of the one taken in.
    slopes: Vec<f64>,
    verdict: Verdict,
    log_likelihood: f64,
}

impl<'s> Ensemble<'s> {
    /// A filter whose members are drawn from `prior`.
    ///
    /// # Errors
    /// Where the prior does not fit the model, or an option is out of its range.
    pub fn new(space: Box<dyn StateSpace + 's>, prior: Prior, options: EnsembleOptions) -> Result<Self, EstimateError> {
        if !(options.inflation >= 1.0 && options.inflation.is_finite()) {
            return Err(EstimateError::Value { what: "the inflation (1 at least)" });
        }
        let cloud = Cloud::new(space, prior, options.n_members, MAX_FILTER_POINTS)?;
        Ok(Ensemble {
            distances: vec![0.0; options.n_members],
            gain: vec![0.0; cloud.mean.len()],
            slopes: vec![0.0; cloud.sd.len()],
            inflation: options.inflation,
            verdict: Verdict::NONE,
            log_likelihood: 0.0,
            cloud,
        })
    }
}

impl Estimator for Ensemble<'_> {
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
        let (n, n_outputs) = (cloud.mean.len(), cloud.sd.len());
        if self.inflation > 1.0 {
            for point in cloud.points.chunks_exact_mut(n) {
                point.iter_mut().zip(&cloud.mean).for_each(|(x, mean)| *x = mean + self.inflation * (*x - mean));
            }
            cloud.take_moments();
        }
        self.verdict = cloud.compare(y);
        self.log_likelihood += self.verdict.log_likelihood;
        let n_members = self.distances.len() as f64;
        let over = 1.0 / (n_members - 1.0);
        for output in 0..n_outputs {
            let innovation = cloud.innovations[output];
            if innovation.is_nan() {
                continue;
            }
            // What is measured, and how far each member is from it. Perturbations are centred, so that the mean moves
            // by the innovation alone.
            let value = cloud.predicted[output] + innovation;
            draw::normals(&mut cloud.rng, cloud.sd[output], &mut self.distances);
            let centre = self.distances.iter().sum::<f64>() / n_members;
            let expected = || cloud.readings.chunks_exact(n_outputs).map(|r| r[output]);
            let mean = expected().sum::<f64>() / n_members;
            let variance =
                over * expected().map(|y| (y - mean) * (y - mean)).sum::<f64>() + cloud.sd[output] * cloud.sd[output];
            if !(variance > 0.0 && variance.is_finite()) {
                continue;
            }
            self.gain.fill(0.0);
            self.slopes.fill(0.0);
            for (point, reading) in cloud.points.chunks_exact(n).zip(cloud.readings.chunks_exact(n_outputs)) {
                let factor = over * (reading[output] - mean) / variance;
                self.gain.iter_mut().zip(point).for_each(|(gain, x)| *gain += factor * x);
                self.slopes.iter_mut().zip(reading).for_each(|(slope, y)| *slope += factor * y);
            }
            let members = cloud.points.chunks_exact_mut(n).zip(cloud.readings.chunks_exact_mut(n_outputs));
            for ((point, reading), perturbation) in members.zip(&self.distances) {
                let distance = value + (perturbation - centre) - reading[output];
                point.iter_mut().zip(&self.gain).for_each(|(x, gain)| *x += gain * distance);
                reading.iter_mut().zip(&self.slopes).for_each(|(y, slope)| *y += slope * distance);
            }
        }
        cloud.points.chunks_exact_mut(n).for_each(|point| cloud.space.confine(point));
        cloud.take_moments();
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
