//! The table of many runs in their run folder: `trajectory.csv` grows, and `parts.jsonl` says how far it is sound.
//!
//! A line of `parts.jsonl` states, for a part just written, how many runs and bytes the table has up to its end and the
//! hash of all these bytes. A process that is killed loses the part it was writing: whoever goes on cuts the table off
//! behind the last line that it agrees with. When all runs are there, the last line is the only one, and the bytes of
//! both files are those of a run that was never interrupted.

use super::failure::Failure;
use super::files::cannot_write;
use super::run_folder::RunFolder;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The table.
pub const TABLE: &str = "trajectory.csv";
const LOG: &str = "parts.jsonl";
/// Bytes of a part, ...
const FULL: usize = 1 << 20;
/// ... and how long after the last one a run is not kept waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a table has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Finished runs.
    pub runs: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Bytes of the table.
    pub bytes: u64,
    /// Their hash.
    hash: u64,
}

impl Mark {
    /// An empty table; the hash begins at its offset.
    const EMPTY: Mark = Mark { runs: 0, failed: 0, bytes: 0, hash: 0xcbf2_9ce4_8422_2325 };

    /// Takes bytes in, by FNV-1a with 64 bits (Fowler, Noll and Vo 1991): it tells torn writes, not intruders.
    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash = bytes.iter().fold(self.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }
}

/// The open table.
pub struct Parts<'a> {
    folder: &'a RunFolder,
    table: File,
    log: File,
    /// With what waits.
    mark: Mark,
    waiting: Vec<u8>,
    /// When the last part was.
    written: Instant,
}

impl<'a> Parts<'a> {
    /// Begins a table with its head.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn create(folder: &'a RunFolder, head: &str) -> Result<Parts<'a>, Failure> {
        Parts::open(folder, head, Mark::EMPTY)
    }

    /// Goes on with the table of an earlier process. Returns how far it had come.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn resume(folder: &'a RunFolder, head: &str) -> Result<(Parts<'a>, Mark), Failure> {
        let sound = sound(folder, head).unwrap_or(Mark::EMPTY);
        Ok((Parts::open(folder, head, sound)?, sound))
    }

    fn open(folder: &'a RunFolder, head: &str, mark: Mark) -> Result<Parts<'a>, Failure> {
        // What vouches for the part that is kept is there before the rest goes.
        let is_new = mark == Mark::EMPTY;
        folder.write(LOG, if is_new { String::new() } else { line(&mark)? }.as_bytes())?;
        let opened = |name: &str, length: Option<u64>| {
            let path = folder.path().join(name);
            let open = || {
                let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                length.map_or(Ok(()), |length| file.set_len(length))?;
                file.seek(SeekFrom::End(0))?;
                Ok(file)
            };
            open().map_err(|error| folder.no_room(cannot_write(&path, &error)))
        };
        let (table, log) = (opened(TABLE, Some(mark.bytes))?, opened(LOG, None)?);
        let mut parts = Parts { folder, table, log, mark, waiting: Vec::new(), written: Instant::now() };
        if is_new {
            parts.waiting.extend_from_slice(head.as_bytes());
            parts.mark.take(head.as_bytes());
            parts.write()?;
        }
        Ok(parts)
    }

    /// Adds the rows of the next run.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn add(&mut self, rows: &str, is_failed: bool) -> Result<(), Failure> {
        self.waiting.extend_from_slice(rows.as_bytes());
        self.mark.take(rows.as_bytes());
        self.mark.runs += 1;
        self.mark.failed += usize::from(is_failed);
        if self.waiting.len() >= FULL || self.written.elapsed() >= PATIENCE { self.write() } else { Ok(()) }
    }

    /// Writes what waits as a part, and the line that vouches for it.
    fn write(&mut self) -> Result<(), Failure> {
        let written = self.table.write_all(&self.waiting);
        self.waiting.clear();
        self.written = Instant::now();
        written.map_err(|error| self.folder.no_room(cannot_write(&self.path(TABLE), &error)))?;
        self.note()
    }

    fn note(&mut self) -> Result<(), Failure> {
        let written = self.log.write_all(line(&self.mark)?.as_bytes());
        written.map_err(|error| self.folder.no_room(cannot_write(&self.path(LOG), &error)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes what waits. Where all runs are there, one line vouches for all.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn end(mut self, is_complete: bool) -> Result<Mark, Failure> {
        self.write()?;
        self.table.sync_all().map_err(|error| self.folder.no_room(cannot_write(&self.path(TABLE), &error)))?;
        if is_complete {
            self.folder.write(LOG, line(&self.mark)?.as_bytes())?;
        }
        Ok(self.mark)
    }
}

fn line(mark: &Mark) -> Result<String, Failure> {
    let text = serde_json::to_string(mark).map_err(|error| Failure::new("E0802", error.to_string()))?;
    Ok(text + "\n")
}

/// The last line that the table agrees with; `None` where there is none.
fn sound(folder: &RunFolder, head: &str) -> Option<Mark> {
    let log = std::fs::read_to_string(folder.path().join(LOG)).ok()?;
    let mut table = BufReader::with_capacity(FULL, File::open(folder.path().join(TABLE)).ok()?);
    let mut present = Mark::EMPTY;
    let mut last = None;
    let mut piece = vec![0; head.len()];
    table.read_exact(&mut piece).ok().filter(|()| piece == head.as_bytes())?;
    present.take(&piece);
    for mark in log.lines().map_while(|line| serde_json::from_str::<Mark>(line).ok()) {
        while present.bytes < mark.bytes {
            let n = usize::try_from(mark.bytes - present.bytes).unwrap_or(FULL).min(FULL);
            piece.resize(n, 0);
            if table.read_exact(&mut piece).is_err() {
                return last;
            }
            present.take(&piece);
        }
        if (present.bytes, present.hash) != (mark.bytes, mark.hash) {
            return last;
        }
        last = Some(mark);
    }
    last
}
