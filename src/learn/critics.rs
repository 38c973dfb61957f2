//! Two critics that learn what an action in a situation is worth, and two that follow them slowly.
//!
//! The lesser of two independent estimates keeps errors from feeding on themselves: S. Fujimoto, H. van Hoof and D. Meger,
//! Addressing function approximation error in actor-critic methods, ICML 2018, section 4.2. Targets follow as in T. P.
//! Lillicrap et al., Continuous control with deep reinforcement learning, ICLR 2016, equation 7.

use super::network::{Activation, Adam, Init, Mlp, Tape, follow, is_steppable};
use super::tensors::{TensorError, Tensors};
use crate::random::Rng;

/// A critic with its target and what its updates need.
#[derive(Debug, Clone)]
struct Critic {
    net: Mlp,
    target: Mlp,
    adam: Adam,
    tape: Tape,
    gradient: Vec<f32>,
}

/// Two critics of observations and actions, with their targets.
#[derive(Debug, Clone)]
pub struct Critics {
    each: [Critic; 2],
    n_observations: usize,
    n_actions: usize,
    /// `batch × (n_observations + n_actions)`.
    input: Vec<f32>,
    /// Per critic `batch`.
    values: [Vec<f32>; 2],
    /// `batch`: derivatives by the values.
    deltas: Vec<f32>,
    /// Rows in which a critic is the lesser one.
    lesser: Vec<usize>,
    /// `batch × (n_observations + n_actions)`.
    slopes: Vec<f32>,
}

/// What an update of the critics saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CriticLoss {
    /// Sum over both critics of their mean squared errors.
    pub loss: f64,
    /// Mean value by the first critic.
    pub value: f64,
    /// False where the loss or a gradient was not finite, and nothing was changed.
    pub is_finite: bool,
}

impl Critics {
    /// Two critics with these hidden layers, drawn one after the other, and targets equal to them.
    pub fn new(n_observations: usize, n_actions: usize, hidden: &[usize], lr: f32, rng: &mut Rng) -> Critics {
        let mut sizes = vec![n_observations + n_actions];
        sizes.extend(hidden);
        sizes.push(1);
        let mut critic = || {
            let net = Mlp::new(&sizes, Activation::Relu, Init::Torch, rng);
            let n = net.params().len();
            Critic { target: net.clone(), adam: Adam::new(n, lr), tape: net.tape(1), gradient: vec![0.0; n], net }
        };
        let each = [critic(), critic()];
        Critics {
            each,
            n_observations,
            n_actions,
            input: Vec::new(),
            values: [Vec::new(), Vec::new()],
            deltas: Vec::new(),
            lesser: Vec::new(),
            slopes: Vec::new(),
        }
    }

    /// Puts observations and actions side by side.
    fn join(&mut self, observations: &[f32], actions: &[f32]) {
        self.input.clear();
        let rows = observations.chunks_exact(self.n_observations).zip(actions.chunks_exact(self.n_actions));
        for (observation, action) in rows {
            self.input.extend_from_slice(observation);
            self.input.extend_from_slice(action);
        }
    }

    /// `least: batch` = the lesser of the two targets' values.
    pub fn least_of_targets(&mut self, observations: &[f32], actions: &[f32], least: &mut [f32]) {
        self.join(observations, actions);
        let [first, second] = &mut self.each;
        least.copy_from_slice(first.target.forward(&self.input, &mut first.tape));
        for (least, value) in least.iter_mut().zip(second.target.forward(&self.input, &mut second.tape)) {
            *least = lesser(*least, *value);
        }
    }

