//! Work-precision of the integrators.
//!
//! `cargo bench --bench solvers` prints for classical problems the error at the end against tolerance, steps and time.
//! Times are the best of several runs. The linear solvers have their own bench, `linear`. `cargo bench --bench solvers --
//! stiff [PROBLEM [METHODS [EXPONENTS]]]` prints the table of `stiff` instead, where `TWINC_REFERENCE_DIR` names the folder
//! of the reference values.

mod clock;
mod stiff;

use std::time::Instant;
use twinc::integrate::{Direction, Forcing, Integrator, Method, Options, Problem, Sample, Start, Tolerance};
use twinc::linalg::CscPattern;
use twinc::system::System;
use twinc::system::closure::ClosureSystem;

/// The best time of one call in microseconds.
fn best(mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let mut count = 0;
        let start = Instant::now();
        while count < 3 || start.elapsed().as_secs_f64() < 0.02 {
            call();
            count += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(count));
    }
    best * 1e6
}

/// Robertson's kinetics; p = (k1, k2, k3).
fn robertson() -> ClosureSystem {
    let pattern = CscPattern::from_entries(3, 3, [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2)]);
    let by_params = CscPattern::from_entries(3, 3, [(0, 0), (1, 0), (1, 1), (2, 1), (0, 2), (1, 2)]);
    ClosureSystem::new(3, 3, |at, dx| {
        let (x, p) = (at.x, at.p);
        let (r1, r2, r3) = (p[0] * x[0], p[1] * x[1] * x[1], p[2] * x[1] * x[2]);
        dx.copy_from_slice(&[r3 - r1, r1 - r2 - r3, r2]);
    })
    .autonomous()
    .jacobian(pattern, |at, values| {
        let (x, p) = (at.x, at.p);
        let (a, b, c) = (2.0 * p[1] * x[1], p[2] * x[2], p[2] * x[1]);
        values.copy_from_slice(&[-p[0], p[0], b, -a - b, a, c, -c]);
    })
    .parameter_jacobian(by_params, |at, values| {
        let x = at.x;
        let (r2, r3) = (x[1] * x[1], x[1] * x[2]);
        values.copy_from_slice(&[-x[0], x[0], -r2, r2, r3, -r3]);
    })
    .jacobian_along(|at, dx, _, jac, par| {
        let (x, p) = (at.x, at.p);
        let (a, b, c) = (2.0 * p[1] * dx[1], p[2] * dx[2], p[2] * dx[1]);
        jac.copy_from_slice(&[0.0, 0.0, b, -a - b, a, c, -c]);
        let (r2, r3) = (2.0 * x[1] * dx[1], x[1] * dx[2] + x[2] * dx[1]);
        par.copy_from_slice(&[-dx[0], dx[0], -r2, r2, r3, -r3]);
    })
}

/// The Brusselator of Hairer and Wanner in `cells` cells.
fn brusselator(cells: usize) -> (ClosureSystem, Vec<f64>) {
    let n = 2 * cells;
    let diffusion = 0.02 * ((cells + 1) * (cells + 1)) as f64;
    let entries = (0..cells).flat_map(|i| {
        let (u, v) = (2 * i, 2 * i + 1);
        let near = [i.checked_sub(1), (i + 1 < cells).then_some(i + 1)].into_iter().flatten();
        near.flat_map(move |j| [(u, 2 * j), (v, 2 * j + 1)]).chain([(u, u), (u, v), (v, u), (v, v)])
    });
    let pattern = CscPattern::from_entries(n, n, entries);
    let (jac_pattern, along_pattern) = (pattern.clone(), pattern.clone());
    let system = ClosureSystem::new(n, 0, move |at, dx| {
        let y = at.x;
        for i in 0..cells {
            let (u, v) = (y[2 * i], y[2 * i + 1]);
            let (u_left, v_left) = if i > 0 { (y[2 * i - 2], y[2 * i - 1]) } else { (1.0, 3.0) };
            let (u_right, v_right) = if i + 1 < cells { (y[2 * i + 2], y[2 * i + 3]) } else { (1.0, 3.0) };
            let r = u * u * v;
            dx[2 * i] = 1.0 + r - 4.0 * u + diffusion * (u_left - 2.0 * u + u_right);
            dx[2 * i + 1] = 3.0 * u - r + diffusion * (v_left - 2.0 * v + v_right);
        }
    })
    .autonomous()
    .jacobian(pattern, move |at, values| {
        values.fill(diffusion);
        for i in 0..cells {
            let (u, v) = (at.x[2 * i], at.x[2 * i + 1]);
            let block = [
                (0, 0, 2.0 * u * v - 4.0 - 2.0 * diffusion),
                (0, 1, u * u),
                (1, 0, 3.0 - 2.0 * u * v),
                (1, 1, -u * u - 2.0 * diffusion),
            ];
            for (r, c, value) in block {
                if let Some(k) = jac_pattern.position(2 * i + r, 2 * i + c) {
                    values[k] = value;
                }
            }
        }
    })
    .jacobian_along(move |at, dx, _, jac, _| {
        jac.fill(0.0);
        for i in 0..cells {
            let (u, v, du, dv) = (at.x[2 * i], at.x[2 * i + 1], dx[2 * i], dx[2 * i + 1]);
            let (a, b) = (2.0 * (u * dv + v * du), 2.0 * u * du);
            for (r, c, value) in [(0, 0, a), (0, 1, b), (1, 0, -a), (1, 1, -b)] {
                if let Some(k) = along_pattern.position(2 * i + r, 2 * i + c) {
                    jac[k] = value;
                }
            }
        }
    });
    let y0 =
        (1..=cells).flat_map(|i| [1.0 + (std::f64::consts::TAU * i as f64 / (cells + 1) as f64).sin(), 3.0]).collect();
    (system, y0)
}

