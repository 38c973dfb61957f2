//! Optimal control and estimation against closed forms and published optima.

mod allocations;
pub mod baselines;
mod closed_loop;
mod controller;
mod derivatives;
mod dual_stages;
mod estimate;
mod lqr;
mod pid;
mod planners;
pub mod problems;
mod replay;
mod sampling;
mod scheduled;
mod shooting;
mod study;
