//! `twinc control`: the table, the run folder, the same bytes on any number of threads, and what is said of bad input.

use super::{Ended, Room};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

const CART: &str = "model Cart {
  time [s]
  input F [N] = 0 in -10 .. 10
  param m [kg] = 1
  state { pos [m] = 1; v [m/s] = 0 }
  pos' = v
  v' = F/m
}

task Center of Cart {
  step 0.1 [s] via rk4
  episode 2 [s]
  cost pos^2
  cost F^2 weight 0.01
  keep v in -0.8 .. 0.8
}
";

const STUDY: &str = "
study Loop of Center {
  randomize m in 0.9 .. 1.1
  algorithm sqp { horizon = 10 }
  algorithm mppi { horizon = 10; samples = 64 }
  budget { episodes = 3; seed = 7 }
}
";

fn room(text: &str) -> Room {
    Room::new(&[("cart.twin", text)])
}

/// The only folder below `runs/<name>`.
fn folder(room: &Room, runs: &str) -> PathBuf {
    let mut path = room.path().join(runs);
    for _ in 0..2 {
        let mut inside: Vec<PathBuf> =
            fs::read_dir(&path).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        assert_eq!(inside.len(), 1, "{inside:?}");
        path = inside.remove(0);
    }
    path
}

fn control(room: &Room, args: &[&str]) -> Ended {
    room.run(&[&["control"], args].concat())
}

#[test]
fn a_bare_task_is_carried_out_by_sqp() {
    let room = room(CART);
    let ended = control(&room, &["cart.twin", "--runs", "runs"]);
    ended.ends(0).says("report.html");
    assert!(ended.out.contains("20 optimal"), "{}", ended.out);
    let folder = folder(&room, "runs");
    for name in ["manifest.json", "result.json", "trajectory.csv", "timing.jsonl", "report.html", "plots/sqp.svg"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    let result: Value = serde_json::from_slice(&fs::read(folder.join("result.json")).expect("a result")).expect("JSON");
    let planner = &result["planners"][0];
    let violation = planner["violation"]["amount"].as_f64().expect("finite");
    assert!(violation <= 1e-9, "{planner}");
    let cost = planner["cost"].as_f64().expect("finite");
    // Moving at the allowed speed all the time would cost at least the sum of (1 − 0.08 k)² until it is there.
    let least: f64 = (0..13).map(|k| (1.0 - 0.08 * f64::from(k)).powi(2)).sum();
    assert!(cost > least && cost < least + 5.0, "{cost} and {least}");
    let table = fs::read_to_string(folder.join("trajectory.csv")).expect("a table");
    assert_eq!(table.lines().count(), 1 + 21);
    assert!(table.starts_with("episode,step,time [s],pos [m],v [m/s],F [N],cost,"), "{table}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let room = room(&format!("{CART}{STUDY}"));
    for (runs, threads) in [("one", "1"), ("two", "2")] {
        control(&room, &["cart.twin", "--planner", "sqp,mppi", "--runs", runs, "--threads", threads]).ends(0);
    }
    let (one, two) = (folder(&room, "one"), folder(&room, "two"));
    for name in ["result.json", "trajectory-sqp.csv", "trajectory-mppi.csv", "plots/mppi.svg", "report.html"] {
        let read = |path: &PathBuf| fs::read(path.join(name)).expect("a file");
        assert!(read(&one) == read(&two), "{name}");
    }
    let other = control(&room, &["cart.twin", "--seed", "8", "--episodes", "1", "--runs", "other", "--format", "json"]);
    let episodes = &other.ends(0).json()["result"]["planners"][0]["episodes"];
    assert_eq!((episodes[0]["seed"].as_u64(), episodes.as_array().map(Vec::len)), (Some(8), Some(1)), "{other:#?}");
}

#[test]
fn bad_input_is_told_with_its_place() {
    let study = format!("{CART}{STUDY}");
    let with = |from: &str, to: &str| room(&study.replace(from, to));
    let file = "cart.twin";
    // On the command line.
    let plain = with("", "");
    control(&plain, &[file, "--planner", "spq"]).ends(2).says("there is no algorithm `spq`").says("sqp");
    control(&plain, &[file, "--set", "sqp.horizon=0"]).ends(2).says("E0602").says("`horizon`");
    control(&plain, &[file, "--set", "sqp.horizon=1000000"]).ends(2).says("E0602").says("`horizon`");
    control(&plain, &[file, "--set", "sqp.horzion=10"]).ends(2).says("E0603");
    control(&plain, &["cart.twin:Lop"]).ends(2).says("did you mean `cart.twin:Loop`");
    // In the file; `check` says the same.
    for (from, to, code) in [
        ("horizon = 10 }", "horizon = 0 }", "E0602"),
        (" in -10 .. 10", "", "E0612"),
        ("  cost pos^2\n  cost F^2 weight 0.01\n", "  reward -abs(previous(pos))\n", "E0409"),
        ("keep v in -0.8 .. 0.8", "keep v in 0.8 .. -0.8", "E0613"),
    ] {
        let room = with(from, to);
        control(&room, &[file, "--planner", "mppi"]).ends(1).says(code);
        room.run(&["check", file]).ends(1).says(code);
    }
    control(&with("  input F [N] = 0 in -10 .. 10\n", "  param F [N] = 0\n"), &[file]).ends(1);
}

/// Too fast from the start, and a cost that loses its value on the way.
#[test]
fn says_which_constraint_and_which_term_and_when() {
    let fast = room(&CART.replace("v [m/s] = 0", "v [m/s] = 5"));
    control(&fast, &["cart.twin"]).says("step 0").says("`v`").says("keeps not all constraints");
    let broken = room(&CART.replace("cost pos^2", "cost pos^2\n  cost sqrt(pos/1 [m] - 2)"));
    control(&broken, &["cart.twin"]).ends(3).says("step 0").says("sqrt(pos/1 [m] - 2)");
    let diverging = room(&CART.replace("v' = F/m", "v' = F/m + 1000 [1/(m*s^2)]*pos^2*exp(pos/0.01 [m])"));
    control(&diverging, &["cart.twin"]).ends(3).says("step 0");
}
