//! `lqr`: the linear feedback that is optimal near the point where a task rests.
//!
//! The step and the cost of the task are linearized at the point of rest ([`super::rest`]), the cost with the curvature
//! of Gauss and Newton; inputs whose changes have a price are states of the linear problem. The discrete Riccati equation
//! gives the gains ([`super::super::lqr`]), and what they ask for is cut off at the limits of the inputs. Constraints of
//! states are not seen.

use nalgebra::DMatrix;

use super::super::assemble::Assembly;
use super::super::lqr::{LinearQuadratic, LqrError, Regulator, Solution, discrete};
use super::PlannerError;
use super::rest::{Rest, rest};
use crate::decide::{Plan, Planner, Situation};
use crate::hir::settings::{SettingKind, SettingSpec, Settings};
use crate::system::Curvature;
use crate::system::stages::{Instant, Stages, Tree};

/// What an input's distance from rest costs where the task's own cost does not settle the feedback, relative to what the
/// states cost.
const LEAST_EFFORT: f64 = 1e-3;

/// The settings of `lqr`.
pub(super) const SETTINGS: &[SettingSpec] = &[SettingSpec {
    name: "effort",
    kind: SettingKind::Number(0.0, 1e12),
    unit: "cost",
    default: "auto",
    doc: "what it costs beside the task's cost to keep an input away from rest by its range; \
          auto is 0, and a thousandth of what a state costs where the task's cost leaves inputs free",
}];

/// The regulator of a task.
///
/// # Errors
/// Where the task does not rest anywhere, or no feedback holds it there.
pub(super) fn make(assembly: &Assembly, settings: &Settings) -> Result<Box<dyn Planner>, PlannerError> {
    let rest = rest("lqr", assembly)?;
    let problem = assembly.problem(Tree::chain(1), assembly.parameters());
    let mut stages = assembly.shooting(problem, Curvature::GaussNewton)?;
    let linear = LinearQuadratic::linearize(&mut stages, &rest.x, &rest.u, Curvature::GaussNewton)
        .map_err(|failure| PlannerError::Task(format!("the model has no derivatives where it rests: {failure}")))?;
    let limits = stages.limits(0);
    let (lower, upper) = (limits.u_lower.to_vec(), limits.u_upper.to_vec());
    let decided: Vec<usize> = (0..lower.len()).filter(|&j| lower[j] < upper[j]).collect();
    let range = |j: usize| match upper[j] - lower[j] {
        range if range.is_finite() => range,
        _ => rest.u[j].abs().max(1.0),
    };
    let solve = |effort: f64| {
        let pick = |matrix: &DMatrix<f64>| matrix.select_columns(&decided);
        let mut r = pick(&linear.r).select_rows(&decided);
        decided.iter().enumerate().for_each(|(k, &j)| r[(k, k)] += 2.0 * effort / range(j).powi(2));
        let reduced = LinearQuadratic { b: pick(&linear.b), s: pick(&linear.s), r, ..linear.clone() };
        discrete(&reduced)
    };
    let found = match settings.number("effort") {
        Some(effort) => solve(effort),
        None => match solve(0.0) {
            Err(LqrError::InputCost | LqrError::NotDetectable { .. } | LqrError::NoConvergence) => {
                solve(LEAST_EFFORT * level(&linear, &rest))
            }
            settled => settled,
        },
    };
    let solution = found.map_err(|error| PlannerError::Task(in_words(assembly, &error)))?;
    let mut gain = DMatrix::zeros(lower.len(), rest.x.len());
    decided.iter().enumerate().for_each(|(k, &j)| gain.set_row(j, &solution.gain.row(k)));
    let solution = Solution { gain, ..solution };
    let regulator = Regulator::new(&solution, &rest.x, &rest.u, &lower, &upper)
        .map_err(|error| PlannerError::Task(error.to_string()))?;
    Ok(Box::new(Regulated { regulator, root: rest.x, stages: Box::new(stages) }))
}

/// The largest cost of a state's distance from rest by its own size; 1 where no state costs anything.
fn level(linear: &LinearQuadratic, rest: &Rest) -> f64 {
    let size = |x: f64| if x == 0.0 { 1.0 } else { x.abs() };
    let costs = rest.x.iter().enumerate().map(|(j, x)| 0.5 * linear.q[(j, j)] * size(*x).powi(2));
    match costs.fold(0.0, f64::max) {
        level if level > 0.0 => level,
        _ => 1.0,
    }
}

/// Why there is no feedback, with the task's own names.
fn in_words(assembly: &Assembly, error: &LqrError) -> String {
    let task = assembly.task();
    let name = |state: usize| {
        let states = &task.model.states;
        match states.get(state) {
            Some(state) => format!("`{}`", state.quantity.name),
            None => "an input whose changes have a price".to_owned(),
        }
    };
    match *error {
        LqrError::NotStabilizable { real, imaginary, state } => format!(
            "no input reaches a mode that does not decay by itself (factor {:.4} a step), mostly in {}",
            real.hypot(imaginary),
            name(state)
        ),
        LqrError::NotDetectable { real, imaginary, state } => format!(
            "the cost does not see a mode that does not decay by itself (factor {:.4} a step), mostly in {}; \
             give it a `cost`, or set `effort`",
            real.hypot(imaginary),
            name(state)
        ),
        LqrError::InputCost => {
            "the cost leaves inputs free at the point of rest; give each a `cost` or a `move`, or set `effort`".into()
        }
        LqrError::Shape(_) | LqrError::NotFinite | LqrError::NoConvergence => error.to_string(),
    }
}

/// A regulator that is told the state of the plant, and takes the inputs before for states where they are.
struct Regulated {
    regulator: Regulator,
    stages: Box<dyn Stages>,
    root: Vec<f64>,
}

impl Planner for Regulated {
    fn reset(&mut self, seed: u64) {
        self.regulator.reset(seed);
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        let Situation { step, time, state, previous, forecast } = *now;
        self.stages.arrive(&Instant { step, time, state, previous, forecast }, &mut self.root);
        self.regulator.plan(&Situation { state: &self.root, ..*now })
    }
}
