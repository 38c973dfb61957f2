//! From a checked study to the description of a fit: flat models, parameters with bounds, scales and priors, and
//! experiments with their data in the model's units.
//!
//! [`bind`] reads the tables through a [`Loader`] and reports what does not fit at the cell or binding that is wrong.
//! It compiles nothing: [`BoundExperiment::into_experiment`] takes the system that the caller made of
//! [`Bound::models`]. Experiments that differ in numbers only share a model, and so its kernels.

mod columns;
mod priors;
mod rows;

use std::sync::Arc;

use crate::analyze::Structure;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Env, Interpreter};
use crate::flat::{Distribution, FlatModel, Variation, flatten};
use crate::hir::model::{DistKind, SymbolKind};
use crate::hir::settings::Settings;
use crate::hir::study::{Estimate, Experiment as StudyExperiment, Prior};
use crate::hir::{Study, SymbolId};
use crate::integrate::{Forcing, Method, Signal, Tolerance};
use crate::source::{Loader, SourceMap, Span};
use crate::system::System;

use super::experiment::{Experiment, Link, Measurement, Target};
use super::parameter::{Parameter, Scale};
use super::sampling::Sampling;
use super::settings::{FitSettings, SETTINGS};

pub use rows::read_forcing;

/// The description of a fit.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Distinct flat models.
    pub models: Vec<Arc<FlatModel>>,
    /// What is estimated.
    pub parameters: Vec<Parameter>,
    /// Units of the parameters, for people.
    pub units: Vec<String>,
    /// The `estimate` of each parameter.
    pub spans: Vec<Span>,
    /// What was measured, and under which conditions.
    pub experiments: Vec<BoundExperiment>,
}

/// An experiment without its system.
#[derive(Debug, Clone)]
pub struct BoundExperiment {
    /// As the user knows it; empty where there is only one.
    pub name: String,
    /// Position in [`Bound::models`].
    pub model: usize,
    /// `n_params`
    pub params: Vec<f64>,
    /// Where the estimated parameters stand.
    pub links: Vec<Link>,
    /// Start values that a table gives.
    pub start: Vec<(usize, f64)>,
    /// `start steady`
    pub is_steady: bool,
    /// What a column or the experiment's own `start` gives: estimates leave it alone.
    pub given: Vec<Target>,
    /// Inputs and disturbances.
    pub forcing: Forcing,
    /// The data; `observable` is the position in the model's observables.
    pub measurements: Vec<Measurement>,
}

impl BoundExperiment {
    /// The experiment with its system, whose tolerances follow from `rtol` and the model's start values unless the
    /// study gives `atol`.
    pub fn into_experiment(self, model: &FlatModel, system: Arc<dyn System>, settings: &FitSettings) -> Experiment {
        let tolerance = match settings.atol {
            Some(atol) => Tolerance::Scalar(atol),
            None => Tolerance::PerState(absolute_tolerances(model, &self.params, settings.rtol)),
        };
        let t0 = 0.0;
        Experiment {
            name: self.name,
            system,
            observables: model.observables.clone(),
            state_names: model.states.iter().map(|state| state.quantity.name.clone()).collect(),
            params: self.params,
            links: self.links,
            start: self.start,
            steady: self.is_steady.then(|| Arc::new(Structure::of(model))),
            forcing: self.forcing,
            t0,
            tolerance,
            measurements: self.measurements,
        }
    }
}

/// Size of a state where no start value tells: small, because a tolerance above the solution gives wrong numbers, and one
/// below it costs little.
const UNKNOWN_SIZE: f64 = 1e-6;

/// `rtol` times the size of each state: its start value, or where that is zero the largest start value of its unit, at
/// most 1, or [`UNKNOWN_SIZE`] where there is none. A state of another size needs `atol`.
pub fn absolute_tolerances(model: &FlatModel, params: &[f64], rtol: f64) -> Vec<f64> {
    let starts: Vec<f64> = start_values(model, params).iter().map(|x| x.abs()).collect();
    let fallback = |unit: &str| {
        let of_unit =
            model.states.iter().zip(&starts).filter(|(state, _)| state.quantity.unit == unit).map(|(_, x)| *x);
        let largest = of_unit.filter(|x| x.is_finite()).fold(0.0, f64::max);
        if largest > 0.0 { largest.min(1.0) } else { UNKNOWN_SIZE }
    };
    let sizes = model.states.iter().zip(&starts);
    sizes.map(|(state, &x)| rtol * if x > 0.0 && x.is_finite() { x } else { fallback(&state.quantity.unit) }).collect()
}

