//! Riccati equations against closed forms and against what is left of them; regulators on plants.

use nalgebra::DMatrix;
use rand::Rng as _;
use twinc::control::lqr::{LinearQuadratic, LqrError, Regulator, continuous, discrete, finite};
use twinc::decide::{PlanStatus, Planner, Situation};
use twinc::random::stream;
use twinc::system::{Curvature, Stages};

use super::problems::problem;

fn matrix(n: usize, m: usize, rows: &[f64]) -> DMatrix<f64> {
    DMatrix::from_row_slice(n, m, rows)
}

fn scalar(a: f64, b: f64, q: f64, r: f64) -> LinearQuadratic {
    LinearQuadratic::new(matrix(1, 1, &[a]), matrix(1, 1, &[b]), matrix(1, 1, &[q]), matrix(1, 1, &[r]))
}

/// `n` states, `m` inputs, modes on both sides of stability, cross costs.
fn random(n: usize, m: usize, seed: u64) -> LinearQuadratic {
    let mut rng = stream(seed, 0);
    let mut draw = |n: usize, m: usize| DMatrix::from_fn(n, m, |_, _| rng.random::<f64>() * 2.0 - 1.0);
    let (a, b, root) = (draw(n, n), draw(n, m), draw(n + m, n + m));
    let cost = &root * root.transpose();
    // The moduli of the modes of such a matrix go up to about 1.15.
    let a = a * (2.0 / (n as f64).sqrt());
    LinearQuadratic {
        a,
        b,
        q: cost.view((0, 0), (n, n)).into_owned(),
        r: cost.view((n, n), (m, m)).into_owned() + DMatrix::identity(m, m),
        s: cost.view((0, n), (n, m)).into_owned(),
    }
}

#[test]
fn scalar_equations_have_their_closed_forms() {
    for (a, b, q, r) in
        [(0.5_f64, 1.0_f64, 1.0_f64, 1.0_f64), (1.7, 0.3, 2.0, 0.1), (-1.2, 2.0, 0.5, 4.0), (1.0, 1.0, 1.0, 1.0)]
    {
        // b² x² + (r − a² r − q b²) x − q r = 0
        let half = (r - a * a * r - q * b * b) / (2.0 * b * b);
        let exact = -half + (half * half + q * r / (b * b)).sqrt();
        let found = discrete(&scalar(a, b, q, r)).expect("a regulator");
        assert!((found.cost[(0, 0)] / exact - 1.0).abs() < 1e-14, "{a}: {} {exact}", found.cost[(0, 0)]);
        assert!((found.gain[(0, 0)] - a * b * exact / (r + b * b * exact)).abs() < 1e-13);

        let exact = r / (b * b) * (a + (a * a + b * b * q / r).sqrt());
        let found = continuous(&scalar(a, b, q, r)).expect("a regulator");
        assert!((found.cost[(0, 0)] / exact - 1.0).abs() < 1e-14, "{a}: {} {exact}", found.cost[(0, 0)]);
        assert!((found.gain[(0, 0)] - b * exact / r).abs() < 1e-13);
    }
}

#[test]
fn the_double_integrator_has_its_closed_form() {
    let problem = LinearQuadratic::new(
        matrix(2, 2, &[0.0, 1.0, 0.0, 0.0]),
        matrix(2, 1, &[0.0, 1.0]),
        matrix(2, 2, &[1.0, 0.0, 0.0, 0.0]),
        matrix(1, 1, &[1.0]),
    );
    let found = continuous(&problem).expect("a regulator");
    let root = 2f64.sqrt();
    assert!((found.cost - matrix(2, 2, &[root, 1.0, 1.0, root])).amax() < 1e-14);
    assert!((found.gain - matrix(1, 2, &[1.0, root])).amax() < 1e-14);
}

#[test]
fn residuals_are_at_rounding() {
    for (n, m, seed) in [(2, 1, 1), (5, 2, 2), (12, 3, 3), (30, 4, 4)] {
        let problem = random(n, m, seed);
        for (kind, found) in [("discrete", discrete(&problem)), ("continuous", continuous(&problem))] {
            let found = found.expect("a regulator");
            assert!(found.residual < 1e-12, "{kind} {n}: {:e}", found.residual);
            let closed = &problem.a - &problem.b * &found.gain;
            let modes = closed.complex_eigenvalues();
            let is_stable = modes.iter().all(|mode| if kind == "discrete" { mode.norm() < 1.0 } else { mode.re < 0.0 });
            assert!(is_stable, "{kind} {n}");
            assert!(found.cost.clone().cholesky().is_some(), "{kind} {n}");
        }
    }
}

#[test]
fn long_finite_horizons_tend_to_the_infinite_one() {
    let problem = random(6, 2, 9);
    let infinite = discrete(&problem).expect("a regulator");
    let (gains, cost) = finite(&problem, &DMatrix::zeros(6, 6), 400).expect("gains");
    assert_eq!(gains.len(), 400);
    assert!((&cost - &infinite.cost).amax() < 1e-11 * cost.amax());
    assert!((&gains[0] - &infinite.gain).amax() < 1e-11 * gains[0].amax());
    // With one step left and nothing behind it, only the cross costs move an input.
    let alone = problem.r.clone().cholesky().expect("positive").solve(&problem.s.transpose());
    assert!((&gains[399] - alone).amax() < 1e-14);
}

