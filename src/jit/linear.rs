//! Machine code for the elimination of one sparse pattern: [`Code`] implements [`LuCode`].
//!
//! From what [`Symbolic`] says, factorisation and solves are written out as straight-line code: no loops, no indices; the
//! shift is folded into the columns and the order of elimination into the addresses. What is factorised is
//! `J - shift I`, which saves all negations: with `i = -1/pivot`, kept are i, the columns of L times i and the rows
//! of U times i, and a solve adds products of these. Growth is checked as [`crate::linalg::SparseLu`] does.
//!
//! Products and sums are contracted to fused multiply-adds where the machine has them and strict math is off, so that
//! the last digits of a solution may differ from one kind of machine to another.

use std::sync::OnceLock;

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F64, F64X2, I8, I64};
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, MemFlagsData, Signature, Type, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use super::CompileError;
use super::compiler::Compiler;
use super::kernel::Stream;
use crate::linalg::{BandedLu, CscPattern, GROWTH, LANES, LuCode, Symbolic};

/// Code takes the time to make that it saves in about 2000 steps against the algorithm, whatever the size
/// (benches/linear.rs). Up to this many multiplications in a factorisation that is some milliseconds, which a single
/// simulation bears and a calibration wins back.
const MOST_OPERATIONS: usize = 1_000;
/// Entries of L and U, likewise.
const MOST_FILL: usize = 500;
/// So many instructions after it was computed a factor is read again instead of kept: long lives take time to assign
/// registers to, and end in memory all the same (chosen by benchmark, as the next one).
const FACTOR_REACH: usize = 100;
/// The same of right-hand sides that are vectors.
const LANES_REACH: usize = 40;
/// From this order on a band is solved as fast without code, unless elimination in another order spares much of it: from
/// its ends it waits for one pivot after the other, here as there (benches/linear.rs).
const BANDED_ORDER: usize = 32;
/// Instructions of a function after which another one is begun.
const CHUNK: usize = 600;

/// The signature of a function: `(shift, read, written) -> 1 where all pivots are sound`.
pub(super) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(F64), AbiParam::new(I64), AbiParam::new(I64)]);
    signature.returns.push(AbiParam::new(I8));
    signature
}

/// Straight-line functions over one slice that is read and one that is read and written, called one after the other.
pub(super) struct StreamCode {
    pub(super) functions: Vec<Function>,
    /// Length of the slice that is read.
    pub(super) n_read: usize,
    /// Length of the slice that is written.
    pub(super) n_written: usize,
}

/// The factorisation and the solves of one pattern.
pub struct Code {
    compiler: Compiler,
    symbolic: Symbolic,
    uses_fma: bool,
    factorize: Stream,
    solve: Stream,
    /// For several right-hand sides; compiled when first needed.
    lanes: OnceLock<Option<Stream>>,
}

impl Code {
    /// Compiles the elimination of `shift I - J` for Jacobians of one pattern. `None` where it is too large for
    /// straight-line code or a band is solved as fast.
    ///
    /// # Errors
    /// Where Cranelift has no back end for this machine or refuses the code.
    pub fn new(pattern: &CscPattern, strict_math: bool) -> Result<Option<Code>, CompileError> {
        let n = pattern.n_cols();
        // A column has its diagonal, so this spares ordering what is too large in any order.
        if n == 0 || pattern.nnz().max(n) > MOST_FILL {
            return Ok(None);
        }
        let Some(symbolic) = Symbolic::new(pattern) else { return Ok(None) };
        let is_large = symbolic.operations() > MOST_OPERATIONS || symbolic.fill() > MOST_FILL;
        if is_large || (n >= BANDED_ORDER && is_full_band(pattern, &symbolic)) {
            return Ok(None);
        }
        let compiler = Compiler::plain()?;
        let uses_fma = !strict_math && has_fma();
        let n_factors = symbolic.fill();
        let factorize = StreamCode {
            functions: write_factorization(&symbolic, compiler.isa(), uses_fma),
            n_read: pattern.nnz(),
            n_written: n_factors,
        };
        let solve = StreamCode {
            functions: write_solve(&symbolic, compiler.isa(), uses_fma, F64, 1),
            n_read: n_factors,
            n_written: n,
        };
        let mut streams = compiler.compile_streams(vec![factorize, solve])?.into_iter();
        let (Some(factorize), Some(solve)) = (streams.next(), streams.next()) else { return Ok(None) };
        Ok(Some(Code { compiler, symbolic, uses_fma, factorize, solve, lanes: OnceLock::new() }))
    }

