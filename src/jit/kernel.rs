//! Machine code in memory, and the one safe way to call it.
//!
//! A [`Compiler`] turns plans into [`Kernel`]s that share one block of executable memory ([`Code`]), which is freed
//! when the last of them is dropped. Kernels are immutable and may be called from many threads at once.

use std::sync::Arc;

use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, ModuleError, default_libcall_names};

use super::CompileError;
use super::emit::{self, Buffers, Compiled, Import, Tables};
use super::linear::{self, StreamCode};
use super::math::Symbol;
use super::plan::{Chunk, Plan, Reads};
use crate::system::{At, Work};

/// Below this many estimated instructions, threads cost more than they save.
const PARALLEL_FROM: usize = 4_000;

/// See [`emit::chunk_signature`].
type Entry = unsafe extern "C" fn(
    f64,
    f64,
    *const f64,
    *const f64,
    *const f64,
    *const f64,
    *mut f64,
    *mut f64,
    *const f64,
    *mut f64,
);

/// See [`linear::signature`].
type StreamEntry = unsafe extern "C" fn(f64, *const f64, *mut f64) -> u8;

/// Of a plain plan; see [`emit::chunk_signature`].
type PlainEntry = unsafe extern "C" fn(*const f64, *const f64, *mut f64);

/// Executable memory; freed when dropped.
struct Code {
    /// `None` only while dropping.
    module: Option<JITModule>,
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: every `Kernel` with an entry into this memory holds an `Arc` of this `Code`, so none is left,
            // and none is running, since calls borrow their kernel.
            unsafe { module.free_memory() };
        }
    }
}

/// A plan's tables, at addresses that its code contains.
struct TableData {
    numbers: Box<[f64]>,
    indices: Box<[u32]>,
}

impl TableData {
    fn of(plan: &Plan) -> Self {
        TableData { numbers: plan.numbers.as_slice().into(), indices: plan.indices.as_slice().into() }
    }

    fn addresses(&self) -> Tables {
        Tables { numbers: self.numbers.as_ptr() as usize, indices: self.indices.as_ptr() as usize }
    }
}

/// Makes kernels for this machine.
#[derive(Clone)]
pub struct Compiler {
    isa: OwnedTargetIsa,
}

impl Compiler {
    /// For the machine this runs on.
    ///
    /// # Errors
    /// Where Cranelift has no back end for it.
    pub fn new() -> Result<Self, CompileError> {
        // Against "none", a third more compile time and a fifth less run time (benches/kernels.rs): it merges loads and
        // moves operations to their use.
        Self::with_level("speed")
    }

    /// For straight-line code that is written as it should run: two thirds of the compile time, and no slower
    /// (benches/linear.rs).
    ///
    /// # Errors
    /// As [`Compiler::new`].
    pub(super) fn plain() -> Result<Self, CompileError> {
        Self::with_level("none")
    }

    fn with_level(level: &str) -> Result<Self, CompileError> {
        let backend = |e: &dyn std::fmt::Display| CompileError::Backend(e.to_string());
        let mut flags = settings::builder();
        for (name, value) in [
            ("opt_level", level),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
            ("is_pic", "false"),
            ("use_colocated_libcalls", "false"),
            ("unwind_info", "false"),
            // Frames above a page touch each of theirs, so that a guard page is not stepped over.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
            ("preserve_frame_pointers", "false"),
        ] {
            flags.set(name, value).map_err(|e| backend(&e))?;
        }
        let isa = cranelift_native::builder().map_err(|e| backend(&e))?;
        let isa = isa.finish(settings::Flags::new(flags)).map_err(|e| backend(&e))?;
        Ok(Compiler { isa })
    }

    /// One kernel per plan for one point. All share one block of memory; large plans are compiled by several threads.
    ///
    /// # Errors
    /// Where Cranelift refuses the code, the machine refuses executable memory, or a plan is one for several points.
    pub fn compile(&self, plans: &[Plan]) -> Result<Vec<Kernel>, CompileError> {
        if plans.iter().any(|plan| plan.lanes != 1) {
            return Err(CompileError::Backend("a plan is for several points".to_owned()));
        }
        self.compile_all(plans)
    }

