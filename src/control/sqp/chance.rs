//! Bounds that are to be kept with a probability: how uncertain the states of a plan are, and how far that moves bounds.
//!
//! Along the last plan, with `A = ∂F/∂x`, `B = ∂F/∂u`, the covariance of the state goes on as
//!
//! ```text
//! P⁺ = (A + B K) P (A + B K)ᵀ + Q
//! ```
//!
//! and a bound `g(x, u) ≤ b` becomes `g ≤ b - z √(s P sᵀ)` with `s = g_x + g_u K` and Φ(z) the probability, so that a
//! Gaussian state keeps it so often at each instant by itself (A. Mesbah 2016, *Stochastic model predictive control*, IEEE
//! Control Syst. 36:30; J. Gillis and M. Diehl 2013, *A positive definiteness preserving discretization method for Lyapunov
//! differential equations*, CDC, for the linearisation along the plan). Of two bounds each is given half of what may fail,
//! which is more than enough. K is what the plan would do about a deviation: the gains of the plan's own Riccati recursion,
//! where inputs at their bounds do nothing; or zero.
//!
//! **Invariant.** Margins are fixed while a plan is made: it solves a problem with other bounds, and no more.

use super::iterate::Iterate;
use crate::optimize::stage_qp::StageQp;
use crate::random::normal;
use crate::system::stages::{Stages, Tree};

/// Multiplier of an input's bound, relative to the largest, above which the input counts as being at its bound.
const AT_BOUND: f64 = 1e-9;
/// A pivot of the inputs' curvature below this, relative to the largest, gives no feedback.
const FLAT: f64 = 1e-12;

/// Which bounds are to be kept how often, and what is uncertain.
#[derive(Debug, Clone, PartialEq)]
pub struct Chance {
    /// `n_states × n_states`: covariance of the root's state.
    pub start: Vec<f64>,
    /// `n_states × n_states`: covariance that each step adds, Q.
    pub process: Vec<f64>,
    /// `n_states`: with what probability, 0.5 to below 1, the bounds of each state are to be kept at each instant; none:
    /// as they stand.
    pub states: Vec<Option<f64>>,
    /// The same for the rows of nodes that are no leaves.
    pub rows: Vec<Option<f64>>,
    /// The same for the rows of leaves.
    pub rows_last: Vec<Option<f64>>,
    /// Whether later plans are counted on to act on deviations. Default true.
    pub has_feedback: bool,
}

impl Chance {
    /// Nothing uncertain and no bound with a probability, for problems of so many states.
    pub fn new(n_states: usize) -> Chance {
        Chance {
            start: vec![0.0; n_states * n_states],
            process: vec![0.0; n_states * n_states],
            states: vec![None; n_states],
            rows: Vec::new(),
            rows_last: Vec::new(),
            has_feedback: true,
        }
    }
}

/// What of a [`Chance`] does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChanceError {
    /// A list has the wrong length.
    #[error("`{what}` has {given} elements instead of {expected}")]
    Length {
        /// Which list.
        what: &'static str,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        given: usize,
    },
    /// A probability is none that a margin belongs to.
    #[error("a bound is to be kept with probability {0}, but it must be at least 0.5 and below 1")]
    Probability(f64),
}

/// Quantiles of a bound: where the other one is infinite, and where it is not.
type Quantiles = Option<(f64, f64)>;

/// Margins of all bounds along a plan, and the room to find them.
#[derive(Debug, Clone)]
pub(super) struct Margins {
    chance: Chance,
    of_states: Vec<Quantiles>,
    of_rows: [Vec<Quantiles>; 2],
    /// `n_nodes × n_states`: standard deviations.
    pub states: Vec<f64>,
    /// Of all rows.
    pub rows: Vec<f64>,
    /// Per node: `n_states × n_states`, column major.
    covariance: Vec<f64>,
    /// Per node: `n_inputs × n_states`, column major.
    gain: Vec<f64>,
    /// Per node: `n_vars × n_vars`, the curvature of the remaining cost.
    block: Vec<f64>,
    /// `n_states × n_vars`; `n_states × n_states` twice; `n_states`.
    product: Vec<f64>,
    closed: Vec<f64>,
    spread: Vec<f64>,
    slope: Vec<f64>,
}

