//! The loop: from breakpoint to breakpoint by steps of the chosen formula, with the solution handed out on the way.

use super::adjoint::tape::Tape;
use super::controller::{Norm, end_of_step, first_step};
use super::field::Field;
use super::formula::Formula;
use super::options::{Options, Tolerance};
use super::problem::{Observer, Outcome, Problem, ProblemError, Sample, Start, Status, check_length, check_range};
use super::roots::RootWatch;
use super::schedule::{Schedule, is_same_instant};
use super::sensitivity::Jump;
use crate::system::System;
use std::sync::atomic::Ordering;

/// With root functions a step is at most this part of the whole time, so that each is looked at some hundred times.
const STEPS_WITH_ROOTS: f64 = 100.0;

/// Integrates one system, with all buffers; reusable over many solves, which do not influence each other.
pub struct Integrator<'s> {
    pub(super) field: Field<'s>,
    pub(super) options: Options,
    pub(super) norm: Norm,
    pub(super) formula: Formula,
    pub(super) schedule: Schedule,
    pub(super) roots: RootWatch,
    pub(super) jump: Jump,
    times: Vec<f64>,
    pub(super) t: f64,
    /// The augmented state at `t`, ...
    pub(super) z: Vec<f64>,
    /// ... at the end of the step being made, ...
    pub(super) z_new: Vec<f64>,
    /// ... and in between.
    pub(super) z_between: Vec<f64>,
    error: Vec<f64>,
    /// Three states.
    pub(super) scratch: [Vec<f64>; 3],
    /// The length proposed for the next step; `None` asks for a first step.
    h_next: Option<f64>,
    /// For fixed steps: the instant they are counted from, and how many were made.
    grid: (f64, u64),
    pub(super) which: Vec<usize>,
    pub(super) occurrences: Vec<u64>,
    pub(super) resets: Vec<usize>,
    /// ∂x0/∂p.
    initial: Vec<f64>,
    /// The sensitivities as they are handed out.
    columns: Vec<f64>,
    /// Where the run is recorded, if it is.
    pub(super) tape: Option<Box<Tape>>,
}

/// What the caller asked for, and how far it has been answered.
pub(super) struct Request<'a, 'o> {
    pub problem: &'a Problem<'a>,
    samples: &'a [f64],
    next: usize,
    pub observer: &'o mut dyn Observer,
}

impl<'s> Integrator<'s> {
    /// Prepares for a system.
    ///
    /// # Errors
    /// [`ProblemError`] where a tolerance, a step or the number of absolute tolerances does not fit.
    pub fn new(system: &'s dyn System, options: Options) -> Result<Self, ProblemError> {
        let field = Field::new(system);
        let n = field.n;
        let atol = match &options.atol {
            Tolerance::Scalar(value) => vec![*value; n],
            Tolerance::PerState(values) => values.clone(),
        };
        check_length("the absolute tolerance", atol.len(), n)?;
        for &value in atol.iter().chain([&options.rtol]) {
            check_range("a tolerance", value, value >= 0.0 && value.is_finite(), "finite and not negative")?;
        }
        let is_exact = options.rtol == 0.0 && !atol.iter().all(|&value| value > 0.0);
        check_range("the absolute tolerance of a state", 0.0, !is_exact, "positive where the relative one is zero")?;
        let must = "zero or at least 1e-15, some rounding errors of one step";
        check_range("the relative tolerance", options.rtol, options.rtol == 0.0 || options.rtol >= 1e-15, must)?;
        for step in [Some(options.max_step), options.initial_step, options.fixed_step].into_iter().flatten() {
            check_range("a step", step, step > 0.0, "positive")?;
        }
        if options.method.is_grid() && options.fixed_step.is_none() {
            return Err(ProblemError::NoStep { method: options.method.name() });
        }
        let norm = Norm { rtol: options.rtol, atol, with_sensitivities: options.control_sensitivities, meeting: None };
        Ok(Integrator {
            norm,
            formula: Formula::new(&options, &field),
            schedule: Schedule::default(),
            roots: RootWatch::new(system.events(), field.dims.n_roots, options.method.is_grid()),
            jump: Jump::default(),
            times: vec![0.0; field.dims.n_times],
            t: 0.0,
            z: Vec::new(),
            z_new: Vec::new(),
            z_between: Vec::new(),
            error: Vec::new(),
            scratch: [vec![0.0; n], vec![0.0; n], vec![0.0; n]],
            h_next: None,
            grid: (0.0, 0),
            which: Vec::new(),
            occurrences: Vec::new(),
            resets: Vec::new(),
            initial: vec![0.0; system.initial_pattern().nnz()],
            columns: Vec::new(),
            tape: None,
            field,
            options,
        })
    }