    /// One kernel per plan for several points; see [`super::PlanOptions::lanes`].
    ///
    /// # Errors
    /// As [`Compiler::compile`], and where a plan is for one point, for an odd number of them, or reads the time.
    pub fn compile_lanes(&self, plans: &[Plan]) -> Result<Vec<LaneKernel>, CompileError> {
        let is_wide = |plan: &Plan| plan.lanes > 1 && plan.lanes.is_multiple_of(2);
        let reads_less = |plan: &Plan| !(plan.reads.time || plan.reads.time_direction || plan.reads.n_directions > 0);
        if !plans.iter().all(|plan| is_wide(plan) && reads_less(plan) && plan.n_first == plan.n_outputs) {
            return Err(CompileError::Backend("a plan is not one for several points".to_owned()));
        }
        let kernels = self.compile_all(plans)?.into_iter().zip(plans);
        Ok(kernels.map(|(kernel, plan)| LaneKernel { kernel, lanes: plan.lanes }).collect())
    }

    fn compile_all(&self, plans: &[Plan]) -> Result<Vec<Kernel>, CompileError> {
        // Offsets into the arguments are 32-bit numbers of bytes.
        if plans.iter().any(|plan| plan.longest_slice() > i32::MAX as usize / 8) {
            return Err(CompileError::TooLarge);
        }
        let mut builder = JITBuilder::with_isa(self.isa.clone(), default_libcall_names());
        let symbols = Symbol::table();
        builder.symbols(symbols.iter().map(|s| (s.name, s.address)));
        let mut code = Code { module: Some(JITModule::new(builder)) };
        let Some(module) = code.module.as_mut() else { return Ok(Vec::new()) };
        let imports = declare(module, &symbols)?;

        let data: Vec<Arc<TableData>> = plans.iter().map(|plan| Arc::new(TableData::of(plan))).collect();
        let with_tables = plans.iter().zip(data.iter().map(|data| data.addresses()));
        let chunks: Vec<(&Plan, Tables, &Chunk)> =
            with_tables.flat_map(|(plan, tables)| plan.chunks.iter().map(move |chunk| (plan, tables, chunk))).collect();
        let isa = &*self.isa;
        let n_instructions: usize = chunks.iter().map(|(.., chunk)| chunk.n_instructions).sum();
        let n_threads = if n_instructions < PARALLEL_FROM {
            1
        } else {
            std::thread::available_parallelism().map_or(1, |n| n.get()).min(chunks.len())
        };
        // Own threads: a pool that lends a waiting thread to other tasks could make it wait for itself, since kernels
        // are compiled at their first use.
        let per_thread = chunks.len().div_ceil(n_threads).max(1);
        let compile_all = |chunks: &[(&Plan, Tables, &Chunk)]| -> Result<Vec<Compiled>, CompileError> {
            let mut buffers = Buffers::default();
            let compile = |&(plan, tables, chunk): &(&Plan, Tables, &Chunk)| {
                emit::compile_chunk(plan, chunk, tables, &imports, isa, &mut buffers)
            };
            chunks.iter().map(compile).collect()
        };
        let compiled = std::thread::scope(|scope| {
            let mut parts = chunks.chunks(per_thread);
            let mine = parts.next().unwrap_or(&[]);
            let others: Vec<_> = parts.map(|part| scope.spawn(|| compile_all(part))).collect();
            let mut compiled = compile_all(mine)?;
            for other in others {
                let part = other.join().map_err(|_| CompileError::Backend("Cranelift panicked".to_owned()))?;
                compiled.extend(part?);
            }
            Ok(compiled)
        })?;

        let (base, offsets) = link(module, compiled, &emit::chunk_signature(isa, false))?;

        let code = Arc::new(code);
        // SAFETY (of the additions): `base + offset` is inside the block just defined.
        let mut entries = offsets.into_iter().map(|offset| unsafe { base.add(offset) });
        // SAFETY: the pointer is the first byte of a function that was compiled with `chunk_signature` of a plan that
        // is not plain, whose parameters are those of `Entry`.
        let full = |entry: *const u8| unsafe { std::mem::transmute::<*const u8, Entry>(entry) };
        let kernel = |(plan, data): (&Plan, &Arc<TableData>)| {
            // A plan has at least one chunk, so there is an entry for each kernel.
            let first = entries.next()?;
            let code_of = if plan.is_plain() {
                // SAFETY: as above, with the parameters of `PlainEntry`.
                Chunks::Plain(unsafe { std::mem::transmute::<*const u8, PlainEntry>(first) })
            } else {
                let rest = entries.by_ref().take(plan.chunks.len() - 1).map(full).collect();
                Chunks::Full { first: full(first), rest }
            };
            Some(Kernel {
                chunks: code_of,
                reads: plan.reads,
                n_slots: plan.n_slots,
                n_first: plan.n_first,
                n_second: plan.n_outputs - plan.n_first,
                code: code.clone(),
                _tables: data.clone(),
            })
        };
        Ok(plans.iter().zip(&data).map_while(kernel).collect())
    }

