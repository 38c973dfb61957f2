//! What the outputs of a policy network mean: a distribution over actions, from which is drawn, and of which the logarithm of
//! the probability, the entropy and the divergence are known with their derivatives.
//!
//! A continuous action is normal with the network's outputs as means and spreads that do not depend on the observation; the
//! box of actions is −1 .. 1 to it, and what lies beyond is cut off by the environment's side alone. A discrete action is one
//! of the box's levels, with the outputs as logits. Everything here is in `f64` and about one row.

use super::learner::LearnError;
use super::tensors::{TensorError, Tensors};
use crate::decide::Space;
use crate::random::Rng;
use crate::random::draw;
use rand::Rng as _;

/// Most discrete actions.
const MOST_LEVELS: usize = 10_000;

/// ½ ln 2π.
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// Equal steps of each axis of a box: discrete actions for an environment whose actions are real.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    space: Space,
    n_per_axis: usize,
    n: usize,
}

impl Levels {
    /// `n_per_axis` values of each axis of `space`, from its lower to its upper end; two are the ends.
    ///
    /// # Errors
    /// Where the box is open, there are fewer than two values, or more than 10,000 actions.
    pub fn new(space: &Space, n_per_axis: usize) -> Result<Levels, LearnError> {
        if !space.is_bounded() {
            return Err(LearnError::Unsuited("an action without limits has no levels".to_string()));
        }
        if n_per_axis < 2 {
            return Err(LearnError::Unsuited(format!("levels = {n_per_axis}, and a choice needs at least 2")));
        }
        let n = u32::try_from(space.len()).ok().and_then(|axes| n_per_axis.checked_pow(axes));
        match n {
            Some(n) if n <= MOST_LEVELS => Ok(Levels { space: space.clone(), n_per_axis, n }),
            Some(_) | None => Err(LearnError::Unsuited(format!(
                "{n_per_axis} levels of each of {} actions are more than {MOST_LEVELS} choices",
                space.len()
            ))),
        }
    }

    /// How many actions there are to choose from.
    pub fn len(&self) -> usize {
        self.n
    }

    /// False: there is always something to choose from.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// `action: n_axes` = the `choice`-th; the first axis changes fastest.
    pub fn write(&self, choice: usize, action: &mut [f64]) {
        let mut rest = choice;
        for (axis, value) in action.iter_mut().enumerate() {
            let part = (rest % self.n_per_axis) as f64 / (self.n_per_axis - 1) as f64;
            rest /= self.n_per_axis;
            let (low, high) = (self.space.low[axis], self.space.high[axis]);
            *value = low + part * (high - low);
        }
    }
}

/// The kind of distribution.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// Normal numbers over the box, −1 .. 1 on each axis.
    Normal(Space),
    /// One of the levels.
    Choice(Levels),
}

impl Head {
    /// For actions of `space`: real ones where `levels` is 0, else so many of each axis.
    ///
    /// # Errors
    /// Where the box is open, or there are too many levels.
    pub fn new(space: &Space, levels: usize) -> Result<Head, LearnError> {
        if !space.is_bounded() {
            return Err(LearnError::Unsuited("actions need a lower and an upper limit".to_string()));
        }
        if levels == 0 { Ok(Head::Normal(space.clone())) } else { Ok(Head::Choice(Levels::new(space, levels)?)) }
    }

    /// The box of actions.
    pub fn space(&self) -> &Space {
        match self {
            Head::Normal(space) => space,
            Head::Choice(levels) => &levels.space,
        }
    }

    /// Puts it as `action/*`.
    pub fn save(&self, to: &mut Tensors) {
        let space = self.space();
        to.put("action/low", &[space.len()], &space.low);
        to.put("action/high", &[space.len()], &space.high);
        to.put_one("action/levels", self.n_levels() as u64);
    }

    /// The one that was put; axes have no names.
    ///
    /// # Errors
    /// Where there is none, or its limits and levels make no choice.
    pub fn read(from: &Tensors) -> Result<Head, TensorError> {
        let low = from.shaped::<f64>("action/low")?.0.to_vec();
        let high = from.get::<f64>("action/high", &[low.len()])?.to_vec();
        let levels = usize::try_from(from.get_one::<u64>("action/levels")?).unwrap_or(usize::MAX);
        let space = Space { names: vec![String::new(); low.len()], low, high };
        Head::new(&space, levels).map_err(|error| TensorError::Format(error.to_string()))
    }

