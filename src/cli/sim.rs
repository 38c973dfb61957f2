//! `twinc sim`: a table of the trajectory on standard output; sweeps and draws run in parallel.

use super::additions::Choice;
use super::args::SimArgs;
use super::console::Console;
use super::failure::{Exit, Failure, exit_of};
use super::idle::{self, Use};
use super::outlet::Outlets;
use super::paths;
use super::prepare::{self, Extras};
use super::run_folder::{Recipe, RunFolder, State};
use super::sim_run::{self, Finished};
use super::simulation::{self, Plan};
use super::target::Target;
use super::{files, render};
use crate::diag::Diagnostics;
use crate::export::plot;
use crate::export::table::number;
use crate::flat::Variation;
use crate::hir::Study;
use crate::integrate::Tolerance;
use crate::jit::{Kernel, Kernels, Needs, Options};
use crate::source::SourceMap;
use serde_json::{Value, json};
use std::sync::Arc;

/// Simulates the chosen study or model.
///
/// # Errors
/// What is wrong with the file, the settings or the places to write to.
pub fn run(args: &SimArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    for (flag, value) in [("--rtol", args.rtol), ("--atol", args.atol)] {
        if let Some(value) = value.filter(|value| !(*value > 0.0 && value.is_finite())) {
            return Err(Failure::new("E0804", format!("`{flag}` is {value}, but it must be positive")));
        }
    }
    let outlets = Outlets::of(args, console)?;
    super::interrupt::catch();
    let target = Target::parse(&args.file);
    let mut warnings = Diagnostics::default();
    let opened = prepare::open(&target, sources)?;
    let choice = opened.declared.to_simulate(&target)?;
    let extras = extras(args);
    let mut study = prepare::study(&target, &opened, &choice, &args.set, &extras, sources, &mut warnings)?;
    study.hold_lets();
    let variation = Variation { starts: &study.starts, events: &study.events };
    let flat = Arc::new(paths::flat(&study, &variation, &mut warnings)?);
    let file = target.path.display().to_string();
    idle::warn(&study, Some(Use::Simulation), sources, &mut warnings);
    let plan = simulation::plan(&study, &flat, &file, &files::FsLoader, sources, &mut warnings).map_err(|failure| {
        // Only the command line says how a bare model is run.
        let is_usage = matches!(choice, Choice::Model(_)) && failure.diagnostics.iter().all(|d| d.labels.is_empty());
        if is_usage { failure.of_usage() } else { failure }
    })?;
    console.report(std::mem::take(&mut warnings), sources);
    let options = Options { strict_math: args.strict_math };
    let kernels = prepare::compile(flat.clone(), &options, Needs::SIMULATION | Needs::STIFF)?;
    let nodes: Vec<_> = flat.lets.iter().chain(&flat.safe).map(|item| item.node).collect();
    let extra = kernels.compile_nodes(&nodes).map_err(|error| Failure::new("E0707", error.to_string()))?;
    detail(&plan, &kernels, console);

    let folder = match &args.runs {
        Some(base) => {
            let mut recipe = Recipe::new("sim", &name(&choice), sources, &args.set);
            recipe.settings = settings(&plan, &study);
            recipe.seeds = vec![plan.seed];
            Some(RunFolder::create(base, recipe, rayon::current_num_threads())?)
        }
        None => None,
    };
    let ended = carry_out(&plan, &kernels, &extra, &study, &outlets, folder.as_ref(), console, sources);
    let Some(folder) = &folder else { return ended };
    let exit = folder.conclude(ended, |exit| match exit {
        Exit::Fine => State::Finished,
        Exit::Interrupted => State::Interrupted,
        Exit::Findings | Exit::Usage | Exit::Numerics => State::Failed,
    })?;
    console.say(format!("results: {}", folder.path().display()));
    Ok(exit)
}

/// Runs the plan, writes its results and reports what was found.
#[allow(clippy::too_many_arguments)]
fn carry_out(
    plan: &Plan,
    kernels: &Kernels,
    extra: &Kernel,
    study: &Study,
    outlets: &Outlets,
    folder: Option<&RunFolder>,
    console: &mut Console,
    sources: &SourceMap,
) -> Result<Exit, Failure> {
    let finished = sim_run::run(plan, kernels, extra)?;
    let written = write(outlets, &finished, study, folder, console);
    for line in &finished.starts {
        console.detail(line);
    }
    let steps: u64 = finished.statistics.iter().map(|s| s.steps).sum();
    console.detail(format!("{}, {steps} steps", render::counted(plan.runs.len(), "run")));
    let exit = if finished.is_interrupted { Exit::Interrupted } else { exit_of(&finished.problems) };
    let mut found = finished.warnings;
    found.extend(finished.problems);
    console.report(found, sources);
    if finished.n_hidden > 0 {
        let verb = if finished.n_hidden == 1 { "is" } else { "are" };
        console.say(format!("{} more of this kind {verb} not shown", finished.n_hidden));
    }
    if finished.is_interrupted {
        console.say("interrupted: the rows reached were written");
    }
    written.map(|()| exit)
}

