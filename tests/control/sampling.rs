//! Rollouts by rows against the interpreter, the general rollouts and published trajectories; planners that sample on the
//! cart-pole.

use std::f64::consts::PI;

use rand::Rng as _;
use twinc::control::rollouts::{Rollouts, RowProblem, RowRollouts, RowsError, StageRollouts};
use twinc::control::sampling::{
    Cem, CemSettings, Cma, CmaSettings, Mppi, MppiSettings, SamplingError, Shooting, ShootingSettings,
};
use twinc::control::shooting::{self, Bounds, ControlProblem, Discretization, Move, RowBound};
use twinc::decide::{PlanStatus, Planner, Situation};
use twinc::expr::{Env, Interpreter, Leaf, UnaryOp};
use twinc::jit::{self, Kernels, RowKernel, Square, StageKernels, StageNodes, StageTerms, row_functions};
use twinc::random::stream;
use twinc::system::rows::{ROW, RowDims, RowFunction, Width};
use twinc::system::stages::{Softness, Stages, Tree};

use super::problems::{CARTPOLE, GLUCOSE, flat_model, trajectory};
use crate::integrate::solve::allocations;
use crate::models::subject;

use std::sync::Arc;

/// The right-hand sides of all models that are shipped, at 64 points each, against the interpreter: within its own bound
/// of rounding errors, whatever the other points are, and however many are computed.
#[test]
fn rows_compute_what_the_interpreter_does() {
    let mut n_compared = 0;
    for file in ["lotka_volterra", "pollution", "oregonator", "arenstorf", "bergman", "hovorka", "cstr", "cartpole"] {
        for flat in subject::shipped_models(file) {
            let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
            let roots: Vec<_> = flat.states.iter().map(|s| s.rhs).collect();
            let dims = RowDims {
                n_states: flat.states.len(),
                n_inputs: flat.inputs.len(),
                n_disturbances: flat.disturbances.len(),
                n_outputs: 0,
            };
            let kernel = RowKernel::compile(&flat.dag, &roots, dims, &p).expect("rows");
            let interpreter = Interpreter::new(&flat.dag, &roots);
            let mut rng = stream(1, 0);
            let mut block = kernel.block();
            for row in &mut block[..=dims.time()] {
                row.iter_mut().for_each(|value| *value = 3.0 * rng.random::<f64>());
            }
            let mut few = block.clone();
            kernel.evaluate(&mut block, Width::All);
            kernel.evaluate(&mut few, Width::Few);
            let (mut out, mut scale) = (vec![0.0; roots.len()], vec![0.0; roots.len()]);
            for point in 0..ROW {
                let column = |from: usize, n: usize| (from..from + n).map(|k| block[k][point]).collect::<Vec<f64>>();
                let (x, u) = (column(0, dims.n_states), column(dims.input(), dims.n_inputs));
                let d = column(dims.disturbance(), dims.n_disturbances);
                let env = Env { t: block[dims.time()][point], x: &x, u: &u, d: &d, p: &p, dx: &[], dt: 0.0 };
                interpreter.eval_with_scale(&env, &mut Vec::new(), &mut out, &mut scale);
                for (k, &row) in kernel.outputs().iter().enumerate() {
                    let value = block[row][point];
                    let close = (value - out[k]).abs() <= 1e-13 * scale[k] || value.to_bits() == out[k].to_bits();
                    assert!(close || value.is_nan() && out[k].is_nan(), "{file} {k}: {value} {}", out[k]);
                    if point < 8 {
                        assert_eq!(value.to_bits(), few[row][point].to_bits());
                    }
                    n_compared += 1;
                }
            }
        }
    }
    assert!(n_compared > 1000, "{n_compared}");
}

/// Both kinds of rollouts of one task.
struct Subject {
    problem: ControlProblem,
    rows: RowProblem,
}

