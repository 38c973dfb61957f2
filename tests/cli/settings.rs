//! Settings of studies: unknown, doubled, or of the wrong kind.

use std::fs;

use super::{DECAY, LIMITED, Room, fit_room, fit_study};

#[test]
fn estimates_need_bounds_and_known_settings() {
    let room = fit_room(2);
    fs::write(room.path().join("decay.twin"), DECAY.replace(" in 0.01 .. 10", "")).expect("a file");
    room.run(&["check", "fit.twin"]).ends(1).says("E0607").says("estimate k in");
    let room = fit_room(2);
    fs::write(room.path().join("fit.twin"), fit_study(2).replace("starts", "strats")).expect("a file");
    room.run(&["check", "fit.twin"]).ends(1).says("E0603").says("did you mean `starts`?");
    let room = fit_room(2);
    room.run(&["calibrate", "fit.twin", "--set", "fit.strats=3"]).ends(2).says("E0603").says("<command line>");
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
fn check_knows_the_methods_and_what_hold_needs() {
    let check = |simulate: &str| {
        let disturbed = LIMITED.replace("input u", "disturbance u");
        let text = format!("{disturbed}study F of M {{\n  simulate {{ {simulate} }}\n}}\n");
        Room::new(&[("m.twin", &text)]).run(&["check", "m.twin"])
    };
    check("step 1 [s] via foo")
        .ends(1)
        .says("error[E0602]")
        .says("m.twin:10:29")
        .says("tsit5, dop853, rodas5p, bdf, euler, rk4, implicit_euler, radau3, radau5");
    check("until = 3 [s]; hold u").ends(1).says("error[E0409]").says("m.twin:10:34").says("write `step 1 [min]`");
    check("until = 3 [s]; step 1 [s] via rk4; hold u").ends(0);
    check("untill = 3 [s]").ends(1).says("error[E0603]").says("did you mean `until`?");
}
