//! End points of the classical initial value problems against 113-bit reference values.
//!
//! The values are read from the folder named by `TWINC_REFERENCE_DIR`; the equations are restated here. The bar is 1e-5
//! in each file's difference measure, `max_i |a_i - b_i| / (|b_i| + offset)`.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, solve};
use serde_json::Value;
use std::path::PathBuf;
use twinc::integrate::{Method, Options, Start, Statistics, Tolerance};

pub(super) fn reference_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("TWINC_REFERENCE_DIR").map(|dir| PathBuf::from(dir).join("reference"));
    if dir.is_none() {
        println!("skipped: no reference data");
    }
    dir
}

pub(super) fn read(path: PathBuf) -> Value {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

pub(super) fn number(value: &Value) -> f64 {
    value.as_str().expect("a string").parse().expect("a number")
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

struct Case<R> {
    file: &'static str,
    rhs: R,
    n: usize,
    entries: Option<Vec<(usize, usize)>>,
    y0: Vec<f64>,
    rtol: f64,
    atol: Tolerance,
    /// The offset of the file's difference measure.
    offset: f64,
    /// Reference times up to here are compared.
    until: f64,
}

/// The largest difference over the reference times, for each method.
fn compare<R: Rhs>(case: Case<R>, methods: &[Method]) -> Vec<(Method, f64, Statistics)> {
    let Some(dir) = reference_dir() else { return Vec::new() };
    let data = read(dir.join("ivp").join(case.file).with_extension("json"));
    let measure = data["difference_measure"].as_str().expect("text");
    let offset: f64 = measure.rsplit(['+', ')']).nth(1).expect("an offset").trim().parse().expect("a number");
    assert_eq!(offset, case.offset, "{measure}");
    let reference: Vec<(f64, Vec<f64>)> = data["reference"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (number(&r["t"]), numbers(&r["y"])))
        .filter(|(t, _)| *t <= case.until)
        .collect();
    let samples: Vec<f64> = reference.iter().map(|r| r.0).collect();
    let t1 = *samples.last().expect("a reference time");
    let problem = system(case.rhs, case.n, 0, case.entries);
    let mut results = Vec::new();
    for &method in methods {
        let options = Options { method, rtol: case.rtol, atol: case.atol.clone(), ..Options::default() };
        let (outcome, x, _) = solve(&problem, options, (0.0, t1), Start::Given(&case.y0), &[], &[], &samples);
        assert_success(&outcome);
        let difference = reference
            .iter()
            .zip(&x)
            .flat_map(|((_, truth), values)| truth.iter().zip(values).map(|(b, a)| (a - b).abs() / (b.abs() + offset)))
            .fold(0.0, f64::max);
        println!("{} {}: {difference:.1e}, {:?}", case.file, method.name(), outcome.statistics);
        assert!(difference < 1e-5, "{} by {}: {difference:e}", case.file, method.name());
        results.push((method, difference, outcome.statistics));
    }
    results
}

#[derive(Clone)]
pub(super) struct Robertson;

impl Rhs for Robertson {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], _p: &[D], dy: &mut [D]) {
        let (r1, r2, r3) = (y[0] * 0.04, y[1] * y[1] * 3e7, y[1] * y[2] * 1e4);
        dy[0] = r3 - r1;
        dy[1] = r1 - r3 - r2;
        dy[2] = r2;
    }
}

#[test]
fn robertson_reaches_its_end_point() {
    let case = Case {
        file: "robertson",
        rhs: Robertson,
        n: 3,
        entries: None,
        y0: vec![1.0, 0.0, 0.0],
        rtol: 1e-8,
        atol: Tolerance::PerState(vec![1e-16, 1e-22, 1e-10]),
        offset: 0.0,
        until: 1e11,
    };
    compare(case, &[Method::Rodas5p, Method::Bdf, Method::Auto]);
}

#[derive(Clone)]
pub(super) struct Hires;

