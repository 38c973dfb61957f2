//! From a controller to a policy that acts like it, in microseconds.
//!
//! Behaviour cloning learns the controller's actions where the controller gets to. DAgger (S. Ross, G. J. Gordon and
//! J. A. Bagnell, A reduction of imitation learning and structured prediction to no-regret online learning, AISTATS 2011,
//! algorithm 3.1) lets the policy act after the first round and asks the controller what it would have done there, so that the
//! policy learns to come back from its own mistakes; all advice is kept.

pub mod settings;

pub use settings::{DistillSettings, SETTINGS};

use super::greedy::Greedy;
use super::head::Head;
use super::interaction::Interaction;
use super::learner::{LearnError, Learner, Log};
use super::network::{Activation, Adam, Init, Mlp, Tape};
use super::scaler::Scaler;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Advised, Policy, Space};
use crate::random::{Rng, stream};
use rand::Rng as _;

/// The word for it in a model and in files.
pub const NAME: &str = "distill";

/// Distilling at work. Its unit is a round: acting, then learning from all advice so far.
pub struct Distill {
    settings: DistillSettings,
    acting: Interaction<dyn Advised>,
    actions: Space,
    head: Head,
    scaler: Scaler,
    network: Mlp,
    adam: Adam,
    n_rounds: u64,
    /// Observations as they were met, and advice over −1 .. 1; a ring once it is full.
    observations: Vec<f64>,
    advice: Vec<f32>,
    next: usize,
    draws: Rng,
    order: Rng,
    tape: Tape,
}

impl Distill {
    /// Begins with a network drawn from `seed`.
    ///
    /// # Errors
    /// Where the task has no limits on actions, or nothing to observe.
    pub fn new(environments: Box<dyn Advised>, settings: DistillSettings, seed: u64) -> Result<Distill, LearnError> {
        let (n, n_inputs) = (environments.n_copies(), environments.observation_space().len());
        let actions = environments.action_space().clone();
        if n == 0 || n_inputs == 0 || actions.is_empty() {
            return Err(LearnError::Unsuited(
                "a policy needs something to observe and something to act by".to_string(),
            ));
        }
        let sizes: Vec<usize> =
            [n_inputs].into_iter().chain(settings.hidden.iter().copied()).chain([actions.len()]).collect();
        let network = Mlp::new(&sizes, Activation::Relu, Init::Torch, &mut stream(seed, 0));
        Ok(Distill {
            head: Head::new(&actions, 0)?,
            scaler: Scaler::new(environments.observation_space(), settings.observations),
            adam: Adam::new(network.params().len(), settings.lr as f32),
            n_rounds: 0,
            observations: Vec::new(),
            advice: Vec::new(),
            next: 0,
            draws: stream(seed, 1),
            order: stream(seed, 2),
            tape: network.tape(n.max(settings.batch)),
            acting: Interaction::new(environments, seed),
            actions,
            network,
            settings,
        })
    }

    /// How many pieces of advice are remembered.
    fn n_advice(&self) -> usize {
        self.advice.len() / self.actions.len()
    }

    /// Acts for a round, and remembers what the controller said.
    fn collect(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let (n_actions, n_inputs, n) = (self.actions.len(), self.scaler.n(), self.acting.n_copies());
        let (mut advice, mut inputs) = (vec![0.0; n * n_actions], vec![0.0; n * n_inputs]);
        let trust = match (self.settings.dagger, self.n_rounds) {
            (false, _) | (true, 0) => 1.0,
            (true, round) => self.settings.mix.powi(round.min(1_000_000) as i32),
        };
        for _ in 0..self.settings.n_steps {
            self.acting.begin()?;
            self.acting.environments().advise(&mut advice);
            if advice.iter().any(|a| !a.is_finite()) {
                return Err(LearnError::NotFinite { what: "the advice", at_step: self.acting.n_steps() });
            }
            self.scaler.meet(self.acting.observations());
            self.scaler.scale(self.acting.observations(), &mut inputs);
            let outputs = self.network.forward(&inputs, &mut self.tape);
            let actions = self.acting.actions_mut();
            for copy in 0..n {
                let row = copy * n_actions..(copy + 1) * n_actions;
                if self.draws.random::<f64>() < trust {
                    actions[row.clone()].copy_from_slice(&advice[row.clone()]);
                } else {
                    self.head.write_action(&outputs[row.clone()], &mut actions[row.clone()]);
                }
            }
            for copy in 0..n {
                self.remember(copy, &advice[copy * n_actions..(copy + 1) * n_actions]);
            }
            self.acting.step(log)?;
            self.acting.go_on();
        }
        self.n_rounds += 1;
        Ok(())
    }

