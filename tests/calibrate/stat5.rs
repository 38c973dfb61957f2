//! The STAT5 dimerisation model of Boehm et al. (2014, *J. Proteome Res.* 13:5685, doi:10.1021/pr5006923), by hand.
//!
//! Equations, bounds and nominal values as in its PEtab form (Boehm_JProteomeRes2014). States: STAT5A, STAT5B, pApB,
//! pApA, pBpB in the cytoplasm (1.4), nuclear pApA, pApB, pBpB (0.45). The published optimum has a negative
//! log-likelihood of 138.222.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use twinc::calibrate::{Experiment, FitSettings, Link, Measurement, Parameter, Problem, Scale, Target};
use twinc::flat::{Noise, Observable, Quantity};
use twinc::integrate::{Forcing, Tolerance};
use twinc::linalg::CscPattern;
use twinc::source::{SourceId, Span};
use twinc::system::{At, Dims, System, Work};

const NAMES: [&str; 9] = [
    "Epo_degradation_BaF3",
    "k_exp_hetero",
    "k_exp_homo",
    "k_imp_hetero",
    "k_imp_homo",
    "k_phos",
    "sd_pSTAT5A_rel",
    "sd_pSTAT5B_rel",
    "sd_rSTAT5A_rel",
];
pub const NOMINAL: [f64; 9] = [
    0.026982514033029,
    1.00067973851508E-05,
    0.006170228086381,
    0.0163679184468,
    97749.3794024716,
    15766.5070195731,
    3.85261197844677,
    6.59147818673419,
    3.15271275648527,
];
const OBSERVABLES: [&str; 3] = ["pSTAT5A_rel", "pSTAT5B_rel", "rSTAT5A_rel"];
const RATIO: f64 = 0.693;
const SPEC_C17: f64 = 0.107;
const TOTAL: f64 = 207.6;
const EPO: f64 = 1.25e-7;
const NUC_BY_CYT: f64 = 0.45 / 1.4;
const CYT_BY_NUC: f64 = 1.4 / 0.45;

/// The model as a system with exact derivatives. Parameters in the order of [`NAMES`], outputs: three medians, three
/// spreads.
pub struct Stat5 {
    jacobian: CscPattern,
    by_params: CscPattern,
    no_inputs: CscPattern,
    no_start: CscPattern,
    outputs_by_states: CscPattern,
    outputs_by_params: CscPattern,
}

const JACOBIAN: [(usize, usize); 22] = [
    (0, 0),
    (0, 1),
    (0, 5),
    (0, 6),
    (1, 0),
    (1, 1),
    (1, 6),
    (1, 7),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 3),
    (4, 1),
    (4, 4),
    (5, 3),
    (5, 5),
    (6, 2),
    (6, 6),
    (7, 4),
    (7, 7),
    (7, 7),
];

impl Stat5 {
    pub fn new() -> Self {
        let phosphorylated = [0, 1, 2, 3, 4];
        let by_params = (phosphorylated.map(|s| (s, 0)).into_iter())
            .chain([(0, 1), (1, 1), (6, 1), (0, 2), (1, 2), (5, 2), (7, 2), (2, 3), (6, 3)])
            .chain([(3, 4), (4, 4), (5, 4), (7, 4)])
            .chain(phosphorylated.map(|s| (s, 5)));
        Stat5 {
            jacobian: CscPattern::from_entries(8, 8, JACOBIAN),
            by_params: CscPattern::from_entries(8, 9, by_params),
            no_inputs: CscPattern::empty(8, 0),
            no_start: CscPattern::empty(8, 9),
            outputs_by_states: CscPattern::from_entries(
                6,
                8,
                [(0, 0), (0, 2), (0, 3), (1, 1), (1, 2), (1, 4)].into_iter().chain((0..5).map(|s| (2, s))),
            ),
            outputs_by_params: CscPattern::from_entries(6, 9, [(3, 6), (4, 7), (5, 8)]),
        }
    }

