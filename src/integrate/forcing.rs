//! Inputs and disturbances over time: held or linear between rows, with exact breakpoints.

use super::schedule::is_same_instant;

/// One input or disturbance over time.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// The same value for ever.
    Constant(f64),
    /// `values[k]` from `times[k]` on until the next row; the first value also holds before the first row.
    Held {
        /// Ascending times.
        times: Vec<f64>,
        /// As many values.
        values: Vec<f64>,
    },
    /// Linear between rows, constant before the first and after the last.
    Linear {
        /// Ascending times.
        times: Vec<f64>,
        /// As many values.
        values: Vec<f64>,
    },
}

impl Signal {
    fn times(&self) -> &[f64] {
        match self {
            Signal::Constant(_) => &[],
            Signal::Held { times, .. } | Signal::Linear { times, .. } => times,
        }
    }

    /// Rows are as many as values, at least one, finite, and their times ascend strictly.
    pub fn is_well_formed(&self) -> bool {
        match self {
            Signal::Constant(value) => value.is_finite(),
            Signal::Held { times, values } | Signal::Linear { times, values } => {
                times.len() == values.len()
                    && !times.is_empty()
                    && times.iter().chain(values).all(|v| v.is_finite())
                    && times.windows(2).all(|w| w[0] < w[1])
            }
        }
    }

    /// The value and slope just after `t`, where `row` is the last row at or before `t`.
    fn just_after(&self, row: Option<usize>, t: f64) -> (f64, f64) {
        match self {
            Signal::Constant(value) => (*value, 0.0),
            Signal::Held { values, .. } => (values[row.unwrap_or(0)], 0.0),
            Signal::Linear { times, values } => match row {
                None => (values[0], 0.0),
                Some(k) if k + 1 == times.len() => (values[k], 0.0),
                Some(k) => {
                    let slope = (values[k + 1] - values[k]) / (times[k + 1] - times[k]);
                    (values[k] + slope * (t - times[k]), slope)
                }
            },
        }
    }

    /// The value at `t`; at the time of a row the value from there on.
    pub fn value(&self, t: f64) -> f64 {
        let row = self.times().partition_point(|&time| time <= t).checked_sub(1);
        self.just_after(row, t).0
    }
}

/// Signals for all inputs and all disturbances of a system.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forcing {
    /// `n_inputs`
    pub inputs: Vec<Signal>,
    /// `n_disturbances`
    pub disturbances: Vec<Signal>,
}

impl Forcing {
    /// True where no signal changes over time.
    pub fn is_constant(&self) -> bool {
        self.inputs.iter().chain(&self.disturbances).all(|signal| matches!(signal, Signal::Constant(_)))
    }
}

impl Forcing {
    /// Constant values: `u: n_inputs`, `d: n_disturbances`.
    pub fn constant(u: &[f64], d: &[f64]) -> Self {
        Forcing {
            inputs: u.iter().map(|&v| Signal::Constant(v)).collect(),
            disturbances: d.iter().map(|&v| Signal::Constant(v)).collect(),
        }
    }
}

/// The forcing between two of its rows: affine functions of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    /// Where the values below hold.
    t: f64,
    /// The last row at or before `t` of each signal, inputs first.
    rows: Vec<Option<usize>>,
    values: Vec<f64>,
    /// Inputs' and disturbances' time derivatives, inputs first.
    pub slopes: Vec<f64>,
    /// True where a slope is nonzero.
    pub is_sloped: bool,
}

impl Segment {
    /// Goes to the segment that starts at or contains `t`; rows within rounding of `t` count as reached.
    pub fn start(&mut self, forcing: &Forcing, t: f64) {
        let n = forcing.inputs.len() + forcing.disturbances.len();
        self.rows.clear();
        self.rows.resize(n, None);
        self.values.resize(n, 0.0);
        self.slopes.resize(n, 0.0);
        self.advance(forcing, t);
    }

    /// As [`Segment::start`] with `t` not before the present segment. Returns whether a signal jumped.
    pub fn advance(&mut self, forcing: &Forcing, t: f64) -> bool {
        let mut jumped = false;
        self.is_sloped = false;
        let old_t = self.t;
        for (i, signal) in forcing.inputs.iter().chain(&forcing.disturbances).enumerate() {
            let times = signal.times();
            let mut next = self.rows[i].map_or(0, |row| row + 1);
            while next < times.len() && (times[next] <= t || is_same_instant(times[next], t)) {
                self.rows[i] = Some(next);
                next += 1;
            }
            let before = self.values[i] + self.slopes[i] * (t - old_t);
            let (value, slope) = signal.just_after(self.rows[i], t);
            jumped |= match signal {
                Signal::Constant(_) | Signal::Linear { .. } => false,
                Signal::Held { .. } => value != before,
            };
            self.values[i] = value;
            self.slopes[i] = slope;
            self.is_sloped |= slope != 0.0;
        }
        self.t = t;
        jumped
    }

    /// The next row after the present segment's start, or infinity.
    pub fn next_breakpoint(&self, forcing: &Forcing) -> f64 {
        forcing
            .inputs
            .iter()
            .chain(&forcing.disturbances)
            .zip(&self.rows)
            .filter_map(|(signal, row)| signal.times().get(row.map_or(0, |r| r + 1)).copied())
            .fold(f64::INFINITY, f64::min)
    }

    /// Where the segment begins.
    pub fn begin(&self) -> f64 {
        self.t
    }

    /// The values at `t` within the segment.
    pub fn values_at(&self, t: f64, u: &mut [f64], d: &mut [f64]) {
        let elapsed = t - self.t;
        for (out, (value, slope)) in u.iter_mut().chain(d).zip(self.values.iter().zip(&self.slopes)) {
            *out = value + slope * elapsed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_or_join_and_break_exactly() {
        let forcing = Forcing {
            inputs: vec![Signal::Held { times: vec![1.0, 2.0], values: vec![5.0, 7.0] }],
            disturbances: vec![Signal::Linear { times: vec![0.0, 2.0, 4.0], values: vec![0.0, 4.0, 0.0] }],
        };
        let mut segment = Segment::default();
        segment.start(&forcing, 0.0);
        let (mut u, mut d) = ([0.0], [0.0]);
        let mut seen = Vec::new();
        loop {
            let next = segment.next_breakpoint(&forcing);
            segment.values_at(next.min(5.0) - 0.5, &mut u, &mut d);
            seen.push((next, u[0], d[0]));
            if next.is_infinite() {
                break;
            }
            segment.advance(&forcing, next);
        }
        let expected = [(1.0, 5.0, 1.0), (2.0, 5.0, 3.0), (4.0, 7.0, 1.0), (f64::INFINITY, 7.0, 0.0)];
        assert_eq!(seen, expected);
    }
}