#[test]
fn the_cost_is_what_an_episode_costs() {
    let problem = random(5, 2, 7);
    let found = discrete(&problem).expect("a regulator");
    let mut x = DMatrix::from_fn(5, 1, |i, _| i as f64 - 1.5);
    let promised = 0.5 * (x.transpose() * &found.cost * &x)[(0, 0)];
    let mut paid = 0.0;
    for _ in 0..2000 {
        let u = -(&found.gain * &x);
        let cross = (x.transpose() * &problem.s * &u)[(0, 0)];
        paid += 0.5 * ((x.transpose() * &problem.q * &x) + (u.transpose() * &problem.r * &u))[(0, 0)] + cross;
        x = &problem.a * &x + &problem.b * &u;
    }
    assert!((paid / promised - 1.0).abs() < 1e-12, "{paid} {promised}");
}

#[test]
fn modes_out_of_reach_or_out_of_sight_are_named() {
    let two = |a: &[f64], b: &[f64], q: &[f64]| {
        LinearQuadratic::new(matrix(2, 2, a), matrix(2, 1, b), matrix(2, 2, q), matrix(1, 1, &[1.0]))
    };
    let unreached = two(&[0.5, 0.2, 0.0, 1.5], &[1.0, 0.0], &[1.0, 0.0, 0.0, 1.0]);
    let message = discrete(&unreached).expect_err("no regulator").to_string();
    assert_eq!(message, "no input reaches the mode 1.5 ± 0i, which does not decay; it is mostly in state 1");
    let unseen = two(&[1.1, 0.0, 0.0, 0.3], &[1.0, 1.0], &[0.0, 0.0, 0.0, 1.0]);
    let found = discrete(&unseen).expect_err("no regulator");
    assert!(matches!(found, LqrError::NotDetectable { state: 0, .. }), "{found}");
    // Both decay in continuous time only.
    let slow = two(&[-2.0, 0.0, 0.0, -3.0], &[1.0, 0.0], &[1.0, 0.0, 0.0, 0.0]);
    assert!(continuous(&slow).expect("a regulator").residual < 1e-12);
    assert!(matches!(discrete(&slow), Err(LqrError::NotStabilizable { state: 1, .. })));

    let mut free = scalar(0.5, 1.0, 1.0, 0.0);
    assert_eq!(discrete(&free).expect_err("free inputs"), LqrError::InputCost);
    free.r[(0, 0)] = f64::NAN;
    assert_eq!(continuous(&free).expect_err("no number"), LqrError::NotFinite);
    free.b = DMatrix::zeros(2, 1);
    assert!(matches!(discrete(&free), Err(LqrError::Shape(_))));
}

/// The nonlinear plant near its unstable point of rest costs what the linear one promises.
#[test]
fn the_cart_pole_is_held_upright_at_the_promised_cost() {
    let mut cart = problem("cartpole_n20").expect("needs no data").stages;
    let linear = LinearQuadratic::linearize(&mut cart, &[0.0; 4], &[0.0], Curvature::Exact).expect("a point of rest");
    let solution = discrete(&linear).expect("a regulator");
    assert!(solution.residual < 1e-12, "{:e}", solution.residual);
    let mut regulator = Regulator::new(&solution, &[0.0; 4], &[0.0], &[-80.0], &[80.0]).expect("sizes fit");
    let (mut x, mut next) = ([0.0, 0.01, 0.0, 0.0], [0.0; 4]);
    let (mut paid, mut promised) = (0.0, None);
    let mut u = [0.0];
    for step in 0..400 {
        let plan = regulator.plan(&Situation { step, time: 0.0, state: &x, previous: &u, forecast: &[] });
        assert_eq!(plan.status, PlanStatus::Improved);
        promised.get_or_insert(plan.cost);
        u[0] = plan.input[0];
        paid += cart.cost(0, &x, &u);
        cart.step(1, &x, &u, &mut next).expect("a step");
        x = next;
    }
    let promised = promised.expect("a plan");
    assert!((paid / promised - 1.0).abs() < 1e-3, "{paid} {promised}");
    assert!(x.iter().all(|x| x.abs() < 1e-9), "{x:?}");

    let far =
        regulator.plan(&Situation { step: 0, time: 0.0, state: &[0.0, 3.0, 0.0, 9.0], previous: &u, forecast: &[] });
    assert_eq!(far.input[0].abs(), 80.0);
    let lost = regulator.plan(&Situation { step: 0, time: 0.0, state: &[f64::NAN; 4], previous: &u, forecast: &[] });
    assert_eq!((lost.status, lost.input[0]), (PlanStatus::Failed, 0.0));
}
