//! A task as a LaTeX document: the problem, its terms one below the other, and the model that it is subject to.

use super::{Parts, align, equations, leaf, named, names, symbols};
use crate::expr::{Leaf, Node, NodeId};
use crate::flat::task::{CostTerm, FlatTask, Keep, When};
use crate::system::Softness;
use std::fmt::Write;

use super::formula::formulas;

/// Terms of a line of the objective.
const TERMS_OF_A_LINE: usize = 8;

/// The document.
pub fn text(task: &FlatTask, parts: Parts) -> String {
    let model = &task.model;
    let mut out = super::beginning();
    let _ = writeln!(out, "\\section*{{{} of {}}}", names::text(&task.name), names::text(&model.name));
    for doc in [&task.doc, &model.doc] {
        if !doc.is_empty() {
            let _ = writeln!(out, "{}\n", names::text(doc));
        }
    }
    let mut n_shared = 0;
    problem(&mut out, task, &mut n_shared);
    if parts.symbols {
        symbols(&mut out, model);
    }
    if parts.equations {
        equations(&mut out, model, &mut n_shared);
    }
    out.push_str("\\end{document}\n");
    out
}

/// One value for each statement and member, with its weight.
fn wholes(terms: &[CostTerm]) -> Vec<(f64, NodeId)> {
    let groups = terms.chunk_by(|a, b| a.span == b.span && a.member == b.member);
    groups.filter_map(|group| group.first().map(|first| (first.written_weight, first.whole))).collect()
}

fn problem(out: &mut String, task: &FlatTask, n_shared: &mut usize) {
    let model = &task.model;
    let (stage, end) = (wholes(&task.costs), wholes(&task.terminal));
    let (soft, hard): (Vec<&Keep>, Vec<&Keep>) = task.keeps.iter().partition(|keep| keep.softness != Softness::Hard);
    let mut sums: Vec<String> = Vec::new();
    for (k, (weight, _)) in stage.iter().enumerate() {
        sums.push(format!("{}\\ell_{{{}}}", factor(*weight), k + 1));
    }
    if let Some(free) = task.free_step.filter(|free| free.weight != 0.0) {
        sums.push(format!("{}h", factor(free.weight)));
    }
    for cost in &task.moves {
        let Some(act) = task.acts.get(cost.act as usize) else { continue };
        let change = format!("\\Delta {}", names::symbol(task.input_name(act)));
        let change = match cost.scale {
            1.0 => format!("\\left({change}\\right)"),
            scale => format!("\\left(\\frac{{{change}}}{{{}}}\\right)", names::number(scale)),
        };
        sums.push(format!("{}{change}^2", factor(cost.weight)));
    }
    let mut ends: Vec<String> =
        end.iter().enumerate().map(|(k, (w, _))| format!("{}m_{{{}}}", factor(*w), k + 1)).collect();
    for (k, keep) in soft.iter().enumerate() {
        let (price, power) = match keep.softness {
            Softness::Hard => continue,
            Softness::Linear(price) => (price, ""),
            Softness::Quadratic(price) => (price, "^2"),
        };
        let term = format!("{}\\varepsilon_{{{}}}{power}", factor(price), k + 1);
        match keep.when {
            When::Path => sums.push(term),
            When::Final => ends.push(term),
        }
    }
    let mut inputs: Vec<String> = task.acts.iter().map(|act| names::symbol(task.input_name(act))).collect();
    inputs.extend(task.free_step.map(|_| "h".to_string()));
    out.push_str("\\subsection*{Problem}\n\\begin{align*}\n");
    let mut rows = vec![format!(
        "  \\min_{{{}}} \\quad & \\sum_{{k=0}}^{{N-1}} \\Big( {} \\Big)",
        inputs.join(", "),
        broken(&sums)
    )];
    if !ends.is_empty() {
        rows.push(format!("  & + \\Big( {} \\Big)_{{k=N}}", broken(&ends)));
    }
    let unit = |unit: &str| if unit.is_empty() { String::new() } else { format!("\\;{}", names::unit(unit)) };
    let mut first = "\\text{subject to} \\quad";
    let mut push = |row: String| {
        rows.push(format!("  {first} & {row}"));
        first = "";
    };
    if let Some(free) = task.free_step {
        push(format!("{}{}", between("h", free.low, free.high), unit(&model.time_unit)));
    }
    for act in &task.acts {
        let name = names::symbol(task.input_name(act));
        let own = model.inputs.get(act.input as usize).map_or("", |input| input.quantity.unit.as_str());
        push(format!("{}{}", between(&name, act.low, act.high), unit(own)));
    }
    for (k, keep) in hard.iter().enumerate() {
        let value = match model.dag.node(keep.node) {
            Node::Leaf(l @ (Leaf::State(_) | Leaf::Input(_))) => leaf(model, l),
            _ => format!("c_{{{}}}", k + 1),
        };
        let when = if keep.when == When::Final { " \\quad (k = N)" } else { "" };
        push(format!("{}{}{when}", between(&value, keep.low, keep.high), unit(&keep.unit)));
    }
    let _ = writeln!(out, "{}\n\\end{{align*}}", rows.join(" \\\\\n"));
    let (method, substeps) = task.via;
    let length = match task.free_step {
        Some(_) => "h".to_string(),
        None => format!("h = {}{}", names::number(task.step), unit(&model.time_unit)),
    };
    let _ = writeln!(
        out,
        "The state after a step of ${length}$ follows from the equations by {}{}; an episode has {} steps.",
        names::text(method.name()),
        if substeps > 1 { format!(" in {substeps} substeps") } else { String::new() },
        task.n_steps
    );

    let all = named(model);
    let mut write = |nodes: &[NodeId]| formulas(&model.dag, nodes, &all, &|variable| leaf(model, variable), n_shared);
    for (heading, letter, list) in [("Terms of a step", "\\ell", &stage), ("Terms of the end", "m", &end)] {
        let nodes: Vec<NodeId> = list.iter().map(|(_, node)| *node).collect();
        let sides: Vec<String> = (1..=nodes.len()).map(|k| format!("{letter}_{{{k}}}")).collect();
        align(out, heading, &sides, &write(&nodes));
    }
    let open: Vec<(usize, &&Keep)> =
        hard.iter().enumerate().filter(|(_, keep)| !matches!(model.dag.node(keep.node), Node::Leaf(_))).collect();
    let nodes: Vec<NodeId> = open.iter().map(|(_, keep)| keep.node).collect();
    let sides: Vec<String> = open.iter().map(|(k, _)| format!("c_{{{}}}", k + 1)).collect();
    align(out, "Constraints", &sides, &write(&nodes));
    excesses(out, task, &soft, n_shared);
}

