//! Many reactions at once: leaps in which no propensity changes by more than a small part. After Y. Cao, D. T. Gillespie
//! and L. R. Petzold, Efficient step size selection for the tau-leaping simulation method, J. Chem. Phys. 124 (2006) 044109.
//!
//! Channels that could use up a species in fewer than [`FEW`] occurrences are critical and fire one at a time, so counts
//! stay above zero; a leap that would go below is halved. Where leaps would be shorter than a few reactions, reactions are
//! carried out one by one. A requested time inside of a leap splits its reactions at random, by a generator of its own, so
//! that the leaps do not depend on what is requested.

use super::super::problem::Status;
use super::direct::pick;
use super::propensity::Network;
use super::world::{Advance, Request, World};
use crate::random::Rng;
use crate::random::draw::{binomial, exponential, poisson};
use crate::system::System;
use crate::system::stochastic::Jumps;
use rand::Rng as _;

/// Fewer possible occurrences make a channel critical: n_c of the paper.
const FEW: f64 = 10.0;
/// A leap shorter than this many mean waiting times is not worth it.
const SHORT: f64 = 10.0;
/// Reactions carried out one by one before a leap is tried again.
const SINGLES: u32 = 100;
/// The streams of the generators that split leaps.
const SPLIT_STREAM: u64 = 1 << 63;

/// Paths by leaps.
pub(super) struct TauLeap<'s> {
    network: Network<'s>,
    epsilon: f64,
    a: Vec<f64>,
    is_critical: Vec<bool>,
    /// Occurrences in the leap.
    fired: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// Per state: highest order of a reaction that takes it, and how many items one takes; 0 where none does.
    orders: Vec<(u32, u32)>,
    /// Counts and state inside of a leap.
    n: Vec<f64>,
    n_end: Vec<f64>,
    x: Vec<f64>,
    singles: u32,
    split: Option<Rng>,
}

impl<'s> TauLeap<'s> {
    pub fn new(system: &'s dyn System, jumps: &'s dyn Jumps, epsilon: f64) -> Self {
        let network = Network::new(system, jumps);
        let (n_states, n_channels) = (system.dims().n_states, network.n_channels());
        let mut orders = vec![(0, 0); n_states];
        for channel in 0..n_channels {
            for &(state, order, m) in network.consumed.of(channel) {
                let known: &mut (u32, u32) = &mut orders[state as usize];
                *known = (*known).max((order, m));
            }
        }
        TauLeap {
            network,
            epsilon,
            a: vec![0.0; n_channels],
            is_critical: vec![false; n_channels],
            fired: vec![0.0; n_channels],
            mean: vec![0.0; n_states],
            variance: vec![0.0; n_states],
            orders,
            n: vec![0.0; n_states],
            n_end: vec![0.0; n_states],
            x: vec![0.0; n_states],
            singles: 0,
            split: None,
        }
    }

    /// The longest leap that changes no propensity by more than a part of epsilon (equation 33).
    fn longest(&mut self) -> f64 {
        let network = &self.network;
        self.mean.fill(0.0);
        self.variance.fill(0.0);
        for (channel, &a) in self.a.iter().enumerate() {
            let changes = network.changes.of(channel);
            let most = changes
                .iter()
                .filter(|(_, items)| *items < 0.0)
                .map(|&(state, items)| (network.n[state as usize] / -items).floor())
                .fold(f64::INFINITY, f64::min);
            self.is_critical[channel] = a > 0.0 && most < FEW;
            if a > 0.0 && !self.is_critical[channel] {
                for &(state, items) in changes {
                    self.mean[state as usize] += items * a;
                    self.variance[state as usize] += items * items * a;
                }
            }
        }
        let mut tau = f64::INFINITY;
        for (state, &(order, m)) in self.orders.iter().enumerate() {
            if order == 0 || self.variance[state] == 0.0 {
                continue;
            }
            let n = network.n[state];
            let change = (self.epsilon * n / sensitivity(n, order, m)).max(1.0);
            tau = tau.min(change / self.mean[state].abs()).min(change * change / self.variance[state]);
        }
        tau
    }

