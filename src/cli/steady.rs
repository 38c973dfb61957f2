//! Steady states for people: `twinc inspect --steady`, and what a run that starts at one has to say.

use super::console::Console;
use super::failure::{Exit, Failure};
use super::prepare;
use super::render::counted;
use super::verdict::about_state;
use crate::analyze::{Attempt, NotSteady, Reason, Stability, Steady, SteadyStart, SteadyStates, Structure};
use crate::calibrate::bind;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::table::number;
use crate::flat::{FlatModel, Quantity};
use crate::integrate::{Direction, Problem, Start};
use crate::jit::{Needs, Options};
use crate::source::Span;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// Parameters named for each state, those first that move it most.
const MOST_NAMED: usize = 4;
/// A state that a parameter moves by less than this part of its size, for each part of the parameter's, is not moved.
const SMALL: f64 = 1e-6;

/// `steady state found by Newton's iteration in 6 steps, imbalance 1.2e-16 at S`, and what was tried before.
pub fn how(steady: &Steady, model: &FlatModel) -> String {
    let steps = counted(steady.iterations as usize, "step");
    let mut text = format!("steady state found by {} in {steps}, imbalance {:.1e}", steady.stage, steady.imbalance);
    if let Some(state) = model.states.get(steady.worst_state) {
        let _ = write!(text, " at {}", state.quantity.name);
    }
    for attempt in &steady.earlier {
        let _ = write!(text, "; {} met {}", attempt.stage, words(attempt.reason, model));
    }
    text
}

/// The reason with the state's name.
fn words(reason: Reason, model: &FlatModel) -> String {
    match reason {
        Reason::NonFinite { state } => match model.states.get(state) {
            Some(state) => format!("the rate of `{}` is not finite", state.quantity.name),
            None => reason.to_string(),
        },
        Reason::Singular
        | Reason::Damped
        | Reason::Iterations
        | Reason::Unstable { .. }
        | Reason::NotIsolated
        | Reason::Unsettled { .. }
        | Reason::Underflow { .. }
        | Reason::NoTime
        | Reason::Interrupted => reason.to_string(),
    }
}

/// W0111 where displacements from the state grow. `asked` is where the steady start is written.
pub fn unstable(steady: &Steady, model: &FlatModel, asked: Span) -> Option<Diagnostic> {
    let growth = steady.stability.as_ref().filter(|s| !s.is_stable())?.largest();
    let title = format!("the steady state of `{}` is unstable", model.name);
    Some(
        Diagnostic::new(Code("W0111"), asked, title)
            .at(format!("displacements grow by {} per {}", number_of(growth), time(model)))
            .help("the run stays near it only as long as rounding errors take to grow; start from values instead"),
    )
}

/// E0710 for a model without a steady state; `asked` is where the steady start is written.
pub fn missing(error: &NotSteady, model: &FlatModel, asked: Span) -> Diagnostic {
    without(error, model).label(asked, "asked for here")
}

fn without(error: &NotSteady, model: &FlatModel) -> Diagnostic {
    let code = Code("E0710");
    match error {
        NotSteady::Failed(attempts) => {
            let last = attempts.last();
            let changes = last.map_or(String::new(), |attempt| format!(": {}", still(attempt, model)));
            let mut d = about_state(code, model, last.map_or(0, |attempt| attempt.worst_state), |_| {
                format!("no steady state was found{changes}")
            });
            for attempt in attempts {
                let reason = words(attempt.reason, model);
                d = d.note(format!("{}: {reason}; {}", attempt.stage, still(attempt, model)));
            }
            d.help("give what flows in a way out, or start from values instead of `start steady`")
        }
        NotSteady::TimeDependent { state } => about_state(code, model, *state, |name| {
            format!("there is no steady state: the rate of `{name}` depends on time")
        })
        .help("write what drives it as an input, a disturbance or an event, or start from values"),
        NotSteady::NoDerivative => about_state(code, model, 0, |_| {
            format!("the Jacobian of `{}` is singular at its steady state, which has no derivatives", model.name)
        }),
    }
}

/// "`B` still changes by 2 uM per h"
fn still(attempt: &Attempt, model: &FlatModel) -> String {
    let Some(state) = model.states.get(attempt.worst_state) else { return String::new() };
    let Quantity { name, unit, .. } = &state.quantity;
    let unit = if is_pure(unit) { String::new() } else { format!(" {unit}") };
    format!("`{name}` still changes by {}{unit} per {}", number_of(attempt.rate), time(model))
}

/// True for a number without a unit.
fn is_pure(unit: &str) -> bool {
    unit.is_empty() || unit == "1"
}

/// One of the model's unit of time.
fn time(model: &FlatModel) -> &str {
    if is_pure(&model.time_unit) { "unit of time" } else { &model.time_unit }
}

/// Four significant digits.
fn number_of(value: f64) -> String {
    number(format!("{value:.3e}").parse().unwrap_or(value))
}

fn with_unit(value: String, unit: &str) -> String {
    if unit.is_empty() { value } else { format!("{value} [{unit}]") }
}

/// A model with the search of its steady state done.
struct Found<'a> {
    model: &'a FlatModel,
    params: Vec<f64>,
    start: SteadyStart,
    /// Conserved totals as text with their values.
    totals: Vec<(String, f64)>,
}

