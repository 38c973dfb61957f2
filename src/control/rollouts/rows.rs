//! Rollouts by rows: each state, input and cost a row of 64 sequences, each operation a loop over rows.
//!
//! Sequences are followed in blocks of [`ROW`], whose rows stay in the first cache from the start to the end of the
//! horizon. A block's costs depend on its own sequences only, so they are the same bits for any number of threads.

// Loops over points go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use std::sync::Arc;

use rayon::prelude::*;

use super::{Outcome, Rollouts, excess, penalty};
use crate::decide::Situation;
use crate::linalg::{Wide, wide};
use crate::system::rows::{FEW, ROW, Row, RowFunction, Width};
use crate::system::{Softness, StageDims};

/// How a step is taken from its right-hand side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepMethod {
    /// The function is the next state.
    Discrete,
    /// Explicit Euler in so many equal substeps.
    Euler(usize),
    /// The classical Runge-Kutta formula of order four in so many equal substeps.
    Rk4(usize),
}

/// An interval for a result of a stage function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Lower end; infinite where there is none.
    pub lower: f64,
    /// Upper end; infinite where there is none.
    pub upper: f64,
    /// What it costs to leave it.
    pub softness: Softness,
}

/// `weight · ((u_k − u_(k−1))/scale)²` of one input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MoveCost {
    /// Which input.
    pub input: usize,
    /// Cost of a change by one scale.
    pub weight: f64,
    /// The change that counts as one, in the input's unit.
    pub scale: f64,
}

/// A control problem as functions over rows.
#[derive(Clone)]
pub struct RowProblem {
    /// Right-hand side, or next state: `n_states` results.
    pub dynamics: Arc<dyn RowFunction>,
    /// Cost of a step, then one result for each of `stage_limits`.
    pub stage: Arc<dyn RowFunction>,
    /// Cost of the last state, then one result for each of `final_limits`; its inputs are not set.
    pub terminal: Arc<dyn RowFunction>,
    /// How a step is taken.
    pub method: StepMethod,
    /// Length of a step in the model's unit of time.
    pub step: f64,
    /// Number of steps.
    pub horizon: usize,
    /// `n_inputs`
    pub u_lower: Vec<f64>,
    /// `n_inputs`
    pub u_upper: Vec<f64>,
    /// `n_states`, hard, from the first step's end on; empty where no state has bounds.
    pub x_lower: Vec<f64>,
    /// As `x_lower`.
    pub x_upper: Vec<f64>,
    /// Intervals of the further results of `stage`.
    pub stage_limits: Vec<Limit>,
    /// Intervals of the further results of `terminal`.
    pub final_limits: Vec<Limit>,
    /// Costs of changing the inputs.
    pub moves: Vec<MoveCost>,
    /// `n × n_disturbances`, row major: held over the steps where a situation brings no forecast; the last row goes on.
    pub disturbances: Vec<f64>,
    /// Price of breaking a hard constraint by one of its unit.
    pub price: f64,
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
    /// A sentence naming what does not fit together: sizes of the functions, bounds and limits.
    pub fn new(problem: RowProblem, n_threads: usize) -> Result<RowRollouts, String> {
        let dims = problem.dynamics.dims();
        let (n, m) = (dims.n_states, dims.n_inputs);
        if dims.n_outputs != n {
            return Err(format!("the dynamics have {n} states and {} results", dims.n_outputs));
        }
        for (name, function, limits) in [
            ("stage", &problem.stage, problem.stage_limits.len()),
            ("terminal", &problem.terminal, problem.final_limits.len()),
        ] {
            let its = function.dims();
            if (its.n_states, its.n_inputs, its.n_disturbances) != (n, m, dims.n_disturbances) {
                return Err(format!("the {name} function has other arguments than the dynamics"));
            }
            if its.n_outputs != 1 + limits {
                return Err(format!("the {name} function has {} results for {limits} limits", its.n_outputs));
            }
        }
        if problem.u_lower.len() != m || problem.u_upper.len() != m {
            return Err(format!("there are not {m} bounds of inputs"));
        }
        if problem.x_lower.len() != problem.x_upper.len() || ![0, n].contains(&problem.x_lower.len()) {
            return Err(format!("there are not {n} bounds of states"));
        }
        if problem.moves.iter().any(|m| m.input >= dims.n_inputs) {
            return Err("a move is one of no input".to_owned());
        }
        if dims.n_disturbances > 0 && problem.disturbances.len() < dims.n_disturbances {
            return Err(format!("there are not {} disturbances", dims.n_disturbances));
        }
        let scratch = Scratch {
            dynamics: problem.dynamics.block(),
            stage: problem.stage.block(),
            terminal: problem.terminal.block(),
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
            forecast: problem.disturbances.clone(),
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
        (&self.problem.u_lower, &self.problem.u_upper)
    }

    fn begin(&mut self, now: &Situation<'_>) {
        take(&mut self.start, now.state);
        take(&mut self.previous, now.previous);
        let forecast = if now.forecast.is_empty() { &self.problem.disturbances } else { now.forecast };
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
        let dims = problem.dynamics.dims();
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
            problem.stage.evaluate(&mut scratch.stage, width);
            let results = (problem.stage.outputs(), &problem.stage_limits[..]);
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
            if !problem.x_lower.is_empty() {
                wide(Boxes::<W> { problem, x: &scratch.x, cost: &mut scratch.cost, violation: &mut scratch.violation });
            }
            told(k + 1, &scratch.x);
        }
        scratch.terminal[..dims.n_states].copy_from_slice(&scratch.x);
        let last = self.time + problem.horizon as f64 * problem.step;
        self.set_known::<W>(&mut scratch.terminal, problem.horizon, last);
        problem.terminal.evaluate(&mut scratch.terminal, width);
        let results = (problem.terminal.outputs(), &problem.final_limits[..]);
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
        let dims = self.problem.dynamics.dims();
        let n = dims.n_disturbances;
        if n > 0 {
            let rows = self.forecast.len() / n;
            let held = &self.forecast[k.min(rows.saturating_sub(1)) * n..];
            for (row, &value) in block[dims.disturbance()..].iter_mut().zip(held).take(n) {
                row[..W].fill(value);
            }
        }
        block[dims.time()][..W].fill(time);
    }

