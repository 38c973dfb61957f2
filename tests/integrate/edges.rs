//! The edges: culprits of what is not finite, times far from zero, bounces too short to see, and bad questions.

use super::{assert_success, run, solve};
use std::f64::consts::TAU;
use twinc::integrate::{
    Direction, Forcing, Integrator, Method, Options, Outcome, Problem, ProblemError, Sample, Signal, Start, Status,
    Tolerance,
};
use twinc::linalg::CscPattern;
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, Trigger};

const ADAPTIVE: [Method; 4] = [Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Auto];
/// Seconds since 1970, where neighbouring numbers are 2.4e-7 apart.
const UNIX: f64 = 1.7e9;

fn with(method: Method) -> Options {
    Options { method, rtol: 1e-8, atol: Tolerance::Scalar(1e-10), ..Options::default() }
}

/// Three states coupled in a ring, so that a linear solve spreads everything everywhere.
fn ring(bad: impl Fn(f64) -> f64 + Send + Sync + 'static) -> ClosureSystem {
    ClosureSystem::new(3, 1, move |at, dx| {
        dx[0] = at.x[2] - at.x[0];
        dx[1] = at.x[0] - at.x[1] + at.p[0];
        dx[2] = at.x[1] - at.x[2] + bad(at.t);
    })
}

fn at_one(method: Method, system: &ClosureSystem, directions: &[Direction]) -> Status {
    let start = Start::Given(&[1.0, 1.0, 1.0]);
    solve(system, with(method), (0.0, 3.0), start, &[0.5], directions, &[]).0.status
}

#[test]
fn a_derivative_that_is_not_finite_is_traced_to_its_state() {
    let system = ring(|t| (1.0 - t).sqrt());
    for method in ADAPTIVE {
        match at_one(method, &system, &[]) {
            Status::NonFinite { t, state: 2 } => assert!((t - 1.0).abs() < 1e-4, "{method:?}: {t}"),
            other => panic!("{method:?}: {other}"),
        }
    }
    let fixed = Options { fixed_step: Some(0.4), ..with(Method::Rk4) };
    let outcome = solve(&system, fixed, (0.0, 3.0), Start::Given(&[1.0; 3]), &[0.5], &[], &[]).0;
    assert!(matches!(outcome.status, Status::NonFinite { state: 2, .. }), "{}", outcome.status);
}

#[test]
fn a_derivative_of_the_field_that_is_not_finite_is_traced_to_its_row() {
    let nan_after_one = |t: f64| if t > 1.0 { f64::NAN } else { 0.0 };
    // In ∂f/∂t of the second row, ...
    let by_time = ring(|_| 0.0).time_derivative(move |at, df| df.copy_from_slice(&[0.0, nan_after_one(at.t), 0.0]));
    // ... in ∂f/∂x, ...
    let entries = [(0, 0), (2, 0), (1, 0), (1, 1), (2, 1), (0, 2), (2, 2)];
    let by_state = ring(|_| 0.0).jacobian(CscPattern::from_entries(3, 3, entries), move |at, values| {
        // Columns: (0, 1, 2), (1, 2), (0, 2).
        values.copy_from_slice(&[-1.0, 1.0, 0.0, -1.0, 1.0 + nan_after_one(at.t), 1.0, -1.0]);
    });
    // ... and in ∂f/∂p.
    let by_param = ring(|_| 0.0).parameter_jacobian(CscPattern::dense(3, 1), move |at, values| {
        values.copy_from_slice(&[0.0, 1.0 + nan_after_one(at.t), 0.0]);
    });
    let by_p = [Direction::parameter(0)];
    let cases: [(&str, Method, &ClosureSystem, &[Direction], usize); 5] = [
        ("by time", Method::Rodas5p, &by_time, &[], 1),
        ("by state", Method::Rodas5p, &by_state, &[], 2),
        ("sensitivity by state", Method::Tsit5, &by_state, &by_p, 2),
        ("sensitivity by parameter", Method::Tsit5, &by_param, &by_p, 1),
        ("sensitivity by parameter", Method::Rodas5p, &by_param, &by_p, 1),
    ];
    for (what, method, system, directions, row) in cases {
        match at_one(method, system, directions) {
            // The derivatives of a Rosenbrock step are those at its start, which may be the first beyond 1.
            Status::NonFinite { t, state } => assert!(state == row && t > 0.999 && t < 1.5, "{what}: {state} at {t}"),
            other => panic!("{what}, {method:?}: {other}"),
        }
    }
}

