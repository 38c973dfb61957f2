//! `twinc control`: a task in closed loop, planner by planner; leaves a run folder with the report.

use super::additions::{self, ControlWords};
use super::args::ControlArgs;
use super::check::check_control;
use super::console::Console;
use super::control_asked::{Asked, command, settings};
use super::control_kept::Kept;
use super::control_report;
use super::control_run::{Entry, Episode, Halt, Loops, Watch};
use super::control_table;
use super::failure::{Exit, Failure};
use super::interrupt;
use super::open_loop;
use super::prepare;
use super::progress::Progress;
use super::render::counted;
use super::resume::Earlier;
use super::run_folder::{Recipe, RunFolder, State};
use super::target::Target;
use crate::calibrate::bind;
use crate::control::assemble::Assembly;
use crate::control::closed_loop::Ending;
use crate::control::controller::LoopOptions;
use crate::control::filters::{self, Estimand};
use crate::control::planners::{self, PlannerKind};
use crate::control::plant::Drawn;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::{FlatTask, flatten_task};
use crate::hir::task::{Control, Scenarios, Task};
use crate::hir::{Module, Study};
use crate::jit::{CompileError, Needs, Options};
use crate::source::SourceMap;
use serde_json::{Value, json};
use std::time::Instant;

/// Runs the closed loops of the chosen study or task.
///
/// # Errors
/// What is wrong with the file or the settings; a planner or filter that does not fit the task; E0802.
pub fn run(args: &ControlArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    interrupt::catch();
    let begun = Instant::now();
    let earlier =
        args.resume.as_deref().map(|folder| Earlier::read(folder, "control", Asked::from_json)).transpose()?;
    let asked = &match &earlier {
        Some(earlier) => earlier.asked.clone(),
        None => Asked::of(args),
    };
    let target = Target::parse(&asked.file);
    if let Some(earlier) = &earlier {
        earlier.is_in_reach(&target.path)?;
    }
    let mut warnings = Diagnostics::default();
    let study = chosen(asked, &target, sources, &mut warnings)?;
    let Some(control) = &study.control else {
        return Err(Failure::new("E0803", format!("`{}` is no study of a task", study.name)));
    };
    let mut found = Diagnostics::default();
    check_control(control, &mut found);
    if found.has_errors() {
        return Err(Failure::from_diagnostics(found));
    }
    warnings.extend(found);
    if args.open_loop || control.belief.step.free.is_some() {
        return open_loop::run(args, (asked, &target), (&study, control), console, sources, warnings);
    }
    let options = Options { strict_math: asked.strict_math };
    let loops = prepared(asked, &study, control, &options, &mut warnings)?;
    console.report(std::mem::take(&mut warnings), sources);
    let compiled = begun.elapsed();

    let mut recipe = Recipe::new("control", &loops.name, sources, &asked.assignments());
    recipe.seeds = vec![loops.seed];
    recipe.settings = settings(&loops, asked.strict_math);
    let n_all = loops.n_episodes * loops.planners.len();
    recipe.asked = if n_all > 1 { asked.to_json() } else { Value::Null };
    let command = command(asked, &target);
    let page_sources: Vec<(String, String)> =
        recipe.sources.iter().map(|(name, hash, _)| (name.clone(), hash.clone())).collect();
    let listed = recipe.settings.clone();
    let n_threads = rayon::current_num_threads();
    let folder = match &earlier {
        Some(Earlier { folder, manifest, .. }) => RunFolder::reopen(folder, manifest, recipe, n_threads)?,
        None => RunFolder::create(&args.runs, recipe, n_threads)?,
    };
    let mut work = || -> Result<Exit, Failure> {
        folder.time("compile", compiled)?;
        console.say(format!(
            "{}: {} of {}, {} on {}",
            loops.name,
            counted(loops.n_episodes, "episode"),
            counted(loops.plant.task().n_steps, "step"),
            loops.planners.iter().map(|entry| entry.kind.name()).collect::<Vec<_>>().join(", "),
            counted(n_threads, "thread")
        ));
        if !control.evaluation.list.is_empty() {
            console.say("`evaluate` judges what is trained, and has no effect here");
        }
        let (results, halt) = run_all(&loops, &folder, console)?;
        conclude(
            &loops,
            &results,
            halt.as_ref(),
            &folder,
            console,
            &(page_sources.clone(), listed.clone(), command.clone()),
        )
    };
    folder.conclude(work(), |exit| match exit {
        Exit::Interrupted => State::Interrupted,
        Exit::Safety => State::Stopped,
        Exit::Fine | Exit::Findings | Exit::Usage | Exit::Numerics => State::Finished,
    })
}

