//! Reinforcement learning with adaptive control regularization: a policy that takes over from a controller where, and only
//! where, its critics say that it does better.
//!
//! H. Tian, H. Hamedmoghadam, R. Shorten and P. Ferraro, Reinforcement learning with adaptive control regularization for
//! safe control of critical systems, arXiv 2404.15199 (2024), algorithm 1, with the details of the authors' runs. What is
//! done is a = β(o) a_reg + (1 − β(o)) a_RL (equation 8): the weights β of the focus network begin close to 1, so the first
//! episodes are the controller's, and follow what the critics of SAC value (equation 12). The controller's advice is kept
//! with each transition, so that updates do not plan again. The critics learn what the blend does, but look ahead by the
//! policy alone.
//!
//! One unit of work is a step of every copy, then the updates. [`focus`] weighs, [`blend`] is what is left to act by.

pub mod blend;
pub mod focus;
pub mod settings;
#[cfg(test)]
mod tests;

pub use blend::Blend;
pub use focus::{Focus, Pretraining};
pub use settings::{AcrSettings, FOCUS_SETTINGS, FocusKind, FocusSettings};

use super::interaction::Interaction;
use super::learner::{LearnError, Learner, Log};
use super::meter::Meter;
use super::policy::{KIND, Squashed, check_scales};
use super::replay::{Batch, Replay, Transition};
use super::sac::Agent;
use super::scales::Scales;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Advised, Policy};
use crate::random::{Rng, stream};

/// Learns by RL-ACR.
pub struct Acr<'e> {
    settings: AcrSettings,
    acting: Interaction<dyn Advised + 'e>,
    scales: Scales,
    agent: Agent,
    focus: Focus,
    replay: Replay,
    batch: Batch,
    /// Draws of actions.
    noise: Rng,
    /// Draws of batches and of actions in updates.
    draws: Rng,
    meter: Meter,
    /// `n_copies × n_actions`: what the controllers advise, in the actions' units.
    advice: Vec<f64>,
    /// What the copies are observed in, advised and what is done, on the networks' scale.
    observations: Vec<f32>,
    next_observations: Vec<f32>,
    scaled_advice: Vec<f32>,
    actions: Vec<f32>,
}

impl<'e> Acr<'e> {
    /// Before the first step, with a focus network that was trained towards the controller. Everything that is drawn follows
    /// from `seed`.
    pub fn new(environments: Box<dyn Advised + 'e>, settings: AcrSettings, focus: Focus, seed: u64) -> Acr<'e> {
        let (observations, actions) = (environments.observation_space(), environments.action_space());
        let scales = Scales::new(observations, actions, settings.sac.scales_observations);
        let (n_o, n_a, n) = (observations.len(), actions.len(), environments.n_copies());
        let agent = Agent::new(settings.sac.clone(), (n_o, n_a), scales.log_reach(), &mut stream(seed, 0));
        Acr {
            acting: Interaction::new(environments, seed),
            scales,
            agent,
            focus,
            replay: Replay::new(n_o, n_a, n_a, settings.sac.capacity),
            batch: Batch::default(),
            noise: stream(seed, 1),
            draws: stream(seed, 2),
            meter: Meter::new(),
            advice: vec![0.0; n * n_a],
            observations: vec![0.0; n * n_o],
            next_observations: vec![0.0; n * n_o],
            scaled_advice: vec![0.0; n * n_a],
            actions: vec![0.0; n * n_a],
            settings,
        }
    }

    /// Begins with the networks of policy and critics of a checkpoint, or with the policy alone of a policy's file.
    ///
    /// # Errors
    /// Where it is of other spaces or other sizes.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        check_scales(&self.scales, saved)?;
        self.agent.start_from(saved)
    }

