//! `shift I - J` for implicit methods: factorised straight from the Jacobian's sparse values, and solved with.

use std::sync::Arc;

use super::compiled::{CompiledLu, LuCode};
use super::pivoted::{DenseShifted, PivotedLu};
use super::symbolic::Symbolic;
use super::{BandedLu, CscPattern, Singular, SparseLu};

/// Sparse elimination is used where its multiplications, for a factorisation and the eight solves of a step, are less
/// than this share of the dense one's (measured on orders 4 to 256, see benches/linear.rs).
const SPARSE_SHARE: f64 = 0.8;
/// Bands of at least this order are taken for what they are without a look at the fill of sparse elimination.
const LARGE_ORDER: usize = 256;

/// The factorisation in use.
pub enum LinearSolver {
    /// Column-major dense LU with partial pivoting.
    Dense(DenseShifted),
    /// Banded LU, pivots on the diagonal.
    Banded(Box<BandedLu>),
    /// Sparse LU, pivots on the diagonal.
    Sparse(Box<SparseLu>),
    /// Sparse LU by code made for the pattern, pivots on the diagonal.
    Compiled(CompiledLu),
}

impl LinearSolver {
    /// As logs and benches name it.
    pub fn name(&self) -> &'static str {
        match self {
            LinearSolver::Dense(_) => "dense",
            LinearSolver::Banded(_) => "banded",
            LinearSolver::Sparse(_) => "sparse",
            LinearSolver::Compiled(_) => "compiled",
        }
    }
}

/// Nanoseconds of a factorisation and eight solves in a band, fitted to benches/linear.rs: it waits for one pivot after
/// the other, whatever the width.
fn banded_time(n: usize, band: &BandedLu) -> f64 {
    200.0 + (16 + 3 * band.half_bandwidth()) as f64 * n as f64
}

/// The same of sparse elimination.
fn sparse_time(symbolic: &Symbolic) -> f64 {
    (10 * symbolic.n() + 9 * symbolic.fill()) as f64
}

/// Solves `(shift I - J) x = b`.
///
/// Pivots stand on the diagonal where that is sound ([`super::GROWTH`]); where it is not, rows are exchanged, for that
/// matrix.
pub struct ShiftedLu {
    solver: LinearSolver,
    pattern: CscPattern,
    /// Partial pivoting; present once it was needed.
    pivoted: Option<PivotedLu>,
    /// True where the last factors are those of partial pivoting.
    is_pivoted: bool,
}

impl ShiftedLu {
    /// Prepares for the Jacobians of one square pattern, choosing the factorisation by the work it takes.
    pub fn new(pattern: &CscPattern) -> Self {
        let n = pattern.n_cols();
        let band = BandedLu::new(pattern);
        if n >= LARGE_ORDER
            && let Some(band) = band
        {
            return Self::of(LinearSolver::Banded(Box::new(band)), pattern);
        }
        let Some(symbolic) = Symbolic::new(pattern) else { return Self::dense(pattern) };
        let work = (symbolic.operations() + 8 * symbolic.fill()) as f64;
        let dense_work = (n as f64).powi(3) / 3.0 + 8.0 * (n as f64).powi(2);
        let solver = match band {
            Some(band) if banded_time(n, &band) < sparse_time(&symbolic) => LinearSolver::Banded(Box::new(band)),
            Some(_) | None if work < SPARSE_SHARE * dense_work => {
                LinearSolver::Sparse(Box::new(SparseLu::new(symbolic)))
            }
            Some(_) | None => LinearSolver::Dense(DenseShifted::new(pattern)),
        };
        Self::of(solver, pattern)
    }

    /// [`ShiftedLu::new`] with code for the pattern, if there is any.
    pub fn with_code(pattern: &CscPattern, code: Option<Arc<dyn LuCode>>) -> Self {
        match code {
            Some(code) => Self::of(LinearSolver::Compiled(CompiledLu::new(code, pattern.n_cols())), pattern),
            None => Self::new(pattern),
        }
    }

    /// The dense factorisation.
    pub fn dense(pattern: &CscPattern) -> Self {
        Self::of(LinearSolver::Dense(DenseShifted::new(pattern)), pattern)
    }

    /// The banded factorisation; `None` where the pattern has no order of half bandwidth 4 or less.
    pub fn banded(pattern: &CscPattern) -> Option<Self> {
        Some(Self::of(LinearSolver::Banded(Box::new(BandedLu::new(pattern)?)), pattern))
    }

    /// The sparse factorisation; `None` where its memory cannot be had.
    pub fn sparse(pattern: &CscPattern) -> Option<Self> {
        let symbolic = Symbolic::new(pattern)?;
        Some(Self::of(LinearSolver::Sparse(Box::new(SparseLu::new(symbolic))), pattern))
    }

    fn of(solver: LinearSolver, pattern: &CscPattern) -> Self {
        ShiftedLu { solver, pattern: pattern.clone(), pivoted: None, is_pivoted: false }
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
        self.is_pivoted = false;
        let is_sound = match &mut self.solver {
            LinearSolver::Dense(lu) => return lu.factorize(shift, jacobian),
            LinearSolver::Banded(lu) => lu.factorize(shift, jacobian),
            LinearSolver::Sparse(lu) => lu.factorize(shift, jacobian),
            LinearSolver::Compiled(lu) => lu.factorize(shift, jacobian),
        };
        if is_sound {
            return Ok(());
        }
        self.is_pivoted = true;
        if self.pivoted.is_none() {
            self.pivoted = PivotedLu::new(&self.pattern);
        }
        match &mut self.pivoted {
            Some(lu) => lu.factorize(shift, jacobian),
            None => Err(Singular { column: 0 }),
        }
    }

    /// `b: n × m`, row major, becomes the solution for m right-hand sides at once.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        if let Some(lu) = &mut self.pivoted
            && self.is_pivoted
        {
            return lu.solve_rows(b, m);
        }
        match &mut self.solver {
            LinearSolver::Dense(lu) => lu.solve_rows(b, m),
            LinearSolver::Banded(lu) => lu.solve_rows(b, m),
            LinearSolver::Sparse(lu) => lu.solve_rows(b, m),
            LinearSolver::Compiled(lu) => lu.solve_rows(b, m),
        }
    }

    /// `b: n` becomes the solution.
    #[inline]
    pub fn solve(&mut self, b: &mut [f64]) {
        if let Some(lu) = &mut self.pivoted
            && self.is_pivoted
        {
            return lu.solve_rows(b, 1);
        }
        match &mut self.solver {
            LinearSolver::Dense(lu) => lu.solve(b),
            LinearSolver::Banded(lu) => lu.solve(b),
            LinearSolver::Sparse(lu) => lu.solve(b),
            LinearSolver::Compiled(lu) => lu.solve(b),
        }
    }
}

#[cfg(test)]
mod tests;
