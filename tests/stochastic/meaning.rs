//! What a model means when its reactions are counted: units, volumes, laws, events, breakpoints, and what is refused.

use super::*;
use twinc::diag::Diagnostics;
use twinc::system::stochastic::{ChannelLaw, Jumps};
use twinc::system::{At, System, Work};

const AVOGADRO: f64 = 6.02214076e23;

/// Constants of mass action and items of a unit, at the declared values.
fn tables(model: &Counted) -> (Vec<f64>, Vec<f64>) {
    let flat = model.kernels.model();
    let (p, _) = declared(flat);
    let mut x = vec![0.0; flat.states.len()];
    let mut work = model.kernels.work();
    model.kernels.initial_state(At { t: 0.0, x: &vec![0.0; x.len()], u: &[], d: &[], p: &p }, &mut work, &mut x);
    let at = At { t: 0.0, x: &x, u: &[], d: &[], p: &p };
    let mut constants = vec![0.0; flat.reactions.len()];
    let mut items = vec![0.0; x.len()];
    model.jumps.constants(at, &mut work, &mut constants);
    model.jumps.counts(at, &mut work, &mut items);
    (constants, items)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs()
}

#[test]
fn concentrations_are_counted_by_volume_and_avogadro() {
    let model = counted(
        "model M { time [s]; compartment V [fL] = 2 { A [uM] = 1; B [nM] = 0 }
         param { k [1/(uM*s)] = 0.3; z [uM/s] = 5; d [1/min] = 6 }
         reaction { 2 A -> B @ k; 0 -> A @ z; A -> 0 @ d } }",
    );
    let (constants, items) = tables(&model);
    // 1 uM in 2 fL is 1e-6 mol/L 2e-15 L N_A.
    let omega = 2e-21 * AVOGADRO;
    assert!(near(items[model.state("A")], omega) && near(items[model.state("B")], 1e-3 * omega), "{items:?}");
    // k n (n − 1)/(V N_A), z V N_A, d per second.
    assert!(near(constants[0], 0.3 / omega), "{constants:?}");
    assert!(near(constants[1], 5.0 * omega) && near(constants[2], 0.1), "{constants:?}");
    assert_eq!(model.jumps.channels()[0].law, ChannelLaw::MassAction(vec![(0, 2)]));
    assert_eq!(model.jumps.channels()[0].changes, [(0, -2.0), (1, 1.0)]);
}

#[test]
fn amounts_are_counted_without_a_volume_and_drive_by_their_concentration() {
    let model = counted(
        "model M { time [s]; compartment V [L] = 1e-15 { A [items] = 50; B [amol] = 0 }
         param k [L/(umol*s)] = 0.3; reaction A + A -> B @ k }",
    );
    let (constants, items) = tables(&model);
    assert!(near(items[0], 1.0) && near(items[1], 1e-18 * AVOGADRO), "{items:?}");
    // The same as for 1 fL: 0.3/(1e-6 1e-15 N_A).
    assert!(near(constants[0], 0.3 / (1e-21 * AVOGADRO)), "{constants:?}");
    assert_eq!(model.jumps.channels()[0].law, ChannelLaw::MassAction(vec![(0, 2)]));
}

/// In the limit of many items a propensity is the rate of the equations: Σ ν a/items = dx/dt.
#[test]
fn propensities_add_up_to_the_equations() {
    let model = counted(
        "use mm from std.kinetics
         model M { time [s]; compartment V [pL] = 3 { A [uM] = 700; B [nmol] = 2e-3; F [mM] = 0.1 fixed }
         compartment W [fL] = 900 { C [uM] = 40; D [nM] = 3e4 }
         param { k1 [1/(mM*s)] = 2; k2 [1/s] = 0.7; k3 [1/(uM*s)] = 0.01; v [uM/s] = 4; km [uM] = 30; p [pL/s] = 0.2 }
         reaction { A + B <-> A + 2 B @ k3, 1e-5 [1/(uM^2*s)]; A -> 0 rate mm(A, v, km)
                    move: A -> C rate p*A; C -> D @ k2; F + A -> B @ k1; 2 C + D -> 3 D @ 1e-6 [1/(uM^2*s)] } }",
    );
    let flat = model.kernels.model();
    let (p, _) = declared(flat);
    let mut work = model.kernels.work();
    let mut x = vec![0.0; flat.states.len()];
    model.kernels.initial_state(At { t: 0.0, x: &vec![0.0; x.len()], u: &[], d: &[], p: &p }, &mut work, &mut x);
    let at = At { t: 0.0, x: &x, u: &[], d: &[], p: &p };
    let mut dx = vec![0.0; x.len()];
    model.kernels.rhs(at, &mut work, &mut dx);
    let (constants, items) = tables(&model);
    let mut sum = vec![0.0; x.len()];
    let mut size = vec![0.0_f64; x.len()];
    for (k, channel) in model.jumps.channels().iter().enumerate() {
        let a = match &channel.law {
            ChannelLaw::MassAction(list) => list
                .iter()
                .fold(constants[k], |a, &(state, m)| a * (x[state as usize] * items[state as usize]).powi(m as i32)),
            ChannelLaw::Function(_) => model.jumps.propensity(k, at, &mut Work::default()),
        };
        assert!(a > 0.0, "{k}");
        for &(state, change) in &channel.changes {
            sum[state as usize] += change * a / items[state as usize];
            size[state as usize] += (change * a / items[state as usize]).abs();
        }
    }
    for state in 0..x.len() {
        let name = &flat.states[state].quantity.name;
        assert!((sum[state] - dx[state]).abs() < 1e-12 * size[state], "{name}: {} {}", sum[state], dx[state]);
    }
}

