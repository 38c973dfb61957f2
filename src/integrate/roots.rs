//! Root-found events: which root functions have changed sign over a step, and where.
//!
//! A rising event is armed while its root function is not positive and fires where it becomes positive; having fired it
//! is armed again only by a negative value, so a root that is exactly zero after the event does not fire again. A
//! crossing fires at each strict change of sign. Steps are looked at in [`PARTS`] parts, so that a root function which
//! is positive for a short while within a step is seen too unless it is shorter than a part.

use crate::system::{Event, Trigger};

/// Number of parts of a step at whose ends the root functions are evaluated.
pub(super) const PARTS: usize = 4;

/// Whether an event's trigger looks for any change of sign or for a rise.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Rising {
        armed: bool,
    },
    /// With the sign on this side; zero where it is not known yet.
    Crossing {
        sign: f64,
    },
}

/// One root-found event.
#[derive(Debug, Clone, Copy)]
struct Watch {
    event_idx: usize,
    root_idx: usize,
    kind: Kind,
    /// When it last fired, and how often in close succession.
    last: f64,
    repeats: u32,
}

impl Watch {
    /// Positive where the event fires at root value `g`.
    fn excess(&self, g: f64) -> f64 {
        match self.kind {
            Kind::Rising { armed: true } => g,
            Kind::Rising { armed: false } => -1.0,
            Kind::Crossing { sign } => -sign * g,
        }
    }

    fn settle(&mut self, g: f64) {
        match &mut self.kind {
            Kind::Rising { armed } => *armed |= g < 0.0,
            Kind::Crossing { sign } => {
                if g != 0.0 && !g.is_nan() {
                    *sign = g.signum();
                }
            }
        }
    }
}

/// A located event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Located {
    /// Position among the watched events.
    pub watch: usize,
    /// The last time found before the event.
    pub before: f64,
    /// The first time found after it; at most a few units in the last place later.
    pub after: f64,
}

/// All root-found events of a system.
#[derive(Debug, Clone, Default)]
pub(super) struct RootWatch {
    watches: Vec<Watch>,
    /// `n_roots`
    g: Vec<f64>,
    /// `n_roots`, while a root is being bracketed.
    probe: Vec<f64>,
}

impl RootWatch {
    /// The root-found events among `events`; `grid` leaves out the crossings, which grid methods only branch on.
    pub fn new(events: &[Event], n_roots: usize, grid: bool) -> Self {
        let mut watches = Vec::new();
        for (event_idx, event) in events.iter().enumerate() {
            let (root_idx, kind) = match event.trigger {
                Trigger::Rising { root_idx } => (root_idx, Kind::Rising { armed: false }),
                Trigger::Crossing { root_idx } if !grid => (root_idx, Kind::Crossing { sign: 0.0 }),
                Trigger::Crossing { .. } | Trigger::At { .. } | Trigger::Every { .. } => continue,
            };
            watches.push(Watch { event_idx, root_idx, kind, last: f64::NEG_INFINITY, repeats: 0 });
        }
        RootWatch { watches, g: vec![0.0; n_roots], probe: vec![0.0; n_roots] }
    }

    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// The event of a watch.
    pub fn event_idx(&self, watch: usize) -> usize {
        self.watches[watch].event_idx
    }

    /// The root function of a watch.
    pub fn root_idx(&self, watch: usize) -> usize {
        self.watches[watch].root_idx
    }

    /// Begins a solve: a condition that is true at the start is not armed.
    pub fn start(&mut self, eval: &mut dyn FnMut(&mut [f64])) {
        if self.watches.is_empty() {
            return;
        }
        eval(&mut self.g);
        for watch in &mut self.watches {
            let g = self.g[watch.root_idx];
            watch.kind = match watch.kind {
                Kind::Rising { .. } => Kind::Rising { armed: g <= 0.0 },
                Kind::Crossing { .. } => Kind::Crossing { sign: if g == 0.0 { 0.0 } else { g.signum() } },
            };
            watch.last = f64::NEG_INFINITY;
            watch.repeats = 0;
        }
    }

    /// Looks at the end `t` of a part that begins at `t_begin`. Returns the earliest event in it, or, where there is
    /// none, takes note of the signs at `t`. `eval(t, g)` writes the root functions.
    pub fn scan(&mut self, t_begin: f64, t: f64, eval: &mut dyn FnMut(f64, &mut [f64])) -> Option<Located> {
        eval(t, &mut self.g);
        let mut earliest: Option<Located> = None;
        for (i, watch) in self.watches.iter().enumerate() {
            let excess = watch.excess(self.g[watch.root_idx]);
            if excess > 0.0 {
                let (before, after) = bracket(t_begin, t, excess, &mut |time| {
                    eval(time, &mut self.probe);
                    watch.excess(self.probe[watch.root_idx])
                });
                if earliest.is_none_or(|other| after < other.after) {
                    earliest = Some(Located { watch: i, before, after });
                }
            }
        }
        if earliest.is_none() {
            self.settle();
        }
        earliest
    }

