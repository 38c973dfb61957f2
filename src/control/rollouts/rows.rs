//! Rollouts by rows: each state, input and cost a row of 64 sequences, each operation a loop over rows.
//!
//! Sequences are followed in blocks of [`ROW`], whose rows stay in the first cache from the start to the end of the
//! horizon. A block's costs depend on its own sequences only, so they are the same bits for any number of threads.

// Loops over points go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use rayon::prelude::*;

use super::advance::Advance;
use super::{Outcome, Rollouts, excess, penalty};
use crate::control::shooting::{Bounds, ControlProblem, Discretization, Move, RowBound};
use crate::decide::Situation;
use crate::linalg::{Wide, wide};
use crate::system::rows::{FEW, ROW, Row, RowFunctions, Width};
use crate::system::{Softness, StageDims};

/// A control problem as functions over rows.
#[derive(Clone)]
pub struct RowProblem {
    /// The model and the task.
    pub functions: RowFunctions,
    /// How a step is taken: by a map, Euler's method or Runge and Kutta's.
    pub discretization: Discretization,
    /// Length of a step in the model's unit of time.
    pub step: f64,
    /// Number of steps.
    pub horizon: usize,
    /// Those of the states are hard.
    pub bounds: Bounds,
    /// Costs of changing the inputs.
    pub moves: Vec<Move>,
    /// `n × n_disturbances`, row major: held over the steps where a situation brings no forecast; the last row goes on.
    pub forecast: Vec<f64>,
    /// Price of breaking a hard constraint by one of its unit.
    pub price: f64,
}

/// Why sequences cannot be rolled out by rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// Something of the wrong length.
    #[error("`{what}` has {given} elements instead of {expected}")]
    Length {
        /// What.
        what: &'static str,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        given: usize,
    },
    /// A move of an input that is not there.
    #[error("there is no input {0} for a move to be priced")]
    Move(usize),
    /// Something that only the general rollouts do: [`super::StageRollouts`].
    #[error("rollouts by rows do not follow {0}")]
    General(&'static str),
}

impl RowProblem {
    /// The problem that multiple shooting sees, for sampling: `functions` are the rows of its model and task, `price` is
    /// that of breaking a hard constraint by one of its unit.
    ///
    /// # Errors
    /// A scenario tree, weights of nodes, a free step length, and collocation.
    pub fn of(problem: &ControlProblem, functions: RowFunctions, price: f64) -> Result<RowProblem, RowsError> {
        if !problem.tree.is_chain() {
            return Err(RowsError::General("a tree of scenarios"));
        }
        if !problem.weights.is_empty() || problem.scenarios.iter().any(|&scenario| scenario > 0) {
            return Err(RowsError::General("nodes with weights or parameters of their own"));
        }
        if problem.free_step.is_some() {
            return Err(RowsError::General("a step whose length is decided"));
        }
        Ok(RowProblem {
            functions,
            discretization: problem.discretization,
            step: problem.step,
            horizon: problem.tree.horizon(),
            bounds: problem.bounds.clone(),
            moves: problem.moves.clone(),
            forecast: problem.forecast.clone(),
            price,
        })
    }
}

/// What one thread needs for a block.
#[derive(Debug, Clone)]
struct Scratch {
    dynamics: Vec<Row>,
    stage: Vec<Row>,
    terminal: Vec<Row>,
    x: Vec<Row>,
    /// Weighted sum of the slopes so far.
    slopes: Vec<Row>,
    previous: Vec<Row>,
    cost: Row,
    violation: Row,
}

/// Rollouts of a [`RowProblem`].
pub struct RowRollouts {
    problem: RowProblem,
    dims: StageDims,
    start: Vec<f64>,
    previous: Vec<f64>,
    forecast: Vec<f64>,
    time: f64,
    scratch: Vec<Scratch>,
}

