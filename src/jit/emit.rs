//! From one chunk of a plan to machine code: straight-line Cranelift IR, then Cranelift's compiler.
//!
//! Leaves are loaded where they are used; Cranelift merges the loads of one chunk (they are marked as constant). A truth value is an `i8` inside its chunk and 1.0 or 0.0 outside. Nothing is contracted or reordered:
//! every operation is the interpreter's, in the interpreter's order. [`ops`] has the operations, [`loops`] the loops,
//! [`lanes`] what is different for several points at once, [`constants`] the numbers that stay in registers, [`frame`] what
//! small functions do without.

mod constants;
mod frame;
mod lanes;
mod loops;
mod ops;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::types::{F64, F64X2, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder, MemFlagsData, Signature,
    UserExternalName, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, ModuleReloc};

use super::CompileError;
use super::math::{Routine, Shape, SliceFunction};
use super::plan::{Chunk, Op, Operand, Plan, Step, ValueId};
use crate::expr::Leaf;
use constants::Constants;
use loops::Round;

/// A function that the module imports, by its id there.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// Name in the module.
    pub name: &'static str,
    /// Arguments and result.
    pub shape: Shape,
    /// Id in the module.
    pub id: FuncId,
}

/// The machine code of one chunk.
pub struct Compiled {
    /// Instructions and the numbers they refer to.
    pub bytes: Vec<u8>,
    /// Where to begin, counted from the first byte.
    pub entry: usize,
    /// Alignment of the first byte.
    pub alignment: u64,
    /// Places that need the address of an import.
    pub relocations: Vec<ModuleReloc>,
}

/// The signature of a chunk: `(x, p, first output)` of a plain plan, otherwise
/// `(t, dt, x, u, d, p, scratch, first output, dx, second output)`. The first six pointers go in registers (x86-64
/// System V); the two that few kernels need come last.
pub fn chunk_signature(isa: &dyn TargetIsa, is_plain: bool) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    if is_plain {
        signature.params.extend([AbiParam::new(I64); 3]);
    } else {
        signature.params.extend([AbiParam::new(F64); 2]);
        signature.params.extend([AbiParam::new(I64); 8]);
    }
    signature
}

/// The signature of an import.
pub fn import_signature(isa: &dyn TargetIsa, shape: Shape) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    match shape {
        Shape::One => signature.params.push(AbiParam::new(F64)),
        Shape::Two => signature.params.extend([AbiParam::new(F64); 2]),
        Shape::Slice => signature.params.extend([AbiParam::new(I64); 2]),
    }
    match shape {
        Shape::One | Shape::Two => signature.returns.push(AbiParam::new(F64)),
        Shape::Slice => {}
    }
    signature
}

/// Addresses of a plan's tables; whoever calls the code keeps them there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tables {
    /// Of [`Plan::numbers`](super::plan::Plan), elements of 8 bytes.
    pub numbers: usize,
    /// Of [`Plan::indices`](super::plan::Plan), elements of 4 bytes.
    pub indices: usize,
}

/// Buffers that compiling one chunk leaves for the next.
pub struct Buffers {
    context: Context,
    builder: FunctionBuilderContext,
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers { context: Context::new(), builder: FunctionBuilderContext::new() }
    }
}

/// Compiles one chunk.
///
/// # Errors
/// What Cranelift refuses, which would be a fault of this module.
pub fn compile_chunk(
    plan: &Plan,
    chunk: &Chunk,
    tables: Tables,
    imports: &[Import],
    isa: &dyn TargetIsa,
    buffers: &mut Buffers,
) -> Result<Compiled, CompileError> {
    let Buffers { context, builder } = buffers;
    context.clear();
    build(plan, chunk, tables, imports, isa, &mut context.func, builder);
    let compiled = finish(context, isa)?;
    Ok(if plan.is_plain() { without_frame(compiled, context) } else { compiled })
}

