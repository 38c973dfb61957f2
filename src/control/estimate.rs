//! Estimating states, and parameters beside them, from measurements.
//!
//! A filter sees a [`StateSpace`]: how the state is carried over an interval, what is measured of it, and how uncertain
//! both are. [`SystemSpace`] makes one of a [`crate::system::System`], [`LinearSpace`] one of matrices. Every filter is a
//! [`crate::decide::Estimator`]: [`Kalman`] (the linear and the extended filter), [`Unscented`], [`Ensemble`] and
//! [`Particle`]; [`MovingHorizon`] looks at a window
//! of measurements at once, and [`Replace`] is a simulation that readings correct. Measurements may be missing (NaN), and one that lies too far from what is believed is gated out.
//! [`tune`] finds the size of the process noise from the innovations.
//!
//! **Invariant.** On a linear model with normal noise the first two equal the Kalman filter to rounding, the others
//! within their Monte-Carlo error. Draws come from numbered streams of one seed.

mod cloud;
mod ensemble;
mod gauss;
mod kalman;
mod mhe;
mod particle;
mod replace;
mod space;
mod system_space;
mod tune;
mod unscented;

pub use ensemble::{Ensemble, EnsembleOptions};
pub use kalman::Kalman;
pub use mhe::{MovingHorizon, MovingHorizonOptions};
pub use particle::{Particle, ParticleOptions};
pub use replace::{Readings, Replace};
pub use space::{EstimateError, Interval, LinearSpace, StateSpace};
pub use system_space::{Sensor, SystemSpace, Walk};
pub use tune::{Record, Tuned, tune};
pub use unscented::{Unscented, UnscentedOptions};

/// Where a filter starts, and which measurements it refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// Time of the belief, in the model's time unit.
    pub time: f64,
    /// `n`
    pub mean: Vec<f64>,
    /// `n × n`, column major, symmetric and positive semidefinite.
    pub covariance: Vec<f64>,
    /// A measurement is left out where its squared distance from what is believed, over its variance, exceeds this; the
    /// 99.9 % quantile of χ² with one degree of freedom is 10.83. Default infinite: all are used.
    pub gate: f64,
}

impl Prior {
    /// A belief with independent components of the given standard deviations; no gate.
    pub fn independent(time: f64, mean: &[f64], sd: &[f64]) -> Prior {
        let n = mean.len();
        let mut covariance = vec![0.0; n * n];
        sd.iter().enumerate().for_each(|(i, sd)| covariance[i * n + i] = sd * sd);
        Prior { time, mean: mean.to_vec(), covariance, gate: f64::INFINITY }
    }

    /// Checks the sizes against a model.
    ///
    /// # Errors
    /// [`EstimateError::Size`], [`EstimateError::Value`].
    pub fn check(&self, n: usize) -> Result<(), EstimateError> {
        let size = |what, found, wanted| match found == wanted {
            true => Ok(()),
            false => Err(EstimateError::Size { what, found, wanted }),
        };
        size("the mean", self.mean.len(), n)?;
        size("the covariance", self.covariance.len(), n * n)?;
        let is_finite = self.mean.iter().chain(&self.covariance).all(|v| v.is_finite());
        let has_variances = (0..n).all(|i| self.covariance[i * n + i] >= 0.0);
        if !is_finite || !has_variances || self.gate.is_nan() || self.gate <= 0.0 {
            return Err(EstimateError::Value { what: "the initial belief" });
        }
        Ok(())
    }
}
