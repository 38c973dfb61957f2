//! Sensitivities against closed forms and central differences, in smooth flow and through events.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, run, solve};
use num_dual::Dual64;
use twinc::integrate::{
    Direction, Forcing, Integrator, Method, Options, OutputSensitivities, Problem, Sample, Signal, Start, Tolerance,
};
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, System, Trigger};

const ADAPTIVE: [Method; 4] = [Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Bdf];

fn tight(method: Method) -> Options {
    Options { method, rtol: 1e-10, atol: Tolerance::Scalar(1e-12), ..Options::default() }
}

/// Robertson's kinetics with its three rate constants as parameters.
#[derive(Clone)]
struct Robertson;

impl Rhs for Robertson {
    fn f<D: Number>(&self, _t: D, y: &[D], _u: &[D], p: &[D], dy: &mut [D]) {
        let (r1, r2, r3) = (p[0] * y[0], p[1] * y[1] * y[1], p[2] * y[1] * y[2]);
        dy[0] = r3 - r1;
        dy[1] = r1 - r3 - r2;
        dy[2] = r2;
    }
}

#[test]
fn stiff_sensitivities_equal_central_differences() {
    let robertson = system(Robertson, 3, 3, None).autonomous();
    let p = [0.04, 3e7, 1e4];
    let atol = Tolerance::PerState(vec![1e-13, 1e-17, 1e-13]);
    let options = Options { method: Method::Rodas5p, rtol: 1e-11, atol, ..Options::default() };
    let samples = [0.4, 40.0, 4000.0];
    // By the logarithms of the parameters, and by the start value of the first species.
    let mut directions: Vec<Direction> =
        (0..3).map(|i| Direction { params: vec![(i, p[i])], ..Direction::default() }).collect();
    directions.push(Direction::start_value(0));
    let solve_at = |p: &[f64], x0: f64, directions: &[Direction]| {
        let (outcome, x, s) =
            solve(&robertson, options.clone(), (0.0, 4000.0), Start::Given(&[x0, 0.0, 0.0]), p, directions, &samples);
        assert_success(&outcome);
        (x, s)
    };
    let (_, s) = solve_at(&p, 1.0, &directions);
    let step = 1e-4_f64;
    for j in 0..4 {
        let moved = |sign: f64| {
            let mut p = p;
            let mut x0 = 1.0;
            if j < 3 {
                p[j] *= (sign * step).exp();
            } else {
                x0 += sign * step;
            }
            solve_at(&p, x0, &[]).0
        };
        let (above, below) = (moved(1.0), moved(-1.0));
        for k in 0..samples.len() {
            let scale = above[k].iter().map(|v| v.abs()).fold(0.0, f64::max);
            for i in 0..3 {
                let difference = (above[k][i] - below[k][i]) / (2.0 * step);
                let value = s[k][3 * j + i];
                // Truncation of the difference is of order step²; the second species is small throughout.
                let tolerance = 1e-7 * if i == 1 { above[k][1] } else { scale };
                assert!(
                    (value - difference).abs() < tolerance,
                    "s[{i}] by {j} at {}: {value} {difference}",
                    samples[k]
                );
            }
        }
    }
}

#[test]
fn leaving_out_the_second_derivatives_loses_order() {
    // The order test of the complete formula would pass with any convergent one if this did not fail to be of order 5.
    #[derive(Clone)]
    struct Logistic;
    impl Rhs for Logistic {
        fn f<D: Number>(&self, _t: D, x: &[D], _u: &[D], p: &[D], dx: &mut [D]) {
            dx[0] = p[0] * x[0] * (-x[0] + 1.0);
        }
    }
    let exact = |r: f64, t: f64| {
        let decay = 9.0 * (-r * t).exp();
        t * decay / (1.0 + decay).powi(2)
    };
    let error = |complete: bool, k: i32| {
        let logistic = system(Logistic, 1, 1, None).autonomous();
        let logistic = if complete {
            logistic
        } else {
            logistic.jacobian_along(|_, _, _, jac, par| {
                jac.fill(0.0);
                par.fill(0.0);
            })
        };
        let options =
            Options { method: Method::Rodas5p, fixed_step: Some(4.0 * 0.5_f64.powi(k)), ..tight(Method::Rodas5p) };
        let directions = [Direction::parameter(0)];
        let (_, _, s) = solve(&logistic, options, (0.0, 4.0), Start::Given(&[0.1]), &[1.3], &directions, &[4.0]);
        (s[0][0] - exact(1.3, 4.0)).abs()
    };
    let slope = |complete: bool| (error(complete, 5) / error(complete, 6)).log2();
    assert!((slope(true) - 5.0).abs() < 0.5, "{}", slope(true));
    assert!(slope(false) < 2.5, "{}", slope(false));
}

