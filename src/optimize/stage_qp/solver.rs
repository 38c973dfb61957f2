//! The solver's state, its stages in order, and what it answers.

use super::layout::{Layout, Vector};
use super::problem::StageQp;
use super::riccati::{Failure, Riccati};
use super::sides::{Kind, Sides, Status};
use super::{Bounded, QpOptions, QpResiduals, QpStatistics, QpStatus, Start};
use crate::linalg::block::largest;
use crate::linalg::{Wide, wide};

/// Prices of leaving a hard bound, relative to the largest curvature or gradient, where not all can be kept.
const PRICES: (f64, f64) = (1e3, 1e7);

/// The primal and dual variables of a problem.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// Variables, and values of rows.
    pub v: Vector,
    /// Per node: `np`.
    pub costate: Vec<f64>,
    /// Per side, as what follows: its multiplier.
    pub multiplier: Vec<f64>,
    /// Distance from the bound, of interior points.
    pub slack: Vec<f64>,
    /// Excess over a soft bound of linear price, of interior points.
    pub excess: Vec<f64>,
}

impl Point {
    fn new(layout: &Layout, n_sides: usize) -> Point {
        Point {
            v: Vector::new(layout),
            costate: vec![0.0; layout.n_nodes * layout.np],
            multiplier: vec![0.0; n_sides],
            slack: vec![0.0; n_sides],
            excess: vec![0.0; n_sides],
        }
    }

    /// Takes the values of another of the same sizes.
    pub(super) fn copy_from(&mut self, other: &Point) {
        self.v.all.copy_from_slice(&other.v.all);
        self.costate.copy_from_slice(&other.costate);
        self.multiplier.copy_from_slice(&other.multiplier);
        self.slack.copy_from_slice(&other.slack);
        self.excess.copy_from_slice(&other.excess);
    }
}

/// Largest absolute values at a point.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Norms {
    pub stationarity: f64,
    pub dynamics: f64,
    /// Of the variables, at least 1.
    pub primal_scale: f64,
    /// Of the gradients and costates, at least 1.
    pub dual_scale: f64,
}

/// Solves problems of one structure, each from the last one's solution if wanted.
#[derive(Debug, Clone)]
pub struct StageQpSolver {
    pub(super) options: QpOptions,
    pub(super) layout: Layout,
    pub(super) riccati: Riccati,
    pub(super) sides: Sides,
    pub(super) status: Vec<Status>,
    pub(super) point: Point,
    pub(super) backup: Point,
    pub(super) step: Point,
    pub(super) gradient: Vec<f64>,
    pub(super) offset: Vec<f64>,
    /// Stationarity.
    pub(super) residual: Vector,
    /// Dynamics.
    pub(super) gap: Vec<f64>,
    pub(super) rhs: Vector,
    pub(super) weights: Vector,
    /// Per side: `sign · v - level`.
    pub(super) distance: Vec<f64>,
    /// Per side: weight and shift of the interior-point method's steps; change of the slack and of the excess.
    pub(super) side_weight: Vec<f64>,
    pub(super) side_shift: Vec<f64>,
    pub(super) statistics: QpStatistics,
    /// The largest element of the gradients, at least 1.
    gradient_scale: f64,
    /// Gradient of the cost with respect to the given states of the root.
    root_slope: Vec<f64>,
    /// Multipliers and beliefs per position of a `Vector`, lower and upper: what is remembered.
    multipliers: [Vec<f64>; 2],
    beliefs: [Vec<Status>; 2],
    residuals: QpResiduals,
    /// Whether matrices and sides are those of the problem last solved.
    is_loaded: bool,
}

impl StageQpSolver {
    /// A solver for problems of the structure of `qp`: its tree, sizes, rows and free states.
    pub fn new(qp: &StageQp) -> StageQpSolver {
        let layout = Layout::new(qp);
        let n_sides = 2 * (layout.n_nodes * (layout.n + layout.m) + layout.n_rows);
        let vector = Vector::new(&layout);
        let n_values = vector.all.len();
        StageQpSolver {
            options: QpOptions::default(),
            riccati: Riccati::new(&layout),
            sides: Sides::new(&layout),
            status: vec![Status::Free; n_sides],
            point: Point::new(&layout, n_sides),
            backup: Point::new(&layout, n_sides),
            step: Point::new(&layout, n_sides),
            gradient: vec![0.0; layout.n_nodes * layout.stride],
            offset: vec![0.0; layout.n_nodes * layout.np],
            residual: vector.clone(),
            gap: vec![0.0; layout.n_nodes * layout.np],
            rhs: vector.clone(),
            weights: vector,
            distance: vec![0.0; n_sides],
            side_weight: vec![0.0; n_sides],
            side_shift: vec![0.0; n_sides],
            statistics: QpStatistics::default(),
            gradient_scale: 1.0,
            root_slope: vec![0.0; layout.np],
            multipliers: [vec![0.0; n_values], vec![0.0; n_values]],
            beliefs: [vec![Status::Free; n_values], vec![Status::Free; n_values]],
            residuals: QpResiduals::default(),
            is_loaded: false,
            layout,
        }
    }

