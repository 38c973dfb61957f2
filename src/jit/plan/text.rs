//! A plan as canonical text, for snapshots and for people.

use std::fmt;

use super::{Group, Loop, Op, OpCounts, Operand, Path, Plan, Source, Step, Stream, Target};
use crate::expr::{BinaryOp, Compare, Leaf};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_values, n_chunks) = (self.ops.len(), self.chunks.len());
        writeln!(f, "values {n_values}, outputs {}, chunks {n_chunks}, slots {}", self.n_outputs, self.n_slots)?;
        writeln!(f, "operations: {}", self.op_counts())?;
        for (idx, chunk) in self.chunks.iter().enumerate() {
            writeln!(f, "chunk {idx}: {} instructions", chunk.n_instructions)?;
            for step in &self.steps[chunk.steps.clone()] {
                write_step(self, step, f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for OpCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.is_empty() {
            return f.write_str("none");
        }
        for (idx, (name, count)) in self.list.iter().enumerate() {
            write!(f, "{}{name} {count}", if idx == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn write_step(plan: &Plan, step: &Step, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match step {
        Step::Compute(value) => {
            write!(f, "  v{} = ", value.0)?;
            write_op(plan, &plan.ops[value.0 as usize], f)?;
            match plan.slots[value.0 as usize] {
                Some(slot) => writeln!(f, " -> slot {slot}"),
                None => writeln!(f),
            }
        }
        Step::Argument { group, member, operand } => {
            let slot = plan.groups[*group as usize].slot + member;
            writeln!(f, "  slot {slot} = {}", Show(plan, operand))
        }
        Step::Call { group } => {
            let Group { routine, level, len, slot, first_value: first } = plan.groups[*group as usize];
            let (name, last) = (routine.name(), slot + len * routine.n_arguments() - 1);
            writeln!(f, "  v{first}..v{} = {name} of slots {slot}..{last} (level {level})", first + len - 1)
        }
        Step::Output { output, operand } => writeln!(f, "  out {output} = {}", Show(plan, operand)),
        Step::Keep { slot, operand } => writeln!(f, "  slot {slot} = {}", Show(plan, operand)),
        Step::Loop { index } => write_loop(plan, &plan.loops[*index as usize], f),
        Step::Apply { function, slot, len } => {
            writeln!(f, "  slots {slot}..{} = {} of them", slot + len - 1, function.name())
        }
    }
}

fn write_loop(plan: &Plan, one: &Loop, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let pairs = if one.is_paired { ", in pairs" } else { "" };
    writeln!(f, "  for i in 0 .. {}{pairs}", one.count - 1)?;
    for value in one.begin..one.end {
        write!(f, "    v{value} = ")?;
        write_op(plan, &plan.ops[value as usize], f)?;
        writeln!(f)?;
    }
    let operand = Show(plan, &one.operand);
    match one.target {
        Target::Slot(base) => {
            writeln!(f, "    slot[{}] = {operand}", ShowPath(plan, Path::Strided { base, stride: 1 }))
        }
        Target::Output(path) => writeln!(f, "    out[{}] = {operand}", ShowPath(plan, path)),
    }
}

fn write_op(plan: &Plan, op: &Op, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match op {
        Op::Unary(op, a) => write!(f, "{}({})", op.name(), Show(plan, a)),
        Op::Binary(op, a, b) => match op {
            BinaryOp::Mul => write!(f, "{} * {}", Show(plan, a), Show(plan, b)),
            BinaryOp::Div => write!(f, "{} / {}", Show(plan, a), Show(plan, b)),
            BinaryOp::Pow
            | BinaryOp::Min
            | BinaryOp::Max
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::And
            | BinaryOp::Or => write!(f, "{}({}, {})", binary_name(*op), Show(plan, a), Show(plan, b)),
        },
        Op::PowI(a, n) => write!(f, "{}^{n}", Show(plan, a)),
        Op::Sum { start, terms } => {
            if let Some(start) = start {
                write!(f, "{}", Show(plan, start))?;
            }
            for (idx, t) in terms.iter().enumerate() {
                let is_first = idx == 0 && start.is_none();
                match (is_first, t.coefficient < 0.0) {
                    (true, false) => {}
                    (true, true) => f.write_str("-")?,
                    (false, false) => f.write_str(" + ")?,
                    (false, true) => f.write_str(" - ")?,
                }
                let magnitude = t.coefficient.abs();
                let operand = Show(plan, &t.operand);
                match t.operand {
                    Operand::Const(c) => write!(f, "{}", magnitude * c)?,
                    Operand::Leaf(_) | Operand::Value(_) | Operand::Slot(_) | Operand::Each(_) => {
                        if magnitude == 1.0 {
                            write!(f, "{operand}")?;
                        } else {
                            write!(f, "{magnitude:?} * {operand}")?;
                        }
                    }
                }
            }
            Ok(())
        }
        Op::Compare(op, a, b) => {
            let sign = match op {
                Compare::Lt => "<",
                Compare::Le => "<=",
                Compare::Eq => "==",
                Compare::Ne => "!=",
            };
            write!(f, "{} {sign} {}", Show(plan, a), Show(plan, b))
        }
        Op::Select { condition, then, otherwise } => {
            write!(f, "if {} then {} else {}", Show(plan, condition), Show(plan, then), Show(plan, otherwise))
        }
        Op::Grouped { group, member } => write!(f, "group {group} [{member}]"),
    }
}

struct Show<'a>(&'a Plan, &'a Operand);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Const(c) => write!(f, "{c:?}"),
            Operand::Slot(slot) => write!(f, "slot {slot}"),
            Operand::Each(stream) => {
                let Stream { source, path } = self.0.streams[stream.0 as usize];
                let name = match source {
                    Source::State => "x",
                    Source::Param => "p",
                    Source::Input => "u",
                    Source::Disturbance => "d",
                    Source::Direction => "dx",
                    Source::Slot => "slot",
                    Source::Number => "number",
                };
                write!(f, "{name}[{}]", ShowPath(self.0, path))
            }
            Operand::Value(v) => write!(f, "v{}", v.0),
            Operand::Leaf(leaf) => match leaf {
                Leaf::Time => f.write_str("t"),
                Leaf::DirectionTime => f.write_str("dt"),
                Leaf::State(k) => write!(f, "x[{k}]"),
                Leaf::Param(k) => write!(f, "p[{k}]"),
                Leaf::Input(k) => write!(f, "u[{k}]"),
                Leaf::Disturbance(k) => write!(f, "d[{k}]"),
                Leaf::Direction(k) => write!(f, "dx[{k}]"),
            },
        }
    }
}

struct ShowPath<'a>(&'a Plan, Path);

impl fmt::Display for ShowPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Path::Strided { base: 0, stride: 1 } => f.write_str("i"),
            Path::Strided { base: 0, stride } => write!(f, "{stride}i"),
            Path::Strided { base, stride: 1 } => write!(f, "{base} + i"),
            Path::Strided { base, stride } if stride < 0 => write!(f, "{base} - {}i", stride.unsigned_abs()),
            Path::Strided { base, stride } => write!(f, "{base} + {stride}i"),
            Path::Indexed { offset } => {
                let beginning: Vec<String> =
                    self.0.indices[offset as usize..].iter().take(3).map(|index| index.to_string()).collect();
                write!(f, "[{}, ...][i]", beginning.join(", "))
            }
        }
    }
}

