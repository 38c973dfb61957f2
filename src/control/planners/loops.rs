//! `pid`: one controller for each thing that the task tracks, and the tuning of those that a study gives no gains.
//!
//! A loop compares what `track` names with what it follows and sets one input, the first the first and so on unless
//! `inputs` names others. Gains that are not written are those of SIMC ([`super::super::pid::tuning`]) for the response of
//! the believed model to a small step of the input from the point where the task rests; sampling counts as a delay of
//! half a step (S. Skogestad 2003, J. Process Control 13:291, section 4).

use super::super::assemble::Assembly;
use super::super::pid::tuning::StepModel;
use super::super::pid::{Pid, PidSettings};
use super::PlannerError;
use super::rest::{Rest, rest};
use crate::decide::{Plan, PlanStatus, Planner, Situation};
use crate::hir::settings::{SettingKind, SettingSpec, Settings};
use crate::jit::Kernel;
use crate::system::stages::{Stages, Tree};
use crate::system::{At, Curvature, System, Work};

/// A step of the input by this part of its range tells how the model responds.
const NUDGE: f64 = 0.02;
/// Most steps of the task that a response takes to come to rest.
const MOST_STEPS: usize = 20_000;
/// A response that changes by less than this part of itself over the last fifth of its time has come to rest.
const SETTLED: f64 = 1e-3;

const fn numbers(name: &'static str, unit: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Numbers(-1e12, 1e12), unit, default, doc }
}

/// The settings of `pid`.
pub(super) const SETTINGS: &[SettingSpec] = &[
    numbers(
        "kp",
        "input per tracked value",
        "auto",
        "proportional gain, one for all loops or a list; auto tunes the loops by SIMC",
    ),
    numbers("ki", "kp per time", "0", "integral gain, one or a list"),
    numbers("kd", "kp times time", "0", "derivative gain, one or a list"),
    SettingSpec {
        name: "inputs",
        kind: SettingKind::Words,
        unit: "",
        default: "in order",
        doc: "the input that each `track` is followed with",
    },
    SettingSpec {
        name: "closed",
        kind: SettingKind::Number(0.0, 1e9),
        unit: "steps",
        default: "auto",
        doc: "time constant that SIMC aims at; auto is the delay of the response",
    },
    SettingSpec {
        name: "setpoint_weight",
        kind: SettingKind::Number(0.0, 1e3),
        unit: "",
        default: "1",
        doc: "part of what is followed that the proportional gain sees",
    },
];

/// One loop: which input it sets, and the controller.
struct Loop {
    input: usize,
    pid: Pid,
}

/// The controllers of a task.
struct Loops {
    loops: Vec<Loop>,
    /// What is tracked, one behind the other, then what is followed.
    tracked: Kernel,
    values: Vec<f64>,
    work: Work,
    p: Vec<f64>,
    /// Disturbances as declared.
    d: Vec<f64>,
    step: f64,
    input: Vec<f64>,
}

/// The controllers of a task.
///
/// # Errors
/// Where an input is not there, gains do not fit, or no gains can be found.
pub(super) fn make(assembly: &Assembly, settings: &Settings) -> Result<Box<dyn Planner>, PlannerError> {
    let task = assembly.task();
    let refused = |text: String| Err(PlannerError::Task(text));
    let n = task.tracks.len();
    let named = settings.words("inputs");
    let mut inputs = Vec::with_capacity(n);
    for k in 0..n {
        let act = match named.get(k) {
            Some(name) => task.acts.iter().find(|act| task.input_name(act) == *name),
            None if named.is_empty() => task.acts.get(k),
            None => None,
        };
        let Some(act) = act else {
            let text = &task.tracks[k].text;
            return refused(match named.get(k) {
                Some(name) => format!("`{name}` is no input that the task decides"),
                None => format!("there is no input left to follow `{text}` with; name one for each in `inputs`"),
            });
        };
        if inputs.contains(&act.input) {
            return refused(format!("`{}` is set by two loops", task.input_name(act)));
        }
        inputs.push(act.input);
    }
    let of = |key: &str, k: usize| match settings.numbers(key).as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        list if list.len() == n => Ok(Some(list[k])),
        list => Err(PlannerError::Task(format!("`{key}` has {} values, and there are {n} loops", list.len()))),
    };
    let nodes: Vec<_> = task.tracks.iter().map(|t| t.value).chain(task.tracks.iter().map(|t| t.target)).collect();
    let kernels = assembly.kernels();
    let mut loops = Loops {
        loops: Vec::with_capacity(n),
        tracked: kernels.compile_nodes(&nodes).map_err(super::AssembleError::Compile)?,
        values: vec![0.0; nodes.len()],
        work: kernels.work(),
        p: assembly.parameters(),
        d: task.model.disturbances.iter().map(|d| d.value).collect(),
        step: task.step,
        input: vec![0.0; task.model.inputs.len()],
    };
    let is_tuned = settings.numbers("kp").is_empty();
    if is_tuned && ["ki", "kd"].iter().any(|key| !settings.numbers(key).is_empty()) {
        return refused("`ki` and `kd` stand beside a `kp`".into());
    }
    let at_rest = match is_tuned {
        true => Some(rest("pid", assembly).map_err(|error| {
            PlannerError::Task(format!("{error}; without it no gains can be found: write `kp`, `ki` and `kd`"))
        })?),
        false => None,
    };
    for (k, &input) in inputs.iter().enumerate() {
        let (lower, upper) = task
            .acts
            .iter()
            .find(|act| act.input == input)
            .map_or((f64::NEG_INFINITY, f64::INFINITY), |act| act.planned());
        let own = match (&at_rest, of("kp", k)?) {
            (_, Some(kp)) => {
                let (ki, kd) = (of("ki", k)?.unwrap_or(0.0), of("kd", k)?.unwrap_or(0.0));
                if kp == 0.0 || kp * ki < 0.0 || kp * kd < 0.0 {
                    return refused("`kp` is not zero, and `ki` and `kd` have its sign".into());
                }
                let integral = if ki == 0.0 { f64::INFINITY } else { kp / ki };
                PidSettings { gain: kp, integral, derivative: kd / kp, ..PidSettings::default() }
            }
            (Some(rest), None) => {
                let closed = settings.number("closed").map(|steps| steps * task.step);
                loops.tuned(assembly, rest, k, input as usize, (lower, upper), closed)?
            }
            (None, None) => PidSettings::default(),
        };
        let setpoint_weight = settings.number("setpoint_weight").unwrap_or(1.0);
        let pid = Pid::new(PidSettings { lower, upper, setpoint_weight, ..own })
            .map_err(|error| PlannerError::Task(error.to_string()))?;
        loops.loops.push(Loop { input: input as usize, pid });
    }
    Ok(Box::new(loops))
}