impl Margins {
    /// # Errors
    /// What does not fit the problem.
    pub(super) fn new(chance: Chance, problem: &dyn Stages, n_rows: usize) -> Result<Margins, ChanceError> {
        let (dims, tree) = (problem.dims(), problem.tree());
        let (n, m, nv, n_nodes) = (dims.n_states, dims.n_inputs, dims.n_vars(), tree.n_nodes());
        let of_kind = |is_leaf: bool| {
            (0..n_nodes)
                .filter(|&node| tree.is_leaf(node) == is_leaf)
                .map(|node| problem.n_rows(node))
                .max()
                .unwrap_or(0)
        };
        let Chance { start, process, states, rows, rows_last, .. } = &chance;
        for (what, given, expected) in [
            ("start", start.len(), n * n),
            ("process", process.len(), n * n),
            ("states", states.len(), n),
            ("rows", rows.len().max(of_kind(false)), of_kind(false)),
            ("rows_last", rows_last.len().max(of_kind(true)), of_kind(true)),
        ] {
            if given != expected {
                return Err(ChanceError::Length { what, expected, given });
            }
        }
        let quantiles = |list: &[Option<f64>]| -> Result<Vec<Quantiles>, ChanceError> {
            let of = |probability: &Option<f64>| match *probability {
                None => Ok(None),
                Some(p) if (0.5..1.0).contains(&p) => Ok(Some((normal::quantile(p), normal::quantile(0.5 + 0.5 * p)))),
                Some(p) => Err(ChanceError::Probability(p)),
            };
            list.iter().map(of).collect()
        };
        Ok(Margins {
            of_states: quantiles(states)?,
            of_rows: [quantiles(rows)?, quantiles(rows_last)?],
            states: vec![0.0; n_nodes * n],
            rows: vec![0.0; n_rows],
            covariance: vec![0.0; n_nodes * n * n],
            gain: vec![0.0; n_nodes * m * n],
            block: vec![0.0; n_nodes * nv * nv],
            product: vec![0.0; n * nv],
            closed: vec![0.0; n * n],
            spread: vec![0.0; n * n],
            slope: vec![0.0; n],
            chance,
        })
    }

    pub(super) fn set_start(&mut self, covariance: &[f64]) {
        self.chance.start.iter_mut().zip(covariance).for_each(|(own, given)| *own = *given);
    }

    /// By how much a bound of a state moves; `is_double` where both bounds are finite.
    pub(super) fn of_state(&self, node: usize, j: usize, is_double: bool) -> f64 {
        let deviation = self.states[node * self.of_states.len() + j];
        moved(self.of_states[j], deviation, is_double)
    }

    /// By how much a bound of row `r` of a node moves, which is row `at` of all.
    pub(super) fn of_row(&self, is_leaf: bool, r: usize, at: usize, is_double: bool) -> f64 {
        let quantiles = self.of_rows[usize::from(is_leaf)].get(r).copied().flatten();
        moved(quantiles, self.rows[at], is_double)
    }

