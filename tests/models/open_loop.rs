//! Published open-loop trajectories by the compiled models: 42 files of four control plants, and four media of the
//! stem cell culture.
//!
//! Every state is reproduced to 1e-6 of its scale, the largest absolute value in its column (for the stem cells to 1e-5
//! after 48 h, as their README asks for: nutrients are used up and a clip makes the right-hand side only piecewise
//! smooth). A state that rests at zero in the file must rest at zero.

use twinc::integrate::{Forcing, Integrator, Method, Options, Problem, Sample, Signal, Start, Tolerance};
use twinc::jit::Kernels;
use twinc::system::System;

use super::subject::{self, shipped_kernels};
use super::{MEDIA, Trajectory, trajectories};
use crate::reference::{Table, reference_dir};

/// Relative tolerance of the integrations; the absolute tolerance of a state is this part of its scale.
const RTOL: f64 = 1e-9;

/// A column and its scale.
fn column(table: &Table, name: &str) -> (Vec<f64>, f64) {
    let place = table.column(name).unwrap_or_else(|| panic!("no column `{name}`"));
    let values: Vec<f64> = table.rows.iter().map(|row| row[place]).collect();
    let scale = values.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
    (values, scale)
}

/// Solves from the model's own start and compares `(state, factor, column, scale)` at each time; returns the largest
/// difference in units of `tolerance(t)` and the scale.
fn compare(
    kernels: &Kernels,
    options: Options,
    p: &[f64],
    forcing: &Forcing,
    times: &[f64],
    columns: &[(usize, f64, Vec<f64>, f64)],
    tolerance: impl Fn(f64) -> f64,
) -> f64 {
    let (Some(&t0), Some(&t1)) = (times.first(), times.last()) else { panic!("an empty file") };
    let problem = Problem { t0, t1, start: Start::Model, p, forcing, directions: &[], resumes: false };
    let mut worst = 0.0_f64;
    let mut n_samples = 0;
    let mut integrator = Integrator::new(kernels, options).expect("options");
    let outcome = integrator.solve(&problem, times, &mut |sample: Sample<'_>| {
        n_samples += 1;
        for (state, factor, values, scale) in columns {
            let difference = (sample.at.x[*state] * factor - values[sample.idx]).abs();
            let share = if difference == 0.0 { 0.0 } else { difference / (tolerance(sample.at.t) * scale) };
            worst = if share.is_nan() { f64::INFINITY } else { worst.max(share) };
        }
    });
    let outcome = outcome.expect("a problem");
    assert!(outcome.status.is_success(), "{}", outcome.status);
    assert_eq!(n_samples, times.len());
    worst
}

/// Runs one file of `reference/rl_acr` with the model's kernels.
fn run(kernels: &Kernels, trajectory: &Trajectory, table: &Table) -> f64 {
    let flat = kernels.model();
    let (times, _) = column(table, "t");
    let mut forcing = Forcing::constant(&subject::values(&flat.inputs), &subject::values(&flat.disturbances));
    for (name, target, factor) in &trajectory.inputs {
        let values = column(table, name).0.iter().map(|v| v * factor).collect();
        let signal = Signal::Held { times: times.clone(), values };
        let input = flat.inputs.iter().position(|i| i.quantity.name == *target);
        let disturbance = flat.disturbances.iter().position(|i| i.quantity.name == *target);
        match (input, disturbance) {
            (Some(k), _) => forcing.inputs[k] = signal,
            (None, Some(k)) => forcing.disturbances[k] = signal,
            (None, None) => panic!("`{}` has no input `{target}`", flat.name),
        }
    }
    let mut p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
    for (name, value) in &trajectory.set {
        let found = flat.params.iter().position(|p| p.quantity.name == *name);
        p[found.unwrap_or_else(|| panic!("`{}` has no parameter `{name}`", flat.name))] = *value;
    }
    let mut atol = vec![0.0; kernels.dims().n_states];
    let mut columns = Vec::new();
    for (name, state, factor) in trajectory.states {
        let (values, scale) = column(table, name);
        let state = subject::state(flat, state);
        atol[state] = RTOL * if scale > 0.0 { scale / factor } else { 1.0 };
        columns.push((state, *factor, values, scale));
    }
    assert_eq!(columns.len(), atol.len(), "every state is compared");
    let options = match trajectory.euler_step {
        Some(step) => Options { method: Method::Euler, fixed_step: Some(step), ..Options::default() },
        None => Options { rtol: RTOL, atol: Tolerance::PerState(atol), ..Options::default() },
    };
    compare(kernels, options, &p, &forcing, &times, &columns, |_| 1e-6)
}

/// All files of the models in one file of `models/`.
fn run_family(source: &str, n_files: usize) {
    let Some(dir) = reference_dir() else { return };
    let mut compiled: Vec<(&str, Kernels)> = Vec::new();
    let mut n_run = 0;
    for trajectory in trajectories().iter().filter(|t| t.source == source) {
        let table = Table::read(&dir.join("reference/rl_acr").join(&trajectory.file));
        if !compiled.iter().any(|(name, _)| *name == trajectory.model) {
            compiled.push((trajectory.model, shipped_kernels(source, trajectory.model)));
        }
        let kernels = &compiled.iter().find(|(name, _)| *name == trajectory.model).expect("compiled above").1;
        let share = run(kernels, trajectory, &table);
        println!("{}: {share:.1e} of 1e-6", trajectory.file);
        assert!(share <= 1.0, "{} differs by {share:.2e} of what is allowed", trajectory.file);
        n_run += 1;
    }
    assert_eq!(n_run, n_files);
}

#[test]
fn bergman_reproduces_its_published_trajectories() {
    run_family("bergman", 12);
}

#[test]
fn hovorka_reproduces_its_published_trajectories() {
    run_family("hovorka", 12);
}

#[test]
fn the_stirred_tank_reproduces_its_published_trajectories() {
    run_family("cstr", 6);
}

#[test]
fn the_cart_pole_reproduces_its_published_trajectories_and_euler_maps() {
    run_family("cartpole", 12);
}

#[test]
fn the_stem_cells_reproduce_their_published_trajectories() {
    let Some(dir) = reference_dir() else { return };
    for (medium, model) in MEDIA {
        let table = Table::read(&dir.join(format!("reference/ipsc/reference_{medium}.csv")));
        let kernels = shipped_kernels("ipsc", model);
        let flat = kernels.model();
        let (times, _) = column(&table, "time_h");
        let mut atol = vec![0.0; flat.states.len()];
        let columns: Vec<(usize, f64, Vec<f64>, f64)> = flat
            .states
            .iter()
            .enumerate()
            .map(|(k, state)| {
                let (values, scale) = column(&table, &state.quantity.name);
                // Serine is limiting from the moment that it is used up, at about 1e-10 mM.
                atol[k] = (RTOL * scale).min(1e-12);
                (k, 1.0, values, scale)
            })
            .collect();
        assert_eq!(columns.len(), table.header.len() - 1);
        let options = Options { rtol: RTOL, atol: Tolerance::PerState(atol), ..Options::default() };
        let p: Vec<f64> = flat.params.iter().map(|p| p.value).collect();
        let tolerance = |t: f64| if t <= 48.0 { 1e-6 } else { 1e-5 };
        let share = compare(&kernels, options, &p, &Forcing::default(), &times, &columns, tolerance);
        println!("{medium}: {share:.1e} of 1e-6 (1e-5 after 48 h)");
        assert!(share <= 1.0, "{medium} differs by {share:.2e} of what is allowed");
    }
}
