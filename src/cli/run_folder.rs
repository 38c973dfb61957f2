//! The folder of one run: `runs/<study>/<time>-<hash8>/` with a manifest that says what made it.
//!
//! The hash names what determines the results (sources, settings, seeds, version), the time tells two runs of the same
//! apart. Wall-clock facts stand in `manifest.json` and `timing.jsonl` only: every other file of two runs with the same
//! hash has the same bytes.

use super::console::reason;
use super::failure::{Exit, Failure};
use super::target::Assignment;
use super::{doctor, machine};
use crate::export::hash::sha256;
use crate::source::{Sink, SourceMap};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::files::FsSink;

/// What determines a run.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// The verb.
    pub verb: String,
    /// The study or model.
    pub name: String,
    /// Texts and tables: name, SHA-256, bytes.
    pub sources: Vec<(String, String, usize)>,
    /// `--set` in the order given.
    pub assignments: Vec<(String, String)>,
    /// Every setting in force, defaults included.
    pub settings: Value,
    /// Seeds of random numbers.
    pub seeds: Vec<u64>,
    /// File and flags as given, from which the run can be taken up again; they determine nothing by themselves.
    pub asked: Value,
}

impl Recipe {
    /// A recipe of the texts read so far.
    pub fn new(verb: &str, name: &str, sources: &SourceMap, assignments: &[Assignment]) -> Recipe {
        let listed = sources.iter().filter(|(_, file)| !file.name.starts_with("std."));
        Recipe {
            verb: verb.into(),
            name: name.into(),
            sources: listed.map(|(_, f)| (f.name.clone(), sha256(f.text.as_bytes()), f.text.len())).collect(),
            assignments: assignments.iter().map(|a| (a.path.clone(), a.value.clone())).collect(),
            settings: Value::Null,
            seeds: Vec::new(),
            asked: Value::Null,
        }
    }

    /// Everything but clock and machine, in a fixed order.
    fn to_json(&self) -> Value {
        let sources: Vec<Value> = self
            .sources
            .iter()
            .map(|(name, hash, n_bytes)| json!({ "name": name, "sha256": hash, "bytes": n_bytes }))
            .collect();
        let set: Vec<String> = self.assignments.iter().map(|(path, value)| format!("{path}={value}")).collect();
        json!({
            "verb": self.verb, "name": self.name, "version": env!("CARGO_PKG_VERSION"), "sources": sources,
            "set": set, "settings": self.settings, "seeds": self.seeds,
        })
    }

    /// The hash of all that determines the results.
    pub fn hash(&self) -> String {
        sha256(self.to_json().to_string().as_bytes())
    }
}

/// How far a run came; written into the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Still at work, or ended without a word (power, kill).
    Running,
    /// Done.
    Finished,
    /// Ctrl-C; what was finished is there.
    Interrupted,
    /// A `stop` of the study ended it for safety.
    Stopped,
    /// A failure ended it.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Finished => "finished",
            State::Interrupted => "interrupted",
            State::Stopped => "stopped",
            State::Failed => "failed",
        }
    }
}

/// An open run folder.
pub struct RunFolder {
    sink: FsSink,
    recipe: Recipe,
    hash: String,
    begun: String,
    /// When the run was taken up again.
    resumed: Vec<String>,
    clock: Instant,
    machine: Value,
}

