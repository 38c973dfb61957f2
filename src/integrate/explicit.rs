//! Explicit Runge–Kutta methods, written once over a table of coefficients.
//!
//! `k_i = f(t + c_i h, z + h Σ_{j<i} a_ij k_j)`, `z1 = z + h Σ b_i k_i`, error `h Σ e_i k_i`, and between them
//! `z(t + θ h) = z + h Σ b_i(θ) k_i` with polynomials b_i(θ) without constant term, which may need further stages.

use super::controller::Norm;
use super::field::Field;
use super::lanes::{Lanes, ZERO, combine_some, n_groups};
use super::problem::Status;

/// Most stages of a table, those of the dense output included.
pub(super) const MOST_STAGES: usize = 16;

/// The dense output of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dense {
    /// For each stage the coefficients of θ, θ², ... of its weight.
    Powers(&'static [&'static [f64]]),
    /// With `F1 = z1 - z`, `F2 = h k_1 - F1`, `F3 = 2 F1 - h (k_1 + k_s)`, k_s being the last stage of the step, and
    /// `F_{3+r} = h Σ d_ri k_i`: `z + θ (F1 + (1-θ) (F2 + θ (F3 + (1-θ) (F4 + θ (F5 + (1-θ) (F6 + θ F7))))))`.
    Nested(&'static [&'static [f64]]),
}

/// A method's coefficients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tableau {
    /// The stages of a step. The table has more rows where the dense output needs more.
    pub stages: usize,
    /// True where the last stage is evaluated at the new point and so serves the next step.
    pub is_first_same_as_last: bool,
    /// The error of a step goes with its length to the power `1/exponent`.
    pub exponent: f64,
    /// Weight of the previous error in the choice of the step.
    pub beta: f64,
    /// Where `h |lambda|` stays above this, stability and not accuracy limits the step.
    pub stability: f64,
    /// One for each row.
    pub c: &'static [f64],
    /// Row i has i entries.
    pub a: &'static [&'static [f64]],
    /// At most `stages`.
    pub b: &'static [f64],
    /// The weights of the error estimate, at most `stages`.
    pub error: Option<&'static [f64]>,
    /// Those of a second one of lower order: with both, the error is `e²/sqrt(e² + 0.01 e2²)`.
    pub second_error: Option<&'static [f64]>,
    pub dense: Dense,
}

impl Tableau {
    /// The weight of each stage in the dense output at `theta`, without the factor h; zero beyond the last one.
    pub fn dense_weights(&self, theta: f64) -> [f64; MOST_STAGES] {
        let mut weights = [0.0; MOST_STAGES];
        match self.dense {
            Dense::Powers(polynomials) => {
                for (weight, polynomial) in weights.iter_mut().zip(polynomials) {
                    *weight = polynomial.iter().rev().fold(0.0, |sum, c| (sum + c) * theta);
                }
            }
            Dense::Nested(rows) => {
                let rest = 1.0 - theta;
                let (f1, f2, f3) = (theta, theta * rest, theta * theta * rest);
                for (weight, b) in weights.iter_mut().zip(self.b) {
                    *weight = b * (f1 - f2 + 2.0 * f3);
                }
                weights[0] += f2 - f3;
                weights[self.stages - 1] -= f3;
                let mut factor = f3;
                for (r, row) in rows.iter().enumerate() {
                    factor *= if r % 2 == 0 { rest } else { theta };
                    for (weight, d) in weights.iter_mut().zip(*row) {
                        *weight += factor * d;
                    }
                }
            }
        }
        weights
    }
}

/// A row of weights without its zeros.
#[derive(Debug, Clone, Default)]
struct Row {
    stages: Vec<usize>,
    weights: Vec<f64>,
}

impl Row {
    fn new(weights: &[f64]) -> Self {
        let stages: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] != 0.0).collect();
        let weights = stages.iter().map(|&i| weights[i]).collect();
        Row { stages, weights }
    }

    /// `out = base + h Σ weights_j k_j`
    fn combine(&self, h: f64, out: &mut [f64], base: &[f64], k: &[Lanes], size: usize) {
        let mut room = [0.0; MOST_STAGES];
        room.iter_mut().zip(&self.weights).for_each(|(out, weight)| *out = h * weight);
        combine_some(out, base, &room[..self.weights.len()], &self.stages, k, size);
    }
}

