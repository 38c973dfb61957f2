//! Copies of a plant 64 at a time: each state, input and disturbance is a row with a number for every copy, each operation
//! a loop over rows.
//!
//! A step makes the operations of [`Plant::act`] in their order: inputs are cut off at the actuators' limits, the values that
//! the task remembers are taken before the step, and reward and endings at its end. Episodes begin by a plant of the ordinary
//! kind, whose start is copied into the copy's lane.

// Loops over lanes go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use super::kept::{Kind, from_bytes, to_bytes};
use super::{EnvironmentError, Prepared, no_copy, no_start, of_episode};
use crate::control::assemble::PlantRows;
use crate::control::plant::Plant;
use crate::control::rollouts::Advance;
use crate::decide::{Environments, Space, Step};
use crate::flat::FlatTask;
use crate::linalg::wide;
use crate::random::Rng;
use crate::system::rows::{FEW, ROW, Row, RowFunction, Width};

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Not at all.
    No,
    /// As it should.
    Well,
    /// By this one of the task's failures.
    Failed(u32),
    /// Its state has no value any more.
    Lost,
}

/// 64 copies.
#[derive(Debug, Clone)]
struct Block {
    /// The arguments of all functions: states, inputs, disturbances and varying parameters, time.
    arguments: Vec<Row>,
    /// Index of the sampling instant.
    k: [u64; ROW],
    is_waiting: [bool; ROW],
    ended: [Ended; ROW],
}

/// What a step needs beside the copies.
#[derive(Debug, Clone)]
struct Scratch {
    dynamics: Vec<Row>,
    before: Vec<Row>,
    holds: Vec<Row>,
    judged: Vec<Row>,
    seen: Vec<Row>,
    x: Vec<Row>,
    slopes: Vec<Row>,
    arguments: Vec<Row>,
    moves: Row,
}

/// Where what is among the arguments.
#[derive(Debug, Clone, Copy)]
struct Places {
    n_states: usize,
    input: usize,
    disturbance: usize,
    time: usize,
}

/// Copies of the plant of a task whose steps are explicit.
pub struct Rows<'s> {
    prepared: &'s Prepared,
    rows: &'s PlantRows,
    /// Begins episodes.
    plant: Plant<'s>,
    places: Places,
    n_copies: usize,
    blocks: Vec<Block>,
    scratch: Scratch,
}

impl<'s> Rows<'s> {
    /// So many copies, all waiting for a reset.
    ///
    /// # Errors
    /// Where the integrator refuses the task's step.
    pub fn new(prepared: &'s Prepared, rows: &'s PlantRows, n_copies: usize) -> Result<Rows<'s>, EnvironmentError> {
        let dims = rows.dynamics.dims();
        let places =
            Places { n_states: dims.n_states, input: dims.input(), disturbance: dims.disturbance(), time: dims.time() };
        let n_arguments = places.time + 1;
        let block = Block {
            arguments: vec![[0.0; ROW]; n_arguments],
            k: [0; ROW],
            is_waiting: [true; ROW],
            ended: [Ended::No; ROW],
        };
        let scratch = Scratch {
            dynamics: rows.dynamics.block(),
            before: rows.before.block(),
            holds: rows.holds.block(),
            judged: rows.judged.block(),
            seen: rows.seen.block(),
            x: vec![[0.0; ROW]; places.n_states],
            slopes: vec![[0.0; ROW]; places.n_states],
            arguments: vec![[0.0; ROW]; n_arguments],
            moves: [0.0; ROW],
        };
        let mut made = Rows {
            plant: prepared.plant()?,
            blocks: vec![block; n_copies.div_ceil(ROW)],
            prepared,
            rows,
            places,
            n_copies,
            scratch,
        };
        // Lanes that nobody has reset stand at the start too, so that nothing undefined slows the others.
        made.plant.begin(&mut crate::random::stream(0, 0));
        for copy in 0..made.blocks.len() * ROW {
            made.place(copy);
        }
        Ok(made)
    }

    /// Puts what the plant has begun with into a copy's lane.
    fn place(&mut self, copy: usize) {
        let Rows { plant, places, blocks, rows, .. } = self;
        let (block, lane) = (&mut blocks[copy / ROW], copy % ROW);
        let varying = rows.varying.iter().map(|&param| plant.parameters()[param]);
        let numbers = plant.state().iter().chain(plant.input()).chain(plant.disturbances()).copied().chain(varying);
        for (row, number) in block.arguments.iter_mut().zip(numbers) {
            row[lane] = number;
        }
        block.arguments[places.time][lane] = 0.0;
        block.k[lane] = 0;
        block.ended[lane] = Ended::No;
    }

    /// Words that are kept of a copy.
    fn n_words(&self) -> usize {
        self.places.time + 2
    }

    fn sizes(&self) -> [usize; 2] {
        [self.n_copies, self.n_words()]
    }
}

