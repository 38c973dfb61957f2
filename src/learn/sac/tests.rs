//! SAC on problems with known answers, kept and gone on from, and against numbers that are not finite.

use std::f64::consts::PI;

use rand::Rng as _;

use super::{Sac, SacSettings};
use crate::decide::Environments;
use crate::learn::learner::{LearnError, Learner};
use crate::learn::policy::Squashed;
use crate::learn::problems::{Problem, Several, Told, advance, bandit, gain, linear, space};
use crate::learn::tensors::Tensors;
use crate::random::stream;

fn small() -> SacSettings {
    SacSettings {
        hidden: vec![32, 32],
        critic_lr: 3e-3,
        actor_lr: 3e-3,
        temperature_lr: 3e-3,
        batch: 64,
        tau: 0.02,
        temperature: 0.2,
        ..SacSettings::default()
    }
}

/// The deterministic policy's action.
fn action(learner: &dyn Learner, observation: &[f64]) -> f64 {
    let mut action = [0.0];
    learner.policy().act(observation, &mut action);
    action[0]
}

#[test]
fn finds_the_best_action_of_a_bandit() {
    for is_temperature_learnt in [true, false] {
        let settings = SacSettings { is_temperature_learnt, temperature: 0.02, ..small() };
        let mut sac = Sac::new(Box::new(bandit()), settings, 1);
        let mut told = Told::default();
        advance(&mut sac, 2500, &mut told).expect("finite");
        assert_eq!(told.episodes.len(), 2500);
        for o in [-0.9, -0.3, 0.4, 0.8] {
            let (found, best) = (action(&sac, &[o]), 0.3 + 0.4 * o);
            assert!((found - best).abs() < 0.08, "{o}: {found}, best {best}");
        }
    }
}

#[test]
fn finds_the_gain_of_a_linear_problem() {
    let settings = SacSettings { gamma: 0.9, is_temperature_learnt: false, temperature: 0.01, ..small() };
    let mut sac = Sac::new(Box::new(linear()), settings, 3);
    advance(&mut sac, 5000, &mut Told::default()).expect("finite");
    let best = gain(0.9);
    for x in [-1.5, -0.8, 0.8, 1.5] {
        let found = -action(&sac, &[x]) / x;
        assert!((found - best).abs() < 0.1 * best, "{x}: gain {found}, best {best}");
    }
}

#[test]
fn the_temperature_brings_about_the_target_entropy() {
    let settings = SacSettings { target_entropy: Some(-0.5), temperature: 0.1, ..small() };
    let mut sac = Sac::new(Box::new(bandit()), settings, 2);
    let mut told = Told::default();
    advance(&mut sac, 3000, &mut told).expect("finite");
    let entropies: Vec<f64> = told
        .measured
        .iter()
        .rev()
        .take(300)
        .flat_map(|(_, v)| v.iter().filter(|v| v.0 == "entropy").map(|v| v.1))
        .collect();
    let mean = entropies.iter().sum::<f64>() / entropies.len() as f64;
    assert!((mean + 0.5).abs() < 0.05, "{mean}");
}

#[test]
fn going_on_from_a_checkpoint_gives_the_same_bytes() {
    let settings = SacSettings { start: 40, ..small() };
    let mut whole = Sac::new(Box::new(linear()), settings.clone(), 5);
    advance(&mut whole, 100, &mut Told::default()).expect("finite");
    assert!(whole.is_between(), "an episode has 20 steps");
    let kept = Tensors::from_bytes(&whole.save().to_bytes()).expect("of the format");
    let mut again = Sac::new(Box::new(linear()), settings.clone(), 99);
    again.load(&kept).expect("of the same task");
    let (mut told, mut told_again) = (Told::default(), Told::default());
    advance(&mut whole, 60, &mut told).expect("finite");
    advance(&mut again, 60, &mut told_again).expect("finite");
    assert_eq!(told.episodes, told_again.episodes);
    assert_eq!(told.measured, told_again.measured);
    assert!(whole.save().to_bytes() == again.save().to_bytes());

    let mut other = Sac::new(Box::new(linear()), SacSettings { hidden: vec![32, 31], ..settings }, 5);
    let error = other.load(&kept).expect_err("other sizes").to_string();
    assert_eq!(error, "`actor/1/weight` has F32 [32, 32], expected F32 [32, 31]");
}

#[test]
fn several_copies_go_on_while_one_is_between_episodes() {
    let several = || Box::new(Several([20, 33].map(|n_steps| Problem { n_steps, ..linear() }).into()));
    let settings = SacSettings { start: 60, updates: 2, ..small() };
    let mut whole = Sac::new(several(), settings.clone(), 5);
    let mut told = Told::default();
    advance(&mut whole, 66, &mut told).expect("finite");
    assert_eq!(whole.n_steps(), 132);
    let lengths: Vec<u64> = told.episodes.iter().map(|episode| episode.length).collect();
    assert_eq!(lengths, [20, 33, 20, 20, 33]);
    assert!(whole.is_between(), "the second copy has ended its second episode, the first is in its fourth");
    let kept = whole.save();
    let mut again = Sac::new(several(), settings, 99);
    again.load(&kept).expect("of the same task");
    let (mut told, mut told_again) = (Told::default(), Told::default());
    advance(&mut whole, 40, &mut told).expect("finite");
    advance(&mut again, 40, &mut told_again).expect("finite");
    assert_eq!((told.episodes, told.measured), (told_again.episodes, told_again.measured));
    assert!(whole.save().to_bytes() == again.save().to_bytes());
}

