//! Constrained policy optimisation: as much reward as possible while episodes fail no more often than they may.
//!
//! J. Achiam, D. Held, A. Tamar and P. Abbeel, Constrained policy optimization, ICML 2017, algorithm 1. The policy moves within
//! a trust region along the best direction for linearised gain and cost (`cpo/trust_region`), with the Fisher information for
//! the curvature, shortened until divergence, gain and cost are as promised. Where no step keeps the limit, it goes back
//! towards it and gives up gain. Cost and limit are per episode, and are taken per step for the plane of the constraint.

pub mod settings;
pub mod surrogate;
pub mod trust_region;

pub use settings::{CpoSettings, SETTINGS};

use super::actor_critic::{ActorCritic, Networks};
use super::learner::{LearnError, Learner, Log};
use super::network::{Adam, Mlp};
use super::rollout::Rollout;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Policy};
use surrogate::{Compared, Surrogate};
use trust_region::{Direction, Products, conjugate_gradient, direction, dot};

/// The word for it in a model and in files.
pub const NAME: &str = "cpo";

/// CPO at work. Its unit is a rollout with the step that follows.
pub struct Cpo {
    settings: CpoSettings,
    actor: ActorCritic,
    /// Of the networks for rewards and for costs.
    adams: [Adam; 2],
    /// Failures per episode and steps per episode, as last seen.
    cost: f64,
    length: f64,
}

/// What an update came to.
struct Moved {
    compared: Compared,
    direction: Direction,
    /// Part of the step that was taken; 0 where none was accepted.
    part: f64,
}

impl Cpo {
    /// Begins with networks drawn from `seed`.
    ///
    /// # Errors
    /// Where the settings do not fit the task.
    pub fn new(environments: Box<dyn Environments>, settings: CpoSettings, seed: u64) -> Result<Cpo, LearnError> {
        let actor = ActorCritic::new(environments, settings.shape(), seed)?;
        let adam = |n: usize| Adam::new(n, settings.value_lr as f32);
        let n_cost = actor.networks.cost_value.as_ref().map_or(0, |network| network.params().len());
        let adams = [adam(actor.networks.value.params().len()), adam(n_cost)];
        Ok(Cpo { settings, actor, adams, cost: 0.0, length: 1.0 })
    }

    /// Takes over the networks of a policy that was learnt elsewhere.
    ///
    /// # Errors
    /// Where they are of other sizes; nothing has changed then.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        self.actor.load_networks(saved)
    }

    /// Moves the policy.
    fn improve(&mut self) -> Result<Moved, &'static str> {
        let settings = &self.settings;
        let advantages = [&self.actor.by_reward, &self.actor.by_cost].map(|judged| centered(&judged.advantages));
        let scale = 1.0 / (dot(&advantages[0], &advantages[0]) / advantages[0].len() as f64).sqrt().max(1e-8);
        let gains: Vec<f64> = advantages[0].iter().map(|a| a * scale).collect();
        let networks = &self.actor.networks;
        let mut surrogate = Surrogate::new(networks, (&self.actor.head, &self.actor.rollout), [&gains, &advantages[1]]);

        let [g, b] = surrogate.gradients(&networks.policy);
        let mut solve = |gradient: &[f64]| {
            conjugate_gradient(gradient, settings.conjugate_gradients, |vector, product| {
                surrogate.fisher(&networks.policy, vector, settings.damping, product);
            })
        };
        let (by_g, by_b) = (solve(&g), solve(&b));
        let c = (self.cost - settings.cost_limit) / self.length;
        let products = Products { q: dot(&g, &by_g), r: dot(&g, &by_b), s: dot(&b, &by_b), c };
        if ![products.q, products.r, products.s, products.c].iter().all(|v| v.is_finite()) {
            return Err("the gradient of the policy");
        }
        let direction = direction(products, settings.target_kl);
        let step: Vec<f64> =
            by_g.iter().zip(&by_b).map(|(g, b)| direction.along_gain * g - direction.along_cost * b).collect();

        let mut tape = surrogate.tape(&networks.policy);
        let before = surrogate.compare(networks, &mut tape);
        let mut part = 1.0;
        for _ in 0..settings.backtracks {
            let mut moved = networks.clone();
            move_policy(&mut moved, &step, part);
            let compared = surrogate.compare(&moved, &mut tape);
            let is_better = !direction.must_gain || compared.gain >= before.gain;
            let is_cheap = compared.cost - before.cost <= (-c).max(0.0);
            if moved.is_finite() && compared.kl <= settings.target_kl && is_better && is_cheap {
                self.actor.networks = moved;
                return Ok(Moved { compared, direction, part });
            }
            part *= settings.backtrack;
        }
        Ok(Moved { compared: before, direction, part: 0.0 })
    }

    /// Fits the value networks to the targets; their losses before.
    fn fit_values(&mut self) -> Result<[f64; 2], &'static str> {
        let n_steps = self.settings.value_steps;
        let rollout = &self.actor.rollout;
        let Networks { value, cost_value, .. } = &mut self.actor.networks;
        let loss = fit(value, &mut self.adams[0], rollout, &self.actor.by_reward.targets, n_steps)?;
        let cost_loss = match cost_value {
            Some(network) => fit(network, &mut self.adams[1], rollout, &self.actor.by_cost.targets, n_steps)?,
            None => 0.0,
        };
        Ok([loss, cost_loss])
    }
}

