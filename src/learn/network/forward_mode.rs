//! The derivative of a network's outputs along a direction of its parameters.
//!
//! Forward mode beside the pass that a [`Tape`] holds: per layer `ẏ = a'(z) (x V + ẋ W + v)` with the direction's weights V and
//! bias v. Together with [`Mlp::backward`] it makes products with the Fisher information, which no matrix has to hold.

use super::product::{multiply, times_slope};
use super::{Activation, Mlp, Tape, offset};

/// Workspace of [`Mlp::derivative_along`].
#[derive(Debug, Clone, Default)]
pub struct Tangent {
    /// Of the layer before, of this one, and a summand.
    rows: [Vec<f32>; 3],
}

impl Mlp {
    /// What follows every layer but the last.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// `batch × n_out`: change of the outputs of the tape's last forward pass where the parameters change by
    /// `direction: params().len()`.
    pub fn derivative_along<'t>(&self, direction: &[f32], tape: &Tape, tangent: &'t mut Tangent) -> &'t [f32] {
        let batch = tape.batch;
        let [before, now, summand] = &mut tangent.rows;
        for l in 0..self.n_layers() {
            let (n_in, n_out) = (self.sizes[l], self.sizes[l + 1]);
            let start = offset(&self.sizes, l);
            let (by_weights, rest) = direction[start..].split_at(n_in * n_out);
            now.resize(batch * n_out, 0.0);
            multiply(&tape.rows[l][..batch * n_in], by_weights, n_in, n_out, now);
            for row in now.chunks_exact_mut(n_out) {
                row.iter_mut().zip(rest).for_each(|(y, v)| *y += v);
            }
            if l > 0 {
                let (weights, _) = self.layer(l);
                summand.resize(batch * n_out, 0.0);
                multiply(before, weights, n_in, n_out, summand);
                now.iter_mut().zip(&*summand).for_each(|(y, s)| *y += s);
            }
            if l + 1 < self.n_layers() {
                times_slope(now, &tape.rows[l + 1][..batch * n_out], self.activation);
            }
            std::mem::swap(before, now);
        }
        before
    }
}
