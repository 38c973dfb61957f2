//! The ten open-loop problems of the reference data (`reference/mpc/README.md` there), as the compiler and the
//! transcription make them, each with its start, the guess that it is solved from, and its optimum.

use std::sync::Arc;

use twinc::control::shooting::{Bounds, ControlProblem, Discretization, Move, RowBound, Shooting};
use twinc::diag::Diagnostics;
use twinc::expr::{BinaryOp, Dag, Leaf, NodeId, UnaryOp};
use twinc::flat::{self, FlatModel, Variation};
use twinc::hir;
use twinc::jit::{self, Kernels, Square, StageKernels, StageNodes, StageTerms};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};
use twinc::system::stages::{Instant, Softness, StageDims, Stages, Tree};

use crate::reference::{Table, reference_dir};

/// All names, as the reference data has them.
pub const NAMES: [&str; 10] = [
    "cartpole_n20",
    "cartpole_n50",
    "cartpole_n100",
    "cartpole_f12_n100",
    "glucose_n100",
    "chain_m5_n40",
    "chain_m9_n40",
    "quadrotor_n40",
    "cstr_nominal_n20",
    "cstr_robust_n20",
];

/// A problem to be solved.
pub struct Problem {
    /// The problem itself; boxed it is `dyn Stages`.
    pub stages: Shooting,
    /// What it was compiled from: the model, and cost and rows.
    pub kernels: Arc<Kernels>,
    /// The cost and the rows as compiled, and as nodes of the model's graph.
    pub functions: Arc<StageKernels>,
    pub nodes: StageNodes,
    /// State of the root.
    pub root: Vec<f64>,
    /// Guess of the states, `n_nodes × n_states` row major.
    pub states: Vec<f64>,
    /// Guess of the inputs, `n_nodes × n_inputs` row major; those of leaves mean nothing.
    pub inputs: Vec<f64>,
    /// Published optimum.
    pub optimum: f64,
    /// Published first input.
    pub first: Vec<f64>,
}

/// A published trajectory in the form of [`Problem::states`] and [`Problem::inputs`].
pub struct Trajectory {
    pub states: Vec<f64>,
    pub inputs: Vec<f64>,
}

/// What a problem is made of before it is compiled.
struct Parts {
    text: String,
    discretization: Discretization,
    step: f64,
    tree: Tree,
    scenarios: Vec<usize>,
    weights: Vec<f64>,
    parameters: Vec<f64>,
    forecast: Vec<f64>,
    moves: Vec<Move>,
    /// States, lower and upper.
    states: (Vec<f64>, Vec<f64>),
    inputs: (Vec<f64>, Vec<f64>),
    rows: Vec<RowBound>,
    start: Vec<f64>,
    previous: Vec<f64>,
    guess: (Vec<f64>, Vec<f64>),
    optimum: f64,
    first: Vec<f64>,
}

/// A problem by name; `None` where it needs reference data that is not there.
pub fn problem(name: &str) -> Option<Problem> {
    match name {
        "cartpole_n20" => Some(cartpole(20, 80.0, 2242.8281405968846, 80.0)),
        "cartpole_n50" => Some(cartpole(50, 80.0, 2244.307868062141, 80.0)),
        "cartpole_n100" => Some(cartpole(100, 80.0, 2244.3075184291, 80.0)),
        "cartpole_f12_n100" => Some(cartpole(100, 12.0, 10205.876626387986, -12.0)),
        "glucose_n100" => Some(glucose()),
        "chain_m5_n40" => chain(3, 20.518952990254295),
        "chain_m9_n40" => chain(7, 87.11467584441493),
        "quadrotor_n40" => Some(quadrotor()),
        "cstr_nominal_n20" => Some(cstr(1, 0.015063913278414671, [9.828504160492733, -1.2981814142623025e-05])),
        "cstr_robust_n20" => Some(cstr(9, 0.016509994667765152, [10.209801367005362, -85.02431369384406])),
        _ => None,
    }
}

