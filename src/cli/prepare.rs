//! From a file on the command line to a compiled study: the stages in order, each only after the one before has no
//! errors.

use super::additions::{self, Choice, Declared};
use super::failure::Failure;
use super::files::FsLoader;
use super::target::{Assignment, Target};
use crate::diag::Diagnostics;
use crate::flat::{FlatModel, Variation, flatten};
use crate::hir::{self, Model, Module, Study};
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
            let (file, study) = additions::of_model(&path, name, assignments, simulate, statements);
            (sources.add(file), None, study)
        }
    };
    let module = load(sources, root, added, diagnostics)?;
    match module.studies.into_iter().find(|study| study.name == name) {
        Some(study) => Ok(study),
        None => Err(Failure::new("E0803", format!("`{name}` is not in `{}`", target.path.display()))),
    }
}

/// Checks a text; warnings go to `diagnostics`.
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
    diagnostics.extend(found);
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
