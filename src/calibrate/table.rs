//! Data files: CSV text into a [`Table`] of cells that know their place.
//!
//! The first line that is neither blank nor a comment (`#`) names the columns. Cells are separated by commas, semicolons
//! or tabs, whichever the header has most of; they may be quoted; blanks around them do not count. A cell is read as a
//! number only when it is asked for, so a column of text beside the data does no harm.
//!
//! **Invariant:** every row of a [`Table`] has one cell for each column, and not all of them are empty. The scanner in
//! `table/scan.rs` sees to it.

mod scan;

use std::borrow::Cow;
use std::sync::Arc;

use crate::diag::closest::closest;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceId, SourceMap, Span};

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnIdx(pub u32);

/// A column's name and where the header says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Without quotes and blanks; may be empty, and is then out of reach.
    pub name: String,
    /// In the header, without quotes.
    pub span: Span,
}

/// A cell that is not a finite number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    /// The cell.
    pub span: Span,
    /// What stands there.
    pub text: String,
}

impl CellError {
    /// `E0604` for this cell of the column called `column`.
    pub fn diagnostic(&self, column: &str) -> Diagnostic {
        let text = shortened(&self.text);
        let title = format!("`{text}` in column `{column}` is not a finite number");
        Diagnostic::new(Code("E0604"), self.span, title).help(self.help())
    }

    /// What to write instead.
    fn help(&self) -> String {
        let lower = self.text.to_lowercase();
        if let Some(whole) = without_groups(&self.text) {
            return match self.text.split_once(',') {
                Some((left, right)) if right.len() == 3 => {
                    format!(
                        "write `{whole}` if the comma groups thousands, and `{left}.{right}` if it is a decimal comma"
                    )
                }
                Some(_) | None => format!("write `{whole}`: thousands are not grouped"),
            };
        }
        if let Some((whole, fraction)) = self.text.split_once(',')
            && format!("{whole}.{fraction}").parse::<f64>().is_ok()
        {
            return format!("write `{whole}.{fraction}`, with a point");
        }
        if lower.replace('\u{2212}', "-").parse().is_ok_and(f64::is_finite) {
            return "write `-` for the minus sign".to_string();
        }
        if matches!(lower.as_str(), "nan" | "na" | "n/a" | "n.a." | "null" | "none" | "-" | "." | "?" | "nd") {
            return "leave the cell empty where nothing was measured".to_string();
        }
        if lower.starts_with(['<', '>']) {
            return "leave the cell empty: a value beyond a detection limit is not a measurement".to_string();
        }
        "write a number such as `0.25`, or leave the cell empty where nothing was measured".to_string()
    }
}

/// `1234567.5` for `1,234,567.5` and `1 234 567.5`; `None` for a text whose digits are not in groups of three.
fn without_groups(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let unsigned = whole.trim_start_matches('-');
    let mut groups = unsigned.split([',', ' ', '\u{a0}', '\u{202f}', '\'']);
    let is_digits = |group: &str| group.chars().all(|c| c.is_ascii_digit());
    let first = groups.next().filter(|group| (1..=3).contains(&group.len()) && is_digits(group) && *group != "0")?;
    let rest: Vec<&str> = groups.collect();
    if rest.is_empty() || !rest.iter().all(|group| group.len() == 3 && is_digits(group)) {
        return None;
    }
    let sign = &whole[..whole.len() - unsigned.len()];
    let number = format!("{sign}{first}{}{}", rest.concat(), fraction.map_or(String::new(), |f| format!(".{f}")));
    number.parse::<f64>().is_ok_and(f64::is_finite).then_some(number)
}

/// At most 24 characters of a text, for a title.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(24) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("")),
        None => text.to_string(),
    }
}

/// A bounded table of text and numbers.
#[derive(Debug, Clone)]
pub struct Table {
    source: SourceId,
    text: Arc<str>,
    columns: Vec<Column>,
    header: Span,
    /// Byte ranges without quotes and blanks, row by row: `n_rows * columns.len()`.
    cells: Vec<(u32, u32)>,
    /// Byte ranges of the rows.
    rows: Vec<(u32, u32)>,
}

