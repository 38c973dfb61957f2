//! Whole episodes of a policy that no longer learns: how a result is judged, and what is drawn of it.

use super::learner::{Episode, LearnError};
use crate::decide::{Advised, Environments, Policy, Step};
use crate::random::stream;
use serde::{Deserialize, Serialize};

/// Steps of an episode that are kept to be drawn, at most.
pub const MOST_STEPS: usize = 20_000;

/// What a policy is played on, one copy at a time.
pub enum Ground<'a> {
    /// The policy sees what is observed.
    Plain(&'a mut dyn Environments),
    /// The policy sees what is observed, and behind it what the controller advises.
    Advised(&'a mut dyn Advised),
}

/// The course of an episode, step by step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Course {
    /// `(n_steps + 1) × n_observations`, row major.
    #[serde(with = "gaps")]
    pub observations: Vec<f64>,
    /// `n_steps × n_actions`
    #[serde(with = "gaps")]
    pub actions: Vec<f64>,
    /// `n_steps × n_actions`: what the controller advised; empty without one.
    #[serde(with = "gaps")]
    pub advice: Vec<f64>,
    /// `n_steps`
    #[serde(with = "gaps")]
    pub rewards: Vec<f64>,
}

/// Numbers of which some may not be finite, as JSON: those are `null`, and NaN when they are read.
mod gaps {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(list: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        list.iter().map(|v| v.is_finite().then_some(*v)).collect::<Vec<Option<f64>>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let list = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

/// An episode that was played.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// Its numbers.
    pub episode: Episode,
    /// Its course, cut off after [`MOST_STEPS`].
    pub course: Course,
}

impl Ground<'_> {
    fn environments(&mut self) -> &mut dyn Environments {
        match self {
            Ground::Plain(environments) => &mut **environments,
            Ground::Advised(environments) => &mut **environments,
        }
    }
}

/// Plays `n_episodes` with the first copy of `ground`; the others wait. Episode `k` draws from the stream `k` of `seed`.
///
/// # Errors
/// Where an episode could not begin, or a reward is not finite.
pub fn play(
    ground: &mut Ground<'_>,
    policy: &mut dyn Policy,
    seed: u64,
    n_episodes: u64,
) -> Result<Vec<Played>, LearnError> {
    let (n_copies, n_observed, n_acted) = {
        let environments = ground.environments();
        (environments.n_copies(), environments.observation_space().len(), environments.action_space().len())
    };
    let n_advised = match ground {
        Ground::Plain(_) => 0,
        Ground::Advised(_) => n_acted,
    };
    let mut observations = vec![0.0; n_copies * n_observed];
    let mut actions = vec![0.0; n_copies * n_acted];
    let mut advice = vec![0.0; n_copies * n_advised];
    let mut seen = vec![0.0; n_observed + n_advised];
    let nothing = Step { reward: 0.0, terminated: false, truncated: false, failed: false };
    let mut steps = vec![nothing; n_copies];
    let mut at_step = 0;
    let mut played = Vec::new();
    for index in 0..n_episodes {
        let first = &mut observations[..n_observed];
        let begun = ground.environments().reset(0, &mut stream(seed, index), first);
        begun.map_err(|reason| LearnError::Reset { episode: index, reason })?;
        let mut course = Course { observations: first.to_vec(), ..Course::default() };
        let mut episode =
            Episode { index, at_step, length: 0, total: 0.0, last_reward: 0.0, failed: false, truncated: false };
        loop {
            seen[..n_observed].copy_from_slice(&observations[..n_observed]);
            if let Ground::Advised(environments) = ground {
                environments.advise(&mut advice);
                seen[n_observed..].copy_from_slice(&advice[..n_advised]);
            }
            policy.act(&seen, &mut actions[..n_acted]);
            ground.environments().step(&actions, &mut observations, &mut steps);
            let step = steps[0];
            at_step += 1;
            if !step.reward.is_finite() {
                return Err(LearnError::NotFinite { what: "the reward", at_step });
            }
            episode.length += 1;
            episode.total += step.reward;
            episode.last_reward = step.reward;
            if course.rewards.len() < MOST_STEPS {
                course.observations.extend(&observations[..n_observed]);
                course.actions.extend(&actions[..n_acted]);
                course.advice.extend(&advice[..n_advised]);
                course.rewards.push(step.reward);
            }
            if step.terminated || step.truncated {
                (episode.failed, episode.truncated, episode.at_step) = (step.failed, step.truncated, at_step);
                break;
            }
        }
        played.push(Played { episode, course });
    }
    Ok(played)
}
