//! PID controllers against closed forms, and what their guards are for.

use twinc::control::pid::tuning::{StepError, StepModel};
use twinc::control::pid::{Pid, PidError, PidLoop, PidPlanner, PidSettings};
use twinc::decide::{PlanStatus, Planner, Situation};

fn pid(settings: PidSettings) -> Pid {
    Pid::new(settings).expect("settings in their ranges")
}

#[test]
fn each_part_has_its_closed_form() {
    let base = PidSettings::default();
    let mut proportional = pid(PidSettings { gain: 3.0, setpoint_weight: 0.5, ..base });
    assert_eq!(proportional.update(2.0, 0.25, 9.0, 0.1), 3.0 * (0.5 * 2.0 - 0.25));

    // A constant error e: gain e (1 + k h / integral).
    let mut integral = pid(PidSettings { gain: 2.0, integral: 4.0, ..base });
    integral.update(1.0, 0.5, 2.0 * 0.5, 0.1);
    for k in 1..50 {
        let exact = 2.0 * 0.5 * (1.0 + f64::from(k) * 0.1 / 4.0);
        assert!((integral.update(1.0, 0.5, 0.0, 0.1) - exact).abs() < 1e-14);
    }

    // A ramp of slope s: the filtered derivative tends to gain derivative s by a geometric series.
    let mut derivative = pid(PidSettings { gain: 2.0, derivative: 0.5, filter: 8.0, setpoint_weight: 0.0, ..base });
    let (h, slope) = (0.02, 3.0);
    let keep: f64 = 0.5 / (0.5 + 8.0 * h);
    for k in 0..60 {
        let y = slope * h * f64::from(k);
        let d = derivative.update(0.0, y, 0.0, h) + 2.0 * y;
        let exact = -2.0 * 0.5 * slope * (1.0 - keep.powi(k));
        assert!((d - exact).abs() < 1e-12, "{k}: {d} {exact}");
    }
}

#[test]
fn the_first_input_is_the_one_before() {
    let settings =
        PidSettings { gain: -7.0, integral: 2.0, derivative: 1.0, lower: 0.0, upper: 10.0, ..PidSettings::default() };
    let mut controller = pid(settings);
    assert!((controller.update(50.0, 20.0, 4.0, 0.1) - 4.0).abs() < 1e-12);
    controller.reset();
    assert!((controller.update(-3.0, 1.0, 9.5, 0.1) - 9.5).abs() < 1e-12);
}

/// A PI controller whose zero cancels the lag leaves `k gain/(integral s)` in the loop: the response to a new setpoint is
/// `1 − e^(−t/T)` with `T = integral/(k gain)`.
#[test]
fn a_cancelled_lag_answers_as_a_lag_of_the_wanted_time() {
    let (k, lag, h) = (2.0, 5.0, 1e-4);
    let plant = StepModel { gain: k, lag, second_lag: 0.0, delay: 0.0 };
    let settings = plant.simc(Some(1.5)).expect("a wanted time");
    assert_eq!((settings.gain, settings.integral), (lag / (k * 1.5), 5.0));
    let mut controller = pid(settings);
    let (mut y, mut u) = (0.0, 0.0);
    // At rest first, so that the start without a bump is over.
    controller.update(0.0, y, u, h);
    for step in 0..60_000 {
        let exact = 1.0 - (-f64::from(step) * h / 1.5).exp();
        assert!((y - exact).abs() < 2e-4, "{step}: {y} {exact}");
        u = controller.update(1.0, y, u, h);
        let rest = k * u;
        y = rest + (y - rest) * (-h / lag).exp();
    }
}

/// The largest value of an integrator `y' = u` whose setpoint steps from 0 to 10 while the input is limited to ±1.
fn overshoot(tracking: f64) -> f64 {
    let limits = PidSettings { lower: -1.0, upper: 1.0, ..PidSettings::default() };
    let mut controller = pid(PidSettings { gain: 2.0, integral: 2.0, tracking, ..limits });
    let (mut y, mut u, mut largest) = (0.0, 0.0, 0.0f64);
    controller.update(0.0, 0.0, 0.0, 0.01);
    for _ in 0..6000 {
        u = controller.update(10.0, y, u, 0.01);
        assert!((-1.0..=1.0).contains(&u));
        y += 0.01 * u;
        largest = largest.max(y);
    }
    assert!((y - 10.0).abs() < 1.0);
    largest - 10.0
}

