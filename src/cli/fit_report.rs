//! What came out of a fit, in the forms that are written: `result.json`, tables, the summary on the terminal, and the
//! report's data.

use super::fit_run::{Fit, Found};
use super::machine;
use crate::calibrate::{Experiment, Prediction, Scale};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::report::{FitCurve, FitReport, Identifiability, NEAR_BEST, ParameterRow, StartRow};
use crate::export::snapshot::distribution;
use crate::export::table::{Column, Table, number};
use crate::flat::Noise;
use crate::hir::settings::{SettingKind, SettingSpec, Settings};
use crate::optimize::trust_region::Side;
use serde_json::{Value, json};

/// Standard deviations on each side that hold 95 % of a normal distribution.
const NORMAL_95: f64 = 1.959963984540054;

/// The settings of `report { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    SettingSpec {
        name: "identifiability",
        kind: SettingKind::Truth,
        unit: "",
        default: "true",
        doc: "whether the report says which estimates the data determine",
    },
    SettingSpec {
        name: "profiles",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "whether profile likelihoods are computed; not supported by this version",
    },
];

/// Checks the `report` block of a study.
pub fn check(report: &Settings, diagnostics: &mut Diagnostics) {
    if let Some((name, span)) = &report.method {
        let title = format!("`report` takes no name, but `{name}` is given");
        diagnostics.push(Diagnostic::new(Code("E0107"), *span, title).at("remove this"));
    }
    report.check("report", SETTINGS, diagnostics);
    if report.truth("profiles") == Some(true)
        && let Some(setting) = report.get("profiles")
    {
        diagnostics.push(
            Diagnostic::new(Code("E0901"), setting.key_span, "profile likelihoods are not supported by this version")
                .at("not supported")
                .help("remove it; the report has intervals from the Fisher information"),
        );
    }
}

/// One experiment at the best point.
pub struct Curve {
    /// The experiment.
    pub experiment: Experiment,
    /// Times of the rows.
    pub times: Vec<f64>,
    /// One column a state.
    pub states: Vec<Vec<f64>>,
    /// One column an output of the system.
    pub outputs: Vec<Vec<f64>>,
    /// Its measurements beside the model.
    pub predictions: Vec<Prediction>,
}

/// The document `result.json`.
pub fn result(fit: &Fit<'_>, found: &Found<'_>) -> Value {
    let parameters: Vec<Value> = fit
        .problem
        .parameters()
        .iter()
        .enumerate()
        .map(|(i, parameter)| {
            let interval = &found.confidence.intervals[i];
            let (low, high) = parameter.bounds();
            json!({
                "name": parameter.name, "unit": fit.param_units[i], "value": found.best.values[i],
                "interval": [interval.low, interval.high], "sd_on_search_scale": interval.sd,
                "bounds": [finite(low), finite(high)], "scale": scale_word(parameter.scale),
                "prior": parameter.prior.as_ref().map(distribution), "at_bound": found.best.at_bounds[i],
                "identifiable": interval.is_identifiable,
            })
        })
        .collect();
    json!({
        "schema": machine::SCHEMA,
        "study": fit.study,
        "model": fit.model,
        "objective": found.best.objective,
        "objective_name": objective_name(fit),
        "n_measurements": fit.problem.n_measurements(),
        "parameters": parameters,
        "confidence": found.confidence,
        "best_start": found.best.index,
        "n_starts": found.starts.starts.len(),
        "n_at_best": found.starts.n_at_best(NEAR_BEST),
        "complete": found.starts.is_complete,
        "stop": found.best.stop.to_string(),
        "ranking": found.starts.ranking.iter().map(|&i| found.starts.starts[i].index).collect::<Vec<_>>(),
        "objectives": found.starts.ranking.iter().map(|&i| finite(found.starts.starts[i].objective)).collect::<Vec<_>>(),
    })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

pub fn scale_word(scale: Scale) -> &'static str {
    match scale {
        Scale::Linear => "linear",
        Scale::Log => "log",
    }
}

