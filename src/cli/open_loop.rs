//! `twinc control --open-loop`: one plan of a whole episode, as the planner expects it and as the plant answers it.
//!
//! This is how a trajectory is optimized, the one way to carry out a task whose step length is decided, and the baseline
//! that shows what feedback is worth: the planned inputs act on the plant without another look at it.

use super::args::ControlArgs;
use super::console::Console;
use super::control::{assembled, flat, no_code, same_layout, uncertain};
use super::control_asked::{Asked, command};
use super::control_run::{in_words, refused};
use super::control_table::{aligned, setting, short, word};
use super::failure::{Exit, Failure};
use super::run_folder::{Recipe, RunFolder, State};
use super::target::Target;
use crate::control::closed_loop::Broken;
use crate::control::controller::{Belief, Controller, LoopOptions};
use crate::control::planners::{self, PlannerKind};
use crate::control::plant::Plant;
use crate::decide::PlanStatus;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::plot;
use crate::export::report::loops::{LoopReport, html};
use crate::export::table::{Column, Table};
use crate::hir::Study;
use crate::hir::settings::{Setting, SettingValue, Settings};
use crate::hir::task::{Algorithm, Control};
use crate::jit::Options;
use crate::random::stream;
use crate::source::SourceMap;
use serde_json::{Value, json};
use std::time::Instant;

/// One planner's trajectory.
struct Course {
    planner: &'static str,
    status: PlanStatus,
    iterations: usize,
    /// Of the plan, the end included; NaN where the planner tells none.
    cost: f64,
    /// Of the plan.
    violation: f64,
    message: String,
    seconds: f64,
    /// Length of a step, decided where that is free.
    step: f64,
    /// Sum over the steps on the plant, and what was broken there; none where the plant was not run.
    met: Option<(f64, Broken)>,
    table: Table,
    settings: Settings,
}

