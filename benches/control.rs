//! What the quadratic problems of optimal control cost, by plant.
//!
//! `cargo bench --bench control` follows each plant of the reference problems (ten Gauss-Newton steps from the start, then
//! thirty steps in closed loop, one problem each) and prints, per problem, the microseconds of a solve from nothing and
//! of one from the bounds that held before, with the guesses, interior-point iterations and Riccati recursions that they
//! took on average; then the time of a problem without active bounds and its floating-point rate, all of it counted as
//! factorisation. Times are processor time, the least of several interleaved rounds.

#[path = "clock.rs"]
mod clock;

use clock::Stopwatch;
use twinc::optimize::stage_qp::{QpStatistics, QpStatus, StageQp, StageQpSolver, Start};
use twinc::system::{StageDims, Tree};

const ROUNDS: usize = 5;
/// Steps from the start before the loop closes, and all of them.
const OPEN: usize = 10;
const STEPS: usize = 40;

/// dx from x, u and the step of the plan or of the plant.
type Rhs = dyn Fn(&[f64], &[f64], usize, &mut [f64]);

/// A plant with quadratic costs around a reference, per step and at the end.
struct Plant {
    name: &'static str,
    horizon: usize,
    dt: f64,
    substeps: usize,
    rhs: Box<Rhs>,
    x0: Vec<f64>,
    start: (Vec<f64>, Vec<f64>),
    x_ref: Vec<f64>,
    u_ref: f64,
    q: Vec<f64>,
    q_end: Vec<f64>,
    r: f64,
    u_bounds: (f64, f64),
    x_bounds: Vec<(f64, f64)>,
}

const FREE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

impl Plant {
    fn dims(&self) -> StageDims {
        StageDims { n_states: self.start.0.len(), n_inputs: self.start.1.len() }
    }

    /// The classical Runge-Kutta method over one step.
    fn step(&self, x: &[f64], u: &[f64], at: usize) -> Vec<f64> {
        let h = self.dt / self.substeps as f64;
        let mut x = x.to_vec();
        let mut slope = vec![0.0; x.len()];
        for _ in 0..self.substeps {
            let (mut sum, mut y) = (x.clone(), x.clone());
            for (reach, weight) in [(0.5, 1.0), (0.5, 2.0), (1.0, 2.0), (0.0, 1.0)] {
                (self.rhs)(&y, u, at, &mut slope);
                for i in 0..x.len() {
                    sum[i] += h / 6.0 * weight * slope[i];
                    y[i] = x[i] + h * reach * slope[i];
                }
            }
            x = sum;
        }
        x
    }

    /// Fills in the Gauss-Newton problem, in steps around a trajectory.
    fn linearize(&self, at: usize, x: &[Vec<f64>], u: &[Vec<f64>], now: &[f64], qp: &mut StageQp) {
        let n = now.len();
        for k in 0..=self.horizon {
            let nv = qp.n_vars(k);
            let (q, scale) = if k < self.horizon { (&self.q, self.dt) } else { (&self.q_end, 1.0) };
            for j in 0..n {
                qp.hessian_mut(k)[j * nv + j] = 2.0 * scale * q[j];
                qp.gradient_mut(k)[j] = 2.0 * scale * q[j] * (x[k][j] - self.x_ref[j]);
                qp.x_lower_mut(k)[j] = self.x_bounds[j].0 - x[k][j];
                qp.x_upper_mut(k)[j] = self.x_bounds[j].1 - x[k][j];
            }
            for j in n..nv {
                qp.hessian_mut(k)[j * nv + j] = 2.0 * scale * self.r;
                qp.gradient_mut(k)[j] = 2.0 * scale * self.r * (u[k][j - n] - self.u_ref);
                qp.u_lower_mut(k)[j - n] = self.u_bounds.0 - u[k][j - n];
                qp.u_upper_mut(k)[j - n] = self.u_bounds.1 - u[k][j - n];
            }
            if k == self.horizon {
                continue;
            }
            let next = self.step(&x[k], &u[k], at + k);
            for i in 0..n {
                qp.offset_mut(k + 1)[i] = next[i] - x[k + 1][i];
            }
            for j in 0..nv {
                let shifted = |by: f64| {
                    let (mut x, mut u) = (x[k].clone(), u[k].clone());
                    if j < n {
                        x[j] += by
                    } else {
                        u[j - n] += by
                    }
                    self.step(&x, &u, at + k)
                };
                let (plus, minus) = (shifted(1e-6), shifted(-1e-6));
                for i in 0..n {
                    qp.jacobian_mut(k + 1)[j * n + i] = (plus[i] - minus[i]) / 2e-6;
                }
            }
        }
        for i in 0..n {
            qp.root_mut()[i] = now[i] - x[0][i];
        }
    }

