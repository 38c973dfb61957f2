//! The command as a user runs it: streams, exit codes, formats, and files that are missing, wrong, huge or in the way.

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MODEL: &str = "model M {\n  time [s]\n  param k [1/s] = 0.1\n  state S [uM] = 1\n  S' = -k*S\n}\n";
const BROKEN: &str = "model M {\n  time [s]\n  param k [1/s] = 0.1\n  state S [mM] = 5mM\n  S' = -k*S +\n}\n";

struct Room {
    folder: TempDir,
}

impl Room {
    fn new(files: &[(&str, &str)]) -> Room {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        }
        Room { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args))
    }

    /// The command without the surroundings of the person who runs the tests.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("twinc").expect("the binary");
        command.current_dir(self.path()).args(args);
        for name in ["TWINC_THREADS", "TWINC_COLOR", "TWINC_FORMAT", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.path().join("no-settings"));
        command
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(mut command: Command) -> Ended {
        let output = command.output().expect("the command runs");
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Ended {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Ended {
        assert!(self.err.contains(words), "no `{words}` in {self:#?}");
        self
    }

    #[track_caller]
    fn prints_nothing(&self) -> &Ended {
        assert_eq!(self.out, "", "{self:#?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

#[test]
fn usage_mistakes_end_with_2_and_help_with_0() {
    let room = Room::new(&[]);
    room.run(&["chekc"]).ends(2).prints_nothing().says("check");
    room.run(&[]).ends(2).prints_nothing();
    room.run(&["check"]).ends(2).prints_nothing();
    let help = room.run(&["--help"]);
    help.ends(0);
    assert!(help.out.contains("Exit codes") && help.err.is_empty());
    assert!(room.run(&["--version"]).ends(0).out.starts_with("twinc "));
}

#[test]
fn verbs_of_later_versions_are_absent() {
    let room = Room::new(&[]);
    for verb in ["train", "control", "lsp", "twin", "import"] {
        room.run(&[verb]).ends(2);
    }
}

#[test]
fn diagnostics_go_to_stderr_and_end_with_1() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    let ended = room.run(&["check", "m.twin"]);
    ended.ends(1).prints_nothing().says("error[E0102]").says("error[E0101]").says("2 errors");
    assert!(ended.err.is_ascii(), "a pipe gets plain text: {}", ended.err);
    assert!(!ended.err.contains('\u{1b}'));
}

#[test]
fn a_good_file_is_quiet() {
    let room = Room::new(&[("m.twin", MODEL)]);
    let ended = room.run(&["check", "m.twin"]);
    ended.ends(0).prints_nothing();
    assert_eq!(ended.err, "");
}

#[test]
fn color_follows_flag_then_variables() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    let colored = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = room.command(args);
        command.envs(variables.iter().copied());
        Ended::of(command).err.contains('\u{1b}')
    };
    assert!(!colored(&["check", "m.twin"], &[]));
    assert!(colored(&["check", "m.twin", "--color", "always"], &[("NO_COLOR", "1")]));
    assert!(colored(&["check", "m.twin"], &[("TWINC_COLOR", "always")]));
    assert!(!colored(&["check", "m.twin", "--color", "never"], &[("TWINC_COLOR", "always")]));
}

#[test]
fn json_holds_every_diagnostic_with_its_place() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    let ended = room.run(&["check", "m.twin", "--format", "json"]);
    let document = ended.ends(1).json();
    assert_eq!(ended.err, "");
    assert_eq!(document["schema"], "twinc.v1");
    assert_eq!(document["command"], "check");
    assert_eq!(document["exit"], 1);
    assert_eq!(document["summary"]["errors"], 2);
    let first = &document["diagnostics"][0];
    assert_eq!(first["code"], "E0102");
    assert_eq!(first["labels"][0]["place"]["file"], "m.twin");
    assert_eq!(first["labels"][0]["place"]["line"], 4);
    assert_eq!(first["fix"]["edits"][0]["replacement"], "5 [mM]");
}

#[test]
fn jsonl_is_one_object_a_line() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    let ended = room.run(&["check", "m.twin", "--format", "jsonl"]);
    ended.ends(1);
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["schema"] == "twinc.v1"));
    assert_eq!(lines[2]["kind"], "summary");
}

#[test]
fn sarif_has_rules_results_and_repairs() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    let document = room.run(&["check", "m.twin", "--format", "sarif"]).ends(1).json();
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "twinc");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    for result in results {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().expect("an index") as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "m.twin");
    }
    let replacement = &results[0]["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(replacement["insertedContent"]["text"], "5 [mM]");
}

#[test]
fn github_annotates_lines() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    let ended = room.run(&["check", "m.twin", "--format", "github"]);
    ended.ends(1);
    assert_eq!(ended.out.lines().count(), 2);
    assert!(ended.out.starts_with("::error file=m.twin,line=4,"), "{}", ended.out);
}

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
    room.run(&["check", "huge.twin"]).ends(1).says("E0110").says("100.0 MB").says("8.0 MB");
}

#[cfg(target_os = "linux")]
#[test]
fn an_endless_device_is_refused() {
    Room::new(&[]).run(&["check", "/dev/zero"]).ends(2).says("E0801").says("not text");
}

