//! Reading and writing files: bounded reads with a reason for every refusal, and writes that happen whole or not at all.

use super::console::reason;
use crate::limits::{MAX_CSV_BYTES, MAX_SOURCE_BYTES};
use crate::source::{LoadError, Loader, Sink, SourceFile};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// E0801 (cannot be read), E0110 (a text too large), E0610 (a table too large or not text).
    pub code: &'static str,
    /// Continues the sentence "`path` cannot be read: ...".
    pub reason: String,
    /// The way out.
    pub help: String,
}

impl ReadError {
    fn new(code: &'static str, reason: impl Into<String>, help: impl Into<String>) -> ReadError {
        ReadError { code, reason: reason.into(), help: help.into() }
    }
}

/// Reads a `.twin` text or a table; the size is looked at before anything is read.
///
/// # Errors
/// [`ReadError`] for what is missing, a folder, too large, or not UTF-8 text.
pub fn read_text(path: &Path) -> Result<String, ReadError> {
    let is_table = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("tsv"));
    let (limit, too_large, not_text) =
        if is_table { (MAX_CSV_BYTES, "E0610", "E0610") } else { (MAX_SOURCE_BYTES, "E0110", "E0801") };
    let metadata = fs::metadata(path).map_err(|error| {
        let help = match nearest_name(path) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "check the path; it is taken relative to the current folder or to the file that names it".into(),
        };
        ReadError::new("E0801", reason(&error), help)
    })?;
    if metadata.is_dir() {
        let help = match first_twin_file(path) {
            Some(name) => format!("name a file in it, such as `{name}`"),
            None => "name a file in it".into(),
        };
        return Err(ReadError::new("E0801", "it is a folder, not a file", help));
    }
    let oversize = |size: String| {
        let help = if is_table {
            "keep the rows and columns that are needed, or split the file by experiment"
        } else {
            "split the model into files and import them with `use ... from \"file.twin\"`"
        };
        ReadError::new(too_large, format!("it has {size}; the limit is {}", megabytes(limit as u64)), help)
    };
    if metadata.len() > limit as u64 {
        return Err(oversize(megabytes(metadata.len())));
    }
    // Pipes and devices have no size, so the read itself is bounded too.
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| ReadError::new("E0801", reason(&error), "check the file and its permissions"))?;
    let binary = |what: String| {
        let help = if is_table { "save it as CSV in UTF-8" } else { "name the `.twin` text; it must be UTF-8" };
        ReadError::new(not_text, what, help)
    };
    if let Some(position) = bytes.iter().position(|&byte| byte == 0) {
        return Err(binary(format!("it is not text: byte {position} is zero")));
    }
    if bytes.len() > limit {
        return Err(oversize(format!("more than {}", megabytes(limit as u64))));
    }
    String::from_utf8(bytes).map_err(|error| {
        binary(format!("it is not UTF-8 text: byte {} does not belong there", error.utf8_error().valid_up_to()))
    })
}

fn megabytes(n_bytes: u64) -> String {
    format!("{:.1} MB", n_bytes as f64 / (1 << 20) as f64)
}

/// The name in the same folder that differs least from a missing one, shown as a path.
fn nearest_name(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> =
        fs::read_dir(folder).ok()?.take(1000).flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    let best = names.into_iter().map(|name| (crate::diag::closest::edit_distance(wanted, &name), name)).min()?;
    (best.0 <= 2.max(wanted.len() / 4)).then(|| path.with_file_name(best.1).display().to_string())
}

fn first_twin_file(folder: &Path) -> Option<String> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .take(1000)
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "twin"))
        .collect();
    names.sort();
    names.first().map(|path| path.display().to_string())
}

/// Loads what a text names, relative to the folder of that text.
#[derive(Debug, Clone, Copy, Default)]
pub struct FsLoader;

impl Loader for FsLoader {
    fn load(&self, from: &str, path: &str) -> Result<SourceFile, LoadError> {
        let resolved = beside(from, path);
        let text = read_text(&resolved).map_err(|ReadError { code, reason, help }| LoadError { code, reason, help })?;
        Ok(SourceFile::new(resolved.display().to_string(), text))
    }
}

/// `path` as seen from the folder of the text named `from`, with `.` and `a/..` taken out.
pub fn beside(from: &str, path: &str) -> PathBuf {
    let joined = match Path::new(from).parent() {
        Some(folder) => folder.join(path),
        None => PathBuf::from(path),
    };
    let mut out = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_) => out.push(part),
        }
    }
    out
}

/// Writes named results into one folder; every file is whole or absent.
#[derive(Debug, Clone)]
pub struct FsSink {
    root: PathBuf,
}

