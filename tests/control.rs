//! Optimal control and estimation against closed forms and published optima.

mod estimate;

pub mod problems;
mod planners;
mod shooting;