impl RowRollouts {
    /// On `n_threads` threads, at least one.
    ///
    /// # Errors
    /// Sizes that do not fit together, and collocation.
    pub fn new(problem: RowProblem, n_threads: usize) -> Result<RowRollouts, RowsError> {
        let RowFunctions { dynamics, running, last } = &problem.functions;
        let dims = dynamics.dims();
        let (n, m) = (dims.n_states, dims.n_inputs);
        match problem.discretization {
            Discretization::Map | Discretization::Euler { .. } | Discretization::Rk4 { .. } => {}
            Discretization::RadauIia { .. } => return Err(RowsError::General("collocation")),
            Discretization::Adaptive { .. } => return Err(RowsError::General("steps of error control")),
        }
        let bounds = &problem.bounds;
        for (what, given, expected) in [
            ("dynamics", dims.n_outputs, n),
            ("running", running.dims().n_outputs, 1 + bounds.rows.len()),
            ("last", last.dims().n_outputs, 1 + bounds.rows_last.len()),
            ("arguments of running", running.dims().time(), dims.time()),
            ("arguments of last", last.dims().time(), dims.time()),
            ("u_lower", bounds.u_lower.len(), m),
            ("u_upper", bounds.u_upper.len(), m),
            ("x_lower", bounds.x_lower.len(), n),
            ("x_upper", bounds.x_upper.len(), n),
            ("x_lower_last", bounds.x_lower_last.len(), n),
            ("x_upper_last", bounds.x_upper_last.len(), n),
        ] {
            if given != expected {
                return Err(RowsError::Length { what, expected, given });
            }
        }
        if let Some(wrong) = problem.moves.iter().find(|change| change.input >= m) {
            return Err(RowsError::Move(wrong.input));
        }
        if problem.forecast.len() < dims.n_disturbances {
            let (expected, given) = (dims.n_disturbances, problem.forecast.len());
            return Err(RowsError::Length { what: "forecast", expected, given });
        }
        let scratch = Scratch {
            dynamics: dynamics.block(),
            stage: running.block(),
            terminal: last.block(),
            x: vec![[0.0; ROW]; n],
            slopes: vec![[0.0; ROW]; n],
            previous: vec![[0.0; ROW]; m],
            cost: [0.0; ROW],
            violation: [0.0; ROW],
        };
        Ok(RowRollouts {
            dims: StageDims { n_states: n, n_inputs: m },
            start: vec![0.0; n],
            previous: vec![0.0; m],
            forecast: problem.forecast.clone(),
            time: 0.0,
            scratch: vec![scratch; n_threads.max(1)],
            problem,
        })
    }

    /// What all sequences have in common.
    fn common(&self) -> Common<'_> {
        Common {
            problem: &self.problem,
            start: &self.start,
            previous: &self.previous,
            forecast: &self.forecast,
            time: self.time,
        }
    }
}

impl Rollouts for RowRollouts {
    fn dims(&self) -> StageDims {
        self.dims
    }

    fn horizon(&self) -> usize {
        self.problem.horizon
    }

    fn input_bounds(&self) -> (&[f64], &[f64]) {
        (&self.problem.bounds.u_lower, &self.problem.bounds.u_upper)
    }

    fn begin(&mut self, now: &Situation<'_>) {
        take(&mut self.start, now.state);
        take(&mut self.previous, now.previous);
        let forecast = if now.forecast.is_empty() { &self.problem.forecast } else { now.forecast };
        self.forecast.clear();
        self.forecast.extend_from_slice(forecast);
        self.time = now.time;
    }

    fn costs(&mut self, n: usize, inputs: &[f64], costs: &mut [f64]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let common = self.common();
        let n_blocks = n.div_ceil(ROW);
        let per_thread = n_blocks.div_ceil(scratch.len()).max(1) * ROW;
        let work = |(part, (scratch, costs)): (usize, (&mut Scratch, &mut [f64]))| {
            for (block, costs) in costs.chunks_mut(ROW).enumerate() {
                common.follow::<ROW>(scratch, n, part * per_thread + block * ROW, inputs, |_, _| {});
                for (cost, &value) in costs.iter_mut().zip(&scratch.cost) {
                    *cost = if value.is_finite() { value } else { f64::INFINITY };
                }
            }
        };
        let costs = &mut costs[..n];
        if scratch.len() == 1 {
            scratch.iter_mut().zip(costs.chunks_mut(per_thread)).enumerate().for_each(work);
        } else {
            scratch.par_iter_mut().zip(costs.par_chunks_mut(per_thread)).enumerate().for_each(work);
        }
        self.scratch = scratch;
    }

