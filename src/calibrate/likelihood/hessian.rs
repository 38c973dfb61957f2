//! Products of the objective's Hessian with a vector, exact, by the adjoint of the derivative along the vector.
//!
//! With `Ġ = dG/dε` at θ + ε w the product is `H w = ∇Ġ`. A system that carries s = dx/dε beside x
//! ([`crate::flat::tangent`]) makes Ġ a function of its outputs y, ẏ, and the adjoint gives the gradient. On the search
//! scale p = p(θ): the direction is `v = p′ w`, so that `∇_i Ġ = p_i′ ∂Ġ/∂p_i + p_i″ w_i ∂Ġ/∂v_i`.

use crate::calibrate::experiment::{Experiment, Target};
use crate::calibrate::noise::{Curvature, NoiseError, PointTerm, point_term};
use crate::calibrate::parameter::{Parameter, Scale};
use crate::flat::{Distribution, Noise};
use crate::integrate::adjoint::{Adjoint, Gradient};
use crate::integrate::{Options, Problem as Integration, Sample, Start, Tolerance};
use crate::optimize::EvalError;
use crate::system::System;

use super::Evaluator;
use super::bench::{Bench, Outputs};
use super::prepared::Prepared;

/// The second derivatives of a measurement's term: by the median twice, by both, by the spread twice.
///
/// Unlike Fisher's information these are those of the term itself; a Laplace density has its kink left out.
fn second_derivatives(noise: Noise, median: f64, spread: f64, term: &PointTerm) -> [f64; 3] {
    let r = term.residual;
    match noise {
        Noise::Normal => [1.0, 2.0 * r, 3.0 * r * r - 1.0].map(|value| value / (spread * spread)),
        Noise::LogNormal => {
            let sd = spread.ln();
            let (m, s) = (sd * median, sd * spread);
            let by_spread = (2.0 * r * r - (1.0 - r * r) * (1.0 + sd)) / (s * s);
            [(1.0 + r * sd) / (m * m), 2.0 * r / (m * s), by_spread]
        }
        Noise::Laplace => [0.0, r.signum(), 2.0 * r.abs() - 1.0].map(|value| value / (spread * spread)),
    }
}

/// The first and second derivative of a prior's term by the value; a Laplace density has its kink left out.
fn prior_derivatives(prior: Distribution, value: f64) -> (f64, f64) {
    match prior {
        Distribution::Normal { mean, sd } => ((value - mean) / (sd * sd), 1.0 / (sd * sd)),
        Distribution::LogNormal { median, gsd } => {
            let sd = gsd.ln();
            let r = (value / median).ln() / sd;
            (r / (sd * value), (1.0 / sd - r) / (sd * value * value))
        }
        Distribution::Uniform { .. } | Distribution::LogUniform { .. } => (0.0, 0.0),
        Distribution::Laplace { location, scale } => ((value - location).signum() / scale, 0.0),
    }
}

/// d²value/dθ² where dvalue/dθ is `slope`.
fn bend(parameter: &Parameter, slope: f64) -> f64 {
    match parameter.scale {
        Scale::Linear => 0.0,
        Scale::Log => slope,
    }
}

/// What the second derivatives of one experiment need.
pub(super) struct Curved<'a> {
    system: &'a dyn System,
    adjoint: Adjoint<'a>,
    outputs: Outputs,
    derivative: Gradient,
    /// The derivatives of each measurement's part of Ġ by median, spread, and the derivatives of both.
    terms: Vec<[f64; 4]>,
    weights: Vec<f64>,
    conditions: (Vec<f64>, Vec<(usize, f64)>),
}

impl Experiment {
    /// The system's parameters that estimated ones set: the direction of a derivative has these components, in this
    /// order.
    pub fn moved_params(&self) -> Vec<usize> {
        let param = |target| match target {
            Target::Param(param) => Some(param),
            Target::Start(_) => None,
        };
        self.links.iter().filter_map(|link| param(link.target)).collect()
    }
}

