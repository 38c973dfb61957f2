//! Files that are missing, wrong, huge or in the way, and disks that are full.

use assert_cmd::Command;
use std::fs;

use super::{BROKEN, Ended, LIMITED, MODEL, Room, fit_room, run_folder};

#[test]
fn a_missing_file_names_the_nearest() {
    let room = Room::new(&[("models/enzyme.twin", MODEL)]);
    let ended = room.run(&["check", "models/enzmye.twin"]);
    ended.ends(2).prints_nothing().says("error[E0801]").says("there is no such file").says("models/enzyme.twin");
    let document = room.run(&["check", "nothing.twin", "--format", "json"]).ends(2).json();
    assert_eq!(document["diagnostics"][0]["code"], "E0801");
}

#[test]
fn a_folder_is_not_a_file() {
    let room = Room::new(&[("models/a.twin", MODEL)]);
    room.run(&["check", "models"]).ends(2).says("E0801").says("it is a folder").says("models/a.twin");
}

#[test]
fn a_binary_file_is_not_text() {
    let room = Room::new(&[("zero.twin", "model\0M"), ("ok.twin", MODEL)]);
    fs::write(room.path().join("latin.twin"), b"model M { # caf\xe9\n}\n").expect("a file");
    room.run(&["check", "zero.twin"]).ends(2).says("E0801").says("byte 5 is zero");
    room.run(&["check", "latin.twin"]).ends(2).says("E0801").says("UTF-8").says("byte 15");
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let room = Room::new(&[]);
    let file = fs::File::create(room.path().join("huge.twin")).expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    room.run(&["check", "huge.twin"]).ends(2).says("E0110").says("100.0 MB").says("8.0 MB");
}

#[cfg(target_os = "linux")]
#[test]
fn an_endless_device_is_refused() {
    Room::new(&[]).run(&["check", "/dev/zero"]).ends(2).says("E0801").says("not text");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_reported_and_a_closed_one_is_not() {
    let room = Room::new(&[]);
    let shell = |script: &str| room.shell(script);
    shell("twinc explain E0301 --no-config > /dev/full").ends(2).says("E0802").says("the disk is full");
    let closed = shell("(twinc completions bash --no-config; echo $? >&2) | true");
    assert_eq!(closed.err, "0\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_that_does_not_fit_keeps_the_old_file() {
    let room = Room::new(&[]);
    let binary = assert_cmd::cargo::cargo_bin("twinc");
    // Files of this shell may have one block; the signal that would end the process is ignored, so the write fails.
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f 1; {} check big.twin --fix --no-config", binary.display());
    let big = format!("{}{BROKEN}", "# a long comment to fill the block\n".repeat(60));
    fs::write(room.path().join("big.twin"), &big).expect("a file");
    command.current_dir(room.path()).arg("-c").arg(script);
    Ended::of(command).ends(2).says("E0802").says("big.twin").says("larger than this process or disk allows");
    assert_eq!(fs::read_to_string(room.path().join("big.twin")).ok(), Some(big));
    assert_eq!(fs::read_dir(room.path()).map(Iterator::count).ok(), Some(1), "no part of a file is left");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_in_a_run_loses_no_estimate() {
    let room = fit_room(40);
    let binary = assert_cmd::cargo::cargo_bin("twinc");
    // Room for the manifest and the first starts, not for the report.
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f 8; {} calibrate fit.twin --no-config", binary.display());
    command.current_dir(room.path()).arg("-c").arg(script);
    let ended = Ended::of(command);
    ended.ends(2).says("E0802").says("is kept in");
    assert!(ended.out.contains("k ") && ended.out.contains("0.5"), "the estimates are printed: {ended:#?}");
    let folder = run_folder(&room, "Fit");
    let starts = fs::read_to_string(folder.join("starts.jsonl")).expect("starts");
    assert!(starts.lines().count() >= 1);
}

#[test]
fn a_missing_data_file_ends_check_with_2() {
    let study = "study F of M {\n  data \"none.csv\" { time <- t [s]; y <- y [uM] }\n  estimate k\n}\n";
    let room = Room::new(&[("m.twin", &format!("{LIMITED}{study}")), ("broken.twin", BROKEN), ("good.twin", MODEL)]);
    room.run(&["check", "m.twin"]).ends(2).says("error[E0801]");
    room.run(&["check", "m.twin", "broken.twin", "good.twin"]).ends(2);
    room.run(&["check", "broken.twin", "m.twin"]).ends(2);
}
