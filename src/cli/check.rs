//! `twinc check`: every error of a file in one run, and the machine repairs on request.

use super::args::CheckArgs;
use super::console::Console;
use super::failure::{Exit, Failure, exit_of};
use super::target::Target;
use super::{files, fit_report, fix, idle, render, simulation, train_methods, watch};
use crate::calibrate::bind;
use crate::control::controller::LOOP;
use crate::control::{filters, planners};
use crate::diag::Diagnostics;
use crate::flat::{self, Variation, flatten};
use crate::hir::task::Control;
use crate::hir::{self, Study};
use crate::learn::train::{BUDGET, EVALUATE};
use crate::source::{SourceFile, SourceId, SourceMap};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Repairs may uncover further ones; each round re-reads the text.
const MOST_ROUNDS: usize = 10;

/// Checks each file; with `--watch` again and again.
///
/// # Errors
/// A file that cannot be read or, with `--fix`, written; a machine format with `--watch`.
pub fn run(args: &CheckArgs, console: &mut Console) -> Result<Exit, Failure> {
    if args.watch {
        return watch::run(args, console);
    }
    once(args, console, &mut BTreeSet::new())
}

/// Units that follow from the equations, of all files.
#[derive(Default)]
struct Inferred {
    lines: String,
    values: Vec<Value>,
}

/// Checks each file once and adds the names of all files read to `read`. Of several files the one that needs most
/// attention decides how it ends; one that cannot be read does not keep the others from their turn.
///
/// # Errors
/// Where standard output cannot take what `--infer` found.
pub fn once(args: &CheckArgs, console: &mut Console, read: &mut BTreeSet<PathBuf>) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let mut inferred = Inferred::default();
    for file in &args.files {
        exit = exit.worse(match one(args, file, console, read, &mut inferred) {
            Ok(exit) => exit,
            Err(failure) => {
                console.report(failure.diagnostics, &SourceMap::default());
                failure.exit
            }
        });
    }
    if args.infer {
        if console.is_text() {
            console.data(inferred.lines.as_bytes())?;
        }
        console.result(json!({ "inferred": inferred.values }));
    }
    Ok(exit)
}

fn one(
    args: &CheckArgs,
    file: &str,
    console: &mut Console,
    read: &mut BTreeSet<PathBuf>,
    inferred: &mut Inferred,
) -> Result<Exit, Failure> {
    let target = Target::parse(file);
    let mut checked = check(&target, args.strict)?;
    if args.fix {
        checked = repair(&target, args.strict, checked, console)?;
    }
    let Checked { sources, diagnostics, module, .. } = checked;
    let own = sources.iter().filter(|(_, file)| !file.name.starts_with("std."));
    read.extend(own.map(|(_, file)| PathBuf::from(&file.name)));
    if target.name.is_some() && !diagnostics.has_errors() {
        let models = module.models.iter().map(|model| model.name.as_str());
        let tasks = module.tasks.iter().map(|task| task.name.as_str());
        let studies = module.studies.iter().map(|study| study.name.as_str());
        let names: Vec<&str> = models.chain(tasks).chain(studies).collect();
        target.choose("model, task or study", &names)?;
    }
    for unit in &module.inferred {
        let place = sources.get(unit.span.source);
        let (line, column) = place.line_column(unit.span.start);
        inferred.lines.push_str(&format!("{}:{line}:{column}: {} [{}]\n", place.name, unit.name, unit.unit));
        inferred.values.push(json!({
            "file": place.name, "line": line, "column": column, "name": unit.name, "unit": unit.unit,
        }));
    }
    let exit = exit_of(&diagnostics);
    if diagnostics.is_empty() {
        console.detail(format!("{}: fine", target.path.display()));
    }
    console.report(diagnostics, &sources);
    Ok(exit)
}

/// A text that went through the front end.
pub struct Checked {
    /// All texts read.
    pub sources: SourceMap,
    /// The text asked for.
    pub root: SourceId,
    /// What was found.
    pub diagnostics: Diagnostics,
    /// What it declares; not to be compiled where there are errors.
    pub module: hir::Module,
}

