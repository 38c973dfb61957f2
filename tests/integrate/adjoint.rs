//! Gradients by the adjoint: against forward sensitivities on the same steps, dual numbers, closed forms and differences.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, run};
use num_dual::{Dual64, DualNum};
use twinc::integrate::adjoint::{Adjoint, AdjointError, Gradient};
use twinc::integrate::{Direction, Forcing, Method, Options, Problem, Sample, Signal, Start, Tolerance};
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, System, Trigger};

/// The same steps whether or not sensitivities are computed.
fn options(method: Method, rtol: f64) -> Options {
    Options { method, rtol, atol: Tolerance::Scalar(1e-2 * rtol), control_sensitivities: false, ..Options::default() }
}

/// The weight of state `i` at sample `k` in the G of these tests: no two alike, none zero.
fn weight(k: usize, i: usize) -> f64 {
    1.0 + (0.618 * k as f64 + 0.414 * i as f64).fract()
}

/// G = Σ_k Σ_i w_ki x_i(t_k)²/2, by the adjoint; returns its value and its gradient.
fn by_adjoint(
    system: &dyn System,
    options: Options,
    memory: Option<usize>,
    problem: &Problem<'_>,
    samples: &[f64],
) -> (f64, Gradient, (usize, usize)) {
    let mut adjoint = Adjoint::new(system, options).expect("valid options");
    if let Some(bytes) = memory {
        adjoint = adjoint.memory(bytes);
    }
    let mut value = 0.0;
    let outcome = adjoint.forward(problem, samples, &mut |s: Sample<'_>| {
        value += s.at.x.iter().enumerate().map(|(i, x)| 0.5 * weight(s.idx, i) * x * x).sum::<f64>();
    });
    assert_success(&outcome.expect("valid problem"));
    let mut gradient = Gradient::default();
    let mut next = samples.len();
    let slopes = &mut |s: Sample<'_>, by_state: &mut [f64], _: &mut [f64]| {
        next -= 1;
        assert_eq!(s.idx, next, "samples come from the last to the first");
        assert!((s.at.t - samples[s.idx]).abs() <= 1e-12);
        by_state.iter_mut().enumerate().for_each(|(i, slope)| *slope = weight(s.idx, i) * s.at.x[i]);
    };
    adjoint.backward(slopes, &mut gradient).expect("a run");
    assert_eq!(next, 0);
    (value, gradient, adjoint.n_kept())
}

/// The same G and its gradient by all parameters and start values, by forward sensitivities.
fn by_forward(system: &dyn System, options: Options, problem: &Problem<'_>, samples: &[f64]) -> (f64, Gradient) {
    let dims = system.dims();
    let mut directions: Vec<Direction> = (0..dims.n_params).map(Direction::parameter).collect();
    directions.extend((0..dims.n_states).map(Direction::start_value));
    let (outcome, x, s) = run(system, options, &Problem { directions: &directions, ..*problem }, samples);
    assert_success(&outcome);
    let mut value = 0.0;
    let mut slopes = vec![0.0; directions.len()];
    for (k, (x, s)) in x.iter().zip(&s).enumerate() {
        for (i, x) in x.iter().enumerate() {
            value += 0.5 * weight(k, i) * x * x;
            slopes.iter_mut().enumerate().for_each(|(j, sum)| *sum += weight(k, i) * x * s[j * dims.n_states + i]);
        }
    }
    let start = slopes.split_off(dims.n_params);
    (value, Gradient { params: slopes, start })
}

fn assert_same(found: &Gradient, truth: &Gradient, tolerance: f64) {
    for (what, found, truth) in [("p", &found.params, &truth.params), ("x0", &found.start, &truth.start)] {
        assert_eq!(found.len(), truth.len());
        let size = truth.iter().fold(0.0_f64, |a, v| a.max(v.abs()));
        for (i, (a, b)) in found.iter().zip(truth).enumerate() {
            let allowed = tolerance * (b.abs() + 1e-6 * size);
            assert!((a - b).abs() <= allowed, "by {what}[{i}]: {a:e} instead of {b:e}, {:e}", (a - b) / b);
        }
    }
}

