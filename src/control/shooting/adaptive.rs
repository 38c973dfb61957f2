//! Steps by an adaptive integrator with forward sensitivities in the state and the inputs; events happen inside a step.
//!
//! The integrator differentiates in start values and parameters, so it is given a system whose parameters are the inputs.
//! Second derivatives are not known, and every step allocates the integrator's room. At an event whose instant depends on
//! an input directly, and not only through the state, that part of the derivative is missing.

use super::points::{Edge, Points, Shape};
use super::stepper::Stepper;
use crate::integrate::{Direction, Forcing, Integrator, Method, Options, Problem, Sample, Start, Tolerance};
use crate::linalg::CscPattern;
use crate::system::{At, Dims, Event, System, Work};

/// The rule. Its points are the end alone.
#[derive(Debug, Clone)]
pub(super) struct Adaptive {
    method: Method,
    rtol: f64,
    atol: f64,
    points: Points,
    directions: Vec<Direction>,
    empty: CscPattern,
}

impl Adaptive {
    pub fn new(system: &dyn System, shape: Shape, method: Method, rtol: f64, atol: f64) -> Adaptive {
        let states = (0..shape.n_states).map(Direction::start_value);
        let directions = states.chain((0..shape.n_inputs).map(Direction::parameter)).collect();
        let empty = CscPattern::empty(shape.n_states, 0);
        Adaptive { method, rtol, atol, points: Points::new(system, shape, 0), directions, empty }
    }

    fn run(&mut self, system: &dyn System, edge: &Edge<'_>, with_derivatives: bool) -> Result<(), String> {
        let shape = self.points.shape;
        let held = Steered { system, d: edge.d, p: edge.p, empty: &self.empty };
        for (direction, value) in self.directions.iter_mut().zip(edge.x.iter().chain(edge.u)) {
            direction.scale = value.abs().max(1.0);
        }
        let options =
            Options { method: self.method, rtol: self.rtol, atol: Tolerance::Scalar(self.atol), ..Options::default() };
        let mut integrator = Integrator::new(&held, options).map_err(|error| error.to_string())?;
        let t1 = edge.t + edge.h;
        let problem = Problem {
            t0: edge.t,
            t1,
            start: Start::Given(edge.x),
            p: edge.u,
            forcing: &Forcing::default(),
            directions: if with_derivatives { &self.directions } else { &[] },
            resumes: true,
        };
        let points = &mut self.points;
        let mut observe = |sample: Sample<'_>| {
            points.x_mut(0).copy_from_slice(sample.at.x);
            let rows = points.rows_mut(0);
            for (column, slopes) in sample.sensitivities.chunks_exact(shape.n_states.max(1)).enumerate() {
                slopes.iter().enumerate().for_each(|(row, slope)| rows[row * shape.width() + column] = *slope);
            }
        };
        let outcome = integrator.solve(&problem, &[t1], &mut observe).map_err(|error| error.to_string())?;
        if !outcome.status.is_success() {
            return Err(outcome.status.to_string());
        }
        if let (Some(column), true) = (shape.length_column(), with_derivatives) {
            let mut work = system.work();
            let mut f = vec![0.0; shape.n_states];
            system.rhs(At { t: t1, x: self.points.x(0), u: edge.u, d: edge.d, p: edge.p }, &mut work, &mut f);
            let rows = self.points.rows_mut(0).chunks_exact_mut(shape.width());
            rows.zip(f).for_each(|(row, f)| row[column] = f);
        }
        Ok(())
    }
}

impl Stepper for Adaptive {
    fn fork(&self) -> Box<dyn Stepper> {
        Box::new(self.clone())
    }

    fn advance(&mut self, system: &dyn System, edge: &Edge<'_>, next: &mut [f64]) -> Result<(), String> {
        self.run(system, edge, false)?;
        next.copy_from_slice(self.points.x(0));
        Ok(())
    }

    fn sweep(&mut self, system: &dyn System, edge: &Edge<'_>) -> Result<(), String> {
        self.run(system, edge, true)
    }

    fn points(&self) -> &Points {
        &self.points
    }

    fn end(&self) -> usize {
        0
    }

    fn has_curvature(&self) -> bool {
        false
    }

    fn add_curvature(&mut self, _: &dyn System, _: &Edge<'_>, _: &[f64], _: &[f64], _: &mut [f64]) {}
}

/// A system whose parameters are another's inputs.
struct Steered<'a> {
    system: &'a dyn System,
    d: &'a [f64],
    p: &'a [f64],
    /// No derivative by parameters of start values and outputs.
    empty: &'a CscPattern,
}

impl<'a> Steered<'a> {
    fn at<'b>(&'b self, at: At<'b>) -> At<'b> {
        At { t: at.t, x: at.x, u: at.p, d: self.d, p: self.p }
    }
}

