//! Sweeps and draws of `twinc sim` as ensembles: streams, status, interrupts, resumed runs, limits.

use super::{DECAY, Room, run_folder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A model with a draw, and one whose runs end early where k is above 1.
const MODELS: &str = "model Decay {
  time [s]
  param { k [1/s] = 0.5 in 0.01 .. 10 ~ LogNormal(median = 0.5, gsd = 1.5); d [1/s] = 0.1 ~ Uniform(0.05, 0.2) }
  state { S [uM] = 2; P [uM] = 0 }
  S' = -k*S
  P' = k*S - d*P
  observe y [uM] = S ~ Normal(sd = 0.1)
}
model Up {
  time [s]
  param k [1/s] = 1 ~ LogNormal(median = 0.5, gsd = 1.5)
  state S [1] = 1
  S' = k*S^2
}
";

/// A run that blows up makes steps without end.
const SHORT: &str = "--set=simulate.max_steps=1000";

fn room() -> Room {
    Room::new(&[("m.twin", MODELS)])
}

/// The rows of each run, by its label.
fn by_label(table: &str) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let (label, rest) = line.split_once(',').expect("a label");
        map.entry(label.to_string()).or_default().push(rest.to_string());
    }
    map
}

#[test]
fn the_same_bytes_for_any_number_of_threads_and_every_method() {
    let room = room();
    for method in ["auto", "tsit5", "rodas5p", "bdf"] {
        let run = |threads: &str| {
            let args = ["sim", "m.twin:Decay", "--until", "3", "--output", "0.5", "--draws", "150", "--method", method];
            room.run(&[&args[..], &["--threads", threads, "--set", "simulate.noise=true"]].concat()).ends(0).out.clone()
        };
        let one = run("1");
        assert!(one.starts_with("draw,time [s],S [uM],P [uM],y [uM],status\n0,0,2,0,"), "{}", &one[..80]);
        assert_eq!(one.lines().count(), 1 + 150 * 7, "{method}");
        assert!(run("2") == one && run("5") == one, "{method}");
    }
}

/// S = 2 exp(−k t) in each run of a sweep, and the row of a run by itself: to the bit where lanes use Tsit5.
#[test]
fn a_run_of_a_sweep_is_the_run_by_itself() {
    let room = room();
    for (method, tolerance) in [("auto", 0.0), ("tsit5", 0.0), ("rodas5p", 1e-6)] {
        let args = ["sim", "m.twin:Decay", "--until", "4", "--output", "1", "--method", method];
        let sweep = room.run(&[&args[..], &["--sweep", "k in 0.1 .. 2 { points = 39 }"]].concat()).ends(0).out.clone();
        let runs = by_label(&sweep);
        assert_eq!(runs.len(), 39);
        for k in ["0.1", "0.5", "2"] {
            let alone = room.run(&[&args[..], &["--set", &format!("k={k}")]].concat()).ends(0).out.clone();
            for (row, line) in runs[k].iter().zip(alone.lines().skip(1)) {
                let numbers =
                    |text: &str| -> Vec<f64> { text.split(',').filter_map(|cell| cell.parse().ok()).collect() };
                let (a, b) = (numbers(row), numbers(line));
                assert_eq!((a.len(), row.ends_with(',')), (b.len(), true));
                for (a, b) in a.iter().zip(&b) {
                    assert!((a - b).abs() <= tolerance, "{method}, k = {k}: {a} {b}");
                }
                let exact = 2.0 * (-k.parse::<f64>().expect("a number") * a[0]).exp();
                assert!((a[1] - exact).abs() < 1e-5, "{row}");
            }
        }
    }
}

