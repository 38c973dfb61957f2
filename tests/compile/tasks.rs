//! Tasks: what they cost along published optima, what they keep, and what is said where they are wrong.

use super::{ProjectLoader, check, check_with};
use crate::reference::{Table, reference_dir};
use twinc::diag::Diagnostics;
use twinc::expr::{Env, Interpreter, NodeId};
use twinc::flat::task::{CostTerm, FlatTask, Keep, When};
use twinc::flat::{FlatModel, flatten_task};
use twinc::hir::{Module, Task};
use twinc::system::Softness;

/// A shipped file, read.
fn module(path: &str) -> Module {
    let text = std::fs::read_to_string(path).expect("part of the project");
    let checked = check_with(path, &text, true, &ProjectLoader);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    checked.module
}

fn flat(task: &Task) -> FlatTask {
    let mut diagnostics = Diagnostics::default();
    let flat = flatten_task(task, &mut diagnostics).expect("a task without errors");
    assert!(!diagnostics.has_errors());
    flat
}

/// The task of this name in a shipped file.
fn task(path: &str, name: &str) -> FlatTask {
    flat(module(path).task(name).expect("in the file"))
}

/// Values at one instant.
struct Point {
    t: f64,
    x: Vec<f64>,
    u: Vec<f64>,
    d: Vec<f64>,
}

fn value(model: &FlatModel, node: NodeId, at: &Point) -> f64 {
    let p: Vec<f64> = model.params.iter().map(|p| p.value).collect();
    let env = Env { t: at.t, x: &at.x, u: &at.u, d: &at.d, p: &p, dx: &[], dt: 0.0 };
    Interpreter::new(&model.dag, &[node]).values::<f64>(&env)[0]
}

/// The points of a reference trajectory; `column` gives the column of each quantity.
fn points(task: &FlatTask, file: &str, time: &str, column: impl Fn(&str) -> String) -> Option<Vec<Point>> {
    let table = Table::read(&reference_dir()?.join("reference/mpc").join(file));
    let of = |name: &str| table.column(&column(name)).unwrap_or_else(|| panic!("no column for {name}"));
    let model = &task.model;
    let mut list = Vec::new();
    for row in &table.rows {
        let mut d: Vec<f64> = model.disturbances.iter().map(|d| d.value).collect();
        let x = model.states.iter().map(|s| row[of(&s.quantity.name)]).collect();
        let u = model.inputs.iter().map(|u| row[of(&u.quantity.name)]).collect();
        let t = row[table.column(time).expect("time")];
        let here = Point { t, x, u, d: d.clone() };
        for held in &task.holds {
            d[held.disturbance as usize] = value(model, held.node, &here);
        }
        list.push(Point { d, ..here });
    }
    Some(list)
}

/// How far `value` is outside of the range of `keep`.
fn excess(keep: &Keep, value: f64) -> f64 {
    (keep.low - value).max(value - keep.high).max(0.0)
}

/// The cost of a trajectory as the task states it, and how far its hard constraints are broken at most.
fn cost(task: &FlatTask, points: &[Point]) -> (f64, f64) {
    let model = &task.model;
    let horizon = points.len() - 1;
    let sum = |terms: &[CostTerm], at: &Point| -> f64 {
        let by_parts: f64 = terms.iter().map(|c| c.weight * value(model, c.node, at)).sum();
        for term in terms {
            if let Some(r) = term.square_of {
                let (r, node) = (value(model, r, at), value(model, term.node, at));
                assert!((r * r - node).abs() <= 1e-13 * node.abs(), "{}: {r}^2 is not {node}", term.text);
            }
        }
        by_parts
    };
    let (mut total, mut broken) = (0.0, 0.0f64);
    let mut before: Vec<f64> = task.acts.iter().map(|a| a.before).collect();
    for (k, at) in points.iter().enumerate() {
        for keep in &task.keeps {
            let outside = excess(keep, value(model, keep.node, at));
            match keep.softness {
                Softness::Hard if k > 0 => broken = broken.max(outside),
                Softness::Linear(price) if k < horizon => total += price * outside,
                Softness::Quadratic(price) if k < horizon => total += price * outside * outside,
                Softness::Hard | Softness::Linear(_) | Softness::Quadratic(_) => {}
            }
        }
        if k == horizon {
            total += sum(&task.terminal, at);
            break;
        }
        total += sum(&task.costs, at);
        for (act, before) in task.acts.iter().zip(&mut before) {
            let u = at.u[act.input as usize];
            broken = broken.max(act.low - u).max(u - act.high);
            let index = task.acts.iter().position(|a| a.input == act.input).unwrap_or_default();
            if let Some(m) = task.moves.iter().find(|m| m.act as usize == index) {
                total += m.weight * ((u - *before) / m.scale).powi(2);
            }
            *before = u;
        }
    }
    (total, broken)
}

