//! Which order and which step come next.
//!
//! After a step the errors that it would have had at the orders below and above are estimated from the history, and
//! the order that allows the longest step is taken; an order is kept for at least as many steps as its formula has
//! points (Byrne and Hindmarsh 1975). New factors are cheap here, so the step follows the error more closely than in
//! codes that spare them; the constants were chosen by the work for an equal error over the rows of benches/stiff.rs.

use super::coefficients::MAX_ORDER;
use super::staggered::Staggered;

/// A step is planned for this share of the tolerance ...
const SHARE: f64 = 0.12;
/// ... and for this one where the order is to be raised.
const SHARE_HIGHER: f64 = 0.08;
/// A step grows by this factor or not at all, ...
const LEAST_GROWTH: f64 = 1.15;
/// ... and shrinks after an accepted step by this one or not at all.
const LEAST_SHRINKING: f64 = 0.8;
/// Most growth of a step.
const MOST_GROWTH: f64 = 10.0;
/// Most growth over the step of the formula that began.
const MOST_FIRST_GROWTH: f64 = 1.0;
/// A step shrinks to this share at least after one error, ...
const LEAST_SHARE: f64 = 0.2;
/// ... and to this share at most after several.
const MOST_SHARE: f64 = 0.2;
/// Errors in a row after which the history is not trusted.
const MANY_ERRORS: u32 = 3;
/// The step then shrinks to this share.
const LAST_SHARE: f64 = 0.1;
/// A step shrinks to this share where the corrector does not converge.
const CORRECTOR_SHARE: f64 = 0.25;

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub order: usize,
    /// Its length in units of the last one.
    pub factor: f64,
}

/// What a step tells; the errors of other orders are computed where they are asked for.
pub(super) struct Estimates<'a> {
    pub order: usize,
    /// The highest order that is stable.
    pub highest: usize,
    /// The error of the step in units of the tolerance.
    pub error: f64,
    pub lower: &'a mut dyn FnMut(&mut Staggered) -> f64,
    pub higher: &'a mut dyn FnMut(&mut Staggered) -> f64,
}

/// What is remembered for the choice.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    /// Accepted steps until the order may change.
    wait: usize,
    /// Errors in a row.
    errors: u32,
    /// True where the step before this one was made a second time.
    was_rejected: bool,
}

impl Default for Selector {
    fn default() -> Self {
        Selector { wait: 2, errors: 0, was_rejected: false }
    }
}

/// The factor to the step that brings an error of the given order of smallness to its share of the tolerance.
fn growth(error: f64, share: f64, exponent: usize) -> f64 {
    1.0 / ((error / share).powf(1.0 / exponent as f64) + 1e-6)
}

/// `base` to the powers 0 to 6.
const fn powers(base: f64) -> [f64; MAX_ORDER + 2] {
    let mut powers = [1.0; MAX_ORDER + 2];
    let mut k = 1;
    while k < powers.len() {
        powers[k] = powers[k - 1] * base;
        k += 1;
    }
    powers
}
const GROWTHS: [f64; MAX_ORDER + 2] = powers(LEAST_GROWTH);
const SHRINKINGS: [f64; MAX_ORDER + 2] = powers(LEAST_SHRINKING);

/// The factor to the next step of the same order; the root is drawn only where it matters.
fn keep_or_change(error: f64, order: usize) -> f64 {
    let ratio = error / SHARE;
    if ratio * GROWTHS[order + 1] > 1.0 && ratio * SHRINKINGS[order + 1] <= 1.0 {
        return 1.0;
    }
    growth(error, SHARE, order + 1)
}

impl Selector {
    /// True where the errors of the orders below and above may be asked for after this step or the next one.
    pub fn needs_neighbors(&self) -> bool {
        self.wait <= 2
    }

    /// Before the first step, which is of the given order; `error` is that of the order below for the scale of the
    /// history.
    pub fn start(&mut self, order: usize, error: f64) -> Choice {
        *self = Selector { wait: order + 1, errors: 0, was_rejected: false };
        Choice { order, factor: growth(error, SHARE, order).min(MOST_FIRST_GROWTH) }
    }

    /// After an accepted step.
    pub fn accept(&mut self, estimates: Estimates<'_>, staggered: &mut Staggered) -> Choice {
        let Estimates { order, highest, error, lower, higher } = estimates;
        self.errors = 0;
        self.wait = self.wait.saturating_sub(1);
        if std::mem::take(&mut self.was_rejected) {
            self.wait = self.wait.max(2);
            return Choice { order, factor: 1.0 };
        }
        if order > highest {
            let factor = growth(lower(staggered), SHARE, order).min(1.0);
            self.wait = order;
            return Choice { order: order - 1, factor };
        }
        if self.wait > 0 {
            return Choice { order, factor: keep_or_change(error, order).min(MOST_GROWTH) };
        }
        self.wait = 2;
        let own = growth(error, SHARE, order + 1);
        let mut best = Choice { order, factor: own };
        if order > 1 {
            let factor = growth(lower(staggered), SHARE, order);
            if factor > best.factor {
                best = Choice { order: order - 1, factor };
            }
        }
        if order < highest {
            let factor = growth(higher(staggered), SHARE_HIGHER, order + 2);
            if factor > best.factor {
                best = Choice { order: order + 1, factor };
            }
        }
        if best.factor < LEAST_GROWTH {
            if own >= LEAST_SHRINKING {
                return Choice { order, factor: 1.0 };
            }
            best.factor = best.factor.min(1.0);
        }
        if best.order != order {
            self.wait = best.order + 1;
        }
        Choice { factor: best.factor.min(MOST_GROWTH), ..best }
    }

    /// After a step whose error is too large.
    pub fn fail_error(&mut self, order: usize, error: f64) -> Choice {
        self.was_rejected = true;
        self.errors += 1;
        if self.errors < MANY_ERRORS {
            let factor = growth(error, SHARE, order + 1).max(LEAST_SHARE);
            let factor = if self.errors > 1 { factor.min(MOST_SHARE) } else { factor };
            return Choice { order, factor: factor.min(0.9) };
        }
        Choice { order, factor: LAST_SHARE }
    }

    /// False after so many errors that a formula which does not look back should go on.
    pub fn trusts_history(&self) -> bool {
        self.errors < MANY_ERRORS
    }

    /// After a step whose corrector does not converge; the order stays.
    pub fn fail_corrector(&mut self, order: usize) -> Choice {
        self.was_rejected = true;
        Choice { order, factor: CORRECTOR_SHARE }
    }
}
