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

/// A cart whose plant is heavier than believed and starts anywhere: some episodes hit the wall.
const WALL: &str = "
task Risky of Cart {
  step 0.1 [s] via rk4
  episode 2 [s]
  start v ~ Uniform(-1, 1)
  cost pos^2
  cost F^2 weight 0.01
  keep v in -0.8 .. 0.8
  fail when pos > 1.005 [m]
}

study Once of Risky {
  randomize m in 0.9 .. 1.1
  algorithm sqp { horizon = 5 }
  budget { episodes = 12; seed = 3 }
  stop when failures > 0
}
";

fn read(path: &std::path::Path, name: &str) -> Vec<u8> {
    fs::read(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_run_ends_for_safety_where_the_study_says_so() {
    let room = room(&format!("{CART}{WALL}"));
    let result =
        |runs: &str| -> Value { serde_json::from_slice(&read(&folder(&room, runs), "result.json")).expect("JSON") };
    for (runs, threads) in [("one", "1"), ("two", "2")] {
        let ended = control(&room, &["cart.twin:Once", "--planner", "sqp,rti", "--runs", runs, "--threads", threads]);
        ended.ends(4).says("stopped for safety: `failures > 0` holds after step");
    }
    let found = result("one");
    let planners = found["planners"].as_array().expect("planners");
    assert_eq!(planners.len(), 1, "rti does not run after sqp has failed: {found}");
    let episodes = planners[0]["episodes"].as_array().expect("episodes");
    assert!(episodes.len() > 1 && episodes.len() < 12, "{found}");
    for (k, episode) in episodes.iter().enumerate() {
        let expected = if k + 1 == episodes.len() { "failed" } else { "completed" };
        assert_eq!(episode["ending"], expected, "{found}");
    }
    assert_eq!(found["stopped"]["episode"].as_u64(), Some(episodes.len() as u64 - 1));
    for name in ["result.json", "trajectory-sqp.csv", "checkpoint/sqp.episodes"] {
        assert!(read(&folder(&room, "one"), name) == read(&folder(&room, "two"), name), "{name}");
    }
    let manifest: Value = serde_json::from_slice(&read(&folder(&room, "one"), "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "stopped");
    // A rule on violations cuts an episode where it is broken.
    let cut = Room::new(&[("cart.twin", &format!("{CART}{WALL}").replace("failures > 0", "violations/steps >= 0.01"))]);
    control(&cut, &["cart.twin:Once", "--runs", "runs"]).ends(4);
    let found: Value = serde_json::from_slice(&read(&folder(&cut, "runs"), "result.json")).expect("JSON");
    let last = found["planners"][0]["episodes"].as_array().and_then(|list| list.last()).expect("an episode").clone();
    assert_eq!(last["ending"], "stopped", "{last}");
    assert_eq!(last["n_steps"].as_u64(), last["violation"]["step"].as_u64().map(|step| step + 1), "{last}");
    assert!(last["violation"]["amount"].as_f64().is_some_and(|amount| amount > 1e-6), "{last}");
    // Two failures are never met by a rule that waits for more than there are.
    let patient = Room::new(&[("cart.twin", &format!("{CART}{WALL}").replace("failures > 0", "failures > episodes"))]);
    control(&patient, &["cart.twin:Once"]).ends(0);
}

#[test]
fn a_rule_that_compares_no_counts_is_told() {
    for (rule, code, word) in [
        ("failure > 0", "E0201", "failures"),
        ("failures", "E0205", "compares counts"),
        ("pos > 1", "E0201", "not counted"),
        ("failures > 1 [s]", "E0205", "no count"),
    ] {
        let room = room(&format!("{CART}{WALL}").replace("failures > 0", rule));
        room.run(&["check", "cart.twin"]).ends(1).says(code).says(word);
    }
    let settings = [
        ("loop { delay = -1 }", "E0602", "delay"),
        ("loop { lag = 1 }", "E0603", "lag"),
        ("loop { deadline = 1 [m] }", "E0301", "deadline"),
        ("evaluate { episodes = 0 }", "E0602", "episodes"),
    ];
    for (line, code, word) in settings {
        let room = room(&format!("{CART}{WALL}").replace("stop when failures > 0", line));
        room.run(&["check", "cart.twin"]).ends(1).says(code).says(word);
    }
}

/// Delays, lost samples and a deadline that nobody keeps; what is stated is what happens.
#[test]
fn a_study_states_what_stands_between_plant_and_controller() {
    let with = |line: &str| format!("{CART}{}", STUDY.replace("  budget", &format!("  loop {{ {line} }}\n  budget")));
    let result = |line: &str| -> Value {
        let room = room(&with(line));
        control(&room, &["cart.twin", "--format", "json"]).ends(0).json()["result"].clone()
    };
    let cost = |result: &Value| result["planners"][0]["cost"].as_f64().expect("finite");
    let plain = result("delay = 0");
    // The model differs from the plant: who learns of it late keeps less within bounds.
    let violation = |result: &Value| result["planners"][0]["violation"]["amount"].as_f64().expect("finite");
    let (late, late_inputs) = (result("delay = 2"), result("input_delay = 2"));
    assert!(violation(&late) > 5.0 * violation(&plain), "{plain} {late}");
    // Where inputs are late, the same comes two steps later: two steps more at a distance of 1, and less of what is left.
    assert!((cost(&late_inputs) - cost(&late) - 2.0).abs() < 0.01, "{late} {late_inputs}");
    assert!((violation(&late_inputs) - violation(&late)).abs() < 1e-9, "{late} {late_inputs}");
    let lost = result("missing = 0.3");
    let n_lost = lost["planners"][0]["n_lost"].as_u64().expect("a count");
    assert!((5..30).contains(&n_lost), "{n_lost} of 60");
    assert_eq!(lost, result("missing = 0.3"), "losses are drawn from the seed");
    // No plan is made in no time: nothing is ever done.
    let never = result("deadline = 1e-12 [s]");
    assert_eq!(never["planners"][0]["n_late"].as_u64(), Some(60), "{never}");
    assert!((cost(&never) - 20.0).abs() < 1e-12, "the cart stays where it is: {never}");
}

/// A run that is cut off in the middle goes on to the same bytes.
#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let room = room(&format!("{CART}{STUDY}"));
    let args = ["cart.twin", "--planner", "sqp,mppi", "--episodes", "4", "--threads", "1", "--runs"];
    control(&room, &[&args[..], &["whole"]].concat()).ends(0);
    control(&room, &[&args[..], &["torn"]].concat()).ends(0);
    let (whole, torn) = (folder(&room, "whole"), folder(&room, "torn"));
    // What a kill leaves: two episodes and half of a third, and nothing of the second planner.
    let name = "checkpoint/sqp.episodes";
    let bytes = read(&torn, name);
    fs::write(torn.join(name), &bytes[..bytes.len() * 5 / 8]).expect("written");
    fs::remove_file(torn.join("checkpoint/mppi.episodes")).expect("removed");
    for name in ["result.json", "trajectory-sqp.csv", "trajectory-mppi.csv", "report.html"] {
        fs::remove_file(torn.join(name)).expect("removed");
    }
    let path = torn.display().to_string();
    control(&room, &["--resume", &path, "--threads", "2"]).ends(0).says("2 of 8 episodes were finished before");
    for name in [
        "result.json",
        "trajectory-sqp.csv",
        "trajectory-mppi.csv",
        "report.html",
        "plots/sqp.svg",
        "checkpoint/sqp.episodes",
        "checkpoint/mppi.episodes",
    ] {
        assert!(read(&whole, name) == read(&torn, name), "{name}");
    }
    // Another question is not this run.
    fs::write(room.path().join("cart.twin"), format!("{CART}{STUDY}").replace("0.01", "0.02")).expect("written");
    control(&room, &["--resume", &path]).ends(2).says("the source `cart.twin` has changed");
    control(&room, &["cart.twin", "--resume", &path]).ends(2);
    // One episode of one planner is made anew.
    control(&room, &["cart.twin", "--episodes", "1", "--runs", "single"]).ends(0);
    let single = folder(&room, "single").display().to_string();
    control(&room, &["--resume", &single]).ends(2).says("made anew");
}

/// Numbers of a column of a table, the last row left out, which has no input.
fn column(folder: &std::path::Path, name: &str, head: &str) -> Vec<f64> {
    let table = fs::read_to_string(folder.join(name)).expect("a table");
    let mut lines = table.lines();
    let at = lines.next().and_then(|line| line.split(',').position(|cell| cell == head)).expect("the column");
    lines.filter_map(|line| line.split(',').nth(at).and_then(|cell| cell.parse().ok())).collect()
}

#[test]
fn every_planner_stands_in_one_table() {
    let room = room(&CART.replace("cost pos^2", "track pos to 0.2 [m]"));
    let planners = "sqp,rti,ilqr,ddp,shooting,cem,mppi,cma,lqr,pid";
    let gains = ["--set", "pid.kp=6", "--set", "pid.kd=5"];
    let args = [&["cart.twin", "--planner", planners, "--runs", "runs"][..], &gains].concat();
    let ended = control(&room, &args);
    let result = &ended.ends(0).out;
    let rows: Vec<&str> = result.lines().filter(|line| line.contains(" 1 ")).collect();
    for name in planners.split(',') {
        let row = rows.iter().find(|row| row.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {result}"));
        let cost: f64 = row.split_whitespace().nth(2).and_then(|cell| cell.parse().ok()).expect("a cost");
        // Left where it is, the cart costs 20 · 0.8².
        assert!(cost < 12.0, "{row}");
    }
}

/// The first plan of the shipped study is the published optimum of do-mpc's tree of nine scenarios.
#[test]
fn nine_scenarios_are_planned_as_published() {
    let room = room(CART);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/control/robust_cstr.twin");
    control(&room, &[file, "--runs", "runs"]).ends(0);
    let folder = folder(&room, "runs");
    let (feed, heat) =
        (column(&folder, "trajectory.csv", "F [1/h]"), column(&folder, "trajectory.csv", "Q_dot [kJ/h]"));
    assert!((feed[0] - 10.209801367005362).abs() < 1e-5 * 95.0, "{}", feed[0]);
    assert!((heat[0] + 85.02431369384406).abs() < 1e-5 * 8500.0, "{}", heat[0]);
}

/// Drawn scenarios are the same for the same seed, planners that know one scenario say so, and names are checked.
#[test]
fn scenarios_may_be_drawn() {
    let study =
        "\nstudy Loop of Center {\n  scenario m in 0.8 .. 1.2\n  algorithm sqp { horizon = 10; scenarios = 5 }\n}\n";
    let room = room(&format!("{CART}{study}"));
    for runs in ["one", "two"] {
        control(&room, &["cart.twin", "--runs", runs]).ends(0);
    }
    control(&room, &["cart.twin", "--runs", "nominal", "--set", "sqp.robust=0"]).ends(0);
    let inputs = |runs: &str| column(&folder(&room, runs), "trajectory.csv", "F [N]");
    assert_eq!(inputs("one"), inputs("two"));
    assert_ne!(inputs("one"), inputs("nominal"));
    control(&room, &["cart.twin", "--planner", "ilqr"]).ends(2).says("a tree of scenarios").says("use `sqp`");
    control(&room, &["cart.twin", "--planner", "ilqr", "--set", "ilqr.robust=0"]).ends(0);
    let wrong = self::room(&format!("{CART}{}", study.replace("scenario m in 0.8 .. 1.2", "scenario v in [0, 1]")));
    wrong.run(&["check", "cart.twin"]).ends(1).says("`v`");
}

/// A catalyst that ages is followed by every filter, and what is planned with what they find costs less than a plan that
/// takes it for constant.
#[test]
fn a_drifting_parameter_is_estimated_beside_the_state() {
    let text = include_str!("../../examples/control/aging_reactor.twin");
    let cost = |text: &str, study: &str| {
        let room = Room::new(&[("aging.twin", text)]);
        let file = format!("aging.twin:{study}");
        let ended = control(&room, &[&file, "--episodes", "1", "--runs", "runs"]);
        ended.ends(0);
        let folder = folder(&room, "runs");
        let result: Value =
            serde_json::from_slice(&fs::read(folder.join("result.json")).expect("a result")).expect("JSON");
        let believed = match study {
            "Adaptive" => column(&folder, "trajectory.csv", "beta believed [1]"),
            _ => Vec::new(),
        };
        (result["planners"][0]["cost"].as_f64().expect("finite"), believed)
    };
    Room::new(&[("aging.twin", text)]).run(&["check", "aging.twin"]).ends(0);
    let (constant, _) = cost(text, "Fixed");
    for filter in ["mhe { horizon = 10;", "ekf {", "ukf {", "enkf {"] {
        let (adaptive, believed) =
            cost(&text.replace("filter mhe { horizon = 10;", &format!("filter {filter}")), "Adaptive");
        assert!(adaptive < 0.8 * constant, "{filter}: {adaptive} {constant}");
        for (k, beta) in believed.iter().enumerate().skip(30) {
            let truth = 1.0 - 0.4 * 0.005 * k as f64;
            assert!((beta - truth).abs() < 0.04, "{filter} step {k}: {beta} instead of {truth}");
        }
    }
}

#[test]
fn what_cannot_be_estimated_or_kept_is_told() {
    let noisy = CART.replace("  v' = F/m\n", "  v' = F/m\n  observe y [m] = pos ~ Normal(sd = 0.01)\n");
    let with = |study: &str| room(&format!("{noisy}\nstudy Loop of Center {{\n{study}\n}}\n"));
    with("estimate m\n  algorithm sqp").run(&["check", "cart.twin"]).ends(1).says("E0409").says("no `filter`");
    with("estimate v\n  filter ekf").run(&["check", "cart.twin"]).ends(1).says("E0205").says("all states anyway");
    control(&with("estimate m\n  filter replace\n  algorithm sqp"), &["cart.twin"])
        .ends(1)
        .says("`m` cannot be estimated");
    let kept = |to: &str| room(&CART.replace("keep v in -0.8 .. 0.8", to));
    kept("keep v in -0.8 .. 0.8 probability 0.3").run(&["check", "cart.twin"]).ends(1).says("E0608").says("above 0.5");
    kept("keep v in -1 .. 1 soft 3 probability 0.9").run(&["check", "cart.twin"]).ends(1).says("E0107");
    kept("keep F in -1 .. 1 probability 0.9").run(&["check", "cart.twin"]).ends(1).says("E0205");
    kept("keep v in -1 .. 1 probability 0.9").run(&["check", "cart.twin"]).ends(0);
    let pushed = CART.replace("  v' = F/m\n", "  v' = F/m\n  when pos < 0 [m] { pos := 1 }\n");
    control(&room(&pushed), &["cart.twin"]).ends(0).says("W0112").says("does not foresee");
}

/// The double integrator from rest to rest over 1 m with |F| ≤ 10 N and 1 kg takes 2·√(1/10) s; the plan lets half of the
/// steps push and half brake.
#[test]
fn the_fastest_course_is_one_command() {
    let task = "task Fast of Cart {
  step free in 0.001 .. 0.1 [s] guess 0.02 [s] via rk4
  episode times 40
  cost step
  keep pos in 0 .. 0 final
  keep v in 0 .. 0 final
}
";
    let model = CART.split("task").next().expect("a model");
    let room = room(&format!("{model}{task}"));
    let ended = control(&room, &["cart.twin", "--runs", "runs", "--format", "json"]);
    let json = ended.ends(0).json();
    let row = &json["result"]["planners"][0];
    let took = row["step"].as_f64().expect("a length") * 40.0;
    assert!((took - 2.0 * 0.1_f64.sqrt()).abs() < 1e-6, "{row}");
    let folder = folder(&room, "runs");
    let (pos, force) = (column(&folder, "trajectory.csv", "pos [m]"), column(&folder, "trajectory.csv", "F [N]"));
    assert_eq!((pos.len(), force.len()), (41, 40));
    assert!(pos[40].abs() < 1e-9 && force[0] < -9.999 && force[39] > 9.999, "{pos:?} {force:?}");
    for name in ["report.html", "plots/sqp.svg", "result.json", "manifest.json"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    control(&room, &["cart.twin", "--planner", "mppi"]).ends(2).says("does not decide how long a step is");
}

/// What feedback is worth: the plan of the whole episode costs what it promises where the plant is the believed model, and
/// more where it is another.
#[test]
fn an_open_loop_is_a_baseline() {
    let room = room(&format!(
        "{CART}\nstudy Heavy of Center {{\n  plant Heavier\n  algorithm sqp\n}}\nmodel Heavier = Cart(m = 1.5)\n"
    ));
    let costs = |name: &str| {
        let ended = control(&room, &[name, "--open-loop", "--planner", "sqp,ilqr", "--format", "json"]);
        let json = ended.ends(0).json();
        let rows = json["result"]["planners"].as_array().expect("rows").clone();
        assert_eq!(rows.len(), 2);
        let number = |row: &Value, at: &str| row.pointer(at).and_then(Value::as_f64).expect("a number");
        rows.iter().map(|row| (number(row, "/planned_cost"), number(row, "/plant/cost"))).collect::<Vec<_>>()
    };
    let own = costs("cart.twin:Center");
    assert!(own.iter().all(|(planned, met)| (planned / met - 1.0).abs() < 1e-6), "{own:?}");
    assert!((own[0].0 / own[1].0 - 1.0).abs() < 1e-3, "{own:?}");
    let heavier = costs("cart.twin:Heavy");
    assert!(heavier.iter().all(|(planned, met)| *met > 1.02 * planned), "{heavier:?}");
    control(&room, &["cart.twin:Center", "--open-loop", "--planner", "lqr"]).ends(2).says("does not plan ahead");
}

/// Where the state is seen, the next one is uncertain by what a step adds: the cart goes as near to its bound as the
/// quantile of the normal distribution allows, and at the bound without the probability.
#[test]
fn a_constraint_with_a_probability_is_kept_at_its_distance() {
    let text = "model Slider {
  time [s]
  input u [m/s] = 0 in -5 .. 5
  state x [m] = 0
  x' = u
}
task Near of Slider {
  step 0.1 [s] via euler
  episode 2 [s]
  cost (x - 2 [m])^2
  cost u^2 weight 1e-4
  keep x <= 1 [m] probability 0.95
}
study Loop of Near { algorithm sqp { horizon = 5; process = 0.02 } }
";
    let last = |text: &str| {
        let room = Room::new(&[("slider.twin", text)]);
        control(&room, &["slider.twin", "--runs", "runs"]).ends(0);
        let states = column(&folder(&room, "runs"), "trajectory.csv", "x [m]");
        states[states.len() - 1]
    };
    // Size 1 of a state that starts at 0, and the 95 % quantile of the normal distribution.
    assert!((last(text) - (1.0 - 0.02 * 1.6448536269514722)).abs() < 1e-4, "{}", last(text));
    assert!((last(&text.replace(" probability 0.95", "")) - 1.0).abs() < 1e-6);
    let room = Room::new(&[("slider.twin", text)]);
    control(&room, &["slider.twin", "--planner", "mppi"]).says("keeps no constraint with a probability");
}

/// Everything that is not zero is drawn, within the share that is stated; the same from the same seed.
#[test]
fn one_word_varies_a_whole_plant() {
    let text =
        STUDY.replace("randomize m in 0.9 .. 1.1", "randomize within 0.2").replace("episodes = 3", "episodes = 40");
    let room = room(&format!("{CART}{text}"));
    control(&room, &["cart.twin", "--runs", "runs"]).ends(0);
    let table = String::from_utf8(read(&folder(&room, "runs"), "trajectory.csv")).expect("text");
    let rows = table.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let starts: Vec<Vec<String>> = rows.filter(|row| row[1] == "0").collect();
    assert_eq!(starts.len(), 40);
    let positions: Vec<f64> = starts.iter().map(|row| row[3].parse().expect("a number")).collect();
    let (least, most) = positions.iter().fold((9.0_f64, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    assert!((0.8..0.85).contains(&least) && (1.15..=1.2).contains(&most), "{least} .. {most}");
    assert!(starts.iter().all(|row| row[4] == "0"), "what is zero stays zero");
    for (word, code) in [("within 0", "E0608"), ("within 2", "E0608"), ("m within 0.1", "E0107"), ("", "E0101")] {
        let room = self::room(&format!("{CART}{}", text.replace("within 0.2", word)));
        room.run(&["check", "cart.twin"]).ends(1).says(code);
    }
}
