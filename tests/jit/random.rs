//! Random graphs: kernel = interpreter, with every way of cutting them into chunks.

use crate::expr::programs::{Program, programs};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use twinc::expr::{BinaryOp, Dag, Env, Interpreter, Node, NodeId, Wrt, gradients};
use twinc::jit::{Compiler, Plan, PlanOptions};
use twinc::system::{At, Work};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..ProptestConfig::default() }
}

/// Several programs in one graph, so that they share values; then the gradients of all, so that graphs are large.
fn build(list: &[Program]) -> (Dag, Vec<NodeId>) {
    let mut dag = Dag::new();
    let roots: Vec<NodeId> = list.iter().map(|program| program.build(&mut dag)).collect();
    let mut outputs = roots.clone();
    for wrt in [Wrt::States, Wrt::Params, Wrt::Time] {
        outputs.extend(gradients(&mut dag, &roots, wrt).into_iter().flatten().map(|(_, node)| node));
    }
    (dag, outputs)
}

fn run(dag: &Dag, outputs: &[NodeId], options: &PlanOptions, at: At<'_>) -> Vec<f64> {
    let plan = Plan::new(dag, outputs, options);
    let kernel = Compiler::new().unwrap().compile(&[plan]).unwrap().remove(0);
    // A call must not depend on what the scratch held before.
    let mut work = Work { scratch: vec![f64::NAN; kernel.n_slots()] };
    let mut out = vec![0.0; outputs.len()];
    kernel.call(at, &mut work, &mut out);
    out
}

fn same_bits(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn has_quotient(dag: &Dag, output: NodeId) -> bool {
    let is_quotient = |id: &NodeId| matches!(dag.node(*id), Node::Binary(BinaryOp::Div, ..));
    dag.reachable(&[output]).iter().any(is_quotient)
}

fn at(program: &Program) -> At<'_> {
    At { t: program.t, x: &program.x, u: &[], d: &[], p: &program.p }
}

fn env(program: &Program) -> Env<'_, f64> {
    Env { t: program.t, x: &program.x, u: &[], d: &[], p: &program.p, dx: &[], dt: 0.0 }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn strict_kernels_equal_the_interpreter_bit_for_bit(
        list in prop::collection::vec(programs(), 1..8),
        chunk_size in prop_oneof![1..12usize, 12..200usize, Just(500)],
        shortest_loop in 2..6usize,
    ) {
        let (dag, outputs) = build(&list);
        let options = PlanOptions { strict_math: true, chunk_size, shortest_loop, ..PlanOptions::default() };
        for point in list.iter().take(3) {
            let got = run(&dag, &outputs, &options, at(point));
            let want = Interpreter::new(&dag, &outputs).values(&env(point));
            for (k, (g, w)) in got.iter().zip(&want).enumerate() {
                prop_assert!(same_bits(*g, *w), "output {k}: kernel {g:?}, interpreter {w:?}");
            }
        }
    }

    #[test]
    fn kernels_stay_within_four_epsilon_of_the_carried_scale(
        list in prop::collection::vec(programs(), 1..8),
        chunk_size in prop_oneof![1..12usize, 12..200usize, Just(500)],
        shortest_loop in 2..6usize,
    ) {
        let mut dag = Dag::new();
        let roots: Vec<NodeId> = list.iter().map(|program| program.build(&mut dag)).collect();
        for point in &list {
            let got = run(&dag, &roots, &PlanOptions { strict_math: false, chunk_size, shortest_loop, ..PlanOptions::default() }, at(point));
            let (mut want, mut scale) = (vec![0.0; roots.len()], vec![0.0; roots.len()]);
            Interpreter::new(&dag, &roots).eval_with_scale(&env(point), &mut Vec::new(), &mut want, &mut scale);
            for (k, program) in list.iter().enumerate() {
                // Where a rounding error may flip a comparison or a floor, the value may be altogether different.
                let moved = Program { ops: program.ops.clone(), ..point.clone() };
                if moved.evaluate().1.is_finite() {
                    prop_assert!(
                        (got[k] - want[k]).abs() <= 4.0 * f64::EPSILON * scale[k],
                        "output {k}: kernel {:?}, interpreter {:?}, scale {:?}", got[k], want[k], scale[k]
                    );
                }
            }
        }
    }

    #[test]
    fn chunks_and_groups_do_not_change_a_bit(list in prop::collection::vec(programs(), 1..8)) {
        let (dag, outputs) = build(&list);
        let point = at(&list[0]);
        let with = |chunk_size, shortest_loop| PlanOptions { strict_math: false, chunk_size, shortest_loop, ..PlanOptions::default() };
        let whole = run(&dag, &outputs, &with(100_000, usize::MAX / 8), point);
        let single = run(&dag, &outputs, &with(1, 2), point);
        for (k, output) in outputs.iter().enumerate() {
            let alone = run(&dag, &[*output], &PlanOptions::default(), point)[0];
            prop_assert!(same_bits(whole[k], single[k]));
            // A quotient alone shares no reciprocal.
            prop_assert!(same_bits(whole[k], alone) || has_quotient(&dag, *output));
        }
    }
}

/// Numbers that come again after a few or after many steps, in functions small enough to do without a frame and in
/// larger ones.
#[test]
fn numbers_that_come_again_equal_the_interpreters() {
    const NUMBERS: [f64; 9] = [0.43, 1.71, -1.0, 2.0, -8.32, 0.5, 1.0, -0.035, 1e-300];
    let mut draws = 7_u64;
    let mut draw = |below: usize| {
        draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draws >> 33) as usize % below
    };
    for n_outputs in [1, 2, 3, 5, 8, 13, 40, 120] {
        let mut dag = Dag::new();
        let x: Vec<NodeId> = (0..8).map(|k| dag.leaf(twinc::expr::Leaf::State(k))).collect();
        let outputs: Vec<NodeId> = (0..n_outputs)
            .map(|_| {
                let number = dag.constant(NUMBERS[draw(NUMBERS.len())]);
                let quotient = dag.div(number, x[draw(8)]);
                let product = dag.mul(x[draw(8)], x[draw(8)]);
                let mut terms = vec![(NUMBERS[draw(NUMBERS.len())], [quotient, product, number][draw(3)])];
                terms.extend((0..draw(5)).map(|_| (NUMBERS[draw(NUMBERS.len())], x[draw(8)])));
                dag.sum(&terms)
            })
            .collect();
        let point: Vec<f64> = (0..8).map(|k| 0.3 + 0.7 * f64::from(k)).collect();
        let env = Env { t: 0.0, x: &point, u: &[], d: &[], p: &[], dx: &[], dt: 0.0 };
        let want = Interpreter::new(&dag, &outputs).values(&env);
        for shortest_loop in [4, 12] {
            let options = PlanOptions { strict_math: true, shortest_loop, ..PlanOptions::default() };
            let got = run(&dag, &outputs, &options, At { t: 0.0, x: &point, u: &[], d: &[], p: &[] });
            assert!(got.iter().zip(&want).all(|(a, b)| same_bits(*a, *b)), "{n_outputs} outputs: {got:?}, {want:?}");
        }
    }
}
