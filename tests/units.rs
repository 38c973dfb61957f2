//! Unit texts, conversion factors and inference against published values and the laws of algebra.

use proptest::prelude::*;
use twinc::diag::Code;
use twinc::units::{Equated, Form, Ratio, Solver, Unit, UnitError, Units};

fn unit(text: &str) -> Unit {
    Units::standard().parse(text).unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.help))
}

fn refused(text: &str) -> UnitError {
    match Units::standard().parse(text) {
        Ok(unit) => panic!("`{text}` was read as {unit}"),
        Err(error) => error,
    }
}

fn factor(from: &str, to: &str) -> f64 {
    unit(from).factor_to(&unit(to)).unwrap_or_else(|| panic!("{from} does not convert to {to}"))
}

/// True where `a` and `b` differ by at most `ulps` units in the last place.
fn within(a: f64, b: f64, ulps: f64) -> bool {
    (a - b).abs() <= ulps * f64::EPSILON * b.abs()
}

mod conversions {
    use super::*;

    #[test]
    fn are_exact_where_the_definition_is() {
        // SI prefixes, min, h, d, L: SI Brochure, 9th ed., tables 7 and 8. Every factor is the nearest `f64`.
        for (from, to, expected) in [
            ("uM", "mM", 1e-3),
            ("mM", "M", 1e-3),
            ("nM", "uM", 1e-3),
            ("M", "mol/m^3", 1000.0),
            ("mol/L", "M", 1.0),
            ("mmol/L", "uM", 1000.0),
            ("min", "s", 60.0),
            ("h", "min", 60.0),
            ("h", "s", 3600.0),
            ("d", "h", 24.0),
            ("s", "min", 1.0 / 60.0),
            ("1/h", "1/s", 1.0 / 3600.0),
            ("week", "d", 7.0),
            ("year", "d", 365.25),
            ("mg/dL", "g/L", 1e-2),
            ("mg/dL/min", "mg/(dL*h)", 60.0),
            ("mU/L", "IU/L", 1e-3),
            ("U", "IU", 1.0),
            ("L/s/m^2", "m/s", 1e-3),
            ("L/s", "m^3/h", 3.6),
            ("kJ/h", "W", 1000.0 / 3600.0),
            ("kJ/(kg*K)", "J/(g*K)", 1.0),
            ("kg/L", "g/cm^3", 1.0),
            ("kWh", "MJ", 3.6),
            ("bar", "Pa", 1e5),
            ("bar^(1/2)", "Pa^0.5", 1e5_f64.sqrt()),
            ("L/(s*bar^(1/2))", "m^3/(s*Pa^(1/2))", 1e-3 / 1e5_f64.sqrt()),
            ("%", "1", 1e-2),
            ("rad/s", "1/s", 1.0),
            ("umol/min", "nkat", 1000.0 / 60.0),
            ("kat", "mol/s", 1.0),
            ("um", "\u{b5}m", 1.0),
            ("\u{3bc}M", "uM", 1.0),
            ("dam", "m", 10.0),
            ("Mg", "t", 1.0),
            ("kOhm", "V/mA", 1.0),
            ("S", "1/Ohm", 1.0),
            ("N", "kg*m/s^2", 1.0),
            ("cells/mL", "cell/L", 1000.0),
        ] {
            assert_eq!(factor(from, to), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn agree_with_published_constants() {
        for (from, to, published, relative_tolerance) in [
            // SI Brochure 2019, table 1 and section 2.3: exact.
            ("mol", "items", 6.02214076e23, 0.0),
            ("eV", "J", 1.602176634e-19, 0.0),
            // CODATA 2018 (Tiesinga et al., Rev. Mod. Phys. 93, 025010, 2021): 1.66053906660(50)e-27 kg.
            ("Da", "kg", 1.66053906660e-27, 3.0e-9),
            // CODATA 2018: molar mass constant 0.99999999965(30)e-3 kg/mol.
            ("Da/molecule", "g/mol", 0.99999999965, 2.0e-9),
            // NIST SP 811 (2008), appendix B.8, printed to seven digits.
            ("atm", "Pa", 1.01325e5, 0.0),
            ("mmHg", "Pa", 1.333224e2, 5e-7),
            ("Torr", "Pa", 1.333224e2, 5e-7),
            ("psi", "Pa", 6.894757e3, 5e-8),
            ("cal", "J", 4.184, 0.0),
            ("hp", "W", 7.456999e2, 2e-7),
            ("gal", "L", 3.785412, 1e-7),
            ("knot", "m/s", 5.144444e-1, 1e-7),
            ("mile", "km", 1.609344, 0.0),
            ("lb", "kg", 4.5359237e-1, 0.0),
            ("deg", "rad", 1.745329e-2, 3e-7),
            // The gas constant in two systems of units: 8.314462618 J/(mol K) = 0.08205736608 L atm/(mol K).
            ("L*atm", "J", 8.314462618 / 0.08205736608, 1e-9),
            // The Faraday constant, 96485.33212 C/mol, is the charge of the electron times Avogadro's number.
            ("eV*molecules/V", "C*mol", 1.602176634e-19 / 6.02214076e23, 1e-15),
        ] {
            let found = factor(from, to);
            let difference = (found / published - 1.0).abs();
            assert!(difference <= relative_tolerance, "{from} -> {to}: {found} against {published}");
        }
    }

    #[test]
    fn do_not_exist_between_dimensions() {
        for (from, to) in
            [("g/L", "mol/L"), ("IU", "mol"), ("OD", "cell/L"), ("m", "s"), ("kat", "U"), ("cell", "item")]
        {
            assert_eq!(unit(from).factor_to(&unit(to)), None, "{from} -> {to}");
        }
    }

    #[test]
    fn degrees_are_pi_over_180() {
        assert_eq!(factor("deg", "rad"), std::f64::consts::PI / 180.0);
        assert_eq!(factor("rad", "1"), 1.0);
        assert_eq!(unit("%").scale_to_one(), Some(0.01));
        assert_eq!(unit("mM/M").scale_to_one(), Some(1e-3));
        assert_eq!(unit("m").scale_to_one(), None);
    }

    #[test]
    fn celsius_shifts_alone_and_is_kelvin_in_compounds() {
        let celsius = unit("degC");
        assert_eq!(celsius.offset(), 273.15);
        assert_eq!(celsius.factor_to(&unit("K")), Some(1.0));
        assert_ne!(celsius, unit("K"));
        assert_eq!(celsius.without_offset(), unit("K"));
        assert_eq!(celsius.without_offset().to_string(), "K");
        assert_eq!(unit("(degC)"), celsius);
        for (compound, shown) in [("kJ/(kg*degC)", "kJ/(kg*K)"), ("degC^2", "K^2"), ("1/degC", "1/K"), ("degC*1", "K")]
        {
            assert_eq!(unit(compound).offset(), 0.0, "{compound}");
            assert_eq!(unit(compound).to_string(), shown);
        }
        assert_eq!(unit("K").offset(), 0.0);
    }

    #[test]
    fn every_unit_of_the_language_manual_is_read() {
        for text in [
            "s",
            "uM",
            "1/(uM*s)",
            "1/s",
            "h",
            "mol/L",
            "degC",
            "1/h",
            "kJ/h",
            "L/(mol*h)",
            "K",
            "kJ/mol",
            "kg/L",
            "kg",
            "kJ/(kg*K)",
            "kJ/(h*K)",
            "L",
            "min",
            "mg/dL",
            "1/min",
            "mU/L",
            "mg/dL/min",
            "L/(mU*min^2)",
            "mU/L/min",
            "N",
            "m",
            "m/s",
            "rad",
            "deg",
            "rad/s",
            "mM",
            "bar",
            "L/s",
            "m^2",
            "L/(s*bar^(1/2))",
            "mg",
            "L/h",
            "mg/L",
            "d",
            "1",
            "mol",
            "mmol",
            "items",
            "mmol/L",
            "g/mol",
            "umol/min",
            "kat",
            "m^3/(mol*s)",
            "uM/s",
            "kJ/(mol*K)",
        ] {
            unit(text);
        }
    }
}

mod texts {
    use super::*;

    #[test]
    fn are_shown_as_people_write_them() {
        for (text, shown) in [
            ("kJ/(mol*K)", "kJ/(mol*K)"),
            ("kJ/mol/K", "kJ/(mol*K)"),
            ("1/s", "1/s"),
            ("s^-1", "1/s"),
            ("mg/dL/min", "mg/(dL*min)"),
            ("bar^0.5", "bar^(1/2)"),
            ("m*m/m", "m"),
            ("m/m", "1"),
            ("M*L/mol", "1"),
            ("rad", "rad"),
            ("%", "%"),
            ("  kg / m ^ 3 ", "kg/m^3"),
            ("((m))", "m"),
            ("(kg*m/s^2)^2", "kg^2*m^2/s^4"),
            ("m^(-3/2)", "1/m^(3/2)"),
            ("m^0", "1"),
            ("\u{b5}M", "uM"),
        ] {
            assert_eq!(unit(text).to_string(), shown, "{text}");
        }
        let od = unit("cell/L").scaled(1e9).map(|unit| unit.to_string());
        assert_eq!(od.as_deref(), Some("1e9*cell/L"));
    }

    #[test]
    fn come_with_a_repair_where_the_meaning_is_plain() {
        for (text, at, replacement) in [
            ("m2", "m2", "m^2"),
            ("1/m2", "m2", "m^2"),
            ("kg*m-3", "m-3", "m^-3"),
            ("m²", "m²", "m^2"),
            ("mol·L⁻¹", "·", "*"),
            ("L⁻¹", "L⁻¹", "L^-1"),
            ("(m/s)²", "(m/s)²", "(m/s)^2"),
            ("°C", "°C", "degC"),
            ("kJ/°C", "°C", "degC"),
            ("℃", "℃", "degC"),
            ("°", "°", "deg"),
            ("m**2", "**", "^"),
            ("sec", "sec", "s"),
            ("1/hour", "hour", "h"),
            ("micromolar", "micromolar", "uM"),
            ("KJ", "KJ", "kJ"),
            ("mmhg", "mmhg", "mmHg"),
            ("degc", "degc", "degC"),
            ("-", "-", "1"),
        ] {
            let error = refused(text);
            assert_eq!(&text[error.range.clone()], at, "{text}: {error}");
            assert_eq!(error.replacement.as_deref(), Some(replacement), "{text}: {error}");
        }
    }

    /// Every message of the module, as prose.
    #[test]
    fn that_are_not_read_say_why() {
        let units = Units::standard();
        let deep = format!("{}m{}", "(".repeat(300), ")".repeat(300));
        let mut lines = String::new();
        for text in [
            "",
            "  ",
            "m2",
            "kg m",
            "kg 2",
            "2*m",
            "1e9 cell",
            "m/",
            "*m",
            "m)",
            "(m",
            "m^",
            "m^x",
            "m^(1/0)",
            "m^(1/2",
            "m^99999999999",
            "((m^60000)^60000)^60000",
            "km^200",
            "furlong",
            "celz",
            "x",
            "°C",
            "°F",
            "mol·L",
            "m$",
            "m^.5",
            "m^2.",
            "1m",
            "kcall",
            &deep,
        ] {
            let shown = if text.len() > 40 { "((((...m...))))" } else { text };
            match units.parse(text) {
                Ok(unit) => lines.push_str(&format!("[{shown}] = {unit}\n")),
                Err(e) => {
                    let at = &text[e.range.clone()];
                    let help = e.help.unwrap_or_default();
                    lines.push_str(&format!("[{shown}] {} at `{at}`: {}\n    {help}\n", e.code, e.message));
                }
            }
        }
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn nest_up_to_the_limit() {
        let depth = twinc::limits::MAX_NESTING;
        assert_eq!(unit(&format!("{}m{}", "(".repeat(depth), ")".repeat(depth))), unit("m"));
        let error = refused(&format!("{}m", "(".repeat(1_000_000)));
        assert!(error.message.contains("deeper"), "{error}");
    }
}

mod tables {
    use super::*;

    #[test]
    fn take_units_of_a_file() {
        let mut units = Units::standard();
        units.define_base("colony").unwrap();
        let colonies = units.parse("colony/mL").unwrap();
        assert_eq!(colonies.factor_to(&units.parse("colony/L").unwrap()), Some(1000.0));
        assert_eq!(colonies.factor_to(&units.parse("cell/mL").unwrap()), None);

        let od = units.parse("cell/L").unwrap().scaled(1e9).unwrap();
        units.define("OD", &od).unwrap();
        assert_eq!(units.parse("OD").unwrap().factor_to(&units.parse("cell/mL").unwrap()), Some(1e6));
        assert_eq!(units.parse("OD/h").unwrap().to_string(), "OD/h");

        let dose = units.parse("mg").unwrap().scaled(2.5).unwrap();
        units.define("dose", &dose).unwrap();
        assert_eq!(units.parse("dose").unwrap().factor_to(&units.parse("g").unwrap()), Some(2.5e-3));
        assert!(units.names().any(|name| name == "dose"));
    }

    #[test]
    fn declare_a_base_unit_twice_to_no_effect() {
        let mut units = Units::standard();
        units.define_base("cell").unwrap();
        units.define_base("beads").unwrap();
        units.define_base("beads").unwrap();
        assert_eq!(units.parse("cell").unwrap(), unit("cells"));
    }

    #[test]
    fn refuse_names_that_are_taken_or_no_names() {
        let mut units = Units::standard();
        let meter = unit("m");
        for (name, code) in [("mM", "E0202"), ("bar", "E0202"), ("m2", "E0108"), ("", "E0108"), ("_x", "E0108")] {
            assert_eq!(units.define(name, &meter).unwrap_err().code, Code(code), "{name}");
            assert_eq!(units.define_base(name).unwrap_err().code, Code(code), "{name}");
        }
        units.define("cubit", &meter).unwrap();
        assert_eq!(units.define("cubit", &meter).unwrap_err().code, Code("E0202"));
        let lost = meter.pow(Ratio::integer(i32::MAX)).pow(Ratio::integer(2));
        assert!(units.define("lost", &lost).is_err());
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(meter.scaled(factor).is_none());
        }
    }
}

mod inference {
    use super::*;

    fn known(text: &str) -> Form {
        Form::known(unit(text))
    }

    #[test]
    fn finds_the_unit_that_inserts_no_factor() {
        // S [uM] in `time [h]`: S' = -k*S needs k in 1/h, not 1/s.
        let mut solver = Solver::new();
        let k = Form::unknown(0);
        assert_eq!(solver.equate(&known("uM/h"), &k.mul(&known("uM"))), Equated::Learned);
        let found = solver.solution(0).unwrap();
        assert_eq!(found, unit("1/h"));
        assert_eq!(found.to_string(), "1/h");
        assert_eq!(solver.equate(&k, &known("1/h")), Equated::Satisfied);
        assert_eq!(solver.solution(0), Some(unit("1/h")));
    }

    #[test]
    fn says_none_where_a_unit_is_open_or_disputed() {
        let mut solver = Solver::new();
        let (a, b) = (Form::unknown(0), Form::unknown(1));
        assert_eq!(solver.solution(0), None);
        assert_eq!(solver.equate(&a.mul(&b), &known("1/s")), Equated::Learned);
        assert_eq!((solver.solution(0), solver.solution(1)), (None, None));
        assert_eq!(solver.equate(&a, &known("1/(uM*s)")), Equated::Learned);
        assert_eq!(solver.solution(1), Some(unit("uM")));
        // The same dimension, another size: no unit of `a` avoids a factor.
        assert_eq!(solver.equate(&known("1/(uM*min)"), &a), Equated::Satisfied);
        assert_eq!(solver.solution(0), None);
        let (first, second) = solver.candidates(0).unwrap();
        assert_eq!((first.to_string(), second.to_string()), ("1/(uM*s)".into(), "1/(uM*min)".into()));
    }

    #[test]
    fn reports_a_conflict_with_both_units() {
        let mut solver = Solver::new();
        let k = Form::unknown(7);
        solver.equate(&k, &known("1/s"));
        assert_eq!(
            solver.equate(&k.mul(&known("uM")), &known("mM")),
            Equated::Conflict { left: unit("uM/s"), right: unit("mM") }
        );
        // A unit that is open on both sides does not hide the conflict.
        let open = Form::unknown(8);
        let conflict = solver.equate(&open.mul(&known("m")), &open.mul(&known("s")));
        assert_eq!(conflict, Equated::Conflict { left: unit("m"), right: unit("s") });
        assert_eq!(solver.equate(&known("uM"), &known("mM")), Equated::Satisfied);
        assert_eq!(solver.equate(&known("degC"), &known("K")), Equated::Satisfied);
    }

    #[test]
    fn solves_for_roots_and_infers_kelvin() {
        let mut solver = Solver::new();
        // q = k*sqrt(p): k^2 = (L/s)^2/bar, from the squared law.
        let k = Form::unknown(0);
        solver.equate(&known("L^2/s^2"), &k.pow(Ratio::integer(2)).mul(&known("bar")));
        assert_eq!(solver.solution(0).unwrap(), unit("L/(s*bar^(1/2))"));
        solver.equate(&Form::unknown(1), &known("degC"));
        assert_eq!(solver.solution(1).unwrap(), unit("K"));
    }

    #[test]
    fn gives_up_on_exponents_out_of_range_instead_of_lying() {
        let mut solver = Solver::new();
        for i in 0..40 {
            let square = Form::unknown(i + 1).pow(Ratio::integer(2));
            assert!(matches!(solver.equate(&Form::unknown(i), &square), Equated::Learned | Equated::TooLarge));
        }
        assert_eq!(solver.equate(&Form::unknown(40), &known("m")), Equated::Learned);
        let settled = solver.equate(&Form::unknown(0), &known("m"));
        assert_eq!(settled, Equated::TooLarge);
    }

    #[test]
    fn takes_a_long_chain_in_steps_that_grow_with_its_length() {
        // 10,000 unknowns tied in a chain in the worst order, then a fan of 10,000 products, all solved.
        let n = 10_000;
        let mut solver = Solver::new();
        for i in 0..n {
            assert_eq!(solver.equate(&Form::unknown(i), &Form::unknown(i + 1)), Equated::Learned);
        }
        assert_eq!(solver.equate(&Form::unknown(n), &known("uM")), Equated::Learned);
        for i in 0..n {
            let rate = Form::unknown(n + 1 + i);
            assert_eq!(solver.equate(&rate.mul(&Form::unknown(i)), &known("uM/s")), Equated::Learned);
        }
        assert_eq!(solver.solution(0), Some(unit("uM")));
        assert!((n + 1..=2 * n).all(|i| solver.solution(i) == Some(unit("1/s"))));
        assert!(solver.steps() < 40 * n as usize, "{} steps", solver.steps());
    }
}

/// A unit text made by the grammar.
fn unit_text() -> impl Strategy<Value = String> {
    let names =
        ["m", "s", "uM", "mol", "L", "kJ", "degC", "bar", "min", "h", "mg", "IU", "cells", "%", "deg", "Da", "1"];
    let name = prop::sample::select(names.to_vec()).prop_map(String::from);
    name.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}*{b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}/({b})")),
            (inner.clone(), -3..4_i32).prop_map(|(a, n)| format!("({a})^{n}")),
            (inner, 1..4_i32, 1..4_i32).prop_map(|(a, n, d)| format!("({a})^({n}/{d})")),
        ]
    })
}

