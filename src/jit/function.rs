//! Kernels as functions that solvers may call without knowing how they were made.

use super::Kernel;
use crate::system::{At, Function, Work};

impl Function for Kernel {
    fn n_outputs(&self) -> usize {
        Kernel::n_outputs(self)
    }

    fn call(&self, at: At<'_>, work: &mut Work, out: &mut [f64]) {
        Kernel::call(self, at, work, out);
    }
}
