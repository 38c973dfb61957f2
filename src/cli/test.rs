//! `twinc test`: the numeric assertions of models, and their compiled form against the accepted snapshot beside them.
//!
//! The snapshot of `models/mm.twin` is `models/mm.snap`: the canonical texts of all its models, one after the other.

use super::args::TestArgs;
use super::console::Console;
use super::failure::{Exit, Failure};
use super::target::Target;
use super::{diff, files, prepare, render, verdict};
use crate::calibrate::bind;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::snapshot::{self, View};
use crate::export::table::{header, number};
use crate::flat::{Expectation, FlatModel, Variation};
use crate::integrate::{Integrator, Options, Problem, ProblemError, Sample, Start, Tolerance};
use crate::jit::{self, Kernels, Needs};
use crate::source::SourceMap;
use crate::system::Work;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Relative tolerance of the integrations; assertions ask for less.
const RTOL: f64 = 1e-10;

/// What was tested in all files.
#[derive(Default)]
struct Tally {
    n_models: usize,
    n_assertions: usize,
    n_failed: usize,
    /// Snapshots that were written.
    accepted: Vec<String>,
    /// Differences to accepted snapshots.
    diffs: Vec<Value>,
}

/// Tests each file; one that cannot be read or checked counts as a failure and does not keep the others from their turn.
///
/// # Errors
/// None of a file's own.
pub fn run(args: &TestArgs, console: &mut Console) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let mut tally = Tally::default();
    for file in &args.files {
        let mut sources = SourceMap::default();
        exit = exit.worse(match one(args, file, console, &mut sources, &mut tally) {
            Ok(exit) => exit,
            Err(failure) => {
                tally.n_failed += 1;
                console.report(failure.diagnostics, &sources);
                failure.exit
            }
        });
    }
    let n_failed = tally.n_failed;
    let verdict = if n_failed == 0 { "all hold".to_string() } else { render::counted(n_failed, "failure") };
    console.say(format!(
        "{}, {}: {verdict}",
        render::counted(tally.n_models, "model"),
        render::counted(tally.n_assertions, "assertion")
    ));
    console.result(json!({
        "models": tally.n_models, "assertions": tally.n_assertions, "failures": n_failed,
        "accepted": tally.accepted, "diffs": tally.diffs,
    }));
    Ok(exit)
}

fn one(
    args: &TestArgs,
    file: &str,
    console: &mut Console,
    sources: &mut SourceMap,
    tally: &mut Tally,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let target = Target::parse(file);
    let mut found = Diagnostics::default();
    let opened = prepare::open(&target, sources)?;
    let module = prepare::load(sources, opened.root, None, &mut Diagnostics::default())?;
    if target.name.is_some() {
        target.choose("model", &module.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>())?;
    }
    let mut text = String::new();
    for model in module.models.iter().filter(|model| target.name.as_ref().is_none_or(|name| *name == model.name)) {
        let flat = prepare::flat(model, &Variation::default(), &mut Diagnostics::default())?;
        let kernels = prepare::compile(Arc::new(flat), &jit::Options::default(), Needs::SIMULATION | Needs::STIFF)?;
        let part =
            snapshot::text(&kernels, &View::SNAPSHOT).map_err(|error| Failure::new("E0707", error.to_string()))?;
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&part);
        tally.n_models += 1;
        tally.n_assertions += kernels.model().expectations.len();
        expectations(&kernels, &mut found)?;
    }
    // One model of several is tested by its assertions; the snapshot is the whole file's.
    if target.name.is_none() && !text.is_empty() {
        let path = target.path.with_extension("snap");
        if args.accept {
            let before = files::read_text(&path).ok();
            if before.as_deref() != Some(text.as_str()) {
                files::write_whole(&path, text.as_bytes()).map_err(|why| Failure::new("E0802", why))?;
                console.say(format!("accepted {}", path.display()));
                tally.accepted.push(path.display().to_string());
            }
        } else if let Some(failure) = compare(&path, &text, file, console, &mut tally.diffs)? {
            exit = Exit::Findings;
            tally.n_failed += 1;
            console.report(failure.diagnostics, sources);
        }
    }
    if found.has_errors() {
        tally.n_failed += found.len();
        exit = exit.worse(Exit::Findings);
    }
    console.report(found, sources);
    Ok(exit)
}