    /// The settings.
    pub fn options(&self) -> &QpOptions {
        &self.options
    }

    /// The settings, to be changed.
    pub fn options_mut(&mut self) -> &mut QpOptions {
        &mut self.options
    }

    /// Solves a problem of the structure that the solver was made for.
    pub fn solve(&mut self, qp: &StageQp, start: Start) -> QpStatus {
        self.statistics = QpStatistics::default();
        let status = self.attempt(qp, start);
        self.remember();
        status
    }

    /// Solves the problem last solved again, of which nothing but [`StageQp::root`] has changed, from its solution: the
    /// recursion is not repeated where the same bounds hold.
    pub fn solve_root(&mut self, qp: &StageQp) -> QpStatus {
        if !self.is_loaded {
            return self.solve(qp, Start::Warm);
        }
        self.statistics = QpStatistics::default();
        self.rest(qp);
        self.recall(Start::Warm);
        let status = match self.settle(self.options.max_guesses) {
            Ok(true) => QpStatus::Optimal,
            Ok(false) | Err(_) => return self.solve(qp, Start::Warm),
        };
        self.remember();
        status
    }

    fn attempt(&mut self, qp: &StageQp, start: Start) -> QpStatus {
        self.is_loaded = false;
        if let Err(contradiction) = self.sides.load(qp, &self.layout, None) {
            self.rest(qp);
            return self.infeasible(contradiction.node, contradiction.at);
        }
        if !self.load(qp) {
            self.rest(qp);
            return QpStatus::NotFinite;
        }
        self.recall(start);
        match self.settle(self.options.max_guesses) {
            Ok(true) => {
                self.is_loaded = true;
                return QpStatus::Optimal;
            }
            Ok(false) => (),
            Err(Failure::Indefinite(node)) if self.is_unbounded() => {
                self.rest(qp);
                return QpStatus::Indefinite { node };
            }
            Err(_) => (),
        }
        // A guess with more equations than freedom has multipliers without measure: nothing of it is kept.
        self.rest(qp);
        match self.interior() {
            Ok(true) => {
                self.is_loaded = true;
                return QpStatus::Optimal;
            }
            Ok(false) => (),
            Err(Failure::Indefinite(node)) => return QpStatus::Indefinite { node },
            Err(Failure::NotFinite) => (),
        }
        match self.relax(qp) {
            // The data are finite: it is the iterates that are not.
            status @ (QpStatus::IterationLimit | QpStatus::NotFinite) => self.solve_sparse(qp, status),
            status @ (QpStatus::Optimal | QpStatus::Infeasible { .. } | QpStatus::Indefinite { .. }) => status,
        }
    }

    /// What prices of bounds are relative to.
    pub(super) fn price_scale(&self) -> f64 {
        self.riccati.scale().max(self.gradient_scale)
    }

    /// The side that is left most of those that this price has made soft, and by how much of its bound; nothing where none
    /// is left by more than the tolerance.
    pub(super) fn worst_left(&self, price: f64) -> Option<(f64, usize)> {
        let mut worst = (0.0, 0);
        for i in 0..self.sides.len() {
            if self.sides.kind[i] == Kind::Linear(price) {
                let relative = -self.distance[i] / self.sides.level[i].abs().max(1.0);
                if relative > worst.0 {
                    worst = (relative, i);
                }
            }
        }
        (worst.0 > 1e2 * self.options.tolerance).then_some(worst)
    }

    /// Looks for the point that leaves the hard bounds least: they become soft at a price so high that none is left
    /// where none need be (Fletcher 1987, *Practical methods of optimization*, section 14.3).
    fn relax(&mut self, qp: &StageQp) -> QpStatus {
        let Some(found) = self.relax_at(qp, PRICES.0) else { return QpStatus::IterationLimit };
        if !matches!(found, QpStatus::Infeasible { .. }) {
            return found;
        }
        // What is left at a price may be kept at a higher one, where the problem is harder to solve.
        match self.relax_at(qp, PRICES.1) {
            Some(found @ (QpStatus::Optimal | QpStatus::Infeasible { .. })) => found,
            Some(QpStatus::IterationLimit | QpStatus::Indefinite { .. } | QpStatus::NotFinite) | None => {
                self.relax_at(qp, PRICES.0).unwrap_or(QpStatus::IterationLimit)
            }
        }
    }

