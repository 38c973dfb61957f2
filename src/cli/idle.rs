//! Values that cannot have an effect: a `start` or `--set` of what is swept, driven by a table, given by a column, or
//! estimated. Nothing is wrong with the run, but its author expects something else of it (W0110).

use super::additions::is_command_line;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::hir::study::{BindTarget, DataSet, Start, Study};
use crate::hir::{Symbol, SymbolId};
use crate::source::{SourceMap, Span};

/// What a study is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// `sim`
    Simulation,
    /// `calibrate`
    Fit,
}

/// Why a value is not used, and where that is written.
type Reason = (String, Span);

/// Warns of values of `study` without effect. With `run`, what the command line says is held against that use alone;
/// what the file says must be without effect in all that the study is made for.
pub fn warn(study: &Study, run: Option<Use>, sources: &SourceMap, diagnostics: &mut Diagnostics) {
    let is_fit = !study.estimates.is_empty();
    let is_simulation = study.simulate.is_some() || !study.sweeps.is_empty();
    for start in study.starts.iter().filter(|start| is_scalar(study, start)) {
        let is_asked = is_command_line(start.span, sources);
        let (simulates, fits) = match run {
            Some(run) if is_asked => (run == Use::Simulation, run == Use::Fit),
            Some(_) | None => (is_simulation, is_fit),
        };
        let of_simulation = simulates.then(|| in_simulation(study, start));
        let of_fit = fits.then(|| in_fit(study, start));
        let uses = [of_simulation, of_fit];
        if uses.iter().flatten().any(Option::is_none) {
            continue;
        }
        // What the command line adds may overrule the file in silence.
        let reason =
            uses.into_iter().flatten().flatten().find(|(_, span)| is_asked || !is_command_line(*span, sources));
        if let Some(reason) = reason {
            diagnostics.push(idle(study, start, reason));
        }
    }
    for experiment in &study.experiments {
        for start in experiment.starts.iter().filter(|start| is_scalar(study, start)) {
            if let Some(span) = bound(&experiment.data, start.symbol) {
                diagnostics.push(idle(study, start, ("given by a column of this experiment".into(), span)));
            }
        }
    }
}

fn idle(study: &Study, start: &Start, (why, span): Reason) -> Diagnostic {
    let name = &study.model.symbol(start.symbol).name;
    Diagnostic::new(Code("W0110"), start.span, format!("`{name}` is {why}, so that this value has no effect"))
        .at("not used")
        .label(span, "used instead")
        .help("remove one of the two")
}

/// Members of a family may be given one by one, so nothing is said of them.
fn is_scalar(study: &Study, start: &Start) -> bool {
    study.model.symbol(start.symbol).ranges.is_empty()
}

fn in_simulation(study: &Study, start: &Start) -> Option<Reason> {
    if let Some(sweep) = study.sweeps.iter().find(|sweep| sweep.symbol == start.symbol) {
        return Some(("swept".into(), sweep.span));
    }
    let forcing = study.simulate.iter().flat_map(|simulate| &simulate.forcing);
    let span = forcing.into_iter().find_map(|set| bound(std::slice::from_ref(set), start.symbol))?;
    Some(("driven by a table".into(), span))
}

fn in_fit(study: &Study, start: &Start) -> Option<Reason> {
    if let Some(estimate) = study.estimates.iter().find(|estimate| estimate.symbol == start.symbol) {
        let is_first_start = study.fit.truth("nominal") == Some(true);
        // A prior that does not say its location has it from the declared value.
        let is_location = match estimate.prior {
            Some(prior) => prior.args[0].is_none(),
            None => declared_location_is_open(study.model.symbol(start.symbol)),
        };
        return (!is_first_start && !is_location).then(|| ("estimated".into(), estimate.span));
    }
    let mut given = study.experiments.iter().map(|experiment| bound(&experiment.data, start.symbol));
    let first = given.next()??;
    given.all(|span| span.is_some()).then(|| ("given by a column in every experiment".into(), first))
}

fn declared_location_is_open(symbol: &Symbol) -> bool {
    symbol.dist.as_ref().is_some_and(|dist| dist.args[0].is_none())
}

/// The binding of a column to `symbol`.
fn bound(sets: &[DataSet], symbol: SymbolId) -> Option<Span> {
    let mut bindings = sets.iter().flat_map(|set| &set.bindings);
    bindings.find(|binding| binding.target == BindTarget::Symbol(symbol)).map(|binding| binding.span)
}
