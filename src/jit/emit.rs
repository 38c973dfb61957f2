//! From one chunk of a plan to machine code: straight-line Cranelift IR, then Cranelift's compiler.
//!
//! Leaves are loaded where they are used; Cranelift merges the loads of one chunk (they are marked as constant). A truth value is an `i8` inside its chunk and 1.0 or 0.0 outside. Nothing is contracted or reordered:
//! every operation is the interpreter's, in the interpreter's order.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I8, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder, MemFlagsData, Signature,
    UserExternalName, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, ModuleReloc};

use super::CompileError;
use super::math::{Shape, SliceFunction};
use super::plan::{Chunk, Op, Operand, Plan, PlanTerm, Step, ValueId};
use crate::expr::{BinaryOp, Compare, Leaf, UnaryOp};

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
    /// Alignment of the first byte.
    pub alignment: u64,
    /// Places that need the address of an import.
    pub relocations: Vec<ModuleReloc>,
}

/// The signature of a chunk:
/// `(t, dt, x, u, d, p, scratch, first output, dx, second output)`. The first six pointers go in registers (x86-64
/// System V); the two that few kernels need come last.
pub fn chunk_signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(F64); 2]);
    signature.params.extend([AbiParam::new(I64); 8]);
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
    imports: &[Import],
    isa: &dyn TargetIsa,
    buffers: &mut Buffers,
) -> Result<Compiled, CompileError> {
    let Buffers { context, builder } = buffers;
    context.clear();
    build(plan, chunk, imports, isa, &mut context.func, builder);
    finish(context, isa)
}

/// Compiles a function that is written already and calls no import.
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
    finish(&mut buffers.context, isa)
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
        alignment: u64::from(compiled.buffer.alignment),
        relocations: relocations.collect(),
    })
}

/// The IR of one chunk as text, for people.
pub fn chunk_text(plan: &Plan, chunk: &Chunk, imports: &[Import], isa: &dyn TargetIsa) -> String {
    let mut function = Function::new();
    build(plan, chunk, imports, isa, &mut function, &mut FunctionBuilderContext::new());
    function.display().to_string()
}

/// Writes the chunk into an empty function.
fn build(
    plan: &Plan,
    chunk: &Chunk,
    imports: &[Import],
    isa: &dyn TargetIsa,
    function: &mut Function,
    buffer: &mut FunctionBuilderContext,
) {
    function.signature = chunk_signature(isa);
    let mut builder = FunctionBuilder::new(function, buffer);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    let mut emitter = Emitter::new(plan, chunk, imports, isa, builder, block);
    plan.steps[chunk.steps.clone()].iter().for_each(|step| emitter.step(step));
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

struct Emitter<'a> {
    plan: &'a Plan,
    chunk: &'a Chunk,
    imports: &'a [Import],
    isa: &'a dyn TargetIsa,
    builder: FunctionBuilder<'a>,
    arguments: Arguments,
    /// Of the chunk's values; `None` where the value is in its slot (members of groups).
    locals: Vec<Option<Local>>,
    functions: Vec<Option<FuncRef>>,
}