/// The published optimal trajectory of a problem that is a chain of nodes, states beside the model's included.
pub fn trajectory(name: &str, dims: StageDims, n_model: usize) -> Option<Trajectory> {
    let path = reference_dir()?.join("reference/mpc").join(name).with_extension("csv");
    let table = Table::read(&path);
    let (n, m) = (dims.n_states, dims.n_inputs);
    let first = 1 + table.column("t").or(table.column("t_h")).expect("a column of time");
    let mut trajectory = Trajectory { states: Vec::new(), inputs: Vec::new() };
    let mut previous = vec![0.0; n - n_model];
    for row in &table.rows {
        trajectory.states.extend(&row[first..first + n_model]);
        trajectory.states.extend(&previous);
        let inputs = row.get(first + n_model..first + n_model + m).unwrap_or(&[]);
        let inputs: Vec<f64> =
            (0..m).map(|k| inputs.get(k).copied().filter(|u| u.is_finite()).unwrap_or(0.0)).collect();
        previous.copy_from_slice(&inputs[..n - n_model]);
        trajectory.inputs.extend(inputs);
    }
    Some(trajectory)
}

/// Cost of a trajectory with what leaving the soft rows costs; hard bounds are not looked at.
pub fn total_cost(stages: &mut dyn Stages, states: &[f64], inputs: &[f64]) -> f64 {
    let StageDims { n_states: n, n_inputs: m } = stages.dims();
    let mut total = 0.0;
    for node in 0..stages.tree().n_nodes() {
        let x = &states[node * n..][..n];
        let u = if stages.tree().is_leaf(node) { &[][..] } else { &inputs[node * m..][..m] };
        total += stages.cost(node, x, u);
        let mut values = vec![0.0; stages.n_rows(node)];
        stages.rows(node, x, u, &mut values);
        let limits = stages.limits(node);
        for (k, value) in values.iter().enumerate() {
            let excess = (limits.row_lower[k] - value).max(value - limits.row_upper[k]).max(0.0);
            total += match limits.row_softness[k] {
                Softness::Hard => 0.0,
                Softness::Linear(weight) => weight * excess,
                Softness::Quadratic(weight) => weight * excess * excess,
            };
        }
    }
    total
}

/// The nodes of a task over a model's graph.
struct Terms<'a>(&'a mut Dag);

impl Terms<'_> {
    fn x(&mut self, k: usize) -> NodeId {
        self.0.leaf(Leaf::State(k as u32))
    }

    fn u(&mut self, k: usize) -> NodeId {
        self.0.leaf(Leaf::Input(k as u32))
    }

    /// `weight (node − reference)²`
    fn square(&mut self, weight: f64, node: NodeId, reference: f64) -> Square {
        let residual = self.0.sum(&[(1.0, node), (-reference, Dag::ONE)]);
        Square { weight, residual }
    }
}

/// The models here import nothing.
struct NoImports;

impl Loader for NoImports {
    fn load(&self, _: &str, _: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("no such file"))
    }
}

/// The one model of a text, flat.
pub fn flat_model(text: &str) -> FlatModel {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new("problem.twin", text));
    let module = hir::load(&mut sources, root, None, &NoImports, false, &mut diagnostics);
    let model = module.models.first().expect("one model");
    let flat = flat::flatten(model, &Variation::default(), &mut diagnostics).expect("a flat model");
    assert!(!diagnostics.has_errors(), "{diagnostics:?}");
    flat
}

