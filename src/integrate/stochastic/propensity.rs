//! Reactions as tables: counts, propensities, what each reaction changes and which propensities follow from that.
//!
//! A propensity of mass action is a product from a table, `c`, `c n_i`, `c n_i n_j`, `c n_i (n_i − 1)` or longer; only
//! what is no mass action is called. A reaction for which there are not enough items does not happen, whatever its law.

use super::super::problem::Status;
use super::world::World;
use crate::system::stochastic::{ChannelLaw, Jumps};
use crate::system::{At, System};

/// The shape of a propensity.
#[derive(Debug, Clone, Copy)]
enum Form {
    Constant,
    /// c n
    One(u32),
    /// c n m
    Two(u32, u32),
    /// c n (n − 1)
    Pair(u32),
    /// Falling products of `(state, molecularity)` from the list.
    Many(u32, u32),
    /// Called; not-enough is checked for the changes.
    Function,
}

/// Lists behind one another: those of `k` are `items[ends[k]..ends[k + 1]]`.
#[derive(Debug, Clone)]
pub(super) struct Lists<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

impl<T> Lists<T> {
    fn new(lists: impl IntoIterator<Item = Vec<T>>) -> Self {
        let (mut ends, mut items) = (vec![0], Vec::new());
        for list in lists {
            items.extend(list);
            ends.push(items.len() as u32);
        }
        Lists { ends, items }
    }

    #[inline]
    pub fn of(&self, k: usize) -> &[T] {
        &self.items[self.ends[k] as usize..self.ends[k + 1] as usize]
    }
}

/// The network with its counts.
pub(super) struct Network<'s> {
    jumps: &'s dyn Jumps,
    /// Items of one unit of each state; 0 where none are counted.
    items: Vec<f64>,
    /// `n_states` in items; a state that is not counted stays 0.
    pub n: Vec<f64>,
    constants: Vec<f64>,
    forms: Vec<Form>,
    reactants: Vec<(u32, u32)>,
    /// `(state, items)` of each channel.
    pub changes: Lists<(u32, f64)>,
    /// Channels whose propensity a channel changes, its own left out.
    pub dependents: Lists<u32>,
    /// `(state, order of the reaction, most items of the state that it takes)`: what each channel consumes.
    pub consumed: Lists<(u32, u32, u32)>,
    has_functions: bool,
}

impl<'s> Network<'s> {
    pub fn new(system: &'s dyn System, jumps: &'s dyn Jumps) -> Self {
        let channels = jumps.channels();
        let n_states = system.dims().n_states;
        let mut reactants: Vec<(u32, u32)> = Vec::new();
        let mut forms = Vec::with_capacity(channels.len());
        let mut readers: Vec<Vec<u32>> = vec![Vec::new(); n_states];
        for (idx, channel) in channels.iter().enumerate() {
            let mut reads: Vec<u32> = match &channel.law {
                ChannelLaw::MassAction(list) => list.iter().map(|&(state, _)| state).collect(),
                ChannelLaw::Function(reads) => {
                    let taken = channel.changes.iter().filter(|(_, items)| *items < 0.0);
                    reads.iter().copied().chain(taken.map(|&(state, _)| state)).collect()
                }
            };
            reads.sort_unstable();
            reads.dedup();
            reads.iter().for_each(|&state| readers[state as usize].push(idx as u32));
            forms.push(match &channel.law {
                ChannelLaw::Function(_) => Form::Function,
                ChannelLaw::MassAction(list) => match list[..] {
                    [] => Form::Constant,
                    [(i, 1)] => Form::One(i),
                    [(i, 2)] => Form::Pair(i),
                    [(i, 1), (j, 1)] => Form::Two(i, j),
                    _ => {
                        let first = reactants.len() as u32;
                        reactants.extend(list);
                        Form::Many(first, reactants.len() as u32)
                    }
                },
            });
        }
        let dependents = channels.iter().enumerate().map(|(idx, channel)| {
            let mut list: Vec<u32> =
                channel.changes.iter().flat_map(|&(state, _)| readers[state as usize].iter().copied()).collect();
            list.sort_unstable();
            list.dedup();
            list.retain(|&other| other as usize != idx);
            list
        });
        let consumed = channels.iter().map(|channel| match &channel.law {
            ChannelLaw::MassAction(list) => {
                let order = list.iter().map(|&(_, m)| m).sum();
                list.iter().map(|&(state, m)| (state, order, m)).collect()
            }
            // How steep a law of its own is, is not known: it counts as one of second order.
            ChannelLaw::Function(reads) => reads.iter().map(|&state| (state, 2, 1)).collect::<Vec<_>>(),
        });
        Network {
            items: vec![0.0; n_states],
            n: vec![0.0; n_states],
            constants: vec![0.0; channels.len()],
            has_functions: forms.iter().any(|form| matches!(form, Form::Function)),
            changes: Lists::new(channels.iter().map(|channel| channel.changes.clone())),
            dependents: Lists::new(dependents.collect::<Vec<_>>()),
            consumed: Lists::new(consumed.collect::<Vec<_>>()),
            forms,
            reactants,
            jumps,
        }
    }

