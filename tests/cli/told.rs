//! Mistakes that a run would find late, or never: each is told at its place, with the way out.

use serde_json::Value;
use std::fs;
use std::path::Path;

use super::{DECAY, Ended, LIMITED, MODEL, Room, fit_room, fit_study, run_folder};

/// `check` of a study of [`LIMITED`] beside a table.
fn check(study: &str, csv: &str) -> Ended {
    let text = format!("{LIMITED}study F of M {{\n  {study}\n}}\n");
    Room::new(&[("m.twin", &text), ("d.csv", csv), ("e.csv", csv)]).run(&["check", "m.twin"])
}

const ROWS: &str = "{ time <- t [s]; y <- y [uM] }";

#[test]
fn an_input_is_driven_by_one_column_only() {
    let fit = "data \"d.csv\" { time <- t [s]; y <- y [uM]; u <- u [uM/s] }\n  data \"e.csv\" { time <- t [s]; u <- u [uM/s] }\n  estimate k";
    let simulation = "simulate { until = 3 [s]; data \"d.csv\" { time <- t [s]; u <- u [uM/s] }; data \"e.csv\" { time <- t [s]; u <- u [uM/s] } }";
    for study in [fit, simulation] {
        check(study, "t,y,u\n1,1,1\n").ends(1).says("E0606").says("`u` is driven by two columns").says("first here");
    }
}

#[test]
fn measurements_that_no_fit_can_use_are_pointed_at() {
    let study = format!("data \"d.csv\" {ROWS}\n  estimate k");
    check(&study, "t,y\n-1,1\n1,0.9\n").ends(1).says("E0606").says("d.csv:2:1").says("at time -1");
    check(&study, "t,y\n1,\n2,\n").ends(1).says("E0606").says("m.twin:10:").says("no row of the column `y`");
    let forced = "data \"d.csv\" { time <- t [s]; u <- u [uM/s] }\n  estimate k";
    check(forced, "t,u\n-1,1\n").ends(1).says("E0409").says("hold no measurement").says("y <- column [unit]");
}

#[test]
fn an_empty_column_is_no_declared_value() {
    let by = "data \"d.csv\" by e { time <- t [s]; y <- y [uM]; S <- s [uM] initial; u <- u [uM/s] }\n  estimate k";
    let filled = "e,t,y,s,u\na,1,1,2,1\nb,1,1,2,1\n";
    check(by, filled).ends(0);
    check(by, &filled.replace("b,1,1,2,", "b,1,1,,")).ends(1).says("E0606").says("gives no value of `S` in `b`");
    check(by, &filled.replace("b,1,1,2,1", "b,1,1,2,")).ends(1).says("E0606").says("gives no value of `u` in `b`");
}

#[test]
fn priors_that_no_value_can_have_are_found_by_check() {
    for (estimate, code, words) in [
        ("k ~ LogNormal(median = -1, gsd = 2)", "E0609", "`k` is LogNormal(median = -1, gsd = 2), but its median"),
        ("k ~ LogNormal(median = 1, gsd = 0.5)", "E0609", "geometric standard deviation above 1"),
        ("k ~ Normal(mean = 1, sd = -1)", "E0609", "its standard deviation must be positive"),
        ("k in 0.02 .. 0.5 ~ Uniform(2, 3)", "E0608", "its bounds 0.02 .. 0.5 hold none of these values"),
        ("S in -1 .. 2 linear ~ LogNormal(median = 1, gsd = 2)", "E0608", "of values above zero"),
    ] {
        let study = format!("data \"d.csv\" {ROWS}\n  estimate {estimate}");
        check(&study, "t,y\n1,1\n").ends(1).says(code).says(words).says("m.twin:11:").says("1 error");
    }
}

