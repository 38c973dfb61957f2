//! Problems written by hand for the tests of the planners, with derivatives by dual numbers (num-dual).
//!
//! The plants are those of Tassa, Mansard and Todorov (2014) kind: a cart-pole, a linear plant with a quadratic cost, a
//! quadrotor, the minimal model of glucose; the costs are sums of squares.

use num_dual::{Dual64, DualNum, HyperDual64};

/// What the problems compute with.
pub(crate) trait Number: DualNum<Primitive = f64> + Copy {}
impl<D: DualNum<Primitive = f64> + Copy> Number for D {}

use crate::system::stages::{Curvature, Limits, Softness, StageDims, StageFailure, Stages, Tree};

/// A problem over any dual numbers; its cost is the sum of the squares of `residuals`.
pub(crate) trait Toy: Clone + Send + 'static {
    fn dims(&self) -> StageDims;
    fn step<D: Number>(&self, node: usize, x: &[D], u: &[D], next: &mut [D]);
    fn residuals<D: Number>(&self, leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>);
    fn rows<D: Number>(&self, _leaf: bool, _x: &[D], _u: &[D], _out: &mut Vec<D>) {}
}

/// Bounds of a [`ToyStages`], the same in all nodes.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub x: Vec<(f64, f64)>,
    pub u: Vec<(f64, f64)>,
    pub rows: Vec<(f64, f64, Softness)>,
}

/// [`Stages`] of a toy.
#[derive(Clone)]
pub(crate) struct ToyStages<T: Toy> {
    pub toy: T,
    pub tree: Tree,
    x_lower: Vec<f64>,
    x_upper: Vec<f64>,
    u_lower: Vec<f64>,
    u_upper: Vec<f64>,
    row_lower: Vec<f64>,
    row_upper: Vec<f64>,
    softness: Vec<Softness>,
}

impl<T: Toy> ToyStages<T> {
    pub fn new(toy: T, tree: Tree, bounds: &Bounds) -> Self {
        ToyStages {
            toy,
            tree,
            x_lower: bounds.x.iter().map(|b| b.0).collect(),
            x_upper: bounds.x.iter().map(|b| b.1).collect(),
            u_lower: bounds.u.iter().map(|b| b.0).collect(),
            u_upper: bounds.u.iter().map(|b| b.1).collect(),
            row_lower: bounds.rows.iter().map(|b| b.0).collect(),
            row_upper: bounds.rows.iter().map(|b| b.1).collect(),
            softness: bounds.rows.iter().map(|b| b.2).collect(),
        }
    }

    fn split<D: Number>(z: &[D], n: usize) -> (&[D], &[D]) {
        z.split_at(n)
    }

    /// Values and Jacobian (column major) of a function of z.
    fn jacobian(x: &[f64], u: &[f64], f: impl Fn(&[Dual64], &[Dual64], &mut Vec<Dual64>)) -> (Vec<f64>, Vec<f64>) {
        let mut z: Vec<Dual64> = x.iter().chain(u).map(|&v| Dual64::from(v)).collect();
        let (mut values, mut jacobian, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for j in 0..z.len() {
            z[j].eps = 1.0;
            out.clear();
            let (zx, zu) = Self::split(&z, x.len());
            f(zx, zu, &mut out);
            values = out.iter().map(|v| v.re).collect();
            jacobian.extend(out.iter().map(|v| v.eps));
            z[j].eps = 0.0;
        }
        (values, jacobian)
    }

    /// Adds the second derivatives of `Σ_j weight_j f_j(z)`.
    fn add_curvature(
        x: &[f64],
        u: &[f64],
        weight: &[f64],
        hessian: &mut [f64],
        f: impl Fn(&[HyperDual64], &[HyperDual64], &mut Vec<HyperDual64>),
    ) {
        let mut z: Vec<HyperDual64> = x.iter().chain(u).map(|&v| HyperDual64::from(v)).collect();
        let nv = z.len();
        let mut out = Vec::new();
        for i in 0..nv {
            for j in 0..=i {
                z[i].eps1 = 1.0;
                z[j].eps2 = 1.0;
                out.clear();
                let (zx, zu) = Self::split(&z, x.len());
                f(zx, zu, &mut out);
                let sum: f64 = out.iter().zip(weight).map(|(v, w)| w * v.eps1eps2).sum();
                hessian[i + nv * j] += sum;
                if i != j {
                    hessian[j + nv * i] += sum;
                }
                z[i].eps1 = 0.0;
                z[j].eps2 = 0.0;
            }
        }
    }
}

impl<T: Toy> Stages for ToyStages<T> {
    fn dims(&self) -> StageDims {
        self.toy.dims()
    }

    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn n_rows(&self, _node: usize) -> usize {
        self.row_lower.len()
    }

