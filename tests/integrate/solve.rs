//! What holds for every solve: same bytes, no allocation between start and end, and a status for every ending.

use super::dual_system::{Number, Rhs, system};
use super::{assert_success, solve};
use std::alloc::{GlobalAlloc, Layout, System as Malloc};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use twinc::integrate::{
    Direction, Forcing, Integrator, Method, Options, Problem, ProblemError, Sample, Start, Status, Tolerance,
};
use twinc::linalg::CscPattern;
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, Trigger};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; the counter is a plain thread-local cell that
// neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's guarantees are those of the system's allocator.
        unsafe { Malloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { Malloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { Malloc.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread so far.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// A chain of `n` species with quadratic exchange between neighbours, a dose every time unit and a threshold.
fn chain(n: usize) -> ClosureSystem {
    let entries = (0..n).flat_map(|c| (c.saturating_sub(1)..(c + 2).min(n)).map(move |r| (r, c)));
    let pattern = CscPattern::from_entries(n, n, entries);
    let (jac_pattern, along_pattern) = (pattern.clone(), pattern.clone());
    // d/dx of p (x_{i-1}² - 2 x_i² + x_{i+1}²), and its derivative along dx, have the same shape.
    let fill = |pattern: &CscPattern, p: f64, x: &[f64], values: &mut [f64]| {
        for (col, slope) in x.iter().enumerate() {
            pattern.column(col).for_each(|(row, k)| values[k] = 2.0 * p * slope * if row == col { -2.0 } else { 1.0 });
        }
    };
    let rate = |x: &[f64], i: usize| {
        let square = |i: usize| x.get(i).map_or(0.0, |v| v * v);
        square(i.wrapping_sub(1)) - 2.0 * square(i) + square(i + 1)
    };
    ClosureSystem::new(n, 1, move |at, dx| dx.iter_mut().enumerate().for_each(|(i, d)| *d = at.p[0] * rate(at.x, i)))
        .autonomous()
        .jacobian(pattern, move |at, values| fill(&jac_pattern, at.p[0], at.x, values))
        .parameter_jacobian(CscPattern::dense(n, 1), move |at, values| {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = rate(at.x, i));
        })
        .jacobian_along(move |at, dx, _, jac, par| {
            fill(&along_pattern, at.p[0], dx, jac);
            let side = |i: usize| at.x.get(i).map_or(0.0, |v| 2.0 * v * dx[i]);
            par.iter_mut().enumerate().for_each(|(i, v)| *v = side(i.wrapping_sub(1)) - 2.0 * side(i) + side(i + 1));
        })
        .initial(|at, x| x.iter_mut().enumerate().for_each(|(i, x)| *x = 1.0 + at.p[0] * (i % 3) as f64))
        .times(1, |_, times| times[0] = 1.0)
        .roots(1, |at, g| g[0] = at.x[0] - 1.5)
        .event(Event { trigger: Trigger::Every { from_idx: 0, period_idx: 0, until_idx: None }, has_reset: true })
        .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
        .reset(|which, at, x| {
            x.copy_from_slice(at.x);
            if which == [0] {
                x[0] += 1.0
            } else {
                x[0] *= 0.5
            }
            Ok(())
        })
}

#[test]
fn a_second_solve_does_not_allocate() {
    let forcing = Forcing::default();
    let directions = [Direction::parameter(0), Direction::start_value(1)];
    let samples: Vec<f64> = (0..40).map(|k| 0.1 * k as f64).collect();
    for (method, n) in [
        (Method::Tsit5, 5),
        (Method::Dop853, 5),
        (Method::Rodas5p, 5),
        (Method::Bdf, 5),
        (Method::Auto, 5),
        (Method::Rodas5p, 100),
        (Method::Bdf, 100),
        (Method::Rk4, 5),
    ] {
        let fixed_step = (method == Method::Rk4).then_some(0.01);
        let system = chain(n);
        for directions in [&directions[..], &[]] {
            let options = Options { method, rtol: 1e-8, fixed_step, ..Options::default() };
            let mut integrator = Integrator::new(&system, options).expect("valid options");
            let problem = Problem {
                t0: 0.0,
                t1: 4.0,
                start: Start::Model,
                p: &[0.3],
                forcing: &forcing,
                directions,
                resumes: false,
            };
            let mut sum = 0.0;
            let mut counts = [0; 2];
            for count in &mut counts {
                let before = allocations();
                let outcome =
                    integrator.solve(&problem, &samples, &mut |s: Sample<'_>| sum += s.at.x[0]).expect("valid problem");
                *count = allocations() - before;
                assert_success(&outcome);
                assert!(outcome.statistics.events >= 4 && outcome.statistics.steps > 20);
            }
            assert!(sum.is_finite());
            // The first solve sizes the buffers, and faer the factors; nothing depends on the number of steps.
            assert!(counts[0] < 100, "{method:?}, n = {n}: {counts:?} allocations");
            // The closures' differences of resets, roots and times use the scratch.
            assert_eq!(counts[1], 0, "{method:?}, n = {n}, {} directions: {counts:?}", directions.len());
        }
    }
}

#[test]
fn the_same_solve_gives_the_same_bytes_whatever_came_before() {
    let system = chain(6);
    let forcing = Forcing::default();
    let directions = [Direction::parameter(0)];
    let samples: Vec<f64> = (0..30).map(|k| 0.13 * k as f64).collect();
    for method in [Method::Auto, Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Bdf] {
        let bits = |integrator: &mut Integrator<'_>, p: f64| {
            let mut bits = Vec::new();
            let problem = Problem {
                t0: 0.0,
                t1: 4.0,
                start: Start::Model,
                p: &[p],
                forcing: &forcing,
                directions: &directions,
                resumes: false,
            };
            let outcome = integrator
                .solve(&problem, &samples, &mut |s: Sample<'_>| {
                    bits.extend(s.at.x.iter().chain(s.sensitivities).map(|v| v.to_bits()));
                })
                .expect("valid problem");
            (bits, outcome)
        };
        let options = Options { method, ..Options::default() };
        let mut fresh = Integrator::new(&system, options.clone()).expect("valid options");
        let first = bits(&mut fresh, 0.7);
        let mut used = Integrator::new(&system, options).expect("valid options");
        // A stiff solve and one that fails leave nothing behind.
        bits(&mut used, 300.0);
        bits(&mut used, f64::NAN);
        assert_eq!(bits(&mut used, 0.7), first, "{method:?}");
    }
}

#[test]
fn a_solution_that_blows_up_says_where() {
    // x' = x², x0 = 1 ends at t = 1.
    let system = ClosureSystem::new(1, 0, |at, dx| dx[0] = at.x[0] * at.x[0]).autonomous();
    for method in [Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Bdf, Method::Auto] {
        let options = Options { method, ..Options::default() };
        let (outcome, x, _) = solve(&system, options, (0.0, 2.0), Start::Given(&[1.0]), &[], &[], &[0.5, 1.5]);
        assert_eq!(x.len(), 1, "the sample after the end is not reported");
        match outcome.status {
            Status::StepSizeUnderflow { t, worst_state: 0 } | Status::NonFinite { t, state: 0 } => {
                assert!((t - 1.0).abs() < 1e-3, "{t}")
            }
            other => panic!("{method:?}: {other}"),
        }
    }
}

#[test]
fn every_ending_has_its_status() {
    #[derive(Clone)]
    struct Root;
    impl Rhs for Root {
        fn f<D: Number>(&self, _t: D, x: &[D], _u: &[D], _p: &[D], dx: &mut [D]) {
            dx[0] = (-x[0] + 1.0).ln();
            dx[1] = D::from(-1.0);
        }
    }
    let root = system(Root, 2, 0, None).autonomous();
    let given = Start::Given(&[1.5, 0.0]);
    let at_start = solve(&root, Options::default(), (0.0, 1.0), given, &[], &[], &[]).0;
    assert_eq!(at_start.status, Status::NonFinite { t: 0.0, state: 0 });

    let decay = ClosureSystem::new(1, 0, |at, dx| dx[0] = -at.x[0]).autonomous();
    let few = Options { max_steps: 3, max_step: 0.1, ..Options::default() };
    let limited = solve(&decay, few, (0.0, 1.0), Start::Given(&[1.0]), &[], &[], &[]).0;
    assert!(
        matches!(limited.status, Status::StepLimit { t, worst_state: 0 } if t > 0.0 && t < 0.3),
        "{}",
        limited.status
    );

    let interrupt = Arc::new(AtomicBool::new(true));
    let stopped = Options { interrupt: Some(interrupt), ..Options::default() };
    let outcome = solve(&decay, stopped, (0.0, 1.0), Start::Given(&[1.0]), &[], &[], &[]).0;
    assert_eq!(outcome.status, Status::Interrupted { t: 0.0 });
}

#[test]
fn mistakes_of_the_caller_are_errors() {
    let decay = ClosureSystem::new(1, 1, |at, dx| dx[0] = -at.p[0] * at.x[0]).autonomous();
    let forcing = Forcing::default();
    let good = Problem {
        t0: 0.0,
        t1: 1.0,
        start: Start::Model,
        p: &[1.0],
        forcing: &forcing,
        directions: &[],
        resumes: false,
    };
    let mut integrator = Integrator::new(&decay, Options::default()).expect("valid options");
    let mut ask = |problem: Problem<'_>, samples: &[f64]| integrator.solve(&problem, samples, &mut |_: Sample<'_>| {});
    assert!(ask(good, &[0.0, 1.0]).is_ok());
    assert!(matches!(ask(good, &[0.5, 0.4]), Err(ProblemError::Samples { index: 1, .. })));
    assert!(matches!(ask(good, &[1.5]), Err(ProblemError::Samples { index: 0, .. })));
    assert!(matches!(ask(Problem { p: &[], ..good }, &[]), Err(ProblemError::Length { .. })));
    assert!(matches!(ask(Problem { t1: -1.0, ..good }, &[]), Err(ProblemError::Range { .. })));
    assert!(matches!(ask(Problem { t1: f64::NAN, ..good }, &[]), Err(ProblemError::Range { .. })));
    assert!(matches!(
        ask(Problem { start: Start::Overrides(&[(3, 0.0)]), ..good }, &[]),
        Err(ProblemError::Index { .. })
    ));
    let refused = |options: Options| Integrator::new(&decay, options).err();
    assert!(matches!(
        refused(Options { method: Method::Euler, ..Options::default() }),
        Some(ProblemError::NoStep { .. })
    ));
    let many = Options { atol: Tolerance::PerState(vec![1e-6; 2]), ..Options::default() };
    assert!(matches!(refused(many), Some(ProblemError::Length { .. })));
    let nan = Options { rtol: f64::NAN, ..Options::default() };
    assert!(matches!(refused(nan), Some(ProblemError::Range { .. })));
}

