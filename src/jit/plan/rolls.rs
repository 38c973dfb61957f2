//! Finds loops: units of one shape, computed by one body.
//!
//! [`super::cuts`] cuts the graph into trees; a tree with its place (a slot, or an output) is a unit. Units of one
//! level and one shape make a group, [`super::template`] reads from each what it puts into the holes of the common
//! body. Where the entries of all holes advance by equal strides, a run of units becomes a loop without tables;
//! what is left of a large group becomes one with tables of indices. Networks without order are cut once more, finer,
//! where the first cut left outputs to straight-line code.
//!
//! Invariant: a loop of level n reads slots that levels below n have filled, by loops or by [`Rolls::kept`].

use super::cuts::{Cuts, Grain, NO_SLOT};
use super::runs::Rows;
use super::schedule::slice_function;
use super::template::{Body, HoleKind, Slots, Top, Walk};
use super::{Op, Operand, Path, PlanOptions, Source, Stream, StreamId, Target};
use crate::expr::{BinaryOp, Dag, Leaf, NodeId, UnaryOp};
use crate::jit::math::SliceFunction;

/// A loop needs this many times the iterations if it takes tables of indices.
const TABLE_FACTOR: usize = 4;
/// And this many times where it only copies numbers, of which straight-line code stores two at once.
const NUMBER_FACTOR: usize = 8;
/// Instructions of straight-line code that a loop with tables must replace. Below, straight-line code runs up to twice
/// as fast and compiles in a few milliseconds; beyond, it costs compile time and leaves the instruction cache.
const TABLE_PAYS: usize = 1_500;

/// A loop with a body of its own numbering.
pub(super) struct Rolled {
    pub(super) level: u32,
    pub(super) count: u32,
    pub(super) ops: Vec<Op>,
    pub(super) operand: Operand,
    pub(super) target: Target,
    /// Runs over the slots that the loop has written.
    pub(super) function: Option<SliceFunction>,
    pub(super) is_paired: bool,
}

/// All loops of a plan, and what straight-line code has to do with them.
pub(super) struct Rolls {
    /// By level.
    pub(super) loops: Vec<Rolled>,
    /// `(level, node, slot)` of values that straight-line code leaves in slots, by level.
    pub(super) kept: Vec<(u32, NodeId, u32)>,
    pub(super) streams: Vec<Stream>,
    pub(super) indices: Vec<u32>,
    pub(super) numbers: Vec<f64>,
    pub(super) n_slots: u32,
    /// Of each node that a loop computes.
    pub(super) slots: Vec<u32>,
    /// Of each node.
    pub(super) levels: Vec<u32>,
    /// Outputs that no loop writes.
    pub(super) outputs: Vec<(u32, NodeId)>,
}

impl Rolls {
    /// A plan without loops.
    pub(super) fn none(first: &[NodeId], second: &[NodeId]) -> Rolls {
        Rolls {
            loops: Vec::new(),
            kept: Vec::new(),
            streams: Vec::new(),
            indices: Vec::new(),
            numbers: Vec::new(),
            n_slots: 0,
            slots: Vec::new(),
            levels: Vec::new(),
            outputs: (0..).zip(first.iter().chain(second).copied()).collect(),
        }
    }
}

/// A root or an output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    level: u32,
    shape: u64,
    /// An output's index, or a root's id.
    number: u32,
    node: NodeId,
    is_output: bool,
}

