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

const DECAY: &str = "model Decay {\n  time [s]\n  param k [1/s] = 0.5 in 0.01 .. 10\n  state S [uM] = 2\n  S' = -k*S\n  observe y [uM] = S ~ Normal(sd = 0.1)\n  expect S(2 [s]) = 0.7357588823428847 [uM] within 1e-7 [uM]\n}\n";

/// y = 2 exp(-0.5 t) without noise.
const DECAY_DATA: &str = "t,y\n0,2\n1,1.2130613194252668\n2,0.7357588823428847\n4,0.2706705664732254\n";

fn fit_study(starts: usize) -> String {
    format!(
        "use Decay from \"decay.twin\"\nstudy Fit of Decay {{\n  data \"data.csv\" {{ time <- t [s]; y <- y [uM] }}\n  estimate k\n  fit trust_region {{ starts = {starts} }}\n}}\n"
    )
}

fn fit_room(starts: usize) -> Room {
    Room::new(&[("decay.twin", DECAY), ("fit.twin", &fit_study(starts)), ("data.csv", DECAY_DATA)])
}

/// The one folder below `runs/<study>`.
fn run_folder(room: &Room, study: &str) -> std::path::PathBuf {
    let mut folders = fs::read_dir(room.path().join("runs").join(study)).expect("runs").flatten();
    folders.next().expect("a run").path()
}

#[test]
fn sim_writes_a_table_to_stdout() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let ended = room.run(&["sim", "decay.twin", "--until", "2000 [ms]", "--output", "1", "--rtol", "1e-9"]);
    ended.ends(0);
    assert_eq!(ended.err, "");
    let rows: Vec<&str> = ended.out.lines().collect();
    assert_eq!(rows[0], "time [s],S [uM],y [uM]");
    let last: Vec<f64> = rows[3].split(',').filter_map(|cell| cell.parse().ok()).collect();
    assert!(last[0] == 2.0 && (last[1] - 2.0 * (-1.0_f64).exp()).abs() < 1e-7, "{rows:?}");
    let again = room.run(&["sim", "decay.twin", "--until", "2000 [ms]", "--output", "1", "--rtol", "1e-9"]);
    assert_eq!(ended.out, again.out);
}

#[test]
fn sim_sets_sweeps_and_draws_a_plot() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let sweep = "k in 0.1 .. 0.3 { points = 3 }";
    let args = ["sim", "decay.twin", "--until", "1", "--output", "1", "--set", "S=4 [uM]", "--sweep", sweep];
    let ended = room.run(&[&args[..], &["--plot", "p.svg", "--out", "t.csv"]].concat());
    ended.ends(0).prints_nothing();
    let table = fs::read_to_string(room.path().join("t.csv")).expect("a table");
    assert!(table.starts_with("k [1/s],time [s],S [uM],y [uM]\n0.1,0,4,4\n"), "{table}");
    assert_eq!(table.lines().count(), 7);
    assert!(fs::read_to_string(room.path().join("p.svg")).expect("a plot").starts_with("<svg"));
    room.run(&["sim", "decay.twin", "--until", "1", "--set", "kk=4"]).ends(1).says("E0201").says("<command line>");
    room.run(&["sim", "decay.twin", "--set", "k"]).ends(2).says("path=value");
}

#[test]
fn sim_that_blows_up_points_at_the_state_and_keeps_its_rows() {
    let text = "model Up {\n  time [s]\n  param k [1/(uM*s)] = 1\n  state S [uM] = 1\n  S' = k*S^2\n}\n";
    let room = Room::new(&[("up.twin", text)]);
    let ended = room.run(&["sim", "up.twin", "--until", "2", "--output", "0.5"]);
    ended.ends(3).says("E070").says("its equation").says("up.twin:5:3");
    assert!(ended.out.lines().count() >= 2, "{}", ended.out);
}

