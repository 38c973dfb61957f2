//! `twinc calibrate`: fits a study to its data from many starts and leaves a run folder with the report.

use super::additions::Choice;
use super::args::CalibrateArgs;
use super::console::Console;
use super::failure::{Exit, Failure};
use super::fit_report;
use super::fit_run::{self, Fit};
use super::prepare::{self, Extras};
use super::run_folder::{Recipe, RunFolder};
use super::target::Target;
use super::{files, interrupt};
use crate::calibrate::{Problem, bind};
use crate::diag::Diagnostics;
use crate::hir::Study;
use crate::jit::{Kernels, Needs, Options};
use crate::source::SourceMap;
use crate::system::System;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;

/// Fits the chosen study.
///
/// # Errors
/// What is wrong with the file, the data or the settings; E0705 where no start could be evaluated; E0802.
pub fn run(args: &CalibrateArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    interrupt::catch();
    let begun = Instant::now();
    let target = Target::parse(&args.file);
    let mut warnings = Diagnostics::default();
    let opened = prepare::open(&target, sources)?;
    let name = opened.declared.to_calibrate(&target)?;
    let extras = Extras { simulate: Vec::new(), statements: fit_flags(args) };
    let choice = Choice::Study(name);
    let study = prepare::study(&target, &opened, &choice, &args.set, &extras, sources, &mut warnings)?;
    let bound = bound(&study, &target, sources, &mut warnings)?;
    let settings = bind::fit_settings(&study.fit);
    console.report(std::mem::take(&mut warnings), sources);
    let checked = begun.elapsed();

    let begun = Instant::now();
    let options = Options { strict_math: args.strict_math };
    let needs = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    let kernels = bound
        .models
        .iter()
        .map(|model| prepare::compile(model.clone(), &options, needs).map(Arc::new))
        .collect::<Result<Vec<Arc<Kernels>>, Failure>>()?;
    let compiled = begun.elapsed();
    let model = bound.models[0].clone();
    let experiments = bound
        .experiments
        .into_iter()
        .map(|experiment| {
            let position = experiment.model;
            let system: Arc<dyn System> = kernels[position].clone();
            experiment.into_experiment(&bound.models[position], system, &settings)
        })
        .collect();
    let problem = Problem::new(bound.parameters, experiments, &settings)
        .map_err(|error| Failure::new("E0602", format!("`{}`: {error}", study.name)))?;
    console.detail(scales(&problem));

    let mut recipe = Recipe::new("calibrate", &study.name, sources, &args.set);
    recipe.seeds = vec![settings.seed];
    let sources_used: Vec<(String, String)> =
        recipe.sources.iter().map(|(name, hash, _)| (name.clone(), hash.clone())).collect();
    let command = command(args, &target, &study);
    let states: Vec<(String, String)> =
        model.states.iter().map(|s| (s.quantity.name.clone(), s.quantity.unit.clone())).collect();
    let fit = Fit {
        study: &study.name,
        model: &model.name,
        doc: if study.doc.is_empty() { &model.doc } else { &study.doc },
        problem: &problem,
        settings: &settings,
        param_units: &bound.units,
        param_spans: &bound.spans,
        texts: sources,
        states: &states,
        time_unit: &model.time_unit,
        sources: &sources_used,
        command: &command,
    };
    recipe.settings = settings_in_force(&fit, args);
    let folder = RunFolder::create(&args.runs, recipe, rayon::current_num_threads())?;
    folder.time("check", checked)?;
    folder.time("compile", compiled)?;
    console.say(format!(
        "{}: {} parameters, {} measurements, {} starts on {} threads",
        study.name,
        problem.parameters().len(),
        problem.n_measurements(),
        settings.starts,
        rayon::current_num_threads()
    ));
    fit_run::run(&fit, &folder, console)
}

/// Reads the study's data; warnings go to `warnings`.
fn bound(
    study: &Study,
    target: &Target,
    sources: &mut SourceMap,
    warnings: &mut Diagnostics,
) -> Result<bind::Bound, Failure> {
    let mut found = Diagnostics::default();
    bind::check_fit(study, &mut found);
    let file = target.path.display().to_string();
    match bind::bind(study, &file, &files::FsLoader, sources, &mut found) {
        Some(bound) if !found.has_errors() => {
            warnings.extend(found);
            Ok(bound)
        }
        Some(_) | None => Err(Failure::from_diagnostics(found)),
    }
}

fn fit_flags(args: &CalibrateArgs) -> Vec<String> {
    let flags = [("starts", args.starts.map(|n| n.to_string())), ("seed", args.seed.map(|n| n.to_string()))];
    flags.into_iter().filter_map(|(key, value)| Some(format!("fit {{ {key} = {} }}", value?))).collect()
}

/// On which scale each parameter is searched.
fn scales(problem: &Problem) -> String {
    let of = |p: &crate::calibrate::Parameter| format!("{} {}", p.name, fit_report::scale_word(p.scale));
    format!("search scales: {}", problem.parameters().iter().map(of).collect::<Vec<_>>().join(", "))
}

/// The command that repeats the run, flags in a fixed order.
fn command(args: &CalibrateArgs, target: &Target, study: &Study) -> String {
    let mut words = vec![format!("twinc calibrate {}:{}", target.path.display(), study.name)];
    words.extend(args.starts.map(|n| format!("--starts {n}")));
    words.extend(args.seed.map(|n| format!("--seed {n}")));
    words.extend(args.set.iter().map(|a| format!("--set '{}={}'", a.path, a.value)));
    if args.strict_math {
        words.push("--strict-math".into());
    }
    words.join(" ")
}

fn settings_in_force(fit: &Fit<'_>, args: &CalibrateArgs) -> Value {
    let mut map: Map<String, Value> =
        fit_report::settings(fit).into_iter().map(|(name, value)| (name, json!(value))).collect();
    map.insert("strict_math".into(), json!(args.strict_math));
    Value::Object(map)
}
