//! A task carried out: what is acted on, from sampling instant to sampling instant.
//!
//! [`Plant`] holds the inputs over a step, advances the model by the task's integrator, carries its events out, and judges
//! the step by the task's reward, costs and endings. It is the [`Environment`] of whatever decides by observations, and
//! the plant of [`super::closed_loop`]. What a task sees beside the model's own quantities (the index of the step, values
//! of the step before, measured values, held definitions) are disturbances that the plant writes.

mod kept;

use crate::decide::{Environment, Step};
use crate::flat::{Distribution, FlatTask, Noise, Quantity};
use crate::hir::task::StepMethod;
use crate::integrate::{Forcing, Integrator, Method, Options, Problem, ProblemError, Sample, Signal, Start};
use crate::random::{Rng, draw};
use crate::system::{At, Function, System, Work};

/// The functions of a task that its plant evaluates, each with the number of results that is said.
pub struct PlantFunctions {
    /// One for each of [`FlatTask::holds`].
    pub holds: Box<dyn Function>,
    /// One for each of [`FlatTask::previous`].
    pub previous: Box<dyn Function>,
    /// The values of [`FlatTask::previous`] at the start: `initial`, else the value itself.
    pub previous_start: Box<dyn Function>,
    /// One for each of [`FlatTask::senses`].
    pub senses: Box<dyn Function>,
    /// The cost of a step without the moves.
    pub cost: Box<dyn Function>,
    /// The reward, where the task has one.
    pub reward: Box<dyn Function>,
    /// Margins of [`FlatTask::fails`], then of [`FlatTask::dones`].
    pub endings: Box<dyn Function>,
    /// Values of [`FlatTask::keeps`].
    pub keeps: Box<dyn Function>,
}

/// A parameter that is drawn anew for each episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Which.
    pub param_idx: usize,
    /// From what.
    pub distribution: Distribution,
    /// Lower end of its domain.
    pub low: f64,
    /// Upper end of its domain.
    pub high: f64,
}

/// A plant under a task.
pub struct Plant<'s> {
    task: &'s FlatTask,
    functions: &'s PlantFunctions,
    integrator: Integrator<'s>,
    drawn: Vec<Drawn>,
    work: Work,
    nominal: Vec<f64>,
    /// Start values that are drawn around those given, and within which share of them.
    varied: Vec<(usize, f64)>,
    share: f64,
    p: Vec<f64>,
    x: Vec<f64>,
    u: Vec<f64>,
    inputs: Vec<f64>,
    d: Vec<f64>,
    next: Vec<f64>,
    forcing: Forcing,
    k: usize,
    outputs: Vec<f64>,
    /// Measured values of the observables.
    y: Vec<f64>,
    before: Vec<f64>,
    values: Vec<f64>,
    rng: Rng,
    cost: f64,
    message: String,
}

