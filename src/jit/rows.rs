//! A model's functions for rows of points: [`RowKernel`] implements [`RowFunction`] by a list of operations on rows.
//!
//! No machine code is made. Each operation is a loop over its rows that the compiler of this crate has turned into vector
//! code, so that what an interpreter costs is paid once per row; parameters are numbers when the list is made, and what
//! follows from them is folded. For a model of a few states this is faster than code for two points at a time, whose
//! calls of sin, cos and exp see two numbers each (benches/sampling.rs).
//!
//! **Invariant.** Operands stand before results, so every operation reads rows before the one it writes.

// Loops over points go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use std::sync::Arc;

use crate::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, UnaryOp};
use crate::linalg::{Wide, wide};
use crate::system::System;
use crate::system::rows::{FEW, ROW, Row, RowDims, RowFunction, RowFunctions, Width};

use super::CompileError;
use super::kernels::Kernels;
use super::math::{SliceFunction, elementary};
use super::stage::{StageNodes, StageTerms};

/// Terms of a sum that one pass adds up.
const TERMS: usize = 4;

/// One pass over rows.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// Σ c·row from left to right; the first of several passes.
    Sum {
        start: u32,
        n: u32,
    },
    /// The sum so far, and further terms.
    AddTo {
        so_far: u32,
        start: u32,
        n: u32,
    },
    Mul(u32, u32),
    Div(u32, u32),
    /// Sine here, cosine in the next row.
    SinCos(u32),
    Unary(UnaryOp, u32),
    Binary(BinaryOp, u32, u32),
    Compare(Compare, u32, u32),
    Select {
        condition: u32,
        then: u32,
        otherwise: u32,
    },
    Copy(u32),
}

#[derive(Debug, Clone, Copy)]
struct Step {
    op: Op,
    target: u32,
}

/// Nodes of a graph as a function over rows.
#[derive(Debug, Clone)]
pub struct RowKernel {
    dims: RowDims,
    /// Behind the arguments.
    constants: Vec<f64>,
    steps: Vec<Step>,
    terms: Vec<(f64, u32)>,
    n_rows: usize,
    outputs: Vec<usize>,
}

impl RowKernel {
    /// The function whose results are `nodes`, with the parameters `params` put in. `dims.n_outputs` is not read.
    ///
    /// # Errors
    /// [`CompileError::TooLarge`] where the graph is full, and [`CompileError::Backend`] where a node has an argument that
    /// `dims` or `params` has not.
    pub fn compile(dag: &Dag, nodes: &[NodeId], dims: RowDims, params: &[f64]) -> Result<RowKernel, CompileError> {
        Self::compile_varying(dag, nodes, dims, params, &[])
    }

    /// The same where the parameters `varying` differ from point to point: they are rows behind the `dims.n_disturbances`
    /// disturbances, in this order, and count as disturbances of the result.
    ///
    /// # Errors
    /// As [`RowKernel::compile`].
    pub fn compile_varying(
        dag: &Dag,
        nodes: &[NodeId],
        dims: RowDims,
        params: &[f64],
        varying: &[usize],
    ) -> Result<RowKernel, CompileError> {
        let mut folded = Dag::new();
        let roots = fold(dag, nodes, params, (varying, dims.n_disturbances), &mut folded)?;
        if dag.is_full() || folded.is_full() {
            return Err(CompileError::TooLarge);
        }
        let n_disturbances = dims.n_disturbances + varying.len();
        let dims = RowDims { n_outputs: nodes.len(), n_disturbances, ..dims };
        Lowering::new(&folded, dims).finish(&roots)
    }

    /// Number of passes over rows.
    pub fn n_steps(&self) -> usize {
        self.steps.len()
    }
}

