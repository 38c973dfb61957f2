//! The kernels of one model, compiled when they are first needed.
//!
//! [`Kernels::compile`] compiles the right-hand side; [`Kernels::prepare`] compiles what a solver will call, so that
//! its step loop never waits for the compiler. What was not prepared is compiled at its first use. Derivatives are
//! made in a graph of our own, a copy of the model's that grows: the model's nodes keep their ids there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::CompileError;
use super::compiler::Compiler;
use super::kernel::{Kernel, ShortWay};
use super::linear::Code;
use super::parts::{Needs, Part, Timing};
use super::plan::{OpCounts, Plan, PlanOptions};
use crate::expr::sparsity;
use crate::expr::{Dag, Leaf, NodeId, Wrt, directional, gradients};
use crate::flat::FlatModel;
use crate::linalg::CscPattern;
use crate::system::{Dims, Event};

/// How a model is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Results equal the interpreter's bit for bit (`--strict-math`). Default: false.
    pub strict_math: bool,
}

/// A sparse matrix of nodes.
#[derive(Debug, Default)]
pub(super) struct Derivative {
    pub(super) pattern: CscPattern,
    /// In the order of the pattern.
    pub(super) nodes: Vec<NodeId>,
}

/// The gradient of one node in x, p and t. A kernel writes its entries in this order.
#[derive(Debug)]
pub(super) struct GradientRow {
    pub(super) states: Vec<(u32, NodeId)>,
    pub(super) params: Vec<(u32, NodeId)>,
    pub(super) time: Option<NodeId>,
}

impl GradientRow {
    pub(super) fn len(&self) -> usize {
        self.states.len() + self.params.len() + usize::from(self.time.is_some())
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.states.iter().chain(&self.params).map(|&(_, node)| node).chain(self.time)
    }
}

type Cell = OnceLock<Result<Vec<Kernel>, CompileError>>;

/// The compiled model. Shared between threads; implements [`crate::system::System`].
///
/// What cannot be compiled when it is first needed inside a `System` method gives not-a-number in every element;
/// [`Kernels::prepare`] reports it as an error instead.
pub struct Kernels {
    pub(super) model: Arc<FlatModel>,
    pub(super) compiler: Compiler,
    pub(super) options: PlanOptions,
    dims: Dims,
    pub(super) events: Vec<Event>,
    pub(super) is_autonomous: bool,
    dag: Mutex<Dag>,
    cells: [Cell; Part::ALL.len()],
    short_ways: [ShortWay; Part::ALL.len()],
    timings: Mutex<Vec<Timing>>,
    /// Scratch that any part compiled so far needs.
    n_scratch: AtomicUsize,
    elimination: OnceLock<Result<Option<Arc<Code>>, CompileError>>,
    elimination_time: OnceLock<Duration>,
    jacobian: OnceLock<Derivative>,
    parameter: OnceLock<Derivative>,
    input: OnceLock<Derivative>,
    disturbance: OnceLock<Derivative>,
    initial: OnceLock<Derivative>,
    output: OnceLock<(Derivative, Derivative)>,
    pub(super) curvature: OnceLock<Derivative>,
    pub(super) linearization: OnceLock<Result<Kernel, CompileError>>,
    pub(super) curvature_kernel: OnceLock<Result<Kernel, CompileError>>,
    /// Per root.
    root_rows: OnceLock<Vec<GradientRow>>,
    /// Per time.
    time_rows: OnceLock<Vec<GradientRow>>,
    /// Per event and jump.
    jump_rows: OnceLock<Vec<Vec<GradientRow>>>,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels of `{}` with {:?}", self.model.name, self.dims)
    }
}

