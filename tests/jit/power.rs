//! Powers against twice the precision, against the library's at the edges, and in every form.

use rand::{Rng, SeedableRng};
use twinc::expr::{BinaryOp, Dag, Leaf, NodeId};
use twinc::jit::math::{pow, pow_portable, pow_slice};
use twinc::jit::{Compiler, Plan, PlanOptions};
use twinc::system::{At, Work};

use super::math::{Double, exact_exp_of, exact_ln, ulps};

/// One unit in the last place: the library's own error of about a half, and a neighbor.
const LARGEST_STEPS: u64 = 1;

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// How many numbers lie between two of one sign.
fn steps(a: f64, b: f64) -> u64 {
    if same(a, b) { 0 } else { a.to_bits().abs_diff(b.to_bits()) }
}

/// A base with any exponent of two, subnormal numbers included.
fn any_positive(rng: &mut impl Rng) -> f64 {
    f64::from_bits(rng.random_range(1..f64::INFINITY.to_bits()))
}

/// Base and exponent: Hill laws, results over the whole range and beyond, bases near 1, and anything.
fn draw(kind: usize, rng: &mut impl Rng) -> (f64, f64) {
    match kind {
        0 => (10f64.powf(rng.random_range(-4.0..4.0)), rng.random_range(-3.0..7.0)),
        1 => {
            let x = any_positive(rng);
            (x, rng.random_range(-760.0..720.0) / x.ln())
        }
        2 => {
            let x = 1.0 + rng.random_range(-1.0..1.0) * 10f64.powf(rng.random_range(-15.0..-0.5));
            (x, rng.random_range(-700.0..700.0) / x.ln())
        }
        _ => (any_positive(rng), rng.random_range(-2.0..2.0)),
    }
}

#[test]
fn powers_are_within_their_stated_error() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(21);
    for kind in 0..4 {
        let mut worst = (0.0, 0.0, 0.0);
        for _ in 0..60_000 {
            let (x, y) = draw(kind, &mut rng);
            let truth = exact_exp_of(exact_ln(x).mul(Double(y, 0.0)));
            // Beyond, it is the library's; closer to 1, the logarithm above has too few bits itself.
            if y.is_finite() && (x - 1.0).abs() > 1e-5 && (x.ln() * y).abs() < 690.0 {
                let error = ulps(pow(x, y), truth);
                worst = if error > worst.0 { (error, x, y) } else { worst };
            }
        }
        let (error, x, y) = worst;
        println!("kind {kind}: {error:.3} ulp at {x:e}^{y:e}");
        assert!(error <= 0.55, "kind {kind}: {error} ulp at {x:e}^{y:e}");
    }
}

#[test]
fn powers_are_the_librarys_or_their_neighbors() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(22);
    let (mut n_different, n) = (0, 4_000_000);
    for i in 0..n {
        let (x, y) = draw(i % 4, &mut rng);
        let (got, want) = (pow(x, y), x.powf(y));
        assert!(steps(got, want) <= LARGEST_STEPS, "{x:e}^{y:e} = {got:e}, not {want:e}");
        n_different += usize::from(!same(got, want));
    }
    println!("{n_different} of {n} differ from the library's");
    assert!(n_different * 500 < n);
}

#[test]
fn powers_of_edges_are_the_librarys() {
    let tiny = f64::from_bits(1);
    let edges = [
        0.0,
        1.0,
        2.0,
        3.0,
        4.0,
        0.5,
        0.1,
        1e20,
        1e-20,
        1e300,
        1e-300,
        f64::INFINITY,
        f64::NAN,
        tiny,
        f64::MAX,
        f64::MIN_POSITIVE,
        1.0 + f64::EPSILON,
        1.0 - f64::EPSILON / 2.0,
    ];
    let both: Vec<f64> = edges.iter().flat_map(|e| [*e, -*e]).collect();
    for &x in &both {
        for &y in &both {
            let (got, want) = (pow(x, y), x.powf(y));
            let is_edge = x.is_nan() || y.is_nan() || !want.is_normal() || x <= 0.0 || want == 1.0;
            let allowed = if is_edge { 0 } else { LARGEST_STEPS };
            assert!(steps(got, want) <= allowed, "{x:e}^{y:e} = {got:e}, not {want:e}");
        }
        // What is exact stays exact.
        for (y, want) in [(0.0, 1.0), (1.0, x), (2.0, x * x)] {
            let got = pow(x, y);
            assert!(same(got, want) || (y == 0.0 && got == 1.0), "{x:e}^{y} = {got:e}, not {want:e}");
        }
    }
}

#[test]
fn powers_have_the_same_bits_in_every_form() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(23);
    for len in [0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 1000] {
        let draw = |rng: &mut rand_chacha::ChaCha8Rng| match rng.random_range(0..10) {
            0 => f64::from_bits(rng.random()),
            1 => 0.0,
            _ => rng.random_range(-1.0..50.0),
        };
        let x: Vec<f64> = (0..len).map(|_| draw(&mut rng)).collect();
        let y: Vec<f64> = (0..len).map(|_| draw(&mut rng)).collect();
        let (mut fast, mut portable) = (x.clone(), x.clone());
        pow_slice(&mut fast, &y);
        pow_portable(&mut portable, &y);
        for i in 0..len {
            let single = pow(x[i], y[i]);
            assert!(same(fast[i], single) && same(portable[i], single), "{:e}^{:e}", x[i], y[i]);
        }
    }
}

/// The powers of `exponents` of every state.
fn powers(dag: &mut Dag, n_states: u32, exponents: &[NodeId]) -> Vec<NodeId> {
    let states: Vec<NodeId> = (0..n_states).map(|k| dag.leaf(Leaf::State(k))).collect();
    let pairs = states.iter().flat_map(|x| exponents.iter().map(move |n| (*x, *n)));
    pairs.map(|(x, n)| dag.binary(BinaryOp::Pow, x, n)).collect()
}

#[test]
fn powers_in_a_plan_are_grouped_by_level() {
    let mut dag = Dag::new();
    let n = dag.leaf(Leaf::Param(0));
    let inner = powers(&mut dag, 6, &[n]);
    let outer: Vec<NodeId> = inner
        .iter()
        .map(|x| {
            let raised = dag.add(*x, Dag::ONE);
            dag.binary(BinaryOp::Pow, raised, n)
        })
        .collect();
    let x = [0.0, 0.5, 2.0, 1e-200, 7.25, 1e3];
    let point = At { t: 0.0, x: &x, u: &[], d: &[], p: &[2.3] };
    let compiled = |options: &PlanOptions| {
        let plan = Plan::new(&dag, &outer, options);
        let kernel = Compiler::new().unwrap().compile(std::slice::from_ref(&plan)).unwrap().remove(0);
        let mut got = vec![0.0; outer.len()];
        kernel.call(point, &mut Work { scratch: vec![0.0; kernel.n_slots()] }, &mut got);
        (plan, got)
    };
    let (plan, got) = compiled(&PlanOptions::default());
    assert_eq!(
        plan.groups().iter().map(|g| (g.routine.name(), g.level, g.len)).collect::<Vec<_>>(),
        [("pow", 0, 6), ("pow", 1, 6)]
    );
    let (strict_plan, strict) = compiled(&PlanOptions { strict_math: true, ..PlanOptions::default() });
    assert!(strict_plan.groups().is_empty());
    for k in 0..x.len() {
        assert_eq!(got[k].to_bits(), pow(pow(x[k], 2.3) + 1.0, 2.3).to_bits());
        assert_eq!(strict[k].to_bits(), (x[k].powf(2.3) + 1.0).powf(2.3).to_bits());
    }
}
