//! [`Kernels`] as a [`System`].

use std::sync::Arc;

use super::kernel::{Direction, Kernel};
use super::kernels::Kernels;
use super::parts::Part;
use crate::linalg::{CscPattern, LuCode};
use crate::system::{At, Dims, Event, System, Work};

impl Kernels {
    /// Calls a part of one kernel; not-a-number where it could not be compiled.
    #[inline(always)]
    fn run(&self, part: Part, at: At<'_>, work: &mut Work, out: &mut [f64]) {
        if !self.short_way(part).call(at.x, at.p, out) {
            self.run_full(at, work, out, part);
        }
    }

    /// Not inlined, so that the short way saves no registers; the part comes last, so that it moves none.
    #[inline(never)]
    fn run_full(&self, at: At<'_>, work: &mut Work, out: &mut [f64], part: Part) {
        self.run_along(part, at, Direction::default(), work, out, &mut []);
    }

    #[inline(always)]
    fn run_along(
        &self,
        part: Part,
        at: At<'_>,
        direction: Direction<'_>,
        work: &mut Work,
        first: &mut [f64],
        second: &mut [f64],
    ) {
        match self.kernel(part, 0) {
            Some(kernel) => kernel.call_along(at, direction, work, first, second),
            None => {
                first.fill(f64::NAN);
                second.fill(f64::NAN);
            }
        }
    }

    /// Kernel number `idx` of a part, if it could be compiled.
    #[inline(always)]
    pub(super) fn kernel(&self, part: Part, idx: usize) -> Option<&Kernel> {
        self.compiled(part).as_ref().ok()?.get(idx)
    }

    /// Calls a kernel whose outputs are needed only here: `read` gets the first `n_kept` elements of the scratch,
    /// which no kernel touches, and the outputs (not-a-number where the kernel could not be compiled).
    pub(super) fn run_aside<R>(
        &self,
        part: Part,
        idx: usize,
        (n_kept, n_outputs): (usize, usize),
        at: At<'_>,
        work: &mut Work,
        read: impl FnOnce(&mut [f64], &[f64]) -> R,
    ) -> R {
        let kernel = self.kernel(part, idx);
        let n_slots = kernel.map_or(0, Kernel::n_slots);
        let n_needed = n_kept + n_slots + n_outputs;
        if work.scratch.len() < n_needed {
            work.scratch.resize(n_needed, 0.0);
        }
        let (kept, rest) = work.scratch.split_at_mut(n_kept);
        let (slots, rest) = rest.split_at_mut(n_slots);
        let outputs = &mut rest[..n_outputs];
        match kernel {
            Some(kernel) => kernel.call_slices(at, Direction::default(), slots, outputs, &mut []),
            None => outputs.fill(f64::NAN),
        }
        read(kept, outputs)
    }
}

impl System for Kernels {
    fn dims(&self) -> Dims {
        self.sizes()
    }

    fn rhs(&self, at: At<'_>, work: &mut Work, dx: &mut [f64]) {
        self.run(Part::Rhs, at, work, dx);
    }

