//! What PPO, its Lagrangian form and CPO have in common: a policy that draws actions, networks that say what states are worth
//! in reward and in cost, and the experience of the policy as it stands.
//!
//! A step costs 1 where it failed, else nothing, so that the cost of an episode is the probability that it fails.

use super::greedy::Greedy;
use super::head::Head;
use super::interaction::Interaction;
use super::learner::{Episode, LearnError, Log};
use super::network::{Activation, Init, Mlp, Tape};
use super::rollout::{End, Rollout, Worth, advantages};
use super::scaler::{Scaler, Scaling};
use super::tensors::{TensorError, Tensors};
use crate::decide::Environments;
use crate::random::{Rng, stream};

/// What the networks look like and how advantages are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Sizes of the hidden layers of each network.
    pub hidden: Vec<usize>,
    /// What follows them.
    pub activation: Activation,
    /// Values of each axis of the action to choose from; 0 draws real actions.
    pub levels: usize,
    /// Logarithm of the first spread of real actions.
    pub log_spread: f64,
    /// How observations are scaled.
    pub scaling: Scaling,
    /// Factor on rewards before they are learnt from.
    pub reward_scale: f64,
    /// Discount of rewards.
    pub gamma: f64,
    /// Decay of differences in advantages of rewards.
    pub lambda: f64,
    /// Discount of costs.
    pub cost_gamma: f64,
    /// Decay of differences in advantages of costs.
    pub cost_lambda: f64,
    /// There is a network for costs.
    pub has_costs: bool,
}

/// The networks, which an update changes and a failed one puts back.
#[derive(Debug, Clone)]
pub struct Networks {
    /// Observations to the parameters of the distribution of actions.
    pub policy: Mlp,
    /// Logarithms of the spreads of real actions.
    pub log_spreads: Vec<f32>,
    /// Observations to expected discounted rewards.
    pub value: Mlp,
    /// Observations to expected discounted costs.
    pub cost_value: Option<Mlp>,
}

impl Networks {
    /// True where every parameter is finite.
    pub fn is_finite(&self) -> bool {
        let cost = self.cost_value.iter().flat_map(|network| network.params());
        let all = self.policy.params().iter().chain(&self.log_spreads).chain(self.value.params());
        all.chain(cost).all(|p| p.is_finite())
    }
}

/// Episodes that ended during a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// How many.
    pub n_episodes: u64,
    /// How many of them failed.
    pub n_failed: u64,
    /// Their steps.
    pub n_steps: u64,
}

/// Tells what happens to another log, and counts.
struct Counting<'a> {
    log: &'a mut dyn Log,
    tally: Tally,
}

impl Log for Counting<'_> {
    fn episode(&mut self, episode: &Episode) {
        self.tally.n_episodes += 1;
        self.tally.n_failed += u64::from(episode.failed);
        self.tally.n_steps += episode.length;
        self.log.episode(episode);
    }

    fn measured(&mut self, at_step: u64, values: &[(&'static str, f64)]) {
        self.log.measured(at_step, values);
    }
}

/// A rollout as a network judges it.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// `n_rows`: what the network said.
    pub said: Vec<f64>,
    /// `n_rows`: what it should have said.
    pub targets: Vec<f64>,
    /// `n_rows`: how much more came than it had said.
    pub advantages: Vec<f64>,
    next: Vec<f64>,
    tails: Vec<f64>,
}

impl Judged {
    /// Asks the network, and judges a signal with its discount and decay.
    fn judge(
        &mut self,
        (network, tape): (&Mlp, &mut Tape),
        rollout: &Rollout,
        (signal, gamma, lambda): (&[f64], f64, f64),
    ) {
        let parts = [
            (&rollout.inputs, &mut self.said),
            (&rollout.next_inputs, &mut self.next),
            (&rollout.tails, &mut self.tails),
        ];
        for (inputs, values) in parts {
            values.clear();
            if !inputs.is_empty() {
                values.extend(network.forward(inputs, tape).iter().map(|v| f64::from(*v)));
            }
        }
        let worth = Worth { values: &self.said, next: &self.next, tails: &self.tails };
        advantages(signal, &rollout.ends, &worth, rollout.n_copies, gamma, lambda, &mut self.advantages);
        self.targets.clear();
        self.targets.extend(self.advantages.iter().zip(&self.said).map(|(a, v)| a + v));
    }
}