    /// What the copies do now: the blend, in which the policy is still 0 during the first steps.
    fn decide(&mut self, is_learning: bool) -> Result<(), LearnError> {
        self.acting.environments().advise(&mut self.advice);
        if self.advice.iter().any(|a| !a.is_finite()) {
            return Err(LearnError::NotFinite { what: "the controller's advice", at_step: self.acting.n_steps() });
        }
        self.scales.scale_actions(&self.advice, &mut self.scaled_advice);
        let actions = self.acting.actions_mut();
        if is_learning {
            self.scales.act(self.agent.draw(&self.observations, &mut self.noise), actions);
        } else {
            actions.fill(0.0);
        }
        let weights = self.focus.weights(&self.observations, self.scaled_advice.len() / self.scales.n_actions());
        let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / weights.len() as f64;
        self.meter.add("focus", mean);
        blend::blend(&self.scales, weights, &self.advice, actions);
        self.scales.scale_actions(actions, &mut self.actions);
        Ok(())
    }

    /// One update of critics, policy and focus.
    fn update(&mut self) -> Result<(), &'static str> {
        self.replay.draw(self.settings.sac.batch, &mut self.draws, &mut self.batch);
        let seen = self.agent.update(&self.batch, &mut self.draws)?;
        self.agent.draw(&self.batch.observations, &mut self.draws);
        let (critics, actions) = self.agent.critics_and_drawn();
        let value = self.focus.update(critics, &self.batch.observations, &self.batch.advice, actions);
        self.meter.add("loss/focus", -value.ok_or("the loss of the focus network")?);
        self.agent.tell(&seen, &mut self.meter);
        Ok(())
    }
}

impl Learner for Acr<'_> {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        self.acting.begin()?;
        self.scales.observe(self.acting.observations(), &mut self.observations);
        let is_learning = self.acting.n_steps() >= self.settings.sac.start as u64;
        self.decide(is_learning)?;
        self.acting.step(log)?;
        self.scales.observe(self.acting.next_observations(), &mut self.next_observations);
        let (n_o, n_a) = (self.scales.n_observations(), self.scales.n_actions());
        for (k, step) in self.acting.steps().iter().enumerate() {
            self.replay.push(&Transition {
                observation: &self.observations[k * n_o..(k + 1) * n_o],
                action: &self.actions[k * n_a..(k + 1) * n_a],
                advice: &self.scaled_advice[k * n_a..(k + 1) * n_a],
                reward: step.reward as f32,
                next_observation: &self.next_observations[k * n_o..(k + 1) * n_o],
                is_terminal: self.settings.sac.terminal.is_end(step),
            });
        }
        self.acting.go_on();
        let at_step = self.acting.n_steps();
        if is_learning {
            for _ in 0..self.settings.sac.updates {
                self.update().map_err(|what| LearnError::NotFinite { what, at_step })?;
            }
        }
        self.meter.tell(self.acting.is_between(), at_step, log);
        Ok(())
    }

    fn n_steps(&self) -> u64 {
        self.acting.n_steps()
    }

    fn n_episodes(&self) -> u64 {
        self.acting.n_episodes()
    }

    fn is_between(&self) -> bool {
        self.acting.is_between()
    }

    fn save(&self) -> Tensors {
        let mut kept = self.save_policy();
        kept.put_word("algorithm", "acr");
        self.agent.save(&mut kept);
        self.focus.save(true, &mut kept);
        self.acting.save(&mut kept);
        self.replay.save("replay", &mut kept);
        kept.put_rng("random/noise", &self.noise);
        kept.put_rng("random/draws", &self.draws);
        kept
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", "acr")?;
        check_scales(&self.scales, saved)?;
        self.agent.load(saved)?;
        self.focus.load(true, saved)?;
        self.replay.load("replay", saved)?;
        self.noise = saved.get_rng("random/noise")?;
        self.draws = saved.get_rng("random/draws")?;
        self.meter = Meter::new();
        self.acting.load(saved)
    }

    /// A [`Blend`], which sees behind an observation what the controller advises.
    fn policy(&self) -> Box<dyn Policy> {
        let policy = Squashed::new(self.agent.actor.net().clone(), self.scales.clone());
        Box::new(Blend::new(policy, self.focus.clone()))
    }

    fn save_policy(&self) -> Tensors {
        let mut kept = Tensors::default();
        Squashed::save(self.agent.actor.net(), &self.scales, &mut kept);
        self.focus.save(false, &mut kept);
        kept.put_word(KIND, Blend::WORD);
        kept
    }
}
