//! Observed orders on a nonlinear problem that depends on time, with a closed form for solution and sensitivity.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, solve};
use twinc::integrate::{Direction, Method, Options, Start};

/// y1 = exp(a sin t²), y2 = exp(5 a sin t²), y3 = a sin t² + 1, y4 = cos t² (the reference tables' problem, with a
/// parameter a that is 1 there).
#[derive(Clone)]
struct Waves;

impl Rhs for Waves {
    fn f<D: Number>(&self, t: D, x: &[D], _u: &[D], p: &[D], dx: &mut [D]) {
        let a = p[0];
        dx[0] = t * a * x[1].powf(0.2) * x[3] * 2.0;
        dx[1] = t * a * ((x[2] - 1.0) * 5.0).exp() * x[3] * 10.0;
        dx[2] = t * a * x[3] * 2.0;
        dx[3] = t * x[0].ln() / a * -2.0;
    }
}

fn exact(t: f64) -> ([f64; 4], [f64; 4]) {
    let sin = (t * t).sin();
    let y = [sin.exp(), (5.0 * sin).exp(), sin + 1.0, (t * t).cos()];
    (y, [sin * y[0], 5.0 * sin * y[1], sin, 0.0])
}

fn error(values: &[f64], truth: &[f64]) -> f64 {
    values.iter().zip(truth).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

/// Errors at `t` of state and sensitivity for 2^k steps over [0, 1].
fn errors(method: Method, k: i32, t: f64) -> (f64, f64) {
    let waves = system(Waves, 4, 1, None);
    let options = Options { method, fixed_step: Some(0.5_f64.powi(k)), ..Options::default() };
    let start = Start::Given(&[1.0, 1.0, 1.0, 1.0]);
    let (outcome, x, s) = solve(&waves, options, (0.0, 1.0), start, &[1.0], &[Direction::parameter(0)], &[t]);
    assert_success(&outcome);
    assert_eq!(outcome.statistics.steps, 1 << k);
    let (y, dy) = exact(t);
    (error(&x[0], &y), error(&s[0], &dy))
}

fn slopes(method: Method, levels: std::ops::Range<i32>, t: f64) -> Vec<(f64, f64)> {
    let all: Vec<_> = levels.map(|k| errors(method, k, t)).collect();
    all.windows(2).map(|w| ((w[0].0 / w[1].0).log2(), (w[0].1 / w[1].1).log2())).collect()
}

fn assert_order(method: Method, levels: std::ops::Range<i32>, t: f64, order: f64) {
    let slopes = slopes(method, levels, t);
    let last = slopes.last().expect("two levels");
    let close = |slope: f64| (slope - order).abs() <= 0.3;
    assert!(close(last.0) && close(last.1), "{method:?} at {t}: observed {slopes:?}, theory {order}");
}

#[test]
fn tsit5_is_fifth_order() {
    assert_order(Method::Tsit5, 5..9, 1.0, 5.0);
}

#[test]
fn dop853_is_eighth_order() {
    assert_order(Method::Dop853, 3..6, 1.0, 8.0);
}

#[test]
fn rodas5p_is_fifth_order() {
    assert_order(Method::Rodas5p, 5..9, 1.0, 5.0);
}

#[test]
fn grid_methods_have_their_orders() {
    assert_order(Method::Euler, 8..11, 1.0, 1.0);
    assert_order(Method::Rk4, 6..9, 1.0, 4.0);
    assert_order(Method::ImplicitEuler, 8..11, 1.0, 1.0);
    assert_order(Method::Radau3, 5..8, 1.0, 3.0);
    assert_order(Method::Radau5, 4..7, 1.0, 5.0);
}

/// A sample halfway through a step is interpolated; one step's local error is of order q + 1 for an interpolant of order q.
#[test]
fn dense_output_has_its_order() {
    for (method, levels, least) in
        [(Method::Tsit5, 5..9, 3.7), (Method::Rodas5p, 5..9, 3.7), (Method::Dop853, 2..5, 6.7)]
    {
        let all: Vec<_> = levels.map(|k| errors(method, k, 1.0 - 0.5 * 0.5_f64.powi(k))).collect();
        let slopes: Vec<_> = all.windows(2).map(|w| ((w[0].0 / w[1].0).log2(), (w[0].1 / w[1].1).log2())).collect();
        let last = slopes.last().expect("two levels");
        assert!(last.0 > least && last.1 > least, "{method:?}: {slopes:?}");
    }
}