impl Rhs for Hires {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], _p: &[D], dy: &mut [D]) {
        let r = y[5] * y[7] * 280.0;
        dy[0] = y[0] * -1.71 + y[1] * 0.43 + y[2] * 8.32 + 0.0007;
        dy[1] = y[0] * 1.71 - y[1] * 8.75;
        dy[2] = y[2] * -10.03 + y[3] * 0.43 + y[4] * 0.035;
        dy[3] = y[1] * 8.32 + y[2] * 1.71 - y[3] * 1.12;
        dy[4] = y[4] * -1.745 + y[5] * 0.43 + y[6] * 0.43;
        dy[5] = -r + y[3] * 0.69 + y[4] * 1.71 - y[5] * 0.43 + y[6] * 0.69;
        dy[6] = r - y[6] * 1.81;
        dy[7] = -r + y[6] * 1.81;
    }
}

#[test]
fn hires_reaches_its_end_points() {
    let case = Case {
        file: "hires",
        rhs: Hires,
        n: 8,
        entries: None,
        y0: vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057],
        rtol: 1e-8,
        atol: Tolerance::Scalar(1e-12),
        offset: 0.0,
        until: 500.0,
    };
    compare(case, &[Method::Rodas5p, Method::Bdf, Method::Auto]);
}

#[derive(Clone)]
pub(super) struct Oregonator;

impl Rhs for Oregonator {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], _p: &[D], dy: &mut [D]) {
        let (s, q, w) = (77.27, 8.375e-6, 0.161);
        dy[0] = (y[1] + y[0] * (-(y[0] * q) - y[1] + 1.0)) * s;
        dy[1] = (y[2] - (y[0] + 1.0) * y[1]) / s;
        dy[2] = (y[0] - y[2]) * w;
    }
}

#[test]
fn the_oregonator_reaches_its_end_points() {
    let case = Case {
        file: "orego",
        rhs: Oregonator,
        n: 3,
        entries: None,
        y0: vec![1.0, 2.0, 3.0],
        rtol: 1e-8,
        atol: Tolerance::Scalar(1e-8),
        offset: 0.0,
        until: 360.0,
    };
    compare(case, &[Method::Rodas5p, Method::Bdf, Method::Auto]);
}

#[derive(Clone)]
pub(super) struct Pollution;

impl Rhs for Pollution {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], _p: &[D], dy: &mut [D]) {
        let y = |i: usize| y[i - 1];
        let r = [
            y(1) * 0.35,
            y(2) * y(4) * 26.6,
            y(5) * y(2) * 1.23e4,
            y(7) * 8.6e-4,
            y(7) * 8.2e-4,
            y(7) * y(6) * 1.5e4,
            y(9) * 1.3e-4,
            y(9) * y(6) * 2.4e4,
            y(11) * y(2) * 1.65e4,
            y(11) * y(1) * 9e3,
            y(13) * 0.022,
            y(10) * y(2) * 1.2e4,
            y(14) * 1.88,
            y(1) * y(6) * 1.63e4,
            y(3) * 4.8e6,
            y(4) * 3.5e-4,
            y(4) * 0.0175,
            y(16) * 1e8,
            y(16) * 4.44e11,
            y(17) * y(6) * 1240.0,
            y(19) * 2.1,
            y(19) * 5.78,
            y(1) * y(4) * 0.0474,
            y(19) * y(1) * 1780.0,
            y(20) * 3.12,
        ];
        let r = |i: usize| r[i - 1];
        dy[0] = r(2) + r(3) + r(9) + r(11) + r(12) + r(22) + r(25) - r(1) - r(10) - r(14) - r(23) - r(24);
        dy[1] = r(1) + r(21) - r(2) - r(3) - r(9) - r(12);
        dy[2] = r(1) + r(17) + r(19) + r(22) - r(15);
        dy[3] = r(15) - r(2) - r(16) - r(17) - r(23);
        dy[4] = r(4) * 2.0 + r(6) + r(7) + r(13) + r(20) - r(3);
        dy[5] = r(3) + r(18) * 2.0 - r(6) - r(8) - r(14) - r(20);
        dy[6] = r(13) - r(4) - r(5) - r(6);
        dy[7] = r(4) + r(5) + r(6) + r(7);
        dy[8] = -r(7) - r(8);
        dy[9] = r(7) + r(9) - r(12);
        dy[10] = r(8) + r(11) - r(9) - r(10);
        dy[11] = r(9);
        dy[12] = r(10) - r(11);
        dy[13] = r(12) - r(13);
        dy[14] = r(14);
        dy[15] = r(16) - r(18) - r(19);
        dy[16] = -r(20);
        dy[17] = r(20);
        dy[18] = r(23) + r(25) - r(21) - r(22) - r(24);
        dy[19] = r(24) - r(25);
    }
}