#[test]
fn a_start_value_that_is_not_finite_is_told_at_once() {
    let system = ring(|_| 0.0);
    for t1 in [0.0, 1.0] {
        let start = Start::Given(&[1.0, f64::INFINITY, 1.0]);
        let outcome = solve(&system, with(Method::Auto), (0.0, t1), start, &[0.5], &[], &[]).0;
        assert_eq!(outcome.status, Status::NonFinite { t: 0.0, state: 1 });
    }
}

/// An oscillator driven by an input, with doses, a threshold that halves a gain, and sensitivities by all of it.
fn far(t0: f64) -> ClosureSystem {
    ClosureSystem::new(3, 3, |at, dx| {
        dx[0] = at.p[0] * at.x[1] + at.u[0] * at.u[0] * at.x[2];
        dx[1] = -at.p[0] * at.x[0] - 0.1 * at.x[1];
        dx[2] = 0.0;
    })
    .forcing(1, 0)
    .autonomous()
    .times(2, move |at, times| times.copy_from_slice(&[t0 + at.p[1], 1.0]))
    .roots(1, |at, g| g[0] = at.x[0] + at.u[0] - at.p[2])
    .event(Event { trigger: Trigger::Every { from_idx: 0, period_idx: 1, until_idx: None }, has_reset: true })
    .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
    .reset(|which, at, x| {
        x.copy_from_slice(at.x);
        if which == [0] {
            x[1] += 0.25
        } else {
            x[2] *= 0.5
        }
        Ok(())
    })
}

fn far_run(t0: f64, options: Options) -> (Outcome, Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let forcing = Forcing {
        inputs: vec![Signal::Linear { times: vec![t0, t0 + 4.0, t0 + 8.0], values: vec![0.0, 1.0, 0.5] }],
        disturbances: Vec::new(),
    };
    // Not by the time of the dose, which this system differentiates as a difference of times.
    let directions = [0, 2].map(Direction::parameter);
    let problem = Problem {
        t0,
        t1: t0 + 8.0,
        start: Start::Given(&[1.0, 0.0, 0.3]),
        p: &[1.3, 0.5, 1.2],
        forcing: &forcing,
        directions: if options.method.is_grid() { &[] } else { &directions },
        resumes: false,
    };
    let samples: Vec<f64> = (0..=32).map(|k| t0 + 0.25 * k as f64).collect();
    run(&far(t0), options, &problem, &samples)
}

#[test]
fn a_run_far_from_time_zero_equals_the_one_from_zero() {
    for method in ADAPTIVE {
        let (near, x_near, s_near) = far_run(0.0, with(method));
        let (away, x_away, s_away) = far_run(UNIX, with(method));
        assert_success(&near);
        assert_success(&away);
        assert_eq!(near.statistics.events, away.statistics.events);
        let work = near.statistics.steps as f64 / away.statistics.steps as f64;
        assert!((0.9..1.1).contains(&work), "{method:?}: {:?} {:?}", near.statistics, away.statistics);
        // A located time is rounded to 2.4e-7, which derivatives of order one turn into as much.
        for (near, away) in x_near.iter().chain(&s_near).flatten().zip(x_away.iter().chain(&s_away).flatten()) {
            assert!((near - away).abs() < 3e-6 * (1.0 + near.abs()), "{method:?}: {near} {away}");
        }
    }
}

#[test]
fn a_grid_far_from_time_zero_is_the_one_from_zero() {
    // Steps of a tenth are not exact there; events at 0.5, 1.5, ... stay on their grid instants all the same.
    for method in [Method::Euler, Method::Rk4, Method::Tsit5] {
        let options = Options { fixed_step: Some(0.1), ..with(method) };
        let (near, x_near, _) = far_run(0.0, options.clone());
        let (away, x_away, _) = far_run(UNIX, options);
        assert_success(&near);
        assert_success(&away);
        if method.is_grid() {
            assert_eq!(near.statistics.steps, away.statistics.steps);
        }
        assert_eq!(near.statistics.events, away.statistics.events);
        for (near, away) in x_near.iter().flatten().zip(x_away.iter().flatten()) {
            assert!((near - away).abs() < 3e-6 * (1.0 + near.abs()), "{method:?}: {near} {away}");
        }
    }
}

