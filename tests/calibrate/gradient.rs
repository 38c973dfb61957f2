//! Gradients of likelihoods by forward sensitivities and by the adjoint.

use super::{linear, stat5};
use num_dual::{DualNum, HyperDual64};
use std::sync::Arc;
use twinc::calibrate::{Experiment, FitSettings, Link, Measurement, Parameter, Problem, Scale, Target, Way};
use twinc::diag::Diagnostics;
use twinc::flat::{Distribution, FlatModel, Variation, flatten, tangent};
use twinc::integrate::{Forcing, Method, Tolerance};
use twinc::jit::{Kernels, Options};
use twinc::optimize::{Local, Objective};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};
use twinc::system::System;

/// Holds value and gradient by every way against those of the trust region's evaluation.
fn assert_ways_agree(problem: &Problem, theta: &[f64], tolerance: f64) {
    let mut evaluator = problem.evaluator(None).unwrap();
    let n = theta.len();
    let mut local = Local::zeros(n);
    evaluator.evaluate(theta, &mut local).unwrap();
    let norm = local.gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    for way in [Way::Forward, Way::Adjoint, Way::Auto] {
        let mut gradient = vec![f64::NAN; n];
        let value = evaluator.gradient(theta, way, &mut gradient).unwrap();
        assert!((value - local.value).abs() <= tolerance * local.value.abs(), "{way:?}: {value} {}", local.value);
        for (i, (a, b)) in gradient.iter().zip(&local.gradient).enumerate() {
            let allowed = if way == Way::Forward { 1e-14 } else { tolerance } * norm;
            assert!((a - b).abs() <= allowed, "{way:?} by {i}: {a} {b} of {norm}");
        }
    }
}

#[test]
fn stat5_gradient_is_the_same_both_ways() {
    for method in [Method::Rodas5p, Method::Auto] {
        let settings = FitSettings { rtol: 1e-10, method, ..FitSettings::default() };
        let Some(problem) = stat5::problem(&settings, 1e-11) else { return };
        for shift in [0.0, 0.3, -0.5] {
            let theta: Vec<f64> = problem.nominal().iter().map(|t| 0.9 * t + shift).collect();
            assert_ways_agree(&problem, &theta, 1e-7);
        }
    }
}

/// Priors, shared parameters, estimated starts, every noise, a measurement at the start.
#[test]
fn every_part_of_a_likelihood_has_its_gradient_both_ways() {
    let settings = FitSettings { rtol: 1e-9, priors: true, ..FitSettings::default() };
    let problem = linear::two_experiments(&settings);
    let nominal = problem.nominal();
    let moved: Vec<f64> = nominal.iter().enumerate().map(|(i, t)| t + 0.05 * (i as f64 - 3.0)).collect();
    for theta in [nominal, moved] {
        assert_ways_agree(&problem, &theta, 1e-7);
    }
}

#[test]
fn a_point_without_likelihood_says_why_both_ways() {
    let problem = linear::problem_with_negative_spread(&FitSettings::default());
    let mut theta = problem.nominal();
    let last = theta.len() - 1;
    theta[last] = -1.0;
    let mut evaluator = problem.evaluator(None).unwrap();
    let mut gradient = vec![0.0; theta.len()];
    for way in [Way::Forward, Way::Adjoint] {
        let error = evaluator.gradient(&theta, way, &mut gradient).unwrap_err();
        assert!(error.reason.starts_with("the spread of `y` is -"), "{way:?}: {}", error.reason);
    }
}

#[test]
fn few_parameters_go_forward_and_many_backward() {
    assert_eq!(Way::cheaper(1), Way::Forward);
    assert_eq!(Way::cheaper(1000), Way::Adjoint);
}

/// Growth on a substrate with an inhibitor, diluted at a fixed time and fed by a held dose: nonlinear in everything.
const GROWTH: &str = "\
model Growth {
  param mu = 0.8 in 1e-2 .. 1e2
  param half = 0.5 in 1e-2 .. 1e2
  param yield_ = 0.4 in 0.1 .. 1.0
  param start = 2.0 in 0.1 .. 10.0
  param keep = 0.7 in 0.1 .. 1.0
  param noise = 0.2 in 1e-2 .. 1e1
  state X = 0.1
  state S = start^2
  X' = mu*X*S/(half + S)
  S' = -mu*X*S/(half + S)/yield_ + 0.1*exp(-half*time)
  at 1.5 { X *= keep; S += keep*start }
  at 2.5 { X := X + 0.1*S*mu }
  observe biomass = X*(1 + 0.1*S) ~ Normal(sd = noise*(1 + X))
  observe food = S + 0.5 ~ LogNormal(gsd = 1 + noise)
}
";