pub(super) fn pollution_start() -> Vec<f64> {
    let mut y0 = vec![0.0; 20];
    for (i, value) in [(2, 0.2), (4, 0.04), (7, 0.1), (8, 0.3), (9, 0.01), (17, 0.007)] {
        y0[i - 1] = value;
    }
    y0
}

#[test]
fn pollution_reaches_its_end_point() {
    // y16 ends at 4e-18 and must be seen by the tolerance; the others are above 1e-9.
    let mut atol = vec![1e-14; 20];
    atol[15] = 1e-22;
    let case = Case {
        file: "pollution",
        rhs: Pollution,
        n: 20,
        entries: None,
        y0: pollution_start(),
        rtol: 1e-8,
        atol: Tolerance::PerState(atol),
        offset: 0.0,
        until: 60.0,
    };
    compare(case, &[Method::Rodas5p, Method::Bdf, Method::Auto]);
}

#[derive(Clone)]
pub(super) struct VanDerPol;

impl Rhs for VanDerPol {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], _p: &[D], dy: &mut [D]) {
        dy[0] = y[1];
        dy[1] = ((-(y[0] * y[0]) + 1.0) * y[1] - y[0]) / 1e-6;
    }
}

#[test]
fn van_der_pol_reaches_its_end_points() {
    let case = Case {
        file: "vdpol",
        rhs: VanDerPol,
        n: 2,
        entries: None,
        y0: vec![2.0, 0.0],
        rtol: 1e-8,
        atol: Tolerance::Scalar(1e-8),
        offset: 1e-6,
        until: 2.0,
    };
    compare(case, &[Method::Rodas5p, Method::Bdf, Method::Auto]);
}

#[derive(Clone)]
struct Pleiades;

impl Rhs for Pleiades {
    fn f<D: Number>(&self, _t: D, z: &[D], _u: &[D], _p: &[D], dz: &mut [D]) {
        for i in 0..7 {
            let (mut ax, mut ay) = (D::from(0.0), D::from(0.0));
            for j in (0..7).filter(|&j| j != i) {
                let (dx, dy) = (z[j] - z[i], z[7 + j] - z[7 + i]);
                let r = dx * dx + dy * dy;
                let pull = D::from((j + 1) as f64) / (r * r.sqrt());
                ax += dx * pull;
                ay += dy * pull;
            }
            dz[i] = z[14 + i];
            dz[7 + i] = z[21 + i];
            dz[14 + i] = ax;
            dz[21 + i] = ay;
        }
    }
}

#[test]
fn the_pleiades_reach_their_end_point() {
    let mut y0 = vec![0.0; 28];
    y0[..14].copy_from_slice(&[3.0, 3.0, -1.0, -3.0, 2.0, -2.0, 2.0, 3.0, -3.0, 2.0, 0.0, 0.0, -4.0, 4.0]);
    (y0[19], y0[20], y0[24], y0[25]) = (1.75, -1.5, -1.25, 1.0);
    let case = Case {
        file: "pleiades",
        rhs: Pleiades,
        n: 28,
        entries: None,
        y0,
        rtol: 1e-10,
        atol: Tolerance::Scalar(1e-10),
        offset: 1.0,
        until: 3.0,
    };
    compare(case, &[Method::Tsit5, Method::Dop853, Method::Auto]);
}

