//! The deterministic policy that RL-ACR leaves behind: a controller's advice blended with the policy's mean action.

use super::super::policy::{KIND, Squashed};
use super::super::scales::Scales;
use super::super::tensors::{TensorError, Tensors};
use super::focus::Focus;
use super::settings::FocusSettings;
use crate::decide::Policy;

/// A policy that sees behind an observation what the controller advises: β(o) a + (1 − β(o)) tanh μ(o) within the action
/// space.
#[derive(Debug, Clone)]
pub struct Blend {
    policy: Squashed,
    focus: Focus,
    observation: Vec<f32>,
}

impl Blend {
    /// Value of [`KIND`].
    pub const WORD: &'static str = "blend";

    /// Of these parts.
    pub fn new(policy: Squashed, focus: Focus) -> Blend {
        Blend { observation: vec![0.0; policy.scales().n_observations()], policy, focus }
    }

    /// Scales between the units of the environment and those of the networks.
    pub fn scales(&self) -> &Scales {
        self.policy.scales()
    }

    /// `n_actions`: weights of the controller where this is observed.
    pub fn weights(&mut self, observation: &[f64]) -> &[f32] {
        self.policy.scales().observe(observation, &mut self.observation);
        self.focus.weights(&self.observation, 1)
    }

    /// Reads what [`super::Acr`] saves.
    ///
    /// # Errors
    /// Where it is another kind of policy, or arrays are missing or do not belong together.
    pub fn load(from: &Tensors) -> Result<Blend, TensorError> {
        from.check_word(KIND, Blend::WORD)?;
        let policy = Squashed::read(from)?;
        let focus = Focus::read(policy.scales().n_actions(), &FocusSettings::default(), from)?;
        Ok(Blend::new(policy, focus))
    }
}

impl Policy for Blend {
    /// `observation: n_observations + n_actions`: what is observed, then what the controller advises.
    fn act(&mut self, observation: &[f64], action: &mut [f64]) {
        let (observation, advice) = observation.split_at(self.observation.len().min(observation.len()));
        self.policy.act(observation, action);
        self.policy.scales().observe(observation, &mut self.observation);
        let weights = self.focus.weights(&self.observation, 1);
        blend(self.policy.scales(), weights, advice, action);
    }
}

/// `actions` = those of the controller and the policy, weighed, within the action space; `n × n_actions` all.
pub(super) fn blend(scales: &Scales, weights: &[f32], advice: &[f64], actions: &mut [f64]) {
    for (action, (advice, weight)) in actions.iter_mut().zip(advice.iter().zip(weights)) {
        let weight = f64::from(*weight);
        *action = weight * advice + (1.0 - weight) * *action;
    }
    scales.clip(actions);
}