fn subject(
    text: &str,
    problem: impl FnOnce(Arc<Kernels>, Arc<StageKernels>) -> ControlProblem,
    nodes: impl FnOnce(&mut twinc::expr::Dag) -> StageNodes,
) -> Subject {
    let mut flat = flat_model(text);
    let nodes = nodes(&mut flat.dag);
    let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
    let kernels = Arc::new(Kernels::compile(Arc::new(flat), &jit::Options::default()).expect("machine code"));
    let functions = row_functions(&kernels, &nodes, &p).expect("rows");
    let problem = problem(kernels.clone(), Arc::new(StageKernels::new(kernels, nodes)));
    let rows = RowProblem::of(&problem, functions, 1e4).expect("a chain");
    Subject { problem, rows }
}

impl Subject {
    fn by_rows(&self, n_threads: usize) -> Box<RowRollouts> {
        Box::new(RowRollouts::new(self.rows.clone(), n_threads).expect("sizes fit"))
    }

    fn by_stages(&self) -> Box<StageRollouts> {
        let stages = shooting::Shooting::new(self.problem.clone()).expect("sizes fit");
        Box::new(StageRollouts::new(Box::new(stages), 1e4))
    }
}

fn control_problem(
    system: Arc<Kernels>,
    functions: Arc<StageKernels>,
    discretization: Discretization,
    step: f64,
    horizon: usize,
    bounds: Bounds,
) -> ControlProblem {
    ControlProblem {
        system,
        functions,
        discretization,
        step,
        time: 0.0,
        tree: Tree::chain(horizon),
        parameters: Vec::new(),
        scenarios: Vec::new(),
        weights: Vec::new(),
        forecast: Vec::new(),
        moves: Vec::new(),
        free_step: None,
        bounds,
    }
}

/// The cart-pole of the reference problems.
fn cart_pole(horizon: usize, largest: f64) -> Subject {
    let (low, high) = (vec![f64::NEG_INFINITY; 4], vec![f64::INFINITY; 4]);
    let bounds = Bounds {
        x_lower: low.clone(),
        x_upper: high.clone(),
        x_lower_last: low,
        x_upper_last: high,
        u_lower: vec![-largest],
        u_upper: vec![largest],
        ..Bounds::default()
    };
    subject(
        CARTPOLE,
        |system, functions| {
            control_problem(system, functions, Discretization::Rk4 { n_substeps: 1 }, 0.05, horizon, bounds)
        },
        |dag| {
            let weights = [1000.0, 1000.0, 0.01, 0.01];
            let mut squares = |factor: f64| -> Vec<Square> {
                let square = |(k, weight): (usize, f64)| Square {
                    weight: factor * weight,
                    residual: dag.leaf(Leaf::State(k as u32)),
                };
                weights.into_iter().enumerate().map(square).collect()
            };
            let (mut running, last) = (squares(0.05), squares(1.0));
            running.push(Square { weight: 0.05 * 0.01, residual: dag.leaf(Leaf::Input(0)) });
            StageNodes {
                running: StageTerms { squares: running, ..StageTerms::default() },
                last: StageTerms { squares: last, ..StageTerms::default() },
            }
        },
    )
}

/// Glucose with bounds of states, rows hard and soft, moves, disturbances and substeps.
fn glucose(discretization: Discretization) -> Subject {
    let bounds = Bounds {
        x_lower: vec![100.0, f64::NEG_INFINITY, 0.0],
        x_upper: vec![150.0, f64::INFINITY, 20.0],
        x_lower_last: vec![120.0, f64::NEG_INFINITY, 0.0],
        x_upper_last: vec![130.0, f64::INFINITY, 20.0],
        u_lower: vec![0.0],
        u_upper: vec![2.0],
        rows: vec![
            RowBound { lower: f64::NEG_INFINITY, upper: 1200.0, softness: Softness::Linear(3.0) },
            RowBound { lower: 4.0, upper: 9.0, softness: Softness::Quadratic(5.0) },
        ],
        rows_last: vec![RowBound { lower: 8.0, upper: 9.0, softness: Softness::Hard }],
    };
    subject(
        GLUCOSE,
        |system, functions| ControlProblem {
            forecast: (0..9).map(|k| 4.0 * (-0.1 * f64::from(k)).exp()).collect(),
            moves: vec![Move { input: 0, weight: 2.0, scale: 0.5 }],
            ..control_problem(system, functions, discretization, 10.0, 12, bounds)
        },
        |dag| {
            let (g, i, u) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::State(2)), dag.leaf(Leaf::Input(0)));
            let product = dag.mul(g, i);
            let log = dag.unary(UnaryOp::Ln, g);
            let square = Square { weight: 0.3, residual: log };
            StageNodes {
                running: StageTerms { squares: vec![square], others: vec![u], rows: vec![product, i] },
                last: StageTerms { squares: vec![square], others: vec![], rows: vec![i] },
            }
        },
    )
}

