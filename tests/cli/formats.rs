//! Diagnostics for people and for programs.

use serde_json::Value;

use super::{BROKEN, Ended, MODEL, Room};

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
fn forms_of_models_are_for_inspect_only() {
    let room = Room::new(&[("m.twin", MODEL)]);
    for verb in [&["check", "m.twin"][..], &["sim", "m.twin", "--until", "1"], &["fmt", "m.twin"], &["doctor"]] {
        for format in ["latex", "dot"] {
            room.run(&[verb, &["--format", format]].concat())
                .ends(2)
                .prints_nothing()
                .says("E0804")
                .says(&format!("`{}` cannot write `{format}`", verb[0]))
                .says("human, json, jsonl, github");
        }
    }
}
