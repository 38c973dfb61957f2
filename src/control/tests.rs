//! Problems written by hand for the tests of the planners, with derivatives by dual numbers (num-dual).
//!
//! A cart-pole, the minimal model of glucose, a linear plant with a quadratic cost, and a point that walks around a disc;
//! the costs are sums of squares. Compiled problems are tested in `tests/control`.

use num_dual::{Dual64, DualNum, HyperDual64};

/// What the problems compute with.
pub(crate) trait Number: DualNum<Primitive = f64> + Copy {}
impl<D: DualNum<Primitive = f64> + Copy> Number for D {}

use nalgebra::{Matrix2, Vector2};

use crate::control::ddp::{Ddp, DdpError, DdpSettings};
use crate::control::sqp::{Hessian, Sqp, SqpSettings};
use crate::decide::{PlanStatus, Planner, Situation};
use crate::optimize::stage_qp::Bounded;
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

/// A linear plant with two states, one input and a quadratic cost.
#[derive(Clone)]
pub(crate) struct Linear;

/// A and B of [`Linear`], column major.
const LINEAR: ([f64; 4], [f64; 2]) = ([1.1, 0.2, -0.3, 0.9], [0.1, 0.5]);

impl Toy for Linear {
    fn dims(&self) -> StageDims {
        StageDims { n_states: 2, n_inputs: 1 }
    }

    fn step<D: Number>(&self, _node: usize, x: &[D], u: &[D], next: &mut [D]) {
        let (a, b) = LINEAR;
        for i in 0..2 {
            next[i] = x[0] * a[i] + x[1] * a[i + 2] + u[0] * b[i];
        }
    }

    fn residuals<D: Number>(&self, _leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
        out.extend(x);
        out.extend(u);
    }
}

/// A point in the plane whose velocity is the input; the row is its squared distance from the origin.
#[derive(Clone)]
pub(crate) struct Walker;

impl Toy for Walker {
    fn dims(&self) -> StageDims {
        StageDims { n_states: 2, n_inputs: 2 }
    }

    fn step<D: Number>(&self, _node: usize, x: &[D], u: &[D], next: &mut [D]) {
        (0..2).for_each(|i| next[i] = x[i] + u[i] * 0.1);
    }

    fn residuals<D: Number>(&self, leaf: bool, x: &[D], u: &[D], out: &mut Vec<D>) {
        let weight = if leaf { 10.0 } else { 0.1 };
        out.push((x[0] - 2.0) * weight);
        out.push(x[1] * weight);
        out.extend(u.iter().map(|u| *u * 0.1));
    }

    fn rows<D: Number>(&self, _leaf: bool, x: &[D], _u: &[D], out: &mut Vec<D>) {
        out.push(x[0] * x[0] + x[1] * x[1]);
    }
}

/// A walk from (-2, 0.5) around the disc of radius 1.
fn walk(softness: Softness, upper: f64) -> (ToyStages<Walker>, Vec<f64>) {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let bounds = Bounds { x: vec![free; 2], u: vec![(-3.0, 3.0); 2], rows: vec![(1.0, upper, softness)] };
    (ToyStages::new(Walker, Tree::chain(20), &bounds), vec![-2.0, 0.5])
}

fn linear(tree: Tree) -> (ToyStages<Linear>, Vec<f64>) {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    (ToyStages::new(Linear, tree, &Bounds { x: vec![free; 2], u: vec![free], rows: Vec::new() }), vec![1.0, -2.0])
}

/// Cost and first input by the Riccati difference equation.
fn riccati(horizon: usize, x: &[f64]) -> (f64, f64) {
    let (a, b) = (Matrix2::from_column_slice(&LINEAR.0), Vector2::from_column_slice(&LINEAR.1));
    let x = Vector2::from_column_slice(x);
    let mut p = Matrix2::identity();
    let mut gain = nalgebra::RowVector2::zeros();
    for _ in 0..horizon {
        let r = 1.0 + (b.transpose() * p * b)[0];
        gain = -(b.transpose() * p * a) / r;
        p = Matrix2::identity() + a.transpose() * p * (a + b * gain);
    }
    ((x.transpose() * p * x)[0], (gain * x)[0])
}

fn now(state: &[f64]) -> Situation<'_> {
    Situation { step: 0, time: 0.0, state, previous: &[], forecast: &[] }
}

#[test]
fn linear_quadratic_plans_are_those_of_riccati() {
    let (problem, start) = linear(Tree::chain(15));
    let (cost, input) = riccati(15, &start);
    let mut sqp = Sqp::new(problem.fork(), SqpSettings::default());
    let mut ddp = Ddp::new(problem.fork(), DdpSettings::default()).expect("a chain");
    let planners: [(&mut dyn Planner, usize); 2] = [(&mut sqp, 2), (&mut ddp, 3)];
    for (planner, most) in planners {
        let plan = planner.plan(&now(&start));
        assert_eq!(plan.status, PlanStatus::Optimal);
        assert!((plan.cost - cost).abs() < 1e-10 * cost, "{} {cost}", plan.cost);
        assert!((plan.input[0] - input).abs() < 1e-10, "{} {input}", plan.input[0]);
        assert!(plan.iterations <= most, "{}", plan.iterations);
    }
}