fn at<'a>(step: usize, state: &'a [f64], previous: &'a [f64]) -> Situation<'a> {
    Situation { step, time: 0.0, state, previous, forecast: &[] }
}

fn random_inputs(n: usize, rows: usize, low: f64, high: f64) -> Vec<f64> {
    let mut rng = stream(8, 0);
    (0..n * rows).map(|_| low + (high - low) * rng.random::<f64>()).collect()
}

#[test]
fn rows_cost_what_stages_cost() {
    let euler = Discretization::Euler { n_substeps: 7 };
    let rk4 = Discretization::Rk4 { n_substeps: 10 };
    for (subject, x, low, high) in [
        (cart_pole(30, 20.0), vec![0.1, PI, -0.2, 0.3], -20.0, 20.0),
        (glucose(rk4), vec![138.0, 0.0, 7.0], 0.0, 2.0),
        (glucose(euler), vec![138.0, 0.0, 7.0], 0.0, 2.0),
    ] {
        let (mut rows, mut stages) = (subject.by_rows(1), subject.by_stages());
        let horizon = rows.horizon();
        // Neither a multiple of a row's points nor of the few.
        let n = 131;
        let inputs = random_inputs(n, horizon, low, high);
        let (mut ours, mut theirs) = (vec![0.0; n], vec![0.0; n]);
        let now = at(0, &x, &[0.7]);
        rows.begin(&now);
        stages.begin(&now);
        rows.costs(n, &inputs, &mut ours);
        stages.costs(n, &inputs, &mut theirs);
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a / b - 1.0).abs() < 1e-10, "{a} {b}");
        }
        let one: Vec<f64> = inputs.iter().step_by(n).copied().collect();
        let n_states = stages.dims().n_states;
        let (mut x_rows, mut x_stages) = (vec![0.0; (horizon + 1) * x.len()], vec![0.0; (horizon + 1) * n_states]);
        let (a, b) = (rows.predict(&one, &mut x_rows), stages.predict(&one, &mut x_stages));
        assert_eq!(a.cost.to_bits(), ours[0].to_bits());
        assert!((a.violation - b.violation).abs() < 1e-9, "{a:?} {b:?}");
        for (a, b) in x_rows.chunks(x.len()).zip(x_stages.chunks(n_states)) {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs().max(1.0)), "{a:?} {b:?}");
        }
    }
}

