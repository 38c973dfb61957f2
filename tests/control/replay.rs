//! Published closed loops replayed: the recorded actions on the shipped tasks give the recorded states and rewards.

use crate::compile::{ProjectLoader, check_with};
use crate::reference::{Table, reference_dir};
use twinc::control::assemble::Assembly;
use twinc::control::plant::Plant;
use twinc::diag::Diagnostics;
use twinc::flat::{FlatTask, flatten_task};
use twinc::jit::{Needs, Options};
use twinc::random::stream;

/// The plant's task of a study in a shipped file.
pub fn plant_task(path: &str, study: &str) -> FlatTask {
    let text = std::fs::read_to_string(path).expect("part of the project");
    let checked = check_with(path, &text, true, &ProjectLoader);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    let study = checked.module.studies.into_iter().find(|s| s.name == study).expect("in the file");
    let control = study.control.expect("a study of a task");
    flatten_task(&control.plant, &mut Diagnostics::default()).expect("a task without errors")
}

/// One benchmark: its file, and how columns are called and scaled there.
struct Benchmark {
    name: &'static str,
    states: &'static [(&'static str, f64)],
    inputs: &'static [(&'static str, f64)],
    /// Added to each state after the factor. The file counts glucagon in units of 1e8 pg.
    offset: &'static [f64],
    /// A step from the file's state, relative to each state's largest value.
    row: f64,
    /// A whole episode, likewise.
    episode: f64,
}

const BENCHMARKS: [Benchmark; 4] = [
    Benchmark {
        name: "glucose",
        states: &[("G", 1.0), ("X", 1.0), ("I", 1.0)],
        inputs: &[("u", 1.0)],
        offset: &[0.0; 3],
        row: 1e-9,
        episode: 1e-6,
    },
    Benchmark {
        name: "biglucose",
        states: &[
            ("Q_1", 1.0),
            ("Q_2", 1.0),
            ("x_1", 1.0),
            ("x_2", 1.0),
            ("x_3", 1.0),
            ("S_1", 1.0),
            ("S_2", 1.0),
            ("I", 1.0),
            ("Z_1", 1e8),
            ("Z_2", 1e8),
            ("N", 1e8),
            ("Y", 1.0),
        ],
        inputs: &[("u_I", 1.0), ("u_N", 100.0)],
        offset: &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -48.13e8, 0.0],
        // The file was made with an absolute tolerance of 1e-10, which is 2e-7 of the largest glucagon action.
        row: 2e-7,
        episode: 1e-6,
    },
    Benchmark {
        name: "cstr",
        states: &[("C_a", 1.0), ("C_b", 1.0), ("T_R", 1.0), ("T_K", 1.0)],
        inputs: &[("F_u", 10.0), ("Q_u", 1000.0)],
        offset: &[0.0; 4],
        row: 1e-9,
        episode: 1e-6,
    },
    Benchmark {
        name: "cartpole",
        states: &[("x", 1.0), ("x_dot", 1.0), ("theta", 1.0), ("theta_dot", 1.0)],
        inputs: &[("u", 10.0)],
        offset: &[0.0; 4],
        row: 1e-9,
        episode: 1e-4,
    },
];

#[test]
fn recorded_actions_give_recorded_states_and_rewards() {
    let Some(directory) = reference_dir() else { return };
    for benchmark in &BENCHMARKS {
        let task = plant_task(&format!("examples/rl_acr/{}.twin", benchmark.name), "Mpc");
        let assembly = Assembly::new(task, &Options::default()).expect("machine code");
        assembly.kernels().prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
        let functions = assembly.plant_functions().expect("machine code");
        for policy in ["mpc", "sac", "combined"] {
            let file = format!("reference/rl_acr/closed_loop_{}_{policy}.csv", benchmark.name);
            let table = Table::read(&directory.join(file));
            let column = |name: &str| table.column(name).unwrap_or_else(|| panic!("no column {name}"));
            let n_steps = table.rows.len() - 1;
            let states: Vec<Vec<f64>> = table
                .rows
                .iter()
                .map(|row| {
                    let each = benchmark.states.iter().zip(benchmark.offset);
                    each.map(|((name, factor), offset)| row[column(name)] * factor + offset).collect()
                })
                .collect();
            let n = benchmark.states.len();
            // Sizes are those of the file's own columns: glucagon itself and not its deviation.
            let size = |j: usize| states.iter().map(|x| (x[j] - benchmark.offset[j]).abs()).fold(1e-300, f64::max);
            let sizes: Vec<f64> = (0..n).map(size).collect();
            // Each row by itself, then the whole episode from the task's own start.
            for whole in [false, true] {
                let mut plant =
                    Plant::new(assembly.task(), assembly.kernels(), &functions, Vec::new()).expect("a step");
                plant.begin(&mut stream(0, 0));
                let (mut worst, mut at) = (0.0_f64, (0, 0));
                let mut worst_reward = 0.0_f64;
                for k in 0..n_steps {
                    if !whole {
                        let mut start = states[k].clone();
                        // The file has too few digits of glucagon for its deviation from basal: that is carried on.
                        if let Some(glucagon) = benchmark.states.iter().position(|(name, _)| *name == "N") {
                            start[glucagon] = plant.state()[glucagon];
                        }
                        plant.set_state(&start);
                    }
                    let row = &table.rows[k];
                    let u: Vec<f64> =
                        benchmark.inputs.iter().map(|(name, factor)| row[column(name)] * factor).collect();
                    let step = plant.act(&u);
                    assert!(!step.failed, "{} {policy} fails at {k}: {}", benchmark.name, plant.message());
                    for j in 0..n {
                        let off = (plant.state()[j] - states[k + 1][j]).abs() / sizes[j];
                        if off > worst {
                            (worst, at) = (off, (k, j));
                        }
                    }
                    let reward = row[column("reward")];
                    worst_reward = worst_reward.max((step.reward - reward).abs() / reward.abs().max(1.0));
                }
                println!(
                    "{} {policy} whole {whole}: states {worst:.2e} at {at:?}, rewards {worst_reward:.2e}",
                    benchmark.name
                );
                let tolerance = if whole { benchmark.episode } else { benchmark.row };
                assert!(worst < tolerance, "{} {policy} whole {whole}: {worst:e}", benchmark.name);
                // A reward is a square around a target: near it, it changes by some 40 times what a state does.
                assert!(worst_reward < 50.0 * tolerance, "{} {policy}: {worst_reward:e}", benchmark.name);
            }
        }
    }
}
