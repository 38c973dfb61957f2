//! Initial weights.
//!
//! Orthogonal after A. M. Saxe, J. L. McClelland and S. Ganguli, Exact solutions to the nonlinear dynamics of learning in
//! deep linear neural networks, ICLR 2014; He after K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10 (here
//! uniform); `Torch` is the default of `torch.nn.Linear`.

use rand::Rng as _;

use crate::random::Rng;
use crate::random::draw::normals;

/// How weights begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Orthonormal rows or columns times a gain; biases 0.
    Orthogonal {
        /// Gain of the layers before the last, √2 for ReLU.
        hidden_gain: f32,
        /// Gain of the last layer.
        output_gain: f32,
    },
    /// Uniform within ±√(6/n_in), which has variance 2/n_in; biases 0.
    He,
    /// Weights and biases uniform within ±1/√n_in.
    Torch,
}

impl Init {
    /// Fills the parameters of layers with these sizes: per layer weights then bias.
    pub(super) fn fill(self, sizes: &[usize], rng: &mut Rng, params: &mut [f32]) {
        let mut rest = params;
        for (l, pair) in sizes.windows(2).enumerate() {
            let (n_in, n_out) = (pair[0], pair[1]);
            let (weights, later) = rest.split_at_mut(n_in * n_out);
            let (bias, later) = later.split_at_mut(n_out);
            rest = later;
            match self {
                Init::Orthogonal { hidden_gain, output_gain } => {
                    let gain = if l + 2 < sizes.len() { hidden_gain } else { output_gain };
                    orthogonal(n_in, n_out, gain, rng, weights);
                    bias.fill(0.0);
                }
                Init::He => {
                    uniform((6.0 / n_in as f32).sqrt(), rng, weights);
                    bias.fill(0.0);
                }
                Init::Torch => {
                    let end = 1.0 / (n_in as f32).sqrt();
                    uniform(end, rng, weights);
                    uniform(end, rng, bias);
                }
            }
        }
    }
}

/// Uniform numbers within ±`end`.
fn uniform(end: f32, rng: &mut Rng, out: &mut [f32]) {
    for value in out {
        *value = end * (2.0 * rng.random::<f32>() - 1.0);
    }
}

/// `n_in × n_out` numbers whose rows, where there are fewer of them than columns, else columns, are orthonormal, times
/// `gain`: modified Gram–Schmidt, twice, on normal numbers, which leaves them uniform over all such matrices.
fn orthogonal(n_in: usize, n_out: usize, gain: f32, rng: &mut Rng, weights: &mut [f32]) {
    let (n_vectors, length) = (n_in.min(n_out), n_in.max(n_out));
    let mut vectors = vec![0.0; n_vectors * length];
    normals(rng, 1.0, &mut vectors);
    for k in 0..n_vectors {
        let (before, from_here) = vectors.split_at_mut(k * length);
        let vector = &mut from_here[..length];
        for _ in 0..2 {
            for other in before.chunks_exact(length) {
                let along: f64 = other.iter().zip(&*vector).map(|(a, b)| a * b).sum();
                for (v, o) in vector.iter_mut().zip(other) {
                    *v -= along * o;
                }
            }
            let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            for v in &mut *vector {
                *v /= norm;
            }
        }
    }
    for i in 0..n_in {
        for j in 0..n_out {
            let value = if n_in <= n_out { vectors[i * length + j] } else { vectors[j * length + i] };
            weights[i * n_out + j] = gain * value as f32;
        }
    }
}
