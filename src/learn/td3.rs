//! Twin delayed deterministic policy gradients: learns a deterministic policy from the lesser of two critics.
//!
//! S. Fujimoto, H. van Hoof and D. Meger, Addressing function approximation error in actor-critic methods, ICML 2018,
//! algorithm 1: clipped double Q-learning, targets smoothed by noise on their actions, and a policy that is updated with
//! the targets every second time. One unit of work is a step of every copy, then the updates. [`settings`] has what may be
//! set.

pub mod settings;
#[cfg(test)]
mod tests;

use rand::Rng as _;

pub use settings::{SETTINGS, Td3Settings};

use super::critics::Critics;
use super::interaction::Interaction;
use super::learner::{LearnError, Learner, Log};
use super::meter::Meter;
use super::network::{Activation, Adam, Init, Mlp, Tape, follow, is_steppable};
use super::policy::{Squashed, check_scales};
use super::replay::{Batch, Replay, Transition};
use super::scales::Scales;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Policy};
use crate::random::ziggurat::Ziggurat;
use crate::random::{Rng, stream};

/// Learns by TD3.
pub struct Td3<'e> {
    settings: Td3Settings,
    acting: Interaction<dyn Environments + 'e>,
    scales: Scales,
    actor: Actor,
    critics: Critics,
    n_updates: u64,
    replay: Replay,
    batch: Batch,
    /// Draws of actions.
    noise: Rng,
    /// Draws of batches and of the targets' actions.
    draws: Rng,
    normal: Ziggurat,
    meter: Meter,
    /// What the copies are observed in, and what is done, on the networks' scale.
    observations: Vec<f32>,
    next_observations: Vec<f32>,
    actions: Vec<f32>,
    goals: Vec<f32>,
}

/// A deterministic policy with its target and what its updates need.
struct Actor {
    net: Mlp,
    target: Mlp,
    adam: Adam,
    tape: Tape,
    gradient: Vec<f32>,
    /// `batch × n_actions`.
    actions: Vec<f32>,
    d_actions: Vec<f32>,
}

impl Actor {
    /// One step up the first critic's values; the mean value, or nothing where it or a gradient was not finite and nothing
    /// was changed.
    fn update(&mut self, critics: &mut Critics, observations: &[f32]) -> Option<f64> {
        self.actions.clear();
        self.actions.extend(self.net.forward(observations, &mut self.tape).iter().map(|y| y.tanh()));
        self.d_actions.resize(self.actions.len(), 0.0);
        let value = critics.first(observations, &self.actions, &mut self.d_actions);
        let share = -(self.net.n_in() as f32) / observations.len() as f32;
        for (d, a) in self.d_actions.iter_mut().zip(&self.actions) {
            *d *= share * (1.0 - a * a);
        }
        self.net.backward(&self.d_actions, &mut self.tape, &mut self.gradient, None);
        if !value.is_finite() || !is_steppable(&self.gradient) {
            return None;
        }
        self.adam.step(self.net.params_mut(), &self.gradient);
        Some(value)
    }
}

impl<'e> Td3<'e> {
    /// Before the first step. Everything that is drawn follows from `seed`.
    pub fn new(environments: Box<dyn Environments + 'e>, settings: Td3Settings, seed: u64) -> Td3<'e> {
        let (observations, actions) = (environments.observation_space(), environments.action_space());
        let scales = Scales::new(observations, actions, settings.scales_observations);
        let (n_o, n_a, n) = (observations.len(), actions.len(), environments.n_copies());
        let mut rng = stream(seed, 0);
        let mut sizes = vec![n_o];
        sizes.extend(&settings.hidden);
        sizes.push(n_a);
        let net = Mlp::new(&sizes, Activation::Relu, Init::Torch, &mut rng);
        let n_params = net.params().len();
        let actor = Actor {
            target: net.clone(),
            adam: Adam::new(n_params, settings.actor_lr),
            tape: net.tape(1),
            gradient: vec![0.0; n_params],
            actions: Vec::new(),
            d_actions: Vec::new(),
            net,
        };
        let critics = Critics::new(n_o, n_a, &settings.hidden, settings.critic_lr, &mut rng);
        Td3 {
            acting: Interaction::new(environments, seed),
            scales,
            actor,
            critics,
            n_updates: 0,
            replay: Replay::new(n_o, n_a, 0, settings.capacity),
            batch: Batch::default(),
            noise: stream(seed, 1),
            draws: stream(seed, 2),
            normal: Ziggurat::new(),
            meter: Meter::new(),
            observations: vec![0.0; n * n_o],
            next_observations: vec![0.0; n * n_o],
            actions: vec![0.0; n * n_a],
            goals: Vec::new(),
            settings,
        }
    }

    /// Begins with the networks of a checkpoint, or with the policy alone of a policy's file.
    ///
    /// # Errors
    /// Where it is of other spaces or other sizes.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        check_scales(&self.scales, saved)?;
        let mut net = self.actor.net.clone();
        net.load("actor", saved)?;
        if saved.arrays.contains_key("critic/0/0/weight") {
            self.critics.load(false, saved)?;
        }
        (self.actor.net, self.actor.target) = (net.clone(), net);
        Ok(())
    }

