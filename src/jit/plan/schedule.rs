//! The scheduler: levels, order, chunks, slots. Every pass is linear in the nodes that the outputs need.
//!
//! The order is by demand: an output's operands are computed right before it, unless they are there already. Groups
//! of elementary functions come first, level by level. A sum is taken in parts of a few terms, each part's operands
//! right before it, so that few values live at once and a sum of thousands of terms spreads over many chunks.

use super::{Chunk, Group, Op, Operand, Plan, PlanOptions, PlanTerm, Reads, Step, ValueId};
use crate::expr::{Dag, Leaf, Node, NodeId, UnaryOp};
use crate::jit::math::SliceFunction;

/// Terms of a sum that are added in one step; chosen by benchmark.
const TERMS_PER_PART: usize = 8;
/// Smaller groups are called one by one: a slice routine of four costs as much as three to four calls by value, which
/// need no scratch (benches/kernels.rs).
const SMALLEST_GROUP: usize = 4;

pub(super) fn schedule(dag: &Dag, first: &[NodeId], second: &[NodeId], options: &PlanOptions) -> Plan {
    let mut scheduler = Scheduler::new(dag, first, second, options);
    scheduler.run(first, second);
    let Scheduler { ops, steps, groups, reads, .. } = scheduler;
    let mut plan = Plan {
        slots: vec![None; ops.len()],
        ops,
        steps,
        groups,
        chunks: Vec::new(),
        n_slots: 0,
        n_outputs: first.len() + second.len(),
        n_first: first.len(),
        reads,
        strict_math: options.strict_math,
    };
    cut(&mut plan, options.chunk_size);
    place(&mut plan);
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
}

struct Scheduler<'a> {
    dag: &'a Dag,
    /// Value of each node, `NONE` where not yet computed.
    values: Vec<u32>,
    /// By level, then function: the nodes to group.
    members: Vec<(u32, SliceFunction, Vec<NodeId>)>,
    ops: Vec<Op>,
    steps: Vec<Step>,
    groups: Vec<Group>,
    reads: Reads,
}

const NONE: u32 = u32::MAX;

impl<'a> Scheduler<'a> {
    fn new(dag: &'a Dag, first: &[NodeId], second: &[NodeId], options: &PlanOptions) -> Self {
        let n = first.iter().chain(second).map(|id| id.0 as usize + 1).max().unwrap_or(0);
        let members = if options.strict_math { Vec::new() } else { find_groups(dag, first, second, n) };
        Scheduler {
            dag,
            values: vec![NONE; n],
            members,
            ops: Vec::new(),
            steps: Vec::new(),
            groups: Vec::new(),
            reads: Reads::default(),
        }
    }

    fn run(&mut self, first: &[NodeId], second: &[NodeId]) {
        let members = std::mem::take(&mut self.members);
        let mut begin = 0;
        while begin < members.len() {
            let level = members[begin].0;
            let end = begin + members[begin..].iter().take_while(|m| m.0 == level).count();
            let first_group = self.groups.len() as u32;
            for (_, function, nodes) in &members[begin..end] {
                let group = self.groups.len() as u32;
                self.groups.push(Group {
                    function: *function,
                    level,
                    len: nodes.len() as u32,
                    slot: 0,
                    first_value: 0,
                });
                for (member, &node) in nodes.iter().enumerate() {
                    if let Node::Unary(_, argument) = self.dag.node(node) {
                        self.perform(Task::Argument { group, member: member as u32, argument });
                    }
                }
            }
            for (offset, (_, _, nodes)) in members[begin..end].iter().enumerate() {
                let group = first_group + offset as u32;
                self.steps.push(Step::Call { group });
                self.groups[group as usize].first_value = self.ops.len() as u32;
                for (member, &node) in nodes.iter().enumerate() {
                    self.values[node.0 as usize] = self.ops.len() as u32;
                    self.ops.push(Op::Grouped { group, member: member as u32 });
                }
            }
            begin = end;
        }
        for (output, &node) in first.iter().chain(second).enumerate() {
            self.perform(Task::Output { output: output as u32, node });
        }
    }

