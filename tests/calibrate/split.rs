//! Sensitivities of one evaluation on several threads.

use super::gradient::model;
use std::fmt::Write as _;
use std::sync::Arc;
use twinc::calibrate::{Experiment, FitSettings, Link, Measurement, Parameter, Problem, Scale, Target, Way};
use twinc::integrate::{Forcing, Tolerance};
use twinc::jit::{Kernels, Options};
use twinc::optimize::Local;

/// S0 ⇌ S1 ⇌ ... with all rates free, and among them a spread, which moves no state; `noise` is that of `y1`.
fn chain(n_species: usize, noise: &str, first_time: f64) -> Problem {
    let mut text = String::from("model Chain {\n");
    for i in 0..n_species - 1 {
        writeln!(text, "  param f{i} = {} in 1e-3 .. 1e3\n  param b{i} = {} in 1e-3 .. 1e3", 1 + i % 5, 1 + i % 3)
            .expect("text");
        if i == n_species / 2 {
            text.push_str("  param s = 0.2 in 0.01 .. 1.0\n");
        }
    }
    for i in 0..n_species {
        writeln!(text, "  species S{i} = {}", if i == 0 { "1.0" } else { "0.0" }).expect("text");
    }
    text.push_str("  reaction {\n");
    for i in 0..n_species - 1 {
        writeln!(text, "    S{i} -> S{} @ f{i}\n    S{} -> S{i} @ b{i}", i + 1, i + 1).expect("text");
    }
    writeln!(text, "  }}\n  observe y0 = f1*S0 ~ Normal(sd = s)\n  observe y1 = S2 ~ {noise}\n}}").expect("text");
    let model = model(&text);
    let n = 2 * (n_species - 1) + 1;
    let mut parameters: Vec<Parameter> = (model.params[..n].iter())
        .map(|p| Parameter {
            name: p.quantity.name.clone(),
            scale: Scale::Log,
            low: p.quantity.low,
            high: p.quantity.high,
            nominal: p.value,
            prior: None,
        })
        .collect();
    parameters.push(Parameter { name: "start".into(), nominal: 0.4, ..parameters[0].clone() });
    let mut links: Vec<Link> = (0..n).map(|k| Link { parameter: k, target: Target::Param(k) }).collect();
    links.push(Link { parameter: n, target: Target::Start(3) });
    let measurement = |k: u32| Measurement {
        time: first_time + 0.7 * f64::from(k),
        observable: (k as usize + 1) % 2,
        value: 0.3 + 0.01 * f64::from(k),
    };
    let experiment = Experiment {
        name: String::new(),
        system: Arc::new(Kernels::compile(model.clone(), &Options::default()).expect("compiles")),
        observables: model.observables.clone(),
        state_names: Vec::new(),
        params: model.params.iter().map(|p| p.value).collect(),
        links,
        start: Vec::new(),
        steady: None,
        forcing: Forcing::default(),
        t0: 0.0,
        tolerance: Tolerance::Scalar(1e-9),
        measurements: (0..8).map(measurement).collect(),
    };
    Problem::new(parameters, vec![experiment], &FitSettings { rtol: 1e-6, ..FitSettings::default() }).expect("a fit")
}

#[test]
fn an_evaluation_has_the_same_bits_on_any_number_of_threads() {
    // 90 states and 179 directions: enough for six blocks.
    let problem = chain(90, "Normal(sd = 0.1)", 0.5);
    let theta = problem.nominal();
    let n = theta.len();
    let at = |n_threads: usize| {
        let mut evaluator = problem.evaluator(None).unwrap().on_threads(n_threads).unwrap();
        let (mut local, mut gradient) = (Local::zeros(n), vec![0.0; n]);
        evaluator.information(&theta, &mut local).unwrap();
        let value = evaluator.gradient(&theta, Way::Forward, &mut gradient).unwrap();
        (value, gradient, local)
    };
    let (value, gradient, local) = at(1);
    assert_eq!((value, &gradient), (local.value, &local.gradient));
    assert!(gradient.iter().filter(|slope| **slope != 0.0).count() > 20);
    for n_threads in [2, 3, 4, 9] {
        let found = at(n_threads);
        assert_eq!((found.0, &found.1), (value, &gradient), "{n_threads} threads");
        assert_eq!((&found.2.gradient, &found.2.hessian), (&local.gradient, &local.hessian), "{n_threads} threads");
    }
}

#[test]
fn a_point_without_likelihood_is_told_alike_on_any_number_of_threads() {
    let problem = chain(90, "LogNormal(gsd = 1.2)", 0.0);
    let theta = problem.nominal();
    let said = |n_threads: usize| {
        let mut evaluator = problem.evaluator(None).unwrap().on_threads(n_threads).unwrap();
        let error = evaluator.information(&theta, &mut Local::zeros(theta.len())).unwrap_err();
        error.to_string()
    };
    let one = said(1);
    assert!(one.contains("`y1` is 0 at time 0"), "{one}");
    assert_eq!(said(2), one);
}
