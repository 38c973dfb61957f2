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
