//! Blocks that are never closed: which one it is, and where its `}` belongs.
//!
//! What can only stand at the file's own level ends all blocks, so that one missing brace is one diagnostic. The
//! culprit is the first block whose closing brace stands at another indentation, else the innermost one.

use super::layout::Layout;
use super::lex::Kind;
use crate::diag::{Code, Diagnostic};
use crate::source::Span;

impl Layout<'_, '_> {
    /// Inside a block: `model A {` and its like at the start of a line, which can only stand at the file's own level.
    pub(super) fn is_file_statement(&self) -> bool {
        let starts_line = self.at == 0 || self.kind_at(self.at - 1) == Kind::Newline;
        starts_line
            && matches!(self.word_at(self.at), "model" | "study" | "task" | "twin")
            && self.kind_at(self.at + 1) == Kind::Name
            && (matches!(self.kind_at(self.at + 2), Kind::LBrace | Kind::Text | Kind::Equal)
                || self.word_at(self.at + 2) == "of")
    }

    /// One-based line of an offset.
    fn line_of(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Start of the line of an offset and the width of the blanks it begins with.
    fn indent(&self, offset: u32) -> (usize, usize) {
        let start = self.line_starts.get(self.line_of(offset) - 1).map_or(0, |s| *s as usize);
        let line = self.text.get(start..).unwrap_or("");
        (start, line.len() - line.trim_start_matches([' ', '\t']).len())
    }

    pub(super) fn check_indent(&mut self, opening: usize, closing: usize) {
        if self.suspect.is_some() || closing == 0 || self.kind_at(closing - 1) != Kind::Newline {
            return;
        }
        let (open_line, open_indent) = self.indent(self.tokens[opening].start);
        let (close_line, close_indent) = self.indent(self.tokens[closing].start);
        if open_line != close_line && close_indent < open_indent {
            self.suspect = Some(opening);
        }
    }

    /// E0104, once for all blocks that are open; `next` is the token of the statement that cannot stand inside them.
    pub(super) fn report_unclosed(&mut self, next: Option<usize>) {
        let Some(&innermost) = self.open.last() else {
            return;
        };
        let culprit = self.suspect.take().unwrap_or(innermost);
        let is_sure = culprit == innermost;
        let brace = self.tokens[culprit];
        let (line_start, indent) = self.indent(brace.start);
        let opening = Span::new(self.source, line_start + indent, brace.end as usize);
        let mut found = Diagnostic::new(Code("E0104"), opening, "this block is never closed").at("opened here");
        let missing = "}".repeat(self.open.len());
        match next {
            Some(token) => {
                let token = self.tokens[token];
                let line = self.line_of(token.start);
                found = found.label(self.span(token), format!("next {} starts here", self.slice(token)));
                if is_sure {
                    let (start, _) = self.indent(token.start);
                    let place = Span::new(self.source, start, start);
                    found = found.help(format!("add `{missing}` before line {line}")).fix(
                        format!("add `{missing}`"),
                        place,
                        format!("{missing}\n"),
                    );
                } else {
                    found = found.help(format!("add `}}` where the block ends, before line {line}"));
                }
            }
            None if is_sure => {
                let end = Span::new(self.source, self.text.len(), self.text.len());
                let line_end = if self.text.ends_with('\n') { "" } else { "\n" };
                found = found.help(format!("add `{missing}` at the end of the text")).fix(
                    format!("add `{missing}`"),
                    end,
                    format!("{line_end}{missing}\n"),
                );
            }
            None => found = found.help("add `}` where the block ends"),
        }
        self.diagnostics.push(found);
    }
}