/// Reads and checks a file and everything it imports.
///
/// # Errors
/// A file that cannot be read.
pub fn check(target: &Target, strict: bool) -> Result<Checked, Failure> {
    let mut sources = SourceMap::default();
    let root = target.read(&mut sources)?;
    Ok(check_source(sources, root, strict))
}

fn check_source(mut sources: SourceMap, root: SourceId, strict: bool) -> Checked {
    let mut diagnostics = Diagnostics::default();
    let module = hir::load(&mut sources, root, None, &files::FsLoader, strict, &mut diagnostics);
    for study in &module.studies {
        bind::check_fit(study, &mut diagnostics);
        fit_report::check(&study.report, &mut diagnostics);
        if let Some(control) = &study.control {
            check_control(control, &mut diagnostics);
        }
        if let Some(simulate) = &study.simulate {
            simulation::check(simulate, &study.model, &mut diagnostics);
        }
    }
    flat::check(&module, &mut diagnostics);
    // Data make sense only where names, units and equations do.
    if !diagnostics.has_errors() {
        let file = sources.get(root).name.clone();
        for study in &module.studies {
            check_study(study, &file, &mut sources, &mut diagnostics);
            idle::warn(study, None, &sources, &mut diagnostics);
        }
    }
    Checked { sources, root, diagnostics: without_guesses(diagnostics), module }
}

/// Names and settings of algorithms, filter, budget and evaluation, each by the table that it is read by.
pub fn check_control(control: &Control, diagnostics: &mut Diagnostics) {
    let (budget, evaluation) = match control.learners.as_slice() {
        [] => (planners::BUDGET, planners::EVALUATE),
        _ => (BUDGET, EVALUATE),
    };
    control.check(&planners::tables(), filters::FILTERS, budget, diagnostics);
    control.check_blocks(LOOP, evaluation, diagnostics);
    train_methods::check(control, diagnostics);
}

/// Where there are errors, a parameter may only seem unused: its use may stand in what could not be read.
fn without_guesses(found: Diagnostics) -> Diagnostics {
    if !found.has_errors() {
        return found;
    }
    let mut kept = Diagnostics::default();
    for diagnostic in found.into_iter().filter(|diagnostic| diagnostic.code.0 != "W0101") {
        kept.push(diagnostic);
    }
    kept
}

/// What a study adds to its model: start values, events, data, estimates.
fn check_study(study: &Study, file: &str, sources: &mut SourceMap, diagnostics: &mut Diagnostics) {
    // What a study of a task estimates is its filter's.
    let estimates = study.control.is_none() && !study.estimates.is_empty();
    let is_fit = estimates || study.experiments.iter().any(|e| !e.data.is_empty());
    if is_fit {
        bind::bind(study, file, &files::FsLoader, sources, diagnostics);
    }
    let variation = Variation { starts: &study.starts, events: &study.events };
    // A fit has reported what is wrong with the model already.
    let mut known = Diagnostics::default();
    let found = if is_fit { &mut known } else { &mut *diagnostics };
    let Some(flat) = flatten(&study.model, &variation, found) else { return };
    if let Some(simulate) = study.simulate.as_ref().filter(|simulate| !simulate.forcing.is_empty()) {
        bind::read_forcing(study, &simulate.forcing, &flat, file, &files::FsLoader, sources, diagnostics);
    }
}

/// Applies repairs until none is left, then writes the file once.
fn repair(target: &Target, strict: bool, mut checked: Checked, console: &Console) -> Result<Checked, Failure> {
    let mut n_total = 0;
    for _ in 0..MOST_ROUNDS {
        let file = checked.sources.get(checked.root);
        let (text, n_fixes) = fix::apply(&file.text, checked.root, checked.diagnostics.iter());
        if n_fixes == 0 {
            break;
        }
        n_total += n_fixes;
        let mut sources = SourceMap::default();
        let root = sources.add(SourceFile::new(file.name.clone(), text));
        checked = check_source(sources, root, strict);
    }
    if n_total > 0 {
        let text = &checked.sources.get(checked.root).text;
        files::write_whole(&target.path, text.as_bytes()).map_err(|why| Failure::new("E0802", why))?;
        console.say(format!("{}: applied {}", target.path.display(), render::counted(n_total, "repair")));
    }
    Ok(checked)
}