/// Nothing is imported.
struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("nothing is imported"))
    }
}

pub(super) fn model(text: &str) -> Arc<FlatModel> {
    let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("model.twin", text));
    let module = twinc::hir::load(&mut sources, root, None, &NoFiles, false, &mut found);
    let flat = flatten(module.models.last().expect("a model"), &Variation::default(), &mut found);
    Arc::new(flat.unwrap_or_else(|| panic!("{:?}", found.iter().map(|d| &d.title).collect::<Vec<_>>())))
}

/// A fit of a model's first `n` parameters and of the start of its first state, every second one by its logarithm, with
/// the systems that second derivatives need.
fn curved_problem(text: &str, n: usize, priors: &[Option<Distribution>], measurements: Vec<Measurement>) -> Problem {
    let model = model(text);
    let compile =
        |model| -> Arc<dyn System> { Arc::new(Kernels::compile(model, &Options::default()).expect("compiles")) };
    let mut parameters: Vec<Parameter> = (model.params[..n].iter().enumerate())
        .map(|(k, p)| Parameter {
            name: p.quantity.name.clone(),
            scale: if k % 2 == 0 { Scale::Log } else { Scale::Linear },
            low: p.quantity.low,
            high: p.quantity.high,
            nominal: p.value,
            prior: priors.get(k).copied().flatten(),
        })
        .collect();
    let start = Parameter { name: "start".into(), nominal: 0.15, low: 0.01, high: 1.0, ..parameters[0].clone() };
    parameters.push(start);
    let mut links: Vec<Link> = (0..n).map(|k| Link { parameter: k, target: Target::Param(k) }).collect();
    links.push(Link { parameter: n, target: Target::Start(0) });
    let experiment = Experiment {
        name: String::new(),
        system: compile(model.clone()),
        observables: model.observables.clone(),
        state_names: Vec::new(),
        params: model.params.iter().map(|p| p.value).collect(),
        links,
        start: Vec::new(),
        steady: None,
        forcing: Forcing::default(),
        t0: 0.0,
        tolerance: Tolerance::Scalar(1e-12),
        measurements,
    };
    let tangent = tangent(&model, &experiment.moved_params()).expect("events at fixed times");
    let settings = FitSettings { rtol: 1e-11, priors: true, ..FitSettings::default() };
    let problem = Problem::new(parameters, vec![experiment], &settings).expect("a fit");
    problem.with_tangents(vec![compile(Arc::new(tangent))]).expect("the same model")
}

/// The Hessian column by column.
fn hessian(problem: &Problem, theta: &[f64]) -> Vec<Vec<f64>> {
    let mut evaluator = problem.evaluator(None).unwrap();
    let column = |j: usize| {
        let (mut unit, mut column) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
        unit[j] = 2.0;
        evaluator.hessian_vector(theta, &unit, &mut column).unwrap();
        column.iter().map(|value| 0.5 * value).collect()
    };
    (0..theta.len()).map(column).collect()
}

fn growth_problem() -> Problem {
    let priors =
        [Some(Distribution::LogNormal { median: 0.5, gsd: 1.6 }), Some(Distribution::Normal { mean: 0.6, sd: 0.2 })];
    let measurement =
        |k: i32| Measurement { time: 0.4 * f64::from(k), observable: k as usize % 2, value: 0.5 + 0.1 * f64::from(k) };
    curved_problem(GROWTH, 6, &priors, (0..12).map(measurement).collect())
}

