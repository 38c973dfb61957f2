//! Composition and rejection: channels stand in groups whose propensities differ by less than a factor of 2, so that a
//! reaction takes a time that does not grow with their number. After A. Slepoy, A. P. Thompson and S. J. Plimpton, A
//! constant-time kinetic Monte Carlo algorithm for simulation of large biochemical reaction networks, J. Chem. Phys. 128
//! (2008) 205101.
//!
//! A group is found by its sum, a member by drawing one and keeping it with probability `a/bound`, which is above 1/2.
//! Sums are changed along with the members and formed anew every so often, so that no rounding collects.

use super::ssa::Select;
use crate::random::Rng;
use crate::random::draw::exponential;
use rand::Rng as _;

/// Exponents of a double.
const N_EXPONENTS: usize = 2048;
/// No group.
const NONE: u32 = u32::MAX;
/// Changes for each channel between two fresh sums.
const CHANGES_PER_SUM: usize = 16;

/// Channels whose propensities have one binary exponent.
struct Group {
    /// Twice the smallest propensity that may stand here.
    bound: f64,
    sum: f64,
    members: Vec<u32>,
}

/// Groups, and where each channel stands.
pub(super) struct Composition {
    /// Those in use come first; the others wait with their memory, so that a path like one before allocates nothing.
    groups: Vec<Group>,
    /// In use.
    n_groups: usize,
    /// The group of an exponent.
    of_exponent: Vec<u32>,
    /// `(group, place in it)` of each channel.
    place: Vec<(u32, u32)>,
    n_changes: usize,
}

/// The biased exponent.
#[inline]
fn exponent(a: f64) -> usize {
    (a.to_bits() >> 52) as usize & (N_EXPONENTS - 1)
}

impl Composition {
    #[inline]
    fn insert(&mut self, channel: usize, a: f64) {
        if a <= 0.0 {
            self.place[channel].0 = NONE;
            return;
        }
        let e = exponent(a);
        let mut group = self.of_exponent[e];
        if group == NONE {
            group = self.n_groups as u32;
            self.of_exponent[e] = group;
            if self.n_groups == self.groups.len() {
                self.groups.push(Group { bound: 0.0, sum: 0.0, members: Vec::new() });
            }
            let new = &mut self.groups[self.n_groups];
            new.bound = 2.0 * f64::from_bits((e as u64) << 52).max(f64::MIN_POSITIVE);
            new.sum = 0.0;
            new.members.clear();
            self.n_groups += 1;
        }
        let Group { members, sum, .. } = &mut self.groups[group as usize];
        self.place[channel] = (group, members.len() as u32);
        members.push(channel as u32);
        *sum += a;
    }

    #[inline]
    fn remove(&mut self, channel: usize, a: f64) {
        let (group, place) = self.place[channel];
        if group == NONE {
            return;
        }
        let Group { members, sum, .. } = &mut self.groups[group as usize];
        members.swap_remove(place as usize);
        *sum = if members.is_empty() { 0.0 } else { *sum - a };
        if let Some(&moved) = members.get(place as usize) {
            self.place[moved as usize].1 = place;
        }
    }

    fn renew_sums(&mut self, a: &[f64]) {
        self.n_changes = 0;
        for group in &mut self.groups[..self.n_groups] {
            group.sum = group.members.iter().map(|&channel| a[channel as usize]).sum();
        }
    }
}

impl Select for Composition {
    fn new(n_channels: usize) -> Self {
        Composition {
            groups: Vec::new(),
            n_groups: 0,
            of_exponent: vec![NONE; N_EXPONENTS],
            place: vec![(NONE, 0); n_channels],
            n_changes: 0,
        }
    }

    fn start(&mut self, _t: f64, a: &[f64], _rng: &mut Rng) {
        self.n_groups = 0;
        self.of_exponent.fill(NONE);
        for (channel, &a) in a.iter().enumerate() {
            self.insert(channel, a);
        }
        self.n_changes = 0;
    }

    #[inline]
    fn next(&mut self, t: f64, a: &[f64], rng: &mut Rng) -> (f64, usize) {
        if self.n_changes > CHANGES_PER_SUM * a.len() {
            self.renew_sums(a);
        }
        let groups = &self.groups[..self.n_groups];
        let total: f64 = groups.iter().map(|group| group.sum).sum();
        if total <= 0.0 {
            return (f64::INFINITY, 0);
        }
        let wait = exponential(rng);
        let mut rest = rng.random::<f64>() * total;
        let mut found: Option<&Group> = None;
        for group in groups.iter().filter(|group| !group.members.is_empty()) {
            found = Some(group);
            rest -= group.sum;
            if rest < 0.0 {
                break;
            }
        }
        let Some(group) = found else { return (f64::INFINITY, 0) };
        let n = group.members.len() as f64;
        loop {
            // The whole part is a member, the rest decides whether it is kept.
            let u = rng.random::<f64>() * n;
            let whole = u.floor();
            let channel = group.members[(whole as usize).min(group.members.len() - 1)] as usize;
            if (u - whole) * group.bound < a[channel] {
                return (t + wait / total, channel);
            }
        }
    }

    #[inline]
    fn update(&mut self, _t: f64, channel: usize, old: f64, new: f64, _rng: &mut Rng) {
        if old == new {
            return;
        }
        self.n_changes += 1;
        if exponent(old) == exponent(new) && old > 0.0 && new > 0.0 {
            let (group, _) = self.place[channel];
            self.groups[group as usize].sum += new - old;
            return;
        }
        self.remove(channel, old);
        self.insert(channel, new);
    }

    #[inline]
    fn fired(&mut self, t: f64, channel: usize, old: f64, new: f64, rng: &mut Rng) {
        self.update(t, channel, old, new, rng);
    }
}