    /// The problems of all steps.
    fn problems(&self) -> Vec<StageQp> {
        let (dims, horizon) = (self.dims(), self.horizon);
        let mut qp = StageQp::new(dims, Tree::chain(horizon), &vec![0; horizon + 1], &[]);
        let mut solver = StageQpSolver::new(&qp);
        let (mut x, mut u) = (vec![self.start.0.clone(); horizon + 1], vec![self.start.1.clone(); horizon]);
        let mut now = self.x0.clone();
        let mut list = Vec::new();
        for step in 0..STEPS {
            let at = step.max(OPEN) - OPEN;
            self.linearize(at, &x, &u, &now, &mut qp);
            let status = solver.solve(&qp, if step == 0 { Start::Cold } else { Start::Warm });
            assert_eq!(status, QpStatus::Optimal, "{} at step {step}", self.name);
            list.push(qp.clone());
            // Shorter steps at the start keep the swing-up from leaving the model behind.
            let length = if step < 8 && dims.n_states == 4 { 0.5 + step as f64 / 16.0 } else { 1.0 };
            for k in 0..=horizon {
                x[k].iter_mut().zip(solver.state(k)).for_each(|(x, dx)| *x += length * dx);
                if k < horizon {
                    u[k].iter_mut().zip(solver.input(k)).for_each(|(u, du)| *u += length * du);
                }
            }
            if step >= OPEN {
                now = self.step(&now, &u[0], at);
                x.remove(0);
                u.remove(0);
                u.push(u[horizon - 2].clone());
                x.push(self.step(&x[horizon - 1], &u[horizon - 1], at + horizon));
                solver.shift();
            }
        }
        list
    }
}

fn cart_pole(name: &'static str, horizon: usize) -> Plant {
    let rhs = |x: &[f64], u: &[f64], _: usize, dx: &mut [f64]| {
        let (mass, m, l, g) = (1.0, 0.1, 0.8, 9.81);
        let (s, c) = x[1].sin_cos();
        let den = mass + m - m * c * c;
        dx[0] = x[2];
        dx[1] = x[3];
        dx[2] = (-m * l * s * x[3] * x[3] + m * g * c * s + u[0]) / den;
        dx[3] = (-m * l * c * s * x[3] * x[3] + u[0] * c + (mass + m) * g * s) / (l * den);
    };
    let hanging = vec![0.0, std::f64::consts::PI, 0.0, 0.0];
    let q = vec![1000.0, 1000.0, 0.01, 0.01];
    Plant {
        name,
        horizon,
        dt: 0.05,
        substeps: 1,
        rhs: Box::new(rhs),
        x0: hanging.clone(),
        start: (hanging, vec![0.0]),
        x_ref: vec![0.0; 4],
        u_ref: 0.0,
        q: q.clone(),
        q_end: q,
        r: 0.01,
        u_bounds: (-80.0, 80.0),
        x_bounds: vec![FREE; 4],
    }
}

/// The cost is quadratic around a target: Magni's risk is the business of the outer method.
fn glucose() -> Plant {
    let rhs = |x: &[f64], u: &[f64], at: usize, dx: &mut [f64]| {
        dx[0] = -x[0] * x[1] + 4.0 * (-0.1 * at as f64).exp();
        dx[1] = -0.0142 * x[1] + 15e-6 * (x[2] - 7.0);
        dx[2] = -0.2814 * (x[2] - 7.0) + u[0];
    };
    Plant {
        name: "glucose",
        horizon: 100,
        dt: 10.0,
        substeps: 10,
        rhs: Box::new(rhs),
        x0: vec![138.0, 0.0, 7.0],
        start: (vec![138.0, 0.0, 7.0], vec![0.0]),
        x_ref: vec![112.0, 0.0, 7.0],
        u_ref: 0.0,
        q: vec![1e-4, 1e-4, 1e-6],
        q_end: vec![1e-3, 1e-3, 1e-5],
        r: 1e-3,
        u_bounds: (0.0, 2.0),
        x_bounds: vec![(70.0, 400.0), FREE, FREE],
    }
}

