//! A compiled model as one canonical text: what it declares, its equations written out, its Jacobian, and what its
//! kernels cost. Two texts differ exactly where the compiled models do, so they are kept beside models and compared.
//!
//! Stable order, shortest round-trip numbers, no addresses, no timings, no machine.

use crate::expr::print::{Shared, number, print_shared};
use crate::expr::{Leaf, NodeId};
use crate::flat::{Distribution, FlatModel, Input, Named, Noise, Quantity};
use crate::jit::{CompileError, Compiler, Kernels, Part};
use crate::linalg::CscPattern;
use crate::syntax::ast::AssignOp;
use crate::system::{System, Trigger};
use std::fmt::Write;

/// A part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Declared quantities with units, bounds, start values and distributions.
    Symbols,
    /// Reactions and equations, written out.
    Odes,
    /// Events, breakpoints and conditions.
    Events,
    /// ∂f/∂x entry by entry.
    Jacobian,
    /// The picture of ∂f/∂x.
    Sparsity,
    /// Operations of each kernel.
    Kernels,
    /// The schedule of the right-hand side.
    Plan,
    /// Cranelift's code of the right-hand side; depends on nothing but the model.
    Clif,
}

impl View {
    /// What a snapshot consists of.
    pub const SNAPSHOT: [View; 6] =
        [View::Symbols, View::Odes, View::Events, View::Jacobian, View::Sparsity, View::Kernels];
}

/// Jacobians of more states than this are described by counts only.
const LARGEST_PICTURE: usize = 100;

/// The text of the chosen parts.
///
/// # Errors
/// Where [`View::Clif`] was asked for and Cranelift refuses.
pub fn text(kernels: &Kernels, views: &[View]) -> Result<String, CompileError> {
    let model = kernels.model();
    let mut out = format!("model {}", model.name);
    if !model.doc.is_empty() {
        let _ = write!(out, " \"{}\"", model.doc);
    }
    let unit = if model.time_unit.is_empty() { String::new() } else { format!(" [{}]", model.time_unit) };
    let _ = writeln!(out, "\ntime{unit}");
    for view in views {
        match view {
            View::Symbols => symbols(&mut out, model),
            View::Odes => odes(&mut out, model),
            View::Events => events(&mut out, model),
            View::Jacobian => jacobian(&mut out, kernels),
            View::Sparsity => sparsity(&mut out, kernels),
            View::Kernels => operations(&mut out, kernels),
            View::Plan => {
                for plan in kernels.plan(Part::Rhs) {
                    let _ = write!(out, "\nplan of the right-hand side\n{plan}");
                }
            }
            View::Clif => {
                let compiler = Compiler::new()?;
                for plan in kernels.plan(Part::Rhs) {
                    let _ = write!(out, "\ncode of the right-hand side\n{}", compiler.ir_text(&plan)?);
                }
            }
        }
    }
    Ok(out)
}

/// The name of a variable of `model`.
pub fn leaf_name(model: &FlatModel, leaf: Leaf) -> String {
    let name = match leaf {
        Leaf::Time => Some("time"),
        Leaf::State(k) => model.states.get(k as usize).map(|s| s.quantity.name.as_str()),
        Leaf::Param(k) => model.params.get(k as usize).map(|p| p.quantity.name.as_str()),
        Leaf::Input(k) => model.inputs.get(k as usize).map(|i| i.quantity.name.as_str()),
        Leaf::Disturbance(k) => model.disturbances.get(k as usize).map(|d| d.quantity.name.as_str()),
        Leaf::Direction(_) | Leaf::DirectionTime => None,
    };
    name.map_or_else(|| format!("{leaf:?}"), str::to_string)
}

fn written(model: &FlatModel, nodes: &[NodeId]) -> Shared {
    print_shared(&model.dag, nodes, |leaf| leaf_name(model, leaf))
}

/// `name [unit]`
fn titled(quantity: &Quantity) -> String {
    super::table::header(&quantity.name, &quantity.unit)
}

/// ` in low .. high`, open ends left out, nothing where both are open.
fn range(quantity: &Quantity) -> String {
    let end = |value: f64| if value.is_finite() { number(value) } else { String::new() };
    if quantity.low == f64::NEG_INFINITY && quantity.high == f64::INFINITY {
        return String::new();
    }
    format!(" in {} .. {}", end(quantity.low), end(quantity.high)).trim_end().to_string()
}

fn doc(quantity: &Quantity) -> String {
    if quantity.doc.is_empty() { String::new() } else { format!(" \"{}\"", quantity.doc) }
}

/// A distribution as it is written in a model.
pub fn distribution(distribution: &Distribution) -> String {
    match *distribution {
        Distribution::Normal { mean, sd } => format!("Normal(mean = {}, sd = {})", number(mean), number(sd)),
        Distribution::LogNormal { median, gsd } => {
            format!("LogNormal(median = {}, gsd = {})", number(median), number(gsd))
        }
        Distribution::Uniform { low, high } => format!("Uniform({}, {})", number(low), number(high)),
        Distribution::LogUniform { low, high } => format!("LogUniform({}, {})", number(low), number(high)),
        Distribution::Laplace { location, scale } => {
            format!("Laplace(location = {}, scale = {})", number(location), number(scale))
        }
    }
}