impl<'a> Emitter<'a> {
    fn new(
        plan: &'a Plan,
        chunk: &'a Chunk,
        imports: &'a [Import],
        isa: &'a dyn TargetIsa,
        builder: FunctionBuilder<'a>,
        block: Block,
    ) -> Self {
        let values = builder.block_params(block);
        let arguments = Arguments {
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
        };
        Emitter {
            plan,
            chunk,
            imports,
            isa,
            builder,
            arguments,
            locals: vec![None; chunk.values.len()],
            functions: vec![None; imports.len()],
        }
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
                let offset = self.builder.ins().iconst(I64, i64::from(group.slot) * 8);
                let pointer = self.builder.ins().iadd(self.arguments.scratch, offset);
                let count = self.builder.ins().iconst(I64, i64::from(group.len));
                self.call(slice_symbol(group.function), &[pointer, count]);
            }
            Step::Output { output, operand } => {
                let value = self.number(operand);
                match output.checked_sub(self.plan.n_first as u32) {
                    None => self.store(value, self.arguments.first, *output),
                    Some(index) => self.store(value, self.arguments.second, index),
                }
            }
        }
    }

    fn compute(&mut self, value: ValueId) {
        let plan = self.plan;
        let local = match &plan.ops[value.0 as usize] {
            Op::Unary(op, a) => self.unary(*op, a),
            Op::Binary(op, a, b) => self.binary(*op, a, b),
            Op::PowI(a, n) => Local::Number(self.power(a, *n)),
            Op::Sum { start, terms } => Local::Number(self.sum(start.as_ref(), terms)),
            Op::Compare(op, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                let condition = match op {
                    Compare::Lt => FloatCC::LessThan,
                    Compare::Le => FloatCC::LessThanOrEqual,
                    Compare::Eq => FloatCC::Equal,
                    Compare::Ne => FloatCC::NotEqual,
                };
                Local::Truth(self.builder.ins().fcmp(condition, a, b))
            }
            Op::Select { condition, then, otherwise } => {
                let condition = self.truth(condition);
                let (then, otherwise) = (self.number(then), self.number(otherwise));
                Local::Number(self.builder.ins().select(condition, then, otherwise))
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

    fn unary(&mut self, op: UnaryOp, a: &Operand) -> Local {
        if op == UnaryOp::Not {
            let a = self.truth(a);
            let zero = self.builder.ins().iconst(I8, 0);
            return Local::Truth(self.builder.ins().icmp(IntCC::Equal, a, zero));
        }
        let x = self.number(a);
        let number = match op {
            UnaryOp::Sqrt => self.builder.ins().sqrt(x),
            UnaryOp::Abs => self.builder.ins().fabs(x),
            UnaryOp::Floor => self.builder.ins().floor(x),
            UnaryOp::Ceil => self.builder.ins().ceil(x),
            UnaryOp::Sign => {
                let zero = self.number(&Operand::Const(0.0));
                let (one, minus_one) = (self.number(&Operand::Const(1.0)), self.number(&Operand::Const(-1.0)));
                let is_negative = self.builder.ins().fcmp(FloatCC::LessThan, x, zero);
                let below = self.builder.ins().select(is_negative, minus_one, zero);
                let is_positive = self.builder.ins().fcmp(FloatCC::GreaterThan, x, zero);
                self.builder.ins().select(is_positive, one, below)
            }
            UnaryOp::Exp => self.elementary(x, "exp", "own_exp"),
            UnaryOp::Ln => self.elementary(x, "ln", "own_ln"),
            UnaryOp::Sin => self.elementary(x, "sin", "own_sin"),
            UnaryOp::Cos => self.elementary(x, "cos", "own_cos"),
            UnaryOp::Tanh => self.elementary(x, "tanh", "own_tanh"),
            UnaryOp::Log10 => self.call_one("log10", x),
            UnaryOp::Tan => self.call_one("tan", x),
            UnaryOp::Asin => self.call_one("asin", x),
            UnaryOp::Acos => self.call_one("acos", x),
            UnaryOp::Atan => self.call_one("atan", x),
            UnaryOp::Sinh => self.call_one("sinh", x),
            UnaryOp::Cosh => self.call_one("cosh", x),
            UnaryOp::Not => x,
        };
        Local::Number(number)
    }

    fn binary(&mut self, op: BinaryOp, a: &Operand, b: &Operand) -> Local {
        if let BinaryOp::And | BinaryOp::Or = op {
            let (a, b) = (self.truth(a), self.truth(b));
            let ins = self.builder.ins();
            return Local::Truth(if op == BinaryOp::And { ins.band(a, b) } else { ins.bor(a, b) });
        }
        let (x, y) = (self.number(a), self.number(b));
        let number = match op {
            BinaryOp::Mul => self.builder.ins().fmul(x, y),
            BinaryOp::Div => self.builder.ins().fdiv(x, y),
            BinaryOp::Min | BinaryOp::Max => {
                // Not `fmin`, whose result for ties and not-a-number is another one.
                let condition = if op == BinaryOp::Min { FloatCC::LessThan } else { FloatCC::GreaterThan };
                let takes_first = self.builder.ins().fcmp(condition, x, y);
                self.builder.ins().select(takes_first, x, y)
            }
            BinaryOp::Mod => {
                let quotient = self.builder.ins().fdiv(x, y);
                let whole = self.builder.ins().floor(quotient);
                let product = self.builder.ins().fmul(y, whole);
                self.builder.ins().fsub(x, product)
            }
            BinaryOp::Pow => self.call_two("pow", x, y),
            BinaryOp::Atan2 => self.call_two("atan2", x, y),
            BinaryOp::And | BinaryOp::Or => x,
        };
        Local::Number(number)
    }

    /// The order of [`crate::expr::ops::powi`].
    fn power(&mut self, a: &Operand, n: i32) -> Value {
        let mut bits = n.unsigned_abs();
        let mut square = self.number(a);
        let mut product = None;
        while bits != 0 {
            if bits & 1 == 1 {
                product = Some(match product {
                    Some(p) => self.builder.ins().fmul(p, square),
                    None => square,
                });
            }
            bits >>= 1;
            if bits != 0 {
                square = self.builder.ins().fmul(square, square);
            }
        }
        let one = Operand::Const(1.0);
        let product = match product {
            Some(p) => p,
            None => self.number(&one),
        };
        if n < 0 {
            let one = self.number(&one);
            return self.builder.ins().fdiv(one, product);
        }
        product
    }

    /// Left to right. Where the leading terms are negative, their magnitudes are added and subtracted from the first
    /// positive term, which spares the negation. This gives the same bits, except that an exact cancellation of the
    /// leading terms may turn a 0 into a −0; so strict math does it with a single leading term only, where it cannot.
    fn sum(&mut self, start: Option<&Operand>, terms: &[PlanTerm]) -> Value {
        let mut total = start.map(|operand| self.number(operand));
        let n_leading = terms.iter().take_while(|t| is_negative(t)).count();
        let owes_sign =
            total.is_none() && (1..terms.len()).contains(&n_leading) && (n_leading == 1 || !self.plan.strict_math);
        for (idx, term) in terms.iter().enumerate() {
            let PlanTerm { coefficient, operand } = *term;
            let (magnitude, operand) = match operand {
                Operand::Const(c) => (1.0, Operand::Const((coefficient * c).abs())),
                Operand::Leaf(_) | Operand::Value(_) => (coefficient.abs(), operand),
            };
            let value = self.number(&operand);
            let value = self.scaled(value, magnitude);
            let is_leading = owes_sign && idx < n_leading;
            total = Some(match total {
                None if is_negative(term) && !owes_sign => self.scaled(value, -1.0),
                None => value,
                Some(sum) if is_leading => self.builder.ins().fadd(sum, value),
                Some(sum) if owes_sign && idx == n_leading => self.builder.ins().fsub(value, sum),
                Some(sum) if is_negative(term) => self.builder.ins().fsub(sum, value),
                Some(sum) => self.builder.ins().fadd(sum, value),
            });
        }
        match total {
            Some(total) => total,
            None => self.number(&Operand::Const(0.0)),
        }
    }

    /// `factor · value`; a negation too is a product, which takes one instruction where flipping the sign takes three.
    fn scaled(&mut self, value: Value, factor: f64) -> Value {
        if factor == 1.0 {
            return value;
        }
        let factor = self.number(&Operand::Const(factor));
        self.builder.ins().fmul(value, factor)
    }

    /// An operand as a number.
    fn number(&mut self, operand: &Operand) -> Value {
        let readonly = MemFlagsData::trusted().with_readonly().with_can_move();
        let (pointer, index) = match *operand {
            Operand::Const(c) => return self.builder.ins().f64const(c),
            Operand::Leaf(Leaf::Time) => return self.arguments.t,
            Operand::Leaf(Leaf::DirectionTime) => return self.arguments.dt,
            Operand::Leaf(Leaf::State(k)) => (self.arguments.x, k),
            Operand::Leaf(Leaf::Param(k)) => (self.arguments.p, k),
            Operand::Leaf(Leaf::Input(k)) => (self.arguments.u, k),
            Operand::Leaf(Leaf::Disturbance(k)) => (self.arguments.d, k),
            Operand::Leaf(Leaf::Direction(k)) => (self.arguments.dx, k),
            Operand::Value(value) => match self.local(value) {
                Some(Local::Number(number)) => return number,
                Some(Local::Truth(truth)) => {
                    let (one, zero) = (self.builder.ins().f64const(1.0), self.builder.ins().f64const(0.0));
                    return self.builder.ins().select(truth, one, zero);
                }
                None => {
                    let slot = self.plan.slots[value.0 as usize].unwrap_or(0);
                    let offset = slot as i32 * 8;
                    let flags = MemFlagsData::trusted();
                    return self.builder.ins().load(F64, flags, self.arguments.scratch, offset);
                }
            },
        };
        self.builder.ins().load(F64, readonly, pointer, index as i32 * 8)
    }

    /// An operand as a truth value: different from zero.
    fn truth(&mut self, operand: &Operand) -> Value {
        if let Operand::Value(value) = operand
            && let Some(Local::Truth(truth)) = self.local(*value)
        {
            return truth;
        }
        let number = self.number(operand);
        let zero = self.builder.ins().f64const(0.0);
        self.builder.ins().fcmp(FloatCC::NotEqual, number, zero)
    }

    /// A value computed earlier in this chunk; `None` where it is in its slot.
    fn local(&self, value: ValueId) -> Option<Local> {
        let index = value.0.checked_sub(self.chunk.values.start)?;
        self.locals.get(index as usize).copied().flatten()
    }

    fn store(&mut self, value: Value, pointer: Value, index: u32) {
        self.builder.ins().store(MemFlagsData::trusted(), value, pointer, index as i32 * 8);
    }

    fn elementary(&mut self, x: Value, library: &str, own: &str) -> Value {
        let name = if self.plan.strict_math { library } else { own };
        self.call_one(name, x)
    }

    fn call_one(&mut self, name: &str, x: Value) -> Value {
        self.call(name, &[x]).unwrap_or(x)
    }

    fn call_two(&mut self, name: &str, x: Value, y: Value) -> Value {
        self.call(name, &[x, y]).unwrap_or(x)
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

/// True where a term is subtracted.
fn is_negative(term: &PlanTerm) -> bool {
    let sign = match term.operand {
        Operand::Const(c) => c,
        Operand::Leaf(_) | Operand::Value(_) => 1.0,
    };
    term.coefficient * sign < 0.0
}

fn slice_symbol(function: SliceFunction) -> &'static str {
    match function {
        SliceFunction::Exp => "slice_exp",
        SliceFunction::Ln => "slice_ln",
        SliceFunction::Tanh => "slice_tanh",
        SliceFunction::Sin => "slice_sin",
        SliceFunction::Cos => "slice_cos",
    }
}
