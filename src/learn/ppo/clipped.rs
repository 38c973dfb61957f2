//! The passes of PPO over a rollout: minibatches in random order, up the clipped surrogate and down the losses of values.

use super::super::actor_critic::{Judged, Networks};
use super::super::head::Head;
use super::super::network::{Adam, Tape};
use super::super::rollout::Rollout;
use super::super::tensors::{TensorError, Tensors};
use super::settings::PpoSettings;
use crate::random::Rng;
use rand::Rng as _;

/// The stabiliser of Adam that PPO is commonly run with; the default of 1e-8 makes its first steps rougher.
const ADAM_EPS: f32 = 1e-5;

/// What is to be learnt from a rollout.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// `n_rows`.
    pub advantages: &'a [f64],
    /// Factor on the length of steps and on the clipping.
    pub part_left: f64,
}

/// What the passes came to, means over their minibatches.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    policy: f64,
    value: f64,
    cost_value: f64,
    entropy: f64,
    kl: f64,
    clipped: f64,
    n: f64,
}

impl Measured {
    /// With their names.
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("loss/policy", self.policy / self.n),
            ("loss/value", self.value / self.n),
            ("loss/cost_value", self.cost_value / self.n),
            ("entropy", self.entropy / self.n),
            ("kl", self.kl / self.n),
            ("clipped", self.clipped / self.n),
        ]
    }
}

/// Adam of each network, and workspaces.
pub struct Clipped {
    settings: PpoSettings,
    adams: Adams,
    tapes: [Tape; 2],
    gradients: [Vec<f32>; 4],
    rows: Vec<usize>,
    inputs: Vec<f32>,
    d_outputs: Vec<f32>,
    d_spreads: Vec<f64>,
    d_values: Vec<f32>,
}

/// In the order policy, spreads, value, value of costs.
#[derive(Debug, Clone)]
struct Adams([Adam; 4]);

const NAMES: [&str; 4] = ["adam/policy", "adam/spreads", "adam/value", "adam/cost_value"];

impl Clipped {
    /// For these networks.
    pub fn new(networks: &Networks, settings: &PpoSettings) -> Clipped {
        let n_cost = networks.cost_value.as_ref().map_or(0, |network| network.params().len());
        let sizes = [networks.policy.params().len(), networks.log_spreads.len(), networks.value.params().len(), n_cost];
        let adam = |n| {
            let mut adam = Adam::new(n, settings.lr as f32);
            adam.eps = ADAM_EPS;
            adam
        };
        Clipped {
            adams: Adams(sizes.map(adam)),
            tapes: [networks.policy.tape(settings.batch), networks.value.tape(settings.batch)],
            gradients: sizes.map(|n| vec![0.0; n]),
            rows: Vec::new(),
            inputs: Vec::new(),
            d_outputs: Vec::new(),
            d_spreads: vec![0.0; networks.log_spreads.len()],
            d_values: Vec::new(),
            settings: settings.clone(),
        }
    }

