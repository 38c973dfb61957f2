//! Kernels against independent truth: the interpreter for values, dual numbers for derivatives.

mod events;
mod life;
mod linear;
mod loops;
mod math;
mod models;
mod plans;
mod power;
mod random;
mod system;
