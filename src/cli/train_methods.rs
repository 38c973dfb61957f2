//! What learns in a run: the study's own algorithms, those it is compared with, and what each begins from.

use super::console::Console;
use super::control_table::setting;
use super::failure::Failure;
use super::render::counted;
use super::run_folder::RunFolder;
use super::train_files::{JobFolder, read};
use super::train_ground::{CONTROLLER, Grounds};
use super::train_job::{Ended, Job, Training};
use super::train_live::Live;
use super::train_policy;
use crate::control::planners::{self, PlannerKind};
use crate::decide::{Advised, Environments};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::hir::settings::{SettingSpec, Settings};
use crate::hir::task::{Algorithm, Control, LEARNERS};
use crate::learn::acr::Focus;
use crate::learn::algorithms::{self, LearnerKind, Making};
use crate::learn::learner::{LearnError, Learner};
use crate::learn::play::Played;
use crate::learn::tensors::Tensors;
use crate::learn::train::{Limits, STEPS};
use crate::source::Span;
use std::sync::OnceLock;

/// An algorithm with its settings.
pub struct Method {
    /// Its name in tables and of its folders.
    pub label: String,
    /// True for the study's own first algorithm; false for those it is compared with.
    pub is_own: bool,
    /// Copies of the plant that are acted on together.
    pub n_copies: usize,
    /// Its place among the methods with a controller beside them.
    pub coach_idx: usize,
    kind: LearnerKind,
    algorithm: Algorithm,
    /// What all its trainings begin from, once that was trained.
    start: OnceLock<Tensors>,
    /// The weights of the controller that they begin with, likewise.
    focus: OnceLock<Focus>,
}

/// Checks what a study says of training: settings of algorithms and their parts, and what it is compared with.
pub fn check(control: &Control, diagnostics: &mut Diagnostics) {
    let planners = planners::tables();
    for learner in &control.learners {
        let Some(kind) = LearnerKind::find(learner.name()) else { continue };
        learner.settings.check_beside(kind.name(), kind.settings(), kind.parts(), diagnostics);
        for part in &learner.parts {
            let own = kind.part(part.name());
            let of_planner =
                planners.iter().find(|(name, _)| *name == planner_name(part.name())).map(|(_, table)| *table);
            let planner = of_planner.filter(|_| kind.is_advised());
            match own.or(planner) {
                Some(table) => {
                    part.settings.check(part.name(), table, diagnostics);
                    part.settings.check_times(table, &control.belief.model, diagnostics);
                }
                None => diagnostics.push(no_part(kind, part)),
            }
        }
    }
    let against = control.evaluation.words("against").into_iter().filter(|_| !control.learners.is_empty());
    for name in against {
        if name != CONTROLLER && !LEARNERS.contains(&name) {
            let span = control.evaluation.get("against").map_or(control.plant.span, |setting| setting.value_span);
            let d = Diagnostic::new(Code("E0602"), span, format!("there is nothing to compare with named `{name}`"));
            diagnostics.push(d.at("not known").help(format!("there are {CONTROLLER}, {}", LEARNERS.join(", "))));
        }
    }
}

/// E0603 for a block that an algorithm does not have.
fn no_part(kind: LearnerKind, part: &Algorithm) -> Diagnostic {
    let title = format!("`{}` has no part `{}`", kind.name(), part.name());
    let mut known: Vec<&str> = kind.parts().to_vec();
    if kind.is_advised() {
        known.push(CONTROLLER);
    }
    Diagnostic::new(Code("E0603"), part.span, title).at("not known").help(format!("its parts are {}", known.join(", ")))
}

/// `mpc` is the planner that is taken where none is named.
fn planner_name(name: &str) -> &str {
    if name == CONTROLLER { PlannerKind::Sqp.name() } else { name }
}

/// The planner of a method, or of the comparison: the method's own part, else the study's first planner, else the default.
pub fn planner(learner: Option<&Algorithm>, control: &Control) -> Algorithm {
    let is_planner = |name: &str| PlannerKind::find(planner_name(name)).is_some();
    let learners = learner.into_iter().chain(&control.learners);
    let own = learners.flat_map(|one| &one.parts).find(|part| is_planner(part.name()));
    if let Some(part) = own {
        let mut part = part.clone();
        if let Some((name, _)) = &mut part.settings.method {
            *name = planner_name(name).to_string();
        }
        return part;
    }
    control.algorithms.first().cloned().unwrap_or_else(|| named(PlannerKind::Sqp.name(), control.plant.span))
}

