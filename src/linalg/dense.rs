//! Dense LU factorisation with partial pivoting, in place on a column-major buffer.
//!
//! Right-looking elimination by columns (Golub and Van Loan 2013, Matrix Computations, algorithm 3.4.1), in panels: the
//! inner loop is one `axpy` over contiguous memory, zero multipliers are skipped, which pays for the half-empty
//! Jacobians of reaction networks, and what a panel does to the columns right of it is a product of matrices, which is
//! faer's. The reciprocals of the pivots are kept. Nothing of this module allocates after construction.

use super::Singular;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Columns of a panel. Up to twice as many are one panel.
const PANEL: usize = 32;

/// An `n × n` matrix and, after [`DenseLu::factorize`], its factors.
#[derive(Debug, Clone, Default)]
pub struct DenseLu {
    n: usize,
    /// `n × n`, column major; L (unit diagonal, below) and U after factorisation.
    values: Vec<f64>,
    /// The row that was exchanged with row k at step k.
    pivots: Vec<usize>,
    /// One over the diagonal of U.
    inverses: Vec<f64>,
}

impl DenseLu {
    /// A zero matrix of order `n`.
    pub fn new(n: usize) -> Self {
        DenseLu { n, values: vec![0.0; n * n], pivots: vec![0; n], inverses: vec![0.0; n] }
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
        let mut first = 0;
        while first < n {
            let last = if n - first <= 2 * PANEL { n } else { first + PANEL };
            self.factorize_panel(first, last)?;
            if last < n {
                self.update(first, last);
            }
            first = last;
        }
        Ok(())
    }

    /// Eliminates with the columns `first..last` in these columns; exchanges rows in all.
    fn factorize_panel(&mut self, first: usize, last: usize) -> Result<(), Singular> {
        let n = self.n;
        for k in first..last {
            let (left, right) = self.values.split_at_mut((k + 1) * n);
            let (before, pivot_column) = left.split_at_mut(k * n);
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
                // The multipliers of earlier columns are exchanged too, so that L is stored fully permuted.
                let others = before.chunks_exact_mut(n).chain(right.chunks_exact_mut(n));
                others.for_each(|column| column.swap(k, pivot_row));
                pivot_column.swap(k, pivot_row);
            }
            let inverse = 1.0 / pivot_column[k];
            self.inverses[k] = inverse;
            let multipliers = &mut pivot_column[k + 1..];
            for value in multipliers.iter_mut() {
                *value *= inverse;
            }
            for column in right.chunks_exact_mut(n).take(last - k - 1) {
                subtract(column, k, multipliers);
            }
        }
        Ok(())
    }

    /// Eliminates with the columns `first..last` in the columns right of them.
    fn update(&mut self, first: usize, last: usize) {
        let n = self.n;
        let (left, right) = self.values.split_at_mut(last * n);
        let panel = &left[first * n..];
        for column in right.chunks_exact_mut(n) {
            for (k, pivot_column) in (first..last).zip(panel.chunks_exact(n)) {
                subtract(&mut column[..last], k, &pivot_column[k + 1..last]);
            }
        }
        let lower = MatRef::from_column_major_slice(panel, n, last - first).split_at_row(last).1;
        let (above, below) = MatMut::from_column_major_slice_mut(right, n, n - last).split_at_row_mut(last);
        let upper = above.as_ref().split_at_row(first).1;
        matmul(below, Accum::Add, lower, upper, -1.0, Par::Seq);
        clear_upper_halves();
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
        for (k, (column, inverse)) in self.values.chunks_exact(n.max(1)).zip(&self.inverses).enumerate().rev() {
            let (head, tail) = b.split_at_mut(k * m);
            let row_k = &mut tail[..m];
            row_k.iter_mut().for_each(|value| *value *= inverse);
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
        for (k, (column, inverse)) in self.values.chunks_exact(n.max(1)).zip(&self.inverses).enumerate().rev() {
            let (head, tail) = b.split_at_mut(k);
            let factor = tail[0] * inverse;
            tail[0] = factor;
            for (value, u) in head.iter_mut().zip(&column[..k]) {
                *value -= u * factor;
            }
        }
    }

    /// `b: n` becomes the solution of `Aᵀ x = b`, A being the matrix last factorised.
    pub fn solve_transposed(&self, b: &mut [f64]) {
        let n = self.n;
        // P A = L U, so Aᵀ = Uᵀ Lᵀ P.
        for (k, (column, inverse)) in self.values.chunks_exact(n.max(1)).zip(&self.inverses).enumerate() {
            let known: f64 = column[..k].iter().zip(&*b).map(|(u, x)| u * x).sum();
            b[k] = (b[k] - known) * inverse;
        }
        for (k, column) in self.values.chunks_exact(n.max(1)).enumerate().rev() {
            let known: f64 = column[k + 1..].iter().zip(&b[k + 1..]).map(|(l, x)| l * x).sum();
            b[k] -= known;
        }
        for (k, &pivot_row) in self.pivots.iter().enumerate().rev() {
            b.swap(k, pivot_row);
        }
    }
}

/// faer's products leave the upper halves of the vector registers in use, and every later instruction on lower halves
/// waits for them: on an AMD EPYC all that follows takes 1.7 times as long (benches/linear.rs shows it). A reduction of
/// faer's, which the compiler made, clears them.
pub(super) fn clear_upper_halves() {
    let numbers = std::hint::black_box([1.0; 16]);
    std::hint::black_box(MatRef::from_column_major_slice(&numbers, 16, 1).norm_max());
}

/// Subtracts the multiple of `multipliers`, which stand below row k, that entry k of the column says.
fn subtract(column: &mut [f64], k: usize, multipliers: &[f64]) {
    let factor = column[k];
    if factor != 0.0 {
        for (value, l) in column[k + 1..].iter_mut().zip(multipliers) {
            *value -= l * factor;
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
    fn solves_the_transposed_system() {
        let mut lu = DenseLu::new(3);
        lu.values_mut().copy_from_slice(&[0.0, 1.0, 3.0, 2.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        lu.factorize().expect("regular");
        // Columns times (1, 2, 3).
        let mut b = [11.0, 4.0, 4.0];
        lu.solve_transposed(&mut b);
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

    #[test]
    fn panels_give_what_one_column_after_the_other_does() {
        for n in [63, 64, 65, 97, 150] {
            let entry = |k: usize| (k as f64 * k as f64).sin();
            let mut lu = DenseLu::new(n);
            lu.values_mut().iter_mut().enumerate().for_each(|(k, value)| *value = entry(k));
            let exact: Vec<f64> = (0..n).map(|i| 1.0 + (i % 5) as f64).collect();
            let mut b = vec![0.0; n];
            for (column, x) in lu.values.chunks(n).zip(&exact) {
                b.iter_mut().zip(column).for_each(|(sum, value)| *sum += value * x);
            }
            lu.factorize().expect("regular");
            lu.solve(&mut b);
            for (value, truth) in b.iter().zip(&exact) {
                assert!((value - truth).abs() < 1e-9 * truth, "n = {n}: {value} against {truth}");
            }
            // All columns are the same, in numbers that cancel exactly.
            let mut singular = DenseLu::new(n);
            singular.values_mut().iter_mut().enumerate().for_each(|(k, value)| *value = f64::from(1 << (k % n % 8)));
            assert_eq!(singular.factorize(), Err(Singular { column: 1 }));
        }
    }
}
