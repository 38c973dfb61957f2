//! Copies of a plant, each with a controller beside it that says what it would do.
//!
//! The controller learns what its plant shows at each instant, whoever acts. Its believed model follows its own advice and
//! not what acted: H. Tian et al., arXiv 2404.15199 (2024), simulate what is not measured under the planner's own action.
//!
//! A controller is not kept. An episode is kept as the generator it began with and what it was acted on by, and going back
//! carries it out again, so that the controller is the same to the last bit.

use super::kept::{Kind, from_bytes, to_bytes};
use super::{EnvironmentError, Prepared, no_copy, no_start, of_episode};
use crate::calibrate::bind;
use crate::control::assemble::{AssembleError, Assembly};
use crate::control::controller::{Belief, Controller, Follows, LoopOptions, Reads};
use crate::control::filters::{self, Estimand};
use crate::control::planners::{self, PlannerKind};
use crate::control::plant::{Plant, PlantFunctions};
use crate::decide::{Advised, Environment, Environments, Space, Step};
use crate::flat::FlatTask;
use crate::hir::settings::Settings;
use crate::hir::task::{Algorithm, Control};
use crate::random::{Rng, from_words, to_words};
use rand::RngCore;

/// Words of a generator.
const RNG_WORDS: usize = 7;
/// The stream that a controller's seed is drawn from, beside the episode's.
const BESIDE: u64 = 1 << 63;

/// What a controller is made of: the task on the model that it believes in, a planner and perhaps an estimator.
pub struct Coach {
    assembly: Assembly,
    functions: PlantFunctions,
    kind: PlannerKind,
    settings: Settings,
    filter: Option<Settings>,
    estimands: Vec<Estimand>,
    hidden: Vec<usize>,
}

impl Coach {
    /// `assembly` is the task on the believed model, its kernels prepared for simulation (and, for filters with covariances,
    /// sensitivities); `hidden` are indices of disturbances that the controller does not know.
    ///
    /// # Errors
    /// Where there is no code.
    pub fn new(
        assembly: Assembly,
        kind: PlannerKind,
        settings: Settings,
        filter: Option<Settings>,
        estimands: Vec<Estimand>,
        hidden: Vec<usize>,
    ) -> Result<Coach, EnvironmentError> {
        let functions = assembly.plant_functions().map_err(AssembleError::from)?;
        Ok(Coach { functions, assembly, kind, settings, filter, estimands, hidden })
    }

    /// The controller of a study that plans by `algorithm`. `assembly` is of [`Control::task_for`] that algorithm.
    ///
    /// # Errors
    /// As [`Coach::new`], and for an algorithm that is no planner.
    pub fn of_study(control: &Control, algorithm: &Algorithm, assembly: Assembly) -> Result<Coach, EnvironmentError> {
        let Some(kind) = PlannerKind::find(algorithm.name()) else {
            return Err(EnvironmentError::NoPlanner(algorithm.name().to_owned()));
        };
        let disturbances = &assembly.task().model.disturbances;
        let hidden = control
            .hidden
            .iter()
            .filter_map(|(name, _)| disturbances.iter().position(|disturbance| disturbance.quantity.name == *name));
        let hidden = hidden.collect();
        let params = &assembly.task().model.params;
        let estimands = control.estimates.iter().map(|one| {
            let declared = params.iter().find(|param| param.quantity.name == one.name);
            let prior = one.prior.zip(declared).map(|(prior, param)| bind::distribution(prior, param.value));
            Estimand { name: one.name.clone(), low: one.low, high: one.high, prior }
        });
        let estimands = estimands.collect();
        Coach::new(assembly, kind, algorithm.settings.clone(), control.filter.clone(), estimands, hidden)
    }

    /// The task on the believed model.
    pub fn task(&self) -> &FlatTask {
        self.assembly.task()
    }

    /// A controller for a plant of the task `plant`.
    fn controller<'s>(&'s self, plant: &'s FlatTask) -> Result<Controller<'s>, EnvironmentError> {
        let task = self.assembly.task();
        let planner = planners::make(self.kind, &self.assembly, &self.settings, 1)?;
        let estimator = match &self.filter {
            Some(settings) => Some(filters::make(settings, &self.assembly, &self.estimands)?),
            None => None,
        };
        let space = self.assembly.simulation().map_err(filters::FilterError::from)?;
        let belief = Belief {
            space: Box::new(space),
            estimator,
            holds: self.functions.holds.as_ref(),
            parameters: self.assembly.parameters(),
        };
        let options = LoopOptions {
            preview: planners::horizon(&self.settings, task.n_steps) + 1,
            hidden: self.hidden.clone(),
            reads: self.filter.as_ref().map_or(Reads::Measured, filters::reads),
            follows: Follows::Advised,
            ..LoopOptions::default()
        };
        Ok(Controller::new(plant, planner, belief, options))
    }
}

/// A plant and its controller.
struct Copy<'s> {
    plant: Plant<'s>,
    controller: Controller<'s>,
    /// What the controller says at this instant, where it was asked.
    advice: Vec<f64>,
    is_advised: bool,
    is_waiting: bool,
    /// The generator that the episode began with.
    begun: [u64; RNG_WORDS],
    /// What it was acted on by so far, step by step.
    acted: Vec<f64>,
}

