//! Expressions as a hash-consed graph: build, differentiate, find sparsity, evaluate, print.
//!
//! [`dag`] holds the nodes; everything else reads or extends a [`Dag`]. The constructors that fold and simplify are in
//! [`build`], derivatives in [`diff`], proofs that an expression is zero in [`simplify`]. The interpreter in [`eval`]
//! is the oracle of every compiled kernel, and dual numbers are the oracle of every derivative.
//!
//! ```
//! use twinc::expr::{Dag, Env, Interpreter, Leaf, Wrt, gradients, print::print};
//!
//! let mut dag = Dag::new();
//! let (s, v, km) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::Param(1)));
//! let (above, below) = (dag.mul(v, s), dag.add(km, s));
//! let rate = dag.div(above, below);
//! let jacobian = gradients(&mut dag, &[rate], Wrt::States);
//! let (column, slope) = jacobian[0][0];
//!
//! let names = |leaf| match leaf {
//!     Leaf::State(_) => "S".to_owned(),
//!     Leaf::Param(0) => "Vmax".to_owned(),
//!     _ => "Km".to_owned(),
//! };
//! assert_eq!(print(&dag, slope, names), "(Vmax - Vmax*S/(Km + S))/(Km + S)");
//!
//! let env = Env { t: 0.0, x: &[1.0], u: &[], d: &[], p: &[4.0, 1.0], dx: &[], dt: 0.0 };
//! assert_eq!((column, Interpreter::new(&dag, &[rate, slope]).values(&env)), (0, vec![2.0, 1.0]));
//! ```

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

pub use coloring::Coloring;
pub use dag::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, SumId, Term, UnaryOp};
pub use diff::{Wrt, directional, gradients};
pub use eval::{Env, Interpreter};
pub use simplify::{Proof, Residual, expand_sum, prove_zero};
