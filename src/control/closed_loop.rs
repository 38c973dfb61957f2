//! The closed loop: a planner that believes one model acts on a plant that may be another.
//!
//! At each sampling instant the controller learns what the plant shows it (the state itself, or measurements through an
//! estimator; late or missing as the settings say), plans, and the first input of the plan acts over the step. Where a
//! plan fails or comes too late, the input that the last plan had for this instant acts instead, and that is counted.
//!
//! **Invariant.** Nothing here reads a clock: the caller hands one in, and no result depends on it but which deadlines were
//! missed. After [`ClosedLoop::begin`] a step allocates nothing.

use super::estimate::{Interval, StateSpace};
use super::plant::Plant;
use crate::decide::{Estimator, PlanStatus, Planner, Situation, Step};
use crate::random::{Rng, stream};
use crate::system::{At, Function, Work};
use rand::Rng as _;

/// What stands between the plant and its controller.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopOptions {
    /// Instants that a planner is told the disturbances of, from the present one on: its horizon and one. Default 1.
    pub preview: usize,
    /// Indices of disturbances that the controller does not know; it believes their declared values. Default none.
    pub hidden: Vec<usize>,
    /// Samples by which what the controller learns is old. Default 0.
    pub delay: usize,
    /// Probability that a sample is lost. Default 0.
    pub missing: f64,
    /// Seconds that a plan may take; later ones are not used. Default no limit.
    pub deadline: f64,
    /// What an estimator is given. Default the measured values.
    pub reads: Reads,
}

/// What an estimator is given at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reads {
    /// The measured values of the observables, with their noise.
    #[default]
    Measured,
    /// What the task's controller sees: its senses, else the measured values, else the states.
    Seen,
}

impl Default for LoopOptions {
    fn default() -> Self {
        LoopOptions {
            preview: 1,
            hidden: Vec::new(),
            delay: 0,
            missing: 0.0,
            deadline: f64::INFINITY,
            reads: Reads::Measured,
        }
    }
}

/// What the controller believes of the plant.
pub struct Belief<'s> {
    /// Carries the state over a step: what is known only late is brought to the present by it.
    pub space: Box<dyn StateSpace + 's>,
    /// Estimates the state from measurements; without one the state itself is seen.
    pub estimator: Option<Box<dyn Estimator + 's>>,
    /// Held definitions of the task, one for each of [`crate::flat::FlatTask::holds`], as functions of time.
    pub holds: &'s dyn Function,
    /// `n_params`
    pub parameters: Vec<f64>,
}

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

/// Plant, planner and what stands between them.
pub struct ClosedLoop<'s> {
    plant: Plant<'s>,
    planner: Box<dyn Planner + 's>,
    belief: Belief<'s>,
    options: LoopOptions,
    work: Work,
    rng: Rng,
    /// What is believed now, and what was shown in the last `delay + 1` instants.
    state: Vec<f64>,
    carried: Vec<f64>,
    shown: Vec<f64>,
    /// The inputs and disturbances of the steps before those instants, the latter as the controller knew them.
    acted: Vec<f64>,
    disturbed: Vec<f64>,
    reading: Vec<f64>,
    known: Vec<f64>,
    forecast: Vec<f64>,
    held: Vec<f64>,
    /// The plan that the fallback takes its inputs from, and the instant it was made at.
    plan: Vec<f64>,
    planned_at: usize,
    input: Vec<f64>,
}

