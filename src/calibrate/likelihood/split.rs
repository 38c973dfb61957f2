//! The derivatives of one experiment's measurements by its parameters, from sensitivities that several threads carry.
//!
//! Each thread differentiates the outputs along its own directions and notes the results; the terms of the likelihood are
//! added up afterwards, in the order in which one thread would have added them. As [`Blocks`] gives the bits of an
//! undivided solve, so does this.

use std::ops::Range;

use crate::calibrate::noise::{Curvature, NoiseError, PointTerm, point_term};
use crate::integrate::{Blocks, Integrator, Observer, Options, Outcome, Problem as Integration, ProblemError, Sample};
use crate::optimize::EvalError;
use crate::system::System;

use super::bench::{Bench, Outputs, Visit};
use super::prepared::{Point, Prepared};

/// Derivatives that are noted at most, 512 MiB of them: beyond that one thread does without notes.
const MOST_NOTES: usize = 64 << 20;

/// What the threads of one experiment need.
pub(super) struct Split<'a> {
    blocks: Blocks<'a>,
    parts: Vec<Part<'a>>,
}

/// The notes of one thread.
struct Part<'a> {
    prepared: &'a Prepared,
    outputs: Outputs,
    /// The local parameters that it differentiates by, and the first of the directions that it carries.
    locals: Range<usize>,
    first_direction: usize,
    slopes: Vec<f64>,
    curvature: Curvature,
    /// How many measurements have been reached.
    n_points: usize,
    /// Of each measurement the derivatives of median and spread by the local parameters: `2 × locals`.
    derivatives: Vec<f64>,
    /// The terms of the likelihood; the first part's are used.
    terms: Vec<Result<PointTerm, NoiseError>>,
}

impl Observer for Part<'_> {
    fn sample(&mut self, sample: Sample<'_>) {
        let Part { prepared, outputs, locals, first_direction, slopes, curvature, .. } = self;
        let system = &*prepared.experiment.system;
        outputs.evaluate(system, sample.at, true);
        let n = locals.len();
        while let Some(point) = prepared.points.get(self.n_points).filter(|p| p.sample == sample.idx) {
            let start = 2 * n * self.n_points;
            self.n_points += 1;
            let (by_median, by_spread) = self.derivatives[start..start + 2 * n].split_at_mut(n);
            for (output, out) in [(point.value_output, by_median), (point.spread_output, by_spread)] {
                let carried = (locals.clone(), *first_direction);
                prepared.derivative(output, outputs, sample.sensitivities, slopes, carried, out);
            }
            let (median, spread) = (outputs.y[point.value_output], outputs.y[point.spread_output]);
            self.terms.push(point_term(point.noise, point.value, median, spread, *curvature));
        }
    }
}

