//! Gradients of likelihoods by forward sensitivities and by the adjoint.

use super::{linear, stat5};
use twinc::calibrate::{FitSettings, Problem, Way};
use twinc::integrate::Method;
use twinc::optimize::{Local, Objective};

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

/// The model as systems with and without derivatives along the parameters that are estimated, in a fit of all but the
/// start of X, which is estimated as a start.
fn growth_problem() -> Problem {
    use std::sync::Arc;
    use twinc::calibrate::{Experiment, Link, Measurement, Parameter, Scale, Target};
    use twinc::diag::Diagnostics;
    use twinc::flat::{Distribution, Variation, flatten, tangent};
    use twinc::integrate::{Forcing, Tolerance};
    use twinc::jit::{Kernels, Options};
    use twinc::source::{LoadError, Loader, SourceFile, SourceMap};
    use twinc::system::System;

    struct NoFiles;
    impl Loader for NoFiles {
        fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
            Err(LoadError { reason: "nothing is imported".to_owned() })
        }
    }
    let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("growth.twin", GROWTH));
    let module = twinc::hir::load(&mut sources, root, None, &NoFiles, false, &mut found);
    let flat = flatten(module.models.last().expect("a model"), &Variation::default(), &mut found);
    let model = Arc::new(flat.unwrap_or_else(|| panic!("{:?}", found.iter().map(|d| &d.title).collect::<Vec<_>>())));
    let compile =
        |model| -> Arc<dyn System> { Arc::new(Kernels::compile(model, &Options::default()).expect("compiles")) };

    let mut parameters: Vec<Parameter> = (model.params[..6].iter().enumerate())
        .map(|(k, p)| Parameter {
            name: p.quantity.name.clone(),
            scale: if k % 2 == 0 { Scale::Log } else { Scale::Linear },
            low: p.quantity.low,
            high: p.quantity.high,
            nominal: p.value,
            prior: None,
        })
        .collect();
    parameters[0].prior = Some(Distribution::LogNormal { median: 0.5, gsd: 1.6 });
    parameters[1].prior = Some(Distribution::Normal { mean: 0.6, sd: 0.2 });
    parameters.push(Parameter { name: "X0".into(), nominal: 0.15, low: 0.01, high: 1.0, ..parameters[0].clone() });
    let mut links: Vec<Link> = (0..6).map(|k| Link { parameter: k, target: Target::Param(k) }).collect();
    links.push(Link { parameter: 6, target: Target::Start(0) });
    let experiment = Experiment {
        name: String::new(),
        system: compile(model.clone()),
        observables: model.observables.clone(),
        state_names: Vec::new(),
        params: model.params.iter().map(|p| p.value).collect(),
        links,
        start: Vec::new(),
        forcing: Forcing::default(),
        t0: 0.0,
        tolerance: Tolerance::Scalar(1e-12),
        measurements: (0..12)
            .map(|k| Measurement {
                time: 0.4 * f64::from(k),
                observable: k as usize % 2,
                value: 0.5 + 0.1 * f64::from(k),
            })
            .collect(),
    };
    let tangent = tangent(&model, &experiment.moved_params()).expect("events at fixed times");
    let settings = FitSettings { rtol: 1e-11, priors: true, ..FitSettings::default() };
    let problem = Problem::new(parameters, vec![experiment], &settings).expect("a fit");
    problem.with_tangents(vec![compile(Arc::new(tangent))]).expect("the same model")
}

#[test]
fn hessian_vector_products_are_differences_of_gradients() {
    let problem = growth_problem();
    let theta = problem.nominal();
    let n = theta.len();
    assert_ways_agree(&problem, &theta, 1e-7);
    let mut evaluator = problem.evaluator(None).unwrap();
    let mut hessian = vec![vec![0.0; n]; n];
    for j in 0..n {
        let mut unit = vec![0.0; n];
        unit[j] = 2.0;
        evaluator.hessian_vector(&theta, &unit, &mut hessian[j]).unwrap();
        hessian[j].iter_mut().for_each(|value| *value *= 0.5);
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
    for i in 0..n {
        for j in 0..i {
            let (a, b) = (hessian[i][j], hessian[j][i]);
            assert!((a - b).abs() < 1e-6 * (a.abs() + hessian[i][i].abs()), "[{i}][{j}]: {a} {b}");
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
