//! Moving-horizon estimation: the most likely course of the last few instants, given all their measurements at once.
//!
//! Over a window of N intervals the unknowns are the state at its start and the process noise of each interval, both as
//! standard normal numbers: `x_0 = m + L ξ_0` with `L Lᵀ` the covariance of what is known of the past, and
//! `x_{k+1} = F_k(x_k) + L_k ξ_{k+1}`. What is minimized is `Σ ξᵀξ + Σ ((y − h(x))/sd)²`, a control problem in which the
//! noise steers the model towards what was measured (Rao, Rawlings and Mayne 2003, *Constrained state estimation for
//! nonlinear discrete-time systems*, IEEE Trans. Autom. Control 48:246, eq. 6). Gauss–Newton steps are those of the
//! planners' quadratic problems ([`crate::optimize::stage_qp`]); the courses are simulated, so that each has a cost, and
//! a step is halved until it lowers it. The past that leaves the window is summed up by the extended Kalman filter.
//!
//! **Invariant.** On a linear model with normal noise the estimate is the Kalman filter's, whatever the window. Nothing
//! allocates after the first interval.

use super::gauss::{Verdict, add_product, innovation_variances, square_root, update};
use super::kalman::{carry_covariance, keep, symmetrize};
use super::{EstimateError, Interval, Kalman, Prior, StateSpace};
use crate::decide::{Belief, Estimator};
use crate::optimize::stage_qp::{QpStatus, StageQp, StageQpSolver, Start};
use crate::system::stages::{StageDims, Tree};

/// Shortest step of a line search.
const SHORTEST: f64 = 1e-4;

/// Settings of [`MovingHorizon`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MovingHorizonOptions {
    /// Intervals of the window, at least 1. Default 10.
    pub window: usize,
    /// Most Gauss–Newton steps at an instant. Default 10.
    pub max_iterations: usize,
    /// Expected decrease of the cost, relative to one and itself, below which a step is the last. Default 1e-9.
    pub tolerance: f64,
    /// Weight of what is known from before the window, above 0. Default 1, with which it counts as the extended Kalman
    /// filter has it; less lets the window speak for itself.
    pub arrival: f64,
}

impl Default for MovingHorizonOptions {
    fn default() -> Self {
        MovingHorizonOptions { window: 10, max_iterations: 10, tolerance: 1e-9, arrival: 1.0 }
    }
}

/// An instant of the window, and the interval that leads to it.
struct Slot {
    /// Time of the instant.
    t: f64,
    dt: f64,
    u: Vec<f64>,
    d: Vec<f64>,
    /// `n × n` of the interval's noise.
    noise: Vec<f64>,
    /// Its square root; of the first instant, that of what is known of the past.
    root: Vec<f64>,
    /// Readings; NaN where there is none.
    y: Vec<f64>,
    /// Jacobian of the interval, `n × n`.
    jacobian: Vec<f64>,
    /// `n_outputs` each, and `n_outputs × n`, of the measurement.
    predicted: Vec<f64>,
    sd: Vec<f64>,
    measured_by: Vec<f64>,
}

/// The moving-horizon estimator.
pub struct MovingHorizon<'s> {
    space: Box<dyn StateSpace + 's>,
    /// What is known at the first instant of the window from before it.
    past: Kalman<'s>,
    prior: Prior,
    options: MovingHorizonOptions,
    slots: Vec<Slot>,
    /// Instants in the window: 1 to `window + 1`.
    n_slots: usize,
    /// `n` each, one for each instant: ξ, and the course that it gives.
    noise: Vec<f64>,
    trial: Vec<f64>,
    course: Vec<f64>,
    other: Vec<f64>,
    qp: StageQp,
    solver: StageQpSolver,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    next: Vec<f64>,
    product: Vec<f64>,
    innovations: Vec<f64>,
    variances: Vec<f64>,
    verdict: Verdict,
    log_likelihood: f64,
    message: String,
}

