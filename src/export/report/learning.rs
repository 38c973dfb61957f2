//! The report of a training: how the methods learnt, how often they failed, what the policy does, and how to get it again,
//! as one HTML page without outside parts.
//!
//! The caller fills a [`LearningReport`]; [`figures`] draws it and [`html`] writes the page. Wall-clock facts do not belong
//! here: the same training gives the same bytes.

use super::html::{STYLE, prose};
use crate::export::plot::{Axis, Figure, Panel, Series, Style, escape, svg};
use std::fmt::Write;

/// Episodes of a curve are put together into about so many points.
const POINTS: usize = 200;
/// Panels of one figure, at most.
const MOST_PANELS: usize = 16;
/// Color of limits.
const LIMIT: usize = 7;

/// A finished training.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LearningReport {
    /// The study or task.
    pub title: String,
    /// What it says of itself.
    pub doc: String,
    /// Name and value: task, plant, belief and so on.
    pub facts: Vec<(String, String)>,
    /// What learnt, the study's own method first.
    pub methods: Vec<MethodCurves>,
    /// Heads of the table of methods.
    pub heads: Vec<String>,
    /// One row for each method or controller; as many cells as heads.
    pub rows: Vec<Vec<String>>,
    /// What is to be noted, in sentences.
    pub remarks: Vec<String>,
    /// Heads of what is observed, then of what is acted, with units.
    pub axes: Vec<String>,
    /// How many of them are observed.
    pub n_observed: usize,
    /// Lower and upper end of each action.
    pub limits: Vec<(f64, f64)>,
    /// Length of a step with its unit, as the head of the axis of time; the length itself.
    pub time: (String, f64),
    /// Episodes that are drawn: a name for files, and what is drawn in it.
    pub courses: Vec<(String, CourseDrawn)>,
    /// Weights of the controller at states that the policy met.
    pub focus: Vec<FocusPoint>,
    /// Settings in force.
    pub settings: Vec<(String, String)>,
    /// Sources: name and SHA-256.
    pub sources: Vec<(String, String)>,
    /// The command that repeats the training.
    pub command: String,
    /// Version of twinc.
    pub version: String,
}

/// How one method learnt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MethodCurves {
    /// Its name.
    pub name: String,
    /// One for each seed.
    pub seeds: Vec<SeedCurve>,
}

/// One training, episode by episode.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeedCurve {
    /// Mean reward of a step.
    pub rewards: Vec<f64>,
    /// Failures until then.
    pub failures: Vec<f64>,
    /// Mean weight of the controller; empty for methods without one.
    pub weights: Vec<f64>,
}

/// An episode that is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CourseDrawn {
    /// What it is, in a sentence.
    pub words: String,
    /// `(n_steps + 1) × n_observed`, row major.
    pub observations: Vec<f64>,
    /// `n_steps × n_acted`
    pub actions: Vec<f64>,
    /// `n_steps × n_acted`: what the controller advised; empty without one.
    pub advice: Vec<f64>,
    /// `n_steps`
    pub rewards: Vec<f64>,
}

/// The weight of the controller where the policy was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FocusPoint {
    /// `n_observed`
    pub observation: Vec<f64>,
    /// `n_acted`: 1 where the controller alone acts, 0 where the policy alone does.
    pub weights: Vec<f64>,
}

/// The report's figures: the name they are stored under, the drawing, and what is to be seen.
pub fn figures(report: &LearningReport) -> Vec<(String, Figure, String)> {
    let mut out = Vec::new();
    let spread = "Line: mean over the seeds. Band: from the lowest to the highest seed.";
    if report.methods.iter().any(|method| method.seeds.iter().any(|seed| !seed.rewards.is_empty())) {
        let title = format!("{}: reward per step", report.title);
        let figure = over_episodes(report, &title, "reward per step", |seed| &seed.rewards, true);
        out.push(("learning".into(), figure, format!("{spread} Failing steps are left out.")));
        let title = format!("{}: failures", report.title);
        let figure = over_episodes(report, &title, "failures until then", |seed| &seed.failures, false);
        out.push(("failures".into(), figure, spread.into()));
    }
    if report.methods.iter().any(|method| method.seeds.iter().any(|seed| !seed.weights.is_empty())) {
        let title = format!("{}: weight of the controller", report.title);
        let figure = over_episodes(report, &title, "mean weight of the controller", |seed| &seed.weights, true);
        let words = format!("{spread} At 1 the controller acts alone, at 0 the learnt policy does.");
        out.push(("weights".into(), figure, words));
    }
    if !report.focus.is_empty() {
        let words = "Weight of the controller where the trained policy was, over each thing that it sees.";
        out.push(("focus".into(), focus(report), words.into()));
    }
    for (name, course) in &report.courses {
        out.push((name.clone(), drawn(report, name, course), course.words.clone()));
    }
    out
}

