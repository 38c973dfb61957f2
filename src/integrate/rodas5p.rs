//! Rodas5P, a stiffly accurate L-stable Rosenbrock method of order 5(4), for the state and its sensitivities at once.
//!
//! G. Steinebach 2023, Construction of Rosenbrock–Wanner method Rodas5P and numerical benchmarks within the Julia
//! Differential Equations package, BIT Numer. Math. 63:27 (the coefficients and the dense output), in the transformed
//! form of Hairer and Wanner 1996, Solving Ordinary Differential Equations II, section IV.7:
//!
//! `W U_i = f(t + c_i h, x_i) + Σ_{j<i} C_ij/h U_j + h d_i f_t`, `W = I/(h γ) - J`, `x_i = x + Σ_{j<i} A_ij U_j`.
//!
//! Sensitivities follow from the same formula on the augmented system `z = (x, s)`, `s' = J s + f_p q`, whose Jacobian
//! is block lower triangular: J on the diagonal and `G(s) = ∂(J s + f_p q)/∂x` below. One factorisation serves all
//! blocks, and the coupling moves to the right-hand side of each stage:
//!
//! `W V_i = J(t_i, x_i) s_i + f_p(t_i, x_i) q + Σ C_ij/h V_j + (D J) s + (D f_p) q`,
//!
//! where D is the derivative along `(U_i, h d_i)` in (x, t) at the step's start and is formed once for all directions.
//! Leaving it out keeps the sensitivities convergent, but of low order.

use super::field::Field;
use super::lanes::{Lanes, WIDTH, ZERO, combine, combine_twice, continue_twice, n_groups};
use super::problem::Status;
use crate::linalg::{ShiftedLu, Singular};

/// Number of stages.
pub(super) const STAGES: usize = 8;
pub(super) const GAMMA: f64 = 0.21193756319429014;
pub(super) const A: [&[f64]; STAGES] = [
    &[],
    &[3.0],
    &[2.849394379747939, 0.45842242204463923],
    &[-6.954028509809101, 2.489845061869568, -10.358996098473584],
    &[2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641],
    &[-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946],
    &[-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946, 1.0],
    &[-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946, 1.0, 1.0],
];
pub(super) const C: [&[f64]; STAGES] = [
    &[],
    &[-14.155112264123755],
    &[-17.97296035885952, -2.859693295451294],
    &[147.12150275711716, -1.41221402718213, 71.68940251302358],
    &[165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306],
    &[24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471],
    &[
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ],
    &[
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ],
];
pub(super) const TIMES: [f64; STAGES] =
    [0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0];
pub(super) const D: [f64; STAGES] = [
    0.21193756319429014,
    -0.42387512638858027,
    -0.3384627126235924,
    1.8046452872882734,
    2.325825639765069,
    0.0,
    0.0,
    0.0,
];
pub(super) const H: [[f64; STAGES]; 3] = [
    [
        25.948786856663858,
        -2.5579724845846235,
        10.433815404888879,
        -2.3679251022685204,
        0.524948541321073,
        1.1241088310450404,
        0.4272876194431874,
        -0.17202221070155493,
    ],
    [
        -9.91568850695171,
        -0.9689944594115154,
        3.0438037242978453,
        -24.495224566215796,
        20.176138334709044,
        15.98066361424651,
        -6.789040303419874,
        -6.710236069923372,
    ],
    [
        11.419903575922262,
        2.8879645146136994,
        72.92137995996029,
        80.12511834622643,
        -52.072871366152654,
        -59.78993625266729,
        -0.15582684282751913,
        4.883087185713722,
    ],
];

/// Why a step could not be made.
pub(super) enum Failure {
    /// No shorter step helps.
    Final(Status),
    /// W is singular for this step.
    Singular,
}

impl From<Singular> for Failure {
    fn from(_: Singular) -> Self {
        Failure::Singular
    }
}

/// The method with the stages of the present step.
pub(super) struct Rodas5p {
    len: usize,
    /// `STAGES` padded vectors.
    u: Vec<Lanes>,
    /// The three polynomial corrections of the dense output, padded vectors.
    dense: Vec<Lanes>,
    has_dense: bool,
    point: Vec<Lanes>,
    /// `Σ C_ij/h U_j` of a stage.
    shift: Vec<Lanes>,
    /// The field at the step's start.
    f0: Vec<f64>,
    f_t: Vec<f64>,
    jac: Vec<f64>,
    par: Vec<f64>,
    along_jac: Vec<f64>,
    along_par: Vec<f64>,
    forcing_jac: Vec<f64>,
    forcing_par: Vec<f64>,
    /// True where `f0`, `f_t` and `jac` are those of the point the next step starts from.
    has_first: bool,
    has_f_t: bool,
}