    /// The system.
    pub fn system(&self) -> &'s dyn System {
        self.field.system
    }

    /// The state at the end of the last solve, `n_states`; empty before the first.
    pub fn state(&self) -> &[f64] {
        self.z.get(..self.field.n).unwrap_or(&[])
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Integrates `problem` and reports the solution at the ascending times `samples`, which lie in `[t0, t1]`.
    ///
    /// Samples between steps come from the method's dense output, of order 4 or, for [`super::Method::Dop853`], 7. At the instant of an event a sample is
    /// the value after it.
    ///
    /// # Errors
    /// [`ProblemError`] where the question itself is wrong. How an integration ended is told by [`Outcome::status`];
    /// samples that were not reached are not reported.
    pub fn solve(
        &mut self,
        problem: &Problem<'_>,
        samples: &[f64],
        observer: &mut dyn Observer,
    ) -> Result<Outcome, ProblemError> {
        problem.check(&self.field.dims, samples)?;
        self.begin(problem)?;
        let mut request = Request { problem, samples, next: 0, observer };
        let status = match self.run(&mut request) {
            Ok(()) => Status::Success,
            Err(status) => status,
        };
        Ok(Outcome { status, t: self.t, statistics: self.field.statistics })
    }

    /// Start values, their sensitivities, schedule and buffers.
    fn begin(&mut self, problem: &Problem<'_>) -> Result<(), ProblemError> {
        self.t = problem.t0;
        self.field.start(problem.t0, problem.p, problem.forcing, problem.directions);
        let len = self.field.len();
        for buffer in [&mut self.z, &mut self.z_new, &mut self.error, &mut self.z_between] {
            buffer.resize(len, 0.0);
        }
        self.columns.resize(len - self.field.n, 0.0);
        self.formula.start(&self.norm, &self.field);
        let events = self.field.system.events();
        self.jump.resize(&self.field, events.iter().any(|e| e.has_reset));
        self.start_values(problem);
        if !self.times.is_empty() {
            let Field { system, work, u, d, p, n, .. } = &mut self.field;
            let at = crate::system::At { t: self.t, x: &self.z[..*n], u, d, p };
            system.times(at, work, &mut self.times);
            self.jump.start(&mut self.field, self.t, &self.z);
        }
        self.schedule.start(events, &self.times, problem.t0, problem.t1, problem.resumes)?;
        self.restart(true);
        self.grid = (problem.t0, 0);
        if problem.resumes && !self.options.method.is_grid() {
            // The run before may have ended on a breakpoint.
            self.field.t_low = problem.t0.next_up();
        }
        Ok(())
    }

    fn start_values(&mut self, problem: &Problem<'_>) {
        let Field { system, work, u, d, p, n, m, directions, .. } = &mut self.field;
        let (n, m) = (*n, *m);
        let (x, s) = self.z.split_at_mut(n);
        s.fill(0.0);
        let overrides: &[(usize, f64)] = match problem.start {
            Start::Given(values) => {
                x.copy_from_slice(values);
                &[]
            }
            Start::Model | Start::Overrides(_) => {
                let at = crate::system::At { t: self.t, x: &self.z_between[..n], u, d, p };
                system.initial_state(at, work, x);
                if m > 0 {
                    system.initial_jacobian(at, work, &mut self.initial);
                    directions.mul_add(system.initial_pattern(), &self.initial, 1.0, s);
                }
                match problem.start {
                    Start::Overrides(overrides) => overrides,
                    Start::Model | Start::Given(_) => &[],
                }
            }
        };
        for &(state_idx, value) in overrides {
            x[state_idx] = value;
            s[state_idx * m..(state_idx + 1) * m].fill(0.0);
        }
        for (j, direction) in problem.directions.iter().enumerate() {
            for &(state_idx, weight) in &direction.start {
                s[state_idx * m + j] += weight;
            }
        }
    }

    /// Forgets what formula and controller remember; `with_step` also the length of the next step.
    pub(super) fn restart(&mut self, with_step: bool) {
        let keeps_step = self.formula.restart();
        if with_step || !keeps_step {
            self.h_next = None;
        }
        if !self.options.method.is_grid() {
            self.grid = (self.t, 0);
        }
    }

    fn run(&mut self, request: &mut Request<'_, '_>) -> Result<(), Status> {
        let problem = request.problem;
        let is_grid = self.options.method.is_grid();
        if let Some(state) = self.z[..self.field.n].iter().position(|v| !v.is_finite()) {
            return Err(Status::NonFinite { t: self.t, state });
        }
        self.start_roots();
        let first = self.schedule.next();
        if first <= self.t || is_same_instant(first, self.t) {
            self.scheduled_instant(request)?;
        }
        self.report_present(request);
        while self.t < problem.t1 {
            let next = self.schedule.next().min(self.field.segment.next_breakpoint(problem.forcing));
            let next = if is_grid { self.grid_instant(next, problem.t0) } else { next };
            let is_end = is_same_instant(next, problem.t1);
            let is_break = is_end || next < problem.t1;
            let stop = if is_break && !is_end { next } else { problem.t1 };
            self.field.t_high = if is_break && !is_grid { stop.next_down() } else { f64::INFINITY };
            self.advance(stop, request)?;
            if is_break {
                self.scheduled_instant(request)?;
            }
            self.report_present(request);
        }
        Ok(())
    }

    /// The first instant of the grid from `t0` at or after `t`.
    fn grid_instant(&self, t: f64, t0: f64) -> f64 {
        match self.options.fixed_step {
            Some(step) if t.is_finite() => t0 + ((t - t0) / step - grid_slack(t, step)).ceil() * step,
            Some(_) | None => t,
        }
    }

    /// Steps to `stop`, a breakpoint or the end; root-found events on the way are carried out.
    fn advance(&mut self, stop: f64, request: &mut Request<'_, '_>) -> Result<(), Status> {
        let is_controlled = self.options.fixed_step.is_none();
        while self.t < stop {
            let is_interrupted = self.options.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
            if is_interrupted || self.norm.is_left() {
                return Err(Status::Interrupted { t: self.t });
            }
            if self.field.statistics.steps + self.field.statistics.rejected >= self.options.max_steps {
                self.formula.tell_error(&mut self.error);
                let worst_state = self.norm.worst_state(&self.error, &self.z);
                return Err(Status::StepLimit { t: self.t, worst_state });
            }
            let wanted = self.wanted_step(stop, request.problem);
            let t_new = self.end_of_step(wanted, stop);
            let h = t_new - self.t;
            let norm = self.attempt(h)?;
            if norm > 1.0 {
                self.reject(h, norm)?;
                continue;
            }
            // Controlled steps are finite, or their error is not.
            let unfinished = if is_controlled { None } else { self.z_new.iter().position(|v| !v.is_finite()) };
            if !is_controlled && self.norm.agree(if unfinished.is_some() { 1.0 } else { 0.0 }) > 0.0 {
                let (n, m) = (self.field.n, self.field.m);
                let own = unfinished.map(|k| if k < n { k } else { (k - n) / m });
                return Err(match self.culprit(h)?.or(own) {
                    Some(state) => Status::NonFinite { t: self.t, state },
                    // Another thread knows.
                    None => Status::Interrupted { t: self.t },
                });
            }
            self.field.statistics.steps += 1;
            let scales = &self.field.directions.scales;
            let factor = self.formula.factor(&self.norm, scales, norm, h, &self.z, &self.z_new);
            self.h_next = Some(if factor >= 1.0 { (h * factor).max(wanted) } else { h * factor });
            let is_wanted = request.samples.get(request.next).is_some_and(|&t| t < t_new);
            if is_wanted || !self.roots.is_empty() {
                self.formula.make_dense(&mut self.field, self.t, h, &self.z);
            }
            match self.find_root(t_new, h) {
                Some(located) => {
                    self.report_until(located.after, h, request);
                    let end = (located.after < t_new).then(|| (located.after - self.t) / h);
                    self.record_step(h, end);
                    self.root_instant(located, t_new, h, request)?;
                }
                None => {
                    self.report_until(t_new, h, request);
                    self.record_step(h, None);
                    self.formula.accept(&self.field, &self.norm, &self.z_new, h);
                    std::mem::swap(&mut self.z, &mut self.z_new);
                    self.t = t_new;
                    self.grid.1 += 1;
                    if self.options.method.is_grid() {
                        self.grid_events(request)?;
                    }
                }
            }
            if self.t < stop {
                self.report_present(request);
            }
        }
        Ok(())
    }

    /// Records the step of length `h` just made, which an event has ended at the part `end` of it.
    fn record_step(&mut self, h: f64, end: Option<f64>) {
        if let Some(tape) = &mut self.tape {
            tape.step(&self.field, self.formula.step_kind(), (self.t, h), end, &self.z);
        }
    }

    /// The length that the controller wants for the next step.
    fn wanted_step(&mut self, stop: f64, problem: &Problem<'_>) -> f64 {
        if let Some(step) = self.options.fixed_step {
            return step;
        }
        let wanted = match (self.h_next, self.options.initial_step) {
            (Some(h), _) => h,
            (None, Some(h)) if self.t == problem.t0 => h,
            (None, _) => {
                let longest = (stop - self.t).min(self.options.max_step);
                let [a, b, c] = &mut self.scratch;
                let x = &self.z[..self.field.n];
                first_step(&mut self.field, &self.norm, self.t, x, longest, self.formula.exponent(), [a, b, c])
            }
        };
        // Linear dynamics let a step grow without bound, and root functions are looked at a few times a step only.
        let watched = if self.roots.is_empty() { f64::INFINITY } else { (problem.t1 - problem.t0) / STEPS_WITH_ROOTS };
        wanted.min(self.options.max_step).min(watched)
    }

    /// Where a step of about the wanted length ends: at `stop` if that is near, and never just before it.
    fn end_of_step(&self, wanted: f64, stop: f64) -> f64 {
        let (origin, made) = self.grid;
        if let Some(step) = self.options.fixed_step {
            let next = if self.options.method.is_grid() {
                origin + (made + 1) as f64 * step
            } else {
                let count = ((stop - origin) / step - grid_slack(stop, step)).ceil().max(1.0);
                origin + (made + 1) as f64 / count * (stop - origin)
            };
            return if next > stop - grid_slack(stop, step) * step { stop } else { next };
        }
        end_of_step(self.t, wanted, stop)
    }

    /// The state at the start of a problem that has no events, and the length of its first step.
    ///
    /// # Errors
    /// As [`Integrator::solve`].
    pub(super) fn first_step(&mut self, problem: &Problem<'_>) -> Result<(&[f64], f64), ProblemError> {
        self.begin(problem)?;
        let h = self.wanted_step(problem.t1, problem);
        Ok((&self.z[..self.field.n], h))
    }

    /// Makes a step into `z_new` and returns the scaled norm of its error: infinite where there is none, zero for
    /// fixed steps.
    fn attempt(&mut self, h: f64) -> Result<f64, Status> {
        let is_controlled = self.options.fixed_step.is_none();
        let (z, z_new, error) = (&self.z, &mut self.z_new, &mut self.error);
        self.formula.attempt(&mut self.field, &self.norm, is_controlled, (self.t, h), z, z_new, error)
    }

    /// Makes the step of length `h` once more to find the state whose value or derivative is the first that is not
    /// finite.
    fn culprit(&mut self, h: f64) -> Result<Option<usize>, Status> {
        self.formula.restart();
        self.field.seeks_culprit = true;
        self.field.culprit = None;
        let attempt = self.attempt(h);
        self.field.seeks_culprit = false;
        attempt.map(|_| self.field.culprit)
    }

    fn reject(&mut self, h: f64, norm: f64) -> Result<(), Status> {
        self.field.statistics.rejected += 1;
        let h_new = h * self.formula.reject(norm);
        self.h_next = Some(h_new);
        if self.t + 0.1 * h_new != self.t && h_new > f64::MIN_POSITIVE {
            return Ok(());
        }
        if self.formula.become_implicit() {
            self.h_next = Some(1e3 * h);
            return Ok(());
        }
        // A value that is not finite spreads over all states in a linear solve: look where it comes from.
        let unbounded = |v: &[f64]| v[..self.field.n].iter().position(|value| !value.is_finite());
        let spread = unbounded(&self.z_new).or_else(|| unbounded(&self.error));
        match self.culprit(h)?.or(spread) {
            Some(state) => Err(Status::NonFinite { t: self.t, state }),
            None => {
                let worst_state = self.norm.worst_state(&self.error, &self.z);
                Err(Status::StepSizeUnderflow { t: self.t, worst_state })
            }
        }
    }

    /// Reports the samples before `t_end` in the step of length `h` just made. One that differs from `t_end` by rounding
    /// only is left for the state after whatever happens there.
    fn report_until(&mut self, t_end: f64, h: f64, request: &mut Request<'_, '_>) {
        while let Some(&t) = request.samples.get(request.next) {
            if t >= t_end || is_same_instant(t, t_end) {
                return;
            }
            let theta = (t - self.t) / h;
            self.formula.interpolate(theta, h, &self.z, &self.z_new, &mut self.z_between);
            if let Some(tape) = &mut self.tape {
                tape.sample_inside(request.next, t);
            }
            report(&mut self.field, t, &self.z_between, &mut self.columns, request);
        }
    }

    /// Reports the samples at the present time.
    fn report_present(&mut self, request: &mut Request<'_, '_>) {
        while let Some(&t) = request.samples.get(request.next) {
            if t > self.t && !is_same_instant(t, self.t) {
                return;
            }
            if let Some(tape) = &mut self.tape {
                tape.sample(&self.field, request.next, t);
            }
            report(&mut self.field, t, &self.z, &mut self.columns, request);
        }
    }
}

/// The part of a step by which a time near `t` counts as on the grid: that of rounding, with something to spare.
fn grid_slack(t: f64, step: f64) -> f64 {
    (8.0 * f64::EPSILON * t.abs() / step).max(1e-9)
}

/// Hands out one sample; `columns: n × m` receives the sensitivities in column-major order.
fn report(field: &mut Field<'_>, t: f64, z: &[f64], columns: &mut [f64], request: &mut Request<'_, '_>) {
    field.set_forcing(t);
    let (n, m) = (field.n, field.m);
    let (x, s) = z.split_at(n);
    for j in 0..m {
        for i in 0..n {
            columns[j * n + i] = s[i * m + j];
        }
    }
    request.observer.sample(Sample { idx: request.next, at: field.at(t, x), sensitivities: columns });
    request.next += 1;
}
