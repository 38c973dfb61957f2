//! Learning CartPole-v1 with the settings that RL Baselines3 Zoo publishes for it: how soon DQN and PPO balance the pole, and
//! how many steps a second of processor time they make beside Stable-Baselines3 on one thread.
//!
//! `cargo bench --bench learning` prints for five seeds when the mean of 20 episodes of the deterministic policy first
//! reaches 475 and what it is at 50,000 steps; then processor time a step. With `TWINC_PEERS_PYTHON` naming a Python that has
//! stable-baselines3 (else `python3`), `benches/peers/learn_discrete.py` is run in turn with ours. With `-- --check` it fails
//! where DQN does not reach 475 within 30,000 steps or 500 at 50,000, PPO does not reach 475 within 50,000, each as the median
//! over seeds, or where Stable-Baselines3 is there and we are less than five times as fast. `-- dqn` or `-- ppo` measures one.

mod clock;

use std::process::{Command, ExitCode};

use clock::Stopwatch;
use rand::Rng as _;
use twinc::decide::{Environments, Policy, Space, Step};
use twinc::learn::dqn::{Dqn, DqnSettings};
use twinc::learn::learner::{Episode, Learner, Log};
use twinc::learn::ppo::{Ppo, PpoSettings};
use twinc::learn::scaler::Scaling;
use twinc::random::{Rng, stream};

/// CartPole-v1 of Gymnasium, by hand.
struct CartPole {
    observations: Space,
    actions: Space,
    copies: Vec<([f64; 4], u32)>,
}

fn space(names: &[&str], high: &[f64]) -> Space {
    Space {
        names: names.iter().map(|name| name.to_string()).collect(),
        low: high.iter().map(|end| -end).collect(),
        high: high.to_vec(),
    }
}

impl CartPole {
    fn new(n_copies: usize) -> CartPole {
        let open = f64::INFINITY;
        CartPole {
            observations: space(&["x", "v", "theta", "omega"], &[4.8, open, 0.418, open]),
            actions: space(&["push"], &[1.0]),
            copies: vec![([0.0; 4], 0); n_copies],
        }
    }
}

impl Environments for CartPole {
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
        let state: [f64; 4] = std::array::from_fn(|_| rng.random_range(-0.05..0.05));
        self.copies[copy] = (state, 0);
        observation.copy_from_slice(&state);
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let rows = observations.chunks_exact_mut(4).zip(steps);
        for (((state, n), action), (observation, step)) in self.copies.iter_mut().zip(actions).zip(rows) {
            let [x, v, theta, omega] = *state;
            let force = if *action > 0.0 { 10.0 } else { -10.0 };
            let (sin, cos) = theta.sin_cos();
            let pull = (force + 0.05 * omega * omega * sin) / 1.1;
            let turn = (9.8 * sin - cos * pull) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1));
            let push = pull - 0.05 * turn * cos / 1.1;
            *state = [x + 0.02 * v, v + 0.02 * push, theta + 0.02 * omega, omega + 0.02 * turn];
            *n += 1;
            observation.copy_from_slice(state);
            let is_down = state[0].abs() > 2.4 || state[2].abs() > 12.0_f64.to_radians();
            *step = Step { reward: 1.0, terminated: is_down, truncated: *n >= 500, failed: is_down };
        }
    }

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _saved: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

struct Silent;

impl Log for Silent {
    fn episode(&mut self, _episode: &Episode) {}

