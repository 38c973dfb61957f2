//! Where the model's states and inputs stand among those of the problem: `x = (model states, previous inputs that moves are
//! counted from, step length if it is free)`, `u` = model inputs.

use super::points::Shape;
use crate::linalg::CscPattern;

/// Sizes and places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Of the model.
    pub shape: Shape,
    /// The inputs whose previous values are states, in the order of these.
    pub carried: Vec<usize>,
}

impl Layout {
    /// States of the problem.
    pub fn n_states(&self) -> usize {
        self.shape.n_states + self.carried.len() + usize::from(self.shape.has_length)
    }

    /// The state that is the step length.
    pub fn length(&self) -> Option<usize> {
        self.shape.has_length.then_some(self.shape.n_states + self.carried.len())
    }

    /// True where the model's variables are the problem's.
    pub fn is_plain(&self) -> bool {
        self.carried.is_empty() && !self.shape.has_length
    }

    /// The problem's variable of a column of a step's derivatives, or of the model's `z = (x, u)`.
    #[inline(always)]
    pub fn variable(&self, column: usize) -> usize {
        let Shape { n_states, n_inputs, .. } = self.shape;
        if column < n_states {
            column
        } else if column < n_states + n_inputs {
            column + self.carried.len() + usize::from(self.shape.has_length)
        } else {
            n_states + self.carried.len()
        }
    }

    /// Writes a step's derivatives, `n_states` rows of the shape's width, to a column-major Jacobian of the problem.
    pub fn write_jacobian(&self, rows: &[f64], jacobian: &mut [f64]) {
        let Shape { n_states: n, .. } = self.shape;
        let (width, n_rows) = (self.shape.width(), self.n_states());
        if !self.is_plain() {
            jacobian.fill(0.0);
            let first_input = n_rows;
            for (j, &input) in self.carried.iter().enumerate() {
                jacobian[(first_input + input) * n_rows + n + j] = 1.0;
            }
            if let Some(length) = self.length() {
                jacobian[length * n_rows + length] = 1.0;
            }
        }
        for column in 0..self.shape.n_cols() {
            let target = &mut jacobian[self.variable(column) * n_rows..][..n];
            for (value, row) in target.iter_mut().zip(rows.chunks_exact(width)) {
                *value = row[column];
            }
        }
    }

    /// Adds the upper triangle `upper`, `n_cols` rows of the shape's width, to both triangles of a dense Hessian of order
    /// `n_vars`.
    pub fn add_upper(&self, upper: &[f64], hessian: &mut [f64], n_vars: usize) {
        let width = self.shape.width();
        for (a, row) in upper.chunks_exact(width).take(self.shape.n_cols()).enumerate() {
            let at_a = self.variable(a);
            for (b, value) in row.iter().enumerate().take(self.shape.n_cols()).skip(a) {
                let at_b = self.variable(b);
                hessian[at_a * n_vars + at_b] += value;
                if a != b {
                    hessian[at_b * n_vars + at_a] += value;
                }
            }
        }
    }

    /// For each entry of a lower triangle in the model's z, its two places in a dense Hessian of order `n_vars`.
    pub fn places(&self, lower: &CscPattern, n_vars: usize) -> Vec<(usize, usize)> {
        let mut places = Vec::with_capacity(lower.nnz());
        for column in 0..lower.n_cols() {
            for (row, _) in lower.column(column) {
                let (row, column) = (self.variable(row), self.variable(column));
                places.push((column * n_vars + row, row * n_vars + column));
            }
        }
        places
    }
}

/// Adds `factor · values` at both places of each; a diagonal entry once.
#[inline(always)]
pub(super) fn scatter(places: &[(usize, usize)], values: &[f64], factor: f64, hessian: &mut [f64]) {
    for (&(below, above), value) in places.iter().zip(values) {
        let value = factor * value;
        hessian[below] += value;
        if above != below {
            hessian[above] += value;
        }
    }
}
