//! What models mean, against numbers computed by hand.

use std::sync::Arc;

use twinc::expr::{Env, Interpreter, Leaf, NodeId};
use twinc::flat::FlatModel;
use twinc::integrate::{Direction, Forcing, Integrator, Options, Problem, Sample, Start, Tolerance};
use twinc::jit::{Kernels, Options as JitOptions};

use super::read;

/// A flat model with values that can be looked at.
pub(super) struct Point {
    flat: FlatModel,
    x: Vec<f64>,
    t: f64,
}

pub(super) fn model(text: &str) -> Point {
    of(read(text).flat())
}

/// A flat model at its start.
pub(super) fn of(flat: FlatModel) -> Point {
    let mut point = Point { x: vec![0.0; flat.states.len()], flat, t: 0.0 };
    let nodes: Vec<NodeId> = point.flat.states.iter().map(|s| s.initial).collect();
    point.x = point.values(&nodes);
    point
}

impl Point {
    fn values(&self, nodes: &[NodeId]) -> Vec<f64> {
        let p: Vec<f64> = self.flat.params.iter().map(|p| p.value).collect();
        let u: Vec<f64> = self.flat.inputs.iter().map(|p| p.value).collect();
        let d: Vec<f64> = self.flat.disturbances.iter().map(|p| p.value).collect();
        let env = Env { t: self.t, x: &self.x, u: &u, d: &d, p: &p, dx: &[], dt: 0.0 };
        Interpreter::new(&self.flat.dag, nodes).values(&env)
    }

    fn state(&self, name: &str) -> usize {
        self.flat.states.iter().position(|s| s.quantity.name == name).unwrap_or_else(|| panic!("no state {name}"))
    }

    /// The derivative of a state.
    pub(super) fn slope(&self, name: &str) -> f64 {
        self.values(&[self.flat.states[self.state(name)].rhs])[0]
    }

    /// A state, `let` or output.
    pub(super) fn get(&self, name: &str) -> f64 {
        if let Some(k) = self.flat.states.iter().position(|s| s.quantity.name == name) {
            return self.x[k];
        }
        if let Some(k) = self.flat.params.iter().position(|s| s.quantity.name == name) {
            return self.flat.params[k].value;
        }
        let named = self.flat.lets.iter().chain(&self.flat.safe).find(|l| l.quantity.name == name);
        let output = self.flat.observables.iter().find(|o| o.quantity.name == name);
        let node = named.map(|l| l.node).or(output.map(|o| self.flat.outputs[o.value_output]));
        self.values(&[node.unwrap_or_else(|| panic!("no {name}"))])[0]
    }

    /// The states at some times, by the compiled model.
    fn run(&self, times: &[f64]) -> Vec<Vec<f64>> {
        self.solve(times, &[]).into_iter().map(|(x, _)| x).collect()
    }

    /// The derivative of a state by a parameter at a time, by forward sensitivities.
    pub(super) fn sensitivity(&self, state: &str, param: &str, t: f64) -> f64 {
        let k = self.flat.params.iter().position(|p| p.quantity.name == param).expect("a parameter");
        self.solve(&[t], &[Direction::parameter(k)])[0].1[self.state(state)]
    }

