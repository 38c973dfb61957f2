//! `shift I - J` for implicit methods: built from the Jacobian's sparse values, factorised, and solved with.

use super::{CscPattern, DenseLu, Singular, SparseLu};

/// Up to this order the factorisation is dense without further thought.
const DENSE_ORDER: usize = 16;
/// Above it the sparse one is used where its multiplications, for a factorisation and the eight solves of a step, are
/// less than this share of the dense one's, which run several times faster (measured on orders 24 to 128, see
/// benches/solvers.rs: both take the same time at shares of 0.04 to 0.06).
const SPARSE_SHARE: f64 = 0.05;

/// The factorisation in use.
pub enum LinearSolver {
    /// Column-major dense LU; holds the position of each Jacobian entry.
    Dense(DenseLu),
    /// Sparse LU.
    Sparse(Box<SparseLu>),
}

/// Solves `(shift I - J) x = b`.
pub struct ShiftedLu {
    solver: LinearSolver,
    /// Where each entry of the Jacobian goes in the solver's values.
    entries: Vec<usize>,
    /// Where the diagonal stands in the solver's values.
    diagonal: Vec<usize>,
}

impl ShiftedLu {
    /// Prepares for the Jacobians of one square pattern, choosing the factorisation by the work it takes.
    pub fn new(pattern: &CscPattern) -> Self {
        let n = pattern.n_cols();
        if n <= DENSE_ORDER {
            return Self::dense(pattern);
        }
        let dense_work = (n as f64).powi(3) / 3.0 + 8.0 * (n as f64).powi(2);
        match Self::sparse(pattern) {
            Some(shifted) if shifted.sparse_work() < SPARSE_SHARE * dense_work => shifted,
            Some(_) | None => Self::dense(pattern),
        }
    }

    /// Multiplications of a sparse factorisation with eight solves; infinite for a dense one.
    fn sparse_work(&self) -> f64 {
        match &self.solver {
            LinearSolver::Sparse(lu) => (lu.operations() + 8 * lu.fill()) as f64,
            LinearSolver::Dense(_) => f64::INFINITY,
        }
    }

    /// The dense factorisation.
    pub fn dense(pattern: &CscPattern) -> Self {
        let n = pattern.n_cols();
        let entries = (0..n).flat_map(|c| pattern.column(c).map(move |(r, _)| c * n + r)).collect();
        let diagonal = (0..n).map(|i| i * n + i).collect();
        ShiftedLu { solver: LinearSolver::Dense(DenseLu::new(n)), entries, diagonal }
    }

    /// The sparse factorisation; `None` where its memory cannot be had.
    pub fn sparse(pattern: &CscPattern) -> Option<Self> {
        let n = pattern.n_cols();
        let entries = (0..n).flat_map(|c| pattern.column(c).map(move |(r, _)| (r, c)));
        let full = CscPattern::from_entries(n, n, entries.chain((0..n).map(|i| (i, i))));
        let entries = (0..n)
            .flat_map(|c| pattern.column(c).map(move |(r, _)| (r, c)))
            .map(|(r, c)| full.position(r, c))
            .collect::<Option<Vec<_>>>()?;
        let diagonal = (0..n).map(|i| full.position(i, i)).collect::<Option<Vec<_>>>()?;
        let solver = LinearSolver::Sparse(Box::new(SparseLu::new(full)?));
        Some(ShiftedLu { solver, entries, diagonal })
    }

    /// Which factorisation is in use.
    pub fn solver(&self) -> &LinearSolver {
        &self.solver
    }

    /// Factorises `shift I - J`; `jacobian: nnz` in the order of the pattern given to [`ShiftedLu::new`].
    ///
    /// # Errors
    /// [`Singular`] where it cannot be factorised.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> Result<(), Singular> {
        let values = match &mut self.solver {
            LinearSolver::Dense(lu) => lu.values_mut(),
            LinearSolver::Sparse(lu) => lu.values_mut(),
        };
        values.fill(0.0);
        for (&entry, value) in self.entries.iter().zip(jacobian) {
            values[entry] = -value;
        }
        for &entry in &self.diagonal {
            values[entry] += shift;
        }
        match &mut self.solver {
            LinearSolver::Dense(lu) => lu.factorize(),
            LinearSolver::Sparse(lu) => lu.factorize(),
        }
    }

    /// `b: n × m`, row major, becomes the solution for m right-hand sides at once.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        match &mut self.solver {
            LinearSolver::Dense(lu) => lu.solve_rows(b, m),
            LinearSolver::Sparse(lu) => lu.solve_rows(b, m),
        }
    }

    /// `b: n` becomes the solution.
    pub fn solve(&mut self, b: &mut [f64]) {
        match &mut self.solver {
            LinearSolver::Dense(lu) => lu.solve(b),
            LinearSolver::Sparse(lu) => lu.solve(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern with an off-diagonal band, a full last row and no stored diagonal in column 0.
    fn example(n: usize) -> (CscPattern, Vec<f64>) {
        let entries = (0..n).flat_map(|c| [(c, c), ((c + 1) % n, c), (n - 1, c)]).filter(|&e| e != (0, 0));
        let pattern = CscPattern::from_entries(n, n, entries);
        let values = (0..pattern.nnz()).map(|k| ((k * 7919 + 13) % 101) as f64 / 17.0 - 3.0).collect();
        (pattern, values)
    }

    #[test]
    fn dense_and_sparse_solve_the_same_system() {
        for n in [1, 2, 5, 60] {
            let (pattern, jacobian) = example(n);
            let exact: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
            let shift = 0.37;
            let mut b: Vec<f64> = exact.iter().map(|x| shift * x).collect();
            let negated: Vec<f64> = jacobian.iter().map(|v| -v).collect();
            pattern.mul_add(&negated, &exact, &mut b);
            for mut lu in [ShiftedLu::dense(&pattern), ShiftedLu::sparse(&pattern).expect("memory")] {
                for _ in 0..2 {
                    lu.factorize(shift, &jacobian).expect("regular");
                    let mut x = b.clone();
                    lu.solve(&mut x);
                    let mut rows: Vec<f64> = b.iter().flat_map(|v| [*v, 2.0 * v, -v]).collect();
                    lu.solve_rows(&mut rows, 3);
                    for (row, value) in rows.chunks_exact(3).zip(&x) {
                        assert!((row[0] - value).abs() < 1e-12 * (1.0 + value.abs()));
                        assert_eq!([row[1], row[2]], [2.0 * row[0], -row[0]]);
                    }
                    for (value, truth) in x.iter().zip(&exact) {
                        assert!((value - truth).abs() < 1e-9 * truth, "n = {n}: {value} against {truth}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_jacobian_that_is_not_finite_is_refused() {
        let (pattern, mut jacobian) = example(5);
        jacobian[3] = f64::NAN;
        assert!(ShiftedLu::sparse(&pattern).expect("memory").factorize(1.0, &jacobian).is_err());
        assert!(ShiftedLu::dense(&pattern).factorize(1.0, &jacobian).is_err());
    }

    #[test]
    fn small_systems_are_dense_and_large_thin_ones_sparse() {
        assert!(matches!(ShiftedLu::new(&example(8).0).solver(), LinearSolver::Dense(_)));
        assert!(matches!(ShiftedLu::new(&example(200).0).solver(), LinearSolver::Sparse(_)));
    }
}
