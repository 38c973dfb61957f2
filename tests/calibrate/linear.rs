//! Models with closed solutions: what the likelihood, its gradient and the estimate must be is known without an
//! integration.

use std::sync::Arc;

use twinc::calibrate::experiment::CalibrateError;
use twinc::calibrate::{Experiment, FitSettings, Link, Measurement, Parameter, Problem, Scale, Target};
use twinc::calibrate::{confidence, multistart};
use twinc::flat::{Distribution, Noise, Observable, Quantity};
use twinc::integrate::{Forcing, Tolerance};
use twinc::optimize::{Local, Objective};
use twinc::source::{SourceId, Span};
use twinc::system::System;
use twinc::system::closure::ClosureSystem;

fn parameter(name: &str, scale: Scale, low: f64, high: f64, nominal: f64) -> Parameter {
    Parameter { name: name.into(), scale, low, high, nominal, prior: None }
}

fn observable(name: &str, value_output: usize, spread_output: Option<usize>, noise: Option<Noise>) -> Observable {
    let quantity = Quantity {
        name: name.into(),
        unit: String::new(),
        doc: String::new(),
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
        span: Span::new(SourceId(0), 0, 0),
    };
    Observable { quantity, value_output, spread_output, noise }
}

fn experiment(system: Arc<dyn System>, observables: Vec<Observable>, params: Vec<f64>) -> Experiment {
    Experiment {
        name: String::new(),
        system,
        observables,
        state_names: Vec::new(),
        params,
        links: Vec::new(),
        start: Vec::new(),
        steady: None,
        forcing: Forcing::default(),
        t0: 0.0,
        tolerance: Tolerance::Scalar(1e-12),
        measurements: Vec::new(),
    }
}

fn data(rows: &[(f64, usize, f64)]) -> Vec<Measurement> {
    rows.iter().map(|&(time, observable, value)| Measurement { time, observable, value }).collect()
}

/// x' = −k x, x(0) = a; outputs: x, its spread s + r x (Normal), c x, gsd (LogNormal), Laplace of scale b on x.
/// Parameters: k, a, s, r, c, gsd, b.
fn decay() -> Arc<dyn System> {
    Arc::new(
        ClosureSystem::new(1, 7, |at, dx| dx[0] = -at.p[0] * at.x[0])
            .autonomous()
            .initial(|at, x| x[0] = at.p[1])
            .outputs(5, |at, y| {
                let (x, p) = (at.x[0], at.p);
                y.copy_from_slice(&[x, p[2] + p[3] * x, p[4] * x, p[5], p[6]]);
            }),
    )
}

fn decay_observables() -> Vec<Observable> {
    vec![
        observable("normal", 0, Some(1), Some(Noise::Normal)),
        observable("ratio", 2, Some(3), Some(Noise::LogNormal)),
        observable("robust", 0, Some(4), Some(Noise::Laplace)),
    ]
}

/// Two experiments that share k: the first starts at the parameter a, the second at an estimated start value and with
/// its own c. Replicates, unsorted times, a measurement at the start.
pub fn two_experiments(settings: &FitSettings) -> Problem {
    let parameters = vec![
        Parameter {
            prior: Some(Distribution::LogNormal { median: 0.4, gsd: 2.0 }),
            ..parameter("k", Scale::Log, 1e-3, 1e2, 0.5)
        },
        Parameter {
            prior: Some(Distribution::Normal { mean: 2.0, sd: 0.7 }),
            ..parameter("a", Scale::Linear, 0.1, 10.0, 3.0)
        },
        parameter("s", Scale::Log, 1e-3, 1e1, 0.1),
        parameter("r", Scale::Linear, 0.0, 1.0, 0.05),
        parameter("c", Scale::Log, 1e-2, 1e2, 2.0),
        parameter("gsd", Scale::Linear, 1.01, 5.0, 1.5),
        parameter("b", Scale::Log, 1e-3, 1e1, 0.2),
        parameter("start", Scale::Log, 1e-1, 1e2, 5.0),
    ];
    let link = |parameter, target| Link { parameter, target };
    let first = Experiment {
        name: "first".into(),
        links: (0..7).map(|i| link(i, Target::Param(i))).collect(),
        measurements: data(&[
            (2.0, 0, 1.2),
            (0.0, 0, 3.1),
            (1.0, 0, 1.7),
            (1.0, 0, 1.9),
            (1.0, 1, 4.0),
            (3.0, 1, 1.5),
            (2.0, 2, 1.0),
            (4.0, 2, 0.6),
        ]),
        ..experiment(decay(), decay_observables(), vec![0.0; 7])
    };
    let second = Experiment {
        name: "second".into(),
        links: vec![
            link(0, Target::Param(0)),
            link(7, Target::Start(0)),
            link(5, Target::Param(5)),
            link(2, Target::Param(2)),
        ],
        t0: 1.0,
        measurements: data(&[(2.5, 1, 9.0), (1.5, 0, 4.0)]),
        ..experiment(decay(), decay_observables(), vec![0.0, 77.0, 0.0, 0.0, 3.0, 0.0, 1.0])
    };
    Problem::new(parameters, vec![first, second], settings).unwrap()
}

