//! LU with partial pivoting of a sparse matrix: what elimination with fixed pivots falls back on.
//!
//! Small matrices are dense here. Large ones go to faer, which orders the columns by COLAMD, chooses rows by size and lets
//! the storage of its factors grow when a pivot sequence makes more fill than any before. Rows and columns are scaled
//! first, and the factors tried out on a known solution.

use super::dense::clear_upper_halves;
use super::{CscPattern, DenseLu, Singular};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::LuError;
use faer::sparse::linalg::lu::{LuRef, LuSymbolicParams, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::{Conj, MatMut, Par};

/// Up to this order the matrix is dense.
const DENSE_ORDER: usize = 16;

/// A matrix is singular to rounding where a solution is off by this share: not one digit of it is right. Matrices close
/// to that are accepted, because `shift I - J` of a system with conserved totals becomes one as the steps grow, and is
/// then solved for right-hand sides that its near null space does not touch.
const LOST: f64 = 0.1;

/// `shift I - J` and, after [`PivotedLu::factorize`], its factors.
pub(super) enum PivotedLu {
    /// Of small matrices.
    Dense(DenseShifted),
    /// By faer.
    Sparse(Box<Pivoting>),
}

impl PivotedLu {
    /// Prepares for Jacobians of one pattern. `None` where the memory does not suffice.
    pub fn new(pattern: &CscPattern) -> Option<Self> {
        if pattern.n_cols() <= DENSE_ORDER {
            return Some(PivotedLu::Dense(DenseShifted::new(pattern)));
        }
        Some(PivotedLu::Sparse(Box::new(Pivoting::new(pattern)?)))
    }

    /// Factorises `shift I - J`.
    ///
    /// # Errors
    /// [`Singular`] where no pivot is found, an entry is not finite, or the factors of a large matrix solve nothing to
    /// one digit.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> Result<(), Singular> {
        match self {
            PivotedLu::Dense(lu) => lu.factorize(shift, jacobian),
            PivotedLu::Sparse(lu) => lu.factorize(shift, jacobian),
        }
    }

    /// `b: n × m`, row major, becomes the solution. Allocates where m is larger than ever before.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        match self {
            PivotedLu::Dense(lu) => lu.solve_rows(b, m),
            PivotedLu::Sparse(lu) => lu.solve_rows(b, m),
        }
    }
}

/// `shift I - J` as a dense matrix.
#[derive(Debug, Clone)]
pub struct DenseShifted {
    lu: DenseLu,
    /// Where each entry of the Jacobian goes in the matrix.
    entries: Vec<usize>,
}

impl DenseShifted {
    /// For Jacobians of one square pattern.
    pub fn new(pattern: &CscPattern) -> Self {
        let n = pattern.n_cols();
        let entries = (0..n).flat_map(|c| pattern.column(c).map(move |(r, _)| c * n + r)).collect();
        DenseShifted { lu: DenseLu::new(n), entries }
    }

    /// Factorises `shift I - J`.
    ///
    /// # Errors
    /// [`Singular`] where no pivot is found or an entry is not finite.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> Result<(), Singular> {
        let n = self.lu.order();
        let values = self.lu.values_mut();
        values.fill(0.0);
        values.iter_mut().step_by(n + 1).for_each(|value| *value = shift);
        for (&entry, value) in self.entries.iter().zip(jacobian) {
            values[entry] -= value;
        }
        self.lu.factorize()
    }

    /// `b: n` becomes the solution.
    pub fn solve(&self, b: &mut [f64]) {
        self.lu.solve(b);
    }

    /// `b: n × m`, row major, becomes the solution.
    pub fn solve_rows(&self, b: &mut [f64], m: usize) {
        self.lu.solve_rows(b, m);
    }
}

/// Right-hand sides that are solved for at once.
const SIDES: usize = 4;

/// Partial pivoting by faer.
pub(super) struct Pivoting {
    /// The Jacobian's pattern with a full diagonal.
    full: CscPattern,
    values: Vec<f64>,
    /// Where each entry of the Jacobian and the diagonal stand in `values`.
    entries: Vec<usize>,
    diagonal: Vec<usize>,
    symbolic: SymbolicLu<usize>,
    numeric: NumericLu<usize, f64>,
    factor_memory: MemBuffer,
    solve_memory: MemBuffer,
    /// How many right-hand sides the memory suffices for.
    most_sides: usize,
    /// The matrix with rows and columns brought to one scale.
    scaled: Vec<f64>,
    /// Powers of two that rows and columns are multiplied by for that.
    row_scales: Vec<f64>,
    column_scales: Vec<f64>,
    /// The solution of the probe.
    probe: Vec<f64>,
    /// Some right-hand sides.
    group: Vec<f64>,
}

