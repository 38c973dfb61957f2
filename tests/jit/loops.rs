//! Loops that are found again: their plans as text, and their values against the interpreter.

use super::models;
use crate::expr::programs::{N_PARAMS, N_STATES, Op, Program, programs};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use twinc::expr::{Dag, Env, Interpreter, Leaf, NodeId, UnaryOp, Wrt, gradients};
use twinc::jit::{Compiler, Kernels, Options, Part, Plan, PlanOptions};
use twinc::system::{At, System, Work};

/// The kernel's outputs and the interpreter's.
fn both(dag: &Dag, outputs: &[NodeId], options: &PlanOptions, x: &[f64], p: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let kernel = Compiler::new().unwrap().compile(&[Plan::new(dag, outputs, options)]).unwrap().remove(0);
    let mut work = Work { scratch: vec![f64::NAN; kernel.n_slots()] };
    let mut got = vec![f64::NAN; outputs.len()];
    kernel.call(At { t: 0.7, x, u: &[], d: &[], p }, &mut work, &mut got);
    let env = Env { t: 0.7, x, u: &[], d: &[], p, dx: &[], dt: 0.0 };
    (got, Interpreter::new(dag, outputs).values(&env))
}

fn same_bits(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn a_line_of_cells_is_a_few_loops() {
    let kernels = Kernels::compile(models::cells(40), &Options::default()).unwrap();
    let plans = [Part::Rhs, Part::Jacobian].map(|part| format!("{part:?}: {}", kernels.plan(part)[0]));
    insta::assert_snapshot!(plans.join("\n"));
}

#[test]
fn a_chain_is_a_few_loops() {
    let kernels = Kernels::compile(models::chain(50), &Options::default()).unwrap();
    let parts = [Part::Rhs, Part::Jacobian, Part::ParameterJacobian];
    let plans = parts.map(|part| format!("{part:?}: {}", kernels.plan(part)[0]));
    insta::assert_snapshot!(plans.join("\n"));
}

#[test]
fn code_of_families_and_networks_does_not_grow_with_them() {
    let size = |plan: &Plan| plan.chunks().iter().map(|chunk| chunk.n_instructions).sum::<usize>();
    for part in [Part::Rhs, Part::Jacobian, Part::ParameterJacobian] {
        let of = |model| size(&Kernels::compile(model, &Options::default()).unwrap().plan(part)[0]);
        assert_eq!(of(models::cells(400)), of(models::cells(4_000)), "{part:?} of cells");
        assert_eq!(of(models::chain(400)), of(models::chain(4_000)), "{part:?} of a chain");
        let (small, large) = (of(models::network(1_000, 4_000)), of(models::network(4_000, 16_000)));
        assert!(large < 2 * small, "{part:?} of a network: {small} and {large} instructions");
    }
}

#[test]
fn networks_without_order_equal_the_interpreter() {
    let model = models::network(300, 1_200);
    let kernels = Kernels::compile(model.clone(), &Options::default()).unwrap();
    let x: Vec<f64> = (0..300).map(|k| 0.1 + f64::from(k % 13)).collect();
    let p: Vec<f64> = (0..1_200).map(|k| 0.5 + f64::from(k % 7)).collect();
    let at = At { t: 0.0, x: &x, u: &[], d: &[], p: &p };
    let env = Env { t: 0.0, x: &x, u: &[], d: &[], p: &p, dx: &[], dt: 0.0 };
    let mut work = kernels.work();
    let mut dx = vec![0.0; 300];
    kernels.rhs(at, &mut work, &mut dx);
    let roots: Vec<NodeId> = model.states.iter().map(|s| s.rhs).collect();
    assert_eq!(dx, Interpreter::new(&model.dag, &roots).values(&env));
    let mut jacobian = vec![0.0; kernels.jacobian_pattern().nnz()];
    kernels.jacobian(at, &mut work, &mut jacobian);
    let nodes = kernels.jacobian_nodes().1.to_vec();
    assert_eq!(jacobian, Interpreter::new(&kernels.dag(), &nodes).values(&env));
}

/// Slice functions inside families, one depending on the other, with neighbors.
#[test]
fn slice_functions_of_families_run_over_slots() {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..64).map(|k| dag.leaf(Leaf::State(k))).collect();
    let exps: Vec<NodeId> = x.iter().map(|&x| dag.unary(UnaryOp::Exp, x)).collect();
    let waves: Vec<NodeId> = exps
        .windows(2)
        .map(|pair| {
            let sum = dag.sum(&[(0.5, pair[0]), (-0.25, pair[1])]);
            dag.unary(UnaryOp::Sin, sum)
        })
        .collect();
    let outputs: Vec<NodeId> = waves.iter().zip(&x).map(|(&wave, &x)| dag.mul(wave, x)).collect();
    let plan = Plan::new(&dag, &outputs, &PlanOptions::default());
    insta::assert_snapshot!(plan.to_string());
    let point: Vec<f64> = (0..64).map(|k| 0.01 * f64::from(k)).collect();
    let strict = PlanOptions { strict_math: true, ..PlanOptions::default() };
    let (got, want) = both(&dag, &outputs, &strict, &point, &[]);
    assert_eq!(got, want);
    let (got, want) = both(&dag, &outputs, &PlanOptions::default(), &point, &[]);
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() <= 8.0 * f64::EPSILON, "{got} {want}");
    }
}

