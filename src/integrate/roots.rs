//! Root-found events: which root functions have changed sign over a step, and where.
//!
//! A rising event is armed while its root function is not positive and fires where it becomes positive; having fired it
//! is armed again only by a negative value, so a root that is exactly zero after the event does not fire again. A
//! crossing fires at each strict change of sign. Steps are looked at in [`PARTS`] parts, so that a root function which
//! is positive for a short while within a step is seen too unless it is shorter than a part.
//!
//! An event that turns its own root function back, as a bounce does, may leave it negative for less than a part. Such an
//! event is followed closely: the short negative moment is searched for, and where the root function grows again
//! without one, time cannot resolve the repetitions any more and the event is reported as stalled.

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
    /// Where the event has turned its root function back but not below zero: the value that it left.
    turned_at: Option<f64>,
    /// True where a negative moment was found in the part being looked at.
    has_dip: bool,
    /// Whether the event turned its root function back when it last fired, and the lowest value seen since then.
    has_turned: bool,
    lowest: f64,
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
            Kind::Rising { armed } => {
                *armed |= g < 0.0 || self.has_dip;
                self.has_dip = false;
                if *armed {
                    self.turned_at = None;
                }
            }
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
    /// True where the event ought to repeat sooner than time can tell; `before` and `after` are then its last time.
    pub is_stalled: bool,
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
            let last = f64::NEG_INFINITY;
            watches.push(Watch {
                event_idx,
                root_idx,
                kind,
                last,
                repeats: 0,
                turned_at: None,
                has_dip: false,
                has_turned: false,
                lowest: 0.0,
            });
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
            watch.turned_at = None;
            watch.has_dip = false;
            watch.has_turned = false;
        }
    }

    /// Looks at the end `t` of a part that begins at `t_begin`. Returns the earliest event in it, or, where there is
    /// none, takes note of the signs at `t`. `eval(t, g)` writes the root functions.
    pub fn scan(&mut self, t_begin: f64, t: f64, eval: &mut dyn FnMut(f64, &mut [f64])) -> Option<Located> {
        eval(t, &mut self.g);
        let mut earliest: Option<Located> = None;
        for (i, watch) in self.watches.iter_mut().enumerate() {
            let g = self.g[watch.root_idx];
            let mut probe = |time: f64| {
                eval(time, &mut self.probe);
                self.probe[watch.root_idx]
            };
            watch.lowest = watch.lowest.min(g);
            let located = match watch.turned_at {
                Some(value) if g >= 0.0 => {
                    let dip = negative_moment(t_begin, t, &mut probe);
                    watch.has_dip = dip.is_some();
                    watch.lowest = watch.lowest.min(dip.map_or(0.0, &mut probe));
                    match dip {
                        Some(moment) if g > 0.0 => Some((bracket(moment, t, g, &mut probe), false)),
                        None if g > value => Some(((watch.last, watch.last), true)),
                        Some(_) | None => None,
                    }
                }
                Some(_) | None => {
                    let excess = watch.excess(g);
                    (excess > 0.0).then(|| (bracket(t_begin, t, excess, &mut |time| watch.excess(probe(time))), false))
                }
            };
            if let Some(((before, after), is_stalled)) = located
                && earliest.is_none_or(|other| after < other.after)
            {
                earliest = Some(Located { watch: i, before, after, is_stalled });
            }
        }
        if earliest.is_none() {
            self.settle();
        }
        earliest
    }

    /// The value of a watch's root function.
    pub fn value(&mut self, watch: usize, eval: &mut dyn FnMut(&mut [f64])) -> f64 {
        eval(&mut self.probe);
        self.probe[self.watches[watch].root_idx]
    }

    /// After a located rising event was carried out: takes note of whether it turned its root function back, which had
    /// the value `found` before. `eval` writes the root functions at a short time ahead along the new derivative; 0 is
    /// the present.
    pub fn note_turn(&mut self, watch: usize, found: f64, aheads: [f64; 3], eval: &mut dyn FnMut(f64, &mut [f64])) {
        let watch = &mut self.watches[watch];
        match watch.kind {
            Kind::Rising { .. } => {}
            Kind::Crossing { .. } => return,
        }
        let mut value = |ahead: f64| {
            eval(ahead, &mut self.probe);
            self.probe[watch.root_idx]
        };
        // Where the reset itself has raised it, the condition is meant to stay true.
        let g = value(0.0);
        if g >= 0.0 && g <= found.max(0.0) {
            // The nearest of the times that shows a difference tells.
            let ahead = aheads.into_iter().map(value).find(|&ahead| ahead != g);
            watch.turned_at = ahead.filter(|&ahead| ahead < g).map(|_| g);
            watch.has_turned = watch.turned_at.is_some();
        }
    }

    /// Looks at the state right after an event or at a grid instant: the first rising event whose condition became true
    /// by the jump. Where there is none, takes note of the signs.
    pub fn immediate(&mut self, eval: &mut dyn FnMut(&mut [f64])) -> Option<usize> {
        if self.watches.is_empty() {
            return None;
        }
        eval(&mut self.g);
        for watch in &mut self.watches {
            // A jump to a larger value is no repetition.
            let g = self.g[watch.root_idx];
            watch.turned_at = watch.turned_at.filter(|&value| g <= value);
        }
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

    /// Notes that a watch fired at `t`. Returns false where it did so more than `limit` times in close succession: while
    /// time advanced by less than [`NO_PROGRESS`] of `elapsed`, or by less than it can resolve, or while the root
    /// function, which is `found` now, moved no farther than its own rounding lets it overshoot.
    pub fn fire(&mut self, watch: usize, t: f64, elapsed: f64, found: f64, limit: u32) -> bool {
        let watch = &mut self.watches[watch];
        let since = t - watch.last;
        let is_rounding = watch.has_turned && since <= 1e-6 * elapsed && -watch.lowest <= 64.0 * found;
        watch.has_turned = false;
        watch.lowest = 0.0;
        watch.turned_at = None;
        watch.has_dip = false;
        match &mut watch.kind {
            Kind::Rising { armed } => *armed = false,
            Kind::Crossing { sign } => *sign = -*sign,
        }
        let is_close = is_rounding || since <= (NO_PROGRESS * elapsed).max(8.0 * f64::EPSILON * t.abs());
        watch.repeats = if is_close { watch.repeats + 1 } else { 0 };
        watch.last = t;
        watch.repeats <= limit
    }
}