/// Plans the episode of the chosen study or task by each planner asked for.
///
/// # Errors
/// What is wrong with the task; a planner that does not plan ahead; E0802.
pub fn run(
    args: &ControlArgs,
    (asked, target): (&Asked, &Target),
    (study, control): (&Study, &Control),
    console: &mut Console,
    sources: &mut SourceMap,
    mut warnings: Diagnostics,
) -> Result<Exit, Failure> {
    let options = Options { strict_math: asked.strict_math };
    let names: Vec<&str> = match asked.planner.as_slice() {
        [] => control.algorithms.first().map(|algorithm| algorithm.name()).into_iter().collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    let seed = control.budget.number("seed").map_or(1, |seed| seed as u64);
    let mut courses: Vec<Course> = Vec::new();
    for name in names {
        let algorithm = control.algorithms.iter().find(|algorithm| algorithm.name() == name);
        let (Some(algorithm), Some(kind)) = (algorithm, PlannerKind::find(name)) else { continue };
        if !courses.iter().any(|course| course.planner == kind.name()) {
            courses.push(course(control, (algorithm, kind), seed, &options, &mut warnings)?);
        }
    }
    console.report(warnings, sources);
    let mut recipe = Recipe::new("control", &study.name, sources, &asked.assignments());
    recipe.seeds = vec![seed];
    recipe.settings = settings(&courses, asked.strict_math);
    let hashes = recipe.sources.iter().map(|(name, hash, _)| (name.clone(), hash.clone())).collect();
    let listed = recipe.settings.clone();
    let folder = RunFolder::create(&args.runs, recipe, rayon::current_num_threads())?;
    let said = format!("{} --open-loop", command(asked, target));
    let work = || conclude(study, control, &courses, &folder, console, (hashes, listed, said));
    folder.conclude(work(), |_| State::Finished)
}

/// Plans and carries out.
fn course(
    control: &Control,
    (algorithm, kind): (&Algorithm, PlannerKind),
    seed: u64,
    options: &Options,
    warnings: &mut Diagnostics,
) -> Result<Course, Failure> {
    let span = algorithm.settings.method.as_ref().map_or(algorithm.span, |(_, span)| *span);
    let believed = flat(&control.task_for(algorithm), Some(kind), warnings)?;
    let decides_step = matches!(kind, PlannerKind::Sqp | PlannerKind::Rti);
    let why = match () {
        () if !kind.looks_ahead() => Some("does not plan ahead"),
        () if believed.free_step.is_some() && !decides_step => Some("does not decide how long a step is"),
        () => None,
    };
    if let Some(why) = why {
        let mut list = Diagnostics::default();
        let title = format!("`{}` {why}", kind.name());
        list.push(Diagnostic::new(Code("E0901"), span, title).at("asked for here").help("use `sqp`"));
        return Err(Failure::from_diagnostics(list));
    }
    let assembly = uncertain(assembled(believed, options, control)?, control)?;
    let task = assembly.task();
    let functions = assembly.plant_functions().map_err(no_code)?;
    let mut settings = algorithm.settings.clone();
    if settings.get("horizon").is_none() {
        let value = SettingValue::Number(task.n_steps as f64, None);
        settings.list.push(Setting { key: "horizon".into(), key_span: span, value, value_span: span });
    }
    let horizon = planners::horizon(&settings, task.n_steps);
    let fail = |why: String| refused((kind, span), task, &why);
    let begun = Instant::now();
    let planner = planners::make(kind, &assembly, &settings, rayon::current_num_threads())
        .map_err(|error| fail(in_words(task, &error)))?;
    let space = assembly.simulation().map_err(|error| fail(error.to_string()))?;
    let parameters = assembly.parameters();
    let belief = Belief { space: Box::new(space), estimator: None, holds: functions.holds.as_ref(), parameters };
    let mut start = Plant::new(task, assembly.kernels(), &functions, Vec::new()).map_err(|e| fail(e.to_string()))?;
    start.begin(&mut stream(seed, 0));
    let between = LoopOptions { preview: horizon + 1, ..LoopOptions::default() };
    let mut controller = Controller::new(task, planner, belief, between);
    controller.begin(seed, start.state(), start.input());
    let decision = controller.advise(&mut start, &mut || begun.elapsed().as_secs_f64());
    let plan = decision.plan;
    let m = task.model.inputs.len();
    let width = plan.states.len() / (horizon + 1);
    let step = match task.free_step {
        // The length of a step stands behind everything else.
        Some(_) => plan.states.get(width.wrapping_sub(1)).copied().unwrap_or(task.step),
        None => task.step,
    };
    let (states, inputs) = (plan.states.to_vec(), plan.inputs.to_vec());
    let mut course = Course {
        planner: kind.name(),
        status: plan.status,
        iterations: plan.iterations,
        cost: plan.cost,
        violation: plan.violation,
        message: plan.message.to_owned(),
        seconds: decision.seconds,
        step,
        met: None,
        table: Table::default(),
        settings,
    };
    let column = |name: &str, unit: &str, values: Vec<f64>| Column { name: name.into(), unit: unit.into(), values };
    let times = (0..=horizon).map(|k| k as f64 * step).collect();
    course.table.columns.push(column("time", &task.model.time_unit, times));
    for (j, state) in task.model.states.iter().enumerate().filter(|_| width > 0) {
        let values = states.chunks_exact(width).map(|row| row[j]).collect();
        course.table.columns.push(column(&state.quantity.name, &state.quantity.unit, values));
    }
    for act in &task.acts {
        let input = &task.model.inputs[act.input as usize].quantity;
        let mut values: Vec<f64> = inputs.chunks_exact(m).map(|row| row[act.input as usize]).collect();
        values.push(f64::NAN);
        course.table.columns.push(column(&input.name, &input.unit, values));
    }
    if task.free_step.is_none() && course.status != PlanStatus::Failed {
        carry_out(control, (&inputs, m), seed, options, &mut course, warnings)?;
    }
    Ok(course)
}

/// The plant under planned inputs, `n × m`.
fn carry_out(
    control: &Control,
    (inputs, m): (&[f64], usize),
    seed: u64,
    options: &Options,
    course: &mut Course,
    warnings: &mut Diagnostics,
) -> Result<(), Failure> {
    let assembly = assembled(flat(&control.plant, None, warnings)?, options, control)?;
    let task = assembly.task();
    let believed = flat(&control.belief, None, warnings)?;
    same_layout(task, &believed)?;
    let functions = assembly.plant_functions().map_err(no_code)?;
    let mut plant = Plant::new(task, assembly.kernels(), &functions, Vec::new())
        .map_err(|error| Failure::new("E0602", error.to_string()))?;
    plant.begin(&mut stream(seed, 0));
    let (mut cost, mut broken) = (0.0, Broken::default());
    let mut columns: Vec<Vec<f64>> = plant.state().iter().map(|x| vec![*x]).collect();
    for (k, input) in inputs.chunks_exact(m).enumerate() {
        let step = plant.act(input);
        if step.terminated && !plant.message().is_empty() {
            course.message = format!("the plant ends at step {k}: {}", plant.message());
        }
        cost += plant.cost();
        let (amount, keep) = plant.violation();
        if amount > broken.amount {
            let name = task.keeps.get(keep).map_or_else(String::new, |keep| keep.name.clone());
            broken = Broken { amount, step: k, name };
        }
        columns.iter_mut().zip(plant.state()).for_each(|(column, x)| column.push(*x));
        if step.terminated {
            break;
        }
    }
    for (state, values) in task.model.states.iter().zip(columns) {
        let name = format!("{} of the plant", state.quantity.name);
        course.table.columns.push(Column { name, unit: state.quantity.unit.clone(), values });
    }
    course.met = Some((cost, broken));
    Ok(())
}

fn settings(courses: &[Course], strict_math: bool) -> Value {
    let mut map = serde_json::Map::new();
    map.insert("open_loop".into(), json!(true));
    map.insert("strict_math".into(), json!(strict_math));
    for course in courses {
        let table = PlannerKind::find(course.planner).map_or(&[][..], PlannerKind::settings);
        for spec in table {
            map.insert(format!("{}.{}", course.planner, spec.name), json!(setting(&course.settings, spec)));
        }
    }
    Value::Object(map)
}

const HEADS: [&str; 8] =
    ["planner", "planned cost", "violation", "time planned", "cost on plant", "violation on plant", "ms", "plan"];

/// Tells and keeps what came out.
fn conclude(
    study: &Study,
    control: &Control,
    courses: &[Course],
    folder: &RunFolder,
    console: &mut Console,
    (sources, settings, command): (Vec<(String, String)>, Value, String),
) -> Result<Exit, Failure> {
    let unit = control.belief.model.time_unit.as_ref().map_or(String::new(), |unit| format!(" [{unit}]"));
    let cells = |course: &Course, milliseconds: String| {
        let (cost, violation) = match &course.met {
            Some((cost, broken)) if broken.name.is_empty() => (short(*cost), "0".to_string()),
            Some((cost, broken)) => (short(*cost), format!("{} ({})", short(broken.amount), broken.name)),
            None => ("-".to_string(), "-".to_string()),
        };
        let n_steps = course.table.n_rows().saturating_sub(1) as f64;
        [
            course.planner.to_string(),
            short(course.cost),
            short(course.violation),
            format!("{}{unit}", short(n_steps * course.step)),
            cost,
            violation,
            milliseconds,
            format!("{}, {} iterations", word(course.status), course.iterations),
        ]
    };
    let mut rows = vec![HEADS.map(str::to_string).to_vec()];
    rows.extend(courses.iter().map(|course| cells(course, format!("{:.3}", 1e3 * course.seconds)).to_vec()));
    let told = courses.iter().filter(|course| !course.message.is_empty());
    let remarks: Vec<String> = told.map(|course| format!("{}: {}.", course.planner, course.message)).collect();
    let title = format!("{}: {} in open loop", study.name, control.belief.name);
    let row = |course: &Course| {
        json!({
            "planner": course.planner, "status": word(course.status), "iterations": course.iterations,
            "planned_cost": number(course.cost), "planned_violation": number(course.violation),
            "step": course.step, "steps": course.table.n_rows().saturating_sub(1), "message": course.message,
            "plant": course.met.as_ref().map(|(cost, broken)| json!({
                "cost": number(*cost), "violation": { "amount": number(broken.amount), "constraint": broken.name },
            })),
        })
    };
    let result =
        json!({ "name": study.name, "open_loop": true, "planners": courses.iter().map(row).collect::<Vec<_>>() });
    if console.is_text() {
        console.data_in_passing(format!("{title}\n{}", aligned(&rows)).as_bytes());
    } else {
        let mut value = result.clone();
        value["folder"] = json!(folder.path().display().to_string());
        console.result(value);
    }
    remarks.iter().for_each(|remark| console.say(remark));
    folder.write("result.json", format!("{result:#}\n").as_bytes())?;
    let mut figures = Vec::new();
    for course in courses {
        let name = match courses {
            [_] => "trajectory.csv".to_string(),
            _ => format!("trajectory-{}.csv", course.planner),
        };
        folder.write(&name, course.table.to_csv().as_bytes())?;
        let figure = plot::by_unit(&format!("{}: {}", study.name, course.planner), &course.table);
        folder.write(&format!("plots/{}.svg", course.planner), plot::svg(&figure).as_bytes())?;
        folder
            .append("timing.jsonl", &json!({ "what": "plan", "planner": course.planner, "seconds": course.seconds }))?;
        figures.push((course.planner.to_string(), figure, "The plan, and the plant under its inputs.".to_string()));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let page = LoopReport {
        title,
        doc: if study.doc.is_empty() { control.belief.doc.clone() } else { study.doc.clone() },
        facts: [("plant", &control.plant.model.name), ("belief", &control.belief.model.name)]
            .map(|(name, value)| (name.to_string(), value.clone()))
            .to_vec(),
        heads: HEADS.iter().filter(|head| **head != "ms").map(|head| (*head).to_string()).collect(),
        rows: courses
            .iter()
            .map(|course| {
                let [a, b, c, d, e, f, _, h] = cells(course, String::new());
                vec![a, b, c, d, e, f, h]
            })
            .collect(),
        remarks,
        figures,
        settings: settings.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect(),
        sources,
        command,
        version: env!("CARGO_PKG_VERSION").into(),
    };
    folder.write("report.html", html(&page).as_bytes())?;
    console.say(format!("results: {}", folder.path().join("report.html").display()));
    let is_bad = |course: &Course| matches!(course.status, PlanStatus::Failed | PlanStatus::Infeasible);
    Ok(if courses.iter().any(is_bad) { Exit::Numerics } else { Exit::Fine })
}

/// A number for JSON, which has none that are not finite.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}
