//! A task as the problem that a person would write on paper: what is minimized over what, subject to what, with numbers and
//! units.

use crate::export::snapshot::{distribution, leaf_name};
use crate::expr::print::{number, print};
use crate::expr::{Leaf, Node, NodeId};
use crate::flat::task::{Act, CostOrigin, CostTerm, FlatTask, Keep, Move, Sense, When};
use crate::system::Softness;
use serde_json::{Value, json};
use std::fmt::Write;

/// Formulas wider than this do not move the notes beside the others.
const WIDEST: usize = 64;

/// A formula with what is said beside it.
struct Line {
    formula: String,
    note: String,
}

/// The problem as text.
pub fn text(task: &FlatTask) -> String {
    let model = &task.model;
    let mut out = format!("task {} of {}", task.name, model.name);
    if !task.doc.is_empty() {
        let _ = write!(out, " \"{}\"", task.doc);
    }
    let _ = writeln!(out, "\n{}\n{}", step(task), episode(task));

    let mut decided: Vec<&str> = task.acts.iter().map(|act| task.input_name(act)).collect();
    if task.free_step.is_some() {
        decided.push("the length of a step");
    }
    let _ = writeln!(out, "\nminimize over {}", decided.join(", "));
    match task.cost_origin {
        CostOrigin::Missing => out.push_str("  nothing: there is no cost, and the reward cannot stand for one\n"),
        CostOrigin::Written | CostOrigin::Reward => {
            let mut stage = terms(task, &task.costs);
            if let Some(free) = task.free_step.filter(|free| free.weight != 0.0) {
                let unit = bracketed(&task.model.time_unit);
                stage.push(Line {
                    formula: format!("{}step", factor(free.weight)),
                    note: format!("in {}", unit.trim_matches(['[', ']'])),
                });
            }
            stage.extend(task.moves.iter().map(|m| moved(task, m)));
            stage.extend(soft(task, When::Path));
            section(&mut out, "the sum over steps k = 0 .. N-1 of", stage);
            let mut end = terms(task, &task.terminal);
            end.extend(soft(task, When::Final));
            section(&mut out, "at the end, k = N", end);
        }
    }
    if task.cost_origin == CostOrigin::Reward {
        out.push_str("  (the task has no cost of its own: this is the reward with its sign changed)\n");
    }

    out.push_str("\nsubject to\n");
    section(&mut out, "the equations of the model, from", starts(task));
    section(&mut out, "limits of the actuators, k = 0 .. N-1", task.acts.iter().map(|act| limits(task, act)).collect());
    let hard = |wanted: When| -> Vec<Line> {
        let is_hard = |keep: &&Keep| keep.softness == Softness::Hard && keep.when == wanted && !keep.reads_inputs;
        grouped(task, task.keeps.iter().filter(is_hard).collect())
    };
    section(&mut out, "constraints, k = 1 .. N", hard(When::Path));
    let mixed = |keep: &&Keep| keep.softness == Softness::Hard && keep.reads_inputs;
    section(
        &mut out,
        "constraints with inputs, k = 0 .. N-1",
        grouped(task, task.keeps.iter().filter(mixed).collect()),
    );
    section(&mut out, "constraints at the end, k = N", hard(When::Final));

    let held: Vec<Line> = task
        .holds
        .iter()
        .map(|h| Line { formula: disturbance(task, h.disturbance), note: printed(task, h.node) })
        .collect();
    section(&mut out, "held over each step", held);
    loop_parts(&mut out, task);
    out
}

fn loop_parts(out: &mut String, task: &FlatTask) {
    let happens = task.model.events.iter().filter(|event| event.event.has_reset);
    let happens: Vec<Line> =
        happens.map(|event| Line { formula: event.description.clone(), note: String::new() }).collect();
    section(out, "what happens meanwhile", happens);
    if let Some(reward) = task.reward {
        let _ = writeln!(out, "\nreward after each step\n  {}", printed(task, reward));
    }
    let mut ends = Vec::new();
    for (what, list) in [("fails", &task.fails), ("is done", &task.dones)] {
        for condition in list {
            let price = if condition.penalty == 0.0 { String::new() } else { number(condition.penalty) };
            let note = if price.is_empty() { price } else { format!("penalty {price}") };
            ends.push(Line { formula: format!("{what} when {}", condition.text), note });
        }
    }
    if !ends.is_empty() {
        out.push('\n');
        section(out, "an episode", ends);
    }
    if !task.senses.is_empty() {
        let seen = task.senses.iter().map(|s| Line { formula: s.name.clone(), note: seen_in(s) }).collect();
        out.push('\n');
        section(out, "the controller sees", seen);
    }
}

