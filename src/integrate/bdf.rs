//! BDF of variable order 1 to 5 and variable step, for stiff problems of any size; see the files below it.
//!
//! The fixed-leading-coefficient formula in Nordsieck form with the strategies of Hindmarsh, Brown, Grant, Lee, Serban,
//! Shumaker and Woodward 2005, SUNDIALS: suite of nonlinear and differential/algebraic equation solvers, ACM Trans.
//! Math. Softw. 31, 363–396: `coefficients` of the formula, `history` of the solution, `corrector` for the implicit
//! equation, `staggered` for the sensitivities, `select` for order and step, `vectors` for the loops between.

mod coefficients;
mod corrector;
mod history;
mod select;
mod stability;
mod staggered;
#[cfg(test)]
mod tests;
mod vectors;

use super::controller::Norm;
use super::field::Field;
use super::lanes::{Lanes, WIDTH, n_groups};
use crate::linalg::ShiftedLu;
use coefficients::{Coefficients, MAX_ORDER, coefficients, lower, raise};
use corrector::{Convergence, Corrector, Step};
use history::History;
use select::{Choice, Estimates, Selector};
use stability::Limit;
use staggered::Staggered;

/// The order of the first steps: one below that of the polynomial they start from.
const FIRST_ORDER: usize = 4;

/// The scaled error that stands for a lost sign.
const SIGN_LOST: f64 = 4.0;
/// An error of this share after one step of the linear dynamics is not damped.
const UNDAMPED: f64 = 0.01;

/// The method with its history.
pub(super) struct Bdf {
    corrector: Corrector,
    n: usize,
    history: History,
    y: Vec<Lanes>,
    slope: Vec<Lanes>,
    delta: Vec<Lanes>,
    delta_before: Vec<Lanes>,
    weights: Vec<Lanes>,
    atol: Vec<Lanes>,
    residual: Vec<Lanes>,
    staggered: Staggered,
    has_history: bool,
    has_lost_sign: bool,
    /// The step by which the history is scaled.
    h: f64,
    /// The lengths of the last steps, the latest first.
    past: [f64; MAX_ORDER + 1],
    /// How many of them at least have the same length.
    n_equal: usize,
    /// The coefficients on equal steps, by order.
    equal: [Coefficients; MAX_ORDER + 1],
    order: usize,
    /// The order of the next step, and how much longer it is.
    next: Choice,
    selector: Selector,
    limit: Limit,
    /// [`coefficients::Coefficients::difference`] of the step before.
    difference: f64,
}

impl Bdf {
    pub fn new(field: &Field<'_>) -> Self {
        let n = field.n;
        let vector = || vec![[0.0; WIDTH]; n_groups(n)];
        let mut history = History::default();
        history.resize(n);
        Bdf {
            corrector: Corrector::new(field),
            n,
            history,
            y: vector(),
            slope: vector(),
            delta: vector(),
            delta_before: vector(),
            weights: vector(),
            atol: vector(),
            residual: vector(),
            staggered: Staggered::default(),
            has_history: false,
            has_lost_sign: false,
            h: 0.0,
            past: [0.0; MAX_ORDER + 1],
            n_equal: 0,
            equal: std::array::from_fn(|order| coefficients(order.max(1), 1.0, &[1.0; MAX_ORDER + 1], true)),
            order: 1,
            next: Choice { order: 1, factor: 1.0 },
            selector: Selector::default(),
            limit: Limit::default(),
            difference: 1.0,
        }
    }

    /// Sizes the buffers for `m` directions and takes note of the tolerances.
    pub fn start(&mut self, norm: &Norm, m: usize) {
        let atol = self.atol.as_flattened_mut();
        atol.fill(1.0);
        atol[..self.n].copy_from_slice(&norm.atol);
        self.staggered.resize(self.n, m, norm.meeting.clone());
        self.restart();
    }