impl<'s> MovingHorizon<'s> {
    /// An estimator that starts from `prior`; `past` is the same model once more.
    ///
    /// # Errors
    /// Where the prior does not fit the model, or the window is empty.
    pub fn new(
        space: Box<dyn StateSpace + 's>,
        past: Box<dyn StateSpace + 's>,
        prior: Prior,
        options: MovingHorizonOptions,
    ) -> Result<Self, EstimateError> {
        let (n, n_outputs) = (space.n_states(), space.n_outputs());
        prior.check(n)?;
        if options.window == 0 {
            return Err(EstimateError::Value { what: "the window" });
        }
        if !(options.arrival > 0.0 && options.arrival.is_finite()) {
            return Err(EstimateError::Value { what: "the weight of what is known from before the window" });
        }
        let n_instants = options.window + 1;
        let slot = || Slot {
            t: prior.time,
            dt: 0.0,
            u: Vec::new(),
            d: Vec::new(),
            noise: vec![0.0; n * n],
            root: vec![0.0; n * n],
            y: vec![f64::NAN; n_outputs],
            jacobian: vec![0.0; n * n],
            predicted: vec![0.0; n_outputs],
            sd: vec![1.0; n_outputs],
            measured_by: vec![0.0; n_outputs * n],
        };
        // The root of the tree is the mean of what is known, its input ξ_0, and the instants follow.
        let dims = StageDims { n_states: n, n_inputs: n };
        let qp = StageQp::new(dims, Tree::chain(n_instants), &vec![0; n_instants + 1], &[]);
        let past = Kalman::new(past, Prior { gate: f64::INFINITY, ..prior.clone() })?;
        let mut estimator = MovingHorizon {
            slots: (0..n_instants).map(|_| slot()).collect(),
            n_slots: 1,
            noise: vec![0.0; n_instants * n],
            trial: vec![0.0; n_instants * n],
            course: vec![0.0; n_instants * n],
            other: vec![0.0; n_instants * n],
            solver: StageQpSolver::new(&qp),
            qp,
            mean: prior.mean.clone(),
            covariance: prior.covariance.clone(),
            next: vec![0.0; n],
            product: vec![0.0; n * n],
            innovations: vec![0.0; n_outputs],
            variances: vec![0.0; n_outputs],
            verdict: Verdict::NONE,
            log_likelihood: 0.0,
            message: String::new(),
            space,
            past,
            prior,
            options,
        };
        estimator.reset(0);
        Ok(estimator)
    }

    /// Lets the first instant leave the window: what it told goes into what is known of the past.
    fn leave(&mut self) {
        let n = self.mean.len();
        let [first, second, ..] = &mut self.slots[..] else { return };
        self.past.update(&first.y);
        self.past.predict(second.dt, &second.u, &second.d);
        let belief = self.past.belief();
        square_root(belief.covariance, &mut second.root);
        if self.options.arrival != 1.0 {
            let widened = self.options.arrival.sqrt().recip();
            second.root.iter_mut().for_each(|value| *value *= widened);
        }
        // The ξ_0 that keeps the course where it was, as far as the past can vary.
        let kept = &mut self.noise[n..2 * n];
        for ((kept, x), mean) in kept.iter_mut().zip(&self.course[n..2 * n]).zip(belief.mean) {
            *kept = x - mean;
        }
        for (k, column) in second.root.chunks_exact(n).enumerate() {
            let value = if column[k] > 0.0 { kept[k] / column[k] } else { 0.0 };
            kept[k] = value;
            kept[k + 1..].iter_mut().zip(&column[k + 1..]).for_each(|(kept, l)| *kept -= l * value);
        }
        self.slots.rotate_left(1);
        self.noise.rotate_left(n);
        self.course.rotate_left(n);
        self.n_slots -= 1;
    }

    /// Writes the course that `trial` gives to `other`, with the measurements along it. Returns its cost; infinite where
    /// the model has no value.
    fn simulate(&mut self) -> f64 {
        let n = self.mean.len();
        let mut cost = 0.0;
        for k in 0..self.n_slots {
            let (before, after) = self.other.split_at_mut(k * n);
            let (x, xi) = (&mut after[..n], &self.trial[k * n..(k + 1) * n]);
            let slot = &mut self.slots[k];
            if k == 0 {
                x.copy_from_slice(self.past.belief().mean);
            } else {
                let over = Interval { t: slot.t - slot.dt, dt: slot.dt, u: &slot.u, d: &slot.d };
                if let Err(error) = self.space.carry(over, &before[(k - 1) * n..], x) {
                    self.message = error.to_string();
                    return f64::INFINITY;
                }
            }
            add_product(&slot.root, xi, x);
            cost += xi.iter().map(|xi| xi * xi).sum::<f64>();
            let at = Interval { t: slot.t, dt: 0.0, u: &slot.u, d: &slot.d };
            self.space.measure(at, x, &mut slot.predicted, &mut slot.sd);
            for (output, &reading) in slot.y.iter().enumerate() {
                let residual = (self.space.scale(output, reading) - slot.predicted[output]) / slot.sd[output];
                if !reading.is_nan() {
                    cost += residual * residual;
                }
            }
        }
        if cost.is_nan() { f64::INFINITY } else { cost }
    }

