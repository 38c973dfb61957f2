//! Runs a bound fit: searches from all starts, keeps what is finished, writes the run folder, and says how it ended.
//!
//! Every finished start is added to `starts.jsonl` at once, so that neither an interrupt nor a full disk loses it.
//! When the run ends the same file is written again in the order of the starts; then it, `result.json`, the tables,
//! the plots and the report have the same bytes for the same recipe.

use super::console::Console;
use super::failure::{Exit, Failure, unplaced};
use super::fit_report::{self, Curve};
use super::progress::Progress;
use super::run_folder::RunFolder;
use super::{interrupt, machine, reasons, render};
use crate::calibrate::{Confidence, FitSettings, MultiStart, Problem, StartRecord, Watch, confidence, multistart};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::{plot, report, table};
use crate::optimize::Local;
use crate::source::{SourceMap, Span};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Points of a fitted curve between start and last measurement.
const N_CURVE: usize = 201;

/// Kinds of failure that are told, and estimates that are shown, at most.
const MOST_REASONS: usize = 5;
/// See [`MOST_REASONS`].
const MOST_PLACES: usize = 5;

/// A fit that is ready to run, with the words for people.
pub struct Fit<'a> {
    /// The study.
    pub study: &'a str,
    /// The model.
    pub model: &'a str,
    /// What the study or model says of itself.
    pub doc: &'a str,
    /// What is minimized.
    pub problem: &'a Problem,
    /// How.
    pub settings: &'a FitSettings,
    /// The report has a section on identifiability.
    pub has_identifiability: bool,
    /// Units of the estimated parameters.
    pub param_units: &'a [String],
    /// Where each is written to be estimated.
    pub param_spans: &'a [Span],
    /// The texts these places are in.
    pub texts: &'a SourceMap,
    /// Names and units of the states, as in the systems of all experiments.
    pub states: &'a [(String, String)],
    /// Unit of time.
    pub time_unit: &'a str,
    /// Sources: name and SHA-256.
    pub sources: &'a [(String, String)],
    /// The command that repeats the run.
    pub command: &'a str,
}

/// What came out.
pub struct Found<'a> {
    /// All finished starts.
    pub starts: &'a MultiStart,
    /// The best of them.
    pub best: &'a StartRecord,
    /// How sure it is.
    pub confidence: &'a Confidence,
    /// Fitted curves and measurements, experiment by experiment, observable by observable.
    pub curves: &'a [Curve],
}

/// The starts that an earlier run in `folder` finished. A line that is not whole (the process was killed while it was
/// written) or does not begin where its start begins is dropped from the file, and its start will be run again.
///
/// # Errors
/// E0801 where the file is there and cannot be read, E0802 where it cannot be written.
pub fn finished_starts(fit: &Fit<'_>, folder: &RunFolder) -> Result<Vec<StartRecord>, Failure> {
    let path = folder.path().join("starts.jsonl");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let title = format!("`{}` cannot be read: {}", path.display(), super::console::reason(&error));
            return Err(Failure::new("E0801", title));
        }
    };
    let mut found: Vec<StartRecord> = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Ok(record) = serde_json::from_slice::<StartRecord>(line) else { continue };
        let is_ours = record.index < fit.settings.starts
            && multistart::start_point(fit.problem, fit.settings, record.index).is_ok_and(|p| p == record.start);
        if is_ours && found.iter().all(|other| other.index != record.index) {
            found.push(record);
        }
    }
    folder.write("starts.jsonl", lines(&found).as_bytes())?;
    Ok(found)
}