/// One value of every episode, mean and spread over the seeds, method by method.
fn over_episodes(
    report: &LearningReport,
    title: &str,
    label: &str,
    values: impl Fn(&SeedCurve) -> &[f64],
    is_averaged: bool,
) -> Figure {
    let mut series = Vec::new();
    for (color, method) in report.methods.iter().enumerate() {
        let all: Vec<&[f64]> = method.seeds.iter().map(&values).filter(|list| !list.is_empty()).collect();
        // Where one seed ended before the others, the spread would be of fewer.
        let n = all.iter().map(|list| list.len()).min().unwrap_or(0);
        if n == 0 {
            continue;
        }
        let block = n.div_ceil(POINTS);
        let (mut x, mut mean, mut low, mut high) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for from in (0..n).step_by(block) {
            let to = (from + block).min(n);
            let of = |list: &&[f64]| match is_averaged {
                true => list[from..to].iter().sum::<f64>() / (to - from) as f64,
                false => list[to - 1],
            };
            let here: Vec<f64> = all.iter().map(of).collect();
            x.push((from + to - 1) as f64 / 2.0 + 1.0);
            mean.push(here.iter().sum::<f64>() / here.len() as f64);
            low.push(here.iter().copied().fold(f64::INFINITY, f64::min));
            high.push(here.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
        let line = Series::line(&method.name, x, mean, color);
        series.push(if all.len() > 1 { line.between(low, high) } else { line });
    }
    let panel = Panel { title: String::new(), x: Axis::new("episode"), y: Axis::new(label), series };
    Figure { title: title.into(), panels: vec![panel], n_columns: 1 }
}

fn focus(report: &LearningReport) -> Figure {
    let n_acted = report.limits.len();
    let panels: Vec<Panel> = (0..report.n_observed.min(MOST_PANELS))
        .map(|j| {
            let x: Vec<f64> = report.focus.iter().map(|point| point.observation[j]).collect();
            let of = |k: usize| report.focus.iter().map(|point| point.weights[k]).collect::<Vec<f64>>();
            let name = |k: usize| match (j, n_acted) {
                (0, 2..) => report.axes[report.n_observed + k].clone(),
                (_, _) => String::new(),
            };
            let series = (0..n_acted).map(|k| Series::points(name(k), x.clone(), of(k), k)).collect();
            Panel { title: String::new(), x: Axis::new(&report.axes[j]), y: Axis::new("weight"), series }
        })
        .collect();
    let n_columns = if panels.len() > 1 { 2 } else { 1 };
    Figure { title: format!("{}: weight of the controller over what is seen", report.title), panels, n_columns }
}

/// What was observed, then what was acted with its limits, then the reward.
fn drawn(report: &LearningReport, name: &str, course: &CourseDrawn) -> Figure {
    let (head, step) = &report.time;
    let n_acted = report.limits.len();
    let times = |n: usize| (0..n).map(|k| k as f64 * step).collect::<Vec<f64>>();
    let column =
        |rows: &[f64], width: usize, j: usize| rows.chunks_exact(width).map(|row| row[j]).collect::<Vec<f64>>();
    let panel = |label: &str, series| Panel { title: String::new(), x: Axis::new(head), y: Axis::new(label), series };
    let mut panels = Vec::new();
    for j in 0..report.n_observed.min(MOST_PANELS) {
        let y = column(&course.observations, report.n_observed, j);
        panels.push(panel(&report.axes[j], vec![Series::line("", times(y.len()), y, 0)]));
    }
    for (j, (low, high)) in report.limits.iter().enumerate().take(MOST_PANELS) {
        let steps = |name: &str, rows: &[f64], color: usize| {
            let mut y = column(rows, n_acted, j);
            // The last value is held to the end.
            y.extend(y.last().copied());
            Series { style: Style::Steps, ..Series::line(name, times(y.len()), y, color) }
        };
        let is_advised = !course.advice.is_empty();
        let label = |text: &str| if is_advised && j == 0 { text.to_string() } else { String::new() };
        let mut series = Vec::new();
        if is_advised {
            series.push(steps(&label("advised"), &course.advice, 1));
        }
        series.push(steps(&label("acted"), &course.actions, 0));
        let ends = vec![0.0, course.rewards.len() as f64 * step];
        for level in [*low, *high] {
            let line = Series::line("", ends.clone(), vec![level, level], LIMIT);
            series.push(Series { style: Style::Dashed, ..line });
        }
        panels.push(panel(&report.axes[report.n_observed + j], series));
    }
    // A penalty would hide every other reward.
    let n_shown = course.rewards.len();
    let shown = match course.rewards.split_last() {
        Some((last, rest))
            if rest.iter().any(|r| *r != 0.0) && *last < 100.0 * rest.iter().copied().fold(0.0, f64::min) =>
        {
            rest
        }
        Some(_) | None => &course.rewards[..n_shown],
    };
    panels.push(panel("reward", vec![Series::line("", times(shown.len()), shown.to_vec(), 2)]));
    let n_columns = if panels.len() > 2 { 2 } else { 1 };
    Figure { title: format!("{}: {name}", report.title), panels, n_columns }
}

/// The report as a complete HTML document.
pub fn html(report: &LearningReport) -> String {
    let mut out = String::new();
    let title = escape(&report.title);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
    );
    if !report.doc.is_empty() {
        let _ = writeln!(out, "<p class=\"doc\">{}</p>", prose(&report.doc));
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in &report.facts {
        let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    out.push_str("</dl>\n");
    if !report.remarks.is_empty() {
        out.push_str("<div class=\"remarks\"><h2>To be noted</h2>\n<ul>\n");
        for remark in &report.remarks {
            let _ = writeln!(out, "<li>{}</li>", prose(remark));
        }
        out.push_str("</ul></div>\n");
    }
    out.push_str("<h2>Methods</h2>\n");
    let heads: Vec<&str> = report.heads.iter().map(String::as_str).collect();
    table(&mut out, &heads, &report.rows);
    for (name, drawing, words) in figures(report) {
        let _ = writeln!(
            out,
            "<h2>{}</h2>\n<figure>\n{}<figcaption>{}</figcaption>\n</figure>",
            escape(heading(&name)),
            svg(&drawing),
            escape(&words)
        );
    }
    let _ = write!(
        out,
        "<h2>How to get this again</h2>\n<p>twinc {}; the same sources, seeds and version give the same bytes.</p>\n\
         <pre>{}</pre>\n",
        escape(&report.version),
        escape(&report.command),
    );
    let pairs = |list: &[(String, String)]| list.iter().map(|(a, b)| vec![a.clone(), b.clone()]).collect::<Vec<_>>();
    table(&mut out, &["source", "SHA-256"], &pairs(&report.sources));
    out.push_str("<h3>Settings</h3>\n");
    table(&mut out, &["setting", "value"], &pairs(&report.settings));
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn heading(name: &str) -> &str {
    match name {
        "learning" => "Reward",
        "failures" => "Failures",
        "weights" => "Weight of the controller",
        "focus" => "Weight over what is seen",
        "policy" => "What the trained policy does",
        "mpc" => "What the controller does alone",
        "best" => "The best episode of training",
        "worst" => "The worst episode of training",
        other => other,
    }
}

fn table(out: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    out.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for head in heads {
        let _ = write!(out, "<th>{}</th>", escape(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (k, cell) in row.iter().enumerate() {
            let (open, close) = if k == 0 { ("th scope=\"row\"", "th") } else { ("td class=\"t\"", "td") };
            let _ = write!(out, "<{open}>{}</{close}>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> LearningReport {
        let curve = |offset: f64| SeedCurve {
            rewards: (0..450).map(|k| offset - 1.0 / (1.0 + k as f64)).collect(),
            failures: (0..450).map(|k| (k / 100) as f64).collect(),
            weights: vec![0.5; 450],
        };
        let course = CourseDrawn {
            words: "<w>".into(),
            observations: vec![0.0, 1.0, 2.0],
            actions: vec![0.1, 0.2],
            advice: vec![0.1, 0.1],
            rewards: vec![-1.0, -1e5],
        };
        LearningReport {
            title: "Train<b>".into(),
            methods: vec![MethodCurves { name: "<m>".into(), seeds: vec![curve(0.0), curve(1.0)] }],
            rows: vec![vec!["<x>".into()]],
            remarks: vec!["keeps `a<b`".into()],
            axes: vec!["<o> [m]".into(), "u [N]".into()],
            n_observed: 1,
            limits: vec![(-1.0, 1.0)],
            time: ("time [s]".into(), 0.1),
            courses: vec![("best".into(), course)],
            focus: vec![FocusPoint { observation: vec![1.0], weights: vec![0.5] }],
            sources: vec![("a&b.twin".into(), "00".into())],
            command: "twinc train <evil>".into(),
            ..LearningReport::default()
        }
    }

    #[test]
    fn escapes_what_users_wrote_and_loads_nothing() {
        let text = html(&small());
        for bad in ["Train<b>", "<m>", "<x>", "a<b", "<o>", "<w>", "a&b", "<evil>"] {
            assert!(!text.contains(bad), "{bad}");
        }
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for bad in ["http:", "https:", "src=", "<link", "<script", "@import", "url("] {
            assert!(!text.contains(bad), "{bad}");
        }
    }

    #[test]
    fn curves_have_mean_and_spread_over_the_seeds() {
        let figures = figures(&small());
        let names: Vec<&str> = figures.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["learning", "failures", "weights", "focus", "best"]);
        let line = &figures[0].1.panels[0].series[0];
        assert_eq!((line.x.len(), line.x[0]), (150, 2.0));
        let first = -(1.0 + 0.5 + 1.0 / 3.0) / 3.0;
        let found = [line.low[0], line.y[0], line.high[0]];
        for (value, expected) in found.iter().zip([first, first + 0.5, first + 1.0]) {
            assert!((value - expected).abs() < 1e-12, "{found:?}");
        }
        // A failing step's penalty is not drawn.
        let reward = figures[4].1.panels.last().and_then(|panel| panel.series.first());
        assert_eq!(reward.map(|series| series.y.clone()), Some(vec![-1.0]));
    }
}