    /// Learns from a rollout; `values` is it as judged by rewards and by costs (empty without them).
    ///
    /// # Errors
    /// What is not finite; the networks are as before then.
    pub fn improve(
        &mut self,
        networks: &mut Networks,
        (head, rollout): (&Head, &Rollout),
        lesson: Lesson<'_>,
        values: [&Judged; 2],
        order: &mut Rng,
    ) -> Result<Measured, &'static str> {
        let before = (networks.clone(), self.adams.clone());
        let result = self.pass(networks, (head, rollout), lesson, values, order);
        let result = result.and_then(|m| if networks.is_finite() { Ok(m) } else { Err("a weight") });
        if result.is_err() {
            (*networks, self.adams) = before;
        }
        result
    }

    fn pass(
        &mut self,
        networks: &mut Networks,
        (head, rollout): (&Head, &Rollout),
        lesson: Lesson<'_>,
        values: [&Judged; 2],
        order: &mut Rng,
    ) -> Result<Measured, &'static str> {
        let mut measured = Measured::default();
        let n = rollout.n_rows();
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        rows.extend(0..n);
        'passes: for _ in 0..self.settings.epochs {
            for k in (1..n).rev() {
                rows.swap(k, order.random_range(0..=k));
            }
            for batch in rows.chunks(self.settings.batch) {
                let kl = self.policy_gradient(networks, (head, rollout), &lesson, batch, &mut measured)?;
                if self.settings.target_kl > 0.0 && kl > 1.5 * self.settings.target_kl {
                    break 'passes;
                }
                self.value_gradients(networks, values, batch, &mut measured)?;
                self.descend(networks, lesson.part_left)?;
                measured.n += 1.0;
            }
        }
        self.rows = rows;
        measured.n = measured.n.max(1.0);
        Ok(measured)
    }

    /// Gradient of the negative clipped surrogate and entropy over these rows; the divergence from the policy that drew them,
    /// as the mean of `r − 1 − ln r` over ratios r of probabilities, which is never negative and has little variance.
    fn policy_gradient(
        &mut self,
        networks: &Networks,
        (head, rollout): (&Head, &Rollout),
        lesson: &Lesson<'_>,
        rows: &[usize],
        measured: &mut Measured,
    ) -> Result<f64, &'static str> {
        let (n_in, n_out, n_drawn) = (networks.policy.n_in(), networks.policy.n_out(), head.n_drawn());
        self.inputs.clear();
        for row in rows {
            self.inputs.extend_from_slice(&rollout.inputs[row * n_in..(row + 1) * n_in]);
        }
        let outputs = networks.policy.forward(&self.inputs, &mut self.tapes[0]);
        self.d_outputs.clear();
        self.d_outputs.resize(outputs.len(), 0.0);
        self.d_spreads.fill(0.0);

        let (mean, inverse) = moments(lesson.advantages, rows);
        let clip = self.settings.clip * lesson.part_left;
        let share = 1.0 / rows.len() as f64;
        let (mut surrogate, mut entropy, mut kl, mut n_clipped) = (0.0, 0.0, 0.0, 0.0);
        for ((row, outputs), d_outputs) in
            rows.iter().zip(outputs.chunks_exact(n_out)).zip(self.d_outputs.chunks_exact_mut(n_out))
        {
            let drawn = &rollout.drawn[row * n_drawn..(row + 1) * n_drawn];
            let advantage = (lesson.advantages[*row] - mean) * inverse;
            let log_ratio = head.log_prob(outputs, &networks.log_spreads, drawn) - rollout.log_probs[*row];
            let (gain, d_log_prob) = clipped_gain(log_ratio, advantage, clip);
            surrogate += gain;
            let ratio = log_ratio.exp();
            kl += ratio - 1.0 - log_ratio;
            n_clipped += if (ratio - 1.0).abs() > clip { 1.0 } else { 0.0 };
            if d_log_prob != 0.0 {
                let at = (outputs, &networks.log_spreads[..], drawn);
                head.add_log_prob_gradient(at, -share * d_log_prob, d_outputs, &mut self.d_spreads);
            }
            entropy += head.entropy(outputs, &networks.log_spreads);
            if self.settings.entropy > 0.0 {
                let factor = -share * self.settings.entropy;
                head.add_entropy_gradient(outputs, factor, d_outputs, &mut self.d_spreads);
            }
        }
        let loss = -(surrogate + self.settings.entropy * entropy) * share;
        if !loss.is_finite() {
            return Err("the loss of the policy");
        }
        measured.policy += loss;
        measured.entropy += entropy * share;
        measured.kl += kl * share;
        measured.clipped += n_clipped * share;
        networks.policy.backward(&self.d_outputs, &mut self.tapes[0], &mut self.gradients[0], None);
        for (g, d) in self.gradients[1].iter_mut().zip(&self.d_spreads) {
            *g = *d as f32;
        }
        Ok(kl * share)
    }

    /// Gradients of the mean squared errors of values over the rows that stand in `inputs`.
    fn value_gradients(
        &mut self,
        networks: &Networks,
        values: [&Judged; 2],
        rows: &[usize],
        measured: &mut Measured,
    ) -> Result<(), &'static str> {
        let share = 1.0 / rows.len() as f64;
        let judges = [Some(&networks.value), networks.cost_value.as_ref()];
        for (k, judge) in judges.into_iter().enumerate() {
            let Some(judge) = judge else { continue };
            let Judged { targets, said, .. } = values[k];
            let outputs = judge.forward(&self.inputs, &mut self.tapes[1]);
            self.d_values.clear();
            let mut loss = 0.0;
            for (row, value) in rows.iter().zip(outputs) {
                let (error, slope) =
                    squared_error(f64::from(*value), targets[*row], said[*row], self.settings.value_clip);
                loss += error;
                self.d_values.push((self.settings.value_weight * slope * share) as f32);
            }
            if !loss.is_finite() {
                return Err("the loss of the values");
            }
            if k == 0 {
                measured.value += loss * share
            } else {
                measured.cost_value += loss * share
            }
            judge.backward(&self.d_values, &mut self.tapes[1], &mut self.gradients[2 + k], None);
        }
        Ok(())
    }

    /// A step of Adam along all gradients, which are cut together.
    fn descend(&mut self, networks: &mut Networks, part_left: f64) -> Result<(), &'static str> {
        let square: f64 = self.gradients.iter().flatten().map(|g| f64::from(*g) * f64::from(*g)).sum();
        let norm = square.sqrt();
        if !norm.is_finite() {
            return Err("a gradient");
        }
        if norm > self.settings.gradient_norm {
            let factor = (self.settings.gradient_norm / norm) as f32;
            self.gradients.iter_mut().flatten().for_each(|g| *g *= factor);
        }
        let mut nothing = [];
        let cost = networks.cost_value.as_mut().map_or(&mut nothing[..], |network| network.params_mut());
        let params = [networks.policy.params_mut(), &mut networks.log_spreads[..], networks.value.params_mut(), cost];
        for ((adam, params), gradient) in self.adams.0.iter_mut().zip(params).zip(&self.gradients) {
            adam.lr = (self.settings.lr * part_left) as f32;
            adam.step(params, gradient);
        }
        Ok(())
    }

    /// Puts the state of Adam.
    pub fn save(&self, to: &mut Tensors) {
        for (adam, name) in self.adams.0.iter().zip(NAMES) {
            adam.save(name, to);
        }
    }

    /// Goes back to what was put.
    ///
    /// # Errors
    /// Where it is of other networks.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        let mut adams = self.adams.clone();
        for (adam, name) in adams.0.iter_mut().zip(NAMES) {
            adam.load(name, from)?;
        }
        self.adams = adams;
        Ok(())
    }
}

