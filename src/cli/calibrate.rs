//! `twinc calibrate`: fits a study to its data from many starts and leaves a run folder with the report.

use super::additions::Choice;
use super::args::CalibrateArgs;
use super::console::Console;
use super::failure::{Exit, Failure};
use super::fit_report;
use super::fit_run::{self, Fit};
use super::idle::{self, Use};
use super::prepare::{self, Extras};
use super::render::counted;
use super::resume::Earlier;
use super::run_folder::{Recipe, RunFolder, State};
use super::target::{Assignment, Target};
use super::{files, interrupt};
use crate::calibrate::{Problem, bind};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::hir::Study;
use crate::jit::{Kernels, Needs, Options};
use crate::source::SourceMap;
use crate::system::System;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;

/// Fits the chosen study.
///
/// # Errors
/// What is wrong with the file, the data or the settings; E0705 where no start could be evaluated; E0802.
pub fn run(args: &CalibrateArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    interrupt::catch();
    let begun = Instant::now();
    let earlier =
        args.resume.as_deref().map(|folder| Earlier::read(folder, "calibrate", Asked::from_json)).transpose()?;
    let asked = match &earlier {
        Some(earlier) => earlier.asked.clone(),
        None => Asked::of(args),
    };
    let target = Target::parse(&asked.file);
    let mut warnings = Diagnostics::default();
    if let Some(earlier) = &earlier {
        earlier.is_in_reach(&target.path)?;
    }
    let opened = prepare::open(&target, sources)?;
    let name = opened.declared.to_calibrate(&target)?;
    let extras = Extras { simulate: Vec::new(), statements: fit_flags(&asked) };
    let choice = Choice::Study(name);
    let study = prepare::study(&target, &opened, &choice, &asked.set, &extras, sources, &mut warnings)?;
    idle::warn(&study, Some(Use::Fit), sources, &mut warnings);
    let bound = bound(&study, &target, sources, &mut warnings)?;
    let settings = bind::fit_settings(&study.fit);
    console.report(std::mem::take(&mut warnings), sources);
    let checked = begun.elapsed();

    let begun = Instant::now();
    let options = Options { strict_math: asked.strict_math };
    let needs = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    let kernels = bound
        .models
        .iter()
        .map(|model| prepare::compile(model.clone(), &options, needs).map(Arc::new))
        .collect::<Result<Vec<Arc<Kernels>>, Failure>>()?;
    let compiled = begun.elapsed();
    let model = bound.models[0].clone();
    let experiments = bound
        .experiments
        .into_iter()
        .map(|experiment| {
            let position = experiment.model;
            let system: Arc<dyn System> = kernels[position].clone();
            experiment.into_experiment(&bound.models[position], system, &settings)
        })
        .collect();
    let problem = Problem::new(bound.parameters, experiments, &settings).map_err(|error| {
        let mut list = Diagnostics::default();
        list.push(Diagnostic::new(Code("E0602"), study.span, format!("`{}` cannot be fitted: {error}", study.name)));
        Failure::from_diagnostics(list)
    })?;

    let mut recipe = Recipe::new("calibrate", &study.name, sources, &asked.set);
    recipe.seeds = vec![settings.seed];
    recipe.asked = asked.to_json();
    let sources_used: Vec<(String, String)> =
        recipe.sources.iter().map(|(name, hash, _)| (name.clone(), hash.clone())).collect();
    let command = command(&asked, &target, &study);
    let states: Vec<(String, String)> =
        model.states.iter().map(|s| (s.quantity.name.clone(), s.quantity.unit.clone())).collect();
    let fit = Fit {
        study: &study.name,
        model: &model.name,
        doc: if study.doc.is_empty() { &model.doc } else { &study.doc },
        problem: &problem,
        settings: &settings,
        has_identifiability: study.report.truth("identifiability").unwrap_or(true),
        param_units: &bound.units,
        param_spans: &bound.spans,
        texts: sources,
        states: &states,
        time_unit: &model.time_unit,
        sources: &sources_used,
        command: &command,
    };
    recipe.settings = settings_in_force(&fit, &asked);
    let n_threads = rayon::current_num_threads();
    let (folder, is_resumed) = match &earlier {
        None => (RunFolder::create(&args.runs, recipe, n_threads)?, false),
        Some(Earlier { folder, manifest, .. }) => (RunFolder::reopen(folder, manifest, recipe, n_threads)?, true),
    };
    let mut work = || {
        let finished = if is_resumed { fit_run::finished_starts(&fit, &folder)? } else { Vec::new() };
        folder.time("check", checked)?;
        folder.time("compile", compiled)?;
        console.say(format!(
            "{}: {}, {}, {} on {}",
            study.name,
            counted(problem.parameters().len(), "parameter"),
            counted(problem.n_measurements(), "measurement"),
            counted(settings.starts, "start"),
            counted(n_threads, "thread")
        ));
        if is_resumed {
            console.say(format!("{} of {} starts were finished before", finished.len(), settings.starts));
        }
        fit_run::run(&fit, finished, &folder, console)
    };
    folder.conclude(work(), |exit| match exit {
        Exit::Interrupted => State::Interrupted,
        Exit::Fine | Exit::Findings | Exit::Usage | Exit::Numerics | Exit::Safety => State::Finished,
    })
}