/// What each planner has done, in their order.
type Done<'a> = Vec<(&'a Entry, Vec<Episode>)>;

/// Runs planner after planner; where a `stop` holds, those behind it do not run.
fn run_all<'a>(loops: &'a Loops, folder: &RunFolder, console: &Console) -> Result<(Done<'a>, Option<Halt>), Failure> {
    let n_all = loops.n_episodes * loops.planners.len();
    let open = |entry: &Entry| match n_all {
        1 => Ok((None, Vec::new())),
        _ => Kept::open(folder, entry.kind.name(), loops.seed, loops.n_episodes).map(|(file, kept)| (Some(file), kept)),
    };
    let opened = loops.planners.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
    let n_before: usize = opened.iter().map(|(_, kept)| kept.len()).sum();
    if n_before > 0 {
        console.say(format!("{n_before} of {n_all} episodes were finished before"));
    }
    let progress = Progress::new(console, "episodes", n_all);
    let (mut results, mut n_done) = (Vec::new(), 0);
    for (entry, (mut file, kept)) in loops.planners.iter().zip(opened) {
        let planner = entry.kind.name();
        let mut keep = |episode: &Episode| {
            let seconds: Vec<f64> = episode.trace.moments.iter().map(|moment| moment.seconds).collect();
            let line = json!({ "what": "plans", "planner": planner, "episode": episode.number, "seconds": seconds });
            folder.append("timing.jsonl", &line)?;
            file.as_mut().map_or(Ok(()), |file| file.add(episode))
        };
        let mut watch = Watch { progress: &progress, n_done, keep: &mut keep };
        let ran = loops.run(entry, kept, &mut watch);
        n_done = watch.n_done;
        let kept = file.map_or(Ok(()), Kept::end);
        let (episodes, halt) = ran.and_then(|ran| kept.map(|()| ran)).inspect_err(|_| progress.end())?;
        results.push((entry, episodes));
        if halt.is_some() {
            progress.end();
            return Ok((results, halt));
        }
    }
    progress.end();
    Ok((results, None))
}

/// Tells and keeps what came out.
fn conclude(
    loops: &Loops,
    results: &[(&Entry, Vec<Episode>)],
    halt: Option<&Halt>,
    folder: &RunFolder,
    console: &mut Console,
    (sources, settings, command): &(Vec<(String, String)>, Value, String),
) -> Result<Exit, Failure> {
    let rows: Vec<control_table::Row> =
        results.iter().map(|(entry, episodes)| control_table::Row::of(entry.kind.name(), episodes)).collect();
    let mut remarks = control_table::remarks(loops, results);
    remarks.extend(halt.map(|halt| control_table::stopped(loops, halt)));
    let result = control_table::result(loops, results, halt, &remarks);
    if console.is_text() {
        console.data_in_passing(control_table::summary(loops, &rows).as_bytes());
    } else {
        let mut value = result.clone();
        value["folder"] = json!(folder.path().display().to_string());
        console.result(value);
    }
    remarks.iter().for_each(|remark| console.say(remark));
    folder.write("result.json", format!("{result:#}\n").as_bytes())?;
    for (entry, episodes) in results {
        let name = match loops.planners.as_slice() {
            [_] => "trajectory.csv".to_string(),
            _ => format!("trajectory-{}.csv", entry.kind.name()),
        };
        folder.write(&name, control_table::trajectory(loops, episodes).as_bytes())?;
    }
    let page = control_report::page(loops, results, &rows, remarks, sources, settings, command);
    for (name, figure, _) in &page.figures {
        folder.write(&format!("plots/{name}.svg"), crate::export::plot::svg(figure).as_bytes())?;
    }
    folder.write("report.html", crate::export::report::loops::html(&page).as_bytes())?;
    console.say(format!("results: {}", folder.path().join("report.html").display()));
    let is_finished = |episodes: &[Episode]| episodes.iter().filter(|e| e.trace.ending != Ending::Interrupted).count();
    let n_done: usize = results.iter().map(|(_, episodes)| is_finished(episodes)).sum();
    let n_all = loops.n_episodes * loops.planners.len();
    if interrupt::is_asked() && n_done < n_all && halt.is_none() {
        console.say(match folder.command_to_resume() {
            Some(command) => {
                format!("interrupted: {n_done} of {n_all} episodes are finished and kept; go on with `{command}`")
            }
            None => "interrupted: the steps reached were written".to_string(),
        });
        return Ok(Exit::Interrupted);
    }
    Ok(match rows.iter().any(|row| row.is_without_result) {
        _ if halt.is_some() => Exit::Safety,
        true => Exit::Numerics,
        false => Exit::Fine,
    })
}