/// Scenarios that do not differ leave the plan as it is; DDP says that it does not know trees.
#[test]
fn a_tree_of_equal_scenarios_is_planned_as_one() {
    let (tree, start) = linear(Tree::branching(15, 2, 2));
    let (_, input) = riccati(15, &start);
    // Two scenarios cost twice as much from the second node on, four from the third: the first input is not the same,
    // but equal inputs of equal scenarios are.
    let mut sqp = Sqp::new(tree.fork(), SqpSettings::default());
    assert_eq!(sqp.plan(&now(&start)).status, PlanStatus::Optimal);
    assert!((sqp.node(0).1[0] - input).abs() > 1e-6);
    assert!((sqp.node(1).1[0] - sqp.node(2).1[0]).abs() < 1e-12);
    assert_eq!(Ddp::new(tree.fork(), DdpSettings::default()).err(), Some(DdpError::Tree));
}

#[test]
fn sqp_finds_the_published_swing_up_from_rest() {
    let (problem, start) = cartpole(50, 80.0);
    let mut planner = Sqp::new(problem.fork(), SqpSettings::default());
    let plan = planner.plan(&now(&start));
    assert_eq!(plan.status, PlanStatus::Optimal);
    assert!((plan.cost - 2244.307868062141).abs() < 1e-6, "{}", plan.cost);
    assert!((plan.input[0] - 80.0).abs() < 1e-9);
}

#[test]
fn methods_agree_on_the_meal() {
    let (problem, start) = glucose();
    for settings in [DdpSettings::default(), DdpSettings::ilqr()] {
        let mut planner = Ddp::new(problem.fork(), settings).expect("a chain");
        let plan = planner.plan(&now(&start));
        assert_eq!(plan.status, PlanStatus::Optimal);
        assert!((plan.cost - 447.64902540631243).abs() < 1e-4, "{}", plan.cost);
    }
    for hessian in [Hessian::Auto, Hessian::GaussNewton, Hessian::Exact] {
        let mut planner = Sqp::new(problem.fork(), SqpSettings { hessian, ..SqpSettings::default() });
        let plan = planner.plan(&now(&start));
        assert_eq!(plan.status, PlanStatus::Optimal, "{hessian:?}");
        assert!((plan.cost - 447.64902540631243).abs() < 1e-6, "{hessian:?} {}", plan.cost);
    }
}

/// A row that the straight way breaks, hard and at prices below and above its multiplier.
#[test]
fn rows_are_kept_or_paid_for_by_both_methods() {
    let mut costs = Vec::new();
    for softness in [Softness::Hard, Softness::Linear(0.05), Softness::Linear(10.0), Softness::Quadratic(1.0)] {
        let (problem, start) = walk(softness, f64::INFINITY);
        let mut sqp = Sqp::new(problem.fork(), SqpSettings::default());
        let plan = sqp.plan(&now(&start));
        assert_eq!(plan.status, PlanStatus::Optimal, "{softness:?} {}", plan.message);
        let cost = plan.cost;
        costs.push(cost);
        let kept = plan.states.chunks_exact(2).all(|x| x[0] * x[0] + x[1] * x[1] > 1.0 - 1e-6);
        assert_eq!(kept, matches!(softness, Softness::Hard | Softness::Linear(10.0)), "{softness:?}");
        let mut ddp = Ddp::new(problem.fork(), DdpSettings::default()).expect("a chain");
        let plan = ddp.plan(&now(&start));
        assert_eq!(plan.status, PlanStatus::Optimal, "{softness:?} {}", plan.message);
        // Leaving the disc's edge at a price has several optima, of which a simulation finds a better one.
        assert!(plan.cost < (1.0 + 1e-4) * cost, "{softness:?} {} {cost}", plan.cost);
    }
    // A price above the multipliers is as good as a prohibition.
    assert!((costs[0] - costs[2]).abs() < 1e-7, "{costs:?}");
}

/// The disc ends at a radius that the start is already outside of, and too fast to come back to within a step.
#[test]
fn names_the_row_and_step_that_cannot_be_kept() {
    let (problem, start) = walk(Softness::Hard, 2.0);
    let mut planner = Sqp::new(problem.fork(), SqpSettings::default());
    let plan = planner.plan(&now(&start));
    assert_eq!(plan.status, PlanStatus::Infeasible, "{}", plan.message);
    assert!(plan.message.starts_with("no plan keeps row 0 at step"), "{}", plan.message);
    let conflict = planner.conflict().expect("a conflict");
    assert_eq!((conflict.bounded, conflict.depth), (Bounded::Row(0), 0));
}