#[test]
fn sim_names_the_equation_or_the_reactions_of_what_is_not_finite() {
    let text = "model Root {\n  time [s]\n  state { a [1] = 1; b [1] = 1 }\n  a' = b/1 [s]\n  \
                b' = sqrt(0.5 - time/1 [s])/1 [s] - a/1 [s]\n}\n";
    let room = Room::new(&[("root.twin", text)]);
    for method in ["tsit5", "rodas5p", "auto"] {
        let ended = room.run(&["sim", "root.twin", "--until", "2", "--method", method]);
        ended.ends(3).says("E0702").says("`b` is not a finite number").says("0.5").says("root.twin:5:3");
    }
    let text = "model Net {\n  time [s]\n  param k [1/s] = 1\n  species { A [uM] = 1; B [uM] = 0 }\n  \
                burst: A -> B rate k*exp(1e3*time/1 [s])*A\n}\n";
    let room = Room::new(&[("net.twin", text)]);
    let ended = room.run(&["sim", "net.twin", "--until", "2", "--method", "rodas5p"]);
    ended.ends(3).says("E070").says("moves it").says("burst:");
}

#[test]
fn sim_of_no_length_is_the_start_and_none_runs_backward() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let ended = room.run(&["sim", "decay.twin", "--until", "0"]);
    ended.ends(0);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    assert!(ended.out.lines().nth(1).is_some_and(|row| row.starts_with("0,2,")), "{}", ended.out);
    room.run(&["sim", "decay.twin", "--until", "0", "--output", "1", "--plot", "p.svg"]).ends(0);
    room.run(&["sim", "decay.twin", "--until", "0", "--output", "1", "--method", "rk4"]).ends(0);
    room.run(&["sim", "decay.twin", "--until=-3"]).ends(2).says("E0804").says("goes forward");
    room.run(&["sim", "decay.twin", "--until", "1", "--rtol", "0"]).ends(2).says("must be positive");
    room.run(&["sim", "decay.twin", "--until", "1", "--rtol", "1e-17"]).ends(1).says("E0602").says("from 1e-14 to 0.1");
    room.run(&["sim", "decay.twin", "--until", "1", "--set", "simulate.atol=0"]).ends(1).says("at least 1e-300");
}

#[test]
fn sim_of_a_billion_steps_ends_at_the_limit_with_state_and_line() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let args = ["sim", "decay.twin", "--until", "1e9", "--output", "1e8", "--set", "simulate.max_step=1"];
    let ended = room.run(&[&args[..], &["--set", "simulate.max_steps=1000"]].concat());
    ended.ends(3).says("E0703").says("kept short by `S`").says("simulate.max_steps");
    room.run(&["sim", "decay.twin", "--until", "1e9", "--output", "1", "--method", "rk4"]).ends(1).says("E0611");
}

#[test]
fn sim_of_a_bouncing_ball_ends_where_the_bounces_do() {
    let text = "model Ball {\n  time [s]\n  state { h [m] = 1; v [m/s] = 0 }\n  h' = v\n  v' = -9.81 [m/s^2]\n  \
                when h < 0 [m] { v := -0.8*v }\n}\n";
    let room = Room::new(&[("ball.twin", text)]);
    for rtol in ["1e-3", "1e-6", "1e-9"] {
        let ended = room.run(&["sim", "ball.twin", "--until", "40", "--output", "0.1", "--rtol", rtol]);
        ended.ends(3).says("E0704").says("h < 0").says("at time 4.06").says("ball.twin:6:3");
    }
    // The way out: a rest that the last small bounce begins.
    let rest = text
        .replace("state {", "discrete moves [1] = 1\n  state {")
        .replace("h' = v", "h' = moves*v")
        .replace("v' = -", "v' = -moves*")
        .replace("{ v := -0.8*v }", "{ v := -0.8*v; moves := if v < -0.01 [m/s] then 1 else 0 }");
    let room = Room::new(&[("rest.twin", &rest)]);
    room.run(&["sim", "rest.twin", "--until", "40", "--output", "1"]).ends(0);
}