fn assert_cost(task: &FlatTask, points: &[Point], optimum: f64) {
    let (found, broken) = cost(task, points);
    assert!((found / optimum - 1.0).abs() < 1e-9, "{}: {found} is not {optimum}", task.name);
    assert!(broken < 1e-9, "{}: constraints are broken by {broken}", task.name);
}

#[test]
fn a_swing_up_costs_what_is_published() {
    let file = "examples/control/cartpole.twin";
    let own = |name: &str| name.to_string();
    for (name, csv, optimum) in [
        ("Swing", "cartpole_n20.csv", 2242.8281405968846),
        ("Swing", "cartpole_n50.csv", 2244.307868062141),
        ("Swing", "cartpole_n100.csv", 2244.3075184291),
        ("WeakSwing", "cartpole_f12_n100.csv", 10205.876626387986),
    ] {
        let task = task(file, name);
        let Some(points) = points(&task, csv, "t", own) else { return };
        assert_cost(&task, &points, optimum);
        // Every term is a square.
        assert!(task.costs.iter().chain(&task.terminal).all(|term| term.square_of.is_some()));
    }
}

#[test]
fn regulated_glucose_costs_what_is_published() {
    let task = task("examples/control/glucose.twin", "Regulate");
    let Some(points) = points(&task, "glucose_n100.csv", "t", str::to_string) else { return };
    // The meal held over the third step is that of its start.
    let held = task.holds[0].disturbance as usize;
    assert!((points[2].d[held] - 4.0 * (-0.01f64 * 20.0).exp()).abs() < 1e-14);
    assert_cost(&task, &points, 447.64902540631243);
}

#[test]
fn a_reactor_costs_what_is_published() {
    let task = task("examples/cstr/cstr.twin", "HoldB");
    let Some(points) = points(&task, "cstr_nominal_n20.csv", "t_h", str::to_string) else { return };
    assert_cost(&task, &points, 0.0150639132784147);
}

#[test]
fn a_quadrotor_costs_what_is_published() {
    let task = task("examples/control/quadrotor.twin", "Fly");
    let Some(points) = points(&task, "quadrotor_n40.csv", "t", str::to_string) else { return };
    assert_cost(&task, &points, 40.89772434239417);
}

#[test]
fn hanging_chains_cost_what_is_published() {
    let module = module("examples/control/chain.twin");
    // `vy(3)` is the column `v3y`.
    let column = |name: &str| match name.split_once('(') {
        Some((quantity, index)) => {
            let (axis, index) = (&quantity[quantity.len() - 1..], index.trim_end_matches(')'));
            format!("{}{index}{axis}", if quantity.starts_with('v') { "v" } else { "p" })
        }
        None => format!("v{}_end", &name[1..]),
    };
    let short = flat(module.task("Rest").expect("in the file"));
    let Some(of_short) = points(&short, "chain_m5_n40.csv", "t", column) else { return };
    assert_cost(&short, &of_short, 20.518952990254295);
    let study = module.study("Longer").and_then(|s| s.control.as_ref()).expect("a study of the task");
    let long = flat(&study.belief);
    assert_eq!((long.model.states.len(), long.n_steps), (45, 40));
    let Some(of_long) = points(&long, "chain_m9_n40.csv", "t", column) else { return };
    assert_cost(&long, &of_long, 87.11467584441493);
}

/// A model with a state and an input, and a task of it; `lines` stand in the task.
fn of(lines: &str) -> String {
    format!(
        "model M {{\n  time [s]\n  input u [N] = 0 in -1 .. 1\n  param m [kg] = 2 ~ Uniform(1, 3)\n  state {{ x [m] = 1 in -5 .. 5; v [m/s] = 0; T [degC] = 20 }}\n  \
         disturbance d [N] = 0\n  let a [m/s^2] = (u + d)/m\n  x' = v; v' = a; T' = 0\n  observe y [cm] = x ~ Normal(sd = 1)\n  safe near: abs(x) <= 3 [m]\n  safe warm: T >= 10 [degC] and T <= 30 [degC]\n}}\n{lines}\n"
    )
}

