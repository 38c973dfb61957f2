//! From text to flat equations: names, units, structure, and what is said where they are wrong.

use std::path::Path;

use twinc::diag::Diagnostics;
use twinc::flat::{FlatModel, Variation, flatten};
use twinc::hir::{self, Module};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

/// Reads files from the project's own folder.
pub struct ProjectLoader;

impl Loader for ProjectLoader {
    fn load(&self, from: &str, path: &str) -> Result<SourceFile, LoadError> {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let full = folder.join(path);
        let text = std::fs::read_to_string(&full).map_err(|e| LoadError { reason: e.to_string() })?;
        Ok(SourceFile::new(full.to_string_lossy(), text))
    }
}

/// A text with everything known about it.
pub struct Checked {
    pub sources: SourceMap,
    pub module: Module,
    pub flats: Vec<FlatModel>,
    pub diagnostics: Diagnostics,
}

/// Loads and flattens all models of a text.
pub fn check(name: &str, text: &str, strict: bool) -> Checked {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new(name, text));
    let module = hir::load(&mut sources, root, None, &ProjectLoader, strict, &mut diagnostics);
    let mut flats = Vec::new();
    if !diagnostics.has_errors() {
        for model in &module.models {
            flats.extend(flatten(model, &Variation::default(), &mut diagnostics));
        }
    }
    diagnostics.sort();
    Checked { sources, module, flats, diagnostics }
}

/// Diagnostics as plain text, for assertions.
pub fn render(checked: &Checked) -> String {
    let mut out = String::new();
    for d in checked.diagnostics.iter() {
        let file = checked.sources.get(d.span().source);
        let (line, column) = file.line_column(d.span().start);
        out.push_str(&format!("{} {}:{line}:{column} {}\n", d.code, file.name, d.title));
        for l in &d.labels {
            out.push_str(&format!("    `{}` {}\n", checked.sources.slice(l.span), l.text));
        }
        for n in &d.notes {
            out.push_str(&format!("    note: {n}\n"));
        }
        if let Some(help) = &d.help {
            out.push_str(&format!("    help: {help}\n"));
        }
    }
    out
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
                let checked = check(&path.to_string_lossy(), &text, true);
                if !checked.diagnostics.is_empty() {
                    failed.push_str(&render(&checked));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
