//! Optimal control and estimation against closed forms and published optima.

mod estimate;

mod planners;
pub mod problems;
mod shooting;
