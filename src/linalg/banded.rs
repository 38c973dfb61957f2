//! Banded LU of `shift I - J`, eliminated from both ends at once towards the middle.
//!
//! Elimination in a band is a chain: each pivot waits for the one before, a division long. Two ends make two
//! independent chains without a further operation or any fill (van der Vorst 1987, Large tridiagonal and block
//! tridiagonal linear systems on vector and parallel computers), which the processor runs in the two halves of a vector:
//! lane 0 holds place s, lane 1 place n - 1 - s. The ends meet in a middle of half bandwidth or one more rows, which
//! is dense. Pivots stand on the diagonal but for the middle; a growth beyond [`GROWTH`] refuses the factorisation.
//! The Jacobian's values are read where they are needed, by position.

use super::order::small_bandwidth;
use super::symbolic::GROWTH;
use super::{CscPattern, DenseLu};

/// The largest half bandwidth with code of its own.
const LARGEST: usize = 4;

/// One number from each end.
type Pair = [f64; 2];

/// The factors of one banded matrix after the other, all of one pattern.
#[derive(Debug, Clone)]
pub struct BandedLu {
    band: Band,
}

/// By half bandwidth.
#[derive(Debug, Clone)]
enum Band {
    One(TwoEnds<1>),
    Two(TwoEnds<2>),
    Three(TwoEnds<3>),
    Four(TwoEnds<4>),
}

impl BandedLu {
    /// Orders a square pattern for a small bandwidth. `None` where half of it is more than four, or hardly less than
    /// the order.
    pub fn new(pattern: &CscPattern) -> Option<Self> {
        let n = pattern.n_cols();
        u32::try_from(pattern.nnz()).ok()?;
        let (order, half) = small_bandwidth(pattern);
        if half > LARGEST || n < 3 * half.max(1) + 1 {
            return None;
        }
        let band = match half {
            0 | 1 => Band::One(TwoEnds::new(pattern, &order)),
            2 => Band::Two(TwoEnds::new(pattern, &order)),
            3 => Band::Three(TwoEnds::new(pattern, &order)),
            _ => Band::Four(TwoEnds::new(pattern, &order)),
        };
        Some(BandedLu { band })
    }

    /// Half the bandwidth.
    pub fn half_bandwidth(&self) -> usize {
        match &self.band {
            Band::One(_) => 1,
            Band::Two(_) => 2,
            Band::Three(_) => 3,
            Band::Four(_) => 4,
        }
    }

    /// Factorises `shift I - J`. Returns false where a pivot cancels or grows too much.
    pub fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> bool {
        match &mut self.band {
            Band::One(band) => band.factorize(shift, jacobian),
            Band::Two(band) => band.factorize(shift, jacobian),
            Band::Three(band) => band.factorize(shift, jacobian),
            Band::Four(band) => band.factorize(shift, jacobian),
        }
    }

    /// `b: n` becomes the solution.
    pub fn solve(&mut self, b: &mut [f64]) {
        self.solve_rows(b, 1);
    }

    /// `b: n × m`, row major, becomes the solution, for four columns at a time: they make further independent chains.
    pub fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        match &mut self.band {
            Band::One(band) => band.solve_rows(b, m),
            Band::Two(band) => band.solve_rows(b, m),
            Band::Three(band) => band.solve_rows(b, m),
            Band::Four(band) => band.solve_rows(b, m),
        }
    }
}

/// What comes into the window of elimination at a step: positions among the Jacobian's values, `u32::MAX` where there
/// is none. The window's rows are `s..s + K`; what comes in is row and column `s + K`.
#[derive(Debug, Clone, Copy)]
struct Entering<const K: usize> {
    diagonal: [u32; 2],
    /// Row s + K, columns s..s + K.
    row: [[u32; 2]; K],
    /// Column s + K, rows s..s + K.
    column: [[u32; 2]; K],
}

/// The factors at one place from each end: the multipliers negated, the row of U divided by the pivot and negated.
#[derive(Debug, Clone, Copy)]
struct Factors<const K: usize> {
    inverse: Pair,
    lower: [Pair; K],
    upper: [Pair; K],
}

/// The elimination in a band of half bandwidth K.
#[derive(Debug, Clone)]
struct TwoEnds<const K: usize> {
    /// The original index at each place, from both ends; as many as are eliminated from an end.
    places: Vec<[u32; 2]>,
    /// What stands in the first window: row, column and lane, and the position.
    first: Vec<([usize; 3], u32)>,
    entering: Vec<Entering<K>>,
    factors: Vec<Factors<K>>,
    /// The original index of each row of the middle.
    middle_places: Vec<u32>,
    /// Entries of the middle: index in its values, column by column, and the position.
    middle_entries: Vec<(usize, u32)>,
    middle: DenseLu,
    middle_sides: Vec<f64>,
    /// Right-hand sides from both ends.
    sides: Vec<Pair>,
}