impl<'a> Split<'a> {
    /// For an experiment on at most `n_threads`; `None` where one thread does as well.
    pub(super) fn new(
        prepared: &'a Prepared,
        options: &Options,
        n_threads: usize,
    ) -> Result<Option<Split<'a>>, ProblemError> {
        let system: &'a dyn System = &*prepared.experiment.system;
        let n_blocks = Blocks::advisable(system.dims().n_states, prepared.n_directions, n_threads);
        if n_blocks == 1 || 2 * prepared.points.len() * prepared.locals.len() > MOST_NOTES {
            return Ok(None);
        }
        let blocks = Blocks::new(system, options, n_blocks)?;
        let ranges = blocks.ranges(prepared.n_directions);
        // Parameters that stand in outputs only have no direction; they go with their neighbors.
        let begin = |direction: usize| {
            let is_behind = |local: usize| prepared.locals[local].direction.is_some_and(|own| own >= direction);
            let n_locals = prepared.locals.len();
            (0..n_locals).find(|&local| direction > 0 && is_behind(local)).unwrap_or(if direction == 0 {
                0
            } else {
                n_locals
            })
        };
        let parts = ranges.iter().map(|range| {
            let locals = begin(range.start)..begin(range.end);
            Part {
                prepared,
                outputs: Outputs::new(system),
                derivatives: vec![0.0; 2 * prepared.points.len() * locals.len()],
                locals,
                first_direction: range.start,
                slopes: Vec::new(),
                curvature: Curvature::Search,
                n_points: 0,
                terms: Vec::with_capacity(prepared.points.len()),
            }
        });
        Ok(Some(Split { parts: parts.collect(), blocks }))
    }

    fn begin(&mut self, slopes: &[f64], curvature: Curvature) {
        for part in &mut self.parts {
            part.slopes.clear();
            part.slopes.extend_from_slice(slopes);
            part.curvature = curvature;
            part.n_points = 0;
            part.terms.clear();
        }
    }

    /// Integrates in blocks and makes the notes.
    fn solve(&mut self, problem: &Integration<'_>, times: &[f64]) -> Result<Outcome, ProblemError> {
        self.blocks.solve(problem, times, &mut self.parts)
    }

    /// Reads the notes: `each` with every measurement's term and the derivatives by all local parameters.
    fn read(&self, by_median: &mut [f64], by_spread: &mut [f64], each: &mut Each<'_>) -> Option<(usize, NoiseError)> {
        let mut failure = None;
        for (k, term) in self.parts.first().map_or(&[][..], |part| &part.terms).iter().enumerate() {
            match *term {
                Ok(term) => {
                    for part in &self.parts {
                        let n = part.locals.len();
                        let notes = &part.derivatives[2 * n * k..2 * n * (k + 1)];
                        by_median[part.locals.clone()].copy_from_slice(&notes[..n]);
                        by_spread[part.locals.clone()].copy_from_slice(&notes[n..]);
                    }
                    each(&term, by_median, by_spread);
                }
                Err(error) => failure = failure.or(Some((k, error))),
            }
        }
        failure
    }
}

/// What is called with the term of a measurement and its derivatives by median and spread, by local parameter.
pub(super) type Each<'e> = dyn FnMut(&PointTerm, &[f64], &[f64]) + 'e;

impl Bench<'_> {
    /// Calls `each` for every measurement, in the order of time.
    pub(super) fn differentiate(
        &mut self,
        values: &[f64],
        slopes: &[f64],
        curvature: Curvature,
        each: &mut Each<'_>,
    ) -> Result<(), EvalError> {
        let prepared = self.prepared;
        let (mut by_median, mut by_spread) = (std::mem::take(&mut self.by_median), std::mem::take(&mut self.by_spread));
        let result = match self.split.take() {
            Some(mut split) => {
                split.begin(slopes, curvature);
                let times = &prepared.times;
                let solve = &mut |problem: &Integration<'_>, _: &mut Integrator<'_>, _: &mut Outputs| {
                    split.solve(problem, times)
                };
                let solved = self.integrate(values, Some(slopes), times, solve);
                let read = solved.map(|()| split.read(&mut by_median, &mut by_spread, each));
                self.split = Some(split);
                read.and_then(|failure| {
                    let point = |(k, error): (usize, NoiseError)| prepared.points.get(k).map(|point| (point, error));
                    match failure.and_then(point) {
                        Some((point, error)) => Err(prepared.no_likelihood(point, error)),
                        None => Ok(()),
                    }
                })
            }
            None => self.visit(values, Some(slopes), curvature, &mut |visit, outputs| {
                let Visit { point, term, sensitivities, .. } = visit;
                let Point { value_output, spread_output, .. } = *point;
                let all = || (0..prepared.locals.len(), 0);
                prepared.derivative(value_output, outputs, sensitivities, slopes, all(), &mut by_median);
                prepared.derivative(spread_output, outputs, sensitivities, slopes, all(), &mut by_spread);
                each(&term, &by_median, &by_spread);
            }),
        };
        (self.by_median, self.by_spread) = (by_median, by_spread);
        result
    }
}
