//! Work in parallel, results in order: a queue whose length does not depend on how much there is to do.
//!
//! Threads take the pieces of work in ascending order. What is finished before its turn waits; when too much waits, so
//! do the threads, until the oldest piece is finished.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Pieces that may be taken before the oldest is delivered, for each thread. Pieces take about the same time, so few
/// are enough.
const AHEAD: usize = 4;

struct Queue<T, D> {
    next: usize,
    /// All before this one are delivered.
    delivered: usize,
    /// Results from `delivered` on.
    waiting: VecDeque<Option<T>>,
    deliver: D,
    is_stopped: bool,
}

struct Shared<T, D> {
    queue: Mutex<Queue<T, D>>,
    moved: Condvar,
}

impl<T, D> Shared<T, D> {
    fn lock(&self) -> MutexGuard<'_, Queue<T, D>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the others where a thread ends in the middle of its work.
struct Guard<'a, T, D>(&'a Shared<T, D>);

impl<T, D> Drop for Guard<'_, T, D> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_stopped = true;
            self.0.moved.notify_all();
        }
    }
}

/// Does the pieces `0..count` on all threads of the current pool and delivers each result, in order. `state` makes what a
/// thread keeps between its pieces. `deliver` returns false to end early. Returns how many were delivered.
pub fn in_order<S, T: Send>(
    count: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
    deliver: impl FnMut(usize, T) -> bool + Send,
) -> usize {
    let window = AHEAD * rayon::current_num_threads();
    let waiting = VecDeque::with_capacity(window);
    let queue = Queue { next: 0, delivered: 0, waiting, deliver, is_stopped: false };
    let shared = Shared { queue: Mutex::new(queue), moved: Condvar::new() };
    rayon::broadcast(|_| {
        let _guard = Guard(&shared);
        let mut state = state();
        loop {
            let mut queue = shared.lock();
            while queue.next >= queue.delivered + window && !queue.is_stopped {
                queue = shared.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.is_stopped || queue.next >= count {
                return;
            }
            let piece = queue.next;
            queue.next += 1;
            drop(queue);
            let result = work(&mut state, piece);
            let mut queue = shared.lock();
            let Queue { delivered, waiting, deliver, is_stopped, .. } = &mut *queue;
            let place = piece - *delivered;
            while waiting.len() <= place {
                waiting.push_back(None);
            }
            waiting[place] = Some(result);
            while let Some(Some(_)) = waiting.front() {
                if let Some(Some(result)) = waiting.pop_front()
                    && !*is_stopped
                {
                    *is_stopped = !deliver(*delivered, result);
                    *delivered += 1;
                }
            }
            drop(queue);
            shared.moved.notify_all();
        }
    });
    shared.lock().delivered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_threads() {
        for n_threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
            let mut seen = Vec::new();
            // Early pieces take longer than late ones.
            let work = |_: &mut (), k: usize| {
                (0..(200 - k) * 100).for_each(|i| _ = std::hint::black_box(i));
                k
            };
            let count = pool.install(|| {
                in_order(
                    200,
                    || (),
                    work,
                    |k, value| {
                        seen.push((k, value));
                        true
                    },
                )
            });
            assert_eq!(count, 200);
            assert!(seen.iter().enumerate().all(|(i, &(k, value))| i == k && value == k));
        }
    }

    #[test]
    fn a_delivery_that_says_no_is_the_last() {
        let mut last = 0;
        let deliver = |k, ()| {
            last = k;
            k < 17
        };
        assert_eq!(in_order(1000, || (), |_, _| (), deliver), 18);
        assert_eq!(last, 17);
    }
}
