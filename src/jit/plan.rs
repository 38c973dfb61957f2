//! From expressions to a schedule: which value is computed when, in which function, and where it waits.
//!
//! [`Plan::new`] renumbers what the outputs need into [`Op`]s in the order of execution and cuts that order into
//! chunks, each of which becomes one machine-code function (one huge function would take the register allocator
//! seconds; see `docs/performance.md`). A value that a later chunk reads waits in a scratch slot. Elementary functions
//! of one level of the graph are grouped: their arguments are written to neighbouring slots, one slice routine
//! replaces them by the results.
//!
//! Families are unrolled long before; `rolls` finds their loops again: many equations of one shape whose operands lie
//! at equal strides, or in a table of indices, become one [`Loop`], whose body stands among the operations once.
//!
//! Invariant: an operand's value was computed by an earlier step, and sums keep the order of their terms. The plan
//! needs no graph any more: [`super::emit`] and the snapshot text (`Display`) read only it.

mod cheaper;
mod cuts;
mod place;
mod rolls;
mod runs;
mod schedule;
mod template;
mod text;

use std::ops::Range;

use super::math::{Routine, SliceFunction};
use crate::expr::{BinaryOp, Compare, Dag, Leaf, NodeId, UnaryOp};

/// How a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// Every elementary function is called by itself, from the same library as the interpreter's, so that results
    /// are the interpreter's bit for bit. Default: false, slice routines where four or more can be grouped.
    pub strict_math: bool,
    /// Instructions after which a chunk ends. Default: 500, chosen by benchmark (see `benches/kernels.rs`).
    pub chunk_size: usize,
    /// Equations of one shape at equal strides from which on they become a loop; four times as many where they need
    /// a table of indices. Default: 12, chosen by benchmark (see `benches/kernels.rs`).
    pub shortest_loop: usize,
    /// Points computed at once, an even number, or 1: every argument and every output is then interleaved, element k
    /// of point i standing at `k · lanes + i`. Plans for several points have no loops and read no time. Default: 1.
    pub lanes: usize,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions { strict_math: false, chunk_size: 500, shortest_loop: 12, lanes: 1 }
    }
}

/// Number of a computed value, ascending in the order of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// What an operation reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operand {
    /// A number.
    Const(f64),
    /// An element of an argument.
    Leaf(Leaf),
    /// An earlier value.
    Value(ValueId),
    /// A scratch slot that a loop or a [`Step::Keep`] has filled.
    Slot(u32),
    /// Inside a loop: this iteration's element of a stream.
    Each(StreamId),
}

/// Number of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Where a stream's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// x
    State,
    /// p
    Param,
    /// u
    Input,
    /// d
    Disturbance,
    /// The direction in x.
    Direction,
    /// Scratch.
    Slot,
    /// The plan's table of numbers.
    Number,
}

/// Which element iteration i of a loop reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// Element `base + stride · i`.
    Strided { base: u32, stride: i32 },
    /// The element whose index is entry `offset + i` of the plan's table of indices.
    Indexed { offset: u32 },
}

/// What an operand of a loop reads, one element an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Where.
    pub source: Source,
    /// Which element.
    pub path: Path,
}

/// Where a loop writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The outputs.
    Output(Path),
    /// Scratch, from this slot on.
    Slot(u32),
}

/// Equations of one shape. Iterations are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loop {
    /// Iterations.
    pub count: u32,
    /// First value of the body; the values up to `end` are computed in ascending order.
    pub begin: u32,
    /// End of the body's values.
    pub end: u32,
    /// What is written ...
    pub operand: Operand,
    /// ... and where.
    pub target: Target,
    /// True where two iterations are computed at once.
    pub is_paired: bool,
}

/// `coefficient · operand`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanTerm {
    /// The factor.
    pub coefficient: f64,
    /// What it multiplies.
    pub operand: Operand,
}

/// How a value is computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A function of one argument.
    Unary(UnaryOp, Operand),
    /// A function of two arguments.
    Binary(BinaryOp, Operand, Operand),
    /// Products in the order of [`crate::expr::ops::powi`].
    PowI(Operand, i32),
    /// A sum of `terms`, added from left to right to `start` if there is one (a long sum goes on from its beginning).
    Sum { start: Option<Operand>, terms: Box<[PlanTerm]> },
    /// A truth value.
    Compare(Compare, Operand, Operand),
    /// Both sides are computed.
    Select { condition: Operand, then: Operand, otherwise: Operand },
    /// Element `member` of a group, left in its slot by the slice routine.
    Grouped { group: u32, member: u32 },
}