impl Table {
    /// Reads the text `id`. All its mistakes are reported (rows of one kind up to a number), and `None` is returned where
    /// there are any: `E0605` for an empty file, a wholly empty row, a row of another length than the header, or a quote
    /// that does not close; `E0202` for two columns of one name; `E0610` for a text that is too large or binary.
    pub fn read(sources: &SourceMap, id: SourceId, diagnostics: &mut Diagnostics) -> Option<Table> {
        let file = sources.get(id);
        let mut reader = scan::Reader::new(&file.name, Arc::clone(&file.text), id);
        let table = reader.read();
        let is_whole = reader.problems.is_empty();
        reader.report(diagnostics);
        table.filter(|_| is_whole)
    }

    /// The text it was read from.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// All columns, from left to right.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The whole header line.
    pub fn header_span(&self) -> Span {
        self.header
    }

    /// How many rows of data there are; at least 1.
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<ColumnIdx> {
        let found = self.columns.iter().position(|column| column.name == name && !name.is_empty())?;
        u32::try_from(found).ok().map(ColumnIdx)
    }

    /// `E0601`: the name at `asked` is no column; lists the columns and shows the header.
    pub fn missing_column(&self, name: &str, asked: Span) -> Diagnostic {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).filter(|name| !name.is_empty()).collect();
        let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let mut help = format!("columns are {}", list.join(", "));
        let alike = names.iter().copied().max_by_key(|column| common_prefix(column, name));
        let alike = alike.filter(|column| common_prefix(column, name) * 2 >= column.chars().count().max(5));
        if let Some(meant) = closest(name, names.iter().copied()).or(alike) {
            help.push_str(&format!("; did you mean `{meant}`?"));
        }
        Diagnostic::new(Code("E0601"), asked, format!("no column `{name}`"))
            .label(self.header, "the header of the data")
            .help(help)
    }

    /// The cell, without quotes and blanks.
    pub fn cell_span(&self, row: usize, column: ColumnIdx) -> Span {
        let (start, end) = self.cell(row, column);
        Span { source: self.source, start, end }
    }

    /// The whole row.
    pub fn row_span(&self, row: usize) -> Span {
        let (start, end) = self.rows.get(row).copied().unwrap_or((self.header.end, self.header.end));
        Span { source: self.source, start, end }
    }

    /// The cell as a number; `None` where it is empty, which means not measured.
    ///
    /// # Errors
    /// [`CellError`] for text, NaN and numbers that are not finite.
    pub fn number(&self, row: usize, column: ColumnIdx) -> Result<Option<f64>, CellError> {
        let Some(text) = self.text(row, column) else { return Ok(None) };
        // Rust reads `inf` and `nan` as numbers too; these letters leave them out.
        let is_plain = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        match text.parse::<f64>() {
            Ok(number) if is_plain && number.is_finite() => Ok(Some(number)),
            Ok(_) | Err(_) => Err(CellError { span: self.cell_span(row, column), text: text.into_owned() }),
        }
    }

    /// The cell as text; `None` where it is empty.
    pub fn text(&self, row: usize, column: ColumnIdx) -> Option<Cow<'_, str>> {
        let (start, end) = self.cell(row, column);
        let text = scan::cell_text(&self.text, start as usize, end as usize);
        (!text.is_empty()).then_some(text)
    }

    /// The byte range of a cell; empty, at the end of the header, beyond the table.
    fn cell(&self, row: usize, column: ColumnIdx) -> (u32, u32) {
        let column = column.0 as usize;
        let at = row.checked_mul(self.columns.len()).and_then(|first| first.checked_add(column));
        let cell = at.filter(|_| column < self.columns.len()).and_then(|at| self.cells.get(at).copied());
        cell.unwrap_or((self.header.end, self.header.end))
    }
}

/// How many characters two names begin with in common.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
