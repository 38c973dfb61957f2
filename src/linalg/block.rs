//! Products and factorisations of small dense blocks, 1 to about 64 rows, column major.
//!
//! The left operand and the result of a product have a multiple of [`ROW`] rows, those that are too many zero: no loop
//! has a remainder, and the compiler keeps tiles of the result in vector registers. Everything is `#[inline(always)]`, to
//! be compiled for the widest vectors inside [`super::wide()`]. Sums run over the inner index in ascending order, whatever
//! the tile.

// Tiles go by index: their sizes are constants, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

/// Rows are padded to a multiple of this.
pub const ROW: usize = 4;

/// `n` rounded up to a multiple of [`ROW`].
pub const fn padded(n: usize) -> usize {
    n.div_ceil(ROW) * ROW
}

/// The right operand of a product.
#[derive(Debug, Clone, Copy)]
pub enum Right<'a> {
    /// `B`, column major with the given distance between columns.
    Plain(&'a [f64], usize),
    /// `Bᵀ`, of which `B` is stored column major with the given distance between columns.
    Transposed(&'a [f64], usize),
}

impl<'a> Right<'a> {
    /// The same without its first `n` columns.
    #[inline(always)]
    fn after_columns(self, n: usize) -> Right<'a> {
        match self {
            Right::Plain(b, ld) => Right::Plain(b.get(n * ld..).unwrap_or(&[]), ld),
            Right::Transposed(b, ld) => Right::Transposed(b.get(n..).unwrap_or(&[]), ld),
        }
    }
}

/// Which part of a product is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Full,
    /// Rows up to the diagonal; some below it may be written as well.
    Upper,
}

/// `C += sign · A B` with `A: rows × inner`, `B: inner × cols`, `C: rows × cols`; `rows` is a multiple of [`ROW`], `lda`
/// and `ldc` are the distances between columns.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn add_product(
    part: Part,
    sign: f64,
    (rows, inner, cols): (usize, usize, usize),
    a: &[f64],
    lda: usize,
    b: Right<'_>,
    c: &mut [f64],
    ldc: usize,
) {
    let mut col = 0;
    while col < cols {
        let width = if cols - col >= 4 { 4 } else { 1 };
        let n_rows = match part {
            Part::Full => rows,
            Part::Upper => rows.min(padded(col + width)),
        };
        let (b, c) = (b.after_columns(col), &mut c[col * ldc..]);
        if width == 4 {
            strip::<4>(sign, n_rows, inner, a, lda, b, c, ldc);
        } else {
            strip::<1>(sign, n_rows, inner, a, lda, b, c, ldc);
        }
        col += width;
    }
}

/// `W` columns of a product, in tiles of 12, 8 and 4 rows.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn strip<const W: usize>(
    sign: f64,
    rows: usize,
    inner: usize,
    a: &[f64],
    lda: usize,
    b: Right<'_>,
    c: &mut [f64],
    ldc: usize,
) {
    let mut row = 0;
    while row < rows {
        let left = rows - row;
        let (a, c) = (&a[row.min(a.len())..], &mut c[row..]);
        if left >= 12 && left != 16 {
            tile::<12, W>(sign, inner, a, lda, b, c, ldc);
            row += 12;
        } else if left >= 8 {
            tile::<8, W>(sign, inner, a, lda, b, c, ldc);
            row += 8;
        } else {
            tile::<4, W>(sign, inner, a, lda, b, c, ldc);
            row += 4;
        }
    }
}

