//! Optimal control and estimation against closed forms and published optima.

mod estimate;

mod allocations;
mod derivatives;
mod dual_stages;
mod planners;
pub mod problems;
mod replay;
mod shooting;
