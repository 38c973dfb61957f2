//! The planners that a study can name, each with its table of settings and the way it is made from a compiled task.
//!
//! `algorithm mppi { horizon = 30 }` becomes a [`Planner`] by [`make`]; a checker gets the same tables from [`tables`].
//! Two of them do not look ahead: `lqr` ([`regulated`]) holds the point where the task rests ([`rest`]), and `pid`
//! ([`loops`]) follows what the task tracks.

mod loops;
mod regulated;
mod rest;

use std::fmt::Write as _;

use super::assemble::{AssembleError, Assembly};
use super::ddp::{self, Ddp, DdpError, DdpSettings};
use super::sampling::settings as drawn;
use super::sampling::{
    Cem, CemSettings, Cma, CmaSettings, Mppi, MppiSettings, SamplingError, Shooting, ShootingSettings,
};
use super::shooting::{ControlProblem, Discretization};
use super::sqp::{self, Chance, Conflict, Hessian, Sqp, SqpSettings};
use crate::decide::{Plan, PlanStatus, Planner, Situation};
use crate::hir::settings::{SettingKind, SettingSpec, Settings};
use crate::hir::task::DRAWING_PLANNERS;
use crate::limits::MAX_HORIZON;
use crate::optimize::stage_qp::Bounded;
use crate::system::Curvature;
use crate::system::stages::Tree;

/// Steps that are planned ahead unless a study says otherwise; an episode of fewer steps has so many.
const HORIZON: usize = 20;
/// Collocation points of a step that the task leaves to error control.
const POINTS: usize = 2;
/// Values that are drawn of a parameter that is uncertain.
const SCENARIOS: usize = 9;
/// Standard deviation that a state gains in a step, over its size.
const PROCESS: f64 = 0.01;
/// What breaking a hard constraint by one unit costs a planner that draws.
const PRICE: f64 = 1e3;

const COMMON: &[SettingSpec] = &[
    SettingSpec {
        name: "horizon",
        kind: SettingKind::Integer(1, MAX_HORIZON as i64),
        unit: "steps",
        default: "20",
        doc: "steps that are planned ahead, 1 to 100000; the steps of an episode where those are fewer than the default",
    },
    SettingSpec {
        name: "points",
        kind: SettingKind::Integer(1, 3),
        unit: "",
        default: "2",
        doc: "collocation points of a planned step, 1 to 3, where the task's `via` is by error control",
    },
    SettingSpec {
        name: "inside",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "bounds of states hold at the collocation points inside the steps too, as in do-mpc",
    },
    SettingSpec {
        name: "robust",
        kind: SettingKind::Integer(0, 20),
        unit: "steps",
        default: "auto",
        doc: "steps at which each scenario may come true; auto is 1 where the study has a `scenario`, else 0",
    },
    SettingSpec {
        name: "scenarios",
        kind: SettingKind::Integer(1, 10_000),
        unit: "",
        default: "9",
        doc: "how many values are drawn of a `scenario` that is drawn, the declared one among them",
    },
];

const DRAWN: &[SettingSpec] = &[
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, 1 << 53),
        unit: "",
        default: "0",
        doc: "chooses other draws for the same episodes",
    },
    SettingSpec {
        name: "price",
        kind: SettingKind::Number(0.0, 1e12),
        unit: "cost per unit of the constraint",
        default: "1e3",
        doc: "what it costs to break a hard constraint by one unit",
    },
];

/// Tables one behind the other; `N` is how long they are together.
const fn joined<const N: usize>(tables: &[&[SettingSpec]]) -> [SettingSpec; N] {
    let mut all = [COMMON[0]; N];
    let (mut at, mut table) = (0, 0);
    while table < tables.len() {
        let mut row = 0;
        while row < tables[table].len() {
            all[at] = tables[table][row];
            at += 1;
            row += 1;
        }
        table += 1;
    }
    all
}

const CHANCE: &[SettingSpec] = &[SettingSpec {
    name: "process",
    kind: SettingKind::Number(0.0, 1e6),
    unit: "",
    default: "0.01",
    doc: "standard deviation that each state gains in a step, over its size at the start, where a constraint is kept \
          with a probability",
}];

const SQP: &[SettingSpec] =
    &joined::<{ COMMON.len() + sqp::SETTINGS.len() + CHANCE.len() }>(&[COMMON, sqp::SETTINGS, CHANCE]);
const DDP: &[SettingSpec] = &joined::<{ COMMON.len() + ddp::SETTINGS.len() }>(&[COMMON, ddp::SETTINGS]);
const SHOOTING: &[SettingSpec] =
    &joined::<{ COMMON.len() + DRAWN.len() + drawn::SHOOTING.len() }>(&[COMMON, drawn::SHOOTING, DRAWN]);