    fn jacobian_pattern(&self) -> &CscPattern {
        &self.jacobian_derivative().pattern
    }

    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.run(Part::Jacobian, at, work, values);
    }

    fn lu_code(&self) -> Option<Arc<dyn LuCode>> {
        let code = self.elimination().as_ref().ok()?.clone()?;
        Some(code)
    }

    fn is_autonomous(&self) -> bool {
        self.is_autonomous
    }

    fn time_derivative(&self, at: At<'_>, work: &mut Work, df: &mut [f64]) {
        self.run(Part::TimeDerivative, at, work, df);
    }

    fn parameter_pattern(&self) -> &CscPattern {
        &self.parameter_derivative().pattern
    }

    fn parameter_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.run(Part::ParameterJacobian, at, work, values);
    }

    fn input_pattern(&self) -> &CscPattern {
        &self.input_derivative().pattern
    }

    fn input_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.run(Part::InputJacobian, at, work, values);
    }

    fn disturbance_pattern(&self) -> &CscPattern {
        &self.disturbance_derivative().pattern
    }

    fn disturbance_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.run(Part::DisturbanceJacobian, at, work, values);
    }

    fn linearize(&self, at: At<'_>, work: &mut Work, dx: &mut [f64], values: &mut [f64]) {
        self.run_linearization(at, work, dx, values);
    }

    fn curvature_pattern(&self) -> Option<&CscPattern> {
        Some(self.pattern_of_curvature())
    }

    fn curvature(&self, at: At<'_>, multipliers: &[f64], work: &mut Work, values: &mut [f64]) {
        self.run_curvature(at, multipliers, work, values);
    }

    fn jacobian_along(&self, at: At<'_>, dx: &[f64], dt: f64, work: &mut Work, jac: &mut [f64], par: &mut [f64]) {
        self.run_along(Part::JacobianAlong, at, Direction { dx, dt }, work, jac, par);
    }

    fn initial_state(&self, at: At<'_>, work: &mut Work, x: &mut [f64]) {
        self.run(Part::InitialState, at, work, x);
    }

    fn initial_pattern(&self) -> &CscPattern {
        &self.initial_derivative().pattern
    }

    fn initial_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.run(Part::InitialJacobian, at, work, values);
    }

    fn outputs(&self, at: At<'_>, work: &mut Work, y: &mut [f64]) {
        self.run(Part::Outputs, at, work, y);
    }

    fn output_patterns(&self) -> (&CscPattern, &CscPattern) {
        let (states, params) = self.output_derivatives();
        (&states.pattern, &params.pattern)
    }

    fn output_jacobians(&self, at: At<'_>, work: &mut Work, dy_dx: &mut [f64], dy_dp: &mut [f64]) {
        self.run_along(Part::OutputJacobians, at, Direction::default(), work, dy_dx, dy_dp);
    }

    fn events(&self) -> &[Event] {
        &self.events
    }

    fn times(&self, at: At<'_>, work: &mut Work, times: &mut [f64]) {
        self.run(Part::Times, at, work, times);
    }

    fn times_jacobian(&self, at: At<'_>, work: &mut Work, dtimes_dp: &mut [f64]) {
        let n_params = self.model.params.len();
        let rows = self.time_rows();
        let n_entries = rows.iter().map(|row| row.params.len()).sum();
        dtimes_dp.fill(0.0);
        self.run_aside(Part::TimesJacobian, 0, (0, n_entries), at, work, |_, mut values| {
            for (row, time) in dtimes_dp.chunks_mut(n_params.max(1)).zip(rows) {
                values = scatter(&time.params, values, row);
            }
        });
    }

    fn roots(&self, at: At<'_>, work: &mut Work, g: &mut [f64]) {
        self.run(Part::Roots, at, work, g);
    }

    fn root_gradient(&self, root_idx: usize, at: At<'_>, work: &mut Work, dg_dx: &mut [f64], dg_dp: &mut [f64]) -> f64 {
        dg_dx.fill(0.0);
        dg_dp.fill(0.0);
        let Some(row) = self.root_rows().get(root_idx) else { return 0.0 };
        self.run_aside(Part::RootGradients, root_idx, (0, row.len()), at, work, |_, values| {
            let values = scatter(&row.states, values, dg_dx);
            let values = scatter(&row.params, values, dg_dp);
            values.first().copied().unwrap_or(0.0)
        })
    }

    fn reset(&self, which: &[usize], at: At<'_>, work: &mut Work, x_new: &mut [f64]) -> Result<(), usize> {
        self.apply_jumps(which, at, work, x_new)
    }

    fn reset_jacobians(
        &self,
        which: &[usize],
        at: At<'_>,
        work: &mut Work,
        dxn_dx: &mut [f64],
        dxn_dp: &mut [f64],
        dxn_dt: &mut [f64],
    ) {
        self.differentiate_jumps(which, at, work, dxn_dx, dxn_dp, dxn_dt);
    }
}

/// Writes the leading values to their columns and returns the others.
fn scatter<'a, T>(columns: &[(u32, T)], values: &'a [f64], row: &mut [f64]) -> &'a [f64] {
    let (mine, others) = values.split_at(columns.len());
    for ((column, _), value) in columns.iter().zip(mine) {
        row[*column as usize] = *value;
    }
    others
}
