//! A rule of fixed steps that carries out the events whose times are known: doses, meals, changes of feed.
//!
//! A step is cut at the instants of events inside of it, each part is advanced by the rule, and in between the state is
//! what the events leave. A rule that is the plant's own has the plant's grid too: what falls between two of its substeps
//! happens at the later one. What falls on the end of a step happens at its end, what falls on the start of an episode at
//! the start of its first step, as the plant has it. Derivatives are those of the parts, multiplied. Second derivatives
//! are exact where what events assign is linear in the state; the curvature of other assignments is left out.

use super::points::{Edge, Points, Shape};
use super::stepper::Stepper;
use crate::system::{At, System, Trigger, Work};

/// Instants closer than this part of a step are one.
const CLOSE: f64 = 1e-9;

/// A part of a step and the events at its end.
#[derive(Debug, Clone)]
struct Part {
    t: f64,
    h: f64,
    /// Where it starts, and the derivatives of that, `n_states × width`.
    x: Vec<f64>,
    rows: Vec<f64>,
    /// The events at its end; none at the end of a step without one.
    which: Vec<usize>,
    /// What the state after them is by that before, `n_states × n_states`, column major.
    jump: Vec<f64>,
}

/// The rule with the schedule of a system.
pub(super) struct Scheduled {
    rule: Box<dyn Stepper>,
    /// The rule with one substep, and how many of these a step has; none where a step is cut at the events themselves.
    single: Option<Substep>,
    /// The end alone.
    points: Points,
    /// Events that assign something at known times, by their index.
    events: Vec<(usize, Trigger)>,
    work: Work,
    times: Vec<f64>,
    /// `(instant, event)` of the step at hand.
    due: Vec<(f64, usize)>,
    parts: Vec<Part>,
    n_parts: usize,
    /// True where the last sweep met an event.
    is_cut: bool,
    state: Vec<f64>,
    rows: Vec<f64>,
    by_params: Vec<f64>,
    by_time: Vec<f64>,
    costate: Vec<f64>,
    pulled: Vec<f64>,
    own: Vec<f64>,
    full: Vec<f64>,
    half: Vec<f64>,
}

/// The events of a system that assign something at known times.
pub(super) fn scheduled(system: &dyn System) -> Vec<(usize, Trigger)> {
    let is_known = |trigger: Trigger| match trigger {
        Trigger::At { .. } | Trigger::Every { .. } => true,
        Trigger::Rising { .. } | Trigger::Crossing { .. } => false,
    };
    let events = system.events().iter().enumerate();
    events
        .filter(|(_, event)| event.has_reset && is_known(event.trigger))
        .map(|(idx, event)| (idx, event.trigger))
        .collect()
}

/// A rule for one substep, with the number of substeps of a step.
type Substep = (Box<dyn Stepper>, usize);

impl Scheduled {
    pub fn new(
        system: &dyn System,
        shape: Shape,
        (rule, single): (Box<dyn Stepper>, Option<Substep>),
        events: Vec<(usize, Trigger)>,
    ) -> Scheduled {
        let dims = system.dims();
        let (n, width) = (shape.n_states, shape.width());
        let n_vars = n + shape.n_inputs;
        Scheduled {
            rule,
            single,
            points: Points::new(system, shape, 0),
            events,
            work: system.work(),
            times: vec![0.0; dims.n_times],
            due: Vec::new(),
            parts: Vec::new(),
            n_parts: 0,
            is_cut: false,
            state: vec![0.0; n],
            rows: vec![0.0; n * width],
            by_params: vec![0.0; n * dims.n_params],
            by_time: vec![0.0; n],
            costate: vec![0.0; n],
            pulled: vec![0.0; n],
            own: vec![0.0; shape.n_cols() * width],
            full: vec![0.0; n_vars * n_vars],
            half: vec![0.0; n_vars * n_vars],
        }
    }

