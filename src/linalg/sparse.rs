//! Sparse LU factorisation with partial pivoting on faer: the ordering once per pattern, the numbers many times.
//!
//! faer orders the columns by COLAMD and factorises column by column (Gilbert and Peierls 1988) or by supernodes.
//! Buffers are kept between calls. faer grows the storage of the factors on the first factorisation, and again only
//! if a later pivot sequence makes more fill than any before; there is no other allocation after construction.

use super::{CscPattern, Singular};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::lu::{LuRef, LuSymbolicParams, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::{Conj, MatMut, Par};

/// A sparse square matrix and, after [`SparseLu::factorize`], its factors.
pub struct SparseLu {
    pattern: CscPattern,
    values: Vec<f64>,
    symbolic: SymbolicLu<usize>,
    numeric: NumericLu<usize, f64>,
    factor_memory: MemBuffer,
    solve_memory: MemBuffer,
}

impl SparseLu {
    /// Orders the columns of a square pattern. `None` where the memory does not suffice.
    pub fn new(pattern: CscPattern) -> Option<Self> {
        let symbolic = factorize_symbolic_lu(view(&pattern), LuSymbolicParams::default()).ok()?;
        let factor_memory =
            MemBuffer::try_new(symbolic.factorize_numeric_lu_scratch::<f64>(Par::Seq, Default::default())).ok()?;
        let solve_memory = MemBuffer::try_new(symbolic.solve_in_place_scratch::<f64>(1, Par::Seq)).ok()?;
        let values = vec![0.0; pattern.nnz()];
        Some(SparseLu { pattern, values, symbolic, numeric: NumericLu::new(), factor_memory, solve_memory })
    }

    /// The order.
    pub fn order(&self) -> usize {
        self.pattern.n_cols()
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
        if let Some(k) = self.values.iter().position(|v| !v.is_finite()) {
            let column = self.pattern.col_ptr().partition_point(|&start| start <= k) - 1;
            return Err(Singular { column });
        }
        let matrix = SparseColMatRef::new(view(&self.pattern), self.values.as_slice());
        let stack = MemStack::new(&mut self.factor_memory);
        self.symbolic
            .factorize_numeric_lu(&mut self.numeric, matrix, Par::Seq, stack, Default::default())
            .map(|_| ())
            .map_err(|_| Singular { column: 0 })
    }

    /// `b: n` becomes the solution of `A x = b`, A being the matrix last factorised.
    pub fn solve(&mut self, b: &mut [f64]) {
        let lu = LuRef::new_unchecked(&self.symbolic, &self.numeric);
        let n = b.len();
        let stack = MemStack::new(&mut self.solve_memory);
        lu.solve_in_place_with_conj(Conj::No, MatMut::from_column_major_slice_mut(b, n, 1), Par::Seq, stack);
    }
}

fn view(pattern: &CscPattern) -> SymbolicSparseColMatRef<'_, usize> {
    SymbolicSparseColMatRef::new_checked(pattern.n_rows(), pattern.n_cols(), pattern.col_ptr(), None, pattern.row_idx())
}
