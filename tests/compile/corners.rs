//! Corners of the language: numbers against those computed by hand, and texts that a machine must not change.

use std::fs;

use super::meaning::{model, near};
use super::{Checked, Texts, check_with, read};

const HOURS: &str = "model M { time [h]\n ";

/// The codes of a model in hours with these lines.
fn codes(lines: &str) -> Vec<&'static str> {
    read(&format!("{HOURS}{lines}\n}}")).codes()
}

/// 10^2.7123 and 0.5^π by a calculator; the unit of the base leaves no factor behind.
#[test]
fn a_power_that_is_no_fraction_takes_a_pure_base() {
    let m = model(&format!(
        "{HOURS}param {{ a [mM] = 5; K [uM] = 500; q = 2.7123 }}\n const n = 2.7123\n state x [1] = 0; x' = 0\n \
         let z = (a/K)^2.7123; let w = (a/K)^n; let v = (a/K)^q; let y = (50 [%])^3.141592653589793\n \
         let s [1] = (a/K)^2 }}"
    ));
    for name in ["z", "w", "v"] {
        near(m.get(name), 10f64.powf(2.7123));
    }
    assert!((m.get("z") - 515.585).abs() < 1e-3);
    assert!((m.get("y") - 0.113_314_73).abs() < 1e-8);
    near(m.get("s"), 100.0);
    let hill = model(&format!(
        "use hill from std.kinetics\n{HOURS}param {{ a [mM] = 5; K [uM] = 500 }}\n state x [1] = 0; x' = 0\n \
         let z [1] = hill(a, K, 2.7123) }}"
    ));
    near(hill.get("z"), 1.0 / (1.0 + 10f64.powf(-2.7123)));
}

/// 1 mmol in 1 L, then in 1.1, 1.2 (at 6 h the other event), 1.3, 1.5, 1.7 ...
#[test]
fn volume_events_of_one_instant_keep_amounts() {
    let m = model(&format!(
        "{HOURS}compartment V [L] = 1 {{ B [mM] = 1; n [mmol] = 1 }}\n B' = 0; n' = 0\n every 4 [h] {{ V += 0.1 [L] }}\n \
         every 6 [h] {{ V += 0.2 [L] }}\n conserved V*B }}"
    ));
    // At 12 h both happen: 1 + 3·0.1 + 2·0.2 = 1.7.
    let volumes = [1.1, 1.3, 1.4, 1.7];
    for (found, volume) in m.trace("B", &[4.0, 6.0, 8.0, 12.0]).into_iter().zip(volumes) {
        near(found, 1.0 / volume);
    }
    assert!((m.trace("B", &[12.0])[0] - 0.58824).abs() < 1e-5);
    near(m.trace("n", &[12.0])[0], 1.0);
    // A time and a condition that come true together, one of them changing the amount.
    let both = model(&format!(
        "{HOURS}compartment V [L] = 1 {{ B [mM] = 1 }}\n B' = 0\n at 1 [h] {{ V += 1 [L] }}\n \
         when time >= 1 [h] {{ V += 2 [L] }}\n at 1 [h] {{ B *= 3 }} }}"
    ));
    near(both.trace("B", &[2.0])[0], 3.0 / 4.0);
}

/// The derivative after three events of one instant, by hand.
#[test]
fn dilution_by_several_events_has_the_right_derivative() {
    // e^{-1} (1 + a)/(1 + 3a); by a: e^{-1} (−2)/(1 + 3a)².
    let a: f64 = 0.3;
    let m = model(&format!(
        "{HOURS}param a [L] = {a}\n compartment V [L] = 1 {{ B [mM] = 1 }}\n B' = -0.5 [1/h]*B\n at 1 [h] {{ V += a }}\n \
         at 1 [h] {{ V += a*2 }}\n at 1 [h] {{ B *= 1 + a/1 [L] }} }}"
    ));
    let end = m.trace("B", &[2.0])[0];
    assert!((end - (-1f64).exp() * (1.0 + a) / (1.0 + 3.0 * a)).abs() < 1e-8, "{end}");
    let slope = m.sensitivity("B", "a", 2.0);
    let expected = -2.0 * (-1f64).exp() / (1.0 + 3.0 * a).powi(2);
    assert!((slope - expected).abs() < 1e-7, "{slope} instead of {expected}");
}

