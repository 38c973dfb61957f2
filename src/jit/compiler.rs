//! From plans to kernels: what is compiled by which thread, and what the code imports.
//!
//! [`super::emit`] makes the machine code of each chunk; [`super::kernel`] puts it into memory and calls it.

use std::sync::Arc;

use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, ModuleError, default_libcall_names};

use super::CompileError;
use super::emit::{self, Buffers, Compiled, Import, Tables};
use super::kernel::{Block, Kernel, LaneKernel, Stream, TableData};
use super::linear::{self, StreamCode};
use super::math::Symbol;
use super::plan::{Chunk, Plan};

/// Below this many estimated instructions, threads cost more than they save.
const PARALLEL_FROM: usize = 4_000;

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
        Ok(kernels.map(|(kernel, plan)| LaneKernel::new(kernel, plan.lanes)).collect())
    }

    fn compile_all(&self, plans: &[Plan]) -> Result<Vec<Kernel>, CompileError> {
        // Offsets into the arguments are 32-bit numbers of bytes.
        if plans.iter().any(|plan| plan.longest_slice() > i32::MAX as usize / 8) {
            return Err(CompileError::TooLarge);
        }
        let mut builder = JITBuilder::with_isa(self.isa.clone(), default_libcall_names());
        let symbols = Symbol::table();
        builder.symbols(symbols.iter().map(|s| (s.name, s.address)));
        let mut module = JITModule::new(builder);
        let imports = declare(&mut module, &symbols)?;

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

        let mut block = Block::link(module, compiled, &emit::chunk_signature(isa, false))?;
        Ok(plans.iter().zip(&data).map_while(|(plan, data)| block.kernel(plan, data)).collect())
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
        let module = JITModule::new(JITBuilder::with_isa(self.isa.clone(), default_libcall_names()));
        let mut buffers = Buffers::default();
        let mut sizes = Vec::with_capacity(streams.len());
        let mut compiled = Vec::new();
        for stream in streams {
            sizes.push((stream.functions.len(), stream.n_read, stream.n_written));
            for function in stream.functions {
                compiled.push(emit::compile_function(function, &*self.isa, &mut buffers)?);
            }
        }
        let mut block = Block::link(module, compiled, &linear::signature(&*self.isa))?;
        Ok(sizes.into_iter().map(|(count, n_read, n_written)| block.stream(count, n_read, n_written)).collect())
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

fn declare(module: &mut JITModule, symbols: &[Symbol]) -> Result<Vec<Import>, CompileError> {
    let mut imports = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let signature = emit::import_signature(module.isa(), symbol.shape);
        let id = module.declare_function(symbol.name, Linkage::Import, &signature).map_err(module_error)?;
        imports.push(Import { name: symbol.name, shape: symbol.shape, id });
    }
    Ok(imports)
}

pub(super) fn module_error(error: ModuleError) -> CompileError {
    CompileError::Backend(error.to_string())
}