/// `R × W` numbers of a product.
#[inline(always)]
fn tile<const R: usize, const W: usize>(
    sign: f64,
    inner: usize,
    a: &[f64],
    lda: usize,
    b: Right<'_>,
    c: &mut [f64],
    ldc: usize,
) {
    let mut sum = [[0.0; R]; W];
    match b {
        Right::Plain(b, ld) => {
            let mut columns = [&b[..0]; W];
            for j in 0..W {
                columns[j] = &b[j * ld..j * ld + inner];
            }
            for k in 0..inner {
                let Some(left) = a[k * lda..].first_chunk::<R>() else { return };
                for j in 0..W {
                    let right = columns[j][k];
                    for i in 0..R {
                        sum[j][i] += left[i] * right;
                    }
                }
            }
        }
        Right::Transposed(b, ld) => {
            for k in 0..inner {
                let (Some(left), Some(right)) = (a[k * lda..].first_chunk::<R>(), b[k * ld..].first_chunk::<W>())
                else {
                    return;
                };
                for j in 0..W {
                    for i in 0..R {
                        sum[j][i] += left[i] * right[j];
                    }
                }
            }
        }
    }
    for j in 0..W {
        if let Some(target) = c[j * ldc..].first_chunk_mut::<R>() {
            for i in 0..R {
                target[i] += sign * sum[j][i];
            }
        }
    }
}

/// `y += A x` with `A: rows × x.len()`; `rows`, the length of `y`, is a multiple of [`ROW`].
#[inline(always)]
pub fn add_times(a: &[f64], lda: usize, x: &[f64], y: &mut [f64]) {
    let (rows, cols) = (y.len(), x.len());
    strip::<1>(1.0, rows, cols, a, lda, Right::Plain(x, cols), y, rows);
}

/// `aᵀ b` of two slices of one length, a multiple of [`ROW`], in [`ROW`] partial sums.
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = [0.0; ROW];
    for (a, b) in a.chunks_exact(ROW).zip(b.chunks_exact(ROW)) {
        for i in 0..ROW {
            sum[i] += a[i] * b[i];
        }
    }
    (sum[0] + sum[1]) + (sum[2] + sum[3])
}

/// Largest absolute value; not a number where one of them is none or infinite.
#[inline(always)]
pub fn largest(list: &[f64]) -> f64 {
    let (mut most, mut check) = ([0.0_f64; 8], [0.0; 8]);
    let chunks = list.chunks_exact(8);
    for &v in chunks.remainder() {
        most[0] = if v.abs() > most[0] { v.abs() } else { most[0] };
        check[0] += 0.0 * v;
    }
    for chunk in chunks {
        for i in 0..8 {
            most[i] = if chunk[i].abs() > most[i] { chunk[i].abs() } else { most[i] };
            check[i] += 0.0 * chunk[i];
        }
    }
    (0..8).fold(0.0, |a: f64, i| a.max(most[i])) + check.iter().sum::<f64>()
}

/// `target: cols × rows` = the transpose of `a: rows × cols` with `lda`, the distance between columns, a multiple of
/// [`ROW`] not below `rows`.
#[inline(always)]
pub fn transpose(rows: usize, cols: usize, a: &[f64], lda: usize, target: &mut [f64], ldt: usize) {
    let whole = cols - cols % ROW;
    for col in (0..whole).step_by(ROW) {
        for row in (0..rows).step_by(ROW) {
            let mut square = [[0.0; ROW]; ROW];
            for j in 0..ROW {
                if let Some(column) = a[(col + j) * lda + row..].first_chunk::<ROW>() {
                    square[j] = *column;
                }
            }
            for i in 0..ROW.min(rows - row) {
                if let Some(line) = target[(row + i) * ldt + col..].first_chunk_mut::<ROW>() {
                    for j in 0..ROW {
                        line[j] = square[j][i];
                    }
                }
            }
        }
    }
    for col in whole..cols {
        for row in 0..rows {
            target[row * ldt + col] = a[col * lda + row];
        }
    }
}

/// `y += factor · x`
#[inline(always)]
pub fn add_scaled(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// What a pivot of a factorisation turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pivot {
    /// Not positive, by more than rounding.
    Negative,
    /// Not a number.
    NotFinite,
}