#[test]
fn fix_applies_the_certain_repair() {
    let room = Room::new(&[("m.twin", &MODEL.replace("1\n  S'", "5mM\n  S'").replace("[uM]", "[mM]"))]);
    room.run(&["check", "m.twin"]).ends(1).says("fix available");
    room.run(&["check", "m.twin", "--fix"]).ends(0).prints_nothing().says("applied 1 repair");
    let text = fs::read_to_string(room.path().join("m.twin")).expect("the file");
    assert_eq!(text, MODEL.replace("[uM] = 1", "[mM] = 5 [mM]"));
    room.run(&["check", "m.twin"]).ends(0);
}

#[test]
fn explain_prints_the_section_to_stdout() {
    let room = Room::new(&[]);
    let ended = room.run(&["explain", "e0301"]);
    ended.ends(0);
    assert!(ended.out.starts_with("## E0301: two units do not agree\n") && ended.out.contains("Repair:"));
    assert!(!ended.out.contains("E0302:"));
    room.run(&["explain", "E0310"]).ends(2).prints_nothing().says("E0804").says("did you mean");
    let document = room.run(&["explain", "W0101", "--format", "json"]).ends(0).json();
    assert_eq!(document["result"]["code"], "W0101");
}

#[test]
fn completions_for_every_shell() {
    let room = Room::new(&[]);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = room.run(&["completions", shell]);
        ended.ends(0);
        assert!(ended.out.contains("explain"), "{shell}");
    }
}

#[test]
fn doctor_shows_where_settings_come_from() {
    let room = Room::new(&[("twinc.toml", "threads = 3\n"), ("a/b/x", "")]);
    let mut command = room.command(&["doctor", "--show-config", "--color", "never"]);
    command.current_dir(room.path().join("a/b")).env("TWINC_FORMAT", "human");
    let ended = Ended::of(command);
    ended.ends(0);
    for words in ["threads  = 3", "twinc.toml", "flag --color", "variable TWINC_FORMAT"] {
        assert!(ended.out.contains(words), "no `{words}` in {}", ended.out);
    }
    let without = room.run(&["doctor", "--show-config", "--no-config"]);
    assert!(without.ends(0).out.contains("one per processor"));
}

#[test]
fn wrong_settings_are_pointed_at() {
    let room = Room::new(&[("twinc.toml", "thraeds = 3\n"), ("m.twin", MODEL)]);
    room.run(&["check", "m.twin"]).ends(2).says("E0603").says("twinc.toml:1:1").says("did you mean `threads`?");
    room.run(&["check", "m.twin", "--no-config"]).ends(0);
    let mut command = room.command(&["check", "m.twin", "--no-config"]);
    command.env("TWINC_THREADS", "many");
    Ended::of(command).ends(2).says("`TWINC_THREADS` is `many`");
    room.run(&["doctor", "--config", "gone.toml"]).ends(2).says("E0801");
}

#[test]
fn new_writes_a_working_model_and_overwrites_nothing() {
    let room = Room::new(&[]);
    room.run(&["new", "first"]).ends(0).prints_nothing().says("wrote first/enzyme.twin");
    for name in ["enzyme.twin", "data/progress.csv", "twinc.toml", ".gitignore"] {
        assert!(room.path().join("first").join(name).is_file(), "{name}");
    }
    room.run(&["check", "--strict", "first/enzyme.twin"]).ends(0);
    fs::write(room.path().join("first/enzyme.twin"), "mine").expect("a file");
    room.run(&["new", "first"]).ends(2).says("E0802").says("already there");
    assert_eq!(fs::read_to_string(room.path().join("first/enzyme.twin")).ok().as_deref(), Some("mine"));
    room.run(&["init"]).ends(0);
    assert!(room.path().join("enzyme.twin").is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_reported_and_a_closed_one_is_not() {
    let room = Room::new(&[]);
    let binary = assert_cmd::cargo::cargo_bin("twinc");
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.current_dir(room.path()).arg("-c").arg(script.replace("twinc", &binary.display().to_string()));
        Ended::of(command)
    };
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

#[test]
fn fmt_checks_diffs_and_writes() {
    let loose = MODEL.replace("  S' = -k*S", "S'   =  -k * S;");
    let room = Room::new(&[("m.twin", &loose)]);
    room.run(&["fmt", "--check", "m.twin"]).ends(1).prints_nothing().says("would be formatted");
    let diff = room.run(&["fmt", "--diff", "m.twin"]);
    assert!(diff.ends(1).out.contains("+  S' = -k*S\n"), "{}", diff.out);
    assert_eq!(fs::read_to_string(room.path().join("m.twin")).ok().as_deref(), Some(loose.as_str()));
    room.run(&["fmt", "m.twin"]).ends(0).prints_nothing();
    assert_eq!(fs::read_to_string(room.path().join("m.twin")).ok().as_deref(), Some(MODEL));
    room.run(&["fmt", "--check", "m.twin"]).ends(0);
    let mut command = room.command(&["fmt", "-"]);
    command.write_stdin(loose);
    assert_eq!(Ended::of(command).ends(0).out, MODEL);
}

#[test]
fn fmt_leaves_a_broken_file_alone() {
    let room = Room::new(&[("m.twin", BROKEN)]);
    room.run(&["fmt", "m.twin"]).ends(1).says("E0101").says("not formatted");
    assert_eq!(fs::read_to_string(room.path().join("m.twin")).ok().as_deref(), Some(BROKEN));
}
