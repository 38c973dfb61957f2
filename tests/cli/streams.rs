//! Where data go: standard output, files whose names tell a format, and one document for a machine format.

use serde_json::Value;
use std::fs;

use super::{BROKEN, DECAY, Ended, MODEL, Room, fit_room, run_folder};

#[cfg(target_os = "linux")]
#[test]
fn a_redirected_file_is_written_to_and_not_replaced() {
    let room = Room::new(&[("m.twin", DECAY)]);
    let shell = |script: &str| room.shell(script);
    let sim = "twinc sim m.twin --until 1 --output 1 --no-config";
    for name in ["/dev/stdout", "-", "/dev/fd/1"] {
        // The file is open in the shell, which writes to it before and after.
        shell(&format!("(echo before; {sim} --out {name}; echo after) > t.txt")).ends(0);
        let text = fs::read_to_string(room.path().join("t.txt")).expect("the file");
        assert!(text.starts_with("before\ntime [s]") && text.ends_with("after\n"), "{name}: {text}");
    }
    shell(&format!("(echo before; {sim} --out t.csv --plot -; echo after) > p.txt")).ends(0);
    let text = fs::read_to_string(room.path().join("p.txt")).expect("the file");
    assert!(text.starts_with("before\n<svg") && text.ends_with("after\n"), "{text}");
    shell(&format!("(echo before >&2; {sim} --out /dev/stderr) 2> e.txt")).ends(0);
    let text = fs::read_to_string(room.path().join("e.txt")).expect("the file");
    assert!(text.starts_with("before\ntime [s]"), "{text}");
}

#[test]
fn a_name_that_tells_another_format_is_refused_before_the_run() {
    let room = Room::new(&[("m.twin", DECAY)]);
    let sim = |more: &[&str]| room.run(&[&["sim", "m.twin", "--until", "1", "--output", "1"], more].concat());
    sim(&["--out", "t.json"]).ends(2).prints_nothing().says("E0804").says("`.csv`, `.tsv`, `.txt` or `.parquet`");
    sim(&["--out", "t.svg"]).ends(2).says("E0804").says("--plot FILE.svg");
    sim(&["--plot", "p.png"]).ends(2).says("E0804").says("`.svg`");
    sim(&["--plot", "-"]).ends(2).says("E0804").says("both go to standard output").says("--out table.csv");
    let document = sim(&["--out", "-", "--format", "json"]).ends(2).json();
    assert_eq!(document["diagnostics"][0]["code"], "E0804");
    assert_eq!(fs::read_dir(room.path()).map(Iterator::count).ok(), Some(1), "nothing was written");
    sim(&["--out", "t.TSV"]).ends(0);
    let table = fs::read_to_string(room.path().join("t.TSV")).expect("a table");
    assert!(table.starts_with("time [s]\tS [uM]\ty [uM]\n0\t2\t2\n"), "{table}");
}

#[test]
fn texts_are_a_part_of_the_one_document() {
    let loose = MODEL.replace("  S' = -k*S", "S'   =  -k * S");
    let room = Room::new(&[("m.twin", &loose)]);
    let document = room.run(&["fmt", "--diff", "m.twin", "--format", "json"]).ends(1).json();
    assert!(document["result"]["diffs"][0]["diff"].as_str().is_some_and(|diff| diff.contains("+  S' = -k*S")));
    let mut command = room.command(&["fmt", "-", "--format", "jsonl"]);
    command.write_stdin(loose);
    let ended = Ended::of(command);
    ended.ends(0);
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines[0]["result"]["formatted"], MODEL);
    let mut command = room.command(&["completions", "bash"]);
    command.env("TWINC_FORMAT", "json");
    let script = Ended::of(command);
    assert_eq!(script.ends(0).out, room.run(&["completions", "bash"]).out);
}

#[test]
fn github_keeps_the_data_as_text() {
    let room = Room::new(&[("m.twin", &DECAY.replace("S [uM] = 2", "S [uM] = 2 in 0 .. 1"))]);
    let github = |args: &[&str]| room.run(&[args, &["--format", "github"]].concat());
    let sim = github(&["sim", "m.twin", "--until", "1", "--output", "1"]);
    sim.ends(0);
    assert!(sim.out.starts_with("::warning file=m.twin") || sim.out.starts_with("time [s]"), "{}", sim.out);
    assert!(sim.out.contains("\ntime [s],") || sim.out.starts_with("time [s],"), "{}", sim.out);
    assert!(sim.out.contains("title=W0108::"), "{}", sim.out);
    assert!(github(&["inspect", "m.twin"]).ends(0).out.contains("S' = "));
    assert!(github(&["explain", "E0301"]).ends(0).out.contains("Repair:"));
    assert!(github(&["doctor"]).ends(0).out.contains("processors"));
    let fit = fit_room(2).run(&["calibrate", "fit.twin", "--format", "github"]);
    assert!(fit.ends(0).out.contains("negative log-likelihood"), "{}", fit.out);
}

#[test]
fn sarif_is_refused_where_it_has_nothing_to_hold() {
    let room = Room::new(&[("m.twin", DECAY)]);
    for args in [
        &["sim", "m.twin", "--until", "1"][..],
        &["inspect", "m.twin"],
        &["explain", "E0301"],
        &["doctor"],
        &["calibrate", "m.twin"],
        &["fmt", "--diff", "m.twin"],
        &["check", "--infer", "m.twin"],
    ] {
        let ended = room.run(&[args, &["--format", "sarif"]].concat());
        ended.ends(2).prints_nothing().says("E0804").says(&format!("`{}` cannot write `sarif`", args[0]));
    }
    room.run(&["test", "m.twin", "--format", "sarif"]).ends(1).json();
    room.run(&["fmt", "--check", "m.twin", "--format", "sarif"]).json();
}

#[test]
fn one_unreadable_file_does_not_hide_what_is_wrong_with_the_others() {
    let room = Room::new(&[("bad.twin", BROKEN), ("loose.twin", &MODEL.replace("k*S", "k * S"))]);
    let check = room.run(&["check", "gone.twin", "bad.twin"]);
    check.ends(2).says("E0801").says("error[E0102]");
    room.run(&["check", "bad.twin", "gone.twin"]).ends(2).says("E0801").says("error[E0102]");
    room.run(&["fmt", "gone.twin", "loose.twin"]).ends(2).says("E0801");
    assert_eq!(fs::read_to_string(room.path().join("loose.twin")).ok().as_deref(), Some(MODEL));
    let test = room.run(&["test", "gone.twin", "bad.twin", "loose.twin"]);
    test.ends(2).says("E0801").says("E0102").says("E0805").says("1 model, 0 assertions: 3 failures");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_does_not_throw_a_finished_fit_away() {
    let room = fit_room(3);
    room.shell("twinc calibrate fit.twin --no-config > /dev/full").ends(2).says("E0802").says("standard output");
    let folder = run_folder(&room, "Fit");
    let manifest = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    assert!(manifest.contains("\"state\": \"finished\""), "{manifest}");
    assert!(folder.join("report.html").is_file() && folder.join("result.json").is_file());
}