fn name(choice: &Choice) -> String {
    match choice {
        Choice::Study(name) | Choice::Model(name) => name.clone(),
    }
}

/// The flags as statements of the language.
fn extras(args: &SimArgs) -> Extras {
    let mut simulate = Vec::new();
    for (key, value) in [("until", &args.until), ("output", &args.output), ("method", &args.method)] {
        if let Some(value) = value {
            simulate.push(format!("{key} = {value}"));
        }
    }
    simulate.extend(args.step.iter().map(|step| format!("step {step}")));
    for (key, value) in [("rtol", args.rtol), ("atol", args.atol)] {
        if let Some(value) = value {
            simulate.push(format!("{key} = {}", number(value)));
        }
    }
    for (key, value) in [("paths", args.paths), ("seed", args.seed)] {
        if let Some(value) = value {
            simulate.push(format!("{key} = {value}"));
        }
    }
    if args.moments {
        simulate.push("moments = true".to_string());
    }
    let mut statements: Vec<String> = args.sweep.iter().map(|sweep| format!("sweep {sweep}")).collect();
    statements.extend(args.steady.then(|| "start steady".to_string()));
    Extras { simulate, statements }
}

fn detail(plan: &Plan, kernels: &Kernels, console: &Console) {
    let model = kernels.model();
    let tolerances = match &plan.options.atol {
        Tolerance::Scalar(value) => number(*value),
        Tolerance::PerState(values) => {
            let each = model.states.iter().zip(values);
            each.map(|(s, v)| format!("{} {}", s.quantity.name, number(*v))).collect::<Vec<_>>().join(", ")
        }
    };
    console.detail(format!("rtol {}; atol {tolerances}", number(plan.options.rtol)));
}

/// Every setting in force, for the manifest.
fn settings(plan: &Plan, study: &Study) -> Value {
    let atol = match &plan.options.atol {
        Tolerance::Scalar(value) => json!(value),
        Tolerance::PerState(values) => json!(values),
    };
    json!({
        "until": plan.times.last(), "n_times": plan.times.len(),
        "method": plan.paths.as_ref().map_or(plan.options.method.name(), |paths| paths.method.name()),
        "paths": plan.n_paths, "moments": plan.has_moments,
        "rtol": plan.options.rtol, "atol": atol, "step": plan.options.fixed_step.or(plan.paths.as_ref().and_then(|paths| paths.step)),
        "max_steps": plan.options.max_steps, "n_runs": plan.runs.len(), "noise": plan.has_noise,
        "start": if plan.steady.is_some() { "steady" } else { "given" },
        "sweeps": study.sweeps.iter().map(|s| json!({ "name": s.name, "values": s.values })).collect::<Vec<_>>(),
    })
}

fn write(
    outlets: &Outlets,
    finished: &Finished,
    study: &Study,
    folder: Option<&RunFolder>,
    console: &mut Console,
) -> Result<(), Failure> {
    let table = &finished.table;
    let figure = || figure(&study.name, finished);
    if let Some(folder) = folder {
        folder.write("trajectory.csv", table.to_csv().as_bytes())?;
        folder.write("plots/trajectory.svg", plot::svg(&figure()).as_bytes())?;
    }
    if let Some(outlet) = &outlets.plot {
        outlet.write(plot::svg(&figure()).as_bytes(), console)?;
    }
    outlets.write_table(table, console)?;
    if !console.is_text() {
        let columns: Vec<Value> = table
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "unit": column.unit, "values": column.values }))
            .collect();
        console.result(json!({ "columns": columns, "warnings_not_shown": finished.n_hidden }));
    }
    Ok(())
}

/// One run: a panel for each unit. Several: the same with a line for each run.
fn figure(title: &str, finished: &Finished) -> plot::Figure {
    let n = finished.n_labels;
    let columns = &finished.table.columns;
    if n == 0 {
        return plot::by_unit(title, &finished.table);
    }
    // A new run begins where time falls back.
    let times = columns.get(n).map_or(&[][..], |column| &column.values);
    let mut starts: Vec<usize> = (0..times.len()).filter(|&i| i == 0 || times[i] < times[i - 1]).collect();
    starts.push(times.len());
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
    plot::Figure { title: title.into(), panels, n_columns: 2 }
}