/// Height and speed of the ball as functions of (height, gravity, restitution), for numbers of any kind.
fn ball_exact<D: Number>(h0: D, gravity: D, restitution: D, t: f64) -> [D; 2] {
    let mut hit = (h0 * 2.0 / gravity).sqrt();
    if t < hit.re() {
        return [h0 - gravity * (0.5 * t * t), gravity * -t];
    }
    let mut speed = gravity * hit * restitution;
    while t >= (hit + speed * 2.0 / gravity).re() {
        hit += speed * 2.0 / gravity;
        speed *= restitution;
    }
    let s = -hit + t;
    [speed * s - gravity * s * s * 0.5, speed - gravity * s]
}

#[test]
fn sensitivities_bounce_with_the_ball() {
    let ball = ClosureSystem::new(2, 3, |at, dx| {
        dx[0] = at.x[1];
        dx[1] = -at.p[1];
    })
    .autonomous()
    .initial(|at, x| x.copy_from_slice(&[at.p[0], 0.0]))
    .roots(1, |at, g| g[0] = -at.x[0])
    .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
    .reset(|_, at, x| {
        x.copy_from_slice(&[at.x[0], -at.p[2] * at.x[1]]);
        Ok(())
    });
    let p = [1.0, 9.81, 0.8];
    let directions: Vec<Direction> = (0..3).map(Direction::parameter).collect();
    let samples = [0.2, 0.7, 1.3, 2.0, 2.5];
    for method in ADAPTIVE {
        let (outcome, _, s) = solve(&ball, tight(method), (0.0, 2.6), Start::Model, &p, &directions, &samples);
        assert_success(&outcome);
        for (k, &t) in samples.iter().enumerate() {
            for j in 0..3 {
                let mut theta = p.map(Dual64::from);
                theta[j].eps = 1.0;
                let exact = ball_exact(theta[0], theta[1], theta[2], t);
                for i in 0..2 {
                    let (value, truth) = (s[k][2 * j + i], exact[i].eps);
                    assert!(
                        (value - truth).abs() < 1e-7 * (1.0 + truth.abs()),
                        "{method:?} {t} {i} {j}: {value} {truth}"
                    );
                }
            }
        }
    }
}

/// x' = -k (x - u(t)), y' = u(t) x: linear forcing of a nonlinear system in time.
#[derive(Clone)]
struct Tracking;

impl Rhs for Tracking {
    fn f<D: Number>(&self, _t: D, x: &[D], u: &[D], p: &[D], dx: &mut [D]) {
        dx[0] = p[0] * u[0] * (u[0] - x[0]);
    }
}

