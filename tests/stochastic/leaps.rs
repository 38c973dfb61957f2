//! Leaps and the Langevin equation against exact moments and the exact simulation.

use super::*;

const DIMERS: &str = "model M { species { A = 2000; B = 0; C = 0 }; param { k = 0.001; r = 0.5; d = 0.1 }
   reaction { 2 A <-> B @ k, r; B -> C @ d; A -> 0 @ d }; }";

/// Leaps of length τ are steps of Euler: at rest they raise the variance by 1/(1 − d τ/2), where τ = (ε n)²/(2 k) here. That
/// goes away with ε.
#[test]
fn leaps_have_the_moments_of_birth_and_death() {
    let model = counted("model M { species A = 100; param { k = 1000; d = 1 }; reaction { 0 -> A @ k; A -> 0 @ d } }");
    let samples = [0.5, 1.7, 6.0];
    for epsilon in [0.03, 0.01] {
        let options = StochasticOptions { epsilon, ..StochasticOptions::new(StochasticMethod::TauLeap) };
        let paths = model.paths(options, "A", &samples, 1000);
        let tau = (epsilon * 1000.0_f64).powi(2) / 2000.0;
        let most = 1.0 / (1.0 - 0.5 * tau);
        for (row, t) in samples.iter().enumerate() {
            let stays = (-t).exp();
            let mean = 100.0 * stays + 1000.0 * (1.0 - stays);
            let variance = 100.0 * stays * (1.0 - stays) + 1000.0 * (1.0 - stays);
            let values: Vec<f64> = paths.iter().map(|path| path[row]).collect();
            let (found, spread, _) = moments(&values);
            let sampling = 5.0 * f64::sqrt(2.0 / 1000.0);
            assert!((found / mean - 1.0).abs() < 0.02, "{epsilon}: mean at {t}: {found}, exactly {mean}");
            let ratio = spread / variance;
            assert!(
                ratio > 1.0 - sampling && ratio < most * (1.0 + sampling),
                "{epsilon}: at {t} {ratio}, most {most}"
            );
        }
    }
}

#[test]
fn leaps_agree_with_the_exact_simulation_and_are_fewer() {
    let model = counted(DIMERS);
    let samples = [0.5, 5.0];
    for state in ["A", "B", "C"] {
        let exact = model.paths(StochasticOptions::new(StochasticMethod::Ssa), state, &samples, 300);
        let leaps = model.paths(StochasticOptions::new(StochasticMethod::TauLeap), state, &samples, 300);
        for row in 0..samples.len() {
            let of = |paths: &[Vec<f64>]| moments(&paths.iter().map(|p| p[row]).collect::<Vec<_>>());
            let ((m, v, _), (n, w, _)) = (of(&exact), of(&leaps));
            assert!((m - n).abs() < 5.0 * ((v + w) / 300.0).sqrt() + 0.01 * m, "{state} {row}: {m} {n}");
            assert!((v / w).ln().abs() < 0.6, "{state} {row}: variances {v} {w}");
        }
    }
    let (exact, _) =
        path(&mut model.solver(StochasticMethod::Ssa, Selection::Auto), model.kernels.model(), &[5.0], 1, 0);
    let (leaps, _) =
        path(&mut model.solver(StochasticMethod::TauLeap, Selection::Auto), model.kernels.model(), &[5.0], 1, 0);
    assert!(leaps.statistics.steps * 5 < exact.statistics.steps, "{:?} {:?}", leaps.statistics, exact.statistics);
}

/// Few molecules that are used up fast, beside many: no count goes below zero, and laws are kept.
#[test]
fn leaps_never_go_below_zero() {
    let model = counted(
        "model M { species { A = 10000; E = 15; P = 0; X = 0 }; param { k = 0.01; d = 2; f = 5 }
         reaction { A + E -> P @ k; P -> E + X @ d; A -> X @ f; X -> 0 @ f }; conserved E + P }",
    );
    let samples: Vec<f64> = (0..=400).map(|k| f64::from(k) * 0.01).collect();
    let mut solver =
        model.solver_with(StochasticOptions { epsilon: 0.3, ..StochasticOptions::new(StochasticMethod::TauLeap) });
    let (e, p) = (model.state("E"), model.state("P"));
    for k in 0..50 {
        let (outcome, seen) = path(&mut solver, model.kernels.model(), &samples, 5, k);
        assert!(outcome.status.is_success());
        for x in &seen {
            assert!(x.iter().all(|n| *n >= 0.0 && n.fract() == 0.0), "{x:?}");
        }
        let last = seen.last().expect("rows");
        assert_eq!(last[e] + last[p], 15.0);
    }
}

/// For laws of first order the Langevin equation has the exact first two moments, up to the step.
#[test]
fn the_langevin_equation_has_the_moments_of_birth_and_death() {
    let model = counted("model M { species A = 100; param { k = 1000; d = 1 }; reaction { 0 -> A @ k; A -> 0 @ d } }");
    let options = StochasticOptions { step: Some(0.005), ..StochasticOptions::new(StochasticMethod::Cle) };
    let paths = model.paths(options, "A", &[0.5, 4.0], 2000);
    for (row, t) in [0.5_f64, 4.0].iter().enumerate() {
        let stays = (-t).exp();
        let mean = 100.0 * stays + 1000.0 * (1.0 - stays);
        let variance = 100.0 * stays * (1.0 - stays) + 1000.0 * (1.0 - stays);
        let values: Vec<f64> = paths.iter().map(|path| path[row]).collect();
        let (found, spread, _) = moments(&values);
        assert!((found - mean).abs() < 5.0 * (variance / 2000.0).sqrt() + 0.005 * mean, "{t}: {found} {mean}");
        assert!((spread / variance - 1.0).abs() < 5.0 * (2.0_f64 / 2000.0).sqrt() + 0.01, "{t}: {spread} {variance}");
    }
}

#[test]
fn the_langevin_equation_keeps_conservation_laws() {
    let model = counted("model M { species { A = 1000; B = 0 }; param { f = 1; b = 0.5 }; reaction A <-> B @ f, b }");
    let options = StochasticOptions { step: Some(0.01), ..StochasticOptions::new(StochasticMethod::Cle) };
    let (_, seen) = path(&mut model.solver_with(options), model.kernels.model(), &[1.0, 10.0], 1, 0);
    assert!(seen.iter().all(|x| (x[0] + x[1] - 1000.0).abs() < 1e-9), "{seen:?}");
    assert!(seen[1][0].fract() != 0.0);
}