#[test]
fn frequent_events_far_from_time_zero_are_no_storm() {
    // sin rises through zero a hundred times a second.
    let system = ClosureSystem::new(1, 0, |_, dx| dx[0] = 0.0)
        .roots(1, |at, g| g[0] = (100.0 * TAU * (at.t - UNIX) - 1.0).sin())
        .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
        .reset(|_, at, x| {
            x[0] = at.x[0] + 1.0;
            Ok(())
        });
    let options = Options { max_step: 1e-3, ..with(Method::Tsit5) };
    let (outcome, x, _) = solve(&system, options, (UNIX, UNIX + 1.0), Start::Model, &[], &[], &[UNIX + 1.0]);
    assert_success(&outcome);
    assert_eq!(x[0][0], 100.0);
}

/// A ball over a floor at height p[2] that may also be swept along: `x = (height, speed)`, p = (gravity, restitution).
fn ball(sets_height: bool) -> ClosureSystem {
    ClosureSystem::new(2, 3, |at, dx| dx.copy_from_slice(&[at.x[1], -at.p[0]]))
        .autonomous()
        .roots(1, |at, g| g[0] = at.p[2] - at.x[0])
        .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
        .reset(move |_, at, x| {
            x[0] = if sets_height { at.p[2] } else { at.x[0] };
            x[1] = -at.p[1] * at.x[1];
            Ok(())
        })
}

