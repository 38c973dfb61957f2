//! Tables of data: cells that do not fit are pointed at.

use std::fs;

use super::{LIMITED, Room, fit_room};

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