#[test]
fn runs_come_in_the_order_of_sweeps_then_draws_then_paths() {
    let cell = "model Cell {\n  time [s]\n  compartment V [fL] = 1 { A [nM] = 9 }\n  \
                param k [1/s] = 0.5 ~ Uniform(0.4, 0.6)\n  param d [1] = 1\n  reaction { A -> 0 @ k*d }\n}\n";
    let room = Room::new(&[("m.twin", cell)]);
    let args = ["sim", "m.twin", "--until", "0", "--method", "ssa", "--draws", "2", "--paths", "2"];
    let out =
        room.run(&[&args[..], &["--sweep", "d in [7, 8]", "--sweep", "A in [60, 90]"]].concat()).ends(0).out.clone();
    let labels: Vec<String> = out.lines().map(|line| line.split(',').take(4).collect::<Vec<_>>().join(",")).collect();
    let mut expected = vec!["d [1],start A [nM],draw,path".to_string()];
    for d in ["7", "8"] {
        for a in ["60", "90"] {
            for draw_and_path in ["0,0", "0,1", "1,0", "1,1"] {
                expected.push(format!("{d},{a},{draw_and_path}"));
            }
        }
    }
    assert_eq!(labels, expected);
}

#[test]
fn a_swept_parameter_is_not_drawn_and_the_others_are_drawn_alike() {
    let room = room();
    let args = ["sim", "m.twin:Decay", "--until", "1", "--output", "1", "--draws", "5", "--rtol", "1e-9"];
    let out = room.run(&[&args[..], &["--sweep", "k in [0.2, 0.8]"]].concat()).ends(0).out.clone();
    let mut products: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for line in out.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (k, t, s): (f64, f64, f64) =
            (cells[0].parse().expect("k"), cells[2].parse().expect("t"), cells[3].parse().expect("S"));
        assert!((s - 2.0 * (-k * t).exp()).abs() < 1e-7, "{line}");
        if t == 1.0 {
            products.entry(cells[1]).or_default().push(cells[4].parse().expect("P"));
        }
    }
    // The d of a draw from P(1) = 2 k (e^(−k) − e^(−d)) / (d − k): the same at both values of k.
    let d_of = |k: f64, p: f64| {
        let found = |d: f64| 2.0 * k * ((-k).exp() - (-d).exp()) / (d - k);
        let (mut low, mut high) = (0.01, 0.19999);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if found(middle) > p { low = middle } else { high = middle }
        }
        low
    };
    assert_eq!(products.len(), 5);
    for p in products.values() {
        let (a, b) = (d_of(0.2, p[0]), d_of(0.8, p[1]));
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// x = 1/(1 − k t): infinite before t = 1 where k is above 1.
#[test]
fn a_run_that_fails_has_its_reason_in_the_table_and_leaves_the_others_alone() {
    let room = room();
    let args =
        ["sim", "m.twin:Up", "--until", "1", "--output", "0.25", "--sweep", "k in 0.1 .. 2 { points = 20 }", SHORT];
    let ended = room.run(&args);
    ended.ends(3).says("E070").says("in the run with k = ");
    let runs = by_label(&ended.out);
    assert_eq!(runs.len(), 20);
    for (label, rows) in &runs {
        let k: f64 = label.parse().expect("k");
        let (last, others) = rows.split_last().expect("rows");
        assert!(others.iter().all(|row| row.ends_with(',')), "{others:?}");
        if k < 0.99 {
            assert!(rows.len() == 5 && last.ends_with(','), "{rows:?}");
            let x: f64 = last.split(',').nth(1).and_then(|cell| cell.parse().ok()).expect("a number");
            assert!((x * (1.0 - k) - 1.0).abs() < 1e-3, "{last}");
        } else if k > 1.01 {
            assert!(last.contains(",,") && last.contains("E070"), "{last}");
            let t: f64 = last.split(',').next().and_then(|cell| cell.parse().ok()).expect("a time");
            assert!((t * k - 1.0).abs() < 1e-2, "{last}");
        }
    }
    let tabs = room.run(&[&args[..], &["--out", "t.tsv"]].concat());
    tabs.ends(3).prints_nothing();
    let table = fs::read_to_string(room.path().join("t.tsv")).expect("a table");
    assert!(table.starts_with("k [1/s]\ttime [s]\tS [1]\tstatus\n") && table.contains("\tE070"), "{table}");
    let document = room.run(&[&args[..], &["--format", "json"]].concat()).ends(3).json();
    assert_eq!(
        (&document["result"]["runs"], &document["result"]["failed"]),
        (&20.into(), &runs_failed(&ended.out).into())
    );
    let many = ["sim", "m.twin:Up", "--until", "2", "--draws", "300", "--output", "2", SHORT];
    room.run(&many).ends(3).says("10 errors").says(" of 300 runs failed; the column `status` says why");
}

fn runs_failed(table: &str) -> usize {
    table.lines().skip(1).filter(|line| !line.ends_with(',')).count()
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("a manifest")).expect("JSON")
}

