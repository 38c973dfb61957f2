//! The gradient alone, without curvature: by forward sensitivities or by the adjoint, whichever takes less.
//!
//! Forward sensitivities cost a share of a run for every parameter that moves the states; the adjoint costs a few runs
//! whatever their number, but gives no Fisher information. Both are exact for the computed objective on their steps; the
//! steps differ by what the errors of sensitivities ask for.

use crate::calibrate::noise::{Curvature, point_term};
use crate::integrate::adjoint::{Adjoint, Gradient};
use crate::integrate::{Direction, Problem as Integration, Sample, Start};
use crate::optimize::EvalError;

use super::Evaluator;
use super::bench::Bench;

/// How a gradient is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// Each experiment by the way that [`Way::cheaper`] names.
    #[default]
    Auto,
    /// By forward sensitivities.
    Forward,
    /// By the adjoint.
    Adjoint,
}

/// Time of a run with m directions, in runs without: `FORWARD_BASE + FORWARD_EACH m` ...
const FORWARD_BASE: f64 = 2.7;
const FORWARD_EACH: f64 = 0.25;
/// ... and of a recorded run taken back. Measured on chains and random networks of 4 to 1000 rates (benches/gradients.rs):
/// 3.5 to 4.2 for the adjoint; forward 3.8 with 4 rates, 5 to 8 with 10, 18 to 43 with 100.
const ADJOINT: f64 = 3.9;

impl Way {
    /// The way that takes less time where `n_directions` parameters move the states.
    pub fn cheaper(n_directions: usize) -> Way {
        let forward = FORWARD_BASE + FORWARD_EACH * n_directions as f64;
        if forward <= ADJOINT { Way::Forward } else { Way::Adjoint }
    }
}

impl Evaluator<'_> {
    /// The negative log-likelihood (with priors: log-posterior), and its gradient on the search scale,
    /// `gradient: n_parameters`.
    ///
    /// # Errors
    /// As [`Evaluator::value`].
    pub fn gradient(&mut self, theta: &[f64], way: Way, gradient: &mut [f64]) -> Result<f64, EvalError> {
        self.write_values(theta);
        gradient.fill(0.0);
        let mut value = 0.0;
        for bench in &mut self.benches {
            let chosen = match way {
                Way::Auto => Way::cheaper(bench.n_directions()),
                Way::Forward | Way::Adjoint => way,
            };
            value += match chosen {
                Way::Forward | Way::Auto => bench.forward_gradient(&self.values, &self.slopes, gradient)?,
                Way::Adjoint => bench.adjoint_gradient(&self.values, &self.slopes, gradient)?,
            };
        }
        self.priors(Curvature::Search, &mut |i, term| {
            value += term.value;
            gradient[i] += term.slope * self.slopes[i];
        });
        Ok(value)
    }
}

/// What the way back of one experiment needs.
pub(super) struct Backward<'a> {
    adjoint: Adjoint<'a>,
    derivative: Gradient,
    /// The derivatives of each measurement's term by median and spread.
    slopes: Vec<(f64, f64)>,
    /// The derivative of one sample's terms by each output.
    weights: Vec<f64>,
}

impl<'a> Bench<'a> {
    /// Parameters that can move this experiment's states.
    fn n_directions(&self) -> usize {
        self.prepared.n_directions
    }

    /// Adds this experiment's gradient by forward sensitivities; returns its value.
    fn forward_gradient(&mut self, values: &[f64], slopes: &[f64], gradient: &mut [f64]) -> Result<f64, EvalError> {
        let prepared = self.prepared;
        let mut value = 0.0;
        self.differentiate(values, slopes, Curvature::Search, &mut |term, by_median, by_spread| {
            value += term.value;
            for (a, local) in prepared.locals.iter().enumerate() {
                gradient[local.parameter] += term.by_median * by_median[a] + term.by_spread * by_spread[a];
            }
        })?;
        Ok(value)
    }