    /// The machine that code is made for.
    pub(super) fn isa(&self) -> &dyn TargetIsa {
        &*self.isa
    }

    /// Code over two slices, in one block of memory.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub(super) fn compile_streams(&self, streams: Vec<StreamCode>) -> Result<Vec<Stream>, CompileError> {
        if streams.iter().any(|s| s.n_read.max(s.n_written) > i32::MAX as usize / 8) {
            return Err(CompileError::TooLarge);
        }
        let mut code =
            Code { module: Some(JITModule::new(JITBuilder::with_isa(self.isa.clone(), default_libcall_names()))) };
        let Some(module) = code.module.as_mut() else { return Ok(Vec::new()) };
        let mut buffers = Buffers::default();
        let mut sizes = Vec::with_capacity(streams.len());
        let mut compiled = Vec::new();
        for stream in streams {
            sizes.push((stream.functions.len(), stream.n_read, stream.n_written));
            for function in stream.functions {
                compiled.push(emit::compile_function(function, &*self.isa, &mut buffers)?);
            }
        }
        let (base, offsets) = link(module, compiled, &linear::signature(&*self.isa))?;
        let code = Arc::new(code);
        let mut entries = offsets.into_iter().map(|offset| {
            // SAFETY: `base + offset` is inside the block just defined, at the first byte of a function that was
            // compiled with `linear::signature`, whose parameters and result are those of `StreamEntry`.
            unsafe { std::mem::transmute::<*const u8, StreamEntry>(base.add(offset)) }
        });
        let stream = |(count, n_read, n_written)| Stream {
            entries: entries.by_ref().take(count).collect(),
            n_read,
            n_written,
            _code: code.clone(),
        };
        Ok(sizes.into_iter().map(stream).collect())
    }

    /// The Cranelift IR of a plan, for people.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn ir_text(&self, plan: &Plan) -> Result<String, CompileError> {
        let builder = JITBuilder::with_isa(self.isa.clone(), default_libcall_names());
        let mut module = JITModule::new(builder);
        let imports = declare(&mut module, &Symbol::table())?;
        Ok(plan.chunks.iter().map(|chunk| emit::chunk_text(plan, chunk, &imports, &*self.isa)).collect())
    }
}

/// Defines functions in one block of memory. Returns its start and where each function stands.
fn link(
    module: &mut JITModule,
    compiled: Vec<Compiled>,
    signature: &Signature,
) -> Result<(*const u8, Vec<usize>), CompileError> {
    // One definition for all: the module gives every definition its own pages.
    let mut bytes = Vec::new();
    let mut relocations = Vec::new();
    let mut offsets = Vec::with_capacity(compiled.len());
    let alignment = compiled.iter().map(|c| c.alignment).fold(64, u64::max);
    for function in compiled {
        bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
        let offset = bytes.len();
        offsets.push(offset);
        bytes.extend_from_slice(&function.bytes);
        relocations.extend(function.relocations.into_iter().map(|mut r| {
            r.offset += offset as u32;
            r
        }));
    }
    let id = module.declare_function("kernels", Linkage::Export, signature).map_err(module_error)?;
    module.define_function_bytes(id, alignment, &bytes, &relocations).map_err(module_error)?;
    module.finalize_definitions().map_err(module_error)?;
    Ok((module.get_finalized_function(id), offsets))
}

fn declare(module: &mut JITModule, symbols: &[Symbol]) -> Result<Vec<Import>, CompileError> {
    let mut imports = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let signature = emit::import_signature(module.isa(), symbol.shape);
        let id = module.declare_function(symbol.name, Linkage::Import, &signature).map_err(module_error)?;
        imports.push(Import { name: symbol.name, shape: symbol.shape, id });
    }
    Ok(imports)
}

fn module_error(error: ModuleError) -> CompileError {
    CompileError::Backend(error.to_string())
}