impl Kernels {
    /// Compiles the model's right-hand side and gets ready for the rest.
    ///
    /// # Errors
    /// Where Cranelift has no back end for this machine or refuses the code.
    pub fn compile(model: Arc<FlatModel>, options: &Options) -> Result<Kernels, CompileError> {
        let dims = Dims {
            n_states: model.states.len(),
            n_params: model.params.len(),
            n_inputs: model.inputs.len(),
            n_disturbances: model.disturbances.len(),
            n_outputs: model.outputs.len(),
            n_roots: model.roots.len(),
            n_times: model.times.len(),
            n_scratch: 0,
        };
        let mut kernels = Kernels {
            compiler: Compiler::new()?,
            options: PlanOptions { strict_math: options.strict_math, ..PlanOptions::default() },
            dims,
            events: model.events.iter().map(|e| e.event).collect(),
            is_autonomous: false,
            dag: Mutex::new(model.dag.clone()),
            model,
            cells: Default::default(),
            short_ways: Default::default(),
            timings: Mutex::default(),
            n_scratch: AtomicUsize::new(0),
            elimination: OnceLock::new(),
            elimination_time: OnceLock::new(),
            jacobian: OnceLock::new(),
            parameter: OnceLock::new(),
            input: OnceLock::new(),
            disturbance: OnceLock::new(),
            initial: OnceLock::new(),
            output: OnceLock::new(),
            curvature: OnceLock::new(),
            linearization: OnceLock::new(),
            curvature_kernel: OnceLock::new(),
            root_rows: OnceLock::new(),
            time_rows: OnceLock::new(),
            jump_rows: OnceLock::new(),
        };
        kernels.is_autonomous = !kernels.plan(Part::Rhs).iter().any(|plan| plan.reads.time);
        kernels.prepare(Needs::of(&[Part::Rhs]))?;
        Ok(kernels)
    }

    /// The model.
    pub fn model(&self) -> &FlatModel {
        &self.model
    }

    /// Compiles what is not compiled yet of `needs`, all together.
    ///
    /// # Errors
    /// Where a part could not be compiled, now or before.
    pub fn prepare(&self, needs: Needs) -> Result<(), CompileError> {
        let missing = Part::ALL.into_iter().filter(|part| needs.contains(*part) && self.cell(*part).get().is_none());
        let missing: Vec<Part> = missing.collect();
        if !missing.is_empty() {
            for (&part, kernels) in missing.iter().zip(self.compile_together(&missing)?) {
                self.fill(part, Ok(kernels));
            }
        }
        for part in Part::ALL.into_iter().filter(|part| needs.contains(*part)) {
            self.compiled(part).as_ref().map_err(CompileError::clone)?;
        }
        // Who calls the Jacobian factorises it; who differentiates in parameters solves for several sides at once.
        if needs.contains(Part::Jacobian) {
            let code = self.elimination().as_ref().map_err(CompileError::clone)?;
            if let Some(code) = code
                && needs.contains(Part::ParameterJacobian)
            {
                code.lanes();
            }
        }
        Ok(())
    }

