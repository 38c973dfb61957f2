//! The minimizer against problems whose minimum is known.

use std::sync::atomic::AtomicBool;

use super::{Options, Side, StopReason, minimize};
use crate::optimize::{EvalError, Local, Objective};

/// A sum of squares from closures for residuals and their derivatives.
struct Squares<F: FnMut(&[f64]) -> Result<(Vec<f64>, Vec<Vec<f64>>), EvalError>> {
    n: usize,
    residuals: F,
}

impl<F: FnMut(&[f64]) -> Result<(Vec<f64>, Vec<Vec<f64>>), EvalError>> Objective for Squares<F> {
    fn n_parameters(&self) -> usize {
        self.n
    }

    fn evaluate(&mut self, theta: &[f64], local: &mut Local) -> Result<(), EvalError> {
        local.clear();
        let (residuals, jacobian) = (self.residuals)(theta)?;
        for (r, row) in residuals.iter().zip(&jacobian) {
            local.value += 0.5 * r * r;
            for i in 0..self.n {
                local.gradient[i] += r * row[i];
                for j in 0..self.n {
                    local.hessian[j * self.n + i] += row[i] * row[j];
                }
            }
        }
        Ok(())
    }
}

fn rosenbrock(theta: &[f64]) -> Result<(Vec<f64>, Vec<Vec<f64>>), EvalError> {
    let (a, b) = (theta[0], theta[1]);
    Ok((vec![10.0 * (b - a * a), 1.0 - a], vec![vec![-20.0 * a, 10.0], vec![-1.0, 0.0]]))
}

static NEVER: AtomicBool = AtomicBool::new(false);

#[test]
fn finds_the_minimum_of_rosenbrock() {
    let mut objective = Squares { n: 2, residuals: rosenbrock };
    let far = [f64::NEG_INFINITY; 2];
    let minimum = minimize(
        &mut objective,
        &far,
        &far.map(|v| -v),
        &[1.0; 2],
        &[-1.2, 1.0],
        &Options { gradient_tolerance: 1e-9, ..Options::default() },
        &NEVER,
    );
    assert_eq!(minimum.stop, StopReason::Gradient);
    assert!((minimum.theta[0] - 1.0).abs() < 1e-7 && (minimum.theta[1] - 1.0).abs() < 1e-7, "{minimum:?}");
    assert!(minimum.n_evaluations < 40, "{}", minimum.n_evaluations);
    assert!(minimum.history.windows(2).all(|w| w[1] < w[0]));
}

/// With b <= 0.25 the minimum of Rosenbrock's function solves min (0.25 - a²)²·50 + (1-a)²/2 on the bound.
#[test]
fn stops_at_a_bound_where_the_minimum_lies_beyond() {
    let mut objective = Squares { n: 2, residuals: rosenbrock };
    let minimum =
        minimize(&mut objective, &[-2.0, -2.0], &[2.0, 0.25], &[1.0; 2], &[-1.2, -1.0], &Options::default(), &NEVER);
    assert_eq!(minimum.at_bounds, [None, Some(Side::High)]);
    let a = minimum.theta[0];
    // d/da = -200 a (0.25 - a²) - (1 - a) = 0
    assert!((-200.0 * a * (0.25 - a * a) - (1.0 - a)).abs() < 1e-3, "{a}");
    assert!(minimum.stop.is_converged(), "{:?}", minimum.stop);
    assert!(a > 0.0, "the valley is followed around its bend: {a}");
}

/// From a start on the wrong bound the search leaves it at once.
#[test]
fn leaves_a_bound_that_the_gradient_points_away_from() {
    let mut objective =
        Squares { n: 1, residuals: |t: &[f64]| Ok((vec![t[0] - 0.3, 0.2 * t[0]], vec![vec![1.0], vec![0.2]])) };
    let minimum = minimize(&mut objective, &[-1.0], &[1.0], &[1.0], &[-1.0], &Options::default(), &NEVER);
    assert!((minimum.theta[0] - 0.3 / 1.04).abs() < 1e-6);
    assert!(minimum.n_evaluations <= 8, "{}", minimum.n_evaluations);
}

/// Large residuals at the minimum: Gauss–Newton converges slowly or not at all (Dennis, Gay and Welsch's motive); the
/// learned curvature makes it fast.
#[test]
fn learned_curvature_speeds_up_problems_with_large_residuals() {
    // ½[(x+1)² + (λx² + x − 1)²] has its minimum at x = 0; Gauss–Newton contracts by |λ| per step there.
    let lambda = -0.9;
    let mut objective = Squares {
        n: 1,
        residuals: move |t: &[f64]| {
            let x = t[0];
            Ok((vec![x + 1.0, lambda * x * x + x - 1.0], vec![vec![1.0], vec![2.0 * lambda * x + 1.0]]))
        },
    };
    let tight = Options { gradient_tolerance: 1e-10, objective_tolerance: 0.0, ..Options::default() };
    let run = |objective: &mut dyn Objective, options: &Options| {
        minimize(objective, &[-10.0], &[10.0], &[1.0], &[0.6], options, &NEVER)
    };
    let learned = run(&mut objective, &tight);
    let plain = run(&mut objective, &Options { learn_curvature: false, ..tight });
    assert!(learned.theta[0].abs() < 1e-9, "{learned:?}");
    assert!(2 * learned.n_evaluations < plain.n_evaluations, "{} {}", learned.n_evaluations, plain.n_evaluations);
}