/// A task with a step, an episode and a cost; `lines` beside them.
fn with(lines: &str) -> String {
    of(&format!("task A of M {{\n  step 0.1 [s]; episode 1 [s]; cost x^2\n{lines}\n}}"))
}

fn said(list: &[(&str, String)]) -> String {
    list.iter().map(|(name, text)| format!("--- {name}\n{}\n", check("model.twin", text, false).shown())).collect()
}

#[test]
fn says_what_is_wrong_with_steps_and_episodes() {
    let list = [
        ("nothing in it", of("task A of M {\n}")),
        ("no block", of("task A of M")),
        ("no model", of("task A {\n  step 1 [s]\n}")),
        ("an unknown model", of("task A of Mm {\n  step 1 [s]\n}")),
        ("two steps", of("task A of M {\n  step 1 [s]\n  step 2 [s]\n  episode 4 [s]\n  cost x^2\n}")),
        ("an unknown method", of("task A of M {\n  step 1 [s] via rk5\n  episode 4 [s]\n  cost x^2\n}")),
        ("no time", of("task A of M {\n  step 1 [m]\n  episode 4 [s]\n  cost x^2\n}")),
        ("no length", of("task A of M {\n  step 0 [s]\n  episode 4 [s]\n  cost x^2\n}")),
        (
            "substeps of error control",
            of("task A of M {\n  step 1 [s] via bdf times 3\n  episode 4 [s]\n  cost x^2\n}"),
        ),
        ("no substeps", of("task A of M {\n  step 1 [s] via rk4 times 0\n  episode 4 [s]\n  cost x^2\n}")),
        ("part of a step", of("task A of M {\n  step 1 [s]\n  episode 4.5 [s]\n  cost x^2\n}")),
        ("too long", of("task A of M {\n  step 1 [s]\n  episode 4e9 [s]\n  cost x^2\n}")),
        ("no steps", of("task A of M {\n  step 1 [s]\n  episode times 0\n  cost x^2\n}")),
        ("an endless free step", of("task A of M {\n  step free in 0.1 ..\n  episode times 5\n  cost step\n}")),
        ("a free step without room", of("task A of M {\n  step free in 2 .. 1\n  episode times 5\n  cost step\n}")),
        (
            "a step among others",
            of("task A of M {\n  step free in 0.1 .. 1 [s]\n  episode times 5\n  cost (step/1 [s])^2\n}"),
        ),
        ("a range of a fixed step", of("task A of M {\n  step 1 [s] in 1 .. 2\n  episode times 5\n  cost x^2\n}")),
    ];
    insta::assert_snapshot!(said(&list));
}

#[test]
fn says_what_is_wrong_with_costs_and_constraints() {
    let list = [
        ("units of a sum", with("  cost x^2 + v^2")),
        ("a weight with a unit", with("  cost v^2 weight 2 [s]")),
        ("a scale of another unit", with("  cost v^2 scale 2 [m]")),
        ("a scale of zero", with("  cost v^2 scale 0")),
        ("a condition as cost", with("  cost x > 1 [m]")),
        ("two expressions", with("  cost x^2, v^2")),
        ("degrees in a cost", with("  cost (T - 20 [degC])^2")),
        ("a reference of another unit", with("  track x to 2 [s]")),
        ("no reference", with("  track x")),
        ("a state is moved", with("  move x")),
        ("an unknown input is moved", with("  move w")),
        ("a move below zero", with("  move u weight -1")),
        ("a disturbance is moved", with("  move d")),
        ("decided twice", with("  act u\n  act u")),
        ("a kept parameter", with("  keep m in 1 .. 2")),
        ("kept without a range", with("  keep v")),
        ("nothing to keep", with("  keep")),
        ("a range of another unit", with("  keep x in 0 [s] .. 1 [s]")),
        ("upside down", with("  keep x in 2 .. 1")),
        ("two ranges that exclude each other", with("  keep x in 0 .. 1\n  keep x >= 2 [m]")),
        ("alternatives", with("  keep x < 0 [m] or x > 1 [m]")),
        ("an input at the end", with("  keep u in 0 .. 1 final")),
        ("a price of zero", with("  keep near soft 0")),
        ("a price with a unit", with("  keep near soft 1 [m]")),
        ("the form of no price", with("  keep near quadratic")),
        ("a range of a condition", with("  keep near in 0 .. 1")),
        ("an unknown safe set", with("  keep nera")),
        ("wider than the actuator", with("  act u in -2 .. 2")),
        ("decides a parameter", with("  act m")),
        ("decides a state", with("  act x")),
        ("relaxes a state", with("  relax x in 0 .. 1")),
        ("relaxes upside down", with("  relax u in 1 .. -1")),
        ("neither cost nor reward", of("task A of M {\n  step 1 [s]; episode 4 [s]\n}")),
        ("an infinite cost", with("  cost 1/0")),
    ];
    insta::assert_snapshot!(said(&list));
}

