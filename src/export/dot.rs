//! A model as a graph for Graphviz: the reaction network, or what depends on what where there are no reactions.
//!
//! Species are ellipses, reactions boxes, inputs diamonds. Solid edges are what a reaction takes and makes, with the
//! number where it is not 1; dashed edges with a dot are what a rate depends on without taking it. A plain arrow
//! between states says that the derivative of the second contains the first.

use crate::expr::print::number;
use crate::expr::{Leaf, Node, NodeId};
use crate::flat::{FlatModel, Reaction};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The graph.
pub fn text(model: &FlatModel) -> String {
    let mut edges = String::new();
    let mut used: BTreeSet<Place> = BTreeSet::new();
    for (idx, reaction) in model.reactions.iter().enumerate() {
        of_reaction(&mut edges, model, idx, reaction, &mut used);
    }
    for (k, state) in model.states.iter().enumerate() {
        // What a reaction moves has its derivative from the rates, which are drawn already.
        let is_moved = model.reactions.iter().any(|r| r.changes.iter().any(|(moved, _)| *moved as usize == k));
        if state.is_discrete || is_moved {
            continue;
        }
        used.insert(Place::State(k as u32));
        for place in depends_on(model, state.rhs) {
            let _ = writeln!(edges, "  {} -> s{k};", place.id());
            used.insert(place);
        }
    }
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n", quoted(&model.name));
    for (k, state) in model.states.iter().enumerate() {
        if !state.is_discrete || used.contains(&Place::State(k as u32)) {
            let style = if state.is_discrete { ", style=dotted" } else { "" };
            let _ = writeln!(out, "  s{k} [label={}, shape=ellipse{style}];", quoted(&state.quantity.name));
        }
    }
    for place in &used {
        let name = match place {
            Place::State(_) => continue,
            Place::Input(k) => model.inputs.get(*k as usize).map(|input| &input.quantity.name),
            Place::Disturbance(k) => model.disturbances.get(*k as usize).map(|input| &input.quantity.name),
        };
        let _ = writeln!(out, "  {} [label={}, shape=diamond];", place.id(), quoted(name.map_or("", String::as_str)));
    }
    for (idx, reaction) in model.reactions.iter().enumerate() {
        let _ = writeln!(out, "  r{idx} [label={}, shape=box];", quoted(&reaction.name));
    }
    out.push_str(&edges);
    out.push_str("}\n");
    out
}

/// What an edge may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    State(u32),
    Input(u32),
    Disturbance(u32),
}

impl Place {
    fn id(self) -> String {
        match self {
            Place::State(k) => format!("s{k}"),
            Place::Input(k) => format!("u{k}"),
            Place::Disturbance(k) => format!("d{k}"),
        }
    }
}

fn of_reaction(out: &mut String, model: &FlatModel, idx: usize, reaction: &Reaction, used: &mut BTreeSet<Place>) {
    let label = |n: f64| if n.abs() == 1.0 { String::new() } else { format!(" [label={}]", quoted(&number(n.abs()))) };
    for (state, n) in &reaction.changes {
        used.insert(Place::State(*state));
        if *n < 0.0 {
            let _ = writeln!(out, "  s{state} -> r{idx}{};", label(*n));
        } else {
            let _ = writeln!(out, "  r{idx} -> s{state}{};", label(*n));
        }
    }
    for place in depends_on(model, reaction.rate) {
        let is_taken = matches!(place, Place::State(k) if reaction.changes.iter().any(|(s, n)| *s == k && *n < 0.0));
        if !is_taken {
            let _ = writeln!(out, "  {} -> r{idx} [style=dashed, arrowhead=odot];", place.id());
            used.insert(place);
        }
    }
}

/// The states, inputs and disturbances in an expression.
fn depends_on(model: &FlatModel, node: NodeId) -> BTreeSet<Place> {
    let of = |id: NodeId| match model.dag.node(id) {
        Node::Leaf(Leaf::State(k)) => Some(Place::State(k)),
        Node::Leaf(Leaf::Input(k)) => Some(Place::Input(k)),
        Node::Leaf(Leaf::Disturbance(k)) => Some(Place::Disturbance(k)),
        _ => None,
    };
    model.dag.reachable(&[node]).into_iter().filter_map(of).collect()
}

/// Text in quotes; Graphviz reads a backslash before anything but a quote as a command of layout.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