const CEM: &[SettingSpec] = &joined::<{ COMMON.len() + DRAWN.len() + drawn::CEM.len() }>(&[COMMON, drawn::CEM, DRAWN]);
const MPPI: &[SettingSpec] =
    &joined::<{ COMMON.len() + DRAWN.len() + drawn::MPPI.len() }>(&[COMMON, drawn::MPPI, DRAWN]);
const CMA: &[SettingSpec] = &joined::<{ COMMON.len() + DRAWN.len() + drawn::CMA.len() }>(&[COMMON, drawn::CMA, DRAWN]);

/// The settings of `budget { .. }`.
pub const BUDGET: &[SettingSpec] = &[
    SettingSpec {
        name: "episodes",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "1",
        doc: "how many episodes each planner runs",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, 1 << 53),
        unit: "",
        default: "1",
        doc: "seed of the first episode; each further one has the next",
    },
];

/// The settings of `evaluate { .. }`; training uses them.
pub const EVALUATE: &[SettingSpec] = &[
    SettingSpec {
        name: "episodes",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "20",
        doc: "how many episodes judge what was trained, apart from those that train it",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, 1 << 53),
        unit: "",
        default: "1000000",
        doc: "seed of the first of them; each further one has the next",
    },
    SettingSpec {
        name: "against",
        kind: SettingKind::Words,
        unit: "",
        default: "none",
        doc: "algorithms that are judged on the same episodes",
    },
];

/// A planner that a study can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlannerKind {
    /// Sequential quadratic programming.
    Sqp,
    /// Real-time iteration.
    Rti,
    /// Iterative LQR.
    Ilqr,
    /// Differential dynamic programming.
    Ddp,
    /// Random shooting.
    Shooting,
    /// The cross-entropy method.
    Cem,
    /// Model predictive path integral control.
    Mppi,
    /// CMA-ES.
    Cma,
    /// Linear feedback around the point of rest.
    Lqr,
    /// Proportional, integral and derivative control of what is tracked.
    Pid,
}

impl PlannerKind {
    /// All of them, in the order of the manual.
    pub const ALL: [PlannerKind; 10] = [
        PlannerKind::Sqp,
        PlannerKind::Rti,
        PlannerKind::Ilqr,
        PlannerKind::Ddp,
        PlannerKind::Shooting,
        PlannerKind::Cem,
        PlannerKind::Mppi,
        PlannerKind::Cma,
        PlannerKind::Lqr,
        PlannerKind::Pid,
    ];

    /// The planner of this name.
    pub fn find(name: &str) -> Option<PlannerKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As written behind `algorithm`.
    pub const fn name(self) -> &'static str {
        match self {
            PlannerKind::Sqp => "sqp",
            PlannerKind::Rti => "rti",
            PlannerKind::Ilqr => "ilqr",
            PlannerKind::Ddp => "ddp",
            PlannerKind::Shooting => "shooting",
            PlannerKind::Cem => "cem",
            PlannerKind::Mppi => "mppi",
            PlannerKind::Cma => "cma",
            PlannerKind::Lqr => "lqr",
            PlannerKind::Pid => "pid",
        }
    }

    /// Its settings.
    pub const fn settings(self) -> &'static [SettingSpec] {
        match self {
            PlannerKind::Sqp | PlannerKind::Rti => SQP,
            PlannerKind::Ilqr | PlannerKind::Ddp => DDP,
            PlannerKind::Shooting => SHOOTING,
            PlannerKind::Cem => CEM,
            PlannerKind::Mppi => MPPI,
            PlannerKind::Cma => CMA,
            PlannerKind::Lqr => regulated::SETTINGS,
            PlannerKind::Pid => loops::SETTINGS,
        }
    }

    /// True where it plans a course of steps ahead.
    pub fn looks_ahead(self) -> bool {
        match self {
            PlannerKind::Sqp
            | PlannerKind::Rti
            | PlannerKind::Ilqr
            | PlannerKind::Ddp
            | PlannerKind::Shooting
            | PlannerKind::Cem
            | PlannerKind::Mppi
            | PlannerKind::Cma => true,
            PlannerKind::Lqr | PlannerKind::Pid => false,
        }
    }

    /// True where every input needs limits on both sides.
    pub fn needs_bounds(self) -> bool {
        DRAWING_PLANNERS.contains(&self.name())
    }
}