/// A model whose input has no limits.
fn open() -> &'static str {
    "model Open {\n  time [s]\n  input u [m/s] = 0\n  state x [m] = 1\n  x' = u\n}\n"
}

#[test]
fn says_what_is_wrong_with_starts_ends_and_studies() {
    let study = |lines: &str| {
        of(&format!(
            "model N = M(x = 3)\nmodel O {{\n  time [s]; state x [m] = 1; x' = 0\n}}\n\
             task A of M {{\n  step 1 [s]; episode 4 [s]; cost x^2\n}}\nstudy S of A {{\n{lines}\n}}"
        ))
    };
    let list = [
        ("an unknown start", with("  start z = 1")),
        ("a start of another unit", with("  start x = 1 [s]")),
        ("two starts", with("  start x = 1\n  start x = 2")),
        ("a start outside", with("  start x = 9")),
        ("a drawn parameter", with("  start m ~ Uniform(1, 2)")),
        ("a drawn input", with("  start u ~ Uniform(0, 1)")),
        ("a value and a distribution", with("  start x = 1 ~ Uniform(0, 1)")),
        ("a distribution upside down", with("  start x ~ Uniform(1, 0)")),
        ("no condition", with("  fail penalty 3")),
        ("a number as condition", with("  fail when x")),
        ("a penalty with a unit", with("  fail when x > 1 [m] penalty 3 [m]")),
        ("previous of nothing", with("  sense previous()")),
        ("previous of another unit", with("  sense previous(x, 1 [s])")),
        ("previous of a running member", with("  cost (x - previous(x*i))^2 for i in 1 .. 2")),
        ("holds a state", with("  hold x")),
        ("holds what follows the state", with("  hold a\n  hold a")),
        ("two rewards", with("  reward 1\n  reward 2")),
        ("a word of a study", with("  estimate m")),
        ("a setting", with("  horizon = 20")),
        ("an unknown plant", study("  plant Nn")),
        ("a plant that does not fit", study("  plant O")),
        ("two plants", study("  plant N\n  plant M")),
        ("drawn from nothing", study("  randomize m\n  randomize y.sd")),
        ("draws a state", study("  randomize x ~ Uniform(0, 1)")),
        ("drawn twice", study("  randomize m\n  randomize m ~ Uniform(1, 2)")),
        ("no algorithm", study("  algorithm { horizon = 20 }")),
        ("one algorithm twice", study("  algorithm sqp { horizon = 20 }\n  algorithm sqp { horizon = 30 }")),
        ("an algorithm inside of another", study("  algorithm acr { mpc { horizon = 100 } }")),
        ("hides a state", study("  hide x")),
        (
            "draws without limits",
            format!(
                "{}task B of Open {{\n  step 1 [s]; episode 4 [s]; cost x^2\n}}\nstudy S of B {{\n  algorithm cem\n}}",
                open()
            ),
        ),
        (
            "plans without a cost",
            format!(
                "{}study S of A {{\n  algorithm sqp\n}}",
                of("task A of M {\n  step 1 [s]; episode 4 [s]\n  reward if x > 1 [m] then 1 else 0\n}")
            ),
        ),
        (
            "plans what looks back",
            format!("{}study S of A {{\n  algorithm sqp\n}}", with("  cost (x - previous(x))^2")),
        ),
        ("a study of a model", of("study S of M {\n  plant M\n}")),
        ("a model of a task", format!("{}model Q = A(m = 1)", with(""))),
    ];
    insta::assert_snapshot!(said(&list));
}

/// The problem as it is shown.
fn problem(lines: &str) -> String {
    let checked = check("model.twin", &of(lines), false);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    checked.module.tasks.iter().map(|task| twinc::export::task::text(&flat(task))).collect()
}

