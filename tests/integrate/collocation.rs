//! Implicit methods of the grid against what they compute in closed form, and what becomes of a step without a solution.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, solve};
use twinc::integrate::{Direction, Method, Options, Start, Status};
use twinc::linalg::CscPattern;
use twinc::system::closure::ClosureSystem;

const METHODS: [Method; 3] = [Method::ImplicitEuler, Method::Radau3, Method::Radau5];

fn grid(method: Method, step: f64) -> Options {
    Options { method, fixed_step: Some(step), ..Options::default() }
}

/// x' = -k x
#[derive(Clone)]
struct Decay;

impl Rhs for Decay {
    fn f<D: Number>(&self, _t: D, x: &[D], _u: &[D], p: &[D], dx: &mut [D]) {
        dx[0] = -(x[0] * p[0]);
    }
}

/// The stability function R(z) and its derivative (Hairer and Wanner 1996, section IV.3: the Padé approximations of exp
/// below the diagonal).
fn growth(method: Method, z: f64) -> (f64, f64) {
    let (p, dp, q, dq) = match method {
        Method::ImplicitEuler => (1.0, 0.0, 1.0 - z, -1.0),
        Method::Radau3 => (1.0 + z / 3.0, 1.0 / 3.0, 1.0 - 2.0 * z / 3.0 + z * z / 6.0, -2.0 / 3.0 + z / 3.0),
        _ => (
            1.0 + 2.0 * z / 5.0 + z * z / 20.0,
            2.0 / 5.0 + z / 10.0,
            1.0 - 3.0 * z / 5.0 + 3.0 * z * z / 20.0 - z * z * z / 60.0,
            -3.0 / 5.0 + 3.0 * z / 10.0 - z * z / 20.0,
        ),
    };
    (p / q, (dp * q - p * dq) / (q * q))
}

#[test]
fn a_linear_step_is_the_stability_function_with_its_derivative() {
    let decay = system(Decay, 1, 1, None).autonomous();
    for method in METHODS {
        for k in [0.3, 5.0, 1e3, 1e8] {
            let (h, steps) = (0.25, 4);
            let given = Start::Given(&[2.0]);
            let directions = [Direction::parameter(0), Direction::start_value(0)];
            let (outcome, x, s) = solve(&decay, grid(method, h), (0.0, 1.0), given, &[k], &directions, &[1.0]);
            assert_success(&outcome);
            assert_eq!(outcome.statistics.steps, steps);
            let (r, dr) = growth(method, -h * k);
            let truth = [2.0 * r.powi(4), 2.0 * 4.0 * r.powi(3) * dr * -h, r.powi(4)];
            for (value, truth) in [x[0][0], s[0][0], s[0][1]].iter().zip(truth) {
                assert!(
                    (value - truth).abs() <= 1e-11 * (truth.abs() + 1e-3),
                    "{method:?}, k = {k}: {value:e} {truth:e}"
                );
            }
        }
    }
}

/// Robertson's kinetics in steps that no explicit method could take; the reference is a tight run of Rodas5P.
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
fn stiff_kinetics_are_followed_in_long_steps() {
    let robertson = system(Robertson, 3, 3, None).autonomous();
    let p = [0.04, 3e7, 1e4];
    let direction = [Direction { params: vec![(0, p[0])], ..Direction::default() }];
    let run = |options: Options| {
        let given = Start::Given(&[1.0, 0.0, 0.0]);
        let (outcome, x, s) = solve(&robertson, options, (0.0, 40.0), given, &p, &direction, &[40.0]);
        assert_success(&outcome);
        (x[0].clone(), s[0].clone())
    };
    let (x, s) = run(Options { method: Method::Rodas5p, rtol: 1e-11, ..Options::default() });
    for (method, room) in [(Method::ImplicitEuler, 6e-3), (Method::Radau3, 2e-4), (Method::Radau5, 2e-5)] {
        let (found, slope) = run(grid(method, 1.0));
        for i in [0, 2] {
            assert!((found[i] - x[i]).abs() < room, "{method:?}: {} {}", found[i], x[i]);
            assert!((slope[i] - s[i]).abs() < room, "{method:?}: {} {}", slope[i], s[i]);
        }
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-13);
    }
}

#[test]
fn samples_between_grid_instants_lie_on_the_polynomial() {
    // x' = 2 t: Radau IIA is exact, implicit Euler linear from grid instant to grid instant.
    let line = ClosureSystem::new(1, 0, |at, dx| dx[0] = 2.0 * at.t);
    for method in [Method::Radau3, Method::Radau5] {
        let (_, x, _) = solve(&line, grid(method, 0.5), (0.0, 1.0), Start::Given(&[0.0]), &[], &[], &[0.1, 0.7, 1.0]);
        for (x, t) in x.iter().zip([0.1_f64, 0.7, 1.0]) {
            assert!((x[0] - t * t).abs() < 1e-14, "{method:?}: {} at {t}", x[0]);
        }
    }
}

/// Diffusion in 60 cells with a cubic source: the stages make a band three times as wide.
#[test]
fn a_band_is_solved_as_one() {
    let n = 60;
    let near = move |i: usize| [i.checked_sub(1), Some(i), (i + 1 < n).then_some(i + 1)].into_iter().flatten();
    let pattern = CscPattern::from_entries(n, n, (0..n).flat_map(|i| near(i).map(move |j| (i, j))));
    let places = pattern.clone();
    let rod = ClosureSystem::new(n, 0, move |at, dx| {
        for (i, slope) in dx.iter_mut().enumerate() {
            let exchange: f64 = near(i).map(|j| 900.0 * (at.x[j] - at.x[i])).sum();
            *slope = exchange + at.x[i] * (1.0 - at.x[i] * at.x[i]);
        }
    })
    .autonomous()
    .jacobian(pattern, move |at, values| {
        for col in 0..n {
            for (row, k) in places.column(col) {
                let out = near(col).count() as f64 - 1.0;
                values[k] = if row == col { 1.0 - 3.0 * at.x[col] * at.x[col] - 900.0 * out } else { 900.0 };
            }
        }
    });
    let start: Vec<f64> = (0..n).map(|i| 0.1 + 0.8 * (i as f64 / 10.0).sin().powi(2)).collect();
    let given = Start::Given(&start);
    let tight = Options { method: Method::Rodas5p, rtol: 1e-11, ..Options::default() };
    let (_, truth, _) = solve(&rod, tight, (0.0, 1.0), given, &[], &[], &[1.0]);
    let (outcome, x, _) = solve(&rod, grid(Method::Radau5, 0.1), (0.0, 1.0), given, &[], &[], &[1.0]);
    assert_success(&outcome);
    for (a, b) in x[0].iter().zip(&truth[0]) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn a_step_without_a_solution_says_where() {
    // x' = x² from 1 leaves at t = 1: the equation of the step from 0.75, x1 = x + h x1², has no real solution.
    let blow_up = ClosureSystem::new(2, 0, |at, dx| dx.copy_from_slice(&[0.0, at.x[1] * at.x[1]])).autonomous();
    for method in METHODS {
        let (outcome, ..) = solve(&blow_up, grid(method, 0.25), (0.0, 2.0), Start::Given(&[1.0, 1.0]), &[], &[], &[]);
        match outcome.status {
            Status::NoConvergence { t, state } => assert!(state == 1 && t < 1.0, "{method:?}: {t}"),
            ref other => panic!("{method:?}: {other}"),
        }
    }
}
