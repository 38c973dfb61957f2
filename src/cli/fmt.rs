//! `twinc fmt`: the one layout. Comments stay, meaning never changes, and a text with errors is left alone.

use super::args::FmtArgs;
use super::console::{Console, reason};
use super::failure::{Exit, Failure};
use super::target::Target;
use super::{diff, files};
use crate::diag::Diagnostics;
use crate::source::{SourceFile, SourceMap};
use crate::syntax;
use serde_json::json;
use std::io::Read;

/// Formats each file in place; `-` formats standard input to standard output.
///
/// # Errors
/// A file that cannot be read or written.
pub fn run(args: &FmtArgs, console: &mut Console) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let mut changed = Vec::new();
    for file in &args.files {
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
            exit = Exit::Findings;
            continue;
        }
        let formatted = syntax::print(&tree);
        let differs = *formatted != *text;
        if differs {
            changed.push(file.clone());
        }
        if args.diff {
            console.data(diff::unified(&text, &formatted, file, &format!("{file} (formatted)")).as_bytes())?;
        }
        if args.check || args.diff {
            if differs {
                exit = Exit::Findings;
                console.say(format!("{file}: would be formatted"));
            }
        } else if file == "-" {
            console.data(formatted.as_bytes())?;
        } else if differs {
            files::write_whole(file.as_ref(), formatted.as_bytes()).map_err(|why| Failure::new("E0802", why))?;
            console.detail(format!("{file}: formatted"));
        }
    }
    console.result(json!({ "changed": changed }));
    Ok(exit)
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
