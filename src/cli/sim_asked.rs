//! What a simulation was asked for on the command line: all that a later `--resume` needs, and the statements that it
//! amounts to.

use super::args::SimArgs;
use super::prepare::Extras;
use super::target::Assignment;
use crate::export::table::number;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The flags that determine results, as given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// File and perhaps study or model.
    pub file: String,
    until: Option<String>,
    output: Option<String>,
    step: Option<String>,
    method: Option<String>,
    draws: Option<u64>,
    paths: Option<u64>,
    moments: bool,
    seed: Option<u64>,
    rtol: Option<f64>,
    atol: Option<f64>,
    set: Vec<[String; 2]>,
    steady: bool,
    sweep: Vec<String>,
    /// Plain library functions.
    pub strict_math: bool,
}

impl Asked {
    /// Of these arguments.
    pub fn of(args: &SimArgs) -> Asked {
        Asked {
            file: args.file.clone().unwrap_or_default(),
            until: args.until.clone(),
            output: args.output.clone(),
            step: args.step.clone(),
            method: args.method.clone(),
            draws: args.draws,
            paths: args.paths,
            moments: args.moments,
            seed: args.seed,
            rtol: args.rtol,
            atol: args.atol,
            set: args.set.iter().map(|a| [a.path.clone(), a.value.clone()]).collect(),
            steady: args.steady,
            sweep: args.sweep.clone(),
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

    /// `--set`, in the order given.
    pub fn assignments(&self) -> Vec<Assignment> {
        let each = self.set.iter();
        each.map(|[path, value]| Assignment { path: path.clone(), value: value.clone() }).collect()
    }

    /// The flags as statements of the language.
    pub fn extras(&self) -> Extras {
        let mut simulate = Vec::new();
        for (key, value) in [("until", &self.until), ("output", &self.output), ("method", &self.method)] {
            if let Some(value) = value {
                simulate.push(format!("{key} = {value}"));
            }
        }
        simulate.extend(self.step.iter().map(|step| format!("step {step}")));
        for (key, value) in [("rtol", self.rtol), ("atol", self.atol)] {
            if let Some(value) = value {
                simulate.push(format!("{key} = {}", number(value)));
            }
        }
        for (key, value) in [("draws", self.draws), ("paths", self.paths), ("seed", self.seed)] {
            if let Some(value) = value {
                simulate.push(format!("{key} = {value}"));
            }
        }
        if self.moments {
            simulate.push("moments = true".to_string());
        }
        let mut statements: Vec<String> = self.sweep.iter().map(|sweep| format!("sweep {sweep}")).collect();
        statements.extend(self.steady.then(|| "start steady".to_string()));
        Extras { simulate, statements }
    }
}
