//! Means of what is measured at every update, told at the end of an episode or after many updates.

use super::learner::Log;

/// Updates after which means are told where no episode ends.
const MOST: u64 = 1000;

/// Sums of measurements since they were last told.
#[derive(Debug, Clone)]
pub struct Meter {
    sums: Vec<(&'static str, f64, u64)>,
    n_updates: u64,
}

impl Meter {
    /// Nothing measured.
    pub fn new() -> Meter {
        Meter { sums: Vec::new(), n_updates: 0 }
    }

    /// Adds one measurement.
    pub fn add(&mut self, name: &'static str, value: f64) {
        match self.sums.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, sum, n)) => (*sum, *n) = (*sum + value, *n + 1),
            None => self.sums.push((name, value, 1)),
        }
    }

    /// An update is over; tells means after many of them, or where `is_due`.
    pub fn tell(&mut self, is_due: bool, at_step: u64, log: &mut dyn Log) {
        self.n_updates += 1;
        if self.sums.is_empty() || !(is_due || self.n_updates >= MOST) {
            return;
        }
        let means: Vec<(&'static str, f64)> = self.sums.iter().map(|(name, sum, n)| (*name, sum / *n as f64)).collect();
        log.measured(at_step, &means);
        *self = Meter::new();
    }
}

impl Default for Meter {
    fn default() -> Self {
        Meter::new()
    }
}