#[test]
fn linear_forcing_keeps_the_order_of_state_and_sensitivity() {
    // With u = 1 + t, x' = k u (u - x) is linear: the truth is a very fine run of the other method.
    let tracking = system(Tracking, 1, 1, None).autonomous().forcing(1, 0);
    let forcing = Forcing {
        inputs: vec![Signal::Linear { times: vec![0.0, 1.0, 2.0], values: vec![1.0, 2.0, 0.5] }],
        disturbances: Vec::new(),
    };
    let directions = [Direction::parameter(0)];
    let problem = Problem {
        t0: 0.0,
        t1: 2.0,
        start: Start::Given(&[0.2]),
        p: &[1.7],
        forcing: &forcing,
        directions: &directions,
        resumes: false,
    };
    let at_end = |method: Method, steps: f64| {
        let options = Options { method, fixed_step: Some(1.0 / steps), ..Options::default() };
        let (outcome, x, s) = run(&tracking, options, &problem, &[2.0]);
        assert_success(&outcome);
        (x[0][0], s[0][0])
    };
    let truth = at_end(Method::Tsit5, 2000.0);
    for method in ADAPTIVE {
        let errors: Vec<(f64, f64)> = [20.0, 40.0, 80.0]
            .map(|steps| at_end(method, steps))
            .map(|(x, s)| ((x - truth.0).abs(), (s - truth.1).abs()))
            .to_vec();
        for w in errors.windows(2) {
            let slopes = ((w[0].0 / w[1].0).log2(), (w[0].1 / w[1].1).log2());
            if method == Method::Dop853 {
                // Of order 8, it is exact to rounding.
                assert!(w[1].0 < 1e-14 && w[1].1 < 1e-14, "{method:?}: {errors:?}");
                continue;
            }
            // The multistep formula may be better than its order while its history is short.
            let most = if method == Method::Bdf { 7.0 } else { 5.5 };
            assert!(
                slopes.0 > 4.5 && slopes.1 > 4.5 && slopes.0 < most && slopes.1 < most,
                "{method:?}: {slopes:?} of {errors:?}"
            );
        }
    }
}

#[test]
fn orders_hold_through_events() {
    // Logistic growth, halved whenever it passes c, and dosed by d at the time a: all in closed form between.
    #[derive(Clone)]
    struct Logistic;
    impl Rhs for Logistic {
        fn f<D: Number>(&self, _t: D, x: &[D], _u: &[D], p: &[D], dx: &mut [D]) {
            dx[0] = p[0] * x[0] * (-x[0] + 1.0);
        }
    }
    let build = || {
        system(Logistic, 1, 4, None)
            .autonomous()
            .times(1, |at, times| times[0] = at.p[2])
            .roots(1, |at, g| g[0] = at.x[0] - at.p[1])
            .event(Event { trigger: Trigger::At { time_idx: 0 }, has_reset: true })
            .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
            .reset(|which, at, x| {
                x[0] = if which == [0] { at.x[0] + at.p[3] } else { 0.5 * at.x[0] };
                Ok(())
            })
            .root_gradient(|_, _, dg_dx, dg_dp| {
                dg_dx[0] = 1.0;
                dg_dp.copy_from_slice(&[0.0, -1.0, 0.0, 0.0]);
                0.0
            })
            .reset_jacobians(|which, _, dxn_dx, dxn_dp, dxn_dt| {
                let is_dose = which == [0];
                dxn_dx[0] = if is_dose { 1.0 } else { 0.5 };
                dxn_dp.copy_from_slice(&[0.0, 0.0, 0.0, if is_dose { 1.0 } else { 0.0 }]);
                dxn_dt[0] = 0.0;
            })
    };
    fn grow<D: Number>(x: D, r: D, t: D) -> D {
        let odds = x / (-x + 1.0) * (r * t).exp();
        odds / (odds + 1.0)
    }
    // From 0.1 the dose comes at 0.8, the threshold 0.7 is reached after it, and once again from 0.35.
    fn exact<D: Number>(p: [D; 4], t: f64) -> D {
        let [r, c, a, d] = p;
        let dosed = grow(D::from(0.1), r, a) + d;
        let logit = |x: D| (x / (-x + 1.0)).ln();
        let first = a + (logit(c) - logit(dosed)) / r;
        let second = first + (logit(c) - logit(c * 0.5)) / r;
        assert!(first.re() < second.re() && second.re() < t);
        grow(c * 0.5, r, -second + t)
    }
    let p = [1.3, 0.7, 0.8, 0.05];
    let directions: Vec<Direction> = (0..4).map(Direction::parameter).collect();
    let truth = exact(p.map(Dual64::from), 4.0).re;
    let slopes: Vec<f64> = (0..4)
        .map(|j| {
            let mut theta = p.map(Dual64::from);
            theta[j].eps = 1.0;
            exact(theta, 4.0).eps
        })
        .collect();
    for method in ADAPTIVE {
        let errors: Vec<(f64, f64)> = [2, 3, 4, 5, 6]
            .map(|k| {
                let options = Options { method, fixed_step: Some(0.5_f64.powi(k)), ..Options::default() };
                let (outcome, x, s) =
                    solve(&build(), options, (0.0, 4.0), Start::Given(&[0.1]), &p, &directions, &[4.0]);
                assert_success(&outcome);
                assert_eq!(outcome.statistics.events, 3);
                let worst = s[0].iter().zip(&slopes).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                ((x[0][0] - truth).abs(), worst)
            })
            .to_vec();
        // Theory says 5: events are located in dense output of local order 5. Where in its step an event falls changes
        // the constant by several times, so the slope is taken over all halvings and has this much room.
        let mean = |first: f64, last: f64| (first / last).log2() / 4.0;
        let observed = (mean(errors[0].0, errors[4].0), mean(errors[0].1, errors[4].1));
        let is_exact = method == Method::Dop853 && errors[2].0.max(errors[2].1) < 1e-14;
        assert!(is_exact || observed.0 > 4.3 && observed.1 > 4.3, "{method:?}: {observed:?} from {errors:?}");
    }
}

