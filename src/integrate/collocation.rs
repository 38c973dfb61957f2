//! Implicit methods of the grid: collocation at the Radau points, that is implicit Euler and Radau IIA of orders 3 and 5.
//!
//! Hairer and Wanner 1996, Solving Ordinary Differential Equations II, sections IV.5 (the tables) and IV.8 (Newton's
//! iteration in `Z_i = x_i - x`, which keeps the digits of small increments). With `Z = h (A ⊗ I) F(Z)` the unknowns of a
//! step solve
//!
//! `(A^-1/h ⊗ I) Z = F(Z)`, `F_i = f(t + c_i h, x + Z_i)`, and the solution is `x + Z_s`.
//!
//! The matrix of the linear equations is sparse where the Jacobian is, with the stages of a state side by side, and
//! goes through the same factorisations as those of the other methods. Factors of one Jacobian serve while the
//! iteration converges fast on them; then each stage gets its own, which is Newton's method proper. Sensitivities solve
//! the differentiated equations, which are linear, with the Jacobians at the stages: they are the derivatives of the
//! computed step. Between grid instants the solution is the polynomial through the stages.

use super::controller::Norm;
use super::field::Field;
use super::problem::Status;
use crate::linalg::{CscPattern, ShiftedLu};

/// Most stages of a table.
const MOST_STAGES: usize = 3;
/// The iteration ends where what is left of it is below this share of each state, ...
const ENOUGH: f64 = 1e-11;
/// ... and has failed after this many rounds.
const MOST_ITERATIONS: u32 = 60;
/// Increments that shrink by less than this factor call for Jacobians at the stages.
const SLOW: f64 = 0.1;
/// So does a first increment above this share of a state: from far away the Jacobian of the start may lead to another
/// solution.
const FAR: f64 = 1e-3;
/// Increments below this share that do not shrink any more are rounding.
const ROUNDING: f64 = 1e-9;

/// A method's coefficients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// Where the stages lie in the step; the last at its end.
    c: &'static [f64],
    /// The inverse of A, by rows.
    inverse: &'static [&'static [f64]],
}

/// Implicit Euler.
pub(super) const IMPLICIT_EULER: Table = Table { c: &[1.0], inverse: &[&[1.0]] };

/// Radau IIA with two stages, of order 3.
pub(super) const RADAU3: Table = Table { c: &[1.0 / 3.0, 1.0], inverse: &[&[1.5, 0.5], &[-4.5, 2.5]] };

/// Radau IIA with three stages, of order 5.
pub(super) const RADAU5: Table = Table {
    c: &[0.1550510257216822, 0.6449489742783178, 1.0],
    inverse: &[
        &[3.224744871391589, 1.1678400846904056, -0.25319726474218085],
        &[-3.5678400846904057, 0.775255128608411, 1.0531972647421808],
        &[5.531972647421808, -7.531972647421808, 5.0],
    ],
};

/// A table with the stages of the present step.
pub(super) struct Collocation {
    table: Table,
    n: usize,
    lu: ShiftedLu,
    /// For stage k and nonzero j of the Jacobian the place `k nnz + j` in the matrix.
    jac_at: Vec<usize>,
    /// For state i the places of its `stages × stages` block, row by row.
    block_at: Vec<usize>,
    matrix: Vec<f64>,
    /// The Jacobians at the stages, and those by parameters where there are sensitivities.
    jac: Vec<f64>,
    par: Vec<f64>,
    /// `Z`, the stages of a state side by side; with sensitivities behind it, `stages` rows for each of theirs.
    z: Vec<f64>,
    residual: Vec<f64>,
    rows: Vec<f64>,
    point: Vec<f64>,
    slope: Vec<f64>,
    size: Vec<f64>,
}

impl Collocation {
    pub fn new(table: Table, field: &Field<'_>) -> Self {
        let (n, stages) = (field.n, table.c.len());
        let pattern = field.system.jacobian_pattern();
        let at = |state: usize, stage: usize| state * stages + stage;
        let of_jacobian = (0..n).flat_map(|col| pattern.column(col).map(move |(row, _)| (row, col)));
        let of_jacobian = of_jacobian.flat_map(|(row, col)| (0..stages).map(move |k| (at(row, k), at(col, k))));
        let pairs = |i: usize| (0..stages * stages).map(move |p| (at(i, p / stages), at(i, p % stages)));
        let whole = CscPattern::from_entries(n * stages, n * stages, of_jacobian.chain((0..n).flat_map(pairs)));
        // Every place is in the pattern, which was made of them.
        let place = |row: usize, col: usize| whole.position(row, col).unwrap_or_default();
        let mut jac_at = Vec::with_capacity(stages * pattern.nnz());
        for k in 0..stages {
            for col in 0..n {
                jac_at.extend(pattern.column(col).map(|(row, _)| place(at(row, k), at(col, k))));
            }
        }
        let block_at = (0..n).flat_map(pairs).map(|(row, col)| place(row, col)).collect();
        Collocation {
            table,
            n,
            lu: ShiftedLu::new(&whole),
            jac_at,
            block_at,
            matrix: vec![0.0; whole.nnz()],
            jac: vec![0.0; stages * pattern.nnz()],
            par: vec![0.0; stages * field.system.parameter_pattern().nnz()],
            z: Vec::new(),
            residual: vec![0.0; n * stages],
            rows: Vec::new(),
            point: vec![0.0; n],
            slope: vec![0.0; n],
            size: vec![0.0; n],
        }
    }