    /// Checks that what was put is of the same actions.
    ///
    /// # Errors
    /// Where it is not.
    pub fn check(&self, from: &Tensors) -> Result<(), TensorError> {
        let (there, here) = (Head::read(from)?, self.space());
        let is_same =
            there.n_levels() == self.n_levels() && (&there.space().low, &there.space().high) == (&here.low, &here.high);
        if is_same {
            return Ok(());
        }
        Err(TensorError::Format("the actions of what was saved are not those of this task".to_string()))
    }

    /// Outputs that the network needs.
    pub fn n_outputs(&self) -> usize {
        match self {
            Head::Normal(space) => space.len(),
            Head::Choice(levels) => levels.len(),
        }
    }

    /// Values of each axis to choose from, 0 where actions are real.
    pub fn n_levels(&self) -> usize {
        match self {
            Head::Normal(_) => 0,
            Head::Choice(levels) => levels.n_per_axis,
        }
    }

    /// Logarithms of spreads beside the network.
    pub fn n_spreads(&self) -> usize {
        match self {
            Head::Normal(space) => space.len(),
            Head::Choice(_) => 0,
        }
    }

    /// Numbers that a draw is kept as: one for each axis, or the index of the choice.
    pub fn n_drawn(&self) -> usize {
        match self {
            Head::Normal(space) => space.len(),
            Head::Choice(_) => 1,
        }
    }

    /// Draws: `drawn: n_drawn` from the distribution of `outputs` and `log_spreads`, and the logarithm of its probability.
    pub fn draw(&self, outputs: &[f32], log_spreads: &[f32], rng: &mut Rng, drawn: &mut [f32]) -> f64 {
        match self {
            Head::Normal(_) => {
                for (axis, value) in drawn.iter_mut().enumerate() {
                    let mut noise = [0.0];
                    draw::normals(rng, f64::from(log_spreads[axis]).exp(), &mut noise);
                    *value = (f64::from(outputs[axis]) + noise[0]) as f32;
                }
            }
            Head::Choice(_) => {
                let total = log_sum_exp(outputs);
                let mut left: f64 = rng.random();
                let mut choice = outputs.len() - 1;
                for (k, z) in outputs.iter().enumerate() {
                    left -= (f64::from(*z) - total).exp();
                    if left < 0.0 {
                        choice = k;
                        break;
                    }
                }
                drawn[0] = choice as f32;
            }
        }
        self.log_prob(outputs, log_spreads, drawn)
    }

    /// `drawn` = what is most probable.
    pub fn most_probable(&self, outputs: &[f32], drawn: &mut [f32]) {
        match self {
            Head::Normal(_) => drawn.copy_from_slice(outputs),
            Head::Choice(_) => drawn[0] = largest(outputs) as f32,
        }
    }

    /// `action` = what `drawn` means to the environment, within the box.
    pub fn write_action(&self, drawn: &[f32], action: &mut [f64]) {
        match self {
            Head::Normal(space) => {
                for (axis, value) in action.iter_mut().enumerate() {
                    let (low, high) = (space.low[axis], space.high[axis]);
                    let part = 0.5 * (f64::from(drawn[axis]).clamp(-1.0, 1.0) + 1.0);
                    *value = (low + part * (high - low)).clamp(low, high);
                }
            }
            Head::Choice(levels) => levels.write(drawn[0] as usize, action),
        }
    }

    /// Logarithm of the probability, or its density, of `drawn`.
    pub fn log_prob(&self, outputs: &[f32], log_spreads: &[f32], drawn: &[f32]) -> f64 {
        match self {
            Head::Normal(_) => (0..outputs.len())
                .map(|axis| {
                    let log_spread = f64::from(log_spreads[axis]);
                    let z = (f64::from(drawn[axis]) - f64::from(outputs[axis])) * (-log_spread).exp();
                    -0.5 * z * z - log_spread - HALF_LOG_TAU
                })
                .sum(),
            Head::Choice(_) => f64::from(outputs[drawn[0] as usize]) - log_sum_exp(outputs),
        }
    }

