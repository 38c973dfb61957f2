//! Every factorisation solves the same systems as the dense one, and gives way to pivoting where it must.

use super::*;

/// Right-hand sides at a time: what is solved for together, and a rest.
const SIDES: usize = 6;

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

/// A pattern with an off-diagonal band, a full last row and no stored diagonal in column 0.
fn hub(n: usize) -> CscPattern {
    let entries = (0..n).flat_map(|c| [(c, c), ((c + 1) % n, c), (n - 1, c)]).filter(|&e| e != (0, 0));
    CscPattern::from_entries(n, n, entries)
}

/// Half bandwidth `half`, with holes; a narrow one in an order that hides it.
fn band(n: usize, half: usize, numbers: &mut Numbers) -> CscPattern {
    let mut names: Vec<usize> = (0..n).collect();
    if half <= 2 {
        (0..n).for_each(|i| names.swap(i, i + numbers.below(n - i)));
    }
    let mut entries = Vec::new();
    for i in 0..n {
        for j in i.saturating_sub(half)..(i + half + 1).min(n) {
            if i.abs_diff(j) <= 1 || (half <= 2 && i.abs_diff(j) == half) || numbers.below(4) > 0 {
                entries.push((names[i], names[j]));
            }
        }
    }
    CscPattern::from_entries(n, n, entries)
}

fn scattered(n: usize, per_column: usize, numbers: &mut Numbers) -> CscPattern {
    let entries: Vec<_> = (0..n).flat_map(|c| (0..per_column).map(move |_| c)).map(|c| (numbers.below(n), c)).collect();
    CscPattern::from_entries(n, n, entries)
}

/// `(shift I - J) x` for `SIDES` vectors x, which are columns of the result.
fn sides(pattern: &CscPattern, shift: f64, jacobian: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n = pattern.n_cols();
    let negated: Vec<f64> = jacobian.iter().map(|v| -v).collect();
    let (mut exact, mut b) = (vec![0.0; SIDES * n], vec![0.0; SIDES * n]);
    for m in 0..SIDES {
        let x: Vec<f64> = (0..n).map(|i| 1.0 + ((i * (m + 3)) % 7) as f64).collect();
        let mut product: Vec<f64> = x.iter().map(|v| shift * v).collect();
        pattern.mul_add(&negated, &x, &mut product);
        for i in 0..n {
            exact[SIDES * i + m] = x[i];
            b[SIDES * i + m] = product[i];
        }
    }
    (exact, b)
}

fn solves(name: &str, lu: &mut ShiftedLu, shift: f64, jacobian: &[f64], tolerance: f64) {
    let (exact, b) = sides(&lu.pattern.clone(), shift, jacobian);
    lu.factorize(shift, jacobian).expect("regular");
    let mut rows = b.clone();
    lu.solve_rows(&mut rows, SIDES);
    for (value, truth) in rows.iter().zip(&exact) {
        assert!((value - truth).abs() < tolerance * truth, "{name}, n = {}: {value} against {truth}", b.len() / SIDES);
    }
    for column in 0..SIDES {
        let mut x: Vec<f64> = b.chunks(SIDES).map(|row| row[column]).collect();
        lu.solve(&mut x);
        for (value, row) in x.iter().zip(exact.chunks(SIDES)) {
            assert!((value - row[column]).abs() < tolerance * row[column], "{name}: {value} against {}", row[column]);
        }
    }
}

#[test]
fn every_factorisation_solves_the_same_system() {
    let mut numbers = Numbers(7);
    for n in [1, 2, 3, 5, 17, 60, 300] {
        let scattered = scattered(n, 3, &mut numbers);
        for pattern in [hub(n), CscPattern::empty(n, n), scattered] {
            let jacobian: Vec<f64> = (0..pattern.nnz()).map(|_| numbers.next()).collect();
            for shift in [5.0, 40.0] {
                solves("dense", &mut ShiftedLu::dense(&pattern), shift, &jacobian, 1e-9);
                solves("sparse", &mut ShiftedLu::sparse(&pattern).expect("memory"), shift, &jacobian, 1e-9);
                solves("chosen", &mut ShiftedLu::new(&pattern), shift, &jacobian, 1e-9);
            }
        }
    }
}

#[test]
fn bands_of_every_width_and_parity_are_solved_from_both_ends() {
    let mut numbers = Numbers(11);
    for half in 1..=4 {
        for n in (3 * half + 1..3 * half + 6).chain([50, 51, 203]) {
            let pattern = band(n, half, &mut numbers);
            let mut lu = ShiftedLu::banded(&pattern).unwrap_or_else(|| panic!("{half} {n}"));
            for shift in [3.0 * half as f64, 100.0, 2.5 * half as f64] {
                let jacobian: Vec<f64> = (0..pattern.nnz()).map(|_| numbers.next()).collect();
                solves("banded", &mut lu, shift, &jacobian, 1e-9);
                assert!(!lu.is_pivoted);
            }
        }
    }
}

