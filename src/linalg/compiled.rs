//! Factors computed by code that was made for one pattern: what [`super::ShiftedLu`] needs to know of it.

use std::sync::Arc;

/// How many right-hand sides [`LuCode::solve_lanes`] solves for at once.
pub const LANES: usize = 4;

/// Code that factorises `shift I - J` of one pattern with pivots on the diagonal, and solves with the factors.
///
/// It works like [`super::SparseLu`], by whatever means. Called from many threads at once.
pub trait LuCode: Send + Sync {
    /// How many numbers the factors are.
    fn n_factors(&self) -> usize;

    /// `factors: n_factors` = those of `shift I - J`; `jacobian: nnz`. Returns false where a pivot cancels or grows too
    /// much ([`super::GROWTH`]); the factors are then of no use.
    fn factorize(&self, shift: f64, jacobian: &[f64], factors: &mut [f64]) -> bool;

    /// `b: n` becomes the solution.
    fn solve(&self, factors: &[f64], b: &mut [f64]);

    /// `b: n × LANES`, row major, becomes the solution.
    fn solve_lanes(&self, factors: &[f64], b: &mut [f64]);
}

/// The factors of one matrix after the other, by code.
#[derive(Clone)]
pub struct CompiledLu {
    code: Arc<dyn LuCode>,
    factors: Vec<f64>,
    /// `n × LANES`
    lanes: Vec<f64>,
}

impl CompiledLu {
    /// For matrices of order `n`.
    pub fn new(code: Arc<dyn LuCode>, n: usize) -> Self {
        CompiledLu { factors: vec![0.0; code.n_factors()], code, lanes: vec![0.0; n * LANES] }
    }

    /// Factorises `shift I - J`. Returns false where a pivot cancels or grows too much.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> bool {
        self.code.factorize(shift, jacobian, &mut self.factors)
    }

    /// `b: n` becomes the solution.
    pub fn solve(&self, b: &mut [f64]) {
        self.code.solve(&self.factors, b);
    }

    /// `b: n × m`, row major, becomes the solution, [`LANES`] columns at a time and the others one by one.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        match m {
            0 => {}
            1 => self.code.solve(&self.factors, b),
            LANES => self.code.solve_lanes(&self.factors, b),
            _ => {
                for first in (0..m - m % LANES).step_by(LANES) {
                    for (lanes, row) in self.lanes.chunks_exact_mut(LANES).zip(b.chunks_exact(m)) {
                        lanes.copy_from_slice(&row[first..first + LANES]);
                    }
                    self.code.solve_lanes(&self.factors, &mut self.lanes);
                    for (lanes, row) in self.lanes.chunks_exact(LANES).zip(b.chunks_exact_mut(m)) {
                        row[first..first + LANES].copy_from_slice(lanes);
                    }
                }
                let n = self.lanes.len() / LANES;
                for column in m - m % LANES..m {
                    let side = &mut self.lanes[..n];
                    side.iter_mut().zip(b.chunks_exact(m)).for_each(|(value, row)| *value = row[column]);
                    self.code.solve(&self.factors, side);
                    side.iter().zip(b.chunks_exact_mut(m)).for_each(|(value, row)| row[column] = *value);
                }
            }
        }
    }
}