/// `in 0 .. 1000 [mg/dL]`; the unit alone where both ends are open.
fn seen_in(sense: &Sense) -> String {
    let unit = bracketed(&sense.unit);
    match (sense.low.is_finite(), sense.high.is_finite()) {
        (false, false) => unit,
        (true, true) => format!("in {} .. {}{}", number(sense.low), number(sense.high), spaced(&unit)),
        (true, false) => format!("in {} ..{}", number(sense.low), spaced(&unit)),
        (false, true) => format!("in .. {}{}", number(sense.high), spaced(&unit)),
    }
}

fn section(out: &mut String, title: &str, lines: Vec<Line>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {title}");
    let width = lines.iter().map(|l| l.formula.chars().count()).filter(|n| *n <= WIDEST).max().unwrap_or(0);
    for Line { formula, note } in lines {
        let gap = width.saturating_sub(formula.chars().count()) + 2;
        let line = format!("    {formula}{}{note}", " ".repeat(gap));
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn step(task: &FlatTask) -> String {
    let unit = bracketed(&task.model.time_unit);
    let (method, substeps) = task.via;
    let mut by = format!(" by {}", method.name());
    if substeps > 1 {
        let _ = write!(by, " in {substeps} substeps");
    }
    match task.free_step {
        None => format!("step {}{}{by}", number(task.step), spaced(&unit)),
        Some(free) => format!(
            "step decided from {} to {}{}, at first {}{by}",
            number(free.low),
            number(free.high),
            spaced(&unit),
            number(task.step)
        ),
    }
}

fn episode(task: &FlatTask) -> String {
    let steps = if task.n_steps == 1 { "step" } else { "steps" };
    if task.free_step.is_some() {
        return format!("episode of {} {steps}", task.n_steps);
    }
    let length = task.step * task.n_steps as f64;
    let unit = spaced(&bracketed(&task.model.time_unit));
    // The product of two decimal numbers is one again, up to its rounding.
    format!("episode of {} {steps}, {}{unit}", task.n_steps, number((length * 1e9).round() / 1e9))
}

fn bracketed(unit: &str) -> String {
    if unit.is_empty() || unit == "1" { String::new() } else { format!("[{unit}]") }
}

fn spaced(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

fn printed(task: &FlatTask, node: NodeId) -> String {
    print(&task.model.dag, node, |leaf| leaf_name(&task.model, leaf))
}

fn disturbance(task: &FlatTask, k: u32) -> String {
    leaf_name(&task.model, Leaf::Disturbance(k))
}

/// `0.1*`, nothing for 1.
fn factor(weight: f64) -> String {
    if weight == 1.0 { String::new() } else { format!("{}*", number(weight)) }
}

/// True where a text must stand in parentheses behind a factor: a sum, a choice or a condition outside of brackets.
fn is_loose(text: &str) -> bool {
    let mut level = 0i32;
    text.starts_with("if ")
        || text.char_indices().any(|(k, c)| {
            match c {
                '(' | '[' => level += 1,
                ')' | ']' => level -= 1,
                _ => {}
            }
            // The sign of an exponent such as 1e-3 follows its `e`.
            level == 0 && matches!(c, '+' | '-') && !text[..k].ends_with(['e', 'E'])
        })
}

/// ` for i = 1 .. 4`, from the first and last member of a family.
fn family(first: &str, last: &str) -> String {
    match (first.split_once(" = "), last.split_once(" = ")) {
        _ if first.is_empty() => String::new(),
        (Some((name, from)), Some((_, to))) if !first.contains(',') && from != to => {
            format!(" for {name} = {from} .. {to}")
        }
        _ if first == last => format!(" for {first}"),
        _ => format!(" from {first} to {last}"),
    }
}

/// One line a statement.
fn terms(task: &FlatTask, costs: &[CostTerm]) -> Vec<Line> {
    costs
        .chunk_by(|a, b| a.span == b.span)
        .filter_map(|statement| {
            let (first, last) = (statement.first()?, statement.last()?);
            let text = match task.cost_origin {
                CostOrigin::Written if first.written_weight != 1.0 && is_loose(&first.text) => {
                    format!("({})", first.text)
                }
                CostOrigin::Written | CostOrigin::Missing => first.text.clone(),
                // What the end takes of the reward is written nowhere.
                CostOrigin::Reward => printed(task, first.whole),
            };
            let formula = format!("{}{text}{}", factor(first.written_weight), family(&first.member, &last.member));
            let is_squares = statement.iter().all(|term| term.square_of.is_some());
            let unit = if first.unit.is_empty() { "a pure number".to_string() } else { format!("in {}", first.unit) };
            let form = if is_squares { ", squares" } else { "" };
            Some(Line { formula, note: format!("{unit}{form}") })
        })
        .collect()
}

fn moved(task: &FlatTask, cost: &Move) -> Line {
    let act = task.acts.get(cost.act as usize);
    let name = act.map_or("", |act| task.input_name(act));
    let input = act.and_then(|act| task.model.inputs.get(act.input as usize));
    let unit = input.map_or(String::new(), |input| input.quantity.unit.clone());
    let change = if cost.scale == 1.0 { format!("Δ{name}") } else { format!("(Δ{name}/{})", number(cost.scale)) };
    let is_pure = cost.is_scaled || matches!(unit.as_str(), "" | "1");
    let unit = if is_pure { "a pure number".into() } else { format!("in {}", squared(&unit)) };
    let before = act.map_or(f64::NAN, |act| act.before);
    Line {
        formula: format!("{}{change}^2", factor(cost.weight)),
        note: format!("{unit}, the change of {name}, at first from {}", number(before)),
    }
}

/// The unit of a square.
fn squared(unit: &str) -> String {
    if unit.contains(['/', '*', '^', ' ']) { format!("({unit})^2") } else { format!("{unit}^2") }
}

/// The name of a value: of a state, or the formula.
fn value_name(task: &FlatTask, keep: &Keep) -> String {
    if !keep.member.is_empty() {
        return keep.name.clone();
    }
    printed(task, keep.node)
}

fn excess(task: &FlatTask, keep: &Keep) -> String {
    let value = value_name(task, keep);
    let loose = if is_loose(&value) { format!("({value})") } else { value.clone() };
    let minus = |end: f64| match end {
        0.0 => String::new(),
        end if end < 0.0 => format!(" + {}", number(-end)),
        end => format!(" - {}", number(end)),
    };
    let mut parts = vec!["0".to_string()];
    if keep.low.is_finite() {
        parts.push(format!("{} - {loose}", number(keep.low)));
    }
    if keep.high.is_finite() {
        parts.push(format!("{value}{}", minus(keep.high)));
    }
    format!("max({})", parts.join(", "))
}

fn soft(task: &FlatTask, when: When) -> Vec<Line> {
    let is_soft = |keep: &&Keep| keep.when == when && keep.softness != Softness::Hard;
    let keeps: Vec<&Keep> = task.keeps.iter().filter(is_soft).collect();
    keeps
        .chunk_by(|a, b| a.span == b.span && !a.member.is_empty())
        .filter_map(|group| {
            let (first, last) = (group.first()?, group.last()?);
            let family = family(&first.member, &last.member);
            let (price, power) = match first.softness {
                Softness::Hard => return None,
                Softness::Linear(price) => (price, ""),
                Softness::Quadratic(price) => (price, "^2"),
            };
            // A difference of temperatures is one in K.
            let own = if first.unit == "degC" { "K" } else { first.unit.as_str() };
            let unit = match (own, power) {
                ("" | "1", _) => "a pure number".to_string(),
                (unit, "") => format!("in {unit}"),
                (unit, _) => format!("in {}", squared(unit)),
            };
            let formula = format!("{}{}{power}{family}", factor(price), excess(task, first));
            Some(Line { formula, note: format!("{unit}, keeps `{}` softly", first.name) })
        })
        .collect()
}

/// `low <= value <= high`
fn between(value: &str, low: f64, high: f64) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) if low == high => format!("{value} = {}", number(low)),
        (true, true) => format!("{} <= {value} <= {}", number(low), number(high)),
        (true, false) => format!("{value} >= {}", number(low)),
        (false, true) => format!("{value} <= {}", number(high)),
        (false, false) => format!("{value} free"),
    }
}

