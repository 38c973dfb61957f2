//! The vector field that the formulas integrate: the system with its forcing filled in and, behind the state, one
//! block of sensitivities for each direction.
//!
//! The augmented state is `z = (x, S)`, S being `n × m` in row-major order (the sensitivities of one state stand
//! together, so that all inner loops run over the directions), with `S' = ∂f/∂x S + ∂f/∂p dp/dtheta`. Evaluation times are
//! kept strictly between the breakpoints on either side, so that a branch on time never leaks across one.

use super::forcing::{Forcing, Segment};
use super::problem::{Direction, Statistics};
use crate::linalg::CscPattern;
use crate::system::{At, Dims, System, Work};

/// The nonzeros of dp/dtheta, by direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Directions {
    starts: Vec<usize>,
    entries: Vec<(usize, f64)>,
    /// Sizes of theta, for error norms.
    pub scales: Vec<f64>,
}

impl Directions {
    fn assign(&mut self, directions: &[Direction]) {
        self.starts.clear();
        self.entries.clear();
        self.scales.clear();
        self.starts.push(0);
        for direction in directions {
            self.entries.extend_from_slice(&direction.params);
            self.starts.push(self.entries.len());
            self.scales.push(direction.scale.abs());
        }
    }

    /// The `(parameter, weight)` of direction `j`.
    pub fn params(&self, j: usize) -> &[(usize, f64)] {
        &self.entries[self.starts[j]..self.starts[j + 1]]
    }

    /// `out += weight A q`, A having the columns of the parameters; `out` is row major with m columns.
    pub fn mul_add(&self, pattern: &CscPattern, values: &[f64], weight: f64, out: &mut [f64]) {
        let m = self.scales.len();
        for j in 0..m {
            for &(param_idx, share) in self.params(j) {
                for (row, k) in pattern.column(param_idx) {
                    out[row * m + j] += values[k] * (share * weight);
                }
            }
        }
    }
}

/// The field of one solve.
pub(super) struct Field<'s> {
    pub system: &'s dyn System,
    pub dims: Dims,
    /// `n_states`
    pub n: usize,
    /// Number of directions.
    pub m: usize,
    pub work: Work,
    pub p: Vec<f64>,
    pub u: Vec<f64>,
    pub d: Vec<f64>,
    pub segment: Segment,
    pub directions: Directions,
    /// Evaluation times lie in here.
    pub t_low: f64,
    pub t_high: f64,
    pub statistics: Statistics,
    /// While true, evaluations look for the first state with a value or derivative that is not finite ...
    pub seeks_culprit: bool,
    /// ... and name it here.
    pub culprit: Option<usize>,
    jac: Vec<f64>,
    par: Vec<f64>,
    by_inputs: Vec<f64>,
    by_disturbances: Vec<f64>,
    other_jac: Vec<f64>,
    other_par: Vec<f64>,
}

impl<'s> Field<'s> {
    pub fn new(system: &'s dyn System) -> Self {
        let dims = system.dims();
        let nnz = (system.jacobian_pattern().nnz(), system.parameter_pattern().nnz());
        Field {
            system,
            dims,
            n: dims.n_states,
            m: 0,
            work: system.work(),
            p: vec![0.0; dims.n_params],
            u: vec![0.0; dims.n_inputs],
            d: vec![0.0; dims.n_disturbances],
            segment: Segment::default(),
            directions: Directions::default(),
            t_low: f64::NEG_INFINITY,
            t_high: f64::INFINITY,
            statistics: Statistics::default(),
            seeks_culprit: false,
            culprit: None,
            jac: vec![0.0; nnz.0],
            par: vec![0.0; nnz.1],
            by_inputs: vec![0.0; system.input_pattern().nnz()],
            by_disturbances: vec![0.0; system.disturbance_pattern().nnz()],
            other_jac: vec![0.0; nnz.0],
            other_par: vec![0.0; nnz.1],
        }
    }

    /// Begins a solve.
    pub fn start(&mut self, t0: f64, p: &[f64], forcing: &Forcing, directions: &[Direction]) {
        self.p.copy_from_slice(p);
        self.m = directions.len();
        self.directions.assign(directions);
        self.segment.start(forcing, t0);
        self.segment.values_at(t0, &mut self.u, &mut self.d);
        self.t_low = f64::NEG_INFINITY;
        self.t_high = f64::INFINITY;
        self.statistics = Statistics::default();
    }