/// A boundary species takes part with its falling product and is not moved.
#[test]
fn fixed_species_drive_and_stay() {
    let model = counted("model M { species { F = 4 fixed; P = 0 }; param k = 0.5; reaction 2 F -> P @ k }");
    let (constants, _) = tables(&model);
    assert_eq!(constants, [0.5 * 4.0 * 3.0]);
    assert_eq!(model.jumps.channels()[0].changes, [(0, 1.0)]);
}

/// Births at a rate that changes at known times: the number born is Poisson with the integral of the rate.
#[test]
fn rates_change_exactly_at_breakpoints() {
    for text in [
        "model M { species A = 0; param r = 30; reaction 0 -> A rate if time < 2 then r else 3*r }",
        "model M { species A = 0; param r = 30; at 2 { r *= 3 }; reaction 0 -> A @ r }",
        "model M { species A = 0; discrete q = 1; every 2 until 3 { q := 3 }; reaction 0 -> A @ 30*q }",
    ] {
        let model = counted(text);
        for method in [StochasticMethod::Ssa, StochasticMethod::TauLeap] {
            let paths = model.paths(StochasticOptions::new(method), "A", &[2.0, 3.0], 2000);
            let values = |row: usize| paths.iter().map(|p| p[row]).collect::<Vec<f64>>();
            assert_moments(&values(0), 60.0, 60.0, text);
            assert_moments(&values(1), 150.0, 150.0, text);
        }
    }
}

/// A condition on a count fires at the very reaction that makes it true, once.
#[test]
fn conditions_fire_at_the_reaction_that_makes_them_true() {
    let model = counted(
        "model M { species A = 0; param k = 10; discrete n = 0; reaction 0 -> A @ k
         when A >= 7 { A -= 7; n += 1 } }",
    );
    let samples: Vec<f64> = (0..=100).map(|k| f64::from(k) * 0.1).collect();
    let mut solver = model.solver(StochasticMethod::Ssa, Selection::Auto);
    let (outcome, seen) = path(&mut solver, model.kernels.model(), &samples, 4, 0);
    let (a, n) = (model.state("A"), model.state("n"));
    assert!(seen.iter().all(|x| x[a] < 7.0));
    let last = seen.last().expect("rows");
    assert_eq!(last[a] + 7.0 * last[n], outcome.statistics.steps as f64);
    assert!(last[n] > 5.0, "{last:?}");
}

/// A volume set by an event keeps the items.
#[test]
fn a_new_volume_keeps_the_items() {
    let model = counted(
        "model M { time [s]; compartment V [fL] = 1 { A [nM] = 100; B [nM] = 0 }; param k [1/s] = 1e-9
         reaction A -> B @ k; at 1 [s] { V := 7.3 [fL] } }",
    );
    let (_, seen) =
        path(&mut model.solver(StochasticMethod::Ssa, Selection::Auto), model.kernels.model(), &[0.5, 1.5], 1, 0);
    // 100 nM in 1 fL is 60.2 items: 60 are there.
    let items = |x: f64, volume: f64| x * 1e-9 * volume * 1e-15 * AVOGADRO;
    assert!(near(items(seen[0][0], 1.0), 60.0) && near(items(seen[1][0], 7.3), 60.0), "{seen:?}");
}

/// A law that is not zero where there is nothing left does not make counts negative.
#[test]
fn a_reaction_without_its_reactants_does_not_happen() {
    let model = counted("model M { species A = 5; param v = 10; reaction 2 A -> 0 rate v }");
    for method in [StochasticMethod::Ssa, StochasticMethod::TauLeap] {
        let (outcome, seen) = path(&mut model.solver(method, Selection::Auto), model.kernels.model(), &[100.0], 1, 0);
        assert_eq!((outcome.status.is_success(), seen[0][0]), (true, 1.0));
    }
}

