//! End points of the classical initial value problems by the shipped models, against 113-bit reference values.
//!
//! The bar is 1e-5 in each file's difference measure, `max_i |a_i - b_i| / (|b_i| + offset)`, at rtol 1e-8 (1e-10 for
//! the two problems with close encounters).

use serde_json::Value;
use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Start, Tolerance};

use super::subject::{self, shipped_kernels};
use crate::reference::reference_dir;

/// One problem: which model, which of its states in the order of the reference, and how it is solved.
struct Case {
    file: &'static str,
    source: &'static str,
    model: &'static str,
    /// Empty where the model has no such state.
    states: Vec<String>,
    rtol: f64,
    /// Of every state, but for those named in `fine`.
    atol: f64,
    fine: &'static [(&'static str, f64)],
    /// Reference times up to here are compared.
    until: f64,
    methods: &'static [Method],
}

fn numbered(name: &str, n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("{name}{i}")).collect()
}

fn family(name: &str, n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("{name}({i})")).collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().expect("a string").parse().expect("a number")
}

fn check(case: Case) {
    let Some(dir) = reference_dir() else { return };
    let path = dir.join("reference/ivp").join(case.file).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let data: Value = serde_json::from_str(&text).expect("JSON");
    let measure = data["difference_measure"].as_str().expect("text");
    let offset: f64 = measure.rsplit(['+', ')']).nth(1).expect("an offset").trim().parse().expect("a number");
    let reference: Vec<(f64, Vec<f64>)> = data["reference"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (number(&r["t"]), r["y"].as_array().expect("a list").iter().map(number).collect()))
        .filter(|(t, _)| *t <= case.until)
        .collect();
    let times: Vec<f64> = reference.iter().map(|r| r.0).collect();
    assert_eq!(times.last(), Some(&case.until));

    let kernels = shipped_kernels(case.source, case.model);
    let flat = kernels.model();
    let places: Vec<Option<usize>> =
        case.states.iter().map(|name| (!name.is_empty()).then(|| subject::state(flat, name))).collect();
    assert_eq!(flat.states.len(), places.iter().flatten().count());
    let mut atol = vec![case.atol; flat.states.len()];
    for (name, value) in case.fine {
        atol[subject::state(flat, name)] = *value;
    }
    let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
    for &method in case.methods {
        let options =
            Options { method, rtol: case.rtol, atol: Tolerance::PerState(atol.clone()), ..Options::default() };
        let problem = Problem {
            t0: 0.0,
            t1: case.until,
            start: Start::Model,
            p: &p,
            forcing: &Forcing::default(),
            directions: &[],
            resumes: false,
        };
        let mut difference = 0.0_f64;
        let mut n_samples = 0;
        let mut integrator = Integrator::new(&kernels, options).expect("options");
        let outcome = integrator.solve(&problem, &times, &mut |sample: Sample<'_>| {
            n_samples += 1;
            for (place, b) in places.iter().zip(&reference[sample.idx].1) {
                let Some(place) = *place else { continue };
                let share = (sample.at.x[place] - b).abs() / (b.abs() + offset);
                difference = if share.is_nan() { f64::INFINITY } else { difference.max(share) };
            }
        });
        let outcome = outcome.expect("a problem");
        assert!(outcome.status.is_success(), "{}: {}", case.file, outcome.status);
        assert_eq!(n_samples, times.len());
        println!("{} by {}: {difference:.1e}, {} steps", case.file, method.name(), outcome.statistics.steps);
        assert!(difference < 1e-5, "{} by {}: {difference:e}", case.file, method.name());
    }
}

const STIFF: &[Method] = &[Method::Rodas5p, Method::Bdf, Method::Auto];
const NOT_STIFF: &[Method] = &[Method::Tsit5, Method::Dop853, Method::Auto];

