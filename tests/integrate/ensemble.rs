//! Ensembles: members in lockstep against members by themselves, and against each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng as _;
use twinc::integrate::ensemble::{Engine, Members, Run, Solved, is_lockstep, solve};
use twinc::integrate::{Forcing, Method, Options, ProblemError, Signal, Status, Tolerance};
use twinc::jit::{Kernels, LaneKernels};
use twinc::random;
use twinc::system::{At, LaneSystem, System};

use crate::models::subject;

/// Every parameter times a number between 0.8 and 1.25.
struct Varied(Vec<f64>);

impl Members for Varied {
    fn member(&self, idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>) {
        let mut rng = random::stream(5, idx as u64);
        start.clear();
        for (value, declared) in p.iter_mut().zip(&self.0) {
            *value = declared * 1.25_f64.powf(rng.random_range(-1.0..1.0));
        }
    }
}

fn declared(kernels: &Kernels) -> Varied {
    Varied(kernels.model().params.iter().map(|p| p.value).collect())
}

fn stiff() -> Options {
    Options { method: Method::Rodas5p, ..Options::default() }
}

/// What is compared of a member.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    member: usize,
    status: Status,
    steps: u64,
    p: Vec<f64>,
    times: Vec<f64>,
    states: Vec<f64>,
    end: Vec<f64>,
}

fn keep(solved: Solved<'_>) -> Kept {
    Kept {
        member: solved.member,
        status: solved.outcome.status,
        steps: solved.outcome.statistics.steps,
        p: solved.p.to_vec(),
        times: solved.times.to_vec(),
        states: solved.states.to_vec(),
        end: solved.end.to_vec(),
    }
}

fn all(engine: Engine<'_>, run: &Run<'_>, members: &dyn Members, range: std::ops::Range<usize>) -> Vec<Kept> {
    let mut list = Vec::new();
    let (first, end) = (range.start, range.end);
    let mut deliver = |member, kept: Kept| {
        assert_eq!((member, kept.member), (first + list.len(), first + list.len()), "members come in order");
        list.push(kept);
        true
    };
    let reached = solve(engine, run, members, range, &keep, &mut deliver).expect("a valid question");
    assert_eq!(reached, end);
    list
}

fn pool(n_threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads")
}

/// Functions by slices (five of exp), one at a time (tan, atan, log10), with powers, choices and sums.
const FUNCTIONS: &str = "\
model Functions {
  time [1]
  param { a [1] = 0.7; b [1] = 1.3; c [1] = 2.1 }
  state { x [1] = 1; y [1] = 2; z [1] = 0.5 }
  x' = exp(-a * x) + exp(-b * y) + exp(-c * z) + exp(x - y) - exp(-x) - x^3 + tan(0.1 * y)
  y' = if x > y then max(x, 0.5) else min(z, abs(y)) - 2 * y / (1 + x^2)
  z' = -x - y - z + tanh(z)^b + atan(x) * log10(1 + y^2) - floor(z)
}
";

/// Values and derivatives of every lane, against the kernels for one point.
fn compare(kernels: &Kernels, width: usize) {
    let name = &kernels.model().name;
    let lanes = LaneKernels::compile(kernels, width).expect("machine code");
    let mut rng = random::stream(width as u64, 0);
    let mut draw = |n: usize| (0..n * width).map(|_| rng.random_range(-0.5..2.0)).collect::<Vec<f64>>();
    let dims = kernels.dims();
    let [x, u, d, p] = [dims.n_states, dims.n_inputs, dims.n_disturbances, dims.n_params].map(&mut draw);
    let (n, nnz) = (dims.n_states, kernels.jacobian_pattern().nnz());
    let (mut dx, mut jac) = (vec![0.0; n * width], vec![0.0; nnz * width]);
    let mut work = lanes.work();
    let at = At { t: 0.0, x: &x, u: &u, d: &d, p: &p };
    lanes.rhs(at, &mut work, &mut dx);
    lanes.jacobian(at, &mut work, &mut jac);
    for lane in 0..width {
        let of = |all: &[f64]| all.iter().skip(lane).step_by(width).copied().collect::<Vec<f64>>();
        let [x, u, d, p] = [&x, &u, &d, &p].map(|all| of(all));
        let at = At { t: 0.0, x: &x, u: &u, d: &d, p: &p };
        let (mut one_dx, mut one_jac) = (vec![0.0; n], vec![0.0; nnz]);
        kernels.rhs(at, &mut kernels.work(), &mut one_dx);
        kernels.jacobian(at, &mut kernels.work(), &mut one_jac);
        for (what, lane_values, values) in [("rhs", of(&dx), one_dx), ("jacobian", of(&jac), one_jac)] {
            assert_eq!(lane_values.len(), values.len());
            for (a, b) in lane_values.iter().zip(&values) {
                assert!(a == b || (a.is_nan() && b.is_nan()), "{name}, lane {lane} of {width}, {what}: {a} {b}");
            }
        }
    }
}