fn grouped(task: &FlatTask, keeps: Vec<&Keep>) -> Vec<Line> {
    keeps
        .chunk_by(|a, b| a.span == b.span && !a.member.is_empty())
        .filter_map(|group| {
            let (first, last) = (group.first()?, group.last()?);
            let family = family(&first.member, &last.member);
            let formula = format!("{}{family}", between(&value_name(task, first), first.low, first.high));
            let mut note = bracketed(&first.unit);
            if let Some(probability) = first.probability {
                let _ = write!(note, "{}with probability {probability}", if note.is_empty() { "" } else { " " });
            }
            Some(Line { formula, note })
        })
        .collect()
}

fn limits(task: &FlatTask, act: &Act) -> Line {
    let name = task.input_name(act);
    let input = task.model.inputs.get(act.input as usize);
    let mut note = input.map_or(String::new(), |input| bracketed(&input.quantity.unit));
    if let Some((low, high)) = act.relaxed {
        let _ = write!(note, "{}planned as {}", if note.is_empty() { "" } else { " " }, between(name, low, high));
    }
    Line { formula: between(name, act.low, act.high), note }
}

fn starts(task: &FlatTask) -> Vec<Line> {
    let model = &task.model;
    let lines = model.states.iter().enumerate().map(|(k, state)| {
        let drawn = task.starts.iter().find(|start| start.state as usize == k);
        let (name, unit) = (&state.quantity.name, bracketed(&state.quantity.unit));
        let formula = match drawn {
            Some(start) => format!("{name} ~ {}", distribution(&start.distribution)),
            None => format!("{name} = {}", printed(task, state.initial)),
        };
        Line { formula, note: unit }
    });
    lines.collect()
}

