//! A model as a LaTeX document: the table of its symbols, its reactions and its equations.
//!
//! The document needs `amsmath` and `longtable` only. `let`s and rates stand under their names, so the equations read
//! as the model does; other shared parts are called w. Every name and text is escaped.

mod formula;
mod names;
pub mod task;

use crate::export::snapshot::leaf_name;
use crate::expr::{Leaf, Node, NodeId};
use crate::flat::{FlatModel, Noise, Quantity};
use formula::{Formulas, formulas};
use std::collections::HashMap;
use std::fmt::Write;

/// The parts of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The table of symbols.
    pub symbols: bool,
    /// Reactions and equations.
    pub equations: bool,
}

/// What stands before the text of every document.
fn beginning() -> String {
    String::from(
        "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage[T1]{fontenc}\n\
         \\usepackage[margin=2cm]{geometry}\n\\usepackage{amsmath}\n\\usepackage{longtable}\n\
         \\allowdisplaybreaks\n\\begin{document}\n",
    )
}

/// The document.
pub fn text(model: &FlatModel, parts: Parts) -> String {
    let mut out = beginning();
    let _ = writeln!(out, "\\section*{{{}}}", names::text(&model.name));
    if !model.doc.is_empty() {
        let _ = writeln!(out, "{}", names::text(&model.doc));
    }
    if parts.symbols {
        symbols(&mut out, model);
    }
    if parts.equations {
        equations(&mut out, model, &mut 0);
    }
    out.push_str("\\end{document}\n");
    out
}

fn leaf(model: &FlatModel, leaf: Leaf) -> String {
    match leaf {
        Leaf::Time => "t".to_string(),
        other => names::symbol(&leaf_name(model, other)),
    }
}

/// The names of `let`s and rates, as far as they are more than a number or a variable.
fn named(model: &FlatModel) -> HashMap<NodeId, String> {
    let lets = model.lets.iter().map(|item| (item.node, names::symbol(&item.quantity.name)));
    let rates = model.reactions.iter().map(|reaction| (reaction.rate, rate_name(&reaction.name)));
    let mut named = HashMap::new();
    for (node, name) in lets.chain(rates) {
        if !matches!(model.dag.node(node), Node::Const(_) | Node::Leaf(_)) {
            named.entry(node).or_insert(name);
        }
    }
    named
}

fn rate_name(reaction: &str) -> String {
    format!("v_{{\\text{{{}}}}}", names::text(reaction))
}

fn symbols(out: &mut String, model: &FlatModel) {
    out.push_str(
        "\\subsection*{Symbols}\n\\begin{longtable}{lllrp{5cm}}\n\
         symbol & name & unit & value & meaning \\\\ \\hline\n\\endhead\n",
    );
    let mut row = |quantity: &Quantity, value: &str, meaning: &str| {
        let unit = if quantity.unit.is_empty() { String::new() } else { format!("${}$", names::unit(&quantity.unit)) };
        let value = if value.is_empty() { String::new() } else { format!("${value}$") };
        let meaning = if quantity.doc.is_empty() { meaning } else { &quantity.doc };
        let _ = writeln!(
            out,
            "${}$ & {} & {unit} & {value} & {} \\\\",
            names::symbol(&quantity.name),
            names::text(&quantity.name),
            names::text(meaning)
        );
    };
    for state in &model.states {
        let kind = match (state.is_discrete, state.is_species) {
            (true, _) => "changed by events",
            (false, true) => "species",
            (false, false) => "state",
        };
        // A start value that is more than a number stands among the equations.
        let value = model.dag.as_const(state.initial).map_or(String::new(), names::number);
        row(&state.quantity, &value, kind);
    }
    for param in &model.params {
        row(&param.quantity, &names::number(param.value), "parameter");
    }
    for input in &model.inputs {
        row(&input.quantity, &names::number(input.value), "input");
    }
    for input in &model.disturbances {
        row(&input.quantity, &names::number(input.value), "disturbance");
    }
    for item in &model.lets {
        row(&item.quantity, "", "see the equations");
    }
    for observable in &model.observables {
        row(&observable.quantity, "", "observed");
    }
    out.push_str("\\end{longtable}\n");
    if !model.time_unit.is_empty() {
        let _ = writeln!(out, "Time $t$ is in ${}$.", names::unit(&model.time_unit));
    }
}

/// An `align` of equations with the shared parts before them; nothing where there are none.
fn align(out: &mut String, heading: &str, sides: &[String], found: &Formulas) {
    let shared = found.temporaries.iter().map(|(name, text)| (name, text));
    let rows: Vec<String> =
        shared.chain(sides.iter().zip(&found.roots)).map(|(side, text)| format!("  {side} &= {text}")).collect();
    if !rows.is_empty() {
        let _ = writeln!(out, "\\subsection*{{{heading}}}\n\\begin{{align}}\n{}\n\\end{{align}}", rows.join(" \\\\\n"));
    }
}

