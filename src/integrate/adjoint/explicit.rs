//! A step of an explicit Runge–Kutta method taken back.
//!
//! With the stages `k_i = f(X_i)`, `X_i = x + h Σ a_ij k_j` (see [`crate::integrate::explicit`]) and k̄_i gathering what
//! depends on k_i: `x̄ += J(X_i)^T k̄_i`, `p̄ += f_p(X_i)^T k̄_i`, `k̄_j += h a_ij J(X_i)^T k̄_i`.

use super::Reversed;
use crate::integrate::explicit::Tableau;
use crate::integrate::field::Field;
use crate::linalg::Singular;

/// The stages of a step and what depends on them.
pub(super) struct Explicit {
    table: Tableau,
    n: usize,
    /// `stages × n`: the stages k_i, the points X_i, and k̄_i.
    stages: Vec<f64>,
    points: Vec<f64>,
    bars: Vec<f64>,
    jac: Vec<f64>,
    par: Vec<f64>,
    by_point: Vec<f64>,
}

impl Explicit {
    pub fn new(field: &Field<'_>, table: Tableau) -> Self {
        let (n, len) = (field.n, field.n * table.a.len());
        Explicit {
            table,
            n,
            stages: vec![0.0; len],
            points: vec![0.0; len],
            bars: vec![0.0; len],
            jac: vec![0.0; field.system.jacobian_pattern().nnz()],
            par: vec![0.0; field.system.parameter_pattern().nnz()],
            by_point: vec![0.0; n],
        }
    }
}

impl Reversed for Explicit {
    fn stages(
        &mut self,
        field: &mut Field<'_>,
        (t, h): (f64, f64),
        first: f64,
        x: &[f64],
        x_new: &mut [f64],
    ) -> Result<(), Singular> {
        let n = self.n;
        let first = if self.table.is_first_same_as_last { first } else { t };
        for i in 0..self.table.a.len() {
            let (done, rest) = self.stages.split_at_mut(i * n);
            let point = &mut self.points[i * n..(i + 1) * n];
            combine(point, x, h, self.table.a[i], done);
            let time = if i == 0 { first } else { t + self.table.c[i] * h };
            field.rhs(time, point, &mut rest[..n]);
        }
        combine(x_new, x, h, self.table.b, &self.stages);
        Ok(())
    }

    fn interpolate(&self, theta: f64, h: f64, x: &[f64], _x_new: &[f64], out: &mut [f64]) {
        out.copy_from_slice(x);
        let weights = self.table.dense_weights(theta).map(|weight| h * weight);
        for (weight, stage) in weights.iter().zip(self.stages.chunks_exact(self.n.max(1))) {
            out.iter_mut().zip(stage).for_each(|(value, k)| *value += weight * k);
        }
    }

    fn begin(&mut self) {
        self.bars.fill(0.0);
    }

    fn seed(&mut self, theta: f64, h: f64, g: &[f64], by_start: &mut [f64], _by_end: &mut [f64]) {
        let weights = self.table.dense_weights(theta).map(|weight| h * weight);
        for (weight, bar) in weights.iter().zip(self.bars.chunks_exact_mut(self.n.max(1))) {
            bar.iter_mut().zip(g).for_each(|(value, g)| *value += weight * g);
        }
        by_start.iter_mut().zip(g).for_each(|(value, g)| *value += g);
    }

    fn back(
        &mut self,
        field: &mut Field<'_>,
        (t, h): (f64, f64),
        _x: &[f64],
        by_end: &[f64],
        by_start: &mut [f64],
        by_params: &mut [f64],
    ) -> Result<(), Singular> {
        let n = self.n;
        let (states, params) = (field.system.jacobian_pattern(), field.system.parameter_pattern());
        by_start.iter_mut().zip(by_end).for_each(|(value, end)| *value += end);
        for (weight, bar) in self.table.b.iter().zip(self.bars.chunks_exact_mut(n.max(1))) {
            bar.iter_mut().zip(by_end).for_each(|(value, end)| *value += h * weight * end);
        }
        for i in (0..self.table.a.len()).rev() {
            let (before, rest) = self.bars.split_at_mut(i * n);
            let bar = &rest[..n];
            // The last stage of Tsit5 and the last four of DOP853 matter to samples alone.
            if bar.iter().all(|value| *value == 0.0) {
                continue;
            }
            let (time, point) = (t + self.table.c[i] * h, &self.points[i * n..(i + 1) * n]);
            field.state_jacobian(time, point, &mut self.jac);
            field.parameter_jacobian(time, point, &mut self.par);
            params.mul_transposed_add(&self.par, bar, by_params);
            self.by_point.fill(0.0);
            states.mul_transposed_add(&self.jac, bar, &mut self.by_point);
            by_start.iter_mut().zip(&self.by_point).for_each(|(value, by_point)| *value += by_point);
            for (weight, bar) in self.table.a[i].iter().zip(before.chunks_exact_mut(n.max(1))) {
                bar.iter_mut().zip(&self.by_point).for_each(|(value, by_point)| *value += h * weight * by_point);
            }
        }
        Ok(())
    }
}

/// `out = x + h Σ weights_j k_j`
fn combine(out: &mut [f64], x: &[f64], h: f64, weights: &[f64], stages: &[f64]) {
    out.copy_from_slice(x);
    for (weight, stage) in weights.iter().zip(stages.chunks_exact(out.len().max(1))) {
        out.iter_mut().zip(stage).for_each(|(value, k)| *value += h * weight * k);
    }
}
