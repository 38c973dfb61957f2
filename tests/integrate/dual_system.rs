//! Systems whose every derivative comes from dual numbers: exact and independent of the solver.

use num_dual::{Dual64, DualNum, HyperDual64};
use twinc::linalg::CscPattern;
use twinc::system::At;
use twinc::system::closure::ClosureSystem;

/// `f64` and the dual numbers over it.
pub trait Number: DualNum<Primitive = f64> + Copy {}

impl<D: DualNum<Primitive = f64> + Copy> Number for D {}

/// A right-hand side written once for numbers of every kind.
pub trait Rhs: Clone + Send + Sync + 'static {
    /// `dx = f(t, x, u, p)`
    fn f<D: Number>(&self, t: D, x: &[D], u: &[D], p: &[D], dx: &mut [D]);
}

fn lift<D: Number>(values: &[f64]) -> Vec<D> {
    values.iter().map(|&v| D::from(v)).collect()
}

/// The system of `rhs` with `n` states and `n_params`; `entries` are the nonzeros of ∂f/∂x, all if `None`.
pub fn system<R: Rhs>(rhs: R, n: usize, n_params: usize, entries: Option<Vec<(usize, usize)>>) -> ClosureSystem {
    let pattern = match entries {
        Some(entries) => CscPattern::from_entries(n, n, entries),
        None => CscPattern::dense(n, n),
    };
    let by_params = CscPattern::dense(n, n_params);
    let (r, r_jac, r_par, r_time, r_along) = (rhs.clone(), rhs.clone(), rhs.clone(), rhs.clone(), rhs);
    let (jac_pattern, along_pattern) = (pattern.clone(), pattern.clone());
    ClosureSystem::new(n, n_params, move |at, dx| r.f(at.t, at.x, at.u, at.p, dx))
        .jacobian(pattern, move |at, values| {
            let (mut x, u, p) = (lift::<Dual64>(at.x), lift(at.u), lift(at.p));
            let mut dx = vec![Dual64::from(0.0); n];
            for col in 0..n {
                x[col].eps = 1.0;
                r_jac.f(at.t.into(), &x, &u, &p, &mut dx);
                x[col].eps = 0.0;
                jac_pattern.column(col).for_each(|(row, k)| values[k] = dx[row].eps);
            }
        })
        .parameter_jacobian(by_params, move |at, values| {
            let (x, u, mut p) = (lift::<Dual64>(at.x), lift(at.u), lift::<Dual64>(at.p));
            let mut dx = vec![Dual64::from(0.0); n];
            for col in 0..n_params {
                p[col].eps = 1.0;
                r_par.f(at.t.into(), &x, &u, &p, &mut dx);
                p[col].eps = 0.0;
                (0..n).for_each(|row| values[col * n + row] = dx[row].eps);
            }
        })
        .time_derivative(move |at, df| {
            let (x, u, p) = (lift::<Dual64>(at.x), lift(at.u), lift(at.p));
            let mut dx = vec![Dual64::from(0.0); n];
            r_time.f(Dual64::new(at.t, 1.0), &x, &u, &p, &mut dx);
            df.iter_mut().zip(&dx).for_each(|(value, dual)| *value = dual.eps);
        })
        .jacobian_along(move |at: At<'_>, dx, dt, jac, par| {
            let mut x: Vec<HyperDual64> = lift(at.x);
            let (u, mut p) = (lift(at.u), lift::<HyperDual64>(at.p));
            let mut t = HyperDual64::from(at.t);
            t.eps2 = dt;
            x.iter_mut().zip(dx).for_each(|(value, slope)| value.eps2 = *slope);
            let mut out = vec![HyperDual64::from(0.0); n];
            for col in 0..n {
                x[col].eps1 = 1.0;
                r_along.f(t, &x, &u, &p, &mut out);
                x[col].eps1 = 0.0;
                along_pattern.column(col).for_each(|(row, k)| jac[k] = out[row].eps1eps2);
            }
            for col in 0..n_params {
                p[col].eps1 = 1.0;
                r_along.f(t, &x, &u, &p, &mut out);
                p[col].eps1 = 0.0;
                (0..n).for_each(|row| par[col * n + row] = out[row].eps1eps2);
            }
        })
}
