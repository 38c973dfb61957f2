//! The networks of SAC and one update of them, from transitions that anyone may have collected.

use super::super::critics::Critics;
use super::super::gaussian::{Drawn, Gaussian};
use super::super::meter::Meter;
use super::super::network::Adam;
use super::super::replay::Batch;
use super::super::tensors::{TensorError, Tensors};
use super::SacSettings;
use crate::random::Rng;
use crate::random::ziggurat::Ziggurat;

/// Policy, critics and temperature.
pub struct Agent {
    settings: SacSettings,
    /// The policy.
    pub actor: Gaussian,
    /// The critics.
    pub critics: Critics,
    /// Logarithm of the temperature.
    log_alpha: [f32; 1],
    alpha_adam: Adam,
    target_entropy: f32,
    /// Entropy of a uniform action of the networks' scale, less that of the action in its unit.
    entropy_shift: f32,
    n_updates: u64,
    normal: Ziggurat,
    drawn: Drawn,
    goals: Vec<f32>,
    d_actions: Vec<f32>,
}

/// What an update saw.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Seen {
    /// Sum of the critics' mean squared errors.
    pub critic_loss: f64,
    /// Mean value of what was done.
    pub value: f64,
    /// The policy's loss and entropy, where it was updated.
    pub policy: Option<(f64, f64)>,
}

impl Agent {
    /// New networks; `log_reach` is the sum of the logarithms of the actions' half widths.
    pub fn new(settings: SacSettings, (n_o, n_a): (usize, usize), log_reach: f64, rng: &mut Rng) -> Agent {
        let limits = (settings.limiter, settings.log_sd_low, settings.log_sd_high);
        let actor = Gaussian::new(n_o, n_a, &settings.hidden, limits, settings.actor_lr, rng);
        let critics = Critics::new(n_o, n_a, &settings.hidden, settings.critic_lr, rng);
        Agent {
            actor,
            critics,
            log_alpha: [settings.temperature.ln()],
            alpha_adam: Adam::new(1, settings.temperature_lr),
            target_entropy: settings.target_entropy.unwrap_or(-(n_a as f32)),
            entropy_shift: if settings.is_entropy_in_units { log_reach as f32 } else { 0.0 },
            n_updates: 0,
            normal: Ziggurat::new(),
            drawn: Drawn::default(),
            goals: Vec::new(),
            d_actions: Vec::new(),
            settings,
        }
    }

    /// The temperature.
    pub fn alpha(&self) -> f32 {
        if self.settings.is_temperature_learnt { self.log_alpha[0].exp() } else { self.settings.temperature }
    }

    /// Draws an action for each row of observations; those of the last call.
    pub fn draw(&mut self, observations: &[f32], rng: &mut Rng) -> &[f32] {
        self.actor.draw(observations, &self.normal, rng, &mut self.drawn);
        &self.drawn.actions
    }

    /// Updates the critics, and the policy where it is its turn.
    ///
    /// # Errors
    /// Which number was not finite; the networks are those before what needed it.
    pub fn update(&mut self, batch: &Batch, rng: &mut Rng) -> Result<Seen, &'static str> {
        let (alpha, gamma) = (self.alpha(), self.settings.gamma);
        self.actor.draw(&batch.next_observations, &self.normal, rng, &mut self.drawn);
        self.goals.resize(batch.len(), 0.0);
        self.critics.least_of_targets(&batch.next_observations, &self.drawn.actions, &mut self.goals);
        for (row, goal) in self.goals.iter_mut().enumerate() {
            let entropy = self.entropy_shift - self.drawn.log_densities[row];
            *goal = batch.rewards[row] + gamma * batch.goes_on[row] * (*goal + alpha * entropy);
        }
        let is_turn = |every: usize| self.n_updates.is_multiple_of(every.max(1) as u64);
        let rate = is_turn(self.settings.target_every).then_some(self.settings.tau);
        let is_policys_turn = is_turn(self.settings.policy_every);
        let told = self.critics.update(&batch.observations, &batch.actions, &self.goals, rate);
        if !told.is_finite {
            return Err("the loss of the critics");
        }
        self.n_updates += 1;
        let mut seen = Seen { critic_loss: told.loss, value: told.value, policy: None };
        if is_policys_turn {
            for _ in 0..self.settings.policy_updates {
                seen.policy = Some(self.update_policy(&batch.observations, rng)?);
            }
        }
        Ok(seen)
    }

    /// One update of the policy, and of the temperature where it is learnt; the policy's loss and entropy.
    fn update_policy(&mut self, observations: &[f32], rng: &mut Rng) -> Result<(f64, f64), &'static str> {
        self.actor.draw(observations, &self.normal, rng, &mut self.drawn);
        self.d_actions.resize(self.drawn.actions.len(), 0.0);
        let value = self.critics.least(observations, &self.drawn.actions, &mut self.d_actions);
        let n = self.drawn.log_densities.len() as f64;
        let entropy = -self.drawn.log_densities.iter().map(|l| f64::from(*l)).sum::<f64>() / n;
        let loss = -f64::from(self.alpha()) * entropy - value;
        if !loss.is_finite() || !self.actor.update(&self.drawn, self.alpha(), &self.d_actions) {
            return Err("the loss of the policy");
        }
        let entropy = entropy + f64::from(self.entropy_shift);
        if self.settings.is_temperature_learnt {
            self.alpha_adam.step(&mut self.log_alpha, &[entropy as f32 - self.target_entropy]);
        }
        Ok((loss, entropy))
    }

    /// The critics, and the actions last drawn.
    pub fn critics_and_drawn(&mut self) -> (&mut Critics, &[f32]) {
        (&mut self.critics, &self.drawn.actions)
    }

    /// Adds what an update saw to a meter.
    pub fn tell(&self, seen: &Seen, meter: &mut Meter) {
        meter.add("loss/critic", seen.critic_loss);
        meter.add("value", seen.value);
        if let Some((loss, entropy)) = seen.policy {
            meter.add("loss/policy", loss);
            meter.add("entropy", entropy);
            meter.add("temperature", f64::from(self.alpha()));
        }
    }

    /// Takes the networks of a checkpoint, or the policy alone of a policy's file.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        if saved.arrays.contains_key("critic/0/0/weight") {
            self.critics.load(false, saved)?;
        }
        self.actor.load(false, saved)
    }

    /// Writes everything that later updates depend on.
    pub fn save(&self, to: &mut Tensors) {
        self.actor.save(true, to);
        self.critics.save(true, to);
        to.put("temperature/log", &[1], &self.log_alpha);
        self.alpha_adam.save("adam/temperature", to);
        to.put_one("updates", self.n_updates);
    }

    /// Reads what [`Agent::save`] wrote.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        self.actor.load(true, from)?;
        self.critics.load(true, from)?;
        self.log_alpha = [from.get_one("temperature/log")?];
        self.alpha_adam.load("adam/temperature", from)?;
        self.n_updates = from.get_one("updates")?;
        Ok(())
    }
}
