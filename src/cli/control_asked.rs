//! What a run of closed loops was asked for on the command line: all that a later `--resume` needs, the settings that
//! follow, and the command that repeats it.

use super::args::ControlArgs;
use super::control_run::Loops;
use super::control_table;
use super::target::{Assignment, Target};
use crate::control::controller::LOOP;
use crate::control::filters;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The flags that determine results, as given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// File and perhaps study or task.
    pub file: String,
    /// Planners, in order.
    pub planner: Vec<String>,
    /// Episodes of each.
    pub episodes: Option<u64>,
    /// Of the first episode.
    pub seed: Option<u64>,
    /// `--set`, in the order given.
    pub set: Vec<[String; 2]>,
    /// Plain library functions.
    pub strict_math: bool,
}

impl Asked {
    /// Of these arguments.
    pub fn of(args: &ControlArgs) -> Asked {
        Asked {
            file: args.file.clone().unwrap_or_default(),
            planner: args.planner.clone(),
            episodes: args.episodes,
            seed: args.seed,
            set: args.set.iter().map(|a| [a.path.clone(), a.value.clone()]).collect(),
            strict_math: args.strict_math,
        }
    }

    /// For a manifest.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// `None` where `value` is not what [`Asked::to_json`] wrote.
    pub fn from_json(value: &Value) -> Option<Asked> {
        serde_json::from_value(value.clone()).ok()
    }

    /// `--set` as assignments.
    pub fn assignments(&self) -> Vec<Assignment> {
        let each = self.set.iter();
        each.map(|[path, value]| Assignment { path: path.clone(), value: value.clone() }).collect()
    }
}

/// Every setting in force.
pub fn settings(loops: &Loops, strict_math: bool) -> Value {
    let mut map = Map::new();
    map.insert("episodes".into(), json!(loops.n_episodes));
    map.insert("seed".into(), json!(loops.seed));
    map.insert("strict_math".into(), json!(strict_math));
    for spec in LOOP {
        map.insert(format!("loop.{}", spec.name), json!(control_table::setting(&loops.between, spec)));
    }
    if !loops.stops.is_empty() {
        let rules: Vec<&str> = loops.stops.iter().map(|stop| stop.text.as_str()).collect();
        map.insert("stop".into(), json!(rules.join(" or ")));
    }
    let filter = loops.filter.as_ref().and_then(|filter| filter.method.as_ref()).map(|(name, _)| name.clone());
    map.insert("filter".into(), json!(filter.as_deref().unwrap_or("none")));
    if let (Some(filter), Some(name)) = (&loops.filter, &filter) {
        let table = filters::FILTERS.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, table)| *table);
        for spec in table {
            let value = control_table::setting(filter, spec);
            map.insert(format!("{name}.{}", spec.name), json!(value));
        }
    }
    for entry in &loops.planners {
        for spec in entry.kind.settings() {
            let value = match spec.name {
                "horizon" => entry.horizon.to_string(),
                _ => control_table::setting(&entry.settings, spec),
            };
            map.insert(format!("{}.{}", entry.kind.name(), spec.name), json!(value));
        }
    }
    Value::Object(map)
}

/// The command that repeats the run, flags in a fixed order.
pub fn command(asked: &Asked, target: &Target) -> String {
    let name = target.name.as_ref().map_or(String::new(), |name| format!(":{name}"));
    let mut words = vec![format!("twinc control {}{name}", target.path.display())];
    if !asked.planner.is_empty() {
        words.push(format!("--planner {}", asked.planner.join(",")));
    }
    words.extend(asked.episodes.map(|n| format!("--episodes {n}")));
    words.extend(asked.seed.map(|n| format!("--seed {n}")));
    words.extend(asked.set.iter().map(|[path, value]| format!("--set '{path}={value}'")));
    if asked.strict_math {
        words.push("--strict-math".into());
    }
    words.join(" ")
}