/// The objective of [`two_experiments`] from the closed solution and the densities as textbooks have them.
fn closed_form(values: &[f64], with_priors: bool) -> f64 {
    let &[k, a, s, r, c, gsd, b, start] = values else { panic!("eight values") };
    let pi = std::f64::consts::PI;
    let normal =
        |y: f64, m: f64, sd: f64| -(1.0 / (sd * (2.0 * pi).sqrt()) * (-(y - m).powi(2) / (2.0 * sd * sd)).exp()).ln();
    let log_normal = |y: f64, m: f64, gsd: f64| normal(y.ln(), m.ln(), gsd.ln()) + y.ln();
    let laplace = |y: f64, m: f64, b: f64| -((-(y - m).abs() / b).exp() / (2.0 * b)).ln();
    let x1 = |t: f64| a * (-k * t).exp();
    let x2 = |t: f64| start * (-k * (t - 1.0)).exp();
    let mut sum = 0.0;
    for (t, y) in [(0.0, 3.1), (1.0, 1.7), (1.0, 1.9), (2.0, 1.2)] {
        sum += normal(y, x1(t), s + r * x1(t));
    }
    sum += log_normal(4.0, c * x1(1.0), gsd) + log_normal(1.5, c * x1(3.0), gsd);
    sum += laplace(1.0, x1(2.0), b) + laplace(0.6, x1(4.0), b);
    sum += normal(4.0, x2(1.5), s) + log_normal(9.0, 3.0 * x2(2.5), gsd);
    if with_priors {
        sum += normal(k.ln(), 0.4_f64.ln(), 2.0_f64.ln()) + normal(a, 2.0, 0.7);
    }
    sum
}

#[test]
fn likelihood_and_gradient_are_those_of_the_closed_solution() {
    for priors in [true, false] {
        let settings = FitSettings { rtol: 1e-11, priors, ..FitSettings::default() };
        let problem = two_experiments(&settings);
        let mut evaluator = problem.evaluator(None).unwrap();
        let mut theta = problem.nominal();
        theta[0] += 0.2;
        theta[7] -= 0.1;
        let mut local = Local::zeros(8);
        evaluator.evaluate(&theta, &mut local).unwrap();
        let exact = |theta: &[f64]| closed_form(&problem.values(theta), priors);
        assert!((local.value - exact(&theta)).abs() < 1e-8, "{} {}", local.value, exact(&theta));
        assert!((evaluator.value(&theta).unwrap() - exact(&theta)).abs() < 1e-8);
        for i in 0..8 {
            let at = |h: f64| {
                let mut moved = theta.clone();
                moved[i] += h;
                exact(&moved)
            };
            let h = 2e-4;
            let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let name = &problem.parameters()[i].name;
            assert!((local.gradient[i] - difference).abs() < 1e-6, "{name}: {} {difference}", local.gradient[i]);
        }
    }
}

#[test]
fn predictions_are_sorted_by_time_and_add_up() {
    let settings = FitSettings { rtol: 1e-11, priors: false, ..FitSettings::default() };
    let problem = two_experiments(&settings);
    let theta = problem.nominal();
    let predictions = problem.evaluator(None).unwrap().predictions(&theta).unwrap();
    assert_eq!(predictions.len(), problem.n_measurements());
    let sum: f64 = predictions.iter().map(|p| p.value).sum();
    assert!((sum - closed_form(&problem.values(&theta), false)).abs() < 1e-8);
    let first: Vec<(f64, usize)> =
        predictions.iter().filter(|p| p.experiment == 0).map(|p| (p.time, p.measurement)).collect();
    assert_eq!(first, [(0.0, 1), (1.0, 2), (1.0, 3), (1.0, 4), (2.0, 0), (2.0, 6), (3.0, 5), (4.0, 7)]);
    let p = &predictions[0];
    assert_eq!((p.measured, p.median), (3.1, 3.0));
    assert!((p.residual - 0.1 / (0.1 + 0.05 * 3.0)).abs() < 1e-12);
}