/// What a run was asked for: all that a later `--resume` needs.
#[derive(Debug, Clone)]
struct Asked {
    /// File and perhaps study, as given.
    file: String,
    starts: Option<u64>,
    seed: Option<u64>,
    set: Vec<Assignment>,
    strict_math: bool,
}

impl Asked {
    fn of(args: &CalibrateArgs) -> Asked {
        Asked {
            file: args.file.clone().unwrap_or_default(),
            starts: args.starts,
            seed: args.seed,
            set: args.set.clone(),
            strict_math: args.strict_math,
        }
    }

    fn to_json(&self) -> Value {
        let set: Vec<[&str; 2]> = self.set.iter().map(|a| [a.path.as_str(), a.value.as_str()]).collect();
        json!({
            "file": self.file, "starts": self.starts, "seed": self.seed, "set": set, "strict_math": self.strict_math,
        })
    }

    /// `None` where `value` is not what [`Asked::to_json`] wrote.
    fn from_json(value: &Value) -> Option<Asked> {
        let assignment = |pair: &Value| {
            Some(Assignment { path: pair[0].as_str()?.to_string(), value: pair[1].as_str()?.to_string() })
        };
        Some(Asked {
            file: value["file"].as_str()?.to_string(),
            starts: value["starts"].as_u64(),
            seed: value["seed"].as_u64(),
            set: value["set"].as_array()?.iter().map(assignment).collect::<Option<Vec<Assignment>>>()?,
            strict_math: value["strict_math"].as_bool()?,
        })
    }
}

/// Reads the study's data; warnings go to `warnings`.
fn bound(
    study: &Study,
    target: &Target,
    sources: &mut SourceMap,
    warnings: &mut Diagnostics,
) -> Result<bind::Bound, Failure> {
    let mut found = Diagnostics::default();
    bind::check_fit(study, &mut found);
    fit_report::check(&study.report, &mut found);
    let file = target.path.display().to_string();
    match bind::bind(study, &file, &files::FsLoader, sources, &mut found) {
        Some(bound) if !found.has_errors() => {
            warnings.extend(found);
            Ok(bound)
        }
        Some(_) | None => Err(Failure::from_diagnostics(found)),
    }
}

fn fit_flags(asked: &Asked) -> Vec<String> {
    let flags = [("starts", asked.starts.map(|n| n.to_string())), ("seed", asked.seed.map(|n| n.to_string()))];
    flags.into_iter().filter_map(|(key, value)| Some(format!("fit {{ {key} = {} }}", value?))).collect()
}

/// The command that repeats the run, flags in a fixed order.
fn command(asked: &Asked, target: &Target, study: &Study) -> String {
    let mut words = vec![format!("twinc calibrate {}:{}", target.path.display(), study.name)];
    words.extend(asked.starts.map(|n| format!("--starts {n}")));
    words.extend(asked.seed.map(|n| format!("--seed {n}")));
    words.extend(asked.set.iter().map(|a| format!("--set '{}={}'", a.path, a.value)));
    if asked.strict_math {
        words.push("--strict-math".into());
    }
    words.join(" ")
}

fn settings_in_force(fit: &Fit<'_>, asked: &Asked) -> Value {
    let mut map: Map<String, Value> =
        fit_report::settings(fit).into_iter().map(|(name, value)| (name, json!(value))).collect();
    map.insert("strict_math".into(), json!(asked.strict_math));
    Value::Object(map)
}
