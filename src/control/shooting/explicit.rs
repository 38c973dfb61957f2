//! Explicit steps of fixed length and maps: Euler's method, the classical method of Runge and Kutta (1901), and systems
//! whose right-hand side is the next state.

use super::points::{Before, Edge, Points, Shape};
use super::stepper::Stepper;
use crate::system::System;

/// An explicit method in which each stage reads the one before: `X_s = x + h a_s k_{s−1}`, `x⁺ = x + h Σ b_s k_s`.
#[derive(Debug)]
pub(super) struct Tableau {
    /// `a_s`, also the instants of the stages; the first is 0.
    a: &'static [f64],
    b: &'static [f64],
}

/// Euler's method.
pub(super) static EULER: Tableau = Tableau { a: &[0.0], b: &[1.0] };

/// The classical method of order 4.
pub(super) static RK4: Tableau = Tableau { a: &[0.0, 0.5, 0.5, 1.0], b: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0] };

/// Several equal steps of such a method.
#[derive(Debug, Clone)]
pub(super) struct Explicit {
    tableau: &'static Tableau,
    n_substeps: usize,
    points: Points,
    /// κ, μ, the costate at the end of a substep and at its beginning.
    kappa: Vec<f64>,
    mu: Vec<f64>,
    costate: Vec<f64>,
    sum: Vec<f64>,
    /// Derivatives of κ and of the κ before, rows of x; of the costate and of its sum, rows of x and u.
    dkappa: Vec<f64>,
    dkappa_before: Vec<f64>,
    dcostate: Vec<f64>,
    dsum: Vec<f64>,
}

impl Explicit {
    pub fn new(system: &dyn System, shape: Shape, tableau: &'static Tableau, n_substeps: usize) -> Explicit {
        let points = Points::new(system, shape, n_substeps * tableau.a.len());
        let (room, rows) = (vec![0.0; shape.n_states], vec![0.0; shape.n_states * shape.width()]);
        let all = vec![0.0; (shape.n_states + shape.n_inputs) * shape.width()];
        Explicit {
            tableau,
            n_substeps,
            points,
            kappa: room.clone(),
            mu: room.clone(),
            sum: room.clone(),
            costate: room,
            dkappa: rows.clone(),
            dkappa_before: rows,
            dcostate: all.clone(),
            dsum: all,
        }
    }

    /// The step, with or without derivatives.
    #[inline(always)]
    fn run<const WITH_DERIVATIVES: bool>(&mut self, system: &dyn System, edge: &Edge<'_>) {
        let n_stages = self.tableau.a.len();
        let h = edge.h / self.n_substeps as f64;
        self.points.x_mut(0).copy_from_slice(edge.x);
        for substep in 0..self.n_substeps {
            let (base, end) = (substep * n_stages, (substep + 1) * n_stages);
            let t = edge.t + substep as f64 * h;
            for (stage, (&a, &b)) in self.tableau.a.iter().zip(self.tableau.b).enumerate() {
                let q = base + stage;
                if WITH_DERIVATIVES {
                    self.points.linearize(system, edge, t + a * h, q);
                } else {
                    self.points.evaluate(system, edge, t + a * h, q);
                }
                let to_next = self.tableau.a.get(stage + 1).map(|a| h * a);
                self.points.advance_states(q, (base, end), to_next, h * b);
                if WITH_DERIVATIVES {
                    self.points.advance_rows(q, (base, end), to_next, h * b, 1.0 / edge.h);
                }
            }
        }
    }

    fn end(&self) -> usize {
        self.n_substeps * self.tableau.a.len()
    }
}

impl Stepper for Explicit {
    fn fork(&self) -> Box<dyn Stepper> {
        Box::new(self.clone())
    }

    fn advance(&mut self, system: &dyn System, edge: &Edge<'_>, next: &mut [f64]) -> Result<(), String> {
        self.run::<false>(system, edge);
        next.copy_from_slice(self.points.x(self.end()));
        Ok(())
    }

    fn sweep(&mut self, system: &dyn System, edge: &Edge<'_>) -> Result<(), String> {
        self.run::<true>(system, edge);
        Ok(())
    }

    fn points(&self) -> &Points {
        &self.points
    }

    fn end(&self) -> usize {
        Explicit::end(self)
    }