/// The state and the inputs that a task starts from; the middle of what is drawn.
fn start(assembly: &Assembly) -> (Vec<f64>, Vec<f64>) {
    let task = assembly.task();
    let (state, _, _) = super::filters::first_belief(assembly, super::filters::START);
    let mut input: Vec<f64> = task.model.inputs.iter().map(|input| input.value).collect();
    task.acts.iter().for_each(|act| input[act.input as usize] = act.before);
    (state, input)
}

/// Names and tables of all planners.
pub fn tables() -> Vec<(&'static str, &'static [SettingSpec])> {
    PlannerKind::ALL.into_iter().map(|kind| (kind.name(), kind.settings())).collect()
}

/// Why a planner cannot plan a task.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlannerError {
    /// The problem could not be made.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Not for iLQR and DDP.
    #[error(transparent)]
    Ddp(#[from] DdpError),
    /// Not for planners that draw.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// Something of the task, in its own names.
    #[error("{0}")]
    Task(String),
}

/// Steps that a planner with these settings plans ahead in a task of so many steps.
pub fn horizon(settings: &Settings, n_steps: usize) -> usize {
    count(settings, "horizon", HORIZON.min(n_steps)).clamp(1, MAX_HORIZON)
}

/// A planner for a task. `settings` were checked against its table; `n_threads` is how many a planner that draws may use,
/// and no result depends on it.
///
/// # Errors
/// [`PlannerError`].
pub fn make(
    kind: PlannerKind,
    assembly: &Assembly,
    settings: &Settings,
    n_threads: usize,
) -> Result<Box<dyn Planner>, PlannerError> {
    let problem = problem(assembly, settings)?;
    let number = |key: &str, default: f64| settings.number(key).unwrap_or(default);
    let descend = |problem: ControlProblem, defaults: DdpSettings| -> Result<Box<dyn Planner>, PlannerError> {
        let stages = assembly.shooting(problem, defaults.curvature)?;
        let settings = DdpSettings {
            tolerance: number("tolerance", defaults.tolerance),
            constraint_tolerance: number("constraint_tolerance", defaults.constraint_tolerance),
            max_iterations: count(settings, "max_iterations", defaults.max_iterations),
            penalty: number("penalty", defaults.penalty),
            parallel: settings.truth("parallel").unwrap_or(defaults.parallel),
            ..defaults
        };
        Ok(Box::new(Ddp::new(Box::new(stages), settings)?))
    };
    let newton = |problem: ControlProblem, defaults: SqpSettings| -> Result<Box<dyn Planner>, PlannerError> {
        let stages = assembly.shooting(problem, Curvature::GaussNewton)?;
        let settings = SqpSettings {
            hessian: settings.word("hessian").and_then(Hessian::from_name).unwrap_or(defaults.hessian),
            tolerance: number("tolerance", defaults.tolerance),
            constraint_tolerance: number("constraint_tolerance", defaults.constraint_tolerance),
            max_iterations: count(settings, "max_iterations", defaults.max_iterations),
            ..defaults
        };
        let mut sqp = Sqp::new(Box::new(stages), settings);
        let n_states = sqp.node(0).0.len();
        sqp.set_chance(chance(assembly, n_states, number("process", PROCESS)))
            .map_err(|error| PlannerError::Task(error.to_string()))?;
        Ok(Box::new(Told::new(sqp, assembly)))
    };
    let rollouts = |problem: ControlProblem| assembly.rollouts_of(problem, number("price", PRICE), n_threads);
    let seed = number("seed", 0.0) as u64;
    match kind {
        PlannerKind::Sqp => newton(problem, SqpSettings::default()),
        PlannerKind::Rti => newton(problem, SqpSettings::real_time()),
        PlannerKind::Ilqr => descend(problem, DdpSettings::ilqr()),
        PlannerKind::Ddp => descend(problem, DdpSettings::default()),
        PlannerKind::Shooting => {
            let d = ShootingSettings::default();
            let settings = ShootingSettings {
                samples: count(settings, "samples", d.samples),
                noise: number("noise", d.noise),
                narrowest: number("narrowest", d.narrowest),
                smoothing: number("smoothing", d.smoothing),
            };
            Ok(Seeded::boxed(Shooting::new(rollouts(problem)?, settings)?, seed))
        }
        PlannerKind::Cem => {
            let d = CemSettings::default();
            let settings = CemSettings {
                samples: count(settings, "samples", d.samples),
                iterations: count(settings, "iterations", d.iterations),
                elites: number("elites", d.elites),
                noise: number("noise", d.noise),
                narrowest: number("narrowest", d.narrowest),
                least_noise: number("least_noise", d.least_noise),
                smoothing: number("smoothing", d.smoothing),
                inertia: number("inertia", d.inertia),
            };
            Ok(Seeded::boxed(Cem::new(rollouts(problem)?, settings)?, seed))
        }
        PlannerKind::Mppi => {
            let d = MppiSettings::default();
            let settings = MppiSettings {
                samples: count(settings, "samples", d.samples),
                iterations: count(settings, "iterations", d.iterations),
                noise: number("noise", d.noise),
                narrowest: number("narrowest", d.narrowest),
                smoothing: number("smoothing", d.smoothing),
                temperature: number("temperature", d.temperature),
            };
            Ok(Seeded::boxed(Mppi::new(rollouts(problem)?, settings)?, seed))
        }
        PlannerKind::Cma => {
            let d = CmaSettings::default();
            let settings = CmaSettings {
                samples: count(settings, "samples", d.samples),
                iterations: count(settings, "iterations", d.iterations),
                noise: number("noise", d.noise),
                later_noise: number("later_noise", d.later_noise),
                smoothing: number("smoothing", d.smoothing),
            };
            Ok(Seeded::boxed(Cma::new(rollouts(problem)?, settings)?, seed))
        }
        PlannerKind::Lqr => regulated::make(assembly, settings),
        PlannerKind::Pid => loops::make(assembly, settings),
    }
}

