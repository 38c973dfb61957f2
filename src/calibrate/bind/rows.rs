//! The rows of a study's tables, sorted into experiments: measurements, start values, constant parameters, forcing.

use std::sync::Arc;

use crate::calibrate::experiment::{Measurement, Target};
use crate::calibrate::table::{ColumnIdx, Table};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::FlatModel;
use crate::hir::Study;
use crate::hir::model::SymbolKind;
use crate::hir::study::{BindTarget, DataSet, Experiment};
use crate::integrate::{Forcing, Signal};
use crate::source::{Loader, SourceMap, Span};

use super::columns::{Bound, Role, columns};
use super::{BoundExperiment, declared_forcing};

/// What one experiment's rows say.
pub(super) struct Group {
    name: String,
    measurements: Vec<Measurement>,
    /// `(state, value)`
    start: Vec<(usize, f64)>,
    /// `(parameter, value)`
    params: Vec<(usize, f64)>,
    /// Inputs and disturbances, each once.
    signals: Vec<Driven>,
}

/// An input or disturbance that a column drives.
struct Driven {
    idx: usize,
    is_disturbance: bool,
    is_linear: bool,
    /// Where the column is bound.
    span: Span,
    /// Time and value, ascending in time.
    rows: Vec<(f64, f64)>,
}

impl Group {
    fn new(name: String) -> Group {
        Group { name, measurements: Vec::new(), start: Vec::new(), params: Vec::new(), signals: Vec::new() }
    }

    pub(super) fn into_bound(self, model: &Arc<FlatModel>, position: usize) -> BoundExperiment {
        let mut params: Vec<f64> = model.params.iter().map(|param| param.value).collect();
        for (param, value) in &self.params {
            params[*param] = *value;
        }
        let mut forcing = declared_forcing(model);
        for Driven { idx, is_disturbance, is_linear, rows, .. } in self.signals {
            let (times, values) = rows.into_iter().unzip();
            let signal = if is_linear { Signal::Linear { times, values } } else { Signal::Held { times, values } };
            if is_disturbance { forcing.disturbances[idx] = signal } else { forcing.inputs[idx] = signal }
        }
        let by_params = self.params.iter().map(|(param, _)| Target::Param(*param));
        let given = by_params.chain(self.start.iter().map(|(state, _)| Target::Start(*state))).collect();
        BoundExperiment {
            given,
            name: self.name,
            model: position,
            params,
            links: Vec::new(),
            start: self.start,
            is_steady: false,
            forcing,
            measurements: self.measurements,
        }
    }
}

/// Reads all tables of an experiment. `None` where errors were reported.
pub(super) fn read(
    study: &Study,
    experiment: &Experiment,
    model: &FlatModel,
    file: &str,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut is_whole = true;
    for data in &experiment.data {
        let before = diagnostics.len();
        let read = read_set(study, data, &experiment.name, model, file, loader, sources, diagnostics, &mut groups);
        is_whole &=
            read.is_some() && !diagnostics.iter().skip(before).any(|d| d.severity == crate::diag::Severity::Error);
    }
    is_whole.then_some(groups)
}

/// Reads the inputs and disturbances of a simulation's tables over the declared values. `None` where errors were
/// reported.
pub fn read_forcing(
    study: &Study,
    sets: &[DataSet],
    model: &FlatModel,
    file: &str,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Forcing> {
    let mut is_forcing_only = true;
    for set in sets {
        if let Some((name, span)) = &set.by {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0107"),
                    *span,
                    format!("a simulation is one run: `by {name}` has no meaning here"),
                )
                .at("remove this")
                .help("keep the rows of one run in the file"),
            );
            is_forcing_only = false;
        }
        for binding in &set.bindings {
            let is_forced = match binding.target {
                BindTarget::Time => true,
                BindTarget::Symbol(symbol) => {
                    matches!(study.model.symbol(symbol).kind, SymbolKind::Input | SymbolKind::Disturbance)
                }
            };
            if !is_forced || binding.is_initial {
                diagnostics.push(
                    Diagnostic::new(
                        Code("E0606"),
                        binding.span,
                        format!("a simulation reads inputs and disturbances, and `{}` is none", binding.name),
                    )
                    .help("give start values and parameters with `start`"),
                );
                is_forcing_only = false;
            }
        }
    }
    if !is_forcing_only {
        return None;
    }
    let data = sets.to_vec();
    let experiment = Experiment { data, ..Experiment::default() };
    let groups = read(study, &experiment, model, file, loader, sources, diagnostics)?;
    // Without `by` and names all rows are of one group.
    let merged = groups.into_iter().next().unwrap_or_else(|| Group::new(String::new()));
    let shared = Arc::new(model.clone());
    Some(merged.into_bound(&shared, 0).forcing)
}