    /// Solves with hard bounds soft at a price relative to the problem's numbers; nothing where that takes too long.
    fn relax_at(&mut self, qp: &StageQp, factor: f64) -> Option<QpStatus> {
        let price = factor * self.price_scale();
        if self.sides.load(qp, &self.layout, Some(price)).is_err() {
            return Some(QpStatus::NotFinite);
        }
        self.rest(qp);
        match self.interior() {
            Ok(true) => (),
            Ok(false) => return None,
            Err(Failure::Indefinite(node)) => return Some(QpStatus::Indefinite { node }),
            Err(Failure::NotFinite) => return Some(QpStatus::NotFinite),
        }
        // A soft side of the problem itself may be left; those that were hard are told by their price.
        Some(match self.worst_left(price) {
            None => QpStatus::Optimal,
            Some((_, i)) => self.infeasible(self.sides.node[i], self.sides.at[i]),
        })
    }

    pub(super) fn infeasible(&self, node: usize, at: usize) -> QpStatus {
        let Layout { n, np, stride, n_nodes, .. } = self.layout;
        let bounded = if at >= n_nodes * stride {
            Bounded::Row(at - n_nodes * stride - self.layout.row_start[node])
        } else {
            let j = at - node * stride;
            if j < n { Bounded::State(j) } else { Bounded::Input(j - np) }
        };
        QpStatus::Infeasible { node, bounded }
    }

    /// True where no side is believed to hold, but equations: what is indefinite then is the problem itself.
    fn is_unbounded(&self) -> bool {
        (0..self.sides.len()).all(|i| self.sides.kind[i] == Kind::Equal || self.status[i] != Status::Active)
    }

    /// Takes in the data but the sides. False where something is not finite.
    fn load(&mut self, qp: &StageQp) -> bool {
        let Layout { n, np, stride, n_nodes, .. } = self.layout;
        let mut check = 0.0;
        for node in 0..n_nodes {
            let target = &mut self.gradient[node * stride..(node + 1) * stride];
            for (j, &value) in qp.gradient(node).iter().enumerate() {
                target[if j < n { j } else { np + j - n }] = value;
                check += 0.0 * value;
            }
            if node > 0 {
                for (target, &value) in self.offset[node * np..].iter_mut().zip(qp.offset(node)) {
                    *target = value;
                    check += 0.0 * value;
                }
            }
        }
        self.rest(qp);
        self.gradient_scale = largest(&self.gradient).max(1.0);
        check += 0.0 * largest(&self.point.v.all[..n]);
        self.riccati.load(qp) && check == 0.0
    }

    /// Puts the point at zero, but for the given states.
    pub(super) fn rest(&mut self, qp: &StageQp) {
        self.point.v.all.fill(0.0);
        self.point.costate.fill(0.0);
        self.point.multiplier.fill(0.0);
        let n = self.layout.n;
        self.point.v.all[..n].copy_from_slice(qp.root());
        for &i in &self.layout.free {
            self.point.v.all[i] = 0.0;
        }
    }

    /// Beliefs and multipliers of the sides at the start.
    pub(super) fn recall(&mut self, start: Start) {
        for i in 0..self.sides.len() {
            let (at, side) = (self.sides.at[i], usize::from(self.sides.sign[i] < 0.0));
            let (belief, multiplier) = match start {
                Start::Cold => (Status::Free, 0.0),
                Start::Warm => (self.beliefs[side][at], self.multipliers[side][at]),
            };
            (self.status[i], self.point.multiplier[i]) = match (self.sides.kind[i], belief) {
                (Kind::Equal, _) => {
                    (Status::Active, multiplier - self.multipliers[1][at] * f64::from(start == Start::Warm))
                }
                (Kind::Hard | Kind::Quadratic(_), Status::Saturated) => (Status::Active, multiplier),
                (Kind::Linear(price), Status::Saturated) => (Status::Saturated, price),
                (_, Status::Free) => (Status::Free, 0.0),
                (_, Status::Active) => (Status::Active, multiplier),
            };
        }
    }