/// Finds the loops of a plan; `None` where there is none.
pub(super) fn find(dag: &Dag, first: &[NodeId], second: &[NodeId], options: &PlanOptions) -> Option<Rolls> {
    let n = first.iter().chain(second).map(|id| id.0 as usize + 1).max()?;
    let shortest = options.shortest_loop.max(2);
    if n < 4 * shortest {
        return None;
    }
    let mut finder = Finder {
        cuts: Cuts::new(dag, n, !options.strict_math),
        walk: Walk::default(),
        slots: Slots { next: 0, kept: Vec::new() },
        shortest,
        // Proportional, so that tests with short loops see tables too.
        table_pays: TABLE_PAYS * shortest / PlanOptions::default().shortest_loop,
        n_first: first.len() as u32,
        loops: Vec::new(),
        looped: vec![NO_SLOT; n],
        streams: Vec::new(),
        indices: Vec::new(),
        numbers: Vec::new(),
        is_strict: options.strict_math,
    };
    let outputs: Vec<(u32, NodeId)> = (0..).zip(first.iter().chain(second).copied()).collect();
    let outputs = finder.round(outputs, Grain::Trees);
    let outputs = if outputs.len() < shortest * TABLE_FACTOR { outputs } else { finder.round(outputs, Grain::Terms) };
    if finder.loops.is_empty() {
        return None;
    }
    let Finder { cuts, mut loops, slots, looped, streams, indices, numbers, .. } = finder;
    loops.sort_by_key(|l| l.level);
    let mut kept: Vec<(u32, NodeId, u32)> =
        slots.kept.iter().map(|&id| (cuts.level(id), id, cuts.slot[id.0 as usize])).collect();
    kept.sort_unstable();
    let levels = (0..n).map(|idx| cuts.level(NodeId(idx as u32))).collect();
    Some(Rolls { loops, kept, streams, indices, numbers, n_slots: slots.next, slots: looped, levels, outputs })
}

struct Finder<'a> {
    cuts: Cuts<'a>,
    walk: Walk,
    slots: Slots,
    shortest: usize,
    table_pays: usize,
    n_first: u32,
    is_strict: bool,
    loops: Vec<Rolled>,
    looped: Vec<u32>,
    streams: Vec<Stream>,
    indices: Vec<u32>,
    numbers: Vec<f64>,
}