    /// From `scratch.x` to the state a step later; inputs and disturbances are in place.
    fn step<const W: usize>(&self, scratch: &mut Scratch, time: f64, width: Width) {
        let dynamics = &*self.problem.dynamics;
        let dims = dynamics.dims();
        let block = &mut scratch.dynamics[..];
        block[..dims.n_states].copy_from_slice(&scratch.x);
        let (n_substeps, is_rk4) = match self.problem.method {
            StepMethod::Discrete => {
                dynamics.evaluate(block, width);
                for (x, &output) in scratch.x.iter_mut().zip(dynamics.outputs()) {
                    *x = block[output];
                }
                return;
            }
            StepMethod::Euler(n) => (n.max(1), false),
            StepMethod::Rk4(n) => (n.max(1), true),
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

/// Takes in the slopes of one stage and writes the states of the next.
struct Advance<'a, const W: usize> {
    /// Of the Runge-Kutta formula; none for Euler's.
    stage: Option<usize>,
    h: f64,
    outputs: &'a [usize],
    block: &'a mut [Row],
    x: &'a mut [Row],
    slopes: &'a mut [Row],
}

impl<const W: usize> Wide for Advance<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let h = self.h;
        let n = self.x.len();
        let (arguments, results) = self.block.split_at_mut(n);
        for i in 0..n {
            let (x, sum, argument) = (&mut self.x[i], &mut self.slopes[i], &mut arguments[i]);
            let slope = &results[self.outputs[i] - n];
            match self.stage {
                Some(0) => {
                    for p in 0..W {
                        sum[p] = slope[p];
                        argument[p] = x[p] + 0.5 * h * slope[p];
                    }
                }
                Some(1) => {
                    for p in 0..W {
                        sum[p] += 2.0 * slope[p];
                        argument[p] = x[p] + 0.5 * h * slope[p];
                    }
                }
                Some(2) => {
                    for p in 0..W {
                        sum[p] += 2.0 * slope[p];
                        argument[p] = x[p] + h * slope[p];
                    }
                }
                Some(_) => {
                    for p in 0..W {
                        x[p] += h / 6.0 * (sum[p] + slope[p]);
                        argument[p] = x[p];
                    }
                }
                None => {
                    for p in 0..W {
                        x[p] += h * slope[p];
                        argument[p] = x[p];
                    }
                }
            }
        }
    }
}

/// Adds a cost and the prices of its limits.
struct Add<'a, const W: usize> {
    problem: &'a RowProblem,
    results: (&'a [usize], &'a [Limit]),
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
    problem: &'a RowProblem,
    x: &'a [Row],
    cost: &'a mut Row,
    violation: &'a mut Row,
}

impl<const W: usize> Wide for Boxes<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let RowProblem { x_lower, x_upper, price, .. } = self.problem;
        for ((x, &lower), &upper) in self.x.iter().zip(x_lower).zip(x_upper) {
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
