//! A primal-dual interior-point method that finds which sides hold where guessing does not.
//!
//! Each side has a slack t and a multiplier λ with `λ t → 0`; one of linear price w has an excess e as well, whose
//! multiplier is `w - λ`; of a quadratic price, `e = λ / 2w`. These are eliminated side by side, so that the Newton system
//! keeps its size. Predictor and corrector after Mehrotra 1992, *On the implementation of a primal-dual interior point
//! method*, SIAM J. Optim. 2:575; for horizons, Rao, Wright and Rawlings 1998. As soon as iterates agree on the sides that
//! hold, [`StageQpSolver::settle`] ends the solve with all digits.

use super::riccati::Failure;
use super::sides::{Kind, Status};
use super::solver::StageQpSolver;

impl StageQpSolver {
    /// Iterates until the optimality conditions hold. False where they do not after as many iterations as are allowed,
    /// or steps have become too short.
    ///
    /// # Errors
    /// Where a Newton system has no minimum.
    pub(super) fn interior(&mut self) -> Result<bool, Failure> {
        self.enter();
        let mut believed = 0;
        let mut short = 0;
        let mut next_attempt = f64::INFINITY;
        for _ in 0..self.options.max_iterations {
            self.fix_equal_inputs();
            self.evaluate();
            let norms = self.norms();
            let (mu, largest, gap) = self.centrality();
            if !(norms.stationarity + norms.dynamics + mu + gap).is_finite() {
                return Err(Failure::NotFinite);
            }
            let tolerance = self.options.tolerance;
            let error = (norms.stationarity / norms.dual_scale)
                .max(norms.dynamics.max(gap) / norms.primal_scale)
                .max(largest / norms.dual_scale);
            let agreed = self.believe();
            believed = if agreed { believed + 1 } else { 0 };
            let is_last = error <= tolerance;
            if is_last || ((believed >= 1 && error < 1e-3 || error < 1e-7) && error < next_attempt) {
                self.backup.copy_from(&self.point);
                next_attempt = 0.1 * error;
                if let Ok(true) = self.settle(3) {
                    return Ok(true);
                }
                self.point.copy_from(&self.backup);
                self.believe();
                self.evaluate();
                self.centrality();
                if is_last {
                    return Ok(true);
                }
            }
            self.statistics.iterations += 1;
            self.weigh_interior();
            self.factorize()?;
            self.aim(0.0, false);
            self.newton();
            let reach = self.project();
            let predicted = self.centrality_after(reach);
            let sigma = if mu > 0.0 { (predicted / mu).clamp(0.0, 1.0).powi(3) } else { 0.0 };
            self.aim(sigma * mu, true);
            self.newton();
            let reach = self.project();
            let length = if reach >= 1.0 { 1.0 } else { (1.0 - (0.1 * (1.0 - reach)).clamp(1e-3, 0.01)) * reach };
            self.advance(length);
            short = if length < 1e-6 { short + 1 } else { 0 };
            if short == 3 {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Puts inputs that equations fix on their values and takes their multipliers from stationarity at the next
    /// evaluation.
    fn fix_equal_inputs(&mut self) {
        for i in 0..self.sides.len() {
            if self.sides.kind[i] == Kind::Equal && self.sides.is_input[i] {
                self.point.v.all[self.sides.at[i]] = self.sides.level[i];
            }
        }
    }

    /// A start: variables of bounded pairs inside, slacks and multipliers as large as what the bounds have to change.
    fn enter(&mut self) {
        self.fix_equal_inputs();
        self.point.multiplier.fill(0.0);
        for i in 0..self.sides.len() {
            let (at, width) = (self.sides.at[i], self.sides.width[i]);
            if at < self.layout.n_nodes * self.layout.stride && self.sides.kind[i] == Kind::Hard && width.is_finite() {
                let distance = self.sides.sign[i] * self.point.v.all[at] - self.sides.level[i];
                let inside = distance.clamp(0.1 * width, 0.9 * width);
                self.point.v.all[at] += self.sides.sign[i] * (inside - distance);
            }
        }
        self.evaluate();
        let norms = self.norms();
        let (mut sum, mut count) = (0.0, 0.0);
        for i in 0..self.sides.len() {
            if self.sides.kind[i] == Kind::Equal {
                continue;
            }
            let distance = self.distance[i];
            let least = if self.sides.width[i].is_finite() { 0.1 * self.sides.width[i] } else { 1e-2 };
            self.point.slack[i] = distance.abs().max(least).max(1e-8 * norms.primal_scale);
            sum += self.point.slack[i];
            count += 1.0;
        }
        if count == 0.0 {
            return;
        }
        let slope = norms.stationarity.max(1e-3 * norms.dual_scale);
        let mu = 0.1 * slope * sum / count;
        for i in 0..self.sides.len() {
            let multiplier = mu / self.point.slack[i];
            match self.sides.kind[i] {
                Kind::Equal => (),
                Kind::Hard | Kind::Quadratic(_) => self.point.multiplier[i] = multiplier,
                Kind::Linear(price) => {
                    self.point.multiplier[i] = multiplier.min(0.5 * price);
                    self.point.excess[i] = mu / (price - self.point.multiplier[i]);
                }
            }
        }
    }

    /// Error of the slack of a side.
    fn slack_error(&self, i: usize) -> f64 {
        let distance = self.distance[i];
        match self.sides.kind[i] {
            Kind::Equal => distance,
            Kind::Hard => distance - self.point.slack[i],
            Kind::Linear(_) => distance + self.point.excess[i] - self.point.slack[i],
            Kind::Quadratic(price) => distance + 0.5 * self.point.multiplier[i] / price - self.point.slack[i],
        }
    }

    /// Mean and largest product of multipliers and what complements them, and the largest error of a slack. Completes the
    /// stationarity of inputs that equations fix.
    pub(super) fn centrality(&mut self) -> (f64, f64, f64) {
        let (mut sum, mut count, mut largest, mut gap) = (0.0, 0.0_f64, 0.0_f64, 0.0_f64);
        for i in 0..self.sides.len() {
            let multiplier = self.point.multiplier[i];
            match self.sides.kind[i] {
                Kind::Equal => {
                    if self.sides.is_input[i] {
                        let residual = &mut self.residual.all[self.sides.at[i]];
                        self.point.multiplier[i] += *residual;
                        *residual = 0.0;
                    }
                }
                Kind::Hard | Kind::Quadratic(_) => {
                    let product = multiplier * self.point.slack[i];
                    sum += product;
                    largest = largest.max(product);
                    count += 1.0;
                }
                Kind::Linear(price) => {
                    let products = [multiplier * self.point.slack[i], (price - multiplier) * self.point.excess[i]];
                    sum += products[0] + products[1];
                    largest = largest.max(products[0]).max(products[1]);
                    count += 2.0;
                }
            }
            gap = gap.max(self.slack_error(i).abs());
        }
        (sum / count.max(1.0), largest, gap)
    }

    /// Beliefs that the iterate suggests. True where they are what they were.
    pub(super) fn believe(&mut self) -> bool {
        let mut agreed = true;
        for i in 0..self.sides.len() {
            let (multiplier, slack) = (self.point.multiplier[i], self.point.slack[i]);
            let status = match self.sides.kind[i] {
                Kind::Equal => Status::Active,
                Kind::Hard | Kind::Quadratic(_) => {
                    if multiplier > slack {
                        Status::Active
                    } else {
                        Status::Free
                    }
                }
                Kind::Linear(price) => {
                    if multiplier <= slack {
                        Status::Free
                    } else if price - multiplier < self.point.excess[i] {
                        Status::Saturated
                    } else {
                        Status::Active
                    }
                }
            };
            agreed &= status == self.status[i];
            self.status[i] = status;
        }
        agreed
    }

    /// Weights of the sides at the iterate.
    fn weigh_interior(&mut self) {
        for i in 0..self.sides.len() {
            let (multiplier, slack) = (self.point.multiplier[i], self.point.slack[i]);
            self.side_weight[i] = match self.sides.kind[i] {
                Kind::Equal => self.penalty(i),
                Kind::Hard => multiplier / slack,
                Kind::Linear(price) => 1.0 / (slack / multiplier + self.point.excess[i] / (price - multiplier)),
                Kind::Quadratic(price) => 1.0 / (slack / multiplier + 0.5 / price),
            };
        }
        for node in 0..self.layout.n_nodes {
            self.riccati.touch(node);
        }
    }

    /// Shifts of the sides for a step towards products `target`; with the products of the last step's changes.
    fn aim(&mut self, target: f64, is_corrector: bool) {
        for i in 0..self.sides.len() {
            let (multiplier, slack) = (self.point.multiplier[i], self.point.slack[i]);
            let (mut product, mut other) = (slack - target / multiplier, 0.0);
            if is_corrector {
                product += self.step.slack[i] * self.step.multiplier[i] / multiplier;
            }
            match self.sides.kind[i] {
                Kind::Equal => {
                    self.side_shift[i] = if self.sides.is_input[i] { 0.0 } else { self.distance[i] };
                    continue;
                }
                Kind::Hard | Kind::Quadratic(_) => (),
                Kind::Linear(price) => {
                    let complement = price - multiplier;
                    other = self.point.excess[i] - target / complement;
                    if is_corrector {
                        other -= self.step.excess[i] * self.step.multiplier[i] / complement;
                    }
                }
            }
            self.side_shift[i] = self.slack_error(i) + product - other;
            // What the slack and the excess lack of their targets, for the way back.
            self.step.slack[i] = -product;
            self.step.excess[i] = -other;
        }
    }

    /// Steps of multipliers, slacks and excesses from that of the variables; how far it can be made, 1 at most.
    fn project(&mut self) -> f64 {
        let mut reach = 1.0_f64;
        let mut limit = |value: f64, change: f64| {
            if value + reach * change < 0.0 {
                reach = -value / change;
            }
        };
        for i in 0..self.sides.len() {
            let change = self.sides.sign[i] * self.step.v.all[self.sides.at[i]];
            let d_multiplier = -self.side_weight[i] * (change + self.side_shift[i]);
            self.step.multiplier[i] = d_multiplier;
            let (multiplier, slack) = (self.point.multiplier[i], self.point.slack[i]);
            match self.sides.kind[i] {
                Kind::Equal => continue,
                Kind::Hard | Kind::Quadratic(_) => (),
                Kind::Linear(price) => {
                    let complement = price - multiplier;
                    self.step.excess[i] += self.point.excess[i] * d_multiplier / complement;
                    limit(self.point.excess[i], self.step.excess[i]);
                    limit(complement, -d_multiplier);
                }
            }
            self.step.slack[i] -= slack * d_multiplier / multiplier;
            limit(multiplier, d_multiplier);
            limit(slack, self.step.slack[i]);
        }
        reach
    }

    /// Mean product after a step of the given length.
    fn centrality_after(&self, length: f64) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0_f64);
        for i in 0..self.sides.len() {
            let multiplier = self.point.multiplier[i] + length * self.step.multiplier[i];
            let slack = self.point.slack[i] + length * self.step.slack[i];
            match self.sides.kind[i] {
                Kind::Equal => (),
                Kind::Hard | Kind::Quadratic(_) => {
                    sum += multiplier * slack;
                    count += 1.0;
                }
                Kind::Linear(price) => {
                    let excess = self.point.excess[i] + length * self.step.excess[i];
                    sum += multiplier * slack + (price - multiplier) * excess;
                    count += 2.0;
                }
            }
        }
        sum / count.max(1.0)
    }

    /// Makes a step of the given length.
    fn advance(&mut self, length: f64) {
        let add = |values: &mut [f64], changes: &[f64]| {
            for (value, change) in values.iter_mut().zip(changes) {
                *value += length * change;
            }
        };
        add(&mut self.point.v.all, &self.step.v.all);
        add(&mut self.point.costate, &self.step.costate);
        for i in 0..self.sides.len() {
            if self.sides.kind[i] == Kind::Equal && self.sides.is_input[i] {
                continue;
            }
            self.point.multiplier[i] += length * self.step.multiplier[i];
            if self.sides.kind[i] != Kind::Equal {
                self.point.slack[i] += length * self.step.slack[i];
                self.point.excess[i] += length * self.step.excess[i];
            }
        }
    }
}
