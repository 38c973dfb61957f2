//! Collocation at the points of Radau IIA with 1 to 3 points a substep, orders 1, 3 and 5.
//!
//! `X_i = x + h Σ_j a_ij f(X_j, u)`, the last point being the end (E. Hairer, G. Wanner, *Solving Ordinary Differential
//! Equations II*, 2nd ed. 1996, IV.5, table 5.5 and 5.6). The equations are solved by Newton's method to rounding; the
//! derivatives of the solution follow from the implicit function theorem with the matrix `M = I − h A ⊗ J` of the last
//! iteration: `M ∂X = 1 ⊗ ∂x + h (A ⊗ I) f_u`, and backwards `Mᵀ μ = costate`, `κ_j = h Σ_i a_ij μ_i`.

use super::points::{Edge, Points, Shape};
use super::stepper::Stepper;
use crate::linalg::DenseLu;
use crate::system::System;

/// Newton's iterations after which the equations count as not solvable.
const MAX_ITERATIONS: usize = 50;

/// A correction of this size, relative to the state and its change over the step, squares to less than rounding. States
/// below the rounding of the largest are relative to that.
const CLOSE: f64 = 1e-9;

/// c_i and a_ij by rows.
#[derive(Debug, Clone)]
struct Radau {
    c: Vec<f64>,
    a: Vec<f64>,
}

impl Radau {
    fn new(n_points: usize) -> Radau {
        let r = 6.0_f64.sqrt();
        match n_points {
            0 | 1 => Radau { c: vec![1.0], a: vec![1.0] },
            2 => Radau { c: vec![1.0 / 3.0, 1.0], a: vec![5.0 / 12.0, -1.0 / 12.0, 0.75, 0.25] },
            _ => Radau {
                c: vec![(4.0 - r) / 10.0, (4.0 + r) / 10.0, 1.0],
                a: vec![
                    (88.0 - 7.0 * r) / 360.0,
                    (296.0 - 169.0 * r) / 1800.0,
                    (-2.0 + 3.0 * r) / 225.0,
                    (296.0 + 169.0 * r) / 1800.0,
                    (88.0 + 7.0 * r) / 360.0,
                    (-2.0 - 3.0 * r) / 225.0,
                    (16.0 - r) / 36.0,
                    (16.0 + r) / 36.0,
                    1.0 / 9.0,
                ],
            },
        }
    }
}

/// The rule with its scratch. Point 0 is the beginning; then come the points of the substeps.
#[derive(Debug, Clone)]
pub(super) struct Collocation {
    radau: Radau,
    n_substeps: usize,
    bounds_inside: bool,
    points: Points,
    /// M of each substep.
    matrices: Vec<DenseLu>,
    /// Residual, then correction, of all points of a substep.
    correction: Vec<f64>,
    /// Right-hand sides of the derivatives, by rows.
    slopes: Vec<f64>,
    /// μ of all points of a substep, and κ of one.
    mu: Vec<f64>,
    kappa: Vec<f64>,
    costate: Vec<f64>,
}

impl Collocation {
    pub fn new(
        system: &dyn System,
        shape: Shape,
        n_points: usize,
        n_substeps: usize,
        bounds_inside: bool,
    ) -> Collocation {
        let order = n_points * shape.n_states;
        Collocation {
            radau: Radau::new(n_points),
            n_substeps,
            bounds_inside,
            points: Points::new(system, shape, 1 + n_substeps * n_points),
            matrices: vec![DenseLu::new(order); n_substeps],
            correction: vec![0.0; order],
            slopes: vec![0.0; order * shape.width()],
            mu: vec![0.0; order],
            kappa: vec![0.0; shape.n_states],
            costate: vec![0.0; shape.n_states],
        }
    }

    fn n_points(&self) -> usize {
        self.radau.c.len()
    }

    /// The point before substep `substep`, where it begins.
    fn base(&self, substep: usize) -> usize {
        substep * self.n_points()
    }

