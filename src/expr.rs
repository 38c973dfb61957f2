//! Expressions as a hash-consed graph: build, differentiate, find sparsity, evaluate, print.
//!
//! [`dag`] holds the nodes; everything else reads or extends a [`Dag`]. The interpreter in `eval` is the oracle of
//! every compiled kernel, and dual numbers are the oracle of every derivative.

pub mod dag;

pub use dag::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, SumId, Term, UnaryOp, powi};