/// The bounds on pivots below which [`factorize`] gives up or lifts.
#[derive(Debug, Clone, Copy)]
pub struct PivotRule {
    /// A pivot within this, relative to the matrix's diagonal, of zero counts as zero.
    pub zero: f64,
    /// What a zero pivot becomes, relative to the larger of the diagonal and `scale`.
    pub lift: f64,
    /// A typical curvature.
    pub scale: f64,
}

/// Cholesky factor of the `m × m` matrix whose upper triangle stands in `a` (column distance `lda`): `factor: m × m`
/// (column distance `m`, lower triangle) and the reciprocals of its diagonal. Returns how many pivots counted as zero
/// and were lifted.
///
/// # Errors
/// At the first pivot that is negative or not finite.
#[inline(always)]
pub fn factorize(
    m: usize,
    a: &[f64],
    lda: usize,
    rule: PivotRule,
    factor: &mut [f64],
    reciprocal: &mut [f64],
) -> Result<usize, Pivot> {
    let mut lifted = 0;
    for j in 0..m {
        let diagonal = a[j * lda + j];
        let mut pivot = diagonal;
        for k in 0..j {
            pivot -= factor[k * m + j] * factor[k * m + j];
        }
        let tolerance = rule.zero * diagonal.abs().max(rule.zero * rule.scale);
        if !pivot.is_finite() {
            return Err(Pivot::NotFinite);
        }
        if pivot < -tolerance {
            return Err(Pivot::Negative);
        }
        if pivot <= tolerance {
            lifted += 1;
            pivot = rule.lift * diagonal.abs().max(rule.scale);
        }
        let root = pivot.sqrt();
        let inverse = 1.0 / root;
        factor[j * m + j] = root;
        reciprocal[j] = inverse;
        for i in j + 1..m {
            let mut sum = a[i * lda + j];
            for k in 0..j {
                sum -= factor[k * m + i] * factor[k * m + j];
            }
            factor[j * m + i] = sum * inverse;
        }
    }
    Ok(lifted)
}

/// `X ← X L⁻ᵀ` with the lower factor `L: m × m` and `X: rows × m` (column distance `ldx`).
#[inline(always)]
pub fn solve_right(m: usize, factor: &[f64], reciprocal: &[f64], rows: usize, x: &mut [f64], ldx: usize) {
    for j in 0..m {
        let (done, rest) = x.split_at_mut(j * ldx);
        let column = &mut rest[..rows];
        for k in 0..j {
            add_scaled(-factor[k * m + j], &done[k * ldx..k * ldx + rows], column);
        }
        column.iter_mut().for_each(|v| *v *= reciprocal[j]);
    }
}

/// `x ← L⁻¹ x`
#[inline(always)]
pub fn solve_lower(m: usize, factor: &[f64], reciprocal: &[f64], x: &mut [f64]) {
    for j in 0..m {
        let value = x[j] * reciprocal[j];
        x[j] = value;
        for i in j + 1..m {
            x[i] -= factor[j * m + i] * value;
        }
    }
}

/// `x ← L⁻ᵀ x`
#[inline(always)]
pub fn solve_upper(m: usize, factor: &[f64], reciprocal: &[f64], x: &mut [f64]) {
    for j in (0..m).rev() {
        let mut sum = x[j];
        for i in j + 1..m {
            sum -= factor[j * m + i] * x[i];
        }
        x[j] = sum * reciprocal[j];
    }
}