/// Holds the adjoint against forward sensitivities on the same steps, at a coarse tolerance and with few states kept.
fn check(system: &dyn System, method: Method, problem: &Problem<'_>, samples: &[f64], tolerance: f64) -> Gradient {
    let mut fine = None;
    for rtol in [1e-4, 1e-8] {
        let (value, truth) = by_forward(system, options(method, rtol), problem, samples);
        let (other_value, found, kept) = by_adjoint(system, options(method, rtol), None, problem, samples);
        assert!((value - other_value).abs() <= 1e-14 * value, "the steps are the same: {value} {other_value}");
        assert_eq!(kept.0, kept.1, "everything is kept");
        assert_same(&found, &truth, tolerance);
        let (_, thinned, _) = by_adjoint(system, options(method, rtol), Some(64), problem, samples);
        assert_same(&thinned, &truth, tolerance);
        fine = Some(found);
    }
    fine.expect("two runs")
}

fn problem<'a>(t1: f64, start: Start<'a>, p: &'a [f64], forcing: &'a Forcing) -> Problem<'a> {
    Problem { t0: 0.0, t1, start, p, forcing, directions: &[], resumes: false }
}

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
fn stiff_gradients_equal_forward_ones_on_the_same_steps() {
    let robertson = system(Robertson, 3, 3, None).autonomous();
    let forcing = Forcing::default();
    let problem = problem(400.0, Start::Given(&[1.0, 0.0, 0.0]), &[0.04, 3e3, 1e2], &forcing);
    for method in [Method::Rodas5p, Method::Auto] {
        check(&robertson, method, &problem, &[0.0, 0.4, 0.5, 4.0, 399.0, 400.0], 1e-9);
    }
    // A multistep formula is not taken back: Rodas5P makes the run.
    let at = |method| by_adjoint(&robertson, options(method, 1e-6), None, &problem, &[4.0]);
    assert_eq!(at(Method::Bdf), at(Method::Rodas5p));
}

/// Diffusion along a row, with a sink that is not linear.
#[derive(Clone)]
struct Row;

impl Rhs for Row {
    fn f<D: Number>(&self, _t: D, x: &[D], _u: &[D], p: &[D], dx: &mut [D]) {
        let n = x.len();
        for i in 0..n {
            let (left, right) = (x[i.saturating_sub(1)], x[(i + 1).min(n - 1)]);
            dx[i] = p[0] * (left + right - x[i] * 2.0) - p[1] * x[i] * x[i];
        }
    }
}

#[test]
fn large_stiff_runs_are_taken_back() {
    // The automatic choice would take a multistep formula here.
    let n: usize = 210;
    let entries = (0..n).flat_map(|c| (c.saturating_sub(1)..(c + 2).min(n)).map(move |r| (r, c))).collect();
    let row = system(Row, n, 2, Some(entries)).autonomous();
    let start: Vec<f64> = (0..n).map(|i| 1.0 + (i as f64 / 20.0).sin()).collect();
    let forcing = Forcing::default();
    let problem = problem(2.0, Start::Given(&start), &[400.0, 0.7], &forcing);
    let directions = [Direction::parameter(0), Direction::parameter(1)];
    let samples = [0.3, 2.0];
    let fine = options(Method::Rodas5p, 1e-8);
    let (outcome, x, s) = run(&row, fine, &Problem { directions: &directions, ..problem }, &samples);
    assert_success(&outcome);
    let slope = |j: usize| {
        let term = |k: usize, i: usize| weight(k, i) * x[k][i] * s[k][j * n + i];
        (0..samples.len()).flat_map(|k| (0..n).map(move |i| (k, i))).map(|(k, i)| term(k, i)).sum::<f64>()
    };
    for method in [Method::Auto, Method::Bdf] {
        let (_, found, _) = by_adjoint(&row, options(method, 1e-8), None, &problem, &samples);
        for j in 0..2 {
            let (a, b) = (found.params[j], slope(j));
            assert!((a - b).abs() < 1e-6 * b.abs(), "{method:?} by {j}: {a} {b}");
        }
    }
}

