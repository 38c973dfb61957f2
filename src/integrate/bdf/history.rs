//! The Nordsieck history of a multistep method: for each component the polynomial through its recent past.
//!
//! `z_j = h^j y^(j)/j!` at the last point, so that `y(t + s h) = Σ z_j s^j` (Nordsieck 1962, On numerical integration
//! of ordinary differential equations, Math. Comp. 16, 22–49). Components are held in groups of four whose six
//! coefficients stand together, so that a pass over them is one stream of memory. The history stays at the last
//! accepted point until a step is accepted; a prediction only reads it, so that a rejected step leaves no rounding
//! behind.

use super::coefficients::MAX_ORDER;
use crate::integrate::lanes::{Lanes, WIDTH, by_count, n_groups};

/// The coefficients of a group, by power.
type Group = [Lanes; MAX_ORDER + 1];

/// The polynomials of all components.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    groups: Vec<Group>,
    len: usize,
}

impl History {
    /// Sizes the history for `len` components.
    pub fn resize(&mut self, len: usize) {
        self.groups.clear();
        self.groups.resize(n_groups(len), [[0.0; WIDTH]; MAX_ORDER + 1]);
        self.len = len;
    }

    /// Begins with the values and the scaled derivatives 1 to 4 of each component.
    pub fn start(&mut self, values: &[f64], derivatives: impl Fn(usize) -> [f64; 4]) {
        for (k, (group, values)) in self.groups.iter_mut().zip(values.chunks(WIDTH)).enumerate() {
            *group = [[0.0; WIDTH]; MAX_ORDER + 1];
            for (i, value) in values.iter().enumerate() {
                group[0][i] = *value;
                for (lanes, derivative) in group[1..].iter_mut().zip(derivatives(WIDTH * k + i)) {
                    lanes[i] = derivative;
                }
            }
        }
    }

    /// `y` = the prediction one step of `ratio` times the scale `h` ahead, `slope` = its derivative.
    pub fn predict(&self, order: usize, ratio: f64, h: f64, y: &mut [Lanes], slope: &mut [Lanes]) {
        let powers = powers(ratio);
        let mut slopes = [0.0; MAX_ORDER + 1];
        for (j, weight) in slopes.iter_mut().enumerate() {
            *weight = j as f64 * powers[j] / (ratio * h);
        }
        by_count!(order, predict(&self.groups, &powers, &slopes, y, slope));
    }

    /// Goes on to the step's end, by the correction `delta` along `l`, to the values `y`; afterwards the history is
    /// scaled by the step.
    pub fn advance(&mut self, order: usize, ratio: f64, l: &[f64; MAX_ORDER + 1], delta: &[Lanes], y: &[Lanes]) {
        let powers = powers(ratio);
        by_count!(order, advance(&mut self.groups, &powers, l, delta, y));
    }

    /// Adds `change[j]` times `delta` to each coefficient.
    pub fn raise(&mut self, change: &[f64; MAX_ORDER + 1], delta: &[Lanes]) {
        for (group, delta) in self.groups.iter_mut().zip(delta) {
            for (lanes, weight) in group.iter_mut().zip(change) {
                for i in 0..WIDTH {
                    lanes[i] += weight * delta[i];
                }
            }
        }
    }

    /// Subtracts `change[j]` times the last coefficient from each one below it.
    pub fn lower(&mut self, order: usize, change: &[f64; MAX_ORDER + 1]) {
        for group in &mut self.groups {
            let last = group[order];
            for (lanes, weight) in group[..order].iter_mut().zip(change) {
                for i in 0..WIDTH {
                    lanes[i] -= weight * last[i];
                }
            }
            group[order] = [0.0; WIDTH];
        }
    }

    /// `y` = the values at the last point.
    pub fn values(&self, y: &mut [Lanes]) {
        y.iter_mut().zip(&self.groups).for_each(|(y, group)| *y = group[0]);
    }

    /// The values of a group at the last point.
    pub fn value(&self, k: usize) -> Lanes {
        self.groups[k][0]
    }

    /// The last coefficient of a group.
    pub fn last(&self, order: usize, k: usize) -> Lanes {
        self.groups[k][order]
    }

    /// `out` = the first components at `s` steps from the last point.
    pub fn interpolate(&self, order: usize, s: f64, out: &mut [f64]) {
        for (out, group) in out.chunks_mut(WIDTH).zip(&self.groups) {
            for (i, value) in out.iter_mut().enumerate() {
                *value = group[..=order].iter().rev().fold(0.0, |sum, lanes| sum * s + lanes[i]);
            }
        }
    }
}

fn powers(ratio: f64) -> [f64; MAX_ORDER + 1] {
    let mut powers = [1.0; MAX_ORDER + 1];
    for j in 1..=MAX_ORDER {
        powers[j] = powers[j - 1] * ratio;
    }
    powers
}

fn predict<const Q: usize>(
    groups: &[Group],
    powers: &[f64; MAX_ORDER + 1],
    slopes: &[f64; MAX_ORDER + 1],
    y: &mut [Lanes],
    slope: &mut [Lanes],
) {
    for ((group, y), slope) in groups.iter().zip(y).zip(slope) {
        let mut value = group[0];
        let mut rate = [0.0; WIDTH];
        for j in 1..=Q {
            for i in 0..WIDTH {
                value[i] += powers[j] * group[j][i];
                rate[i] += slopes[j] * group[j][i];
            }
        }
        *y = value;
        *slope = rate;
    }
}

fn advance<const Q: usize>(
    groups: &mut [Group],
    powers: &[f64; MAX_ORDER + 1],
    l: &[f64; MAX_ORDER + 1],
    delta: &[Lanes],
    y: &[Lanes],
) {
    for ((group, delta), y) in groups.iter_mut().zip(delta).zip(y) {
        let mut z = *group;
        for j in 1..=Q {
            z[j].iter_mut().for_each(|value| *value *= powers[j]);
        }
        // The triangle of Pascal by additions only, without its first row: the values are known. Written out, because
        // loops would keep the group in memory.
        macro_rules! add {
            ($($j:literal)*) => { $(if $j <= Q {
                let higher = z[$j];
                z[$j - 1].iter_mut().zip(&higher).for_each(|(lower, higher)| *lower += higher);
            })* };
        }
        add!(5 4 3 2 5 4 3 2 5 4 3 5 4 5);
        for j in 1..=Q {
            for i in 0..WIDTH {
                z[j][i] += l[j] * delta[i];
            }
        }
        z[0] = *y;
        *group = z;
    }
}
