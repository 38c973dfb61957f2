//! Machine code for factors of `shift I - J` against the dense factorisation with partial pivoting.

use std::sync::Arc;

use twinc::jit::linear::Code;
use twinc::jit::{Kernels, Needs, Options};
use twinc::linalg::{CscPattern, LuCode, ShiftedLu};
use twinc::system::{At, System};

use super::models;

/// Deterministic numbers in [-1, 1).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn next(&mut self) -> f64 {
        self.below(20_001) as f64 / 10_000.0 - 1.0
    }
}

fn scattered(n: usize, per_column: usize, numbers: &mut Numbers) -> CscPattern {
    let entries: Vec<_> = (0..n).flat_map(|c| (0..per_column).map(move |_| c)).map(|c| (numbers.below(n), c)).collect();
    CscPattern::from_entries(n, n, entries)
}

fn compiled(pattern: &CscPattern, strict_math: bool) -> ShiftedLu {
    let code = Code::new(pattern, strict_math).expect("a back end").expect("small enough");
    let lu = ShiftedLu::with_code(pattern, Some(Arc::new(code)));
    assert_eq!(lu.solver().name(), "compiled");
    lu
}

/// The code's solutions for one and for m right-hand sides are the dense ones.
fn agrees(lu: &mut ShiftedLu, pattern: &CscPattern, shift: f64, jacobian: &[f64], tolerance: f64) {
    let n = pattern.n_cols();
    let mut dense = ShiftedLu::dense(pattern);
    dense.factorize(shift, jacobian).expect("regular");
    lu.factorize(shift, jacobian).expect("regular");
    for m in [1, 2, 4, 9] {
        let b: Vec<f64> = (0..n * m).map(|i| 1.0 + (i * i % 11) as f64).collect();
        let (mut x, mut truth) = (b.clone(), b);
        lu.solve_rows(&mut x, m);
        dense.solve_rows(&mut truth, m);
        let size = truth.iter().map(|v| v.abs()).fold(0.0, f64::max);
        for (value, truth) in x.iter().zip(&truth) {
            assert!((value - truth).abs() <= tolerance * size, "n = {n}, m = {m}: {value} against {truth}");
        }
    }
}

#[test]
fn code_solves_what_the_dense_factorisation_solves() {
    let mut numbers = Numbers(5);
    let mut patterns = vec![CscPattern::empty(6, 6)];
    for n in [1, 2, 3, 7, 12, 30] {
        patterns.extend((1..4).map(|per_column| scattered(n, per_column, &mut numbers)));
    }
    patterns.push(CscPattern::from_entries(100, 100, (0..100).flat_map(|i| [(0, i), (i, 0), (i, i)])));
    for pattern in patterns {
        for strict_math in [false, true] {
            let mut lu = compiled(&pattern, strict_math);
            for shift in [4.0, 0.7, 1e6] {
                let jacobian: Vec<f64> = (0..pattern.nnz()).map(|_| numbers.next()).collect();
                agrees(&mut lu, &pattern, shift, &jacobian, 1e-9);
            }
        }
    }
}

#[test]
fn code_of_several_functions_passes_on_what_it_computed() {
    // Full, so that every column is long.
    let pattern = CscPattern::dense(12, 12);
    let mut numbers = Numbers(9);
    let mut lu = compiled(&pattern, false);
    let jacobian: Vec<f64> = (0..pattern.nnz()).map(|_| numbers.next()).collect();
    agrees(&mut lu, &pattern, 7.0, &jacobian, 1e-12);
}

#[test]
fn code_refuses_unsound_pivots_as_the_algorithm_does() {
    let pattern = CscPattern::dense(2, 2);
    let code = Code::new(&pattern, false).expect("a back end").expect("small enough");
    let mut factors = vec![0.0; code.n_factors()];
    let mut is_sound = |values: [f64; 4]| code.factorize(0.0, &values.map(|v| -v), &mut factors);
    assert!(is_sound([2.0, 1.0, 1.0, 2.0]));
    assert!(!is_sound([1.0, 1.0, 1.0, 1.0 + 1e-12]));
    assert!(!is_sound([1e-12, 1.0, 1.0, 1e-12]));
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for k in 0..4 {
            let mut values = [2.0, 1.0, 1.0, 2.0];
            values[k] = wrong;
            assert!(!is_sound(values), "{wrong} at {k}");
        }
    }
    assert!(!is_sound([0.0; 4]));
    assert!(!is_sound([1.0, 0.0, 0.0, 0.0]));
}

#[test]
fn where_the_diagonal_does_not_carry_it_rows_are_exchanged() {
    let mut numbers = Numbers(17);
    for n in [5, 20] {
        let pattern = CscPattern::from_entries(n, n, (0..n).flat_map(|c| [((c + 1) % n, c), ((c + 2) % n, c)]));
        let mut lu = compiled(&pattern, false);
        let jacobian: Vec<f64> = (0..pattern.nnz()).map(|_| 2.0 + numbers.next()).collect();
        for shift in [1e-13, 9.0, 0.0] {
            agrees(&mut lu, &pattern, shift, &jacobian, 1e-8);
        }
        let zeros = vec![0.0; pattern.nnz()];
        assert_eq!(lu.factorize(0.0, &zeros).map_err(|e| e.column), Err(0));
    }
}

#[test]
fn a_compiled_model_brings_code_for_its_jacobian() {
    let kernels = Kernels::compile(models::chain(12), &Options::default()).expect("compiles");
    kernels.prepare(Needs::SIMULATION).expect("compiles");
    assert_eq!(kernels.elimination_time(), None);
    kernels.prepare(Needs::STIFF).expect("compiles");
    assert!(kernels.elimination_time().is_some());
    let dims = kernels.dims();
    let (x, p) = (vec![0.7; dims.n_states], vec![0.4; dims.n_params]);
    let pattern = kernels.jacobian_pattern();
    let mut jacobian = vec![0.0; pattern.nnz()];
    kernels.jacobian(At { t: 0.0, x: &x, u: &[], d: &[], p: &p }, &mut kernels.work(), &mut jacobian);
    let mut lu = ShiftedLu::with_code(pattern, kernels.lu_code());
    assert_eq!(lu.solver().name(), "compiled");
    agrees(&mut lu, pattern, 3.0, &jacobian, 1e-12);
    let large = Kernels::compile(models::chain(400), &Options::default()).expect("compiles");
    assert!(large.lu_code().is_none());
}

#[test]
fn what_is_too_large_for_code_has_none() {
    assert!(Code::new(&CscPattern::dense(60, 60), false).expect("a back end").is_none());
    let chain = |n: usize| CscPattern::from_entries(n, n, (1..n).flat_map(|i| [(i, i - 1), (i - 1, i)]));
    assert!(Code::new(&chain(3_000), false).expect("a back end").is_none());
    // A band is faster.
    assert!(Code::new(&chain(100), false).expect("a back end").is_none());
}