#[test]
fn errors_that_cannot_be_drawn_are_told() {
    let with = |error: &str| LIMITED.replace("Normal(sd = 0.1 [uM])", error);
    for (error, words) in [("Normal(sd = -1)", "`sd = -1`"), ("LogNormal(gsd = 0.5)", "`gsd = 0.5`")] {
        let room = Room::new(&[("m.twin", &with(error))]);
        room.run(&["check", "m.twin"]).ends(1).says("E0609").says(words).says("m.twin:7:");
    }
    let noisy = ["sim", "m.twin", "--until", "2", "--output", "1", "--set", "simulate.noise=true"];
    let room = Room::new(&[("m.twin", &with("Normal(sd = 0.95 [uM] - S)"))]);
    let ended = room.run(&noisy);
    ended.ends(1).says("E0609").says("no error of `y` can be drawn at time 0 [s]: the sd of `y` is -0.05");
    assert!(ended.out.lines().nth(1).is_some_and(|row| row.ends_with(',')), "an empty cell: {}", ended.out);
    let text = with("LogNormal(gsd = 1.1)").replace("y = S", "y = S - 2 [uM]");
    Room::new(&[("m.twin", &text)]).run(&noisy).ends(1).says("E0609").says("needs a median that is not negative");
    Room::new(&[("m.twin", &with("LogNormal(gsd = 1.1)"))]).run(&noisy).ends(0);
}

#[test]
fn steps_of_a_fixed_length_are_asked_for() {
    let room = Room::new(&[("m.twin", MODEL)]);
    let euler = ["sim", "m.twin", "--until", "2", "--output", "1", "--method", "euler"];
    room.run(&euler)
        .ends(2)
        .prints_nothing()
        .says("E0409")
        .says("`euler` needs the length of its steps")
        .says("[s] via euler");
    let ended = room.run(&[&euler[..], &["--step", "0.5"]].concat());
    ended.ends(0);
    let last = ended.out.lines().last().and_then(|row| row.split(',').nth(1)?.parse::<f64>().ok()).expect("a number");
    assert!((last - 0.95_f64.powi(4)).abs() < 1e-12, "{last}");
    let study = "study R of M { simulate { until = 2 [s]; output = 1 [s]; method = rk4 } }\n";
    let room = Room::new(&[("m.twin", &format!("{MODEL}{study}"))]);
    room.run(&["sim", "m.twin"]).ends(1).says("E0409").says("m.twin:7:").says("via rk4");
}

#[test]
fn values_without_effect_are_told() {
    let room = Room::new(&[("m.twin", MODEL)]);
    let swept = ["sim", "m.twin", "--until", "1", "--output", "1", "--sweep", "k in [0.1, 0.2]"];
    room.run(&[&swept[..], &["--set", "k=0.3"]].concat())
        .ends(0)
        .says("W0110")
        .says("`k` is swept")
        .says("<command line>");
    assert_eq!(room.run(&swept).err, "");
    let driven = "start u = 1\n  simulate { until = 3 [s]; data \"d.csv\" { time <- t [s]; u <- u [uM/s] } }";
    check(driven, "t,u\n0,1\n").ends(0).says("W0110").says("`u` is driven by a table").says("m.twin:10:3");
    let given = "data \"d.csv\" { time <- t [s]; y <- y [uM]; S <- s [uM] initial }\n  start S = 2 [uM]\n  estimate k";
    check(given, "t,y,s\n0,1,1\n").ends(0).says("W0110").says("`S` is given by a column in every experiment");
    let estimated = format!("data \"d.csv\" {ROWS}\n  start k = 0.2\n  estimate k");
    check(&estimated, "t,y\n0,1\n").ends(0).says("W0110").says("`k` is estimated");
    let nominal = format!("{estimated}\n  fit trust_region {{ nominal = true }}");
    assert_eq!(check(&nominal, "t,y\n0,1\n").ends(0).err, "");
    // A simulation of the same study does use it.
    assert_eq!(check(&format!("{estimated}\n  simulate {{ until = 1 [s] }}"), "t,y\n0,1\n").ends(0).err, "");
    let fit = fit_room(2);
    fit.run(&["calibrate", "fit.twin", "--set", "k=0.3"]).ends(0).says("W0110").says("<command line>");
}