    /// Finds the standard deviations along an iterate whose derivatives `qp` holds.
    pub(super) fn find(&mut self, tree: &Tree, at: &Iterate, qp: &StageQp) {
        let (n, m) = (at.n, at.m);
        self.gain.fill(0.0);
        if self.chance.has_feedback {
            self.find_gains(tree, at, qp);
        }
        for node in 0..tree.n_nodes() {
            let parent = tree.parent(node);
            if node == 0 {
                self.covariance[..n * n].copy_from_slice(&self.chance.start);
            } else {
                // The closed step A + B K.
                let jacobian = qp.jacobian(node);
                let gain = &self.gain[parent * m * n..][..m * n];
                self.closed.copy_from_slice(&jacobian[..n * n]);
                for (column, gain) in self.closed.chunks_exact_mut(n).zip(gain.chunks_exact(m.max(1))) {
                    for (input, &k) in jacobian[n * n..].chunks_exact(n).zip(gain) {
                        column.iter_mut().zip(input).for_each(|(c, b)| *c += b * k);
                    }
                }
                let (before, after) = self.covariance.split_at_mut(node * n * n);
                multiply(n, &self.closed, &before[parent * n * n..][..n * n], &mut self.spread);
                let after = &mut after[..n * n];
                after.copy_from_slice(&self.chance.process);
                for j in 0..n {
                    for k in 0..n {
                        let factor = self.closed[k * n + j];
                        for i in 0..n {
                            after[j * n + i] += self.spread[k * n + i] * factor;
                        }
                    }
                }
            }
            let covariance = &self.covariance[node * n * n..][..n * n];
            for j in 0..n {
                // The root's state is what it is.
                self.states[node * n + j] = if node == 0 { 0.0 } else { covariance[j * n + j].max(0.0).sqrt() };
            }
            let rows = at.row_start[node]..at.row_start[node + 1];
            let n_rows = rows.len();
            let jacobian = qp.row_jacobian(node);
            let gain = &self.gain[node * m * n..][..m * n];
            for (r, deviation) in self.rows[rows].iter_mut().enumerate() {
                let by = |column: usize| jacobian[column * n_rows + r];
                let n_inputs = qp.n_vars(node) - n;
                // What the root's inputs cannot change is not asked of them.
                if node == 0 && (n..n + n_inputs).all(|column| by(column) == 0.0) {
                    *deviation = 0.0;
                    continue;
                }
                for (j, slope) in self.slope.iter_mut().enumerate() {
                    *slope = by(j) + (0..n_inputs).map(|k| by(n + k) * gain[j * m + k]).sum::<f64>();
                }
                let columns = covariance.chunks_exact(n).zip(&self.slope);
                let variance: f64 = columns
                    .map(|(column, s)| s * column.iter().zip(&self.slope).map(|(p, s)| p * s).sum::<f64>())
                    .sum();
                *deviation = variance.max(0.0).sqrt();
            }
        }
    }

    /// Gains of the linear-quadratic problem around the iterate, by Riccati's recursion from the leaves.
    fn find_gains(&mut self, tree: &Tree, at: &Iterate, qp: &StageQp) {
        let (n, m) = (at.n, at.m);
        let nv = n + m;
        let strongest = at.box_force.iter().fold(0.0_f64, |a, f| a.max(f.abs()));
        self.block.fill(0.0);
        for node in (0..tree.n_nodes()).rev() {
            let size = qp.n_vars(node);
            // The children have added what follows them.
            let (before, block) = self.block.split_at_mut(node * nv * nv);
            let block = &mut block[..size * size];
            block.iter_mut().zip(qp.hessian(node)).for_each(|(b, h)| *b += h);
            if size > n {
                let gain = &mut self.gain[node * m * n..][..m * n];
                // Eliminates one input after another; what is eliminated last is known first on the way back.
                let largest = (n..nv).fold(0.0_f64, |a, k| a.max(block[k * nv + k].abs()));
                for k in (n..nv).rev() {
                    let pivot = block[k * nv + k];
                    let is_held = at.box_force[node * nv + k].abs() > AT_BOUND * strongest;
                    if is_held || pivot <= FLAT * largest {
                        (0..=k).for_each(|i| block[k * nv + i] = 0.0);
                        (0..=k).for_each(|j| block[j * nv + k] = 0.0);
                        continue;
                    }
                    for j in 0..k {
                        let factor = block[j * nv + k] / pivot;
                        block[j * nv + k] = factor;
                        for i in 0..k {
                            block[j * nv + i] -= block[k * nv + i] * factor;
                        }
                    }
                }
                // u_k = -Σ_{i<k} factor_i z_i, with the inputs before it.
                for k in n..nv {
                    for j in 0..n {
                        let own = block[j * nv + k];
                        let through: f64 = (n..k).map(|i| block[i * nv + k] * gain[j * m + i - n]).sum();
                        gain[j * m + k - n] = -(own + through);
                    }
                }
            }
            if node == 0 {
                break;
            }
            let jacobian = qp.jacobian(node);
            for (column, out) in jacobian.chunks_exact(n).zip(self.product.chunks_exact_mut(n)) {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = (0..n).map(|k| block[k * size + i] * column[k]).sum();
                }
            }
            let parent = &mut before[tree.parent(node) * nv * nv..][..nv * nv];
            for (column, product) in parent.chunks_exact_mut(nv).zip(self.product.chunks_exact(n)) {
                for (out, left) in column.iter_mut().zip(jacobian.chunks_exact(n)) {
                    *out += left.iter().zip(product).map(|(j, p)| j * p).sum::<f64>();
                }
            }
        }
    }
}