fn lotka_volterra() -> ClosureSystem {
    ClosureSystem::new(2, 0, |at, dx| {
        let (prey, predator) = (at.x[0], at.x[1]);
        dx.copy_from_slice(&[1.5 * prey - prey * predator, prey * predator - 3.0 * predator]);
    })
    .autonomous()
    .jacobian(CscPattern::dense(2, 2), |at, values| {
        values.copy_from_slice(&[1.5 - at.x[1], at.x[1], -at.x[0], at.x[0] - 3.0]);
    })
}

struct Case<'a> {
    name: &'static str,
    system: &'a dyn System,
    x0: &'a [f64],
    p: &'a [f64],
    t1: f64,
    /// Absolute over relative tolerance.
    atol: f64,
    directions: &'a [Direction],
    methods: &'a [Method],
}

fn work_precision(case: &Case<'_>) {
    let forcing = Forcing::default();
    let problem = Problem {
        t0: 0.0,
        t1: case.t1,
        start: Start::Given(case.x0),
        p: case.p,
        forcing: &forcing,
        directions: case.directions,
        resumes: false,
    };
    let end = |method: Method, rtol: f64, timed: bool| {
        let options = Options { method, rtol, atol: Tolerance::Scalar(case.atol * rtol), ..Options::default() };
        let mut integrator = Integrator::new(case.system, options).expect("valid options");
        let mut x = Vec::new();
        let mut outcome = None;
        let mut call = || {
            x.clear();
            let mut keep = |s: Sample<'_>| x.extend(s.at.x.iter().chain(s.sensitivities));
            outcome = Some(integrator.solve(&problem, &[case.t1], &mut keep).expect("valid problem"));
        };
        let time = if timed {
            best(call)
        } else {
            call();
            0.0
        };
        let outcome = outcome.expect("solved");
        assert!(outcome.status.is_success(), "{}: {}", case.name, outcome.status);
        (x, outcome.statistics, time)
    };
    let truth = end(*case.methods.last().expect("a method"), 1e-12, false).0;
    for &method in case.methods {
        for exponent in 3..=10 {
            let rtol = 10.0_f64.powi(-exponent);
            let (x, statistics, time) = end(method, rtol, true);
            let size = |b: f64| b.abs() + case.atol;
            let error = x.iter().zip(&truth).map(|(a, b): (&f64, &f64)| (a - b).abs() / size(*b)).fold(0.0, f64::max);
            println!(
                "{:<28} {:<8} {rtol:>8.0e} {error:>10.1e} {:>7} {:>5} {time:>11.1}",
                case.name,
                method.name(),
                statistics.steps,
                statistics.rejected,
            );
        }
    }
}

/// The words after `stiff`: part of a problem's name, methods and exponents of rtol, each separated by commas.
fn stiff_table(words: &[String]) {
    let word = |k: usize, default: &str| words.get(k).map_or(default.to_owned(), Clone::clone);
    let methods: Vec<Method> = word(1, "bdf,rodas5p").split(',').filter_map(Method::from_name).collect();
    let exponents: Vec<i32> = word(2, "6").split(',').filter_map(|e| e.parse().ok()).collect();
    stiff::table(&word(0, ""), &methods, &exponents);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let Some(("stiff", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return stiff_table(rest);
    }
    println!(
        "{:<28} {:<8} {:>8} {:>10} {:>7} {:>5} {:>11}",
        "problem", "method", "rtol", "error", "steps", "rej", "us"
    );
    let robertson = robertson();
    let (large, y0) = brusselator(200);
    let (small, small_y0) = brusselator(4);
    let starts: Vec<Direction> = (0..8).map(Direction::start_value).collect();
    let lotka_volterra = lotka_volterra();
    let p = [0.04, 3e7, 1e4];
    let directions: Vec<Direction> =
        (0..3).map(|i| Direction { params: vec![(i, p[i])], ..Direction::default() }).collect();
    let stiff = [Method::Auto, Method::Rodas5p];
    let cases = [
        Case {
            name: "Robertson to 1e4",
            system: &robertson,
            x0: &[1.0, 0.0, 0.0],
            p: &p,
            t1: 1e4,
            atol: 1e-6,
            directions: &[],
            methods: &stiff,
        },
        Case {
            name: "Robertson, 3 sensitivities",
            system: &robertson,
            x0: &[1.0, 0.0, 0.0],
            p: &p,
            t1: 1e4,
            atol: 1e-6,
            directions: &directions,
            methods: &stiff,
        },
        Case {
            name: "Brusselator, 200 cells",
            system: &large,
            x0: &y0,
            p: &[],
            t1: 10.0,
            atol: 1.0,
            directions: &[],
            methods: &stiff,
        },
        Case {
            name: "Brusselator, 4 cells, 8 sens.",
            system: &small,
            x0: &small_y0,
            p: &[],
            t1: 10.0,
            atol: 1.0,
            directions: &starts,
            methods: &stiff,
        },
        Case {
            name: "Lotka-Volterra",
            system: &lotka_volterra,
            x0: &[1.0, 1.0],
            p: &[],
            t1: 10.0,
            atol: 1.0,
            directions: &[],
            methods: &[Method::Rodas5p, Method::Tsit5],
        },
    ];
    for case in &cases {
        work_precision(case);
    }
}