/// A model and a task, whose nodes are in its graph, for rows of points; `params: n_params`.
///
/// # Errors
/// As [`RowKernel::compile`].
pub fn row_functions(kernels: &Kernels, nodes: &StageNodes, params: &[f64]) -> Result<RowFunctions, CompileError> {
    let sizes = kernels.dims();
    let dims = RowDims {
        n_states: sizes.n_states,
        n_inputs: sizes.n_inputs,
        n_disturbances: sizes.n_disturbances,
        n_outputs: 0,
    };
    let mut dag = kernels.dag().clone();
    let running = stage_nodes(&mut dag, &nodes.running);
    let last = stage_nodes(&mut dag, &nodes.last);
    let compile = |nodes: &[NodeId]| -> Result<Arc<dyn RowFunction>, CompileError> {
        Ok(Arc::new(RowKernel::compile(&dag, nodes, dims, params)?))
    };
    Ok(RowFunctions { dynamics: compile(&kernels.rhs_nodes())?, running: compile(&running)?, last: compile(&last)? })
}

/// Nodes of a model's graph for rows of points that differ in the parameters `varying` too: see
/// [`RowKernel::compile_varying`].
///
/// # Errors
/// As [`RowKernel::compile`].
pub fn row_function(
    kernels: &Kernels,
    nodes: &[NodeId],
    params: &[f64],
    varying: &[usize],
) -> Result<Arc<dyn RowFunction>, CompileError> {
    let sizes = kernels.dims();
    let dims = RowDims {
        n_states: sizes.n_states,
        n_inputs: sizes.n_inputs,
        n_disturbances: sizes.n_disturbances,
        n_outputs: 0,
    };
    Ok(Arc::new(RowKernel::compile_varying(&kernels.dag(), nodes, dims, params, varying)?))
}

/// The right-hand side of a model, likewise.
///
/// # Errors
/// As [`RowKernel::compile`].
pub fn row_slopes(kernels: &Kernels, params: &[f64], varying: &[usize]) -> Result<Arc<dyn RowFunction>, CompileError> {
    row_function(kernels, &kernels.rhs_nodes(), params, varying)
}

/// The cost, then the rows.
fn stage_nodes(dag: &mut Dag, terms: &StageTerms) -> Vec<NodeId> {
    let squares: Vec<(f64, NodeId)> = terms.squares.iter().map(|s| (s.weight, dag.powi(s.residual, 2))).collect();
    let others = terms.others.iter().map(|&node| (1.0, node));
    let summands: Vec<(f64, NodeId)> = squares.into_iter().chain(others).collect();
    let cost = dag.sum(&summands);
    std::iter::once(cost).chain(terms.rows.iter().copied()).collect()
}

impl RowFunction for RowKernel {
    fn dims(&self) -> RowDims {
        self.dims
    }

    fn block(&self) -> Vec<Row> {
        let mut block = vec![[0.0; ROW]; self.n_rows];
        for (row, &value) in block[self.dims.time() + 1..].iter_mut().zip(&self.constants) {
            *row = [value; ROW];
        }
        block
    }

    fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    fn evaluate(&self, block: &mut [Row], width: Width) {
        match width {
            Width::Few => wide(Pass::<FEW> { kernel: self, block }),
            Width::All => wide(Pass::<ROW> { kernel: self, block }),
        }
    }
}

/// The nodes again, in a graph without parameters; those that vary are disturbances from the given one on.
fn fold(
    dag: &Dag,
    nodes: &[NodeId],
    params: &[f64],
    (varying, first): (&[usize], usize),
    folded: &mut Dag,
) -> Result<Vec<NodeId>, CompileError> {
    let order = dag.reachable(nodes);
    let mut image = vec![Dag::ZERO; order.last().map_or(0, |last| last.0 as usize + 1)];
    for &id in &order {
        let at = |operand: NodeId| image[operand.0 as usize];
        let new = match dag.node(id) {
            Node::Leaf(Leaf::Param(k)) => match (varying.iter().position(|&v| v == k as usize), params.get(k as usize))
            {
                (Some(j), _) => folded.leaf(Leaf::Disturbance((first + j) as u32)),
                (None, Some(value)) => folded.constant(*value),
                (None, None) => return Err(CompileError::Backend(format!("parameter {k} has no value"))),
            },
            node => folded.rebuild(dag, node, at),
        };
        image[id.0 as usize] = new;
    }
    Ok(nodes.iter().map(|node| image[node.0 as usize]).collect())
}

