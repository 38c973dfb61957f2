//! A second opinion where the interior-point method over nodes gives up: the problem as one sparse quadratic programme,
//! for Clarabel.
//!
//! P. J. Goulart and Y. Chen 2024, *Clarabel: An interior-point solver for conic programs with quadratic objectives*,
//! arXiv 2405.12762: a homogeneous embedding, which tells a problem without a solution from one that is only hard. Its
//! answer counts where the conditions of [`super`] hold there, so that it need not be believed. This is the one path of a
//! solve that allocates.

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT};

use super::problem::StageQp;
use super::riccati::Failure;
use super::sides::{Contradiction, Kind};
use super::solver::StageQpSolver;
use super::{QpStatus, Start};

/// Largest residual of an answer, relative as that of the tolerance, that passes for a solution: Clarabel's own default
/// is 1e-8, and what it leaves behind a guess of the sides removes in all but degenerate problems.
const ACCEPTED: f64 = 1e-7;
/// Price of leaving a bound, relative to the curvature, where not all can be kept.
const PRICE: f64 = 1e3;

/// Rows of `A v + s = b`, one after another.
#[derive(Default)]
struct Rows {
    row: Vec<usize>,
    column: Vec<usize>,
    value: Vec<f64>,
    bounds: Vec<f64>,
}

impl Rows {
    /// Adds an element to the row at hand.
    fn add(&mut self, column: usize, value: f64) {
        if value != 0.0 {
            self.row.push(self.bounds.len());
            self.column.push(column);
            self.value.push(value);
        }
    }

    /// Ends the row at hand.
    fn end(&mut self, bound: f64) {
        self.bounds.push(bound);
    }
}

/// What Clarabel says.
enum Answer {
    /// A point, perhaps a solution.
    Point,
    /// There is none that keeps all bounds.
    Infeasible,
    /// Nothing of use.
    Nothing,
}

impl StageQpSolver {
    /// Solves the problem again; `otherwise` where that is no better.
    pub(super) fn solve_sparse(&mut self, qp: &StageQp, otherwise: QpStatus) -> QpStatus {
        self.statistics.fallbacks += 1;
        match self.ask(qp, None) {
            Answer::Point if self.holds() => return QpStatus::Optimal,
            Answer::Point | Answer::Nothing => return otherwise,
            Answer::Infeasible => (),
        }
        let price = PRICE * self.price_scale();
        match self.ask(qp, Some(price)) {
            Answer::Point if self.holds() => match self.worst_left(price) {
                Some((_, i)) => self.infeasible(self.sides.node[i], self.sides.at[i]),
                None => QpStatus::Optimal,
            },
            Answer::Point | Answer::Infeasible | Answer::Nothing => otherwise,
        }
    }

    /// Whether the point answers the optimality conditions, made exact where a guess of the sides does that.
    fn holds(&mut self) -> bool {
        self.believe();
        self.backup.copy_from(&self.point);
        match self.settle(3) {
            Ok(true) => return true,
            // A point of a problem that is not convex is no minimum.
            Err(Failure::Indefinite(_)) => return false,
            Ok(false) | Err(Failure::NotFinite) => (),
        }
        self.point.copy_from(&self.backup);
        self.believe();
        self.evaluate();
        let norms = self.norms();
        let (mu, largest, gap) = self.centrality();
        let error = (norms.stationarity / norms.dual_scale)
            .max(norms.dynamics.max(gap) / norms.primal_scale)
            .max(largest / norms.dual_scale);
        (mu + gap).is_finite() && error <= ACCEPTED
    }

