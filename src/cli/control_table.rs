//! What came of closed loops as numbers: the table on the terminal, `result.json`, trajectories, and what is to be noted.
//!
//! Seconds stand in the table on the terminal only.

use super::control_run::{Entry, Episode, Halt, Loops, faulty_terms};
use super::machine;
use super::render::counted;
use super::verdict::when;
use crate::control::closed_loop::{Ending, Moment, Trace};
use crate::decide::PlanStatus;
use crate::export::table::{self, number, push_cell};
use crate::hir::settings::{SettingSpec, SettingValue, Settings};
use serde_json::{Map, Value, json};

/// Remarks of one kind about one planner, at most.
const MOST_REMARKS: usize = 3;

/// All outcomes of a plan with their words.
const STATUSES: [(PlanStatus, &str); 7] = [
    (PlanStatus::Optimal, "optimal"),
    (PlanStatus::Improved, "improved"),
    (PlanStatus::IterationLimit, "at the iteration limit"),
    (PlanStatus::Stagnated, "stagnated"),
    (PlanStatus::Infeasible, "infeasible"),
    (PlanStatus::Deadline, "too late"),
    (PlanStatus::Failed, "failed"),
];

/// A planner's row.
pub struct Row {
    /// Its name.
    pub planner: String,
    /// Episodes that were run.
    pub n_episodes: usize,
    /// Mean over the episodes of the sum over the steps.
    pub cost: f64,
    /// Mean over all steps.
    pub reward: f64,
    /// The largest violation and its constraint.
    pub violation: (f64, String),
    /// Episodes that failed.
    pub n_failed: usize,
    /// Plans that were not used.
    pub n_fallbacks: usize,
    /// Those of them that came too late.
    pub n_late: usize,
    /// Samples that were lost.
    pub n_lost: usize,
    /// How plans came about.
    pub statuses: String,
    /// Median, 95 % and largest of the milliseconds of planning.
    pub milliseconds: [f64; 3],
    /// No plan of an episode had a value, or the plant had none.
    pub is_without_result: bool,
}

impl Row {
    /// The row of one planner.
    pub fn of(planner: &str, episodes: &[Episode]) -> Row {
        let moments = || episodes.iter().flat_map(|episode| &episode.trace.moments);
        let n_steps = moments().count() as f64;
        let worst = episodes.iter().map(|episode| &episode.trace.broken);
        let worst = worst.fold((0.0, String::new()), |worst, broken| match broken.amount > worst.0 {
            true => (broken.amount, broken.name.clone()),
            false => worst,
        });
        let mut seconds: Vec<f64> = moments().map(|moment| moment.seconds).filter(|s| s.is_finite()).collect();
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * (seconds.len().max(1) - 1) as f64).round() as usize;
            seconds.get(place).map_or(f64::NAN, |s| 1e3 * s)
        };
        Row {
            planner: planner.into(),
            n_episodes: episodes.len(),
            cost: episodes.iter().map(|episode| episode.trace.cost()).sum::<f64>() / episodes.len() as f64,
            reward: moments().map(|moment| moment.reward).sum::<f64>() / n_steps,
            violation: worst,
            n_failed: episodes.iter().filter(|episode| episode.trace.ending == Ending::Failed).count(),
            n_fallbacks: episodes.iter().map(|episode| episode.trace.n_fallbacks()).sum(),
            n_late: moments().filter(|moment| moment.status == PlanStatus::Deadline).count(),
            n_lost: moments().filter(|moment| moment.is_lost).count(),
            statuses: statuses(moments()).iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", "),
            milliseconds: [at(0.5), at(0.95), at(1.0)],
            is_without_result: episodes
                .iter()
                .any(|episode| is_without_plan(&episode.trace) || has_no_value(&episode.trace)),
        }
    }

    /// `0`, `0.02 (T_K in 50 .. 140)`
    pub fn violation(&self) -> String {
        match self.violation.1.as_str() {
            "" => "0".into(),
            name => format!("{} ({name})", short(self.violation.0)),
        }
    }
}