    /// The rate constant of phosphorylation at t.
    fn rate(at: At<'_>) -> f64 {
        EPO * (-at.p[0] * at.t).exp() * at.p[5]
    }

    /// Writes ∂f/∂x for the given rates per molecule of A and B; the rest where `with_linear`.
    fn write_jacobian(&self, a: f64, b: f64, p: Option<&[f64]>, out: &mut [f64]) {
        out.fill(0.0);
        let mut put = |row, col, value: f64| {
            if let Some(k) = self.jacobian.position(row, col) {
                out[k] = value;
            }
        };
        put(0, 0, -4.0 * a - b);
        put(0, 1, -a);
        put(1, 0, -b);
        put(1, 1, -4.0 * b - a);
        put(2, 0, b);
        put(2, 1, a);
        put(3, 0, 2.0 * a);
        put(4, 1, 2.0 * b);
        if let Some(p) = p {
            put(0, 5, 2.0 * NUC_BY_CYT * p[2]);
            put(0, 6, NUC_BY_CYT * p[1]);
            put(1, 6, NUC_BY_CYT * p[1]);
            put(1, 7, 2.0 * NUC_BY_CYT * p[2]);
            put(2, 2, -p[3]);
            put(3, 3, -p[4]);
            put(4, 4, -p[4]);
            put(5, 3, CYT_BY_NUC * p[4]);
            put(5, 5, -p[2]);
            put(6, 2, CYT_BY_NUC * p[3]);
            put(6, 6, -p[1]);
            put(7, 4, CYT_BY_NUC * p[4]);
            put(7, 7, -p[2]);
        }
    }

    /// Writes ∂f/∂p for rates `v` of phosphorylation by Epo's decay (`by_epo` = d v/d p0) and constant (`by_k`), and
    /// states `x`.
    fn write_parameters(&self, by_epo: [f64; 3], by_k: [f64; 3], x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        let mut put = |row, col, value: f64| {
            if let Some(k) = self.by_params.position(row, col) {
                out[k] = value;
            }
        };
        for (col, v) in [(0, by_epo), (5, by_k)] {
            put(0, col, -2.0 * v[0] - v[1]);
            put(1, col, -2.0 * v[2] - v[1]);
            put(2, col, v[1]);
            put(3, col, v[0]);
            put(4, col, v[2]);
        }
        put(0, 1, NUC_BY_CYT * x[6]);
        put(1, 1, NUC_BY_CYT * x[6]);
        put(6, 1, -x[6]);
        put(0, 2, 2.0 * NUC_BY_CYT * x[5]);
        put(1, 2, 2.0 * NUC_BY_CYT * x[7]);
        put(5, 2, -x[5]);
        put(7, 2, -x[7]);
        put(2, 3, -x[2]);
        put(6, 3, CYT_BY_NUC * x[2]);
        put(3, 4, -x[3]);
        put(4, 4, -x[4]);
        put(5, 4, CYT_BY_NUC * x[3]);
        put(7, 4, CYT_BY_NUC * x[4]);
    }

    /// Numerators and denominators of the three medians with their gradients by the five cytoplasmic states.
    fn quotients(x: &[f64]) -> [(f64, [f64; 5], f64, [f64; 5]); 3] {
        let s = SPEC_C17;
        let weights = [
            ([0.0, 0.0, 100.0, 200.0 * s, 0.0], [s, 0.0, 1.0, 2.0 * s, 0.0]),
            ([0.0, 0.0, -100.0, 0.0, 200.0 * (s - 1.0)], [0.0, s - 1.0, -1.0, 0.0, 2.0 * (s - 1.0)]),
            ([100.0 * s, 0.0, 100.0, 200.0 * s, 0.0], [s, 1.0 - s, 2.0, 2.0 * s, -2.0 * (s - 1.0)]),
        ];
        let dot = |w: &[f64; 5]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        weights.map(|(top, bottom)| (dot(&top), top, dot(&bottom), bottom))
    }
}

