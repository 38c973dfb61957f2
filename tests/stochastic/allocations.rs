//! No step loop of a random path allocates: exact reactions, leaps, and steps of equations with noise.

use super::*;
use crate::integrate::allocations;

/// Exchange on a ring with a reaction of second order, an event in time and a condition, so that all that a path may do
/// between two steps is done.
fn ring() -> Counted {
    let mut text = String::from("model M { species { ");
    (0..40).for_each(|k| text.push_str(&format!("S{k} = {}; ", 100 + 10 * k)));
    text.push_str(
        "T = 0 }\n discrete n = 0; every 0.1 { n += 1 }; when T > 5 { n += 100 }\n reaction { S1 + S2 -> T @ 0.001; ",
    );
    (0..40).for_each(|k| text.push_str(&format!("S{k} -> S{} @ {}; ", (k + 1) % 40, 1 + k % 7)));
    text.push_str("} }");
    counted(&text)
}

/// Asserts that a path like one that was made before has nothing to ask for, however many steps it makes and times are
/// requested, and that it is many steps.
fn assert_none(mut solver: Stochastic<'_>, model: &FlatModel, at_least: u64, what: &str) {
    let (p, forcing) = declared(model);
    let samples: Vec<f64> = (0..=100).map(|k| f64::from(k) * 0.01).collect();
    let problem =
        Problem { t0: 0.0, t1: 1.0, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let mut sum = 0.0;
    let mut run = || {
        let mut observe = |sample: Sample<'_>| sum += sample.at.x[0];
        solver.solve(&problem, &samples, &mut stream(3, 0), &mut observe).expect("a valid question")
    };
    let first = run();
    assert!(first.status.is_success(), "{what}: {}", first.status);
    let before = allocations();
    let second = run();
    let count = allocations() - before;
    assert_eq!(second.statistics, first.statistics, "{what}");
    assert!(second.statistics.steps >= at_least, "{what}: {:?}", second.statistics);
    assert_eq!(count, 0, "{what}: {:?}", second.statistics);
}

#[test]
fn exact_paths_do_not_allocate_in_steps() {
    let model = ring();
    for selection in [Selection::Direct, Selection::NextReaction, Selection::Composition] {
        let solver = model.solver(StochasticMethod::Ssa, selection);
        assert_none(solver, model.kernels.model(), 10_000, &format!("{selection:?}"));
    }
}

#[test]
fn leaps_and_langevin_steps_do_not_allocate() {
    let model = ring();
    let leaps = model.solver(StochasticMethod::TauLeap, Selection::Auto);
    assert_none(leaps, model.kernels.model(), 100, "leaps");
    let options = StochasticOptions { step: Some(0.001), ..StochasticOptions::new(StochasticMethod::Cle) };
    assert_none(model.solver_with(options), model.kernels.model(), 1_000, "langevin");
}

#[test]
fn steps_with_declared_noise_do_not_allocate() {
    let model = noisy(
        "model M { noise w, v; state { x = 1; y = 2 }; discrete n = 0; every 0.1 { n += 1 }
         x' = 0.5*x + 0.8*x*w' + 0.6*x*v'; y' = -y + 0.1*exp(-y)*w' }",
    );
    for (method, has_noises) in [
        (StochasticMethod::Em, model),
        (
            StochasticMethod::Milstein,
            noisy(
                "model M { noise w, v; state { x = 1; y = 2 }; x' = 0.5*x + 0.8*x*w' + 0.6*x*v'; y' = -y + 0.1*y*v' }",
            ),
        ),
    ] {
        let options = StochasticOptions { step: Some(0.001), ..StochasticOptions::new(method) };
        let solver = Stochastic::new(&has_noises.kernels, Law::Diffusion(&has_noises.noise), options).expect("valid");
        assert_none(solver, has_noises.kernels.model(), 1_000, method.name());
    }
}