    fn predict(&mut self, inputs: &[f64], states: &mut [f64]) -> Outcome {
        let mut scratch = std::mem::take(&mut self.scratch);
        let n = self.dims.n_states;
        let mut outcome = Outcome { cost: f64::INFINITY, violation: f64::INFINITY };
        if let Some(scratch) = scratch.first_mut() {
            self.common().follow::<FEW>(scratch, 1, 0, inputs, |k, x| {
                for (state, row) in states[k * n..(k + 1) * n].iter_mut().zip(x) {
                    *state = row[0];
                }
            });
            if scratch.cost[0].is_finite() {
                outcome = Outcome { cost: scratch.cost[0], violation: scratch.violation[0] };
            }
        }
        self.scratch = scratch;
        outcome
    }
}

fn take(to: &mut [f64], from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// See [`RowRollouts`].
struct Common<'a> {
    problem: &'a RowProblem,
    start: &'a [f64],
    previous: &'a [f64],
    forecast: &'a [f64],
    time: f64,
}

impl Common<'_> {
    /// Follows the sequences `first..` of n, the first `W` points of a block; tells the states of every instant. Leaves
    /// costs and violations in the scratch.
    fn follow<const W: usize>(
        &self,
        scratch: &mut Scratch,
        n: usize,
        first: usize,
        inputs: &[f64],
        mut told: impl FnMut(usize, &[Row]),
    ) {
        let problem = self.problem;
        let dims = problem.functions.dynamics.dims();
        let width = if W == ROW { Width::All } else { Width::Few };
        scratch.cost = [0.0; ROW];
        scratch.violation = [0.0; ROW];
        for (row, &value) in scratch.x.iter_mut().zip(self.start) {
            row[..W].fill(value);
        }
        for (row, &value) in scratch.previous.iter_mut().zip(self.previous) {
            row[..W].fill(value);
        }
        told(0, &scratch.x);
        for k in 0..problem.horizon {
            for input in 0..dims.n_inputs {
                let values = &inputs[(k * dims.n_inputs + input) * n..][..n];
                let values = &values[first..n.min(first + W)];
                let row = &mut scratch.dynamics[dims.input() + input];
                row[..values.len()].copy_from_slice(values);
                // Points beyond the last sequence repeat it, so that nothing undefined slows the others.
                row[values.len()..W].fill(values.last().copied().unwrap_or(0.0));
                let row = *row;
                scratch.stage[dims.input() + input] = row;
            }
            let time = self.time + k as f64 * problem.step;
            self.set_known::<W>(&mut scratch.dynamics, k, time);
            self.set_known::<W>(&mut scratch.stage, k, time);
            scratch.stage[..dims.n_states].copy_from_slice(&scratch.x);
            problem.functions.running.evaluate(&mut scratch.stage, width);
            let results = (problem.functions.running.outputs(), &problem.bounds.rows[..]);
            wide(Add::<W> {
                problem,
                results,
                block: &scratch.stage,
                cost: &mut scratch.cost,
                violation: &mut scratch.violation,
            });
            for change in &problem.moves {
                let (now, before) = (&scratch.dynamics[dims.input() + change.input], &scratch.previous[change.input]);
                let scale = 1.0 / change.scale;
                for i in 0..W {
                    let moved = (now[i] - before[i]) * scale;
                    scratch.cost[i] += change.weight * moved * moved;
                }
            }
            if !problem.moves.is_empty() {
                scratch.previous.copy_from_slice(&scratch.dynamics[dims.input()..dims.disturbance()]);
            }
            self.step::<W>(scratch, time, width);
            let bounds = &problem.bounds;
            let (lower, upper) = match k + 1 == problem.horizon {
                true => (&bounds.x_lower_last, &bounds.x_upper_last),
                false => (&bounds.x_lower, &bounds.x_upper),
            };
            let Scratch { x, cost, violation, .. } = scratch;
            wide(Boxes::<W> { price: problem.price, lower, upper, x, cost, violation });
            told(k + 1, &scratch.x);
        }
        scratch.terminal[..dims.n_states].copy_from_slice(&scratch.x);
        let last = self.time + problem.horizon as f64 * problem.step;
        self.set_known::<W>(&mut scratch.terminal, problem.horizon, last);
        problem.functions.last.evaluate(&mut scratch.terminal, width);
        let results = (problem.functions.last.outputs(), &problem.bounds.rows_last[..]);
        wide(Add::<W> {
            problem,
            results,
            block: &scratch.terminal,
            cost: &mut scratch.cost,
            violation: &mut scratch.violation,
        });
    }

    /// Disturbances of step k, and the time.
    fn set_known<const W: usize>(&self, block: &mut [Row], k: usize, time: f64) {
        let dims = self.problem.functions.dynamics.dims();
        let n = dims.n_disturbances;
        if let Some(rows) = self.forecast.len().checked_div(n) {
            let held = &self.forecast[k.min(rows.saturating_sub(1)) * n..];
            for (row, &value) in block[dims.disturbance()..].iter_mut().zip(held).take(n) {
                row[..W].fill(value);
            }
        }
        block[dims.time()][..W].fill(time);
    }

    /// From `scratch.x` to the state a step later; inputs and disturbances are in place.
    fn step<const W: usize>(&self, scratch: &mut Scratch, time: f64, width: Width) {
        let dynamics = &*self.problem.functions.dynamics;
        let dims = dynamics.dims();
        let block = &mut scratch.dynamics[..];
        block[..dims.n_states].copy_from_slice(&scratch.x);
        let (n_substeps, is_rk4) = match self.problem.discretization {
            // Collocation was refused.
            Discretization::Map | Discretization::RadauIia { .. } | Discretization::Adaptive { .. } => {
                dynamics.evaluate(block, width);
                for (x, &output) in scratch.x.iter_mut().zip(dynamics.outputs()) {
                    *x = block[output];
                }
                return;
            }
            Discretization::Euler { n_substeps } => (n_substeps.max(1), false),
            Discretization::Rk4 { n_substeps } => (n_substeps.max(1), true),
        };
        let h = self.problem.step / n_substeps as f64;
        for substep in 0..n_substeps {
            let start = time + substep as f64 * h;
            for stage in 0..if is_rk4 { 4 } else { 1 } {
                let part = [0.0, 0.5, 0.5, 1.0][stage];
                if part > 0.0 || substep > 0 {
                    block[dims.time()][..W].fill(start + part * h);
                }
                dynamics.evaluate(block, width);
                wide(Advance::<W> {
                    stage: if is_rk4 { Some(stage) } else { None },
                    h,
                    outputs: dynamics.outputs(),
                    block,
                    x: &mut scratch.x,
                    slopes: &mut scratch.slopes,
                });
            }
        }
    }
}