/// Glucose that is already falling too fast cannot be kept above 70 by insulin, which only lowers it: the plan that
/// violates least gives none until it is back, and is found from nothing as well as from the plan before.
#[test]
fn where_nothing_helps_the_plan_violates_least() {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let bounds = Bounds { x: vec![(70.0, 400.0), free, free], u: vec![(0.0, 2.0)], rows: Vec::new() };
    let problem = ToyStages::new(Glucose, Tree::chain(60), &bounds);
    let mut planner = Sqp::new(problem.fork(), SqpSettings::default());
    for (step, start) in [[90.0, 0.1, 7.0], [85.0, 0.12, 8.0], [80.0, 0.2, 7.0]].into_iter().enumerate() {
        let plan = planner.plan(&Situation { step, ..now(&start) });
        assert_eq!(plan.status, PlanStatus::Infeasible, "{step}: {}", plan.message);
        let (mut x, mut next, mut least) = (start, [0.0; 3], 0.0_f64);
        for node in 1..=60 {
            Glucose.step(node, &x, &[0.0], &mut next);
            x = next;
            least = least.max(70.0 - x[0]);
        }
        assert!(least > 1.0 && (plan.violation - least).abs() < 1e-4, "{step}: {} {least}", plan.violation);
        assert!(plan.inputs.iter().all(|u| (0.0..=2.0).contains(u)), "{:?}", plan.inputs);
    }
}

/// What a prepared real-time iteration takes for the plant's next course is linear in the state: of a linear plant it gives
/// the optimal plan wherever the state has gone, whatever bounds that brings up.
#[test]
fn a_prepared_step_is_optimal_wherever_a_linear_plant_has_gone() {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let bounds = Bounds { x: vec![free; 2], u: vec![(-0.5, 0.5)], rows: Vec::new() };
    let problem = ToyStages::new(Linear, Tree::chain(15), &bounds);
    for state in [[0.1, 0.2], [1.5, -2.5], [-3.0, 4.0]] {
        let mut planner = Sqp::new(problem.fork(), SqpSettings::real_time());
        planner.plan(&now(&[1.0, -2.0]));
        planner.prepare(&Situation { step: 1, ..now(&[f64::NAN, f64::NAN]) });
        let plan = planner.plan(&Situation { step: 1, ..now(&state) });
        assert_eq!((plan.status, plan.iterations), (PlanStatus::Improved, 1));
        let mut optimal = Sqp::new(problem.fork(), SqpSettings::default());
        let truth = optimal.plan(&Situation { step: 1, ..now(&state) });
        for (found, expected) in plan.inputs.iter().zip(truth.inputs) {
            assert!((found - expected).abs() < 1e-8, "{state:?}: {found} {expected}");
        }
        assert!((plan.cost - truth.cost).abs() < 1e-8 * truth.cost.max(1.0), "{} {}", plan.cost, truth.cost);
    }
}

/// A plan that cannot be computed is said to have failed, and the next one starts afresh.
#[test]
fn a_state_that_is_not_a_number_fails_and_is_forgotten() {
    let (problem, start) = linear(Tree::chain(5));
    let mut planner = Sqp::new(problem.fork(), SqpSettings::default());
    assert_eq!(planner.plan(&now(&[f64::NAN, 0.0])).status, PlanStatus::Failed);
    assert_eq!(planner.plan(&now(&start)).status, PlanStatus::Optimal);
}

#[test]
fn a_horizon_of_nothing_costs_what_its_state_costs() {
    let (problem, start) = linear(Tree::chain(0));
    let mut planner = Sqp::new(problem.fork(), SqpSettings::default());
    let plan = planner.plan(&now(&start));
    assert_eq!((plan.status, plan.cost, plan.input.len()), (PlanStatus::Optimal, 5.0, 0));
    let mut planner = Ddp::new(problem.fork(), DdpSettings::default()).expect("a chain");
    let plan = planner.plan(&now(&start));
    assert_eq!((plan.status, plan.cost, plan.input.len()), (PlanStatus::Optimal, 5.0, 0));
}

#[test]
fn contradictory_bounds_are_named() {
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let bounds = Bounds { x: vec![free; 2], u: vec![(1.0, -1.0)], rows: Vec::new() };
    let problem = ToyStages::new(Linear, Tree::chain(3), &bounds);
    let mut planner = Sqp::new(problem.fork(), SqpSettings::default());
    let plan = planner.plan(&now(&[1.0, 1.0]));
    assert_eq!(plan.status, PlanStatus::Infeasible, "{}", plan.message);
    assert!(plan.message.starts_with("no plan keeps the bounds of input 0 at step"), "{}", plan.message);
}
