//! Optimal control: from a model and a task to plans, estimates and closed loops.
//!
//! Every planner sees a problem in discrete time, [`crate::system::Stages`], and answers as a
//! [`crate::decide::Planner`]; every filter is a [`crate::decide::Estimator`]. Planners that sample see the costs of many
//! input sequences at once, [`rollouts::Rollouts`].

pub mod assemble;
pub mod closed_loop;
pub mod controller;
pub mod ddp;
pub mod estimate;
pub mod filters;
pub mod lqr;
pub mod pid;
pub mod planners;
pub mod plant;
pub mod rollouts;
pub mod sampling;
pub mod shooting;
pub mod sqp;

#[cfg(test)]
pub(crate) mod tests;
