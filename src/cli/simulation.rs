//! A simulation made ready: the settings that all runs share. What varies from run to run is in [`super::runs`].

use super::failure::{Failure, unplaced};
use super::runs::{MOST_RUNS, Runs};
use crate::analyze::Structure;
use crate::calibrate::bind;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::FlatModel;
use crate::hir::settings::{SettingKind, SettingSpec};
use crate::hir::study::{Hold, Simulate, Study};
use crate::hir::{Model, SymbolKind};
use crate::integrate::stochastic::{StochasticMethod, StochasticOptions};
use crate::integrate::{Forcing, Method, Options, Signal, Tolerance};
use crate::source::{Loader, SourceMap, Span};

/// The settings of `simulate { ... }` beside `until`, `output`, `step` and `hold`.
pub const SETTINGS: &[SettingSpec] = &[
    SettingSpec {
        name: "rtol",
        kind: SettingKind::Number(1e-14, 0.1),
        unit: "",
        default: "1e-6",
        doc: "relative tolerance of the integration",
    },
    SettingSpec {
        name: "atol",
        kind: SettingKind::Number(1e-300, f64::INFINITY),
        unit: "of each state",
        default: "rtol times the size of each state",
        doc: "absolute tolerance of the integration, one number in the unit of each state",
    },
    SettingSpec {
        name: "method",
        kind: SettingKind::Choice(&[
            "auto",
            "tsit5",
            "dop853",
            "rodas5p",
            "bdf",
            "euler",
            "rk4",
            "implicit_euler",
            "radau3",
            "radau5",
            "ssa",
            "tau_leap",
            "cle",
            "em",
            "milstein",
        ]),
        unit: "",
        default: "auto",
        doc: "formula of the integration, or of random paths",
    },
    SettingSpec {
        name: "max_steps",
        kind: SettingKind::Integer(1, i64::MAX),
        unit: "",
        default: "200000",
        doc: "most steps of one run",
    },
    SettingSpec {
        name: "max_step",
        kind: SettingKind::Time(f64::MIN_POSITIVE, f64::INFINITY),
        unit: "of time",
        default: "none",
        doc: "longest step",
    },
    SettingSpec {
        name: "draws",
        kind: SettingKind::Integer(1, MOST_RUNS as i64),
        unit: "",
        default: "none: declared values",
        doc: "runs with parameters drawn from their `~`",
    },
    SettingSpec {
        name: "noise",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "whether observables are drawn from their `~`",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, i64::MAX),
        unit: "",
        default: "1",
        doc: "seed of draws, noise and paths",
    },
    SettingSpec {
        name: "paths",
        kind: SettingKind::Integer(1, MOST_RUNS as i64),
        unit: "",
        default: "1",
        doc: "random paths of each run",
    },
    SettingSpec {
        name: "moments",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "whether mean and variance over the paths are written instead of the paths",
    },
    SettingSpec {
        name: "epsilon",
        kind: SettingKind::Number(1e-4, 0.5),
        unit: "",
        default: "0.03",
        doc: "largest relative change of a rate in one leap of `tau_leap`",
    },
];

/// Times of an even output grid where none is asked for.
const DEFAULT_ROWS: usize = 200;

/// Checks the settings of a `simulate` block of a study of `model`.
pub fn check(simulate: &Simulate, model: &Model, diagnostics: &mut Diagnostics) {
    simulate.settings.check_beside("simulate", SETTINGS, &["until", "output"], diagnostics);
    simulate.settings.check_times(SETTINGS, model, diagnostics);
    check_effect(simulate, diagnostics);
    if let Some((via, span)) = &simulate.via
        && Method::from_name(via).is_none()
        && StochasticMethod::from_name(via).is_none()
    {
        diagnostics.push(
            Diagnostic::new(Code("E0602"), *span, format!("there is no method `{via}`"))
                .at("not known")
                .help(format!("methods are {}", method_names())),
        );
    }
    if let Some(Hold { span, .. }) = simulate.hold.first()
        && !simulate.given.iter().any(|(key, _)| *key == "step")
    {
        diagnostics.push(
            Diagnostic::new(Code("E0409"), *span, "`hold` needs a step to hold over")
                .at("held for how long?")
                .help("write `step 1 [min]` beside it"),
        );
    }
    if let (Some((via, span)), Some(setting)) = (&simulate.via, simulate.settings.get("method"))
        && setting.key_span.source == span.source
    {
        diagnostics.push(
            Diagnostic::new(Code("E0107"), setting.key_span, "the integrator is given twice")
                .at("again here")
                .label(*span, format!("`{via}` is named here"))
                .help("keep one of the two"),
        );
    }
}