fn moved(quantiles: Quantiles, deviation: f64, is_double: bool) -> f64 {
    match quantiles {
        None => 0.0,
        Some((single, double)) => deviation * if is_double { double } else { single },
    }
}

/// `out = left right`, all `n × n`.
fn multiply(n: usize, left: &[f64], right: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (column, factors) in out.chunks_exact_mut(n.max(1)).zip(right.chunks_exact(n.max(1))) {
        for (left, factor) in left.chunks_exact(n.max(1)).zip(factors) {
            column.iter_mut().zip(left).for_each(|(o, l)| *o += l * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sqp::{Sqp, SqpSettings};
    use crate::control::tests::{Bounds, Number, Toy, ToyStages};
    use crate::decide::{PlanStatus, Planner, Situation};
    use crate::random::{draw, stream};
    use crate::system::stages::{Softness, StageDims};

    /// A mass that is pushed towards 2 and is to stay below 1: position and velocity; the row is the position.
    #[derive(Clone)]
    struct Mass;

    const H: f64 = 0.2;

    impl Toy for Mass {
        fn dims(&self) -> StageDims {
            StageDims { n_states: 2, n_inputs: 1 }
        }

        fn step<D: Number>(&self, _node: usize, x: &[D], u: &[D], next: &mut [D]) {
            next[0] = x[0] + x[1] * H + u[0] * (0.5 * H * H);
            next[1] = x[1] + u[0] * H;
        }

        fn residuals<D: Number>(&self, _leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
            out.push((x[0] - 2.0) * 10.0);
            out.push(x[1]);
            out.extend(u.iter().map(|u| *u * 0.1));
        }

        fn rows<D: Number>(&self, _leaf: bool, x: &[D], _u: &[D], out: &mut Vec<D>) {
            out.push(x[0]);
        }
    }

    const HORIZON: usize = 12;
    /// Standard deviations of what each step adds.
    const NOISE: [f64; 2] = [0.01, 0.02];
    const PROBABILITY: f64 = 0.95;

    fn mass(is_row: bool) -> ToyStages<Mass> {
        let free = (f64::NEG_INFINITY, f64::INFINITY);
        let (position, row) = if is_row { (free, 1.0) } else { ((f64::NEG_INFINITY, 1.0), f64::INFINITY) };
        let rows = vec![(f64::NEG_INFINITY, row, Softness::Hard)];
        ToyStages::new(Mass, Tree::chain(HORIZON), &Bounds { x: vec![position, free], u: vec![(-50.0, 50.0)], rows })
    }

    fn chance(is_row: bool, has_feedback: bool) -> Chance {
        let some = |is_there: bool| is_there.then_some(PROBABILITY);
        Chance {
            process: vec![NOISE[0].powi(2), 0.0, 0.0, NOISE[1].powi(2)],
            states: vec![some(!is_row), None],
            rows: vec![some(is_row)],
            rows_last: vec![some(is_row)],
            has_feedback,
            ..Chance::new(2)
        }
    }

    const START: Situation<'_> = Situation { step: 0, time: 0.0, state: &[0.0, 0.0], previous: &[], forecast: &[] };

    /// The share of 10,000 runs that are above 1, at the last step and at one where the plan is at its bound too.
    fn shares(planner: &Sqp, act: impl Fn(usize, [f64; 2]) -> f64) -> [f64; 2] {
        const RUNS: u32 = 10_000;
        let mut above = [0; 2];
        for run in 0..RUNS {
            let mut rng = stream(7, u64::from(run));
            let mut x = [0.0; 2];
            for k in 0..HORIZON {
                let mut next = [0.0; 2];
                Mass.step(k, &x, &[planner.node(k).1[0] + act(k, x)], &mut next);
                let mut noise = [0.0; 2];
                draw::normals(&mut rng, 1.0, &mut noise);
                x = [0, 1].map(|j| next[j] + NOISE[j] * noise[j]);
                above[0] += u32::from(k + 1 == HORIZON && x[0] > 1.0);
                above[1] += u32::from(k + 3 == HORIZON && x[0] > 1.0);
            }
        }
        above.map(|count| f64::from(count) / f64::from(RUNS))
    }

    /// A linear plant with Gaussian noise breaks the bound as often as was asked for, within four standard errors of so
    /// many runs, whether later inputs react or not; the deviations are those of the recursion.
    #[test]
    fn bounds_are_broken_as_often_as_is_allowed() {
        let tolerance = 4.0 * (PROBABILITY * (1.0 - PROBABILITY) / 1e4_f64).sqrt();
        for (is_row, has_feedback) in [(false, false), (true, false), (true, true)] {
            let mut planner = Sqp::new(Box::new(mass(is_row)), SqpSettings::default());
            planner.set_chance(Some(chance(is_row, has_feedback))).expect("fits");
            let plan = planner.plan(&START);
            assert_eq!(plan.status, PlanStatus::Optimal, "{}", plan.message);
            let gains = |k: usize| planner.problem.margins().expect("margins").gain[2 * k..2 * k + 2].to_vec();
            let act = |k: usize, x: [f64; 2]| {
                let planned = planner.node(k).0;
                gains(k).iter().zip(x).zip(planned).map(|((gain, x), planned)| gain * (x - planned)).sum()
            };
            for share in shares(&planner, act) {
                assert!((share - (1.0 - PROBABILITY)).abs() < tolerance, "{is_row} {has_feedback}: {share}");
            }
            if !has_feedback {
                // Position: k σ_x² + h² σ_v² (0² + 1² + ... + (k-1)²).
                let k = HORIZON as f64;
                let steps = (k - 1.0) * k * (2.0 * k - 1.0) / 6.0;
                let deviation = (k * NOISE[0].powi(2) + H * H * NOISE[1].powi(2) * steps).sqrt();
                let found = planner.deviations()[2 * HORIZON];
                assert!((found - deviation).abs() < 1e-12, "{found} {deviation}");
            }
        }
    }

    /// Gains are those of the textbook recursion, and hold deviations down.
    #[test]
    fn gains_are_those_of_riccati() {
        let mut planner = Sqp::new(Box::new(mass(true)), SqpSettings::default());
        planner.set_chance(Some(chance(true, true))).expect("fits");
        planner.plan(&START);
        let (a, b) = (nalgebra::Matrix2::new(1.0, H, 0.0, 1.0), nalgebra::Vector2::new(0.5 * H * H, H));
        let q = nalgebra::Matrix2::from_diagonal(&nalgebra::Vector2::new(200.0, 2.0));
        let mut value = q;
        for k in (0..HORIZON).rev() {
            let curvature = 0.02 + (b.transpose() * value * b)[(0, 0)];
            let gain = -(b.transpose() * value * a) / curvature;
            let found = &planner.problem.margins().expect("margins").gain[2 * k..2 * k + 2];
            assert!((gain[0] - found[0]).abs() + (gain[1] - found[1]).abs() < 1e-8, "{k}: {gain} {found:?}");
            value = q + a.transpose() * value * (a + b * gain);
        }
        let with = planner.deviations()[2 * HORIZON];
        planner.set_chance(Some(chance(true, false))).expect("fits");
        planner.plan(&START);
        assert!(with < 0.5 * planner.deviations()[2 * HORIZON]);
    }

    /// Without anything uncertain the plan is what it was; what does not fit is told.
    #[test]
    fn no_noise_changes_nothing() {
        let mut planner = Sqp::new(Box::new(mass(true)), SqpSettings::default());
        let cost = planner.plan(&START).cost;
        planner.reset(0);
        let quiet = Chance { process: vec![0.0; 4], ..chance(true, true) };
        planner.set_chance(Some(quiet)).expect("fits");
        assert!((planner.plan(&START).cost - cost).abs() < 1e-9 * cost);
        let wrong = Chance { rows: vec![Some(1.0)], ..chance(true, true) };
        assert_eq!(planner.set_chance(Some(wrong)), Err(ChanceError::Probability(1.0)));
        let short = Chance { start: Vec::new(), ..chance(true, true) };
        let expected = ChanceError::Length { what: "start", expected: 4, given: 0 };
        assert_eq!(planner.set_chance(Some(short)), Err(expected));
    }
}
