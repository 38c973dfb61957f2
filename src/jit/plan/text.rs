//! A plan as canonical text, for snapshots and for people.

use std::fmt;

use super::{Group, Op, OpCounts, Operand, Plan, Step};
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
            write_op(&plan.ops[value.0 as usize], f)?;
            match plan.slots[value.0 as usize] {
                Some(slot) => writeln!(f, " -> slot {slot}"),
                None => writeln!(f),
            }
        }
        Step::Argument { group, member, operand } => {
            let slot = plan.groups[*group as usize].slot + member;
            writeln!(f, "  slot {slot} = {}", Show(operand))
        }
        Step::Call { group } => {
            let Group { function, level, len, slot, first_value: first } = plan.groups[*group as usize];
            let name = function.name();
            writeln!(f, "  v{first}..v{} = {name} of slots {slot}..{} (level {level})", first + len - 1, slot + len - 1)
        }
        Step::Output { output, operand } => writeln!(f, "  out {output} = {}", Show(operand)),
    }
}

fn write_op(op: &Op, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match op {
        Op::Unary(op, a) => write!(f, "{}({})", op.name(), Show(a)),
        Op::Binary(op, a, b) => match op {
            BinaryOp::Mul => write!(f, "{} * {}", Show(a), Show(b)),
            BinaryOp::Div => write!(f, "{} / {}", Show(a), Show(b)),
            BinaryOp::Pow
            | BinaryOp::Min
            | BinaryOp::Max
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::And
            | BinaryOp::Or => write!(f, "{}({}, {})", binary_name(*op), Show(a), Show(b)),
        },
        Op::PowI(a, n) => write!(f, "{}^{n}", Show(a)),
        Op::Sum { start, terms } => {
            if let Some(start) = start {
                write!(f, "{}", Show(start))?;
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
                match t.operand {
                    Operand::Const(c) => write!(f, "{}", magnitude * c)?,
                    Operand::Leaf(_) | Operand::Value(_) if magnitude == 1.0 => write!(f, "{}", Show(&t.operand))?,
                    Operand::Leaf(_) | Operand::Value(_) => write!(f, "{magnitude:?} * {}", Show(&t.operand))?,
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
            write!(f, "{} {sign} {}", Show(a), Show(b))
        }
        Op::Select { condition, then, otherwise } => {
            write!(f, "if {} then {} else {}", Show(condition), Show(then), Show(otherwise))
        }
        Op::Grouped { group, member } => write!(f, "group {group} [{member}]"),
    }
}

struct Show<'a>(&'a Operand);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operand::Const(c) => write!(f, "{c:?}"),
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
    for op in &plan.ops {
        match op {
            Op::Unary(op, _) => add(op.name(), 1),
            Op::Binary(op, ..) => add(binary_name(*op), 1),
            Op::PowI(_, n) => {
                let m = n.unsigned_abs().max(1);
                let squarings = 31 - m.leading_zeros();
                add("mul", (squarings + m.count_ones() - 1) as usize);
                add("div", usize::from(*n < 0));
            }
            Op::Sum { start, terms } => {
                add("add", terms.len() - usize::from(start.is_none()));
                let is_product =
                    |t: &&super::PlanTerm| t.coefficient.abs() != 1.0 && !matches!(t.operand, Operand::Const(_));
                add("mul", terms.iter().filter(is_product).count());
            }
            Op::Compare(..) => add("compare", 1),
            Op::Select { .. } => add("select", 1),
            Op::Grouped { group, .. } => add(plan.groups[*group as usize].function.name(), 1),
        }
    }
    listed(counts)
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
