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

    /// The transposed matrix with the same values, of `n_rows` rows.
    pub fn transposed(&self, n_rows: usize) -> SparseRows {
        let mut rows = vec![Vec::new(); n_rows];
        for row in 0..self.n_rows() {
            self.row(row).iter().for_each(|&(column, k)| rows[column].push((row, k)));
        }
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

/// A stage of the adjoint pass of an explicit method, differentiated: `dμ = Aᵀ dκ + H s`, `sum += dμ` and for the stage
/// before `next = to_base · base + to_next · dμ`.
pub(super) struct StageAdjoint<'a> {
    /// Aᵀ, one row for each row of `s`.
    pub transposed: &'a SparseRows,
    pub values: &'a [f64],
    pub hessian: &'a SparseRows,
    pub hessian_values: &'a [f64],
    /// Padded length of a row.
    pub width: usize,
    pub s: &'a [f64],
    /// dκ
    pub kappa: &'a [f64],
    pub base: &'a [f64],
    /// As long as `kappa`.
    pub next: &'a mut [f64],
    pub to_base: f64,
    pub to_next: f64,
    pub sum: &'a mut [f64],
}

impl StageAdjoint<'_> {
    #[inline(always)]
    fn block<const L: usize>(&mut self, row: usize, offset: usize) {
        let width = self.width;
        let mut mu = [0.0; L];
        for &(column, position) in self.transposed.row(row) {
            let value = self.values[position];
            for (sum, kappa) in mu.iter_mut().zip(&self.kappa[column * width + offset..][..L]) {
                *sum += value * kappa;
            }
        }
        for &(column, position) in self.hessian.row(row) {
            let value = self.hessian_values[position];
            for (sum, s) in mu.iter_mut().zip(&self.s[column * width + offset..][..L]) {
                *sum += value * s;
            }
        }
        let place = row * width + offset;
        for (sum, mu) in self.sum[place..][..L].iter_mut().zip(&mu) {
            *sum += mu;
        }
        if place < self.next.len() {
            let (base, next) = (&self.base[place..][..L], &mut self.next[place..][..L]);
            for l in 0..L {
                next[l] = self.to_base * base[l] + self.to_next * mu[l];
            }
        }
    }
}

impl Wide for StageAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for row in 0..self.transposed.n_rows() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::wide;

    /// Numbers without pattern in [-1, 1).
    fn numbers(n: usize, seed: f64) -> Vec<f64> {
        (0..n).map(|k| (12.9898 * (k as f64 + seed)).sin()).collect()
    }

    /// Dense products by their definition: `left: n × inner`, `right: inner × width`.
    fn product(left: &[f64], right: &[f64], width: usize) -> Vec<f64> {
        let inner = right.len() / width;
        let entry = |k: usize| (0..inner).map(|j| left[k / width * inner + j] * right[j * width + k % width]).sum();
        (0..left.len() / inner * width).map(entry).collect()
    }

    fn transposed(values: &[f64], n_cols: usize) -> Vec<f64> {
        let n_rows = values.len() / n_cols;
        (0..values.len()).map(|k| values[k % n_rows * n_cols + k / n_rows]).collect()
    }

    fn assert_close(values: &[f64], truth: &[f64]) {
        assert_eq!(values.len(), truth.len());
        // Sums of few products of numbers below one.
        assert!(values.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-13), "{values:?}\n{truth:?}");
    }

    /// Two states and an input; widths that take each of the block sizes.
    #[test]
    fn products_of_stages_are_those_of_dense_matrices() {
        let by_states = CscPattern::from_entries(2, 2, [(0, 1), (1, 0), (1, 1)]);
        let by_inputs = CscPattern::from_entries(2, 1, [(1, 0)]);
        let matrix = SparseRows::side_by_side(&by_states, &by_inputs);
        let values = [2.0, -3.0, 0.5, 7.0];
        let dense = [0.0, -3.0, 0.0, 2.0, 0.5, 7.0];
        let hessian = SparseRows::symmetric(&CscPattern::from_entries(3, 3, [(1, 0), (2, 2)]));
        let second = [1.5, -4.0];
        let dense_second = [0.0, 1.5, 0.0, 1.5, 0.0, 0.0, 0.0, 0.0, -4.0];
        for width in [4, 8, 12, 20, 28] {
            let (s, base) = (numbers(3 * width, 0.1), numbers(3 * width, 0.2));
            let k = product(&dense, &s, width);
            let (mut next, mut sum) = (vec![0.0; 2 * width], vec![9.0; 2 * width]);
            for begins in [true, false] {
                let (next, sum) = (&mut *next, &mut *sum);
                let (to_next, to_sum) = (Some(0.5), 0.25);
                let (matrix, base) = (&matrix, &base[..2 * width]);
                wide(StageProduct { matrix, values: &values, width, s: &s, base, next, to_next, sum, to_sum, begins });
            }
            assert_close(&next, &k.iter().zip(&base).map(|(k, base)| base + 0.5 * k).collect::<Vec<_>>());
            assert_close(&sum, &k.iter().zip(&base).map(|(k, base)| base + 0.5 * k).collect::<Vec<_>>());

            let kappa = numbers(2 * width, 0.3);
            let forward = product(&transposed(&dense, 3), &kappa, width);
            let mu: Vec<f64> =
                forward.iter().zip(product(&dense_second, &s, width)).map(|(forward, along)| forward + along).collect();
            let mut sum = base.clone();
            wide(StageAdjoint {
                transposed: &matrix.transposed(3),
                values: &values,
                hessian: &hessian,
                hessian_values: &second,
                width,
                s: &s,
                kappa: &kappa,
                base: &base,
                next: &mut next,
                to_base: 2.0,
                to_next: -1.0,
                sum: &mut sum,
            });
            assert_close(&sum, &mu.iter().zip(&base).map(|(mu, base)| base + mu).collect::<Vec<_>>());
            assert_close(
                &next,
                &mu.iter().zip(&base).take(2 * width).map(|(mu, base)| 2.0 * base - mu).collect::<Vec<_>>(),
            );

            let (mut room, mut out) = (vec![0.0; 3 * width], vec![0.0; width * width]);
            let (hessian, out_of) = (&hessian, &mut out);
            wide(Congruence { hessian, values: &second, width, s: &s, product: &mut room, out: out_of });
            let truth = product(&transposed(&s, width), &product(&dense_second, &s, width), width);
            for (row, (values, truth)) in out.chunks(width).zip(truth.chunks(width)).enumerate() {
                assert_close(&values[row..], &truth[row..]);
            }
        }
    }
}
