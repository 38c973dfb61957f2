//! The elementary functions against twice the precision (exp, ln, tanh) or the library's (sin, cos; its own error is
//! at most 0.55 units in the last place with glibc), and against exact values at the edges.

use rand::{Rng, SeedableRng};
use twinc::jit::math::SliceFunction;

const N: usize = 200_000;

/// An unevaluated sum of two numbers (T. J. Dekker, "A floating-point technique for extending the available
/// precision", Numer. Math. 18, 1971).
#[derive(Clone, Copy)]
pub struct Double(pub f64, pub f64);

impl Double {
    fn sum(a: f64, b: f64) -> Double {
        let s = a + b;
        let from_b = s - a;
        Double(s, (a - (s - from_b)) + (b - from_b))
    }

    fn product(a: f64, b: f64) -> Double {
        let p = a * b;
        Double(p, a.mul_add(b, -p))
    }

    pub fn add(self, other: Double) -> Double {
        let Double(s, e) = Double::sum(self.0, other.0);
        Double::sum(s, e + self.1 + other.1)
    }

    pub fn mul(self, other: Double) -> Double {
        let Double(p, e) = Double::product(self.0, other.0);
        Double::sum(p, e + self.0 * other.1 + self.1 * other.0)
    }

    fn div(self, other: Double) -> Double {
        let q = self.0 / other.0;
        let rest = self.add(other.mul(Double(-q, 0.0)));
        Double::sum(q, (rest.0 + rest.1) / other.0)
    }

    /// e^x = scale · (1 + series), relative error about 2⁻⁹⁵.
    fn exp_parts(x: Double) -> (f64, Double) {
        const LN_2: Double = Double(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
        let k = (x.0 / LN_2.0).round();
        let r = x.add(LN_2.mul(Double(-k, 0.0)));
        let r = Double(r.0 / 256.0, r.1 / 256.0);
        let mut series = Double(0.0, 0.0);
        for n in (1..=14).rev() {
            // series = r/n (1 + series)
            series = Double(1.0, 0.0).add(series).mul(r).div(Double(f64::from(n), 0.0));
        }
        for _ in 0..8 {
            series = series.mul(series).add(Double(2.0 * series.0, 2.0 * series.1));
        }
        (k.exp2(), series)
    }

    /// e^x − 1.
    fn exp_m1(x: Double) -> Double {
        let (scale, series) = Double::exp_parts(x);
        Double(series.0 * scale, series.1 * scale).add(Double(scale, 0.0)).add(Double(-1.0, 0.0))
    }
}

fn exact_exp(x: f64) -> Double {
    exact_exp_of(Double(x, 0.0))
}

pub fn exact_exp_of(x: Double) -> Double {
    // In two factors, since the scale may overflow.
    let (scale, series) = Double::exp_parts(Double(x.0 * 0.5, x.1 * 0.5));
    let half = Double(1.0, 0.0).add(series).mul(Double(scale, 0.0));
    half.mul(half)
}

fn exact_tanh(x: f64) -> Double {
    let m = Double::exp_m1(Double(2.0 * x, 0.0));
    m.div(m.add(Double(2.0, 0.0)))
}

pub fn exact_ln(x: f64) -> Double {
    // One step of Newton's method from the library's value; a subnormal or huge x is brought near 1 first.
    let k = x.log2().round();
    let (a, b) = ((-k * 0.5).floor().exp2(), (-k - (-k * 0.5).floor()).exp2());
    let near = x * a * b;
    let y = near.ln();
    let fix = Double::exp_m1(Double(-y, 0.0)).add(Double(1.0, 0.0)).mul(Double(near, 0.0)).add(Double(-1.0, 0.0));
    let square = fix.mul(fix);
    let log = Double(y, 0.0).add(fix).add(Double(-0.5 * square.0, 0.0));
    log.add(Double(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17).mul(Double(k, 0.0)))
}

fn library(f: fn(f64) -> f64) -> impl Fn(f64) -> Double {
    move |x| Double(f(x), 0.0)
}

/// Units in the last place of the nearest double by which `a` differs from the truth.
pub fn ulps(a: f64, truth: Double) -> f64 {
    let b = truth.0;
    if a == b && truth.1 == 0.0 || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let ulp = (f64::from_bits(b.abs().to_bits() + 1) - b.abs()).max(f64::from_bits(1));
    ((a - b) / ulp - truth.1 / ulp).abs()
}

/// The largest error over random arguments, and where it is.
fn largest_error(function: SliceFunction, truth: &dyn Fn(f64) -> Double, draw: &dyn Fn(f64) -> f64) -> (f64, f64) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let arguments: Vec<f64> = (0..N).map(|_| draw(rng.random::<f64>())).collect();
    let mut values = arguments.clone();
    function.apply_slice(&mut values);
    let errors = arguments.iter().zip(&values).map(|(&x, &y)| (ulps(y, truth(x)), x));
    errors.fold((0.0, 0.0), |worst, e| if e.0 > worst.0 { e } else { worst })
}

fn span(low: f64, high: f64) -> impl Fn(f64) -> f64 {
    move |r| low + r * (high - low)
}

/// Both signs, magnitudes 2^low to 2^high evenly in the exponent.
fn magnitudes(low: f64, high: f64) -> impl Fn(f64) -> f64 {
    move |r| {
        let s = if r < 0.5 { -1.0 } else { 1.0 };
        let r = (2.0 * r).fract();
        s * (low + r * (high - low)).exp2()
    }
}

