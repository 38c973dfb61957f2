//! What trainings act on: the plant's copies, those with the controller beside them, those of the believed model, and the
//! ground on which policies are judged.
//!
//! Learners own their environments and run on any thread, so what these borrow from, the compiled tasks, lives as long as the
//! process: it is made once and never freed.

use super::control::{assembled, flat, same_layout};
use super::control_table::setting;
use super::failure::Failure;
use super::train_job::Judged;
use super::train_methods::Method;
use crate::control::planners::{self, PlannerKind};
use crate::decide::{Advised, Environments, Policy, Space};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::table::header;
use crate::flat::Quantity;
use crate::hir::task::{Algorithm, Control};
use crate::jit::Options;
use crate::learn::environments::{self, Coach, EnvironmentError, Prepared};
use crate::learn::learner::LearnError;
use crate::learn::play::{Course, Ground, Played, play};
use crate::source::Span;

/// The name of the study's controller in tables, and in `against`.
pub const CONTROLLER: &str = "mpc";

/// Compiled tasks.
pub struct Grounds {
    plant: &'static Prepared,
    /// The same with the believed model; only where something is pretrained.
    believed: Option<&'static Prepared>,
    /// Of the methods that need one, and of the comparison: the planner as written, and the controller.
    coaches: Vec<(Algorithm, &'static Coach)>,
    is_compared: bool,
    span: Span,
}

/// What a policy, or a controller, is played on.
pub enum Judging {
    /// Without a controller.
    Plain(Box<dyn Environments>),
    /// With one.
    Advised(Box<dyn Advised>),
}

impl Judging {
    /// Plays episodes.
    ///
    /// # Errors
    /// Where one could not begin, or a reward is not finite.
    pub fn play(&mut self, policy: &mut dyn Policy, seed: u64, n_episodes: u64) -> Result<Vec<Played>, LearnError> {
        let mut ground = match self {
            Judging::Plain(environments) => Ground::Plain(environments.as_mut()),
            Judging::Advised(environments) => Ground::Advised(environments.as_mut()),
        };
        play(&mut ground, policy, seed, n_episodes)
    }
}

/// Does what the controller advises: the last part of what it sees.
struct Obedient;

impl Policy for Obedient {
    fn act(&mut self, observation: &[f64], action: &mut [f64]) {
        action.copy_from_slice(&observation[observation.len() - action.len()..]);
    }
}

impl Grounds {
    /// Compiles what `methods` act on. `is_compared`: the study's controller is judged too.
    ///
    /// # Errors
    /// A task without limits to act between, or with a free step; a planner that does not fit; E0614; E0707.
    pub fn new(
        control: &Control,
        methods: &[Method],
        is_compared: bool,
        options: &Options,
        warnings: &mut Diagnostics,
    ) -> Result<Grounds, Failure> {
        let span = control.plant.span;
        let task = flat(&control.plant, None, warnings)?;
        let mut found = Diagnostics::default();
        environments::check(&task, &mut found);
        if task.acts.is_empty() {
            let title = format!("`{}` has nothing to decide: `{}` has no input", task.name, task.model.name);
            let d = Diagnostic::new(Code("E0409"), span, title).at("no input");
            found.push(d.help("declare one: `input u = 0 in 0 .. 1`"));
        }
        if found.has_errors() {
            return Err(Failure::from_diagnostics(found));
        }
        let unfit = |error: EnvironmentError| refused(span, &control.plant.name, &error);
        let plant = Prepared::of_study(control, assembled(task, options, control)?).map_err(unfit)?;
        let plant: &'static Prepared = Box::leak(Box::new(plant));
        let believed = match methods.iter().any(|method| method.pretraining().is_some()) {
            true => {
                let task = flat(&control.belief, None, warnings)?;
                let prepared = Prepared::new(assembled(task, options, control)?, Vec::new()).map_err(unfit)?;
                Some(&*Box::leak(Box::new(prepared)))
            }
            false => None,
        };
        let mut coaches: Vec<(Algorithm, &'static Coach)> = Vec::new();
        let advised = methods.iter().filter(|method| method.is_advised()).map(|method| method.planner(control));
        let beside = is_compared.then(|| super::train_methods::planner(None, control));
        for planner in advised.chain(beside) {
            let Some(kind) = PlannerKind::find(planner.name()) else {
                let title = format!("`{}` is no planner", planner.name());
                let mut list = Diagnostics::default();
                list.push(Diagnostic::new(Code("E0602"), planner.span, title).at("asked for here"));
                return Err(Failure::from_diagnostics(list));
            };
            let task = flat(&control.task_for(&planner), Some(kind), warnings)?;
            same_layout(plant.task(), &task)?;
            let coach = Coach::of_study(control, &planner, assembled(task, options, control)?);
            let coach = coach.map_err(|error| refused(planner.span, &control.plant.name, &error))?;
            let coach: &'static Coach = Box::leak(Box::new(coach));
            // One that cannot be made is told before anything is trained.
            plant.coached(coach, 1).map_err(|error| refused(planner.span, &control.plant.name, &error))?;
            coaches.push((planner, coach));
        }
        Ok(Grounds { plant, believed, coaches, is_compared, span })
    }

    /// Copies of the plant.
    ///
    /// # Errors
    /// Where the integrator refuses the task's step.
    pub fn plain(&self, n_copies: usize) -> Result<Box<dyn Environments>, Failure> {
        self.plant.environments(n_copies).map_err(|error| refused(self.span, self.task_name(), &error))
    }

    /// Copies of the believed model.
    ///
    /// # Errors
    /// As [`Grounds::plain`].
    pub fn believed(&self, n_copies: usize) -> Result<Box<dyn Environments>, Failure> {
        let prepared = self.believed.unwrap_or(self.plant);
        prepared.environments(n_copies).map_err(|error| refused(self.span, self.task_name(), &error))
    }

    /// A copy of the plant with the controller that a method blends with beside it.
    ///
    /// # Errors
    /// A planner or an estimator that cannot be made.
    pub fn advised(&self, method: &Method) -> Result<Box<dyn Advised>, Failure> {
        let advised: Vec<&(Algorithm, &'static Coach)> = self.coaches.iter().collect();
        self.coached(advised.get(method.coach_idx).copied().or(self.coaches.first()), method.n_copies)
    }

    fn coached(
        &self,
        coach: Option<&(Algorithm, &'static Coach)>,
        n_copies: usize,
    ) -> Result<Box<dyn Advised>, Failure> {
        let Some((planner, coach)) = coach else {
            return Err(Failure::new("E0409", format!("`{}` has no controller", self.task_name())));
        };
        self.plant.coached(coach, n_copies).map_err(|error| refused(planner.span, self.task_name(), &error))
    }

    /// The ground on which a method's policy is judged.
    ///
    /// # Errors
    /// As [`Grounds::plain`] and [`Grounds::advised`].
    pub fn judging(&self, method: &Method) -> Result<Judging, Failure> {
        Ok(match method.kind().sees_advice() {
            true => Judging::Advised(self.advised(method)?),
            false => Judging::Plain(self.plain(1)?),
        })
    }

    /// What the study's controller does by itself, where it is compared.
    ///
    /// # Errors
    /// A planner that cannot be made; E0711 where an episode could not be played.
    pub fn controller(&self, seed: u64, n_episodes: u64) -> Result<Option<(Judged, Course)>, Failure> {
        if !self.is_compared {
            return Ok(None);
        }
        let mut ground = Judging::Advised(self.coached(self.coaches.last(), 1)?);
        let played = ground
            .play(&mut Obedient, seed, n_episodes)
            .map_err(|error| Failure::new("E0711", format!("the controller could not be judged: {error}")))?;
        let judged = Judged::of(&played);
        Ok(Some((judged, played.into_iter().next().map(|one| one.course).unwrap_or_default())))
    }

    /// What is observed.
    pub fn observation_space(&self) -> &Space {
        self.plant.observation_space()
    }

    /// What is acted on.
    pub fn action_space(&self) -> &Space {
        self.plant.action_space()
    }

    /// What is observed, then what is acted on, with units.
    pub fn heads(&self) -> Vec<String> {
        let task = self.plant.task();
        let of = |quantity: &Quantity| header(&quantity.name, &quantity.unit);
        let observed: Vec<String> = if !task.senses.is_empty() {
            task.senses.iter().map(|sense| header(&sense.name, &sense.unit)).collect()
        } else if !task.model.observables.is_empty() {
            task.model.observables.iter().map(|observable| of(&observable.quantity)).collect()
        } else {
            task.model.states.iter().map(|state| of(&state.quantity)).collect()
        };
        let acted = task.acts.iter().map(|act| of(&task.model.inputs[act.input as usize].quantity));
        observed.into_iter().chain(acted).collect()
    }

    /// The task.
    pub fn task_name(&self) -> &str {
        &self.plant.task().name
    }

    /// The model that is acted on.
    pub fn plant_name(&self) -> &str {
        &self.plant.task().model.name
    }

    /// The model that the controller believes in, where there is one.
    pub fn belief_name(&self) -> Option<&str> {
        self.coaches.first().map(|(_, coach)| coach.task().model.name.as_str())
    }

    /// The settings of the controllers with their values.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for (planner, coach) in &self.coaches {
            let Some(kind) = PlannerKind::find(planner.name()) else { continue };
            for spec in kind.settings() {
                let value = match spec.name {
                    "horizon" => planners::horizon(&planner.settings, coach.task().n_steps).to_string(),
                    _ => setting(&planner.settings, spec),
                };
                out.push((format!("{}.{}", kind.name(), spec.name), value));
            }
        }
        out
    }

    /// The head of the axis of time, and the length of a step.
    pub fn time(&self) -> (String, f64) {
        let task = self.plant.task();
        (header("time", &task.model.time_unit), task.step)
    }
}

/// Why a task is no environment, at its place.
fn refused(span: Span, task: &str, error: &EnvironmentError) -> Failure {
    let code = match error {
        EnvironmentError::Unbounded(_) => "E0612",
        EnvironmentError::FreeStep | EnvironmentError::Varied => "E0901",
        EnvironmentError::Layout { .. } => "E0614",
        EnvironmentError::Filter(_) => "E0409",
        EnvironmentError::Assemble(_) => "E0707",
        EnvironmentError::Step(_) | EnvironmentError::Planner(_) | EnvironmentError::NoPlanner(_) => "E0602",
    };
    let mut list = Diagnostics::default();
    let title = format!("`{task}` cannot be learnt: {error}");
    list.push(Diagnostic::new(Code(code), span, title).at("asked for here"));
    Failure::from_diagnostics(list)
}