/// Names of shared parts go on from number `n_shared`.
fn equations(out: &mut String, model: &FlatModel, n_shared: &mut usize) {
    let all = named(model);
    let mut write = |nodes: &[NodeId]| formulas(&model.dag, nodes, &all, &|variable| leaf(model, variable), n_shared);
    schemes(out, model);
    let rates: Vec<NodeId> = model.reactions.iter().map(|reaction| reaction.rate).collect();
    let sides: Vec<String> = model.reactions.iter().map(|reaction| rate_name(&reaction.name)).collect();
    align(out, "Rates", &sides, &write(&rates));

    let lets: Vec<NodeId> = model.lets.iter().map(|item| item.node).collect();
    let sides: Vec<String> = model.lets.iter().map(|item| names::symbol(&item.quantity.name)).collect();
    align(out, "Definitions", &sides, &write(&lets));

    let moving: Vec<_> = model.states.iter().filter(|state| !state.is_discrete).collect();
    let rhs: Vec<NodeId> = moving.iter().map(|state| state.rhs).collect();
    let sides: Vec<String> = moving
        .iter()
        .map(|state| format!("\\frac{{\\mathrm{{d}} {}}}{{\\mathrm{{d}} t}}", names::symbol(&state.quantity.name)))
        .collect();
    align(out, "Equations", &sides, &write(&rhs));

    let noise: Vec<NodeId> = model.diffusion.iter().map(|&(.., g)| g).collect();
    let sides: Vec<String> = model
        .diffusion
        .iter()
        .map(|&(state, noise, _)| {
            let state = names::symbol(&model.states[state as usize].quantity.name);
            format!("g_{{{state},{}}}", names::symbol(&model.noises[noise as usize].name))
        })
        .collect();
    align(out, "Noise, as factors of white noise", &sides, &write(&noise));

    let started: Vec<_> = model.states.iter().filter(|state| model.dag.as_const(state.initial).is_none()).collect();
    let nodes: Vec<NodeId> = started.iter().map(|state| state.initial).collect();
    let sides: Vec<String> =
        started.iter().map(|state| format!("{}\\big|_{{t=0}}", names::symbol(&state.quantity.name))).collect();
    align(out, "Start values", &sides, &write(&nodes));

    let medians: Vec<NodeId> =
        model.observables.iter().filter_map(|o| model.outputs.get(o.value_output).copied()).collect();
    let sides: Vec<String> = model.observables.iter().map(|o| names::symbol(&o.quantity.name)).collect();
    align(out, "Observables (medians)", &sides, &write(&medians));

    let noisy: Vec<_> = model.observables.iter().filter_map(|o| Some((o, o.noise?, o.spread_output?))).collect();
    let spreads: Vec<NodeId> = noisy.iter().filter_map(|(_, _, output)| model.outputs.get(*output).copied()).collect();
    let sides: Vec<String> = noisy
        .iter()
        .map(|(observable, noise, _)| {
            let what = match noise {
                Noise::Normal => "sd",
                Noise::LogNormal => "gsd",
                Noise::Laplace => "scale",
            };
            format!("\\operatorname{{{what}}}\\left({}\\right)", names::symbol(&observable.quantity.name))
        })
        .collect();
    align(out, "Errors of measurement", &sides, &write(&spreads));
}

/// The reactions as chemists write them.
fn schemes(out: &mut String, model: &FlatModel) {
    if model.reactions.is_empty() {
        return;
    }
    let rows: Vec<String> = model
        .reactions
        .iter()
        .map(|reaction| {
            let side = |wanted: fn(f64) -> bool| {
                let terms = reaction.changes.iter().filter(|(_, n)| wanted(*n)).map(|(state, n)| {
                    let name = leaf(model, Leaf::State(*state));
                    if n.abs() == 1.0 { name } else { format!("{} \\, {name}", names::number(n.abs())) }
                });
                let joined = terms.collect::<Vec<_>>().join(" + ");
                if joined.is_empty() { "\\emptyset".to_string() } else { joined }
            };
            let (from, to) = (side(|n| n < 0.0), side(|n| n > 0.0));
            format!("  \\text{{{}}}&:\\quad {from} \\longrightarrow {to}", names::text(&reaction.name))
        })
        .collect();
    let _ = writeln!(out, "\\subsection*{{Reactions}}\n\\begin{{align}}\n{}\n\\end{{align}}", rows.join(" \\\\\n"));
}
