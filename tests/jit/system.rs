//! Every method of `System` against the interpreter (values) and dual numbers (derivatives).

use std::sync::Arc;

use num_dual::{Dual64, HyperDual64};
use rand::{Rng, SeedableRng};
use twinc::expr::{Env, Interpreter, NodeId};
use twinc::flat::FlatModel;
use twinc::jit::{Kernels, Options};
use twinc::linalg::CscPattern;
use twinc::system::{At, System, Trigger};

use super::models;

struct Point {
    t: f64,
    x: Vec<f64>,
    u: Vec<f64>,
    d: Vec<f64>,
    p: Vec<f64>,
}

impl Point {
    fn at(&self) -> At<'_> {
        At { t: self.t, x: &self.x, u: &self.u, d: &self.d, p: &self.p }
    }
}

fn points(model: &FlatModel) -> Vec<Point> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut draw = |n: usize| (0..n).map(|_| rng.random_range(0.2..3.0)).collect::<Vec<f64>>();
    (0..20)
        .map(|_| Point {
            t: draw(1)[0],
            x: draw(model.states.len()),
            u: draw(model.inputs.len()),
            d: draw(model.disturbances.len()),
            p: draw(model.params.len()),
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum By {
    State(usize),
    Param(usize),
    Input(usize),
    Disturbance(usize),
    Time,
}

/// Derivatives of nodes by one variable, and the scale to compare with.
fn dual(model: &FlatModel, nodes: &[NodeId], point: &Point, by: By) -> Vec<f64> {
    let seeded = |values: &[f64], wrap: fn(usize) -> By| -> Vec<Dual64> {
        values.iter().enumerate().map(|(k, &v)| Dual64::new(v, f64::from(wrap(k) == by))).collect()
    };
    let env = Env {
        t: Dual64::new(point.t, f64::from(by == By::Time)),
        x: &seeded(&point.x, By::State),
        u: &seeded(&point.u, By::Input),
        d: &seeded(&point.d, By::Disturbance),
        p: &seeded(&point.p, By::Param),
        dx: &[],
        dt: Dual64::from_re(0.0),
    };
    Interpreter::new(&model.dag, nodes).values(&env).iter().map(|v| v.eps).collect()
}

fn assert_close(got: f64, want: f64, what: &str) {
    // The terms of these derivatives are of order 1 to 100.
    assert!((got - want).abs() <= 1e-12 * want.abs().max(10.0), "{what}: kernel {got}, dual numbers {want}");
}

/// Compares sparse values with dual numbers, zeros outside the pattern included.
fn check_sparse(
    model: &FlatModel,
    nodes: &[NodeId],
    point: &Point,
    pattern: &CscPattern,
    values: &[f64],
    by: fn(usize) -> By,
) {
    assert_eq!(pattern.n_rows(), nodes.len());
    assert_eq!(pattern.nnz(), values.len());
    for col in 0..pattern.n_cols() {
        for (row, want) in dual(model, nodes, point, by(col)).into_iter().enumerate() {
            let got = pattern.position(row, col).map_or(0.0, |k| values[k]);
            assert_close(got, want, &format!("row {row} by {:?}", by(col)));
        }
    }
}

fn compiled() -> (Arc<FlatModel>, Kernels, Vec<NodeId>) {
    let model = models::rich();
    let kernels = Kernels::compile(model.clone(), &Options::default()).unwrap();
    let rhs = model.states.iter().map(|s| s.rhs).collect();
    (model, kernels, rhs)
}

#[test]
fn strict_values_equal_the_interpreter() {
    let model = models::rich();
    let kernels = Kernels::compile(model.clone(), &Options { strict_math: true }).unwrap();
    let mut work = kernels.work();
    for point in points(&model) {
        let env = Env { t: point.t, x: &point.x, u: &point.u, d: &point.d, p: &point.p, dx: &[], dt: 0.0 };
        let values = |nodes: &[NodeId]| Interpreter::new(&model.dag, nodes).values(&env);
        let mut got = vec![0.0; 4];
        kernels.rhs(point.at(), &mut work, &mut got);
        assert_eq!(got, values(&model.states.iter().map(|s| s.rhs).collect::<Vec<_>>()));
        kernels.initial_state(point.at(), &mut work, &mut got);
        assert_eq!(got, values(&model.states.iter().map(|s| s.initial).collect::<Vec<_>>()));
        kernels.outputs(point.at(), &mut work, &mut got[..3]);
        assert_eq!(got[..3], values(&model.outputs));
        kernels.times(point.at(), &mut work, &mut got[..3]);
        assert_eq!(got[..3], values(&model.times));
        kernels.roots(point.at(), &mut work, &mut got[..2]);
        assert_eq!(got[..2], values(&model.roots));
        let kernel = kernels.compile_nodes(&model.outputs[1..]).unwrap();
        kernel.call(point.at(), &mut work, &mut got);
        assert_eq!(got[..2], values(&model.outputs[1..]));
    }
}

#[test]
fn first_derivatives_equal_dual_numbers() {
    let (model, kernels, rhs) = compiled();
    let mut work = kernels.work();
    let (px, pp) = (kernels.jacobian_pattern(), kernels.parameter_pattern());
    let (pu, pd) = (kernels.input_pattern(), kernels.disturbance_pattern());
    let initial: Vec<NodeId> = model.states.iter().map(|s| s.initial).collect();
    for point in points(&model) {
        let at = point.at();
        let mut values = vec![0.0; px.nnz()];
        kernels.jacobian(at, &mut work, &mut values);
        check_sparse(&model, &rhs, &point, px, &values, By::State);
        let mut values = vec![0.0; pp.nnz()];
        kernels.parameter_jacobian(at, &mut work, &mut values);
        check_sparse(&model, &rhs, &point, pp, &values, By::Param);
        let mut values = vec![0.0; pu.nnz()];
        kernels.input_jacobian(at, &mut work, &mut values);
        check_sparse(&model, &rhs, &point, pu, &values, By::Input);
        let mut values = vec![0.0; pd.nnz()];
        kernels.disturbance_jacobian(at, &mut work, &mut values);
        check_sparse(&model, &rhs, &point, pd, &values, By::Disturbance);
        let mut values = vec![f64::NAN; 4];
        kernels.time_derivative(at, &mut work, &mut values);
        let want = dual(&model, &rhs, &point, By::Time);
        values.iter().zip(want).for_each(|(got, want)| assert_close(*got, want, "by time"));
        let pattern = kernels.initial_pattern();
        let mut values = vec![0.0; pattern.nnz()];
        kernels.initial_jacobian(at, &mut work, &mut values);
        check_sparse(&model, &initial, &point, pattern, &values, By::Param);
        let (yx, yp) = kernels.output_patterns();
        let (mut dy_dx, mut dy_dp) = (vec![0.0; yx.nnz()], vec![0.0; yp.nnz()]);
        kernels.output_jacobians(at, &mut work, &mut dy_dx, &mut dy_dp);
        check_sparse(&model, &model.outputs, &point, yx, &dy_dx, By::State);
        check_sparse(&model, &model.outputs, &point, yp, &dy_dp, By::Param);
    }
    assert!(!kernels.is_autonomous());
}

#[test]
fn directional_second_derivatives_equal_hyper_dual_numbers() {
    let (model, kernels, rhs) = compiled();
    let mut work = kernels.work();
    let (px, pp) = (kernels.jacobian_pattern(), kernels.parameter_pattern());
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    for point in points(&model) {
        let direction: Vec<f64> = (0..4).map(|_| rng.random_range(-1.0..1.0)).collect();
        let dt: f64 = rng.random_range(-1.0..1.0);
        let (mut jac, mut par) = (vec![0.0; px.nnz()], vec![0.0; pp.nnz()]);
        kernels.jacobian_along(point.at(), &direction, dt, &mut work, &mut jac, &mut par);
        let second = |by: By| -> Vec<f64> {
            let plain = |v: &f64| HyperDual64::new(*v, 0.0, 0.0, 0.0);
            let mut x: Vec<HyperDual64> =
                point.x.iter().zip(&direction).map(|(&v, &d)| HyperDual64::new(v, d, 0.0, 0.0)).collect();
            let mut p: Vec<HyperDual64> = point.p.iter().map(plain).collect();
            match by {
                By::State(k) => x[k].eps2 = 1.0,
                By::Param(k) => p[k].eps2 = 1.0,
                By::Input(_) | By::Disturbance(_) | By::Time => unreachable!(),
            }
            let (u, d): (Vec<_>, Vec<_>) = (point.u.iter().map(plain).collect(), point.d.iter().map(plain).collect());
            let t = HyperDual64::new(point.t, dt, 0.0, 0.0);
            let env = Env { t, x: &x, u: &u, d: &d, p: &p, dx: &[], dt: HyperDual64::from_re(0.0) };
            Interpreter::new(&model.dag, &rhs).values(&env).iter().map(|v| v.eps1eps2).collect()
        };
        for (pattern, values, by) in [(px, &jac, By::State as fn(usize) -> By), (pp, &par, By::Param)] {
            for col in 0..pattern.n_cols() {
                for (row, want) in second(by(col)).into_iter().enumerate() {
                    let got = pattern.position(row, col).map_or(0.0, |k| values[k]);
                    assert_close(got, want, &format!("row {row} by {:?} along the direction", by(col)));
                }
            }
        }
    }
}

#[test]
fn gradients_of_times_and_roots_equal_dual_numbers() {
    let (model, kernels, _) = compiled();
    let mut work = kernels.work();
    for point in points(&model) {
        let mut dtimes = vec![f64::NAN; 9];
        kernels.times_jacobian(point.at(), &mut work, &mut dtimes);
        for k in 0..3 {
            for (row, want) in dual(&model, &model.times, &point, By::Param(k)).into_iter().enumerate() {
                assert_close(dtimes[row * 3 + k], want, "time by parameter");
            }
        }
        for root in 0..2 {
            let (mut dg_dx, mut dg_dp) = (vec![f64::NAN; 4], vec![f64::NAN; 3]);
            let dg_dt = kernels.root_gradient(root, point.at(), &mut work, &mut dg_dx, &mut dg_dp);
            assert_close(dg_dt, dual(&model, &model.roots, &point, By::Time)[root], "root by time");
            let by_state = |k| dual(&model, &model.roots, &point, By::State(k))[root];
            (0..4).for_each(|k| assert_close(dg_dx[k], by_state(k), "root by state"));
            let by_param = |k| dual(&model, &model.roots, &point, By::Param(k))[root];
            (0..3).for_each(|k| assert_close(dg_dp[k], by_param(k), "root by parameter"));
        }
    }
    assert_eq!(kernels.events()[1].trigger, Trigger::Rising { root_idx: 1 });
}
