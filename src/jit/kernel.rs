//! Machine code in memory, and the one safe way to call it.
//!
//! A [`Block`] is executable memory with the functions of several [`Kernel`]s, made by [`super::Compiler`]; it is freed
//! when the last of them is dropped. Kernels are immutable and may be called from many threads at once.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cranelift_codegen::ir::Signature;
use cranelift_jit::JITModule;
use cranelift_module::{Linkage, Module};

use super::CompileError;
use super::compiler::module_error;
use super::emit::{Compiled, Tables};
use super::plan::{Plan, Reads};
use crate::system::{At, Work};

/// See [`super::emit::chunk_signature`].
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

/// See [`super::linear::signature`].
type StreamEntry = unsafe extern "C" fn(f64, *const f64, *mut f64) -> u8;

/// Of a plain plan; see [`super::emit::chunk_signature`].
type PlainEntry = unsafe extern "C" fn(*const f64, *const f64, *mut f64);

/// Bytes in a line of the instruction cache.
const CACHE_LINE: u64 = 64;
/// Where in its line a function begins. One that begins with its line took up to two cycles longer, a third of a call of
/// Robertson's right-hand side, depending on where its callers lie; from a fifth of the line on they make no difference
/// (AMD EPYC of 2025, benches/kernels.rs).
const INTO_LINE: u64 = 32;

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
pub(super) struct TableData {
    numbers: Box<[f64]>,
    indices: Box<[u32]>,
}

impl TableData {
    pub(super) fn of(plan: &Plan) -> Self {
        TableData { numbers: plan.numbers.as_slice().into(), indices: plan.indices.as_slice().into() }
    }

    pub(super) fn addresses(&self) -> Tables {
        Tables { numbers: self.numbers.as_ptr() as usize, indices: self.indices.as_ptr() as usize }
    }
}

/// Functions in one block of memory, in the order they were compiled; kernels take theirs from the front.
pub(super) struct Block {
    code: Arc<Code>,
    base: *const u8,
    /// Entries behind `base`.
    offsets: std::vec::IntoIter<usize>,
}

impl Block {
    /// Puts functions, all that the module will have, where they can be called.
    ///
    /// # Errors
    /// Where the machine refuses executable memory.
    pub(super) fn link(
        module: JITModule,
        compiled: Vec<Compiled>,
        signature: &Signature,
    ) -> Result<Block, CompileError> {
        let mut code = Code { module: Some(module) };
        // One definition for all: the module gives every definition its own pages.
        let mut bytes = Vec::new();
        let mut relocations = Vec::new();
        let mut offsets = Vec::with_capacity(compiled.len());
        let alignment = compiled.iter().map(|c| c.alignment).fold(CACHE_LINE, u64::max);
        for function in compiled {
            let into_line = if function.alignment <= INTO_LINE { INTO_LINE as usize } else { 0 };
            bytes.resize((bytes.len() + into_line).next_multiple_of(alignment as usize) - into_line, 0);
            let offset = bytes.len();
            offsets.push(offset + function.entry);
            bytes.extend_from_slice(&function.bytes);
            relocations.extend(function.relocations.into_iter().map(|mut r| {
                r.offset += offset as u32;
                r
            }));
        }
        let Some(module) = code.module.as_mut() else { return Err(CompileError::Backend("no module".to_owned())) };
        let id = module.declare_function("kernels", Linkage::Export, signature).map_err(module_error)?;
        module.define_function_bytes(id, alignment, &bytes, &relocations).map_err(module_error)?;
        module.finalize_definitions().map_err(module_error)?;
        let base = module.get_finalized_function(id);
        Ok(Block { code: Arc::new(code), base, offsets: offsets.into_iter() })
    }

    fn next(&mut self) -> Option<*const u8> {
        // SAFETY: the offset is that of a function inside the block that begins at `base`.
        self.offsets.next().map(|offset| unsafe { self.base.add(offset) })
    }

    /// The kernel of the next chunks, which must be those of `plan`, compiled with these tables.
    pub(super) fn kernel(&mut self, plan: &Plan, tables: &Arc<TableData>) -> Option<Kernel> {
        // SAFETY: the pointer is the first byte of a function that was compiled with `chunk_signature` of a plan that
        // is not plain, whose parameters are those of `Entry`.
        let full = |entry: *const u8| unsafe { std::mem::transmute::<*const u8, Entry>(entry) };
        // A plan has at least one chunk, so there is an entry for each kernel.
        let first = self.next()?;
        let chunks = if plan.is_plain() {
            // SAFETY: as above, with the parameters of `PlainEntry`.
            Chunks::Plain(unsafe { std::mem::transmute::<*const u8, PlainEntry>(first) })
        } else {
            let rest = (1..plan.chunks.len()).map_while(|_| self.next().map(full)).collect();
            Chunks::Full { first: full(first), rest }
        };
        Some(Kernel {
            chunks,
            reads: plan.reads,
            n_slots: plan.n_slots,
            n_first: plan.n_first,
            n_second: plan.n_outputs - plan.n_first,
            code: self.code.clone(),
            tables: tables.clone(),
        })
    }

