//! Every kernel of every shipped model against the interpreter, and every derivative against dual numbers.
//!
//! The interpreter carries the scale of each value's rounding errors. A kernel stays within 4 ε of it and is equal bit
//! for bit under strict math; a derivative stays within 1e-12 of it.

use num_dual::{Dual64, HyperDual64};
use twinc::expr::{Dag, Env, Interpreter, Leaf, NodeId, Wrt, directional, gradients, sparsity};
use twinc::flat::FlatModel;
use twinc::jit::Kernels;
use twinc::linalg::CscPattern;
use twinc::syntax::ast::AssignOp;
use twinc::system::{At, System, Work};

use super::subject::{self, Point};

const KERNEL_TOLERANCE: f64 = 4.0 * f64::EPSILON;
const DERIVATIVE_TOLERANCE: f64 = 1e-12;

/// All parts of a model that a kernel computes, as nodes of the kernels' own graph.
struct Programs {
    rhs: Interpreter,
    initial: Interpreter,
    outputs: Interpreter,
    times: Interpreter,
    roots: Interpreter,
    /// Per event.
    jumps: Vec<Interpreter>,
    matrices: Vec<Matrix>,
    /// ∂f/∂x and ∂f/∂p differentiated along a direction.
    along: [Matrix; 2],
}

/// A sparse matrix of derivatives.
struct Matrix {
    name: &'static str,
    wrt: Wrt,
    pattern: CscPattern,
    nodes: Interpreter,
}

const WRT: [Wrt; 5] = [Wrt::States, Wrt::Params, Wrt::Inputs, Wrt::Disturbances, Wrt::Time];

fn n_columns(flat: &FlatModel, wrt: Wrt) -> usize {
    match wrt {
        Wrt::States => flat.states.len(),
        Wrt::Params => flat.params.len(),
        Wrt::Inputs => flat.inputs.len(),
        Wrt::Disturbances => flat.disturbances.len(),
        Wrt::Time => 1,
        Wrt::StatesAndInputs { n_states } => n_states as usize + flat.inputs.len(),
    }
}

impl Programs {
    fn new(kernels: &Kernels) -> Programs {
        let flat = kernels.model();
        let dag = &mut *kernels.dag();
        let rhs: Vec<NodeId> = flat.states.iter().map(|s| if s.is_discrete { Dag::ZERO } else { s.rhs }).collect();
        let initial: Vec<NodeId> = flat.states.iter().map(|s| s.initial).collect();
        let mut matrices = Vec::new();
        let mut along = Vec::new();
        let directions: Vec<NodeId> = (0..rhs.len()).map(|k| dag.leaf(Leaf::Direction(k as u32))).collect();
        let direction_time = dag.leaf(Leaf::DirectionTime);
        let mut differentiate = |dag: &mut Dag, name, roots: &[NodeId], wrt| {
            let rows = gradients(dag, roots, wrt);
            let (pattern, nodes) = sparsity::pattern(&rows, n_columns(flat, wrt));
            if name == "f" && matches!(wrt, Wrt::States | Wrt::Params) {
                let second = directional(dag, &nodes, |leaf| match leaf {
                    Leaf::State(k) => Some(directions[k as usize]),
                    Leaf::Time => Some(direction_time),
                    _ => None,
                });
                along.push(Matrix { name, wrt, pattern: pattern.clone(), nodes: Interpreter::new(dag, &second) });
            }
            matrices.push(Matrix { name, wrt, pattern, nodes: Interpreter::new(dag, &nodes) });
        };
        for wrt in WRT {
            differentiate(dag, "f", &rhs, wrt);
        }
        differentiate(dag, "x0", &initial, Wrt::Params);
        differentiate(dag, "y", &flat.outputs, Wrt::States);
        differentiate(dag, "y", &flat.outputs, Wrt::Params);
        differentiate(dag, "times", &flat.times, Wrt::Params);
        for wrt in [Wrt::States, Wrt::Params, Wrt::Time] {
            differentiate(dag, "roots", &flat.roots, wrt);
        }
        let along = <[Matrix; 2]>::try_from(along).unwrap_or_else(|_| unreachable!("∂f/∂x and ∂f/∂p"));
        let jumps = flat.events.iter().map(|e| e.jumps.iter().map(|j| j.value).collect::<Vec<_>>());
        Programs {
            rhs: Interpreter::new(dag, &rhs),
            initial: Interpreter::new(dag, &initial),
            outputs: Interpreter::new(dag, &flat.outputs),
            times: Interpreter::new(dag, &flat.times),
            roots: Interpreter::new(dag, &flat.roots),
            jumps: jumps.map(|nodes| Interpreter::new(dag, &nodes)).collect(),
            matrices,
            along,
        }
    }

