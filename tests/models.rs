//! The shipped models, library, examples and manual: they read without a diagnostic, stand in canonical layout, and
//! reproduce the published trajectories.

mod end_points;
mod kernels;
mod open_loop;
mod subject;

use std::fs;
use std::path::{Path, PathBuf};

use twinc::diag::Diagnostics;
use twinc::source::{SourceFile, SourceMap};

use crate::reference::{Table, reference_dir};

/// Every file of `folder` (below the project) that ends in `extension`, subfolders included, sorted.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn collect(folder: &Path, extension: &str, list: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder is part of the project") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                collect(&path, extension, list);
            } else if path.extension().is_some_and(|e| e == extension) {
                list.push(path);
            }
        }
    }
    let mut list = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), extension, &mut list);
    list.sort();
    list
}

/// The texts of all shipped `.twin` files, by path.
fn shipped() -> Vec<(PathBuf, String)> {
    ["models", "stdlib", "examples"]
        .iter()
        .flat_map(|folder| files(folder, "twin"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("UTF-8");
            (path, text)
        })
        .collect()
}

/// One published open-loop trajectory and how a model reproduces it.
struct Trajectory {
    /// Name of the CSV file.
    file: String,
    /// File of `models/`, without ending.
    source: &'static str,
    /// Name of the model in it.
    model: &'static str,
    /// Column, state, and what the state's value is multiplied with to give the column.
    states: &'static [(&'static str, &'static str, f64)],
    /// Column, input or disturbance, and what the column's value is multiplied with to give the input. Held over each row.
    inputs: Vec<(&'static str, &'static str, f64)>,
    /// Parameters set for this file.
    set: Vec<(&'static str, f64)>,
    /// A step of explicit Euler, where the file is such a map.
    euler_step: Option<f64>,
}

const GLUCOSE: &[(&str, &str, f64)] = &[("G", "G", 1.0), ("X", "X", 1.0), ("I", "I", 1.0)];
const BIGLUCOSE: &[(&str, &str, f64)] = &[
    ("Q_1", "Q1", 1.0),
    ("Q_2", "Q2", 1.0),
    ("x_1", "x1", 1.0),
    ("x_2", "x2", 1.0),
    ("x_3", "x3", 1.0),
    ("S_1", "S1", 1.0),
    ("S_2", "S2", 1.0),
    ("I", "I", 1.0),
    ("Z_1", "z1", 1e-8),
    ("Z_2", "z2", 1e-8),
    ("dN", "dN", 1e-8),
    ("Y", "Y", 1.0),
];
const CSTR: &[(&str, &str, f64)] = &[("C_a", "C_a", 1.0), ("C_b", "C_b", 1.0), ("T_R", "T_R", 1.0), ("T_K", "T_K", 1.0)];
const CARTPOLE: &[(&str, &str, f64)] = &[("x", "x", 1.0), ("x_dot", "v", 1.0), ("theta", "th", 1.0), ("theta_dot", "w", 1.0)];

/// The 42 open-loop files of `reference/rl_acr`, in the order of its README.
fn trajectories() -> Vec<Trajectory> {
    let mut list = Vec::new();
    for is_actual in [false, true] {
        let set_name = if is_actual { "actual" } else { "estimated" };
        for input in ["u0", "u0.5", "stairs"] {
            for is_held in [false, true] {
                let mode = if is_held { "held" } else { "continuous" };
                let mut inputs = vec![("u", "u", 1.0)];
                let mut set = Vec::new();
                if is_held {
                    inputs.push(("D_held", "D", 1.0));
                    set.push(("D0", 0.0));
                }
                list.push(Trajectory {
                    file: format!("glucose_{set_name}_{input}_{mode}.csv"),
                    source: "bergman",
                    model: if is_actual { "Bergman_actual" } else { "Bergman" },
                    states: GLUCOSE,
                    inputs,
                    set,
                    euler_step: None,
                });
            }
        }
        for input in ["u0", "u0.05_0.2", "stairs"] {
            for is_held in [false, true] {
                let mode = if is_held { "held" } else { "continuous" };
                let mut inputs = vec![("u_I", "u_I", 1.0), ("u_N", "u_N", 100.0)];
                let mut set = Vec::new();
                if is_held {
                    inputs.push(("U_G_held", "U_G", 1.0));
                    set.push(("D_G", 0.0));
                }
                list.push(Trajectory {
                    file: format!("biglucose_{set_name}_{input}_{mode}.csv"),
                    source: "hovorka",
                    model: if is_actual { "Hovorka_actual" } else { "Hovorka" },
                    states: BIGLUCOSE,
                    inputs,
                    set,
                    euler_step: None,
                });
            }
        }
        for input in ["u2_-4.5", "u0.5_0", "stairs"] {
            list.push(Trajectory {
                file: format!("cstr_{set_name}_{input}.csv"),
                source: "cstr",
                model: if is_actual { "CSTR_actual" } else { "CSTR" },
                states: CSTR,
                inputs: vec![("F_u", "F", 10.0), ("Q_u", "Q_dot", 1000.0)],
                set: Vec::new(),
                euler_step: None,
            });
        }
        for input in ["u0", "u0.2", "stairs"] {
            for is_euler in [false, true] {
                let mode = if is_euler { "euler" } else { "ode" };
                list.push(Trajectory {
                    file: format!("cartpole_{set_name}_{input}_{mode}.csv"),
                    source: "cartpole",
                    model: if is_actual { "CartPole_actual" } else { "CartPole" },
                    states: CARTPOLE,
                    inputs: vec![("u", "f", 10.0)],
                    set: Vec::new(),
                    euler_step: is_euler.then_some(0.02),
                });
            }
        }
    }
    list
}

/// The media of `reference/ipsc` and the model of each.
const MEDIA: &[(&str, &str)] =
    &[("HGHL", "iPSC_HGHL"), ("HGLL", "iPSC_HGLL"), ("LGLL", "iPSC_LGLL"), ("LGHL", "iPSC_LGHL")];

/// True where `text` declares the model `name`, in full or as a variant.
fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        line.strip_prefix("model ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with(' '))
    })
}

