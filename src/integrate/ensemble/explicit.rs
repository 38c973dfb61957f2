//! One step of Tsit5 for L members at once, each with its own step length.
//!
//! The formulas are those of [`super::super::explicit`] for an autonomous system without sensitivities, in the same order
//! of operations: a lane has the bits of the integrator for one system.

// Loops over lanes go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use super::super::controller::Norm;
use super::super::tsit5::TSIT5;
use super::formula::{Held, Row};
use crate::linalg::{Wide, wide};
use crate::system::{LaneSystem, Work};

/// Stages of the method.
const STAGES: usize = 7;

/// The stages of the present step.
pub(super) struct LaneTsit5<const L: usize> {
    n: usize,
    work: Work,
    /// `STAGES × n`
    k: Vec<Row<L>>,
    /// Where the last stage but one was evaluated.
    point: Vec<Row<L>>,
    /// The estimate of the error.
    pub error: Vec<Row<L>>,
    /// True where the first stage of every lane is that of the point its next step starts from.
    has_first: bool,
}

impl<const L: usize> LaneTsit5<L> {
    /// For one system.
    pub fn new(system: &dyn LaneSystem) -> Self {
        let n = system.single().dims().n_states;
        let rows = |count: usize| vec![[0.0; L]; count];
        LaneTsit5 { n, work: system.work(), k: rows(STAGES * n), point: rows(n), error: rows(n), has_first: false }
    }

    /// Says that some lane starts from a new point. The stages of the others come out as they were.
    pub fn restart(&mut self) {
        self.has_first = false;
    }

    /// Computes `x_new` at the end of steps of length `h`, and the estimate of its error.
    pub fn attempt(&mut self, system: &dyn LaneSystem, held: &Held<L>, h: &Row<L>, x: &[Row<L>], x_new: &mut [Row<L>]) {
        wide(Attempt { formula: self, system, held, h, x, x_new });
    }

    #[inline(always)]
    fn make(&mut self, system: &dyn LaneSystem, held: &Held<L>, h: &Row<L>, x: &[Row<L>], x_new: &mut [Row<L>]) {
        let n = self.n;
        if !self.has_first {
            system.rhs(held.at(x), &mut self.work, self.k[..n].as_flattened_mut());
            self.has_first = true;
        }
        for i in 1..STAGES {
            let (done, rest) = self.k.split_at_mut(i * n);
            let point = if i + 1 == STAGES { &mut *x_new } else { &mut self.point[..] };
            let a = TSIT5.a[i];
            match i {
                1 => combine::<L, 1>(point, Some(x), a, h, done),
                2 => combine::<L, 2>(point, Some(x), a, h, done),
                3 => combine::<L, 3>(point, Some(x), a, h, done),
                4 => combine::<L, 4>(point, Some(x), a, h, done),
                5 => combine::<L, 5>(point, Some(x), a, h, done),
                _ => combine::<L, 6>(point, Some(x), a, h, done),
            }
            system.rhs(held.at(point), &mut self.work, rest[..n].as_flattened_mut());
        }
        combine::<L, STAGES>(&mut self.error, None, TSIT5.error.unwrap_or(&[]), h, &self.k);
    }

    /// Says which lanes go on from the end of their step: their last stage is the next one's first.
    pub fn accept(&mut self, moves: &[bool; L]) {
        let (first, rest) = self.k.split_at_mut(self.n);
        let last = &rest[(STAGES - 2) * self.n..];
        for (first, last) in first.iter_mut().zip(last) {
            for lane in 0..L {
                first[lane] = if moves[lane] { last[lane] } else { first[lane] };
            }
        }
    }

    /// The estimates of `h |lambda|` from the last two stages, as [`super::super::explicit::Explicit::stiffness`].
    pub fn stiffness(&self, norm: &Norm, x_new: &[Row<L>], h: &Row<L>) -> Row<L> {
        wide(Measure { formula: self, norm, x_new, h })
    }

    #[inline(always)]
    fn measure(&self, norm: &Norm, x_new: &[Row<L>], h: &Row<L>) -> Row<L> {
        let (mut slope, mut distance) = ([0.0; L], [0.0; L]);
        let before = &self.k[(STAGES - 2) * self.n..(STAGES - 1) * self.n];
        let last = &self.k[(STAGES - 1) * self.n..];
        for i in 0..self.n {
            for lane in 0..L {
                let tolerance = norm.atol[i] + norm.rtol * x_new[i][lane].abs();
                let tolerance = if tolerance > f64::MIN_POSITIVE { tolerance } else { f64::MIN_POSITIVE };
                let (rise, run) = (last[i][lane] - before[i][lane], x_new[i][lane] - self.point[i][lane]);
                let (rise, run) = (rise / tolerance, run / tolerance);
                slope[lane] += rise * rise;
                distance[lane] += run * run;
            }
        }
        std::array::from_fn(
            |lane| {
                if distance[lane] > 0.0 { h[lane] * (slope[lane] / distance[lane]).sqrt() } else { 0.0 }
            },
        )
    }

    /// True where the derivative at the start of the lane's step is finite.
    pub fn is_finite(&self, lane: usize) -> bool {
        self.k[..self.n].iter().all(|row| row[lane].is_finite())
    }

    /// `out: n` = the lane's state at `theta` of the step of length `h` just made.
    pub fn interpolate(&self, lane: usize, theta: f64, h: f64, x: &[Row<L>], out: &mut [f64]) {
        let weights = TSIT5.dense_weights(theta).map(|weight| h * weight);
        for (i, value) in out.iter_mut().enumerate() {
            *value = x[i][lane];
            for (j, weight) in weights[..STAGES].iter().enumerate() {
                *value += weight * self.k[j * self.n + i][lane];
            }
        }
    }
}

struct Attempt<'a, const L: usize> {
    formula: &'a mut LaneTsit5<L>,
    system: &'a dyn LaneSystem,
    held: &'a Held<L>,
    h: &'a Row<L>,
    x: &'a [Row<L>],
    x_new: &'a mut [Row<L>],
}

impl<const L: usize> Wide for Attempt<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.formula.make(self.system, self.held, self.h, self.x, self.x_new);
    }
}

struct Measure<'a, const L: usize> {
    formula: &'a LaneTsit5<L>,
    norm: &'a Norm,
    x_new: &'a [Row<L>],
    h: &'a Row<L>,
}

impl<const L: usize> Wide for Measure<'_, L> {
    type Output = Row<L>;

    #[inline(always)]
    fn run(self) -> Row<L> {
        self.formula.measure(self.norm, self.x_new, self.h)
    }
}

/// `out = base + Σ (h a_j) k_j` over S stages; no base is zero.
#[inline(always)]
fn combine<const L: usize, const S: usize>(
    out: &mut [Row<L>],
    base: Option<&[Row<L>]>,
    a: &[f64],
    h: &Row<L>,
    k: &[Row<L>],
) {
    let n = out.len();
    let weights: [Row<L>; S] = std::array::from_fn(|j| h.map(|h| h * a[j]));
    let stages: [&[Row<L>]; S] = std::array::from_fn(|j| &k[j * n..(j + 1) * n]);
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = base.map_or([0.0; L], |base| base[i]);
        for j in 0..S {
            let slope = &stages[j][i];
            for lane in 0..L {
                sum[lane] += weights[j][lane] * slope[lane];
            }
        }
        *out = sum;
    }
}
