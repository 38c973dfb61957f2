//! Declared noise: moments against closed forms, and strong order against exact solutions on the same Wiener path.

use super::*;
use twinc::integrate::stochastic::Increments;
use twinc::random::draw::normals;

/// A Wiener path on a fine grid, handed out in sums of `per_step` increments.
struct Fine {
    dw: Vec<Vec<f64>>,
    per_step: usize,
    next: usize,
}

impl Increments for Fine {
    fn next(&mut self, _h: f64, dw: &mut [f64]) {
        for (j, dw) in dw.iter_mut().enumerate() {
            *dw = self.dw[j][self.next..self.next + self.per_step].iter().sum();
        }
        self.next += self.per_step;
    }
}

/// `n_noises` Wiener paths over [0, 1] in 2^12 increments.
fn wiener(n_noises: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = stream(seed, 0);
    let scale = (1.0_f64 / 4096.0).sqrt();
    let path = |_| {
        let mut dw = vec![0.0; 4096];
        normals(&mut rng, scale, &mut dw);
        dw
    };
    (0..n_noises).map(path).collect()
}

/// The end state over the path `dw` in `n_steps` steps of [0, 1].
fn end(model: &Noisy, method: StochasticMethod, dw: &[Vec<f64>], n_steps: usize) -> Vec<f64> {
    let options = StochasticOptions { step: Some(1.0 / n_steps as f64), ..StochasticOptions::new(method) };
    let mut solver = Stochastic::new(&model.kernels, Law::Diffusion(&model.noise), options).expect("valid");
    let (p, forcing) = declared(model.kernels.model());
    let problem =
        Problem { t0: 0.0, t1: 1.0, start: Start::Model, p: &p, forcing: &forcing, directions: &[], resumes: false };
    let mut fine = Fine { dw: dw.to_vec(), per_step: 4096 / n_steps, next: 0 };
    let outcome = solver.solve_with(&problem, &[], &mut fine, &mut |_: Sample<'_>| {}).expect("valid");
    assert!(outcome.status.is_success() && fine.next == 4096, "{outcome:?}");
    solver.state().to_vec()
}

/// The slope of log2(error) over four halvings of the step; the error is the mean of |x − exact| over paths.
fn strong_order(model: &Noisy, method: StochasticMethod, n_noises: usize, exact: impl Fn(&[Vec<f64>]) -> f64) -> f64 {
    let n_paths = 400;
    let steps = [32, 64, 128, 256, 512];
    let mut errors = [0.0; 5];
    for k in 0..n_paths {
        let dw = wiener(n_noises, k);
        let truth = exact(&dw);
        for (error, &n) in errors.iter_mut().zip(&steps) {
            *error += (end(model, method, &dw, n)[0] - truth).abs() / n_paths as f64;
        }
    }
    // Least squares over x = 0 .. 4, whose mean is 2 and whose sum of squares is 10.
    -errors.iter().enumerate().map(|(k, e)| (k as f64 - 2.0) * e.log2()).sum::<f64>() / 10.0
}

const GROWTH: &str = "model M { time [s]; param { m [1/s] = 1.5; s [s^(-1/2)] = 1 }; noise w; state x [g] = 1
   x' = m*x + s*x*w' }";

#[test]
fn geometric_brownian_motion_has_the_strong_orders_of_the_methods() {
    let model = noisy(GROWTH);
    let exact = |dw: &[Vec<f64>]| (1.5 - 0.5 + dw[0].iter().sum::<f64>()).exp();
    let em = strong_order(&model, StochasticMethod::Em, 1, exact);
    let milstein = strong_order(&model, StochasticMethod::Milstein, 1, exact);
    assert!((0.4..0.65).contains(&em), "em {em}");
    assert!((0.9..1.15).contains(&milstein), "milstein {milstein}");
}

/// Two noises that commute on one state: the mixed term is needed.
#[test]
fn milstein_is_of_order_one_for_noises_that_commute() {
    let model = noisy("model M { noise w, v; state x = 1; x' = 0.5*x + 0.8*x*w' + 0.6*x*v' }");
    let exact = |dw: &[Vec<f64>]| (0.5 - 0.5 + 0.8 * dw[0].iter().sum::<f64>() + 0.6 * dw[1].iter().sum::<f64>()).exp();
    let milstein = strong_order(&model, StochasticMethod::Milstein, 2, exact);
    assert!((0.9..1.15).contains(&milstein), "{milstein}");
    let em = strong_order(&model, StochasticMethod::Em, 2, exact);
    assert!((0.4..0.65).contains(&em), "{em}");
}

/// d(sin) of a Wiener process: x = sin(W) solves dx = −x/2 dt + sqrt(1 − x²) dW while |W| < π/2.
#[test]
fn milstein_differentiates_a_nonlinear_diffusion() {
    let model = noisy("model M { noise w; state x = 0; x' = -0.02*x + 0.2*sqrt(1 - x^2)*w' }");
    let exact = |dw: &[Vec<f64>]| (0.2 * dw[0].iter().sum::<f64>()).sin();
    let milstein = strong_order(&model, StochasticMethod::Milstein, 1, exact);
    assert!((0.9..1.2).contains(&milstein), "{milstein}");
}

/// For additive noise Euler and Maruyama is of order 1 too. The exact end of an Ornstein–Uhlenbeck process on a fine path
/// is itself a sum, with an error below that of the coarse steps.
#[test]
fn additive_noise_gives_euler_and_maruyama_order_one() {
    let model = noisy("model M { noise w; state x = 1; x' = -2*x + 0.7*w' }");
    let exact = |dw: &[Vec<f64>]| {
        let h = 1.0 / 4096.0;
        let forced = |k: usize| (-2.0 * (1.0 - (k as f64 + 0.5) * h)).exp() * 0.7 * dw[0][k];
        (-2.0_f64).exp() + (0..4096).map(forced).sum::<f64>()
    };
    let order = strong_order(&model, StochasticMethod::Em, 1, exact);
    assert!((0.9..1.15).contains(&order), "{order}");
}

