//! The scanner of data files: lines, separators, quotes, and what is wrong with them.
//!
//! It is our own because every message points at a cell: the `csv` crate tells where a record starts, not where its fields
//! are once quotes are removed.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Column, Table};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::limits::{MAX_CSV_BYTES, MAX_CSV_COLUMNS};
use crate::source::{SourceId, Span};

/// Rows that are reported one by one; further ones are counted.
const MAX_ROWS_REPORTED: usize = 10;

/// What a cell says: trimmed, and with doubled quotes made single where it stands in quotes.
pub(super) fn cell_text(text: &str, start: usize, end: usize) -> Cow<'_, str> {
    let cell = text.get(start..end).unwrap_or("");
    let is_quoted = start > 0 && text.as_bytes().get(start - 1) == Some(&b'"');
    if is_quoted && cell.contains("\"\"") {
        Cow::Owned(cell.replace("\"\"", "\"").trim().to_string())
    } else {
        Cow::Borrowed(cell.trim())
    }
}

/// One mistake of one row.
pub(super) struct Problem {
    kind: Kind,
    diagnostic: Diagnostic,
}

/// Mistakes that a file makes in row after row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Length,
    Other,
}

/// The scanner's state.
pub(super) struct Reader<'a> {
    name: &'a str,
    text: Arc<str>,
    source: SourceId,
    at: usize,
    separator: u8,
    pub(super) problems: Vec<Problem>,
    /// Problems of each repeatable kind that are not kept.
    dropped: [usize; 2],
}

impl<'a> Reader<'a> {
    /// At the start of `text`.
    pub(super) fn new(name: &'a str, text: Arc<str>, source: SourceId) -> Self {
        Reader { name, text, source, at: 0, separator: b',', problems: Vec::new(), dropped: [0; 2] }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn problem(&mut self, kind: Kind, diagnostic: Diagnostic) {
        let kept = self.problems.iter().filter(|problem| problem.kind == kind).count();
        match kind {
            Kind::Empty if kept >= MAX_ROWS_REPORTED => self.dropped[0] += 1,
            Kind::Length if kept >= MAX_ROWS_REPORTED => self.dropped[1] += 1,
            Kind::Empty | Kind::Length | Kind::Other => self.problems.push(Problem { kind, diagnostic }),
        }
    }

    /// Hands over what was found; the last of a repeated kind says how many more there are.
    pub(super) fn report(self, diagnostics: &mut Diagnostics) {
        let last = |kind: Kind| self.problems.iter().rposition(|problem| problem.kind == kind);
        let notes = [(last(Kind::Empty), self.dropped[0]), (last(Kind::Length), self.dropped[1])];
        for (i, problem) in self.problems.into_iter().enumerate() {
            let more = notes.iter().find(|(place, dropped)| *place == Some(i) && *dropped > 0);
            diagnostics.push(match more {
                Some((_, dropped)) => problem.diagnostic.note(format!("{dropped} more rows have this mistake")),
                None => problem.diagnostic,
            });
        }
    }

    /// The table, as far as it could be read; whole only where no problem was found.
    pub(super) fn read(&mut self) -> Option<Table> {
        self.check_text()?;
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while self.skip_line_if(|line| line.is_empty() || line.starts_with('#')).is_some() {}
        let start = self.at;
        let mut cells = Vec::new();
        self.choose_separator();
        let n_cells = if self.byte().is_some() { self.record(&mut cells) } else { None };
        let Some(n_cells) = n_cells else {
            if self.problems.is_empty() {
                let title = format!("the data file `{}` is empty", self.name);
                let help = "the first line names the columns, every further line is a row of numbers";
                self.problem(Kind::Other, Diagnostic::new(Code("E0605"), self.span(0, 0), title).help(help));
            }
            return None;
        };
        let header = self.trimmed_span(start);
        let columns = self.columns(header, n_cells, &cells)?;
        let mut table = Table {
            source: self.source,
            text: Arc::clone(&self.text),
            columns,
            header,
            cells: Vec::new(),
            rows: vec![],
        };
        self.rows(&mut table);
        if table.rows.is_empty() && self.problems.is_empty() {
            let title = format!("the data file `{}` has a header and no rows", self.name);
            self.problem(Kind::Other, Diagnostic::new(Code("E0605"), header, title).help("add a row below the header"));
        }
        Some(table)
    }

    /// Refuses texts that are too large or not text at all.
    fn check_text(&mut self) -> Option<()> {
        let length = self.text.len();
        if length > MAX_CSV_BYTES {
            let title = format!("the data file `{}` has {length} bytes, the limit is {MAX_CSV_BYTES}", self.name);
            let help = "split the file, or leave out rows and columns that are not used";
            self.problem(Kind::Other, Diagnostic::new(Code("E0610"), self.span(0, 0), title).help(help));
            return None;
        }
        let is_control = |b: u8| (b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c)) || b == 0x7f;
        if let Some(at) = self.text.bytes().position(is_control) {
            let title = format!("the data file `{}` is not text: byte {at} is a control character", self.name);
            let help = "save the data as CSV, with commas between columns";
            self.problem(Kind::Other, Diagnostic::new(Code("E0610"), self.span(at, at + 1), title).help(help));
            return None;
        }
        Some(())
    }

