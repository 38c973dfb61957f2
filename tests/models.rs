//! The shipped models, library, examples and manual: they read without a diagnostic, stand in canonical layout, and
//! reproduce the published trajectories.

use std::fs;
use std::path::{Path, PathBuf};

use std::sync::Arc;

use twinc::diag::Diagnostics;
use twinc::flat::FlatModel;
use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Signal, Start, Tolerance};
use twinc::jit::{self, Kernels};
use twinc::source::{SourceFile, SourceMap};
use twinc::system::System;

use crate::compile;
use crate::reference::{Table, number, problem, reference_dir};

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

/// The flat models of `models/{source}.twin`, checked strictly.
fn flat_models(source: &str) -> Vec<FlatModel> {
    let path = format!("models/{source}.twin");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).expect("a model file");
    let checked = compile::check(&path, &text, true);
    assert!(!checked.diagnostics.has_errors(), "{}", compile::render(&checked));
    checked.flats
}

/// The compiled model `name` of `models/{source}.twin`.
fn kernels(source: &str, name: &str) -> Kernels {
    let flat = flat_models(source).into_iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no model `{name}`"));
    Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("compiled")
}

/// The declared values of a model's parameters, with some replaced.
fn parameters(model: &FlatModel, set: &[(&str, f64)]) -> Vec<f64> {
    let mut p: Vec<f64> = model.params.iter().map(|p| p.value).collect();
    for (name, value) in set {
        let idx = model.params.iter().position(|p| p.quantity.name == *name).unwrap_or_else(|| panic!("no `{name}`"));
        p[idx] = *value;
    }
    p
}

/// Declared inputs and disturbances, held for ever.
fn declared_forcing(model: &FlatModel) -> Forcing {
    let constant = |i: &twinc::flat::Input| Signal::Constant(i.value);
    Forcing {
        inputs: model.inputs.iter().map(constant).collect(),
        disturbances: model.disturbances.iter().map(constant).collect(),
    }
}

