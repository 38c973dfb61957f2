//! What each form of a statement is read as.

use super::{read, read_clean, sexp};

fn tree(text: &str) -> String {
    sexp::file(&read_clean(text))
}

/// The one expression of `let y = ...`.
fn expr(text: &str) -> String {
    let whole = tree(&format!("q = {text}"));
    whole.trim().trim_start_matches("(set q ").trim_end_matches(')').to_string() + &")".repeat(missing(&whole))
}

fn missing(whole: &str) -> usize {
    let inner = whole.trim().trim_start_matches("(set q ").trim_end_matches(')');
    inner.matches('(').count().saturating_sub(inner.matches(')').count())
}

#[test]
fn operators_bind_as_in_mathematics() {
    for (text, expected) in [
        ("a + b*c^d^e", "(+ a (* b (^ c (^ d e))))"),
        ("a - b - c", "(- (- a b) c)"),
        ("a/b/c", "(/ (/ a b) c)"),
        ("-a^2", "(- (^ a 2))"),
        ("-a*b", "(* (- a) b)"),
        ("2^-3*4", "(* (^ 2 (- 3)) 4)"),
        ("a - -b", "(- a (- b))"),
        ("not a < b and c or d", "(or (and (not (< a b)) c) d)"),
        ("a or b and not c == d", "(or a (and b (not (== c d))))"),
        ("if a then b else c + d", "(if a b (+ c d))"),
        ("1 + if a then b else if c then d else e", "(+ 1 (if a b (if c d e)))"),
        ("(a + b)*c", "(* (par (+ a b)) c)"),
        ("th/12 [deg]", "(/ th 12[deg])"),
        ("h(i-1)' + x'", "(+ h<(- i 1)>' x')"),
        ("sum(k(j)*x(j) for j in 1 .. N - 1 if j != i)", "(sum (* (k j) (x j)) (for j 1 (- N 1)) (if (!= j i)))"),
        ("f(a, sd = 5 [mM], list = [1, [b]])", "(f a sd=5[mM] list=[1 [b]])"),
        ("part.member + 1e-3", "(+ part.member 0.001)"),
        ("`in` + `two words`", "(+ in two words)"),
    ] {
        assert_eq!(expr(text), expected, "{text}");
    }
}

#[test]
fn statements_of_a_model() {
    insta::assert_snapshot!(tree(
        r#"
use mm, hill from std.kinetics
use x from "other.twin"
unit cell
unit OD = 1e9 [cell/L] "optical density"
fn hill2(x, K, n) = x^n/(K^n + x^n)
model Enzyme "E + S <-> ES -> E + P" {
  time [s]; species { E [uM] = 0.5; S [uM] = 10 fixed; ES [uM] = 0 }
  param { kon [1/(uM*s)] = 1.0 in 1e-3 .. 1e3 ~ LogNormal(median = 1, gsd = 10); koff = 0.5; n = 2 in [1, 2] }
  param rate [1/s] = 1 in 0 .. "a word of a clause may be a name"
  compartment cyt [pL] = 1.4 { A [uM] = 1; B [uM] = 0 }
  state h(i) [m] = 1 for i in 1 .. N
  state { g(i, j) [m] = 1 for i in 1 .. 4 for j in 1 .. 2; x [m] = 0 }
  discrete n_doses = 0
  input u [mL/h] = 0 in 0 .. 20
  reaction { bind: E + S <-> ES @ kon, koff; cat: ES -> E + 2 P @ kcat }
  0 -> S rate D*(S_in - S) "feed"
  reaction leak: S -> 0 @ k
  d: h(i) -> h(i + 1) @ k for i in 1 .. N - 1
  h(i)' = (h(i - 1) - h(i))/tau for i in 2 .. N "cascade"
  x' = -x
  let Km [uM] = (koff + kcat)/kon
  observe P_obs [uM] = P ~ Normal(sd = 0.2 [uM] + 0.05*P)
  conserved E + ES
  safe hot: T_R <= 140 [degC]
  at 60 [s] { x += 1; h(1) := 0 }
  every 6 [h] from 1 [h] until 48 [h] { x *= 0.5 }
  when x > 12 [m] { x -= 1 }
  expect P(40 [s]) = 3.2 [uM] within 1e-6
}
model Fast = Enzyme(kcat = 3 [1/s], n = 1)
"#
    ));
}

#[test]
fn statements_of_a_study() {
    insta::assert_snapshot!(tree(
        r#"
study Fit of Enzyme {
  data "data/progress.csv" by run { time <- t_min [min]; P_obs <- product [mM] times 2; S <- s0 [uM] initial }
  experiment inhibited {
    data "data/inhibitor.csv" { time <- t [s]; P_obs <- "p obs" [uM] }
    start S = 20 [uM]; start G ~ Uniform(90, 180)
  }
  estimate kcat in 0.01 .. 10 ~ LogNormal(median = 0.3, gsd = 3) log
  estimate kon, cgm.sd
  fit trust_region { starts = 24; tolerance = 1e-8; seeds = [0, 1] }
  simulate { until = 72 [h]; step 0.005 [h] via euler; hold D; F <- "inputs.csv"; noise = true }
  sweep kcat, kon in 1 .. 2
  start steady
  report { profiles = true }
}
"#
    ));
}

