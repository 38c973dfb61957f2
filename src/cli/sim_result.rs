//! What is kept of one run: its rows as text, its columns where they are wanted, and what is told of it.

use super::paths::Chance;
use super::recorder::{Recorder, names};
use super::runs::Run;
use super::simulation::Plan;
use super::steady;
use super::verdict::{self, with_words};
use crate::analyze::{NotSteady, Reason, Steady};
use crate::diag::Diagnostic;
use crate::export::table::{Column, Table, header, push_cell, quoted};
use crate::flat::FlatModel;
use crate::integrate::{Statistics, Status};
use crate::jit::{Kernel, Kernels};

/// The last column of a table of several runs.
const STATUS: &str = "status";

/// What the rows of each run are wanted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Text with commas.
    pub has_commas: bool,
    /// Text with tabs.
    pub has_tabs: bool,
    /// The columns of the first so many runs.
    pub n_kept: usize,
}

/// The columns of the table of a plan.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Names and units of what tells the runs apart; empty for one run, which has no status either.
    pub labels: Vec<(String, String)>,
    /// Names and units of what follows: the time and more.
    pub names: Vec<(String, String)>,
    /// Where these stand in a recorder.
    places: Vec<usize>,
}

impl Layout {
    /// Of the runs of a plan. A swept input stands among the labels, and not once more behind the states.
    pub fn new(plan: &Plan, model: &FlatModel) -> Layout {
        let labels = plan.runs.labels().to_vec();
        let first = 1 + model.states.len();
        let is_swept = |k: usize, name: &str| {
            (first..first + model.inputs.len()).contains(&k) && labels.iter().any(|label| label.0 == name)
        };
        let all = names(model);
        let places: Vec<usize> = (0..all.len()).filter(|&k| !is_swept(k, &all[k].0)).collect();
        let names = places.iter().map(|&k| all[k].clone()).collect();
        Layout { labels, names, places }
    }

    /// The first line of the text.
    pub fn head(&self, separator: char) -> String {
        let mut cells: Vec<String> = self.labels.iter().chain(&self.names).map(|(n, u)| header(n, u)).collect();
        cells.push(STATUS.into());
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell, separator)).collect();
        cells.join(&separator.to_string()) + "\n"
    }

    /// An empty table.
    pub fn table(&self) -> Table {
        let column =
            |(name, unit): &(String, String)| Column { name: name.clone(), unit: unit.clone(), values: vec![] };
        Table { columns: self.labels.iter().chain(&self.names).map(column).collect() }
    }

    /// Adds the rows of a run to a table; `columns` are those of its recorder.
    pub fn add(&self, table: &mut Table, labels: &[f64], columns: &[Vec<f64>]) {
        let n_rows = columns.first().map_or(0, Vec::len);
        let (front, back) = table.columns.split_at_mut(self.labels.len());
        for (column, value) in front.iter_mut().zip(labels) {
            column.values.extend(std::iter::repeat_n(*value, n_rows));
        }
        for (column, &place) in back.iter_mut().zip(&self.places) {
            column.values.extend(&columns[place]);
        }
    }

    /// The rows of a run as text. One that failed has one row more: when, and why.
    fn text(
        &self,
        labels: &[f64],
        columns: &[Vec<f64>],
        failed: Option<(Option<f64>, &str)>,
        separator: char,
    ) -> String {
        let mut front = String::new();
        for value in labels {
            push_cell(&mut front, *value);
            front.push(separator);
        }
        let n_rows = columns.first().map_or(0, Vec::len);
        let shown: Vec<&[f64]> = self.places.iter().map(|&place| columns[place].as_slice()).collect();
        let mut out = String::with_capacity(n_rows * (front.len() + 16 * shown.len()));
        for row in 0..n_rows {
            out.push_str(&front);
            for column in &shown {
                push_cell(&mut out, column[row]);
                out.push(separator);
            }
            out.push('\n');
        }
        if let Some((time, reason)) = failed {
            out.push_str(&front);
            push_cell(&mut out, time.unwrap_or(f64::NAN));
            self.places.iter().for_each(|_| out.push(separator));
            out.push_str(&quoted(reason, separator));
            out.push('\n');
        }
        out
    }
}

/// What all runs of a simulation share.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// The question.
    pub plan: &'a Plan,
    /// The model.
    pub kernels: &'a Kernels,
    /// Computes the `let`s, then the margins of the safe sets.
    pub extras: &'a Kernel,
    /// What moves random paths.
    pub chance: Option<&'a Chance>,
    /// The columns of the table.
    pub layout: &'a Layout,
    /// What becomes of the rows.
    pub wanted: Wanted,
}

