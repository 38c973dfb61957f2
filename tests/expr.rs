//! The expression graph against independent truth: dual numbers for derivatives, plain arithmetic for values.

mod conserved;
mod derivatives;
mod networks;
mod printing;
pub(crate) mod programs;

use num_dual::{Dual64, HyperDual64};
use programs::{N_PARAMS, N_STATES, Program, programs};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use twinc::expr::{Dag, Env, Interpreter, Leaf, NodeId, Wrt, directional, gradients};

/// The relative difference to dual numbers that derivatives may have, in units of the carried scale.
const DERIVATIVE_TOLERANCE: f64 = 1e-12;
/// Where terms cancel exactly in the symbolic derivative, dual numbers leave roundings of the terms; these are measured
/// by the scale of the function itself.
const CANCELLATION_TOLERANCE: f64 = 1e-13;
/// Products below this may have lost a factor to underflow.
const UNDERFLOW: f64 = 1e-150;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_global_rejects: 1 << 20,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn env<'a>(t: f64, x: &'a [f64], p: &'a [f64], dx: &'a [f64], dt: f64) -> Env<'a, f64> {
    Env { t, x, u: &[], d: &[], p, dx, dt }
}

/// Values and scales of nodes.
fn evaluate(dag: &Dag, nodes: &[NodeId], env: &Env<'_, f64>) -> (Vec<f64>, Vec<f64>) {
    let interpreter = Interpreter::new(dag, nodes);
    let (mut values, mut scales) = (vec![0.0; nodes.len()], vec![0.0; nodes.len()]);
    interpreter.eval_with_scale(env, &mut Vec::new(), &mut values, &mut scales);
    (values, scales)
}

fn dual(values: &[f64], seed: Option<usize>) -> Vec<Dual64> {
    values.iter().enumerate().map(|(k, &v)| Dual64::new(v, f64::from(seed == Some(k)))).collect()
}