    /// Compiles the solve for several right-hand sides, if it is not compiled yet. `None` where Cranelift refuses it.
    pub fn lanes(&self) -> Option<&Stream> {
        let compile = || {
            let isa = self.compiler.isa();
            let functions = write_solve(&self.symbolic, isa, self.uses_fma, F64X2, LANES);
            let (n_read, n_written) = (self.symbolic.fill(), self.symbolic.n() * LANES);
            self.compiler.compile_streams(vec![StreamCode { functions, n_read, n_written }]).ok()?.pop()
        };
        self.lanes.get_or_init(compile).as_ref()
    }
}

impl LuCode for Code {
    fn n_factors(&self) -> usize {
        self.symbolic.fill()
    }

    fn factorize(&self, shift: f64, jacobian: &[f64], factors: &mut [f64]) -> bool {
        self.factorize.call(shift, jacobian, factors)
    }

    fn solve(&self, factors: &[f64], b: &mut [f64]) {
        self.solve.call(0.0, factors, b);
    }

    fn solve_lanes(&self, factors: &[f64], b: &mut [f64]) {
        match self.lanes() {
            Some(lanes) => {
                lanes.call(0.0, factors, b);
            }
            None => b.fill(f64::NAN),
        }
    }
}

/// True where the fill is that of a band as a whole.
fn is_full_band(pattern: &CscPattern, symbolic: &Symbolic) -> bool {
    let n_band = |band: BandedLu| (2 * band.half_bandwidth() + 1) * symbolic.n();
    BandedLu::new(pattern).is_some_and(|band| 4 * symbolic.fill() > 3 * n_band(band))
}

/// True where fused multiply-add is one instruction.
fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("avx")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        cfg!(target_arch = "aarch64")
    }
}

/// Where the factors stand: the entries of L by columns, the inverses, the entries of U by columns.
fn lower_index(q: usize) -> usize {
    q
}

fn inverse_index(symbolic: &Symbolic, j: usize) -> usize {
    symbolic.n_lower() + j
}

fn upper_index(symbolic: &Symbolic, q: usize) -> usize {
    symbolic.n_lower() + symbolic.n() + q
}

/// One function being written after another.
struct Writer<'a> {
    isa: &'a dyn TargetIsa,
    uses_fma: bool,
    functions: Vec<Function>,
}

/// The function being written.
struct Body<'a> {
    builder: FunctionBuilder<'a>,
    shift: Value,
    read: Value,
    written: Value,
    uses_fma: bool,
    n_instructions: usize,
}

impl Writer<'_> {
    /// Writes one function; `fill` returns whether all is sound.
    fn function(&mut self, context: &mut FunctionBuilderContext, fill: impl FnOnce(&mut Body<'_>) -> Option<Value>) {
        let mut function = Function::new();
        function.signature = signature(self.isa);
        let mut builder = FunctionBuilder::new(&mut function, context);
        let block = builder.create_block();
        builder.append_block_params_for_function_params(block);
        builder.switch_to_block(block);
        builder.seal_block(block);
        let [shift, read, written] = [0, 1, 2].map(|i| builder.block_params(block)[i]);
        let mut body = Body { builder, shift, read, written, uses_fma: self.uses_fma, n_instructions: 0 };
        let sound = fill(&mut body);
        let sound = sound.unwrap_or_else(|| body.builder.ins().iconst(I8, 1));
        body.builder.ins().return_(&[sound]);
        body.builder.finalize(self.isa.frontend_config());
        self.functions.push(function);
    }
}

