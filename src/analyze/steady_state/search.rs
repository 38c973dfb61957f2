//! The equations of a steady state at one set of conditions, and what all stages of the search share.

use super::held::Held;
use super::linear::Bordered;
use super::{Reason, Stage};
use crate::analyze::network::Law;
use crate::linalg::Singular;
use crate::system::Work;

/// What crosses a bound by less than this part of its size stands on it.
const ON_BOUND: f64 = 1e-8;
/// Of the way to a bound that a step would cross, this part is left.
const LEFT: f64 = 0.1;
/// Condition beyond which steady states are not isolated.
const SINGULAR: f64 = 1e13;

/// `f = 0` with the totals of the start.
pub(super) struct Search<'a> {
    pub held: Held<'a>,
    pub p: &'a [f64],
    pub laws: Vec<Law>,
    pub totals: Vec<f64>,
    pub scale: &'a [f64],
    /// Lower bounds that the start keeps.
    pub low: Vec<f64>,
    pub matrix: Bordered,
    pub jacobian: Vec<f64>,
    pub work: Work,
    /// Rates at the point last asked for.
    pub f: Vec<f64>,
    turnover: Vec<f64>,
    buffer: Vec<f64>,
}

impl<'a> Search<'a> {
    /// The equations with the totals of `x0`.
    pub fn new(held: Held<'a>, p: &'a [f64], laws: Vec<Law>, low: &[f64], scale: &'a [f64], x0: &[f64]) -> Self {
        let n = x0.len();
        let pattern = held.system.jacobian_pattern();
        let matrix = Bordered::new(pattern, &laws, scale);
        Search {
            totals: laws.iter().map(|law| law.total(x0)).collect(),
            low: low.iter().zip(x0).map(|(&low, &x)| if x >= low { low } else { f64::NEG_INFINITY }).collect(),
            jacobian: vec![0.0; pattern.nnz()],
            work: held.system.work(),
            f: vec![0.0; n],
            turnover: vec![0.0; n],
            buffer: Vec::with_capacity(n),
            matrix,
            held,
            p,
            laws,
            scale,
        }
    }

    /// `b: n` = the right-hand side of a Newton correction at `x`.
    ///
    /// # Errors
    /// The first state whose rate is not finite.
    pub fn residual(&mut self, x: &[f64], b: &mut [f64]) -> Result<(), Reason> {
        self.held.system.rhs(self.held.at(x, self.p), &mut self.work, &mut self.f);
        if let Some(state) = self.f.iter().position(|v| !v.is_finite()) {
            return Err(Reason::NonFinite { state });
        }
        for ((slot, f), factor) in b.iter_mut().zip(&self.f).zip(self.matrix.rows()) {
            *slot = f * factor;
        }
        for (law, total) in self.laws.iter().zip(&self.totals) {
            b[law.state] = (total - law.total(x)) * self.matrix.rows()[law.state];
        }
        Ok(())
    }

    /// Factorises the matrix at `x`.
    ///
    /// # Errors
    /// [`Singular`] where it has no factorisation.
    pub fn linearize(&mut self, x: &[f64], shift: f64) -> Result<(), Singular> {
        self.held.system.jacobian(self.held.at(x, self.p), &mut self.work, &mut self.jacobian);
        self.matrix.factorize(shift, &self.jacobian)
    }

    /// The largest element of `d` in units of the size of its state at `x`.
    pub fn norm(&self, d: &[f64], x: &[f64]) -> f64 {
        let of = |((d, x), s): ((&f64, &f64), &f64)| (d / x.abs().max(*s)).abs();
        let largest = |a: f64, v: f64| if v.is_nan() { f64::INFINITY } else { a.max(v) };
        d.iter().zip(x).zip(self.scale).map(of).fold(0.0, largest)
    }

    /// `to = x + factor d`, kept inside the bounds; returns whether a bound was in the way.
    pub fn step(&self, x: &[f64], factor: f64, d: &[f64], to: &mut [f64]) -> bool {
        let mut is_cut = false;
        for (i, slot) in to.iter_mut().enumerate() {
            let (low, new) = (self.low[i], x[i] + factor * d[i]);
            *slot = if new >= low || new.is_nan() {
                new
            } else if low - new <= ON_BOUND * self.scale[i].max(x[i].abs()) {
                low
            } else {
                is_cut = true;
                low + LEFT * (x[i] - low)
            };
        }
        is_cut
    }

    /// How far `x` is from steady: the largest net rate as part of the turnover `Σ |J_ij| max(|x_j|, s_j)` of its state,
    /// and that state. Rates are those of the last [`Search::residual`]; those that laws make vanish count too.
    pub fn imbalance(&mut self, x: &[f64]) -> (f64, usize) {
        let pattern = self.held.system.jacobian_pattern();
        self.held.system.rhs(self.held.at(x, self.p), &mut self.work, &mut self.f);
        self.held.system.jacobian(self.held.at(x, self.p), &mut self.work, &mut self.jacobian);
        self.turnover.fill(0.0);
        for (col, value) in x.iter().enumerate() {
            let size = value.abs().max(self.scale[col]);
            pattern.column(col).for_each(|(row, k)| self.turnover[row] += self.jacobian[k].abs() * size);
        }
        let mut worst = (0.0, 0);
        for (i, (f, turnover)) in self.f.iter().zip(&self.turnover).enumerate() {
            let share = if *f == 0.0 { 0.0 } else { f.abs() / turnover };
            let share = if share.is_nan() { f64::INFINITY } else { share };
            if share > worst.0 {
                worst = (share, i);
            }
        }
        worst
    }

    /// True where no other steady state with these totals lies in the neighborhood of `x`: the matrix is regular.
    /// A state that has come within rounding of its bound is taken to stand on it.
    pub fn is_isolated(&mut self, x: &[f64]) -> bool {
        let on_bound = |(i, v): (usize, &f64)| {
            let low = self.low[i];
            if (v - low).abs() <= 1e-6 * self.scale[i] { low } else { *v }
        };
        let point: Vec<f64> = x.iter().enumerate().map(on_bound).collect();
        self.linearize(&point, 0.0).is_ok() && self.matrix.condition(&mut self.buffer) <= SINGULAR
    }

    /// An attempt that ended at `x`.
    pub fn attempt(&mut self, stage: Stage, reason: Reason, x: &[f64]) -> super::Attempt {
        let (imbalance, worst_state) = self.imbalance(x);
        super::Attempt { stage, reason, imbalance, worst_state, rate: self.f.get(worst_state).copied().unwrap_or(0.0) }
    }
}