/// A family: the program with its leaves and numbers moved from member to member.
#[derive(Debug, Clone)]
struct Family {
    program: Program,
    count: u32,
    first: Vec<u32>,
    strides: Vec<u32>,
    /// Multiplies the member's number before the stride is taken, modulo the count: 1 for families in order.
    shuffle: u32,
    has_varied_numbers: bool,
}

const N_ELEMENTS: u32 = 200;

fn families() -> impl Strategy<Value = Family> {
    let n = N_STATES + N_PARAMS;
    let numbers = |max: u32| prop::collection::vec(0..max, n);
    (programs(), 2..40u32, numbers(60), numbers(4), prop_oneof![3 => Just(1u32), 1 => Just(7u32)], any::<bool>())
        .prop_map(|(program, count, first, strides, shuffle, has_varied_numbers)| Family {
            program,
            count,
            first,
            strides,
            shuffle,
            has_varied_numbers,
        })
}

impl Family {
    fn build(&self, dag: &mut Dag) -> Vec<NodeId> {
        (0..self.count)
            .map(|i| {
                let place = i * self.shuffle % self.count;
                let at = |k: usize| (self.first[k] + self.strides[k] * place) % N_ELEMENTS;
                let mut program = self.program.clone();
                if self.has_varied_numbers {
                    for op in &mut program.ops {
                        match op {
                            Op::Constant(value) => *value += f64::from(i % 5),
                            Op::Sum(terms) => terms.iter_mut().for_each(|t| t.0 *= 1.0 + f64::from(i % 3)),
                            Op::Unary(..) | Op::Binary(..) | Op::PowI(..) | Op::Compare(..) | Op::Select(..) => {}
                        }
                    }
                }
                program.build_at(dag, |k| at(k as usize), |k| at(N_STATES + k as usize))
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192, rng_seed: RngSeed::Fixed(12), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn families_equal_the_interpreter_bit_for_bit(
        list in prop::collection::vec(families(), 1..3),
        chunk_size in prop_oneof![1..60usize, Just(500)],
        shortest_loop in 2..8usize,
        with_gradients in any::<bool>(),
    ) {
        let mut dag = Dag::new();
        let mut outputs: Vec<NodeId> = list.iter().flat_map(|family| family.build(&mut dag)).collect();
        if with_gradients {
            let roots = outputs.clone();
            for wrt in [Wrt::States, Wrt::Params] {
                outputs.extend(gradients(&mut dag, &roots, wrt).into_iter().flatten().map(|(_, node)| node));
            }
        }
        let point = |values: &[f64]| (0..N_ELEMENTS as usize).map(|k| values[k % values.len()] + 0.01 * k as f64).collect::<Vec<f64>>();
        let x = point(&list[0].program.x);
        let p = point(&list[0].program.p);
        let options = PlanOptions { strict_math: true, chunk_size, shortest_loop, ..PlanOptions::default() };
        let (got, want) = both(&dag, &outputs, &options, &x, &p);
        for (k, (g, w)) in got.iter().zip(&want).enumerate() {
            prop_assert!(same_bits(*g, *w), "output {}: kernel {:?}, interpreter {:?}", k, g, w);
        }
        // The same operations however they are grouped.
        let with = |shortest_loop| PlanOptions { strict_math: false, chunk_size, shortest_loop, ..PlanOptions::default() };
        let (rolled, _) = both(&dag, &outputs, &with(shortest_loop), &x, &p);
        let (straight, _) = both(&dag, &outputs, &with(usize::MAX / 8), &x, &p);
        for (k, (g, w)) in rolled.iter().zip(&straight).enumerate() {
            prop_assert!(same_bits(*g, *w), "output {}: in loops {:?}, straight {:?}", k, g, w);
        }
    }
}