#[allow(clippy::too_many_arguments)]
fn read_set(
    study: &Study,
    data: &DataSet,
    experiment: &str,
    model: &FlatModel,
    file: &str,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
    groups: &mut Vec<Group>,
) -> Option<()> {
    let table = load(data, file, loader, sources, diagnostics)?;
    let by = match &data.by {
        Some((name, span)) => match table.column(name) {
            Some(column) => Some(column),
            None => {
                diagnostics.push(table.missing_column(name, *span));
                return None;
            }
        },
        None => None,
    };
    let bound = columns(study, data, model, &table, diagnostics)?;
    let has_time = bound.iter().any(|b| b.role == Role::Time);
    let needs_time = |b: &&Bound<'_>| matches!(b.role, Role::Observable(_) | Role::Input(_) | Role::Disturbance(_));
    if let Some(needy) = bound.iter().find(needs_time).filter(|_| !has_time) {
        diagnostics.push(
            Diagnostic::new(
                Code("E0409"),
                needy.binding.span,
                format!("`{}` is measured, but no column is bound to `time`", needy.binding.name),
            )
            .help("write `time <- t [s]`"),
        );
        return None;
    }
    has_measurements(&table, &bound, diagnostics);
    for (name, rows) in partition(&table, by, diagnostics) {
        let name = match (experiment.is_empty(), name.is_empty()) {
            (true, _) => name,
            (false, true) => experiment.to_string(),
            (false, false) => format!("{experiment}/{name}"),
        };
        let position = groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            groups.push(Group::new(name));
            groups.len() - 1
        });
        read_rows(&table, &rows, &bound, &mut groups[position], diagnostics);
    }
    Some(())
}