#[test]
fn no_ball_falls_through_its_floor() {
    for sets_height in [false, true] {
        let system = ball(sets_height);
        for method in ADAPTIVE {
            for rtol in [1e-3, 1e-6, 1e-10] {
                for restitution in [0.01, 0.1, 0.5, 0.8, 0.95] {
                    for (floor, t0) in [(0.0, 0.0), (0.0, UNIX), (5.0, 0.0), (-1e3, 0.0), (1e-3, 0.0)] {
                        let options =
                            Options { method, rtol, atol: Tolerance::Scalar(rtol * 1e-3), ..Options::default() };
                        let samples: Vec<f64> = (0..=400).map(|k| t0 + 0.1 * k as f64).collect();
                        let p = [9.81, restitution, floor];
                        let start = Start::Given(&[floor + 1.0, 0.0]);
                        let (outcome, x, _) = solve(&system, options, (t0, t0 + 40.0), start, &p, &[], &samples);
                        let case =
                            format!("{method:?} rtol {rtol} e {restitution} floor {floor} t0 {t0} {sets_height}");
                        let end = (2.0 / 9.81_f64).sqrt() * (1.0 + restitution) / (1.0 - restitution);
                        match outcome.status {
                            Status::EventStorm { t, event: 0 } => {
                                assert!((t - t0 - end).abs() < 1e-2 * end, "{case}: storm at {t}, not {end}");
                            }
                            // There one unit in the last place of the height is a fall of 1.5e-7 s, and so bounces
                            // that high have no end; the steps have.
                            Status::StepLimit { .. } if floor == -1e3 => {}
                            other => panic!("{case}: {other}, x = {:?}", x.last()),
                        }
                        for x in &x {
                            assert!(x[0] > floor - 1e-5, "{case}: {x:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_condition_that_stays_true_after_its_event_is_no_storm() {
    // x grows at speed 1, from the threshold 1 on at 0.1; the condition stays true and happens once.
    let grows = ClosureSystem::new(2, 0, |at, dx| dx.copy_from_slice(&[at.x[1], 0.0]))
        .roots(1, |at, g| g[0] = at.x[0] - 1.0)
        .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
        .reset(|_, at, x| {
            x.copy_from_slice(&[at.x[0], 0.1]);
            Ok(())
        });
    // A swing that each rise over 1 lifts to 3, from where it returns to 2 and rises again.
    let lifted = ClosureSystem::new(2, 0, |at, dx| dx.copy_from_slice(&[at.x[1], 3.0 - at.x[0]]))
        .roots(1, |at, g| g[0] = at.x[0] - 1.0)
        .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
        .reset(|_, _, x| {
            x.copy_from_slice(&[3.0, -1.0]);
            Ok(())
        });
    for method in ADAPTIVE {
        let (outcome, x, _) = solve(&grows, with(method), (0.0, 9.0), Start::Given(&[0.0, 1.0]), &[], &[], &[9.0]);
        assert_success(&outcome);
        assert!((x[0][0] - 1.8).abs() < 1e-9 && outcome.statistics.events == 1, "{x:?}");
        let (outcome, x, _) = solve(&lifted, with(method), (0.0, 9.0), Start::Given(&[0.0, 0.0]), &[], &[], &[9.0]);
        assert_success(&outcome);
        assert!(outcome.statistics.events == 1 && (x[0][0] - 3.0).abs() <= 1.001, "{x:?}");
    }
}

#[test]
fn a_span_of_no_length_gives_the_start_values() {
    let system = ring(|_| 0.0)
        .times(1, |_, times| times[0] = 2.0)
        .event(Event { trigger: Trigger::At { time_idx: 0 }, has_reset: true })
        .reset(|_, at, x| {
            x.copy_from_slice(at.x);
            x[0] += 10.0;
            Ok(())
        });
    let start = Start::Given(&[1.0, 2.0, 3.0]);
    for (method, step) in [(Method::Auto, None), (Method::Rodas5p, None), (Method::Euler, Some(0.1))] {
        let options = Options { method, fixed_step: step, ..Options::default() };
        let by_start = [Direction::start_value(1)];
        let (outcome, x, s) = solve(&system, options.clone(), (0.5, 0.5), start, &[0.5], &by_start, &[0.5, 0.5]);
        assert_success(&outcome);
        assert_eq!(x, [[1.0, 2.0, 3.0]; 2]);
        assert_eq!(s[1], [0.0, 1.0, 0.0]);
        assert_eq!(outcome.statistics.steps, 0);
        // What is scheduled there happens.
        let (_, x, _) = solve(&system, options, (2.0, 2.0), start, &[0.5], &[], &[2.0]);
        assert_eq!(x, [[11.0, 2.0, 3.0]]);
    }
}

#[test]
fn tolerances_that_no_step_can_meet_are_refused() {
    let system = ring(|_| 0.0);
    let refused = |rtol: f64, atol: f64| {
        let options = Options { rtol, atol: Tolerance::Scalar(atol), ..Options::default() };
        Integrator::new(&system, options).err().map(|error| error.to_string())
    };
    assert_eq!(refused(1e-6, 0.0), None);
    assert_eq!(refused(0.0, 1e-6), None);
    let both = refused(0.0, 0.0).expect("refused");
    assert_eq!(both, "the absolute tolerance of a state is 0, but must be positive where the relative one is zero");
    let fine = refused(1e-17, 1e-20).expect("refused");
    assert!(
        fine.starts_with("the relative tolerance is 0.00000000000000001, but must be zero or at least 1e-15"),
        "{fine}"
    );
    // An absolute tolerance below the rounding of the state ends where that is noticed.
    for method in ADAPTIVE {
        let options = Options { method, rtol: 0.0, atol: Tolerance::Scalar(1e-30), ..Options::default() };
        let outcome = solve(&system, options, (0.0, 1.0), Start::Given(&[1.0; 3]), &[0.5], &[], &[]).0;
        let is_told = matches!(outcome.status, Status::StepSizeUnderflow { .. } | Status::StepLimit { .. });
        assert!(is_told, "{}", outcome.status);
    }
}

#[test]
fn a_run_of_a_billion_steps_ends_at_the_limit() {
    let system = ring(|t| (1e9 * t).sin());
    for (method, step) in [(Method::Tsit5, None), (Method::Rodas5p, None), (Method::Rk4, Some(1e-9))] {
        let options = Options { method, fixed_step: step, max_steps: 5000, max_step: 1e-9, ..Options::default() };
        let outcome = solve(&system, options, (0.0, 1.0), Start::Given(&[1.0; 3]), &[0.5], &[], &[]).0;
        match outcome.status {
            Status::StepLimit { t, worst_state } => assert!(t > 0.0 && t < 1e-5 && worst_state < 3),
            other => panic!("{method:?}: {other}"),
        }
    }
}

#[test]
fn times_that_run_backward_are_refused() {
    let system = ring(|_| 0.0);
    let forcing = Forcing::default();
    let start = Start::Given(&[1.0; 3]);
    let problem = Problem { t0: 1.0, t1: 0.0, start, p: &[0.5], forcing: &forcing, directions: &[], resumes: false };
    let mut integrator = Integrator::new(&system, Options::default()).expect("valid options");
    let error = integrator.solve(&problem, &[], &mut |_: Sample<'_>| {}).expect_err("backward");
    assert!(matches!(error, ProblemError::Range { .. }));
    assert_eq!(error.to_string(), "the end time is 0, but must be finite and not before the start");
}
