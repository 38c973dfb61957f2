//! Time on the processor, so that other work on the machine takes little part in a measurement.

use std::time::Instant;

/// Seconds that this thread has spent on the processor; seconds since `origin` where the system does not tell.
fn now(origin: Instant) -> f64 {
    // Linux counts a running thread's time only where it enters the scheduler.
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = statistics.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| origin.elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

/// A running measurement of this thread.
pub struct Stopwatch {
    origin: Instant,
    start: f64,
}

impl Stopwatch {
    /// Starts.
    pub fn start() -> Stopwatch {
        let origin = Instant::now();
        Stopwatch { origin, start: now(origin) }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        now(self.origin) - self.start
    }
}
