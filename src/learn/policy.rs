//! Deterministic policies: what learners hand out to act by, and what files of policies hold.

use super::network::{Activation, Mlp, Tape};
use super::scales::Scales;
use super::tensors::{TensorError, Tensors};
use crate::decide::Policy;

/// Name of the word that says what kind of policy a file holds.
pub const KIND: &str = "policy";

/// The action is tanh of the first outputs of a network, on the scale of the action space.
#[derive(Debug, Clone)]
pub struct Squashed {
    net: Mlp,
    scales: Scales,
    tape: Tape,
    observation: Vec<f32>,
    action: Vec<f32>,
}

impl Squashed {
    /// Value of [`KIND`].
    pub const WORD: &'static str = "squashed";

    /// Of a network with at least as many outputs as there are actions.
    pub fn new(net: Mlp, scales: Scales) -> Squashed {
        Squashed {
            tape: net.tape(1),
            observation: vec![0.0; scales.n_observations()],
            action: vec![0.0; scales.n_actions()],
            net,
            scales,
        }
    }

    /// `n_actions`: the action within ±1.
    pub fn scaled(&mut self, observation: &[f64]) -> &[f32] {
        self.scales.observe(observation, &mut self.observation);
        let outputs = self.net.forward(&self.observation, &mut self.tape);
        for (action, output) in self.action.iter_mut().zip(outputs) {
            *action = output.tanh();
        }
        &self.action
    }

    /// Writes the network as `actor`, the scales, and the word that says what it is.
    pub fn save(net: &Mlp, scales: &Scales, to: &mut Tensors) {
        net.save("actor", to);
        scales.save("scales", to);
        to.put_word(KIND, Squashed::WORD);
    }

    /// Reads what [`Squashed::save`] wrote.
    ///
    /// # Errors
    /// Where it is another kind of policy, or arrays are missing or do not belong together.
    pub fn load(from: &Tensors) -> Result<Squashed, TensorError> {
        from.check_word(KIND, Squashed::WORD)?;
        Squashed::read(from)
    }

    /// [`Squashed::load`] whatever kind of policy it is part of.
    pub(super) fn read(from: &Tensors) -> Result<Squashed, TensorError> {
        let (net, scales) = (Mlp::read("actor", Activation::Relu, from)?, Scales::load("scales", from)?);
        if net.n_in() != scales.n_observations() || net.n_out() < scales.n_actions() {
            return Err(TensorError::Format(format!(
                "the policy goes from {} to {} numbers, for {} observations and {} actions",
                net.n_in(),
                net.n_out(),
                scales.n_observations(),
                scales.n_actions()
            )));
        }
        Ok(Squashed::new(net, scales))
    }

    /// Scales between the units of the environment and those of the network.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }
}

impl Policy for Squashed {
    fn act(&mut self, observation: &[f64], action: &mut [f64]) {
        self.scaled(observation);
        self.scales.act(&self.action, action);
    }
}

/// Checks that what was saved is of the same spaces.
pub(super) fn check_scales(scales: &Scales, from: &Tensors) -> Result<(), TensorError> {
    if Scales::load("scales", from)? == *scales {
        return Ok(());
    }
    Err(TensorError::Format("the spaces of what was saved are not those of this task".to_string()))
}
