//! Fits of experiments that start at their steady state: gradients against central differences.

use std::sync::Arc;

use twinc::calibrate::{FitSettings, Problem, Way, bind};
use twinc::diag::Diagnostics;
use twinc::jit::{self, Kernels, Needs};
use twinc::optimize::{Local, Objective};
use twinc::source::SourceMap;
use twinc::system::System;

use crate::compile::{Texts, check_with};

/// A cycle with a conserved total, of which one experiment gives the start, and a dose that comes after the rest.
const STUDY: &str = "model Cycle {
  time [s]
  species { W [uM] = 10; Wp [uM] = 0; S [uM] = 0 }
  param { k [1/s] = 0.3 in 0.01 .. 10; v [uM/s] = 2 in 0.1 .. 50; K [uM] = 3 in 0.1 .. 50; f [uM/s] = 1 in 0.1 .. 10 }
  reaction {
    W -> Wp rate k*W*S/(S + 1 [uM])
    Wp -> W rate v*Wp/(K + Wp)
    0 -> S rate f
    S -> 0 @ 0.5 [1/s]
  }
  observe y [uM] = Wp ~ Normal(sd = 0.1)
}
study Fit of Cycle {
  start steady
  data \"d.csv\" { time <- t [s]; y <- y [uM]; W <- w [uM] initial }
  experiment high {
    data \"d2.csv\" { time <- t [s]; y <- y [uM] }
    start f = 2 [uM/s]
  }
  at 1 [s] { S += 5 }
  estimate k, v, K
  estimate W in 1 .. 50
  fit trust_region { starts = 1 }
}";

/// Central differences (1e-5) of the same objective in SciPy: the root by `brentq`, the run after the dose by
/// `solve_ivp` at rtol 1e-11.
const SCIPY: [f64; 4] = [2206.477148, -1089.666244, 290.561014, 352.199736];

#[test]
fn gradients_carry_the_steady_start() {
    let texts = Texts(&[("d.csv", "t,y,w\n0,2.5,8\n2,3,8\n5,2.6,8\n"), ("d2.csv", "t,y\n0,3\n2,3.5\n6,3.4\n")]);
    let checked = check_with("m.twin", STUDY, false, &texts);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    let study = checked.module.study("Fit").expect("the study");
    let mut sources: SourceMap = checked.sources.clone();
    let mut found = Diagnostics::default();
    let bound = bind::bind(study, "m.twin", &texts, &mut sources, &mut found).expect("data that fit");
    let settings = FitSettings { rtol: 1e-10, ..bind::fit_settings(&study.fit) };
    let needs = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    let experiments = bound.experiments.into_iter().map(|experiment| {
        let model = bound.models[experiment.model].clone();
        let kernels = Kernels::compile(model.clone(), &jit::Options::default()).expect("machine code");
        kernels.prepare(needs).expect("machine code");
        let system: Arc<dyn System> = Arc::new(kernels);
        let experiment = experiment.into_experiment(&model, system, &settings);
        assert!(experiment.steady.is_some());
        experiment
    });
    let experiments: Vec<_> = experiments.collect();
    let problem = Problem::new(bound.parameters, experiments, &settings).expect("a fit");
    let theta = problem.nominal();
    let n = theta.len();
    let mut evaluator = problem.evaluator(None).expect("an evaluator");
    let mut local = Local::zeros(n);
    evaluator.evaluate(&theta, &mut local).expect("a value");
    // The adjoint goes through the steady start too.
    let mut backward = vec![0.0; n];
    evaluator.gradient(&theta, Way::Adjoint, &mut backward).expect("a gradient");
    for (a, b) in backward.iter().zip(&local.gradient) {
        assert!((a - b).abs() < 1e-7 * b.abs(), "{backward:?} {:?}", local.gradient);
    }
    for k in 0..n {
        let h = 1e-5 * theta[k].abs().max(1.0);
        let mut at = |sign: f64| {
            let mut moved = theta.clone();
            moved[k] += sign * h;
            evaluator.value(&moved).expect("a value")
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
        let size = local.gradient.iter().fold(0.0_f64, |a, g| a.max(g.abs()));
        assert!((local.gradient[k] - difference).abs() < 1e-5 * size, "{k}: {} {difference}", local.gradient[k]);
        // The first on the logarithmic scale.
        assert!((local.gradient[k] - SCIPY[k]).abs() < 1e-5 * size, "{k}: {} {}", local.gradient[k], SCIPY[k]);
    }
}
