//! What a kernel costs: the Pollution right-hand side (Verwer 1994; 20 species, 25 reactions) against the same
//! equations in Rust, and the time to compile chains of reactions.
//!
//! `cargo bench --bench kernels` prints the table; with `-- --check` it fails where the kernel costs more than 1.3
//! times the Rust function or compile time grows faster than size^1.1. Ratios are of the fastest of many interleaved
//! rounds, which a busy machine disturbs least.

#[path = "../tests/jit/models.rs"]
mod models;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use twinc::expr::{Dag, Leaf, NodeId};
use twinc::flat::FlatModel;
use twinc::jit::math::SliceFunction;
use twinc::jit::{Compiler, Kernels, Needs, Options, Plan, PlanOptions};
use twinc::system::{At, Work};

const LARGEST_RATIO: f64 = 1.3;
const LARGEST_EXPONENT: f64 = 1.1;

/// Reactants (1-based species) of each rate.
const RATES: [&[usize]; 25] = [
    &[1],
    &[2, 4],
    &[5, 2],
    &[7],
    &[7],
    &[7, 6],
    &[9],
    &[9, 6],
    &[11, 2],
    &[11, 1],
    &[13],
    &[10, 2],
    &[14],
    &[1, 6],
    &[3],
    &[4],
    &[4],
    &[16],
    &[16],
    &[17, 6],
    &[19],
    &[19],
    &[1, 4],
    &[19, 1],
    &[20],
];

/// Signed rates of each species' equation; a repeated rate counts twice.
const ROWS: [&[i32]; 20] = [
    &[-1, -10, -14, -23, -24, 2, 3, 9, 11, 12, 22, 25],
    &[-2, -3, -9, -12, 1, 21],
    &[-15, 1, 17, 19, 22],
    &[-2, -16, -17, -23, 15],
    &[-3, 4, 4, 6, 7, 13, 20],
    &[-6, -8, -14, -20, 3, 18, 18],
    &[-4, -5, -6, 13],
    &[4, 5, 6, 7],
    &[-7, -8],
    &[-12, 7, 9],
    &[-9, -10, 8, 11],
    &[9],
    &[-11, 10],
    &[-13, 12],
    &[14],
    &[-18, -19, 16],
    &[-20],
    &[20],
    &[-21, -22, -24, 23, 25],
    &[-25, 24],
];

const CONSTANTS: [f64; 25] = [
    0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 0.022, 1.2e4, 1.88, 1.63e4, 4.8e6, 3.5e-4,
    0.0175, 1e8, 4.44e11, 1240.0, 2.1, 5.78, 0.0474, 1780.0, 3.12,
];

fn pollution_graph(dag: &mut Dag) -> Vec<NodeId> {
    let rates: Vec<NodeId> = RATES
        .iter()
        .enumerate()
        .map(|(k, reactants)| {
            let mut rate = dag.leaf(Leaf::Param(k as u32));
            for &species in *reactants {
                let x = dag.leaf(Leaf::State(species as u32 - 1));
                rate = dag.mul(rate, x);
            }
            rate
        })
        .collect();
    ROWS.iter()
        .map(|row| {
            let terms: Vec<(f64, NodeId)> =
                row.iter().map(|&r| (f64::from(r.signum()), rates[r.unsigned_abs() as usize - 1])).collect();
            dag.sum(&terms)
        })
        .collect()
}