/// E0107 for settings of error control beside a method that has none. Where the command line names the method, what the
/// file says of another one is only not used.
fn check_effect(simulate: &Simulate, diagnostics: &mut Diagnostics) {
    let settings = &simulate.settings;
    let by_setting = settings.get("method").zip(settings.word("method")).map(|(s, word)| (word, s.value_span));
    let by_via = simulate.via.as_ref().map(|(word, span)| (word.as_str(), *span));
    let Some((method, place)) = by_setting.or(by_via) else { return };
    if StochasticMethod::from_name(method).is_none() && !Method::from_name(method).is_some_and(Method::is_grid) {
        return;
    }
    for key in ["rtol", "atol", "max_step"] {
        if let Some(setting) = settings.get(key)
            && setting.key_span.source >= place.source
        {
            let title = format!("`{key}` has no effect beside `{method}`, which takes no steps by tolerance");
            diagnostics.push(
                Diagnostic::new(Code("E0107"), setting.key_span, title)
                    .at("remove this")
                    .label(place, "no error is estimated here")
                    .help("shorten the step, or take `tsit5` or `rodas5p` for steps by tolerance"),
            );
        }
    }
}

/// Settings of all runs, and the runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Ascending output times, the start first.
    pub times: Vec<f64>,
    /// The integration.
    pub options: Options,
    /// Where the runs are random paths.
    pub paths: Option<StochasticOptions>,
    /// Paths of one run, which stand behind one another in `runs`.
    pub n_paths: usize,
    /// Mean and variance over the paths of each run are wanted instead of the paths.
    pub has_moments: bool,
    /// Inputs and disturbances of all runs.
    pub forcing: Forcing,
    /// What each run has of its own.
    pub runs: Runs,
    /// `start steady` with where it is written.
    pub steady: Option<(Structure, Span)>,
    /// Seed of draws and noise.
    pub seed: u64,
    /// Observables are drawn from their distributions.
    pub has_noise: bool,
}

/// Makes the plan of a study. Tables of inputs are read through `loader`, from the folder of `file`.
///
/// # Errors
/// Missing or wrong settings, and what is wrong with tables.
pub fn plan(
    study: &Study,
    flat: &FlatModel,
    file: &str,
    loader: &dyn Loader,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Result<Plan, Failure> {
    let none = Simulate::default();
    let simulate = study.simulate.as_ref().unwrap_or(&none);
    let mut found = Diagnostics::default();
    check(simulate, &study.model, &mut found);
    if found.has_errors() {
        return Err(Failure::from_diagnostics(found));
    }
    let Some(until) = simulate.until else {
        let unit = if flat.time_unit.is_empty() { String::new() } else { format!(" [{}]", flat.time_unit) };
        return Err(Failure::new("E0409", format!("nothing says how long to simulate `{}`", flat.name))
            .help(format!("give `--until 10`, or write `simulate {{ until = 10{unit} }}` in a study")));
    };
    if !(until >= 0.0 && until.is_finite()) {
        return Err(Failure::new("E0804", format!("the end time is {until}, but a run goes forward from 0"))
            .help("give a finite `until` that is not negative"));
    }
    let times = times(until, simulate.output.or(simulate.step))?;
    let params: Vec<f64> = flat.params.iter().map(|param| param.value).collect();
    let options = options(simulate, study, flat, &params)?;
    let mut forcing = if simulate.forcing.is_empty() {
        bind::declared_forcing(flat)
    } else {
        let mut found = Diagnostics::default();
        match bind::read_forcing(study, &simulate.forcing, flat, file, loader, sources, &mut found) {
            Some(forcing) if !found.has_errors() => {
                diagnostics.extend(found);
                forcing
            }
            Some(_) | None => return Err(Failure::from_diagnostics(found)),
        }
    };
    hold(simulate, study, flat, until, &mut forcing)?;
    let settings = &simulate.settings;
    let seed = settings.number("seed").map_or(1, |value| value as u64);
    let paths = super::paths::options(simulate, flat, &forcing, &options)?;
    let n_paths = settings.number("paths").map_or(1, |n| n as usize);
    let has_moments = settings.truth("moments").unwrap_or(false);
    super::paths::check_settings(simulate, paths.is_some(), n_paths, has_moments)?;
    let runs = Runs::new(study, flat, seed, n_paths)?;
    for (k, value) in runs.swept_inputs() {
        if let Some(signal) = forcing.inputs.get_mut(k) {
            *signal = Signal::Constant(value);
        }
    }
    let steady = study.steady.map(|span| (Structure::of(flat), span));
    let has_noise = settings.truth("noise").unwrap_or(false);
    Ok(Plan { times, options, paths, n_paths, has_moments, forcing, runs, steady, seed, has_noise })
}

fn options(simulate: &Simulate, study: &Study, flat: &FlatModel, params: &[f64]) -> Result<Options, Failure> {
    let settings = &simulate.settings;
    let rtol = settings.number("rtol").unwrap_or(1e-6);
    let atol = match settings.number("atol") {
        Some(value) => Tolerance::Scalar(value),
        None => Tolerance::PerState(bind::absolute_tolerances(flat, params, rtol)),
    };
    // Both are there only where the command line says `--method`, which counts more than the file.
    let via = simulate.via.as_ref().map(|(name, _)| name.as_str());
    let named = settings.word("method").or(via).filter(|name| StochasticMethod::from_name(name).is_none());
    let method = named.map_or(Ok(Method::default()), method)?;
    let fixed_step = if method.is_grid() { simulate.step } else { None };
    if method.is_grid() && fixed_step.is_none() {
        return Err(needs_step(simulate, method, flat));
    }
    let defaults = Options::default();
    let max_steps = settings.number("max_steps").map_or(defaults.max_steps, |value| value as u64);
    let max_step = settings.time("max_step", &study.model).unwrap_or(defaults.max_step);
    let interrupt = Some(super::interrupt::flag());
    Ok(Options { method, rtol, atol, fixed_step, max_steps, max_step, interrupt, ..defaults })
}

/// E0409 for a method that takes the steps it is given, without one; `output` says where rows stand and is none.
fn needs_step(simulate: &Simulate, method: Method, flat: &FlatModel) -> Failure {
    let name = method.name();
    let title = format!("`{name}` needs the length of its steps");
    let place = match &simulate.via {
        Some((_, span)) if simulate.settings.word("method").is_none() => Some(*span),
        Some(_) | None => simulate.settings.get("method").map(|setting| setting.value_span),
    };
    let unit = if flat.time_unit.is_empty() { String::new() } else { format!(" [{}]", flat.time_unit) };
    let diagnostic = match place {
        Some(span) => Diagnostic::new(Code("E0409"), span, title).at("with which step?"),
        None => unplaced(Code("E0409"), title),
    };
    let mut list = Diagnostics::default();
    list.push(
        diagnostic
            .help(format!("write `simulate {{ step 0.02{unit} via {name} }}`, or `--step 0.02` on the command line")),
    );
    Failure::from_diagnostics(list)
}

fn method(name: &str) -> Result<Method, Failure> {
    Method::from_name(name).ok_or_else(|| {
        Failure::new("E0804", format!("there is no method `{name}`")).help(format!("methods are {}", method_names()))
    })
}

fn method_names() -> String {
    let paths = StochasticMethod::ALL.iter().map(|method| method.name());
    let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).chain(paths).collect();
    names.join(", ")
}

