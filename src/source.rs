//! Texts and places in them: every diagnostic points at a [`Span`] of a [`SourceFile`] held by a [`SourceMap`].
//!
//! Stages never touch the disk. They ask a [`Loader`] for further texts (imports, data files) and hand what they
//! write to a [`Sink`]; both are implemented in `cli` (and by tests, in memory).

use std::sync::Arc;

/// Index of a text in its [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A half-open range of byte offsets in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text the range is in.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end` of `source`.
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Span { source, start: start as u32, end: end as u32 }
    }

    /// The smallest span that holds both; `self` where they are in different texts.
    pub fn to(self, other: Span) -> Span {
        if self.source != other.source {
            return self;
        }
        Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty span at the end of this one.
    pub fn end_point(self) -> Span {
        Span { start: self.end, ..self }
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True where the span covers no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A text with the name it is shown under (a path as the user wrote it, or `std.kinetics`).
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Shown in diagnostics.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// Keeps `text` under `name` and finds its lines.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        SourceFile { name: name.into(), text, line_starts }
    }

    /// One-based line and column (in characters) of a byte offset.
    pub fn line_column(&self, offset: u32) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let start = self.line_starts[line] as usize;
        let mut end = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        (line + 1, self.text[start..end].chars().count() + 1)
    }
}

/// All texts of one run.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text and returns its id.
    pub fn add(&mut self, file: SourceFile) -> SourceId {
        self.files.push(file);
        SourceId(self.files.len() as u32 - 1)
    }

    /// The text with this id.
    pub fn get(&self, id: SourceId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// The characters a span covers.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source).text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The text with this name, if it was added.
    pub fn find(&self, name: &str) -> Option<SourceId> {
        self.files.iter().position(|f| f.name == name).map(|i| SourceId(i as u32))
    }

    /// All texts in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, f)| (SourceId(i as u32), f))
    }
}

/// Why a text could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct LoadError {
    /// The code of its diagnostic: E0801 (cannot be read), E0110 (a text too large), E0610 (a table too large or not
    /// text).
    pub code: &'static str,
    /// What went wrong, in the words of a user; continues the sentence "`path` cannot be read: ...".
    pub reason: String,
    /// The way out; empty where none is known.
    pub help: String,
}

impl LoadError {
    /// A text that cannot be read (E0801).
    pub fn new(reason: impl Into<String>) -> LoadError {
        LoadError { code: "E0801", reason: reason.into(), help: String::new() }
    }
}

/// Brings texts that a model or study names: imported `.twin` files and CSV data.
pub trait Loader {
    /// Loads `path`, taken relative to the folder of the text named `from`, and returns the name to show and the text.
    ///
    /// # Errors
    /// [`LoadError`] where there is no such text, it is not UTF-8, or it is larger than the limit.
    fn load(&self, from: &str, path: &str) -> Result<SourceFile, LoadError>;
}

/// A loader for texts that may not name others.
pub struct NoLoader;

impl Loader for NoLoader {
    fn load(&self, _from: &str, path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new(format!("no files can be read here, so `{path}` is out of reach")))
    }
}

/// Takes named results (CSV, SVG, JSON); a name is a relative path inside the run folder.
pub trait Sink {
    /// Stores `bytes` under `name`, whole or not at all.
    ///
    /// # Errors
    /// The reason in the words of a user, the place included.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String>;
}
