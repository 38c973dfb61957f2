//! Small fully connected networks: forward, backward, initial weights.
//!
//! [`Mlp`] maps rows of inputs to rows of outputs, `y = a(x W + b)` per layer, with the activation after every layer but the
//! last. What backward needs is in a [`Tape`], so that nothing allocates once the tapes are there. Sums have a fixed
//! order: the same numbers in give the same bits out, on a machine.
//!
//! **Layout.** Rows are row major. Parameters are one flat array: per layer its weights, `n_in × n_out` row major (the
//! transpose of what PyTorch stores), then its bias, `n_out`.

pub mod adam;
mod forward_mode;
pub mod init;
mod product;
#[cfg(test)]
mod tests;

pub use adam::{Adam, clip_norm, follow, is_steppable};
pub use forward_mode::Tangent;
pub use init::Init;
pub use product::tanh;

use super::tensors::{TensorError, Tensors};
use crate::random::Rng;
use product::{add_bias, multiply, multiply_left_transposed, multiply_right_transposed, sum_rows};

/// What follows every layer but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// tanh x.
    Tanh,
    /// x.
    Identity,
}

/// A fully connected network.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    sizes: Vec<usize>,
    activation: Activation,
    params: Vec<f32>,
}

/// What a forward pass leaves for the backward pass. Of one network, reusable.
#[derive(Debug, Clone)]
pub struct Tape {
    /// Rows of the last forward pass.
    batch: usize,
    /// Per layer its input, then the output: `batch × sizes[l]`.
    rows: Vec<Vec<f32>>,
    /// Derivatives by the output of a layer, and by its input.
    deltas: [Vec<f32>; 2],
}

/// Offset of the weights of layer `l` in the parameters.
fn offset(sizes: &[usize], l: usize) -> usize {
    sizes.windows(2).take(l).map(|w| (w[0] + 1) * w[1]).sum()
}

impl Mlp {
    /// A network of layers with these sizes, from that of the input to that of the output; at least two.
    pub fn new(sizes: &[usize], activation: Activation, init: Init, rng: &mut Rng) -> Mlp {
        let mut params = vec![0.0; offset(sizes, sizes.len())];
        init.fill(sizes, rng, &mut params);
        Mlp { sizes: sizes.to_vec(), activation, params }
    }

    /// Sizes of the layers, from that of the input to that of the output.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Length of an input.
    pub fn n_in(&self) -> usize {
        self.sizes.first().copied().unwrap_or(0)
    }