    /// Adds this experiment's gradient by the adjoint; returns its value.
    fn adjoint_gradient(&mut self, values: &[f64], slopes: &[f64], gradient: &mut [f64]) -> Result<f64, EvalError> {
        let prepared = self.prepared;
        let experiment = &prepared.experiment;
        let system = &*experiment.system;
        if self.backward.is_none() {
            let adjoint = Adjoint::new(system, self.integrator.options().clone());
            let adjoint = adjoint.map_err(|error| experiment.error(&error.to_string()))?;
            let weights = vec![0.0; system.dims().n_outputs];
            let new = Backward { adjoint, derivative: Gradient::default(), slopes: Vec::new(), weights };
            self.backward = Some(Box::new(new));
        }
        let Bench { backward: Some(backward), conditions, outputs, steady, directions, .. } = self else {
            return Err(experiment.error("there is no adjoint"));
        };
        let Backward { adjoint, derivative, slopes: terms, weights } = &mut **backward;
        prepared.write_conditions(values, &mut conditions.0, &mut conditions.1);
        prepared.write_directions(slopes, directions);
        let times = &prepared.times;
        let problem = Integration {
            t0: experiment.t0,
            t1: times.last().copied().unwrap_or(experiment.t0),
            start: Start::Overrides(&conditions.1),
            p: &conditions.0,
            forcing: &experiment.forcing,
            directions,
            resumes: false,
        };
        // A steady start has its derivatives along the directions; the rest of the way back ends at it.
        let found = match steady {
            Some(steady) => Some(steady.start(&problem).map_err(|error| experiment.unsteady(&error))?),
            None => None,
        };
        let problem = match &found {
            Some(found) => Integration { start: Start::Given(&found.steady.x), ..problem },
            None => problem,
        };
        let directions: &[Direction] = found.as_ref().map_or(directions, |found| &found.directions);
        terms.clear();
        let (mut value, mut failure) = (0.0, None);
        let mut observer = |sample: Sample<'_>| {
            system.outputs(sample.at, &mut outputs.work, &mut outputs.y);
            while let Some(point) = prepared.points.get(terms.len()).filter(|p| p.sample == sample.idx) {
                let (median, spread) = (outputs.y[point.value_output], outputs.y[point.spread_output]);
                match point_term(point.noise, point.value, median, spread, Curvature::Search) {
                    Ok(term) => {
                        value += term.value;
                        terms.push((term.by_median, term.by_spread));
                    }
                    Err(error) => {
                        failure = failure.take().or(Some((point, error)));
                        terms.push((0.0, 0.0));
                    }
                }
            }
        };
        match adjoint.forward(&problem, times, &mut observer) {
            Ok(outcome) if outcome.status.is_success() => {}
            Ok(outcome) => return Err(experiment.failure(&outcome.status)),
            Err(error) => return Err(experiment.error(&error.to_string())),
        }
        if let Some((point, error)) = failure {
            return Err(prepared.no_likelihood(point, error));
        }
        let mut rest = prepared.points.len();
        let mut by_sample = |sample: Sample<'_>, by_state: &mut [f64], by_params: &mut [f64]| {
            weights.fill(0.0);
            while let Some(point) = rest.checked_sub(1).map(|k| &prepared.points[k]).filter(|p| p.sample == sample.idx)
            {
                rest -= 1;
                let (by_median, by_spread) = terms[rest];
                weights[point.value_output] += by_median;
                weights[point.spread_output] += by_spread;
            }
            outputs.pull_back(system, sample.at, weights, by_state, by_params);
        };
        let taken_back = adjoint.backward(&mut by_sample, derivative);
        taken_back.map_err(|error| experiment.error(&error.to_string()))?;
        for local in &prepared.locals {
            gradient[local.parameter] += match local.direction.map(|d| &directions[d]) {
                Some(direction) => {
                    let by_params = direction.params.iter().map(|&(param, share)| share * derivative.params[param]);
                    let by_start = direction.start.iter().map(|&(state, share)| share * derivative.start[state]);
                    by_params.sum::<f64>() + by_start.sum::<f64>()
                }
                // It stands in outputs only.
                None => slopes[local.parameter] * local.params().map(|param| derivative.params[param]).sum::<f64>(),
            };
        }
        Ok(value)
    }
}