    fn limits(&self, _node: usize) -> Limits<'_> {
        Limits {
            x_lower: &self.x_lower,
            x_upper: &self.x_upper,
            u_lower: &self.u_lower,
            u_upper: &self.u_upper,
            row_lower: &self.row_lower,
            row_upper: &self.row_upper,
            row_softness: &self.softness,
        }
    }

    fn fork(&self) -> Box<dyn Stages> {
        Box::new(self.clone())
    }

    fn step(&mut self, node: usize, x: &[f64], u: &[f64], next: &mut [f64]) -> Result<(), StageFailure> {
        self.toy.step(node, x, u, next);
        if next.iter().all(|v| v.is_finite()) {
            Ok(())
        } else {
            Err(StageFailure { node, reason: "the step is not finite".into() })
        }
    }

    fn step_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), StageFailure> {
        let n = x.len();
        let (values, j) = Self::jacobian(x, u, |x, u, out| {
            out.resize(n, Dual64::from(0.0));
            self.toy.step(node, x, u, out);
        });
        next.copy_from_slice(&values);
        jacobian.copy_from_slice(&j);
        Ok(())
    }

    fn add_step_curvature(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        costate: &[f64],
        hessian: &mut [f64],
    ) -> Result<(), StageFailure> {
        let n = x.len();
        Self::add_curvature(x, u, costate, hessian, |x, u, out| {
            out.resize(n, HyperDual64::from(0.0));
            self.toy.step(node, x, u, out);
        });
        Ok(())
    }

    fn cost(&mut self, node: usize, x: &[f64], u: &[f64]) -> f64 {
        let mut out = Vec::new();
        self.toy.residuals(self.tree.is_leaf(node), x, u, &mut out);
        out.iter().map(|r| r * r).sum()
    }

    fn cost_derivatives(
        &mut self,
        node: usize,
        x: &[f64],
        u: &[f64],
        curvature: Curvature,
        gradient: &mut [f64],
        hessian: &mut [f64],
    ) -> f64 {
        let leaf = self.tree.is_leaf(node);
        let (r, j) = Self::jacobian(x, u, |x, u, out| self.toy.residuals(leaf, x, u, out));
        let (m, nv) = (r.len(), x.len() + u.len());
        for a in 0..nv {
            let column = &j[a * m..(a + 1) * m];
            gradient[a] = 2.0 * column.iter().zip(&r).map(|(d, r)| d * r).sum::<f64>();
            for b in 0..nv {
                hessian[a + nv * b] = 2.0 * column.iter().zip(&j[b * m..]).map(|(p, q)| p * q).sum::<f64>();
            }
        }
        match curvature {
            Curvature::GaussNewton => {}
            Curvature::Exact => {
                let weight: Vec<f64> = r.iter().map(|r| 2.0 * r).collect();
                Self::add_curvature(x, u, &weight, hessian, |x, u, out| self.toy.residuals(leaf, x, u, out));
            }
        }
        r.iter().map(|r| r * r).sum()
    }

    fn rows(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64]) {
        let mut out = Vec::new();
        self.toy.rows(self.tree.is_leaf(node), x, u, &mut out);
        values.copy_from_slice(&out);
    }

    fn row_derivatives(&mut self, node: usize, x: &[f64], u: &[f64], values: &mut [f64], jacobian: &mut [f64]) {
        let leaf = self.tree.is_leaf(node);
        let (v, j) = Self::jacobian(x, u, |x, u, out| self.toy.rows(leaf, x, u, out));
        values.copy_from_slice(&v);
        jacobian.copy_from_slice(&j);
    }

    fn add_row_curvature(&mut self, node: usize, x: &[f64], u: &[f64], multipliers: &[f64], hessian: &mut [f64]) {
        let leaf = self.tree.is_leaf(node);
        Self::add_curvature(x, u, multipliers, hessian, |x, u, out| self.toy.rows(leaf, x, u, out));
    }
}

