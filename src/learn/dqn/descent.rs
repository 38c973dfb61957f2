//! What DQN learns: the values of choices, against a copy of the network that is renewed now and then.

use super::super::head::largest;
use super::super::network::{Adam, Mlp, Tape, clip_norm};
use super::memory::Memory;
use super::settings::DqnSettings;
use crate::random::Rng;
use rand::Rng as _;

/// Minibatches whose targets are computed at once: the target does not change during a training, and products of more rows
/// are faster. Chosen by benchmark, see benches/learning.rs.
const TARGETS_AT_ONCE: usize = 8;

/// The network, its target, and how it moves.
#[derive(Debug, Clone)]
pub struct Values {
    /// Inputs to what each choice is worth: values, or advantages followed by what they are of.
    pub network: Mlp,
    /// A copy of it as it was.
    pub target: Mlp,
    /// Its steps.
    pub adam: Adam,
    n_choices: usize,
}

/// Workspaces of a training.
#[derive(Debug, Clone)]
pub struct Workspace {
    learning: Tape,
    judging: Tape,
    rows: Vec<usize>,
    inputs: Vec<f32>,
    later: Vec<f32>,
    worth: Vec<f32>,
    d_outputs: Vec<f32>,
    gradient: Vec<f32>,
}

/// What the gradient steps of a training came to, means.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Loss.
    pub loss: f64,
    /// Value of what was chosen.
    pub value: f64,
}

impl Values {
    /// Of this network, whose target it is too.
    pub fn new(network: Mlp, n_choices: usize, lr: f64) -> Values {
        let adam = Adam::new(network.params().len(), lr as f32);
        Values { target: network.clone(), network, adam, n_choices }
    }

    /// Workspaces for trainings with these settings.
    pub fn workspace(&self, settings: &DqnSettings) -> Workspace {
        Workspace {
            learning: self.network.tape(settings.batch),
            judging: self.network.tape(settings.batch * TARGETS_AT_ONCE.min(settings.gradient_steps)),
            rows: Vec::new(),
            inputs: Vec::new(),
            later: Vec::new(),
            worth: Vec::new(),
            d_outputs: Vec::new(),
            gradient: vec![0.0; self.network.params().len()],
        }
    }

    /// Renews the target.
    pub fn renew(&mut self) {
        self.target.params_mut().copy_from_slice(self.network.params());
    }

