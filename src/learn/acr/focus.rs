//! What weighs a controller against a policy in each situation: a network of the observation, or one number.
//!
//! The network's outputs y become weights ½ tanh(y/2) + ½, one for each action. Before anything is done it is trained to a
//! weight close to 1 wherever an observation may be, so that the first actions are the controller's; that training depends
//! on the sizes, the settings and the seed alone. The number begins with 1 and is held at 0.995 or below once it learns.

use rand::Rng as _;

use super::super::critics::Critics;
use super::super::network::{Activation, Adam, Init, Mlp, Tape, is_steppable};
use super::super::tensors::{TensorError, Tensors};
use super::settings::{FocusKind, FocusSettings};
use crate::random::stream;

/// Generators of the focus network's first weights and of the observations it is pretrained on.
const FIRST_STREAM: u64 = 16;

/// Highest weight of a number that learns.
const MOST: f32 = 0.995;

/// The weights of a controller.
#[derive(Debug, Clone)]
pub struct Focus {
    core: Core,
    n_actions: usize,
    adam: Adam,
    gradient: Vec<f32>,
    /// `batch × n_actions`: weights, actions blended by them, and derivatives by both in turn.
    weights: Vec<f32>,
    blended: Vec<f32>,
    deltas: Vec<f32>,
}

/// What the weights come from.
#[derive(Debug, Clone)]
enum Core {
    Network { net: Mlp, tape: Tape },
    Scalar([f32; 1]),
}

/// How the training before anything is done ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pretraining {
    /// Steps.
    pub n_steps: usize,
    /// Mean squared error of the weight in the last batch.
    pub loss: f64,
    /// Whether that is below what was asked for.
    pub is_converged: bool,
}

impl Focus {
    /// Weights of `n_actions` actions, trained to [`FocusSettings::pretrain`] over the closed box of observations.
    pub fn pretrained(
        (n_observations, n_actions): (usize, usize),
        settings: &FocusSettings,
        seed: u64,
    ) -> (Focus, Pretraining) {
        let mut focus = Focus::new(n_observations, n_actions, settings, seed);
        let told = focus.pretrain(settings, seed);
        (focus, told)
    }

    /// Weights as they are before any training.
    fn new(n_observations: usize, n_actions: usize, settings: &FocusSettings, seed: u64) -> Focus {
        let (core, n_params) = match settings.kind {
            FocusKind::Network => {
                let mut sizes = vec![n_observations];
                sizes.extend(&settings.hidden);
                sizes.push(n_actions);
                let mut net = Mlp::new(&sizes, Activation::Relu, Init::Torch, &mut stream(seed, FIRST_STREAM));
                let n = net.params().len();
                let n_last = (sizes[sizes.len() - 2] + 1) * n_actions;
                let (weights, bias) = net.params_mut()[n - n_last..].split_at_mut(n_last - n_actions);
                weights.iter_mut().for_each(|w| *w *= 0.1);
                bias.fill(0.0);
                (Core::Network { tape: net.tape(1), net }, n)
            }
            FocusKind::Scalar => (Core::Scalar([1.0]), 1),
        };
        Focus {
            core,
            n_actions,
            adam: Adam::new(n_params, settings.lr),
            gradient: vec![0.0; n_params],
            weights: Vec::new(),
            blended: Vec::new(),
            deltas: Vec::new(),
        }
    }

    /// Trains a network to the weight asked for; a number is left as it is.
    fn pretrain(&mut self, settings: &FocusSettings, seed: u64) -> Pretraining {
        let mut told = Pretraining { n_steps: 0, loss: 0.0, is_converged: true };
        let Core::Network { net, tape } = &mut self.core else { return told };
        let mut rng = stream(seed, FIRST_STREAM + 1);
        let mut adam = Adam::new(net.params().len(), settings.pretrain_lr);
        let mut observations = vec![0.0; settings.pretrain_batch * net.n_in()];
        loop {
            observations.iter_mut().for_each(|o| *o = rng.random_range(-1.0..1.0));
            let outputs = net.forward(&observations, tape);
            let share = 2.0 / outputs.len() as f32;
            let mut sum = 0.0;
            self.deltas.clear();
            self.deltas.extend(outputs.iter().map(|y| {
                let weight = weight(*y);
                let error = weight - settings.pretrain;
                sum += f64::from(error) * f64::from(error);
                share * error * weight * (1.0 - weight)
            }));
            told.loss = sum / self.deltas.len() as f64;
            told.is_converged = told.loss < f64::from(settings.pretrain_loss);
            if told.is_converged || told.n_steps >= settings.pretrain_most {
                return told;
            }
            net.backward(&self.deltas, tape, &mut self.gradient, None);
            adam.step(net.params_mut(), &self.gradient);
            told.n_steps += 1;
        }
    }

