//! A network that acts: scaled observations in, the most probable action out. What PPO, CPO, DQN and distilling leave behind.
//!
//! It is kept with its activation, its scaling, its levels and the box of its actions, so that reading it back needs nothing
//! else.

use super::head::Head;
use super::network::{Activation, Mlp, Tape};
use super::policy::KIND;
use super::scaler::Scaler;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Policy, Space};

/// A policy that is a network.
#[derive(Debug, Clone)]
pub struct Greedy {
    scaler: Scaler,
    network: Mlp,
    head: Head,
    tape: Tape,
    input: Vec<f32>,
    drawn: Vec<f32>,
}

impl Greedy {
    /// Value of [`KIND`].
    pub const WORD: &'static str = "greedy";

    /// Of these parts; the network may have further outputs behind those of the head.
    pub fn new(scaler: Scaler, network: Mlp, head: Head) -> Greedy {
        let tape = network.tape(1);
        let (input, drawn) = (vec![0.0; scaler.n()], vec![0.0; head.n_drawn()]);
        Greedy { scaler, network, head, tape, input, drawn }
    }

    /// What a file keeps of such a policy: the network as `policy`, its scaling and its actions.
    pub fn save(scaler: &Scaler, network: &Mlp, head: &Head, to: &mut Tensors) {
        to.put_word(KIND, Greedy::WORD);
        to.put_word("activation", name(network.activation()));
        network.save("policy", to);
        scaler.save(to);
        head.save(to);
    }

    /// Reads what [`Greedy::save`] kept.
    ///
    /// # Errors
    /// Where it is another kind of policy, or something is missing or does not fit the rest.
    pub fn load(from: &Tensors) -> Result<Greedy, TensorError> {
        from.check_word(KIND, Greedy::WORD)?;
        let word = from.words.get("activation").map_or("", String::as_str);
        let activation = activation(word).ok_or_else(|| TensorError::Word {
            name: "activation".to_string(),
            found: format!("`{word}`"),
            expected: "`relu`, `tanh` or `identity`".to_string(),
        })?;
        let (scaler, head) = (Scaler::read(from)?, Head::read(from)?);
        let network = Mlp::read("policy", activation, from)?;
        if network.n_in() != scaler.n() || network.n_out() < head.n_outputs() {
            return Err(TensorError::Format(format!(
                "the policy goes from {} to {} numbers, for {} observations and {} outputs",
                network.n_in(),
                network.n_out(),
                scaler.n(),
                head.n_outputs()
            )));
        }
        Ok(Greedy::new(scaler, network, head))
    }

    /// Length of an observation.
    pub fn n_observations(&self) -> usize {
        self.scaler.n()
    }

    /// The box of its actions.
    pub fn action_space(&self) -> &Space {
        self.head.space()
    }
}

impl Policy for Greedy {
    fn act(&mut self, observation: &[f64], action: &mut [f64]) {
        self.scaler.scale(observation, &mut self.input);
        let outputs = self.network.forward(&self.input, &mut self.tape);
        self.head.most_probable(&outputs[..self.head.n_outputs()], &mut self.drawn);
        self.head.write_action(&self.drawn, action);
    }
}

/// The word for an activation.
pub fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Tanh => "tanh",
        Activation::Identity => "identity",
    }
}

/// The activation of this name.
pub fn activation(name: &str) -> Option<Activation> {
    match name {
        "relu" => Some(Activation::Relu),
        "tanh" => Some(Activation::Tanh),
        "identity" => Some(Activation::Identity),
        _ => None,
    }
}
