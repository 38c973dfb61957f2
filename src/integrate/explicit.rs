//! Explicit Runge–Kutta methods, written once over a table of coefficients.
//!
//! `k_i = f(t + c_i h, z + h Σ_{j<i} a_ij k_j)`, `z1 = z + h Σ b_i k_i`, error `h Σ e_i k_i`, and between them
//! `z(t + θ h) = z + h Σ b_i(θ) k_i` with polynomials b_i(θ) without constant term.

use super::controller::Norm;
use super::field::Field;
use super::lanes::{Lanes, ZERO, combine, n_groups};
use super::problem::Status;

/// Most stages of a table.
const MOST_STAGES: usize = 8;

/// A method's coefficients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tableau {
    pub stages: usize,
    /// True where the last stage is evaluated at the new point and so serves the next step.
    pub is_first_same_as_last: bool,
    /// `stages`
    pub c: &'static [f64],
    /// Row i has i entries.
    pub a: &'static [&'static [f64]],
    /// `stages`
    pub b: &'static [f64],
    /// The weights of the error estimate, `stages`.
    pub error: Option<&'static [f64]>,
    /// For each stage the coefficients of θ, θ², ... of its weight.
    pub dense: &'static [&'static [f64]],
}

/// A table with the stages of the present step.
#[derive(Debug)]
pub(super) struct Explicit {
    table: Tableau,
    len: usize,
    /// `stages` padded vectors.
    k: Vec<Lanes>,
    point: Vec<f64>,
    /// Groups of a stage.
    size: usize,
    /// True where the first stage is that of the point the next step starts from.
    has_first: bool,
    /// True where the last stage of the last step is to become the first one.
    shifts: bool,
}

impl Explicit {
    pub fn new(table: Tableau) -> Self {
        Explicit { table, len: 0, k: Vec::new(), point: Vec::new(), size: 0, has_first: false, shifts: false }
    }

    /// Sizes the buffers for augmented states of length `len`.
    pub fn resize(&mut self, len: usize) {
        self.len = len;
        self.size = n_groups(len);
        self.k.clear();
        self.k.resize(self.table.stages * self.size, ZERO);
        self.point.resize(len, 0.0);
        self.restart();
    }

    /// Forgets the last stage: the field or the state has jumped.
    pub fn restart(&mut self) {
        self.has_first = false;
        self.shifts = false;
    }

    /// Says that the step was accepted up to its end.
    pub fn accept(&mut self) {
        self.has_first = self.table.is_first_same_as_last;
        self.shifts = self.has_first;
    }

    /// Computes `z_new` at `t + h` and the estimate of its error.
    ///
    /// # Errors
    /// [`Status::NonFinite`] where the derivative at the step's start is not finite.
    pub fn attempt(
        &mut self,
        field: &mut Field<'_>,
        t: f64,
        h: f64,
        z: &[f64],
        z_new: &mut [f64],
        error: &mut [f64],
    ) -> Result<(), Status> {
        let (stages, len, size) = (self.table.stages, self.len, self.size);
        let mut weights = [0.0; MOST_STAGES];
        if self.shifts {
            self.k.copy_within((stages - 1) * size..stages * size, 0);
            self.shifts = false;
        }
        if !self.has_first {
            field.augmented(t, z, &mut self.k.as_flattened_mut()[..len]);
            self.has_first = true;
        }
        if let Some(state) = self.k.as_flattened()[..field.n].iter().position(|v| !v.is_finite()) {
            return Err(Status::NonFinite { t, state });
        }
        for i in 1..stages {
            let (done, rest) = self.k.split_at_mut(i * size);
            let last = self.table.is_first_same_as_last && i + 1 == stages;
            let time = t + self.table.c[i] * h;
            let slope = &mut rest.as_flattened_mut()[..len];
            let point = if last { &mut *z_new } else { &mut self.point };
            combine(point, z, scaled(self.table.a[i], h, &mut weights), done, size);
            field.augmented(time, point, slope);
        }
        if !self.table.is_first_same_as_last {
            combine(z_new, z, scaled(self.table.b, h, &mut weights), &self.k, size);
        }
        match self.table.error {
            Some(share) => combine(error, &[], scaled(share, h, &mut weights), &self.k, size),
            None => error.fill(0.0),
        }
        Ok(())
    }

    /// An estimate of `h |lambda|` from the last two stages, which for Tsit5 both lie at the step's end
    /// (Hairer and Wanner 1996, Solving Ordinary Differential Equations II, section IV.2).
    ///
    /// Differences are measured in units of the tolerance: the fast component of a stiff system is often a small one.
    pub fn stiffness(&self, norm: &Norm, z_new: &[f64], h: f64) -> f64 {
        let n = norm.atol.len();
        let k = |i: usize| &self.k[i * self.size..].as_flattened()[..n];
        let (last, before) = (k(self.table.stages - 1), k(self.table.stages - 2));
        let (mut slope, mut distance) = (0.0, 0.0);
        for i in 0..n {
            let tolerance = (norm.atol[i] + norm.rtol * z_new[i].abs()).max(f64::MIN_POSITIVE);
            slope += ((last[i] - before[i]) / tolerance).powi(2);
            distance += ((z_new[i] - self.point[i]) / tolerance).powi(2);
        }
        if distance > 0.0 { h * (slope / distance).sqrt() } else { 0.0 }
    }

    /// `out` = the first `out.len()` components at `t + theta h`.
    pub fn interpolate(&self, theta: f64, h: f64, z: &[f64], out: &mut [f64]) {
        let mut weights = [0.0; MOST_STAGES];
        for (weight, polynomial) in weights.iter_mut().zip(self.table.dense) {
            *weight = h * polynomial.iter().rev().fold(0.0, |sum, c| (sum + c) * theta);
        }
        combine(out, z, &weights[..self.table.dense.len()], &self.k, self.size);
    }
}

/// `h` times the weights, in the given room.
fn scaled<'a>(weights: &[f64], h: f64, room: &'a mut [f64; MOST_STAGES]) -> &'a [f64] {
    room.iter_mut().zip(weights).for_each(|(out, weight)| *out = h * weight);
    &room[..weights.len()]
}
