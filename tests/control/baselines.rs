//! `lqr` and `pid` as a study names them: gains against closed forms, loops that end where the task says, refusals.

use nalgebra::dmatrix;
use twinc::control::assemble::Assembly;
use twinc::control::lqr::{LinearQuadratic, discrete};
use twinc::control::planners::{self, PlannerError, PlannerKind};
use twinc::control::plant::Plant;
use twinc::decide::{Planner, Situation};
use twinc::diag::Diagnostics;
use twinc::flat::flatten_task;
use twinc::hir;
use twinc::jit::{Needs, Options};
use twinc::random::stream;
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _from: &str, path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new(format!("`{path}` is not there")))
    }
}

/// The only study of a text, compiled for what it believes, with its first algorithm.
pub fn compile(text: &str) -> (Assembly, hir::task::Control) {
    let (mut sources, mut diagnostics) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("m.twin", text));
    let module = hir::load(&mut sources, root, None, &NoFiles, true, &mut diagnostics);
    let control = module.studies.into_iter().next().and_then(|study| study.control).expect("a study of a task");
    let task = flatten_task(&control.task_for(&control.algorithms[0]), &mut diagnostics).expect("a task");
    assert!(!diagnostics.has_errors(), "{diagnostics:?}");
    let assembly = Assembly::new(task, &Options::default()).expect("machine code");
    assembly.kernels().prepare(Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES).expect("machine code");
    (assembly, control)
}

fn planner(text: &str) -> Result<(Assembly, Box<dyn Planner>), PlannerError> {
    let (assembly, control) = compile(text);
    let algorithm = &control.algorithms[0];
    let kind = PlannerKind::find(algorithm.name()).expect("a planner");
    let planner = planners::make(kind, &assembly, &algorithm.settings, 1)?;
    Ok((assembly, planner))
}

fn refusal(text: &str) -> String {
    planner(text).err().expect("no planner").to_string()
}

/// States of the closed loop, the plant being what is believed.
fn run(assembly: &Assembly, planner: &mut dyn Planner, n: usize) -> Vec<Vec<f64>> {
    let functions = assembly.plant_functions().expect("machine code");
    let mut plant = Plant::new(assembly.task(), assembly.kernels(), &functions, Vec::new()).expect("a step");
    plant.begin(&mut stream(1, 0));
    planner.reset(1);
    let mut states = vec![plant.state().to_vec()];
    for step in 0..n {
        let state = plant.state().to_vec();
        let previous = plant.input().to_vec();
        let now = Situation { step, time: plant.time(), state: &state, previous: &previous, forecast: &[] };
        let input = planner.plan(&now).input.to_vec();
        plant.act(&input);
        states.push(plant.state().to_vec());
    }
    states
}

const CART: &str = "model Cart {
  time [s]
  input F [N] = 0 in -10 .. 10
  param m [kg] = 2
  state { pos [m] = 1; v [m/s] = 0 }
  pos' = v
  v' = F/m
}
task Center of Cart {
  step 0.1 [s] via rk4
  episode 10 [s]
  track pos to 0.5 [m]
  cost v*v*0.5
  cost F^2 weight 0.01
}
study Loop of Center { algorithm lqr }
";

/// The double integrator in closed form, held for 0.1 s: the same input for any state.
#[test]
fn the_regulator_of_a_study_is_that_of_the_matrices() {
    let (_, mut planner) = planner(CART).expect("a regulator");
    let linear = LinearQuadratic::new(
        dmatrix![1.0, 0.1; 0.0, 1.0],
        dmatrix![0.0025; 0.05],
        dmatrix![2.0, 0.0; 0.0, 1.0],
        dmatrix![0.02],
    );
    let gain = discrete(&linear).expect("a regulator").gain;
    for state in [[0.5, 0.0], [0.6, 0.1], [0.3, -0.4], [50.0, 0.0]] {
        let now = Situation { step: 0, time: 0.0, state: &state, previous: &[0.0], forecast: &[] };
        let expected = -(gain[(0, 0)] * (state[0] - 0.5) + gain[(0, 1)] * state[1]);
        let plan = planner.plan(&now);
        assert!((plan.input[0] - expected.clamp(-10.0, 10.0)).abs() < 1e-8, "{} {expected}", plan.input[0]);
    }
}

