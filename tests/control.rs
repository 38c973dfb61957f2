//! Optimal control: problems in discrete time and what solves them.

pub mod problems;
mod shooting;
