//! What every solver sees: a system of ordinary differential equations with its derivatives, outputs and events.
//!
//! `x' = f(t, x, u, d, p)`. [`crate::jit::Kernels`] implements it from compiled code; [`closure`] wraps plain Rust
//! closures so that solvers are tested without the compiler. Everything is `f64` and slices; nothing allocates.

pub mod closure;
pub mod lanes;
pub mod rows;
pub mod stage_functions;
pub mod stages;
pub mod stochastic;

pub use lanes::LaneSystem;
pub use rows::{Row, RowDims, RowFunction, RowFunctions};
pub use stage_functions::{StageFunctions, StageKind};
pub use stages::{Curvature, Limits, Softness, StageDims, StageFailure, Stages, Tree};

use std::sync::Arc;

use crate::linalg::{CscPattern, LuCode};

/// Sizes of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dims {
    /// States, discrete ones included (their derivative is zero; events change them).
    pub n_states: usize,
    /// Runtime parameters.
    pub n_params: usize,
    /// Inputs (decided).
    pub n_inputs: usize,
    /// Disturbances (known or measured).
    pub n_disturbances: usize,
    /// Outputs.
    pub n_outputs: usize,
    /// Root functions.
    pub n_roots: usize,
    /// Breakpoint times that are functions of the parameters.
    pub n_times: usize,
    /// Scratch slots that [`Work`] must hold.
    pub n_scratch: usize,
}

/// The point of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// Time in the model's time unit.
    pub t: f64,
    /// `n_states`
    pub x: &'a [f64],
    /// `n_inputs`
    pub u: &'a [f64],
    /// `n_disturbances`
    pub d: &'a [f64],
    /// `n_params`
    pub p: &'a [f64],
}

/// Scratch of an evaluation, one per thread; made by [`System::work`].
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// `n_scratch` slots, overwritten by every call.
    pub scratch: Vec<f64>,
}

/// Values at a point: compiled or interpreted expressions of a model's quantities.
pub trait Function: Send + Sync {
    /// How many.
    fn n_outputs(&self) -> usize;

    /// `out: n_outputs` = the values.
    fn call(&self, at: At<'_>, work: &mut Work, out: &mut [f64]);
}

/// When and how a discontinuity comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trigger {
    /// At `times[idx]` once.
    At { time_idx: usize },
    /// At `times[from_idx] + k · times[period_idx]`, k = 0, 1, ..., up to and including `times[until_idx]` if given.
    Every { from_idx: usize, period_idx: usize, until_idx: Option<usize> },
    /// Where `roots[root_idx]` goes from negative to positive (a `when`; true at the start does not fire).
    Rising { root_idx: usize },
    /// Where `roots[root_idx]` changes its sign either way: a branch of an `if`. The integrator restarts there.
    Crossing { root_idx: usize },
}

/// One source of discontinuity. The position in [`System::events`] is the event's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When it happens.
    pub trigger: Trigger,
    /// True where [`System::reset`] changes the state; false for a mere breakpoint of the right-hand side.
    pub has_reset: bool,
}

/// A system of ordinary differential equations.
///
/// All methods write every element of their output slices. Implementations are called from many threads at once,
/// each with its own [`Work`].
pub trait System: Send + Sync {
    /// The sizes.
    fn dims(&self) -> Dims;

    /// Scratch for one thread.
    fn work(&self) -> Work {
        Work { scratch: vec![0.0; self.dims().n_scratch] }
    }