    /// `batch × n_actions`: weights of the controller for each row of observations.
    pub fn weights(&mut self, observations: &[f32], n_rows: usize) -> &[f32] {
        self.weights.clear();
        match &mut self.core {
            Core::Network { net, tape } => {
                self.weights.extend(net.forward(observations, tape).iter().map(|y| weight(*y)));
            }
            Core::Scalar([weight]) => self.weights.resize(n_rows * self.n_actions, weight.clamp(0.0, 1.0)),
        }
        &self.weights
    }

    /// One step up the mean over rows of the lesser critic's value of the blend of `advice` and `actions`, both `batch ×
    /// n_actions` (equation 12 of the paper). That value; nothing where it or a gradient was not finite and nothing was
    /// changed.
    pub fn update(
        &mut self,
        critics: &mut Critics,
        observations: &[f32],
        advice: &[f32],
        actions: &[f32],
    ) -> Option<f64> {
        let n_rows = actions.len() / self.n_actions;
        self.weights(observations, n_rows);
        self.blended.clear();
        let pairs = self.weights.iter().zip(advice.iter().zip(actions));
        self.blended.extend(pairs.map(|(weight, (advice, action))| weight * advice + (1.0 - weight) * action));
        self.deltas.resize(actions.len(), 0.0);
        let value = critics.least(observations, &self.blended, &mut self.deltas);
        let share = -1.0 / n_rows as f32;
        for (delta, (advice, action)) in self.deltas.iter_mut().zip(advice.iter().zip(actions)) {
            *delta *= share * (advice - action);
        }
        match &mut self.core {
            Core::Network { net, tape } => {
                for (delta, weight) in self.deltas.iter_mut().zip(&self.weights) {
                    *delta *= weight * (1.0 - weight);
                }
                net.backward(&self.deltas, tape, &mut self.gradient, None);
            }
            Core::Scalar(_) => self.gradient[0] = self.deltas.iter().sum(),
        }
        if !value.is_finite() || !is_steppable(&self.gradient) {
            return None;
        }
        match &mut self.core {
            Core::Network { net, .. } => self.adam.step(net.params_mut(), &self.gradient),
            Core::Scalar(number) => {
                self.adam.step(number, &self.gradient);
                number[0] = number[0].min(MOST);
            }
        }
        Some(value)
    }

    /// Writes the network or the number; with `adam`, also the state of its steps.
    pub fn save(&self, adam: bool, to: &mut Tensors) {
        match &self.core {
            Core::Network { net, .. } => net.save("focus", to),
            Core::Scalar(number) => to.put("focus/number", &[1], number),
        }
        if adam {
            self.adam.save("adam/focus", to);
        }
    }

    /// Reads what [`Focus::save`] wrote; with `adam`, also the state of its steps.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape.
    pub fn load(&mut self, adam: bool, from: &Tensors) -> Result<(), TensorError> {
        let mut core = self.core.clone();
        match &mut core {
            Core::Network { net, .. } => net.load("focus", from)?,
            Core::Scalar(number) => *number = [from.get_one("focus/number")?],
        }
        if adam {
            self.adam.load("adam/focus", from)?;
        }
        self.core = core;
        Ok(())
    }

    /// The weights that [`Focus::save`] wrote, of whatever sizes, ready to learn by these settings.
    ///
    /// # Errors
    /// Where arrays are missing or do not belong together.
    pub fn read(n_actions: usize, settings: &FocusSettings, from: &Tensors) -> Result<Focus, TensorError> {
        let (core, n_params) = if from.arrays.contains_key("focus/number") {
            (Core::Scalar([from.get_one("focus/number")?]), 1)
        } else {
            let net = Mlp::read("focus", Activation::Relu, from)?;
            if net.n_out() != n_actions {
                let found = net.n_out();
                return Err(TensorError::Format(format!("the focus network weighs {found} actions, not {n_actions}")));
            }
            let n = net.params().len();
            (Core::Network { tape: net.tape(1), net }, n)
        };
        Ok(Focus {
            core,
            n_actions,
            adam: Adam::new(n_params, settings.lr),
            gradient: vec![0.0; n_params],
            weights: Vec::new(),
            blended: Vec::new(),
            deltas: Vec::new(),
        })
    }
}

/// The weight of an output.
fn weight(y: f32) -> f32 {
    0.5 * (0.5 * y).tanh() + 0.5
}
