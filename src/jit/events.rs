//! What simultaneous events do to the state, and its derivatives.
//!
//! All values are functions of the state before the events. At one instant `+=` and `-=` add up and `*=` multiply, in
//! the order of the events and of their assignments; `:=` stands alone, and so does each of the three kinds.
//! Last, concentrations in a volume V that has become V₊ are multiplied by V/V₊, once for all events of the instant.

use super::kernels::{GradientRow, Kernels};
use super::parts::Part;
use crate::syntax::ast::AssignOp;
use crate::system::{At, Work};

/// Kinds of assignment that may meet on one state at one instant only with themselves.
fn kind(op: AssignOp) -> f64 {
    match op {
        AssignOp::Set => 1.0,
        AssignOp::Add | AssignOp::Subtract => 2.0,
        AssignOp::Multiply => 3.0,
    }
}

impl Kernels {
    /// See [`crate::system::System::reset`]; where two events conflict, `x_new` is the state before them.
    pub(super) fn apply_jumps(
        &self,
        which: &[usize],
        at: At<'_>,
        work: &mut Work,
        x_new: &mut [f64],
    ) -> Result<(), usize> {
        x_new.copy_from_slice(at.x);
        if let Some(state) = self.find_conflict(which, work) {
            return Err(state);
        }
        for (event_idx, jumps) in which.iter().filter_map(|&e| Some((e, &self.model.events.get(e)?.jumps))) {
            self.run_aside(Part::Jumps, event_idx, (0, jumps.len()), at, work, |_, values| {
                for (jump, value) in jumps.iter().zip(values) {
                    let x = &mut x_new[jump.state as usize];
                    *x = apply(jump.op, *x, *value);
                }
            });
        }
        self.dilutions(which, |state, volume| x_new[state] *= at.x[volume] / x_new[volume]);
        Ok(())
    }

    /// Calls `dilute(state, volume)` once for each state that these events dilute.
    fn dilutions(&self, which: &[usize], mut dilute: impl FnMut(usize, usize)) {
        let all = || which.iter().filter_map(|&e| self.model.events.get(e)).flat_map(|e| &e.dilutions);
        for (k, dilution) in all().enumerate() {
            if !all().take(k).any(|earlier| earlier.state == dilution.state) {
                dilute(dilution.state as usize, dilution.volume as usize);
            }
        }
    }

    /// A state that these events assign in kinds that exclude each other.
    fn find_conflict(&self, which: &[usize], work: &mut Work) -> Option<usize> {
        let n_states = self.model.states.len();
        if work.scratch.len() < n_states {
            work.scratch.resize(n_states, 0.0);
        }
        let kinds = &mut work.scratch[..n_states];
        kinds.fill(0.0);
        for event in which.iter().filter_map(|&e| self.model.events.get(e)) {
            let diluted = event.dilutions.iter().map(|dilution| (dilution.state, AssignOp::Multiply));
            for (state, op) in event.jumps.iter().map(|jump| (jump.state, jump.op)).chain(diluted) {
                let known = &mut kinds[state as usize];
                let new = kind(op);
                if *known != 0.0 && (*known != new || op == AssignOp::Set) {
                    return Some(state as usize);
                }
                *known = new;
            }
        }
        None
    }

    /// See [`crate::system::System::reset_jacobians`].
    pub(super) fn differentiate_jumps(
        &self,
        which: &[usize],
        at: At<'_>,
        work: &mut Work,
        dxn_dx: &mut [f64],
        dxn_dp: &mut [f64],
        dxn_dt: &mut [f64],
    ) {
        let n = self.model.states.len();
        dxn_dx.fill(0.0);
        dxn_dp.fill(0.0);
        dxn_dt.fill(0.0);
        (0..n).for_each(|i| dxn_dx[i * n + i] = 1.0);
        if work.scratch.len() < n {
            work.scratch.resize(n, 0.0);
        }
        // The state as the assignments so far have made it, for the product rule.
        work.scratch[..n].copy_from_slice(&at.x[..n]);
        for &event_idx in which.iter().filter(|&&e| e < self.model.events.len()) {
            let jumps = &self.model.events[event_idx].jumps;
            let rows = &self.jump_rows()[event_idx];
            let n_outputs = jumps.len() + rows.iter().map(GradientRow::len).sum::<usize>();
            self.run_aside(Part::JumpGradients, event_idx, (n, n_outputs), at, work, |x, outputs| {
                let (values, mut entries) = outputs.split_at(jumps.len());
                for ((jump, row), &value) in jumps.iter().zip(rows).zip(values) {
                    let i = jump.state as usize;
                    // The derivative of `apply` in its two arguments.
                    let (keep, gain) = match jump.op {
                        AssignOp::Set => (0.0, 1.0),
                        AssignOp::Add => (1.0, 1.0),
                        AssignOp::Subtract => (1.0, -1.0),
                        AssignOp::Multiply => (value, x[i]),
                    };
                    x[i] = apply(jump.op, x[i], value);
                    dxn_dx.iter_mut().skip(i).step_by(n).for_each(|v| *v *= keep);
                    dxn_dp.iter_mut().skip(i).step_by(n).for_each(|v| *v *= keep);
                    dxn_dt[i] *= keep;
                    let (mine, others) = entries.split_at(row.len());
                    let (states, mine) = mine.split_at(row.states.len());
                    let (params, time) = mine.split_at(row.params.len());
                    row.states.iter().zip(states).for_each(|((k, _), v)| dxn_dx[*k as usize * n + i] += gain * v);
                    row.params.iter().zip(params).for_each(|((k, _), v)| dxn_dp[*k as usize * n + i] += gain * v);
                    time.iter().for_each(|v| dxn_dt[i] += gain * v);
                    entries = others;
                }
            });
        }
        // x₊ = x V/V₊, with x and V₊ as the assignments have made them and V as it was.
        self.dilutions(which, |state, volume| {
            let (x, before, after) = (work.scratch[state], at.x[volume], work.scratch[volume]);
            let (keep, by_after) = (before / after, -x * before / (after * after));
            for column in dxn_dx.chunks_exact_mut(n).chain(dxn_dp.chunks_exact_mut(n)).chain([&mut *dxn_dt]) {
                column[state] = keep * column[state] + by_after * column[volume];
            }
            dxn_dx[volume * n + state] += x / after;
            work.scratch[state] = x * keep;
        });
    }
}

fn apply(op: AssignOp, x: f64, value: f64) -> f64 {
    match op {
        AssignOp::Set => value,
        AssignOp::Add => x + value,
        AssignOp::Subtract => x - value,
        AssignOp::Multiply => x * value,
    }
}
