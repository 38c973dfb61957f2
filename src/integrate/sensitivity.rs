//! Forward sensitivities where the solution jumps, and those of the outputs.
//!
//! At an event at `t*(theta)` with reset `x+ = r(t, x, p)` the sensitivity jumps (Rozenvasser 1967, Automation and Remote
//! Control 28; Galán, Feehery and Barton 1999, Applied Numerical Mathematics 31, 17–47):
//!
//! `s+ = r_x s + r_p q + (r_x f- + r_t - f+) dt*/dtheta`,
//!
//! with `dt*/dtheta` the derivative of a scheduled time, or `-(g_x s + g_p q)/(g_x f- + g_t)` for the root of g. Where a
//! branch changes without a reset, r is the identity.

use super::field::Field;
use crate::system::{At, System, Work};

/// Room for the derivatives of resets.
#[derive(Debug, Clone, Default)]
pub(super) struct Jump {
    /// The derivative of the event's time by each theta.
    pub time: Vec<f64>,
    /// The field before the event, `n_states`.
    pub f_before: Vec<f64>,
    f_after: Vec<f64>,
    dxn_dx: Vec<f64>,
    dxn_dp: Vec<f64>,
    dxn_dt: Vec<f64>,
    dg_dx: Vec<f64>,
    dg_dp: Vec<f64>,
    dtimes: Vec<f64>,
    product: Vec<f64>,
    g: Vec<f64>,
}

impl Jump {
    /// Sizes the buffers; the dense derivatives of resets only where they will be needed.
    pub fn resize(&mut self, field: &Field<'_>, has_resets: bool) {
        let (n, n_params) = (field.n, field.dims.n_params);
        self.time.resize(field.m, 0.0);
        if field.m == 0 {
            // A recorded run notes the field before each jump.
            self.f_before.resize(n, 0.0);
            return;
        }
        self.product.resize(n * field.m, 0.0);
        for buffer in [&mut self.f_before, &mut self.f_after, &mut self.dxn_dt, &mut self.dg_dx] {
            buffer.resize(n, 0.0);
        }
        self.g.resize(field.dims.n_roots, 0.0);
        self.dg_dp.resize(n_params, 0.0);
        self.dtimes.resize(field.dims.n_times * n_params, 0.0);
        if has_resets {
            self.dxn_dx.resize(n * n, 0.0);
            self.dxn_dp.resize(n * n_params, 0.0);
        }
    }

    /// Evaluates the derivatives of the scheduled times.
    pub fn start(&mut self, field: &mut Field<'_>, t: f64, x: &[f64]) {
        if field.m > 0 && !self.dtimes.is_empty() {
            let at = At { t, x: &x[..field.n], u: &field.u, d: &field.d, p: &field.p };
            field.system.times_jacobian(at, &mut field.work, &mut self.dtimes);
        }
    }

    /// Sets [`Jump::time`] to zero.
    pub fn forget_time(&mut self) {
        self.time.fill(0.0);
    }

    /// Adds `weight` times the derivative of a scheduled time to [`Jump::time`].
    pub fn add_scheduled_time(&mut self, field: &Field<'_>, time_idx: usize, weight: f64) {
        let n_params = field.dims.n_params;
        let row = &self.dtimes[time_idx * n_params..(time_idx + 1) * n_params];
        for (j, slope) in self.time.iter_mut().enumerate() {
            for &(param_idx, share) in field.directions.params(j) {
                *slope += weight * row[param_idx] * share;
            }
        }
    }

    /// Sets [`Jump::time`] to the derivative of the time at which a root function is reached. [`Jump::f_before`] must be
    /// that of `z`. A root that the solution only touches has no derivative; it counts as zero.
    pub fn set_root_time(&mut self, field: &mut Field<'_>, root_idx: usize, t: f64, z: &[f64]) {
        let (x, s) = z.split_at(field.n);
        field.set_forcing(t);
        let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
        let by_time = field.system.root_gradient(root_idx, at, &mut field.work, &mut self.dg_dx, &mut self.dg_dp);
        let mut rate = by_time + dot(&self.dg_dx, &self.f_before);
        if field.segment.is_sloped {
            rate += root_rate_by_forcing(field, root_idx, t, x, &mut self.g);
        }
        for (j, slope) in self.time.iter_mut().enumerate() {
            let by_params: f64 = field.directions.params(j).iter().map(|&(i, share)| self.dg_dp[i] * share).sum();
            let by_state: f64 = self.dg_dx.iter().zip(s.chunks_exact(field.m)).map(|(g, row)| g * row[j]).sum();
            let value = -(by_state + by_params) / rate;
            *slope = if value.is_finite() { value } else { 0.0 };
        }
    }