/// A policy at work, with its judges.
pub struct ActorCritic {
    /// What is acted on.
    pub acting: Interaction<dyn Environments>,
    /// What the policy's outputs mean.
    pub head: Head,
    /// What is learnt.
    pub networks: Networks,
    /// The last experience.
    pub rollout: Rollout,
    /// What the rewards of the last experience tell.
    pub by_reward: Judged,
    /// What its costs tell; empty without a network for them.
    pub by_cost: Judged,
    /// Episodes that ended during the last rollout.
    pub tally: Tally,
    /// Draws the order in which experience is learnt from.
    pub order: Rng,
    shape: Shape,
    scaler: Scaler,
    scaler_before: Scaler,
    draws: Rng,
    deciding: Tape,
    judging: Tape,
    inputs: Vec<f32>,
    drawn: Vec<f32>,
}

impl ActorCritic {
    /// Networks for these environments, orthogonal with gain √2, that of the policy's outputs 0.01 and of values 1.
    ///
    /// # Errors
    /// Where the actions do not fit the task.
    pub fn new(environments: Box<dyn Environments>, shape: Shape, seed: u64) -> Result<ActorCritic, LearnError> {
        let (n, n_inputs) = (environments.n_copies(), environments.observation_space().len());
        let n_actions = environments.action_space().len();
        if n == 0 || n_inputs == 0 || n_actions == 0 {
            return Err(LearnError::Unsuited(
                "a policy needs something to observe and something to act by".to_string(),
            ));
        }
        let head = Head::new(environments.action_space(), shape.levels)?;
        let scaler = Scaler::new(environments.observation_space(), shape.scaling);
        let mut rng = stream(seed, 0);
        let mut network = |n_outputs: usize, output_gain: f32| {
            let sizes: Vec<usize> =
                [n_inputs].into_iter().chain(shape.hidden.iter().copied()).chain([n_outputs]).collect();
            let init = Init::Orthogonal { hidden_gain: std::f32::consts::SQRT_2, output_gain };
            Mlp::new(&sizes, shape.activation, init, &mut rng)
        };
        let networks = Networks {
            policy: network(head.n_outputs(), 0.01),
            log_spreads: vec![shape.log_spread as f32; head.n_spreads()],
            value: network(1, 1.0),
            cost_value: shape.has_costs.then(|| network(1, 1.0)),
        };
        Ok(ActorCritic {
            deciding: networks.policy.tape(n),
            judging: networks.value.tape(n),
            acting: Interaction::new(environments, seed),
            rollout: Rollout::new(n),
            by_reward: Judged::default(),
            by_cost: Judged::default(),
            tally: Tally::default(),
            order: stream(seed, 2),
            draws: stream(seed, 1),
            inputs: vec![0.0; n * n_inputs],
            drawn: vec![0.0; n * head.n_drawn()],
            scaler_before: scaler.clone(),
            head,
            networks,
            shape,
            scaler,
        })
    }

    /// Length of an input of the networks.
    pub fn n_inputs(&self) -> usize {
        self.scaler.n()
    }

    /// Acts `n_steps` times on every copy and judges what came of it.
    ///
    /// # Errors
    /// Where the environments give no start or no finite number; what is kept as the policy has not changed then.
    pub fn collect(&mut self, n_steps: usize, log: &mut dyn Log) -> Result<Tally, LearnError> {
        self.scaler_before.clone_from(&self.scaler);
        let result = self.act_and_judge(n_steps, log);
        if result.is_err() {
            self.undo_scaling();
        }
        result
    }

    /// Scales as before the last rollout: where its update failed.
    pub fn undo_scaling(&mut self) {
        self.scaler.clone_from(&self.scaler_before);
    }

    fn act_and_judge(&mut self, n_steps: usize, log: &mut dyn Log) -> Result<Tally, LearnError> {
        let mut counting = Counting { log, tally: Tally::default() };
        self.rollout.clear();
        for _ in 0..n_steps {
            self.acting.begin()?;
            self.scaler.meet(self.acting.observations());
            self.scaler.scale(self.acting.observations(), &mut self.inputs);
            self.act(&mut counting)?;
        }
        self.scaler.scale(self.acting.observations(), &mut self.inputs);
        self.rollout.next_inputs.extend_from_slice(&self.inputs);
        self.tally = counting.tally;
        self.judge()?;
        Ok(counting.tally)
    }

