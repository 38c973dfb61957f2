//! `twinc train`: learns a policy for a task, one training for each method and seed; leaves a run folder with the report.

use super::additions::{self, ControlWords};
use super::args::{MetricsLog, TrainArgs};
use super::check::check_control;
use super::console::Console;
use super::failure::{Exit, Failure};
use super::interrupt;
use super::prepare;
use super::render::counted;
use super::resume::Earlier;
use super::run_folder::{Recipe, RunFolder, State};
use super::target::{Assignment, Target};
use super::train_files::JobFolder;
use super::train_ground::{CONTROLLER, Grounds};
use super::train_job::{Ended, Job, Outcome, Training};
use super::train_live::Live;
use super::train_methods;
use super::train_result::{self, Page};
use crate::control::{filters, planners};
use crate::diag::Diagnostics;
use crate::hir::settings::{SettingValue, Settings};
use crate::hir::task::{Control, LEARNERS};
use crate::hir::{Module, Study};
use crate::jit::Options;
use crate::learn::train::{Limits, STEPS};
use crate::source::SourceMap;
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::time::Instant;

/// What a task without a study learns by.
const BARE: &str = "sac";

/// Trains what the chosen study or task asks for.
///
/// # Errors
/// What is wrong with the file or the settings; a task that a method cannot learn; E0806 for a checkpoint that does not
/// fit; E0802.
pub fn run(args: &TrainArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    interrupt::catch();
    let begun = Instant::now();
    let earlier = args.resume.as_deref().map(|folder| Earlier::read(folder, "train", Asked::from_json)).transpose()?;
    let asked = match &earlier {
        Some(earlier) => earlier.asked.clone(),
        None => Asked::of(args),
    };
    let target = Target::parse(&asked.file);
    if let Some(earlier) = &earlier {
        earlier.is_in_reach(&target.path)?;
    }
    let mut warnings = Diagnostics::default();
    let study = chosen(&asked, None, &target, sources, &mut warnings)?;
    let Some(control) = &study.control else {
        return Err(Failure::new("E0803", format!("`{}` is no study of a task", study.name)));
    };
    let training = prepared(&asked, &study, control, args.log.contains(&MetricsLog::Tensorboard), &mut warnings)?;
    console.report(std::mem::take(&mut warnings), sources);
    let compiled = begun.elapsed();

    let mut recipe = Recipe::new("train", &training.name, sources, &asked.set);
    recipe.seeds = training.seeds.clone();
    recipe.settings = settings(&training, control, asked.strict_math);
    recipe.asked = asked.to_json();
    let page = Page {
        doc: if study.doc.is_empty() { control.plant.doc.clone() } else { study.doc.clone() },
        sources: recipe.sources.iter().map(|(name, hash, _)| (name.clone(), hash.clone())).collect(),
        settings: recipe.settings.clone(),
        command: asked.command(&target),
    };
    let n_threads = rayon::current_num_threads();
    let folder = match &earlier {
        None => RunFolder::create(&args.runs, recipe, n_threads)?,
        Some(Earlier { folder, manifest, .. }) => RunFolder::reopen(folder, manifest, recipe, n_threads)?,
    };
    let mut work = || {
        folder.time("compile", compiled)?;
        carried_out(&training, &page, &folder, console)
    };
    folder.conclude(work(), |exit| match exit {
        Exit::Interrupted => State::Interrupted,
        Exit::Safety => State::Stopped,
        Exit::Fine | Exit::Findings | Exit::Usage | Exit::Numerics => State::Finished,
    })
}