    /// One step of both critics towards `goals: batch` for what was done in `observations`. With `rate`, their targets
    /// follow by that fraction. Nothing changes where something is not finite.
    pub fn update(&mut self, observations: &[f32], actions: &[f32], goals: &[f32], rate: Option<f32>) -> CriticLoss {
        self.join(observations, actions);
        let scale = 2.0 / goals.len() as f32;
        let mut told = CriticLoss { loss: 0.0, value: 0.0, is_finite: true };
        for (k, critic) in self.each.iter_mut().enumerate() {
            let values = critic.net.forward(&self.input, &mut critic.tape);
            self.deltas.clear();
            self.deltas.extend(values.iter().zip(goals).map(|(value, goal)| value - goal));
            told.loss += self.deltas.iter().map(|d| f64::from(*d) * f64::from(*d)).sum::<f64>() / goals.len() as f64;
            if k == 0 {
                told.value = values.iter().map(|v| f64::from(*v)).sum::<f64>() / goals.len() as f64;
            }
            self.deltas.iter_mut().for_each(|d| *d *= scale);
            critic.net.backward(&self.deltas, &mut critic.tape, &mut critic.gradient, None);
            told.is_finite &= is_steppable(&critic.gradient);
        }
        told.is_finite &= told.loss.is_finite();
        if told.is_finite {
            for Critic { net, target, adam, gradient, .. } in &mut self.each {
                match rate {
                    Some(rate) => adam.step_followed(net.params_mut(), gradient, target.params_mut(), rate),
                    None => adam.step(net.params_mut(), gradient),
                }
            }
        }
        told
    }

    /// The targets go the fraction `rate` of the way to the critics.
    pub fn follow(&mut self, rate: f32) {
        for critic in &mut self.each {
            follow(critic.net.params(), critic.target.params_mut(), rate);
        }
    }

    /// The mean over rows of the lesser of the two values, and `d_actions: batch × n_actions`, its derivatives by every
    /// action times the number of rows.
    pub fn least(&mut self, observations: &[f32], actions: &[f32], d_actions: &mut [f32]) -> f64 {
        self.join(observations, actions);
        let n = observations.len() / self.n_observations;
        for (critic, values) in self.each.iter_mut().zip(&mut self.values) {
            values.clear();
            values.extend_from_slice(critic.net.forward(&self.input, &mut critic.tape));
        }
        let width = self.n_observations + self.n_actions;
        let mut sum = 0.0;
        for k in 0..2 {
            // Only rows in which this critic is the lesser one have slopes.
            self.lesser.clear();
            for row in 0..n {
                let (first, second) = (self.values[0][row], self.values[1][row]);
                // The first is the lesser one of equals; what is not a number goes into the sum.
                if usize::from(second < first) == k {
                    self.lesser.push(row);
                    sum += f64::from(lesser(first, second));
                }
            }
            let critic = &mut self.each[k];
            self.deltas.clear();
            self.deltas.resize(self.lesser.len(), 1.0);
            self.slopes.resize(self.lesser.len() * width, 0.0);
            critic.net.backward_rows(&self.lesser, &self.deltas, &mut critic.tape, &mut self.slopes);
            for (row, slopes) in self.lesser.iter().zip(self.slopes.chunks_exact(width)) {
                d_actions[row * self.n_actions..(row + 1) * self.n_actions]
                    .copy_from_slice(&slopes[self.n_observations..]);
            }
        }
        sum / n as f64
    }

    /// The mean over rows of the first critic's values, and `d_actions: batch × n_actions`, its derivatives by every action
    /// times the number of rows.
    pub fn first(&mut self, observations: &[f32], actions: &[f32], d_actions: &mut [f32]) -> f64 {
        self.join(observations, actions);
        let n = observations.len() / self.n_observations;
        let critic = &mut self.each[0];
        let values = critic.net.forward(&self.input, &mut critic.tape);
        let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
        self.deltas.clear();
        self.deltas.resize(n, 1.0);
        let width = self.n_observations + self.n_actions;
        self.slopes.resize(n * width, 0.0);
        critic.net.backward_input(&self.deltas, &mut critic.tape, &mut self.slopes);
        for (d, slopes) in d_actions.chunks_exact_mut(self.n_actions).zip(self.slopes.chunks_exact(width)) {
            d.copy_from_slice(&slopes[self.n_observations..]);
        }
        sum / n as f64
    }

    /// Writes critics and targets; with `adam`, also the state of their steps.
    pub fn save(&self, adam: bool, to: &mut Tensors) {
        for (k, critic) in self.each.iter().enumerate() {
            critic.net.save(&format!("critic/{k}"), to);
            critic.target.save(&format!("target/{k}"), to);
            if adam {
                critic.adam.save(&format!("adam/critic/{k}"), to);
            }
        }
    }