#[derive(Clone)]
struct Arenstorf;

impl Rhs for Arenstorf {
    fn f<D: Number>(&self, _t: D, z: &[D], _u: &[D], _p: &[D], dz: &mut [D]) {
        let mu = 0.012277471;
        let (x, y) = (z[0], z[1]);
        let pull = |dx: D| {
            let r = dx * dx + y * y;
            (r * r.sqrt()).recip()
        };
        let (d1, d2) = (pull(x + mu) * (1.0 - mu), pull(x - (1.0 - mu)) * mu);
        dz[0] = z[2];
        dz[1] = z[3];
        dz[2] = x + z[3] * 2.0 - (x + mu) * d1 - (x - (1.0 - mu)) * d2;
        dz[3] = y - z[2] * 2.0 - y * d1 - y * d2;
    }
}

#[test]
fn the_arenstorf_orbit_closes() {
    let case = Case {
        file: "arenstorf",
        rhs: Arenstorf,
        n: 4,
        entries: None,
        y0: vec![0.994, 0.0, 0.0, -2.001_585_106_379_082_5],
        rtol: 1e-10,
        atol: Tolerance::Scalar(1e-10),
        offset: 1.0,
        until: 20.0,
    };
    compare(case, &[Method::Tsit5, Method::Dop853, Method::Auto]);
}

#[derive(Clone)]
struct Brusselator {
    cells: usize,
}

impl Rhs for Brusselator {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], _p: &[D], dy: &mut [D]) {
        let n = self.cells;
        let diffusion = 0.02 * ((n + 1) * (n + 1)) as f64;
        let (u_edge, v_edge) = (D::from(1.0), D::from(3.0));
        for i in 0..n {
            let (u, v) = (y[2 * i], y[2 * i + 1]);
            let (u_left, v_left) = if i > 0 { (y[2 * i - 2], y[2 * i - 1]) } else { (u_edge, v_edge) };
            let (u_right, v_right) = if i + 1 < n { (y[2 * i + 2], y[2 * i + 3]) } else { (u_edge, v_edge) };
            let r = u * u * v;
            dy[2 * i] = r - u * 4.0 + 1.0 + (u_left - u * 2.0 + u_right) * diffusion;
            dy[2 * i + 1] = u * 3.0 - r + (v_left - v * 2.0 + v_right) * diffusion;
        }
    }
}

fn compare_brusselator(file: &'static str, cells: usize, methods: &[Method]) {
    let n = 2 * cells;
    let y0 =
        (1..=cells).flat_map(|i| [1.0 + (std::f64::consts::TAU * i as f64 / (cells + 1) as f64).sin(), 3.0]).collect();
    let entries = (0..n).flat_map(|c: usize| (c.saturating_sub(2)..(c + 3).min(n)).map(move |r| (r, c)));
    let case = Case {
        file,
        rhs: Brusselator { cells },
        n,
        entries: Some(entries.collect()),
        y0,
        rtol: 1e-8,
        atol: Tolerance::Scalar(1e-8),
        offset: 1.0,
        until: 10.0,
    };
    compare(case, methods);
}

#[test]
fn the_brusselator_reaches_its_end_points() {
    compare_brusselator("brusselator_20", 20, &[Method::Rodas5p, Method::Bdf, Method::Auto]);
}

/// Four hundred states: the sparse factorisation carries the integration.
#[test]
fn a_large_brusselator_reaches_its_end_points() {
    compare_brusselator("brusselator_200", 200, &[Method::Rodas5p, Method::Bdf]);
}
