//! Optimal control and estimation against closed forms and published optima.

mod estimate;

pub mod problems;
mod replay;
mod shooting;