/// The model line x' = b, x(0) = a has the least-squares estimate, its residual variance as σ², and the textbook
/// covariance (with σ² = RSS/n of the maximum likelihood).
#[test]
fn straight_line_has_the_estimate_and_intervals_of_the_textbook() {
    let line: Arc<dyn System> = Arc::new(
        ClosureSystem::new(1, 3, |at, dx| dx[0] = at.p[1])
            .autonomous()
            .initial(|at, x| x[0] = at.p[0])
            .outputs(2, |at, y| y.copy_from_slice(&[at.x[0], at.p[2]])),
    );
    let rows = [(0.0, 1.1), (1.0, 2.9), (2.0, 5.2), (3.0, 6.8), (4.0, 9.3), (4.0, 8.9)];
    let measured = Experiment {
        links: (0..3).map(|i| Link { parameter: i, target: Target::Param(i) }).collect(),
        measurements: rows.iter().map(|&(time, value)| Measurement { time, observable: 0, value }).collect(),
        ..experiment(line, vec![observable("y", 0, Some(1), Some(Noise::Normal))], vec![0.0; 3])
    };
    let parameters = vec![
        parameter("a", Scale::Linear, -50.0, 50.0, 0.0),
        parameter("b", Scale::Linear, -50.0, 50.0, 0.0),
        parameter("sd", Scale::Log, 1e-3, 1e2, 1.0),
    ];
    let settings = FitSettings { starts: 3, ..FitSettings::default() };
    let problem = Problem::new(parameters, vec![measured], &settings).unwrap();
    let fits = multistart::run(&problem, &settings, Vec::new(), &Arc::default(), &()).unwrap();
    let best = fits.best().unwrap();

    let n = rows.len() as f64;
    let (st, sy) = rows.iter().fold((0.0, 0.0), |(t, y), row| (t + row.0, y + row.1));
    let (stt, sty) = rows.iter().fold((0.0, 0.0), |(tt, ty), row| (tt + row.0 * row.0, ty + row.0 * row.1));
    let determinant = n * stt - st * st;
    let slope = (n * sty - st * sy) / determinant;
    let intercept = (sy - slope * st) / n;
    let rss: f64 = rows.iter().map(|(t, y)| (y - intercept - slope * t).powi(2)).sum();
    let variance = rss / n;
    for (found, exact) in best.values.iter().zip([intercept, slope, variance.sqrt()]) {
        assert!((found - exact).abs() < 1e-5, "{:?}", best.values);
    }
    let exact = 0.5 * n * (2.0 * std::f64::consts::PI * variance).ln() + 0.5 * n;
    assert!((best.objective - exact).abs() < 1e-8, "{} {exact}", best.objective);

    let verdict = confidence::of_start(&problem, best, 0.95).unwrap();
    let sds = [(variance * stt / determinant).sqrt(), (variance * n / determinant).sqrt(), (2.0 * n).sqrt().recip()];
    for (interval, sd) in verdict.intervals.iter().zip(sds) {
        assert!((interval.sd.unwrap() - sd).abs() < 1e-5, "{}", interval.name);
        assert!(interval.is_identifiable);
    }
    assert!((verdict.correlation[0][1] + st / (n * stt).sqrt()).abs() < 1e-6);
}

/// Only k c is determined by x' = −k c x: named as such.
#[test]
fn product_of_rate_constants_is_reported_unidentifiable() {
    let system: Arc<dyn System> = Arc::new(
        ClosureSystem::new(1, 2, |at, dx| dx[0] = -at.p[0] * at.p[1] * at.x[0])
            .autonomous()
            .initial(|_, x| x[0] = 1.0)
            .outputs(2, |at, y| y.copy_from_slice(&[at.x[0], 0.01])),
    );
    let measured = Experiment {
        links: (0..2).map(|i| Link { parameter: i, target: Target::Param(i) }).collect(),
        measurements: data(&[(1.0, 0, 0.61), (2.0, 0, 0.36), (3.0, 0, 0.23)]),
        ..experiment(system, vec![observable("y", 0, Some(1), Some(Noise::Normal))], vec![0.0; 2])
    };
    let parameters = vec![parameter("k", Scale::Log, 1e-3, 1e3, 1.0), parameter("c", Scale::Log, 1e-3, 1e3, 1.0)];
    let settings = FitSettings { starts: 10, ..FitSettings::default() };
    let problem = Problem::new(parameters, vec![measured], &settings).unwrap();
    let fits = multistart::run(&problem, &settings, Vec::new(), &Arc::default(), &()).unwrap();
    // All minima are as good as each other, and rounding says which is best; on a bound one parameter would be held.
    let is_inside = |values: &[f64]| values.iter().all(|v| (1.1e-3..0.9e3).contains(v));
    let least = fits.starts.iter().map(|start| start.objective).fold(f64::INFINITY, f64::min);
    let is_least = |objective: f64| objective < least + 1e-6;
    let best = fits.starts.iter().find(|start| is_least(start.objective) && is_inside(&start.values)).unwrap();
    assert!((best.values[0] * best.values[1] - 0.5).abs() < 0.02, "{:?}", best.values);
    let verdict = confidence::of_start(&problem, best, 0.95).unwrap();
    assert_eq!(verdict.unidentifiable.len(), 1);
    let components = &verdict.unidentifiable[0].components;
    assert_eq!(components.len(), 2);
    assert!((components[0].1 + components[1].1).abs() < 1e-6, "{components:?}");
}

