//! A network that acts: scaled observations in, the most probable action out. What PPO, CPO, DQN and distilling leave behind.
//!
//! It is kept with its sizes, its activation, its scaling and its levels, so that reading it back needs the spaces alone.

use super::head::Head;
use super::network::{Activation, Init, Mlp, Tape};
use super::scaler::{Scaler, Scaling};
use super::tensors::{TensorError, Tensors};
use crate::decide::{Policy, Space};
use crate::random;

/// A policy that is a network.
#[derive(Debug, Clone)]
pub struct Actor {
    scaler: Scaler,
    network: Mlp,
    head: Head,
    tape: Tape,
    input: Vec<f32>,
    drawn: Vec<f32>,
}

impl Actor {
    /// Of these parts; the network may have further outputs behind those of the head.
    pub fn new(scaler: Scaler, network: Mlp, head: Head) -> Actor {
        let tape = network.tape(1);
        let (input, drawn) = (vec![0.0; scaler.n()], vec![0.0; head.n_drawn()]);
        Actor { scaler, network, head, tape, input, drawn }
    }

    /// What a file keeps of such a policy.
    pub fn save(scaler: &Scaler, network: &Mlp, head: &Head, to: &mut Tensors) {
        scaler.save(to);
        network.save("policy", to);
        to.put_word("activation", name(network.activation()));
        to.put_one("levels", head.n_levels() as u64);
    }

    /// Reads what [`Actor::save`] kept, for a task with these spaces.
    ///
    /// # Errors
    /// Where something is missing, or is for other spaces.
    pub fn load(from: &Tensors, observations: &Space, actions: &Space) -> Result<Actor, TensorError> {
        let word = |name: &str| from.words.get(name).map_or("", String::as_str);
        let wrong = |name: &str, expected: &str| TensorError::Word {
            name: name.to_string(),
            found: format!("`{}`", word(name)),
            expected: expected.to_string(),
        };
        let scaling = Scaling::from_name(word("scaling")).ok_or_else(|| wrong("scaling", "none, range or running"))?;
        let activation = activation(word("activation")).ok_or_else(|| wrong("activation", "relu, tanh or identity"))?;
        let levels = usize::try_from(from.get_one::<u64>("levels")?).unwrap_or(usize::MAX);
        let head = Head::new(actions, levels).map_err(|e| TensorError::Format(e.to_string()))?;
        let mut scaler = Scaler::new(observations, scaling);
        scaler.load(from)?;
        let mut sizes = vec![observations.len()];
        while let Ok((_, shape)) = from.shaped::<f32>(&format!("policy/{}/bias", sizes.len() - 1)) {
            sizes.push(shape.iter().product());
        }
        let n_last = sizes.last().copied().unwrap_or(0);
        if sizes.len() < 2 || n_last < head.n_outputs() {
            return Err(TensorError::Format(format!(
                "the policy has {n_last} outputs, and the actions of this task need {}",
                head.n_outputs()
            )));
        }
        let mut network = Mlp::new(&sizes, activation, Init::Torch, &mut random::stream(0, 0));
        network.load("policy", from)?;
        Ok(Actor::new(scaler, network, head))
    }
}

impl Policy for Actor {
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