    /// Length of the augmented state.
    pub fn len(&self) -> usize {
        self.n * (1 + self.m)
    }

    /// The nearest time at which the right-hand side of the present segment may be evaluated.
    pub fn inside(&self, t: f64) -> f64 {
        t.max(self.t_low).min(self.t_high)
    }

    /// Fills in the forcing at `t`.
    pub fn set_forcing(&mut self, t: f64) {
        self.segment.values_at(t, &mut self.u, &mut self.d);
    }

    /// The point `(t, x)` with the forcing last filled in.
    pub fn at<'a>(&'a self, t: f64, x: &'a [f64]) -> At<'a> {
        At { t, x, u: &self.u, d: &self.d, p: &self.p }
    }

    /// `dx = f(t, x)`; only the first `n` values of either slice are used.
    pub fn rhs(&mut self, t: f64, x: &[f64], dx: &mut [f64]) {
        let t = self.inside(t);
        self.set_forcing(t);
        let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
        self.system.rhs(at, &mut self.work, &mut dx[..self.n]);
        self.statistics.rhs += 1;
        if self.seeks_culprit && self.culprit.is_none() {
            self.culprit = not_finite(&x[..self.n]).or_else(|| not_finite(&dx[..self.n]));
        }
    }

    /// `dz` = the derivative of the augmented state.
    pub fn augmented(&mut self, t: f64, z: &[f64], dz: &mut [f64]) {
        self.rhs(t, z, dz);
        if self.m > 0 {
            let (mut jac, mut par) = (std::mem::take(&mut self.jac), std::mem::take(&mut self.par));
            self.jacobians(t, z, &mut jac, &mut par);
            let ds = &mut dz[self.n..];
            ds.fill(0.0);
            self.add_linear(&jac, &par, 1.0, &z[self.n..], ds);
            self.jac = jac;
            self.par = par;
        }
    }

    /// `jac` = ∂f/∂x and `par` = ∂f/∂p.
    pub fn jacobians(&mut self, t: f64, x: &[f64], jac: &mut [f64], par: &mut [f64]) {
        let t = self.inside(t);
        self.set_forcing(t);
        let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
        self.system.jacobian(at, &mut self.work, jac);
        if self.m > 0 {
            self.system.parameter_jacobian(at, &mut self.work, par);
        }
        self.statistics.jacobians += 1;
        if self.seeks_culprit && self.culprit.is_none() {
            let rows = |pattern: &CscPattern, values: &[f64]| not_finite(values).map(|k| pattern.row_idx()[k]);
            self.culprit = rows(self.system.jacobian_pattern(), jac);
            if self.culprit.is_none() && self.m > 0 {
                self.culprit = rows(self.system.parameter_pattern(), par);
            }
        }
    }

    /// `jac` = ∂f/∂x.
    pub fn state_jacobian(&mut self, t: f64, x: &[f64], jac: &mut [f64]) {
        let t = self.inside(t);
        self.set_forcing(t);
        let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
        self.system.jacobian(at, &mut self.work, jac);
        self.statistics.jacobians += 1;
    }

    /// `par` = ∂f/∂p.
    pub fn parameter_jacobian(&mut self, t: f64, x: &[f64], par: &mut [f64]) {
        let t = self.inside(t);
        self.set_forcing(t);
        let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
        self.system.parameter_jacobian(at, &mut self.work, par);
    }

    /// `ds += weight (jac s + par q)` for all directions; `s, ds: n × m`, row major.
    pub fn add_linear(&self, jac: &[f64], par: &[f64], weight: f64, s: &[f64], ds: &mut [f64]) {
        let pattern = self.system.jacobian_pattern();
        let (col_ptr, row_idx, m) = (pattern.col_ptr(), pattern.row_idx(), self.m);
        for (col, s_row) in s.chunks_exact(m.max(1)).enumerate() {
            for k in col_ptr[col]..col_ptr[col + 1] {
                let value = jac[k] * weight;
                if value != 0.0 {
                    let start = row_idx[k] * m;
                    ds[start..start + m].iter_mut().zip(s_row).for_each(|(out, s)| *out += value * s);
                }
            }
        }
        self.directions.mul_add(self.system.parameter_pattern(), par, weight, ds);
    }

