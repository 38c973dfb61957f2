//! Expressions as a hash-consed graph: build, differentiate, find sparsity, evaluate, print.
//!
//! [`dag`] holds the nodes; everything else reads or extends a [`Dag`]. The constructors that fold and simplify are in
//! [`build`], derivatives in [`diff`], proofs that an expression is zero in [`simplify`]. The interpreter in [`eval`]
//! is the oracle of every compiled kernel, and dual numbers are the oracle of every derivative.

pub mod build;
pub mod coloring;
pub mod dag;
pub mod diff;
pub mod eval;
pub mod ops;
pub mod print;
pub mod simplify;
pub mod sparsity;

mod polynomial;
pub mod scale;

//pub use coloring::Coloring;
pub use dag::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, SumId, Term, UnaryOp};
pub use diff::{Wrt, directional, gradients};
pub use eval::{Env, Interpreter};
//pub use simplify::{Proof, expand_sum, prove_zero};
