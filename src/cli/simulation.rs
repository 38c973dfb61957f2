//! A simulation made ready: what varies from run to run, and the settings that all runs share.
//!
//! Sweeps make a grid and draws repeat each of its points with parameters drawn from their distributions; each run
//! has its own stream of random numbers, so results do not depend on the number of threads.

use super::failure::{Failure, unplaced};
use crate::analyze::Structure;
use crate::calibrate::bind;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::{Distribution, FlatModel, Param};
use crate::hir::settings::{SettingKind, SettingSpec};
use crate::hir::study::{Hold, Simulate, Study};
use crate::hir::{Model, SymbolKind};
use crate::integrate::stochastic::{StochasticMethod, StochasticOptions};
use crate::integrate::{Forcing, Method, Options, Signal, Tolerance};
use crate::random::{Rng, stream};
use crate::source::{Loader, SourceMap, Span};
use rand::Rng as _;

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
            "auto", "tsit5", "rodas5p", "bdf", "euler", "rk4", "ssa", "tau_leap", "cle", "em", "milstein",
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
        kind: SettingKind::Integer(1, 1_000_000),
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
        kind: SettingKind::Integer(1, 1_000_000),
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
/// Draws that fall outside the `in` of a parameter are repeated this often.
const MOST_REDRAWS: usize = 1000;
/// Runs of one simulation; each has its own copy of parameters and forcing.
pub const MOST_RUNS: usize = 1_000_000;

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

/// One run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What tells it from the others: `(name, unit, value)` of the sweep, then the draw.
    pub labels: Vec<(String, String, f64)>,
    /// `n_params`
    pub params: Vec<f64>,
    /// Start values `(state, value)` that replace the model's.
    pub start: Vec<(usize, f64)>,
    /// Inputs and disturbances.
    pub forcing: Forcing,
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
    /// At least one.
    pub runs: Vec<Run>,
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
    let runs = runs(study, flat, Run { labels: Vec::new(), params, start: Vec::new(), forcing }, seed)?;
    let runs = super::paths::repeated(runs, n_paths)?;
    let n_rows = times.len().saturating_mul(if has_moments { runs.len() / n_paths } else { runs.len() });
    if n_rows > crate::limits::MAX_OUTPUT_ROWS {
        return Err(Failure::new("E0611", format!("the output would have {n_rows} rows"))
            .help("ask for a coarser `output`, fewer `draws` or a smaller `sweep`"));
    }
    let steady = study.steady.map(|span| (Structure::of(flat), span));
    let has_noise = settings.truth("noise").unwrap_or(false);
    Ok(Plan { times, options, paths, n_paths, has_moments, runs, steady, seed, has_noise })
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