    /// Cuts a step into its parts. Returns true where there is an event in it.
    fn cut(&mut self, system: &dyn System, edge: &Edge<'_>) -> bool {
        let close = CLOSE * edge.h;
        system.times(At { t: edge.t, x: edge.x, u: edge.u, d: edge.d, p: edge.p }, &mut self.work, &mut self.times);
        // What happens at the start of a step has happened, but for the first of an episode.
        let first = if edge.t.abs() <= close { -close } else { edge.t + close };
        let last = edge.t + edge.h + close;
        self.due.clear();
        for &(event, trigger) in &self.events {
            match trigger {
                Trigger::At { time_idx } => {
                    let at = self.times[time_idx];
                    if at > first && at <= last {
                        self.due.push((at, event));
                    }
                }
                Trigger::Every { from_idx, period_idx, until_idx } => {
                    let (from, period) = (self.times[from_idx], self.times[period_idx]);
                    let until = until_idx.map_or(f64::INFINITY, |idx| self.times[idx]) + close;
                    let mut count = ((first - from) / period).ceil().max(0.0);
                    loop {
                        let at = from + count * period;
                        if !(at <= last && at <= until) {
                            break;
                        }
                        if at > first {
                            self.due.push((at, event));
                        }
                        count += 1.0;
                    }
                }
                Trigger::Rising { .. } | Trigger::Crossing { .. } => {}
            }
        }
        if self.due.is_empty() {
            return false;
        }
        self.n_parts = 0;
        if let Some((_, n_substeps)) = self.single {
            let h = edge.h / n_substeps as f64;
            for (at, _) in &mut self.due {
                // The substep at whose end it happens; 0 at the start of the first.
                *at = ((*at - edge.t) / h - CLOSE).ceil().clamp(0.0, n_substeps as f64);
            }
            self.due.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let at_start = self.due.iter().take_while(|(at, _)| *at == 0.0).count();
            if at_start > 0 {
                self.part(edge.t, 0.0, 0..at_start);
            }
            let mut k = at_start;
            for substep in 1..=n_substeps {
                let same = self.due[k..].iter().take_while(|(at, _)| *at == substep as f64).count();
                self.part(edge.t + (substep - 1) as f64 * h, h, k..k + same);
                k += same;
            }
            return true;
        }
        self.due.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut t = edge.t;
        let mut k = 0;
        while k < self.due.len() {
            let at = self.due[k].0;
            let same = self.due[k..].iter().take_while(|(other, _)| other - at <= close).count();
            let end = if (at - edge.t - edge.h).abs() <= close { edge.t + edge.h } else { at.max(t) };
            self.part(t, end - t, k..k + same);
            t = end;
            k += same;
        }
        if edge.t + edge.h - t > close {
            self.part(t, edge.t + edge.h - t, 0..0);
        }
        true
    }

    /// Adds a part of so long with the due events of a range at its end.
    fn part(&mut self, t: f64, h: f64, due: std::ops::Range<usize>) {
        if self.parts.len() == self.n_parts {
            let n = self.state.len();
            let (x, rows, jump) = (vec![0.0; n], vec![0.0; self.rows.len()], vec![0.0; n * n]);
            self.parts.push(Part { t, h, x, rows, which: Vec::new(), jump });
        }
        let part = &mut self.parts[self.n_parts];
        (part.t, part.h) = (t, h);
        part.which.clear();
        part.which.extend(self.due[due].iter().map(|(_, event)| *event));
        part.which.sort_unstable();
        self.n_parts += 1;
    }