/// Copies the upper triangle of `a: n × n` (column distance `lda`) to the lower.
#[inline(always)]
pub fn mirror(n: usize, a: &mut [f64], lda: usize) {
    for j in 1..n {
        for i in 0..j {
            a[i * lda + j] = a[j * lda + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 + seed) * 12.9898).sin()).collect()
    }

    #[test]
    fn products_of_all_sizes_are_those_of_single_sums() {
        for (n, inner, cols) in [(1, 3, 1), (4, 4, 5), (9, 2, 6), (13, 7, 4), (21, 21, 24), (45, 45, 48)] {
            let (rows, lda) = (padded(n), padded(n) + 4);
            let mut a = numbers(lda * inner, 1.0);
            a.chunks_mut(lda).for_each(|column| column[n..].fill(0.0));
            let (b, bt) = (numbers(inner * cols, 2.0), {
                let b = numbers(inner * cols, 2.0);
                let mut bt = vec![0.0; inner * cols];
                (0..cols).for_each(|j| (0..inner).for_each(|k| bt[k * cols + j] = b[j * inner + k]));
                bt
            });
            let start = numbers(rows * cols, 3.0);
            let mut plain = start.clone();
            let mut transposed = start.clone();
            let mut upper = start.clone();
            let size = (rows, inner, cols);
            add_product(Part::Full, -1.0, size, &a, lda, Right::Plain(&b, inner), &mut plain, rows);
            add_product(Part::Full, -1.0, size, &a, lda, Right::Transposed(&bt, cols), &mut transposed, rows);
            add_product(Part::Upper, -1.0, size, &a, lda, Right::Plain(&b, inner), &mut upper, rows);
            assert_eq!(plain, transposed);
            for j in 0..cols {
                for i in 0..n {
                    let sum: f64 = (0..inner).map(|k| a[k * lda + i] * b[j * inner + k]).sum();
                    assert!((plain[j * rows + i] - start[j * rows + i] + sum).abs() < 1e-13);
                    assert!(i > j || upper[j * rows + i] == plain[j * rows + i]);
                }
            }
        }
    }

    #[test]
    fn factors_solve_their_matrix() {
        for m in [1, 2, 3, 5, 8] {
            let square = numbers(m * m, 0.5);
            let mut a = vec![0.0; m * m];
            for i in 0..m {
                for j in 0..m {
                    let product: f64 = (0..m).map(|k| square[k * m + i] * square[k * m + j]).sum();
                    a[j * m + i] = product + if i == j { 0.1 } else { 0.0 };
                }
            }
            let (mut factor, mut reciprocal) = (vec![0.0; m * m], vec![0.0; m]);
            let rule = PivotRule { zero: 1e-12, lift: 1e-8, scale: 1.0 };
            assert_eq!(factorize(m, &a, m, rule, &mut factor, &mut reciprocal), Ok(0));
            let right = numbers(m, 7.0);
            let mut x = right.clone();
            solve_lower(m, &factor, &reciprocal, &mut x);
            solve_upper(m, &factor, &reciprocal, &mut x);
            for i in 0..m {
                let sum: f64 = (0..m).map(|j| a[j * m + i] * x[j]).sum();
                assert!((sum - right[i]).abs() < 1e-11);
            }
            // X L⁻ᵀ of one row is L⁻¹ of that row.
            let mut row = vec![0.0; ROW * m];
            (0..m).for_each(|j| row[j * ROW] = right[j]);
            solve_right(m, &factor, &reciprocal, ROW, &mut row, ROW);
            let mut lower = right.clone();
            solve_lower(m, &factor, &reciprocal, &mut lower);
            (0..m).for_each(|j| assert!((row[j * ROW] - lower[j]).abs() < 1e-14));
            a[(m - 1) * (m + 1)] -= 1e3;
            assert_eq!(factorize(m, &a, m, rule, &mut factor, &mut reciprocal), Err(Pivot::Negative));
        }
    }

    #[test]
    fn transposes_and_norms_of_odd_sizes() {
        let (rows, cols) = (6, 7);
        let a = numbers(8 * cols, 4.0);
        let mut t = vec![0.0; 12 * rows];
        transpose(rows, cols, &a, 8, &mut t, 12);
        (0..rows).for_each(|i| (0..cols).for_each(|j| assert_eq!(t[i * 12 + j], a[j * 8 + i])));
        let list = [1.0, -3.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -4.0];
        assert_eq!(largest(&list), 4.0);
        assert!(largest(&[0.0, f64::NAN]).is_nan() && largest(&[f64::INFINITY]).is_nan());
    }
}