/// Equation 7 for one action: min(r A, clip(r, 1 − ε, 1 + ε) A) with the ratio of probabilities r, and its derivative by the
/// logarithm of the new probability.
fn clipped_gain(log_ratio: f64, advantage: f64, clip: f64) -> (f64, f64) {
    let ratio = log_ratio.exp();
    let free = ratio * advantage;
    let held = ratio.clamp(1.0 - clip, 1.0 + clip) * advantage;
    if free <= held { (free, free) } else { (held, 0.0) }
}

/// Squared error of a value and its derivative; of the worse of the value and what is at most `clip` from what was said
/// before, where `clip` is not 0.
fn squared_error(value: f64, target: f64, said: f64, clip: f64) -> (f64, f64) {
    let error = value - target;
    if clip > 0.0 {
        let held = said + (value - said).clamp(-clip, clip) - target;
        if held * held > error * error {
            let is_inside = (value - said).abs() <= clip;
            return (held * held, if is_inside { 2.0 * held } else { 0.0 });
        }
    }
    (error * error, 2.0 * error)
}

/// Mean of the advantages of these rows and one over their standard deviation.
fn moments(advantages: &[f64], rows: &[usize]) -> (f64, f64) {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|row| advantages[*row]).sum::<f64>() / n;
    let squares: f64 = rows.iter().map(|row| (advantages[*row] - mean).powi(2)).sum();
    (mean, 1.0 / ((squares / (n - 1.0).max(1.0)).sqrt() + 1e-8))
}

#[cfg(test)]
mod tests;