    /// Sizes the buffers for augmented states of length `len`, and takes the sizes of states from the tolerances.
    pub fn start(&mut self, norm: &Norm, len: usize) {
        self.z.resize(len * self.table.c.len(), 0.0);
        self.rows.resize(len - self.n, 0.0);
        for (size, atol) in self.size.iter_mut().zip(&norm.atol) {
            *size = if norm.rtol > 0.0 { atol / norm.rtol } else { 1.0 };
        }
    }

    /// Computes `z_new` at `t + h`.
    ///
    /// # Errors
    /// [`Status::NonFinite`] where the derivative at the start is not finite, [`Status::NoConvergence`] where the
    /// equations of the step are not solved.
    pub fn attempt(
        &mut self,
        field: &mut Field<'_>,
        (t, h): (f64, f64),
        z: &[f64],
        z_new: &mut [f64],
    ) -> Result<(), Status> {
        let (n, stages) = (self.n, self.table.c.len());
        field.rhs(t, z, &mut self.slope);
        if let Some(state) = self.slope.iter().position(|v| !v.is_finite()) {
            return Err(Status::NonFinite { t, state });
        }
        field.statistics.implicit_steps += 1;
        self.z[..n * stages].fill(0.0);
        self.iterate(field, (t, h), z)?;
        if field.m > 0 {
            self.sensitivities(field, (t, h), z)?;
        }
        for (i, (new, old)) in z_new.iter_mut().zip(z).enumerate().take(n) {
            *new = old + self.z[i * stages + stages - 1];
        }
        let m = field.m;
        for i in 0..n * m {
            let (state, direction) = (i / m, i % m);
            z_new[n + i] = z[n + i] + self.z[n * stages + (state * stages + stages - 1) * m + direction];
        }
        Ok(())
    }

    /// Solves for the stages of the state.
    fn iterate(&mut self, field: &mut Field<'_>, (t, h): (f64, f64), x: &[f64]) -> Result<(), Status> {
        let (n, stages) = (self.n, self.table.c.len());
        // The Jacobian of the start serves all stages at first.
        let nnz = field.system.jacobian_pattern().nnz();
        field.state_jacobian(t, x, &mut self.jac[..nnz]);
        for k in 1..stages {
            self.jac.copy_within(..nnz, k * nnz);
        }
        let mut is_regular = self.factorize(field, h);
        let (mut before, mut state) = (f64::INFINITY, 0);
        let mut is_own = false;
        for iteration in 0..MOST_ITERATIONS {
            self.residual(field, (t, h), x);
            let (mut size, mut worst) = (0.0_f64, 0.0);
            if is_regular {
                self.lu.solve(&mut self.residual);
                field.statistics.solves += 1;
            }
            let rows = self.z.chunks_exact_mut(stages).zip(self.residual.chunks_exact(stages));
            for (i, ((own, changes), x)) in rows.zip(x).enumerate().take(n) {
                let scale = 1.0 / (self.size[i] + x.abs());
                for (z, change) in own.iter_mut().zip(changes) {
                    *z += change;
                    let share = change.abs() * scale;
                    if share > worst || share.is_nan() {
                        (worst, state) = (share, i);
                    }
                    size = if share.is_nan() { f64::NAN } else { size.max(share) };
                }
            }
            if !is_regular || !size.is_finite() {
                break;
            }
            let rate = if iteration == 0 { 1.0 } else { size / before };
            if size * rate.min(1.0) <= ENOUGH || size <= ROUNDING && rate > 0.5 {
                return Ok(());
            }
            let is_slow = if iteration == 0 { size > FAR } else { rate > SLOW };
            if is_slow || is_own {
                self.stage_jacobians(field, (t, h), x);
                is_regular = self.factorize(field, h);
                is_own = true;
            }
            before = size;
        }
        Err(Status::NoConvergence { t, state })
    }

    /// The point of stage `k` into `point`.
    fn stage(&mut self, k: usize, x: &[f64]) {
        let stages = self.table.c.len();
        for (i, (point, x)) in self.point.iter_mut().zip(x).enumerate() {
            *point = x + self.z[i * stages + k];
        }
    }

    /// `F(Z) - (A^-1/h ⊗ I) Z`
    fn residual(&mut self, field: &mut Field<'_>, (t, h): (f64, f64), x: &[f64]) {
        let stages = self.table.c.len();
        for k in 0..stages {
            self.stage(k, x);
            field.rhs(t + self.table.c[k] * h, &self.point, &mut self.slope);
            for (i, slope) in self.slope.iter().enumerate() {
                let own = &self.z[i * stages..(i + 1) * stages];
                let sum: f64 = self.table.inverse[k].iter().zip(own).map(|(weight, z)| weight * z).sum();
                self.residual[i * stages + k] = slope - sum / h;
            }
        }
    }

