//! The steps, costs and rows of a problem over dual numbers: the interpreter's, independent of symbolic derivatives and of
//! how the library carries derivatives through a step.

use num_dual::{Dual64, DualNum, HyperDual64};
use twinc::control::shooting::{ControlProblem, Discretization};
use twinc::expr::{Dag, Env, Interpreter};
use twinc::jit::{Kernels, StageNodes};
use twinc::system::stages::Stages;

/// `f64` and the dual numbers over it.
pub trait Number: DualNum<Primitive = f64> + Copy {}

impl<D: DualNum<Primitive = f64> + Copy> Number for D {}

/// What is evaluated.
pub struct DualStages<'a> {
    problem: &'a ControlProblem,
    nodes: &'a StageNodes,
    rhs: Interpreter,
    dag: Dag,
    n: usize,
    m: usize,
    n_states: usize,
}

/// One quantity that depends on `z`: the next state, the cost, the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Next,
    Cost,
    Rows,
}

impl<'a> DualStages<'a> {
    pub fn new(problem: &'a ControlProblem, kernels: &Kernels, nodes: &'a StageNodes, stages: &dyn Stages) -> Self {
        let dag = kernels.model().dag.clone();
        let rhs: Vec<_> = kernels.model().states.iter().map(|s| s.rhs).collect();
        let dims = problem.system.dims();
        let rhs = Interpreter::new(&dag, &rhs);
        DualStages { problem, nodes, rhs, dag, n: dims.n_states, m: dims.n_inputs, n_states: stages.dims().n_states }
    }

    /// f at a point.
    fn f<T: Number>(&self, node: usize, t: f64, x: &[T], u: &[T]) -> Vec<T> {
        let (d, p) = self.constants(node);
        let lift = |values: &[f64]| values.iter().map(|&v| T::from(v)).collect::<Vec<T>>();
        let (d, p) = (lift(d), lift(p));
        self.rhs.values(&Env { t: T::from(t), x, u, d: &d, p: &p, dx: &[], dt: T::from(0.0) })
    }

    /// Disturbances of the step or the instant, and parameters of the scenario.
    fn constants(&self, node: usize) -> (&[f64], &[f64]) {
        let dims = self.problem.system.dims();
        let depth = self.problem.tree.depth(self.problem.tree.parent(node));
        let n_rows = self.problem.forecast.len().checked_div(dims.n_disturbances).unwrap_or(0);
        let row = depth.min(n_rows.saturating_sub(1));
        let scenario = self.problem.scenarios.get(node).copied().unwrap_or(0);
        (
            &self.problem.forecast[row * dims.n_disturbances..][..dims.n_disturbances],
            &self.problem.parameters[scenario * dims.n_params..][..dims.n_params],
        )
    }

    /// The states at all points of the step into `node` that lie behind its beginning; the last is the end.
    fn points<T: Number>(&self, node: usize, h: T, x: &[T], u: &[T]) -> Vec<Vec<T>> {
        let t = self.problem.time + self.problem.tree.depth(self.problem.tree.parent(node)) as f64 * self.problem.step;
        match self.problem.discretization {
            Discretization::Map => vec![self.f(node, t, x, u)],
            Discretization::Euler { n_substeps } => {
                let (h, mut x) = (h / n_substeps as f64, x.to_vec());
                for k in 0..n_substeps {
                    let f = self.f(node, t + k as f64 * h.re(), &x, u);
                    x = add(&x, h, &f);
                }
                vec![x]
            }
            Discretization::Rk4 { n_substeps } => {
                let (h, mut x) = (h / n_substeps as f64, x.to_vec());
                for k in 0..n_substeps {
                    let t = t + k as f64 * h.re();
                    let k1 = self.f(node, t, &x, u);
                    let k2 = self.f(node, t + 0.5 * h.re(), &add(&x, h * 0.5, &k1), u);
                    let k3 = self.f(node, t + 0.5 * h.re(), &add(&x, h * 0.5, &k2), u);
                    let k4 = self.f(node, t + h.re(), &add(&x, h, &k3), u);
                    for (i, x) in x.iter_mut().enumerate() {
                        *x += h / 6.0 * (k1[i] + (k2[i] + k3[i]) * 2.0 + k4[i]);
                    }
                }
                vec![x]
            }
            Discretization::RadauIia { n_points, n_substeps, .. } => {
                let (h, mut begin, mut all) = (h / n_substeps as f64, x.to_vec(), Vec::new());
                for k in 0..n_substeps {
                    let points = self.collocate(node, n_points, (t + k as f64 * h.re(), h), &begin, u);
                    begin = points[n_points - 1].clone();
                    all.extend(points);
                }
                all
            }
            Discretization::Adaptive { .. } => panic!("an adaptive step has no formula"),
        }
    }

