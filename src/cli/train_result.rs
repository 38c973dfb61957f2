//! What came of a run of trainings: the table on the terminal, `result.json`, the policy that is taken, the report.
//!
//! Everything is made from the outcomes and from the metrics on disk, so that a run that was taken up again ends with the
//! bytes of one that never stopped.

use super::control_table::short;
use super::failure::{Exit, Failure};
use super::machine;
use super::render::counted;
use super::run_folder::RunFolder;
use super::train_files::JobFolder;
use super::train_job::{Ended, Job, Judged, Outcome, Training};
use super::train_live::WEIGHT;
use crate::diag::Diagnostics;
use crate::export::plot;
use crate::export::report::learning::{self, CourseDrawn, FocusPoint, LearningReport, MethodCurves, SeedCurve};
use crate::learn::album::Picture;
use crate::learn::play::Course;
use crate::learn::train::EARLY;
use serde_json::{Value, json};

/// Share of the episodes of a training, at its end, whose mean says what it came to.
const LAST: usize = 10;

/// What the report needs beside the results.
pub struct Page {
    /// What the study says of itself.
    pub doc: String,
    /// Sources with their hashes.
    pub sources: Vec<(String, String)>,
    /// Settings in force.
    pub settings: Value,
    /// The command that repeats the run.
    pub command: String,
}

/// One training with its curve.
pub struct Entry {
    method: String,
    is_own: bool,
    seed: u64,
    folder: String,
    outcome: Outcome,
    curve: SeedCurve,
}

/// All of them, and the controllers beside them.
pub struct Results {
    entries: Vec<Entry>,
    controllers: Vec<(String, Judged, Course)>,
    /// What is to be noted, in sentences.
    pub remarks: Vec<String>,
}

/// Puts outcomes and metrics together; a run that `is_complete` also judges the controllers beside.
///
/// # Errors
/// Metrics that cannot be read; a controller that cannot be made.
pub fn collected(
    training: &Training,
    jobs: &[Job<'_>],
    outcomes: Vec<Outcome>,
    folder: &RunFolder,
    is_complete: bool,
) -> Result<Results, Failure> {
    let mut entries = Vec::new();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        let name = format!("jobs/{}", job.name());
        let metrics = JobFolder::new(folder.path().join(&name)).metrics()?;
        let curve = curve(&metrics);
        let (method, is_own) = (job.method.label.clone(), job.method.is_own);
        entries.push(Entry { method, is_own, seed: job.seed, folder: name, outcome, curve });
    }
    let controllers = if is_complete { training.controllers()? } else { Vec::new() };
    let remarks = remarks(training, &entries);
    Ok(Results { entries, controllers, remarks })
}

fn curve(metrics: &[Value]) -> SeedCurve {
    let of = |name: &str| -> Vec<f64> {
        let episodes = metrics.iter().filter(|line| line["episode"].is_u64());
        episodes.map(|line| line[name].as_f64().unwrap_or(f64::NAN)).collect()
    };
    let weights = of(WEIGHT);
    let has_weights = weights.iter().any(|weight| weight.is_finite());
    SeedCurve {
        rewards: of("train/reward_per_step"),
        failures: of("safety/failures"),
        weights: if has_weights { weights } else { Vec::new() },
    }
}

fn remarks(training: &Training, entries: &[Entry]) -> Vec<String> {
    let mut out = Vec::new();
    for Entry { method, seed, outcome, is_own, .. } in entries {
        let tally = &outcome.tally;
        match outcome.ended {
            Ended::Done => {}
            Ended::Unsafe => {
                let rules = training.limits.stops.iter().filter(|stop| stop.holds(&tally.counts()));
                out.push(format!(
                    "{method}, seed {seed}: stopped for safety after {}: `{}` holds.",
                    counted(tally.n_episodes as usize, "episode"),
                    rules.map(|stop| stop.text.as_str()).collect::<Vec<_>>().join("`, `")
                ));
            }
            Ended::Interrupted => {
                let n = counted(tally.n_episodes as usize, "episode");
                out.push(format!("{method}, seed {seed}: interrupted after {n}."));
            }
            Ended::Broken => out.push(format!("{method}, seed {seed}: {}; its policy is that of before.", outcome.why)),
        }
        if *is_own && tally.n_failed > 0 && outcome.ended != Ended::Unsafe {
            out.push(format!(
                "{method}, seed {seed}: {} of {} episodes failed, {} of the first {EARLY}.",
                tally.n_failed, tally.n_episodes, tally.n_failed_early
            ));
        }
    }
    out
}