/// A direction in (x, t), for kernels that are derivatives along one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direction<'a> {
    /// `n_states`, or empty where the kernel has no direction.
    pub dx: &'a [f64],
    /// The component in t.
    pub dt: f64,
}

/// The functions of a kernel.
enum Chunks {
    Plain(PlainEntry),
    /// The first chunk, which is all of most kernels, and the others.
    Full {
        first: Entry,
        rest: Box<[Entry]>,
    },
}

/// A compiled plan.
///
/// Calls are always inlined: a point handed on by value is copied, and reading back a copy just made costs more than a
/// small kernel (10 ns against 2.5, benches/kernels.rs).
pub struct Kernel {
    chunks: Chunks,
    reads: Reads,
    n_slots: usize,
    n_first: usize,
    n_second: usize,
    /// Keeps the entries' memory.
    code: Arc<Code>,
    /// Keeps the tables that the code reads.
    _tables: Arc<TableData>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sharing = Arc::strong_count(&self.code);
        let n_chunks = match &self.chunks {
            Chunks::Plain(_) => 1,
            Chunks::Full { first: _, rest } => 1 + rest.len(),
        };
        write!(f, "Kernel({n_chunks} chunks, {} outputs, memory of {sharing})", self.n_outputs())
    }
}

impl Kernel {
    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.n_first + self.n_second
    }

    /// Scratch slots that a call uses.
    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Computes `out: n_outputs` of a plan with one output slice. `work` grows to the slots needed if it is too small.
    ///
    /// # Panics
    /// Where a slice is shorter than what the plan reads or writes.
    #[inline(always)]
    pub fn call(&self, at: At<'_>, work: &mut Work, out: &mut [f64]) {
        self.call_along(at, Direction::default(), work, out, &mut []);
    }

    /// Computes the outputs of a plan with two output slices, along a direction.
    ///
    /// # Panics
    /// Where a slice is shorter than what the plan reads or writes.
    #[inline(always)]
    pub fn call_along(
        &self,
        at: At<'_>,
        direction: Direction<'_>,
        work: &mut Work,
        first: &mut [f64],
        second: &mut [f64],
    ) {
        if let Chunks::Plain(entry) = self.chunks {
            return self.call_plain(entry, at, first);
        }
        if work.scratch.len() < self.n_slots {
            work.scratch.resize(self.n_slots, 0.0);
        }
        self.call_slices(at, direction, &mut work.scratch, first, second);
    }

    /// The short way of kernels that read x and p only.
    #[inline(always)]
    fn call_plain(&self, entry: PlainEntry, at: At<'_>, first: &mut [f64]) {
        assert!(
            (at.x.len() >= self.reads.n_states) & (at.p.len() >= self.reads.n_params) & (first.len() >= self.n_first),
            "a slice is shorter than what the kernel reads or writes"
        );
        // SAFETY: as in `call_slices`; the code of a plain plan touches nothing else.
        unsafe { entry(at.x.as_ptr(), at.p.as_ptr(), first.as_mut_ptr()) };
    }

    /// [`Kernel::call_along`] with the scratch as a slice of at least `n_slots`.
    ///
    /// # Panics
    /// Where a slice is shorter than what the plan reads or writes.
    #[inline(always)]
    pub fn call_slices(
        &self,
        at: At<'_>,
        direction: Direction<'_>,
        scratch: &mut [f64],
        first: &mut [f64],
        second: &mut [f64],
    ) {
        let (entry, rest) = match &self.chunks {
            Chunks::Plain(entry) => return self.call_plain(*entry, at, first),
            Chunks::Full { first, rest } => (*first, rest),
        };
        let reads = &self.reads;
        assert!(
            (at.x.len() >= reads.n_states)
                & (at.u.len() >= reads.n_inputs)
                & (at.d.len() >= reads.n_disturbances)
                & (at.p.len() >= reads.n_params)
                & (direction.dx.len() >= reads.n_directions)
                & (first.len() >= self.n_first)
                & (second.len() >= self.n_second)
                & (scratch.len() >= self.n_slots),
            "a slice is shorter than what the kernel reads or writes"
        );
        let mut run = |entry: Entry, scratch: &mut [f64]| {
            // SAFETY: `self.code` keeps the entry's memory, `self._tables` the tables it reads, at the addresses it was
            // compiled with; indices in them are below `reads` and the counts of outputs. The code reads at most `reads` elements of its inputs and
            // writes at most `n_first`, `n_second` and `n_slots` elements of its outputs and scratch, all at least
            // that long as just checked. Outputs and scratch are borrowed exclusively, so they overlap nothing.
            unsafe {
                entry(
                    at.t,
                    direction.dt,
                    at.x.as_ptr(),
                    at.u.as_ptr(),
                    at.d.as_ptr(),
                    at.p.as_ptr(),
                    scratch.as_mut_ptr(),
                    first.as_mut_ptr(),
                    direction.dx.as_ptr(),
                    second.as_mut_ptr(),
                );
            }
        };
        run(entry, scratch);
        for &entry in rest {
            run(entry, scratch);
        }
    }
}

