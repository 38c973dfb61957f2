//! Products of row-major blocks of numbers, and what goes over their results element by element.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::Activation;

/// `out: batch × n_out` = `rows: batch × n_in` times `weights: n_in × n_out`.
pub fn multiply(rows: &[f32], weights: &[f32], n_in: usize, n_out: usize, out: &mut [f32]) {
    let batch = out.len() / n_out;
    let rows = MatRef::from_row_major_slice(rows, batch, n_in);
    let weights = MatRef::from_row_major_slice(weights, n_in, n_out);
    let out = MatMut::from_row_major_slice_mut(out, batch, n_out);
    matmul(out, Accum::Replace, rows, weights, 1.0, Par::Seq);
}

/// `out: n_in × n_out` = transpose of `rows: batch × n_in` times `deltas: batch × n_out`.
pub fn multiply_left_transposed(rows: &[f32], deltas: &[f32], n_in: usize, n_out: usize, out: &mut [f32]) {
    let batch = deltas.len() / n_out;
    let rows = MatRef::from_row_major_slice(rows, batch, n_in);
    let deltas = MatRef::from_row_major_slice(deltas, batch, n_out);
    let out = MatMut::from_row_major_slice_mut(out, n_in, n_out);
    matmul(out, Accum::Replace, rows.transpose(), deltas, 1.0, Par::Seq);
}

/// `out: batch × n_in` = `deltas: batch × n_out` times the transpose of `weights: n_in × n_out`.
pub fn multiply_right_transposed(deltas: &[f32], weights: &[f32], n_in: usize, n_out: usize, out: &mut [f32]) {
    let batch = deltas.len() / n_out;
    let deltas = MatRef::from_row_major_slice(deltas, batch, n_out);
    let weights = MatRef::from_row_major_slice(weights, n_in, n_out);
    let out = MatMut::from_row_major_slice_mut(out, batch, n_in);
    matmul(out, Accum::Replace, deltas, weights.transpose(), 1.0, Par::Seq);
}

/// Adds the bias to every row and applies the activation.
pub fn add_bias(rows: &mut [f32], bias: &[f32], activation: Activation) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (y, b) in row.iter_mut().zip(bias) {
            *y = match activation {
                Activation::Relu => (*y + b).max(0.0),
                Activation::Tanh => (*y + b).tanh(),
                Activation::Identity => *y + b,
            };
        }
    }
}

/// `deltas` times the slope of the activation whose outputs are `outputs`.
pub fn times_slope(deltas: &mut [f32], outputs: &[f32], activation: Activation) {
    for (delta, y) in deltas.iter_mut().zip(outputs) {
        *delta = match activation {
            Activation::Relu => {
                if *y > 0.0 {
                    *delta
                } else {
                    0.0
                }
            }
            Activation::Tanh => *delta * (1.0 - y * y),
            Activation::Identity => *delta,
        };
    }
}

/// Sums over rows.
pub fn sum_rows(rows: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for row in rows.chunks_exact(out.len()) {
        for (sum, value) in out.iter_mut().zip(row) {
            *sum += value;
        }
    }
}