    /// Forgets the history: the field or the state has jumped.
    pub fn restart(&mut self) {
        self.has_history = false;
        self.corrector.restart();
    }

    /// True where a step may be attempted; false before [`Bdf::start_from`].
    pub fn has_history(&self) -> bool {
        self.has_history
    }

    /// True where the step last attempted was given up because a sign had become uncertain.
    pub fn has_lost_sign(&self) -> bool {
        self.has_lost_sign
    }

    /// Begins behind a step of length `h` of another formula to `z_new`, near which the solution is a polynomial with
    /// the scaled derivatives `derivatives(i)` of component i. A one-step formula so takes the place of many short
    /// steps of low order.
    pub fn start_from(
        &mut self,
        norm: &Norm,
        scales: &[f64],
        h: f64,
        z_new: &[f64],
        derivatives: impl Fn(usize) -> [f64; 4],
    ) {
        let (state, sensitivities) = z_new.split_at(self.n);
        self.history.start(state, &derivatives);
        self.staggered.start(sensitivities, |i| derivatives(self.n + i));
        self.h = h;
        self.past = [h; MAX_ORDER + 1];
        self.n_equal = MAX_ORDER;
        self.order = FIRST_ORDER;
        self.has_history = true;
        self.limit = Limit::default();
        self.history.values(&mut self.y);
        vectors::weigh(norm.rtol, &self.atol, &self.y, &mut self.weights);
        self.staggered.weigh_start(norm, scales);
        let size = vectors::norm(self.n, &self.weights, |k| self.history.last(FIRST_ORDER, k));
        let size = if norm.with_sensitivities { size.max(self.staggered.norm_of_last(FIRST_ORDER)) } else { size };
        self.next = self.selector.start(FIRST_ORDER, self.equal[FIRST_ORDER].lower * size);
    }

    /// Computes `z_new` at `t + h` and returns the error in units of the tolerance; infinite where there is no such
    /// step. The history advances where that is at most one, or where the step is not controlled.
    ///
    #[expect(clippy::too_many_arguments, reason = "the arguments of every formula and the tolerances")]
    pub fn attempt(
        &mut self,
        lu: &mut ShiftedLu,
        field: &mut Field<'_>,
        norm: &Norm,
        is_controlled: bool,
        (t, h): (f64, f64),
        z_new: &mut [f64],
        error: &mut [f64],
    ) -> f64 {
        self.change_order();
        self.has_lost_sign = false;
        let order = self.order;
        let t_new = t + h;
        // A step that differs from the last one by the rounding of time is the same step.
        let is_same = (h - self.h).abs() <= (4.0 * f64::EPSILON * t_new.abs()).min(1e-6 * h);
        let h = if is_same { self.h } else { h };
        let ratio = h / self.h;
        let c = if is_same && self.n_equal >= order {
            self.equal[order]
        } else {
            coefficients(order, h, &self.past, self.selector.needs_neighbors())
        };
        let shift = c.l[1] / h;
        let sizes = match self.solve(lu, field, norm, is_controlled, t_new, ratio, shift, c.error) {
            Some(sizes) => sizes,
            None => {
                self.next = self.selector.fail_corrector(order);
                self.tell_failure(z_new, error);
                return f64::INFINITY;
            }
        };
        let (size, size_sensitivities) = sizes;
        let size = size.max(size_sensitivities);
        let scaled = c.error * size;
        let is_within = scaled <= 1.0;
        if is_controlled && !is_within {
            self.next = self.selector.fail_error(order, scaled);
            self.has_history = self.selector.trusts_history();
            z_new[..self.n].copy_from_slice(&self.y.as_flattened()[..self.n]);
            error[..self.n].copy_from_slice(&self.delta.as_flattened()[..self.n]);
            return if scaled.is_finite() { scaled } else { f64::INFINITY };
        }
        if is_controlled && self.is_sign_lost(lu, field) {
            self.has_history = false;
            self.has_lost_sign = true;
            self.tell_failure(z_new, error);
            return SIGN_LOST;
        }
        self.history.advance(order, ratio, &c.l, &self.delta, &self.y);
        z_new[..self.n].copy_from_slice(&self.y.as_flattened()[..self.n]);
        if field.m > 0 {
            self.staggered.advance(order, ratio, &c.l);
            z_new[self.n..].copy_from_slice(&self.staggered.y.as_flattened()[..self.n * field.m]);
        }
        self.corrector.accept();
        self.n_equal = if is_same { self.n_equal + 1 } else { 1 };
        self.past.rotate_right(1);
        self.past[0] = h;
        self.h = h;
        self.look_for_limit(field);
        self.select(norm, &c, scaled);
        std::mem::swap(&mut self.delta, &mut self.delta_before);
        self.staggered.keep_correction();
        self.difference = c.difference;
        if is_controlled { scaled } else { 0.0 }
    }

