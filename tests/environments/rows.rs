//! Copies in rows make the steps of plants of their own.

use super::{NOTHING, Run, of_file, of_study, of_text};
use twinc::decide::Environments;
use twinc::learn::environments::Prepared;
use twinc::learn::environments::plants::Plants;
use twinc::random::stream;

/// Everything that a task can ask of a fixed step: a reward of its own or the cost, memory, the index, what is held, moves,
/// both kinds of endings, another method with substeps, drawn starts.
const WHOLE: &str = "
model M {
  time [s]
  input { u [1] = 0.5 in -1 .. 1; q [1] = 0 in -2 .. 2 }
  disturbance wind [1] = 0.25
  param { k1 [1/s] = 0.7 in 0.1 .. 2; k2 [1/s] = 0.2 }
  state { x [1] = 1; y [1] = 0.3 }
  let swell [1/s] = exp(-0.1 [1/s]*time)/1 [s]
  x' = k1*(u - x*y) + swell - wind*k2
  y' = k2*(x - sin(y)) + q/2 [s]
}
task T of M {
  step 0.1 [s] via METHOD
  episode times 40
  start x ~ Uniform(0.5, 1.5)
  start u = 0.1
  hold swell
  cost x^2 weight 2
  cost (y - u)^2
  move u weight 3 scale 2
  move q weight 0.5
  sense x, previous(x), y - previous(y, 0.1), k, swell, u
  REWARD
  fail when x > 2.5 penalty 100
  fail when x < -1 or y > 2.2 penalty 10
  done when y < -2
}
study S of T { randomize k1 ~ Uniform(0.5, 0.9); randomize k2 in 0.1 .. 0.3 }
";

fn whole(method: &str, reward: &str) -> Prepared {
    of_text(&WHOLE.replace("METHOD", method).replace("REWARD", reward))
}

/// The largest relative distance of observations and rewards between rows and plants of their own; flags are the same.
fn distance(prepared: &Prepared, n_copies: usize, n_steps: usize) -> f64 {
    assert!(prepared.is_in_rows());
    let mut rows = prepared.environments(n_copies).expect("rows");
    let mut plants = Plants::new(prepared, n_copies).expect("plants");
    let (mut one, mut other) = (Run::new(&mut *rows), Run::new(&mut plants));
    let mut worst = 0.0_f64;
    let mut n_failed = 0;
    for step in 0..n_steps {
        one.step();
        other.step();
        let mut meet = |a: f64, b: f64| worst = worst.max((a - b).abs() / a.abs().max(b.abs()).max(1.0));
        one.observations.iter().zip(&other.observations).for_each(|(a, b)| meet(*a, *b));
        for (copy, (a, b)) in one.steps.iter().zip(&other.steps).enumerate() {
            meet(a.reward, b.reward);
            let flags = |s: &twinc::decide::Step| (s.terminated, s.truncated, s.failed);
            assert_eq!(flags(a), flags(b), "copy {copy} at step {step}");
            assert_eq!(one.environments.reason(copy), other.environments.reason(copy));
            n_failed += usize::from(a.failed);
        }
        assert_eq!(one.n_episodes, other.n_episodes);
    }
    assert!(one.n_episodes.iter().all(|n| *n > 1), "{:?}", one.n_episodes);
    println!("{}: {worst:.1e}, {n_failed} failures", prepared.task().name);
    worst
}

#[test]
fn rows_of_everything_are_steps_of_plants() {
    for method in ["euler", "rk4", "rk4 times 3", "euler times 2"] {
        for reward in ["", "reward -x^2 - abs(u - previous(u))*k - (if q > 1 then 0.5 else 0)"] {
            let worst = distance(&whole(method, reward), 70, 120);
            assert!(worst < 1e-12, "{method} {reward}: {worst:e}");
        }
    }
}

#[test]
fn rows_of_shipped_tasks_are_steps_of_plants() {
    assert!(distance(&of_file("examples/gym/cartpole.twin"), 65, 300) < 1e-11);
    assert!(distance(&of_file("examples/gym/pendulum.twin"), 3, 401) < 1e-9);
    assert!(distance(&of_study("examples/rl_acr/cartpole.twin", "Mpc"), 130, 300) < 1e-11);
}