impl<'s> Plant<'s> {
    /// The plant of a task whose model is `system`. Parameters have their declared values but for the drawn ones.
    ///
    /// # Errors
    /// Where the integrator refuses the task's step.
    pub fn new(
        task: &'s FlatTask,
        system: &'s dyn System,
        functions: &'s PlantFunctions,
        drawn: Vec<Drawn>,
    ) -> Result<Plant<'s>, ProblemError> {
        let dims = system.dims();
        let options = step_options(task);
        let nominal: Vec<f64> = task.model.params.iter().map(|param| param.value).collect();
        let value = |input: &crate::flat::Input| input.value;
        let most = [functions.holds.as_ref(), functions.previous.as_ref(), functions.senses.as_ref()]
            .into_iter()
            .chain([functions.cost.as_ref(), functions.reward.as_ref(), functions.endings.as_ref()])
            .chain([functions.keeps.as_ref()])
            .map(Function::n_outputs)
            .max()
            .unwrap_or(0);
        Ok(Plant {
            integrator: Integrator::new(system, options)?,
            work: system.work(),
            p: nominal.clone(),
            nominal,
            varied: Vec::new(),
            share: 0.0,
            x: vec![0.0; dims.n_states],
            next: vec![0.0; dims.n_states],
            u: task.model.inputs.iter().map(value).collect(),
            inputs: vec![0.0; dims.n_inputs],
            d: task.model.disturbances.iter().map(value).collect(),
            forcing: Forcing::constant(&vec![0.0; dims.n_inputs], &vec![0.0; dims.n_disturbances]),
            k: 0,
            outputs: vec![0.0; dims.n_outputs],
            y: vec![0.0; task.model.observables.len()],
            before: vec![0.0; functions.previous.n_outputs()],
            values: vec![0.0; most],
            rng: crate::random::stream(0, 0),
            cost: 0.0,
            message: String::new(),
            task,
            functions,
            drawn,
        })
    }

    /// The same with all that nothing draws yet drawn for each episode, evenly within this `share` of its value, between 0
    /// and 1: parameters, then start values, each within its domain. What is zero stays zero.
    pub fn vary(mut self, share: f64) -> Self {
        let params = &self.task.model.params;
        for (param_idx, &value) in self.nominal.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            if self.drawn.iter().all(|drawn| drawn.param_idx != param_idx) {
                let Quantity { low, high, .. } = params[param_idx].quantity;
                self.drawn.push(Drawn { param_idx, distribution: around(value, share), low, high });
            }
        }
        self.p.copy_from_slice(&self.nominal);
        self.start();
        let is_drawn = |state: usize| self.task.starts.iter().any(|start| start.state as usize == state);
        self.varied = self.x.iter().copied().enumerate().filter(|&(state, x)| x != 0.0 && !is_drawn(state)).collect();
        self.share = share;
        self
    }

    /// The task.
    pub fn task(&self) -> &'s FlatTask {
        self.task
    }

    /// Index of the sampling instant.
    pub fn index(&self) -> usize {
        self.k
    }

    /// Time of the sampling instant, in the model's unit.
    pub fn time(&self) -> f64 {
        self.k as f64 * self.task.step
    }

    /// `n_states`
    pub fn state(&self) -> &[f64] {
        &self.x
    }

    /// `n_inputs`: what acted over the last step; before the first, what the task says acted until then.
    pub fn input(&self) -> &[f64] {
        &self.u
    }

    /// `n_disturbances`, held over the next step.
    pub fn disturbances(&self) -> &[f64] {
        &self.d
    }

    /// `n_params` of this episode.
    pub fn parameters(&self) -> &[f64] {
        &self.p
    }

    /// One for each observable: what was measured at this instant.
    pub fn measured(&self) -> &[f64] {
        &self.y
    }

    /// Cost of the last step, moves included.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Why the last step failed; empty where it did not.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Largest amount by which a hard constraint of the task is broken now, and which, an index into
    /// [`FlatTask::keeps`]; zeros where none is.
    pub fn violation(&mut self) -> (f64, usize) {
        let Self { task, functions, work, x, u, d, p, values, .. } = self;
        let at = At { t: self.k as f64 * task.step, x, u, d, p };
        functions.keeps.call(at, work, values);
        let mut worst = (0.0, 0);
        for (index, (keep, &value)) in task.keeps.iter().zip(values.iter()).enumerate() {
            let excess = (keep.low - value).max(value - keep.high);
            let is_hard = keep.softness == crate::system::Softness::Hard;
            if is_hard && keep.when == crate::flat::task::When::Path && excess > worst.0 {
                worst = (excess, index);
            }
        }
        worst
    }

    /// Begins an episode: draws what is drawn, and stands at the first sampling instant.
    pub fn begin(&mut self, rng: &mut Rng) {
        self.rng = rng.clone();
        self.k = 0;
        self.message.clear();
        self.cost = 0.0;
        self.p.copy_from_slice(&self.nominal);
        for drawn in &self.drawn {
            self.p[drawn.param_idx] = drawn.distribution.draw_within(drawn.low, drawn.high, &mut self.rng);
        }
        self.start();
        for start in &self.task.starts {
            let range = &self.task.model.states[start.state as usize].quantity;
            self.x[start.state as usize] = start.distribution.draw_within(range.low, range.high, &mut self.rng);
        }
        for &(state, value) in &self.varied {
            let Quantity { low, high, .. } = self.task.model.states[state].quantity;
            self.x[state] = around(value, self.share).draw_within(low, high, &mut self.rng);
        }
        self.arrive(true);
    }

    /// Inputs, disturbances and state as they are given, at the present parameters.
    fn start(&mut self) {
        for (u, input) in self.u.iter_mut().zip(&self.task.model.inputs) {
            *u = input.value;
        }
        for act in &self.task.acts {
            self.u[act.input as usize] = act.before;
        }
        for (d, disturbance) in self.d.iter_mut().zip(&self.task.model.disturbances) {
            *d = disturbance.value;
        }
        let system = self.integrator.system();
        self.next.fill(0.0);
        let at = At { t: 0.0, x: &self.next, u: &self.u, d: &self.d, p: &self.p };
        system.initial_state(at, &mut self.work, &mut self.x);
    }

    /// Puts the plant into a state, `n_states`, at the present instant.
    pub fn set_state(&mut self, x: &[f64]) {
        self.x.copy_from_slice(x);
        self.arrive(self.k == 0);
    }

    /// Writes what the task sees at the instant that was reached: index, held and measured values.
    fn arrive(&mut self, is_first: bool) {
        let t = self.time();
        let Self { task, functions, work, x, u, d, p, values, .. } = self;
        if let Some(index) = task.index {
            d[index as usize] = self.k as f64;
        }
        functions.holds.call(At { t, x, u, d, p }, work, values);
        for (held, value) in task.holds.iter().zip(values.iter()) {
            d[held.disturbance as usize] = *value;
        }
        let system = self.integrator.system();
        system.outputs(At { t, x, u, d, p }, work, &mut self.outputs);
        for (y, observable) in self.y.iter_mut().zip(&task.model.observables) {
            let median = self.outputs[observable.value_output];
            *y = match (observable.noise, observable.spread_output) {
                (Some(noise), Some(spread)) => measure(noise, median, self.outputs[spread], &mut self.rng),
                (None, _) | (_, None) => median,
            };
        }
        for measured in &task.measured {
            d[measured.disturbance as usize] = self.y[measured.observable as usize];
        }
        if is_first {
            functions.previous_start.call(At { t, x, u, d, p }, work, values);
            for (previous, value) in task.previous.iter().zip(values.iter()) {
                d[previous.disturbance as usize] = *value;
            }
        }
    }

    /// Acts for one step with the inputs `u: n_inputs`, cut off at the actuators' limits.
    pub fn act(&mut self, u: &[f64]) -> Step {
        let Self { task, functions, work, x, d, p, values, .. } = self;
        let t = self.k as f64 * task.step;
        let mut moves = 0.0;
        for (j, act) in task.acts.iter().enumerate() {
            let input = act.input as usize;
            let value = u[input].clamp(act.low, act.high);
            for moved in task.moves.iter().filter(|moved| moved.act as usize == j) {
                moves += moved.weight * ((value - self.u[input]) / moved.scale).powi(2);
            }
            self.u[input] = value;
        }
        let at = At { t, x, u: &self.u, d, p };
        functions.cost.call(at, work, values);
        self.cost = values[0] + moves;
        functions.previous.call(at, work, &mut self.before);
        let set = |signals: &mut [Signal], values: &[f64]| {
            signals.iter_mut().zip(values).for_each(|(signal, &value)| *signal = Signal::Constant(value));
        };
        set(&mut self.forcing.inputs, &self.u);
        set(&mut self.forcing.disturbances, d);
        let t1 = (self.k + 1) as f64 * task.step;
        let problem = Problem {
            t0: t,
            t1,
            start: Start::Given(x),
            p,
            forcing: &self.forcing,
            directions: &[],
            resumes: self.k > 0,
        };
        let next = &mut self.next;
        let outcome = self.integrator.solve(&problem, &[t1], &mut |s: Sample<'_>| next.copy_from_slice(s.at.x));
        let failure = match &outcome {
            Ok(outcome) if outcome.status.is_success() => None,
            Ok(outcome) => Some(outcome.status.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = failure {
            self.message = reason;
            return Step { reward: f64::NEG_INFINITY, terminated: true, truncated: false, failed: true };
        }
        x.copy_from_slice(next);
        for (previous, value) in task.previous.iter().zip(&self.before) {
            d[previous.disturbance as usize] = *value;
        }
        self.k += 1;
        self.judge()
    }

    /// Reward and endings at the instant that was reached.
    fn judge(&mut self) -> Step {
        let index = self.task.index;
        self.arrive(false);
        let t = self.time();
        let Self { task, functions, work, x, u, d, p, values, .. } = self;
        // The reward is that of the step that ended.
        if let Some(index) = index {
            d[index as usize] -= 1.0;
        }
        let mut reward = -self.cost;
        if task.reward.is_some() {
            functions.reward.call(At { t, x, u, d, p }, work, values);
            reward = values[0];
        }
        functions.endings.call(At { t, x, u, d, p }, work, values);
        let (fails, dones) = values.split_at(task.fails.len());
        let mut failed = false;
        self.message.clear();
        for (fail, &margin) in task.fails.iter().zip(fails) {
            if margin >= 0.0 || margin.is_nan() {
                failed = true;
                reward -= fail.penalty;
                self.message.push_str(&fail.text);
                break;
            }
        }
        let done = task.dones.iter().zip(dones).any(|(_, &margin)| margin >= 0.0);
        if let Some(index) = index {
            d[index as usize] += 1.0;
        }
        let terminated = failed || done;
        Step { reward, terminated, truncated: !terminated && self.k >= task.n_steps, failed }
    }

    /// Writes what the controller sees: the task's senses, else the measured values, else the states.
    pub fn observe(&mut self, observation: &mut [f64]) {
        let t = self.time();
        let Self { task, functions, work, x, u, d, p, .. } = self;
        if !task.senses.is_empty() {
            functions.senses.call(At { t, x, u, d, p }, work, observation);
        } else if self.y.is_empty() {
            observation.copy_from_slice(x);
        } else {
            observation.copy_from_slice(&self.y);
        }
    }

    /// Length of an observation.
    pub fn n_observed(&self) -> usize {
        match (self.task.senses.len(), self.y.len()) {
            (0, 0) => self.x.len(),
            (0, n) | (n, _) => n,
        }
    }
}

impl Environment for Plant<'_> {
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        self.begin(rng);
        self.observe(observation);
    }

    /// `action`: one for each of [`FlatTask::acts`].
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.copy_from_slice(&self.u);
        for (act, &value) in self.task.acts.iter().zip(action) {
            inputs[act.input as usize] = value;
        }
        let step = self.act(&inputs);
        self.inputs = inputs;
        self.observe(observation);
        step
    }
}