impl Body<'_> {
    /// An element of the slice that is only read.
    fn constant(&mut self, index: usize) -> Value {
        self.n_instructions += 1;
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        self.builder.ins().load(F64, flags, self.read, index as i32 * 8)
    }

    /// An element, or two, of the slice that is written.
    fn load(&mut self, of: Type, index: usize) -> Value {
        self.n_instructions += 1;
        self.builder.ins().load(of, MemFlagsData::trusted(), self.written, index as i32 * 8)
    }

    fn store(&mut self, value: Value, index: usize) {
        self.n_instructions += 1;
        self.builder.ins().store(MemFlagsData::trusted(), value, self.written, index as i32 * 8);
    }

    fn product(&mut self, a: Value, b: Value) -> Value {
        self.n_instructions += 1;
        self.builder.ins().fmul(a, b)
    }

    /// `a b + sum`
    fn multiply_add(&mut self, a: Value, b: Value, sum: Value) -> Value {
        if self.uses_fma {
            self.n_instructions += 1;
            return self.builder.ins().fma(a, b, sum);
        }
        self.n_instructions += 2;
        let product = self.builder.ins().fmul(a, b);
        self.builder.ins().fadd(sum, product)
    }

    fn is_less(&mut self, a: Value, b: Value) -> Value {
        self.n_instructions += 2;
        self.builder.ins().fcmp(FloatCC::LessThan, a, b)
    }
}

/// Column after column: what has come from the columns of L before, the pivot, the column of L.
fn write_factorization(symbolic: &Symbolic, isa: &dyn TargetIsa, uses_fma: bool) -> Vec<Function> {
    let mut writer = Writer { isa, uses_fma, functions: Vec::new() };
    let mut context = FunctionBuilderContext::new();
    let n = symbolic.n();
    let mut next = 0;
    while next < n {
        writer.function(&mut context, |body| {
            let mut column: Vec<Option<Value>> = vec![None; n];
            // Factors computed in this function.
            let mut known: Vec<Option<(Value, usize)>> = vec![None; symbolic.fill()];
            let mut sound: Option<Value> = None;
            while next < n && body.n_instructions < CHUNK {
                let is_sound = write_column(symbolic, body, next, &mut column, &mut known);
                sound = Some(match sound {
                    Some(sound) => body.builder.ins().band(sound, is_sound),
                    None => is_sound,
                });
                next += 1;
            }
            sound
        });
    }
    writer.functions
}

/// One column; returns whether its pivot is sound. `column` is empty before and after.
fn write_column(
    symbolic: &Symbolic,
    body: &mut Body<'_>,
    j: usize,
    column: &mut [Option<Value>],
    known: &mut [Option<(Value, usize)>],
) -> Value {
    for &(row, k) in symbolic.entries(j) {
        column[row as usize] = Some(body.constant(k as usize));
    }
    let diagonal = match column[j] {
        Some(value) => body.builder.ins().fsub(value, body.shift),
        None => body.builder.ins().fneg(body.shift),
    };
    column[j] = Some(diagonal);
    let own = body.builder.ins().fabs(diagonal);
    let mut size = own;
    for (&k, q) in symbolic.upper(j).iter().zip(symbolic.upper_range(j)) {
        let k = k as usize;
        let Some(factor) = column[k].take() else { continue };
        let inverse = factor_value(body, known, inverse_index(symbolic, k));
        let scaled = body.product(factor, inverse);
        body.store(scaled, upper_index(symbolic, q));
        for (&row, q) in symbolic.lower(k).iter().zip(symbolic.lower_range(k)) {
            let row = row as usize;
            let multiplier = factor_value(body, known, lower_index(q));
            if row == j {
                let product = body.product(multiplier, factor);
                let magnitude = body.builder.ins().fabs(product);
                size = body.builder.ins().fadd(size, magnitude);
                body.n_instructions += 2;
            }
            column[row] = Some(match column[row] {
                Some(value) => body.multiply_add(multiplier, factor, value),
                None => body.product(multiplier, factor),
            });
        }
    }
    let pivot = column[j].take().unwrap_or(diagonal);
    let minus_one = body.builder.ins().f64const(-1.0);
    let inverse = body.builder.ins().fdiv(minus_one, pivot);
    body.store(inverse, inverse_index(symbolic, j));
    known[inverse_index(symbolic, j)] = Some((inverse, body.n_instructions));
    for (&row, q) in symbolic.lower(j).iter().zip(symbolic.lower_range(j)) {
        let Some(value) = column[row as usize].take() else { continue };
        let multiplier = body.product(value, inverse);
        body.store(multiplier, lower_index(q));
        known[lower_index(q)] = Some((multiplier, body.n_instructions));
    }
    let share = body.builder.ins().f64const(1.0 / GROWTH);
    let least = body.product(size, share);
    let magnitude = body.builder.ins().fabs(pivot);
    body.n_instructions += 6;
    // Comparisons that values which are not numbers fail. The share of an infinite size is infinite.
    let is_large = body.is_less(least, magnitude);
    if size == own {
        return is_large;
    }
    let was_large = body.is_less(least, own);
    body.builder.ins().band(is_large, was_large)
}