/// Two species that feed on each other and on a clock, nonlinear in state, time, input and parameters.
#[derive(Clone)]
struct Clocked;

impl Rhs for Clocked {
    fn f<D: Number>(&self, t: D, x: &[D], u: &[D], p: &[D], dx: &mut [D]) {
        let push = if u.is_empty() { D::from(1.0) } else { u[0] * u[0] };
        dx[0] = p[0] * push - p[1] * x[0] * x[1] + (t * p[2]).sin() * x[0];
        dx[1] = p[1] * x[0] * x[1] * 0.5 - x[1] * p[2] / (x[1] + 1.0);
    }
}

#[test]
fn gradients_through_time_and_forcing_equal_forward_ones() {
    let inputs = [
        Signal::Linear { times: vec![0.0, 1.0, 2.5], values: vec![1.0, 2.0, 0.5] },
        Signal::Held { times: vec![0.0, 0.7, 1.9], values: vec![1.0, 0.3, 1.4] },
    ];
    let clocked = system(Clocked, 2, 3, None).forcing(1, 0);
    for input in inputs {
        let forcing = Forcing { inputs: vec![input], disturbances: Vec::new() };
        let problem = problem(3.0, Start::Given(&[1.0, 0.5]), &[0.8, 1.1, 0.6], &forcing);
        for method in [Method::Tsit5, Method::Dop853, Method::Rodas5p] {
            check(&clocked, method, &problem, &[0.3, 0.7, 1.0, 1.2, 1.9, 3.0], 1e-9);
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let clocked = system(Clocked, 2, 3, None);
    let forcing = Forcing::default();
    let (samples, p) = ([0.5, 1.3, 2.0], [0.8, 1.1, 0.6]);
    let value = |p: &[f64], x0: &[f64]| {
        by_forward(&clocked, options(Method::Tsit5, 1e-12), &problem(2.0, Start::Given(x0), p, &forcing), &samples).0
    };
    let (_, found, _) = by_adjoint(
        &clocked,
        options(Method::Rodas5p, 1e-10),
        None,
        &problem(2.0, Start::Given(&[1.0, 0.5]), &p, &forcing),
        &samples,
    );
    let step = 1e-4;
    for j in 0..5 {
        let moved = |sign: f64| {
            let (mut p, mut x0) = (p, [1.0, 0.5]);
            *if j < 3 { &mut p[j] } else { &mut x0[j - 3] } += sign * step;
            value(&p, &x0)
        };
        let difference = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let slope = if j < 3 { found.params[j] } else { found.start[j - 3] };
        assert!((slope - difference).abs() < 1e-7 * difference.abs(), "{j}: {slope} {difference}");
    }
}

#[test]
fn the_gradient_is_that_of_the_computed_value() {
    // The classical Runge–Kutta method by dual numbers, three coarse steps: the error of the solution is large, that of
    // its gradient is rounding.
    let clocked = system(Clocked, 2, 3, None);
    let h = 0.5;
    let exact = |seed: usize| {
        let mut theta: Vec<Dual64> = [0.8, 1.1, 0.6, 1.0, 0.5].map(Dual64::from).to_vec();
        theta[seed].eps = 1.0;
        let (p, mut x) = (theta[..3].to_vec(), theta[3..].to_vec());
        let f = |t: f64, x: &[Dual64]| {
            let mut dx = vec![Dual64::from(0.0); 2];
            Clocked.f(Dual64::from(t), x, &[], &p, &mut dx);
            dx
        };
        let moved = |x: &[Dual64], k: &[Dual64], c: f64| -> Vec<Dual64> {
            x.iter().zip(k).map(|(x, k)| *x + *k * (c * h)).collect()
        };
        for step in 0..3 {
            let t = h * step as f64;
            let k1 = f(t, &x);
            let k2 = f(t + 0.5 * h, &moved(&x, &k1, 0.5));
            let k3 = f(t + 0.5 * h, &moved(&x, &k2, 0.5));
            let k4 = f(t + h, &moved(&x, &k3, 1.0));
            for i in 0..2 {
                x[i] += (k1[i] + k2[i] * 2.0 + k3[i] * 2.0 + k4[i]) * (h / 6.0);
            }
        }
        (x[0] * x[0] * weight(0, 0) + x[1] * x[1] * weight(0, 1)).eps * 0.5
    };
    let forcing = Forcing::default();
    let p = [0.8, 1.1, 0.6];
    let problem = problem(1.5, Start::Given(&[1.0, 0.5]), &p, &forcing);
    let options = Options { fixed_step: Some(h), ..options(Method::Rk4, 1e-6) };
    let (_, found, _) = by_adjoint(&clocked, options, None, &problem, &[1.5]);
    let truth = Gradient { params: (0..3).map(exact).collect(), start: (3..5).map(exact).collect() };
    assert_same(&found, &truth, 1e-13);
}

/// Height and speed of a ball by (height, gravity, restitution).
fn ball() -> ClosureSystem {
    ClosureSystem::new(2, 3, |at, dx| {
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
    })
}

#[test]
fn gradients_bounce_with_the_ball() {
    let forcing = Forcing::default();
    let p = [1.0, 9.81, 0.8];
    let problem = problem(2.6, Start::Model, &p, &forcing);
    for method in [Method::Tsit5, Method::Dop853, Method::Rodas5p] {
        check(&ball(), method, &problem, &[0.2, 0.7, 1.3, 2.0, 2.5], 1e-8);
    }
}

/// Logistic growth, halved whenever it passes p1, dosed by p3 at the time p2 and every p4 after it.
pub(super) fn dosed() -> ClosureSystem {
    #[derive(Clone)]
    struct Logistic;
    impl Rhs for Logistic {
        fn f<D: Number>(&self, _t: D, x: &[D], _u: &[D], p: &[D], dx: &mut [D]) {
            dx[0] = p[0] * x[0] * (-x[0] + 1.0);
        }
    }
    system(Logistic, 1, 5, None)
        .autonomous()
        .times(2, |at, times| times.copy_from_slice(&[at.p[2], at.p[4]]))
        .roots(1, |at, g| g[0] = at.x[0] - at.p[1])
        .event(Event { trigger: Trigger::Every { from_idx: 0, period_idx: 1, until_idx: None }, has_reset: true })
        .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
        .reset(|which, at, x| {
            x[0] = if which == [0] { at.x[0] + at.p[3] * at.x[0].sqrt() } else { 0.5 * at.x[0] * at.p[1] };
            Ok(())
        })
}

#[test]
fn gradients_cross_scheduled_and_root_found_events() {
    let forcing = Forcing::default();
    // The fourth dose crosses the threshold by itself: one event fires at the instant of another.
    for dose in [0.05, 0.4] {
        let p = [1.3, 0.7, 0.8, dose, 0.9];
        let problem = problem(4.0, Start::Given(&[0.1]), &p, &forcing);
        for method in [Method::Tsit5, Method::Dop853, Method::Rodas5p] {
            check(&dosed(), method, &problem, &[0.5, 0.8, 1.7, 2.0, 3.3, 4.0], 1e-7);
        }
        let grid = |method| Options { fixed_step: Some(0.05), ..options(method, 1e-6) };
        for method in [Method::Rk4, Method::Euler] {
            let (_, truth) = by_forward(&dosed(), grid(method), &problem, &[0.52, 1.7, 4.0]);
            let (_, found, _) = by_adjoint(&dosed(), grid(method), None, &problem, &[0.52, 1.7, 4.0]);
            assert_same(&found, &truth, 1e-7);
        }
    }
}

/// A thermostat: x' = heat - p0 x, where heat is p1 until x passes p2 and after the time p3 half of it.
pub(super) fn thermostat() -> ClosureSystem {
    ClosureSystem::new(1, 4, |at, dx| {
        let heat = if at.x[0] < at.p[2] { at.p[1] } else { 0.6 * at.p[1] };
        dx[0] = heat * if at.t < at.p[3] { 1.0 } else { 0.5 } - at.p[0] * at.x[0];
    })
    .jacobian(twinc::linalg::CscPattern::dense(1, 1), |at, values| values[0] = -at.p[0])
    .parameter_jacobian(twinc::linalg::CscPattern::dense(1, 4), |at, values| {
        let share = if at.x[0] < at.p[2] { 1.0 } else { 0.6 } * if at.t < at.p[3] { 1.0 } else { 0.5 };
        values.copy_from_slice(&[-at.x[0], share, 0.0, 0.0]);
    })
    .time_derivative(|_, df| df[0] = 0.0)
    .jacobian_along(|_, dx, _, jac, par| {
        jac[0] = 0.0;
        par.copy_from_slice(&[-dx[0], 0.0, 0.0, 0.0]);
    })
    .times(1, |at, times| times[0] = at.p[3])
    .roots(1, |at, g| g[0] = at.x[0] - at.p[2])
    .event(Event { trigger: Trigger::Crossing { root_idx: 0 }, has_reset: false })
    .event(Event { trigger: Trigger::At { time_idx: 0 }, has_reset: false })
}

#[test]
fn gradients_cross_branches_without_a_reset() {
    let forcing = Forcing::default();
    let p = [0.4, 2.0, 1.0, 1.5];
    let problem = problem(3.0, Start::Given(&[0.0]), &p, &forcing);
    for method in [Method::Tsit5, Method::Dop853, Method::Rodas5p] {
        let found = check(&thermostat(), method, &problem, &[0.3, 1.2, 1.5, 3.0], 1e-7);
        assert!(found.params.iter().all(|slope| *slope != 0.0), "{found:?}");
    }
    // In closed form at the end of the last stretch.
    let exact = |p: [Dual64; 4]| {
        let [k, heat, limit, turn] = p;
        let grow = |x: Dual64, level: Dual64, t: Dual64| level + (x - level) * (-k * t).exp();
        let hit = -(-limit * k / heat + 1.0).ln() / k;
        let turned = grow(limit, heat * 0.6 / k, turn - hit);
        let x = grow(turned, heat * 0.3 / k, -turn + 3.0);
        x * x * weight(0, 0) * 0.5
    };
    let (_, found, _) = by_adjoint(&thermostat(), options(Method::Tsit5, 1e-10), None, &problem, &[3.0]);
    let slope = |j: usize| {
        let mut theta = p.map(Dual64::from);
        theta[j].eps = 1.0;
        exact(theta).eps
    };
    let truth = Gradient { params: (0..4).map(slope).collect(), start: found.start.clone() };
    assert_same(&found, &truth, 1e-7);
}

#[test]
fn overridden_starts_stop_the_way_to_the_parameters() {
    // x0 = p², y0 = 3 p, y overridden: dG/dp goes through x alone, dG/dy0 is there to be used.
    let constant = ClosureSystem::new(2, 1, |_, dx| dx.fill(0.0))
        .autonomous()
        .initial(|at, x| x.copy_from_slice(&[at.p[0] * at.p[0], 3.0 * at.p[0]]));
    let forcing = Forcing::default();
    let problem = problem(1.0, Start::Overrides(&[(1, 7.0)]), &[2.0], &forcing);
    let (_, found, _) = by_adjoint(&constant, options(Method::Rodas5p, 1e-6), None, &problem, &[1.0]);
    let (by_x, by_y) = (weight(0, 0) * 4.0, weight(0, 1) * 7.0);
    assert!((found.params[0] - 4.0 * by_x).abs() < 1e-8 * by_x, "{found:?}");
    assert!((found.start[0] - by_x).abs() < 1e-12 * by_x && (found.start[1] - by_y).abs() < 1e-12 * by_y);
}

#[test]
fn memory_stays_within_its_limit() {
    let clocked = system(Clocked, 2, 3, None);
    let forcing = Forcing::default();
    let p = [0.8, 1.1, 0.6];
    let problem = problem(50.0, Start::Given(&[1.0, 0.5]), &p, &forcing);
    let samples: Vec<f64> = (1..40).map(f64::from).collect();
    for (method, rtol) in [
        (Method::Tsit5, 1e-9),
        (Method::Dop853, 1e-12),
        (Method::Rodas5p, 1e-9),
        (Method::Auto, 1e-9),
        (Method::Rk4, 1e-6),
    ] {
        let fixed_step = (method == Method::Rk4).then_some(0.1);
        let options = Options { fixed_step, ..options(method, rtol) };
        let at = |memory| by_adjoint(&clocked, options.clone(), memory, &problem, &samples);
        let (value, truth, (all, n_steps)) = at(None);
        assert!(all == n_steps && n_steps > 100, "{method:?}: {all} of {n_steps}");
        // Enough for all between two on record, then for some of them, then for next to nothing.
        for n_states in [40, 12, 4] {
            let (again, found, (n_kept, _)) = at(Some(n_states * 2 * 8));
            assert!(n_kept <= n_states, "{method:?}: {n_kept} of {n_states}");
            assert_eq!((again, &found), (value, &truth), "{method:?} with {n_states} states");
        }
    }
}

#[test]
fn memory_does_not_matter_across_events() {
    let forcing = Forcing::default();
    for p in [[1.3, 0.7, 0.8, 0.05, 0.9], [1.3, 0.7, 0.8, 0.4, 8.1]] {
        let problem = problem(30.0, Start::Given(&[0.1]), &p, &forcing);
        let samples: Vec<f64> = (1..30).map(|k| f64::from(k) + 0.3).collect();
        for method in [Method::Tsit5, Method::Rodas5p] {
            let options = Options { max_step: 0.03, ..options(method, 1e-8) };
            let at = |memory| by_adjoint(&dosed(), options.clone(), memory, &problem, &samples);
            let (value, truth, (_, n_steps)) = at(None);
            let (again, found, (n_kept, _)) = at(Some(200 * 8));
            assert!(n_steps > 900 && n_kept <= 200, "{n_kept} of {n_steps}");
            assert_eq!((again, found), (value, truth), "{method:?}");
        }
    }
}

#[test]
fn a_run_that_failed_is_not_taken_back() {
    let explosion = ClosureSystem::new(1, 1, |at, dx| dx[0] = at.x[0] * at.x[0]).autonomous();
    let mut adjoint = Adjoint::new(&explosion, options(Method::Auto, 1e-6)).expect("valid options");
    let mut gradient = Gradient::default();
    assert_eq!(adjoint.backward(&mut |_, _, _| {}, &mut gradient).unwrap_err(), AdjointError::NoRun);
    let forcing = Forcing::default();
    let problem = problem(2.0, Start::Given(&[1.0]), &[0.0], &forcing);
    let outcome = adjoint.forward(&problem, &[2.0], &mut |_: Sample<'_>| {}).expect("valid problem");
    assert!(!outcome.status.is_success());
    assert_eq!(adjoint.backward(&mut |_, _, _| {}, &mut gradient).unwrap_err(), AdjointError::NoRun);
    // And it recovers.
    let problem = Problem { t1: 0.5, ..problem };
    let outcome = adjoint.forward(&problem, &[0.5], &mut |_: Sample<'_>| {}).expect("valid problem");
    assert_success(&outcome);
    adjoint.backward(&mut |_, by_state, _| by_state[0] = 1.0, &mut gradient).expect("a run");
    assert!((gradient.start[0] - 4.0).abs() < 1e-4, "{gradient:?}");
}
