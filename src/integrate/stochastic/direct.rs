//! The direct method: the time from the sum of all propensities, the channel by going along them.
//!
//! The sum is formed anew for every reaction, so that no rounding collects; it is as long as the search itself.

use super::ssa::Select;
use crate::random::Rng;
use crate::random::draw::exponential;
use rand::Rng as _;

/// Needs no memory.
pub(super) struct Direct;

impl Select for Direct {
    fn new(_n_channels: usize) -> Self {
        Direct
    }

    fn start(&mut self, _t: f64, _a: &[f64], _rng: &mut Rng) {}

    #[inline]
    fn next(&mut self, t: f64, a: &[f64], rng: &mut Rng) -> (f64, usize) {
        let total: f64 = a.iter().sum();
        if total <= 0.0 {
            return (f64::INFINITY, 0);
        }
        let wait = exponential(rng);
        (t + wait / total, pick(a, total, rng))
    }

    #[inline]
    fn update(&mut self, _t: f64, _channel: usize, _old: f64, _new: f64, _rng: &mut Rng) {}

    #[inline]
    fn fired(&mut self, _t: f64, _channel: usize, _old: f64, _new: f64, _rng: &mut Rng) {}
}

/// A channel with probability `a/total`.
#[inline]
pub(super) fn pick(a: &[f64], total: f64, rng: &mut Rng) -> usize {
    let mut rest = rng.random::<f64>() * total;
    let mut last = 0;
    for (channel, &a) in a.iter().enumerate() {
        if a > 0.0 {
            last = channel;
            rest -= a;
            if rest < 0.0 {
                break;
            }
        }
    }
    // Where rounding leaves a rest, it belongs to the last channel that can fire.
    last
}
