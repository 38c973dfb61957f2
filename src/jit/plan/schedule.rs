//! The scheduler: the order of steps. Every pass is linear in the nodes that the outputs need.
//!
//! The order is by demand: an output's operands are computed right before it, unless they are there already. Groups
//! of elementary functions and loops come first, level by level. A sum is taken in parts of a few terms, each part's operands
//! right before it, so that few values live at once and a sum of thousands of terms spreads over many chunks.

use super::cheaper::cheaper;
use super::cuts::NO_SLOT;
use super::place;
use super::rolls::{self, Rolled, Rolls};
use super::{
    Group, Loop, Op, Operand, Path, Plan, PlanOptions, PlanTerm, Reads, Source, Step, Stream, Target, ValueId,
};
use crate::expr::{BinaryOp, Dag, Leaf, Node, NodeId, UnaryOp};
use crate::jit::math::{Routine, SliceFunction};

/// Terms of a sum that are added in one step; chosen by benchmark.
const TERMS_PER_PART: usize = 8;
/// Smaller groups are called one by one: a slice routine of four costs as much as three to four calls by value, which
/// need no scratch (benches/kernels.rs).
const SMALLEST_GROUP: usize = 4;
/// The same for powers, whose routine takes four at once and the others one by one: four in a slice cost 1.08 times as
/// much as four calls of the library, six 0.84 times.
const SMALLEST_POWER_GROUP: usize = 6;

pub(super) fn schedule(dag: &Dag, first: &[NodeId], second: &[NodeId], options: &PlanOptions) -> Plan {
    match if options.strict_math { None } else { cheaper(dag, first, second) } {
        Some((dag, first, second)) => schedule_as_is(&dag, &first, &second, options),
        None => schedule_as_is(dag, first, second, options),
    }
}

fn schedule_as_is(dag: &Dag, first: &[NodeId], second: &[NodeId], options: &PlanOptions) -> Plan {
    let found = if options.lanes == 1 { rolls::find(dag, first, second, options) } else { None };
    let rolls = found.unwrap_or_else(|| Rolls::none(first, second));
    let mut scheduler = Scheduler::new(dag, &rolls, options);
    scheduler.run(&rolls);
    let Scheduler { ops, steps, groups, loops, reads, .. } = scheduler;
    let mut plan = Plan {
        slots: vec![None; ops.len()],
        ops,
        steps,
        groups,
        loops,
        streams: rolls.streams,
        indices: rolls.indices,
        numbers: rolls.numbers,
        chunks: Vec::new(),
        n_slots: rolls.n_slots as usize,
        n_outputs: first.len() + second.len(),
        n_first: first.len(),
        reads,
        strict_math: options.strict_math,
        lanes: options.lanes,
    };
    place::cut(&mut plan, options.chunk_size);
    place::place(&mut plan);
    plan
}

/// What is left to do; the last entry is next.
enum Task {
    /// Make the node's value available.
    Demand(NodeId),
    /// All operands are available: compute it.
    Finish(NodeId),
    /// Add the terms from this index on to the sum's part so far.
    Part { node: NodeId, from: usize, so_far: Option<ValueId> },
    /// Write an argument of a group.
    Argument { group: u32, member: u32, argument: NodeId },
    /// Write an output.
    Output { output: u32, node: NodeId },
    /// Write a value to its slot.
    Keep { slot: u32, node: NodeId },
}

struct Scheduler<'a> {
    dag: &'a Dag,
    /// Value of each node, `NONE` where not yet computed.
    values: Vec<u32>,
    /// Slot of each node that a loop computes, and the loop's level; empty without loops.
    looped: &'a [u32],
    levels: &'a [u32],
    /// Loops below this level have run.
    level: u32,
    /// By level, then function: the nodes to group.
    members: Vec<(u32, Routine, Vec<NodeId>)>,
    ops: Vec<Op>,
    steps: Vec<Step>,
    groups: Vec<Group>,
    loops: Vec<Loop>,
    reads: Reads,
}

const NONE: u32 = u32::MAX;

impl<'a> Scheduler<'a> {
    fn new(dag: &'a Dag, rolls: &'a Rolls, options: &PlanOptions) -> Self {
        let roots = || rolls.outputs.iter().map(|&(_, id)| id).chain(rolls.kept.iter().map(|&(_, id, _)| id));
        let n = roots().map(|id| id.0 as usize + 1).max().unwrap_or(0);
        Scheduler {
            dag,
            values: vec![NONE; n],
            looped: &rolls.slots,
            levels: &rolls.levels,
            level: 0,
            members: if options.strict_math { Vec::new() } else { find_groups(dag, rolls, roots(), n) },
            ops: Vec::new(),
            steps: Vec::new(),
            groups: Vec::new(),
            loops: Vec::new(),
            reads: Reads::default(),
        }
    }