/// One step of the classical Runge–Kutta method, `n_sub` of them.
pub(crate) fn rk4<D: Number>(h: f64, n_sub: usize, x: &[D], next: &mut [D], f: impl Fn(&[D], &mut [D])) {
    let n = x.len();
    let mut now: Vec<D> = x.to_vec();
    let zero = D::from(0.0);
    let (mut k, mut sum, mut at) = (vec![zero; n], vec![zero; n], vec![zero; n]);
    for _ in 0..n_sub {
        sum.fill(zero);
        for (stage, weight) in [(0.0, 1.0), (0.5, 2.0), (0.5, 2.0), (1.0, 1.0)] {
            for i in 0..n {
                at[i] = now[i] + k[i] * (stage * h);
            }
            f(&at, &mut k);
            for i in 0..n {
                sum[i] += k[i] * weight;
            }
        }
        for i in 0..n {
            now[i] += sum[i] * (h / 6.0);
        }
    }
    next.copy_from_slice(&now);
}

/// The cart-pole: position, angle from upright, their rates; a force. RK4, 0.05 s.
#[derive(Clone)]
pub(crate) struct CartPole;

impl Toy for CartPole {
    fn dims(&self) -> StageDims {
        StageDims { n_states: 4, n_inputs: 1 }
    }

    fn step<D: Number>(&self, _node: usize, x: &[D], u: &[D], next: &mut [D]) {
        let (big, small, l, g) = (1.0, 0.1, 0.8, 9.81);
        rk4(0.05, 1, x, next, |x, dx| {
            let (sin, cos) = (x[1].sin(), x[1].cos());
            let den = (cos * cos * small - (big + small)) * -1.0;
            dx[0] = x[2];
            dx[1] = x[3];
            dx[2] = (sin * x[3] * x[3] * (-small * l) + cos * sin * (small * g) + u[0]) / den;
            dx[3] = (cos * sin * x[3] * x[3] * (-small * l) + u[0] * cos + sin * ((big + small) * g)) / (den * l);
        });
    }

    fn residuals<D: Number>(&self, leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
        let dt = if leaf { 1.0 } else { 0.05 };
        for (j, w) in [1000.0, 1000.0, 0.01, 0.01].into_iter().enumerate() {
            out.push(x[j] * f64::sqrt(dt * w));
        }
        if !leaf {
            out.push(u[0] * f64::sqrt(dt * 0.01));
        }
    }
}

/// A cart-pole with |F| ≤ `limit` over `horizon` steps, and its start.
pub(crate) fn cartpole(horizon: usize, limit: f64) -> (ToyStages<CartPole>, Vec<f64>) {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let bounds = Bounds { x: vec![free; 4], u: vec![(-limit, limit)], rows: Vec::new() };
    (ToyStages::new(CartPole, Tree::chain(horizon), &bounds), vec![0.0, std::f64::consts::PI, 0.0, 0.0])
}

/// Bergman's minimal model of glucose and insulin with a meal; Magni's risk as the cost. RK4, ten steps of a minute.
#[derive(Clone)]
pub(crate) struct Glucose;