impl Op {
    /// Calls `visit` with each operand.
    pub fn for_each_operand(&self, visit: &mut impl FnMut(&Operand)) {
        match self {
            Op::Unary(_, a) | Op::PowI(a, _) => visit(a),
            Op::Binary(_, a, b) | Op::Compare(_, a, b) => {
                visit(a);
                visit(b);
            }
            Op::Sum { start, terms } => {
                start.iter().for_each(&mut *visit);
                terms.iter().for_each(|t| visit(&t.operand));
            }
            Op::Select { condition, then, otherwise } => {
                visit(condition);
                visit(then);
                visit(otherwise);
            }
            Op::Grouped { .. } => {}
        }
    }
}

/// One step of the schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Computes a value.
    Compute(ValueId),
    /// Writes an argument of a group to its slot, that of the second argument behind those of all first ones.
    Argument { group: u32, member: u32, operand: Operand },
    /// Runs a group's slice routine.
    Call { group: u32 },
    /// Writes an output.
    Output { output: u32, operand: Operand },
    /// Writes a value to a slot of its own, for loops to read.
    Keep { slot: u32, operand: Operand },
    /// Runs a loop.
    Loop { index: u32 },
    /// Replaces the arguments that a loop left in slots by a function's values.
    Apply { function: SliceFunction, slot: u32, len: u32 },
}

/// Equal elementary functions of one level of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Which function.
    pub routine: Routine,
    /// How many other groups lie one after another below it.
    pub level: u32,
    /// Number of members.
    pub len: u32,
    /// Scratch slot of the first member; the others follow, and behind them their second arguments if there are any.
    pub slot: u32,
    /// Value of the first member; the others follow.
    pub first_value: u32,
}

/// One function of machine code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Range of [`Plan::steps`].
    pub steps: Range<usize>,
    /// The values it computes.
    pub values: Range<u32>,
    /// Estimated instructions.
    pub n_instructions: usize,
}

/// Operations of a plan by kind, elementary functions one by one; what `inspect` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpCounts {
    /// `(name, count)` in a fixed order, kinds that do not occur left out.
    pub list: Vec<(&'static str, usize)>,
}

impl OpCounts {
    /// How many of one kind: `add`, `mul`, `div`, `compare`, `select`, `min`, `exp`, ...
    pub fn get(&self, name: &str) -> usize {
        self.list.iter().find(|(n, _)| *n == name).map_or(0, |(_, count)| *count)
    }

    /// The counts of several plans together.
    pub fn sum(counts: impl Iterator<Item = OpCounts>) -> OpCounts {
        text::sum_counts(counts)
    }

    /// All together.
    pub fn total(&self) -> usize {
        self.list.iter().map(|(_, count)| count).sum()
    }
}

/// How many elements of each argument a plan reads: the largest index plus one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Of x.
    pub n_states: usize,
    /// Of p.
    pub n_params: usize,
    /// Of u.
    pub n_inputs: usize,
    /// Of d.
    pub n_disturbances: usize,
    /// Of the direction in x.
    pub n_directions: usize,
    /// True where t itself is read.
    pub time: bool,
    /// True where the direction in t is read.
    pub time_direction: bool,
}

impl Reads {
    /// Takes a leaf into account.
    fn note(&mut self, leaf: Leaf) {
        let (count, index) = match leaf {
            Leaf::Time => {
                self.time = true;
                return;
            }
            Leaf::DirectionTime => {
                self.time_direction = true;
                return;
            }
            Leaf::State(k) => (&mut self.n_states, k),
            Leaf::Param(k) => (&mut self.n_params, k),
            Leaf::Input(k) => (&mut self.n_inputs, k),
            Leaf::Disturbance(k) => (&mut self.n_disturbances, k),
            Leaf::Direction(k) => (&mut self.n_directions, k),
        };
        *count = (*count).max(index as usize + 1);
    }
}