    fn run(&mut self, rolls: &Rolls) {
        let members = std::mem::take(&mut self.members);
        let (mut members, mut kept, mut loops) = (members.as_slice(), rolls.kept.as_slice(), rolls.loops.as_slice());
        loop {
            let levels = [members.first().map(|m| m.0), kept.first().map(|k| k.0), loops.first().map(|l| l.level)];
            let Some(level) = levels.into_iter().flatten().min() else { break };
            self.level = level;
            self.groups(level, split_while(&mut members, |m| m.0 == level));
            for &(_, node, slot) in split_while(&mut kept, |k| k.0 == level) {
                self.perform(Task::Keep { slot, node });
            }
            for rolled in split_while(&mut loops, |l| l.level == level) {
                self.roll(rolls, rolled);
            }
        }
        self.level = u32::MAX;
        for &(output, node) in &rolls.outputs {
            self.perform(Task::Output { output, node });
        }
    }

    /// All groups of one level: their arguments, then their calls.
    fn groups(&mut self, level: u32, members: &[(u32, Routine, Vec<NodeId>)]) {
        let first_group = self.groups.len() as u32;
        for (_, routine, nodes) in members {
            let group = self.groups.len() as u32;
            let len = nodes.len() as u32;
            self.groups.push(Group { routine: *routine, level, len, slot: 0, first_value: 0 });
            for (member, &node) in (0..len).zip(nodes) {
                match self.dag.node(node) {
                    Node::Unary(_, argument) => self.perform(Task::Argument { group, member, argument }),
                    Node::Binary(_, base, exponent) => {
                        self.perform(Task::Argument { group, member, argument: base });
                        self.perform(Task::Argument { group, member: len + member, argument: exponent });
                    }
                    // No routine computes these.
                    Node::Const(_)
                    | Node::Leaf(_)
                    | Node::PowI(..)
                    | Node::Sum(_)
                    | Node::Compare(..)
                    | Node::Select { .. } => {}
                }
            }
        }
        for (offset, (_, _, nodes)) in members.iter().enumerate() {
            let group = first_group + offset as u32;
            self.steps.push(Step::Call { group });
            self.groups[group as usize].first_value = self.ops.len() as u32;
            for (member, &node) in nodes.iter().enumerate() {
                self.values[node.0 as usize] = self.ops.len() as u32;
                self.ops.push(Op::Grouped { group, member: member as u32 });
            }
        }
    }

    /// One loop: its body gets the next values.
    fn roll(&mut self, rolls: &Rolls, rolled: &Rolled) {
        let begin = self.ops.len() as u32;
        let reads = &mut self.reads;
        let mut moved = |operand: &mut Operand| match operand {
            Operand::Value(value) => value.0 += begin,
            Operand::Leaf(leaf) => reads.note(*leaf),
            Operand::Each(stream) => {
                let Stream { source, path } = rolls.streams[stream.0 as usize];
                let last = last_element(path, rolled.count, &rolls.indices);
                match source {
                    Source::State => reads.note(Leaf::State(last)),
                    Source::Param => reads.note(Leaf::Param(last)),
                    Source::Input => reads.note(Leaf::Input(last)),
                    Source::Disturbance => reads.note(Leaf::Disturbance(last)),
                    Source::Direction => reads.note(Leaf::Direction(last)),
                    Source::Slot | Source::Number => {}
                }
            }
            Operand::Const(_) | Operand::Slot(_) => {}
        };
        let mut operand = rolled.operand;
        moved(&mut operand);
        for op in &rolled.ops {
            let mut op = op.clone();
            operands_of(&mut op, &mut moved);
            self.ops.push(op);
        }
        let Rolled { count, target, is_paired, .. } = *rolled;
        let end = self.ops.len() as u32;
        self.steps.push(Step::Loop { index: self.loops.len() as u32 });
        self.loops.push(Loop { count, begin, end, operand, target, is_paired });
        if let (Some(function), Target::Slot(slot)) = (rolled.function, target) {
            self.steps.push(Step::Apply { function, slot, len: count });
        }
    }

    /// Does a task and everything it needs, without recursion.
    fn perform(&mut self, task: Task) {
        let mut tasks = vec![task];
        if let Some(Task::Argument { argument: node, .. } | Task::Output { node, .. } | Task::Keep { node, .. }) =
            tasks.first()
        {
            let node = *node;
            tasks.push(Task::Demand(node));
        }
        while let Some(task) = tasks.pop() {
            match task {
                Task::Demand(node) => self.demand(node, &mut tasks),
                Task::Finish(node) => self.finish(node),
                Task::Part { node, from, so_far } => self.part(node, from, so_far, &mut tasks),
                Task::Argument { group, member, argument } => {
                    let operand = self.operand(argument);
                    self.steps.push(Step::Argument { group, member, operand });
                }
                Task::Output { output, node } => {
                    let operand = self.operand(node);
                    self.steps.push(Step::Output { output, operand });
                }
                Task::Keep { slot, node } => {
                    let operand = self.operand(node);
                    self.steps.push(Step::Keep { slot, operand });
                }
            }
        }
    }

