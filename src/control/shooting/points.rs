//! The points at which a step evaluates the right-hand side, with their derivatives in what the step begins with.
//!
//! Every method here computes its step from values `k_q = f(X_q, u)` at some points X_q. With
//! `S_q = ∂(X_q, u)/∂(x, u, h)` and the multiplier κ_q of k_q, the second derivatives of the whole step along a costate are
//! `Σ_q S_qᵀ (κ_qᵀ f'') S_q`, and where the step length h is free also `e_h gᵀ + g e_hᵀ` with `g = Σ_q (κ_q/h)ᵀ ∂k_q/∂z`,
//! since κ_q is proportional to h.

use super::product::{Congruence, Product, SparseRows, StageAdjoint, StageProduct, padded};
use crate::linalg::wide;
use crate::system::{At, System, Work};

/// One step: from `x` at `t` under `u` over `h`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<'a> {
    pub t: f64,
    pub h: f64,
    /// `n_states` of the system.
    pub x: &'a [f64],
    pub u: &'a [f64],
    pub d: &'a [f64],
    pub p: &'a [f64],
}

/// Sizes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub n_states: usize,
    pub n_inputs: usize,
    /// True where the derivative in the step length is wanted; it is the last column.
    pub has_length: bool,
}

impl Shape {
    /// Columns of derivatives: x, u and perhaps h.
    pub fn n_cols(&self) -> usize {
        self.n_states + self.n_inputs + usize::from(self.has_length)
    }

    /// Padded length of a row of derivatives.
    pub fn width(&self) -> usize {
        padded(self.n_cols())
    }

    /// The column of h.
    pub fn length_column(&self) -> Option<usize> {
        self.has_length.then_some(self.n_states + self.n_inputs)
    }

    /// A block of derivatives of (x, u): rows of x, then of u.
    fn block(&self) -> usize {
        (self.n_states + self.n_inputs) * self.width()
    }
}

/// The stage before one of the adjoint pass: its dκ, `next`, becomes `to_base · base + to_next · dμ` of this stage.
pub(super) struct Before<'a> {
    pub base: &'a [f64],
    pub next: &'a mut [f64],
    pub to_base: f64,
    pub to_next: f64,
}

/// The points of a step, one block more than there are points: the last is the end.
#[derive(Debug, Clone)]
pub(super) struct Points {
    pub shape: Shape,
    matrix: SparseRows,
    transposed: SparseRows,
    hessian: SparseRows,
    n_values: usize,
    /// `(n_points + 1) × n_states`
    x: Vec<f64>,
    /// k_q, `n_points × n_states`
    f: Vec<f64>,
    /// ∂f/∂(x, u) of each point.
    values: Vec<f64>,
    /// S_q, by rows; of the end the rows of x alone count.
    s: Vec<f64>,
    work: Work,
    hessian_values: Vec<f64>,
    product: Vec<f64>,
}

impl Points {
    /// Room for `n_points`; the first begins with the identity, and the rows of u never change.
    pub fn new(system: &dyn System, shape: Shape, n_points: usize) -> Points {
        let Shape { n_states, n_inputs, .. } = shape;
        let matrix = SparseRows::side_by_side(system.jacobian_pattern(), system.input_pattern());
        let n_values = system.jacobian_pattern().nnz() + system.input_pattern().nnz();
        let width = shape.width();
        let mut s = vec![0.0; (n_points + 1) * shape.block()];
        for block in s.chunks_exact_mut(shape.block().max(1)) {
            (n_states..n_states + n_inputs).for_each(|k| block[k * width + k] = 1.0);
        }
        (0..n_states).for_each(|k| s[k * width + k] = 1.0);
        Points {
            shape,
            transposed: matrix.transposed(n_states + n_inputs),
            matrix,
            hessian: SparseRows::default(),
            n_values,
            x: vec![0.0; (n_points + 1) * n_states],
            f: vec![0.0; n_points * n_states],
            values: vec![0.0; n_points * n_values],
            s,
            work: system.work(),
            hessian_values: Vec::new(),
            product: Vec::new(),
        }
    }

    /// The state at point q.
    #[inline(always)]
    pub fn x(&self, q: usize) -> &[f64] {
        &self.x[q * self.shape.n_states..][..self.shape.n_states]
    }

    /// The state at point q, to be written.
    #[inline(always)]
    pub fn x_mut(&mut self, q: usize) -> &mut [f64] {
        &mut self.x[q * self.shape.n_states..][..self.shape.n_states]
    }

    /// k_q
    #[inline(always)]
    pub fn f(&self, q: usize) -> &[f64] {
        &self.f[q * self.shape.n_states..][..self.shape.n_states]
    }

