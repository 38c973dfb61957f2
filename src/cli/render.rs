//! Diagnostics as a person reads them: miette's snippets under a line `error[E0301]: two units do not agree`.
//!
//! On a terminal the frames are Unicode and colored; in a pipe they are ASCII without color, so that what a script
//! or a snapshot sees never depends on the terminal. Reading of the text around a label is bounded, so that one
//! diagnostic in a 60 MB table costs no more than one in a small model.

use crate::diag::{Diagnostic, Diagnostics, Label, Severity};
use crate::source::{SourceFile, SourceId, SourceMap};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, SourceSpan, SpanContents};
use std::fmt;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// ANSI colors.
    pub color: bool,
    /// Unicode frames; ASCII otherwise.
    pub unicode: bool,
}

/// Lines longer than this are cut around the label, bytes.
const LONGEST_LINE: usize = 400;

/// One diagnostic with its snippets, ending in a newline.
pub fn human(diagnostic: &Diagnostic, sources: &SourceMap, look: Look) -> String {
    let home = diagnostic.labels.first().map(|label| label.span.source);
    let shown = Shown { diagnostic, text: home.map(|id| Window { file: sources.get(id), id }), look };
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(theme(diagnostic, look))
        .with_wrap_lines(false)
        .with_context_lines(0)
        .with_links(false)
        .without_syntax_highlighting()
        .without_cause_chain();
    if handler.render_report(&mut out, &shown).is_err() {
        out = format!("  {}: {}\n", head(diagnostic), diagnostic.title);
    }
    // miette indents its first line by two; the code word shall stand at the margin.
    let mut out = out.strip_prefix("  ").map(str::to_string).unwrap_or(out);
    for label in diagnostic.labels.iter().filter(|label| Some(label.span.source) != home) {
        out.push_str(&format!("   note: {}: {}\n", place(label, sources), elsewhere(label)));
    }
    for note in &diagnostic.notes {
        out.push_str(&format!("   note: {note}\n"));
    }
    out
}

/// `2 errors, 1 warning`; empty where there is nothing to count.
pub fn summary(diagnostics: &Diagnostics) -> String {
    let (mut n_errors, mut n_warnings) = (0, 0);
    for diagnostic in diagnostics.iter() {
        match diagnostic.severity {
            Severity::Error => n_errors += 1,
            Severity::Warning => n_warnings += 1,
            Severity::Note => {}
        }
    }
    let mut parts = Vec::new();
    if n_errors > 0 {
        parts.push(counted(n_errors, "error"));
    }
    if n_warnings > 0 {
        parts.push(counted(n_warnings, "warning"));
    }
    parts.join(", ")
}

/// `1 error`, `3 errors`
pub fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn elsewhere(label: &Label) -> &str {
    if label.text.is_empty() { "see here" } else { &label.text }
}

fn place(label: &Label, sources: &SourceMap) -> String {
    let file = sources.get(label.span.source);
    let (line, column) = file.line_column(label.span.start);
    format!("{}:{line}:{column}", file.name)
}

fn head(diagnostic: &Diagnostic) -> String {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    format!("{word}[{}]", diagnostic.code)
}

fn theme(diagnostic: &Diagnostic, look: Look) -> GraphicalTheme {
    let mut theme = match (look.unicode, look.color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, _) => GraphicalTheme::none(),
    };
    if look.color && !look.unicode {
        theme.styles = GraphicalTheme::unicode().styles;
    }
    // The title's mark is the code; its continuation lines need no bar.
    let mark = format!("{}:", head(diagnostic));
    theme.characters.error = mark.clone();
    theme.characters.warning = mark.clone();
    theme.characters.advice = mark;
    theme
}

struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    text: Option<Window<'a>>,
    look: Look,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.diagnostic, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.title)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let suffix = if self.diagnostic.fix.is_some() { "   (fix available)" } else { "" };
        match (&self.diagnostic.help, &self.diagnostic.fix) {
            (Some(help), _) => Some(Box::new(format!("{help}{suffix}"))),
            (None, Some(fix)) => Some(Box::new(format!("{}{suffix}", fix.title))),
            (None, None) => None,
        }
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.text.as_ref().map(|text| text as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let text = self.text.as_ref()?;
        let empty_mark = if self.look.unicode { "" } else { "here" };
        let mut labels: Vec<LabeledSpan> = self
            .diagnostic
            .labels
            .iter()
            .enumerate()
            .filter(|(_, label)| label.span.source == text.id)
            .map(|(i, label)| {
                let (start, len) = text.clamp(label.span.start as usize, label.span.end as usize);
                let words = if label.text.is_empty() { empty_mark } else { &label.text };
                let words = (!words.is_empty()).then(|| words.to_string());
                if i == 0 {
                    LabeledSpan::new_primary_with_span(words, SourceSpan::from((start, len)))
                } else {
                    LabeledSpan::new_with_span(words, SourceSpan::from((start, len)))
                }
            })
            .collect();
        // miette draws overlapping equal spans badly: keep the first of each place.
        let mut seen = Vec::new();
        labels.retain(|label| {
            let at = (label.offset(), label.len());
            !seen.contains(&at) && {
                seen.push(at);
                true
            }
        });
        Some(Box::new(labels.into_iter()))
    }
}

