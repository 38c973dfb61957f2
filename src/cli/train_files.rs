//! The files of one training: its metrics, its checkpoint, its policy.
//!
//! `metrics.jsonl` grows by a line an episode. A checkpoint is two files: arrays, whose name holds the step they are of, and
//! `state.json`, which names them with their hash and says how long the metrics were; it is replaced in one move, so that one
//! whole checkpoint always stands. Going on from one cuts the metrics back to what it knows of.

use super::console::reason;
use super::failure::Failure;
use super::files::FsSink;
use super::machine;
use crate::export::hash::sha256;
use crate::export::tensorboard;
use crate::learn::album::Album;
use crate::learn::tensors::Tensors;
use crate::learn::train::Tally;
use crate::source::Sink;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The layout of checkpoints and policies; another one is refused.
pub const FORMAT: u64 = 1;
const STATE: &str = "checkpoint/state.json";
const METRICS: &str = "metrics.jsonl";

/// The folder of a training.
pub struct JobFolder {
    sink: FsSink,
    /// Event files of TensorBoard beside the metrics.
    events: Option<String>,
}

/// Where a training stood.
pub struct Checkpoint {
    /// What the learner kept.
    pub learner: Tensors,
    /// What was counted.
    pub tally: Tally,
    /// What was seen.
    pub album: Album,
}

impl JobFolder {
    /// The folder at `path`, made when first needed.
    pub fn new(path: PathBuf) -> JobFolder {
        JobFolder { sink: FsSink::new(path), events: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.sink.root()
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.sink.write(name, bytes)
    }

    /// A JSON document in it; `None` where it is not there or not whole.
    pub fn document(&self, name: &str) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.path().join(name)).ok()?).ok()
    }

    /// The lines of the metrics.
    ///
    /// # Errors
    /// E0801 where they are there and cannot be read.
    pub fn metrics(&self) -> Result<Vec<Value>, Failure> {
        let bytes = read(&self.path().join(METRICS))?.unwrap_or_default();
        Ok(bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Adds a line to the metrics, and to the event file its numbers.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn record(&self, line: &Value) -> Result<(), String> {
        self.sink.append(METRICS, &line.to_string())?;
        let Some(events) = &self.events else { return Ok(()) };
        let step = line["step"].as_u64().unwrap_or(0);
        let is_number = |name: &str| !["episode", "step", "evaluated_after"].contains(&name);
        let fields = line.as_object().into_iter().flatten().filter(|(name, _)| is_number(name));
        let numbers: Vec<(&str, f64)> = fields.filter_map(|(name, v)| Some((name.as_str(), v.as_f64()?))).collect();
        self.add_bytes(events, &tensorboard::scalars(now(), step, numbers))
    }

    /// Begins an event file; one that goes on says from which step.
    ///
    /// # Errors
    /// The reason, with the path.
    pub fn mirror(&mut self, from_step: Option<u64>) -> Result<(), String> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let name = format!("tensorboard/events.out.tfevents.{:010}.{:03}.twinc", time / 1000, time % 1000);
        self.sink.write(&name, &tensorboard::begin(now()))?;
        if let Some(step) = from_step {
            self.add_bytes(&name, &tensorboard::restart(now(), step))?;
        }
        self.events = Some(name);
        Ok(())
    }

    fn add_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        use std::io::Write;
        let path = self.path().join(name);
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(bytes));
        written.map_err(|error| format!("`{}` cannot be written: {}", path.display(), reason(&error)))
    }

    /// Keeps a checkpoint in place of the one before.
    ///
    /// # Errors
    /// The reason, with the path; the one before stands.
    pub fn keep(&self, job: &str, learner: &Tensors, tally: &Tally, album: &Album) -> Result<(), String> {
        let bytes = learner.to_bytes();
        let name = format!("checkpoint/learner-{}.safetensors", tally.n_steps);
        self.sink.write(&name, &bytes)?;
        let n_metrics = std::fs::metadata(self.path().join(METRICS)).map_or(0, |metadata| metadata.len());
        let state = json!({
            "schema": machine::SCHEMA, "format": FORMAT, "job": job, "arrays": name, "bytes": bytes.len(),
            "sha256": sha256(&bytes), "metrics_bytes": n_metrics, "tally": tally, "album": album,
        });
        self.sink.write(STATE, format!("{state}\n").as_bytes())?;
        let others = std::fs::read_dir(self.path().join("checkpoint")).into_iter().flatten().flatten();
        for entry in others {
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.starts_with("learner-") && !name.ends_with(&file) {
                // One that is left takes room and nothing else.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// The checkpoint, with the metrics cut back to it; without one, metrics of a training that begins anew are removed.
    ///
    /// # Errors
    /// E0806 where it is of another training, cut short, or changed; E0802 where the metrics cannot be cut.
    pub fn checkpoint(&self, job: &str) -> Result<Option<Checkpoint>, Failure> {
        let path = self.path().join(STATE);
        let Some(text) = read(&path)? else {
            self.cut_metrics(0)?;
            return Ok(None);
        };
        let unfit = |why: String| {
            Failure::new("E0806", format!("the checkpoint `{}` does not fit: {why}", path.display()))
                .help("remove the folder `checkpoint` to begin this training anew")
        };
        let state: Value =
            serde_json::from_slice(&text).map_err(|_| unfit("it is no whole JSON document".to_string()))?;
        if state["format"].as_u64() != Some(FORMAT) {
            return Err(unfit(format!("its format is {}, and this version reads {FORMAT}", state["format"])));
        }
        if state["job"].as_str() != Some(job) {
            return Err(unfit(format!("it is of {}, and this is `{job}`", state["job"])));
        }
        let name = state["arrays"].as_str().unwrap_or_default();
        let bytes = read(&self.path().join(name))?.ok_or_else(|| unfit(format!("`{name}` is not there")))?;
        whole(name, &bytes, &state).map_err(&unfit)?;
        let learner = Tensors::from_bytes(&bytes).map_err(|error| unfit(format!("`{name}`: {error}")))?;
        let tally: Tally = serde_json::from_value(state["tally"].clone())
            .map_err(|error| unfit(format!("what it counted cannot be read: {error}")))?;
        let album: Album = serde_json::from_value(state["album"].clone())
            .map_err(|error| unfit(format!("what it saw cannot be read: {error}")))?;
        self.cut_metrics(state["metrics_bytes"].as_u64().unwrap_or(0))?;
        Ok(Some(Checkpoint { learner, tally, album }))
    }

    fn cut_metrics(&self, n_bytes: u64) -> Result<(), Failure> {
        let path = self.path().join(METRICS);
        let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) else { return Ok(()) };
        file.set_len(n_bytes).map_err(|error| {
            Failure::new("E0802", format!("`{}` cannot be cut back: {}", path.display(), reason(&error)))
        })
    }
}

/// What is wrong with bytes of which `says` gives number and hash.
///
/// # Errors
/// That, continuing a sentence.
pub fn whole(name: &str, bytes: &[u8], says: &Value) -> Result<(), String> {
    let n = says["bytes"].as_u64().unwrap_or(0);
    if (bytes.len() as u64) < n {
        return Err(format!("`{name}` is cut short: it has {} of {n} bytes", bytes.len()));
    }
    if bytes.len() as u64 != n || Some(sha256(bytes).as_str()) != says["sha256"].as_str() {
        return Err(format!("`{name}` was changed after it was written: its hash is another"));
    }
    Ok(())
}

/// The bytes of a file; `None` where there is none.
///
/// # Errors
/// E0801 where it cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new("E0801", format!("`{}` cannot be read: {}", path.display(), reason(&error)))),
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
