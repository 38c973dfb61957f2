//! Damped Newton iteration whose damping is invariant under linear changes of the equations.
//!
//! Deuflhard 2004, Newton Methods for Nonlinear Problems, algorithm NLEQ-ERR (section 3.3.3): a step is accepted where
//! the simplified correction, made with the same matrix, is smaller than the correction; both predict the next factor.
//! The first factor is small, so that the iteration begins along the Newton path of the start and does not leap into
//! the neighborhood of another steady state where it need not.

use super::Reason;
use super::search::Search;

/// Corrections below this part of each state's size end the iteration.
pub(super) const TOLERANCE: f64 = 1e-10;
/// Below this factor the iteration has failed.
const SMALLEST: f64 = 1e-6;
/// How often one step is made anew with a larger factor.
const MOST_RAISED: usize = 3;

/// Buffers of an iteration.
struct Buffers {
    d: Vec<f64>,
    simplified: Vec<f64>,
    trial: Vec<f64>,
    difference: Vec<f64>,
}

/// Iterates from `x`, which becomes the steady state; returns how often. `first` is the first factor.
///
/// # Errors
/// Why it did not converge; `x` is then where it stood.
pub(super) fn newton(search: &mut Search<'_>, x: &mut [f64], first: f64, most: u64) -> Result<u64, Reason> {
    let n = x.len();
    let [d, simplified, trial, difference] = std::array::from_fn(|_| vec![0.0; n]);
    let mut b = Buffers { d, simplified, trial, difference };
    let mut factor = first;
    let mut before: Option<f64> = None;
    for k in 0..most {
        search.residual(x, &mut b.d)?;
        search.linearize(x, 0.0).map_err(|_| Reason::Singular)?;
        search.matrix.solve(&mut b.d);
        let size = search.norm(&b.d, x);
        if !size.is_finite() {
            return Err(Reason::Singular);
        }
        if size <= TOLERANCE {
            search.step(x, 1.0, &b.d, &mut b.trial);
            x.copy_from_slice(&b.trial);
            return Ok(k + 1);
        }
        if let Some(size_before) = before {
            // `simplified` still holds the correction that the step before predicted for this point.
            b.difference.iter_mut().zip(&b.simplified).zip(&b.d).for_each(|((e, s), d)| *e = s - d);
            let predicted = search.norm(&b.simplified, x) * size_before * factor;
            factor = (predicted / (search.norm(&b.difference, x) * size)).clamp(SMALLEST, 1.0);
            if factor.is_nan() {
                factor = 1.0;
            }
        }
        let mut n_raised = 0;
        loop {
            let is_cut = search.step(x, factor, &b.d, &mut b.trial);
            let reached = search.residual(&b.trial, &mut b.simplified);
            search.matrix.solve(&mut b.simplified);
            let simplified = if reached.is_ok() { search.norm(&b.simplified, x) } else { f64::INFINITY };
            b.difference.iter_mut().zip(&b.simplified).zip(&b.d).for_each(|((e, s), d)| *e = s - (1.0 - factor) * d);
            let better = 0.5 * size * factor * factor / search.norm(&b.difference, x);
            let better = if better.is_nan() { 1.0 } else { better };
            if simplified.is_nan() || simplified >= size {
                factor = if simplified.is_finite() { better.min(0.5 * factor) } else { 0.25 * factor };
                n_raised = MOST_RAISED;
                if factor < SMALLEST {
                    return Err(reached.err().unwrap_or(Reason::Damped));
                }
                continue;
            }
            let next = better.min(1.0);
            if next >= 4.0 * factor && n_raised < MOST_RAISED && !is_cut {
                factor = next;
                n_raised += 1;
                continue;
            }
            if factor == 1.0 && simplified <= TOLERANCE && !is_cut {
                search.step(&b.trial, 1.0, &b.simplified, &mut b.difference);
                x.copy_from_slice(&b.difference);
                return Ok(k + 1);
            }
            break;
        }
        before = Some(size);
        x.copy_from_slice(&b.trial);
    }
    Err(Reason::Iterations)
}