#[test]
fn lanes_have_the_bits_of_single_kernels() {
    let mut flats = vec![subject::flat_models("functions.twin", FUNCTIONS).remove(0)];
    for file in ["pollution", "repressilator", "michaelis_menten", "brusselator", "cstr", "ipsc", "hovorka", "vdpol"] {
        flats.push(subject::shipped_models(file).remove(0));
    }
    let mut n_compared = 0;
    for flat in flats {
        let kernels = subject::all_kernels(&flat, false);
        if kernels.is_autonomous() {
            [2, 4, 8].into_iter().for_each(|width| compare(&kernels, width));
            n_compared += 1;
        } else {
            assert!(LaneKernels::compile(&kernels, 4).is_err(), "{} reads the time", kernels.model().name);
        }
    }
    assert!(n_compared >= 7, "{n_compared}");
}

#[test]
fn a_member_in_lanes_is_the_member_by_itself_to_tolerance() {
    for (file, name, t1, atol) in [("pollution", "Pollution", 60.0, 1e-10), ("hires", "Hires", 100.0, 1e-10)] {
        let kernels = subject::shipped_kernels(file, name);
        let lanes = LaneKernels::compile(&kernels, 4).expect("machine code");
        let options = Options { rtol: 1e-7, atol: Tolerance::Scalar(atol), ..stiff() };
        let samples: Vec<f64> = (0..=20).map(|k| t1 * f64::from(k) / 20.0).collect();
        let forcing = Forcing::default();
        let run = Run { t0: 0.0, t1, samples: &samples, forcing: &forcing, options: &options };
        let members = declared(&kernels);
        let single = all(Engine::Single(&kernels), &run, &members, 0..30);
        let together = all(Engine::Lanes(&lanes), &run, &members, 0..30);
        for (a, b) in single.iter().zip(&together) {
            assert!(a.status.is_success() && b.status.is_success());
            assert_eq!((&a.p, &a.times), (&b.p, &b.times));
            assert_eq!(b.states[b.states.len() - b.end.len()..], b.end, "the last sample is the end");
            assert!(a.steps.abs_diff(b.steps) <= 2 + a.steps / 20, "{name}: {} and {} steps", a.steps, b.steps);
            for (x, y) in a.states.iter().zip(&b.states) {
                assert!((x - y).abs() <= 100.0 * (atol + options.rtol * x.abs()), "{name}, {}: {x} {y}", a.member);
            }
        }
    }
}

/// Every parameter times a number between 1/spread and spread, and every third member with a start value of its own.
struct Spread(Vec<f64>, f64);

impl Members for Spread {
    fn member(&self, idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>) {
        let mut rng = random::stream(11, idx as u64);
        for (value, declared) in p.iter_mut().zip(&self.0) {
            *value = declared * self.1.powf(rng.random_range(-1.0..1.0));
        }
        start.clear();
        if idx.is_multiple_of(3) {
            start.push((0, 0.7));
        }
    }
}

/// Tsit5 makes the same operations in the same order, and a member that `auto` finds stiff is started over by itself.
#[test]
fn a_member_by_tsit5_or_auto_has_the_bits_of_the_member_by_itself() {
    for (file, name, t1, spread) in [
        ("vdpol", "VanDerPol", 30.0, 8.0),
        ("repressilator", "Repressilator", 40.0, 1.3),
        ("hires", "Hires", 20.0, 1.2),
        ("pollution", "Pollution", 0.5, 1.2),
    ] {
        let kernels = subject::shipped_kernels(file, name);
        let samples: Vec<f64> = (0..=40).map(|k| t1 * f64::from(k) / 40.0).collect();
        let forcing = Forcing::default();
        let members = Spread(kernels.model().params.iter().map(|p| p.value).collect(), spread);
        let lanes = [2, 4, 8].map(|width| LaneKernels::compile(&kernels, width).expect("machine code"));
        for method in [Method::Tsit5, Method::Auto] {
            let options = Options { method, max_steps: 4_000, ..Options::default() };
            let run = Run { t0: 0.0, t1, samples: &samples, forcing: &forcing, options: &options };
            let single = all(Engine::Single(&kernels), &run, &members, 0..60);
            for lanes in &lanes {
                let together = all(Engine::Lanes(lanes), &run, &members, 0..60);
                assert!(together == single, "{name}, {method:?}, {} lanes", lanes.width());
            }
        }
    }
}

