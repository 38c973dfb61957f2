//! Carries out the runs of a simulation in parallel and gathers them into one table.

use super::failure::Failure;
use super::paths::{Chance, Moments};
use super::simulation::{Plan, Run, draw};
use super::steady;
use crate::analyze::{NotSteady, Reason, Steady, SteadyStates};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::table::{Column, Table, number};
use crate::flat::{Distribution, FlatModel, Noise, Quantity, Reaction};
use crate::integrate::stochastic::Stochastic;
use crate::integrate::{Integrator, Problem, ProblemError, Sample, Start, Statistics, Status};
use crate::jit::{Kernel, Kernels};
use crate::random::stream;
use crate::system::System;
use rayon::prelude::*;

/// Streams of noise begin here, apart from those of draws.
const NOISE_STREAM: u64 = 1 << 40;
/// Streams of random paths begin here.
const PATH_STREAM: u64 = 1 << 41;
/// Paths whose moments one thread collects before they are joined, in order, with those of others.
const PATHS_PER_BLOCK: usize = 64;
/// Warnings about ranges and safe sets, at most.
const MOST_WARNINGS: usize = 10;

/// A finished simulation.
pub struct Finished {
    /// Labels of the run, time, states, inputs, disturbances, lets, observables.
    pub table: Table,
    /// Number of label columns at the front.
    pub n_labels: usize,
    /// Work of all runs.
    pub statistics: Vec<Statistics>,
    /// How each steady start was found, a line each.
    pub starts: Vec<String>,
    /// What went wrong in runs that did not reach their end; their rows up to there are in the table.
    pub problems: Diagnostics,
    /// States that left their range, safe sets that were left.
    pub warnings: Diagnostics,
    /// Warnings of that kind beyond the most that are kept.
    pub n_hidden: usize,
    /// True where Ctrl-C ended it.
    pub is_interrupted: bool,
}

/// One run's rows, column by column, and how it ended.
struct Rows {
    columns: Vec<Vec<f64>>,
    /// The first error that could not be drawn.
    undrawn: Option<Undrawn>,
    status: Status,
    statistics: Statistics,
    /// The steady start, where one is asked for.
    steady: Option<Result<Steady, NotSteady>>,
}

