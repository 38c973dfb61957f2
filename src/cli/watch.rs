//! `twinc check --watch`: checks again whenever a file, or what it imports or reads, has changed.
//!
//! Files are looked at a few times a second; a file is changed when its time or size is. So it works on every file
//! system, network folders among them, and needs nothing of the operating system.

use super::args::CheckArgs;
use super::console::Console;
use super::failure::{Exit, Failure};
use super::target::Target;
use super::{check, interrupt};
use crate::source::SourceMap;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Clears a terminal and puts the cursor at its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// What a file looked like; `None` where it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// Checks until Ctrl-C.
///
/// # Errors
/// E0804 for a machine format, which is one document and would never end.
pub fn run(args: &CheckArgs, console: &mut Console) -> Result<Exit, Failure> {
    if !console.is_human() {
        return Err(Failure::new("E0804", format!("`--watch` cannot write `{}`", console.format.name()))
            .help("leave `--format` out: watching is for people"));
    }
    interrupt::catch();
    let is_terminal = std::io::stderr().is_terminal();
    let roots: BTreeSet<PathBuf> = args.files.iter().map(|file| Target::parse(file).path).collect();
    let mut paths = roots.clone();
    loop {
        // What changes while it is read is seen as a change afterwards.
        let before = stamps(&paths);
        let mut read = roots.clone();
        match check::once(args, console, &mut read) {
            Ok(Exit::Fine) => console.say("fine"),
            Ok(_) => {}
            Err(failure) => console.report(failure.diagnostics, &SourceMap::default()),
        }
        paths.extend(read);
        let mut seen = stamps(&paths);
        if !args.fix {
            seen.extend(before);
        }
        console.say(format!("watching {}; Ctrl-C ends", super::render::counted(paths.len(), "file")));
        while stamps(&paths) == seen {
            if interrupt::is_asked() {
                return Ok(Exit::Interrupted);
            }
            std::thread::sleep(PAUSE);
        }
        if is_terminal {
            console.say(CLEAR);
        }
    }
}

fn stamps(paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.iter().map(|path| (path.clone(), stamp(path))).collect()
}