    /// Assembles and solves; the answer becomes the point.
    fn ask(&mut self, qp: &StageQp, price: Option<f64>) -> Answer {
        match self.sides.load(qp, &self.layout, price) {
            Ok(()) => (),
            Err(Contradiction { .. }) => return Answer::Nothing,
        }
        self.recall(Start::Cold);
        let (n, n_nodes) = (self.layout.n, self.layout.n_nodes);
        let mut start = vec![0];
        (0..n_nodes).for_each(|node| start.push(start[node] + qp.n_vars(node)));
        let n_z = start[n_nodes];
        let mut hessian = Rows::default();
        let mut linear = Vec::with_capacity(n_z);
        for (node, &first) in start[..n_nodes].iter().enumerate() {
            let nv = qp.n_vars(node);
            for (j, column) in qp.hessian(node).chunks_exact(nv.max(1)).enumerate() {
                // Columns of the upper triangle, as rows of the lower one.
                column[..=j].iter().enumerate().for_each(|(i, &value)| hessian.add(first + i, value));
                hessian.end(0.0);
            }
            linear.extend_from_slice(qp.gradient(node));
        }
        let mut rows = Rows::default();
        for i in (0..n).filter(|i| self.layout.free.binary_search(i).is_err()) {
            rows.add(i, 1.0);
            rows.end(qp.root()[i]);
        }
        let first_step = rows.bounds.len();
        for node in 1..n_nodes {
            let parent = self.layout.parent[node];
            for i in 0..n {
                let jacobian = qp.jacobian(node).iter().skip(i).step_by(n);
                jacobian.take(qp.n_vars(parent)).enumerate().for_each(|(j, &v)| rows.add(start[parent] + j, v));
                rows.add(start[node] + i, -1.0);
                rows.end(-qp.offset(node)[i]);
            }
        }
        // Equations before inequalities; a side's row is `bound - sign v = slack`.
        let is_equal = |kind: Kind| kind == Kind::Equal;
        let order = |equal: bool, kinds: &[Kind]| -> Vec<usize> {
            (0..kinds.len()).filter(|&i| is_equal(kinds[i]) == equal).collect()
        };
        let (equal, below) = (order(true, &self.sides.kind), order(false, &self.sides.kind));
        let first_equal = rows.bounds.len();
        equal.iter().for_each(|&i| self.add_side(qp, &start, i, None, &mut rows));
        let first_below = rows.bounds.len();
        let mut soft = Vec::new();
        for &i in &below {
            let excess = match self.sides.kind[i] {
                Kind::Hard | Kind::Equal => None,
                Kind::Linear(price) => Some((0.0, price)),
                Kind::Quadratic(price) => Some((2.0 * price, 0.0)),
            };
            let column = excess.map(|(curvature, slope)| {
                hessian.add(linear.len(), curvature);
                hessian.end(0.0);
                linear.push(slope);
                soft.push(i);
                linear.len() - 1
            });
            self.add_side(qp, &start, i, column, &mut rows);
        }
        for k in 0..soft.len() {
            rows.add(n_z + k, -1.0);
            rows.end(0.0);
        }
        let n_vars = linear.len();
        let hessian = CscMatrix::new_from_triplets(n_vars, n_vars, hessian.column, hessian.row, hessian.value);
        let n_rows = rows.bounds.len();
        let matrix = CscMatrix::new_from_triplets(n_rows, n_vars, rows.row, rows.column, rows.value);
        let cones = [SupportedConeT::ZeroConeT(first_below), SupportedConeT::NonnegativeConeT(n_rows - first_below)];
        let tolerance = self.options.tolerance;
        let settings = DefaultSettings {
            verbose: false,
            tol_gap_abs: tolerance,
            tol_gap_rel: tolerance,
            tol_feas: tolerance,
            ..DefaultSettings::default()
        };
        let Ok(mut solver) = DefaultSolver::new(&hessian, &linear, &matrix, &rows.bounds, &cones, settings) else {
            return Answer::Nothing;
        };
        solver.solve();
        let solution = &solver.solution;
        match solution.status {
            SolverStatus::Solved
            | SolverStatus::AlmostSolved
            | SolverStatus::MaxIterations
            | SolverStatus::InsufficientProgress => (),
            SolverStatus::PrimalInfeasible | SolverStatus::AlmostPrimalInfeasible => return Answer::Infeasible,
            SolverStatus::Unsolved
            | SolverStatus::DualInfeasible
            | SolverStatus::AlmostDualInfeasible
            | SolverStatus::MaxTime
            | SolverStatus::NumericalError
            | SolverStatus::CallbackTerminated => return Answer::Nothing,
        }
        self.rest(qp);
        for node in 0..n_nodes {
            for (j, &value) in solution.x[start[node]..start[node + 1]].iter().enumerate() {
                if node > 0 || j >= n || self.layout.free.binary_search(&j).is_ok() {
                    self.point.v.all[node * self.layout.stride + self.layout.padded_index(j)] = value;
                }
            }
            if node > 0 {
                let costate = &solution.z[first_step + (node - 1) * n..][..n];
                self.point.costate[node * self.layout.np..][..n].copy_from_slice(costate);
            }
        }
        let multipliers = (first_equal..).zip(&equal).chain((first_below..).zip(&below));
        for (row, &i) in multipliers {
            // Beliefs compare multipliers with slacks and excesses, none of which is zero in an interior point.
            self.point.multiplier[i] = solution.z[row];
            self.point.slack[i] = solution.s[row].max(f64::MIN_POSITIVE);
            self.point.excess[i] = 0.0;
        }
        for (k, &i) in soft.iter().enumerate() {
            self.point.excess[i] = solution.x[n_z + k].max(f64::MIN_POSITIVE);
        }
        self.evaluate();
        Answer::Point
    }