    /// Newton's method with the matrix at the solution: each iteration makes one order of the infinitesimals exact.
    fn collocate<T: Number>(&self, node: usize, s: usize, (t, h): (f64, T), x: &[T], u: &[T]) -> Vec<Vec<T>> {
        let (c, a) = radau(s);
        let n = self.n;
        let mut points = vec![x.to_vec(); s];
        let u_real: Vec<Dual64> = u.iter().map(|u| Dual64::from(u.re())).collect();
        for _ in 0..25 {
            let f: Vec<Vec<T>> = (0..s).map(|j| self.f(node, t + c[j] * h.re(), &points[j], u)).collect();
            let mut matrix = vec![vec![0.0; n * s]; n * s];
            for j in 0..s {
                let mut at: Vec<Dual64> = points[j].iter().map(|x| Dual64::from(x.re())).collect();
                for column in 0..n {
                    at[column].eps = 1.0;
                    let slope = self.f(node, t + c[j] * h.re(), &at, &u_real);
                    at[column].eps = 0.0;
                    for i in 0..s {
                        for row in 0..n {
                            matrix[i * n + row][j * n + column] -= h.re() * a[i][j] * slope[row].eps;
                        }
                    }
                }
            }
            (0..n * s).for_each(|k| matrix[k][k] += 1.0);
            let mut residual: Vec<T> = Vec::new();
            for i in 0..s {
                let mut r: Vec<T> = x.iter().zip(&points[i]).map(|(x, y)| *x - *y).collect();
                (0..s).for_each(|j| r = add(&r, h * a[i][j], &f[j]));
                residual.extend(r);
            }
            eliminate(matrix, &mut residual);
            points.iter_mut().flatten().zip(residual).for_each(|(x, change)| *x += change);
        }
        points
    }

    /// A quantity of `node`, of the step into it for [`What::Next`], from z.
    pub fn values<T: Number>(&self, what: What, node: usize, z: &[T]) -> Vec<T> {
        let (n, n_carried) = (self.n, self.problem.moves.len());
        let (x, u) = z.split_at(self.n_states);
        let h = match self.problem.free_step {
            Some(_) => x[n + n_carried],
            None => T::from(self.problem.step),
        };
        match what {
            What::Next => {
                let mut next = self.points(node, h, &x[..n], u).pop().expect("an end");
                next.extend(self.problem.moves.iter().map(|m| u[m.input]));
                next.extend(&x[n + n_carried..]);
                next
            }
            What::Cost => {
                let is_leaf = self.problem.tree.is_leaf(node);
                let terms = if is_leaf { &self.nodes.last } else { &self.nodes.running };
                let residuals: Vec<_> = terms.squares.iter().map(|s| s.residual).collect();
                let mut cost = T::from(0.0);
                for (value, square) in self.at_node(node, &residuals, &x[..n], u).into_iter().zip(&terms.squares) {
                    cost += value * value * square.weight;
                }
                self.at_node(node, &terms.others, &x[..n], u).into_iter().for_each(|value| cost += value);
                if !is_leaf {
                    for (k, m) in self.problem.moves.iter().enumerate() {
                        let change = (u[m.input] - x[n + k]) / m.scale;
                        cost += change * change * m.weight;
                    }
                    if let Some(free) = self.problem.free_step {
                        cost += h * free.weight;
                    }
                }
                vec![cost * self.problem.weights.get(node).copied().unwrap_or(1.0)]
            }
            What::Rows => {
                let is_leaf = self.problem.tree.is_leaf(node);
                let terms = if is_leaf { &self.nodes.last } else { &self.nodes.running };
                let mut rows = self.at_node(node, &terms.rows, &x[..n], u);
                if let Discretization::RadauIia { bounds_inside: true, .. } = self.problem.discretization {
                    let bounds = &self.problem.bounds;
                    let is_bounded = |k: &usize| bounds.x_lower[*k].is_finite() || bounds.x_upper[*k].is_finite();
                    let bounded: Vec<usize> = (0..n).filter(is_bounded).collect();
                    let children = (1..self.problem.tree.n_nodes()).filter(|&c| self.problem.tree.parent(c) == node);
                    for child in children {
                        let mut points = self.points(child, h, &x[..n], u);
                        points.pop();
                        rows.extend(points.iter().flat_map(|point| bounded.iter().map(|&k| point[k])));
                    }
                }
                rows
            }
        }
    }

    fn at_node<T: Number>(&self, node: usize, nodes: &[twinc::expr::NodeId], x: &[T], u: &[T]) -> Vec<T> {
        let (_, p) = self.constants(node);
        let p: Vec<T> = p.iter().map(|&v| T::from(v)).collect();
        let t = T::from(self.problem.time + self.problem.tree.depth(node) as f64 * self.problem.step);
        let env = Env { t, x, u, d: &[], p: &p, dx: &[], dt: T::from(0.0) };
        Interpreter::new(&self.dag, nodes).values(&env)
    }

