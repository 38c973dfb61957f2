//! Published closed loops through environments: the recorded actions give the recorded rewards and what was observed.

use super::{NOTHING, of_study};
use crate::reference::{Table, reference_dir};
use twinc::random::stream;

/// A file, what scales its actions, which observations are which of its columns, and how near a whole episode comes.
type Benchmark = (&'static str, &'static [(&'static str, f64)], &'static [(usize, &'static str)], f64);

const BENCHMARKS: [Benchmark; 4] = [
    ("glucose", &[("u", 1.0)], &[(0, "G")], 1e-6),
    ("biglucose", &[("u_I", 1.0), ("u_N", 100.0)], &[], 1e-6),
    ("cstr", &[("F_u", 10.0), ("Q_u", 1000.0)], &[(0, "C_a"), (1, "C_b"), (2, "T_R"), (3, "T_K")], 1e-6),
    ("cartpole", &[("u", 10.0)], &[(0, "x"), (1, "x_dot"), (2, "theta"), (3, "theta_dot")], 1e-4),
];

#[test]
fn recorded_actions_give_recorded_rewards_and_observations() {
    let Some(directory) = reference_dir() else { return };
    for (name, actions, observed, tolerance) in BENCHMARKS {
        let prepared = of_study(&format!("examples/rl_acr/{name}.twin"), "Mpc");
        let tables = ["mpc", "sac", "combined"]
            .map(|policy| Table::read(&directory.join(format!("reference/rl_acr/closed_loop_{name}_{policy}.csv"))));
        // All three side by side.
        let mut environments = prepared.environments(tables.len()).expect("copies");
        let n_observed = environments.observation_space().len();
        let mut observations = vec![0.0; tables.len() * n_observed];
        for (copy, observation) in observations.chunks_exact_mut(n_observed).enumerate() {
            environments.reset(copy, &mut stream(0, 0), observation).expect("a start");
        }
        let mut steps = [NOTHING; 3];
        let (mut worst, mut worst_reward) = (0.0_f64, 0.0_f64);
        for k in 0..tables[0].rows.len() - 1 {
            let cell = |table: &Table, k: usize, column: &str| {
                table.rows[k][table.column(column).unwrap_or_else(|| panic!("no column {column}"))]
            };
            let chosen: Vec<f64> = tables
                .iter()
                .flat_map(|table| actions.iter().map(|(column, factor)| cell(table, k, column) * factor))
                .collect();
            environments.step(&chosen, &mut observations, &mut steps);
            for (copy, table) in tables.iter().enumerate() {
                let reward = cell(table, k, "reward");
                worst_reward = worst_reward.max((steps[copy].reward - reward).abs() / reward.abs().max(1.0));
                for &(at, column) in observed {
                    let recorded = cell(table, k + 1, column);
                    let seen = observations[copy * n_observed + at];
                    worst = worst.max((seen - recorded).abs() / recorded.abs().max(1.0));
                }
                let is_last = k + 2 == table.rows.len();
                assert_eq!((steps[copy].terminated, steps[copy].truncated), (false, is_last), "{name} {copy} at {k}");
            }
        }
        println!("{name}: observations {worst:.1e}, rewards {worst_reward:.1e}, in rows: {}", prepared.is_in_rows());
        assert!(worst < tolerance, "{name}: {worst:e}");
        // A reward is a square around a target: near it, it changes by some 40 times what a state does.
        assert!(worst_reward < 50.0 * tolerance, "{name}: {worst_reward:e}");
    }
}
