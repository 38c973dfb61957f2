//! The filters against the Kalman filter in its textbook form, and on a reactor.

use nalgebra::{DMatrix, DVector};
use rand::Rng as _;
use twinc::control::estimate::{
    Ensemble, EnsembleOptions, EstimateError, Interval, Kalman, LinearSpace, MovingHorizon, MovingHorizonOptions,
    Particle, ParticleOptions, Prior, Record, Sensor, StateSpace, SystemSpace, Unscented, UnscentedOptions, Walk, tune,
};
use twinc::decide::Estimator;
use twinc::flat::Noise;
use twinc::integrate::{Method, Options};
use twinc::random::{Rng, draw, stream};

use super::super::compile;

/// A damped oscillator that is pushed, seen through two sensors.
fn oscillator() -> LinearSpace {
    LinearSpace {
        a: vec![0.95, -0.25, 0.2, 0.9],
        b: vec![0.05, 0.3],
        c: vec![1.0, 0.5, 0.0, 1.0],
        q: vec![0.02, 0.005, 0.005, 0.03],
        sd: vec![0.3, 0.5],
    }
}

fn prior() -> Prior {
    Prior { time: 0.0, mean: vec![1.0, -0.5], covariance: vec![0.8, 0.1, 0.1, 0.6], gate: f64::INFINITY }
}

/// Inputs and measurements of one path drawn from the model.
fn path(space: &LinearSpace, n: usize, seed: u64) -> Vec<([f64; 1], [f64; 2])> {
    let mut rng = stream(seed, 7);
    let root = DMatrix::from_column_slice(2, 2, &space.q).cholesky().expect("positive definite").l();
    let mut x = DVector::from_vec(vec![1.3, -0.2]);
    let (a, b, c) = matrices(space);
    (0..n)
        .map(|k| {
            let u = [(0.3 * k as f64).sin()];
            let mut w = [0.0; 2];
            draw::normals(&mut rng, 1.0, &mut w);
            x = &a * &x + &b * u[0] + &root * DVector::from_row_slice(&w);
            let y = &c * &x;
            draw::normals(&mut rng, 1.0, &mut w);
            (u, [y[0] + space.sd[0] * w[0], y[1] + space.sd[1] * w[1]])
        })
        .collect()
}

fn matrices(space: &LinearSpace) -> (DMatrix<f64>, DMatrix<f64>, DMatrix<f64>) {
    let from = |v: &[f64], n, m| DMatrix::from_column_slice(n, m, v);
    (from(&space.a, 2, 2), from(&space.b, 2, 1), from(&space.c, 2, 2))
}

/// What the textbook's filter believes after a path: mean, covariance, the last normalised innovation squared, and ln of
/// the likelihood. All measurements at once, by the inverse of S.
struct Textbook {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
    nis: f64,
    log_likelihood: f64,
}

fn textbook(space: &LinearSpace, path: &[([f64; 1], [f64; 2])]) -> Textbook {
    let (a, b, c) = matrices(space);
    let q = DMatrix::from_column_slice(2, 2, &space.q);
    let r = DMatrix::from_diagonal(&DVector::from_vec(space.sd.iter().map(|s| s * s).collect()));
    let mut belief = Textbook {
        mean: DVector::from_vec(prior().mean),
        covariance: DMatrix::from_column_slice(2, 2, &prior().covariance),
        nis: 0.0,
        log_likelihood: 0.0,
    };
    for (u, y) in path {
        let mean = &a * &belief.mean + &b * u[0];
        let covariance = &a * &belief.covariance * a.transpose() + &q;
        let innovation = DVector::from_row_slice(y) - &c * &mean;
        let s = &c * &covariance * c.transpose() + &r;
        let inverse = s.clone().try_inverse().expect("regular");
        let gain = &covariance * c.transpose() * &inverse;
        belief.mean = mean + &gain * &innovation;
        belief.covariance = (DMatrix::identity(2, 2) - &gain * &c) * covariance;
        belief.nis = (innovation.transpose() * &inverse * &innovation)[0];
        belief.log_likelihood -= (std::f64::consts::TAU.ln()) + 0.5 * s.determinant().ln() + 0.5 * belief.nis;
    }
    belief
}