/// Prints the steady state that belongs to the model's start values and inputs.
///
/// # Errors
/// E0707, and E0710 where there is none.
pub fn print(flat: FlatModel, console: &mut Console) -> Result<Exit, Failure> {
    let flat = Arc::new(flat);
    let needs = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    let kernels = prepare::compile(flat.clone(), &Options::default(), needs)?;
    let params: Vec<f64> = flat.params.iter().map(|param| param.value).collect();
    let structure = Structure::of(&flat);
    let search = SteadyStates::new(&kernels, &structure, &bind::absolute_tolerances(&flat, &params, 1.0));
    let forcing = bind::declared_forcing(&flat);
    let directions: Vec<Direction> = (0..params.len()).map(Direction::parameter).collect();
    let problem = Problem {
        t0: 0.0,
        t1: 0.0,
        start: Start::Model,
        p: &params,
        forcing: &forcing,
        directions: &directions,
        resumes: false,
    };
    let start = match search.start(&problem) {
        // A state without derivatives is shown without them.
        Err(NotSteady::NoDerivative) => search.start(&Problem { directions: &[], ..problem }),
        other => other,
    };
    let start = match start {
        Ok(start) => start,
        Err(error) => {
            let mut list = Diagnostics::default();
            list.push(without(&error, &flat));
            return Err(Failure::from_diagnostics(list));
        }
    };
    let name = |k: usize| flat.states[k].quantity.name.as_str();
    let total = |law: &crate::analyze::Law| {
        let terms = law.terms.iter().map(|&(k, c)| {
            let sign = if c < 0.0 { '-' } else { '+' };
            match number_of(c.abs()).as_str() {
                "1" => format!(" {sign} {}", name(k)),
                size => format!(" {sign} {size}*{}", name(k)),
            }
        });
        (format!("{}{}", name(law.state), terms.collect::<String>()), law.total(&start.steady.x))
    };
    let totals = search.laws(&params).iter().map(total).collect();
    let found = Found { model: &flat, params, start, totals };
    if console.is_text() {
        console.data(found.text().as_bytes())?;
    } else {
        console.result(found.document());
    }
    Ok(Exit::Fine)
}

impl Found<'_> {
    /// Relative derivatives `(parameter, d ln x/d ln p)` of a state, the largest first.
    fn slopes(&self, state: usize) -> Vec<(&Quantity, f64)> {
        let x = self.start.steady.x[state];
        let of = |(direction, (param, p)): (&Direction, (&'_ crate::flat::Param, &f64))| {
            let slope = direction.start.iter().find(|(k, _)| *k == state).map_or(0.0, |(_, v)| *v);
            (slope * p / x, param.quantity.name.clone())
        };
        let params = self.model.params.iter().zip(&self.params);
        let mut list: Vec<(f64, String)> = self.start.directions.iter().zip(params).map(of).collect();
        list.retain(|(slope, _)| slope.is_finite() && slope.abs() > SMALL);
        list.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        let quantity = |name: &str| self.model.params.iter().map(|p| &p.quantity).find(|q| q.name == name);
        list.iter().filter_map(|(slope, name)| Some((quantity(name)?, *slope))).collect()
    }

    fn text(&self) -> String {
        let (model, steady) = (self.model, &self.start.steady);
        let mut out = format!("{}: {}\n\n", model.name, how(steady, model));
        let width = model.states.iter().map(|s| s.quantity.name.chars().count()).max().unwrap_or(0);
        for (k, (state, x)) in model.states.iter().zip(&steady.x).enumerate() {
            let value = with_unit(number_of(*x), &state.quantity.unit);
            let slopes: Vec<String> =
                self.slopes(k).iter().take(MOST_NAMED).map(|(q, s)| format!("{} {s:+.3}", q.name)).collect();
            let moved = if slopes.is_empty() { String::new() } else { format!("    {}", slopes.join(", ")) };
            let _ = writeln!(out, "  {:width$} = {value}{moved}", state.quantity.name);
        }
        if !self.totals.is_empty() {
            out.push_str("\nconserved\n");
            self.totals.iter().for_each(|(text, value)| {
                let _ = writeln!(out, "  {text} = {}", number_of(*value));
            });
        }
        match &steady.stability {
            Some(stability) => {
                let _ = writeln!(out, "\neigenvalues per {}", time(model));
                for value in &stability.eigenvalues {
                    let im = if value.im == 0.0 { String::new() } else { format!(" {:+}i", rounded(value.im)) };
                    let _ = writeln!(out, "  {}{im}", number_of(value.re));
                }
                let _ = writeln!(out, "{}", if stability.is_stable() { "stable" } else { "unstable" });
            }
            None => out.push_str("\neigenvalues are not computed for a model of this size\n"),
        }
        if !steady.is_isolated {
            out.push_str("the Jacobian is singular there: the start values may decide which state is reached, and it has no derivatives\n");
        }
        out
    }

    fn document(&self) -> Value {
        let (model, steady) = (self.model, &self.start.steady);
        let state = |(k, (state, x)): (usize, (&crate::flat::State, &f64))| {
            let slopes: serde_json::Map<String, Value> =
                self.slopes(k).into_iter().map(|(q, slope)| (q.name.clone(), json!(slope))).collect();
            json!({ "name": state.quantity.name, "unit": state.quantity.unit, "value": x, "relative_derivatives": slopes })
        };
        let eigenvalues = |s: &Stability| s.eigenvalues.iter().map(|z| json!([z.re, z.im])).collect::<Vec<_>>();
        json!({
            "model": model.name,
            "stage": steady.stage.to_string(),
            "iterations": steady.iterations,
            "imbalance": steady.imbalance,
            "is_isolated": steady.is_isolated,
            "states": model.states.iter().zip(&steady.x).enumerate().map(state).collect::<Vec<_>>(),
            "conserved": self.totals.iter().map(|(text, value)| json!({ "law": text, "total": value })).collect::<Vec<_>>(),
            "eigenvalues": steady.stability.as_ref().map(eigenvalues),
            "is_stable": steady.stability.as_ref().map(Stability::is_stable),
        })
    }
}

fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