    /// Length of an output.
    pub fn n_out(&self) -> usize {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// Number of layers with weights.
    pub fn n_layers(&self) -> usize {
        self.sizes.len().saturating_sub(1)
    }

    /// All parameters: per layer weights then bias.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// All parameters: per layer weights then bias.
    pub fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    /// Weights and bias of layer `l`.
    fn layer(&self, l: usize) -> (&[f32], &[f32]) {
        let start = offset(&self.sizes, l);
        let middle = start + self.sizes[l] * self.sizes[l + 1];
        (&self.params[start..middle], &self.params[middle..middle + self.sizes[l + 1]])
    }

    /// A workspace for up to `batch` rows; more rows make it grow.
    pub fn tape(&self, batch: usize) -> Tape {
        let widest = self.sizes.iter().copied().max().unwrap_or(0);
        Tape {
            batch,
            rows: self.sizes.iter().map(|size| vec![0.0; batch * size]).collect(),
            deltas: [vec![0.0; batch * widest], vec![0.0; batch * widest]],
        }
    }

    /// `batch × n_out` from `input: batch × n_in`, row major; any batch up to the tape's, and larger ones make it grow.
    pub fn forward<'t>(&self, input: &[f32], tape: &'t mut Tape) -> &'t [f32] {
        let batch = input.len() / self.n_in();
        tape.fit(batch, &self.sizes);
        tape.rows[0][..input.len()].copy_from_slice(input);
        for l in 0..self.n_layers() {
            let (n_in, n_out) = (self.sizes[l], self.sizes[l + 1]);
            let (weights, bias) = self.layer(l);
            let (before, after) = tape.rows.split_at_mut(l + 1);
            let output = &mut after[0][..batch * n_out];
            multiply(&before[l][..batch * n_in], weights, n_in, n_out, output);
            let activation = if l + 1 < self.n_layers() { self.activation } else { Activation::Identity };
            add_bias(output, bias, activation);
        }
        &tape.rows[self.n_layers()][..batch * self.n_out()]
    }

    /// Carries the derivatives of a scalar by the output of the last forward pass of this tape, `d_output: batch × n_out`,
    /// back to the parameters, `gradient: params().len()`, and to the input, `d_input: batch × n_in`. Both are overwritten.
    pub fn backward(&self, d_output: &[f32], tape: &mut Tape, gradient: &mut [f32], d_input: Option<&mut [f32]>) {
        self.back(d_output, tape, Some(gradient), d_input);
    }

    /// [`Mlp::backward`] to the input alone.
    pub fn backward_input(&self, d_output: &[f32], tape: &mut Tape, d_input: &mut [f32]) {
        self.back(d_output, tape, None, Some(d_input));
    }

    /// [`Mlp::backward_input`] of the stated rows of the last forward pass alone: `d_output: rows × n_out` to
    /// `d_input: rows × n_in`.
    pub fn backward_rows(&self, rows: &[usize], d_output: &[f32], tape: &mut Tape, d_input: &mut [f32]) {
        let n = rows.len();
        if n == 0 {
            return;
        }
        let [delta, other] = &mut tape.deltas;
        delta[..d_output.len()].copy_from_slice(d_output);
        for l in (0..self.n_layers()).rev() {
            let (n_in, n_out) = (self.sizes[l], self.sizes[l + 1]);
            let (weights, _) = self.layer(l);
            let by_output = &delta[..n * n_out];
            if l == 0 {
                multiply_right_transposed(by_output, weights, n_in, n_out, d_input);
                return;
            }
            let by_input = &mut other[..n * n_in];
            multiply_right_transposed(by_output, weights, n_in, n_out, by_input);
            for (row, by_input) in rows.iter().zip(by_input.chunks_exact_mut(n_in)) {
                let input = &tape.rows[l][row * n_in..(row + 1) * n_in];
                product::times_slope(by_input, input, self.activation);
            }
            std::mem::swap(delta, other);
        }
    }

    fn back(
        &self,
        d_output: &[f32],
        tape: &mut Tape,
        mut gradient: Option<&mut [f32]>,
        mut d_input: Option<&mut [f32]>,
    ) {
        let batch = tape.batch;
        let [delta, other] = &mut tape.deltas;
        delta[..d_output.len()].copy_from_slice(d_output);
        for l in (0..self.n_layers()).rev() {
            let (n_in, n_out) = (self.sizes[l], self.sizes[l + 1]);
            let (weights, _) = self.layer(l);
            let by_output = &delta[..batch * n_out];
            let input = &tape.rows[l][..batch * n_in];
            if let Some(gradient) = gradient.as_deref_mut() {
                let start = offset(&self.sizes, l);
                let (by_weights, rest) = gradient[start..].split_at_mut(n_in * n_out);
                multiply_left_transposed(input, by_output, n_in, n_out, by_weights);
                sum_rows(by_output, &mut rest[..n_out]);
            }
            if l > 0 {
                let by_input = &mut other[..batch * n_in];
                multiply_right_transposed(by_output, weights, n_in, n_out, by_input);
                product::times_slope(by_input, input, self.activation);
                std::mem::swap(delta, other);
            } else if let Some(d_input) = d_input.as_deref_mut() {
                multiply_right_transposed(by_output, weights, n_in, n_out, d_input);
            }
        }
    }

    /// Writes the parameters as `<name>/0/weight`, `<name>/0/bias`, `<name>/1/weight` and so on.
    pub fn save(&self, name: &str, to: &mut Tensors) {
        for l in 0..self.n_layers() {
            let (weights, bias) = self.layer(l);
            to.put(&format!("{name}/{l}/weight"), &[self.sizes[l], self.sizes[l + 1]], weights);
            to.put(&format!("{name}/{l}/bias"), &[self.sizes[l + 1]], bias);
        }
    }

    /// The network of whatever sizes that [`Mlp::save`] wrote.
    ///
    /// # Errors
    /// Where there is none of this name, or its layers do not fit each other.
    pub fn read(name: &str, activation: Activation, from: &Tensors) -> Result<Mlp, TensorError> {
        let mut sizes = Vec::new();
        let weight = |l: usize| format!("{name}/{l}/weight");
        while sizes.is_empty() || from.arrays.contains_key(&weight(sizes.len() - 1)) {
            let weight = weight(sizes.len().saturating_sub(1));
            let &[n_in, n_out] = from.shaped::<f32>(&weight)?.1 else {
                return Err(TensorError::Format(format!("`{weight}` is not a matrix")));
            };
            if n_in == 0 || n_out == 0 {
                return Err(TensorError::Format(format!("`{weight}` is empty")));
            }
            if sizes.is_empty() {
                sizes.push(n_in);
            }
            sizes.push(n_out);
        }
        let params = vec![0.0; offset(&sizes, sizes.len())];
        let mut net = Mlp { sizes, activation, params };
        net.load(name, from)?;
        Ok(net)
    }

    /// Reads what [`Mlp::save`] wrote; nothing changes where something is missing or of another shape.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape or kind of number.
    pub fn load(&mut self, name: &str, from: &Tensors) -> Result<(), TensorError> {
        let mut params = Vec::with_capacity(self.params.len());
        for l in 0..self.n_layers() {
            let (n_in, n_out) = (self.sizes[l], self.sizes[l + 1]);
            params.extend_from_slice(from.get::<f32>(&format!("{name}/{l}/weight"), &[n_in, n_out])?);
            params.extend_from_slice(from.get::<f32>(&format!("{name}/{l}/bias"), &[n_out])?);
        }
        self.params = params;
        Ok(())
    }
}

impl Tape {
    /// Makes room for `batch` rows.
    fn fit(&mut self, batch: usize, sizes: &[usize]) {
        self.batch = batch;
        let widest = sizes.iter().copied().max().unwrap_or(0);
        for (rows, size) in self.rows.iter_mut().zip(sizes) {
            if rows.len() < batch * size {
                rows.resize(batch * size, 0.0);
            }
        }
        for delta in &mut self.deltas {
            if delta.len() < batch * widest {
                delta.resize(batch * widest, 0.0);
            }
        }
    }
}
