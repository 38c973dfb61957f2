//! Texts that are too large, too deep or too long are diagnostics and nothing worse, on a thread of 2 MiB.

use super::{explain, read};
use twinc::limits::{MAX_EXPRESSION_DEPTH, MAX_NESTING, MAX_SOURCE_BYTES, MAX_STATEMENTS};

fn codes(text: &str) -> Vec<&'static str> {
    read(text).1.iter().map(|d| d.code.0).collect()
}

#[test]
fn reads_as_deep_as_the_limit_and_no_deeper() {
    type Nest = fn(usize) -> String;
    let forms: [(&str, Nest); 6] = [
        ("parentheses", |n| format!("let x = {}a{}", "(".repeat(n), ")".repeat(n))),
        ("calls", |n| format!("let x = {}a{}", "f(".repeat(n), ")".repeat(n))),
        ("signed", |n| format!("let x = {}a{}", "-(".repeat(n), ")".repeat(n))),
        ("lists", |n| format!("x = {}1{}", "[".repeat(n), "]".repeat(n))),
        ("conditions", |n| format!("let x = {}1", "if a then b else ".repeat(n))),
        ("blocks", |n| format!("{}a = 1{}", "m { ".repeat(n), " }".repeat(n))),
    ];
    for (name, nest) in forms {
        assert_eq!(codes(&nest(MAX_NESTING)), Vec::<&str>::new(), "{name}");
        assert_eq!(codes(&nest(MAX_NESTING + 1)), ["E0112"], "{name}");
        assert_eq!(codes(&nest(50_000)), ["E0112"], "{name}");
    }
}

#[test]
fn many_conditions_side_by_side_are_not_deep() {
    let text = format!("let x = max({}1)", "if a then b else c, ".repeat(2_000));
    assert_eq!(codes(&text), Vec::<&str>::new());
}

#[test]
fn chains_of_operators_are_read_up_to_the_limit() {
    let sum = |n: usize| format!("let x = {}a", "a + ".repeat(n));
    let (file, found) = read(&sum(MAX_EXPRESSION_DEPTH - 1));
    assert!(found.is_empty());
    // Every derived walk over the tree fits the stack of a test thread.
    assert_eq!(file.clone(), file);
    let printed = twinc::syntax::print(&file);
    assert!(twinc::syntax::same(&file, &read(&printed).0));
    for text in
        [sum(100_000), format!("let x = {}a", "a^".repeat(100_000)), format!("let x = {}a", "-".repeat(100_000))]
    {
        assert_eq!(codes(&text), ["E0112"]);
    }
}

#[test]
fn too_large_texts_are_refused() {
    assert_eq!(codes(&" ".repeat(MAX_SOURCE_BYTES + 1)), ["E0110"]);
    let many = "a=1;".repeat(MAX_STATEMENTS + 1);
    let (file, found) = read(&many);
    assert_eq!(found.iter().map(|d| d.code.0).collect::<Vec<_>>(), ["E0111"]);
    assert_eq!(file.statements.len(), MAX_STATEMENTS);
}

#[test]
fn reading_takes_time_in_proportion_to_the_text() {
    // Each would take minutes with quadratic or exponential work; the bound only tells these apart.
    let texts = [
        "model A {\n".repeat(20_000),
        "a { ] }\n".repeat(20_000),
        "x = [\n".repeat(50_000),
        "(".repeat(400_000),
        format!("x = [{}]", "1,\n".repeat(100_000)),
        format!("x = f({}1)", "a,\n".repeat(100_000)),
        "a(b(c(d(e(f(g(h(i(j(k(l(m(n(o(p(q(r(s(t(u(v(w ".repeat(500),
        format!("{}{}", "a { ".repeat(200), "} ] ".repeat(200)),
        "\"".repeat(100_000),
        "/*\n".repeat(50_000),
        "5mM ".repeat(50_000),
        "x' = 5mM\n".repeat(30_000),
        "x +\n".repeat(50_000),
    ];
    for text in &texts {
        let begin = std::time::Instant::now();
        let (_, found) = read(text);
        let seconds = begin.elapsed().as_secs_f64();
        let start: String = text.chars().take(20).collect();
        assert!(seconds < 20.0, "{start:?} took {seconds} s");
        assert!(!found.has_errors() || !explain(text, &found).is_empty());
    }
}
