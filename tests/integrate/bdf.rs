//! The multistep formula, and the automatic choice between the others: against the exponential of a matrix, against the other methods, and
//! in what they owe to no accident of the request.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, solve};
use twinc::integrate::{Direction, Method, Options, Start, Tolerance};
use twinc::linalg::CscPattern;
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, Trigger};

fn options(method: Method, rtol: f64, atol: f64) -> Options {
    Options { method, rtol, atol: Tolerance::Scalar(atol), ..Options::default() }
}

/// The rates forward from and backward to place `i` of a chain of n species.
fn rates(n: usize, i: usize) -> (f64, f64) {
    let forward = if i + 1 < n { 1.0 + 10.0 * (i % 5) as f64 } else { 0.0 };
    let backward = if i > 0 { 0.5 + ((i - 1) % 3) as f64 } else { 0.0 };
    (forward, backward)
}

fn chain(n: usize) -> ClosureSystem {
    let near = |i: usize| i.saturating_sub(1)..(i + 2).min(n);
    let pattern = CscPattern::from_entries(n, n, (0..n).flat_map(|c| near(c).map(move |r| (r, c))));
    ClosureSystem::new(n, 0, move |at, dx| {
        dx.fill(0.0);
        for i in 0..n - 1 {
            let flow = rates(n, i).0 * at.x[i] - rates(n, i + 1).1 * at.x[i + 1];
            dx[i] -= flow;
            dx[i + 1] += flow;
        }
    })
    .autonomous()
    .jacobian(pattern.clone(), move |_, values| {
        for col in 0..n {
            let (forward, backward) = rates(n, col);
            for (row, k) in pattern.column(col) {
                values[k] = match row.cmp(&col) {
                    std::cmp::Ordering::Less => backward,
                    std::cmp::Ordering::Equal => -forward - backward,
                    std::cmp::Ordering::Greater => forward,
                };
            }
        }
    })
}

/// `exp(t Q) e_0 = Σ_k Poisson(k; Λ t) (I + Q/Λ)^k e_0`, a sum of positive terms (uniformisation, Jensen 1953).
fn chain_exact(n: usize, t: f64) -> Vec<f64> {
    let rate = 50.0;
    let mut x = vec![0.0; n];
    let mut sum = vec![0.0; n];
    x[0] = 1.0;
    let mut log_weight = -rate * t;
    for k in 0..(3.0 * rate * t + 100.0) as u32 {
        let weight = log_weight.exp();
        sum.iter_mut().zip(&x).for_each(|(sum, x)| *sum += weight * x);
        let next = (0..n).map(|i| {
            let (forward, backward) = rates(n, i);
            let from_left = if i > 0 { rates(n, i - 1).0 * x[i - 1] } else { 0.0 };
            let from_right = if i + 1 < n { rates(n, i + 1).1 * x[i + 1] } else { 0.0 };
            x[i] + (from_left + from_right - (forward + backward) * x[i]) / rate
        });
        x = next.collect();
        log_weight += (rate * t / f64::from(k + 1)).ln();
    }
    sum
}

#[test]
fn a_chain_is_the_exponential_of_its_matrix() {
    // The samples fall between steps too: dense output is as good as the steps.
    let samples = [0.003, 0.1, 0.77, 2.0, 5.0, 10.0];
    for n in [30, 200] {
        let truth: Vec<Vec<f64>> = samples.iter().map(|&t| chain_exact(n, t)).collect();
        let chain = chain(n);
        let mut start = vec![0.0; n];
        start[0] = 1.0;
        for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
            let options = options(Method::Bdf, rtol, rtol * 1e-3);
            let (outcome, x, _) = solve(&chain, options, (0.0, 10.0), Start::Given(&start), &[], &[], &samples);
            assert_success(&outcome);
            for (x, truth) in x.iter().zip(&truth) {
                for (a, b) in x.iter().zip(truth) {
                    assert!((a - b).abs() < 30.0 * rtol * (1e-2 + b.abs()), "n = {n}, rtol {rtol}: {a:e} {b:e}");
                }
                let total: f64 = x.iter().sum();
                assert!((total - 1.0).abs() < 1e-9, "n = {n}, rtol {rtol}: mass {total}");
            }
        }
    }
}

/// Robertson's kinetics; p are the rate constants.
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
fn stiff_sensitivities_equal_those_of_the_rosenbrock_method() {
    let robertson = system(Robertson, 3, 3, None).autonomous();
    let p = [0.04, 3e7, 1e4];
    let atol = Tolerance::PerState(vec![1e-12, 1e-16, 1e-12]);
    let mut directions: Vec<Direction> =
        (0..3).map(|i| Direction { params: vec![(i, p[i])], ..Direction::default() }).collect();
    directions.push(Direction::start_value(0));
    let samples = [0.4, 40.0, 4000.0];
    let run = |method: Method| {
        let options = Options { method, rtol: 1e-10, atol: atol.clone(), ..Options::default() };
        let given = Start::Given(&[1.0, 0.0, 0.0]);
        let (outcome, x, s) = solve(&robertson, options, (0.0, 4000.0), given, &p, &directions, &samples);
        assert_success(&outcome);
        (x, s, outcome.statistics)
    };
    let (x, s, statistics) = run(Method::Bdf);
    let (x_other, s_other, _) = run(Method::Rodas5p);
    assert!(statistics.factorizations < statistics.steps, "{statistics:?}");
    for (a, b) in x.concat().iter().zip(x_other.concat()) {
        assert!((a - b).abs() < 1e-7 * b.abs(), "state {a:e} {b:e}");
    }
    for (k, (a, b)) in s.concat().iter().zip(s_other.concat()).enumerate() {
        let scale = if k % 3 == 1 { 4e-6 } else { 0.1 };
        assert!((a - b).abs() < 1e-6 * (b.abs() + scale), "sensitivity {k}: {a:e} {b:e}");
    }
}