    /// Carries the parts out; `state`, and with derivatives `rows`, are those of the end afterwards.
    fn run(&mut self, system: &dyn System, edge: &Edge<'_>, with_derivatives: bool) -> Result<(), String> {
        let shape = self.points.shape;
        let (n, width) = (shape.n_states, shape.width());
        let close = CLOSE * edge.h;
        self.state.copy_from_slice(edge.x);
        self.rows.fill(0.0);
        (0..n).for_each(|i| self.rows[i * width + i] = 1.0);
        for k in 0..self.n_parts {
            let part = &mut self.parts[k];
            part.x.copy_from_slice(&self.state);
            part.rows.copy_from_slice(&self.rows);
            let over = Edge { t: part.t, h: part.h, x: &part.x, ..*edge };
            let rule = self.single.as_mut().map_or(&mut self.rule, |(single, _)| single);
            if part.h > close && with_derivatives {
                rule.sweep(system, &over)?;
                let (points, end) = (rule.points(), rule.end());
                self.state.copy_from_slice(points.x(end));
                compose(points.rows(end), &part.rows, shape, &mut self.rows);
            } else if part.h > close {
                rule.advance(system, &over, &mut self.state)?;
            }
            if part.which.is_empty() {
                continue;
            }
            let before = &mut self.pulled;
            before.copy_from_slice(&self.state);
            let at = At { t: part.t + part.h, x: before, u: edge.u, d: edge.d, p: edge.p };
            if system.reset(&part.which, at, &mut self.work, &mut self.state).is_err() {
                return Err(format!("two events set one state at time {}", at.t));
            }
            if with_derivatives {
                let (by_params, by_time) = (&mut self.by_params, &mut self.by_time);
                system.reset_jacobians(&part.which, at, &mut self.work, &mut part.jump, by_params, by_time);
                let old = &mut self.own[..n * width];
                old.copy_from_slice(&self.rows);
                for (i, row) in self.rows.chunks_exact_mut(width).enumerate() {
                    row.fill(0.0);
                    for (j, old) in old.chunks_exact(width).enumerate() {
                        let factor = part.jump[j * n + i];
                        if factor != 0.0 {
                            row.iter_mut().zip(old).for_each(|(row, old)| *row += factor * old);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// `rows = S_x before + S_u`, where `part: n_states × width` are the derivatives (S_x, S_u) of one part.
fn compose(part: &[f64], before: &[f64], shape: Shape, rows: &mut [f64]) {
    let (n, width) = (shape.n_states, shape.width());
    for (row, own) in rows.chunks_exact_mut(width).zip(part.chunks_exact(width)) {
        row[..n].fill(0.0);
        row[n..].copy_from_slice(&own[n..]);
        for (factor, before) in own[..n].iter().zip(before.chunks_exact(width)) {
            if *factor != 0.0 {
                row.iter_mut().zip(before).for_each(|(row, before)| *row += factor * before);
            }
        }
    }
}

impl Stepper for Scheduled {
    fn fork(&self) -> Box<dyn Stepper> {
        Box::new(Scheduled {
            rule: self.rule.fork(),
            single: self.single.as_ref().map(|(single, n_substeps)| (single.fork(), *n_substeps)),
            points: self.points.clone(),
            events: self.events.clone(),
            work: Work { scratch: self.work.scratch.clone() },
            times: self.times.clone(),
            due: Vec::new(),
            parts: Vec::new(),
            n_parts: 0,
            is_cut: false,
            state: self.state.clone(),
            rows: self.rows.clone(),
            by_params: self.by_params.clone(),
            by_time: self.by_time.clone(),
            costate: self.costate.clone(),
            pulled: self.pulled.clone(),
            own: self.own.clone(),
            full: self.full.clone(),
            half: self.half.clone(),
        })
    }

    fn advance(&mut self, system: &dyn System, edge: &Edge<'_>, next: &mut [f64]) -> Result<(), String> {
        if !self.cut(system, edge) {
            return self.rule.advance(system, edge, next);
        }
        self.run(system, edge, false)?;
        next.copy_from_slice(&self.state);
        Ok(())
    }

    fn sweep(&mut self, system: &dyn System, edge: &Edge<'_>) -> Result<(), String> {
        self.is_cut = self.cut(system, edge);
        if !self.is_cut {
            return self.rule.sweep(system, edge);
        }
        self.run(system, edge, true)?;
        self.points.x_mut(0).copy_from_slice(&self.state);
        self.points.rows_mut(0).copy_from_slice(&self.rows);
        Ok(())
    }

    fn points(&self) -> &Points {
        if self.is_cut { &self.points } else { self.rule.points() }
    }

    fn end(&self) -> usize {
        if self.is_cut { 0 } else { self.rule.end() }
    }

    fn has_curvature(&self) -> bool {
        self.rule.has_curvature()
    }

    fn add_curvature(&mut self, system: &dyn System, edge: &Edge<'_>, costate: &[f64], inner: &[f64], out: &mut [f64]) {
        if !self.is_cut {
            return self.rule.add_curvature(system, edge, costate, inner, out);
        }
        let shape = self.points.shape;
        let (n, m, width) = (shape.n_states, shape.n_inputs, shape.width());
        let n_vars = n + m;
        self.costate.copy_from_slice(costate);
        for k in (0..self.n_parts).rev() {
            let part = &self.parts[k];
            if !part.which.is_empty() {
                // λ ← Jᵀ λ
                for (j, pulled) in self.pulled.iter_mut().enumerate() {
                    *pulled = part.jump[j * n..][..n].iter().zip(&self.costate).map(|(jump, l)| jump * l).sum();
                }
                std::mem::swap(&mut self.costate, &mut self.pulled);
            }
            if part.h <= CLOSE * edge.h {
                continue;
            }
            let over = Edge { t: part.t, h: part.h, x: &part.x, ..*edge };
            let rule = self.single.as_mut().map_or(&mut self.rule, |(single, _)| single);
            // It had a value on the way here.
            if rule.sweep(system, &over).is_err() {
                return out.fill(f64::NAN);
            }
            self.own.fill(0.0);
            rule.add_curvature(system, &over, &self.costate, &[], &mut self.own);
            // Tᵀ C T with T = (∂x of the part's start; identity of u), C of the part by its own start.
            for i in 0..n_vars {
                for j in 0..n_vars {
                    self.full[i * n_vars + j] = self.own[i.min(j) * width + i.max(j)];
                }
            }
            let of = |row: usize, column: usize| match row < n {
                true => part.rows[row * width + column],
                false => f64::from(u8::from(row == column)),
            };
            for i in 0..n_vars {
                for j in 0..n_vars {
                    self.half[i * n_vars + j] = (0..n_vars).map(|l| self.full[i * n_vars + l] * of(l, j)).sum();
                }
            }
            for i in 0..n_vars {
                for j in i..n_vars {
                    out[i * width + j] += (0..n_vars).map(|l| of(l, i) * self.half[l * n_vars + j]).sum::<f64>();
                }
            }
            let (points, end) = (rule.points(), rule.end());
            for (j, pulled) in self.pulled.iter_mut().enumerate() {
                let rows = points.rows(end).chunks_exact(width).zip(&self.costate);
                *pulled = rows.map(|(row, l)| row[j] * l).sum();
            }
            std::mem::swap(&mut self.costate, &mut self.pulled);
        }
    }
}
