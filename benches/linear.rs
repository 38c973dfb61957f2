//! What a factorisation of `shift I - J` and a solve cost, by factorisation and by problem.
//!
//! `cargo bench --bench linear` prints nanoseconds for every factorisation that can be had for a problem, the chosen one
//! marked, and what it takes to make its code. `linalg::ShiftedLu` and `jit::linear` choose by these numbers. Times are
//! processor time, the least of several interleaved rounds; solutions are checked against the dense factorisation.

#[path = "clock.rs"]
mod clock;

use std::sync::Arc;

use clock::Stopwatch;
use twinc::jit::linear::Code;
use twinc::linalg::{CscPattern, LuCode, ShiftedLu, Symbolic};

const ROUNDS: usize = 7;

/// Deterministic numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Species S0 to Sn-1 in a row, each turning into the next and back.
fn chain(n: usize) -> CscPattern {
    CscPattern::from_entries(n, n, (0..n).flat_map(|i| [(i, i), (i, (i + 1).min(n - 1)), ((i + 1).min(n - 1), i)]))
}

/// Two species in cells on a line, first all of the one, then all of the other; `moves`: how many of them diffuse.
fn cells(count: usize, moves: usize) -> CscPattern {
    let entries = (0..count).flat_map(|i| {
        let near = [i.max(1) - 1, i, (i + 1).min(count - 1)];
        let within = [(i, i), (i, count + i), (count + i, i), (count + i, count + i)];
        within.into_iter().chain((0..moves).flat_map(move |s| near.map(|j| (s * count + i, s * count + j))))
    });
    CscPattern::from_entries(2 * count, 2 * count, entries)
}

/// Reactions A + B -> C or A -> B between species drawn at random.
fn network(species: usize, reactions: usize) -> CscPattern {
    let mut numbers = Numbers(42);
    let mut entries = Vec::new();
    for _ in 0..reactions {
        let parts = [0; 3].map(|_| numbers.below(species));
        let n_reactants = 1 + numbers.below(2);
        for &reactant in &parts[..n_reactants] {
            entries.extend(parts[..=n_reactants].iter().map(|&row| (row, reactant)));
        }
    }
    CscPattern::from_entries(species, species, entries)
}

/// The reactants and products of Verwer's air pollution model (1994), species from 1.
const POLLUTION: [(&[usize], &[usize]); 25] = [
    (&[1], &[2, 3]),
    (&[2, 4], &[1]),
    (&[5, 2], &[6, 1]),
    (&[7], &[5, 8]),
    (&[7], &[8]),
    (&[7, 6], &[8, 5]),
    (&[9], &[10, 8, 5]),
    (&[9, 6], &[11]),
    (&[11, 2], &[10, 12, 1]),
    (&[11, 1], &[13]),
    (&[13], &[11, 1]),
    (&[10, 2], &[14, 1]),
    (&[14], &[7, 5]),
    (&[1, 6], &[15]),
    (&[3], &[4]),
    (&[4], &[6]),
    (&[4], &[3]),
    (&[16], &[6]),
    (&[16], &[3]),
    (&[17, 6], &[18, 5]),
    (&[19], &[2]),
    (&[19], &[1, 3]),
    (&[1, 4], &[19]),
    (&[19, 1], &[20]),
    (&[20], &[19, 1]),
];

fn pollution() -> CscPattern {
    let entries = POLLUTION.iter().flat_map(|(reactants, products)| {
        let touched = reactants.iter().chain(*products);
        touched.flat_map(|&row| reactants.iter().map(move |&col| (row - 1, col - 1)))
    });
    CscPattern::from_entries(20, 20, entries)
}

/// HIRES of Schäfer (1975) as in Hairer and Wanner: the columns of each row.
fn hires() -> CscPattern {
    const ROWS: [&[usize]; 8] =
        [&[0, 1, 2], &[0, 1], &[2, 3, 4], &[1, 2, 3], &[4, 5, 6], &[3, 4, 5, 6, 7], &[5, 6, 7], &[5, 6, 7]];
    CscPattern::from_entries(8, 8, ROWS.iter().enumerate().flat_map(|(r, cols)| cols.iter().map(move |&c| (r, c))))
}

fn robertson() -> CscPattern {
    CscPattern::from_entries(3, 3, [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2)])
}

/// A diagonal and scattered entries, some in each column.
fn scattered(n: usize, per_column: usize) -> CscPattern {
    let mut numbers = Numbers(12345);
    let mut entries: Vec<(usize, usize)> = (0..n).map(|i| (i, i)).collect();
    for col in 0..n {
        entries.extend((1..per_column).map(|_| (numbers.below(n), col)));
    }
    CscPattern::from_entries(n, n, entries)
}

/// Least nanoseconds of a call, over a round of calls.
fn time(call: &mut dyn FnMut()) -> f64 {
    let mut count = 1_u32;
    loop {
        let stopwatch = Stopwatch::start();
        (0..count).for_each(|_| call());
        let seconds = stopwatch.seconds();
        if seconds > 2e-3 {
            return seconds / f64::from(count) * 1e9;
        }
        count = (f64::from(count) * (3e-3 / seconds.max(1e-6)).clamp(2.0, 100.0)) as u32;
    }
}

