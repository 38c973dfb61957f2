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
use crate::flat::FlatTask;
use crate::hir::stop::Counts;
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
    /// Which, an index into [`FlatTask::keeps`]; 0 where none is.
    pub keep: usize,
    /// How the plan came about.
    pub status: PlanStatus,
    /// Iterations of the planner.
    pub iterations: usize,
    /// Seconds that planning took, by the caller's clock.
    pub seconds: f64,
    /// True where the plan was not used: it failed, or came too late.
    pub is_fallback: bool,
    /// True where the sample of this instant was lost.
    pub is_lost: bool,
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
    /// The study's `stop` ended the run here.
    Stopped,
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

/// A hard constraint counts as broken by more than this, in its unit. What planners leave is less: their tolerance is 1e-9.
const BROKEN: f64 = 1e-6;

/// What happened in an episode. Trajectories are row major, one row per instant; inputs have one row less.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// `(n + 1) × n_states`: the plant's.
    pub states: Vec<f64>,
    /// `n × n_states`: what the controller took them for.
    pub believed: Vec<f64>,
    /// `n × n_estimated`: what the controller took the parameters for that it estimates.
    pub estimated: Vec<f64>,
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
    /// The predictions of the plans that were kept: `(step, states, inputs)`, from the step at which the plan acts first.
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

    /// Samples that were lost.
    pub fn n_lost(&self) -> usize {
        self.moments.iter().filter(|moment| moment.is_lost).count()
    }

    /// Adds this episode of `task` to `counts` until `stop` holds; where it does, the rest of the episode is cut off.
    /// Returns true then. An interrupted episode did not end, and is not counted as one.
    pub fn count(&mut self, task: &FlatTask, counts: &mut Counts, stop: &dyn Fn(&Counts) -> bool) -> bool {
        let n_steps = self.moments.len();
        for k in 0..n_steps {
            counts.steps += 1;
            counts.violations += u64::from(self.moments[k].violation > BROKEN);
            if k + 1 == n_steps && self.ending != Ending::Interrupted {
                counts.episodes += 1;
                counts.failures += u64::from(self.ending == Ending::Failed);
            }
            if stop(counts) {
                if k + 1 < n_steps {
                    self.cut(task, k + 1);
                }
                return true;
            }
        }
        false
    }

    /// Keeps the first `n_steps` of more.
    fn cut(&mut self, task: &FlatTask, n_steps: usize) {
        let (n, m) = (task.model.states.len(), task.model.inputs.len());
        self.states.truncate((n_steps + 1) * n);
        self.believed.truncate(n_steps * n);
        self.estimated.truncate(n_steps * (self.estimated.len() / self.moments.len().max(1)));
        self.inputs.truncate(n_steps * m);
        self.measured.truncate(n_steps * task.model.observables.len());
        self.moments.truncate(n_steps);
        self.plans.retain(|(step, ..)| *step < n_steps);
        self.ending = Ending::Stopped;
        self.broken = Broken::default();
        for moment in &self.moments {
            if moment.violation > self.broken.amount {
                let name = task.keeps.get(moment.keep).map(|keep| keep.name.clone()).unwrap_or_default();
                self.broken = Broken { amount: moment.violation, step: moment.step, name };
            }
        }
    }
}

/// Plant and controller.
pub struct ClosedLoop<'s> {
    plant: Plant<'s>,
    controller: Controller<'s>,
    /// `n_waiting + 1` rows of inputs that were decided and have not acted; the first acts next.
    line: Vec<f64>,
    n_waiting: usize,
}

impl<'s> ClosedLoop<'s> {
    /// Puts the parts together.
    pub fn new(
        plant: Plant<'s>,
        planner: Box<dyn Planner + 's>,
        belief: Belief<'s>,
        options: LoopOptions,
    ) -> ClosedLoop<'s> {
        let n_waiting = options.input_delay;
        let line = vec![0.0; plant.input().len() * (n_waiting + 1)];
        ClosedLoop { controller: Controller::new(plant.task(), planner, belief, options), plant, line, n_waiting }
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
            estimated: Vec::with_capacity(most * self.controller.estimated().count()),
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
            trace.estimated.extend(self.controller.estimated());
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
        let before = self.plant.input();
        self.line.chunks_exact_mut(before.len().max(1)).for_each(|row| row.copy_from_slice(before));
    }

    /// Learns, plans and acts for one step.
    pub fn step(&mut self, clock: &mut dyn FnMut() -> f64, trace: &mut Trace, keeps: bool) -> (Moment, Step) {
        let (k, time) = (self.plant.index(), self.plant.time());
        let decision = self.controller.advise(&mut self.plant, clock);
        let Decision { input, plan, status, seconds, is_fallback, is_lost, nis } = decision;
        let iterations = plan.iterations;
        if trace.message.is_empty() && !plan.message.is_empty() {
            trace.message.push_str(plan.message);
        }
        if keeps {
            trace.plans.push((k + self.n_waiting, plan.states.to_vec(), plan.inputs.to_vec()));
        }
        // What was decided goes to the end of the line, and what stands first acts.
        let m = input.len();
        self.line[self.n_waiting * m..].copy_from_slice(input);
        let step = self.plant.act(&self.line[..m]);
        self.line.rotate_left(m);
        let (violation, keep) = self.plant.violation();
        if violation > trace.broken.amount {
            (trace.broken.amount, trace.broken.step) = (violation, k);
            trace.broken.name.clear();
            trace.broken.name.push_str(&self.plant.task().keeps[keep].name);
        }
        let cost = self.plant.cost();
        let moment = Moment {
            step: k,
            time,
            cost,
            reward: step.reward,
            violation,
            keep,
            status,
            iterations,
            seconds,
            is_fallback,
            is_lost,
            nis,
        };
        (moment, step)
    }
}
