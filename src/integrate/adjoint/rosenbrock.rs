//! A step of Rodas5P taken back.
//!
//! With the stages `W U_i = f(X_i) + Σ_{j<i} C_ij/h U_j + h d_i f_t`, `X_i = x + Σ_{j<i} A_ij U_j` (see
//! [`crate::integrate::rodas5p`]) and `v_i = W^-T ū_i`, where ū_i gathers what depends on U_i,
//!
//! `x̄ += J(X_i)^T v_i + (D_i J)^T v_i`, `p̄ += f_p(X_i)^T v_i + (D_i f_p)^T v_i`,
//! `ū_j += A_ij J(X_i)^T v_i + C_ij/h v_i`,
//!
//! where D_i is the derivative along `(U_i, h d_i)` in (x, t) at the step's start: the symmetry of second derivatives makes
//! the derivative of `v^T J(x) U` by x equal `(D J)^T v`, so that what forward sensitivities need is what the way back
//! needs, transposed.

use super::Reversed;
use crate::integrate::field::Field;
use crate::integrate::rodas5p::{A, C, D, GAMMA, H, STAGES, TIMES};
use crate::linalg::{CscPattern, ShiftedLu, Singular};

/// The stages of a step and what depends on them.
pub(super) struct Rosenbrock {
    n: usize,
    lu: ShiftedLu,
    /// `W^T`, factorised for itself: its pattern, and where its values are found among the Jacobian's.
    transposed: ShiftedLu,
    positions: Vec<usize>,
    turned: Vec<f64>,
    /// `STAGES × n`: the stages U_i, the points X_i, and ū_i.
    stages: Vec<f64>,
    points: Vec<f64>,
    bars: Vec<f64>,
    /// ∂f/∂x at the step's start.
    jac_start: Vec<f64>,
    jac: Vec<f64>,
    par: Vec<f64>,
    along_jac: Vec<f64>,
    along_par: Vec<f64>,
    forcing_jac: Vec<f64>,
    forcing_par: Vec<f64>,
    f_t: Vec<f64>,
    v: Vec<f64>,
    by_point: Vec<f64>,
}

impl Rosenbrock {
    pub fn new(field: &Field<'_>) -> Self {
        let pattern = field.system.jacobian_pattern();
        let (n, nnz, nnz_par) = (field.n, pattern.nnz(), field.system.parameter_pattern().nnz());
        let (turned_pattern, positions): (CscPattern, Vec<usize>) = pattern.transposed();
        Rosenbrock {
            n,
            lu: ShiftedLu::with_code(pattern, field.system.lu_code()),
            transposed: ShiftedLu::new(&turned_pattern),
            positions,
            turned: vec![0.0; nnz],
            stages: vec![0.0; STAGES * n],
            points: vec![0.0; STAGES * n],
            bars: vec![0.0; STAGES * n],
            jac_start: vec![0.0; nnz],
            jac: vec![0.0; nnz],
            par: vec![0.0; nnz_par],
            along_jac: vec![0.0; nnz],
            along_par: vec![0.0; nnz_par],
            forcing_jac: vec![0.0; nnz],
            forcing_par: vec![0.0; nnz_par],
            f_t: vec![0.0; n],
            v: vec![0.0; n],
            by_point: vec![0.0; n],
        }
    }
}

impl Reversed for Rosenbrock {
    fn stages(
        &mut self,
        field: &mut Field<'_>,
        (t, h): (f64, f64),
        _first: f64,
        x: &[f64],
        x_new: &mut [f64],
    ) -> Result<(), Singular> {
        let n = self.n;
        field.state_jacobian(t, x, &mut self.jac_start);
        let has_f_t = field.time_derivative(t, x, &mut self.f_t);
        self.lu.factorize(1.0 / (h * GAMMA), &self.jac_start)?;
        field.statistics.factorizations += 1;
        for i in 0..STAGES {
            let (done, rest) = self.stages.split_at_mut(i * n);
            let stage = &mut rest[..n];
            let point = &mut self.points[i * n..(i + 1) * n];
            point.copy_from_slice(x);
            add_stages(point, A[i], done);
            field.rhs(t + TIMES[i] * h, point, stage);
            // Added up for itself, as forward, so that a step that is made again ends in the same bits.
            self.v.fill(0.0);
            for (weight, stage) in C[i].iter().zip(done.chunks_exact(n.max(1))) {
                add(&mut self.v, weight / h, stage);
            }
            add(stage, 1.0, &self.v);
            if has_f_t && D[i] != 0.0 {
                stage.iter_mut().zip(&self.f_t).for_each(|(value, slope)| *value += h * D[i] * slope);
            }
            self.lu.solve(stage);
            field.statistics.solves += 1;
        }
        let last = (STAGES - 1) * n;
        for (k, value) in x_new.iter_mut().enumerate() {
            *value = self.points[last + k] + self.stages[last + k];
        }
        Ok(())
    }