#[test]
fn every_published_trajectory_has_a_model() {
    let Some(dir) = reference_dir() else { return };
    let folder = dir.join("reference/rl_acr");
    let list = trajectories();
    let mut found: Vec<String> = fs::read_dir(&folder)
        .expect("the reference folder")
        .map(|e| e.expect("readable").file_name().into_string().expect("UTF-8"))
        .filter(|n| n.ends_with(".csv") && !n.starts_with("closed_loop") && !n.starts_with("published_training"))
        .collect();
    found.sort();
    let mut named: Vec<String> = list.iter().map(|t| t.file.clone()).collect();
    named.sort();
    assert_eq!(named, found);
    assert_eq!(list.iter().filter(|t| t.euler_step.is_some()).count(), 6);
    for t in &list {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(t.source).with_extension("twin"))
            .expect("a model file");
        assert!(declares(&text, t.model), "{} declares no `{}`", t.source, t.model);
        let table = Table::read(&folder.join(&t.file));
        assert!(table.rows.iter().flatten().all(|v| v.is_finite()), "{} has a cell that is not a number", t.file);
        for (column, name, _) in t.states.iter().chain(&t.inputs) {
            assert!(table.column(column).is_some(), "{} has no column `{column}`", t.file);
            assert!(text.contains(&format!("{name} [")), "{} declares no `{name}`", t.source);
        }
        for (name, _) in &t.set {
            assert!(text.contains(&format!("{name} [")), "{} declares no `{name}`", t.source);
        }
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ipsc.twin")).expect("a model file");
    for (medium, model) in MEDIA {
        assert!(declares(&text, model), "ipsc declares no `{model}`");
        let table = Table::read(&dir.join(format!("reference/ipsc/reference_{medium}.csv")));
        assert_eq!((table.header.len(), table.rows.len()), (34, 73));
        for state in &table.header[1..] {
            assert!(text.contains(&format!("    {state} [")), "ipsc declares no `{state}`");
        }
    }
}

/// The ```` ```twin ```` blocks of the manual: line of the opening fence and text.
fn manual_examples() -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md")).expect("the manual");
    let mut list = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (k, line) in text.lines().enumerate() {
        match (&mut open, line) {
            (None, "```twin") => open = Some((k + 1, String::new())),
            (Some(_), "```") => list.extend(open.take().map(|(at, text)| (format!("docs/language.md:{at}"), text))),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    list
}

/// What the parser says about `text`, one line each.
fn parse_errors(name: &str, text: &str) -> Vec<String> {
    let mut sources = SourceMap::default();
    let id = sources.add(SourceFile::new(name, text));
    let mut diagnostics = Diagnostics::default();
    let _ = twinc::syntax::parse(id, text, &mut diagnostics);
    diagnostics
        .iter()
        .map(|d| format!("{name}:{}: {} {}", sources.get(id).line_column(d.span().start).0, d.code, d.title))
        .collect()
}

#[test]
fn every_shipped_text_parses() {
    let mut errors = Vec::new();
    for (path, text) in shipped() {
        errors.extend(parse_errors(&path.display().to_string(), &text));
    }
    let examples = manual_examples();
    assert!(examples.len() >= 10, "the manual has {} examples", examples.len());
    for (name, text) in examples {
        errors.extend(parse_errors(&name, &text));
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}
