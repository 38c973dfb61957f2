//! The two streams: data to stdout, words for people to stderr.
//!
//! In a machine format the diagnostics are data: they are collected and written at the end, and in JSON the verb's own
//! result is a part of the one document. Workflow commands stand between lines of data, so that format keeps the data as
//! text. A closed pipe on stdout is quiet (`twinc sim m.twin | head` is no fault) and never stops a run that has a folder to fill.

use super::args::Format;
use super::failure::{Exit, Failure};
use super::{machine, render};
use crate::diag::Diagnostics;
use crate::source::SourceMap;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};

/// Where a verb writes.
pub struct Console {
    /// How results and diagnostics are written.
    pub format: Format,
    /// The name of the verb, for documents.
    pub verb: &'static str,
    look: render::Look,
    /// −1 quiet, 0 normal, 1 and more: details.
    verbosity: i8,
    collected: Vec<(Diagnostics, SourceMap)>,
    results: Option<Value>,
    stdout_is_closed: bool,
    /// What stdout could not take, while the work went on.
    postponed: Option<Failure>,
}

impl Console {
    /// `color`: `None` where the terminal decides.
    pub fn new(verb: &'static str, format: Format, color: Option<bool>, verbosity: i8) -> Console {
        let is_terminal = io::stderr().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = render::Look {
            color: color
                .unwrap_or(is_terminal && !is_dumb && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())),
            unicode: is_terminal && !is_dumb,
        };
        let (collected, results) = (Vec::new(), None);
        Console { format, verb, look, verbosity, collected, results, stdout_is_closed: false, postponed: None }
    }

    /// True where diagnostics are for people, on stderr.
    pub fn is_human(&self) -> bool {
        self.format == Format::Human || self.format.is_of_models()
    }

    /// True where data are written as they are, not as a part of a document.
    pub fn is_text(&self) -> bool {
        match self.format {
            Format::Human | Format::Github | Format::Latex | Format::Dot => true,
            Format::Json | Format::Jsonl | Format::Sarif => false,
        }
    }

    /// True where a moving progress line is welcome.
    pub fn is_live(&self) -> bool {
        self.verbosity >= 0 && io::stderr().is_terminal()
    }

    /// True where data appear before a person.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// True with `-q`.
    pub fn is_quiet(&self) -> bool {
        self.verbosity < 0
    }

    /// A line for people; silenced by `-q`.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.verbosity >= 0 {
            to_stderr(text.as_ref());
        }
    }

    /// A line for curious people (`-v`).
    pub fn detail(&self, text: impl AsRef<str>) {
        if self.verbosity >= 1 {
            to_stderr(text.as_ref());
        }
    }

    /// Data, as it is. After stdout was closed by its reader this does nothing.
    ///
    /// # Errors
    /// E0802 where stdout cannot take it, such as a full disk.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.stdout_is_closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stdout_is_closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new("E0802", format!("standard output cannot be written: {}", reason(&error)))
                .help("free some space or write to another place")),
        }
    }

    /// True after stdout was closed by its reader.
    pub fn is_closed(&self) -> bool {
        self.stdout_is_closed
    }

    /// Data whose loss shall not end the work: where stdout cannot take it, [`Console::finish`] says so.
    pub fn data_in_passing(&mut self, bytes: &[u8]) {
        if let Err(failure) = self.data(bytes) {
            self.postponed = Some(failure);
        }
    }

    /// Shows or collects diagnostics, sorted by place.
    pub fn report(&mut self, mut diagnostics: Diagnostics, sources: &SourceMap) {
        if diagnostics.iter().all(|d| !d.labels.is_empty()) {
            diagnostics.sort();
        }
        if diagnostics.is_empty() {
            return;
        }
        if self.is_human() {
            for diagnostic in diagnostics.iter() {
                if self.verbosity >= 0 || diagnostic.severity == crate::diag::Severity::Error {
                    to_stderr(&render::human(diagnostic, sources, self.look));
                }
            }
            let summary = render::summary(&diagnostics);
            if !summary.is_empty() {
                self.say(summary);
            }
        } else {
            self.collected.push((diagnostics, sources.clone()));
        }
    }

    /// The verb's own result for the machine formats: an object, written beside the diagnostics.
    pub fn result(&mut self, value: Value) {
        self.results = Some(value);
    }

    /// Writes the document of a machine format; the last thing a run does.
    ///
    /// # Errors
    /// E0802 where stdout cannot take it, or could not take something before.
    pub fn finish(&mut self, exit: Exit) -> Result<(), Failure> {
        if let Some(failure) = self.postponed.take() {
            return Err(failure);
        }
        let groups = std::mem::take(&mut self.collected);
        let all: Vec<_> = groups.iter().flat_map(|(list, sources)| machine::objects(list, sources)).collect();
        let text = match self.format {
            Format::Human | Format::Latex | Format::Dot => return Ok(()),
            Format::Json => {
                let document = json!({
                    "schema": machine::SCHEMA, "command": self.verb, "exit": exit.code(),
                    "summary": machine::counts(&all),
                    "diagnostics": all.iter().map(|(_, value)| value).collect::<Vec<_>>(),
                    "result": self.results.take(),
                });
                format!("{document:#}\n")
            }
            Format::Jsonl => {
                let mut text = String::new();
                for (_, value) in &all {
                    let line = json!({ "schema": machine::SCHEMA, "kind": "diagnostic", "diagnostic": value });
                    text.push_str(&format!("{line}\n"));
                }
                if let Some(result) = self.results.take() {
                    let line =
                        json!({ "schema": machine::SCHEMA, "kind": "result", "command": self.verb, "result": result });
                    text.push_str(&format!("{line}\n"));
                }
                let line = json!({
                    "schema": machine::SCHEMA, "kind": "summary", "command": self.verb, "exit": exit.code(),
                    "summary": machine::counts(&all),
                });
                text.push_str(&format!("{line}\n"));
                text
            }
            Format::Github => {
                groups.iter().flat_map(|(list, sources)| list.iter().map(|d| machine::github(d, sources))).collect()
            }
            Format::Sarif => {
                let pairs: Vec<_> =
                    groups.iter().flat_map(|(list, s)| list.iter().map(move |d| (d.clone(), s))).collect();
                format!("{:#}\n", machine::sarif(&pairs))
            }
        };
        self.data(text.as_bytes())
    }
}

/// Writes a line to stderr; there is nobody to tell where that fails.
pub(super) fn to_stderr(text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _ = io::stderr().lock().write_all(format!("{text}{end}").as_bytes());
}

/// An error of the operating system in the words of a user.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".into(),
        io::ErrorKind::PermissionDenied => "permission is denied".into(),
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        io::ErrorKind::FileTooLarge => "the file would be larger than this process or disk allows".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        io::ErrorKind::NotADirectory => "a part of its path is a file, not a folder".into(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}