const NONE: u32 = u32::MAX;

impl<const K: usize> TwoEnds<K> {
    fn new(pattern: &CscPattern, order: &[usize]) -> Self {
        let n = order.len();
        let steps = (n - K) / 2;
        let n_middle = n - 2 * steps;
        let is_middle = |place: usize| (steps..steps + n_middle).contains(&place);
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
        let none = Entering { diagonal: [NONE; 2], row: [[NONE; 2]; K], column: [[NONE; 2]; K] };
        let zero = Factors { inverse: [0.0; 2], lower: [[0.0; 2]; K], upper: [[0.0; 2]; K] };
        let mut band = TwoEnds {
            places: (0..steps).map(|s| [order[s] as u32, order[n - 1 - s] as u32]).collect(),
            first: Vec::new(),
            entering: vec![none; steps],
            factors: vec![zero; steps],
            middle_places: order[steps..steps + n_middle].iter().map(|&old| old as u32).collect(),
            middle_entries: Vec::new(),
            middle: DenseLu::new(n_middle),
            middle_sides: vec![0.0; n_middle],
            sides: vec![[0.0; 2]; steps],
        };
        for (col, row, k) in (0..n).flat_map(|c| pattern.column(c).map(move |(r, k)| (c, r, k as u32))) {
            let (i, j) = (place[row], place[col]);
            if is_middle(i) && is_middle(j) {
                band.middle_entries.push(((j - steps) * n_middle + i - steps, k));
                continue;
            }
            // Places counted from the end that the entry belongs to.
            let lane = usize::from(i.min(j) >= steps);
            let (i, j) = if lane == 0 { (i, j) } else { (n - 1 - i, n - 1 - j) };
            let last = i.max(j);
            if last < K {
                band.first.push(([i, j, lane], k));
            } else {
                let entering = &mut band.entering[last - K];
                if i == j {
                    entering.diagonal[lane] = k;
                } else if i > j {
                    entering.row[j + K - last][lane] = k;
                } else {
                    entering.column[i + K - last][lane] = k;
                }
            }
        }
        band
    }

    fn factorize(&mut self, shift: f64, jacobian: &[f64]) -> bool {
        // Beyond the end of the slice stands what the matrix does not store.
        let value = |k: u32| jacobian.get(k as usize).map_or(0.0, |v| -v);
        let values = |k: [u32; 2]| [value(k[0]), value(k[1])];
        let mut window = [[[0.0; 2]; K]; K];
        for (i, row) in window.iter_mut().enumerate() {
            row[i] = [shift; 2];
        }
        for &([i, j, lane], k) in &self.first {
            window[i][j][lane] += value(k);
        }
        let mut own: [Pair; K] = std::array::from_fn(|i| abs(window[i][i]));
        let mut sizes = own;
        let mut is_sound = true;
        let n_plain = self.entering.len() - K;
        for (s, (entering, factors)) in self.entering.iter().zip(&mut self.factors).enumerate() {
            // The diagonal of the middle belongs to neither end.
            let shift = if s < n_plain { shift } else { 0.0 };
            let (row, column) = (entering.row.map(values), entering.column.map(values));
            let diagonal = add([shift; 2], values(entering.diagonal));

            let pivot = window[0][0];
            for lane in 0..2 {
                // Written so that values that are not numbers are refused too.
                is_sound &= sizes[0][lane] < GROWTH * pivot[lane].abs().min(own[0][lane]);
            }
            let inverse = [1.0 / pivot[0], 1.0 / pivot[1]];
            let minus = [-inverse[0], -inverse[1]];
            let lower: [Pair; K] =
                std::array::from_fn(|i| mul(if i + 1 < K { window[i + 1][0] } else { row[0] }, minus));
            let upper: [Pair; K] = std::array::from_fn(|j| if j + 1 < K { window[0][j + 1] } else { column[0] });
            *factors = Factors { inverse, lower, upper: upper.map(|u| mul(u, minus)) };
            let mut next = [[[0.0; 2]; K]; K];
            for i in 0..K {
                for j in 0..K {
                    let old = match (i + 1 < K, j + 1 < K) {
                        (true, true) => window[i + 1][j + 1],
                        (true, false) => column[i + 1],
                        (false, true) => row[j + 1],
                        (false, false) => diagonal,
                    };
                    let product = mul(lower[i], upper[j]);
                    next[i][j] = add(old, product);
                    if i == j {
                        own[i] = if i + 1 < K { own[i + 1] } else { abs(diagonal) };
                        sizes[i] = add(if i + 1 < K { sizes[i + 1] } else { own[i] }, abs(product));
                    }
                }
            }
            window = next;
        }
        let n_middle = self.middle_places.len();
        let middle = self.middle.values_mut();
        middle.fill(0.0);
        (0..n_middle).for_each(|i| middle[i * n_middle + i] = shift);
        for &(index, k) in &self.middle_entries {
            middle[index] += value(k);
        }
        for (i, row) in window.iter().enumerate() {
            for (j, &[first, second]) in row.iter().enumerate() {
                middle[j * n_middle + i] += first;
                middle[(n_middle - 1 - j) * n_middle + n_middle - 1 - i] += second;
            }
        }
        self.middle.factorize().is_ok() && is_sound
    }

