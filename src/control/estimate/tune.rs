//! The size of the process noise, from how surprising the measurements were.
//!
//! The likelihood of the innovations (F. C. Schweppe 1965, *Evaluation of likelihood functions for Gaussian signals*,
//! IEEE Trans. Inf. Theory 11:61) is maximised over one factor on the stated process noise, by a scan of decades and a
//! golden section around the best (Kiefer 1953, *Sequential minimax search for a maximum*).

use super::EstimateError;
use crate::decide::Estimator;

/// A recorded interval: what acted, and what was measured at its end.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Length of the interval.
    pub dt: f64,
    /// `n_inputs`
    pub u: &'a [f64],
    /// `n_disturbances`
    pub d: &'a [f64],
    /// `n_outputs`, NaN where missing.
    pub y: &'a [f64],
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuned {
    /// Factor on the variances of the stated process noise.
    pub factor: f64,
    /// ln of the likelihood there.
    pub log_likelihood: f64,
    /// True where the likelihood still rises at the end of the range: the data do not bound the factor on that side.
    pub is_at_edge: bool,
}

/// Searches 10⁻⁶ to 10⁶ for the factor under which `records` are most likely. `filter` makes a filter whose process noise
/// is the stated one times the factor.
///
/// # Errors
/// Those of `filter`; [`EstimateError::Value`] where no factor gives a likelihood.
pub fn tune<'s>(
    mut filter: impl FnMut(f64) -> Result<Box<dyn Estimator + 's>, EstimateError>,
    records: &[Record<'_>],
    seed: u64,
) -> Result<Tuned, EstimateError> {
    let mut likelihood = |exponent: f64| -> Result<f64, EstimateError> {
        let mut filter = filter(10.0_f64.powf(exponent))?;
        filter.reset(seed);
        for record in records {
            filter.predict(record.dt, record.u, record.d);
            filter.update(record.y);
        }
        let value = filter.belief().log_likelihood;
        Ok(if value.is_nan() { f64::NEG_INFINITY } else { value })
    };
    let mut best = (f64::NEG_INFINITY, 0.0);
    for decade in -6..=6 {
        let exponent = f64::from(decade);
        let value = likelihood(exponent)?;
        if value > best.0 {
            best = (value, exponent);
        }
    }
    if best.0 == f64::NEG_INFINITY {
        return Err(EstimateError::Value { what: "the likelihood of the measurements" });
    }
    let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (best.1 - 1.0, best.1 + 1.0);
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (likelihood(left)?, likelihood(right)?);
    // Twenty-four sections leave 2·10⁻⁵ of a decade, far below what any record can tell.
    for _ in 0..24 {
        if at_left >= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = likelihood(left)?;
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = likelihood(right)?;
        }
    }
    let found = if at_left >= at_right { (at_left, left) } else { (at_right, right) };
    let (value, exponent) = if found.0 >= best.0 { found } else { best };
    Ok(Tuned { factor: 10.0_f64.powf(exponent), log_likelihood: value, is_at_edge: exponent.abs() > 6.0 })
}
