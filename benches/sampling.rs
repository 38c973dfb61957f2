//! Planners that sample, on the cart-pole of the reference problems (RK4, step 0.05, 30 steps ahead).
//!
//! `cargo bench --bench sampling` prints what a plan takes of one thread's time on the processor, what of that the rollouts
//! and the draws take, numpy's time for the same by `benches/peers/mppi.py` where `python3` has it, and how many of twenty
//! seeds swing up and hold (|theta| < 0.2 in the last 100 of 300 steps, |F| ≤ 80). With `-- --check` it fails where an MPPI
//! plan of 512 sequences takes more than 0.5 ms, or fewer than 20, 18 and 18 seeds of MPPI, CEM and CMA-ES succeed.

mod clock;

use std::f64::consts::PI;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use clock::Stopwatch;
use twinc::control::rollouts::{Rollouts, RowProblem, RowRollouts};
use twinc::control::sampling::{Cem, CemSettings, Cma, CmaSettings, Mppi, MppiSettings, Shooting, ShootingSettings};
use twinc::control::shooting::{Bounds, Discretization};
use twinc::decide::{Planner, Situation};
use twinc::diag::Diagnostics;
use twinc::expr::Leaf;
use twinc::flat::{Variation, flatten};
use twinc::hir;
use twinc::jit::{self, Kernels, Square, StageNodes, StageTerms, row_functions};
use twinc::random::stream;
use twinc::random::ziggurat::Ziggurat;
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

const MOST_MILLISECONDS: f64 = 0.5;
const N_SEEDS: u64 = 20;
const HORIZON: usize = 30;
const STEP: f64 = 0.05;

const MODEL: &str = "
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

struct NoTexts;

impl Loader for NoTexts {
    fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("not in memory"))
    }
}

fn rollouts(largest: f64) -> RowRollouts {
    let (mut sources, mut diagnostics) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("cart_pole.twin", MODEL));
    let module = hir::load(&mut sources, root, None, &NoTexts, false, &mut diagnostics);
    let model = module.models.last().expect("a model");
    let mut flat = flatten(model, &Variation::default(), &mut diagnostics).expect("flat equations");
    let mut squares = |factor: f64| -> Vec<Square> {
        let square =
            |(k, weight): (u32, f64)| Square { weight: factor * weight, residual: flat.dag.leaf(Leaf::State(k)) };
        (0..).zip([1000.0, 1000.0, 0.01, 0.01]).map(square).collect()
    };
    let (mut running, last) = (squares(STEP), squares(1.0));
    running.push(Square { weight: STEP * 0.01, residual: flat.dag.leaf(Leaf::Input(0)) });
    let nodes = StageNodes {
        running: StageTerms { squares: running, ..StageTerms::default() },
        last: StageTerms { squares: last, ..StageTerms::default() },
    };
    let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
    let kernels = Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("machine code");
    let (low, high) = (vec![f64::NEG_INFINITY; 4], vec![f64::INFINITY; 4]);
    let problem = RowProblem {
        functions: row_functions(&kernels, &nodes, &p).expect("rows"),
        discretization: Discretization::Rk4 { n_substeps: 1 },
        step: STEP,
        horizon: HORIZON,
        bounds: Bounds {
            x_lower: low.clone(),
            x_upper: high.clone(),
            x_lower_last: low,
            x_upper_last: high,
            u_lower: vec![-largest],
            u_upper: vec![largest],
            ..Bounds::default()
        },
        moves: Vec::new(),
        forecast: Vec::new(),
        price: 1e6,
    };
    RowRollouts::new(problem, 1).expect("sizes fit")
}

/// Median and least milliseconds of many calls.
fn milliseconds(count: usize, mut call: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            let watch = Stopwatch::start();
            call();
            1e3 * watch.seconds()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[count / 2], times[0])
}

fn situation<'a>(step: usize, state: &'a [f64], previous: &'a [f64]) -> Situation<'a> {
    Situation { step, time: STEP * step as f64, state, previous, forecast: &[] }
}

/// The plant, written by hand: what the planners' model is checked by.
fn advance(x: &[f64; 4], force: f64) -> [f64; 4] {
    let slopes = |x: &[f64; 4]| {
        let (s, c) = x[1].sin_cos();
        let den = 1.1 - 0.1 * c * c;
        let v = (-0.08 * s * x[3] * x[3] + 0.981 * c * s + force) / den;
        let omega = (-0.08 * c * s * x[3] * x[3] + force * c + 1.1 * 9.81 * s) / (0.8 * den);
        [x[2], x[3], v, omega]
    };
    let moved = |k: &[f64; 4], h: f64| std::array::from_fn::<f64, 4, _>(|i| x[i] + h * k[i]);
    let a = slopes(x);
    let b = slopes(&moved(&a, 0.5 * STEP));
    let c = slopes(&moved(&b, 0.5 * STEP));
    let d = slopes(&moved(&c, STEP));
    std::array::from_fn(|i| x[i] + STEP / 6.0 * (a[i] + 2.0 * b[i] + 2.0 * c[i] + d[i]))
}