    fn demand(&mut self, node: NodeId, tasks: &mut Vec<Task>) {
        if self.values[node.0 as usize] != NONE || self.loop_slot(node).is_some() {
            return;
        }
        match self.dag.node(node) {
            Node::Const(_) | Node::Leaf(_) => {}
            Node::Sum(sum) => {
                tasks.push(Task::Part { node, from: 0, so_far: None });
                let terms = self.dag.terms(sum);
                push_demands(terms[..terms.len().min(TERMS_PER_PART)].iter().map(|t| t.node), tasks);
            }
            Node::Unary(..) | Node::Binary(..) | Node::PowI(..) | Node::Compare(..) | Node::Select { .. } => {
                tasks.push(Task::Finish(node));
                let mut operands = [None; 3];
                let mut count = 0;
                self.dag.for_each_operand(node, |operand| {
                    operands[count] = Some(operand);
                    count += 1;
                });
                push_demands(operands.iter().flatten().copied(), tasks);
            }
        }
    }

    /// One part of a sum; its operands are there. Asks for the next part's operands if there is one.
    fn part(&mut self, node: NodeId, from: usize, so_far: Option<ValueId>, tasks: &mut Vec<Task>) {
        let Node::Sum(sum) = self.dag.node(node) else { return };
        let dag = self.dag;
        let all = dag.terms(sum);
        let to = all.len().min(from + TERMS_PER_PART);
        let mut terms = Vec::with_capacity(to - from);
        for t in &all[from..to] {
            terms.push(PlanTerm { coefficient: t.coefficient, operand: self.operand(t.node) });
        }
        let value = self.push(Op::Sum { start: so_far.map(Operand::Value), terms: terms.into_boxed_slice() });
        if to == all.len() {
            self.values[node.0 as usize] = value.0;
        } else {
            tasks.push(Task::Part { node, from: to, so_far: Some(value) });
            let next = all.len().min(to + TERMS_PER_PART);
            push_demands(all[to..next].iter().map(|t| t.node), tasks);
        }
    }

    fn finish(&mut self, node: NodeId) {
        let op = match self.dag.node(node) {
            Node::Unary(op, a) => Op::Unary(op, self.operand(a)),
            Node::Binary(op, a, b) => Op::Binary(op, self.operand(a), self.operand(b)),
            Node::PowI(a, n) => Op::PowI(self.operand(a), n),
            Node::Compare(op, a, b) => Op::Compare(op, self.operand(a), self.operand(b)),
            Node::Select { condition, then, otherwise } => Op::Select {
                condition: self.operand(condition),
                then: self.operand(then),
                otherwise: self.operand(otherwise),
            },
            Node::Const(_) | Node::Leaf(_) | Node::Sum(_) => return,
        };
        self.values[node.0 as usize] = self.push(op).0;
    }

    fn push(&mut self, op: Op) -> ValueId {
        let value = ValueId(self.ops.len() as u32);
        self.ops.push(op);
        self.steps.push(Step::Compute(value));
        value
    }

    fn operand(&mut self, node: NodeId) -> Operand {
        match self.dag.node(node) {
            Node::Const(bits) => Operand::Const(f64::from_bits(bits)),
            Node::Leaf(leaf) => {
                self.reads.note(leaf);
                Operand::Leaf(leaf)
            }
            Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..)
            | Node::Select { .. } => match self.loop_slot(node) {
                Some(slot) => Operand::Slot(slot),
                None => Operand::Value(ValueId(self.values[node.0 as usize])),
            },
        }
    }

    /// Where a loop has left the node's value. What a later loop computes, an earlier step may need too: it is
    /// computed twice then.
    fn loop_slot(&self, node: NodeId) -> Option<u32> {
        let idx = node.0 as usize;
        self.looped.get(idx).copied().filter(|&slot| slot != NO_SLOT && self.levels[idx] < self.level)
    }
}

/// The leading elements for which `is_first` holds, taken off the list.
fn split_while<'a, T>(list: &mut &'a [T], is_first: impl Fn(&T) -> bool) -> &'a [T] {
    let (mine, others) = list.split_at(list.iter().take_while(|item| is_first(item)).count());
    *list = others;
    mine
}

/// The largest index on a path.
fn last_element(path: Path, count: u32, indices: &[u32]) -> u32 {
    match path {
        Path::Strided { base, stride } => {
            let last = i64::from(base) + i64::from(stride) * i64::from(count.saturating_sub(1));
            i64::from(base).max(last) as u32
        }
        Path::Indexed { offset } => {
            let offset = offset as usize;
            indices[offset..offset + count as usize].iter().copied().max().unwrap_or(0)
        }
    }
}

