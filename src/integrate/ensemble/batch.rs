//! L members in lockstep: each has its own time, step length and error, and none knows of the others.
//!
//! One pass makes a step of every member; a member that has reached the end makes room for the next. What is out of the
//! ordinary (a pivot that is lost, a value that is not finite, a step that gets nowhere) is left to the integrator for
//! one system, which starts that member over.

// Loops over lanes go by index: a lane's place in every array is its name.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::super::controller::{BETA, Controller, EXPONENT, end_of_step};
use super::super::formula::StiffWatch;
use super::super::problem::{Outcome, ProblemError, Statistics, Status};
use super::super::schedule::is_same_instant;
use super::super::solve::Integrator;
use super::super::tsit5::TSIT5;
use super::formula::{Held, LaneFormula, Row};
use super::single::Single;
use super::{Members, Run, Solved};
use crate::system::LaneSystem;

/// What a lane is doing.
struct Seat {
    /// `None` while idle.
    member: Option<usize>,
    t: f64,
    /// Where the step being made ends.
    t_new: f64,
    /// The length proposed for the next step.
    wanted: f64,
    controller: Controller,
    watch: StiffWatch,
    statistics: Statistics,
    /// Samples reported so far, `n_states` each.
    states: Vec<f64>,
    n_reported: usize,
}

/// What becomes of a step.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Accepted,
    Rejected,
    /// The member is left to the integrator for one system.
    Odd,
}

/// The buffers of one thread.
pub(super) struct Batch<'s, const L: usize> {
    system: &'s dyn LaneSystem,
    single: Single<'s>,
    formula: LaneFormula<L>,
    held: Held<L>,
    x: Vec<Row<L>>,
    x_new: Vec<Row<L>>,
    seats: [Seat; L],
    /// One state.
    state: Vec<f64>,
    /// Members that have been given a lane, and those of them that turned out to be stiff and left it.
    n_seated: usize,
    n_stiff: usize,
}

/// Members that leave their lanes before it is asked whether lanes are worth while.
const ENOUGH_STIFF: usize = 32;

impl<'s, const L: usize> Batch<'s, L> {
    /// `None` where the memory for the elimination cannot be had.
    pub fn new(system: &'s dyn LaneSystem, integrator: Integrator<'s>, run: &Run<'_>) -> Option<Self> {
        let dims = system.single().dims();
        let n = dims.n_states;
        let seat = |_| Seat {
            member: None,
            t: 0.0,
            t_new: 0.0,
            wanted: 1.0,
            controller: Controller::new(EXPONENT, BETA),
            watch: StiffWatch::default(),
            statistics: Statistics::default(),
            states: Vec::with_capacity(n * run.samples.len()),
            n_reported: 0,
        };
        let rows = |count: usize| vec![[0.0; L]; count];
        Some(Batch {
            formula: LaneFormula::new(integrator.options().method, system)?,
            system,
            single: Single::new(integrator, run),
            held: Held { p: rows(dims.n_params), u: rows(dims.n_inputs), d: rows(dims.n_disturbances) },
            x: rows(n),
            x_new: rows(n),
            seats: std::array::from_fn(seat),
            state: vec![0.0; n],
            n_seated: 0,
            n_stiff: 0,
        })
    }

