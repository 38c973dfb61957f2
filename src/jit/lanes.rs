//! The kernels of one model for several points at once: [`LaneKernels`] implements [`LaneSystem`].
//!
//! Straight-line code for two points, called once for each pair; see `emit::lanes` for the layout. Bits are those of the
//! kernels for one point.

use super::CompileError;
use super::kernel::LaneKernel;
use super::kernels::Kernels;
use super::plan::{Plan, PlanOptions};
use crate::system::{At, LaneSystem, System, Work};

/// Right-hand side and Jacobian of a model for several points.
#[derive(Debug)]
pub struct LaneKernels<'k> {
    kernels: &'k Kernels,
    rhs: LaneKernel,
    jacobian: LaneKernel,
}

impl<'k> LaneKernels<'k> {
    /// Compiles right-hand side and Jacobian for `width` points, an even number.
    ///
    /// # Errors
    /// As [`super::Compiler::compile_lanes`]; a model whose equations contain the time is refused.
    pub fn compile(kernels: &'k Kernels, width: usize) -> Result<Self, CompileError> {
        let options = PlanOptions { lanes: width, ..kernels.options };
        let jacobian = &kernels.jacobian_derivative().nodes;
        let plans = {
            let dag = kernels.dag();
            if dag.is_full() {
                return Err(CompileError::TooLarge);
            }
            [Plan::new(&dag, &kernels.rhs_nodes(), &options), Plan::new(&dag, jacobian, &options)]
        };
        let mut compiled = kernels.compiler.compile_lanes(&plans)?.into_iter();
        match (compiled.next(), compiled.next()) {
            (Some(rhs), Some(jacobian)) => Ok(LaneKernels { kernels, rhs, jacobian }),
            (_, _) => Err(CompileError::Backend("no kernel came out".to_owned())),
        }
    }
}

impl LaneSystem for LaneKernels<'_> {
    fn width(&self) -> usize {
        self.rhs.lanes()
    }

    fn single(&self) -> &dyn System {
        self.kernels
    }

    fn work(&self) -> Work {
        Work { scratch: vec![0.0; self.rhs.n_scratch().max(self.jacobian.n_scratch())] }
    }

    fn rhs(&self, at: At<'_>, work: &mut Work, dx: &mut [f64]) {
        self.rhs.call(at, work, dx);
    }

    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.jacobian.call(at, work, values);
    }
}
