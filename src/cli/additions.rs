//! What the command line adds to a study, written in the language itself: `--set kcat=0.3` is `start kcat = 0.3`, and
//! `--set fit.starts=50` is `fit { starts = 50 }`. So units, names and "did you mean" are the checker's, and a mistake
//! is shown in the text that stands for the command line.
//!
//! A bare model is run by a study made the same way.

use super::failure::Failure;
use super::target::{Assignment, Target};
use crate::diag::{Diagnostics, Severity};
use crate::source::{SourceFile, SourceId, SourceMap, Span};
use crate::syntax::ast::{Directive, ExprKind, File, StatementKind};

/// The name that the text is shown under.
const NAME: &str = "<command line>";
/// The study that runs a bare model.
const BARE: &str = "simulation of ";
/// The study that carries out a bare task.
const CONTROL: &str = "control of ";
/// The study that trains on a bare task.
const TRAINING: &str = "training on ";
/// The model that has other constants.
const VARIANT: &str = "variant of ";

/// True where all that a failure says is wrong stands in the text of the command line.
pub fn are_to_blame(failure: &Failure, sources: &SourceMap) -> bool {
    let mut errors = failure.diagnostics.iter().filter(|d| d.severity == Severity::Error).peekable();
    errors.peek().is_some()
        && errors.all(|d| d.labels.first().is_some_and(|label| is_command_line(label.span, sources)))
}

/// True for a place in the text that stands for the command line.
pub fn is_command_line(span: Span, sources: &SourceMap) -> bool {
    sources.get(span.source).name == NAME
}

/// What a text declares, as far as the command line chooses among it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Models.
    pub models: Vec<String>,
    /// Studies, with the words of the statements in them.
    pub studies: Vec<(String, Vec<String>)>,
}

/// What a text declares; mistakes are left to the checker.
pub fn declared(id: SourceId, text: &str) -> Declared {
    let tree: File = crate::syntax::parse(id, text, &mut Diagnostics::default());
    let mut out = Declared::default();
    for statement in &tree.statements {
        let StatementKind::Directive(directive) = &statement.kind else { continue };
        let Some(name) = subject(directive) else { continue };
        match directive.word.text.as_str() {
            "model" => out.models.push(name),
            "study" => out.studies.push((name, words(directive))),
            _ => {}
        }
    }
    out
}

fn subject(directive: &Directive) -> Option<String> {
    match &directive.subjects.first()?.kind {
        ExprKind::Path(path) => path.segments.first().map(|name| name.text.clone()),
        _ => None,
    }
}

fn words(directive: &Directive) -> Vec<String> {
    let statements = directive.block.iter().flat_map(|block| &block.statements);
    let word = |kind: &StatementKind| match kind {
        StatementKind::Directive(inner) => Some(inner.word.text.clone()),
        _ => None,
    };
    statements.filter_map(|statement| word(&statement.kind)).collect()
}

/// What is run: a study of the text, or a model by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The study of this name.
    Study(String),
    /// The model of this name.
    Model(String),
}

impl Declared {
    /// What `sim` runs: the named study or model; else the only study that simulates; else the only model.
    ///
    /// # Errors
    /// E0803 with the candidates.
    pub fn to_simulate(&self, target: &Target) -> Result<Choice, Failure> {
        let simulate = |words: &Vec<String>| words.iter().any(|w| w == "simulate" || w == "sweep");
        let running: Vec<&str> = self.studies.iter().filter(|(_, w)| simulate(w)).map(|(n, _)| n.as_str()).collect();
        let studies: Vec<&str> = self.studies.iter().map(|(name, _)| name.as_str()).collect();
        let models: Vec<&str> = self.models.iter().map(String::as_str).collect();
        if target.name.is_some() {
            let all: Vec<&str> = studies.iter().chain(&models).copied().collect();
            let name = target.choose("study or model", &all)?;
            let is_study = studies.contains(&name);
            return Ok(if is_study { Choice::Study(name.into()) } else { Choice::Model(name.into()) });
        }
        if !running.is_empty() {
            return target.choose("study that simulates", &running).map(|name| Choice::Study(name.into()));
        }
        if models.is_empty() && !studies.is_empty() {
            return target.choose("study", &studies).map(|name| Choice::Study(name.into()));
        }
        target.choose("model", &models).map(|name| Choice::Model(name.into()))
    }

    /// What `calibrate` runs: the named study, or the only one that estimates.
    ///
    /// # Errors
    /// E0803 with the candidates.
    pub fn to_calibrate(&self, target: &Target) -> Result<String, Failure> {
        let estimates = |words: &Vec<String>| words.iter().any(|w| w == "estimate" || w == "fit");
        let fitting: Vec<&str> = self.studies.iter().filter(|(_, w)| estimates(w)).map(|(n, _)| n.as_str()).collect();
        let all: Vec<&str> = self.studies.iter().map(|(name, _)| name.as_str()).collect();
        let candidates = if target.name.is_some() { all } else { fitting };
        target.choose("study that estimates", &candidates).map(str::to_string).map_err(|failure| {
            if candidates.is_empty() {
                failure.help("write `study Fit of Model { data ... estimate ... }`")
            } else {
                failure
            }
        })
    }
}