fn objective_name(fit: &Fit<'_>) -> &'static str {
    let has_priors = fit.settings.priors && fit.problem.parameters().iter().any(|p| p.prior.is_some());
    if has_priors { "negative log-posterior" } else { "negative log-likelihood" }
}

/// What is wrong with an estimate, in a few words; empty where nothing is. Nothing more is known of one at its bound.
fn flag(found: &Found<'_>, i: usize) -> String {
    match found.best.at_bounds[i] {
        Some(Side::Low) => "at lower bound".into(),
        Some(Side::High) => "at upper bound".into(),
        None if found.confidence.intervals[i].is_identifiable => String::new(),
        None if found.confidence.intervals[i].sd.is_some() => "hardly identifiable".into(),
        None => "not identifiable".into(),
    }
}

/// The table on the terminal.
pub fn summary(fit: &Fit<'_>, found: &Found<'_>) -> String {
    let mut rows =
        vec![["parameter".to_string(), "estimate".into(), String::new(), "unit".into(), "scale".into(), String::new()]];
    rows[0][2] = format!("{} % interval", number(100.0 * fit.settings.level));
    for (i, parameter) in fit.problem.parameters().iter().enumerate() {
        let interval = &found.confidence.intervals[i];
        let interval = match (interval.low, interval.high) {
            (Some(low), Some(high)) => format!("{} .. {}", short(low), short(high)),
            (None, _) | (_, None) => "-".into(),
        };
        rows.push([
            parameter.name.clone(),
            short(found.best.values[i]),
            interval,
            fit.param_units[i].clone(),
            scale_word(parameter.scale).into(),
            flag(found, i),
        ]);
    }
    let widths: Vec<usize> = (0..6).map(|c| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
    let mut out = format!(
        "{}: {} {}, {} measurements; best reached by {} of {} starts\n",
        fit.study,
        objective_name(fit),
        short(found.best.objective),
        fit.problem.n_measurements(),
        found.starts.n_at_best(NEAR_BEST),
        found.starts.starts.len(),
    );
    out.extend(unevaluated(found).map(|remark| format!("{remark}\n")));
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Six significant digits.
fn short(value: f64) -> String {
    format!("{value:.5e}").parse::<f64>().map_or_else(|_| value.to_string(), number)
}

/// `predictions.csv`: every measurement beside the model.
pub fn predictions(found: &Found<'_>) -> String {
    let mut out = String::from("experiment,observable,time,measured,median,spread,residual\n");
    for curve in found.curves {
        for p in &curve.predictions {
            let observable = &curve.experiment.observables[p.observable].quantity.name;
            let numbers = [p.time, p.measured, p.median, p.spread, p.residual].map(number).join(",");
            out.push_str(&format!("{},{},{numbers}\n", csv_text(&curve.experiment.name), csv_text(observable)));
        }
    }
    out
}

fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

/// States and medians of one experiment over time.
pub fn trajectory(fit: &Fit<'_>, curve: &Curve) -> Table {
    let column = |name: &str, unit: &str, values: &[f64]| Column {
        name: name.into(),
        unit: unit.into(),
        values: values.to_vec(),
    };
    let mut columns = vec![column("time", fit.time_unit, &curve.times)];
    for ((name, unit), values) in fit.states.iter().zip(&curve.states) {
        columns.push(column(name, unit, values));
    }
    for observable in &curve.experiment.observables {
        let quantity = &observable.quantity;
        columns.push(column(&quantity.name, &quantity.unit, &curve.outputs[observable.value_output]));
    }
    Table { columns }
}

/// The report's data.
pub fn report(fit: &Fit<'_>, found: &Found<'_>) -> FitReport {
    let parameters = fit
        .problem
        .parameters()
        .iter()
        .enumerate()
        .map(|(i, parameter)| {
            let interval = &found.confidence.intervals[i];
            ParameterRow {
                name: parameter.name.clone(),
                unit: fit.param_units[i].clone(),
                value: found.best.values[i],
                interval: interval.low.zip(interval.high),
                bounds: parameter.bounds(),
                is_log: parameter.scale == Scale::Log,
                prior: parameter.prior.as_ref().map(distribution).unwrap_or_default(),
                flag: flag(found, i),
            }
        })
        .collect();
    let starts = found
        .starts
        .ranking
        .iter()
        .map(|&i| {
            let start = &found.starts.starts[i];
            StartRow {
                index: start.index,
                objective: start.objective,
                n_iterations: start.n_iterations,
                gradient_norm: start.gradient_norm,
                reason: start.stop.to_string(),
            }
        })
        .collect();
    FitReport {
        study: fit.study.into(),
        model: fit.model.into(),
        doc: fit.doc.into(),
        objective: found.best.objective,
        objective_name: objective_name(fit).into(),
        n_measurements: fit.problem.n_measurements(),
        parameters,
        level: fit.settings.level,
        identifiability: fit.has_identifiability.then(|| identifiability(found)),
        starts,
        fits: found.curves.iter().flat_map(|curve| fit_curves(fit, curve)).collect(),
        remarks: remarks(fit, found),
        settings: settings(fit),
        sources: fit.sources.to_vec(),
        command: fit.command.into(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// What the data determine at the best point.
fn identifiability(found: &Found<'_>) -> Identifiability {
    let n = found.confidence.intervals.len();
    let mut correlations = vec![f64::NAN; n * n];
    for (a, row) in found.confidence.free.iter().zip(&found.confidence.correlation) {
        for (b, value) in found.confidence.free.iter().zip(row) {
            correlations[a * n + b] = *value;
        }
    }
    let combinations = found.confidence.unidentifiable.iter().map(|combination| {
        let names = combination.components.iter().map(|(name, weight)| format!("{weight:+.2} {name}"));
        names.collect::<Vec<String>>().join(" ")
    });
    Identifiability { combinations: combinations.collect(), correlations }
}

fn fit_curves(fit: &Fit<'_>, curve: &Curve) -> Vec<FitCurve> {
    let mut out = Vec::new();
    for (idx, observable) in curve.experiment.observables.iter().enumerate() {
        let here: Vec<&Prediction> = curve.predictions.iter().filter(|p| p.observable == idx).collect();
        if here.is_empty() {
            continue;
        }
        let medians = &curve.outputs[observable.value_output];
        let spreads = observable.spread_output.map(|output| &curve.outputs[output]);
        let (low, high) = match (spreads, observable.noise) {
            (Some(spreads), Some(noise)) => medians.iter().zip(spreads).map(|(&m, &s)| band(noise, m, s)).unzip(),
            (None, _) | (_, None) => (Vec::new(), Vec::new()),
        };
        out.push(FitCurve {
            experiment: curve.experiment.name.clone(),
            observable: observable.quantity.name.clone(),
            unit: observable.quantity.unit.clone(),
            time_unit: fit.time_unit.into(),
            times: curve.times.clone(),
            values: medians.clone(),
            low,
            high,
            data: here.iter().map(|p| (p.time, p.measured)).collect(),
            residuals: here.iter().map(|p| p.residual).collect(),
        });
    }
    out
}

/// Where 95 % of measurements lie.
fn band(noise: Noise, median: f64, spread: f64) -> (f64, f64) {
    match noise {
        Noise::Normal => (median - NORMAL_95 * spread, median + NORMAL_95 * spread),
        Noise::LogNormal => {
            let factor = spread.powf(NORMAL_95);
            (median / factor, median * factor)
        }
        // P(|y − median| > a) = exp(−a/scale)
        Noise::Laplace => {
            let a = spread * 20_f64.ln();
            (median - a, median + a)
        }
    }
}

fn remarks(fit: &Fit<'_>, found: &Found<'_>) -> Vec<String> {
    let mut remarks = Vec::new();
    if !found.starts.is_complete {
        let (n, all) = (found.starts.starts.len(), fit.settings.starts);
        remarks.push(format!("The run was interrupted: {n} of {all} starts are finished."));
    }
    if !found.best.stop.is_converged() {
        remarks.push(format!("The best start did not converge: {}.", found.best.stop));
    }
    for (i, parameter) in fit.problem.parameters().iter().enumerate() {
        let (low, high) = parameter.bounds();
        let unit = if fit.param_units[i].is_empty() { String::new() } else { format!(" {}", fit.param_units[i]) };
        match found.best.at_bounds[i] {
            Some(Side::Low) => remarks.push(format!(
                "`{}` ended at its lower bound {}{unit}; the data would rather have it smaller.",
                parameter.name,
                short(low)
            )),
            Some(Side::High) => remarks.push(format!(
                "`{}` ended at its upper bound {}{unit}; the data would rather have it larger.",
                parameter.name,
                short(high)
            )),
            None => {}
        }
    }
    let n_best = found.starts.n_at_best(NEAR_BEST);
    if n_best == 1 && found.starts.starts.len() > 1 {
        remarks.push("Only one start reached the best point; more starts may find a better one.".into());
    }
    remarks.extend(unevaluated(found).map(|remark| format!("{remark}.")));
    remarks
}

/// How many starts have no value; `None` where all have one.
fn unevaluated(found: &Found<'_>) -> Option<String> {
    let n_failed = found.starts.starts.iter().filter(|start| !start.objective.is_finite()).count();
    (n_failed > 0).then(|| format!("{n_failed} of {} starts could not be evaluated", found.starts.starts.len()))
}

/// Every setting in force.
pub fn settings(fit: &Fit<'_>) -> Vec<(String, String)> {
    let s = fit.settings;
    vec![
        ("starts".into(), s.starts.to_string()),
        ("seed".into(), s.seed.to_string()),
        ("sampling".into(), s.sampling.name().into()),
        ("nominal".into(), s.nominal.to_string()),
        ("priors".into(), s.priors.to_string()),
        ("tolerance".into(), number(s.tolerance)),
        ("max_iterations".into(), s.max_iterations.to_string()),
        ("rtol".into(), number(s.rtol)),
        ("atol".into(), s.atol.map_or("rtol times the size of each state".into(), number)),
        ("method".into(), s.method.name().into()),
        ("max_steps".into(), s.max_steps.to_string()),
        ("level".into(), number(s.level)),
        ("report.identifiability".into(), fit.has_identifiability.to_string()),
    ]
}