fn quadrotor() -> Plant {
    let rhs = |x: &[f64], f: &[f64], _: usize, dx: &mut [f64]| {
        let (l, kq, j) = (0.2, 0.02, [0.01, 0.01, 0.02]);
        let thrust: f64 = f.iter().sum();
        let ((sr, cr), (sp, cp), (sy, cy)) = (x[6].sin_cos(), x[7].sin_cos(), x[8].sin_cos());
        let (wx, wy, wz) = (x[9], x[10], x[11]);
        dx[..3].copy_from_slice(&x[3..6]);
        dx[3] = thrust * (cr * sp * cy + sr * sy);
        dx[4] = thrust * (cr * sp * sy - sr * cy);
        dx[5] = thrust * cr * cp - 9.81;
        dx[6] = wx + (sr * wy + cr * wz) * sp / cp;
        dx[7] = cr * wy - sr * wz;
        dx[8] = (sr * wy + cr * wz) / cp;
        dx[9] = (l * (f[1] - f[3]) + (j[1] - j[2]) * wy * wz) / j[0];
        dx[10] = (l * (f[2] - f[0]) + (j[2] - j[0]) * wz * wx) / j[1];
        dx[11] = (kq * (f[0] - f[1] + f[2] - f[3]) + (j[0] - j[1]) * wx * wy) / j[2];
    };
    let q = [10.0, 10.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1];
    let mut x_bounds = vec![FREE; 12];
    x_bounds[6..8].fill((-0.6, 0.6));
    let mut x_ref = vec![0.0; 12];
    x_ref[..3].copy_from_slice(&[2.0, 1.0, 1.5]);
    Plant {
        name: "quadrotor",
        horizon: 40,
        dt: 0.05,
        substeps: 1,
        rhs: Box::new(rhs),
        x0: vec![0.0; 12],
        start: (vec![0.0; 12], vec![9.81 / 4.0; 4]),
        x_ref,
        u_ref: 9.81 / 4.0,
        q: q.to_vec(),
        q_end: q.iter().map(|v| 10.0 * v).collect(),
        r: 0.05,
        u_bounds: (0.0, 6.0),
        x_bounds,
    }
}

/// Masses on springs, the first fixed, the last moved; a wall beside them.
fn chain(name: &'static str, n_masses: usize) -> Plant {
    let free = n_masses - 2;
    let (n, velocity) = (3 * (2 * free + 1), 3 * (free + 1));
    let rhs = move |x: &[f64], u: &[f64], _: usize, dx: &mut [f64]| {
        let position = |i: usize, c: usize| if i == 0 { 0.0 } else { x[3 * (i - 1) + c] };
        let pull = |i: usize| {
            let d = [0, 1, 2].map(|c| position(i, c) - position(i - 1, c));
            let length = d.iter().map(|v| v * v).sum::<f64>().sqrt();
            d.map(|d| (1.0 - 0.033 / length) / 0.033 * d)
        };
        for i in 1..=free {
            let (back, ahead) = (pull(i), pull(i + 1));
            for c in 0..3 {
                let mass = 3 * (i - 1) + c;
                dx[mass] = x[velocity + mass];
                dx[velocity + mass] = ahead[c] - back[c] - if c == 2 { 9.81 } else { 0.0 };
            }
        }
        dx[3 * free..velocity].copy_from_slice(u);
    };
    // At rest, by letting the chain swing with friction.
    let mut x = vec![0.0; n];
    for i in 0..=free {
        x[3 * i] = 6.0 * 0.033 * (i + 1) as f64;
        x[3 * i + 2] = -0.3 * ((i + 1) * (free - i)) as f64;
    }
    let mut dx = vec![0.0; n];
    for _ in 0..60_000 {
        rhs(&x, &[0.0; 3], 0, &mut dx);
        for i in 0..n {
            x[i] += 0.002 * (dx[i] - if i >= velocity { 2.0 * x[i] } else { 0.0 });
        }
    }
    let mut q = vec![1.0; n];
    q[3 * free..velocity].fill(free as f64 + 1.0);
    let mut x_bounds = vec![FREE; n];
    (0..=free).for_each(|i| x_bounds[3 * i + 1].0 = -0.05);
    let mut plant = Plant {
        name,
        horizon: 40,
        dt: 0.2,
        substeps: 2,
        rhs: Box::new(rhs),
        x0: x.clone(),
        start: (x.clone(), vec![0.0; 3]),
        x_ref: x,
        u_ref: 0.0,
        q: q.clone(),
        q_end: q,
        r: 0.01,
        u_bounds: (-1.0, 1.0),
        x_bounds,
    };
    for _ in 0..5 {
        plant.x0 = plant.step(&plant.x0, &[-1.0, 1.0, 1.0], 0);
    }
    plant
}