/// An algorithm with nothing but its name.
fn named(name: &str, span: Span) -> Algorithm {
    let settings = Settings { method: Some((name.to_string(), span)), list: Vec::new() };
    Algorithm { settings, relaxed: Vec::new(), parts: Vec::new(), span }
}

/// The settings in force of the part `sac` of `acr`.
fn sac_beside(acr: &Algorithm) -> Settings {
    let none = Settings::default();
    let block = acr.part(LearnerKind::Sac.name()).map_or(&none, |part| &part.settings);
    algorithms::sac_of_acr(block, acr.span)
}

/// The methods of a study: its own first algorithm, its others, and those that `evaluate { against }` names.
pub fn of(control: &Control) -> Vec<Method> {
    let mut algorithms = control.learners.clone();
    let span = control.evaluation.get("against").map_or(control.plant.span, |setting| setting.value_span);
    for name in control.evaluation.words("against") {
        let is_there = algorithms.iter().any(|one| one.name() == name);
        if LearnerKind::find(name).is_some() && !is_there {
            let acr = algorithms.iter().find(|one| one.name() == LearnerKind::Acr.name());
            algorithms.push(match acr.filter(|_| name == LearnerKind::Sac.name()) {
                // The same learner without the controller.
                Some(acr) => Algorithm { settings: sac_beside(acr), ..named(name, span) },
                None => named(name, span),
            });
        }
    }
    let n_copies = control.budget.number("envs").map(|n| n as usize);
    let mut n_coached = 0;
    let mut methods = Vec::new();
    for algorithm in algorithms {
        let Some(kind) = LearnerKind::find(algorithm.name()) else { continue };
        let coach_idx = n_coached;
        n_coached += usize::from(kind.is_advised());
        let pretrained = if algorithm.part("pretrain").is_some() { "-pt" } else { "" };
        methods.push(Method {
            label: format!("{}{pretrained}", kind.name()),
            is_own: methods.is_empty(),
            n_copies: n_copies.unwrap_or(kind.n_copies()),
            coach_idx,
            kind,
            algorithm,
            start: OnceLock::new(),
            focus: OnceLock::new(),
        });
    }
    methods
}