/// Mean and standard deviation over the seeds; the latter 0 for one.
fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

/// `-1.37 ± 0.02`
fn with_spread(values: &[f64]) -> String {
    if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
        return "-".into();
    }
    let (mean, sd) = spread(values);
    let digits = |v: f64| format!("{v:.3e}").parse::<f64>().map_or_else(|_| v.to_string(), short);
    if values.len() > 1 && sd > 0.0 { format!("{} ± {}", digits(mean), digits(sd)) } else { digits(mean) }
}

impl Entry {
    /// Mean reward of a step over the last episodes.
    fn reward_at_end(&self) -> f64 {
        let rewards = &self.curve.rewards;
        let n = rewards.len().div_ceil(LAST).max(1).min(rewards.len());
        rewards[rewards.len() - n..].iter().sum::<f64>() / n as f64
    }
}

const TROUBLE: &str = "give the reward a finite value wherever the plant can be, and take a smaller `lr` where networks grow without \
                       bounds; the policy of before and a checkpoint are kept";

const HEADS: [&str; 8] = [
    "method",
    "seeds",
    "episodes",
    "failures in 100",
    "failures",
    "reward/step at the end",
    "judged reward/step",
    "judged failures",
];

impl Results {
    /// Entries of each method, in order.
    fn by_method(&self) -> Vec<(&str, Vec<&Entry>)> {
        let mut out: Vec<(&str, Vec<&Entry>)> = Vec::new();
        for entry in &self.entries {
            match out.iter_mut().find(|(name, _)| *name == entry.method) {
                Some((_, list)) => list.push(entry),
                None => out.push((&entry.method, vec![entry])),
            }
        }
        out
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for (name, entries) in self.by_method() {
            let of = |f: &dyn Fn(&Entry) -> f64| with_spread(&entries.iter().map(|e| f(e)).collect::<Vec<f64>>());
            let judged: Vec<&Judged> = entries.iter().filter_map(|e| e.outcome.judged.as_ref()).collect();
            let n_judged: u64 = judged.iter().map(|j| j.n_episodes).sum();
            let n_judged_failed: u64 = judged.iter().map(|j| j.n_failed).sum();
            rows.push(vec![
                name.to_string(),
                entries.len().to_string(),
                of(&|e| e.outcome.tally.n_episodes as f64),
                of(&|e| e.outcome.tally.n_failed_early as f64),
                of(&|e| e.outcome.tally.n_failed as f64),
                of(&Entry::reward_at_end),
                with_spread(&judged.iter().map(|j| j.reward_per_step).collect::<Vec<f64>>()),
                if judged.is_empty() { "-".into() } else { format!("{n_judged_failed} of {n_judged}") },
            ]);
        }
        for (name, judged, _) in &self.controllers {
            let none = || "-".to_string();
            rows.push(vec![
                name.clone(),
                none(),
                none(),
                none(),
                none(),
                none(),
                with_spread(&[judged.reward_per_step]),
                format!("{} of {}", judged.n_failed, judged.n_episodes),
            ]);
        }
        rows
    }