    /// First derivatives, one column for each variable: `[column][row]`.
    pub fn jacobian(&self, what: What, node: usize, z: &[f64]) -> Vec<Vec<f64>> {
        let mut at: Vec<Dual64> = z.iter().map(|&v| Dual64::from(v)).collect();
        let column = |k: usize| {
            at[k].eps = 1.0;
            let values = self.values(what, node, &at);
            at[k].eps = 0.0;
            values.iter().map(|v| v.eps).collect()
        };
        (0..z.len()).map(column).collect()
    }

    /// Second derivatives of `Σ multipliers · values`, column major.
    pub fn hessian(&self, what: What, node: usize, z: &[f64], multipliers: &[f64]) -> Vec<f64> {
        let n = z.len();
        let mut hessian = vec![0.0; n * n];
        for a in 0..n {
            for b in 0..=a {
                let mut at: Vec<HyperDual64> = z.iter().map(|&v| HyperDual64::from(v)).collect();
                at[a].eps1 = 1.0;
                at[b].eps2 = 1.0;
                let values = self.values(what, node, &at);
                let second: f64 = values.iter().zip(multipliers).map(|(v, m)| v.eps1eps2 * m).sum();
                hessian[a * n + b] = second;
                hessian[b * n + a] = second;
            }
        }
        hessian
    }

    /// `Σ 2 weight ∇r ∇rᵀ` of the cost's squares and moves, column major.
    pub fn gauss_newton(&self, node: usize, z: &[f64]) -> Vec<f64> {
        let n_vars = z.len();
        let terms = if self.problem.tree.is_leaf(node) { &self.nodes.last } else { &self.nodes.running };
        let residuals: Vec<_> = terms.squares.iter().map(|s| s.residual).collect();
        let slopes: Vec<Vec<f64>> = (0..n_vars)
            .map(|k| {
                let mut at: Vec<Dual64> = z.iter().map(|&v| Dual64::from(v)).collect();
                at[k].eps = 1.0;
                let (x, u) = at.split_at(self.n_states);
                let mut values = self.at_node(node, &residuals, &x[..self.n], u);
                if !u.is_empty() {
                    let change =
                        |(j, m): (usize, &twinc::control::shooting::Move)| (u[m.input] - x[self.n + j]) / m.scale;
                    values.extend(self.problem.moves.iter().enumerate().map(change));
                }
                values.iter().map(|v| v.eps).collect()
            })
            .collect();
        let mut weights: Vec<f64> = terms.squares.iter().map(|s| s.weight).collect();
        weights.extend(self.problem.moves.iter().map(|m| m.weight));
        let factor = self.problem.weights.get(node).copied().unwrap_or(1.0);
        let entry = |a: usize, b: usize| {
            let products = slopes[a].iter().zip(&slopes[b]).zip(&weights);
            factor * products.map(|((x, y), w)| 2.0 * w * x * y).sum::<f64>()
        };
        (0..n_vars * n_vars).map(|k| entry(k / n_vars, k % n_vars)).collect()
    }

    /// Inputs of the model.
    pub fn n_inputs(&self) -> usize {
        self.m
    }
}

fn add<T: Number>(x: &[T], h: T, f: &[T]) -> Vec<T> {
    x.iter().zip(f).map(|(x, f)| *x + h * *f).collect()
}

/// Points and matrix of Radau IIA, from their defining property: the matrix integrates polynomials through the points
/// exactly.
fn radau(s: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let r = 6.0_f64.sqrt();
    let c = match s {
        1 => vec![1.0],
        2 => vec![1.0 / 3.0, 1.0],
        _ => vec![(4.0 - r) / 10.0, (4.0 + r) / 10.0, 1.0],
    };
    // Σ_j a_ij c_j^k = c_i^(k+1)/(k+1) for k < s.
    let row = |i: usize| {
        let matrix: Vec<Vec<f64>> = (0..s).map(|k| c.iter().map(|c| c.powi(k as i32)).collect()).collect();
        let mut right: Vec<f64> = (1..=s).map(|k| c[i].powi(k as i32) / k as f64).collect();
        eliminate(matrix, &mut right);
        right
    };
    let a = (0..s).map(row).collect();
    (c, a)
}

/// Solves a dense system by elimination with partial pivoting.
fn eliminate<T: Number>(mut matrix: Vec<Vec<f64>>, right: &mut [T]) {
    let n = right.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| matrix[i][k].abs().total_cmp(&matrix[j][k].abs())).expect("rows");
        matrix.swap(k, pivot);
        right.swap(k, pivot);
        for i in k + 1..n {
            let factor = matrix[i][k] / matrix[k][k];
            let (above, below) = matrix.split_at_mut(i);
            below[0].iter_mut().zip(&above[k]).skip(k).for_each(|(entry, pivot)| *entry -= factor * pivot);
            let known = right[k] * factor;
            right[i] -= known;
        }
    }
    for k in (0..n).rev() {
        for j in k + 1..n {
            let known = right[j] * matrix[k][j];
            right[k] -= known;
        }
        right[k] /= matrix[k][k];
    }
}