    /// Reads what [`Critics::save`] wrote; with `adam`, also the state of their steps.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape.
    pub fn load(&mut self, adam: bool, from: &Tensors) -> Result<(), TensorError> {
        let mut each = self.each.clone();
        for (k, critic) in each.iter_mut().enumerate() {
            critic.net.load(&format!("critic/{k}"), from)?;
            critic.target.load(&format!("target/{k}"), from)?;
            if adam {
                critic.adam.load(&format!("adam/critic/{k}"), from)?;
            }
        }
        self.each = each;
        Ok(())
    }
}

/// The lesser of two; not a number where one is not.
fn lesser(a: f32, b: f32) -> f32 {
    if b < a || b.is_nan() { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::draw::normals;
    use crate::random::stream;

    fn numbers(seed: u64, n: usize) -> Vec<f32> {
        let mut list = vec![0.0; n];
        normals(&mut stream(seed, 9), 1.0, &mut list);
        list.iter().map(|v| *v as f32).collect()
    }

    #[test]
    fn slopes_are_those_of_the_lesser_critic() {
        let (n, n_o, n_a) = (40, 3, 2);
        let mut critics = Critics::new(n_o, n_a, &[16, 16], 0.0, &mut stream(1, 0));
        let (observations, actions) = (numbers(1, n * n_o), numbers(2, n * n_a));
        let mut d_actions = vec![9.0; n * n_a];
        let mean = critics.least(&observations, &actions, &mut d_actions);
        let (mut sum, mut counts) = (0.0, [0, 0]);
        for row in 0..n {
            let input = [&observations[row * n_o..][..n_o], &actions[row * n_a..][..n_a]].concat();
            let values: Vec<f32> = critics.each.iter().map(|c| c.net.forward(&input, &mut c.net.tape(1))[0]).collect();
            let k = usize::from(values[1] < values[0]);
            (sum, counts[k]) = (sum + f64::from(values[k]), counts[k] + 1);
            let net = &critics.each[k].net;
            let (mut tape, mut slopes) = (net.tape(1), vec![0.0; n_o + n_a]);
            net.forward(&input, &mut tape);
            net.backward_input(&[1.0], &mut tape, &mut slopes);
            for (ours, exact) in d_actions[row * n_a..][..n_a].iter().zip(&slopes[n_o..]) {
                assert!((ours - exact).abs() < 1e-5, "{row}: {ours} {exact}");
            }
        }
        assert!((mean - sum / n as f64).abs() < 1e-5);
        assert!(counts.iter().all(|c| *c > 0), "{counts:?}: each is the lesser one somewhere");
        let mut targets = vec![0.0; n];
        critics.least_of_targets(&observations, &actions, &mut targets);
        let of_targets = targets.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        assert!((of_targets - mean).abs() < 1e-6, "targets begin as the critics");
    }

    #[test]
    fn critics_learn_their_goals_and_targets_follow() {
        let n = 64;
        let mut critics = Critics::new(1, 1, &[32, 32], 3e-3, &mut stream(1, 0));
        let (observations, actions) = (numbers(1, n), numbers(2, n));
        let goals: Vec<f32> = observations.iter().zip(&actions).map(|(o, a)| o * a + 0.5).collect();
        let first = critics.update(&observations, &actions, &goals, Some(0.01));
        for _ in 0..600 {
            critics.update(&observations, &actions, &goals, Some(0.01));
        }
        let last = critics.update(&observations, &actions, &goals, Some(0.01));
        assert!(last.loss < 0.01 * first.loss, "{first:?} {last:?}");
        let mut targets = vec![0.0; n];
        critics.least_of_targets(&observations, &actions, &mut targets);
        let worst = targets.iter().zip(&goals).fold(0.0f32, |worst, (t, g)| worst.max((t - g).abs()));
        assert!(worst < 0.3, "{worst}");
        let before = critics.each[0].net.clone();
        assert!(!critics.update(&observations, &actions, &vec![f32::NAN; n], Some(0.01)).is_finite);
        assert_eq!(critics.each[0].net, before, "nothing changes where a goal is not a number");
    }
}
