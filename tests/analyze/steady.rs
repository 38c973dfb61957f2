//! Steady states against closed forms.

use super::Subject;
use twinc::analyze::{NotSteady, Reason, Stage};
use twinc::integrate::{Integrator, Method, Options, Problem, Sample, Start, Tolerance};

fn close(value: f64, exact: f64, tolerance: f64) {
    assert!((value - exact).abs() <= tolerance * exact.abs().max(1e-30), "{value} against {exact}");
}

/// Influx f, Michaelis–Menten turnover: S = f Km/(Vmax − f).
#[test]
fn turnover_by_michaelis_and_menten() {
    let subject = Subject::new(
        "model M { time [s]; species { S [uM] = 0; P [uM] = 0 }
        param { f [uM/s] = 0.4; Vmax [uM/s] = 1; Km [uM] = 3; d [1/s] = 0.2 }
        reaction { 0 -> S rate f; S -> P rate Vmax*S/(Km + S); P -> 0 @ d } }",
    );
    let steady = subject.steady();
    close(subject.value(&steady, "S"), 0.4 * 3.0 / 0.6, 1e-9);
    close(subject.value(&steady, "P"), 0.4 / 0.2, 1e-9);
    assert_eq!(steady.stage, Stage::Newton);
    let stability = steady.stability.clone().expect("eigenvalues");
    // -Vmax Km/(Km + S)² and -d.
    let slope = -3.0 / 25.0;
    close(stability.eigenvalues[0].re, slope, 1e-8);
    close(stability.eigenvalues[1].re, -0.2, 1e-8);
    subject.check_slopes(1e-6);
}

/// A ⇌ B ⇌ C with total T: shares are products of equilibrium constants.
#[test]
fn a_reversible_chain_keeps_its_total() {
    let subject = Subject::new(
        "model M { time [s]; species { A [uM] = 7; B [uM] = 1; C [uM] = 2 }
        param { k1 [1/s] = 2; r1 [1/s] = 1; k2 [1/s] = 3; r2 [1/s] = 0.5 }
        reaction { A <-> B @ k1, r1; B <-> C @ k2, r2 } }",
    );
    let steady = subject.steady();
    let parts = 1.0 + 2.0 + 12.0;
    for (name, share) in [("A", 1.0), ("B", 2.0), ("C", 12.0)] {
        close(subject.value(&steady, name), 10.0 * share / parts, 1e-10);
    }
    assert_eq!(steady.stability.as_ref().expect("eigenvalues").eigenvalues.len(), 2);
    subject.check_slopes(1e-6);
}

/// Volumes that are parameters: the law itself has derivatives.
#[test]
fn exchange_between_volumes() {
    let subject = Subject::new(
        "model M { time [s]
        param { k [L/s] = 0.2; V1 [L] = 2; V2 [L] = 5; A0 [uM] = 3 }
        state { A [uM] = A0; B [uM] = 0.5 }
        let v [umol/s] = k*(A - 2*B)
        A' = -v/V1
        B' = v/V2 }",
    );
    let steady = subject.steady();
    // A = 2 B and 2 A + 5 B = 6 + 2.5.
    close(subject.value(&steady, "B"), 8.5 / 9.0, 1e-10);
    subject.check_slopes(1e-6);
}

const SWITCH: &str = "model Switch { time [h]; species X [uM] = 0.1
    param { leak [uM/h] = 0.05; v [uM/h] = 1; K [uM] = 0.5; d [1/h] = 1 }
    reaction { 0 -> X rate leak + v*X^4/(K^4 + X^4); X -> 0 @ d } }";