    /// Takes derivatives along `course` into the quadratic problem. False where the model has none.
    fn linearize(&mut self) -> bool {
        let n = self.mean.len();
        let n_instants = self.slots.len();
        for node in 0..=n_instants {
            let (gradient, hessian) = self.qp.cost_mut(node);
            let n_vars = gradient.len();
            gradient.fill(0.0);
            hessian.fill(0.0);
            // The input of a node is the noise of the instant that follows.
            for j in n..n_vars {
                gradient[j] = if node < self.n_slots { 2.0 * self.noise[node * n + j - n] } else { 0.0 };
                hessian[j * n_vars + j] = 2.0;
            }
            let Some(k) = node.checked_sub(1) else { continue };
            let (offset, jacobian) = self.qp.step_mut(node);
            offset.fill(0.0);
            jacobian.fill(0.0);
            let (by_state, by_noise) = jacobian.split_at_mut(n * n);
            if k >= self.n_slots {
                // Behind the last instant nothing happens.
                (0..n).for_each(|j| by_state[j * n + j] = 1.0);
                continue;
            }
            let slot = &mut self.slots[k];
            by_noise.copy_from_slice(&slot.root);
            if k > 0 {
                let over = Interval { t: slot.t - slot.dt, dt: slot.dt, u: &slot.u, d: &slot.d };
                let from = &self.course[(k - 1) * n..k * n];
                if let Err(error) = self.space.carry_derivatives(over, from, &mut self.next, &mut slot.jacobian) {
                    self.message = error.to_string();
                    return false;
                }
                by_state.copy_from_slice(&slot.jacobian);
            }
            let at = Interval { t: slot.t, dt: 0.0, u: &slot.u, d: &slot.d };
            let Slot { y, predicted, sd, measured_by, .. } = slot;
            let x = &self.course[k * n..(k + 1) * n];
            self.space.measure_derivatives(at, x, predicted, sd, measured_by);
            let (gradient, hessian) = self.qp.cost_mut(node);
            for (output, &reading) in y.iter().enumerate() {
                if reading.is_nan() {
                    continue;
                }
                let weight = 2.0 / (sd[output] * sd[output]);
                let residual = self.space.scale(output, reading) - predicted[output];
                let by = |j: usize| measured_by[j * y.len() + output];
                for j in 0..n {
                    gradient[j] -= weight * residual * by(j);
                    (0..n).for_each(|i| hessian[j * n_vars + i] += weight * by(i) * by(j));
                }
            }
        }
        self.qp.root_mut().fill(0.0);
        true
    }

    /// Finds the most likely course. Leaves derivatives of where its last step began.
    fn solve(&mut self) {
        self.trial.copy_from_slice(&self.noise);
        let mut cost = self.simulate();
        if !cost.is_finite() {
            return;
        }
        self.course.copy_from_slice(&self.other);
        for _ in 0..self.options.max_iterations {
            if !self.linearize() {
                return;
            }
            match self.solver.solve(&self.qp, Start::Cold) {
                QpStatus::Optimal | QpStatus::IterationLimit => {}
                QpStatus::Infeasible { .. } | QpStatus::Indefinite { .. } | QpStatus::NotFinite => {
                    self.message.push_str("the quadratic problem of an estimate has no solution");
                    return;
                }
            }
            let slope = self.slope();
            let is_last = -slope <= self.options.tolerance * (1.0 + cost);
            let mut length = 1.0;
            let reached = loop {
                self.follow(length);
                let reached = self.simulate();
                // What a last step changes is within rounding of nothing.
                if reached <= cost || (is_last && reached.is_finite()) {
                    self.noise.copy_from_slice(&self.trial);
                    self.course.copy_from_slice(&self.other);
                    break Some(reached);
                }
                length *= 0.5;
                if length < SHORTEST {
                    break None;
                }
            };
            match reached {
                Some(reached) if !is_last => cost = reached,
                Some(_) | None => return,
            }
        }
    }

    /// Writes `trial` = the noise so far along the step.
    fn follow(&mut self, length: f64) {
        let n = self.mean.len();
        for k in 0..self.n_slots {
            let (now, step) = (&self.noise[k * n..(k + 1) * n], self.solver.input(k));
            let trial = &mut self.trial[k * n..(k + 1) * n];
            trial.iter_mut().zip(now).zip(step).for_each(|((t, now), step)| *t = now + length * step);
        }
    }

    /// What the whole step changes the cost by to first order.
    fn slope(&self) -> f64 {
        let mut slope = 0.0;
        for node in 0..=self.slots.len() {
            let (by_state, by_noise) = self.qp.gradient(node).split_at(self.mean.len());
            slope += by_state.iter().zip(self.solver.state(node)).map(|(g, dx)| g * dx).sum::<f64>();
            if !by_noise.is_empty() {
                slope += by_noise.iter().zip(self.solver.input(node)).map(|(g, d)| g * d).sum::<f64>();
            }
        }
        slope
    }

