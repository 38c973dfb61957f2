//! Closed loops as pictures and as a page: the course of states and inputs with their bounds, and what the plans expected.

use super::control_run::{Entry, Episode, Loops};
use super::control_table::{Row, short, step_length};
use super::render::counted;
use crate::control::closed_loop::{Ending, Trace};
use crate::export::plot::{Axis, Figure, Panel, Series, Style};
use crate::export::report::loops::LoopReport;
use crate::export::table::{header, number};
use crate::expr::{Leaf, Node};
use crate::flat::{FlatTask, Quantity};
use serde_json::Value;

/// Panels of one figure, at most; states of a large model beyond it stand in the table only.
const MOST_PANELS: usize = 24;
/// Episodes of one drawing, at most.
const MOST_LINES: usize = 100;
/// Colors of what happened, of what was expected, of what was believed, of what was to be, and of limits.
const HAPPENED: usize = 0;
const EXPECTED: usize = 1;
const BELIEVED: usize = 2;
const TARGET: usize = 3;
const LIMIT: usize = 7;

/// The page of a run.
pub fn page(
    loops: &Loops,
    results: &[(&Entry, Vec<Episode>)],
    rows: &[Row],
    remarks: Vec<String>,
    sources: &[(String, String)],
    settings: &Value,
    command: &str,
) -> LoopReport {
    let task = loops.plant.task();
    let belief = results.first().map_or(String::new(), |(entry, _)| entry.assembly.task().model.name.clone());
    let facts = [
        ("task", task.name.clone()),
        ("plant", task.model.name.clone()),
        ("believed", belief),
        ("steps", task.n_steps.to_string()),
        ("step", step_length(loops)),
        ("episodes", loops.n_episodes.to_string()),
    ];
    let heads =
        ["planner", "horizon", "episodes", "cost", "reward per step", "violation", "failures", "unused plans", "plans"];
    let cells = rows.iter().zip(results).map(|(row, (entry, _))| {
        vec![
            row.planner.clone(),
            entry.horizon.to_string(),
            row.n_episodes.to_string(),
            short(row.cost),
            short(row.reward),
            row.violation(),
            row.n_failed.to_string(),
            row.n_fallbacks.to_string(),
            row.statuses.clone(),
        ]
    });
    let mut figures = Vec::new();
    for (entry, episodes) in results {
        let Some(first) = episodes.first() else { continue };
        let name = entry.kind.name();
        let words = format!(
            "Episode {}. Blue: the plant. Orange: what some of the plans expected. Dashed: targets, bounds and limits; bounds far off \
             stand behind the name.",
            first.number
        );
        figures.push((name.to_string(), figure(loops, entry, first), words));
        if episodes.len() > 1 {
            let n_failed = rows.iter().find(|row| row.planner == name).map_or(0, |row| row.n_failed);
            let shown =
                if episodes.len() > MOST_LINES { format!("{MOST_LINES} of them are drawn. ") } else { String::new() };
            let words = format!(
                "{}, of which {n_failed} failed. {shown}Blue: the plant. Orange: the plant of an episode that failed.",
                counted(episodes.len(), "episode")
            );
            figures.push((format!("{name}-episodes"), overview(loops, entry, episodes), words));
        }
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    LoopReport {
        title: format!("{} — {} in closed loop", loops.name, task.name),
        doc: loops.doc.clone(),
        facts: facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        heads: heads.map(String::from).to_vec(),
        rows: cells.collect(),
        remarks,
        figures,
        settings: settings.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect(),
        sources: sources.to_vec(),
        command: command.into(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// States, then inputs, of one episode.
fn figure(loops: &Loops, entry: &Entry, episode: &Episode) -> Figure {
    let task = loops.plant.task();
    let trace = &episode.trace;
    let (n, m) = (task.model.states.len(), task.model.inputs.len());
    let instants: Vec<f64> = (0..trace.states.len() / n.max(1)).map(|k| k as f64 * task.step).collect();
    let mut panels: Vec<Panel> = Vec::new();
    for j in 0..n.min(MOST_PANELS) {
        let mut series =
            expected(task, trace, |states, _| column(states, states.len() / (entry.horizon + 1), j), Style::Line);
        if loops.filter.is_some() {
            let believed = column(&trace.believed, n, j);
            series.push(Series::line("believed", instants[..believed.len()].to_vec(), believed, BELIEVED));
        }
        series.push(Series::line("plant", instants.clone(), column(&trace.states, n, j), HAPPENED));
        series.extend(target(task, &instants, j));
        let (bounds, words) = limits(&instants, &series, kept(task, j));
        series.extend(bounds);
        panels.push(panel(task, &task.model.states[j].quantity, series, &words, panels.is_empty()));
    }
    for act in task.acts.iter().take(MOST_PANELS) {
        let j = act.input as usize;
        let mut series = expected(task, trace, |_, inputs| column(inputs, m, j), Style::Steps);
        let mut values = column(&trace.inputs, m, j);
        // The last value is held to the end.
        values.extend(values.last().copied());
        let times = instants.iter().copied().take(values.len()).collect();
        series.push(Series { style: Style::Steps, ..Series::line("plant", times, values, HAPPENED) });
        let (bounds, words) = limits(&instants, &series, (act.low, act.high));
        series.extend(bounds);
        panels.push(panel(task, &task.model.inputs[j].quantity, series, &words, panels.is_empty()));
    }
    let n_columns = if panels.len() > 2 { 2 } else { 1 };
    Figure { title: format!("{}: {}", loops.name, entry.kind.name()), panels, n_columns }
}

/// Of one quantity, `words` behind its name: one legend explains all panels.
fn panel(task: &FlatTask, quantity: &Quantity, mut series: Vec<Series>, words: &str, has_legend: bool) -> Panel {
    if !has_legend {
        series.iter_mut().for_each(|one| one.name.clear());
    }
    Panel {
        title: format!("{}{words}", quantity.name),
        x: Axis::new(header("time", &task.model.time_unit)),
        y: Axis::new(header(&quantity.name, &quantity.unit)),
        series,
    }
}

fn column(rows: &[f64], width: usize, j: usize) -> Vec<f64> {
    if j >= width {
        return Vec::new();
    }
    rows.chunks_exact(width).map(|row| row[j]).collect()
}

/// The predictions that were kept, one behind the other with a gap.
fn expected(task: &FlatTask, trace: &Trace, values: impl Fn(&[f64], &[f64]) -> Vec<f64>, style: Style) -> Vec<Series> {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (step, states, inputs) in &trace.plans {
        let list = values(states, inputs);
        x.extend((0..list.len()).map(|k| (step + k) as f64 * task.step));
        y.extend(list);
        x.push(f64::NAN);
        y.push(f64::NAN);
    }
    match y.iter().any(|value| value.is_finite()) {
        true => vec![Series { style, ..Series::line("expected", x, y, EXPECTED) }],
        false => Vec::new(),
    }
}

/// What the task keeps a state between, as far as it says so of the state alone.
fn kept(task: &FlatTask, state: usize) -> (f64, f64) {
    let is_of = |keep: &&crate::flat::task::Keep| match task.model.dag.node(keep.node) {
        Node::Leaf(Leaf::State(found)) => found as usize == state,
        _ => false,
    };
    let open = (f64::NEG_INFINITY, f64::INFINITY);
    task.keeps.iter().filter(is_of).fold(open, |(low, high), keep| (low.max(keep.low), high.min(keep.high)))
}

/// What a state is to follow, where that is one value throughout.
fn target(task: &FlatTask, instants: &[f64], state: usize) -> Option<Series> {
    let dag = &task.model.dag;
    let is_of = |node| matches!(dag.node(node), Node::Leaf(Leaf::State(found)) if found as usize == state);
    let track = task.tracks.iter().find(|track| is_of(track.value))?;
    let Node::Const(bits) = dag.node(track.target) else { return None };
    let ends = vec![*instants.first()?, *instants.last()?];
    Some(Series { style: Style::Dashed, ..Series::line("target", ends, vec![f64::from_bits(bits); 2], TARGET) })
}

/// The bounds of a quantity that lie near what happened, dashed. Farther ones would leave no room for the rest: they are
/// told in words, which are returned with the lines.
fn limits(instants: &[f64], series: &[Series], (low, high): (f64, f64)) -> (Vec<Series>, String) {
    let values = || series.iter().flat_map(|one| &one.y).copied().filter(|y| y.is_finite());
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let reach = (most - least).max(1e-3 * most.abs().max(least.abs()));
    let is_near = |level: f64| level >= least - reach && level <= most + reach;
    let ends = [instants.first().copied().unwrap_or(0.0), instants.last().copied().unwrap_or(0.0)];
    let line = |level: f64, name: &str| Series {
        style: Style::Dashed,
        ..Series::line(name, ends.to_vec(), vec![level, level], LIMIT)
    };
    let levels = [low, high].into_iter().filter(|level| level.is_finite() && is_near(*level));
    let lines = levels.enumerate().map(|(k, level)| line(level, if k == 0 { "bound" } else { "" })).collect();
    let words = match (low.is_finite() && !is_near(low), high.is_finite() && !is_near(high)) {
        (false, false) => String::new(),
        (true, true) => format!(", within {} .. {}", number(low), number(high)),
        (true, false) => format!(", above {}", number(low)),
        (false, true) => format!(", below {}", number(high)),
    };
    (lines, words)
}

/// All episodes: the plant's states and inputs, those that failed in front.
fn overview(loops: &Loops, entry: &Entry, episodes: &[Episode]) -> Figure {
    let task = loops.plant.task();
    let (n, m) = (task.model.states.len(), task.model.inputs.len());
    let is_failed = |episode: &&Episode| episode.trace.ending == Ending::Failed;
    // Failures are few and matter most.
    let failed: Vec<&Episode> = episodes.iter().filter(is_failed).take(MOST_LINES).collect();
    let others: Vec<&Episode> =
        episodes.iter().filter(|episode| !is_failed(episode)).take(MOST_LINES - failed.len()).collect();
    let lines = |values: &dyn Fn(&Trace) -> Vec<f64>, style: Style| -> Vec<Series> {
        let of = |list: &[&Episode], name: &str, color: usize| {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for episode in list {
                let column = values(&episode.trace);
                x.extend((0..column.len()).map(|k| k as f64 * task.step));
                y.extend(column);
                x.push(f64::NAN);
                y.push(f64::NAN);
            }
            Series { style, ..Series::line(name, x, y, color) }
        };
        let all = [of(&others, "ran to its end", HAPPENED), of(&failed, "failed", EXPECTED)];
        all.into_iter().filter(|one| !one.y.is_empty()).collect()
    };
    let instants = [0.0, task.n_steps as f64 * task.step];
    let mut panels: Vec<Panel> = Vec::new();
    for j in 0..n.min(MOST_PANELS) {
        let mut series = lines(&|trace: &Trace| column(&trace.states, n, j), Style::Line);
        series.extend(target(task, &instants, j));
        let (bounds, words) = limits(&instants, &series, kept(task, j));
        series.extend(bounds);
        panels.push(panel(task, &task.model.states[j].quantity, series, &words, panels.is_empty()));
    }
    for act in task.acts.iter().take(MOST_PANELS) {
        let j = act.input as usize;
        let mut series = lines(&|trace: &Trace| column(&trace.inputs, m, j), Style::Steps);
        let (bounds, words) = limits(&instants, &series, (act.low, act.high));
        series.extend(bounds);
        panels.push(panel(task, &task.model.inputs[j].quantity, series, &words, panels.is_empty()));
    }
    let n_columns = if panels.len() > 2 { 2 } else { 1 };
    Figure { title: format!("{}: {}, all episodes", loops.name, entry.kind.name()), panels, n_columns }
}
