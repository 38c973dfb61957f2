//! What decides in a closed loop: it learns what the plant shows, plans, and says what to do.
//!
//! A [`Controller`] is a planner with all that it knows of the plant: the believed model, an estimator where the state is
//! not seen, and the disturbances to come as far as they are known to it. [`super::closed_loop`] applies what it says;
//! whoever applies something else beside it (a policy in training) tells it at the next instant what acted instead.
//!
//! **Invariant.** Nothing here reads a clock: the caller hands one in, and no result depends on it but which deadlines were
//! missed. After the first episode [`Controller::decide`] allocates nothing beyond what its planner does.

use super::estimate::{Interval, StateSpace};
use super::plant::Plant;
use crate::decide::{Estimator, Plan, PlanStatus, Planner, Situation};
use crate::flat::FlatTask;
use crate::hir::Model;
use crate::hir::settings::{SettingKind, SettingSpec, Settings};
use crate::random::{Rng, stream};
use crate::system::{At, Function, Work};
use crate::units::Units;
use rand::Rng as _;

/// The settings of `loop { .. }`.
pub const LOOP: &[SettingSpec] = &[
    SettingSpec {
        name: "deadline",
        kind: SettingKind::Time(f64::MIN_POSITIVE, f64::INFINITY),
        unit: "time",
        default: "none",
        doc: "wall-clock time that a plan may take, such as 10 [ms]; a later one is not used, the plan before goes on",
    },
    SettingSpec {
        name: "delay",
        kind: SettingKind::Integer(0, MOST_DELAY),
        unit: "steps",
        default: "0",
        doc: "steps by which what the controller learns of the plant is old",
    },
    SettingSpec {
        name: "input_delay",
        kind: SettingKind::Integer(0, MOST_DELAY),
        unit: "steps",
        default: "0",
        doc: "steps after which what the controller decides acts on the plant",
    },
    SettingSpec {
        name: "missing",
        kind: SettingKind::Number(0.0, 1.0),
        unit: "",
        default: "0",
        doc: "share of samples that are lost, from 0 to 1",
    },
];

/// Longest delay, in steps; each step of it is simulated by the controller at every instant.
const MOST_DELAY: i64 = 1000;

/// What stands between the plant and its controller.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopOptions {
    /// Instants that a planner is told the disturbances of, from the present one on: its horizon and one. Default 1.
    pub preview: usize,
    /// Indices of disturbances that the controller does not know; it believes their declared values. Default none.
    pub hidden: Vec<usize>,
    /// Samples by which what the controller learns is old. Default 0.
    pub delay: usize,
    /// Steps after which what is decided acts. Default 0.
    pub input_delay: usize,
    /// Probability that a sample is lost. Default 0.
    pub missing: f64,
    /// Seconds that a plan may take; later ones are not used. Default no limit.
    pub deadline: f64,
    /// What an estimator is given. Default the measured values.
    pub reads: Reads,
    /// What the controller takes for the input that acted. Default what did.
    pub follows: Follows,
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

/// What a controller takes for the input that acted over the step that ended: the believed model and the estimator go on
/// under it, and changes of inputs are counted from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Follows {
    /// What acted on the plant.
    #[default]
    Applied,
    /// What the controller itself had said, whatever acted instead: H. Tian et al., arXiv 2404.15199 (2024), let the
    /// planner that stands beside a policy go its own way.
    Advised,
}

impl Default for LoopOptions {
    fn default() -> Self {
        LoopOptions {
            preview: 1,
            hidden: Vec::new(),
            delay: 0,
            input_delay: 0,
            missing: 0.0,
            deadline: f64::INFINITY,
            reads: Reads::Measured,
            follows: Follows::Applied,
        }
    }
}