    /// What the matrix is the derivative of.
    fn function(&self, matrix: &Matrix) -> &Interpreter {
        match matrix.name {
            "f" => &self.rhs,
            "x0" => &self.initial,
            "y" => &self.outputs,
            "times" => &self.times,
            _ => &self.roots,
        }
    }
}

/// What differed, and the largest differences that were seen in units of what is allowed.
#[derive(Default)]
struct Findings {
    texts: Vec<String>,
    n_values: usize,
    worst_kernel: f64,
    worst_derivative: f64,
}

impl Findings {
    /// One value of a kernel against the interpreter's.
    fn kernel(&mut self, is_strict: bool, what: impl FnOnce() -> String, got: f64, want: f64, scale: f64) {
        self.n_values += 1;
        if got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()) {
            return;
        }
        let share = (got - want).abs() / (KERNEL_TOLERANCE * scale);
        if is_strict || !want.is_finite() || share.is_nan() || share > 1.0 {
            self.texts.push(format!("{}: kernel {got:e}, interpreter {want:e}, scale {scale:e}", what()));
        } else {
            self.worst_kernel = self.worst_kernel.max(share);
        }
    }

    /// One derivative by a kernel against dual numbers.
    fn derivative(&mut self, what: impl FnOnce() -> String, got: f64, want: f64, scale: f64) {
        self.n_values += 1;
        if got == want || !want.is_finite() || !scale.is_finite() {
            return;
        }
        let share = (got - want).abs() / (DERIVATIVE_TOLERANCE * scale);
        if share.is_nan() || share > 1.0 {
            self.texts.push(format!("{}: kernel {got:e}, dual numbers {want:e}, scale {scale:e}", what()));
        } else {
            self.worst_derivative = self.worst_derivative.max(share);
        }
    }
}

fn env(point: &Point) -> Env<'_, f64> {
    Env { t: point.t, x: &point.x, u: &point.u, d: &point.d, p: &point.p, dx: &point.dx, dt: point.dt }
}

fn with_scales(program: &Interpreter, point: &Point) -> (Vec<f64>, Vec<f64>) {
    let (mut values, mut scales) = (vec![0.0; program.n_roots()], vec![0.0; program.n_roots()]);
    program.eval_with_scale(&env(point), &mut Vec::new(), &mut values, &mut scales);
    (values, scales)
}

/// The derivatives of all roots by one leaf.
fn by_dual_numbers(program: &Interpreter, point: &Point, wrt: Wrt, column: usize) -> Vec<f64> {
    let lift = |of: Wrt, values: &[f64]| -> Vec<Dual64> {
        let seed = |k: usize| f64::from(wrt == of && k == column);
        values.iter().enumerate().map(|(k, &v)| Dual64::new(v, seed(k))).collect()
    };
    let env = Env {
        t: lift(Wrt::Time, &[point.t])[0],
        x: &lift(Wrt::States, &point.x),
        u: &lift(Wrt::Inputs, &point.u),
        d: &lift(Wrt::Disturbances, &point.d),
        p: &lift(Wrt::Params, &point.p),
        dx: &[],
        dt: Dual64::from_re(0.0),
    };
    program.values(&env).iter().map(|v| v.eps).collect()
}

/// The derivatives of all roots by one leaf, differentiated along the point's direction.
fn by_hyper_dual_numbers(program: &Interpreter, point: &Point, wrt: Wrt, column: usize) -> Vec<f64> {
    let lift = |of: Wrt, values: &[f64], direction: &[f64]| -> Vec<HyperDual64> {
        let one = |(k, &v): (usize, &f64)| {
            let seed = f64::from(wrt == of && k == column);
            HyperDual64::new(v, seed, direction.get(k).copied().unwrap_or(0.0), 0.0)
        };
        values.iter().enumerate().map(one).collect()
    };
    let env = Env {
        t: lift(Wrt::Time, &[point.t], &[point.dt])[0],
        x: &lift(Wrt::States, &point.x, &point.dx),
        u: &lift(Wrt::Inputs, &point.u, &[]),
        d: &lift(Wrt::Disturbances, &point.d, &[]),
        p: &lift(Wrt::Params, &point.p, &[]),
        dx: &[],
        dt: HyperDual64::from_re(0.0),
    };
    program.values(&env).iter().map(|v| v.eps1eps2).collect()
}