fn build(parts: Parts, functions: impl Fn(&mut Terms<'_>) -> StageNodes) -> Problem {
    let mut flat = flat_model(&parts.text);
    let nodes = functions(&mut Terms(&mut flat.dag));
    let kernels = Arc::new(Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("machine code"));
    let functions = Arc::new(StageKernels::new(kernels.clone(), nodes.clone()));
    let (x_lower, x_upper) = parts.states;
    let (u_lower, u_upper) = parts.inputs;
    let problem = ControlProblem {
        system: kernels.clone(),
        functions: functions.clone(),
        discretization: parts.discretization,
        step: parts.step,
        time: 0.0,
        tree: parts.tree,
        parameters: parts.parameters,
        scenarios: parts.scenarios,
        weights: parts.weights,
        forecast: parts.forecast,
        moves: parts.moves,
        free_step: None,
        bounds: Bounds {
            x_lower_last: x_lower.clone(),
            x_upper_last: x_upper.clone(),
            x_lower,
            x_upper,
            u_lower,
            u_upper,
            rows: parts.rows,
            rows_last: Vec::new(),
        },
    };
    let mut stages = Shooting::new(problem).expect("sizes fit");
    let (n_nodes, StageDims { n_states, .. }) = (stages.tree().n_nodes(), stages.dims());
    let mut root = vec![0.0; n_states];
    stages.arrive(&start(&parts.start, &parts.previous), &mut root);
    let (x, u) = parts.guess;
    let mut later = vec![0.0; n_states];
    stages.arrive(&start(&x, &u), &mut later);
    let states = (0..n_nodes).flat_map(|node| if node == 0 { root.clone() } else { later.clone() }).collect();
    let inputs = (0..n_nodes).flat_map(|_| u.clone()).collect();
    Problem { stages, kernels, functions, nodes, root, states, inputs, optimum: parts.optimum, first: parts.first }
}

fn free(n: usize) -> (Vec<f64>, Vec<f64>) {
    (vec![f64::NEG_INFINITY; n], vec![f64::INFINITY; n])
}

fn rk4_parts(text: String, step: f64, n_substeps: usize, horizon: usize, start: Vec<f64>, n_inputs: usize) -> Parts {
    Parts {
        text,
        discretization: Discretization::Rk4 { n_substeps },
        step,
        tree: Tree::chain(horizon),
        scenarios: Vec::new(),
        weights: Vec::new(),
        parameters: Vec::new(),
        forecast: Vec::new(),
        moves: Vec::new(),
        states: free(start.len()),
        inputs: free(n_inputs),
        rows: Vec::new(),
        guess: (start.clone(), vec![0.0; n_inputs]),
        previous: vec![0.0; n_inputs],
        start,
        optimum: 0.0,
        first: Vec::new(),
    }
}

pub const CARTPOLE: &str = "
model CartPole {
  time [1]
  input F [1] = 0
  state { pos [1] = 0; theta [1] = 0; v [1] = 0; omega [1] = 0 }
  const { M [1] = 1; m [1] = 0.1; l [1] = 0.8; g [1] = 9.81 }
  let den [1] = M + m - m*cos(theta)^2
  pos' = v
  theta' = omega
  v' = (-m*l*sin(theta)*omega^2 + m*g*cos(theta)*sin(theta) + F)/den
  omega' = (-m*l*cos(theta)*sin(theta)*omega^2 + F*cos(theta) + (M + m)*g*sin(theta))/(l*den)
}";

fn cartpole(horizon: usize, largest: f64, optimum: f64, first: f64) -> Problem {
    let start = vec![0.0, std::f64::consts::PI, 0.0, 0.0];
    let mut parts = rk4_parts(CARTPOLE.to_owned(), 0.05, 1, horizon, start, 1);
    parts.inputs = (vec![-largest], vec![largest]);
    (parts.optimum, parts.first) = (optimum, vec![first]);
    build(parts, |terms| {
        let mut squares = |factor: f64| -> Vec<Square> {
            let weights = [1000.0, 1000.0, 0.01, 0.01].into_iter().enumerate();
            weights
                .map(|(k, weight)| {
                    let x = terms.x(k);
                    terms.square(factor * weight, x, 0.0)
                })
                .collect()
        };
        let (mut running, last) = (squares(0.05), squares(1.0));
        let force = terms.u(0);
        running.push(terms.square(0.05 * 0.01, force, 0.0));
        StageNodes {
            running: StageTerms { squares: running, ..StageTerms::default() },
            last: StageTerms { squares: last, ..StageTerms::default() },
        }
    })
}

pub const GLUCOSE: &str = "
model Glucose {
  time [1]
  input u [1] = 0
  disturbance d [1] = 0
  state { G [1] = 138; X [1] = 0; I [1] = 7 }
  const { Gb [1] = 138; Ib [1] = 7; n [1] = 0.2814; p1 [1] = 0; p2 [1] = 0.0142; p3 [1] = 15e-6 }
  G' = -p1*(G - Gb) - G*X + d
  X' = -p2*X + p3*(I - Ib)
  I' = -n*(I - Ib) + u
}";

fn glucose() -> Problem {
    let mut parts = rk4_parts(GLUCOSE.to_owned(), 10.0, 10, 100, vec![138.0, 0.0, 7.0], 1);
    parts.forecast = (0..=100).map(|k| 4.0 * (-0.1 * f64::from(k)).exp()).collect();
    parts.states.0[0] = 70.0;
    parts.states.1[0] = 400.0;
    parts.inputs = (vec![0.0], vec![2.0]);
    (parts.optimum, parts.first) = (447.64902540631243, vec![2.0]);
    build(parts, |terms| {
        let glucose = terms.x(0);
        let log = terms.0.unary(UnaryOp::Ln, glucose);
        let exponent = terms.0.constant(0.8353);
        let power = terms.0.binary(BinaryOp::Pow, log, exponent);
        let residual = terms.0.sum(&[(3.35506, power), (-3.35506 * 3.7932, Dag::ONE)]);
        let risk = Square { weight: 10.0, residual };
        let insulin = terms.u(0);
        let rate = terms.square(0.01, insulin, 0.0);
        StageNodes {
            running: StageTerms { squares: vec![risk, rate], ..StageTerms::default() },
            last: StageTerms { squares: vec![risk], ..StageTerms::default() },
        }
    })
}

/// `n_free` masses between the fixed one and the controlled one.
fn chain_text(n_free: usize) -> String {
    let axes = ["x", "y", "z"];
    let mut text = String::from("model Chain {\n  time [1]\n  const { k [1] = 1/0.033; L [1] = 0.033 }\n");
    for axis in axes {
        text += &format!("  input u{axis} [1] = 0\n");
    }
    text += "  state {\n";
    for i in 1..=n_free + 1 {
        axes.iter().for_each(|axis| text += &format!("    p{i}{axis} [1] = 0\n"));
    }
    for i in 1..=n_free {
        axes.iter().for_each(|axis| text += &format!("    v{i}{axis} [1] = 0\n"));
    }
    text += "  }\n";
    for i in 1..=n_free + 1 {
        let d = |axis: &str| if i == 1 { format!("p1{axis}") } else { format!("(p{i}{axis} - p{}{axis})", i - 1) };
        let square = |axis: &str| format!("{}^2", d(axis));
        let length: Vec<String> = axes.iter().map(|axis| square(axis)).collect();
        text += &format!("  let s{i} [1] = k*(1 - L/sqrt({}))\n", length.join(" + "));
        for axis in axes {
            text += &format!("  let a{i}{axis} [1] = s{i}*{}\n", d(axis));
        }
    }
    for i in 1..=n_free {
        for axis in axes {
            let gravity = if axis == "z" { "-9.81" } else { "0" };
            text += &format!("  p{i}{axis}' = v{i}{axis}\n");
            text += &format!("  v{i}{axis}' = {gravity} - a{i}{axis} + a{}{axis}\n", i + 1);
        }
    }
    for axis in axes {
        text += &format!("  p{}{axis}' = u{axis}\n", n_free + 1);
    }
    text + "}\n"
}

fn chain(n_free: usize, optimum: f64) -> Option<Problem> {
    let name = format!("chain_m{}_n40", n_free + 2);
    let path = reference_dir()?.join("reference/mpc/optima.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let optima: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let list = |key: &str| -> Vec<f64> {
        let values = optima[&name][key].as_array().expect("a list");
        values.iter().map(|v| v.as_f64().expect("a number")).collect()
    };
    let (start, rest) = (list("x0"), list("x_rest"));
    let mut parts = rk4_parts(chain_text(n_free), 0.2, 2, 40, start, 3);
    parts.inputs = (vec![-1.0; 3], vec![1.0; 3]);
    (0..=n_free).for_each(|i| parts.states.0[3 * i + 1] = -0.05);
    parts.guess = (rest.clone(), vec![0.0; 3]);
    (parts.optimum, parts.first) = (optimum, vec![1.0, -1.0, -1.0]);
    let end = 3 * n_free..3 * n_free + 3;
    Some(build(parts, |terms| {
        let mut squares = |factor: f64| -> Vec<Square> {
            let one = |(k, &reference): (usize, &f64)| {
                let weight = if end.contains(&k) { (n_free + 1) as f64 } else { 1.0 };
                let x = terms.x(k);
                terms.square(factor * weight, x, reference)
            };
            rest.iter().enumerate().map(one).collect()
        };
        let (mut running, last) = (squares(0.2), squares(1.0));
        for k in 0..3 {
            let u = terms.u(k);
            running.push(terms.square(0.2 * 0.01, u, 0.0));
        }
        StageNodes {
            running: StageTerms { squares: running, ..StageTerms::default() },
            last: StageTerms { squares: last, ..StageTerms::default() },
        }
    }))
}

const QUADROTOR: &str = "
model Quadrotor {
  time [1]
  input f1 [1] = 0
  input f2 [1] = 0
  input f3 [1] = 0
  input f4 [1] = 0
  state {
    x [1] = 0; y [1] = 0; z [1] = 0
    vx [1] = 0; vy [1] = 0; vz [1] = 0
    roll [1] = 0; pitch [1] = 0; yaw [1] = 0
    wx [1] = 0; wy [1] = 0; wz [1] = 0
  }
  const { m [1] = 1; g [1] = 9.81; l [1] = 0.2; Jx [1] = 0.01; Jy [1] = 0.01; Jz [1] = 0.02; kq [1] = 0.02 }
  let T [1] = f1 + f2 + f3 + f4
  x' = vx
  y' = vy
  z' = vz
  vx' = T/m*(cos(roll)*sin(pitch)*cos(yaw) + sin(roll)*sin(yaw))
  vy' = T/m*(cos(roll)*sin(pitch)*sin(yaw) - sin(roll)*cos(yaw))
  vz' = T/m*cos(roll)*cos(pitch) - g
  roll' = wx + sin(roll)*tan(pitch)*wy + cos(roll)*tan(pitch)*wz
  pitch' = cos(roll)*wy - sin(roll)*wz
  yaw' = (sin(roll)*wy + cos(roll)*wz)/cos(pitch)
  wx' = (l*(f2 - f4) + (Jy - Jz)*wy*wz)/Jx
  wy' = (l*(f3 - f1) + (Jz - Jx)*wz*wx)/Jy
  wz' = (kq*(f1 - f2 + f3 - f4) + (Jx - Jy)*wx*wy)/Jz
}";

fn quadrotor() -> Problem {
    let hover = 9.81 / 4.0;
    let mut parts = rk4_parts(QUADROTOR.to_owned(), 0.05, 1, 40, vec![0.0; 12], 4);
    parts.inputs = (vec![0.0; 4], vec![6.0; 4]);
    for k in [6, 7] {
        (parts.states.0[k], parts.states.1[k]) = (-0.6, 0.6);
    }
    parts.guess.1 = vec![hover; 4];
    parts.optimum = 40.89772434239417;
    parts.first = vec![1.1718169592473773, 4.061555869027542, 6.0, 6.0];
    build(parts, |terms| {
        let mut squares = |factor: f64| -> Vec<Square> {
            let one = |k: usize| {
                let weight = [10.0, 1.0, 1.0, 0.1][k / 3];
                let reference = [2.0, 1.0, 1.5].get(k).copied().unwrap_or(0.0);
                let x = terms.x(k);
                terms.square(factor * weight, x, reference)
            };
            (0..12).map(one).collect()
        };
        let (mut running, last) = (squares(0.05), squares(10.0));
        for k in 0..4 {
            let u = terms.u(k);
            running.push(terms.square(0.05 * 0.05, u, hover));
        }
        StageNodes {
            running: StageTerms { squares: running, ..StageTerms::default() },
            last: StageTerms { squares: last, ..StageTerms::default() },
        }
    })
}

const CSTR: &str = "
model Tank {
  time [1]
  input F [1] = 5
  input Q [1] = 0
  param { alpha [1] = 1; beta [1] = 1 }
  state { C_a [1] = 0.8; C_b [1] = 0.5; T_R [1] = 134.14; T_K [1] = 130 }
  let K1 [1] = beta*1.287e12*exp(-9758.3/(T_R + 273.15))
  let K2 [1] = 1.287e12*exp(-9758.3/(T_R + 273.15))
  let K3 [1] = 9.043e9*exp(-alpha*8560/(T_R + 273.15))
  let d [1] = T_R - T_K
  C_a' = F*(5.1 - C_a) - K1*C_a - K3*C_a^2
  C_b' = -F*C_b + K1*C_a - K2*C_b
  T_R' = (4.2*K1*C_a - 11*K2*C_b - 41.85*K3*C_a^2)/(-0.9342*3.01) + F*(130 - T_R) - 4032*0.215*d/(0.9342*3.01*10.01)
  T_K' = (Q + 4032*0.215*d)/(5*2)
}";

fn cstr(n_scenarios: usize, optimum: f64, first: [f64; 2]) -> Problem {
    let mut parts = rk4_parts(CSTR.to_owned(), 0.005, 1, 20, vec![0.8, 0.5, 134.14, 130.0], 2);
    parts.discretization = Discretization::RadauIia { n_points: 2, n_substeps: 1, bounds_inside: true };
    parts.tree = Tree::branching(20, 1, n_scenarios);
    let n_nodes = parts.tree.n_nodes();
    parts.scenarios = (0..n_nodes).map(|node| if node == 0 { 0 } else { (node - 1) % n_scenarios }).collect();
    parts.weights = (0..n_nodes).map(|node| if node == 0 { 1.0 } else { 1.0 / n_scenarios as f64 }).collect();
    for alpha in [1.0, 1.05, 0.95] {
        [1.0, 1.1, 0.9].into_iter().for_each(|beta| parts.parameters.extend([alpha, beta]));
    }
    parts.moves = vec![Move { input: 0, weight: 0.1, scale: 100.0 }, Move { input: 1, weight: 0.001, scale: 2000.0 }];
    parts.states = (vec![0.1, 0.1, 50.0, 50.0], vec![2.0, 2.0, f64::INFINITY, 140.0]);
    parts.inputs = (vec![5.0, -8500.0], vec![100.0, 0.0]);
    parts.rows = vec![RowBound { lower: f64::NEG_INFINITY, upper: 140.0, softness: Softness::Linear(100.0) }];
    parts.guess.1 = vec![18.83, -4495.7];
    (parts.optimum, parts.first) = (optimum, first.to_vec());
    build(parts, |terms| {
        let (product, temperature) = (terms.x(1), terms.x(2));
        let squares = vec![terms.square(1.0, product, 0.6)];
        let last = StageTerms { squares: squares.clone(), ..StageTerms::default() };
        StageNodes { running: StageTerms { squares, others: Vec::new(), rows: vec![temperature] }, last }
    })
}

/// The first instant, at this state, with this input acting before.
fn start<'a>(state: &'a [f64], previous: &'a [f64]) -> Instant<'a> {
    Instant { step: 0, time: 0.0, state, previous, forecast: &[] }
}