/// Two vessels of 1 and 2 L: what a reaction moves is an amount, diluted in its own vessel.
#[test]
fn members_stand_in_their_own_compartment() {
    let vessels =
        "compartment V(i) [L] = [1, 2] for i in 1..2 { A(i) [mM] = 1 for i in 1..2; B(i) [mmol] = 0 for i in 1..2 }\n ";
    let m = model(&format!("{HOURS}{vessels}A(i) -> B(i) @ 0.5 [1/h] for i in 1..2\n conserved V(2)*A(2) + B(2) }}"));
    near(m.slope("B(1)"), 0.5);
    near(m.slope("B(2)"), 1.0);
    near(m.slope("A(2)"), -0.5);
    let flow = "A(1) -> A(2) rate 0.3 [L/h]*A(1)\n B(i)' = 0 for i in 1..2\n conserved V(1)*A(1) + V(2)*A(2)";
    let m = model(&format!("{HOURS}{vessels}{flow}\n at 1 [h] {{ V(2) *= 2 }} }}"));
    near(m.slope("A(1)"), -0.3);
    near(m.slope("A(2)"), 0.15);
    // Only vessel 2 grows, and only what is in it is diluted.
    let still = model(&format!(
        "{HOURS}{vessels}A(i)' = 0 for i in 1..2; B(i)' = 0 for i in 1..2\n at 1 [h] {{ V(2) *= 4 }} }}"
    ));
    near(still.trace("A(1)", &[2.0])[0], 1.0);
    near(still.trace("A(2)", &[2.0])[0], 0.25);
    let grown = "V(2)' = 0.1 [1/h]*V(2)\n V(1)' = 0\n A(i) -> 0 @ 0 [1/h] for i in 1..2\n B(i)' = 0 for i in 1..2";
    let m = model(&format!("{HOURS}{vessels}{grown} }}"));
    near(m.slope("A(1)"), 0.0);
    near(m.slope("A(2)"), -0.1);
    assert_eq!(codes(&format!("{vessels}A(1) -> A(2) rate 0.3 [1/h]*A(1)\n B(i)' = 0 for i in 1..2")), ["E0504"]);
    assert_eq!(codes(&format!("{vessels}A(1) + A(2) -> 0 @ 0.3 [1/(mM*h)]\n B(i)' = 0 for i in 1..2")), ["E0504"]);
    assert_eq!(codes("compartment V(i) [L] = 1 for i in 1..2 { A [mM] = 1 }\n A' = 0"), ["E0901"]);
}

/// −0.3 + 0.1 + 0.2 is 5.6e-17 in doubles; a leak of 1e-9 is not rounding.
#[test]
fn laws_with_fractional_coefficients_are_proved() {
    let law = |n: &str| {
        codes(&format!(
            "species {{ A [mM] = 1; B [mM] = 0; C [mM] = 0 }}\n A -> {n} B + 0.2 C @ 1 [1/h]\n conserved 0.3*A + B + C"
        ))
    };
    assert_eq!(law("0.1"), Vec::<&str>::new());
    assert_eq!(law("0.100000001"), ["E0502"]);
}

#[test]
fn spreads_of_observables_are_not_negative() {
    let with =
        |dist: &str, rest: &str| codes(&format!("state x [mM] = 1; x' = 0\n {rest}\n observe y [mM] = x ~ {dist}"));
    for bad in ["Normal(sd = -1)", "LogNormal(gsd = 0.5)", "Laplace(scale = -1)"] {
        assert_eq!(with(bad, ""), ["E0609"], "{bad}");
    }
    assert_eq!(with("Normal(sd = -2*s)", "param s [mM] = 1"), ["E0609"]);
    assert_eq!(with("Normal(sd = 2*s)", "param s [mM] = 1"), Vec::<&str>::new());
    let study = format!(
        "{HOURS}state x [mM] = 1; x' = 0\n observe y [mM] = x ~ Normal(sd = 1) }}\nstudy S of M {{ start y.sd = -1 }}"
    );
    assert_eq!(read(&study).codes(), ["E0609"]);
}