/// Runs all trainings and writes what came of them.
fn carried_out(training: &Training, page: &Page, folder: &RunFolder, console: &mut Console) -> Result<Exit, Failure> {
    let jobs: Vec<Job<'_>> = training.jobs();
    console.say(format!(
        "{}: {} by {}, {}, on {}",
        training.name,
        training.length(),
        training.methods.iter().map(|method| method.label.as_str()).collect::<Vec<_>>().join(", "),
        counted(training.seeds.len(), "seed"),
        counted(rayon::current_num_threads(), "thread")
    ));
    let begun = Instant::now();
    if !train_methods::pretrain(training, folder, console)? {
        return Ok(interrupted(folder, console));
    }
    let live = Live::new(console, &training.limits, jobs.len());
    let one = |job: &Job<'_>| -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let outcome = job.run(JobFolder::new(folder.path().join("jobs").join(job.name())), &live)?;
        folder.time(&job.name(), begun.elapsed())?;
        Ok(outcome)
    };
    let outcomes: Result<Vec<Outcome>, Failure> = match jobs.as_slice() {
        [only] => one(only).map(|outcome| vec![outcome]),
        several => several.par_iter().with_max_len(1).map(one).collect(),
    };
    live.end();
    let outcomes = outcomes?;
    folder.time("training", begun.elapsed())?;
    let is_interrupted = outcomes.iter().any(|outcome| outcome.ended == Ended::Interrupted);
    let results = train_result::collected(training, &jobs, outcomes, folder, !is_interrupted)?;
    let result = results.to_json(training);
    if console.is_text() {
        console.data_in_passing(results.summary(training).as_bytes());
    } else {
        let mut value = result.clone();
        value["folder"] = json!(folder.path().display().to_string());
        console.result(value);
    }
    results.remarks.iter().for_each(|remark| console.say(remark));
    folder.write("result.json", format!("{result:#}\n").as_bytes())?;
    results.write(training, page, folder)?;
    console.say(format!("results: {}", folder.path().join("report.html").display()));
    console.report(results.troubles(), &SourceMap::default());
    Ok(if is_interrupted { interrupted(folder, console) } else { results.exit() })
}

fn interrupted(folder: &RunFolder, console: &Console) -> Exit {
    let on = folder.command_to_resume().unwrap_or_default();
    console.say(format!("interrupted: checkpoints are kept; go on with `{on}`"));
    Exit::Interrupted
}

/// The study asked for, or one made for the task asked for.
fn chosen(
    asked: &Asked,
    plant: Option<&str>,
    target: &Target,
    sources: &mut SourceMap,
    warnings: &mut Diagnostics,
) -> Result<Study, Failure> {
    let root = target.read(sources)?;
    let bare: Module =
        prepare::load(&mut sources.clone(), root, None, &mut Diagnostics::default()).or_else(|failure| {
            // The places of its mistakes are in texts that are read again below.
            prepare::load(sources, root, None, &mut Diagnostics::default()).and(Err(failure))
        })?;
    let of_tasks: Vec<&Study> = bare.studies.iter().filter(|study| study.control.is_some()).collect();
    let learns = |study: &&&Study| study.control.as_ref().is_some_and(|control| !control.learners.is_empty());
    let training: Vec<&str> = of_tasks.iter().filter(learns).map(|study| study.name.as_str()).collect();
    let task_names: Vec<&str> = bare.tasks.iter().map(|task| task.name.as_str()).collect();
    let (what, candidates) = match (&target.name, training.as_slice()) {
        (Some(_), _) => {
            let all: Vec<&str> = of_tasks.iter().map(|study| study.name.as_str()).collect();
            ("study of a task, or task,", [all.as_slice(), &task_names].concat())
        }
        (None, []) => ("task", task_names),
        (None, some) => ("study that trains", some.to_vec()),
    };
    let name = target.choose(what, &candidates).map_err(|failure| match candidates.is_empty() {
        true => failure.help("a task says what is rewarded: see `docs/train.md`"),
        false => failure,
    })?;
    let control = of_tasks.iter().find(|study| study.name == name).and_then(|study| study.control.as_ref());
    let mut algorithms = asked.algorithms.clone();
    if algorithms.is_empty() && control.is_none_or(|control| control.learners.is_empty()) {
        algorithms.push(BARE.into());
    }
    let budget = [
        ("episodes", asked.episodes.map(|n| n.to_string())),
        ("steps", asked.steps.map(|n| n.to_string())),
        ("seeds", (!asked.seeds.is_empty()).then(|| format!("{:?}", asked.seeds))),
    ];
    let words = ControlWords {
        plant: plant.map(str::to_string),
        planners: algorithms,
        budget: budget.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}", value?))).collect(),
        assignments: asked.set.clone(),
    };
    let planners = planners::tables();
    let known: Vec<&str> = planners.iter().map(|(name, _)| *name).chain(LEARNERS).collect();
    let filters: Vec<&str> = filters::FILTERS.iter().map(|(name, _)| *name).collect();
    let (root, added, name) = match control {
        Some(_) => {
            let added = additions::to_control(name, &words, &known, &filters).map(|file| sources.add(file));
            (root, added, name.to_string())
        }
        None => {
            let path = target.path.display().to_string();
            let (file, study) = additions::training_of_task(&path, name, &words, &known, &filters);
            (sources.add(file), None, study)
        }
    };
    let module = prepare::load(sources, root, added, warnings)?;
    let study = module.studies.into_iter().find(|study| study.name == name);
    let Some(mut study) = study else {
        return Err(Failure::new("E0803", format!("`{name}` is not in `{}`", target.path.display())));
    };
    if let Some(control) = &mut study.control {
        let mut found = Diagnostics::default();
        check_control(control, &mut found);
        if found.has_errors() {
            return Err(Failure::from_diagnostics(found));
        }
        warnings.extend(found);
        // Algorithms named on the command line are the ones that learn, in their order.
        if !asked.algorithms.is_empty() {
            let place = |name: &str| asked.algorithms.iter().position(|one| one == name);
            control.learners.retain(|one| place(one.name()).is_some());
            control.learners.sort_by_key(|one| place(one.name()));
        }
    }
    Ok(study)
}