impl RunFolder {
    /// Makes the folder below `base` and writes a first manifest, so that a full or read-only disk shows before hours
    /// of work.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn create(base: &Path, recipe: Recipe, n_threads: usize) -> Result<RunFolder, Failure> {
        let begun = SystemTime::now();
        let hash = recipe.hash();
        let stem = base.join(safe(&recipe.name)).join(format!("{}-{}", stamp(begun), &hash[..8]));
        let sink = FsSink::new(make_new(&stem)?);
        let (clock, machine) = (Instant::now(), machine(n_threads));
        let run = RunFolder { sink, recipe, hash, begun: iso(begun), resumed: Vec::new(), clock, machine };
        run.write_manifest(State::Running)
            .map_err(|failure| failure.help("nothing was computed yet; make room first"))?;
        Ok(run)
    }

    /// Opens the folder of an earlier run to go on with it. `recipe` must be the recipe that its manifest states.
    ///
    /// # Errors
    /// E0804 that names what differs; E0802 with the path.
    pub fn reopen(path: &Path, manifest: &Manifest, recipe: Recipe, n_threads: usize) -> Result<RunFolder, Failure> {
        let differences = differences(&manifest.document["recipe"], &recipe.to_json());
        let verb = &recipe.verb;
        if !differences.is_empty() {
            let title = format!("`{}` cannot be resumed: {}", path.display(), differences.join("; "));
            return Err(Failure::new("E0804", title)
                .help(format!("what it finished belongs to another question; run `{verb}` anew, or undo the change")));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let earlier = manifest.document["resumed"].as_array().into_iter().flatten();
        let run = RunFolder {
            sink: FsSink::new(path),
            hash: recipe.hash(),
            recipe,
            begun: text(&manifest.document["begun"]),
            resumed: earlier.map(text).chain([iso(SystemTime::now())]).collect(),
            clock: Instant::now(),
            machine: machine(n_threads),
        };
        run.write_manifest(State::Running)?;
        Ok(run)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.sink.root()
    }

    /// Writes a result, whole or not at all.
    ///
    /// # Errors
    /// E0802 with path and reason.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.sink.write(name, bytes).map_err(|why| self.no_room(why))
    }

    /// E0802 for something in it that cannot be written, with the way on.
    pub fn no_room(&self, why: String) -> Failure {
        let on = match self.command_to_resume() {
            Some(command) => format!("make room and go on with `{command}`"),
            None => "make room and run again".to_string(),
        };
        let folder = self.path().display();
        Failure::new("E0802", why).help(format!("what was finished before is kept in `{folder}`; {on}"))
    }

    /// The command that goes on with an interrupted run; `None` for a run that would be made anew.
    pub fn command_to_resume(&self) -> Option<String> {
        let can_be = !self.recipe.asked.is_null();
        can_be.then(|| format!("twinc {} --resume {}", self.recipe.verb, self.path().display()))
    }

    /// Adds a line to a log that may differ from run to run, such as `timing.jsonl`.
    ///
    /// # Errors
    /// E0802 with path and reason.
    pub fn append(&self, name: &str, line: &Value) -> Result<(), Failure> {
        self.sink.append(name, &line.to_string()).map_err(|why| Failure::new("E0802", why))
    }

    /// Notes a wall-clock fact in `timing.jsonl`.
    ///
    /// # Errors
    /// E0802 with path and reason.
    pub fn time(&self, what: &str, took: Duration) -> Result<(), Failure> {
        self.append("timing.jsonl", &json!({ "what": what, "seconds": took.as_secs_f64() }))
    }

    /// Writes the final manifest however the work ended: `state` tells it from the exit, and a failure is one. What
    /// went wrong first is what is returned.
    ///
    /// # Errors
    /// That of the work; else E0802 with path and reason.
    pub fn conclude(&self, ended: Result<Exit, Failure>, state: impl Fn(Exit) -> State) -> Result<Exit, Failure> {
        let closed = self.close(ended.as_ref().map_or(State::Failed, |exit| state(*exit)));
        let exit = ended?;
        closed.map(|()| exit)
    }

    /// The manifest says more than the time does, so it is tried even where that cannot be added.
    fn close(&self, state: State) -> Result<(), Failure> {
        let timed = self.time("run", self.clock.elapsed());
        self.write_manifest(state).and(timed)
    }

    fn write_manifest(&self, state: State) -> Result<(), Failure> {
        let manifest = json!({
            "schema": machine::SCHEMA,
            "state": state.word(),
            "hash": self.hash,
            "recipe": self.recipe.to_json(),
            "asked": self.recipe.asked,
            "command": std::env::args().collect::<Vec<_>>(),
            "folder": std::env::current_dir().unwrap_or_default(),
            "machine": self.machine,
            "begun": self.begun,
            "resumed": self.resumed,
        });
        self.write("manifest.json", format!("{manifest:#}\n").as_bytes())
    }
}

/// The manifest of an earlier run.
#[derive(Debug)]
pub struct Manifest {
    document: Value,
}

impl Manifest {
    /// Reads `manifest.json` of a run folder.
    ///
    /// # Errors
    /// E0801 where there is none, E0804 where it is not one.
    pub fn read(folder: &Path) -> Result<Manifest, Failure> {
        let path = folder.join("manifest.json");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new("E0801", format!("`{}` cannot be read: {}", path.display(), reason(&error)))
                .help("name the folder of a run, such as `runs/Fit/20260101-120000-0123abcd`")
        })?;
        match serde_json::from_str::<Value>(&text) {
            Ok(document) if document["recipe"].is_object() => Ok(Manifest { document }),
            Ok(_) | Err(_) => Err(Failure::new("E0804", format!("`{}` is no manifest of a run", path.display()))
                .help("name the folder of a run that `twinc` made")),
        }
    }

    /// File and flags of the run, as [`Recipe::asked`] gave them.
    pub fn asked(&self) -> &Value {
        &self.document["asked"]
    }

    /// The folder that the run was started in; names of files are relative to it. `None` where the manifest does not say.
    pub fn folder(&self) -> Option<&Path> {
        self.document["folder"].as_str().map(Path::new)
    }

    /// The verb of the run.
    pub fn verb(&self) -> &str {
        self.document["recipe"]["verb"].as_str().unwrap_or_default()
    }
}

