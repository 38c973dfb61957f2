//! Resets: the rules for simultaneous assignments, and their derivatives against central differences.

use super::models;
use twinc::jit::{Kernels, Options};
use twinc::system::{At, System};

const X: [f64; 4] = [1.5, 0.5, 2.0, 1.0];
const P: [f64; 3] = [0.3, 0.7, 1.25];
const T: f64 = 2.0;

fn at<'a>(t: f64, x: &'a [f64], p: &'a [f64]) -> At<'a> {
    At { t, x, u: &[0.0], d: &[0.0], p }
}

fn reset(kernels: &Kernels, which: &[usize], t: f64, x: &[f64], p: &[f64]) -> Result<Vec<f64>, usize> {
    let mut new = vec![f64::NAN; 4];
    kernels.reset(which, at(t, x, p), &mut kernels.work(), &mut new).map(|()| new)
}

fn kernels() -> Kernels {
    Kernels::compile(models::rich(), &Options::default()).unwrap()
}

#[test]
fn assignments_see_the_state_before_and_combine() {
    let kernels = kernels();
    let (dose, share) = (P[2] * T, X[0] * X[2]);
    // x0 += dose; x3 := 2
    assert_eq!(reset(&kernels, &[0], T, &X, &P).unwrap(), [X[0] + dose, X[1], X[2], 2.0]);
    // Together with x0 -= share; x2 *= x1, each from the values before.
    let both = reset(&kernels, &[0, 1], T, &X, &P).unwrap();
    assert_eq!(both, [X[0] + dose - share, X[1], X[2] * X[1], 2.0]);
    // x2 *= x1 and x2 *= share multiply; x1 := dose.
    assert_eq!(reset(&kernels, &[1, 2], T, &X, &P).unwrap(), [X[0] - share, dose, X[2] * X[1] * share, 1.0]);
    // A mere breakpoint changes nothing.
    assert_eq!(reset(&kernels, &[4], T, &X, &P).unwrap(), X);
    assert_eq!(reset(&kernels, &[], T, &X, &P).unwrap(), X);
}

#[test]
fn mixed_kinds_on_one_state_are_a_conflict() {
    let kernels = kernels();
    // x2 *= ... meets x2 := ...
    assert_eq!(reset(&kernels, &[1, 3], T, &X, &P), Err(2));
    assert_eq!(reset(&kernels, &[3, 1], T, &X, &P), Err(2));
    // Two := on one state.
    assert_eq!(reset(&kernels, &[3, 3], T, &X, &P), Err(2));
}

#[test]
fn reset_derivatives_equal_central_differences() {
    let kernels = kernels();
    for which in [&[0][..], &[1], &[2], &[3], &[4], &[0, 1], &[1, 2], &[0, 1, 2], &[0, 3]] {
        let (mut dx, mut dp, mut dt) = (vec![f64::NAN; 16], vec![f64::NAN; 12], vec![f64::NAN; 4]);
        kernels.reset_jacobians(which, at(T, &X, &P), &mut kernels.work(), &mut dx, &mut dp, &mut dt);
        // All resets are polynomials of low degree, for which this step is accurate to 1e-9.
        let h = 1e-4;
        let difference = |bump: &dyn Fn(f64) -> Vec<f64>| -> Vec<f64> {
            bump(h).iter().zip(bump(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect()
        };
        let check = |got: &[f64], want: Vec<f64>, what: &str| {
            let close = got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-7);
            assert!(close, "{which:?} by {what}: kernel {got:?}, difference {want:?}");
        };
        for k in 0..4 {
            let bump = |h: f64| {
                let mut x = X;
                x[k] += h;
                reset(&kernels, which, T, &x, &P).unwrap()
            };
            check(&dx[4 * k..4 * k + 4], difference(&bump), "state");
        }
        for k in 0..3 {
            let bump = |h: f64| {
                let mut p = P;
                p[k] += h;
                reset(&kernels, which, T, &X, &p).unwrap()
            };
            check(&dp[4 * k..4 * k + 4], difference(&bump), "parameter");
        }
        check(&dt, difference(&|h| reset(&kernels, which, T + h, &X, &P).unwrap()), "time");
    }
}
