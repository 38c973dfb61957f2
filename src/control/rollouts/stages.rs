//! Rollouts of any problem in discrete time, one sequence after the other.
//!
//! On a tree of scenarios the inputs of an instant are the same in all scenarios, and the costs of all nodes add up.

use super::{Outcome, Rollouts, excess, penalty};
use crate::decide::Situation;
use crate::system::stages::Instant;
use crate::system::{Softness, StageDims, Stages};

/// Rollouts through [`Stages`].
pub struct StageRollouts {
    stages: Box<dyn Stages>,
    dims: StageDims,
    price: f64,
    lower: Vec<f64>,
    upper: Vec<f64>,
    start: Vec<f64>,
    /// `n_nodes × n_states`
    states: Vec<f64>,
    rows: Vec<f64>,
    u: Vec<f64>,
}

impl StageRollouts {
    /// Of any problem without free states. `price` is that of breaking a hard constraint by one of its unit. Bounds of the
    /// inputs are those of the root.
    pub fn new(stages: Box<dyn Stages>, price: f64) -> StageRollouts {
        let dims = stages.dims();
        let n_nodes = stages.tree().n_nodes();
        let most_rows = (0..n_nodes).map(|node| stages.n_rows(node)).max().unwrap_or(0);
        let limits = stages.limits(0);
        let (lower, upper) = (limits.u_lower.to_vec(), limits.u_upper.to_vec());
        StageRollouts {
            dims,
            price,
            lower,
            upper,
            start: vec![0.0; dims.n_states],
            states: vec![0.0; n_nodes * dims.n_states],
            rows: vec![0.0; most_rows],
            u: vec![0.0; dims.n_inputs],
            stages,
        }
    }

    /// `inputs` as for [`Rollouts::costs`], sequence `which` of n.
    fn follow(&mut self, n: usize, which: usize, inputs: &[f64]) -> Outcome {
        let failed = Outcome { cost: f64::INFINITY, violation: f64::INFINITY };
        let StageDims { n_states, n_inputs } = self.dims;
        let mut outcome = Outcome { cost: 0.0, violation: 0.0 };
        self.states[..n_states].copy_from_slice(&self.start);
        for node in 0..self.stages.tree().n_nodes() {
            let (parent, depth) = (self.stages.tree().parent(node), self.stages.tree().depth(node));
            if node > 0 {
                self.set_input(depth - 1, n, which, inputs);
                let (before, rest) = self.states.split_at_mut(node * n_states);
                let x = &before[parent * n_states..(parent + 1) * n_states];
                if self.stages.step(node, x, &self.u, &mut rest[..n_states]).is_err() {
                    return failed;
                }
            }
            let n_own = if self.stages.tree().is_leaf(node) { 0 } else { n_inputs };
            if n_own > 0 {
                self.set_input(depth, n, which, inputs);
            }
            let (x, u) = (&self.states[node * n_states..(node + 1) * n_states], &self.u[..n_own]);
            outcome.cost += self.stages.cost(node, x, u);
            let n_rows = self.stages.n_rows(node);
            if n_rows > 0 {
                self.stages.rows(node, x, u, &mut self.rows[..n_rows]);
            }
            let limits = self.stages.limits(node);
            let row = (0..n_rows)
                .map(|r| (excess(self.rows[r], limits.row_lower[r], limits.row_upper[r]), limits.row_softness[r]));
            let boxes = (0..if node > 0 { n_states } else { 0 })
                .map(|i| (excess(x[i], limits.x_lower[i], limits.x_upper[i]), Softness::Hard));
            for (e, softness) in row.chain(boxes) {
                outcome.cost += penalty(softness, self.price, e);
                if softness == Softness::Hard {
                    outcome.violation = outcome.violation.max(e);
                }
            }
        }
        if outcome.cost.is_finite() { outcome } else { failed }
    }

    fn set_input(&mut self, k: usize, n: usize, which: usize, inputs: &[f64]) {
        let m = self.dims.n_inputs;
        for (i, u) in self.u.iter_mut().enumerate() {
            *u = inputs[(k * m + i) * n + which];
        }
    }
}

impl Rollouts for StageRollouts {
    fn dims(&self) -> StageDims {
        self.dims
    }

    fn horizon(&self) -> usize {
        self.stages.tree().horizon()
    }

    fn input_bounds(&self) -> (&[f64], &[f64]) {
        (&self.lower, &self.upper)
    }

    fn begin(&mut self, now: &Situation<'_>) {
        let Situation { step, time, state, previous, forecast } = *now;
        self.stages.arrive(&Instant { step, time, state, previous, forecast }, &mut self.start);
    }

    fn costs(&mut self, n: usize, inputs: &[f64], costs: &mut [f64]) {
        for (which, cost) in costs.iter_mut().enumerate().take(n) {
            *cost = self.follow(n, which, inputs).cost;
        }
    }

    fn predict(&mut self, inputs: &[f64], states: &mut [f64]) -> Outcome {
        let outcome = self.follow(1, 0, inputs);
        let n = self.dims.n_states;
        // Of a tree, the first scenario.
        let tree = self.stages.tree();
        let mut told = 0;
        for node in 0..tree.n_nodes() {
            if tree.depth(node) == told {
                states[told * n..(told + 1) * n].copy_from_slice(&self.states[node * n..(node + 1) * n]);
                told += 1;
            }
        }
        outcome
    }
}