    /// Integrates the members of `range`, each told to `take` when it is finished, in no particular order.
    ///
    /// # Errors
    /// As [`Integrator::solve`].
    pub fn solve(
        &mut self,
        run: &Run<'_>,
        members: &dyn Members,
        range: Range<usize>,
        take: &mut dyn FnMut(Solved<'_>),
    ) -> Result<(), ProblemError> {
        // Members that leave their lanes are integrated from their start by themselves, to the same bits: where most of them
        // do, lanes are left out.
        if self.n_stiff >= ENOUGH_STIFF && 2 * self.n_stiff > self.n_seated {
            return range.into_iter().try_for_each(|member| self.single.solve(run, members, member, take));
        }
        let mut waiting = range;
        for lane in 0..L {
            self.seat(lane, run, members, &mut waiting, take)?;
        }
        let interrupt = self.single.integrator.options().interrupt.clone();
        while self.seats.iter().any(|seat| seat.member.is_some()) {
            if interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                self.interrupt(run, take);
                return Ok(());
            }
            let mut h = [1.0; L];
            for (h, seat) in h.iter_mut().zip(&mut self.seats) {
                if seat.member.is_some() {
                    seat.t_new = end_of_step(seat.t, seat.wanted, run.t1);
                    *h = seat.t_new - seat.t;
                }
            }
            let sound = self.formula.attempt(self.system, &self.held, &h, &self.x, &mut self.x_new);
            let error = self.formula.error(&self.single.integrator.norm, &self.x, &self.x_new);
            let mut verdicts = [Verdict::Accepted; L];
            for lane in 0..L {
                if self.seats[lane].member.is_some() {
                    verdicts[lane] = if sound[lane] { self.judge(lane, h[lane], error[lane]) } else { Verdict::Odd };
                    if verdicts[lane] == Verdict::Accepted {
                        self.report(lane, run);
                    }
                }
            }
            if let Some(sizes) = self.formula.stiffness(&self.single.integrator.norm, &self.x_new, &h) {
                for lane in 0..L {
                    let seat = &mut self.seats[lane];
                    let is_step = seat.member.is_some() && verdicts[lane] == Verdict::Accepted;
                    if is_step && seat.watch.sees(sizes[lane], TSIT5.stability) && seat.t_new < run.t1 {
                        self.n_stiff += 1;
                        verdicts[lane] = Verdict::Odd;
                    }
                }
            }
            self.advance(&verdicts);
            for lane in 0..L {
                let seat = &mut self.seats[lane];
                let Some(member) = seat.member else { continue };
                match verdicts[lane] {
                    Verdict::Accepted => {
                        seat.t = seat.t_new;
                        if seat.t >= run.t1 {
                            self.finish(lane, member, Status::Success, run, take);
                            self.seat(lane, run, members, &mut waiting, take)?;
                        }
                    }
                    Verdict::Rejected => {}
                    Verdict::Odd => {
                        self.single.solve(run, members, member, take)?;
                        self.seat(lane, run, members, &mut waiting, take)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the lane the next member that has steps to make, or leaves it idle with the values it has.
    fn seat(
        &mut self,
        lane: usize,
        run: &Run<'_>,
        members: &dyn Members,
        waiting: &mut Range<usize>,
        take: &mut dyn FnMut(Solved<'_>),
    ) -> Result<(), ProblemError> {
        self.seats[lane].member = None;
        for member in waiting {
            self.single.take_over(members, member);
            let Single { integrator, p, start, forcing, .. } = &mut self.single;
            let problem = super::single::problem(run, p, start, forcing);
            problem.check(&self.system.single().dims(), run.samples)?;
            let (x, wanted) = integrator.first_step(&problem)?;
            if run.t1 <= run.t0 || !x.iter().chain([&wanted]).all(|v| v.is_finite()) {
                self.single.solve(run, members, member, take)?;
                continue;
            }
            put(&mut self.x, lane, x);
            put(&mut self.held.p, lane, p);
            put(&mut self.held.u, lane, &integrator.field.u);
            put(&mut self.held.d, lane, &integrator.field.d);
            self.formula.restart();
            self.n_seated += 1;
            let seat = &mut self.seats[lane];
            seat.member = Some(member);
            seat.t = run.t0;
            seat.wanted = wanted;
            seat.controller = Controller::new(EXPONENT, BETA);
            seat.watch = StiffWatch::default();
            seat.statistics = integrator.field.statistics;
            seat.states.clear();
            seat.n_reported = 0;
            self.report_present(lane, run.t0, run);
            return Ok(());
        }
        Ok(())
    }

    fn judge(&mut self, lane: usize, h: f64, error: f64) -> Verdict {
        let max_steps = self.single.integrator.options().max_steps;
        let max_step = self.single.integrator.options().max_step;
        let seat = &mut self.seats[lane];
        self.formula.count(&mut seat.statistics);
        if error <= 1.0 {
            seat.statistics.steps += 1;
            let factor = seat.controller.accept(error);
            let wanted = if factor >= 1.0 { (h * factor).max(seat.wanted) } else { h * factor };
            seat.wanted = wanted.min(max_step);
        } else {
            seat.statistics.rejected += 1;
            seat.wanted = h * seat.controller.reject(error);
            let gets_on = seat.t + 0.1 * seat.wanted != seat.t && seat.wanted > f64::MIN_POSITIVE;
            if !gets_on || (error == f64::INFINITY && !self.formula.is_finite(lane)) {
                return Verdict::Odd;
            }
        }
        if seat.statistics.steps + seat.statistics.rejected >= max_steps {
            return Verdict::Odd;
        }
        if error <= 1.0 { Verdict::Accepted } else { Verdict::Rejected }
    }

    /// Moves the members whose step was accepted to its end.
    fn advance(&mut self, verdicts: &[Verdict; L]) {
        let moves = verdicts.map(|verdict| verdict == Verdict::Accepted);
        self.formula.accept(&moves);
        if verdicts.iter().all(|verdict| *verdict == Verdict::Accepted) {
            std::mem::swap(&mut self.x, &mut self.x_new);
            return;
        }
        for (x, new) in self.x.iter_mut().zip(&self.x_new) {
            for lane in 0..L {
                x[lane] = if moves[lane] { new[lane] } else { x[lane] };
            }
        }
    }

    /// Reports the samples of the step just made, its end included.
    fn report(&mut self, lane: usize, run: &Run<'_>) {
        let seat = &mut self.seats[lane];
        let (t, t_new) = (seat.t, seat.t_new);
        while let Some(&time) = run.samples.get(seat.n_reported)
            && time < t_new
            && !is_same_instant(time, t_new)
        {
            let theta = (time - t) / (t_new - t);
            self.formula.interpolate(lane, (theta, t_new - t), &self.x, &self.x_new, &mut self.state);
            seat.states.extend_from_slice(&self.state);
            seat.n_reported += 1;
        }
        std::mem::swap(&mut self.x, &mut self.x_new);
        self.report_present(lane, t_new, run);
        std::mem::swap(&mut self.x, &mut self.x_new);
    }

    /// Reports the samples at `t`, where the lane's state is in `x`.
    fn report_present(&mut self, lane: usize, t: f64, run: &Run<'_>) {
        let seat = &mut self.seats[lane];
        while let Some(&time) = run.samples.get(seat.n_reported)
            && (time <= t || is_same_instant(time, t))
        {
            seat.states.extend(self.x.iter().map(|row| row[lane]));
            seat.n_reported += 1;
        }
    }

    fn finish(&mut self, lane: usize, member: usize, status: Status, run: &Run<'_>, take: &mut dyn FnMut(Solved<'_>)) {
        let Single { p, .. } = &mut self.single;
        p.iter_mut().zip(&self.held.p).for_each(|(value, row)| *value = row[lane]);
        self.state.iter_mut().zip(&self.x).for_each(|(value, row)| *value = row[lane]);
        let seat = &self.seats[lane];
        let outcome = Outcome { status, t: seat.t, statistics: seat.statistics };
        let times = &run.samples[..seat.n_reported];
        take(Solved { member, outcome, p, times, states: &seat.states, end: &self.state });
    }

    fn interrupt(&mut self, run: &Run<'_>, take: &mut dyn FnMut(Solved<'_>)) {
        for lane in 0..L {
            if let Some(member) = self.seats[lane].member.take() {
                self.finish(lane, member, Status::Interrupted { t: self.seats[lane].t }, run, take);
            }
        }
    }
}

fn put<const L: usize>(rows: &mut [Row<L>], lane: usize, values: &[f64]) {
    rows.iter_mut().zip(values).for_each(|(row, value)| row[lane] = *value);
}