/// The values of one matrix as the system gives them, in the order of the pattern.
fn matrix_values(kernels: &Kernels, matrix: &Matrix, at: At<'_>, work: &mut Work) -> Vec<f64> {
    let flat = kernels.model();
    let mut values = vec![0.0; matrix.pattern.nnz()];
    let dense = |rows: Vec<Vec<f64>>| {
        let column = |c: usize| matrix.pattern.column(c).map(|(r, _)| rows[r][c]).collect::<Vec<_>>();
        // Outside the pattern a dense row holds zero.
        let n_nonzero = rows.iter().flatten().filter(|v| **v != 0.0).count();
        assert!(n_nonzero <= matrix.pattern.nnz(), "{}: entries outside the pattern", flat.name);
        (0..matrix.pattern.n_cols()).flat_map(column).collect::<Vec<_>>()
    };
    match (matrix.name, matrix.wrt) {
        ("f", Wrt::States) => kernels.jacobian(at, work, &mut values),
        ("f", Wrt::Params) => kernels.parameter_jacobian(at, work, &mut values),
        ("f", Wrt::Inputs) => kernels.input_jacobian(at, work, &mut values),
        ("f", Wrt::Disturbances) => kernels.disturbance_jacobian(at, work, &mut values),
        ("f", Wrt::Time) => {
            let mut df = vec![0.0; flat.states.len()];
            kernels.time_derivative(at, work, &mut df);
            return dense(df.into_iter().map(|v| vec![v]).collect());
        }
        ("x0", _) => kernels.initial_jacobian(at, work, &mut values),
        ("y", wrt) => {
            let (by_x, by_p) = kernels.output_patterns();
            let (mut dy_dx, mut dy_dp) = (vec![0.0; by_x.nnz()], vec![0.0; by_p.nnz()]);
            kernels.output_jacobians(at, work, &mut dy_dx, &mut dy_dp);
            return if wrt == Wrt::States { dy_dx } else { dy_dp };
        }
        ("times", _) => {
            let mut rows = vec![0.0; flat.times.len() * flat.params.len()];
            kernels.times_jacobian(at, work, &mut rows);
            return dense(rows.chunks(flat.params.len().max(1)).map(<[f64]>::to_vec).collect());
        }
        (_, wrt) => {
            let rows = (0..flat.roots.len()).map(|root_idx| {
                let (mut dg_dx, mut dg_dp) = (vec![0.0; flat.states.len()], vec![0.0; flat.params.len()]);
                let dg_dt = kernels.root_gradient(root_idx, at, work, &mut dg_dx, &mut dg_dp);
                match wrt {
                    Wrt::States => dg_dx,
                    Wrt::Params => dg_dp,
                    _ => vec![dg_dt],
                }
            });
            return dense(rows.collect());
        }
    }
    values
}

/// The state after one event and its scale, by the interpreter.
fn after_jumps(flat: &FlatModel, programs: &Programs, event_idx: usize, point: &Point) -> (Vec<f64>, Vec<f64>) {
    let (values, scales) = with_scales(&programs.jumps[event_idx], point);
    let mut x = point.x.clone();
    let mut x_scale: Vec<f64> = x.iter().map(|v| v.abs()).collect();
    for ((jump, value), scale) in flat.events[event_idx].jumps.iter().zip(values).zip(scales) {
        let i = jump.state as usize;
        (x[i], x_scale[i]) = match jump.op {
            AssignOp::Set => (value, scale),
            AssignOp::Add => (x[i] + value, x_scale[i] + scale),
            AssignOp::Subtract => (x[i] - value, x_scale[i] + scale),
            AssignOp::Multiply => (x[i] * value, x[i].abs() * scale + value.abs() * x_scale[i]),
        };
    }
    for dilution in &flat.events[event_idx].dilutions {
        let (i, v) = (dilution.state as usize, dilution.volume as usize);
        let factor = point.x[v] / x[v];
        (x[i], x_scale[i]) = (x[i] * factor, (x_scale[i] + x[i].abs() * x_scale[v] / x[v].abs()) * factor.abs());
    }
    (x, x_scale)
}