/// A schedule, ready to be turned into machine code.
///
/// Invariant: only `schedule` makes one, so that slots, outputs and reads lie within the counts that it states; the
/// calls of kernels rely on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// By [`ValueId`].
    pub(in crate::jit) ops: Vec<Op>,
    /// In the order of execution.
    pub(in crate::jit) steps: Vec<Step>,
    /// Slice calls.
    pub(in crate::jit) groups: Vec<Group>,
    /// Loops.
    pub(in crate::jit) loops: Vec<Loop>,
    /// By [`StreamId`].
    pub(in crate::jit) streams: Vec<Stream>,
    /// Indices of streams and targets.
    pub(in crate::jit) indices: Vec<u32>,
    /// Numbers of streams.
    pub(in crate::jit) numbers: Vec<f64>,
    /// Consecutive, covering all steps; at least one.
    pub(in crate::jit) chunks: Vec<Chunk>,
    /// The slot of a value that a later chunk reads, or of a group's member.
    pub(in crate::jit) slots: Vec<Option<u32>>,
    /// Scratch slots needed.
    pub(in crate::jit) n_slots: usize,
    /// Outputs in all.
    pub(in crate::jit) n_outputs: usize,
    /// Outputs from this index on go to the second output slice.
    pub(in crate::jit) n_first: usize,
    /// What is read of each argument.
    pub(in crate::jit) reads: Reads,
    /// See [`PlanOptions::strict_math`].
    pub(in crate::jit) strict_math: bool,
    /// See [`PlanOptions::lanes`].
    pub(in crate::jit) lanes: usize,
}

impl Plan {
    /// What is computed, by [`ValueId`].
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The order of execution.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Slice calls.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Loops.
    pub fn loops(&self) -> &[Loop] {
        &self.loops
    }

    /// Consecutive functions, covering all steps; at least one.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Scratch slots needed.
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// True for one chunk that reads x and p only, writes one slice and needs no scratch: its call can be short.
    pub(in crate::jit) fn is_plain(&self) -> bool {
        let Reads { n_states: _, n_params: _, n_inputs, n_disturbances, n_directions, time, time_direction } =
            self.reads;
        let reads_more = n_inputs + n_disturbances + n_directions > 0 || time || time_direction;
        self.lanes == 1 && self.chunks.len() == 1 && self.n_slots == 0 && self.n_first == self.n_outputs && !reads_more
    }

    /// Elements of the longest slice that is read or written.
    pub(in crate::jit) fn longest_slice(&self) -> usize {
        let Reads { n_states, n_params, n_inputs, n_disturbances, n_directions, time: _, time_direction: _ } =
            self.reads;
        let all = [
            n_states,
            n_params,
            n_inputs,
            n_disturbances,
            n_directions,
            self.n_outputs,
            self.n_slots,
            self.indices.len(),
            self.numbers.len(),
        ];
        all.into_iter().max().unwrap_or(0).saturating_mul(self.lanes)
    }

    /// Plans the computation of `outputs`, written in this order to one slice. Linear in the size of what they need.
    pub fn new(dag: &Dag, outputs: &[NodeId], options: &PlanOptions) -> Plan {
        Plan::new_split(dag, outputs, &[], options)
    }

    /// Plans the computation of `first` and `second`, written to two slices and sharing what they have in common.
    pub fn new_split(dag: &Dag, first: &[NodeId], second: &[NodeId], options: &PlanOptions) -> Plan {
        schedule::schedule(dag, first, second, options)
    }

    /// True for a value that is a truth value inside its chunk.
    pub fn is_truth(&self, value: ValueId) -> bool {
        match &self.ops[value.0 as usize] {
            Op::Compare(..) | Op::Unary(UnaryOp::Not, _) | Op::Binary(BinaryOp::And | BinaryOp::Or, ..) => true,
            Op::Unary(..) | Op::Binary(..) | Op::PowI(..) | Op::Sum { .. } | Op::Select { .. } | Op::Grouped { .. } => {
                false
            }
        }
    }

    /// Calls `visit` with everything a step reads.
    pub fn for_each_operand(&self, step: &Step, mut visit: impl FnMut(&Operand)) {
        match step {
            Step::Argument { operand, .. } | Step::Output { operand, .. } | Step::Keep { operand, .. } => {
                visit(operand);
            }
            Step::Call { .. } | Step::Apply { .. } => {}
            Step::Compute(value) => self.ops[value.0 as usize].for_each_operand(&mut visit),
            Step::Loop { index } => {
                let Loop { begin, end, operand, .. } = self.loops[*index as usize];
                self.ops[begin as usize..end as usize].iter().for_each(|op| op.for_each_operand(&mut visit));
                visit(&operand);
            }
        }
    }

    /// Counts the operations.
    pub fn op_counts(&self) -> OpCounts {
        text::op_counts(self)
    }
}
