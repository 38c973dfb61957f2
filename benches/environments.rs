//! Steps of environments per second of one thread's time on the processor, with rewards, endings and resets, acted on at
//! random.
//!
//! `cargo bench --bench environments` prints them for CartPole-v1, Pendulum-v1 and the four plants of H. Tian et al., arXiv
//! 2404.15199 (2024), one copy and a batch, each as the median of five runs, and Gymnasium's own where the Python of
//! `TWINC_PYTHON` (else `python3`) has it. With `-- --check` it fails where a batch of 1024 of CartPole-v1 makes fewer than ten
//! million steps a second.

mod clock;

use std::path::Path;
use std::process::{Command, ExitCode};

use clock::Stopwatch;
use rand::Rng as _;
use twinc::control::assemble::Assembly;
use twinc::decide::{Environments, Step};
use twinc::diag::Diagnostics;
use twinc::flat::flatten_task;
use twinc::hir;
use twinc::jit::{Needs, Options};
use twinc::learn::environments::Prepared;
use twinc::random::stream;
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};

/// Millions of steps of CartPole-v1 in a second.
const LEAST: f64 = 10.0;
const BATCH: usize = 1024;
const RUNS: usize = 5;

struct Project;

impl Loader for Project {
    fn load(&self, from: &str, path: &str) -> Result<SourceFile, LoadError> {
        let full = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let text = std::fs::read_to_string(&full).map_err(|error| LoadError::new(error.to_string()))?;
        Ok(SourceFile::new(full.to_string_lossy(), text))
    }
}

/// The plant of the file's study `Mpc`, or its first task.
fn prepared(path: &str) -> Prepared {
    let (mut sources, mut diagnostics) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new(path, std::fs::read_to_string(path).expect("part of the project")));
    let module = hir::load(&mut sources, root, None, &Project, false, &mut diagnostics);
    let control = module.studies.iter().find(|study| study.name == "Mpc").and_then(|study| study.control.as_ref());
    let task = control.map_or(&module.tasks[0], |control| &control.plant);
    let flat = flatten_task(task, &mut diagnostics).expect("a task without errors");
    let assembly = Assembly::new(flat, &Options::default()).expect("machine code");
    assembly.kernels().prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
    Prepared::new(assembly, Vec::new()).expect("an environment")
}

/// Seconds of so many steps of all copies, episodes begun anew where they end, and how many were.
fn run(environments: &mut dyn Environments, n_steps: usize) -> (f64, usize) {
    let n = environments.n_copies();
    let space = environments.action_space().clone();
    let (n_actions, n_observed) = (space.len(), environments.observation_space().len());
    // Actions are drawn beforehand, two for each copy, which alternate at random.
    let mut rng = stream(0, 0);
    let draw = |_| -> Vec<f64> {
        let ends = (0..n).flat_map(|_| space.low.iter().zip(&space.high));
        ends.map(|(low, high)| low + (high - low) * rng.random::<f64>()).collect()
    };
    let actions: Vec<Vec<f64>> = (0..64).map(draw).collect();
    let mut observations = vec![0.0; n * n_observed];
    let nothing = Step { reward: 0.0, terminated: false, truncated: false, failed: false };
    let mut steps = vec![nothing; n];
    let mut begin = stream(0, 1);
    for (copy, observation) in observations.chunks_exact_mut(n_observed).enumerate() {
        environments.reset(copy, &mut begin, observation).expect("a start");
    }
    assert_eq!(actions[0].len(), n * n_actions);
    let (mut n_episodes, mut sum) = (0, 0.0);
    let watch = Stopwatch::start();
    for k in 0..n_steps {
        environments.step(&actions[k % actions.len()], &mut observations, &mut steps);
        for (copy, step) in steps.iter().enumerate() {
            sum += step.reward;
            if step.terminated || step.truncated {
                let observation = &mut observations[copy * n_observed..][..n_observed];
                environments.reset(copy, &mut begin, observation).expect("a start");
                n_episodes += 1;
            }
        }
    }
    let seconds = watch.seconds();
    assert!(!sum.is_nan());
    (seconds, n_episodes)
}

/// Millions of steps a second, the median of some runs, and the mean length of an episode.
fn speed(prepared: &Prepared, n_copies: usize, n_steps: usize) -> (f64, f64) {
    let mut environments = prepared.environments(n_copies).expect("copies");
    let total = (n_copies * n_steps) as f64;
    let runs = (0..RUNS).map(|_| run(&mut *environments, n_steps));
    let mut found: Vec<(f64, f64)> = runs.map(|(seconds, n)| (1e-6 * total / seconds, total / n as f64)).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found[RUNS / 2]
}

/// What Gymnasium's own step takes of a second, in Python.
const PEER: &str = "
import gymnasium, time
env = gymnasium.make('CartPole-v1'); env.reset(seed=0); n = 50000; begun = time.process_time()
for k in range(n):
    if any(env.step(k & 1)[2:4]): env.reset()
print(1e-6 * n / (time.process_time() - begun))
";

fn main() -> ExitCode {
    let checks = std::env::args().any(|argument| argument == "--check");
    println!("{:42} {:>7} {:>16} {:>12}  by", "environment", "copies", "million steps/s", "an episode");
    let mut best = 0.0_f64;
    for path in [
        "examples/gym/cartpole.twin",
        "examples/gym/pendulum.twin",
        "examples/rl_acr/cartpole.twin",
        "examples/rl_acr/glucose.twin",
        "examples/rl_acr/biglucose.twin",
        "examples/rl_acr/cstr.twin",
    ] {
        let prepared = prepared(path);
        let name = format!("{} ({path})", prepared.task().name);
        let (n_one, n_many) = if prepared.is_in_rows() { (200_000, 2_000) } else { (2_000, 10) };
        for (n_copies, n_steps) in [(1, n_one), (BATCH, n_many)] {
            let (millions, length) = speed(&prepared, n_copies, n_steps);
            let by = if prepared.is_in_rows() { "rows" } else { prepared.task().via.0.name() };
            let length = if length.is_finite() { format!("{length:.1}") } else { "none ended".into() };
            println!("{name:42} {n_copies:7} {millions:16.4} {length:>12}  {by}");
            if path.ends_with("gym/cartpole.twin") && n_copies == BATCH {
                best = millions;
            }
        }
    }
    let python = std::env::var_os("TWINC_PYTHON").unwrap_or_else(|| "python3".into());
    let peer = Command::new(python).args(["-c", PEER]).output().ok();
    let peer = peer.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse::<f64>().ok());
    if let Some(millions) = peer {
        println!("{:42} {:7} {millions:16.4} {:>12}  Python", "CartPole-v1 of Gymnasium", 1, "");
    }
    if checks && best < LEAST {
        eprintln!("CartPole-v1 makes {best:.1} million steps a second, fewer than {LEAST}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
