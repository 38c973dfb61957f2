//! Guessing which sides hold with equality, and correcting the guess.
//!
//! With the guess given, the problem has equations only and one Newton step solves it; sides that then lie on the wrong
//! side, or whose multipliers have the wrong sign, change over (Hintermüller, Ito and Kunisch 2002, *The primal-dual
//! active set strategy as a semismooth Newton method*, SIAM J. Optim. 13:865). An input on its bound is fixed there. A
//! state or row is held by an augmented Lagrangian: a penalty so high that a second step with the multipliers of the
//! first ends its error (Rockafellar 1976, *Augmented Lagrangians and applications of the proximal point algorithm*).

use super::riccati::Failure;
use super::sides::{Kind, Status};
use super::solver::StageQpSolver;

/// Penalty on a fixed input, relative to the curvature: its step is zero within rounding.
const FIX: f64 = 1e14;

/// Penalty on a state or row that holds with equality, relative to the curvature: high enough that one more step
/// removes the error, low enough that eliminating it does not cancel the digits of the cost.
const HOLD: f64 = 1e7;

/// Steps for one guess.
const MAX_STEPS: usize = 6;

/// What the sides say of the guess.
enum Verdict {
    Right,
    /// So many sides have changed over.
    Changed(usize),
}

impl StageQpSolver {
    /// Corrects the guess until it is right. False where that took more than `most` guesses or seems to go nowhere.
    ///
    /// # Errors
    /// Where the problem of a guess has no minimum.
    pub(super) fn settle(&mut self, most: usize) -> Result<bool, Failure> {
        let tolerance = self.options.tolerance;
        let (mut fewest, mut since) = (usize::MAX, 0);
        for _ in 0..most {
            self.statistics.guesses += 1;
            self.weigh_guess();
            self.factorize()?;
            if self.riccati.lifted > 0 {
                return Ok(false);
            }
            let mut verdict = None;
            let mut before = f64::INFINITY;
            for step in 0..=MAX_STEPS {
                self.fix_inputs();
                self.evaluate();
                self.multiply_fixed();
                let norms = self.norms();
                let error = (norms.stationarity / norms.dual_scale)
                    .max(norms.dynamics / norms.primal_scale)
                    .max(self.held_error() / norms.primal_scale);
                if !(error + norms.stationarity + norms.dynamics).is_finite() {
                    return Err(Failure::NotFinite);
                }
                // Sides that are wrong by more than the error of the steps so far need no better steps.
                if step > 0 && (error <= tolerance || step == 1 || error > 0.1 * before) {
                    let is_last = error <= tolerance;
                    let slip = if is_last { tolerance } else { (10.0 * error).max(1e-6) };
                    match self.judge(slip * norms.primal_scale, slip * norms.dual_scale) {
                        Verdict::Right if is_last => {
                            self.clip();
                            return Ok(true);
                        }
                        Verdict::Right if step > 1 => break,
                        Verdict::Right => (),
                        Verdict::Changed(count) => {
                            verdict = Some(count);
                            break;
                        }
                    }
                }
                if step == MAX_STEPS {
                    break;
                }
                before = error;
                self.shift_guess();
                self.newton();
                self.advance_guess();
            }
            let Some(count) = verdict else { return Ok(false) };
            if count < fewest {
                (fewest, since) = (count, 0);
            } else {
                since += 1;
                if since == 4 {
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Weight that holds a side.
    pub(super) fn penalty(&self, i: usize) -> f64 {
        let scale = self.riccati.scale();
        let n_z = self.layout.n_nodes * self.layout.stride;
        let at = self.sides.at[i];
        if self.sides.is_input[i] {
            FIX * scale
        } else if at >= n_z {
            HOLD * scale / self.riccati.row_size(at - n_z).max(1e-8).powi(2)
        } else {
            HOLD * scale
        }
    }

    /// Weights of the sides that hold.
    fn weigh_guess(&mut self) {
        for i in 0..self.sides.len() {
            let weight = match (self.status[i], self.sides.kind[i]) {
                (Status::Free | Status::Saturated, _) => 0.0,
                (Status::Active, Kind::Quadratic(price)) => 2.0 * price,
                (Status::Active, Kind::Hard | Kind::Equal | Kind::Linear(_)) => self.penalty(i),
            };
            if weight != self.side_weight[i] {
                self.side_weight[i] = weight;
                self.riccati.touch(self.sides.node[i]);
            }
            match (self.status[i], self.sides.kind[i]) {
                (Status::Free, _) => self.point.multiplier[i] = 0.0,
                (Status::Saturated, Kind::Linear(price)) => self.point.multiplier[i] = price,
                (Status::Saturated, Kind::Hard | Kind::Equal | Kind::Quadratic(_)) | (Status::Active, _) => (),
            }
        }
    }

    /// True of an input that the guess has on its bound.
    fn is_fixed(&self, i: usize) -> bool {
        self.status[i] == Status::Active && self.sides.is_input[i]
    }

    /// Puts fixed inputs on their bounds.
    fn fix_inputs(&mut self) {
        for i in 0..self.sides.len() {
            if self.is_fixed(i) {
                self.point.v.all[self.sides.at[i]] = self.sides.sign[i] * self.sides.level[i];
            }
        }
    }

    /// The multipliers of fixed inputs are what makes them stationary.
    fn multiply_fixed(&mut self) {
        for i in 0..self.sides.len() {
            if self.is_fixed(i) {
                let residual = &mut self.residual.all[self.sides.at[i]];
                self.point.multiplier[i] += self.sides.sign[i] * *residual;
                *residual = 0.0;
            }
        }
    }

    /// Largest error of the equations that the guess makes of states and rows.
    fn held_error(&self) -> f64 {
        let mut worst = 0.0_f64;
        for i in 0..self.sides.len() {
            if self.status[i] == Status::Active && !self.sides.is_input[i] {
                worst = worst.max(self.equation(i).abs());
            }
        }
        worst
    }

    /// What is to be zero of a side that holds.
    fn equation(&self, i: usize) -> f64 {
        match self.sides.kind[i] {
            Kind::Hard | Kind::Equal | Kind::Linear(_) => self.distance[i],
            Kind::Quadratic(price) => self.distance[i] + 0.5 * self.point.multiplier[i] / price,
        }
    }

    /// Shifts of the sides for the next step.
    fn shift_guess(&mut self) {
        for i in 0..self.sides.len() {
            self.side_shift[i] =
                if self.status[i] == Status::Active && !self.sides.is_input[i] { self.equation(i) } else { 0.0 };
        }
    }

    /// Makes the whole step.
    fn advance_guess(&mut self) {
        for i in 0..self.sides.len() {
            if self.status[i] == Status::Active && !self.sides.is_input[i] {
                let change = self.sides.sign[i] * self.step.v.all[self.sides.at[i]];
                self.point.multiplier[i] -= self.side_weight[i] * (change + self.side_shift[i]);
            }
        }
        for (v, dv) in self.point.v.all.iter_mut().zip(&self.step.v.all) {
            *v += dv;
        }
        for (costate, change) in self.point.costate.iter_mut().zip(&self.step.costate) {
            *costate += change;
        }
    }

    /// Lets sides change over that are wrong by more than rounding: `primal` in distance, `dual` in multiplier.
    fn judge(&mut self, primal: f64, dual: f64) -> Verdict {
        let mut changed = 0;
        for i in 0..self.sides.len() {
            let (distance, multiplier) = (self.distance[i], self.point.multiplier[i]);
            let status = match (self.status[i], self.sides.kind[i]) {
                (_, Kind::Equal) => Status::Active,
                (Status::Free, _) => {
                    if distance < -primal {
                        Status::Active
                    } else {
                        Status::Free
                    }
                }
                (Status::Active, Kind::Linear(price)) if multiplier > price + dual => Status::Saturated,
                (Status::Active, _) => {
                    if multiplier < -dual {
                        Status::Free
                    } else {
                        Status::Active
                    }
                }
                (Status::Saturated, _) => {
                    if distance > primal {
                        Status::Active
                    } else {
                        Status::Saturated
                    }
                }
            };
            if status != self.status[i] {
                self.status[i] = status;
                changed += 1;
            }
        }
        if changed == 0 { Verdict::Right } else { Verdict::Changed(changed) }
    }

    /// Ends signs that are wrong by rounding.
    fn clip(&mut self) {
        for i in 0..self.sides.len() {
            let multiplier = &mut self.point.multiplier[i];
            match self.sides.kind[i] {
                Kind::Equal => (),
                Kind::Hard | Kind::Quadratic(_) => *multiplier = multiplier.max(0.0),
                Kind::Linear(price) => *multiplier = multiplier.clamp(0.0, price.max(0.0)),
            }
        }
    }
}