/// Puts demands on the stack so that the first operand is computed first.
fn push_demands(operands: impl DoubleEndedIterator<Item = NodeId>, tasks: &mut Vec<Task>) {
    tasks.extend(operands.rev().map(Task::Demand));
}

pub(super) fn slice_function(node: Node) -> Option<SliceFunction> {
    match node {
        Node::Unary(UnaryOp::Exp, _) => Some(SliceFunction::Exp),
        Node::Unary(UnaryOp::Ln, _) => Some(SliceFunction::Ln),
        Node::Unary(UnaryOp::Tanh, _) => Some(SliceFunction::Tanh),
        Node::Unary(UnaryOp::Sin, _) => Some(SliceFunction::Sin),
        Node::Unary(UnaryOp::Cos, _) => Some(SliceFunction::Cos),
        Node::Unary(..)
        | Node::Const(_)
        | Node::Leaf(_)
        | Node::Binary(..)
        | Node::PowI(..)
        | Node::Sum(_)
        | Node::Compare(..)
        | Node::Select { .. } => None,
    }
}

/// The routine that computes a node together with others of its kind.
fn routine(node: Node, has_powers: bool) -> Option<Routine> {
    match node {
        Node::Binary(BinaryOp::Pow, ..) if has_powers => Some(Routine::Pow),
        Node::Unary(..)
        | Node::Const(_)
        | Node::Leaf(_)
        | Node::Binary(..)
        | Node::PowI(..)
        | Node::Sum(_)
        | Node::Compare(..)
        | Node::Select { .. } => slice_function(node).map(Routine::One),
    }
}

/// The groups in the order of execution: by level, then routine; members by ascending node. What loops compute is
/// left out; where there are loops, levels are theirs.
fn find_groups(
    dag: &Dag,
    rolls: &Rolls,
    roots: impl Iterator<Item = NodeId>,
    n: usize,
) -> Vec<(u32, Routine, Vec<NodeId>)> {
    let mut needed = vec![false; n];
    roots.for_each(|id| needed[id.0 as usize] = true);
    for idx in (0..n).rev() {
        needed[idx] = needed[idx] && rolls.slots.get(idx).is_none_or(|&slot| slot == NO_SLOT);
        if needed[idx] {
            dag.for_each_operand(NodeId(idx as u32), |operand| needed[operand.0 as usize] = true);
        }
    }
    // Beside loops there are no groups of powers: two loops would have to bring base and exponent, and the levels do not
    // count them. Too few for a group would only part the levels of the others.
    let is_power = |idx: &usize| matches!(dag.node(NodeId(*idx as u32)), Node::Binary(BinaryOp::Pow, ..));
    let n_powers = (0..n).filter(|&idx| needed[idx]).filter(is_power).count();
    let has_powers = rolls.loops.is_empty() && n_powers >= SMALLEST_POWER_GROUP;
    let mut levels = vec![0u32; n];
    let mut found: Vec<(u32, Routine, NodeId)> = Vec::new();
    for idx in (0..n).filter(|&idx| needed[idx]) {
        let id = NodeId(idx as u32);
        let mut level = 0;
        dag.for_each_operand(id, |operand| level = level.max(levels[operand.0 as usize]));
        if let Some(routine) = routine(dag.node(id), has_powers) {
            found.push((rolls.levels.get(idx).copied().unwrap_or(level), routine, id));
            level += 1;
        }
        levels[idx] = level;
    }
    found.sort_unstable();
    let mut groups: Vec<(u32, Routine, Vec<NodeId>)> = Vec::new();
    for (level, routine, id) in found {
        match groups.last_mut() {
            Some((l, r, list)) if *l == level && *r == routine => list.push(id),
            Some(_) | None => groups.push((level, routine, vec![id])),
        }
    }
    groups.retain(|(_, routine, list)| {
        list.len()
            >= match routine {
                Routine::One(_) => SMALLEST_GROUP,
                Routine::Pow => SMALLEST_POWER_GROUP,
            }
    });
    groups
}

/// Calls `visit` with each operand of an operation.
fn operands_of(op: &mut Op, visit: &mut impl FnMut(&mut Operand)) {
    match op {
        Op::Unary(_, a) | Op::PowI(a, _) => visit(a),
        Op::Binary(_, a, b) | Op::Compare(_, a, b) => {
            visit(a);
            visit(b);
        }
        Op::Sum { start, terms } => {
            start.iter_mut().for_each(&mut *visit);
            terms.iter_mut().for_each(|t| visit(&mut t.operand));
        }
        Op::Select { condition, then, otherwise } => {
            visit(condition);
            visit(then);
            visit(otherwise);
        }
        Op::Grouped { .. } => {}
    }
}
