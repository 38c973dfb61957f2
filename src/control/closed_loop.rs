//! The closed loop: a controller that believes one model acts on a plant that may be another.
//!
//! At each sampling instant the controller ([`super::controller`]) learns what the plant shows it and decides, and what it
//! decides acts over the step. Where a plan fails or comes too late, the input that the last plan had for this instant
//! acts instead, and that is counted.
//!
//! **Invariant.** Nothing here reads a clock: the caller hands one in, and no result depends on it but which deadlines were
//! missed. After [`ClosedLoop::begin`] a step allocates nothing.

use super::controller::{Belief, Controller, Decision, LoopOptions};
use super::plant::Plant;
use crate::decide::{PlanStatus, Planner, Step};
use crate::random::stream;

/// One step of an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Index of the sampling instant.
    pub step: usize,
    /// Its time, in the model's unit.
    pub time: f64,
    /// Cost of the step, moves included.
    pub cost: f64,
    /// Reward after the step.
    pub reward: f64,
    /// Largest amount by which a hard constraint is broken at its end.
    pub violation: f64,
    /// How the plan came about.
    pub status: PlanStatus,
    /// Iterations of the planner.
    pub iterations: usize,
    /// Seconds that planning took, by the caller's clock.
    pub seconds: f64,
    /// True where the plan was not used: it failed, or came too late.
    pub is_fallback: bool,
    /// Normalised innovation squared of the estimator; NaN without one.
    pub nis: f64,
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its time was up.
    Completed,
    /// A `done` of the task.
    Done,
    /// A `fail` of the task, or the plant has no value.
    Failed,
    /// The caller stopped it.
    Interrupted,
}

/// The largest violation of a hard constraint in an episode; nothing where none was broken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Broken {
    /// In the constraint's unit.
    pub amount: f64,
    /// At the end of which step.
    pub step: usize,
    /// Of which constraint.
    pub name: String,
}

/// What happened in an episode. Trajectories are row major, one row per instant; inputs have one row less.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// `(n + 1) × n_states`: the plant's.
    pub states: Vec<f64>,
    /// `n × n_states`: what the controller took them for.
    pub believed: Vec<f64>,
    /// `n × n_inputs`
    pub inputs: Vec<f64>,
    /// `n × n_observables`: what was measured before each step.
    pub measured: Vec<f64>,
    /// One for each step.
    pub moments: Vec<Moment>,
    /// `n_params` of the plant.
    pub parameters: Vec<f64>,
    /// How it ended.
    pub ending: Ending,
    /// Why, where it failed; the first message of the planner, where it had one.
    pub message: String,
    /// The largest violation of a hard constraint.
    pub broken: Broken,
    /// The predictions of the plans that were kept: `(step, states, inputs)`.
    pub plans: Vec<(usize, Vec<f64>, Vec<f64>)>,
}

impl Trace {
    /// Sum of the costs of all steps.
    pub fn cost(&self) -> f64 {
        self.moments.iter().map(|moment| moment.cost).sum()
    }

    /// Mean reward per step; NaN of no steps.
    pub fn mean_reward(&self) -> f64 {
        self.moments.iter().map(|moment| moment.reward).sum::<f64>() / self.moments.len() as f64
    }

    /// Largest violation of a hard constraint.
    pub fn violation(&self) -> f64 {
        self.broken.amount
    }

    /// Steps on which the plan was not used.
    pub fn n_fallbacks(&self) -> usize {
        self.moments.iter().filter(|moment| moment.is_fallback).count()
    }
}

/// Plant and controller.
pub struct ClosedLoop<'s> {
    plant: Plant<'s>,
    controller: Controller<'s>,
}

impl<'s> ClosedLoop<'s> {
    /// Puts the parts together.
    pub fn new(
        plant: Plant<'s>,
        planner: Box<dyn Planner + 's>,
        belief: Belief<'s>,
        options: LoopOptions,
    ) -> ClosedLoop<'s> {
        ClosedLoop { controller: Controller::new(plant.task(), planner, belief, options), plant }
    }

    /// The plant.
    pub fn plant(&self) -> &Plant<'s> {
        &self.plant
    }

    /// Runs one episode. `clock` tells seconds from any origin; `go_on` is asked before each step; of every
    /// `keep_every`-th plan the prediction is kept (0: of none).
    pub fn run(
        &mut self,
        seed: u64,
        clock: &mut dyn FnMut() -> f64,
        keep_every: usize,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Trace {
        self.begin(seed);
        let most = self.plant.task().n_steps;
        let (n, m) = (self.plant.state().len(), self.plant.input().len());
        let mut trace = Trace {
            states: Vec::with_capacity((most + 1) * n),
            believed: Vec::with_capacity(most * n),
            inputs: Vec::with_capacity(most * m),
            measured: Vec::with_capacity(most * self.plant.measured().len()),
            moments: Vec::with_capacity(most),
            parameters: self.plant.parameters().to_vec(),
            ending: Ending::Completed,
            message: String::new(),
            broken: Broken::default(),
            plans: Vec::new(),
        };
        trace.states.extend_from_slice(self.plant.state());
        for k in 0..most {
            if !go_on(k) {
                trace.ending = Ending::Interrupted;
                break;
            }
            trace.measured.extend_from_slice(self.plant.measured());
            let keeps = keep_every > 0 && k % keep_every == 0;
            let (moment, step) = self.step(clock, &mut trace, keeps);
            trace.believed.extend_from_slice(self.controller.believed());
            trace.inputs.extend_from_slice(self.plant.input());
            trace.states.extend_from_slice(self.plant.state());
            trace.moments.push(moment);
            if step.terminated {
                trace.ending = if step.failed { Ending::Failed } else { Ending::Done };
                if step.failed {
                    trace.message = self.plant.message().to_owned();
                }
                break;
            }
        }
        trace
    }

    /// Begins an episode.
    pub fn begin(&mut self, seed: u64) {
        self.plant.begin(&mut stream(seed, 0));
        self.controller.begin(seed, self.plant.state(), self.plant.input());
    }

    /// Learns, plans and acts for one step.
    pub fn step(&mut self, clock: &mut dyn FnMut() -> f64, trace: &mut Trace, keeps: bool) -> (Moment, Step) {
        let (k, time) = (self.plant.index(), self.plant.time());
        let decision = self.controller.advise(&mut self.plant, clock);
        let Decision { plan, status, seconds, is_fallback, nis, .. } = decision;
        let iterations = plan.iterations;
        if trace.message.is_empty() && !plan.message.is_empty() {
            trace.message.push_str(plan.message);
        }
        if keeps {
            trace.plans.push((k, plan.states.to_vec(), plan.inputs.to_vec()));
        }
        let step = self.plant.act(decision.input);
        let (violation, name) = self.plant.violation();
        if violation > trace.broken.amount {
            (trace.broken.amount, trace.broken.step) = (violation, k);
            trace.broken.name.clear();
            trace.broken.name.push_str(name);
        }
        let cost = self.plant.cost();
        let moment = Moment {
            step: k,
            time,
            cost,
            reward: step.reward,
            violation,
            status,
            iterations,
            seconds,
            is_fallback,
            nis,
        };
        (moment, step)
    }
}