impl Loops {
    /// Writes what is tracked and what is followed.
    fn look(&mut self, t: f64, x: &[f64], u: &[f64], forecast: &[f64]) {
        let d = forecast.get(..self.d.len()).filter(|d| !d.is_empty()).unwrap_or(&self.d);
        self.tracked.call(At { t, x, u, d, p: &self.p }, &mut self.work, &mut self.values);
    }

    /// SIMC for loop `k`, from the response of the believed model to a step of its input.
    fn tuned(
        &mut self,
        assembly: &Assembly,
        rest: &Rest,
        k: usize,
        input: usize,
        (lower, upper): (f64, f64),
        closed: Option<f64>,
    ) -> Result<PidSettings, PlannerError> {
        let task = assembly.task();
        let text = &task.tracks[k].text;
        let refused = |why: &str| {
            let title = format!("no gains were found for `{text}`: {why}; write `kp`, `ki` and `kd`");
            Err(PlannerError::Task(title))
        };
        let problem = assembly.problem(Tree::chain(1), assembly.parameters());
        let mut stages = assembly.shooting(problem, Curvature::GaussNewton)?;
        let n = task.model.states.len();
        let mut u = rest.u.clone();
        let range = if (upper - lower).is_finite() { upper - lower } else { u[input].abs().max(1.0) };
        // Away from the nearer limit.
        let change = if upper - u[input] >= u[input] - lower { NUDGE * range } else { -NUDGE * range };
        u[input] += change;
        let (mut x, mut next) = (rest.x.clone(), rest.x.clone());
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for step in 0..MOST_STEPS {
            self.look(0.0, &x[..n], &u, &[]);
            times.push(step as f64 * task.step);
            values.push(self.values[k]);
            if stages.step(1, &x, &u, &mut next).is_err() || !self.values[k].is_finite() {
                return refused("the model has no value after a small step of its input");
            }
            std::mem::swap(&mut x, &mut next);
            let (begun, late) = (values[0], values[step - step / 5]);
            let whole = (values[step] - begun).abs();
            let is_moving = values[step - step / 5..].iter().any(|v| (v - late).abs() > SETTLED * whole);
            if step >= 20 && whole > 0.0 && !is_moving {
                let mut model = match StepModel::fit(&times, &values, change) {
                    Ok(model) => model,
                    Err(error) => return refused(&error.to_string()),
                };
                model.delay += 0.5 * task.step;
                return match model.simc(closed) {
                    Ok(settings) => Ok(settings),
                    Err(error) => refused(&error.to_string()),
                };
            }
        }
        refused("the model does not come to rest after a small step of its input")
    }
}

impl Planner for Loops {
    fn believe(&mut self, parameters: &[f64]) {
        self.p.copy_from_slice(parameters);
    }

    fn reset(&mut self, _seed: u64) {
        self.loops.iter_mut().for_each(|one| one.pid.reset());
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        self.look(now.time, now.state, now.previous, now.forecast);
        self.input.copy_from_slice(now.previous);
        let mut is_finite = true;
        let (measured, wanted) = self.values.split_at(self.loops.len());
        for ((one, measured), wanted) in self.loops.iter_mut().zip(measured).zip(wanted) {
            if !(measured.is_finite() && wanted.is_finite()) {
                is_finite = false;
                continue;
            }
            let before = self.input[one.input];
            self.input[one.input] = one.pid.update(*wanted, *measured, before, self.step);
        }
        Plan {
            input: &self.input,
            states: &[],
            inputs: &[],
            cost: f64::NAN,
            violation: 0.0,
            status: if is_finite { PlanStatus::Improved } else { PlanStatus::Failed },
            iterations: 0,
            message: if is_finite { "" } else { "what is tracked has no finite value; its input is held" },
        }
    }
}
