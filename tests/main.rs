//! All integration tests, one binary: each module is named after what it tests.

mod analyze;
mod architecture;
mod calibrate;
mod cli;
mod compile;
mod control;
mod environments;
mod expr;
mod integrate;
mod jit;
mod learn;
mod models;
mod reference;
mod stage_qp;
mod stochastic;
mod syntax;
mod units;