    /// Makes one leap, of at most `stop − t`.
    fn leap(
        &mut self,
        world: &mut World<'_>,
        stop: f64,
        request: &mut Request<'_, '_>,
        rng: &mut Rng,
    ) -> Result<(), Status> {
        self.network.propensities(world, &mut self.a)?;
        let total: f64 = self.a.iter().sum();
        let remaining = stop - world.t;
        let mut longest = self.longest();
        if total > 0.0 && longest < SHORT / total {
            self.singles = SINGLES;
            return Ok(());
        }
        let critical: f64 = self.a.iter().zip(&self.is_critical).filter(|(_, is)| **is).map(|(a, _)| a).sum();
        let wait = if critical > 0.0 { exponential(rng) / critical } else { f64::INFINITY };
        loop {
            let tau = longest.min(wait).min(remaining);
            for (channel, fired) in self.fired.iter_mut().enumerate() {
                let expected = self.a[channel] * tau;
                let is_still = self.is_critical[channel] || expected <= 0.0;
                *fired = if is_still { 0.0 } else { poisson(expected, rng) };
            }
            if wait == tau && wait < remaining {
                // One critical channel fires at the end of the leap.
                let mut rest = rng.random::<f64>() * critical;
                let mut last = 0;
                for (channel, &a) in self.a.iter().enumerate() {
                    if self.is_critical[channel] {
                        last = channel;
                        rest -= a;
                        if rest < 0.0 {
                            break;
                        }
                    }
                }
                self.fired[last] = 1.0;
            }
            self.n_end.copy_from_slice(&self.network.n);
            for (channel, &fired) in self.fired.iter().enumerate() {
                if fired != 0.0 {
                    for &(state, items) in self.network.changes.of(channel) {
                        self.n_end[state as usize] += items * fired;
                    }
                }
            }
            if let Some(state) = self.n_end.iter().position(|n| !n.is_finite()) {
                return Err(Status::NonFinite { t: world.t, state });
            }
            if self.n_end.iter().all(|n| *n >= 0.0) {
                let t_end = if tau == remaining { stop } else { world.t + tau };
                self.report_inside(world, t_end, request);
                self.network.n.copy_from_slice(&self.n_end);
                world.t = t_end;
                world.count_step()?;
                self.network.sync(world);
                return Ok(());
            }
            world.statistics.rejected += 1;
            longest = 0.5 * tau;
            if longest < SHORT / total {
                self.singles = SINGLES;
                return Ok(());
            }
        }
    }

    /// Reports the requested times inside of a leap: given how often a channel fired in it, the part before a time is
    /// binomial. Critical channels fire at its end.
    fn report_inside(&mut self, world: &mut World<'_>, t_end: f64, request: &mut Request<'_, '_>) {
        if !World::is_asked_before(request, t_end) {
            return;
        }
        let Some(split) = &mut self.split else { return };
        self.n.copy_from_slice(&self.network.n);
        let mut t = world.t;
        while World::is_asked_before(request, t_end) {
            let next = World::next_sample(request);
            let part = ((next - t) / (t_end - t)).clamp(0.0, 1.0);
            for (channel, fired) in self.fired.iter_mut().enumerate() {
                if *fired > 0.0 && !self.is_critical[channel] {
                    let before = binomial(*fired, part, split);
                    *fired -= before;
                    for &(state, items) in self.network.changes.of(channel) {
                        self.n[state as usize] += items * before;
                    }
                }
            }
            // The order inside of a leap is not known: what it would take below zero is shown as zero.
            for (shown, n) in self.mean.iter_mut().zip(&self.n) {
                *shown = n.max(0.0);
            }
            self.network.state_of(world, &self.mean, &mut self.x);
            world.report(request, Some(&self.x));
            t = next;
        }
    }

    /// Carries out one reaction, or goes to `stop`.
    fn single(
        &mut self,
        world: &mut World<'_>,
        stop: f64,
        request: &mut Request<'_, '_>,
        rng: &mut Rng,
    ) -> Result<(), Status> {
        self.network.propensities(world, &mut self.a)?;
        let total: f64 = self.a.iter().sum();
        let t = if total > 0.0 { world.t + exponential(rng) / total } else { f64::INFINITY };
        while World::is_asked_before(request, t.min(stop)) {
            world.report(request, None);
        }
        if t >= stop {
            world.t = stop;
            return Ok(());
        }
        world.t = t;
        world.count_step()?;
        self.network.fire(pick(&self.a, total, rng), world);
        self.network.sync(world);
        Ok(())
    }
}

/// By how much more a propensity changes than the count n of a reactant: g of equation 27.
fn sensitivity(n: f64, order: u32, m: u32) -> f64 {
    // A count of 1 cannot react with itself; the formula would divide by zero.
    let (one, two) = ((n - 1.0).max(1.0), (n - 2.0).max(1.0));
    match (order, m) {
        (0 | 1, _) => 1.0,
        (2, 2) => 2.0 + 1.0 / one,
        (3, 2) => 1.5 * (2.0 + 1.0 / one),
        (3, 3) => 3.0 + 1.0 / one + 2.0 / two,
        (order, 0 | 1) => f64::from(order),
        // Beyond the paper: the largest derivative of a falling product of m factors, times the others.
        (order, m) => f64::from(order) / f64::from(m) * (0..m).map(|k| n / (n - f64::from(k)).max(1.0)).sum::<f64>(),
    }
}

impl Advance<Rng> for TauLeap<'_> {
    fn restart(&mut self, world: &mut World<'_>, rng: &mut Rng) -> Result<(), Status> {
        if world.t == world.t0 {
            let mut split = rng.clone();
            split.set_stream(rng.get_stream() | SPLIT_STREAM);
            self.split = Some(split);
            self.singles = 0;
        }
        self.network.restart(world, true)
    }

    fn advance(
        &mut self,
        world: &mut World<'_>,
        stop: f64,
        request: &mut Request<'_, '_>,
        rng: &mut Rng,
    ) -> Result<(), Status> {
        while world.t < stop {
            if self.singles > 0 {
                self.singles -= 1;
                self.single(world, stop, request, rng)?;
            } else {
                self.leap(world, stop, request, rng)?;
            }
            if world.is_watching() {
                break;
            }
        }
        Ok(())
    }
}
