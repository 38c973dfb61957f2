//! Exact simulation, reactions per second: our ways of finding the next reaction among themselves and against peers.
//!
//! `cargo bench --bench stochastic` runs each model with every selection, then, where `python3` has them, the same model in
//! GillesPy2 (its compiled C++ solver) and libRoadRunner by `benches/peers/stochastic.py`, and prints processor times of the
//! simulations alone, without compiling, with their ratio. A model is handed over as data, so that it is the same; the mean
//! of its first species at the end is printed for each, and must agree within the noise of the runs.
//! `cargo bench --bench stochastic -- --no-peers` leaves the peers out; a word chooses the networks whose name has it.

mod clock;

use clock::Stopwatch;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use twinc::diag::Diagnostics;
use twinc::flat::{Variation, flatten_counting};
use twinc::integrate::stochastic::{Law, Selection, Stochastic, StochasticMethod, StochasticOptions};
use twinc::integrate::{Forcing, Problem, Start};
use twinc::jit::{JumpKernels, Kernels, Options};
use twinc::random::stream;
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};
use twinc::system::stochastic::{ChannelLaw, Jumps};

/// `(species, how many)` on each side, and the constant.
type Reaction = (Vec<(usize, u32)>, Vec<(usize, u32)>, f64);

/// A network as data.
struct Network {
    name: &'static str,
    start: Vec<u32>,
    reactions: Vec<Reaction>,
    until: f64,
    runs: u64,
}

/// The classical example: a monomer that decays and pairs, and a pair that comes apart or becomes stable. D. T. Gillespie,
/// J. Chem. Phys. 115 (2001) 1716, with 2 A at k = c/2 (k n (n − 1)).
fn decay_dimerisation() -> Network {
    let reactions = vec![
        (vec![(0, 1)], vec![], 1.0),
        (vec![(0, 2)], vec![(1, 1)], 0.001),
        (vec![(1, 1)], vec![(0, 2)], 0.5),
        (vec![(1, 1)], vec![(2, 1)], 0.04),
    ];
    Network { name: "decay-dimerisation", start: vec![100_000, 0, 0], reactions, until: 10.0, runs: 20 }
}

/// `n` reactions on a ring of `n/2` species: exchange between neighbours.
fn ring(name: &'static str, n: usize, until: f64, runs: u64) -> Network {
    let n_species = n / 2;
    let rate = |k: usize| 1.0 + (k % 7) as f64;
    let forward = (0..n_species).map(|k| (vec![(k, 1)], vec![((k + 1) % n_species, 1)], rate(k)));
    let back = (0..n_species).map(|k| (vec![((k + 1) % n_species, 1)], vec![(k, 1)], 0.5 * rate(k + 3)));
    Network { name, start: vec![100; n_species], reactions: forward.chain(back).collect(), until, runs }
}

/// `n` reactions of second order, `S_i + S_j -> S_k + S_l` with scattered indices and constants over two decades.
fn scattered(name: &'static str, n: usize, until: f64, runs: u64) -> Network {
    let n_species = n / 2;
    let mut state = 2024_u64;
    let mut draw = |most: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % most
    };
    let mut reactions: Vec<Reaction> = Vec::new();
    while reactions.len() < n {
        let [i, j, k, l] = [draw(n_species), draw(n_species), draw(n_species), draw(n_species)];
        if i != j && k != l && i != k && i != l && j != k && j != l {
            let constant = 1e-3 * 10.0_f64.powf(draw(200) as f64 / 100.0);
            reactions.push((vec![(i, 1), (j, 1)], vec![(k, 1), (l, 1)], constant));
        }
    }
    Network { name, start: vec![100; n_species], reactions, until, runs }
}

impl Network {
    fn text(&self) -> String {
        let mut text = String::from("model M {\n  species {\n");
        for (k, n) in self.start.iter().enumerate() {
            let moves = |(from, to, _): &Reaction| from.iter().chain(to).any(|(species, _)| *species == k);
            // A species that no reaction moves has to say so.
            let clause = if self.reactions.iter().any(moves) { "" } else { " fixed" };
            text.push_str(&format!("    S{k} = {n}{clause}\n"));
        }
        text.push_str("  }\n  reaction {\n");
        let side = |list: &[(usize, u32)]| {
            let terms: Vec<String> = list.iter().map(|(k, m)| format!("{m} S{k}")).collect();
            if terms.is_empty() { "0".to_string() } else { terms.join(" + ") }
        };
        for (from, to, constant) in &self.reactions {
            text.push_str(&format!("    {} -> {} @ {constant}\n", side(from), side(to)));
        }
        text.push_str("  }\n}\n");
        text
    }