    /// The adjoint pass with its own derivatives: with n states that costs n times a sparse product at each point, where
    /// `Sᵀ H S` would cost n².
    fn add_curvature(&mut self, system: &dyn System, edge: &Edge<'_>, costate: &[f64], _: &[f64], out: &mut [f64]) {
        let Tableau { a, b } = self.tableau;
        let (n_stages, h, shape) = (a.len(), edge.h / self.n_substeps as f64, self.points.shape);
        let width = shape.width();
        let mut by_length = 0.0;
        self.costate.copy_from_slice(costate);
        self.dcostate.fill(0.0);
        for substep in (0..self.n_substeps).rev() {
            let t = edge.t + substep as f64 * h;
            // κ_s = h b_s λ + h a_{s+1} μ_{s+1} and μ_s = f_xᵀ κ_s; what began the substep gets λ + Σ μ_s.
            self.sum.copy_from_slice(&self.costate);
            self.dsum.copy_from_slice(&self.dcostate);
            let last = h * b[n_stages - 1];
            self.kappa.iter_mut().zip(&self.costate).for_each(|(kappa, costate)| *kappa = last * costate);
            self.dkappa.iter_mut().zip(&self.dcostate).for_each(|(dkappa, dcostate)| *dkappa = last * dcostate);
            for stage in (0..n_stages).rev() {
                let q = substep * n_stages + stage;
                if let Some(column) = shape.length_column() {
                    // κ is proportional to h, and ∂/∂h of what is differentiated is Σ (κ_s/h)ᵀ k_s.
                    let rows = self.dkappa.chunks_exact_mut(width).zip(&self.kappa);
                    for ((row, kappa), k) in rows.zip(self.points.f(q)) {
                        by_length += row[column] / edge.h * k;
                        row[column] += kappa / edge.h;
                    }
                    by_length += self.points.slope_along_length(q, &self.kappa) / edge.h;
                }
                let (to_base, to_next) = match stage.checked_sub(1) {
                    Some(before) => (h * b[before], h * a[stage]),
                    None => (0.0, 0.0),
                };
                let before = Before { base: &self.dcostate, next: &mut self.dkappa_before, to_base, to_next };
                let here = (&*self.kappa, &*self.dkappa);
                self.points.pull_back_rows(system, edge, (t + a[stage] * h, q), here, before, &mut self.dsum);
                std::mem::swap(&mut self.dkappa, &mut self.dkappa_before);
                self.points.pull_back(q, &self.kappa, &mut self.mu, &mut self.sum);
                for ((kappa, mu), costate) in self.kappa.iter_mut().zip(&self.mu).zip(&self.costate) {
                    *kappa = to_base * costate + to_next * mu;
                }
            }
            std::mem::swap(&mut self.costate, &mut self.sum);
            std::mem::swap(&mut self.dcostate, &mut self.dsum);
        }
        out.iter_mut().zip(&self.dcostate).for_each(|(out, value)| *out += value);
        if let Some(column) = shape.length_column() {
            out[column * width + column] += by_length;
        }
    }
}

/// The next state is the right-hand side.
#[derive(Debug, Clone)]
pub(super) struct Map {
    points: Points,
}

impl Map {
    pub fn new(system: &dyn System, shape: Shape) -> Map {
        Map { points: Points::new(system, shape, 1) }
    }
}

impl Stepper for Map {
    fn fork(&self) -> Box<dyn Stepper> {
        Box::new(self.clone())
    }

    fn advance(&mut self, system: &dyn System, edge: &Edge<'_>, next: &mut [f64]) -> Result<(), String> {
        self.points.x_mut(0).copy_from_slice(edge.x);
        self.points.evaluate(system, edge, edge.t, 0);
        next.copy_from_slice(self.points.f(0));
        Ok(())
    }

    fn sweep(&mut self, system: &dyn System, edge: &Edge<'_>) -> Result<(), String> {
        self.points.x_mut(0).copy_from_slice(edge.x);
        self.points.linearize(system, edge, edge.t, 0);
        self.points.end_at_map();
        Ok(())
    }

    fn points(&self) -> &Points {
        &self.points
    }

    fn end(&self) -> usize {
        1
    }

    fn add_curvature(&mut self, system: &dyn System, edge: &Edge<'_>, costate: &[f64], _: &[f64], out: &mut [f64]) {
        self.points.add_curvature(system, edge, edge.t, 0, costate, out);
    }
}