    /// Adds `factor` times the derivatives of [`Head::log_prob`] by the outputs and the logarithms of the spreads.
    pub fn add_log_prob_gradient(
        &self,
        (outputs, log_spreads, drawn): (&[f32], &[f32], &[f32]),
        factor: f64,
        d_outputs: &mut [f32],
        d_log_spreads: &mut [f64],
    ) {
        match self {
            Head::Normal(_) => {
                for axis in 0..outputs.len() {
                    let inverse = (-f64::from(log_spreads[axis])).exp();
                    let z = (f64::from(drawn[axis]) - f64::from(outputs[axis])) * inverse;
                    d_outputs[axis] += (factor * z * inverse) as f32;
                    d_log_spreads[axis] += factor * (z * z - 1.0);
                }
            }
            Head::Choice(_) => {
                let total = log_sum_exp(outputs);
                for (d, z) in d_outputs.iter_mut().zip(outputs) {
                    *d -= (factor * (f64::from(*z) - total).exp()) as f32;
                }
                d_outputs[drawn[0] as usize] += factor as f32;
            }
        }
    }

    /// Entropy.
    pub fn entropy(&self, outputs: &[f32], log_spreads: &[f32]) -> f64 {
        match self {
            Head::Normal(_) => log_spreads.iter().map(|s| f64::from(*s) + HALF_LOG_TAU + 0.5).sum(),
            Head::Choice(_) => {
                let total = log_sum_exp(outputs);
                outputs.iter().map(|z| f64::from(*z) - total).map(|log_p| -log_p.exp() * log_p).sum()
            }
        }
    }

    /// Adds `factor` times the derivatives of [`Head::entropy`].
    pub fn add_entropy_gradient(&self, outputs: &[f32], factor: f64, d_outputs: &mut [f32], d_log_spreads: &mut [f64]) {
        match self {
            Head::Normal(_) => d_log_spreads.iter_mut().for_each(|d| *d += factor),
            Head::Choice(_) => {
                let entropy = self.entropy(outputs, &[]);
                let total = log_sum_exp(outputs);
                for (d, z) in d_outputs.iter_mut().zip(outputs) {
                    let log_p = f64::from(*z) - total;
                    *d -= (factor * log_p.exp() * (log_p + entropy)) as f32;
                }
            }
        }
    }

    /// Divergence of Kullback and Leibler of the distribution of `new` from that of `old`, each outputs and logarithms of
    /// spreads.
    pub fn divergence(&self, old: (&[f32], &[f32]), new: (&[f32], &[f32])) -> f64 {
        match self {
            Head::Normal(_) => (0..old.0.len())
                .map(|axis| {
                    let (old_log, new_log) = (f64::from(old.1[axis]), f64::from(new.1[axis]));
                    let apart = f64::from(old.0[axis]) - f64::from(new.0[axis]);
                    new_log - old_log + 0.5 * ((2.0 * old_log).exp() + apart * apart) * (-2.0 * new_log).exp() - 0.5
                })
                .sum(),
            Head::Choice(_) => {
                let (old_total, new_total) = (log_sum_exp(old.0), log_sum_exp(new.0));
                let terms = old.0.iter().zip(new.0).map(|(o, n)| {
                    let (log_old, log_new) = (f64::from(*o) - old_total, f64::from(*n) - new_total);
                    log_old.exp() * (log_old - log_new)
                });
                terms.sum()
            }
        }
    }

    /// In place: `d_outputs`, a change of the outputs, becomes the Fisher information of the outputs times it. That of the
    /// logarithm of a spread is 2, whatever the observation.
    pub fn apply_fisher(&self, outputs: &[f32], log_spreads: &[f32], d_outputs: &mut [f32]) {
        match self {
            Head::Normal(_) => {
                for (d, log_spread) in d_outputs.iter_mut().zip(log_spreads) {
                    *d = (f64::from(*d) * (-2.0 * f64::from(*log_spread)).exp()) as f32;
                }
            }
            Head::Choice(_) => {
                let total = log_sum_exp(outputs);
                let p = |z: &f32| (f64::from(*z) - total).exp();
                let mean: f64 = outputs.iter().zip(&*d_outputs).map(|(z, d)| p(z) * f64::from(*d)).sum();
                for (d, z) in d_outputs.iter_mut().zip(outputs) {
                    *d = (p(z) * (f64::from(*d) - mean)) as f32;
                }
            }
        }
    }
}

/// Index of the largest value, the first where several are.
pub fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (k, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = k;
        }
    }
    best
}

/// ln Σ exp, without overflow.
fn log_sum_exp(values: &[f32]) -> f64 {
    let most = values.iter().fold(f64::NEG_INFINITY, |most, v| most.max(f64::from(*v)));
    most + values.iter().map(|v| (f64::from(*v) - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests;