    /// Evaluates f and its derivatives at the points of a substep and factorises its matrix.
    fn linearize(&mut self, system: &dyn System, edge: &Edge<'_>, substep: usize) -> Result<(), String> {
        let (n, s, base) = (self.points.shape.n_states, self.n_points(), self.base(substep));
        let h = edge.h / self.n_substeps as f64;
        let order = n * s;
        let values = self.matrices[substep].values_mut();
        values.fill(0.0);
        for j in 0..s {
            let t = edge.t + (substep as f64 + self.radau.c[j]) * h;
            let q = base + 1 + j;
            self.points.linearize(system, edge, t, q);
            let (matrix, jacobian) = self.points.jacobian(q);
            for i in 0..s {
                let factor = h * self.radau.a[i * s + j];
                for row in 0..n {
                    for &(column, k) in matrix.row(row) {
                        if column < n {
                            values[(j * n + column) * order + i * n + row] = -factor * jacobian[k];
                        }
                    }
                }
            }
        }
        (0..order).for_each(|k| values[k * order + k] += 1.0);
        self.matrices[substep].factorize().map_err(|singular| {
            format!("the equations of collocation are singular in state {}", singular.column % n.max(1))
        })
    }

    /// Solves the last Newton equations of a substep and corrects its points; returns the size of the correction and the
    /// state that it is that of.
    fn correct(&mut self, edge: &Edge<'_>, substep: usize) -> (f64, usize) {
        let (n, s, base) = (self.points.shape.n_states, self.n_points(), self.base(substep));
        let h = edge.h / self.n_substeps as f64;
        for i in 0..s {
            let residual = &mut self.correction[i * n..][..n];
            residual.copy_from_slice(self.points.x(base));
            residual.iter_mut().zip(self.points.x(base + 1 + i)).for_each(|(r, x)| *r -= x);
            for j in 0..s {
                let factor = h * self.radau.a[i * s + j];
                let f = self.points.f(base + 1 + j);
                residual.iter_mut().zip(f).for_each(|(r, f)| *r += factor * f);
            }
        }
        self.matrices[substep].solve(&mut self.correction);
        // Elimination mixes the equations of all states, so that what is far below the rounding of the largest of them
        // has corrections that are no smaller than the rounding of theirs.
        let largest = self.points.x(base).iter().fold(0.0_f64, |a, x| a.max(x.abs()));
        let floor = f64::EPSILON * largest + f64::MIN_POSITIVE;
        let (mut size, mut worst) = (0.0_f64, 0);
        for i in 0..s {
            for k in 0..n {
                let change = self.correction[i * n + k];
                let scale = h.abs() * self.points.f(base + 1 + i)[k].abs() + floor;
                let x = &mut self.points.x_mut(base + 1 + i)[k];
                *x += change;
                let relative = change.abs() / (scale + x.abs());
                if relative.is_nan() {
                    return (f64::INFINITY, k);
                }
                if relative > size {
                    (size, worst) = (relative, k);
                }
            }
        }
        (size, worst)
    }

    /// Solves the equations of all substeps; with derivatives if asked for, of which the matrices are those at the
    /// solution.
    fn solve(&mut self, system: &dyn System, edge: &Edge<'_>, with_derivatives: bool) -> Result<(), String> {
        let s = self.n_points();
        self.points.x_mut(0).copy_from_slice(edge.x);
        for substep in 0..self.n_substeps {
            let base = self.base(substep);
            for i in 0..s {
                self.points.copy_state(base, base + 1 + i);
            }
            let mut before = f64::INFINITY;
            for iteration in 0.. {
                self.linearize(system, edge, substep)?;
                // The corrections of one iteration more are below rounding.
                let is_last = before <= CLOSE;
                let (size, worst) = self.correct(edge, substep);
                // Rounding keeps the corrections of an ill-conditioned system from becoming smaller.
                let stalls = iteration > 3 && size < 1e-6 && size > 0.3 * before;
                if is_last || (size <= CLOSE && !with_derivatives) || stalls {
                    break;
                }
                if iteration >= MAX_ITERATIONS || !size.is_finite() {
                    let what = if size.is_finite() { "were not solved" } else { "have no finite solution" };
                    return Err(format!("the equations of collocation {what}; state {worst}"));
                }
                before = size;
            }
            if with_derivatives {
                self.differentiate(edge, substep);
            }
        }
        Ok(())
    }

