//! Which order and which step come next.
//!
//! After a step the errors that it would have had at the orders below and above are estimated from the history, and the
//! order that allows the longest step is taken; an order is kept for at least as many steps as its formula has points
//! (Byrne and Hindmarsh 1975; the constants are those of Hindmarsh et al. 2005 where nothing else is said).

use super::coefficients::MAX_ORDER;
use super::staggered::Staggered;

/// A step is planned for this share of the tolerance ...
const SHARE: f64 = 1.0 / 6.0;
/// ... and for this one where the order is to be raised.
const SHARE_HIGHER: f64 = 1.0 / 10.0;
/// A step grows by this factor or not at all: it costs new factors.
const LEAST_GROWTH: f64 = 1.5;
/// Most growth of an ordinary step, and of the first one, whose length was guessed.
const MOST_GROWTH: f64 = 10.0;
const MOST_FIRST_GROWTH: f64 = 1e4;
/// A step shrinks to this share at least after one error, ...
const LEAST_SHARE: f64 = 0.2;
/// ... and to this share at most after several.
const MOST_SHARE: f64 = 0.2;
/// Errors in a row after which the history is not trusted and the order falls.
const MANY_ERRORS: u32 = 3;
/// The step then shrinks to this share.
pub(super) const LAST_SHARE: f64 = 0.1;
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
    most_growth: f64,
    /// Errors in a row.
    errors: u32,
    /// True where the step before this one was made a second time.
    was_rejected: bool,
}

impl Default for Selector {
    fn default() -> Self {
        Selector { wait: 2, most_growth: MOST_FIRST_GROWTH, errors: 0, was_rejected: false }
    }
}

/// The factor to the step that brings an error of the given order of smallness to its share of the tolerance.
fn growth(error: f64, share: f64, exponent: usize) -> f64 {
    1.0 / ((error / share).powf(1.0 / exponent as f64) + 1e-6)
}

impl Selector {
    /// After an accepted step.
    pub fn accept(&mut self, estimates: Estimates<'_>, staggered: &mut Staggered) -> Choice {
        let Estimates { order, error, lower, higher } = estimates;
        let limit = self.most_growth;
        self.most_growth = MOST_GROWTH;
        self.errors = 0;
        self.wait = self.wait.saturating_sub(1);
        if std::mem::take(&mut self.was_rejected) {
            self.wait = self.wait.max(2);
            return Choice { order, factor: 1.0 };
        }
        let mut best = Choice { order, factor: growth(error, SHARE, order + 1) };
        if self.wait == 0 {
            self.wait = 2;
            if order > 1 {
                let factor = growth(lower(staggered), SHARE, order);
                if factor > best.factor {
                    best = Choice { order: order - 1, factor };
                }
            }
            if order < MAX_ORDER {
                let factor = growth(higher(staggered), SHARE_HIGHER, order + 2);
                if factor > best.factor {
                    best = Choice { order: order + 1, factor };
                }
            }
        }
        if best.factor < LEAST_GROWTH {
            return Choice { order, factor: 1.0 };
        }
        if best.order != order {
            self.wait = best.order + 1;
        }
        Choice { factor: best.factor.min(limit), ..best }
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
        let order = order.saturating_sub(1).max(1);
        self.wait = order + 1;
        Choice { order, factor: LAST_SHARE }
    }

    /// After a step whose corrector does not converge; the order stays.
    pub fn fail_corrector(&mut self, order: usize) -> Choice {
        self.was_rejected = true;
        Choice { order, factor: CORRECTOR_SHARE }
    }
}