/// Compiles a function that is written already, calls no import and has its arguments in registers.
///
/// # Errors
/// As [`compile_chunk`].
pub fn compile_function(
    function: Function,
    isa: &dyn TargetIsa,
    buffers: &mut Buffers,
) -> Result<Compiled, CompileError> {
    buffers.context.clear();
    buffers.context.func = function;
    let compiled = finish(&mut buffers.context, isa)?;
    Ok(without_frame(compiled, &buffers.context))
}

fn finish(context: &mut Context, isa: &dyn TargetIsa) -> Result<Compiled, CompileError> {
    let compiled = context.compile(isa, &mut ControlPlane::default());
    compiled.map_err(|e| CompileError::Backend(format!("{:?}", e.inner)))?;
    let Some(compiled) = context.compiled_code() else {
        return Err(CompileError::Backend("Cranelift returned no code".to_owned()));
    };
    let relocations = compiled.buffer.relocs().iter();
    let relocations = relocations.map(|r| ModuleReloc::from_mach_reloc(r, &context.func, FuncId::from_u32(0)));
    Ok(Compiled {
        bytes: compiled.code_buffer().to_vec(),
        entry: 0,
        alignment: u64::from(compiled.buffer.alignment),
        relocations: relocations.collect(),
    })
}

/// The function just compiled, whose arguments are in registers, without its frame if it keeps nothing on the stack and
/// calls nothing.
fn without_frame(mut compiled: Compiled, context: &Context) -> Compiled {
    let frame = context.compiled_code().and_then(|code| code.buffer.frame_layout());
    if frame.is_some_and(|frame| frame.frame_to_fp_offset == 0) && compiled.relocations.is_empty() {
        compiled.entry = frame::leave_out(&mut compiled.bytes);
    }
    compiled
}

/// The IR of one chunk as text, for people.
pub fn chunk_text(plan: &Plan, chunk: &Chunk, imports: &[Import], isa: &dyn TargetIsa) -> String {
    let mut function = Function::new();
    build(plan, chunk, Tables::default(), imports, isa, &mut function, &mut FunctionBuilderContext::new());
    function.display().to_string()
}

/// Writes the chunk into an empty function.
fn build(
    plan: &Plan,
    chunk: &Chunk,
    tables: Tables,
    imports: &[Import],
    isa: &dyn TargetIsa,
    function: &mut Function,
    buffer: &mut FunctionBuilderContext,
) {
    function.signature = chunk_signature(isa, plan.is_plain());
    let mut builder = FunctionBuilder::new(function, buffer);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    let mut emitter = Emitter::new(plan, chunk, tables, imports, isa, builder, block);
    let mut steps = plan.steps[chunk.steps.clone()].iter();
    while let Some(step) = steps.next() {
        match steps.as_slice().first().and_then(|next| emitter.constant_pair(step, next)) {
            Some(()) => {
                _ = steps.next();
                emitter.constants.step += 1;
            }
            None => emitter.step(step),
        }
        emitter.constants.step += 1;
    }
    emitter.builder.ins().return_(&[]);
    emitter.builder.finalize(isa.frontend_config());
}

/// A value inside its chunk.
#[derive(Clone, Copy)]
enum Local {
    Number(Value),
    Truth(Value),
}

struct Arguments {
    t: Value,
    dt: Value,
    x: Value,
    u: Value,
    d: Value,
    p: Value,
    scratch: Value,
    first: Value,
    dx: Value,
    second: Value,
}

impl Arguments {
    /// From the parameters of [`chunk_signature`]. What a plain plan does not read is never used.
    fn of(values: &[Value]) -> Self {
        if let &[x, p, first] = values {
            return Arguments { t: x, dt: x, x, u: x, d: x, p, scratch: x, first, dx: x, second: first };
        }
        Arguments {
            t: values[0],
            dt: values[1],
            x: values[2],
            u: values[3],
            d: values[4],
            p: values[5],
            scratch: values[6],
            first: values[7],
            dx: values[8],
            second: values[9],
        }
    }
}