#[test]
fn parameters_are_drawn_for_each_episode_of_each_copy() {
    let text = WHOLE.replace("METHOD", "rk4").replace("REWARD", "");
    let control = super::module("task.twin", &text).studies.remove(0).control.expect("a study of a task");
    let prepared = Prepared::of_study(&control, super::assembled(super::flat(&control.plant))).expect("an environment");
    assert!(distance(&prepared, 66, 120) < 1e-12);
}

#[test]
fn a_copy_does_not_depend_on_the_others() {
    let prepared = whole("rk4", "");
    let mut many = prepared.environments(70).expect("rows");
    let mut few = prepared.environments(1).expect("rows");
    let (mut many, mut few) = (Run::new(&mut *many), Run::new(&mut *few));
    for _ in 0..100 {
        many.step();
        few.step();
        let n = few.observations.len();
        assert_eq!(few.observations[..], many.observations[..n]);
        assert_eq!(few.steps[0], many.steps[0]);
    }
}

#[test]
fn an_ended_copy_waits_for_its_reset() {
    let prepared = of_file("examples/gym/cartpole.twin");
    let mut environments = prepared.environments(3).expect("rows");
    let (mut observations, mut steps) = ([7.0; 12], [NOTHING; 3]);
    environments.reset(1, &mut stream(0, 0), &mut observations[4..8]).expect("a start");
    let mut n = 0;
    while !steps[1].terminated {
        environments.step(&[10.0; 3], &mut observations, &mut steps);
        n += 1;
        assert!(n < 30, "pushed to one side, a pole falls");
    }
    assert_eq!((observations[..4].to_vec(), steps[0]), (vec![7.0; 4], NOTHING), "never reset");
    assert_eq!((steps[1].reward, steps[1].failed), (1.0, true));
    assert_eq!(environments.reason(1), "abs(x) > 2.4 [m] or abs(th) > 12 [deg]");
    let last = (observations, steps);
    environments.step(&[-10.0; 3], &mut observations, &mut steps);
    assert_eq!((observations, steps), last);
    environments.reset(1, &mut stream(0, 1), &mut observations[4..8]).expect("a start");
    assert_eq!(environments.reason(1), "");
    assert!(environments.reset(3, &mut stream(0, 1), &mut observations[4..8]).is_err());
}

const RUNAWAY: &str = "
model M { time [s]; input u [1] = 0 in -1 .. 1; state x [1] = 1; x' = (u + 1e160*x^3)/1 [s] }
task T of M { step 1 [s] via euler; episode times 10; sense x, k; reward -x^2 }
";

#[test]
fn a_state_without_value_is_a_failure_with_its_reason() {
    let prepared = of_text(RUNAWAY);
    let mut plants = Plants::new(&prepared, 1).expect("plants");
    let mut rows = prepared.environments(1).expect("rows");
    for environments in [&mut plants as &mut dyn Environments, &mut *rows] {
        let (mut observation, mut steps) = ([0.0; 2], [NOTHING]);
        environments.reset(0, &mut stream(0, 0), &mut observation).expect("a start");
        environments.step(&[0.0], &mut observation, &mut steps);
        assert_eq!((observation, steps[0].failed), ([1e160, 1.0], false));
        environments.step(&[0.0], &mut observation, &mut steps);
        assert!(steps[0].failed && steps[0].terminated && steps[0].reward == f64::NEG_INFINITY, "{steps:?}");
        assert_eq!(observation, [1e160, 1.0], "it stands where it stood");
        assert!(!environments.reason(0).is_empty());
    }
}

#[test]
fn an_episode_without_a_start_says_so() {
    let text = "
model M { time [s]; input u [1] = 0 in -1 .. 1; param a [1] = -1; state { x [1] = 0; y [1] = ln(a) }; x' = u/1 [s]; y' = -y/1 [s] }
task T of M { step 1 [s] via METHOD; episode times 10; reward -x^2 }
";
    for method in ["euler", "tsit5"] {
        let prepared = of_text(&text.replace("METHOD", method));
        let mut environments = prepared.environments(2).expect("copies");
        let why = environments.reset(1, &mut stream(0, 0), &mut [0.0; 2]);
        assert_eq!(why, Err("`y` starts at NaN".to_string()), "{method}");
    }
}
