//! No text panics, hangs or eats the machine: what is too large or makes no sense is a diagnostic.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Texts, check_with, read};

/// The codes of `text`, read on a stack of 2 MiB within a generous time.
#[track_caller]
fn codes(text: &str) -> Vec<&'static str> {
    let text = text.to_string();
    let begun = Instant::now();
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            let checked = check_with("model.twin", &text, false, &Texts(&[]));
            checked.codes()
        })
        .expect("a thread");
    let codes = thread.join().expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(60), "took {:?}", begun.elapsed());
    codes
}

#[test]
fn long_chains_of_definitions_need_no_stack() {
    let mut text = String::from("model M { time [1]; state x [1] = 1\n x' = a9999\n let a0 [1] = x + time\n");
    for k in 1..10_000 {
        text.push_str(&format!(" let a{k} = a{} + 1\n", k - 1));
    }
    text.push_str(" let late = if a9999 > 5 then 1 else 2\n safe s: a9999 < 3\n observe y = late\n}");
    assert_eq!(codes(&text), Vec::<&str>::new());
    let conditional = text.replace("x' = a9999", "x' = if a9999 - x > 5 then a9999 else 0");
    assert_eq!(codes(&conditional), Vec::<&str>::new());
    let of_time = text.replace("= x + time", "= time").replace("x' = a9999", "x' = if a9999 > 5 then x else 0");
    assert_eq!(codes(&of_time), Vec::<&str>::new());
    let constants = text.replace("let a", "const a").replace("= x + time", "= 1").replace("const late", "let late");
    assert_eq!(codes(&constants), Vec::<&str>::new());
}

#[test]
fn definitions_that_double_are_read_once() {
    let mut text = String::from("model M { time [1]; state x [1] = 1\n const c0 [1] = 1e-300\n let a0 [1] = x\n");
    for k in 1..200 {
        text.push_str(&format!(" const c{k} [1] = c{0} + c{0}\n let a{k} [1] = a{0}*a{0} + a{0}\n", k - 1));
    }
    assert_eq!(codes(&format!("{text} x' = x^c199 + a199\n}}")), Vec::<&str>::new());
}

#[test]
fn circles_are_named_once() {
    assert_eq!(codes("model M { time [1]; state x = 1\n const a = b\n const b = a\n x' = x^a*b }"), ["E0207"]);
    assert_eq!(
        codes("model M { time [s]; state x [m] = 1\n let a = b\n let b = c*1 [m]\n let c = a\n x' = x*c + b }"),
        ["E0207"]
    );
    assert_eq!(codes("model M { time [1]; state x = 1\n let a = a\n x' = a }"), ["E0207"]);
    assert_eq!(codes("model M { time [1]; state x = 1\n let a(i) = a(3-i) for i in 1 .. 2\n x' = a(1) }"), ["E0207"]);
    assert_eq!(codes("model M { time [1]; state x = 1\n state y = x'\n x' = y'\n y' = x' }"), ["E0207"]);
    assert_eq!(
        codes("fn f(x) = g(x)\nfn g(x) = f(x)\nmodel M { time [1]; state x = 1\n x' = f(x) }"),
        ["E0207", "E0207"]
    );
    assert_eq!(codes("const a = b\nconst b = a\nmodel M { time [1]; state x = 1\n x' = a*x }"), ["E0207"]);
    assert_eq!(codes("model A = B()\nmodel B = A()"), ["E0207"]);
    assert_eq!(codes("model M { time [1]; state x = y\n state y = x\n x' = 1\n y' = 1 }"), ["E0207"]);
}

#[test]
fn functions_that_explode_are_refused() {
    let mut wide = String::from("fn f0(x) = x + x*x\n");
    let mut deep = String::from("fn f0(x) = sin(x) + 1\n");
    for k in 1..40 {
        wide.push_str(&format!("fn f{k}(x) = f{0}(x + 1) + f{0}(x + 2)\n", k - 1));
        deep.push_str(&format!("fn f{k}(x) = f{0}(f{0}(f{0}(f{0}(x))))\n", k - 1));
    }
    let model = "model M { time [1]; state x = 1\n x' = f39(x) }";
    for text in [wide, deep] {
        let found = codes(&format!("{text}{model}"));
        assert!(!found.is_empty() && found.iter().all(|c| *c == "E0113"), "{found:?}");
    }
}