impl Pivoting {
    fn new(pattern: &CscPattern) -> Option<Self> {
        let n = pattern.n_cols();
        let stored = || (0..n).flat_map(|c| pattern.column(c).map(move |(r, _)| (r, c)));
        let full = CscPattern::from_entries(n, n, stored().chain((0..n).map(|i| (i, i))));
        let entries = stored().map(|(r, c)| full.position(r, c)).collect::<Option<Vec<_>>>()?;
        let diagonal = (0..n).map(|i| full.position(i, i)).collect::<Option<Vec<_>>>()?;
        let symbolic = factorize_symbolic_lu(view(&full), LuSymbolicParams::default()).ok()?;
        let factor_memory =
            MemBuffer::try_new(symbolic.factorize_numeric_lu_scratch::<f64>(Par::Seq, Default::default())).ok()?;
        let solve_memory = MemBuffer::try_new(symbolic.solve_in_place_scratch::<f64>(1, Par::Seq)).ok()?;
        Some(Pivoting {
            values: vec![0.0; full.nnz()],
            scaled: vec![0.0; full.nnz()],
            full,
            entries,
            diagonal,
            symbolic,
            numeric: NumericLu::new(),
            factor_memory,
            solve_memory,
            most_sides: 1,
            row_scales: vec![1.0; n],
            column_scales: vec![1.0; n],
            probe: vec![0.0; n],
            group: Vec::new(),
        })
    }

    fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> Result<(), Singular> {
        self.values.fill(0.0);
        self.diagonal.iter().for_each(|&k| self.values[k] = shift);
        for (&entry, value) in self.entries.iter().zip(jacobian) {
            self.values[entry] -= value;
        }
        if let Some(k) = self.values.iter().position(|v| !v.is_finite()) {
            let column = self.full.col_ptr().partition_point(|&start| start <= k) - 1;
            return Err(Singular { column });
        }
        self.scale()?;
        let matrix = SparseColMatRef::new(view(&self.full), &self.scaled);
        let stack = MemStack::new(&mut self.factor_memory);
        let done = self.symbolic.factorize_numeric_lu(&mut self.numeric, matrix, Par::Seq, stack, Default::default());
        let done = done.map(|_| ());
        clear_upper_halves();
        match done {
            Ok(()) => self.check(),
            Err(LuError::SymbolicSingular { index }) => {
                let column = self.symbolic.col_perm().arrays().0.get(index).copied().unwrap_or(0);
                Err(Singular { column })
            }
            Err(LuError::Generic(_)) => Err(Singular { column: 0 }),
        }
    }

    /// Brings the largest entry of every row and column near 1, so that the choice of pivots does not depend on the
    /// units of the states (Ruiz 2001, A scaling algorithm to equilibrate both rows and columns norms in matrices).
    fn scale(&mut self) -> Result<(), Singular> {
        // Each sweep takes the square root of what is left to do: powers of 1e12 come below 6.
        const SWEEPS: usize = 4;
        self.scaled.copy_from_slice(&self.values);
        self.row_scales.fill(1.0);
        self.column_scales.fill(1.0);
        for _ in 0..SWEEPS {
            let (rows, columns) = (&mut self.probe, &mut self.column_scales);
            rows.fill(0.0);
            for (&row, value) in self.full.row_idx().iter().zip(&self.scaled) {
                rows[row] = rows[row].max(value.abs());
            }
            for (column, total) in columns.iter_mut().enumerate() {
                let largest = self.full.column(column).fold(0.0_f64, |a, (_, k)| a.max(self.scaled[k].abs()));
                if largest == 0.0 {
                    return Err(Singular { column });
                }
                let factor = power_of_two(largest);
                *total *= factor;
                for (row, k) in self.full.column(column) {
                    self.scaled[k] *= factor * power_of_two(rows[row]);
                }
            }
            self.row_scales.iter_mut().zip(rows).for_each(|(total, &mut row)| *total *= power_of_two(row));
        }
        Ok(())
    }

    /// Solves for a known solution: the factors of a singular matrix come without a complaint.
    fn check(&mut self) -> Result<(), Singular> {
        // Multiples of the golden ratio, so that no sum is exact.
        let known = |column: usize| 1.0 + (0.618_033_988_749_894_9 * column as f64).fract();
        let mut probe = std::mem::take(&mut self.probe);
        probe.fill(0.0);
        for column in 0..probe.len() {
            self.full.column(column).for_each(|(row, k)| probe[row] += self.scaled[k] * known(column));
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
        if m <= SIDES {
            self.solve_scaled(b, m);
        } else {
            // In groups, so that the bits of a solution do not depend on how many others there are.
            let mut group = std::mem::take(&mut self.group);
            for first in (0..m).step_by(SIDES) {
                let width = SIDES.min(m - first);
                group.clear();
                b.chunks_exact(m).for_each(|row| group.extend_from_slice(&row[first..first + width]));
                self.solve_scaled(&mut group, width);
                for (row, part) in b.chunks_exact_mut(m).zip(group.chunks_exact(width)) {
                    row[first..first + width].copy_from_slice(part);
                }
            }
            self.group = group;
        }
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
        clear_upper_halves();
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
