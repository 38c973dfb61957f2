//! Text to tree and back: [`parse`] never fails as a whole, [`print()`] round-trips.
//!
//! `lex` finds tokens, `layout` cuts them into statements and blocks, `grammar/twin.pest` reads one statement, `convert`
//! makes its tree, and `mistakes` explains what was refused. [`words`] is the registry of soft keywords. A tree keeps
//! every span; what the statements mean is decided in [`crate::hir`].

pub mod ast;
mod convert;
mod convert_expr;
mod expr_text;
mod extent;
mod grammar;
mod layout;
mod lex;
mod mistakes;
mod print;
mod reading;
mod same;
mod unclosed;
mod unit_text;
pub mod words;

use crate::diag::Diagnostics;
use crate::source::SourceId;

pub use expr_text::number_text;
pub use layout::parse;
pub use print::print;
pub use same::same;

/// The canonical text of `text`: what `twinc fmt` writes.
///
/// # Errors
/// The diagnostics of `source`, warnings included, where at least one is an error; nothing is formatted then.
pub fn format(source: SourceId, text: &str) -> Result<String, Diagnostics> {
    let mut found = Diagnostics::default();
    let file = parse(source, text, &mut found);
    if found.has_errors() { Err(found) } else { Ok(print(&file)) }
}