    /// Looks at the state right after an event or at a grid instant: the first rising event whose condition became true
    /// by the jump. Where there is none, takes note of the signs.
    pub fn immediate(&mut self, eval: &mut dyn FnMut(&mut [f64])) -> Option<usize> {
        if self.watches.is_empty() {
            return None;
        }
        eval(&mut self.g);
        let rises = |watch: &Watch| match watch.kind {
            Kind::Rising { armed } => armed && self.g[watch.root_idx] > 0.0,
            Kind::Crossing { .. } => false,
        };
        let first = self.watches.iter().position(rises);
        if first.is_none() {
            self.settle();
        }
        first
    }

    fn settle(&mut self) {
        for watch in &mut self.watches {
            watch.settle(self.g[watch.root_idx]);
        }
    }

    /// Notes that a watch fired at `t`. Returns false where it did so more than `limit` times in close succession.
    pub fn fire(&mut self, watch: usize, t: f64, limit: u32) -> bool {
        let watch = &mut self.watches[watch];
        match &mut watch.kind {
            Kind::Rising { armed } => *armed = false,
            Kind::Crossing { sign } => *sign = -*sign,
        }
        let is_close = t - watch.last <= NO_PROGRESS * t.abs();
        watch.repeats = if is_close { watch.repeats + 1 } else { 0 };
        watch.last = t;
        watch.repeats <= limit
    }
}

/// Time that advances by less than this share of its value has not advanced, as far as an event storm is concerned.
const NO_PROGRESS: f64 = 1e-10;

/// Narrows `[begin, end]`, where `f(begin) <= 0 < f(end) = f_end`, to neighbouring times on either side of a root.
///
/// The regula falsi in its Illinois form (Dowell and Jarratt 1971, BIT 11, 168–174), with a bisection wherever two
/// steps have not halved the bracket.
fn bracket(begin: f64, end: f64, f_end: f64, f: &mut dyn FnMut(f64) -> f64) -> (f64, f64) {
    let (mut low, mut high, mut f_high) = (begin, end, f_end);
    let resolution = 2.0 * f64::EPSILON * begin.abs().max(end.abs());
    let mut f_low = f(begin);
    let mut checkpoint = high - low;
    let mut last_side = 0;
    for iteration in 1..200 {
        if high - low <= resolution {
            break;
        }
        let halved = high - low <= 0.5 * checkpoint;
        let must_bisect = iteration % 3 == 0 && !halved;
        if iteration % 3 == 0 {
            checkpoint = high - low;
        }
        let secant = high - f_high * (high - low) / (f_high - f_low);
        let middle = 0.5 * (low + high);
        // A point within the resolution of an end is moved inside, so that both ends close in.
        let candidate = if must_bisect || !secant.is_finite() {
            middle
        } else {
            secant.max(low + 0.5 * resolution).min(high - 0.5 * resolution)
        };
        let t = if candidate > low && candidate < high { candidate } else { middle };
        if t <= low || t >= high {
            break;
        }
        let value = f(t);
        if value > 0.0 {
            high = t;
            f_high = value;
            if last_side == 1 {
                f_low *= 0.5;
            }
            last_side = 1;
        } else {
            low = t;
            f_low = value;
            if last_side == -1 {
                f_high *= 0.5;
            }
            last_side = -1;
        }
    }
    // Where the root is exactly zero a branch on it may already have changed: go back to where it is strictly negative.
    let mut back = resolution;
    while f_low >= 0.0 && low > begin {
        low = (low - back).max(begin);
        back *= 4.0;
        f_low = f(low);
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_closes_to_neighbouring_times() {
        let exact = std::f64::consts::FRAC_PI_2;
        let mut evaluations = 0;
        let (low, high) = bracket(1.0, 4.0, -(4.0_f64.cos()), &mut |t| {
            evaluations += 1;
            -t.cos()
        });
        assert!(low <= exact && exact <= high + 1e-15 && high - low < 2e-15, "{low} {high}");
        assert!(evaluations < 20, "{evaluations}");
    }

    #[test]
    fn a_jump_is_bracketed_by_bisection() {
        let (low, high) = bracket(0.0, 1.0, 1.0, &mut |t| if t > 0.3 { 1.0 } else { -1e-3 });
        assert!(low <= 0.3 && high > 0.3 && high - low < 1e-15);
    }

    #[test]
    fn a_root_that_stays_zero_does_not_fire_again() {
        let events = [Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true }];
        let mut watch = RootWatch::new(&events, 1, false);
        watch.start(&mut |g| g[0] = -1.0);
        let located = watch.scan(0.0, 1.0, &mut |t, g| g[0] = t - 0.5).expect("a root");
        assert!(watch.fire(located.watch, located.after, 8));
        assert_eq!(watch.immediate(&mut |g| g[0] = 0.0), None);
        assert_eq!(watch.scan(1.0, 2.0, &mut |_, g| g[0] = 1e-20), None);
        assert_eq!(watch.scan(2.0, 3.0, &mut |_, g| g[0] = -1e-20), None);
        assert!(watch.scan(3.0, 4.0, &mut |t, g| g[0] = t - 3.5).is_some());
    }
}
