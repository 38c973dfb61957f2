//! Calibration against published results and closed forms.

mod given;
mod gradient;
mod linear;
mod multi;
mod split;
mod stat5;

use twinc::calibrate::{FitSettings, Problem};
use twinc::integrate::Method;
use twinc::optimize::{Local, Objective};
use twinc::system::closure::ClosureSystem;
use twinc::system::{At, System};

/// Every hand-written derivative of the STAT5 system against central differences.
#[test]
fn stat5_derivatives_are_those_of_its_equations() {
    let exact = stat5::Stat5::new();
    let (rhs, outputs) = (stat5::Stat5::new(), stat5::Stat5::new());
    let differences = ClosureSystem::new(8, 9, move |at, dx| rhs.rhs(at, &mut rhs.work(), dx))
        .outputs(6, move |at, y| outputs.outputs(at, &mut outputs.work(), y));
    let x = [100.0, 50.0, 12.0, 7.0, 3.0, 20.0, 15.0, 9.0];
    let p = [0.03, 0.01, 0.006, 0.02, 0.5, 15000.0, 3.0, 6.0, 4.0];
    let at = At { t: 12.0, x: &x, u: &[], d: &[], p: &p };
    let dx = [1.0, -2.0, 0.3, 0.2, -0.1, 0.7, 0.4, -0.6];
    let compare = |what: &str, a: Vec<f64>, b: Vec<f64>| {
        let size = b.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        for (k, (a, b)) in a.iter().zip(&b).enumerate() {
            assert!((a - b).abs() <= 1e-5 * size, "{what}[{k}]: {a} {b}");
        }
    };
    let dense = |pattern: &twinc::linalg::CscPattern, values: &[f64]| {
        let mut out = vec![0.0; pattern.n_rows() * pattern.n_cols()];
        for col in 0..pattern.n_cols() {
            for (row, k) in pattern.column(col) {
                out[col * pattern.n_rows() + row] = values[k];
            }
        }
        out
    };
    let fill = |n: usize, f: &dyn Fn(&mut [f64])| {
        let mut values = vec![0.0; n];
        f(&mut values);
        values
    };
    let parts = |s: &dyn System| {
        let (jp, pp) = (s.jacobian_pattern(), s.parameter_pattern());
        let (ox, op) = s.output_patterns();
        let jacobian = fill(jp.nnz(), &|v| s.jacobian(at, &mut s.work(), v));
        let by_params = fill(pp.nnz(), &|v| s.parameter_jacobian(at, &mut s.work(), v));
        let by_time = fill(8, &|v| s.time_derivative(at, &mut s.work(), v));
        let (mut along, mut along_p) = (vec![0.0; jp.nnz()], vec![0.0; pp.nnz()]);
        s.jacobian_along(at, &dx, 0.7, &mut s.work(), &mut along, &mut along_p);
        let (mut dy_dx, mut dy_dp) = (vec![0.0; ox.nnz()], vec![0.0; op.nnz()]);
        s.output_jacobians(at, &mut s.work(), &mut dy_dx, &mut dy_dp);
        [
            dense(jp, &jacobian),
            dense(pp, &by_params),
            by_time,
            dense(jp, &along),
            dense(pp, &along_p),
            dense(ox, &dy_dx),
            dense(op, &dy_dp),
        ]
    };
    let names = ["jacobian", "by params", "by time", "jacobian along", "by params along", "dy_dx", "dy_dp"];
    for ((name, a), b) in names.iter().zip(parts(&exact)).zip(parts(&differences)) {
        compare(name, a, b);
    }
}

#[test]
fn stat5_likelihood_is_the_published_one() {
    let settings = FitSettings { rtol: 1e-8, ..FitSettings::default() };
    let Some(problem) = stat5::problem(&settings, 1e-8) else { return };
    let value = problem.evaluator(None).unwrap().value(&problem.nominal()).unwrap();
    assert!((value - 138.2220).abs() < 1e-3, "{value}");
}

/// The nominal point and two points far from it.
fn around(problem: &Problem) -> [Vec<f64>; 3] {
    let far = |shift: f64| problem.nominal().iter().map(|t| 0.8 * t + shift).collect::<Vec<_>>();
    [problem.nominal(), far(0.3), far(-0.5)]
}

/// Steps of the multistep method change in number with a parameter, and differences of its values magnify that: its
/// gradient is held against the one of Rodas5P, which differences confirm.
#[test]
fn stat5_gradient_is_the_same_by_the_multistep_method() {
    let gradients = |method| {
        let settings = FitSettings { rtol: 1e-10, method, ..FitSettings::default() };
        let problem = stat5::problem(&settings, 1e-11)?;
        let mut evaluator = problem.evaluator(None).unwrap();
        Some(around(&problem).map(|theta| {
            let mut local = Local::zeros(9);
            evaluator.evaluate(&theta, &mut local).unwrap();
            local.gradient
        }))
    };
    let (Some(by_bdf), Some(by_rodas)) = (gradients(Method::Bdf), gradients(Method::Rodas5p)) else { return };
    for (bdf, rodas) in by_bdf.iter().zip(&by_rodas) {
        let error = bdf.iter().zip(rodas).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let norm = rodas.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(error < 1e-5 * norm, "{error:e} of {norm:e}");
    }
}

/// At the nominal point and at two points far from it.
#[test]
fn stat5_gradient_equals_central_differences() {
    for method in [Method::Rodas5p, Method::Auto] {
        let settings = FitSettings { rtol: 1e-10, method, ..FitSettings::default() };
        let Some(problem) = stat5::problem(&settings, 1e-11) else { return };
        let mut evaluator = problem.evaluator(None).unwrap();
        for theta in around(&problem) {
            let mut local = Local::zeros(9);
            evaluator.evaluate(&theta, &mut local).unwrap();
            let mut at = |i: usize, h: f64| {
                let mut moved = theta.clone();
                moved[i] += h;
                evaluator.value(&moved).unwrap()
            };
            // Fourth-order differences: the truncation error of h = 0.003 is far below 1e-5 of the norm.
            let h = 3e-3;
            let difference = |i: usize, at: &mut dyn FnMut(usize, f64) -> f64| {
                (8.0 * (at(i, h) - at(i, -h)) - (at(i, 2.0 * h) - at(i, -2.0 * h))) / (12.0 * h)
            };
            let inner: Vec<usize> =
                (0..9).filter(|&i| theta[i] > (1e-5_f64).ln() + 0.01 && theta[i] < (1e5_f64).ln() - 0.01).collect();
            let error = inner.iter().map(|&i| (difference(i, &mut at) - local.gradient[i]).powi(2)).sum::<f64>().sqrt();
            let norm = local.gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            println!("{} norm {norm:.3e} error {error:.3e}", method.name());
            assert!(error < 1e-5 * norm, "{}: {error:e} of {norm:e}", method.name());
        }
    }
}
