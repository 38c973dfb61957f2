//! One stage of an explicit step, Euler's or the classical Runge-Kutta method's, for rows of points.

// Loops over points go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use crate::linalg::Wide;
use crate::system::Row;

/// Takes in the slopes of one stage and writes the states of the next.
pub struct Advance<'a, const W: usize> {
    /// Of the Runge-Kutta formula, from 0 to 3; none for Euler's.
    pub stage: Option<usize>,
    /// Length of the substep.
    pub h: f64,
    /// `n_states`: the rows of the slopes in the block.
    pub outputs: &'a [usize],
    /// That of the right-hand side; its first rows, the states, become those of the next stage.
    pub block: &'a mut [Row],
    /// The states at the start of the substep; after its last stage, at its end.
    pub x: &'a mut [Row],
    /// Weighted sum of the slopes so far.
    pub slopes: &'a mut [Row],
}

impl<const W: usize> Wide for Advance<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let h = self.h;
        let n = self.x.len();
        let (arguments, results) = self.block.split_at_mut(n);
        for i in 0..n {
            let (x, sum, argument) = (&mut self.x[i], &mut self.slopes[i], &mut arguments[i]);
            let slope = &results[self.outputs[i] - n];
            match self.stage {
                Some(0) => {
                    for p in 0..W {
                        sum[p] = slope[p];
                        argument[p] = x[p] + 0.5 * h * slope[p];
                    }
                }
                Some(1) => {
                    for p in 0..W {
                        sum[p] += 2.0 * slope[p];
                        argument[p] = x[p] + 0.5 * h * slope[p];
                    }
                }
                Some(2) => {
                    for p in 0..W {
                        sum[p] += 2.0 * slope[p];
                        argument[p] = x[p] + h * slope[p];
                    }
                }
                Some(_) => {
                    for p in 0..W {
                        let next = x[p] + h / 6.0 * (sum[p] + slope[p]);
                        (x[p], argument[p]) = (next, next);
                    }
                }
                None => {
                    for p in 0..W {
                        let next = x[p] + h * slope[p];
                        (x[p], argument[p]) = (next, next);
                    }
                }
            }
        }
    }
}