impl Copy<'_> {
    fn begin(&mut self, rng: &mut Rng) {
        self.begun = to_words(rng);
        self.acted.clear();
        let mut beside = rng.clone();
        beside.set_stream(beside.get_stream() ^ BESIDE);
        self.plant.begin(rng);
        self.controller.begin(beside.next_u64(), self.plant.state(), self.plant.input());
        self.is_advised = false;
    }

    fn advise(&mut self) {
        if self.is_advised {
            return;
        }
        // No clock: no plan comes too late.
        let decision = self.controller.advise(&mut self.plant, &mut || 0.0);
        for (advice, act) in self.advice.iter_mut().zip(&self.plant.task().acts) {
            *advice = decision.input[act.input as usize];
        }
        self.is_advised = true;
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        // The controller is to see every instant.
        self.advise();
        self.is_advised = false;
        self.acted.extend_from_slice(action);
        let step = self.plant.step(action, observation);
        self.is_waiting = step.terminated || step.truncated;
        step
    }
}

/// Copies of a plant with controllers beside them.
pub struct Coached<'s> {
    prepared: &'s Prepared,
    copies: Vec<Copy<'s>>,
}

impl<'s> Coached<'s> {
    /// So many copies, all waiting for a reset.
    ///
    /// # Errors
    /// [`EnvironmentError`] where the believed model does not fit the plant, or a planner or an estimator cannot be made.
    pub fn new(prepared: &'s Prepared, coach: &'s Coach, n_copies: usize) -> Result<Coached<'s>, EnvironmentError> {
        let task = prepared.task();
        if layout(task) != layout(coach.task()) {
            let (plant, belief) = (task.model.name.clone(), coach.task().model.name.clone());
            return Err(EnvironmentError::Layout { plant, belief });
        }
        let copy = |_| -> Result<Copy<'s>, EnvironmentError> {
            Ok(Copy {
                plant: prepared.plant()?,
                controller: coach.controller(task)?,
                advice: vec![0.0; task.acts.len()],
                is_advised: false,
                is_waiting: true,
                begun: [0; RNG_WORDS],
                acted: Vec::with_capacity(task.acts.len() * task.n_steps.min(MOST_ROOM)),
            })
        };
        Ok(Coached { copies: (0..n_copies).map(copy).collect::<Result<_, _>>()?, prepared })
    }

    fn sizes(&self) -> [usize; 2] {
        [self.copies.len(), self.prepared.action.len()]
    }
}

/// Steps of an episode for which there is room from the start.
const MOST_ROOM: usize = 10_000;

/// The quantities of a task in their order.
fn layout(task: &FlatTask) -> Vec<&str> {
    let model = &task.model;
    let states = model.states.iter().map(|state| &state.quantity);
    let inputs = model.inputs.iter().chain(&model.disturbances).map(|input| &input.quantity);
    let observed = model.observables.iter().map(|observable| &observable.quantity);
    states.chain(inputs).chain(observed).map(|quantity| quantity.name.as_str()).collect()
}

impl Environments for Coached<'_> {
    fn n_copies(&self) -> usize {
        self.copies.len()
    }

    fn observation_space(&self) -> &Space {
        &self.prepared.observation
    }

    fn action_space(&self) -> &Space {
        &self.prepared.action
    }

    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        let n_copies = self.copies.len();
        let copy = self.copies.get_mut(copy).ok_or_else(|| no_copy(copy, n_copies))?;
        copy.begin(&mut of_episode(rng));
        copy.plant.observe(observation);
        no_start(self.prepared.task(), copy.plant.state(), observation, &self.prepared.observation)?;
        copy.is_waiting = false;
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let (n_actions, n_observed) = (self.prepared.action.len(), self.prepared.observation.len());
        for (i, copy) in self.copies.iter_mut().enumerate().filter(|(_, copy)| !copy.is_waiting) {
            let action = &actions[i * n_actions..][..n_actions];
            steps[i] = copy.step(action, &mut observations[i * n_observed..][..n_observed]);
        }
    }

    fn reason(&self, copy: usize) -> &str {
        self.copies.get(copy).map_or("", |copy| copy.plant.message())
    }

    fn save(&self) -> Vec<u8> {
        let mut words = Vec::new();
        for copy in &self.copies {
            let acted: &[f64] = if copy.is_waiting { &[] } else { &copy.acted };
            words.extend([u64::from(copy.is_waiting), acted.len() as u64]);
            words.extend(copy.begun);
            words.extend(acted.iter().map(|value| value.to_bits()));
        }
        to_bytes(Kind::Coached, self.prepared.fingerprint, &self.sizes(), &words)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let words = from_bytes(Kind::Coached, self.prepared.fingerprint, &self.sizes(), saved)?;
        let n_actions = self.prepared.action.len();
        let mut observation = vec![0.0; self.prepared.observation.len()];
        let mut rest = &words[..];
        let mut take = |n: usize| -> Result<&[u64], String> {
            let (taken, behind) = rest.split_at_checked(n).ok_or("the bytes of the environment are cut off")?;
            rest = behind;
            Ok(taken)
        };
        for copy in &mut self.copies {
            let &[is_waiting, n_acted] = take(2)? else { continue };
            let Ok(begun) = <[u64; RNG_WORDS]>::try_from(take(RNG_WORDS)?) else { continue };
            let acted: Vec<f64> = take(n_acted as usize)?.iter().map(|&word| f64::from_bits(word)).collect();
            copy.is_waiting = is_waiting != 0;
            if copy.is_waiting {
                continue;
            }
            copy.begin(&mut from_words(begun));
            for action in acted.chunks_exact(n_actions) {
                copy.step(action, &mut observation);
            }
        }
        Ok(())
    }
}

impl Advised for Coached<'_> {
    fn advise(&mut self, advice: &mut [f64]) {
        let n_actions = self.prepared.action.len();
        for (copy, advice) in self.copies.iter_mut().zip(advice.chunks_exact_mut(n_actions.max(1))) {
            if !copy.is_waiting {
                copy.advise();
                advice.copy_from_slice(&copy.advice);
            }
        }
    }
}