impl System for Steered<'_> {
    fn dims(&self) -> Dims {
        let dims = self.system.dims();
        Dims { n_params: dims.n_inputs, n_inputs: 0, n_disturbances: 0, n_outputs: 0, ..dims }
    }

    fn work(&self) -> Work {
        self.system.work()
    }

    fn rhs(&self, at: At<'_>, work: &mut Work, dx: &mut [f64]) {
        self.system.rhs(self.at(at), work, dx);
    }

    fn jacobian_pattern(&self) -> &CscPattern {
        self.system.jacobian_pattern()
    }

    fn jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.jacobian(self.at(at), work, values);
    }

    fn is_autonomous(&self) -> bool {
        self.system.is_autonomous()
    }

    fn time_derivative(&self, at: At<'_>, work: &mut Work, df: &mut [f64]) {
        self.system.time_derivative(self.at(at), work, df);
    }

    fn parameter_pattern(&self) -> &CscPattern {
        self.system.input_pattern()
    }

    fn parameter_jacobian(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.system.input_jacobian(self.at(at), work, values);
    }

    fn input_pattern(&self) -> &CscPattern {
        self.empty
    }

    fn input_jacobian(&self, _: At<'_>, _: &mut Work, _: &mut [f64]) {}

    fn disturbance_pattern(&self) -> &CscPattern {
        self.empty
    }

    fn disturbance_jacobian(&self, _: At<'_>, _: &mut Work, _: &mut [f64]) {}

    fn jacobian_along(&self, at: At<'_>, dx: &[f64], dt: f64, work: &mut Work, jac: &mut [f64], par: &mut [f64]) {
        let inner = self.at(at);
        let mut unused = vec![0.0; self.system.parameter_pattern().nnz()];
        self.system.jacobian_along(inner, dx, dt, work, jac, &mut unused);
        // Nobody has ∂²f/∂u∂x along a direction; a central difference is exact enough for the order of the method.
        let largest = |values: &[f64]| values.iter().fold(0.0_f64, |size, v| size.max(v.abs()));
        let size = largest(dx).max(dt.abs());
        if size == 0.0 {
            return par.fill(0.0);
        }
        let step = f64::EPSILON.cbrt() * (1.0 + largest(at.x)) / size;
        let mut values = vec![0.0; par.len()];
        let mut x = at.x.to_vec();
        let mut evaluate = |step: f64, work: &mut Work, values: &mut [f64]| {
            x.iter_mut().zip(at.x).zip(dx).for_each(|((x, start), dx)| *x = start + step * dx);
            self.system.input_jacobian(At { t: at.t + step * dt, x: &x, ..inner }, work, values);
        };
        evaluate(step, work, par);
        evaluate(-step, work, &mut values);
        par.iter_mut().zip(&values).for_each(|(right, left)| *right = (*right - left) / (2.0 * step));
    }

    fn initial_state(&self, at: At<'_>, work: &mut Work, x: &mut [f64]) {
        self.system.initial_state(self.at(at), work, x);
    }

    fn initial_pattern(&self) -> &CscPattern {
        self.empty
    }

    fn initial_jacobian(&self, _: At<'_>, _: &mut Work, _: &mut [f64]) {}

    fn outputs(&self, _: At<'_>, _: &mut Work, _: &mut [f64]) {}

    fn output_patterns(&self) -> (&CscPattern, &CscPattern) {
        (self.empty, self.empty)
    }

    fn output_jacobians(&self, _: At<'_>, _: &mut Work, _: &mut [f64], _: &mut [f64]) {}

    fn events(&self) -> &[Event] {
        self.system.events()
    }

    fn times(&self, at: At<'_>, work: &mut Work, times: &mut [f64]) {
        self.system.times(self.at(at), work, times);
    }

    fn times_jacobian(&self, _: At<'_>, _: &mut Work, dtimes_dp: &mut [f64]) {
        dtimes_dp.fill(0.0);
    }

    fn roots(&self, at: At<'_>, work: &mut Work, g: &mut [f64]) {
        self.system.roots(self.at(at), work, g);
    }

    fn root_gradient(&self, root_idx: usize, at: At<'_>, work: &mut Work, dg_dx: &mut [f64], dg_dp: &mut [f64]) -> f64 {
        let mut unused = vec![0.0; self.p.len()];
        dg_dp.fill(0.0);
        self.system.root_gradient(root_idx, self.at(at), work, dg_dx, &mut unused)
    }

    fn reset(&self, which: &[usize], at: At<'_>, work: &mut Work, x_new: &mut [f64]) -> Result<(), usize> {
        self.system.reset(which, self.at(at), work, x_new)
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
        let mut unused = vec![0.0; at.x.len() * self.p.len()];
        dxn_dp.fill(0.0);
        self.system.reset_jacobians(which, self.at(at), work, dxn_dx, &mut unused, dxn_dt);
    }
}
