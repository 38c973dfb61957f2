//! States that the record of a run has dropped, computed once more from one that it has kept.
//!
//! The way back asks for the states of steps from the last to the first. Between two states on record there is a stretch of
//! steps and room for some states of it, the shelf. States are put there by the schedule of Griewank and Walther 2000,
//! Algorithm 799: Revolve, ACM Trans. Math. Softw. 26, 19–45: with s places, the start's among them, at most
//! `β(s, r) = (s + r)! / (s! r!)` steps can be taken back if none is made more than r times again, and the first state to
//! put on the shelf is that after `β(s, r - 1)` steps. A stretch that fits is replayed once (r = 1).

use super::tape::Tape;
use super::{Adjoint, AdjointError};

/// States between two on record, by ascending step.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    n: usize,
    limit: usize,
    steps: Vec<usize>,
    states: Vec<f64>,
    most: usize,
}

impl Shelf {
    /// Clears it for states of `n` numbers that take at most `bytes`, at least two.
    pub fn start(&mut self, n: usize, bytes: usize) {
        self.n = n;
        self.limit = (bytes / (8 * n.max(1))).max(2);
        self.most = 0;
        self.clear();
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.states.clear();
    }

    /// Most states at once since the start.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes the states of steps behind `step` away; the last one left.
    fn last_until(&mut self, step: usize) -> Option<(usize, &[f64])> {
        while self.steps.last().is_some_and(|&last| last > step) {
            self.steps.pop();
        }
        self.states.truncate(self.steps.len() * self.n);
        let start = self.steps.len().checked_sub(1)? * self.n;
        Some((*self.steps.last()?, &self.states[start..]))
    }

    fn put(&mut self, step: usize, state: &[f64]) {
        self.steps.push(step);
        self.states.extend_from_slice(state);
        self.most = self.most.max(self.steps.len());
    }

    /// After how many steps the next state is to be put here, where the state `n_steps` on is asked for first and then all
    /// before it; `None` where there is no place.
    fn next_after(&self, n_steps: usize) -> Option<usize> {
        let free = self.limit.saturating_sub(self.steps.len());
        (free > 0 && n_steps > 1).then(|| distance(n_steps + 1, free + 1)).filter(|&distance| distance < n_steps)
    }
}

/// After how many of `n_steps`, at least two, the first state is kept where there are `places`, at least two.
fn distance(n_steps: usize, places: usize) -> usize {
    let (mut reach, mut before, mut repeats) = (1.0, 1.0, 0.0);
    while reach < n_steps as f64 {
        before = reach;
        repeats += 1.0;
        reach *= (places as f64 + repeats) / repeats;
    }
    // Rounded products of ratios; a step more or less changes the work, not the result.
    (before.round() as usize).clamp(1, n_steps - 1)
}

impl Adjoint<'_> {
    /// Puts the state that a step started from into `self.x`.
    pub(super) fn find_state(&mut self, tape: &Tape, step_idx: usize) -> Result<(), AdjointError> {
        if let Some(state) = tape.state(step_idx) {
            self.shelf.clear();
            self.x.copy_from_slice(state);
            return Ok(());
        }
        let mut at = match self.shelf.last_until(step_idx) {
            Some((step, state)) => {
                self.x.copy_from_slice(state);
                step
            }
            None => {
                // The first state after a jump is on record, and so is the first of all.
                let kept = (0..step_idx).rev().find_map(|idx| Some((idx, tape.state(idx)?)));
                let (step, state) = kept.ok_or(AdjointError::NoRun)?;
                self.x.copy_from_slice(state);
                step
            }
        };
        let mut next = self.shelf.next_after(step_idx - at).map(|distance| at + distance);
        while at < step_idx {
            let step = &tape.steps[at];
            tape.enter(step.span, &mut self.integrator.field);
            let formula = self.formulas.of(step.kind);
            let first = tape.first_time(at);
            formula
                .stages(&mut self.integrator.field, (step.t, step.h), first, &self.x, &mut self.x_new)
                .map_err(|cause| AdjointError::Singular { t: step.t, cause })?;
            std::mem::swap(&mut self.x, &mut self.x_new);
            at += 1;
            if next == Some(at) {
                self.shelf.put(at, &self.x);
                next = self.shelf.next_after(step_idx - at).map(|distance| at + distance);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many steps are made again where a stretch is taken back with some places, and whether every state is right.
    fn steps_made(n_steps: usize, places: usize) -> usize {
        let mut shelf = Shelf::default();
        shelf.start(1, 8 * places);
        let mut made = 0;
        for wanted in (1..n_steps).rev() {
            let mut at = shelf.last_until(wanted).map_or(0, |(step, state)| {
                assert_eq!(state, [step as f64]);
                step
            });
            let mut next = shelf.next_after(wanted - at).map(|distance| at + distance);
            while at < wanted {
                at += 1;
                made += 1;
                if next == Some(at) {
                    shelf.put(at, &[at as f64]);
                    next = shelf.next_after(wanted - at).map(|distance| at + distance);
                }
            }
        }
        assert!(shelf.most() <= places);
        made
    }

    #[test]
    fn few_places_take_few_repeats() {
        // All fit: each step once.
        assert_eq!(steps_made(21, 20), 20);
        // The least number is r l - β(s + 1, r - 1); not every stretch divides as well by the rule above.
        for (n_steps, places) in [(100, 3), (1000, 5), (1000, 9), (10_000, 20)] {
            let s = (places + 1) as f64;
            let (mut reach, mut r, mut lower) = (1.0, 0.0, 1.0);
            while reach < n_steps as f64 {
                r += 1.0;
                reach *= (s + r) / r;
            }
            for k in 1..r as usize {
                lower *= (s + 1.0 + k as f64) / k as f64;
            }
            let least = r * n_steps as f64 - lower;
            let found = steps_made(n_steps, places) as f64;
            assert!((least..=1.13 * least).contains(&found), "{n_steps}, {places}: {found}, {least}");
        }
    }
}
