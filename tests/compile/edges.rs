//! Conditions on their edge, and names that look like something else.

use std::sync::Arc;

use twinc::integrate::{Forcing, Integrator, Options, Problem, Sample, Start};
use twinc::jit::{self, Kernels};

use super::{check, render};

/// The last value of each state at `t1`.
fn ends(text: &str, t1: f64) -> Vec<f64> {
    let checked = check("m", text, false);
    assert!(checked.diagnostics.is_empty(), "{}", render(&checked));
    let kernels = Kernels::compile(Arc::new(checked.flats[0].clone()), &jit::Options::default()).expect("compiles");
    let p: Vec<f64> = checked.flats[0].params.iter().map(|p| p.value).collect();
    let forcing = Forcing::constant(&[], &[]);
    let problem =
        Problem { t0: 0.0, t1, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let mut last = Vec::new();
    let mut integrator = Integrator::new(&kernels, Options::default()).expect("options");
    let outcome =
        integrator.solve(&problem, &[t1], &mut |sample: Sample<'_>| last = sample.at.x.to_vec()).expect("a problem");
    assert!(outcome.status.is_success(), "{:?}", outcome.status);
    last
}

/// A counter that stops at 3 reaches `n >= 3`, and does not reach `n > 3`.
#[test]
fn a_condition_with_equality_holds_on_its_edge() {
    let text = |condition: &str| {
        format!(
            "model M {{\n  time [s]\n  state x [1] = 0\n  discrete n [1] = 0\n  discrete seen [1] = 0\n  x' = 1 [1/s]\n  \
             every 1 [s] until 3 [s] {{ n += 1 }}\n  when {condition} {{ seen += 1 }}\n}}\n"
        )
    };
    let seen = |condition: &str| ends(&text(condition), 5.0)[2];
    assert_eq!(seen("n >= 3"), 1.0);
    assert_eq!(seen("not (n < 3)"), 1.0);
    assert_eq!(seen("n > 3"), 0.0);
    assert_eq!(seen("not (n <= 3)"), 0.0);
    assert_eq!(seen("n >= 3 and x >= 0"), 1.0);
}

/// What holds at the start does not fire, on its edge either.
#[test]
fn a_condition_that_holds_at_the_start_does_not_fire() {
    let text = |condition: &str| {
        format!(
            "model M {{\n  time [s]\n  state x [1] = 1\n  discrete seen [1] = 0\n  x' = 1 [1/s]\n  \
             when {condition} {{ seen += 1 }}\n}}\n"
        )
    };
    assert_eq!(ends(&text("x >= 1"), 2.0)[1], 0.0);
    assert_eq!(ends(&text("x > 1"), 2.0)[1], 1.0);
}

/// `D [mM] = 1` has the shape of `D[x] = ..`, a derivative elsewhere.
#[test]
fn an_entry_may_have_the_name_of_a_derivative_operator() {
    for name in ["D", "der", "ddt", "Dt"] {
        let text = format!(
            "model M {{\n  time [s]\n  species {{ {name} [mM] = 1; P [mM] = 0 }}\n  param k [1/s] = 1\n  {name} -> P @ k\n}}\n"
        );
        let checked = check("m", &text, true);
        assert!(checked.diagnostics.is_empty(), "{}", render(&checked));
    }
}

/// `tr` moves amounts from one volume to another and conserves; its rate is also a factor of what `tn` forms.
#[test]
fn only_the_reaction_that_changes_a_law_is_named() {
    let text = "model M {\n  time [s]\n  param { k1 [1/s] = 1; k3 [1/s] = 1 }\n  \
                compartment c1 [L] = 1 { A [uM] = 1; B [uM] = 0 }\n  compartment c2 [L] = 2 { G [uM] = 0 }\n  \
                tr: A -> G @ k3\n  tn: 0 -> B rate k3*A\n  turn: B -> A @ k1\n  conserved c1*A + c2*G + c1*B\n}\n";
    let shown = render(&check("m", text, true));
    assert!(shown.contains("`tn` changes it"), "{shown}");
    assert!(!shown.contains("`tr` changes") && !shown.contains("`turn` changes"), "{shown}");
}

/// What is made of pieces affine in time changes at times that parameters tell, and nothing is looked for.
#[test]
fn pieces_of_time_are_exact_breakpoints() {
    use twinc::expr::{Env, Interpreter, Wrt, gradients};
    // A condition; how long it holds until 100; what each of its times is and how it moves with `a` and `b`.
    let narrow: &[(f64, [f64; 2])] = &[(29.999, [1.0, -1.0]), (30.001, [1.0, 1.0])];
    for (condition, holds, times) in [
        ("abs(time - a) < b", 0.002, narrow),
        ("b > abs(a - time)", 0.002, narrow),
        ("not (abs(time - a) >= b)", 0.002, narrow),
        ("2*abs(time - a)/3 - 2*b/3 < 0", 0.002, narrow),
        ("max(a - time, time - a) <= b", 0.002, narrow),
        ("(if time < a then a - time else time - a) < b", 0.002, &[]),
        ("abs(abs(time - 50) - a) < b", 0.004, &[]),
        ("min(time, a) < a", 30.0, &[(30.0, [1.0, 0.0])]),
        ("max(time, a) > a + b", 69.999, &[(30.001, [1.0, 1.0])]),
        ("abs(mod(time, 24) - 12) < b", 0.008, &[]),
        ("2*mod(time + a, 24) - 24 < 2*b - 24", 0.004, &[]),
        ("min(mod(time, 24), 24 - mod(time, 24)) > 12 - b", 0.008, &[]),
    ] {
        let text = format!(
            "model M {{\n  time [1]\n  param {{ a = 30; b = 0.001 }}\n  state x = 0\n  let both = a + b\n  x' = if {condition} then 1 else 0\n}}\n"
        );
        let mut flat = super::read(&text).flat();
        assert!(flat.roots.is_empty(), "`{condition}` is looked for");
        let x = ends(&text, 100.0)[0];
        // Steps between breakpoints are exact but for their ends, which are rounded at times of up to 100. Where the
        // condition itself rounds (`time + a`), it changes some units in the last place beside its breakpoint, and what
        // the first stage after it sees is left to the error control.
        let slack = if condition.contains("time + a") { 1e-7 } else { 1e-11 };
        assert!((x - holds).abs() < slack, "`{condition}` holds for {x}");
        if times.is_empty() {
            continue;
        }
        let nodes = flat.times.clone();
        let slopes = gradients(&mut flat.dag, &nodes, Wrt::Params);
        let at = Env { t: 0.0, x: &[], u: &[], d: &[], p: &[30.0, 0.001], dx: &[], dt: 0.0 };
        for (time, slope) in times {
            let is_it = |node: &_| (Interpreter::new(&flat.dag, &[*node]).values::<f64>(&at)[0] - time).abs() < 1e-12;
            let k = nodes.iter().position(is_it).unwrap_or_else(|| panic!("`{condition}` has no time {time}"));
            let found: Vec<f64> = (0..2)
                .map(|column| {
                    slopes[k].iter().find(|(c, _)| *c == column).map_or(0.0, |(_, s)| flat.dag.as_const(*s).unwrap())
                })
                .collect();
            assert_eq!(found, slope, "`{condition}` at {time}");
        }
    }
}

/// A `when` that is true for a thousandth is seen however long the steps are.
#[test]
fn a_moment_of_plain_time_is_not_missed() {
    for (condition, times) in [
        ("abs(time - a) < b", 1.0),
        ("time > a and time < a + b", 1.0),
        ("x >= 0 and time >= a and time < a + b", 1.0),
        ("x < 0 or abs(time - a) <= b", 1.0),
        ("x > 0 and abs(time - a) <= b", 0.0),
        ("abs(mod(time, 24) - 12) < b", 4.0),
        ("not (time < a or time > a + b)", 1.0),
    ] {
        let text = format!(
            "model M {{\n  time [1]\n  param {{ a = 30; b = 0.001 }}\n  state x = 0\n  discrete n = 0\n  let both = a + b\n  x' = 0\n  \
             when {condition} {{ n += 1 }}\n}}\n"
        );
        assert_eq!(ends(&text, 100.0)[1], times, "`{condition}`");
    }
}

/// A condition on states is still looked for, and one of many pieces too.
#[test]
fn what_time_alone_does_not_tell_is_a_root() {
    for condition in ["abs(x - a) < b", "abs(time - x) < b", "time^2 < a", "time*time < a"] {
        let text = format!(
            "model M {{\n  time [1]\n  param {{ a = 30; b = 1 }}\n  state x = 0\n  x' = if {condition} then 1 else 0.5\n}}\n"
        );
        assert!(!super::read(&text).flat().roots.is_empty(), "`{condition}`");
    }
}
