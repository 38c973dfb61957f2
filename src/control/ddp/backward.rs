//! The backward pass: a quadratic model of the cost to go, and the feedback that minimizes it within the input bounds.
//!
//! With `Q(δx, δu)` the second-order model of `l + V(F)`, regularised by μ as if the next state's deviation cost
//! `μ/2 |δx⁺|²` and the input's `μ/2 |δu|²` (Tassa, Erez and Todorov 2012, *Synthesis and stabilization of complex
//! behaviors through online trajectory optimization*, IROS, equation 10), the input is the minimum of a program in a box;
//! the rows of the gain are zero where it is held at a bound (Tassa, Mansard and Todorov 2014, section III.D).

use super::box_qp::BoxQp;

/// The model of one step: derivatives with respect to `z = (x, u)`, column major.
pub(super) struct Model<'a> {
    /// `n_states × n_vars`
    pub jacobian: &'a [f64],
    /// `n_vars`
    pub gradient: &'a [f64],
    /// `n_vars × n_vars`, with the curvature of the step where it counts.
    pub hessian: &'a [f64],
    /// `n_inputs`: room to the lower bounds, not positive.
    pub down: &'a [f64],
    /// `n_inputs`: room to the upper bounds, not negative.
    pub up: &'a [f64],
}

/// Value function and buffers of the pass.
#[derive(Debug, Clone)]
pub(super) struct Backward {
    n: usize,
    m: usize,
    /// `n_states`: V'
    pub slope: Vec<f64>,
    /// `n_states × n_states`: V''
    pub curvature: Vec<f64>,
    /// `n_states × n_vars`: V'' J
    product: Vec<f64>,
    q: Vec<f64>,
    qq: Vec<f64>,
    regular: Vec<f64>,
    cross: Vec<f64>,
    column: Vec<f64>,
    box_qp: BoxQp,
}

/// Decrease of the model along the open-loop step: `α linear + α²/2 quadratic`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Promise {
    pub linear: f64,
    pub quadratic: f64,
}

impl Backward {
    pub(super) fn new(n: usize, m: usize) -> Self {
        let nv = n + m;
        Backward {
            n,
            m,
            slope: vec![0.0; n],
            curvature: vec![0.0; n * n],
            product: vec![0.0; n * nv],
            q: vec![0.0; nv],
            qq: vec![0.0; nv * nv],
            regular: vec![0.0; m * m],
            cross: vec![0.0; m * n],
            column: vec![0.0; m],
            box_qp: BoxQp::new(m),
        }
    }

    /// One step back: from the value function after the step to the one before it. Writes `gain: n_inputs × n_states`
    /// (column major) and `open: n_inputs`, which comes in as the guess. False where the model has no minimum.
    pub(super) fn step(
        &mut self,
        model: &Model<'_>,
        mu: f64,
        open: &mut [f64],
        gain: &mut [f64],
        promise: &mut Promise,
    ) -> bool {
        let (n, m) = (self.n, self.m);
        let nv = n + m;
        let j = model.jacobian;
        for c in 0..nv {
            let column = &j[n * c..n * (c + 1)];
            self.q[c] = model.gradient[c] + dot(column, &self.slope);
            let out = &mut self.product[n * c..n * (c + 1)];
            out.fill(0.0);
            for (k, &f) in column.iter().enumerate() {
                if f != 0.0 {
                    axpy(f, &self.curvature[n * k..n * (k + 1)], out);
                }
            }
        }
        for c in 0..nv {
            for r in c..nv {
                let v = model.hessian[r + nv * c] + dot(&j[n * r..n * (r + 1)], &self.product[n * c..n * (c + 1)]);
                self.qq[r + nv * c] = v;
                self.qq[c + nv * r] = v;
            }
        }
        for c in 0..m {
            let input = &j[n * (n + c)..n * (n + c + 1)];
            for r in 0..m {
                let extra = dot(&j[n * (n + r)..n * (n + r + 1)], input) + if r == c { 1.0 } else { 0.0 };
                self.regular[r + m * c] = self.qq[(n + r) + nv * (n + c)] + mu * extra;
            }
            for k in 0..n {
                self.cross[c + m * k] = self.qq[(n + c) + nv * k] + mu * dot(input, &j[n * k..n * (k + 1)]);
            }
        }
        self.box_qp.v.copy_from_slice(open);
        if !self.box_qp.solve(&self.regular, &self.q[n..], model.down, model.up) {
            return false;
        }
        open.copy_from_slice(&self.box_qp.v);
        gain.fill(0.0);
        for k in 0..n {
            for (at, &i) in self.box_qp.free_idx.iter().enumerate() {
                self.column[at] = -self.cross[i + m * k];
            }
            let n_free = self.box_qp.free_idx.len();
            self.box_qp.back_substitute(&mut self.column[..n_free]);
            for (at, &i) in self.box_qp.free_idx.iter().enumerate() {
                gain[i + m * k] = self.column[at];
            }
        }
        self.value(open, gain, promise);
        self.slope.iter().chain(&self.curvature).all(|v| v.is_finite())
    }

    /// The value function under `u = open + gain x`, with the true Q, not the regularised one.
    fn value(&mut self, open: &[f64], gain: &[f64], promise: &mut Promise) {
        let (n, m) = (self.n, self.m);
        let nv = n + m;
        // regular = Q_uu, and then column = Q_uu open + Q_u.
        for c in 0..m {
            for r in 0..m {
                self.regular[r + m * c] = self.qq[(n + r) + nv * (n + c)];
            }
        }
        self.column.fill(0.0);
        for (c, &o) in open.iter().enumerate() {
            axpy(o, &self.regular[m * c..m * (c + 1)], &mut self.column);
        }
        promise.linear += dot(open, &self.q[n..]);
        promise.quadratic += dot(open, &self.column);
        axpy(1.0, &self.q[n..], &mut self.column);
        for k in 0..n {
            // gradient: Q_x + K'(Q_uu k + Q_u) + Q_xu k
            self.slope[k] = self.q[k]
                + dot(&gain[m * k..m * (k + 1)], &self.column)
                + dot(&self.qq[nv * k + n..nv * (k + 1)], open);
        }
        // cross = Q_uu K + Q_ux, V'' = Q_xx + K' cross + Q_xu K
        for k in 0..n {
            let out = &mut self.cross[m * k..m * (k + 1)];
            out.copy_from_slice(&self.qq[nv * k + n..nv * (k + 1)]);
            for c in 0..m {
                axpy(gain[c + m * k], &self.regular[m * c..m * (c + 1)], out);
            }
        }
        for c in 0..n {
            for r in c..n {
                let v = self.qq[r + nv * c]
                    + dot(&gain[m * r..m * (r + 1)], &self.cross[m * c..m * (c + 1)])
                    + dot(&self.qq[nv * r + n..nv * (r + 1)], &gain[m * c..m * (c + 1)]);
                self.curvature[r + n * c] = v;
                self.curvature[c + n * r] = v;
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}