fn count(settings: &Settings, key: &str, default: usize) -> usize {
    settings.number(key).map_or(default, |value| value as usize)
}

/// The problem of a horizon, its steps and scenarios as the settings say.
fn problem(assembly: &Assembly, settings: &Settings) -> Result<ControlProblem, AssembleError> {
    let task = assembly.task();
    let n_steps = horizon(settings, task.n_steps);
    let n_robust = count(settings, "robust", usize::from(assembly.is_uncertain()));
    let mut problem = match n_robust {
        0 => assembly.problem(Tree::chain(n_steps), assembly.parameters()),
        n => {
            let seed = settings.number("seed").unwrap_or(0.0) as u64;
            assembly.robust(n_steps, n, assembly.scenarios(count(settings, "scenarios", SCENARIOS), seed))?
        }
    };
    if let Discretization::RadauIia { n_points, bounds_inside, .. } = &mut problem.discretization {
        if !task.via.0.is_fixed() {
            *n_points = count(settings, "points", POINTS);
        }
        *bounds_inside = settings.truth("inside").unwrap_or(*bounds_inside);
    }
    Ok(problem)
}

/// Which constraints are kept with a probability, for a problem of so many states; none where no constraint is. The state is
/// known exactly until an estimator says otherwise.
fn chance(assembly: &Assembly, n_states: usize, process: f64) -> Option<Chance> {
    let of = |is_last: bool| -> Vec<Option<f64>> {
        let keeps = (0..).map_while(|row| assembly.keep_of_row(row, is_last));
        keeps.map(|keep| keep.probability).collect()
    };
    let (rows, rows_last) = (of(false), of(true));
    if rows.iter().chain(&rows_last).all(Option::is_none) {
        return None;
    }
    let (_, _, sizes) = super::filters::first_belief(assembly, super::filters::START);
    let mut chance = Chance { rows, rows_last, ..Chance::new(n_states) };
    for (j, size) in sizes.iter().enumerate() {
        chance.process[j * n_states + j] = (process * size).powi(2);
    }
    Some(chance)
}

/// A planner that draws, with a seed of its own beside the episode's.
struct Seeded<P> {
    planner: P,
    seed: u64,
}

impl<P: Planner + 'static> Seeded<P> {
    fn boxed(planner: P, seed: u64) -> Box<dyn Planner> {
        Box::new(Seeded { planner, seed })
    }
}

impl<P: Planner> Planner for Seeded<P> {
    fn believe(&mut self, parameters: &[f64]) {
        self.planner.believe(parameters);
    }

