//! Where threads that integrate the same state, each with directions of its own, agree on an error.
//!
//! Whatever decides about a step is the largest of some numbers over the state and all directions. Threads that meet for
//! that number therefore take the same decisions as one that carries everything, in the same order, and meet for the same
//! number again: the invariant by which nobody waits for a meeting that another does not come to. A thread that ends
//! otherwise than by success says so, and the others are let go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Looks at the number of the meeting before a thread goes to sleep: some microseconds, less than waking up takes.
const LOOKS: u32 = 300;

/// What has been said in a meeting so far.
#[derive(Debug, Default)]
struct Round {
    arrived: usize,
    largest: f64,
    /// The outcome of the meeting before.
    agreed: f64,
}

/// The place of the meetings of `n` threads.
#[derive(Debug)]
pub(super) struct Meeting {
    n: usize,
    round: Mutex<Round>,
    /// How many meetings are over.
    over: AtomicU64,
    is_over: Condvar,
    is_broken: AtomicBool,
}

impl Meeting {
    /// A place for `n` threads.
    pub fn new(n: usize) -> Self {
        Meeting {
            n,
            round: Mutex::default(),
            over: AtomicU64::new(0),
            is_over: Condvar::new(),
            is_broken: AtomicBool::new(false),
        }
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest of the numbers with which all threads call this; the own one where the meetings have been broken off.
    pub fn agree(&self, value: f64) -> f64 {
        let mut round = self.round();
        let number = self.over.load(Ordering::Acquire);
        round.largest = round.largest.max(value);
        round.arrived += 1;
        if round.arrived == self.n {
            round.agreed = round.largest;
            (round.arrived, round.largest) = (0, 0.0);
            self.over.store(number + 1, Ordering::Release);
            self.is_over.notify_all();
            return round.agreed;
        }
        drop(round);
        let mut looks = 0;
        while looks < LOOKS && self.over.load(Ordering::Acquire) == number && !self.is_broken() {
            std::hint::spin_loop();
            looks += 1;
        }
        let mut round = self.round();
        while self.over.load(Ordering::Acquire) == number {
            if self.is_broken() {
                return value;
            }
            round = self.is_over.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        round.agreed
    }

    /// Ends all meetings.
    pub fn break_off(&self) {
        // Under the lock, so that nobody falls asleep between looking and waiting.
        let _round = self.round();
        self.is_broken.store(true, Ordering::Release);
        self.is_over.notify_all();
    }

    /// True after [`Meeting::break_off`].
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_hears_the_largest_of_every_meeting() {
        let meeting = Meeting::new(3);
        std::thread::scope(|scope| {
            for who in 0..3_u32 {
                let meeting = &meeting;
                scope.spawn(move || {
                    for k in 0..2000_u32 {
                        // Each is the largest in turn.
                        let own = f64::from(k) + if k % 3 == who { 0.5 } else { 0.0 };
                        assert_eq!(meeting.agree(own), f64::from(k) + 0.5);
                    }
                });
            }
        });
        assert!(!meeting.is_broken());
    }

    #[test]
    fn nobody_waits_for_one_that_has_left() {
        let meeting = Meeting::new(2);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| meeting.agree(2.0));
            meeting.break_off();
            assert_eq!(waiting.join().ok(), Some(2.0));
        });
        assert!(meeting.is_broken());
    }
}