#[test]
fn several_models_are_listed() {
    let room = Room::new(&[("m.twin", &format!("{MODEL}{}", MODEL.replace("model M", "model N")))]);
    room.run(&["sim", "m.twin", "--until", "1"]).ends(2).says("E0803").says("`M`, `N`");
    room.run(&["sim", "m.twin:N", "--until", "1"]).ends(0);
    room.run(&["inspect", "m.twin:Q"]).ends(2).says("E0803");
}

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

#[test]
fn a_missing_column_shows_the_header() {
    let room = fit_room(2);
    fs::write(room.path().join("data.csv"), "t,product\n0,2\n").expect("a file");
    for verb in ["check", "calibrate"] {
        room.run(&[verb, "fit.twin"])
            .ends(1)
            .says("E0601")
            .says("no column `y`")
            .says("columns are `t`, `product`")
            .says("data.csv:1:1");
    }
    assert!(!room.path().join("runs").exists());
}

#[test]
fn bad_cells_are_pointed_at() {
    for (data, code, place) in [
        ("t,y\n0,2\n1,n.d.\n", "E0604", "data.csv:3:3"),
        ("t,y\n0,2\n1,NaN\n", "E0604", "data.csv:3:3"),
        ("t,y\n0,2\n,\n", "E0605", "data.csv:3"),
        ("", "E0605", "data.csv"),
    ] {
        let room = fit_room(2);
        fs::write(room.path().join("data.csv"), data).expect("a file");
        room.run(&["check", "fit.twin"]).ends(1).says(code).says(place);
    }
}

#[test]
fn unsorted_and_repeated_times_are_fine() {
    let room = fit_room(2);
    let data = "t,y\n4,0.2706705664732254\n0,2\n1,1.2130613194252668\n1,1.2130613194252668\n2,\n";
    fs::write(room.path().join("data.csv"), data).expect("a file");
    room.run(&["check", "fit.twin"]).ends(0).says("W0105");
    let ended = room.run(&["calibrate", "fit.twin"]);
    ended.ends(0);
    assert!(ended.out.contains("4 measurements"), "{}", ended.out);
}

#[test]
fn estimates_need_bounds_and_known_settings() {
    let room = fit_room(2);
    fs::write(room.path().join("decay.twin"), DECAY.replace(" in 0.01 .. 10", "")).expect("a file");
    room.run(&["check", "fit.twin"]).ends(1).says("E0607").says("estimate k in");
    let room = fit_room(2);
    fs::write(room.path().join("fit.twin"), fit_study(2).replace("starts", "strats")).expect("a file");
    room.run(&["check", "fit.twin"]).ends(1).says("E0603").says("did you mean `starts`?");
    let room = fit_room(2);
    room.run(&["calibrate", "fit.twin", "--set", "fit.strats=3"]).ends(1).says("E0603").says("<command line>");
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

#[test]
fn settings_with_units_or_clauses_are_refused() {
    let room = fit_room(2);
    for (setting, words) in [("atol = 1e-6 [uM]", "without a unit"), ("starts = 3 weight 2", "weight")] {
        fs::write(room.path().join("fit.twin"), fit_study(2).replace("starts = 2", setting)).expect("a file");
        room.run(&["check", "fit.twin"]).ends(1).says(words);
    }
    fs::write(room.path().join("fit.twin"), fit_study(2).replace("trust_region {", "trust_region weight 2 {"))
        .expect("a file");
    room.run(&["check", "fit.twin"]).ends(1).says("E0107");
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
fn test_compares_snapshots_and_assertions() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    room.run(&["test", "decay.twin"]).ends(1).says("E0805").says("--accept");
    room.run(&["test", "decay.twin", "--accept"]).ends(0).says("accepted decay.snap");
    room.run(&["test", "decay.twin"]).ends(0).prints_nothing().says("1 model, 1 assertion: all hold");
    fs::write(room.path().join("decay.twin"), DECAY.replace("-k*S", "-k*S*0.999")).expect("a file");
    let changed = room.run(&["test", "decay.twin"]);
    changed.ends(1).says("E0805").says("E0706");
    assert!(changed.out.contains("-  S' = ") && changed.out.contains("+  S' = "), "{}", changed.out);
}

#[test]
fn inspect_prints_one_canonical_text() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let ended = room.run(&["inspect", "decay.twin"]);
    ended.ends(0);
    insta::assert_snapshot!("inspect_decay", ended.out);
    assert_eq!(room.run(&["inspect", "decay.twin"]).out, ended.out);
    let part = room.run(&["inspect", "decay.twin", "--view", "odes"]);
    assert!(part.out.contains("S' = ") && !part.out.contains("kernels"));
    let document = room.run(&["inspect", "decay.twin", "--format", "json"]).ends(0).json();
    assert_eq!(document["result"]["params"][0]["name"], "k");
}