    /// The table on the terminal.
    pub fn summary(&self, training: &Training) -> String {
        let mut rows = vec![HEADS.map(String::from).to_vec()];
        rows.extend(self.rows());
        let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
        let mut out =
            format!("{}: {} of {}\n", training.name, training.grounds.task_name(), training.grounds.plant_name());
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            out.push_str(cells.collect::<Vec<String>>().join("  ").trim_end());
            out.push('\n');
        }
        out
    }

    /// The document `result.json`.
    pub fn to_json(&self, training: &Training) -> Value {
        let methods: Vec<Value> = self
            .by_method()
            .into_iter()
            .map(|(name, entries)| {
                let seeds: Vec<Value> = entries
                    .iter()
                    .map(|entry| {
                        let Outcome { ended, why, tally, judged, .. } = &entry.outcome;
                        json!({
                            "seed": entry.seed, "ended": ended, "why": why, "folder": entry.folder,
                            "episodes": tally.n_episodes, "steps": tally.n_steps, "failures": tally.n_failed,
                            "failures_in_first_100": tally.n_failed_early,
                            "reward_per_step_at_end": finite(entry.reward_at_end()), "judged": judged,
                        })
                    })
                    .collect();
                json!({ "method": name, "seeds": seeds })
            })
            .collect();
        let controllers: Vec<Value> =
            self.controllers.iter().map(|(name, judged, _)| json!({ "name": name, "judged": judged })).collect();
        json!({
            "schema": machine::SCHEMA, "study": training.name, "task": training.grounds.task_name(),
            "plant": training.grounds.plant_name(), "methods": methods, "controllers": controllers,
            "policy": self.best().map(|entry| json!({ "method": entry.method, "seed": entry.seed })),
        })
    }

    /// The training whose policy is taken: of the study's own method, the one that failed least when it was judged, then
    /// the one with the largest return.
    fn best(&self) -> Option<&Entry> {
        let judged = |entry: &Entry| entry.outcome.judged.as_ref().map(|j| (j.n_failed, j.mean_return));
        let mut best: Option<(&Entry, (u64, f64))> = None;
        for entry in self.entries.iter().filter(|entry| entry.is_own) {
            let Some(here) = judged(entry) else { continue };
            let is_better =
                best.as_ref().is_none_or(|(_, known)| here.0 < known.0 || here.0 == known.0 && here.1 > known.1);
            if is_better {
                best = Some((entry, here));
            }
        }
        best.map(|(entry, _)| entry)
    }

    /// Metrics of all trainings in one file, the policy that is taken, plots and report.
    ///
    /// # Errors
    /// E0802.
    pub fn write(&self, training: &Training, page: &Page, folder: &RunFolder) -> Result<(), Failure> {
        let mut lines = String::new();
        for entry in &self.entries {
            for mut line in JobFolder::new(folder.path().join(&entry.folder)).metrics()? {
                line["method"] = json!(entry.method);
                line["seed"] = json!(entry.seed);
                lines.push_str(&format!("{line}\n"));
            }
        }
        folder.write("metrics.jsonl", lines.as_bytes())?;
        if let Some(best) = self.best() {
            for name in ["policy.safetensors", "policy.json"] {
                let from = folder.path().join(&best.folder).join(name);
                if let Some(bytes) = super::train_files::read(&from)? {
                    folder.write(name, &bytes)?;
                }
            }
        }
        let report = self.report(training, page);
        for (name, figure, _) in learning::figures(&report) {
            folder.write(&format!("plots/{name}.svg"), plot::svg(&figure).as_bytes())?;
        }
        folder.write("report.html", learning::html(&report).as_bytes())
    }

    fn report(&self, training: &Training, page: &Page) -> LearningReport {
        let grounds = &training.grounds;
        let methods = self.by_method().into_iter().map(|(name, entries)| MethodCurves {
            name: name.into(),
            seeds: entries.into_iter().map(|entry| entry.curve.clone()).collect(),
        });
        let mut facts: Vec<(String, String)> = vec![
            ("task".into(), grounds.task_name().into()),
            ("plant".into(), grounds.plant_name().into()),
            ("seeds".into(), training.seeds.len().to_string()),
        ];
        facts.extend(grounds.belief_name().map(|name| ("believed".to_string(), name.to_string())));
        let own = || self.entries.iter().filter(|entry| entry.is_own);
        let n_failed: u64 = own().map(|entry| entry.outcome.tally.n_failed).sum();
        let n_episodes: u64 = own().map(|entry| entry.outcome.tally.n_episodes).sum();
        facts.push(("failures".into(), format!("{n_failed} of {n_episodes}")));
        let mut courses = Vec::new();
        if let Some(best) = self.best() {
            let words = format!("The trained policy, {}, seed {}: its first episode.", best.method, best.seed);
            courses.push(("policy".to_string(), course(&best.outcome.course, words)));
        }
        for (name, _, played) in &self.controllers {
            courses.push((name.clone(), course(played, format!("The controller alone, `{name}`: its first episode."))));
        }
        for (name, picture) in [("best", extreme(own(), true)), ("worst", extreme(own(), false))] {
            let Some((entry, picture)) = picture else { continue };
            let how = if picture.failed { ", which failed" } else { "" };
            let words = format!(
                "Episode {} of {}, seed {}{how}: {} a step.",
                picture.index,
                entry.method,
                entry.seed,
                short(picture.reward_per_step)
            );
            courses.push((name.to_string(), course(&picture.course, words)));
        }
        let focus = self.best().map_or(&[][..], |entry| &entry.outcome.weights);
        let point =
            |(seen, weights): &(Vec<f64>, Vec<f64>)| FocusPoint { observation: seen.clone(), weights: weights.clone() };
        let acted = grounds.action_space();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        LearningReport {
            title: training.name.clone(),
            doc: page.doc.clone(),
            facts,
            methods: methods.collect(),
            heads: HEADS.map(String::from).to_vec(),
            rows: self.rows(),
            remarks: self.remarks.clone(),
            axes: grounds.heads(),
            n_observed: grounds.observation_space().len(),
            limits: acted.low.iter().copied().zip(acted.high.iter().copied()).collect(),
            time: grounds.time(),
            courses,
            focus: focus.iter().map(point).collect(),
            settings: page
                .settings
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            sources: page.sources.clone(),
            command: page.command.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// E0711 for each training of the study's own method that broke off.
    pub fn troubles(&self) -> Diagnostics {
        let mut list = Diagnostics::default();
        for entry in self.entries.iter().filter(|entry| entry.is_own && entry.outcome.ended == Ended::Broken) {
            let title = format!("{}, seed {}: {}", entry.method, entry.seed, entry.outcome.why);
            list.extend(Failure::new("E0711", title).help(TROUBLE).diagnostics);
        }
        list
    }

    /// 4 where a rule of the study stopped its own method, 3 where learning broke off.
    pub fn exit(&self) -> Exit {
        let ended = |wanted: Ended| self.entries.iter().any(|e| e.is_own && e.outcome.ended == wanted);
        match (ended(Ended::Unsafe), ended(Ended::Broken)) {
            (true, _) => Exit::Safety,
            (false, true) => Exit::Numerics,
            (false, false) => Exit::Fine,
        }
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn course(course: &Course, words: String) -> CourseDrawn {
    let Course { observations, actions, advice, rewards } = course.clone();
    CourseDrawn { words, observations, actions, advice, rewards }
}

/// The best or the worst episode over the seeds.
fn extreme<'a>(entries: impl Iterator<Item = &'a Entry>, is_best: bool) -> Option<(&'a Entry, &'a Picture)> {
    let of = |entry: &'a Entry| {
        let album = &entry.outcome.album;
        let picture = if is_best { &album.best } else { &album.worst };
        picture.as_ref().map(|picture| (entry, picture))
    };
    let mut found: Option<(&Entry, &Picture)> = None;
    for (entry, picture) in entries.filter_map(of) {
        let is_more = found.is_none_or(|(_, known)| match is_best {
            true => picture.reward_per_step > known.reward_per_step,
            false if picture.failed != known.failed => picture.failed,
            false => picture.reward_per_step < known.reward_per_step,
        });
        if is_more {
            found = Some((entry, picture));
        }
    }
    found
}
