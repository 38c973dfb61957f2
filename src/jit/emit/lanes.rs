//! Several points at once: the code computes two of them, and is called once for each pair.
//!
//! Element k of an argument or an output stands at `k · lanes` behind the pair's first, for all points of one call are
//! interleaved; scratch belongs to the pair, two numbers a slot, so that a slice routine finds its arguments together.
//! The operations are those of one point in the same order, so a point's results are the same bits in any company.

use cranelift_codegen::ir::types::F64X2;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};

use super::{Emitter, Local};
use crate::expr::Leaf;
use crate::jit::plan::Operand;

/// A pair lies on any multiple of 8 bytes.
const UNALIGNED: MemFlagsData = MemFlagsData::new().with_notrap();

impl Emitter<'_> {
    /// True where the code computes two points.
    pub(super) fn has_lanes(&self) -> bool {
        self.plan.lanes > 1
    }

    /// [`Emitter::number`] for two points.
    pub(super) fn lane_number(&mut self, operand: &Operand) -> Value {
        let (pointer, index) = match *operand {
            Operand::Const(c) => return self.constant(c),
            Operand::Leaf(Leaf::State(k)) => (self.arguments.x, k),
            Operand::Leaf(Leaf::Param(k)) => (self.arguments.p, k),
            Operand::Leaf(Leaf::Input(k)) => (self.arguments.u, k),
            Operand::Leaf(Leaf::Disturbance(k)) => (self.arguments.d, k),
            Operand::Slot(slot) => return self.load_lane_slot(slot),
            Operand::Value(value) => match self.local(value) {
                Some(Local::Number(number)) => return number,
                Some(Local::Truth(truth)) => return self.truth_as_number(truth),
                None => return self.load_lane_slot(self.plan.slots[value.0 as usize].unwrap_or(0)),
            },
            // Plans for several points are made without these; see `PlanOptions::lanes`.
            Operand::Leaf(Leaf::Time | Leaf::DirectionTime | Leaf::Direction(_)) | Operand::Each(_) => {
                return self.constant(f64::NAN);
            }
        };
        let flags = UNALIGNED.with_readonly().with_can_move();
        let offset = self.row(index);
        self.builder.ins().load(F64X2, flags, pointer, offset)
    }

    /// [`Emitter::store`] for two points.
    pub(super) fn store_lanes(&mut self, value: Value, pointer: Value, index: u32) {
        let offset = if pointer == self.arguments.scratch { index as i32 * 16 } else { self.row(index) };
        self.builder.ins().store(UNALIGNED, value, pointer, offset);
    }

    /// Calls a function of numbers for one point after the other.
    pub(super) fn call_each(&mut self, name: &str, arguments: &[Value]) -> Value {
        let mut pair = arguments[0];
        for lane in 0..2 {
            let numbers: Vec<Value> = arguments.iter().map(|a| self.builder.ins().extractlane(*a, lane)).collect();
            if let Some(result) = self.call(name, &numbers) {
                pair = match lane {
                    0 => self.builder.ins().splat(F64X2, result),
                    _ => self.builder.ins().insertlane(pair, result, lane),
                };
            }
        }
        pair
    }

    /// Bytes from the first element of an argument to element `index`.
    fn row(&self, index: u32) -> i32 {
        index as i32 * 8 * self.plan.lanes as i32
    }

    fn load_lane_slot(&mut self, slot: u32) -> Value {
        self.builder.ins().load(F64X2, UNALIGNED, self.arguments.scratch, slot as i32 * 16)
    }

    fn constant(&mut self, number: f64) -> Value {
        let number = self.builder.ins().f64const(number);
        self.builder.ins().splat(F64X2, number)
    }
}
