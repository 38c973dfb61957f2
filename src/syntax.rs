//! Text to tree and back: [`parse`] never fails as a whole, [`print`] round-trips.
//!
//! The grammar is `grammar/twin.pest`; [`words`] is the registry of soft keywords. A tree keeps every span; what the
//! statements mean is decided in [`crate::hir`].

pub mod ast;
