//! Events against closed forms: scheduled and root-found, simultaneous, repeated, and on fixed grids.

use super::{assert_success, run, solve};
use std::sync::{Arc, Mutex};
use twinc::integrate::{
    Direction, Forcing, Integrator, Method, Observer, Options, Problem, Sample, Signal, Start, Status, Tolerance,
};
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, Trigger};

const ADAPTIVE: [Method; 5] = [Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Bdf, Method::Auto];

/// What may be missing where the one-step methods come as close as `exact`: a multistep formula solves its equations
/// to a share of the tolerance, 1e-10 here, and keeps less of it per step.
fn room(method: Method, exact: f64) -> f64 {
    match method {
        Method::Bdf => exact.max(2e-9),
        Method::Auto | Method::Tsit5 | Method::Dop853 | Method::Rodas5p | Method::Euler | Method::Rk4 => exact,
        Method::ImplicitEuler | Method::Radau3 | Method::Radau5 => exact,
    }
}

fn tight(method: Method) -> Options {
    Options { method, rtol: 1e-10, atol: Tolerance::Scalar(1e-12), ..Options::default() }
}

fn reset_at(time_idx: usize) -> Event {
    Event { trigger: Trigger::At { time_idx }, has_reset: true }
}

fn when(root_idx: usize) -> Event {
    Event { trigger: Trigger::Rising { root_idx }, has_reset: true }
}

fn branch(root_idx: usize) -> Event {
    Event { trigger: Trigger::Crossing { root_idx }, has_reset: false }
}

fn assert_close(value: f64, truth: f64, tolerance: f64, what: &str) {
    assert!((value - truth).abs() <= tolerance * (1.0 + truth.abs()), "{what}: {value} against {truth}");
}

/// Counts events with their times.
#[derive(Default)]
struct Log {
    events: Vec<(f64, Vec<usize>)>,
    states: Vec<Vec<f64>>,
}

impl Observer for Log {
    fn sample(&mut self, sample: Sample<'_>) {
        self.states.push(sample.at.x.to_vec());
    }

    fn event(&mut self, t: f64, which: &[usize]) {
        self.events.push((t, which.to_vec()));
    }
}

fn logged(
    system: &ClosureSystem,
    options: Options,
    t1: f64,
    x0: &[f64],
    p: &[f64],
    samples: &[f64],
) -> (Status, Log, twinc::integrate::Statistics) {
    let forcing = Forcing::default();
    let problem =
        Problem { t0: 0.0, t1, start: Start::Given(x0), p, forcing: &forcing, directions: &[], resumes: false };
    let mut log = Log::default();
    let mut integrator = Integrator::new(system, options).expect("valid options");
    let outcome = integrator.solve(&problem, samples, &mut log).expect("valid problem");
    (outcome.status, log, outcome.statistics)
}

/// A ball of height x[0] and speed x[1]; p = (gravity, restitution).
fn ball() -> ClosureSystem {
    ClosureSystem::new(2, 2, |at, dx| {
        dx[0] = at.x[1];
        dx[1] = -at.p[0];
    })
    .autonomous()
    .roots(1, |at, g| g[0] = -at.x[0])
    .event(when(0))
    .reset(|_, at, x| {
        x[0] = at.x[0];
        x[1] = -at.p[1] * at.x[1];
        Ok(())
    })
}

/// Height and speed at `t` of a ball dropped from `h0`, and the number of bounces.
fn ball_exact(h0: f64, gravity: f64, restitution: f64, t: f64) -> (f64, f64, u64) {
    let mut hit = (2.0 * h0 / gravity).sqrt();
    if t < hit {
        return (h0 - 0.5 * gravity * t * t, -gravity * t, 0);
    }
    let mut speed = gravity * hit * restitution;
    let mut bounces = 1;
    while t >= hit + 2.0 * speed / gravity {
        hit += 2.0 * speed / gravity;
        speed *= restitution;
        bounces += 1;
    }
    let s = t - hit;
    (speed * s - 0.5 * gravity * s * s, speed - gravity * s, bounces)
}

