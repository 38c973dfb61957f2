//! Vectors in groups of four: loops of constant length, which the compiler turns into vector instructions.
//!
//! A padded vector holds `len` components in `n_groups(len)` groups; what lies beyond stays zero. Sums run over the
//! stages of a formula in their order and over components in four lanes that are added up at last, so that a result
//! does not depend on how a loop is compiled.

/// Components in a group.
pub(super) const WIDTH: usize = 4;
/// One number for each component of a group.
pub(super) type Lanes = [f64; WIDTH];
/// Nothing.
pub(super) const ZERO: Lanes = [0.0; WIDTH];

/// Number of groups that hold `len` components.
pub(super) fn n_groups(len: usize) -> usize {
    len.div_ceil(WIDTH)
}

/// Group `k` of a vector that is not padded.
#[inline(always)]
pub(super) fn load(values: &[f64], k: usize) -> Lanes {
    let rest = values.get(WIDTH * k..).unwrap_or(&[]);
    match rest.first_chunk() {
        Some(group) => *group,
        None => {
            let mut group = ZERO;
            group[..rest.len()].copy_from_slice(rest);
            group
        }
    }
}

/// The sum of the lanes.
#[inline(always)]
pub(super) fn across(lanes: Lanes) -> f64 {
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// Calls a function that has a number of terms as a constant.
macro_rules! by_count {
    ($count:expr, $call:ident ( $($argument:expr),* )) => {
        match $count {
            0 => {}
            1 => $call::<1>($($argument),*),
            2 => $call::<2>($($argument),*),
            3 => $call::<3>($($argument),*),
            4 => $call::<4>($($argument),*),
            5 => $call::<5>($($argument),*),
            6 => $call::<6>($($argument),*),
            7 => $call::<7>($($argument),*),
            _ => $call::<8>($($argument),*),
        }
    };
}
pub(super) use by_count;

/// The first `N` rows of a matrix of padded vectors, each of `stride` groups.
fn rows<const N: usize>(matrix: &[Lanes], stride: usize) -> [&[Lanes]; N] {
    std::array::from_fn(|j| &matrix[j * stride..(j + 1) * stride])
}

/// `out = base + Σ weights_j row_j` over the first rows of a matrix, one for each weight, at most eight; an empty base
/// is zero. Only the components of `out` are computed; rows have `stride` groups.
pub(super) fn combine(out: &mut [f64], base: &[f64], weights: &[f64], matrix: &[Lanes], stride: usize) {
    by_count!(weights.len(), combine_count(out, base, weights, matrix, stride));
}

fn combine_count<const N: usize>(out: &mut [f64], base: &[f64], weights: &[f64], matrix: &[Lanes], stride: usize) {
    let rows: [&[Lanes]; N] = rows(matrix, stride);
    let weights: [f64; N] = std::array::from_fn(|j| weights[j]);
    for (k, out) in out.chunks_mut(WIDTH).enumerate() {
        let mut sum = load(base, k);
        for (row, weight) in rows.iter().zip(weights) {
            for (sum, value) in sum.iter_mut().zip(row[k]) {
                *sum += weight * value;
            }
        }
        match out.first_chunk_mut() {
            Some(group) => *group = sum,
            None => out.copy_from_slice(&sum[..out.len()]),
        }
    }
}

/// Calls a function that has a number of terms up to sixteen as a constant.
macro_rules! by_terms {
    ($count:expr, $call:ident $arguments:tt, $($n:literal)*) => {
        match $count {
            $($n => by_terms!(@ $call $n $arguments),)*
            _ => by_terms!(@ $call 16 $arguments),
        }
    };
    (@ $call:ident $n:literal ( $($argument:expr),* )) => { $call::<$n>($($argument),*) };
}

/// `out = base + Σ weights_j row_j` over the rows of a matrix that `rows` names, one for each weight, at most sixteen; an
/// empty base is zero. Only the components of `out` are computed; rows have `stride` groups.
pub(super) fn combine_some(
    out: &mut [f64],
    base: &[f64],
    weights: &[f64],
    rows: &[usize],
    matrix: &[Lanes],
    stride: usize,
) {
    by_terms!(weights.len(), combine_some_count(out, base, weights, rows, matrix, stride), 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

fn combine_some_count<const N: usize>(
    out: &mut [f64],
    base: &[f64],
    weights: &[f64],
    rows: &[usize],
    matrix: &[Lanes],
    stride: usize,
) {
    let rows: [&[Lanes]; N] = std::array::from_fn(|j| &matrix[rows[j] * stride..(rows[j] + 1) * stride]);
    let weights: [f64; N] = std::array::from_fn(|j| weights[j]);
    for (k, out) in out.chunks_mut(WIDTH).enumerate() {
        let mut sum = load(base, k);
        for (row, weight) in rows.iter().zip(weights) {
            for (sum, value) in sum.iter_mut().zip(row[k]) {
                *sum += weight * value;
            }
        }
        match out.first_chunk_mut() {
            Some(group) => *group = sum,
            None => out.copy_from_slice(&sum[..out.len()]),
        }
    }
}

/// The two sums of a stage in one pass: `point = z + Σ a_j row_j` and `shift = Σ c_j row_j`.
pub(super) fn combine_twice(
    point: &mut [Lanes],
    shift: &mut [Lanes],
    z: &[f64],
    a: &[f64],
    c: &[f64],
    matrix: &[Lanes],
) {
    by_count!(a.len(), combine_twice_count(point, shift, z, a, c, matrix));
}

fn combine_twice_count<const N: usize>(
    point: &mut [Lanes],
    shift: &mut [Lanes],
    z: &[f64],
    a: &[f64],
    c: &[f64],
    matrix: &[Lanes],
) {
    let rows: [&[Lanes]; N] = rows(matrix, point.len());
    let a: [f64; N] = std::array::from_fn(|j| a[j]);
    let c: [f64; N] = std::array::from_fn(|j| c[j]);
    for (k, (point, shift)) in point.iter_mut().zip(shift).enumerate() {
        let (mut value, mut sum) = (load(z, k), ZERO);
        for j in 0..N {
            let row = rows[j][k];
            for i in 0..WIDTH {
                value[i] += a[j] * row[i];
                sum[i] += c[j] * row[i];
            }
        }
        *point = value;
        *shift = sum;
    }
}

/// The same where `point` of the stage before, plus the last row, is this stage's.
pub(super) fn continue_twice(point: &mut [Lanes], shift: &mut [Lanes], c: &[f64], matrix: &[Lanes]) {
    by_count!(c.len(), continue_twice_count(point, shift, c, matrix));
}

fn continue_twice_count<const N: usize>(point: &mut [Lanes], shift: &mut [Lanes], c: &[f64], matrix: &[Lanes]) {
    let rows: [&[Lanes]; N] = rows(matrix, point.len());
    let c: [f64; N] = std::array::from_fn(|j| c[j]);
    for (k, (point, shift)) in point.iter_mut().zip(shift).enumerate() {
        let mut sum = ZERO;
        for j in 0..N {
            let row = rows[j][k];
            for i in 0..WIDTH {
                sum[i] += c[j] * row[i];
            }
        }
        for i in 0..WIDTH {
            point[i] += rows[N - 1][k][i];
        }
        *shift = sum;
    }
}
