//! What an experiment itself gives is not estimated there.

use twinc::calibrate::bind::{self, Bound};
use twinc::diag::Diagnostics;
use twinc::flat::Variation;
use twinc::hir;
use twinc::source::{SourceFile, SourceMap};

use crate::compile::Texts;

const MODEL: &str = "model M {\n  time [s]\n  param k [1/s] = 1 in 0.1 .. 10\n  state x [1] = 1 in 0 .. 10\n  x' = -k*x\n  \
                     observe y [1] = x ~ Normal(sd = 0.1)\n}\n";
const TABLE: &str = "t,y,k\n0,1,2\n1,0.1,2\n";

fn bound(study: &str) -> (Option<Bound>, Diagnostics) {
    let text = format!("{MODEL}study S of M {{\n{study}\n}}\n");
    let loader = Texts(&[("a.csv", TABLE)]);
    let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("m", text));
    let module = hir::load(&mut sources, root, None, &loader, false, &mut found);
    assert!(!found.has_errors(), "{found:?}");
    let bound = bind::bind(&module.studies[0], "m", &loader, &mut sources, &mut found);
    (bound, found)
}

const DATA: &str = "data \"a.csv\" { time <- t [s]; y <- y [1] }";

#[test]
fn a_start_of_one_experiment_counts_more_than_the_estimate() {
    for (quantity, value) in [("k = 2 [1/s]", 2.0), ("x = 3 [1]", 3.0)] {
        let name = &quantity[..1];
        let text = format!("experiment e {{ {DATA} }}\nexperiment f {{ {DATA}; start {quantity} }}\nestimate {name}");
        let (bound, found) = bound(&text);
        let bound = bound.unwrap_or_else(|| panic!("{found:?}"));
        assert_eq!(bound.experiments.iter().map(|e| e.links.len()).collect::<Vec<_>>(), [1, 0]);
        if name == "k" {
            assert_eq!(bound.experiments[1].params[0], value);
        }
    }
}

#[test]
fn a_quantity_that_every_experiment_gives_cannot_be_estimated() {
    let (bound, found) = bound("data \"a.csv\" { time <- t [s]; y <- y [1]; k <- k [1/s] }\nestimate k");
    assert!(bound.is_none());
    assert!(found.iter().any(|d| d.code.0 == "E0606"), "{found:?}");
}

/// `B = 2*A`: a start of A from outside would leave B at twice the declared one.
#[test]
fn a_start_that_others_follow_is_not_given_from_outside() {
    let model = "model M {\n  time [s]\n  state { A [1] = 2 in 0 .. 9; B [1] = 2*A }\n  A' = 0\n  B' = 0\n  \
                 observe y [1] = B ~ Normal(sd = 0.1)\n}\n";
    for lines in [
        "data \"a.csv\" { time <- t [s]; y <- y [1]; A <- k initial }\nestimate y.sd in 0.1 .. 1",
        "data \"a.csv\" { time <- t [s]; y <- y [1] }\nestimate A",
    ] {
        let text = format!("{model}study S of M {{\n{lines}\n}}\n");
        let loader = Texts(&[("a.csv", TABLE)]);
        let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
        let root = sources.add(SourceFile::new("m", text));
        let module = hir::load(&mut sources, root, None, &loader, false, &mut found);
        assert!(bind::bind(&module.studies[0], "m", &loader, &mut sources, &mut found).is_none());
        assert!(found.iter().any(|d| d.code.0 == "E0606" && d.title.contains("written through")), "{found:?}");
    }
}

#[test]
fn two_tables_of_one_experiment_agree_on_its_constants() {
    let model = MODEL;
    let row = "{ time <- t [s]; y <- y [1]; k <- k [1/s] }";
    let text =
        format!("{model}study S of M {{\ndata \"a.csv\" {row}\ndata \"b.csv\" {row}\nestimate y.sd in 0.01 .. 1\n}}\n");
    for (other, is_good) in [(TABLE, true), ("t,y,k\n0,1,3\n", false)] {
        let loader = Texts(&[("a.csv", TABLE), ("b.csv", other)]);
        let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
        let root = sources.add(SourceFile::new("m", text.clone()));
        let module = hir::load(&mut sources, root, None, &loader, false, &mut found);
        assert_eq!(
            bind::bind(&module.studies[0], "m", &loader, &mut sources, &mut found).is_some(),
            is_good,
            "{found:?}"
        );
    }
}

/// x has a start of its own; y starts at zero and counts as the largest of its unit, at most 1; nothing tells of z.
#[test]
fn a_state_whose_size_no_start_tells_counts_as_a_millionth() {
    let text = "model Sizes {\n  time [s]\n  state { x [m] = 20; y [m] = 0; w [kg] = 0.01; v [kg] = 0; z [K] = 0 }\n  \
                x' = 0 [m/s]; y' = 0 [m/s]; w' = 0 [kg/s]; v' = 0 [kg/s]; z' = 1 [K/s]\n}\n";
    let (mut sources, mut found) = (SourceMap::default(), Diagnostics::default());
    let root = sources.add(SourceFile::new("m", text.to_owned()));
    let module = hir::load(&mut sources, root, None, &Texts(&[]), false, &mut found);
    let model = twinc::flat::flatten(&module.models[0], &Variation { starts: &[], events: &[] }, &mut found)
        .unwrap_or_else(|| panic!("{found:?}"));
    let sizes: Vec<f64> = bind::absolute_tolerances(&model, &[], 1e-3).iter().map(|atol| atol / 1e-3).collect();
    for (size, expected) in sizes.iter().zip([20.0, 1.0, 0.01, 0.01, 1e-6]) {
        assert!((size / expected - 1.0).abs() < 1e-12, "{sizes:?}");
    }
}