const NETWORK: &str = "model Network \"half & half\" {\n  time [s]\n  species { E [uM] = 0.5; S_in [uM] = 10; ES [uM] = 0; P [uM] = 0 \"50 % pure\" }\n  input feed [uM/s] = 0 in 0 .. 1\n  param { kon [1/(uM*s)] = 1; koff [1/s] = 0.5; kcat [1/s] = 3e-7; Ki [uM] = 2 }\n  reaction {\n    bind: E + S_in <-> ES @ kon, koff\n    cat: ES -> E + 2 P @ kcat\n    supply: 0 -> S_in rate feed/(1 + P/Ki)\n  }\n  let frac [1] = S_in/(S_in + Ki)\n  observe y [uM] = if P > 1 [uM] then P else frac^2*P ~ Normal(sd = 0.1)\n}\n";

#[test]
fn inspect_writes_latex() {
    let room = Room::new(&[("n.twin", NETWORK), ("decay.twin", DECAY)]);
    let ended = room.run(&["inspect", "n.twin", "--format", "latex"]);
    ended.ends(0);
    insta::assert_snapshot!("inspect_latex", ended.out);
    let symbols = room.run(&["inspect", "decay.twin", "--format", "latex", "--view", "symbols"]).ends(0).out.clone();
    assert!(symbols.contains("longtable") && !symbols.contains("align}"), "{symbols}");
    room.run(&["inspect", "n.twin", "--format", "latex", "--view", "clif"])
        .ends(2)
        .says("E0804")
        .says("symbols and odes");
    room.run(&["inspect", "n.twin:Q", "--format", "latex"]).ends(2).prints_nothing().says("E0803");
}

#[test]
fn inspect_draws_the_network_or_what_depends_on_what() {
    let chain = "model Chain {\n  time [s]\n  input u [1/s] = 0\n  state { a [1] = 1; b [1] = 0 }\n  a' = u - a/1 [s]\n  b' = a/1 [s]\n}\n";
    let room = Room::new(&[("n.twin", NETWORK), ("chain.twin", chain)]);
    insta::assert_snapshot!("inspect_dot", room.run(&["inspect", "n.twin", "--format", "dot"]).ends(0).out);
    insta::assert_snapshot!("inspect_dot_states", room.run(&["inspect", "chain.twin", "--format", "dot"]).ends(0).out);
}

#[test]
fn forms_of_models_are_for_inspect_only() {
    let room = Room::new(&[("m.twin", MODEL)]);
    for verb in [&["check", "m.twin"][..], &["sim", "m.twin", "--until", "1"], &["fmt", "m.twin"], &["doctor"]] {
        for format in ["latex", "dot"] {
            room.run(&[verb, &["--format", format]].concat())
                .ends(2)
                .prints_nothing()
                .says("E0804")
                .says(&format!("`{}` cannot write `{format}`", verb[0]))
                .says("human, json, jsonl, github, sarif");
        }
    }
}