/// What tells two recipes apart, in words: `the source m.twin has changed`.
fn differences(before: &Value, now: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for (key, what) in [("verb", "verb"), ("name", "study"), ("version", "version of twinc")] {
        if before[key] != now[key] {
            out.push(format!("the {what} was {} and is {}", before[key], now[key]));
        }
    }
    let sources = |recipe: &Value| -> Vec<(String, Value)> {
        let list = recipe["sources"].as_array().into_iter().flatten();
        list.map(|s| (s["name"].as_str().unwrap_or_default().to_string(), s["sha256"].clone())).collect()
    };
    let (old, new) = (sources(before), sources(now));
    for (name, hash) in &new {
        match old.iter().find(|(other, _)| other == name) {
            None => out.push(format!("the source `{name}` is new")),
            Some((_, other)) if other != hash => out.push(format!("the source `{name}` has changed")),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|(name, _)| new.iter().all(|(other, _)| other != name));
    out.extend(gone.map(|(name, _)| format!("the source `{name}` is no longer used")));
    let none = serde_json::Map::new();
    let settings = |recipe: &Value| recipe["settings"].as_object().unwrap_or(&none).clone();
    let (old, new) = (settings(before), settings(now));
    for (key, value) in &new {
        if old.get(key) != Some(value) {
            let was = old.get(key).map_or("not set".to_string(), Value::to_string);
            out.push(format!("the setting `{key}` was {was} and is {value}"));
        }
    }
    out.extend(old.keys().filter(|key| !new.contains_key(*key)).map(|key| format!("the setting `{key}` is gone")));
    for (key, what) in [("set", "assignments by `--set`"), ("seeds", "seeds")] {
        if before[key] != now[key] {
            out.push(format!("the {what} were {} and are {}", before[key], now[key]));
        }
    }
    if out.is_empty() && before != now {
        out.push("its manifest was changed by hand".into());
    }
    out
}

/// The machine with the threads in use.
fn machine(n_threads: usize) -> Value {
    let mut machine = doctor::machine();
    machine["threads"] = json!(n_threads);
    machine
}

/// Makes `stem`, or `stem-2`, `stem-3`, ... where it is taken; the making itself decides, so two runs never share one.
fn make_new(stem: &Path) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new("E0802", format!("the run folder `{}` cannot be made: {}", path.display(), reason(error)))
            .help("choose another place with `--runs FOLDER`")
    };
    if let Some(parent) = stem.parent() {
        std::fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
    }
    let mut path = stem.to_path_buf();
    for count in 2..10_000 {
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                path = PathBuf::from(format!("{}-{count}", stem.display()));
            }
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    Err(failed(&path, &std::io::ErrorKind::AlreadyExists.into()))
}

/// A name as a folder: letters, digits, `_` and `-`.
pub fn safe(name: &str) -> String {
    let text: String = name.chars().map(|c| if c.is_alphanumeric() || "_-".contains(c) { c } else { '_' }).collect();
    if text.is_empty() { "_".into() } else { text }
}

/// Seconds since 1970 as year, month, day, hour, minute, second (UTC), by Hinnant's days-to-civil algorithm
/// (2013, "chrono-compatible low-level date algorithms").
fn civil(time: SystemTime) -> [u64; 6] {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
}

fn stamp(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

fn iso(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn equal_recipes_have_equal_hashes_and_own_folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let recipe = Recipe { verb: "calibrate".into(), name: "Fit ü/..".into(), seeds: vec![1], ..Recipe::default() };
        let first = RunFolder::create(folder.path(), recipe.clone(), 2).map_err(|f| f.diagnostics).expect("a folder");
        let second = RunFolder::create(folder.path(), recipe.clone(), 1).map_err(|f| f.diagnostics).expect("a folder");
        assert_ne!(first.path(), second.path());
        assert_eq!(first.hash, second.hash);
        assert_eq!(first.path().parent(), Some(folder.path().join("Fit_ü___").as_path()));
        assert_ne!(Recipe { seeds: vec![2], ..recipe }.hash(), first.hash);
        assert!(first.close(State::Finished).is_ok());
        let text = std::fs::read_to_string(first.path().join("manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(manifest["state"], "finished");
        assert_eq!(manifest["recipe"]["seeds"], json!([1]));
    }
}