/// Start values at time zero with declared inputs.
pub fn start_values(model: &FlatModel, params: &[f64]) -> Vec<f64> {
    let nodes: Vec<_> = model.states.iter().map(|state| state.initial).collect();
    let u: Vec<f64> = model.inputs.iter().map(|input| input.value).collect();
    let d: Vec<f64> = model.disturbances.iter().map(|input| input.value).collect();
    let env = Env { t: 0.0, x: &[], u: &u, d: &d, p: params, dx: &[], dt: 0.0 };
    Interpreter::new(&model.dag, &nodes).values(&env)
}

/// Binds `study`; `file` is the name of the text it stands in, from which its tables are found. `None` where errors
/// were reported.
pub fn bind(
    study: &Study,
    file: &str,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Bound> {
    let mut models: Vec<Arc<FlatModel>> = Vec::new();
    let mut experiments: Vec<BoundExperiment> = Vec::new();
    let mut is_whole = true;
    // The model without an experiment's own starts and events serves all experiments that have none.
    let mut shared: Option<usize> = None;
    for experiment in &study.experiments {
        let is_plain = experiment.starts.is_empty() && experiment.events.is_empty();
        let model = match shared.filter(|_| is_plain) {
            Some(model) => model,
            None => {
                let starts: Vec<_> = study.starts.iter().chain(&experiment.starts).cloned().collect();
                let events: Vec<_> = study.events.iter().chain(&experiment.events).cloned().collect();
                let variation = Variation { starts: &starts, events: &events };
                let Some(flat) = flatten(&study.model, &variation, diagnostics) else {
                    is_whole = false;
                    continue;
                };
                if let Some(noise) = flat.noises.first() {
                    let title =
                        format!("a model with noise such as `{}` cannot be calibrated by this version", noise.name);
                    diagnostics.push(Diagnostic::new(Code("E0901"), noise.span, title).at("declared here"));
                    return None;
                }
                models.push(Arc::new(flat));
                if is_plain {
                    shared = Some(models.len() - 1);
                }
                models.len() - 1
            }
        };
        match rows::read(study, experiment, &models[model], file, loader, sources, diagnostics) {
            Some(groups) => {
                is_whole &= starts_stand_alone(experiment, &models[model], diagnostics);
                let own = experiment.starts.iter().flat_map(|start| places(study, start.symbol, &models[model]));
                let own: Vec<Target> = own.collect();
                experiments.extend(groups.into_iter().map(|group| {
                    let mut bound = group.into_bound(&models[model], model);
                    bound.given.extend(&own);
                    bound.is_steady = study.steady.or(experiment.steady).is_some();
                    bound
                }));
            }
            None => is_whole = false,
        }
    }
    if study.experiments.iter().all(|experiment| experiment.data.is_empty()) {
        diagnostics.push(
            Diagnostic::new(Code("E0409"), study.span, format!("the study `{}` has no data to fit", study.name))
                .help("write `data \"file.csv\" { time <- t [s]; y <- y [uM] }`"),
        );
        is_whole = false;
    }
    let has_data = study.experiments.iter().any(|experiment| !experiment.data.is_empty());
    if is_whole && has_data && experiments.iter().all(|experiment| experiment.measurements.is_empty()) {
        diagnostics.push(
            Diagnostic::new(Code("E0409"), study.span, format!("the data of `{}` hold no measurement", study.name))
                .at("nothing to compare the model with")
                .help("bind a column to an observable: `y <- column [unit]`"),
        );
        is_whole = false;
    }
    if study.estimates.is_empty() {
        diagnostics.push(
            Diagnostic::new(Code("E0409"), study.span, format!("the study `{}` estimates nothing", study.name))
                .help("write `estimate k in 0.1 .. 10`"),
        );
        is_whole = false;
    }
    let first = models.first()?.clone();
    let mut parameters = Vec::new();
    let mut units = Vec::new();
    let mut spans = Vec::new();
    for estimate in &study.estimates {
        is_whole &=
            add_estimate(study, estimate, &first, &models, &mut experiments, &mut parameters, &mut units, diagnostics);
        spans.resize(parameters.len(), estimate.span);
    }
    (is_whole && !diagnostics.has_errors()).then_some(Bound { models, parameters, units, spans, experiments })
}

/// Adds the parameters of one `estimate` and links them in every experiment. False where something was reported.
#[allow(clippy::too_many_arguments)]
fn add_estimate(
    study: &Study,
    estimate: &Estimate,
    model: &FlatModel,
    models: &[Arc<FlatModel>],
    experiments: &mut [BoundExperiment],
    parameters: &mut Vec<Parameter>,
    units: &mut Vec<String>,
    diagnostics: &mut Diagnostics,
) -> bool {
    let symbol = study.model.symbol(estimate.symbol);
    let places = places(study, estimate.symbol, model);
    if places.is_empty() {
        diagnostics.push(
            Diagnostic::new(
                Code("E0205"),
                estimate.span,
                format!("`{}` is no runtime quantity of the model", symbol.name),
            )
            .help("estimate a `param` or the start value of a state"),
        );
        return false;
    }
    let starts = start_values(model, &model.params.iter().map(|p| p.value).collect::<Vec<_>>());
    let mut is_whole = true;
    for place in places {
        let (quantity, nominal, declared) = match place {
            Target::Param(k) => (&model.params[k].quantity, model.params[k].value, model.params[k].prior),
            Target::Start(k) => (&model.states[k].quantity, starts[k], None),
        };
        let (low, high) = (estimate.low.unwrap_or(quantity.low), estimate.high.unwrap_or(quantity.high));
        let prior = match estimate.prior {
            Some(prior) => Some(distribution(prior, nominal)),
            None => declared,
        };
        let is_open = !low.is_finite() || !high.is_finite();
        if is_open && prior.is_none() {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0607"),
                    estimate.span,
                    format!("`{}` is estimated without bounds", quantity.name),
                )
                .at("search where?")
                .label(quantity.span, "declared here")
                .help(format!("write `estimate {} in 0.1 .. 10`, or bounds at its declaration", quantity.name)),
            );
            is_whole = false;
            continue;
        }
        let is_log = estimate.is_log_scale.or(symbol.is_log_scale);
        let scale = match is_log {
            Some(true) => Scale::Log,
            Some(false) => Scale::Linear,
            None => Scale::implied(low, high, prior),
        };
        // On a logarithmic scale an open lower end is zero, and starts are drawn from the prior.
        let low = if scale == Scale::Log && low == f64::NEG_INFINITY { 0.0 } else { low };
        let parameter = Parameter { name: quantity.name.clone(), scale, low, high, nominal, prior };
        if !priors::check(&parameter, estimate.span, quantity.span, diagnostics) {
            is_whole = false;
            continue;
        }
        let is_drawn = matches!(prior, Some(Distribution::LogNormal { .. })) || parameter.bounds().0 > 0.0;
        if scale == Scale::Log && (low < 0.0 || !is_drawn) {
            let name = &quantity.name;
            let title = format!("a logarithmic scale needs a lower bound above zero, and that of `{name}` is {low}");
            let d = Diagnostic::new(Code("E0608"), estimate.span, title).at("searched on a logarithmic scale");
            let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
            let smallest = format!("{:e}", high / 1e6);
            diagnostics.push(d.label(quantity.span, "declared here").help(format!(
                "write a positive lower bound, as in `estimate {name} in {smallest} .. {high} log`, or `linear`"
            )));
            is_whole = false;
            continue;
        }
        if low >= high {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0608"),
                    estimate.span,
                    format!("the bounds of `{}` hold no value", quantity.name),
                )
                .at(format!("from {low} to {high}")),
            );
            is_whole = false;
            continue;
        }
        if parameter.start_range().is_none() {
            let title = format!("no starting point can be drawn for `{}`", quantity.name);
            diagnostics.push(
                Diagnostic::new(Code("E0607"), estimate.span, title)
                    .at(format!("searched from {low} to {high}, and its prior does not say where on this scale"))
                    .help("give both bounds, and let them and the prior have values in common"),
            );
            is_whole = false;
            continue;
        }
        if let Target::Start(state) = place
            && models.iter().any(|m| m.states.get(state).is_some_and(|s| s.is_start_read))
        {
            diagnostics.push(entangled(&quantity.name, estimate.span));
            is_whole = false;
            continue;
        }
        let position = parameters.len();
        let mut is_linked = false;
        for experiment in experiments.iter_mut() {
            // Models of one study differ in start values and events only, so places agree by name.
            let name = &quantity.name;
            let here = &models[experiment.model];
            let target = match place {
                Target::Param(_) => here.params.iter().position(|p| p.quantity.name == *name).map(Target::Param),
                Target::Start(_) => here.states.iter().position(|s| s.quantity.name == *name).map(Target::Start),
            };
            // What a column or a `start` gives in this experiment counts more than the estimate.
            if let Some(target) = target.filter(|target| !experiment.given.contains(target)) {
                experiment.links.push(Link { parameter: position, target });
                is_linked = true;
            }
        }
        if !is_linked && !experiments.is_empty() {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0606"),
                    estimate.span,
                    format!("`{}` is estimated, but every experiment gives its value", quantity.name),
                )
                .at("nothing is left to estimate")
                .help("remove the estimate, or the column or `start` that gives it"),
            );
            is_whole = false;
        }
        parameters.push(parameter);
        units.push(quantity.unit.clone());
    }
    is_whole
}