#[test]
fn a_matrix_that_needs_pivoting_is_solved_all_the_same() {
    // A diagonal that is all but zero; then one that carries the elimination; and back.
    let mut numbers = Numbers(3);
    for n in [8, 40, 90] {
        let cycle = CscPattern::from_entries(n, n, (0..n).flat_map(|c| [((c + 1) % n, c), ((c + 7) % n, c)]));
        let chain = CscPattern::from_entries(n, n, (1..n).flat_map(|c| [(c, c - 1), (c - 1, c)]));
        let lus = [
            ("sparse", ShiftedLu::sparse(&cycle).expect("memory")),
            ("dense", ShiftedLu::dense(&cycle)),
            ("banded", ShiftedLu::banded(&chain).expect("a band")),
        ];
        for (name, mut lu) in lus {
            let jacobian: Vec<f64> = (0..lu.pattern.nnz()).map(|_| 2.0 + numbers.next()).collect();
            for (shift, is_pivoted) in [(1e-14, true), (15.0, false), (1e-14, true)] {
                solves(name, &mut lu, shift, &jacobian, 1e-8);
                assert_eq!(lu.is_pivoted, is_pivoted && name != "dense", "{name}");
            }
        }
    }
}

#[test]
fn what_fills_up_is_a_dense_part_that_exchanges_rows() {
    let mut numbers = Numbers(23);
    for n in [150, 400] {
        let pattern = scattered(n, 4, &mut numbers);
        let symbolic = Symbolic::new(&pattern).expect("memory");
        assert!(symbolic.dense_tail() < n - 24);
        let mut lu = ShiftedLu::sparse(&pattern).expect("memory");
        for shift in [6.0, 0.8, 60.0] {
            let jacobian: Vec<f64> = (0..pattern.nnz()).map(|_| numbers.next()).collect();
            solves("sparse", &mut lu, shift, &jacobian, 1e-7);
        }
    }
}

/// Exchange between neighbours on a ring, nothing lost; each state has a unit of its own.
fn ring(n: usize, unit: impl Fn(usize) -> f64) -> (CscPattern, Vec<f64>) {
    let pattern = CscPattern::from_entries(n, n, (0..n).flat_map(|c| [(c, c), ((c + 1) % n, c), ((c + 7) % n, c)]));
    let mut jacobian = vec![0.0; pattern.nnz()];
    for col in 0..n {
        let (a, b) = (1.0 / (3.0 + col as f64), 0.1 * (col as f64).sqrt());
        for (row, k) in pattern.column(col) {
            let other = if row == (col + 1) % n { a } else { b };
            jacobian[k] = if row == col { -(a + b) } else { other * unit(col) / unit(row) };
        }
    }
    (pattern, jacobian)
}

#[test]
fn a_matrix_that_is_singular_to_rounding_is_refused() {
    type Unit = fn(usize) -> f64;
    let cases: [(Unit, &[f64]); 2] =
        [(|_| 1.0, &[1.0, 1e-3, 1e-9, 1e-14]), (|i| 10_f64.powi((i % 13) as i32 - 6), &[1.0, 1e-3, 1e-9])];
    for (unit, regular) in cases {
        let (pattern, jacobian) = ring(40, unit);
        let mut lu = ShiftedLu::sparse(&pattern).expect("memory");
        assert!(lu.factorize(0.0, &jacobian).is_err(), "all columns add up to zero");
        assert!(lu.factorize(1e-18, &jacobian).is_err(), "the shift is below rounding");
        for &shift in regular {
            assert_eq!(lu.factorize(shift, &jacobian), Ok(()), "shift {shift}");
        }
    }
}

#[test]
fn a_singular_matrix_is_refused_and_named() {
    for n in [6, 120] {
        // Column 4 is empty, and there is no shift.
        let pattern = CscPattern::from_entries(n, n, (0..n).filter(|&i| i != 4).map(|i| (i, i)));
        let jacobian = vec![-1.0; pattern.nnz()];
        let lus = [ShiftedLu::dense(&pattern), ShiftedLu::sparse(&pattern).expect("memory")];
        for mut lu in lus.into_iter().chain(ShiftedLu::banded(&pattern)) {
            assert_eq!(lu.factorize(0.0, &jacobian), Err(Singular { column: 4 }), "{}", lu.solver.name());
            assert_eq!(lu.factorize(0.5, &jacobian), Ok(()));
        }
    }
}

#[test]
fn a_jacobian_that_is_not_finite_is_refused() {
    for n in [5, 100] {
        let pattern = hub(n);
        for wrong in [f64::NAN, f64::INFINITY] {
            let mut jacobian: Vec<f64> = vec![-0.5; pattern.nnz()];
            jacobian[3] = wrong;
            assert!(ShiftedLu::sparse(&pattern).expect("memory").factorize(1.0, &jacobian).is_err());
            assert!(ShiftedLu::dense(&pattern).factorize(1.0, &jacobian).is_err());
        }
        let band = band(n, 1, &mut Numbers(5));
        let mut jacobian: Vec<f64> = vec![-0.5; band.nnz()];
        jacobian[n] = f64::NAN;
        assert!(ShiftedLu::banded(&band).expect("a band").factorize(9.0, &jacobian).is_err());
    }
}

#[test]
fn the_factorisation_is_chosen_by_its_work() {
    let name = |pattern: &CscPattern| ShiftedLu::new(pattern).solver.name();
    let mut numbers = Numbers(1);
    assert_eq!(name(&CscPattern::dense(3, 3)), "dense");
    assert_eq!(name(&hub(8)), "sparse");
    assert_eq!(name(&hub(200)), "sparse");
    assert_eq!(name(&band(200, 2, &mut numbers)), "banded");
    assert_eq!(name(&CscPattern::dense(40, 40)), "dense");
}
