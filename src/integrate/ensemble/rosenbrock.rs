//! One step of Rodas5P for L members at once, each with its own step length.
//!
//! The formulas are those of [`super::super::rodas5p`] for an autonomous system without sensitivities. All numbers of one
//! kind and state stand side by side, `[f64; L]`; each lane is computed as if it were alone. The whole step is compiled
//! for the machine's vectors by [`wide`], hence the functions that are always inlined.

// Loops over lanes go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use super::super::rodas5p::{A, C, GAMMA, H, STAGES};
use super::formula::{Held, Row};
use crate::linalg::{LaneLu, Wide, wide};
use crate::system::{LaneSystem, Work};

/// The stages of the present step.
pub(super) struct LaneRodas5p<const L: usize> {
    lu: LaneLu<L>,
    n: usize,
    work: Work,
    jac: Vec<Row<L>>,
    /// The field at the step's start.
    f0: Vec<Row<L>>,
    /// `STAGES × n`
    u: Vec<Row<L>>,
    point: Vec<Row<L>>,
    /// `Σ C_ij U_j` of the stage at hand.
    past: Vec<Row<L>>,
    /// The three polynomial corrections of the dense output, `3 × n`.
    dense: Vec<Row<L>>,
    has_dense: bool,
}

impl<const L: usize> LaneRodas5p<L> {
    /// For one system. `None` where the memory for the elimination cannot be had.
    pub fn new(system: &dyn LaneSystem) -> Option<Self> {
        let pattern = system.single().jacobian_pattern();
        let n = pattern.n_cols();
        Some(LaneRodas5p {
            lu: LaneLu::new(pattern)?,
            n,
            work: system.work(),
            jac: vec![[0.0; L]; pattern.nnz()],
            f0: vec![[0.0; L]; n],
            u: vec![[0.0; L]; STAGES * n],
            point: vec![[0.0; L]; n],
            past: vec![[0.0; L]; n],
            dense: vec![[0.0; L]; 3 * n],
            has_dense: false,
        })
    }

    /// Computes `x_new` at the end of steps of length `h`. Returns which lanes have one: in the others a pivot was lost.
    pub fn attempt(
        &mut self,
        system: &dyn LaneSystem,
        held: &Held<L>,
        h: &Row<L>,
        x: &[Row<L>],
        x_new: &mut [Row<L>],
    ) -> [bool; L] {
        wide(Attempt { formula: self, system, held, h, x, x_new })
    }

    #[inline(always)]
    fn make(
        &mut self,
        system: &dyn LaneSystem,
        held: &Held<L>,
        h: &Row<L>,
        x: &[Row<L>],
        x_new: &mut [Row<L>],
    ) -> [bool; L] {
        let n = self.n;
        self.has_dense = false;
        system.rhs(held.at(x), &mut self.work, self.f0.as_flattened_mut());
        system.jacobian(held.at(x), &mut self.work, self.jac.as_flattened_mut());
        let sound = self.lu.factorize(&h.map(|h| 1.0 / (h * GAMMA)), &self.jac);
        self.u[..n].copy_from_slice(&self.f0);
        self.lu.solve(&mut self.u[..n]);
        let inverse = h.map(|h| 1.0 / h);
        for i in 1..STAGES {
            let (done, rest) = self.u.split_at_mut(i * n);
            let stage = &mut rest[..n];
            let (point, past) = (&mut self.point[..], &mut self.past[..]);
            match i {
                1 => combine::<L, 1>(x, done, i, point, past),
                2 => combine::<L, 2>(x, done, i, point, past),
                3 => combine::<L, 3>(x, done, i, point, past),
                4 => combine::<L, 4>(x, done, i, point, past),
                5 => combine::<L, 5>(x, done, i, point, past),
                6 => combine_last::<L, 6>(done, i, point, past),
                _ => combine_last::<L, 7>(done, i, point, past),
            }
            system.rhs(held.at(point), &mut self.work, stage.as_flattened_mut());
            for (value, past) in stage.iter_mut().zip(past) {
                for lane in 0..L {
                    value[lane] += inverse[lane] * past[lane];
                }
            }
            self.lu.solve(stage);
        }
        for ((new, point), last) in x_new.iter_mut().zip(&self.point).zip(self.last()) {
            for lane in 0..L {
                new[lane] = point[lane] + last[lane];
            }
        }
        sound
    }

