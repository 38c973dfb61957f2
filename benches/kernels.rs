//! What a kernel costs: right-hand sides and Jacobians against the same in Rust, and the time to compile chains.
//!
//! `cargo bench --bench kernels` prints the table; with `-- --check` it fails where a kernel of Robertson, HIRES or
//! Pollution costs more than 1.2 times the Rust function, or that of a Brusselator of 2000 cells more than twice a rolled
//! loop, all called as solvers call them. Ratios are of the fastest of many interleaved rounds, which a busy machine
//! disturbs least.

#[path = "../tests/jit/models.rs"]
mod models;
mod reference;

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use twinc::diag::Diagnostics;
use twinc::expr::{Dag, Leaf, NodeId};
use twinc::flat::{FlatModel, Variation, flatten};
use twinc::hir;
use twinc::jit::math::{SliceFunction, pow, pow_portable, pow_slice};
use twinc::jit::{Compiler, Direction, Kernels, Needs, Options, Part, Plan, PlanOptions};
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};
use twinc::system::{At, System, Work};

/// A kernel of straight-line code against rustc's.
const LARGEST_RATIO: f64 = 1.2;
/// The kernel of 2000 cells against a rolled, vectorised loop.
const LARGEST_LOOP_RATIO: f64 = 2.0;

/// No other texts.
struct NoTexts;

impl Loader for NoTexts {
    fn load(&self, _from: &str, _path: &str) -> Result<SourceFile, LoadError> {
        Err(LoadError::new("not in memory"))
    }
}

/// A model file, each `(old, new)` replaced.
fn model(name: &str, changes: &[(&str, &str)]) -> Arc<FlatModel> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    let mut text = std::fs::read_to_string(path).expect("the model is there");
    for (old, new) in changes {
        assert!(text.contains(old), "{name} has `{old}`");
        text = text.replace(old, new);
    }
    flat(name, text)
}

/// A model from its text.
fn flat(name: &str, text: String) -> Arc<FlatModel> {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    let root = sources.add(SourceFile::new(name, text));
    let module = hir::load(&mut sources, root, None, &NoTexts, false, &mut diagnostics);
    let model = module.models.last().expect("a model");
    Arc::new(flatten(model, &Variation::default(), &mut diagnostics).expect("flat equations"))
}

/// Nanoseconds a call of each function: the fastest of many interleaved rounds.
fn time<const K: usize>(n_calls: u32, functions: [&mut dyn FnMut(u32); K]) -> [f64; K] {
    let mut best = [f64::INFINITY; K];
    let mut functions = functions;
    for _ in 0..400 {
        for (function, best) in functions.iter_mut().zip(&mut best) {
            let begin = Instant::now();
            function(n_calls);
            *best = best.min(begin.elapsed().as_secs_f64() / f64::from(n_calls) * 1e9);
        }
    }
    best
}

/// Numbers at the start of a cache line, for all alike.
#[repr(align(64))]
struct Aligned<const N: usize>([f64; N]);