#[test]
fn a_system_without_states_is_sampled() {
    let system = ClosureSystem::new(0, 0, |_, _| {}).autonomous();
    for method in [Method::Auto, Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Bdf] {
        let options = Options { method, ..Options::default() };
        let (outcome, x, _) = solve(&system, options, (0.0, 2.0), Start::Model, &[], &[], &[0.0, 1.0, 2.0]);
        assert_success(&outcome);
        assert_eq!(x.len(), 3);
    }
}

#[test]
fn linear_systems_are_solved_to_the_tolerance() {
    // A rotation with decay: x = exp(-t/10) (cos 3t, sin 3t).
    let system = ClosureSystem::new(2, 0, |at, dx| {
        dx[0] = -0.1 * at.x[0] - 3.0 * at.x[1];
        dx[1] = 3.0 * at.x[0] - 0.1 * at.x[1];
    })
    .autonomous();
    let samples: Vec<f64> = (0..=100).map(|k| 0.1 * k as f64).collect();
    for method in [Method::Tsit5, Method::Dop853, Method::Rodas5p, Method::Bdf, Method::Auto] {
        for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
            let options = Options { method, rtol, atol: Tolerance::Scalar(rtol), ..Options::default() };
            let (outcome, x, _) = solve(&system, options, (0.0, 10.0), Start::Given(&[1.0, 0.0]), &[], &[], &samples);
            assert_success(&outcome);
            for (t, x) in samples.iter().zip(&x) {
                let size = (-0.1 * t).exp();
                let error = (x[0] - size * (3.0 * t).cos()).abs().max((x[1] - size * (3.0 * t).sin()).abs());
                // The errors of many multistep steps add up along a rotation.
                let most = if method == Method::Bdf { 0.3 * outcome.statistics.steps as f64 } else { 20.0 };
                assert!(error < most * rtol, "{method:?} at rtol {rtol}, t = {t}: {error:e}");
            }
        }
    }
}