fn heading(out: &mut String, words: &str, is_empty: bool) -> bool {
    if !is_empty {
        let _ = writeln!(out, "\n{words}");
    }
    !is_empty
}

fn symbols(out: &mut String, model: &FlatModel) {
    let starts: Vec<NodeId> = model.states.iter().map(|state| state.initial).collect();
    let starts = written(model, &starts);
    heading(out, "states", model.states.is_empty());
    write_temporaries(out, &starts);
    for (state, start) in model.states.iter().zip(&starts.roots) {
        let kind = match (state.is_discrete, state.is_species) {
            (true, _) => " (discrete)",
            (false, true) => " (species)",
            (false, false) => "",
        };
        let quantity = &state.quantity;
        let _ = writeln!(out, "  {} = {start}{}{kind}{}", titled(quantity), range(quantity), doc(quantity));
    }
    heading(out, "params", model.params.is_empty());
    for param in &model.params {
        let quantity = &param.quantity;
        let prior = param.prior.as_ref().map_or(String::new(), |prior| format!(" ~ {}", distribution(prior)));
        let value = number(param.value);
        let _ = writeln!(out, "  {} = {value}{}{prior}{}", titled(quantity), range(quantity), doc(quantity));
    }
    inputs(out, "inputs", &model.inputs);
    inputs(out, "disturbances", &model.disturbances);
    named(out, "lets", model, &model.lets);
    named(out, "safe (inside where not negative)", model, &model.safe);
    let nodes: Vec<NodeId> = model.outputs.clone();
    let texts = written(model, &nodes);
    heading(out, "observables", model.observables.is_empty());
    write_temporaries(out, &texts);
    for observable in &model.observables {
        let text = |output: usize| texts.roots.get(output).map_or("", String::as_str);
        let noise = match (observable.noise, observable.spread_output) {
            (Some(noise), Some(output)) => {
                let (name, argument) = match noise {
                    Noise::Normal => ("Normal", "sd"),
                    Noise::LogNormal => ("LogNormal", "gsd"),
                    Noise::Laplace => ("Laplace", "scale"),
                };
                format!(" ~ {name}({argument} = {})", text(output))
            }
            (None, _) | (_, None) => String::new(),
        };
        let quantity = &observable.quantity;
        let _ = writeln!(out, "  {} = {}{noise}{}", titled(quantity), text(observable.value_output), doc(quantity));
    }
    heading(out, "conserved", model.conserved.is_empty());
    for law in &model.conserved {
        let _ = writeln!(out, "  {}", law.text);
    }
}

fn inputs(out: &mut String, words: &str, list: &[Input]) {
    heading(out, words, list.is_empty());
    for input in list {
        let quantity = &input.quantity;
        let _ = writeln!(out, "  {} = {}{}{}", titled(quantity), number(input.value), range(quantity), doc(quantity));
    }
}

fn named(out: &mut String, words: &str, model: &FlatModel, list: &[Named]) {
    let nodes: Vec<NodeId> = list.iter().map(|item| item.node).collect();
    let texts = written(model, &nodes);
    heading(out, words, list.is_empty());
    write_temporaries(out, &texts);
    for (item, text) in list.iter().zip(&texts.roots) {
        let _ = writeln!(out, "  {} = {text}{}", titled(&item.quantity), doc(&item.quantity));
    }
}

fn write_temporaries(out: &mut String, texts: &Shared) {
    for (name, text) in &texts.temporaries {
        let _ = writeln!(out, "  {name} = {text}");
    }
}

fn odes(out: &mut String, model: &FlatModel) {
    let rates: Vec<NodeId> = model.reactions.iter().map(|reaction| reaction.rate).collect();
    let texts = written(model, &rates);
    heading(out, "reactions", model.reactions.is_empty());
    write_temporaries(out, &texts);
    for (reaction, rate) in model.reactions.iter().zip(&texts.roots) {
        let change = |wanted: fn(f64) -> bool| {
            let terms = reaction.changes.iter().filter(|(_, n)| wanted(*n));
            let names = terms.map(|(state, n)| {
                let name = leaf_name(model, Leaf::State(*state));
                if n.abs() == 1.0 { name } else { format!("{} {name}", number(n.abs())) }
            });
            let joined = names.collect::<Vec<_>>().join(" + ");
            if joined.is_empty() { "0".to_string() } else { joined }
        };
        let (from, to) = (change(|n| n < 0.0), change(|n| n > 0.0));
        let law = if reaction.is_mass_action { "mass action, " } else { "" };
        let _ = writeln!(out, "  {}: {from} -> {to}  ({law}rate {rate})", reaction.name);
    }
    let rhs: Vec<NodeId> = model.states.iter().map(|state| state.rhs).collect();
    let texts = written(model, &rhs);
    heading(out, "equations", model.states.is_empty());
    write_temporaries(out, &texts);
    for (state, text) in model.states.iter().zip(&texts.roots).filter(|(state, _)| !state.is_discrete) {
        let _ = writeln!(out, "  {}' = {text}", state.quantity.name);
    }
    if model.noises.is_empty() {
        return;
    }
    let nodes: Vec<NodeId> = model.diffusion.iter().map(|&(.., g)| g).collect();
    let texts = written(model, &nodes);
    heading(out, "noise", false);
    write_temporaries(out, &texts);
    for (&(state, noise, _), text) in model.diffusion.iter().zip(&texts.roots) {
        let (state, noise) = (&model.states[state as usize].quantity.name, &model.noises[noise as usize].name);
        let _ = writeln!(out, "  {state}' has ({text})*{noise}'");
    }
}