    /// Does a task and everything it needs, without recursion.
    fn perform(&mut self, task: Task) {
        let mut tasks = vec![task];
        if let Some(Task::Argument { argument: node, .. } | Task::Output { node, .. }) = tasks.first() {
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
            }
        }
    }

    fn demand(&mut self, node: NodeId, tasks: &mut Vec<Task>) {
        if self.values[node.0 as usize] != NONE {
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
                let reads = &mut self.reads;
                let (count, index) = match leaf {
                    Leaf::Time => {
                        reads.time = true;
                        return Operand::Leaf(leaf);
                    }
                    Leaf::DirectionTime => return Operand::Leaf(leaf),
                    Leaf::State(k) => (&mut reads.n_states, k),
                    Leaf::Param(k) => (&mut reads.n_params, k),
                    Leaf::Input(k) => (&mut reads.n_inputs, k),
                    Leaf::Disturbance(k) => (&mut reads.n_disturbances, k),
                    Leaf::Direction(k) => (&mut reads.n_directions, k),
                };
                *count = (*count).max(index as usize + 1);
                Operand::Leaf(leaf)
            }
            Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..)
            | Node::Select { .. } => Operand::Value(ValueId(self.values[node.0 as usize])),
        }
    }
}

/// Puts demands on the stack so that the first operand is computed first.
fn push_demands(operands: impl DoubleEndedIterator<Item = NodeId>, tasks: &mut Vec<Task>) {
    tasks.extend(operands.rev().map(Task::Demand));
}