/// A factor, from this function or an earlier one.
fn factor_value(body: &mut Body<'_>, known: &[Option<(Value, usize)>], index: usize) -> Value {
    match known[index] {
        Some((value, at)) if body.n_instructions - at < FACTOR_REACH => value,
        Some(_) | None => body.load(F64, index),
    }
}

/// Row after row downwards with L, then upwards with U. `b` has `sides` columns, of which a value holds those of `of`.
fn write_solve(symbolic: &Symbolic, isa: &dyn TargetIsa, uses_fma: bool, of: Type, sides: usize) -> Vec<Function> {
    let n = symbolic.n();
    // Rows of L and of U: the column, and the index among the factors; what is computed last comes last.
    let (mut lower, mut upper) = (vec![Vec::new(); n], vec![Vec::new(); n]);
    for j in 0..n {
        for (&row, q) in symbolic.lower(j).iter().zip(symbolic.lower_range(j)) {
            lower[row as usize].push((j, lower_index(q)));
        }
    }
    for j in (0..n).rev() {
        for (&row, q) in symbolic.upper(j).iter().zip(symbolic.upper_range(j)) {
            upper[row as usize].push((j, upper_index(symbolic, q)));
        }
    }
    let per_value = of.lane_count() as usize;
    let n_values = sides / per_value;
    let reach = if per_value == 1 { usize::MAX } else { LANES_REACH };
    let address = |row: usize, v: usize| symbolic.order()[row] as usize * sides + v * per_value;
    let mut writer = Writer { isa, uses_fma, functions: Vec::new() };
    let mut context = FunctionBuilderContext::new();
    // First the rows downwards, then those upwards.
    let steps: Vec<(bool, usize)> = (0..n).map(|i| (true, i)).chain((0..n).rev().map(|i| (false, i))).collect();
    let mut next = 0;
    while next < steps.len() {
        writer.function(&mut context, |body| {
            let mut known: Vec<Option<(Value, usize)>> = vec![None; n * n_values];
            let mut factors: Vec<Option<Value>> = vec![None; symbolic.fill()];
            while next < steps.len() && body.n_instructions < CHUNK {
                let (is_down, row) = steps[next];
                next += 1;
                // A row of L without entries leaves its side as it is.
                if is_down && lower[row].is_empty() {
                    continue;
                }
                let mut spread = |body: &mut Body<'_>, index: usize| match factors[index] {
                    Some(value) => value,
                    None => {
                        let value = body.constant(index);
                        let value = if per_value == 1 { value } else { body.builder.ins().splat(of, value) };
                        if n_values > 1 {
                            factors[index] = Some(value);
                        }
                        value
                    }
                };
                for v in 0..n_values {
                    let mut get = |body: &mut Body<'_>, row: usize| match known[row * n_values + v] {
                        Some((value, at)) if body.n_instructions - at < reach => value,
                        Some(_) | None => {
                            let value = body.load(of, address(row, v));
                            known[row * n_values + v] = Some((value, body.n_instructions));
                            value
                        }
                    };
                    let mut value = get(body, row);
                    if !is_down {
                        let inverse = spread(body, inverse_index(symbolic, row));
                        value = body.product(inverse, value);
                    }
                    for &(j, index) in if is_down { &lower[row] } else { &upper[row] } {
                        let other = get(body, j);
                        let factor = spread(body, index);
                        value = body.multiply_add(factor, other, value);
                    }
                    body.store(value, address(row, v));
                    known[row * n_values + v] = Some((value, body.n_instructions));
                }
            }
            None
        });
    }
    writer.functions
}