    /// States and their derivatives at some times, by the compiled model.
    fn solve(&self, times: &[f64], directions: &[Direction]) -> Vec<(Vec<f64>, Vec<f64>)> {
        let kernels = Kernels::compile(Arc::new(self.flat.clone()), &JitOptions::default()).expect("compiles");
        let p: Vec<f64> = self.flat.params.iter().map(|p| p.value).collect();
        let u: Vec<f64> = self.flat.inputs.iter().map(|p| p.value).collect();
        let d: Vec<f64> = self.flat.disturbances.iter().map(|p| p.value).collect();
        let forcing = Forcing::constant(&u, &d);
        let options = Options { rtol: 1e-10, atol: Tolerance::Scalar(1e-12), ..Options::default() };
        let mut integrator = Integrator::new(&kernels, options).expect("valid");
        let problem = Problem {
            t0: 0.0,
            t1: *times.last().expect("a time"),
            start: Start::Model,
            p: &p,
            forcing: &forcing,
            directions,
            resumes: false,
        };
        let mut list = Vec::new();
        let outcome = integrator
            .solve(&problem, times, &mut |s: Sample<'_>| list.push((s.at.x.to_vec(), s.sensitivities.to_vec())))
            .expect("valid");
        assert!(outcome.status.is_success(), "{}", outcome.status);
        list
    }

    /// One state at some times.
    pub(super) fn trace(&self, name: &str, times: &[f64]) -> Vec<f64> {
        let k = self.state(name);
        self.run(times).iter().map(|x| x[k]).collect()
    }
}

#[track_caller]
pub(super) fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-6), "{found} instead of {expected}");
}

#[track_caller]
fn all_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-7 * e.abs().max(1.0), "{found:?} instead of {expected:?}");
    }
}

mod reactions {
    use super::*;

    #[test]
    fn mass_action_raises_to_coefficients() {
        // v = 0.5·3²·2 = 9; A loses 2 v, B loses v, C gains 3 v.
        let m = model(
            "model M { time [s]; species { A [uM] = 3; B [uM] = 2; C [uM] = 0 }\n param k [1/(uM^2*s)] = 0.5\n \
             2 A + B -> 3 C @ k }",
        );
        near(m.slope("A"), -18.0);
        near(m.slope("B"), -9.0);
        near(m.slope("C"), 27.0);
    }

    #[test]
    fn both_directions_use_their_own_side() {
        let m = model(
            "model M { time [s]; species { A [uM] = 3; B [uM] = 2; C [uM] = 5 }\n param { kf [1/(uM*s)] = 0.5; kr [1/s] = 0.1 }\n \
             A + B <-> C @ kf, kr }",
        );
        near(m.slope("C"), 0.5 * 6.0 - 0.1 * 5.0);
        assert_eq!(m.flat.reactions.len(), 2);
        assert_eq!(m.flat.reactions[1].name, "r1_reverse");
    }

    #[test]
    fn a_net_law_may_be_negative_and_an_autocatalyst_counts_net() {
        let m = model(
            "model M { time [s]; species { A [uM] = 3; B [uM] = 2 }\n param { k [1/s] = 0.5; q [1/(uM*s)] = 2 }\n \
             A <-> B rate k*(A - 2*B)\n A + B -> 2 B @ q }",
        );
        near(m.slope("A"), -0.5 * (3.0 - 4.0) - 2.0 * 6.0);
        near(m.slope("B"), 0.5 * (3.0 - 4.0) + 2.0 * 6.0);
    }

    #[test]
    fn inflow_and_boundary_species() {
        let m = model(
            "model M { time [s]; species { A [uM] = 3; X [uM] = 4 fixed }\n param { k [uM/s] = 0.5; q [1/(uM*s)] = 2 }\n \
             0 -> A @ k\n A + X -> X @ q }",
        );
        near(m.slope("A"), 0.5 - 2.0 * 3.0 * 4.0);
        assert_eq!(m.flat.states.len(), 1);
    }

    #[test]
    fn rate_constants_are_converted() {
        // 60 per minute is 1 per second; A in mM from B in uM.
        let m = model(
            "model M { time [s]; species { A [mM] = 3; B [uM] = 2000 }\n param { k [1/min] = 60; q [1/(mM*s)] = 0.5 }\n \
             A -> B @ k\n A + B -> 0 @ q }",
        );
        // A -> B: 3 mM/s. A + B: 0.5·3·2 = 3 mM/s.
        near(m.slope("A"), -3.0 - 3.0);
        near(m.slope("B"), 3000.0 - 3000.0);
    }