/// x' = -k x² has x = x0/(1 + k x0 t): the Hessian by hyper-dual numbers.
#[test]
fn hessians_of_a_closed_form_are_those_of_dual_numbers() {
    let text = "model Decay {\n  param k = 0.7 in 1e-2 .. 1e2\n  param s = 0.3 in 0.1 .. 1.0\n  state X = 1\n  X' = -k*X^2\n  \
                observe y = X ~ Normal(sd = s*X)\n}\n";
    let times = [0.0, 0.5, 2.0, 5.0];
    let value = |t: f64| 0.2 / (1.0 + t);
    let measurements = times.iter().map(|&time| Measurement { time, observable: 0, value: value(time) }).collect();
    let problem = curved_problem(text, 2, &[], measurements);
    let theta = problem.nominal();
    let found = hessian(&problem, &theta);
    for i in 0..3 {
        for j in 0..3 {
            let mut moved: Vec<HyperDual64> = theta.iter().map(|&t| HyperDual64::from(t)).collect();
            moved[i].eps1 = 1.0;
            moved[j].eps2 = 1.0;
            // k and x0 are searched by their logarithms.
            let (k, s, x0) = (moved[0].exp(), moved[1], moved[2].exp());
            let terms = times.iter().map(|&t| {
                let x = x0 / (k * x0 * t + 1.0);
                let r = (-x + value(t)) / (s * x);
                (s * x).ln() + r * r * 0.5
            });
            let truth = terms.fold(HyperDual64::from(0.0), |sum, term| sum + term).eps1eps2;
            let norm = found[j][j].abs() + found[i][i].abs();
            assert!((found[j][i] - truth).abs() < 1e-8 * norm, "[{i}][{j}]: {} {truth}", found[j][i]);
        }
    }
}

#[test]
fn a_model_whose_events_move_has_no_tangent() {
    let text = |event: &str| {
        format!(
            "model M {{\n  param a = 1 in 0 .. 9\n  param b = 1 in 0 .. 9\n  state X = 1\n  X' = -a*X\n  {event}\n}}\n"
        )
    };
    for (event, moved, is_known) in [
        ("at b { X := a*X }", vec![0], true),
        ("at b { X := a*X }", vec![0, 1], false),
        ("every b from 2*b { X := a*X }", vec![1], false),
        ("when X < 0.5 { X := 1 }", vec![0], false),
    ] {
        let result = tangent(&model(&text(event)), &moved);
        assert_eq!(result.is_ok(), is_known, "{event}: {:?}", result.err());
    }
    let error = tangent(&model(&text("at b { X := a*X }")), &[1]).expect_err("moves");
    let what =
        "the time of `at b` depends on the state or on a parameter that moves; its second derivative is not known";
    assert_eq!(error.to_string(), what);
    assert!(tangent(&model(&text("")), &[7]).is_err());
}

#[test]
fn hessian_vector_products_are_differences_of_gradients() {
    let problem = growth_problem();
    let theta = problem.nominal();
    let n = theta.len();
    assert_ways_agree(&problem, &theta, 1e-7);
    let mut evaluator = problem.evaluator(None).unwrap();
    let hessian = hessian(&problem, &theta);
    for j in 0..n {
        let mut at = |step: f64| {
            let mut moved = theta.clone();
            moved[j] += step;
            let mut gradient = vec![0.0; n];
            evaluator.gradient(&moved, Way::Adjoint, &mut gradient).unwrap();
            gradient
        };
        let h = 1e-3;
        let [near, below, far, far_below] = [h, -h, 2.0 * h, -2.0 * h].map(&mut at);
        let norm = hessian[j].iter().map(|g| g * g).sum::<f64>().sqrt();
        for i in 0..n {
            let difference = (8.0 * (near[i] - below[i]) - (far[i] - far_below[i])) / (12.0 * h);
            assert!((hessian[j][i] - difference).abs() < 1e-6 * norm, "[{i}][{j}]: {} {difference}", hessian[j][i]);
        }
    }
    for (i, row) in hessian.iter().enumerate() {
        for (j, &a) in row.iter().enumerate().take(i) {
            let b = hessian[j][i];
            assert!((a - b).abs() < 1e-6 * (a.abs() + row[i].abs()), "[{i}][{j}]: {a} {b}");
        }
    }
    // Along no direction nothing changes.
    let mut product = vec![f64::NAN; n];
    evaluator.hessian_vector(&theta, &vec![0.0; n], &mut product).unwrap();
    assert!(product.iter().all(|value| *value == 0.0));
}

#[test]
fn hessian_vector_products_need_a_system_of_derivatives() {
    let problem = linear::two_experiments(&FitSettings::default());
    let theta = problem.nominal();
    let mut product = vec![0.0; theta.len()];
    let mut evaluator = problem.evaluator(None).unwrap();
    let error = evaluator.hessian_vector(&theta, &theta, &mut product).unwrap_err();
    assert_eq!(error.reason, "no system of derivatives along a direction was given in experiment `first`");
    let problem = linear::decay_problem(&FitSettings::default());
    let own = problem.experiments().map(|e| e.system.clone()).collect();
    let Err(error) = problem.with_tangents(own) else { panic!("has half the states") };
    assert_eq!(error.to_string(), "the derivative along a direction has 1 states, but needs 2");
}