/// What leaves the range of each soft constraint.
fn excesses(out: &mut String, task: &FlatTask, soft: &[&Keep], n_shared: &mut usize) {
    if soft.is_empty() {
        return;
    }
    let model = &task.model;
    let all = named(model);
    let nodes: Vec<NodeId> = soft.iter().map(|keep| keep.node).collect();
    let found = formulas(&model.dag, &nodes, &all, &|variable| leaf(model, variable), n_shared);
    let sides: Vec<String> = (1..=soft.len()).map(|k| format!("s_{{{k}}}")).collect();
    align(out, "What is kept softly", &sides, &found);
    out.push_str("\\begin{align*}\n");
    let rows: Vec<String> = soft
        .iter()
        .enumerate()
        .map(|(k, keep)| {
            let k = k + 1;
            let mut parts = vec!["0".to_string()];
            if keep.low.is_finite() {
                parts.push(format!("{} - s_{{{k}}}", names::number(keep.low)));
            }
            if keep.high.is_finite() {
                parts.push(format!("s_{{{k}}} - \\left({}\\right)", names::number(keep.high)));
            }
            format!("  \\varepsilon_{{{k}}} &= \\max\\left({}\\right)", parts.join(", "))
        })
        .collect();
    let _ = writeln!(out, "{}\n\\end{{align*}}", rows.join(" \\\\\n"));
}

fn factor(weight: f64) -> String {
    if weight == 1.0 { String::new() } else { format!("{} \\, ", names::number(weight)) }
}

/// A sum in lines that fit the page.
fn broken(terms: &[String]) -> String {
    let lines: Vec<String> = terms.chunks(TERMS_OF_A_LINE).map(|line| line.join(" + ")).collect();
    if lines.is_empty() { "0".to_string() } else { lines.join(" \\\\\n  & \\qquad + ") }
}

fn between(value: &str, low: f64, high: f64) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) if low == high => format!("{value} = {}", names::number(low)),
        (true, true) => format!("{} \\le {value} \\le {}", names::number(low), names::number(high)),
        (true, false) => format!("{value} \\ge {}", names::number(low)),
        (false, true) => format!("{value} \\le {}", names::number(high)),
        (false, false) => value.to_string(),
    }
}