/// Multiples of `output` up to the end, which is always among them.
fn times(until: f64, output: Option<f64>) -> Result<Vec<f64>, Failure> {
    if until == 0.0 {
        return Ok(vec![0.0]);
    }
    let Some(step) = output else {
        return Ok((0..=DEFAULT_ROWS).map(|k| until * k as f64 / DEFAULT_ROWS as f64).collect());
    };
    if !(step > 0.0 && step.is_finite()) {
        return Err(Failure::new("E0804", format!("the distance of output times is {step}, but it must be positive")));
    }
    let n = (until / step * (1.0 + 1e-12)).floor();
    if n > crate::limits::MAX_OUTPUT_ROWS as f64 {
        return Err(Failure::new("E0611", format!("the output would have {n} rows")).help("ask for a coarser `output`"));
    }
    let mut times: Vec<f64> = (0..=n as usize).map(|k| (k as f64 * step).min(until)).collect();
    if times.last().is_some_and(|last| until - last > 1e-9 * step) {
        times.push(until);
    }
    Ok(times)
}

/// Holds inputs over the step, and what `hold` names.
fn hold(
    simulate: &Simulate,
    study: &Study,
    flat: &FlatModel,
    until: f64,
    forcing: &mut Forcing,
) -> Result<(), Failure> {
    let mut held: Vec<usize> = Vec::new();
    for Hold { symbol, name, .. } in &simulate.hold {
        // Inputs are held all; a held `let` is a discrete quantity by now.
        if study.model.symbol(*symbol).kind == SymbolKind::Disturbance {
            held.extend(flat.disturbances.iter().position(|d| d.quantity.name == *name));
        }
    }
    let Some(step) = simulate.step else {
        return Ok(());
    };
    let n = (until / step).ceil().max(1.0);
    if n > crate::limits::MAX_OUTPUT_ROWS as f64 {
        return Err(Failure::new("E0611", format!("the run would have {n} steps")).help("choose a longer `step`"));
    }
    let sample = |signal: &Signal| match signal {
        Signal::Constant(value) => Signal::Constant(*value),
        Signal::Held { .. } | Signal::Linear { .. } => {
            let times: Vec<f64> = (0..n as usize).map(|k| k as f64 * step).collect();
            let values = times.iter().map(|&t| signal.value(t)).collect();
            Signal::Held { times, values }
        }
    };
    for signal in &mut forcing.inputs {
        *signal = sample(signal);
    }
    for place in held {
        if let Some(signal) = forcing.disturbances.get_mut(place) {
            *signal = sample(signal);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_always_an_output_time() {
        let grid = |until, step| times(until, Some(step)).map_err(|f| f.diagnostics).expect("times");
        assert_eq!(grid(1.0, 0.25), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(grid(1.0, 0.4), [0.0, 0.4, 0.8, 1.0]);
        assert_eq!(grid(0.3, 0.1).len(), 4);
        assert_eq!(grid(1.0, 5.0), [0.0, 1.0]);
    }
}
