//! Soft actor-critic: learns a policy that earns much and stays random where that costs little.
//!
//! T. Haarnoja, A. Zhou, P. Abbeel and S. Levine, Soft actor-critic: off-policy maximum entropy deep reinforcement learning
//! with a stochastic actor, ICML 2018; with two critics and a learnt temperature as in T. Haarnoja et al., Soft actor-critic
//! algorithms and applications, arXiv 1812.05905 (2018), algorithm 1. One unit of work is a step of every copy, then the
//! updates. [`agent`] has the networks and the update, [`settings`] what may be set.

pub mod agent;
pub mod settings;
#[cfg(test)]
mod tests;

use rand::Rng as _;

pub use agent::Agent;
pub use settings::{SETTINGS, SacSettings};

use super::interaction::Interaction;
use super::learner::{LearnError, Learner, Log};
use super::meter::Meter;
use super::policy::{Squashed, check_scales};
use super::replay::{Batch, Replay, Transition};
use super::scales::Scales;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Policy};
use crate::random::{Rng, stream};

/// Learns by SAC.
pub struct Sac<'e> {
    settings: SacSettings,
    acting: Interaction<dyn Environments + 'e>,
    scales: Scales,
    agent: Agent,
    replay: Replay,
    batch: Batch,
    /// Draws of actions.
    noise: Rng,
    /// Draws of batches and of actions in updates.
    draws: Rng,
    meter: Meter,
    /// What the copies are observed in, and what is done, on the networks' scale.
    observations: Vec<f32>,
    next_observations: Vec<f32>,
    actions: Vec<f32>,
}

impl<'e> Sac<'e> {
    /// Before the first step. Everything that is drawn follows from `seed`.
    pub fn new(environments: Box<dyn Environments + 'e>, settings: SacSettings, seed: u64) -> Sac<'e> {
        let (observations, actions) = (environments.observation_space(), environments.action_space());
        let scales = Scales::new(observations, actions, settings.scales_observations);
        let (n_o, n_a, n) = (observations.len(), actions.len(), environments.n_copies());
        let agent = Agent::new(settings.clone(), (n_o, n_a), scales.log_reach(), &mut stream(seed, 0));
        Sac {
            acting: Interaction::new(environments, seed),
            scales,
            agent,
            replay: Replay::new(n_o, n_a, 0, settings.capacity),
            batch: Batch::default(),
            noise: stream(seed, 1),
            draws: stream(seed, 2),
            meter: Meter::new(),
            observations: vec![0.0; n * n_o],
            next_observations: vec![0.0; n * n_o],
            actions: vec![0.0; n * n_a],
            settings,
        }
    }

    /// Begins with the networks of a checkpoint, or with the policy alone of a policy's file, and acts by that policy from
    /// the first step on.
    ///
    /// # Errors
    /// Where it is of other spaces or other sizes.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        check_scales(&self.scales, saved)?;
        self.agent.start_from(saved)?;
        self.settings.is_random_at_start = false;
        Ok(())
    }

    /// Whether the first steps are over.
    fn is_started(&self) -> bool {
        self.acting.n_steps() >= self.settings.start as u64
    }
}

impl Learner for Sac<'_> {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        self.acting.begin()?;
        self.scales.observe(self.acting.observations(), &mut self.observations);
        if self.is_started() || !self.settings.is_random_at_start {
            self.actions.copy_from_slice(self.agent.draw(&self.observations, &mut self.noise));
        } else {
            self.actions.iter_mut().for_each(|a| *a = self.noise.random_range(-1.0..=1.0));
        }
        self.scales.act(&self.actions, self.acting.actions_mut());
        let is_learning = self.is_started();
        self.acting.step(log)?;
        self.scales.observe(self.acting.next_observations(), &mut self.next_observations);
        let (n_o, n_a) = (self.scales.n_observations(), self.scales.n_actions());
        for (k, step) in self.acting.steps().iter().enumerate() {
            self.replay.push(&Transition {
                observation: &self.observations[k * n_o..(k + 1) * n_o],
                action: &self.actions[k * n_a..(k + 1) * n_a],
                advice: &[],
                reward: step.reward as f32,
                next_observation: &self.next_observations[k * n_o..(k + 1) * n_o],
                is_terminal: self.settings.terminal.is_end(step),
            });
        }
        self.acting.go_on();
        if !is_learning {
            return Ok(());
        }
        let at_step = self.acting.n_steps();
        for _ in 0..self.settings.updates {
            self.replay.draw(self.settings.batch, &mut self.draws, &mut self.batch);
            let seen = self.agent.update(&self.batch, &mut self.draws);
            let seen = seen.map_err(|what| LearnError::NotFinite { what, at_step })?;
            self.agent.tell(&seen, &mut self.meter);
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
        kept.put_word("algorithm", "sac");
        self.agent.save(&mut kept);
        self.acting.save(&mut kept);
        self.replay.save("replay", &mut kept);
        kept.put_rng("random/noise", &self.noise);
        kept.put_rng("random/draws", &self.draws);
        kept
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", "sac")?;
        check_scales(&self.scales, saved)?;
        self.agent.load(saved)?;
        self.replay.load("replay", saved)?;
        self.noise = saved.get_rng("random/noise")?;
        self.draws = saved.get_rng("random/draws")?;
        self.meter = Meter::new();
        self.acting.load(saved)
    }

    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Squashed::new(self.agent.actor.net().clone(), self.scales.clone()))
    }

    fn save_policy(&self) -> Tensors {
        let mut kept = Tensors::default();
        Squashed::save(self.agent.actor.net(), &self.scales, &mut kept);
        kept
    }
}
