//! Sparse LU of `shift I - J` with pivots on the diagonal in a fixed order: everything symbolic is done once.
//!
//! The diagonal carries the elimination as long as the shift or the decay of the states does; where a pivot cancels or
//! grows too much ([`GROWTH`]) the factorisation is refused, and [`super::ShiftedLu`] falls back on partial pivoting.
//! Columns are computed from left to right; both factors have a unit diagonal and stand negated (`A = L D U`, kept are
//! I - L, I - U and the reciprocals of D), so that a solve is additions of products alone. What is left at the end of a
//! large elimination is all but full as a rule: the last columns are a dense matrix, with rows exchanged.

use super::DenseLu;
use super::symbolic::{GROWTH, Symbolic};

/// The factors of one matrix after the other, all of one pattern.
#[derive(Debug, Clone)]
pub struct SparseLu {
    symbolic: Symbolic,
    /// The first column of the dense part.
    tail: usize,
    dense: DenseLu,
    /// How many rows above the dense part each of its columns has in U.
    above: Vec<u32>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    inverses: Vec<f64>,
    /// One column, zero between uses.
    column: Vec<f64>,
    /// Right-hand sides in the order of elimination.
    sides: Vec<f64>,
}

impl SparseLu {
    /// Prepares for what was found by symbolic elimination.
    pub fn new(symbolic: Symbolic) -> Self {
        let n = symbolic.n();
        let tail = symbolic.dense_tail();
        let above = |j: usize| symbolic.upper(j).partition_point(|&k| (k as usize) < tail) as u32;
        SparseLu {
            tail,
            dense: DenseLu::new(n - tail),
            above: (tail..n).map(above).collect(),
            lower: vec![0.0; symbolic.n_lower()],
            upper: vec![0.0; symbolic.n_upper()],
            inverses: vec![0.0; n],
            column: vec![0.0; n],
            sides: vec![0.0; n],
            symbolic,
        }
    }

    /// What the elimination does.
    pub fn symbolic(&self) -> &Symbolic {
        &self.symbolic
    }

