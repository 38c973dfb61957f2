//! From an order of steps to functions and slots: where the order is cut into chunks, and where values wait.

use super::{Chunk, Loop, Op, Operand, Path, Plan, Step};

/// Estimated instructions of one step: operations and loads.
fn cost(plan: &Plan, step: &Step) -> usize {
    match step {
        Step::Argument { operand, .. } | Step::Output { operand, .. } | Step::Keep { operand, .. } => {
            1 + load(plan, operand)
        }
        Step::Call { .. } | Step::Apply { .. } => 4,
        Step::Compute(value) => op_cost(plan, &plan.ops[value.0 as usize]),
        Step::Loop { index } => {
            let Loop { begin, end, operand, .. } = plan.loops[*index as usize];
            let body = plan.ops[begin as usize..end as usize].iter().map(|op| op_cost(plan, op)).sum::<usize>();
            8 + (2 + body + load(plan, &operand)) * 2
        }
    }
}

/// Estimated instructions to bring an operand into a register.
fn load(plan: &Plan, operand: &Operand) -> usize {
    match operand {
        Operand::Leaf(_) | Operand::Slot(_) => 1,
        Operand::Const(_) | Operand::Value(_) => 0,
        Operand::Each(stream) => match plan.streams[stream.0 as usize].path {
            Path::Strided { .. } => 1,
            Path::Indexed { .. } => 4,
        },
    }
}

/// Estimated instructions of one operation: itself and loads.
fn op_cost(plan: &Plan, op: &Op) -> usize {
    let load = |operand: &Operand| load(plan, operand);
    match op {
        Op::Unary(_, a) => 2 + load(a),
        Op::Binary(_, a, b) | Op::Compare(_, a, b) => 1 + load(a) + load(b),
        Op::PowI(a, n) => 2 * (32 - n.unsigned_abs().leading_zeros() as usize) + load(a),
        Op::Sum { terms, .. } => {
            terms.iter().map(|t| 1 + usize::from(t.coefficient.abs() != 1.0) + load(&t.operand)).sum()
        }
        Op::Select { condition, then, otherwise } => 2 + load(condition) + load(then) + load(otherwise),
        Op::Grouped { .. } => 0,
    }
}

/// Cuts the steps into chunks. A group's results belong to the chunk of its call.
pub(super) fn cut(plan: &mut Plan, chunk_size: usize) {
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
            Step::Loop { index } => plan.loops[*index as usize].end - plan.loops[*index as usize].begin,
            Step::Argument { .. } | Step::Output { .. } | Step::Keep { .. } | Step::Apply { .. } => 0,
        };
    }
    chunks.push(begin);
    plan.chunks = chunks;
}

/// Gives slots, behind those of loops, to groups and to values that a later chunk reads; a slot is free again after the last chunk that
/// reads it.
pub(super) fn place(plan: &mut Plan) {
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
            plan.for_each_operand(step, |operand| {
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
    let mut n_slots = plan.n_slots as u32;
    for (chunk_idx, chunk) in plan.chunks.iter().enumerate() {
        for &group in &groups_at[chunk_idx] {
            plan.groups[group].slot = n_slots;
            n_slots += plan.groups[group].len * plan.groups[group].routine.n_arguments();
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