fn slice_function(node: Node) -> Option<SliceFunction> {
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

/// The groups in the order of execution: by level, then function; members by ascending node.
fn find_groups(dag: &Dag, first: &[NodeId], second: &[NodeId], n: usize) -> Vec<(u32, SliceFunction, Vec<NodeId>)> {
    let mut needed = vec![false; n];
    first.iter().chain(second).for_each(|id| needed[id.0 as usize] = true);
    for idx in (0..n).rev() {
        if needed[idx] {
            dag.for_each_operand(NodeId(idx as u32), |operand| needed[operand.0 as usize] = true);
        }
    }
    let mut levels = vec![0u32; n];
    let mut found: Vec<(u32, SliceFunction, NodeId)> = Vec::new();
    for idx in (0..n).filter(|&idx| needed[idx]) {
        let id = NodeId(idx as u32);
        let mut level = 0;
        dag.for_each_operand(id, |operand| level = level.max(levels[operand.0 as usize]));
        if let Some(function) = slice_function(dag.node(id)) {
            found.push((level, function, id));
            level += 1;
        }
        levels[idx] = level;
    }
    found.sort_unstable();
    let mut groups: Vec<(u32, SliceFunction, Vec<NodeId>)> = Vec::new();
    for (level, function, id) in found {
        match groups.last_mut() {
            Some((l, f, list)) if *l == level && *f == function => list.push(id),
            Some(_) | None => groups.push((level, function, vec![id])),
        }
    }
    groups.retain(|(_, _, list)| list.len() >= SMALLEST_GROUP);
    groups
}

/// Estimated instructions of one step: operations and loads.
fn cost(plan: &Plan, step: &Step) -> usize {
    let load = |operand: &Operand| match operand {
        Operand::Leaf(_) => 1,
        Operand::Const(_) | Operand::Value(_) => 0,
    };
    match step {
        Step::Argument { operand, .. } | Step::Output { operand, .. } => 1 + load(operand),
        Step::Call { .. } => 4,
        Step::Compute(value) => match &plan.ops[value.0 as usize] {
            Op::Unary(_, a) => 2 + load(a),
            Op::Binary(_, a, b) | Op::Compare(_, a, b) => 1 + load(a) + load(b),
            Op::PowI(a, n) => 2 * (32 - n.unsigned_abs().leading_zeros() as usize) + load(a),
            Op::Sum { terms, .. } => {
                terms.iter().map(|t| 1 + usize::from(t.coefficient.abs() != 1.0) + load(&t.operand)).sum()
            }
            Op::Select { condition, then, otherwise } => 2 + load(condition) + load(then) + load(otherwise),
            Op::Grouped { .. } => 0,
        },
    }
}

/// Cuts the steps into chunks. A group's results belong to the chunk of its call.
fn cut(plan: &mut Plan, chunk_size: usize) {
    let mut chunks = Vec::new();
    let mut begin = Chunk { steps: 0..0, values: 0..0, n_instructions: 0 };
    for (idx, step) in plan.steps.iter().enumerate() {
        let cost = cost(plan, step);
        if begin.n_instructions > 0 && begin.n_instructions + cost > chunk_size {
            let next = Chunk { steps: idx..idx, values: begin.values.end..begin.values.end, n_instructions: 0 };
            chunks.push(std::mem::replace(&mut begin, next));
        }
        begin.steps.end = idx + 1;
        begin.n_instructions += cost;
        begin.values.end += match step {
            Step::Compute(_) => 1,
            Step::Call { group } => plan.groups[*group as usize].len,
            Step::Argument { .. } | Step::Output { .. } => 0,
        };
    }
    chunks.push(begin);
    plan.chunks = chunks;
}

/// Gives slots to groups and to values that a later chunk reads; a slot is free again after the last chunk that
/// reads it.
fn place(plan: &mut Plan) {
    let mut last_chunk = vec![0u32; plan.ops.len()];
    let mut first_chunk = vec![0u32; plan.ops.len()];
    let mut group_chunk = vec![u32::MAX; plan.groups.len()];
    for (chunk_idx, chunk) in plan.chunks.iter().enumerate() {
        let c = chunk_idx as u32;
        for value in chunk.values.clone() {
            first_chunk[value as usize] = c;
            last_chunk[value as usize] = c;
        }
        for step in &plan.steps[chunk.steps.clone()] {
            if let Step::Argument { group, .. } = step {
                let at = &mut group_chunk[*group as usize];
                *at = (*at).min(c);
            }
            for_each_operand(plan, step, |operand| {
                if let Operand::Value(v) = operand {
                    last_chunk[v.0 as usize] = c;
                }
            });
        }
    }
    let mut ends: Vec<Vec<u32>> = vec![Vec::new(); plan.chunks.len()];
    for (value, &last) in last_chunk.iter().enumerate() {
        ends[last as usize].push(value as u32);
    }
    let mut groups_at: Vec<Vec<usize>> = vec![Vec::new(); plan.chunks.len()];
    for (group, &chunk) in group_chunk.iter().enumerate() {
        groups_at[chunk as usize].push(group);
    }
    let mut free: Vec<u32> = Vec::new();
    let mut n_slots = 0;
    for (chunk_idx, chunk) in plan.chunks.iter().enumerate() {
        for &group in &groups_at[chunk_idx] {
            plan.groups[group].slot = n_slots;
            n_slots += plan.groups[group].len;
        }
        for value in chunk.values.clone() {
            let idx = value as usize;
            plan.slots[idx] = match plan.ops[idx] {
                Op::Grouped { group, member } => Some(plan.groups[group as usize].slot + member),
                Op::Unary(..)
                | Op::Binary(..)
                | Op::PowI(..)
                | Op::Sum { .. }
                | Op::Compare(..)
                | Op::Select { .. } => (last_chunk[idx] > first_chunk[idx]).then(|| {
                    free.pop().unwrap_or_else(|| {
                        n_slots += 1;
                        n_slots - 1
                    })
                }),
            };
        }
        // In descending order, so that the lowest slot is taken next.
        free.extend(ends[chunk_idx].iter().rev().filter_map(|&value| plan.slots[value as usize]));
    }
    plan.n_slots = n_slots as usize;
}

/// Calls `visit` with everything a step reads.
pub(super) fn for_each_operand(plan: &Plan, step: &Step, mut visit: impl FnMut(&Operand)) {
    match step {
        Step::Argument { operand, .. } | Step::Output { operand, .. } => visit(operand),
        Step::Call { .. } => {}
        Step::Compute(value) => match &plan.ops[value.0 as usize] {
            Op::Unary(_, a) | Op::PowI(a, _) => visit(a),
            Op::Binary(_, a, b) | Op::Compare(_, a, b) => {
                visit(a);
                visit(b);
            }
            Op::Sum { start, terms } => {
                start.iter().for_each(&mut visit);
                terms.iter().for_each(|t| visit(&t.operand));
            }
            Op::Select { condition, then, otherwise } => {
                visit(condition);
                visit(then);
                visit(otherwise);
            }
            Op::Grouped { .. } => {}
        },
    }
}