/// The problem for programs.
pub fn document(task: &FlatTask) -> Value {
    let end = |value: f64| value.is_finite().then_some(value);
    let model = &task.model;
    let leaf = |keep: &Keep| matches!(model.dag.node(keep.node), Node::Leaf(_));
    let costs = |list: &[CostTerm]| -> Vec<Value> {
        list.chunk_by(|a, b| a.span == b.span && a.member == b.member)
            .filter_map(|parts| {
                let first = parts.first()?;
                Some(json!({
                    "text": first.text, "member": first.member, "formula": printed(task, first.whole),
                    "weight": first.written_weight, "unit": first.unit,
                    "squares": parts.iter().all(|part| part.square_of.is_some()),
                }))
            })
            .collect()
    };
    let softness = |softness: Softness| match softness {
        Softness::Hard => json!("hard"),
        Softness::Linear(price) => json!({ "linear": price }),
        Softness::Quadratic(price) => json!({ "quadratic": price }),
    };
    let conditions = |list: &[crate::flat::task::Condition]| -> Vec<Value> {
        list.iter().map(|c| json!({ "when": c.text, "penalty": c.penalty })).collect()
    };
    json!({
        "task": task.name,
        "doc": task.doc,
        "model": model.name,
        "time_unit": model.time_unit,
        "step": task.step,
        "free_step": task.free_step.map(|free| json!({ "low": free.low, "high": free.high, "weight": free.weight })),
        "method": task.via.0.name(),
        "substeps": task.via.1,
        "episode_steps": task.n_steps,
        "decides": task.acts.iter().map(|act| json!({
            "input": task.input_name(act), "low": end(act.low), "high": end(act.high),
            "planned": act.relaxed.map(|(low, high)| [low, high]), "before": act.before,
        })).collect::<Vec<_>>(),
        "starts": task.starts.iter().map(|start| json!({
            "state": leaf_name(model, Leaf::State(start.state)), "drawn": distribution(&start.distribution),
        })).collect::<Vec<_>>(),
        "cost_from": match task.cost_origin {
            CostOrigin::Written => "cost",
            CostOrigin::Reward => "reward",
            CostOrigin::Missing => "nothing",
        },
        "costs": costs(&task.costs),
        "terminal": costs(&task.terminal),
        "moves": task.moves.iter().map(|m| json!({
            "input": task.acts.get(m.act as usize).map(|act| task.input_name(act)), "weight": m.weight, "scale": m.scale,
        })).collect::<Vec<_>>(),
        "keeps": task.keeps.iter().map(|keep| json!({
            "name": keep.name, "member": keep.member, "value": printed(task, keep.node), "low": end(keep.low),
            "high": end(keep.high), "unit": keep.unit, "softness": softness(keep.softness), "probability": keep.probability,
            "final": keep.when == When::Final, "is_box": leaf(keep), "reads_inputs": keep.reads_inputs,
        })).collect::<Vec<_>>(),
        "senses": task.senses.iter().map(|s| json!({
            "name": s.name, "unit": s.unit, "low": end(s.low), "high": end(s.high),
        })).collect::<Vec<_>>(),
        "reward": task.reward.map(|reward| printed(task, reward)),
        "fails": conditions(&task.fails),
        "dones": conditions(&task.dones),
        "holds": task.holds.iter().map(|h| json!({
            "name": disturbance(task, h.disturbance), "value": printed(task, h.node),
        })).collect::<Vec<_>>(),
    })
}
