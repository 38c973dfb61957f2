//! Adam: steps along the mean of the gradients, each parameter scaled by the root of its mean square.
//!
//! D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.

use super::super::tensors::{TensorError, Tensors};

/// The state of Adam for one array of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Length of a step, α. Default of the paper 1e-3.
    pub lr: f32,
    /// Forgetting of the mean. Default 0.9.
    pub beta1: f32,
    /// Forgetting of the mean square. Default 0.999.
    pub beta2: f32,
    /// Added to the root of the mean square. Default 1e-8.
    pub eps: f32,
    n_steps: u64,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    /// For so many parameters, with the paper's constants but this length of step.
    pub fn new(n_params: usize, lr: f32) -> Adam {
        Adam {
            lr,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            n_steps: 0,
            mean: vec![0.0; n_params],
            square: vec![0.0; n_params],
        }
    }

    /// One step down the gradient.
    pub fn step(&mut self, params: &mut [f32], gradient: &[f32]) {
        self.n_steps += 1;
        let t = self.n_steps.min(i32::MAX as u64) as i32;
        let lr = (f64::from(self.lr) / (1.0 - f64::from(self.beta1).powi(t))) as f32;
        let scale = (1.0 / (1.0 - f64::from(self.beta2).powi(t)).sqrt()) as f32;
        let (keep1, take1, keep2, take2) = (self.beta1, 1.0 - self.beta1, self.beta2, 1.0 - self.beta2);
        let state = self.mean.iter_mut().zip(&mut self.square);
        for ((p, g), (m, v)) in params.iter_mut().zip(gradient).zip(state) {
            *m = keep1 * *m + take1 * g;
            *v = keep2 * *v + take2 * g * g;
            *p -= lr * *m / (v.sqrt() * scale + self.eps);
        }
    }

    /// Writes its state as `<name>/mean`, `<name>/square` and `<name>/steps`.
    pub fn save(&self, name: &str, to: &mut Tensors) {
        to.put(&format!("{name}/mean"), &[self.mean.len()], &self.mean[..]);
        to.put(&format!("{name}/square"), &[self.square.len()], &self.square[..]);
        to.put(&format!("{name}/steps"), &[1], &[self.n_steps][..]);
    }

    /// Reads what [`Adam::save`] wrote; nothing changes where something does not fit.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape or kind of number.
    pub fn load(&mut self, name: &str, from: &Tensors) -> Result<(), TensorError> {
        let n = self.mean.len();
        let mean = from.get::<f32>(&format!("{name}/mean"), &[n])?;
        let square = from.get::<f32>(&format!("{name}/square"), &[n])?;
        let steps = from.get::<u64>(&format!("{name}/steps"), &[1])?;
        self.mean.copy_from_slice(mean);
        self.square.copy_from_slice(square);
        self.n_steps = steps[0];
        Ok(())
    }
}

/// Shortens the gradient to the norm `most` where it is longer; its norm before.
pub fn clip_norm(gradient: &mut [f32], most: f32) -> f32 {
    let norm = gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt() as f32;
    if norm > most {
        let factor = most / norm;
        for g in gradient {
            *g *= factor;
        }
    }
    norm
}