/// x' = u − k x with another u in every member.
#[test]
fn a_member_may_have_inputs_of_its_own() {
    struct Fed;
    impl Members for Fed {
        fn member(&self, _idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>) {
            p[0] = 0.5;
            start.clear();
        }
        fn inputs(&self, idx: usize, inputs: &mut Vec<(usize, f64)>) {
            inputs.clear();
            inputs.push((0, idx as f64));
        }
    }
    let text = "model Fed {\n  time [1]\n  param k [1] = 0.5\n  input feed [1] = 7\n  state x [1] = 1\n  x' = feed - k * x\n}\n";
    let flat = subject::flat_models("fed.twin", text).remove(0);
    let kernels = subject::all_kernels(&flat, false);
    let lanes = LaneKernels::compile(&kernels, 4).expect("machine code");
    let forcing = Forcing { inputs: vec![Signal::Constant(7.0)], disturbances: Vec::new() };
    for method in [Method::Tsit5, Method::Rodas5p, Method::Bdf] {
        let options = Options { method, rtol: 1e-9, ..Options::default() };
        let run = Run { t0: 0.0, t1: 3.0, samples: &[], forcing: &forcing, options: &options };
        for engine in [Engine::Single(&kernels), Engine::Lanes(&lanes)] {
            for kept in all(engine, &run, &Fed, 0..40) {
                let rest = kept.member as f64 / 0.5;
                let exact = rest + (1.0 - rest) * (-1.5_f64).exp();
                assert!(
                    (kept.end[0] - exact).abs() < 1e-6 * (1.0 + exact.abs()),
                    "{method:?}: {} {exact}",
                    kept.end[0]
                );
            }
        }
    }
}

#[test]
fn a_member_does_not_depend_on_its_company() {
    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let widths = [2, 4, 8].map(|width| LaneKernels::compile(&kernels, width).expect("machine code"));
    let (options, forcing) = (stiff(), Forcing::default());
    let run = Run { t0: 0.0, t1: 60.0, samples: &[1.0, 60.0], forcing: &forcing, options: &options };
    let members = declared(&kernels);
    let reference = all(Engine::Lanes(&widths[1]), &run, &members, 0..300);
    for lanes in &widths {
        for n_threads in [1, 2, 3] {
            let again = pool(n_threads).install(|| all(Engine::Lanes(lanes), &run, &members, 0..300));
            assert_eq!(again, reference, "{} lanes, {n_threads} threads", lanes.width());
        }
        // Other neighbors: a range that begins in the middle of a block.
        assert_eq!(all(Engine::Lanes(lanes), &run, &members, 150..211), reference[150..211]);
    }
}

/// x' = r x²: infinite at t = 1 / (r x0).
const GROWTH: &str = "model Growth {\n  time [1]\n  param r [1] = 1\n  state x [1] = 1\n  x' = r * x^2\n}\n";