    /// What was compiled so far and how long it took, in the order it was done.
    pub fn timings(&self) -> Vec<Timing> {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long it took to order the Jacobian's pattern and to make code that factorises it, or to see that it is too
    /// large for that. `None` where nobody asked for it yet.
    pub fn elimination_time(&self) -> Option<Duration> {
        self.elimination_time.get().copied()
    }

    /// Compiles a kernel for any nodes of the model's graph: `out[i]` is the value of `nodes[i]`.
    ///
    /// # Errors
    /// As [`Kernels::compile`].
    pub fn compile_nodes(&self, nodes: &[NodeId]) -> Result<Kernel, CompileError> {
        let plan = Plan::new(&self.dag(), nodes, &self.options);
        let mut kernels = self.compiler.compile(std::slice::from_ref(&plan))?;
        kernels.pop().ok_or_else(|| CompileError::Backend("no kernel came out".to_owned()))
    }

    /// A kernel for each list of nodes, all in one block of memory; see [`Kernels::compile_nodes`].
    ///
    /// # Errors
    /// As [`Kernels::compile`].
    pub fn compile_each(&self, lists: &[Vec<NodeId>]) -> Result<Vec<Kernel>, CompileError> {
        let plans: Vec<Plan> = {
            let dag = self.dag();
            if dag.is_full() {
                return Err(CompileError::TooLarge);
            }
            lists.iter().map(|nodes| Plan::new(&dag, nodes, &self.options)).collect()
        };
        self.compiler.compile(&plans)
    }

    /// The plans of a part: one, or one per root or event.
    pub fn plan(&self, part: Part) -> Vec<Plan> {
        let model = &*self.model;
        let plan = |nodes: &[NodeId]| vec![Plan::new(&self.dag(), nodes, &self.options)];
        let split =
            |first: &[NodeId], second: &[NodeId]| vec![Plan::new_split(&self.dag(), first, second, &self.options)];
        match part {
            Part::Rhs => plan(&self.rhs_nodes()),
            Part::Jacobian => plan(&self.jacobian_derivative().nodes),
            Part::TimeDerivative => {
                let rows = gradients(&mut self.dag(), &self.rhs_nodes(), Wrt::Time);
                let nodes: Vec<NodeId> = rows.iter().map(|r| r.first().map_or(Dag::ZERO, |&(_, n)| n)).collect();
                plan(&nodes)
            }
            Part::ParameterJacobian => plan(&self.parameter_derivative().nodes),
            Part::InputJacobian => plan(&self.input_derivative().nodes),
            Part::DisturbanceJacobian => plan(&self.disturbance_derivative().nodes),
            Part::JacobianAlong => {
                let (jacobian, parameter) = (&self.jacobian_derivative().nodes, &self.parameter_derivative().nodes);
                let along = self.along(&[jacobian.as_slice(), parameter].concat());
                let (first, second) = along.split_at(jacobian.len());
                split(first, second)
            }
            Part::InitialState => plan(&self.initial_nodes()),
            Part::InitialJacobian => plan(&self.initial_derivative().nodes),
            Part::Outputs => plan(&model.outputs),
            Part::OutputJacobians => {
                let (states, params) = self.output_derivatives();
                split(&states.nodes, &params.nodes)
            }
            Part::Times => plan(&model.times),
            Part::TimesJacobian => {
                let nodes: Vec<NodeId> =
                    self.time_rows().iter().flat_map(|row| row.params.iter().map(|&(_, node)| node)).collect();
                plan(&nodes)
            }
            Part::Roots => plan(&model.roots),
            Part::RootGradients => {
                let rows = self.root_rows();
                rows.iter().flat_map(|row| plan(&row.nodes().collect::<Vec<_>>())).collect()
            }
            Part::Jumps => {
                let values = |idx: usize| model.events[idx].jumps.iter().map(|j| j.value).collect::<Vec<_>>();
                (0..model.events.len()).flat_map(|idx| plan(&values(idx))).collect()
            }
            Part::JumpGradients => {
                let rows = self.jump_rows();
                let nodes = |idx: usize| {
                    let values = model.events[idx].jumps.iter().map(|j| j.value);
                    values.chain(rows[idx].iter().flat_map(GradientRow::nodes)).collect::<Vec<_>>()
                };
                (0..model.events.len()).flat_map(|idx| plan(&nodes(idx))).collect()
            }
        }
    }

    /// Operations of a part, all its kernels together.
    pub fn op_counts(&self, part: Part) -> OpCounts {
        OpCounts::sum(self.plan(part).iter().map(Plan::op_counts))
    }

    /// ∂f/∂x as nodes of [`Kernels::dag`], in the order of its pattern.
    pub fn jacobian_nodes(&self) -> (&CscPattern, &[NodeId]) {
        let Derivative { pattern, nodes } = self.jacobian_derivative();
        (pattern, nodes)
    }

    /// The graph with all derivatives made so far; holding it keeps others from compiling.
    pub fn dag(&self) -> MutexGuard<'_, Dag> {
        self.dag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sizes; scratch is what the parts compiled so far need.
    pub(super) fn sizes(&self) -> Dims {
        Dims { n_scratch: self.n_scratch.load(Ordering::Relaxed), ..self.dims }
    }

    /// The short way to call a part that is compiled already and reads x and p only.
    #[inline(always)]
    pub(super) fn short_way(&self, part: Part) -> &ShortWay {
        &self.short_ways[part as usize]
    }

    fn cell(&self, part: Part) -> &Cell {
        &self.cells[part as usize]
    }

    /// Another thread may have been faster; its kernels are as good.
    fn fill(&self, part: Part, compiled: Result<Vec<Kernel>, CompileError>) -> &Result<Vec<Kernel>, CompileError> {
        let compiled = self.cell(part).get_or_init(|| compiled);
        if let Ok([only]) = compiled.as_deref() {
            self.short_ways[part as usize].open(only);
        }
        compiled
    }

    /// The kernels of a part, compiled if they are not yet.
    #[inline(always)]
    pub(super) fn compiled(&self, part: Part) -> &Result<Vec<Kernel>, CompileError> {
        match self.cell(part).get() {
            Some(compiled) => compiled,
            None => self.compile_now(part),
        }
    }

    #[cold]
    fn compile_now(&self, part: Part) -> &Result<Vec<Kernel>, CompileError> {
        let none = || CompileError::Backend("no kernel came out".to_owned());
        self.fill(part, self.compile_together(&[part]).and_then(|mut kernels| kernels.pop().ok_or_else(none)))
    }

    /// The code that factorises `shift I - J`, compiled if it is not yet; `None` where the system is too large for that.
    pub(super) fn elimination(&self) -> &Result<Option<Arc<Code>>, CompileError> {
        self.elimination.get_or_init(|| {
            let pattern = &self.jacobian_derivative().pattern;
            let begin = Instant::now();
            let code = Code::new(pattern, self.options.strict_math)?;
            self.elimination_time.get_or_init(|| begin.elapsed());
            Ok(code.map(Arc::new))
        })
    }

    /// The kernels of each part, in one block of memory.
    fn compile_together(&self, parts: &[Part]) -> Result<Vec<Vec<Kernel>>, CompileError> {
        let begin = Instant::now();
        let mut plans = Vec::new();
        let mut counts = Vec::with_capacity(parts.len());
        for &part in parts {
            let of_part = self.plan(part);
            counts.push(of_part.len());
            plans.extend(of_part);
        }
        if self.dag().is_full() {
            return Err(CompileError::TooLarge);
        }
        let planned = Instant::now();
        let mut kernels = self.compiler.compile(&plans)?.into_iter();
        let timing = Timing {
            parts: parts.to_vec(),
            plan: planned - begin,
            compile: planned.elapsed(),
            n_values: plans.iter().map(|plan| plan.ops.len()).sum(),
            n_chunks: plans.iter().map(|plan| plan.chunks.len()).sum(),
        };
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
        let kernels = parts.iter().zip(counts).map(|(&part, count)| {
            let kernels: Vec<Kernel> = kernels.by_ref().take(count).collect();
            let n_scratch = kernels.iter().map(|kernel| self.scratch_of(part, kernel)).max().unwrap_or(0);
            self.n_scratch.fetch_max(n_scratch, Ordering::Relaxed);
            kernels
        });
        Ok(kernels.collect())
    }

    /// A kernel's slots, and what `Kernels::run_aside` keeps beside them.
    fn scratch_of(&self, part: Part, kernel: &Kernel) -> usize {
        let beside = match part {
            Part::TimesJacobian | Part::RootGradients | Part::Jumps => kernel.n_outputs(),
            Part::JumpGradients => kernel.n_outputs() + self.dims.n_states,
            Part::Rhs
            | Part::Jacobian
            | Part::TimeDerivative
            | Part::ParameterJacobian
            | Part::InputJacobian
            | Part::DisturbanceJacobian
            | Part::JacobianAlong
            | Part::InitialState
            | Part::InitialJacobian
            | Part::Outputs
            | Part::OutputJacobians
            | Part::Times
            | Part::Roots => 0,
        };
        kernel.n_slots() + beside
    }

    pub(super) fn rhs_nodes(&self) -> Vec<NodeId> {
        let rhs = |s: &crate::flat::State| if s.is_discrete { Dag::ZERO } else { s.rhs };
        self.model.states.iter().map(rhs).collect()
    }

    fn initial_nodes(&self) -> Vec<NodeId> {
        self.model.states.iter().map(|s| s.initial).collect()
    }

    fn derive(&self, roots: &[NodeId], wrt: Wrt, n_cols: usize) -> Derivative {
        let rows = gradients(&mut self.dag(), roots, wrt);
        let (pattern, nodes) = sparsity::pattern(&rows, n_cols);
        Derivative { pattern, nodes }
    }

    /// Derivatives along the direction that the leaves `Direction` and `DirectionTime` stand for.
    fn along(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut dag = self.dag();
        let states: Vec<NodeId> = (0..self.dims.n_states).map(|k| dag.leaf(Leaf::Direction(k as u32))).collect();
        let time = dag.leaf(Leaf::DirectionTime);
        directional(&mut dag, nodes, |leaf| match leaf {
            Leaf::State(k) => states.get(k as usize).copied(),
            Leaf::Time => Some(time),
            Leaf::Param(_) | Leaf::Input(_) | Leaf::Disturbance(_) | Leaf::Direction(_) | Leaf::DirectionTime => None,
        })
    }

    pub(super) fn jacobian_derivative(&self) -> &Derivative {
        self.jacobian.get_or_init(|| self.derive(&self.rhs_nodes(), Wrt::States, self.dims.n_states))
    }

    pub(super) fn parameter_derivative(&self) -> &Derivative {
        self.parameter.get_or_init(|| self.derive(&self.rhs_nodes(), Wrt::Params, self.dims.n_params))
    }

    pub(super) fn input_derivative(&self) -> &Derivative {
        self.input.get_or_init(|| self.derive(&self.rhs_nodes(), Wrt::Inputs, self.dims.n_inputs))
    }

    pub(super) fn disturbance_derivative(&self) -> &Derivative {
        let derive = || self.derive(&self.rhs_nodes(), Wrt::Disturbances, self.dims.n_disturbances);
        self.disturbance.get_or_init(derive)
    }

    pub(super) fn initial_derivative(&self) -> &Derivative {
        self.initial.get_or_init(|| self.derive(&self.initial_nodes(), Wrt::Params, self.dims.n_params))
    }

    pub(super) fn output_derivatives(&self) -> &(Derivative, Derivative) {
        self.output.get_or_init(|| {
            let outputs = &self.model.outputs;
            let states = self.derive(outputs, Wrt::States, self.dims.n_states);
            (states, self.derive(outputs, Wrt::Params, self.dims.n_params))
        })
    }

    pub(super) fn root_rows(&self) -> &[GradientRow] {
        self.root_rows.get_or_init(|| self.gradient_rows(&self.model.roots))
    }

    pub(super) fn time_rows(&self) -> &[GradientRow] {
        self.time_rows.get_or_init(|| self.gradient_rows(&self.model.times))
    }

    pub(super) fn jump_rows(&self) -> &[Vec<GradientRow>] {
        self.jump_rows.get_or_init(|| {
            let values: Vec<NodeId> = self.model.events.iter().flat_map(|e| e.jumps.iter().map(|j| j.value)).collect();
            let mut rows = self.gradient_rows(&values).into_iter();
            self.model.events.iter().map(|e| rows.by_ref().take(e.jumps.len()).collect()).collect()
        })
    }

    fn gradient_rows(&self, nodes: &[NodeId]) -> Vec<GradientRow> {
        let mut dag = self.dag();
        let states = gradients(&mut dag, nodes, Wrt::States);
        let params = gradients(&mut dag, nodes, Wrt::Params);
        let times = gradients(&mut dag, nodes, Wrt::Time);
        let rows = states.into_iter().zip(params).zip(times);
        rows.map(|((states, params), time)| GradientRow { states, params, time: time.first().map(|&(_, n)| n) })
            .collect()
    }
}