#[test]
fn warnings_that_are_not_shown_are_counted() {
    let text = MODEL.replace("S [uM] = 1", "S [uM] = 1 in 0.9 .. 2");
    let room = Room::new(&[("m.twin", &text)]);
    let sweep = ["sim", "m.twin", "--until", "9", "--output", "3", "--sweep", "k in 0.1 .. 0.5 { points = 23 }"];
    room.run(&sweep).ends(0).says("\n10 warnings\n13 more of this kind are not shown");
    let document = room.run(&[&sweep[..], &["--format", "json"]].concat()).ends(0).json();
    assert_eq!(document["result"]["warnings_not_shown"], 13);
}

#[test]
fn experiments_of_similar_names_keep_their_own_files() {
    let room = fit_room(2);
    let study = fit_study(2).replace("\"data.csv\" {", "\"data.csv\" by e {");
    fs::write(room.path().join("fit.twin"), study).expect("a file");
    fs::write(room.path().join("data.csv"), "e,t,y\na*,1,1.2\na+,2,0.7\nA*,4,0.3\nb,1,1.2\n").expect("a file");
    room.run(&["calibrate", "fit.twin"]).ends(0);
    let folder = run_folder(&room, "Fit");
    let end = |name: &str| -> String {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        text.lines().last().and_then(|row| row.split(',').next()).unwrap_or_default().to_string()
    };
    let names = ["trajectory-a_.csv", "trajectory-a_-2.csv", "trajectory-A_-3.csv", "trajectory-b.csv"];
    assert_eq!(names.map(end), ["1", "2", "4", "1"]);
}

#[test]
fn starts_that_fail_alike_are_counted_together_at_the_estimate() {
    let text = "model Up {\n  time [s]\n  param k [1/(uM*s)] = 1 in 2 .. 9\n  state S [uM] = 1\n  S' = k*S^2\n  observe y [uM] = S ~ Normal(sd = 0.1)\n}\n\
                study Fit of Up {\n  data \"d.csv\" { time <- t [s]; y <- y [uM] }\n  estimate k\n  fit trust_region { starts = 6 }\n}\n";
    let room = Room::new(&[("m.twin", text), ("d.csv", "t,y\n1,1\n2,2\n")]);
    let ended = room.run(&["calibrate", "m.twin"]);
    ended
        .ends(3)
        .prints_nothing()
        .says("E0705")
        .says("none of 6 starts could be evaluated")
        .says("m.twin:10:")
        .says(" starts: step ");
    assert!(ended.err.contains(" .. "), "times as a range: {}", ended.err);
    let folder = run_folder(&room, "Fit");
    let manifest = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    assert!(manifest.contains("\"state\": \"failed\""), "{manifest}");
    let starts = fs::read_to_string(folder.join("starts.jsonl")).expect("starts");
    assert!(starts.lines().count() == 6 && starts.contains("start_failed"), "{starts}");
}

#[test]
fn the_table_on_the_terminal_has_scales_and_failed_starts() {
    let room = fit_room(4);
    let ended = room.run(&["calibrate", "fit.twin"]);
    assert!(ended.ends(0).out.contains("scale") && ended.out.contains(" log"), "{}", ended.out);
    // Above k = 3 the state leaves the numbers before the last measurement.
    let blown = DECAY.replace("-k*S", "-k*S + exp(300*(k - 3 [1/s])*1 [s])*1 [uM/s]*time/1 [s]");
    fs::write(room.path().join("decay.twin"), blown).expect("a file");
    let ended = room.run(&["calibrate", "fit.twin", "--starts", "12"]);
    assert!(ended.out.contains("of 12 starts could not be evaluated"), "{ended:#?}");
}