fn binary_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Mul => "mul",
        BinaryOp::Div => "div",
        BinaryOp::Pow => "pow",
        BinaryOp::Min => "min",
        BinaryOp::Max => "max",
        BinaryOp::Mod => "mod",
        BinaryOp::Atan2 => "atan2",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
    }
}

/// Names in the order they are listed; everything a plan computes is one of these.
const KINDS: [&str; 30] = [
    "add", "mul", "div", "sqrt", "exp", "ln", "log10", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2",
    "sinh", "cosh", "tanh", "abs", "sign", "floor", "ceil", "min", "max", "mod", "not", "and", "or", "compare",
    "select",
];

pub(super) fn op_counts(plan: &Plan) -> OpCounts {
    let mut counts = [0usize; KINDS.len()];
    let mut add = |name: &str, n: usize| {
        if let Some(idx) = KINDS.iter().position(|k| *k == name) {
            counts[idx] += n;
        }
    };
    for step in &plan.steps {
        match step {
            Step::Compute(value) => count_op(&plan.ops[value.0 as usize], 1, &mut add),
            Step::Loop { index } => {
                let Loop { begin, end, count, .. } = plan.loops[*index as usize];
                let body = &plan.ops[begin as usize..end as usize];
                body.iter().for_each(|op| count_op(op, count as usize, &mut add));
            }
            Step::Call { group } => {
                let group = plan.groups[*group as usize];
                add(group.routine.name(), group.len as usize);
            }
            Step::Apply { function, len, .. } => add(function.name(), *len as usize),
            Step::Argument { .. } | Step::Output { .. } | Step::Keep { .. } => {}
        }
    }
    listed(counts)
}

/// Counts an operation that is carried out `times` times.
fn count_op(op: &Op, times: usize, add: &mut impl FnMut(&str, usize)) {
    match op {
        Op::Unary(op, _) => add(op.name(), times),
        Op::Binary(op, ..) => add(binary_name(*op), times),
        Op::PowI(_, n) => {
            let m = n.unsigned_abs().max(1);
            let squarings = 31 - m.leading_zeros();
            add("mul", (squarings + m.count_ones() - 1) as usize * times);
            add("div", usize::from(*n < 0) * times);
        }
        Op::Sum { start, terms } => {
            add("add", (terms.len() - usize::from(start.is_none())) * times);
            let is_product =
                |t: &&super::PlanTerm| t.coefficient.abs() != 1.0 && !matches!(t.operand, Operand::Const(_));
            add("mul", terms.iter().filter(is_product).count() * times);
        }
        Op::Compare(..) => add("compare", times),
        Op::Select { .. } => add("select", times),
        Op::Grouped { .. } => {}
    }
}

pub(super) fn sum_counts(all: impl Iterator<Item = OpCounts>) -> OpCounts {
    let mut counts = [0; KINDS.len()];
    for one in all {
        KINDS.iter().zip(&mut counts).for_each(|(name, count)| *count += one.get(name));
    }
    listed(counts)
}

fn listed(counts: [usize; KINDS.len()]) -> OpCounts {
    OpCounts { list: KINDS.into_iter().zip(counts).filter(|(_, n)| *n > 0).collect() }
}