/// What a right-hand side or a Jacobian looks like to a solver: that of [`System::rhs`].
type Values<'a> = &'a dyn Fn(At<'_>, &mut Work, &mut [f64]);

/// Prints what a right-hand side or Jacobian costs against a Rust function on arrays that must give the same numbers.
/// Both are called as solvers call them: through a pointer, with a point and slices whose lengths the function checks.
/// Beside it, what they cost without: a kernel whose call is inlined, and a function that is inlined into the loop that
/// measures it. Returns the ratio of the former.
fn compare<const N: usize, const P: usize, const M: usize>(
    name: &str,
    kernels: &Kernels,
    part: Part,
    n_calls: u32,
    rust: impl Fn(&[f64; N], &[f64; P], &mut [f64; M]),
) -> f64 {
    let compiler = Compiler::new().expect("this machine has a back end");
    let kernel = compiler.compile(&kernels.plan(part)).expect("the kernel compiles").remove(0);
    kernels.prepare(Needs::of(&[part])).expect("the kernels compile");
    let x: Aligned<N> = Aligned(std::array::from_fn(|i| 0.01 + 0.003 * (i % 97) as f64));
    let p: Aligned<P> = Aligned(std::array::from_fn(|i| kernels.model().params[i].value));
    let (x, p) = (&x.0, &p.0);
    let by_slices = |at: At<'_>, _: &mut Work, out: &mut [f64]| {
        assert!((at.x.len() >= N) & (at.p.len() >= P) & (out.len() >= M), "a slice is too short");
        if let (Some(x), Some(p), Some(out)) = (at.x.first_chunk(), at.p.first_chunk(), out.first_chunk_mut()) {
            rust(x, p, out);
        }
    };
    let system: &dyn System = black_box(kernels);
    let theirs: Values<'_> = black_box(&by_slices);
    let [mut by_ours, mut by_theirs, mut by_kernel, mut inlined] = [0; 4].map(|_| Aligned([0.0; M]));
    let (mut work, mut other_work, mut kernel_work) = (kernels.work(), kernels.work(), kernels.work());
    // Written out in each call, so that it is not copied.
    macro_rules! at {
        () => {
            At { t: 0.0, x, u: &[], d: &[], p }
        };
    }
    let mut ours: Box<dyn FnMut(u32)> = if part == Part::Rhs {
        Box::new(|n| (0..n).for_each(|_| system.rhs(at!(), &mut work, &mut by_ours.0)))
    } else {
        Box::new(|n| (0..n).for_each(|_| system.jacobian(at!(), &mut work, &mut by_ours.0)))
    };
    let mut ratio = f64::INFINITY;
    for _ in 0..3 {
        let [ours_ns, theirs_ns, kernel_ns, bare_ns] = time(
            n_calls,
            [
                &mut *ours,
                &mut |n| (0..n).for_each(|_| theirs(at!(), &mut other_work, &mut by_theirs.0)),
                &mut |n| (0..n).for_each(|_| kernel.call(at!(), &mut kernel_work, black_box(&mut by_kernel.0))),
                &mut |n| (0..n).for_each(|_| rust(black_box(x), black_box(p), black_box(&mut inlined.0))),
            ],
        );
        println!(
            "{name}: kernel {ours_ns:.1} ns, rust {theirs_ns:.1} ns, ratio {:.2} (without the calls: kernel \
             {kernel_ns:.1} ns, rust inlined {bare_ns:.1} ns, ratio {:.2})",
            ours_ns / theirs_ns,
            kernel_ns / bare_ns,
        );
        ratio = ratio.min(ours_ns / theirs_ns);
    }
    drop(ours);
    assert_eq!(by_ours.0, by_kernel.0, "{name}");
    for (k, (a, b)) in by_ours.0.iter().zip(by_theirs.0).enumerate() {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{name}: output {k} is {a} and {b}");
    }
    ratio
}

/// All comparisons with rustc: the largest ratio of straight-line kernels, and of the loop to the baseline's.
fn against_rust() -> (f64, f64) {
    let compile = |model| Kernels::compile(model, &Options::default()).expect("the kernels compile");
    let robertson = compile(model("robertson.twin", &[]));
    let hires = compile(model("hires.twin", &[]));
    let pollution = compile(model("pollution.twin", &[]));
    let ratios = [
        compare("robertson rhs", &robertson, Part::Rhs, 5_000, reference::robertson),
        compare("robertson jacobian", &robertson, Part::Jacobian, 5_000, reference::robertson_jacobian),
        compare("hires rhs", &hires, Part::Rhs, 5_000, reference::hires),
        compare("hires jacobian", &hires, Part::Jacobian, 5_000, reference::hires_jacobian),
        compare("pollution rhs", &pollution, Part::Rhs, 2_000, reference::pollution),
        compare("pollution jacobian", &pollution, Part::Jacobian, 2_000, reference::pollution_jacobian),
    ];
    let cells = format!("N [1] = {}", reference::N_CELLS);
    let brusselator = compile(model("brusselator.twin", &[("N [1] = 20", &cells)]));
    let name = "brusselator of 2000 cells, rhs";
    let ratio = compare(name, &brusselator, Part::Rhs, 20, |x, _: &[f64; 0], out| reference::brusselator(x, out));
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        compare("  the same against AVX2", &brusselator, Part::Rhs, 20, |x, _: &[f64; 0], out| {
            // SAFETY: the machine has AVX2, as just detected.
            unsafe { reference::brusselator_avx2(x, out) }
        });
    }
    one_pass(&pollution, "pollution");
    one_pass(&hires, "hires");
    one_pass(&brusselator, "brusselator of 2000 cells");
    for name in ["ring_modulator", "repressilator", "pleiades"] {
        one_pass(&compile(model(&format!("{name}.twin"), &[])), name);
    }
    (ratios.into_iter().fold(0.0, f64::max), ratio)
}