    #[test]
    fn reactions_cross_compartments_by_amount() {
        // @ in the reactant's volume: k·A·V₁ = 0.1·4·2 mmol/s = 0.8 mmol/s leaves 2 L and enters 500 mL.
        let m = model(
            "model M { time [s]\n compartment V1 [L] = 2 { A [mM] = 4 }\n compartment V2 [mL] = 500 { B [uM] = 0 }\n \
             param k [1/s] = 0.1\n A -> B @ k }",
        );
        near(m.slope("A"), -0.4);
        // 0.8 mmol / 0.5 L = 1.6 mM = 1600 uM.
        near(m.slope("B"), 1600.0);
    }

    #[test]
    fn a_rate_across_compartments_is_an_amount() {
        let m = model(
            "model M { time [s]\n compartment V1 [L] = 2 { A [mM] = 4 }\n compartment V2 [mL] = 500 { B [uM] = 0 }\n \
             param PS [L/s] = 0.1\n A <-> B rate PS*(A - B) }",
        );
        // 0.1 L/s · 4 mM = 0.4 mmol/s.
        near(m.slope("A"), -0.2);
        near(m.slope("B"), 800.0);
    }

    #[test]
    fn inside_one_compartment_the_unit_of_the_rate_decides() {
        let both = ["[mM/s] = 0.3", "[mmol/s] = 0.6", "[umol/s] = 600"];
        for rate in both {
            let m = model(&format!(
                "model M {{ time [s]\n compartment V [L] = 2 {{ A [mM] = 4; B [uM] = 0 }}\n param r {rate}\n A -> B rate r }}"
            ));
            near(m.slope("A"), -0.3);
            near(m.slope("B"), 300.0);
        }
    }

    #[test]
    fn amounts_react_by_their_concentration() {
        // A = 6 mmol in 2 L is 3 mM; v = 0.5·3² = 4.5 mM/s = 9 mmol/s.
        let m = model(
            "model M { time [s]\n compartment V [L] = 2 { A [mmol] = 6; B [umol] = 0; C [mM] = 0 }\n \
             param k [1/(mM*s)] = 0.5\n 2 A -> B + C @ k }",
        );
        near(m.slope("A"), -18.0);
        near(m.slope("B"), 9000.0);
        near(m.slope("C"), 4.5);
    }

    #[test]
    fn a_growing_volume_dilutes() {
        // dC/dt = r/V − C V'/V with r = −k C V: at C = 4, V = 2, V' = 0.5: −0.4 − 1.
        let m = model(
            "model M { time [s]\n compartment V [L] = 2 { C [mM] = 4; N [mmol] = 8; T [mM] = 1 }\n \
             param { k [1/s] = 0.1; F [L/s] = 0.5 }\n V' = F\n C -> 0 @ k\n N -> 0 @ k }",
        );
        near(m.slope("V"), 0.5);
        near(m.slope("C"), -0.4 - 1.0);
        near(m.slope("N"), -0.8);
        // A tracer that does not react dilutes too.
        near(m.slope("T"), -0.25);
        // The same solution by hand: C V = 8 e^(−k t), V = 2 + t/2.
        let t = 3.0_f64;
        let c = 8.0 * (-0.1 * t).exp() / (2.0 + 0.5 * t);
        all_near(&m.trace("C", &[t]), &[c]);
        all_near(&m.trace("T", &[t]), &[2.0 / 3.5]);
    }

    #[test]
    fn an_event_on_a_volume_keeps_amounts() {
        let m = model(
            "model M { time [s]\n compartment V [L] = 2 { C [mM] = 4; N [mmol] = 8 }\n param k [1/s] = 0\n \
             C -> 0 @ k\n N -> 0 @ k\n at 1 [s] { V += 2 [L] } }",
        );
        all_near(&m.trace("C", &[0.5, 1.0, 2.0]), &[4.0, 2.0, 2.0]);
        all_near(&m.trace("N", &[0.5, 2.0]), &[8.0, 8.0]);
        let set = model(
            "model M { time [s]\n compartment V [L] = 2 { C [mM] = 4 }\n param k [1/s] = 0\n \
             C -> 0 @ k\n at 1 [s] { C := 7 [mM]; V := 4 [L] } }",
        );
        all_near(&set.trace("C", &[1.0]), &[7.0]);
    }