/// Adds a cost and the prices of its limits.
struct Add<'a, const W: usize> {
    problem: &'a RowProblem,
    results: (&'a [usize], &'a [RowBound]),
    block: &'a [Row],
    cost: &'a mut Row,
    violation: &'a mut Row,
}

impl<const W: usize> Wide for Add<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (outputs, limits) = self.results;
        let Some((&first, others)) = outputs.split_first() else { return };
        let value = &self.block[first];
        for p in 0..W {
            self.cost[p] += value[p];
        }
        for (&output, limit) in others.iter().zip(limits) {
            let value = &self.block[output];
            let is_hard = limit.softness == Softness::Hard;
            for p in 0..W {
                let e = excess(value[p], limit.lower, limit.upper);
                self.cost[p] += penalty(limit.softness, self.problem.price, e);
                if is_hard && e > self.violation[p] {
                    self.violation[p] = e;
                }
            }
        }
    }
}

/// Prices states outside their bounds.
struct Boxes<'a, const W: usize> {
    price: f64,
    lower: &'a [f64],
    upper: &'a [f64],
    x: &'a [Row],
    cost: &'a mut Row,
    violation: &'a mut Row,
}

impl<const W: usize> Wide for Boxes<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let price = self.price;
        for ((x, &lower), &upper) in self.x.iter().zip(self.lower).zip(self.upper) {
            if lower == f64::NEG_INFINITY && upper == f64::INFINITY {
                continue;
            }
            for p in 0..W {
                let e = excess(x[p], lower, upper);
                self.cost[p] += price * e;
                if e > self.violation[p] {
                    self.violation[p] = e;
                }
            }
        }
    }
}