#[test]
fn start_values_by_parameters_and_by_overrides_add_up() {
    // x' = 0, y' = 0 with x0 = p², y0 = 3 p; y is overridden by a value that depends on theta with slope 5.
    let constant = ClosureSystem::new(2, 1, |_, dx| dx.fill(0.0))
        .autonomous()
        .initial(|at, x| x.copy_from_slice(&[at.p[0] * at.p[0], 3.0 * at.p[0]]));
    let direction = Direction { params: vec![(0, 1.0)], start: vec![(1, 5.0)], scale: 1.0 };
    let (outcome, x, s) = solve(
        &constant,
        tight(Method::Rodas5p),
        (0.0, 1.0),
        Start::Overrides(&[(1, 7.0)]),
        &[2.0],
        &[direction],
        &[0.0, 1.0],
    );
    assert_success(&outcome);
    for (x, s) in x.iter().zip(&s) {
        assert_eq!(x, &[4.0, 7.0]);
        assert!((s[0] - 4.0).abs() < 1e-8 && s[1] == 5.0, "{s:?}");
    }
}

#[test]
fn output_sensitivities_add_state_and_parameter() {
    // y = p x², x = p exp(-t): dy/dp = x² + 2 p x exp(-t).
    let decay = ClosureSystem::new(1, 1, |at, dx| dx[0] = -at.x[0])
        .autonomous()
        .initial(|at, x| x[0] = at.p[0])
        .outputs(1, |at, y| y[0] = at.p[0] * at.x[0] * at.x[0]);
    let forcing = Forcing::default();
    let directions = [Direction::parameter(0)];
    let problem = Problem {
        t0: 0.0,
        t1: 1.0,
        start: Start::Model,
        p: &[1.5],
        forcing: &forcing,
        directions: &directions,
        resumes: false,
    };
    let mut outputs = OutputSensitivities::new(&decay);
    let mut work = decay.work();
    let mut seen = Vec::new();
    let mut integrator = Integrator::new(&decay, tight(Method::Tsit5)).expect("valid options");
    let outcome = integrator.solve(&problem, &[0.5, 1.0], &mut |sample: Sample<'_>| {
        let mut dy = [0.0];
        outputs.evaluate(&decay, &mut work, &sample, &directions, &mut dy);
        seen.push((sample.at.t, dy[0]));
    });
    assert_success(&outcome.expect("valid problem"));
    for (t, value) in seen {
        let truth = 3.0 * 1.5 * 1.5 * (-2.0_f64 * t).exp();
        assert!((value - truth).abs() < 1e-7, "{value} {truth}");
    }
}