    /// One update of the critics, and where it is its turn of the policy and the targets.
    fn update(&mut self) -> Result<(), &'static str> {
        self.replay.draw(self.settings.batch, &mut self.draws, &mut self.batch);
        let batch = &self.batch;
        let (sd, most) = (self.settings.target_noise, self.settings.target_noise_limit);
        let Actor { target, tape, actions, .. } = &mut self.actor;
        actions.clear();
        actions.extend(target.forward(&batch.next_observations, tape).iter().map(|y| {
            let noise = (sd * self.normal.draw(&mut self.draws) as f32).clamp(-most, most);
            (y.tanh() + noise).clamp(-1.0, 1.0)
        }));
        self.goals.resize(batch.len(), 0.0);
        self.critics.least_of_targets(&batch.next_observations, actions, &mut self.goals);
        for (row, goal) in self.goals.iter_mut().enumerate() {
            *goal = batch.rewards[row] + self.settings.gamma * batch.goes_on[row] * *goal;
        }
        self.n_updates += 1;
        let is_policys_turn = self.n_updates.is_multiple_of(self.settings.policy_every.max(1) as u64);
        let told = self.critics.update(&batch.observations, &batch.actions, &self.goals, None);
        if !told.is_finite {
            return Err("the loss of the critics");
        }
        self.meter.add("loss/critic", told.loss);
        self.meter.add("value", told.value);
        if is_policys_turn {
            let value = self.actor.update(&mut self.critics, &batch.observations).ok_or("the loss of the policy")?;
            self.meter.add("loss/policy", -value);
            self.critics.follow(self.settings.tau);
            follow(self.actor.net.params(), self.actor.target.params_mut(), self.settings.tau);
        }
        Ok(())
    }
}

impl Learner for Td3<'_> {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        self.acting.begin()?;
        self.scales.observe(self.acting.observations(), &mut self.observations);
        let is_learning = self.acting.n_steps() >= self.settings.start as u64;
        if is_learning {
            let Actor { net, tape, .. } = &mut self.actor;
            for (action, y) in self.actions.iter_mut().zip(net.forward(&self.observations, tape)) {
                let noise = self.settings.noise * self.normal.draw(&mut self.noise) as f32;
                *action = (y.tanh() + noise).clamp(-1.0, 1.0);
            }
        } else {
            self.actions.iter_mut().for_each(|a| *a = self.noise.random_range(-1.0..=1.0));
        }
        self.scales.act(&self.actions, self.acting.actions_mut());
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
            self.update().map_err(|what| LearnError::NotFinite { what, at_step })?;
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
        kept.put_word("algorithm", "td3");
        self.actor.target.save("target/actor", &mut kept);
        self.actor.adam.save("adam/actor", &mut kept);
        self.critics.save(true, &mut kept);
        kept.put_one("updates", self.n_updates);
        self.acting.save(&mut kept);
        self.replay.save("replay", &mut kept);
        kept.put_rng("random/noise", &self.noise);
        kept.put_rng("random/draws", &self.draws);
        kept
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", "td3")?;
        check_scales(&self.scales, saved)?;
        self.actor.net.load("actor", saved)?;
        self.actor.target.load("target/actor", saved)?;
        self.actor.adam.load("adam/actor", saved)?;
        self.critics.load(true, saved)?;
        self.n_updates = saved.get_one("updates")?;
        self.replay.load("replay", saved)?;
        self.noise = saved.get_rng("random/noise")?;
        self.draws = saved.get_rng("random/draws")?;
        self.meter = Meter::new();
        self.acting.load(saved)
    }

    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Squashed::new(self.actor.net.clone(), self.scales.clone()))
    }

    fn save_policy(&self) -> Tensors {
        let mut kept = Tensors::default();
        Squashed::save(&self.actor.net, &self.scales, &mut kept);
        kept
    }
}