#[test]
fn published_trajectories_cost_what_they_should() {
    let subject = cart_pole(20, 80.0);
    let mut rows = subject.by_rows(1);
    let Some(known) = trajectory("cartpole_n20", rows.dims(), 4) else {
        println!("skipped: no reference data");
        return;
    };
    rows.begin(&at(0, &known.states[..4], &[0.0]));
    let mut states = vec![0.0; 21 * 4];
    let outcome = rows.predict(&known.inputs[..20], &mut states);
    assert!((outcome.cost / 2242.8281405969 - 1.0).abs() < 1e-9, "{outcome:?}");
    assert!(states.iter().zip(&known.states).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn threads_change_no_bit() {
    let subject = cart_pole(30, 20.0);
    let n = 300;
    let inputs = random_inputs(n, 30, -20.0, 20.0);
    let costs = |n_threads: usize| {
        let mut rows = subject.by_rows(n_threads);
        rows.begin(&at(0, &[0.0, PI, 0.0, 0.0], &[0.0]));
        let mut costs = vec![0.0; n];
        rows.costs(n, &inputs, &mut costs);
        costs.iter().map(|cost| cost.to_bits()).collect::<Vec<u64>>()
    };
    let one = costs(1);
    assert!([2, 3, 8].into_iter().all(|n_threads| costs(n_threads) == one));
}

#[test]
fn what_rows_do_not_follow_is_named() {
    let Subject { problem, rows } = cart_pole(3, 20.0);
    let general = |change: &dyn Fn(&mut ControlProblem)| {
        let mut problem = problem.clone();
        change(&mut problem);
        RowProblem::of(&problem, rows.functions.clone(), 1.0).err()
    };
    let tree = general(&|problem| problem.tree = Tree::branching(3, 1, 2));
    assert_eq!(tree, Some(RowsError::General("a tree of scenarios")));
    let collocated = RowProblem {
        discretization: Discretization::RadauIia { n_points: 2, n_substeps: 1, bounds_inside: false },
        ..rows.clone()
    };
    assert_eq!(RowRollouts::new(collocated, 1).err(), Some(RowsError::General("collocation")));
    let mut short = rows;
    short.bounds.u_upper.clear();
    let wrong = RowsError::Length { what: "u_upper", expected: 1, given: 0 };
    assert_eq!(RowRollouts::new(short, 1).err(), Some(wrong));
}

type Make = fn(Box<dyn Rollouts>) -> Result<Box<dyn Planner>, SamplingError>;

const PLANNERS: [(&str, Make); 4] = [
    ("mppi", |rollouts| Ok(Box::new(Mppi::new(rollouts, MppiSettings::default())?))),
    ("cem", |rollouts| Ok(Box::new(Cem::new(rollouts, CemSettings::default())?))),
    ("cma", |rollouts| Ok(Box::new(Cma::new(rollouts, CmaSettings::default())?))),
    ("shooting", |rollouts| Ok(Box::new(Shooting::new(rollouts, ShootingSettings::default())?))),
];

/// Swings up within 300 steps; returns the largest |theta| of the last 100.
fn swing_up(planner: &mut dyn Planner, plant: &mut dyn Stages, seed: u64) -> f64 {
    planner.reset(seed);
    let (mut x, mut u, mut next) = (vec![0.0, PI, 0.0, 0.0], [0.0], vec![0.0; 4]);
    let mut worst = 0.0f64;
    for step in 0..300 {
        let plan = planner.plan(&at(step, &x, &u));
        assert_eq!(plan.status, PlanStatus::Improved);
        assert!(plan.input[0].abs() <= 80.0);
        u[0] = plan.input[0];
        plant.step(1, &x, &u, &mut next).expect("a step");
        x.copy_from_slice(&next);
        if step >= 200 {
            worst = worst.max(x[1].abs());
        }
    }
    worst
}

/// One seed here; `cargo bench --bench sampling -- --check` runs twenty.
#[test]
fn planners_swing_the_cart_pole_up_and_hold_it() {
    let subject = cart_pole(30, 80.0);
    let mut plant = shooting::Shooting::new(subject.problem.clone()).expect("sizes fit");
    for (name, make) in PLANNERS {
        let mut planner = make(subject.by_rows(1)).expect("bounded inputs");
        let worst = swing_up(&mut *planner, &mut plant, 1);
        assert!(worst < 0.2, "{name}: {worst}");
    }
}

/// One plan of many generations, from force zero, against the published optimum, which no plan can undercut. The best of
/// three seeds costs 1.4 times as much; to let the pole hang costs nearly nine times as much.
#[test]
fn many_generations_come_to_a_swing_up() {
    let subject = cart_pole(20, 80.0);
    let settings = CmaSettings { iterations: 300, ..CmaSettings::default() };
    let mut planner = Cma::new(subject.by_rows(1), settings).expect("bounded inputs");
    let cost = |seed: u64| {
        planner.reset(seed);
        planner.plan(&at(0, &[0.0, PI, 0.0, 0.0], &[0.0])).cost
    };
    let costs: Vec<f64> = (1..=3).map(cost).collect();
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least > 2242.8281 && least < 1.6 * 2242.8281, "{costs:?}");
}

#[test]
fn plans_repeat_by_their_seed_and_allocate_once() {
    let subject = cart_pole(12, 20.0);
    let x = [0.0, PI, 0.0, 0.1];
    for (name, make) in PLANNERS {
        let mut planner = make(subject.by_rows(1)).expect("bounded inputs");
        let mut plans = |seed: u64| {
            planner.reset(seed);
            let mut inputs: Vec<u64> = Vec::with_capacity(64);
            let mut count = 0;
            for step in 0..3 {
                let before = allocations();
                let plan = planner.plan(&at(step, &x, &[0.0]));
                count = allocations() - before;
                inputs.extend(plan.inputs.iter().map(|u| u.to_bits()));
            }
            (inputs, count)
        };
        let (first, _) = plans(5);
        let (again, count) = plans(5);
        assert!(first == again, "{name}");
        assert_eq!(count, 0, "{name}");
        assert!(plans(6).0 != again, "{name}");
    }
}

#[test]
fn what_cannot_be_sampled_is_named() {
    for (name, make) in PLANNERS {
        let refused = |change: &dyn Fn(&mut RowProblem)| {
            let mut rows = cart_pole(5, 20.0).rows;
            change(&mut rows);
            make(Box::new(RowRollouts::new(rows, 1).expect("sizes fit"))).err()
        };
        let unbounded = refused(&|rows| rows.bounds.u_upper[0] = f64::INFINITY);
        assert_eq!(unbounded, Some(SamplingError::Unbounded(0)), "{name}");
        let crossed = refused(&|rows| rows.bounds.u_upper[0] = -21.0);
        assert_eq!(crossed, Some(SamplingError::Contradictory(0)), "{name}");
        assert_eq!(refused(&|rows| rows.horizon = 0), Some(SamplingError::NoHorizon), "{name}");
        let large = refused(&|rows| rows.horizon = 10_000_000);
        assert!(matches!(large, Some(SamplingError::TooLarge { .. })), "{name}: {large:?}");
    }
    let settings = MppiSettings { smoothing: 1.0, ..MppiSettings::default() };
    let refused = Mppi::new(cart_pole(5, 20.0).by_rows(1), settings).err();
    assert_eq!(refused.map(|e| e.to_string()), Some("`smoothing` is out of its range".to_owned()));
}

/// A state from which every sequence is undefined gives the plan before, and says so.
#[test]
fn a_problem_without_finite_costs_fails_by_name() {
    let subject = glucose(Discretization::Rk4 { n_substeps: 1 });
    for (name, make) in PLANNERS {
        let mut planner = make(subject.by_rows(1)).expect("bounded inputs");
        let plan = planner.plan(&at(0, &[-1e6, 0.0, 7.0], &[0.5]));
        assert_eq!(plan.status, PlanStatus::Failed, "{name}");
        assert_eq!(plan.message, "no input sequence that was drawn has a finite cost");
        assert!(plan.inputs.iter().all(|&u| u == 0.5), "{name}: {:?}", plan.inputs);
        let found = planner.plan(&at(1, &[138.0, 0.0, 7.0], &[0.5]));
        assert_eq!(found.status, PlanStatus::Improved, "{name}");
    }
}

/// The general rollouts serve every planner, scenario trees and all.
#[test]
fn planners_work_on_any_problem_in_discrete_time() {
    let problem = super::problems::problem("cstr_robust_n20").expect("needs no data");
    let x = [0.8, 0.5, 134.14, 130.0];
    let rollouts = StageRollouts::new(Box::new(problem.stages), 1e3);
    let settings = ShootingSettings { samples: 64, ..ShootingSettings::default() };
    let mut planner = Shooting::new(Box::new(rollouts), settings).expect("bounded inputs");
    let first = planner.plan(&at(0, &x, &[0.0, 0.0])).cost;
    let mut last = first;
    for step in 1..6 {
        let plan = planner.plan(&at(step, &x, &[0.0, 0.0]));
        assert_eq!(plan.status, PlanStatus::Improved);
        last = plan.cost;
    }
    assert!(last.is_finite() && last < first, "{first} {last}");
}