#[test]
fn a_bouncing_ball_follows_its_closed_form() {
    let samples: Vec<f64> = (0..=300).map(|k| 0.01 * k as f64 + 0.001).collect();
    for method in ADAPTIVE {
        let (status, log, statistics) = logged(&ball(), tight(method), 3.1, &[1.0, 0.0], &[9.81, 0.8], &samples);
        assert!(status.is_success(), "{status}");
        for (t, x) in samples.iter().zip(&log.states) {
            let (height, speed, _) = ball_exact(1.0, 9.81, 0.8, *t);
            assert_close(x[0], height, room(method, 1e-9), "height");
            assert_close(x[1], speed, room(method, 1e-9), "speed");
        }
        assert_eq!(statistics.events, ball_exact(1.0, 9.81, 0.8, 3.1).2, "{method:?}");
    }
}

#[test]
fn bounces_without_end_are_a_storm_and_not_a_fall_through_the_floor() {
    for restitution in [0.3, 0.5, 0.8] {
        let (status, log, _) = logged(&ball(), tight(Method::Tsit5), 20.0, &[1.0, 0.0], &[9.81, restitution], &[]);
        let end = (2.0 / 9.81_f64).sqrt() * (1.0 + restitution) / (1.0 - restitution);
        match status {
            Status::EventStorm { t, event } => {
                assert_eq!(event, 0);
                assert_close(t, end, 1e-8, "the limit of the bounces");
            }
            other => panic!("restitution {restitution}: {other}, last {:?}", log.events.last()),
        }
    }
}

/// x' = -k x with a dose at lag + i tau, up to and including the last; p = (k, dose, tau, lag, until).
fn doses() -> ClosureSystem {
    ClosureSystem::new(1, 5, |at, dx| dx[0] = -at.p[0] * at.x[0])
        .autonomous()
        .times(3, |at, times| times.copy_from_slice(&[at.p[3], at.p[2], at.p[4]]))
        .event(Event { trigger: Trigger::Every { from_idx: 0, period_idx: 1, until_idx: Some(2) }, has_reset: true })
        .reset(|_, at, x| {
            x[0] = at.x[0] + at.p[1];
            Ok(())
        })
}

#[test]
fn doses_and_their_sensitivities_superpose() {
    let p = [0.3, 2.0, 1.5, 0.4, 7.0];
    let samples = [0.2, 0.4, 1.0, 1.9, 3.0, 6.4, 7.0, 9.0];
    let directions: Vec<Direction> = (0..4).map(Direction::parameter).collect();
    for method in ADAPTIVE {
        let (outcome, x, s) = solve(&doses(), tight(method), (0.0, 10.0), Start::Model, &p, &directions, &samples);
        assert_success(&outcome);
        for (k, &t) in samples.iter().enumerate() {
            let (mut value, mut slope) = (0.0, [0.0; 4]);
            for i in (0..5).filter(|&i| p[3] + i as f64 * p[2] <= t) {
                let i = i as f64;
                let age = t - p[3] - i * p[2];
                let part = (-p[0] * age).exp();
                value += p[1] * part;
                slope[0] -= age * p[1] * part;
                slope[1] += part;
                slope[2] += i * p[0] * p[1] * part;
                slope[3] += p[0] * p[1] * part;
            }
            assert_close(x[k][0], value, 1e-9, "amount");
            for j in 0..4 {
                assert_close(s[k][j], slope[j], 1e-8, &format!("{method:?}: by parameter {j} at {t}"));
            }
        }
        assert_eq!(outcome.statistics.events, 5);
    }
}

#[test]
fn equal_times_are_one_instant_with_one_reset() {
    // The third dose of the period 0.1 and the event at 0.3 differ by rounding.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let system = ClosureSystem::new(1, 0, |_, dx| dx[0] = 0.0)
        .times(2, |_, times| times.copy_from_slice(&[0.1, 0.3]))
        .event(Event { trigger: Trigger::Every { from_idx: 0, period_idx: 0, until_idx: Some(1) }, has_reset: true })
        .event(reset_at(1))
        .reset(move |which, at, x| {
            record.lock().expect("no panic").push(which.to_vec());
            x[0] = at.x[0] + which.iter().map(|&i| [1.0, 10.0][i]).sum::<f64>();
            Ok(())
        });
    let (status, log, _) = logged(&system, tight(Method::Auto), 1.0, &[0.0], &[], &[0.05, 0.1, 0.2, 0.3, 1.0]);
    assert!(status.is_success());
    assert_eq!(*seen.lock().expect("no panic"), [vec![0], vec![0], vec![0, 1]]);
    assert_eq!(log.states.concat(), [0.0, 1.0, 2.0, 13.0, 13.0], "a sample at the instant is the value after it");
}

