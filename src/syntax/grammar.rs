//! The parser that pest derives from `grammar/twin.pest`.

/// Reads one statement; see the head of the grammar file.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/twin.pest"]
pub(super) struct TwinParser;
