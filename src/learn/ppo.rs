//! Proximal policy optimisation.
//!
//! J. Schulman, F. Wolski, P. Dhariwal, A. Radford and O. Klimov, Proximal policy optimization algorithms,
//! arXiv:1707.06347 (2017): several passes over the experience of a policy, up the surrogate of its return, whose gain ends
//! where the probability of an action has changed by more than a part (eq. 7). The first weights, the advantages of unit
//! variance per minibatch and the optional clipped values are those that L. Engstrom et al., Implementation matters in deep
//! policy gradients, ICLR 2020, found to matter.

pub mod clipped;
pub mod settings;

pub use settings::{PpoSettings, SETTINGS};

use super::actor_critic::ActorCritic;
use super::learner::{LearnError, Learner, Log};
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Policy};
use clipped::{Clipped, Lesson};

/// The word for it in a model and in files.
pub const NAME: &str = "ppo";

/// PPO at work. Its unit is a rollout with the passes over it.
pub struct Ppo {
    settings: PpoSettings,
    actor: ActorCritic,
    clipped: Clipped,
}

impl Ppo {
    /// Begins with networks drawn from `seed`.
    ///
    /// # Errors
    /// Where the settings do not fit the task.
    pub fn new(environments: Box<dyn Environments>, settings: PpoSettings, seed: u64) -> Result<Ppo, LearnError> {
        let actor = ActorCritic::new(environments, settings.shape(false), seed)?;
        let clipped = Clipped::new(&actor.networks, &settings);
        Ok(Ppo { settings, actor, clipped })
    }

    /// Takes over the networks of a policy that was learnt elsewhere.
    ///
    /// # Errors
    /// Where they are of other sizes; nothing has changed then.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        self.actor.load_networks(saved)
    }
}

impl Learner for Ppo {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let left = self.settings.part_left(self.actor.acting.n_steps());
        self.actor.collect(self.settings.n_steps, log)?;
        let lesson = Lesson { advantages: &self.actor.by_reward.advantages, part_left: left };
        let measured = self.clipped.improve(
            &mut self.actor.networks,
            (&self.actor.head, &self.actor.rollout),
            lesson,
            [&self.actor.by_reward, &self.actor.by_cost],
            &mut self.actor.order,
        );
        let at_step = self.actor.acting.n_steps();
        match measured {
            Ok(measured) => {
                log.measured(at_step, &measured.named());
                Ok(())
            }
            Err(what) => {
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
        self.clipped.save(&mut to);
        to
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", NAME)?;
        self.actor.load(saved)?;
        self.clipped.load(saved)
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