#[test]
fn a_negative_rate_and_a_negative_count_end_the_path() {
    use twinc::integrate::Status;
    let model = counted("model M { species { A = 5; B = 5 }; param v = 1; reaction A -> B rate v*(A - 3) }");
    let (outcome, _) =
        path(&mut model.solver(StochasticMethod::Ssa, Selection::Auto), model.kernels.model(), &[100.0], 1, 0);
    assert!(outcome.status.is_success(), "A stops at 3: {outcome:?}");
    let model = counted("model M { species { A = 1; B = 5 }; param v = 1; reaction A -> B rate v*(A - 3) }");
    let (outcome, _) =
        path(&mut model.solver(StochasticMethod::Ssa, Selection::Auto), model.kernels.model(), &[100.0], 1, 0);
    assert_eq!(outcome.status, Status::BadRate { t: 0.0, reaction: 0 });
    let model = counted("model M { species A = 3; param k = 0.001; reaction A -> 0 @ k; at 1 { A -= 5 } }");
    let (outcome, _) =
        path(&mut model.solver(StochasticMethod::Ssa, Selection::Auto), model.kernels.model(), &[100.0], 1, 0);
    assert!(matches!(outcome.status, Status::NegativeCount { t: 1.0, state: 0 }), "{outcome:?}");
}

#[test]
fn limits_end_a_path_with_a_status() {
    use twinc::integrate::Status;
    let model = counted("model M { species A = 1; param k = 1; reaction A -> 2 A @ k }");
    let options = StochasticOptions { max_steps: 5000, ..StochasticOptions::new(StochasticMethod::Ssa) };
    let (outcome, _) = path(&mut model.solver_with(options), model.kernels.model(), &[1e9], 1, 0);
    assert!(matches!(outcome.status, Status::StepLimit { worst_state: 0, .. }), "{outcome:?}");
    let model = counted(
        "model M { species A = 1; discrete n = 0; param k = 1; reaction A -> 2 A @ k
        when A > 3 and n < 1 { n := 1 }; when n > 0 { n := 0 } }",
    );
    let (outcome, _) =
        path(&mut model.solver(StochasticMethod::Ssa, Selection::Auto), model.kernels.model(), &[1e9], 1, 0);
    assert!(matches!(outcome.status, Status::EventStorm { .. }), "{outcome:?}");
}

/// What keeps models from being counted, as a user sees it.
#[test]
fn what_cannot_be_counted_says_why() {
    let cases = [
        "species { A = 5; B = 0 }; param k = 1; reaction A <-> B rate k*(A - B)",
        "species { A = 5; B = 0 }; param k = 1; reaction 2 A -> 0.5 B @ k",
        "species { A = 5; B = 0 }; param k = 1; state x = 1; x' = -x; reaction A -> B @ k",
        "time [s]; species { A [uM] = 5; B [uM] = 0 }; param k [1/s] = 1; reaction A -> B @ k",
        "time [s]; species { A [g/L] = 5; B [g/L] = 0 }; param k [1/s] = 1; reaction A -> B @ k",
        "species { A = 5; B = 0 }; param k = 1; reaction A -> B rate k*A*exp(-time)",
        "species { A = 5; B = 0 }; param k = 1; reaction A -> B @ k; when A < 10 - time { B := 0 }",
        "species { A = 5; B = 0 }; param k = 1; noise w; reaction A -> B @ k",
    ];
    let mut shown = String::new();
    for text in cases {
        let checked = read(&format!("model M {{ {text} }}"));
        assert!(!checked.diagnostics.has_errors(), "{}", checked.shown());
        let mut found = Diagnostics::default();
        let model = checked.module.models.last().expect("a model");
        let flat = flatten_counting(model, &Variation::default(), &mut found).expect("flat");
        flat.check_jumps(&mut found);
        assert!(found.has_errors(), "{text}");
        for d in found.iter() {
            shown.push_str(&twinc::cli::render::human(d, &checked.sources, twinc::cli::render::Look::default()));
        }
    }
    insta::assert_snapshot!(shown);
}

/// Noise where it has no meaning, as a user sees it.
#[test]
fn noise_in_the_wrong_place_says_so() {
    let cases = [
        "noise w; state x = 1; x' = -x + w",
        "noise w; state x = 1; let y = 2*w'; x' = -x + y",
        "noise w; state x = 1; x' = -x + w'^2",
        "noise w; state x = 1; x' = -x + w'; conserved x^2",
        "noise w; species A = 1; reaction A -> 0 rate A + w'",
        "noise w = 3; state x = 1; x' = -x + w'",
        "time [s]; noise w; state x [g] = 1; x' = -x/(1 [s]) + 2 [g/s]*w'",
        "noise w; state x = 1; w' = 2; x' = w'",
    ];
    let mut shown = String::new();
    for text in cases {
        let checked = read(&format!("model M {{ {text} }}"));
        assert!(checked.diagnostics.has_errors(), "{text}");
        shown.push_str(&checked.shown());
    }
    insta::assert_snapshot!(shown);
}