/// Guesses, iterations and recursions, added up.
fn count(sum: &mut [usize; 3], s: QpStatistics) {
    sum[0] += s.guesses;
    sum[1] += s.iterations;
    sum[2] += s.factorizations;
}

fn main() {
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    println!("us per problem (guesses, interior iterations, recursions)");
    let plants = [
        cart_pole("cart-pole 20", 20),
        cart_pole("cart-pole 50", 50),
        glucose(),
        quadrotor(),
        chain("chain 21", 5),
        chain("chain 45", 9),
    ];
    for plant in plants {
        if only.as_ref().is_some_and(|only| !plant.name.contains(only.as_str())) {
            continue;
        }
        let problems = plant.problems();
        let mut free = problems[STEPS - 1].clone();
        for k in 0..=plant.horizon {
            free.x_lower_mut(k).fill(f64::NEG_INFINITY);
            free.u_lower_mut(k).fill(f64::NEG_INFINITY);
            free.x_upper_mut(k).fill(f64::INFINITY);
            free.u_upper_mut(k).fill(f64::INFINITY);
        }
        let mut solver = StageQpSolver::new(&free);
        let dims = plant.dims();
        let repeats = 200_000 / (dims.n_vars().pow(3) + 500) / plant.horizon + 1;
        let mut best = [f64::INFINITY; 3];
        let mut counts = [[0; 3]; 2];
        for round in 0..ROUNDS {
            let mut times = [0.0; 3];
            for _ in 0..repeats {
                let watch = Stopwatch::start();
                for qp in &problems {
                    solver.solve(qp, Start::Cold);
                    if round == 0 {
                        count(&mut counts[0], solver.statistics());
                    }
                }
                times[0] += watch.seconds();
                let watch = Stopwatch::start();
                for (step, qp) in problems.iter().enumerate() {
                    solver.solve(qp, if step == 0 { Start::Cold } else { Start::Warm });
                    if step >= OPEN {
                        solver.shift();
                    }
                    if round == 0 {
                        count(&mut counts[1], solver.statistics());
                    }
                }
                times[1] += watch.seconds();
                let watch = Stopwatch::start();
                for _ in 0..STEPS {
                    solver.solve(&free, Start::Cold);
                }
                times[2] += watch.seconds();
            }
            let per_problem = 1e6 / (repeats * STEPS) as f64;
            (0..3).for_each(|i| best[i] = best[i].min(times[i] * per_problem));
        }
        let mean = counts.map(|c| c.map(|v| v as f64 / (repeats * STEPS) as f64));
        let (n, m) = (dims.n_states as f64, dims.n_inputs as f64);
        let flops = plant.horizon as f64 * (2.0 * n * n * (n + m) + n * (n + m) * (n + m) + n * n * m);
        println!(
            "{:13} cold {:8.1} ({:.1}, {:.1}, {:.1})   warm {:8.1} ({:.1}, {:.1}, {:.1})   free {:7.1}, {:5.1} GFLOP/s",
            plant.name,
            best[0],
            mean[0][0],
            mean[0][1],
            mean[0][2],
            best[1],
            mean[1][0],
            mean[1][1],
            mean[1][2],
            best[2],
            flops / best[2] * 1e-3,
        );
    }
}