    fn interpolate(&self, theta: f64, _h: f64, x: &[f64], x_new: &[f64], out: &mut [f64]) {
        let rest = 1.0 - theta;
        for (value, (x, x_new)) in out.iter_mut().zip(x.iter().zip(x_new)) {
            *value = rest * x + theta * x_new;
        }
        for (i, stage) in self.stages.chunks_exact(self.n.max(1)).enumerate() {
            let weight = dense_weight(i, theta);
            out.iter_mut().zip(stage).for_each(|(value, u)| *value += weight * u);
        }
    }

    fn begin(&mut self) {
        self.bars.fill(0.0);
    }

    fn seed(&mut self, theta: f64, _h: f64, g: &[f64], by_start: &mut [f64], by_end: &mut [f64]) {
        for (i, bar) in self.bars.chunks_exact_mut(self.n.max(1)).enumerate() {
            let weight = dense_weight(i, theta);
            bar.iter_mut().zip(g).for_each(|(value, g)| *value += weight * g);
        }
        by_start.iter_mut().zip(g).for_each(|(value, g)| *value += (1.0 - theta) * g);
        by_end.iter_mut().zip(g).for_each(|(value, g)| *value += theta * g);
    }

    fn back(
        &mut self,
        field: &mut Field<'_>,
        (t, h): (f64, f64),
        x: &[f64],
        by_end: &[f64],
        by_start: &mut [f64],
        by_params: &mut [f64],
    ) -> Result<(), Singular> {
        let n = self.n;
        let (states, params) = (field.system.jacobian_pattern(), field.system.parameter_pattern());
        self.turned.iter_mut().zip(&self.positions).for_each(|(value, &k)| *value = self.jac_start[k]);
        self.transposed.factorize(1.0 / (h * GAMMA), &self.turned)?;
        field.statistics.factorizations += 1;
        let is_sloped = field.segment.is_sloped;
        if is_sloped {
            field.forcing_derivative(t, x, &mut self.forcing_jac, &mut self.forcing_par);
        }
        add(by_start, 1.0, by_end);
        for (j, bar) in self.bars.chunks_exact_mut(n.max(1)).enumerate() {
            add(bar, if j + 1 == STAGES { 1.0 } else { A[STAGES - 1][j] }, by_end);
        }
        for i in (0..STAGES).rev() {
            let (before, rest) = self.bars.split_at_mut(i * n);
            self.v.copy_from_slice(&rest[..n]);
            self.transposed.solve(&mut self.v);
            field.statistics.solves += 1;

            let dt = h * D[i];
            field.jacobian_along(t, x, &self.stages[i * n..(i + 1) * n], dt, &mut self.along_jac, &mut self.along_par);
            if is_sloped && dt != 0.0 {
                add(&mut self.along_jac, dt, &self.forcing_jac);
                add(&mut self.along_par, dt, &self.forcing_par);
            }
            states.mul_transposed_add(&self.along_jac, &self.v, by_start);
            params.mul_transposed_add(&self.along_par, &self.v, by_params);

            let (time, point) = (t + TIMES[i] * h, &self.points[i * n..(i + 1) * n]);
            field.parameter_jacobian(time, point, &mut self.par);
            params.mul_transposed_add(&self.par, &self.v, by_params);
            let jac = if i == 0 {
                &self.jac_start
            } else {
                field.state_jacobian(time, point, &mut self.jac);
                &self.jac
            };
            self.by_point.fill(0.0);
            states.mul_transposed_add(jac, &self.v, &mut self.by_point);
            add(by_start, 1.0, &self.by_point);
            for (j, bar) in before.chunks_exact_mut(n.max(1)).enumerate() {
                let (a, c) = (A[i][j], C[i][j] / h);
                for (value, (by_point, v)) in bar.iter_mut().zip(self.by_point.iter().zip(&self.v)) {
                    *value += a * by_point + c * v;
                }
            }
        }
        Ok(())
    }
}

/// The weight of stage i in the dense output at `theta`, beside the two ends.
fn dense_weight(i: usize, theta: f64) -> f64 {
    theta * (1.0 - theta) * (H[0][i] + theta * (H[1][i] + theta * H[2][i]))
}

fn add(out: &mut [f64], weight: f64, other: &[f64]) {
    out.iter_mut().zip(other).for_each(|(value, o)| *value += weight * o);
}

fn add_stages(out: &mut [f64], weights: &[f64], stages: &[f64]) {
    for (weight, stage) in weights.iter().zip(stages.chunks_exact(out.len().max(1))) {
        add(out, *weight, stage);
    }
}
