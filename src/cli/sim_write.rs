//! Carries out a simulation and writes what comes of it: one run as a whole, several run by run as they are finished.

use super::console::Console;
use super::failure::{Exit, Failure, exit_of};
use super::outlet::Outlets;
use super::parts::{Parts, TABLE};
use super::paths::Chance;
use super::progress::Progress;
use super::run_folder::RunFolder;
use super::sim_result::{Done, Layout, Shared, Wanted};
use super::sim_run::{self, Finished};
use super::simulation::Plan;
use super::stream::Stream;
use super::verdict::MOST_WARNINGS;
use super::{interrupt, render};
use crate::diag::Diagnostics;
use crate::export::plot;
use crate::jit::{Kernel, Kernels};
use crate::limits::{MAX_DIAGNOSTICS, MAX_OUTPUT_ROWS};
use crate::source::SourceMap;
use serde_json::{Value, json};

/// Runs that a plot shows, at most, ...
const MOST_LINES: usize = 200;
/// ... and numbers that it keeps for that, at most, where more than one run is shown.
const MOST_PLOTTED: usize = 4_000_000;
/// The progress is told after so many runs.
const RUNS_PER_UPDATE: usize = 16;

/// E0611 where a table that is kept in memory as a whole would have too many rows.
///
/// # Errors
/// That.
pub fn check_size(plan: &Plan, is_table_kept: bool) -> Result<(), Failure> {
    let n_tables = if plan.has_moments { plan.runs.len() / plan.n_paths } else { plan.runs.len() };
    let n_rows = plan.times.len().saturating_mul(n_tables);
    if !is_table_kept || n_rows <= MAX_OUTPUT_ROWS {
        return Ok(());
    }
    Err(Failure::new("E0611", format!("the output would have {n_rows} rows")).help(
        "ask for a coarser `output`, fewer `draws` or a smaller `sweep`; a `.csv` of paths, draws and sweeps may have any size",
    ))
}

/// A simulation that is ready to run.
pub struct Task<'a> {
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
    /// Above plots.
    pub title: &'a str,
    /// Where results go ...
    pub outlets: &'a Outlets,
    /// ... and where they are kept.
    pub folder: Option<&'a RunFolder>,
    /// The folder has runs of an earlier process.
    pub is_resumed: bool,
    /// The whole table is wanted in memory.
    pub is_table_kept: bool,
}