    /// `df` = df/dt at fixed x, the slopes of inputs and disturbances included. Returns false where it is zero.
    pub fn time_derivative(&mut self, t: f64, x: &[f64], df: &mut [f64]) -> bool {
        if self.system.is_autonomous() && !self.segment.is_sloped {
            df.fill(0.0);
            return false;
        }
        let t = self.inside(t);
        self.set_forcing(t);
        let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
        if self.system.is_autonomous() {
            df.fill(0.0);
        } else {
            self.system.time_derivative(at, &mut self.work, df);
        }
        if self.seeks_culprit && self.culprit.is_none() {
            self.culprit = not_finite(df);
        }
        if self.segment.is_sloped {
            let (du, dd) = self.segment.slopes.split_at(self.dims.n_inputs);
            if !du.is_empty() {
                self.system.input_jacobian(at, &mut self.work, &mut self.by_inputs);
                self.system.input_pattern().mul_add(&self.by_inputs, du, df);
            }
            if !dd.is_empty() {
                self.system.disturbance_jacobian(at, &mut self.work, &mut self.by_disturbances);
                self.system.disturbance_pattern().mul_add(&self.by_disturbances, dd, df);
            }
        }
        true
    }

    /// `jac` and `par` = the derivatives of ∂f/∂x and ∂f/∂p by time through the slopes of the forcing alone.
    ///
    /// [`System`] has no mixed second derivatives by inputs, so this is a central difference, exact where the field is
    /// quadratic in the inputs. It only enters a Rosenbrock formula's time correction, multiplied by the step.
    pub fn forcing_derivative(&mut self, t: f64, x: &[f64], jac: &mut [f64], par: &mut [f64]) {
        let t = self.inside(t);
        self.set_forcing(t);
        let step = self.forcing_step();
        jac.fill(0.0);
        par.fill(0.0);
        for shift in [step, -step] {
            let weight = 0.5 / shift;
            // The forcing is moved itself: a time far from zero would swallow the shift.
            self.set_forcing(t);
            self.shift_forcing(shift);
            let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
            self.system.jacobian(at, &mut self.work, &mut self.other_jac);
            self.system.parameter_jacobian(at, &mut self.work, &mut self.other_par);
            jac.iter_mut().zip(&self.other_jac).for_each(|(a, b)| *a += weight * b);
            par.iter_mut().zip(&self.other_par).for_each(|(a, b)| *a += weight * b);
        }
        self.set_forcing(t);
    }

    /// `jac` and `par` = the derivatives of ∂f/∂x and ∂f/∂p along `(dx, dt)`.
    pub fn jacobian_along(&mut self, t: f64, x: &[f64], dx: &[f64], dt: f64, jac: &mut [f64], par: &mut [f64]) {
        let t = self.inside(t);
        self.set_forcing(t);
        let at = At { t, x: &x[..self.n], u: &self.u, d: &self.d, p: &self.p };
        self.system.jacobian_along(at, &dx[..self.n], dt, &mut self.work, jac, par);
        if self.seeks_culprit && self.culprit.is_none() {
            let row = |pattern: &CscPattern, values: &[f64]| not_finite(values).map(|k| pattern.row_idx()[k]);
            let system = self.system;
            self.culprit = row(system.jacobian_pattern(), jac).or_else(|| row(system.parameter_pattern(), par));
        }
    }

    /// Adds to inputs and disturbances what they change in the time `shift` by their present slopes.
    pub fn shift_forcing(&mut self, shift: f64) {
        let slopes = &self.segment.slopes;
        self.u.iter_mut().chain(&mut self.d).zip(slopes).for_each(|(value, slope)| *value += slope * shift);
    }

    /// A time in which no sloped input or disturbance changes by more than 1e-5 of its size, for differences along the
    /// forcing. The size is the present value, or a thousandth of the change over the segment where that is larger.
    pub fn forcing_step(&self) -> f64 {
        let span = self.t_high - self.segment.begin();
        let span = if span.is_finite() { span } else { 0.0 };
        let sizes = self.u.iter().chain(&self.d).zip(&self.segment.slopes).filter(|(_, slope)| **slope != 0.0);
        let shortest = sizes.map(|(value, slope)| (value / slope).abs().max(1e-3 * span)).fold(f64::INFINITY, f64::min);
        if shortest > 0.0 && shortest.is_finite() { 1e-5 * shortest } else { 1e-5 }
    }
}

/// Where the first value that is not finite stands.
fn not_finite(values: &[f64]) -> Option<usize> {
    values.iter().position(|value| !value.is_finite())
}