/// From a graph to steps.
struct Lowering<'a> {
    dag: &'a Dag,
    kernel: RowKernel,
    /// The row of each node.
    rows: Vec<u32>,
}

impl<'a> Lowering<'a> {
    fn new(dag: &'a Dag, dims: RowDims) -> Self {
        let kernel = RowKernel {
            dims,
            constants: Vec::new(),
            steps: Vec::new(),
            terms: Vec::new(),
            n_rows: dims.time() + 1,
            outputs: Vec::new(),
        };
        Lowering { dag, kernel, rows: vec![u32::MAX; dag.len()] }
    }

    fn finish(mut self, roots: &[NodeId]) -> Result<RowKernel, CompileError> {
        let order = self.dag.reachable(roots);
        let is_constant = |id: &&NodeId| matches!(self.dag.node(**id), Node::Const(_));
        let mut constants: Vec<NodeId> = order.iter().filter(is_constant).copied().collect();
        if !constants.contains(&Dag::ONE) {
            constants.push(Dag::ONE);
        }
        for id in constants {
            self.rows[id.0 as usize] = self.kernel.n_rows as u32;
            self.kernel.constants.push(self.dag.as_const(id).unwrap_or(f64::NAN));
            self.kernel.n_rows += 1;
        }
        for id in order {
            if self.rows[id.0 as usize] == u32::MAX {
                self.rows[id.0 as usize] = self.lower(id)?;
            }
        }
        let n_arguments = self.kernel.dims.time() + 1;
        for root in roots {
            let row = self.rows[root.0 as usize];
            let row = if (row as usize) < n_arguments { self.push(Op::Copy(row)) } else { row };
            self.kernel.outputs.push(row as usize);
        }
        Ok(self.kernel)
    }

    fn push(&mut self, op: Op) -> u32 {
        let target = self.kernel.n_rows as u32;
        self.kernel.steps.push(Step { op, target });
        self.kernel.n_rows += 1;
        target
    }

    /// The row of a node whose operands have theirs.
    fn lower(&mut self, id: NodeId) -> Result<u32, CompileError> {
        let at = |operand: NodeId| self.rows[operand.0 as usize];
        Ok(match self.dag.node(id) {
            Node::Const(_) => self.rows[Dag::ONE.0 as usize],
            Node::Leaf(leaf) => self.argument(leaf)?,
            Node::Unary(op @ (UnaryOp::Sin | UnaryOp::Cos), a) => {
                let row = at(a);
                let known = self.kernel.steps.iter().find(|s| matches!(s.op, Op::SinCos(of) if of == row));
                let sine = match known.map(|step| step.target) {
                    Some(sine) => sine,
                    None => {
                        let sine = self.push(Op::SinCos(row));
                        self.kernel.n_rows += 1;
                        sine
                    }
                };
                sine + u32::from(op == UnaryOp::Cos)
            }
            Node::Unary(op, a) => {
                let op = Op::Unary(op, at(a));
                self.push(op)
            }
            Node::Binary(op, a, b) => {
                let (a, b) = (at(a), at(b));
                self.push(match op {
                    BinaryOp::Mul => Op::Mul(a, b),
                    BinaryOp::Div => Op::Div(a, b),
                    BinaryOp::Pow
                    | BinaryOp::Min
                    | BinaryOp::Max
                    | BinaryOp::Mod
                    | BinaryOp::Atan2
                    | BinaryOp::And
                    | BinaryOp::Or => Op::Binary(op, a, b),
                })
            }
            Node::PowI(a, n) => {
                let base = at(a);
                self.power(base, n)
            }
            Node::Sum(sum) => {
                let start = self.kernel.terms.len();
                let terms = self.dag.terms(sum).iter().map(|t| (t.coefficient, self.rows[t.node.0 as usize]));
                self.kernel.terms.extend(terms);
                let n = self.kernel.terms.len() - start;
                let mut row = self.push(Op::Sum { start: start as u32, n: n.min(TERMS) as u32 });
                for first in (start + TERMS..start + n).step_by(TERMS) {
                    let n = (start + n - first).min(TERMS) as u32;
                    row = self.push(Op::AddTo { so_far: row, start: first as u32, n });
                }
                row
            }
            Node::Compare(op, a, b) => {
                let op = Op::Compare(op, at(a), at(b));
                self.push(op)
            }
            Node::Select { condition, then, otherwise } => {
                let op = Op::Select { condition: at(condition), then: at(then), otherwise: at(otherwise) };
                self.push(op)
            }
        })
    }