/// Runs the fit into `folder`, without the starts that are `finished`.
///
/// # Errors
/// A mistake in the problem, E0705 where no start could be evaluated, E0802 where results cannot be written.
pub fn run(
    fit: &Fit<'_>,
    finished: Vec<StartRecord>,
    folder: &RunFolder,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let flag = interrupt::flag();
    let watch = Follow::new(fit, &finished, folder, console);
    let found = multistart::run(fit.problem, fit.settings, finished, &flag, &watch);
    watch.progress.end();
    let starts = found.map_err(|error| Failure::new("E0409", error.to_string()))?;
    if let Some(why) = watch.trouble() {
        console.say(format!("warning: {why}; the search went on, its results are kept in memory until the end"));
    }
    let is_interrupted = interrupt::is_asked();
    let Some(best) = starts.best() else {
        folder.write("starts.jsonl", lines(&starts.starts).as_bytes())?;
        if is_interrupted {
            console.say(format!("interrupted before a start had finished; see {}", folder.path().display()));
            return Ok(Exit::Interrupted);
        }
        return Err(no_start(fit, &starts));
    };
    let found = conclude(fit, best)?;
    let (confidence, curves) = (&found.0, &found.1);
    let found = Found { starts: &starts, best, confidence, curves };
    let result = fit_report::result(fit, &found);
    // A full disk shall not keep the numbers from the terminal, nor a full stdout the results from the disk.
    if console.is_text() {
        console.data_in_passing(fit_report::summary(fit, &found).as_bytes());
    } else {
        let mut value = result.clone();
        value["folder"] = json!(folder.path().display().to_string());
        console.result(value);
    }
    console.report(vague(fit, &found), fit.texts);
    write_all(fit, &found, &result, folder)?;
    console.say(format!("results: {}", folder.path().join("report.html").display()));
    if is_interrupted {
        console.say(format!(
            "interrupted: {} of {} starts are finished and kept",
            starts.starts.len(),
            fit.settings.starts
        ));
        return Ok(Exit::Interrupted);
    }
    if !best.stop.is_converged() {
        console.say(format!("no convergence: the best start stopped because of {}", best.stop));
        return Ok(Exit::Numerics);
    }
    Ok(Exit::Fine)
}

/// W0109 for each parameter that the data do not determine.
fn vague(fit: &Fit<'_>, found: &Found<'_>) -> Diagnostics {
    let mut warnings = Diagnostics::default();
    let each = found.confidence.intervals.iter().zip(&found.best.at_bounds).zip(fit.param_spans);
    for (((interval, at_bound), span), parameter) in each.zip(fit.problem.parameters()) {
        if at_bound.is_none() && !interval.is_identifiable {
            let name = &interval.name;
            let (low, high) = parameter.bounds();
            let title = match (interval.low, interval.high) {
                (Some(from), Some(to)) if from < low && to > high => {
                    format!("these data say little about `{name}`: its interval is wider than its bounds")
                }
                (Some(_), Some(_)) => {
                    format!("these data say little about `{name}`: they hardly tell it from other parameters")
                }
                (None, _) | (_, None) => format!("`{name}` cannot be identified from these data"),
            };
            warnings.push(
                Diagnostic::new(Code("W0109"), *span, title)
                    .help("measure more, fix it, or give it a prior; the report names the combination"),
            );
        }
    }
    warnings
}

/// E0705 at the estimates, with the starts counted by kind of reason.
fn no_start(fit: &Fit<'_>, starts: &MultiStart) -> Failure {
    let texts: Vec<String> = starts.starts.iter().map(|start| start.stop.to_string()).collect();
    let reasons = reasons::counted(texts.iter().map(|text| text.strip_prefix("start failed: ").unwrap_or(text)));
    let title = format!("none of {} could be evaluated", render::counted(texts.len(), "start"));
    let mut spans = fit.param_spans.to_vec();
    spans.dedup();
    let diagnostic = match spans.as_slice() {
        [] => unplaced(Code("E0705"), title),
        [first, rest @ ..] => rest
            .iter()
            .take(MOST_PLACES)
            .fold(Diagnostic::new(Code("E0705"), *first, title).at("estimated"), |d, span| d.label(*span, "estimated")),
    };
    let diagnostic = reasons
        .iter()
        .take(MOST_REASONS)
        .fold(diagnostic, |d, (count, reason)| d.note(format!("{}: {reason}", render::counted(*count, "start"))));
    let diagnostic = match reasons.len().saturating_sub(MOST_REASONS) {
        0 => diagnostic,
        n => diagnostic
            .note(format!("and {} more; each start's own stands in `starts.jsonl`", render::counted(n, "reason"))),
    };
    let mut list = Diagnostics::default();
    list.push(
        diagnostic
            .help("narrow the bounds, and simulate the model at its declared values first; see `twinc explain E0705`"),
    );
    Failure::from_diagnostics(list)
}