impl Task<'_> {
    /// Runs the plan, writes its results and reports what was found.
    ///
    /// # Errors
    /// A mistake in the plan that the integrator finds; E0802 where results cannot be written.
    pub fn carry_out(&self, console: &mut Console, sources: &SourceMap) -> Result<Exit, Failure> {
        if self.layout.labels.is_empty() || self.plan.has_moments {
            let finished = if self.plan.has_moments {
                sim_run::moments(self.shared(all()))?
            } else {
                let mut finished = Finished::new(self.layout);
                let mut take = |done: Done| {
                    finished.take(self.layout, done, MAX_DIAGNOSTICS);
                    true
                };
                sim_run::run(self.shared(all()), 0..self.plan.runs.len(), &mut take)?;
                finished
            };
            let written = self.write_whole(&finished, console);
            let exit = self.report(finished, console, sources);
            return written.map(|()| exit);
        }
        self.several(console, sources)
    }

    fn shared(&self, wanted: Wanted) -> Shared<'_> {
        let Task { plan, kernels, extras, chance, layout, .. } = *self;
        Shared { plan, kernels, extras, chance, layout, wanted }
    }

    fn several(&self, console: &mut Console, sources: &SourceMap) -> Result<Exit, Failure> {
        let n_runs = self.plan.runs.len();
        let text = if self.is_resumed { None } else { self.outlets.text() };
        let has_plot = self.folder.is_some() || self.outlets.plot.is_some();
        let wanted = Wanted {
            has_commas: self.folder.is_some() || text.is_some_and(|(_, separator)| separator == ','),
            has_tabs: text.is_some_and(|(_, separator)| separator != ','),
            n_kept: match (self.is_table_kept, has_plot) {
                (true, _) => usize::MAX,
                (false, true) => self.n_drawn(),
                (false, false) => 0,
            },
        };
        let mut finished = Finished::new(self.layout);
        let (mut parts, mut first) = (None, 0);
        let mut n_failed = 0;
        if let Some(folder) = self.folder {
            let head = self.layout.head(',');
            if self.is_resumed {
                let (open, mark) = Parts::resume(folder, &head)?;
                (first, n_failed) = (mark.runs, mark.failed);
                parts = Some(open);
                console.say(format!("{first} of {n_runs} runs were finished before"));
                self.draw_again(first, &mut finished)?;
            } else {
                parts = Some(Parts::create(folder, &head)?);
            }
        }
        let mut stream = None;
        if let Some((outlet, separator)) = text {
            let mut open = Stream::open(outlet)?;
            open.add(&self.layout.head(separator), console)?;
            stream = Some((open, separator));
        }
        let is_watched = console.is_terminal() && text.is_some_and(|(outlet, _)| outlet.is_stdout());
        let progress = (!is_watched).then(|| Progress::new(console, "runs", n_runs));
        let most = if console.is_human() { MOST_WARNINGS } else { MAX_DIAGNOSTICS };
        let (mut trouble, mut is_torn) = (None, false);
        let mut take = |mut done: Done| {
            let (commas, tabs) = (std::mem::take(&mut done.commas), std::mem::take(&mut done.tabs));
            if let Err(failure) = parts.as_mut().map_or(Ok(()), |parts| parts.add(&commas, done.is_failed())) {
                trouble = Some(failure);
                is_torn = true;
                return false;
            }
            finished.take(self.layout, done, most);
            let told = stream.as_mut().map_or(Ok(()), |(stream, separator)| {
                stream.add(if *separator == ',' { &commas } else { &tabs }, console)
            });
            if let Err(failure) = told {
                trouble = Some(failure);
                return false;
            }
            let n_done = first + finished.n_runs;
            if let Some(progress) = progress.as_ref().filter(|_| n_done.is_multiple_of(RUNS_PER_UPDATE)) {
                progress.update(n_done, &failures(n_failed + finished.n_failed));
            }
            // What nobody reads is not computed.
            parts.is_some() || has_plot || !stream.as_ref().is_some_and(|(stream, _)| stream.is_closed(console))
        };
        let ran = sim_run::run(self.shared(wanted), first..n_runs, &mut take);
        if let Some(progress) = &progress {
            progress.end();
        }
        let n_done = first + finished.n_runs;
        finished.is_interrupted = n_done < n_runs && interrupt::is_asked();
        finished.n_failed += n_failed;
        let mut written = trouble.map_or(ran, Err);
        if let Some(parts) = parts.filter(|_| !is_torn) {
            written = written.and(parts.end(n_done == n_runs).map(|_| ()));
        }
        if let Some((stream, _)) = stream.filter(|_| written.is_ok()) {
            written = stream.finish(console);
        }
        let written = written.and_then(|()| self.write_rest(&finished, console));
        let was_interrupted = finished.is_interrupted;
        let exit = self.report(finished, console, sources);
        written?;
        if was_interrupted {
            console.say(match self.folder.and_then(RunFolder::command_to_resume) {
                Some(command) => {
                    format!("interrupted: {n_done} of {n_runs} runs are finished and kept; go on with `{command}`")
                }
                None => format!(
                    "interrupted: {n_done} of {n_runs} runs were finished and written; give `--runs FOLDER` to go on after an interrupt"
                ),
            });
        }
        Ok(exit)
    }

    /// Makes the first runs once more, for the plot of a run that was taken up again.
    fn draw_again(&self, n_before: usize, finished: &mut Finished) -> Result<(), Failure> {
        let n_drawn = self.n_drawn();
        let wanted = Wanted { n_kept: n_drawn, ..Wanted::default() };
        let mut take = |done: Done| {
            if let Some(columns) = &done.columns {
                self.layout.add(&mut finished.table, &done.labels, columns);
            }
            true
        };
        sim_run::run(self.shared(wanted), 0..n_before.min(n_drawn), &mut take)
    }

    /// Runs that a plot shows.
    fn n_drawn(&self) -> usize {
        let numbers = self.plan.times.len().saturating_mul(self.layout.names.len());
        (MOST_PLOTTED / numbers.max(1)).clamp(1, MOST_LINES)
    }

    /// Says what was found.
    fn report(&self, finished: Finished, console: &mut Console, sources: &SourceMap) -> Exit {
        for line in &finished.starts {
            console.detail(line);
        }
        console.detail(format!("{}, {} steps", render::counted(finished.n_runs, "run"), finished.steps));
        let exit = match (finished.is_interrupted, finished.n_failed) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Fine,
            // What earlier processes met is not told again.
            (false, _) if finished.problems.is_empty() => Exit::Numerics,
            (false, _) => exit_of(&finished.problems),
        };
        let n_told = finished.problems.len();
        let mut found: Diagnostics = finished.warnings;
        found.extend(finished.problems);
        console.report(found, sources);
        if finished.n_hidden > 0 {
            let verb = if finished.n_hidden == 1 { "is" } else { "are" };
            console.say(format!("{} more of this kind {verb} not shown", finished.n_hidden));
        }
        if finished.n_failed > n_told && !self.plan.has_moments {
            let n_runs = self.plan.runs.len();
            console.say(format!("{} of {n_runs} runs failed; the column `status` says why", finished.n_failed));
        }
        if finished.is_interrupted && self.layout.labels.is_empty() {
            console.say("interrupted: the rows reached were written");
        }
        exit
    }

    /// The table of one run, or of moments.
    fn write_whole(&self, finished: &Finished, console: &mut Console) -> Result<(), Failure> {
        if let Some(folder) = self.folder {
            folder.write(TABLE, finished.table.to_csv().as_bytes())?;
        }
        self.write_plots(finished, console)?;
        self.outlets.write_table(&finished.table, console)?;
        self.write_document(finished, console);
        Ok(())
    }

    /// What several runs leave beside their table.
    fn write_rest(&self, finished: &Finished, console: &mut Console) -> Result<(), Failure> {
        self.write_plots(finished, console)?;
        if self.outlets.needs_table() {
            self.outlets.write_table(&finished.table, console)?;
        }
        self.write_document(finished, console);
        Ok(())
    }

    fn write_plots(&self, finished: &Finished, console: &mut Console) -> Result<(), Failure> {
        let svg = || plot::svg(&self.figure(finished));
        if let Some(folder) = self.folder {
            folder.write("plots/trajectory.svg", svg().as_bytes())?;
        }
        if let Some(outlet) = &self.outlets.plot {
            outlet.write(svg().as_bytes(), console)?;
        }
        Ok(())
    }

    fn write_document(&self, finished: &Finished, console: &mut Console) {
        if console.is_text() {
            return;
        }
        let mut document = json!({ "warnings_not_shown": finished.n_hidden });
        if !self.layout.labels.is_empty() && !self.plan.has_moments {
            document["runs"] = json!(self.plan.runs.len());
            document["failed"] = json!(finished.n_failed);
        }
        if let Some(folder) = self.folder {
            document["folder"] = json!(folder.path().display().to_string());
        }
        if self.is_table_kept {
            let columns = finished.table.columns.iter();
            let columns = columns.map(|c| json!({ "name": c.name, "unit": c.unit, "values": c.values }));
            document["columns"] = columns.collect::<Vec<Value>>().into();
        }
        console.result(document);
    }

    /// One run: a panel for each unit. Several: a panel for each quantity with a line for each of the first `n_drawn` runs.
    fn figure(&self, finished: &Finished) -> plot::Figure {
        let (title, n_drawn) = (self.title, self.n_drawn());
        let n = finished.n_labels;
        let columns = &finished.table.columns;
        if n == 0 {
            return plot::by_unit(title, &finished.table);
        }
        // A new run begins where time does not go on.
        let times = columns.get(n).map_or(&[][..], |column| &column.values);
        let mut starts: Vec<usize> = (0..times.len()).filter(|&i| i == 0 || times[i] <= times[i - 1]).collect();
        starts.push(times.len());
        starts.truncate(n_drawn.saturating_add(1));
        let panels = columns[n + 1..]
            .iter()
            .map(|column| {
                let runs = starts.windows(2).enumerate().map(|(k, ends)| {
                    let (x, y) = (times[ends[0]..ends[1]].to_vec(), column.values[ends[0]..ends[1]].to_vec());
                    plot::Series::line("", x, y, k)
                });
                plot::Panel {
                    title: column.name.clone(),
                    x: plot::Axis::new(columns[n].header()),
                    y: plot::Axis::new(column.header()),
                    series: runs.collect(),
                }
            })
            .collect();
        let n_runs = self.plan.runs.len();
        let title =
            if n_runs > n_drawn { format!("{title}: the first {n_drawn} of {n_runs} runs") } else { title.into() };
        plot::Figure { title, panels, n_columns: 2 }
    }
}

/// Everything in memory, and no text.
fn all() -> Wanted {
    Wanted { n_kept: usize::MAX, ..Wanted::default() }
}

fn failures(n_failed: usize) -> String {
    if n_failed == 0 { String::new() } else { format!("{n_failed} failed") }
}