/// A Hill switch has two stable states and one between them; each start ends where its own run ends.
#[test]
fn a_switch_goes_from_each_side_to_its_own_state() {
    let subject = Subject::new(SWITCH);
    let f = |x: f64| 0.05 + x.powi(4) / (0.0625 + x.powi(4)) - x;
    // Roots by bisection.
    let root = |mut a: f64, mut b: f64| {
        let sign = f(a).signum();
        for _ in 0..200 {
            let m = 0.5 * (a + b);
            if f(m).signum() == sign { a = m } else { b = m }
        }
        0.5 * (a + b)
    };
    let (low, middle, high) = (root(0.0, 0.2), root(0.2, 0.6), root(0.6, 2.0));
    for x0 in [0.0, 0.1, 0.2, 0.3, middle - 0.02, middle + 0.02, 0.6, 0.8, 1.0, 3.0, 50.0] {
        let found = subject.start(&subject.p, Start::Given(&[x0]), &[]).expect("a steady state").steady;
        let exact = if x0 < middle { low } else { high };
        assert!((found.x[0] - exact).abs() < 1e-9, "from {x0}: {} by {:?}", found.x[0], found.stage);
        assert!(found.stability.expect("eigenvalues").is_stable());
    }
}

/// The ring oscillates around a point that Newton finds and nothing else does; all three genes are alike there.
#[test]
fn the_repressilator_has_an_unstable_point() {
    let subject = Subject::shipped("repressilator", "Repressilator");
    let steady = subject.steady();
    assert_eq!(steady.stage, Stage::Newton);
    let [p, q, r] = ["LacI", "TetR", "CI"].map(|name| subject.value(&steady, name));
    close(q, p, 1e-9);
    close(r, p, 1e-9);
    // Protein: yield d_m m/d_p with d_m m = 60 (k_leak + (k_full − k_leak)/(1 + (p/K)²)) per minute.
    let transcription = 60.0 * (5e-4 + 0.4995 / (1.0 + (p / 40.0_f64).powi(2)));
    close(p, 20.0 * transcription / (2.0_f64.ln() / 10.0), 1e-8);
    let stability = steady.stability.expect("eigenvalues");
    assert!(!stability.is_stable());
    // Elowitz and Leibler's analysis: a pair of complex eigenvalues crosses.
    assert!(stability.eigenvalues[0].re > 0.0 && stability.eigenvalues[0].im > 0.0);
    assert!(steady.earlier.iter().any(|a| matches!(a.reason, Reason::Unsettled { .. })), "{:?}", steady.earlier);
    subject.start(&subject.p, Start::Model, &[]).expect("again");
}

/// Constant influx without outflow: every stage says so, and where.
#[test]
fn linear_growth_has_no_steady_state() {
    let subject = Subject::new(
        "model Growth { time [h]; species { A [uM] = 1; B [uM] = 0 }; param { f [uM/h] = 2; k [1/h] = 1 }
        reaction { 0 -> B rate f; A -> 0 @ k } }",
    );
    let Err(NotSteady::Failed(attempts)) = subject.start(&subject.p, Start::Model, &[]) else { panic!("steady?") };
    assert_eq!(attempts.last().map(|a| (a.stage, a.worst_state)), Some((Stage::Integration, subject.state("B"))));
    close(attempts[attempts.len() - 1].rate, 2.0, 1e-12);
}

/// All of it ends in y3.
#[test]
fn robertson_ends_in_its_product() {
    let subject = Subject::shipped("robertson", "Robertson");
    let steady = subject.steady();
    close(subject.value(&steady, "y3"), 1.0, 1e-9);
    assert!(steady.x[0].abs() < 1e-9 && steady.x[1].abs() < 1e-12, "{:?}", steady.x);
    assert!(steady.stability.is_some_and(|s| s.is_stable() && s.eigenvalues.len() == 2));
}