/// The derivative of the state after one event by one leaf, by dual numbers.
fn jump_derivative(
    flat: &FlatModel,
    programs: &Programs,
    event_idx: usize,
    point: &Point,
    wrt: Wrt,
    column: usize,
) -> Vec<f64> {
    let (values, _) = with_scales(&programs.jumps[event_idx], point);
    let slopes = by_dual_numbers(&programs.jumps[event_idx], point, wrt, column);
    let seed = |k: usize| f64::from(wrt == Wrt::States && k == column);
    let mut x: Vec<Dual64> = point.x.iter().enumerate().map(|(k, &v)| Dual64::new(v, seed(k))).collect();
    for ((jump, value), slope) in flat.events[event_idx].jumps.iter().zip(values).zip(slopes) {
        let (target, value) = (&mut x[jump.state as usize], Dual64::new(value, slope));
        *target = match jump.op {
            AssignOp::Set => value,
            AssignOp::Add => *target + value,
            AssignOp::Subtract => *target - value,
            AssignOp::Multiply => *target * value,
        };
    }
    for dilution in &flat.events[event_idx].dilutions {
        let (i, v) = (dilution.state as usize, dilution.volume as usize);
        x[i] = x[i] * Dual64::new(point.x[v], seed(v)) / x[v];
    }
    x.iter().map(|v| v.eps).collect()
}

