//! One member at a time, by the integrator for one system.

use super::super::forcing::{Forcing, Signal};
use super::super::problem::{Problem, ProblemError, Sample, Start};
use super::super::solve::Integrator;
use super::{Members, Run, Solved};

/// The buffers of one thread.
pub(super) struct Single<'s> {
    pub integrator: Integrator<'s>,
    /// Of the member at hand.
    pub p: Vec<f64>,
    pub start: Vec<(usize, f64)>,
    pub forcing: Forcing,
    inputs: Vec<(usize, f64)>,
    /// The samples, `n_states` each.
    states: Vec<f64>,
}

impl<'s> Single<'s> {
    pub fn new(integrator: Integrator<'s>, run: &Run<'_>) -> Self {
        let dims = integrator.system().dims();
        let states = Vec::with_capacity(dims.n_states * run.samples.len());
        let (start, inputs, forcing) = (Vec::new(), Vec::new(), run.forcing.clone());
        Single { integrator, p: vec![0.0; dims.n_params], start, forcing, inputs, states }
    }

    /// Takes over what the member has of its own.
    pub fn take_over(&mut self, members: &dyn Members, member: usize) {
        members.member(member, &mut self.p, &mut self.start);
        members.inputs(member, &mut self.inputs);
        for &(k, value) in &self.inputs {
            if let Some(signal) = self.forcing.inputs.get_mut(k) {
                *signal = Signal::Constant(value);
            }
        }
    }

    /// Integrates one member and tells it to `take`.
    ///
    /// # Errors
    /// As [`Integrator::solve`].
    pub fn solve(
        &mut self,
        run: &Run<'_>,
        members: &dyn Members,
        member: usize,
        take: &mut dyn FnMut(Solved<'_>),
    ) -> Result<(), ProblemError> {
        self.take_over(members, member);
        let Single { integrator, p, start, forcing, states, .. } = self;
        states.clear();
        let mut n_reported = 0;
        let mut keep = |sample: Sample<'_>| {
            states.extend_from_slice(sample.at.x);
            n_reported += 1;
        };
        let outcome = integrator.solve(&problem(run, p, start, forcing), run.samples, &mut keep)?;
        let times = &run.samples[..n_reported];
        take(Solved { member, outcome, p, times, states, end: integrator.state() });
        Ok(())
    }
}

/// The problem of a member with these parameters, start values and inputs.
pub(super) fn problem<'a>(run: &Run<'_>, p: &'a [f64], start: &'a [(usize, f64)], forcing: &'a Forcing) -> Problem<'a> {
    let start = if start.is_empty() { Start::Model } else { Start::Overrides(start) };
    Problem { t0: run.t0, t1: run.t1, start, p, forcing, directions: &[], resumes: false }
}
