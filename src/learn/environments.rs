//! Environments made of tasks: copies of a plant that are acted on together, with Gymnasium's terms.
//!
//! A [`Prepared`] task makes [`Environments`]: [`plants::Plants`], each copy an integrator of its own, or [`rows::Rows`],
//! 64 copies at a time, where the task's steps are explicit and of one length. With a [`Coach`] it makes
//! [`coached::Coached`], whose copies have a controller beside them that says what it would do. All copies are of one
//! thread: runs go on beside each other, not the copies of one.
//!
//! **Invariant.** What a copy does depends on the generator that its episode began with and on what it was acted on by: not
//! on the other copies, nor on how many there are.

pub mod coached;
mod kept;
pub mod plants;
pub mod rows;

use crate::calibrate::bind;
use crate::control::assemble::{AssembleError, Assembly, PlantRows};
use crate::control::filters::FilterError;
use crate::control::planners::PlannerError;
use crate::control::plant::{Drawn, Plant, PlantFunctions};
use crate::decide::{Advised, Environments, Space};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::{FlatTask, Quantity};
use crate::hir::task::Control;
use crate::integrate::ProblemError;
use crate::random::Rng;

pub use coached::Coach;

/// Words of a generator that an episode may draw; who began it goes on behind them.
const WORDS_OF_AN_EPISODE: u128 = 1 << 40;

