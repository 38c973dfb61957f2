//! `shift I - J` of several members of an ensemble at once: one elimination without numbers, its steps carried out on
//! rows of L numbers.
//!
//! What depends on the pattern alone is written down once as a list of multiplications; going through the list costs
//! the same for one member as for L, and the operations on a row are ones the compiler makes vector code of. Every lane
//! is computed as if it were alone: there is no branch on a value. Pivots stand on the diagonal; a lane where one cancels
//! or grows too much is told apart, and its member is left to a solver that exchanges rows.

// Loops over lanes go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use super::{CscPattern, GROWTH, Symbolic};

/// `target -= left · right`, all positions among the factors.
#[derive(Debug, Clone, Copy)]
struct Update {
    target: u32,
    left: u32,
    right: u32,
}

/// One column of the elimination, and the row of the same number in the solves.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    /// Its place in the matrix.
    original: u32,
    /// Where its updates end, those of the diagonal not counted.
    updates_end: u32,
    /// Where its updates of the diagonal end.
    pivot_end: u32,
    /// Where its entries of L end among the factors.
    l_end: u32,
    /// Where the entries of its row of L and of U end.
    lower_end: u32,
    upper_end: u32,
}

/// Factors of L matrices of one pattern.
#[derive(Debug, Clone)]
pub struct LaneLu<const L: usize> {
    n: usize,
    columns: Vec<Column>,
    updates: Vec<Update>,
    /// `(left, right)` of what is subtracted from a diagonal.
    pivot_updates: Vec<(u32, u32)>,
    /// `(element of the solution, position among the factors)` by rows of L, and of U.
    lower: Vec<(u32, u32)>,
    upper: Vec<(u32, u32)>,
    /// The position of each entry of the Jacobian.
    entries: Vec<u32>,
    /// Positions that the Jacobian does not fill.
    fill: Vec<u32>,
    /// The diagonal in the order of elimination, then L and U; pivots are kept as their inverses.
    factors: Vec<[f64; L]>,
}

impl<const L: usize> LaneLu<L> {
    /// Prepares for the Jacobians of a square pattern. `None` where the memory for that cannot be had.
    pub fn new(pattern: &CscPattern) -> Option<Self> {
        let n = pattern.n_cols();
        let symbolic = Symbolic::new(pattern)?;
        let order = symbolic.order();
        let n_lower = symbolic.n_lower();
        let n_factors = n + n_lower + symbolic.n_upper();
        u32::try_from(n_factors).ok()?;
        // Positions of the entries of a column of L and of U among the factors, with their rows.
        let lower_of = |j: usize| symbolic.lower_range(j).map(|q| (n + q) as u32).zip(symbolic.lower(j));
        let upper_of = |j: usize| symbolic.upper_range(j).map(|q| (n + n_lower + q) as u32).zip(symbolic.upper(j));
        // Where each row of the column at hand stands among the factors.
        let mut position = vec![u32::MAX; n];
        let mut is_filled = vec![true; n_factors];
        is_filled[..n].fill(false);
        let mut lu = LaneLu {
            n,
            columns: Vec::with_capacity(n),
            updates: Vec::new(),
            pivot_updates: Vec::new(),
            lower: Vec::with_capacity(n_lower),
            upper: Vec::with_capacity(symbolic.n_upper()),
            entries: vec![0; pattern.nnz()],
            fill: Vec::new(),
            factors: vec![[0.0; L]; n_factors],
        };
        let (mut lower_rows, mut upper_rows) = (vec![Vec::new(); n], vec![Vec::new(); n]);
        for j in 0..n {
            upper_of(j).chain(lower_of(j)).for_each(|(at, &row)| position[row as usize] = at);
            position[j] = j as u32;
            for &(row, k) in symbolic.entries(j) {
                let at = position[row as usize];
                lu.entries[k as usize] = at;
                is_filled[at as usize] = false;
            }
            for (right, &column) in upper_of(j) {
                for (left, &row) in lower_of(column as usize) {
                    if row as usize == j {
                        lu.pivot_updates.push((left, right));
                    } else {
                        lu.updates.push(Update { target: position[row as usize], left, right });
                    }
                }
                upper_rows[column as usize].push((order[j], right));
            }
            for (at, &row) in lower_of(j) {
                lower_rows[row as usize].push((order[j], at));
            }
            lu.columns.push(Column {
                original: order[j],
                updates_end: u32::try_from(lu.updates.len()).ok()?,
                pivot_end: u32::try_from(lu.pivot_updates.len()).ok()?,
                l_end: (n + symbolic.lower_range(j).end) as u32,
                lower_end: 0,
                upper_end: 0,
            });
        }
        for ((column, lower), upper) in lu.columns.iter_mut().zip(&lower_rows).zip(&upper_rows) {
            lu.lower.extend(lower);
            lu.upper.extend(upper);
            (column.lower_end, column.upper_end) = (lu.lower.len() as u32, lu.upper.len() as u32);
        }
        lu.fill = (0..n_factors as u32).filter(|&at| is_filled[at as usize]).collect();
        Some(lu)
    }

