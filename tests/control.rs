//! Optimal control and estimation against closed forms and published optima.

mod estimate;
mod lqr;
mod pid;

pub mod problems;
mod sampling;
mod shooting;
