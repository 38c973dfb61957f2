//! `twinc train` and `twinc evaluate`: run folders, resumed trainings, threads, the safety rule, policies that do not fit.

use super::{Ended, Room};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const CART: &str = "model Cart {
  time [s]
  input F [N] = 0 in -1 .. 1
  param m [kg] = 1
  state { pos [m] = 1 in -3 .. 3; v [m/s] = 0 in -3 .. 3 }
  pos' = v
  v' = F/m
}
model Heavy = Cart(m = 1.5)

task Center of Cart {
  step 0.2 [s] via rk4
  episode 4 [s]
  start pos ~ Uniform(-1, 1)
  reward -(pos/1 [m])^2 - 0.1*(v/1 [m/s])^2
  fail when abs(pos) > 2 [m] penalty 10
}
task Far of Cart {
  step 0.2 [s] via rk4
  episode 4 [s]
  sense pos in -5 .. 5
  sense v in -3 .. 3
  reward -(pos/1 [m])^2
}
";

const STUDY: &str = "
study Learn of Center \"comes to the middle\" {
  algorithm sac { hidden = [16, 16]; batch = 32; start = 40 }
  budget { episodes = 12; seeds = [3, 4] }
  evaluate { episodes = 3; every = 5 }
}
";

fn room(study: &str) -> Room {
    Room::new(&[("cart.twin", &format!("{CART}{study}"))])
}

/// The only folder below `runs/<name>`.
fn folder(room: &Room, runs: &str) -> PathBuf {
    let mut path = room.path().join(runs);
    for _ in 0..2 {
        let mut inside: Vec<PathBuf> =
            fs::read_dir(&path).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        assert_eq!(inside.len(), 1, "{inside:?}");
        path = inside.remove(0);
    }
    path
}