#[test]
fn a_constant_of_a_bare_model_can_be_set() {
    let brusselator = include_str!("../models/brusselator.twin");
    let study = "use Brusselator from \"b.twin\"\nstudy Run of Brusselator { simulate { until = 1 } }\n";
    let room = Room::new(&[("b.twin", brusselator), ("study.twin", study)]);
    let ended = room.run(&["sim", "b.twin", "--until", "1", "--output", "1", "--set", "N=3", "--set", "v(2)=2"]);
    ended.ends(0);
    let rows: Vec<&str> = ended.out.lines().collect();
    assert_eq!(rows[0], "time [1],u(1) [1],u(2) [1],u(3) [1],v(1) [1],v(2) [1],v(3) [1]");
    assert!(rows[1].ends_with(",3,2,3"), "{}", rows[1]);
    let document = room.run(&["inspect", "b.twin", "--set", "N=200", "--format", "json"]).ends(0).json();
    assert_eq!(document["result"]["states"].as_array().map(Vec::len), Some(400));
    assert_eq!(document["result"]["model"], "Brusselator");
    let document = room.run(&["inspect", "study.twin", "--set", "N=4", "--format", "json"]).ends(0).json();
    assert_eq!(document["result"]["states"].as_array().map(Vec::len), Some(8));
    room.run(&["inspect", "b.twin", "--set", "M=2"]).ends(1).says("<command line>").says("has no `M`");
    room.run(&["inspect", "b.twin", "--set", "fit.starts=2"]).ends(2).says("E0804");
    room.run(&["sim", "study.twin", "--set", "N=3"])
        .ends(1)
        .says("E0205")
        .says("declare `model Other = Brusselator(N = ..)`");
}

#[test]
fn sweeps_have_exact_ends_one_column_each_and_the_same_bytes() {
    let text = DECAY.replace("state S", "input feed [uM/s] = 0\n  state S").replace("-k*S", "feed - k*S");
    let room = Room::new(&[("m.twin", &text)]);
    let args = ["sim", "m.twin", "--until", "1", "--output", "0.5", "--set", "simulate.noise=true"];
    let sweeps = ["--sweep", "k in 0.1 .. 0.7 log { points = 5 }", "--sweep", "feed in 0.3 .. 1.1 { points = 3 }"];
    let more = ["--sweep", "S in [1, 2]"];
    let run = |threads: &str| room.run(&[&args[..], &sweeps, &more, &["--threads", threads]].concat());
    let one = run("1");
    one.ends(0);
    assert_eq!(one.out.lines().next(), Some("k [1/s],feed [uM/s],start S [uM],time [s],S [uM],y [uM]"));
    assert_eq!(one.out.lines().count(), 1 + 5 * 3 * 2 * 3);
    let column = |idx: usize| -> std::collections::BTreeSet<&str> {
        one.out.lines().skip(1).filter_map(|row| row.split(',').nth(idx)).collect()
    };
    assert!(column(0).contains("0.1") && column(0).contains("0.7"), "{:?}", column(0));
    assert!(column(1).contains("0.3") && column(1).contains("1.1"), "{:?}", column(1));
    assert!(run("3").out == one.out && run("7").out == one.out);
}