fn events(out: &mut String, model: &FlatModel) {
    let times = written(model, &model.times);
    let roots = written(model, &model.roots);
    heading(out, "events", model.events.is_empty());
    for event in &model.events {
        let time = |idx: usize| times.roots.get(idx).map_or("", String::as_str);
        let root = |idx: usize| roots.roots.get(idx).map_or("", String::as_str);
        let trigger = match event.event.trigger {
            Trigger::At { time_idx } => format!("at {}", time(time_idx)),
            Trigger::Every { from_idx, period_idx, until_idx } => {
                let until = until_idx.map_or(String::new(), |idx| format!(" until {}", time(idx)));
                format!("every {} from {}{until}", time(period_idx), time(from_idx))
            }
            Trigger::Rising { root_idx } => format!("rising through zero: {}", root(root_idx)),
            Trigger::Crossing { root_idx } => format!("crossing zero: {}", root(root_idx)),
        };
        let _ = writeln!(out, "  {} | {trigger}", event.description);
        let values: Vec<NodeId> = event.jumps.iter().map(|jump| jump.value).collect();
        let values = written(model, &values);
        write_temporaries(out, &values);
        for (jump, value) in event.jumps.iter().zip(&values.roots) {
            let sign = match jump.op {
                AssignOp::Set => ":=",
                AssignOp::Add => "+=",
                AssignOp::Subtract => "-=",
                AssignOp::Multiply => "*=",
            };
            let _ = writeln!(out, "    {} {sign} {value}", leaf_name(model, Leaf::State(jump.state)));
        }
        for dilution in &event.dilutions {
            let name = |state| leaf_name(model, Leaf::State(state));
            let (species, volume) = (name(dilution.state), name(dilution.volume));
            let _ = writeln!(out, "    {species} *= {volume} before / {volume} after");
        }
    }
    if !times.temporaries.is_empty() || !roots.temporaries.is_empty() {
        let _ = writeln!(out, "  where");
        write_temporaries(out, &times);
        write_temporaries(out, &roots);
    }
}

fn jacobian(out: &mut String, kernels: &Kernels) {
    let model = kernels.model();
    let (pattern, nodes) = kernels.jacobian_nodes();
    let texts = {
        let dag = kernels.dag();
        print_shared(&dag, nodes, |leaf| leaf_name(model, leaf))
    };
    heading(out, "jacobian", nodes.is_empty());
    write_temporaries(out, &texts);
    let name = |k: usize| leaf_name(model, Leaf::State(k as u32));
    for col in 0..pattern.n_cols() {
        for entry in pattern.col_ptr()[col]..pattern.col_ptr()[col + 1] {
            let row = pattern.row_idx()[entry];
            let _ = writeln!(out, "  d {}' / d {} = {}", name(row), name(col), texts.roots[entry]);
        }
    }
}

fn sparsity(out: &mut String, kernels: &Kernels) {
    let pattern = kernels.jacobian_pattern();
    let n = pattern.n_rows();
    let percent = if n == 0 { 0.0 } else { 100.0 * pattern.nnz() as f64 / (n * n) as f64 };
    let _ = writeln!(out, "\nsparsity\n  {n} x {n}, {} entries ({percent:.1} %)", pattern.nnz());
    if n <= LARGEST_PICTURE {
        for row in picture(pattern) {
            let _ = writeln!(out, "  {row}");
        }
    }
}

fn picture(pattern: &CscPattern) -> Vec<String> {
    let mut rows = vec![vec!['.'; pattern.n_cols()]; pattern.n_rows()];
    for (col, ends) in pattern.col_ptr().windows(2).enumerate() {
        for &row in &pattern.row_idx()[ends[0]..ends[1]] {
            rows[row][col] = 'x';
        }
    }
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

fn operations(out: &mut String, kernels: &Kernels) {
    let _ = writeln!(out, "\nkernels");
    for part in Part::ALL {
        let counts = kernels.op_counts(part);
        if counts.total() > 0 {
            let _ = writeln!(out, "  {}: {counts}", part.name());
        }
    }
}
