//! The elimination of `shift I - J` with pivots on the diagonal, without numbers: what is filled, in which order.
//!
//! The fill of a column is what can be reached from its entries through the columns of L before it (Gilbert and
//! Peierls 1988, Sparse partial pivoting in time proportional to arithmetic operations), so that it is exact for
//! unsymmetric patterns. Where L and U have mirrored entries (j, k) and (k, j), what column k reaches beyond j is
//! reached through j too and need not be looked at (Eisenstat and Liu 1992, Exploiting structural symmetry in
//! unsymmetric sparse symbolic factorization). [`super::SparseLu`] computes with it; so does machine code made from it.

use super::CscPattern;
use super::order::small_fill;

/// A pivot may be this much smaller than the terms it is the sum of, and these this much larger than the matrix's own
/// entry: what is lost is then at most six digits, which the solution of a stage can bear. Unlike a comparison within
/// the column, it does not depend on the units of the states. Elimination with fixed pivots stops where it is exceeded.
pub const GROWTH: f64 = 1e6;

/// A dense matrix does without indices, exchanges rows and is computed by panels, so that it may be this empty (chosen by
/// benchmark, see benches/linear.rs).
const TAIL_SHARE: f64 = 0.75;
/// Smaller ones are not worth the detour (likewise).
const SMALLEST_TAIL: usize = 24;

/// What elimination with fixed pivots does. Rows and columns are numbered by their place in the order, but for
/// [`Symbolic::order`] and the positions of [`Symbolic::entries`].
#[derive(Debug, Clone)]
pub struct Symbolic {
    order: Vec<u32>,
    entry_ptr: Vec<u32>,
    entries: Vec<(u32, u32)>,
    lower_ptr: Vec<u32>,
    lower: Vec<u32>,
    upper_ptr: Vec<u32>,
    upper: Vec<u32>,
}

impl Symbolic {
    /// Orders a square pattern and finds its fill. `None` where it does not fit in memory or in 32-bit indices.
    pub fn new(pattern: &CscPattern) -> Option<Self> {
        let order = small_fill(pattern)?;
        Self::of_order(pattern, &order)
    }

