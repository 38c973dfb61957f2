//! Sparse LU factorisation: with pivots on the diagonal while that is sound, with partial pivoting by faer where not.
//!
//! The first way does everything symbolic once and never allocates in a factorisation. The second is prepared when it is
//! first needed; it orders the columns by COLAMD and chooses rows by size, and faer lets the storage of its factors grow
//! when a pivot sequence makes more fill than any before.

use super::elimination::Elimination;
use super::{CscPattern, Singular};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::lu::{LuRef, LuSymbolicParams, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::{Conj, MatMut, Par};

/// A sparse square matrix with a full diagonal and, after [`SparseLu::factorize`], its factors.
pub struct SparseLu {
    pattern: CscPattern,
    values: Vec<f64>,
    elimination: Elimination,
    /// Present once it was needed.
    pivoting: Option<Pivoting>,
    /// True where the last factors are those of partial pivoting.
    is_pivoted: bool,
}

/// Partial pivoting by faer.
struct Pivoting {
    symbolic: SymbolicLu<usize>,
    numeric: NumericLu<usize, f64>,
    factor_memory: MemBuffer,
    solve_memory: MemBuffer,
    /// How many right-hand sides the memory suffices for.
    most_sides: usize,
}

impl SparseLu {
    /// Orders a square pattern with a full diagonal. `None` where the memory does not suffice.
    pub fn new(pattern: CscPattern) -> Option<Self> {
        let elimination = Elimination::new(&pattern)?;
        let values = vec![0.0; pattern.nnz()];
        Some(SparseLu { pattern, values, elimination, pivoting: None, is_pivoted: false })
    }

    /// The order.
    pub fn order(&self) -> usize {
        self.pattern.n_cols()
    }

    /// Number of entries of L and U with pivots on the diagonal.
    pub fn fill(&self) -> usize {
        self.elimination.fill()
    }

    /// Multiplications of one factorisation with pivots on the diagonal.
    pub fn operations(&self) -> usize {
        self.elimination.operations()
    }

    /// The entries in the order of the pattern, to be filled before [`SparseLu::factorize`].
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Factorises the matrix of the present values.
    ///
    /// # Errors
    /// [`Singular`] where no pivot is found or an entry is not finite.
    pub fn factorize(&mut self) -> Result<(), Singular> {
        self.is_pivoted = !self.elimination.factorize(&self.values);
        if !self.is_pivoted {
            return Ok(());
        }
        if let Some(k) = self.values.iter().position(|v| !v.is_finite()) {
            let column = self.pattern.col_ptr().partition_point(|&start| start <= k) - 1;
            return Err(Singular { column });
        }
        if self.pivoting.is_none() {
            self.pivoting = Pivoting::new(&self.pattern);
        }
        match &mut self.pivoting {
            Some(pivoting) => pivoting.factorize(&self.pattern, &self.values),
            None => Err(Singular { column: 0 }),
        }
    }

    /// `b: n` becomes the solution of `A x = b`, A being the matrix last factorised.
    pub fn solve(&mut self, b: &mut [f64]) {
        self.solve_rows(b, 1);
    }

    /// `b: n × m`, row major, becomes the solution of `A X = B`. Allocates where m is larger than ever before.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        match &mut self.pivoting {
            Some(pivoting) if self.is_pivoted => pivoting.solve_rows(b, m),
            Some(_) | None => self.elimination.solve_rows(b, m),
        }
    }
}

impl Pivoting {
    fn new(pattern: &CscPattern) -> Option<Self> {
        let symbolic = factorize_symbolic_lu(view(pattern), LuSymbolicParams::default()).ok()?;
        let factor_memory =
            MemBuffer::try_new(symbolic.factorize_numeric_lu_scratch::<f64>(Par::Seq, Default::default())).ok()?;
        let solve_memory = MemBuffer::try_new(symbolic.solve_in_place_scratch::<f64>(1, Par::Seq)).ok()?;
        Some(Pivoting { symbolic, numeric: NumericLu::new(), factor_memory, solve_memory, most_sides: 1 })
    }

    fn factorize(&mut self, pattern: &CscPattern, values: &[f64]) -> Result<(), Singular> {
        let matrix = SparseColMatRef::new(view(pattern), values);
        let stack = MemStack::new(&mut self.factor_memory);
        self.symbolic
            .factorize_numeric_lu(&mut self.numeric, matrix, Par::Seq, stack, Default::default())
            .map(|_| ())
            .map_err(|_| Singular { column: 0 })
    }

    fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        if m > self.most_sides {
            self.solve_memory = MemBuffer::new(self.symbolic.solve_in_place_scratch::<f64>(m, Par::Seq));
            self.most_sides = m;
        }
        let lu = LuRef::new_unchecked(&self.symbolic, &self.numeric);
        let stack = MemStack::new(&mut self.solve_memory);
        let sides = MatMut::from_row_major_slice_mut(b, self.symbolic.nrows(), m);
        lu.solve_in_place_with_conj(Conj::No, sides, Par::Seq, stack);
    }
}

fn view(pattern: &CscPattern) -> SymbolicSparseColMatRef<'_, usize> {
    SymbolicSparseColMatRef::new_checked(pattern.n_rows(), pattern.n_cols(), pattern.col_ptr(), None, pattern.row_idx())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_that_needs_pivoting_is_solved_all_the_same() {
        // A cyclic permutation with a diagonal that is all but zero; then one that the diagonal carries; and back.
        let n = 40;
        let pattern = CscPattern::from_entries(n, n, (0..n).flat_map(|c| [(c, c), ((c + 1) % n, c), ((c + 7) % n, c)]));
        let mut lu = SparseLu::new(pattern.clone()).expect("memory");
        let exact: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
        for (diagonal, is_pivoted) in [(1e-14, true), (5.0, false), (1e-14, true)] {
            for col in 0..n {
                for (row, k) in pattern.column(col) {
                    let other = if row == (col + 1) % n { 2.0 } else { 0.3 };
                    lu.values_mut()[k] = if row == col { diagonal } else { other };
                }
            }
            let mut b = vec![0.0; n];
            pattern.mul_add(lu.values_mut(), &exact, &mut b);
            lu.factorize().expect("regular");
            assert_eq!(lu.is_pivoted, is_pivoted);
            lu.solve(&mut b);
            for (value, truth) in b.iter().zip(&exact) {
                assert!((value - truth).abs() < 1e-10 * truth, "{value} against {truth}");
            }
        }
    }
}
