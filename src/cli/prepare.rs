//! From a file on the command line to a compiled study: the stages in order, each only after the one before has no
//! errors.

use super::additions::{self, Choice, Declared};
use super::failure::Failure;
use super::files::FsLoader;
use super::target::{Assignment, Target};
use crate::diag::{Diagnostics, Severity};
use crate::flat::{FlatModel, Variation, flatten};
use crate::hir::{self, Model, Module, Study, SymbolKind};
use crate::jit::{CompileError, Kernels, Needs, Options};
use crate::source::{SourceId, SourceMap};
use std::sync::Arc;

/// A file that was read, with what it declares.
pub struct Opened {
    /// The file.
    pub root: SourceId,
    /// The models and studies in it.
    pub declared: Declared,
}

/// Reads `target`.
///
/// # Errors
/// A file that cannot be read.
pub fn open(target: &Target, sources: &mut SourceMap) -> Result<Opened, Failure> {
    let root = target.read(sources)?;
    let declared = additions::declared(root, &sources.get(root).text);
    Ok(Opened { root, declared })
}

/// What flags add to a run: lines inside `simulate { ... }`, and whole statements.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// `until = 40`
    pub simulate: Vec<String>,
    /// `sweep k in 0.1 .. 10`
    pub statements: Vec<String>,
}

/// Checks the file with what the command line adds, and takes the chosen study. Texts go to `sources`, warnings to
/// `diagnostics`.
///
/// # Errors
/// The errors found.
pub fn study(
    target: &Target,
    opened: &Opened,
    choice: &Choice,
    assignments: &[Assignment],
    extras: &Extras,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Result<Study, Failure> {
    let Extras { simulate, statements } = extras;
    let (root, added, name) = match choice {
        Choice::Study(name) => {
            let added = additions::to_study(name, assignments, simulate, statements).map(|file| sources.add(file));
            (opened.root, added, name.clone())
        }
        Choice::Model(name) => {
            let path = target.path.display().to_string();
            let constants = constants(opened.root, name, assignments, sources);
            let (file, study) = additions::of_model(&path, name, assignments, &constants, simulate, statements);
            (sources.add(file), None, study)
        }
    };
    let module = load(sources, root, added, diagnostics)?;
    match module.studies.into_iter().find(|study| study.name == name) {
        Some(study) => Ok(study),
        None => Err(Failure::new("E0803", format!("`{name}` is not in `{}`", target.path.display()))),
    }
}

/// Which of the assigned names are constants of the model: they are folded into its equations, so it must be made anew.
fn constants(root: SourceId, model: &str, assignments: &[Assignment], sources: &SourceMap) -> Vec<String> {
    if assignments.is_empty() {
        return Vec::new();
    }
    // What is wrong with the file is reported when it is read with the additions.
    let module = hir::load(&mut sources.clone(), root, None, &FsLoader, false, &mut Diagnostics::default());
    let Some(model) = module.model(model) else { return Vec::new() };
    let is_constant = |path: &str| model.symbols().any(|(_, s)| s.name == path && s.kind == SymbolKind::Const);
    assignments.iter().map(|a| a.path.clone()).filter(|path| is_constant(path)).collect()
}

/// `model` with other values, as `model A = B(..)` makes it; warnings go to `diagnostics`.
///
/// # Errors
/// E0804 for a path that is no plain name; what is wrong with a value.
pub fn variant(
    target: &Target,
    model: &Model,
    assignments: &[Assignment],
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Result<Model, Failure> {
    if let Some(other) = assignments.iter().find(|a| a.path.contains(['.', '('])) {
        return Err(Failure::new("E0804", format!("`--set {}` names no quantity of a model", other.path))
            .help("here `--set` takes constants, parameters, start values and inputs"));
    }
    // A study's model may be declared in another file.
    let path = match model.span {
        Some(span) => sources.get(span.source).name.clone(),
        None => target.path.display().to_string(),
    };
    let (file, name) = additions::variant_of(&path, &model.name, assignments);
    let root = sources.add(file);
    let module = load(sources, root, None, diagnostics)?;
    match module.models.into_iter().find(|found| found.name == name) {
        // It is shown under the name that the user knows.
        Some(found) => Ok(Model { name: model.name.clone(), ..found }),
        None => Err(Failure::new("E0803", format!("`{}` is not in `{}`", model.name, target.path.display()))),
    }
}

/// Checks a text; warnings go to `diagnostics`. Notes say what a file means, which is for `check` to tell and not for every
/// run.
///
/// # Errors
/// The errors found.
pub fn load(
    sources: &mut SourceMap,
    root: SourceId,
    added: Option<SourceId>,
    diagnostics: &mut Diagnostics,
) -> Result<Module, Failure> {
    let mut found = Diagnostics::default();
    let module = hir::load(sources, root, added, &FsLoader, false, &mut found);
    if found.has_errors() {
        return Err(Failure::from_diagnostics(found));
    }
    found.into_iter().filter(|d| d.severity != Severity::Note).for_each(|d| diagnostics.push(d));
    Ok(module)
}

/// A flat model; warnings go to `diagnostics`.
///
/// # Errors
/// The errors found.
pub fn flat(model: &Model, variation: &Variation<'_>, diagnostics: &mut Diagnostics) -> Result<FlatModel, Failure> {
    let mut found = Diagnostics::default();
    match flatten(model, variation, &mut found) {
        Some(flat) if !found.has_errors() => {
            diagnostics.extend(found);
            Ok(flat)
        }
        Some(_) | None => Err(Failure::from_diagnostics(found)),
    }
}

/// Kernels for `needs`.
///
/// # Errors
/// E0707 where no machine code can be made.
pub fn compile(model: Arc<FlatModel>, options: &Options, needs: Needs) -> Result<Kernels, Failure> {
    let failed = |error: CompileError| Failure::new("E0707", error.to_string());
    let kernels = Kernels::compile(model, options).map_err(failed)?;
    kernels.prepare(needs).map_err(failed)?;
    Ok(kernels)
}