    /// Factorises `shift I - J` of each lane; `jacobian: nnz`. Returns which lanes can be solved for.
    ///
    /// Inlined always, as is [`LaneLu::solve`], so that it becomes code for the vectors that its caller is compiled for.
    #[inline(always)]
    pub fn factorize(&mut self, shift: &[f64; L], jacobian: &[[f64; L]]) -> [bool; L] {
        let factors = &mut self.factors[..];
        for &at in &self.fill {
            factors[at as usize] = [0.0; L];
        }
        // A diagonal may have no entry in the Jacobian.
        factors[..self.n].fill([0.0; L]);
        for (&at, value) in self.entries.iter().zip(jacobian) {
            let factor = &mut factors[at as usize];
            for lane in 0..L {
                factor[lane] = -value[lane];
            }
        }
        // The least of what growth leaves of a pivot; and a sum that stays zero where everything is finite.
        let (mut least, mut probe) = ([f64::INFINITY; L], [0.0; L]);
        let (mut update, mut pivot_update, mut lower) = (0, 0, self.n);
        for (j, column) in self.columns.iter().enumerate() {
            for &Update { target, left, right } in &self.updates[update..column.updates_end as usize] {
                let (left, right) = (factors[left as usize], factors[right as usize]);
                subtract(&mut factors[target as usize], &left, &right);
            }
            update = column.updates_end as usize;
            let mut pivot = factors[j];
            let mut size = [0.0; L];
            let mut own = [0.0; L];
            for lane in 0..L {
                pivot[lane] += shift[lane];
                own[lane] = pivot[lane].abs();
                size[lane] = own[lane];
            }
            for &(left, right) in &self.pivot_updates[pivot_update..column.pivot_end as usize] {
                let (left, right) = (factors[left as usize], factors[right as usize]);
                for lane in 0..L {
                    let product = left[lane] * right[lane];
                    pivot[lane] -= product;
                    size[lane] += product.abs();
                }
            }
            pivot_update = column.pivot_end as usize;
            let mut inverse = [0.0; L];
            for lane in 0..L {
                inverse[lane] = 1.0 / pivot[lane];
            }
            for lane in 0..L {
                let magnitude = pivot[lane].abs();
                let smaller = if magnitude < own[lane] { magnitude } else { own[lane] };
                let left = GROWTH * smaller - size[lane];
                least[lane] = if left < least[lane] { left } else { least[lane] };
                probe[lane] += 0.0 * inverse[lane] + 0.0 * size[lane];
            }
            factors[j] = inverse;
            for value in &mut factors[lower..column.l_end as usize] {
                for lane in 0..L {
                    value[lane] *= inverse[lane];
                }
            }
            lower = column.l_end as usize;
        }
        std::array::from_fn(|lane| least[lane] >= 0.0 && probe[lane] == 0.0)
    }

