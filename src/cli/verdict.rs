//! What is told of a run: why it did not reach its end, at the place in the model that it concerns, and where ranges and
//! safe sets were left.

use super::failure::{Failure, unplaced};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::table::number;
use crate::flat::{FlatModel, Reaction};
use crate::integrate::{ProblemError, Status};

/// Warnings about ranges and safe sets, at most.
pub const MOST_WARNINGS: usize = 10;

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

/// `3.2 [h]`
pub fn when(model: &FlatModel, t: f64) -> String {
    if model.time_unit.is_empty() { number(t) } else { format!("{} [{}]", number(t), model.time_unit) }
}

/// Reactions shown as what moves a species, at most.
const MOST_REACTIONS: usize = 3;

/// A diagnostic about a state, at the equation or the reactions that move it.
pub fn about_state(code: Code, model: &FlatModel, state_idx: usize, title: impl Fn(&str) -> String) -> Diagnostic {
    let Some(state) = model.states.get(state_idx) else {
        return unplaced(code, title(&model.name));
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
pub fn problem(status: Status, model: &FlatModel) -> Option<Diagnostic> {
    Some(match status {
        Status::Success | Status::Interrupted { .. } => return None,
        Status::StepSizeUnderflow { t, worst_state } => about_state(Code("E0701"), model, worst_state, |name| {
            format!("step size underflow at time {}: `{name}` cannot be followed", when(model, t))
        })
        .help("look for a division by zero or a growth without bound in what moves it"),
        Status::NoConvergence { t, state } => about_state(Code("E0701"), model, state, |name| {
            format!(
                "the equations of the step from time {} are not solved: `{name}` cannot be followed",
                when(model, t)
            )
        })
        .help("shorten the step, or take `rodas5p`, which chooses its own"),
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
    })
}

/// The diagnostic with what tells its run from the others.
pub fn with_words(diagnostic: Diagnostic, words: Option<&str>) -> Diagnostic {
    match words {
        Some(words) => diagnostic.note(words),
        None => diagnostic,
    }
}

/// When a run ended before its end.
pub fn instant(status: Status) -> Option<f64> {
    match status {
        Status::Success => None,
        Status::StepSizeUnderflow { t, .. }
        | Status::NoConvergence { t, .. }
        | Status::StepLimit { t, .. }
        | Status::NonFinite { t, .. }
        | Status::EventStorm { t, .. }
        | Status::EventConflict { t, .. }
        | Status::NegativeCount { t, .. }
        | Status::BadRate { t, .. }
        | Status::Interrupted { t } => Some(t),
    }
}

/// The first output row in which each state is outside its range, and each safe set is left: no more than
/// [`MOST_WARNINGS`] of them, and how many there are. `columns` are the time, the states, and at the end the margins of
/// the safe sets.
pub fn warn(model: &FlatModel, columns: &[Vec<f64>]) -> (Vec<Diagnostic>, usize) {
    let mut warnings = Vec::new();
    let Some((times, rest)) = columns.split_first() else { return (warnings, 0) };
    let mut n_warnings = 0;
    let mut push = |diagnostic: Diagnostic| {
        n_warnings += 1;
        if warnings.len() < MOST_WARNINGS {
            warnings.push(diagnostic);
        }
    };
    for (state, values) in model.states.iter().zip(rest) {
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
    let margins = &columns[columns.len().saturating_sub(model.safe.len())..];
    for (safe, values) in model.safe.iter().zip(margins) {
        if let Some(row) = values.iter().position(|v| *v < 0.0) {
            let title = format!("safe set `{}` is left by time {}", safe.quantity.name, when(model, times[row]));
            push(Diagnostic::new(Code("W0108"), safe.quantity.span, title).at("does not hold there"));
        }
    }
    (warnings, n_warnings)
}
