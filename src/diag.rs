//! Diagnostics: what every front-end stage reports instead of failing.
//!
//! A diagnostic has a code, a place, a title, labels and, whenever it is known, what to write instead.
//! The codes and their one-line meanings stand in [`codes`]; `docs/errors.md` explains each with a failing model.
//! Rendering (miette, JSON, SARIF, GitHub) is `cli`'s.

pub mod closest;
pub mod codes;

use crate::source::Span;
pub use codes::Code;

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// A fact worth knowing; changes nothing.
    Note,
    /// Probably a mistake; later stages still run.
    Warning,
    /// Later stages do not run.
    Error,
}

/// A place and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What stands there, in the user's words; may be empty.
    pub text: String,
}

/// One replacement of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty for an insertion.
    pub span: Span,
    /// By what.
    pub replacement: String,
}

/// A repair that `check --fix` can apply by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What the repair does, as an imperative.
    pub title: String,
    /// Edits that do not overlap.
    pub edits: Vec<Edit>,
}

/// One thing to tell the user about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code such as `E0301`.
    pub code: Code,
    /// Error, warning or note.
    pub severity: Severity,
    /// Lower case, no full stop, names the user's thing in backticks.
    pub title: String,
    /// The first label is the primary place.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
    /// Further facts, one sentence each.
    pub notes: Vec<String>,
    /// The machine repair, if there is exactly one right one.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A diagnostic of the code's own severity at `span`.
    pub fn new(code: Code, span: Span, title: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: code.severity(),
            title: title.into(),
            labels: vec![Label { span, text: String::new() }],
            help: None,
            notes: Vec::new(),
            fix: None,
        }
    }

    /// Writes `text` at the primary place.
    pub fn at(mut self, text: impl Into<String>) -> Self {
        self.labels[0].text = text.into();
        self
    }

    /// Adds a further labelled place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to write instead.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds a fact.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Offers a repair that replaces `span`.
    pub fn fix(mut self, title: impl Into<String>, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { title: title.into(), edits: vec![Edit { span, replacement: replacement.into() }] });
        self
    }

    /// The primary place.
    pub fn span(&self) -> Span {
        self.labels[0].span
    }
}

/// The diagnostics of a run, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one; past [`crate::limits::MAX_DIAGNOSTICS`] further ones are dropped.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < crate::limits::MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
        }
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Diagnostics) {
        for d in others.list {
            self.push(d);
        }
    }

    /// True where at least one is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// True where nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were found.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All, in the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Orders by place (text, then offset), errors before warnings at one place, and drops exact repetitions.
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| (a.span(), b.severity, a.code).cmp(&(b.span(), a.severity, b.code)));
        self.list.dedup();
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