impl Finder<'_> {
    /// Makes loops for what these outputs need and returns those that are left.
    fn round(&mut self, outputs: Vec<(u32, NodeId)>, grain: Grain) -> Vec<(u32, NodeId)> {
        self.cuts.cut(&outputs, grain);
        let cuts = &self.cuts;
        let mut units: Vec<Unit> = Vec::with_capacity(outputs.len());
        for node in cuts.roots() {
            let slice = if cuts.is_slice(node) { slice_function(cuts.dag.node(node)) } else { None };
            let shape = cuts.shape(node).wrapping_add(slice.map_or(0, |f| f as u64 + 1));
            units.push(Unit { level: cuts.level(node), shape, number: node.0, node, is_output: false });
        }
        for &(output, node) in &outputs {
            // Nothing reads outputs, so all of one slice are of one level, behind all roots.
            let level = if output < self.n_first { u32::MAX - 1 } else { u32::MAX };
            units.push(Unit { level, shape: cuts.operand_shape(node), number: output, node, is_output: true });
        }
        units.sort_unstable();
        let mut left = Vec::new();
        for group in units.chunk_by(|a, b| (a.level, a.shape) == (b.level, b.shape)) {
            let mut others = group.to_vec();
            // Trees of one shape may share values differently; each sharing gets its own body, up to a few.
            for _ in 0..4 {
                if others.len() < self.shortest {
                    break;
                }
                let before = others.len();
                others = self.roll(&others, &mut left);
                if others.len() == before {
                    break;
                }
            }
            left.extend(others.iter().filter(|unit| unit.is_output).map(|unit| (unit.number, unit.node)));
        }
        left.sort_unstable();
        left
    }

    /// Makes loops for units of one shape. Returns the units that do not fit the first one's body; outputs that fit
    /// but are too few for a loop go to `left`.
    fn roll(&mut self, units: &[Unit], left: &mut Vec<(u32, NodeId)>) -> Vec<Unit> {
        let Some(&first) = units.first() else { return Vec::new() };
        let function = self.function(&first);
        let (cuts, slots, walk) = (&mut self.cuts, &mut self.slots, &mut self.walk);
        let first_top = top(cuts, &first, function);
        let n_kept = slots.kept.len();
        let Some(body) = Body::new(cuts, slots, walk, first_top) else { return units.to_vec() };
        let mut rows = Rows { width: body.kinds().len() + usize::from(first.is_output), entries: Vec::new() };
        let mut members: Vec<Unit> = Vec::with_capacity(units.len());
        let mut others = Vec::new();
        for unit in units {
            let top = top(cuts, unit, function);
            let is_alike = self.is_strict || unit.is_output || slice_function(cuts.dag.node(unit.node)) == function;
            if is_alike && body.read(cuts, slots, walk, top, &mut rows.entries) {
                members.push(*unit);
                if unit.is_output {
                    rows.entries.push(u64::from(unit.number));
                }
            } else {
                others.push(*unit);
            }
        }
        let mut kinds = body.kinds().to_vec();
        if first.is_output {
            kinds.push(HoleKind::Output);
        }
        let shortest = self.shortest * if body.is_number() { NUMBER_FACTOR } else { 1 };
        let (runs, rest) = rows.runs(&kinds, shortest);
        let rest_rolls =
            rest.len() >= self.shortest * TABLE_FACTOR && rest.len() * body.n_instructions() >= self.table_pays;
        let is_alone = runs.is_empty() && !rest_rolls;
        if is_alone {
            // Nothing reads the slots that reading the trees has asked for.
            for id in self.slots.kept.drain(n_kept..) {
                self.cuts.slot[id.0 as usize] = NO_SLOT;
                self.slots.next -= 1;
            }
        }
        if !first.is_output && !is_alone {
            // Consecutive slots for what runs in one loop.
            for (position, &member) in runs.iter().flatten().chain(&rest).enumerate() {
                let idx = members[member].node.0 as usize;
                let slot = self.slots.next + position as u32;
                self.cuts.slot[idx] = slot;
            }
        }
        let mut lists = runs;
        if rest_rolls {
            lists.push(rest.clone());
        }
        let mut slot = self.slots.next;
        for list in &lists {
            let target = if first.is_output {
                Target::Output(self.path(&rows, list, kinds.len() - 1))
            } else {
                for &member in list {
                    let idx = members[member].node.0 as usize;
                    self.looped[idx] = self.cuts.slot[idx];
                }
                Target::Slot(slot)
            };
            slot += list.len() as u32;
            let holes: Vec<Operand> =
                (0..body.kinds().len()).map(|hole| self.operand(kinds[hole], &rows, list, hole)).collect();
            self.add_loop(&body, &holes, target, (first.level, list.len() as u32, function));
        }
        if !first.is_output && !is_alone {
            self.slots.next += members.len() as u32;
        }
        if !rest_rolls {
            for &member in &rest {
                let unit = members[member];
                if unit.is_output {
                    left.push((unit.number, unit.node));
                } else if !is_alone {
                    self.slots.kept.push(unit.node);
                }
            }
        }
        others
    }

    fn add_loop(
        &mut self,
        body: &Body,
        holes: &[Operand],
        target: Target,
        (level, count, function): (u32, u32, Option<SliceFunction>),
    ) {
        let (ops, operand) = body.fill(holes);
        let is_paired = ops.iter().all(is_pairable) && self.pairing_pays(&ops, holes, target);
        self.loops.push(Rolled { level, count, ops, operand, target, function, is_paired });
    }

    /// True where computing two iterations at once saves more operations than bringing their operands together costs:
    /// elements that do not lie side by side are loaded one by one.
    fn pairing_pays(&self, ops: &[Op], holes: &[Operand], target: Target) -> bool {
        let is_apart = |path: Path| !matches!(path, Path::Strided { stride: 1, .. });
        let apart = |hole: &&Operand| match hole {
            Operand::Each(stream) => is_apart(self.streams[stream.0 as usize].path),
            Operand::Const(_) | Operand::Leaf(_) | Operand::Slot(_) | Operand::Value(_) => false,
        };
        let is_scattered = match target {
            Target::Output(path) => is_apart(path),
            Target::Slot(_) => false,
        };
        let n_moves = holes.iter().filter(apart).count() + usize::from(is_scattered);
        let n_saved: usize = ops.iter().map(op_weight).sum();
        n_saved > n_moves || n_moves == 0
    }

    /// The slice routine that follows the unit's loop.
    fn function(&self, unit: &Unit) -> Option<SliceFunction> {
        if self.is_strict || unit.is_output { None } else { slice_function(self.cuts.dag.node(unit.node)) }
    }

    /// What iterations read for one hole.
    fn operand(&mut self, kind: HoleKind, rows: &Rows, list: &[usize], hole: usize) -> Operand {
        let first = rows.entry(list[0], hole);
        let is_uniform = list.iter().all(|&row| rows.entry(row, hole) == first);
        let index = first as u32;
        let source = match kind {
            HoleKind::Number if is_uniform => return Operand::Const(f64::from_bits(first)),
            HoleKind::Number => {
                let base = self.numbers.len() as u32;
                self.numbers.extend(list.iter().map(|&row| f64::from_bits(rows.entry(row, hole))));
                return self.stream(Stream { source: Source::Number, path: Path::Strided { base, stride: 1 } });
            }
            HoleKind::State if is_uniform => return Operand::Leaf(Leaf::State(index)),
            HoleKind::Param if is_uniform => return Operand::Leaf(Leaf::Param(index)),
            HoleKind::Input if is_uniform => return Operand::Leaf(Leaf::Input(index)),
            HoleKind::Disturbance if is_uniform => return Operand::Leaf(Leaf::Disturbance(index)),
            HoleKind::Direction if is_uniform => return Operand::Leaf(Leaf::Direction(index)),
            HoleKind::Slot | HoleKind::Output if is_uniform => return Operand::Slot(index),
            HoleKind::State => Source::State,
            HoleKind::Param => Source::Param,
            HoleKind::Input => Source::Input,
            HoleKind::Disturbance => Source::Disturbance,
            HoleKind::Direction => Source::Direction,
            HoleKind::Slot | HoleKind::Output => Source::Slot,
        };
        let path = self.path(rows, list, hole);
        self.stream(Stream { source, path })
    }

    fn stream(&mut self, stream: Stream) -> Operand {
        self.streams.push(stream);
        Operand::Each(StreamId(self.streams.len() as u32 - 1))
    }

    /// Where the entries of one hole lie, from one iteration to the next.
    fn path(&mut self, rows: &Rows, list: &[usize], hole: usize) -> Path {
        let at = |k: usize| rows.entry(list[k], hole) as i64;
        let stride = at(1) - at(0);
        if (1..list.len()).all(|k| at(k) - at(k - 1) == stride)
            && let Ok(stride) = i32::try_from(stride)
        {
            return Path::Strided { base: at(0) as u32, stride };
        }
        let offset = self.indices.len() as u32;
        self.indices.extend(list.iter().map(|&row| rows.entry(row, hole) as u32));
        Path::Indexed { offset }
    }
}