impl System for Stat5 {
    fn dims(&self) -> Dims {
        Dims { n_states: 8, n_params: 9, n_outputs: 6, ..Dims::default() }
    }

    fn rhs(&self, at: At<'_>, _work: &mut Work, dx: &mut [f64]) {
        let (x, p, k) = (at.x, at.p, Stat5::rate(at));
        let v = [k * x[0] * x[0], k * x[0] * x[1], k * x[1] * x[1]];
        dx[0] = -2.0 * v[0] - v[1] + NUC_BY_CYT * (2.0 * p[2] * x[5] + p[1] * x[6]);
        dx[1] = -2.0 * v[2] - v[1] + NUC_BY_CYT * (2.0 * p[2] * x[7] + p[1] * x[6]);
        dx[2] = v[1] - p[3] * x[2];
        dx[3] = v[0] - p[4] * x[3];
        dx[4] = v[2] - p[4] * x[4];
        dx[5] = CYT_BY_NUC * p[4] * x[3] - p[2] * x[5];
        dx[6] = CYT_BY_NUC * p[3] * x[2] - p[1] * x[6];
        dx[7] = CYT_BY_NUC * p[4] * x[4] - p[2] * x[7];
    }

    fn jacobian_pattern(&self) -> &CscPattern {
        &self.jacobian
    }

    fn jacobian(&self, at: At<'_>, _work: &mut Work, values: &mut [f64]) {
        let k = Stat5::rate(at);
        self.write_jacobian(k * at.x[0], k * at.x[1], Some(at.p), values);
    }

    fn time_derivative(&self, at: At<'_>, _work: &mut Work, df: &mut [f64]) {
        let (x, k) = (at.x, -at.p[0] * Stat5::rate(at));
        let v = [k * x[0] * x[0], k * x[0] * x[1], k * x[1] * x[1]];
        df.copy_from_slice(&[-2.0 * v[0] - v[1], -2.0 * v[2] - v[1], v[1], v[0], v[2], 0.0, 0.0, 0.0]);
    }

    fn parameter_pattern(&self) -> &CscPattern {
        &self.by_params
    }

    fn parameter_jacobian(&self, at: At<'_>, _work: &mut Work, values: &mut [f64]) {
        let (x, k) = (at.x, Stat5::rate(at));
        let v = [k * x[0] * x[0], k * x[0] * x[1], k * x[1] * x[1]];
        self.write_parameters(v.map(|v| -at.t * v), v.map(|v| v / at.p[5]), x, values);
    }

    fn input_pattern(&self) -> &CscPattern {
        &self.no_inputs
    }