/// Why a task is no environment, or has no controller.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// An input without limits.
    #[error("`{0}` has no limits on both sides to act between")]
    Unbounded(String),
    /// A step whose length is decided.
    #[error("the length of its step is decided")]
    FreeStep,
    /// Everything about the plant is to be drawn at once.
    #[error(
        "`randomize within` varies plants of closed loops only; name the parameters that episodes of training draw"
    )]
    Varied,
    /// No machine code.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The integrator refuses the task's step.
    #[error(transparent)]
    Step(#[from] ProblemError),
    /// No planner.
    #[error(transparent)]
    Planner(#[from] PlannerError),
    /// An algorithm that does not plan.
    #[error("`{0}` is no planner")]
    NoPlanner(String),
    /// No estimator.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The believed model has other quantities than the plant, or in another order.
    #[error("`{plant}` and `{belief}` declare their quantities in different orders")]
    Layout {
        /// The plant's model.
        plant: String,
        /// The believed one.
        belief: String,
    },
}

/// Reports why a task cannot be learnt: E0612 for an input without limits, E0901 for a step whose length is decided.
pub fn check(task: &FlatTask, diagnostics: &mut Diagnostics) {
    for act in task.acts.iter().filter(|act| !(act.low.is_finite() && act.high.is_finite())) {
        let name = task.input_name(act);
        diagnostics.push(
            Diagnostic::new(Code("E0612"), act.span, format!("a policy acts on `{name}`, which has no limits"))
                .at("acts between what?")
                .help(format!("write `act {name} in low .. high`, or give the input its limits")),
        );
    }
    if task.free_step.is_some() {
        diagnostics.push(
            Diagnostic::new(Code("E0901"), task.span, "a step whose length is decided is not learnt")
                .at("`step free`")
                .help("write a step of fixed length, `step 0.05 [s]`"),
        );
    }
}

/// What is observed of a task: its senses, else the observables, else the states, each in the range it is seen in.
pub fn observation_space(task: &FlatTask) -> Space {
    let mut space = Space::default();
    let mut add = |name: &str, low: f64, high: f64| {
        space.names.push(name.to_owned());
        space.low.push(low);
        space.high.push(high);
    };
    let mut own = |quantity: &Quantity| add(&quantity.name, quantity.low, quantity.high);
    if !task.senses.is_empty() {
        task.senses.iter().for_each(|sense| add(&sense.name, sense.low, sense.high));
    } else if !task.model.observables.is_empty() {
        task.model.observables.iter().for_each(|observable| own(&observable.quantity));
    } else {
        task.model.states.iter().for_each(|state| own(&state.quantity));
    }
    space
}

/// What a task is acted on by, within the actuators' limits.
pub fn action_space(task: &FlatTask) -> Space {
    Space {
        names: task.acts.iter().map(|act| task.input_name(act).to_owned()).collect(),
        low: task.acts.iter().map(|act| act.low).collect(),
        high: task.acts.iter().map(|act| act.high).collect(),
    }
}

/// A task whose plant is compiled, from which environments are made.
pub struct Prepared {
    assembly: Assembly,
    functions: PlantFunctions,
    drawn: Vec<Drawn>,
    rows: Option<PlantRows>,
    observation: Space,
    action: Space,
    /// Tells the task from others.
    fingerprint: u64,
}

impl Prepared {
    /// From the task on its plant's model, whose kernels are prepared for simulation, and what is drawn for each episode.
    ///
    /// # Errors
    /// [`EnvironmentError`] where the actions have no limits, the step is free, or there is no code.
    pub fn new(assembly: Assembly, drawn: Vec<Drawn>) -> Result<Prepared, EnvironmentError> {
        let task = assembly.task();
        let (observation, action) = (observation_space(task), action_space(task));
        if task.free_step.is_some() {
            return Err(EnvironmentError::FreeStep);
        }
        let ends = action.low.iter().zip(&action.high);
        if let Some(at) = ends.clone().position(|(low, high)| !(low.is_finite() && high.is_finite())) {
            return Err(EnvironmentError::Unbounded(action.names[at].clone()));
        }
        let functions = assembly.plant_functions().map_err(AssembleError::from)?;
        let mut varying: Vec<usize> = drawn.iter().map(|drawn| drawn.param_idx).collect();
        varying.sort_unstable();
        varying.dedup();
        let rows = assembly.plant_rows(&varying).map_err(AssembleError::from)?;
        let fingerprint = kept::fingerprint(task);
        Ok(Prepared { fingerprint, functions, drawn, rows, observation, action, assembly })
    }

    /// The plant of a study, with what the study draws for each episode. `assembly` is of [`Control::plant`].
    ///
    /// # Errors
    /// As [`Prepared::new`], and where the study says `randomize within`.
    pub fn of_study(control: &Control, assembly: Assembly) -> Result<Prepared, EnvironmentError> {
        if control.spread.is_some() {
            return Err(EnvironmentError::Varied);
        }
        let params = &assembly.task().model.params;
        let drawn = control.randomize.iter().filter_map(|one| {
            let param_idx = params.iter().position(|param| param.quantity.name == one.name)?;
            let param = &params[param_idx];
            let distribution = bind::distribution(one.prior, param.value);
            Some(Drawn { param_idx, distribution, low: param.quantity.low, high: param.quantity.high })
        });
        let drawn = drawn.collect();
        Prepared::new(assembly, drawn)
    }

    /// The task.
    pub fn task(&self) -> &FlatTask {
        self.assembly.task()
    }

    /// What is observed of a copy.
    pub fn observation_space(&self) -> &Space {
        &self.observation
    }

    /// What a copy is acted on by.
    pub fn action_space(&self) -> &Space {
        &self.action
    }

    /// True where copies are stepped 64 at a time.
    pub fn is_in_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// A plant, as it stands before its first episode.
    ///
    /// # Errors
    /// Where the integrator refuses the task's step.
    pub fn plant(&self) -> Result<Plant<'_>, ProblemError> {
        Plant::new(self.task(), self.assembly.kernels(), &self.functions, self.drawn.clone())
    }

    /// So many copies.
    ///
    /// # Errors
    /// [`EnvironmentError::Step`].
    pub fn environments(&self, n_copies: usize) -> Result<Box<dyn Environments + '_>, EnvironmentError> {
        Ok(match &self.rows {
            Some(rows) => Box::new(rows::Rows::new(self, rows, n_copies)?),
            None => Box::new(plants::Plants::new(self, n_copies)?),
        })
    }

    /// So many copies, each with a controller beside it.
    ///
    /// # Errors
    /// [`EnvironmentError`] where the believed model does not fit the plant, or a planner or an estimator cannot be made.
    pub fn coached<'s>(&'s self, coach: &'s Coach, n_copies: usize) -> Result<Box<dyn Advised + 's>, EnvironmentError> {
        Ok(Box::new(coached::Coached::new(self, coach, n_copies)?))
    }
}

/// The generator of an episode: a part of the caller's, which goes on behind it.
fn of_episode(rng: &mut Rng) -> Rng {
    let own = rng.clone();
    rng.set_word_pos(rng.get_word_pos().wrapping_add(WORDS_OF_AN_EPISODE));
    own
}

/// Why an episode has no start, where a number of its first state or observation is not finite.
fn no_start(task: &FlatTask, state: &[f64], observation: &[f64], space: &Space) -> Result<(), String> {
    let said = |name: &str, value: f64| Err(format!("`{name}` starts at {value}"));
    for (value, state) in state.iter().zip(&task.model.states) {
        if !value.is_finite() {
            return said(&state.quantity.name, *value);
        }
    }
    for (value, name) in observation.iter().zip(&space.names) {
        if !value.is_finite() {
            return said(name, *value);
        }
    }
    Ok(())
}

/// That there is no such copy.
fn no_copy(copy: usize, n_copies: usize) -> String {
    format!("there is no copy {copy} of {n_copies}")
}
