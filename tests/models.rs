//! The shipped models, library, examples and manual: they read without a diagnostic, stand in canonical layout, and
//! reproduce the published trajectories.

mod end_points;
mod kernels;
mod open_loop;
pub mod subject;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twinc::diag::Diagnostics;
use twinc::expr::NodeId;
use twinc::flat::FlatModel;
use twinc::integrate::{Forcing, Integrator, Options, Problem, Sample, Signal, Start, Tolerance};
use twinc::jit::{self, Kernels};
use twinc::source::{SourceFile, SourceMap};
use twinc::system::System;

use crate::compile;
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
const CSTR: &[(&str, &str, f64)] =
    &[("C_a", "C_a", 1.0), ("C_b", "C_b", 1.0), ("T_R", "T_R", 1.0), ("T_K", "T_K", 1.0)];
const CARTPOLE: &[(&str, &str, f64)] =
    &[("x", "x", 1.0), ("x_dot", "v", 1.0), ("theta", "th", 1.0), ("theta_dot", "w", 1.0)];

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
        let text = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(t.source).with_extension("twin"),
        )
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
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ipsc.twin")).expect("a model file");
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

/// Declared inputs and disturbances, held for ever.
fn declared_forcing(model: &FlatModel) -> Forcing {
    let constant = |i: &twinc::flat::Input| Signal::Constant(i.value);
    Forcing {
        inputs: model.inputs.iter().map(constant).collect(),
        disturbances: model.disturbances.iter().map(constant).collect(),
    }
}