#[test]
fn a_conflict_of_simultaneous_events_names_the_state() {
    let system = ClosureSystem::new(2, 0, |_, dx| dx.fill(0.0))
        .times(1, |_, times| times[0] = 1.0)
        .event(reset_at(0))
        .event(reset_at(0))
        .reset(|which, _, _| if which.len() > 1 { Err(1) } else { Ok(()) });
    let (status, _, _) = logged(&system, tight(Method::Auto), 2.0, &[0.0, 0.0], &[], &[]);
    assert_eq!(status, Status::EventConflict { t: 1.0, state: 1, events: [0, 1] });
}

#[test]
fn a_branch_on_time_never_leaks_over_its_breakpoint() {
    // Were one stage of the first part to see the second, the error would be of the order of the second slope.
    for method in ADAPTIVE {
        let early = Arc::new(Mutex::new((f64::NEG_INFINITY, f64::INFINITY)));
        let record = early.clone();
        let system = ClosureSystem::new(1, 0, move |at, dx| {
            let mut seen = record.lock().expect("no panic");
            if at.t < 5.0 {
                seen.0 = seen.0.max(at.t);
            } else {
                seen.1 = seen.1.min(at.t);
            }
            dx[0] = if at.t < 5.0 { 1.0 } else { -1e9 };
        })
        .jacobian(twinc::linalg::CscPattern::empty(1, 1), |_, _| {})
        .time_derivative(|_, df| df[0] = 0.0)
        .times(1, |_, times| times[0] = 5.0)
        .event(Event { trigger: Trigger::At { time_idx: 0 }, has_reset: false });
        let (outcome, x, _) = solve(&system, tight(method), (0.0, 6.0), Start::Model, &[], &[], &[4.0, 5.0, 5.5, 6.0]);
        assert_success(&outcome);
        for (value, truth) in x.concat().iter().zip([4.0, 5.0, 5.0 - 0.5e9, 5.0 - 1e9]) {
            assert_close(*value, truth, room(method, 1e-13), &format!("{method:?}"));
        }
        let (before, after) = *early.lock().expect("no panic");
        assert!(before < 5.0 && after > 5.0, "{before} {after}");
    }
}

#[test]
fn a_condition_that_is_true_at_the_start_waits_for_its_next_rise() {
    // sin(t) > 0 from the start; it rises at 2 pi and 4 pi.
    let system = ClosureSystem::new(1, 0, |_, dx| dx[0] = 0.0)
        .roots(1, |at, g| g[0] = (at.t + 0.5).sin())
        .event(when(0))
        .reset(|_, at, x| {
            x[0] = at.x[0] + 1.0;
            Ok(())
        });
    let options = Options { max_step: 1.0, ..tight(Method::Tsit5) };
    let (status, log, _) = logged(&system, options, 14.0, &[0.0], &[], &[]);
    assert!(status.is_success());
    let times: Vec<f64> = log.events.iter().map(|e| e.0).collect();
    assert_eq!(times.len(), 2, "{times:?}");
    for (k, t) in times.iter().enumerate() {
        assert_close(*t, std::f64::consts::TAU * (k + 1) as f64 - 0.5, 4e-16, "the time of a rise");
    }
}

#[test]
fn a_root_that_is_zero_at_the_start_fires_when_it_rises_and_only_once() {
    // x = t, `when x > 0`: zero at the start. The reset to zero leaves the root exactly zero.
    let system = ClosureSystem::new(1, 0, |_, dx| dx[0] = 1.0).roots(1, |at, g| g[0] = at.x[0]).event(when(0)).reset(
        |_, _, x| {
            x[0] = 0.0;
            Ok(())
        },
    );
    let (status, log, _) = logged(&system, tight(Method::Auto), 2.0, &[0.0], &[], &[2.0]);
    assert!(status.is_success(), "{status}");
    assert_eq!(log.events.len(), 1);
    assert_close(log.states[0][0], 2.0, 1e-12, "the state after");
}