impl Rodas5p {
    pub fn new(field: &Field<'_>) -> Self {
        let pattern = field.system.jacobian_pattern();
        let (n, nnz, nnz_par) = (field.n, pattern.nnz(), field.system.parameter_pattern().nnz());
        Rodas5p {
            len: 0,
            u: Vec::new(),
            dense: Vec::new(),
            has_dense: false,
            point: Vec::new(),
            shift: Vec::new(),
            f0: Vec::new(),
            f_t: vec![0.0; n],
            jac: vec![0.0; nnz],
            par: vec![0.0; nnz_par],
            along_jac: vec![0.0; nnz],
            along_par: vec![0.0; nnz_par],
            forcing_jac: vec![0.0; nnz],
            forcing_par: vec![0.0; nnz_par],
            has_first: false,
            has_f_t: false,
        }
    }

    /// Sizes the buffers for augmented states of length `len`.
    pub fn resize(&mut self, len: usize) {
        self.len = len;
        let n_groups = n_groups(len);
        let sizes = [(&mut self.u, STAGES), (&mut self.dense, 3), (&mut self.point, 1), (&mut self.shift, 1)];
        for (buffer, count) in sizes {
            buffer.clear();
            buffer.resize(count * n_groups, ZERO);
        }
        self.f0.resize(len, 0.0);
        self.restart();
    }

    /// Forgets what was evaluated at the step's start.
    pub fn restart(&mut self) {
        self.has_first = false;
    }

    /// A bound of the spectral radius of the Jacobian at the start of the step just made.
    pub fn radius(&self, field: &Field<'_>) -> f64 {
        field.system.jacobian_pattern().column_norm(&self.jac)
    }

    fn prepare(&mut self, field: &mut Field<'_>, t: f64, z: &[f64]) -> Result<(), Failure> {
        field.rhs(t, z, &mut self.f0);
        if let Some(state) = self.f0[..field.n].iter().position(|v| !v.is_finite()) {
            return Err(Failure::Final(Status::NonFinite { t, state }));
        }
        field.jacobians(t, z, &mut self.jac, &mut self.par);
        if let Some(k) = self.jac.iter().position(|v| !v.is_finite()) {
            let state = field.system.jacobian_pattern().row_idx()[k];
            return Err(Failure::Final(Status::NonFinite { t, state }));
        }
        self.has_f_t = field.time_derivative(t, z, &mut self.f_t);
        if field.m > 0 {
            let ds = &mut self.f0[field.n..];
            ds.fill(0.0);
            field.add_linear(&self.jac, &self.par, 1.0, &z[field.n..], ds);
            if field.segment.is_sloped {
                field.forcing_derivative(t, z, &mut self.forcing_jac, &mut self.forcing_par);
            }
        }
        self.has_first = true;
        Ok(())
    }

