//! Tuning from a step response: a plant of first order with a delay is read off it, and SIMC turns that into settings.
//!
//! S. Skogestad 2003, *Simple analytic rules for model reduction and PID controller tuning*, J. Process Control 13:291,
//! equations 23 to 25, with the closed loop's time constant equal to the delay unless stated. The plant by the two times at
//! which 28.3 % and 63.2 % of the change have come about: C. L. Smith 1972, *Digital computer process control*, Intext.

use super::PidSettings;

/// `gain · exp(−delay s)/((lag s + 1)(second_lag s + 1))`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepModel {
    /// Change of the measurement per change of the input, in the end.
    pub gain: f64,
    /// Larger time constant.
    pub lag: f64,
    /// Smaller time constant, 0 for a plant of first order.
    pub second_lag: f64,
    /// Delay.
    pub delay: f64,
}

/// Why no plant could be read off a step response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Too few samples, or times that do not ascend.
    #[error("a step response needs three samples or more at ascending times")]
    Samples,
    /// Nothing was changed, or nothing came of it.
    #[error("the input was not changed, or the measurement did not follow")]
    NoChange,
    /// A delay and a closed-loop time of zero ask for an infinite gain.
    #[error("a plant without delay needs a closed-loop time constant above zero")]
    NoDelay,
}

impl StepModel {
    /// Reads a plant of first order with a delay off the response to a change of the input by `change` at time 0. `times`
    /// and `measured` begin before or at the change and end where the plant has come to rest.
    ///
    /// # Errors
    /// Samples that show no step response.
    pub fn fit(times: &[f64], measured: &[f64], change: f64) -> Result<StepModel, StepError> {
        if times.len() != measured.len() || times.len() < 3 || !times.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(StepError::Samples);
        }
        let (first, last) = (measured[0], measured[measured.len() - 1]);
        let whole = last - first;
        if change == 0.0 || whole == 0.0 || !(whole / change).is_finite() {
            return Err(StepError::NoChange);
        }
        // When a share of the change has come about for the first time, between the samples along a line.
        let time_of = |share: f64| {
            let reached = |value: f64| (value - first) / whole;
            let at = measured.iter().position(|&value| reached(value) >= share).unwrap_or(measured.len() - 1).max(1);
            let (low, high) = (reached(measured[at - 1]), reached(measured[at]));
            times[at - 1] + (times[at] - times[at - 1]) * (share - low) / (high - low)
        };
        // 1 − e^(−1/3) and 1 − e^(−1).
        let (early, late) = (time_of(-(-1.0f64 / 3.0).exp_m1()), time_of(-(-1.0f64).exp_m1()));
        let lag = 1.5 * (late - early);
        if !lag.is_finite() {
            return Err(StepError::NoChange);
        }
        Ok(StepModel { gain: whole / change, lag, second_lag: 0.0, delay: (late - lag).max(0.0) })
    }

    /// SIMC settings: PI for a plant of first order, PID for one of second. `closed` is the wanted time constant of the
    /// closed loop; none takes the delay. The rule is one for the series form, turned into the parallel one here.
    ///
    /// # Errors
    /// A plant without delay and no time constant of the closed loop.
    pub fn simc(&self, closed: Option<f64>) -> Result<PidSettings, StepError> {
        let speed = closed.unwrap_or(self.delay) + self.delay;
        if !(speed > 0.0 && speed.is_finite()) {
            return Err(StepError::NoDelay);
        }
        let gain = self.lag / (self.gain * speed);
        let integral = self.lag.min(4.0 * speed);
        // Skogestad 2003, equation 36: series to parallel.
        let factor = 1.0 + self.second_lag / integral;
        Ok(PidSettings {
            gain: gain * factor,
            integral: integral * factor,
            derivative: self.second_lag / factor,
            ..PidSettings::default()
        })
    }
}