#[test]
fn several_roots_in_one_step_are_carried_out_in_order_of_time() {
    // A straight line is one long step for the solver; the thresholds are declared in another order.
    let system = ClosureSystem::new(2, 0, |_, dx| dx.copy_from_slice(&[1.0, 0.0]))
        .roots(3, |at, g| g.copy_from_slice(&[at.x[0] - 7.0, at.x[0] - 2.0, at.x[0] - 2.25]))
        .event(when(0))
        .event(when(1))
        .event(when(2))
        .reset(|which, at, x| {
            x[0] = at.x[0];
            x[1] = 10.0 * at.x[1] + 1.0 + which[0] as f64;
            Ok(())
        });
    let (status, log, _) = logged(&system, tight(Method::Tsit5), 10.0, &[0.0, 0.0], &[], &[10.0]);
    assert!(status.is_success());
    assert_eq!(log.states[0][1], 231.0);
    for ((t, _), truth) in log.events.iter().zip([2.0, 2.25, 7.0]) {
        assert_close(*t, truth, 1e-15, "the time of a root");
    }
}

#[test]
fn a_condition_made_true_by_a_jump_fires_at_once_and_sees_the_jump() {
    // At 1 the dose lifts x over the threshold; the response halves x and counts; a second condition follows the count.
    let system = ClosureSystem::new(2, 0, |_, dx| dx.fill(0.0))
        .times(1, |_, times| times[0] = 1.0)
        .roots(2, |at, g| g.copy_from_slice(&[at.x[0] - 5.0, at.x[1] - 0.5]))
        .event(reset_at(0))
        .event(when(0))
        .event(when(1))
        .reset(|which, at, x| {
            x.copy_from_slice(at.x);
            match which {
                [0] => x[0] += 6.0,
                [1] => (x[0], x[1]) = (0.5 * x[0], x[1] + 1.0),
                [2] => x[1] += 10.0,
                _ => return Err(0),
            }
            Ok(())
        });
    let (status, log, _) = logged(&system, tight(Method::Auto), 2.0, &[1.0, 0.0], &[], &[1.0, 2.0]);
    assert!(status.is_success());
    assert_eq!(log.events, [(1.0, vec![0]), (1.0, vec![1]), (1.0, vec![2])]);
    assert_eq!(log.states, [[3.5, 11.0], [3.5, 11.0]]);
}

#[test]
fn a_branch_on_the_state_is_located_and_its_sensitivity_jumps() {
    // x' = 1 below the threshold c and p above: x = c + p (t - c), dx/dc = 1 - p, dx/dp = t - c.
    let system = ClosureSystem::new(1, 2, |at, dx| dx[0] = if at.x[0] < at.p[0] { 1.0 } else { at.p[1] })
        .autonomous()
        .jacobian(twinc::linalg::CscPattern::empty(1, 1), |_, _| {})
        .parameter_jacobian(twinc::linalg::CscPattern::dense(1, 2), |at, values| {
            values.copy_from_slice(&[0.0, if at.x[0] < at.p[0] { 0.0 } else { 1.0 }]);
        })
        .jacobian_along(|_, _, _, _, par| par.fill(0.0))
        .roots(1, |at, g| g[0] = at.x[0] - at.p[0])
        .event(branch(0));
    let directions = [Direction::parameter(0), Direction::parameter(1)];
    for method in ADAPTIVE {
        let (outcome, x, s) =
            solve(&system, tight(method), (0.0, 4.0), Start::Model, &[1.3, 0.25], &directions, &[1.0, 4.0]);
        assert_success(&outcome);
        assert_close(x[1][0], 1.3 + 0.25 * 2.7, 1e-9, "state");
        assert_eq!(s[0], [0.0, 0.0]);
        assert_close(s[1][0], 0.75, 1e-9, "by the threshold");
        assert_close(s[1][1], 2.7, 1e-9, "by the slope");
        assert_eq!(outcome.statistics.events, 1, "{method:?}");
    }
}

