//! The reaction network: rates as nodes, changes as coefficients, and what both say about each species' derivative.
//!
//! A rate is a concentration per time where the reaction happens, or an amount per time. For a species whose
//! concentration c is stored, in a compartment of volume V, `dc/dt = (amount rate)/V − c V'/V`; where the rate is a
//! concentration of the same compartment the volume cancels and is not computed at all.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic};
use crate::expr::{Leaf, NodeId};
use crate::hir::model::{Direction, RateBasis, Reaction, Term};
use crate::hir::{SymbolId, SymbolKind};
use crate::limits::MAX_FAMILY;
use crate::source::Span;

use super::layout::{Home, member_name, tuples};
use super::lower::{Builder, DerivativeSource, Flow, Moment};
use super::{Reaction as FlatReaction, layout::Layout};

/// A compartment and which of its members.
pub(super) type Place = (SymbolId, u32);

/// What a reaction does to one species.
pub(super) struct Change {
    pub symbol: SymbolId,
    pub offset: u32,
    /// Products minus reactants.
    pub net: f64,
    reactant: f64,
    factor: f64,
    is_amount: bool,
}

impl Builder<'_> {
    /// Unrolls all reactions, and collects the derivatives of what they move.
    pub(super) fn network(&mut self) -> Option<Vec<FlatReaction>> {
        let model = self.model;
        let mut list = Vec::new();
        let mut moved: HashMap<u32, Vec<(f64, NodeId)>> = HashMap::new();
        let mut is_good = true;
        let used = self.reacting()?;
        for reaction in &model.reactions {
            let Some(shape) = self.shape(&reaction.ranges) else {
                is_good = false;
                continue;
            };
            self.n_reactions =
                self.n_reactions.saturating_add(shape.iter().map(|(a, b)| (b - a + 1) as usize).product());
            if self.n_reactions > MAX_FAMILY {
                self.diagnostics.push(super::layout::too_large(reaction.span, self.n_reactions));
                return None;
            }
            for values in tuples(&shape) {
                for (range, value) in reaction.ranges.iter().zip(&values) {
                    self.set_index(range.index, *value);
                }
                let name = member_name(&reaction.name, &values);
                if self.member_reaction(reaction, &name, &mut list, &mut moved).is_none() {
                    is_good = false;
                    break;
                }
            }
        }
        if !is_good {
            return None;
        }
        for id in used {
            self.collect(id, &mut moved)?;
        }
        Some(list)
    }

    /// The species whose derivatives the network decides: those that react, and concentrations in a volume that
    /// changes, which dilute. Their derivatives are pending from here on. E0404 for one that has an equation too.
    fn reacting(&mut self) -> Option<Vec<SymbolId>> {
        let model = self.model;
        let mut first_use: HashMap<SymbolId, Span> = HashMap::new();
        for reaction in &model.reactions {
            for term in reaction.reactants.iter().chain(&reaction.products) {
                first_use.entry(term.symbol).or_insert(term.span);
            }
        }
        let mut equations: HashMap<SymbolId, Span> = HashMap::new();
        for ode in &model.odes {
            equations.entry(ode.symbol).or_insert(ode.span);
        }
        let mut list = Vec::new();
        let mut is_good = true;
        for (id, symbol) in model.symbols() {
            let SymbolKind::Species { is_fixed: false, compartment } = symbol.kind else { continue };
            match (first_use.get(&id), equations.get(&id)) {
                (Some(used), Some(equation)) => {
                    let name = &symbol.name;
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0404"),
                            *equation,
                            format!("`{name}` takes part in a reaction and has an equation `{name}'` too"),
                        )
                        .at("its own equation")
                        .label(*used, "moved by this reaction")
                        .help(format!("write the flow as a reaction: `feed: 0 -> {name} rate ..`")),
                    );
                    is_good = false;
                }
                (Some(_), None) => list.push(id),
                (None, None) if !self.is_amount(id) && compartment.is_some_and(|v| equations.contains_key(&v)) => {
                    list.push(id);
                }
                (None, None | Some(_)) => {}
            }
        }
        for id in &list {
            let (first, n) = (self.layouts[id.0 as usize].first as usize, self.layouts[id.0 as usize].len());
            self.derivatives[first..first + n].fill(DerivativeSource::Pending);
        }
        is_good.then_some(list)
    }

    /// Puts the collected terms of a species' members in place, with the dilution of a changing volume.
    fn collect(&mut self, id: SymbolId, moved: &mut HashMap<u32, Vec<(f64, NodeId)>>) -> Option<()> {
        let Layout { first, .. } = self.layouts[id.0 as usize];
        let n = self.layouts[id.0 as usize].len() as u32;
        for offset in 0..n {
            let mut terms = moved.remove(&(first + offset)).unwrap_or_default();
            if let SymbolKind::Species { compartment: Some(volume), .. } = self.model.symbol(id).kind
                && !self.is_amount(id)
                && matches!(self.layouts[volume.0 as usize].home, Home::State { .. })
                && let Some((_, member)) = self.volume_of(id, offset)
                && let v_state = self.layouts[volume.0 as usize].first + member
                && matches!(self.derivatives[v_state as usize], DerivativeSource::Ode(..))
            {
                let dv = self.define(super::lower::Definition::Derivative(v_state))?;
                let v = self.dag.leaf(Leaf::State(v_state));
                let c = self.dag.leaf(Leaf::State(first + offset));
                let dilution = self.dag.mul(c, dv);
                let dilution = self.dag.div(dilution, v);
                terms.push((-1.0, dilution));
                self.diluted.push((first + offset, v_state));
            }
            self.derivatives[(first + offset) as usize] = DerivativeSource::Network(terms);
        }
        Some(())
    }

    pub(super) fn is_amount(&self, symbol: SymbolId) -> bool {
        self.model.symbol(symbol).unit.as_ref().is_some_and(crate::hir::is_amount)
    }

    fn member_reaction(
        &mut self,
        reaction: &Reaction,
        name: &str,
        list: &mut Vec<FlatReaction>,
        moved: &mut HashMap<u32, Vec<(f64, NodeId)>>,
    ) -> Option<()> {
        let mut changes: Vec<Change> = Vec::new();
        for (terms, sign) in [(&reaction.reactants, -1.0), (&reaction.products, 1.0)] {
            for term in terms {
                let offset = self.settle_member(term.symbol, &term.indices)?;
                let known = changes.iter().position(|c| c.symbol == term.symbol && c.offset == offset);
                let change = match known {
                    Some(k) => &mut changes[k],
                    None => {
                        changes.push(Change {
                            symbol: term.symbol,
                            offset,
                            net: 0.0,
                            reactant: 0.0,
                            factor: term.factor,
                            is_amount: term.is_amount,
                        });
                        let last = changes.len() - 1;
                        &mut changes[last]
                    }
                };
                change.net += sign * term.coefficient;
                if sign < 0.0 {
                    change.reactant += term.coefficient;
                }
            }
        }
        for is_reverse in [false, true] {
            let (direction, side, sign) = if is_reverse {
                (reaction.reverse.as_ref(), &reaction.products, -1.0)
            } else {
                (Some(&reaction.forward), &reaction.reactants, 1.0)
            };
            let Some(direction) = direction else { continue };
            let (rate, constant) = self.rate(direction, side)?;
            let mut flow = Flow { rate, reaction: list.len(), terms: Vec::new() };
            let place = self.place(direction, side, reaction)?;
            self.one_member(direction, side, place, &changes, reaction.span)?;
            for change in &changes {
                if change.net == 0.0 {
                    continue;
                }
                let layout = &self.layouts[change.symbol.0 as usize];
                let Home::State { seed: None } = layout.home else { continue };
                let state = layout.first + change.offset;
                let (factor, node) = self.change_rate(direction.basis, rate, place, change)?;
                moved.entry(state).or_default().push((sign * change.net * factor, node));
                flow.terms.push((state, sign * change.net * factor, node));
            }
            self.flows.push(flow);
            if self.counting.is_some() {
                let law = self.jump_law(reaction, direction, side, place, rate, &changes)?;
                if let Some(counting) = &mut self.counting {
                    counting.laws.push(law);
                }
            }
            let amount_rate = match (direction.basis, place) {
                (RateBasis::Concentration(_), Some(volume)) => {
                    let v = self.volume(volume)?;
                    self.dag.mul(rate, v)
                }
                (RateBasis::Concentration(_), None) | (RateBasis::Amount, _) => rate,
            };
            let state_of = |c: &Change| match self.layouts[c.symbol.0 as usize].home {
                Home::State { seed: None } => Some(self.layouts[c.symbol.0 as usize].first + c.offset),
                _ => None,
            };
            list.push(FlatReaction {
                name: if is_reverse { format!("{name}_reverse") } else { name.to_string() },
                rate: amount_rate,
                changes: changes
                    .iter()
                    .filter(|c| c.net != 0.0)
                    .filter_map(|c| Some((state_of(c)?, sign * c.net)))
                    .collect(),
                reactants: changes
                    .iter()
                    .map(|c| (c, if is_reverse { c.net + c.reactant } else { c.reactant }))
                    .filter(|(_, n)| *n != 0.0)
                    .filter_map(|(c, n)| Some((state_of(c)?, n)))
                    .collect(),
                is_mass_action: direction.is_mass_action,
                constant,
                span: reaction.span,
            });
        }
        Some(())
    }

    /// The rate of one direction in the reference species' concentration (or amount) per time, and the constant.
    fn rate(&mut self, direction: &Direction, side: &[Term]) -> Option<(NodeId, Option<NodeId>)> {
        let law = self.settle(direction.law, Moment::Running)?;
        if !direction.is_mass_action {
            return Some((self.dag.scale(direction.factor, law), None));
        }
        let mut rate = self.dag.scale(direction.factor, law);
        for term in side {
            let offset = self.settle_member(term.symbol, &term.indices)?;
            let conc = self.driver(term, offset)?;
            let power = self.dag.constant(term.coefficient);
            let driven = self.dag.pow(conc, power);
            rate = self.dag.mul(rate, driven);
        }
        Some((rate, Some(law)))
    }

    /// The concentration by which a reactant drives mass action.
    pub(super) fn driver(&mut self, term: &Term, offset: u32) -> Option<NodeId> {
        let conc = self.settle_reference(term.symbol, offset)?;
        match self.volume_of(term.symbol, offset).filter(|_| term.is_amount) {
            Some(volume) => {
                let v = self.volume(volume)?;
                Some(self.dag.div(conc, v))
            }
            None => Some(conc),
        }
    }

    pub(super) fn settle_reference(&mut self, symbol: SymbolId, offset: u32) -> Option<NodeId> {
        loop {
            match self.reference(symbol, offset, Moment::Running) {
                Ok(node) => return Some(node),
                Err(super::lower::Stop::Failed) => return None,
                Err(super::lower::Stop::Need(definition)) => {
                    self.define(definition)?;
                }
            }
        }
    }

    /// The compartment whose volume turns this direction's rate into an amount.
    fn place(&mut self, direction: &Direction, side: &[Term], reaction: &Reaction) -> Option<Option<Place>> {
        match direction.basis {
            RateBasis::Concentration(None) => return Some(None),
            RateBasis::Concentration(Some(_)) | RateBasis::Amount => {}
        }
        for term in side.iter().chain(&reaction.reactants).chain(&reaction.products) {
            let offset = self.settle_member(term.symbol, &term.indices)?;
            if let Some(place) = self.volume_of(term.symbol, offset) {
                return Some(Some(place));
            }
        }
        Some(None)
    }

    /// E0504 where a direction that is written in concentrations touches several members of a family of compartments:
    /// by its reactants, if it is mass action, and by all that it moves otherwise.
    fn one_member(
        &mut self,
        direction: &Direction,
        side: &[Term],
        place: Option<Place>,
        changes: &[Change],
        span: Span,
    ) -> Option<()> {
        let (RateBasis::Concentration(_), Some((home, _))) = (direction.basis, place) else { return Some(()) };
        let mut touched: Vec<(SymbolId, u32)> = Vec::new();
        if direction.is_mass_action {
            for term in side {
                touched.push((term.symbol, self.settle_member(term.symbol, &term.indices)?));
            }
        } else {
            touched.extend(changes.iter().map(|c| (c.symbol, c.offset)));
        }
        for (symbol, offset) in touched {
            let Some(own) = self.volume_of(symbol, offset) else { continue };
            if own.0 != home || Some(own) == place {
                continue;
            }
            let [here, there] = [place.unwrap_or(own), own].map(|(volume, member)| {
                let indices = self.layouts[volume.0 as usize].indices(member as usize);
                member_name(&self.model.symbol(volume).name, &indices)
            });
            let title = if direction.is_mass_action {
                format!("the reactants of mass action are in `{here}` and in `{there}`")
            } else {
                format!("this rate is a concentration per time, but it moves species of `{here}` and of `{there}`")
            };
            self.diagnostics.push(
                Diagnostic::new(Code("E0504"), span, title)
                    .at("in which of the volumes?")
                    .help("write the full law as `rate law`, in amount per time"),
            );
            return None;
        }
        Some(())
    }

    /// The compartment that a member of a species is in, and which member of it: the one with the same indices.
    pub(super) fn volume_of(&self, species: SymbolId, offset: u32) -> Option<Place> {
        let SymbolKind::Species { compartment: Some(volume), .. } = self.model.symbol(species).kind else {
            return None;
        };
        let is_family = !self.layouts[volume.0 as usize].shape.is_empty();
        Some((volume, if is_family { offset } else { 0 }))
    }

    /// E0901 for a species in a family of compartments whose members are not those of the compartment.
    pub(super) fn matching_members(&mut self) -> Option<()> {
        let model = self.model;
        let mut is_good = true;
        for (id, symbol) in model.symbols() {
            let SymbolKind::Species { compartment: Some(volume), .. } = symbol.kind else { continue };
            let (own, of_volume) = (&self.layouts[id.0 as usize].shape, &self.layouts[volume.0 as usize].shape);
            if of_volume.is_empty() || own == of_volume {
                continue;
            }
            let (name, of) = (&symbol.name, model.symbol(volume));
            let ranges: Vec<String> = of_volume.iter().map(|(low, high)| format!("{low} .. {high}")).collect();
            let volume_name = &of.name;
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0901"),
                    symbol.span,
                    format!("`{name}` is in the compartments `{volume_name}`, and does not have the same members"),
                )
                .at("in which of the compartments?")
                .label(of.span, format!("declared for {}", ranges.join(", ")))
                .help(format!(
                    "give each compartment its own: `{name}` with the indices of `{volume_name}`, so that member i is in member i"
                )),
            );
            is_good = false;
        }
        is_good.then_some(())
    }

    pub(super) fn volume(&mut self, (compartment, member): Place) -> Option<NodeId> {
        self.settle_reference(compartment, member)
    }

    /// How fast one unit of stoichiometry changes a species, in its own unit: a factor and a node.
    pub(super) fn change_rate(
        &mut self,
        basis: RateBasis,
        rate: NodeId,
        place: Option<Place>,
        change: &Change,
    ) -> Option<(f64, NodeId)> {
        let Some(own) = self.volume_of(change.symbol, change.offset) else {
            return Some((change.factor, rate));
        };
        // From the unit of the rate's volume to that of the species' own volume.
        let volume_factor = place
            .and_then(|(volume, _)| self.model.symbol(volume).unit.as_ref())
            .zip(self.model.symbol(own.0).unit.as_ref())
            .and_then(|(from, to)| from.factor_to(to))
            .unwrap_or(1.0);
        match (basis, place) {
            (RateBasis::Concentration(_), Some(place)) if place == own && !change.is_amount => {
                Some((change.factor, rate))
            }
            (RateBasis::Concentration(_), place) => {
                let v = self.volume(place.unwrap_or(own))?;
                let mut node = self.dag.mul(rate, v);
                if !change.is_amount {
                    let w = self.volume(own)?;
                    node = self.dag.div(node, w);
                }
                Some((change.factor * volume_factor, node))
            }
            (RateBasis::Amount, _) => {
                let node = if change.is_amount {
                    rate
                } else {
                    let w = self.volume(own)?;
                    self.dag.div(rate, w)
                };
                Some((change.factor * volume_factor, node))
            }
        }
    }

    /// The evaluated bounds of index ranges.
    pub(super) fn shape(&mut self, ranges: &[crate::hir::model::Range]) -> Option<Vec<(i64, i64)>> {
        let mut shape = Vec::with_capacity(ranges.len());
        let mut n = 1usize;
        for range in ranges {
            let (low, high) = (self.settle_integer(range.from)?, self.settle_integer(range.to)?);
            if low > high {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0405"),
                        range.span,
                        format!("`{}` runs from {low} to {high}: it has no values", range.name),
                    )
                    .at("an empty range"),
                );
                return None;
            }
            n = n.saturating_mul((high - low + 1) as usize);
            if n > crate::limits::MAX_FAMILY {
                self.diagnostics.push(super::layout::too_large(range.span, n));
                return None;
            }
            shape.push((low, high));
        }
        Some(shape)
    }
}