/// The difference to the accepted snapshot, printed; `None` where there is none.
fn compare(
    path: &Path,
    text: &str,
    file: &str,
    console: &mut Console,
    diffs: &mut Vec<Value>,
) -> Result<Option<Failure>, Failure> {
    let help = format!("read it, then accept it with `twinc test {file} --accept`");
    if !path.exists() {
        return Ok(Some(
            Failure::new("E0805", format!("there is no accepted snapshot `{}`", path.display()))
                .help(format!("write it with `twinc test {file} --accept`")),
        ));
    }
    let before = files::read_text(path)
        .map_err(|error| Failure::new(error.code, format!("`{}` cannot be read: {}", path.display(), error.reason)))?;
    if before == text {
        return Ok(None);
    }
    let difference = diff::unified(&before, text, &path.display().to_string(), "the compiled model now");
    if console.is_text() {
        console.data(difference.as_bytes())?;
    }
    diffs.push(json!({ "file": path.display().to_string(), "diff": difference }));
    Ok(Some(Failure::new("E0805", format!("the compiled model differs from `{}`", path.display())).help(help)))
}

/// Runs the model once to the last assertion and compares.
fn expectations(kernels: &Kernels, found: &mut Diagnostics) -> Result<(), Failure> {
    let model: &FlatModel = kernels.model();
    if model.expectations.is_empty() {
        return Ok(());
    }
    if let Some(noise) = model.noises.first() {
        let title =
            format!("assertions of a model with noise such as `{}` are not carried out by this version", noise.name);
        found.push(Diagnostic::new(Code("E0901"), noise.span, title).at("declared here"));
        return Ok(());
    }
    let mut order: Vec<&Expectation> = model.expectations.iter().collect();
    order.sort_by(|a, b| a.time.total_cmp(&b.time));
    let nodes: Vec<_> = order.iter().map(|expectation| expectation.node).collect();
    let kernel = kernels.compile_nodes(&nodes).map_err(|error| Failure::new("E0707", error.to_string()))?;
    let mut times: Vec<f64> = order.iter().map(|expectation| expectation.time).collect();
    times.dedup();
    let params: Vec<f64> = model.params.iter().map(|param| param.value).collect();
    let atol = Tolerance::PerState(bind::absolute_tolerances(model, &params, RTOL));
    let options = Options { rtol: RTOL, atol, max_steps: 10_000_000, ..Options::default() };
    let wrong = |error: ProblemError| verdict::mistake(&error, model);
    let mut integrator = Integrator::new(kernels, options).map_err(wrong)?;
    let forcing = bind::declared_forcing(model);
    let problem = Problem {
        t0: 0.0,
        t1: times.last().copied().unwrap_or(0.0).max(0.0),
        start: Start::Model,
        p: &params,
        forcing: &forcing,
        directions: &[],
        resumes: false,
    };
    let mut values: Vec<Option<f64>> = vec![None; order.len()];
    let mut work = Work::default();
    let mut all = vec![0.0; order.len()];
    let mut observe = |sample: Sample<'_>| {
        kernel.call(sample.at, &mut work, &mut all);
        for (slot, (expectation, value)) in values.iter_mut().zip(order.iter().zip(&all)) {
            if expectation.time == times[sample.idx] {
                *slot = Some(*value);
            }
        }
    };
    let outcome = integrator.solve(&problem, &times, &mut observe).map_err(wrong)?;
    if let Some(diagnostic) = verdict::problem(outcome.status, model) {
        found.push(diagnostic);
    }
    for (expectation, value) in order.iter().zip(values) {
        let Some(value) = value else { continue };
        let difference = (value - expectation.value).abs();
        // Not a number differs from everything.
        if difference.is_nan() || difference > expectation.tolerance {
            found.push(
                Diagnostic::new(Code("E0706"), expectation.span, format!("`{}` does not hold", expectation.text))
                    .at(format!("it is {}", number(value)))
                    .note(format!(
                        "expected {} within {}, the difference is {}; {} = {}",
                        number(expectation.value),
                        number(expectation.tolerance),
                        number(difference),
                        header("time", &model.time_unit),
                        number(expectation.time)
                    )),
            );
        }
    }
    Ok(())
}