impl Method {
    /// The algorithm's name.
    pub fn kind_name(&self) -> &'static str {
        self.kind.name()
    }

    /// The algorithm.
    pub fn kind(&self) -> LearnerKind {
        self.kind
    }

    /// True where a controller stands beside it.
    pub fn is_advised(&self) -> bool {
        self.kind.is_advised()
    }

    /// The controller's planner.
    pub fn planner(&self, control: &Control) -> Algorithm {
        planner(Some(&self.algorithm), control)
    }

    /// What it says of training on the believed model first.
    pub fn pretraining(&self) -> Option<&Settings> {
        self.algorithm.part("pretrain").map(|part| &part.settings)
    }

    /// Its settings with their values, under names such as `sac.gamma` and `acr.mpc.horizon`.
    pub fn settings_in_force(&self) -> Vec<(String, String)> {
        let mut out = vec![(format!("{}.envs", self.label), self.n_copies.to_string())];
        let mut add = |prefix: &str, settings: &Settings, table: &[SettingSpec]| {
            for spec in table {
                out.push((format!("{prefix}.{}", spec.name), setting(settings, spec)));
            }
        };
        add(&self.label, &self.algorithm.settings, self.kind.settings());
        for name in self.kind.parts() {
            let part = self.algorithm.part(name).map(|part| part.settings.clone());
            let block = match *name {
                // Without its block nothing is pretrained.
                "pretrain" => part,
                "sac" => Some(sac_beside(&self.algorithm)),
                _ => Some(part.unwrap_or_default()),
            };
            if let (Some(table), Some(block)) = (self.kind.part(name), block) {
                add(&format!("{}.{name}", self.label), &block, table);
            }
        }
        out
    }

    /// A learner on these environments.
    ///
    /// # Errors
    /// E0602 where the task or the settings do not fit.
    pub fn make(
        &self,
        environments: Box<dyn Environments>,
        seed: u64,
        limits: &Limits,
    ) -> Result<Box<dyn Learner>, Failure> {
        algorithms::make(self.kind, self.making(seed, limits), environments).map_err(|error| self.refused(&error))
    }

    /// A learner with a controller beside it.
    ///
    /// # Errors
    /// As [`Method::make`].
    pub fn make_advised(
        &self,
        environments: Box<dyn Advised>,
        seed: u64,
        limits: &Limits,
    ) -> Result<Box<dyn Learner>, Failure> {
        let (seen, acted) = (environments.observation_space().clone(), environments.action_space().clone());
        let focus = || self.focus.get_or_init(|| algorithms::focus(&self.algorithm, &seen, &acted)).clone();
        algorithms::make_advised(self.kind, self.making(seed, limits), focus, environments)
            .map_err(|error| self.refused(&error))
    }

    fn making(&self, seed: u64, limits: &Limits) -> Making<'_> {
        let total_steps = limits.steps.unwrap_or(0);
        Making { algorithm: &self.algorithm, seed, total_steps, start: self.start.get() }
    }

    fn refused(&self, error: &LearnError) -> Failure {
        let mut list = Diagnostics::default();
        let title = format!("`{}` cannot learn this task: {error}", self.kind.name());
        list.push(Diagnostic::new(Code("E0602"), self.algorithm.span, title).at("asked for here"));
        Failure::from_diagnostics(list)
    }

    /// Weights of the controller at the states of `played`; none for methods without one.
    pub fn weights(&self, policy: &Tensors, played: &[Played], grounds: &Grounds) -> Vec<(Vec<f64>, Vec<f64>)> {
        if !self.kind.sees_advice() {
            return Vec::new();
        }
        let (n, m) = (grounds.observation_space().len().max(1), grounds.action_space().len().max(1));
        let seen: Vec<f64> = played.iter().flat_map(|one| one.course.observations.iter().copied()).collect();
        let Ok(weights) = algorithms::weights(policy, &seen) else { return Vec::new() };
        let rows = seen.chunks_exact(n).zip(weights.chunks_exact(m));
        rows.map(|(seen, weights)| (seen.to_vec(), weights.to_vec())).collect()
    }

    /// The weights of the controller that its trainings begin with: read from an earlier part of the run, or trained.
    fn prepare_focus(&self, training: &Training, folder: &RunFolder, console: &Console) -> Result<(), Failure> {
        let place = format!("jobs/{}-focus.safetensors", self.label);
        let (seen, acted) = (training.grounds.observation_space(), training.grounds.action_space());
        let kept = read(&folder.path().join(&place))?.and_then(|bytes| {
            let saved = Tensors::from_bytes(&bytes).ok()?;
            algorithms::read_focus(&self.algorithm, &saved, acted).ok()
        });
        let focus = match kept {
            Some(focus) => focus,
            None => {
                console.say(format!("{}: the weights of the controller are trained first", self.label));
                let focus = algorithms::focus(&self.algorithm, seen, acted);
                let mut saved = Tensors::default();
                focus.save(false, &mut saved);
                folder.write(&place, &saved.to_bytes())?;
                focus
            }
        };
        // Prepared once.
        let _ = self.focus.set(focus);
        Ok(())
    }
}

/// Trains what methods begin from on the believed model: one training for all seeds of a method. `false` where it was
/// interrupted.
///
/// # Errors
/// As a training; E0711 where learning could not go on.
pub fn pretrain(training: &Training, folder: &RunFolder, console: &Console) -> Result<bool, Failure> {
    for method in &training.methods {
        if method.kind.sees_advice() {
            method.prepare_focus(training, folder, console)?;
        }
        let Some(settings) = method.pretraining() else { continue };
        let n_steps = settings.number("steps").map_or(STEPS, |n| n as u64);
        let seed = settings.number("seed").map_or(0, |n| n as u64);
        console.say(format!("{}: {} on the believed model first", method.label, counted(n_steps as usize, "step")));
        let job = Job { training, method, seed, index: 0, pretraining: Some(n_steps) };
        let place = folder.path().join("jobs").join(job.name());
        let live = Live::new(console, &Limits { steps: Some(n_steps), ..Limits::default() }, 1);
        let outcome = job.run(JobFolder::new(place.clone()), &live);
        live.end();
        let outcome = outcome?;
        match outcome.ended {
            Ended::Interrupted => return Ok(false),
            Ended::Broken => return Err(Failure::new("E0711", format!("{}: {}", job.name(), outcome.why))),
            Ended::Done | Ended::Unsafe => {}
        }
        // Each method is pretrained once, so nothing is set before.
        let _ = method.start.set(train_policy::load(&place)?.1);
    }
    Ok(true)
}
