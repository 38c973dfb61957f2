//! `twinc inspect`: what a compiled model is, as one canonical text, and what problem a task is.

use super::args::{Format, InspectArgs, InspectView};
use super::console::Console;
use super::failure::{Exit, Failure};
use super::prepare;
use super::steady;
use super::target::Target;
use crate::diag::Diagnostics;
use crate::export::dot;
use crate::export::latex::{self, Parts};
use crate::export::snapshot::{self, View};
use crate::export::task as task_text;
use crate::flat::{FlatModel, Quantity, Variation, flatten_task};
use crate::hir::{Model, Module, Task};
use crate::jit::{Kernels, Needs, Options};
use crate::source::SourceMap;
use crate::system::System;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Prints the chosen views of a model, or the problem that a task is.
///
/// # Errors
/// What is wrong with the file, or E0803.
pub fn run(args: &InspectArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    let target = Target::parse(&args.file);
    let mut warnings = Diagnostics::default();
    let begun = Instant::now();
    let form = form(args, console.format)?;
    let opened = prepare::open(&target, sources)?;
    let module = prepare::load(sources, opened.root, None, &mut warnings)?;
    if let Some(task) = chosen_task(&target, &module) {
        return print_task(task, args, &form, warnings, console, sources);
    }
    let model = chosen(&target, &module)?;
    let changed = match args.set.as_slice() {
        [] => None,
        set => Some(prepare::variant(&target, model, set, sources, &mut warnings)?),
    };
    let checked = begun.elapsed();
    let begun = Instant::now();
    let flat = prepare::flat(changed.as_ref().unwrap_or(model), &Variation::default(), &mut warnings)?;
    let flattened = begun.elapsed();
    if let Form::Graph | Form::Latex(_) = form {
        console.report(warnings, sources);
        let text = match form {
            Form::Latex(parts) => latex::text(&flat, parts),
            Form::Graph | Form::Text(_) | Form::Document => dot::text(&flat),
        };
        console.data(text.as_bytes())?;
        if args.timings {
            time(console, &[("parse and check", checked), ("flatten", flattened)]);
        }
        return Ok(Exit::Fine);
    }
    if args.steady {
        console.report(std::mem::take(&mut warnings), sources);
        return steady::print(flat, console);
    }
    let begun = Instant::now();
    let kernels = prepare::compile(Arc::new(flat), &Options::default(), Needs::SIMULATION | Needs::STIFF)?;
    let compiled = begun.elapsed();
    console.report(std::mem::take(&mut warnings), sources);
    if let Form::Text(views) = &form {
        let text = snapshot::text(&kernels, views).map_err(|error| Failure::new("E0707", error.to_string()))?;
        console.data(text.as_bytes())?;
    } else {
        console.result(document(&kernels));
    }
    if args.timings {
        time(console, &[("parse and check", checked), ("flatten", flattened), ("differentiate and compile", compiled)]);
        for timing in kernels.timings() {
            console.say(format!(
                "  {}: plan {:.3} ms, compile {:.3} ms, {} values, {} functions",
                timing.parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", "),
                timing.plan.as_secs_f64() * 1e3,
                timing.compile.as_secs_f64() * 1e3,
                timing.n_values,
                timing.n_chunks
            ));
        }
        if let Some(time) = kernels.elimination_time() {
            console.say(format!("  factors of the jacobian: {:.3} ms", time.as_secs_f64() * 1e3));
        }
    }
    Ok(Exit::Fine)
}

/// Writes a task as the problem that it is.
///
/// # Errors
/// What is wrong with the task, and E0804 for what a task does not have.
fn print_task(
    task: &Task,
    args: &InspectArgs,
    form: &Form,
    mut warnings: Diagnostics,
    console: &mut Console,
    sources: &SourceMap,
) -> Result<Exit, Failure> {
    let refused = |what: &str| {
        Failure::new("E0804", format!("`{}` is a task, and {what}", task.name))
            .help(format!("name its model for that: `{}`", task.model.name))
    };
    if args.steady {
        return Err(refused("`--steady` is of a model"));
    }
    if !args.set.is_empty() {
        return Err(refused("`--set` takes values of a model here"));
    }
    let mut found = Diagnostics::default();
    let flat = match flatten_task(task, &mut found) {
        Some(flat) if !found.has_errors() => flat,
        Some(_) | None => return Err(Failure::from_diagnostics(found)),
    };
    warnings.extend(found);
    let text = match form {
        Form::Text(_) if !args.view.is_empty() => return Err(refused("a `--view` is of a model")),
        Form::Graph => return Err(refused("Graphviz draws models")),
        Form::Text(_) => Some(task_text::text(&flat)),
        Form::Latex(parts) => Some(latex::task::text(&flat, *parts)),
        Form::Document => None,
    };
    console.report(warnings, sources);
    match text {
        Some(text) => console.data(text.as_bytes())?,
        None => console.result(task_text::document(&flat)),
    }
    Ok(Exit::Fine)
}