fn statuses<'a>(moments: impl Iterator<Item = &'a Moment> + Clone) -> Vec<(&'static str, usize)> {
    let count = |status: PlanStatus| moments.clone().filter(|moment| moment.status == status).count();
    STATUSES.iter().map(|(status, word)| (*word, count(*status))).filter(|(_, n)| *n > 0).collect()
}

fn is_without_plan(trace: &Trace) -> bool {
    !trace.moments.is_empty() && trace.moments.iter().all(|moment| moment.status == PlanStatus::Failed)
}

/// True where the plant could not be followed.
fn has_no_value(trace: &Trace) -> bool {
    trace.ending == Ending::Failed && trace.moments.last().is_some_and(|moment| moment.reward == f64::NEG_INFINITY)
}

/// Six significant digits.
pub fn short(value: f64) -> String {
    format!("{value:.5e}").parse::<f64>().map_or_else(|_| value.to_string(), number)
}

/// The table on the terminal.
pub fn summary(loops: &Loops, rows: &[Row]) -> String {
    let task = loops.plant.task();
    let heads = [
        "planner",
        "episodes",
        "cost",
        "reward/step",
        "violation",
        "failures",
        "unused plans",
        "ms/step",
        "95 %",
        "max",
        "plans",
    ];
    let mut cells = vec![heads.map(str::to_string)];
    for row in rows {
        let [median, high, most] = row.milliseconds.map(|ms| format!("{ms:.3}"));
        cells.push([
            row.planner.clone(),
            row.n_episodes.to_string(),
            short(row.cost),
            short(row.reward),
            row.violation(),
            row.n_failed.to_string(),
            row.n_fallbacks.to_string(),
            median,
            high,
            most,
            row.statuses.clone(),
        ]);
    }
    let title = format!(
        "{}: {} of {}, {} of {}\n",
        loops.name,
        task.name,
        task.model.name,
        counted(task.n_steps, "step"),
        step_length(loops)
    );
    title + &aligned(&cells)
}