impl Environments for Rows<'_> {
    fn n_copies(&self) -> usize {
        self.n_copies
    }

    fn observation_space(&self) -> &Space {
        &self.prepared.observation
    }

    fn action_space(&self) -> &Space {
        &self.prepared.action
    }

    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String> {
        if copy >= self.n_copies {
            return Err(no_copy(copy, self.n_copies));
        }
        self.plant.begin(&mut of_episode(rng));
        self.plant.observe(observation);
        no_start(self.prepared.task(), self.plant.state(), observation, &self.prepared.observation)?;
        self.place(copy);
        self.blocks[copy / ROW].is_waiting[copy % ROW] = false;
        Ok(())
    }

    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]) {
        let (n_actions, n_observed) = (self.prepared.action.len(), self.prepared.observation.len());
        let Rows { prepared, rows, places, n_copies, blocks, scratch, .. } = self;
        let of = |first: usize, each: usize, n: usize| first * each..(first + n) * each;
        for (b, block) in blocks.iter_mut().enumerate() {
            let first = b * ROW;
            let n = ROW.min(*n_copies - first);
            let now = Now { task: prepared.task(), rows, places: *places, n, width: width(n) };
            now.step(
                block,
                scratch,
                &actions[of(first, n_actions, n)],
                &mut observations[of(first, n_observed, n)],
                &mut steps[first..first + n],
            );
        }
    }

    fn reason(&self, copy: usize) -> &str {
        let ended = self.blocks.get(copy / ROW).map_or(Ended::No, |block| block.ended[copy % ROW]);
        match ended {
            Ended::No | Ended::Well => "",
            Ended::Failed(fail) => self.prepared.task().fails.get(fail as usize).map_or("", |fail| &fail.text),
            Ended::Lost => "the state has no finite value",
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut words = Vec::with_capacity(self.n_copies * self.n_words());
        for copy in 0..self.n_copies {
            let (block, lane) = (&self.blocks[copy / ROW], copy % ROW);
            words.extend(block.arguments[..self.places.time].iter().map(|row| row[lane].to_bits()));
            words.extend([block.k[lane], u64::from(block.is_waiting[lane])]);
        }
        to_bytes(Kind::Rows, self.prepared.fingerprint, &self.sizes(), &words)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let words = from_bytes(Kind::Rows, self.prepared.fingerprint, &self.sizes(), saved)?;
        let n_words = self.n_words();
        if words.len() != self.n_copies * n_words {
            return Err("the bytes of the environment are cut off".into());
        }
        let (time, step) = (self.places.time, self.prepared.task().step);
        for (copy, words) in words.chunks_exact(n_words).enumerate() {
            let (block, lane) = (&mut self.blocks[copy / ROW], copy % ROW);
            for (row, &word) in block.arguments.iter_mut().zip(&words[..time]) {
                row[lane] = f64::from_bits(word);
            }
            block.k[lane] = words[time];
            block.is_waiting[lane] = words[time + 1] != 0;
            block.arguments[time][lane] = words[time] as f64 * step;
            block.ended[lane] = Ended::No;
        }
        Ok(())
    }
}

