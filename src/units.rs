//! Units of measurement: texts such as `kJ/(mol*K)` into [`Unit`]s, exact conversion factors, and inference of the
//! units that a file leaves out.
//!
//! A unit is a vector of exact rational exponents over two sets of generators: the base dimensions (metre, mole,
//! international unit, what the user declares with `unit cell`) and the prime factors of its size. Products, quotients
//! and rational powers are therefore exact, a unit against itself is exactly 1, and `min` against `s` exactly 60;
//! rounding happens once, in [`Unit::factor_to`].
//!
//! **Invariant:** whatever a model writes, no operation here panics: an exponent that leaves the range of [`Ratio`]
//! turns into [`Ratio::OUT_OF_RANGE`] and stays so.
//!
//! [`table`] holds the names, [`parse`] reads texts, [`infer`] solves for unknown units.

pub mod dimension;
pub mod infer;
pub mod parse;
pub mod powers;
pub mod ratio;
pub mod scale;
pub mod table;
pub mod unit;

pub use dimension::{Base, Dimension};
pub use infer::{Equated, Form, Solver};
pub use parse::UnitError;
pub use powers::Powers;
pub use ratio::Ratio;
pub use scale::Scale;
pub use table::Units;
pub use unit::Unit;