fn run(filter: &mut dyn Estimator, path: &[([f64; 1], [f64; 2])]) {
    run_from(filter, path, 3);
}

fn run_from(filter: &mut dyn Estimator, path: &[([f64; 1], [f64; 2])], seed: u64) {
    filter.reset(seed);
    for (u, y) in path {
        filter.predict(0.1, u, &[]);
        filter.update(y);
    }
}

/// The largest difference from the textbook's mean and covariance, in standard deviations and variances.
fn distance(filter: &dyn Estimator, expected: &Textbook) -> (f64, f64) {
    let belief = filter.belief();
    assert_eq!(belief.message, "");
    let sd = |i: usize| expected.covariance[(i, i)].sqrt();
    let mean = (0..2).map(|i| (belief.mean[i] - expected.mean[i]).abs() / sd(i)).fold(0.0, f64::max);
    let spread = (0..4)
        .map(|k| (belief.covariance[k] - expected.covariance[(k % 2, k / 2)]).abs() / (sd(k % 2) * sd(k / 2)))
        .fold(0.0, f64::max);
    (mean, spread)
}

fn horizon(prior: Prior, window: usize) -> MovingHorizon<'static> {
    let options = MovingHorizonOptions { window, ..MovingHorizonOptions::default() };
    MovingHorizon::new(Box::new(oscillator()), Box::new(oscillator()), prior, options).expect("fits")
}

#[test]
fn kalman_unscented_and_moving_horizon_filters_equal_the_textbook_to_rounding() {
    let path = path(&oscillator(), 200, 1);
    let expected = textbook(&oscillator(), &path);
    let scaled = UnscentedOptions { spread: 0.5, kurtosis: 2.0, offset: 1.0 };
    let filters: [Box<dyn Estimator>; 3] = [
        Box::new(Kalman::new(Box::new(oscillator()), prior()).expect("fits")),
        Box::new(Unscented::new(Box::new(oscillator()), prior(), UnscentedOptions::default()).expect("fits")),
        Box::new(Unscented::new(Box::new(oscillator()), prior(), scaled).expect("fits")),
    ];
    let windows = [1, 4, 25, 250].map(|window| Box::new(horizon(prior(), window)) as Box<dyn Estimator>);
    for mut filter in filters.into_iter().chain(windows) {
        run(filter.as_mut(), &path);
        let (mean, spread) = distance(filter.as_ref(), &expected);
        assert!(mean < 1e-11 && spread < 1e-11, "{mean:e} {spread:e}");
        let belief = filter.belief();
        assert!((belief.nis - expected.nis).abs() < 1e-9 * expected.nis);
        assert!((belief.log_likelihood - expected.log_likelihood).abs() < 1e-8, "{}", belief.log_likelihood);
        assert_eq!(belief.n_used, 2);
    }
}