#[test]
fn a_sliding_branch_is_a_storm() {
    let system = ClosureSystem::new(1, 0, |at, dx| dx[0] = if at.x[0] > 0.0 { -1.0 } else { 1.0 })
        .roots(1, |at, g| g[0] = at.x[0])
        .event(branch(0));
    let (status, _, _) = logged(&system, tight(Method::Tsit5), 3.0, &[-1.0], &[], &[]);
    assert!(matches!(status, Status::EventStorm { event: 0, .. }), "{status}");
}

#[test]
fn grid_methods_act_at_grid_instants_only() {
    // Euler on x' = -x with step 0.25; a dose at 0.6 waits for 0.75, and so does a condition met in between.
    let system = ClosureSystem::new(2, 0, |at, dx| dx.copy_from_slice(&[-at.x[0], 1.0]))
        .times(1, |_, times| times[0] = 0.6)
        .roots(1, |at, g| g[0] = at.x[1] - 1.1)
        .event(reset_at(0))
        .event(when(0))
        .reset(|which, at, x| {
            x.copy_from_slice(at.x);
            x[0] += if which == [0] { 1.0 } else { 100.0 };
            Ok(())
        });
    let options = Options { method: Method::Euler, fixed_step: Some(0.25), ..Options::default() };
    let samples = [0.0, 0.25, 0.5, 0.625, 0.75, 1.0, 1.25, 1.5];
    let (status, log, statistics) = logged(&system, options, 1.5, &[1.0, 0.0], &[], &samples);
    assert!(status.is_success());
    let x: Vec<f64> = log.states.iter().map(|x| x[0]).collect();
    let dosed = 0.75_f64.powi(3) + 1.0;
    let late = dosed * 0.75 * 0.75 + 100.0;
    let expected = [1.0, 0.75, 0.5625, 0.5625 * 0.875, dosed, dosed * 0.75, late, late * 0.75];
    for (value, truth) in x.iter().zip(expected) {
        assert_close(*value, truth, 1e-15, "Euler");
    }
    assert_eq!(statistics.steps, 6);
}

#[test]
fn a_resumed_run_does_not_repeat_the_events_at_its_start() {
    let forcing = Forcing::default();
    let p = [0.3, 2.0, 1.0, 0.0, 10.0];
    let whole = solve(&doses(), tight(Method::Tsit5), (0.0, 4.0), Start::Model, &p, &[], &[4.0]).1;
    let half = solve(&doses(), tight(Method::Tsit5), (0.0, 2.0), Start::Model, &p, &[], &[2.0]).1;
    let rest = Problem {
        t0: 2.0,
        t1: 4.0,
        start: Start::Given(&half[0]),
        p: &p,
        forcing: &forcing,
        directions: &[],
        resumes: true,
    };
    let resumed = run(&doses(), tight(Method::Tsit5), &rest, &[4.0]).1;
    assert_close(resumed[0][0], whole[0][0], 1e-9, "resumed");
}

#[test]
fn forcing_is_integrated_exactly_over_its_rows() {
    // x' = u, y' = d: held and linear rows; the integrals are areas.
    let system = ClosureSystem::new(2, 0, |at, dx| dx.copy_from_slice(&[at.u[0], at.d[0]])).autonomous().forcing(1, 1);
    let forcing = Forcing {
        inputs: vec![Signal::Held { times: vec![0.5, 1.0, 3.0], values: vec![1.0, -2.0, 4.0] }],
        disturbances: vec![Signal::Linear { times: vec![1.0, 2.0, 2.5], values: vec![3.0, 1.0, 5.0] }],
    };
    let problem =
        Problem { t0: 0.0, t1: 4.0, start: Start::Model, p: &[], forcing: &forcing, directions: &[], resumes: false };
    for method in ADAPTIVE {
        let (outcome, x, _) = run(&system, tight(method), &problem, &[1.0, 2.0, 3.0, 4.0]);
        assert_success(&outcome);
        let exact = [[1.0, 3.0], [-1.0, 5.0], [-3.0, 9.0], [1.0, 14.0]];
        for (value, truth) in x.concat().iter().zip(exact.concat()) {
            assert_close(*value, truth, room(method, 1e-12), &format!("{method:?}"));
        }
    }
}