/// Carries out the plan. `extras` computes the `let`s, then the margins of the safe sets.
///
/// # Errors
/// A mistake in the plan that the integrator finds.
pub fn run(plan: &Plan, kernels: &Kernels, extras: &Kernel) -> Result<Finished, Failure> {
    let model = kernels.model();
    let chance = plan.paths.as_ref().map(|options| Chance::compile(kernels, options)).transpose()?;
    let chance = chance.as_ref();
    if plan.has_moments {
        return moments(plan, kernels, extras, chance);
    }
    let done: Vec<Result<Rows, Failure>> =
        plan.runs
            .par_iter()
            .enumerate()
            .map(|(idx, run)| {
                if super::interrupt::is_asked() {
                    Ok(Rows::none())
                } else {
                    one(plan, idx, run, kernels, extras, chance)
                }
            })
            .collect();
    let done = done.into_iter().collect::<Result<Vec<Rows>, Failure>>()?;
    let names = names(model);
    let labels = plan.runs.first().map_or(&[][..], |run| &run.labels);
    let n_labels = labels.len();
    let mut columns: Vec<Column> = labels
        .iter()
        .map(|(name, unit, _)| Column { name: name.clone(), unit: unit.clone(), values: Vec::new() })
        .collect();
    columns.extend(names.iter().map(|(name, unit)| Column {
        name: name.clone(),
        unit: unit.clone(),
        values: Vec::new(),
    }));
    let mut problems = Diagnostics::default();
    let mut warnings = Diagnostics::default();
    let mut n_warnings = 0;
    let mut is_interrupted = false;
    let mut starts = Vec::new();
    for (run, rows) in plan.runs.iter().zip(&done) {
        let n_rows = rows.columns.first().map_or(0, Vec::len);
        for (column, (_, _, value)) in columns.iter_mut().zip(&run.labels) {
            column.values.extend(std::iter::repeat_n(*value, n_rows));
        }
        for (column, values) in columns[n_labels..].iter_mut().zip(&rows.columns) {
            column.values.extend(values);
        }
        is_interrupted |= matches!(rows.status, Status::Interrupted { .. });
        if let Some(diagnostic) = problem(rows.status, model, run) {
            problems.push(diagnostic);
        }
        match (&rows.steady, &plan.steady) {
            (Some(Ok(found)), Some((_, span))) => {
                starts.push(steady::how(found, model));
                if let Some(diagnostic) = steady::unstable(found, model, *span) {
                    n_warnings += 1;
                    if warnings.len() < MOST_WARNINGS {
                        warnings.push(with_labels(diagnostic, run));
                    }
                }
            }
            (Some(Err(error)), Some((_, span))) if !is_stopped(error) => {
                problems.push(with_labels(steady::missing(error, model, *span), run));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        if let Some(undrawn) = &rows.undrawn {
            problems.push(with_labels(undrawn.diagnostic(model), run));
        }
        n_warnings += warn(model, run, rows, &mut warnings);
    }
    // A swept input stands among the labels already.
    let inputs = 1 + model.states.len()..1 + model.states.len() + model.inputs.len();
    let mut place = 0;
    columns.retain(|column| {
        place += 1;
        place <= n_labels || !inputs.contains(&(place - 1 - n_labels)) || labels.iter().all(|l| l.0 != column.name)
    });
    let statistics = done.iter().map(|rows| rows.statistics).collect();
    let n_hidden = n_warnings - warnings.len();
    Ok(Finished {
        table: Table { columns },
        n_labels,
        statistics,
        starts,
        problems,
        warnings,
        n_hidden,
        is_interrupted,
    })
}

impl Rows {
    /// A run that was not begun.
    fn none() -> Rows {
        let (status, statistics) = (Status::Interrupted { t: 0.0 }, Statistics::default());
        Rows { columns: Vec::new(), undrawn: None, status, statistics, steady: None }
    }
}

/// True where a search was ended from outside.
fn is_stopped(error: &NotSteady) -> bool {
    let NotSteady::Failed(attempts) = error else { return false };
    attempts.last().is_some_and(|attempt| attempt.reason == Reason::Interrupted)
}

/// Names and units of the columns behind the labels.
fn names(model: &FlatModel) -> Vec<(String, String)> {
    let of = |quantity: &Quantity| (quantity.name.clone(), quantity.unit.clone());
    let mut names = vec![("time".to_string(), model.time_unit.clone())];
    names.extend(model.states.iter().map(|state| of(&state.quantity)));
    names.extend(model.inputs.iter().chain(&model.disturbances).map(|input| of(&input.quantity)));
    names.extend(model.lets.iter().map(|item| of(&item.quantity)));
    names.extend(model.observables.iter().map(|observable| of(&observable.quantity)));
    names
}

/// Mean and variance over the paths of each run. Blocks of paths are joined in their order, so that the sums do not
/// depend on threads.
fn moments(plan: &Plan, kernels: &Kernels, extras: &Kernel, chance: Option<&Chance>) -> Result<Finished, Failure> {
    let model = kernels.model();
    let mut finished = Finished {
        table: Table { columns: Vec::new() },
        n_labels: 0,
        statistics: Vec::new(),
        problems: Diagnostics::default(),
        warnings: Diagnostics::default(),
        n_hidden: 0,
        is_interrupted: false,
        starts: Vec::new(),
    };
    let names = names(model);
    for (group, runs) in plan.runs.chunks(plan.n_paths).enumerate() {
        let block = |(k, runs): (usize, &[Run])| {
            let mut moments = Moments::default();
            let (mut statistics, mut problems) = (Vec::new(), Diagnostics::default());
            let mut is_interrupted = false;
            for (j, run) in runs.iter().enumerate() {
                let idx = group * plan.n_paths + k * PATHS_PER_BLOCK + j;
                is_interrupted |= super::interrupt::is_asked();
                if is_interrupted {
                    break;
                }
                let rows = one(plan, idx, run, kernels, extras, chance)?;
                statistics.push(rows.statistics);
                if let Some(undrawn) = &rows.undrawn {
                    problems.push(with_labels(undrawn.diagnostic(model), run));
                }
                if let (Some(Err(error)), Some((_, span))) = (&rows.steady, &plan.steady) {
                    problems.push(with_labels(steady::missing(error, model, *span), run));
                    continue;
                }
                match problem(rows.status, model, run) {
                    None if rows.status.is_success() => moments.add(&rows.columns[1..names.len()]),
                    None => is_interrupted = true,
                    Some(diagnostic) => problems.push(diagnostic),
                }
            }
            Ok((moments, statistics, problems, is_interrupted))
        };
        let blocks: Vec<Result<_, Failure>> = runs.par_chunks(PATHS_PER_BLOCK).enumerate().map(block).collect();
        let mut all = Moments::default();
        for done in blocks {
            let (moments, statistics, problems, is_interrupted) = done?;
            all.join(moments);
            finished.statistics.extend(statistics);
            for diagnostic in problems {
                if finished.problems.len() < MOST_WARNINGS {
                    finished.problems.push(diagnostic);
                }
            }
            finished.is_interrupted |= is_interrupted;
        }
        // The last label is the number of the path.
        let labels = runs.first().map_or(&[][..], |run| &run.labels[..run.labels.len() - 1]);
        finished.n_labels = labels.len();
        let column = |name: &str, unit: &str, values| Column { name: name.into(), unit: unit.into(), values };
        let fixed = labels.iter().map(|(name, unit, value)| column(name, unit, vec![*value; plan.times.len()]));
        let time = column(&names[0].0, &names[0].1, plan.times.clone());
        let columns = fixed.chain([time]).chain(all.columns(&names[1..], plan.times.len()));
        if group == 0 {
            finished.table.columns = columns.collect();
        } else {
            for (into, from) in finished.table.columns.iter_mut().zip(columns) {
                into.values.extend(from.values);
            }
        }
    }
    Ok(finished)
}

fn one(
    plan: &Plan,
    idx: usize,
    run: &Run,
    kernels: &Kernels,
    extras: &Kernel,
    chance: Option<&Chance>,
) -> Result<Rows, Failure> {
    let model = kernels.model();
    let wrong = |error: ProblemError| mistake(&error, model);
    let problem = Problem {
        t0: plan.times.first().copied().unwrap_or(0.0),
        t1: plan.times.last().copied().unwrap_or(0.0),
        start: if run.start.is_empty() { Start::Model } else { Start::Overrides(&run.start) },
        p: &run.params,
        forcing: &run.forcing,
        directions: &[],
        resumes: false,
    };
    let steady = plan.steady.as_ref().map(|(structure, _)| {
        let sizes = plan.options.atol.sizes(plan.options.rtol, model.states.len());
        let search = SteadyStates::new(kernels, structure, &sizes);
        search.with_interrupt(plan.options.interrupt.clone()).start(&problem).map(|found| found.steady)
    });
    let problem = match &steady {
        Some(Ok(found)) => Problem { start: Start::Given(&found.x), ..problem },
        Some(Err(error)) => {
            // Without a start there are no rows; what is told of it stands in `steady`.
            let rows = Rows::none();
            let status = if is_stopped(error) { rows.status } else { Status::Success };
            return Ok(Rows {
                columns: vec![Vec::new(); names(model).len() + model.safe.len()],
                status,
                steady,
                ..rows
            });
        }
        None => problem,
    };
    let n_columns = names(model).len() + model.safe.len();
    let mut columns: Vec<Vec<f64>> = vec![Vec::with_capacity(plan.times.len()); n_columns];
    let mut work = kernels.work();
    let mut extra_work = crate::system::Work::default();
    let mut outputs = vec![0.0; kernels.dims().n_outputs];
    let mut extra = vec![0.0; extras.n_outputs()];
    let mut rng = stream(plan.seed, NOISE_STREAM + idx as u64);
    let n_lets = model.lets.len();
    let mut undrawn = None;
    let mut sizes = vec![0.0_f64; model.observables.len()];
    let mut observe = |sample: Sample<'_>| {
        let at = sample.at;
        kernels.outputs(at, &mut work, &mut outputs);
        extras.call(at, &mut extra_work, &mut extra);
        let observed = model.observables.iter().zip(&mut sizes).enumerate().map(|(k, (observable, size))| {
            let median = outputs[observable.value_output];
            match (observable.noise, observable.spread_output) {
                (Some(noise), Some(spread)) if plan.has_noise => {
                    *size = size.max(median.abs());
                    let (median, spread) = (positive_part(noise, median, *size), outputs[spread]);
                    if can_be_drawn(noise, median, spread) {
                        measured(noise, median, spread, &mut rng)
                    } else {
                        undrawn.get_or_insert(Undrawn { observable: k, noise, time: at.t, median, spread });
                        f64::NAN
                    }
                }
                (_, _) => median,
            }
        });
        let row = std::iter::once(at.t)
            .chain(at.x.iter().copied())
            .chain(at.u.iter().copied())
            .chain(at.d.iter().copied())
            .chain(extra[..n_lets].iter().copied())
            .chain(observed)
            .chain(extra[n_lets..].iter().copied());
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    };
    let outcome = match (&plan.paths, chance) {
        (Some(options), Some(chance)) => {
            let mut path = Stochastic::new(kernels, chance.law(), options.clone()).map_err(wrong)?;
            let mut rng = stream(plan.seed, PATH_STREAM + idx as u64);
            path.solve(&problem, &plan.times, &mut rng, &mut observe).map_err(wrong)?
        }
        (_, _) => {
            let mut integrator = Integrator::new(kernels, plan.options.clone()).map_err(wrong)?;
            integrator.solve(&problem, &plan.times, &mut observe).map_err(wrong)?
        }
    };
    Ok(Rows { columns, undrawn, status: outcome.status, statistics: outcome.statistics, steady })
}

/// What the integrator finds wrong with the question.
pub fn mistake(error: &ProblemError, model: &FlatModel) -> Failure {
    if let ProblemError::TooManyEvents { event_idx, .. } = error
        && let Some(event) = model.events.get(*event_idx)
    {
        let mut list = Diagnostics::default();
        list.push(
            Diagnostic::new(Code("E0510"), event.span, format!("`{}`: {error}", event.description))
                .help("choose a longer period, or an `until`"),
        );
        return Failure::from_diagnostics(list);
    }
    Failure::new("E0804", error.to_string())
}

/// An error that no distribution has.
struct Undrawn {
    observable: usize,
    noise: Noise,
    time: f64,
    median: f64,
    spread: f64,
}

impl Undrawn {
    /// E0609 at the observable.
    fn diagnostic(&self, model: &FlatModel) -> Diagnostic {
        let quantity = &model.observables[self.observable].quantity;
        let (median, spread, name) = (number(self.median), number(self.spread), &quantity.name);
        let (what, must) = match self.noise {
            Noise::LogNormal if self.median.is_nan() || self.median < 0.0 => {
                (format!("`{name}` is {median}"), "a log-normal error needs a median that is not negative")
            }
            Noise::LogNormal => (format!("the gsd of `{name}` is {spread}"), "it must be 1 or more"),
            Noise::Normal => (format!("the sd of `{name}` is {spread}"), "it must not be negative"),
            Noise::Laplace => (format!("the scale of `{name}` is {spread}"), "it must not be negative"),
        };
        let title = format!("no error of `{name}` can be drawn at time {}: {what}", when(model, self.time));
        Diagnostic::new(Code("E0609"), quantity.span, title)
            .at(must)
            .help("cells without a possible error are empty; correct the `~` of the observable, or leave `noise` out")
    }
}

/// A log-normal median below zero by no more than the rounding of a run is zero.
fn positive_part(noise: Noise, median: f64, size: f64) -> f64 {
    match noise {
        Noise::LogNormal if median < 0.0 && median >= -1e-9 * size => 0.0,
        Noise::Normal | Noise::LogNormal | Noise::Laplace => median,
    }
}

/// A spread of zero is an error that is always nothing.
fn can_be_drawn(noise: Noise, median: f64, spread: f64) -> bool {
    match noise {
        Noise::Normal | Noise::Laplace => spread >= 0.0 && spread.is_finite(),
        Noise::LogNormal => median >= 0.0 && spread >= 1.0 && spread.is_finite(),
    }
}

/// A measurement of an observable.
fn measured(noise: Noise, median: f64, spread: f64, rng: &mut crate::random::Rng) -> f64 {
    let distribution = match noise {
        Noise::Normal => Distribution::Normal { mean: median, sd: spread },
        Noise::LogNormal => Distribution::LogNormal { median, gsd: spread },
        Noise::Laplace => Distribution::Laplace { location: median, scale: spread },
    };
    draw(distribution, rng)
}

/// `3.2 [h]`
fn when(model: &FlatModel, t: f64) -> String {
    if model.time_unit.is_empty() { number(t) } else { format!("{} [{}]", number(t), model.time_unit) }
}

fn labelled(run: &Run) -> Option<String> {
    let words: Vec<String> = run.labels.iter().map(|(name, _, value)| format!("{name} = {}", number(*value))).collect();
    (!words.is_empty()).then(|| format!("in the run with {}", words.join(", ")))
}

/// Reactions shown as what moves a species, at most.
const MOST_REACTIONS: usize = 3;

/// A diagnostic about a state, at the equation or the reactions that move it.
pub fn about_state(code: Code, model: &FlatModel, state_idx: usize, title: impl Fn(&str) -> String) -> Diagnostic {
    let Some(state) = model.states.get(state_idx) else {
        return super::failure::unplaced(code, title(&model.name));
    };
    let title = title(&state.quantity.name);
    if let Some(equation) = state.equation {
        return Diagnostic::new(code, equation, title).at("its equation");
    }
    let moves = |reaction: &&Reaction| reaction.changes.iter().any(|change| change.0 as usize == state_idx);
    let reactions = model.reactions.iter().filter(moves).take(MOST_REACTIONS);
    reactions.fold(Diagnostic::new(code, state.quantity.span, title).at("declared here"), |d, reaction| {
        // The two directions of a reversible reaction stand at one place.
        if d.labels.iter().any(|label| label.span == reaction.span) { d } else { d.label(reaction.span, "moves it") }
    })
}

/// What to tell about a run that did not reach its end, at the place in the model that it concerns. An interrupted run
/// is no problem of the model.
pub fn problem(status: Status, model: &FlatModel, run: &Run) -> Option<Diagnostic> {
    let diagnostic = match status {
        Status::Success | Status::Interrupted { .. } => return None,
        Status::StepSizeUnderflow { t, worst_state } => about_state(Code("E0701"), model, worst_state, |name| {
            format!("step size underflow at time {}: `{name}` cannot be followed", when(model, t))
        })
        .help("look for a division by zero or a growth without bound in what moves it"),
        Status::NonFinite { t, state } => about_state(Code("E0702"), model, state, |name| {
            format!("`{name}` is not a finite number after time {}", when(model, t))
        })
        .help("look for `exp` of a large number, a division by zero, or the root or logarithm of a negative number"),
        Status::StepLimit { t, worst_state } => about_state(Code("E0703"), model, worst_state, |name| {
            format!("the step limit was reached at time {}, with the steps kept short by `{name}`", when(model, t))
        })
        .help(
            "use `--method rodas5p` if the model is stiff, a larger `--rtol`, a longer `max_step`, or more \
             `simulate.max_steps`",
        ),
        Status::EventStorm { t, event: k } => {
            let event = model.events.get(k)?;
            // What twinc itself describes has its own backticks.
            let what = &event.description;
            let what = if what.contains('`') { what.clone() } else { format!("`{what}`") };
            let title = format!("{what} repeats without time going on at time {}", when(model, t));
            Diagnostic::new(Code("E0704"), event.span, title)
                .help("let the event move the state away from its condition, or end the repetition there: `twinc explain E0704`")
        }
        Status::EventConflict { t, state: k, events: [first, second] } => {
            let name = &model.states.get(k)?.quantity.name;
            let (first, second) = (model.events.get(first)?, model.events.get(second)?);
            let title = format!("events at time {} set `{name}` in conflicting ways", when(model, t));
            let d = Diagnostic::new(Code("E0505"), second.span, title).at("this event");
            let d = if first.span == second.span { d } else { d.label(first.span, "happens at the same time") };
            d.help("at one instant `+=` and `-=` add up and `*=` multiply: write one `:=`, or move one event")
        }
        Status::NegativeCount { t, state } => about_state(Code("E0709"), model, state, |name| {
            format!("`{name}` has a negative count at time {}", when(model, t))
        })
        .help("items are counted from zero upwards: start at zero or more, and let events take no more than there is"),
        Status::BadRate { t, reaction: k } => {
            let reaction = model.reactions.get(k)?;
            let title =
                format!("the rate of `{}` is negative or not a number at time {}", reaction.name, when(model, t));
            Diagnostic::new(Code("E0708"), reaction.span, title)
                .at("its rate")
                .help("a reaction that is counted goes one way: give `<->` two rates, forward and backward")
        }
    };
    Some(with_labels(diagnostic, run))
}

/// The diagnostic with what tells its run from the others.
fn with_labels(diagnostic: Diagnostic, run: &Run) -> Diagnostic {
    match labelled(run) {
        Some(words) => diagnostic.note(words),
        None => diagnostic,
    }
}

/// The first output row in which each state is outside its range, and each safe set is left. Returns how many there are,
/// of which no more than [`MOST_WARNINGS`] are kept.
fn warn(model: &FlatModel, run: &Run, rows: &Rows, warnings: &mut Diagnostics) -> usize {
    let Some(times) = rows.columns.first() else { return 0 };
    let mut n_warnings = 0;
    let mut push = |diagnostic: Diagnostic| {
        n_warnings += 1;
        if warnings.len() < MOST_WARNINGS {
            warnings.push(with_labels(diagnostic, run));
        }
    };
    for (state, values) in model.states.iter().zip(&rows.columns[1..]) {
        let quantity = &state.quantity;
        // A value on the bound is inside whatever the rounding of a step did to it.
        let slack = 1e-9 * values.iter().fold(0.0_f64, |a, v| a.max(v.abs()));
        let outside = values.iter().position(|v| *v < quantity.low - slack || *v > quantity.high + slack);
        if let Some(row) = outside {
            let title = format!(
                "`{}` has left its range by time {}: it is {}",
                quantity.name,
                when(model, times[row]),
                number(values[row])
            );
            push(Diagnostic::new(Code("W0108"), quantity.span, title).at(format!(
                "valid in {} .. {}",
                number(quantity.low),
                number(quantity.high)
            )));
        }
    }
    let n_safe = model.safe.len();
    let margins = &rows.columns[rows.columns.len() - n_safe..];
    for (safe, values) in model.safe.iter().zip(margins) {
        if let Some(row) = values.iter().position(|v| *v < 0.0) {
            let title = format!("safe set `{}` is left by time {}", safe.quantity.name, when(model, times[row]));
            push(Diagnostic::new(Code("W0108"), safe.quantity.span, title).at("does not hold there"));
        }
    }
    n_warnings
}