/// Moves the parameters of the policy by a part of a step.
fn move_policy(networks: &mut Networks, step: &[f64], part: f64) {
    let params = networks.policy.params_mut().iter_mut().chain(&mut networks.log_spreads);
    for (p, x) in params.zip(step) {
        *p = (f64::from(*p) + part * x) as f32;
    }
}

/// Steps of Adam down the mean squared error over all rows; the error before them.
fn fit(
    network: &mut Mlp,
    adam: &mut Adam,
    rollout: &Rollout,
    targets: &[f64],
    n_steps: usize,
) -> Result<f64, &'static str> {
    let mut tape = network.tape(rollout.n_rows());
    let mut gradient = vec![0.0; network.params().len()];
    let mut d_outputs = vec![0.0; targets.len()];
    let share = 1.0 / targets.len() as f64;
    let mut first = f64::NAN;
    for k in 0..n_steps {
        let outputs = network.forward(&rollout.inputs, &mut tape);
        let mut loss = 0.0;
        for ((d, value), target) in d_outputs.iter_mut().zip(outputs).zip(targets) {
            let error = f64::from(*value) - target;
            loss += error * error * share;
            *d = (2.0 * error * share) as f32;
        }
        if !loss.is_finite() {
            return Err("the loss of the values");
        }
        if k == 0 {
            first = loss;
        }
        network.backward(&d_outputs, &mut tape, &mut gradient, None);
        adam.step(network.params_mut(), &gradient);
    }
    Ok(first)
}

/// Less their mean.
fn centered(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| v - mean).collect()
}

impl Learner for Cpo {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let tally = self.actor.collect(self.settings.n_steps, log)?;
        if tally.n_episodes > 0 {
            self.cost = tally.n_failed as f64 / tally.n_episodes as f64;
            self.length = tally.n_steps as f64 / tally.n_episodes as f64;
        }
        let at_step = self.actor.acting.n_steps();
        let before = (self.actor.networks.clone(), self.adams.clone());
        let result = self.improve().and_then(|moved| Ok((moved, self.fit_values()?)));
        let result = result.and_then(|r| if self.actor.networks.is_finite() { Ok(r) } else { Err("a weight") });
        match result {
            Ok((moved, [loss, cost_loss])) => {
                let values = [
                    ("loss/value", loss),
                    ("loss/cost_value", cost_loss),
                    ("kl", moved.compared.kl),
                    ("step", moved.part),
                    ("recovery", if moved.direction.is_recovery { 1.0 } else { 0.0 }),
                    ("safety/cost", self.cost),
                ];
                log.measured(at_step, &values);
                Ok(())
            }
            Err(what) => {
                (self.actor.networks, self.adams) = before;
                self.actor.undo_scaling();
                Err(LearnError::NotFinite { what, at_step })
            }
        }
    }

    fn n_steps(&self) -> u64 {
        self.actor.acting.n_steps()
    }

    fn n_episodes(&self) -> u64 {
        self.actor.acting.n_episodes()
    }

    fn is_between(&self) -> bool {
        true
    }

    fn save(&self) -> Tensors {
        let mut to = Tensors::default();
        to.put_word("algorithm", NAME);
        self.actor.save(&mut to);
        self.adams[0].save("adam/value", &mut to);
        self.adams[1].save("adam/cost_value", &mut to);
        to.put("cost", &[2], &[self.cost, self.length]);
        to
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", NAME)?;
        let mut adams = self.adams.clone();
        adams[0].load("adam/value", saved)?;
        adams[1].load("adam/cost_value", saved)?;
        let cost = saved.get::<f64>("cost", &[2])?;
        self.actor.load(saved)?;
        (self.adams, self.cost, self.length) = (adams, cost[0], cost[1]);
        Ok(())
    }

    fn policy(&self) -> Box<dyn Policy> {
        Box::new(self.actor.policy())
    }

    fn save_policy(&self) -> Tensors {
        let mut to = Tensors::default();
        to.put_word("algorithm", NAME);
        self.actor.save_policy(&mut to);
        to
    }
}