#[test]
fn a_policy_comes_back_from_its_file() {
    let mut sac = Sac::new(Box::new(linear()), small(), 5);
    advance(&mut sac, 300, &mut Told::default()).expect("finite");
    let file = sac.save_policy().to_bytes();
    let mut policy = Squashed::load(&Tensors::from_bytes(&file).expect("of the format")).expect("a policy");
    for x in [-2.0, 0.1, 1.0] {
        let mut action_of_file = [0.0];
        crate::decide::Policy::act(&mut policy, &[x], &mut action_of_file);
        assert_eq!(action_of_file[0], action(&sac, &[x]));
    }
    let mut next = Sac::new(Box::new(linear()), small(), 6);
    next.start_from(&sac.save_policy()).expect("the same spaces");
    assert_eq!(action(&next, &[1.0]), action(&sac, &[1.0]));
    let error = Sac::new(Box::new(bandit()), small(), 6).start_from(&sac.save_policy()).expect_err("other spaces");
    assert_eq!(error.to_string(), "the spaces of what was saved are not those of this task");
}

#[test]
fn numbers_that_are_not_finite_end_learning_with_a_reason() {
    let problem = Problem {
        dynamics: |state, _| {
            state[0] += 1.0;
            (if state[0] > 40.0 { f64::NAN } else { 0.0 }, false)
        },
        start: |_, state| state[0] = 0.0,
        n_steps: 1000,
        ..linear()
    };
    let mut sac = Sac::new(Box::new(problem), small(), 1);
    let error = advance(&mut sac, 100, &mut Told::default()).expect_err("a reward is NaN");
    assert_eq!(error, LearnError::NotFinite { what: "the reward", at_step: 41 });

    let problem = Problem { dynamics: |state, _| (-1e30 * (1.0 + state[0].abs()), false), ..linear() };
    let mut sac = Sac::new(Box::new(problem), SacSettings { start: 50, ..small() }, 1);
    let error = advance(&mut sac, 100, &mut Told::default()).expect_err("squares overflow");
    assert_eq!(error, LearnError::NotFinite { what: "the loss of the critics", at_step: 51 });
    assert!(action(&sac, &[1.0]).is_finite());
}

/// The pendulum of Gymnasium (g = 10, m = l = 1, dt = 0.05).
fn pendulum() -> Problem {
    Problem {
        observations: space(&[-1.0, -1.0, -8.0], &[1.0, 1.0, 8.0]),
        actions: space(&[-2.0], &[2.0]),
        start: |rng, state| {
            state[0] = rng.random_range(-PI..PI);
            state[1] = rng.random_range(-1.0..1.0);
        },
        dynamics: |state, action| {
            let theta = (state[0] + PI).rem_euclid(2.0 * PI) - PI;
            let cost = theta * theta + 0.1 * state[1] * state[1] + 0.001 * action[0] * action[0];
            state[1] = (state[1] + 0.05 * (15.0 * state[0].sin() + 3.0 * action[0])).clamp(-8.0, 8.0);
            state[0] += 0.05 * state[1];
            (-cost, false)
        },
        observe: |state, observation| observation.copy_from_slice(&[state[0].cos(), state[0].sin(), state[1]]),
        advice: |_, advice| advice[0] = 0.0,
        n_steps: 200,
        state: vec![0.0; 2],
        step: 0,
    }
}

/// Mean return of so many episodes by the deterministic policy.
fn evaluate(sac: &Sac<'_>, n_episodes: u64) -> f64 {
    let (mut policy, mut problem) = (sac.policy(), pendulum());
    let (mut observation, mut action) = ([0.0; 3], [0.0]);
    let mut steps = [crate::decide::Step { reward: 0.0, terminated: false, truncated: false, failed: false }];
    let mut total = 0.0;
    for episode in 0..n_episodes {
        problem.reset(0, &mut stream(1234, episode), &mut observation).expect("starts");
        for _ in 0..200 {
            policy.act(&observation, &mut action);
            problem.step(&action, &mut observation, &mut steps);
            total += steps[0].reward;
        }
    }
    total / n_episodes as f64
}

#[test]
fn swings_a_pendulum_up() {
    let settings = SacSettings { hidden: vec![64, 64], critic_lr: 1e-3, actor_lr: 1e-3, ..SacSettings::default() };
    let mut sac = Sac::new(Box::new(pendulum()), settings, 1);
    advance(&mut sac, 6000, &mut Told::default()).expect("finite");
    let mean = evaluate(&sac, 20);
    // Without learning −1200; a good policy −150.
    assert!(mean > -300.0, "{mean}");
}

#[test]
#[ignore = "a minute in release; the bar in docs/performance.md"]
fn swings_a_pendulum_up_within_the_bar() {
    let mut sac = Sac::new(Box::new(pendulum()), SacSettings { critic_lr: 1e-3, ..SacSettings::default() }, 1);
    advance(&mut sac, 20_000, &mut Told::default()).expect("finite");
    let mean = evaluate(&sac, 100);
    println!("mean of 100 episodes after 20,000 steps: {mean:.1}");
    assert!(mean >= -180.0, "{mean}");
}