    /// Adds the row of a side, with the column of its excess where it is soft.
    fn add_side(&self, qp: &StageQp, start: &[usize], i: usize, excess: Option<usize>, rows: &mut Rows) {
        let (node, at, sign) = (self.sides.node[i], self.sides.at[i], self.sides.sign[i]);
        let n_z = self.layout.n_nodes * self.layout.stride;
        if at >= n_z {
            let count = qp.n_rows(node);
            let normal =
                qp.row_jacobian(node).iter().skip(at - n_z - self.layout.row_start[node]).step_by(count.max(1));
            normal.enumerate().for_each(|(j, &value)| rows.add(start[node] + j, -sign * value));
        } else {
            let j = at - node * self.layout.stride;
            let j = if j < self.layout.n { j } else { j - self.layout.np + self.layout.n };
            rows.add(start[node] + j, -sign);
        }
        if let Some(column) = excess {
            rows.add(column, -1.0);
        }
        rows.end(-self.sides.level[i]);
    }
}

#[cfg(test)]
mod tests {
    use crate::optimize::stage_qp::{Bounded, QpStatus, StageQp, StageQpSolver, Start};
    use crate::system::{Softness, StageDims, Tree};

    const HORIZON: usize = 15;

    /// A mass that is sent from -1 towards 2 with bounded force and speed, the position below `wall` at the end.
    fn problem(wall: f64, softness: Softness) -> StageQp {
        let dims = StageDims { n_states: 2, n_inputs: 1 };
        let mut n_rows = vec![0; HORIZON + 1];
        n_rows[HORIZON] = 1;
        let mut qp = StageQp::new(dims, Tree::chain(HORIZON), &n_rows, &[]);
        qp.root_mut().copy_from_slice(&[-1.0, 0.0]);
        for node in 0..=HORIZON {
            let nv = qp.n_vars(node);
            qp.hessian_mut(node)[0] = 1.0;
            qp.hessian_mut(node)[nv + 1] = 0.1;
            qp.gradient_mut(node)[0] = -2.0;
            qp.x_upper_mut(node)[1] = 0.8;
            if nv == 3 {
                qp.hessian_mut(node)[8] = 0.01;
                qp.u_lower_mut(node)[0] = -1.0;
                qp.u_upper_mut(node)[0] = 1.0;
            }
            if node > 0 {
                qp.jacobian_mut(node).copy_from_slice(&[1.0, 0.0, 0.3, 1.0, 0.045, 0.3]);
            }
        }
        qp.row_jacobian_mut(HORIZON).copy_from_slice(&[1.0, 0.0]);
        qp.row_upper_mut(HORIZON)[0] = wall;
        qp.set_softness(HORIZON, 0, softness);
        qp
    }

    /// A solver that may do next to nothing by itself.
    fn crippled(qp: &StageQp) -> StageQpSolver {
        let mut solver = StageQpSolver::new(qp);
        solver.options_mut().max_guesses = 0;
        solver.options_mut().max_iterations = 1;
        solver
    }

    #[test]
    fn what_is_given_up_is_solved_all_the_same() {
        for softness in [Softness::Hard, Softness::Linear(2.0), Softness::Quadratic(5.0)] {
            let qp = problem(1.2, softness);
            let mut solver = StageQpSolver::new(&qp);
            assert_eq!(solver.solve(&qp, Start::Cold), QpStatus::Optimal);
            assert_eq!(solver.statistics().fallbacks, 0);
            let mut other = crippled(&qp);
            assert_eq!(other.solve(&qp, Start::Cold), QpStatus::Optimal, "{softness:?}");
            assert_eq!(other.statistics().fallbacks, 1);
            for node in 0..=HORIZON {
                let pairs = [
                    (solver.state(node), other.state(node)),
                    (solver.input(node), other.input(node)),
                    (solver.costate(node), other.costate(node)),
                    (solver.x_upper_multipliers(node), other.x_upper_multipliers(node)),
                    (solver.u_lower_multipliers(node), other.u_lower_multipliers(node)),
                    (solver.row_upper_multipliers(node), other.row_upper_multipliers(node)),
                ];
                for (own, theirs) in pairs {
                    own.iter().zip(theirs).for_each(|(a, b)| assert!((a - b).abs() < 1e-8, "{node}: {a} {b}"));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        // Fifteen steps of 0.3 cannot stop a mass that begins at 5 before -20.
        let mut qp = problem(-20.0, Softness::Hard);
        qp.root_mut()[0] = 5.0;
        let named = QpStatus::Infeasible { node: HORIZON, bounded: Bounded::Row(0) };
        assert_eq!(StageQpSolver::new(&qp).solve(&qp, Start::Cold), named);
        let mut solver = crippled(&qp);
        assert_eq!(solver.solve(&qp, Start::Cold), named);
        assert_eq!(solver.statistics().fallbacks, 1);
    }

    /// A point where the conditions hold in a problem that curves downwards is a saddle, and is not taken for an answer.
    #[test]
    fn a_problem_that_is_not_convex_is_not_believed() {
        let mut qp = problem(1.2, Softness::Hard);
        for node in 0..HORIZON {
            qp.hessian_mut(node)[8] = -50.0;
        }
        let status = crippled(&qp).solve(&qp, Start::Cold);
        assert!(!matches!(status, QpStatus::Optimal), "{status:?}");
    }
}
