//! Products of row-major blocks of numbers, and what goes over their results element by element.
//!
//! The products are faer's on one thread: of the libraries measured the fastest for blocks of 256 rows, at 230 to 260
//! billion operations a second for 64 and 256 columns where the machine has AVX-512 (the gemm crate: 105 to 130). What goes
//! over elements is compiled for the widest vectors by [`wide`] and takes a few per cent of a product's time.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::Activation;
use crate::linalg::wide::{Wide, wide};

/// `out: batch × n_out` = `rows: batch × n_in` times `weights: n_in × n_out`.
pub fn multiply(rows: &[f32], weights: &[f32], n_in: usize, n_out: usize, out: &mut [f32]) {
    let batch = out.len() / n_out;
    if batch == 1 {
        return wide(OneRow { row: rows, weights, out });
    }
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

/// One row times weights: the rows of weights are added up, those of zeros skipped, of which rectifiers leave many.
struct OneRow<'a> {
    row: &'a [f32],
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl Wide for OneRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.out.fill(0.0);
        for (x, weights) in self.row.iter().zip(self.weights.chunks_exact(self.out.len())) {
            if *x != 0.0 {
                for (y, w) in self.out.iter_mut().zip(weights) {
                    *y += x * w;
                }
            }
        }
    }
}

/// Adds the bias to every row and applies the activation.
pub fn add_bias(rows: &mut [f32], bias: &[f32], activation: Activation) {
    wide(AddBias { rows, bias, activation });
}

struct AddBias<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
    activation: Activation,
}

impl Wide for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.rows.chunks_exact_mut(self.bias.len());
        match self.activation {
            Activation::Relu => {
                for row in rows {
                    for (y, b) in row.iter_mut().zip(self.bias) {
                        let sum = *y + b;
                        // Unlike `max`, this keeps what is not a number.
                        *y = if sum < 0.0 { 0.0 } else { sum };
                    }
                }
            }
            Activation::Tanh => {
                for row in rows {
                    for (y, b) in row.iter_mut().zip(self.bias) {
                        *y = tanh(*y + b);
                    }
                }
            }
            Activation::Identity => {
                for row in rows {
                    for (y, b) in row.iter_mut().zip(self.bias) {
                        *y += b;
                    }
                }
            }
        }
    }
}

/// tanh x to 5e-7 of itself, without branches, so that rows of it are taken at once: N/Q, the seventh convergent of J. H.
/// Lambert's continued fraction y/(1 + y²/(3 + y²/(5 + …))) (1768) at y = x/2, which differs from tanh y by less than 1e-7
/// up to 4.6, then tanh 2y = 2 N Q/(Q² + N²).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // Beyond 9 it is 1 in f32; a comparison keeps what is not a number.
    let x = if x > 9.0 { 9.0 } else { x };
    let x = if x < -9.0 { -9.0 } else { x };
    let y = 0.5 * x;
    let z = y * y;
    let n = y * (1.0 + z * (17_325.0 / 135_135.0 + z * (378.0 / 135_135.0 + z * (1.0 / 135_135.0))));
    let q = 1.0 + z * (62_370.0 / 135_135.0 + z * (3_150.0 / 135_135.0 + z * (28.0 / 135_135.0)));
    2.0 * n * q / (q * q + n * n)
}

/// `deltas` times the slope of the activation whose outputs are `outputs`.
pub fn times_slope(deltas: &mut [f32], outputs: &[f32], activation: Activation) {
    wide(TimesSlope { deltas, outputs, activation });
}

struct TimesSlope<'a> {
    deltas: &'a mut [f32],
    outputs: &'a [f32],
    activation: Activation,
}

impl Wide for TimesSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pairs = self.deltas.iter_mut().zip(self.outputs);
        match self.activation {
            Activation::Relu => pairs.for_each(|(delta, y)| *delta = if *y > 0.0 { *delta } else { 0.0 }),
            Activation::Tanh => pairs.for_each(|(delta, y)| *delta *= 1.0 - y * y),
            Activation::Identity => {}
        }
    }
}

/// Sums over rows.
pub fn sum_rows(rows: &[f32], out: &mut [f32]) {
    wide(SumRows { rows, out });
}

struct SumRows<'a> {
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl Wide for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.out.fill(0.0);
        for row in self.rows.chunks_exact(self.out.len()) {
            for (sum, value) in self.out.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}
