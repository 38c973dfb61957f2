//! A plant's functions for rows of copies, where its steps are explicit and of one length.

use std::sync::Arc;

use super::Assembly;
use crate::expr::NodeId;
use crate::hir::task::StepMethod;
use crate::jit::{CompileError, row_function, row_slopes};
use crate::system::RowFunction;

/// What 64 copies of a plant are stepped by. Arguments are states, inputs, disturbances, behind these the parameters that
/// differ from copy to copy, and the time.
#[derive(Clone)]
pub struct PlantRows {
    /// The parameters that differ, ascending.
    pub varying: Vec<usize>,
    /// True for Runge and Kutta's method, false for Euler's.
    pub is_rk4: bool,
    /// Equal substeps of a step.
    pub n_substeps: usize,
    /// The right-hand side.
    pub dynamics: Arc<dyn RowFunction>,
    /// Before a step: values of [`crate::flat::FlatTask::previous`], and behind them, where the task has no reward, its cost.
    pub before: Arc<dyn RowFunction>,
    /// After it: one for each of [`crate::flat::FlatTask::holds`].
    pub holds: Arc<dyn RowFunction>,
    /// After it, with the index of the step that ended: margins of `fails`, then of `dones`, and behind them the reward, where
    /// the task has one.
    pub judged: Arc<dyn RowFunction>,
    /// After it: what the controller sees.
    pub seen: Arc<dyn RowFunction>,
}

impl Assembly {
    /// The functions of rows of plants whose parameters `varying` differ. `None` where copies need a plant of their own: steps
    /// that are not explicit or under error control, events, and observations with noise.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn plant_rows(&self, varying: &[usize]) -> Result<Option<PlantRows>, CompileError> {
        let task = &*self.task;
        let (method, n_substeps) = task.via;
        let is_rk4 = match method {
            StepMethod::Euler => false,
            StepMethod::Rk4 => true,
            StepMethod::Auto
            | StepMethod::Radau1
            | StepMethod::Radau3
            | StepMethod::Radau5
            | StepMethod::Tsit5
            | StepMethod::Rodas5p
            | StepMethod::Bdf => return Ok(None),
        };
        let is_noisy = !task.measured.is_empty() || (task.senses.is_empty() && !task.model.observables.is_empty());
        if is_noisy || !task.model.events.is_empty() {
            return Ok(None);
        }
        let parameters = self.parameters();
        let compile = |nodes: Vec<NodeId>| row_function(&self.kernels, &nodes, &parameters, varying);
        let cost = task.reward.is_none().then_some(self.cost);
        Ok(Some(PlantRows {
            varying: varying.to_vec(),
            is_rk4,
            n_substeps: n_substeps.max(1) as usize,
            dynamics: row_slopes(&self.kernels, &parameters, varying)?,
            before: compile(task.previous.iter().map(|previous| previous.node).chain(cost).collect())?,
            holds: compile(task.holds.iter().map(|held| held.node).collect())?,
            judged: compile(task.fails.iter().chain(&task.dones).map(|end| end.margin).chain(task.reward).collect())?,
            seen: compile(self.seen.clone())?,
        }))
    }
}
