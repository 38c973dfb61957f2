//! `twinc sim`: tables, sweeps, and what the command line changes.

use std::fs;

use super::{DECAY, LIMITED, MODEL, Room};

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
    assert!(table.starts_with("k [1/s],time [s],S [uM],y [uM],status\n0.1,0,4,4,\n"), "{table}");
    assert_eq!(table.lines().count(), 7);
    assert!(fs::read_to_string(room.path().join("p.svg")).expect("a plot").starts_with("<svg"));
    room.run(&["sim", "decay.twin", "--until", "1", "--set", "kk=4"]).ends(2).says("E0201").says("<command line>");
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
fn several_models_are_listed() {
    let room = Room::new(&[("m.twin", &format!("{MODEL}{}", MODEL.replace("model M", "model N")))]);
    room.run(&["sim", "m.twin", "--until", "1"]).ends(2).says("E0803").says("`M`, `N`");
    room.run(&["sim", "m.twin:N", "--until", "1"]).ends(0);
    room.run(&["inspect", "m.twin:Q"]).ends(2).says("E0803");
}

#[test]
fn a_constant_of_a_bare_model_can_be_set() {
    let brusselator = include_str!("../../models/brusselator.twin");
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
    room.run(&["inspect", "b.twin", "--set", "M=2"]).ends(2).says("<command line>").says("has no `M`");
    room.run(&["inspect", "b.twin", "--set", "fit.starts=2"]).ends(2).says("E0804");
    room.run(&["sim", "study.twin", "--set", "N=3"])
        .ends(2)
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
    assert_eq!(one.out.lines().next(), Some("k [1/s],feed [uM/s],start S [uM],time [s],S [uM],y [uM],status"));
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

#[test]
fn the_command_line_replaces_a_setting_of_the_file() {
    let study = "study F of M { simulate { until = 3 [s]; output = 1 [s]; rtol = 1e-3 } }\n";
    let room = Room::new(&[("m.twin", &format!("{LIMITED}{study}"))]);
    room.run(&["sim", "m.twin", "--until", "2", "--output", "1", "--rtol", "1e-8"]).ends(0);
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
