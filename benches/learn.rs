//! Learning on one thread: steps of SAC on the pendulum, one update of a batch of 256 a step, beside Stable-Baselines3.
//!
//! `cargo bench --bench learn` prints milliseconds of processor time a step (least of eight parts), those of an update, and
//! the operations a second that the products of an update come to. With `TWINC_PEERS_PYTHON` naming a Python that has
//! stable-baselines3 (else `python3`), `benches/peers/learn.py` is run in turn with ours and the ratio printed. With
//! `-- --check` it fails where Stable-Baselines3 is there and we are less than 1.8 times as fast at two layers of 256 or
//! five times at two layers of 64. Last, a step of RL-ACR by the paper's settings with a controller that takes no time, and
//! the training of its focus network towards the controller.

mod clock;

use std::f64::consts::PI;
use std::process::{Command, ExitCode};

use clock::Stopwatch;
use rand::Rng as _;
use twinc::decide::{Advised, Environments, Space, Step};
use twinc::learn::acr::{Acr, AcrSettings, Focus};
use twinc::learn::learner::{Episode, Learner, Log};
use twinc::learn::sac::{Sac, SacSettings};
use twinc::random::Rng;

/// The pendulum of Gymnasium, by hand.
struct Pendulum {
    observations: Space,
    actions: Space,
    theta: f64,
    omega: f64,
    step: u32,
}

fn space(names: &[&str], high: &[f64]) -> Space {
    Space {
        names: names.iter().map(|name| name.to_string()).collect(),
        low: high.iter().map(|end| -end).collect(),
        high: high.to_vec(),
    }
}

impl Pendulum {
    fn new() -> Pendulum {
        Pendulum {
            observations: space(&["cos", "sin", "omega"], &[1.0, 1.0, 8.0]),
            actions: space(&["torque"], &[2.0]),
            theta: 0.0,
            omega: 0.0,
            step: 0,
        }
    }

    fn observe(&self, observation: &mut [f64]) {
        observation.copy_from_slice(&[self.theta.cos(), self.theta.sin(), self.omega]);
    }
}

impl Environments for Pendulum {
    fn n_copies(&self) -> usize {
        1
    }

    fn observation_space(&self) -> &Space {
        &self.observations
    }

    fn action_space(&self) -> &Space {
        &self.actions
    }

    fn reset(&mut self, _copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        (self.theta, self.omega, self.step) = (rng.random_range(-PI..PI), rng.random_range(-1.0..1.0), 0);
        self.observe(observation);
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let u = actions[0].clamp(-2.0, 2.0);
        let theta = (self.theta + PI).rem_euclid(2.0 * PI) - PI;
        let cost = theta * theta + 0.1 * self.omega * self.omega + 0.001 * u * u;
        self.omega = (self.omega + (15.0 * self.theta.sin() + 3.0 * u) * 0.05).clamp(-8.0, 8.0);
        self.theta += self.omega * 0.05;
        self.step += 1;
        self.observe(observations);
        steps[0] = Step { reward: -cost, terminated: false, truncated: self.step == 200, failed: false };
    }

    fn reason(&self, _: usize) -> &str {
        ""
    }

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _saved: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

impl Advised for Pendulum {
    fn advise(&mut self, advice: &mut [f64]) {
        advice[0] = 0.0;
    }
}

struct Silent;

impl Log for Silent {
    fn episode(&mut self, _episode: &Episode) {}

    fn measured(&mut self, _at_step: u64, _values: &[(&'static str, f64)]) {}
}

/// Seconds of one of `count` steps with their updates.
fn seconds(learner: &mut dyn Learner, count: usize) -> f64 {
    let watch = Stopwatch::start();
    for _ in 0..count {
        learner.advance(&mut Silent).expect("finite");
    }
    watch.seconds() / count as f64
}

/// Floating-point operations of the products of an update: rows, times what a layer takes forward, its weights' gradient
/// and its input's; the policy goes forward twice and back once, the critics forward and back, their targets forward, and
/// for the policy forward, and back in those rows in which they are the lesser.
fn operations(width: f64) -> f64 {
    let (batch, n_o, n_a) = (256.0, 3.0, 1.0);
    let whole = |n_in: f64, n_out: f64| 2.0 * batch * (n_in * width + width * width + width * n_out);
    let (actor, critic) = (whole(n_o, 2.0 * n_a), whole(n_o + n_a, 1.0));
    let back = |forward: f64, n_in: f64| 2.0 * forward - 2.0 * batch * n_in * width;
    2.0 * actor + back(actor, n_o) + 6.0 * critic + 2.0 * back(critic, n_o + n_a) + critic
}

/// Seconds of a step of Stable-Baselines3.
fn peer(width: usize) -> Option<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/learn.py");
    let python = std::env::var("TWINC_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let mut command = Command::new(python);
    let output = command.args([script, &width.to_string()]).env("OMP_NUM_THREADS", "1").output().ok()?;
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    value["seconds"].as_f64()
}

fn main() -> ExitCode {
    let is_checked = std::env::args().any(|argument| argument == "--check");
    let mut is_good = true;
    for (width, bar) in [(256, 1.8), (64, 5.0)] {
        let settings = SacSettings { hidden: vec![width, width], ..SacSettings::default() };
        let mut sac = Sac::new(Box::new(Pendulum::new()), settings, 1);
        seconds(&mut sac, 300);
        let count = if width > 100 { 50 } else { 400 };
        let mut parts: Vec<f64> = (0..4).map(|_| seconds(&mut sac, count)).collect();
        let theirs = peer(width);
        parts.extend((0..4).map(|_| seconds(&mut sac, count)));
        let ours = parts.into_iter().fold(f64::INFINITY, f64::min);
        let rate = 1e-9 * operations(width as f64) / ours;
        println!("SAC, 2x{width}, batch 256: {:.3} ms a step, {:.0}/s, {rate:.0} GFLOP/s", 1e3 * ours, 1.0 / ours);
        match theirs {
            Some(theirs) => {
                let ratio = theirs / ours;
                println!("  Stable-Baselines3 {:.3} ms: {ratio:.1} times ours (bar {bar})", 1e3 * theirs);
                is_good &= ratio >= bar;
            }
            None => println!("  Stable-Baselines3: not there"),
        }
    }
    let settings = AcrSettings::default();
    let watch = Stopwatch::start();
    let (focus, told) = Focus::pretrained((3, 1), &settings.focus, 1);
    let taken = watch.seconds();
    println!(
        "RL-ACR, focus network towards the controller: {taken:.1} s, {} steps, mean squared error {:.1e}",
        told.n_steps, told.loss
    );
    let mut acr = Acr::new(Box::new(Pendulum::new()), settings, focus, 1);
    seconds(&mut acr, 300);
    let least = (0..4).map(|_| seconds(&mut acr, 100)).fold(f64::INFINITY, f64::min);
    println!("RL-ACR, 2x256, batch 256: {:.3} ms a step", 1e3 * least);
    if is_checked && !is_good { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