fn ratio() -> impl Strategy<Value = Ratio> {
    (-6..7_i32, 1..5_i32).prop_map(|(n, d)| Ratio::new(n, d))
}

/// The texts' units, without those whose size no number can say.
fn any_unit() -> impl Strategy<Value = Unit> {
    unit_text().prop_filter_map("a size beyond f64", |text| Units::standard().parse(&text).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn units_form_a_rational_vector_space(a in any_unit(), b in any_unit(), c in any_unit(), p in ratio(), q in ratio()) {
        prop_assert_eq!(a.mul(&b), b.mul(&a));
        prop_assert_eq!(a.mul(&b).mul(&c), a.mul(&b.mul(&c)));
        prop_assert_eq!(a.div(&b).mul(&b), a.without_offset());
        prop_assert!(a.div(&a).is_one());
        prop_assert_eq!(a.mul(&b).pow(p), a.pow(p).mul(&b.pow(p)));
        prop_assert_eq!(a.pow(p).pow(q), a.pow(p * q));
        prop_assert_eq!(a.pow(p).mul(&a.pow(q)), a.pow(p + q));
    }

    #[test]
    fn shown_text_reads_back_as_the_same_unit(a in any_unit()) {
        prop_assert_eq!(Units::standard().parse(&a.to_string()).unwrap(), a);
    }

    #[test]
    fn conversions_go_there_and_back(a in any_unit(), i in -12..12_i32, j in 1..9_i32) {
        prop_assert_eq!(a.factor_to(&a), Some(1.0));
        let b = a.scaled(f64::from(j) * 10_f64.powi(i)).unwrap();
        let (there, back) = (a.factor_to(&b).unwrap(), b.factor_to(&a).unwrap());
        // Two roundings of the factors and one of the product.
        prop_assert!(within(there * back, 1.0, 2.0), "{there} {back}");
        // In between, over a third unit.
        let c = b.scaled(7.0).unwrap();
        prop_assert!(within(there * b.factor_to(&c).unwrap(), a.factor_to(&c).unwrap(), 2.0));
    }

    #[test]
    fn no_text_panics_and_every_range_is_inside(text in "[mskgLµ°²⁻·%1-9.*/^() e-]{0,12}|.{0,20}") {
        if let Err(error) = Units::standard().parse(&text) {
            prop_assert!(text.get(error.range.clone()).is_some(), "{error:?} of {text:?}");
        }
    }

    /// A random invertible system over units that are drawn first: the solver must find exactly those.
    #[test]
    fn solves_random_systems_exactly(
        truth in prop::collection::vec(any_unit(), 1..7),
        rows in prop::collection::vec((prop::collection::vec(-3..4_i32, 7), 1..3_i32), 0..12),
        order in any::<u64>(),
    ) {
        let n = truth.len();
        let truth: Vec<Unit> = truth.iter().map(Unit::without_offset).collect();
        // Random rows, and at the end a triangle that makes the system determined.
        let mut equations: Vec<Vec<Ratio>> = rows
            .iter()
            .map(|(row, d)| row.iter().take(n).map(|c| Ratio::new(*c, *d)).collect())
            .collect();
        for i in 0..n {
            equations.push((0..n).map(|j| if j == i { Ratio::ONE } else if j < i { Ratio::HALF } else { Ratio::ZERO }).collect());
        }
        let shift = order as usize % equations.len();
        equations.rotate_left(shift);
        let mut solver = Solver::new();
        let mut learned = 0;
        for row in &equations {
            let known = row.iter().zip(&truth).fold(Unit::one(), |product, (c, unit)| product.times(unit, *c));
            let unknowns = row.iter().enumerate().map(|(i, c)| (i as u32, *c)).collect();
            match solver.equate(&Form { known: Unit::one(), unknowns }, &Form::known(known)) {
                Equated::Learned => learned += 1,
                Equated::Satisfied => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(learned, n);
        for (i, unit) in truth.iter().enumerate() {
            let found = solver.solution(i as u32);
            prop_assert_eq!(found.as_ref(), Some(unit));
        }
    }
}