    /// Finds the fill for a given order; `order: n`, the original index at each place.
    fn of_order(pattern: &CscPattern, order: &[usize]) -> Option<Self> {
        let n = pattern.n_cols();
        u32::try_from(pattern.nnz()).ok()?;
        let mut place = vec![0_u32; n];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new as u32);
        let mut symbolic = Symbolic {
            order: order.iter().map(|&old| old as u32).collect(),
            entry_ptr: vec![0],
            entries: Vec::with_capacity(pattern.nnz()),
            lower_ptr: vec![0],
            lower: Vec::new(),
            upper_ptr: vec![0],
            upper: Vec::new(),
        };
        let mut mark = vec![u32::MAX; n];
        let mut stack = Vec::new();
        // Where to stop in each column of L.
        let mut ends: Vec<usize> = Vec::with_capacity(n);
        for (j, &old) in order.iter().enumerate() {
            let column = j as u32;
            mark[j] = column;
            symbolic.entries.extend(pattern.column(old).map(|(row, k)| (place[row], k as u32)));
            let begin = symbolic.entry_ptr[j] as usize;
            let (upper_begin, lower_begin) = (symbolic.upper.len(), symbolic.lower.len());
            stack.extend(symbolic.entries[begin..].iter().map(|&(row, _)| row));
            while let Some(row) = stack.pop() {
                if mark[row as usize] == column {
                    continue;
                }
                mark[row as usize] = column;
                if row < column {
                    symbolic.upper.push(row);
                    let below = symbolic.lower_ptr[row as usize] as usize..ends[row as usize];
                    stack.extend(symbolic.lower[below].iter().filter(|&&i| mark[i as usize] != column));
                } else {
                    symbolic.lower.push(row);
                }
            }
            symbolic.upper[upper_begin..].sort_unstable();
            symbolic.lower[lower_begin..].sort_unstable();
            for &k in &symbolic.upper[upper_begin..] {
                let (k, all) = (k as usize, symbolic.lower_range(k as usize));
                if ends[k] == all.end
                    && let Ok(mirrored) = symbolic.lower[all.clone()].binary_search(&column)
                {
                    ends[k] = all.start + mirrored + 1;
                }
            }
            ends.push(symbolic.lower.len());
            symbolic.entry_ptr.push(u32::try_from(symbolic.entries.len()).ok()?);
            symbolic.upper_ptr.push(u32::try_from(symbolic.upper.len()).ok()?);
            symbolic.lower_ptr.push(u32::try_from(symbolic.lower.len()).ok()?);
        }
        Some(symbolic)
    }

    /// The order of the matrix.
    pub fn n(&self) -> usize {
        self.order.len()
    }

    /// The original index at each place of the order.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The stored entries of a column of the matrix: row, and position among the Jacobian's values.
    pub fn entries(&self, column: usize) -> &[(u32, u32)] {
        &self.entries[self.entry_ptr[column] as usize..self.entry_ptr[column + 1] as usize]
    }

    /// The rows of a column of L below the diagonal, ascending.
    pub fn lower(&self, column: usize) -> &[u32] {
        &self.lower[self.lower_range(column)]
    }

    /// Where the entries of [`Symbolic::lower`] stand among all of L.
    pub fn lower_range(&self, column: usize) -> std::ops::Range<usize> {
        self.lower_ptr[column] as usize..self.lower_ptr[column + 1] as usize
    }

    /// The rows of a column of U above the diagonal, ascending.
    pub fn upper(&self, column: usize) -> &[u32] {
        &self.upper[self.upper_range(column)]
    }

    /// Where the entries of [`Symbolic::upper`] stand among all of U.
    pub fn upper_range(&self, column: usize) -> std::ops::Range<usize> {
        self.upper_ptr[column] as usize..self.upper_ptr[column + 1] as usize
    }

    /// Entries of L below the diagonal.
    pub fn n_lower(&self) -> usize {
        self.lower.len()
    }

    /// Entries of U above the diagonal.
    pub fn n_upper(&self) -> usize {
        self.upper.len()
    }

    /// Entries of L and U, the diagonal once.
    pub fn fill(&self) -> usize {
        self.n_lower() + self.n_upper() + self.n()
    }

    /// The first column from which on what is left to eliminate is dense: most of it is filled. `n`
    /// where that is not worth a dense matrix.
    pub fn dense_tail(&self) -> usize {
        let n = self.n();
        let mut row_lens = vec![0_usize; n];
        self.upper.iter().for_each(|&k| row_lens[k as usize] += 1);
        let mut filled = 0;
        let mut tail = n;
        for j in (0..n).rev() {
            filled += self.lower_range(j).len() + row_lens[j] + 1;
            if filled as f64 >= TAIL_SHARE * ((n - j) as f64).powi(2) {
                tail = j;
            }
        }
        if n - tail < SMALLEST_TAIL { n } else { tail }
    }

    /// Multiplications of one factorisation.
    pub fn operations(&self) -> usize {
        self.upper.iter().map(|&k| self.lower_range(k as usize).len()).sum::<usize>() + self.fill()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banded_pattern_has_no_fill_worth_the_name() {
        for n in [100_usize, 400] {
            let entries = (0..n).flat_map(|c| (c.saturating_sub(1)..(c + 2).min(n)).map(move |r| (r, c)));
            let symbolic = Symbolic::new(&CscPattern::from_entries(n, n, entries)).expect("memory");
            assert_eq!(symbolic.fill(), 3 * n - 2);
        }
    }

    #[test]
    fn the_fill_of_a_triangular_matrix_is_its_own() {
        let n = 40;
        let entries = (0..n).flat_map(|c| (c..n).step_by(3).map(move |r| (r, c)));
        let pattern = CscPattern::from_entries(n, n, entries);
        let symbolic = Symbolic::new(&pattern).expect("memory");
        assert_eq!(symbolic.fill(), pattern.nnz());
    }

    #[test]
    fn the_fill_is_that_of_elimination_in_a_full_matrix() {
        let mut state = 3_u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        for n in [5, 20, 70] {
            for per_column in [1, 2, 4] {
                let entries: Vec<_> = (0..n * per_column).map(|k| (below(n), k % n)).collect();
                let pattern = CscPattern::from_entries(n, n, entries.iter().copied());
                let order: Vec<usize> = (0..n).collect();
                let symbolic = Symbolic::of_order(&pattern, &order).expect("memory");
                let mut full = vec![vec![false; n]; n];
                entries.iter().for_each(|&(r, c)| full[r][c] = true);
                for k in 0..n {
                    let pivot_row = full[k].clone();
                    for row in full[k + 1..].iter_mut().filter(|row| row[k]) {
                        (k + 1..n).for_each(|c| row[c] |= pivot_row[c]);
                    }
                }
                (0..n).for_each(|c| {
                    let rows = |range: std::ops::Range<usize>| -> Vec<u32> {
                        range.filter(|&r| full[r][c]).map(|r| r as u32).collect()
                    };
                    assert_eq!(symbolic.upper(c), rows(0..c), "n = {n}, column {c}");
                    assert_eq!(symbolic.lower(c), rows(c + 1..n), "n = {n}, column {c}");
                });
            }
        }
    }

    #[test]
    fn the_fill_is_that_of_elimination_by_hand() {
        // [x . x; x x .; . x x] in the given order: row 1 gets (1, 2) from row 0.
        let pattern = CscPattern::from_entries(3, 3, [(0, 0), (1, 0), (1, 1), (2, 1), (0, 2), (2, 2)]);
        let symbolic = Symbolic::of_order(&pattern, &[0, 1, 2]).expect("memory");
        assert_eq!((symbolic.lower(0), symbolic.lower(1), symbolic.lower(2)), (&[1][..], &[2][..], &[][..]));
        assert_eq!((symbolic.upper(0), symbolic.upper(1), symbolic.upper(2)), (&[][..], &[][..], &[0, 1][..]));
        assert_eq!(symbolic.operations(), 2 + symbolic.fill());
    }
}
