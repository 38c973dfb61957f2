//! Deep Q-learning.
//!
//! V. Mnih et al., Human-level control through deep reinforcement learning, Nature 518 (2015) 529, algorithm 1: a network
//! learns what each choice is worth from steps drawn out of a memory, against a copy of itself that is renewed now and then.
//! As options: H. van Hasselt, A. Guez and D. Silver, Deep reinforcement learning with double Q-learning, AAAI 2016, eq. 4;
//! Z. Wang et al., Dueling network architectures, ICML 2016, eq. 9 (both streams share all hidden layers here); returns over
//! several steps (R. S. Sutton, Mach. Learn. 3 (1988) 9), which are not corrected for the choices that were random.
//!
//! A task's actions are real; the choices are equal steps of their box.

pub mod descent;
pub mod memory;
pub mod settings;

pub use settings::{DqnSettings, SETTINGS};

use super::greedy::Greedy;
use super::head::{Head, Levels, largest};
use super::interaction::Interaction;
use super::learner::{LearnError, Learner, Log};
use super::network::{Activation, Init, Mlp, Tape};
use super::scaler::Scaler;
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Policy};
use crate::random::{Rng, stream};
use descent::{Values, Workspace};
use memory::Memory;
use rand::Rng as _;

/// The word for it in a model and in files.
pub const NAME: &str = "dqn";

/// Gradients after which their means are told where no episode ends.
const MANY_GRADIENTS: f64 = 100.0;

/// DQN at work. Its unit is a step of every copy with the training that is due.
pub struct Dqn {
    settings: DqnSettings,
    acting: Interaction<dyn Environments>,
    scaler: Scaler,
    levels: Levels,
    values: Values,
    memory: Memory,
    draws: Rng,
    batches: Rng,
    deciding: Tape,
    work: Workspace,
    inputs: Vec<f32>,
    later: Vec<f32>,
    choices: Vec<u32>,
    /// Since it was last told: sums over trainings of loss and value, and how many.
    seen: [f64; 3],
}

impl Dqn {
    /// Begins with a network drawn from `seed`.
    ///
    /// # Errors
    /// Where the levels do not fit the task's actions.
    pub fn new(environments: Box<dyn Environments>, settings: DqnSettings, seed: u64) -> Result<Dqn, LearnError> {
        let (n, n_inputs) = (environments.n_copies(), environments.observation_space().len());
        let n_actions = environments.action_space().len();
        if n == 0 || n_inputs == 0 || n_actions == 0 {
            return Err(LearnError::Unsuited(
                "a policy needs something to observe and something to act by".to_string(),
            ));
        }
        let levels = Levels::new(environments.action_space(), settings.levels)?;
        let n_outputs = levels.len() + usize::from(settings.dueling);
        let sizes: Vec<usize> =
            [n_inputs].into_iter().chain(settings.hidden.iter().copied()).chain([n_outputs]).collect();
        let network = Mlp::new(&sizes, Activation::Relu, Init::Torch, &mut stream(seed, 0));
        let values = Values::new(network, levels.len(), settings.lr);
        Ok(Dqn {
            scaler: Scaler::new(environments.observation_space(), settings.observations),
            memory: Memory::new(n_inputs, settings.buffer, n, settings.gamma, settings.returns_over),
            draws: stream(seed, 1),
            batches: stream(seed, 2),
            deciding: values.network.tape(n),
            work: values.workspace(&settings),
            inputs: vec![0.0; n * n_inputs],
            later: vec![0.0; n * n_inputs],
            choices: vec![0; n],
            seen: [0.0; 3],
            acting: Interaction::new(environments, seed),
            values,
            levels,
            settings,
        })
    }