impl Evaluator<'_> {
    /// `product: n_parameters` = the objective's Hessian at `theta` times `direction`, both on the search scale.
    ///
    /// # Errors
    /// As [`Evaluator::value`]; and where [`super::Problem::with_tangents`] has not been called.
    pub fn hessian_vector(&mut self, theta: &[f64], direction: &[f64], product: &mut [f64]) -> Result<(), EvalError> {
        self.write_values(theta);
        product.fill(0.0);
        let parameters = &self.problem.parameters;
        // The derivative along a direction of size one is of the size of the states, and so are its tolerances.
        let size = direction.iter().fold(0.0_f64, |a, w| a.max(w.abs()));
        if size == 0.0 {
            return Ok(());
        }
        let unit: Vec<f64> = direction.iter().map(|w| w / size).collect();
        for bench in &mut self.benches {
            bench.add_hessian_vector(parameters, &self.values, &self.slopes, &unit, product)?;
        }
        for (i, parameter) in parameters.iter().enumerate() {
            if let Some(prior) = parameter.prior.filter(|_| self.problem.has_priors) {
                let (first, second) = prior_derivatives(prior, self.values[i]);
                let slope = self.slopes[i];
                product[i] += (second * slope * slope + first * bend(parameter, slope)) * unit[i];
            }
        }
        product.iter_mut().for_each(|value| *value *= size);
        Ok(())
    }
}

impl<'a> Bench<'a> {
    fn add_hessian_vector(
        &mut self,
        parameters: &[Parameter],
        values: &[f64],
        slopes: &[f64],
        direction: &[f64],
        product: &mut [f64],
    ) -> Result<(), EvalError> {
        let prepared = self.prepared;
        let experiment = &prepared.experiment;
        if self.curved.is_none() {
            self.curved = Some(Box::new(Curved::new(prepared, self.integrator.options())?));
        }
        let Some(curved) = &mut self.curved else { return Err(experiment.error("there is no adjoint")) };
        curved.write_conditions(prepared, values, slopes, direction);
        curved.forward(prepared)?;
        curved.backward(prepared)?;
        let Gradient { params, start } = &curved.derivative;
        let (n_states, n_params) = (experiment.system.dims().n_states, experiment.params.len());
        let place = |param: usize| experiment.moved_params().iter().position(|&moved| moved == param);
        for local in &prepared.locals {
            let i = local.parameter;
            let (slope, second) = (slopes[i], bend(&parameters[i], slopes[i]) * direction[i]);
            for &target in &local.targets {
                product[i] += match target {
                    Target::Start(state) => slope * start[state] + second * start[n_states + state],
                    Target::Param(param) => {
                        let by_direction = place(param).map_or(0.0, |j| params[n_params + j]);
                        slope * params[param] + second * by_direction
                    }
                };
            }
        }
        Ok(())
    }
}

impl<'a> Curved<'a> {
    fn new(prepared: &'a Prepared, options: &Options) -> Result<Curved<'a>, EvalError> {
        let experiment = &prepared.experiment;
        let missing = || experiment.error("no system of derivatives along a direction was given");
        let system = prepared.tangent.as_deref().ok_or_else(missing)?;
        if experiment.steady.is_some() {
            return Err(experiment.error("second derivatives of a start at the steady state are not known"));
        }
        let atol = match &options.atol {
            Tolerance::Scalar(value) => Tolerance::Scalar(*value),
            Tolerance::PerState(values) => Tolerance::PerState(values.repeat(2)),
        };
        let adjoint = Adjoint::new(system, Options { atol, ..options.clone() });
        Ok(Curved {
            system,
            adjoint: adjoint.map_err(|error| experiment.error(&error.to_string()))?,
            outputs: Outputs::new(system),
            derivative: Gradient::default(),
            terms: Vec::new(),
            weights: vec![0.0; system.dims().n_outputs],
            conditions: (Vec::new(), Vec::new()),
        })
    }

    /// Parameters with the direction behind them, and overridden starts with their derivatives.
    fn write_conditions(&mut self, prepared: &Prepared, values: &[f64], slopes: &[f64], direction: &[f64]) {
        let experiment = &prepared.experiment;
        let n_states = experiment.system.dims().n_states;
        let (p, start) = &mut self.conditions;
        prepared.write_conditions(values, p, start);
        let by = |target: Target| {
            let local = prepared.locals.iter().find(|local| local.targets.contains(&target));
            local.map_or(0.0, |local| slopes[local.parameter] * direction[local.parameter])
        };
        p.extend(experiment.moved_params().into_iter().map(|param| by(Target::Param(param))));
        for k in 0..start.len() {
            let state = start[k].0;
            start.push((n_states + state, by(Target::Start(state))));
        }
    }

    /// Runs forward, and takes note of how each measurement's part of Ġ depends on the outputs.
    fn forward(&mut self, prepared: &Prepared) -> Result<(), EvalError> {
        let Curved { system, adjoint, outputs, terms, conditions, .. } = self;
        let experiment = &prepared.experiment;
        let n_outputs = experiment.system.dims().n_outputs;
        let times = &prepared.times;
        let problem = Integration {
            t0: experiment.t0,
            t1: times.last().copied().unwrap_or(experiment.t0),
            start: Start::Overrides(&conditions.1),
            p: &conditions.0,
            forcing: &experiment.forcing,
            directions: &[],
            resumes: false,
        };
        terms.clear();
        let mut failure: Option<(usize, NoiseError)> = None;
        let mut observer = |sample: Sample<'_>| {
            system.outputs(sample.at, &mut outputs.work, &mut outputs.y);
            let (y, slopes) = outputs.y.split_at(n_outputs);
            while let Some(point) = prepared.points.get(terms.len()).filter(|p| p.sample == sample.idx) {
                let (median, spread) = (y[point.value_output], y[point.spread_output]);
                let (by_median, by_spread) = (slopes[point.value_output], slopes[point.spread_output]);
                terms.push(match point_term(point.noise, point.value, median, spread, Curvature::Search) {
                    Ok(term) => {
                        let [mm, ms, ss] = second_derivatives(point.noise, median, spread, &term);
                        let (m, s) = (mm * by_median + ms * by_spread, ms * by_median + ss * by_spread);
                        [m, s, term.by_median, term.by_spread]
                    }
                    Err(error) => {
                        failure = failure.or(Some((terms.len(), error)));
                        [0.0; 4]
                    }
                });
            }
        };
        match adjoint.forward(&problem, times, &mut observer) {
            Ok(outcome) if outcome.status.is_success() => {}
            Ok(outcome) => return Err(experiment.failure(&outcome.status)),
            Err(error) => return Err(experiment.error(&error.to_string())),
        }
        match failure {
            Some((point, error)) => Err(prepared.no_likelihood(&prepared.points[point], error)),
            None => Ok(()),
        }
    }

