//! Sparse LU with pivots on the diagonal in a fixed order: everything symbolic is done once per pattern.
//!
//! Made for `shift I - J`, whose diagonal carries the elimination as long as the shift or the decay of the states does.
//! The order is an approximate minimum degree order of the symmetrised pattern (Amestoy, Davis and Duff 1996; faer's),
//! the fill follows from the elimination tree (Liu 1990), and the numbers are computed column by column. Where a pivot
//! cancels or grows too much the factorisation is refused, and [`super::SparseLu`] falls back on partial pivoting.

use super::CscPattern;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::SymbolicSparseColMatRef;
use faer::sparse::linalg::amd;

/// A pivot may be this much smaller than the terms it is the sum of, and these this much larger than the matrix's own
/// entry: what is lost is then at most six digits, which the solution of a stage can bear. Unlike a comparison within
/// the column, it does not depend on the units of the states.
const GROWTH: f64 = 1e6;

/// The factors of one matrix after the other, all of one pattern.
#[derive(Debug, Clone)]
pub(super) struct Elimination {
    n: usize,
    /// The original index at each place of the order.
    order: Vec<usize>,
    /// Column j of the matrix in the new order: `(row, position of the value)`.
    matrix_ptr: Vec<usize>,
    matrix: Vec<(usize, usize)>,
    /// L without its unit diagonal, by columns.
    l_ptr: Vec<usize>,
    l_rows: Vec<usize>,
    l_values: Vec<f64>,
    /// U without its diagonal, by columns with ascending rows.
    u_ptr: Vec<usize>,
    u_rows: Vec<usize>,
    u_values: Vec<f64>,
    pivots: Vec<f64>,
    /// One column, zero between uses.
    column: Vec<f64>,
    /// Right-hand sides in the new order.
    sides: Vec<f64>,
}

impl Elimination {
    /// Orders a square pattern with a full diagonal. `None` where the memory for that cannot be had.
    pub fn new(pattern: &CscPattern) -> Option<Self> {
        let n = pattern.n_cols();
        let order = minimum_degree(pattern)?;
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);

        let mut matrix_ptr = vec![0];
        let mut matrix = Vec::with_capacity(pattern.nnz());
        // The rows below the diagonal of each column of the symmetrised matrix, to which the fill is added.
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); n];
        for (j, &old) in order.iter().enumerate() {
            for (row, k) in pattern.column(old) {
                let i = place[row];
                matrix.push((i, k));
                if i != j {
                    below[i.min(j)].push(i.max(j));
                }
            }
            matrix_ptr.push(matrix.len());
        }
        // A column's fill is that of its children in the elimination tree; a column's parent is its first row below.
        let (mut l_ptr, mut l_rows) = (vec![0], Vec::new());
        let mut above: Vec<Vec<usize>> = vec![Vec::new(); n];
        for j in 0..n {
            let mut rows = std::mem::take(&mut below[j]);
            rows.sort_unstable();
            rows.dedup();
            rows.iter().for_each(|&i| above[i].push(j));
            if let Some((&parent, rest)) = rows.split_first() {
                below[parent].extend_from_slice(rest);
            }
            l_rows.extend_from_slice(&rows);
            l_ptr.push(l_rows.len());
        }
        let u_ptr = std::iter::once(0).chain(above.iter().scan(0, |sum, rows| {
            *sum += rows.len();
            Some(*sum)
        }));
        Some(Elimination {
            n,
            u_ptr: u_ptr.collect(),
            u_values: vec![0.0; l_rows.len()],
            l_values: vec![0.0; l_rows.len()],
            u_rows: above.concat(),
            order,
            matrix_ptr,
            matrix,
            l_ptr,
            l_rows,
            pivots: vec![0.0; n],
            column: vec![0.0; n],
            sides: vec![0.0; n],
        })
    }

    /// Number of entries of L and U.
    pub fn fill(&self) -> usize {
        2 * self.l_rows.len() + self.n
    }

    /// Multiplications of one factorisation.
    pub fn operations(&self) -> usize {
        self.l_ptr.windows(2).map(|w| (w[1] - w[0]).pow(2)).sum()
    }

    /// Factorises the matrix with the given values. Returns false where a pivot cancels or grows too much.
    pub fn factorize(&mut self, values: &[f64]) -> bool {
        for j in 0..self.n {
            for &(row, k) in &self.matrix[self.matrix_ptr[j]..self.matrix_ptr[j + 1]] {
                self.column[row] = values[k];
            }
            let own = self.column[j].abs();
            let mut size = own;
            for q in self.u_ptr[j]..self.u_ptr[j + 1] {
                let k = self.u_rows[q];
                let factor = std::mem::take(&mut self.column[k]);
                self.u_values[q] = factor;
                if factor != 0.0 {
                    let before = self.column[j];
                    let range = self.l_ptr[k]..self.l_ptr[k + 1];
                    for (&row, l) in self.l_rows[range.clone()].iter().zip(&self.l_values[range]) {
                        self.column[row] -= l * factor;
                    }
                    size += (self.column[j] - before).abs();
                }
            }
            let pivot = std::mem::take(&mut self.column[j]);
            self.pivots[j] = pivot;
            // Written so that values that are not numbers are refused too.
            let is_sound = size <= GROWTH * pivot.abs() && size <= GROWTH * own && size.is_finite();
            let inverse = 1.0 / pivot;
            for q in self.l_ptr[j]..self.l_ptr[j + 1] {
                self.l_values[q] = std::mem::take(&mut self.column[self.l_rows[q]]) * inverse;
            }
            if !(is_sound && pivot != 0.0) {
                return false;
            }
        }
        true
    }

    /// `b: n × m`, row major, becomes the solution. Allocates where m is larger than ever before.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        if m == 0 || self.n == 0 {
            return;
        }
        if self.sides.len() < self.n * m {
            self.sides.resize(self.n * m, 0.0);
        }
        let sides = &mut self.sides[..self.n * m];
        for (row, &old) in sides.chunks_exact_mut(m).zip(&self.order) {
            row.copy_from_slice(&b[old * m..(old + 1) * m]);
        }
        for j in 0..self.n {
            let (head, tail) = sides.split_at_mut((j + 1) * m);
            let row_j = &head[j * m..];
            for q in self.l_ptr[j]..self.l_ptr[j + 1] {
                let start = (self.l_rows[q] - j - 1) * m;
                subtract(&mut tail[start..start + m], self.l_values[q], row_j);
            }
        }
        for j in (0..self.n).rev() {
            let (head, tail) = sides.split_at_mut(j * m);
            let row_j = &mut tail[..m];
            row_j.iter_mut().for_each(|value| *value /= self.pivots[j]);
            for q in self.u_ptr[j]..self.u_ptr[j + 1] {
                let start = self.u_rows[q] * m;
                subtract(&mut head[start..start + m], self.u_values[q], row_j);
            }
        }
        for (row, &old) in sides.chunks_exact(m).zip(&self.order) {
            b[old * m..(old + 1) * m].copy_from_slice(row);
        }
    }
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(value, o)| *value -= factor * o);
}