/// Confidence and curves at the best point.
fn conclude(fit: &Fit<'_>, best: &StartRecord) -> Result<(Confidence, Vec<Curve>), Failure> {
    let failed = |why: String| Failure::new("E0702", format!("the best point cannot be evaluated again: {why}"));
    let evaluator = fit.problem.evaluator(None).and_then(|one| one.on_threads(rayon::current_num_threads()));
    let mut evaluator = evaluator.map_err(|error| failed(error.to_string()))?;
    let n = fit.problem.parameters().len();
    let mut local = Local::zeros(n);
    evaluator.information(&best.theta, &mut local).map_err(|error| failed(error.to_string()))?;
    let parameters = fit.problem.parameters();
    let confidence = confidence::assess(parameters, &best.theta, &best.at_bounds, &local.hessian, fit.settings.level);
    let predictions = evaluator.predictions(&best.theta).map_err(|error| failed(error.to_string()))?;
    let mut curves = Vec::new();
    for (idx, experiment) in fit.problem.experiments().enumerate() {
        let here: Vec<_> = predictions.iter().filter(|p| p.experiment == idx).copied().collect();
        let times = grid(experiment.t0, &here.iter().map(|p| p.time).collect::<Vec<_>>());
        let n_outputs = experiment.system.dims().n_outputs;
        let mut states: Vec<Vec<f64>> = vec![Vec::new(); experiment.system.dims().n_states];
        let mut outputs: Vec<Vec<f64>> = vec![Vec::new(); n_outputs];
        evaluator
            .trajectory(idx, &best.theta, &times, &mut |at, y| {
                for (column, value) in states.iter_mut().zip(at.x) {
                    column.push(*value);
                }
                for (column, value) in outputs.iter_mut().zip(y) {
                    column.push(*value);
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        curves.push(Curve { experiment: experiment.clone(), times, states, outputs, predictions: here });
    }
    Ok((confidence, curves))
}

/// Even steps from the start to the last measurement, with every measured time among them.
fn grid(t0: f64, measured: &[f64]) -> Vec<f64> {
    let last = measured.iter().copied().fold(t0, f64::max);
    let mut times: Vec<f64> = (0..N_CURVE).map(|i| t0 + (last - t0) * i as f64 / (N_CURVE - 1) as f64).collect();
    times.extend(measured);
    times.sort_by(f64::total_cmp);
    times.dedup();
    times.retain(|time| *time <= last);
    times
}

fn lines(starts: &[StartRecord]) -> String {
    starts.iter().filter_map(|start| Some(format!("{}\n", serde_json::to_string(start).ok()?))).collect()
}

fn write_all(fit: &Fit<'_>, found: &Found<'_>, result: &Value, folder: &RunFolder) -> Result<(), Failure> {
    folder.write("result.json", format!("{result:#}\n").as_bytes())?;
    folder.write("starts.jsonl", lines(&found.starts.starts).as_bytes())?;
    folder.write("predictions.csv", fit_report::predictions(found).as_bytes())?;
    for (curve, name) in found.curves.iter().zip(table_names(found.curves)) {
        let table = fit_report::trajectory(fit, curve);
        folder.write(&name, table.to_csv().as_bytes())?;
        write_parquet(&table, &name, folder)?;
    }
    let page = fit_report::report(fit, found);
    for (name, figure) in report::figures(&page) {
        folder.write(&format!("plots/{name}.svg"), plot::svg(&figure).as_bytes())?;
    }
    folder.write("report.html", report::html(&page).as_bytes())
}

/// The file of each experiment's curve. Names that are one as files, whatever the case of their letters, are numbered.
fn table_names(curves: &[Curve]) -> Vec<String> {
    if let [_] = curves {
        return vec!["trajectory.csv".into()];
    }
    let mut taken: Vec<String> = Vec::new();
    let name = |curve: &Curve| {
        let stem = format!("trajectory-{}", super::run_folder::safe(&curve.experiment.name));
        let numbered = (2..).map(|count| format!("{stem}-{count}"));
        let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !taken.contains(&name.to_lowercase()));
        let name = free.unwrap_or(stem);
        taken.push(name.to_lowercase());
        format!("{name}.csv")
    };
    curves.iter().map(name).collect()
}

#[cfg(feature = "parquet")]
fn write_parquet(table: &table::Table, csv_name: &str, folder: &RunFolder) -> Result<(), Failure> {
    let bytes = table.to_parquet().map_err(|why| Failure::new("E0802", why))?;
    folder.write(&csv_name.replace(".csv", ".parquet"), &bytes)
}

#[cfg(not(feature = "parquet"))]
fn write_parquet(_table: &table::Table, _csv_name: &str, _folder: &RunFolder) -> Result<(), Failure> {
    Ok(())
}

/// Follows the starts: progress for people, a line for each finished start in the folder, times apart.
struct Follow<'a> {
    folder: &'a RunFolder,
    progress: Progress,
    n_done: AtomicUsize,
    best: Mutex<(f64, usize)>,
    begun: Mutex<HashMap<usize, Instant>>,
    trouble: Mutex<Option<String>>,
}

impl<'a> Follow<'a> {
    fn new(fit: &Fit<'_>, finished: &[StartRecord], folder: &'a RunFolder, console: &Console) -> Follow<'a> {
        let best = finished.iter().map(|record| record.objective).fold(f64::INFINITY, f64::min);
        let is_best =
            |record: &&StartRecord| record.objective.is_finite() && record.objective <= best + report::NEAR_BEST;
        let n_best = finished.iter().filter(is_best).count();
        Follow {
            folder,
            progress: Progress::new(console, "starts", fit.settings.starts),
            n_done: AtomicUsize::new(finished.len()),
            best: Mutex::new((best, n_best)),
            begun: Mutex::new(HashMap::new()),
            trouble: Mutex::new(None),
        }
    }

    /// What went wrong while lines were added, if anything did.
    fn trouble(&self) -> Option<String> {
        self.trouble.lock().ok().and_then(|trouble| trouble.clone())
    }

    fn note(&self, done: Result<(), Failure>) {
        if let (Err(failure), Ok(mut trouble)) = (done, self.trouble.lock()) {
            let title = failure.diagnostics.iter().next().map(|d| d.title.clone());
            *trouble = trouble.take().or(title);
        }
    }
}

impl Watch for Follow<'_> {
    fn started(&self, index: usize) {
        if let Ok(mut begun) = self.begun.lock() {
            begun.insert(index, Instant::now());
        }
    }

    fn finished(&self, record: &StartRecord) {
        let took = self.begun.lock().ok().and_then(|mut begun| begun.remove(&record.index)).map(|b| b.elapsed());
        let n_done = self.n_done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Ok(value) = serde_json::to_value(record) {
            self.note(self.folder.append("starts.jsonl", &value));
        }
        if let Some(took) = took {
            let line = json!({ "schema": machine::SCHEMA, "what": "start", "index": record.index, "seconds": took.as_secs_f64() });
            self.note(self.folder.append("timing.jsonl", &line));
        }
        if let Ok(mut best) = self.best.lock() {
            if record.objective < best.0 - report::NEAR_BEST {
                best.1 = 0;
            }
            if record.objective < best.0 {
                best.0 = record.objective;
            }
            if record.objective.is_finite() && record.objective <= best.0 + report::NEAR_BEST {
                best.1 += 1;
            }
            self.progress.update(n_done, &format!("best {:.4}, reached {} times", best.0, best.1));
        }
    }
}