    /// The gradient steps of a training, on steps drawn from the memory.
    ///
    /// # Errors
    /// What is not finite; the network is as before then.
    pub fn train(
        &mut self,
        settings: &DqnSettings,
        memory: &Memory,
        rng: &mut Rng,
        work: &mut Workspace,
    ) -> Result<Measured, &'static str> {
        // One step looks at its gradient before it is made, so that nothing is to be put back.
        let before = (settings.gradient_steps > 1).then(|| (self.network.clone(), self.adam.clone()));
        work.rows.clear();
        work.rows.extend((0..settings.gradient_steps * settings.batch).map(|_| rng.random_range(0..memory.len())));
        let result = self.descend(settings, memory, work);
        if let (Err(_), Some((network, adam))) = (result, before) {
            (self.network, self.adam) = (network, adam);
        }
        result
    }

    fn descend(
        &mut self,
        settings: &DqnSettings,
        memory: &Memory,
        work: &mut Workspace,
    ) -> Result<Measured, &'static str> {
        let (batch, n, n_out, n_in) = (settings.batch, self.n_choices, self.network.n_out(), self.network.n_in());
        let mut measured = Measured::default();
        for group in work.rows.chunks(batch * TARGETS_AT_ONCE) {
            gather(group, |at| memory.later_input(at), &mut work.later);
            let judged = self.target.forward(&work.later, &mut work.judging);
            let parts = judged.chunks(batch * n_out).zip(work.later.chunks(batch * n_in));
            for (rows, (judged, later)) in group.chunks(batch).zip(parts) {
                work.worth.clear();
                if settings.double {
                    let chosen = self.network.forward(later, &mut work.learning).chunks_exact(n_out);
                    let pairs = judged.chunks_exact(n_out).zip(chosen);
                    work.worth.extend(pairs.map(|(q, chosen)| value_of(q, n, largest(&chosen[..n]))));
                } else {
                    work.worth.extend(judged.chunks_exact(n_out).map(|q| value_of(q, n, largest(&q[..n]))));
                }
                gather(rows, |at| memory.input(at), &mut work.inputs);
                let outputs = self.network.forward(&work.inputs, &mut work.learning);
                work.d_outputs.clear();
                work.d_outputs.resize(outputs.len(), 0.0);
                let share = 1.0 / rows.len() as f32;
                let (mut loss, mut value) = (0.0, 0.0);
                let each = outputs.chunks_exact(n_out).zip(work.d_outputs.chunks_exact_mut(n_out));
                for ((at, worth), (q, d_q)) in rows.iter().zip(&work.worth).zip(each) {
                    let (reward, discount) = memory.worth(*at);
                    let choice = memory.choice(*at);
                    let said = value_of(q, n, choice);
                    let (error, slope) = huber(said - (reward + discount * worth));
                    add_value_gradient(n, choice, slope * share, d_q);
                    loss += f64::from(error);
                    value += f64::from(said);
                }
                if !loss.is_finite() {
                    return Err("the loss of the values");
                }
                self.network.backward(&work.d_outputs, &mut work.learning, &mut work.gradient, None);
                if !clip_norm(&mut work.gradient, settings.gradient_norm as f32).is_finite() {
                    return Err("a gradient");
                }
                self.adam.step(self.network.params_mut(), &work.gradient);
                measured.loss += loss / rows.len() as f64;
                measured.value += value / rows.len() as f64;
            }
        }
        let n_steps = settings.gradient_steps as f64;
        Ok(Measured { loss: measured.loss / n_steps, value: measured.value / n_steps })
    }
}

/// `out` = the inputs of these steps.
fn gather<'a>(rows: &[usize], input: impl Fn(usize) -> &'a [f32], out: &mut Vec<f32>) {
    out.clear();
    for row in rows {
        out.extend_from_slice(input(*row));
    }
}

/// What a choice is worth by the network's outputs: the output itself, or where one stands behind those of the `n` choices,
/// that plus how much better the choice is than the mean.
fn value_of(outputs: &[f32], n: usize, choice: usize) -> f32 {
    match outputs.get(n) {
        None => outputs[choice],
        Some(value) => value + outputs[choice] - outputs[..n].iter().sum::<f32>() / n as f32,
    }
}

/// Adds `factor` times the derivatives of [`value_of`].
fn add_value_gradient(n: usize, choice: usize, factor: f32, d_outputs: &mut [f32]) {
    if let Some(value) = d_outputs.get_mut(n) {
        *value += factor;
        d_outputs[..n].iter_mut().for_each(|d| *d -= factor / n as f32);
    }
    d_outputs[choice] += factor;
}

/// Half the square of an error up to 1, its size beyond, less ½; and the derivative.
fn huber(error: f32) -> (f32, f32) {
    if error.abs() <= 1.0 { (0.5 * error * error, error) } else { (error.abs() - 0.5, error.signum()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_values_and_errors_are_their_differences() {
        let outputs = [0.5f32, -1.25, 2.0, 0.75];
        for (n, choice) in [(4, 1), (3, 2), (3, 0)] {
            let mut gradient = [0.0; 4];
            add_value_gradient(n, choice, 2.0, &mut gradient);
            for k in 0..4 {
                let at = |step: f32| {
                    let mut moved = outputs;
                    moved[k] += step;
                    2.0 * value_of(&moved, n, choice)
                };
                let difference = (at(0.25) - at(-0.25)) / 0.5;
                assert!((difference - gradient[k]).abs() < 1e-6, "{n} {choice} {k}");
            }
        }
        for error in [-3.0f32, -0.7, 0.2, 1.5] {
            let difference = (huber(error + 1e-3).0 - huber(error - 1e-3).0) / 2e-3;
            assert!((difference - huber(error).1).abs() < 1e-3, "{error}");
        }
    }
}