impl FsSink {
    /// Results go below `root`, which is made when first needed.
    pub fn new(root: impl Into<PathBuf>) -> FsSink {
        FsSink { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds a line to a log, which may grow while the run goes on.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn append(&self, name: &str, line: &str) -> Result<(), String> {
        let path = self.place(name)?;
        let attempt = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())
        };
        attempt().map_err(|error| cannot_write(&path, &error))
    }

    fn place(&self, name: &str) -> Result<PathBuf, String> {
        let relative = Path::new(name);
        if name.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("`{name}` is not a place inside the run folder"));
        }
        let path = self.root.join(relative);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)
            .map_err(|error| format!("the folder `{}` cannot be made: {}", folder.display(), reason(&error)))?;
        Ok(path)
    }
}

impl Sink for FsSink {
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        write_whole(&self.place(name)?, bytes)
    }
}

/// True for a path that is the standard output of this process. What stands behind it may be a file that others hold
/// open, so it is written through the stream and never replaced.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// True below a folder of devices and open streams, where a name stands for something that is there already.
fn is_stream(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc")
}

/// Writes a file through a temporary one beside it: written, synced, then renamed. A device, a pipe, or a stream that is
/// open already, such as `/dev/stderr`, is written directly.
///
/// # Errors
/// The reason, with the path; nothing is left behind and an earlier file keeps its content.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut file = Growing::create(path)?;
    file.write(bytes)?;
    file.finish()
}

/// A file that is written piece by piece, and is there under its name only when it is finished. Dropped before that, it
/// leaves nothing behind.
#[derive(Debug)]
pub struct Growing {
    file: File,
    /// As it was named.
    shown: PathBuf,
    /// What it is renamed to, and what it is until then; `None` where it is written directly.
    places: Option<(PathBuf, PathBuf)>,
}

impl Growing {
    /// Begins a file, as [`write_whole`] does.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn create(path: &Path) -> Result<Growing, String> {
        let attempt = || match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() && (!metadata.is_file() || is_stream(path)) => {
                let file = fs::OpenOptions::new().append(true).open(path)?;
                Ok(Growing { file, shown: path.into(), places: None })
            }
            _ => Growing::beside(path),
        };
        attempt().map_err(|error| cannot_write(path, &error))
    }

    fn beside(path: &Path) -> io::Result<Growing> {
        static N_WRITES: AtomicU64 = AtomicU64::new(0);
        // A link keeps pointing at its file, and a file keeps its permissions.
        let goal = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let name = goal.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
        if goal.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let count = N_WRITES.fetch_add(1, Ordering::Relaxed);
        let temporary = goal.with_file_name(format!(".{name}.{}-{count}.part", std::process::id()));
        let file = File::create(&temporary)?;
        let growing = Growing { file, shown: path.into(), places: Some((goal, temporary)) };
        if let Some((goal, _)) = &growing.places
            && let Ok(metadata) = fs::metadata(goal)
        {
            growing.file.set_permissions(metadata.permissions())?;
        }
        Ok(growing)
    }

    /// Adds `bytes`.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.shown, &error))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn finish(mut self) -> Result<(), String> {
        let Some((goal, temporary)) = &self.places else { return Ok(()) };
        self.file
            .sync_all()
            .and_then(|()| fs::rename(temporary, goal))
            .map_err(|error| cannot_write(&self.shown, &error))?;
        self.places = None;
        Ok(())
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some((_, temporary)) = &self.places {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// What is said where a file cannot be written.
pub fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("`{}` cannot be written: {}", path.display(), reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_from_the_naming_text() {
        assert_eq!(beside("models/a.twin", "data/x.csv"), Path::new("models/data/x.csv"));
        assert_eq!(beside("a.twin", "./x.csv"), Path::new("x.csv"));
        assert_eq!(beside("studies/s.twin", "../models/m.twin"), Path::new("models/m.twin"));
        assert_eq!(beside("s.twin", "../m.twin"), Path::new("../m.twin"));
        assert_eq!(beside("/a/b.twin", "c.csv"), Path::new("/a/c.csv"));
    }

    #[test]
    fn a_sink_keeps_to_its_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sink = FsSink::new(folder.path().join("run"));
        assert!(sink.write("../out", b"x").is_err());
        assert!(sink.write("/tmp/out", b"x").is_err());
        assert!(sink.write("", b"x").is_err());
        assert_eq!(sink.write("plots/a.svg", b"one"), Ok(()));
        assert_eq!(sink.write("plots/a.svg", b"two"), Ok(()));
        assert_eq!(fs::read(folder.path().join("run/plots/a.svg")).ok().as_deref(), Some(&b"two"[..]));
        assert_eq!(fs::read_dir(folder.path().join("run/plots")).map(Iterator::count).ok(), Some(1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named() {
        let error = write_whole(Path::new("/dev/full"), b"x");
        assert_eq!(error, Err("`/dev/full` cannot be written: the disk is full".into()));
    }
}
