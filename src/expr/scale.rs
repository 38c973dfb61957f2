//! The scale of the rounding errors of a value, carried beside it through the graph.
//!
//! The scale s of a node bounds, to first order and in units of ε, how far its value moves when every leaf, every
//! constant and every result of a library function (`exp`, `ln`, powers, ...) moves by ε of itself. It is at least
//! the value's magnitude:
//!
//! | node | s |
//! |---|---|
//! | constant, leaf | \|v\| |
//! | Σ c_i v_i | Σ \|c_i\| s_i, the sum of the absolute values of the terms |
//! | a b | \|b\| s_a + \|a\| s_b + ε s_a s_b, so that every factor counts |
//! | a / b | (s_a + \|v\| s_b)/\|b\| |
//! | f(a) | \|v\| + \|f'(a)\| s_a |
//! | a^n | \|v\| + \|n\| (\|a\| + ε s_a)^(n−1) s_a, for n < 0 without the ε |
//! | a^b | \|v\| + \|b\| (\|a\| + ε s_a)^(b−1) s_a + \|v ln a\| s_b, for b < 1 without the ε |
//! | atan2(a, b) | \|v\| + (\|b\| s_a + \|a\| s_b)/(a² + b²) |
//! | mod(a, b) | s_a + \|floor(a/b)\| s_b |
//! | abs(a), min, max, if | that of the branch taken |
//! | sign, floor, ceil, comparison, logic | \|v\| |
//!
//! So a kernel that takes the same operations in the same order, with functions good to one unit in the last place,
//! stays within a few ε of s. A product that meets 0 · ∞ counts as 0 here: a singular slope of an exact argument
//! moves nothing.

use super::eval::{Interpreter, Step};
use super::ops::{BinaryOp, UnaryOp, powi};

impl Interpreter {
    /// The scale of each step, from the values of all steps.
    pub(super) fn scales(&self, values: &[f64]) -> Vec<f64> {
        let mut scales: Vec<f64> = Vec::with_capacity(values.len());
        for (&step, &value) in self.steps.iter().zip(values) {
            let scale = match step {
                Step::Const(_) | Step::Leaf(_) | Step::Compare(..) => value.abs(),
                Step::Unary(op, a) => unary(op, values[a], value, scales[a]),
                Step::Binary(op, a, b) => binary(op, (values[a], scales[a]), (values[b], scales[b]), value),
                Step::PowI(a, n) => {
                    // Where the value vanishes the errors' own product counts.
                    let base = values[a].abs() + if n > 0 { f64::EPSILON * scales[a] } else { 0.0 };
                    value.abs() + times(f64::from(n) * powi(base, n.saturating_sub(1)), scales[a])
                }
                Step::Sum { start, end } => self.terms[start..end].iter().map(|&(c, k)| times(c, scales[k])).sum(),
                Step::Select(c, a, b) => scales[if values[c] != 0.0 { a } else { b }],
            };
            scales.push(scale);
        }
        scales
    }
}

/// |slope| · scale, 0 where either is 0.
fn times(slope: f64, scale: f64) -> f64 {
    if slope == 0.0 || scale == 0.0 { 0.0 } else { slope.abs() * scale }
}

fn unary(op: UnaryOp, x: f64, value: f64, scale: f64) -> f64 {
    let slope = match op {
        UnaryOp::Exp => value,
        UnaryOp::Ln => 1.0 / x,
        UnaryOp::Log10 => std::f64::consts::LOG10_E / x,
        UnaryOp::Sqrt => 0.5 / value,
        UnaryOp::Sin => x.cos(),
        UnaryOp::Cos => x.sin(),
        UnaryOp::Tan => 1.0 + value * value,
        UnaryOp::Asin | UnaryOp::Acos => 1.0 / (1.0 - x * x).sqrt(),
        UnaryOp::Atan => 1.0 / (1.0 + x * x),
        UnaryOp::Sinh => x.cosh(),
        UnaryOp::Cosh => x.sinh(),
        UnaryOp::Tanh => 1.0 - value * value,
        UnaryOp::Abs => return scale,
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Not => 0.0,
    };
    value.abs() + times(slope, scale)
}

fn binary(op: BinaryOp, (a, scale_a): (f64, f64), (b, scale_b): (f64, f64), value: f64) -> f64 {
    match op {
        BinaryOp::Mul => times(b, scale_a) + times(a, scale_b) + f64::EPSILON * times(scale_a, scale_b),
        // Relative errors add up; formed so that no intermediate result underflows.
        BinaryOp::Div => (scale_a / b).abs() + times(value, scale_b / b.abs()),
        BinaryOp::Pow => {
            let by_exponent = if a > 0.0 { times(value * a.ln(), scale_b) } else { 0.0 };
            let base = if b >= 1.0 { a.abs() + f64::EPSILON * scale_a } else { a };
            let by_base = if b == 0.0 { 0.0 } else { times(b * base.powf(b - 1.0), scale_a) };
            value.abs() + by_base + by_exponent
        }
        BinaryOp::Min => {
            if a < b {
                scale_a
            } else {
                scale_b
            }
        }
        BinaryOp::Max => {
            if a > b {
                scale_a
            } else {
                scale_b
            }
        }
        BinaryOp::Mod => scale_a + times((a / b).floor(), scale_b),
        BinaryOp::Atan2 => {
            let radius = a.hypot(b);
            value.abs() + times(b / radius, scale_a / radius) + times(a / radius, scale_b / radius)
        }
        BinaryOp::And | BinaryOp::Or => value.abs(),
    }
}
