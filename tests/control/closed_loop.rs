//! Model predictive control that believes one plant and meets another: the four benchmarks of H. Tian et al., arXiv
//! 2404.15199 (2024), against the rewards and courses that the authors' code gives; and plants that vary.

use super::study::{Study, run};
use crate::reference::{Table, reference_dir};
use twinc::control::closed_loop::Ending;
use twinc::control::sqp::{Sqp, SqpSettings};
use twinc::decide::{PlanStatus, Planner, Situation};
use twinc::system::Curvature;

fn study(name: &str) -> Study {
    Study::new(&format!("examples/rl_acr/{name}.twin"), "Mpc")
}

/// Checks an episode against the published mean reward, and tells how far from the recorded course it went.
fn follows(name: &str, published: f64, within: f64, columns: &[&str]) {
    let study = study(name);
    let trace = run(&mut study.closed_loop(SqpSettings::default()), 0, &mut || 0.0);
    assert_eq!(trace.ending, Ending::Completed, "{name}: {}", trace.message);
    let mean = trace.mean_reward();
    let n_other = trace.moments.iter().filter(|moment| moment.status != PlanStatus::Optimal).count();
    println!("{name}: {mean:.6}, published {published}; {n_other} plans not optimal: {}", trace.message);
    if let Some(directory) = reference_dir() {
        let table = Table::read(&directory.join(format!("reference/rl_acr/closed_loop_{name}_mpc.csv")));
        let n = study.met.assembly.task().model.states.len();
        for (j, name) in columns.iter().enumerate() {
            let column = table.column(name).expect("a column");
            let size = table.rows.iter().map(|row| row[column].abs()).fold(0.0, f64::max);
            let rows = table.rows.iter().zip(trace.states.chunks_exact(n));
            let off = rows.map(|(row, x)| (row[column] - x[j]).abs()).fold(0.0, f64::max);
            println!("  {name}: off by {:.2e} of its size", off / size);
        }
    }
    assert!((mean / published - 1.0).abs() < within, "{name}: {mean} instead of {published}");
}

#[test]
fn glucose_is_controlled_as_published() {
    follows("glucose", -4.5497, 1e-3, &["G", "X", "I"]);
}

#[test]
fn two_hormones_are_controlled_as_published() {
    follows("biglucose", -7.6085, 1e-3, &["Q_1", "Q_2", "x_1", "x_2", "x_3", "S_1", "S_2", "I"]);
}

#[test]
fn the_pole_is_balanced_as_published() {
    follows("cartpole", -1.5414, 1e-3, &["x", "x_dot", "theta", "theta_dot"]);
}

/// The cost is so flat that published loops of different stopping tolerances lie up to 0.9 % apart.
#[test]
fn the_reactor_is_controlled_as_published() {
    follows("cstr", -8.78, 1e-2, &["C_a", "C_b", "T_R", "T_K"]);
}

/// Two episodes each; `cargo bench --bench closed_loop` runs a hundred.
#[test]
fn plants_that_differ_by_a_tenth_are_controlled_without_failure() {
    for name in ["glucose", "biglucose", "cartpole", "cstr"] {
        let study = study(name).varied(0.1);
        let mut closed_loop = study.closed_loop(SqpSettings::default());
        let first = run(&mut closed_loop, 1, &mut || 0.0);
        let second = run(&mut closed_loop, 2, &mut || 0.0);
        assert_ne!(first.parameters, second.parameters);
        for trace in [first, second] {
            println!("{name}: {:?}, {}, {}", trace.ending, trace.mean_reward(), trace.message);
            assert_eq!(trace.ending, Ending::Completed, "{name}: {}", trace.message);
        }
    }
}

/// A controller that has run before decides as a new one does.
#[test]
fn an_episode_does_not_depend_on_those_before_it() {
    for name in ["cartpole", "cstr"] {
        let study = study(name).varied(0.1);
        let mut closed_loop = study.closed_loop(SqpSettings::default());
        for seed in 1..=100 {
            let again = run(&mut closed_loop, seed, &mut || 0.0);
            let anew = run(&mut study.closed_loop(SqpSettings::default()), seed, &mut || 0.0);
            assert_eq!(again.moments.len(), anew.moments.len(), "{name}, {seed}: {} {}", again.message, anew.message);
            assert!(again.states == anew.states, "{name}, {seed}");
        }
    }
}

/// The nine scenarios of do-mpc's reactor against the published optimum of the whole tree.
#[test]
fn a_scenario_tree_is_assembled_from_values_of_parameters() {
    let study = Study::new("examples/cstr/cstr.twin", "Loop");
    let params = &study.believed.assembly.task().model.params;
    let index = |name: &str| params.iter().position(|param| param.quantity.name == name).expect("a parameter");
    let uncertain = [(index("alpha"), &[1.0, 1.05, 0.95][..]), (index("beta"), &[1.0, 1.1, 0.9][..])];
    let assembly = study.believed.assembly.uncertain(&uncertain, &[]).expect("two parameters");
    let problem = assembly.robust(20, 1, assembly.scenarios(1, 0)).expect("a problem");
    let stages = assembly.shooting(problem, Curvature::Exact).expect("a problem");
    let mut planner = Sqp::new(Box::new(stages), SqpSettings::default());
    let state = [0.8, 0.5, 134.14, 130.0];
    let plan = planner.plan(&Situation { step: 0, time: 0.0, state: &state, previous: &[0.0; 2], forecast: &[] });
    assert_eq!(plan.status, PlanStatus::Optimal, "{}", plan.message);
    assert!((plan.cost / 0.016509994667765152 - 1.0).abs() < 1e-6, "{}", plan.cost);
    assert!((plan.input[0] - 10.209801367005362).abs() < 1e-5 * 95.0, "{:?}", plan.input);
    assert!((plan.input[1] + 85.02431369384406).abs() < 1e-5 * 8500.0, "{:?}", plan.input);
    // A tree that nobody could plan over, a parameter that is not there, and one without values.
    assert!(assembly.robust(20, 20, assembly.scenarios(1, 0)).is_err());
    assert!(assembly.uncertain(&[(99, &[1.0][..])], &[]).is_err());
    let study = Study::new("examples/cstr/cstr.twin", "Loop");
    assert!(study.believed.assembly.uncertain(&[(0, &[][..])], &[]).is_err());
}