/// x(t) is normal with mean x0 e^(−kt) + m (1 − e^(−kt)) and variance s²/(2k) (1 − e^(−2kt)); units are those of a concentration.
#[test]
fn an_ornstein_uhlenbeck_process_has_its_moments() {
    let model = noisy(
        "model M { time [min]; param { k [1/min] = 0.5; m [uM] = 3; s [uM/min^(1/2)] = 0.8 }; noise w
         state x [uM] = 10; x' = k*(m - x) + s*w' }",
    );
    let options = StochasticOptions { step: Some(0.01), ..StochasticOptions::new(StochasticMethod::Em) };
    let mut solver = Stochastic::new(&model.kernels, Law::Diffusion(&model.noise), options).expect("valid");
    let samples = [0.5, 2.0, 12.0];
    let paths: Vec<Vec<Vec<f64>>> =
        (0..3000).map(|k| path(&mut solver, model.kernels.model(), &samples, 2, k).1).collect();
    for (row, t) in samples.iter().enumerate() {
        let left = (-0.5 * t).exp();
        let values: Vec<f64> = paths.iter().map(|p| p[row][0]).collect();
        // The step adds about k h/2 of the variance, which is 0.25 %, and to the mean as much of the way that is left.
        let (found, spread, fourth) = moments(&values);
        let (mean, variance) = (10.0 * left + 3.0 * (1.0 - left), 0.64 * (1.0 - left * left));
        assert!((found - mean).abs() < 5.0 * (variance / 3000.0).sqrt() + 0.01, "{t}: {found} {mean}");
        let error = 5.0 * ((fourth - spread * spread) / 3000.0).sqrt() + 0.005;
        assert!((spread - variance).abs() < error, "{t}: {spread} {variance}");
    }
}

#[test]
fn noise_that_does_not_commute_is_known_as_such() {
    let commutes = |text: &str| {
        use twinc::system::stochastic::Diffusion;
        noisy(text).noise.corrections().is_some()
    };
    // Heisenberg's group: the area between two Wiener paths.
    assert!(!commutes("model M { noise w, v; state { x = 0; y = 0; z = 0 }; x' = w'; y' = v'; z' = x*v' - y*w' }"));
    assert!(commutes("model M { noise w, v; state { x = 0; y = 0 }; x' = x*w'; y' = y*v' }"));
    assert!(commutes("model M { noise w; state { x = 0; y = 0 }; x' = y*w'; y' = x^2*w' }"));
    let model = noisy("model M { noise w, v; state { x = 0; y = 0 }; x' = w'; y' = x*v' }");
    let options = StochasticOptions { step: Some(0.1), ..StochasticOptions::new(StochasticMethod::Milstein) };
    assert!(Stochastic::new(&model.kernels, Law::Diffusion(&model.noise), options).is_err());
}

/// Drift and diffusion are what stands beside and before `w'`, through functions, families and factors of units.
#[test]
fn noise_is_taken_out_of_equations_exactly() {
    use twinc::system::stochastic::Diffusion;
    use twinc::system::{At, System, Work};
    let model = noisy(
        "fn kick(a, b) = a*b
         model M { time [h]; noise w(i) for i in 1 .. 2; param s [mM/h^(1/2)] = 0.5
           state x(i) [uM] = 10 [uM]*i for i in 1 .. 2
           x(i)' = -x(i)/(2 [h]) + 3*kick(s, w(i)') - (if x(i) > 15 [uM] then x(i) else 2*x(i))*w(3 - i)'/(1 [h^(1/2)]) }",
    );
    let at = At { t: 0.0, x: &[10.0, 20.0], u: &[], d: &[], p: &[0.5] };
    let mut work = Work::default();
    let mut dx = [0.0; 2];
    model.kernels.rhs(at, &mut work, &mut dx);
    assert_eq!(dx, [-5.0, -10.0]);
    let mut g = vec![0.0; model.noise.entries().len()];
    model.noise.diffusion(at, &mut work, &mut g);
    assert_eq!(model.noise.entries(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    // s is in mM: 0.5 mM = 500 uM.
    let expected = [1500.0, -20.0, -20.0, 1500.0];
    assert!(g.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-9 * e.abs()), "{g:?}");
}

/// Events act on a noisy path at their instants, on and off the grid; conditions are looked at at the end of each step.
#[test]
fn events_act_on_paths_with_noise() {
    let model = noisy(
        "model M { noise w; state x = 1; discrete n = 0; x' = -x + 0*w'; at 0.25 { x += 1 }; when x < 0.7 { n += 1 } }",
    );
    let options = StochasticOptions { step: Some(0.1), ..StochasticOptions::new(StochasticMethod::Em) };
    let mut solver = Stochastic::new(&model.kernels, Law::Diffusion(&model.noise), options).expect("valid");
    let (_, seen) = path(&mut solver, model.kernels.model(), &[0.2, 0.25, 0.3, 1.5], 1, 0);
    let before = 0.9 * 0.9 * 0.95;
    assert!((seen[0][0] - 0.81).abs() < 1e-12 && (seen[1][0] - (before + 1.0)).abs() < 1e-12, "{seen:?}");
    assert!((seen[2][0] - (before + 1.0) * 0.95).abs() < 1e-12, "{seen:?}");
    assert_eq!((seen[2][1], seen[3][1]), (0.0, 1.0));
}
