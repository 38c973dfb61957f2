//! `twinc sim`: a table of the trajectory on standard output; sweeps, draws and paths run in parallel and leave as they
//! are made.

use super::additions::Choice;
use super::args::SimArgs;
use super::console::Console;
use super::failure::{Exit, Failure};
use super::files;
use super::idle::{self, Use};
use super::outlet::Outlets;
use super::paths;
use super::prepare;
use super::resume::Earlier;
use super::run_folder::{Recipe, RunFolder, State};
use super::sim_asked::Asked;
use super::sim_result::Layout;
use super::sim_run;
use super::sim_write::{self, Task};
use super::simulation::{self, Plan};
use super::target::Target;
use crate::diag::Diagnostics;
use crate::export::hash::sha256;
use crate::export::table::number;
use crate::flat::Variation;
use crate::hir::Study;
use crate::hir::study::Sweep;
use crate::integrate::Tolerance;
use crate::jit::{Kernels, Needs, Options};
use crate::source::SourceMap;
use serde_json::{Value, json};
use std::sync::Arc;

/// Values of a sweep that a manifest lists.
const MOST_LISTED: usize = 1000;

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
    let earlier = args.resume.as_deref().map(|folder| Earlier::read(folder, "sim", Asked::from_json)).transpose()?;
    let asked = match &earlier {
        Some(earlier) => earlier.asked.clone(),
        None => Asked::of(args),
    };
    let target = Target::parse(&asked.file);
    if let Some(earlier) = &earlier {
        earlier.is_in_reach(&target.path)?;
    }
    let mut warnings = Diagnostics::default();
    let opened = prepare::open(&target, sources)?;
    let choice = opened.declared.to_simulate(&target)?;
    let (extras, set) = (asked.extras(), asked.assignments());
    let mut study = prepare::study(&target, &opened, &choice, &set, &extras, sources, &mut warnings)?;
    study.hold_lets();
    let variation = Variation { starts: &study.starts, events: &study.events };
    let flat = Arc::new(paths::flat(&study, &variation, &mut warnings)?);
    let file = target.path.display().to_string();
    idle::warn(&study, Some(Use::Simulation), sources, &mut warnings);
    // Only the command line says how a bare model is run.
    let blame = |failure: Failure| {
        let is_usage = matches!(choice, Choice::Model(_)) && failure.diagnostics.iter().all(|d| d.labels.is_empty());
        if is_usage { failure.of_usage() } else { failure }
    };
    let plan = simulation::plan(&study, &flat, &file, &files::FsLoader, sources, &mut warnings).map_err(blame)?;
    let layout = Layout::new(&plan, &flat);
    let is_table_kept = plan.has_moments || outlets.needs_table() || (!console.is_text() && earlier.is_none());
    sim_write::check_size(&plan, is_table_kept).map_err(blame)?;
    console.report(std::mem::take(&mut warnings), sources);
    let options = Options { strict_math: asked.strict_math };
    let kernels = prepare::compile(flat.clone(), &options, Needs::SIMULATION | Needs::STIFF)?;
    let nodes: Vec<_> = flat.lets.iter().chain(&flat.safe).map(|item| item.node).collect();
    let extra = kernels.compile_nodes(&nodes).map_err(|error| Failure::new("E0707", error.to_string()))?;
    let chance = sim_run::chance(&plan, &kernels)?;
    detail(&plan, &kernels, console);

    let recipe = || {
        let mut recipe = Recipe::new("sim", &name(&choice), sources, &set);
        recipe.settings = settings(&plan, &study, asked.strict_math);
        recipe.seeds = vec![plan.seed];
        let goes_on = !layout.labels.is_empty() && !plan.has_moments;
        recipe.asked = if goes_on { asked.to_json() } else { Value::Null };
        recipe
    };
    let n_threads = rayon::current_num_threads();
    let folder = match (&earlier, &args.runs) {
        (Some(Earlier { folder, manifest, .. }), _) => Some(RunFolder::reopen(folder, manifest, recipe(), n_threads)?),
        (None, Some(base)) => Some(RunFolder::create(base, recipe(), n_threads)?),
        (None, None) => None,
    };
    let task = Task {
        plan: &plan,
        kernels: &kernels,
        extras: &extra,
        chance: chance.as_ref(),
        layout: &layout,
        title: &study.name,
        outlets: &outlets,
        folder: folder.as_ref(),
        is_resumed: earlier.is_some(),
        is_table_kept,
    };
    let ended = task.carry_out(console, sources);
    let Some(folder) = &folder else { return ended };
    let exit = folder.conclude(ended, |exit| match exit {
        Exit::Fine => State::Finished,
        Exit::Interrupted => State::Interrupted,
        Exit::Findings | Exit::Usage | Exit::Numerics | Exit::Safety => State::Failed,
    })?;
    console.say(format!("results: {}", folder.path().display()));
    Ok(exit)
}

fn name(choice: &Choice) -> String {
    match choice {
        Choice::Study(name) | Choice::Model(name) => name.clone(),
    }
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
fn settings(plan: &Plan, study: &Study, strict_math: bool) -> Value {
    let atol = match &plan.options.atol {
        Tolerance::Scalar(value) => json!(value),
        Tolerance::PerState(values) => json!(values),
    };
    json!({
        "until": plan.times.last(), "n_times": plan.times.len(),
        "method": plan.paths.as_ref().map_or(plan.options.method.name(), |paths| paths.method.name()),
        "paths": plan.n_paths, "moments": plan.has_moments,
        "rtol": plan.options.rtol, "atol": atol, "step": plan.options.fixed_step.or(plan.paths.as_ref().and_then(|paths| paths.step)),
        "max_steps": plan.options.max_steps, "max_step": plan.options.max_step,
        "epsilon": plan.paths.as_ref().map(|paths| paths.epsilon), "strict_math": strict_math,
        "draws": plan.runs.n_draws(), "n_runs": plan.runs.len(), "noise": plan.has_noise,
        "start": if plan.steady.is_some() { "steady" } else { "given" },
        "sweeps": study.sweeps.iter().map(swept).collect::<Vec<_>>(),
    })
}

/// A sweep for the manifest: its values, or where there are many what tells them from others.
fn swept(sweep: &Sweep) -> Value {
    let values = &sweep.values;
    if values.len() <= MOST_LISTED {
        return json!({ "name": sweep.name, "values": values });
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    json!({
        "name": sweep.name, "points": values.len(), "first": values.first(), "last": values.last(), "sha256": sha256(&bytes),
    })
}