/// Rows of cells in columns, one line each.
pub fn aligned<R: AsRef<[String]>>(rows: &[R]) -> String {
    let n_columns = rows.first().map_or(0, |row| row.as_ref().len());
    let width = |column: usize| rows.iter().map(|row| row.as_ref()[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.as_ref().iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `0.005 [h]`
pub fn step_length(loops: &Loops) -> String {
    when(&loops.plant.task().model, loops.plant.task().step)
}

/// A sampling instant without the rounding of a product: `0.82 [s]`
fn instant(loops: &Loops, time: f64) -> String {
    let rounded = format!("{time:.11e}").parse().unwrap_or(time);
    when(&loops.plant.task().model, rounded)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The document `result.json`.
pub fn result(loops: &Loops, results: &[(&Entry, Vec<Episode>)], halt: Option<&Halt>, remarks: &[String]) -> Value {
    let task = loops.plant.task();
    let planners: Vec<Value> = results.iter().map(|(entry, episodes)| planner(entry, episodes)).collect();
    json!({
        "schema": machine::SCHEMA,
        "study": loops.name,
        "task": task.name,
        "plant": task.model.name,
        "belief": results.first().map(|(entry, _)| entry.assembly.task().model.name.clone()),
        "step": task.step,
        "n_steps": task.n_steps,
        "time_unit": task.model.time_unit,
        "planners": planners,
        "stopped": halt.map(|halt| json!({
            "rule": halt.rule, "planner": halt.planner, "episode": halt.episode, "step": halt.step,
        })),
        "remarks": remarks,
    })
}

fn planner(entry: &Entry, episodes: &[Episode]) -> Value {
    let row = Row::of(entry.kind.name(), episodes);
    let list: Vec<Value> = episodes.iter().map(one).collect();
    json!({
        "planner": row.planner,
        "horizon": entry.horizon,
        "n_episodes": row.n_episodes,
        "cost": finite(row.cost),
        "mean_reward": finite(row.reward),
        "violation": { "amount": row.violation.0, "name": row.violation.1 },
        "n_failed": row.n_failed,
        "n_fallbacks": row.n_fallbacks,
        "n_late": row.n_late,
        "n_lost": row.n_lost,
        "episodes": list,
    })
}

fn one(Episode { number, seed, trace }: &Episode) -> Value {
    let words: Map<String, Value> =
        statuses(trace.moments.iter()).into_iter().map(|(word, n)| (word.to_string(), json!(n))).collect();
    json!({
        "episode": number,
        "seed": seed,
        "n_steps": trace.moments.len(),
        "cost": finite(trace.cost()),
        "mean_reward": finite(trace.mean_reward()),
        "violation": { "amount": trace.broken.amount, "name": trace.broken.name, "step": trace.broken.step },
        "ending": ending(trace.ending),
        "message": trace.message,
        "n_fallbacks": trace.n_fallbacks(),
        "n_lost": trace.n_lost(),
        "iterations": trace.moments.iter().map(|moment| moment.iterations).sum::<usize>(),
        "statuses": words,
    })
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Completed => "completed",
        Ending::Done => "done",
        Ending::Failed => "failed",
        Ending::Interrupted => "interrupted",
        Ending::Stopped => "stopped",
    }
}

/// The episodes as CSV, a row for each instant; the last of an episode has no inputs.
pub fn trajectory(loops: &Loops, episodes: &[Episode]) -> String {
    let model = &loops.plant.task().model;
    let (n, m, n_y) = (model.states.len(), model.inputs.len(), model.observables.len());
    let is_estimated = loops.filter.is_some();
    let mut heads: Vec<String> = vec!["episode".into(), "step".into(), table::header("time", &model.time_unit)];
    heads.extend(model.states.iter().map(|s| table::header(&s.quantity.name, &s.quantity.unit)));
    if is_estimated {
        let believed = |name: &str| format!("{name} believed");
        heads.extend(model.states.iter().map(|s| table::header(&believed(&s.quantity.name), &s.quantity.unit)));
        let of = |name: &String| model.params.iter().find(|param| param.quantity.name == *name);
        let estimated = loops.estimands.iter().filter_map(|estimand| of(&estimand.name));
        heads.extend(estimated.map(|p| table::header(&believed(&p.quantity.name), &p.quantity.unit)));
    }
    heads.extend(model.inputs.iter().map(|i| table::header(&i.quantity.name, &i.quantity.unit)));
    heads.extend(model.observables.iter().map(|o| table::header(&o.quantity.name, &o.quantity.unit)));
    heads.extend(["cost", "reward", "violation", "iterations", "plan"].map(String::from));
    let mut out = heads.iter().map(|head| table::quoted(head, ',')).collect::<Vec<_>>().join(",");
    out.push('\n');
    for Episode { number, trace, .. } in episodes {
        for (k, x) in trace.states.chunks_exact(n.max(1)).enumerate() {
            let moment = trace.moments.get(k);
            out.push_str(&format!("{number},{k},"));
            push_cell(&mut out, k as f64 * loops.plant.task().step);
            let mut cells = |values: Option<&[f64]>, n: usize| {
                for j in 0..n {
                    out.push(',');
                    push_cell(&mut out, values.map_or(f64::NAN, |values| values[j]));
                }
            };
            cells(Some(x), n);
            if is_estimated {
                cells(trace.believed.get(k * n..(k + 1) * n), n);
                let n = loops.estimands.len();
                cells(trace.estimated.get(k * n..(k + 1) * n), n);
            }
            cells(trace.inputs.get(k * m..(k + 1) * m), m);
            cells(trace.measured.get(k * n_y..(k + 1) * n_y), n_y);
            let numbers = moment.map(|moment| [moment.cost, moment.reward, moment.violation, moment.iterations as f64]);
            cells(numbers.as_ref().map(|numbers| &numbers[..]), 4);
            out.push(',');
            out.push_str(moment.map_or("", |moment| word(moment.status)));
            out.push('\n');
        }
    }
    out
}

/// How a plan came about.
pub fn word(status: PlanStatus) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("", |(_, word)| word)
}

/// A setting as it is in force: as written, else its default.
pub fn setting(settings: &Settings, spec: &SettingSpec) -> String {
    match settings.get(spec.name).map(|setting| &setting.value) {
        Some(SettingValue::Number(value, _)) => number(*value),
        Some(SettingValue::Word(word) | SettingValue::Text(word)) => word.clone(),
        Some(SettingValue::List(_)) | None => spec.default.into(),
    }
}

/// That a `stop` ended the run, and where.
pub fn stopped(loops: &Loops, Halt { rule, planner, episode, step }: &Halt) -> String {
    let task = loops.plant.task();
    let time = instant(loops, (step + 1) as f64 * task.step);
    format!(
        "{planner}: stopped for safety: `{rule}` holds after step {step} of episode {episode} (time {time}); nothing was run after it."
    )
}

/// What a reader should know, in sentences: failures, plans that break constraints or have no value, with step and reason.
pub fn remarks(loops: &Loops, results: &[(&Entry, Vec<Episode>)]) -> Vec<String> {
    let mut remarks = Vec::new();
    for (entry, episodes) in results {
        let name = entry.kind.name();
        let at = |k: usize, trace: &Trace| match trace.moments.get(k) {
            Some(moment) => format!("step {k} (time {})", instant(loops, moment.time)),
            None => format!("step {k}"),
        };
        let mut push_some = |list: Vec<String>| {
            let n_more = list.len().saturating_sub(MOST_REMARKS);
            remarks.extend(list.into_iter().take(MOST_REMARKS));
            if n_more > 0 {
                remarks.push(format!("{name}: so in {} more; `result.json` has each.", counted(n_more, "episode")));
            }
        };
        let failed = episodes.iter().filter(|episode| episode.trace.ending == Ending::Failed).map(|episode| {
            let (trace, number) = (&episode.trace, episode.number);
            let last = trace.moments.len().saturating_sub(1);
            let why = if has_no_value(trace) { "the plant has no value" } else { "the task's `fail` holds" };
            format!("{name}: episode {number} failed at {}: {why}: {}.", at(last, trace), trace.message)
        });
        push_some(failed.collect());
        let unplanned = episodes.iter().filter_map(|episode| {
            let trace = &episode.trace;
            let is_bad = |moment: &Moment| moment.status == PlanStatus::Failed || !moment.cost.is_finite();
            let k = trace.moments.iter().position(is_bad)?;
            let terms = faulty_terms(entry, trace, k);
            let what = match trace.moments[k].status == PlanStatus::Failed {
                true => "no plan was found",
                false => "the cost is not finite",
            };
            let why = match (terms.as_slice(), trace.message.as_str()) {
                ([], "") => String::new(),
                ([], message) => format!(": {message}"),
                (terms, _) => format!(": the cost has no finite value there, by `{}`", terms.join("`, `")),
            };
            Some(format!("{name}: episode {}: {what} at {}{why}.", episode.number, at(k, trace)))
        });
        push_some(unplanned.collect());
        let infeasible = episodes.iter().filter_map(|episode| {
            let trace = &episode.trace;
            let k = trace.moments.iter().position(|moment| moment.status == PlanStatus::Infeasible)?;
            let why = if trace.ending == Ending::Failed { String::new() } else { format!(": {}", trace.message) };
            Some(format!(
                "{name}: episode {}: the plan at {} keeps not all constraints{}.",
                episode.number,
                at(k, trace),
                if trace.message.is_empty() { "" } else { &why }
            ))
        });
        push_some(infeasible.collect());
    }
    remarks
}
