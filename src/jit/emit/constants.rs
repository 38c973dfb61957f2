//! Numbers that wait in a register for their next use.
//!
//! An operation reads a number from memory with its operand, and a processor that starts two multiplications and two
//! additions in a cycle loads only two numbers in it. So a number that is read again soon is loaded by itself and kept.
//! Beyond [`REACH`] steps it is loaded anew, so that it takes no register from what is computed between.

use std::collections::HashMap;

use cranelift_codegen::ir::types::F64X2;
use cranelift_codegen::ir::{InstBuilder, Value};

use super::Emitter;
use super::ops::{is_negative, magnitude};
use crate::jit::plan::{Chunk, Op, Operand, Plan, Step};

/// Steps after which a number is loaded again; chosen by benchmark (benches/kernels.rs).
const REACH: u32 = 32;
/// Numbers kept at once, of sixteen registers; chosen by benchmark.
const MOST_KEPT: usize = 6;

/// What is known of the numbers of one chunk.
#[derive(Default)]
pub(super) struct Constants {
    /// The steps that read a number (by its bits), in ascending order.
    uses: HashMap<u64, Vec<u32>>,
    /// `(bits, value, last step that reads it)`
    kept: Vec<(u64, Value, u32)>,
    /// The step at hand, counted from the chunk's first.
    pub(super) step: u32,
    /// Loads so far; see [`Emitter::kept_constant`].
    n_loads: u64,
}

impl Constants {
    pub(super) fn of(plan: &Plan, chunk: &Chunk) -> Self {
        let mut constants = Constants::default();
        if plan.lanes > 1 {
            return constants;
        }
        for (step, at) in plan.steps[chunk.steps.clone()].iter().zip(0..) {
            let Step::Compute(value) = step else { continue };
            let mut note = |c: f64| constants.uses.entry(c.to_bits()).or_default().push(at);
            let op = &plan.ops[value.0 as usize];
            if let Op::Sum { start: _, terms } = op {
                if terms.iter().all(is_negative) {
                    note(-1.0);
                }
                for term in terms {
                    match magnitude(term) {
                        (1.0, Operand::Const(c)) => note(c),
                        (1.0, _) => {}
                        (factor, _) => note(factor),
                    }
                }
            } else {
                op.for_each_operand(&mut |operand| {
                    if let Operand::Const(c) = operand {
                        note(*c);
                    }
                });
            }
        }
        constants.uses.retain(|_, steps| steps.len() > 1);
        constants
    }

    /// The last of the coming steps that reads the number from a register.
    fn last_soon(&self, bits: u64) -> Option<u32> {
        let steps = self.uses.get(&bits)?;
        let next = steps.partition_point(|&step| step <= self.step);
        let next = steps.get(next).filter(|&&step| step <= self.step + REACH);
        // Twice in one step counts too.
        next.or_else(|| steps.windows(2).find(|pair| pair[0] == self.step && pair[1] == self.step).map(|p| &p[0]))
            .copied()
    }
}

impl Emitter<'_> {
    /// The number in a register, if it is read again soon.
    pub(super) fn kept_constant(&mut self, c: f64) -> Option<Value> {
        let (bits, step) = (c.to_bits(), self.constants.step);
        let soon = self.constants.last_soon(bits);
        if let Some(entry) = self.constants.kept.iter_mut().find(|(kept, _, last)| *kept == bits && *last >= step) {
            entry.2 = soon.unwrap_or(entry.2);
            return Some(entry.1);
        }
        let last = soon?;
        self.constants.kept.retain(|(kept, _, last)| *kept != bits && *last >= step);
        if self.constants.kept.len() >= MOST_KEPT {
            return None;
        }
        // What stands in the other lane makes two loads of one number different, so that they are not made one again.
        self.constants.n_loads += 1;
        let lanes = [bits, self.constants.n_loads];
        let bytes: Vec<u8> = lanes.into_iter().flat_map(u64::to_le_bytes).collect();
        let constant = self.builder.func.dfg.constants.insert(bytes.into());
        let pair = self.builder.ins().vconst(F64X2, constant);
        let value = self.builder.ins().extractlane(pair, 0);
        self.constants.kept.push((bits, value, last));
        Some(value)
    }
}
