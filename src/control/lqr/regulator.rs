//! The regulator as a planner: `u = u_rest − K (x − x_rest)` within the bounds of the inputs.

use nalgebra::DMatrix;

use crate::decide::{Plan, PlanStatus, Planner, Situation};

use super::{LqrError, Solution};

/// A linear feedback around a point of rest.
#[derive(Debug, Clone)]
pub struct Regulator {
    gain: DMatrix<f64>,
    cost: DMatrix<f64>,
    x_rest: Vec<f64>,
    u_rest: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    input: Vec<f64>,
}

impl Regulator {
    /// The feedback of a solution around `x_rest: n_states` and `u_rest: n_inputs`, clipped to the bounds `lower` and
    /// `upper`, `n_inputs` each and infinite where there is none.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn new(
        solution: &Solution,
        x_rest: &[f64],
        u_rest: &[f64],
        lower: &[f64],
        upper: &[f64],
    ) -> Result<Regulator, LqrError> {
        let (m, n) = solution.gain.shape();
        if x_rest.len() != n {
            return Err(LqrError::Shape("the point of rest has a number for each state"));
        }
        if [u_rest, lower, upper].iter().any(|list| list.len() != m) {
            return Err(LqrError::Shape("the input at rest and its bounds have a number for each input"));
        }
        Ok(Regulator {
            gain: solution.gain.clone(),
            cost: solution.cost.clone(),
            x_rest: x_rest.to_vec(),
            u_rest: u_rest.to_vec(),
            lower: lower.to_vec(),
            upper: upper.to_vec(),
            input: vec![0.0; m],
        })
    }

    /// `½ (x − x_rest)' X (x − x_rest)`, what the linear problem costs from here on.
    fn cost_from(&self, state: &[f64]) -> f64 {
        let away = |i: usize| state[i] - self.x_rest[i];
        let n = self.x_rest.len();
        let sum: f64 = (0..n).map(|i| away(i) * (0..n).map(|j| self.cost[(i, j)] * away(j)).sum::<f64>()).sum();
        0.5 * sum
    }
}

impl Planner for Regulator {
    fn reset(&mut self, _seed: u64) {}

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let away = now.state.iter().zip(&self.x_rest);
        let mut is_finite = true;
        for (i, input) in self.input.iter_mut().enumerate() {
            let feedback: f64 = away.clone().enumerate().map(|(j, (x, rest))| self.gain[(i, j)] * (x - rest)).sum();
            let wanted = self.u_rest[i] - feedback;
            is_finite &= wanted.is_finite();
            let wanted = if wanted.is_finite() { wanted } else { self.u_rest[i] };
            // Not `clamp`, which asks that the bounds be in order.
            *input = wanted.min(self.upper[i]).max(self.lower[i]);
        }
        Plan {
            input: &self.input,
            states: &[],
            inputs: &[],
            cost: self.cost_from(now.state),
            violation: 0.0,
            status: if is_finite { PlanStatus::Improved } else { PlanStatus::Failed },
            iterations: 0,
            message: if is_finite { "" } else { "the state is not finite; the input at rest is held" },
        }
    }
}
