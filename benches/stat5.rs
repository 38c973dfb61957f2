//! The shipped STAT5 study as a problem, for the benches that fit it.

use std::path::Path;
use std::sync::Arc;
use twinc::calibrate::{FitSettings, Problem, bind};
use twinc::cli::FsLoader;
use twinc::diag::Diagnostics;
use twinc::hir;
use twinc::jit::{Kernels, Needs, Options};
use twinc::source::{SourceFile, SourceMap};
use twinc::system::System;

/// The study, its settings changed by `change`, and these settings.
pub fn problem(change: impl Fn(&mut FitSettings)) -> (Problem, FitSettings) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/stat5/stat5.twin");
    let file = path.to_string_lossy().into_owned();
    let mut sources = SourceMap::default();
    let mut found = Diagnostics::default();
    let root = sources.add(SourceFile::new(file.clone(), std::fs::read_to_string(&path).expect("the example")));
    let module = hir::load(&mut sources, root, None, &FsLoader, true, &mut found);
    let study = module.study("FitStat5").expect("the study");
    let bound = bind::bind(study, &file, &FsLoader, &mut sources, &mut found).expect("data that fit the study");
    let mut settings = bind::fit_settings(&study.fit);
    change(&mut settings);
    let needs = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    let systems: Vec<Arc<Kernels>> = bound
        .models
        .iter()
        .map(|model| {
            let kernels = Kernels::compile(model.clone(), &Options::default()).expect("compiles");
            kernels.prepare(needs).expect("compiles");
            Arc::new(kernels)
        })
        .collect();
    let experiments = bound
        .experiments
        .into_iter()
        .map(|experiment| {
            let position = experiment.model;
            let system: Arc<dyn System> = systems[position].clone();
            experiment.into_experiment(&bound.models[position], system, &settings)
        })
        .collect();
    (Problem::new(bound.parameters, experiments, &settings).expect("a fit"), settings)
}