/// Compiled code over two slices.
pub struct Stream {
    /// Called one after the other.
    entries: Box<[StreamEntry]>,
    n_read: usize,
    n_written: usize,
    /// Keeps the entries' memory.
    _code: Arc<Code>,
}

impl Stream {
    /// Runs the code with a number; `read: n_read`, `written: n_written`. Returns what the functions agree on.
    ///
    /// # Panics
    /// Where a slice is shorter than what the code reads or writes.
    #[inline]
    pub fn call(&self, number: f64, read: &[f64], written: &mut [f64]) -> bool {
        assert!(
            (read.len() >= self.n_read) & (written.len() >= self.n_written),
            "a slice is shorter than what the code reads or writes"
        );
        let mut all = 1;
        for &entry in &self.entries {
            // SAFETY: `self._code` keeps the entry's memory. The code reads at most `n_read` elements of the first slice
            // and reads and writes at most `n_written` of the second, both at least that long as just checked.
            all &= unsafe { entry(number, read.as_ptr(), written.as_mut_ptr()) };
        }
        all & 1 == 1
    }
}

/// A compiled plan for several points.
#[derive(Debug)]
pub struct LaneKernel {
    /// Its code is that of one pair of points.
    kernel: Kernel,
    lanes: usize,
}

impl LaneKernel {
    /// How many points one call computes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Scratch that a call uses.
    pub fn n_scratch(&self) -> usize {
        2 * self.kernel.n_slots
    }

    /// Computes `out: n_outputs × lanes` from arguments that are interleaved likewise. `work` grows to the slots needed
    /// if it is too small. `at.t` is not read.
    ///
    /// # Panics
    /// Where a slice is shorter than what the plan reads or writes.
    pub fn call(&self, at: At<'_>, work: &mut Work, out: &mut [f64]) {
        let Kernel { chunks, reads, n_slots, n_first, .. } = &self.kernel;
        // A plan for several points is never plain.
        let Chunks::Full { first, rest } = chunks else { return };
        if work.scratch.len() < 2 * n_slots {
            work.scratch.resize(2 * n_slots, 0.0);
        }
        let holds = |slice: &[f64], count: usize| slice.len() >= count * self.lanes;
        assert!(
            holds(at.x, reads.n_states)
                && holds(at.u, reads.n_inputs)
                && holds(at.d, reads.n_disturbances)
                && holds(at.p, reads.n_params)
                && holds(out, *n_first),
            "a slice is shorter than what the kernel reads or writes"
        );
        for pair in (0..self.lanes).step_by(2) {
            for &entry in std::iter::once(first).chain(rest) {
                // `wrapping_add`, since an argument that is not read may be empty.
                // SAFETY: as in `Kernel::call_slices`. The code touches elements `k · lanes` and `k · lanes + 1` behind
                // the pointers with k below `reads` and `n_outputs`; `pair + 1 < lanes`, because `lanes` is even, so all
                // lie within the lengths just checked. Scratch has two numbers for each of the `n_slots`.
                unsafe {
                    entry(
                        0.0,
                        0.0,
                        at.x.as_ptr().wrapping_add(pair),
                        at.u.as_ptr().wrapping_add(pair),
                        at.d.as_ptr().wrapping_add(pair),
                        at.p.as_ptr().wrapping_add(pair),
                        work.scratch.as_mut_ptr(),
                        out.as_mut_ptr().wrapping_add(pair),
                        std::ptr::null(),
                        std::ptr::null_mut(),
                    );
                }
            }
        }
    }
}

// SAFETY: the module is only reached by `Drop`, through exclusive access, and is `Send` itself; what kernels share is
// finished machine code, which is never written again.
unsafe impl Sync for Code {}