    fn argument(&self, leaf: Leaf) -> Result<u32, CompileError> {
        let dims = &self.kernel.dims;
        let (first, index, n) = match leaf {
            Leaf::State(k) => (0, k, dims.n_states),
            Leaf::Input(k) => (dims.input(), k, dims.n_inputs),
            Leaf::Disturbance(k) => (dims.disturbance(), k, dims.n_disturbances),
            Leaf::Time => (dims.time(), 0, 1),
            // Parameters are folded.
            Leaf::Param(k) | Leaf::Direction(k) => (0, k, 0),
            Leaf::DirectionTime => (0, 0, 0),
        };
        if index as usize >= n {
            return Err(CompileError::Backend(format!("{leaf:?} is not among the arguments of a row function")));
        }
        Ok(first as u32 + index)
    }

    /// Repeated squaring, as [`crate::expr::ops::powi`] says.
    fn power(&mut self, base: u32, n: i32) -> u32 {
        let one = self.rows[Dag::ONE.0 as usize];
        let (mut rest, mut square, mut result) = (n.unsigned_abs(), base, None);
        while rest != 0 {
            if rest & 1 == 1 {
                result = Some(result.map_or(square, |so_far| self.push(Op::Mul(so_far, square))));
            }
            rest >>= 1;
            if rest != 0 {
                square = self.push(Op::Mul(square, square));
            }
        }
        let result = result.unwrap_or(one);
        if n < 0 { self.push(Op::Div(one, result)) } else { result }
    }
}

/// One evaluation of the first `W` points.
struct Pass<'a, const W: usize> {
    kernel: &'a RowKernel,
    block: &'a mut [Row],
}

impl<const W: usize> Wide for Pass<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let terms = &self.kernel.terms[..];
        for &Step { op, target } in &self.kernel.steps {
            let (done, rest) = self.block.split_at_mut(target as usize);
            let row = |at: u32| -> &Row { &done[at as usize] };
            let Some((out, behind)) = rest.split_first_mut() else { return };
            match op {
                Op::Sum { start, n } => match terms[start as usize..(start + n) as usize] {
                    [(a, x)] => one::<W>(out, row(x), |x| a * x),
                    [(a, x), (b, y)] => two::<W>(out, row(x), row(y), |x, y| a * x + b * y),
                    [(a, x), (b, y), (c, z)] => {
                        three::<W>(out, row(x), row(y), row(z), |x, y, z| (a * x + b * y) + c * z);
                    }
                    [(a, x), (b, y), (c, z), (d, w)] => {
                        let (x, y, z, w) = (row(x), row(y), row(z), row(w));
                        for lane in 0..W {
                            out[lane] = ((a * x[lane] + b * y[lane]) + c * z[lane]) + d * w[lane];
                        }
                    }
                    // A pass has one to four terms.
                    _ => {}
                },
                Op::AddTo { so_far, start, n } => {
                    out[..W].copy_from_slice(&row(so_far)[..W]);
                    for &(c, x) in &terms[start as usize..(start + n) as usize] {
                        let x = row(x);
                        for lane in 0..W {
                            out[lane] += c * x[lane];
                        }
                    }
                }
                Op::Mul(a, b) => two::<W>(out, row(a), row(b), |a, b| a * b),
                Op::Div(a, b) => two::<W>(out, row(a), row(b), |a, b| a / b),
                Op::SinCos(a) => {
                    if let Some(cosine) = behind.first_mut() {
                        sin_cos::<W>(row(a), out, cosine);
                    }
                }
                Op::Unary(op, a) => unary::<W>(op, out, row(a)),
                Op::Binary(op, a, b) => binary::<W>(op, out, row(a), row(b)),
                Op::Compare(op, a, b) => compare::<W>(op, out, row(a), row(b)),
                Op::Select { condition, then, otherwise } => {
                    three::<W>(out, row(condition), row(then), row(otherwise), |c, a, b| if c != 0.0 { a } else { b });
                }
                Op::Copy(a) => out[..W].copy_from_slice(&row(a)[..W]),
            }
        }
    }
}