#[test]
fn each_cost_counts_in_its_own_unit() {
    let checked = check(
        "model.twin",
        &of(
            "task A of M {\n  step 100 [ms]; episode times 10\n  cost y^2\n  cost y^2 scale 4 [m^2]\n  cost (x - 20 [cm])^2 weight 3\n  \
             cost (20 [cm] - x)^2\n  track T to 300 [K] scale 2\n  track y to 0.5 [m]\n  move u scale 500 [mN]\n  keep y in 0.1 [m] .. 1.5 [m] soft 7 quadratic\n  keep v in -3.6 [km/h] .. 100 [cm/s]\n}",
        ),
        false,
    );
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    let task = flat(&checked.module.tasks[0]);
    assert_eq!((task.step, task.n_steps), (0.1, 10));
    let at = Point { t: 0.0, x: vec![1.5, 2.0, 21.0], u: vec![0.25], d: vec![0.0] };
    let of = |k: usize| task.costs[k].weight * value(&task.model, task.costs[k].node, &at);
    let near =
        |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found} {expected}");
    // y is in cm: 150.
    near(of(0), 150.0 * 150.0);
    near(of(1), 1.5 * 1.5 / 4.0);
    near(of(2), 3.0 * 1.3 * 1.3);
    // The first operand of a sum gives its unit.
    near(of(3), 130.0 * 130.0);
    near(of(4), (21.0 - 26.85f64).powi(2) / 4.0);
    near(of(5), 100.0 * 100.0);
    assert_eq!(task.terminal.len(), 2);
    assert_eq!((task.moves[0].weight, task.moves[0].scale), (1.0, 0.5));
    let kept: Vec<_> = task.keeps.iter().map(|k| (k.low, k.high, k.softness)).collect();
    // y in cm is the state x in m: its box, at a price per square of a centimetre.
    assert_eq!(kept, [(0.1, 1.5, Softness::Quadratic(70_000.0)), (-1.0, 1.0, Softness::Hard)]);
}