    #[test]
    fn families_of_reactions_unroll() {
        let m = model(
            "model M { time [s]\n species A(i) [uM] = i*1 [uM] for i in 1 .. 3\n param k [1/s] = 2\n \
             A(i) -> A(i+1) @ k for i in 1 .. 2 }",
        );
        near(m.slope("A(1)"), -2.0);
        near(m.slope("A(2)"), 2.0 - 4.0);
        near(m.slope("A(3)"), 4.0);
    }
}

mod units {
    use super::*;

    #[test]
    fn equations_are_converted() {
        // 1 L/s through 0.5 m² raises the level by 2 mm/s.
        let m = model(
            "model M { time [s]; param { q [L/s] = 1; area [m^2] = 0.5 }\n state h [m] = 1\n h' = q/area\n \
             let p [bar] = rho_water*g_n*h }",
        );
        near(m.slope("h"), 0.002);
        near(m.get("p"), 997.047 * 9.80665 * 1e-5);
        let hours = model("model M { time [h]; param k [1/s] = 1; state x [mM] = 2\n x' = -k*x + 1 [uM/min] }");
        near(hours.slope("x"), -7200.0 + 0.06);
    }

    #[test]
    fn celsius_is_kelvin_inside() {
        let m = model(
            "model M { time [s]; state T [degC] = 20; param { Ta [degC] = 300 [K]; k [1/s] = 0.5; a [K] = 293.15 }\n \
             T' = -k*(T - Ta)\n let r = exp(a/T)\n let back [degC] = T\n let warm [1] = if T > 19.9 [degC] then 1 else 0\n \
             safe cool: T <= 30 [degC]\n observe y [degC] = T ~ Normal(sd = 0.5 [degC]) }",
        );
        near(m.get("T"), 20.0);
        near(m.get("Ta"), 26.85);
        near(m.slope("T"), 0.5 * 6.85);
        near(m.get("r"), std::f64::consts::E);
        near(m.get("back"), 20.0);
        near(m.get("warm"), 1.0);
        near(m.get("cool"), 10.0);
        near(m.get("y"), 20.0);
        near(m.get("y.sd"), 0.5);
        let event = model(
            "model M { time [s]; state T [degC] = 20\n T' = 0 [K/s]\n at 1 [s] { T += 5 [degC] }\n at 2 [s] { T := 50 [degC] }\n \
             at 3 [s] { T -= 2 } }",
        );
        all_near(&event.trace("T", &[1.0, 2.0, 3.0]), &[25.0, 50.0, 48.0]);
    }

    #[test]
    fn priors_in_celsius_are_temperatures_and_their_spreads_differences() {
        let m = model(
            "model M { time [s]; param T [degC] = 20 in 0 .. 313.15 [K] ~ Normal(mean = 293.15 [K], sd = 2 [degC])\n \
             state x [K] = 0\n x' = T/1 [s] }",
        );
        let p = &m.flat.params[0];
        assert_eq!((p.quantity.low, p.quantity.high), (0.0, 40.0));
        assert_eq!(p.prior, Some(twinc::flat::Distribution::Normal { mean: 20.0, sd: 2.0 }));
    }

    #[test]
    fn missing_units_follow_with_their_size() {
        let checked =
            read("model M { time [h]; state x [mM] = 1; param { k [1] = 1; q = 3 }\n x' = -q*x*k\n let v = q*x }");
        assert!(checked.codes().is_empty(), "{}", checked.shown());
        let list: Vec<String> = checked.module.inferred.iter().map(|i| format!("{} {}", i.name, i.unit)).collect();
        assert_eq!(list, ["M.q 1/h", "M.v mM/h"]);
    }

