//! Reactions counted one by one: how many items a unit of each species is, and the propensity of each direction.
//!
//! A species of concentration c in a volume V has n = c V N_A items. Mass action `@ k` on `m A` is `k Π (c − j/(V N_A))`
//! over j = 0 .. m − 1, so that a pair needs two items and no factor is hidden; any other law is read as it stands. The
//! propensity follows from what a direction does to one of its species: `a = (dn/dt)/ν`.

use super::FlatModel;
use super::layout::Home;
use super::lower::{Builder, DerivativeSource, Moment};
use super::network::{Change, Place};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Dag, Leaf, Node, NodeId};
use crate::hir::model::{Direction, Reaction, Term};
use crate::hir::{SymbolId, SymbolKind};
use crate::system::Trigger;
use crate::units::{Unit, Units};

/// How one direction of a reaction is counted.
#[derive(Debug, Clone, PartialEq)]
pub enum JumpLaw {
    /// `constant · Π n (n − 1) … (n − m + 1)` over `(state, m)`, n in items; the constant holds no moving state.
    MassAction {
        /// In items per time.
        constant: NodeId,
        /// `(state, m)`, each state once.
        reactants: Vec<(u32, u32)>,
    },
    /// A function of the state in its own units, in items per time.
    Function(NodeId),
    /// It changes no species that is counted.
    Idle,
    /// It cannot be counted, for this reason.
    Refused(String, String),
}

/// What methods that count items need.
#[derive(Debug, Clone, Default)]
pub struct Jumps {
    /// Items of one unit of each state: a function of volumes; `None` where nothing is counted.
    pub counts: Vec<Option<NodeId>>,
    /// One for each of [`FlatModel::reactions`].
    pub laws: Vec<JumpLaw>,
}

/// What is collected while a model is flattened.
pub(super) struct Counting {
    /// Units of one item: molecules, cells.
    units: Vec<Unit>,
    pub laws: Vec<JumpLaw>,
}

impl Counting {
    pub fn new() -> Counting {
        let table = Units::standard();
        Counting {
            units: ["items", "cells"].iter().filter_map(|name| table.parse(name).ok()).collect(),
            laws: Vec::new(),
        }
    }

    /// How many items one of this unit is, where it counts items.
    fn items(&self, unit: &Unit) -> Option<f64> {
        if unit.is_dimensionless() {
            return unit.scale_to_one();
        }
        self.units.iter().find_map(|one| unit.factor_to(one))
    }
}