impl Toy for Glucose {
    fn dims(&self) -> StageDims {
        StageDims { n_states: 3, n_inputs: 1 }
    }

    fn step<D: Number>(&self, node: usize, x: &[D], u: &[D], next: &mut [D]) {
        let meal = 4.0 * (-0.01 * 10.0 * (node as f64 - 1.0)).exp();
        rk4(1.0, 10, x, next, |x, dx| {
            dx[0] = x[0] * x[1] * -1.0 + meal;
            dx[1] = x[1] * -0.0142 + (x[2] - 7.0) * 15e-6;
            dx[2] = (x[2] - 7.0) * -0.2814 + u[0];
        });
    }

    fn residuals<D: Number>(&self, leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
        out.push((x[0].ln().powf(0.8353) - 3.7932) * (3.35506 * f64::sqrt(10.0)));
        if !leaf {
            out.push(u[0] * 0.1);
        }
    }
}

/// The glucose problem of the reference set, and its start.
pub(crate) fn glucose() -> (ToyStages<Glucose>, Vec<f64>) {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let bounds = Bounds { x: vec![(70.0, 400.0), free, free], u: vec![(0.0, 2.0)], rows: Vec::new() };
    (ToyStages::new(Glucose, Tree::chain(100), &bounds), vec![138.0, 0.0, 7.0])
}

/// A quadrotor with Euler angles and four thrusts. RK4, 0.05 s.
#[derive(Clone)]
pub(crate) struct Quadrotor;

impl Toy for Quadrotor {
    fn dims(&self) -> StageDims {
        StageDims { n_states: 12, n_inputs: 4 }
    }

    fn step<D: Number>(&self, _node: usize, x: &[D], u: &[D], next: &mut [D]) {
        let (g, l, j, kq) = (9.81, 0.2, [0.01, 0.01, 0.02], 0.02);
        rk4(0.05, 1, x, next, |x, dx| {
            let thrust = u[0] + u[1] + u[2] + u[3];
            let (sr, cr) = (x[6].sin(), x[6].cos());
            let (sp, cp) = (x[7].sin(), x[7].cos());
            let (sy, cy) = (x[8].sin(), x[8].cos());
            dx[0] = x[3];
            dx[1] = x[4];
            dx[2] = x[5];
            dx[3] = thrust * (cr * sp * cy + sr * sy);
            dx[4] = thrust * (cr * sp * sy - sr * cy);
            dx[5] = thrust * cr * cp - g;
            let (wx, wy, wz) = (x[9], x[10], x[11]);
            let tan = sp / cp;
            dx[6] = wx + sr * tan * wy + cr * tan * wz;
            dx[7] = cr * wy - sr * wz;
            dx[8] = (sr * wy + cr * wz) / cp;
            dx[9] = ((u[1] - u[3]) * l + wy * wz * (j[1] - j[2])) / j[0];
            dx[10] = ((u[2] - u[0]) * l + wz * wx * (j[2] - j[0])) / j[1];
            dx[11] = ((u[0] - u[1] + u[2] - u[3]) * kq + wx * wy * (j[0] - j[1])) / j[2];
        });
    }

    fn residuals<D: Number>(&self, leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
        let weight: [f64; 12] = [10.0, 10.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1];
        let dt = if leaf { 10.0 } else { 0.05 };
        for (i, w) in weight.into_iter().enumerate() {
            let target = [2.0, 1.0, 1.5].get(i).copied().unwrap_or(0.0);
            out.push((x[i] - target) * (w * dt).sqrt());
        }
        if !leaf {
            for u in u {
                out.push((*u - 9.81 / 4.0) * f64::sqrt(0.05 * dt));
            }
        }
    }
}

/// The quadrotor problem of the reference set, and its start.
pub(crate) fn quadrotor() -> (ToyStages<Quadrotor>, Vec<f64>) {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let mut x = vec![free; 12];
    x[6] = (-0.6, 0.6);
    x[7] = (-0.6, 0.6);
    let bounds = Bounds { x, u: vec![(0.0, 6.0); 4], rows: Vec::new() };
    (ToyStages::new(Quadrotor, Tree::chain(40), &bounds), vec![0.0; 12])
}

