//! `twinc evaluate`: plays a trained policy on a plant of its task, and beside it the study's controller.

use super::args::EvaluateArgs;
use super::console::Console;
use super::control_table::short;
use super::failure::{Exit, Failure};
use super::machine;
use super::outlet::Outlet;
use super::run_folder::Manifest;
use super::target::Target;
use super::train::Asked;
use super::train_ground::{CONTROLLER, Grounds};
use super::train_job::Judged;
use super::train_methods;
use super::train_policy;
use crate::diag::Diagnostics;
use crate::export::table::{push_cell, quoted};
use crate::jit::Options;
use crate::learn::algorithms::{self, LearnerKind};
use crate::learn::play::Played;
use crate::source::SourceMap;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Plays the policy of a run.
///
/// # Errors
/// E0801 where there is no run or no policy, E0806 where the policy does not fit or was changed, what is wrong with the
/// task's file, E0711 where an episode has no reward.
pub fn run(args: &EvaluateArgs, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    let (origin, policy) = train_policy::load(&args.run)?;
    let (manifest, run) = manifest(&args.run)?;
    let Some(asked) = Asked::from_json(manifest.asked()).filter(|_| manifest.verb() == "train") else {
        return Err(Failure::new("E0804", format!("`{}` holds no run of `train`", run.display())));
    };
    let mut warnings = Diagnostics::default();
    let target = match &args.file {
        Some(file) => Target::parse(file),
        None => found(&asked.file, &manifest)?,
    };
    let study = asked.study(args.plant.as_deref(), &target, sources, &mut warnings)?;
    let Some(control) = &study.control else {
        return Err(Failure::new("E0803", format!("`{}` is no study of a task", study.name)));
    };
    let Some(kind) = LearnerKind::find(&origin.algorithm) else {
        return Err(Failure::new("E0806", format!("`{}` is no algorithm of this version", origin.algorithm)));
    };
    let methods = train_methods::of(control).into_iter().filter(|method| method.kind() == kind).collect::<Vec<_>>();
    let Some(method) = methods.first() else {
        let title = format!("`{}` trains no `{}`, which the policy was trained by", study.name, origin.algorithm);
        return Err(Failure::new("E0806", title).help("name the file and study it was trained with by `--file`"));
    };
    let is_compared = kind.is_advised() || control.evaluation.words("against").contains(&CONTROLLER);
    let options = Options { strict_math: asked.strict_math() };
    let grounds = Grounds::new(control, &methods, is_compared, &options, &mut warnings)?;
    console.report(std::mem::take(&mut warnings), sources);
    origin.fits(grounds.task_name(), grounds.observation_space(), grounds.action_space())?;
    let spaces = (grounds.observation_space(), grounds.action_space());
    let mut policy = algorithms::policy(kind, &policy, spaces.0, spaces.1).map_err(|error| {
        let title = format!("the policy in `{}` cannot be used: {error}", args.run.display());
        Failure::new("E0806", title).help("take it again from the run that made it, or train it anew")
    })?;
    let played = grounds
        .judging(method)?
        .play(policy.as_mut(), args.seed, args.episodes)
        .map_err(|error| Failure::new("E0711", format!("the policy could not be played: {error}")))?;
    let mut rows = vec![(origin.algorithm.clone(), Judged::of(&played))];
    if let Some((judged, _)) = grounds.controller(args.seed, args.episodes)? {
        rows.push((CONTROLLER.to_string(), judged));
    }
    if console.is_text() {
        let head = format!("{} of {} on {}\n", origin.algorithm, origin.task, grounds.plant_name());
        console.data_in_passing((head + &table(&rows)).as_bytes());
    } else {
        let list: Vec<_> = rows.iter().map(|(name, judged)| json!({ "name": name, "judged": judged })).collect();
        let episodes: Vec<_> = played
            .iter()
            .map(|one| {
                let episode = &one.episode;
                json!({ "return": episode.total, "steps": episode.length, "failed": episode.failed })
            })
            .collect();
        console.result(json!({
            "schema": machine::SCHEMA, "task": origin.task, "plant": grounds.plant_name(), "trained_on": origin.plant,
            "algorithm": origin.algorithm, "seed": args.seed, "judged": list, "episodes": episodes,
        }));
    }
    if let Some(path) = &args.out {
        let text = steps(&played, &grounds);
        Outlet::of(path).write(text.as_bytes(), console)?;
    }
    Ok(Exit::Fine)
}

/// The manifest of a run, given its folder or that of one of its trainings.
fn manifest(folder: &Path) -> Result<(Manifest, PathBuf), Failure> {
    let outer = folder.ancestors().nth(2).filter(|_| folder.parent().is_some_and(|parent| parent.ends_with("jobs")));
    let run = outer.unwrap_or(folder);
    Ok((Manifest::read(run)?, run.to_path_buf()))
}

/// The file of the task: as it was named, else below the folder that the run was started in.
fn found(file: &str, manifest: &Manifest) -> Result<Target, Failure> {
    let target = Target::parse(file);
    if target.path.exists() {
        return Ok(target);
    }
    let began = manifest.folder().map(|folder| folder.join(file)).map(|path| Target::parse(&path.to_string_lossy()));
    match began {
        Some(target) if target.path.exists() => Ok(target),
        Some(_) | None => Err(Failure::new("E0801", format!("`{}` cannot be read: there is no such file", file))
            .help("name the file and study it was trained with by `--file FILE:STUDY`")),
    }
}

fn table(rows: &[(String, Judged)]) -> String {
    let heads = ["policy", "episodes", "failures", "reward/step", "return", "sd of return"];
    let mut cells = vec![heads.map(String::from)];
    cells.extend(rows.iter().map(|(name, judged)| {
        let numbers = [judged.reward_per_step, judged.mean_return, judged.sd_return].map(short);
        let [reward, total, sd] = numbers;
        [name.clone(), judged.n_episodes.to_string(), judged.n_failed.to_string(), reward, total, sd]
    }));
    let width = |c: usize| cells.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |row: &[String; 6]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    cells.iter().map(line).collect()
}

/// Every step of every episode: what was seen before it, what was done, and the reward; the last row has what was seen at the
/// end.
fn steps(played: &[Played], grounds: &Grounds) -> String {
    let (seen, acted) = (grounds.observation_space(), grounds.action_space());
    let names = grounds.heads();
    let heads = ["episode", "step"].into_iter().chain(names.iter().map(String::as_str)).chain(["reward"]);
    let heads: Vec<String> = heads.map(|head| quoted(head, ',')).collect();
    let mut out = heads.join(",") + "\n";
    for one in played {
        let course = &one.course;
        for (k, row) in course.observations.chunks_exact(seen.len().max(1)).enumerate() {
            out.push_str(&format!("{},{k}", one.episode.index));
            let action = course.actions.get(k * acted.len()..(k + 1) * acted.len());
            let action = (0..acted.len()).map(|j| action.map_or(f64::NAN, |action| action[j]));
            let reward = course.rewards.get(k).copied().unwrap_or(f64::NAN);
            for value in row.iter().copied().chain(action).chain([reward]) {
                out.push(',');
                push_cell(&mut out, value);
            }
            out.push('\n');
        }
    }
    out
}