    fn json(&self) -> Value {
        json!({ "start": self.start, "reactions": self.reactions, "until": self.until, "runs": self.runs })
    }
}

struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _: &str, _: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("there are no other files".to_string()))
    }
}

/// Kernels of a network whose states are named S0, S1, ...
fn compiled(network: &Network) -> (Kernels, JumpKernels) {
    let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("bench.twin", network.text()));
    let module = twinc::hir::load(&mut sources, root, None, &NoFiles, false, &mut found);
    let flat = flatten_counting(&module.models[0], &Variation::default(), &mut found).expect("a model");
    flat.check_jumps(&mut found);
    assert!(!found.has_errors(), "{found:?}");
    let kernels = Kernels::compile(Arc::new(flat), &Options::default()).expect("compiled");
    let jumps = JumpKernels::compile(&kernels).expect("compiled");
    (kernels, jumps)
}

/// Processor seconds of all runs, reactions carried out, and the mean of the first species at the end.
fn timed(network: &Network, kernels: &Kernels, jumps: &JumpKernels, options: StochasticOptions) -> (f64, f64, f64) {
    let mut solver = Stochastic::new(kernels, Law::Jumps(jumps), options).expect("valid");
    let forcing = Forcing::default();
    let (start, t1) = (Start::Model, network.until);
    let problem = Problem { t0: 0.0, t1, start, p: &[], forcing: &forcing, directions: &[], resumes: false };
    let watch = Stopwatch::start();
    let (mut events, mut end) = (0, 0.0);
    for k in 0..network.runs {
        let outcome = solver.solve(&problem, &[], &mut stream(1, k), &mut |_: twinc::integrate::Sample<'_>| {});
        let outcome = outcome.expect("valid");
        assert!(outcome.status.is_success());
        events += outcome.statistics.steps;
        end += solver.state()[0];
    }
    (watch.seconds(), events as f64, end / network.runs as f64)
}

/// What the peers say: `(name, seconds, mean)`.
fn peers(network: &Network) -> Vec<(String, f64, f64)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/stochastic.py");
    let child = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return Vec::new() };
    if let Some(mut pipe) = child.stdin.take() {
        let written = pipe.write_all(network.json().to_string().as_bytes());
        assert!(written.is_ok(), "{written:?}");
    }
    let Ok(output) = child.wait_with_output() else { return Vec::new() };
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let list = said.as_array().cloned().unwrap_or_default();
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(f64::NAN);
    let of = |v: &Value| (v["name"].as_str().unwrap_or_default().to_string(), number(v, "seconds"), number(v, "mean"));
    list.iter().map(of).collect()
}

fn main() {
    let with_peers = !std::env::args().any(|arg| arg == "--no-peers");
    let word = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
    let networks = [
        decay_dimerisation(),
        ring("ring, 32 reactions", 32, 100.0, 20),
        ring("ring, 64 reactions", 64, 50.0, 20),
        ring("ring, 100 reactions", 100, 30.0, 20),
        ring("ring, 256 reactions", 256, 12.0, 20),
        scattered("second order, 100 reactions", 100, 5.0, 20),
        scattered("second order, 2000 reactions", 2000, 0.3, 20),
        scattered("second order, 10000 reactions", 10_000, 0.05, 10),
    ];
    for network in networks.iter().filter(|network| network.name.contains(&word)) {
        let (kernels, jumps) = compiled(network);
        assert!(jumps.channels().iter().all(|c| matches!(c.law, ChannelLaw::MassAction(_))));
        println!("{}", network.name);
        let mut own = f64::INFINITY;
        for selection in [Selection::Auto, Selection::Direct, Selection::NextReaction, Selection::Composition] {
            let options = StochasticOptions { selection, ..StochasticOptions::new(StochasticMethod::Ssa) };
            let tries: Vec<_> = (0..3).map(|_| timed(network, &kernels, &jumps, options.clone())).collect();
            let (seconds, events, mean) = tries.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).expect("tries");
            if selection == Selection::Auto {
                own = seconds;
            }
            let name = format!("{selection:?}");
            let rate = events / seconds * 1e-6;
            println!(
                "  {name:<22} {seconds:>9.4} s {rate:>8.2} million reactions/s {:>7.1} ns each, mean {mean:.1}",
                1e3 / rate
            );
        }
        if with_peers {
            for (name, seconds, mean) in peers(network) {
                println!("  {name:<22} {seconds:>9.4} s {:>8.1} times ours, mean {mean:.1}", seconds / own);
            }
        }
    }
}