/// What the unit's loop computes: the argument where a slice routine follows.
fn top(cuts: &Cuts<'_>, unit: &Unit, function: Option<SliceFunction>) -> Top {
    match (unit.is_output, function) {
        (true, _) => Top::Read(unit.node),
        (false, None) => Top::Computed(unit.node),
        (false, Some(_)) => {
            let mut argument = unit.node;
            cuts.dag.for_each_operand(unit.node, |operand| argument = operand);
            Top::Read(argument)
        }
    }
}

/// True where two iterations can be computed at once.
fn is_pairable(op: &Op) -> bool {
    match op {
        Op::Unary(op, _) => match op {
            UnaryOp::Sqrt | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Not => true,
            UnaryOp::Exp
            | UnaryOp::Ln
            | UnaryOp::Log10
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Asin
            | UnaryOp::Acos
            | UnaryOp::Atan
            | UnaryOp::Sinh
            | UnaryOp::Cosh
            | UnaryOp::Tanh
            | UnaryOp::Floor
            | UnaryOp::Ceil => false,
        },
        Op::Binary(op, ..) => match op {
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Min | BinaryOp::Max | BinaryOp::And | BinaryOp::Or => true,
            BinaryOp::Pow | BinaryOp::Mod | BinaryOp::Atan2 => false,
        },
        Op::PowI(..) | Op::Sum { .. } | Op::Compare(..) | Op::Select { .. } => true,
        Op::Grouped { .. } => false,
    }
}

/// Operations in those of an addition.
fn op_weight(op: &Op) -> usize {
    match op {
        Op::Unary(UnaryOp::Sqrt, _) | Op::Binary(BinaryOp::Div, ..) => 4,
        Op::Unary(..) | Op::Binary(..) | Op::Compare(..) | Op::PowI(..) => 1,
        Op::Select { .. } => 2,
        Op::Sum { terms, .. } => terms.iter().map(|t| 1 + usize::from(t.coefficient.abs() != 1.0)).sum::<usize>() - 1,
        Op::Grouped { .. } => 0,
    }
}
