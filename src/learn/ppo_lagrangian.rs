//! Proximal policy optimisation under a limit on failures, by a multiplier.
//!
//! A. Ray, J. Achiam and D. Amodei, Benchmarking safe exploration in deep reinforcement learning (2019), section 5: the cost
//! of an episode above its limit raises a multiplier λ, below lowers it, and the policy climbs `(A − λ A_c) / (1 + λ)`. λ is the
//! softplus of what Adam moves, so that it stays positive. Unlike there, costs are clipped together with rewards, and both
//! value networks learn in the minibatches of the policy, as in PPO.

use super::actor_critic::ActorCritic;
use super::learner::{LearnError, Learner, Log};
use super::network::Adam;
use super::ppo::clipped::{Clipped, Lesson};
use super::ppo::{self, PpoSettings};
use super::tensors::{TensorError, Tensors};
use crate::decide::{Environments, Policy};
use crate::hir::settings::{SettingKind, SettingSpec, Settings};

/// The word for it in a model and in files.
pub const NAME: &str = "ppo_lagrangian";

/// Settings of [`PpoLagrangian`].
#[derive(Debug, Clone, PartialEq)]
pub struct PpoLagrangianSettings {
    /// Those of PPO.
    pub ppo: PpoSettings,
    /// Most failures per episode, on average. Default 0.
    pub cost_limit: f64,
    /// First multiplier. Default 1.
    pub multiplier: f64,
    /// Length of a step of Adam of the multiplier. Default 0.05.
    pub multiplier_lr: f64,
}

impl Default for PpoLagrangianSettings {
    fn default() -> Self {
        PpoLagrangianSettings { ppo: PpoSettings::default(), cost_limit: 0.0, multiplier: 1.0, multiplier_lr: 0.05 }
    }
}

impl PpoLagrangianSettings {
    /// What a block of settings says, which was checked against [`SETTINGS`]; defaults elsewhere.
    pub fn from_settings(settings: &Settings) -> PpoLagrangianSettings {
        let own = PpoLagrangianSettings::default();
        PpoLagrangianSettings {
            ppo: PpoSettings::from_settings(settings),
            cost_limit: settings.number("cost_limit").unwrap_or(own.cost_limit),
            multiplier: settings.number("multiplier").unwrap_or(own.multiplier),
            multiplier_lr: settings.number("multiplier_lr").unwrap_or(own.multiplier_lr),
        }
    }
}

const OWN: [SettingSpec; 3] = [
    SettingSpec {
        name: "cost_limit",
        kind: SettingKind::Number(0.0, 1.0),
        unit: "",
        default: "0",
        doc: "most failures per episode, on average",
    },
    SettingSpec {
        name: "multiplier",
        kind: SettingKind::Number(1e-6, 1e6),
        unit: "",
        default: "1",
        doc: "first multiplier of the cost above its limit",
    },
    SettingSpec {
        name: "multiplier_lr",
        kind: SettingKind::Number(1e-12, 10.0),
        unit: "",
        default: "0.05",
        doc: "length of a step of Adam of the multiplier",
    },
];

const ALL: [SettingSpec; ppo::SETTINGS.len() + OWN.len()] = {
    let mut all = [OWN[0]; ppo::SETTINGS.len() + OWN.len()];
    let mut k = 0;
    while k < all.len() {
        all[k] = if k < OWN.len() { OWN[k] } else { ppo::SETTINGS[k - OWN.len()] };
        k += 1;
    }
    all
};

/// The settings of `ppo_lagrangian { ... }`: its own, then those of `ppo`.
pub const SETTINGS: &[SettingSpec] = &ALL;

/// PPO with a multiplier at work. Its unit is a rollout with the passes over it.
pub struct PpoLagrangian {
    settings: PpoLagrangianSettings,
    actor: ActorCritic,
    clipped: Clipped,
    /// What the multiplier is the softplus of, and its steps.
    raw: [f32; 1],
    adam: Adam,
    mixed: Vec<f64>,
}

impl PpoLagrangian {
    /// Begins with networks drawn from `seed`.
    ///
    /// # Errors
    /// Where the settings do not fit the task.
    pub fn new(
        environments: Box<dyn Environments>,
        settings: PpoLagrangianSettings,
        seed: u64,
    ) -> Result<PpoLagrangian, LearnError> {
        let actor = ActorCritic::new(environments, settings.ppo.shape(true), seed)?;
        Ok(PpoLagrangian {
            clipped: Clipped::new(&actor.networks, &settings.ppo),
            raw: [settings.multiplier.exp_m1().ln() as f32],
            adam: Adam::new(1, settings.multiplier_lr as f32),
            mixed: Vec::new(),
            settings,
            actor,
        })
    }

    /// Takes over the networks of a policy that was learnt elsewhere.
    ///
    /// # Errors
    /// Where they are of other sizes; nothing has changed then.
    pub fn start_from(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        self.actor.load_networks(saved)
    }

    /// What a failure costs, in rewards.
    pub fn multiplier(&self) -> f64 {
        let raw = f64::from(self.raw[0]);
        raw.max(0.0) + (-raw.abs()).exp().ln_1p()
    }
}

impl Learner for PpoLagrangian {
    fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
        let left = self.settings.ppo.part_left(self.actor.acting.n_steps());
        let tally = self.actor.collect(self.settings.ppo.n_steps, log)?;
        let before = (self.raw, self.adam.clone());
        let cost = if tally.n_episodes > 0 {
            let cost = tally.n_failed as f64 / tally.n_episodes as f64;
            self.adam.step(&mut self.raw, &[(self.settings.cost_limit - cost) as f32]);
            cost
        } else {
            f64::NAN
        };
        let multiplier = self.multiplier();
        self.mixed.clear();
        let pairs = self.actor.by_reward.advantages.iter().zip(&self.actor.by_cost.advantages);
        self.mixed.extend(pairs.map(|(reward, cost)| (reward - multiplier * cost) / (1.0 + multiplier)));
        let measured = self.clipped.improve(
            &mut self.actor.networks,
            (&self.actor.head, &self.actor.rollout),
            Lesson { advantages: &self.mixed, part_left: left },
            [&self.actor.by_reward, &self.actor.by_cost],
            &mut self.actor.order,
        );
        let at_step = self.actor.acting.n_steps();
        match measured {
            Ok(measured) => {
                log.measured(at_step, &measured.named());
                log.measured(at_step, &[("safety/multiplier", multiplier)]);
                if cost.is_finite() {
                    log.measured(at_step, &[("safety/cost", cost)]);
                }
                Ok(())
            }
            Err(what) => {
                (self.raw, self.adam) = before;
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
        to.put("multiplier", &[1], &self.raw);
        self.adam.save("adam/multiplier", &mut to);
        to
    }

    fn load(&mut self, saved: &Tensors) -> Result<(), TensorError> {
        saved.check_word("algorithm", NAME)?;
        let mut adam = self.adam.clone();
        adam.load("adam/multiplier", saved)?;
        let raw = saved.get::<f32>("multiplier", &[1])?;
        self.clipped.load(saved)?;
        self.actor.load(saved)?;
        (self.raw, self.adam) = ([raw[0]], adam);
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