impl Builder<'_> {
    /// Counts of all states, beside the laws collected with the network.
    pub(super) fn jumps(&mut self, flat: &mut FlatModel) -> Option<()> {
        let Some(laws) = self.counting.as_mut().map(|counting| std::mem::take(&mut counting.laws)) else {
            return Some(());
        };
        let mut counts = vec![None; flat.states.len()];
        for (state, id, offset) in self.members(|layout| match layout.home {
            Home::State { .. } => Some(layout.first),
            Home::Const
            | Home::Param
            | Home::Input
            | Home::Disturbance
            | Home::Let
            | Home::Observable
            | Home::Noise => None,
        }) {
            if let SymbolKind::Species { is_fixed: false, .. } = self.model.symbol(id).kind {
                counts[state as usize] = self.items_of(id, offset as u32)?;
            }
        }
        flat.jumps = Some(Jumps { counts, laws });
        Some(())
    }

    /// Items of one unit of a species: outer `None` for a fault, inner for a unit that counts nothing.
    fn items_of(&mut self, symbol: SymbolId, offset: u32) -> Option<Option<NodeId>> {
        let unit = self.model.symbol(symbol).unit.clone();
        let volume = if self.is_amount(symbol) { None } else { self.volume_of(symbol, offset) };
        let volume_unit = volume.and_then(|(volume, _)| self.model.symbol(volume).unit.clone());
        let items = |unit: &Unit| self.counting.as_ref().and_then(|counting| counting.items(unit));
        let factor = match (unit, volume, volume_unit) {
            (None, ..) => Some(1.0),
            (Some(unit), Some(_), Some(volume)) => items(&unit.mul(&volume)),
            (Some(unit), None, _) => items(&unit),
            (Some(_), Some(_), None) => None,
        };
        let Some(factor) = factor else { return Some(None) };
        Some(Some(match volume {
            Some(volume) => {
                let v = self.volume(volume)?;
                self.dag.scale(factor, v)
            }
            None => self.dag.constant(factor),
        }))
    }

    /// How one direction is counted; `rate` is its rate as it enters the equations.
    pub(super) fn jump_law(
        &mut self,
        reaction: &Reaction,
        direction: &Direction,
        side: &[Term],
        place: Option<Place>,
        rate: NodeId,
        changes: &[Change],
    ) -> Option<JumpLaw> {
        if reaction.is_net {
            return Some(refused(
                format!("`{}` has one law for both directions: how often each happens is not said", reaction.name),
                "write two laws, `rate forward, backward`".to_string(),
            ));
        }
        let is_moved =
            |c: &&Change| c.net != 0.0 && matches!(self.layouts[c.symbol.0 as usize].home, Home::State { seed: None });
        let moved: Vec<&Change> = changes.iter().filter(is_moved).collect();
        let Some(first) = moved.first() else { return Some(JumpLaw::Idle) };
        let mut count = None;
        for change in moved.iter().rev() {
            let name = self.model.symbol(change.symbol).name.clone();
            if change.net.fract() != 0.0 {
                return Some(refused(
                    format!("`{}` changes `{name}` by {} items at a time", reaction.name, change.net),
                    "write whole coefficients, and put what is left over into the rate".to_string(),
                ));
            }
            count = self.items_of(change.symbol, change.offset)?;
            if count.is_none() {
                return Some(self.uncounted(change.symbol));
            }
        }
        let Some(count) = count else { return Some(JumpLaw::Idle) };
        if !direction.is_mass_action {
            let (factor, node) = self.change_rate(direction.basis, rate, place, first)?;
            let a = self.dag.mul(node, count);
            return Some(JumpLaw::Function(self.dag.scale(factor, a)));
        }
        let law = self.settle(direction.law, Moment::Running)?;
        let is_constant = !self.is_moving(law);
        let mut sides: Vec<(SymbolId, u32, &Term, u32)> = Vec::new();
        for term in side {
            let offset = self.settle_member(term.symbol, &term.indices)?;
            if term.coefficient.fract() != 0.0 || term.coefficient > f64::from(MOST_ORDER) {
                let name = &self.model.symbol(term.symbol).name;
                return Some(refused(
                    format!("`{}` takes {} items of `{name}` at a time", reaction.name, term.coefficient),
                    "write whole coefficients up to 16, or the full law as `rate law`".to_string(),
                ));
            }
            match sides.iter_mut().find(|(symbol, known, ..)| *symbol == term.symbol && *known == offset) {
                Some((.., m)) => *m += term.coefficient as u32,
                None => sides.push((term.symbol, offset, term, term.coefficient as u32)),
            }
        }
        let mut rate = self.dag.scale(direction.factor, law);
        let mut reactants = Vec::new();
        for (symbol, offset, term, m) in sides {
            let Some(items) = self.items_of(symbol, offset)? else { return Some(self.uncounted(symbol)) };
            // What one item is as a concentration: 1/(V N_A).
            let mut one = self.dag.div(Dag::ONE, items);
            if let Some(volume) = self.volume_of(symbol, offset).filter(|_| term.is_amount) {
                let v = self.volume(volume)?;
                one = self.dag.div(one, v);
            }
            let layout = &self.layouts[symbol.0 as usize];
            if let (Home::State { seed: None }, true) = (layout.home, is_constant) {
                reactants.push((layout.first + offset, m));
                let power = self.dag.powi(one, m as i32);
                rate = self.dag.mul(rate, power);
                continue;
            }
            let conc = self.driver(term, offset)?;
            for k in 0..m {
                let left = self.dag.sum(&[(1.0, conc), (-f64::from(k), one)]);
                rate = self.dag.mul(rate, left);
            }
        }
        let (factor, node) = self.change_rate(direction.basis, rate, place, first)?;
        let a = self.dag.mul(node, count);
        let a = self.dag.scale(factor, a);
        reactants.sort_unstable();
        Some(if is_constant { JumpLaw::MassAction { constant: a, reactants } } else { JumpLaw::Function(a) })
    }

    fn uncounted(&self, symbol: SymbolId) -> JumpLaw {
        let items = |unit: &Unit| self.counting.as_ref().and_then(|counting| counting.items(unit));
        let symbol = self.model.symbol(symbol);
        let unit = symbol.unit.as_ref().map(ToString::to_string).unwrap_or_default();
        let help = match (&symbol.unit, symbol.kind) {
            (Some(unit), SymbolKind::Species { compartment: None, .. })
                if Units::standard().parse("L").is_ok_and(|litre| items(&unit.mul(&litre)).is_some()) =>
            {
                format!("say how large the space is: `compartment V [fL] = 1 {{ {} [{unit}] .. }}`", symbol.name)
            }
            _ => {
                "give it an amount or a concentration of items: `[items]`, `[nmol]`, or `[uM]` in a compartment".into()
            }
        };
        refused(format!("`{}` in [{unit}] says nothing about how many items there are", symbol.name), help)
    }

    /// True where a node depends on a state that is not discrete.
    fn is_moving(&self, node: NodeId) -> bool {
        self.dag.reachable(&[node]).iter().any(|id| match self.dag.node(*id) {
            Node::Leaf(Leaf::State(state)) => !matches!(self.derivatives[state as usize], DerivativeSource::None),
            _ => false,
        })
    }
}