#[test]
fn mistakes_of_the_command_line_end_with_2_and_those_of_the_file_with_1() {
    let room = Room::new(&[("m.twin", MODEL)]);
    let sim = |args: &[&str]| room.run(&[&["sim", "m.twin"], args].concat());
    for args in [
        &["--until", "1", "--method", "foo"][..],
        &["--until", "nan"],
        &["--until", "-1"],
        &["--until", "1", "--set", "zz=5"],
        &["--until", "1", "--set", "k=5 [uM]"],
        &["--until", "1", "--sweep", "k from 1"],
        &[],
    ] {
        sim(args).ends(2).prints_nothing();
    }
    sim(&[]).says("E0409").says("until = 10 [s]");
    let hours = Room::new(&[("m.twin", &MODEL.replace("[s]", "[h]").replace("[1/s]", "[1/h]"))]);
    hours.run(&["sim", "m.twin"]).ends(2).says("until = 10 [h]");
    let broken = Room::new(&[("m.twin", &MODEL.replace("-k*S", "-kk*S"))]);
    broken.run(&["sim", "m.twin", "--until", "1", "--set", "k=0.2"]).ends(1);
}

#[test]
fn unreadable_files_of_every_kind_end_with_2() {
    let study = format!("{LIMITED}study F of M {{\n  data \"d.csv\" {ROWS}\n  estimate k\n}}\n");
    let room = Room::new(&[("m.twin", &study), ("use.twin", "use X from \"gone.twin\"\n")]);
    room.run(&["check", "m.twin"]).ends(2).says("E0801").says("m.twin:10:");
    fs::write(room.path().join("d.csv"), b"t,y\n1,\x001\n").expect("a file");
    room.run(&["check", "m.twin"]).ends(2).says("E0610").says("save it as CSV in UTF-8");
    let file = fs::File::create(room.path().join("d.csv")).expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    room.run(&["calibrate", "m.twin"]).ends(2).says("E0610").says("the limit is");
    room.run(&["check", "use.twin"]).ends(2).says("E0801").says("use.twin:1:12");
    let huge = fs::File::create(room.path().join("gone.twin")).expect("a file");
    huge.set_len(100 << 20).expect("a sparse file");
    room.run(&["check", "use.twin"]).ends(2).says("E0110");
}

#[test]
fn a_cell_with_grouped_thousands_is_told_what_to_write() {
    let study = format!("data \"d.csv\" {ROWS}\n  estimate k");
    check(&study, "t,y\n1,\"1,000\"\n").ends(1).says("write `1000` if the comma groups thousands, and `1.000`");
    check(&study, "t,y\n1,\"1,234,567.5\"\n").ends(1).says("write `1234567.5`: thousands are not grouped");
    check(&study, "t,y\n1,\"0,125\"\n").ends(1).says("write `0.125`, with a point");
}

#[test]
fn a_resumed_run_says_where_it_was_started() {
    let room = fit_room(2);
    room.run(&["calibrate", "fit.twin"]).ends(0);
    let folder = run_folder(&room, "Fit");
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("a file")).expect("JSON");
    let begun_in = manifest["folder"].as_str().expect("a folder").to_string();
    assert_eq!(Path::new(&begun_in), fs::canonicalize(room.path()).expect("a folder"));
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = room.command(&["calibrate", "--resume", &folder.display().to_string()]);
    command.current_dir(elsewhere.path());
    let ended = Ended::of(command);
    ended.ends(2).says("E0801").says("started in another folder").says(&format!("in `{begun_in}`"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_names_the_way_to_go_on() {
    let room = fit_room(40);
    let ended = room.shell("trap '' XFSZ; ulimit -f 8; twinc calibrate fit.twin --no-config");
    ended.ends(2).says("E0802").says("go on with `twinc calibrate --resume runs/Fit/");
    let folder = run_folder(&room, "Fit");
    let path = folder.strip_prefix(room.path()).expect("a path in the room").display().to_string();
    assert!(ended.err.contains(&path), "{}", ended.err);
    room.run(&["calibrate", "--resume", &path]).ends(0);
}
