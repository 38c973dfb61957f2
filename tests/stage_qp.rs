//! Quadratic problems over trees: against a general conic solver, and against the optimality conditions themselves.

mod check;
mod draw;
mod edges;
mod peer;
mod random;