    #[test]
    fn the_size_of_an_inferred_unit_inserts_no_factor() {
        let m = model("model M { time [h]; state x [mM] = 1; param k = 0.1\n x' = -k*x }");
        near(m.slope("x"), -0.1);
        assert_eq!(m.flat.params[0].quantity.unit, "1/h");
    }

    #[test]
    fn a_bare_number_takes_the_unit_of_its_slot() {
        let m = model(
            "model M { time [min]; state x [mM] = 1/4 in 0 .. 2; param k [1/s] = 2*3 in 1 .. 10\n x' = 5\n \
             observe y [uM] = x ~ Normal(sd = 0.2 [mM])\n let z = k }",
        );
        near(m.slope("x"), 5.0);
        near(m.get("x"), 0.25);
        near(m.get("k"), 6.0);
        near(m.get("y"), 250.0);
        near(m.get("y.sd"), 200.0);
    }

    #[test]
    fn exponents_are_rational_and_constants_may_stand_in_them() {
        let m = model(
            "model M { time [s]; const n [1] = 1/2\n param { k [L/(s*bar^(1/2))] = 2; p [bar] = 4 }\n state v [L] = 0\n \
             v' = k*p^n\n let s = sqrt(p)*sqrt(p)/1 [bar] }",
        );
        near(m.slope("v"), 4.0);
        near(m.get("s"), 4.0);
    }
}

mod names {
    use super::*;

    #[test]
    fn definitions_stand_in_any_order() {
        let m = model(
            "model M { time [1]\n x' = c\n let c = 2*b\n let b = a + k\n const a = 3\n param k = 0.5\n state x = 1 }",
        );
        near(m.slope("x"), 7.0);
    }

    #[test]
    fn functions_take_defaults_and_names() {
        let m = model(
            "fn power(x, n = 2, scale = 1) = scale*x^n\nconst three = 3\nfn plus(x) = x + three\n\
             model M { time [1]; state x = 2\n x' = power(x) + power(x, 3) + power(n = 1, x = x) + power(x, scale = 10) + plus(x) }",
        );
        near(m.slope("x"), 4.0 + 8.0 + 2.0 + 40.0 + 5.0);
    }

    #[test]
    fn arguments_do_not_see_the_callers_names() {
        // `k` in the constant is the file's, not the index of the sum.
        let m = model(
            "const k = 10\nconst twice = 2*k\nmodel M { time [1]; state x = 0\n x' = sum(twice*j for j in 1 .. 2) + sum(k for k in 1 .. 3) }",
        );
        near(m.slope("x"), 60.0 + 6.0);
    }

    #[test]
    fn variants_replace_values_and_what_follows_from_them() {
        let text = "model A { time [1]; const n = 2; const m = n + 1; param k = 1 in 0 .. 10 ~ Normal(mean = 1, sd = 1)\n state h(i) = i for i in 1 .. n\n state x = 2\n h(i)' = k*h(i)^m\n x' = -k*x }\n\
                    model B = A(n = 3, k = 5)\nmodel C = B(x = 7)";
        let m = model(text);
        assert_eq!(m.flat.states.len(), 4);
        near(m.slope("h(3)"), 5.0 * 81.0);
        near(m.slope("x"), -35.0);
        assert_eq!(m.flat.params[0].prior, None);
        let notes = read(text);
        assert_eq!(notes.codes(), Vec::<&str>::new());
        assert!(notes.shown().contains("W0106"), "{}", notes.shown());
    }

    #[test]
    fn files_are_imported_once_and_in_any_order() {
        let texts = [
            (
                "lib.twin",
                "use two from \"more.twin\"\nfn f(x) = two*x\nmodel Base { time [1]; param k = 4; state x = 1\n x' = f(k)*x }",
            ),
            ("more.twin", "const two = 2"),
        ];
        let root = "use f, Base from \"lib.twin\"\nuse two from \"more.twin\"\nmodel M = Base(k = f(two))";
        let checked = super::super::check_with("root.twin", root, false, &super::super::Texts(&texts));
        let flat = checked.flat();
        let m = Point { x: vec![1.0], flat, t: 0.0 };
        near(m.slope("x"), 8.0);
    }
}