    /// ∂f/∂(x, u) at point q, by rows, and its values.
    pub fn jacobian(&self, q: usize) -> (&SparseRows, &[f64]) {
        (&self.matrix, &self.values[q * self.n_values..][..self.n_values])
    }

    /// ∂X_q/∂z, `n_states` rows of [`Shape::width`].
    #[inline(always)]
    pub fn rows(&self, q: usize) -> &[f64] {
        &self.s[q * self.shape.block()..][..self.shape.n_states * self.shape.width()]
    }

    /// [`Points::rows`], to be written.
    pub fn rows_mut(&mut self, q: usize) -> &mut [f64] {
        &mut self.s[q * self.shape.block()..][..self.shape.n_states * self.shape.width()]
    }

    /// Evaluates f alone at point q.
    #[inline(always)]
    pub fn evaluate(&mut self, system: &dyn System, edge: &Edge<'_>, t: f64, q: usize) {
        let n = self.shape.n_states;
        let at = At { t, x: &self.x[q * n..][..n], u: edge.u, d: edge.d, p: edge.p };
        system.rhs(at, &mut self.work, &mut self.f[q * n..][..n]);
    }

    /// Evaluates f and its derivatives at point q.
    #[inline(always)]
    pub fn linearize(&mut self, system: &dyn System, edge: &Edge<'_>, t: f64, q: usize) {
        let n = self.shape.n_states;
        let at = At { t, x: &self.x[q * n..][..n], u: edge.u, d: edge.d, p: edge.p };
        let values = &mut self.values[q * self.n_values..][..self.n_values];
        system.linearize(at, &mut self.work, &mut self.f[q * n..][..n], values);
    }

    /// One stage of an explicit method: `X_{q+1} = X_base + to_next k_q` unless it is the last, and `X_sum += to_sum k_q`,
    /// the sum beginning at q = base with `X_base`.
    #[inline(always)]
    pub fn advance_states(&mut self, q: usize, (base, sum): (usize, usize), to_next: Option<f64>, to_sum: f64) {
        let n = self.shape.n_states;
        let (before, after) = self.x.split_at_mut((q + 1) * n);
        let (between, at_sum) = after.split_at_mut((sum - q - 1) * n);
        let (start, k) = (&before[base * n..][..n], &self.f[q * n..][..n]);
        if let Some(factor) = to_next {
            between.iter_mut().zip(start).zip(k).for_each(|((next, x), k)| *next = x + factor * k);
        }
        let at_sum = &mut at_sum[..n];
        if q == base {
            at_sum.copy_from_slice(start);
        }
        at_sum.iter_mut().zip(k).for_each(|(sum, k)| *sum += to_sum * k);
    }

    /// Derivatives of one stage of an explicit method: `∂X_{q+1} = ∂X_base + to_next ∂k_q` unless it is the last, and
    /// `∂X_sum += to_sum ∂k_q`, the sum beginning at q = base with `∂X_base`. `per_length` is the derivative of the two
    /// factors by the step length, over the factor itself.
    #[inline(always)]
    pub fn advance_rows(
        &mut self,
        q: usize,
        (base, sum): (usize, usize),
        to_next: Option<f64>,
        to_sum: f64,
        per_length: f64,
    ) {
        let (block, width, n) = (self.shape.block(), self.shape.width(), self.shape.n_states);
        let (before, after) = self.s.split_at_mut((q + 1) * block);
        let (between, at_sum) = after.split_at_mut((sum - q - 1) * block);
        wide(StageProduct {
            matrix: &self.matrix,
            values: &self.values[q * self.n_values..][..self.n_values],
            width,
            s: &before[q * block..],
            base: &before[base * block..],
            next: between,
            to_next,
            sum: at_sum,
            to_sum,
            begins: q == base,
        });
        if let Some(column) = self.shape.length_column() {
            for (i, k) in self.f[q * n..][..n].iter().enumerate() {
                if let Some(factor) = to_next {
                    between[i * width + column] += factor * per_length * k;
                }
                at_sum[i * width + column] += to_sum * per_length * k;
            }
        }
    }

    /// Copies the state of one point to another.
    pub fn copy_state(&mut self, from: usize, to: usize) {
        let n = self.shape.n_states;
        self.x.copy_within(from * n..(from + 1) * n, to * n);
    }

    /// The end is k_0, with its derivatives.
    pub fn end_at_map(&mut self) {
        let (block, width, n) = (self.shape.block(), self.shape.width(), self.shape.n_states);
        self.x[n..].copy_from_slice(&self.f);
        let (first, end) = self.s.split_at_mut(block);
        let out = &mut end[..self.shape.n_states * width];
        wide(Product { matrix: &self.matrix, values: &self.values[..self.n_values], width, s: first, out });
    }