/// Everything compiled and read.
fn prepared(
    asked: &Asked,
    study: &Study,
    control: &Control,
    has_events: bool,
    warnings: &mut Diagnostics,
) -> Result<Training, Failure> {
    let limits = limits(control);
    let methods = train_methods::of(control);
    let options = Options { strict_math: asked.strict_math };
    let is_compared = control.evaluation.words("against").contains(&CONTROLLER);
    let grounds = Grounds::new(control, &methods, is_compared, &options, warnings)?;
    let evaluation = &control.evaluation;
    let number = |settings: &Settings, key: &str| settings.number(key).map(|n| n as u64);
    let seeds = match control.budget.get("seeds").map(|setting| &setting.value) {
        Some(SettingValue::List(list)) if !list.is_empty() => {
            let of = |value: &SettingValue| match value {
                SettingValue::Number(seed, _) => Some(*seed as u64),
                SettingValue::Text(_) | SettingValue::Word(_) | SettingValue::List(_) => None,
            };
            let mut seeds: Vec<u64> = list.iter().filter_map(of).collect();
            seeds.sort_unstable();
            seeds.dedup();
            seeds
        }
        Some(_) | None => vec![number(&control.budget, "seed").unwrap_or(1)],
    };
    Ok(Training {
        name: study.name.clone(),
        grounds,
        methods,
        seeds,
        limits,
        n_judged: number(evaluation, "episodes").unwrap_or(20),
        judged_from: number(evaluation, "seed").unwrap_or(1_000_000),
        has_events,
    })
}

fn limits(control: &Control) -> Limits {
    let number = |settings: &Settings, key: &str| settings.number(key).map(|n| n as u64);
    let (episodes, steps) = (number(&control.budget, "episodes"), number(&control.budget, "steps"));
    Limits {
        episodes,
        steps: if episodes.is_none() { steps.or(Some(STEPS)) } else { steps },
        stops: control.stops.clone(),
        evaluate_every: number(&control.evaluation, "every").unwrap_or(0),
    }
}

/// Every setting in force.
fn settings(training: &Training, control: &Control, strict_math: bool) -> Value {
    let mut map = Map::new();
    map.insert("episodes".into(), training.limits.episodes.map_or(json!("no limit"), |n| json!(n)));
    map.insert("steps".into(), training.limits.steps.map_or(json!("no limit"), |n| json!(n)));
    map.insert("stop".into(), json!(control.stops.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(", or ")));
    map.insert("evaluate.episodes".into(), json!(training.n_judged));
    map.insert("evaluate.seed".into(), json!(training.judged_from));
    map.insert("evaluate.every".into(), json!(training.limits.evaluate_every));
    map.insert("strict_math".into(), json!(strict_math));
    for method in &training.methods {
        map.extend(method.settings_in_force().into_iter().map(|(name, value)| (name, json!(value))));
    }
    map.extend(training.grounds.settings().into_iter().map(|(name, value)| (name, json!(value))));
    Value::Object(map)
}