    pub fn n_channels(&self) -> usize {
        self.forms.len()
    }

    /// Takes counts from the state, to the nearest whole number where `is_whole`, and constants from the instant.
    pub fn restart(&mut self, world: &mut World<'_>, is_whole: bool) -> Result<(), Status> {
        let World { t, x, u, d, p, work, .. } = world;
        let at = At { t: *t, x, u, d, p };
        self.jumps.counts(at, work, &mut self.items);
        self.jumps.constants(at, work, &mut self.constants);
        for (state, ((n, x), items)) in self.n.iter_mut().zip(x.iter()).zip(&self.items).enumerate() {
            *n = if *items == 0.0 { 0.0 } else { x * items };
            if is_whole {
                *n = n.round();
            }
            if !n.is_finite() {
                return Err(Status::NonFinite { t: *t, state });
            }
            if is_whole && *n < 0.0 {
                return Err(Status::NegativeCount { t: *t, state });
            }
        }
        if let Some(channel) = self.constants.iter().position(|c| !(*c >= 0.0 && c.is_finite())) {
            return Err(Status::BadRate { t: *t, reaction: channel });
        }
        self.sync(world);
        Ok(())
    }

    /// Brings the state to the counts.
    pub fn sync(&self, world: &mut World<'_>) {
        for ((x, n), items) in world.x.iter_mut().zip(&self.n).zip(&self.items) {
            if *items > 0.0 {
                *x = n / items;
            }
        }
    }

    /// `x` = the state that belongs to the counts `n`.
    pub fn state_of(&self, world: &World<'_>, n: &[f64], x: &mut [f64]) {
        for (((x, old), n), items) in x.iter_mut().zip(&world.x).zip(n).zip(&self.items) {
            *x = if *items > 0.0 { n / items } else { *old };
        }
    }

    /// One occurrence of a channel.
    #[inline]
    pub fn fire(&mut self, channel: usize, world: &mut World<'_>) {
        for &(state, items) in self.changes.of(channel) {
            let n = &mut self.n[state as usize];
            *n += items;
            if self.has_functions {
                world.x[state as usize] = *n / self.items[state as usize];
            }
        }
    }

    /// The propensity of a channel. With functions among the laws the state must be in step with the counts.
    #[inline]
    pub fn propensity(&self, channel: usize, world: &mut World<'_>) -> Result<f64, Status> {
        let c = self.constants[channel];
        let n = |state: u32| self.n[state as usize];
        Ok(match self.forms[channel] {
            Form::Constant => c,
            Form::One(i) => c * n(i),
            Form::Two(i, j) => c * n(i) * n(j),
            Form::Pair(i) => c * n(i) * (n(i) - 1.0).max(0.0),
            Form::Many(first, end) => {
                let mut a = c;
                for &(state, m) in &self.reactants[first as usize..end as usize] {
                    for k in 0..m {
                        a *= (n(state) - f64::from(k)).max(0.0);
                    }
                }
                a
            }
            Form::Function => return self.called(channel, world),
        })
    }

    /// The propensity of a channel with a law of its own.
    fn called(&self, channel: usize, world: &mut World<'_>) -> Result<f64, Status> {
        if self.changes.of(channel).iter().any(|&(state, items)| self.n[state as usize] + items < 0.0) {
            return Ok(0.0);
        }
        let World { t, x, u, d, p, work, .. } = world;
        let a = self.jumps.propensity(channel, At { t: *t, x, u, d, p }, work);
        if a >= 0.0 && a.is_finite() { Ok(a) } else { Err(Status::BadRate { t: *t, reaction: channel }) }
    }

    /// All propensities.
    pub fn propensities(&self, world: &mut World<'_>, a: &mut [f64]) -> Result<(), Status> {
        for (channel, a) in a.iter_mut().enumerate() {
            *a = self.propensity(channel, world)?;
        }
        Ok(())
    }
}