/// A table with the stages of the present step.
#[derive(Debug)]
pub(super) struct Explicit {
    table: Tableau,
    /// The rows of the table, the solution's, and the estimates'.
    rows: Vec<Row>,
    solution: Row,
    estimate: Row,
    second_estimate: Row,
    len: usize,
    /// As many padded vectors as the table has rows.
    k: Vec<Lanes>,
    point: Vec<f64>,
    /// The second estimate of the last step's error.
    second_error: Vec<f64>,
    /// Groups of a stage.
    size: usize,
    /// True where the first stage is that of the point the next step starts from.
    has_first: bool,
    /// True where the last stage of the last step is to become the first one.
    shifts: bool,
    /// True where the stages that only the dense output needs are there.
    has_dense: bool,
}

impl Explicit {
    pub fn new(table: Tableau) -> Self {
        Explicit {
            table,
            rows: table.a.iter().map(|row| Row::new(row)).collect(),
            solution: Row::new(table.b),
            estimate: table.error.map(Row::new).unwrap_or_default(),
            second_estimate: table.second_error.map(Row::new).unwrap_or_default(),
            len: 0,
            k: Vec::new(),
            point: Vec::new(),
            second_error: Vec::new(),
            size: 0,
            has_first: false,
            shifts: false,
            has_dense: false,
        }
    }

    /// The coefficients.
    pub fn table(&self) -> &Tableau {
        &self.table
    }

    /// Sizes the buffers for augmented states of length `len`.
    pub fn resize(&mut self, len: usize) {
        self.len = len;
        self.size = n_groups(len);
        self.k.clear();
        self.k.resize(self.table.a.len() * self.size, ZERO);
        self.point.resize(len, 0.0);
        self.second_error.resize(if self.table.second_error.is_some() { len } else { 0 }, 0.0);
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
        self.has_dense = false;
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
            self.rows[i].combine(h, point, z, done, size);
            field.augmented(time, point, slope);
        }
        if !self.table.is_first_same_as_last {
            self.solution.combine(h, z_new, z, &self.k, size);
        }
        self.estimate.combine(h, error, &[], &self.k, size);
        self.second_estimate.combine(h, &mut self.second_error, &[], &self.k, size);
        Ok(())
    }

    /// The error of the step last attempted in units of the tolerance; `error` is its first estimate.
    pub fn size(&self, norm: &Norm, error: &[f64], z: &[f64], z_new: &[f64], scales: &[f64]) -> f64 {
        let size = norm.of(error, z, z_new, scales);
        if self.table.second_error.is_none() || size == 0.0 || !size.is_finite() {
            return size;
        }
        let second = norm.of(&self.second_error, z, z_new, scales);
        size / (1.0 + 0.01 * (second / size).powi(2)).sqrt()
    }

    /// Evaluates what the dense output of the step of length `h` just made from `(t, z)` needs beyond its stages.
    pub fn make_dense(&mut self, field: &mut Field<'_>, t: f64, h: f64, z: &[f64]) {
        if self.has_dense {
            return;
        }
        // The work told is that of the steps, which does not depend on what is asked for between them.
        let counted = field.statistics;
        for i in self.table.stages..self.rows.len() {
            let (done, rest) = self.k.split_at_mut(i * self.size);
            // The estimate of the error has been read; `point` still serves that of stiffness.
            let point = &mut self.second_error;
            self.rows[i].combine(h, point, z, done, self.size);
            field.augmented(t + self.table.c[i] * h, point, &mut rest.as_flattened_mut()[..self.len]);
        }
        field.statistics = counted;
        self.has_dense = true;
    }

    /// An estimate of `h |lambda|` from the last two stages, which for Tsit5 and DOP853 both lie at the step's end
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
        let weights = self.table.dense_weights(theta).map(|weight| h * weight);
        const ALL: [usize; MOST_STAGES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let count = self.rows.len();
        combine_some(out, z, &weights[..count], &ALL[..count], &self.k, self.size);
    }
}