    fn remember(&mut self, copy: usize, advice: &[f64]) {
        let (n_inputs, n_actions) = (self.scaler.n(), self.actions.len());
        let observation = &self.acting.observations()[copy * n_inputs..(copy + 1) * n_inputs];
        let scaled = advice.iter().zip(self.actions.low.iter().zip(&self.actions.high)).map(|(a, (low, high))| {
            let width = high - low;
            if width > 0.0 { ((2.0 * a - low - high) / width) as f32 } else { 0.0 }
        });
        if self.n_advice() < self.settings.buffer {
            self.observations.extend_from_slice(observation);
            self.advice.extend(scaled);
        } else {
            let at = self.next;
            self.observations[at * n_inputs..(at + 1) * n_inputs].copy_from_slice(observation);
            self.advice[at * n_actions..(at + 1) * n_actions].iter_mut().zip(scaled).for_each(|(a, s)| *a = s);
            self.next = (at + 1) % self.settings.buffer;
        }
    }

    /// Passes over all advice; the mean squared error of the last one.
    fn learn(&mut self) -> Result<f64, &'static str> {
        let (n_inputs, n_actions) = (self.scaler.n(), self.actions.len());
        let mut rows: Vec<usize> = (0..self.n_advice()).collect();
        let (mut observations, mut inputs, mut d_outputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut gradient = vec![0.0; self.network.params().len()];
        let mut last = 0.0;
        for _ in 0..self.settings.epochs {
            for k in (1..rows.len()).rev() {
                rows.swap(k, self.order.random_range(0..=k));
            }
            let mut loss = 0.0;
            for batch in rows.chunks(self.settings.batch) {
                observations.clear();
                for row in batch {
                    observations.extend_from_slice(&self.observations[row * n_inputs..(row + 1) * n_inputs]);
                }
                inputs.resize(observations.len(), 0.0);
                self.scaler.scale(&observations, &mut inputs);
                let outputs = self.network.forward(&inputs, &mut self.tape);
                d_outputs.clear();
                let share = 1.0 / outputs.len() as f32;
                for (row, outputs) in batch.iter().zip(outputs.chunks_exact(n_actions)) {
                    for (said, advice) in outputs.iter().zip(&self.advice[row * n_actions..]) {
                        let error = said - advice;
                        loss += f64::from(error) * f64::from(error);
                        d_outputs.push(2.0 * error * share);
                    }
                }
                if !loss.is_finite() {
                    return Err("the loss of the policy");
                }
                self.network.backward(&d_outputs, &mut self.tape, &mut gradient, None);
                self.adam.step(self.network.params_mut(), &gradient);
            }
            last = loss / self.advice.len() as f64;
        }
        if self.network.params().iter().all(|p| p.is_finite()) { Ok(last) } else { Err("a weight") }
    }
}

impl Learner for Distill {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let (scaler, before) = (self.scaler.clone(), (self.network.clone(), self.adam.clone()));
        if let Err(error) = self.collect(log) {
            self.scaler = scaler;
            return Err(error);
        }
        let at_step = self.acting.n_steps();
        match self.learn() {
            Ok(loss) => {
                log.measured(at_step, &[("loss/policy", loss), ("advice", self.n_advice() as f64)]);
                Ok(())
            }
            Err(what) => {
                (self.scaler, (self.network, self.adam)) = (scaler, before);
                Err(LearnError::NotFinite { what, at_step })
            }
        }
    }

    fn n_steps(&self) -> u64 {
        self.acting.n_steps()
    }

    fn n_episodes(&self) -> u64 {
        self.acting.n_episodes()
    }

    fn is_between(&self) -> bool {
        true
    }

    fn save(&self) -> Tensors {
        let mut to = self.save_policy();
        self.adam.save("adam", &mut to);
        self.acting.save(&mut to);
        let n = self.n_advice();
        to.put("advice/observations", &[n, self.scaler.n()], &self.observations);
        to.put("advice/actions", &[n, self.actions.len()], &self.advice);
        to.put("advice/counts", &[2], &[self.n_rounds, self.next as u64]);
        to.put_rng("rng/draws", &self.draws);
        to.put_rng("rng/order", &self.order);
        to
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", NAME)?;
        let (mut network, mut adam, mut scaler) = (self.network.clone(), self.adam.clone(), self.scaler.clone());
        self.head.check(saved)?;
        network.load("policy", saved)?;
        adam.load("adam", saved)?;
        scaler.load(saved)?;
        let n_actions = self.actions.len();
        let n = saved.shaped::<f32>("advice/actions")?.0.len() / n_actions;
        let advice = saved.get::<f32>("advice/actions", &[n, n_actions])?.to_vec();
        let observations = saved.get::<f64>("advice/observations", &[n, scaler.n()])?.to_vec();
        let counts = saved.get::<u64>("advice/counts", &[2])?;
        let (draws, order) = (saved.get_rng("rng/draws")?, saved.get_rng("rng/order")?);
        self.acting.load(saved)?;
        (self.n_rounds, self.next) = (counts[0], counts[1] as usize);
        (self.network, self.adam, self.scaler, self.draws, self.order) = (network, adam, scaler, draws, order);
        (self.observations, self.advice) = (observations, advice);
        Ok(())
    }

    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Greedy::new(self.scaler.clone(), self.network.clone(), self.head.clone()))
    }

    fn save_policy(&self) -> Tensors {
        let mut to = Tensors::default();
        to.put_word("algorithm", NAME);
        Greedy::save(&self.scaler, &self.network, &self.head, &mut to);
        to
    }
}