    /// Derivatives of the points of a substep from those of its beginning.
    fn differentiate(&mut self, edge: &Edge<'_>, substep: usize) {
        let shape = self.points.shape;
        let (n, s, width, base) = (shape.n_states, self.n_points(), shape.width(), self.base(substep));
        let h = edge.h / self.n_substeps as f64;
        for i in 0..s {
            let rows = &mut self.slopes[i * n * width..][..n * width];
            rows.copy_from_slice(self.points.rows(base));
            for j in 0..s {
                let factor = h * self.radau.a[i * s + j];
                let q = base + 1 + j;
                let (matrix, values) = self.points.jacobian(q);
                for (row, slopes) in rows.chunks_exact_mut(width).enumerate() {
                    for &(column, k) in matrix.row(row) {
                        if column >= n {
                            slopes[column] += factor * values[k];
                        }
                    }
                    if let Some(column) = shape.length_column() {
                        slopes[column] += factor / edge.h * self.points.f(q)[row];
                    }
                }
            }
        }
        self.matrices[substep].solve_rows(&mut self.slopes, width);
        for i in 0..s {
            let rows = &self.slopes[i * n * width..][..n * width];
            self.points.rows_mut(base + 1 + i).copy_from_slice(rows);
        }
    }
}

impl Stepper for Collocation {
    fn fork(&self) -> Box<dyn Stepper> {
        Box::new(self.clone())
    }

    fn advance(&mut self, system: &dyn System, edge: &Edge<'_>, next: &mut [f64]) -> Result<(), String> {
        self.solve(system, edge, false)?;
        next.copy_from_slice(self.points.x(self.end()));
        Ok(())
    }

    fn sweep(&mut self, system: &dyn System, edge: &Edge<'_>) -> Result<(), String> {
        self.solve(system, edge, true)
    }

    fn points(&self) -> &Points {
        &self.points
    }

    fn end(&self) -> usize {
        self.n_substeps * self.n_points()
    }

    fn inner(&self) -> std::ops::Range<usize> {
        if self.bounds_inside { 1..self.end() } else { 0..0 }
    }

    fn add_curvature(&mut self, system: &dyn System, edge: &Edge<'_>, costate: &[f64], inner: &[f64], out: &mut [f64]) {
        let (n, s) = (self.points.shape.n_states, self.n_points());
        let h = edge.h / self.n_substeps as f64;
        self.costate.copy_from_slice(costate);
        for substep in (0..self.n_substeps).rev() {
            let base = self.base(substep);
            // What is asked of the points: the multipliers of the inner ones, the costate of the last.
            self.mu.fill(0.0);
            for (mu, multipliers) in self.mu.chunks_exact_mut(n.max(1)).zip(inner.chunks(n.max(1)).skip(base)) {
                mu.copy_from_slice(multipliers);
            }
            self.mu[(s - 1) * n..].iter_mut().zip(&self.costate).for_each(|(mu, costate)| *mu += costate);
            self.matrices[substep].solve_transposed(&mut self.mu);
            self.costate.fill(0.0);
            for mu in self.mu.chunks_exact(n.max(1)) {
                self.costate.iter_mut().zip(mu).for_each(|(sum, mu)| *sum += mu);
            }
            for j in 0..s {
                self.kappa.fill(0.0);
                for (i, mu) in self.mu.chunks_exact(n.max(1)).enumerate() {
                    let factor = h * self.radau.a[i * s + j];
                    self.kappa.iter_mut().zip(mu).for_each(|(kappa, mu)| *kappa += factor * mu);
                }
                let t = edge.t + (substep as f64 + self.radau.c[j]) * h;
                self.points.add_curvature(system, edge, t, base + 1 + j, &self.kappa, out);
            }
        }
    }
}