impl<'s> ClosedLoop<'s> {
    /// Puts the parts together.
    pub fn new(
        plant: Plant<'s>,
        planner: Box<dyn Planner + 's>,
        belief: Belief<'s>,
        options: LoopOptions,
    ) -> ClosedLoop<'s> {
        let (n, m) = (plant.state().len(), plant.input().len());
        let n_d = plant.disturbances().len();
        ClosedLoop {
            work: Work::default(),
            rng: stream(0, 0),
            state: vec![0.0; n],
            carried: vec![0.0; n],
            shown: vec![0.0; n * (options.delay + 1)],
            acted: vec![0.0; m * (options.delay + 1)],
            disturbed: vec![0.0; n_d * (options.delay + 1)],
            reading: match options.reads {
                Reads::Measured => vec![0.0; plant.measured().len()],
                Reads::Seen => vec![0.0; plant.n_observed()],
            },
            known: vec![0.0; n_d],
            forecast: vec![0.0; n_d * options.preview.max(1)],
            held: vec![0.0; belief.holds.n_outputs()],
            plan: Vec::new(),
            planned_at: 0,
            input: vec![0.0; m],
            plant,
            planner,
            belief,
            options,
        }
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
        let (n, m) = (self.state.len(), self.input.len());
        let mut trace = Trace {
            states: Vec::with_capacity((most + 1) * n),
            believed: Vec::with_capacity(most * n),
            inputs: Vec::with_capacity(most * m),
            measured: Vec::with_capacity(most * self.reading.len()),
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
            trace.believed.extend_from_slice(&self.state);
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
        // Stream 0 is the plant's, 1 that of lost samples; planners and estimators seed their own.
        let mut rng = stream(seed, 0);
        self.rng = stream(seed, 1);
        self.plant.begin(&mut rng);
        self.planner.reset(seed);
        if let Some(estimator) = &mut self.belief.estimator {
            estimator.reset(seed);
        }
        self.state.copy_from_slice(self.plant.state());
        let n = self.state.len();
        self.shown.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(&self.state));
        let m = self.input.len();
        self.acted.chunks_exact_mut(m.max(1)).for_each(|row| row.copy_from_slice(self.plant.input()));
        self.plan.clear();
        self.planned_at = 0;
    }

    /// Learns, plans and acts for one step.
    pub fn step(&mut self, clock: &mut dyn FnMut() -> f64, trace: &mut Trace, keeps: bool) -> (Moment, Step) {
        let (k, time) = (self.plant.index(), self.plant.time());
        let nis = self.learn();
        self.foresee(time);
        let begun = clock();
        let now =
            Situation { step: k, time, state: &self.state, previous: self.plant.input(), forecast: &self.forecast };
        let plan = self.planner.plan(&now);
        let seconds = clock() - begun;
        let (status, iterations) = (plan.status, plan.iterations);
        let is_late = seconds > self.options.deadline;
        let is_finite = plan.input.iter().all(|u| u.is_finite());
        let is_fallback = is_late || !is_finite || status == PlanStatus::Failed;
        if is_fallback {
            let m = self.input.len();
            let row = (k - self.planned_at) * m;
            match self.plan.get(row..row + m) {
                Some(planned) => self.input.copy_from_slice(planned),
                None => self.input.copy_from_slice(self.plant.input()),
            }
        } else {
            self.input.copy_from_slice(plan.input);
            self.plan.clear();
            self.plan.extend_from_slice(plan.inputs);
            self.planned_at = k;
        }
        if trace.message.is_empty() && !plan.message.is_empty() {
            trace.message.push_str(plan.message);
        }
        if keeps {
            trace.plans.push((k, plan.states.to_vec(), plan.inputs.to_vec()));
        }
        let step = self.plant.act(&self.input);
        let (violation, name) = self.plant.violation();
        if violation > trace.broken.amount {
            (trace.broken.amount, trace.broken.step) = (violation, k);
            trace.broken.name.clear();
            trace.broken.name.push_str(name);
        }
        let status = if is_late { PlanStatus::Deadline } else { status };
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

    /// What the controller takes the state for. Returns the normalised innovation squared.
    fn learn(&mut self) -> f64 {
        let (n, m, n_d) = (self.state.len(), self.input.len(), self.known.len());
        let k = self.plant.index();
        let dt = self.plant.task().step;
        let is_lost = self.options.missing > 0.0 && self.rng.random::<f64>() < self.options.missing;
        // Newest last.
        self.shown.rotate_left(n);
        self.acted.rotate_left(m);
        let last = self.options.delay;
        self.acted[last * m..].copy_from_slice(self.plant.input());
        // The forecast is still that of the instant before: its first row is what was held over the step that ended.
        self.disturbed.rotate_left(n_d);
        self.disturbed[last * n_d..].copy_from_slice(&self.forecast[..n_d]);
        let disturbed = &self.disturbed[last * n_d..];
        let mut nis = f64::NAN;
        if let Some(estimator) = &mut self.belief.estimator {
            // The filter keeps to the present; a delayed reading is not modelled by it, so it is carried like a state.
            if k > 0 {
                estimator.predict(dt, self.plant.input(), disturbed);
            }
            match self.options.reads {
                Reads::Measured => self.reading.copy_from_slice(self.plant.measured()),
                Reads::Seen => self.plant.observe(&mut self.reading),
            }
            if is_lost {
                self.reading.fill(f64::NAN);
            }
            estimator.update(&self.reading);
            let belief = estimator.belief();
            nis = belief.nis;
            self.shown[last * n..].copy_from_slice(&belief.mean[..n]);
        } else if is_lost && k > 0 {
            // What was believed goes on by the model.
            let over = Interval { t: self.plant.time() - dt, dt, u: self.plant.input(), d: disturbed };
            let before = &self.shown[(last.max(1) - 1) * n..][..n];
            let from = if last == 0 { &self.state } else { before };
            if self.belief.space.carry(over, from, &mut self.carried).is_ok() {
                self.shown[last * n..].copy_from_slice(&self.carried);
            }
        } else {
            self.shown[last * n..].copy_from_slice(self.plant.state());
        }
        // The oldest shown is what is known; the model carries it to the present.
        self.state.copy_from_slice(&self.shown[..n]);
        for j in 0..self.options.delay.min(k) {
            let age = self.options.delay.min(k) - j;
            let over = Interval {
                t: (k - age) as f64 * dt,
                dt,
                u: &self.acted[(last + 1 - age) * m..][..m],
                d: &self.disturbed[(last + 1 - age) * n_d..][..n_d],
            };
            if self.belief.space.carry(over, &self.state, &mut self.carried).is_ok() {
                self.state.copy_from_slice(&self.carried);
            }
        }
        nis
    }

    /// The disturbances of the coming steps as the controller knows them.
    fn foresee(&mut self, time: f64) {
        let task = self.plant.task();
        let n_d = self.known.len();
        if n_d == 0 {
            return;
        }
        self.known.copy_from_slice(self.plant.disturbances());
        for &hidden in &self.options.hidden {
            self.known[hidden] = task.model.disturbances[hidden].value;
        }
        for (j, row) in self.forecast.chunks_exact_mut(n_d).enumerate() {
            row.copy_from_slice(&self.known);
            if let Some(index) = task.index {
                row[index as usize] += j as f64;
            }
            let t = time + j as f64 * task.step;
            let at = At { t, x: &self.state, u: self.plant.input(), d: row, p: &self.belief.parameters };
            self.belief.holds.call(at, &mut self.work, &mut self.held);
            for (held, &value) in task.holds.iter().zip(&self.held) {
                if !self.options.hidden.contains(&(held.disturbance as usize)) {
                    row[held.disturbance as usize] = value;
                }
            }
        }
    }
}