    fn reset(&mut self, seed: u64) {
        // An odd factor, so that different seeds of the planner stay different.
        self.planner.reset(seed.wrapping_add(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        self.planner.plan(now)
    }
}

/// SQP that speaks of the task's own names where no plan keeps all constraints.
struct Told {
    planner: Sqp,
    /// Names of what is bounded.
    of_states: Vec<String>,
    of_inputs: Vec<String>,
    of_rows: Vec<String>,
    of_rows_last: Vec<String>,
    /// The plan.
    input: Vec<f64>,
    course: Vec<f64>,
    inputs: Vec<f64>,
    message: String,
    /// `n_states × n_states` of the problem.
    covariance: Vec<f64>,
}

impl Told {
    fn new(planner: Sqp, assembly: &Assembly) -> Told {
        let task = assembly.task();
        let name = |quantity: &crate::flat::Quantity| format!("`{}`", quantity.name);
        let carried =
            |m: &crate::flat::task::Move| format!("the change of `{}`", task.input_name(&task.acts[m.act as usize]));
        let states = task.model.states.iter().map(|state| name(&state.quantity));
        let states = states.chain(task.moves.iter().map(carried)).chain(["the length of a step".to_string()]);
        let rows = |is_last: bool| {
            let keeps = (0..).map_while(|row| assembly.keep_of_row(row, is_last));
            keeps.map(|keep| format!("`{}`", keep.name)).collect()
        };
        Told {
            of_states: states.collect(),
            of_inputs: task.model.inputs.iter().map(|input| name(&input.quantity)).collect(),
            of_rows: rows(false),
            of_rows_last: rows(true),
            input: Vec::new(),
            course: Vec::new(),
            inputs: Vec::new(),
            message: String::with_capacity(256),
            covariance: vec![0.0; planner.node(0).0.len().pow(2)],
            planner,
        }
    }
}

impl Planner for Told {
    fn doubt(&mut self, covariance: &[f64]) {
        // Behind the model's states stand inputs, which are known.
        let (n, n_all) = (covariance.len().isqrt(), self.covariance.len().isqrt());
        for (column, own) in covariance.chunks_exact(n.max(1)).zip(self.covariance.chunks_exact_mut(n_all.max(1))) {
            own[..n].copy_from_slice(column);
        }
        self.planner.set_covariance(&self.covariance);
    }

    fn believe(&mut self, parameters: &[f64]) {
        self.planner.believe(parameters);
    }

    fn reset(&mut self, seed: u64) {
        self.planner.reset(seed);
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        // A plan borrows its planner, which is asked for the conflict afterwards: the lists are copied.
        let Plan { input, states, inputs, cost, violation, status, iterations, message } = self.planner.plan(now);
        let last = inputs.len() / input.len().max(1);
        for (list, values) in [(&mut self.input, input), (&mut self.course, states), (&mut self.inputs, inputs)] {
            list.clear();
            list.extend_from_slice(values);
        }
        self.message.clear();
        self.message.push_str(message);
        if let (PlanStatus::Infeasible, Some(Conflict { depth, bounded, .. })) = (status, self.planner.conflict()) {
            let (at, names) = match bounded {
                Bounded::State(j) => (j, &self.of_states),
                Bounded::Input(j) => (j, &self.of_inputs),
                Bounded::Row(j) if depth == last => (j, &self.of_rows_last),
                Bounded::Row(j) => (j, &self.of_rows),
            };
            let name = names.get(at).map_or("a constraint", String::as_str);
            self.message.clear();
            // Writing to a text cannot fail.
            let _ = write!(
                self.message,
                "no plan keeps {name} within its bounds {depth} steps ahead; the plan breaks a constraint by {violation:.3e}"
            );
        }
        Plan {
            input: &self.input,
            states: &self.course,
            inputs: &self.inputs,
            cost,
            violation,
            status,
            iterations,
            message: &self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planner_is_found_by_its_name_and_has_the_common_settings() {
        for kind in PlannerKind::ALL {
            assert_eq!(PlannerKind::find(kind.name()), Some(kind));
            let names: Vec<&str> = kind.settings().iter().map(|spec| spec.name).collect();
            assert_eq!(names.starts_with(&["horizon", "points"]), kind.looks_ahead(), "{names:?}");
            let mut once = names.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), names.len(), "{names:?}");
            assert_eq!(names.contains(&"price"), kind.needs_bounds());
        }
        assert_eq!(PlannerKind::find("sq"), None);
    }

    #[test]
    fn short_episodes_have_short_horizons() {
        assert_eq!(horizon(&Settings::default(), 7), 7);
        assert_eq!(horizon(&Settings::default(), 700), HORIZON);
    }

    /// The numbers that the tables print are those in force.
    #[test]
    fn tables_state_the_defaults_in_force() {
        let of = |table: &[SettingSpec], name: &str| {
            table.iter().find(|spec| spec.name == name).and_then(|spec| spec.default.parse::<f64>().ok())
        };
        assert_eq!(of(COMMON, "horizon"), Some(HORIZON as f64));
        assert_eq!(of(COMMON, "points"), Some(POINTS as f64));
        assert_eq!(of(CHANCE, "process"), Some(PROCESS));
        assert_eq!(of(COMMON, "scenarios"), Some(SCENARIOS as f64));
        assert_eq!(of(DRAWN, "price"), Some(PRICE));
    }
}