struct Rates(&'static [f64]);

impl Members for Rates {
    fn member(&self, idx: usize, p: &mut [f64], start: &mut Vec<(usize, f64)>) {
        p[0] = self.0[idx % self.0.len()];
        start.clear();
        if idx % 2 == 1 {
            start.push((0, 0.5));
        }
    }
}

#[test]
fn a_member_that_blows_up_is_told_like_by_itself_and_leaves_the_others_alone() {
    let flat = subject::flat_models("growth.twin", GROWTH).remove(0);
    let kernels = subject::all_kernels(&flat, false);
    let lanes = LaneKernels::compile(&kernels, 4).expect("machine code");
    let (options, forcing) = (stiff(), Forcing::default());
    let run = Run { t0: 0.0, t1: 1.0, samples: &[0.5, 1.0], forcing: &forcing, options: &options };
    let members = Rates(&[0.3, 4.0, 0.2, 0.5, f64::NAN, 0.9, 3.0]);
    let single = all(Engine::Single(&kernels), &run, &members, 0..29);
    let together = all(Engine::Lanes(&lanes), &run, &members, 0..29);
    let mut n_failed = 0;
    for (a, b) in single.iter().zip(&together) {
        if a.status.is_success() {
            let x0 = if a.member % 2 == 1 { 0.5 } else { 1.0 };
            let exact = x0 / (1.0 - members.0[a.member % 7] * x0);
            assert!(b.status.is_success(), "{}", b.status);
            assert!((b.end[0] - exact).abs() < 1e-5 * exact, "{} {exact}", b.end[0]);
        } else {
            n_failed += 1;
            assert_eq!(format!("{:?}", a.status), format!("{:?}", b.status));
            assert_eq!(a.times, b.times);
        }
    }
    assert!(n_failed > 5 && n_failed < 25);
}

#[test]
fn a_member_with_too_many_steps_is_told_like_by_itself() {
    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let lanes = LaneKernels::compile(&kernels, 2).expect("machine code");
    let (options, forcing) = (Options { max_steps: 5, ..stiff() }, Forcing::default());
    let run = Run { t0: 0.0, t1: 60.0, samples: &[], forcing: &forcing, options: &options };
    let members = declared(&kernels);
    let list = all(Engine::Lanes(&lanes), &run, &members, 0..5);
    assert_eq!(list, all(Engine::Single(&kernels), &run, &members, 0..5));
    assert!(list.iter().all(|kept| matches!(kept.status, Status::StepLimit { .. })));
}

#[test]
fn what_lanes_cannot_do_is_done_one_at_a_time() {
    let text = "model Dosed {\n  time [1]\n  param k [1] = 0.5\n  input feed [1] = 1\n  state x [1] = 1\n  \
                x' = feed - k * x\n  at 0.5 { x += 1 }\n}\n";
    let flat = subject::flat_models("dosed.twin", text).remove(0);
    let kernels = subject::all_kernels(&flat, false);
    let lanes = LaneKernels::compile(&kernels, 4).expect("machine code");
    let options = stiff();
    let forcing = Forcing { inputs: vec![Signal::Constant(1.0)], disturbances: Vec::new() };
    let run = Run { t0: 0.0, t1: 1.0, samples: &[1.0], forcing: &forcing, options: &options };
    assert!(!is_lockstep(&kernels, &run), "it has an event");
    let members = declared(&kernels);
    assert_eq!(all(Engine::Lanes(&lanes), &run, &members, 0..9), all(Engine::Single(&kernels), &run, &members, 0..9));

    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let forcing = Forcing::default();
    let run = Run { t0: 0.0, t1: 1.0, samples: &[], forcing: &forcing, options: &options };
    assert!(is_lockstep(&kernels, &run));
    for (method, is_in_lanes) in [(Method::Tsit5, true), (Method::Auto, true), (Method::Bdf, false)] {
        let options = Options { method, ..Options::default() };
        assert_eq!(is_lockstep(&kernels, &Run { options: &options, ..run }), is_in_lanes, "{method:?}");
    }
}

#[test]
fn an_end_is_obeyed_and_a_wrong_question_told() {
    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let lanes = LaneKernels::compile(&kernels, 4).expect("machine code");
    let members = declared(&kernels);
    let flag = Arc::new(AtomicBool::new(false));
    let options = Options { interrupt: Some(flag.clone()), ..stiff() };
    let forcing = Forcing::default();
    let run = Run { t0: 0.0, t1: 60.0, samples: &[], forcing: &forcing, options: &options };
    let until = |most: usize, run: &Run<'_>| {
        let mut n = 0;
        let mut deliver = |_, _: ()| {
            n += 1;
            n <= most
        };
        solve(Engine::Lanes(&lanes), run, &members, 0..500, &|_| (), &mut deliver)
    };
    assert_eq!(until(77, &run), Ok(77));
    flag.store(true, Ordering::Relaxed);
    assert_eq!(until(500, &run), Ok(0));
    flag.store(false, Ordering::Relaxed);
    let wrong = Run { samples: &[61.0], ..run };
    assert!(matches!(until(500, &wrong), Err(ProblemError::Samples { .. })));
}