/// Prints what f and ∂f/∂x cost by two kernels and by one that shares what they have in common.
fn one_pass(kernels: &Kernels, name: &str) {
    let compiler = Compiler::new().expect("this machine has a back end");
    let rhs: Vec<NodeId> = kernels.model().states.iter().map(|s| s.rhs).collect();
    let jacobian = kernels.jacobian_nodes().1.to_vec();
    let plan = Plan::new_split(&kernels.dag(), &rhs, &jacobian, &PlanOptions::default());
    let together = compiler.compile(&[plan]).expect("the kernel compiles").remove(0);
    let x: Vec<f64> = (0..rhs.len()).map(|i| 0.01 + 0.003 * (i % 97) as f64).collect();
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    let (mut dx, mut values) = (vec![0.0; rhs.len()], vec![0.0; jacobian.len()]);
    let (mut dx2, mut values2) = (dx.clone(), values.clone());
    let (mut work, mut work2) = (kernels.work(), Work::default());
    let at = || At { t: 0.0, x: black_box(&x), u: &[], d: &[], p: black_box(&p) };
    let n_calls = if rhs.len() > 1_000 { 20 } else { 2_000 };
    let [two_ns, one_ns] = time(
        n_calls,
        [
            &mut |n| {
                (0..n).for_each(|_| {
                    kernels.rhs(at(), &mut work, black_box(&mut dx));
                    kernels.jacobian(at(), &mut work, black_box(&mut values));
                });
            },
            &mut |n| {
                (0..n).for_each(|_| {
                    together.call_along(at(), Direction::default(), &mut work2, &mut dx2, black_box(&mut values2));
                });
            },
        ],
    );
    // Together they share more reciprocals, which may change the last bits of a quotient.
    let all = dx.iter().zip(&dx2).chain(values.iter().zip(&values2));
    all.for_each(|(a, b)| assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{a} and {b}"));
    println!("{name}: rhs and jacobian by two kernels {two_ns:.1} ns, in one pass {one_ns:.1} ns");
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

/// Nanoseconds a power: in slices of several lengths, one by one, and by the library.
fn power_times() {
    const N: usize = 1024;
    let bases: Vec<f64> = (0..N).map(|i| 0.01 + 0.0093 * i as f64).collect();
    let exponents: Vec<f64> = (0..N).map(|i| 1.5 + 0.001 * i as f64).collect();
    let mut values = [(); 4].map(|()| bases.clone());
    for len in [1, 2, 3, 4, 6, 8, 16, N] {
        let [a, b, c, d] = &mut values;
        let whole = |values: &mut [f64], f: &dyn Fn(&mut [f64], &[f64])| {
            values.copy_from_slice(&bases);
            values.chunks_mut(len).zip(exponents.chunks(len)).for_each(|(x, y)| f(black_box(x), black_box(y)));
        };
        let each = |values: &mut [f64], f: &dyn Fn(f64, f64) -> f64| {
            whole(values, &|x, y| x.iter_mut().zip(y).for_each(|(x, y)| *x = f(*x, *y)));
        };
        let ns = time(
            1,
            [&mut |_| whole(a, &pow_slice), &mut |_| whole(b, &pow_portable), &mut |_| each(c, &pow), &mut |_| {
                each(d, &f64::powf)
            }],
        );
        let [slice, portable, single, library] = ns.map(|ns| ns / N as f64);
        println!(
            "pow, {len} at once: slice {slice:.2} ns, portable slice {portable:.2} ns, one by one {single:.2} ns, \
             library {library:.2} ns"
        );
    }
}

/// Prints what Hill laws cost with our powers, and with the library's under strict math.
fn hill_laws() {
    let repressilator = model("repressilator.twin", &[]);
    let kernels = Kernels::compile(repressilator.clone(), &Options::default()).expect("the kernels compile");
    let p: Vec<f64> = repressilator.params.iter().map(|p| p.value).collect();
    let rhs: Vec<NodeId> = repressilator.states.iter().map(|s| s.rhs).collect();
    let jacobian = kernels.jacobian_nodes().1.to_vec();
    hill_law("repressilator, right-hand side", &kernels.dag(), &rhs, &p);
    hill_law("repressilator, jacobian", &kernels.dag(), &jacobian, &p);
    for n in [1, 3, 6, 10, 30] {
        let mut dag = Dag::new();
        let (h, v) = (dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::Param(1)));
        let rates: Vec<NodeId> = (0..n)
            .map(|k| {
                let (x, half) = (dag.leaf(Leaf::State(k)), dag.constant(0.7 + 0.1 * f64::from(k)));
                let ratio = dag.div(x, half);
                let power = dag.pow(ratio, h);
                let below = dag.add(Dag::ONE, power);
                dag.div(v, below)
            })
            .collect();
        let less = dag.sub(h, Dag::ONE);
        let slopes: Vec<NodeId> = (0..n)
            .map(|k| {
                let x = dag.leaf(Leaf::State(k));
                let power = dag.pow(x, less);
                dag.mul(h, power)
            })
            .collect();
        let both: Vec<NodeId> = rates.iter().chain(&slopes).copied().collect();
        hill_law(&format!("{n} Hill laws"), &dag, &rates, &[2.3, 1.1]);
        hill_law(&format!("{n} Hill laws and powers of their slopes"), &dag, &both, &[2.3, 1.1]);
    }
}

fn hill_law(name: &str, dag: &Dag, nodes: &[NodeId], p: &[f64]) {
    let compiler = Compiler::new().expect("this machine has a back end");
    let [strict, ours] = [true, false].map(|strict_math| {
        let plan = Plan::new(dag, nodes, &PlanOptions { strict_math, ..PlanOptions::default() });
        compiler.compile(&[plan]).expect("the kernel compiles").remove(0)
    });
    let x: Vec<f64> = (0..nodes.len()).map(|i| 1.0 + 0.7 * i as f64).collect();
    let at = || At { t: 0.0, x: black_box(&x), u: &[], d: &[], p: black_box(p) };
    let [mut work, mut work2] = [&strict, &ours].map(|k| Work { scratch: vec![0.0; k.n_slots()] });
    let (mut theirs, mut own) = (vec![0.0; nodes.len()], vec![0.0; nodes.len()]);
    let [library_ns, ns] = time(
        1_000,
        [&mut |n| (0..n).for_each(|_| strict.call(at(), &mut work, black_box(&mut theirs))), &mut |n| {
            (0..n).for_each(|_| ours.call(at(), &mut work2, black_box(&mut own)))
        }],
    );
    assert!(theirs.iter().zip(&own).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs()), "{theirs:?} and {own:?}");
    println!("{name}: {ns:.1} ns, with the library's powers {library_ns:.1} ns, ratio {:.2}", ns / library_ns);
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
    let (ratio, loop_ratio) = against_rust();
    let all = Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES;
    compile_time(&models::rich(), all, "small model, all of sensitivities");
    compile_time(&models::chain(1_000), all, "chain, all of sensitivities");
    let stiff = Needs::SIMULATION | Needs::STIFF;
    for n in [100, 1_000, 10_000] {
        compile_time(&models::chain(n), stiff, "chain, all of stiff simulation");
    }
    compile_time(&models::cells(2_000), stiff, "line of cells, all of stiff simulation");
    compile_time(&models::network(2_500, 10_000), stiff, "network of 10,000 reactions, all of stiff simulation");
    chain_run(&compiler, 10_000);
    slice_times();
    power_times();
    hill_laws();
    short_slice_times();
    if check && ratio > LARGEST_RATIO {
        eprintln!("a kernel costs {ratio:.2} times the Rust function; at most {LARGEST_RATIO} is allowed");
        return ExitCode::FAILURE;
    }
    if check && loop_ratio > LARGEST_LOOP_RATIO {
        eprintln!("the loop costs {loop_ratio:.2} times the Rust loop; at most {LARGEST_LOOP_RATIO} is allowed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
