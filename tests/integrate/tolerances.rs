//! What a tolerance promises: from the loosest to the tightest, a run ends near the solution or says that it did not.

use super::dual_system::{Rhs, system};
use super::ivp::{
    Hires, Oregonator, Pollution, Robertson, VanDerPol, number, numbers, pollution_start, read, reference_dir,
};
use super::solve;
use twinc::integrate::{Method, Options, Start, Tolerance};

const METHODS: [Method; 3] = [Method::Bdf, Method::Rodas5p, Method::Auto];

/// Errors add up over a thousand steps. Where they are also carried along a limit cycle, as on OREGO, a few hundred
/// tolerances were seen at most; a lost solution is off by 1e12 of them.
const MOST: f64 = 500.0;

/// The error at the time `t1` of a reference file in units of the tolerance, at rtol 1e-2 to 1e-9 in steps of a factor
/// of the root of ten; `atol` is `share` of rtol.
fn scan<R: Rhs>(file: &str, rhs: R, y0: &[f64], t1: f64, share: f64) {
    let Some(dir) = reference_dir() else { return };
    let data = read(dir.join("ivp").join(file).with_extension("json"));
    let reference = data["reference"].as_array().expect("a list");
    let row = reference.iter().find(|r| number(&r["t"]) == t1).expect("the end");
    let truth = numbers(&row["y"]);
    let problem = system(rhs, y0.len(), 0, None).autonomous();
    for method in METHODS {
        for k in 4..=18 {
            let rtol = 10.0_f64.powf(-f64::from(k) / 2.0);
            let options = Options { method, rtol, atol: Tolerance::Scalar(share * rtol), ..Options::default() };
            let (outcome, x, _) = solve(&problem, options, (0.0, t1), Start::Given(y0), &[], &[], &[t1]);
            let what = format!("{file} by {} at {rtol:.1e}: {}", method.name(), outcome.status);
            if !outcome.status.is_success() {
                assert!(rtol > 1e-3, "{what}");
                continue;
            }
            let errors = x[0].iter().zip(&truth).map(|(a, b)| (a - b).abs() / (rtol * (share + b.abs())));
            let error = errors.fold(0.0, f64::max);
            assert!(error < MOST, "{what}, {error:.1e} tolerances");
        }
    }
}

#[test]
fn errors_of_stiff_problems_are_bounded_at_every_tolerance() {
    scan("robertson", Robertson, &[1.0, 0.0, 0.0], 1e11, 1e-3);
    scan("hires", Hires, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057], 321.8122, 1e-3);
    scan("orego", Oregonator, &[1.0, 2.0, 3.0], 360.0, 1e-3);
    scan("vdpol", VanDerPol, &[2.0, 0.0], 2.0, 1e-3);
    scan("pollution", Pollution, &pollution_start(), 60.0, 1e-3);
}

/// Both small species end far below the absolute tolerance, and behind zero lies another solution, which leaves at a
/// constant rate: from y1 = 0 - 1e-6 it reaches -1e7. SciPy's BDF, LSODA and Radau are each lost at some of these
/// tolerances.
#[test]
fn robertson_is_never_lost_behind_zero() {
    let robertson = system(Robertson, 3, 0, None).autonomous();
    for method in METHODS {
        for share in [1.0, 1e-2, 1e-3, 1e-4, 1e-6] {
            for k in 0..=56 {
                let rtol = 10.0_f64.powf(-2.0 - f64::from(k) / 8.0);
                let options = Options { method, rtol, atol: Tolerance::Scalar(share * rtol), ..Options::default() };
                let given = Start::Given(&[1.0, 0.0, 0.0]);
                let (outcome, x, _) = solve(&robertson, options, (0.0, 1e11), given, &[], &[], &[1e11]);
                if outcome.status.is_success() {
                    // From 113-bit arithmetic, see ivp/robertson.json.
                    let error = (x[0][2] - 0.9999999791665).abs() / rtol;
                    assert!(error < 30.0, "{} at {rtol:.1e}, {share:.0e}: {error:.1e}", method.name());
                } else {
                    assert!(share > 1e-4 || rtol > 1e-3, "{} at {rtol:.1e}, {share:.0e}", method.name());
                }
            }
        }
    }
}
