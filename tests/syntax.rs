//! Text to tree and back: what is read, what is said about mistakes, and that nothing is lost on the way.

mod format;
mod generate;
mod limits;
mod mistakes;
mod random;
mod sexp;
mod tree;

use twinc::diag::{Diagnostic, Diagnostics};
use twinc::source::{SourceFile, SourceId};
use twinc::syntax::{self, ast::File};

/// The tree of a text and what was found in it.
fn read(text: &str) -> (File, Diagnostics) {
    let mut found = Diagnostics::default();
    let file = syntax::parse(SourceId(0), text, &mut found);
    (file, found)
}

/// The tree of a text without mistakes.
fn read_clean(text: &str) -> File {
    let (file, found) = read(text);
    assert!(found.is_empty(), "{}\n{text}", explain(text, &found));
    file
}

/// Diagnostics as plain text: places as line:column with the text they cover.
fn explain(text: &str, found: &Diagnostics) -> String {
    found.iter().map(|d| explain_one(text, d)).collect::<Vec<_>>().join("\n")
}

fn explain_one(text: &str, found: &Diagnostic) -> String {
    let file = SourceFile::new("test", text);
    let place = |span: twinc::source::Span| {
        let (line, column) = file.line_column(span.start);
        format!("{line}:{column} `{}`", &text[span.start as usize..span.end as usize])
    };
    let mut out = format!("{}: {}\n", found.code, found.title);
    for label in &found.labels {
        out += &format!("  at {} {}\n", place(label.span), label.text).replace(" \n", "\n");
    }
    for line in found.help.iter().map(|h| format!("help: {h}")).chain(found.notes.iter().map(|n| format!("note: {n}")))
    {
        out += &format!("  {line}\n");
    }
    if let Some(fix) = &found.fix {
        out += &format!("  fix: {}\n", fix.title);
        for edit in &fix.edits {
            out += &format!("    {} -> `{}`\n", place(edit.span), edit.replacement.replace('\n', "\\n"));
        }
    }
    out
}
