//! Runs a learner to its budget: counts what is failed, evaluates apart from training, and stops where a study says so.
//!
//! Nothing here touches files or clocks: a [`Watch`] is told what happened and asked whether to go on. A checkpoint is
//! what the learner keeps of itself together with the [`Tally`]; going on from one gives the same records as never having
//! stopped.

use super::learner::{Episode, LearnError, Learner, Log};
use crate::hir::settings::{SettingKind, SettingSpec};
use crate::hir::stop::{Counts, Stop};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Environment steps of a training that says nothing of its length.
pub const STEPS: u64 = 50_000;

/// The settings of `budget { .. }` of a training.
pub const BUDGET: &[SettingSpec] = &[
    SettingSpec {
        name: "episodes",
        kind: SettingKind::Integer(1, 1_000_000_000),
        unit: "",
        default: "no limit",
        doc: "episodes of each training",
    },
    SettingSpec {
        name: "steps",
        kind: SettingKind::Integer(1, 1_000_000_000_000),
        unit: "",
        default: "50000 where no episodes are given, else no limit",
        doc: "environment steps of each training, those of all copies together",
    },
    SettingSpec {
        name: "envs",
        kind: SettingKind::Integer(1, 65_536),
        unit: "",
        default: "8 for ppo and ppo_lagrangian, else 1",
        doc: "copies of the plant that are acted on together",
    },
    SettingSpec {
        name: "seeds",
        kind: SettingKind::Integers,
        unit: "",
        default: "[1]",
        doc: "seeds: one training each",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, 1 << 53),
        unit: "",
        default: "1",
        doc: "the only seed, where there are no `seeds`",
    },
];

/// The settings of `evaluate { .. }` of a training.
pub const EVALUATE: &[SettingSpec] = &[
    SettingSpec {
        name: "episodes",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "20",
        doc: "how many episodes judge what was trained, apart from those that train it",
    },
    SettingSpec {
        name: "every",
        kind: SettingKind::Integer(0, 1_000_000_000),
        unit: "episodes",
        default: "0",
        doc: "episodes of training between two judgements on the way; 0 judges the end alone",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, 1 << 53),
        unit: "",
        default: "1000000",
        doc: "seed of the episodes that judge",
    },
    SettingSpec {
        name: "against",
        kind: SettingKind::Words,
        unit: "",
        default: "[]",
        doc: "what is compared: `mpc` is the study's controller, any other name an algorithm that is trained beside",
    },
];

/// The settings of `pretrain { .. }`, a part of an algorithm: training on the believed model first.
pub const PRETRAIN: &[SettingSpec] = &[
    SettingSpec {
        name: "steps",
        kind: SettingKind::Integer(1, 1_000_000_000_000),
        unit: "",
        default: "50000",
        doc: "environment steps on the believed model",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, 1 << 53),
        unit: "",
        default: "0",
        doc: "seed of the one pretraining that all trainings of the method begin from",
    },
];

/// How long is trained, and what ends it before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Episodes of training; `None` for no limit.
    pub episodes: Option<u64>,
    /// Environment steps of all copies; `None` for no limit.
    pub steps: Option<u64>,
    /// Rules of the study that end the training for safety; any of them.
    pub stops: Vec<Stop>,
    /// Episodes between evaluations; 0 for none.
    pub evaluate_every: u64,
}

/// Why training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// The budget is spent.
    Done,
    /// A rule of the study holds.
    Unsafe,
    /// It was asked to stop.
    Interrupted,
    /// Learning cannot go on; the policy is the one before.
    Broken(LearnError),
}

/// What happened until now. Kept in a checkpoint beside the learner.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Episodes that ended.
    pub n_episodes: u64,
    /// Environment steps of all copies.
    pub n_steps: u64,
    /// Episodes that ended as failures.
    pub n_failed: u64,
    /// Those among the first hundred.
    pub n_failed_early: u64,
    /// Episodes at which the policy was evaluated last.
    pub evaluated_at: u64,
    /// Sums and counts of what was measured since the last episode ended.
    pending: BTreeMap<String, (f64, u64)>,
}

impl Tally {
    /// As a study's rules see it; training knows of no constraints beside failures.
    pub fn counts(&self) -> Counts {
        Counts { episodes: self.n_episodes, failures: self.n_failed, steps: self.n_steps, violations: 0 }
    }
}

/// Episodes that a training which was asked to stop goes on for, where no occasion for a checkpoint comes before: copies
/// whose episodes never end together. The checkpoint before it stands.
const PATIENCE: u64 = 32;

/// The first episodes, whose failures are counted apart.
pub const EARLY: u64 = 100;

/// The numbers of an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The episode.
    pub episode: Episode,
    /// Failures until its end, its own among them.
    pub n_failed: u64,
    /// Means of what was measured since the record before, by name.
    pub measured: Vec<(String, f64)>,
}

