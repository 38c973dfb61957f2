//! What CPO looks at in a policy: its surrogate gain and cost, its divergence from the policy that acted, their gradients, and
//! products with the Fisher information.
//!
//! Parameters are those of the network followed by the logarithms of the spreads. The product is exact for the policy that
//! acted: `mean over rows of Jᵀ F J v`, with the Jacobian J of the network's outputs and the information F of the head.

use super::super::actor_critic::Networks;
use super::super::head::Head;
use super::super::network::{Mlp, Tangent, Tape};
use super::super::rollout::Rollout;

/// The experience, and workspaces.
pub struct Surrogate<'a> {
    head: &'a Head,
    rollout: &'a Rollout,
    /// `n_rows`: advantages of rewards, and of costs.
    advantages: [&'a [f64]; 2],
    outputs: Vec<f32>,
    log_spreads: Vec<f32>,
    tape: Tape,
    tangent: Tangent,
    d_outputs: Vec<f32>,
    gradient: Vec<f32>,
    direction: Vec<f32>,
}

/// A policy beside the one that acted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Mean over rows of ratio of probabilities times advantage.
    pub gain: f64,
    /// The same of costs.
    pub cost: f64,
    /// Mean divergence of the new from the old.
    pub kl: f64,
}

impl<'a> Surrogate<'a> {
    /// Around the policy that acted.
    pub fn new(
        networks: &Networks,
        (head, rollout): (&'a Head, &'a Rollout),
        advantages: [&'a [f64]; 2],
    ) -> Surrogate<'a> {
        let mut tape = networks.policy.tape(rollout.n_rows());
        let outputs = networks.policy.forward(&rollout.inputs, &mut tape).to_vec();
        let n = networks.policy.params().len();
        Surrogate {
            head,
            rollout,
            advantages,
            d_outputs: vec![0.0; outputs.len()],
            outputs,
            log_spreads: networks.log_spreads.clone(),
            tape,
            tangent: Tangent::default(),
            gradient: vec![0.0; n],
            direction: vec![0.0; n],
        }
    }

    /// Gradients of surrogate gain and cost at the policy that acted.
    pub fn gradients(&mut self, policy: &Mlp) -> [Vec<f64>; 2] {
        let (n_out, n_drawn) = (self.head.n_outputs(), self.head.n_drawn());
        self.advantages.map(|advantages| {
            let share = 1.0 / advantages.len() as f64;
            let mut d_spreads = vec![0.0; self.log_spreads.len()];
            self.d_outputs.fill(0.0);
            let outputs = self.outputs.chunks_exact(n_out).zip(self.d_outputs.chunks_exact_mut(n_out));
            let rows = outputs.zip(self.rollout.drawn.chunks_exact(n_drawn)).zip(advantages);
            for (((outputs, d_outputs), drawn), advantage) in rows {
                let at = (outputs, &self.log_spreads[..], drawn);
                self.head.add_log_prob_gradient(at, share * advantage, d_outputs, &mut d_spreads);
            }
            policy.backward(&self.d_outputs, &mut self.tape, &mut self.gradient, None);
            self.gradient.iter().map(|g| f64::from(*g)).chain(d_spreads).collect()
        })
    }

    /// `product` = (Fisher information of the policy that acted + `damping`) times `vector`.
    pub fn fisher(&mut self, policy: &Mlp, vector: &[f64], damping: f64, product: &mut [f64]) {
        let (n, n_out) = (policy.params().len(), self.head.n_outputs());
        let share = 1.0 / self.rollout.n_rows() as f32;
        self.direction.iter_mut().zip(vector).for_each(|(d, v)| *d = *v as f32);
        let changes = policy.derivative_along(&self.direction, &self.tape, &mut self.tangent);
        self.d_outputs.copy_from_slice(changes);
        for (outputs, d) in self.outputs.chunks_exact(n_out).zip(self.d_outputs.chunks_exact_mut(n_out)) {
            self.head.apply_fisher(outputs, &self.log_spreads, d);
            d.iter_mut().for_each(|d| *d *= share);
        }
        policy.backward(&self.d_outputs, &mut self.tape, &mut self.gradient, None);
        for (k, (product, v)) in product.iter_mut().zip(vector).enumerate() {
            // The information about the logarithm of a normal spread is 2, wherever it is observed.
            let own = if k < n { f64::from(self.gradient[k]) } else { 2.0 * v };
            *product = own + damping * v;
        }
    }

    /// A policy beside the one that acted, in a tape of its own.
    pub fn compare(&self, networks: &Networks, tape: &mut Tape) -> Compared {
        let (n_out, n_drawn) = (self.head.n_outputs(), self.head.n_drawn());
        let outputs = networks.policy.forward(&self.rollout.inputs, tape);
        let mut compared = Compared { gain: 0.0, cost: 0.0, kl: 0.0 };
        let rows = outputs.chunks_exact(n_out).zip(self.outputs.chunks_exact(n_out));
        for (row, (new, old)) in rows.enumerate() {
            let drawn = &self.rollout.drawn[row * n_drawn..(row + 1) * n_drawn];
            let log_prob = self.head.log_prob(new, &networks.log_spreads, drawn);
            let ratio = (log_prob - self.rollout.log_probs[row]).exp();
            compared.gain += ratio * self.advantages[0][row];
            compared.cost += ratio * self.advantages[1][row];
            compared.kl += self.head.divergence((old, &self.log_spreads), (new, &networks.log_spreads));
        }
        let share = 1.0 / self.rollout.n_rows() as f64;
        Compared { gain: share * compared.gain, cost: share * compared.cost, kl: share * compared.kl }
    }

    /// A tape for [`Surrogate::compare`].
    pub fn tape(&self, policy: &Mlp) -> Tape {
        policy.tape(self.rollout.n_rows())
    }
}

#[cfg(test)]
mod tests;
