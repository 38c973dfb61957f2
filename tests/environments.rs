//! Environments made of tasks: the same steps one by one and in rows, with controllers beside them, as published and as
//! Gymnasium makes them.

mod coached;
mod gym;
mod kept;
mod replay;
mod rows;
mod spaces;

use crate::compile::{ProjectLoader, check_with};
use rand::Rng as _;
use twinc::control::assemble::Assembly;
use twinc::decide::{Environments, Step};
use twinc::diag::Diagnostics;
use twinc::flat::{FlatTask, flatten_task};
use twinc::hir::Module;
use twinc::hir::task::Control;
use twinc::jit::{Needs, Options};
use twinc::learn::environments::Prepared;
use twinc::random::{Rng, stream};

/// What a text says.
pub fn module(path: &str, text: &str) -> Module {
    let checked = check_with(path, text, true, &ProjectLoader);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    checked.module
}

/// A shipped file.
pub fn shipped(path: &str) -> Module {
    module(path, &std::fs::read_to_string(path).expect("part of the project"))
}

/// The control of a study of a shipped file.
pub fn control(path: &str, study: &str) -> Control {
    let study = shipped(path).studies.into_iter().find(|s| s.name == study).expect("in the file");
    study.control.expect("a study of a task")
}

pub fn flat(task: &twinc::hir::task::Task) -> FlatTask {
    flatten_task(task, &mut Diagnostics::default()).expect("a task without errors")
}

pub fn assembled(task: FlatTask) -> Assembly {
    let assembly = Assembly::new(task, &Options::default()).expect("machine code");
    assembly.kernels().prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
    assembly
}

/// The first task of a text.
pub fn of_text(text: &str) -> Prepared {
    let module = module("task.twin", text);
    Prepared::new(assembled(flat(&module.tasks[0])), Vec::new()).expect("an environment")
}

/// The first task of a shipped file.
pub fn of_file(path: &str) -> Prepared {
    Prepared::new(assembled(flat(&shipped(path).tasks[0])), Vec::new()).expect("an environment")
}

/// The plant of a study of a shipped file.
pub fn of_study(path: &str, study: &str) -> Prepared {
    let control = control(path, study);
    Prepared::of_study(&control, assembled(flat(&control.plant))).expect("an environment")
}

pub const NOTHING: Step = Step { reward: 0.0, terminated: false, truncated: false, failed: false };

/// Acts at random on copies that begin anew where they end: copy i draws its actions from stream i, and begins episode j by
/// stream `1000 i + j`.
pub struct Run<'a> {
    pub environments: &'a mut dyn Environments,
    pub actions: Vec<f64>,
    pub observations: Vec<f64>,
    pub steps: Vec<Step>,
    pub n_episodes: Vec<u64>,
    rngs: Vec<Rng>,
}

impl<'a> Run<'a> {
    pub fn new(environments: &'a mut dyn Environments) -> Run<'a> {
        let n = environments.n_copies();
        let (n_actions, n_observed) = (environments.action_space().len(), environments.observation_space().len());
        let mut run = Run {
            actions: vec![0.0; n * n_actions],
            observations: vec![0.0; n * n_observed],
            steps: vec![NOTHING; n],
            n_episodes: vec![0; n],
            rngs: (0..n as u64).map(|copy| stream(1, copy)).collect(),
            environments,
        };
        (0..n).for_each(|copy| run.reset(copy));
        run
    }

    pub fn reset(&mut self, copy: usize) {
        let n_observed = self.environments.observation_space().len();
        let observation = &mut self.observations[copy * n_observed..][..n_observed];
        let mut rng = stream(2, 1000 * copy as u64 + self.n_episodes[copy]);
        self.environments.reset(copy, &mut rng, observation).expect("a start");
        self.n_episodes[copy] += 1;
    }

    /// Begins anew what has ended, and acts.
    pub fn step(&mut self) {
        for copy in 0..self.steps.len() {
            if self.steps[copy].terminated || self.steps[copy].truncated {
                self.reset(copy);
            }
        }
        let space = self.environments.action_space().clone();
        for (action, rng) in self.actions.chunks_exact_mut(space.len()).zip(&mut self.rngs) {
            for ((value, low), high) in action.iter_mut().zip(&space.low).zip(&space.high) {
                *value = low + (high - low) * rng.random::<f64>();
            }
        }
        self.environments.step(&self.actions, &mut self.observations, &mut self.steps);
    }
}