#[inline(always)]
fn one<const W: usize>(out: &mut Row, x: &Row, f: impl Fn(f64) -> f64) {
    for lane in 0..W {
        out[lane] = f(x[lane]);
    }
}

#[inline(always)]
fn two<const W: usize>(out: &mut Row, x: &Row, y: &Row, f: impl Fn(f64, f64) -> f64) {
    for lane in 0..W {
        out[lane] = f(x[lane], y[lane]);
    }
}

#[inline(always)]
fn three<const W: usize>(out: &mut Row, x: &Row, y: &Row, z: &Row, f: impl Fn(f64, f64, f64) -> f64) {
    for lane in 0..W {
        out[lane] = f(x[lane], y[lane], z[lane]);
    }
}

/// Both at once share the reduction and both polynomials, so that they cost little more than one.
#[inline(always)]
fn sin_cos<const W: usize>(x: &Row, sine: &mut Row, cosine: &mut Row) {
    let mut is_short = true;
    for lane in 0..W {
        sine[lane] = elementary::sin(x[lane]);
        cosine[lane] = elementary::cos(x[lane]);
        is_short &= elementary::is_in_short_reduction(x[lane]);
    }
    if !is_short {
        for lane in 0..W {
            sine[lane] = SliceFunction::Sin.apply(x[lane]);
            cosine[lane] = SliceFunction::Cos.apply(x[lane]);
        }
    }
}

/// Sine and cosine have a pass of their own.
#[inline(always)]
fn unary<const W: usize>(op: UnaryOp, out: &mut Row, x: &Row) {
    match op {
        UnaryOp::Exp => one::<W>(out, x, elementary::exp),
        UnaryOp::Ln => one::<W>(out, x, elementary::ln),
        UnaryOp::Tanh => one::<W>(out, x, elementary::tanh),
        UnaryOp::Sqrt => one::<W>(out, x, f64::sqrt),
        UnaryOp::Abs => one::<W>(out, x, f64::abs),
        UnaryOp::Not => one::<W>(out, x, |x| if x == 0.0 { 1.0 } else { 0.0 }),
        UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Log10
        | UnaryOp::Tan
        | UnaryOp::Asin
        | UnaryOp::Acos
        | UnaryOp::Atan
        | UnaryOp::Sinh
        | UnaryOp::Cosh
        | UnaryOp::Sign
        | UnaryOp::Floor
        | UnaryOp::Ceil => one::<W>(out, x, |x| op.apply(x)),
    }
}

#[inline(always)]
fn binary<const W: usize>(op: BinaryOp, out: &mut Row, x: &Row, y: &Row) {
    match op {
        BinaryOp::Mul => two::<W>(out, x, y, |x, y| x * y),
        BinaryOp::Div => two::<W>(out, x, y, |x, y| x / y),
        BinaryOp::Min => two::<W>(out, x, y, |x, y| if x < y { x } else { y }),
        BinaryOp::Max => two::<W>(out, x, y, |x, y| if x > y { x } else { y }),
        BinaryOp::Pow | BinaryOp::Mod | BinaryOp::Atan2 | BinaryOp::And | BinaryOp::Or => {
            two::<W>(out, x, y, |x, y| op.apply(x, y));
        }
    }
}

#[inline(always)]
fn compare<const W: usize>(op: Compare, out: &mut Row, x: &Row, y: &Row) {
    let number = |is_true: bool| if is_true { 1.0 } else { 0.0 };
    match op {
        Compare::Lt => two::<W>(out, x, y, |x, y| number(x < y)),
        Compare::Le => two::<W>(out, x, y, |x, y| number(x <= y)),
        Compare::Eq => two::<W>(out, x, y, |x, y| number(x == y)),
        Compare::Ne => two::<W>(out, x, y, |x, y| number(x != y)),
    }
}