/// The integrator that carries a model over a step of the task.
pub fn step_options(task: &FlatTask) -> Options {
    let (method, substeps) = task.via;
    let method = match method {
        StepMethod::Auto => Method::Auto,
        StepMethod::Euler => Method::Euler,
        StepMethod::Rk4 => Method::Rk4,
        StepMethod::Radau1 => Method::ImplicitEuler,
        StepMethod::Radau3 => Method::Radau3,
        StepMethod::Radau5 => Method::Radau5,
        StepMethod::Rodas5p => Method::Rodas5p,
        StepMethod::Tsit5 => Method::Tsit5,
        StepMethod::Bdf => Method::Bdf,
    };
    let fixed_step = method.is_grid().then(|| task.step / f64::from(substeps.max(1)));
    Options { method, rtol: 1e-9, fixed_step, ..Options::default() }
}

/// Evenly within a share of a value.
fn around(value: f64, share: f64) -> Distribution {
    let reach = share * value.abs();
    Distribution::Uniform { low: value - reach, high: value + reach }
}

/// One measurement.
fn measure(noise: Noise, median: f64, spread: f64, rng: &mut Rng) -> f64 {
    let mut normal = [0.0];
    match noise {
        Noise::Normal => {
            draw::normals(rng, spread, &mut normal);
            median + normal[0]
        }
        Noise::LogNormal => {
            draw::normals(rng, spread.ln(), &mut normal);
            median * normal[0].exp()
        }
        Noise::Laplace => Distribution::Laplace { location: median, scale: spread }.draw(rng),
    }
}