impl Episode {
    /// Mean reward of a step; of a failed episode without the step that failed, which only says how failures are counted.
    pub fn reward_per_step(&self) -> f64 {
        match self.failed {
            true if self.length > 1 => (self.total - self.last_reward) / (self.length - 1) as f64,
            true | false => self.total / self.length.max(1) as f64,
        }
    }
}

/// What a [`Watch`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    GoOn,
    /// A checkpoint at the next occasion, and to go on.
    Keep,
    /// To stop at the next occasion.
    Stop,
}

/// Follows a training.
pub trait Watch {
    /// An episode ended.
    fn recorded(&mut self, record: &Record);

    /// The policy is to be judged: plays its evaluation episodes.
    ///
    /// # Errors
    /// Where one could not be played.
    fn evaluate(&mut self, learner: &dyn Learner, tally: &Tally) -> Result<(), LearnError>;

    /// What is wanted next; asked between units.
    fn wish(&mut self, tally: &Tally) -> Wish;

    /// Keeps a checkpoint.
    ///
    /// # Errors
    /// Where it could not be kept; training stops.
    fn keep(&mut self, learner: &dyn Learner, tally: &Tally) -> Result<(), String>;
}

/// Trains until the budget is spent, the study's rule stops it, `watch` wants it to stop, or learning cannot go on. Ends
/// with a checkpoint where there is an occasion for one; an interrupt waits for it.
///
/// # Errors
/// Where a checkpoint could not be kept, in one sentence without a full stop.
pub fn train(
    learner: &mut dyn Learner,
    limits: &Limits,
    tally: &mut Tally,
    watch: &mut dyn Watch,
) -> Result<Ending, String> {
    let (mut stops_before, mut is_keeping) = (None, false);
    loop {
        let is_between = learner.is_between();
        if limits.stops.iter().any(|stop| stop.holds(&tally.counts())) {
            return keep(learner, tally, watch, Ending::Unsafe);
        }
        if limits.evaluate_every > 0
            && tally.n_episodes / limits.evaluate_every > tally.evaluated_at / limits.evaluate_every
        {
            tally.evaluated_at = tally.n_episodes;
            if let Err(error) = watch.evaluate(learner, tally) {
                return keep(learner, tally, watch, Ending::Broken(error));
            }
        }
        let is_spent = |limit: Option<u64>, n: u64| limit.is_some_and(|limit| n >= limit);
        if is_spent(limits.episodes, tally.n_episodes) || is_spent(limits.steps, learner.n_steps()) {
            return keep(learner, tally, watch, Ending::Done);
        }
        match watch.wish(tally) {
            Wish::GoOn => {}
            Wish::Keep => is_keeping = true,
            Wish::Stop => stops_before = stops_before.or(Some(tally.n_episodes + PATIENCE)),
        }
        if stops_before.is_some_and(|end| is_between || tally.n_episodes >= end) {
            return keep(learner, tally, watch, Ending::Interrupted);
        }
        if is_between && is_keeping {
            watch.keep(learner, tally)?;
            is_keeping = false;
        }
        let mut scribe = Scribe { tally: &mut *tally, watch: &mut *watch };
        if let Err(error) = learner.advance(&mut scribe) {
            // The networks are those before the unit, and no better occasion will come.
            watch.keep(learner, tally)?;
            return Ok(Ending::Broken(error));
        }
        tally.n_steps = learner.n_steps();
    }
}

/// The last checkpoint stands where there is no occasion for another.
fn keep(learner: &dyn Learner, tally: &Tally, watch: &mut dyn Watch, ending: Ending) -> Result<Ending, String> {
    if learner.is_between() {
        watch.keep(learner, tally)?;
    }
    Ok(ending)
}

/// Turns what a learner tells into records.
struct Scribe<'a> {
    tally: &'a mut Tally,
    watch: &'a mut dyn Watch,
}

