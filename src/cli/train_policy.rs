//! A policy as files: `policy.safetensors` with its networks and `policy.json`, which says what they are of and how they
//! must look. Reading checks length, hash, format, shapes, task and spaces, and names what differs.

use super::failure::Failure;
use super::machine;
use super::train_files::{FORMAT, JobFolder, read, whole};
use crate::decide::Space;
use crate::export::hash::sha256;
use crate::hir::task::LEARNERS;
use crate::learn::tensors::Tensors;
use serde_json::{Map, Value, json};
use std::path::Path;

const ARRAYS: &str = "policy.safetensors";
const WORDS: &str = "policy.json";

/// What a policy was trained for.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The algorithm.
    pub algorithm: String,
    /// The study, or the task where there is none.
    pub study: String,
    /// The task.
    pub task: String,
    /// The model that it was trained on.
    pub plant: String,
    /// Its seed.
    pub seed: u64,
    /// What it sees.
    pub observation_space: Space,
    /// What it does.
    pub action_space: Space,
}

/// Writes the two files.
///
/// # Errors
/// The reason, with the path.
pub fn write(folder: &JobFolder, origin: &Origin, policy: &Tensors, trained: Value) -> Result<(), String> {
    let bytes = policy.to_bytes();
    let shapes: Map<String, Value> = policy
        .arrays
        .iter()
        .map(|(name, tensor)| (name.clone(), json!({ "kind": tensor.numbers.kind(), "shape": tensor.shape })))
        .collect();
    let words = json!({
        "schema": machine::SCHEMA, "format": FORMAT, "version": env!("CARGO_PKG_VERSION"),
        "algorithm": origin.algorithm, "study": origin.study, "task": origin.task, "plant": origin.plant,
        "seed": origin.seed, "arrays": ARRAYS, "bytes": bytes.len(), "sha256": sha256(&bytes), "shapes": shapes,
        "observation_space": space(&origin.observation_space), "action_space": space(&origin.action_space),
        "trained": trained,
    });
    folder.write(ARRAYS, &bytes)?;
    folder.write(WORDS, format!("{words:#}\n").as_bytes())
}

/// Ends that are open are `null`.
fn space(space: &Space) -> Value {
    json!({ "names": space.names, "low": space.low, "high": space.high })
}

/// Reads a policy from a folder.
///
/// # Errors
/// E0801 where there is none; E0806 that names what is wrong with it.
pub fn load(folder: &Path) -> Result<(Origin, Tensors), Failure> {
    let path = folder.join(WORDS);
    let unfit = |why: String| {
        let title = format!("the policy in `{}` cannot be used: {why}", folder.display());
        Failure::new("E0806", title).help("take it again from the run that made it, or train it anew")
    };
    let missing = |path: &Path| {
        Failure::new("E0801", format!("`{}` cannot be read: there is no such file", path.display()))
            .help("name the folder of a run of `twinc train` that has ended")
    };
    let text = read(&path)?.ok_or_else(|| missing(&path))?;
    let words: Value = serde_json::from_slice(&text)
        .map_err(|error| unfit(format!("`{WORDS}` is no whole JSON document: {error}")))?;
    if words["format"].as_u64() != Some(FORMAT) {
        return Err(unfit(format!("its format is {}, and this version reads {FORMAT}", words["format"])));
    }
    let text = |key: &str| {
        words[key].as_str().map(str::to_string).ok_or_else(|| unfit(format!("`{WORDS}` does not say its `{key}`")))
    };
    let origin = Origin {
        algorithm: text("algorithm")?,
        study: text("study")?,
        task: text("task")?,
        plant: text("plant")?,
        seed: words["seed"].as_u64().unwrap_or(0),
        observation_space: space_of(&words["observation_space"])
            .ok_or_else(|| unfit(format!("`{WORDS}` does not say what it observes")))?,
        action_space: space_of(&words["action_space"])
            .ok_or_else(|| unfit(format!("`{WORDS}` does not say how it acts")))?,
    };
    if !LEARNERS.contains(&origin.algorithm.as_str()) {
        return Err(unfit(format!("`{}` is no algorithm that this version knows", origin.algorithm)));
    }
    let arrays = folder.join(ARRAYS);
    let bytes = read(&arrays)?.ok_or_else(|| missing(&arrays))?;
    whole(ARRAYS, &bytes, &words).map_err(&unfit)?;
    let policy = Tensors::from_bytes(&bytes).map_err(|error| unfit(format!("`{ARRAYS}`: {error}")))?;
    let shapes = words["shapes"].as_object().cloned().unwrap_or_default();
    for (name, tensor) in &policy.arrays {
        let expected = json!({ "kind": tensor.numbers.kind(), "shape": tensor.shape });
        if shapes.get(name) != Some(&expected) {
            return Err(unfit(format!("`{name}` has not the shape that `{WORDS}` says")));
        }
    }
    Ok((origin, policy))
}

fn space_of(value: &Value) -> Option<Space> {
    let ends = |key: &str, open: f64| -> Option<Vec<f64>> {
        value[key].as_array()?.iter().map(|end| if end.is_null() { Some(open) } else { end.as_f64() }).collect()
    };
    let names: Option<Vec<String>> = value["names"].as_array()?.iter().map(|n| Some(n.as_str()?.to_string())).collect();
    Some(Space { names: names?, low: ends("low", f64::NEG_INFINITY)?, high: ends("high", f64::INFINITY)? })
}

impl Origin {
    /// E0806 where a policy of this origin cannot act on these spaces.
    ///
    /// # Errors
    /// That.
    pub fn fits(&self, task: &str, observation_space: &Space, action_space: &Space) -> Result<(), Failure> {
        let unfit = |why: String| {
            let title = format!("the policy was trained for `{}` and does not fit `{task}`: {why}", self.task);
            Failure::new("E0806", title)
                .help("a policy fits any plant of its own task, with the same `sense` and `act`")
        };
        if self.task != task {
            return Err(unfit("it is another task".into()));
        }
        for (what, own, other) in
            [("observes", &self.observation_space, observation_space), ("acts on", &self.action_space, action_space)]
        {
            if own.len() != other.len() {
                return Err(unfit(format!("it {what} {} quantities, and here are {}", own.len(), other.len())));
            }
            for k in 0..own.len() {
                let name = |space: &Space| space.names.get(k).cloned().unwrap_or_default();
                if name(own) != name(other) {
                    return Err(unfit(format!("it {what} `{}` where here is `{}`", name(own), name(other))));
                }
                let ends = |space: &Space| (space.low[k], space.high[k]);
                if ends(own) != ends(other) {
                    let ((a, b), (c, d)) = (ends(own), ends(other));
                    return Err(unfit(format!("`{}` is in {a} .. {b} for it, and in {c} .. {d} here", name(own))));
                }
            }
        }
        Ok(())
    }
}
