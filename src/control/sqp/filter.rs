//! The filter of a line search: pairs of violation and cost that no later iterate may be worse than in both.
//!
//! Wächter and Biegler 2006, *On the implementation of an interior-point filter line-search algorithm for large-scale
//! nonlinear programming*, Math. Program. 106:25, section 2.3, with their constants.

/// What an iterate is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Merit {
    /// Sum of the violations of steps and hard constraints.
    pub violation: f64,
    /// Cost with the prices of soft rows.
    pub cost: f64,
}

/// Relative decrease of the violation, or of the cost in proportion to the violation, that counts as progress.
const MARGIN: f64 = 1e-5;
/// Share of the promised decrease of the cost.
const ARMIJO: f64 = 1e-4;
/// Pairs that are kept; the oldest goes.
const CAPACITY: usize = 64;

/// Pairs that were left behind.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    list: Vec<Merit>,
    /// Violations above this are refused.
    ceiling: f64,
    /// Violations below this are as good as none for the choice between cost and violation.
    floor: f64,
}

impl Filter {
    pub(super) fn new() -> Filter {
        Filter { list: Vec::with_capacity(CAPACITY), ceiling: f64::INFINITY, floor: 0.0 }
    }

    /// Starts anew at an iterate of this violation.
    pub(super) fn restart(&mut self, violation: f64) {
        self.list.clear();
        self.ceiling = 1e4 * violation.max(1.0);
        self.floor = 1e-4 * violation.max(1.0);
    }

    /// Whether a trial with step length `alpha` is progress from `now`, where the cost was promised to change by
    /// `alpha · slope` at the beginning of the step.
    pub(super) fn accepts(&mut self, now: Merit, trial: Merit, alpha: f64, slope: f64, noise: f64) -> bool {
        let blocked = |m: &Merit| trial.violation >= m.violation && trial.cost >= m.cost - noise;
        if !(trial.violation <= self.ceiling && trial.cost.is_finite()) || self.list.iter().any(blocked) {
            return false;
        }
        let for_cost =
            slope < 0.0 && alpha * (-slope).powf(2.3) > now.violation.powf(1.1) && now.violation <= self.floor;
        if for_cost {
            trial.cost <= now.cost + ARMIJO * alpha * slope + noise
        } else {
            let better = trial.violation <= (1.0 - MARGIN) * now.violation
                || trial.cost <= now.cost - MARGIN * now.violation + noise;
            if better {
                if self.list.len() == CAPACITY {
                    self.list.remove(0);
                }
                self.list
                    .push(Merit { violation: (1.0 - MARGIN) * now.violation, cost: now.cost - MARGIN * now.violation });
            }
            better
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_worse_in_both() {
        let mut filter = Filter::new();
        filter.restart(1.0);
        let now = Merit { violation: 1.0, cost: 5.0 };
        assert!(filter.accepts(now, Merit { violation: 0.5, cost: 9.0 }, 1.0, -1.0, 0.0));
        // From there, back to where it came from is refused by the pair left behind.
        let there = Merit { violation: 0.5, cost: 9.0 };
        assert!(!filter.accepts(there, Merit { violation: 1.1, cost: 5.5 }, 1.0, -1.0, 0.0));
        assert!(filter.accepts(there, Merit { violation: 0.4, cost: 9.5 }, 1.0, -1.0, 0.0));
    }

    #[test]
    fn asks_for_the_promised_decrease_where_nothing_is_violated() {
        let mut filter = Filter::new();
        filter.restart(0.0);
        let now = Merit { violation: 0.0, cost: 5.0 };
        assert!(!filter.accepts(now, Merit { violation: 1e-9, cost: 5.0 - 1e-6 }, 1.0, -1.0, 0.0));
        assert!(filter.accepts(now, Merit { violation: 1e-9, cost: 4.9 }, 1.0, -1.0, 0.0));
    }
}
