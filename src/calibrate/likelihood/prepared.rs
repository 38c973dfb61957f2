//! An experiment in the order in which it is integrated: distinct times, measurements by time, directions of the
//! sensitivities, and where the derivatives of outputs lie.

use crate::calibrate::experiment::{Experiment, Target};
use crate::calibrate::parameter::Parameter;
use crate::flat::Noise;
use crate::integrate::Direction;
use crate::linalg::CscPattern;
use crate::system::System;
use std::sync::Arc;

/// An experiment with its measurements in the order of integration.
pub(super) struct Prepared {
    pub(super) experiment: Experiment,
    /// Distinct measurement times, ascending.
    pub(super) times: Vec<f64>,
    /// Measurements by time; those of one time in the order given.
    pub(super) points: Vec<Point>,
    /// The parameters that stand in this experiment; a position here is a "local" index below.
    pub(super) locals: Vec<LocalParameter>,
    /// For each output, where its derivatives lie in the slices of `System::output_jacobians`.
    pub(super) rows: Vec<OutputRow>,
    pub(super) n_directions: usize,
    /// The system beside its derivative along a direction of [`Experiment::moved_params`], where it is given.
    pub(super) tangent: Option<Arc<dyn System>>,
}

/// A measurement with its place in the integration.
pub(super) struct Point {
    pub(super) sample: usize,
    pub(super) measurement: usize,
    pub(super) observable: usize,
    pub(super) value: f64,
    pub(super) noise: Noise,
    pub(super) value_output: usize,
    pub(super) spread_output: usize,
}

/// An estimated parameter as it stands in one experiment.
pub(super) struct LocalParameter {
    pub(super) parameter: usize,
    /// Typical size of its change on the search scale, by which the error of its sensitivity is measured.
    pub(super) size: f64,
    pub(super) targets: Vec<Target>,
    /// Its column of the sensitivities; `None` where it stands in outputs only.
    pub(super) direction: Option<usize>,
}

impl LocalParameter {
    /// The system's parameters that it sets.
    pub(super) fn params(&self) -> impl Iterator<Item = usize> {
        self.targets.iter().filter_map(|&target| match target {
            Target::Param(param) => Some(param),
            Target::Start(_) => None,
        })
    }
}

/// The derivatives of one output.
#[derive(Default, Clone)]
pub(super) struct OutputRow {
    /// `(state, position in dy_dx)`
    pub(super) by_states: Vec<(usize, usize)>,
    /// `(local parameter, position in dy_dp)`
    pub(super) by_params: Vec<(usize, usize)>,
}

impl Prepared {
    /// Sorts a checked experiment.
    pub(super) fn new(experiment: Experiment, parameters: &[Parameter]) -> Prepared {
        let mut times: Vec<f64> = experiment.measurements.iter().map(|m| m.time).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let mut points: Vec<Point> = Vec::with_capacity(experiment.measurements.len());
        for (measurement, m) in experiment.measurements.iter().enumerate() {
            let observable = &experiment.observables[m.observable];
            if let (Some(noise), Some(spread_output)) = (observable.noise, observable.spread_output) {
                points.push(Point {
                    sample: times.partition_point(|&t| t < m.time),
                    measurement,
                    observable: m.observable,
                    value: m.value,
                    noise,
                    value_output: observable.value_output,
                    spread_output,
                });
            }
        }
        points.sort_by_key(|p| p.sample);

        let mut locals: Vec<LocalParameter> = Vec::new();
        for link in &experiment.links {
            match locals.iter_mut().find(|l| l.parameter == link.parameter) {
                Some(local) => local.targets.push(link.target),
                None => locals.push(LocalParameter {
                    parameter: link.parameter,
                    size: parameters[link.parameter].search_size(),
                    targets: vec![link.target],
                    direction: None,
                }),
            }
        }
        let mut n_directions = 0;
        for local in &mut locals {
            if local.targets.iter().any(|&target| moves_states(&experiment, target)) {
                local.direction = Some(n_directions);
                n_directions += 1;
            }
        }
        let rows = output_rows(&experiment, &locals);
        Prepared { experiment, times, points, locals, rows, n_directions, tangent: None }
    }

    /// Writes the directions of the parameters that move the states; `slopes` are dvalue/dθ.
    pub(super) fn write_directions(&self, slopes: &[f64], directions: &mut [Direction]) {
        for local in &self.locals {
            let Some(direction) = local.direction.map(|d| &mut directions[d]) else { continue };
            let slope = slopes[local.parameter];
            direction.params.clear();
            direction.start.clear();
            direction.scale = local.size;
            for &target in &local.targets {
                match target {
                    Target::Param(param) => direction.params.push((param, slope)),
                    Target::Start(state) => direction.start.push((state, slope)),
                }
            }
        }
    }

    /// Writes `p` and the start overrides for the given values of the parameters.
    pub(super) fn write_conditions(&self, values: &[f64], p: &mut Vec<f64>, start: &mut Vec<(usize, f64)>) {
        p.clear();
        p.extend_from_slice(&self.experiment.params);
        start.clear();
        start.extend_from_slice(&self.experiment.start);
        for local in &self.locals {
            for &target in &local.targets {
                match target {
                    Target::Param(param) => p[param] = values[local.parameter],
                    Target::Start(state) => {
                        start.retain(|&(s, _)| s != state);
                        start.push((state, values[local.parameter]));
                    }
                }
            }
        }
    }
}

/// True where the target can change the trajectory. Systems with events are taken to depend on every parameter.
fn moves_states(experiment: &Experiment, target: Target) -> bool {
    let system = &experiment.system;
    match target {
        Target::Start(_) => true,
        Target::Param(param) => {
            !system.events().is_empty()
                || system.parameter_pattern().column(param).next().is_some()
                || system.initial_pattern().column(param).next().is_some()
        }
    }
}

/// The output derivatives by rows, since the patterns are by columns.
fn output_rows(experiment: &Experiment, locals: &[LocalParameter]) -> Vec<OutputRow> {
    let (by_states, by_params) = experiment.system.output_patterns();
    let mut rows = vec![OutputRow::default(); experiment.system.dims().n_outputs];
    let entries = |pattern: &CscPattern, col: usize| pattern.column(col).collect::<Vec<_>>();
    for state in 0..by_states.n_cols() {
        for (output, k) in entries(by_states, state) {
            rows[output].by_states.push((state, k));
        }
    }
    for (local_idx, local) in locals.iter().enumerate() {
        for &target in &local.targets {
            match target {
                Target::Param(param) => {
                    for (output, k) in entries(by_params, param) {
                        rows[output].by_params.push((local_idx, k));
                    }
                }
                Target::Start(_) => {}
            }
        }
    }
    rows
}