impl LoopOptions {
    /// What a study of a task says in `loop`, checked against [`LOOP`]; `model` is the task's. The deadline counts in
    /// seconds where the model is without units.
    pub fn stated(settings: &Settings, model: &Model) -> LoopOptions {
        let defaults = LoopOptions::default();
        let count = |key: &str, default: usize| settings.number(key).map_or(default, |n| n as usize);
        let second = Units::standard().parse("s").ok();
        let seconds = model.time_unit.as_ref().zip(second).and_then(|(unit, second)| unit.factor_to(&second));
        let deadline = settings.time("deadline", model).map(|time| time * seconds.unwrap_or(1.0));
        LoopOptions {
            delay: count("delay", defaults.delay),
            input_delay: count("input_delay", defaults.input_delay),
            missing: settings.number("missing").unwrap_or(defaults.missing),
            deadline: deadline.unwrap_or(defaults.deadline),
            ..defaults
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

/// What a controller can see of the plant at a sampling instant.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Index of the sampling instant.
    pub step: usize,
    /// `n_states`: the plant's; not looked at where there is an estimator, but at the start of an episode.
    pub state: &'a [f64],
    /// What an estimator reads, as [`LoopOptions::reads`] says; not looked at without one.
    pub reading: &'a [f64],
    /// `n_inputs`: what acted over the step that ended; before the first, what the task says acted until then.
    pub applied: &'a [f64],
    /// `n_disturbances`: held over the step that begins.
    pub disturbances: &'a [f64],
}

/// What a controller says at a sampling instant.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// `n_inputs`: what to do, within the limits of the actuators.
    pub input: &'a [f64],
    /// The plan as the planner made it, used or not.
    pub plan: Plan<'a>,
    /// How the plan came about; [`PlanStatus::Deadline`] where it came too late.
    pub status: PlanStatus,
    /// Seconds that planning took, by the caller's clock.
    pub seconds: f64,
    /// True where the plan was not used, and the one before goes on: it failed, or came too late.
    pub is_fallback: bool,
    /// True where the sample of this instant was lost.
    pub is_lost: bool,
    /// Normalised innovation squared of the estimator; NaN without one.
    pub nis: f64,
}

/// Planner, belief and what they remember of an episode.
pub struct Controller<'s> {
    task: &'s FlatTask,
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
    looked: Vec<f64>,
    reading: Vec<f64>,
    known: Vec<f64>,
    forecast: Vec<f64>,
    held: Vec<f64>,
    /// Of the believed state.
    covariance: Vec<f64>,
    /// What was decided and has not acted yet, oldest first, and the state at which the next decision will act.
    pending: Vec<f64>,
    ahead: Vec<f64>,
    /// The plan that the fallback takes its inputs from, and the instant it was made at.
    plan: Vec<f64>,
    planned_at: usize,
    input: Vec<f64>,
}