    /// Keeps multipliers and beliefs by position, and the residuals.
    fn remember(&mut self) {
        for list in &mut self.multipliers {
            list.fill(0.0);
        }
        for list in &mut self.beliefs {
            list.fill(Status::Free);
        }
        for i in 0..self.sides.len() {
            let (at, multiplier) = (self.sides.at[i], self.point.multiplier[i]);
            let side = usize::from(if self.sides.kind[i] == Kind::Equal {
                multiplier < 0.0
            } else {
                self.sides.sign[i] < 0.0
            });
            self.multipliers[side][at] = multiplier.abs();
            self.beliefs[side][at] = self.status[i];
        }
        let norms = self.norms();
        let mut residuals =
            QpResiduals { stationarity: norms.stationarity, dynamics: norms.dynamics, ..QpResiduals::default() };
        for i in 0..self.sides.len() {
            let (distance, multiplier) = (self.distance[i], self.point.multiplier[i]);
            let (left, product) = match self.sides.kind[i] {
                Kind::Hard => (-distance, multiplier * distance),
                Kind::Equal => (distance.abs(), 0.0),
                // Left soft sides: the multiplier is the price, or the distance to it is what complements the excess.
                Kind::Linear(price) => {
                    (0.0, if distance < 0.0 { (price - multiplier) * distance } else { multiplier * distance })
                }
                Kind::Quadratic(weight) => (0.0, multiplier * (distance + 0.5 * multiplier / weight)),
            };
            residuals.bounds = residuals.bounds.max(left);
            residuals.complementarity = residuals.complementarity.max(product.abs());
        }
        self.residuals = residuals;
    }

    /// Residuals, distances and values of rows at the point.
    pub(super) fn evaluate(&mut self) {
        let n = self.layout.n;
        let (residual, rows) = self.residual.parts_mut();
        residual.copy_from_slice(&self.gradient);
        rows.fill(0.0);
        for i in 0..self.sides.len() {
            self.residual.all[self.sides.at[i]] -= self.sides.sign[i] * self.point.multiplier[i];
        }
        self.riccati.residuals(&mut self.point.v, &self.point.costate, &self.offset, &mut self.residual, &mut self.gap);
        for i in 0..self.sides.len() {
            self.distance[i] = self.sides.sign[i] * self.point.v.all[self.sides.at[i]] - self.sides.level[i];
        }
        // The given states of the root need not be stationary.
        let mut free = self.layout.free.iter().copied().peekable();
        for (i, (slope, residual)) in self.root_slope.iter_mut().zip(&mut self.residual.all[..n]).enumerate() {
            let is_free = free.next_if_eq(&i).is_some();
            *slope = if is_free { 0.0 } else { std::mem::take(residual) };
        }
    }

    /// Norms of what was last evaluated; not numbers where something is not finite.
    pub(super) fn norms(&self) -> Norms {
        wide(Measure { solver: self })
    }

    /// Solves the Newton system of the current weights: the residual and `side_shift` on the sides of `side_weight`
    /// become the step of the variables, rows and costates.
    pub(super) fn newton(&mut self) {
        self.statistics.solves += 1;
        let (rhs, rows) = self.rhs.parts_mut();
        rhs.copy_from_slice(self.residual.parts().0);
        rows.fill(0.0);
        for i in 0..self.sides.len() {
            self.rhs.all[self.sides.at[i]] += self.sides.sign[i] * self.side_weight[i] * self.side_shift[i];
        }
        self.riccati.add_rows(&mut self.rhs);
        let (dz, _) = self.step.v.parts_mut();
        self.riccati.solve(self.rhs.parts().0, &self.gap, dz, &mut self.step.costate);
        self.riccati.row_values(&mut self.step.v);
    }

    /// Factorises with the weights of the sides.
    ///
    /// # Errors
    /// Where there is no minimum.
    pub(super) fn factorize(&mut self) -> Result<(), Failure> {
        self.statistics.factorizations += 1;
        self.weights.all.fill(0.0);
        for i in 0..self.sides.len() {
            self.weights.all[self.sides.at[i]] += self.side_weight[i];
        }
        self.riccati.factorize(&self.weights, self.options.flat)
    }

    /// `n_states` of a node.
    pub fn state(&self, node: usize) -> &[f64] {
        &self.point.v.all[node * self.layout.stride..][..self.layout.n]
    }

    /// `n_inputs` of a node; zeros in a leaf.
    pub fn input(&self, node: usize) -> &[f64] {
        &self.point.v.all[node * self.layout.stride + self.layout.np..][..self.layout.m]
    }

