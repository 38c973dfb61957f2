//! `twinc calibrate`: run folders, interrupts, resumed runs, warnings.

use serde_json::Value;
use std::fs;
use std::path::Path;

use super::{DECAY_DATA, LIMITED, Room, fit_room, fit_study, run_folder};

#[test]
fn calibrate_finds_the_rate_and_leaves_a_run_folder() {
    let room = fit_room(4);
    let ended = room.run(&["calibrate", "fit.twin"]);
    ended.ends(0);
    assert!(ended.out.contains("k ") && ended.out.contains("0.5"), "{}", ended.out);
    let folder = run_folder(&room, "Fit");
    for name in ["manifest.json", "result.json", "starts.jsonl", "trajectory.csv", "predictions.csv", "report.html"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(folder.join("plots/fit.svg").is_file() && folder.join("timing.jsonl").is_file());
    let result: Value = serde_json::from_slice(&fs::read(folder.join("result.json")).expect("a result")).expect("JSON");
    let k = result["parameters"][0]["value"].as_f64().expect("an estimate");
    assert!((k - 0.5).abs() < 1e-4, "{k}");
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("a file")).expect("JSON");
    assert_eq!(manifest["state"], "finished");
    let names: Vec<&str> =
        manifest["recipe"]["sources"].as_array().expect("sources").iter().filter_map(|s| s["name"].as_str()).collect();
    assert!(names.contains(&"data.csv") && names.contains(&"decay.twin"), "{names:?}");
}