    /// `dx: n_states` = f.
    fn rhs(&self, at: At<'_>, work: &mut Work, dx: &mut [f64]);

    /// Pattern of ∂f/∂x, `n_states × n_states`.
    fn jacobian_pattern(&self) -> &CscPattern;

    /// `values` = ∂f/∂x in the order of [`System::jacobian_pattern`].
    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// Code that factorises `shift I - J` of [`System::jacobian_pattern`] faster than an algorithm for any pattern, if
    /// there is any.
    fn lu_code(&self) -> Option<Arc<dyn LuCode>> {
        None
    }

    /// True where f does not depend on t explicitly (inputs and disturbances held).
    fn is_autonomous(&self) -> bool {
        false
    }

    /// `df: n_states` = ∂f/∂t. Needed by Rosenbrock methods unless the system is autonomous.
    fn time_derivative(&self, at: At<'_>, work: &mut Work, df: &mut [f64]);

    /// Pattern of ∂f/∂p, `n_states × n_params`.
    fn parameter_pattern(&self) -> &CscPattern;

    /// `values` = ∂f/∂p in the order of [`System::parameter_pattern`].
    fn parameter_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// Pattern of ∂f/∂u, `n_states × n_inputs`.
    fn input_pattern(&self) -> &CscPattern;

    /// `values` = ∂f/∂u in the order of [`System::input_pattern`].
    fn input_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// Pattern of ∂f/∂d, `n_states × n_disturbances`.
    fn disturbance_pattern(&self) -> &CscPattern;

    /// `values` = ∂f/∂d in the order of [`System::disturbance_pattern`].
    fn disturbance_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// f, ∂f/∂x and ∂f/∂u at one point: `dx: n_states`, and `values` in the order of [`System::jacobian_pattern`] followed
    /// by that of [`System::input_pattern`], together the columns of ∂f/∂(x, u).
    fn linearize(&self, at: At<'_>, work: &mut Work, dx: &mut [f64], values: &mut [f64]) {
        let (by_states, by_inputs) = values.split_at_mut(self.jacobian_pattern().nnz());
        self.rhs(at, work, dx);
        self.jacobian(at, work, by_states);
        self.input_jacobian(at, work, by_inputs);
    }

    /// Pattern of the lower triangle of the second derivatives of `Σ_i multipliers_i f_i` in (x, u), of order
    /// `n_states + n_inputs`; `None` where they are not known.
    fn curvature_pattern(&self) -> Option<&CscPattern> {
        None
    }

    /// `values` = `Σ_i multipliers_i ∂²f_i/∂(x, u)²` in the order of [`System::curvature_pattern`];
    /// `multipliers: n_states`.
    fn curvature(&self, _at: At<'_>, _multipliers: &[f64], _work: &mut Work, values: &mut [f64]) {
        values.fill(f64::NAN);
    }

    /// Derivatives of ∂f/∂x and ∂f/∂p along the direction `(dx, dt)` of `(x, t)`:
    /// `jac: nnz(jacobian_pattern)` = Σ_k ∂J/∂x_k dx_k + ∂J/∂t dt, and `par` likewise of ∂f/∂p.
    ///
    /// Forward sensitivities through Rosenbrock methods lose order without these terms: the augmented system's
    /// Jacobian has `∂(J s + f_p)/∂x` below its diagonal blocks.
    fn jacobian_along(&self, at: At<'_>, dx: &[f64], dt: f64, work: &mut Work, jac: &mut [f64], par: &mut [f64]);

    /// `x: n_states` = start values at `t`, functions of `(t, u, d, p)`; `at.x` is not read.
    fn initial_state(&self, at: At<'_>, work: &mut Work, x: &mut [f64]);

    /// Pattern of ∂x0/∂p, `n_states × n_params`.
    fn initial_pattern(&self) -> &CscPattern;

    /// `values` = ∂x0/∂p in the order of [`System::initial_pattern`].
    fn initial_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// `y: n_outputs`.
    fn outputs(&self, at: At<'_>, work: &mut Work, y: &mut [f64]);

    /// Patterns of ∂y/∂x (`n_outputs × n_states`) and ∂y/∂p (`n_outputs × n_params`).
    fn output_patterns(&self) -> (&CscPattern, &CscPattern);

    /// `dy_dx` and `dy_dp` in the order of [`System::output_patterns`].
    fn output_jacobians(&self, at: At<'_>, work: &mut Work, dy_dx: &mut [f64], dy_dp: &mut [f64]);

    /// All sources of discontinuity; the order is the order in which simultaneous root events are carried out.
    fn events(&self) -> &[Event] {
        &[]
    }

    /// `times: n_times` = the times that [`Trigger`]s name, functions of `p`.
    fn times(&self, _at: At<'_>, _work: &mut Work, _times: &mut [f64]) {}

    /// `dtimes_dp: n_times × n_params`, row major.
    fn times_jacobian(&self, _at: At<'_>, _work: &mut Work, _dtimes_dp: &mut [f64]) {}

    /// `g: n_roots` = the root functions.
    fn roots(&self, _at: At<'_>, _work: &mut Work, _g: &mut [f64]) {}

    /// The gradient of one root function: `dg_dx: n_states`, `dg_dp: n_params`, and ∂g/∂t returned.
    fn root_gradient(
        &self,
        _root_idx: usize,
        _at: At<'_>,
        _work: &mut Work,
        _dg_dx: &mut [f64],
        _dg_dp: &mut [f64],
    ) -> f64 {
        0.0
    }

    /// `x_new: n_states` = the state after the simultaneous events `which` (indices into [`System::events`]), from
    /// the state before them; `+=` adds up and `*=` multiplies over them.
    ///
    /// # Errors
    /// The index of a state that two of the events set in conflicting ways.
    fn reset(&self, _which: &[usize], at: At<'_>, _work: &mut Work, x_new: &mut [f64]) -> Result<(), usize> {
        x_new.copy_from_slice(at.x);
        Ok(())
    }

    /// Derivatives of [`System::reset`]: `dxn_dx: n_states × n_states` and `dxn_dp: n_states × n_params`, both dense
    /// column major, and `dxn_dt: n_states`.
    fn reset_jacobians(
        &self,
        _which: &[usize],
        at: At<'_>,
        _work: &mut Work,
        dxn_dx: &mut [f64],
        dxn_dp: &mut [f64],
        dxn_dt: &mut [f64],
    ) {
        let n = at.x.len();
        dxn_dx.fill(0.0);
        dxn_dp.fill(0.0);
        dxn_dt.fill(0.0);
        for i in 0..n {
            dxn_dx[i * n + i] = 1.0;
        }
    }
}