struct Emitter<'a> {
    plan: &'a Plan,
    chunk: &'a Chunk,
    tables: Tables,
    /// Inside a loop.
    round: Option<Round>,
    imports: &'a [Import],
    isa: &'a dyn TargetIsa,
    builder: FunctionBuilder<'a>,
    arguments: Arguments,
    /// Of the chunk's values; `None` where the value is in its slot (members of groups).
    locals: Vec<Option<Local>>,
    constants: Constants,
    functions: Vec<Option<FuncRef>>,
}

impl<'a> Emitter<'a> {
    fn new(
        plan: &'a Plan,
        chunk: &'a Chunk,
        tables: Tables,
        imports: &'a [Import],
        isa: &'a dyn TargetIsa,
        builder: FunctionBuilder<'a>,
        block: Block,
    ) -> Self {
        let arguments = Arguments::of(builder.block_params(block));
        Emitter {
            plan,
            chunk,
            tables,
            round: None,
            imports,
            isa,
            builder,
            arguments,
            locals: vec![None; chunk.values.len()],
            constants: Constants::of(plan, chunk),
            functions: vec![None; imports.len()],
        }
    }

    /// Writes two neighboring outputs that are numbers by one instruction, if these are such.
    fn constant_pair(&mut self, step: &Step, next: &Step) -> Option<()> {
        let (
            Step::Output { output: first, operand: Operand::Const(a) },
            Step::Output { output: second, operand: Operand::Const(b) },
        ) = (step, next)
        else {
            return None;
        };
        let n_first = self.plan.n_first as u32;
        if *second != first + 1 || *second == n_first || self.has_lanes() {
            return None;
        }
        let bytes: Vec<u8> = [a, b].into_iter().flat_map(|c| c.to_bits().to_le_bytes()).collect();
        let constant = self.builder.func.dfg.constants.insert(bytes.into());
        let pair = self.builder.ins().vconst(F64X2, constant);
        let (pointer, index) = match first.checked_sub(n_first) {
            None => (self.arguments.first, *first),
            Some(index) => (self.arguments.second, index),
        };
        self.builder.ins().store(MemFlagsData::new().with_notrap(), pair, pointer, index as i32 * 8);
        Some(())
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Compute(value) => self.compute(*value),
            Step::Argument { group, member, operand } => {
                let value = self.number(operand);
                self.store(value, self.arguments.scratch, self.plan.groups[*group as usize].slot + member);
            }
            Step::Call { group } => {
                let group = self.plan.groups[*group as usize];
                self.call_slice(group.routine, group.slot, group.len);
            }
            Step::Output { output, operand } => {
                let value = self.number(operand);
                match output.checked_sub(self.plan.n_first as u32) {
                    None => self.store(value, self.arguments.first, *output),
                    Some(index) => self.store(value, self.arguments.second, index),
                }
            }
            Step::Keep { slot, operand } => {
                let value = self.number(operand);
                self.store(value, self.arguments.scratch, *slot);
            }
            Step::Loop { index } => self.run_loop(*index),
            Step::Apply { function, slot, len } => self.call_slice(Routine::One(*function), *slot, *len),
        }
    }

    fn call_slice(&mut self, routine: Routine, slot: u32, len: u32) {
        let width = if self.has_lanes() { 2 } else { 1 };
        let offset = self.builder.ins().iconst(I64, i64::from(slot) * 8 * width);
        let pointer = self.builder.ins().iadd(self.arguments.scratch, offset);
        let count = self.builder.ins().iconst(I64, i64::from(len) * width);
        self.call(slice_symbol(routine), &[pointer, count]);
    }

    fn compute(&mut self, value: ValueId) {
        let plan = self.plan;
        let local = match &plan.ops[value.0 as usize] {
            Op::Unary(op, a) => self.unary(*op, a),
            Op::Binary(op, a, b) => self.binary(*op, a, b),
            Op::PowI(a, n) => Local::Number(self.power(a, *n)),
            Op::Sum { start, terms } => Local::Number(self.sum(start.as_ref(), terms)),
            Op::Compare(op, a, b) => self.compare(*op, a, b),
            Op::Select { condition, then, otherwise } => {
                let condition = self.truth(condition);
                let (then, otherwise) = (self.number(then), self.number(otherwise));
                Local::Number(self.choose(condition, then, otherwise))
            }
            // Left in its slot by the call.
            Op::Grouped { .. } => return,
        };
        self.locals[(value.0 - self.chunk.values.start) as usize] = Some(local);
        if let Some(slot) = plan.slots[value.0 as usize] {
            let number = self.number(&Operand::Value(value));
            self.store(number, self.arguments.scratch, slot);
        }
    }

    /// An operand as a number.
    fn number(&mut self, operand: &Operand) -> Value {
        if self.has_lanes() {
            return self.lane_number(operand);
        }
        if self.round.is_some() {
            return self.loop_number(operand);
        }
        let readonly = MemFlagsData::trusted().with_readonly().with_can_move();
        let (pointer, index) = match *operand {
            Operand::Const(c) => return self.kept_constant(c).unwrap_or_else(|| self.builder.ins().f64const(c)),
            Operand::Leaf(Leaf::Time) => return self.arguments.t,
            Operand::Leaf(Leaf::DirectionTime) => return self.arguments.dt,
            Operand::Leaf(Leaf::State(k)) => (self.arguments.x, k),
            Operand::Leaf(Leaf::Param(k)) => (self.arguments.p, k),
            Operand::Leaf(Leaf::Input(k)) => (self.arguments.u, k),
            Operand::Leaf(Leaf::Disturbance(k)) => (self.arguments.d, k),
            Operand::Leaf(Leaf::Direction(k)) => (self.arguments.dx, k),
            Operand::Slot(slot) => return self.load_slot(slot),
            Operand::Value(value) => match self.local(value) {
                Some(Local::Number(number)) => return number,
                Some(Local::Truth(truth)) => return self.truth_as_number(truth),
                None => return self.load_slot(self.plan.slots[value.0 as usize].unwrap_or(0)),
            },
            // Only loops have streams.
            Operand::Each(_) => return self.builder.ins().f64const(0.0),
        };
        self.builder.ins().load(F64, readonly, pointer, index as i32 * 8)
    }

    fn load_slot(&mut self, slot: u32) -> Value {
        self.builder.ins().load(F64, MemFlagsData::trusted(), self.arguments.scratch, slot as i32 * 8)
    }

    /// A value computed earlier in this chunk; `None` where it is in its slot.
    fn local(&self, value: ValueId) -> Option<Local> {
        let index = value.0.checked_sub(self.chunk.values.start)?;
        self.locals.get(index as usize).copied().flatten()
    }

    fn store(&mut self, value: Value, pointer: Value, index: u32) {
        if self.has_lanes() {
            return self.store_lanes(value, pointer, index);
        }
        self.builder.ins().store(MemFlagsData::trusted(), value, pointer, index as i32 * 8);
    }

    /// The result of an import, if it has one.
    fn call(&mut self, name: &str, arguments: &[Value]) -> Option<Value> {
        let index = self.imports.iter().position(|i| i.name == name)?;
        let function = match self.functions[index] {
            Some(function) => function,
            None => {
                let Import { shape, id, .. } = self.imports[index];
                let signature = self.builder.import_signature(import_signature(self.isa, shape));
                let name = UserExternalName { namespace: 0, index: id.as_u32() };
                let name = ExternalName::user(self.builder.func.declare_imported_user_function(name));
                // Far away: the module's memory may be anywhere.
                let data = ExtFuncData { name, signature, colocated: false, patchable: false };
                *self.functions[index].insert(self.builder.import_function(data))
            }
        };
        let call = self.builder.ins().call(function, arguments);
        self.builder.inst_results(call).first().copied()
    }
}

fn slice_symbol(routine: Routine) -> &'static str {
    match routine {
        Routine::One(SliceFunction::Exp) => "slice_exp",
        Routine::One(SliceFunction::Ln) => "slice_ln",
        Routine::One(SliceFunction::Tanh) => "slice_tanh",
        Routine::One(SliceFunction::Sin) => "slice_sin",
        Routine::One(SliceFunction::Cos) => "slice_cos",
        Routine::Pow => "slice_pow",
    }
}