#[test]
fn a_task_reads_as_a_problem() {
    let shown = problem(
        "task A of M \"a bit of everything\" {\n  step 0.1 [s] via rk4 times 2; episode 1 [s]\n  act u in -0.5 .. 0.5; relax u in -0.8 .. 0.8\n  \
         start x ~ Normal(mean = 1, sd = 0.1); start v = 2; start u = 3\n  cost x^2 weight 2; cost v^2 - 3*v*1 [m/s] weight 0.5; cost if x > 1 [m] then v else 0 [m/s]\n  \
         terminal abs(x); track y to 20 [cm]*sin(time/1 [s]) weight 4; move u weight 0.1\n  keep near soft 10; keep warm; keep u + v*1 [kg/s] in -2 .. 2\n  \
         keep x in 0 .. 0 final; keep v in -1 .. 1 soft 5 quadratic final\n  sense y, y - previous(y), k, previous(x, 0)\n  \
         fail when not (near and warm) penalty 1e3; done when x < 0.1 [m]\n  every 0.5 [s] from 0.2 [s] { v += 1 }\n}\n\
         task B of M {\n  step 1 [s]; episode times 3\n  reward -(x/1 [m])^2 + u/1 [N]\n}\n\
         task C of M {\n  step free in 0.01 .. 0.1 [s]; episode times 3\n  cost step; reward floor(x/1 [m])\n}\n\
         task D of M {\n  step 1 [s]; episode times 3\n  reward floor(x/1 [m])\n}",
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn shipped_tasks_read_as_problems() {
    let mut all = String::new();
    for file in ["cstr/cstr", "control/cartpole", "control/glucose", "control/quadrotor", "control/chain"] {
        for task in &module(&format!("examples/{file}.twin")).tasks {
            all.push_str(&twinc::export::task::text(&flat(task)));
            all.push('\n');
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn measured_and_previous_values_are_further_disturbances() {
    let text = of(
        "task A of M {\n  step 1 [s]; episode times 3; cost x^2\n  sense y, y - previous(y), x, previous(x, 5), k, mod(time, 6 [s])\n  \
                   reward -(x - previous(x))^2/1 [m^2]*k\n}",
    );
    let checked = check("model.twin", &text, false);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    let task = flat(&checked.module.tasks[0]);
    let names: Vec<&str> = task.model.disturbances.iter().map(|d| d.quantity.name.as_str()).collect();
    assert_eq!(names, ["d", "measured y", "previous(y)", "previous(x, 5)", "k", "previous(x)"]);
    assert_eq!((task.index, task.measured[0].disturbance, task.measured[0].observable), (Some(4), 1, 0));
    // Previous measurements are those of the measured value, previous states those of the state.
    let at = Point { t: 7.0, x: vec![2.0, 0.0, 20.0], u: vec![0.0], d: vec![0.0, 210.0, 190.0, 1.5, 3.0, 1.5] };
    let seen: Vec<f64> = task.senses.iter().map(|s| value(&task.model, s.node, &at)).collect();
    assert_eq!(seen, [210.0, 20.0, 2.0, 1.5, 3.0, 1.0]);
    let previous: Vec<f64> = task.previous.iter().map(|p| value(&task.model, p.node, &at)).collect();
    assert_eq!(previous, [210.0, 2.0, 2.0]);
    assert_eq!(task.previous[1].initial.map(|n| value(&task.model, n, &at)), Some(5.0));
    assert_eq!(task.reward.map(|r| value(&task.model, r, &at)), Some(-0.75));
}

#[test]
fn a_study_gives_the_plant_other_values_and_the_task_other_starts() {
    let text = of("model N = M(x = 3)\ntask A of M {\n  step 1 [s]; episode times 3; cost x^2\n  start v = 1\n}\n\
                   study S of A {\n  plant N; randomize m; randomize y.sd ~ Uniform(1, 2); hide d\n  start v = 2; start T ~ Uniform(10, 30)\n  \
                   algorithm sqp { horizon = 5; relax u in -3 .. 3 }; filter ukf; budget { episodes = 4 }\n}");
    let checked = check("model.twin", &text, false);
    assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
    let control = checked.module.studies[0].control.as_ref().expect("of a task");
    let (belief, plant) = (flat(&control.belief), flat(&control.plant));
    let at = Point { t: 0.0, x: vec![0.0; 3], u: vec![0.0], d: vec![0.0] };
    let starts = |task: &FlatTask| -> Vec<f64> {
        task.model.states.iter().map(|s| value(&task.model, s.initial, &at)).collect()
    };
    assert_eq!((starts(&belief), starts(&plant)), (vec![1.0, 2.0, 20.0], vec![3.0, 2.0, 20.0]));
    assert_eq!(belief.starts.len(), 1);
    let drawn: Vec<&str> = control.randomize.iter().map(|r| r.name.as_str()).collect();
    assert_eq!((drawn, control.hidden[0].0.as_str()), (vec!["m", "y.sd"], "d"));
    let algorithm = &control.algorithms[0];
    assert_eq!((algorithm.name(), algorithm.settings.number("horizon")), ("sqp", Some(5.0)));
    let planned = flat(&control.task_for(algorithm));
    assert_eq!((planned.acts[0].planned(), planned.acts[0].low), ((-3.0, 3.0), -1.0));
}

/// A study's algorithms are checked against the tables that their code exports.
#[test]
fn settings_of_algorithms_are_checked_against_their_tables() {
    use twinc::hir::settings::{SettingKind, SettingSpec};
    const HORIZON: &[SettingSpec] = &[SettingSpec {
        name: "horizon",
        kind: SettingKind::Integer(1, twinc::limits::MAX_HORIZON as i64),
        unit: "",
        default: "20",
        doc: "steps of a plan",
    }];
    let codes = |lines: &str| -> Vec<&'static str> {
        let checked = check("model.twin", &format!("{}study S of A {{\n{lines}\n}}", with("")), false);
        assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
        let control = checked.module.studies[0].control.as_ref().expect("of a task");
        let mut found = Diagnostics::default();
        control.check(&[("sqp", HORIZON), ("mppi", HORIZON)], &[("ukf", &[])], HORIZON, &mut found);
        found.iter().map(|d| d.code.0).collect()
    };
    assert_eq!(codes("  algorithm sqp { horizon = 20 }\n  filter ukf\n  budget { horizon = 3 }"), Vec::<&str>::new());
    for (lines, code) in [
        ("  algorithm sqp { horizon = 0 }", "E0602"),
        ("  algorithm sqp { horizon = 1e6 }", "E0602"),
        ("  algorithm sqp { horizn = 3 }", "E0603"),
        ("  algorithm sqq", "E0602"),
        ("  filter ufk", "E0602"),
        ("  budget { episodes = 3 }", "E0603"),
    ] {
        assert_eq!(codes(lines), [code], "{lines}");
    }
}

#[test]
fn time_has_a_price_of_its_own() {
    let task = task("examples/control/cartpole.twin", "Fastest");
    let free = task.free_step.expect("decided");
    assert_eq!((free.low, free.high, task.step, free.weight), (0.005, 0.1, 0.05, 1.0));
    // What is left is the square of the force.
    assert_eq!(task.costs.len(), 1);
    assert!(task.costs[0].square_of.is_some() && task.keeps.iter().all(|keep| keep.when == When::Final));
}