/// Over 24 seeds the mean is on average the textbook's, within four standard errors of that average, and its spread over
/// the seeds falls with the square root of the number of points.
#[test]
fn ensemble_and_particle_filters_differ_by_their_monte_carlo_error() {
    const SEEDS: u64 = 24;
    let path = path(&oscillator(), 40, 2);
    let expected = textbook(&oscillator(), &path);
    let ensemble = |n_members| {
        let options = EnsembleOptions { n_members, ..EnsembleOptions::default() };
        Box::new(Ensemble::new(Box::new(oscillator()), prior(), options).expect("fits")) as Box<dyn Estimator>
    };
    let particle = |n_particles| {
        let options = ParticleOptions { n_particles, ..ParticleOptions::default() };
        Box::new(Particle::new(Box::new(oscillator()), prior(), options).expect("fits")) as Box<dyn Estimator>
    };
    let truth = [expected.mean[0], expected.mean[1], expected.covariance[(0, 0)], expected.log_likelihood];
    // Mean and standard deviation over the seeds of what a filter says.
    let over_seeds = |mut filter: Box<dyn Estimator>| -> [(f64, f64); 4] {
        let values: Vec<[f64; 4]> = (0..SEEDS)
            .map(|seed| {
                run_from(filter.as_mut(), &path, seed);
                let belief = filter.belief();
                [belief.mean[0], belief.mean[1], belief.covariance[0], belief.log_likelihood]
            })
            .collect();
        std::array::from_fn(|k| {
            let mean = values.iter().map(|v| v[k]).sum::<f64>() / SEEDS as f64;
            let squares: f64 = values.iter().map(|v| (v[k] - mean) * (v[k] - mean)).sum();
            (mean, (squares / (SEEDS - 1) as f64).sqrt())
        })
    };
    for make in [&ensemble as &dyn Fn(usize) -> Box<dyn Estimator>, &particle] {
        let (coarse, fine) = (over_seeds(make(200)), over_seeds(make(5_000)));
        for which in 0..4 {
            let (mean, spread) = fine[which];
            let off = (mean - truth[which]).abs();
            assert!(off < 4.0 * spread / (SEEDS as f64).sqrt(), "{which}: {off} with {spread}");
            // A ratio of two such standard deviations lies within 2.4 times its expectation, 5, at 99.99 %.
            let ratio = coarse[which].1 / spread;
            assert!((ratio / 5.0).ln().abs() < 2.4_f64.ln(), "{which}: {ratio}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let path = path(&oscillator(), 10, 3);
    let mut filter = Particle::new(Box::new(oscillator()), prior(), ParticleOptions::default()).expect("fits");
    run(&mut filter, &path);
    let first = filter.belief().mean.to_vec();
    run(&mut filter, &path);
    assert_eq!(first, filter.belief().mean);
}

#[test]
fn what_is_missing_or_far_off_is_left_out() {
    let gated = Prior { gate: 10.83, ..prior() };
    let filters: [Box<dyn Estimator>; 5] = [
        Box::new(Kalman::new(Box::new(oscillator()), gated.clone()).expect("fits")),
        Box::new(horizon(gated.clone(), 3)),
        Box::new(Unscented::new(Box::new(oscillator()), gated.clone(), UnscentedOptions::default()).expect("fits")),
        Box::new(Ensemble::new(Box::new(oscillator()), gated.clone(), EnsembleOptions::default()).expect("fits")),
        Box::new(Particle::new(Box::new(oscillator()), gated, ParticleOptions::default()).expect("fits")),
    ];
    for mut filter in filters {
        filter.reset(1);
        filter.predict(0.1, &[0.0], &[]);
        let before = filter.belief().mean.to_vec();
        filter.update(&[f64::NAN, f64::NAN]);
        assert_eq!(filter.belief().n_used, 0);
        assert_eq!(filter.belief().mean, before);
        filter.update(&[1000.0, f64::NAN]);
        assert_eq!(filter.belief().n_used, 0, "an outlier");
        filter.update(&[1.0, f64::INFINITY]);
        assert_eq!(filter.belief().n_used, 1, "one sensor is well");
    }
}

#[test]
fn a_prior_of_the_wrong_size_is_refused_with_both_numbers() {
    let wrong = Prior::independent(0.0, &[0.0; 3], &[1.0; 3]);
    let error = Kalman::new(Box::new(oscillator()), wrong).err().expect("refused");
    assert_eq!(error, EstimateError::Size { what: "the mean", found: 3, wanted: 2 });
    let negative = Prior { covariance: vec![-1.0, 0.0, 0.0, 1.0], ..prior() };
    assert!(Kalman::new(Box::new(oscillator()), negative).is_err());
    let few = ParticleOptions { n_particles: 1, ..ParticleOptions::default() };
    assert!(Particle::new(Box::new(oscillator()), prior(), few).is_err());
}

/// Process noise stated ten times too small in its standard deviation.
#[test]
fn the_process_noise_is_found_from_the_innovations() {
    let truth = oscillator();
    let path = path(&truth, 2000, 4);
    let records: Vec<Record<'_>> = path.iter().map(|(u, y)| Record { dt: 0.1, u, d: &[], y }).collect();
    let stated: Vec<f64> = truth.q.iter().map(|q| 0.01 * q).collect();
    let tuned = tune(
        |factor| {
            let q = stated.iter().map(|q| factor * q).collect();
            Ok(Box::new(Kalman::new(Box::new(LinearSpace { q, ..truth.clone() }), prior())?))
        },
        &records,
        0,
    )
    .expect("found");
    // 4000 innovations tell a variance within some 5 %; process noise is half of theirs.
    assert!((tuned.factor / 100.0).ln().abs() < 0.2, "{tuned:?}");
    assert!(!tuned.is_at_edge);
}

// -- the reactor ---------------------------------------------------------------------------------------------------------

/// The shipped reactor with two thermometers.
fn reactor() -> twinc::jit::Kernels {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cstr.twin");
    let text = std::fs::read_to_string(path).expect("a shipped model");
    let sensors = "observe reactor [degC] = T_R ~ Normal(sd = 0.5)\n  observe jacket [degC] = T_K ~ Normal(sd = 0.5)\n";
    let text = text.replacen("  safe hot", &format!("  {sensors}  safe hot"), 1);
    let flat = compile::check("cstr.twin", &text, false).flats.into_iter().find(|m| m.name == "CSTR").expect("CSTR");
    let kernels =
        twinc::jit::Kernels::compile(std::sync::Arc::new(flat), &twinc::jit::Options::default()).expect("machine code");
    use twinc::jit::Needs;
    kernels.prepare(Needs::SIMULATION | Needs::STIFF | Needs::SENSITIVITIES).expect("machine code");
    kernels
}

const STEP: f64 = 0.005;
/// Variance per hour: 0.02 mol/L, 0.02 mol/L, 2 K, 2 K in an hour.
const DENSITY: [f64; 4] = [4e-4, 4e-4, 4.0, 4.0];

fn space<'s>(kernels: &'s twinc::jit::Kernels, walks: Vec<Walk>, density: &[f64]) -> SystemSpace<'s> {
    let model = kernels.model();
    let p: Vec<f64> = model.params.iter().map(|param| param.value).collect();
    let sensors = model.observables.iter().map(|o| Sensor {
        value_output: o.value_output,
        spread_output: o.spread_output.expect("with noise"),
        noise: Noise::Normal,
    });
    let options = Options { method: Method::Rodas5p, rtol: 1e-7, ..Options::default() };
    SystemSpace::new(kernels, options, &p, sensors.collect(), walks, density.to_vec()).expect("fits")
}

fn reactor_prior() -> Prior {
    Prior::independent(0.0, &[0.8, 0.5, 134.14, 130.0], &[0.05, 0.05, 1.0, 1.0])
}

/// One path of the reactor under varied inputs, with the noise that the filters are told of: `(u, y, x)`.
fn reactor_path(
    space: &mut dyn StateSpace,
    n: usize,
    rng: &mut Rng,
    mut drift: impl FnMut(usize, &mut [f64]),
) -> Vec<([f64; 2], [f64; 2], Vec<f64>)> {
    let prior = reactor_prior();
    let dim = space.n_states();
    let mut x = vec![1.0; dim];
    let mut shake = vec![0.0; 4];
    draw::normals(rng, 1.0, &mut shake);
    for i in 0..4 {
        x[i] = prior.mean[i] + prior.covariance[i * 4 + i].sqrt() * shake[i];
    }
    (0..n)
        .map(|k| {
            let u = [if k % 20 < 10 { 15.0 } else { 25.0 }, -4500.0 + 1500.0 * rng.random::<f64>()];
            drift(k, &mut x);
            let mut next = vec![0.0; dim];
            let over = Interval { t: k as f64 * STEP, dt: STEP, u: &u, d: &[] };
            space.carry(over, &x, &mut next).expect("carried");
            draw::normals(rng, 1.0, &mut shake);
            for i in 0..4 {
                next[i] += (DENSITY[i] * STEP).sqrt() * shake[i];
            }
            x = next;
            let (mut y, mut sd) = ([0.0; 2], [0.0; 2]);
            space.measure(Interval { t: over.t + STEP, dt: 0.0, u: &u, d: &[] }, &x, &mut y, &mut sd);
            draw::normals(rng, 1.0, &mut shake[..2]);
            y.iter_mut().zip(&sd).zip(&shake).for_each(|((y, sd), z)| *y += sd * z);
            (u, y, x.clone())
        })
        .collect()
}

/// The sum of N normalised innovations squared of two sensors is χ² with 2N degrees of freedom; so is that of the squared
/// estimation errors with 4N. Both must lie within the 95 % interval (Bar-Shalom, Li and Kirubarajan 2001, section 5.4).
#[test]
fn innovations_on_the_reactor_are_consistent() {
    let kernels = reactor();
    let make = || Box::new(space(&kernels, Vec::new(), &DENSITY));
    let mut rng = stream(11, 0);
    let path = reactor_path(make().as_mut(), 600, &mut rng, |_, _| {});
    let filters: [Box<dyn Estimator>; 2] = [
        Box::new(Kalman::new(make(), reactor_prior()).expect("fits")),
        Box::new(Unscented::new(make(), reactor_prior(), UnscentedOptions::default()).expect("fits")),
    ];
    for mut filter in filters {
        filter.reset(0);
        let (mut total, mut error) = (0.0, 0.0);
        for (u, y, x) in &path {
            filter.predict(STEP, u, &[]);
            filter.update(y);
            let belief = filter.belief();
            assert_eq!(belief.message, "");
            total += belief.nis;
            let covariance = DMatrix::from_column_slice(4, 4, belief.covariance);
            let off = DVector::from_iterator(4, x.iter().zip(belief.mean).map(|(x, m)| x - m));
            error += (off.transpose() * covariance.try_inverse().expect("regular") * &off)[0];
        }
        // χ² with 1200 degrees of freedom: mean 1200, standard deviation √2400.
        let within = 1.96 * 2400.0_f64.sqrt();
        assert!((total - 1200.0).abs() < within, "{total}");
        // Errors of successive steps are correlated over some 20 steps: the mean stays, the spread widens with √20.
        assert!((error / 600.0 - 4.0).abs() < 1.96 * (8.0 * 20.0 / 600.0_f64).sqrt(), "{}", error / 600.0);
    }
}

#[test]
fn a_drifting_parameter_is_followed_beside_the_state() {
    let kernels = reactor();
    let beta = kernels.model().params.iter().position(|q| q.quantity.name == "beta").expect("beta");
    let walk = Walk { param_idx: beta, low: 0.5, high: 1.5 };
    let density: Vec<f64> = DENSITY.iter().copied().chain([0.01]).collect();
    let make = || Box::new(space(&kernels, vec![walk], &density));
    let mut rng = stream(5, 0);
    let truth = |k: usize| 1.0 + 0.1 * (k as f64 / 400.0).min(1.0);
    let path = reactor_path(make().as_mut(), 600, &mut rng, |k, x| x[4] = truth(k));
    let mean = reactor_prior().mean.iter().copied().chain([1.0]).collect::<Vec<_>>();
    let prior = Prior::independent(0.0, &mean, &[0.05, 0.05, 1.0, 1.0, 0.05]);
    let window = MovingHorizonOptions { window: 6, tolerance: 1e-6, ..MovingHorizonOptions::default() };
    let filters: [Box<dyn Estimator>; 3] = [
        Box::new(Kalman::new(make(), prior.clone()).expect("fits")),
        Box::new(Unscented::new(make(), prior.clone(), UnscentedOptions::default()).expect("fits")),
        Box::new(MovingHorizon::new(make(), make(), prior, window).expect("fits")),
    ];
    for mut filter in filters {
        filter.reset(0);
        let mut outside = 0;
        for (k, (u, y, _)) in path.iter().enumerate() {
            filter.predict(STEP, u, &[]);
            filter.update(y);
            let belief = filter.belief();
            assert_eq!(belief.message, "");
            let sd = belief.covariance[24].sqrt();
            outside += usize::from((belief.mean[4] - truth(k)).abs() > 3.0 * sd);
        }
        let last = filter.belief().mean[4];
        let sd = filter.belief().covariance[24].sqrt();
        assert!(outside < 6, "{outside} of 600 outside three standard deviations");
        assert!((last - 1.1).abs() < 3.0 * sd && last > 1.03, "{last} ± {sd}");
    }
}