mod ddp {
    use super::*;
    use crate::control::ddp::{Ddp, DdpSettings};
    use crate::decide::{Planner, Situation};

    #[test]
    fn explore() {
        for (name, (p, x0)) in [
            ("n20", cartpole(20, 80.0)),
            ("n50", cartpole(50, 80.0)),
            ("n100", cartpole(100, 80.0)),
            ("f12", cartpole(100, 12.0)),
        ] {
            for s in [DdpSettings::default(), DdpSettings::ilqr()] {
                let what = s.curvature;
                let mut d = Ddp::new(Box::new(p.clone()), s).unwrap();
                let plan = d.plan(&Situation { step: 0, time: 0.0, state: &x0, previous: &[], forecast: &[] });
                println!(
                    "{name} {what:?} {:?} {} cost {:.10} u0 {:?}",
                    plan.status, plan.iterations, plan.cost, plan.input
                );
            }
        }
        {
            let (p, x0) = glucose();
            for s in [DdpSettings::default(), DdpSettings::ilqr()] {
                let what = s.curvature;
                let mut d = Ddp::new(Box::new(p.clone()), s).unwrap();
                let plan = d.plan(&Situation { step: 0, time: 0.0, state: &x0, previous: &[], forecast: &[] });
                println!(
                    "glucose {what:?} {:?} {} cost {:.10} u0 {:?} v {}",
                    plan.status, plan.iterations, plan.cost, plan.input, plan.violation
                );
            }
        }
        {
            let (p, x0) = quadrotor();
            for s in [DdpSettings::default(), DdpSettings::ilqr()] {
                let what = s.curvature;
                let mut d = Ddp::new(Box::new(p.clone()), s).unwrap();
                d.set_guess(&[9.81 / 4.0; 160]);
                let plan = d.plan(&Situation { step: 0, time: 0.0, state: &x0, previous: &[], forecast: &[] });
                println!(
                    "quad {what:?} {:?} {} cost {:.10} u0 {:?} v {}",
                    plan.status, plan.iterations, plan.cost, plan.input, plan.violation
                );
            }
        }
    }
}

mod sqp {
    use super::*;
    use crate::control::sqp::{Hessian, Sqp, SqpSettings};
    use crate::decide::{Planner, Situation};
    use crate::system::stages::Stages;

    fn show(name: &str, p: Box<dyn Stages>, x0: &[f64], guess: Option<(Vec<f64>, Vec<f64>)>) {
        for hessian in [Hessian::Exact, Hessian::GaussNewton] {
            let mut s = Sqp::new(p.fork(), SqpSettings { hessian, ..Default::default() });
            if let Some((x, u)) = &guess { s.set_guess(x, u); }
            let t = std::time::Instant::now();
            let plan = s.plan(&Situation { step: 0, time: 0.0, state: x0, previous: &[], forecast: &[] });
            println!("{name} {hessian:?} {:?} {} cost {:.10} u0 {:?} v {:e} {} {:?}", plan.status, plan.iterations, plan.cost, plan.input, plan.violation, plan.message, t.elapsed());
            println!("   convexified {}", s.n_convexified());
        }
    }

    #[test]
    fn sqp_explore() {
        for (name, (p, x0)) in [("n20", cartpole(20, 80.0)), ("n50", cartpole(50, 80.0)), ("n100", cartpole(100, 80.0)), ("f12", cartpole(100, 12.0))] {
            show(name, Box::new(p), &x0, None);
        }
        let (p, x0) = glucose();
        show("glucose", Box::new(p), &x0, None);
        let (p, x0) = quadrotor();
        show("quad", Box::new(p), &x0, Some((vec![0.0; 41 * 12], vec![9.81 / 4.0; 41 * 4])));
    }
}
