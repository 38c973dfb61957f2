//! A controller asked for advice beside somebody else who acts.

use super::study::{Study, run};
use twinc::control::controller::{Controller, Decision, Follows, LoopOptions, Reads};
use twinc::control::sqp::SqpSettings;
use twinc::random::stream;

/// Inputs advised, and states believed, at each instant of an episode in which `act` chooses by the advice.
fn beside(study: &Study, follows: Follows, act: impl Fn(f64) -> f64) -> Vec<(f64, Vec<f64>)> {
    let options = LoopOptions { preview: study.horizon + 1, reads: Reads::Seen, follows, ..LoopOptions::default() };
    let planner = study.planner(SqpSettings::default());
    let mut plant = study.plant();
    let mut controller = Controller::new(plant.task(), planner, study.belief(), options);
    plant.begin(&mut stream(0, 0));
    controller.begin(0, plant.state(), plant.input());
    let mut told = Vec::new();
    for _ in 0..20 {
        let Decision { input, .. } = controller.advise(&mut plant, &mut || 0.0);
        let advised = input[0];
        told.push((advised, controller.believed().to_vec()));
        plant.act(&[act(advised)]);
    }
    told
}

fn glucose() -> Study {
    Study::new("examples/rl_acr/glucose.twin", "Mpc")
}

#[test]
fn a_controller_that_is_followed_is_the_closed_loop() {
    let study = glucose();
    let trace = run(&mut study.closed_loop(SqpSettings::default()), 0, &mut || 0.0);
    for follows in [Follows::Applied, Follows::Advised] {
        let told = beside(&study, follows, |advised| advised);
        let inputs: Vec<f64> = told.iter().map(|(advised, _)| *advised).collect();
        assert_eq!(inputs, trace.inputs[..20]);
        let believed: Vec<f64> = told.into_iter().flat_map(|(_, believed)| believed).collect();
        assert_eq!(believed, trace.believed[..60]);
    }
}

/// Nothing acts on the patient. Who follows what acted believes in insulin at its base; who follows the advice believes
/// what that would have done. Both read the same glucose.
#[test]
fn a_controller_follows_what_acted_or_what_it_said() {
    let study = glucose();
    let applied = beside(&study, Follows::Applied, |_| 0.0);
    let advised = beside(&study, Follows::Advised, |_| 0.0);
    assert!(advised.iter().any(|(input, _)| *input > 0.1), "{advised:?}");
    let (base, n, step) = (7.0, 0.2814, 10.0_f64);
    let mut expected = base;
    for (k, ((_, still), (input, moved))) in applied.iter().zip(&advised).enumerate() {
        assert!((still[2] - base).abs() < 1e-9, "{k}: {still:?}");
        // I' = -n (I - Ib) + u, u held: exact.
        assert!((moved[2] - expected).abs() < 1e-6, "{k}: {moved:?} instead of {expected}");
        assert!((still[0] - moved[0]).abs() < 1e-9 * still[0], "{k}: {still:?}, {moved:?}");
        let rest = base + input / n;
        expected = rest + (expected - rest) * (-n * step).exp();
    }
}