/// Compares one gradient entry per column with the dual part.
fn check_gradient(program: &Program, wrt: Wrt) -> Result<(), TestCaseError> {
    prop_assume!(program.evaluate().1.is_finite());
    let mut dag = Dag::new();
    let root = program.build(&mut dag);
    let gradient = gradients(&mut dag, &[root], wrt).remove(0);
    prop_assert!(gradient.windows(2).all(|w| w[0].0 < w[1].0));
    let interpreter = Interpreter::new(&dag, &[root]);
    let nodes: Vec<NodeId> = gradient.iter().map(|&(_, node)| node).collect();
    let at = env(program.t, &program.x, &program.p, &[], 0.0);
    let (values, scales) = evaluate(&dag, &nodes, &at);
    let floor = CANCELLATION_TOLERANCE * evaluate(&dag, &[root], &at).1[0];
    let n_columns = match wrt {
        Wrt::States => N_STATES,
        Wrt::Params => N_PARAMS,
        _ => 1,
    };
    for column in 0..n_columns {
        let seed = |of: Wrt| (wrt == of).then_some(column);
        let at = Env {
            t: Dual64::new(program.t, f64::from(wrt == Wrt::Time)),
            x: &dual(&program.x, seed(Wrt::States)),
            u: &[],
            d: &[],
            p: &dual(&program.p, seed(Wrt::Params)),
            dx: &[],
            dt: Dual64::from_re(0.0),
        };
        let want = interpreter.values(&at)[0].eps;
        let found = gradient.iter().position(|&(c, _)| c as usize == column);
        let (got, scale) = found.map_or((0.0, 0.0), |k| (values[k], scales[k]));
        if want.is_finite() && got.is_finite() && scale.is_finite() {
            prop_assert!(
                (got - want).abs() <= DERIVATIVE_TOLERANCE * scale + floor + UNDERFLOW,
                "column {column}: symbolic {got}, dual {want}, scale {scale}"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn gradients_equal_dual_numbers(program in programs()) {
        for wrt in [Wrt::States, Wrt::Params, Wrt::Time] {
            check_gradient(&program, wrt)?;
        }
    }

    #[test]
    fn second_directional_derivatives_equal_hyper_dual_numbers(
        program in programs(),
        direction in prop::collection::vec(-1.0..1.0f64, N_STATES),
        dt in -1.0..1.0f64,
    ) {
        prop_assume!(program.evaluate().1.is_finite());
        let mut dag = Dag::new();
        let root = program.build(&mut dag);
        let gradient = gradients(&mut dag, &[root], Wrt::States).remove(0);
        let seeds: Vec<NodeId> = (0..N_STATES as u32).map(|k| dag.leaf(Leaf::Direction(k))).collect();
        let seed_time = dag.leaf(Leaf::DirectionTime);
        let first: Vec<NodeId> = gradient.iter().map(|&(_, node)| node).collect();
        let second = directional(&mut dag, &first, |leaf| match leaf {
            Leaf::State(k) => Some(seeds[k as usize]),
            Leaf::Time => Some(seed_time),
            _ => None,
        });
        let at = env(program.t, &program.x, &program.p, &direction, dt);
        let (values, scales) = evaluate(&dag, &second, &at);
        let floor = CANCELLATION_TOLERANCE * evaluate(&dag, &[root], &at).1[0];
        let interpreter = Interpreter::new(&dag, &[root]);
        for (k, &(column, _)) in gradient.iter().enumerate() {
            let hyper = |k: usize, v: f64| {
                HyperDual64::new(v, f64::from(k == column as usize), direction[k], 0.0)
            };
            let x: Vec<HyperDual64> = program.x.iter().enumerate().map(|(k, &v)| hyper(k, v)).collect();
            let p: Vec<HyperDual64> = program.p.iter().map(|&v| HyperDual64::from_re(v)).collect();
            let at = Env {
                t: HyperDual64::new(program.t, 0.0, dt, 0.0),
                x: &x, u: &[], d: &[], p: &p, dx: &[], dt: HyperDual64::from_re(0.0),
            };
            let want = interpreter.values(&at)[0].eps1eps2;
            let (got, scale) = (values[k], scales[k]);
            if want.is_finite() && got.is_finite() && scale.is_finite() {
                prop_assert!(
                    (got - want).abs() <= DERIVATIVE_TOLERANCE * scale + floor + UNDERFLOW,
                    "column {column}: symbolic {got}, hyper-dual {want}, scale {scale}"
                );
            }
        }
    }

    #[test]
    fn simplification_preserves_the_value(program in programs()) {
        let (want, scale) = program.evaluate();
        prop_assume!(scale.is_finite());
        let mut dag = Dag::new();
        let root = program.build(&mut dag);
        let (got, _) = evaluate(&dag, &[root], &env(program.t, &program.x, &program.p, &[], 0.0));
        prop_assert!((got[0] - want).abs() <= 64.0 * f64::EPSILON * scale, "{} for {want}, scale {scale}", got[0]);
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn the_scale_bounds_what_perturbed_variables_do(
        program in programs(),
        signs in prop::collection::vec(any::<bool>(), 1 + N_STATES + N_PARAMS),
    ) {
        const STEP: f64 = 1e-7;
        prop_assume!(program.evaluate().1.is_finite() && !program.has_steps());
        let mut dag = Dag::new();
        let root = program.build(&mut dag);
        let at = env(program.t, &program.x, &program.p, &[], 0.0);
        let (value, scale) = evaluate(&dag, &[root], &at);
        prop_assert!(scale[0] >= value[0].abs());
        let change = |half: f64| {
            let moved = |v: f64, k: usize| v * (1.0 + if signs[k] { half } else { -half });
            let x: Vec<f64> = program.x.iter().enumerate().map(|(k, &v)| moved(v, k + 1)).collect();
            let p: Vec<f64> = program.p.iter().enumerate().map(|(k, &v)| moved(v, k + 1 + N_STATES)).collect();
            evaluate(&dag, &[root], &env(moved(program.t, 0), &x, &p, &[], 0.0)).0[0]
        };
        let (forward, backward) = (change(STEP) - value[0], value[0] - change(-STEP));
        // The bound is of first order: it is checked where both sides agree that the change is.
        if (forward - backward).abs() <= 0.01 * forward.abs() {
            prop_assert!(forward.abs() <= 1.02 * STEP * scale[0], "{forward} for scale {}", scale[0]);
        }
    }

    #[test]
    fn functions_good_to_one_epsilon_stay_within_four_epsilon_of_the_scale(program in programs(), salt in any::<u64>()) {
        prop_assume!(program.evaluate().1.is_finite());
        let mut dag = Dag::new();
        let root = program.build(&mut dag);
        let (value, scale) = evaluate(&dag, &[root], &env(program.t, &program.x, &program.p, &[], 0.0));
        prop_assume!(scale[0].is_finite());
        let other = programs::evaluate_with_poor_functions(&dag, root, &program, salt);
        prop_assert!(
            (other - value[0]).abs() <= 4.0 * f64::EPSILON * scale[0],
            "{other} for {}, scale {}", value[0], scale[0]
        );
    }

    #[test]
    fn printing_ends_and_is_stable(program in programs()) {
        printing::is_stable(&program)?;
    }

    #[test]
    fn sums_in_any_order_and_form_are_proved_equal(program in programs()) {
        conserved::is_proved(&program)?;
    }
}

#[test]
fn sums_run_from_left_to_right() {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..4).map(|k| dag.leaf(Leaf::State(k))).collect();
    let root = dag.sum(&[(-1.0, x[0]), (0.1, x[1]), (1.0, x[2]), (-3.7, x[3])]);
    let v = [1e16, 3.3, 1.0 / 3.0, -7.7];
    let want = ((-v[0] + 0.1 * v[1]) + v[2]) + -3.7 * v[3];
    assert_eq!(evaluate(&dag, &[root], &env(0.0, &v, &[], &[], 0.0)).0[0].to_bits(), want.to_bits());
}

#[test]
fn a_variable_without_value_is_not_a_number() {
    let mut dag = Dag::new();
    let leaf = dag.leaf(Leaf::Param(3));
    assert!(evaluate(&dag, &[leaf], &env(0.0, &[], &[1.0], &[], 0.0)).0[0].is_nan());
}