mod arrays {
    use super::*;

    #[test]
    fn boundary_equations_and_sums() {
        let m = model(
            "model M { time [1]; const n = 4\n state h(i) = [1, 2, 4, 8] for i in 1 .. n\n h(1)' = h(2) - h(1)\n h(n)' = h(n-1) - h(n)\n \
             h(i)' = h(i-1) - 2*h(i) + h(i+1) for i in 2 .. n-1\n let total = sum(h(j) for j in 1 .. n)\n \
             let odd = sum(h(j) for j in 1 .. n if mod(j, 2) == 1)\n let picked(i) = if i == 1 then 0 else h(i-1) for i in 1 .. n\n \
             let empty = sum(h(j) for j in 3 .. 2) }",
        );
        near(m.slope("h(1)"), 1.0);
        near(m.slope("h(2)"), 1.0 - 4.0 + 4.0);
        near(m.slope("h(4)"), -4.0);
        near(m.get("total"), 15.0);
        near(m.get("odd"), 5.0);
        near(m.get("picked(1)"), 0.0);
        near(m.get("picked(4)"), 4.0);
        near(m.get("empty"), 0.0);
    }

    #[test]
    fn two_indices_and_recursive_definitions() {
        let m = model(
            "model M { time [1]; state c(i, j) = 10*i + j for i in 1 .. 2 for j in 0 .. 2\n c(i, j)' = -c(i, j)\n \
             let f(i) = if i <= 2 then 1 else f(i-1) + f(i-2) for i in 1 .. 20 }",
        );
        near(m.get("c(2,1)"), 21.0);
        near(m.slope("c(1,2)"), -12.0);
        near(m.get("f(20)"), 6765.0);
    }
}

mod events {
    use super::*;