/// A text that hands out only the lines around a span.
struct Window<'a> {
    file: &'a SourceFile,
    id: SourceId,
}

impl Window<'_> {
    /// Moves a span into the visible text: the end of a file is shown behind its last character, and a span of many
    /// lines is shown on its first.
    fn clamp(&self, start: usize, end: usize) -> (usize, usize) {
        let text = &self.file.text;
        let visible = text.trim_end().len();
        let mut start = start.min(visible);
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let mut end = end.clamp(start, line_end.max(start));
        if end - start > LONGEST_LINE {
            end = start + LONGEST_LINE;
        }
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        (start, end - start)
    }
}

impl miette::SourceCode for Window<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text: &'a str = &self.file.text;
        let (start, end) = (span.offset(), span.offset() + span.len());
        if end > text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let mut from = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let mut to = text[end..].find('\n').map_or(text.len(), |i| end + i + 1);
        if start - from > LONGEST_LINE {
            from = start - LONGEST_LINE;
        }
        if to - end > LONGEST_LINE {
            to = end + LONGEST_LINE;
        }
        while !text.is_char_boundary(from) {
            from += 1;
        }
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        let (line, column) = self.file.line_column(start as u32);
        let data: &'a [u8] = if from == to { b"\n" } else { &text.as_bytes()[from..to] };
        let first_line = self.file.line_column(from as u32).0;
        let column = if first_line == line { column - 1 } else { 0 };
        Ok(Box::new(Lines {
            data,
            span: SourceSpan::from((from, data.len())),
            line: first_line - 1,
            column,
            file: self.file,
        }))
    }
}

struct Lines<'a> {
    data: &'a [u8],
    span: SourceSpan,
    line: usize,
    column: usize,
    file: &'a SourceFile,
}

impl<'a> SpanContents<'a> for Lines<'a> {
    fn data(&self) -> &'a [u8] {
        self.data
    }
    fn span(&self) -> &SourceSpan {
        &self.span
    }
    fn name(&self) -> Option<&str> {
        Some(&self.file.name)
    }
    fn line(&self) -> usize {
        self.line
    }
    fn column(&self) -> usize {
        self.column
    }
    fn line_count(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::source::Span;

    fn sources(text: &str) -> (SourceMap, SourceId) {
        let mut map = SourceMap::default();
        let id = map.add(SourceFile::new("m.twin", text));
        (map, id)
    }

    #[test]
    fn shows_code_place_label_help_and_fix() {
        let text = "model M {\n  cat: ES -> E + P @ kcat*ES\n}\n";
        let (map, id) = sources(text);
        let at = text.find("kcat*ES").unwrap_or(0);
        let diagnostic = Diagnostic::new(Code("E0501"), Span::new(id, at, at + 7), "rate constant has the wrong unit")
            .at("[uM/s], but mass action in `ES` expects [1/s]")
            .help("`@` takes only the constant: write `@ kcat`, or `rate kcat*ES` for a full law")
            .fix("write a full law", Span::new(id, at - 2, at), "rate ");
        let shown = human(&diagnostic, &map, Look::default());
        assert_eq!(
            shown,
            "error[E0501]: rate constant has the wrong unit\n   ,-[m.twin:2:22]\n 2 |   cat: ES -> E + P @ kcat*ES\n   :                      ^^^|^^^\n   :                         `-- [uM/s], but mass action in `ES` expects [1/s]\n   `----\n  help: `@` takes only the constant: write `@ kcat`, or `rate kcat*ES` for a full law   (fix available)\n"
        );
    }

    #[test]
    fn survives_every_place_of_odd_texts() {
        for text in ["", "\n", "a", "é\r\né", "a\n\n\nb\n", &"x".repeat(3000), "\u{feff}model"] {
            let (map, id) = sources(text);
            for start in 0..=text.len() + 1 {
                for end in [start, start + 1, text.len(), text.len() + 5] {
                    let span = Span::new(id, start, end.max(start));
                    let diagnostic = Diagnostic::new(Code("E0101"), span, "t").at("l").label(span, "again");
                    assert!(human(&diagnostic, &map, Look::default()).starts_with("error[E0101]: t\n"));
                }
            }
        }
    }

    #[test]
    fn a_label_in_another_text_becomes_a_note() {
        let (mut map, id) = sources("model M {}\n");
        let other = map.add(SourceFile::new("lib.twin", "\nfn f(x) = x\n"));
        let diagnostic = Diagnostic::new(Code("E0202"), Span::new(id, 6, 7), "`M` is declared twice")
            .label(Span::new(other, 4, 5), "declared first here");
        assert!(human(&diagnostic, &map, Look::default()).contains("note: lib.twin:2:4: declared first here"));
    }
}