/// The same equations by hand.
#[inline(never)]
fn pollution_rust(_t: f64, y: &[f64; 20], k: &[f64; 25], dy: &mut [f64; 20]) {
    let r1 = k[0] * y[0];
    let r2 = k[1] * y[1] * y[3];
    let r3 = k[2] * y[4] * y[1];
    let r4 = k[3] * y[6];
    let r5 = k[4] * y[6];
    let r6 = k[5] * y[6] * y[5];
    let r7 = k[6] * y[8];
    let r8 = k[7] * y[8] * y[5];
    let r9 = k[8] * y[10] * y[1];
    let r10 = k[9] * y[10] * y[0];
    let r11 = k[10] * y[12];
    let r12 = k[11] * y[9] * y[1];
    let r13 = k[12] * y[13];
    let r14 = k[13] * y[0] * y[5];
    let r15 = k[14] * y[2];
    let r16 = k[15] * y[3];
    let r17 = k[16] * y[3];
    let r18 = k[17] * y[15];
    let r19 = k[18] * y[15];
    let r20 = k[19] * y[16] * y[5];
    let r21 = k[20] * y[18];
    let r22 = k[21] * y[18];
    let r23 = k[22] * y[0] * y[3];
    let r24 = k[23] * y[18] * y[0];
    let r25 = k[24] * y[19];
    dy[0] = -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25;
    dy[1] = -r2 - r3 - r9 - r12 + r1 + r21;
    dy[2] = -r15 + r1 + r17 + r19 + r22;
    dy[3] = -r2 - r16 - r17 - r23 + r15;
    dy[4] = -r3 + 2.0 * r4 + r6 + r7 + r13 + r20;
    dy[5] = -r6 - r8 - r14 - r20 + r3 + 2.0 * r18;
    dy[6] = -r4 - r5 - r6 + r13;
    dy[7] = r4 + r5 + r6 + r7;
    dy[8] = -r7 - r8;
    dy[9] = -r12 + r7 + r9;
    dy[10] = -r9 - r10 + r8 + r11;
    dy[11] = r9;
    dy[12] = -r11 + r10;
    dy[13] = -r13 + r12;
    dy[14] = r14;
    dy[15] = -r18 - r19 + r16;
    dy[16] = -r20;
    dy[17] = r20;
    dy[18] = -r21 - r22 - r24 + r23 + r25;
    dy[19] = -r25 + r24;
}

fn start() -> [f64; 20] {
    let mut x = [0.0; 20];
    for (i, v) in x.iter_mut().enumerate() {
        *v = 0.01 + 0.003 * i as f64;
    }
    x
}

/// Nanoseconds a call of each function: the fastest of 400 interleaved rounds.
fn time_pair(mut a: impl FnMut(), mut b: impl FnMut()) -> (f64, f64) {
    const CALLS: u32 = 2_000;
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..400 {
        let begin = Instant::now();
        (0..CALLS).for_each(|_| a());
        let middle = Instant::now();
        (0..CALLS).for_each(|_| b());
        let end = middle.elapsed();
        best.0 = best.0.min((middle - begin).as_secs_f64() / f64::from(CALLS) * 1e9);
        best.1 = best.1.min(end.as_secs_f64() / f64::from(CALLS) * 1e9);
    }
    best
}

fn pollution_ratio(compiler: &Compiler) -> f64 {
    let mut dag = Dag::new();
    let rows = pollution_graph(&mut dag);
    let plan = Plan::new(&dag, &rows, &PlanOptions::default());
    let kernels = compiler.compile(&[plan]).expect("the kernel compiles");
    let (x, mut by_kernel, mut by_rust) = (start(), [0.0; 20], [0.0; 20]);
    let mut work = Work { scratch: vec![0.0; kernels[0].n_slots()] };
    let (ours, theirs) = time_pair(
        || {
            let at = At { t: 0.0, x: black_box(&x), u: &[], d: &[], p: black_box(&CONSTANTS) };
            kernels[0].call(at, &mut work, black_box(&mut by_kernel));
        },
        || pollution_rust(0.0, black_box(&x), black_box(&CONSTANTS), black_box(&mut by_rust)),
    );
    for (a, b) in by_kernel.iter().zip(by_rust) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "the two disagree: {a} and {b}");
    }
    println!("pollution rhs: kernel {ours:.1} ns, rust -O3 {theirs:.1} ns, ratio {:.2}", ours / theirs);
    ours / theirs
}

/// Seconds from equations to machine code of all that `needs` says, derivatives included: the fastest of five.
fn compile_time(model: &Arc<FlatModel>, needs: Needs, what: &str) -> f64 {
    let mut best = f64::INFINITY;
    let mut detail = String::new();
    for _ in 0..5 {
        let begin = Instant::now();
        let kernels = Kernels::compile(model.clone(), &Options::default()).expect("the kernels compile");
        kernels.prepare(needs).expect("the kernels compile");
        let total = begin.elapsed().as_secs_f64();
        if total < best {
            best = total;
            let timings = kernels.timings();
            let plan: f64 = timings.iter().map(|t| t.plan.as_secs_f64() * 1e3).sum();
            let compile: f64 = timings.iter().map(|t| t.compile.as_secs_f64() * 1e3).sum();
            detail = format!("differentiate and plan {plan:.2}, compile {compile:.2}");
        }
    }
    println!("{what}, {} states: {:.2} ms ({detail})", model.states.len(), best * 1e3);
    best
}

