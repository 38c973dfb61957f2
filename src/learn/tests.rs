//! Learners on tasks so small that the best policy is known.

use super::cpo::{Cpo, CpoSettings};
use super::distill::{Distill, DistillSettings};
use super::dqn::{Dqn, DqnSettings};
use super::interaction::Interaction;
use super::learner::{Episode, LearnError, Learner, Log};
use super::ppo::{Ppo, PpoSettings};
use super::ppo_lagrangian::{PpoLagrangian, PpoLagrangianSettings};
use super::scaler::Scaling;
use crate::decide::{Advised, Environments, Space, Step};
use crate::random::{Rng, stream};
use rand::Rng as _;

/// A task with a state of one whole number and a hidden uniform number, which decides what is random about an episode.
#[derive(Clone, Copy)]
struct Rules {
    n_observations: usize,
    most_steps: u32,
    start: fn(&mut Rng) -> f64,
    /// State, hidden number and action to the next state, the reward, and whether it failed.
    step: fn(f64, f64, f64) -> (f64, f64, bool),
    observe: fn(f64, &mut [f64]),
    advise: fn(f64) -> f64,
}

struct Task {
    rules: Rules,
    observations: Space,
    actions: Space,
    /// Per copy its state, the hidden number and how many steps were made.
    copies: Vec<(f64, f64, u32)>,
}

fn space(n: usize, end: f64) -> Space {
    Space { names: (0..n).map(|k| format!("axis {k}")).collect(), low: vec![-end; n], high: vec![end; n] }
}

fn task(rules: Rules, n_copies: usize) -> Box<Task> {
    let observations = space(rules.n_observations, f64::INFINITY);
    Box::new(Task { rules, observations, actions: space(1, 1.0), copies: vec![(0.0, 0.0, 0); n_copies] })
}

impl Environments for Task {
    fn n_copies(&self) -> usize {
        self.copies.len()
    }

    fn observation_space(&self) -> &Space {
        &self.observations
    }

    fn action_space(&self) -> &Space {
        &self.actions
    }

    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        let state = (self.rules.start)(rng);
        self.copies[copy] = (state, rng.random(), 0);
        (self.rules.observe)(state, observation);
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let rows = observations.chunks_exact_mut(self.rules.n_observations).zip(steps);
        for (((state, hidden, n_steps), action), (observation, step)) in self.copies.iter_mut().zip(actions).zip(rows) {
            let (next, reward, failed) = (self.rules.step)(*state, *hidden, *action);
            (*state, *n_steps) = (next, *n_steps + 1);
            (self.rules.observe)(next, observation);
            // A task of one step is done after it; of the others the time is up.
            let (is_single, is_last) = (self.rules.most_steps == 1, *n_steps >= self.rules.most_steps);
            *step = Step { reward, terminated: failed || is_single, truncated: is_last && !is_single, failed };
        }
    }

    fn reason(&self, _: usize) -> &str {
        ""
    }

    fn save(&self) -> Vec<u8> {
        let numbers = self.copies.iter().flat_map(|(state, hidden, n)| [*state, *hidden, f64::from(*n)]);
        numbers.flat_map(f64::to_le_bytes).collect()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let numbers: Vec<f64> = saved.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        if numbers.len() != 3 * self.copies.len() {
            return Err("another number of copies".to_string());
        }
        for (copy, saved) in self.copies.iter_mut().zip(numbers.chunks_exact(3)) {
            *copy = (saved[0], saved[1], saved[2] as u32);
        }
        Ok(())
    }
}

impl Advised for Task {
    fn advise(&mut self, advice: &mut [f64]) {
        for (advice, (state, ..)) in advice.iter_mut().zip(&self.copies) {
            *advice = (self.rules.advise)(*state);
        }
    }
}

/// What happened.
#[derive(Default)]
struct Heard {
    episodes: Vec<Episode>,
    measured: Vec<(&'static str, f64)>,
}

impl Log for Heard {
    fn episode(&mut self, episode: &Episode) {
        self.episodes.push(episode.clone());
    }