    /// Steps over the line if `is_wanted` says so of its trimmed text; returns where it starts and ends.
    fn skip_line_if(&mut self, is_wanted: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        if !is_wanted(rest.get(..length)?.trim()) {
            return None;
        }
        let start = self.at;
        self.at += length;
        self.skip_newline();
        Some((start, start + length))
    }

    /// `\n`, `\r\n` or `\r`
    fn skip_newline(&mut self) {
        if self.byte() == Some(b'\r') {
            self.at += 1;
        }
        if self.byte() == Some(b'\n') {
            self.at += 1;
        }
    }

    /// Takes the separator that the header has most of; a tab before a semicolon before a comma.
    fn choose_separator(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or("");
        let line = rest.split(['\n', '\r']).next().unwrap_or("");
        let mut counts = [(b'\t', 0), (b';', 0), (b',', 0)];
        let mut is_quoted = false;
        for byte in line.bytes() {
            is_quoted ^= byte == b'"';
            if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| *separator == byte && !is_quoted) {
                *count += 1;
            }
        }
        let mut best = (b',', 0);
        for (separator, count) in counts {
            if count > best.1 {
                best = (separator, count);
            }
        }
        self.separator = best.0;
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b) if b == b' ' || (b == b'\t' && self.separator != b'\t')) {
            self.at += 1;
        }
    }

    /// Reads one row of cells and the line end behind it and says how many there were; at most one more than the limit
    /// of columns is kept. `None` where a quote goes wrong, after which the rest of the file has no meaning.
    fn record(&mut self, cells: &mut Vec<(u32, u32)>) -> Option<usize> {
        let mut n_cells = 0;
        loop {
            self.skip_blanks();
            let (start, end) = if self.byte() == Some(b'"') { self.quoted()? } else { self.bare() };
            n_cells += 1;
            if n_cells <= MAX_CSV_COLUMNS + 1 {
                // MAX_CSV_BYTES is far below 2^32.
                cells.push((start as u32, end as u32));
            }
            match self.byte() {
                Some(byte) if byte == self.separator => self.at += 1,
                Some(_) | None => {
                    self.skip_newline();
                    return Some(n_cells);
                }
            }
        }
    }

    /// A cell without quotes, up to the separator or the end of the line.
    fn bare(&mut self) -> (usize, usize) {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or(&[]);
        let length = rest.iter().position(|b| *b == self.separator || matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
        self.at += length;
        let cell = self.text.get(start..self.at).unwrap_or("");
        (start, start + cell.trim_end().len())
    }

    /// A cell in quotes, in which a doubled quote stands for one.
    fn quoted(&mut self) -> Option<(usize, usize)> {
        let open = self.at;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or(&[]);
            let Some(length) = rest.iter().position(|b| *b == b'"') else {
                let title = "a quote is never closed";
                let diagnostic = Diagnostic::new(Code("E0605"), self.span(open, open + 1), title);
                self.problem(Kind::Other, diagnostic.help("add `\"` at the end of the cell, or remove this one"));
                return None;
            };
            self.at += length + 1;
            if self.byte() != Some(b'"') {
                break;
            }
            self.at += 1;
        }
        let close = self.at - 1;
        self.skip_blanks();
        match self.byte() {
            Some(byte) if byte != self.separator && !matches!(byte, b'\n' | b'\r') => {
                let title = "text follows the quote that closes a cell";
                let diagnostic = Diagnostic::new(Code("E0605"), self.span(open, close + 1), title);
                self.problem(Kind::Other, diagnostic.help("write a quote inside a cell twice: `\"\"`"));
                None
            }
            Some(_) | None => Some((open + 1, close)),
        }
    }

    /// From `start` to here without the line end.
    fn trimmed_span(&self, start: usize) -> Span {
        let line = self.text.get(start..self.at).unwrap_or("");
        self.span(start, start + line.trim_end_matches(['\n', '\r']).len())
    }

    /// The columns that the header's cells name.
    fn columns(&mut self, header: Span, n_cells: usize, cells: &[(u32, u32)]) -> Option<Vec<Column>> {
        if n_cells > MAX_CSV_COLUMNS {
            let title = format!("the data file has {n_cells} columns, the limit is {MAX_CSV_COLUMNS}");
            let help = "write one column for each quantity and one row for each time";
            self.problem(Kind::Other, Diagnostic::new(Code("E0610"), header, title).help(help));
            return None;
        }
        let text = Arc::clone(&self.text);
        let columns: Vec<Column> = cells
            .iter()
            .map(|(start, end)| Column {
                name: cell_text(&text, *start as usize, *end as usize).into_owned(),
                span: Span { source: self.source, start: *start, end: *end },
            })
            .collect();
        if columns.iter().all(|column| column.name.is_empty() || column.name.parse::<f64>().is_ok()) {
            let title = "the first row holds numbers where the names of the columns are expected";
            let help = "write a first line with a name for each column";
            self.problem(Kind::Other, Diagnostic::new(Code("E0605"), header, title).help(help));
            return None;
        }
        let mut by_name: Vec<&Column> = columns.iter().filter(|column| !column.name.is_empty()).collect();
        by_name.sort_by(|a, b| (&a.name, a.span).cmp(&(&b.name, b.span)));
        for pair in by_name.windows(2) {
            if pair[0].name == pair[1].name {
                let title = format!("two columns are named `{}`", pair[1].name);
                let diagnostic = Diagnostic::new(Code("E0202"), pair[1].span, title);
                let diagnostic =
                    diagnostic.label(pair[0].span, "the first is here").help("give each column a name of its own");
                self.problem(Kind::Other, diagnostic);
            }
        }
        Some(columns)
    }

    /// All rows below the header.
    fn rows(&mut self, table: &mut Table) {
        let n_columns = table.columns.len();
        let mut blank_lines: Vec<(usize, usize)> = Vec::new();
        while self.byte().is_some() {
            if self.skip_line_if(|line| line.starts_with('#')).is_some() {
                continue;
            }
            // Blank lines at the end of the file are no rows; others are reported once a row follows.
            if let Some(line) = self.skip_line_if(str::is_empty) {
                blank_lines.push(line);
                continue;
            }
            for (start, end) in std::mem::take(&mut blank_lines) {
                self.empty_row(self.span(start, end));
            }
            let start = self.at;
            let first = table.cells.len();
            let Some(n_cells) = self.record(&mut table.cells) else { return };
            let row = self.trimmed_span(start);
            let cells = table.cells.get(first..).unwrap_or(&[]);
            let is_blank = |(start, end): &(u32, u32)| {
                self.text.get(*start as usize..*end as usize).is_none_or(|cell| cell.trim().is_empty())
            };
            let is_empty = cells.iter().all(is_blank);
            if is_empty {
                self.empty_row(row);
            } else if n_cells != n_columns {
                self.wrong_length(row, n_cells, table);
            }
            if is_empty || n_cells != n_columns {
                table.cells.truncate(first);
            } else {
                table.rows.push((row.start, row.end));
            }
        }
    }

    fn empty_row(&mut self, row: Span) {
        let diagnostic = Diagnostic::new(Code("E0605"), row, "a row is wholly empty");
        self.problem(Kind::Empty, diagnostic.help("remove the row, or write at least its time"));
    }

    fn wrong_length(&mut self, row: Span, n_cells: usize, table: &Table) {
        let n_columns = table.columns.len();
        let cells = if n_cells == 1 { "cell" } else { "cells" };
        let title = format!("a row has {n_cells} {cells} where the header names {n_columns} columns");
        let separator = match self.separator {
            b'\t' => "tab",
            b';' => "semicolon",
            _ => "comma",
        };
        let help = if n_cells < n_columns {
            format!("an empty cell still needs its {separator}")
        } else {
            format!("remove the extra {separator}, or quote the cell that holds one")
        };
        let diagnostic = Diagnostic::new(Code("E0605"), row, title).label(table.header, "the header").help(help);
        self.problem(Kind::Length, diagnostic);
    }
}