    /// The last increment, which is the estimate of the error.
    pub fn last(&self) -> &[Row<L>] {
        &self.u[(STAGES - 1) * self.n..]
    }

    /// True where the derivative at the start of the lane's step is finite.
    pub fn is_finite(&self, lane: usize) -> bool {
        self.f0.iter().all(|row| row[lane].is_finite()) && self.jac.iter().all(|row| row[lane].is_finite())
    }

    /// `out: n` = the lane's state at `theta` of the step just made.
    pub fn interpolate(&mut self, lane: usize, theta: f64, x: &[Row<L>], x_new: &[Row<L>], out: &mut [f64]) {
        let n = self.n;
        if !self.has_dense {
            for (weights, sums) in H.iter().zip(self.dense.chunks_exact_mut(n.max(1))) {
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum = [0.0; L];
                    for (j, weight) in weights.iter().enumerate() {
                        let u = &self.u[j * n + k];
                        for lane in 0..L {
                            sum[lane] += weight * u[lane];
                        }
                    }
                }
            }
            self.has_dense = true;
        }
        let rest = 1.0 - theta;
        for (i, value) in out.iter_mut().enumerate() {
            let k = [0, 1, 2].map(|row| self.dense[row * n + i][lane]);
            *value = rest * x[i][lane] + theta * (x_new[i][lane] + rest * (k[0] + theta * (k[1] + theta * k[2])));
        }
    }
}

struct Attempt<'a, const L: usize> {
    formula: &'a mut LaneRodas5p<L>,
    system: &'a dyn LaneSystem,
    held: &'a Held<L>,
    h: &'a Row<L>,
    x: &'a [Row<L>],
    x_new: &'a mut [Row<L>],
}

impl<const L: usize> Wide for Attempt<'_, L> {
    type Output = [bool; L];

    #[inline(always)]
    fn run(self) -> [bool; L] {
        self.formula.make(self.system, self.held, self.h, self.x, self.x_new)
    }
}

/// `point = x + Σ A_ij U_j` and `past = Σ C_ij U_j` of stage i, which has S stages before it, in one pass over them.
#[inline(always)]
fn combine<const L: usize, const S: usize>(
    x: &[Row<L>],
    done: &[Row<L>],
    i: usize,
    point: &mut [Row<L>],
    past: &mut [Row<L>],
) {
    let (a, c): ([f64; S], [f64; S]) = (weights(A[i]), weights(C[i]));
    let n = x.len();
    let stages: [&[Row<L>]; S] = std::array::from_fn(|j| &done[j * n..(j + 1) * n]);
    for (k, ((x, point), past)) in x.iter().zip(point).zip(past).enumerate() {
        let (mut inside, mut before) = (*x, [0.0; L]);
        for j in 0..S {
            let u = &stages[j][k];
            for lane in 0..L {
                inside[lane] += a[j] * u[lane];
                before[lane] += c[j] * u[lane];
            }
        }
        (*point, *past) = (inside, before);
    }
}

/// The same for the stages whose row of A is the row before with a one: each adds the last increment to the point.
#[inline(always)]
fn combine_last<const L: usize, const S: usize>(done: &[Row<L>], i: usize, point: &mut [Row<L>], past: &mut [Row<L>]) {
    let c: [f64; S] = weights(C[i]);
    let n = point.len();
    let stages: [&[Row<L>]; S] = std::array::from_fn(|j| &done[j * n..(j + 1) * n]);
    for (k, (point, past)) in point.iter_mut().zip(past).enumerate() {
        let mut before = [0.0; L];
        for j in 0..S {
            let u = &stages[j][k];
            for lane in 0..L {
                before[lane] += c[j] * u[lane];
            }
        }
        for lane in 0..L {
            point[lane] += stages[S - 1][k][lane];
        }
        *past = before;
    }
}

/// The first S of a row of coefficients.
#[inline(always)]
fn weights<const S: usize>(row: &[f64]) -> [f64; S] {
    std::array::from_fn(|j| row[j])
}