/// A pendulum that starts hanging rests upright, since that is what costs least; near it the loop goes there.
#[test]
fn the_point_of_rest_is_the_best_of_several() {
    let text = "model Pendulum {
      time [s]
      input T [N*m] = 0 in -50 .. 50
      state { th [rad] = 180 [deg]; w [rad/s] = 0 }
      th' = w
      w' = 9.81 [1/s^2]*sin(th) + T/1 [kg*m^2]
    }
    task Up of Pendulum {
      step 0.05 [s] via rk4
      episode 5 [s]
      cost th^2
      cost T^2 weight 1e-3
    }
    study Loop of Up { algorithm lqr; start th = 0.5 }";
    let (assembly, mut up) = planner(text).expect("a regulator");
    let states = run(&assembly, up.as_mut(), 100);
    assert!(states[100].iter().all(|x| x.abs() < 1e-6), "{:?}", states[100]);
    // From hanging still the best rest is upright: what it asks for is far from zero.
    let (_, mut hanging) = planner(&text.replace("; start th = 0.5", "")).expect("a regulator");
    let now = Situation { step: 0, time: 0.0, state: &[3.0, 0.0], previous: &[0.0], forecast: &[] };
    assert!(hanging.plan(&now).input[0] < -20.0);
}

/// What leaves inputs free, or is never still, is refused with what to do about it.
#[test]
fn says_why_there_is_no_regulator() {
    let moving = CART.replace("v' = F/m", "v' = F/m + 1 [m/s^2]*sin(time/1 [s])");
    assert_eq!(refusal(&moving), "it holds one point, and `v` changes with time; use `sqp` or `rti`");
    let falling = CART.replace("v' = F/m", "v' = F/m - 9.81 [m/s^2]");
    assert!(refusal(&falling).contains("no point was found where `Cart` rests"), "{}", refusal(&falling));
    let free = CART.replace("  cost F^2 weight 0.01\n", "").replace("algorithm lqr", "algorithm lqr { effort = 0 }");
    assert!(refusal(&free).contains("leaves inputs free"), "{}", refusal(&free));
    // Unset, a small price settles it.
    let (assembly, mut settled) = planner(&CART.replace("  cost F^2 weight 0.01\n", "")).expect("a regulator");
    let states = run(&assembly, settled.as_mut(), 100);
    assert!((states[100][0] - 0.5).abs() < 1e-4, "{:?}", states[100]);
    let unreached = "model M {
      time [s]
      input u [1] = 0 in -1 .. 1
      state { x [1] = 0; y [1] = 0 }
      x' = -x/1 [s] + u/1 [s]
      y' = 0.2*y/1 [s]
    }
    task T of M { step 0.1 [s] via rk4; episode 1 [s]; cost x^2 + y^2; cost u^2 }
    study S of T { algorithm lqr }";
    assert!(refusal(unreached).contains("no input reaches a mode"), "{}", refusal(unreached));
    assert!(refusal(unreached).ends_with("mostly in `y`"), "{}", refusal(unreached));
}

const LAG: &str = "model Lag {
  time [s]
  input u [1] = 0 in 0 .. 2
  state { y [1] = 0 }
  y' = (3*u - y)/4 [s]
}
task Follow of Lag {
  step 0.2 [s] via rk4 times 4
  episode 60 [s]
  track y to 1.5 + 0.5*k/300
}
study Loop of Follow { algorithm pid { kp = 0.8; ki = 0.4 } }
";

