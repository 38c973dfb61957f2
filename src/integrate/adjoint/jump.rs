//! Jumps taken back: the transpose of the rule by which forward sensitivities cross an event.
//!
//! Forward, an instant at `t*(theta)` with the resets r_1, r_2, ... takes s over each of them by
//! `s+ = r_x (s + f- τ) + r_t τ + r_p q - f+ τ`, with τ = dt*/dtheta a linear function of the s and q before the first
//! (see [`crate::integrate::sensitivity`]). Backward, with ω gathering what depends on τ:
//!
//! `ω += (r_t - f+) · λ+ + f- · r_x^T λ+`, `p̄ += r_p^T λ+`, `λ = r_x^T λ+`,
//!
//! and at last `λ -= g_x ω / rate`, `p̄ -= g_p ω / rate` for the root of g, or `p̄ += ω ∇t*` for a scheduled time.

use super::tape::{Cause, Instant, Tape};
use crate::integrate::field::Field;
use crate::integrate::sensitivity::root_rate_by_forcing;
use crate::system::{At, Trigger};

/// Room for the derivatives of jumps.
#[derive(Debug, Clone, Default)]
pub(super) struct Jumps {
    dxn_dx: Vec<f64>,
    dxn_dp: Vec<f64>,
    dxn_dt: Vec<f64>,
    dg_dx: Vec<f64>,
    dg_dp: Vec<f64>,
    g: Vec<f64>,
    dtimes: Vec<f64>,
    has_times: bool,
    f_after: Vec<f64>,
    moved: Vec<f64>,
}

impl Jumps {
    /// Forgets the derivatives of the scheduled times, which belong to the parameters of one run.
    pub fn start(&mut self, field: &Field<'_>) {
        let (n, n_params) = (field.n, field.dims.n_params);
        self.has_times = false;
        if field.system.events().is_empty() {
            return;
        }
        for buffer in [&mut self.dxn_dt, &mut self.dg_dx, &mut self.f_after, &mut self.moved] {
            buffer.resize(n, 0.0);
        }
        self.dg_dp.resize(n_params, 0.0);
        self.g.resize(field.dims.n_roots, 0.0);
        self.dtimes.resize(field.dims.n_times * n_params, 0.0);
        if field.system.events().iter().any(|event| event.has_reset) {
            self.dxn_dx.resize(n * n, 0.0);
            self.dxn_dp.resize(n * n_params, 0.0);
        }
    }

    /// Takes `lambda` and `by_params` from after an instant to before it.
    pub fn back(
        &mut self,
        tape: &Tape,
        field: &mut Field<'_>,
        instant: &Instant,
        lambda: &mut [f64],
        by_params: &mut [f64],
    ) {
        let n = field.n;
        let by_time = self.time_gradient(tape, field, instant);
        let mut omega = 0.0;
        for jump_idx in instant.jumps.clone().rev() {
            let [x, x_new, f_before] = tape.jump_values(jump_idx);
            let jump = &tape.jumps[jump_idx];
            tape.enter(jump.span, field);
            if by_time.is_some() {
                field.rhs(instant.t, x_new, &mut self.f_after);
                omega -= dot(&self.f_after, lambda);
            }
            if !jump.resets.is_empty() {
                field.set_forcing(instant.t);
                let at = At { t: instant.t, x, u: &field.u, d: &field.d, p: &field.p };
                let (by_x, by_p, by_t) = (&mut self.dxn_dx, &mut self.dxn_dp, &mut self.dxn_dt);
                field.system.reset_jacobians(&jump.resets, at, &mut field.work, by_x, by_p, by_t);
                omega += dot(by_t, lambda);
                for (sum, column) in by_params.iter_mut().zip(by_p.chunks_exact(n.max(1))) {
                    *sum += dot(column, lambda);
                }
                for (value, column) in self.moved.iter_mut().zip(by_x.chunks_exact(n.max(1))) {
                    *value = dot(column, lambda);
                }
                lambda.copy_from_slice(&self.moved);
            }
            omega += dot(f_before, lambda);
        }
        match by_time {
            None => {}
            Some(TimeGradient::Scheduled(rows)) => {
                let n_params = by_params.len();
                for (time_idx, weight) in rows {
                    let row = &self.dtimes[time_idx * n_params..(time_idx + 1) * n_params];
                    by_params.iter_mut().zip(row).for_each(|(sum, slope)| *sum += omega * weight * slope);
                }
            }
            Some(TimeGradient::Root { rate }) => {
                let weight = -omega / rate;
                // A root that the solution only touches has no derivative; it counts as zero.
                if weight.is_finite() {
                    lambda.iter_mut().zip(&self.dg_dx).for_each(|(value, g)| *value += weight * g);
                    by_params.iter_mut().zip(&self.dg_dp).for_each(|(value, g)| *value += weight * g);
                }
            }
        }
    }

    /// How the time of an instant moves; for a root, its gradient is left in `dg_dx` and `dg_dp`.
    fn time_gradient(&mut self, tape: &Tape, field: &mut Field<'_>, instant: &Instant) -> Option<TimeGradient> {
        let first = instant.jumps.start;
        let [x, _, f_before] = tape.jump_values(first);
        tape.enter(tape.jumps[first].span, field);
        field.set_forcing(instant.t);
        let at = At { t: instant.t, x, u: &field.u, d: &field.d, p: &field.p };
        match &instant.cause {
            Cause::Fixed => None,
            Cause::Root(root_idx) => {
                let (dg_dx, dg_dp) = (&mut self.dg_dx, &mut self.dg_dp);
                let by_time = field.system.root_gradient(*root_idx, at, &mut field.work, dg_dx, dg_dp);
                let mut rate = by_time + dot(&self.dg_dx, f_before);
                if field.segment.is_sloped {
                    rate += root_rate_by_forcing(field, *root_idx, instant.t, x, &mut self.g);
                }
                Some(TimeGradient::Root { rate })
            }
            Cause::Scheduled(taken) => {
                if !self.has_times && !self.dtimes.is_empty() {
                    field.system.times_jacobian(at, &mut field.work, &mut self.dtimes);
                    self.has_times = true;
                }
                taken.iter().find_map(|&(event_idx, occurrence)| {
                    let rows = match field.system.events()[event_idx].trigger {
                        Trigger::At { time_idx } => vec![(time_idx, 1.0)],
                        Trigger::Every { from_idx, period_idx, until_idx: _ } => {
                            vec![(from_idx, 1.0), (period_idx, occurrence as f64)]
                        }
                        Trigger::Rising { .. } | Trigger::Crossing { .. } => return None,
                    };
                    self.moves(&rows).then_some(TimeGradient::Scheduled(rows))
                })
            }
        }
    }

    /// True where a time depends on some parameter.
    fn moves(&self, rows: &[(usize, f64)]) -> bool {
        let n_params = self.dg_dp.len();
        let moves =
            |param: usize| rows.iter().any(|&(idx, weight)| weight * self.dtimes[idx * n_params + param] != 0.0);
        (0..n_params).any(moves)
    }
}

/// How the time of an instant depends on what came before.
enum TimeGradient {
    /// By the sum of these scheduled times, each with its weight.
    Scheduled(Vec<(usize, f64)>),
    /// As the root of a function that grows at this rate.
    Root { rate: f64 },
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
