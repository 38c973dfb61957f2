//! The verbs that compute nothing: what they print and how they end.

use std::fs;

use super::{BROKEN, DECAY, Ended, MODEL, Room};

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
    let index = include_str!("../../docs/errors.md");
    let mut wrong = Vec::new();
    for section in index.split("\n## ").skip(1) {
        let code = &section[..5];
        let blocks: Vec<&str> =
            section.split("```twin\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let [shows, repair] = blocks[..] else { continue };
        let room = Room::new(&[("shows.twin", shows), ("repair.twin", repair), ("e.csv", "t,y\n0,1\n1,0.9\n")]);
        let strict: &[&str] = if code == "E0305" { &["--strict"] } else { &[] };
        // Some show only in a run, whose command stands beside the text.
        let command = section.split_once("Shows it (`twinc ").and_then(|(_, rest)| rest.split('`').next());
        let run = |file: &str| match command {
            Some(command) => {
                let words: Vec<&str> = command.split(' ').map(|w| if w == "m.twin" { file } else { w }).collect();
                room.run(&words)
            }
            None => room.run(&[&["check", file], strict].concat()),
        };
        let found = run("shows.twin");
        if !found.err.contains(&format!("[{code}]")) {
            wrong.push(format!("{code} is not shown:\n{}", found.err));
        }
        let repaired = run("repair.twin");
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
