//! The front end as a whole: texts to checked and flat models, and what it says where they are wrong.

mod corners;
mod diagnostics;
mod edges;
mod manual;
mod meaning;
mod robust;
mod studies;
mod tasks;
mod told;

use std::path::Path;

use twinc::cli::render::{Look, human};
use twinc::diag::{Diagnostics, Severity};
use twinc::flat::{self, FlatModel, Variation};
use twinc::hir::{self, Module};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

/// Reads imports from the folder of the file that names them.
pub struct ProjectLoader;

impl Loader for ProjectLoader {
    fn load(&self, from: &str, path: &str) -> Result<SourceFile, LoadError> {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let full = folder.join(path);
        let text = std::fs::read_to_string(&full).map_err(|e| LoadError::new(e.to_string()))?;
        Ok(SourceFile::new(full.to_string_lossy(), text))
    }
}

/// Serves imports from a list of names and texts.
pub struct Texts<'a>(pub &'a [(&'a str, &'a str)]);

impl Loader for Texts<'_> {
    fn load(&self, _: &str, path: &str) -> Result<SourceFile, LoadError> {
        match self.0.iter().find(|(name, _)| *name == path) {
            Some((name, text)) => Ok(SourceFile::new(*name, *text)),
            None => Err(LoadError::new("no such file")),
        }
    }
}

/// A text with everything known about it.
pub struct Checked {
    pub sources: SourceMap,
    pub module: Module,
    /// The models, where there are no errors.
    pub flats: Vec<FlatModel>,
    pub diagnostics: Diagnostics,
}

/// Loads a text and flattens all its models and studies.
pub fn check_with(name: &str, text: &str, strict: bool, loader: &dyn Loader) -> Checked {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new(name, text));
    let module = hir::load(&mut sources, root, None, loader, strict, &mut diagnostics);
    flat::check(&module, &mut diagnostics);
    diagnostics.sort();
    let mut flats = Vec::new();
    if !diagnostics.has_errors() {
        let mut again = Diagnostics::default();
        flats.extend(module.models.iter().filter_map(|m| flat::flatten(m, &Variation::default(), &mut again)));
    }
    Checked { sources, module, flats, diagnostics }
}

/// [`check_with`] and the project's files.
pub fn check(name: &str, text: &str, strict: bool) -> Checked {
    check_with(name, text, strict, &ProjectLoader)
}

/// [`check`] of a text without a file.
pub fn read(text: &str) -> Checked {
    check("model.twin", text, false)
}

/// The diagnostics as a user sees them.
pub fn render(checked: &Checked) -> String {
    checked.shown()
}

impl Checked {
    /// The diagnostics as a user sees them.
    pub fn shown(&self) -> String {
        let list: Vec<String> = self.diagnostics.iter().map(|d| human(d, &self.sources, Look::default())).collect();
        list.concat()
    }

    /// The codes of the diagnostics that are not notes, in order.
    pub fn codes(&self) -> Vec<&'static str> {
        self.diagnostics.iter().filter(|d| d.severity != Severity::Note).map(|d| d.code.0).collect()
    }

    /// The last model, flat.
    pub fn flat(mut self) -> FlatModel {
        assert!(!self.diagnostics.has_errors(), "{}", self.shown());
        self.flats.pop().expect("a model")
    }
}

#[test]
fn every_shipped_model_is_strictly_united() {
    let mut failed = String::new();
    let mut folders = vec![std::path::PathBuf::from("models"), std::path::PathBuf::from("examples"), "stdlib".into()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "twin") {
                let text = std::fs::read_to_string(&path).unwrap();
                let checked = check_with(&path.to_string_lossy(), &text, true, &ProjectLoader);
                if !checked.codes().is_empty() {
                    failed.push_str(&checked.shown());
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// 3.6 = 3600 s/h · 1e-3 uM/mM: the definition keeps its unit uM/mM, and the factor stands at its use.
#[test]
fn a_definition_of_known_unit_is_converted_where_it_is_used() {
    let text = "model M {\n  time [h]\n  species { A [uM] = 1; B [uM] = 0 }\n  param { Km [mM] = 1; kcat [1/s] = 2 }\n  \
                let o = A/(Km + A)\n  A -> B rate kcat*A*o\n}\n";
    let checked = check("m", text, true);
    assert!(checked.diagnostics.is_empty(), "{}", render(&checked));
    let model = &checked.flats[0];
    let env = twinc::expr::eval::Env { t: 0.0, x: &[2.0, 0.0], u: &[], d: &[], p: &[1.0, 2.0], dx: &[], dt: 0.0 };
    let rhs = twinc::expr::eval::Interpreter::new(&model.dag, &[model.states[0].rhs]).values::<f64>(&env)[0];
    let expected = -3600.0 * 2.0 * 2.0 * 0.002 / (1.0 + 0.002);
    assert!((rhs / expected - 1.0).abs() < 1e-14, "{rhs} is not {expected}");
}
