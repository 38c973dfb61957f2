//! The instants of scheduled events, in order; equal times are one instant.

use super::problem::ProblemError;
use crate::limits::MAX_SCHEDULED_EVENTS;
use crate::system::{Event, Trigger};

/// True where two times differ by no more than the rounding of computing them (8 units in the last place): `0.1 * 3`
/// and `0.3` are one instant.
pub(super) fn is_same_instant(a: f64, b: f64) -> bool {
    // The smaller size, so that an infinite time is the same as no other.
    a == b || (a - b).abs() <= 8.0 * f64::EPSILON * a.abs().min(b.abs())
}

/// One scheduled event.
#[derive(Debug, Clone)]
struct Entry {
    event_idx: usize,
    from: f64,
    /// Zero for a single time.
    period: f64,
    until: f64,
    /// How many occurrences are over.
    done: u64,
}

impl Entry {
    fn next(&self) -> f64 {
        if self.period == 0.0 {
            return if self.done == 0 { self.from } else { f64::INFINITY };
        }
        let t = self.from + self.done as f64 * self.period;
        if t <= self.until || is_same_instant(t, self.until) { t } else { f64::INFINITY }
    }
}

/// All scheduled events of a solve.
#[derive(Debug, Clone, Default)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
}

impl Schedule {
    /// Prepares for a solve from `t0` to `t1`: instants before `t0` are over, and where `skip_start` those at `t0` too.
    pub fn start(
        &mut self,
        events: &[Event],
        times: &[f64],
        t0: f64,
        t1: f64,
        skip_start: bool,
    ) -> Result<(), ProblemError> {
        self.entries.clear();
        for (event_idx, event) in events.iter().enumerate() {
            let (from, period, until) = match event.trigger {
                Trigger::At { time_idx } => (times[time_idx], 0.0, f64::INFINITY),
                Trigger::Every { from_idx, period_idx, until_idx } => {
                    let period = times[period_idx];
                    if !(period > 0.0 && period.is_finite()) {
                        let must = "positive and finite";
                        return Err(ProblemError::Range { what: "the period of an event", value: period, must });
                    }
                    (times[from_idx], period, until_idx.map_or(f64::INFINITY, |i| times[i]))
                }
                Trigger::Rising { .. } | Trigger::Crossing { .. } => continue,
            };
            if from.is_nan() || until.is_nan() {
                let must = "a number";
                return Err(ProblemError::Range { what: "the time of an event", value: f64::NAN, must });
            }
            let mut entry = Entry { event_idx, from, period, until, done: 0 };
            let is_over = |t: f64| {
                let now = is_same_instant(t, t0);
                if skip_start { now || t < t0 } else { !now && t < t0 }
            };
            if period > 0.0 {
                let count = (until.min(t1) - from.max(t0)) / period;
                if count > MAX_SCHEDULED_EVENTS as f64 {
                    return Err(ProblemError::TooManyEvents { event_idx, count, limit: MAX_SCHEDULED_EVENTS });
                }
                // Beyond this the number of an occurrence, or its time, is no longer exact.
                const MOST_SKIPPED: f64 = 9e15;
                if (t0 - from) / period > MOST_SKIPPED {
                    let must = "within 9e15 periods of the start";
                    return Err(ProblemError::Range { what: "the first time of an event", value: from, must });
                }
                // The occurrences before t0 are skipped by division; the loop below settles the last one or two.
                entry.done = ((t0 - from) / period - 1.0).max(0.0) as u64;
            }
            while is_over(entry.next()) {
                entry.done += 1;
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    /// The time of the next instant, or infinity.
    pub fn next(&self) -> f64 {
        self.entries.iter().map(Entry::next).fold(f64::INFINITY, f64::min)
    }

    /// Takes all events at or before the instant `t` off the schedule, in the order of the system's events, with the
    /// number of each one's occurrence counted from zero.
    pub fn take(&mut self, t: f64, which: &mut Vec<usize>, occurrences: &mut Vec<u64>) {
        which.clear();
        occurrences.clear();
        for entry in &mut self.entries {
            let next = entry.next();
            if next <= t || is_same_instant(next, t) {
                which.push(entry.event_idx);
                occurrences.push(entry.done);
                entry.done += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(trigger: Trigger) -> Event {
        Event { trigger, has_reset: true }
    }

    #[test]
    fn equal_times_are_one_instant_and_until_is_inclusive() {
        let events = [
            event(Trigger::Every { from_idx: 0, period_idx: 0, until_idx: Some(1) }),
            event(Trigger::At { time_idx: 1 }),
            event(Trigger::At { time_idx: 2 }),
        ];
        let mut schedule = Schedule::default();
        // The third occurrence, 0.1 + 2 * 0.1, is not the double nearest to 0.3.
        schedule.start(&events, &[0.1, 0.3, -1.0], 0.0, 1.0, false).expect("valid");
        let (mut which, mut occurrences) = (Vec::new(), Vec::new());
        let mut seen = Vec::new();
        while schedule.next().is_finite() {
            schedule.take(schedule.next(), &mut which, &mut occurrences);
            seen.push((which.clone(), occurrences.clone()));
        }
        assert_eq!(seen, [(vec![0], vec![0]), (vec![0], vec![1]), (vec![0, 1], vec![2, 0])]);
    }

    #[test]
    fn a_resumed_run_leaves_out_the_instant_of_its_start() {
        let events = [event(Trigger::Every { from_idx: 0, period_idx: 1, until_idx: None })];
        let mut schedule = Schedule::default();
        schedule.start(&events, &[0.0, 2.0], 6.0, 10.0, false).expect("valid");
        assert_eq!(schedule.next(), 6.0);
        schedule.start(&events, &[0.0, 2.0], 6.0, 10.0, true).expect("valid");
        assert_eq!(schedule.next(), 8.0);
    }

    #[test]
    fn an_event_that_began_long_ago_is_reached_at_once_or_refused() {
        let events = [event(Trigger::Every { from_idx: 0, period_idx: 1, until_idx: None })];
        let mut schedule = Schedule::default();
        // A hundred million million occurrences are over; counting them one by one would take days.
        schedule.start(&events, &[-1e14, 1.0], 0.5, 10.0, false).expect("valid");
        assert_eq!(schedule.next(), 1.0);
        for from in [-1e300, f64::NEG_INFINITY] {
            let refused = schedule.start(&events, &[from, 1.0], 0.0, 10.0, false);
            assert!(matches!(refused, Err(ProblemError::Range { .. })), "{from}: {refused:?}");
        }
    }
}
