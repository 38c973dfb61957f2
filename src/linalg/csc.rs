//! The pattern of a sparse matrix in compressed sparse column order; values live in plain slices beside it.

/// Where the structural nonzeros of an `n_rows × n_cols` matrix are.
///
/// Invariant: `col_ptr` has `n_cols + 1` ascending entries from 0 to `row_idx.len()`, and the rows of a column ascend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CscPattern {
    n_rows: usize,
    n_cols: usize,
    col_ptr: Vec<usize>,
    row_idx: Vec<usize>,
}

impl CscPattern {
    /// The pattern of the given `(row, column)` entries; repeated entries count once.
    ///
    /// # Panics
    /// Where an entry lies outside `n_rows × n_cols`.
    pub fn from_entries(n_rows: usize, n_cols: usize, entries: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); n_cols];
        for (row, col) in entries {
            assert!(row < n_rows && col < n_cols, "entry ({row}, {col}) outside {n_rows} x {n_cols}");
            columns[col].push(row);
        }
        let mut col_ptr = Vec::with_capacity(n_cols + 1);
        let mut row_idx = Vec::new();
        col_ptr.push(0);
        for rows in &mut columns {
            rows.sort_unstable();
            rows.dedup();
            row_idx.extend_from_slice(rows);
            col_ptr.push(row_idx.len());
        }
        CscPattern { n_rows, n_cols, col_ptr, row_idx }
    }

    /// Every entry is a structural nonzero.
    pub fn dense(n_rows: usize, n_cols: usize) -> Self {
        CscPattern {
            n_rows,
            n_cols,
            col_ptr: (0..=n_cols).map(|c| c * n_rows).collect(),
            row_idx: (0..n_cols).flat_map(|_| 0..n_rows).collect(),
        }
    }

    /// No entry.
    pub fn empty(n_rows: usize, n_cols: usize) -> Self {
        CscPattern { n_rows, n_cols, col_ptr: vec![0; n_cols + 1], row_idx: Vec::new() }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of structural nonzeros, the length of a value slice.
    pub fn nnz(&self) -> usize {
        self.row_idx.len()
    }

    /// `n_cols + 1` offsets into the rows.
    pub fn col_ptr(&self) -> &[usize] {
        &self.col_ptr
    }

    /// The row of each structural nonzero.
    pub fn row_idx(&self) -> &[usize] {
        &self.row_idx
    }

    /// The rows of one column with their positions in the value slice.
    pub fn column(&self, col: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        (self.col_ptr[col]..self.col_ptr[col + 1]).map(move |k| (self.row_idx[k], k))
    }

    /// The position of `(row, col)` in the value slice, if it is a structural nonzero.
    pub fn position(&self, row: usize, col: usize) -> Option<usize> {
        let range = self.col_ptr[col]..self.col_ptr[col + 1];
        self.row_idx[range.clone()].binary_search(&row).ok().map(|k| range.start + k)
    }

    /// The largest column sum of absolute values, a bound of the spectral radius; `values: nnz`.
    pub fn column_norm(&self, values: &[f64]) -> f64 {
        let sums = self.col_ptr.windows(2).map(|w| values[w[0]..w[1]].iter().map(|v| v.abs()).sum());
        sums.fold(0.0, f64::max)
    }

    /// `y += A x`; `values: nnz`, `x: n_cols`, `y: n_rows`.
    pub fn mul_add(&self, values: &[f64], x: &[f64], y: &mut [f64]) {
        for (col, &xc) in x.iter().enumerate() {
            for k in self.col_ptr[col]..self.col_ptr[col + 1] {
                y[self.row_idx[k]] += values[k] * xc;
            }
        }
    }

    /// `y += A^T x`; `values: nnz`, `x: n_rows`, `y: n_cols`.
    pub fn mul_transposed_add(&self, values: &[f64], x: &[f64], y: &mut [f64]) {
        for (col, sum) in y.iter_mut().enumerate() {
            for k in self.col_ptr[col]..self.col_ptr[col + 1] {
                *sum += values[k] * x[self.row_idx[k]];
            }
        }
    }

    /// The pattern of the transposed matrix, and for each of its entries the position in this one's values.
    pub fn transposed(&self) -> (CscPattern, Vec<usize>) {
        let mut col_ptr = vec![0; self.n_rows + 1];
        for &row in &self.row_idx {
            col_ptr[row + 1] += 1;
        }
        for row in 0..self.n_rows {
            col_ptr[row + 1] += col_ptr[row];
        }
        let mut next = col_ptr.clone();
        let (mut row_idx, mut positions) = (vec![0; self.nnz()], vec![0; self.nnz()]);
        for col in 0..self.n_cols {
            for (row, k) in self.column(col) {
                row_idx[next[row]] = col;
                positions[next[row]] = k;
                next[row] += 1;
            }
        }
        (CscPattern { n_rows: self.n_cols, n_cols: self.n_rows, col_ptr, row_idx }, positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_matrix_multiplies_from_the_other_side() {
        let pattern = CscPattern::from_entries(2, 3, [(0, 0), (1, 0), (1, 1), (0, 2)]);
        let values = [1.0, 2.0, 3.0, 4.0];
        let mut y = [0.0; 3];
        pattern.mul_transposed_add(&values, &[1.0, 10.0], &mut y);
        assert_eq!(y, [21.0, 30.0, 4.0]);
        let (transposed, positions) = pattern.transposed();
        let moved: Vec<f64> = positions.iter().map(|&k| values[k]).collect();
        let mut again = [0.0; 3];
        transposed.mul_add(&moved, &[1.0, 10.0], &mut again);
        assert_eq!(again, y);
        assert_eq!(transposed, CscPattern::from_entries(3, 2, [(0, 0), (2, 0), (0, 1), (1, 1)]));
    }
}