    /// Factorises `shift I - J`. Returns false where a pivot cancels or grows too much.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> bool {
        let SparseLu { symbolic, tail, dense, above, lower, upper, inverses, column, .. } = self;
        let (n, tail) = (symbolic.n(), *tail);
        let mut is_sound = true;
        for j in 0..n {
            column[j] = shift;
            for &(row, k) in symbolic.entries(j) {
                column[row as usize] -= jacobian[k as usize];
            }
            let own = column[j].abs();
            let mut size = own;
            let n_above = if j < tail { usize::MAX } else { above[j - tail] as usize };
            let entries = symbolic.upper(j).iter().zip(&mut upper[symbolic.upper_range(j)]);
            for (&k, u) in entries.take(n_above) {
                let k = k as usize;
                let factor = std::mem::take(&mut column[k]);
                *u = -factor * inverses[k];
                let before = column[j];
                for (&row, l) in symbolic.lower(k).iter().zip(&lower[symbolic.lower_range(k)]) {
                    column[row as usize] += l * factor;
                }
                size += (column[j] - before).abs();
            }
            if j >= tail {
                let m = n - tail;
                dense.values_mut()[(j - tail) * m..(j - tail + 1) * m].copy_from_slice(&column[tail..]);
                column[tail..].fill(0.0);
                continue;
            }
            let pivot = std::mem::take(&mut column[j]);
            let inverse = 1.0 / pivot;
            inverses[j] = inverse;
            for (&row, l) in symbolic.lower(j).iter().zip(&mut lower[symbolic.lower_range(j)]) {
                *l = -std::mem::take(&mut column[row as usize]) * inverse;
            }
            // Written so that values that are not numbers are refused too.
            is_sound &= size < GROWTH * pivot.abs().min(own);
        }
        is_sound && dense.factorize().is_ok()
    }

    /// `b: n` becomes the solution.
    pub fn solve(&mut self, b: &mut [f64]) {
        let SparseLu { symbolic, tail, dense, above, lower, upper, inverses, sides, .. } = self;
        let (n, tail) = (symbolic.n(), *tail);
        let sides = &mut sides[..n];
        for (value, &old) in sides.iter_mut().zip(symbolic.order()) {
            *value = b[old as usize];
        }
        for j in 0..tail {
            let factor = sides[j];
            for (&row, l) in symbolic.lower(j).iter().zip(&lower[symbolic.lower_range(j)]) {
                sides[row as usize] += l * factor;
            }
        }
        for (value, inverse) in sides[..tail].iter_mut().zip(inverses.iter()) {
            *value *= inverse;
        }
        dense.solve(&mut sides[tail..]);
        for j in (0..n).rev() {
            let factor = sides[j];
            b[symbolic.order()[j] as usize] = factor;
            let n_above = if j < tail { usize::MAX } else { above[j - tail] as usize };
            for (&row, u) in symbolic.upper(j).iter().zip(&upper[symbolic.upper_range(j)]).take(n_above) {
                sides[row as usize] += u * factor;
            }
        }
    }

    /// `b: n × m`, row major, becomes the solution. Allocates where m is larger than ever before.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        if m == 1 {
            return self.solve(b);
        }
        let SparseLu { symbolic, tail, dense, above, lower, upper, inverses, sides, .. } = self;
        let (n, tail) = (symbolic.n(), *tail);
        if m == 0 || n == 0 {
            return;
        }
        if sides.len() < n * m {
            sides.resize(n * m, 0.0);
        }
        let sides = &mut sides[..n * m];
        for (row, &old) in sides.chunks_exact_mut(m).zip(symbolic.order()) {
            let old = old as usize;
            row.copy_from_slice(&b[old * m..(old + 1) * m]);
        }
        for j in 0..tail {
            let (head, rest) = sides.split_at_mut((j + 1) * m);
            let row_j = &head[j * m..];
            for (&row, l) in symbolic.lower(j).iter().zip(&lower[symbolic.lower_range(j)]) {
                let start = (row as usize - j - 1) * m;
                add(&mut rest[start..start + m], *l, row_j);
            }
        }
        for (row, inverse) in sides.chunks_exact_mut(m).zip(&inverses[..tail]) {
            row.iter_mut().for_each(|value| *value *= inverse);
        }
        dense.solve_rows(&mut sides[tail * m..], m);
        for j in (0..n).rev() {
            let (head, rest) = sides.split_at_mut(j * m);
            let row_j = &rest[..m];
            let n_above = if j < tail { usize::MAX } else { above[j - tail] as usize };
            for (&row, u) in symbolic.upper(j).iter().zip(&upper[symbolic.upper_range(j)]).take(n_above) {
                let start = row as usize * m;
                add(&mut head[start..start + m], *u, row_j);
            }
        }
        for (row, &old) in sides.chunks_exact(m).zip(symbolic.order()) {
            let old = old as usize;
            b[old * m..(old + 1) * m].copy_from_slice(row);
        }
    }
}

fn add(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(value, o)| *value += factor * o);
}

#[cfg(test)]
mod tests {
    use super::super::CscPattern;
    use super::*;

    #[test]
    fn a_pivot_that_cancels_or_is_lost_is_refused() {
        let pattern = CscPattern::dense(2, 2);
        let mut lu = SparseLu::new(Symbolic::new(&pattern).expect("memory"));
        let negated = |values: [f64; 4]| values.map(|v| -v);
        assert!(lu.factorize(0.0, &negated([2.0, 1.0, 1.0, 2.0])));
        assert!(!lu.factorize(0.0, &negated([1.0, 1.0, 1.0, 1.0 + 1e-12])));
        assert!(!lu.factorize(0.0, &negated([1e-12, 1.0, 1.0, 1e-12])));
        assert!(!lu.factorize(0.0, &negated([1.0, f64::NAN, 1.0, 1.0])));
        assert!(!lu.factorize(0.0, &negated([1.0, 0.0, 0.0, f64::INFINITY])));
        assert!(!lu.factorize(0.0, &[0.0; 4]));
        // A refusal leaves nothing behind.
        assert!(lu.factorize(0.0, &negated([2.0, 1.0, 1.0, 2.0])));
        let mut b = [3.0, 3.0];
        lu.solve(&mut b);
        assert!(b.iter().all(|x| (x - 1.0).abs() < 1e-15), "{b:?}");
    }
}