    /// The next `count` functions, compiled from a [`super::linear::StreamCode`] of these sizes.
    pub(super) fn stream(&mut self, count: usize, n_read: usize, n_written: usize) -> Stream {
        let entry = |address: *const u8| {
            // SAFETY: the pointer is the first byte of a function that was compiled with `linear::signature`, whose
            // parameters and result are those of `StreamEntry`.
            unsafe { std::mem::transmute::<*const u8, StreamEntry>(address) }
        };
        let entries = (0..count).map_while(|_| self.next().map(entry)).collect();
        Stream { entries, n_read, n_written, _code: self.code.clone() }
    }
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
    tables: Arc<TableData>,
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
        match self.chunks {
            Chunks::Plain(entry) => self.call_plain(entry, at, first),
            Chunks::Full { .. } => {
                if work.scratch.len() < self.n_slots {
                    work.scratch.resize(self.n_slots, 0.0);
                }
                self.call_slices(at, direction, &mut work.scratch, first, second);
            }
        }
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
            // SAFETY: `self.code` keeps the entry's memory, `self.tables` the tables it reads, at the addresses it was
            // compiled with; indices in them are below `reads` and the counts of outputs. The code reads at most `reads`
            // elements of its inputs and writes at most `n_first`, `n_second` and `n_slots` elements of its outputs and
            // scratch, all at least that long as just checked. Outputs and scratch are borrowed exclusively, so they
            // overlap nothing.
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

/// The short way to a kernel that reads x and p only, open once there is such a kernel.
///
/// Until then it asks for more states than a slice can have, so that one comparison tells whether there is a kernel and
/// whether x is long enough.
pub(super) struct ShortWay {
    n_states: AtomicUsize,
    n_params: AtomicUsize,
    n_outputs: AtomicUsize,
    entry: AtomicPtr<u8>,
    /// Keeps the entry's memory and the tables that the code reads.
    kept: OnceLock<(Arc<Code>, Arc<TableData>)>,
}

impl Default for ShortWay {
    fn default() -> Self {
        ShortWay {
            n_states: AtomicUsize::new(usize::MAX),
            n_params: AtomicUsize::new(0),
            n_outputs: AtomicUsize::new(0),
            entry: AtomicPtr::default(),
            kept: OnceLock::new(),
        }
    }
}

impl ShortWay {
    /// Opens it, if it is not open and the kernel reads x and p only.
    pub(super) fn open(&self, kernel: &Kernel) {
        let Chunks::Plain(entry) = kernel.chunks else { return };
        if self.kept.set((kernel.code.clone(), kernel.tables.clone())).is_ok() {
            self.entry.store(entry as *mut u8, Ordering::Relaxed);
            self.n_params.store(kernel.reads.n_params, Ordering::Relaxed);
            self.n_outputs.store(kernel.n_first, Ordering::Relaxed);
            // Last, and released, so that who sees it sees the others.
            self.n_states.store(kernel.reads.n_states, Ordering::Release);
        }
    }

    /// Calls the kernel as [`Kernel::call`] does. False where there is none or a slice is too short.
    #[inline(always)]
    pub(super) fn call(&self, x: &[f64], p: &[f64], out: &mut [f64]) -> bool {
        if x.len() < self.n_states.load(Ordering::Acquire)
            || p.len() < self.n_params.load(Ordering::Relaxed)
            || out.len() < self.n_outputs.load(Ordering::Relaxed)
        {
            return false;
        }
        let entry = self.entry.load(Ordering::Relaxed);
        // SAFETY: no slice has `usize::MAX` elements, so the way is open, and `open` has stored a `PlainEntry` before it
        // stored `n_states`, once and for all. `self.kept` keeps its memory. Otherwise as in `Kernel::call_slices`; the
        // code of a plain plan touches nothing else.
        unsafe { std::mem::transmute::<*mut u8, PlainEntry>(entry)(x.as_ptr(), p.as_ptr(), out.as_mut_ptr()) };
        true
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
    /// The kernel of a plan for this many points.
    pub(super) fn new(kernel: Kernel, lanes: usize) -> Self {
        LaneKernel { kernel, lanes }
    }

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