#[test]
fn statements_of_later_versions() {
    insta::assert_snapshot!(tree(
        r#"
task Hold of CSTR {
  step 10 [min]; cost (C_b - 0.6 [mol/L])^2; move F weight 0.1 scale 100 [1/h]
  keep hot soft 100; keep x in 0 .. 1 final; fail when not (hypo and hyper) penalty 1e5
  sense cgm, cgm - previous(cgm); reward -risk(G); relax u in 0 .. 80; track y to r(t)
}
twin reactor of CSTR {
  source mqtt "plant/r3" { T_R <- "temp/reactor" [degC] }
  alarm drift when nis(60 [s]) > 3 holding 3
  life fouling: beta >= 0.7 holding 30 [d]
  control Hold via mpc { write = false }
  command { Q_dot -> "set/cooling" [kJ/h] }
}
port Fluid { across p [bar]; flow q [L/s] }
model Tanks {
  part t1 = Tank(h = 2 [m]); connect t1.bottom to drain.a, pump.b; eq a.q + b.q = 0; var z guess 1 [bar]
  noise w; x' = w'; net f(S, u) [uM/s] { hidden = [16, 16] }
}
"#
    ));
}

#[test]
fn a_statement_goes_on_inside_brackets_after_and_before_an_operator() {
    let one = tree("let y = a + b - f(c, d) [m]\nparam k = 1 in 0 .. 1 ~ Normal(sd = 1)\nestimate a, b");
    let many = tree(
        "let y = a +   # first\n\n  b\n  - f(\n  c,\n  # inside\n  d\n) [m]\nparam k = 1\n  in 0 .. 1\n  ~ Normal(sd = 1)\n\
         estimate a,\n b",
    );
    assert_eq!(one, many);
}

#[test]
fn a_line_that_ends_in_an_operator_before_a_statement_is_a_mistake() {
    for next in
        ["y' = 1", "h(i)' = 1 for i in 1 .. 2", "hot: a < b", "param k = 1", "step 5 [s]", "param { k = 1 }", "k = 2"]
    {
        let (file, found) = read(&format!("model M {{\nx' = -k*x +\n{next}\n}}"));
        let codes: Vec<&str> = found.iter().map(|d| d.code.0).collect();
        assert_eq!(codes, ["E0101"], "{next}");
        assert_eq!(found.iter().next().map(|d| d.span().start), Some(21), "caret behind the operator before {next}");
        let rest = sexp::file(&file);
        assert_eq!(rest.lines().count() - 2, tree(next).lines().count(), "{rest}");
    }
}

#[test]
fn a_semicolon_and_a_carriage_return_change_nothing() {
    let expected = tree("param a = 1\nparam b = 2\n");
    assert_eq!(tree("param a = 1;;  ;param b = 2;"), expected);
    assert_eq!(tree("param a = 1\r\nparam b = 2\r\n"), expected);
    assert_eq!(tree("\u{feff}param a = 1\n\n\nparam b = 2"), expected);
}

#[test]
fn soft_words_are_free_as_names() {
    insta::assert_snapshot!(tree(
        "state { input = 0; step [m] = 1; model = 2 }\nlet flow = input + step*rate\nparam until in 0 .. 1\nreaction -> fixed @ k\n\
         reaction: reaction + 2 reaction -> 0 @ k\nx' = time\n`not` = 3\nlet log = log10(fixed)"
    ));
}

#[test]
fn comments_are_kept_in_order() {
    let file = read_clean("# head\nparam a = 1 # one\n\nlet b = (2 + # two\n  3) # three\n");
    let texts: Vec<(&str, bool)> = file.comments.iter().map(|c| (c.text.as_str(), c.is_trailing)).collect();
    assert_eq!(texts, [("# head", false), ("# one", true), ("# two", true), ("# three", true)]);
}

#[test]
fn spans_cover_what_they_name() {
    let text = "param kcat [1/s] = 0.3 in 1 .. 2   # c\nx' = -kcat * (y + 1)  \n";
    let file = read_clean(text);
    let part = |s: twinc::source::Span| &text[s.start as usize..s.end as usize];
    let shown: Vec<&str> = file.statements.iter().map(|s| part(s.span)).collect();
    assert_eq!(shown, ["param kcat [1/s] = 0.3 in 1 .. 2", "x' = -kcat * (y + 1)"]);
    let twinc::syntax::ast::StatementKind::Directive(d) = &file.statements[0].kind else { panic!("a directive") };
    let clauses: Vec<&str> = d.clauses.iter().map(|c| part(c.span)).collect();
    assert_eq!(clauses, ["[1/s]", "= 0.3", "in 1 .. 2"]);
    let twinc::syntax::ast::StatementKind::Ode(o) = &file.statements[1].kind else { panic!("an equation") };
    assert_eq!(part(o.rhs.span), "-kcat * (y + 1)");
}

/// The examples of the language's design are read without a word of complaint, and survive formatting.
#[test]
fn reads_every_example_of_the_language_design() {
    let Ok(dir) = std::env::var("TWINC_REFERENCE_DIR") else {
        return println!("skipped: no reference data");
    };
    let page = std::fs::read_to_string(std::path::Path::new(&dir).join("LANGUAGE.md")).expect("LANGUAGE.md");
    let mut examples = String::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```twin";
        } else if inside {
            examples += line;
            examples += "\n";
        }
    }
    let file = read_clean(&examples);
    assert!(file.statements.len() >= 20 && file.unread.is_empty());
    super::format::check_round_trip(&examples);
}
