//! Optimal control: from a model and a task to plans, estimates and closed loops.
//!
//! Every planner sees a problem in discrete time, [`crate::system::Stages`], and answers as a
//! [`crate::decide::Planner`]; every filter is a [`crate::decide::Estimator`].

pub mod estimate;
pub mod shooting;
pub mod ddp;

#[cfg(test)]
pub(crate) mod tests;