/// The study asked for, or one made for the task asked for.
fn chosen(
    asked: &Asked,
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
    let studies: Vec<&Study> = bare.studies.iter().filter(|study| study.control.is_some()).collect();
    let study_names: Vec<&str> = studies.iter().map(|study| study.name.as_str()).collect();
    let task_names: Vec<&str> = bare.tasks.iter().map(|task| task.name.as_str()).collect();
    let (what, candidates) = match (&target.name, study_names.as_slice()) {
        (Some(_), _) => ("study of a task, or task,", [study_names.as_slice(), &task_names].concat()),
        (None, []) => ("task", task_names),
        (None, some) => ("study of a task", some.to_vec()),
    };
    let name = target.choose(what, &candidates).map_err(|failure| match candidates.is_empty() {
        true => failure.help("a task says what good control is: see `docs/control.md`"),
        false => failure,
    })?;
    let control = studies.iter().find(|study| study.name == name).and_then(|study| study.control.as_ref());
    let budget = [("episodes", asked.episodes), ("seed", asked.seed)];
    let mut planners = asked.planner.clone();
    if planners.is_empty() && control.is_none_or(|control| control.algorithms.is_empty()) {
        planners.push(PlannerKind::Sqp.name().into());
    }
    let words = ControlWords {
        plant: None,
        planners,
        budget: budget.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}", value?))).collect(),
        assignments: asked.assignments(),
    };
    let known: Vec<&str> = PlannerKind::ALL.iter().map(|kind| kind.name()).collect();
    let filters: Vec<&str> = filters::FILTERS.iter().map(|(name, _)| *name).collect();
    let (root, added, name) = match control {
        Some(_) => {
            let added = additions::to_control(name, &words, &known, &filters).map(|file| sources.add(file));
            (root, added, name.to_string())
        }
        None => {
            let path = target.path.display().to_string();
            let (file, study) = additions::of_task(&path, name, &words, &known, &filters);
            (sources.add(file), None, study)
        }
    };
    let module = prepare::load(sources, root, added, warnings)?;
    match module.studies.into_iter().find(|study| study.name == name) {
        Some(study) => Ok(study),
        None => Err(Failure::new("E0803", format!("`{name}` is not in `{}`", target.path.display()))),
    }
}