    /// `mu = f_xᵀ kappa` at point q, added to `sum`.
    pub fn pull_back(&self, q: usize, kappa: &[f64], mu: &mut [f64], sum: &mut [f64]) {
        let (matrix, values) = self.jacobian(q);
        mu.fill(0.0);
        matrix.mul_transposed_add(values, kappa, mu);
        sum.iter_mut().zip(mu).for_each(|(sum, mu)| *sum += *mu);
    }

    /// Takes room for second derivatives; false where they are not known.
    fn takes_curvature(&mut self, system: &dyn System) -> bool {
        let Some(pattern) = system.curvature_pattern() else { return false };
        if self.hessian.n_rows() == 0 {
            self.hessian = SparseRows::symmetric(pattern);
            self.hessian_values.resize(pattern.nnz(), 0.0);
            self.product.resize(self.shape.block(), 0.0);
        }
        true
    }

    /// The derivatives of one stage of the adjoint pass of an explicit method. With `kappa` and its derivative `dkappa`
    /// (rows of x), adds that of `∂f/∂(x, u)ᵀ kappa` to `sum` (rows of x and u), and gives its rows of x to the stage before.
    pub fn pull_back_rows(
        &mut self,
        system: &dyn System,
        edge: &Edge<'_>,
        (t, q): (f64, usize),
        (kappa, dkappa): (&[f64], &[f64]),
        before: Before<'_>,
        sum: &mut [f64],
    ) {
        if !self.takes_curvature(system) {
            return;
        }
        let (n, block, width) = (self.shape.n_states, self.shape.block(), self.shape.width());
        let at = At { t, x: &self.x[q * n..][..n], u: edge.u, d: edge.d, p: edge.p };
        if !self.hessian_values.is_empty() {
            system.curvature(at, kappa, &mut self.work, &mut self.hessian_values);
        }
        wide(StageAdjoint {
            transposed: &self.transposed,
            values: &self.values[q * self.n_values..][..self.n_values],
            hessian: &self.hessian,
            hessian_values: &self.hessian_values,
            width,
            s: &self.s[q * block..][..block],
            kappa: dkappa,
            base: before.base,
            next: before.next,
            to_base: before.to_base,
            to_next: before.to_next,
            sum,
        });
    }

    /// The derivative of `kappaᵀ k_q` by the step length through the point alone.
    pub fn slope_along_length(&self, q: usize, kappa: &[f64]) -> f64 {
        let Some(column) = self.shape.length_column() else { return 0.0 };
        let (matrix, values) = self.jacobian(q);
        let s = &self.s[q * self.shape.block()..];
        let slope = |row: usize| -> f64 {
            matrix.row(row).iter().map(|&(source, k)| values[k] * s[source * self.shape.width() + column]).sum()
        };
        kappa.iter().enumerate().map(|(row, kappa)| kappa * slope(row)).sum()
    }

    /// Adds the second derivatives along the multiplier `kappa` of k_q to the upper triangle of `out: n_cols × width`.
    pub fn add_curvature(
        &mut self,
        system: &dyn System,
        edge: &Edge<'_>,
        t: f64,
        q: usize,
        kappa: &[f64],
        out: &mut [f64],
    ) {
        if !self.takes_curvature(system) {
            return;
        }
        let (n, block, width) = (self.shape.n_states, self.shape.block(), self.shape.width());
        let at = At { t, x: &self.x[q * n..][..n], u: edge.u, d: edge.d, p: edge.p };
        let s = &self.s[q * block..][..block];
        if !self.hessian_values.is_empty() {
            system.curvature(at, kappa, &mut self.work, &mut self.hessian_values);
            let (hessian, values) = (&self.hessian, &*self.hessian_values);
            wide(Congruence { hessian, values, width, s, product: &mut self.product, out });
        }
        if let Some(column) = self.shape.length_column() {
            let values = &self.values[q * self.n_values..][..self.n_values];
            for (row, multiplier) in kappa.iter().enumerate() {
                let factor = multiplier / edge.h;
                for &(source, position) in self.matrix.row(row) {
                    let factor = factor * values[position];
                    for (c, s) in s[source * width..][..self.shape.n_cols()].iter().enumerate() {
                        // The column of h is the last, so (c, h) lies in the upper triangle; (h, h) counts twice.
                        let twice = if c == column { 2.0 } else { 1.0 };
                        out[c * width + column] += twice * factor * s;
                    }
                }
            }
        }
    }
}
