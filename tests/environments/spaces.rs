//! What is observed and what is acted on, each in its range.

use super::{assembled, flat, module, of_file, of_study, of_text};
use twinc::diag::Diagnostics;
use twinc::learn::environments::{Prepared, check};

#[test]
fn ranges_are_the_written_ones_else_those_of_the_quantity() {
    let prepared = of_text(
        "
model M {
  time [s]
  input { u [1] = 0 in -1 .. 3; q [1] = 0 in 0 .. 1 }
  disturbance wind [m/s] = 0 in -20 .. 20
  state { T [degC] = 20 in 0 .. 100; x [m] = 0 }
  T' = (u + q)*1 [K/s]
  x' = wind
  observe probe [degC] = T ~ Normal(sd = 0.2)
}
task A of M {
  step 1 [s]
  episode times 7
  act u in 0 .. 2
  sense T, x, probe, wind, k, x + 1 [m]
  sense T - previous(T) in -5 .. 10
  sense x in -20 [cm] ..
  sense probe in 280 [K] .. 50
  reward -x/1 [m]
}",
    );
    let space = prepared.observation_space();
    assert_eq!(space.names[..5], ["T", "x", "probe", "wind", "k"]);
    let inf = f64::INFINITY;
    let ends: Vec<(f64, f64)> = space.low.iter().copied().zip(space.high.iter().copied()).collect();
    assert_eq!(
        ends[..7],
        [(0.0, 100.0), (-inf, inf), (-inf, inf), (-20.0, 20.0), (0.0, 7.0), (-inf, inf), (-5.0, 10.0)]
    );
    assert_eq!(ends[7], (-0.2, inf));
    assert!((ends[8].0 - 6.85).abs() < 1e-9 && ends[8].1 == 50.0, "{:?}", ends[8]);
    let space = prepared.action_space();
    assert_eq!((space.names[0].as_str(), space.low[0], space.high[0], space.len()), ("u", 0.0, 2.0, 1));
    assert!(!prepared.is_in_rows(), "it measures with an error");
}

#[test]
fn published_boxes_are_those_of_the_examples() {
    let space = of_study("examples/rl_acr/glucose.twin", "Mpc").observation_space().clone();
    assert_eq!((space.low, space.high), (vec![0.0, -20.0, 0.0], vec![1000.0, 20.0, 200.0]));
    let space = of_study("examples/rl_acr/cstr.twin", "Mpc").observation_space().clone();
    assert_eq!((space.low, space.high), (vec![0.1, 0.1, 50.0, 50.0], vec![2.0, 2.0, 200.0, 150.0]));
    let space = of_study("examples/rl_acr/cartpole.twin", "Mpc").observation_space().clone();
    let tilt = 24.0 * std::f64::consts::PI / 360.0;
    for (end, expected) in space.high.iter().zip([4.8, 3.1, tilt, 5.0]) {
        assert!((end - expected).abs() < 1e-15);
    }
    let space = of_file("examples/gym/cartpole.twin").action_space().clone();
    assert_eq!((space.low, space.high), (vec![-10.0], vec![10.0]));
}

#[test]
fn an_action_without_limits_is_refused() {
    let text = "
model M { time [s]; input u [1] = 0 in 0 ..; state x [1] = 0; x' = u/1 [s] }
task A of M { step 1 [s]; episode times 7; reward -x^2 }";
    let task = flat(&module("task.twin", text).tasks[0]);
    let mut diagnostics = Diagnostics::default();
    check(&task, &mut diagnostics);
    let said: Vec<String> = diagnostics.iter().map(|d| format!("{} {}", d.code.0, d.title)).collect();
    assert_eq!(said, ["E0612 a policy acts on `u`, which has no limits"]);
    let why = Prepared::new(assembled(task), Vec::new()).err().expect("refused");
    assert_eq!(why.to_string(), "`u` has no limits on both sides to act between");
}

#[test]
fn a_range_of_a_sense_has_its_unit_and_its_order() {
    let with = |sense: &str| {
        let text = format!(
            "model M {{ time [s]; input u [1] = 0 in 0 .. 1; state x [m] = 0; x' = u*1 [m/s] }}
task A of M {{ step 1 [s]; episode times 7; {sense}; reward -x/1 [m] }}"
        );
        let checked = crate::compile::check_with("task.twin", &text, true, &crate::compile::ProjectLoader);
        checked.diagnostics.iter().map(|d| d.code.0.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(with("sense x in 0 .. 1"), [""; 0]);
    assert_eq!(with("sense x in 0 [s] .. 1"), ["E0301"]);
    assert_eq!(with("sense x in 1 .. 0"), ["E0613"]);
    assert_eq!(with("sense x in 0 .. x"), ["E0407"]);
}