    #[test]
    fn doses_repeat_until_inclusive() {
        // Nothing decays: the doses count. `every` without `from` starts one period after the start.
        let m = model(
            "model M { time [h]; state { a [mg] = 0; b [mg] = 0 }\n a' = 0 [mg/h]\n b' = 0 [mg/h]\n \
             every 2 [h] until 6 [h] { a += 1 [mg] }\n every 2 [h] from 0 [h] until 120 [min] { b += 1000 [ug] } }",
        );
        all_near(&m.trace("a", &[0.0, 1.9, 2.0, 6.0, 9.0]), &[0.0, 0.0, 1.0, 3.0, 3.0]);
        all_near(&m.trace("b", &[0.0, 1.9, 2.0, 9.0]), &[1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn simultaneous_assignments_see_the_values_before() {
        let m = model(
            "model M { time [1]; state { a = 1; b = 2; c = 1 }\n a' = 0\n b' = 0\n c' = 0\n at 1 { a := b; b := a }\n \
             at 2 { c += a }\n at 2 { c -= b; a *= 10 }\n at 2 { a *= 2 } }",
        );
        let x = m.run(&[1.0, 2.0]);
        all_near(&x[0], &[2.0, 1.0, 1.0]);
        all_near(&x[1], &[40.0, 1.0, 2.0]);
    }

    #[test]
    fn a_parameter_that_an_event_assigns_is_a_discrete_state() {
        let m = model("model M { time [1]; param k = 0.5\n state x = 1\n x' = -k*x\n at 1 { k *= 2 } }");
        assert_eq!(m.flat.params.len(), 1);
        let k = m.state("k");
        assert!(m.flat.states[k].is_discrete);
        let expected = (-0.5_f64).exp() * (-1.0_f64).exp();
        all_near(&m.trace("x", &[2.0]), &[expected]);
    }

    #[test]
    fn when_fires_on_rising_edges_only() {
        // x = cos t falls through 0.5 and rises through it at 5π/3; true at the start does not fire.
        let m = model(
            "model M { time [1]; state { x = 1; y = 0 }\n discrete n = 0\n x' = -y\n y' = x\n when x > 0.5 { n += 1 } }",
        );
        let rise = 5.0 * std::f64::consts::PI / 3.0;
        all_near(&m.trace("n", &[0.0, 1.0, rise - 1e-6, rise + 1e-6, 10.0]), &[0.0, 0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn conditions_on_time_are_exact() {
        let m = model(
            "model M { time [1]; param k = 2\n discrete n = 0\n discrete m = 0\n state x = 0\n x' = 0\n when time > k + 1 { n += 1 }\n when time >= 0 { m += 1 } }",
        );
        all_near(&m.trace("n", &[2.999999, 3.0, 5.0]), &[0.0, 1.0, 1.0]);
        // True at the start does not fire.
        all_near(&m.trace("m", &[0.0, 5.0]), &[0.0, 0.0]);
        assert!(m.flat.roots.is_empty());
    }

    #[test]
    fn signals_are_breakpoints() {
        let m = model(
            "use pulse from std.signals\nmodel M { time [s]; state x [m] = 0\n x' = 3 [m/s]*pulse(time, 1 [s], 500 [ms]) }",
        );
        assert!(m.flat.roots.is_empty(), "{:?}", m.flat.events);
        all_near(&m.trace("x", &[0.9, 1.2, 3.0]), &[0.0, 0.6, 1.5]);
    }

    #[test]
    fn periodic_functions_of_time_are_breakpoints() {
        // One unit of slope in the first tenth of each period; the phase is before and after the start.
        for (phase, expected) in [("time", 0.5), ("time + 0.05", 0.5), ("time - 3.5", 0.5), ("time - 20", 0.5)] {
            let m =
                model(&format!("model M {{ time [1]; state x = 0\n x' = if mod({phase}, 2) < 0.1 then 1 else 0 }}"));
            assert!(m.flat.roots.is_empty());
            all_near(&m.trace("x", &[10.0]), &[expected]);
        }
        let floor = model("model M { time [1]; state x = 0\n x' = floor(time - 7.25) }");
        // ∫₀⁸ floor(t − 7.25): −8 over 0.25, then −7 … −1 over 1 each, then 0 over 0.75.
        all_near(&floor.trace("x", &[8.0]), &[-2.0 - 28.0]);
        let sign = model("model M { time [1]; param a = 2\n state x = 0\n x' = sign(time - a) }");
        all_near(&sign.trace("x", &[5.0]), &[1.0]);
    }

    #[test]
    fn conditions_on_states_are_roots_and_clips_are_not() {
        let m = model("model M { time [1]; state x = 1\n x' = if x > 0.5 then -1 else -2\n let c = max(x, 0) }");
        assert_eq!(m.flat.roots.len(), 1);
        all_near(&m.trace("x", &[0.75]), &[0.0]);
        let clipped = model("model M { time [1]; state x = 1\n x' = -max(x, 0.5) + abs(x) - min(x, 1) }");
        assert!(clipped.flat.roots.is_empty() && clipped.flat.events.is_empty());
    }
}

mod assertions {
    use super::*;

    #[test]
    fn margins_of_safe_sets() {
        let m = model(
            "model M { time [s]; state { x [m] = -2; v [m/s] = 1 }\n x' = v\n v' = 0 [m/s^2]\n safe rail: abs(x) <= 2.4 [m]\n \
             safe both: x > -3 [m] and v < 1500 [mm/s]\n safe either: x > 0 [m] or v > 0 [m/s]\n safe out: not (x > 0 [m]) }",
        );
        near(m.get("rail"), 0.4);
        near(m.get("both"), 0.5);
        near(m.get("either"), 1.0);
        near(m.get("out"), 2.0);
    }

    #[test]
    fn expectations_are_converted() {
        let m = model(
            "model M { time [s]; state h(i) [m] = i*1 [m] for i in 1 .. 2\n h(i)' = 0 [m/s]\n expect h(2, 1 [min]) = 2000 [mm] within 1 [mm]\n \
             expect h(1, 0 [s]) = 1 within 1 [%] }",
        );
        let e = &m.flat.expectations;
        assert_eq!((e[0].time, e[0].value, e[0].tolerance), (60.0, 2.0, 0.001));
        assert_eq!((e[1].time, e[1].value, e[1].tolerance), (0.0, 1.0, 0.01));
    }

    /// A exchanges with B in twice its volume; what is checked is the code, if any.
    fn law(law: &str, event: &str) -> Vec<&'static str> {
        read(&format!(
            "model M {{ time [s]\n compartment V1 [L] = 1 {{ A [mM] = 1 }}\n compartment V2 [L] = 2 {{ B [mM] = 1 }}\n \
             param k [1/s] = 1\n A <-> B @ k, k\n conserved {law}\n {event} }}"
        ))
        .codes()
    }

    #[test]
    fn laws_are_proved_with_volumes_and_over_events() {
        assert_eq!(law("V1*A + V2*B", ""), Vec::<&str>::new());
        assert_eq!(law("A + B", ""), ["E0502"]);
        assert_eq!(law("V1*A + V2*B + time*1 [mol/s]", ""), ["E0502"]);
        assert_eq!(law("V1*A + V2*B", "at 1 [s] { k *= 2 }"), Vec::<&str>::new());
        assert_eq!(law("V1*A + V2*B", "at 1 [s] { A += 1 [mM] }"), ["E0502"]);
        assert_eq!(law("V1*A + V2*B", "at 1 [s] { A -= 1 [mM]; B += 1 [mM]*V1/V2 }"), Vec::<&str>::new());
        let moved = |b: &str| {
            read(&format!(
                "model M {{ time [s]; species {{ A [mM] = 1; B [mM] = 0 }}\n param k [1/s] = 1\n A -> B @ k\n conserved A + B\n \
                 at 1 [s] {{ A -= 1 [mM]; B += {b} }} }}"
            ))
            .codes()
        };
        assert_eq!(moved("1000 [uM]"), Vec::<&str>::new());
        assert_eq!(moved("1 [uM]"), ["E0502"]);
    }

    #[test]
    fn a_volume_event_keeps_amounts_and_changes_concentrations() {
        let over = |law: &str, event: &str| {
            read(&format!(
                "model M {{ time [min]; compartment v [L] = 1 {{ A [uM] = 1; B [uM] = 0 }}\n param k [1/min] = 1\n A -> B @ k\n \
                 at 2 [min] {{ {event} }}\n conserved {law} }}"
            ))
            .codes()
        };
        for event in ["v := 4 [L]", "v *= 2", "v += 1 [L]"] {
            assert_eq!(over("v*(A + B)", event), Vec::<&str>::new(), "{event}");
            assert_eq!(over("A + B", event), ["E0502"], "{event}");
            assert_eq!(over("v*(A + B)", &format!("{event}; A := A")), ["E0502"], "{event}");
        }
    }
}

#[test]
fn discrete_states_come_last_and_leaves_are_in_range() {
    let m =
        model("model M { time [1]; discrete n = 3\n param k = 1\n state x = n\n x' = -k*x\n at 1 { n += 1; k := 2 } }");
    let names: Vec<&str> = m.flat.states.iter().map(|s| s.quantity.name.as_str()).collect();
    assert_eq!(names, ["x", "n", "k"]);
    near(m.get("x"), 3.0);
    for k in 0..m.flat.dag.len() {
        if let twinc::expr::Node::Leaf(Leaf::State(k)) = m.flat.dag.node(NodeId(k as u32)) {
            assert!((k as usize) < m.flat.states.len());
        }
    }
}