/// The values of `nodes` at `times`, row by row, with everything as declared.
fn solve(system: &Kernels, options: Options, nodes: &[NodeId], times: &[f64]) -> Vec<Vec<f64>> {
    let model = system.model();
    let p: Vec<f64> = model.params.iter().map(|p| p.value).collect();
    let forcing = declared_forcing(model);
    let (start, t1) = (Start::Model, times[times.len() - 1]);
    let problem = Problem { t0: 0.0, t1, start, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let kernel = system.compile_nodes(nodes).expect("compiled");
    let mut work = system.work();
    work.scratch.resize(work.scratch.len().max(kernel.n_slots()), 0.0);
    let mut rows = Vec::new();
    let mut integrator = Integrator::new(system, options).expect("good options");
    let outcome = integrator.solve(&problem, times, &mut |s: Sample<'_>| {
        let mut row = vec![0.0; nodes.len()];
        kernel.call(s.at, &mut work, &mut row);
        rows.push(row);
    });
    let outcome = outcome.expect("a good problem");
    assert!(outcome.status.is_success(), "{}: {}", model.name, outcome.status);
    rows
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
            let options = Options { atol: Tolerance::Scalar(1e-10), ..Options::default() };
            let found = solve(&system, options, &nodes, &times);
            let found: Vec<f64> = (0..nodes.len()).map(|k| found[k][k]).collect();
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
fn published_stem_cell_fluxes_are_reproduced() {
    let Some(dir) = reference_dir() else { return };
    for (medium, name) in MEDIA {
        let table = Table::read(&dir.join(format!("reference/ipsc/reference_flux_{medium}.csv")));
        let system = kernels("ipsc", name);
        let model = system.model();
        let node = |name: &String| {
            let flux = model.lets.iter().find(|l| l.quantity.name == format!("v_{name}"));
            flux.expect("a flux").node
        };
        let nodes: Vec<_> = table.header[1..].iter().map(node).collect();
        assert_eq!(nodes.len(), 39);
        // To 48 h, before nutrients are used up.
        let times: Vec<f64> = table.rows[..49].iter().map(|row| row[0]).collect();
        let options = Options { rtol: 1e-9, atol: Tolerance::Scalar(1e-12), ..Options::default() };
        let found = solve(&system, options, &nodes, &times);
        let reference: Vec<Vec<f64>> = table.rows[..49].iter().map(|row| row[1..].to_vec()).collect();
        let worst = worst_scaled(&found, &reference);
        assert!(worst <= 1e-6, "{medium}: fluxes differ by {worst:e} of their scale");
    }
}

/// Library, call, unit and value. The values are sums done by hand or numbers of the cited texts.
const LIBRARY_VALUES: &[(&str, &str, &str, f64)] = &[
    ("std.kinetics", "mm(2 [mM], 10 [mM/s], 3 [mM])", "mM/s", 4.0),
    ("std.kinetics", "mm(2 [mM], 10 [uM/min], 3000 [uM])", "uM/min", 4.0),
    ("std.kinetics", "hill(2 [uM], 1 [uM], 2)", "1", 0.8),
    ("std.kinetics", "hill(2 [items], 1 [items], 2.5)", "1", 0.849_776_3),
    ("std.kinetics", "hill_down(2 [uM], 1 [uM], 2)", "1", 0.2),
    ("std.kinetics", "competitive(2 [uM], 1 [uM], 10 [uM/s], 3 [uM], 0.5 [uM])", "uM/s", 20.0 / 11.0),
    ("std.kinetics", "uncompetitive(2 [uM], 1 [uM], 10 [uM/s], 3 [uM], 0.5 [uM])", "uM/s", 20.0 / 9.0),
    ("std.kinetics", "noncompetitive(2 [uM], 1 [uM], 10 [uM/s], 3 [uM], 0.5 [uM])", "uM/s", 20.0 / 15.0),
    ("std.kinetics", "mixed(2 [uM], 1 [uM], 10 [uM/s], 3 [uM], 0.5 [uM], 1 [uM])", "uM/s", 20.0 / 13.0),
    ("std.kinetics", "substrate_inhibition(2 [uM], 10 [uM/s], 3 [uM], 4 [uM])", "uM/s", 20.0 / 6.0),
    ("std.kinetics", "activation(2 [uM], 1 [uM], 10 [uM/s], 3 [uM], 1 [uM])", "uM/s", 2.0),
    // At the equilibrium that Haldane's relation gives, nothing flows.
    ("std.kinetics", "haldane(5 [uM/s], 2 [uM/s], 3 [uM], 4 [uM])", "1", 10.0 / 3.0),
    ("std.kinetics", "reversible_mm(3 [uM], 10 [uM], 5 [uM/s], 2 [uM/s], 3 [uM], 4 [uM])", "uM/s", 0.0),
    ("std.kinetics", "reversible_mm_keq(3 [uM], 9 [uM], 5 [uM/s], 3 [uM], 4 [uM], 3)", "uM/s", 0.0),
    ("std.kinetics", "ordered_bi(1 [mM], 1 [mM], 6 [mM/s], 1 [mM], 2 [mM], 2 [mM])", "mM/s", 6.0 / 7.0),
    ("std.kinetics", "ping_pong(1 [mM], 1 [mM], 5 [mM/s], 2 [mM], 2 [mM])", "mM/s", 1.0),
    ("std.kinetics", "tight(1 [nM], 1 [nM], 0.5 [nM])", "nM", 0.5),
    ("std.kinetics", "mwc(2 [uM], 0, 1 [uM], 0.1, 4)", "1", 2.0 / 3.0),
    ("std.kinetics", "goldbeter_koshland(1 [1/s], 1 [1/s], 0.1, 0.1)", "1", 0.5),
    ("std.kinetics", "contois(2 [g/L], 1 [g/L], 0.4 [1/h], 2)", "1/h", 0.2),
    ("std.kinetics", "logistic(2 [g/L], 0.5 [1/h], 4 [g/L])", "g/(L*h)", 0.5),
    // 25 mV is RT/F at 17 degC; a tenfold gradient of a monovalent ion gives 58 mV at 20 degC (Hille, chapter 1).
    ("std.electric", "thermal_voltage(290.1 [K])", "mV", 25.0),
    ("std.electric", "nernst(1, 10 [mM], 1 [mM], 293.15 [K])", "mV", 58.17),
    ("std.electric", "boltzmann(-40 [mV], -40 [mV], 6 [mV])", "1", 0.5),
    ("std.electric", "butler_volmer(1 [A/m^2], 0.5, 0 [mV], 300 [K])", "A/m^2", 0.0),
    // kT/h is 6.2e12 1/s at 300 K.
    ("std.chem", "eyring(0 [kJ/mol], 300 [K])", "1/ns", 6250.99),
    ("std.chem", "arrhenius_at(1 [1/s], 50 [kJ/mol], 308.15 [K], 298.15 [K])", "1/s", 1.92426),
    ("std.chem", "q10(3 [1/min], 2, 310.15 [K], 300.15 [K])", "1/min", 6.0),
    ("std.chem", "protonated(7, 7)", "1", 0.5),
    // A mole of ideal gas at 0 degC and 1 atm fills 22.414 L.
    ("std.chem", "ideal_gas(1 [mol], 273.15 [K], 22.414 [L])", "atm", 1.0),
    // A black body at 300 K radiates 459 W/m^2.
    ("std.thermal", "radiation(1, 1 [m^2], 300 [K], 0 [K])", "W", 459.3),
    ("std.thermal", "lmtd(20 [K], 10 [K])", "K", 14.427),
    ("std.fluid", "hydrostatic(1000 [kg/m^3], 10 [m])", "bar", 0.980_665),
    ("std.fluid", "torricelli(5 [m])", "m/s", 9.9028),
    ("std.fluid", "valve(2 [L/(s*bar^(1/2))], -4 [bar])", "L/s", -4.0),
    ("std.pkpd", "sigmoid_emax(3 [mg/L], 8 [mmHg], 3 [mg/L], 4)", "mmHg", 4.0),
    ("std.pkpd", "iv_infusion(1000 [h], 5 [mg/h], 2000 [h], 2 [L/h], 1 [L])", "mg/L", 2.5),
    ("std.pkpd", "half_life(7 [L/h], 10 [L])", "h", 0.990_21),
    ("std.pkpd", "allometric(4 [L/h], 35 [kg], 1)", "L/h", 2.0),
    // The two risks vanish at 138.9 and 112.5 mg/dL; 600 mg/dL is 100 on the second.
    ("std.glucose", "magni_risk(138.885 [mg/dL])", "1", 0.0),
    ("std.glucose", "magni_risk(1.38885 [g/L])", "1", 0.0),
    ("std.glucose", "bg_risk(600 [mg/dL])", "1", 99.948),
    ("std.glucose", "low_risk(200 [mg/dL])", "1", 0.0),
    ("std.glucose", "to_mass(5 [mmol/L])", "mg/dL", 90.08),
    ("std.signals", "step(time, 1 [s])", "1", 0.0),
    ("std.signals", "ramp(time + 2 [s], 1 [s], 5 [s])", "1", 0.25),
    ("std.signals", "pulse(time + 1 [s], 1 [s], 2 [s])", "1", 1.0),
    ("std.signals", "triangle(time + 2.5 [s], 1 [s], 2 [s])", "1", 0.5),
    ("std.signals", "between(time + 3 [s], 1 [s], 5 [s], 10 [mM], 20 [mM])", "mM", 15.0),
    ("std.signals", "decay(time + 3 [s], 1 [s], 1 [s])", "1", 0.135_335),
    ("std.prelude", "signed_sqrt(-9 [m^2])", "m", -3.0),
    ("std.prelude", "clamp(7 [K], 0 [K], 5 [K])", "K", 5.0),
    ("std.prelude", "R_gas/N_A/k_B", "1", 1.0),
    ("std.units", "1 [lb]/1 [oz]", "1", 16.0),
    ("std.units", "1 [acre]", "m^2", 4046.856),
    ("std.units", "3000 [rpm]", "rad/s", 314.159),
    ("std.units", "1 [barrel]", "L", 158.987),
];

#[test]
fn library_functions_have_their_published_values() {
    let mut libraries: Vec<&str> = LIBRARY_VALUES.iter().map(|(library, ..)| *library).collect();
    libraries.dedup();
    for library in libraries {
        let mut text = format!("use {library}\nmodel M {{\n  time [s]\n  state x [1] = 0\n  x' = 0 [1/s]\n");
        let rows: Vec<_> = LIBRARY_VALUES.iter().filter(|row| row.0 == library).collect();
        for (k, (_, call, unit, _)) in rows.iter().enumerate() {
            text.push_str(&format!("  let a{k} [{unit}] = {call}\n"));
        }
        text.push_str("}\n");
        let checked = compile::check("library.twin", &text, true);
        assert!(checked.diagnostics.is_empty(), "{}", compile::render(&checked));
        let system = Kernels::compile(Arc::new(checked.flats[0].clone()), &jit::Options::default()).expect("compiled");
        let nodes: Vec<_> =
            system.model().lets.iter().filter(|l| l.quantity.name.starts_with('a')).map(|l| l.node).collect();
        assert_eq!(nodes.len(), rows.len());
        let kernel = system.compile_nodes(&nodes).expect("compiled");
        let mut work = system.work();
        work.scratch.resize(work.scratch.len().max(kernel.n_slots()), 0.0);
        let mut found = vec![0.0; nodes.len()];
        kernel.call(twinc::system::At { t: 0.0, x: &[0.0], u: &[], d: &[], p: &[] }, &mut work, &mut found);
        for ((_, call, unit, value), found) in rows.iter().zip(found) {
            // The values are given to four or more digits.
            assert!((found - value).abs() <= 1e-4 * value.abs().max(1e-2), "{call} is {found} [{unit}], not {value}");
        }
    }
}

#[test]
fn every_library_has_a_tested_value() {
    for path in files("stdlib", "twin") {
        let library = format!("std.{}", path.file_stem().and_then(|s| s.to_str()).expect("UTF-8"));
        assert!(LIBRARY_VALUES.iter().any(|(l, ..)| *l == library), "no value of {library} is tested");
    }
}

#[test]
fn every_shipped_text_stands_in_canonical_layout() {
    for (path, text) in shipped() {
        let mut sources = SourceMap::default();
        let name = path.display().to_string();
        let id = sources.add(SourceFile::new(name.as_str(), text.as_str()));
        let formatted = twinc::syntax::format(id, &text).unwrap_or_else(|_| panic!("{name} does not parse"));
        assert!(formatted == text, "{name} is not formatted");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{name} has a long line");
    }
}

#[test]
fn every_example_of_the_manual_is_strictly_united() {
    for (name, text) in manual_examples() {
        let checked = compile::check(&name, &text, true);
        assert!(checked.diagnostics.is_empty(), "{name}\n{}", compile::render(&checked));
        assert!(!checked.flats.is_empty(), "{name} has no model");
    }
}