/// x' = -k x with a dose at every whole time; p = (k).
fn doses() -> ClosureSystem {
    ClosureSystem::new(1, 1, |at, dx| dx[0] = -at.p[0] * at.x[0])
        .autonomous()
        .times(1, |_, times| times[0] = 1.0)
        .event(Event { trigger: Trigger::Every { from_idx: 0, period_idx: 0, until_idx: None }, has_reset: true })
        .reset(|_, at, x| {
            x[0] = at.x[0] + 1.0;
            Ok(())
        })
}

#[test]
fn the_order_is_high_again_right_after_an_event() {
    let tolerances = options(Method::Bdf, 1e-6, 1e-9);
    let (outcome, x, _) = solve(&doses(), tolerances, (0.0, 50.5), Start::Given(&[1.0]), &[2.0], &[], &[50.5]);
    assert_success(&outcome);
    let decay = (-2.0_f64).exp();
    let exact = (0..=50).fold(0.0, |sum, _| sum * decay + 1.0) * (-1.0_f64).exp();
    assert!((x[0][0] - exact).abs() < 1e-5, "{} {exact}", x[0][0]);
    // Two times the decay constant cost a formula of order 1 hundreds of steps at this tolerance.
    let per_dose = outcome.statistics.steps as f64 / 51.0;
    assert!(per_dose < 30.0, "{per_dose} steps a dose");
}

#[test]
fn results_do_not_depend_on_the_number_of_samples() {
    let system = doses();
    let few = [0.5, 7.25, 12.0];
    let many: Vec<f64> = (0..=4800).map(|k| f64::from(k) / 400.0).collect();
    for method in [Method::Auto, Method::Tsit5, Method::Rodas5p, Method::Bdf] {
        for rtol in [1e-5, 1e-9] {
            let directions = [Direction::parameter(0)];
            let run = |samples: &[f64]| {
                let options = options(method, rtol, rtol * 1e-3);
                solve(&system, options, (0.0, 12.0), Start::Given(&[1.0]), &[30.0], &directions, samples)
            };
            let (outcome, x, s) = run(&few);
            let (outcome_many, x_many, s_many) = run(&many);
            assert_success(&outcome);
            assert_eq!(outcome, outcome_many, "{method:?}");
            for (i, t) in few.iter().enumerate() {
                let k = (t * 400.0) as usize;
                assert_eq!(x[i], x_many[k], "{method:?} at {t}");
                assert_eq!(s[i], s_many[k], "{method:?} at {t}");
            }
        }
    }
}

/// x' = -k(t) (x - cos t) - sin t with k from 1 to 1e5 and back: x = cos t.
#[derive(Clone)]
struct Pulse;

impl Rhs for Pulse {
    fn f<D: Number>(&self, t: D, x: &[D], _u: &[D], _p: &[D], dx: &mut [D]) {
        let k = ((-(t - 20.0) * (t - 20.0)) * 0.05).exp() * 1e5 + 1.0;
        dx[0] = k * (t.cos() - x[0]) - t.sin();
    }
}

#[test]
fn the_automatic_choice_goes_over_and_comes_back() {
    let pulse = system(Pulse, 1, 0, None);
    for rtol in [1e-6, 1e-9] {
        let samples: Vec<f64> = (1..=80).map(f64::from).collect();
        let tolerances = options(Method::Auto, rtol, rtol);
        let (outcome, x, _) = solve(&pulse, tolerances, (0.0, 80.0), Start::Given(&[1.0]), &[], &[], &samples);
        assert_success(&outcome);
        for (t, x) in samples.iter().zip(&x) {
            assert!((x[0] - t.cos()).abs() < 100.0 * rtol, "rtol {rtol}, t = {t}: {} {}", x[0], t.cos());
        }
        let statistics = outcome.statistics;
        let made = statistics.steps + statistics.rejected;
        let easy = made - statistics.implicit_steps;
        assert!(statistics.implicit_steps > 20 && easy > made / 4, "rtol {rtol}: {statistics:?}");
        // Alone, the explicit method would be held to steps of 3e-5 in the stiff part.
        assert!(made < 10_000, "rtol {rtol}: {statistics:?}");
    }
}

#[test]
fn a_multistep_step_takes_little_more_than_one_solve() {
    let chain = chain(60);
    let mut start = vec![0.0; 60];
    start[0] = 1.0;
    for rtol in [1e-5, 1e-8] {
        let options = options(Method::Bdf, rtol, rtol * 1e-3);
        let outcome = solve(&chain, options, (0.0, 10.0), Start::Given(&start), &[], &[], &[]).0;
        assert_success(&outcome);
        let work = outcome.statistics;
        assert!(10 * work.solves < 14 * work.implicit_steps && 3 * work.factorizations < work.steps, "{work:?}");
    }
}

#[test]
fn the_automatic_choice_is_multistep_for_many_states() {
    for (n, is_multistep) in [(60, false), (250, true)] {
        let chain = chain(n);
        let mut start = vec![0.0; n];
        start[0] = 1.0;
        let options = options(Method::Auto, 1e-5, 1e-8);
        let outcome = solve(&chain, options, (0.0, 1e4), Start::Given(&start), &[], &[], &[]).0;
        assert_success(&outcome);
        let work = outcome.statistics;
        let per_step = work.solves as f64 / work.implicit_steps as f64;
        assert!(work.implicit_steps > 20 && (per_step < 3.0) == is_multistep, "n = {n}: {work:?}");
    }
}
