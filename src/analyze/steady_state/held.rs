//! A system with time, inputs and disturbances held, and without its events: what settles.

use crate::linalg::CscPattern;
use crate::system::{At, Dims, System, Work};

/// `x' = f(t0, x, u0, d0, p)`, autonomous.
pub(super) struct Held<'s> {
    pub system: &'s dyn System,
    pub t0: f64,
    /// `n_inputs`
    pub u: Vec<f64>,
    /// `n_disturbances`
    pub d: Vec<f64>,
}

impl<'s> Held<'s> {
    /// The point `x` at the instant held.
    pub fn at<'a>(&'a self, x: &'a [f64], p: &'a [f64]) -> At<'a> {
        At { t: self.t0, x, u: &self.u, d: &self.d, p }
    }
}

impl System for Held<'_> {
    fn dims(&self) -> Dims {
        Dims { n_inputs: 0, n_disturbances: 0, n_roots: 0, n_times: 0, ..self.system.dims() }
    }

    fn work(&self) -> Work {
        self.system.work()
    }

    fn rhs(&self, at: At<'_>, work: &mut Work, dx: &mut [f64]) {
        self.system.rhs(self.at(at.x, at.p), work, dx);
    }

    fn jacobian_pattern(&self) -> &CscPattern {
        self.system.jacobian_pattern()
    }

    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.jacobian(self.at(at.x, at.p), work, values);
    }

    fn is_autonomous(&self) -> bool {
        true
    }

    fn time_derivative(&self, _at: At<'_>, _work: &mut Work, df: &mut [f64]) {
        df.fill(0.0);
    }

    fn parameter_pattern(&self) -> &CscPattern {
        self.system.parameter_pattern()
    }

    fn parameter_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.parameter_jacobian(self.at(at.x, at.p), work, values);
    }

    fn input_pattern(&self) -> &CscPattern {
        self.system.input_pattern()
    }

    fn input_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.input_jacobian(self.at(at.x, at.p), work, values);
    }

    fn disturbance_pattern(&self) -> &CscPattern {
        self.system.disturbance_pattern()
    }

    fn disturbance_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.disturbance_jacobian(self.at(at.x, at.p), work, values);
    }

    fn jacobian_along(&self, at: At<'_>, dx: &[f64], _dt: f64, work: &mut Work, jac: &mut [f64], par: &mut [f64]) {
        self.system.jacobian_along(self.at(at.x, at.p), dx, 0.0, work, jac, par);
    }

    fn initial_state(&self, at: At<'_>, work: &mut Work, x: &mut [f64]) {
        self.system.initial_state(self.at(at.x, at.p), work, x);
    }

    fn initial_pattern(&self) -> &CscPattern {
        self.system.initial_pattern()
    }

    fn initial_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.initial_jacobian(self.at(at.x, at.p), work, values);
    }

    fn outputs(&self, at: At<'_>, work: &mut Work, y: &mut [f64]) {
        self.system.outputs(self.at(at.x, at.p), work, y);
    }

    fn output_patterns(&self) -> (&CscPattern, &CscPattern) {
        self.system.output_patterns()
    }

    fn output_jacobians(&self, at: At<'_>, work: &mut Work, dy_dx: &mut [f64], dy_dp: &mut [f64]) {
        self.system.output_jacobians(self.at(at.x, at.p), work, dy_dx, dy_dp);
    }
}
