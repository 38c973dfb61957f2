//! The instants at which something jumps: finding root events in a step, and carrying events out.
//!
//! Scheduled events of equal time are one instant. After any jump the conditions of root-found events are looked at
//! again: one that became true by the jump fires at once, one after the other in the order of the system's events.

use super::adjoint::tape::Cause;
use super::problem::Status;
use super::roots::{Located, PARTS};
use super::solve::{Integrator, Request};
use crate::system::{At, Trigger};

impl Integrator<'_> {
    /// Takes note of the signs of the root functions at the start.
    pub(super) fn start_roots(&mut self) {
        let (t, field) = (self.t, &mut self.field);
        let x = &self.z[..field.n];
        self.roots.start(&mut |g| {
            let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
            field.system.roots(at, &mut field.work, g);
        });
    }

    /// The earliest root event in the step of length `h` just made from the present time to `t_new`.
    pub(super) fn find_root(&mut self, t_new: f64, h: f64) -> Option<Located> {
        if self.roots.is_empty() || self.options.method.is_grid() {
            return None;
        }
        let t_old = self.t;
        let field = &mut self.field;
        let n = field.n;
        let (formula, z, z_new) = (&mut self.formula, &self.z, &self.z_new);
        let x = &mut self.z_between[..n];
        let mut eval = |t: f64, g: &mut [f64]| {
            if t == t_new {
                x.copy_from_slice(&z_new[..n]);
            } else if t == t_old {
                x.copy_from_slice(&z[..n]);
            } else {
                formula.interpolate((t - t_old) / h, h, z, z_new, x);
            }
            field.set_forcing(t);
            let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
            field.system.roots(at, &mut field.work, g);
        };
        let mut begin = t_old;
        for part in 1..=PARTS {
            let end = if part == PARTS { t_new } else { t_old + h * part as f64 / PARTS as f64 };
            if end > begin {
                let located = self.roots.scan(begin, end, &mut eval);
                if located.is_some() {
                    return located;
                }
            }
            begin = end;
        }
        None
    }

    /// True where the field before a jump is wanted.
    fn is_differentiated(&self) -> bool {
        self.field.m > 0 || self.tape.is_some()
    }

    /// The present value of a watch's root function.
    fn root_value(&mut self, watch: usize) -> f64 {
        let (t, field) = (self.t, &mut self.field);
        let x = &self.z[..field.n];
        field.set_forcing(t);
        self.roots.value(watch, &mut |g| {
            let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
            field.system.roots(at, &mut field.work, g);
        })
    }

    /// Looks whether the event just carried out has turned its root function back, a short time ahead.
    fn note_turn(&mut self, watch: usize, found: f64, aheads: [f64; 3]) {
        let (t, field) = (self.t, &mut self.field);
        let [slope, point, _] = &mut self.scratch;
        let x = &self.z[..field.n];
        field.rhs(t, x, slope);
        self.roots.note_turn(watch, found, aheads, &mut |ahead, g| {
            for ((value, x), slope) in point.iter_mut().zip(x).zip(slope.iter()) {
                *value = x + ahead * slope;
            }
            field.set_forcing(t + ahead);
            let at = At { t: t + ahead, x: point, u: &field.u, d: &field.d, p: &field.p };
            field.system.roots(at, &mut field.work, g);
        });
    }

    /// Goes to a located root event in the step of length `h` to `t_new` and carries it out.
    pub(super) fn root_instant(
        &mut self,
        located: Located,
        t_new: f64,
        h: f64,
        request: &mut Request<'_, '_>,
    ) -> Result<(), Status> {
        let n = self.field.n;
        if located.is_stalled {
            return Err(Status::EventStorm { t: located.after, event: self.roots.event_idx(located.watch) });
        }
        let travelled = located.after - self.t;
        if self.is_differentiated() {
            let theta = (located.before - self.t) / h;
            self.formula.interpolate(theta, h, &self.z, &self.z_new, &mut self.z_between[..n]);
            self.field.rhs(located.before, &self.z_between, &mut self.jump.f_before);
        }
        if located.after < t_new {
            let theta = (located.after - self.t) / h;
            self.formula.interpolate(theta, h, &self.z, &self.z_new, &mut self.z_between);
            std::mem::swap(&mut self.z, &mut self.z_between);
        } else {
            std::mem::swap(&mut self.z, &mut self.z_new);
        }
        self.t = located.after;
        if self.field.m > 0 {
            self.jump.set_root_time(&mut self.field, self.roots.root_idx(located.watch), self.t, &self.z);
        }
        if let Some(tape) = &mut self.tape {
            tape.begin_instant(self.t, Cause::Root(self.roots.root_idx(located.watch)));
        }
        let found = self.root_value(located.watch);
        let has_reset = self.fire(located.watch, h, found, request)?;
        if has_reset {
            self.note_turn(located.watch, found, [1e-3 * travelled, 1e-3 * h, h]);
        }
        let has_more = self.immediate_events(request)?;
        self.restart(has_reset || has_more);
        Ok(())
    }

    /// Carries out what is scheduled at the present time and begins the next segment of the forcing.
    pub(super) fn scheduled_instant(&mut self, request: &mut Request<'_, '_>) -> Result<(), Status> {
        let t = self.t;
        self.schedule.take(t, &mut self.which, &mut self.occurrences);
        let has_events = !self.which.is_empty();
        if self.is_differentiated() && has_events {
            self.field.rhs(t, &self.z, &mut self.jump.f_before);
        }
        let has_jump = self.field.segment.advance(request.problem.forcing, t);
        if !self.options.method.is_grid() {
            self.field.t_low = t.next_up();
        }
        self.field.t_high = f64::INFINITY;
        self.set_scheduled_time();
        if let Some(tape) = &mut self.tape {
            let taken = self.which.iter().copied().zip(self.occurrences.iter().copied());
            let is_grid = self.options.method.is_grid();
            tape.begin_instant(t, if is_grid { Cause::Fixed } else { Cause::Scheduled(taken.collect()) });
        }
        if has_events {
            let events = self.field.system.events();
            self.resets.clear();
            self.resets.extend(self.which.iter().copied().filter(|&i| events[i].has_reset));
            self.field.statistics.events += 1;
            self.apply(request)?;
        }
        self.immediate_events(request)?;
        self.restart(has_events || has_jump);
        Ok(())
    }

    /// The derivative of the instant by theta: that of the first event taken whose time depends on it. Grid methods act
    /// on their grid, which does not move.
    fn set_scheduled_time(&mut self) {
        self.jump.forget_time();
        if self.field.m == 0 || self.options.method.is_grid() {
            return;
        }
        for (&event_idx, &occurrence) in self.which.iter().zip(&self.occurrences) {
            match self.field.system.events()[event_idx].trigger {
                Trigger::At { time_idx } => self.jump.add_scheduled_time(&self.field, time_idx, 1.0),
                Trigger::Every { from_idx, period_idx, until_idx: _ } => {
                    self.jump.add_scheduled_time(&self.field, from_idx, 1.0);
                    self.jump.add_scheduled_time(&self.field, period_idx, occurrence as f64);
                }
                Trigger::Rising { .. } | Trigger::Crossing { .. } => {}
            }
            if self.jump.time.iter().any(|&slope| slope != 0.0) {
                return;
            }
        }
    }

    /// At a grid instant: root-found events whose condition has become true.
    pub(super) fn grid_events(&mut self, request: &mut Request<'_, '_>) -> Result<(), Status> {
        self.jump.forget_time();
        if let Some(tape) = &mut self.tape {
            tape.begin_instant(self.t, Cause::Fixed);
        }
        self.immediate_events(request)?;
        Ok(())
    }

    /// Fires the rising events whose condition has become true by a jump, one after the other. Returns whether one
    /// changed the state.
    fn immediate_events(&mut self, request: &mut Request<'_, '_>) -> Result<bool, Status> {
        let mut has_reset = false;
        loop {
            let (t, field) = (self.t, &mut self.field);
            field.set_forcing(t);
            let x = &self.z[..field.n];
            let first = self.roots.immediate(&mut |g| {
                let at = At { t, x, u: &field.u, d: &field.d, p: &field.p };
                field.system.roots(at, &mut field.work, g);
            });
            match first {
                None => return Ok(has_reset),
                Some(watch) => {
                    if self.is_differentiated() {
                        self.field.rhs(t, &self.z, &mut self.jump.f_before);
                    }
                    has_reset |= self.fire(watch, 0.0, 0.0, request)?;
                }
            }
        }
    }

    /// Carries out one root-found event whose root function is `found`, in a step of length `h`; both are zero where a
    /// jump made it true. Returns whether it changes the state.
    fn fire(&mut self, watch: usize, h: f64, found: f64, request: &mut Request<'_, '_>) -> Result<bool, Status> {
        let event = self.roots.event_idx(watch);
        self.field.statistics.events += 1;
        let elapsed = (self.t - request.problem.t0).max(h);
        if !self.roots.fire(watch, self.t, elapsed, found, self.options.max_event_repeats) {
            return Err(Status::EventStorm { t: self.t, event });
        }
        let has_reset = self.field.system.events()[event].has_reset;
        self.resets.clear();
        if has_reset {
            self.resets.push(event);
        }
        self.apply(request)?;
        Ok(has_reset)
    }

    /// Carries out `self.resets` at the present time, as one instant.
    fn apply(&mut self, request: &mut Request<'_, '_>) -> Result<(), Status> {
        let (t, field) = (self.t, &mut self.field);
        let n = field.n;
        let x_new = &mut self.scratch[0];
        x_new.copy_from_slice(&self.z[..n]);
        if !self.resets.is_empty() {
            field.set_forcing(t);
            let at = At { t, x: &self.z[..n], u: &field.u, d: &field.d, p: &field.p };
            let result = field.system.reset(&self.resets, at, &mut field.work, x_new);
            if let Err(state) = result {
                // All together name the state; two at a time name the events.
                let all = &self.resets;
                let mut pairs = (0..all.len()).flat_map(|k| all[..k].iter().map(move |a| [*a, all[k]]));
                let events = pairs.find(|pair| field.system.reset(pair, at, &mut field.work, x_new).is_err());
                let first = all.first().copied().unwrap_or_default();
                return Err(Status::EventConflict { t, state, events: events.unwrap_or([first, first]) });
            }
            if let Some(state) = x_new.iter().position(|v| !v.is_finite()) {
                return Err(Status::NonFinite { t, state });
            }
        }
        if let Some(tape) = &mut self.tape {
            tape.jump(field, &self.resets, &self.z, x_new, &self.jump.f_before);
        }
        if field.m > 0 {
            self.jump.carry_over(field, &self.resets, t, &mut self.z, x_new);
        }
        self.z[..n].copy_from_slice(x_new);
        if !self.resets.is_empty() {
            request.observer.event(t, &self.resets);
        }
        Ok(())
    }
}
