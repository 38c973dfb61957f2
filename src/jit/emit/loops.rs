//! Loops: one block that runs over the iterations, two or four at once where every operation can.
//!
//! The last round of a loop whose count is no multiple of that begins earlier and computes a few iterations again, to
//! the same bits, so that a body stands in the code only once. What is the same in all iterations is loaded before
//! the loop.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, F64X2, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};

use super::{Emitter, Local};
use crate::jit::plan::{Loop, Operand, Path, Source, Stream, Target, ValueId};

/// Operations up to which a round computes two (pairs of) iterations; chosen by benchmark.
const LARGEST_TWICE: u32 = 24;
/// Operations up to which a round computes four single iterations.
const LARGEST_FOURFOLD: u32 = 4;

/// Where the code stands in a loop.
pub(super) struct Round {
    /// The first iteration of this round.
    first: Value,
    /// Iterations behind the first that the code at hand computes.
    ahead: u32,
    is_paired: bool,
    /// What is the same in all iterations.
    fixed: Vec<(Operand, Value)>,
    /// What was loaded for the iterations at hand.
    loaded: Vec<(u32, Value)>,
}

impl Emitter<'_> {
    /// True where an operation computes two iterations, or two points.
    pub(super) fn is_paired(&self) -> bool {
        self.has_lanes() || self.round.as_ref().is_some_and(|round| round.is_paired)
    }

    /// One loop from its first to its last iteration.
    pub(super) fn run_loop(&mut self, index: u32) {
        let one = self.plan.loops[index as usize];
        let Loop { count, begin, end, is_paired, .. } = one;
        let width = if is_paired && count >= 2 { 2 } else { 1 };
        let n_copies = match end - begin {
            0..=LARGEST_FOURFOLD if width == 1 => 4,
            0..=LARGEST_TWICE => 2,
            _ => 1,
        };
        let n_copies = n_copies.min(count / width);
        let per_round = n_copies * width;
        let last = count - per_round;

        let fixed = self.fixed_operands(&one, width == 2);
        let block = self.builder.create_block();
        let exit = self.builder.create_block();
        let first = self.builder.append_block_param(block, I64);
        let zero = self.builder.ins().iconst(I64, 0);
        self.builder.ins().jump(block, &[zero.into()]);
        self.builder.switch_to_block(block);
        self.round = Some(Round { first, ahead: 0, is_paired: width == 2, fixed, loaded: Vec::new() });
        for copy in 0..n_copies {
            if let Some(round) = &mut self.round {
                round.ahead = copy * width;
                round.loaded.clear();
            }
            (begin..end).for_each(|value| self.compute(ValueId(value)));
            let number = self.number(&one.operand);
            self.store_element(number, one.target);
        }
        self.round = None;
        let step = self.builder.ins().iconst(I64, i64::from(per_round));
        let last_first = self.builder.ins().iconst(I64, i64::from(last));
        let mut next = self.builder.ins().iadd(first, step);
        if count % per_round != 0 {
            next = self.builder.ins().umin(next, last_first);
        }
        let goes_on = self.builder.ins().icmp(IntCC::UnsignedLessThan, first, last_first);
        self.builder.ins().brif(goes_on, block, &[next.into()], exit, &[]);
        self.builder.seal_block(block);
        self.builder.seal_block(exit);
        self.builder.switch_to_block(exit);
    }

    /// Loads what all iterations have in common.
    fn fixed_operands(&mut self, one: &Loop, is_paired: bool) -> Vec<(Operand, Value)> {
        let mut fixed: Vec<(Operand, Value)> = Vec::new();
        let plan = self.plan;
        let mut operands = vec![one.operand];
        for op in &plan.ops[one.begin as usize..one.end as usize] {
            op.for_each_operand(&mut |operand| operands.push(*operand));
        }
        for operand in operands {
            match operand {
                Operand::Value(_) | Operand::Each(_) => {}
                Operand::Const(_) | Operand::Leaf(_) | Operand::Slot(_) => {
                    if !fixed.iter().any(|(known, _)| *known == operand) {
                        let number = self.number(&operand);
                        let number = if is_paired { self.builder.ins().splat(F64X2, number) } else { number };
                        fixed.push((operand, number));
                    }
                }
            }
        }
        fixed
    }

    /// [`Emitter::number`] inside a loop.
    pub(super) fn loop_number(&mut self, operand: &Operand) -> Value {
        match *operand {
            Operand::Value(value) => match self.local(value) {
                Some(Local::Number(number)) => number,
                Some(Local::Truth(truth)) => self.truth_as_number(truth),
                // A body reads its own values only.
                None => self.loop_number(&Operand::Const(0.0)),
            },
            Operand::Each(stream) => {
                let known = self.round.as_ref().and_then(|r| r.loaded.iter().find(|(id, _)| *id == stream.0));
                if let Some((_, number)) = known {
                    return *number;
                }
                let number = self.load_element(self.plan.streams[stream.0 as usize]);
                if let Some(round) = &mut self.round {
                    round.loaded.push((stream.0, number));
                }
                number
            }
            Operand::Const(_) | Operand::Leaf(_) | Operand::Slot(_) => {
                let known = self.round.as_ref().and_then(|r| r.fixed.iter().find(|(known, _)| known == operand));
                if let Some((_, number)) = known {
                    return *number;
                }
                // A number that an operation brings in, like the 1 of a reciprocal.
                let round = self.round.take();
                let number = self.number(operand);
                self.round = round;
                if self.is_paired() { self.builder.ins().splat(F64X2, number) } else { number }
            }
        }
    }

    /// The address of an element `ahead` iterations behind the first of the round, and an offset in bytes.
    fn element(&mut self, pointer: Value, path: Path, ahead: u32) -> (Value, i32) {
        let Some(first) = self.round.as_ref().map(|round| round.first) else { return (pointer, 0) };
        let (index, offset) = match path {
            Path::Strided { base, stride } => {
                let index = match stride {
                    1 => first,
                    _ => {
                        let stride = self.builder.ins().iconst(I64, i64::from(stride));
                        self.builder.ins().imul(first, stride)
                    }
                };
                (index, base as i32 + stride * ahead as i32)
            }
            Path::Indexed { offset } => {
                let table = self.builder.ins().iconst(I64, self.tables.indices as i64);
                let two = self.builder.ins().iconst(I64, 2);
                let bytes = self.builder.ins().ishl(first, two);
                let entry = self.builder.ins().iadd(table, bytes);
                (self.builder.ins().uload32(READONLY, entry, (offset + ahead) as i32 * 4), 0)
            }
        };
        let three = self.builder.ins().iconst(I64, 3);
        let bytes = self.builder.ins().ishl(index, three);
        (self.builder.ins().iadd(pointer, bytes), offset * 8)
    }

    fn load_element(&mut self, Stream { source, path }: Stream) -> Value {
        let (pointer, flags) = match source {
            Source::State => (self.arguments.x, READONLY),
            Source::Param => (self.arguments.p, READONLY),
            Source::Input => (self.arguments.u, READONLY),
            Source::Disturbance => (self.arguments.d, READONLY),
            Source::Direction => (self.arguments.dx, READONLY),
            Source::Slot => (self.arguments.scratch, MemFlagsData::trusted()),
            Source::Number => (self.builder.ins().iconst(I64, self.tables.numbers as i64), READONLY),
        };
        let ahead = self.round.as_ref().map_or(0, |round| round.ahead);
        let (address, offset) = self.element(pointer, path, ahead);
        if !self.is_paired() {
            return self.builder.ins().load(F64, flags, address, offset);
        }
        if let Path::Strided { stride: 1, .. } = path {
            return self.builder.ins().load(F64X2, unaligned(flags), address, offset);
        }
        let low = self.builder.ins().load(F64, flags, address, offset);
        let (address, offset) = self.element(pointer, path, ahead + 1);
        let high = self.builder.ins().load(F64, flags, address, offset);
        let pair = self.builder.ins().scalar_to_vector(F64X2, low);
        self.builder.ins().insertlane(pair, high, 1)
    }

    fn store_element(&mut self, number: Value, target: Target) {
        let (pointer, path, skipped) = match target {
            Target::Slot(base) => (self.arguments.scratch, Path::Strided { base, stride: 1 }, 0),
            Target::Output(path) => {
                let first = match path {
                    Path::Strided { base, .. } => base,
                    Path::Indexed { offset } => self.plan.indices[offset as usize],
                };
                match first as usize >= self.plan.n_first {
                    false => (self.arguments.first, path, 0),
                    true => (self.arguments.second, path, self.plan.n_first as i32 * 8),
                }
            }
        };
        let flags = MemFlagsData::trusted();
        let ahead = self.round.as_ref().map_or(0, |round| round.ahead);
        let (address, offset) = self.element(pointer, path, ahead);
        if !self.is_paired() {
            self.builder.ins().store(flags, number, address, offset - skipped);
        } else if let Path::Strided { stride: 1, .. } = path {
            self.builder.ins().store(unaligned(flags), number, address, offset - skipped);
        } else {
            let low = self.builder.ins().extractlane(number, 0);
            self.builder.ins().store(flags, low, address, offset - skipped);
            let (address, offset) = self.element(pointer, path, ahead + 1);
            let high = self.builder.ins().extractlane(number, 1);
            self.builder.ins().store(flags, high, address, offset - skipped);
        }
    }
}

/// Of what no call writes.
const READONLY: MemFlagsData = MemFlagsData::trusted().with_readonly().with_can_move();

/// A pair lies on any multiple of 8 bytes.
fn unaligned(flags: MemFlagsData) -> MemFlagsData {
    let pair = MemFlagsData::new().with_notrap();
    if flags.readonly() { pair.with_readonly().with_can_move() } else { pair }
}