/// Every file of a run that does not say when it was made.
fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(base: &Path, path: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(base).expect("inside").display().to_string();
            if path.is_dir() {
                walk(base, &path, out);
            } else if !["manifest.json", "timing.jsonl"].contains(&name.as_str()) && !name.contains("tfevents") {
                out.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(folder, folder, &mut out);
    out
}

#[track_caller]
fn same(first: &Path, second: &Path) {
    let (first, second) = (bytes(first), bytes(second));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, content) in &first {
        assert!(*content == second[name], "`{name}` differs");
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn a_training_leaves_its_run_and_the_policy_can_be_played() {
    let room = room(STUDY);
    let ended = room.run(&["train", "cart.twin", "--runs", "runs", "--threads", "2"]);
    ended.ends(0).says("report.html");
    assert!(ended.out.contains("sac") && ended.out.contains("failures in 100"), "{}", ended.out);
    let run = folder(&room, "runs");
    for name in [
        "manifest.json",
        "metrics.jsonl",
        "result.json",
        "report.html",
        "policy.safetensors",
        "policy.json",
        "plots/learning.svg",
        "plots/failures.svg",
        "plots/best.svg",
        "jobs/sac-3/checkpoint/state.json",
        "jobs/sac-4/metrics.jsonl",
    ] {
        assert!(run.join(name).exists(), "{name}");
    }
    // 12 episodes and 2 judgements of each seed.
    assert_eq!(lines(&run.join("metrics.jsonl")), 28);
    let result: Value = serde_json::from_slice(&fs::read(run.join("result.json")).expect("a result")).expect("JSON");
    let seeds = result["methods"][0]["seeds"].as_array().expect("a list");
    assert_eq!(seeds.iter().map(|s| s["seed"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(4)]);
    assert!(seeds.iter().all(|s| s["episodes"] == 12 && s["judged"]["n_episodes"] == 3), "{result}");

    // The same bytes on one thread, and an album of the same episodes.
    room.run(&["train", "cart.twin", "--runs", "once", "--threads", "1", "-q"]).ends(0);
    same(&run, &folder(&room, "once"));

    let name = run.display().to_string();
    let played = room.run(&["evaluate", &name, "--episodes", "4", "--format", "json", "--out", "steps.csv"]);
    let document = played.ends(0).json();
    let result = if document["result"].is_null() { &document } else { &document["result"] };
    assert_eq!(result["episodes"].as_array().map(Vec::len), Some(4), "{document}");
    let steps = fs::read_to_string(room.path().join("steps.csv")).expect("steps");
    assert!(steps.starts_with("episode,step,pos [m],v [m/s],F [N],reward\n"), "{steps}");
    let other = room.run(&["evaluate", &name, "--episodes", "4", "--plant", "Heavy"]);
    assert!(other.ends(0).out.contains("on Heavy"), "{}", other.out);
    room.run(&["evaluate", &name, "--plant", "Hevy"]).ends(2).says("Hevy");
}

#[test]
fn a_training_that_was_interrupted_goes_on_to_the_same_bytes() {
    let study = STUDY.replace("episodes = 12; seeds = [3, 4]", "episodes = 600; seed = 3");
    let study = study.replace("[16, 16]; batch = 32", "[64, 64]; batch = 128");
    let room = room(&study);
    room.run(&["train", "cart.twin", "--runs", "whole", "-q"]).ends(0);

    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("twinc"));
    command.current_dir(room.path()).args(["train", "cart.twin", "--runs", "parts"]);
    command.env_remove("TWINC_THREADS").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the command runs");
    let begun = Instant::now();
    let metrics = loop {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing was learnt");
        let found = fs::read_dir(room.path().join("parts/Learn")).ok().and_then(|mut list| list.next());
        if let Some(Ok(entry)) = found {
            let metrics = entry.path().join("jobs/sac-3/metrics.jsonl");
            if lines(&metrics) >= 8 {
                break metrics;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let n_before = lines(&metrics);
    assert!(n_before < 720, "it ended before it was interrupted");
    let run = folder(&room, "parts");
    // What a kill leaves behind a checkpoint is cut off.
    let torn = fs::read_to_string(&metrics).expect("metrics") + "{\"episode\": 99";
    fs::write(&metrics, torn).expect("metrics");
    room.run(&["train", "--resume", &run.display().to_string(), "-q"]).ends(0);
    assert!(lines(&metrics) > n_before);
    same(&folder(&room, "whole"), &run);
    // It has ended, so nothing is left to do.
    room.run(&["train", "--resume", &run.display().to_string(), "-q"]).ends(0);
    same(&folder(&room, "whole"), &run);
}

#[test]
fn a_rule_of_the_study_stops_the_training() {
    let task = "\n  evaluate { episodes = 1 }\n  stop when failures > 0\n  start pos = 1.9 [m]\n  start v = 1 [m/s]\n";
    let room = room(&STUDY.replace("\n  evaluate { episodes = 3; every = 5 }\n", task));
    let ended = room.run(&["train", "cart.twin", "--seed", "3", "--runs", "runs"]);
    ended.ends(4).says("stopped for safety after 1 episode: `failures > 0` holds");
    let run = folder(&room, "runs");
    let result: Value = serde_json::from_slice(&fs::read(run.join("result.json")).expect("a result")).expect("JSON");
    let seed = &result["methods"][0]["seeds"][0];
    assert_eq!((&seed["ended"], &seed["failures"]), (&"unsafe".into(), &1.into()), "{result}");
    assert!(run.join("report.html").exists() && run.join("policy.safetensors").exists());
}

fn refused(study: &str, code: i32, words: &[&str]) {
    let room = room(study);
    let ended = room.run(&["train", "cart.twin:Learn", "--runs", "runs"]);
    ended.ends(code);
    words.iter().for_each(|words| {
        ended.says(words);
    });
    assert!(!ended.out.contains("NaN") && !ended.out.contains("inf"), "{}", ended.out);
}

#[test]
fn settings_that_are_not_known_are_refused_by_the_tables() {
    refused(&STUDY.replace("batch = 32", "bach = 32"), 1, &["E0603", "`sac` has no setting `bach`", "batch"]);
    refused(&STUDY.replace("batch = 32", "batch = 0"), 1, &["E0602", "`batch` expects a whole number"]);
    refused(&STUDY.replace("episodes = 12", "episods = 12"), 1, &["E0603", "`budget` has no setting `episods`"]);
    refused(&STUDY.replace("batch = 32", "focus { lr = 1 }"), 1, &["E0603", "`sac` has no part `focus`"]);
    refused(&STUDY.replace("every = 5", "against = [mpcc]"), 1, &["E0602", "named `mpcc`"]);
}

#[test]
fn learning_that_cannot_go_on_says_why_and_keeps_what_there_is() {
    let with = |task: &str, study: &str| format!("{task}{study}");
    let task = |reward: &str, more: &str| {
        format!("task T of Cart {{ step 0.2 [s] via rk4; episode 4 [s]; {more}; reward {reward} }}\n")
    };
    let study = STUDY.replace("of Center", "of T");
    let reward = task("ln(pos/1 [m] + 0.9)", "start pos ~ Uniform(-0.8, -0.7); start v = -1 [m/s]");
    refused(&with(&reward, &study), 3, &["E0711", "the reward is not finite"]);
    let start = task("-(pos/1 [m])^2", "sense ln(pos/1 [m] - 1)");
    refused(&with(&start, &study), 3, &["E0711", "episode 0 could not begin"]);
    let huge = task("1e30*pos/1 [m]", "start pos = 1");
    refused(&with(&huge, &study), 3, &["E0711", "is not finite after"]);
}

#[test]
fn policies_that_were_changed_or_are_of_another_task_are_refused() {
    let other = STUDY.replace("Learn of Center", "Other of Far");
    let room = room(&format!("{STUDY}{other}"));
    room.run(&["train", "cart.twin:Learn", "--seed", "3", "--runs", "runs", "-q"]).ends(0);
    let run = folder(&room, "runs");
    let name = run.display().to_string();
    let words = fs::read_to_string(run.join("policy.json")).expect("words");
    let arrays = fs::read(run.join("policy.safetensors")).expect("arrays");
    let refused = |expected: &str| {
        let ended = room.run(&["evaluate", &name, "--episodes", "1"]);
        ended.ends(2).says("E0806").says(expected);
    };
    fs::write(run.join("policy.safetensors"), &arrays[..arrays.len() - 9]).expect("a file");
    refused("`policy.safetensors` is cut short");
    let mut changed = arrays.clone();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    fs::write(run.join("policy.safetensors"), &changed).expect("a file");
    refused("`policy.safetensors` was changed");
    fs::write(run.join("policy.safetensors"), &arrays).expect("a file");
    fs::write(run.join("policy.json"), &words[..words.len() / 2]).expect("a file");
    refused("`policy.json` is no whole JSON document");
    fs::write(run.join("policy.json"), words.replace("\"format\": 1", "\"format\": 9")).expect("a file");
    refused("its format is 9");
    let mut document: Value = serde_json::from_str(&words).expect("JSON");
    let shapes = document["shapes"].as_object_mut().and_then(|shapes| shapes.values_mut().next()).expect("a shape");
    shapes["shape"][0] = 17.into();
    fs::write(run.join("policy.json"), document.to_string()).expect("a file");
    refused("has not the shape");
    fs::write(run.join("policy.json"), &words).expect("a file");
    let ended = room.run(&["evaluate", &name, "--file", "cart.twin:Other"]);
    ended.ends(2).says("E0806").says("it is another task");
    room.run(&["evaluate", "nowhere"]).ends(2).says("E0801");

    // So is a checkpoint of another training.
    let state = run.join("jobs/sac-3/checkpoint/state.json");
    let text = fs::read_to_string(&state).expect("a state");
    fs::remove_file(run.join("jobs/sac-3/outcome.json")).expect("an outcome");
    fs::write(&state, text.replace("\"job\":\"sac-3\"", "\"job\":\"sac-9\"")).expect("a file");
    room.run(&["train", "--resume", &name]).ends(2).says("E0806").says("sac-9");
}

/// A bare task, and a file without any.
#[test]
fn a_bare_task_is_learnt_by_sac() {
    let room = room("");
    let args = ["train", "cart.twin:Far", "--episodes", "2", "--set", "sac.hidden=[8]", "--set", "evaluate.episodes=1"];
    let ended = room.run(&[&args[..], &["--runs", "runs"]].concat());
    ended.ends(0);
    assert!(ended.out.starts_with("training on Far: Far of Cart"), "{}", ended.out);
    room.run(&["train", "cart.twin"]).ends(2).says("more than one task");
}

/// The real package reads what is written, number by number.
#[test]
fn tensorboard_reads_the_event_files() {
    let python = std::env::var("TWINC_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let has = std::process::Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped: no tensorboard package for `{python}` (set TWINC_PYTHON)");
        return;
    }
    let room = room(STUDY);
    room.run(&["train", "cart.twin", "--seed", "3", "--log", "tensorboard", "--runs", "runs", "-q"]).ends(0);
    let job = folder(&room, "runs").join("jobs/sac-3");
    let script = "
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}))
";
    let read = std::process::Command::new(&python)
        .args(["-c", script])
        .arg(job.join("tensorboard"))
        .env("TF_CPP_MIN_LOG_LEVEL", "3")
        .output()
        .expect("python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8_lossy(&read.stdout);
    let found: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON");
    let metrics = fs::read_to_string(job.join("metrics.jsonl")).expect("metrics");
    let expected: Vec<(u64, f64)> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter_map(|line| Some((line["step"].as_u64()?, line["train/return"].as_f64()?)))
        .collect();
    let read: Vec<(u64, f64)> = found["train/return"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| (pair[0].as_u64().expect("a step"), pair[1].as_f64().expect("a number")))
        .collect();
    assert_eq!(read.len(), 12);
    for ((step, value), (expected_step, expected)) in read.iter().zip(&expected) {
        assert_eq!(step, expected_step);
        assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{value} {expected}");
    }
    assert!(found["evaluate/return"].is_array() && found["loss/critic"].is_array(), "{found}");
}

#[test]
fn another_verb_does_not_take_the_run_up() {
    let room = room(STUDY);
    room.run(&["train", "cart.twin", "--seed", "3", "--episodes", "1", "--runs", "runs", "-q"]).ends(0);
    let run = folder(&room, "runs").display().to_string();
    let ended: Ended = room.run(&["calibrate", "--resume", &run]);
    ended.ends(2).says("holds no run of `calibrate`");
}

#[test]
fn every_algorithm_learns_and_its_policy_is_played() {
    let small = "hidden = [8]; n_steps = 20";
    let algorithms = [
        format!("ppo {{ {small}; batch = 40 }}"),
        format!("ppo {{ {small}; batch = 40; levels = 3; observations = running }}"),
        format!("ppo_lagrangian {{ {small}; batch = 40; cost_limit = 0.1 }}"),
        format!("cpo {{ {small}; cost_limit = 0.1; value_steps = 5 }}"),
        "dqn { levels = 3; hidden = [8]; learning_starts = 40; train_every = 8; gradient_steps = 2 }".to_string(),
    ];
    for algorithm in algorithms {
        let name = algorithm.split(' ').next().expect("a name");
        let study = format!(
            "\nstudy Learn of Center {{\n  algorithm {algorithm}\n  budget {{ episodes = 8; seeds = [3] }}\n}}\n"
        );
        let room = room(&study);
        room.run(&["train", "cart.twin", "--runs", "runs"]).ends(0).says("report.html");
        let run = folder(&room, "runs");
        let run = run.to_str().expect("text");
        let played = room.run(&["evaluate", run, "--episodes", "2"]);
        assert!(played.ends(0).out.contains(name), "{}", played.out);
    }
}