    fn measured(&mut self, _: u64, values: &[(&'static str, f64)]) {
        self.measured.extend(values);
    }
}

impl Heard {
    /// Mean reward and part of failures over the last episodes.
    fn last(&self, n: usize) -> (f64, f64) {
        let last = &self.episodes[self.episodes.len() - n..];
        let total: f64 = last.iter().map(|e| e.total).sum();
        let failed = last.iter().filter(|e| e.failed).count();
        (total / n as f64, failed as f64 / n as f64)
    }
}

fn run(learner: &mut dyn Learner, n_units: usize) -> Heard {
    let mut heard = Heard::default();
    for _ in 0..n_units {
        learner.advance(&mut heard).expect("goes on");
    }
    heard
}

const N: usize = 5;
const GAMMA: f64 = 0.9;

/// Five states in a row. Right of the last is 1, left of the first is 0.7, all else nothing: so it is best to stay at the left
/// end, and from everywhere else to walk to the right one. Episodes are cut after six steps, and whoever takes that for an end
/// of the world stays near the left from the second state too.
const CHAIN: Rules = Rules {
    n_observations: N,
    most_steps: 6,
    start: |rng| f64::from(rng.random_range(0..N as u8)),
    step: |state, _, action| chain(state, action > 0.0),
    observe: |state, out| out.iter_mut().enumerate().for_each(|(k, v)| *v = if k as f64 == state { 1.0 } else { 0.0 }),
    advise: |state| if state > 0.0 { 1.0 } else { -1.0 },
};

fn chain(state: f64, is_right: bool) -> (f64, f64, bool) {
    let last = (N - 1) as f64;
    match is_right {
        true if state == last => (last, 1.0, false),
        true => (state + 1.0, 0.0, false),
        false if state == 0.0 => (0.0, 0.7, false),
        false => (state - 1.0, 0.0, false),
    }
}

/// Values of left and right in each state, by value iteration.
fn chain_values() -> [[f64; 2]; N] {
    let mut values = [[0.0f64; 2]; N];
    for _ in 0..500 {
        let best = values.map(|[left, right]| left.max(right));
        for (state, values) in values.iter_mut().enumerate() {
            for (value, is_right) in values.iter_mut().zip([false, true]) {
                let (next, reward, _) = chain(state as f64, is_right);
                *value = reward + GAMMA * best[next as usize];
            }
        }
    }
    values
}

/// True where the policy is right of every state where that is best.
fn is_best_on_chain(learner: &dyn Learner) -> bool {
    let mut policy = learner.policy();
    chain_values().iter().enumerate().all(|(state, [left, right])| {
        let (mut observation, mut action) = ([0.0; N], [0.0]);
        (CHAIN.observe)(state as f64, &mut observation);
        policy.act(&observation, &mut action);
        (action[0] > 0.0) == (right > left)
    })
}

#[test]
fn the_best_policy_of_the_chain_is_as_described() {
    let values = chain_values();
    let rights: Vec<bool> = values.iter().map(|[left, right]| right > left).collect();
    assert_eq!(rights, [false, true, true, true, true]);
    assert!((values[0][0] - 7.0).abs() < 1e-9 && (values[0][1] - 6.561).abs() < 1e-9);
}

fn chain_ppo() -> PpoSettings {
    PpoSettings {
        n_steps: 60,
        batch: 120,
        epochs: 10,
        lr: 3e-3,
        gamma: GAMMA,
        entropy: 0.02,
        hidden: vec![32],
        levels: 2,
        ..PpoSettings::default()
    }
}

#[test]
fn ppo_finds_the_best_policy_of_the_chain() {
    for seed in 0..3 {
        let mut learner = Ppo::new(task(CHAIN, 8), chain_ppo(), seed).expect("fits");
        run(&mut learner, 60);
        assert!(is_best_on_chain(&learner), "seed {seed}");
    }
}

#[test]
fn cpo_finds_the_best_policy_of_the_chain() {
    for seed in 0..2 {
        let settings = CpoSettings {
            n_steps: 60,
            target_kl: 0.02,
            value_lr: 1e-2,
            value_steps: 20,
            gamma: GAMMA,
            hidden: vec![32],
            levels: 2,
            cost_limit: 1.0,
            ..CpoSettings::default()
        };
        let mut learner = Cpo::new(task(CHAIN, 8), settings, seed).expect("fits");
        run(&mut learner, 40);
        assert!(is_best_on_chain(&learner), "seed {seed}");
    }
}

fn chain_dqn() -> DqnSettings {
    DqnSettings {
        lr: 3e-3,
        gamma: GAMMA,
        learning_starts: 200,
        train_every: 8,
        gradient_steps: 2,
        target_every: 200,
        exploration: 1.0,
        exploration_end: 0.3,
        hidden: vec![32],
        total_steps: 12_000,
        ..DqnSettings::default()
    }
}

#[test]
fn dqn_finds_the_best_policy_of_the_chain_and_what_it_is_worth() {
    let plain = chain_dqn();
    let options = [
        plain.clone(),
        DqnSettings { double: true, ..plain.clone() },
        DqnSettings { dueling: true, ..plain.clone() },
        DqnSettings { observations: Scaling::Running, ..plain },
    ];
    for (seed, settings) in options.into_iter().enumerate() {
        let mut learner = Dqn::new(task(CHAIN, 2), settings.clone(), seed as u64).expect("fits");
        let heard = run(&mut learner, 6000);
        assert!(is_best_on_chain(&learner), "{settings:?}");
        let said: Vec<f64> = heard.measured.iter().filter(|(name, _)| *name == "value").map(|m| m.1).collect();
        let last = said[said.len() - 50..].iter().sum::<f64>() / 50.0;
        let values = chain_values();
        let (low, high) = (values[1][0], values[N - 1][1]);
        assert!(last > low && last < high, "{last}");
    }
}

#[test]
fn dqn_with_returns_over_three_steps_finds_the_best_policy_of_the_chain() {
    // Returns over random steps are worth less than the best ones, so there must be few of those.
    let settings = DqnSettings { returns_over: 3, exploration_end: 0.05, exploration: 0.5, ..chain_dqn() };
    let mut learner = Dqn::new(task(CHAIN, 2), settings, 1).expect("fits");
    run(&mut learner, 6000);
    assert!(is_best_on_chain(&learner));
}

/// One action, at best 0.3.
const PEAK: Rules = Rules {
    n_observations: 1,
    most_steps: 1,
    start: |_| 0.0,
    step: |_, _, action| (0.0, -(action - 0.3) * (action - 0.3), false),
    observe: |_, out| out[0] = 1.0,
    advise: |_| 0.3,
};

fn acts(learner: &dyn Learner, observation: &[f64]) -> f64 {
    let mut action = [0.0];
    learner.policy().act(observation, &mut action);
    action[0]
}

#[test]
fn real_actions_come_to_the_peak() {
    let ppo =
        PpoSettings { n_steps: 64, batch: 128, lr: 3e-3, hidden: vec![16], log_spread: -0.5, ..PpoSettings::default() };
    let mut learner = Ppo::new(task(PEAK, 8), ppo, 2).expect("fits");
    run(&mut learner, 60);
    assert!((acts(&learner, &[1.0]) - 0.3).abs() < 0.03, "{}", acts(&learner, &[1.0]));

    let cpo = CpoSettings { n_steps: 64, hidden: vec![16], cost_limit: 1.0, ..CpoSettings::default() };
    let mut learner = Cpo::new(task(PEAK, 8), cpo, 2).expect("fits");
    run(&mut learner, 60);
    assert!((acts(&learner, &[1.0]) - 0.3).abs() < 0.03, "{}", acts(&learner, &[1.0]));
}

/// One choice: the risky one is rewarded by 1 and fails every other time; the other is worth nothing. Where one episode in ten
/// may fail, the best policy takes the risk in one of five.
const RISK: Rules = Rules {
    n_observations: 1,
    most_steps: 1,
    start: |_| 0.0,
    step: |_, hidden, action| if action > 0.0 { (0.0, 1.0, hidden < 0.5) } else { (0.0, 0.0, false) },
    observe: |_, out| out[0] = 1.0,
    advise: |_| 1.0,
};

#[test]
fn cpo_takes_as_much_risk_as_it_may() {
    for seed in 0..2 {
        let settings =
            CpoSettings { n_steps: 250, hidden: vec![8], levels: 2, cost_limit: 0.1, ..CpoSettings::default() };
        let mut learner = Cpo::new(task(RISK, 8), settings, seed).expect("fits");
        let heard = run(&mut learner, 60);
        // 20,000 episodes: three standard deviations are 0.0085 and 0.0064.
        let (reward, failures) = heard.last(20_000);
        assert!((reward - 0.2).abs() < 0.02, "{reward}");
        assert!((failures - 0.1).abs() < 0.01, "{failures}");
        let recoveries = heard.measured.iter().filter(|(name, v)| *name == "recovery" && *v > 0.0).count();
        assert!(recoveries > 0, "it began too risky, and nothing in reach kept the limit");
    }
}

#[test]
fn a_multiplier_comes_to_as_much_risk_as_there_may_be() {
    let ppo = PpoSettings {
        n_steps: 250,
        batch: 500,
        epochs: 4,
        lr: 1e-2,
        entropy: 0.2,
        hidden: vec![8],
        levels: 2,
        ..PpoSettings::default()
    };
    let settings =
        PpoLagrangianSettings { ppo, cost_limit: 0.1, multiplier_lr: 0.02, ..PpoLagrangianSettings::default() };
    let mut learner = PpoLagrangian::new(task(RISK, 8), settings, 0).expect("fits");
    let heard = run(&mut learner, 400);
    let (reward, failures) = heard.last(200_000);
    assert!((reward - 0.2).abs() < 0.05, "{reward}");
    assert!((failures - 0.1).abs() < 0.025, "{failures}");
    // There the gain of a little more risk, in standard deviations of advantages, is what it costs in entropy: without that
    // the multiplier would be 2, and policies without entropy swing from one end to the other.
    let p = 0.2;
    let slope = |multiplier: f64| {
        let [lucky, unlucky] = [0.0, multiplier].map(|cost| (1.0 - cost) / (1.0 + multiplier));
        let gain = 0.5 * (lucky + unlucky);
        let variance = 0.5 * p * (lucky * lucky + unlucky * unlucky) - p * p * gain * gain;
        gain / variance.sqrt() + 0.2 * ((1.0 - p) / p).ln()
    };
    let (mut low, mut high) = (1.0, 10.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 { low = middle } else { high = middle }
    }
    let said: Vec<f64> = heard.measured.iter().filter(|(name, _)| *name == "safety/multiplier").map(|m| m.1).collect();
    let mean = said[said.len() - 150..].iter().sum::<f64>() / 150.0;
    assert!((mean - low).abs() < 0.1, "{mean}, exact {low}");
}

/// A number that doubles each step unless it is pushed back, and fails beyond 1; the controller brings it to 0. From a slightly
/// wrong push it gets to where the controller never is.
const PUSH: Rules = Rules {
    n_observations: 1,
    most_steps: 20,
    start: |rng| rng.random_range(-0.5..0.5),
    step: |x, _, u| {
        let next: f64 = 1.9 * x + u;
        (next, -next * next, next.abs() > 1.0)
    },
    observe: |x, out| out[0] = x,
    advise: |x| (-1.7 * x).clamp(-1.0, 1.0),
};

#[test]
fn a_distilled_policy_acts_like_its_controller() {
    for dagger in [true, false] {
        let settings = DistillSettings { dagger, n_steps: 100, hidden: vec![32, 32], ..DistillSettings::default() };
        let mut learner = Distill::new(task(PUSH, 4), settings, 3).expect("fits");
        let heard = run(&mut learner, 6);
        for x in [-0.45, -0.2, 0.0, 0.1, 0.3] {
            assert!((acts(&learner, &[x]) + 1.7 * x).abs() < 0.05, "{x}: {}", acts(&learner, &[x]));
        }
        assert_eq!(heard.last(40).1, 0.0);
        if dagger {
            // Where only the policy's own mistakes lead.
            assert!((acts(&learner, &[0.55]) + 0.935).abs() < 0.1, "{}", acts(&learner, &[0.55]));
        }
    }
}

type Make = fn(Rules, u64) -> Box<dyn Learner>;

/// Every learner, with how it is made on a task.
fn all() -> [(&'static str, Make); 5] {
    [
        ("ppo", |rules, seed| {
            let settings = PpoSettings {
                anneal: true,
                total_steps: 2000,
                value_clip: 0.2,
                target_kl: 0.05,
                levels: 0,
                observations: Scaling::Running,
                ..chain_ppo()
            };
            Box::new(Ppo::new(task(rules, 3), settings, seed).expect("fits"))
        }),
        ("ppo_lagrangian", |rules, seed| {
            let settings = PpoLagrangianSettings { ppo: chain_ppo(), ..PpoLagrangianSettings::default() };
            Box::new(PpoLagrangian::new(task(rules, 3), settings, seed).expect("fits"))
        }),
        ("cpo", |rules, seed| {
            let settings = CpoSettings { n_steps: 50, value_steps: 5, hidden: vec![8], ..CpoSettings::default() };
            Box::new(Cpo::new(task(rules, 3), settings, seed).expect("fits"))
        }),
        ("dqn", |rules, seed| {
            let settings = DqnSettings {
                learning_starts: 4,
                buffer: 50,
                returns_over: 2,
                double: true,
                dueling: true,
                ..chain_dqn()
            };
            Box::new(Dqn::new(task(rules, 3), settings, seed).expect("fits"))
        }),
        ("distill", |rules, seed| {
            let settings =
                DistillSettings { n_steps: 20, mix: 0.5, buffer: 100, hidden: vec![8], ..DistillSettings::default() };
            Box::new(Distill::new(task(rules, 3), settings, seed).expect("fits"))
        }),
    ]
}

#[test]
fn going_on_from_what_was_kept_gives_the_same_bytes() {
    for (name, make) in all() {
        let n = if name == "dqn" { 40 } else { 3 };
        let mut learner = make(PUSH, 7);
        run(&mut *learner, n);
        assert!(learner.is_between());
        let kept = learner.save().to_bytes();
        let heard = run(&mut *learner, n);

        let mut again = make(PUSH, 1234);
        let read = super::tensors::Tensors::from_bytes(&kept).expect("of the format");
        again.load(&read).expect("of the same task");
        assert_eq!(again.save().to_bytes(), kept, "{name}");
        let heard_again = run(&mut *again, n);
        assert_eq!(again.save().to_bytes(), learner.save().to_bytes(), "{name}");
        assert_eq!(heard.episodes, heard_again.episodes, "{name}");

        let mut other = make(PUSH, 8);
        run(&mut *other, n);
        assert_ne!(other.save_policy(), again.save_policy(), "{name}");
    }
}

#[test]
fn a_kept_policy_acts_as_before_and_is_refused_elsewhere() {
    use super::greedy::Greedy;
    use crate::decide::Policy;
    for (name, make) in all() {
        let mut learner = make(PUSH, 7);
        run(&mut *learner, 3);
        let kept = learner.save_policy();
        let mut policy = Greedy::load(&kept).expect("whole");
        assert_eq!((policy.n_observations(), &policy.action_space().low[..]), (1, &[-1.0][..]));
        let mut action = [0.0];
        for x in [-0.9, 0.0, 0.31] {
            policy.act(&[x], &mut action);
            assert_eq!(action[0], acts(&*learner, &[x]), "{name}");
        }
        for missing in kept.arrays.keys().filter(|name| *name != "log_spreads") {
            let mut less = kept.clone();
            less.arrays.remove(missing);
            let is_last_layer = missing.starts_with("policy/1");
            assert!(Greedy::load(&less).is_err() || is_last_layer, "{name} without {missing}");
        }
        assert!(make(CHAIN, 7).load(&learner.save()).is_err(), "{name}");
        let mut wrong = learner.save();
        wrong.put_word("algorithm", "sac");
        assert!(make(PUSH, 7).load(&wrong).is_err(), "{name}");
    }
}

#[test]
fn numbers_that_are_not_finite_stop_and_leave_the_networks() {
    let poisoned = Rules { step: |x, hidden, _| (x, if hidden > 0.8 { f64::NAN } else { 0.0 }, false), ..PUSH };
    let lost = Rules { step: |_, _, _| (f64::INFINITY, 0.0, false), ..PUSH };
    let huge = Rules { step: |x, _, _| (x, 1e300, false), ..PUSH };
    for (name, make) in all() {
        for (rules, expected) in [(poisoned, "the reward"), (lost, "the observation"), (huge, "")] {
            if name == "distill" && expected.is_empty() {
                continue;
            }
            let mut learner = make(rules, 7);
            let mut heard = Heard::default();
            let mut before = learner.save_policy();
            let what = loop {
                match learner.advance(&mut heard) {
                    Ok(()) => before = learner.save_policy(),
                    Err(LearnError::NotFinite { what, .. }) => break what,
                    Err(error) => panic!("{error}"),
                }
            };
            assert!(expected.is_empty() || what == expected, "{name}: {what}");
            assert_eq!(learner.save_policy(), before, "{name}");
        }
    }
}

#[test]
fn an_episode_that_cannot_begin_is_told() {
    struct Closed(Space);
    impl Environments for Closed {
        fn n_copies(&self) -> usize {
            1
        }
        fn observation_space(&self) -> &Space {
            &self.0
        }
        fn action_space(&self) -> &Space {
            &self.0
        }
        fn reset(&mut self, _: usize, _: &mut Rng, _: &mut [f64]) -> Result<(), String> {
            Err("the tank is empty".to_string())
        }
        fn step(&mut self, _: &[f64], _: &mut [f64], _: &mut [Step]) {}
        fn reason(&self, _: usize) -> &str {
            ""
        }

        fn save(&self) -> Vec<u8> {
            Vec::new()
        }
        fn restore(&mut self, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }
    let mut learner = Ppo::new(Box::new(Closed(space(1, 1.0))), PpoSettings::default(), 0).expect("fits");
    let error = learner.advance(&mut Heard::default()).expect_err("has no start");
    assert_eq!(error.to_string(), "episode 0 could not begin: the tank is empty");
    let many = PpoSettings { levels: 10_001, ..PpoSettings::default() };
    let error = Ppo::new(Box::new(Closed(space(1, 1.0))), many, 0).err().expect("too many");
    assert_eq!(error.to_string(), "10001 levels of each of 1 actions are more than 10000 choices");
    let open = Ppo::new(Box::new(Closed(space(1, f64::INFINITY))), PpoSettings::default(), 0).err().expect("open");
    assert_eq!(open.to_string(), "actions need a lower and an upper limit");
}

#[test]
fn starts_of_episodes_depend_on_their_number_alone() {
    let starts = |n_copies: usize| {
        let mut acting = Interaction::new(task(PUSH, n_copies), 5);
        acting.begin().expect("begins");
        acting.observations().to_vec()
    };
    assert_eq!(starts(2), starts(4)[..2]);
    assert_eq!(starts(1)[0], (PUSH.start)(&mut stream(5, 1 << 32)));
}