#[test]
fn mistakes_in_the_description_are_named() {
    let settings = FitSettings::default();
    let parameters = || vec![parameter("k", Scale::Log, 1e-3, 1e2, 0.5)];
    let valid = Experiment {
        name: "run 1".into(),
        links: vec![Link { parameter: 0, target: Target::Param(0) }],
        measurements: data(&[(1.0, 0, 0.5)]),
        ..experiment(decay(), decay_observables(), vec![0.5, 1.0, 0.1, 0.0, 1.0, 2.0, 1.0])
    };
    let message = |parameters: Vec<Parameter>, experiment: Experiment| {
        Problem::new(parameters, vec![experiment], &settings).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(message(parameters(), valid.clone()), "");
    let at = |rows: &[(f64, usize, f64)]| Experiment { measurements: data(rows), ..valid.clone() };
    let messages = [
        message(vec![], valid.clone()),
        message(parameters(), at(&[])),
        message(vec![parameter("k", Scale::Log, 2.0, 1.0, 0.5)], valid.clone()),
        message(vec![parameter("k", Scale::Log, -1.0, 1.0, 0.5)], valid.clone()),
        message(
            vec![Parameter {
                prior: Some(Distribution::LogNormal { median: 1.0, gsd: 0.5 }),
                ..parameters().remove(0)
            }],
            valid.clone(),
        ),
        message(parameters(), at(&[(-1.0, 0, 0.5)])),
        message(parameters(), at(&[(1.0, 0, f64::NAN)])),
        message(parameters(), at(&[(1.0, 1, 0.0)])),
        message(parameters(), at(&[(1.0, 7, 0.5)])),
        message(parameters(), Experiment { observables: vec![observable("x", 0, None, None)], ..valid.clone() }),
        message(parameters(), Experiment { links: vec![valid.links[0], valid.links[0]], ..valid.clone() }),
        message(parameters(), Experiment { params: vec![0.0; 3], ..valid.clone() }),
        message(parameters(), Experiment { tolerance: Tolerance::PerState(vec![1.0; 2]), ..valid.clone() }),
    ]
    .join("\n");
    insta::assert_snapshot!(messages);
    let open =
        Problem::new(vec![parameter("k", Scale::Linear, 0.0, f64::INFINITY, 1.0)], vec![valid], &settings).unwrap();
    assert_eq!(multistart::start_point(&open, &settings, 0), Err(CalibrateError::OpenBounds { name: "k".into() }));
}

/// A fit of k and a of the decay to five points with fixed spread.
pub fn decay_problem(settings: &FitSettings) -> Problem {
    let measured = Experiment {
        links: vec![Link { parameter: 0, target: Target::Param(0) }, Link { parameter: 1, target: Target::Param(1) }],
        measurements: data(&[(0.0, 0, 3.1), (0.5, 0, 2.4), (1.0, 0, 1.9), (2.0, 0, 1.1), (4.0, 0, 0.4)]),
        ..experiment(decay(), decay_observables(), vec![0.0, 0.0, 0.1, 0.0, 1.0, 2.0, 1.0])
    };
    let parameters = vec![parameter("k", Scale::Log, 1e-3, 1e2, 0.5), parameter("a", Scale::Linear, 0.1, 10.0, 3.0)];
    Problem::new(parameters, vec![measured], settings).unwrap()
}

/// As [`decay_problem`] with an estimated spread that may be negative.
pub fn problem_with_negative_spread(settings: &FitSettings) -> Problem {
    let measured = Experiment {
        links: vec![Link { parameter: 0, target: Target::Param(0) }, Link { parameter: 1, target: Target::Param(2) }],
        measurements: data(&[(0.5, 0, 2.4), (1.0, 0, 1.9), (2.0, 0, 1.1)]),
        ..experiment(
            decay(),
            vec![observable("y", 0, Some(1), Some(Noise::Normal))],
            vec![0.0, 3.0, 0.1, 0.0, 1.0, 2.0, 1.0],
        )
    };
    let parameters = vec![parameter("k", Scale::Log, 1e-3, 1e2, 0.5), parameter("s", Scale::Linear, -1.0, 1.0, 0.1)];
    Problem::new(parameters, vec![measured], settings).unwrap()
}
