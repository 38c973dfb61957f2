//! `start steady`: runs, fits and `inspect --steady`, and what is said where there is no steady state.

use super::{DECAY, Room, run_folder};

const POOL: &str = "model Pool {
  time [h]
  species { S [uM] = 1; P [uM] = 0 }
  input feed [uM/h] = 2 in 0 .. 10
  param { k [1/h] = 0.5 in 0.01 .. 10; d [1/h] = 0.25 in 0.01 .. 10 }
  reaction { 0 -> S rate feed; S -> P @ k; P -> 0 @ d }
  observe y [uM] = P ~ Normal(sd = 0.1)
}
study Pulse of Pool {
  start steady
  simulate { until = 4 [h]; output = 2 [h] }
  sweep feed in [2, 4]
  at 1 [h] { S += 10 }
}
study Fit of Pool {
  start steady
  data \"d.csv\" { time <- t [h]; y <- y [uM] }
  at 1 [h] { S += 10 }
  estimate k, d
  fit trust_region { starts = 4 }
}
";

fn numbers(line: &str) -> Vec<f64> {
    line.split(',').filter_map(|cell| cell.parse().ok()).collect()
}

#[test]
fn every_run_starts_at_its_own_steady_state() {
    let room = Room::new(&[("pool.twin", POOL)]);
    let ended = room.run(&["sim", "pool.twin:Pulse", "-v"]);
    ended.ends(0).says("steady state found by Newton's iteration");
    let rows: Vec<Vec<f64>> = ended.out.lines().skip(1).map(numbers).collect();
    // feed, time, S, P: S = feed/k and P = feed/d.
    for (row, feed) in [(0, 2.0), (3, 4.0)] {
        let (s, p) = (rows[row][2], rows[row][3]);
        assert!(rows[row][1] == 0.0 && (s - feed / 0.5).abs() < 1e-9 && (p - feed / 0.25).abs() < 1e-9, "{rows:?}");
    }
    // One hour after the dose: 10 exp(-k) more.
    assert!((rows[1][2] - (4.0 + 10.0 * (-0.5_f64).exp())).abs() < 1e-4, "{rows:?}");
    let bare = room.run(&["sim", "pool.twin:Pool", "--steady", "--until", "1", "--output", "1", "--set", "k=1"]);
    bare.ends(0);
    let last = numbers(bare.out.lines().last().unwrap_or(""));
    assert!((last[1] - 2.0).abs() < 1e-9 && (last[2] - 8.0).abs() < 1e-9, "{}", bare.out);
}

/// Data of k = 0.5, d = 0.25: before the dose P = 8, after it 8 + 10 k (e^(−k τ) − e^(−d τ))/(d − k).
#[test]
fn a_fit_follows_its_steady_start() {
    let p = |t: f64| {
        let tau = (t - 1.0).max(0.0);
        8.0 + 10.0 * 0.5 * ((-0.5 * tau).exp() - (-0.25 * tau).exp()) / (0.25 - 0.5)
    };
    let rows: String = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0].map(|t| format!("{t},{}\n", p(t))).concat();
    let room = Room::new(&[("pool.twin", POOL), ("d.csv", &format!("t,y\n{rows}"))]);
    room.run(&["calibrate", "pool.twin:Fit"]).ends(0);
    let text = std::fs::read_to_string(run_folder(&room, "Fit").join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (k, exact) in [0.5, 0.25].into_iter().enumerate() {
        let value = result["parameters"][k]["value"].as_f64().expect("a number");
        assert!((value - exact).abs() < 1e-4, "{text}");
    }
}

#[test]
fn no_steady_state_is_told_with_its_place() {
    let text = "model Growth {\n  time [h]\n  species A [uM] = 0\n  param f [uM/h] = 2\n  reaction { 0 -> A rate f }\n}
study Rest of Growth { start steady; simulate { until = 1 [h] } }
model Drift {\n  time [h]\n  state x [1] = 0\n  x' = sin(time/1 [h])/1 [h] - x/1 [h]\n}\n";
    let room = Room::new(&[("m.twin", text)]);
    let ended = room.run(&["sim", "m.twin:Rest"]);
    ended.ends(3);
    insta::assert_snapshot!("steady_none", ended.err);
    room.run(&["sim", "m.twin:Drift", "--steady", "--until", "1"]).ends(3).says("E0710").says("depends on time");
    room.run(&["inspect", "m.twin:Growth", "--steady"]).ends(3).says("E0710");
    let room = Room::new(&[("r.twin", include_str!("../../models/repressilator.twin"))]);
    room.run(&["sim", "r.twin", "--steady", "--until", "1"]).ends(0).says("W0111");
}

#[test]
fn inspect_prints_state_laws_and_eigenvalues() {
    let text = "model Cycle {\n  time [s]\n  species { E [uM] = 1; S [uM] = 3; ES [uM] = 0 }
  param { a [1/(uM*s)] = 1; b [1/s] = 0.5 }\n  reaction { E + S <-> ES @ a, b }\n}\n";
    let room = Room::new(&[("c.twin", text), ("decay.twin", DECAY)]);
    let ended = room.run(&["inspect", "c.twin", "--steady"]);
    ended.ends(0);
    insta::assert_snapshot!("inspect_steady", ended.out);
    let document = room.run(&["inspect", "decay.twin", "--steady", "--format", "json"]).ends(0).json();
    assert_eq!(document["result"]["eigenvalues"][0][0], -0.5);
    room.run(&["inspect", "c.twin", "--steady", "--timings"]).ends(2);
}

#[test]
fn wrong_uses_are_refused() {
    let study = |inside: &str| format!("{POOL}study W of Pool {{ {inside} }}\n");
    let cases = [
        ("start steady; start steady", "E0202"),
        ("start steady { x = 1 }", "E0107"),
        ("start steady ~ Normal(sd = 1)", "E0107"),
        ("start steady = 3", "E0201"),
        ("start S ~ Normal(sd = 1)", "E0901"),
    ];
    for (inside, code) in cases {
        let room = Room::new(&[("m.twin", &study(inside))]);
        room.run(&["check", "m.twin"]).ends(1).says(code);
    }
}