/// The grid of all sweeps, each point with its draws.
fn runs(study: &Study, flat: &FlatModel, base: Run, seed: u64) -> Result<Vec<Run>, Failure> {
    let mut runs = vec![base];
    for sweep in &study.sweeps {
        let mut next = Vec::with_capacity(runs.len().saturating_mul(sweep.values.len()));
        if runs.len().saturating_mul(sweep.values.len()) > MOST_RUNS {
            return Err(Failure::new("E0611", format!("the sweeps make more than {MOST_RUNS} runs")));
        }
        for run in &runs {
            for &value in &sweep.values {
                let Some(varied) = vary(run, flat, &sweep.name, value) else {
                    let mut list = Diagnostics::default();
                    let title = format!("`{}` cannot be swept: it is no parameter, start value or input", sweep.name);
                    list.push(Diagnostic::new(Code("E0205"), sweep.span, title));
                    return Err(Failure::from_diagnostics(list));
                };
                next.push(varied);
            }
        }
        runs = next;
    }
    let Some(draws) = study.simulate.as_ref().and_then(|simulate| simulate.settings.number("draws")) else {
        return Ok(runs);
    };
    if flat.params.iter().all(|param| param.prior.is_none()) {
        return Err(Failure::new("E0409", format!("`{}` has no parameter with a `~` to draw", flat.name))
            .help("write `param k = 1 ~ LogNormal(median = 1, gsd = 1.3)`"));
    }
    if runs.len().saturating_mul(draws as usize) > MOST_RUNS {
        return Err(Failure::new("E0611", format!("sweeps and draws make more than {MOST_RUNS} runs")));
    }
    Ok(runs.iter().flat_map(|run| (0..draws as usize).map(|k| drawn(run, flat, seed, k))).collect())
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

/// `run` with one quantity changed; `None` where it is nothing that can be.
fn vary(run: &Run, flat: &FlatModel, name: &str, value: f64) -> Option<Run> {
    let mut run = run.clone();
    let unit = if let Some(k) = flat.params.iter().position(|p| p.quantity.name == name) {
        *run.params.get_mut(k)? = value;
        &flat.params[k].quantity.unit
    } else if let Some(k) = flat.states.iter().position(|s| s.quantity.name == name) {
        run.start.push((k, value));
        // The state itself is a column too.
        run.labels.push((format!("start {name}"), flat.states[k].quantity.unit.clone(), value));
        return Some(run);
    } else {
        let k = flat.inputs.iter().position(|i| i.quantity.name == name)?;
        *run.forcing.inputs.get_mut(k)? = Signal::Constant(value);
        &flat.inputs[k].quantity.unit
    };
    run.labels.push((name.to_string(), unit.clone(), value));
    Some(run)
}

fn drawn(run: &Run, flat: &FlatModel, seed: u64, k: usize) -> Run {
    let mut run = run.clone();
    let mut rng = stream(seed, k as u64);
    for (value, param) in run.params.iter_mut().zip(&flat.params) {
        if let Some(prior) = param.prior {
            *value = draw_within(prior, param, &mut rng);
        }
    }
    run.labels.push(("draw".into(), String::new(), k as f64));
    run
}

fn draw_within(prior: Distribution, param: &Param, rng: &mut Rng) -> f64 {
    for _ in 0..MOST_REDRAWS {
        let value = draw(prior, rng);
        if value >= param.quantity.low && value <= param.quantity.high {
            return value;
        }
    }
    draw(prior, rng).clamp(param.quantity.low, param.quantity.high)
}

/// One draw. Normal deviates by Box and Muller (1958).
pub fn draw(distribution: Distribution, rng: &mut Rng) -> f64 {
    let normal = |rng: &mut Rng| {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    match distribution {
        Distribution::Normal { mean, sd } => mean + sd * normal(rng),
        Distribution::LogNormal { median, gsd } => median * (gsd.ln() * normal(rng)).exp(),
        Distribution::Uniform { low, high } => low + (high - low) * rng.random::<f64>(),
        Distribution::LogUniform { low, high } => low * (high / low).powf(rng.random::<f64>()),
        Distribution::Laplace { location, scale } => {
            let u = rng.random::<f64>() - 0.5;
            location - scale * u.signum() * (1.0 - 2.0 * u.abs()).max(f64::MIN_POSITIVE).ln()
        }
    }
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

    /// Means over 40,000 draws, against the distributions' own, within five standard errors.
    #[test]
    fn draws_have_the_right_centers() {
        let n = 40_000;
        for (distribution, map, mean, sd) in [
            (Distribution::Normal { mean: 3.0, sd: 2.0 }, (|x| x) as fn(f64) -> f64, 3.0, 2.0),
            (Distribution::LogNormal { median: 2.0, gsd: 1.5 }, f64::ln, 2.0_f64.ln(), 1.5_f64.ln()),
            (Distribution::Uniform { low: 1.0, high: 3.0 }, |x| x, 2.0, 2.0 / 12.0_f64.sqrt()),
            (
                Distribution::LogUniform { low: 1.0, high: 100.0 },
                f64::ln,
                10.0_f64.ln(),
                100.0_f64.ln() / 12.0_f64.sqrt(),
            ),
            (Distribution::Laplace { location: -1.0, scale: 2.0 }, |x| x, -1.0, 2.0 * 2.0_f64.sqrt()),
        ] {
            let mut rng = stream(7, 0);
            let values: Vec<f64> = (0..n).map(|_| map(draw(distribution, &mut rng))).collect();
            let found = values.iter().sum::<f64>() / f64::from(n);
            let spread = (values.iter().map(|v| (v - found).powi(2)).sum::<f64>() / f64::from(n)).sqrt();
            assert!((found - mean).abs() < 5.0 * sd / f64::from(n).sqrt(), "{distribution:?}: {found}");
            assert!((spread / sd - 1.0).abs() < 0.03, "{distribution:?}: {spread}");
        }
    }
}
