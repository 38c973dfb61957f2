//! Memory and threads.

use std::sync::Arc;

use super::models;
use twinc::jit::{Compiler, Kernels, Needs, Options, Part, Plan, PlanOptions};
use twinc::system::{At, System, Work};

/// Resident bytes of this process.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// In a process of its own, since other tests allocate beside.
#[test]
#[cfg(target_os = "linux")]
fn thousands_of_compilations_do_not_leak() {
    let name = "jit::life::compile_and_drop_in_a_process_of_its_own";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let grown = text.lines().find_map(|line| line.split_once("grew by ")).expect("the child says how much it grew").1;
    let grown: usize = grown.trim().parse().unwrap();
    // Each compilation maps at least one page of code: leaking only that would be 12 MB.
    assert!(grown < 2 << 20, "grew by {grown} bytes");
}

#[test]
#[ignore = "run by thousands_of_compilations_do_not_leak"]
#[cfg(target_os = "linux")]
fn compile_and_drop_in_a_process_of_its_own() {
    let model = models::rich();
    let cycle = |n: usize| {
        let compiler = Compiler::new().unwrap();
        let rhs: Vec<_> = model.states.iter().map(|s| s.rhs).collect();
        for _ in 0..n {
            let plan = Plan::new(&model.dag, &rhs, &PlanOptions::default());
            drop(compiler.compile(&[plan]).unwrap());
        }
    };
    cycle(200);
    let before = resident();
    cycle(3_000);
    println!("grew by {}", resident().saturating_sub(before));
}

#[test]
fn kernels_outlive_their_compiler_and_each_other() {
    let model = models::rich();
    let rhs: Vec<_> = model.states.iter().map(|s| s.rhs).collect();
    let plans = [
        Plan::new(&model.dag, &rhs[..1], &PlanOptions::default()),
        Plan::new(&model.dag, &rhs, &PlanOptions::default()),
    ];
    let mut kernels = Compiler::new().unwrap().compile(&plans).unwrap();
    let whole = kernels.pop().unwrap();
    let at = At { t: 0.5, x: &[1.0, 2.0, 3.0, 1.0], u: &[0.5], d: &[0.25], p: &[1.0, 2.0, 3.0] };
    let (mut first, mut all) = ([0.0], [0.0; 4]);
    kernels[0].call(at, &mut Work::default(), &mut first);
    drop(kernels);
    whole.call(at, &mut Work::default(), &mut all);
    assert_eq!(first[0], all[0]);
}

#[test]
fn concurrent_calls_equal_serial_ones() {
    let n = 300;
    let kernels = Arc::new(Kernels::compile(models::chain(n), &Options::default()).unwrap());
    let p: Vec<f64> = (0..2 * n).map(|k| 0.5 + f64::from(k % 7)).collect();
    let point = |seed: u32| -> Vec<f64> { (0..n).map(|k| 0.1 + f64::from((k * 31 + seed) % 101)).collect() };
    let evaluate = |kernels: &Kernels, seed: u32| {
        let x = point(seed);
        let at = At { t: 0.0, x: &x, u: &[], d: &[], p: &p };
        let mut work = kernels.work();
        let mut dx = vec![0.0; n as usize];
        let mut values = vec![0.0; kernels.jacobian_pattern().nnz()];
        kernels.rhs(at, &mut work, &mut dx);
        kernels.jacobian(at, &mut work, &mut values);
        dx.extend(values);
        dx
    };
    // The Jacobian is compiled by whichever thread comes first.
    let concurrent: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|seed| {
                scope.spawn({
                    let kernels = &kernels;
                    move || evaluate(kernels, seed)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for (seed, got) in concurrent.iter().enumerate() {
        assert_eq!(*got, evaluate(&kernels, seed as u32));
    }
}

#[test]
fn large_models_equal_the_interpreter() {
    let n = 10_000;
    let model = models::chain(n);
    let kernels = Kernels::compile(model.clone(), &Options::default()).unwrap();
    let x: Vec<f64> = (0..n).map(|k| 0.1 + f64::from(k % 13)).collect();
    let p: Vec<f64> = (0..2 * n).map(|k| 0.5 + f64::from(k % 7)).collect();
    let roots: Vec<_> = model.states.iter().map(|s| s.rhs).collect();
    let env = twinc::expr::Env { t: 0.0, x: &x, u: &[], d: &[], p: &p, dx: &[], dt: 0.0 };
    let want = twinc::expr::Interpreter::new(&model.dag, &roots).values(&env);
    let mut dx = vec![0.0; n as usize];
    kernels.rhs(At { t: 0.0, x: &x, u: &[], d: &[], p: &p }, &mut kernels.work(), &mut dx);
    // No elementary functions: bit for bit without strict math.
    assert_eq!(dx, want);
}

#[test]
fn prepare_compiles_once_and_says_what() {
    let kernels = Kernels::compile(models::rich(), &Options::default()).unwrap();
    kernels.prepare(Needs::SIMULATION | Needs::STIFF).unwrap();
    kernels.prepare(Needs::SIMULATION).unwrap();
    let parts: Vec<Vec<Part>> = kernels.timings().into_iter().map(|t| t.parts).collect();
    let want = [
        Part::Jacobian,
        Part::TimeDerivative,
        Part::InitialState,
        Part::Outputs,
        Part::Times,
        Part::Roots,
        Part::Jumps,
    ];
    assert_eq!(parts, [vec![Part::Rhs], want.to_vec()]);
    assert!(kernels.dims().n_scratch > 0);
}

/// The code reads and writes without looking: what it may touch is checked before.
#[test]
fn slices_that_are_too_short_are_a_panic_and_not_a_read_beyond() {
    let model = models::rich();
    let rhs: Vec<_> = model.states.iter().map(|s| s.rhs).collect();
    let plan = Plan::new(&model.dag, &rhs, &PlanOptions::default());
    let kernel = Compiler::new().unwrap().compile(&[plan]).unwrap().remove(0);
    let lengths = [model.states.len(), model.inputs.len(), model.disturbances.len(), model.params.len(), rhs.len()];
    let call = |lengths: [usize; 5]| {
        let [x, u, d, p, mut out] = lengths.map(|n| vec![1.0; n]);
        let at = At { t: 0.0, x: &x, u: &u, d: &d, p: &p };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            kernel.call(at, &mut Work::default(), &mut out);
        }));
        outcome.err().map(|cause| (*cause.downcast::<&str>().expect("a text")).to_owned())
    };
    assert_eq!(call(lengths), None);
    let told = Some("a slice is shorter than what the kernel reads or writes".to_owned());
    for (k, &length) in lengths.iter().enumerate() {
        assert!(length > 0, "the model uses slice {k}");
        let mut short = lengths;
        short[k] = 0;
        assert_eq!(call(short), told, "slice {k}");
        short[k] = 10 * length;
        assert_eq!(call(short), None, "longer is fine");
    }
    let mut short = lengths;
    short[4] -= 1;
    assert_eq!(call(short), told, "one too few");
}
