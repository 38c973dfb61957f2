//! No step loop of a compiled model allocates, for one system or for members in lockstep.

use twinc::integrate::ensemble::{self, Engine, Members, Run};
use twinc::integrate::{Direction, Forcing, Integrator, Method, Options, Problem, Sample, Start};
use twinc::jit::LaneKernels;

use super::solve::allocations;
use crate::models::subject;

/// Allocations of this thread during `call`.
fn during<R>(call: impl FnOnce() -> R) -> (u64, R) {
    let before = allocations();
    let result = call();
    (allocations() - before, result)
}

#[test]
fn the_allocator_counts() {
    assert_eq!(during(|| std::hint::black_box(vec![1, 2, 3])).0, 1);
}

/// The first solve sizes the buffers; a second one has nothing left to ask for, however many steps it makes.
#[test]
fn a_step_does_not_allocate() {
    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    kernels.prepare(twinc::jit::Needs::of(&twinc::jit::Part::ALL)).expect("machine code");
    let forcing = Forcing::default();
    let some: Vec<Direction> = (0..3).map(Direction::parameter).collect();
    for directions in [&[][..], &some] {
        for (method, t1) in [
            (Method::Tsit5, 1e-9),
            (Method::Dop853, 1e-9),
            (Method::Rodas5p, 60.0),
            (Method::Bdf, 60.0),
            (Method::Auto, 60.0),
        ] {
            let problem =
                Problem { t0: 0.0, t1, start: Start::Model, p: &p, forcing: &forcing, directions, resumes: false };
            let samples: Vec<f64> = (0..=50).map(|k| t1 * f64::from(k) / 50.0).collect();
            let mut integrator = Integrator::new(&kernels, Options { method, ..Options::default() }).expect("options");
            let mut sum = 0.0;
            let mut solve = || {
                let mut observe = |sample: Sample<'_>| sum += sample.at.x[0];
                integrator.solve(&problem, &samples, &mut observe).expect("a valid question")
            };
            assert!(solve().status.is_success());
            let (count, outcome) = during(solve);
            assert!(outcome.statistics.steps > 15, "{method:?}: {:?}", outcome.statistics);
            assert_eq!(count, 0, "{method:?}, {} directions, {:?}", directions.len(), outcome.statistics);
        }
    }
}

struct Same<'a>(&'a [f64]);

impl Members for Same<'_> {
    fn member(&self, _idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>) {
        p.copy_from_slice(self.0);
        start.clear();
    }
}

/// What an ensemble allocates does not grow with its steps.
#[test]
fn members_in_lockstep_do_not_allocate_in_steps() {
    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let lanes = LaneKernels::compile(&kernels, 4).expect("machine code");
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    let (forcing, options) = (Forcing::default(), Options { method: Method::Rodas5p, ..Options::default() });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let count = |t1: f64| {
        let run = Run { t0: 0.0, t1, samples: &[0.5 * t1, t1], forcing: &forcing, options: &options };
        let mut steps = 0;
        let mut deliver = |_, n| {
            steps += n;
            true
        };
        let mut solve = || {
            let summarize = |solved: ensemble::Solved<'_>| solved.outcome.statistics.steps;
            ensemble::solve(Engine::Lanes(&lanes), &run, &Same(&p), 0..40, &summarize, &mut deliver)
        };
        let (count, end) = pool.install(|| during(&mut solve));
        assert_eq!(end, Ok(40));
        (count, steps)
    };
    let _first = count(1e-6);
    let (few, few_steps) = count(1e-6);
    let (many, many_steps) = count(60.0);
    assert!(many_steps > 5 * few_steps, "{few_steps} and {many_steps} steps");
    assert_eq!(few, many, "{few_steps} and {many_steps} steps");
}