fn measure(name: &str, pattern: &CscPattern) {
    let n = pattern.n_cols();
    let mut numbers = Numbers(7);
    let mut draw = || (numbers.below(2_001) as f64 + 1.0) / 2_000.0;
    let values: Vec<f64> = (0..n)
        .flat_map(|c| pattern.column(c).map(move |(r, _)| r == c))
        .map(|is_diagonal| if is_diagonal { -6.0 - draw() } else { draw() })
        .collect();
    let (mut code, mut making, mut making_lanes) = (None, f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let stopwatch = Stopwatch::start();
        code = Code::new(pattern, false).expect("code").map(Arc::new);
        making = making.min(stopwatch.seconds());
        let stopwatch = Stopwatch::start();
        if let Some(code) = &code {
            code.lanes();
        }
        making_lanes = making_lanes.min(stopwatch.seconds());
    }
    let chosen = ShiftedLu::with_code(pattern, code.clone().map(|c| c as Arc<dyn LuCode>)).solver().name();
    let mut lus: Vec<ShiftedLu> = Vec::new();
    lus.extend(code.map(|code| ShiftedLu::with_code(pattern, Some(code))));
    lus.extend(ShiftedLu::banded(pattern));
    let stopwatch = Stopwatch::start();
    lus.extend(ShiftedLu::sparse(pattern));
    let symbolic_us = stopwatch.seconds() * 1e6;
    lus.extend((n <= 500).then(|| ShiftedLu::dense(pattern)));
    let mut best = vec![[f64::INFINITY; 3]; lus.len()];
    let b: Vec<f64> = (0..n).map(|i| 1.0 + (i % 7) as f64).collect();
    let solution = |lu: &mut ShiftedLu| {
        let mut x = b.clone();
        lu.factorize(3.0, &values).expect("regular");
        lu.solve(&mut x);
        x
    };
    let truth = solution(lus.last_mut().expect("a solver"));
    for lu in &mut lus {
        let wrong = solution(lu).iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(wrong < 1e-9, "{name}: {} is off by {wrong}", lu.solver().name());
    }
    let mut x = b.clone();
    let mut rows = vec![1.0; 8 * n];
    for _ in 0..ROUNDS {
        for (lu, best) in lus.iter_mut().zip(&mut best) {
            best[0] = best[0].min(time(&mut || lu.factorize(3.0, &values).expect("regular")));
            best[1] = best[1].min(time(&mut || {
                lu.solve(&mut x);
                x[0] += 1.0;
            }));
            best[2] = best[2].min(time(&mut || {
                lu.solve_rows(&mut rows, 8);
                rows[0] += 1.0;
            }));
        }
    }
    let symbolic = Symbolic::new(pattern).expect("memory");
    let work = |operations: f64, fill: f64| operations + 8.0 * fill;
    let n_f64 = n as f64;
    let share = work(symbolic.operations() as f64, symbolic.fill() as f64) / work(n_f64.powi(3) / 3.0, n_f64.powi(2));
    println!(
        "{name:<24} {n:>6} fill {}, {} multiplications, {share:.3} of the dense work, {} dense columns, {symbolic_us:.0} us to prepare",
        symbolic.fill(),
        symbolic.operations(),
        n - symbolic.dense_tail(),
    );
    for (lu, best) in lus.iter().zip(&best) {
        let kind = lu.solver().name();
        let mark = if kind == chosen { "*" } else { "" };
        let making = if kind == "compiled" {
            format!("{:>7.0} {:>7.0}", making * 1e6, making_lanes * 1e6)
        } else {
            String::new()
        };
        println!(
            "{name:<24} {n:>6} {kind:>9}{mark:<1} {:>12.1} {:>12.1} {:>12.1} {:>12.1} {making}",
            best[0],
            best[1],
            best[2] / 8.0,
            best[0] + 8.0 * best[1],
        );
    }
}

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!(
        "{:<24} {:>6} {:>9}  {:>12} {:>12} {:>12} {:>12} {:>7} {:>7}",
        "problem", "order", "", "factor ns", "solve ns", "of eight ns", "step ns", "code us", "lanes us"
    );
    let problems = [
        ("Robertson", robertson()),
        ("HIRES", hires()),
        ("Pollution", pollution()),
        ("dense", CscPattern::dense(16, 16)),
        ("chain", chain(40)),
        ("chain", chain(100)),
        ("chain", chain(300)),
        ("chain", chain(1000)),
        ("chain", chain(5000)),
        ("Brusselator", cells(20, 2)),
        ("Brusselator", cells(200, 2)),
        ("Brusselator", cells(2000, 2)),
        ("Medical Akzo", cells(200, 1)),
        ("network of 20", network(15, 20)),
        ("network of 60", network(40, 60)),
        ("network of 200", network(120, 200)),
        ("network of 1000", network(700, 1000)),
        ("network of 2500", network(1700, 2500)),
        ("network of 10,000", network(7000, 10_000)),
    ];
    let pattern = chain(200);
    let banded = || {
        let mut lu = ShiftedLu::banded(&pattern).expect("a band");
        let values = vec![-1.0; pattern.nnz()];
        (0..ROUNDS).map(|_| time(&mut || lu.factorize(3.0, &values).expect("regular"))).fold(f64::INFINITY, f64::min)
    };
    let before = banded();
    let is_wanted = |name: &str| only.as_ref().is_none_or(|word| name.contains(word));
    problems.iter().filter(|(name, _)| is_wanted(name)).for_each(|(name, pattern)| measure(name, pattern));
    if is_wanted("scattered") {
        for n in [4, 8, 16, 32, 64, 128, 256] {
            [2, 3, 6].iter().for_each(|&k| measure(&format!("scattered, {k} a column"), &scattered(n, k)));
        }
    }
    println!("the band of order 200, factorised after all this and before it: {:.2}", banded() / before);
}