/// Highest order of a reactant that is counted.
const MOST_ORDER: u32 = 16;

fn refused(why: String, help: String) -> JumpLaw {
    JumpLaw::Refused(why, help)
}

impl FlatModel {
    /// Reports what keeps the model from being counted: E0508 for states and reactions, E0509 for rates and conditions
    /// that change continuously in time. The model was made by [`super::flatten_counting`].
    pub fn check_jumps(&self, diagnostics: &mut Diagnostics) {
        let Some(jumps) = &self.jumps else { return };
        for noise in &self.noises {
            let title = format!("`{}` is noise, and reactions that are counted bring their own", noise.name);
            let help = "follow it with `em` or `milstein`, or remove it";
            diagnostics.push(Diagnostic::new(Code("E0508"), noise.span, title).at("declared here").help(help));
        }
        for state in self.states.iter().filter(|state| !state.is_discrete) {
            let name = &state.quantity.name;
            if state.equation.is_some() || !state.is_species {
                let span = state.equation.unwrap_or(state.quantity.span);
                let title = format!("`{name}` moves by an equation, and only reactions can be counted");
                let help = "write it as reactions, or as a `let` or `discrete` quantity where it follows from others";
                diagnostics.push(Diagnostic::new(Code("E0508"), span, title).at("moves continuously").help(help));
            }
        }
        for (reaction, law) in self.reactions.iter().zip(&jumps.laws) {
            let node = match law {
                JumpLaw::Refused(why, help) => {
                    diagnostics.push(
                        Diagnostic::new(Code("E0508"), reaction.span, why.clone())
                            .at("this reaction")
                            .help(help.clone()),
                    );
                    continue;
                }
                JumpLaw::Idle => continue,
                JumpLaw::MassAction { constant, .. } => *constant,
                JumpLaw::Function(propensity) => *propensity,
            };
            if is_clocked(&self.dag, node) {
                let title = format!("the rate of `{}` changes continuously in time", reaction.name);
                diagnostics.push(
                    Diagnostic::new(Code("E0509"), reaction.span, title)
                        .at("reads `time`")
                        .help("make it constant between instants: `if time < 5 [s] then a else b`, or a parameter that an event sets"),
                );
            }
        }
        for event in &self.events {
            let root = match event.event.trigger {
                Trigger::Rising { root_idx } | Trigger::Crossing { root_idx } => self.roots[root_idx],
                Trigger::At { .. } | Trigger::Every { .. } => continue,
            };
            let is_timed = |id: &NodeId| matches!(self.dag.node(*id), Node::Leaf(Leaf::Time));
            if self.dag.reachable(&[root]).iter().any(is_timed) {
                let title = format!("`{}` depends on states and time together", event.description);
                diagnostics.push(
                    Diagnostic::new(Code("E0509"), event.span, title)
                        .at("could become true between two reactions")
                        .help("part it: a condition of the state alone, or a time known in advance"),
                );
            }
        }
    }
}

/// True where a value changes in time between breakpoints: `time` stands outside of the conditions of `if`.
fn is_clocked(dag: &Dag, node: NodeId) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut stack = vec![node];
    while let Some(id) = stack.pop() {
        if !seen.insert(id) {
            continue;
        }
        match dag.node(id) {
            Node::Leaf(Leaf::Time) => return true,
            Node::Select { then, otherwise, .. } => stack.extend([then, otherwise]),
            Node::Const(_)
            | Node::Leaf(_)
            | Node::Unary(..)
            | Node::Binary(..)
            | Node::PowI(..)
            | Node::Sum(_)
            | Node::Compare(..) => dag.for_each_operand(id, |operand| stack.push(operand)),
        }
    }
    false
}
