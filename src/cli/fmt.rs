//! `twinc fmt`: the one layout. Comments stay, meaning never changes, and a text with errors is left alone.

use super::args::FmtArgs;
use super::console::{Console, reason};
use super::failure::{Exit, Failure};
use super::target::Target;
use super::{diff, files};
use crate::diag::Diagnostics;
use crate::source::{SourceFile, SourceMap};
use crate::syntax;
use serde_json::{Value, json};
use std::io::Read;

/// What became of the files, for the document of a machine format.
#[derive(Default)]
struct Outcome {
    /// Files that were, or would be, changed.
    changed: Vec<String>,
    /// `--diff` of each file that differs.
    diffs: Vec<Value>,
    /// Standard input in the one layout.
    formatted: Option<String>,
}

/// Formats each file in place; `-` formats standard input to standard output. What cannot be read or written does not
/// keep the others from their turn.
///
/// # Errors
/// Where standard output cannot take the text.
pub fn run(args: &FmtArgs, console: &mut Console) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let mut outcome = Outcome::default();
    for file in &args.files {
        exit = exit.worse(match one(args, file, console, &mut outcome) {
            Ok(exit) => exit,
            Err(failure) => {
                console.report(failure.diagnostics, &SourceMap::default());
                failure.exit
            }
        });
    }
    console.result(json!({ "changed": outcome.changed, "diffs": outcome.diffs, "formatted": outcome.formatted }));
    Ok(exit)
}

fn one(args: &FmtArgs, file: &str, console: &mut Console, outcome: &mut Outcome) -> Result<Exit, Failure> {
    let mut sources = SourceMap::default();
    let root = if file == "-" {
        sources.add(SourceFile::new("<stdin>", standard_input()?))
    } else {
        Target { path: file.into(), name: None }.read(&mut sources)?
    };
    let text = sources.get(root).text.clone();
    let mut diagnostics = Diagnostics::default();
    let tree = syntax::parse(root, &text, &mut diagnostics);
    if diagnostics.has_errors() {
        console.report(diagnostics, &sources);
        console.say(format!("{file}: not formatted, because it could not be read as a whole"));
        return Ok(Exit::Findings);
    }
    let formatted = syntax::print(&tree);
    let differs = *formatted != *text;
    if differs {
        outcome.changed.push(file.to_string());
    }
    if args.diff && differs {
        let difference = diff::unified(&text, &formatted, file, &format!("{file} (formatted)"));
        if console.is_text() {
            console.data(difference.as_bytes())?;
        }
        outcome.diffs.push(json!({ "file": file, "diff": difference }));
    }
    if args.check || args.diff {
        if differs {
            console.say(format!("{file}: would be formatted"));
            return Ok(Exit::Findings);
        }
    } else if file == "-" {
        if console.is_text() {
            console.data(formatted.as_bytes())?;
        }
        outcome.formatted = Some(formatted);
    } else if differs {
        files::write_whole(file.as_ref(), formatted.as_bytes()).map_err(|why| Failure::new("E0802", why))?;
        console.detail(format!("{file}: formatted"));
    }
    Ok(Exit::Fine)
}

fn standard_input() -> Result<String, Failure> {
    let limit = crate::limits::MAX_SOURCE_BYTES;
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new("E0801", format!("standard input cannot be read: {}", reason(&error))))?;
    if bytes.len() > limit {
        return Err(Failure::new("E0110", format!("standard input has more than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::new("E0801", "standard input is not UTF-8 text"))
}