/// Time that advances by less than this share of what has elapsed has not advanced, as far as an event storm is concerned.
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

/// A time in `[begin, end]` at which `f` is negative, if a golden section search for its minimum meets one (Kiefer 1953,
/// Proceedings of the American Mathematical Society 4, 502–506).
fn negative_moment(begin: f64, end: f64, f: &mut dyn FnMut(f64) -> f64) -> Option<f64> {
    const SHARE: f64 = 0.618_033_988_749_894_9;
    let resolution = 2.0 * f64::EPSILON * begin.abs().max(end.abs());
    let (mut low, mut high) = (begin, end);
    let mut left = high - SHARE * (high - low);
    let mut right = low + SHARE * (high - low);
    let (mut f_left, mut f_right) = (f(left), f(right));
    // A bracket of any length shrinks to the last place in this many steps.
    for _ in 0..200 {
        if f_left < 0.0 {
            return Some(left);
        }
        if f_right < 0.0 {
            return Some(right);
        }
        if high - low <= resolution {
            return None;
        }
        if f_left < f_right {
            (high, right, f_right) = (right, left, f_left);
            left = high - SHARE * (high - low);
            f_left = f(left);
        } else {
            (low, left, f_left) = (left, right, f_right);
            right = low + SHARE * (high - low);
            f_right = f(right);
        }
    }
    None
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

    /// An event that rises at 1 with the value `g` and turns to `slope` there.
    fn turned(g: f64, slope: f64) -> RootWatch {
        let events = [Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true }];
        let mut watch = RootWatch::new(&events, 1, false);
        watch.start(&mut |g| g[0] = -1.0);
        let located = watch.scan(0.0, 1.0, &mut |t, out| out[0] = if t < 1.0 { t - 1.0 } else { g }).expect("a root");
        assert!(watch.fire(located.watch, located.after, 1.0, 0.0, 8));
        watch.note_turn(located.watch, g, [1e-6, 1e-3, 1.0], &mut |ahead, out| out[0] = g + slope * ahead);
        watch
    }

    #[test]
    fn a_bounce_shorter_than_a_part_fires_again() {
        // -0.01 s + s² is negative up to s = 0.01 only.
        let bounce = |t: f64| -0.01 * (t - 1.0) + (t - 1.0).powi(2);
        let located = turned(1e-17, -0.01).scan(1.0, 2.0, &mut |t, g| g[0] = bounce(t)).expect("a root");
        assert!((located.after - 1.01).abs() < 1e-14 && !located.is_stalled, "{located:?}");
        // Neither where the event leaves the root function rising, nor where the reset lifts it.
        assert_eq!(turned(1e-17, 0.01).scan(1.0, 2.0, &mut |t, g| g[0] = bounce(t)), None);
    }

    #[test]
    fn a_bounce_that_time_cannot_resolve_is_stalled() {
        let sunk = |t: f64| 1e-10 - 1e-9 * (t - 1.0) + (t - 1.0).powi(2);
        let located = turned(1e-10, -1e-9).scan(1.0, 2.0, &mut |t, g| g[0] = sunk(t)).expect("a stall");
        assert!(located.is_stalled && located.after == 1.0, "{located:?}");
        // On its way back it is neither.
        assert_eq!(turned(1e-10, -1e-11).scan(1.0, 2.0, &mut |t, g| g[0] = 1e-10 - 1e-11 * (t - 1.0)), None);
    }

    #[test]
    fn a_root_that_stays_zero_does_not_fire_again() {
        let events = [Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true }];
        let mut watch = RootWatch::new(&events, 1, false);
        watch.start(&mut |g| g[0] = -1.0);
        let located = watch.scan(0.0, 1.0, &mut |t, g| g[0] = t - 0.5).expect("a root");
        assert!(watch.fire(located.watch, located.after, 1.0, 0.0, 8));
        assert_eq!(watch.immediate(&mut |g| g[0] = 0.0), None);
        assert_eq!(watch.scan(1.0, 2.0, &mut |_, g| g[0] = 1e-20), None);
        assert_eq!(watch.scan(2.0, 3.0, &mut |_, g| g[0] = -1e-20), None);
        assert!(watch.scan(3.0, 4.0, &mut |t, g| g[0] = t - 3.5).is_some());
    }
}