    /// Computes `z_new` at `t + h` and the estimate of its error.
    pub fn attempt(
        &mut self,
        lu: &mut ShiftedLu,
        field: &mut Field<'_>,
        (t, h): (f64, f64),
        z: &[f64],
        z_new: &mut [f64],
        error: &mut [f64],
    ) -> Result<(), Failure> {
        let (n, len) = (field.n, self.len);
        if !self.has_first {
            self.prepare(field, t, z)?;
        }
        self.has_dense = false;
        lu.factorize(1.0 / (h * GAMMA), &self.jac)?;
        field.statistics.factorizations += 1;
        let size = self.point.len();
        for i in 0..STAGES {
            let (done, rest) = self.u.split_at_mut(i * size);
            let row = &mut rest[..size];
            if i == 0 {
                row.as_flattened_mut()[..len].copy_from_slice(&self.f0);
            } else {
                let mut c = [0.0; STAGES];
                c.iter_mut().zip(C[i]).for_each(|(c, weight)| *c = weight / h);
                // The last rows of A are the row before with a one: each stage's point adds the last increment.
                if i >= 6 {
                    continue_twice(&mut self.point, &mut self.shift, &c[..i], done);
                } else {
                    combine_twice(&mut self.point, &mut self.shift, z, A[i], &c[..i], done);
                }
                let stage = &mut row.as_flattened_mut()[..len];
                field.augmented(t + TIMES[i] * h, &self.point.as_flattened()[..len], stage);
                for (row, shift) in row.iter_mut().zip(&self.shift) {
                    for (value, shift) in row.iter_mut().zip(shift) {
                        *value += shift;
                    }
                }
            }
            let stage = &mut row.as_flattened_mut()[..len];
            let dt = h * D[i];
            let (x_part, s_part) = stage.split_at_mut(n);
            if self.has_f_t && dt != 0.0 {
                x_part.iter_mut().zip(&self.f_t).for_each(|(value, slope)| *value += dt * slope);
            }
            lu.solve(x_part);
            field.statistics.solves += 1;
            if field.m > 0 {
                field.jacobian_along(t, z, x_part, dt, &mut self.along_jac, &mut self.along_par);
                field.add_linear(&self.along_jac, &self.along_par, 1.0, &z[n..], s_part);
                if field.segment.is_sloped && dt != 0.0 {
                    field.add_linear(&self.forcing_jac, &self.forcing_par, dt, &z[n..], s_part);
                }
                lu.solve_rows(s_part, field.m);
                field.statistics.solves += field.m as u64;
            }
        }
        let last = &self.u[(STAGES - 1) * size..].as_flattened()[..len];
        for ((value, point), increment) in z_new.iter_mut().zip(self.point.as_flattened()).zip(last) {
            *value = point + increment;
        }
        error.copy_from_slice(last);
        Ok(())
    }

    fn make_dense(&mut self) {
        if self.has_dense {
            return;
        }
        let size = self.point.len();
        for (weights, sum) in H.iter().zip(self.dense.chunks_exact_mut(size.max(1))) {
            combine(sum.as_flattened_mut(), &[], weights, &self.u, size);
        }
        self.has_dense = true;
    }

    /// The dense output of the step from `z` to `z_new`, as coefficients of the powers 1 to 4 of `s` in `y(t + h + s h)`
    /// for component `i`. With `θ = 1 + s` it is `-s z + θ z_new - s θ (k_0 + θ k_1 + θ² k_2)`.
    pub fn polynomial(&mut self, z: &[f64], z_new: &[f64]) -> impl Fn(usize) -> [f64; 4] {
        self.make_dense();
        let (size, dense) = (self.point.len() * WIDTH, self.dense.as_flattened());
        move |i| {
            let k = [dense[i], dense[size + i], dense[2 * size + i]];
            let (a, b, c) = (k[0] + k[1] + k[2], k[1] + 2.0 * k[2], k[2]);
            [z_new[i] - z[i] - a, -a - b, -b - c, -c]
        }
    }

    /// `out` = the first `out.len()` components at `t + theta h`, between `z` and `z_new`.
    pub fn interpolate(&mut self, theta: f64, z: &[f64], z_new: &[f64], out: &mut [f64]) {
        self.make_dense();
        let (size, dense) = (self.point.len() * WIDTH, self.dense.as_flattened());
        let rest = 1.0 - theta;
        for (i, value) in out.iter_mut().enumerate() {
            let k = [dense[i], dense[size + i], dense[2 * size + i]];
            *value = rest * z[i] + theta * (z_new[i] + rest * (k[0] + theta * (k[1] + theta * k[2])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tsit5::tests::{number, row, table};
    use super::*;

    #[test]
    fn the_coefficients_are_the_published_ones() {
        let Some(published) = table("rodas5p") else { return };
        assert_eq!(GAMMA, number(&published["gamma"]));
        assert_eq!(TIMES.to_vec(), row(&published["c"]));
        assert_eq!(D.to_vec(), row(&published["d"]));
        for i in 0..STAGES {
            assert_eq!(A[i], &row(&published["A"][i])[..i]);
            assert_eq!(C[i], &row(&published["C"][i])[..i]);
        }
        for (weights, published) in H.iter().zip(published["H"].as_array().expect("rows")) {
            assert_eq!(weights.to_vec(), row(published));
        }
        // The step uses these two: the last stage's point plus its increment is the solution, and the increment the error.
        let mut solution = A[STAGES - 1].to_vec();
        solution.push(1.0);
        assert_eq!(solution, row(&published["m"]));
        assert_eq!(row(&published["e"]), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
