//! The exact simulation: one reaction after the other. After D. T. Gillespie, Exact stochastic simulation of coupled
//! chemical reactions, J. Phys. Chem. 81 (1977) 2340.
//!
//! How the next reaction and its time are drawn is a [`Select`]; all of them give the same distribution. Propensities are
//! constant between two reactions and two instants of the schedule, so nothing is approximated.

use super::super::problem::Status;
use super::Selection;
use super::propensity::Network;
use super::world::{Advance, Request, World};
use crate::random::Rng;
use crate::system::System;
use crate::system::stochastic::Jumps;

/// Up to this many channels a sum over all of them is taken. It takes 54 ns a reaction at 32 channels and 84 at 64, groups
/// take 70 at either (benches/stochastic.rs).
const MOST_DIRECT: usize = 48;

/// What [`Selection::Auto`] means for a number of channels. The work of groups does not grow with their number (Slepoy,
/// Thompson and Plimpton 2008), that of a heap of tentative times does, so that the heap is chosen by name only.
pub(super) fn resolve(selection: Selection, n_channels: usize) -> Selection {
    match selection {
        Selection::Auto if n_channels <= MOST_DIRECT => Selection::Direct,
        Selection::Auto => Selection::Composition,
        Selection::Direct | Selection::NextReaction | Selection::Composition => selection,
    }
}

/// How the next reaction is found.
pub(super) trait Select {
    fn new(n_channels: usize) -> Self;

    /// All propensities `a` are new at `t`.
    fn start(&mut self, t: f64, a: &[f64], rng: &mut Rng);

    /// Time and channel of the next reaction after `t`; an infinite time where there is none.
    fn next(&mut self, t: f64, a: &[f64], rng: &mut Rng) -> (f64, usize);

    /// The propensity of a channel that did not fire has changed.
    fn update(&mut self, t: f64, channel: usize, old: f64, new: f64, rng: &mut Rng);

    /// A channel has fired at `t`.
    fn fired(&mut self, t: f64, channel: usize, old: f64, new: f64, rng: &mut Rng);
}

/// Exact paths with one way of selection.
pub(super) struct Ssa<'s, S> {
    network: Network<'s>,
    select: S,
    /// Propensities.
    a: Vec<f64>,
    /// The next reaction, where it lies behind the present stop.
    pending: Option<(f64, usize)>,
}

impl<'s, S: Select> Ssa<'s, S> {
    pub fn new(system: &'s dyn System, jumps: &'s dyn Jumps) -> Self {
        let network = Network::new(system, jumps);
        let n = network.n_channels();
        Ssa { select: S::new(n), a: vec![0.0; n], pending: None, network }
    }
}

impl<S: Select> Advance<Rng> for Ssa<'_, S> {
    fn restart(&mut self, world: &mut World<'_>, rng: &mut Rng) -> Result<(), Status> {
        self.network.restart(world, true)?;
        self.network.propensities(world, &mut self.a)?;
        self.select.start(world.t, &self.a, rng);
        self.pending = None;
        Ok(())
    }

    fn advance(
        &mut self,
        world: &mut World<'_>,
        stop: f64,
        request: &mut Request<'_, '_>,
        rng: &mut Rng,
    ) -> Result<(), Status> {
        let Ssa { network, select, a, pending } = self;
        loop {
            let (t, channel) = match pending.take() {
                Some(next) => next,
                None => select.next(world.t, a, rng),
            };
            let until = t.min(stop);
            if World::is_asked_before(request, until) {
                network.sync(world);
                while World::is_asked_before(request, until) {
                    world.report(request, None);
                }
            }
            if t >= stop {
                *pending = Some((t, channel));
                world.t = stop;
                break;
            }
            world.t = t;
            world.count_step()?;
            network.fire(channel, world);
            for &other in network.dependents.of(channel) {
                let other = other as usize;
                let new = network.propensity(other, world)?;
                let old = std::mem::replace(&mut a[other], new);
                select.update(t, other, old, new, rng);
            }
            let new = network.propensity(channel, world)?;
            let old = std::mem::replace(&mut a[channel], new);
            select.fired(t, channel, old, new, rng);
            if world.is_watching() {
                break;
            }
        }
        network.sync(world);
        Ok(())
    }
}