#[test]
fn deep_expressions_are_read_or_refused() {
    for n in [100, 250, 500, 1000, 5000, 100_000] {
        let nested = format!("model M {{ time [1]; state x = 1\n x' = {}x{} }}", "sin(".repeat(n), ")".repeat(n));
        let power = format!("model M {{ time [1]; state x = 1\n x' = {}1 }}", "x^".repeat(n));
        let branches = format!("model M {{ time [1]; state x = 1\n x' = {}1 }}", "if x > 0 then 1 else ".repeat(n));
        let signs = format!("model M {{ time [1]; state x = 1\n x' = {}1 }}", "- ".repeat(n));
        for text in [nested, power, branches, signs] {
            let found = codes(&text);
            assert!(found.is_empty() || found.iter().all(|c| c.starts_with("E01")), "{n}: {found:?}");
        }
        let sum = format!("model M {{ time [1]; state x = 1\n x' = x{} }}", " + x".repeat(n.min(1000)));
        assert_eq!(codes(&sum), Vec::<&str>::new());
    }
}

#[test]
fn imports_that_never_end_are_refused() {
    struct Endless;
    impl twinc::source::Loader for Endless {
        fn load(&self, from: &str, path: &str) -> Result<twinc::source::SourceFile, twinc::source::LoadError> {
            // The same text under ever new names, as `../models/m.twin` from itself may be.
            Ok(twinc::source::SourceFile::new(format!("{from}/{path}"), "use f from \"m.twin\"\nfn f(x) = x"))
        }
    }
    let checked = check_with("m.twin", "use f from \"m.twin\"", false, &Endless);
    assert_eq!(checked.codes(), ["E0204"]);
    let circle = [("a.twin", "use g from \"b.twin\"\nfn f(x) = x"), ("b.twin", "use f from \"a.twin\"\nfn g(x) = x")];
    let checked = check_with("root.twin", "use f from \"a.twin\"", false, &Texts(&circle));
    assert_eq!(checked.codes(), ["E0204"]);
}

#[test]
fn huge_families_and_sums_are_refused() {
    let model = |line: &str| codes(&format!("model M {{ time [1]; state x = 1\n x' = x\n {line}\n }}"));
    assert_eq!(model("let a(i) = i for i in 1 .. 1e9"), ["E0408"]);
    assert_eq!(model("let a(i) = i for i in -1e14 .. 1e14"), ["E0408"]);
    assert_eq!(model("let a(i, j) = i for i in 1 .. 1e5 for j in 1 .. 1e5"), ["E0408"]);
    assert_eq!(model("let a = sum(i for i in 1 .. 1e9)"), ["E0408"]);
    assert_eq!(model("let a = sum(sum(sum(i*j*k for i in 1 .. 1e6) for j in 1 .. 1e6) for k in 1 .. 1e6)"), ["E0114"]);
    assert_eq!(model("species S(i) = 1 for i in 1 .. 10\n S(1) -> S(2) @ 1 for i in 1 .. 1e7"), ["E0408"]);
    assert_eq!(model("let a(i) = i for i in 1 .. x"), ["E0407"]);
    assert_eq!(model("let a(i) = i for i in 1 .. 2.5"), ["E0405"]);
    assert_eq!(model("let a(i) = i for i in 5 .. 2"), ["E0405"]);
}

#[test]
fn constants_that_are_no_finite_numbers_are_refused() {
    let model = |line: &str| codes(&format!("model M {{ time [1]; state x = 1\n x' = x\n {line}\n }}"));
    for value in ["1/0", "ln(-1)", "0/0", "sqrt(-2)", "1e308*1e10", "exp(1000)"] {
        assert_eq!(model(&format!("const a = {value}")), ["E0702"], "{value}");
        assert_eq!(model(&format!("param a = {value}\n let b = a")), ["E0702"], "{value}");
        assert_eq!(model(&format!("input a = {value}")), ["E0702"], "{value}");
        assert_eq!(model(&format!("state y = {value}\n y' = y")), ["E0702"], "{value}");
        assert_eq!(model(&format!("at {value} {{ x := 2 }}")), ["E0702"], "{value}");
        let range = model(&format!("let h(i) = 1 for i in 1 .. {value}"));
        assert!(range == ["E0405"] || range == ["E0702"], "{value} {range:?}");
    }
}