    /// Takes over the network of a policy that was learnt elsewhere.
    ///
    /// # Errors
    /// Where it is of other sizes; nothing has changed then.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        let (mut network, mut scaler) = (self.values.network.clone(), self.scaler.clone());
        Head::Choice(self.levels.clone()).check(saved)?;
        scaler.load(saved)?;
        network.load("policy", saved)?;
        (self.values.network, self.scaler) = (network, scaler);
        self.values.renew();
        Ok(())
    }

    /// Probability of a random action after so many steps.
    fn exploration(&self, n_steps: u64) -> f64 {
        if n_steps < self.settings.learning_starts {
            return 1.0;
        }
        let over = self.settings.exploration * self.settings.total_steps as f64;
        let part = if over > 0.0 { (n_steps as f64 / over).min(1.0) } else { 1.0 };
        1.0 + part * (self.settings.exploration_end - 1.0)
    }

    /// Chooses for every copy from the inputs.
    fn choose(&mut self) {
        let exploration = self.exploration(self.acting.n_steps());
        let n = self.levels.len();
        let mut is_any_greedy = false;
        for choice in &mut self.choices {
            let is_random = self.draws.random::<f64>() < exploration;
            is_any_greedy |= !is_random;
            *choice = if is_random { self.draws.random_range(0..n as u32) } else { n as u32 };
        }
        if is_any_greedy {
            let network = &self.values.network;
            let outputs = network.forward(&self.inputs, &mut self.deciding).chunks_exact(network.n_out());
            for (choice, outputs) in self.choices.iter_mut().zip(outputs) {
                if *choice == n as u32 {
                    *choice = largest(&outputs[..n]) as u32;
                }
            }
        }
        let actions = self.acting.actions_mut();
        let n_actions = actions.len() / self.choices.len();
        for (choice, action) in self.choices.iter().zip(actions.chunks_exact_mut(n_actions)) {
            self.levels.write(*choice as usize, action);
        }
    }

    /// Remembers what the step gave.
    fn remember(&mut self) {
        let n_inputs = self.scaler.n();
        self.scaler.scale(self.acting.next_observations(), &mut self.later);
        let rows = self.inputs.chunks_exact(n_inputs).zip(self.later.chunks_exact(n_inputs));
        for (copy, ((input, later), step)) in rows.zip(self.acting.steps()).enumerate() {
            let end = (step.terminated || step.truncated, step.terminated);
            let reward = step.reward * self.settings.reward_scale;
            self.memory.meet(copy, (input, self.choices[copy]), reward, later, end);
        }
    }

    fn act_and_train(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        self.acting.begin()?;
        self.scaler.meet(self.acting.observations());
        self.scaler.scale(self.acting.observations(), &mut self.inputs);
        self.choose();
        let before = self.acting.n_steps();
        self.acting.step(log)?;
        self.remember();
        self.acting.go_on();
        let now = self.acting.n_steps();
        let is_due = |every: u64| now / every.max(1) != before / every.max(1);
        if is_due(self.settings.target_every) {
            self.values.renew();
        }
        if is_due(self.settings.train_every) && now > self.settings.learning_starts && !self.memory.is_empty() {
            let measured = self.values.train(&self.settings, &self.memory, &mut self.batches, &mut self.work);
            let measured = measured.map_err(|what| LearnError::NotFinite { what, at_step: now })?;
            let sums = [self.seen[0] + measured.loss, self.seen[1] + measured.value, self.seen[2] + 1.0];
            self.seen = sums;
        }
        let has_ended = self.acting.steps().iter().any(|step| step.terminated || step.truncated);
        self.tell(has_ended, log);
        Ok(())
    }

    /// Tells means over trainings, at once where each has many gradients, else at the end of an episode or after many.
    fn tell(&mut self, has_ended: bool, log: &mut dyn Log) {
        let [loss, value, n] = self.seen;
        let is_due = has_ended || n * self.settings.gradient_steps as f64 >= MANY_GRADIENTS;
        if n > 0.0 && is_due {
            let now = self.acting.n_steps();
            let exploration = self.exploration(now);
            log.measured(now, &[("loss/value", loss / n), ("value", value / n), ("exploration", exploration)]);
            self.seen = [0.0; 3];
        }
    }
}

impl Learner for Dqn {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let scaler = self.scaler.is_learning().then(|| self.scaler.clone());
        let result = self.act_and_train(log);
        if let (Err(_), Some(scaler)) = (&result, scaler) {
            self.scaler = scaler;
        }
        result
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
        self.values.target.save("target", &mut to);
        self.values.adam.save("adam", &mut to);
        self.memory.save(&mut to);
        self.acting.save(&mut to);
        to.put("seen", &[3], &self.seen);
        to.put_rng("rng/draws", &self.draws);
        to.put_rng("rng/batches", &self.batches);
        to
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", NAME)?;
        let (mut values, mut scaler, mut memory) = (self.values.clone(), self.scaler.clone(), self.memory.clone());
        Head::Choice(self.levels.clone()).check(saved)?;
        scaler.load(saved)?;
        values.network.load("policy", saved)?;
        values.target.load("target", saved)?;
        values.adam.load("adam", saved)?;
        memory.load(saved)?;
        let seen = saved.get::<f64>("seen", &[3])?;
        let (draws, batches) = (saved.get_rng("rng/draws")?, saved.get_rng("rng/batches")?);
        self.acting.load(saved)?;
        self.seen.copy_from_slice(seen);
        (self.values, self.scaler, self.memory, self.draws, self.batches) = (values, scaler, memory, draws, batches);
        Ok(())
    }

    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Greedy::new(self.scaler.clone(), self.values.network.clone(), Head::Choice(self.levels.clone())))
    }

    fn save_policy(&self) -> Tensors {
        let mut to = Tensors::default();
        to.put_word("algorithm", NAME);
        Greedy::save(&self.scaler, &self.values.network, &Head::Choice(self.levels.clone()), &mut to);
        to
    }
}
