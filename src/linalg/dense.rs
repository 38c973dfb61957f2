//! Dense LU factorisation with partial pivoting, in place on a column-major buffer.
//!
//! Right-looking elimination by columns (Golub and Van Loan 2013, Matrix Computations, algorithm 3.4.1): the inner
//! loop is one `axpy` over contiguous memory, and zero multipliers are skipped, which pays for the half-empty
//! Jacobians of reaction networks. Nothing allocates after construction.

use super::Singular;

/// An `n × n` matrix and, after [`DenseLu::factorize`], its factors.
#[derive(Debug, Clone, Default)]
pub struct DenseLu {
    n: usize,
    /// `n × n`, column major; L (unit diagonal, below) and U after factorisation.
    values: Vec<f64>,
    /// The row that was exchanged with row k at step k.
    pivots: Vec<usize>,
}

impl DenseLu {
    /// A zero matrix of order `n`.
    pub fn new(n: usize) -> Self {
        DenseLu { n, values: vec![0.0; n * n], pivots: vec![0; n] }
    }

    /// The order.
    pub fn order(&self) -> usize {
        self.n
    }

    /// The entries, `n × n` column major, to be filled before [`DenseLu::factorize`].
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Replaces the entries by the factors.
    ///
    /// # Errors
    /// [`Singular`] where a pivot is zero or not finite; the factors are then of no use.
    pub fn factorize(&mut self) -> Result<(), Singular> {
        let n = self.n;
        for k in 0..n {
            let (left, right) = self.values.split_at_mut((k + 1) * n);
            let pivot_column = &mut left[k * n..];
            let mut pivot_row = k;
            let mut largest = pivot_column[k].abs();
            for (i, value) in pivot_column.iter().enumerate().skip(k + 1) {
                if value.abs() > largest {
                    largest = value.abs();
                    pivot_row = i;
                }
            }
            if !(largest > 0.0 && largest.is_finite()) {
                return Err(Singular { column: k });
            }
            self.pivots[k] = pivot_row;
            if pivot_row != k {
                pivot_column.swap(k, pivot_row);
            }
            let inverse = 1.0 / pivot_column[k];
            let multipliers = &mut pivot_column[k + 1..];
            for value in multipliers.iter_mut() {
                *value *= inverse;
            }
            for column in right.chunks_exact_mut(n) {
                column.swap(k, pivot_row);
                let factor = column[k];
                if factor != 0.0 {
                    for (value, l) in column[k + 1..].iter_mut().zip(multipliers.iter()) {
                        *value -= l * factor;
                    }
                }
            }
            // The multipliers of earlier columns are exchanged too, so that L is stored fully permuted.
            if pivot_row != k {
                for column in left[..k * n].chunks_exact_mut(n) {
                    column.swap(k, pivot_row);
                }
            }
        }
        Ok(())
    }

    /// `b: n × m`, row major, becomes the solution of `A X = B` for m right-hand sides at once, bit for bit that of
    /// [`DenseLu::solve`] for each column. The inner loop runs over the right-hand sides.
    pub fn solve_rows(&self, b: &mut [f64], m: usize) {
        let n = self.n;
        if m == 0 {
            return;
        }
        for (k, &pivot_row) in self.pivots.iter().enumerate() {
            if pivot_row != k {
                let (head, tail) = b.split_at_mut(pivot_row * m);
                head[k * m..(k + 1) * m].swap_with_slice(&mut tail[..m]);
            }
        }
        for (k, column) in self.values.chunks_exact(n.max(1)).enumerate() {
            let (head, tail) = b.split_at_mut((k + 1) * m);
            let row_k = &head[k * m..];
            for (row, &l) in tail.chunks_exact_mut(m).zip(&column[k + 1..]) {
                if l != 0.0 {
                    row.iter_mut().zip(row_k).for_each(|(value, factor)| *value -= l * factor);
                }
            }
        }
        for (k, column) in self.values.chunks_exact(n.max(1)).enumerate().rev() {
            let (head, tail) = b.split_at_mut(k * m);
            let row_k = &mut tail[..m];
            row_k.iter_mut().for_each(|value| *value /= column[k]);
            for (row, &u) in head.chunks_exact_mut(m).zip(&column[..k]) {
                if u != 0.0 {
                    row.iter_mut().zip(row_k.iter()).for_each(|(value, factor)| *value -= u * factor);
                }
            }
        }
    }

    /// `b: n` becomes the solution of `A x = b`, A being the matrix last factorised.
    pub fn solve(&self, b: &mut [f64]) {
        let n = self.n;
        for (k, &pivot_row) in self.pivots.iter().enumerate() {
            b.swap(k, pivot_row);
        }
        for (k, column) in self.values.chunks_exact(n.max(1)).enumerate() {
            let (head, tail) = b.split_at_mut(k + 1);
            let factor = head[k];
            if factor != 0.0 {
                for (value, l) in tail.iter_mut().zip(&column[k + 1..]) {
                    *value -= l * factor;
                }
            }
        }
        for (k, column) in self.values.chunks_exact(n.max(1)).enumerate().rev() {
            let (head, tail) = b.split_at_mut(k);
            let factor = tail[0] / column[k];
            tail[0] = factor;
            for (value, u) in head.iter_mut().zip(&column[..k]) {
                *value -= u * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_a_system_that_needs_pivoting() {
        // [0 2 1; 1 1 0; 3 0 1] x = [7; 3; 6] has x = (1, 2, 3).
        let mut lu = DenseLu::new(3);
        lu.values_mut().copy_from_slice(&[0.0, 1.0, 3.0, 2.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        lu.factorize().expect("regular");
        let mut b = [7.0, 3.0, 6.0];
        lu.solve(&mut b);
        for (value, exact) in b.iter().zip([1.0, 2.0, 3.0]) {
            assert!((value - exact).abs() < 1e-14, "{b:?}");
        }
    }

    #[test]
    fn reports_where_a_matrix_is_singular() {
        let mut lu = DenseLu::new(2);
        lu.values_mut().copy_from_slice(&[1.0, 2.0, 2.0, 4.0]);
        assert_eq!(lu.factorize(), Err(Singular { column: 1 }));
    }

    #[test]
    fn an_empty_system_is_solved() {
        let mut lu = DenseLu::new(0);
        assert_eq!(lu.factorize(), Ok(()));
        lu.solve(&mut []);
    }
}