    /// `n_states`: multipliers of the dynamics that lead to a node, the derivative of the remaining cost with respect
    /// to its state. Of the root, with respect to its given states; zero of free ones.
    pub fn costate(&self, node: usize) -> &[f64] {
        let Layout { n, np, .. } = self.layout;
        if node == 0 { &self.root_slope[..n] } else { &self.point.costate[node * np..][..n] }
    }

    /// `n_states`: multipliers of the lower bounds of the state, not negative.
    pub fn x_lower_multipliers(&self, node: usize) -> &[f64] {
        &self.multipliers[0][node * self.layout.stride..][..self.layout.n]
    }

    /// `n_states`: multipliers of the upper bounds of the state, not negative.
    pub fn x_upper_multipliers(&self, node: usize) -> &[f64] {
        &self.multipliers[1][node * self.layout.stride..][..self.layout.n]
    }

    /// `n_inputs`: multipliers of the lower bounds of the input, not negative.
    pub fn u_lower_multipliers(&self, node: usize) -> &[f64] {
        &self.multipliers[0][node * self.layout.stride + self.layout.np..][..self.layout.m]
    }

    /// `n_inputs`: multipliers of the upper bounds of the input, not negative.
    pub fn u_upper_multipliers(&self, node: usize) -> &[f64] {
        &self.multipliers[1][node * self.layout.stride + self.layout.np..][..self.layout.m]
    }

    /// `n_rows`: multipliers of the lower bounds of the rows, not negative.
    pub fn row_lower_multipliers(&self, node: usize) -> &[f64] {
        let n_z = self.layout.n_nodes * self.layout.stride;
        &self.multipliers[0][n_z..][self.layout.rows(node)]
    }

    /// `n_rows`: multipliers of the upper bounds of the rows, not negative.
    pub fn row_upper_multipliers(&self, node: usize) -> &[f64] {
        let n_z = self.layout.n_nodes * self.layout.stride;
        &self.multipliers[1][n_z..][self.layout.rows(node)]
    }

    /// `n_rows`: values of the rows.
    pub fn rows(&self, node: usize) -> &[f64] {
        &self.point.v.parts().1[self.layout.rows(node)]
    }

    /// By how much a row of `qp`, the problem last solved, leaves its interval; zero where it does not.
    pub fn excess(&self, qp: &StageQp, node: usize, row: usize) -> f64 {
        let value = self.rows(node)[row];
        (qp.row_lower(node)[row] - value).max(value - qp.row_upper(node)[row]).max(0.0)
    }

    /// What is left of the optimality conditions.
    pub fn residuals(&self) -> QpResiduals {
        self.residuals
    }

    /// Work of the last solve.
    pub fn statistics(&self) -> QpStatistics {
        self.statistics
    }

    /// Guesses of the active bounds and interior-point iterations of the last solve.
    pub fn iterations(&self) -> usize {
        self.statistics.guesses + self.statistics.iterations
    }

    /// Moves what is remembered one step towards the root, for a problem that begins one step later: every node takes
    /// from its first child, and a leaf keeps what it has.
    pub fn shift(&mut self) {
        self.is_loaded = false;
        let Layout { stride, n_nodes, .. } = self.layout;
        let n_z = n_nodes * stride;
        for node in 0..n_nodes {
            let Some(&child) = self.layout.children(node).first() else { continue };
            // The last inputs have nothing behind them to take.
            let width = if self.layout.is_leaf[child] { self.layout.np } else { stride };
            let (to, from) = (self.layout.rows(node), self.layout.rows(child));
            let n_rows = to.len().min(from.len());
            for side in 0..2 {
                self.multipliers[side].copy_within(child * stride..child * stride + width, node * stride);
                self.beliefs[side].copy_within(child * stride..child * stride + width, node * stride);
                self.multipliers[side].copy_within(n_z + from.start..n_z + from.start + n_rows, n_z + to.start);
                self.beliefs[side].copy_within(n_z + from.start..n_z + from.start + n_rows, n_z + to.start);
            }
        }
    }
}

struct Measure<'a> {
    solver: &'a StageQpSolver,
}

impl Wide for Measure<'_> {
    type Output = Norms;

    #[inline(always)]
    fn run(self) -> Norms {
        let own = self.solver;
        let costate = largest(&own.point.costate);
        Norms {
            stationarity: largest(own.residual.parts().0),
            dynamics: largest(&own.gap[own.layout.np..]),
            primal_scale: largest(own.point.v.parts().0).max(1.0),
            // The larger of two; not a number where the costate is none.
            dual_scale: if costate < own.gradient_scale { own.gradient_scale } else { costate },
        }
    }
}