fn load(
    data: &DataSet,
    file: &str,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Table> {
    let loaded = match loader.load(file, &data.path) {
        Ok(loaded) => loaded,
        Err(error) => {
            let help = match error.help.as_str() {
                "" => "the path is taken from the folder of the study's file",
                help => help,
            };
            let title = format!("`{}` cannot be read: {error}", data.path);
            diagnostics.push(Diagnostic::new(Code(error.code), data.path_span, title).help(help));
            return None;
        }
    };
    let id = sources.find(&loaded.name).unwrap_or_else(|| sources.add(loaded));
    Table::read(sources, id, diagnostics)
}

/// Rows by the text of the grouping column, groups in order of their first row.
fn partition(table: &Table, by: Option<ColumnIdx>, diagnostics: &mut Diagnostics) -> Vec<(String, Vec<usize>)> {
    let Some(by) = by else { return vec![(String::new(), (0..table.n_rows()).collect())] };
    let mut places = std::collections::HashMap::new();
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for row in 0..table.n_rows() {
        let Some(name) = table.text(row, by).map(|name| name.into_owned()) else {
            diagnostics.push(
                Diagnostic::new(Code("E0606"), table.row_span(row), "a row does not say which experiment it is of")
                    .help("fill in the column that `by` names, or remove the row"),
            );
            continue;
        };
        let place = *places.entry(name.clone()).or_insert_with(|| {
            groups.push((name, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(row);
    }
    groups
}

/// E0606 for an observable whose column has no value in any row. That it was not measured in some experiment is fine.
fn has_measurements(table: &Table, bound: &[Bound<'_>], diagnostics: &mut Diagnostics) {
    for b in bound.iter().filter(|b| matches!(b.role, Role::Observable(_))) {
        if (0..table.n_rows()).all(|row| table.text(row, b.column).is_none()) {
            let title = format!("no row of the column `{}` holds a value of `{}`", b.binding.column, b.binding.name);
            diagnostics.push(
                Diagnostic::new(Code("E0606"), b.binding.span, title)
                    .at("nothing was measured")
                    .help("fill in the column, bind another one, or remove this line"),
            );
        }
    }
}

/// E0606 for a column that says nothing in an experiment that needs its value: the declared one shall not stand in for
/// it in silence.
fn says_nothing(b: &Bound<'_>, group: &Group, diagnostics: &mut Diagnostics) {
    let whose = if group.name.is_empty() { String::new() } else { format!(" in `{}`", group.name) };
    let title = format!("the column `{}` gives no value of `{}`{whose}", b.binding.column, b.binding.name);
    diagnostics.push(
        Diagnostic::new(Code("E0606"), b.binding.span, title)
            .at("every cell is empty")
            .help("fill in a value for each experiment, or remove this line to use the declared one"),
    );
}

/// Keeps a signal of an experiment; E0606 where another column drives the same input.
fn drive(group: &mut Group, driven: Driven, b: &Bound<'_>, diagnostics: &mut Diagnostics) {
    let is_same = |known: &&Driven| known.idx == driven.idx && known.is_disturbance == driven.is_disturbance;
    let Some(first) = group.signals.iter().find(is_same) else {
        group.signals.push(driven);
        return;
    };
    diagnostics.push(
        Diagnostic::new(Code("E0606"), driven.span, format!("`{}` is driven by two columns", b.binding.name))
            .at("again here")
            .label(first.span, "first here")
            .help("keep one of them, or give the tables their own `experiment`"),
    );
}

/// Keeps a constant of an experiment; another table of it must not say otherwise (E0606).
fn agree(known: &mut Vec<(usize, f64)>, place: usize, value: f64, b: &Bound<'_>, diagnostics: &mut Diagnostics) {
    match known.iter().find(|(p, _)| *p == place) {
        Some((_, first)) if *first != value => diagnostics.push(
            Diagnostic::new(
                Code("E0606"),
                b.binding.span,
                format!("`{}` is {value} here, and {first} in another table of the same experiment", b.binding.name),
            )
            .at("one value for each experiment")
            .help("give the tables their own `experiment`, or group their rows with `by`"),
        ),
        Some(_) => {}
        None => known.push((place, value)),
    }
}

fn read_rows(table: &Table, rows: &[usize], bound: &[Bound<'_>], group: &mut Group, diagnostics: &mut Diagnostics) {
    let time = bound.iter().find(|b| b.role == Role::Time);
    let mut times = Vec::with_capacity(rows.len());
    for &row in rows {
        let value = time.and_then(|time| number(table, row, time, diagnostics));
        if let (None, Some(time)) = (value, time)
            && table.text(row, time.column).is_none()
        {
            diagnostics.push(
                Diagnostic::new(Code("E0606"), table.row_span(row), "a row has no time")
                    .help("give it a time, or remove the row"),
            );
        }
        times.push(value);
    }
    if let Some(time) = time {
        note_unsorted(table, rows, &times, time, diagnostics);
        follow_the_start(table, rows, &times, time, bound, diagnostics);
    }
    for b in bound {
        match b.role {
            Role::Time => {}
            Role::Observable(observable) => {
                for (&row, when) in rows.iter().zip(&times) {
                    if let (Some(value), Some(time)) = (number(table, row, b, diagnostics), *when)
                        && b.has_logarithm(value, table.cell_span(row, b.column), diagnostics)
                    {
                        group.measurements.push(Measurement { time, observable, value });
                    }
                }
            }
            Role::Start(state) => {
                if let Some(value) = constant(table, rows, b, group, diagnostics) {
                    agree(&mut group.start, state, value, b, diagnostics);
                }
            }
            Role::Param(param) => {
                if let Some(value) = constant(table, rows, b, group, diagnostics) {
                    agree(&mut group.params, param, value, b, diagnostics);
                }
            }
            Role::Input(idx) | Role::Disturbance(idx) => {
                if let Some(rows) = signal(table, rows, &times, b, group, diagnostics) {
                    let is_disturbance = matches!(b.role, Role::Disturbance(_));
                    let (is_linear, span) = (b.binding.is_linear, b.binding.span);
                    drive(group, Driven { idx, is_disturbance, is_linear, span, rows }, b, diagnostics);
                }
            }
        }
    }
}

/// A cell in the unit of what it is bound to; `None` where it is empty or was reported.
fn number(table: &Table, row: usize, bound: &Bound<'_>, diagnostics: &mut Diagnostics) -> Option<f64> {
    match table.number(row, bound.column) {
        Ok(cell) => cell.map(|value| bound.binding.factor * value + bound.binding.offset),
        Err(error) => {
            diagnostics.push(error.diagnostic(&bound.binding.column));
            None
        }
    }
}

fn note_unsorted(
    table: &Table,
    rows: &[usize],
    times: &[Option<f64>],
    time: &Bound<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mut last = f64::NEG_INFINITY;
    for (&row, when) in rows.iter().zip(times) {
        let Some(when) = *when else { continue };
        if when < last {
            diagnostics.push(
                Diagnostic::new(Code("W0105"), table.cell_span(row, time.column), "rows were not sorted by time")
                    .at("earlier than the row before")
                    .note("the rows are used in the order of their times"),
            );
            return;
        }
        last = when;
    }
}

/// E0606 at the first measured row whose time lies before the start of every experiment. A signal may begin earlier.
fn follow_the_start(
    table: &Table,
    rows: &[usize],
    times: &[Option<f64>],
    time: &Bound<'_>,
    bound: &[Bound<'_>],
    diagnostics: &mut Diagnostics,
) {
    let is_measured =
        |row: usize| bound.iter().any(|b| matches!(b.role, Role::Observable(_)) && table.text(row, b.column).is_some());
    let early = rows.iter().zip(times).find(|(row, when)| when.is_some_and(|t| t < 0.0) && is_measured(**row));
    let Some((&row, &Some(when))) = early else { return };
    let title = format!("a measurement is at time {when}, and experiments start at time 0");
    diagnostics.push(
        Diagnostic::new(Code("E0606"), table.cell_span(row, time.column), title)
            .at("before the start")
            .help("count time from the start of the experiment, and leave earlier rows out"),
    );
}

/// The one value that a column gives to an experiment.
fn constant(
    table: &Table,
    rows: &[usize],
    bound: &Bound<'_>,
    group: &Group,
    diagnostics: &mut Diagnostics,
) -> Option<f64> {
    let mut found: Option<(f64, Span)> = None;
    for &row in rows {
        let Some(value) = number(table, row, bound, diagnostics) else { continue };
        let span = table.cell_span(row, bound.column);
        match found {
            None => found = Some((value, span)),
            Some((first, _)) if first == value => {}
            Some((_, place)) => {
                let whose = if group.name.is_empty() { String::new() } else { format!(" in `{}`", group.name) };
                let title = format!("`{}` has more than one value{whose}", bound.binding.name);
                diagnostics.push(
                    Diagnostic::new(Code("E0606"), span, title)
                        .at("this one differs")
                        .label(place, "the first value")
                        .help("give each experiment one value, or name the grouping column: `data \"file.csv\" by column`"),
                );
                return None;
            }
        }
    }
    if found.is_none() && rows.iter().all(|&row| table.text(row, bound.column).is_none()) {
        says_nothing(bound, group, diagnostics);
    }
    found.filter(|&(value, cell)| bound.is_inside(value, cell, diagnostics)).map(|(value, _)| value)
}

/// The rows of a forcing, ascending in time.
fn signal(
    table: &Table,
    rows: &[usize],
    times: &[Option<f64>],
    bound: &Bound<'_>,
    group: &Group,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(f64, f64)>> {
    let mut points: Vec<(f64, f64, Span)> = Vec::new();
    for (&row, when) in rows.iter().zip(times) {
        if let (Some(value), Some(time)) = (number(table, row, bound, diagnostics), *when) {
            points.push((time, value, table.cell_span(row, bound.column)));
        }
    }
    if points.is_empty() && rows.iter().all(|&row| table.text(row, bound.column).is_none()) {
        says_nothing(bound, group, diagnostics);
    }
    // The first one tells enough of a column in a wrong unit.
    if !points.iter().all(|&(_, value, cell)| bound.is_inside(value, cell, diagnostics)) {
        return None;
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    for pair in points.windows(2) {
        if pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1 {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0606"),
                    pair[1].2,
                    format!("`{}` has two values at time {}", bound.binding.name, pair[0].0),
                )
                .at("this one")
                .label(pair[0].2, "and this one")
                .help("an input has one value at a time; keep one of the rows"),
            );
            return None;
        }
    }
    points.dedup_by(|a, b| a.0 == b.0);
    (!points.is_empty()).then(|| points.into_iter().map(|(time, value, _)| (time, value)).collect())
}