impl Training {
    /// Method by method, seed by seed.
    fn jobs(&self) -> Vec<Job<'_>> {
        let pairs = self.methods.iter().flat_map(|method| self.seeds.iter().map(move |seed| (method, *seed)));
        pairs
            .enumerate()
            .map(|(index, (method, seed))| Job { training: self, method, seed, index, pretraining: None })
            .collect()
    }

    /// For people.
    fn length(&self) -> String {
        match (self.limits.episodes, self.limits.steps) {
            (Some(n), _) => counted(n as usize, "episode"),
            (None, n) => counted(n.unwrap_or(0) as usize, "step"),
        }
    }
}

/// What a run was asked for: all that a later `--resume` and `twinc evaluate` need.
#[derive(Debug, Clone)]
pub struct Asked {
    /// File and perhaps study or task, as given.
    pub file: String,
    algorithms: Vec<String>,
    episodes: Option<u64>,
    steps: Option<u64>,
    seeds: Vec<u64>,
    set: Vec<Assignment>,
    strict_math: bool,
}

impl Asked {
    fn of(args: &TrainArgs) -> Asked {
        Asked {
            file: args.file.clone().unwrap_or_default(),
            algorithms: args.algorithm.clone(),
            episodes: args.episodes,
            steps: args.steps,
            seeds: args.seed.clone(),
            set: args.set.clone(),
            strict_math: args.strict_math,
        }
    }

    fn to_json(&self) -> Value {
        let set: Vec<[&str; 2]> = self.set.iter().map(|a| [a.path.as_str(), a.value.as_str()]).collect();
        json!({
            "file": self.file, "algorithms": self.algorithms, "episodes": self.episodes, "steps": self.steps,
            "seeds": self.seeds, "set": set, "strict_math": self.strict_math,
        })
    }

    /// `None` where `value` is not what a run of `train` asked for.
    pub fn from_json(value: &Value) -> Option<Asked> {
        let assignment = |pair: &Value| {
            Some(Assignment { path: pair[0].as_str()?.to_string(), value: pair[1].as_str()?.to_string() })
        };
        let words = value["algorithms"].as_array()?.iter().map(|one| one.as_str().map(str::to_string));
        Some(Asked {
            file: value["file"].as_str()?.to_string(),
            algorithms: words.collect::<Option<Vec<String>>>()?,
            episodes: value["episodes"].as_u64(),
            steps: value["steps"].as_u64(),
            seeds: value["seeds"].as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>()?,
            set: value["set"].as_array()?.iter().map(assignment).collect::<Option<Vec<Assignment>>>()?,
            strict_math: value["strict_math"].as_bool()?,
        })
    }

    /// The command that repeats the run, flags in a fixed order.
    fn command(&self, target: &Target) -> String {
        let name = target.name.as_ref().map_or(String::new(), |name| format!(":{name}"));
        let mut words = vec![format!("twinc train {}{name}", target.path.display())];
        if !self.algorithms.is_empty() {
            words.push(format!("--algorithm {}", self.algorithms.join(",")));
        }
        words.extend(self.episodes.map(|n| format!("--episodes {n}")));
        words.extend(self.steps.map(|n| format!("--steps {n}")));
        if !self.seeds.is_empty() {
            words.push(format!("--seed {}", self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",")));
        }
        words.extend(self.set.iter().map(|a| format!("--set '{}={}'", a.path, a.value)));
        if self.strict_math {
            words.push("--strict-math".into());
        }
        words.join(" ")
    }

    /// The study or task of this run, read again, with another plant where one is named.
    ///
    /// # Errors
    /// What is wrong with the file; a plant that does not fit.
    pub fn study(
        &self,
        plant: Option<&str>,
        target: &Target,
        sources: &mut SourceMap,
        warnings: &mut Diagnostics,
    ) -> Result<Study, Failure> {
        chosen(self, plant, target, sources, warnings)
    }

    /// Whether plain library functions are used.
    pub fn strict_math(&self) -> bool {
        self.strict_math
    }
}