#[test]
fn nothing_that_a_simulation_is_told_is_ignored() {
    let text = DECAY.replace("state S", "input feed [uM/s] = 0\n  state S").replace("-k*S", "feed - k*S");
    let study = |block: &str| format!("use Decay from \"m.twin\"\nstudy Run of Decay {{\n{block}\n}}\n");
    let room = Room::new(&[("m.twin", &text), ("f.csv", "time,feed,S,run\n0,0.1,1,a\n1,0.2,2,a\n")]);
    for (block, code) in [
        ("simulate { until = 1; rtol = 1e-6 [s] }", "E0602"),
        ("simulate { until = 1; step 0.1 [s] via euler; method = tsit5 }", "E0107"),
        ("simulate { until = 1; data \"f.csv\" by run { time <- time [s]; feed <- feed [uM/s] } }", "E0107"),
        ("simulate { until = 1; data \"f.csv\" { time <- time [s]; S <- S [uM] initial } }", "E0606"),
        ("simulate { until = 1; data \"f.csv\" { time <- time [s]; y <- S [uM] } }", "E0606"),
        ("simulate { until = 1 }\n  sweep k in [0.1, 0.2] { points = 5 }", "E0107"),
        ("simulate { until = 1 }\n  sweep k in [0.1, 0.2] log", "E0107"),
        ("simulate { until = 1 }\n  sweep k in 0.1 .. 0.2 { point = 5 }", "E0603"),
    ] {
        fs::write(room.path().join("s.twin"), study(block)).expect("a file");
        room.run(&["check", "s.twin"]).ends(1).says(code);
        room.run(&["sim", "s.twin"]).ends(1).says(code);
    }
    // The command line counts more than the file.
    fs::write(room.path().join("s.twin"), study("simulate { until = 1; step 0.5 [s] via euler }")).expect("a file");
    let end = |args: &[&str]| {
        let out = room.run(&[&["sim", "s.twin"], args].concat()).ends(0).out.clone();
        out.lines().last().and_then(|row| row.split(',').nth(1)?.parse::<f64>().ok()).expect("a number")
    };
    assert_eq!(end(&[]), 2.0 * 0.75 * 0.75);
    assert!((end(&["--method", "rk4"]) - 2.0 * (-0.5_f64).exp()).abs() < 1e-3);
}