const COMPARED: [&str; 3] = ["trajectory.csv", "parts.jsonl", "plots/trajectory.svg"];

fn compared(folder: &Path) -> [Vec<u8>; 3] {
    COMPARED.map(|name| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// What a kill leaves after so many bytes: a torn line, a log that knows of less or of more, no plot.
#[test]
fn a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one() {
    let room = room();
    let args = ["sim", "m.twin:Up", "--until", "1", "--output", "0.25", "--draws", "400", "--seed", "3", SHORT];
    let whole_run = room.run(&[&args[..], &["--runs", "runs", "--threads", "2"]].concat());
    whole_run.ends(3);
    let folder = run_folder(&room, "Up");
    let whole = compared(&folder);
    assert!(whole[0] == whole_run.out.as_bytes(), "what is kept is what was written");
    let table = String::from_utf8(whole[0].clone()).expect("text");
    let path = folder.strip_prefix(room.path()).expect("a path in the room").display().to_string();
    // Lines of the log at the ends of some runs, as a process leaves them.
    let marks = |ends: &[usize]| -> String { ends.iter().map(|&n| mark(&table, n)).collect() };
    let torn = |n: usize| table.as_bytes()[..end_of(&table, n) + 7].to_vec();
    for (left, log, n_kept) in [
        (torn(130), marks(&[0, 60, 130]), 130),
        // The last part was not written, or not as it should be.
        (torn(100), marks(&[0, 60, 130]), 60),
        ([torn(59), b"#".repeat(90_000)].concat(), marks(&[0, 60, 130]), 0),
        (torn(130), marks(&[0, 60]) + "{\"runs\":13", 60),
        (Vec::new(), String::new(), 0),
        (b"nonsense".to_vec(), "nonsense".into(), 0),
        (whole[0].clone(), marks(&[400]), 400),
    ] {
        fs::write(folder.join("trajectory.csv"), left).expect("a file");
        fs::write(folder.join("parts.jsonl"), log).expect("a file");
        let _ = fs::remove_file(folder.join("plots/trajectory.svg"));
        let again = room.run(&["sim", "--resume", &path, "--threads", "1"]);
        again.ends(3).says(&format!("{n_kept} of 400 runs were finished before")).prints_nothing();
        assert!(compared(&folder) == whole, "{n_kept} runs were kept");
    }
    assert_eq!(manifest(&folder)["resumed"].as_array().map(Vec::len), Some(7));
}

/// Where the rows of the first `n` runs end.
fn end_of(table: &str, n: usize) -> usize {
    let head = table.find('\n').expect("a head") + 1;
    let later = table[head..].lines().take_while(|line| {
        line.split(',').next().and_then(|cell| cell.parse::<usize>().ok()).is_some_and(|draw| draw < n)
    });
    head + later.map(|line| line.len() + 1).sum::<usize>()
}

fn mark(table: &str, n: usize) -> String {
    let bytes = &table.as_bytes()[..end_of(table, n)];
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let failed = runs_failed(std::str::from_utf8(bytes).expect("text"));
    format!("{{\"runs\":{n},\"failed\":{failed},\"bytes\":{},\"hash\":{hash}}}\n", bytes.len())
}

#[test]
fn another_model_other_settings_and_one_run_are_not_resumed() {
    let room = room();
    let args = ["sim", "m.twin:Decay", "--until", "1", "--output", "1"];
    room.run(&[&args[..], &["--draws", "20", "--runs", "runs"]].concat()).ends(0);
    let folder = run_folder(&room, "Decay");
    let path = folder.strip_prefix(room.path()).expect("a path in the room").display().to_string();
    let before = compared(&folder);
    fs::write(room.path().join("m.twin"), MODELS.replace("-k*S", "-2*k*S")).expect("a file");
    room.run(&["sim", "--resume", &path]).ends(2).says("the source `m.twin` has changed").says("run `sim` anew");
    fs::write(room.path().join("m.twin"), MODELS).expect("a file");
    room.run(&["sim", "--resume", &path, "--draws", "30"]).ends(2).says("cannot be used with");
    let text = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    let other = text.replacen("\"draws\": 20", "\"draws\": 30", 1);
    assert_ne!(text, other);
    fs::write(folder.join("manifest.json"), other).expect("a file");
    room.run(&["sim", "--resume", &path]).ends(2).says("the setting `draws` was 20 and is 30");
    fs::write(folder.join("manifest.json"), text).expect("a file");
    room.run(&["sim", "--resume", &path]).ends(0).says("20 of 20 runs were finished before");
    assert!(compared(&folder) == before);
    room.run(&["calibrate", "--resume", &path]).ends(2).says("holds no run of `calibrate`");
    room.run(&[&args[..], &["--runs", "one"]].concat()).ends(0);
    let one = fs::read_dir(room.path().join("one/Decay")).expect("a folder").flatten().next().expect("a run").path();
    room.run(&["sim", "--resume", &one.display().to_string()]).ends(2).says("holds one run, which is made anew");
    room.run(&["sim", "--resume", "nowhere"]).ends(2).says("E0801");
}

#[test]
fn too_few_and_too_many_runs_are_refused_and_unknown_names_told() {
    let room = room();
    let args = ["sim", "m.twin:Decay", "--until", "1", "--output", "1"];
    let with = |more: &[&str]| room.run(&[&args[..], more].concat());
    with(&["--draws", "0"]).ends(2).says("E0602").says("`draws` expects a whole number from 1 to 1000000000");
    with(&["--draws", "1000000001"]).ends(2).says("E0602");
    let sweep = ["--draws", "1000000", "--sweep", "k in 0.1 .. 1 { points = 1001 }"];
    with(&sweep).ends(2).says("E0611").says("make 1001000000 runs; the limit is 1000000000");
    with(&["--sweep", "kk in 0.1 .. 1"]).ends(2).says("E0201").says("did you mean `k`?");
    with(&["--sweep", "y in 0.1 .. 1"]).ends(2);
    // A document holds its table, and has a limit.
    with(&["--draws", "100000000", "--format", "json"]).ends(2);
    let plain = Room::new(&[("m.twin", &DECAY.replace(" ~ Normal(sd = 0.1)", ""))]);
    plain.run(&["sim", "m.twin", "--until", "1", "--draws", "3"]).ends(2).says("no parameter with a `~` to draw");
}

/// The most runs there can be begin at once, and end where nobody reads on.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_million_runs_are_streamed() {
    let room = room();
    let out = room.shell("twinc sim m.twin:Decay --until 1 --output 1 --draws 1000000000 --no-config | head -n 20001");
    out.ends(0);
    assert_eq!(out.out.lines().count(), 20001);
    assert!(out.out.lines().last().is_some_and(|line| line.starts_with("9999,1,")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_what_is_finished_and_says_how_to_go_on() {
    let room = room();
    let flags = "m.twin:Decay --until 1 --output 0.1 --draws 1500 --no-config -q";
    room.shell(&format!("twinc sim {flags} > /dev/full")).ends(2).says("E0802").says("the disk is full");
    room.shell(&format!("twinc sim {flags} --out /dev/full")).ends(2).says("`/dev/full` cannot be written");
    // 512 bytes each: less than the table has.
    let ended = room.shell(&format!("trap '' XFSZ; ulimit -f 1000; twinc sim {flags} --runs runs > /dev/null"));
    ended.ends(2).says("E0802").says("go on with `twinc sim --resume runs/Decay/");
    let folder = run_folder(&room, "Decay");
    let path = folder.strip_prefix(room.path()).expect("a path in the room").display().to_string();
    room.run(&["sim", "--resume", &path]).ends(0);
    let kept = fs::read_to_string(folder.join("trajectory.csv")).expect("a table");
    let whole = room.shell(&format!("twinc sim {flags}"));
    assert!(whole.ends(0).out == kept);
    let out = room.shell(&format!("trap '' XFSZ; ulimit -f 1000; twinc sim {flags} --out t.csv"));
    out.ends(2).says("`t.csv` cannot be written");
    assert_eq!(fs::read_dir(room.path()).expect("a folder").flatten().count(), 2, "no half table is left behind");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_without_a_run_folder_leaves_whole_runs() {
    let room = room();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("twinc"));
    command.current_dir(room.path()).args(["sim", "m.twin:Decay", "--until", "20", "--output", "1", "--no-config"]);
    command.args(["--draws", "100000000", "--out", "t.csv"]).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the command runs");
    let part = || {
        let files = fs::read_dir(room.path()).expect("a folder").flatten();
        files
            .filter(|file| file.file_name().to_string_lossy().ends_with(".part"))
            .filter_map(|f| f.metadata().ok())
            .map(|m| m.len())
            .max()
    };
    while part().is_none_or(|size| size < 1 << 20) {
        std::thread::yield_now();
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let n_told: usize =
        told.split("interrupted: ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a number");
    assert!(told.contains("of 100000000 runs were finished and written; give `--runs FOLDER`"), "{told}");
    let table = fs::read_to_string(room.path().join("t.csv")).expect("a table");
    assert_eq!(table.lines().count(), 1 + 21 * n_told);
}

/// The process is ended from outside while it is at work, softly and hard, and taken up again each time.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_and_a_killed_run_go_on_to_the_same_bytes() {
    let room = room();
    let flags = ["m.twin:Decay", "--until", "20", "--output", "0.1", "--draws", "30000", "--method", "rodas5p", "-q"];
    let start = |args: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("twinc"));
        command.current_dir(room.path()).args(["sim", "--no-config"]).args(args);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().expect("the command runs")
    };
    let size = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
    // Until the table has grown by some parts.
    let wait = |child: &mut std::process::Child, path: &dyn Fn() -> Option<std::path::PathBuf>, from: u64| {
        while child.try_wait().expect("a state").is_none() {
            if path().is_some_and(|path| size(&path) > from + 3_000_000) {
                return true;
            }
            std::thread::yield_now();
        }
        false
    };
    let table = || {
        let folder = fs::read_dir(room.path().join("runs/Decay")).ok()?.flatten().next()?.path();
        Some(folder.join("trajectory.csv"))
    };
    let mut child = start(&[&flags[..], &["--runs", "runs"]].concat());
    assert!(wait(&mut child, &table, 0), "the run ended before it was interrupted");
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    let folder = run_folder(&room, "Decay");
    assert_eq!(manifest(&folder)["state"], "interrupted");
    let path = folder.strip_prefix(room.path()).expect("a path in the room").display().to_string();
    let so_far = size(&folder.join("trajectory.csv"));
    let mut child = start(&["--resume", &path]);
    assert!(wait(&mut child, &table, so_far), "the run ended before it was killed");
    child.kill().expect("a kill");
    child.wait().expect("an end");
    assert_eq!(manifest(&folder)["state"], "running");
    let log = fs::read_to_string(folder.join("parts.jsonl")).expect("a log");
    let mark: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    let lost = size(&folder.join("trajectory.csv")) - mark["bytes"].as_u64().expect("bytes");
    assert!(lost < 4 << 20, "no more than a part is lost: {lost}");
    let resumed = room.run(&["sim", "--resume", &path]);
    resumed.ends(0).says(" of 30000 runs were finished before");
    room.run(&[&["sim"], &flags[..], &["--out", "whole.csv"]].concat()).ends(0);
    let (kept, whole) = (fs::read(folder.join("trajectory.csv")), fs::read(room.path().join("whole.csv")));
    assert!(kept.expect("a table") == whole.expect("a table"));
    assert_eq!(manifest(&folder)["state"], "finished");
}