    /// `b: n` becomes the solution in every lane that can be solved for.
    #[inline(always)]
    pub fn solve(&self, b: &mut [[f64; L]]) {
        let factors = &self.factors[..];
        let mut begin = 0;
        for column in &self.columns {
            let end = column.lower_end as usize;
            let mut value = b[column.original as usize];
            for &(other, at) in &self.lower[begin..end] {
                subtract(&mut value, &factors[at as usize], &b[other as usize]);
            }
            b[column.original as usize] = value;
            begin = end;
        }
        let mut end = self.upper.len();
        for (j, column) in self.columns.iter().enumerate().rev() {
            let begin = if j == 0 { 0 } else { self.columns[j - 1].upper_end as usize };
            let mut value = b[column.original as usize];
            for &(other, at) in &self.upper[begin..end] {
                subtract(&mut value, &factors[at as usize], &b[other as usize]);
            }
            for lane in 0..L {
                value[lane] *= factors[j][lane];
            }
            b[column.original as usize] = value;
            end = begin;
        }
    }
}

/// `value -= a b`, lane by lane.
#[inline(always)]
fn subtract<const L: usize>(value: &mut [f64; L], a: &[f64; L], b: &[f64; L]) {
    for lane in 0..L {
        value[lane] -= a[lane] * b[lane];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::ShiftedLu;

    /// Bidiagonal with a full last row and no stored diagonal in column 0.
    fn pattern(n: usize) -> CscPattern {
        let entries = (0..n).flat_map(|c| [(c, c), ((c + 1) % n, c), (n - 1, c)]).filter(|&e| e != (0, 0));
        CscPattern::from_entries(n, n, entries)
    }

    fn value(k: usize, lane: usize) -> f64 {
        ((k * 7919 + lane * 131 + 13) % 101) as f64 / 17.0 - 3.0
    }

    #[test]
    fn each_lane_has_the_solution_of_its_own_matrix() {
        for n in [1, 2, 5, 40] {
            let pattern = pattern(n);
            let shifts = [20.0, 35.0, 50.0, 80.0];
            let jacobian: Vec<[f64; 4]> =
                (0..pattern.nnz()).map(|k| std::array::from_fn(|lane| value(k, lane))).collect();
            let mut b: Vec<[f64; 4]> = (0..n).map(|i| std::array::from_fn(|lane| value(i, lane + 7))).collect();
            let sides = b.clone();
            let mut lanes = LaneLu::<4>::new(&pattern).expect("memory");
            for _ in 0..2 {
                assert_eq!(lanes.factorize(&shifts, &jacobian), [true; 4]);
                b.copy_from_slice(&sides);
                lanes.solve(&mut b);
            }
            for lane in 0..4 {
                let mut single = ShiftedLu::dense(&pattern);
                let values: Vec<f64> = jacobian.iter().map(|row| row[lane]).collect();
                single.factorize(shifts[lane], &values).expect("regular");
                let mut x: Vec<f64> = sides.iter().map(|row| row[lane]).collect();
                single.solve(&mut x);
                for (row, truth) in b.iter().zip(&x) {
                    assert!((row[lane] - truth).abs() < 1e-12 * (1.0 + truth.abs()), "{} {truth}", row[lane]);
                }
            }
        }
    }

    #[test]
    fn a_lane_whose_pivot_is_lost_is_told_apart_and_leaves_the_others_alone() {
        let pattern = CscPattern::dense(2, 2);
        let mut lu = LaneLu::<4>::new(&pattern).expect("memory");
        // -J: regular, singular, without a number, regular.
        let jacobian = [
            [-2.0, -1.0, f64::NAN, -2.0],
            [-1.0, -1.0, -1.0, -1.0],
            [-1.0, -1.0, -1.0, -1.0],
            [-2.0, -1.0, -2.0, -2.0],
        ];
        assert_eq!(lu.factorize(&[0.0; 4], &jacobian), [true, false, false, true]);
        let mut b = [[3.0; 4]; 2];
        lu.solve(&mut b);
        for row in b {
            assert!((row[0] - 1.0).abs() < 1e-15 && row[0] == row[3], "{row:?}");
        }
    }
}