/// E0606 where a column gives the start of a state through which the start of another is written. False if so.
fn starts_stand_alone(experiment: &StudyExperiment, model: &FlatModel, diagnostics: &mut Diagnostics) -> bool {
    let mut is_good = true;
    for binding in experiment.data.iter().flat_map(|data| &data.bindings).filter(|b| b.is_initial) {
        if model.states.iter().any(|s| s.quantity.name == binding.name && s.is_start_read) {
            diagnostics.push(entangled(&binding.name, binding.span));
            is_good = false;
        }
    }
    is_good
}

fn entangled(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0606"), span, format!("the start of another state is written through that of `{name}`"))
        .at("a start given here would leave that one behind")
        .help(format!(
            "write both through a parameter: `param {name}_0 = ..` and `state {name} = {name}_0`, and give that one"
        ))
}

/// Where a symbol stands in the flat model; several places for a family.
fn places(study: &Study, symbol: SymbolId, model: &FlatModel) -> Vec<Target> {
    let symbol = study.model.symbol(symbol);
    let family = format!("{}(", symbol.name);
    let is_it = |name: &str| name == symbol.name || (!symbol.ranges.is_empty() && name.starts_with(&family));
    let params =
        model.params.iter().enumerate().filter(|(_, p)| is_it(&p.quantity.name)).map(|(k, _)| Target::Param(k));
    let states =
        model.states.iter().enumerate().filter(|(_, s)| is_it(&s.quantity.name)).map(|(k, _)| Target::Start(k));
    match symbol.kind {
        // A param that an event assigns is a discrete state seeded from the param: the param is what is estimated.
        SymbolKind::Param => params.collect(),
        SymbolKind::Species { .. } | SymbolKind::State | SymbolKind::Compartment | SymbolKind::Discrete => {
            let list: Vec<Target> = params.collect();
            if list.is_empty() { states.collect() } else { list }
        }
        SymbolKind::Const
        | SymbolKind::Let
        | SymbolKind::Input
        | SymbolKind::Disturbance
        | SymbolKind::Observable
        | SymbolKind::Noise => Vec::new(),
    }
}