#[test]
fn the_integral_does_not_wind_up() {
    let (guarded, wound) = (overshoot(0.0), overshoot(f64::INFINITY));
    assert!(guarded < 0.5, "{guarded}");
    assert!(wound > 5.0, "{wound}");
    // A tracking time below the step does not make it oscillate.
    assert!(overshoot(1e-6) < 0.5);
}

#[test]
fn a_plant_is_read_off_its_step_response() {
    let exact = StepModel { gain: -1.6, lag: 12.0, second_lag: 0.0, delay: 3.0 };
    let times: Vec<f64> = (0..4000).map(|k| 0.05 * f64::from(k)).collect();
    let response = |t: &f64| 7.0 + exact.gain * 0.5 * if *t > 3.0 { 1.0 - (-(t - 3.0) / 12.0).exp() } else { 0.0 };
    let measured: Vec<f64> = times.iter().map(response).collect();
    let fitted = StepModel::fit(&times, &measured, 0.5).expect("a step response");
    assert!((fitted.gain / exact.gain - 1.0).abs() < 1e-6, "{fitted:?}");
    assert!((fitted.lag - 12.0).abs() < 1e-3 && (fitted.delay - 3.0).abs() < 1e-3, "{fitted:?}");

    assert_eq!(StepModel::fit(&times[..2], &measured[..2], 0.5), Err(StepError::Samples));
    assert_eq!(StepModel::fit(&times, &vec![7.0; 4000], 0.5), Err(StepError::NoChange));
    assert_eq!(StepModel::fit(&times, &measured, 0.0), Err(StepError::NoChange));
}

/// Skogestad 2003, table 1: gain 1, lag 10, delay 1 gives 5 and 8; with a second lag of 2, PID in the series form.
#[test]
fn the_rule_gives_its_published_settings() {
    let first = StepModel { gain: 1.0, lag: 10.0, second_lag: 0.0, delay: 1.0 };
    let settings = first.simc(None).expect("a delay");
    assert_eq!((settings.gain, settings.integral, settings.derivative), (5.0, 8.0, 0.0));
    let second = StepModel { second_lag: 2.0, ..first };
    let settings = second.simc(None).expect("a delay");
    assert_eq!((settings.gain, settings.integral, settings.derivative), (6.25, 10.0, 1.6));
    assert_eq!(StepModel { delay: 0.0, ..first }.simc(None), Err(StepError::NoDelay));
}

#[test]
fn loops_side_by_side_are_a_planner() {
    let one = |state, input, setpoints: &[f64]| PidLoop {
        state,
        input,
        pid: pid(PidSettings { gain: 2.0, ..PidSettings::default() }),
        setpoints: setpoints.to_vec(),
    };
    let mut planner = PidPlanner::new(vec![one(1, 0, &[1.0, 3.0])], 2, 2, 0.1).expect("sizes fit");
    let mut plan = |step: usize, state: &[f64]| {
        let plan = planner.plan(&Situation { step, time: 0.0, state, previous: &[0.5, 0.25], forecast: &[] });
        (plan.input.to_vec(), plan.status)
    };
    assert_eq!(plan(0, &[9.0, 0.5]), (vec![1.0, 0.25], PlanStatus::Improved));
    assert_eq!(plan(1, &[9.0, 0.5]), (vec![5.0, 0.25], PlanStatus::Improved));
    assert_eq!(plan(7, &[9.0, 0.5]), (vec![5.0, 0.25], PlanStatus::Improved));
    assert_eq!(plan(8, &[9.0, f64::NAN]), (vec![0.5, 0.25], PlanStatus::Failed));

    assert_eq!(PidPlanner::new(vec![one(2, 0, &[1.0])], 2, 2, 0.1).err(), Some(PidError::Loop(0)));
    assert_eq!(PidPlanner::new(vec![one(0, 0, &[])], 2, 2, 0.1).err(), Some(PidError::Loop(0)));
    let wrong = PidSettings { lower: 2.0, upper: 1.0, ..PidSettings::default() };
    assert_eq!(Pid::new(wrong).err(), Some(PidError::Contradictory));
    let wrong = PidSettings { integral: 0.0, ..PidSettings::default() };
    assert_eq!(Pid::new(wrong).err(), Some(PidError::Setting("integral")));
}
