//! Plans as text, and their sizes.

use super::models;
use twinc::expr::{Dag, Leaf, NodeId, UnaryOp};
use twinc::jit::plan::{Step, ValueId};
use twinc::jit::{Kernels, Options, Part, Plan, PlanOptions};

#[test]
fn plan_of_a_rich_right_hand_side() {
    let kernels = Kernels::compile(models::rich(), &Options::default()).unwrap();
    insta::assert_snapshot!(kernels.plan(Part::Rhs)[0].to_string());
}

#[test]
fn plan_in_several_chunks_names_its_slots() {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..4).map(|k| dag.leaf(Leaf::State(k))).collect();
    let product = dag.mul(x[0], x[1]);
    let exps: Vec<NodeId> = x.iter().map(|&x| dag.unary(UnaryOp::Exp, x)).collect();
    let sum = dag.sum(&[(1.0, exps[0]), (1.0, exps[1]), (-2.0, exps[2]), (1.0, product), (1.0, exps[3])]);
    let outer = dag.unary(UnaryOp::Exp, sum);
    let wave = dag.unary(UnaryOp::Exp, product);
    let last = dag.sum(&[(1.0, outer), (1.0, wave), (1.0, product)]);
    let plan = Plan::new(&dag, &[sum, last], &PlanOptions { chunk_size: 8, ..PlanOptions::default() });
    insta::assert_snapshot!(plan.to_string());
}

/// Values that are read before they are computed would be read from a stale slot.
fn assert_ordered(plan: &Plan) {
    let mut is_known = vec![false; plan.ops().len()];
    for step in plan.steps() {
        if let Step::Loop { index } = step {
            let one = plan.loops()[*index as usize];
            for value in one.begin..one.end {
                plan.ops()[value as usize].for_each_operand(&mut |operand| {
                    if let twinc::jit::plan::Operand::Value(ValueId(v)) = operand {
                        assert!((one.begin..value).contains(v), "a body reads its own earlier values only");
                    }
                });
            }
            is_known[one.begin as usize..one.end as usize].fill(true);
        }
        plan.for_each_operand(step, |operand| {
            if let twinc::jit::plan::Operand::Value(ValueId(v)) = operand {
                assert!(is_known[*v as usize]);
            }
        });
        match step {
            Step::Compute(value) => is_known[value.0 as usize] = true,
            Step::Call { group } => {
                let group = plan.groups()[*group as usize];
                is_known[group.first_value as usize..(group.first_value + group.len) as usize].fill(true);
            }
            Step::Loop { .. }
            | Step::Argument { .. }
            | Step::Output { .. }
            | Step::Keep { .. }
            | Step::Apply { .. } => {}
        }
    }
    assert!(is_known.iter().all(|known| *known));
}

#[test]
fn chunks_are_small_and_slots_are_few() {
    let kernels = Kernels::compile(models::chain(2_000), &Options::default()).unwrap();
    let straight = PlanOptions { shortest_loop: 5_000, ..PlanOptions::default() };
    let rhs: Vec<NodeId> = kernels.model().states.iter().map(|s| s.rhs).collect();
    let jacobian = kernels.jacobian_nodes().1.to_vec();
    for (what, nodes) in [("rhs", rhs), ("jacobian", jacobian)] {
        let plan = &Plan::new(&kernels.dag(), &nodes, &straight);
        assert_ordered(plan);
        assert!(plan.chunks().iter().all(|chunk| chunk.n_instructions <= 500));
        assert!(plan.chunks().len() > 5);
        // Neighbors share values; what waits at the boundary of two chunks needs few slots.
        assert!(plan.n_slots() < 40, "{what}: {} slots", plan.n_slots());
    }
}

#[test]
fn a_sum_of_thousands_of_terms_spreads_over_chunks() {
    let mut dag = Dag::new();
    let terms: Vec<(f64, NodeId)> = (0..5_000)
        .map(|k| {
            let (x, p) = (dag.leaf(Leaf::State(k)), dag.leaf(Leaf::Param(k)));
            (1.0, dag.mul(x, p))
        })
        .collect();
    let sum = dag.sum(&terms);
    let straight = PlanOptions { shortest_loop: 20_000, ..PlanOptions::default() };
    let plan = Plan::new(&dag, &[sum], &straight);
    assert_ordered(&plan);
    assert!(plan.chunks().len() > 10 && plan.chunks().iter().all(|chunk| chunk.n_instructions <= 500));
    assert!(plan.n_slots() < 20, "{} slots", plan.n_slots());
}

#[test]
fn plans_with_loops_are_in_order() {
    for model in [models::chain(200), models::cells(100), models::network(100, 500)] {
        let kernels = Kernels::compile(model, &Options::default()).unwrap();
        for part in [Part::Rhs, Part::Jacobian, Part::ParameterJacobian, Part::JacobianAlong] {
            let plan = &kernels.plan(part)[0];
            assert!(!plan.loops().is_empty());
            assert_ordered(plan);
        }
    }
}