    fn measured(&mut self, _at_step: u64, _values: &[(&'static str, f64)]) {}
}

/// Mean return of 20 episodes.
fn evaluate(policy: &mut dyn Policy) -> f64 {
    const N: usize = 20;
    let mut task = CartPole::new(N);
    let (mut observations, mut actions) = (vec![0.0; 4 * N], vec![0.0; N]);
    let mut steps = vec![Step { reward: 0.0, terminated: false, truncated: false, failed: false }; N];
    for (copy, observation) in observations.chunks_exact_mut(4).enumerate() {
        task.reset(copy, &mut stream(1, copy as u64), observation).expect("has a start");
    }
    let (mut total, mut is_over) = (0.0, [false; N]);
    while is_over.contains(&false) {
        for (observation, action) in observations.chunks_exact(4).zip(actions.chunks_exact_mut(1)) {
            policy.act(observation, action);
        }
        task.step(&actions, &mut observations, &mut steps);
        for (is_over, step) in is_over.iter_mut().zip(&steps).filter(|(is_over, _)| !**is_over) {
            total += step.reward;
            *is_over = step.terminated || step.truncated;
        }
    }
    total / N as f64
}

const TOTAL: u64 = 50_000;

fn dqn(seed: u64) -> Dqn {
    let settings = DqnSettings { total_steps: TOTAL, observations: Scaling::None, ..DqnSettings::default() };
    Dqn::new(Box::new(CartPole::new(1)), settings, seed).expect("fits")
}

fn ppo(seed: u64, total_steps: u64) -> Ppo {
    let settings = PpoSettings {
        n_steps: 32,
        batch: 256,
        epochs: 20,
        lr: 1e-3,
        gamma: 0.98,
        lambda: 0.8,
        anneal: true,
        levels: 2,
        observations: Scaling::None,
        total_steps,
        ..PpoSettings::default()
    };
    Ppo::new(Box::new(CartPole::new(8)), settings, seed).expect("fits")
}

/// When 475 was first reached, and the return at the end.
fn learn(learner: &mut dyn Learner) -> (u64, f64) {
    let (mut reached, mut next, mut last) = (u64::MAX, 256, 0.0);
    while learner.n_steps() < TOTAL {
        learner.advance(&mut Silent).expect("finite");
        if learner.n_steps() >= next {
            next += 256;
            last = evaluate(&mut *learner.policy());
            if last >= 475.0 {
                reached = reached.min(learner.n_steps());
            }
        }
    }
    (reached, last)
}

/// Medians over seeds of what [`learn`] tells.
fn over_seeds(name: &str, make: impl Fn(u64) -> Box<dyn Learner>) -> (u64, f64) {
    let mut all: Vec<(u64, f64)> = (0..5).map(|seed| learn(&mut *make(seed))).collect();
    println!("{name}, CartPole-v1, five seeds (475 reached at, return at {TOTAL}): {all:?}");
    all.sort_by_key(|(reached, _)| *reached);
    let reached = all[2].0;
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    println!("  medians: {reached} steps, {:.1}", all[2].1);
    (reached, all[2].1)
}

/// Seconds of processor time a step: the least of parts of so many steps.
fn seconds(learner: &mut dyn Learner, n_parts: usize, n_steps: u64) -> f64 {
    let part = |_| {
        let (watch, before) = (Stopwatch::start(), learner.n_steps());
        while learner.n_steps() < before + n_steps {
            learner.advance(&mut Silent).expect("finite");
        }
        watch.seconds() / (learner.n_steps() - before) as f64
    };
    (0..n_parts).map(part).fold(f64::INFINITY, f64::min)
}

/// Seconds of a step of Stable-Baselines3.
fn peer(name: &str) -> Option<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/learn_discrete.py");
    let python = std::env::var("TWINC_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let output = Command::new(python).args([script, name]).env("OMP_NUM_THREADS", "1").output().ok()?;
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    value["seconds"].as_f64()
}

/// Whether we are five times as fast, where the peer is there.
fn compare(name: &str, learner: &mut dyn Learner, n_steps: u64) -> bool {
    seconds(learner, 1, 2000);
    let before = seconds(learner, 4, n_steps);
    let theirs = peer(name);
    let ours = before.min(seconds(learner, 4, n_steps));
    println!("{name}: {:.1} us a step, {:.0}/s", 1e6 * ours, 1.0 / ours);
    match theirs {
        Some(theirs) => {
            println!(
                "  Stable-Baselines3 {:.1} us, {:.0}/s: {:.1} times ours (bar 5)",
                1e6 * theirs,
                1.0 / theirs,
                theirs / ours
            );
            theirs >= 5.0 * ours
        }
        None => {
            println!("  Stable-Baselines3: not there");
            true
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let is_asked = |word: &str| arguments.iter().any(|a| a == word);
    let is_all = !is_asked("dqn") && !is_asked("ppo");
    let mut is_good = true;
    if is_all || is_asked("dqn") {
        is_good &= compare("dqn", &mut dqn(1), 1024);
        let (reached, last) = over_seeds("DQN", |seed| Box::new(dqn(seed)));
        is_good &= reached <= 30_000 && last >= 500.0;
    }
    if is_all || is_asked("ppo") {
        is_good &= compare("ppo", &mut ppo(1, 1_000_000), 2048);
        let (reached, _) = over_seeds("PPO", |seed| Box::new(ppo(seed, TOTAL)));
        is_good &= reached <= TOTAL;
    }
    if is_asked("--check") && !is_good { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