/// All values and derivatives of one model at one point.
fn check_point(kernels: &Kernels, programs: &Programs, is_strict: bool, point: &Point, found: &mut Findings) {
    let flat = kernels.model();
    let work = &mut kernels.work();
    let at = At { t: point.t, x: &point.x, u: &point.u, d: &point.d, p: &point.p };
    let place = |what: &str, row: usize| format!("{} {what} {row} at t = {}", flat.name, point.t);

    type Call = fn(&Kernels, At<'_>, &mut Work, &mut [f64]);
    let calls: [(&str, &Interpreter, Call); 5] = [
        ("f", &programs.rhs, |k, at, work, out| k.rhs(at, work, out)),
        ("x0", &programs.initial, |k, at, work, out| k.initial_state(at, work, out)),
        ("y", &programs.outputs, |k, at, work, out| k.outputs(at, work, out)),
        ("times", &programs.times, |k, at, work, out| k.times(at, work, out)),
        ("roots", &programs.roots, |k, at, work, out| k.roots(at, work, out)),
    ];
    for (name, program, call) in calls {
        let mut got = vec![f64::NAN; program.n_roots()];
        call(kernels, at, work, &mut got);
        let (want, scales) = with_scales(program, point);
        for row in 0..got.len() {
            found.kernel(is_strict, || place(name, row), got[row], want[row], scales[row]);
        }
    }
    for matrix in &programs.matrices {
        let got = matrix_values(kernels, matrix, at, work);
        check_matrix(flat, programs, matrix, &got, is_strict, point, found, by_dual_numbers);
    }
    let [by_x, by_p] = &programs.along;
    let (mut jac, mut par) = (vec![0.0; by_x.pattern.nnz()], vec![0.0; by_p.pattern.nnz()]);
    kernels.jacobian_along(at, &point.dx, point.dt, work, &mut jac, &mut par);
    for (matrix, got) in [(by_x, jac), (by_p, par)] {
        check_matrix(flat, programs, matrix, &got, is_strict, point, found, by_hyper_dual_numbers);
    }
    for event_idx in 0..flat.events.len() {
        let n = flat.states.len();
        let mut x = vec![0.0; n];
        kernels.reset(&[event_idx], at, work, &mut x).expect("one event alone");
        let (want, scales) = after_jumps(flat, programs, event_idx, point);
        for i in 0..n {
            found.kernel(is_strict, || place("jump", i), x[i], want[i], scales[i]);
        }
        let (mut dx, mut dp, mut dt) = (vec![0.0; n * n], vec![0.0; n * flat.params.len()], vec![0.0; n]);
        kernels.reset_jacobians(&[event_idx], at, work, &mut dx, &mut dp, &mut dt);
        for (wrt, got) in [(Wrt::States, &dx), (Wrt::Params, &dp), (Wrt::Time, &dt)] {
            for column in 0..n_columns(flat, wrt) {
                let want = jump_derivative(flat, programs, event_idx, point, wrt, column);
                for i in 0..n {
                    let got = got[column * n + i];
                    found.derivative(|| place("jump by column", column), got, want[i], want[i].abs());
                }
            }
        }
    }
}

/// One matrix of derivatives against the interpreter and against dual numbers, structural zeros included.
#[allow(clippy::too_many_arguments)]
fn check_matrix(
    flat: &FlatModel,
    programs: &Programs,
    matrix: &Matrix,
    got: &[f64],
    is_strict: bool,
    point: &Point,
    found: &mut Findings,
    oracle: fn(&Interpreter, &Point, Wrt, usize) -> Vec<f64>,
) {
    let function = programs.function(matrix);
    let (want, scales) = with_scales(&matrix.nodes, point);
    assert_eq!(got.len(), want.len(), "{}: d{}/d{:?}", flat.name, matrix.name, matrix.wrt);
    let place = |row: usize, column: usize| {
        format!("{} d{}{row}/d{:?}{column} at t = {}", flat.name, matrix.name, matrix.wrt, point.t)
    };
    for column in 0..matrix.pattern.n_cols() {
        let mut by_oracle = oracle(function, point, matrix.wrt, column);
        for (row, k) in matrix.pattern.column(column) {
            found.kernel(is_strict, || place(row, column), got[k], want[k], scales[k]);
            found.derivative(|| place(row, column), got[k], by_oracle[row], scales[k]);
            by_oracle[row] = 0.0;
        }
        for (row, value) in by_oracle.into_iter().enumerate() {
            if value != 0.0 && !value.is_nan() {
                found.texts.push(format!("{}: outside the pattern, dual numbers give {value:e}", place(row, column)));
            }
        }
    }
}

/// Holds all models of a text to the bars at `n_random` random points beside those on their trajectories.
fn check_models(models: &[std::sync::Arc<FlatModel>], n_random: usize) {
    for flat in models {
        let mut found = Findings::default();
        let fast = subject::all_kernels(flat, false);
        let points = subject::points(flat, &fast, n_random);
        for (kernels, is_strict) in [(fast, false), (subject::all_kernels(flat, true), true)] {
            let programs = Programs::new(&kernels);
            for point in &points {
                check_point(&kernels, &programs, is_strict, point, &mut found);
            }
        }
        println!(
            "{}: {} values at {} points; kernels use {:.2} of 4 eps, derivatives {:.1e} of 1e-12",
            flat.name,
            found.n_values,
            points.len(),
            found.worst_kernel,
            found.worst_derivative
        );
        let n = found.texts.len();
        found.texts.truncate(12);
        assert!(n == 0, "{n} differ:\n{}", found.texts.join("\n"));
    }
}

macro_rules! shipped {
    ($($name:ident: $n_random:expr;)*) => {
        $(#[test]
        fn $name() {
            check_models(&subject::shipped_models(stringify!($name)), $n_random);
        })*

        #[test]
        fn no_shipped_model_is_left_out() {
            let mut listed = vec![$(concat!(stringify!($name), ".twin").to_owned()),*];
            listed.sort();
            let found: Vec<String> = super::files("models", "twin")
                .iter()
                .map(|path| path.file_name().expect("a file").to_string_lossy().into_owned())
                .collect();
            assert_eq!(listed, found);
        }
    };
}

shipped! {
    arenstorf: 40;
    bergman: 40;
    brusselator: 5;
    cartpole: 40;
    cstr: 40;
    e5: 40;
    hires: 40;
    hovorka: 40;
    ipsc: 3;
    linear_chain: 10;
    lotka_volterra: 40;
    medical_akzo: 1;
    michaelis_menten: 40;
    oregonator: 40;
    pleiades: 5;
    pollution: 20;
    repressilator: 40;
    ring_modulator: 20;
    robertson: 40;
    stat5: 40;
    vdpol: 40;
}

#[test]
fn events_of_every_kind() {
    let text = "model Events {
        time [h]
        state { a [mg] = 3*dose; b [mg] = 1 }
        discrete n = 1
        param { dose [mg] = 5; k [1/h] = 0.3; t_dose [h] = 2; gain = 1.5; limit [mg] = 4 }
        input u [mg/h] = 0.2
        let rest = if a > limit then k*a else k*a^2/limit
        a' = u - rest
        b' = if time < t_dose then rest else 2*rest*exp(-b/limit)
        at t_dose { a += dose*exp(-k*time); b *= gain*a/limit }
        every 3 [h] from 1 [h] until 20 [h] { a -= 0.1*a; n += 1 }
        when b > limit { k := k/gain*n; b := min(b, limit)/2 }
    }";
    let models = subject::flat_models("events", text);
    assert!(models[0].events.len() >= 4, "{:?}", models[0].events);
    check_models(&models, 40);
}