    fn backward(&mut self, prepared: &Prepared) -> Result<(), EvalError> {
        let Curved { system, adjoint, outputs, derivative, terms, weights, .. } = self;
        let n_outputs = prepared.experiment.system.dims().n_outputs;
        let mut rest = terms.len();
        let mut by_sample = |sample: Sample<'_>, by_state: &mut [f64], by_params: &mut [f64]| {
            weights.fill(0.0);
            while let Some(point) = rest.checked_sub(1).map(|k| &prepared.points[k]).filter(|p| p.sample == sample.idx)
            {
                rest -= 1;
                let (value, spread) = (point.value_output, point.spread_output);
                let places = [value, spread, n_outputs + value, n_outputs + spread];
                places.into_iter().zip(terms[rest]).for_each(|(place, weight)| weights[place] += weight);
            }
            outputs.pull_back(*system, sample.at, weights, by_state, by_params);
        };
        let taken_back = adjoint.backward(&mut by_sample, derivative);
        taken_back.map(|_| ()).map_err(|error| prepared.experiment.error(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_derivatives_are_those_of_the_first() {
        for noise in [Noise::Normal, Noise::LogNormal, Noise::Laplace] {
            for (y, m, s) in [(1.2, 0.8, 1.4), (0.3, 2.0, 1.1), (5.0, 4.0, 3.0)] {
                let at = |m, s| point_term(noise, y, m, s, Curvature::Search).expect("in range");
                let found = second_derivatives(noise, m, s, &at(m, s));
                let h = 1e-5;
                let difference = |a: f64, b: f64| (a - b) / (2.0 * h);
                let truth = [
                    difference(at(m + h, s).by_median, at(m - h, s).by_median),
                    difference(at(m, s + h).by_median, at(m, s - h).by_median),
                    difference(at(m, s + h).by_spread, at(m, s - h).by_spread),
                ];
                for (a, b) in found.iter().zip(truth) {
                    assert!((a - b).abs() < 1e-6 * (1.0 + b.abs()), "{noise:?} {found:?} {truth:?}");
                }
            }
        }
    }

    #[test]
    fn priors_bend_as_their_terms_do() {
        use crate::calibrate::prior::penalty;
        let priors = [
            Distribution::Normal { mean: 1.0, sd: 0.7 },
            Distribution::LogNormal { median: 2.0, gsd: 1.5 },
            Distribution::Uniform { low: 0.0, high: 3.0 },
            Distribution::Laplace { location: 1.0, scale: 0.3 },
        ];
        for prior in priors {
            let slope = |value| penalty(prior, value, Curvature::Search).slope;
            let (first, second) = prior_derivatives(prior, 1.7);
            let difference = (slope(1.7 + 1e-5) - slope(1.7 - 1e-5)) / 2e-5;
            assert!((first - slope(1.7)).abs() < 1e-12 && (second - difference).abs() < 1e-6, "{prior:?}");
        }
    }
}