/// The states at `times`, row by row.
fn solve(system: &Kernels, options: Options, forcing: &Forcing, set: &[(&str, f64)], times: &[f64]) -> Vec<Vec<f64>> {
    let p = parameters(system.model(), set);
    let end = times[times.len() - 1];
    let start = Start::Model;
    let problem = Problem { t0: 0.0, t1: end, start, p: &p, forcing, directions: &[], resumes: false };
    let mut rows = Vec::new();
    let mut integrator = Integrator::new(system, options).expect("good options");
    let outcome = integrator.solve(&problem, times, &mut |s: Sample<'_>| rows.push(s.at.x.to_vec())).expect("a good problem");
    assert!(outcome.status.is_success(), "{}: {}", system.model().name, outcome.status);
    rows
}

/// Position of a state.
fn state_idx(model: &FlatModel, name: &str) -> usize {
    model.states.iter().position(|s| s.quantity.name == name).unwrap_or_else(|| panic!("{} has no state `{name}`", model.name))
}

/// The largest difference to `reference` in each column, relative to the column's largest value.
fn worst_scaled(found: &[Vec<f64>], reference: &[Vec<f64>]) -> f64 {
    assert_eq!(found.len(), reference.len());
    let mut worst = 0.0_f64;
    for k in 0..reference[0].len() {
        let scale = reference.iter().fold(0.0_f64, |m, row| m.max(row[k].abs()));
        for (a, b) in found.iter().zip(reference) {
            let difference = (a[k] - b[k]).abs();
            assert!(difference.is_finite());
            if difference > 0.0 {
                worst = worst.max(difference / scale);
            }
        }
    }
    worst
}

#[test]
fn every_assertion_of_every_model_holds() {
    let mut failed = Vec::new();
    let mut n_assertions = 0;
    for path in files("models", "twin") {
        let source = path.file_stem().and_then(|s| s.to_str()).expect("UTF-8").to_string();
        let mut n_of_file = 0;
        for flat in flat_models(&source) {
            let system = Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("compiled");
            let model = system.model();
            let mut expectations = model.expectations.clone();
            if expectations.is_empty() {
                continue;
            }
            expectations.sort_by(|a, b| a.time.total_cmp(&b.time));
            n_of_file += expectations.len();
            let times: Vec<f64> = expectations.iter().map(|e| e.time).collect();
            let nodes: Vec<_> = expectations.iter().map(|e| e.node).collect();
            let kernel = system.compile_nodes(&nodes).expect("compiled");
            let mut work = system.work();
            work.scratch.resize(work.scratch.len().max(kernel.n_slots()), 0.0);
            let (p, forcing) = (parameters(model, &[]), declared_forcing(model));
            let problem = Problem {
                t0: 0.0,
                t1: times[times.len() - 1],
                start: Start::Model,
                p: &p,
                forcing: &forcing,
                directions: &[],
                resumes: false,
            };
            let mut values = vec![0.0; nodes.len()];
            let mut found = Vec::new();
            let options = Options { atol: Tolerance::Scalar(1e-10), ..Options::default() };
            let mut integrator = Integrator::new(&system, options).expect("good options");
            let outcome = integrator
                .solve(&problem, &times, &mut |s: Sample<'_>| {
                    kernel.call(s.at, &mut work, &mut values);
                    found.push(values[s.idx]);
                })
                .expect("a good problem");
            assert!(outcome.status.is_success(), "{}: {}", model.name, outcome.status);
            for (expectation, value) in expectations.iter().zip(found) {
                let is_within = (value - expectation.value).abs() <= expectation.tolerance;
                if !is_within {
                    failed.push(format!("{}: `{}`, but it is {value}", model.name, expectation.text));
                }
            }
        }
        assert!(n_of_file >= 2, "{source} asserts {n_of_file} values");
        n_assertions += n_of_file;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(n_assertions >= 50, "{n_assertions}");
}

#[test]
fn published_control_trajectories_are_reproduced() {
    let Some(dir) = reference_dir() else { return };
    let mut worst_of_all = 0.0_f64;
    for t in trajectories() {
        let table = Table::read(&dir.join("reference/rl_acr").join(&t.file));
        let system = kernels(t.source, t.model);
        let model = system.model();
        let column = |name: &str| -> Vec<f64> {
            let k = table.column(name).unwrap_or_else(|| panic!("{} has no column `{name}`", t.file));
            table.rows.iter().map(|row| row[k]).collect()
        };
        let times = column("t");
        let mut forcing = declared_forcing(model);
        for (name, input, factor) in &t.inputs {
            let values = column(name).iter().map(|v| v * factor).collect();
            let signal = Signal::Held { times: times.clone(), values };
            if let Some(k) = model.inputs.iter().position(|i| i.quantity.name == *input) {
                forcing.inputs[k] = signal;
            } else {
                let k = model.disturbances.iter().position(|i| i.quantity.name == *input).expect("an input or disturbance");
                forcing.disturbances[k] = signal;
            }
        }
        let picked: Vec<(usize, f64, Vec<f64>)> =
            t.states.iter().map(|(name, state, factor)| (state_idx(model, state), *factor, column(name))).collect();
        // Tolerances three decimals below the bar, absolute ones by each state's own size in the reference.
        let mut atol = vec![1e-12; model.states.len()];
        for (idx, factor, values) in &picked {
            let scale = values.iter().fold(0.0_f64, |m, v| m.max(v.abs())) / factor;
            if scale > 0.0 {
                atol[*idx] = 1e-9 * scale;
            }
        }
        let options = match t.euler_step {
            Some(step) => Options { method: Method::Euler, fixed_step: Some(step), ..Options::default() },
            None => Options { rtol: 1e-9, atol: Tolerance::PerState(atol), ..Options::default() },
        };
        let rows = solve(&system, options, &forcing, &t.set, &times);
        let found: Vec<Vec<f64>> =
            rows.iter().map(|x| picked.iter().map(|(idx, factor, _)| x[*idx] * factor).collect()).collect();
        let reference: Vec<Vec<f64>> =
            (0..times.len()).map(|row| picked.iter().map(|(_, _, values)| values[row]).collect()).collect();
        let worst = worst_scaled(&found, &reference);
        assert!(worst <= 1e-6, "{}: {worst:e}", t.file);
        worst_of_all = worst_of_all.max(worst);
    }
    println!("worst scaled difference over 42 files: {worst_of_all:.1e}");
}

#[test]
fn published_stem_cell_cultures_are_reproduced() {
    let Some(dir) = reference_dir() else { return };
    for (medium, name) in MEDIA {
        let table = Table::read(&dir.join(format!("reference/ipsc/reference_{medium}.csv")));
        let fluxes = Table::read(&dir.join(format!("reference/ipsc/reference_flux_{medium}.csv")));
        let system = kernels("ipsc", name);
        let model = system.model();
        let times: Vec<f64> = table.rows.iter().map(|row| row[0]).collect();
        let options = Options { rtol: 1e-9, atol: Tolerance::Scalar(1e-12), ..Options::default() };
        let rows = solve(&system, options, &declared_forcing(model), &[], &times);
        let order: Vec<usize> = table.header[1..].iter().map(|n| state_idx(model, n)).collect();
        assert_eq!(order.len(), model.states.len());
        let found: Vec<Vec<f64>> = rows.iter().map(|x| order.iter().map(|&k| x[k]).collect()).collect();
        let reference: Vec<Vec<f64>> = table.rows.iter().map(|row| row[1..].to_vec()).collect();
        let (until_48, all) = (worst_scaled(&found[..49], &reference[..49]), worst_scaled(&found, &reference));
        assert!(until_48 <= 1e-6 && all <= 1e-5, "{medium}: {until_48:e} to 48 h, {all:e} to 72 h");

        let nodes: Vec<_> = fluxes.header[1..]
            .iter()
            .map(|n| model.lets.iter().find(|l| l.quantity.name == format!("v_{n}")).expect("a flux").node)
            .collect();
        let kernel = system.compile_nodes(&nodes).expect("compiled");
        let mut work = system.work();
        work.scratch.resize(work.scratch.len().max(kernel.n_slots()), 0.0);
        let p = parameters(model, &[]);
        let mut found = Vec::new();
        for (x, &t) in rows.iter().zip(&times).take(49) {
            let mut v = vec![0.0; nodes.len()];
            kernel.call(twinc::system::At { t, x, u: &[], d: &[], p: &p }, &mut work, &mut v);
            found.push(v);
        }
        let reference: Vec<Vec<f64>> = fluxes.rows[..49].iter().map(|row| row[1..].to_vec()).collect();
        let worst = worst_scaled(&found, &reference);
        assert!(worst <= 1e-6, "{medium}: fluxes differ by {worst:e}");
        println!("{medium}: states {until_48:.1e} to 48 h, {all:.1e} to 72 h, fluxes {worst:.1e}");
    }
}

#[test]
fn published_end_points_are_reached() {
    let Some(dir) = reference_dir() else { return };
    // Problem, file and name of the model, rtol, atol. The order of a problem's states is the model's, but for the
    // Brusselator's, which are interleaved.
    let table: &[(&str, &str, &str, f64, f64)] = &[
        ("robertson", "robertson", "Robertson", 1e-8, 1e-20),
        ("hires", "hires", "Hires", 1e-8, 1e-12),
        ("orego", "oregonator", "Oregonator", 1e-8, 1e-8),
        ("pollution", "pollution", "Pollution", 1e-8, 1e-22),
        ("vdpol", "vdpol", "VanDerPol", 1e-8, 1e-8),
        ("lotka_volterra", "lotka_volterra", "LotkaVolterra", 1e-8, 1e-8),
        ("brusselator_20", "brusselator", "Brusselator", 1e-8, 1e-8),
        ("pleiades", "pleiades", "Pleiades", 1e-10, 1e-10),
        ("arenstorf", "arenstorf", "Arenstorf", 1e-10, 1e-10),
    ];
    let mut failed = Vec::new();
    for &(file, source, name, rtol, atol) in table {
        let problem = problem(&dir.join(format!("reference/ivp/{file}.json")));
        let end = number(&problem["interval"][1]);
        let floor: f64 = {
            // "max_i |a_i - b_i| / (|b_i| + 1.0)"
            let text = problem["difference_measure"].as_str().expect("a measure");
            text.rsplit_once("+ ").and_then(|(_, tail)| tail.trim_end_matches(')').parse().ok()).expect("its floor")
        };
        let reference: Vec<f64> = problem["reference"]
            .as_array()
            .and_then(|list| list.iter().find(|r| number(&r["t"]) == end))
            .and_then(|r| r["y"].as_array())
            .expect("the end point")
            .iter()
            .map(number)
            .collect();
        let system = kernels(source, name);
        let options = Options { rtol, atol: Tolerance::Scalar(atol), max_steps: 10_000_000, ..Options::default() };
        let rows = solve(&system, options, &declared_forcing(system.model()), &[], &[end]);
        let n = reference.len();
        assert_eq!(rows[0].len(), n);
        let place = |k: usize| if file.starts_with("brusselator") { (k % 2) * (n / 2) + k / 2 } else { k };
        let worst = (0..n)
            .map(|k| (rows[0][place(k)] - reference[k]).abs() / (reference[k].abs() + floor))
            .fold(0.0_f64, |a, b| if b.is_nan() { f64::NAN } else { a.max(b) });
        println!("{file}: {worst:.1e} at rtol {rtol:e}, atol {atol:e}");
        if worst.is_nan() || worst > 1e-5 {
            failed.push(format!("{file}: {worst:e}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