    /// Carries the sensitivities in `z`, whose state is still the one before, over the events `resets` to the state
    /// `x_new`. [`Jump::time`] and [`Jump::f_before`] must be set, and the field must be that after the event.
    pub fn carry_over(&mut self, field: &mut Field<'_>, resets: &[usize], t: f64, z: &mut [f64], x_new: &[f64]) {
        let n = field.n;
        let moves = self.time.iter().any(|&slope| slope != 0.0);
        if moves {
            field.rhs(t, x_new, &mut self.f_after);
        }
        let (x, s) = z.split_at_mut(n);
        if !resets.is_empty() {
            field.set_forcing(t);
            let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
            let work = &mut field.work;
            field.system.reset_jacobians(resets, at, work, &mut self.dxn_dx, &mut self.dxn_dp, &mut self.dxn_dt);
        }
        let m = field.m;
        // The derivative of the state at the moving instant is s + f- dt*.
        add_product(s, &self.f_before, &self.time, 1.0);
        if !resets.is_empty() {
            self.product.fill(0.0);
            add_product(&mut self.product, &self.dxn_dt, &self.time, 1.0);
            for (column, s_row) in self.dxn_dx.chunks_exact(n.max(1)).zip(s.chunks_exact(m)) {
                for (row, &entry) in self.product.chunks_exact_mut(m).zip(column) {
                    if entry != 0.0 {
                        row.iter_mut().zip(s_row).for_each(|(sum, s)| *sum += entry * s);
                    }
                }
            }
            for j in 0..m {
                for &(param_idx, share) in field.directions.params(j) {
                    let column = &self.dxn_dp[param_idx * n..(param_idx + 1) * n];
                    for (row, entry) in self.product.chunks_exact_mut(m).zip(column) {
                        row[j] += entry * share;
                    }
                }
            }
            s.copy_from_slice(&self.product);
        }
        if moves {
            add_product(s, &self.f_after, &self.time, -1.0);
        }
    }
}

/// `s += weight f time^T`; `s: n × m`, row major.
fn add_product(s: &mut [f64], f: &[f64], time: &[f64], weight: f64) {
    for (row, f) in s.chunks_exact_mut(time.len()).zip(f) {
        row.iter_mut().zip(time).for_each(|(value, slope)| *value += weight * f * slope);
    }
}

/// The rate of a root function through the slopes of the forcing, by a central difference.
pub(super) fn root_rate_by_forcing(field: &mut Field<'_>, root_idx: usize, t: f64, x: &[f64], g: &mut [f64]) -> f64 {
    field.set_forcing(t);
    let step = field.forcing_step();
    let mut rate = 0.0;
    for shift in [step, -step] {
        field.set_forcing(t);
        field.shift_forcing(shift);
        let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
        field.system.roots(at, &mut field.work, g);
        rate += g[root_idx] * 0.5 / shift;
    }
    field.set_forcing(t);
    rate
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The derivatives of the outputs along the directions of a solve: `dy/dtheta = y_x s + y_p q`.
#[derive(Debug, Clone, Default)]
pub struct OutputSensitivities {
    dy_dx: Vec<f64>,
    dy_dp: Vec<f64>,
}

impl OutputSensitivities {
    /// Buffers for a system.
    pub fn new(system: &dyn System) -> Self {
        let (by_states, by_params) = system.output_patterns();
        OutputSensitivities { dy_dx: vec![0.0; by_states.nnz()], dy_dp: vec![0.0; by_params.nnz()] }
    }

    /// `dy: n_outputs × n_directions`, column major, at a sample of a solve with the same `directions`.
    pub fn evaluate(
        &mut self,
        system: &dyn System,
        work: &mut Work,
        sample: &super::Sample<'_>,
        directions: &[super::Direction],
        dy: &mut [f64],
    ) {
        let (by_states, by_params) = system.output_patterns();
        let (n, n_outputs) = (by_states.n_cols(), by_states.n_rows());
        system.output_jacobians(sample.at, work, &mut self.dy_dx, &mut self.dy_dp);
        dy.fill(0.0);
        for (j, direction) in directions.iter().enumerate() {
            let column = &mut dy[j * n_outputs..(j + 1) * n_outputs];
            by_states.mul_add(&self.dy_dx, &sample.sensitivities[j * n..(j + 1) * n], column);
            for &(param_idx, share) in &direction.params {
                for (row, k) in by_params.column(param_idx) {
                    column[row] += self.dy_dp[k] * share;
                }
            }
        }
    }
}
