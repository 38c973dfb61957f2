//! The matrix of a steady state: `shift I − J` with the row of each dependent state replaced by its conservation law.
//!
//! Unknowns are measured by the sizes s of the states, so that the matrix and its condition do not depend on units:
//! row i is `(shift δ_ij − J_ij s_j/s_i)`, a law's row `c_j s_j` over its largest entry.

use crate::analyze::network::Law;
use crate::linalg::{CscPattern, ShiftedLu, Singular};

/// One matrix after the other, all of one pattern and with the same laws.
pub(super) struct Bordered {
    lu: ShiftedLu,
    /// Where each entry of the Jacobian goes, with its factor; `None` in rows that a law replaces.
    entries: Vec<Option<(usize, f64)>>,
    /// `(position, state)` of the diagonal of the other rows.
    diagonal: Vec<(usize, usize)>,
    /// `(position, coefficient)` of the laws, in scaled unknowns.
    laws: Vec<(usize, f64)>,
    /// The factor of each row: 1/s, or that of the law.
    rows: Vec<f64>,
    values: Vec<f64>,
    /// Sum of the sizes of each row of the last matrix.
    row_sums: Vec<f64>,
    pattern: CscPattern,
    scale: Vec<f64>,
}

impl Bordered {
    /// Prepares for Jacobians of `pattern`; `scale` are the sizes of the states.
    pub fn new(pattern: &CscPattern, laws: &[Law], scale: &[f64]) -> Bordered {
        let n = pattern.n_cols();
        let mut is_law = vec![false; n];
        laws.iter().for_each(|law| is_law[law.state] = true);
        let own = (0..n).flat_map(|c| pattern.column(c).map(move |(r, _)| (r, c))).filter(|(r, _)| !is_law[*r]);
        let of_law = |law: &Law| {
            let state = law.state;
            let others = law.terms.iter().map(move |&(k, _)| (state, k)).collect::<Vec<_>>();
            std::iter::once((state, state)).chain(others)
        };
        let whole =
            CscPattern::from_entries(n, n, own.chain((0..n).map(|i| (i, i))).chain(laws.iter().flat_map(of_law)));
        let position = |r: usize, c: usize| whole.position(r, c).unwrap_or(0);
        let mut rows: Vec<f64> = scale.iter().map(|s| 1.0 / s).collect();
        let mut law_entries = Vec::new();
        for law in laws {
            let size = law.terms.iter().map(|&(k, c)| (c * scale[k]).abs()).fold(scale[law.state], f64::max);
            rows[law.state] = 1.0 / size;
            law_entries.push((position(law.state, law.state), scale[law.state] / size));
            law_entries.extend(law.terms.iter().map(|&(k, c)| (position(law.state, k), c * scale[k] / size)));
        }
        let entry = |r: usize, c: usize| (!is_law[r]).then(|| (position(r, c), scale[c] / scale[r]));
        Bordered {
            entries: (0..n)
                .flat_map(|c| pattern.column(c).map(move |(r, _)| (r, c)))
                .map(|(r, c)| entry(r, c))
                .collect(),
            diagonal: (0..n).filter(|&i| !is_law[i]).map(|i| (position(i, i), i)).collect(),
            laws: law_entries,
            rows,
            values: vec![0.0; whole.nnz()],
            row_sums: vec![0.0; n],
            lu: ShiftedLu::new(&whole),
            pattern: whole,
            scale: scale.to_vec(),
        }
    }

    /// The factor of each row: a right-hand side is multiplied by it before [`Bordered::solve`].
    pub fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// Factorises; `jacobian: nnz` of the system's pattern.
    ///
    /// # Errors
    /// [`Singular`] where there is no factorisation.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> Result<(), Singular> {
        self.values.fill(0.0);
        for (entry, value) in self.entries.iter().zip(jacobian) {
            if let Some((position, factor)) = entry {
                self.values[*position] += value * factor;
            }
        }
        for &(position, _) in &self.diagonal {
            self.values[position] -= shift;
        }
        for &(position, coefficient) in &self.laws {
            self.values[position] = -coefficient;
        }
        self.row_sums.fill(0.0);
        for (&row, value) in self.pattern.row_idx().iter().zip(&self.values) {
            self.row_sums[row] += value.abs();
        }
        self.lu.factorize(0.0, &self.values)
    }

    /// `b: n`, with its rows multiplied by [`Bordered::rows`], becomes the solution in the states' own units.
    pub fn solve(&mut self, b: &mut [f64]) {
        self.lu.solve(b);
        b.iter_mut().zip(&self.scale).for_each(|(value, s)| *value *= s);
    }

    /// A lower estimate of the condition of the last matrix with its rows brought to one size: the largest growth of a
    /// few right-hand sides (the idea of Cline, Moler, Stewart and Wilkinson 1979, An estimate for the condition number
    /// of a matrix, with fixed signs instead of chosen ones). Infinite where a row is zero.
    pub fn condition(&mut self, buffer: &mut Vec<f64>) -> f64 {
        let n = self.row_sums.len();
        let mut largest: f64 = 0.0;
        for variant in 0..3_usize {
            buffer.clear();
            // Rows of slow states are as good as those of fast ones: each right-hand side is as large as its row.
            buffer.extend((0..n).map(|i| {
                let sign = if (i * (variant + 1) + i / 3 * variant) % 2 == 0 { 1.0 } else { -1.0 };
                sign * self.row_sums[i] * (1.0 + i as f64 / (n + 1) as f64)
            }));
            self.lu.solve(buffer);
            largest = buffer.iter().fold(largest, |a, v| if v.is_finite() { a.max(v.abs()) } else { f64::INFINITY });
        }
        if self.row_sums.iter().all(|sum| *sum > 0.0) { largest } else { f64::INFINITY }
    }
}