#[test]
fn equal_runs_have_equal_bytes_whatever_the_threads() {
    let mut seen = Vec::new();
    for threads in ["1", "3"] {
        let room = fit_room(6);
        room.run(&["calibrate", "fit.twin", "--threads", threads]).ends(0);
        let folder = run_folder(&room, "Fit");
        let files =
            ["result.json", "starts.jsonl", "trajectory.csv", "predictions.csv", "report.html", "plots/fit.svg"];
        seen.push(files.map(|name| fs::read(folder.join(name)).expect("a file")));
    }
    assert!(seen[0] == seen[1]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_fit_keeps_its_finished_starts() {
    let room = fit_room(1_000_000);
    let binary = assert_cmd::cargo::cargo_bin("twinc");
    let mut child = std::process::Command::new(binary)
        .current_dir(room.path())
        .args(["calibrate", "fit.twin", "--threads", "1", "--no-config"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    // Waits for the first finished start, not for a time.
    let begun = std::time::Instant::now();
    let has_start = || {
        let folders = fs::read_dir(room.path().join("runs/Fit")).into_iter().flatten().flatten();
        folders.into_iter().any(|f| fs::metadata(f.path().join("starts.jsonl")).is_ok_and(|m| m.len() > 0))
    };
    while !has_start() && begun.elapsed().as_secs() < 60 {
        std::thread::yield_now();
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    let folder = run_folder(&room, "Fit");
    let starts = fs::read_to_string(folder.join("starts.jsonl")).expect("starts");
    assert!(starts.lines().count() >= 1);
    assert!(starts.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("a file")).expect("JSON");
    assert_eq!(manifest["state"], "interrupted");
    assert!(folder.join("report.html").is_file());
}

/// The files of a run that two runs of the same recipe have in common, byte by byte.
const COMPARED: [&str; 8] = [
    "result.json",
    "starts.jsonl",
    "trajectory.csv",
    "predictions.csv",
    "report.html",
    "plots/fit.svg",
    "plots/waterfall.svg",
    "plots/residuals.svg",
];

fn compared(folder: &Path) -> [Vec<u8>; 8] {
    COMPARED.map(|name| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// What a kill leaves: some starts, a half line, a manifest that says "running", no results.
fn cut_down(folder: &Path, n_starts: usize) {
    let starts = fs::read_to_string(folder.join("starts.jsonl")).expect("starts");
    let mut kept: Vec<&str> = starts.lines().rev().take(n_starts).collect();
    kept.push("{\"index\":0,\"sta");
    fs::write(folder.join("starts.jsonl"), kept.join("\n")).expect("a file");
    for name in COMPARED.iter().filter(|name| **name != "starts.jsonl") {
        fs::remove_file(folder.join(name)).expect("a file to remove");
    }
    let manifest = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    fs::write(folder.join("manifest.json"), manifest.replace("\"finished\"", "\"running\"")).expect("a file");
}

#[test]
fn a_resumed_fit_ends_with_the_bytes_of_an_uninterrupted_one() {
    let room = fit_room(6);
    room.run(&["calibrate", "fit.twin", "--seed", "7", "--set", "fit.tolerance=1e-7"]).ends(0);
    let folder = run_folder(&room, "Fit");
    let whole = compared(&folder);
    let path = folder.strip_prefix(room.path()).expect("a path in the room").display().to_string();
    for n_starts in [0, 3, 6] {
        cut_down(&folder, n_starts);
        room.run(&["calibrate", "--resume", &path])
            .ends(0)
            .says(&format!("{n_starts} of 6 starts were finished before"));
        assert!(compared(&folder) == whole, "{n_starts} starts were kept");
    }
    assert_eq!(fs::read_dir(room.path().join("runs/Fit")).map(Iterator::count).ok(), Some(1));
    let manifest = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["state"], "finished");
    assert_eq!(manifest["resumed"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_run_of_other_sources_is_not_resumed() {
    let room = fit_room(2);
    room.run(&["calibrate", "fit.twin"]).ends(0);
    let folder = run_folder(&room, "Fit").display().to_string();
    let before = compared(Path::new(&folder));
    fs::write(room.path().join("data.csv"), DECAY_DATA.replace("0,2", "0,2.1")).expect("a file");
    fs::write(room.path().join("fit.twin"), fit_study(3)).expect("a file");
    room.run(&["calibrate", "--resume", &folder])
        .ends(2)
        .says("E0804")
        .says("the source `data.csv` has changed")
        .says("the setting `starts` was \"2\" and is \"3\"");
    assert!(compared(Path::new(&folder)) == before, "nothing was touched");
    room.run(&["calibrate", "--resume", "runs"]).ends(2).says("E0801").says("manifest.json");
    room.run(&["calibrate", "fit.twin", "--resume", &folder]).ends(2);
    room.run(&["calibrate"]).ends(2).prints_nothing();
}

#[test]
fn report_settings_are_checked_and_obeyed() {
    let room = fit_room(2);
    let with = |setting: &str| {
        let text = fit_study(2).replace("}\n}\n", &format!("}}\n  report {{ {setting} }}\n}}\n"));
        assert!(text.contains("report {"), "{text}");
        fs::write(room.path().join("fit.twin"), text).expect("a file");
    };
    for (setting, code, words) in [
        ("identifiabilty = true", "E0603", "did you mean `identifiability`?"),
        ("identifiability = 3", "E0602", "`true` or `false`"),
        ("profiles = true", "E0901", "not supported by this version"),
        ("identifiability = true log", "E0107", "log"),
    ] {
        with(setting);
        room.run(&["check", "fit.twin"]).ends(1).says(code).says(words);
        room.run(&["calibrate", "fit.twin"]).ends(1).says(code);
    }
    assert!(!room.path().join("runs").exists());
    with("identifiability = false; profiles = false");
    room.run(&["check", "fit.twin"]).ends(0);
    room.run(&["calibrate", "fit.twin", "--runs", "without"]).ends(0);
    room.run(&["calibrate", "fit.twin", "--runs", "with", "--set", "report.identifiability=true"]).ends(0);
    let has_section = |below: &str| {
        let folder = fs::read_dir(room.path().join(below).join("Fit")).expect("runs").flatten().next().expect("a run");
        fs::read_to_string(folder.path().join("report.html")).expect("a report").contains("<h2>Identifiability</h2>")
    };
    assert_eq!((has_section("without"), has_section("with")), (false, true));
}

/// Noisy values hardly tell `k`, and no value tells `k` from `a` in `k*a`.
#[test]
fn a_wide_interval_and_an_arbitrary_estimate_are_told_apart() {
    let model = LIMITED.replace("sd = 0.1 [uM]", "sd = 50 [uM]").replace("- k*S", "- k*a*S");
    let study = "study F of M {\n  data \"d.csv\" { time <- t [s]; y <- y [uM] }\n  estimate k\n}\n";
    let both = study.replace("estimate k", "estimate k, a");
    for (study, words) in [
        (study, "warning[W0109]: these data say little about `k`: its interval is wider than its bounds"),
        (&both, "warning[W0109]: `k` cannot be identified from these data"),
    ] {
        let text = model.replace("  state S", "  param a [1] = 1 in 0.1 .. 10\n  state S") + study;
        let room = Room::new(&[("m.twin", &text), ("d.csv", "t,y\n1,0.9\n2,0.8\n3,0.73\n")]);
        room.run(&["calibrate", "m.twin"]).says(words);
    }
}