/// Everything compiled.
fn prepared(
    asked: &Asked,
    study: &Study,
    control: &Control,
    options: &Options,
    warnings: &mut Diagnostics,
) -> Result<Loops, Failure> {
    let plant = assembled(flat(&control.plant, None, warnings)?, options, control)?;
    let task = plant.task();
    if task.acts.is_empty() {
        let mut list = Diagnostics::default();
        let title = format!("`{}` has nothing to decide: `{}` has no input", task.name, task.model.name);
        list.push(
            Diagnostic::new(Code("E0409"), task.span, title)
                .at("no input")
                .help("declare one: `input u = 0 in 0 .. 1`"),
        );
        return Err(Failure::from_diagnostics(list));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let names: Vec<&str> = match asked.planner.as_slice() {
        [] => control.algorithms.first().map(|algorithm| algorithm.name()).into_iter().collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    for name in names {
        let algorithm = control.algorithms.iter().find(|algorithm| algorithm.name() == name);
        let (Some(algorithm), Some(kind)) = (algorithm, PlannerKind::find(name)) else { continue };
        if entries.iter().any(|entry| entry.kind == kind) {
            continue;
        }
        let flat = flat(&control.task_for(algorithm), Some(kind), warnings)?;
        same_layout(plant.task(), &flat)?;
        let assembly = uncertain(assembled(flat, options, control)?, control)?;
        let functions = assembly.plant_functions().map_err(no_code)?;
        let settings = algorithm.settings.clone();
        let horizon = planners::horizon(&settings, assembly.task().n_steps);
        let span = settings.method.as_ref().map_or(algorithm.span, |(_, span)| *span);
        entries.push(Entry { kind, settings, span, assembly, functions, horizon });
    }
    let drawn = control.randomize.iter().filter_map(|one| {
        let params = &task.model.params;
        let param_idx = params.iter().position(|param| param.quantity.name == one.name)?;
        let param = &params[param_idx];
        let distribution = bind::distribution(one.prior, param.value);
        Some(Drawn { param_idx, distribution, low: param.quantity.low, high: param.quantity.high })
    });
    let hidden = control.hidden.iter().filter_map(|(name, _)| {
        task.model.disturbances.iter().position(|disturbance| disturbance.quantity.name == *name)
    });
    let estimands = control.estimates.iter().map(|one| {
        let declared = task.model.params.iter().find(|param| param.quantity.name == one.name);
        let prior = one.prior.zip(declared).map(|(prior, param)| bind::distribution(prior, param.value));
        Estimand { name: one.name.clone(), low: one.low, high: one.high, prior }
    });
    Ok(Loops {
        name: study.name.clone(),
        doc: if study.doc.is_empty() { task.doc.clone() } else { study.doc.clone() },
        drawn: drawn.collect(),
        spread: control.spread.map(|(share, _)| share),
        planners: entries,
        filter: control.filter.clone(),
        estimands: estimands.collect(),
        hidden: hidden.collect(),
        options: LoopOptions::stated(&control.closed_loop, &control.belief.model),
        between: control.closed_loop.clone(),
        stops: control.stops.clone(),
        n_episodes: control.budget.number("episodes").map_or(1, |n| n as usize),
        seed: control.budget.number("seed").map_or(1, |seed| seed as u64),
        functions: plant.plant_functions().map_err(no_code)?,
        plant,
    })
}

/// The flat task, fit for `planner` where one is given.
///
/// # Errors
/// What is wrong with it.
pub fn flat(task: &Task, planner: Option<PlannerKind>, warnings: &mut Diagnostics) -> Result<FlatTask, Failure> {
    let mut found = Diagnostics::default();
    let flat = flatten_task(task, &mut found);
    if let (Some(flat), Some(kind)) = (&flat, planner) {
        flat.check_planner(kind.name(), kind.needs_bounds(), &mut found);
    }
    match flat {
        Some(flat) if !found.has_errors() => {
            // Of several planners each finds the same.
            found.into_iter().for_each(|d| {
                if !warnings.iter().any(|known| *known == d) {
                    warnings.push(d);
                }
            });
            Ok(flat)
        }
        Some(_) | None => Err(Failure::from_diagnostics(found)),
    }
}

/// Compiled for simulation, and for filters with covariances where the study has one.
///
/// # Errors
/// E0707 where there is no code.
pub fn assembled(task: FlatTask, options: &Options, control: &Control) -> Result<Assembly, Failure> {
    let assembly = Assembly::new(task, options).map_err(no_code)?;
    let estimates = if control.filter.is_some() { Needs::SENSITIVITIES } else { Needs::SIMULATION };
    assembly.kernels().prepare(Needs::SIMULATION | Needs::STIFF | estimates).map_err(no_code)?;
    Ok(assembly)
}

/// The same with the scenarios of the study.
///
/// # Errors
/// E0602 for scenarios of what is no parameter.
pub fn uncertain(assembly: Assembly, control: &Control) -> Result<Assembly, Failure> {
    let params = &assembly.task().model.params;
    let (mut listed, mut drawn) = (Vec::new(), Vec::new());
    for scenario in &control.scenarios {
        let Some(param_idx) = params.iter().position(|param| param.quantity.name == scenario.name) else { continue };
        let param = &params[param_idx];
        match &scenario.values {
            Scenarios::Listed(values) => listed.push((param_idx, values.as_slice())),
            Scenarios::Drawn(prior) => drawn.push(Drawn {
                param_idx,
                distribution: bind::distribution(*prior, param.value),
                low: param.quantity.low,
                high: param.quantity.high,
            }),
        }
    }
    assembly.uncertain(&listed, &drawn).map_err(|error| Failure::new("E0602", error.to_string()))
}

/// E0707 for a task without machine code.
pub fn no_code(error: CompileError) -> Failure {
    Failure::new("E0707", error.to_string())
}

/// Looks whether plant and belief have their quantities in one order.
///
/// # Errors
/// E0614 where not.
pub fn same_layout(plant: &FlatTask, belief: &FlatTask) -> Result<(), Failure> {
    let names = |task: &FlatTask| -> Vec<String> {
        let states = task.model.states.iter().map(|state| &state.quantity.name);
        let inputs = task.model.inputs.iter().chain(&task.model.disturbances).map(|input| &input.quantity.name);
        let observed = task.model.observables.iter().map(|observable| &observable.quantity.name);
        states.chain(inputs).chain(observed).cloned().collect()
    };
    if names(plant) == names(belief) {
        return Ok(());
    }
    let title =
        format!("`{}` and `{}` declare their quantities in different orders", plant.model.name, belief.model.name);
    Err(Failure::new("E0614", title).help("make one a variant of the other, as in `model Actual = Believed(..)`"))
}
