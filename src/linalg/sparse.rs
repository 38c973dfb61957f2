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

/// A matrix is singular to rounding where a solution is off by this share: not one digit of it is right. Matrices close
/// to that are accepted, because `shift I - J` of a system with conserved totals becomes one as the steps grow, and is
/// then solved for right-hand sides that its near null space does not touch.
const LOST: f64 = 0.1;

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
    /// The matrix with rows and columns brought to one scale, `nnz`.
    scaled: Vec<f64>,
    /// Powers of two that rows and columns are multiplied by for that.
    row_scales: Vec<f64>,
    column_scales: Vec<f64>,
    /// The solution of the probe.
    probe: Vec<f64>,
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
    /// [`Singular`] where no pivot is found, an entry is not finite, or the factors solve nothing to one digit.
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
        let n = pattern.n_cols();
        Some(Pivoting {
            symbolic,
            numeric: NumericLu::new(),
            factor_memory,
            solve_memory,
            most_sides: 1,
            scaled: vec![0.0; pattern.nnz()],
            row_scales: vec![1.0; n],
            column_scales: vec![1.0; n],
            probe: vec![0.0; n],
        })
    }

    fn factorize(&mut self, pattern: &CscPattern, values: &[f64]) -> Result<(), Singular> {
        self.scale(pattern, values)?;
        let matrix = SparseColMatRef::new(view(pattern), &self.scaled);
        let stack = MemStack::new(&mut self.factor_memory);
        self.symbolic
            .factorize_numeric_lu(&mut self.numeric, matrix, Par::Seq, stack, Default::default())
            .map_err(|_| Singular { column: 0 })?;
        self.check(pattern)
    }

    /// Brings the largest entry of every row and column near 1, so that the choice of pivots does not depend on the
    /// units of the states (Ruiz 2001, A scaling algorithm to equilibrate both rows and columns norms in matrices).
    fn scale(&mut self, pattern: &CscPattern, values: &[f64]) -> Result<(), Singular> {
        // Each sweep takes the square root of what is left to do: powers of 1e12 come below 6.
        const SWEEPS: usize = 4;
        self.scaled.copy_from_slice(values);
        self.row_scales.fill(1.0);
        self.column_scales.fill(1.0);
        for _ in 0..SWEEPS {
            let (rows, columns) = (&mut self.probe, &mut self.column_scales);
            rows.fill(0.0);
            for (&row, value) in pattern.row_idx().iter().zip(&self.scaled) {
                rows[row] = rows[row].max(value.abs());
            }
            for (column, total) in columns.iter_mut().enumerate() {
                let largest = pattern.column(column).fold(0.0_f64, |a, (_, k)| a.max(self.scaled[k].abs()));
                if largest == 0.0 {
                    return Err(Singular { column });
                }
                let factor = power_of_two(largest);
                *total *= factor;
                for (row, k) in pattern.column(column) {
                    self.scaled[k] *= factor * power_of_two(rows[row]);
                }
            }
            self.row_scales.iter_mut().zip(rows).for_each(|(total, &mut row)| *total *= power_of_two(row));
        }
        Ok(())
    }

    /// Solves for a known solution: the factors of a singular matrix come without a complaint.
    fn check(&mut self, pattern: &CscPattern) -> Result<(), Singular> {
        // Multiples of the golden ratio, so that no sum is exact.
        let known = |column: usize| 1.0 + (0.618_033_988_749_894_9 * column as f64).fract();
        let mut probe = std::mem::take(&mut self.probe);
        probe.fill(0.0);
        for column in 0..probe.len() {
            pattern.column(column).for_each(|(row, k)| probe[row] += self.scaled[k] * known(column));
        }
        self.solve_scaled(&mut probe, 1);
        // Written so that what is not a number is an error too.
        let is_right = |column: usize, value: f64| (value - known(column)).abs() <= LOST * known(column);
        let wrong = probe.iter().enumerate().position(|(column, &value)| !is_right(column, value));
        self.probe = probe;
        wrong.map_or(Ok(()), |column| Err(Singular { column }))
    }

    fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        scale_rows(b, &self.row_scales, m);
        self.solve_scaled(b, m);
        scale_rows(b, &self.column_scales, m);
    }

    fn solve_scaled(&mut self, b: &mut [f64], m: usize) {
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

/// `b: n × m`, row major, each row multiplied by its scale.
fn scale_rows(b: &mut [f64], scales: &[f64], m: usize) {
    for (row, scale) in b.chunks_exact_mut(m.max(1)).zip(scales) {
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

/// The power of two near `1/sqrt(size)`, which multiplies without rounding; 1 for zero.
fn power_of_two(size: f64) -> f64 {
    if size > 0.0 && size.is_finite() { (-0.5 * size.log2()).round().exp2() } else { 1.0 }
}

fn view(pattern: &CscPattern) -> SymbolicSparseColMatRef<'_, usize> {
    SymbolicSparseColMatRef::new_checked(pattern.n_rows(), pattern.n_cols(), pattern.col_ptr(), None, pattern.row_idx())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exchange between neighbours on a ring, nothing lost but by `leak`; each state has a unit of its own.
    fn ring(n: usize, leak: f64, unit: impl Fn(usize) -> f64) -> SparseLu {
        let pattern = CscPattern::from_entries(n, n, (0..n).flat_map(|c| [(c, c), ((c + 1) % n, c), ((c + 7) % n, c)]));
        let mut lu = SparseLu::new(pattern.clone()).expect("memory");
        for col in 0..n {
            let (a, b) = (1.0 / (3.0 + col as f64), 0.1 * (col as f64).sqrt());
            for (row, k) in pattern.column(col) {
                let own = if row == (col + 1) % n { -a } else { -b };
                lu.values_mut()[k] = if row == col { a + b + leak } else { own } * unit(col) / unit(row);
            }
        }
        lu
    }

    #[test]
    fn a_matrix_that_is_singular_to_rounding_is_refused() {
        type Unit = fn(usize) -> f64;
        let cases: [(Unit, &[f64]); 2] =
            [(|_| 1.0, &[1.0, 1e-3, 1e-9, 1e-14]), (|i| 10_f64.powi((i % 13) as i32 - 6), &[1.0, 1e-3, 1e-9])];
        for (unit, regular) in cases {
            assert!(ring(40, 0.0, unit).factorize().is_err(), "all columns add up to zero");
            assert!(ring(40, 1e-18, unit).factorize().is_err(), "the leak is below rounding");
            for &leak in regular {
                let mut lu = ring(40, leak, unit);
                assert_eq!(lu.factorize(), Ok(()), "leak {leak}");
            }
        }
    }

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
