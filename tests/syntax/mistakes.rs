//! What is said about each mistake, and that an offered repair repairs it.

use super::{explain, read, sexp};

/// Texts with one mistake each, by group; the snapshot of a group is what a user is told.
const EXPRESSIONS: &[&str] = &[
    "S' = -k*S +",
    "S' = -k*S +\nP' = k*S",
    "let y =\nlet z = 1",
    "let y = a and",
    "let y = (a + b\nlet z = 1",
    "let y = f(a,\n  b\nx' = 1",
    "let y = a)",
    "let y = a b",
    "let y = 2 x",
    "let y = 2(x + 1)",
    "let y = a < b < c",
    "let y = a*not b",
    "let y = if a then b",
    "let y = if a = b then 1 else 2",
    "let y = a && b",
    "let y = !a",
    "let y = a ** b",
    "let y = a % b",
    "let y = a \u{2264} b",
    "let y = 3\u{2212}x",
    "safe low: x <-1",
    "let y = x [m] * 2",
    "let y = h(k = 1)'",
    "let y = \"text",
];

const NUMBERS_AND_UNITS: &[&str] = &[
    "param Vmax = 5mM",
    "param Vmax = 5 mM",
    "param v = 5 mM/s in 0 .. 1",
    "let y = 2A + A",
    "param k = .5",
    "param k = 1.",
    "param k = 1.e3 in 0 .. 2.",
    "param k = 1e999",
    "2A -> B @ k",
    "param D [1/m2] = 1",
    "param T [\u{b0}C] = 20",
    "param a [m\u{b2}] = 1",
    "param a [kg m] = 1",
    "param a [mol L-1 s-1] = 1",
    "param a [] = 1",
    "param a [1/s = 5\nparam b = 1",
    "param a [$] = 1",
];

const STATEMENTS: &[&str] = &[
    "S -> P; k*S",
    "S -> P; k",
    "S -> P; k*S;\nparam k = 1",
    "S -> P k*S",
    "S + E -> ES rate",
    "A --> B @ k",
    "A => B @ k",
    "A <=> B @ k, l",
    "A -> @ k",
    "-> A @ k",
    "A ->",
    "$X -> Y @ k",
    "der(x) = -x",
    "dx/dt = -x",
    "d(x)/dt = -x",
    "x'' = -x",
    "x' == -x",
    "param k == 1",
    "param k = 1, n = 2",
    "param k = 1 in 0 .. 1 in 0 .. 2",
    "param k [1/s] [1/h] = 1",
    "param in = 5",
    "let then = 5",
    "param { in [1/s] = 1 }",
    "when x = 5 { x := 1 }",
    "fail when x = 5",
    "safe hot: T = 5",
    "hot: T = 5",
    "x = 1 = 2",
    "param k = 1 = 2",
    "every 5 [h] fro 1 [h] { x += 1 }",
    "at 5 { x /= 2 }",
    "param p rate",
    "foo bar baz",
    "2*x",
    "x = 5 // comment",
    "x = 5 /* comment */",
    "/* two\nlines */",
    "x = 5 $ 3",
    "state { x = 1 } param k = 1",
    "x' = 1 { a = 1 }",
    "{ a = 1 }",
];

const BLOCKS: &[&str] = &[
    "model A {\n  param k = 1\n\nmodel B { param k = 1 }\n",
    "model A {\n  param {\n    k = 1\n",
    "model A {\n  param {\n    k = 1\n  x' = 1\n}\nmodel B { param k = 1 }\n",
    "model A { param k = 1 } }\nmodel B { param k = 1 }\n",
    "model A junk {\n  x' = -x +\n  param k = 1\n}\n",
];

fn all() -> impl Iterator<Item = &'static str> {
    [EXPRESSIONS, NUMBERS_AND_UNITS, STATEMENTS, BLOCKS].into_iter().flatten().copied()
}