/// `floor(time)` counts the hours, so that the outer `mod` jumps with it and needs no warning.
#[test]
fn a_jump_of_a_jump_is_exact() {
    let m = model(&format!("{HOURS}state x [h] = 0; x' = mod(floor(time/1 [h]), 2) }}"));
    let found = m.trace("x", &[1.0, 2.0, 3.5, 4.5]);
    for (found, expected) in found.into_iter().zip([0.0, 1.0, 1.5, 2.0]) {
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }
    assert_eq!(codes("state x [h] = 0; x' = mod(floor(time/1 [h]), 2)"), Vec::<&str>::new());
    assert_eq!(codes("state x [h] = 0; x' = mod(floor(x/1 [h]), 2)"), ["W0107"]);
}

#[test]
fn units_stand_in_any_order() {
    let of = |units: &str| -> Checked {
        let text = format!("{units}\nmodel M {{ time [s]\n state x [s] = 2 [a]; x' = 0 }}");
        check_with("model.twin", &text, false, &Texts(&[]))
    };
    near(super::meaning::of(of("unit a = 3 [b]\nunit b = 2 [s]").flat()).get("x"), 12.0);
    assert_eq!(of("unit a = 3 [b]\nunit b = 2 [a]").codes().first(), Some(&"E0207"));
    assert_eq!(of("unit a = 3 [b]\nunit b = 2 [frob]").codes().first(), Some(&"E0303"));
    assert_eq!(
        read("use yd from std.units\nmodel M { time [s]\n state x [yd] = 2; x' = 0 }").codes(),
        Vec::<&str>::new()
    );
}

/// The text after `twinc check --fix`.
fn fixed(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.twin");
    fs::write(&path, text).expect("a file");
    let mut command = assert_cmd::Command::cargo_bin("twinc").expect("the binary");
    command.current_dir(folder.path()).args(["check", "--fix", "model.twin"]).env("XDG_CONFIG_HOME", folder.path());
    command.output().expect("the command runs");
    fs::read_to_string(&path).expect("the file")
}

/// A machine repairs where one thing is meant, and leaves the rest to people.
#[test]
fn fixes_are_certain() {
    let reactions = |line: &str| {
        format!(
            "{HOURS}species {{ A [uM] = 3; B [uM] = 0 }}\n param {{ k [1/h] = 0.2; K [uM] = 1; q [1/(uM*h)] = 1 }}\n {line}\n}}\n"
        )
    };
    let repaired = [
        (reactions("A -> B @ k*A"), reactions("A -> B @ k")),
        (reactions("2 A -> B @ q*A^2"), reactions("2 A -> B @ q")),
        (reactions("2 A -> B @ A*q*A"), reactions("2 A -> B @ q")),
        (reactions("A -> B rate 1_000 [uM/h]"), reactions("A -> B rate 1000 [uM/h]")),
        (reactions("A -> B rate k*AA"), reactions("A -> B rate k*A")),
        (reactions("// words"), reactions("# words")),
    ];
    for (text, wanted) in repaired {
        assert_eq!(fixed(&text), wanted);
    }
    let temperatures = |line: &str| format!("{HOURS}state T [degC] = 20\n T' = 0\n {line}\n}}\n");
    let left = [
        reactions("A -> B @ k*(A - B)"),
        reactions("A -> B @ k*A/(1 + A/K)"),
        reactions("A -> B @ k*B"),
        reactions("2 A -> B @ k*A"),
        reactions("A -> B rate 0x10 [uM/h]"),
        reactions("A -> B rate 1e [uM/h]"),
        reactions("A -> B rate k*3xyz"),
        reactions("let z = 3 // 2"),
        reactions("let z = 3 /* a\nb */"),
        reactions("A -> B rate sinn(k)*A"),
        reactions("param w [a] = 1"),
        temperatures("let z = 20 [degC] - T"),
        temperatures("let z = T - 20 [degC]"),
    ];
    for text in left {
        assert_eq!(fixed(&text), text);
    }
    assert_eq!(fixed(&temperatures("let z = T + 20 [degC]")), temperatures("let z = T + 20 [K]"));
}