/// An order of small fill for the pattern made symmetric.
fn minimum_degree(pattern: &CscPattern) -> Option<Vec<usize>> {
    let n = pattern.n_cols();
    let view = SymbolicSparseColMatRef::new_checked(n, n, pattern.col_ptr(), None, pattern.row_idx());
    let (mut order, mut inverse) = (vec![0; n], vec![0; n]);
    let need = amd::order_maybe_unsorted_scratch::<usize>(n, pattern.nnz());
    let mut memory = MemBuffer::try_new(need).ok()?;
    let stack = MemStack::new(&mut memory);
    amd::order_maybe_unsorted(&mut order, &mut inverse, view, amd::Control::default(), stack).ok()?;
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banded_pattern_has_no_fill_worth_the_name() {
        let entries = (0..100_usize).flat_map(|c| (c.saturating_sub(1)..(c + 2).min(100)).map(move |r| (r, c)));
        let elimination = Elimination::new(&CscPattern::from_entries(100, 100, entries)).expect("memory");
        assert_eq!(elimination.fill(), 298);
    }

    #[test]
    fn a_hub_is_eliminated_last() {
        // An arrow: the first row and column are full. In the given order everything would fill.
        let entries = (0..50).flat_map(|i| [(i, i), (0, i), (i, 0)]);
        let elimination = Elimination::new(&CscPattern::from_entries(50, 50, entries)).expect("memory");
        assert_eq!(elimination.fill(), 148);
    }

    #[test]
    fn a_pivot_that_cancels_or_is_lost_is_refused() {
        let pattern = CscPattern::dense(2, 2);
        let mut elimination = Elimination::new(&pattern).expect("memory");
        assert!(elimination.factorize(&[2.0, 1.0, 1.0, 2.0]));
        assert!(!elimination.factorize(&[1.0, 1.0, 1.0, 1.0 + 1e-12]));
        assert!(!elimination.factorize(&[1e-12, 1.0, 1.0, 1e-12]));
        assert!(!elimination.factorize(&[1.0, f64::NAN, 1.0, 1.0]));
        // A refusal leaves nothing behind.
        assert!(elimination.factorize(&[2.0, 1.0, 1.0, 2.0]));
        let mut b = [3.0, 3.0];
        elimination.solve_rows(&mut b, 1);
        assert!(b.iter().all(|x| (x - 1.0).abs() < 1e-15), "{b:?}");
    }
}