/// A model of 16,000 statements: a chain of reactions with lets, families, events and a condition each.
fn large() -> String {
    let mut text = String::from("model M {\n time [s]\n species S0 [uM] = 1\n");
    for k in 1..=2_666 {
        text.push_str(&format!(
            " species S{k} [uM] = 0\n param k{k} [1/s] = 0.1\n let a{k} = k{k}*S{0}*(if time < {k} [s] then 1 else 2)\n \
             r{k}: S{0} -> S{k} rate a{k}\n at {k} [s] {{ S{k} += 1 }}\n safe s{k}: S{k} <= 5 [uM]\n",
            k - 1
        ));
    }
    text.push('}');
    text
}

#[test]
fn sixteen_thousand_statements_are_read_in_linear_time() {
    let begun = Instant::now();
    assert_eq!(codes(&large()), Vec::<&str>::new());
    let took = begun.elapsed();
    println!("16,000 statements: {took:?}");
    // Without optimization; far above what is linear, far below what is quadratic.
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn many_unknown_names_are_reported_in_time() {
    let mut text = String::from("model M { time [1]\n");
    for k in 0..5_000 {
        text.push_str(&format!(" param p{k} = 1\n state x{k} = 1\n x{k}' = q{k}*w{k}\n"));
    }
    text.push('}');
    let found = codes(&text);
    assert!(found.len() <= 1000 && found.iter().all(|c| *c == "E0201"), "{}", found.len());
}

/// Texts made of the language's own words, numbers and signs.
fn garbage() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "model",
        "M",
        "{",
        "}",
        "time",
        "[s]",
        "[h]",
        "[uM]",
        "[1]",
        "[degC]",
        "[foo]",
        "state",
        "x",
        "x'",
        "=",
        "1",
        "0",
        "2.5",
        "-",
        "+",
        "*",
        "/",
        "^",
        "(",
        ")",
        "species",
        "A",
        "B",
        "->",
        "<->",
        "@",
        "rate",
        "param",
        "k",
        "const",
        "n",
        "let",
        "for",
        "i",
        "in",
        "..",
        "10",
        "sum(",
        "if",
        "then",
        "else",
        "<",
        ">",
        "and",
        "not",
        "at",
        "every",
        "when",
        "until",
        "from",
        ":=",
        "+=",
        "*=",
        "study",
        "S",
        "of",
        "estimate",
        "start",
        "simulate",
        "data",
        "\"f.csv\"",
        "<-",
        "observe",
        "y",
        "~",
        "Normal(sd = 1)",
        "safe",
        "c:",
        "expect",
        "within",
        "conserved",
        "compartment",
        "V",
        "fn",
        "f(",
        "use",
        "std.kinetics",
        "unit",
        "ln(",
        "floor(",
        "mod(",
        ",",
        ";",
        "\n",
        "\n",
        "\n",
        "h(i)",
        "h(1)",
        "h(i)'",
        "fixed",
        "discrete",
        "input",
        "1e300",
        "1e9",
        "task",
        "#",
        "\"",
        "é",
        "`in`",
    ]);
    prop::collection::vec(word, 0..120).prop_map(|words| words.join(" "))
}

fn shipped() -> Vec<String> {
    let mut list = Vec::new();
    for folder in ["models", "stdlib"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("readable").path()).collect();
        paths.sort();
        for path in paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "twin")) {
            list.push(std::fs::read_to_string(path).expect("UTF-8"));
        }
    }
    list
}

/// A shipped text with some pieces removed, doubled, exchanged or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "",
        "x",
        "1/0",
        "[s]",
        "[uM]",
        "{",
        "}",
        "(",
        "'",
        " = ",
        " -> ",
        "-1",
        "1e9",
        "for i in 1 .. 3",
    ]);
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), piece, 0..4u8);
    (prop::sample::select(shipped()), prop::collection::vec(change, 1..8)).prop_map(|(text, changes)| {
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        for (line, place, piece, kind) in changes {
            let at = line.index(lines.len());
            match kind {
                0 => {
                    lines.remove(at);
                    if lines.is_empty() {
                        lines.push(String::new());
                    }
                }
                1 => {
                    let copy = lines[at].clone();
                    lines.insert(place.index(lines.len()), copy);
                }
                _ => {
                    let words: Vec<&str> = lines[at].split(' ').collect();
                    let k = place.index(words.len());
                    let changed: Vec<&str> =
                        words.iter().enumerate().map(|(i, w)| if i == k { piece } else { *w }).collect();
                    lines[at] = changed.join(" ");
                }
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics(text in garbage()) {
        let checked = read(&text);
        // Every diagnostic can be shown.
        let _ = checked.shown();
    }

    #[test]
    fn mutations_of_shipped_models_never_panic(text in mutated()) {
        let checked = read(&text);
        let _ = checked.shown();
    }
}
