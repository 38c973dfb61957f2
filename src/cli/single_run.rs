//! One run at a time, by the integrator for one system or as a random path; buffers are kept from run to run.

use super::failure::Failure;
use super::recorder::Recorder;
use super::runs::Run;
use super::sim_result::{Done, Ended, Shared, is_stopped};
use super::verdict;
use crate::analyze::SteadyStates;
use crate::integrate::stochastic::Stochastic;
use crate::integrate::{Forcing, Integrator, Problem, ProblemError, Sample, Signal, Start, Status};
use crate::random::stream;

/// Streams of random paths begin here.
const PATH_STREAM: u64 = 1 << 41;

/// What advances the state.
enum Mover<'a> {
    Smooth(Box<Integrator<'a>>),
    Chance(Box<Stochastic<'a>>),
}

/// The buffers of one thread.
pub struct Worker<'a> {
    shared: Shared<'a>,
    mover: Mover<'a>,
    search: Option<SteadyStates<'a>>,
    recorder: Recorder<'a>,
    forcing: Forcing,
    run: Run,
}

impl<'a> Worker<'a> {
    /// Prepares for the runs of a plan.
    ///
    /// # Errors
    /// A mistake in the plan that the integrator finds.
    pub fn new(shared: Shared<'a>) -> Result<Worker<'a>, Failure> {
        let Shared { plan, kernels, .. } = shared;
        let model = kernels.model();
        let wrong = |error: ProblemError| verdict::mistake(&error, model);
        let mover = match (&plan.paths, shared.chance) {
            (Some(options), Some(chance)) => {
                Mover::Chance(Box::new(Stochastic::new(kernels, chance.law(), options.clone()).map_err(wrong)?))
            }
            (_, _) => Mover::Smooth(Box::new(Integrator::new(kernels, plan.options.clone()).map_err(wrong)?)),
        };
        let search = plan.steady.as_ref().map(|(structure, _)| {
            let sizes = plan.options.atol.sizes(plan.options.rtol, model.states.len());
            SteadyStates::new(kernels, structure, &sizes).with_interrupt(plan.options.interrupt.clone())
        });
        let (recorder, forcing) = (shared.recorder(), plan.forcing.clone());
        Ok(Worker { shared, mover, search, recorder, forcing, run: Run::default() })
    }

    /// Carries out the run of number `idx`.
    ///
    /// # Errors
    /// A mistake in the plan that the integrator finds.
    pub fn carry_out(&mut self, idx: usize) -> Result<Done, Failure> {
        let plan = self.shared.plan;
        plan.runs.fill(idx, &mut self.run);
        self.recorder.start(idx);
        let ended = if super::interrupt::is_asked() { Ended::not_begun() } else { self.solve(idx)? };
        Ok(Done::new(&self.shared, idx, &self.run, &self.recorder, &ended))
    }

    fn solve(&mut self, idx: usize) -> Result<Ended, Failure> {
        let Shared { plan, kernels, .. } = self.shared;
        let wrong = |error: ProblemError| verdict::mistake(&error, kernels.model());
        for &(k, value) in &self.run.inputs {
            self.forcing.inputs[k] = Signal::Constant(value);
        }
        let problem = Problem {
            t0: plan.times.first().copied().unwrap_or(0.0),
            t1: plan.times.last().copied().unwrap_or(0.0),
            start: if self.run.start.is_empty() { Start::Model } else { Start::Overrides(&self.run.start) },
            p: &self.run.params,
            forcing: &self.forcing,
            directions: &[],
            resumes: false,
        };
        let steady = self.search.as_ref().map(|search| search.start(&problem).map(|found| found.steady));
        let problem = match &steady {
            Some(Ok(found)) => Problem { start: Start::Given(&found.x), ..problem },
            Some(Err(error)) => {
                // Without a start there are no rows; what is told of it stands in `steady`.
                let nothing = Ended::not_begun();
                let status = if is_stopped(error) { nothing.status } else { Status::Success };
                return Ok(Ended { status, steady, ..nothing });
            }
            None => problem,
        };
        let recorder = &mut self.recorder;
        let mut observe = |sample: Sample<'_>| recorder.add(sample.at);
        let outcome = match &mut self.mover {
            Mover::Chance(path) => {
                let mut rng = stream(plan.seed, PATH_STREAM + idx as u64);
                path.solve(&problem, &plan.times, &mut rng, &mut observe).map_err(wrong)?
            }
            Mover::Smooth(integrator) => integrator.solve(&problem, &plan.times, &mut observe).map_err(wrong)?,
        };
        Ok(Ended { status: outcome.status, statistics: outcome.statistics, steady })
    }
}