#[test]
fn failed_evaluations_shrink_the_step_and_do_not_end_the_search() {
    // ln is undefined below 0: full steps from 5 land there.
    let mut objective = Squares {
        n: 1,
        residuals: |t: &[f64]| {
            if t[0] <= 0.0 {
                return Err(EvalError::new("left of zero"));
            }
            Ok((vec![t[0].ln() + 2.0], vec![vec![1.0 / t[0]]]))
        },
    };
    let minimum = minimize(&mut objective, &[-10.0], &[10.0], &[1.0], &[5.0], &Options::default(), &NEVER);
    assert!((minimum.theta[0] - (-2.0_f64).exp()).abs() < 1e-5, "{minimum:?}");
    assert!(minimum.n_failures > 0);
}

#[test]
fn failed_start_is_infinite_and_gives_the_reason() {
    let mut objective = Squares { n: 1, residuals: |_: &[f64]| Err(EvalError::new("no value")) };
    let minimum = minimize(&mut objective, &[0.0], &[1.0], &[1.0], &[0.5], &Options::default(), &NEVER);
    assert_eq!(minimum.local.value, f64::INFINITY);
    assert_eq!(minimum.stop, StopReason::StartFailed { reason: "no value".into() });
}

/// A saddle: the gradient vanishes in one direction and the curvature is negative.
#[test]
fn indefinite_models_go_to_the_edge_of_the_ball() {
    struct Saddle;
    impl Objective for Saddle {
        fn n_parameters(&self) -> usize {
            2
        }
        fn evaluate(&mut self, t: &[f64], local: &mut Local) -> Result<(), EvalError> {
            // x⁴/4 − x²/2 + y²/2: minima at (±1, 0), saddle at the origin.
            local.value = 0.25 * t[0].powi(4) - 0.5 * t[0] * t[0] + 0.5 * t[1] * t[1];
            local.gradient = vec![t[0].powi(3) - t[0], t[1]];
            local.hessian = vec![3.0 * t[0] * t[0] - 1.0, 0.0, 0.0, 1.0];
            Ok(())
        }
    }
    let minimum = minimize(&mut Saddle, &[-3.0; 2], &[3.0; 2], &[1.0; 2], &[0.0, 1.0], &Options::default(), &NEVER);
    assert!((minimum.theta[0].abs() - 1.0).abs() < 1e-4 && minimum.theta[1].abs() < 1e-4, "{minimum:?}");
}

#[test]
fn interrupt_returns_the_point_reached() {
    let mut objective = Squares { n: 2, residuals: rosenbrock };
    let interrupt = AtomicBool::new(true);
    let minimum =
        minimize(&mut objective, &[-2.0; 2], &[2.0; 2], &[1.0; 2], &[-1.2, 1.0], &Options::default(), &interrupt);
    assert_eq!(minimum.stop, StopReason::Interrupted);
    assert_eq!(minimum.theta, [-1.2, 1.0]);
}

/// The scale changes the path, not the minimum.
#[test]
fn scale_of_the_parameters_does_not_move_the_minimum() {
    let mut objective = Squares {
        n: 2,
        residuals: |t: &[f64]| {
            let t = [t[0] * 1e-3, t[1] * 1e4];
            let (r, j) = rosenbrock(&t)?;
            Ok((r, j.into_iter().map(|row| vec![row[0] * 1e-3, row[1] * 1e4]).collect()))
        },
    };
    let minimum = minimize(
        &mut objective,
        &[-5e3, -5e-4],
        &[5e3, 5e-4],
        &[1e3, 1e-4],
        &[-1.2e3, 1e-4],
        &Options { gradient_tolerance: 1e-9, ..Options::default() },
        &NEVER,
    );
    assert!((minimum.theta[0] - 1e3).abs() < 1e-3 && (minimum.theta[1] - 1e-4).abs() < 1e-10, "{minimum:?}");
}

#[test]
fn a_start_without_evaluable_neighbours_is_blocked_and_not_converged() {
    let start = [0.5, 0.5];
    let only_there = move |theta: &[f64]| {
        if theta == start { rosenbrock(theta) } else { Err(EvalError::new("no value here".to_owned())) }
    };
    let mut objective = Squares { n: 2, residuals: only_there };
    let (low, high) = ([-5.0; 2], [5.0; 2]);
    let minimum = minimize(&mut objective, &low, &high, &[1.0; 2], &start, &Options::default(), &NEVER);
    assert_eq!(minimum.stop, StopReason::Blocked);
    assert!(!minimum.stop.is_converged() && minimum.theta == start, "{minimum:?}");
    assert_eq!(minimum.stop.to_string(), "no step can be evaluated");
}