    fn solve_rows(&mut self, b: &mut [f64], m: usize) {
        if m == 1 {
            return self.solve::<1>(b, 1, 0);
        }
        for first in (0..m - m % 4).step_by(4) {
            self.solve::<4>(b, m, first);
        }
        for first in m - m % 4..m {
            self.solve::<1>(b, m, first);
        }
    }

    /// Solves for C columns of `b`, row major with `stride` columns, from the given one on.
    #[inline(always)]
    fn solve<const C: usize>(&mut self, b: &mut [f64], stride: usize, column: usize) {
        let n_steps = self.factors.len();
        let n_middle = self.middle_places.len();
        let index = |place: u32| place as usize * stride + column;
        let load = |b: &[f64], places: [u32; 2]| -> [Pair; C] {
            let (first, second) = (&b[index(places[0])..][..C], &b[index(places[1])..][..C]);
            std::array::from_fn(|c| [first[c], second[c]])
        };
        let mut window: [[Pair; C]; K] = std::array::from_fn(|i| load(b, self.places[i]));
        let mut step = |factors: &Factors<K>, entering: [Pair; C], side: &mut [Pair; C]| {
            let value = window[0];
            *side = value;
            for i in 0..K {
                let old = if i + 1 < K { window[i + 1] } else { entering };
                window[i] = std::array::from_fn(|c| add(old[c], mul(factors.lower[i], value[c])));
            }
        };
        if self.sides.len() < n_steps * C {
            self.sides.resize(n_steps * C, [0.0; 2]);
        }
        let sides = &mut self.sides.as_chunks_mut::<C>().0[..n_steps];
        let (plain, rest) = self.factors.split_at(n_steps - K);
        let (plain_sides, rest_sides) = sides.split_at_mut(n_steps - K);
        for ((factors, places), side) in plain.iter().zip(&self.places[K..]).zip(plain_sides) {
            step(factors, load(b, *places), side);
        }
        for (factors, side) in rest.iter().zip(rest_sides) {
            step(factors, [[0.0; 2]; C], side);
        }

        let middle = &mut self.middle_sides;
        let mut ends = [[[0.0; 2]; C]; K];
        for c in 0..C {
            for (value, &place) in middle.iter_mut().zip(&self.middle_places) {
                *value = b[index(place) + c];
            }
            for (i, values) in window.iter().enumerate() {
                middle[i] += values[c][0];
                middle[n_middle - 1 - i] += values[c][1];
            }
            self.middle.solve(middle);
            for (value, &place) in middle.iter().zip(&self.middle_places) {
                b[index(place) + c] = *value;
            }
            for (i, values) in ends.iter_mut().enumerate() {
                values[c] = [middle[i], middle[n_middle - 1 - i]];
            }
        }

        for ((factors, places), side) in self.factors.iter().zip(&self.places).zip(sides.iter()).rev() {
            let mut value: [Pair; C] = std::array::from_fn(|c| mul(side[c], factors.inverse));
            // The neighbour, which was computed last, comes last.
            for j in (0..K).rev() {
                value = std::array::from_fn(|c| add(value[c], mul(factors.upper[j], ends[j][c])));
            }
            ends.copy_within(..K - 1, 1);
            ends[0] = value;
            for (c, pair) in value.iter().enumerate() {
                b[index(places[0]) + c] = pair[0];
                b[index(places[1]) + c] = pair[1];
            }
        }
    }
}

#[inline(always)]
fn add(a: Pair, b: Pair) -> Pair {
    [a[0] + b[0], a[1] + b[1]]
}

#[inline(always)]
fn mul(a: Pair, b: Pair) -> Pair {
    [a[0] * b[0], a[1] * b[1]]
}

#[inline(always)]
fn abs(a: Pair) -> Pair {
    [a[0].abs(), a[1].abs()]
}
