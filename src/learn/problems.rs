//! Small environments with known answers, for tests.

use rand::Rng as _;

use super::learner::{Episode, LearnError, Learner, Log};
use crate::decide::{Advised, Environments, Space, Step};
use crate::random::Rng;

/// A box with these ends.
pub fn space(low: &[f64], high: &[f64]) -> Space {
    Space { names: (0..low.len()).map(|k| format!("x{k}")).collect(), low: low.to_vec(), high: high.to_vec() }
}

/// What one step of a [`Problem`] does: from the state and the action, the reward, and whether it ended; the state is
/// changed in place.
pub type Dynamics = fn(&mut [f64], &[f64]) -> (f64, bool);

/// One copy of an environment made of functions.
pub struct Problem {
    /// What is observed.
    pub observations: Space,
    /// What is done.
    pub actions: Space,
    /// Draws a start.
    pub start: fn(&mut Rng, &mut [f64]),
    /// A step.
    pub dynamics: Dynamics,
    /// What is observed of a state.
    pub observe: fn(&[f64], &mut [f64]),
    /// What a controller would do.
    pub advice: fn(&[f64], &mut [f64]),
    /// Steps of an episode.
    pub n_steps: u32,
    /// The state.
    pub state: Vec<f64>,
    /// Steps of this episode so far.
    pub step: u32,
}

impl Environments for Problem {
    fn n_copies(&self) -> usize {
        1
    }

    fn observation_space(&self) -> &Space {
        &self.observations
    }

    fn action_space(&self) -> &Space {
        &self.actions
    }

    fn reset(&mut self, _copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        (self.start)(rng, &mut self.state);
        self.step = 0;
        (self.observe)(&self.state, observation);
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let (reward, failed) = (self.dynamics)(&mut self.state, actions);
        self.step += 1;
        (self.observe)(&self.state, observations);
        steps[0] = Step { reward, terminated: failed, truncated: self.step >= self.n_steps, failed };
    }

    fn reason(&self, _copy: usize) -> &str {
        ""
    }

    fn save(&self) -> Vec<u8> {
        let mut bytes = self.step.to_le_bytes().to_vec();
        self.state.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
        bytes
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let wrong = || "not of this problem".to_string();
        let (step, rest) = saved.split_first_chunk::<4>().ok_or_else(wrong)?;
        let state = rest.as_chunks::<8>().0;
        self.step = u32::from_le_bytes(*step);
        self.state = state.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        Ok(())
    }
}

impl Advised for Problem {
    fn advise(&mut self, advice: &mut [f64]) {
        (self.advice)(&self.state, advice);
    }
}

/// Problems that are acted on together.
pub struct Several(pub Vec<Problem>);

impl Environments for Several {
    fn n_copies(&self) -> usize {
        self.0.len()
    }

    fn observation_space(&self) -> &Space {
        &self.0[0].observations
    }

    fn action_space(&self) -> &Space {
        &self.0[0].actions
    }

    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        self.0[copy].reset(0, rng, observation)
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let (n_o, n_a) = (self.0[0].observations.len(), self.0[0].actions.len());
        for (k, problem) in self.0.iter_mut().enumerate() {
            let observation = &mut observations[k * n_o..(k + 1) * n_o];
            problem.step(&actions[k * n_a..(k + 1) * n_a], observation, &mut steps[k..=k]);
        }
    }

    fn reason(&self, _copy: usize) -> &str {
        ""
    }

    fn save(&self) -> Vec<u8> {
        self.0.iter().flat_map(Problem::save).collect()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let n = saved.len() / self.0.len();
        self.0.iter_mut().zip(saved.chunks_exact(n)).try_for_each(|(problem, saved)| problem.restore(saved))
    }
}

/// One step: the reward is −(a − (0.3 + 0.4 o))² with o uniform in ±1, so the best action is 0.3 + 0.4 o.
pub fn bandit() -> Problem {
    Problem {
        observations: space(&[-1.0], &[1.0]),
        actions: space(&[-2.0], &[2.0]),
        start: |rng, state| state[0] = rng.random_range(-1.0..1.0),
        dynamics: |state, action| (-(action[0] - 0.3 - 0.4 * state[0]).powi(2), true),
        observe: |state, observation| observation.copy_from_slice(state),
        advice: |_, advice| advice[0] = 0.3,
        n_steps: 1,
        state: vec![0.0],
        step: 0,
    }
}

/// x' = 0.9 x + a with reward −x² − a²/2: linear, quadratic; see [`gain`].
pub fn linear() -> Problem {
    Problem {
        observations: space(&[-2.0], &[2.0]),
        actions: space(&[-2.0], &[2.0]),
        start: |rng, state| state[0] = rng.random_range(-2.0..2.0),
        dynamics: |state, action| {
            let reward = -state[0] * state[0] - 0.5 * action[0] * action[0];
            state[0] = 0.9 * state[0] + action[0];
            (reward, false)
        },
        observe: |state, observation| observation.copy_from_slice(state),
        advice: |state, advice| advice[0] = -0.2 * state[0],
        n_steps: 20,
        state: vec![0.0],
        step: 0,
    }
}

/// K of the best a = −K x of [`linear`] under a discount: the scalar Riccati equation, by its fixed point.
pub fn gain(gamma: f64) -> f64 {
    let (a, b, q, r) = (0.9, 1.0, 1.0, 0.5);
    let mut p = q;
    for _ in 0..1000 {
        p = q + gamma * a * a * p - (gamma * a * b * p).powi(2) / (r + gamma * b * b * p);
    }
    gamma * a * b * p / (r + gamma * b * b * p)
}

/// Keeps what was told.
#[derive(Default)]
pub struct Told {
    /// Episodes.
    pub episodes: Vec<Episode>,
    /// Names and values of what was measured.
    pub measured: Vec<(u64, Vec<(&'static str, f64)>)>,
}

impl Log for Told {
    fn episode(&mut self, episode: &Episode) {
        self.episodes.push(episode.clone());
    }

    fn measured(&mut self, at_step: u64, values: &[(&'static str, f64)]) {
        self.measured.push((at_step, values.to_vec()));
    }
}

/// Goes on by so many units.
pub fn advance(learner: &mut dyn Learner, n: usize, log: &mut Told) -> Result<(), LearnError> {
    (0..n).try_for_each(|_| learner.advance(log))
}