    /// The Jacobians at the stages.
    fn stage_jacobians(&mut self, field: &mut Field<'_>, (t, h): (f64, f64), x: &[f64]) {
        let nnz = field.system.jacobian_pattern().nnz();
        for k in 0..self.table.c.len() {
            self.stage(k, x);
            let time = t + self.table.c[k] * h;
            field.state_jacobian(time, &self.point, &mut self.jac[k * nnz..(k + 1) * nnz]);
        }
    }

    /// Factorises `A^-1/h ⊗ I - diag(J_k)`. Returns false where it is singular.
    fn factorize(&mut self, field: &mut Field<'_>, h: f64) -> bool {
        let stages = self.table.c.len();
        self.matrix.fill(0.0);
        for (value, place) in self.jac.iter().zip(&self.jac_at) {
            self.matrix[*place] += value;
        }
        // The factorisation takes the last diagonal as the shift; the difference to it belongs to the matrix.
        let shift = self.table.inverse[stages - 1][stages - 1];
        for places in self.block_at.chunks_exact(stages * stages) {
            for (p, place) in places.iter().enumerate() {
                let (k, l) = (p / stages, p % stages);
                let own = if k == l { shift } else { 0.0 };
                self.matrix[*place] -= (self.table.inverse[k][l] - own) / h;
            }
        }
        field.statistics.factorizations += 1;
        self.matrix.iter().all(|v| v.is_finite()) && self.lu.factorize(shift / h, &self.matrix).is_ok()
    }

    /// Solves `(A^-1/h ⊗ I - diag(J_k)) S = J_k s + f_p q` for all directions.
    fn sensitivities(&mut self, field: &mut Field<'_>, (t, h): (f64, f64), z: &[f64]) -> Result<(), Status> {
        let (n, m, stages) = (self.n, field.m, self.table.c.len());
        let (nnz, nnz_par) = (field.system.jacobian_pattern().nnz(), field.system.parameter_pattern().nnz());
        let (x, s) = z.split_at(n);
        for k in 0..stages {
            self.stage(k, x);
            let time = t + self.table.c[k] * h;
            let jac = &mut self.jac[k * nnz..(k + 1) * nnz];
            let par = &mut self.par[k * nnz_par..(k + 1) * nnz_par];
            field.jacobians(time, &self.point, jac, par);
            self.rows.fill(0.0);
            field.add_linear(jac, par, 1.0, s, &mut self.rows);
            let out = &mut self.z[n * stages..];
            for i in 0..n {
                let place = (i * stages + k) * m;
                out[place..place + m].copy_from_slice(&self.rows[i * m..(i + 1) * m]);
            }
        }
        if !self.factorize(field, h) {
            return Err(Status::NoConvergence { t, state: 0 });
        }
        self.lu.solve_rows(&mut self.z[n * stages..], m);
        field.statistics.solves += m as u64;
        Ok(())
    }

    /// `out` = the first `out.len()` components at `t + theta h` in the step just made from `z`: the polynomial through
    /// the start and the stages.
    pub fn interpolate(&self, theta: f64, z: &[f64], out: &mut [f64]) {
        let (n, c) = (self.n, self.table.c);
        let stages = c.len();
        let m = self.rows.len() / n.max(1);
        let mut weights = [0.0; MOST_STAGES];
        for (k, weight) in weights.iter_mut().enumerate().take(stages) {
            *weight = theta / c[k];
            for l in (0..stages).filter(|&l| l != k) {
                *weight *= (theta - c[l]) / (c[k] - c[l]);
            }
        }
        for (i, (out, z)) in out.iter_mut().zip(z).enumerate() {
            let (first, stride) = if i < n {
                (i * stages, 1)
            } else {
                let (state, direction) = ((i - n) / m, (i - n) % m);
                (n * stages + state * stages * m + direction, m)
            };
            *out = z + weights[..stages].iter().enumerate().map(|(k, w)| w * self.z[first + k * stride]).sum::<f64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tsit5::tests::{row, table};
    use super::*;

    #[test]
    fn the_coefficients_are_the_published_ones() {
        for (name, ours, key) in [("radau3", RADAU3, "A_inverse"), ("radau5", RADAU5, "A_inverse_decimal")] {
            let Some(published) = table(name) else { return };
            for (k, weights) in ours.inverse.iter().enumerate() {
                assert_eq!(*weights, row(&published[key][k]), "{name}");
            }
            let c = published.get("c_decimal").unwrap_or(&published["c"]);
            assert_eq!(ours.c, row(c), "{name}");
        }
    }

    /// The solution of x' = 1 by the formula: A^-1 c = 1.
    #[test]
    fn rows_times_the_stages_are_one() {
        for table in [IMPLICIT_EULER, RADAU3, RADAU5] {
            for weights in table.inverse {
                let sum: f64 = weights.iter().zip(table.c).map(|(a, c)| a * c).sum();
                assert!((sum - 1.0).abs() < 1e-14);
            }
        }
    }
}
