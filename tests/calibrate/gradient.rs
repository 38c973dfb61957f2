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