fn told(texts: &[&str]) -> String {
    texts
        .iter()
        .map(|text| format!("> {}\n{}", text.replace('\n', "\n> "), explain(text, &read(text).1)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn expressions() {
    insta::assert_snapshot!(told(EXPRESSIONS));
}

#[test]
fn numbers_and_units() {
    insta::assert_snapshot!(told(NUMBERS_AND_UNITS));
}

#[test]
fn statements() {
    insta::assert_snapshot!(told(STATEMENTS));
}

#[test]
fn blocks() {
    insta::assert_snapshot!(told(BLOCKS));
}

#[test]
fn every_mistake_is_told_once_with_a_way_out() {
    for text in all() {
        let (_, found) = read(text);
        assert!(!found.is_empty(), "nothing is said about {text:?}");
        for one in found.iter() {
            assert!(one.help.is_some() || one.title.contains("closes nothing"), "no help: {text:?}: {}", one.title);
            assert!(!one.title.ends_with('.') && one.title.starts_with(|c: char| !c.is_uppercase()), "{}", one.title);
        }
        let n_expected = if text.starts_with("model A junk") || text.contains("1.e3") { 2 } else { 1 };
        assert_eq!(found.len(), n_expected, "{text:?}\n{}", explain(text, &found));
    }
}

#[test]
fn every_repair_repairs() {
    let mut n_repairs = 0;
    for text in all() {
        let (_, found) = read(text);
        let mut edits: Vec<_> = found.iter().filter_map(|d| d.fix.as_ref()).flat_map(|f| f.edits.clone()).collect();
        if edits.is_empty() || found.iter().any(|d| d.fix.is_none()) {
            continue;
        }
        n_repairs += 1;
        edits.sort_by_key(|e| std::cmp::Reverse(e.span.start));
        let mut repaired = text.to_string();
        for edit in edits {
            repaired.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.replacement);
        }
        let (_, left) = read(&repaired);
        assert!(left.is_empty(), "{text:?} became {repaired:?}:\n{}", explain(&repaired, &left));
    }
    assert!(n_repairs > 30, "only {n_repairs} repairs were tried");
}

/// The tree that a repairable mistake leaves is the tree of the repaired text, so that no further error follows from it.
#[test]
fn what_has_one_meaning_is_read_as_meant() {
    for (wrong, right) in [
        ("param Vmax = 5mM", "param Vmax = 5 [mM]"),
        ("let y = 2A + A", "let y = 2*A + A"),
        ("param k = .5 in 1. .. 2", "param k = 0.5 in 1 .. 2"),
        ("2A -> B @ k", "2 A -> B @ k"),
        ("param D [1/m2] = 1", "param D [1/m^2] = 1"),
        ("param T [\u{b0}C] = 20", "param T [degC] = 20"),
        ("S -> P; k*S", "S -> P rate k*S"),
        ("der(x) = -x + 1", "x' = -x + 1"),
        ("dx/dt = -x", "x' = -x"),
        ("d(x)/dt = -x", "x' = -x"),
        ("let y = a \u{2264} b\u{2212}1", "let y = a <= b - 1"),
        ("x = 5 // comment", "x = 5"),
        ("x = 5 /* a\n b */\ny = 6", "x = 5\ny = 6"),
    ] {
        assert_eq!(sexp::file(&read(wrong).0), sexp::file(&read(right).0), "{wrong}");
    }
}

#[test]
fn one_bad_line_costs_one_line() {
    let good =
        ["time [s]", "param k = 1", "x' = -k*x", "r: A -> B @ k", "state { x = 1 }", "at 5 { x += 1 }", "hot: x < 1"];
    for bad in all().filter(|text| !text.contains('{') && !text.contains('}') && !text.contains('\n')) {
        for at in 1..good.len() {
            let mut lines = good.to_vec();
            lines.insert(at, bad);
            let text = format!("model M {{\n{}\n}}\n", lines.join("\n"));
            let tree = sexp::file(&read(&text).0);
            for line in good {
                let (_, kept) = (line, sexp::file(&read(line).0));
                let first = kept.lines().next().unwrap_or("");
                assert!(tree.contains(first), "{bad:?} at {at} lost {line:?}:\n{tree}");
            }
        }
    }
}

#[test]
fn names_of_a_bad_line_are_known_as_unread() {
    let (file, _) = read("model M {\n  S' = -k*S + [1/s]\n  let y = a b\n}");
    let names: Vec<&str> = file.unread.iter().map(|n| n.text.as_str()).collect();
    assert_eq!(names, ["S", "k", "S", "let", "y", "a", "b"]);
}