#[cfg(target_os = "linux")]
#[test]
fn watching_checks_again_after_each_change() {
    use std::io::{BufRead, BufReader};
    let room = Room::new(&[("m.twin", BROKEN), ("use.twin", "use M from \"m.twin\"\nmodel N = M(k = 0.2)\n")]);
    room.run(&["check", "--watch", "m.twin", "--format", "json"]).ends(2);
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("twinc"))
        .current_dir(room.path())
        .args(["check", "--watch", "use.twin", "--no-config"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    let (send, receive) = std::sync::mpsc::channel();
    let stderr = child.stderr.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let mut all = Vec::new();
    let mut until = |words: &str| loop {
        match receive.recv_timeout(std::time::Duration::from_secs(60)) {
            Ok(line) => all.push(line),
            Err(_) => break false,
        }
        if all.last().is_some_and(|line| line.contains(words)) {
            break true;
        }
    };
    let mut seen = vec![until("error[E0102]"), until("watching 2 files")];
    fs::write(room.path().join("m.twin"), MODEL).expect("a file");
    seen.extend([until("fine"), until("watching")]);
    fs::remove_file(room.path().join("use.twin")).expect("a file");
    seen.extend([until("error[E0801]"), until("watching")]);
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(reader.join().is_ok());
    assert!(seen.iter().all(|was_seen| *was_seen), "{seen:?}\n{}", all.join("\n"));
    assert!(!all.join("").contains('\u{1b}'), "a pipe is not cleared");
}

/// Every section of the error index shows a model that gives its code, and a repair that gives no error.
#[test]
fn the_error_index_shows_what_it_says() {
    let index = include_str!("../docs/errors.md");
    let mut wrong = Vec::new();
    for section in index.split("\n## ").skip(1) {
        let code = &section[..5];
        let blocks: Vec<&str> =
            section.split("```twin\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let [shows, repair] = blocks[..] else { continue };
        let room = Room::new(&[("shows.twin", shows), ("repair.twin", repair), ("e.csv", "t,y\n0,1\n1,0.9\n")]);
        let strict: &[&str] = if code == "E0305" { &["--strict"] } else { &[] };
        let found = room.run(&[&["check", "shows.twin"], strict].concat());
        if !found.err.contains(&format!("[{code}]")) {
            wrong.push(format!("{code} is not shown:\n{}", found.err));
        }
        let repaired = room.run(&[&["check", "repair.twin"], strict].concat());
        if repaired.code != Some(0) || repaired.err.contains(&format!("[{code}]")) {
            wrong.push(format!("{code} is not repaired:\n{}", repaired.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every shipped model equals its accepted form, and its assertions hold.
#[test]
fn shipped_models_equal_their_accepted_form() {
    let mut files: Vec<String> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
        .expect("models are there")
        .map(|entry| entry.expect("readable").path().display().to_string())
        .filter(|path| path.ends_with(".twin"))
        .collect();
    files.sort();
    let mut args = vec!["test"];
    args.extend(files.iter().map(String::as_str));
    Room::new(&[]).run(&args).ends(0).says("all hold");
}

/// A model with a range on each kind of quantity.
const LIMITED: &str = "model M {\n  time [s]\n  param k [1/s] = 0.1 in 0.01 .. 1\n  state S [uM] = 1 in 0 .. 10\n  input u [uM/s] = 0 in 0 .. 5\n  S' = u - k*S\n  observe y = S ~ Normal(sd = 0.1 [uM])\n}\n";

#[test]
fn values_outside_of_their_range_are_refused_wherever_they_come_from() {
    for (study, csv, words) in [
        ("sweep k in 0.1 .. 5 [1/s] { points = 3 }", "", "`k` is swept to 5, outside of its range 0.01 .. 1"),
        ("sweep k in [0.001, 0.5]", "", "`k` is swept at 0.001"),
        (
            "data \"d.csv\" by e { time <- t [s]; y <- y [uM]; k <- k [1/s] }",
            "e,t,y,k\na,1,1,0.5\nb,1,1,5\n",
            "d.csv:3:",
        ),
        (
            "data \"d.csv\" { time <- t [s]; y <- y [uM]; S <- s0 [uM] initial }",
            "t,y,s0\n1,1,11\n",
            "a value of `S` is 11, outside of its range 0 .. 10",
        ),
        (
            "data \"d.csv\" { time <- t [s]; y <- y [uM]; u <- u [uM/s] }",
            "t,y,u\n1,1,5\n2,1,5.5\n3,1,7\n",
            "a value of `u` is 5.5, outside of its range 0 .. 5",
        ),
        (
            "simulate { until = 3 [s]; data \"d.csv\" { time <- t [s]; u <- u [uM/s] } }",
            "t,u\n1,-1\n",
            "a value of `u` is -1",
        ),
    ] {
        let estimate = if study.starts_with("data") { "estimate S in 0 .. 2" } else { "" };
        let text = format!("{LIMITED}study F of M {{\n  {study}\n  {estimate}\n}}\n");
        let room = Room::new(&[("m.twin", &text), ("d.csv", csv)]);
        room.run(&["check", "m.twin"]).ends(1).says("error[E0608]").says(words).says("1 error");
    }
    let inside = "study F of M {\n  data \"d.csv\" { time <- t [s]; y <- y [uM]; u <- u [uM/s]; S <- s0 [nM] initial }\n  sweep k in 0.01 .. 1 [1/s] log\n  estimate k in 0.1 .. 0.5\n}\n";
    let room = Room::new(&[("m.twin", &format!("{LIMITED}{inside}")), ("d.csv", "t,y,u,s0\n1,1,0,10000\n2,1,5,\n")]);
    room.run(&["check", "m.twin"]).ends(0);
}

#[test]
fn a_setting_given_twice_is_refused_with_both_places() {
    for (study, again, first) in [
        ("fit { starts = 3; starts = 4 }", "m.twin:10:21", "`starts` is given twice"),
        ("fit { starts = 3 }; fit { starts = 4 }", "m.twin:10:29", "`starts` is given twice"),
        ("fit trust_region {}; fit lbfgs {}", "m.twin:10:28", "the method is given twice"),
        ("report { folder = \"a\"; folder = \"b\" }", "m.twin:10:", "`folder` is given twice"),
        ("sweep k in 0.1 .. 1 { points = 3; points = 4 }", "m.twin:10:37", "`points` is given twice"),
        ("simulate { until = 3 [s]; until = 4 [s] }", "m.twin:10:29", "`until` is given twice"),
        ("simulate { output = 3 [s] }; simulate { output = 4 [s] }", "m.twin:10:43", "`output` is given twice"),
        ("simulate { step 1 [s]; step 2 [s] }", "m.twin:10:26", "`step` is given twice"),
        ("simulate { rtol = 1e-6; rtol = 1e-3 }", "m.twin:10:27", "`rtol` is given twice"),
    ] {
        let room = Room::new(&[("m.twin", &format!("{LIMITED}study F of M {{\n  {study}\n}}\n"))]);
        room.run(&["check", "m.twin"]).ends(1).says("error[E0202]").says(again).says(first).says("first here");
    }
}

#[test]
fn the_command_line_replaces_a_setting_of_the_file() {
    let study = "study F of M { simulate { until = 3 [s]; output = 1 [s]; rtol = 1e-3 } }\n";
    let room = Room::new(&[("m.twin", &format!("{LIMITED}{study}"))]);
    room.run(&["sim", "m.twin", "--until", "2", "--output", "1", "--rtol", "1e-8"]).ends(0);
}

#[test]
fn check_knows_the_methods_and_what_hold_needs() {
    let check = |simulate: &str| {
        let disturbed = LIMITED.replace("input u", "disturbance u");
        let text = format!("{disturbed}study F of M {{\n  simulate {{ {simulate} }}\n}}\n");
        Room::new(&[("m.twin", &text)]).run(&["check", "m.twin"])
    };
    check("step 1 [s] via foo").ends(1).says("error[E0602]").says("m.twin:10:29").says("tsit5, rodas5p, euler, rk4");
    check("until = 3 [s]; hold u").ends(1).says("error[E0409]").says("m.twin:10:34").says("write `step 1 [min]`");
    check("until = 3 [s]; step 1 [s] via rk4; hold u").ends(0);
    check("untill = 3 [s]").ends(1).says("error[E0603]").says("did you mean `until`?");
}

#[test]
fn a_missing_data_file_ends_check_with_2() {
    let study = "study F of M {\n  data \"none.csv\" { time <- t [s]; y <- y [uM] }\n  estimate k\n}\n";
    let room = Room::new(&[("m.twin", &format!("{LIMITED}{study}")), ("broken.twin", BROKEN), ("good.twin", MODEL)]);
    room.run(&["check", "m.twin"]).ends(2).says("error[E0801]");
    room.run(&["check", "m.twin", "broken.twin", "good.twin"]).ends(2);
    room.run(&["check", "broken.twin", "m.twin"]).ends(2);
}

#[test]
fn tolerances_of_the_command_line_are_positive() {
    let room = Room::new(&[("m.twin", MODEL)]);
    for flag in ["--rtol=0", "--rtol=-1e-3", "--atol=0"] {
        room.run(&["sim", "m.twin", "--until", "1", flag]).ends(2).says("error[E0804]").says("must be positive");
    }
}

#[test]
fn a_range_is_looked_at_in_the_output_rows() {
    let room = Room::new(&[("m.twin", &MODEL.replace("S [uM] = 1", "S [uM] = 1 in 0.5 .. 2"))]);
    let ended = room.run(&["sim", "m.twin", "--until", "10", "--output", "4"]);
    ended.ends(0).says("warning[W0108]: `S` has left its range by time 8");
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