    /// Solves for state and sensitivities; returns the norms of their corrections.
    #[expect(clippy::too_many_arguments, reason = "the constants of one step, used here only")]
    fn solve(
        &mut self,
        lu: &mut ShiftedLu,
        field: &mut Field<'_>,
        norm: &Norm,
        is_controlled: bool,
        t_new: f64,
        ratio: f64,
        shift: f64,
        error: f64,
    ) -> Option<(f64, f64)> {
        self.history.predict(self.order, ratio, self.h, &mut self.y, &mut self.slope);
        vectors::weigh(norm.rtol, &self.atol, &self.y, &mut self.weights);
        if self.corrector.is_stale(shift) && !self.corrector.refresh(lu, field, t_new, self.y.as_flattened(), shift) {
            return None;
        }
        let size = loop {
            let step = Step {
                t: t_new,
                error,
                shift,
                slope: &self.slope,
                weights: &self.weights,
                y: &mut self.y,
                delta: &mut self.delta,
                residual: &mut self.residual,
            };
            match self.corrector.solve(lu, field, step) {
                Convergence::Reached(size) => break size,
                Convergence::Failed => return None,
                Convergence::Stale => {
                    self.history.predict(self.order, ratio, self.h, &mut self.y, &mut self.slope);
                    if !self.corrector.refresh(lu, field, t_new, self.y.as_flattened(), shift) {
                        return None;
                    }
                }
            }
        };
        if field.m == 0 || (is_controlled && error * size > 1.0) {
            return Some((size, 0.0));
        }
        let corrector = &mut self.corrector;
        field.jacobians(t_new, self.y.as_flattened(), &mut corrector.jac, &mut corrector.par);
        loop {
            let times = (ratio, self.h);
            match self.staggered.solve(lu, field, corrector, norm, self.order, times, shift, error) {
                Convergence::Reached(other) => {
                    return Some((size, if norm.with_sensitivities { other } else { 0.0 }));
                }
                Convergence::Failed => return None,
                Convergence::Stale => {
                    if !corrector.factorize(lu, field, shift) {
                        return None;
                    }
                }
            }
        }
    }

    /// True where a component near zero has changed its sign and nothing pulls it back.
    ///
    /// An error below the tolerance may carry a positive component over zero, to where the equations have another
    /// solution: behind zero Robertson's second species grows without bound, and so lose it all multistep codes that
    /// were tried at loose tolerances. What the change would become in one step of the linear dynamics tells that from
    /// the harmless traces that any stiff component leaves around zero.
    fn is_sign_lost(&mut self, lu: &mut ShiftedLu, field: &mut Field<'_>) -> bool {
        let Bdf { history, y, weights, residual, slope: change, .. } = self;
        if !vectors::crossings(weights, y, |k| history.value(k), change) {
            return false;
        }
        residual.copy_from_slice(change);
        lu.solve(&mut residual.as_flattened_mut()[..self.n]);
        field.statistics.solves += 1;
        let share = UNDAMPED / self.corrector.shift();
        let is_kept = |(after, before): (&f64, &f64)| *before != 0.0 && after.abs() > share * before.abs();
        residual.as_flattened().iter().zip(change.as_flattened()).any(is_kept)
    }