/// Basal glucose: with p1 > 0 it is Gb; without, every level is steady and the start keeps its own.
#[test]
fn basal_glucose() {
    let fed = Subject::shipped("bergman", "Bergman");
    assert!(matches!(fed.start(&fed.p, Start::Model, &[]), Err(NotSteady::TimeDependent { .. })));
    let subject = Subject::shipped("bergman", "Bergman").set("D0", 0.0).set("p1", 0.02);
    let found = subject.start(&subject.p, Start::Given(&[200.0, 0.003, 12.0]), &[]).expect("a steady state").steady;
    close(found.x[0], 138.0, 1e-9);
    close(found.x[2], 7.0, 1e-9);
    let line = Subject::shipped("bergman", "Bergman").set("D0", 0.0);
    let found = line.start(&line.p, Start::Given(&[200.0, 0.0, 9.0]), &[]).expect("a steady state").steady;
    // ln G falls by ∫ X dt = p3/p2 ∫ (I − Ib) dt = p3 (I0 − Ib)/(p2 n).
    let exact = 200.0 * (-1.5e-5 * 2.0 / (0.0142 * 0.2814_f64)).exp();
    close(found.x[0], exact, 1e-6);
    assert!(!found.is_isolated && found.stage == Stage::Integration);
    let directions = [twinc::integrate::Direction::parameter(0)];
    assert_eq!(line.start(&line.p, Start::Given(&[200.0, 0.0, 9.0]), &directions), Err(NotSteady::NoDerivative));
}

/// The large glucose model at rest against a long integration.
#[test]
fn hovorka_at_rest() {
    let subject = Subject::shipped("hovorka", "Hovorka").set("D_G", 0.0);
    let steady = subject.steady();
    let options =
        Options { method: Method::Rodas5p, rtol: 1e-10, atol: Tolerance::Scalar(1e-12), ..Options::default() };
    let mut integrator = Integrator::new(&subject.kernels, options).expect("options");
    let problem = Problem {
        t0: 0.0,
        t1: 1e6,
        start: Start::Model,
        p: &subject.p,
        forcing: &subject.forcing,
        directions: &[],
        resumes: false,
    };
    assert!(integrator.solve(&problem, &[], &mut |_: Sample<'_>| {}).expect("a problem").status.is_success());
    for (value, exact) in steady.x.iter().zip(integrator.state()) {
        assert!((value - exact).abs() <= 1e-7 * exact.abs().max(1e-6), "{value} against {exact}");
    }
}

/// Exponential growth, and a rate that is no number: a status and no endless search.
#[test]
fn what_runs_away_ends() {
    let subject = Subject::new("model M { time [s]; state x [1] = 1; param k [1/s] = 1; x' = k*x + 1 [1/s] }");
    // The steady state −1 is unstable, and the solution runs away from it.
    let found = subject.start(&subject.p, Start::Model, &[]).expect("the unstable point").steady;
    close(found.x[0], -1.0, 1e-9);
    assert!(found.stability.is_some_and(|s| !s.is_stable()));
    let subject = Subject::new("model M { time [s]; state x [1] = -1; param k [1/s] = 1; x' = -k*sqrt(x) }");
    let Err(NotSteady::Failed(attempts)) = subject.start(&subject.p, Start::Model, &[]) else { panic!("steady?") };
    assert!(attempts.iter().all(|a| matches!(a.reason, Reason::NonFinite { state: 0 })), "{attempts:?}");
}

/// A pair of enzymes around a cycle, with laws, in a start far from it.
#[test]
fn derivatives_of_a_cycle_with_saturation() {
    let subject = Subject::new(
        "model Cycle { time [s]; species { W [uM] = 10; Wp [uM] = 0; E [uM] = 1; EW [uM] = 0 }
        param { a [1/(uM*s)] = 1; d [1/s] = 2; k [1/s] = 1; v [uM/s] = 0.5; K [uM] = 1 }
        reaction { E + W <-> EW @ a, d; EW -> E + Wp @ k; Wp -> W rate v*Wp/(K + Wp) } }",
    );
    let steady = subject.steady();
    // The flux through the enzyme is that back.
    let (ew, wp) = (subject.value(&steady, "EW"), subject.value(&steady, "Wp"));
    close(ew, 0.5 * wp / (1.0 + wp), 1e-9);
    close(subject.value(&steady, "W") + wp + ew, 10.0, 1e-12);
    subject.check_slopes(1e-6);
}
