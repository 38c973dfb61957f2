//! Tasks: what they cost along published optima, what they keep, and what is said where they are wrong.

use super::{ProjectLoader, check, check_with};
use crate::reference::{Table, reference_dir};
use twinc::diag::Diagnostics;
use twinc::expr::{Env, Interpreter, NodeId};
use twinc::flat::task::{CostTerm, FlatTask, Keep};
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