/// The statements that assignments and flags stand for. `simulate` holds `key = value` lines, `more` whole statements.
fn statements(assignments: &[Assignment], simulate: &[String], more: &[String]) -> String {
    let mut out = String::new();
    for Assignment { path, value } in assignments {
        let line = match path.split_once('.') {
            Some((block @ ("fit" | "simulate" | "report"), key)) => format!("  {block} {{ {key} = {value} }}\n"),
            Some(_) | None => format!("  start {path} = {value}\n"),
        };
        out.push_str(&line);
    }
    for line in simulate {
        out.push_str(&format!("  simulate {{ {line} }}\n"));
    }
    for line in more {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

/// Additions to the study `name`; `None` where the command line says nothing.
pub fn to_study(name: &str, assignments: &[Assignment], simulate: &[String], more: &[String]) -> Option<SourceFile> {
    let body = statements(assignments, simulate, more);
    (!body.is_empty()).then(|| SourceFile::new(NAME, format!("study {} {{\n{body}}}\n", quoted(name))))
}

/// What the command line says of a study of a task: the planners asked for, flags of the budget, and assignments.
#[derive(Debug, Clone, Default)]
pub struct ControlWords {
    /// The model that is acted on, in place of the study's.
    pub plant: Option<String>,
    /// In the order asked for.
    pub planners: Vec<String>,
    /// `episodes = 3`
    pub budget: Vec<String>,
    /// `sqp.horizon` is a setting of an algorithm, `ukf.gate` one of a filter, anything else a start value.
    pub assignments: Vec<Assignment>,
}

impl ControlWords {
    /// The statements, one block for each algorithm and filter.
    fn statements(&self, planners: &[&str], filters: &[&str]) -> String {
        let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
        let mut add = |head: String, line: Option<String>| match blocks.iter_mut().find(|(known, _)| *known == head) {
            Some((_, lines)) => lines.extend(line),
            None => blocks.push((head, line.into_iter().collect())),
        };
        self.planners.iter().for_each(|name| add(format!("algorithm {}", quoted(name)), None));
        self.budget.iter().for_each(|line| add("budget".into(), Some(line.clone())));
        let mut starts = String::new();
        let mut parts: Vec<(String, String, String)> = Vec::new();
        for Assignment { path, value } in &self.assignments {
            let head = match path.split_once('.') {
                Some((block @ ("budget" | "evaluate" | "loop"), _)) => Some(block.to_string()),
                Some((block, _)) if planners.contains(&block) => Some(format!("algorithm {block}")),
                Some((block, _)) if filters.contains(&block) => Some(format!("filter {block}")),
                Some(_) | None => None,
            };
            match (head, path.split_once('.')) {
                // A setting of a part, such as `acr.mpc.horizon`, stands in a block of its own: the parts of all come after.
                (Some(head), Some((_, key))) => match key.split_once('.') {
                    Some((part, key)) => parts.push((head, part.to_string(), format!("{key} = {value}"))),
                    None => add(head, Some(format!("{key} = {value}"))),
                },
                (_, _) => starts.push_str(&format!("  start {path} = {value}\n")),
            }
        }
        while let Some((head, part, _)) = parts.first().cloned() {
            let (own, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(h, p, _)| (h, p) == (&head, &part));
            let lines: Vec<String> = own.into_iter().map(|(_, _, line)| line).collect();
            add(head, Some(format!("{part} {{ {} }}", lines.join("; "))));
            parts = others;
        }
        let block = |(head, lines): &(String, Vec<String>)| format!("  {head} {{ {} }}\n", lines.join("; "));
        let plant = self.plant.as_ref().map_or(String::new(), |name| format!("  plant {}\n", quoted(name)));
        plant + &blocks.iter().map(block).collect::<String>() + &starts
    }
}

/// Additions to the study `name` of a task; `None` where the command line says nothing.
pub fn to_control(name: &str, words: &ControlWords, planners: &[&str], filters: &[&str]) -> Option<SourceFile> {
    let body = words.statements(planners, filters);
    (!body.is_empty()).then(|| SourceFile::new(NAME, format!("study {} {{\n{body}}}\n", quoted(name))))
}

/// A text that carries out the task `name` of the file `path`, and the name of its study.
pub fn of_task(
    path: &str,
    name: &str,
    words: &ControlWords,
    planners: &[&str],
    filters: &[&str],
) -> (SourceFile, String) {
    study_of_task(CONTROL, path, name, words, planners, filters)
}

/// A text that trains on the task `name` of the file `path`, and the name of its study.
pub fn training_of_task(
    path: &str,
    name: &str,
    words: &ControlWords,
    algorithms: &[&str],
    filters: &[&str],
) -> (SourceFile, String) {
    study_of_task(TRAINING, path, name, words, algorithms, filters)
}

fn study_of_task(
    prefix: &str,
    path: &str,
    name: &str,
    words: &ControlWords,
    planners: &[&str],
    filters: &[&str],
) -> (SourceFile, String) {
    let study = format!("{prefix}{name}");
    let body = words.statements(planners, filters);
    let name = quoted(name);
    let text = format!("use {name} from \"{path}\"\nstudy {} of {name} {{\n{body}}}\n", quoted(&study));
    (SourceFile::new(NAME, text), study)
}

/// A text that makes the model `name` of the file `path` with other values, and the name of what it makes.
pub fn variant_of(path: &str, name: &str, assignments: &[Assignment]) -> (SourceFile, String) {
    let text = format!("use {} from \"{path}\"\n{}", quoted(name), variant(name, assignments));
    (SourceFile::new(NAME, text), format!("{VARIANT}{name}"))
}

/// `model X__ = X(N = 200)`
fn variant(name: &str, values: &[Assignment]) -> String {
    let list: Vec<String> = values.iter().map(|a| format!("{} = {}", quoted(&a.path), a.value)).collect();
    format!("model {} = {}({})\n", quoted(&format!("{VARIANT}{name}")), quoted(name), list.join(", "))
}

/// A text that runs the model `name` of the file `path`, and the name of its study. Assignments to `constants` make a
/// variant of the model; the others are start values, which keep what the model says of them otherwise.
pub fn of_model(
    path: &str,
    name: &str,
    assignments: &[Assignment],
    constants: &[String],
    simulate: &[String],
    more: &[String],
) -> (SourceFile, String) {
    let study = format!("{BARE}{name}");
    let (folded, others): (Vec<Assignment>, Vec<Assignment>) =
        assignments.iter().cloned().partition(|assignment| constants.contains(&assignment.path));
    let body = statements(&others, simulate, more);
    let (made, model) = match folded.as_slice() {
        [] => (String::new(), quoted(name)),
        values => (variant(name, values), quoted(&format!("{VARIANT}{name}"))),
    };
    let name = quoted(name);
    let text = format!("use {name} from \"{path}\"\n{made}study {} of {model} {{\n{body}}}\n", quoted(&study));
    (SourceFile::new(NAME, text), study)
}

/// A name in backticks where it needs them.
fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
    if is_plain { name.to_string() } else { format!("`{name}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &str, value: &str) -> Assignment {
        Assignment { path: path.into(), value: value.into() }
    }

    #[test]
    fn assignments_become_statements() {
        let file = to_study("Fit", &[set("kcat", "0.3 [1/s]"), set("fit.starts", "50")], &["until = 9".into()], &[]);
        assert_eq!(
            file.map(|f| f.text.to_string()).as_deref(),
            Some("study Fit {\n  start kcat = 0.3 [1/s]\n  fit { starts = 50 }\n  simulate { until = 9 }\n}\n")
        );
        assert!(to_study("Fit", &[], &[], &[]).is_none());
    }

    #[test]
    fn settings_of_one_algorithm_become_one_block() {
        let words = ControlWords {
            plant: None,
            planners: vec!["rti".into(), "sqp".into()],
            budget: vec!["episodes = 2".into()],
            assignments: vec![
                set("sqp.horizon", "5"),
                set("ekf.gate", "9"),
                set("x", "1 [m]"),
                set("sqp.tolerance", "0.1"),
            ],
        };
        let file = to_control("Loop", &words, &["sqp", "rti"], &["ekf"]);
        assert_eq!(
            file.map(|f| f.text.to_string()).as_deref(),
            Some(
                "study Loop {\n  algorithm rti {  }\n  algorithm sqp { horizon = 5; tolerance = 0.1 }\n  budget { episodes = 2 }\n  \
                 filter ekf { gate = 9 }\n  start x = 1 [m]\n}\n"
            )
        );
        assert!(to_control("Loop", &ControlWords::default(), &[], &[]).is_none());
    }

    #[test]
    fn settings_of_parts_become_blocks_inside() {
        let set = |path| set(path, "1");
        let words = ControlWords {
            assignments: vec![set("acr.mpc.horizon"), set("acr.lr"), set("acr.focus.lr"), set("acr.mpc.points")],
            ..ControlWords::default()
        };
        let (file, _) = training_of_task("a.twin", "T", &words, &["acr"], &[]);
        assert!(
            file.text.contains("  algorithm acr { lr = 1; mpc { horizon = 1; points = 1 }; focus { lr = 1 } }\n"),
            "{}",
            file.text
        );
    }

    #[test]
    fn the_only_candidate_is_taken() {
        let declared = Declared {
            models: vec!["A".into(), "B".into()],
            studies: vec![("Fit".into(), vec!["estimate".into()]), ("Run".into(), vec!["simulate".into()])],
        };
        let target = |name: Option<&str>| Target { path: "m.twin".into(), name: name.map(str::to_string) };
        assert_eq!(declared.to_simulate(&target(None)).ok(), Some(Choice::Study("Run".into())));
        assert_eq!(declared.to_simulate(&target(Some("B"))).ok(), Some(Choice::Model("B".into())));
        assert_eq!(declared.to_calibrate(&target(None)).ok().as_deref(), Some("Fit"));
        let bare = Declared { studies: Vec::new(), ..declared };
        assert!(bare.to_simulate(&target(None)).is_err());
        assert!(bare.to_calibrate(&target(None)).is_err());
    }
}