    /// The covariance of the last instant: the Kalman recursion along the course.
    fn spread(&mut self) {
        let n = self.mean.len();
        let last = self.n_slots - 1;
        self.covariance.copy_from_slice(self.past.belief().covariance);
        self.innovations.fill(0.0);
        for (k, slot) in self.slots[..self.n_slots].iter().enumerate() {
            if k > 0 {
                carry_covariance(&slot.jacobian, &slot.noise, &mut self.covariance, &mut self.product);
            }
            for (innovation, y) in self.innovations.iter_mut().zip(&slot.y) {
                *innovation = if y.is_nan() { f64::NAN } else { 0.0 };
            }
            let x = &self.course[k * n..(k + 1) * n];
            self.next.copy_from_slice(x);
            let gain = &mut self.product[..n];
            let Slot { measured_by, sd, .. } = slot;
            update(&mut self.next, &mut self.covariance, measured_by, &self.innovations, sd, x, gain);
            symmetrize(&mut self.covariance, n);
        }
        self.mean.copy_from_slice(&self.course[last * n..(last + 1) * n]);
        self.space.confine(&mut self.mean);
    }
}

impl Estimator for MovingHorizon<'_> {
    fn reset(&mut self, seed: u64) {
        let n = self.mean.len();
        self.past.reset(seed);
        self.n_slots = 1;
        self.noise.fill(0.0);
        self.mean.copy_from_slice(&self.prior.mean);
        self.covariance.copy_from_slice(&self.prior.covariance);
        self.course[..n].copy_from_slice(&self.prior.mean);
        if let Some(first) = self.slots.first_mut() {
            first.t = self.prior.time;
            first.dt = 0.0;
            first.u.clear();
            first.d.clear();
            first.y.fill(f64::NAN);
            square_root(&self.prior.covariance, &mut first.root);
        }
        self.verdict = Verdict::NONE;
        self.log_likelihood = 0.0;
        self.message.clear();
    }

    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        let n = self.mean.len();
        if self.n_slots == self.slots.len() {
            self.leave();
        }
        let last = self.n_slots;
        let t = self.slots[last - 1].t;
        let slot = &mut self.slots[last];
        slot.t = t + dt;
        slot.dt = dt;
        keep(&mut slot.u, u);
        keep(&mut slot.d, d);
        slot.y.fill(f64::NAN);
        self.space.process_noise(dt, &mut slot.noise);
        square_root(&slot.noise, &mut slot.root);
        let over = Interval { t, dt, u, d };
        if let Err(error) = self.space.carry_derivatives(over, &self.mean, &mut self.next, &mut slot.jacobian) {
            self.message = error.to_string();
            return;
        }
        carry_covariance(&slot.jacobian, &slot.noise, &mut self.covariance, &mut self.product);
        self.mean.copy_from_slice(&self.next);
        self.course[last * n..(last + 1) * n].copy_from_slice(&self.next);
        self.noise[last * n..(last + 1) * n].fill(0.0);
        self.n_slots += 1;
    }

    fn update(&mut self, y: &[f64]) {
        let n = self.mean.len();
        let slot = &mut self.slots[self.n_slots - 1];
        let at = Interval { t: slot.t, dt: 0.0, u: &slot.u, d: &slot.d };
        let Slot { predicted, sd, measured_by, .. } = slot;
        self.space.measure_derivatives(at, &self.mean, predicted, sd, measured_by);
        innovation_variances(&self.covariance, measured_by, sd, &mut self.variances);
        for (output, innovation) in self.innovations.iter_mut().enumerate() {
            let reading = y.get(output).copied().unwrap_or(f64::NAN);
            let distance = self.space.scale(output, reading) - predicted[output];
            let is_used = distance.is_finite() && distance * distance <= self.prior.gate * self.variances[output];
            *innovation = if is_used { distance } else { f64::NAN };
            slot.y[output] = if is_used { reading } else { f64::NAN };
        }
        // The filter's verdict on the new readings; the estimate itself is that of the whole window.
        self.next.copy_from_slice(&self.mean);
        let gain = &mut self.product[..n];
        let (mean, covariance) = (&mut self.mean, &mut self.covariance);
        self.verdict = update(mean, covariance, measured_by, &self.innovations, sd, &self.next, gain);
        self.log_likelihood += self.verdict.log_likelihood;
        self.solve();
        self.spread();
    }

    fn belief(&self) -> Belief<'_> {
        Belief {
            mean: &self.mean,
            covariance: &self.covariance,
            nis: self.verdict.nis,
            n_used: self.verdict.n_used,
            log_likelihood: self.log_likelihood,
            message: &self.message,
        }
    }
}
