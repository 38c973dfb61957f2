//! TD3 on problems with known answers, and kept and gone on from.

use super::{Td3, Td3Settings};
use crate::learn::learner::Learner;
use crate::learn::problems::{Told, advance, bandit, gain, linear};
use crate::learn::tensors::Tensors;

fn small() -> Td3Settings {
    Td3Settings {
        hidden: vec![32, 32],
        critic_lr: 3e-3,
        actor_lr: 1e-3,
        batch: 64,
        start: 100,
        tau: 0.02,
        ..Td3Settings::default()
    }
}

fn action(learner: &dyn Learner, observation: &[f64]) -> f64 {
    let mut action = [0.0];
    learner.policy().act(observation, &mut action);
    action[0]
}

#[test]
fn finds_the_best_action_of_a_bandit() {
    let mut td3 = Td3::new(Box::new(bandit()), small(), 1);
    advance(&mut td3, 3000, &mut Told::default()).expect("finite");
    for o in [-0.9, -0.3, 0.4, 0.8] {
        let (found, best) = (action(&td3, &[o]), 0.3 + 0.4 * o);
        assert!((found - best).abs() < 0.08, "{o}: {found}, best {best}");
    }
}

#[test]
fn finds_the_gain_of_a_linear_problem() {
    let settings = Td3Settings { gamma: 0.9, noise: 0.5, target_noise: 0.05, actor_lr: 3e-4, batch: 128, ..small() };
    let mut td3 = Td3::new(Box::new(linear()), settings, 3);
    advance(&mut td3, 5000, &mut Told::default()).expect("finite");
    let best = gain(0.9);
    let gains: Vec<f64> = [-1.5, -0.8, 0.8, 1.5].iter().map(|x| -action(&td3, &[*x]) / x).collect();
    let mean = gains.iter().sum::<f64>() / 4.0;
    // The value is flat about the best action, so a policy that follows one noisy critic keeps a small offset.
    assert!((mean - best).abs() < 0.15 * best, "{gains:?}, best {best}");
    assert!(gains.iter().all(|gain| (gain - best).abs() < 0.4 * best), "{gains:?}, best {best}");
}

#[test]
fn going_on_from_a_checkpoint_gives_the_same_bytes() {
    let mut whole = Td3::new(Box::new(linear()), small(), 5);
    advance(&mut whole, 140, &mut Told::default()).expect("finite");
    assert!(whole.is_between(), "an episode has 20 steps");
    let kept = Tensors::from_bytes(&whole.save().to_bytes()).expect("of the format");
    let mut again = Td3::new(Box::new(linear()), small(), 99);
    again.load(&kept).expect("of the same task");
    let (mut told, mut told_again) = (Told::default(), Told::default());
    advance(&mut whole, 60, &mut told).expect("finite");
    advance(&mut again, 60, &mut told_again).expect("finite");
    assert_eq!((told.episodes, told.measured), (told_again.episodes, told_again.measured));
    assert!(whole.save().to_bytes() == again.save().to_bytes());
    let error = crate::learn::sac::Sac::new(Box::new(linear()), Default::default(), 1).load(&kept).expect_err("other");
    assert_eq!(error.to_string(), "`algorithm` is `td3`, expected `sac`");
}
