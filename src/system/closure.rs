//! A [`System`] made of plain Rust closures, so that solvers are tested without the compiler.
//!
//! Only the right-hand side is required. Every derivative that is not given is formed by central differences, whose
//! relative error is about 1e-10: enough to steer a solver, too coarse where an exact derivative is what is tested.

use super::{At, Dims, Event, System, Work};
use crate::linalg::CscPattern;

/// Writes values of `At` into a slice.
pub type ValueFn = Box<dyn Fn(At<'_>, &mut [f64]) + Send + Sync>;
/// Writes the derivatives of ∂f/∂x and ∂f/∂p along a direction: arguments `(at, dx, dt, jac, par)`.
pub type AlongFn = Box<dyn Fn(At<'_>, &[f64], f64, &mut [f64], &mut [f64]) + Send + Sync>;
/// Writes the state after the simultaneous events, or names the state on which they conflict.
pub type ResetFn = Box<dyn Fn(&[usize], At<'_>, &mut [f64]) -> Result<(), usize> + Send + Sync>;

/// Writes `dg_dx` and `dg_dp` of a root function and returns ∂g/∂t.
pub type RootGradientFn = Box<dyn Fn(usize, At<'_>, &mut [f64], &mut [f64]) -> f64 + Send + Sync>;
/// Writes `dxn_dx`, `dxn_dp` and `dxn_dt` of simultaneous events.
pub type ResetJacobiansFn = Box<dyn Fn(&[usize], At<'_>, &mut [f64], &mut [f64], &mut [f64]) + Send + Sync>;

/// A function with the pattern and, optionally, the values of a derivative.
struct Derivative {
    pattern: CscPattern,
    values: Option<ValueFn>,
}

impl Derivative {
    fn dense(n_rows: usize, n_cols: usize) -> Self {
        Derivative { pattern: CscPattern::dense(n_rows, n_cols), values: None }
    }
}

/// A system of closures, built by chained calls:
///
/// ```
/// use twinc::system::closure::ClosureSystem;
/// let decay = ClosureSystem::new(1, 1, |at, dx| dx[0] = -at.p[0] * at.x[0]).initial(|_, x| x[0] = 1.0).autonomous();
/// ```
pub struct ClosureSystem {
    dims: Dims,
    rhs: ValueFn,
    is_autonomous: bool,
    jacobian: Derivative,
    time_derivative: Option<ValueFn>,
    by_params: Derivative,
    by_inputs: Derivative,
    by_disturbances: Derivative,
    along: Option<AlongFn>,
    initial: ValueFn,
    initial_by_params: Derivative,
    outputs: ValueFn,
    outputs_by_states: Derivative,
    outputs_by_params: Derivative,
    events: Vec<Event>,
    times: ValueFn,
    roots: ValueFn,
    reset: Option<ResetFn>,
    root_gradient: Option<RootGradientFn>,
    reset_jacobians: Option<ResetJacobiansFn>,
}

impl ClosureSystem {
    /// A system of `n_states` and `n_params` with right-hand side `rhs`; it starts at zero, has no input and no output.
    pub fn new(
        n_states: usize,
        n_params: usize,
        rhs: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static,
    ) -> ClosureSystem {
        let mut system = ClosureSystem {
            dims: Dims { n_states, n_params, ..Dims::default() },
            rhs: Box::new(rhs),
            is_autonomous: false,
            jacobian: Derivative::dense(n_states, n_states),
            time_derivative: None,
            by_params: Derivative::dense(n_states, n_params),
            by_inputs: Derivative::dense(n_states, 0),
            by_disturbances: Derivative::dense(n_states, 0),
            along: None,
            initial: Box::new(|_, x| x.fill(0.0)),
            initial_by_params: Derivative::dense(n_states, n_params),
            outputs: Box::new(|_, _| {}),
            outputs_by_states: Derivative::dense(0, n_states),
            outputs_by_params: Derivative::dense(0, n_params),
            events: Vec::new(),
            times: Box::new(|_, _| {}),
            roots: Box::new(|_, _| {}),
            reset: None,
            root_gradient: None,
            reset_jacobians: None,
        };
        system.size_scratch();
        system
    }

    /// Declares that f does not depend on time.
    pub fn autonomous(mut self) -> Self {
        self.is_autonomous = true;
        self
    }

    /// Gives ∂f/∂x in the order of `pattern`.
    pub fn jacobian(
        mut self,
        pattern: CscPattern,
        values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        self.jacobian = Derivative { pattern, values: Some(Box::new(values)) };
        self.size_scratch();
        self
    }

    /// Gives ∂f/∂t.
    pub fn time_derivative(mut self, values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static) -> Self {
        self.time_derivative = Some(Box::new(values));
        self
    }

    /// Gives ∂f/∂p in the order of `pattern`.
    pub fn parameter_jacobian(
        mut self,
        pattern: CscPattern,
        values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        self.by_params = Derivative { pattern, values: Some(Box::new(values)) };
        self.size_scratch();
        self
    }

    /// Gives [`System::jacobian_along`].
    pub fn jacobian_along(
        mut self,
        values: impl Fn(At<'_>, &[f64], f64, &mut [f64], &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        self.along = Some(Box::new(values));
        self
    }

    /// Declares inputs and disturbances.
    pub fn forcing(mut self, n_inputs: usize, n_disturbances: usize) -> Self {
        self.dims.n_inputs = n_inputs;
        self.dims.n_disturbances = n_disturbances;
        self.by_inputs = Derivative::dense(self.dims.n_states, n_inputs);
        self.by_disturbances = Derivative::dense(self.dims.n_states, n_disturbances);
        self.size_scratch();
        self
    }

    /// Gives the start values.
    pub fn initial(mut self, values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static) -> Self {
        self.initial = Box::new(values);
        self
    }

    /// Gives the outputs.
    pub fn outputs(mut self, n_outputs: usize, values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static) -> Self {
        self.dims.n_outputs = n_outputs;
        self.outputs = Box::new(values);
        self.outputs_by_states = Derivative::dense(n_outputs, self.dims.n_states);
        self.outputs_by_params = Derivative::dense(n_outputs, self.dims.n_params);
        self.size_scratch();
        self
    }

    /// Adds a source of discontinuity.
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Gives the times that triggers name.
    pub fn times(mut self, n_times: usize, values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static) -> Self {
        self.dims.n_times = n_times;
        self.times = Box::new(values);
        self.size_scratch();
        self
    }

    /// Gives the root functions.
    pub fn roots(mut self, n_roots: usize, values: impl Fn(At<'_>, &mut [f64]) + Send + Sync + 'static) -> Self {
        self.dims.n_roots = n_roots;
        self.roots = Box::new(values);
        self.size_scratch();
        self
    }

    /// Gives the state after events.
    pub fn reset(
        mut self,
        reset: impl Fn(&[usize], At<'_>, &mut [f64]) -> Result<(), usize> + Send + Sync + 'static,
    ) -> Self {
        self.reset = Some(Box::new(reset));
        self
    }

    /// Gives [`System::root_gradient`].
    pub fn root_gradient(
        mut self,
        gradient: impl Fn(usize, At<'_>, &mut [f64], &mut [f64]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.root_gradient = Some(Box::new(gradient));
        self
    }

    /// Gives [`System::reset_jacobians`].
    pub fn reset_jacobians(
        mut self,
        jacobians: impl Fn(&[usize], At<'_>, &mut [f64], &mut [f64], &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        self.reset_jacobians = Some(Box::new(jacobians));
        self
    }

    /// Room for the perturbed point and for two evaluations of the longest result.
    fn size_scratch(&mut self) {
        let d = &self.dims;
        let longest =
            [d.n_states, self.jacobian.pattern.nnz() + self.by_params.pattern.nnz(), d.n_outputs, d.n_times, d.n_roots];
        let longest = longest.into_iter().max().unwrap_or(0);
        self.dims.n_scratch = d.n_states + d.n_params + d.n_inputs + d.n_disturbances + 2 * longest;
    }

    /// Central differences of `f`, which writes `n_rows` values, by the variable `by`; calls `put(row, col, value)`.
    fn difference(
        &self,
        by: Variable,
        n_rows: usize,
        at: At<'_>,
        work: &mut Work,
        f: &dyn Fn(At<'_>, &mut [f64]),
        put: &mut dyn FnMut(usize, usize, f64),
    ) {
        let mut point = Point::new(&self.dims, at, &mut work.scratch);
        let n_cols = point.len(by);
        for col in 0..n_cols {
            let value = point.get(by, col);
            let step = STEP * value.abs().max(STEP);
            let (above, below) = (value + step, value - step);
            point.set(by, col, above);
            let (a, values) = point.split();
            f(a, &mut values[..n_rows]);
            point.set(by, col, below);
            let (a, values) = point.split();
            f(a, &mut values[n_rows..2 * n_rows]);
            point.set(by, col, value);
            let (_, values) = point.split();
            for row in 0..n_rows {
                put(row, col, (values[row] - values[n_rows + row]) / (above - below));
            }
        }
    }

    /// The given derivative, or differences of `f` scattered to its pattern.
    fn derivative(
        &self,
        derivative: &Derivative,
        by: Variable,
        at: At<'_>,
        work: &mut Work,
        f: &ValueFn,
        out: &mut [f64],
    ) {
        match &derivative.values {
            Some(values) => values(at, out),
            None => {
                let pattern = &derivative.pattern;
                self.difference(by, pattern.n_rows(), at, work, f, &mut |row, col, value| {
                    if let Some(k) = pattern.position(row, col) {
                        out[k] = value;
                    }
                });
            }
        }
    }
}

/// The cube root of the rounding unit, which balances truncation and rounding of a central difference.
const STEP: f64 = 6.055e-6;

/// What a derivative is taken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    Time,
    State,
    Param,
    Input,
    Disturbance,
}

/// A point that may be perturbed, kept in scratch.
struct Point<'w> {
    t: f64,
    x: &'w mut [f64],
    p: &'w mut [f64],
    u: &'w mut [f64],
    d: &'w mut [f64],
    values: &'w mut [f64],
}

impl<'w> Point<'w> {
    fn new(dims: &Dims, at: At<'_>, scratch: &'w mut [f64]) -> Self {
        let (x, rest) = scratch.split_at_mut(dims.n_states);
        let (p, rest) = rest.split_at_mut(dims.n_params);
        let (u, rest) = rest.split_at_mut(dims.n_inputs);
        let (d, values) = rest.split_at_mut(dims.n_disturbances);
        x.copy_from_slice(at.x);
        p.copy_from_slice(at.p);
        u.copy_from_slice(at.u);
        d.copy_from_slice(at.d);
        Point { t: at.t, x, p, u, d, values }
    }

    fn len(&self, by: Variable) -> usize {
        match by {
            Variable::Time => 1,
            Variable::State => self.x.len(),
            Variable::Param => self.p.len(),
            Variable::Input => self.u.len(),
            Variable::Disturbance => self.d.len(),
        }
    }

    fn get(&self, by: Variable, i: usize) -> f64 {
        match by {
            Variable::Time => self.t,
            Variable::State => self.x[i],
            Variable::Param => self.p[i],
            Variable::Input => self.u[i],
            Variable::Disturbance => self.d[i],
        }
    }

    fn set(&mut self, by: Variable, i: usize, value: f64) {
        match by {
            Variable::Time => self.t = value,
            Variable::State => self.x[i] = value,
            Variable::Param => self.p[i] = value,
            Variable::Input => self.u[i] = value,
            Variable::Disturbance => self.d[i] = value,
        }
    }

    fn split(&mut self) -> (At<'_>, &mut [f64]) {
        (At { t: self.t, x: self.x, u: self.u, d: self.d, p: self.p }, self.values)
    }
}

impl System for ClosureSystem {
    fn dims(&self) -> Dims {
        self.dims
    }

    fn rhs(&self, at: At<'_>, _work: &mut Work, dx: &mut [f64]) {
        (self.rhs)(at, dx);
    }

    fn jacobian_pattern(&self) -> &CscPattern {
        &self.jacobian.pattern
    }

    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.derivative(&self.jacobian, Variable::State, at, work, &self.rhs, values);
    }

    fn is_autonomous(&self) -> bool {
        self.is_autonomous
    }

    fn time_derivative(&self, at: At<'_>, work: &mut Work, df: &mut [f64]) {
        match &self.time_derivative {
            Some(values) => values(at, df),
            None if self.is_autonomous => df.fill(0.0),
            None => {
                self.difference(Variable::Time, at.x.len(), at, work, &self.rhs, &mut |row, _, value| df[row] = value);
            }
        }
    }

    fn parameter_pattern(&self) -> &CscPattern {
        &self.by_params.pattern
    }

    fn parameter_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.derivative(&self.by_params, Variable::Param, at, work, &self.rhs, values);
    }

    fn input_pattern(&self) -> &CscPattern {
        &self.by_inputs.pattern
    }

    fn input_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.derivative(&self.by_inputs, Variable::Input, at, work, &self.rhs, values);
    }

    fn disturbance_pattern(&self) -> &CscPattern {
        &self.by_disturbances.pattern
    }

    fn disturbance_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.derivative(&self.by_disturbances, Variable::Disturbance, at, work, &self.rhs, values);
    }

    /// Without a closure: a central difference of ∂f/∂x and ∂f/∂p along the direction.
    fn jacobian_along(&self, at: At<'_>, dx: &[f64], dt: f64, work: &mut Work, jac: &mut [f64], par: &mut [f64]) {
        if let Some(along) = &self.along {
            return along(at, dx, dt, jac, par);
        }
        let size = |v: f64, dv: f64, scale: f64| dv.abs() / (v.abs() + scale);
        let scale = 1e-3 * at.x.iter().fold(0.0_f64, |a, v| a.max(v.abs())) + f64::MIN_POSITIVE;
        let reach = at.x.iter().zip(dx).fold(size(at.t, dt, 1.0), |a, (v, dv)| a.max(size(*v, *dv, scale)));
        jac.fill(0.0);
        par.fill(0.0);
        if reach == 0.0 || !reach.is_finite() {
            return;
        }
        let eps = STEP / reach;
        // The perturbed state lies in a fresh buffer, because the differences below use the scratch; a test's cost.
        let mut x = at.x.to_vec();
        let (mut other_jac, mut other_par) = (vec![0.0; jac.len()], vec![0.0; par.len()]);
        for (sign, weight) in [(1.0, 0.5 / eps), (-1.0, -0.5 / eps)] {
            for (value, (&x0, &slope)) in x.iter_mut().zip(at.x.iter().zip(dx)) {
                *value = x0 + sign * eps * slope;
            }
            let moved = At { t: at.t + sign * eps * dt, x: &x, ..at };
            self.jacobian(moved, work, &mut other_jac);
            self.parameter_jacobian(moved, work, &mut other_par);
            jac.iter_mut().zip(&other_jac).for_each(|(a, b)| *a += weight * b);
            par.iter_mut().zip(&other_par).for_each(|(a, b)| *a += weight * b);
        }
    }

    fn initial_state(&self, at: At<'_>, _work: &mut Work, x: &mut [f64]) {
        (self.initial)(at, x);
    }

    fn initial_pattern(&self) -> &CscPattern {
        &self.initial_by_params.pattern
    }

    fn initial_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.derivative(&self.initial_by_params, Variable::Param, at, work, &self.initial, values);
    }

    fn outputs(&self, at: At<'_>, _work: &mut Work, y: &mut [f64]) {
        (self.outputs)(at, y);
    }

    fn output_patterns(&self) -> (&CscPattern, &CscPattern) {
        (&self.outputs_by_states.pattern, &self.outputs_by_params.pattern)
    }

    fn output_jacobians(&self, at: At<'_>, work: &mut Work, dy_dx: &mut [f64], dy_dp: &mut [f64]) {
        self.derivative(&self.outputs_by_states, Variable::State, at, work, &self.outputs, dy_dx);
        self.derivative(&self.outputs_by_params, Variable::Param, at, work, &self.outputs, dy_dp);
    }

    fn events(&self) -> &[Event] {
        &self.events
    }

    fn times(&self, at: At<'_>, _work: &mut Work, times: &mut [f64]) {
        (self.times)(at, times);
    }

    fn times_jacobian(&self, at: At<'_>, work: &mut Work, dtimes_dp: &mut [f64]) {
        let n_params = self.dims.n_params;
        self.difference(Variable::Param, self.dims.n_times, at, work, &self.times, &mut |row, col, value| {
            dtimes_dp[row * n_params + col] = value;
        });
    }

    fn roots(&self, at: At<'_>, _work: &mut Work, g: &mut [f64]) {
        (self.roots)(at, g);
    }

    fn root_gradient(&self, root_idx: usize, at: At<'_>, work: &mut Work, dg_dx: &mut [f64], dg_dp: &mut [f64]) -> f64 {
        if let Some(gradient) = &self.root_gradient {
            return gradient(root_idx, at, dg_dx, dg_dp);
        }
        let n = self.dims.n_roots;
        let mut by_time = 0.0;
        self.difference(Variable::State, n, at, work, &self.roots, &mut |row, col, value| {
            if row == root_idx {
                dg_dx[col] = value;
            }
        });
        self.difference(Variable::Param, n, at, work, &self.roots, &mut |row, col, value| {
            if row == root_idx {
                dg_dp[col] = value;
            }
        });
        self.difference(Variable::Time, n, at, work, &self.roots, &mut |row, _, value| {
            if row == root_idx {
                by_time = value;
            }
        });
        by_time
    }

    fn reset(&self, which: &[usize], at: At<'_>, _work: &mut Work, x_new: &mut [f64]) -> Result<(), usize> {
        match &self.reset {
            Some(reset) => reset(which, at, x_new),
            None => {
                x_new.copy_from_slice(at.x);
                Ok(())
            }
        }
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
        if let Some(jacobians) = &self.reset_jacobians {
            return jacobians(which, at, dxn_dx, dxn_dp, dxn_dt);
        }
        let n = self.dims.n_states;
        let f = |a: At<'_>, out: &mut [f64]| match &self.reset {
            // A conflict is reported by `reset`, which the solver calls first.
            Some(reset) => {
                let _ = reset(which, a, out);
            }
            None => out.copy_from_slice(a.x),
        };
        self.difference(Variable::State, n, at, work, &f, &mut |row, col, value| dxn_dx[col * n + row] = value);
        self.difference(Variable::Param, n, at, work, &f, &mut |row, col, value| dxn_dp[col * n + row] = value);
        self.difference(Variable::Time, n, at, work, &f, &mut |row, _, value| dxn_dt[row] = value);
    }
}