#[test]
fn functions_are_within_their_stated_error() {
    let check = |function: SliceFunction, truth: &dyn Fn(f64) -> Double, bound: f64, draw: &dyn Fn(f64) -> f64| {
        let (error, x) = largest_error(function, truth, draw);
        println!("{}: {error:.3} ulp at {x:e}", function.name());
        assert!(error <= bound, "{}: {error} ulp at {x:e}", function.name());
    };
    for (low, high) in [(-600.0, 709.7), (-1.0, 1.0), (-40.0, 40.0)] {
        check(SliceFunction::Exp, &exact_exp, 0.9, &span(low, high));
    }
    // Near and in the subnormal range the truth has no second half.
    check(SliceFunction::Exp, &library(f64::exp), 1.0, &span(-745.0, -600.0));
    check(SliceFunction::Exp, &exact_exp, 0.9, &magnitudes(-60.0, 9.0));
    for (low, high) in [(1e-3, 4.0), (0.99, 1.01), (1.0, 1e300)] {
        check(SliceFunction::Ln, &exact_ln, 0.9, &span(low, high));
    }
    // Every exponent, subnormal numbers included.
    let any = |r: f64| f64::from_bits((r * f64::INFINITY.to_bits() as f64) as u64 + 1);
    check(SliceFunction::Ln, &exact_ln, 0.9, &any);
    for (low, high) in [(-22.0, 22.0), (-1.0, 1.0), (-0.01, 0.01)] {
        check(SliceFunction::Tanh, &exact_tanh, 1.3, &span(low, high));
    }
    check(SliceFunction::Tanh, &exact_tanh, 1.3, &magnitudes(-300.0, 4.0));
    for (low, high) in [(-7.0, 7.0), (-1000.0, 1000.0), (-1e6, 1e6)] {
        check(SliceFunction::Sin, &library(f64::sin), 1.0, &span(low, high));
        check(SliceFunction::Cos, &library(f64::cos), 1.0, &span(low, high));
    }
    check(SliceFunction::Sin, &library(f64::sin), 1.0, &magnitudes(-1000.0, 20.0));
    check(SliceFunction::Cos, &library(f64::cos), 1.0, &magnitudes(-60.0, 20.0));
}

#[test]
fn multiples_of_a_quarter_turn_are_reduced_exactly() {
    for k in 1..600_000u32 {
        let x = f64::from(k) * std::f64::consts::FRAC_PI_2;
        for (function, truth) in [(SliceFunction::Sin, f64::sin as fn(f64) -> f64), (SliceFunction::Cos, f64::cos)] {
            let error = ulps(function.apply(x), Double(truth(x), 0.0));
            assert!(error <= 1.0, "{} of {k} quarter turns: {error} ulp", function.name());
        }
    }
}

#[test]
fn edges_are_exact() {
    let inf = f64::INFINITY;
    let tiny = f64::from_bits(1);
    let nan = f64::NAN;
    let cases: [(SliceFunction, &[(f64, f64)]); 5] = [
        (
            SliceFunction::Exp,
            &[
                (0.0, 1.0),
                (-0.0, 1.0),
                (inf, inf),
                (-inf, 0.0),
                (nan, nan),
                (709.782712893384, 709.782712893384f64.exp()),
                (709.7827128933841, inf),
                (-745.1332191019411, tiny),
                (-745.1332191019412, 0.0),
                (1e308, inf),
                (-1e308, 0.0),
                (tiny, 1.0),
            ],
        ),
        (
            SliceFunction::Ln,
            &[
                (1.0, 0.0),
                (0.0, -inf),
                (-0.0, -inf),
                (-1.0, nan),
                (-tiny, nan),
                (inf, inf),
                (-inf, nan),
                (nan, nan),
                (tiny, tiny.ln()),
                (f64::MAX, f64::MAX.ln()),
                (f64::MIN_POSITIVE, f64::MIN_POSITIVE.ln()),
            ],
        ),
        (
            SliceFunction::Tanh,
            &[
                (0.0, 0.0),
                (-0.0, -0.0),
                (inf, 1.0),
                (-inf, -1.0),
                (nan, nan),
                (400.0, 1.0),
                (-1e300, -1.0),
                (tiny, tiny),
            ],
        ),
        (
            SliceFunction::Sin,
            &[(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan), (nan, nan), (tiny, tiny), (1e22, 1e22f64.sin())],
        ),
        (SliceFunction::Cos, &[(0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan), (nan, nan), (1e22, 1e22f64.cos())]),
    ];
    for (function, list) in cases {
        for &(x, want) in list {
            let got = function.apply(x);
            assert!(
                got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                "{}({x:e}) = {got:e}, not {want:e}",
                function.name()
            );
        }
    }
}

#[test]
fn portable_vector_and_single_forms_give_the_same_bits() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
    for function in SliceFunction::ALL {
        for len in [0, 1, 3, 4, 5, 63, 64, 65, 1000] {
            let arguments: Vec<f64> = (0..len)
                .map(
                    |_| if rng.random_bool(0.5) { rng.random_range(-50.0..50.0) } else { f64::from_bits(rng.random()) },
                )
                .collect();
            let (mut fast, mut portable) = (arguments.clone(), arguments.clone());
            function.apply_slice(&mut fast);
            function.apply_portable(&mut portable);
            for (i, &x) in arguments.iter().enumerate() {
                let single = function.apply(x);
                let same = |v: f64| v.to_bits() == single.to_bits() || (v.is_nan() && single.is_nan());
                assert!(same(fast[i]) && same(portable[i]), "{}({x:e})", function.name());
            }
        }
    }
}
