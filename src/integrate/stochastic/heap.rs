//! The next reaction method: each channel has a tentative time, and the earliest stands on top of a heap. After M. A.
//! Gibson and J. Bruck, Efficient exact stochastic simulation of chemical systems with many species and many channels,
//! J. Phys. Chem. A 104 (2000) 1876.
//!
//! A tentative time is stretched when its propensity changes, `t + (old/new)(τ − t)`, so that one reaction takes one new
//! random number. A channel that comes back from zero draws anew, which is the same since waiting has no memory.

use super::ssa::Select;
use crate::random::Rng;
use crate::random::draw::exponential;

/// A binary heap of channels by time that knows where each channel stands.
pub(super) struct NextReaction {
    /// Tentative time of each channel.
    time: Vec<f64>,
    heap: Vec<u32>,
    /// Place of each channel in the heap.
    place: Vec<u32>,
}

impl NextReaction {
    /// Sets the time of a channel and restores the order.
    #[inline]
    fn set(&mut self, channel: usize, time: f64) {
        let old = std::mem::replace(&mut self.time[channel], time);
        let place = self.place[channel] as usize;
        if time < old {
            self.rise(place);
        } else if time > old {
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        let channel = self.heap[place];
        let time = self.time[channel as usize];
        while place > 0 {
            let parent = (place - 1) / 2;
            let above = self.heap[parent];
            if self.time[above as usize] <= time {
                break;
            }
            self.heap[place] = above;
            self.place[above as usize] = place as u32;
            place = parent;
        }
        self.heap[place] = channel;
        self.place[channel as usize] = place as u32;
    }

    fn sink(&mut self, mut place: usize) {
        let channel = self.heap[place];
        let time = self.time[channel as usize];
        loop {
            let mut child = 2 * place + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len()
                && self.time[self.heap[child + 1] as usize] < self.time[self.heap[child] as usize]
            {
                child += 1;
            }
            let below = self.heap[child];
            if self.time[below as usize] >= time {
                break;
            }
            self.heap[place] = below;
            self.place[below as usize] = place as u32;
            place = child;
        }
        self.heap[place] = channel;
        self.place[channel as usize] = place as u32;
    }
}

/// A fresh tentative time.
#[inline]
fn tentative(t: f64, a: f64, rng: &mut Rng) -> f64 {
    if a > 0.0 {
        let wait = exponential(rng);
        t + wait / a
    } else {
        f64::INFINITY
    }
}

impl Select for NextReaction {
    fn new(n_channels: usize) -> Self {
        let order: Vec<u32> = (0..n_channels as u32).collect();
        NextReaction { time: vec![f64::INFINITY; n_channels], heap: order.clone(), place: order }
    }

    fn start(&mut self, t: f64, a: &[f64], rng: &mut Rng) {
        for (time, &a) in self.time.iter_mut().zip(a) {
            *time = tentative(t, a, rng);
        }
        for place in (0..self.heap.len() / 2).rev() {
            self.sink(place);
        }
    }

    #[inline]
    fn next(&mut self, _t: f64, _a: &[f64], _rng: &mut Rng) -> (f64, usize) {
        match self.heap.first() {
            Some(&channel) => (self.time[channel as usize], channel as usize),
            None => (f64::INFINITY, 0),
        }
    }

    #[inline]
    fn update(&mut self, t: f64, channel: usize, old: f64, new: f64, rng: &mut Rng) {
        if old == new {
            return;
        }
        let time =
            if old > 0.0 && new > 0.0 { t + old / new * (self.time[channel] - t) } else { tentative(t, new, rng) };
        self.set(channel, time);
    }

    #[inline]
    fn fired(&mut self, t: f64, channel: usize, _old: f64, new: f64, rng: &mut Rng) {
        let time = tentative(t, new, rng);
        self.set(channel, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn the_earliest_stands_on_top_whatever_changes() {
        let mut rng = stream(3, 0);
        let n = 37;
        let mut select = NextReaction::new(n);
        let mut a: Vec<f64> = (0..n).map(|k| k as f64 % 5.0).collect();
        select.start(0.0, &a, &mut rng);
        for k in 0..2000 {
            let earliest = select.time.iter().copied().fold(f64::INFINITY, f64::min);
            let (t, channel) = select.next(0.0, &a, &mut rng);
            assert_eq!((t, select.time[channel]), (earliest, earliest), "step {k}");
            let other = (k * 7) % n;
            let new = (k % 4) as f64;
            select.update(t, other, a[other], new, &mut rng);
            a[other] = new;
            let was = a[channel];
            select.fired(t, channel, was, was, &mut rng);
            assert!(select.heap.iter().enumerate().all(|(place, &c)| select.place[c as usize] as usize == place));
        }
    }
}