/// Nanoseconds a reaction of one evaluation of the chain's right-hand side, by chunk size.
fn chain_run(compiler: &Compiler, n: u32) {
    let model = models::chain(n);
    let rows: Vec<NodeId> = model.states.iter().map(|s| s.rhs).collect();
    let (x, p) = (vec![0.5; n as usize], vec![1.5; 2 * n as usize]);
    let mut dx = vec![0.0; n as usize];
    for chunk_size in [125, 250, 500, 1_000, 2_000] {
        let plan = Plan::new(&model.dag, &rows, &PlanOptions { chunk_size, ..PlanOptions::default() });
        let begin = Instant::now();
        let kernel = compiler.compile(&[plan]).expect("the kernel compiles").remove(0);
        let compiled = begin.elapsed().as_secs_f64() * 1e3;
        let mut work = Work { scratch: vec![0.0; kernel.n_slots()] };
        let mut best = f64::INFINITY;
        for _ in 0..200 {
            let begin = Instant::now();
            kernel.call(At { t: 0.0, x: &x, u: &[], d: &[], p: &p }, &mut work, black_box(&mut dx));
            best = best.min(begin.elapsed().as_secs_f64());
        }
        let ns = best / f64::from(n) * 1e9;
        println!("chain of {n} in chunks of {chunk_size}: compile {compiled:.1} ms, run {ns:.2} ns a reaction");
    }
}

/// Nanoseconds an element of each slice routine, and of the library's function.
fn slice_times() {
    let arguments: Vec<f64> = (0..1024).map(|i| 0.01 + 0.0093 * f64::from(i)).collect();
    let time = |f: &mut dyn FnMut(&mut [f64])| {
        let mut best = f64::INFINITY;
        let mut values = arguments.clone();
        for _ in 0..300 {
            values.copy_from_slice(&arguments);
            let begin = Instant::now();
            f(black_box(&mut values));
            best = best.min(begin.elapsed().as_secs_f64());
        }
        best / arguments.len() as f64 * 1e9
    };
    let library: [fn(f64) -> f64; 5] = [f64::exp, f64::ln, f64::tanh, f64::sin, f64::cos];
    for (function, library) in SliceFunction::ALL.into_iter().zip(library) {
        let slice = time(&mut |v| function.apply_slice(v));
        let portable = time(&mut |v| function.apply_portable(v));
        let single = time(&mut |v| v.iter_mut().for_each(|x| *x = function.apply(*x)));
        let library = time(&mut |v| v.iter_mut().for_each(|x| *x = library(*x)));
        println!(
            "{}: slice {slice:.2} ns, portable slice {portable:.2} ns, one by one {single:.2} ns, library {library:.2} ns",
            function.name()
        );
    }
}

/// Nanoseconds of one call of a slice routine on few elements.
fn short_slice_times() {
    for function in SliceFunction::ALL {
        let mut line = format!("{} of", function.name());
        for len in [1, 2, 3, 4, 5, 8, 12, 16] {
            let mut values = [0.5; 16];
            let mut best = f64::INFINITY;
            for _ in 0..200 {
                let begin = Instant::now();
                for _ in 0..500 {
                    values[..len].fill(0.7);
                    function.apply_slice(black_box(&mut values[..len]));
                }
                best = best.min(begin.elapsed().as_secs_f64() / 500.0 * 1e9);
            }
            line += &format!(" {len}: {best:.1} ns,");
        }
        println!("{line}");
    }
}

fn main() -> ExitCode {
    let check = std::env::args().any(|a| a == "--check");
    let compiler = Compiler::new().expect("this machine has a back end");
    let ratio = (0..3).map(|_| pollution_ratio(&compiler)).fold(f64::INFINITY, f64::min);
    let all = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    compile_time(&models::rich(), all, "small model, all of sensitivities");
    compile_time(&models::chain(1_000), all, "chain, all of sensitivities");
    let stiff = Needs::SIMULATION | Needs::STIFF;
    let times = [100, 1_000, 10_000].map(|n| compile_time(&models::chain(n), stiff, "chain, all of stiff simulation"));
    let exponent = (times[2] / times[1]).log10();
    println!("growth from 1,000 to 10,000 species: size^{exponent:.2}");
    chain_run(&compiler, 10_000);
    slice_times();
    short_slice_times();
    if check && ratio > LARGEST_RATIO {
        eprintln!("the kernel costs {ratio:.2} times the Rust function; at most {LARGEST_RATIO} is allowed");
        return ExitCode::FAILURE;
    }
    if check && exponent > LARGEST_EXPONENT {
        eprintln!("compile time grows as size^{exponent:.2}; at most {LARGEST_EXPONENT} is allowed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