/// The named task, the task of the named study, or the only thing in a file without models and studies.
fn chosen_task<'a>(target: &Target, module: &'a Module) -> Option<&'a Task> {
    if let Some(name) = target.name.as_deref() {
        let of_study = || module.study(name)?.control.as_ref().map(|control| &control.belief);
        return module.task(name).or_else(of_study);
    }
    match (module.models.as_slice(), module.tasks.as_slice()) {
        ([], [task]) => Some(task),
        _ => None,
    }
}

/// What is written of the model.
enum Form {
    /// The canonical text, or parts of it.
    Text(Vec<View>),
    /// An object for programs.
    Document,
    /// LaTeX.
    Latex(Parts),
    /// Graphviz.
    Graph,
}

/// The form that the flags ask for.
///
/// # Errors
/// E0804 for a view that the format does not have.
fn form(args: &InspectArgs, format: Format) -> Result<Form, Failure> {
    let refused = |has: &str| {
        Failure::new("E0804", format!("`--format {}` does not have this `--view`", format.name())).help(has.to_string())
    };
    match format {
        Format::Human | Format::Github => Ok(Form::Text(views(&args.view))),
        Format::Json | Format::Jsonl | Format::Sarif | Format::Dot if !args.view.is_empty() => {
            Err(refused("leave `--view` out: the format has one form"))
        }
        Format::Json | Format::Jsonl | Format::Sarif => Ok(Form::Document),
        Format::Dot => Ok(Form::Graph),
        Format::Latex if args.view.is_empty() => Ok(Form::Latex(Parts { symbols: true, equations: true })),
        Format::Latex => {
            let mut parts = Parts { symbols: false, equations: false };
            for view in &args.view {
                match view {
                    InspectView::Symbols | InspectView::Units => parts.symbols = true,
                    InspectView::Odes => parts.equations = true,
                    InspectView::Events
                    | InspectView::Jacobian
                    | InspectView::Sparsity
                    | InspectView::Kernels
                    | InspectView::Plan
                    | InspectView::Clif => return Err(refused("LaTeX has the views symbols and odes")),
                }
            }
            Ok(Form::Latex(parts))
        }
    }
}

fn time(console: &Console, stages: &[(&str, Duration)]) {
    for (what, took) in stages {
        console.say(format!("{what}: {:.3} ms", took.as_secs_f64() * 1e3));
    }
}

/// The named model or the model of the named study; else the only model.
fn chosen<'a>(target: &Target, module: &'a Module) -> Result<&'a Model, Failure> {
    if let Some(study) = target.name.as_deref().and_then(|name| module.study(name)) {
        return Ok(&study.model);
    }
    let names: Vec<&str> = module.models.iter().map(|model| model.name.as_str()).collect();
    if let ([], [study]) = (names.as_slice(), module.studies.as_slice()) {
        return Ok(&study.model);
    }
    let name = target.choose("model", &names)?;
    module
        .model(name)
        .ok_or_else(|| Failure::new("E0803", format!("`{}` has no model `{name}`", target.path.display())))
}

fn views(asked: &[InspectView]) -> Vec<View> {
    if asked.is_empty() {
        return View::SNAPSHOT.to_vec();
    }
    let one = |view: &InspectView| match view {
        InspectView::Symbols | InspectView::Units => View::Symbols,
        InspectView::Odes => View::Odes,
        InspectView::Events => View::Events,
        InspectView::Jacobian => View::Jacobian,
        InspectView::Sparsity => View::Sparsity,
        InspectView::Kernels => View::Kernels,
        InspectView::Plan => View::Plan,
        InspectView::Clif => View::Clif,
    };
    asked.iter().map(one).collect()
}

/// The model's declarations and sizes for programs.
fn document(kernels: &Kernels) -> Value {
    let model: &FlatModel = kernels.model();
    let dims = kernels.dims();
    let quantity = |q: &Quantity| {
        let end = |value: f64| value.is_finite().then_some(value);
        json!({ "name": q.name, "unit": q.unit, "doc": q.doc, "low": end(q.low), "high": end(q.high) })
    };
    let valued = |q: &Quantity, value: f64| {
        let mut object = quantity(q);
        object["value"] = json!(value);
        object
    };
    json!({
        "model": model.name,
        "doc": model.doc,
        "time_unit": model.time_unit,
        "states": model.states.iter().map(|s| quantity(&s.quantity)).collect::<Vec<_>>(),
        "params": model.params.iter().map(|p| valued(&p.quantity, p.value)).collect::<Vec<_>>(),
        "inputs": model.inputs.iter().map(|i| valued(&i.quantity, i.value)).collect::<Vec<_>>(),
        "disturbances": model.disturbances.iter().map(|i| valued(&i.quantity, i.value)).collect::<Vec<_>>(),
        "lets": model.lets.iter().map(|l| quantity(&l.quantity)).collect::<Vec<_>>(),
        "observables": model.observables.iter().map(|o| quantity(&o.quantity)).collect::<Vec<_>>(),
        "reactions": model.reactions.iter().map(|r| &r.name).collect::<Vec<_>>(),
        "jacobian_entries": kernels.jacobian_pattern().nnz(),
        "n_roots": dims.n_roots,
        "n_events": model.events.len(),
    })
}