    /// One step of every copy from the inputs that stand in `inputs`.
    fn act(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let (n_drawn, n_outputs, n_inputs) = (self.head.n_drawn(), self.head.n_outputs(), self.scaler.n());
        let (at_step, n_actions) = (self.acting.n_steps(), self.head.space().len());
        let outputs = self.networks.policy.forward(&self.inputs, &mut self.deciding);
        let rows = outputs.chunks_exact(n_outputs).zip(self.drawn.chunks_exact_mut(n_drawn));
        for ((outputs, drawn), action) in rows.zip(self.acting.actions_mut().chunks_exact_mut(n_actions)) {
            let log_prob = self.head.draw(outputs, &self.networks.log_spreads, &mut self.draws, drawn);
            if !log_prob.is_finite() {
                return Err(LearnError::NotFinite { what: "the probability of an action", at_step });
            }
            self.head.write_action(drawn, action);
            self.rollout.log_probs.push(log_prob);
        }
        self.rollout.inputs.extend_from_slice(&self.inputs);
        self.rollout.drawn.extend_from_slice(&self.drawn);
        self.acting.step(log)?;
        let (steps, last) = (self.acting.steps(), self.acting.next_observations());
        for (step, last) in steps.iter().zip(last.chunks_exact(n_inputs)) {
            self.rollout.rewards.push(step.reward * self.shape.reward_scale);
            self.rollout.costs.push(if step.failed { 1.0 } else { 0.0 });
            let end = if step.terminated {
                End::Terminated
            } else if step.truncated {
                let tail = self.rollout.tails.len() / n_inputs;
                self.rollout.tails.resize((tail + 1) * n_inputs, 0.0);
                self.scaler.scale(last, &mut self.rollout.tails[tail * n_inputs..]);
                End::Truncated(tail)
            } else {
                End::GoesOn
            };
            self.rollout.ends.push(end);
        }
        self.acting.go_on();
        Ok(())
    }

    /// Advantages and targets of the rollout, by the networks as they stand.
    fn judge(&mut self) -> Result<(), LearnError> {
        let (rollout, shape) = (&self.rollout, &self.shape);
        let rewards = (&rollout.rewards[..], shape.gamma, shape.lambda);
        self.by_reward.judge((&self.networks.value, &mut self.judging), rollout, rewards);
        if let Some(network) = &self.networks.cost_value {
            let costs = (&rollout.costs[..], shape.cost_gamma, shape.cost_lambda);
            self.by_cost.judge((network, &mut self.judging), rollout, costs);
        }
        let is_finite = self.by_reward.targets.iter().chain(&self.by_cost.targets).all(|v| v.is_finite());
        let at_step = self.acting.n_steps();
        if is_finite { Ok(()) } else { Err(LearnError::NotFinite { what: "the value of a state", at_step }) }
    }

    /// The policy as it stands.
    pub fn policy(&self) -> Greedy {
        Greedy::new(self.scaler.clone(), self.networks.policy.clone(), self.head.clone())
    }

    /// The policy for a file.
    pub fn save_policy(&self, to: &mut Tensors) {
        Greedy::save(&self.scaler, &self.networks.policy, &self.head, to);
        to.put("log_spreads", &[self.networks.log_spreads.len()], &self.networks.log_spreads);
    }

    /// Puts everything that later rollouts depend on.
    pub fn save(&self, to: &mut Tensors) {
        self.save_policy(to);
        self.networks.value.save("value", to);
        if let Some(network) = &self.networks.cost_value {
            network.save("cost_value", to);
        }
        self.acting.save(to);
        to.put_rng("rng/order", &self.order);
        to.put_rng("rng/draws", &self.draws);
    }

    /// Goes back to what was saved.
    ///
    /// # Errors
    /// Where it is of another task or other sizes; what was read until then has changed.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        self.load_networks(from)?;
        self.acting.load(from)?;
        self.order = from.get_rng("rng/order")?;
        self.draws = from.get_rng("rng/draws")?;
        Ok(())
    }

    /// Takes over networks and scaling alone: to begin from what was learnt elsewhere.
    ///
    /// # Errors
    /// Where they are of another task or other sizes; nothing has changed then.
    pub fn load_networks(&mut self, from: &Tensors) -> Result<(), TensorError> {
        let (mut networks, mut scaler) = (self.networks.clone(), self.scaler.clone());
        from.check_word("activation", super::greedy::name(networks.policy.activation()))?;
        self.head.check(from)?;
        scaler.load(from)?;
        networks.policy.load("policy", from)?;
        networks.value.load("value", from)?;
        if let Some(network) = &mut networks.cost_value {
            network.load("cost_value", from)?;
        }
        let n = networks.log_spreads.len();
        networks.log_spreads.copy_from_slice(from.get("log_spreads", &[n])?);
        (self.networks, self.scaler) = (networks, scaler);
        Ok(())
    }
}