    fn input_jacobian(&self, _at: At<'_>, _work: &mut Work, _values: &mut [f64]) {}

    fn disturbance_pattern(&self) -> &CscPattern {
        &self.no_inputs
    }

    fn disturbance_jacobian(&self, _at: At<'_>, _work: &mut Work, _values: &mut [f64]) {}

    fn jacobian_along(&self, at: At<'_>, dx: &[f64], dt: f64, _work: &mut Work, jac: &mut [f64], par: &mut [f64]) {
        let (x, k) = (at.x, Stat5::rate(at));
        let dk = -at.p[0] * k * dt;
        self.write_jacobian(dk * x[0] + k * dx[0], dk * x[1] + k * dx[1], None, jac);
        let v = [k * x[0] * x[0], k * x[0] * x[1], k * x[1] * x[1]];
        let dv = [
            dk * x[0] * x[0] + 2.0 * k * x[0] * dx[0],
            dk * x[0] * x[1] + k * (dx[0] * x[1] + x[0] * dx[1]),
            dk * x[1] * x[1] + 2.0 * k * x[1] * dx[1],
        ];
        let by_epo = std::array::from_fn(|i| -dt * v[i] - at.t * dv[i]);
        self.write_parameters(by_epo, dv.map(|v| v / at.p[5]), dx, par);
    }

    fn initial_state(&self, _at: At<'_>, _work: &mut Work, x: &mut [f64]) {
        x.fill(0.0);
        x[0] = TOTAL * RATIO;
        x[1] = TOTAL - TOTAL * RATIO;
    }

    fn initial_pattern(&self) -> &CscPattern {
        &self.no_start
    }

    fn initial_jacobian(&self, _at: At<'_>, _work: &mut Work, _values: &mut [f64]) {}

    fn outputs(&self, at: At<'_>, _work: &mut Work, y: &mut [f64]) {
        for (y, (top, _, bottom, _)) in y.iter_mut().zip(Stat5::quotients(at.x)) {
            *y = top / bottom;
        }
        y[3..].copy_from_slice(&at.p[6..]);
    }

    fn output_patterns(&self) -> (&CscPattern, &CscPattern) {
        (&self.outputs_by_states, &self.outputs_by_params)
    }

    fn output_jacobians(&self, at: At<'_>, _work: &mut Work, dy_dx: &mut [f64], dy_dp: &mut [f64]) {
        for (row, (top, by_top, bottom, by_bottom)) in Stat5::quotients(at.x).into_iter().enumerate() {
            for state in 0..5 {
                if let Some(k) = self.outputs_by_states.position(row, state) {
                    dy_dx[k] = (by_top[state] - top / bottom * by_bottom[state]) / bottom;
                }
            }
        }
        dy_dp.fill(1.0);
    }
}

/// The measurements of the PEtab folder: time, observable, value. `None` without the reference data.
fn measurements() -> Option<Vec<Measurement>> {
    let Ok(dir) = std::env::var("TWINC_REFERENCE_DIR") else {
        println!("skipped: no reference data");
        return None;
    };
    let path: PathBuf =
        Path::new(&dir).join("data/petab/Boehm_JProteomeRes2014/measurementData_Boehm_JProteomeRes2014.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| header.iter().position(|&h| h == name).unwrap();
    let (id, time, value) = (column("observableId"), column("time"), column("measurement"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        Measurement {
            time: cells[time].parse().unwrap(),
            observable: OBSERVABLES.iter().position(|&o| o == cells[id]).unwrap(),
            value: cells[value].parse().unwrap(),
        }
    };
    let measurements: Vec<Measurement> = lines.map(row).collect();
    assert_eq!(measurements.len(), 48);
    Some(measurements)
}

/// The fit in the published bounds, searched on the logarithmic scale; `None` without the reference data.
pub fn problem(settings: &FitSettings, atol: f64) -> Option<Problem> {
    let parameters = (NAMES.iter().zip(NOMINAL))
        .map(|(&name, nominal)| Parameter {
            name: name.into(),
            scale: Scale::implied(1e-5, 1e5, None),
            low: 1e-5,
            high: 1e5,
            nominal,
            prior: None,
        })
        .collect();
    let observable = |(i, &name): (usize, &&str)| Observable {
        quantity: Quantity {
            name: name.into(),
            unit: String::new(),
            doc: String::new(),
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            span: Span::new(SourceId(0), 0, 0),
        },
        value_output: i,
        spread_output: Some(i + 3),
        noise: Some(Noise::Normal),
    };
    let experiment = Experiment {
        name: String::new(),
        system: Arc::new(Stat5::new()),
        observables: OBSERVABLES.iter().enumerate().map(observable).collect(),
        state_names: Vec::new(),
        params: vec![0.0; 9],
        links: (0..9).map(|i| Link { parameter: i, target: Target::Param(i) }).collect(),
        start: Vec::new(),
        steady: None,
        forcing: Forcing::default(),
        t0: 0.0,
        tolerance: Tolerance::Scalar(atol),
        measurements: measurements()?,
    };
    Some(Problem::new(parameters, vec![experiment], settings).unwrap())
}
