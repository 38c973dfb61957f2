//! Adam: steps along the mean of the gradients, each parameter scaled by the root of its mean square.
//!
//! D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.

use super::super::tensors::{TensorError, Tensors};
use crate::linalg::wide::{Wide, wide};

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
        let pace = self.pace();
        wide(AdamStep { pace, mean: &mut self.mean, square: &mut self.square, params, gradient });
    }

    /// [`Adam::step`], after which `followers` have gone the fraction `rate` of the way to the parameters.
    pub fn step_followed(&mut self, params: &mut [f32], gradient: &[f32], followers: &mut [f32], rate: f32) {
        let pace = self.pace();
        // Blocks that stay in the first cache between the two.
        const BLOCK: usize = 1024;
        let state = self.mean.chunks_mut(BLOCK).zip(self.square.chunks_mut(BLOCK));
        let blocks = params.chunks_mut(BLOCK).zip(gradient.chunks(BLOCK)).zip(followers.chunks_mut(BLOCK));
        for (((params, gradient), followers), (mean, square)) in blocks.zip(state) {
            wide(AdamStep { pace, mean, square, params, gradient });
            follow(params, followers, rate);
        }
    }

    /// Counts a step, and what it does.
    fn pace(&mut self) -> Pace {
        self.n_steps += 1;
        let t = self.n_steps.min(i32::MAX as u64) as i32;
        Pace {
            lr: (f64::from(self.lr) / (1.0 - f64::from(self.beta1).powi(t))) as f32,
            scale: (1.0 / (1.0 - f64::from(self.beta2).powi(t)).sqrt()) as f32,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
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

/// The constants of a step.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// α/(1 − β₁ᵗ).
    lr: f32,
    /// 1/√(1 − β₂ᵗ).
    scale: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
}

struct AdamStep<'a> {
    pace: Pace,
    mean: &'a mut [f32],
    square: &'a mut [f32],
    params: &'a mut [f32],
    gradient: &'a [f32],
}

impl Wide for AdamStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Pace { lr, scale, beta1, beta2, eps } = self.pace;
        let (take1, take2) = (1.0 - beta1, 1.0 - beta2);
        let state = self.mean.iter_mut().zip(self.square);
        for ((p, g), (m, v)) in self.params.iter_mut().zip(self.gradient).zip(state) {
            *m = beta1 * *m + take1 * g;
            *v = beta2 * *v + take2 * (g * g);
            *p -= lr * *m / (v.sqrt() * scale + eps);
        }
    }
}

/// `followers` go the fraction `rate` of the way to the parameters.
pub fn follow(params: &[f32], followers: &mut [f32], rate: f32) {
    wide(Follow { params, followers, rate });
}

struct Follow<'a> {
    params: &'a [f32],
    followers: &'a mut [f32],
    rate: f32,
}

impl Wide for Follow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (f, p) in self.followers.iter_mut().zip(self.params) {
            *f += self.rate * (p - *f);
        }
    }
}

/// True where a gradient is finite, and so are its squares.
pub fn is_steppable(gradient: &[f32]) -> bool {
    wide(Squares { list: gradient }).is_finite()
}

/// A sum of squares in eight parts, each in order.
struct Squares<'a> {
    list: &'a [f32],
}

impl Wide for Squares<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let (chunks, rest) = self.list.as_chunks::<8>();
        let mut sums = [0.0f32; 8];
        for chunk in chunks {
            for (sum, g) in sums.iter_mut().zip(chunk) {
                *sum += g * g;
            }
        }
        sums.iter().sum::<f32>() + rest.iter().map(|g| g * g).sum::<f32>()
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