#[test]
fn robertson() {
    check(Case {
        file: "robertson",
        source: "robertson",
        model: "Robertson",
        states: numbered("y", 3),
        rtol: 1e-8,
        atol: 1e-10,
        fine: &[("y1", 1e-16), ("y2", 1e-22)],
        until: 1e11,
        methods: STIFF,
    });
}

#[test]
fn hires() {
    check(Case {
        file: "hires",
        source: "hires",
        model: "Hires",
        states: numbered("y", 8),
        rtol: 1e-8,
        atol: 1e-12,
        fine: &[],
        until: 421.8122,
        methods: STIFF,
    });
}

#[test]
fn oregonator() {
    check(Case {
        file: "orego",
        source: "oregonator",
        model: "Oregonator",
        states: numbered("y", 3),
        rtol: 1e-8,
        atol: 1e-8,
        fine: &[],
        until: 360.0,
        methods: STIFF,
    });
}

#[test]
fn pollution() {
    // Excited oxygen ends at 4e-18 and must be seen by the tolerance; the others are above 1e-9.
    let states = "NO2 NO O3P O3 HO2 OH HCHO CO ALD MEO2 C2O3 CO2 PAN CH3O HNO3 O1D SO2 SO4 NO3 N2O5";
    check(Case {
        file: "pollution",
        source: "pollution",
        model: "Pollution",
        states: states.split(' ').map(str::to_owned).collect(),
        rtol: 1e-8,
        atol: 1e-14,
        fine: &[("O1D", 1e-22)],
        until: 60.0,
        methods: STIFF,
    });
}

#[test]
fn van_der_pol() {
    check(Case {
        file: "vdpol",
        source: "vdpol",
        model: "VanDerPol",
        states: numbered("y", 2),
        rtol: 1e-8,
        atol: 1e-8,
        fine: &[],
        until: 2.0,
        methods: STIFF,
    });
}

#[test]
fn pleiades() {
    check(Case {
        file: "pleiades",
        source: "pleiades",
        model: "Pleiades",
        states: ["x", "y", "vx", "vy"].iter().flat_map(|name| family(name, 7)).collect(),
        rtol: 1e-10,
        atol: 1e-10,
        fine: &[],
        until: 3.0,
        methods: NOT_STIFF,
    });
}

#[test]
fn arenstorf() {
    check(Case {
        file: "arenstorf",
        source: "arenstorf",
        model: "Arenstorf",
        states: ["x", "y", "vx", "vy"].map(str::to_owned).into(),
        rtol: 1e-10,
        atol: 1e-10,
        fine: &[],
        until: 17.065_216_560_157_964,
        methods: NOT_STIFF,
    });
}

#[test]
fn brusselator_of_20_cells() {
    let interleaved = family("u", 20).into_iter().zip(family("v", 20)).flat_map(|(u, v)| [u, v]);
    check(Case {
        file: "brusselator_20",
        source: "brusselator",
        model: "Brusselator",
        states: interleaved.collect(),
        rtol: 1e-8,
        atol: 1e-8,
        fine: &[],
        until: 10.0,
        methods: STIFF,
    });
}

#[test]
fn medical_akzo() {
    let interleaved = family("u", 200).into_iter().zip(family("v", 200)).flat_map(|(u, v)| [u, v]);
    check(Case {
        file: "medakzo",
        source: "medical_akzo",
        model: "MedicalAkzo",
        states: interleaved.collect(),
        rtol: 1e-8,
        atol: 1e-10,
        fine: &[],
        until: 20.0,
        methods: STIFF,
    });
}

#[test]
fn e5_without_its_third_species() {
    // The network itself loses its invariant to rounding after time 1e9, whatever the tolerance.
    check(Case {
        file: "e5",
        source: "e5",
        model: "E5Reduced",
        states: ["y1", "y2", "", "y4"].map(str::to_owned).into(),
        rtol: 1e-8,
        atol: 1e-36,
        fine: &[],
        until: 1e13,
        methods: STIFF,
    });
}