impl<'a> Shared<'a> {
    /// A recorder for one thread.
    pub fn recorder(&self) -> Recorder<'a> {
        Recorder::new(self.plan, self.kernels, self.extras)
    }
}

/// How a run ended.
pub struct Ended {
    /// Whether the end was reached.
    pub status: Status,
    /// The work.
    pub statistics: Statistics,
    /// The steady start, where one was asked for.
    pub steady: Option<Result<Steady, NotSteady>>,
}

impl Ended {
    /// A run that was not begun.
    pub fn not_begun() -> Ended {
        Ended { status: Status::Interrupted { t: 0.0 }, statistics: Statistics::default(), steady: None }
    }

    /// True where it was ended from outside.
    pub fn is_interrupted(&self) -> bool {
        matches!(self.status, Status::Interrupted { .. })
    }
}

/// True where a search was ended from outside.
pub fn is_stopped(error: &NotSteady) -> bool {
    let NotSteady::Failed(attempts) = error else { return false };
    attempts.last().is_some_and(|attempt| attempt.reason == Reason::Interrupted)
}

/// A run as it goes into tables and reports.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Its rows with commas, where these are wanted.
    pub commas: String,
    /// Its rows with tabs, where these are wanted.
    pub tabs: String,
    /// What tells it from the others.
    pub labels: Vec<f64>,
    /// Its columns as a recorder has them, where these are wanted.
    pub columns: Option<Vec<Vec<f64>>>,
    /// Steps made.
    pub steps: u64,
    /// How its steady start was found.
    pub start: Option<String>,
    /// What went wrong.
    pub problems: Vec<Diagnostic>,
    /// Some of what is worth a warning, ...
    pub warnings: Vec<Diagnostic>,
    /// ... and how much there was.
    pub n_warnings: usize,
    /// Ended from outside, before its end.
    pub is_interrupted: bool,
    /// It reached its end.
    pub is_complete: bool,
}

impl Done {
    /// Of the run of number `idx` in `recorder`.
    pub fn new(shared: &Shared<'_>, idx: usize, run: &Run, recorder: &Recorder<'_>, ended: &Ended) -> Done {
        let Shared { plan, layout, wanted, .. } = *shared;
        let model = shared.kernels.model();
        let words = plan.runs.words(run);
        let words = words.as_deref();
        let mut done = Done {
            labels: run.labels.clone(),
            steps: ended.statistics.steps,
            is_interrupted: ended.is_interrupted(),
            is_complete: ended.status.is_success(),
            ..Done::default()
        };
        let mut time = None;
        let mut tell = |diagnostic: Diagnostic, at: Option<f64>| {
            if done.problems.is_empty() {
                time = at;
            }
            done.problems.push(diagnostic);
        };
        if let Some(diagnostic) = verdict::problem(ended.status, model) {
            tell(diagnostic, verdict::instant(ended.status));
        }
        let mut warnings = Vec::new();
        match (&ended.steady, &plan.steady) {
            (Some(Ok(found)), Some((_, span))) => {
                done.start = Some(steady::how(found, model));
                warnings.extend(steady::unstable(found, model, *span));
            }
            (Some(Err(error)), Some((_, span))) if !is_stopped(error) => {
                tell(steady::missing(error, model, *span), None);
                done.is_complete = false;
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        if let Some(undrawn) = &recorder.undrawn {
            tell(undrawn.diagnostic(model), Some(undrawn.time));
        }
        let n_others = warnings.len();
        let (left, n_left) = verdict::warn(model, &recorder.columns);
        warnings.extend(left);
        done.n_warnings = n_others + n_left;
        done.warnings = warnings.into_iter().map(|warning| with_words(warning, words)).collect();
        if !run.labels.is_empty() {
            let reason = done.problems.first().map(|d| format!("{}: {}", d.code.0, d.title));
            let failed = reason.as_ref().map(|reason| (time, reason.as_str()));
            let text = |separator| layout.text(&run.labels, &recorder.columns, failed, separator);
            if wanted.has_commas {
                done.commas = text(',');
            }
            if wanted.has_tabs {
                done.tabs = text('\t');
            }
        }
        done.problems = done.problems.into_iter().map(|problem| with_words(problem, words)).collect();
        if idx < wanted.n_kept {
            done.columns = Some(recorder.columns.clone());
        }
        done
    }

    /// A run that did not do what it should.
    pub fn is_failed(&self) -> bool {
        !self.problems.is_empty()
    }
}
