//! Products of a sparse matrix with dense rows, the inner loops of every step with derivatives.
//!
//! Dense matrices are kept by rows that are padded to a multiple of four, so that each product is a sum of multiples of
//! rows, which runs in full vectors (see [`crate::linalg::wide`]).

use crate::linalg::{CscPattern, Wide};

/// Length of a padded row of `n_cols`.
pub(super) fn padded(n_cols: usize) -> usize {
    n_cols.next_multiple_of(4)
}

/// A sparse matrix by rows, its values standing elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseRows {
    /// `n_rows + 1` offsets.
    starts: Vec<usize>,
    /// `(column, position of the value)`
    entries: Vec<(usize, usize)>,
}

impl SparseRows {
    /// The matrix `[a b]`, the values of a standing before those of b.
    pub fn side_by_side(a: &CscPattern, b: &CscPattern) -> SparseRows {
        let mut rows = vec![Vec::new(); a.n_rows()];
        for (pattern, first_column, first_value) in [(a, 0, 0), (b, a.n_cols(), a.nnz())] {
            for column in 0..pattern.n_cols() {
                for (row, k) in pattern.column(column) {
                    rows[row].push((first_column + column, first_value + k));
                }
            }
        }
        SparseRows::of(&rows)
    }

    /// The symmetric matrix whose lower triangle is given.
    pub fn symmetric(lower: &CscPattern) -> SparseRows {
        let mut rows = vec![Vec::new(); lower.n_rows()];
        for column in 0..lower.n_cols() {
            for (row, k) in lower.column(column) {
                rows[row].push((column, k));
                if row != column {
                    rows[column].push((row, k));
                }
            }
        }
        rows.iter_mut().for_each(|row| row.sort_unstable());
        SparseRows::of(&rows)
    }

    fn of(rows: &[Vec<(usize, usize)>]) -> SparseRows {
        let mut starts = Vec::with_capacity(rows.len() + 1);
        starts.push(0);
        let mut entries = Vec::new();
        for row in rows {
            entries.extend_from_slice(row);
            starts.push(entries.len());
        }
        SparseRows { starts, entries }
    }

    /// The entries of a row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[(usize, usize)] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// `y: n_cols` gets `Aᵀ x` added, leaving out columns from `y.len()` on.
    pub fn mul_transposed_add(&self, values: &[f64], x: &[f64], y: &mut [f64]) {
        for (row, &factor) in x.iter().enumerate() {
            for &(column, k) in self.row(row) {
                if let Some(sum) = y.get_mut(column) {
                    *sum += values[k] * factor;
                }
            }
        }
    }
}

/// A stage of an explicit method: `k = A s` for the sparse matrix A, then `next = base + to_next · k` and
/// `sum += to_sum · k`, where the sum begins as `base`.
pub(super) struct StageProduct<'a> {
    pub matrix: &'a SparseRows,
    pub values: &'a [f64],
    /// Padded length of a row.
    pub width: usize,
    /// What is multiplied, one row for each column of the matrix.
    pub s: &'a [f64],
    pub base: &'a [f64],
    pub next: &'a mut [f64],
    /// `None` in the last stage; `next` is then empty.
    pub to_next: Option<f64>,
    pub sum: &'a mut [f64],
    pub to_sum: f64,
    /// In the first stage.
    pub begins: bool,
}

impl StageProduct<'_> {
    #[inline(always)]
    fn block<const L: usize>(&mut self, row: usize, offset: usize) {
        let width = self.width;
        let mut k = [0.0; L];
        for &(column, position) in self.matrix.row(row) {
            let value = self.values[position];
            let s = &self.s[column * width + offset..][..L];
            for (sum, s) in k.iter_mut().zip(s) {
                *sum += value * s;
            }
        }
        let place = row * width + offset;
        let base = &self.base[place..][..L];
        if let Some(factor) = self.to_next {
            let next = &mut self.next[place..][..L];
            for l in 0..L {
                next[l] = base[l] + factor * k[l];
            }
        }
        let sum = &mut self.sum[place..][..L];
        if self.begins {
            for l in 0..L {
                sum[l] = base[l] + self.to_sum * k[l];
            }
        } else {
            for l in 0..L {
                sum[l] += self.to_sum * k[l];
            }
        }
    }
}

impl Wide for StageProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for row in 0..self.matrix.n_rows() {
            let mut offset = 0;
            while offset + 16 <= self.width {
                self.block::<16>(row, offset);
                offset += 16;
            }
            if offset + 8 <= self.width {
                self.block::<8>(row, offset);
                offset += 8;
            }
            if offset + 4 <= self.width {
                self.block::<4>(row, offset);
            }
        }
    }
}

/// `out = A s` for a sparse matrix; `out` has its rows one after the other.
pub(super) struct Product<'a> {
    pub matrix: &'a SparseRows,
    pub values: &'a [f64],
    pub width: usize,
    pub s: &'a [f64],
    pub out: &'a mut [f64],
}

impl Wide for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.width;
        for (row, out) in self.out.chunks_exact_mut(width).enumerate().take(self.matrix.n_rows()) {
            out.fill(0.0);
            for &(column, position) in self.matrix.row(row) {
                let value = self.values[position];
                for (sum, s) in out.iter_mut().zip(&self.s[column * width..][..width]) {
                    *sum += value * s;
                }
            }
        }
    }
}

/// Adds `sᵀ H s` to the upper triangle of `out: n_cols × width`, where H is symmetric and sparse.
pub(super) struct Congruence<'a> {
    pub hessian: &'a SparseRows,
    pub values: &'a [f64],
    pub width: usize,
    pub s: &'a [f64],
    /// As long as `s`.
    pub product: &'a mut [f64],
    pub out: &'a mut [f64],
}

impl Congruence<'_> {
    /// Four rows of the result by `L` columns.
    #[inline(always)]
    fn tile<const L: usize>(&mut self, row: usize, column: usize) {
        let width = self.width;
        let mut sums = [[0.0; L]; 4];
        for r in 0..self.hessian.n_rows() {
            if self.hessian.row(r).is_empty() {
                continue;
            }
            let left = &self.s[r * width + row..][..4];
            let right = &self.product[r * width + column..][..L];
            for (sums, left) in sums.iter_mut().zip(left) {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum += left * right;
                }
            }
        }
        for (sums, out) in sums.iter().zip(self.out[row * width..].chunks_exact_mut(width)) {
            for (out, sum) in out[column..][..L].iter_mut().zip(sums) {
                *out += sum;
            }
        }
    }
}

impl Wide for Congruence<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let width = self.width;
        for r in 0..self.hessian.n_rows() {
            let entries = self.hessian.row(r);
            if entries.is_empty() {
                continue;
            }
            let out = &mut self.product[r * width..][..width];
            out.fill(0.0);
            for &(column, position) in entries {
                let value = self.values[position];
                for (sum, s) in out.iter_mut().zip(&self.s[column * width..][..width]) {
                    *sum += value * s;
                }
            }
        }
        for row in (0..width).step_by(4) {
            let mut column = row;
            while column + 8 <= width {
                self.tile::<8>(row, column);
                column += 8;
            }
            if column < width {
                self.tile::<4>(row, column);
            }
        }
    }
}