impl<'s> Controller<'s> {
    /// The controller of a task: its steps, its held definitions and its actuators' limits are meant.
    pub fn new(
        task: &'s FlatTask,
        planner: Box<dyn Planner + 's>,
        belief: Belief<'s>,
        options: LoopOptions,
    ) -> Controller<'s> {
        let (n, m, n_d) = (task.model.states.len(), task.model.inputs.len(), task.model.disturbances.len());
        let n_kept = options.delay + 1;
        Controller {
            work: Work::default(),
            rng: stream(0, 0),
            state: vec![0.0; n],
            carried: vec![0.0; n],
            shown: vec![0.0; n * n_kept],
            acted: vec![0.0; m * n_kept],
            disturbed: vec![0.0; n_d * n_kept],
            looked: Vec::new(),
            reading: Vec::new(),
            known: vec![0.0; n_d],
            forecast: vec![0.0; n_d * (options.preview.max(1) + options.input_delay)],
            held: vec![0.0; belief.holds.n_outputs()],
            covariance: Vec::with_capacity(n * n),
            pending: vec![0.0; m * options.input_delay],
            ahead: vec![0.0; n],
            plan: Vec::new(),
            planned_at: 0,
            input: vec![0.0; m],
            task,
            planner,
            belief,
            options,
        }
    }

    /// `n_states`: what the plant's state was taken for at the last instant.
    pub fn believed(&self) -> &[f64] {
        &self.state
    }

    /// What is believed of the parameters that are estimated beside the state, in the order of
    /// [`Estimator::estimated`]; nothing where none are.
    pub fn estimated(&self) -> impl Iterator<Item = f64> {
        let estimated = self.belief.estimator.as_ref().map_or(&[][..], |estimator| estimator.estimated());
        estimated.iter().map(|&param_idx| self.belief.parameters[param_idx])
    }

    /// Begins an episode: the plant starts at `state: n_states`, and `applied: n_inputs` acted until then.
    pub fn begin(&mut self, seed: u64, state: &[f64], applied: &[f64]) {
        // Stream 0 is the plant's, 1 that of lost samples; planners and estimators seed their own.
        self.rng = stream(seed, 1);
        self.planner.reset(seed);
        if let Some(estimator) = &mut self.belief.estimator {
            estimator.reset(seed);
        }
        let (n, m) = (self.state.len().max(1), self.input.len().max(1));
        self.state.copy_from_slice(state);
        self.shown.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(state));
        self.input.copy_from_slice(applied);
        self.acted
            .chunks_exact_mut(m)
            .chain(self.pending.chunks_exact_mut(m))
            .for_each(|row| row.copy_from_slice(applied));
        self.plan.clear();
        self.planned_at = 0;
    }

    /// As [`Controller::decide`], of what there is to see of `plant`.
    pub fn advise(&mut self, plant: &mut Plant<'_>, clock: &mut dyn FnMut() -> f64) -> Decision<'_> {
        let mut looked = std::mem::take(&mut self.looked);
        match (&self.belief.estimator, self.options.reads) {
            (None, _) => {}
            (Some(_), Reads::Measured) => {
                looked.clear();
                looked.extend_from_slice(plant.measured());
            }
            (Some(_), Reads::Seen) => {
                looked.resize(plant.n_observed(), 0.0);
                plant.observe(&mut looked);
            }
        }
        let seen = Seen {
            step: plant.index(),
            state: plant.state(),
            reading: &looked,
            applied: plant.input(),
            disturbances: plant.disturbances(),
        };
        let (nis, is_lost) = self.learn(&seen);
        self.looked = looked;
        self.plan(plant.index(), (nis, is_lost), clock)
    }

    /// Takes in what there is to see at a sampling instant, and decides for the step that begins. To be called at every
    /// instant of an episode, in order. `clock` tells seconds from any origin.
    pub fn decide(&mut self, seen: &Seen<'_>, clock: &mut dyn FnMut() -> f64) -> Decision<'_> {
        let learnt = self.learn(seen);
        self.plan(seen.step, learnt, clock)
    }

    fn plan(&mut self, step: usize, (nis, is_lost): (f64, bool), clock: &mut dyn FnMut() -> f64) -> Decision<'_> {
        let (m, n_d) = (self.input.len(), self.known.len());
        let dt = self.task.step;
        self.foresee(step as f64 * dt);
        // What is decided now acts later: the believed model goes there under what was decided before.
        self.ahead.copy_from_slice(&self.state);
        for (j, u) in self.pending.chunks_exact(m.max(1)).enumerate() {
            let over = Interval { t: (step + j) as f64 * dt, dt, u, d: &self.forecast[j * n_d..][..n_d] };
            if self.belief.space.carry(over, &self.ahead, &mut self.carried).is_ok() {
                self.ahead.copy_from_slice(&self.carried);
            }
        }
        let delay = self.options.input_delay;
        let previous = match delay {
            0 => &self.acted[self.options.delay * m..],
            _ => &self.pending[(delay - 1) * m..],
        };
        let now = Situation {
            step: step + delay,
            time: (step + delay) as f64 * dt,
            state: &self.ahead,
            previous,
            forecast: &self.forecast[delay * n_d..],
        };
        let begun = clock();
        let plan = self.planner.plan(&now);
        let seconds = clock() - begun;
        let is_late = seconds > self.options.deadline;
        let is_finite = plan.input.iter().all(|u| u.is_finite());
        let is_fallback = is_late || !is_finite || plan.status == PlanStatus::Failed;
        if !is_fallback {
            self.plan.clear();
            self.plan.extend_from_slice(plan.inputs);
            self.planned_at = step;
        }
        let row = (step - self.planned_at) * m;
        let said = match is_fallback {
            true => self.plan.get(row..row + m).unwrap_or(previous),
            false => plan.input,
        };
        self.input.copy_from_slice(previous);
        for act in &self.task.acts {
            let j = act.input as usize;
            self.input[j] = said[j].clamp(act.low, act.high);
        }
        if delay > 0 {
            self.pending.rotate_left(m);
            self.pending[(delay - 1) * m..].copy_from_slice(&self.input);
        }
        let status = if is_late { PlanStatus::Deadline } else { plan.status };
        Decision { input: &self.input, plan, status, seconds, is_fallback, is_lost, nis }
    }

    /// What the controller takes the state for. Returns the normalised innovation squared, and whether the sample was lost.
    fn learn(&mut self, seen: &Seen<'_>) -> (f64, bool) {
        let (n, m, n_d) = (self.state.len(), self.input.len(), self.known.len());
        let k = seen.step;
        let dt = self.task.step;
        let is_lost = self.options.missing > 0.0 && self.rng.random::<f64>() < self.options.missing;
        // Newest last.
        self.shown.rotate_left(n);
        self.acted.rotate_left(m);
        let last = self.options.delay;
        let followed = match self.options.follows {
            Follows::Applied => seen.applied,
            Follows::Advised => &self.input,
        };
        self.acted[last * m..].copy_from_slice(followed);
        // The forecast is still that of the instant before: its first row is what was held over the step that ended.
        self.disturbed.rotate_left(n_d);
        self.disturbed[last * n_d..].copy_from_slice(&self.forecast[..n_d]);
        self.known.copy_from_slice(seen.disturbances);
        let (u, disturbed) = (&self.acted[last * m..], &self.disturbed[last * n_d..]);
        let mut nis = f64::NAN;
        if let Some(estimator) = &mut self.belief.estimator {
            // The filter keeps to the present; a delayed reading is not modelled by it, so it is carried like a state.
            if k > 0 {
                estimator.predict(dt, u, disturbed);
            }
            self.reading.clear();
            self.reading.extend_from_slice(seen.reading);
            if is_lost {
                self.reading.fill(f64::NAN);
            }
            estimator.update(&self.reading);
            let belief = estimator.belief();
            nis = belief.nis;
            self.shown[last * n..].copy_from_slice(&belief.mean[..n]);
            let estimated = estimator.estimated();
            for (&param_idx, &value) in estimated.iter().zip(&belief.mean[n..]) {
                self.belief.parameters[param_idx] = value;
            }
            if !estimated.is_empty() {
                self.planner.believe(&self.belief.parameters);
            }
            let width = belief.mean.len();
            if belief.covariance.len() == width * width {
                self.covariance.clear();
                (0..n).for_each(|j| self.covariance.extend_from_slice(&belief.covariance[j * width..][..n]));
                self.planner.doubt(&self.covariance);
            }
        } else if is_lost && k > 0 {
            // What was believed goes on by the model.
            let over = Interval { t: (k - 1) as f64 * dt, dt, u, d: disturbed };
            let before = &self.shown[(last.max(1) - 1) * n..][..n];
            let from = if last == 0 { &self.state } else { before };
            if self.belief.space.carry(over, from, &mut self.carried).is_ok() {
                self.shown[last * n..].copy_from_slice(&self.carried);
            }
        } else {
            self.shown[last * n..].copy_from_slice(seen.state);
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
        (nis, is_lost)
    }

    /// The disturbances of the coming steps as the controller knows them.
    fn foresee(&mut self, time: f64) {
        let (task, n_d, m) = (self.task, self.known.len(), self.input.len());
        if n_d == 0 {
            return;
        }
        for &hidden in &self.options.hidden {
            self.known[hidden] = task.model.disturbances[hidden].value;
        }
        let u = &self.acted[self.options.delay * m..];
        for (j, row) in self.forecast.chunks_exact_mut(n_d).enumerate() {
            row.copy_from_slice(&self.known);
            if let Some(index) = task.index {
                row[index as usize] += j as f64;
            }
            let t = time + j as f64 * task.step;
            let at = At { t, x: &self.state, u, d: row, p: &self.belief.parameters };
            self.belief.holds.call(at, &mut self.work, &mut self.held);
            for (held, &value) in task.holds.iter().zip(&self.held) {
                if !self.options.hidden.contains(&(held.disturbance as usize)) {
                    row[held.disturbance as usize] = value;
                }
            }
        }
    }
}