/// Largest |theta| of the last 100 of 300 steps, and the cost of the episode.
fn swing_up(planner: &mut dyn Planner, seed: u64) -> (f64, f64) {
    planner.reset(seed);
    let (mut x, mut u) = ([0.0, PI, 0.0, 0.0], [0.0]);
    let (mut worst, mut cost) = (0.0f64, 0.0);
    for step in 0..300 {
        u[0] = planner.plan(&situation(step, &x, &u)).input[0];
        let state = 1000.0 * (x[0] * x[0] + x[1] * x[1]) + 0.01 * (x[2] * x[2] + x[3] * x[3]);
        cost += STEP * (state + 0.01 * u[0] * u[0]);
        x = advance(&x, u[0]);
        if step >= 200 {
            worst = worst.max(x[1].abs());
        }
    }
    (worst, cost)
}

/// numpy's milliseconds for a plan.
fn numpy() -> Option<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/mppi.py");
    let output = Command::new("python3").arg(script).env("OMP_NUM_THREADS", "1").output().ok()?;
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    value["milliseconds"].as_f64()
}

fn main() -> ExitCode {
    let is_checked = std::env::args().any(|argument| argument == "--check");
    let mut is_good = true;
    let x = [0.0, PI, 0.0, 0.0];

    let mut planner = Mppi::new(Box::new(rollouts(20.0)), MppiSettings::default()).expect("bounded inputs");
    let (median, least) = milliseconds(400, || {
        std::hint::black_box(planner.plan(&situation(0, &x, &[0.0])).cost);
    });
    println!("MPPI, 512 x 30 steps, |F| <= 20: {median:.3} ms a plan, least {least:.3} (bar {MOST_MILLISECONDS})");
    is_good &= median <= MOST_MILLISECONDS;
    let mut rows = rollouts(20.0);
    rows.begin(&situation(0, &x, &[0.0]));
    let (inputs, mut costs) = (vec![3.0; HORIZON * 512], vec![0.0; 512]);
    let (rolled, _) = milliseconds(400, || rows.costs(512, &inputs, &mut costs));
    let per_slope = 1e6 * rolled / (512 * HORIZON * 4) as f64;
    let (table, mut rng, mut draws) = (Ziggurat::new(), stream(1, 0), vec![0.0; HORIZON * 512]);
    let (drawn, _) = milliseconds(400, || table.fill(&mut rng, &mut draws));
    println!("  of that, rollouts {rolled:.3} ms ({per_slope:.2} ns for each of 61,440 slopes), draws {drawn:.3} ms");
    match numpy() {
        Some(theirs) => println!("  numpy {theirs:.2} ms: {:.1} times ours", theirs / median),
        None => println!("  numpy: not there"),
    }

    println!(
        "swing-up, |F| <= 80, {N_SEEDS} seeds: successes, median and largest |theta| held, median cost, ms a plan"
    );
    let planners: [(&str, Box<dyn Planner>, usize); 4] = [
        ("mppi", Box::new(Mppi::new(Box::new(rollouts(80.0)), MppiSettings::default()).expect("bounds")), 20),
        ("cem", Box::new(Cem::new(Box::new(rollouts(80.0)), CemSettings::default()).expect("bounds")), 18),
        ("cma", Box::new(Cma::new(Box::new(rollouts(80.0)), CmaSettings::default()).expect("bounds")), 18),
        (
            "shooting",
            Box::new(Shooting::new(Box::new(rollouts(80.0)), ShootingSettings::default()).expect("bounds")),
            0,
        ),
    ];
    for (name, mut planner, least) in planners {
        let watch = Stopwatch::start();
        let episodes = (1..=N_SEEDS).map(|seed| swing_up(&mut *planner, seed));
        let (mut held, mut costs): (Vec<f64>, Vec<f64>) = episodes.unzip();
        let each = 1e3 * watch.seconds() / (300 * N_SEEDS) as f64;
        held.sort_by(f64::total_cmp);
        costs.sort_by(f64::total_cmp);
        let successes = held.iter().filter(|theta| **theta < 0.2).count();
        let middle = held.len() / 2;
        let (median, largest, cost) = (held[middle], held[held.len() - 1], costs[middle]);
        println!("  {name:9} {successes:2} (bar {least})  {median:.3}  {largest:.3}  {cost:8.1}  {each:.3}");
        is_good &= successes >= least;
    }
    if is_checked && !is_good { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
