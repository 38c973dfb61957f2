//! RL-ACR: how the focus begins, what is done at first, that it lets go where the policy does better and nowhere else, and
//! that it is kept.

use super::{Acr, AcrSettings, Blend, Focus, FocusKind, FocusSettings};
use crate::decide::Policy;
use crate::learn::learner::Learner;
use crate::learn::problems::{Problem, Told, advance, gain, linear};
use crate::learn::sac::SacSettings;
use crate::learn::tensors::Tensors;

fn small() -> AcrSettings {
    let defaults = AcrSettings::default();
    AcrSettings {
        sac: SacSettings {
            hidden: vec![32, 32],
            critic_lr: 3e-3,
            actor_lr: 3e-3,
            batch: 64,
            tau: 0.02,
            gamma: 0.9,
            temperature: 0.01,
            start: 100,
            terminal: crate::learn::settings::Terminal::Terminated,
            ..defaults.sac
        },
        focus: FocusSettings {
            hidden: vec![16, 16],
            lr: 1e-3,
            pretrain_lr: 1e-2,
            pretrain_loss: 1e-7,
            ..defaults.focus
        },
    }
}

fn learner(problem: Problem, settings: &AcrSettings, seed: u64) -> Acr<'static> {
    let (focus, told) = Focus::pretrained((1, 1), &settings.focus, 0);
    assert!(told.is_converged, "{told:?}");
    Acr::new(Box::new(problem), settings.clone(), focus, seed)
}

/// What the blend does where `x` is observed and `advice` given, and the weight of the advice.
fn blended(acr: &Acr<'_>, x: f64, advice: f64) -> (f64, f64) {
    let mut blend = Blend::load(&acr.save_policy()).expect("a blend");
    let (mut action, mut same) = ([0.0], [0.0]);
    blend.act(&[x, advice], &mut action);
    acr.policy().act(&[x, advice], &mut same);
    assert_eq!(action, same);
    (action[0], f64::from(blend.weights(&[x])[0]))
}

#[test]
fn the_defaults_of_the_focus_are_trained_to_the_controller() {
    let settings = FocusSettings { pretrain_loss: 1e-4, pretrain_lr: 1e-3, ..FocusSettings::default() };
    let (mut focus, told) = Focus::pretrained((3, 2), &settings, 7);
    assert!(told.is_converged && told.n_steps > 10, "{told:?}");
    for o in [[-1.0, 1.0, 0.0], [0.5, 0.5, -1.0]] {
        for weight in focus.weights(&o, 1) {
            assert!((weight - 0.999).abs() < 0.05, "{weight}");
        }
    }
    let (mut again, told_again) = Focus::pretrained((3, 2), &settings, 7);
    assert_eq!(told, told_again);
    assert_eq!(focus.weights(&[0.1, 0.2, 0.3], 1), again.weights(&[0.1, 0.2, 0.3], 1));
}

#[test]
fn first_steps_are_the_controllers() {
    // The action space does not have 0 in its middle, so that 0 in its unit is not 0 of the networks.
    let mut problem = linear();
    problem.actions = crate::learn::problems::space(&[-1.0], &[3.0]);
    problem.dynamics = |_, action| (action[0], false);
    problem.advice = |_, advice| advice[0] = 2.0;
    let mut settings = small();
    settings.focus.pretrain = 0.9;
    let mut acr = learner(problem, &settings, 1);
    let mut told = Told::default();
    advance(&mut acr, 100, &mut told).expect("finite");
    assert_eq!(told.episodes.len(), 5);
    for episode in &told.episodes {
        assert!((episode.total - 20.0 * 2.0 * 0.9).abs() < 0.2, "{}", episode.total);
    }
}

#[test]
fn lets_go_of_a_poor_controller_and_finds_the_best() {
    // The controller's gain is 0.2, the best is 0.63.
    let mut acr = learner(linear(), &small(), 3);
    let mut told = Told::default();
    advance(&mut acr, 6000, &mut told).expect("finite");
    let best = gain(0.9);
    for x in [-1.5, 1.5] {
        let (action, weight) = blended(&acr, x, -0.2 * x);
        assert!((-action / x - best).abs() < 0.15 * best, "{x}: gain {}, best {best}", -action / x);
        assert!(weight < 0.5, "{x}: {weight}");
    }
    let focus = |k: usize| told.measured[k].1.iter().find(|v| v.0 == "focus").expect("measured").1;
    assert!(focus(0) > 0.99 && focus(told.measured.len() - 1) < 0.6, "{} {}", focus(0), focus(told.measured.len() - 1));
}

#[test]
fn keeps_a_controller_that_is_the_best() {
    let mut problem = linear();
    problem.advice = |state, advice| advice[0] = -gain(0.9) * state[0];
    // The policy does not learn, so it stays worse than the controller.
    let mut settings = small();
    settings.sac.actor_lr = 0.0;
    let mut acr = learner(problem, &settings, 3);
    advance(&mut acr, 3000, &mut Told::default()).expect("finite");
    for x in [-1.5, 1.5] {
        let (_, weight) = blended(&acr, x, -gain(0.9) * x);
        assert!(weight > 0.99, "{x}: {weight}");
    }
}

#[test]
fn one_number_can_weigh_too() {
    let mut settings = small();
    settings.focus.kind = FocusKind::Scalar;
    let mut acr = learner(linear(), &settings, 3);
    assert_eq!(blended(&acr, 1.0, -0.2).1, 1.0);
    advance(&mut acr, 120, &mut Told::default()).expect("finite");
    assert!(blended(&acr, 1.0, -0.2).1 <= 0.995 + 1e-7);
    advance(&mut acr, 4000, &mut Told::default()).expect("finite");
    let (left, right) = (blended(&acr, -1.0, 0.2).1, blended(&acr, 1.0, -0.2).1);
    assert_eq!(left, right);
    assert!(left < 0.6, "{left}");
}

#[test]
fn going_on_from_a_checkpoint_gives_the_same_bytes() {
    let mut whole = learner(linear(), &small(), 5);
    advance(&mut whole, 140, &mut Told::default()).expect("finite");
    assert!(whole.is_between(), "an episode has 20 steps");
    let kept = Tensors::from_bytes(&whole.save().to_bytes()).expect("of the format");
    let mut again = learner(linear(), &small(), 99);
    again.load(&kept).expect("of the same task");
    let (mut told, mut told_again) = (Told::default(), Told::default());
    advance(&mut whole, 60, &mut told).expect("finite");
    advance(&mut again, 60, &mut told_again).expect("finite");
    assert_eq!((told.episodes, told.measured), (told_again.episodes, told_again.measured));
    assert!(whole.save().to_bytes() == again.save().to_bytes());
    assert_eq!(
        crate::learn::policy::Squashed::load(&kept).expect_err("a blend").to_string(),
        "`policy` is `blend`, expected `squashed`"
    );
}