    /// Looks for a mode that the present order amplifies, now and then.
    fn look_for_limit(&mut self, field: &Field<'_>) {
        self.limit.count(self.h);
        if self.limit.is_due(self.order) {
            let room = [&mut self.slope, &mut self.residual].map(|v| &mut v.as_flattened_mut()[..self.n]);
            let delta = &self.delta.as_flattened()[..self.n];
            self.limit.look(field.system.jacobian_pattern(), &self.corrector.jac, delta, &self.weights, room);
        }
    }

    /// Chooses the order and the length of the next step.
    fn select(&mut self, norm: &Norm, c: &Coefficients, error: f64) {
        let order = self.order;
        let n = self.n;
        let with_sensitivities = norm.with_sensitivities;
        let share = c.difference / self.difference * (self.past[0] / self.past[1]).powi(order as i32 + 1);
        let (history, weights) = (&self.history, &self.weights);
        let (delta, before) = (&self.delta, &self.delta_before);
        let staggered = &mut self.staggered;
        let estimates = Estimates {
            order,
            highest: self.limit.highest_stable(MAX_ORDER.min(order + 1), self.h),
            error,
            lower: &mut |staggered: &mut Staggered| {
                let own = vectors::norm(n, weights, |k| history.last(order, k));
                c.lower * if with_sensitivities { own.max(staggered.norm_of_last(order)) } else { own }
            },
            higher: &mut |staggered: &mut Staggered| {
                let change = |k: usize| {
                    let (a, b): (&Lanes, &Lanes) = (&delta[k], &before[k]);
                    std::array::from_fn(|i| a[i] - share * b[i])
                };
                let own = vectors::norm(n, weights, change);
                c.higher * if with_sensitivities { own.max(staggered.norm_of_change(share)) } else { own }
            },
        };
        self.next = self.selector.accept(estimates, staggered);
    }

    /// Brings the history to the order of the next step.
    fn change_order(&mut self) {
        let order = self.order;
        if self.next.order > order {
            let change = raise(order, &self.past);
            self.history.raise(&change, &self.delta_before);
            self.staggered.history.raise(&change, &self.staggered.delta_before);
        } else if self.next.order < order {
            let change = lower(order, &self.past);
            self.history.lower(order, &change);
            self.staggered.history.lower(order, &change);
        }
        self.order = self.next.order;
    }

    /// Tells which state stands behind a corrector that does not converge: `z_new` is not finite there, or `error`
    /// is largest.
    fn tell_failure(&self, z_new: &mut [f64], error: &mut [f64]) {
        let (y, delta) = (self.y.as_flattened(), self.delta.as_flattened());
        let residual = self.residual.as_flattened();
        for i in 0..self.n {
            z_new[i] = if residual[i].is_finite() { y[i] } else { f64::NAN };
            error[i] = delta[i];
        }
    }

    /// `error` = the correction of the last accepted step, to which the error of a state is proportional.
    pub fn tell_error(&self, error: &mut [f64]) {
        error[..self.n].copy_from_slice(&self.delta_before.as_flattened()[..self.n]);
    }

    /// The factor to the length of the next step.
    pub fn factor(&self) -> f64 {
        self.next.factor
    }

    /// `out` = the first `out.len()` components at `t + theta h` in the step of length h just made.
    pub fn interpolate(&self, theta: f64, out: &mut [f64]) {
        let s = theta - 1.0;
        let n = self.n.min(out.len());
        let (state, sensitivities) = out.split_at_mut(n);
        self.history.interpolate(self.order, s, state);
        self.staggered.history.interpolate(self.order, s, sensitivities);
    }
}