/// A prior whose missing location is the declared value.
pub fn distribution(prior: Prior, declared: f64) -> Distribution {
    let [a, b] = prior.args;
    let (first, second) = (a.unwrap_or(declared), b.unwrap_or(f64::NAN));
    match prior.kind {
        DistKind::Normal => Distribution::Normal { mean: first, sd: second },
        DistKind::LogNormal => Distribution::LogNormal { median: first, gsd: second },
        DistKind::Uniform => Distribution::Uniform { low: first, high: second },
        DistKind::LogUniform => Distribution::LogUniform { low: first, high: second },
        DistKind::Laplace => Distribution::Laplace { location: first, scale: second },
    }
}

/// Checks the `fit` block of a study.
pub fn check_fit(study: &Study, diagnostics: &mut Diagnostics) {
    if let Some((method, span)) = &study.fit.method
        && method != "trust_region"
    {
        diagnostics.push(
            Diagnostic::new(Code("E0603"), *span, format!("there is no fit method `{method}`"))
                .at("not known")
                .help("write `fit trust_region { ... }`"),
        );
    }
    study.fit.check("fit trust_region", SETTINGS, diagnostics);
}

/// The settings of a checked `fit` block; what is not written keeps its default.
pub fn fit_settings(settings: &Settings) -> FitSettings {
    let default = FitSettings::default();
    let whole = |key: &str, fallback: u64| settings.number(key).map_or(fallback, |value| value as u64);
    FitSettings {
        starts: whole("starts", default.starts as u64) as usize,
        tolerance: settings.number("tolerance").unwrap_or(default.tolerance),
        max_iterations: whole("max_iterations", default.max_iterations as u64) as usize,
        seed: whole("seed", default.seed),
        sampling: settings.word("sampling").and_then(Sampling::from_name).unwrap_or(default.sampling),
        nominal: settings.truth("nominal").unwrap_or(default.nominal),
        priors: settings.truth("priors").unwrap_or(default.priors),
        rtol: settings.number("rtol").unwrap_or(default.rtol),
        atol: settings.number("atol").or(default.atol),
        method: settings.word("method").and_then(Method::from_name).unwrap_or(default.method),
        max_steps: whole("max_steps", default.max_steps),
        level: settings.number("level").unwrap_or(default.level),
    }
}

/// Constant forcing at declared values.
pub fn declared_forcing(model: &FlatModel) -> Forcing {
    let hold = |list: &[crate::flat::Input]| list.iter().map(|input| Signal::Constant(input.value)).collect();
    Forcing { inputs: hold(&model.inputs), disturbances: hold(&model.disturbances) }
}