impl Log for Scribe<'_> {
    fn episode(&mut self, episode: &Episode) {
        let tally = &mut *self.tally;
        let failed = u64::from(episode.failed);
        tally.n_failed += failed;
        if tally.n_episodes < EARLY {
            tally.n_failed_early += failed;
        }
        tally.n_episodes += 1;
        tally.n_steps = episode.at_step;
        let pending = std::mem::take(&mut tally.pending);
        let measured = pending.into_iter().map(|(name, (sum, n))| (name, sum / n as f64)).collect();
        self.watch.recorded(&Record { episode: episode.clone(), n_failed: tally.n_failed, measured });
    }

    fn measured(&mut self, _: u64, values: &[(&'static str, f64)]) {
        for (name, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            let slot = match self.tally.pending.get_mut(*name) {
                Some(slot) => slot,
                None => self.tally.pending.entry((*name).to_string()).or_default(),
            };
            slot.0 += value;
            slot.1 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensors::{TensorError, Tensors};
    use super::*;
    use crate::decide::Policy;

    /// Tells of an episode of ten steps at a time; the fourth fails, and after `broken_at` it cannot go on.
    struct Told {
        n: u64,
        broken_at: u64,
        is_between: bool,
    }

    impl Learner for Told {
        fn advance(&mut self, log: &mut dyn Log) -> Result<(), LearnError> {
            if self.n == self.broken_at {
                return Err(LearnError::NotFinite { what: "the reward", at_step: 10 * self.n });
            }
            let failed = self.n == 3;
            log.measured(10 * self.n, &[("loss", self.n as f64), ("none", f64::NAN)]);
            log.measured(10 * self.n + 5, &[("loss", self.n as f64 + 1.0)]);
            let last_reward = if failed { -100.0 } else { -1.0 };
            log.episode(&Episode {
                index: self.n,
                at_step: 10 * (self.n + 1),
                length: 10,
                total: -9.0 + last_reward,
                last_reward,
                failed,
                truncated: !failed,
            });
            self.n += 1;
            Ok(())
        }

        fn n_steps(&self) -> u64 {
            10 * self.n
        }

        fn n_episodes(&self) -> u64 {
            self.n
        }

        fn is_between(&self) -> bool {
            self.is_between
        }

        fn save(&self) -> Tensors {
            Tensors::default()
        }

        fn load(&mut self, _: &Tensors) -> Result<(), TensorError> {
            Ok(())
        }

        fn policy(&self) -> Box<dyn Policy> {
            struct Still;
            impl Policy for Still {
                fn act(&mut self, _: &[f64], action: &mut [f64]) {
                    action.fill(0.0);
                }
            }
            Box::new(Still)
        }

        fn save_policy(&self) -> Tensors {
            Tensors::default()
        }
    }

    struct Seen {
        records: Vec<Record>,
        evaluated: Vec<u64>,
        kept: Vec<u64>,
        wishes: fn(u64) -> Option<Wish>,
    }

    impl Watch for Seen {
        fn recorded(&mut self, record: &Record) {
            self.records.push(record.clone());
        }

        fn evaluate(&mut self, _: &dyn Learner, tally: &Tally) -> Result<(), LearnError> {
            self.evaluated.push(tally.n_episodes);
            Ok(())
        }

        fn wish(&mut self, tally: &Tally) -> Wish {
            (self.wishes)(tally.n_episodes).unwrap_or(Wish::GoOn)
        }

        fn keep(&mut self, _: &dyn Learner, tally: &Tally) -> Result<(), String> {
            self.kept.push(tally.n_episodes);
            Ok(())
        }
    }

    fn run(limits: &Limits, learner: &mut Told, wishes: fn(u64) -> Option<Wish>) -> (Ending, Tally, Seen) {
        let (mut tally, mut seen) =
            (Tally::default(), Seen { records: Vec::new(), evaluated: Vec::new(), kept: Vec::new(), wishes });
        let ending = train(learner, limits, &mut tally, &mut seen).expect("kept");
        (ending, tally, seen)
    }

    fn told() -> Told {
        Told { n: 0, broken_at: u64::MAX, is_between: true }
    }

    #[test]
    fn counts_failures_apart_and_leaves_the_failing_step_out_of_the_mean() {
        let limits = Limits { steps: Some(55), evaluate_every: 2, ..Limits::default() };
        let (ending, tally, seen) = run(&limits, &mut told(), |_| None);
        assert_eq!((ending, tally.n_episodes, tally.n_failed, tally.n_steps), (Ending::Done, 6, 1, 60));
        assert_eq!((seen.evaluated, seen.kept), (vec![2, 4, 6], vec![6]));
        let failed = &seen.records[3];
        assert_eq!((failed.n_failed, failed.episode.reward_per_step()), (1, -1.0));
        assert_eq!(seen.records[2].episode.reward_per_step(), -1.0);
        assert_eq!(failed.measured, [("loss".to_string(), 3.5)]);
    }

    #[test]
    fn ends_with_a_checkpoint_however_it_ends() {
        let limits = Limits { episodes: Some(50), ..Limits::default() };
        let stop_at_two = |n: u64| (n == 2).then_some(Wish::Stop);
        let (ending, _, seen) = run(&limits, &mut told(), stop_at_two);
        assert_eq!((ending, seen.kept), (Ending::Interrupted, vec![2]));
        let (ending, _, seen) = run(&limits, &mut Told { broken_at: 4, ..told() }, |n| (n == 1).then_some(Wish::Keep));
        assert_eq!(ending, Ending::Broken(LearnError::NotFinite { what: "the reward", at_step: 40 }));
        assert_eq!(seen.kept, [1, 4]);
        // Where no occasion comes it ends all the same, and the checkpoint of before stands.
        let (ending, tally, seen) = run(&limits, &mut Told { is_between: false, ..told() }, stop_at_two);
        assert_eq!((ending, tally.n_episodes, seen.kept), (Ending::Interrupted, 2 + PATIENCE, Vec::new()));
    }
}