/// With the stated gains the loop is the one written out by hand, limits and anti-windup included.
#[test]
fn a_loop_with_gains_is_the_textbooks() {
    let (assembly, mut pid) = planner(LAG).expect("a controller");
    let (mut integral, mut y) = (None, 0.0);
    let mut before = 0.0;
    let index = assembly.task().index.expect("`k` is named") as usize;
    for step in 0..300 {
        let mut d = vec![0.0; assembly.task().model.disturbances.len()];
        d[index] = step as f64;
        let now = Situation { step, time: 0.2 * step as f64, state: &[y], previous: &[before], forecast: &d };
        let u = pid.plan(&now).input[0];
        let e = 1.5 + 0.5 * step as f64 / 300.0 - y;
        let i = *integral.get_or_insert(before - 0.8 * e);
        let wanted: f64 = 0.8 * e + i;
        let held = wanted.clamp(0.0, 2.0);
        assert!((u - held).abs() < 1e-12, "{step}: {u} {held}");
        integral = Some(i + 0.2 * 0.4 * e + (0.2 / 2.0) * (held - wanted));
        y = 3.0 * u + (y - 3.0 * u) * (-0.2_f64 / 4.0).exp();
        before = u;
    }
    assert!((y - 2.0).abs() < 0.05, "{y}");
}

/// Without gains they are SIMC's for the gain 3, the lag 4 and the delay of half a step: 4/(3·0.2) and an integral time of
/// 8 · 0.1.
#[test]
fn gains_that_are_not_written_are_those_of_simc() {
    let text = LAG.replace("1.5 + 0.5*k/300", "1.5").replace(" { kp = 0.8; ki = 0.4 }", "");
    let (_, mut pid) = planner(&text).expect("a controller");
    // At rest where it is to be, and then one step off: the first call is without a bump, the second shows the gain.
    let at = |step, y, previous: f64| (step, [y], [previous]);
    let (step, y, u) = at(0, 1.5, 0.5);
    let ask = |pid: &mut dyn Planner, (step, y, u): (usize, [f64; 1], [f64; 1])| {
        pid.plan(&Situation { step, time: 0.0, state: &y, previous: &u, forecast: &[] }).input[0]
    };
    let first = ask(pid.as_mut(), (step, y, u));
    assert!((first - 0.5).abs() < 1e-12);
    let second = ask(pid.as_mut(), at(1, 1.5 + 0.01, 0.5));
    let gain = (first - second) / 0.01;
    assert!((gain / (4.0 / (3.0 * 0.2)) - 1.0).abs() < 0.03, "{gain}");
    let third = ask(pid.as_mut(), at(2, 1.5 + 0.01, 0.5));
    let integral = gain * 0.2 * 0.01 / (second - third);
    assert!((integral / 0.8 - 1.0).abs() < 0.03, "{integral}");
    let (assembly, mut pid) = planner(&text).expect("a controller");
    let states = run(&assembly, pid.as_mut(), 300);
    assert!((states[300][0] - 1.5).abs() < 1e-6, "{:?}", states[300]);
}

#[test]
fn says_why_there_is_no_pid() {
    let twice = LAG.replace("  track y", "  track y to 1\n  track y");
    assert!(refusal(&twice).contains("there is no input left"), "{}", refusal(&twice));
    let wrong = LAG.replace("{ kp = 0.8", "{ inputs = v; kp = 0.8");
    assert!(refusal(&wrong).contains("`v` is no input"), "{}", refusal(&wrong));
    let sign = LAG.replace("ki = 0.4", "ki = -0.4");
    assert!(refusal(&sign).contains("have its sign"), "{}", refusal(&sign));
    let integrating = LAG.replace("(3*u - y)/4 [s]", "(3*u - 1)/4 [s]").replace(" { kp = 0.8; ki = 0.4 }", "");
    let integrating = integrating.replace("1.5 + 0.5*k/300", "1.5");
    assert!(refusal(&integrating).contains("does not come to rest"), "{}", refusal(&integrating));
}