/// The lanes that so many copies need.
fn width(n: usize) -> Width {
    if n <= FEW { Width::Few } else { Width::All }
}

/// Copies the arguments in and evaluates.
fn evaluate(function: &dyn RowFunction, block: &mut [Row], arguments: &[Row], width: Width) {
    block[..arguments.len()].copy_from_slice(arguments);
    function.evaluate(block, width);
}

/// What a step of one block is made with.
struct Now<'a> {
    task: &'a FlatTask,
    rows: &'a PlantRows,
    places: Places,
    /// Copies in the block.
    n: usize,
    width: Width,
}

impl Now<'_> {
    fn step(
        &self,
        block: &mut Block,
        scratch: &mut Scratch,
        actions: &[f64],
        observations: &mut [f64],
        steps: &mut [Step],
    ) {
        let Now { task, rows, places, n, width } = *self;
        scratch.arguments.copy_from_slice(&block.arguments);
        self.take(block, scratch, actions);
        let with_memory = rows.before.dims().n_outputs > 0;
        if with_memory {
            evaluate(&*rows.before, &mut scratch.before, &block.arguments, width);
        }
        scratch.dynamics[..=places.time].copy_from_slice(&block.arguments);
        self.advance(block, scratch);
        for (x, row) in block.arguments.iter_mut().zip(&scratch.x) {
            *x = *row;
        }
        let remembered = rows.before.outputs();
        for (previous, &at) in task.previous.iter().zip(remembered) {
            block.arguments[places.disturbance + previous.disturbance as usize] = scratch.before[at];
        }
        for lane in 0..ROW {
            block.arguments[places.time][lane] = (block.k[lane] + 1) as f64 * task.step;
        }
        if let Some(index) = task.index {
            let row = &mut block.arguments[places.disturbance + index as usize];
            for lane in 0..ROW {
                row[lane] = (block.k[lane] + 1) as f64;
            }
        }
        if !task.holds.is_empty() {
            evaluate(&*rows.holds, &mut scratch.holds, &block.arguments, width);
            for (held, &at) in task.holds.iter().zip(rows.holds.outputs()) {
                block.arguments[places.disturbance + held.disturbance as usize] = scratch.holds[at];
            }
        }
        scratch.judged[..=places.time].copy_from_slice(&block.arguments);
        if let Some(index) = task.index {
            // The reward is that of the step that ended.
            for lane in 0..ROW {
                scratch.judged[places.disturbance + index as usize][lane] = block.k[lane] as f64;
            }
        }
        rows.judged.evaluate(&mut scratch.judged, width);
        let is_lost = self.lost(block);
        for lane in 0..n {
            if block.is_waiting[lane] {
                continue;
            }
            if is_lost && (0..places.n_states).any(|x| !block.arguments[x][lane].is_finite()) {
                // The plant stands where it stood, but for the inputs that acted.
                for place in (0..=places.time).filter(|at| !(places.input..places.disturbance).contains(at)) {
                    block.arguments[place][lane] = scratch.arguments[place][lane];
                }
                block.ended[lane] = Ended::Lost;
                steps[lane] = Step { reward: f64::NEG_INFINITY, terminated: true, truncated: false, failed: true };
                continue;
            }
            block.k[lane] += 1;
            steps[lane] = self.judge(block, scratch, lane);
        }
        self.observe(block, scratch, observations);
        for lane in 0..ROW {
            let is_idle = lane >= n || block.is_waiting[lane];
            if is_idle {
                for (row, old) in block.arguments.iter_mut().zip(&scratch.arguments) {
                    row[lane] = old[lane];
                }
            } else {
                block.is_waiting[lane] = steps[lane].terminated || steps[lane].truncated;
            }
        }
    }

    /// Takes in the inputs, and what changing them costs.
    fn take(&self, block: &mut Block, scratch: &mut Scratch, actions: &[f64]) {
        let n_actions = self.task.acts.len();
        scratch.moves = [0.0; ROW];
        for (j, act) in self.task.acts.iter().enumerate() {
            let row = &mut block.arguments[self.places.input + act.input as usize];
            let mut moved = *row;
            for lane in 0..self.n {
                let value = actions[lane * n_actions + j].clamp(act.low, act.high);
                moved[lane] = value - moved[lane];
                row[lane] = value;
            }
            for priced in self.task.moves.iter().filter(|priced| priced.act as usize == j) {
                for lane in 0..ROW {
                    scratch.moves[lane] += priced.weight * (moved[lane] / priced.scale).powi(2);
                }
            }
        }
    }

    /// From the states in `block` to those a step later in the scratch; arguments of the dynamics are in place.
    fn advance(&self, block: &Block, scratch: &mut Scratch) {
        let Now { task, rows, places, width, .. } = *self;
        let Scratch { dynamics, x, slopes, .. } = scratch;
        let n_x = places.n_states;
        x.copy_from_slice(&block.arguments[..n_x]);
        let h = task.step / rows.n_substeps as f64;
        for substep in 0..rows.n_substeps {
            for stage in 0..if rows.is_rk4 { 4 } else { 1 } {
                let part = [0.0, 0.5, 0.5, 1.0][stage];
                if part > 0.0 || substep > 0 {
                    let offset = substep as f64 * h + part * h;
                    for lane in 0..ROW {
                        dynamics[places.time][lane] = block.arguments[places.time][lane] + offset;
                    }
                }
                rows.dynamics.evaluate(dynamics, width);
                let stage = rows.is_rk4.then_some(stage);
                let outputs = rows.dynamics.outputs();
                match width {
                    Width::All => wide(Advance::<ROW> { stage, h, outputs, block: dynamics, x, slopes }),
                    Width::Few => wide(Advance::<FEW> { stage, h, outputs, block: dynamics, x, slopes }),
                }
            }
        }
    }

    /// True where some copy has a state that is not finite.
    fn lost(&self, block: &Block) -> bool {
        let mut sum = [0.0; ROW];
        for row in &block.arguments[..self.places.n_states] {
            for lane in 0..ROW {
                // Zero, but not-a-number for what is not finite.
                sum[lane] += 0.0 * row[lane];
            }
        }
        sum.iter().any(|sum| sum.is_nan())
    }

    /// Reward and endings of a lane.
    fn judge(&self, block: &mut Block, scratch: &Scratch, lane: usize) -> Step {
        let Now { task, rows, .. } = *self;
        let judged = rows.judged.outputs();
        let value = |at: usize| scratch.judged[judged[at]][lane];
        let (n_fails, n_ends) = (task.fails.len(), task.fails.len() + task.dones.len());
        let mut reward = match task.reward {
            Some(_) => value(n_ends),
            None => {
                let cost = rows.before.outputs().last().map_or(0.0, |&at| scratch.before[at][lane]);
                -(cost + scratch.moves[lane])
            }
        };
        let failed = (0..n_fails).find(|&fail| {
            let margin = value(fail);
            margin >= 0.0 || margin.is_nan()
        });
        if let Some(fail) = failed {
            reward -= task.fails[fail].penalty;
        }
        let terminated = failed.is_some() || (n_fails..n_ends).any(|done| value(done) >= 0.0);
        let truncated = !terminated && block.k[lane] >= task.n_steps as u64;
        block.ended[lane] = match failed {
            Some(fail) => Ended::Failed(fail as u32),
            None if terminated || truncated => Ended::Well,
            None => Ended::No,
        };
        Step { reward, terminated, truncated, failed: failed.is_some() }
    }

    fn observe(&self, block: &Block, scratch: &mut Scratch, observations: &mut [f64]) {
        let Now { rows, n, width, .. } = *self;
        evaluate(&*rows.seen, &mut scratch.seen, &block.arguments, width);
        let n_observed = rows.seen.outputs().len();
        for (j, &at) in rows.seen.outputs().iter().enumerate() {
            let row = &scratch.seen[at];
            for lane in 0..n {
                if !block.is_waiting[lane] {
                    observations[lane * n_observed + j] = row[lane];
                }
            }
        }
    }
}
